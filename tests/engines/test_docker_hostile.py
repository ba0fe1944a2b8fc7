"""What hostile programs try in a container: the tests of ``tests/hostile``, with the docker engine behind them.

What follows the imports stands in the place of tests of the same names: it is what a container cannot have as a forked
sandbox has it.
"""

import pytest

from tests.hostile.conftest import Attack
from tests.hostile.test_compilers import *  # noqa: F403  # all of them, and those that will be
from tests.hostile.test_endings import *  # noqa: F403
from tests.hostile.test_exhaustion import *  # noqa: F403
from tests.hostile.test_files_back import *  # noqa: F403
from tests.hostile.test_spying import *  # noqa: F403
from tests.hostile.test_the_wall import *  # noqa: F403
from tests.hostile.test_the_wall import NO_WAY

OF_ITS_OWN = {"/dev/ptmx"}  #: a container has terminals of its own
EMPTY = {"/proc/timer_list"}  #: what a container hides is /dev/null there, and swallows what is written


@pytest.mark.parametrize("path", [path for path in NO_WAY if path not in OF_ITS_OWN | EMPTY])
def test_no_way_to_write(attack: Attack, path: str) -> None:
    code = f"""
for mode in ("r+b", "ab"):
    try: open({path!r}, mode).write(b"1"); print(mode)
    except OSError: pass
"""
    assert attack(code).stdout == b""


def test_mounts_show_nothing_of_the_host(attack: Attack) -> None:
    """The daemon's folders are named in them, as any container sees; what can be written to is the room's or null."""
    written = attack(
        "import os\nfor line in open('/proc/self/mountinfo'):\n    target = line.split()[4]\n"
        "    if os.access(target, os.W_OK): print(target)"
    )
    assert set(written.stdout.decode().split()) <= {
        *("/workspace", "/tmp", "/box", "/dev/shm", "/dev/mqueue"),
        *("/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
        *("/proc/sched_debug", "/proc/timer_stats"),
    }
