"""Make the images: ``make images``, or ``python images/make_images.py [NAME …]``. Needs Linux, root and mmdebstrap.

Theory of operation. For each folder here with an ``image.toml``:

1. its packages are those that are pinned (``pins.py``), or those that Debian has today; those that are not in the pool
   are fetched;
2. the root is filled (``languages.py``, ``processes.py``), finished and packed in two layers (``image.py``): the
   base's, which all share, and the rest. What is still as it has to be is left as it is.

Two are made at a time. Exit codes: 1 an image could not be made, 2 it was called wrongly or this machine lacks
something, 3 a pinned package is no longer served, 4 Debian's archive is out of reach.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent
sys.path[:0] = [str(HERE), str(SOURCES)]

import debian
import image
import pins
import recipes
import twice
from image import Ground, Made
from pins import Pin
from recipes import Recipe

MIB = 1 << 20
AT_ONCE = 2  #: a third only waits for the disk and the cores of the others
TOOLS = {"dpkg-deb": "dpkg", "tar": "tar", "readelf": "binutils", "unshare": "util-linux", "chroot": "coreutils"}
FAILED, MISUSED, GONE, UNREACHABLE = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be made, and of what."""

    recipes: Sequence[Recipe]
    pins: Mapping[Recipe, tuple[Pin, ...]]
    base: Recipe
    ground_key: str
    pool: Path
    asked: argparse.Namespace
    served: dict[str, str] = field(default_factory=dict)  #: of what could not be fetched: what Debian has now
    unreachable: list[str] = field(default_factory=list)

    def key(self, recipe: Recipe) -> str:
        return image.key(recipe, self.pins[recipe], self.ground_key)

    def known(self, recipe: Recipe) -> Made | None:
        return None if self.asked.anew else image.known(recipe, self.key(recipe), self.asked.out)


def main() -> int:
    began = time.monotonic()
    asked = _arguments()
    for wrong in _faults_of_machine(asked):
        return _refuse(wrong, MISUSED)
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        task = _task(asked)
    except ValueError as error:
        return _refuse(error, MISUSED)
    except debian.Unreachable as error:
        return _refuse(error, UNREACHABLE)
    stopping = Stopping()
    with tempfile.TemporaryDirectory(prefix="images-", dir=asked.work) as work:
        made, faults = _make_all(task, Path(work), stopping)
    if stopping.by:
        return _refuse("stopped; what was made is whole", 128 + stopping.by)
    if asked.load is not None:
        _load(made, asked.load)
    print(_table(made))
    print(f"{len(made)} of {len(task.recipes)} images in {asked.out}, after {time.monotonic() - began:.0f} s")
    for name, fault in faults.items():
        told = getattr(fault, "stderr", None) or b""
        _say(f"not made: {name}: {fault} {told[-600:].decode(errors='replace')}".rstrip())
    return next((code for kind, code in _CODES.items() if any(isinstance(each, kind) for each in faults.values())), 0)


def _refuse(why: object, code: int) -> int:
    _say(f"make_images: {why}")
    return code


_CODES: dict[type[Exception], int] = {pins.Gone: GONE, debian.Unreachable: UNREACHABLE, Exception: FAILED}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make the images, and say how large they are.", epilog=f"Images: {' '.join(recipes.names())}."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default all")
    parser.add_argument("--out", type=Path, default=SOURCES / ".images", help="where archives, bills and the pool go")
    parser.add_argument("--work", type=Path, help="where roots are unpacked (3 GB); default the temporary folder")
    parser.add_argument("--base", type=Path, metavar="TAR", help="another base, such as `docker export` writes")
    parser.add_argument("--tag", default="yurt", help="what image names begin with")
    parser.add_argument("--load", nargs="?", const="", metavar="SOCKET", help="load them into this Docker")
    parser.add_argument("--anew", action="store_true", help="make them though nothing has changed")
    parser.add_argument("--twice", action="store_true", help="make each once more, and say which files differ")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--renew", action="store_true", help="pin today's packages of Debian: writes the lock files")
    which.add_argument("--unpinned", action="store_true", help="take today's packages of Debian, whatever is pinned")
    return parser.parse_args()


