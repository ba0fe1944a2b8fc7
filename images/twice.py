"""Two archives of an image compared: which files differ, so that what cannot be made alike is known by name."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import IO

Files = dict[str, tuple[object, ...]]


def differences(first: Path, second: Path) -> list[str]:
    """A line for each file, and each word of the configuration, in which they differ; none where they are the same."""
    (one, one_files), (other, other_files) = _read(first), _read(second)
    found = [f"configuration: {name}" for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    for name in sorted(one_files.keys() | other_files.keys()):
        if name not in one_files or name not in other_files:
            found.append(f"{name}: only in {'the second' if name not in one_files else 'the first'}")
        elif one_files[name] != other_files[name]:
            found.append(f"{name}: {_how(one_files[name], other_files[name])}")
    return found


def _read(archive: Path) -> tuple[dict[str, object], Files]:
    """What is said of an image, without the digests of its layers, and what is in these."""
    with tarfile.open(archive) as tar:
        manifest = json.load(_opened(tar, "manifest.json"))[0]
        said = json.load(_opened(tar, manifest["Config"]))
        said.pop("rootfs")
        files: Files = {}
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=_opened(tar, name)) as layer:
                files |= {member.name: _seen(layer, member) for member in layer}
    return said, files


def _seen(layer: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    content = ""
    if member.isreg():
        content = hashlib.file_digest(_opened(layer, member), "sha256").hexdigest()  # type: ignore[arg-type]
    return (content, member.size, member.mode, member.mtime, member.type, member.linkname)


def _how(one: tuple[object, ...], other: tuple[object, ...]) -> str:
    words = ("content", "size", "mode", "time", "kind", "target")
    return ", ".join(word for word, left, right in zip(words, one, other, strict=True) if left != right)


def _opened(tar: tarfile.TarFile, member: str | tarfile.TarInfo) -> IO[bytes]:
    opened = tar.extractfile(member)
    assert opened is not None, member
    return opened
