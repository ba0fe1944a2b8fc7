"""The image of a language: its toolchain unpacked, the language prepared in it (``bake.py``), and what rooms need kept.

Theory of operation, in three stages:

1. *toolchain*: the packages of the image and a few tools, with nothing left out: a root in which programs run.
2. *bake*: in that root, without a network, the language is prepared as a runner would do it on a host.
3. *image*: the packages without what no sandbox needs, and what baking made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ingredients
import layers
import roots
from recipes import Recipe

BAKE_S = 1800.0
_SCRATCH = ("tmp/", "mnt", "root/", "proc/", "dev/", "var/", "run/")


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A root that is whole but for the last touches, and what its image says of itself."""

    labels: dict[str, str]
    config: dict[str, object]


def fill(
    recipe: Recipe, packages: Sequence[Path], toolchain: Sequence[Path], root: Path, say: Callable[[str], None]
) -> Filled:
    """Lay the language into *root*. *packages* are in the image, *toolchain* beside them where it is made."""
    kitchen = root.with_name(f"{root.name}-toolchain")
    say("preparing the language")
    roots.unpack([*packages, *toolchain], kitchen, None)
    roots.finish(kitchen, recipe)
    labels, baked = _bake(kitchen, recipe, say)
    say("the image's own files")
    roots.unpack(packages, root, recipe)
    _take_over(kitchen, root, baked)
    shutil.rmtree(kitchen)
    return Filled(
        labels={**labels, "org.opencontainers.image.version": labels["yurt.version"]},
        config={"User": recipe.user, "WorkingDir": "/workspace", "Env": ["LANG=C.UTF-8"]},
    )


def _bake(root: Path, recipe: Recipe, say: Callable[[str], None]) -> tuple[dict[str, str], list[str]]:
    """The image's labels, and the paths that baking made."""
    before = {str(path.relative_to(root)) for path in root.rglob("*")}
    sources = root / "sources"
    for path in ingredients.of_language(recipe.language):
        target = sources / path.relative_to(ingredients.SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _run_inside(root, f"/usr/bin/python3.11 -I /sources/images/bake.py /sources {recipe.language}", say)
    labels = json.loads((root / "baked.json").read_text())
    (root / "baked.json").unlink()
    shutil.rmtree(sources)
    after = {str(path.relative_to(root)) for path in root.rglob("*")}
    return labels, sorted(name for name in after - before if not _is_scratch(name))


def _run_inside(root: Path, command: str, say: Callable[[str], None]) -> None:
    """In the root, in namespaces of its own, without a network; at the same addresses each time, which compilers and
    virtual machines write into what they make."""
    (root / "mnt").mkdir(exist_ok=True)
    steps = [
        f'mount --bind "{root}" "{root}"',  # a mount point, so that what is made in a namespace can be made here too
        f'mount -t proc proc "{root}/proc"',
        f'mount --bind /dev "{root}/dev"',
        f'exec setarch --addr-no-randomize chroot "{root}" {command}',
    ]
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(layers.EPOCH),
    }
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    with subprocess.Popen(
        [*words, "sh", "-c", " && ".join(steps)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        deadline = threading.Timer(BAKE_S, process.kill)
        deadline.start()
        told: deque[str] = deque(maxlen=10)
        for line in process.stdout:
            told.append(line)
            if line.startswith("  "):
                say(line.strip())
        deadline.cancel()
    if process.returncode:
        raise OSError(f"baking ended with {process.returncode}: {''.join(told).strip()[-800:]}")


def _is_scratch(name: str) -> bool:
    return name.startswith(_SCRATCH) or "__pycache__" in name


def _take_over(kitchen: Path, root: Path, names: Sequence[str]) -> None:
    for name in names:
        source, target = kitchen / name, root / name
        if source.is_symlink() or not source.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target, follow_symlinks=False)  # so that what is one file twice stays one
        else:
            target.mkdir(parents=True, exist_ok=True)
