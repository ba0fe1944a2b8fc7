"""Images as files: layers and configurations whose bytes depend on nothing but what is in them.

A layer is a tar of a folder: sorted by name, owned by root, no time later than ``EPOCH``, hard links kept. An image is
what ``docker load`` reads: a tar of a manifest, a configuration and the layers. Its id is the digest of its
configuration, which names the digests of its layers; so two builds of the same files have the same id.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "1750000000"))  #: nothing in an image is younger
CREATED = "2025-06-15T15:06:40Z"  #: EPOCH, for configurations
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer as a file."""

    path: Path
    digest: str  #: sha256:…
    size: int  #: bytes of what is in it


def entries(root: Path) -> Iterator[Path]:
    """Every path under *root*, sorted, folders before what is in them; other file systems and sockets are left out."""
    for path in sorted(root.rglob("*"), key=lambda each: each.relative_to(root).parts):
        if not (path.is_socket() or path.is_fifo()):
            yield path


def fingerprint(path: Path) -> tuple[object, ...]:
    """What makes two files the same to an image."""
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    if path.is_symlink():
        return (kind, str(path.readlink()))
    if path.is_dir():
        return (kind, stat.S_IMODE(status.st_mode))
    if not path.is_file():
        return (kind, status.st_rdev)
    with path.open("rb") as file:
        return (kind, stat.S_IMODE(status.st_mode), hashlib.file_digest(file, "sha256").hexdigest())


def write_layer(root: Path, target: Path, *, below: Mapping[str, tuple[object, ...]]) -> Layer:
    """The layer of *root* over one that has the files of *below* (name → fingerprint), which are left out."""
    links: dict[tuple[int, int], str] = {}
    size = 0
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in entries(root):
            name = str(path.relative_to(root))
            if below.get(name) == fingerprint(path):
                continue
            member = tar.gettarinfo(path, name)
            status = path.lstat()
            if member.isreg() and status.st_nlink > 1:
                first = links.setdefault((status.st_dev, status.st_ino), name)
                if first != name:
                    member.type, member.linkname, member.size = tarfile.LNKTYPE, first, 0
                else:
                    member.type = tarfile.REGTYPE
                    member.size = status.st_size
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = min(int(member.mtime), EPOCH)
            member.pax_headers = {}
            if member.isreg():
                with path.open("rb") as file:
                    tar.addfile(member, file)
                size += member.size
            else:
                tar.addfile(member)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Layer(path=target, digest=f"sha256:{digest}", size=size)


def fingerprints(root: Path) -> dict[str, tuple[object, ...]]:
    return {str(path.relative_to(root)): fingerprint(path) for path in entries(root)}


def write_image(
    target: Path, *, tag: str, layers: Sequence[Layer], config: Mapping[str, object], labels: Mapping[str, str]
) -> str:
    """An image as ``docker load`` reads it; its id."""
    body = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "created": CREATED,
        "config": {**config, "Labels": dict(sorted(labels.items()))},
        "history": [{"created": CREATED, "created_by": f"images/{tag}"} for _ in layers],
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    identity = hashlib.sha256(text).hexdigest()
    names = [f"{layer.digest.removeprefix('sha256:')}.tar" for layer in layers]
    manifest = json.dumps([{"Config": f"{identity}.json", "RepoTags": [tag], "Layers": names}]).encode()
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, f"{identity}.json", text)
        for name, layer in zip(names, layers, strict=True):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = layer.path.stat().st_size, EPOCH
            with layer.path.open("rb") as file:
                tar.addfile(member, file)
        _add(tar, "manifest.json", manifest)
    return f"sha256:{identity}"


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), EPOCH
    tar.addfile(member, io.BytesIO(content))
