"""The walls that a sandbox may have, each as a network that was started with it, and the memory of what waits in one.

Theory of operation. *fork* is the network of this run, where that forks; every other wall is a network of its own, by
``yurt up --engine …``. Containers need a daemon: the one that ``DOCKER_HOST`` names, else one of this run, with
the archives of ``.images`` in it. What cannot be had here is ``Absent``, with the reason: nothing is left out silently.

Memory of a sandbox that waits is what its processes share out among them (PSS), all that serve nothing but this sandbox
counted: a container's shim, gVisor's kernel and its file server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import processes, warm_memory
from bench.arena import Arena
from bench.caller import Line, WrongAnswer
from bench.daemon import Daemon, NoDaemon, runsc
from bench.figures import median
from bench.network import Network, NoNetwork, started
from bench.processes import MIB
from jobs.languages import Language
from yurt.stack.progress import parsed

FORK, SNAPSHOT = "fork", "snapshot"
CONTAINERS = {"docker-runc": "runc", "docker-runsc": "runsc"}
WALLS = (FORK, *CONTAINERS, SNAPSHOT)
IMAGES = Path(__file__).resolve().parents[1] / ".images"
ASK_S = 30.0
SETTLED_S, STILL_S, LOOK_S = 60.0, 4.0, 0.2
#: what waits for each language in a forked sandbox, as ``warm_memory`` calls it; the others wait in a compiler's room
FORKED = {"python": "newest", "javascript": "node", "java": "java"}
COMPILERS = "(older, or a compiler's room)"
_PLACE, _BUNDLE = re.compile(r"--root=\S+/running/(\d+)-[^/ ]+/\d+"), re.compile(r"--bundle=\S+/snapshots/([a-z]+)-")
_WARM = re.compile(r'^code_runner_warm_containers\{language="(\w+)"\} ([0-9.]+)', re.MULTILINE)


class Absent(Exception):
    """This wall cannot be had here."""


@dataclass(frozen=True, kw_only=True)
class Wall:
    """A network whose sandboxes have this wall. ``waiting``: MB of a sandbox that waits, by language."""

    name: str
    network: Network
    languages: Mapping[str, str]
    admin: str  #: of its runner
    waiting: Callable[[], dict[str, float]]

    async def warm(self) -> dict[str, int]:
        """Sandboxes that wait at this moment, by language."""
        line = await Line.open(self.admin)
        try:
            status, said = await line.call("GET", "/metrics")
        finally:
            line.close()
        if status != 200:
            raise WrongAnswer(f"the runner's metrics: status {status}")
        return {language: int(float(count)) for language, count in _WARM.findall(said.decode())}

    async def settled(self) -> dict[str, int]:
        """What waits once no more comes: all versions are proved, and runtimes have had time to start."""
        until = time.monotonic() + SETTLED_S
        warm, since = await self.warm(), time.monotonic()
        while time.monotonic() < min(until, since + STILL_S):
            await asyncio.sleep(LOOK_S)
            if (now := await self.warm()) != warm:
                warm, since = now, time.monotonic()
        return warm


class Walls:
    """``open`` one after the other, ``close`` in the end."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._daemon: Daemon | None = None

    @contextlib.asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[Wall]:
        """The wall of that name; raises ``Absent``."""
        if name == FORK and await _forks(self._arena.network):
            yield await self._wall(name, self._arena.network)
            return
        environ = self._environ(name)
        with tempfile.TemporaryDirectory(prefix="yurt-bench-") as folder:
            words = ["--engine", name.partition("-")[0], "--quiet"]
            self._arena.says(f"  starting: yurt up {' '.join(words)} ({name})")
            try:
                async with started(Path(folder), *words, environ=environ) as network:
                    yield await self._wall(name, network)
            except NoNetwork as fault:
                raise Absent(f"{fault}") from fault

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()

    async def _wall(self, name: str, network: Network) -> Wall:
        python = await self._arena.python()
        memory: dict[str, Callable[[], dict[str, float]]] = {
            FORK: lambda: _of_forks(network, python),
            SNAPSHOT: lambda: _of_restored(network),
        }
        return Wall(
            name=name,
            network=network,
            languages=await Arena(network=network, quick=True).languages(),
            admin=_admin_of(network),
            waiting=memory.get(name, self._in_containers),
        )

    def _environ(self, name: str) -> dict[str, str]:
        environ = dict(os.environ)
        if self._arena.of:
            environ["YURT_LANGUAGES"] = ",".join(self._arena.of)
        if name in CONTAINERS:
            environ |= {"DOCKER_HOST": self._docker_url(), "YURT_DOCKER_RUNTIME": CONTAINERS[name]}
        if name == SNAPSHOT:
            program = runsc()
            if program is None:
                raise Absent("no runsc on PATH or in .tools/bin, or one that is too old")
            environ = {"YURT_IMAGES": str(IMAGES), "YURT_RUNSC": program, **environ}
        return environ

    # -- containers ---------------------------------------------------------------------------------------------

    def _docker_url(self) -> str:
        if os.environ.get("DOCKER_HOST"):
            return os.environ["DOCKER_HOST"]
        if self._daemon is None:
            archives = [IMAGES / f"{name}.tar" for name in self._arena.of or tuple(Language)]
            there = [archive for archive in archives if archive.exists()]
            if not there:
                raise Absent(f"no image of a language in {IMAGES}; make images")
            for archive in set(archives) - set(there):
                self._arena.says(f"  NO IMAGE of {archive.stem}: make images NAMES={archive.stem}")
            self._daemon = Daemon()
            try:
                self._daemon.start()
            except (NoDaemon, OSError) as lack:
                raise Absent(f"no Docker daemon: {lack}") from lack
            for archive in self._arena.each("loading images", there, len(there)):
                self._daemon.load(archive)
        return self._daemon.url

    def _in_containers(self) -> dict[str, float]:
        form = '{{.ID}} {{.Label "yurt.language"}}'
        words = ["docker", "--host", self._docker_url(), "ps", "--no-trunc", "--filter", "label=yurt.owner"]
        said = subprocess.run([*words, "--format", form], capture_output=True, text=True, timeout=ASK_S, check=True)
        shims = {_option(words, "-id"): pid for pid, words in _commands("containerd-shim")}
        sums: dict[str, list[float]] = defaultdict(list)
        for line in said.stdout.splitlines():
            container, _, language = line.partition(" ")
            if container in shims:
                sums[language].append(_pss([shims[container], *processes.descendants(shims[container])]))
        return {language: median(values) for language, values in sums.items()}


