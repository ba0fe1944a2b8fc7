"""Fleets of a living network: languages move between two of them under load, a runner is killed in the middle of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from jobs import wire
from jobs.errors import WireFault
from jobs.events import Running
from jobs.service.bus import Bus
from jobs.states import Class
from jobs.streams import jobs_stream, output_stream, output_subject, results_stream
from tests.e2e.conftest import LANGUAGES, Network, until

pytestmark = pytest.mark.network

PAUSE_S = 0.25  #: between submissions
PROGRAMS = {
    "python": "import time; time.sleep({n} % 3 * 0.4); print({n})",
    "javascript": "setTimeout(() => console.log({n}), {n} % 3 * 300)",
    "go": 'package main\nimport "fmt"\nfunc main() {{ fmt.Println({n}) }}',
    "cpp": '#include <cstdio>\nint main() {{ std::puts("{n}"); }}',
    "rust": 'fn main() {{ println!("{n}"); }}',
    "java": "class Main {{ public static void main(String[] a) {{ System.out.println({n}); }} }}",
}


def region(*one: str) -> str:
    """A region file where the fleet "one" serves these languages, and "two" the others."""
    two = sorted(LANGUAGES - set(one))
    return (
        'region = "local"\n[delivery]\nack_wait_s = 2\n'
        f'[[fleets]]\nname = "one"\nlanguages = {sorted(one)}\n[[fleets]]\nname = "two"\nlanguages = {two}\n'
    )


class Split(Network):
    """A network of two fleets."""

    def split(self, *one: str) -> None:
        """As a person does it: the region file is changed, and ``yurt bootstrap`` told of it."""
        self._region_file.write_text(region(*one))
        done = self.yurt("bootstrap", "--idle", "--region-file", str(self._region_file), "--nats", self.nats_url())
        assert done.returncode == 0, done.stderr.decode()

    def runners(self) -> list[int]:
        return [process["pid"] for process in self.status()["processes"] if process["role"] == "runner"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    network = Split(tmp_path_factory.mktemp("fleets"))
    network._region_file.write_text(region("python", "cpp"))
    network.start()
    network.settle()
    yield network
    assert network.stop() == 0, network.said


class Load:
    """Submits programs in all languages in turn, until ``stop``; what was accepted, and what it must print."""

    def __init__(self, network: Split) -> None:
        self.accepted: dict[str, int] = {}
        self.refused: list[str] = []
        self._network, self._stop = network, threading.Event()
        self._thread = threading.Thread(target=self._submit)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _submit(self) -> None:
        with self._network.client(patience_s=1) as client:
            for number in itertools.count():
                language = sorted(PROGRAMS)[number % len(PROGRAMS)]
                code = PROGRAMS[language].format(n=number)
                try:
                    self.accepted[client.submit(language, code)["execution_id"]] = number
                except Exception as error:
                    self.refused.append(f"{language}: {error}")
                if self._stop.wait(PAUSE_S):
                    return


def test_each_fleet_has_a_runner_of_its_own(network: Split) -> None:
    """``yurt up`` starts one a fleet, and together they offer everything."""
    assert len(network.runners()) == 2


def test_languages_move_back_and_forth_under_load_and_nothing_is_lost(network: Split) -> None:
    """All that was accepted has exactly one result and nothing was refused; what ran twice had lost its runner.

    The runner is killed while it runs a job whose language leaves its fleet: the job comes back to that fleet.
    """
    load = Load(network)
    try:
        for one in (("python", "go"), ("cpp", "rust", "javascript"), ("python",)):
            move(network, load, *one)
        lost = lose_a_runner(network, load)
        for one in (("java",), ("python", "cpp")):
            move(network, load, *one)
    finally:
        load.stop()
    assert load.refused == []
    with network.client() as client:
        ended = {execution_id: client.wait(execution_id) for execution_id in load.accepted}
    for execution_id, number in load.accepted.items():
        execution = ended[execution_id]
        assert (execution["status"], execution["stdout"]) == ("completed", f"{number}\n"), execution
    results, queued, runs = asyncio.run(audit(network, list(load.accepted)))
    assert {results[execution_id] for execution_id in load.accepted} == {1}
    assert queued == 0
    twice = {execution_id for execution_id in load.accepted if runs[execution_id] > 1}
    assert lost in twice
    assert [execution_id for execution_id in twice if ended[execution_id]["attempt"] == 1] == []
    print(f"{len(load.accepted)} accepted, {len(twice)} of them ran again after their runner was killed")


def move(network: Split, load: Load, *one: str) -> None:
    """And every language is submitted again before it returns."""
    network.split(*one)
    enough = len(load.accepted) + len(PROGRAMS)
    until(lambda: len(load.accepted) > enough)


def lose_a_runner(network: Split, load: Load) -> str:
    """kill -9 of the runner that has a certain job; which job."""
    with network.client() as client:
        execution_id = client.submit("python", "import time; time.sleep(2); print(-1)")["execution_id"]
        load.accepted[execution_id] = -1

        def runner() -> Any:
            execution = client.result(execution_id)
            return execution["status"] == "running" and execution["runner"]

        os.kill(int(until(runner).rpartition("-")[2]), signal.SIGKILL)
    return execution_id


async def audit(network: Split, accepted: list[str]) -> tuple[Counter[str], int, Counter[str]]:
    """By id, from the streams themselves: results stored; jobs still queued; how often each began to run."""
    bus = await Bus.connect([network.nats_url()], name="audit")
    try:
        info = await bus.api(f"STREAM.INFO.{results_stream('local')}", {"subjects_filter": "results.local.*"})
        results = Counter({subject.rpartition(".")[2]: count for subject, count in info["state"]["subjects"].items()})
        queues = [await bus.api(f"STREAM.INFO.{jobs_stream('local', job_class)}") for job_class in Class]
        runs: Counter[str] = Counter()
        for execution_id in accepted:
            told = await bus.all(output_stream("local"), output_subject("local-1", execution_id))
            runs[execution_id] = sum(map(began, told))
        return results, sum(queue["state"]["messages"] for queue in queues), runs
    finally:
        await bus.close()


def began(data: bytes) -> bool:
    try:
        wire.unpack_as(Running, data)
    except WireFault:
        return False
    return True
