"""The room is the same in a container: the tests of ``tests/rooms``, with the docker engine behind their sandboxes.

Every language whose image is there. What follows the imports stands in the place of tests of the same names: it is what
a container cannot have as a forked sandbox has it.
"""

from jobs.states import Verdict
from tests.engines.house import is_furnished
from tests.rooms.test_environment import *  # noqa: F403  # all of them, and those that will be
from tests.rooms.test_limits import *  # noqa: F403
from tests.rooms.test_native_builds import *  # noqa: F403
from tests.rooms.test_native_builds import CALLS_C
from tests.rooms.test_outputs import *  # noqa: F403
from tests.rooms.test_terminal import *  # noqa: F403
from tests.rooms.test_the_room import *  # noqa: F403
from tests.sandboxes import Sandboxes

CONTAINERS_HAVE = {"console", "core", "mqueue", "ptmx", "pts", "tty"}


def test_the_house_is_furnished(sandboxes: Sandboxes) -> None:
    """A container has some more devices, each its own."""
    is_furnished(sandboxes, also=CONTAINERS_HAVE)


def test_go_that_calls_c_is_built(sandboxes: Sandboxes) -> None:
    """There is no C compiler in Go's image, and that is said."""
    result = sandboxes.run("go", CALLS_C)
    assert result.verdict is Verdict.COMPILE_ERROR and result.compile is not None
    assert b"C compiler" in result.compile.stderr
