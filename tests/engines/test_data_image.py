"""The image ``python-data`` in containers: its libraries are loaded, and are not the program's memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.daemon import Daemon
from jobs.states import Verdict
from tests.engines.daemon import archive
from tests.sandboxes import Sandboxes, docker

SUM = "import numpy, pandas, matplotlib.pyplot\nprint(pandas.DataFrame({'a': [1, 2]}).a.sum())"
ONES = "import numpy\nprint(int(numpy.ones({} << 17).sum()) >> 17)"


@pytest.fixture(scope="module")
def data(daemon: Daemon) -> Iterator[Sandboxes]:
    daemon.load(archive("python-data"))
    started = Sandboxes(lambda: docker(daemon.url))
    started.shelf("python", variant="data")
    yield started
    started.close()


def test_the_libraries_are_loaded_before_the_program_comes(data: Sandboxes) -> None:
    code = "import os, sys\nprint([name in sys.modules for name in ('numpy', 'pandas', 'matplotlib.pyplot')])\n"
    result = data.run("python", code + "print(os.listdir('/workspace'), os.listdir('/tmp'))", variant="data")
    assert (result.verdict, result.stdout) == (Verdict.OK, b"[True, True, True]\n['main.py'] []\n")


def test_the_smallest_memory_limit_is_the_programs_own(data: Sandboxes) -> None:
    result = data.run("python", SUM, variant="data", memory_mb=64)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"3\n")
    assert result.usage.memory_peak_bytes < 32 << 20


def test_beyond_the_limit_is_beyond_the_limit(data: Sandboxes) -> None:
    assert data.run("python", ONES.format(160), variant="data").stdout == b"160\n"
    assert data.run("python", ONES.format(400), variant="data").verdict is Verdict.MEMORY_LIMIT


def test_a_figure_comes_back_as_a_file(data: Sandboxes) -> None:
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.savefig('a.png')"
    result = data.run("python", code, variant="data", outputs=("*.png",))
    assert [(file.name, file.content[:4]) for file in result.files or ()] == [("a.png", b"\x89PNG")]


def test_random_numbers_differ_from_every_other_runs(data: Sandboxes) -> None:
    code = "import random, numpy\nprint(random.random(), numpy.random.rand())"
    runs = [data.run("python", code, variant="data").stdout.split() for _ in range(3)]
    assert all(len(set(column)) == 3 for column in zip(*runs, strict=True))
