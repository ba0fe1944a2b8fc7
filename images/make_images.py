"""Make the images: ``make images``, or ``python images/make_images.py [NAME …]``. Needs Linux, root and mmdebstrap.

Theory of operation. For each folder here with an ``image.toml``, in three stages:

1. *toolchain*: mmdebstrap finds and fetches Debian's packages of the image and of the base (``base.toml``); unpacked
   together, with nothing left out, they are a root in which the language can be prepared.
2. *bake*: in that root, without a network, the language is prepared as a runner would do it on a host (``bake.py``).
3. *image*: the same packages without what no sandbox needs, what was baked, process 1, the room's files, bytecode; then
   two layers, the base's and the rest, a list of what is in it (SPDX), and the archive that ``docker load`` reads.

Every file is as old as SOURCE_DATE_EPOCH says at most, and is so before anything is baked: archives of classes and
precompiled code are bound to the times of what they were made from.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import fcntl
import fnmatch
import hashlib
import importlib.metadata
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent
sys.path[:0] = [str(HERE), str(SOURCES)]

import ingredients
import layers

from runner.engines.docker.inside import files as inside
from runner.engines.fork import launcher

MIB = 1 << 20
STDLIB = "usr/lib/python3.11/"
OURS = "/usr/lib/yurt"  #: where our packages and theirs lie in an image of one of our processes
STDLIB_PACKAGE = "libpython3.11-stdlib"
USR_MERGED = ("bin", "sbin", "lib", "lib64", "lib32")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What an ``image.toml`` says, over ``base.toml``."""

    name: str
    language: str  #: or, for one of our processes,
    role: str
    target_mb: int
    suite: str
    also: tuple[str, ...]  #: further suites, such as backports
    packages: tuple[str, ...]
    toolchain: tuple[str, ...]  #: beside those, while the language is prepared
    without: tuple[str, ...]
    keep_of_stdlib: tuple[str, ...]
    drop: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    moves: Mapping[str, str] = field(default_factory=dict)  #: folders that lie elsewhere in a room
    python: tuple[str, ...] = ()  #: of one of our processes: the Python packages that it imports
    user: str = "1000:1000"


@dataclass(frozen=True, kw_only=True)
class Made:
    name: str
    id: str
    archive: Path
    made_of: str
    size: int  #: bytes unpacked
    base_size: int  #: of them, those of the layer that all share
    target_mb: int
    seconds: float


KEPT = ("name", "id", "size", "base_size", "target_mb", "seconds")


def main() -> int:
    asked = _arguments()
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    base = tomllib.loads((HERE / "base.toml").read_text())
    names = asked.names or sorted(path.parent.name for path in HERE.glob("*/image.toml"))
    made: list[Made] = []
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="images-", dir=asked.work) as work:
        ground = _base_layer(base, Path(work), out, asked.base)
        for number, name in enumerate(names, 1):
            _say(f"[{number}/{len(names)}] {name}")
            try:
                with _alone(out / f".{name}.lock"):
                    made.append(_make(_recipe(name, base), Path(work), out, ground, asked.tag, anew=asked.anew))
            except (OSError, subprocess.CalledProcessError, ValueError) as error:
                said = getattr(error, "stderr", b"") or b""
                faults.append(f"{name}: {error} {said[-600:].decode(errors='replace')}")
                _say(f"    not made: {faults[-1]}")
    if asked.load:
        for one in made:
            _say(f"loading {one.name}")
            subprocess.run(["docker", *_host(asked.load), "load", "--quiet", "--input", str(one.archive)], check=True)
    print(_table(made))
    return 1 if faults else 0


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While another process makes this image, wait."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the images, and say how large they are.")
    parser.add_argument("names", nargs="*", help="only these; default all")
    parser.add_argument("--out", type=Path, default=SOURCES / ".images", help="where archives and lists go")
    parser.add_argument(
        "--work", type=Path, default=None, help="where roots are unpacked; default the temporary folder"
    )
    parser.add_argument("--base", type=Path, default=None, help="a tar of another base, such as `docker export` writes")
    parser.add_argument("--tag", default="yurt", help="what image names begin with")
    parser.add_argument(
        "--load", nargs="?", const="", default=None, metavar="SOCKET", help="load them into this Docker"
    )
    parser.add_argument("--anew", action="store_true", help="make them though nothing has changed")
    return parser.parse_args()


