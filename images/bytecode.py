"""Bytecode that asks no file's time, the same each time: ``python -I -S bytecode.py ROOT FOLDER …``.

What a compiler writes depends on what its process has seen: a string that something else holds too is written so that
it can be referred to. So each file is compiled by a fork of a process that has compiled none, one a core at a time.
"""

from __future__ import annotations

import os
import py_compile
import sys
from pathlib import Path


def main(root: Path, folders: list[str]) -> int:
    sources = sorted(path for folder in folders for path in (root / folder).rglob("*.py") if path.is_file())
    running, failed = 0, 0
    for source in sources:
        if running >= (os.cpu_count() or 1):
            failed += os.wait()[1] != 0
            running -= 1
        if os.fork() == 0:
            os._exit(_compile(source, f"/{source.relative_to(root)}"))
        running += 1
    for _ in range(running):
        failed += os.wait()[1] != 0
    return 0 if failed == 0 else 1


def _compile(source: Path, shown: str) -> int:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(source), dfile=shown, doraise=True, quiet=2, invalidation_mode=mode)
    except py_compile.PyCompileError:  # a file of the library that is meant not to compile
        return 0
    except OSError:
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
