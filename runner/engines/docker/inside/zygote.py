"""Process 1 of a container: it starts the one program, keeps it, and tells how it ended. Standard library only.

For Python it is the language's interpreter, started by ``goes_on`` as in the fork engine, and the program is a fork
that goes on in it; for the other languages it is the image's own small Python. All of the container runs as one user
without a capability, so this process guards itself against its program by being undumpable: its memory is closed.

Theory of operation. By standard input come first our *configuration*, then the order, then the program's input; length
and body each for the first two. By standard output come the program's words, and ours, which begin with a *mark*: bytes
that the engine drew by lot for this container::

    mark r                               the program waits for its order
    mark x status why, files, mark e     it has ended, and nothing else is left alive; on standard error only: mark x
    mark f status why                    it ended before it was started: ours, not the program's

Then this process waits to be removed with its container, so that the engine can read what the control groups counted.
A signal that comes from outside goes to the program; ``STOP`` ends the program alone.

When the program begins, this process is told by a pipe what it may take (``BOUNDS``), and ends it when its time is
over: that is in time, however busy the daemon is. Where the kernel bounds processes but does not tell what it refused
(gVisor's), it looks every few milliseconds whether there are as many as there may be. *why* tells of both.

Rules
1. The program's files are brought out only when everything but this process is dead.
2. A program that forges the mark deceives about its own end only, and is removed for it.
3. With a terminal, this process lies between: order and keys come framed (``KEYS``, ``SIZE``).
4. A signal may come from anybody who runs in here: what SIGALRM means is read from the clock.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what ``signal`` wraps in enums
import ctypes
import gc
import marshal
import mmap
import os
import resource
import select
import struct
import sys
import time

import bring_back
import kernel
import program
import protocol
import shown

STOP = 30  #: to this process: end the program; SIGPWR, for a signal without a name is not passed on by every runtime
COLLECT_S = 4  #: the longest that bringing files back may take
LEFT_S = 60  #: an ended container that nobody removes ends itself
WAITS = b"w"
READY, ENDED, END, FAILED = b"r", b"x", b"e", b"f"
STATUS = struct.Struct("<iB")
WALL, CROWD = 1, 2  #: of *why*: its time was over; there were as many processes as there may be
BOUNDS = struct.Struct("<ddI")  #: seconds of wall time; how often to count processes, or 0; how many there may be
TASKS, TASKS_AT = struct.Struct("<H"), 80  #: of the structure that sysinfo fills in
FRAME = struct.Struct("<cI")  #: of a terminal's input: kind, length of what follows (of SIZE: rows << 16 | columns)
KEYS, SIZE = b"k", b"s"
PIPES = (0, -1), (-1, 1), (-1, 2)
TICK_MS = 50

LOADED: frozenset = frozenset()
"""The modules that were loaded before a program went on in this interpreter: they are not the program's."""


class Resident(program.Program):  # type: ignore[misc]  # it lies beside this file in an image
    """The program. Namespaces, control groups and user are the container's. *told*: where its keeper hears of it."""

    def __init__(self, config, seccomp, boot, pipes, page, told):
        super().__init__(config, seccomp, boot, 0, 0, pipes, page)
        self.told = told
        self.pid = os.getpid()

    def _enter(self):
        pass

    def _seal(self):
        program.seal(self.filter)

    def _close_from(self, first):
        if self.told != first:
            os.dup2(self.told, first, inheritable=False)
            self.told = first
        super()._close_from(first + 1)

    def _lay_down(self, order):
        super()._lay_down(order)
        seconds, tick, most = order["bounds"]
        if tick:
            resource.prlimit(self.pid, resource.RLIMIT_NPROC, (most, most))
        os.write(self.told, BOUNDS.pack(seconds, tick, most))
        os.close(self.told)


