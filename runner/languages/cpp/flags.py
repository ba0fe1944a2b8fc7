"""The flags of a C++ build: which a submission may pass, and what is made of them and the default ones.

A flag decides about one thing: a ``-O2`` replaces the default level and leaves the default standard. Flags that name
files, programs or other flags are none of these: ``-o``, ``-I``, ``-B``, ``-specs``, ``-fplugin``, ``-Wl,``, ``@file``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ALLOWED_FLAGS = (
    "-O",
    "-O[0-3gsz]",
    "-Ofast",
    "-std=c++[0-9]*",
    "-std=gnu++[0-9]*",
    "-std=c[0-9]*",
    "-std=gnu[0-9]*",
    "-ansi",
    "-pedantic",
    "-pedantic-errors",
    "-w",
    # warnings, but for -Wa, -Wl, and -Wp, with a comma, which pass words on to other tools
    "-W[!alp]*",
    "-W[alp][!,]*",
    "-g",
    "-g[0-3]",
    "-D*",
    "-U*",
    "-pthread",
    "-static",
    "-lm",
    "-lpthread",
    "-lrt",
    "-ldl",
    "-latomic",
    "-lstdc++fs",
    "-march=*",
    "-mtune=*",
    "-mavx*",
    "-msse*",
    "-mfma",
    "-mbmi*",
    "-mpopcnt",
    "-mlzcnt",
    "-fno-[!a]*",
    "-fno-a[!s]*",
    "-fconcepts",
    "-fcoroutines",
    "-fexceptions",
    "-ffast-math",
    "-fmax-errors=*",
    "-fomit-frame-pointer",
    "-fopenmp",
    "-fpermissive",
    "-frtti",
    "-fsanitize=address",
    "-fsanitize=undefined",
    "-fstack-protector*",
    "-fstrict-aliasing",
    "-ftemplate-depth=*",
    "-ftrapv",
    "-funroll-loops",
    "-funsigned-char",
    "-fwrapv",
)

_STANDARD_OF_C = re.compile(r"-std=(?:c|gnu|iso9899:)\d")
_STANDARD_OF_CPP = re.compile(r"-std=(?:c|gnu)\+\+")
_LEAVES_HEADERS_ALONE = re.compile(r"-(?:W|w$|D|U)")
"""Warnings; and macros, since g++ looks by itself whether a precompiled header knows one of them."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The flags of one build, by what they are for."""

    level: str
    standard: str
    others: tuple[str, ...]
    standard_of_c: str | None
    libraries: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        """What a precompiled header must have been made with."""
        return (self.level, self.standard)

    @property
    def usual(self) -> bool:
        """Whether nothing beside ``code`` changes what a header means or becomes, unseen by g++."""
        return all(_LEAVES_HEADERS_ALONE.match(flag) for flag in self.others)

    @property
    def for_cpp(self) -> tuple[str, ...]:
        return (self.level, self.standard, *self.others)

    @property
    def for_c(self) -> tuple[str, ...]:
        return (self.level, *filter(None, [self.standard_of_c]), *self.others)


def choose(flags: tuple[str, ...], *, default: tuple[str, ...]) -> Chosen:
    """The flags of a build, from a submission's and the *default* level and standard."""
    level, standard = default
    standard_of_c = None
    others, libraries = [], []
    for flag in flags:
        if flag.startswith("-O"):
            level = flag
        elif _STANDARD_OF_CPP.match(flag):
            standard = flag
        elif _STANDARD_OF_C.match(flag):
            standard_of_c = flag
        elif flag.startswith("-l") or flag == "-pthread":  # which but for linking means nothing any more
            libraries.append(flag)
        else:
            others.append(flag)
    return Chosen(
        level=level,
        standard=standard,
        others=tuple(others),
        standard_of_c=standard_of_c,
        libraries=tuple(libraries),
    )
