"""What a container is given, as the OCI's runtimes read it (``config.json``); a checkpoint and its restores share one.

No network but loopback, a read-only root, memory for what is written (gVisor counts it), no capability, no new
privileges, bounds of files. Bounds of memory and the core are our control groups' and the process's (``runsc``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.engines.docker.inside import files
from runner.languages.contract import ENVIRONMENT, Boot, Installation

PYTHON = "/usr/bin/python3.11"  #: of images whose language is another
OPEN_FILES = 4096
STACK_ROOM = 512 << 20
UNLIMITED = (1 << 64) - 1
USER = 1000
OWN = ("rw", "exec", "nosuid", "nodev", "size=1g", "mode=0755", f"uid={USER}", f"gid={USER}")
CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")
MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware", "/sys/fs")


def write(folder: Path, root: Path, installation: Installation, boot: Boot, binds: Mapping[str, Path]) -> None:
    """The bundle of *installation*'s process 1; *binds*: files of ours at paths of the room, read-only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config(root, installation, boot, binds), indent=1))


def _config(root: Path, installation: Installation, boot: Boot, binds: Mapping[str, Path]) -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "hostname": "yurt",
        "root": {"path": str(root), "readonly": True},
        "process": _process(installation, boot),
        "mounts": [*_mounts(boot), *(_bind(target, source) for target, source in binds.items())],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "maskedPaths": list(MASKED),
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def _process(installation: Installation, boot: Boot) -> dict[str, Any]:
    interpreter = boot.argv[0] if boot.argv and boot.interpreter else PYTHON
    script = "goes_on.py" if boot.interpreter else "zygote.py"
    env = {**ENVIRONMENT, "PATH": installation.path, "ZYGOTE_CONFIG": "1", "LD_BIND_NOW": "1"}
    env |= {"ZYGOTE_REHEARSAL": boot.rehearsal} if boot.rehearsal else {}
    return {
        "terminal": False,
        "user": {"uid": USER, "gid": USER, "umask": 0o022},
        "args": [interpreter, f"{files.FOLDER}/{script}"],
        "env": [f"{name}={value}" for name, value in env.items()],
        "cwd": "/workspace",
        "capabilities": {kind: [] for kind in CAPABILITIES},
        "noNewPrivileges": True,
        "rlimits": [
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_NOFILE", "soft": OPEN_FILES, "hard": OPEN_FILES},
            {"type": "RLIMIT_STACK", "soft": STACK_ROOM, "hard": UNLIMITED},
        ],
    }


def _mounts(boot: Boot) -> list[dict[str, Any]]:
    own = {"/workspace": OWN, "/tmp": (*OWN[:5], "mode=1777"), **({} if boot.interpreter else {"/box": OWN})}
    return [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        _mount("/dev/shm", "tmpfs", "nosuid", "nodev", "mode=1777", "size=1g"),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        *(_mount(target, "tmpfs", *options) for target, options in own.items()),
    ]


def _mount(target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(target: str, source: Path) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": str(source), "options": ["bind", "ro"]}
