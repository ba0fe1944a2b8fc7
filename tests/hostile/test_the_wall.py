# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks on the wall: system calls, rights, devices, mounts, namespaces, and whatever leads out."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from jobs.states import Verdict
from tests.hostile.conftest import Attack

EPERM, ENOSYS = 1, 38

#: name, number on x86-64, arguments
CALLS = """
ptrace 101 0 1 0 0
ptrace 101 16 1 0 0
process_vm_readv 310 1 0 0 0 0 0
process_vm_writev 311 1 0 0 0 0 0
kcmp 312 1 1 0 0 0
mount 165 0 0 0 0 0
umount2 166 0 2
pivot_root 155 0 0
chroot 161 0
unshare 272 0x10000000
unshare 272 0x00020000
unshare 272 0x40000000
setns 308 0 0
clone 56 0x10000000 0 0 0 0
clone 56 0x00020000 0 0 0 0
clone 56 0x20000000 0 0 0 0
clone 56 0x40000000 0 0 0 0
clone 56 0x02000000 0 0 0 0
clone3 435 0 88
io_uring_setup 425 8 0
io_uring_enter 426 0 0 0 0 0
bpf 321 0 0 0
perf_event_open 298 0 0 0 -1 0
userfaultfd 323 0
add_key 248 0 0 0 0 0
request_key 249 0 0 0 0
keyctl 250 0 0
init_module 175 0 0 0
finit_module 313 0 0 0
delete_module 176 0 0
kexec_load 246 0 0 0 0
kexec_file_load 320 0 0 0 0 0
reboot 169 0xfee1dead 672274793 0x1234567 0
swapon 167 0 0
swapoff 168 0
acct 163 0
settimeofday 164 0 0
clock_settime 227 0 0
adjtimex 159 0
clock_adjtime 305 0 0
sethostname 170 0 0
setdomainname 171 0 0
iopl 172 3
ioperm 173 0 1 1
modify_ldt 154 0 0 0
syslog 103 3 0 0
quotactl 179 0 0 0 0
nfsservctl 180 0 0 0
lookup_dcookie 212 0 0 0
open_by_handle_at 304 -100 0 0
name_to_handle_at 303 -100 0 0 0 0
fanotify_init 300 0 0
fanotify_mark 301 0 0 0 0 0
open_tree 428 -100 0 0
move_mount 429 -1 0 -1 0 0
fsopen 430 0 0
fsconfig 431 -1 0 0 0 0
fsmount 432 -1 0 0
fspick 433 -100 0 0
mount_setattr 442 -100 0 0 0 0
pidfd_getfd 438 0 0 0
process_madvise 440 0 0 0 0 0
process_mrelease 448 0 0
landlock_create_ruleset 444 0 0 0
landlock_add_rule 445 0 0 0 0
landlock_restrict_self 446 0 0
memfd_secret 447 0
seccomp 317 0 0 0
migrate_pages 256 0 0 0 0
move_pages 279 0 0 0 0 0 0
set_mempolicy_home_node 450 0 0 0 0
sched_setaffinity 203 0 0 0
ioprio_set 251 1 0 0
vhangup 153
ustat 136 0 0
sysfs 139 3
uselib 134 0
_sysctl 156 0
personality 135 0x0400000
get_kernel_syms 177 0
vserver 236
mq_open_of_another 240 0 0 0 0
statmount 457 0 0 0 0
listmount 458 0 0 0 0
lsm_get_self_attr 459 0 0 0 0
lsm_set_self_attr 460 0 0 0 0
cachestat 451 0 0 0 0
map_shadow_stack 453 0 0 0
"""
MAY = {"personality", "mq_open_of_another"}  #: they change nothing but the program's own, or fail for its own reasons


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")
def test_every_call_that_leads_out_is_refused(attack: Attack) -> None:
    """EPERM or ENOSYS, whatever the arguments: the call itself is refused, not what it was asked."""
    wanted = [line.split() for line in CALLS.strip().splitlines()]
    code = (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        f"for name, number, *args in {wanted!r}:\n    ctypes.set_errno(0)\n"
        "    r = c.syscall(int(number), *(ctypes.c_long(int(a, 0)) for a in args))\n"
        "    print(name, args[0] if args else '', r, ctypes.get_errno(), flush=True)\n"
        "    if r == 0 and name.startswith(('clone', 'fork')): raise SystemExit('a child')\n"
    )
    result = attack(code)
    answers = [line.split() for line in result.stdout.decode().splitlines()]
    assert len(answers) == len(wanted), result
    passed = [answer for answer in answers if answer[0] not in MAY and answer[-1] not in (str(EPERM), str(ENOSYS))]
    assert passed == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the other tables of calls are those of x86-64")
