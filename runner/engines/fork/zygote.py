"""The zygote: one process a language version, which forks sandboxes ahead. Self-contained: standard library only.

It runs inside the language's root (``launcher`` built it and pivoted into it), as root, single-threaded. For Python it
*is* the language's interpreter: a sandbox is a fork in which ``main`` returns, and ``goes_on`` runs the caller's file.

Theory of operation. The runner and the zygote talk by datagrams on descriptor 3. For each sandbox the zygote makes
three pipes and forks twice::

    zygote ──fork──▶ init (process 1 of a new pid namespace)  ──fork──▶ program
                     cgroups, namespaces, mounts                        its own uid and user namespace, no
                     then waits, reaps, kills, reports                  capabilities, seccomp, three descriptors

The program's standard input is the pipe by which the *order* comes: a length, a marshalled dict (files, argv, env,
limits), then the program's own input. So a waiting sandbox holds nothing but 0, 1 and 2. Where a runtime was exec'd
ahead (Node, the JVM), a third process, the *feeder*, takes the order, puts the files down and wakes the runtime
through its descriptor 3.

Rules
1. ``init`` and the zygote never read what a program wrote, except the list of globs, which only a process with the
   program's own rights parses.
2. When the program ends, init kills and reaps all others before it says so: then the pipes are complete.
3. The zygote's end ends all its sandboxes (parent-death signal), the runner's end ends the zygote (end of file).
4. Forked interpreters share this file: it runs on every Python that may go on (3.11 and later), and it imports little:
   what is loaded here is memory of every sandbox, and C modules are used where the Python ones would bring more.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what ``signal`` wraps in enums
import _socket as socket
import ctypes
import gc
import marshal
import mmap
import os
import resource
import select
import stat
import struct
import sys
import time

# -- the protocol on descriptor 3 ---------------------------------------------------------------------------------

CONTROL_FD = 3
GO_FD = 3  #: of a runtime that was exec'd ahead

#: runner to zygote: what, slot, boot, cpu
REQUEST = struct.Struct("<cIII")
PITCH = b"P"  #: make a sandbox
STOP = b"T"  #: kill everything in it but init, which then reports
KILL = b"K"  #: kill init, and with it everything
TERMINAL = 1 << 31  #: set in ``boot``: its outputs are a pseudo-terminal, and its input once it has its order
SIGNAL = b"S"  #: send the signal numbered ``boot`` to the program

#: to the runner: what, slot, status, user and system microseconds
EVENT = struct.Struct("<cIiQQ")
PITCHED = b"p"  #: with the runner's ends of stdin, stdout, stderr
FILES = b"f"  #: with the read end of a pipe that brings the files that were asked for
EXITED = b"x"  #: the program's wait status and CPU; everything else in the sandbox is dead
FAILED = b"e"  #: as EXITED, but it ended before the program was started: ours, not the program's
GONE = b"g"  #: init's wait status; the slot is free again
READY = b"r"  #: the zygote waits for requests

ORDER_LENGTH = struct.Struct("<I")
FILE_HEADER = struct.Struct("<IQ")
PAGE_BYTES = 128 * 1024  #: shared by init and program: started?, globs?, the globs
COLLECT_S = 10  #: the longest that bringing files back may take
COLLECTED = ("/workspace/", "/tmp/", "/dev/shm/")  #: files are brought back from here

UID_INSIDE = 1000


def pack_order(order: dict) -> bytes:
    """An order as the program's side reads it. Keys: ``files`` [(path, bytes, mode)], ``argv`` or None (the
    interpreter goes on), ``args`` (then), ``commands`` (a build), ``env``, ``limits`` {RLIMIT name: value}, ``go``,
    ``globs``, ``collect`` (files, bytes), ``tty`` (rows, columns) or None."""
    body = marshal.dumps(order, 2)
    return ORDER_LENGTH.pack(len(body)) + body


# -- the kernel, by its own names ---------------------------------------------------------------------------------

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NAME, PR_SET_MM, PR_SET_NO_NEW_PRIVS = 15, 35, 38
PR_SET_MM_MAP = 14
SYS_PIDFD_OPEN, SYS_CLOSE_RANGE = 434, 436
SYS_CAPSET = {"x86_64": 126, "aarch64": 91}.get(os.uname().machine, 126)
CAP_KILL, CAP_SETGID, CAP_SETUID, LAST_CAP = 5, 6, 7, 40
SIOCGSKNS, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x894C, 0x8913, 0x8914
IFF_UP = 1
TIOCSCTTY, TIOCSWINSZ, TIOCSPTLCK, TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, what + ": " + os.strerror(number))
    return result


def unshare(flags):
    _check(_libc.unshare(flags), "unshare")


def setns(fd, kind):
    _check(_libc.setns(fd, kind), "setns")


def mount(source, target, kind, flags, data):
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), data), "mount")


def prctl(option, one=0, two=0, three=0, four=0):
    args = [ctypes.c_ulong(value) for value in (one, two, three, four)]
    return _check(_libc.prctl(option, *args), "prctl")


def close_from(first):
    _libc.syscall(SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0)


def keep_capabilities(*kept):
    """Of all capabilities, in the permitted and effective sets, only *kept*; nothing is inherited."""
    mask = sum(1 << capability for capability in kept)
    header = struct.pack("<Ii", 0x20080522, 0)
    data = struct.pack("<IIIIII", mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0, mask >> 32, mask >> 32, 0)
    _check(_libc.syscall(SYS_CAPSET, header, data), "capset")


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]


# -- the zygote ---------------------------------------------------------------------------------------------------


class Zygote:
    """Makes sandboxes on request until the runner is gone. ``serve`` returns only in a program that goes on in here."""

    def __init__(self, config):
        self.config = config
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, CONTROL_FD)
        self.children = {}  # pid → (slot, pidfd, network namespace)
        self.pids = {}  # slot → pid
        self.networks = []  # free network namespaces, as descriptors
        self.own_pid_namespace = _check(_libc.syscall(SYS_PIDFD_OPEN, os.getpid(), 0), "pidfd_open")
        self.epoll = select.epoll()
        self.filter_bytes = bytes.fromhex(config["seccomp"])
        self.filter = _Filter(len(self.filter_bytes) // 8, self.filter_bytes)

    def serve(self):
        self.control.send(EVENT.pack(READY, 0, 0, 0, 0))
        self.epoll.register(CONTROL_FD, select.EPOLLIN)
        while True:
            try:
                for fd, _ in self.epoll.poll():
                    if fd != CONTROL_FD:
                        self._reap(fd)
                    elif self._answer() is not None:
                        return
            except ConnectionError:  # the runner has gone
                os._exit(0)

    def _answer(self):
        request = self.control.recv(64)
        if not request:
            os._exit(0)
        what, slot, boot, cpu = REQUEST.unpack(request)
        if what == PITCH:
            return self._pitch(slot, boot, cpu)
        pid = self.pids.get(slot)
        if pid is not None:
            if what == SIGNAL:
                os.kill(pid, signal.SIGUSR1 if boot == signal.SIGINT else signal.SIGUSR2)
            else:
                os.kill(pid, signal.SIGKILL if what == KILL else signal.SIGTERM)
        return None

    def _reap(self, pidfd):
        pid, (slot, network) = next((pid, (s, n)) for pid, (s, fd, n) in self.children.items() if fd == pidfd)
        _, status = os.waitpid(pid, 0)
        self.epoll.unregister(pidfd)
        os.close(pidfd)
        del self.children[pid], self.pids[slot]
        self.networks.append(network)
        self.control.send(EVENT.pack(GONE, slot, status, 0, 0))

    def _pitch(self, slot, boot, cpu):
        uid = self.config["uid_base"] + slot
        network = self._network()
        pipes = os.pipe(), *(self._terminal() if boot & TERMINAL else (os.pipe(), os.pipe()))
        boot &= ~TERMINAL
        for pipe in pipes:
            for end in pipe:
                os.fchown(end, uid, uid)  # so that /dev/stdout can be opened by its name
        unshare(CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            return Init(self, slot, boot, cpu, uid, pipes).serve()
        setns(self.own_pid_namespace, CLONE_NEWPID)
        pidfd = _check(_libc.syscall(SYS_PIDFD_OPEN, pid, 0), "pidfd_open")
        self.children[pid] = (slot, pidfd, network)
        self.pids[slot] = pid
        self.epoll.register(pidfd, select.EPOLLIN)
        ends = [pipes[0][1], pipes[1][0], pipes[2][0]]
        _send_with(self.control, EVENT.pack(PITCHED, slot, pid, 0, 0), ends)
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])
        return None

    def _terminal(self):
        """A new pseudo-terminal as the ends of both outputs; the runner's end of the second is at its end at once."""
        runners = os.open("ptmx", os.O_RDWR | os.O_NOCTTY, dir_fd=self.config["pts_fd"])
        _check(_libc.ioctl(runners, TIOCSPTLCK, ctypes.byref(ctypes.c_int(0))), "TIOCSPTLCK")
        programs = _check(_libc.ioctl(runners, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY), "TIOCGPTPEER")
        nothing, closed = os.pipe()
        os.close(closed)
        return (runners, programs), (nothing, os.dup(programs))

    def _network(self):
        """Enter a network namespace that no living sandbox has, with nothing but its loopback, and return it."""
        while self.networks:
            network = self.networks.pop(0)
            setns(network, CLONE_NEWNET)
            if self._is_quiet():
                return network
            os.close(network)  # sockets that still close are left to the kernel, and to nobody else
        unshare(CLONE_NEWNET)
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            name = ctypes.create_string_buffer(b"lo", 40)
            _check(_libc.ioctl(probe.fileno(), SIOCGIFFLAGS, name), "SIOCGIFFLAGS")
            flags = struct.unpack_from("<h", name.raw, 16)[0]
            struct.pack_into("<h", name, 16, flags | IFF_UP)
            _check(_libc.ioctl(probe.fileno(), SIOCSIFFLAGS, name), "SIOCSIFFLAGS")
            return _check(_libc.ioctl(probe.fileno(), SIOCGSKNS, 0), "SIOCGSKNS")
        finally:
            probe.close()

    def _is_quiet(self):
        for name in ("sockstat", "sockstat6"):
            fd = os.open("thread-self/net/" + name, os.O_RDONLY, dir_fd=self.config["proc_fd"])
            try:
                words = os.read(fd, 4096).split()
                if any(word in _BUSY and count != b"0" for word, count in zip(words, words[1:])):
                    return False
            except OSError:
                return False
            finally:
                os.close(fd)
        return True


