"""gVisor's program, ``runsc``: whether the one at hand can be used. It is asked, and nothing is started with it."""

from __future__ import annotations

import shutil
import subprocess

PLATFORM = "systrap"  #: needs no virtualisation and is the fastest without; releases before the summer of 2023 lack it
LOOK_S = 5.0
CURE = "install a newer runsc (https://gvisor.dev/docs/user_guide/install, or Debian's backports)"


def problem_of(program: str) -> str:
    """Why *program* cannot be used, with the cure; empty where it can."""
    path = shutil.which(program)
    if path is None:
        return f"there is no {program}; {CURE}"
    try:
        flags = subprocess.run([path, "flags"], capture_output=True, timeout=LOOK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} does not run: {error}; {CURE}"
    if PLATFORM.encode() not in flags.stdout + flags.stderr:
        return f"{path} is too old, it has no platform {PLATFORM}; {CURE}"
    return ""


def version_of(program: str) -> str:
    """As it says of itself: ``release-20240729.0``; empty where it does not."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, timeout=LOOK_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    first = said.decode(errors="replace").partition("\n")[0]
    return first.removeprefix("runsc version ").strip()
