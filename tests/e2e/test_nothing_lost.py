"""kill -9 of any process, and an orderly stop: no accepted job is lost, and each has exactly one stored result."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from jobs.region import embedded
from jobs.service.bus import Bus
from jobs.states import Class
from jobs.streams import jobs_stream, results_stream, results_subject
from yurt import Output, SyncClient

pytestmark = pytest.mark.network

SLOW = "import time; print('begun', flush=True); time.sleep({seconds}); print('done', flush=True)"
REGION = embedded("local")


def begin(client: SyncClient, seconds: float = 2) -> str:
    """Submit a program that takes a while, and return its id once it has begun."""
    execution_id = client.submit("python", SLOW.format(seconds=seconds), timeout=20)["execution_id"]
    for event in client.stream(execution_id):
        if isinstance(event, Output):
            return execution_id
    raise AssertionError("it ended without output")


def stored(network: Any, execution_id: str) -> int:
    """How many results are stored for it."""

    async def count(bus: Bus) -> int:
        subject = results_subject(REGION.name, execution_id)
        info = await bus.api(f"STREAM.INFO.{results_stream(REGION.name)}", {"subjects_filter": subject})
        return int((info["state"].get("subjects") or {}).get(subject, 0))

    return asked(network, count)


def queued(network: Any) -> int:
    """How many jobs are in the queues, waiting or running."""

    async def count(bus: Bus) -> int:
        infos = [await bus.api(f"STREAM.INFO.{jobs_stream(REGION.name, job_class)}") for job_class in Class]
        return sum(info["state"]["messages"] for info in infos)

    return asked(network, count)


def asked(network: Any, question: Any) -> int:
    async def ask() -> int:
        bus = await Bus.connect([network.nats_url()], name="test")
        try:
            return int(await question(bus))
        finally:
            await bus.close()

    return asyncio.run(ask())


def assert_one_result(network: Any, client: SyncClient, execution_id: str, *, attempt: int | None = None) -> None:
    execution = client.wait(execution_id)
    assert (execution["status"], execution["verdict"]) == ("completed", "ok"), execution
    assert execution["stdout"] == "begun\ndone\n"
    if attempt is not None:
        assert execution["attempt"] == attempt
    assert stored(network, execution_id) == 1


def test_a_killed_runners_job_runs_again_and_has_one_result(network: Any, client: SyncClient) -> None:
    execution_id = begin(client)
    network.lose("runner")
    assert_one_result(network, client, execution_id, attempt=2)
    network.until(lambda: queued(network) == 0)
    network.settle()


def test_a_listener_of_a_lost_runner_is_told_the_output_anew(network: Any, client: SyncClient) -> None:
    execution_id = begin(client)
    stream = client.stream(execution_id)
    network.lose("runner")
    texts = [event.text for event in stream if isinstance(event, Output)]
    assert "".join(texts).endswith("begun\ndone\n")
    network.settle()


def test_a_result_is_read_by_its_id_after_the_gateway_was_killed(network: Any, client: SyncClient) -> None:
    execution_id = begin(client)
    network.lose("gateway")
    network.settle()
    assert_one_result(network, client, execution_id, attempt=1)


def test_accepted_jobs_outlive_a_killed_nats(network: Any, client: SyncClient) -> None:
    running = begin(client)
    waiting = [client.submit("python", SLOW.format(seconds=0), timeout=20)["execution_id"] for _ in range(10)]
    network.lose("nats")
    for execution_id in (running, *waiting):
        assert_one_result(network, client, execution_id)
    network.until(lambda: queued(network) == 0)
    network.settle()


def test_an_orderly_stop_finishes_what_runs_and_keeps_what_is_queued(network: Any, client: SyncClient) -> None:
    """Two slots: two run, the others wait. After the restart the two have their results, and the others run."""
    running = [begin(client), begin(client)]
    waiting = [client.submit("python", SLOW.format(seconds=0), timeout=20)["execution_id"] for _ in range(5)]
    assert network.stop() == 0
    stopped = network.said
    network.start()
    network.settle()
    for execution_id in (*running, *waiting):
        client.result(execution_id)  # known at once, also what waits
        assert_one_result(network, client, execution_id, attempt=1)
    assert "was killed" not in stopped


def test_a_runner_that_is_told_to_stop_drains(network: Any, client: SyncClient) -> None:
    running = [begin(client), begin(client)]
    waiting = client.submit("python", SLOW.format(seconds=0), timeout=20)["execution_id"]
    before = network.pid("runner")
    network.kill("runner", signal.SIGTERM)
    for execution_id in (*running, waiting):
        assert_one_result(network, client, execution_id, attempt=1)
    network.until(lambda: network.pid("runner") != before)
    network.settle()


def test_nothing_outlives_a_killed_network_and_the_next_start_has_everything(network: Any, client: SyncClient) -> None:
    """Not its processes, not the program that was running; but what it stored."""
    done = client.execute("python", "print('kept')")["execution_id"]
    mark = f"mark-{uuid.uuid4().hex}"
    program = "#include <unistd.h>\nint main() { sleep(25); }"
    running = client.submit("cpp", program, args=[mark], timeout=30)["execution_id"]
    network.until(lambda: with_argument(mark))
    pids = [process["pid"] for process in network.status()["processes"]]
    assert network.stop(signal.SIGKILL) == -signal.SIGKILL
    network.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    network.until(lambda: not with_argument(mark))
    network.start()
    network.settle()
    assert client.result(done)["stdout"] == "kept\n"
    client.cancel(running)
    assert client.wait(running)["status"] == "cancelled"


def with_argument(word: str) -> list[str]:
    """The processes of this machine that were started with *word*."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(folder.name)
    return found
