"""The zygote: one process a language version, which forks sandboxes ahead. Self-contained: standard library only.

It runs inside the language's root (``launcher`` built it and pivoted into it), as root, single-threaded. For Python it
*is* the language's interpreter: a sandbox is a fork in which ``main`` returns, and ``goes_on`` runs the caller's file.

Theory of operation. The runner and the zygote talk by datagrams on descriptor 3. For each sandbox the zygote makes
three pipes, enters new pid, mount, IPC and UTS namespaces, mounts what is the sandbox's own, and starts two processes
in them, then goes back to its own::

    zygote ──spawn──▶ reaper    process 1: two hundred bytes that reap orphans and end with the zygote
           ──fork───▶ program   see ``program``

When the program ends the zygote kills the reaper, and with it the kernel kills whatever else is there. If files were
asked for, a process with the program's rights then brings them out. At last the runner is told: the slot is free.

Rules
1. The zygote never reads what a program wrote, except the list of globs, which only a process with the program's own
   rights parses.
2. The end is told when everything in the sandbox is dead and reaped: then the pipes are complete.
3. The zygote's end ends all its sandboxes (the reaper's parent-death signal), the runner's end ends the zygote.
4. Interpreters that go on share these files: they run on CPython 3.11 and later, and import little: what is loaded here
   is memory of every sandbox, and C modules are used where the Python ones would bring more.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # what ``signal`` wraps in enums
import _socket as socket
import ctypes
import gc
import marshal
import mmap
import os
import select
import struct
import sys

import bring_back
import kernel
import program
import protocol
import settle
import shown

REAPER = "/workspace/reaper"  #: each sandbox mounts its own /workspace over it
COLLECT_S = 4  #: the longest that bringing files back may take

_OWN = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID
_BUSY = frozenset((b"inuse", b"orphan", b"tw"))


class Box:
    """One sandbox, as the zygote knows it."""

    def __init__(self, slot, network):
        self.slot, self.network = slot, network
        self.page = mmap.mmap(-1, program.PAGE_BYTES)
        self.reaper = self.program = self.collector = 0  #: process ids, until they are reaped
        self.status = 0  #: the program's
        self.mounts = -1  #: its mount namespace, kept for files to be brought out


class Zygote:
    """Makes sandboxes on request until the runner is gone. ``serve`` returns only in a program that goes on in here."""

    def __init__(self, config):
        self.config = config
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, protocol.CONTROL_FD)
        self.boxes = {}  # slot → box
        self.watched = {}  # pidfd → (box, pid)
        self.networks = []  # free network namespaces, as descriptors
        self.epoll = select.epoll()
        self.filter_bytes = bytes.fromhex(config["seccomp"])
        self.filter = kernel.Filter(len(self.filter_bytes) // 8, self.filter_bytes)

    def serve(self):
        self.control.send(protocol.EVENT.pack(protocol.READY, 0, 0))
        self.epoll.register(protocol.CONTROL_FD, select.EPOLLIN)
        while True:
            try:
                asked = False
                for fd, _ in self.epoll.poll():
                    if fd == protocol.CONTROL_FD:
                        asked = True  # who waits for an end goes first
                    else:
                        self._ended(fd)
                if asked and self._answer() is not None:
                    return
            except ConnectionError:  # the runner has gone
                os._exit(0)

    def _answer(self):
        request = self.control.recv(64)
        if not request:
            os._exit(0)
        what, slot, number, cpu = protocol.REQUEST.unpack(request)
        if what == protocol.PITCH:
            return self._pitch(slot, number, cpu)
        box = self.boxes.get(slot)
        if box is not None:
            target = (box.collector or box.reaper) if what == protocol.KILL else box.program
            if target:
                if target == box.reaper:
                    self._hold(box)  # files are brought out whatever ended the run
                os.kill(target, number if what == protocol.SIGNAL else signal.SIGKILL)
        return None

    # -- the making of a sandbox --------------------------------------------------------------------------------

    def _pitch(self, slot, number, cpu):
        """Returns only in a program that goes on."""
        boot, uid = self.config["boots"][number & ~protocol.TERMINAL], self.config["uid_base"] + slot
        box = Box(slot, self._network())
        pipes = os.pipe(), *(self._terminal() if number & protocol.TERMINAL else (os.pipe(), os.pipe()))
        for pipe in pipes:
            for end in pipe:
                os.fchown(end, uid, uid)  # so that /dev/stdout can be opened by its name
        try:
            kernel.unshare(_OWN)
            box.reaper = os.posix_spawn(REAPER, ["init"], {})
            self._mount(boot, uid)
            box.program = os.fork()
            if box.program == 0:
                return program.Program(self.config, self.filter, boot, slot, cpu, pipes, box.page).serve()
        except OSError as error:
            os.write(2, ("pitch: %r\n" % (error,)).encode())
        for fd, kind in self.config["own_namespaces"]:
            kernel.setns(fd, kind)
        self._watch(box, pipes)
        return None

    def _watch(self, box, pipes):
        self.boxes[box.slot] = box
        for pid in filter(None, (box.program, box.reaper)):
            self._await(box, pid)
        if box.program:
            ends = struct.pack("<3i", pipes[0][1], pipes[1][0], pipes[2][0])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, ends)]
            self.control.sendmsg([protocol.EVENT.pack(protocol.PITCHED, box.slot, 0)], rights)
        elif box.reaper:
            os.kill(box.reaper, signal.SIGKILL)
        else:
            self._finish(box)
        for pipe in pipes:
            os.close(pipe[0])
            os.close(pipe[1])

    def _await(self, box, pid):
        pidfd = kernel.pidfd_open(pid)
        self.watched[pidfd] = box, pid
        self.epoll.register(pidfd, select.EPOLLIN)

    def _mount(self, boot, uid):
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        own = b"mode=0755,uid=%d,gid=%d,nr_inodes=65536,size=%d" % (uid, uid, boot["disk_bytes"])
        kernel.mount(b"tmpfs", b"/workspace", b"tmpfs", flags, own)
        if not boot["interpreter"]:
            kernel.mount(b"tmpfs", b"/box", b"tmpfs", flags, own)
        shared = own.replace(b"mode=0755", b"mode=1777")
        kernel.mount(b"tmpfs", b"/tmp", b"tmpfs", flags, shared)
        kernel.mount(b"tmpfs", b"/dev/shm", b"tmpfs", flags, shared)

    def _terminal(self):
        """A new pseudo-terminal as the ends of both outputs; the runner's end of the second is at its end at once."""
        runners = os.open("ptmx", os.O_RDWR | os.O_NOCTTY, dir_fd=self.config["pts_fd"])
        kernel.ioctl(runners, kernel.TIOCSPTLCK, ctypes.byref(ctypes.c_int(0)))
        programs = kernel.ioctl(runners, kernel.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        nothing, closed = os.pipe()
        os.close(closed)
        return (runners, programs), (nothing, os.dup(programs))

    def _network(self):
        """Enter a network namespace that no living sandbox has, with nothing but its loopback, and return it."""
        while self.networks:
            network = self.networks.pop(0)
            kernel.setns(network, kernel.CLONE_NEWNET)
            if self._is_quiet():
                return network
            os.close(network)  # sockets that still close are left to the kernel, and to nobody else
        kernel.unshare(kernel.CLONE_NEWNET)
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            name = ctypes.create_string_buffer(b"lo", 40)
            kernel.ioctl(probe.fileno(), kernel.SIOCGIFFLAGS, name)
            flags = struct.unpack_from("<h", name.raw, 16)[0]
            struct.pack_into("<h", name, 16, flags | kernel.IFF_UP)
            kernel.ioctl(probe.fileno(), kernel.SIOCSIFFLAGS, name)
            return kernel.ioctl(probe.fileno(), kernel.SIOCGSKNS, 0)
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

    # -- the end of a sandbox -----------------------------------------------------------------------------------

    def _ended(self, pidfd):
        box, pid = self.watched.pop(pidfd)
        self.epoll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        if pid == box.collector:
            self._finish(box)
            return
        if pid == box.reaper:
            box.reaper = 0
        elif pid == box.program:
            box.status, box.program = status, 0
            if box.reaper:
                self._hold(box)
                os.kill(box.reaper, signal.SIGKILL)  # and with it whatever the program has left
        if not box.reaper and not box.program:
            if box.mounts >= 0:
                self._collect(box)
            else:
                self._finish(box)

    def _hold(self, box):
        """Keep the mount namespace beyond the reaper's life, where files are to be brought out."""
        if box.mounts < 0 and box.page[0] and box.page[1]:
            try:
                box.mounts = os.open("%d/ns/mnt" % box.reaper, os.O_RDONLY, dir_fd=self.config["proc_fd"])
            except FileNotFoundError:
                pass  # the reaper has just died: the kernel wanted its memory

    def _collect(self, box):
        """Files out, by a process with the program's rights, through a pipe of which the runner reads as it likes."""
        read, write = os.pipe()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("<i", read))]
        self.control.sendmsg([protocol.EVENT.pack(protocol.FILES, box.slot, 0)], rights)
        os.close(read)
        box.collector = os.fork()
        if box.collector == 0:
            try:
                kernel.setns(box.mounts, kernel.CLONE_NEWNS)
                os.dup2(write, 0)
                kernel.close_from(1)
                program.become(self.config["uid_base"] + box.slot, self.filter, own_namespace=False)
                signal.alarm(COLLECT_S)
                bring_back.collect(marshal.loads(box.page[2:]), 0)
            finally:
                os._exit(0)
        os.close(write)
        os.close(box.mounts)
        self._await(box, box.collector)

    def _finish(self, box):
        del self.boxes[box.slot]
        self.networks.append(box.network)
        self.control.send(
            protocol.EVENT.pack(protocol.EXITED if box.page[0] else protocol.FAILED, box.slot, box.status)
        )
        box.page.close()