def test_the_other_tables_of_calls_are_closed(attack: Attack) -> None:
    """A 32-bit call by ``int 0x80``, and one of the x32 table."""
    code = (
        "#include <cstdio>\n#include <unistd.h>\n#include <cerrno>\n#include <sys/syscall.h>\nint main() {\n"
        '    errno = 0; long x = syscall(0x40000000 + 39); printf("%ld %d\\n", x < 0 ? -1 : 1, errno); fflush(stdout);\n'
        '    long r; asm volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); printf("%ld\\n", r > 0 ? 1L : -1L); }'
    )
    result = attack(code, "cpp")
    assert not result.stdout.startswith(b"1")
    assert not result.stdout.endswith(b"\n1\n")


@pytest.mark.parametrize(
    ("family", "kind"),
    [("AF_PACKET", "SOCK_RAW"), ("AF_INET", "SOCK_RAW"), ("AF_INET6", "SOCK_RAW"), ("AF_VSOCK", "SOCK_STREAM"),
     ("AF_ALG", "SOCK_SEQPACKET"), ("AF_BLUETOOTH", "SOCK_RAW"), ("AF_CAN", "SOCK_RAW"), ("AF_KEY", "SOCK_RAW"),
     ("AF_TIPC", "SOCK_STREAM"), ("AF_QIPCRTR", "SOCK_DGRAM"), ("AF_RDS", "SOCK_SEQPACKET")],
)  # fmt: skip
def test_sockets_of_odd_families(attack: Attack, family: str, kind: str) -> None:
    code = f"import socket\ntry: socket.socket(getattr(socket, {family!r}, 44), socket.{kind}); print('made')\nexcept OSError as e: print(e.errno)"
    assert attack(code).stdout.strip() != b"made"


@pytest.mark.parametrize("protocol", range(22))
def test_netlink_but_for_routes(attack: Attack, protocol: int) -> None:
    code = f"import socket\ntry: socket.socket(16, socket.SOCK_RAW, {protocol}); print('made')\nexcept OSError as e: print(e.errno)"
    assert (attack(code).stdout.strip() == b"made") == (protocol == 0)


