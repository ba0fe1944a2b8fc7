"""What a container's room has, as ``tests/rooms`` asks of a forked one's, but for devices that its kernel adds."""

from __future__ import annotations

from collections.abc import Set

from tests.rooms.test_the_room import HOUSE
from tests.sandboxes import Sandboxes

DEVICES = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}


def is_furnished(sandboxes: Sandboxes, *, also: Set[str]) -> None:
    """Assert it; *also*: devices that may be there, each the sandbox's own."""
    result = sandboxes.run("python", HOUSE)
    lines = result.stdout.decode().splitlines()
    devices = set(lines.pop(4).rpartition("[")[2].rstrip("]").replace("'", "").split(", "))
    assert DEVICES <= devices <= DEVICES | also
    assert lines.pop(3) in {"5 True", "6 True"}
    assert lines == [
        "runner runner /workspace",
        "yurt yurt 127.0.0.1 127.0.0.1",
        "C.UTF-8 UTC utf-8",
        "b'\\x00\\x00' 3 True",
        "28",
        "by its name",
        "True True 0o41777",
    ]
    assert result.stderr == b"and this\n"