# -- the start ----------------------------------------------------------------------------------------------------


LOADED: frozenset = frozenset()
"""The modules that were loaded before a program went on in this interpreter: they are not the program's."""


def begin(config_fd):
    """Called before anything is loaded; all is loaded in here, and forks share it."""


def main(config_fd, loaded=frozenset(), bare=frozenset()):
    """Be a zygote. Returns only in an interpreter that goes on as a program.

    *loaded*: what it has loaded so far; *bare*: what it loads by itself.
    """
    global LOADED
    LOADED, program.BARE = loaded, bare
    with os.fdopen(config_fd, "rb") as file:
        config = marshal.loads(file.read())
    kernel.unshare(kernel.CLONE_THREAD)  # refused where there is a second thread: a fork would lack it
    root = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID
    kernel.mount(None, b"/", None, root, None)
    for fd in (protocol.CONTROL_FD, config["proc_fd"], config["pts_fd"], *config["cgroup_fds"]):
        os.set_inheritable(fd, False)
    for fd, _ in config["own_namespaces"]:
        os.set_inheritable(fd, False)
    if config["interpreter"]:
        shown.show_as([config["shown"], "main.py"], config["env"], config["proc_fd"])
        kernel.check(kernel.libc.prctl(kernel.PR_SET_NAME, config["shown"].encode(), 0, 0, 0), "prctl")
        for module in ("zygote", "program", "bring_back", "kernel", "protocol", "settle", "shown"):
            sys.modules.pop(module, None)
        sys.path_importer_cache.pop("/workspace", None)
        compile("[None for _ in ()]", "<warm>", "eval")  # a first compile() costs a fork 1.6 ms
    gc.collect()
    gc.freeze()
    if config["rehearsal"]:
        settle.settle(config["proc_fd"])
    Zygote(config).serve()
