"""The system calls that a program may make, as a compiled filter (libseccomp writes it, the kernel reads it).

The list is of what is allowed, by purpose; all else is refused. What is refused by ENOSYS is what libraries try first
and have an older way for (clone3, io_uring, …); everything else is EPERM. Namespaces, mounts, tracing, keys, modules,
time setting, bpf, perf, userfaultfd and the like are not on the list. Of sockets, only local and internet families
are, and the sandbox's network holds nothing but its own loopback. CPU affinity may be read but not widened: one core's
worth is what a run gets.

Sources: the system call table of Linux 6.x, and what container runtimes' default profiles leave out and why.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pyseccomp

FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1
inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir
mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs
statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes vmsplice
write writev
"""
MEMORY = """
brk get_mempolicy madvise mbind membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock
munlockall munmap pkey_alloc pkey_free pkey_mprotect set_mempolicy
"""
PROCESSES = """
alarm arch_prctl capget execve execveat exit exit_group fork futex futex_waitv get_robust_list getcpu getegid geteuid
getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid
ioprio_get kill personality pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_tid_address setfsgid setfsuid setgid
setgroups setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill
times tkill uname vfork wait4 waitid capset
"""
WAITING = """
clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
eventfd eventfd2 getitimer gettimeofday nanosleep pause poll ppoll pselect6 select setitimer signalfd signalfd4 time
timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime
"""
TALKING = """
accept accept4 bind connect getpeername getrandom getsockname getsockopt listen mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop
semtimedop sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair
"""
#: libraries try these and go another way when the kernel has none
UNKNOWN = "clone3 io_uring_setup io_uring_enter io_uring_register landlock_create_ruleset memfd_secret"

#: no new namespaces by clone
_NAMESPACES = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00020000 | 0x00000080
#: of a process, by its number, and at which argument that stands: signals, limits, rank
_DONE_TO_A_PROCESS = {
    **dict.fromkeys(("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open"), 0),
    **dict.fromkeys(("prlimit64", "sched_setattr", "sched_setparam", "sched_setscheduler"), 0),
    "setpriority": 1,
}
_FAMILIES = (1, 2, 10)  #: local, IPv4, IPv6
_NETLINK_ROUTE = (16, 0)  #: how a runtime lists its interfaces
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  #: put words into a terminal's mouth


def compiled(*, spared: int | None = None) -> bytes:
    """The filter for this machine's architecture, as the kernel's instructions.

    *spared*: the number of a process that shares the program's user, and to which nothing may be done.
    """
    refuse = pyseccomp.ERRNO(errno.EPERM)
    rules = pyseccomp.SyscallFilter(defaction=refuse)
    rules.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)  # a tree, not a list: a third of the steps a call
    for name in " ".join((FILES, MEMORY, PROCESSES, WAITING, TALKING)).split():
        if name == "ioctl":
            continue
        if spared is None or name not in _DONE_TO_A_PROCESS:
            _add(rules, pyseccomp.ALLOW, name)
        else:
            for mask, value in _all_but(spared):
                _add(rules, pyseccomp.ALLOW, name, _masked(_DONE_TO_A_PROCESS[name], mask, value))
    for name in UNKNOWN.split():
        _add(rules, pyseccomp.ERRNO(errno.ENOSYS), name)
    _add(rules, pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _NAMESPACES, 0))
    for family in _FAMILIES:
        _add(rules, pyseccomp.ALLOW, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    family, protocol = _NETLINK_ROUTE
    _add(
        rules,
        pyseccomp.ALLOW,
        "socket",
        pyseccomp.Arg(0, pyseccomp.EQ, family),
        pyseccomp.Arg(2, pyseccomp.EQ, protocol),
    )
    for mask, value in _all_but(_TIOCSTI, _TIOCLINUX):
        _add(rules, pyseccomp.ALLOW, "ioctl", _masked(1, mask, value))
    file = os.memfd_create("seccomp")
    try:
        with os.fdopen(os.dup(file), "wb") as out:
            rules.export_bpf(out)
        return os.pread(file, os.fstat(file).st_size, 0)
    finally:
        os.close(file)


def _masked(argument: int, mask: int, value: int) -> pyseccomp.Arg:
    return pyseccomp.Arg(argument, pyseccomp.MASKED_EQ, mask, value)


def _all_but(*refused: int) -> Iterator[tuple[int, int]]:
    """Masks and values that together match every 32-bit number but these, whatever the 32 bits above it.

    The kernel takes 32 bits of an argument that has 64 here: a comparison of all 64 would let through what only looks
    like another number. Bit by bit from the top: whoever differs there from all of them is let in.
    """
    left, mask = {0: refused}, 0
    for bit in reversed(range(32)):
        mask |= 1 << bit
        parted: dict[int, tuple[int, ...]] = {}
        for prefix, numbers in left.items():
            for value in (prefix, prefix | 1 << bit):
                those = tuple(number for number in numbers if number & mask == value)
                if those:
                    parted[value] = those
                else:
                    yield mask, value
        left = parted


def _add(rules: pyseccomp.SyscallFilter, action: int, name: str, *args: pyseccomp.Arg) -> None:
    known = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0
    if known:  # an older libseccomp, or another architecture, may have no call of this name: then it stays refused
        rules.add_rule(action, name, *args)
