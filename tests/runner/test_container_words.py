"""How a container's two outputs are parted into the program's words and ours, and what an image says of itself."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import ConfigFault
from jobs.languages import Language
from runner.engines.docker import installed, labels
from runner.engines.docker.door import Image
from runner.engines.docker.engine import gone, owner
from runner.engines.docker.sandbox import Scan
from runner.languages.contract import Installation

MARK = b"mmark"
GO = Installation(
    language=Language.GO,
    version="1.23.5",
    compile_flags=("-x",),
    allowed_flags=("-y*",),
    details={"importable": "/prepared/go/compile.cfg", "tools": "/usr/local/go/pkg/tool"},
)


@given(
    before=st.text("mark ", max_size=30), after=st.binary(max_size=20), cuts=st.lists(st.integers(0, 60), max_size=8)
)
def test_the_program_has_what_stands_before_the_first_mark_however_it_arrives(
    before: str, after: bytes, cuts: list[int]
) -> None:
    words = before.encode()
    if MARK in words + MARK[:-1]:
        words = words.replace(b"m", b"")
    whole = words + MARK + after
    scan = Scan(MARK)
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    shown = b"".join(scan.feed(whole[start:end]) for start, end in itertools.pairwise(edges))
    assert scan.found
    assert shown == whole[: whole.index(MARK)]
    assert bytes(scan.after) == whole[whole.index(MARK) + len(MARK) :]


def test_what_only_began_like_the_mark_is_the_programs() -> None:
    scan = Scan(MARK)
    assert scan.feed(b"hello mma") + scan.rest() == b"hello mma"
    scan = Scan(MARK)
    assert scan.feed(b"mm") + scan.feed(b"m") + scan.feed(b"ore") == b"mmmore"


def test_an_image_says_what_it_holds_and_where_plans_find_their_files() -> None:
    image = Image(id="sha256:abc", name="yurt/go", labels=labels.labels(GO, "/prepared/go"))
    seen = installed.from_image(image)
    assert seen.details == {
        "importable": "{plans}/compile.cfg",
        "tools": "/usr/local/go/pkg/tool",
        "image": "sha256:abc",
    }
    assert replace(seen, details=GO.details) == GO


def test_an_image_of_another_version_is_refused_with_the_cure() -> None:
    other = {**labels.labels(GO, ""), labels.INSIDE: "another"}
    with pytest.raises(ConfigFault, match="make images"):
        installed.from_image(Image(id="sha256:abc", name="yurt/go", labels=other))
    unreadable = {**labels.labels(GO, ""), labels.LABEL: "{}"}
    with pytest.raises(ConfigFault, match="label that can be read"):
        installed.from_image(Image(id="sha256:abc", name="yurt/go", labels=unreadable))


def test_only_a_runner_of_this_host_that_is_no_more_is_gone() -> None:
    host, pid, start = owner().split()
    assert not gone(owner())
    assert gone(f"{host} {pid} {int(start) + 1}")
    assert gone(f"{host} 4194305 {start}")
    assert not gone(f"elsewhere {pid} 1")
    assert not gone("")
