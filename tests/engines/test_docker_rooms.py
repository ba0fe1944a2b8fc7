"""The room is the same in a container: the tests of ``tests/rooms``, with the docker engine behind their sandboxes."""

from tests.rooms.test_outputs import *  # noqa: F403  # all of them, and those that will be
from tests.rooms.test_terminal import *  # noqa: F403
from tests.rooms.test_the_room import *  # noqa: F403
from tests.rooms.test_the_room import HOUSE
from tests.sandboxes import Sandboxes

DEVICES = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
CONTAINERS_HAVE = {"console", "core", "mqueue", "ptmx", "pts", "tty"}


def test_the_house_is_furnished(sandboxes: Sandboxes) -> None:
    """It stands in the place of the one that knows every device: a container has some more, each its own."""
    result = sandboxes.run("python", HOUSE)
    lines = result.stdout.decode().splitlines()
    devices = set(lines.pop(4).rpartition("[")[2].rstrip("]").replace("'", "").split(", "))
    assert devices >= DEVICES
    assert devices <= DEVICES | CONTAINERS_HAVE
    zones = lines.pop(3)
    assert zones in {"5 True", "6 True"}
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