def test_becoming_root(attack: Attack) -> None:
    code = (
        "import os, ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        "for f in (lambda: os.setuid(0), lambda: os.setresuid(0, 0, 0), lambda: os.setgid(0), lambda: os.setgroups([0]),\n"
        "          lambda: os.seteuid(0), lambda: os.setregid(0, 0)):\n"
        "    try: f(); print('became')\n    except OSError: pass\n"
        "print(os.getresuid(), os.getresgid())\n"
        "import struct\nheader = struct.pack('<Ii', 0x20080522, 0)\ndata = struct.pack('<6I', *[0xffffffff] * 6)\n"
        "print(c.capset(header, data), c.prctl(47, 2, 21, 0, 0), c.prctl(38, 0, 0, 0, 0), c.prctl(24, 21, 0, 0, 0))\n"
    )
    assert attack(code).stdout == b"(1000, 1000, 1000) (1000, 1000, 1000)\n-1 -1 -1 -1\n"


def test_programs_with_set_user_id_bits(attack: Attack) -> None:
    code = (
        "import os, stat, subprocess, shutil, sys\nfor folder in ('/usr/bin', '/usr/sbin', '/usr/lib', '/usr/libexec'):\n"
        "    for place, _, names in os.walk(folder):\n        for name in names:\n            try: s = os.lstat(os.path.join(place, name))\n"
        "            except OSError: continue\n            if stat.S_ISREG(s.st_mode) and s.st_mode & 0o6000: print(place, name)\n"
        "        if folder != '/usr/bin' and place.count('/') > 3: _[:] = []\n"
        "shutil.copy(os.path.realpath(sys.executable), 'copy'); os.chmod('copy', 0o6755)\nenv = {'PYTHONHOME': sys.base_prefix}\n"
        "print(subprocess.run(['./copy', '-S', '-c', 'import os; print(os.geteuid())'], capture_output=True, env=env).stdout)\n"
        "for tool in ('su', 'sudo', 'mount', 'newgrp', 'passwd', 'chsh'):\n    try: r = subprocess.run([tool, '-c', 'id -u'], capture_output=True, stdin=-3, timeout=1); print(tool, r.stdout) if b'0' == r.stdout.strip() else 0\n    except Exception: pass\n"
    )
    assert attack(code, timeout_s=9.0).stdout.splitlines()[-1] == b"b'1000\\n'"


def test_devices_that_are_made(attack: Attack) -> None:
    code = (
        "import os, stat\nfor kind, major, minor in ((stat.S_IFBLK, 8, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 2), (stat.S_IFCHR, 5, 0), (stat.S_IFBLK, 254, 0)):\n"
        "    try: os.mknod('d', kind | 0o666, os.makedev(major, minor)); open('d'); print('opened')\n    except OSError as e: print(e.errno)\n"
    )
    assert set(attack(code).stdout.split()) == {b"1"}


NO_WAY = ["/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/fuse", "/dev/kvm",
          "/dev/net/tun", "/dev/tty", "/dev/console", "/dev/ptmx", "/dev/loop-control", "/dev/userfaultfd", "/dev/disk",
          "/proc/kcore", "/proc/kmsg", "/proc/sysrq-trigger", "/proc/1/mem", "/proc/1/environ", "/proc/1/root/etc/hostname",
          "/proc/1/cwd/x", "/proc/1/fd/3", "/proc/1/maps", "/proc/1/stack", "/proc/1/cmdline",
          "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/drop_caches",
          "/proc/sys/kernel/hostname", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/fs/binfmt_misc/register",
          "/proc/self/mem/x", "/proc/self/oom_score_adj_", "/proc/scsi/scsi", "/proc/mtrr", "/proc/irq/0/smp_affinity",
          "/proc/acpi/wakeup", "/proc/bus/pci/devices_", "/proc/fs/nfsd", "/proc/timer_list", "/proc/sched_debug",
          "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs", "/sys/kernel/debug/x", "/sys/power/state",
          "/sys/fs/bpf/x", "/sys/firmware/dmi/tables/DMI", "/etc/shadow", "/etc/sudoers", "/etc/passwd", "/root/x",
          "/run/docker.sock", "/var/run/docker.sock", "/run/systemd/x", "/tmp/../etc/passwd", "/usr/bin/env", "/usr/lib/x",
          "/box/x", "/opt/x", "/home/x", "/x"]  # fmt: skip


@pytest.mark.parametrize("path", NO_WAY)
def test_no_way_to_write(attack: Attack, path: str) -> None:
    code = f"try: open({path!r}, 'r+b').write(b'1'); print('wrote')\nexcept OSError: pass\ntry: open({path!r}, 'ab').write(b'1'); print('made')\nexcept OSError: pass"
    assert attack(code).stdout == b""


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/etc/gshadow", "/root/.ssh", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/1/fd",
     "/proc/1/root", "/proc/1/cwd", "/proc/1/exe", "/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/var/log",
     "/var/lib", "/run", "/opt", "/mnt", "/srv", "/boot", "/sys/fs/cgroup", "/sys/class", "/lost+found",
     "/var/cache", "/etc/ssh", "/etc/nats", "/proc/sysvipc/../1/environ"],
)  # fmt: skip
def test_nothing_of_the_host_is_read(attack: Attack, path: str) -> None:
    """What is there is empty, what is not empty cannot be opened."""
    code = (
        f"import os\npath = {path!r}\ntry: print('listed', os.listdir(path)) if os.listdir(path) else 0\nexcept OSError: pass\n"
        "try: print('read', open(path, 'rb').read(100)) if not os.path.isdir(path) and open(path, 'rb').read(1) else 0\nexcept OSError: pass\n"
        "try: print('link', os.readlink(path)) if path.startswith('/proc') else 0\nexcept OSError: pass\n"
    )
    assert attack(code).stdout == b""


