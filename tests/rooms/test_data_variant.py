"""Python's variant ``data``: numpy, pandas and matplotlib are loaded, and else it is as a plain room."""

from __future__ import annotations

import pytest

from jobs.languages import Language
from jobs.result import Result
from jobs.states import Verdict
from tests.sandboxes import Sandboxes

PNG = b"\x89PNG\r\n\x1a\n"
TABLE = "import pandas as pd\ntable = pd.DataFrame({'a': [1, 2], 'b': [3.5, 4.5]})\n"


@pytest.fixture(scope="session")
def data(sandboxes: Sandboxes) -> Sandboxes:
    """Skipped, loudly, where the variant is not installed."""
    try:
        sandboxes.shelf(Language.PYTHON, variant="data")
    except pytest.skip.Exception:
        pytest.skip("NO DATA VARIANT HERE: `make setup` brings numpy, pandas and matplotlib where pip can")
    return sandboxes


def run(data: Sandboxes, code: str | None, **fields: object) -> Result:
    return data.run(Language.PYTHON, code, variant="data", **fields)


def test_the_libraries_are_there_and_the_start_is_warm(data: Sandboxes) -> None:
    result = run(data, TABLE + "import numpy, matplotlib.pyplot\nprint(table.a.sum(), numpy.arange(3).sum())")
    assert (result.verdict, result.stdout, result.stderr) == (Verdict.OK, b"3 3\n", b"")
    assert result.warm


def test_a_figure_comes_back_as_a_file(data: Sandboxes) -> None:
    code = TABLE + "import matplotlib.pyplot as plt\ntable.plot(title='t')\nplt.savefig('figure.png')\n"
    result = run(data, code, outputs=("*.png",))
    assert (result.verdict, result.stderr) == (Verdict.OK, b"")
    assert [file.name for file in result.files or ()] == ["figure.png"]
    assert (result.files or ())[0].content.startswith(PNG)


def test_nothing_of_a_rehearsal_is_left(data: Sandboxes) -> None:
    code = """
import os, threading, matplotlib.pyplot as plt, matplotlib, numpy, warnings
print(os.listdir("/workspace"), os.listdir("/tmp"), sorted(os.environ))
print(plt.get_fignums(), matplotlib.get_backend(), threading.active_count(), len(os.listdir("/proc/self/task")))
print(sorted(os.listdir("/proc/self/fd")))
"""
    result = run(data, code)
    names = ["HOME", "LANG", "PATH", "TMPDIR", "USER"]
    first, second, third = result.stdout.decode().splitlines()
    assert (first, second) == (f"['main.py'] [] {names}", "[] agg 1 1")
    assert third == "['0', '1', '2', '3']"


def test_settings_and_caches_can_be_written_where_matplotlib_keeps_them(data: Sandboxes) -> None:
    code = """
import matplotlib, pathlib
for folder in (matplotlib.get_configdir(), matplotlib.get_cachedir()):
    file = pathlib.Path(folder, "x")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("x")
    print(file.is_relative_to("/workspace"))
"""
    assert run(data, code).stdout == b"True\nTrue\n"


@pytest.mark.parametrize("name", ["numpy", "pandas", "random", "decimal", "dateutil"])
def test_a_module_that_was_sent_wins_over_a_loaded_one(data: Sandboxes, name: str) -> None:
    files = {"main.py": f"import {name}\nprint({name}.OWN)", f"{name}.py": "OWN = 'mine'"}
    assert run(data, None, files=files).stdout == b"mine\n"


def test_a_package_that_was_sent_wins_with_all_that_is_in_it(data: Sandboxes) -> None:
    files = {"main.py": "import numpy.linalg as l\nprint(l.OWN)", "numpy/__init__.py": "", "numpy/linalg.py": "OWN = 1"}
    assert run(data, None, files=files).stdout == b"1\n"


def test_random_numbers_differ_from_every_other_runs(data: Sandboxes) -> None:
    code = """
import random, numpy as np, pandas as pd
print(random.random(), np.random.rand(), np.random.default_rng().random(), pd.Series(range(10**6)).sample(1).iloc[0])
"""
    runs = [run(data, code).stdout.split() for _ in range(3)]
    assert all(len(set(column)) == 3 for column in zip(*runs, strict=True))


def test_a_seed_gives_what_it_gives_everywhere(data: Sandboxes) -> None:
    code = (
        "import numpy as np\nnp.random.seed(1)\nprint(np.random.randint(100), np.random.default_rng(1).integers(100))"
    )
    assert run(data, code).stdout == b"37 47\n"