class Keeper:
    """Process 1. ``serve`` returns only in a program that goes on in here."""

    def __init__(self):
        self.page = mmap.mmap(-1, program.PAGE_BYTES)
        self.hears, self.told = os.pipe()
        self.program = 0
        self.master = self.orders = -1
        self.deadline, self.most, self.why = 0.0, 0, 0
        self.sysinfo = ctypes.create_string_buffer(128)

    def begin(self):
        """Fork the program before anything is loaded: only it will have much memory, and a copy of none of it.

        Process 1 does not come back from here; the program does, and is told by ``await_start`` what it must know.
        """
        self.start, self.starts = os.pipe()
        self.warm, self.warms = os.pipe()
        self.program = os.fork()
        if self.program == 0:
            return
        for fd in (self.start, self.warms):
            os.close(fd)
        if os.read(self.warm, 1):
            os.close(self.warm)
            write_all(1, WAITS)
            self.serve(program.read_order())
        os._exit(1)

    def await_start(self):
        """In the program, which is warm: what it must know."""
        os.write(self.warms, b"w")
        for fd in (self.warm, self.warms, self.starts):
            os.close(fd)
        with os.fdopen(self.start, "rb") as file:
            config = marshal.loads(file.read())
        if "random" in sys.modules:
            sys.modules["random"].seed()  # the seed that it has is in the snapshot
        return config

    def serve(self, config):
        self.config, self.mark = config, config["mark"]
        pipes = self._ends()
        if not self.program:
            self.program = os.fork()
            if self.program == 0:
                return self.become(config, pipes)
        else:
            write_all(self.starts, marshal.dumps({**config, "mark": b""}, 2))
            os.close(self.starts)
        os.close(self.told)
        self._keep(pipes)
        if self.master >= 0:
            self._pass_order()
        self._bound(os.read(self.hears, BOUNDS.size))
        self._end(self._relay() if self.master >= 0 else self._await())
        signal.signal(signal.SIGALRM, _leave)
        signal.alarm(LEFT_S)
        while True:
            signal.pause()

    def become(self, config, pipes):
        """In the program: go on as it."""
        if config["interpreter"]:
            name = config["shown"]
            show_as([name, "main.py"], config["env"])
            kernel.libc.prctl(kernel.PR_SET_NAME, name.encode(), 0, 0, 0)
        filter_bytes = bytes.fromhex(config["seccomp"])
        seccomp = kernel.Filter(len(filter_bytes) // 8, filter_bytes)
        own = {"uid_base": 0, "shown": config["shown"]}
        return Resident(own, seccomp, config["boot"], pipes, self.page, self.told).serve()

    def _ends(self):
        """What the program has as its three descriptors; with a terminal, its order comes by a pipe of its own."""
        if not self.config["tty"]:
            return PIPES
        self.master, slave = os.openpty()
        read, self.orders = os.pipe()
        return (read, -1), (-1, slave), (-1, slave)

    def _keep(self, pipes):
        show_as(["init"], {})
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        for number in range(1, 65):
            if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33):
                signal.signal(number, self._forward)
        if self.master >= 0:
            os.close(pipes[0][0])
            os.close(pipes[1][1])
        else:
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        write_all(1, self.mark + READY)

    def _forward(self, number, _):
        try:
            os.kill(self.program, signal.SIGKILL if number == STOP else number)
        except ProcessLookupError:
            pass

    def _bound(self, told):
        """The program has begun, with these bounds; or it is dead, and nothing was told."""
        if told:
            seconds, tick, most = BOUNDS.unpack(told)
            self.deadline, self.most = time.monotonic() + seconds, most if tick else 0
            signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, tick or seconds, tick or TICK_MS / 1000)

    def _look(self, _number, _frame):
        if self.most and self._tasks() >= self.most:
            self.why |= CROWD
            self.most = 0
        if time.monotonic() >= self.deadline:
            self.why |= WALL
            self._forward(STOP, None)

    def _tasks(self):
        """How many processes and threads there are."""
        kernel.libc.sysinfo(self.sysinfo)
        return TASKS.unpack_from(self.sysinfo, TASKS_AT)[0]

    def _await(self):
        while True:
            pid, status = os.wait()
            if pid == self.program:
                return status

    def _pass_order(self):
        head = program._read_exactly(protocol.ORDER_LENGTH.size)
        write_all(self.orders, head + program._read_exactly(protocol.ORDER_LENGTH.unpack(head)[0]))
        os.close(self.orders)
        os.set_blocking(self.master, False)

    def _relay(self):
        """Between the engine and the terminal, until the program has ended; its wait status."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(self.master, select.POLLIN)
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == self.program:
                return status
            for fd, _ in poll.poll(TICK_MS):
                if fd == 0 and not self._input():
                    poll.unregister(0)
                elif fd == self.master and not self._show():
                    poll.unregister(self.master)

    def _input(self):
        try:
            head = os.read(0, 1)
            while head and len(head) < FRAME.size:
                head += os.read(0, FRAME.size - len(head))
        except OSError:
            return False
        if not head:
            return False
        kind, value = FRAME.unpack(head)
        if kind == SIZE:
            kernel.ioctl(self.master, kernel.TIOCSWINSZ, struct.pack("<4H", value >> 16, value & 0xFFFF, 0, 0))
            return True
        keys = program._read_exactly(value)
        while keys:
            try:
                keys = keys[os.write(self.master, keys) :]
            except BlockingIOError:
                if os.waitid(os.P_PID, self.program, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return False
                self._show()
                select.select([], [self.master], [], TICK_MS / 1000)
            except OSError:
                return False
        return True

    def _show(self):
        """What the program wrote on its terminal, on; whether there may be more."""
        try:
            data = os.read(self.master, 65536)
        except BlockingIOError:
            return True
        except OSError:  # nobody has the terminal open any more
            return False
        write_all(1, data)
        return bool(data)

    def _end(self, status):
        """Nothing is left alive; then the end is told, and the files brought."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._forward)
        if self.most and self._tasks() + 1 >= self.most:  # it has left those that it made
            self.why |= CROWD
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            while True:
                os.wait()
        except ChildProcessError:
            pass
        while self.master >= 0 and select.select([self.master], [], [], 0)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            write_all(1, data)
        if not self.page[0]:
            write_all(1, self.mark + FAILED + STATUS.pack(status, self.why))
            return
        write_all(2, self.mark + ENDED)
        write_all(1, self.mark + ENDED + STATUS.pack(status, self.why))
        if self.page[1]:
            _bring_back(self.page)
        write_all(1, self.mark + END)


