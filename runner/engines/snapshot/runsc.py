"""The one module that knows runsc: its flags, its commands, and what it says when it fails. Every call has a deadline.

Flags: no network but loopback; no layer over the read-only root; control groups are ours (``slots``), which the process
joins before it is runsc; systrap, which needs no virtualisation.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.errors import SandboxFault
from runner.engines import gvisor
from runner.engines.snapshot.slots import Slot

FLAGS = (
    f"--platform={gvisor.PLATFORM}",
    "--network=none",
    "--overlay2=none",
    "--ignore-cgroups",
    "--host-uds=none",
    "--file-access=exclusive",
)
#: small pages only, where that can be chosen: a restore touches few, and does not fill two megabytes for each
SMALL_PAGES = "app-huge-pages"
NAME = "room"  #: of every container: each has a folder of its own for its state
CALL_S = 20.0
CHECKPOINT_S = 120.0
WORDS_BYTES = 65536
#: joins control groups, then is what it is told: so no process of ours is ever outside of them
JOIN = 'for group in $GROUPS_TO_JOIN; do echo 0 >"$group" || exit 70; done; unset GROUPS_TO_JOIN; exec "$@"'

Begin = Callable[[Slot, Sequence[int]], "subprocess.Popen[bytes]"]
"""Starts runsc for a container in that slot, with these three streams."""


class Runsc:
    """One runsc program, its version, and the flags that it is given."""

    def __init__(self, path: str) -> None:
        self._path, self.version = shutil.which(path) or path, gvisor.version_of(path)
        known = subprocess.run([self._path, "flags"], capture_output=True, timeout=CALL_S, check=False)
        has = SMALL_PAGES.encode() in known.stdout + known.stderr
        self.flags = (*FLAGS, f"--{SMALL_PAGES}=false") if has else FLAGS

    def restore(self, bundle: Path, image: Path, slot: Slot, ends: Sequence[int]) -> subprocess.Popen[bytes]:
        """Begin to restore; ``ended`` tells when it is done. *ends*: the container's three streams."""
        return self._begin(["restore", "--detach", f"--image-path={image}", f"--bundle={bundle}", NAME], slot, ends)

    def run(self, bundle: Path, slot: Slot, ends: Sequence[int]) -> subprocess.Popen[bytes]:
        """Begin to start a container afresh."""
        return self._begin(["run", "--detach", f"--bundle={bundle}", NAME], slot, ends)

    def checkpoint(self, place: Path, image: Path) -> None:
        """What the container of *place* is, into *image*; the container ends."""
        words = ["checkpoint", f"--image-path={image}", "--compression=none", "--exclude-committed-zero-pages", NAME]
        self._call(place, words, CHECKPOINT_S)

    async def kill(self, place: Path, number: int) -> None:
        """A signal to its process 1."""
        await asyncio.to_thread(self._call, place, ["kill", NAME, str(number)], CALL_S)

    # -- inside -------------------------------------------------------------------------------------------------

    def _words(self, place: Path, words: Sequence[str]) -> list[str]:
        return [self._path, f"--root={place}", *self.flags, *words]

    def _begin(self, words: Sequence[str], slot: Slot, ends: Sequence[int]) -> subprocess.Popen[bytes]:
        joined = ["/bin/sh", "-c", JOIN, "sh", *self._words(slot.place, words)]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "GROUPS_TO_JOIN": " ".join(map(str, slot.members))}
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {slot.cpu})  # of this thread; a child inherits it, and what is in the container sees it
        try:
            return subprocess.Popen(
                joined, stdin=ends[0], stdout=ends[1], stderr=ends[2], env=env, start_new_session=True
            )
        except OSError as error:
            raise SandboxFault(f"runsc could not be started: {error}") from error
        finally:
            os.sched_setaffinity(0, before)

    def _call(self, place: Path, words: Sequence[str], seconds: float) -> None:
        try:
            done = subprocess.run(self._words(place, words), capture_output=True, timeout=seconds, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxFault(f"runsc {words[0]} failed: {error}") from error
        if done.returncode:
            raise SandboxFault(f"runsc {words[0]} ended with {done.returncode}: {last_words(done.stderr)}")


async def ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Its exit code, once it has ended; after *seconds* it is killed, and ``SandboxFault`` raised."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    fd = os.pidfd_open(process.pid)
    loop.add_reader(fd, over.set)
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError as error:
        raise SandboxFault(f"runsc did not end in {seconds:.0f} s") from error
    finally:
        loop.remove_reader(fd)
        os.close(fd)
        if not over.is_set():
            process.kill()
        process.wait()
    return process.returncode


def last_words(said: bytes) -> str:
    """What runsc said last, for people."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else "nothing was said")[-400:]