def _host(address: str) -> list[str]:
    return ["--host", address] if address else []


def _recipe(name: str, base: Mapping[str, Any]) -> Recipe:
    text = tomllib.loads((HERE / name / "image.toml").read_text())
    return Recipe(
        name=name,
        language=text.get("language", ""),
        role=text.get("role", ""),
        target_mb=text["target_mb"],
        suite=base["suite"],
        also=tuple(text.get("also", ())),
        packages=(*base["packages"], *text["packages"]),
        toolchain=tuple(base["toolchain"]),
        without=(
            *base["without"],
            *text.get("without", ()),
            *(name for name in base["of_stdlib"] if name not in text.get("needs", ())),
        ),
        keep_of_stdlib=tuple(text.get("keep_of_stdlib", base["keep_of_stdlib"])),
        drop=(*base["drop"], *text.get("drop", ()), *(() if "keep_of_stdlib" in text else base["drop_of_small"])),
        links=text.get("links", {}),
        moves=text.get("moves", {}),
        python=tuple(text.get("python", ())),
        user=text.get("user", "1000:1000"),
    )


# -- the base -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The first layer, and what is in it."""

    layer: layers.Layer
    files: Mapping[str, tuple[object, ...]]


def _base_layer(base: Mapping[str, Any], work: Path, out: Path, given: Path | None) -> Ground:
    root = work / "base"
    if given is not None:
        root.mkdir()
        with tarfile.open(given) as tar:
            tar.extractall(root, filter="tar")
    else:
        _say("base")
        recipe = Recipe(
            name="base",
            language="",
            role="",
            target_mb=0,
            suite=base["suite"],
            also=(),
            packages=tuple(base["packages"]),
            toolchain=(),
            without=(*base["without"], *base["of_stdlib"]),
            keep_of_stdlib=tuple(base["keep_of_stdlib"]),
            drop=(*base["drop"], *base["drop_of_small"]),
        )
        _unpack(_packages(recipe, recipe.packages, out), root, recipe)
        _finish(root, recipe)
    return Ground(layer=layers.write_layer(root, work / "base.layer.tar", below={}), files=layers.fingerprints(root))


# -- one image ----------------------------------------------------------------------------------------------------


def _make(recipe: Recipe, work: Path, out: Path, ground: Ground, tag: str, *, anew: bool) -> Made:
    began = time.monotonic()
    key = _made_of(recipe, ground)
    record = out / f"{recipe.name}.json"
    if (
        not anew
        and record.exists()
        and (out / f"{recipe.name}.tar").exists()
        and (known := json.loads(record.read_text()))["made_of"] == key
    ):
        _say("    as it was")
        return Made(archive=out / f"{recipe.name}.tar", made_of=key, **{name: known[name] for name in KEPT})
    record.unlink(missing_ok=True)
    packages = _packages(recipe, recipe.packages, out)
    root = work / recipe.name
    labels, config = (_language if recipe.language else _process)(recipe, packages, root, work, out)
    _finish(root, recipe)
    _check_libraries(root)
    layer = layers.write_layer(root, work / f"{recipe.name}.layer.tar", below=ground.files)
    identity = layers.write_image(
        out / f"{recipe.name}.tar",
        tag=f"{tag}/{recipe.name}:latest",
        layers=(ground.layer, layer),
        config=config,
        labels={**labels, "org.opencontainers.image.title": f"{tag}/{recipe.name}"},
    )
    (out / f"{recipe.name}.spdx.json").write_text(_bill(recipe, packages, identity))
    layer.path.unlink()
    shutil.rmtree(root)
    made = Made(
        name=recipe.name,
        id=identity,
        archive=out / f"{recipe.name}.tar",
        made_of=key,
        size=ground.layer.size + layer.size,
        base_size=ground.layer.size,
        target_mb=recipe.target_mb,
        seconds=time.monotonic() - began,
    )
    record.write_text(json.dumps({name: getattr(made, name) for name in ("made_of", *KEPT)}))
    return made


