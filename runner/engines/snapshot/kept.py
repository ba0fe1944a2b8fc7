"""Folders of the cache that several runners share: who uses one holds it, and what nobody holds can be removed.

A hold is a lock of the kernel's on the folder; it falls with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path


def hold(folder: Path) -> int:
    """A descriptor that keeps the folder from being removed; ``FileNotFoundError`` where it was, just now."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if not os.path.samestat(os.fstat(fd), folder.stat()):
            raise FileNotFoundError(f"{folder} was replaced")
    except BaseException:
        os.close(fd)
        raise
    return fd


def sweep(folders: Iterable[Path]) -> list[Path]:
    """Remove those of *folders* that nobody holds; which they were."""
    return [folder for folder in folders if _removed(folder)]


def _removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            return True
        finally:
            os.close(fd)
    return False
