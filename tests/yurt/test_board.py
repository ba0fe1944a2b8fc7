"""The live table stays in its place, whatever else is said, and is no wider than the terminal."""

from __future__ import annotations

import asyncio
import io
import os
import re
from pathlib import Path

import pytest

from yurt.stack.board import Board, View, lines_of
from yurt.stack.folder import Folder
from yurt.stack.layout import Layout, Wish, lay_out

VIEWS = [
    View(
        region="us-east",
        url="http://127.0.0.1:8080",
        health="ready",
        runners=1,
        queue=1234,
        running=8,
        done_a_second=12.34,
        rtt_ms={"eu-west": 81.7},
    ),
    View(region="eu-west", url="http://127.0.0.1:8081", health="away"),
]


@pytest.fixture
def layouts(tmp_path: Path) -> tuple[Layout, ...]:
    return lay_out(Wish(regions=("us-east", "eu-west")), Folder(tmp_path))


def test_a_region_is_a_row_and_what_is_not_known_is_a_dash() -> None:
    lines = lines_of(VIEWS)
    assert lines[1].split() == ["us-east", "http://127.0.0.1:8080", "ready", "1", "1,234", "8", "12.3"]
    assert lines[2].split() == ["eu-west", "http://127.0.0.1:8081", "away", "-", "-", "-", "-"]
    assert max(map(len, lines)) <= 80


def test_distances_are_a_table_of_their_own_where_there_are_several_regions() -> None:
    assert lines_of(VIEWS)[-2].split() == ["us-east", "82"]
    assert len(lines_of(VIEWS[:1])) == 2


async def test_it_is_drawn_in_place_below_what_is_said_and_gone_in_the_end(layouts: tuple[Layout, ...]) -> None:
    """Whatever is drawn is taken away again before anything else is written: as many lines up as there were."""
    out = io.StringIO()
    board = Board(layouts, out=out)
    keeping = asyncio.create_task(board.keep_up())
    async with asyncio.timeout(10):
        while "us-east" not in out.getvalue():  # noqa: ASYNC110  # nobody listens there: it is drawn at once
            await asyncio.sleep(0)
    board.say("yurt: something else")
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    assert screen(out.getvalue()).rstrip("\n") == "yurt: something else"


def screen(written: str) -> str:
    """What a terminal shows after that; it knows lines, cursor up and clear below."""
    lines, at = [""], 0
    for word in re.split(r"(\x1b\[\d+A|\x1b\[J|\x1b\[\?25[lh]|\n|\r)", written):
        if word == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif word.endswith("A") and word.startswith("\x1b"):
            at -= int(word[2:-1])
            assert at >= 0
        elif word == "\x1b[J":
            lines = [*lines[:at], ""]
        elif word and word != "\r" and not word.startswith("\x1b"):
            lines[at] += word
    return "\n".join(lines)


def test_a_narrow_terminal_shows_less(layouts: tuple[Layout, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((20, 4)))
    out = io.StringIO()
    board = Board(layouts, out=out)
    board._open = True
    board._draw()
    drawn = out.getvalue().removeprefix("\x1b[?25l").splitlines()
    assert len(drawn) == 3
    assert max(map(len, drawn)) < 20