def _made_of(recipe: Recipe, ground: Ground) -> str:
    """A digest of all that an image is made from, but the packages as they are in Debian today."""
    files = ingredients.of_language(recipe.language) if recipe.language else ingredients.of_process()
    return ingredients.digest(files, recipe, ground.layer.digest, layers.EPOCH)


def _language(
    recipe: Recipe, packages: Sequence[Path], root: Path, work: Path, out: Path
) -> tuple[dict[str, str], dict[str, object]]:
    """The root of a language's image; its labels and its configuration."""
    toolchain = work / f"{recipe.name}-toolchain"
    _say("    preparing the language")
    _unpack(_packages(recipe, (*recipe.packages, *recipe.toolchain), out), toolchain, None)
    _finish(toolchain, recipe)
    labels, baked = _bake(toolchain, recipe)
    _say("    the image's own files")
    _unpack(packages, root, recipe)
    _take_over(toolchain, root, baked)
    shutil.rmtree(toolchain)
    return labels, {"User": recipe.user, "WorkingDir": "/workspace", "Env": ["LANG=C.UTF-8"]}


def _process(
    recipe: Recipe, packages: Sequence[Path], root: Path, work: Path, out: Path
) -> tuple[dict[str, str], dict[str, object]]:
    """The root of an image of one of our processes: its Python packages by the lock file, and ours."""
    if sys.version_info[:2] != (3, 11):
        raise ValueError("compiled packages must be the image's Python's, 3.11: make images PYTHON=python3.11")
    _unpack(packages, root, recipe)
    place = root / OURS.lstrip("/")
    locked = work / f"{recipe.name}.lock"
    locked.write_text("".join(_locked(_with_all_they_need(recipe.python))))
    _say("    installing what requirements.lock says")
    words = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    words += ["--require-hashes", "--target", str(place)]
    subprocess.run([*words, "--requirement", str(locked)], check=True, capture_output=True, timeout=600)
    shutil.rmtree(place / "bin", ignore_errors=True)
    for name in ingredients.PACKAGES:
        shutil.copytree(SOURCES / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for record in place.glob("*.dist-info/RECORD"):
        record.unlink()  # it lists the bytecode that is not there yet
    return {"yurt.image": recipe.name}, {
        "User": recipe.user,
        "WorkingDir": "/",
        "Env": ["LANG=C.UTF-8", f"PYTHONPATH={OURS}", "PATH=/usr/bin", "HOME=/tmp"],
        "Entrypoint": ["/usr/bin/python3.11", "-m", "yurt", recipe.role],
    }


def _with_all_they_need(names: Sequence[str]) -> set[str]:
    """The packages and those that they ask for, as they are installed here."""
    left, found = list(names), set[str]()
    while left:
        name = re.split(r"[^A-Za-z0-9_.-]", left.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        try:
            asked = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another system or version
            continue
        found.add(name)
        left += [each for each in asked if "extra ==" not in each]
    return found


def _locked(names: set[str]) -> list[str]:
    """The lines of the lock file that name these packages."""
    kept: list[str] = []
    wanted = False
    for line in (SOURCES / "requirements.lock").read_text().splitlines(keepends=True):
        if not line.startswith((" ", "#")):
            wanted = line.partition("==")[0].strip().lower() in names
        if wanted:
            kept.append(line)
    return kept


def _packages(recipe: Recipe, names: Sequence[str], out: Path) -> list[Path]:
    """Debian's packages of these names and all that they depend on, as files; fetched once a list of names."""
    key = hashlib.sha256(repr((recipe.suite, recipe.also, sorted(set(names)))).encode()).hexdigest()[:16]
    folder = out / "packages" / f"{recipe.name}-{key}"
    if not folder.is_dir():
        _say("    fetching packages")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
            debs = Path(fresh) / "debs"
            debs.mkdir()
            fetch = f'cp "$1"/var/cache/apt/archives/*.deb {debs}'
            words = ["mmdebstrap", "--quiet", "--variant=extract", "--skip=cleanup", f"--extract-hook={fetch}"]
            words += [f"--include={','.join(dict.fromkeys(names))}", recipe.suite, f"{fresh}/root"]
            words += _archives((recipe.suite, *recipe.also)) if recipe.also else []
            subprocess.run(words, check=True, capture_output=True, timeout=1800)
            debs.rename(folder)
    return sorted(folder.glob("*.deb"))


def _unpack(packages: Sequence[Path], root: Path, recipe: Recipe | None) -> None:
    """All of them; with a recipe, without what it leaves out."""
    root.mkdir()
    for name in USR_MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in packages:
        name = package.name.partition("_")[0]
        if recipe is not None and name in recipe.without:
            continue
        if recipe is not None and name == STDLIB_PACKAGE and recipe.keep_of_stdlib != ("*",):
            _unpack_some(package, root, recipe.keep_of_stdlib)
        else:
            _extract(package, root)
    if recipe is None:
        return
    for path in sorted(root.rglob("*"), reverse=True):
        relative = str(path.relative_to(root))
        if _is_dropped(relative, path, recipe):
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _archives(suites: Sequence[str]) -> list[str]:
    """Lines for apt that bring these suites from where this machine's own Debian comes from."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(IDENTIFIER)"
    told = subprocess.run(["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=False)
    found = [line.split() for line in told.stdout.splitlines() if line.endswith(" main Packages")]
    place = next((words[0] for words in found if words[1] == suites[0]), None)
    if place is None:
        raise ValueError(f"apt here has no Debian {suites[0]} to make a root from: use such a machine, or give --base")
    return [f"deb {place} {suite} main" for suite in suites]


def _extract(package: Path, root: Path) -> None:
    """As ``dpkg-deb --extract``, but that /lib stays the link that it is."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as opened:
        words = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root), "--file", "-"]
        subprocess.run(words, stdin=opened.stdout, check=True, capture_output=True)
    if opened.returncode:
        raise OSError(f"{package.name} cannot be unpacked")