_BUSY = frozenset((b"inuse", b"orphan", b"tw"))


def _send_with(control, message, descriptors):
    rights = struct.pack("<%di" % len(descriptors), *descriptors)
    control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


# -- process 1 of a sandbox ---------------------------------------------------------------------------------------


class Init:
    """Sets a sandbox up, starts the program, waits, cleans up, reports. ``serve`` returns only in the program."""

    def __init__(self, zygote, slot, boot, cpu, uid, pipes):
        self.config = zygote.config
        self.boot = zygote.config["boots"][boot]
        self.control = zygote.control
        self.filter = zygote.filter
        self.slot, self.cpu, self.uid, self.pipes = slot, cpu, uid, pipes
        self.program = 0
        self.feeder = 0

    def serve(self):
        try:
            self._enter_cgroups()
            os.sched_setaffinity(0, {self.cpu})
            unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
            self._mount()
            self.page = mmap.mmap(-1, PAGE_BYTES)
            go = os.pipe() if self.boot["argv"] else None
            for role in ("feeder", "program") if go else ("program",):
                pid = os.fork()
                if pid == 0:
                    return Program(self, role, go).serve()
                setattr(self, role, pid)
            self._drop()
            self._watch()
        except ConnectionError:  # the runner has gone
            os._exit(0)
        except BaseException as error:
            os.write(2, ("init: %r\n" % (error,)).encode())
            os._exit(70)
        os._exit(0)

    def _enter_cgroups(self):
        for fd in self.config["cgroup_fds"]:
            procs = os.open("slot-%d/cgroup.procs" % self.slot, os.O_WRONLY, dir_fd=fd)
            os.write(procs, b"0")
            os.close(procs)

    def _mount(self):
        flags = MS_NOSUID | MS_NODEV
        own = b"mode=0755,uid=%d,gid=%d,nr_inodes=65536,size=%d" % (self.uid, self.uid, self.boot["disk_bytes"])
        mount(b"proc", b"/proc", b"proc", flags | MS_NOEXEC, b"hidepid=2")
        mount(b"tmpfs", b"/workspace", b"tmpfs", flags, own)
        if not self.boot["interpreter"]:
            mount(b"tmpfs", b"/box", b"tmpfs", flags, own)
        shared = own.replace(b"mode=0755", b"mode=1777")
        mount(b"tmpfs", b"/tmp", b"tmpfs", flags, shared)
        mount(b"tmpfs", b"/dev/shm", b"tmpfs", flags, shared)

    def _drop(self):
        for pipe in self.pipes:
            os.close(pipe[0])
            os.close(pipe[1])
        close_from(CONTROL_FD + 1)
        signal.signal(signal.SIGTERM, lambda *_: _kill_all())
        signal.signal(signal.SIGUSR1, lambda *_: self._interrupt(signal.SIGINT))
        signal.signal(signal.SIGUSR2, lambda *_: self._interrupt(signal.SIGTERM))
        keep_capabilities(CAP_KILL, CAP_SETGID, CAP_SETUID)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def _interrupt(self, number):
        if self.program:
            os.kill(self.program, number)

    def _watch(self):
        """Reap until the program ends, then end the rest, bring files back if that was asked, and report."""
        pid = 0
        while pid != self.program:
            pid, status, usage = os.wait4(-1, 0)
        self.program = 0
        _kill_all()
        _reap_all()
        started, globs = self.page[0], self.page[1]
        if started and globs:
            self._collect()
        user, system = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
        self.control.send(EVENT.pack(EXITED if started else FAILED, self.slot, status, user, system))

    def _collect(self):
        """Files out, by a process with the program's rights, through a pipe of which the runner reads as it likes."""
        read, write = os.pipe()
        _send_with(self.control, EVENT.pack(FILES, self.slot, 0, 0, 0), [read])
        os.close(read)
        collector = os.fork()
        if collector == 0:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.close(CONTROL_FD)
                become(self.uid, self.filter)
                signal.alarm(COLLECT_S)
                collect(marshal.loads(self.page[2:]), write)
            finally:
                os._exit(0)
        os.close(write)
        _reap_all()


