"""The room is the same in a container: the tests of ``tests/rooms``, with the docker engine behind their sandboxes.

Every language whose image is there. What follows the imports stands in the place of tests of the same names: it is what
a container cannot have as a forked sandbox has it.
"""

from jobs.states import Verdict
from tests.rooms.test_environment import *  # noqa: F403  # all of them, and those that will be
from tests.rooms.test_limits import *  # noqa: F403
from tests.rooms.test_native_builds import *  # noqa: F403
from tests.rooms.test_native_builds import CALLS_C
from tests.rooms.test_outputs import *  # noqa: F403
from tests.rooms.test_terminal import *  # noqa: F403
from tests.rooms.test_the_room import *  # noqa: F403
from tests.rooms.test_the_room import HOUSE
from tests.sandboxes import Sandboxes

DEVICES = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
CONTAINERS_HAVE = {"console", "core", "mqueue", "ptmx", "pts", "tty"}


def test_the_house_is_furnished(sandboxes: Sandboxes) -> None:
    """A container has some more devices, each its own."""
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


def test_go_that_calls_c_is_built(sandboxes: Sandboxes) -> None:
    """There is no C compiler in Go's image, and that is said."""
    result = sandboxes.run("go", CALLS_C)
    assert result.verdict is Verdict.COMPILE_ERROR and result.compile is not None
    assert b"C compiler" in result.compile.stderr
