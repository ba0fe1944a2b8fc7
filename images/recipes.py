"""Recipes: what each ``image.toml`` says, over ``base.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASE = "base"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One image."""

    name: str
    language: str = ""  #: or, for one of our processes,
    role: str = ""
    target_mb: int = 0
    suite: str
    also: tuple[str, ...] = ()  #: further suites, such as backports
    packages: tuple[str, ...]
    toolchain: tuple[str, ...] = ()  #: beside those, while the language is prepared
    without: tuple[str, ...]
    keep_of_stdlib: tuple[str, ...]
    drop: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict, hash=False)
    moves: Mapping[str, str] = field(default_factory=dict, hash=False)  #: folders that lie elsewhere in a room
    python: tuple[str, ...] = ()  #: of one of our processes: the Python packages that it imports
    user: str = "1000:1000"

    @property
    def lock(self) -> Path:
        """Where its packages are pinned."""
        return HERE / "base.lock" if self.name == BASE else HERE / self.name / "packages.lock"


def names() -> list[str]:
    """Of every image that there is."""
    return sorted(path.parent.name for path in HERE.glob("*/image.toml"))


def base() -> Recipe:
    """Of the layer that all share."""
    text = tomllib.loads((HERE / "base.toml").read_text())
    return Recipe(
        name=BASE,
        suite=text["suite"],
        packages=tuple(text["packages"]),
        without=(*text["without"], *text["of_stdlib"]),
        keep_of_stdlib=tuple(text["keep_of_stdlib"]),
        drop=(*text["drop"], *text["drop_of_small"]),
    )


def read(name: str) -> Recipe:
    """Of the image of this name."""
    below = tomllib.loads((HERE / "base.toml").read_text())
    text = tomllib.loads((HERE / name / "image.toml").read_text())
    needs = text.get("needs", ())
    return Recipe(
        name=name,
        language=text.get("language", ""),
        role=text.get("role", ""),
        target_mb=text["target_mb"],
        suite=below["suite"],
        also=tuple(text.get("also", ())),
        packages=(*below["packages"], *text["packages"]),
        toolchain=() if "role" in text else tuple(below["toolchain"]),
        without=(
            *below["without"],
            *text.get("without", ()),
            *(each for each in below["of_stdlib"] if each not in needs),
        ),
        keep_of_stdlib=tuple(text.get("keep_of_stdlib", below["keep_of_stdlib"])),
        drop=(*below["drop"], *text.get("drop", ()), *(() if "keep_of_stdlib" in text else below["drop_of_small"])),
        links=text.get("links", {}),
        moves=text.get("moves", {}),
        python=tuple(text.get("python", ())),
        user=text.get("user", "1000:1000"),
    )
