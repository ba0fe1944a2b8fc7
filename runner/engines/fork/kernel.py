"""The kernel by its own names: the system calls that the standard library lacks, and their numbers.

It is imported by the launcher and by zygotes, so by interpreters of any version that may go on (3.11 and later).
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_THREAD = 0x00010000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 3, 4, 22, 24
PR_SET_NAME, PR_SET_MM, PR_SET_NO_NEW_PRIVS = 15, 35, 38
PR_SET_MM_MAP = 14
SYS_PIDFD_OPEN, SYS_CLOSE_RANGE = 434, 436
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, 126)
LAST_CAP = 40
SIOCGSKNS, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x894C, 0x8913, 0x8914
IFF_UP = 1
TIOCSCTTY, TIOCSWINSZ, TIOCSPTLCK, TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, what + ": " + os.strerror(number))
    return result


def unshare(flags):
    check(libc.unshare(flags), "unshare")


def setns(fd, kind):
    check(libc.setns(fd, kind), "setns")


def mount(source, target, kind, flags, data):
    check(libc.mount(source, target, kind, ctypes.c_ulong(flags), data), "mount")


def prctl(option, one=0, two=0, three=0, four=0):
    args = [ctypes.c_ulong(value) for value in (one, two, three, four)]
    return check(libc.prctl(option, *args), "prctl")


def close_from(first):
    if libc.syscall(SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0) < 0:
        os.closerange(first, 4096)  # an older kernel, or gVisor's


def drop_capabilities():
    """None is left, in any set."""
    for capability in range(LAST_CAP + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("<Ii", 0x20080522, 0)
    check(libc.syscall(SYS_CAPSET, header, bytes(24)), "capset")


class Filter(ctypes.Structure):
    """A compiled seccomp filter, as the kernel takes it (``struct sock_fprog``)."""

    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


def pidfd_open(pid):
    return check(libc.syscall(SYS_PIDFD_OPEN, pid, 0), "pidfd_open")


def ioctl(fd, request, argument):
    return check(libc.ioctl(fd, request, argument), "ioctl")


# -- process 1 of a sandbox ---------------------------------------------------------------------------------------

_REAPER = {
    "x86_64": (
        62,
        "b89d000000bf01000000be090000000f05b80d000000bf11000000488d351300000031d241ba080000000f05b8220000000f05ebf7"
        "0100000000000000000000000000000000000000000000000000000000000000",
    ),
    "aarch64": (
        183,
        "e81480d2200080d2210180d2010000d4c81080d2200282d281010010020080d2030180d2010000d4280980d2000080d2"
        "010080d2020080d2030080d2040080d2010000d4f9ffff17"
        "0100000000000000000000000000000000000000000000000000000000000000",
    ),
}
"""Machine; code: prctl(PR_SET_PDEATHSIG, SIGKILL), rt_sigaction(SIGCHLD, ignore), pause for ever; that sigaction."""


def reaper():
    """A program of two hundred bytes that is process 1: it ends with its parent, and orphans are reaped without a word.

    A fork of the interpreter could do the same; to make and to end one costs a third of what a small program does.
    """
    machine, code = _REAPER[os.uname().machine]
    text = bytes.fromhex(code)
    start, headers = 0x400000, 64 + 56
    size = headers + len(text)
    elf = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, machine, 1, start + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return elf + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 0x1000) + text
