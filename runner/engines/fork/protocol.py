"""What the runner and its zygotes say to each other: datagrams on descriptor 3, and the order of a program. Plain data.

Imported on both sides: by the runner as a module of this package, by zygotes as a file beside theirs.
"""

from __future__ import annotations

import marshal
import struct

CONTROL_FD = 3

#: runner to zygote: what, slot, boot, cpu
REQUEST = struct.Struct("<cIII")
PITCH = b"P"  #: make a sandbox
STOP = b"T"  #: end the program; what was asked for is still brought back
KILL = b"K"  #: end everything at once
SIGNAL = b"S"  #: send the signal numbered ``boot`` to the program
TERMINAL = 1 << 31  #: set in ``boot``: its outputs are a pseudo-terminal, and its input once it has its order

#: to the runner: what, slot, status
EVENT = struct.Struct("<cIi")
READY = b"r"  #: the zygote waits for requests
PITCHED = b"p"  #: with the runner's ends of stdin, stdout, stderr
FILES = b"f"  #: with the read end of a pipe that brings the files that were asked for
EXITED = b"x"  #: the program's wait status; nothing of the sandbox is left, and its slot is free
FAILED = b"e"  #: as EXITED, but it ended before the program was started: ours, not the program's

ORDER_LENGTH = struct.Struct("<I")


def pack_order(order: dict) -> bytes:
    """An order as the program's side reads it. Keys: ``files`` [(path, bytes, mode)], ``argv`` or None (the
    interpreter goes on), ``args`` (then), ``commands`` (a build), ``env``, ``limits`` {RLIMIT name: value}, ``go``,
    ``globs``, ``collect`` (files, bytes), ``tty`` (rows, columns) or None."""
    body = marshal.dumps(order, 2)
    return ORDER_LENGTH.pack(len(body)) + body