async def _forks(network: Network) -> bool:
    line = await Line.open(network.url)
    try:
        return all(entry["engines"] == [FORK] for entry in await line.get("/api/v1/languages"))
    finally:
        line.close()


def _admin_of(network: Network) -> str:
    """Where the runner tells its metrics, by its log."""
    assert network.data is not None
    [log] = network.data.glob("*/logs/runner.log")
    ports = [fields["admin_port"] for line in log.read_text().splitlines() if "admin_port" in (fields := parsed(line))]
    return f"http://127.0.0.1:{ports[-1]}"


# -- memory ------------------------------------------------------------------------------------------------------------


def _of_forks(network: Network, python: str) -> dict[str, float]:
    kinds = warm_memory.kinds(network.pids()["runner"], python, FORKED["python"])
    sums = {kind: median(_pss(pids) for pids in of_slots.values()) for kind, of_slots in kinds.items()}
    found = {language: sums[kind] for language, kind in FORKED.items() if kind in sums}
    rooms = [sums[kind] for kind in sums if COMPILERS in kind]
    return found | (dict.fromkeys(("go", "cpp", "rust"), rooms[0]) if rooms else {})


def _of_restored(network: Network) -> dict[str, float]:
    """By the folders that ``runsc`` was given: one a sandbox, and that of the snapshot, which names the language."""
    folders: dict[str, list[int]] = defaultdict(list)
    languages: dict[str, str] = {}
    for pid, words in _commands("runsc"):
        said = " ".join(words)
        place, bundle = _PLACE.search(said), _BUNDLE.search(said)
        if place and bundle and place[1] == str(network.pids()["runner"]):
            folders[place[0]] += [pid, *processes.descendants(pid)]
            languages[place[0]] = bundle[1]
    sums: dict[str, list[float]] = defaultdict(list)
    for folder, pids in folders.items():
        sums[languages[folder]].append(_pss(set(pids)))
    return {language: median(values) for language, values in sums.items()}


def _pss(pids: Iterable[int]) -> float:
    return sum(processes.memory(pid).pss for pid in pids) / MIB


def _commands(name: str) -> Iterator[tuple[int, list[str]]]:
    """The processes of this machine whose program is called so, with their words."""
    for entry in processes.PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if Path(words[0]).name.startswith(name):
                    yield int(entry.name), words


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words[:-1] else ""