def test_mounts_show_nothing_of_the_host(attack: Attack) -> None:
    result = attack("print(open('/proc/self/mountinfo').read()); print(open('/proc/self/cgroup').read())")
    said = result.stdout.decode()
    assert "rooms-" not in said and "slot-" not in said, said
    for line in said.splitlines():
        if line and " - " in line:
            options = line.split()[5].split(",")
            target = line.split()[4]
            assert "ro" in options or target in ("/proc", "/workspace", "/tmp", "/dev/shm", "/box"), line
            assert "nosuid" in options, line
            assert "nodev" in options or target in ("/", "/dev"), line


def test_kernel_log(attack: Attack) -> None:
    code = "import ctypes\nb = ctypes.create_string_buffer(4096)\nprint(ctypes.CDLL(None).klogctl(3, b, 4096))"
    assert attack(code).stdout == b"-1\n"


def test_traced_init(attack: Attack) -> None:
    code = (
        "import os, signal\nfor target in (1, -1):\n    for number in (9, 15, 10, 12, 19, 2):\n"
        "        try:\n            if target == 1: os.kill(1, number)\n        except OSError as e: print(e.errno, end=' ')\n"
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.ptrace(16, 1, 0, 0), ctypes.get_errno())\n"
    )
    assert attack(code).stdout == b"1 1 1 1 1 1 -1 1\n"


def test_everybody_is_killed(attack: Attack) -> None:
    result = attack("import os\nprint('x', flush=True)\nos.kill(-1, 9)\nprint('alone')")
    assert result.stdout in (b"x\nalone\n", b"x\n")


def test_the_hosts_own_loopback(attack: Attack) -> None:
    """A server on the host's 127.0.0.1 cannot be reached, whichever address is tried."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        reached = threading.Event()

        def listen() -> None:
            try:
                server.accept()
                reached.set()
            except OSError:
                pass

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        code = (
            f"import socket\nfor host in ('127.0.0.1', '::1', '0.0.0.0', 'localhost', '::ffff:127.0.0.1', '127.1.1.1', '10.0.0.1', '172.17.0.1'):\n"
            f"    try: socket.create_connection((host, {port}), .2); print('reached', host)\n    except OSError: pass\n"
            f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ntry: s.sendto(b'x', ('255.255.255.255', {port}))\nexcept OSError: print('no')\n"
        )
        assert attack(code).stdout == b"no\n"
        assert not reached.is_set()
        server.shutdown(socket.SHUT_RDWR)
        thread.join(2)


def test_abstract_sockets_of_the_host(attack: Attack) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0yurt-test-of-the-wall")
        server.listen()
        code = "import socket\ntry: socket.socket(socket.AF_UNIX).connect('\\0yurt-test-of-the-wall'); print('reached')\nexcept OSError as e: print(e.errno)"
        assert attack(code).stdout == b"111\n"


def test_words_in_a_terminals_mouth(attack: Attack) -> None:
    """Also with high bits set, which the kernel does not look at."""
    code = (
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\n"
        "for request in (0x5412, 0x541C, 0x100005412, 0xFFFFFFFF0000541C, 0x5401, 0x541B):\n"
        "    c.ioctl(0, ctypes.c_ulong(request), ctypes.byref(ctypes.c_int()))\n    print(ctypes.get_errno())\n    ctypes.set_errno(0)\n"
    )
    assert attack(code).stdout.split() == [b"1", b"1", b"1", b"1", b"25", b"0"]


def test_a_filter_of_its_own_does_not_open_ours(attack: Attack) -> None:
    code = "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nprint(c.prctl(22, 1, 0, 0, 0), flush=True)\nos._exit(0)"
    assert attack(code).verdict in (Verdict.OK, Verdict.SIGNALLED)


def test_core_dumps_are_not_written(attack: Attack) -> None:
    result = attack("import os, ctypes\nopen('before', 'w')\nctypes.string_at(1)", outputs=("**", "**/.*"))
    assert result.signal == "SIGSEGV"
    assert sorted(file.name for file in result.files or ()) == ["before", "main.py"]
