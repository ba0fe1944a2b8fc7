"""The room is the same in a container: the tests of ``tests/rooms``, with the docker engine behind their sandboxes."""

from tests.rooms.test_outputs import *  # noqa: F403  # all of them, and those that will be
from tests.rooms.test_terminal import *  # noqa: F403
from tests.rooms.test_the_room import *  # noqa: F403
