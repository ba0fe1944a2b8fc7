"""What is wrong with a request is told, all of it, and nothing of it is accepted."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.stopping import hold
from yurt import Problem, SyncClient

pytestmark = pytest.mark.network


def refusal(network: Any, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{network.url}/api/v1/execute", data=body, headers={"Content-Type": "application/json", **headers}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as answer:
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        return answer.code, json.load(answer)


def test_all_faults_are_told_at_once_each_with_its_cure(client: SyncClient) -> None:
    with pytest.raises(Problem) as caught:
        client.submit("cobol", "x", timeout=99, memory_limit=3, cod="y")  # type: ignore[call-arg]
    assert caught.value.status == 422
    assert {fault.field for fault in caught.value.faults} == {"language", "timeout", "memory_limit", "cod"}
    assert all(fault.cure for fault in caught.value.faults)


def test_an_unknown_language_is_told_the_known_ones(client: SyncClient) -> None:
    with pytest.raises(Problem, match=r"python.*javascript.*java.*go.*cpp.*rust"):
        client.submit("cobol", "x")


def test_a_refused_program_is_one_line_and_exit_code_64(network: Any, tmp_path: Any) -> None:
    (tmp_path / "hello.py").write_text("print(1)")
    ended = network.yurt("run", str(tmp_path / "hello.py"), "--timeout", "99")
    assert ended.returncode == 64
    assert ended.stderr.startswith(b"yurt: timeout: ")
    assert ended.stderr.count(b"\n") == 1


def test_what_is_not_json_is_400(network: Any) -> None:
    assert refusal(network, b'{"language": ')[0] == 400


def test_an_oversize_body_is_413(network: Any) -> None:
    body = json.dumps({"language": "python", "code": "#" * (9 << 20)}).encode()
    assert refusal(network, body, Expect="100-continue")[0] == 413


def test_an_unknown_execution_is_404(client: SyncClient) -> None:
    with pytest.raises(Problem) as caught:
        client.result("0" * 26)
    assert caught.value.status == 404


def test_while_nats_does_not_answer_nothing_is_accepted_and_503_says_when_to_come_back(network: Any) -> None:
    nats = network.pid("nats")
    hold(nats)
    try:
        status, body = refusal(network, json.dumps({"language": "python", "code": "print(1)"}).encode())
    finally:
        os.kill(nats, signal.SIGCONT)
    assert (status, body["status"]) == (503, 503)
    network.settle()
