"""The output of one execution as it is told: numbered chunks, few enough to be cheap, soon enough to be live.

Theory of operation. The first bytes go out within ``FIRST_S``, so short that nobody sees it and long enough that a
program which prints and ends is told in one piece. What follows within ``HOLD_S`` of a chunk is gathered and goes out
together, at most ``CHUNK_BYTES`` at a time. A chunk ends where a UTF-8 character does: the start of one that is still
to come is held back, until the run ends. ``lengths`` remembers each chunk, so that the stored result can tell the same
numbers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobs.events import Stream

FIRST_S = 0.001
HOLD_S = 0.008
CHUNK_BYTES = 64 * 1024

Tell = Callable[[int, Stream, bytes], None]
"""Number, stream, data."""


class Tape:
    """Make one an attempt; ``write`` as output comes; ``end`` once, when it is complete."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._held: list[tuple[Stream, bytearray]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.lengths: list[tuple[str, int]] = []

    def write(self, stream: Stream, data: bytes) -> None:
        if not data:
            return
        last = next((waiting for held, waiting in reversed(self._held) if held is stream), bytearray())
        if self._held and last is self._held[-1][1]:
            last += data  # nothing came between
        else:
            begun = last[whole(last) :]  # of a character: its start goes on with its end
            del last[whole(last) :]
            self._held.append((stream, begun + data))
        if self._timer is None:
            self._timer = self._loop.call_later(HOLD_S if self.lengths else FIRST_S, self._on_timer)

    def end(self) -> None:
        """Everything that is held goes out, characters whole or not."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush(last=True)

    def _on_timer(self) -> None:
        self._timer = None
        if self._flush():
            self._timer = self._loop.call_later(HOLD_S, self._on_timer)

    def _flush(self, *, last: bool = False) -> bool:
        """Whether anything went out."""
        before = len(self.lengths)
        kept: list[tuple[Stream, bytearray]] = []
        newest = dict(self._held)  # only there may more of a character follow
        for stream, waiting in self._held:
            end = len(waiting) if last or waiting is not newest[stream] else whole(waiting)
            for at in _cuts(waiting, end):
                self.lengths.append((stream.value, at.stop - at.start))
                self._tell(len(self.lengths), stream, bytes(waiting[at]))
            if end < len(waiting):
                kept.append((stream, waiting[end:]))
        self._held = kept
        return len(self.lengths) > before


def whole(data: bytes | bytearray) -> int:
    """How many bytes of *data* end with a whole character: all, but for the start of a UTF-8 one at the very end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:  # a continuation: look further back for its start
            continue
        length = 2 if 0xC2 <= byte <= 0xDF else 3 if 0xE0 <= byte <= 0xEF else 4 if 0xF0 <= byte <= 0xF4 else 1
        return len(data) - back if length > back else len(data)
    return len(data)


def _cuts(data: bytearray, end: int) -> list[slice]:
    """Slices of at most ``CHUNK_BYTES`` that end with whole characters."""
    slices, start = [], 0
    while start < end:
        stop = min(start + CHUNK_BYTES, end)
        if stop < end:
            stop = start + whole(data[start:stop]) or stop
        slices.append(slice(start, stop))
        start = stop
    return slices