def _unpack_some(package: Path, root: Path, kept: Sequence[str]) -> None:
    """Of the standard library only what begins with one of *kept*."""
    aside = root / "aside"
    aside.mkdir()
    _extract(package, aside)
    for path in sorted(aside.rglob("*")):
        name = str(path.relative_to(aside))
        if path.is_file() and (name.removeprefix(STDLIB).startswith(tuple(kept)) or "/doc/" in name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            path.rename(root / name)
    shutil.rmtree(aside)


def _is_dropped(relative: str, path: Path, recipe: Recipe) -> bool:
    place = f"{relative}/" if path.is_dir() and not path.is_symlink() else relative
    if any(fnmatch.fnmatch(place, each) if "*" in each else place.startswith(each) for each in recipe.drop):
        return True
    if relative.startswith("usr/share/doc/"):
        return path.name != "copyright" and not path.is_dir()
    return False


def _finish(root: Path, recipe: Recipe) -> None:
    """The room's files, process 1, the loader's cache, bytecode; every time brought down to the epoch."""
    for name in launcher.FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in recipe.moves.items():
        if (root / name).is_dir():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            if (root / target).is_symlink():  # to where it lay: go takes no link for the root of its library
                (root / target).unlink()
            (root / name).rename(root / target)
    for name, target in {**launcher.LINKS, **recipe.links}.items():
        link = root / name
        if name.startswith("dev/") or link.parent.is_symlink() or link.is_symlink():
            continue
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)
    for name, text in launcher.FILES.items():
        if not name.startswith("sys/"):
            (root / name).write_text(text)
    if not recipe.role:
        _process_one(root)
    subprocess.run(["/sbin/ldconfig", "-r", str(root)], check=True, capture_output=True)
    shutil.rmtree(root / "var/cache", ignore_errors=True)
    _compile(root)
    for name in ("tmp", "dev/shm"):
        (root / name).chmod(0o1777)
    _old(root)


def _process_one(root: Path) -> None:
    """The files of process 1 of a container."""
    place = root / inside.FOLDER.lstrip("/")
    place.mkdir(parents=True, exist_ok=True)
    for name, content in inside.contents().items():
        (place / name).write_bytes(content)


