"""Pins: which version of each of Debian's packages an image is made from, and the digest of its file.

Theory of operation. ``base.lock`` and each image's ``packages.lock`` hold the whole list, with all that the packages
of the recipe depend on, so that a commit says what its images are made from. A line is ``name=version architecture
sha256``, and ``toolchain`` where the package is only there while a language is prepared. The files are taken from the
pool (a folder of packages that were fetched before) where they are there, else from Debian (``debian.py``); a file
whose digest is another is refused. Debian serves one version at a time: when it replaces one that is pinned and not in
the pool, an image of this commit can no longer be made (``Gone``), and somebody decides: newer ones, written down or
for once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_HEAD = """# Debian's packages in this image, and those that it is made with (toolchain). Made by: make images RENEW=1
# name=version architecture sha256
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Pin:
    """One version of one package."""

    name: str
    version: str
    architecture: str
    sha256: str
    toolchain: bool = False  #: in no image

    @property
    def file(self) -> str:
        """The name of its file, as apt writes it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    @property
    def asked(self) -> str:
        """As apt is asked for it."""
        return f"{self.name}={self.version}"


class Gone(Exception):
    """Pinned versions that are neither in the pool nor served any more; the message says which, and the ways on."""

    def __init__(self, pins: Iterable[Pin], served: Mapping[str, str]) -> None:
        lines = [
            f"  {pin.asked}: {f'Debian has {served[pin.name]} now' if pin.name in served else 'Debian has none now'}"
            for pin in sorted(pins)
        ]
        super().__init__(
            "pinned packages that are not in the pool are no longer served:\n"
            + "\n".join(lines)
            + "\n  Take today's and write them down: make images RENEW=1 (then commit the lock files)."
            "\n  For once, without writing: make images UNPINNED=1."
            "\n  Or put their files into the pool: .images/packages of whoever has them."
        )


def read(path: Path, architecture: str) -> tuple[Pin, ...]:
    """The pins of a lock file; ``ValueError`` where it is not there or for another architecture."""
    if not path.exists():
        raise ValueError(f"{path} is not there: make images RENEW=1 writes it")
    pins = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        name, equals, version = words[0].partition("=")
        if not (equals and len(words) in (3, 4) and words[3:] in ([], ["toolchain"])):
            raise ValueError(f"{path}:{number}: not name=version architecture sha256: {line}")
        pins.append(Pin(name=name, version=version, architecture=words[1], sha256=words[2], toolchain=len(words) == 4))
    of = {pin.architecture for pin in pins} - {"all", architecture}
    if of:
        raise ValueError(f"{path} is for {', '.join(sorted(of))}, and this machine is {architecture}: UNPINNED=1")
    return tuple(pins)


def write(path: Path, pins: Iterable[Pin]) -> None:
    lines = [
        f"{pin.asked} {pin.architecture} {pin.sha256}{' toolchain' if pin.toolchain else ''}" for pin in sorted(pins)
    ]
    path.write_text(_HEAD + "".join(f"{line}\n" for line in lines))


def missing(pins: Iterable[Pin], pool: Path) -> list[Pin]:
    """Those whose files are not in the pool. A file there that is not what was pinned is taken away."""
    lacks = []
    for pin in sorted(set(pins)):
        file = pool / pin.file
        if file.exists() and not holds(pin, file):
            file.unlink()
        if not file.exists():
            lacks.append(pin)
    return lacks


def holds(pin: Pin, file: Path) -> bool:
    """Whether a file is the one that is pinned."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest() == pin.sha256


def differing(locks: Mapping[str, Iterable[Pin]]) -> list[str]:
    """Packages that two lock files have in two versions: the layer that all share would lie in an image twice."""
    versions: dict[str, dict[str, str]] = {}
    for lock, pins in locks.items():
        for pin in pins:
            versions.setdefault(pin.name, {})[pin.version] = lock
    return [
        f"{name}: " + ", ".join(f"{version} in {lock}" for version, lock in sorted(found.items()))
        for name, found in sorted(versions.items())
        if len(found) > 1
    ]
