"""Submitting, waiting, reading, cancelling, listing: the calls that most callers make."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

from jobs.states import Cause, Class, State, Verdict
from jobs.streams import jobs_stream
from tests.gateway.conftest import Door, Hire, open_door
from tests.gateway.scripted import Told, hello

FIELDS = {
    "execution_id", "status", "language", "version", "variant", "region", "runner", "attempt", "verdict", "cause",
    "exit_code", "signal", "message", "stdout", "stderr", "stdout_truncated", "stderr_truncated", "compile", "usage",
    "timeline", "warm", "cases", "files",
}  # fmt: skip
TIMELINE = {
    "created_at", "started_at", "finished_at", "queued_ms", "sandbox_wait_ms", "compile_ms", "run_ms", "total_ms"
}  # fmt: skip


async def test_a_submission_with_wait_is_answered_with_the_whole_execution(door: Door, hire: Hire) -> None:
    """200, and every field of the contract is there."""
    await hire()
    status, execution = await door.submit("?wait=true", code="print('hello')")
    assert status == 200
    assert execution.keys() >= FIELDS
    assert execution["timeline"].keys() >= TIMELINE
    assert (execution["status"], execution["verdict"], execution["cause"]) == ("completed", "ok", None)
    assert execution["stdout"] == "hello\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", execution["timeline"]["created_at"])


async def test_a_submission_without_wait_is_accepted_and_can_be_read_in_every_state(door: Door, hire: Hire) -> None:
    """202 with where to look; then queued, running, completed, always with all fields."""
    go, started, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(told: Told) -> None:
        await go.wait()
        await told.running()
        started.set()
        await finish.wait()
        await told.ends()

    await hire(slowly)
    status, accepted = await door.submit()
    identity = accepted["execution_id"]
    assert status == 202
    assert accepted["status"] == "queued"
    assert accepted["region"] == door.region.name
    assert accepted["websocket_url"] == f"ws{door.url.removeprefix('http')}/ws/execution/{identity}"
    assert accepted["estimated_wait_ms"] == 0, "four slots, nothing ahead"

    _, queued = await door.call("GET", f"/api/v1/executions/{identity}")
    assert queued.keys() >= FIELDS
    assert (queued["status"], queued["verdict"], queued["stdout"]) == ("queued", None, None)
    go.set()
    await started.wait()
    running = await until(door, identity, "running")
    assert running.keys() >= FIELDS
    assert (running["version"], running["runner"], running["attempt"]) == ("3.12.1", "scripted-1", 1)
    finish.set()
    ended = await until(door, identity, "completed")
    assert ended["verdict"] == "ok"


async def until(door: Door, identity: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            code, execution = await door.call("GET", f"/api/v1/executions/{identity}")
            assert code == 200
            if execution["status"] == status:
                return execution  # type: ignore[no-any-return]


async def test_when_the_wait_runs_out_the_answer_is_202_and_the_execution_goes_on(door: Door, hire: Hire) -> None:
    """A wait is no deadline of the job."""
    finish = asyncio.Event()

    async def slowly(told: Told) -> None:
        await told.running()
        await finish.wait()
        await told.ends()

    await hire(slowly)
    status, accepted = await door.submit("?wait=0.05")
    assert status == 202
    finish.set()
    await until(door, accepted["execution_id"], "completed")


async def test_exact_bytes_come_as_base64_and_undecodable_ones_are_replaced_in_text(door: Door, hire: Hire) -> None:
    """Both views of the same result."""

    async def prints_bytes(told: Told) -> None:
        await told.running()
        await told.prints(b"ok \xff\xe3( end")
        await told.ends()

    await hire(prints_bytes)
    _, exact = await door.submit("?wait=true&encoding=base64")
    assert base64.b64decode(exact["stdout"]) == b"ok \xff\xe3( end"
    _, text = await door.call("GET", f"/api/v1/executions/{exact['execution_id']}")
    assert text["stdout"].startswith("ok \ufffd")
    assert text["stdout"].endswith(" end")


async def test_a_result_too_large_for_the_word_of_the_end_is_read_from_its_stream(door: Door, hire: Hire) -> None:
    """``Ended`` without a result still ends the wait."""

    async def large(told: Told) -> None:
        await told.running()
        await told.prints(b"x" * 300_000)
        await told.ends(inline=False)

    await hire(large)
    status, execution = await door.submit("?wait=true")
    assert status == 200
    assert len(execution["stdout"]) == 300_000


async def test_a_lost_word_of_the_end_does_not_hide_the_end(door: Door, hire: Hire) -> None:
    """The stored result is the last word, whatever was heard."""

    async def silent(told: Told) -> None:
        await told.running()
        await told.ends(silent=True)

    await hire(silent)
    _, accepted = await door.submit()
    await until(door, accepted["execution_id"], "completed")


async def test_a_gateway_that_was_started_anew_finds_what_its_predecessor_accepted(
    nats_server: Any, door: Door, hire: Hire
) -> None:
    """Ended, running and queued ones: by the results, and by the output stream."""
    finish = asyncio.Event()

    async def tells(told: Told) -> None:
        await told.running()
        if told.job.submission.code == b"slow":
            await finish.wait()
        await told.ends()

    await hire(tells)
    _, ended = await door.submit("?wait=true", code="quick")
    _, running = await door.submit(code="slow")
    await until(door, running["execution_id"], "running")
    async with open_door(nats_server.url, door.region.name) as second:
        assert (await until(second, ended["execution_id"], "completed"))["verdict"] == "ok"
        assert (await until(second, running["execution_id"], "running"))["runner"] == "scripted-1"
        finish.set()
        await until(second, running["execution_id"], "completed")


async def test_an_unknown_or_malformed_id_is_not_found(door: Door) -> None:
    """Nor does a word with wildcards read somebody else's."""
    for word in ("0" * 8 + "-0000-0000-0000-" + "0" * 12, "nothing", "*", "%3E", "batch-1", "a.b"):
        status, problem = await door.call("GET", f"/api/v1/executions/{word}")
        assert (status, problem["status"]) == (404, 404)
        assert problem["request_id"]


