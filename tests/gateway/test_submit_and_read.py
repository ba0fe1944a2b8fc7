"""Submitting, waiting, reading: the calls that most callers make."""

from __future__ import annotations

from tests.gateway.conftest import Door, Hire


async def test_a_submission_with_wait_is_answered_with_the_whole_execution(door: Door, hire: Hire) -> None:
    """200, and every field of the contract is there."""
    await hire()
    status, execution = await door.submit("?wait=true", code="print('hello')")
    assert status == 200
    assert execution["status"] == "completed"
    assert execution["stdout"] == "hello\n"