def _faults_of_machine(asked: argparse.Namespace) -> list[str]:
    """What is wrong before anything was begun, each with its cure."""
    faults = [
        f"there is no image {name!r}: there are {', '.join(recipes.names())}"
        for name in asked.names
        if name not in recipes.names()
    ]
    if asked.base is not None and not asked.base.is_file():
        faults.append(f"BASE: {asked.base} is no file: give the tar of a root, such as `docker export` writes")
    elif asked.base is not None and not tarfile.is_tarfile(asked.base):
        faults.append(f"BASE: {asked.base} is no tar: give the tar of a root, such as `docker export` writes")
    if asked.work is not None and not asked.work.is_dir():
        faults.append(f"--work: {asked.work} is no folder: make it, or leave the option out")
    if platform.system() != "Linux" or os.geteuid() != 0:
        faults.append("images are made by root on Linux, who may unpack what is root's: sudo make images")
    if sys.version_info[:2] != (3, 11):
        faults.append("bytecode must be the images' Python's, 3.11: rm -r .venv; make images PYTHON=python3.11")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            faults.append(f"{tool} cannot be found: apt-get install {package}")
    return faults


# -- of what ------------------------------------------------------------------------------------------------------


def _task(asked: argparse.Namespace) -> Task:
    chosen = [recipes.read(name) for name in dict.fromkeys(asked.names or recipes.names())]
    base, pool = recipes.base(), asked.out / "packages"
    locked = _pinned([base, *chosen], pool, asked)
    ground_key = image.key_of_ground(base, locked[base], asked.base)
    return Task(recipes=chosen, pins=locked, base=base, ground_key=ground_key, pool=pool, asked=asked)


def _pinned(all_of: Sequence[Recipe], pool: Path, asked: argparse.Namespace) -> dict[Recipe, tuple[Pin, ...]]:
    """The packages of each: as they are written down, or as Debian has them today."""
    if asked.unpinned:
        return _unpinned(all_of, pool)
    if asked.renew:
        for name, found in debian.resolve(all_of, _say).items():
            recipe = next(each for each in all_of if each.name == name)
            pins.write(recipe.lock, found)
            _say(f"    pinned {len(found)} packages in {recipe.lock}")
        every = [recipes.base(), *map(recipes.read, recipes.names())]
        locks = {each.name: pins.read(each.lock, debian.architecture()) for each in every if each.lock.exists()}
        for line in pins.differing(locks):
            _say(f"    pinned in two versions: {line}; make images RENEW=1, without NAMES, makes them one")
    return {recipe: pins.read(recipe.lock, debian.architecture()) for recipe in all_of}


def _unpinned(all_of: Sequence[Recipe], pool: Path) -> dict[Recipe, tuple[Pin, ...]]:
    """Today's, or those of the last time that was so asked, while the pool has them all."""
    pool.mkdir(parents=True, exist_ok=True)
    found: dict[Recipe, tuple[Pin, ...]] = {}
    for recipe in all_of:
        noted = pool / f"{recipe.name}.unpinned"
        if noted.exists() and not pins.missing(of := pins.read(noted, debian.architecture()), pool):
            found[recipe] = of
    resolved = debian.resolve([recipe for recipe in all_of if recipe not in found], _say)
    for recipe in all_of:
        if recipe.name in resolved:
            found[recipe] = resolved[recipe.name]
            pins.write(pool / f"{recipe.name}.unpinned", found[recipe])
        if recipe.lock.exists():
            pinned = set(pins.read(recipe.lock, debian.architecture()))
            _say(f"UNPINNED: {recipe.name}: {len(set(found[recipe]) - pinned)} packages are not those of its lock file")
    return found


# -- making -------------------------------------------------------------------------------------------------------


class Stopping:
    """From now on an interrupt or a request to end ends what runs for us, and nothing more is begun."""

    def __init__(self) -> None:
        self.by = 0  #: the number of the signal
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: object) -> None:
        self.by = number
        for threads in Path("/proc/self/task").glob("*/children"):
            for process in threads.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)


