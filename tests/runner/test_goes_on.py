"""A forked interpreter that goes on is not to be told from one that was just started.

Each script is run by the bare interpreter of the same version in an empty folder, and in a sandbox; standard output,
standard error, exit code and signal must be the same to the byte, once the folder's name is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from jobs.languages import Language, version_key
from runner.languages.contract import ENVIRONMENT
from runner.languages.python import GOES_ON, Python
from tests.runner.scripts import SCRIPTS, Files
from tests.sandboxes import Sandboxes, sandboxes

__all__ = ["sandboxes"]

STDIN = b"Ada\nline two\n"
FOUND = [one.version for one in Python().discover() if version_key(one.version)[:2] >= GOES_ON]
VERSIONS = {version_key(version)[:2]: version for version in reversed(FOUND)}.values()  # the newest of each
NEWEST_FIRST = sorted(VERSIONS, key=version_key, reverse=True)

ALLOWED: dict[str, str] = {
    "leaves with a number of more than 64 bits": "the interpreter stumbles over its own unfinished error, we do not",
    "leaves with an object that cannot be shown": "the same",
    "recurses for ever": "the frame that hides itself counts as one level",
    "raises in a finaliser": "the source line is shown even at the end",
    "imports while it ends": "the same",
    "looks at its modules": "what is loaded ahead is in sys.modules",
    "looks at all that is loaded": "the same",
    "looks at the collector": "what was there before the fork is frozen",
}
"""Scripts that see a difference in standard output or standard error, and why. The way they end is the same."""


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    "version",
    [pytest.param(version, marks=[pytest.mark.thorough] if rank else []) for rank, version in enumerate(NEWEST_FIRST)],
)
def test_a_script_sees_no_difference(sandboxes: Sandboxes, tmp_path: Path, version: str, name: str) -> None:
    files = _files(SCRIPTS[name])
    bare = _bare(sandboxes, version, files, tmp_path)
    result = sandboxes.run(Language.PYTHON, files=files, entry="main.py", stdin=STDIN, version=version)
    ours = (result.exit_code, result.signal, _same(result.stdout), _same(result.stderr))
    assert result.warm
    assert ours[:2] == bare[:2]
    if name not in ALLOWED:
        assert ours == bare


def _files(script: str | Files) -> Files:
    return {"main.py": script} if isinstance(script, str) else script


def _bare(
    sandboxes: Sandboxes, version: str, files: Files, folder: Path
) -> tuple[int | None, str | None, bytes, bytes]:
    """Exit code, signal, and both outputs of the interpreter itself."""
    installation = sandboxes.shelf(Language.PYTHON, version).installation
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run(
        [installation.details["executable"], "main.py"],
        cwd=folder,
        env={**ENVIRONMENT, "HOME": str(folder), "PATH": installation.path},
        input=STDIN,
        capture_output=True,
        timeout=20,
        start_new_session=True,
        umask=0o022,
        preexec_fn=_hear_all_signals,
    )
    code = done.returncode
    at = os.fsencode(folder)
    return (
        code if code >= 0 else None,
        signal.Signals(-code).name if code < 0 else None,
        _same(done.stdout.replace(at, b"/workspace")),
        _same(done.stderr.replace(at, b"/workspace")),
    )


def _hear_all_signals() -> None:
    """Also where a shell put these tests behind: what it lets them ignore is inherited."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _same(output: bytes) -> bytes:
    """Without what no two runs have in common: addresses, thread numbers, process numbers, random names."""
    output = re.sub(rb"0x[0-9a-f]+", b"0x", output)
    output = re.sub(rb"refcount : \d+", b"refcount", output)
    return re.sub(rb"started \d+", b"started", output)
