"""Images of languages as archives in a folder, and unpacked in the cache: one folder of files an image, by its digest.

An archive is what ``make images`` writes and ``docker load`` reads: a manifest, a configuration and layers. The image's
digest is that of its configuration, which names the digests of the layers, and both are checked while it is unpacked.

Rules
1. An image is unpacked beside its place and put there whole: what a process that died has left is not believed.
2. Nothing in an archive is written outside of its own folder, and no device or fifo is made.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jobs.errors import ConfigFault
from runner.engines.docker.labels import LABEL
from runner.engines.snapshot import kept
from runner.languages.contract import Report

MANIFEST_BYTES = 1 << 20
LONGEST = 16  #: digits of a digest in names


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One image in one file."""

    path: Path
    id: str  #: sha256:…, of its configuration
    name: str
    labels: dict[str, str]
    layers: tuple[str, ...]  #: members of the archive
    digests: tuple[str, ...]  #: of the layers

    @property
    def short(self) -> str:
        return self.id.removeprefix("sha256:")[:LONGEST]


def look(folder: Path) -> tuple[list[Archive], list[str]]:
    """The images of languages in *folder*, and why other archives there cannot be used."""
    found: list[Archive] = []
    faults: list[str] = []
    for path in sorted(folder.glob("*.tar")):
        try:
            archive = read(path)
        except (OSError, tarfile.TarError, ValueError, KeyError, TypeError, IndexError) as error:
            faults.append(f"{path} is no image: {type(error).__name__}: {error}")
            continue
        if LABEL in archive.labels:
            found.append(archive)
    return found, faults


def read(path: Path) -> Archive:
    """What its manifest and its configuration say."""
    with tarfile.open(path) as tar:
        (manifest,) = json.loads(_member(tar, "manifest.json").read(MANIFEST_BYTES))
        text = _member(tar, manifest["Config"]).read(MANIFEST_BYTES)
    config: dict[str, Any] = json.loads(text)
    layers, digests = tuple(manifest["Layers"]), tuple(config["rootfs"]["diff_ids"])
    if len(layers) != len(digests):
        raise ValueError(f"it has {len(layers)} layers and {len(digests)} digests")
    return Archive(
        path=path,
        id=f"sha256:{hashlib.sha256(text).hexdigest()}",
        name=(manifest.get("RepoTags") or [path.stem])[0],
        labels=dict(config["config"].get("Labels") or {}),
        layers=layers,
        digests=digests,
    )


def unpacked(archive: Archive, cache: Path, report: Report) -> Path:
    """The folder with the image's files, unpacked unless it is there; ``ConfigFault`` where that cannot be done."""
    place = cache / f"root-{archive.short}"
    if place.exists():
        return place
    report(f"unpacking image {archive.name}")
    cache.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=cache))
    held = kept.hold(beside)
    try:
        with tarfile.open(archive.path) as tar:
            for name, digest in zip(archive.layers, archive.digests, strict=True):
                _unpack(tar, name, digest, beside)
        beside.chmod(0o755)
        beside.rename(place)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        if place.exists():  # another runner was faster
            return place
        raise ConfigFault(f"image {archive.path} cannot be unpacked: {error}; make it anew: make images") from error
    finally:
        os.close(held)
    return place


def _unpack(archive: tarfile.TarFile, name: str, digest: str, root: Path) -> None:
    found = _Digested(_member(archive, name))
    with tarfile.open(fileobj=found, mode="r|") as layer:  # type: ignore[call-overload]  # it asks only to read
        layer.extractall(root, members=_plain(layer), filter="tar")
    if found.digest() != digest:
        raise ValueError(f"layer {name} is not what its digest says")


def _plain(layer: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Files, folders and links; ``ValueError`` where a layer takes away what one below it brought."""
    for member in layer:
        if Path(member.name).name.startswith(".wh."):
            raise ValueError(f"{member.name} takes a file away, which is not known here: flatten the image")
        if member.isfile() or member.isdir() or member.issym() or member.islnk():
            yield member


class _Digested:
    """A file that is read once, from its beginning to its end, and its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def digest(self) -> str:
        while self.read(1 << 20):
            pass
        return f"sha256:{self._digest.hexdigest()}"


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    found = tar.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is no file")
    return found


def stale(cache: Path, archives: Iterable[Archive]) -> list[Path]:
    """What is unpacked, or half so, of other images than these."""
    names = {f"root-{archive.short}" for archive in archives}
    return [each for each in (*cache.glob("root-*"), *cache.glob(".root-*")) if each.name not in names]
