# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks on the collector of files: it reads what a stranger laid out."""

from __future__ import annotations

from jobs.limits import MIB
from jobs.states import Verdict
from runner.engines.fork import bring_back
from runner.engines.fork.sandbox import unpack_files
from tests.hostile.conftest import Attack


def test_sixty_thousand_files(attack: Attack) -> None:
    code = "import os\ntry:\n    for n in range(70000): open(f'f{n:05}', 'w')\nexcept OSError: pass\n"
    result = attack(code, outputs=("**",), timeout_s=5.0, memory_mb=512)
    assert result.files is not None and len(result.files) == 64


def test_folders_as_deep_as_they_go(attack: Attack) -> None:
    code = "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\n    open('f', 'w').write('x')\n"
    result = attack(code, outputs=("**/f",), timeout_s=5.0, memory_mb=256)
    assert result.files is not None and len(result.files) == 64


def test_a_file_that_is_larger_than_everything(attack: Attack) -> None:
    code = "f = open('sparse', 'w')\nf.truncate(15 << 20)\nopen('small', 'w').write('x')"
    result = attack(code, outputs=("s*",))
    assert [file.name for file in result.files or ()] == ["small"]


def test_a_pattern_that_never_ends(attack: Attack) -> None:
    code = "for n in range(200): open('a' * 200 + str(n), 'w')"
    result = attack(code, outputs=("*a" * 100 + "b", "**/" * 50 + "x"), timeout_s=1.0)
    assert result.files == ()


def test_a_collector_that_is_waited_for_by_nobody(attack: Attack) -> None:
    """Children that write while files are brought back are dead by then."""
    code = (
        "import os\nfor _ in range(6):\n    if not os.fork():\n        while True:\n            open('f', 'w').write('x' * 100000)\n"
        "            os.truncate('f', 0)\nimport time; time.sleep(.1)\nos._exit(0)\n"
    )
    assert attack(code, outputs=("f",)).verdict is Verdict.OK


def test_memory_is_full_when_files_are_brought_back(attack: Attack) -> None:
    code = "open('kept', 'w').write('x')\nf = open('/dev/shm/full', 'wb')\nwhile True: f.write(bytes(1 << 20)); f.flush(); f = open(f'/dev/shm/{f.tell()}{id(f)}', 'ab')"
    result = attack(code, outputs=("kept",))
    assert result.verdict in (Verdict.MEMORY_LIMIT, Verdict.FILE_LIMIT, Verdict.NONZERO_EXIT)
    assert [file.name for file in result.files or ()] == ["kept"]


def test_what_a_collector_wrote_is_not_believed() -> None:
    """Whatever bytes come: no exception, no more than the bounds."""
    header = bring_back.FILE_HEADER
    good = header.pack(1, 2) + b"a" + b"xy"
    assert [(file.name, file.content) for file in unpack_files(good, 5, 100)] == [("a", b"xy")]
    for bad in (b"", b"\xff" * 100, good[:-1], header.pack(2**32 - 1, 2**63), header.pack(0, 0) * 1000, good + b"\x01"):
        files = unpack_files(bad, 64, 8 * MIB)
        assert len(files) <= 64
    assert unpack_files(good * 3, 2, 100) == unpack_files(good * 2, 2, 100)
    assert unpack_files(good, 5, 1) == ()
    assert unpack_files(header.pack(2, 0) + b"\xff\xfe", 5, 1)[0].name == "��"