def _make_all(task: Task, work: Path, stopping: Stopping) -> tuple[list[Made], dict[str, Exception]]:
    stale = [recipe for recipe in task.recipes if task.asked.twice or task.known(recipe) is None]
    if stale:
        _fetch(task, stale)
    made: dict[str, Made] = {}
    faults: dict[str, Exception] = {}
    grounds = _Grounds(task, work)

    def make(numbered: tuple[int, Recipe]) -> None:
        number, recipe = numbered
        if stopping.by:
            return
        try:
            made[recipe.name] = _make(task, grounds, recipe, f"[{number}/{len(task.recipes)}] {recipe.name}: ", work)
        except (OSError, subprocess.SubprocessError, ValueError, pins.Gone, debian.Unreachable) as fault:
            faults[recipe.name] = fault

    with ThreadPoolExecutor(max_workers=AT_ONCE) as workers:
        list(workers.map(make, enumerate(task.recipes, 1)))
    return [made[recipe.name] for recipe in task.recipes if recipe.name in made], faults


def _fetch(task: Task, stale: Sequence[Recipe]) -> None:
    wanted = {recipe: task.pins[recipe] for recipe in stale}
    if task.asked.base is None:
        wanted[task.base] = task.pins[task.base]
    try:
        task.served.update(debian.fetch(wanted, task.pool, _say))
    except debian.Unreachable as error:
        task.unreachable.append(str(error))


def _have(task: Task, recipe: Recipe) -> None:
    """``Gone`` or ``Unreachable`` where a package of the recipe is not in the pool."""
    if lacks := pins.missing(task.pins[recipe], task.pool):
        raise debian.Unreachable(task.unreachable[0]) if task.unreachable else pins.Gone(lacks, task.served)


def _make(task: Task, grounds: _Grounds, recipe: Recipe, prefix: str, work: Path) -> Made:
    """As it is, or made; and made once more, if that was asked."""

    def say(line: str) -> None:
        _say(prefix + line)

    asked = task.asked
    with image.alone(recipe.name, asked.out):
        made = task.known(recipe)
        if made is not None and not asked.twice:
            say("as it was")
            return made
        _have(task, recipe)
        given = {"pool": task.pool, "tag": asked.tag}
        if made is None:
            made = image.make(recipe, task.pins[recipe], grounds.first(), **given, work=work, out=asked.out, say=say)
            say(f"made, {made.size / MIB:.0f} MB, {made.seconds:.0f} s")
        if asked.twice:
            again = work / "again" / recipe.name
            again.mkdir(parents=True)
            say("once more")
            other = image.make(recipe, task.pins[recipe], grounds.second(), **given, work=again, out=again, say=say)
            differ = twice.differences(made.archive, other.archive)
            say(
                "equal: " + made.id
                if made.id == other.id
                else "different:\n" + "\n".join(f"    {each}" for each in differ)
            )
            shutil.rmtree(again)
        return made


class _Grounds:
    """The base layer, laid when it is first needed; for images that are made twice, twice."""

    def __init__(self, task: Task, work: Path) -> None:
        self._task, self._work, self._laid, self._lock = task, work, dict[str, Ground](), threading.Lock()

    def first(self) -> Ground:
        return self._lay("first")

    def second(self) -> Ground:
        return self._lay("second")

    def _lay(self, name: str) -> Ground:
        task = self._task
        with self._lock:
            if name not in self._laid:
                given = task.asked.base
                if given is None:
                    _have(task, task.base)
                _say("laying the base")
                packages = [task.pool / pin.file for pin in sorted(task.pins[task.base])]
                place = self._work / name
                place.mkdir()
                self._laid[name] = image.lay_ground(task.base, packages, task.ground_key, place, given)
            return self._laid[name]


# -- what is told -------------------------------------------------------------------------------------------------


def _load(made: Sequence[Made], socket: str) -> None:
    for one in made:
        _say(f"loading {one.name}")
        words = ["docker", *(["--host", socket] if socket else []), "load", "--quiet", "--input", str(one.archive)]
        subprocess.run(words, check=True)


def _table(made: Sequence[Made]) -> str:
    lines = [f"{'IMAGE':<12}{'SIZE MB':>9}{'OF IT BASE':>12}{'TARGET':>8}  {'':<9}{'SECONDS':>8}  ID"]
    for one in made:
        size = one.size / MIB
        verdict = "met" if size < one.target_mb else f"+{size - one.target_mb:.0f}"
        lines.append(
            f"{one.name:<12}{size:>9.0f}{one.base_size / MIB:>12.0f}{one.target_mb:>8}  {verdict:<9}{one.seconds:>8.0f}"
            f"  {one.id.removeprefix('sha256:')[:12]}"
        )
    return "\n".join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