def test_a_fork_of_the_programs_keeps_its_random_state(data: Sandboxes) -> None:
    """What is made afresh is so once, before the program begins."""
    code = """
import os, numpy as np
np.random.seed(7)
if os.fork() == 0:
    print(np.random.rand(), flush=True)
    os._exit(0)
os.wait()
print(np.random.rand())
"""
    first, second = run(data, code).stdout.split()
    assert first == second


def test_a_traceback_begins_with_the_program(data: Sandboxes) -> None:
    result = run(data, TABLE + "def look():\n    return table['nothing']\nlook()\n")
    said = result.stderr.decode()
    lines = said.rpartition("Traceback (most recent call last):\n")[2].splitlines()
    files = [line.split('"')[1] for line in lines if line.startswith("  File ")]
    assert result.verdict is Verdict.NONZERO_EXIT
    assert files[:2] == ["/workspace/main.py"] * 2
    assert all("/pandas/" in file for file in files[2:])
    assert 'main.py", line 4, in look' in said
    assert lines[-1].startswith("KeyError: 'nothing'")


def test_times_of_every_zone_are_there(data: Sandboxes) -> None:
    code = """
import pandas as pd
print(pd.Timestamp("2024-07-01 12:00", tz="UTC").tz_convert("Asia/Tokyo"), pd.Timestamp.now().tz)
print(pd.date_range("2024-03-30", periods=3, tz="Europe/Berlin")[2].utcoffset())
"""
    assert run(data, code).stdout == b"2024-07-01 21:00:00+09:00 None\n2:00:00\n"


def test_the_memory_limit_counts_the_programs_own_memory(data: Sandboxes) -> None:
    """The libraries are the zygote's: 64 MB are the program's own, and the peak says so."""
    few = run(data, TABLE + "print(table.b.sum())", memory_mb=64)
    assert (few.verdict, few.stdout) == (Verdict.OK, b"8.0\n")
    assert few.usage.memory_peak_bytes < 16 << 20
    code = "import numpy as np\nprint(int(np.ones({} << 17).sum()) >> 17)"
    assert run(data, code.format(160), memory_mb=256).stdout == b"160\n"
    over = run(data, code.format(400), memory_mb=256)
    assert over.verdict is Verdict.MEMORY_LIMIT


def test_a_program_that_poisons_the_libraries_harms_only_itself(data: Sandboxes) -> None:
    poison = """
import numpy, pandas, sys, matplotlib
numpy.sum = lambda *_: 666
pandas.DataFrame.__init__ = None
matplotlib.rcParams["figure.dpi"] = 1
for name in [name for name in sys.modules if name.startswith(("numpy", "pandas"))]:
    sys.modules[name] = sys
"""
    run(data, poison)
    run(data, "import ctypes, numpy\nctypes.memset(id(numpy.ndarray), 0, 400)\nnumpy.zeros(3)")
    for _ in range(3):
        look = "import numpy, matplotlib\nprint(numpy.sum([1, 2]), table.a.sum(), matplotlib.rcParams['figure.dpi'])"
        result = run(data, TABLE + look)
        assert (result.verdict, result.stdout) == (Verdict.OK, b"3 3 100.0\n")


@pytest.mark.parametrize("env", [{"MPLBACKEND": "svg"}, {"OPENBLAS_NUM_THREADS": "1"}])
def test_what_a_library_reads_at_its_import_starts_cold(data: Sandboxes, env: dict[str, str]) -> None:
    result = run(data, "import matplotlib, os\nprint(matplotlib.get_backend())", env=env, timeout_s=30)
    assert result.stdout.decode().strip().lower() == env.get("MPLBACKEND", "agg")
    assert not result.warm


def test_the_plain_room_is_as_it_was(data: Sandboxes) -> None:
    code = "import sys, os\nprint([name for name in sys.modules if 'numpy' in name], os.path.exists('/opt/data'))"
    assert data.run(Language.PYTHON, code).stdout == b"[] False\n"


def test_a_child_interpreter_has_the_libraries_too(data: Sandboxes) -> None:
    code = "import subprocess, sys\nprint(subprocess.call([sys.executable, '-c', 'import numpy']))"
    assert run(data, code, timeout_s=30).stdout == b"0\n"


def test_several_at_once(data: Sandboxes) -> None:
    sums = ((n, f"import pandas as pd\nprint(pd.Series(range({n})).sum())") for n in range(1, 17))
    asked = [{"code": code, "variant": "data"} for _, code in sums]
    results = data.together(asked)
    assert [int(result.stdout) for result in results] == [n * (n - 1) // 2 for n in range(1, 17)]