def _compile(root: Path) -> None:
    """Bytecode that asks no file's time, for every Python source."""
    for folder in (STDLIB, inside.FOLDER.lstrip("/"), OURS.lstrip("/")):
        if (root / folder).is_dir():
            compileall.compile_dir(
                str(root / folder),
                stripdir=str(root),
                prependdir="/",
                quiet=2,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )


def _old(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if path.lstat().st_mtime > layers.EPOCH:
            os.utime(path, (layers.EPOCH, layers.EPOCH), follow_symlinks=False)


# -- baking -------------------------------------------------------------------------------------------------------


def _bake(root: Path, recipe: Recipe) -> tuple[dict[str, str], list[str]]:
    """The image's labels, and the paths that baking made."""
    before = {str(path.relative_to(root)) for path in root.rglob("*")}
    sources = root / "sources"
    for path in ingredients.of_language(recipe.language):
        target = sources / path.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    command = f"/usr/bin/python3.11 -I /sources/images/bake.py /sources {recipe.language}"
    script = f'mount -t proc proc "{root}/proc" && mount --bind /dev "{root}/dev" && exec chroot "{root}" {command}'
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
    }
    env["SOURCE_DATE_EPOCH"] = str(layers.EPOCH)
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private", "sh", "-c", script],
        env=env,
        capture_output=True,
        timeout=1800,
        check=False,
    )
    if done.returncode:
        raise OSError(f"baking ended with {done.returncode}: {(done.stderr or done.stdout)[-800:].decode()}")
    labels = json.loads((root / "baked.json").read_text())
    (root / "baked.json").unlink()
    shutil.rmtree(sources)
    after = {str(path.relative_to(root)) for path in root.rglob("*")}
    return labels, sorted(name for name in after - before if not _is_scratch(name))


def _is_scratch(name: str) -> bool:
    return name.startswith(("tmp/", "root/", "proc/", "dev/", "var/", "run/")) or "__pycache__" in name


def _take_over(toolchain: Path, root: Path, names: Sequence[str]) -> None:
    for name in names:
        source, target = toolchain / name, root / name
        if source.is_symlink() or not source.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target, follow_symlinks=False)  # so that what is one file twice stays one
        else:
            target.mkdir(parents=True, exist_ok=True)


def _check_libraries(root: Path) -> None:
    """``ValueError`` where a program or library needs one that was left out."""
    there = {path.name for folder in ("usr/lib", "usr/lib64") for path in (root / folder).rglob("*.so*")}
    lacks: dict[str, str] = {}
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file() or not (path.stat().st_mode & 0o111 or ".so" in path.name):
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        asked = subprocess.run(
            ["readelf", "--dynamic", "--wide", str(path)], capture_output=True, text=True, check=False
        )
        for line in asked.stdout.splitlines():
            if "(NEEDED)" in line:
                name = line.rpartition("[")[2].rstrip("]")
                if name not in there:
                    lacks.setdefault(name, str(path.relative_to(root)))
    if lacks:
        raise ValueError("left out, but needed: " + ", ".join(f"{name} by {path}" for name, path in lacks.items()))


# -- what is in it ------------------------------------------------------------------------------------------------


def _bill(recipe: Recipe, packages: Sequence[Path], identity: str) -> str:
    """A software bill of materials in SPDX 2.3: Debian's packages, by name, version and digest of their files."""
    entries = []
    for package in packages:
        name, version, architecture = package.stem.split("_")[:3]
        if name in recipe.without:
            continue
        version = version.replace("%3a", ":")
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entries.append(
            {
                "SPDXID": f"SPDXRef-{name.replace('+', '-plus')}",
                "name": name,
                "versionInfo": version,
                "downloadLocation": "NOASSERTION",
                "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
                "externalRefs": [
                    {
                        "referenceCategory": "PACKAGE-MANAGER",
                        "referenceType": "purl",
                        "referenceLocator": f"pkg:deb/debian/{name}@{version}?arch={architecture}",
                    }
                ],
            }
        )
    bill = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": recipe.name,
        "documentNamespace": f"https://yurt.invalid/images/{recipe.name}/{identity.removeprefix('sha256:')}",
        "creationInfo": {"created": layers.CREATED, "creators": ["Tool: yurt-make-images"]},
        "packages": entries,
    }
    return json.dumps(bill, indent=1, sort_keys=True)


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
