"""Checkpoints of warmed runtimes: made once a machine, found again by what they were made from, removed when stale.

Theory of operation. Process 1 is started from the image's files. Where its language is an interpreter, it forks the
program at once, and that loads the libraries and walks the road of a small program; then process 1 says that all is
warm (``WAITS``), and reads. There both are checkpointed: before the first word was read, so that nothing in a
checkpoint is a secret, or has to do with a run. A restore reads on from there, is told its configuration, with a mark
of its own, and what was drawn by lot is drawn anew. So nothing large is ever forked, which would be a copy. Runtimes
that cannot be made to draw anew (Node, the JVM) are not in a checkpoint: process 1 starts them after the restore.

A checkpoint's *key* is the digest of all that it depends on: the image, runsc, this engine's files, the room's boot,
the processor's features and the kernel's release. A folder with another key of the same installation is stale.

Rules
1. A checkpoint is written beside its place and put there whole.
2. Who uses one holds it (``kept``), and who makes one holds it too: what is stale is removed once nobody does.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import select
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import SandboxFault
from runner.engines.docker.inside import files
from runner.engines.snapshot import bundle, kept
from runner.engines.snapshot.owners import end, forget
from runner.engines.snapshot.runsc import Runsc, last_words
from runner.engines.snapshot.slots import Slot
from runner.languages.contract import Boot, Installation, Report

WAITS = b"w"  #: what process 1 says when it is warm; ``inside.zygote`` says it
WARM_S = 120.0
_HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One kind of process 1 of an installation: what its restores are made from."""

    folder: Path
    seconds: float = 0.0  #: that it took to make; 0 where it was there

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def image(self) -> Path:
        return self.folder / "image"


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where checkpoints are made: by what, in which slot, and where they are kept."""

    runsc: Runsc
    cache: Path
    slot: Slot


def found_or_made(
    shop: Workshop, root: Path, installation: Installation, boot: Boot, binds: Mapping[str, Path], report: Report
) -> Snapshot:
    """The snapshot of this boot's process 1; made, which takes seconds, unless it is there."""
    key = _key(shop.runsc, installation, boot, root)
    kind = "interpreter" if boot.interpreter else "plain"
    folder = shop.cache / f"{installation.name}-{kind}-{key}"
    if folder.exists():
        return Snapshot(folder=folder)
    report(f"taking a snapshot of {installation.name}, started and warm")
    began = time.monotonic()
    shop.cache.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=shop.cache))
    held = kept.hold(beside)
    try:
        beside.chmod(0o700)
        made = Snapshot(folder=beside)
        bundle.write(made.bundle, root, installation, boot, binds)
        made.image.mkdir()
        _take(shop, made)
        beside.rename(folder)
    except OSError as error:
        if not folder.exists():  # else another runner was faster
            raise SandboxFault(f"the snapshot of {installation.name} could not be written: {error}") from error
    finally:
        os.close(held)
        shutil.rmtree(beside, ignore_errors=True)
    return Snapshot(folder=folder, seconds=time.monotonic() - began)


def stale(snapshot: Snapshot) -> list[Path]:
    """Those of the same installation and kind, whole or half made, that are not *snapshot*."""
    cache, (stem, _, _) = snapshot.folder.parent, snapshot.folder.name.rpartition("-")
    return [each for each in (*cache.glob(f"{stem}-*"), *cache.glob(f".{stem}-*")) if each != snapshot.folder]


def _key(runsc: Runsc, installation: Installation, boot: Boot, root: Path) -> str:
    found = hashlib.sha256()
    words = [runsc.version, files.digest(), installation.details["image"], str(root), _kind(boot), platform.release()]
    for part in (*words, *runsc.flags, _features(), *(path.read_text() for path in sorted(_HERE.glob("*.py")))):
        found.update(part.encode() + b"\0")
    return found.hexdigest()[:16]


def _kind(boot: Boot) -> str:
    """What of a boot process 1 is started with."""
    return repr((boot.argv, boot.rehearsal)) if boot.interpreter else "plain"


def _features() -> str:
    """What the processor can do: a checkpoint is bound to it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _take(shop: Workshop, snapshot: Snapshot) -> None:
    shop.slot.place.mkdir(mode=0o700, exist_ok=True)
    with _pipes() as (theirs, stdout, stderr):
        started = shop.runsc.run(snapshot.bundle, shop.slot, theirs)
        try:
            if started.wait(WARM_S):
                raise SandboxFault(f"runsc could not start a container: {last_words(_rest(stderr))}")
            _await_word(stdout, stderr)
            shop.runsc.checkpoint(shop.slot.place, snapshot.image)
        finally:
            started.kill()
            started.wait()
            end(shop.slot.members[0])
            forget(shop.slot.place)


@contextlib.contextmanager
def _pipes() -> Iterator[tuple[tuple[int, int, int], int, int]]:
    """The other side's three descriptors, and ours of its outputs; its input stays open and empty."""
    stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
    try:
        os.set_blocking(stdout[0], False)
        os.set_blocking(stderr[0], False)
        yield (stdin[0], stdout[1], stderr[1]), stdout[0], stderr[0]
    finally:
        for fd in (*stdin, *stdout, *stderr):
            os.close(fd)


def _await_word(stdout: int, stderr: int) -> None:
    deadline = time.monotonic() + WARM_S
    said = b""
    while not said:
        if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise SandboxFault(f"a runtime was not warm in {WARM_S:.0f} s: {last_words(_rest(stderr))}")
        said = _rest(stdout)
        if said != WAITS:
            raise SandboxFault(f"a runtime did not become warm: {last_words(_rest(stderr) + said)}")


def _rest(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""
