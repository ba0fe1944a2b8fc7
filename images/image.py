"""One image: made from its packages and our sources, or found as it was.

Theory of operation. What an image is made of is one digest (``key``): our sources that go into it, its recipe, its
pins, and the layer beneath. Beside each archive lies a record of it; where the digest is still that, nothing is made.
One process makes an image, others wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bill
import ingredients
import languages
import layers
import processes
import roots
from pins import Pin
from recipes import Recipe

Say = Callable[[str], None]
_KEPT = ("name", "id", "size", "base_size", "target_mb", "seconds")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The layer that all share, and what is in it."""

    key: str
    layer: layers.Layer
    files: Mapping[str, tuple[object, ...]]


@dataclass(frozen=True, kw_only=True)
class Made:
    name: str
    id: str
    archive: Path
    size: int  #: bytes unpacked
    base_size: int  #: of them, those of the layer that all share
    target_mb: int
    seconds: float
    fresh: bool  #: made now; else it was as it had to be


def key_of_ground(recipe: Recipe, locked: Sequence[Pin], given: Path | None) -> str:
    """What the base layer is made of: the pins, or the tar that was given."""
    if given is None:
        return ingredients.digest(ingredients.how_made("roots.py"), recipe, tuple(locked), layers.EPOCH)
    with given.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key(recipe: Recipe, locked: Sequence[Pin], ground: str) -> str:
    """What the image is made of. How large it should be is no part of it."""
    of = ingredients.of_language(recipe.language) if recipe.language else ingredients.of_process()
    how = ingredients.how_made("languages.py" if recipe.language else "processes.py")
    return ingredients.digest([*of, *how], recipe, tuple(locked), ground, layers.EPOCH)


def lay_ground(recipe: Recipe, packages: Sequence[Path], key: str, work: Path, given: Path | None) -> Ground:
    """The base layer, in *work*."""
    root = work / "base"
    if given is None:
        roots.unpack(packages, root, recipe)
        roots.finish(root, recipe)
    else:
        root.mkdir()
        with tarfile.open(given) as tar:
            tar.extractall(root, filter="tar")
    layer = layers.write_layer(root, work / "base.layer.tar", below={})
    return Ground(key=key, layer=layer, files=layers.fingerprints(root))


def known(recipe: Recipe, key: str, out: Path) -> Made | None:
    """The image in *out*, if it is made of just that."""
    record, archive = out / f"{recipe.name}.json", out / f"{recipe.name}.tar"
    if not (record.exists() and archive.exists()):
        return None
    told = json.loads(record.read_text())
    if told["made_of"] != key:
        return None
    return Made(archive=archive, fresh=False, **{name: told[name] for name in _KEPT})


def make(
    recipe: Recipe, locked: Sequence[Pin], ground: Ground, *, pool: Path, work: Path, out: Path, tag: str, say: Say
) -> Made:
    """The archive of the image in *out*, with its bill of materials and its record. All of *locked* is in *pool*."""
    began = time.monotonic()
    made_of = key(recipe, locked, ground.key)  # before anything is read: our sources may change meanwhile
    (out / f"{recipe.name}.json").unlink(missing_ok=True)
    root = work / recipe.name
    packages = [pool / pin.file for pin in sorted(locked) if not pin.toolchain]
    if recipe.language:
        beside = [pool / pin.file for pin in sorted(locked) if pin.toolchain]
        filled = languages.fill(recipe, packages, beside, root, say)
    else:
        filled = processes.fill(recipe, packages, root, say)
    roots.finish(root, recipe)
    roots.check_libraries(root)
    layer = layers.write_layer(root, work / f"{recipe.name}.layer.tar", below=ground.files)
    identity = layers.write_image(
        out / f"{recipe.name}.tar",
        tag=f"{tag}/{recipe.name}:latest",
        layers=(ground.layer, layer),
        config=filled.config,
        labels={**filled.labels, "org.opencontainers.image.title": f"{tag}/{recipe.name}"},
    )
    listed = bill.write(recipe, locked, processes.installed(root), identity)
    (out / f"{recipe.name}.spdx.json").write_text(listed)
    layer.path.unlink()
    shutil.rmtree(root)
    made = Made(
        name=recipe.name,
        id=identity,
        archive=out / f"{recipe.name}.tar",
        size=ground.layer.size + layer.size,
        base_size=ground.layer.size,
        target_mb=recipe.target_mb,
        seconds=time.monotonic() - began,
        fresh=True,
    )
    record = {"made_of": made_of, **{name: getattr(made, name) for name in _KEPT}}
    (out / f"{recipe.name}.json").write_text(json.dumps(record))
    return made


@contextlib.contextmanager
def alone(name: str, out: Path) -> Iterator[None]:
    """While another process makes this image, wait."""
    with (out / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
