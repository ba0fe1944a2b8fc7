"""The program's side of a sandbox: from a fork of the zygote, as root, to the caller's program, with no rights at all.

Theory of operation. The phases of ``Program.serve``, in order: its /proc, control groups and core, descriptors,
``become`` (an own uid, an own user namespace, no capabilities, no new ones, seccomp), resource limits; then it waits
for its *order* on standard input: a length and a marshalled dict, after which the program's own input follows. The
files are laid down, and it execs, runs a build's commands, or goes on in this interpreter.

Where a runtime was exec'd ahead (Node, the JVM), another process, the *feeder*, takes the order, lays the files down
and wakes the runtime through its descriptor 3. It is an orphan from its start, so that nobody has to wait for it.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what ``signal`` wraps in enums
import ctypes
import marshal
import os
import resource
import struct
import sys
import time

import kernel
import protocol

GO_FD = 3  #: of a runtime that was exec'd ahead
PAGE_BYTES = 128 * 1024  #: shared by zygote and program: started?, globs?, the globs
UID_INSIDE = 1000


BARE: frozenset = frozenset()
"""The modules that a bare interpreter has loaded: one of the caller's cannot stand before them."""

AFRESH: list = []
"""What is to be called in each fork before it knows its program, so that it shares no random numbers with another."""


class Program:
    """A process with the program's rights: the program itself, or the feeder of a runtime that was exec'd ahead."""

    def __init__(self, config, seccomp, boot, slot, cpu, pipes, page):
        self.config, self.filter, self.boot = config, seccomp, boot
        self.slot, self.cpu, self.pipes, self.page = slot, cpu, pipes, page
        self.uid = config["uid_base"] + slot
        self.role, self.go = "program", None

    def serve(self):
        """Returns only in an interpreter that goes on."""
        try:
            self._enter()
            if self.boot["argv"]:
                self._part()
            self._descriptors()
            self._seal()
            limit(self.boot["limits"])
            os.umask(0o022)
            os.chdir("/workspace")
            for make_afresh in AFRESH:
                make_afresh()
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

    def _enter(self):
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount(b"proc", b"/proc", b"proc", flags, b"hidepid=2")  # of the pid namespace that it is in now
        self._enter_cgroups()
        os.sched_setaffinity(0, {self.cpu})

    def _seal(self):
        become(self.uid, self.filter)

    def _enter_cgroups(self):
        for fd in self.config["cgroup_fds"]:
            procs = os.open("slot-%d/cgroup.procs" % self.slot, os.O_WRONLY, dir_fd=fd)
            os.write(procs, b"0")
            os.close(procs)
        kernel.unshare(kernel.CLONE_NEWCGROUP)

    def _part(self):
        """One process becomes the runtime that waits, the other its feeder, an orphan."""
        self.go = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork():
                os._exit(0)
            self.role = "feeder"
        else:
            os.waitpid(between, 0)

    def _descriptors(self):
        os.dup2(self.pipes[0][0], 0)
        os.dup2(self.pipes[1][1], 1)
        os.dup2(self.pipes[2][1], 2)
        if self.go is None:
            self._close_from(3)
            return
        keep = self.go[0] if self.role == "program" else self.go[1]
        if keep != GO_FD:
            os.dup2(keep, GO_FD)
        os.set_inheritable(GO_FD, True)
        self._close_from(GO_FD + 1)

    def _close_from(self, first):
        kernel.close_from(first)

    def _feed(self, order):
        self._lay_down(order)
        os.write(GO_FD, order["go"])
        os._exit(0)

    def _obey(self, order):
        self._lay_down(order)
        limit(order["limits"])
        if order["tty"]:
            kernel.ioctl(1, kernel.TIOCSWINSZ, struct.pack("<4H", *order["tty"], 0, 0))
            kernel.ioctl(1, kernel.TIOCSCTTY, 0)
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


def become(uid, seccomp, *, own_namespace=True):
    """Give up everything for good: own uid, own user namespace, no capabilities, no new ones, and the filter."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if own_namespace:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else its own /proc/self would be root's
        kernel.unshare(kernel.CLONE_NEWUSER)
        for name, line in (("setgroups", "deny"), ("uid_map", None), ("gid_map", None)):
            fd = os.open("/proc/self/" + name, os.O_WRONLY)
            os.write(fd, (line or "%d %d 1" % (UID_INSIDE, uid)).encode())
            os.close(fd)
        kernel.drop_capabilities()
    seal(seccomp)


def seal(seccomp):
    """A session of its own, no new privileges, and the filter."""
    os.setsid()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.check(kernel.libc.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(seccomp), 0, 0), "seccomp")


def limit(limits):
    """The resource limits, soft and hard."""
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def defaults_for_exec():
    """Python ignores these two, and what is ignored stays so in the program that is exec'd."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def read_order():
    length = protocol.ORDER_LENGTH.unpack(_read_exactly(protocol.ORDER_LENGTH.size))[0]
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
    """Each command as a child, until one fails, and the last in place of this process."""
    defaults_for_exec()
    for command in commands[:-1]:
        pid = os.fork()
        if pid == 0:
            start(command, env)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            os.kill(os.getpid(), os.WTERMSIG(status))
            os._exit(128 + os.WTERMSIG(status))
        if status:
            os._exit(os.WEXITSTATUS(status))
    start(commands[-1], env)


def start(command, env):
    try:
        os.execve(command[0], command, env)
    finally:
        os.write(2, ("cannot start %s\n" % command[0]).encode())
        os._exit(127)


def rehearse():
    """Walk this module's roads as far as they do no harm, for ``goes_on.rehearse``."""
    program = Program.__new__(Program)
    program.config = {"shown": "python3"}
    program.page = bytearray(8)
    order = {"files": [("/dev/null", b"x", 0o644)], "globs": [], "args": [], "env": dict(os.environ), "limits": {}}
    order = marshal.loads(marshal.dumps(order, 2))
    program._lay_down(order)
    program._go_on(order)
    if os.geteuid() == 0:  # in a container it has no rights to give up
        kernel.unshare(0)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    kernel.prctl(kernel.PR_GET_DUMPABLE)
    for name in ("RLIMIT_FSIZE", "RLIMIT_STACK"):
        resource.getrlimit(getattr(resource, name))
    for _ in range(3):
        fd = os.open("/dev/null", os.O_WRONLY)
        os.write(fd, ("%d %d 1" % (UID_INSIDE, 1)).encode())
        os.close(fd)


def end_by(number):
    """End this process by a signal's own action."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
