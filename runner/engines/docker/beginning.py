"""How process 1 (``inside.zygote``) begins: by which boot, what it is told, and until it says that the program waits.

The same for whoever makes containers: a daemon, or runsc itself.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Protocol

from jobs.errors import SandboxFault
from jobs.limits import COMPILE_FILE_BYTES, DEFAULTS, MIB
from runner.engines.docker import labels
from runner.engines.docker.sandbox import READY
from runner.engines.fork.sandbox import rlimits
from runner.languages.contract import ENVIRONMENT, Boot, Installation, Room

PROCESS_1 = 1  #: it has the program's user, so what may not be done to it is refused to the program by our filter
READY_S = 60.0  #: a variant imports its libraries in it
BOOT_S = 0.8  #: how long a runtime that was exec'd ahead may take until it waits
MOST_SAID = 65536
FRESH_S = 3600.0


class Outputs(Protocol):
    """What a container says."""

    async def read(self) -> tuple[int, bytes] | None:
        """1 or 2 for its two outputs, and some of it; None at the end."""
        ...


def told(installation: Installation, boot: Boot, mark: bytes, *, seccomp: str, tty: bool) -> dict[str, Any]:
    """What process 1 must know."""
    ahead = is_ahead(boot)
    file_bytes = COMPILE_FILE_BYTES if boot.room == Room.BUILD else DEFAULTS.file_bytes
    env = {**ENVIRONMENT, "PATH": installation.path}
    return {
        "mark": mark,
        "seccomp": seccomp,
        "interpreter": boot.interpreter,
        "shown": Path(boot.argv[0]).name if boot.argv and boot.interpreter else "init",
        "tty": tty,
        "env": env,
        "boot": {
            "argv": list(boot.argv or ()) if ahead else [],
            "env": {**env, **boot.env},
            "limits": rlimits(file_bytes, boot.memory_mb * MIB) if ahead else {},
        },
    }


def today(folder: Path, installation: Installation) -> dict[str, Path]:
    """A file in *folder* that holds today's time, by its path in the room, where this installation asks for one."""
    if labels.NOW not in installation.details:
        return {}
    now = folder / "now"
    if not now.exists() or time.time() - now.stat().st_mtime > FRESH_S:
        now.write_text(f"{int(time.time())}")
    return {installation.details[labels.NOW]: now}


async def ready(outputs: Outputs, mark: bytes) -> None:
    """Process 1 has said that the program waits; whatever else it says is about us."""
    said = {1: b"", 2: b""}
    try:
        async with asyncio.timeout(READY_S):
            while not said[1].endswith(mark + READY):
                got = await outputs.read()
                if got is None or len(said[got[0]]) > MOST_SAID:
                    words = (said[2] + said[1]).decode(errors="replace").strip()
                    raise SandboxFault(f"a container ended while it started: {words[-400:]}")
                said[got[0]] += got[1]
    except TimeoutError as error:
        raise SandboxFault(f"a container was not ready in {READY_S:.0f} s") from error


def is_ahead(boot: Boot) -> bool:
    return boot.argv is not None and not boot.interpreter


def with_cold(boots: tuple[Boot, ...]) -> tuple[Boot, ...]:
    """These, and for each room that has none a boot with nothing exec'd ahead."""
    return boots + tuple(
        Boot(room=room) for room in Room if not any(boot.room == room and not is_ahead(boot) for boot in boots)
    )


def chosen(boots: tuple[Boot, ...], room: Room, *, cold: bool) -> Boot:
    """The first boot of this room; for a cold one, the first with nothing exec'd ahead."""
    fitting = [boot for boot in boots if boot.room == room]
    return next(boot for boot in fitting if not (cold and is_ahead(boot)))
