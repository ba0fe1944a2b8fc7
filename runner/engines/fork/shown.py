"""What /proc shows of this process: the command line and environment of a program, in place of our own."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

import kernel


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
    kernel.libc.sbrk.restype = ctypes.c_void_p
    places = [*map(int, (*code, *data, brk_start)), kernel.libc.sbrk(0), int(stack), start, middle, middle, end]
    new_map = struct.pack("<11QQIi", *places, 0, 0, -1)
    # A kernel without checkpoint support refuses this; then our own words are seen there, which is no harm.
    kernel.libc.prctl(kernel.PR_SET_MM, kernel.PR_SET_MM_MAP, new_map, ctypes.c_ulong(len(new_map)), 0)


_SHOWN: list = []
