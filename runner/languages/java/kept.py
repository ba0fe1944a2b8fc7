"""What is made once for a JDK and kept: our classes, and archives of everything that they and usual programs load.

Theory of operation. javac compiles ``ahead/``; the classes become a jar. Then each virtual machine that will wait is
started once, by the very flags it will have and at the very paths it will see, goes through what it can do (``Tour``
for programs, ``train`` for the compiler), and writes an archive at its end: a dynamic class-data archive, or from
Java 25 on an ahead-of-time cache, which also has linked classes and profiles. An archive is bound to the paths of its
jars, so the training happens in a mount namespace in which the folder already lies where the room will have it.

Where that cannot be done (no root, no ``unshare``), there are no archives, and everything is a little slower.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from runner.languages.contract import ENVIRONMENT, Installation, Mount, Report
from runner.languages.java import sizes

START, COMPILE, TOUR = "jvm.ahead.Start", "jvm.ahead.Compile", "jvm.ahead.Tour"
JAR, RUN_ARCHIVE, BUILD_ARCHIVE = "ahead.jar", "run.jsa", "build.jsa"

_AHEAD = Path(__file__).parent / "ahead"
_TEXT = "Rehearsed.java.txt"
_AOT_SINCE = 25
_TRAINING_S = 180
_LAYOUT = 1  #: to be raised when what is made changes without its sources doing so

_INTERNALS = ("java.base/jdk.internal.access", "java.base/jdk.internal.misc", "java.base/sun.launcher")
_COMPILER = "jdk.compiler/com.sun.tools.javac.api"
_HIDING = "java.base/jdk.internal.vm.annotation"

#: In a namespace of its own: holds on to the sources of the mounts, hides /opt and /tmp, and puts each in its place.
_IN_PLACE = """
set -e
mount -t tmpfs -o mode=755 none /mnt
i=0
for pair in $MOUNTS; do mkdir /mnt/$i; mount --bind "${pair%%:*}" /mnt/$i; i=$((i + 1)); done
mount -t tmpfs none /opt
mount -t tmpfs none /tmp
i=0
for pair in $MOUNTS; do
  case "${pair#*:}" in /opt/*) mkdir -p "${pair#*:}"; mount --bind /mnt/$i "${pair#*:}";; esac
  i=$((i + 1))
done
cd /tmp
printf '%s\\0' "$SAY" > go
exec "$@" 3< go
"""


def keep_ready(installation: Installation, cache: Path, report: Report) -> Installation:
    """The installation with our jar and archives mounted; made now unless they are there."""
    folder = cache / f"{installation.name}-{_key(installation)}"
    room = f"/opt/{installation.name}"
    ready = replace(
        installation,
        mounts=(*installation.mounts, Mount(source=str(folder), target=room)),
        details={**installation.details, "files": room},
    )
    if not folder.is_dir():
        _make(ready, folder, report)
    made = {name for name in (RUN_ARCHIVE, BUILD_ARCHIVE) if (folder / name).is_file()}
    return replace(ready, details={**ready.details, "archives": " ".join(sorted(made))})


def run_command(installation: Installation, memory_mb: int) -> tuple[str, ...]:
    """``java`` with all but the class path and the main class."""
    return (
        installation.details["java"],
        *sizes.COMMON,
        *sizes.run_flags(memory_mb),
        *_archive(installation, RUN_ARCHIVE),
    )


def waiting_run_command(installation: Installation, memory_mb: int) -> tuple[str, ...]:
    """The same, with what ``Start`` needs."""
    jar = f"{installation.details['files']}/{JAR}"
    return (*run_command(installation, memory_mb), *_exports(_INTERNALS), f"-Xbootclasspath/a:{jar}")


def build_command(installation: Installation) -> tuple[str, ...]:
    """``java`` with ``Compile``; words after it are carried out at once, without any it waits."""
    return (
        installation.details["java"],
        *sizes.COMMON,
        *sizes.BUILD,
        *_archive(installation, BUILD_ARCHIVE),
        *_exports((*_INTERNALS, _COMPILER)),
        "-cp",
        f"{installation.details['files']}/{JAR}",
        COMPILE,
    )


def feature(installation: Installation) -> int:
    return int(installation.version.split(".")[0])


# -- making ---------------------------------------------------------------------------------------------------------


def _key(installation: Installation) -> str:
    release = Path(installation.details["host"], "lib", "modules").stat()
    digest = hashlib.sha256(repr((_LAYOUT, installation, release.st_mtime_ns, release.st_size)).encode())
    digest.update(repr((sizes.COMMON, sizes.BUILD, sizes.run_flags(256))).encode())
    for source in sorted(_AHEAD.iterdir()):
        if source.is_file():
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _make(installation: Installation, folder: Path, report: Report) -> None:
    """Makes everything beside *folder* and renames it there, so that it is either whole or not there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as made:
        fresh = Path(made) / "files"
        fresh.mkdir(mode=0o755)
        report(f"{installation.name}: compiling what waits")
        _compile(installation, Path(made) / "classes", fresh / JAR)
        report(f"{installation.name}: training")
        _train(installation, fresh, report)
        for file in fresh.iterdir():
            file.chmod(0o644)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same content
                raise


def _compile(installation: Installation, classes: Path, jar: Path) -> None:
    exports = _exports((*_INTERNALS, _COMPILER, _HIDING))
    sources = sorted(str(source) for source in _AHEAD.glob("*.java"))
    javac = Path(installation.details["host"], "bin", "javac")
    compiled = subprocess.run(
        [javac, *exports, "-encoding", "UTF-8", "-nowarn", "-proc:none", "-d", classes, *sources],
        capture_output=True,
        check=False,
        env=dict(ENVIRONMENT),
    )
    if compiled.returncode != 0:
        raise OSError(f"what waits does not compile: {compiled.stderr.decode(errors='replace')[-400:]}")
    with zipfile.ZipFile(jar, "w") as packed:  # without times: the same classes are the same jar
        for file in sorted(classes.rglob("*.class")):
            packed.writestr(zipfile.ZipInfo(str(file.relative_to(classes))), file.read_bytes())
        packed.writestr(zipfile.ZipInfo(f"jvm/ahead/{_TEXT}"), (_AHEAD / _TEXT).read_bytes())
    if born := os.environ.get("SOURCE_DATE_EPOCH"):  # the time of everything in an image, which archives are bound to
        os.utime(jar, (int(born), int(born)))


def _train(installation: Installation, fresh: Path, report: Report) -> None:
    room = installation.details["files"]
    mounts = [(mount.source, mount.target) for mount in installation.mounts[:-1]] + [(str(fresh), room)]
    for archive, command in (
        (RUN_ARCHIVE, [*waiting_run_command(installation, 256), "-cp", "", START]),
        (BUILD_ARCHIVE, [*build_command(installation)]),
    ):
        dump = "AOTCacheOutput" if feature(installation) >= _AOT_SINCE else "ArchiveClassesAtExit"
        flags = [f"-XX:{dump}={room}/{archive}", *(["-Dtrain=yes"] if archive == BUILD_ARCHIVE else [])]
        if not _trained([command[0], *flags, *command[1:]], mounts):
            (fresh / archive).unlink(missing_ok=True)
            report(f"{installation.name}: no archive of classes could be made ({archive})")


def _trained(command: Sequence[str], mounts: Sequence[tuple[str, str]]) -> bool:
    """Whether the command, in its namespace and with the message that ``Start`` waits for, ended well."""
    env = {
        **ENVIRONMENT,
        "PATH": f"{ENVIRONMENT['PATH']}:/usr/sbin:/sbin",
        "HOME": "/tmp",
        "MOUNTS": " ".join(":".join(pair) for pair in mounts),
        "SAY": TOUR,
    }
    script = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _IN_PLACE, "sh"]
    try:
        ended = subprocess.run(
            [*script, *command], env=env, input=b"1 2\n", capture_output=True, timeout=_TRAINING_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0


def go_message(*words: str) -> bytes:
    """What our classes read from descriptor 3."""
    return b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)


def _exports(packages: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for package in packages for word in ("--add-exports", f"{package}=ALL-UNNAMED"))


def _archive(installation: Installation, name: str) -> tuple[str, ...]:
    """The flags that use an archive, silently if it does not fit; none where there is none."""
    if name not in installation.details.get("archives", "").split():
        return ()
    path = f"{installation.details['files']}/{name}"
    if feature(installation) >= _AOT_SINCE:
        return (f"-XX:AOTCache={path}", "-Xlog:cds*=off,aot*=off")
    return (f"-XX:SharedArchiveFile={path}", "-Xlog:cds*=off")
