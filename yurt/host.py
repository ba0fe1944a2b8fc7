"""What this machine can do: looked at, never changed. Each lack comes with its cure.

Needed are what sandboxes stand on (Linux, root, namespaces, cgroup controllers, libseccomp), the NATS server, and at
least one language; the languages themselves are each a gain. Engines are looked at in ``yurt.host_engines``.
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
from runner.engines.fork import cgroups
from runner.languages.catalogue import SUPPORT
from yurt.stack.parts import nats_server

KERNEL = (5, 3)  #: pidfd_open
NAMESPACES = ("user", "pid", "mnt", "ipc", "uts", "net")
_LOOK_S = 20

#: the Debian packages that bring each language
PACKAGES: dict[Language, str] = {
    Language.PYTHON: "python3",
    Language.JAVASCRIPT: "nodejs",
    Language.JAVA: "default-jdk-headless",
    Language.GO: "golang",
    Language.CPP: "g++ mold",
    Language.RUST: "rustc mold",
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
    cure = "" if some else "install one of those below"
    language = Finding(what="a language", found="yes" if some else "none", good=some, cure=cure)
    return [*sandboxes_need(), _nats(), language, *tools]


def sandboxes_need() -> list[Finding]:
    """What the fork engine stands on."""
    return [_kernel(), _root(), _namespaces(), _cgroups(), _seccomp()]


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


def _namespaces() -> Finding:
    missing = [name for name in NAMESPACES if not Path(f"/proc/self/ns/{name}").exists()]
    problem = f"without {', '.join(missing)}" if missing else _cannot_unshare()
    return Finding(
        what="namespaces",
        found=problem or " ".join(NAMESPACES),
        good=not problem,
        cure="sysctl user.max_user_namespaces=15000; in a container, run it privileged" if problem else "",
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


def _cgroups() -> Finding:
    try:
        version, folders = cgroups.find(Path("/proc/self/mounts").read_text())
    except ConfigFault as error:
        return Finding(what="cgroups", found="not as needed", good=False, cure=str(error))
    closed = [str(folder) for folder in folders if not os.access(folder, os.W_OK)]
    return Finding(
        what="cgroups",
        found=f"version {version}" + (f", read-only: {', '.join(closed)}" if closed else ""),
        good=not closed,
        cure="run as root; in a container, run it privileged" if closed else "",
    )


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
    """What a runner would find here. Whether it works is the business of the runner's own self-tests."""
    for language, packages in PACKAGES.items():
        try:
            discovered = SUPPORT[language]().discover()
            versions = ["-".join(filter(None, (one.version, one.variant))) for one in discovered]
            problem = "missing"
        except OSError as error:
            versions, problem = [], str(error)
        yield Finding(
            what=language.value,
            found=", ".join(versions) or problem,
            good=bool(versions),
            needed=False,
            cure="" if versions else f"apt-get install {packages}",
        )
