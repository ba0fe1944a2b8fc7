"""The snapshot engine: a checkpoint of a warmed runtime, restored by ``runsc`` for each run, and used once.

Theory of operation. ``started`` looks which images lie in the folder, ends what runners that are gone have left, and
makes control groups. A language's ``prepare`` unpacks its image and takes its snapshots, once a machine (``archives``,
``checkpoints``); ``add`` takes hold of them. ``pitch`` restores one into a slot's control groups, sends process 1 its
configuration with a mark of its own, and waits until it says that the program waits. From there on a sandbox is that
of any container (``docker.sandbox``). Striking goes on in the background: a result does not wait for it.

Rules
1. A restore is told from another by what process 1 is told after it, and by what its program draws anew then.
2. No call waits without a deadline; what is in the background is awaited by ``close``, with one too.
3. A runner's sandboxes are named by its process and when that started (``owners``): the next one ends what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from jobs.errors import ConfigFault, SandboxFault
from jobs.languages import Language
from jobs.service.logs import event
from runner.engine import Sandbox
from runner.engines import gvisor
from runner.engines.docker import beginning, installed, labels
from runner.engines.docker.kernels import GVISORS
from runner.engines.docker.sandbox import DockerSandbox
from runner.engines.fork import protocol, seccomp
from runner.engines.snapshot import archives, checkpoints, kept, owners
from runner.engines.snapshot.archives import Archive
from runner.engines.snapshot.checkpoints import Snapshot, Workshop
from runner.engines.snapshot.container import Container, Streams
from runner.engines.snapshot.runsc import Runsc
from runner.engines.snapshot.slots import Slots
from runner.languages.contract import Boot, Installation, Report, Room, Support

log = logging.getLogger("snapshot")

CLOSE_S = 60.0
HOLD_TRIES = 3
RUNNING = "running"


class SnapshotEngine:
    """See ``runner.engine.Engine``. Made by ``started``."""

    def __init__(
        self, runsc: Runsc, found: Mapping[Language, Sequence[tuple[Installation, Archive]]], cache: Path
    ) -> None:
        self._runsc, self._found, self._cache = runsc, found, cache
        self.slots = Slots(cache / RUNNING)
        self._boots: dict[str, tuple[Boot, ...]] = {}
        self._snapshots: dict[tuple[str, bool], Snapshot] = {}
        self._held: dict[str, list[int]] = {}
        self._starting = asyncio.Semaphore(len(self.slots.cpus))
        self._seccomp = seccomp.compiled(spared=beginning.PROCESS_1).hex()
        self._living: set[DockerSandbox[Container]] = set()
        self._background: set[asyncio.Task[None]] = set()

    def abreast(self, installation: Installation) -> int:
        """A restore computes all the time that it takes."""
        return len(self.slots.cpus)

    def support(self, language: Support) -> Support:
        """That language, as the images hold it."""
        found = self._found.get(language.language, ())
        return installed.FromImages(language, [one for one, _ in found], prepare=self._prepare)

    async def add(self, installation: Installation, boots: tuple[Boot, ...]) -> None:
        """``SandboxFault`` where its snapshots are not there: ``prepare`` takes them."""
        boots = _with_plain(boots)
        if any((installation.name, boot.interpreter) not in self._snapshots for boot in boots):
            raise SandboxFault(f"no snapshot of {installation.name} was taken")
        self._boots[installation.name] = boots

    async def pitch(self, installation: Installation, room: Room, *, cold: bool = False, tty: bool = False) -> Sandbox:
        fitting = (boot for boot in self._boots[installation.name] if boot.room == room)
        boot = next(boot for boot in fitting if boot.argv is None or not (cold or tty))
        mark = secrets.token_bytes(16)
        snapshot = self._snapshots[installation.name, boot.interpreter]
        beginning.today(self._cache, installation)
        container = Container(self._runsc, self.slots.take(), Streams())
        try:
            async with self._starting:
                await container.begin(partial(self._runsc.restore, snapshot.bundle, snapshot.image))
            told = beginning.told(installation, boot, mark, seccomp=self._seccomp, tty=tty)
            container.streams.write(protocol.pack_order(told))
            await beginning.ready(container.streams, mark)
            container.slot.group.ground_bytes = (
                container.slot.group.held_bytes()
            )  # gVisor's kernel, and what was restored
        except BaseException:
            self._later(self.delete(container))
            raise
        loop = asyncio.get_running_loop()
        sandbox = DockerSandbox(
            container=container,
            group=container.slot.group,
            kernel=GVISORS,
            mark=mark,
            ready_at=loop.time() + (beginning.BOOT_S if beginning.is_ahead(boot) else 0.0),
            tty=tty,
            remove=self._remove,
            in_background=self._later,
        )
        self._living.add(sandbox)
        return sandbox

    def snapshot(self, installation: Installation) -> Snapshot:
        """That of the process 1 in which its programs go on."""
        return self._snapshots[installation.name, True]

    async def remove(self, installation: Installation) -> None:
        self._boots.pop(installation.name, None)
        self._let_go(installation.name)

    async def close(self) -> None:
        for sandbox in list(self._living):
            sandbox.strike()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._background:
                    await asyncio.gather(*self._background, return_exceptions=True)
        for name in list(self._held):
            self._let_go(name)
        await asyncio.to_thread(self.slots.close)

    # -- snapshots ----------------------------------------------------------------------------------------------

    def _prepare(self, support: Support, installation: Installation, report: Report) -> Installation:
        """In a thread: the image unpacked, and a snapshot of each kind of process 1 that the boots ask for."""
        archive = next(archive for one, archive in self._found[installation.language] if one == installation)
        self._let_go(installation.name)
        images = self._cache / "images"
        root = self._keep(installation, lambda: archives.unpacked(archive, images, report))
        plans = root / labels.PLANS.lstrip("/")
        details = {name: value.replace(labels.HERE, str(plans)) for name, value in installation.details.items()}
        installation = replace(installation, details=details)
        shop = Workshop(runsc=self._runsc, cache=self._cache / "snapshots", slot=self.slots.take())
        stale = archives.stale(images, (one for found in self._found.values() for _, one in found))
        try:
            for boot in _with_plain(tuple(support.boots(installation))):
                made = partial(self._made, shop, root, installation, boot, report)
                stale += checkpoints.stale(Snapshot(folder=self._keep(installation, made)))
        finally:
            self.slots.give(shop.slot)
        for folder in kept.sweep(stale):
            event(log, "removed", folder=folder.name, why="it is of another image, runsc or engine")
        return installation

    def _made(self, shop: Workshop, root: Path, installation: Installation, boot: Boot, report: Report) -> Path:
        kind = (installation.name, boot.interpreter)
        binds = beginning.today(self._cache, installation)
        self._snapshots[kind] = checkpoints.found_or_made(shop, root, installation, boot, binds, report)
        return self._snapshots[kind].folder

    def _keep(self, installation: Installation, make: Callable[[], Path]) -> Path:
        """What *make* finds or makes, held; once more where another runner removed it in between."""
        for _ in range(HOLD_TRIES):
            folder = make()
            with contextlib.suppress(FileNotFoundError):
                self._held.setdefault(installation.name, []).append(kept.hold(folder))
                return folder
        raise SandboxFault(f"{folder} is removed by another runner as soon as it is made")

    def _let_go(self, name: str) -> None:
        for fd in self._held.pop(name, ()):
            os.close(fd)

    # -- containers ---------------------------------------------------------------------------------------------

    async def delete(self, container: Container) -> None:
        try:
            await container.delete()
        except SandboxFault as fault:  # its slot is lost
            event(log, "not_deleted", level=logging.ERROR, why=str(fault))
        else:
            self.slots.give(container.slot)

    def _remove(self, sandbox: DockerSandbox[Container]) -> None:
        if sandbox in self._living:
            self._living.discard(sandbox)
            self._later(self.delete(sandbox.container))

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _with_plain(boots: tuple[Boot, ...]) -> tuple[Boot, ...]:
    """These, and for each room one that execs what it is told: the interpreter that waits has no terminal."""
    return boots + tuple(Boot(room=room) for room in Room)


async def started(*, program: str, images: Path, cache: Path) -> SnapshotEngine:
    """An engine with that ``runsc`` and the images of that folder; ``ConfigFault`` where it cannot serve."""
    if problem := gvisor.problem_of(program):
        raise ConfigFault(f"runsc: {problem}")
    found, faults = look(images)
    for fault in faults:
        event(log, "image_not_used", level=logging.WARNING, why=fault)
    if not found:
        raise ConfigFault(f"images: {images} has no image of a language that can be used; make them: make images")
    for name in await asyncio.to_thread(owners.reap, cache / RUNNING):
        event(log, "reaped", runner=name)
    return SnapshotEngine(Runsc(program), found, cache)


def look(images: Path) -> tuple[dict[Language, list[tuple[Installation, Archive]]], list[str]]:
    """What the folder's archives hold, and why others of them cannot be used."""
    found: dict[Language, list[tuple[Installation, Archive]]] = {}
    there, faults = archives.look(images)
    for archive in there:
        try:
            installation = installed.from_image(labels.Image(id=archive.id, name=archive.name, labels=archive.labels))
        except ConfigFault as fault:
            faults.append(str(fault))
            continue
        found.setdefault(installation.language, []).append((installation, archive))
    return found, faults


def problem_of(program: str, images: Path) -> str:
    """Why this engine cannot serve here, with the cure; empty where it can."""
    if problem := gvisor.problem_of(program):
        return problem
    found, faults = look(images)
    return "" if found else "; ".join(faults) or f"{images} has no image of a language: make images"
