"""Debian: which packages a recipe comes to today, and their files. The one module that asks for anything of it.

Theory of operation. mmdebstrap makes an empty root that has nothing but the lists of Debian's archive, checked by the
keys of this machine, and runs a script of ours in its place; there apt is asked: for all that some packages depend on
(``resolve``), or for the files of exact versions (``fetch``). Where the archive is comes from this machine's own apt,
with its updates and security suites, or, on what is not Debian, from mmdebstrap.
"""

from __future__ import annotations

import fcntl
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pins
from pins import Pin
from recipes import Recipe

FETCH_S = 1800.0
_QUIET = "-qq --option APT::Sandbox::User=root"

Say = Callable[[str], None]


class Unreachable(Exception):
    """Debian's archive cannot be asked."""


def architecture() -> str:
    """As Debian calls this machine's."""
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def resolve(recipes: Iterable[Recipe], say: Say) -> dict[str, tuple[Pin, ...]]:
    """What the packages of each recipe come to today, with all that they depend on."""
    found: dict[str, tuple[Pin, ...]] = {}
    for group in _alike(recipes):
        say(f"asking Debian for today's versions: {' '.join(recipe.name for recipe in group)}")
        with tempfile.TemporaryDirectory(prefix="resolve-") as scratch:
            _ask(group[0], [line for recipe in group for line in _listing(recipe, Path(scratch))])
            found |= {recipe.name: _read_listing(recipe, Path(scratch)) for recipe in group}
    return found


def _listing(recipe: Recipe, scratch: Path) -> list[str]:
    """Shell that writes down which packages are in the image, which beside it, and what is known of each."""
    place = scratch / recipe.name
    lines = [f"mkdir {place}"]
    for name, packages in (("image", recipe.packages), ("toolchain", (*recipe.packages, *recipe.toolchain))):
        asked = shlex.join(dict.fromkeys(packages))
        lines.append(f"apt-get {_QUIET} install --yes --no-install-recommends --print-uris {asked} >{place}/{name}")
    # 'uri' name_version_architecture.deb size digest; the digest is a weak one, so each is asked for once more
    lines.append(
        f"cut -d ' ' -f 2 {place}/image {place}/toolchain | sed 's/_/=/; s/_.*//; s/%3a/:/' | sort -u"
        f" | xargs apt-cache show >{place}/shown"
    )
    return lines


def _read_listing(recipe: Recipe, scratch: Path) -> tuple[Pin, ...]:
    place = scratch / recipe.name
    in_image, made_with = (_names((place / name).read_text()) for name in ("image", "toolchain"))
    shown = _shown((place / "shown").read_text())
    return tuple(
        Pin(
            name=name,
            version=version,
            architecture=of,
            sha256=shown[name, version],
            toolchain=(name, version, of) not in in_image,
        )
        for name, version, of in sorted(in_image | made_with)
    )


def fetch(wanted: Mapping[Recipe, Iterable[Pin]], pool: Path, say: Say) -> dict[str, str]:
    """The files of these into *pool*, as far as they are served; which versions of the others Debian has now."""
    pool.mkdir(parents=True, exist_ok=True)
    served: dict[str, str] = {}
    with (pool / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for group in _alike(wanted):
            lacks = pins.missing((pin for recipe in group for pin in wanted[recipe]), pool)
            if not lacks:
                continue
            say(f"fetching {len(lacks)} packages")
            with tempfile.TemporaryDirectory(dir=pool, prefix=".fresh-") as scratch:
                files, known = _download(group[0], lacks, Path(scratch))
                served |= known
                for pin in lacks:
                    if pin.file in files and pins.holds(pin, files[pin.file]):
                        files[pin.file].rename(pool / pin.file)
    return served


def _alike(recipes: Iterable[Recipe]) -> list[list[Recipe]]:
    """In groups that come from the same suites."""
    groups: dict[tuple[str, ...], list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault((recipe.suite, *recipe.also), []).append(recipe)
    return list(groups.values())


def _download(recipe: Recipe, lacks: Sequence[Pin], scratch: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """What could be fetched, by name, and which version of each package is served."""
    asked = shlex.join(pin.asked for pin in lacks)
    names = shlex.join(pin.name for pin in lacks)
    download = f"apt-get {_QUIET} --option Acquire::Retries=3 download"
    lines = [
        f"cd {scratch}",
        # all at once; where one is not served apt fetches none, so then one by one
        f"{download} {asked} 2>all.log || for each in {asked}; do {download} $each 2>>each.log || true; done",
        f"apt-cache show --no-all-versions {names} >served 2>/dev/null || true",
    ]
    _ask(recipe, lines)
    served = dict(_shown((scratch / "served").read_text()).keys())
    return {path.name: path for path in scratch.glob("*.deb")}, served


def _ask(recipe: Recipe, lines: Sequence[str]) -> None:
    """Run *lines* of shell where apt knows Debian's archive and nothing is installed."""
    with tempfile.TemporaryDirectory(prefix="ask-") as scratch:
        script = Path(scratch) / "script"
        script.write_text("\n".join(["set -eu", 'export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"', *lines, ""]))
        root = Path(scratch) / "root"
        words = ["mmdebstrap", "--quiet", "--variant=extract", f"--extract-hook=sh {script}", recipe.suite, str(root)]
        words += _archives(recipe)
        try:
            subprocess.run(words, check=True, capture_output=True, text=True, timeout=FETCH_S)
        except FileNotFoundError as error:
            raise Unreachable("mmdebstrap cannot be found: apt-get install mmdebstrap") from error
        except subprocess.TimeoutExpired as error:
            raise Unreachable(f"Debian's archive did not answer within {FETCH_S:.0f} s") from error
        except subprocess.CalledProcessError as error:
            raise Unreachable(f"Debian's archive cannot be asked: {error.stderr.strip()[-600:]}") from error
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _archives(recipe: Recipe) -> list[str]:
    """Lines for apt that bring the recipe's suites from where this machine's own Debian comes from; else none."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(IDENTIFIER)"
    told = subprocess.run(["apt-get", "indextargets", "--format", form], capture_output=True, text=True, check=False)
    found = [line.split() for line in told.stdout.splitlines() if line.endswith(" main Packages")]
    suites = (recipe.suite, f"{recipe.suite}-updates", f"{recipe.suite}-security")
    places = {words[1]: words[0] for words in found}
    if recipe.suite in places:
        own = [f"deb {places[suite]} {suite} main" for suite in suites if suite in places]
        return own + [f"deb {places[recipe.suite]} {suite} main" for suite in recipe.also]
    if recipe.also:
        raise Unreachable(
            f"apt here has no Debian {recipe.suite}, so no {' '.join(recipe.also)}: use a machine that has"
        )
    return []


def _names(listed: str) -> set[tuple[str, str, str]]:
    """Name, version and architecture of each line that ``--print-uris`` wrote."""
    files = [line.split()[1].removesuffix(".deb").split("_") for line in listed.splitlines() if line.startswith("'")]
    return {(name, version.replace("%3a", ":"), of) for name, version, of in files}


def _shown(text: str) -> dict[tuple[str, str], str]:
    """The digest of each package and version that ``apt-cache show`` wrote."""
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] != " ")
        if "Package" in fields:
            found[fields["Package"], fields["Version"]] = fields["SHA256"]
    return found
