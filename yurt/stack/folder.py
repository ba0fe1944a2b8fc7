"""Where a network on one machine keeps what it has: one folder, owned by one ``yurt up`` at a time.

    lock                 held (flock) by the process that has the folder; its text says who
    state.json           what runs: regions with their addresses, processes with their pids
    authority/           whom callers must trust, where it runs with --tls
    <region>/            a region's configuration files, logs/ and certificates/, and what its NATS servers keep:
                         jetstream/ of one on its own, jetstream-1/ … of those in a cluster

Theory of operation. The lock is the kernel's, so that it falls with the process that held it, however that ended. What
``state.json`` says of processes holds only for those that still live *and* started when it says: a pid is soon reused.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jobs.errors import ConfigFault

DEFAULT = ".yurt"


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of the network. ``started`` is the kernel's, in ticks since boot."""

    role: str
    region: str
    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return started_at(self.pid) == self.started


@dataclass(frozen=True, kw_only=True)
class Place:
    """A region's address, and those of its NATS: the first server's, and all of them."""

    region: str
    url: str
    nats: str
    ready: bool = False
    servers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class State:
    """What a network says of itself."""

    pid: int = 0
    started: int = 0
    places: tuple[Place, ...] = ()
    processes: tuple[Process, ...] = ()

    @property
    def alive(self) -> bool:
        """Whether the ``yurt up`` that wrote it still lives."""
        return self.pid > 0 and started_at(self.pid) == self.started

    def living(self) -> State:
        """The same, with only those processes that live; nothing at all where ``yurt up`` does not."""
        if not self.alive:
            return State()
        return replace(self, processes=tuple(process for process in self.processes if process.alive))


class Folder:
    """The data folder; ``take`` it before anything is started."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @classmethod
    def chosen(cls, given: str | None, environ: Mapping[str, str]) -> Folder:
        """The folder that ``--data`` or ``YURT_DATA`` names, else ``.yurt`` here."""
        return cls(Path(given or environ.get("YURT_DATA") or DEFAULT))

    def take(self) -> None:
        """Own the folder until this process ends; raises ``ConfigFault`` naming who has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise ConfigFault(f"{self.path} cannot be used: {error.strerror}; choose another with --data") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(lock, 64).decode(errors="replace").strip() or "another process"
            os.close(lock)
            raise ConfigFault(
                f"{self.path} belongs to the network of {holder}; end that one, or choose another folder with --data"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
        self._lock = lock

    def leave(self) -> None:
        """Give the folder back: nothing of ours runs any more. The ports stay noted for the next start."""
        self.write(State(places=tuple(replace(place, ready=False) for place in self.read().places)))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def region(self, name: str) -> Path:
        """A region's own folder, with its ``logs``."""
        path = self.path / name
        (path / "logs").mkdir(parents=True, exist_ok=True)
        return path

    def read(self) -> State:
        """The state as last written; an empty one where there is none or it cannot be read."""
        try:
            return _state(json.loads((self.path / "state.json").read_text()))
        except (OSError, ValueError, TypeError, KeyError):
            return State()

    def write(self, state: State) -> None:
        """The new state, whole or not at all."""
        fresh = self.path / "state.json.new"
        fresh.write_text(json.dumps(asdict(state), indent=2) + "\n")
        fresh.replace(self.path / "state.json")


def _state(table: dict[str, Any]) -> State:
    return State(
        pid=table["pid"],
        started=table["started"],
        places=tuple(Place(**{**place, "servers": tuple(place.get("servers", ()))}) for place in table["places"]),
        processes=tuple(Process(**process) for process in table["processes"]),
    )


def started_at(pid: int) -> int | None:
    """When a living process started, in ticks since boot; None where there is none (a zombie is none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