async def test_a_queued_execution_is_cancelled_for_good(door: Door, hire: Hire) -> None:
    """No runner has it: the result is stored here, waiters are told, and a second cancel comes too late."""
    await hire(pulls=False)
    _, accepted = await door.submit()
    identity = accepted["execution_id"]
    waiting = asyncio.create_task(door.hear(identity))
    status, answer = await door.call("DELETE", f"/api/v1/executions/{identity}")
    assert (status, answer["status"]) == (202, "cancelled")
    told, code = await waiting
    assert told[-1]["result"]["status"] == "cancelled"
    assert code == 1000
    status, problem = await door.call("DELETE", f"/api/v1/executions/{identity}")
    assert (status, problem["title"]) == (409, "It is too late for that")


async def test_a_running_execution_is_cancelled_by_its_runner(door: Door, hire: Hire) -> None:
    """The runner answers, and its result says so."""

    async def until_cancelled(told: Told) -> None:
        await told.running()
        await told.cancelled.wait()
        await told.ends(state=State.CANCELLED, verdict=None, exit_code=None, message="It was cancelled.")

    await hire(until_cancelled)
    _, accepted = await door.submit()
    await until(door, accepted["execution_id"], "running")
    status, _ = await door.call("DELETE", f"/api/v1/executions/{accepted['execution_id']}")
    assert status == 202
    assert (await until(door, accepted["execution_id"], "cancelled"))["verdict"] is None


async def test_a_program_s_fault_is_told_as_verdict_and_cause(door: Door, hire: Hire) -> None:
    """A bad program is a 200."""

    async def fails(told: Told) -> None:
        await told.running()
        await told.ends(
            verdict=Verdict.SIGNALLED, cause=Cause.PROGRAM, exit_code=None, signal="SIGSEGV", message="It died."
        )

    await hire(fails)
    status, execution = await door.submit("?wait=true")
    assert status == 200
    assert (execution["verdict"], execution["cause"], execution["exit_code"]) == ("signalled", "program", None)
    assert (execution["signal"], execution["message"]) == ("SIGSEGV", "It died.")


async def test_the_list_is_newest_first_in_pages_and_by_status(door: Door, hire: Hire) -> None:
    """A cursor goes on where the page ended."""
    await hire(hello)
    identities = [(await door.submit("?wait=true"))[1]["execution_id"] for _ in range(5)]
    _, first = await door.call("GET", "/api/v1/executions?limit=3")
    _, rest = await door.call("GET", f"/api/v1/executions?limit=3&cursor={first['next_cursor']}")
    listed = [entry["execution_id"] for entry in first["executions"] + rest["executions"]]
    assert listed == identities[::-1]
    assert rest["next_cursor"] is None
    assert first["executions"][0]["verdict"] == "ok"
    _, none = await door.call("GET", "/api/v1/executions?status=running")
    assert none["executions"] == []


async def test_a_client_that_goes_away_while_it_waits_leaves_nothing_behind(door: Door, hire: Hire) -> None:
    """Its place among the waiters is given up, and the execution ends all the same."""
    finish = asyncio.Event()

    async def slowly(told: Told) -> None:
        await told.running()
        await finish.wait()
        await told.ends()

    runner = await hire(slowly)
    waiting = asyncio.create_task(door.submit("?wait=true"))
    async with asyncio.timeout(10):
        await runner.has_a_job.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await door.client.close()
    door.stop.set()
    # had a waiter been left, the stop would take all of its drain time
    async with asyncio.timeout(door.settings.drain_s / 2):
        await door.serving
    finish.set()


async def test_priorities_go_to_their_own_queues(door: Door, bus: Any) -> None:
    """high, normal and low are the classes priority, standard and bulk."""
    for priority in ("high", "normal", "low", "low"):
        await door.submit(priority=priority)
    depths = {
        job_class: (await bus.api(f"STREAM.INFO.{jobs_stream(door.region.name, job_class)}"))["state"]["messages"]
        for job_class in Class
    }
    assert depths == {Class.PRIORITY: 1, Class.STANDARD: 1, Class.BULK: 2}