def show_as(argv, env):
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    shown.show_as(argv, env, proc)
    os.close(proc)


def _bring_back(page):
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(COLLECT_S)
    try:
        bring_back.collect(marshal.loads(page[2:]), 1)
        signal.alarm(0)
    except TimeoutError:
        pass


def _too_long(_number, _frame):
    raise TimeoutError


def _leave(_number, _frame):
    os._exit(0)


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


KEEPERS: list = []
"""Where the program was forked at the very beginning, in it: its keeper's side of things."""


def begin(for_snapshot):
    """Called before anything is loaded. *for_snapshot*: say when all is, and read nothing before that."""
    if for_snapshot:
        KEEPERS.append(Keeper())
        KEEPERS[0].begin()


def main(for_snapshot, loaded=frozenset(), bare=frozenset()):
    """Keep one program. Returns only in an interpreter that goes on as it.

    *loaded*: what it has loaded so far; *bare*: what it loads by itself; neither where no program goes on in here.
    """
    global LOADED
    LOADED, program.BARE = loaded, bare
    if loaded:
        for module in ("zygote", "program", "bring_back", "kernel", "protocol", "settle", "shown"):
            sys.modules.pop(module, None)
        sys.path_importer_cache.pop(os.path.dirname(__file__), None)
        compile("[None for _ in ()]", "<warm>", "eval")  # a first compile() costs a fork 1.6 ms
    gc.collect()
    gc.freeze()
    ctypes.set_errno(0)
    if KEEPERS:
        KEEPERS[0].become(KEEPERS[0].await_start(), PIPES)
        return
    if for_snapshot:
        write_all(1, WAITS)
    Keeper().serve(program.read_order())


if __name__ == "__main__":
    main(int(os.environ.pop("ZYGOTE_CONFIG")))