def _kill_all():
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap_all():
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass


# -- the program --------------------------------------------------------------------------------------------------


class Program:
    """A process with the program's rights: the program itself, or the feeder of a runtime that was exec'd ahead."""

    def __init__(self, init, role, go):
        self.config, self.boot = init.config, init.boot
        self.uid, self.filter, self.pipes, self.page = init.uid, init.filter, init.pipes, init.page
        self.role, self.go = role, go

    def serve(self):
        try:
            self._descriptors()
            become(self.uid, self.filter)
            for name, value in self.boot["limits"].items():
                resource.setrlimit(getattr(resource, name), (value, value))
            os.umask(0o022)
            os.chdir("/workspace")
            if self.go is None:
                return self._obey(read_order())
            if self.role == "program":
                defaults_for_exec()
                os.execve(self.boot["argv"][0], self.boot["argv"], self.boot["env"])
            self._feed(read_order())
        except BaseException as error:
            self.page[0] = 0
            os.write(2, ("sandbox: %r\n" % (error,)).encode())
            os._exit(70)

    def _descriptors(self):
        os.dup2(self.pipes[0][0], 0)
        os.dup2(self.pipes[1][1], 1)
        os.dup2(self.pipes[2][1], 2)
        if self.go is None:
            close_from(3)
            return
        keep = self.go[0] if self.role == "program" else self.go[1]
        if keep != GO_FD:
            os.dup2(keep, GO_FD)
        os.set_inheritable(GO_FD, True)
        close_from(GO_FD + 1)

    def _feed(self, order):
        self._lay_down(order)
        os.write(GO_FD, order["go"])
        os._exit(0)

    def _obey(self, order):
        self._lay_down(order)
        for name, value in order["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if order["tty"]:
            _check(_libc.ioctl(1, TIOCSWINSZ, struct.pack("<4H", *order["tty"], 0, 0)), "TIOCSWINSZ")
            _check(_libc.ioctl(1, TIOCSCTTY, 0), "TIOCSCTTY")
            os.dup2(1, 0)
        if order["commands"]:
            run_commands(order["commands"], order["env"])
        if order["argv"] is not None:
            defaults_for_exec()
            os.execve(order["argv"][0], order["argv"], order["env"])
        self.page.close()
        self._go_on(order)
        return True

    def _lay_down(self, order):
        made = {"/workspace", "/box", "/tmp"}
        for path, content, mode in order["files"]:
            folder = os.path.dirname(path)
            if folder not in made:
                os.makedirs(folder, exist_ok=True)
                made.add(folder)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            os.close(fd)
        if order["globs"]:
            body = marshal.dumps((order["globs"], order["collect"]), 2)
            self.page[2 : 2 + len(body)] = body
            self.page[1] = 1
        self.page[0] = 1

    def _go_on(self, order):
        """Make this interpreter look as if it had just been started on /workspace/main.py."""
        sys.argv[:] = ["main.py"] + order["args"]
        sys.orig_argv[:] = [self.config["shown"]] + sys.argv
        sys.path[0] = "/workspace"
        for name in list(os.environ):
            if name not in order["env"]:
                del os.environ[name]
        os.environ.update(order["env"])
        own = {os.path.relpath(path, "/workspace").split("/")[0] for path, _, _ in order["files"]}
        local = {name[:-3] if name.endswith(".py") else name for name in own} - {"main"}
        for name in list(sys.modules) if local else ():
            if name.partition(".")[0] in local and name not in BARE:
                del sys.modules[name]  # the caller's own module of that name wins
        if "TZ" in order["env"]:
            time.tzset()


def become(uid, seccomp):
    """Give up everything for good: own uid, own user namespace, no capabilities, no new ones, and the filter."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    prctl(PR_SET_DUMPABLE, 1)  # else its own /proc/self would be root's
    unshare(CLONE_NEWUSER)
    for name, line in (("setgroups", "deny"), ("uid_map", None), ("gid_map", None)):
        fd = os.open("/proc/self/" + name, os.O_WRONLY)
        os.write(fd, (line or "%d %d 1" % (UID_INSIDE, uid)).encode())
        os.close(fd)
    for capability in range(LAST_CAP + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    keep_capabilities()
    os.setsid()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    reset_signals()
    _check(_libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(seccomp), 0, 0), "seccomp")


def reset_signals():
    """All at their defaults, none blocked (an interpreter that goes on keeps Python's own three)."""
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


def defaults_for_exec():
    """Python ignores these two, and what is ignored stays so in the program that is exec'd."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def read_order():
    length = ORDER_LENGTH.unpack(_read_exactly(ORDER_LENGTH.size))[0]
    return marshal.loads(_read_exactly(length))


def _read_exactly(size):
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)  # no order will come: the pool let this sandbox go
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def run_commands(commands, env):
    """Each command as a child, until one fails; this process ends as the last one did."""
    defaults_for_exec()
    for command in commands:
        pid = os.fork()
        if pid == 0:
            try:
                os.execve(command[0], command, env)
            finally:
                os.write(2, ("cannot start %s\n" % command[0]).encode())
                os._exit(127)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
            os._exit(128 + os.WTERMSIG(status))
        if status:
            os._exit(os.WEXITSTATUS(status))
    os._exit(0)


# -- files out ----------------------------------------------------------------------------------------------------


def glob_pattern(glob):
    """A path pattern: ``*`` and ``?`` stay in a folder, ``**`` crosses, neither matches a leading dot."""
    import re  # only here, and in a process that ends soon

    parts = []
    for part in glob.split("/"):
        if part == "**":
            parts.append(r"(?:(?!\.)[^/]+/)*")
            continue
        text = "" if part.startswith(".") or part[:1] not in "*?[" else r"(?!\.)"
        at = 0
        while at < len(part):
            letter = part[at]
            end = part.find("]", at + 2) if letter == "[" else -1
            if part.startswith("**", at):
                text += "[^/]*"
                at += 1
            elif letter == "*":
                text += "[^/]*"
            elif letter == "?":
                text += "[^/]"
            elif end > 0:
                inside = part[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
                text += "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]"
                at = end
            else:
                text += re.escape(letter)
            at += 1
        parts.append(text + "/")
    joined = "".join(parts)
    try:
        return re.compile((joined[:-1] if joined.endswith("/") else joined + r"(?!\.)[^/]+") + r"\Z", re.S)
    except re.error:  # a range that runs backwards
        return re.compile(re.escape(glob) + r"\Z", re.S)


def collect(wanted, write):
    """Regular files whose path matches a glob, into the pipe, bounded in number and bytes; links are not followed."""
    globs, (most_files, most_bytes) = wanted
    globs = [glob if glob.startswith("/") else "/workspace/" + _plain(glob) for glob in globs]
    patterns = [glob_pattern(glob) for glob in globs]
    for path in _walk([folder for folder in COLLECTED if any(glob.startswith(folder) for glob in globs)]):
        if most_files <= 0:
            return
        if not any(pattern.match(path) for pattern in patterns):
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # it made the file so that it cannot read it
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
                continue
            name = path.encode("utf-8", "surrogateescape")
            _write_all(write, FILE_HEADER.pack(len(name), status.st_size) + name)
            _copy(fd, write, status.st_size)
            most_files -= 1
            most_bytes -= status.st_size
        finally:
            os.close(fd)


def _plain(glob):
    while glob.startswith("./"):
        glob = glob[2:].lstrip("/")
    return glob


def _walk(folders):
    """Paths of files, those of a folder before those of the folders in it; however deep they lie."""
    left = folders[::-1]
    while left:
        inner = []
        try:
            with os.scandir(left.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path
        except OSError:
            continue
        left += inner[::-1]


def _copy(fd, write, size):
    while size:
        part = os.read(fd, min(size, 1 << 16))
        if not part:
            raise OSError("the file shrank")
        _write_all(write, part)
        size -= len(part)


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


# -- the start ----------------------------------------------------------------------------------------------------


def show_as(argv, env, proc_fd):
    """What /proc shows as this process's command line and environment, and so as its forks'.

    The kernel takes the new places only in one piece with all others of the memory map, which /proc tells.
    """
    words = [word.encode() + b"\0" for word in argv] + [("%s=%s\0" % pair).encode() for pair in env.items()]
    page = mmap.mmap(-1, 1 + sum(map(len, words)), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.write(b"".join(words))
    _SHOWN.append(page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    middle = start + sum(map(len, words[: len(argv)]))
    end = start + sum(map(len, words))
    fd = os.open("self/stat", os.O_RDONLY, dir_fd=proc_fd)
    fields = os.read(fd, 4096).rpartition(b")")[2].split()
    os.close(fd)
    code, stack, data, brk_start = fields[23:25], fields[25], fields[42:44], fields[44]  # 26–28, 45–47 of proc(5)
    _libc.sbrk.restype = ctypes.c_void_p
    places = [*map(int, (*code, *data, brk_start)), _libc.sbrk(0), int(stack), start, middle, middle, end]
    new_map = struct.pack("<11QQIi", *places, 0, 0, -1)
    # A kernel without checkpoint support refuses this; then our own words are seen there, which is no harm.
    _libc.prctl(PR_SET_MM, PR_SET_MM_MAP, new_map, ctypes.c_ulong(len(new_map)), 0)


_SHOWN: list = []


LOADED: frozenset = frozenset()
"""The modules that were loaded before a program went on in this interpreter: they are not the program's."""

BARE: frozenset = frozenset()
"""Those of them that a bare interpreter has loaded too: a module of the caller's cannot stand before them."""


def main(config_fd, loaded=frozenset(), bare=frozenset()):
    """Be a zygote. Returns only in an interpreter that goes on as a program; *loaded*: what it has loaded so far."""
    global LOADED, BARE
    LOADED, BARE = loaded, bare
    with os.fdopen(config_fd, "rb") as file:
        config = marshal.loads(file.read())
    if config["interpreter"]:
        show_as([config["shown"], "main.py"], config["env"], config["proc_fd"])
        _check(_libc.prctl(PR_SET_NAME, config["shown"].encode(), 0, 0, 0), "prctl")
        sys.modules.pop("zygote", None)
        sys.path_importer_cache.pop("/workspace", None)
        compile("[None for _ in ()]", "<warm>", "eval")  # a first compile() costs a fork 1.6 ms
    gc.collect()
    gc.freeze()
    Zygote(config).serve()


def rehearse():
    """The zygote's own roads, for ``goes_on.rehearse``."""
    program = Program.__new__(Program)
    program.config = {"shown": "python3", "bare": frozenset()}
    program.page = bytearray(8)
    order = {"files": [("/dev/null", b"x", 0o644)], "globs": [], "args": [], "env": dict(os.environ), "limits": {}}
    order = marshal.loads(marshal.dumps(order, 2))
    program._lay_down(order)
    program._go_on(order)
    unshare(0)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    prctl(3)
    for name, value in (("RLIMIT_FSIZE", 1), ("RLIMIT_STACK", 1)):
        resource.getrlimit(getattr(resource, name))
    for _ in range(3):
        fd = os.open("/dev/null", os.O_WRONLY)
        os.write(fd, ("%d %d 1" % (UID_INSIDE, 1)).encode())
        os.close(fd)


def end_by(number):
    """End this process by a signal's own action."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
