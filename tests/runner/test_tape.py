"""Output as it is told: numbered without gaps, whole characters, nothing lost, and told again the same way."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.events import Stream
from runner.tape import CHUNK_BYTES, Tape, whole

Told = list[tuple[int, Stream, bytes]]


def _taped(writes: list[tuple[Stream, bytes]]) -> tuple[Told, Tape]:
    told: Told = []
    tape = Tape(lambda number, stream, data: told.append((number, stream, data)))
    for stream, data in writes:
        tape.write(stream, data)
    tape.end()
    return told, tape


async def test_the_first_bytes_go_out_soon_and_what_follows_together() -> None:
    told: Told = []
    first = asyncio.Event()

    def tell(number: int, stream: Stream, data: bytes) -> None:
        told.append((number, stream, data))
        first.set()

    tape = Tape(tell)
    tape.write(Stream.STDOUT, b"now")
    await asyncio.wait_for(first.wait(), 5)
    assert told == [(1, Stream.STDOUT, b"now")]
    tape.write(Stream.STDOUT, b"a")
    tape.write(Stream.STDOUT, b"b")
    assert len(told) == 1
    tape.end()
    assert told[1:] == [(2, Stream.STDOUT, b"ab")]


async def test_streams_keep_their_order() -> None:
    told, _ = _taped([(Stream.STDOUT, b"1"), (Stream.STDERR, b"2"), (Stream.STDOUT, b"3"), (Stream.STDERR, b"4")])
    assert b"".join(data for _, _, data in told) == b"1234"


async def test_a_character_in_pieces_is_told_whole() -> None:
    pieces = [(Stream.STDOUT, bytes([byte])) for byte in "é雪🧊".encode()]
    told, _ = _taped(pieces)
    assert [data.decode() for _, _, data in told] == ["é雪🧊"]


async def test_what_is_no_text_is_not_held_back() -> None:
    told, _ = _taped([(Stream.STDOUT, b"\xff\xfe\x80\x80\x80\x80")])
    assert told[0][2] == b"\xff\xfe\x80\x80\x80\x80"


async def test_a_character_that_never_ends_is_told_at_the_end() -> None:
    told, _ = _taped([(Stream.STDOUT, b"x\xf0\x9f")])
    assert b"".join(data for _, _, data in told) == b"x\xf0\x9f"


async def test_much_at_once_is_cut_between_characters() -> None:
    text = "雪" * 100_000
    told, _ = _taped([(Stream.STDOUT, text.encode())])
    assert all(len(data) <= CHUNK_BYTES for _, _, data in told)
    assert "".join(data.decode() for _, _, data in told) == text


async def test_a_character_whose_pieces_have_others_between_them_keeps_its_order() -> None:
    told: Told = []
    tape = Tape(lambda number, stream, data: told.append((number, stream, data)))
    for stream, data in ((Stream.STDOUT, b"a\xc3"), (Stream.STDERR, b"e"), (Stream.STDOUT, b"\xa9b")):
        tape.write(stream, data)
    tape._on_timer()
    tape.end()
    assert [(stream, data) for _, stream, data in told] == [
        (Stream.STDOUT, b"a"),
        (Stream.STDERR, b"e"),
        (Stream.STDOUT, "éb".encode()),
    ]


writes = st.lists(st.tuples(st.sampled_from([Stream.STDOUT, Stream.STDERR]), st.binary(max_size=40)))


@given(writes)
@settings(max_examples=200, deadline=None)
async def test_nothing_is_lost_and_the_numbers_have_no_gaps(written: list[tuple[Stream, bytes]]) -> None:
    told: Told = []
    tape = Tape(lambda number, stream, data: told.append((number, stream, data)))
    for at, (stream, data) in enumerate(written):
        tape.write(stream, data)
        if at % 3 == 2:
            tape._on_timer()  # time goes by
    tape.end()
    for stream in (Stream.STDOUT, Stream.STDERR):
        assert b"".join(d for _, s, d in told if s is stream) == b"".join(d for s, d in written if s is stream)
    assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
    assert tape.lengths == [(stream.value, len(data)) for _, stream, data in told]


@given(st.text())
def test_whole_text_is_whole(text: str) -> None:
    data = text.encode("utf-8", "replace")
    assert whole(data) == len(data)
    for cut in range(len(data)):
        data[: whole(data[:cut])].decode()
