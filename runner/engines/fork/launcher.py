"""The launcher: builds a language's root in a mount namespace of its own, pivots into it, and becomes the zygote.

Run by the runner as ``python -I launcher.py CONFIG_FD``, as root, with the control socket on descriptor 3. Its phases,
in order: ``apart`` (namespaces), ``lay_out`` (folders, read-only binds, devices, /etc), ``pivot``, then either exec of
the language's own interpreter on ``goes_on``, or the zygote right here.

The root is a small tmpfs, read-only once the zygote is ready, in which host folders are bound read-only. Its
``/workspace`` holds the zygote's source for the interpreter to import; every sandbox mounts its own over it.
"""

from __future__ import annotations

import marshal
import os
import re  # noqa: F401  # loaded for the zygote, which finds no library once it has pivoted
import resource
import shutil
import signal
import stat
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kernel
import protocol
import zygote  # it lies beside this file, and must be importable without our packages

MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2
STACK_ROOM = 512 << 20
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, 155)

FOLDERS = (
    "dev/shm",
    "etc",
    "proc",
    "sys/devices/system/cpu",
    "tmp",
    "usr",
    "var",
    "workspace",
    "box",
    "run",
    "home",
    "opt",
    "root",
)
LINKS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib64": "usr/lib64",
    "lib32": "usr/lib32",
    "dev/fd": "/proc/self/fd",
    "dev/stdin": "/proc/self/fd/0",
    "dev/stdout": "/proc/self/fd/1",
    "dev/stderr": "/proc/self/fd/2",
    "var/tmp": "/tmp",
    "home/runner": "/workspace",
    "etc/localtime": "/usr/share/zoneinfo/UTC",
    "etc/mtab": "/proc/self/mounts",
}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nrunner:x:1000:1000:runner:/workspace:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nrunner:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost yurt\n::1 localhost\n",
    "etc/hostname": "yurt\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "etc/resolv.conf": "",
    "etc/timezone": "Etc/UTC\n",
    # one core's worth, for what asks here instead of the affinity (C++'s hardware_concurrency, Python's cpu_count)
    "sys/devices/system/cpu/online": "0\n",
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
}
ZYGOTE_FILES = (
    "protocol.py",
    "kernel.py",
    "program.py",
    "bring_back.py",
    "shown.py",
    "settle.py",
    "zygote.py",
    "goes_on.py",
)
COPIES = ("etc/ld.so.cache", "etc/ld.so.conf", "etc/os-release", "etc/mime.types")


def main() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    hear_all_signals()
    config = marshal.loads(Path(f"/proc/self/fd/{sys.argv[1]}").read_bytes())
    os.close(int(sys.argv[1]))
    config["pts_fd"] = os.open("/dev/pts", os.O_RDONLY | os.O_DIRECTORY)
    config["proc_fd"] = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    config["cgroup_fds"] = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in config["cgroups"]]
    root = Path(config["root"])
    apart(root)
    config["own_namespaces"] = own_namespaces()
    lay_out(root, config)
    pivot(root)
    become_zygote(config)


def hear_all_signals() -> None:
    """What started us may ignore signals, and that is inherited: a shell does so with what it puts behind (``&``),
    nohup too, and make's spawn with the two that the C library keeps to itself: only the system call mends those."""
    for known in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # which every interpreter ignores
        if signal.getsignal(known) == signal.SIG_IGN:
            signal.signal(known, signal.SIG_DFL)
    rt_sigaction = {"x86_64": 13, "aarch64": 134}[os.uname().machine]
    for number in (32, 33):
        kernel.libc.syscall(rt_sigaction, number, bytes(32), None, 8)


def apart(root: Path) -> None:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC)
    kernel.mount(None, b"/", None, MS_REC | MS_PRIVATE, None)
    kernel.mount(b"tmpfs", bytes(root), b"tmpfs", kernel.MS_NOSUID, b"mode=0755,size=16m")
    hostname = b"yurt"
    kernel.libc.sethostname(hostname, len(hostname))
    os.umask(0o022)


def own_namespaces() -> list[tuple[int, int]]:
    """Where the zygote goes back to after it has made a sandbox: descriptor and kind of each namespace."""
    kinds = {
        "mnt": kernel.CLONE_NEWNS,
        "ipc": kernel.CLONE_NEWIPC,
        "uts": kernel.CLONE_NEWUTS,
        "pid": kernel.CLONE_NEWPID,
    }
    return [(os.open(f"/proc/self/ns/{name}", os.O_RDONLY), kind) for name, kind in kinds.items()]


def lay_out(root: Path, config: dict) -> None:
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for link, target in LINKS.items():
        if not target.startswith("usr/") or Path("/", target).exists():
            (root / link).symlink_to(target)
    for name, (major, minor) in DEVICES.items():
        os.mknod(root / "dev" / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        (root / "dev" / name).chmod(0o666)
    for name, text in FILES.items():
        (root / name).write_text(text)
    for name in COPIES:
        if Path("/", name).is_file():
            shutil.copyfile(Path("/", name), root / name)
    for source, target in config["mounts"]:
        bind(source, root / target.lstrip("/"))
    if config["interpreter"]:
        for name in ZYGOTE_FILES:
            shutil.copyfile(Path(__file__).parent / name, root / "workspace" / name)
        (root / "workspace/rehearsal.py").write_text('print("hello")\n')
    (root / zygote.REAPER.lstrip("/")).write_bytes(kernel.reaper())
    (root / zygote.REAPER.lstrip("/")).chmod(0o755)
    for name in ("tmp", "dev/shm"):
        (root / name).chmod(0o1777)


def bind(source: str, target: Path) -> None:
    """*source* at *target*, read-only, without set-user-ids and devices."""
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    kernel.mount(source.encode(), bytes(target), None, kernel.MS_BIND | MS_REC, None)
    flags = kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount(None, bytes(target), None, flags, None)


def pivot(root: Path) -> None:
    os.chdir(root)
    kernel.check(kernel.libc.syscall(SYS_PIVOT_ROOT, b".", b"."), "pivot_root")
    kernel.check(kernel.libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def become_zygote(config: dict) -> None:
    for name in ("root", "mounts", "cgroups"):  # of the host, and a program may search its memory
        del config[name]
    body = marshal.dumps(config, 2)
    source = os.memfd_create("config", 0)
    os.write(source, body)
    os.lseek(source, 0, os.SEEK_SET)
    os.dup2(source, config["config_fd"])
    os.set_inheritable(config["config_fd"], True)
    if not config["interpreter"]:
        zygote.main(config["config_fd"])
        return
    for fd in (
        protocol.CONTROL_FD,
        config["proc_fd"],
        config["pts_fd"],
        *config["cgroup_fds"],
        *(fd for fd, _ in config["own_namespaces"]),
    ):
        os.set_inheritable(fd, True)
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    room = STACK_ROOM if hard == resource.RLIM_INFINITY else min(STACK_ROOM, hard)
    resource.setrlimit(resource.RLIMIT_STACK, (room, hard))  # where memory is mapped leaves this much for its stack
    env = {**config["env"], "ZYGOTE_CONFIG": str(config["config_fd"]), "LD_BIND_NOW": "1"}
    env |= {"ZYGOTE_REHEARSAL": config["rehearsal"]} if config["rehearsal"] else {}
    os.execve(config["interpreter"], [config["shown"], "/workspace/goes_on.py"], env)


if __name__ == "__main__":
    main()
