"""What this machine can do: looked at, never changed. Each lack comes with its cure.

Needed are what the fork engine stands on (Linux, root, namespaces, cgroup controllers, libseccomp), the NATS server,
and at least one language; the languages themselves are each a gain.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import ConfigFault
from jobs.languages import Language
from yurt.stack.parts import nats_server

KERNEL = (5, 3)  #: pidfd_open
NAMESPACES = ("user", "pid", "mnt", "ipc", "uts", "net")
CONTROLLERS = ("memory", "pids", "cpu")
_LOOK_S = 20

#: the programs that each language needs, and the Debian packages that bring them
TOOLS: dict[Language, tuple[tuple[str, ...], str]] = {
    Language.PYTHON: (("python3",), "python3"),
    Language.JAVASCRIPT: (("node",), "nodejs"),
    Language.JAVA: (("java", "javac"), "default-jdk-headless"),
    Language.GO: (("go",), "golang"),
    Language.CPP: (("g++",), "g++ mold"),
    Language.RUST: (("rustc",), "rustc mold"),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. ``cure`` is empty where all is well."""

    what: str
    found: str
    good: bool
    needed: bool = True
    cure: str = ""


def examine() -> list[Finding]:
    """Everything, in the order in which a person would mend it."""
    tools = list(_languages())
    some = any(finding.good for finding in tools)
    language = Finding(what="a language", found="yes" if some else "none", good=some, cure="install one of those below")
    return [_kernel(), _root(), *_namespaces(), *_cgroups(), _seccomp(), _nats(), language, *tools]


def _kernel() -> Finding:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    good = platform.system() == "Linux" and numbers >= KERNEL
    cure = "" if good else f"run on Linux {KERNEL[0]}.{KERNEL[1]} or newer"
    return Finding(what="kernel", found=f"{platform.system()} {release}", good=good, cure=cure)


def _root() -> Finding:
    uid = os.geteuid()
    return Finding(
        what="root",
        found="yes" if uid == 0 else f"uid {uid}",
        good=uid == 0,
        cure="" if uid == 0 else "run as root (sudo): sandboxes get user ids, mounts and cgroups of their own",
    )


def _namespaces() -> Iterator[Finding]:
    missing = [name for name in NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    problem = f"without {', '.join(missing)}" if missing else _cannot_unshare()
    yield Finding(
        what="namespaces",
        found=problem or "user pid mount ipc uts net",
        good=not problem,
        cure="allow them: sysctl user.max_user_namespaces=15000, and in a container run it privileged"
        if problem
        else "",
    )


def _cannot_unshare() -> str:
    """Why a process may not have namespaces of its own, tried in one; empty when it may."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ""
    words = [unshare, "--user", "--map-root-user", "--pid", "--fork", "--mount", "--ipc", "--uts", "--net", "true"]
    try:
        answer = subprocess.run(words, capture_output=True, timeout=_LOOK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return answer.stderr.decode(errors="replace").strip().removeprefix("unshare: ") if answer.returncode else ""


def _cgroups() -> Iterator[Finding]:
    version_1, version_2 = _mounted_controllers()
    for name in CONTROLLERS:
        path = version_2.get(name) or version_1.get(name)
        version = "v2" if name in version_2 else "v1"
        good = path is not None and os.access(path, os.W_OK)
        found = "not mounted" if path is None else version if good else f"{version}, read-only"
        cure = "mount cgroup v2 at /sys/fs/cgroup, writable (in a container: run it privileged)"
        yield Finding(what=f"cgroup {name}", found=found, good=good, cure="" if good else cure)


def _mounted_controllers() -> tuple[dict[str, Path], dict[str, Path]]:
    """Where each controller is: of version 1, and of version 2."""
    version_1: dict[str, Path] = {}
    version_2: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        path, (kind, _, options) = Path(before.split()[4]), after.split(maxsplit=2)
        if kind == "cgroup":
            version_1 |= dict.fromkeys(set(options.split(",")) & {*CONTROLLERS, "cpuacct"}, path)
        elif kind == "cgroup2" and (path / "cgroup.controllers").exists():
            version_2 |= dict.fromkeys((path / "cgroup.controllers").read_text().split(), path)
    return version_1, version_2


def _seccomp() -> Finding:
    found = ctypes.util.find_library("seccomp")
    return Finding(
        what="libseccomp",
        found=found or "missing",
        good=found is not None,
        cure="" if found else "apt-get install libseccomp2",
    )


def _nats() -> Finding:
    try:
        program = nats_server()
        answer = subprocess.run([program, "--version"], capture_output=True, timeout=_LOOK_S, check=True)
    except (ConfigFault, OSError, subprocess.SubprocessError) as error:
        return Finding(what="NATS server", found="missing", good=False, cure=f"make setup ({error})")
    return Finding(what="NATS server", found=answer.stdout.decode().strip().removeprefix("nats-server: "), good=True)


def _languages() -> Iterator[Finding]:
    for language, (programs, packages) in TOOLS.items():
        missing = [program for program in programs if shutil.which(program) is None]
        yield Finding(
            what=language.value,
            found=f"without {', '.join(missing)}" if missing else " ".join(shutil.which(p) or "" for p in programs),
            good=not missing,
            needed=False,
            cure=f"apt-get install {packages}" if missing else "",
        )
