"""Which standard headers a source includes before anything else, and which precompiled header does the same.

A precompiled header may stand in for the first includes of a source only if the source would read all of its files
anyway: then not a declaration or macro is there that would not be. Whether it does is known from what each header
includes in turn (``closures``), as the compiler itself tells it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HEAD_BYTES = 16 * 1024
_DEPTH = 8
"""How much of a file and how many headers deep is looked at: a submission may not take the runner's time."""

_BLANK = re.compile(r"(?:[ \t\r\n\f\v]++|//[^\n\\]*+(?=\n|\Z)|/\*.*?\*/)*+", re.DOTALL)
_GUARD = re.compile(
    r"#[ \t]*(?:pragma[ \t]+once|ifndef[ \t]+(\w+)[ \t\r]*\n\s*#[ \t]*define[ \t]+\1)[ \t\r]*(?=\n|\Z|//|/\*)"
)
_QUOTED = re.compile(r'#[ \t]*include[ \t]*"([^"\n]+)"')
_INCLUDE = re.compile(r"#[ \t]*include[ \t]*<([^<>\n]+)>[ \t\r]*(?=\n|\Z|//|/\*)")

_NAMES = """
algorithm any array atomic bit bitset cassert cctype cerrno cfloat charconv chrono cinttypes climits clocale cmath
codecvt compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib
cstring ctime cwchar cwctype deque exception execution filesystem forward_list fstream functional future
initializer_list iomanip ios iosfwd iostream istream iterator limits list locale map memory memory_resource mutex
new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore set shared_mutex
source_location span sstream stack stdexcept stop_token streambuf string string_view system_error thread tuple
type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector version assert.h ctype.h
errno.h limits.h math.h stddef.h stdint.h stdio.h stdlib.h string.h time.h unistd.h bits/stdc++.h
"""
STANDARD = tuple(_NAMES.split())
"""Headers whose closures are looked up. One that is missing here costs time, never meaning."""


@dataclass(frozen=True, kw_only=True)
class Precompiled:
    """A precompiled header: what it includes, and the flags that it was made with and is good for."""

    name: str  #: its folder, under where the room sees them all
    headers: tuple[str, ...]
    flags: tuple[str, ...]


def leading(name: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """The bracketed includes at the head of a source, before anything else but comments.

    Where a header of the submission's own follows, those at *its* head are read next, its guard left aside.
    """
    found: list[str] = []
    seen: set[str] = set()
    own: str | None = name
    while own is not None and own not in seen and len(seen) < _DEPTH:
        seen.add(own)
        includes, following = _head(files[own][:_HEAD_BYTES].decode(errors="replace"), guarded=own != name)
        found += includes
        own = _own(following, own, files) if following else None
    return tuple(found)


def best(
    included: tuple[str, ...],
    flags: tuple[str, ...],
    made: Sequence[Precompiled],
    closures: Mapping[str, frozenset[str]],
) -> Precompiled | None:
    """What spares a source with these leading includes most, of the headers made with exactly these *flags*."""

    def files(headers: tuple[str, ...]) -> frozenset[str]:
        return frozenset().union(*(closures.get(header, ()) for header in headers))

    read = files(included)
    usable = [one for one in made if one.flags == flags and files(one.headers) and files(one.headers) <= read]
    return max(usable, key=lambda one: len(files(one.headers)), default=None)


def _head(source: str, *, guarded: bool) -> tuple[list[str], str | None]:
    """The bracketed includes at the head of one file, and the quoted one that follows them."""
    source = source.removeprefix("\ufeff")
    position = _after_blank(source, 0)
    if guarded and (guard := _GUARD.match(source, position)):
        position = _after_blank(source, guard.end())
    found = []
    while include := _INCLUDE.match(source, position):
        found.append(include.group(1).strip())
        position = _after_blank(source, include.end())
    quoted = _QUOTED.match(source, position)
    return found, quoted.group(1) if quoted else None


def _own(quoted: str, including: str, files: Mapping[str, bytes]) -> str | None:
    """The file of the submission that a quoted include means: beside the including one, else from the top."""
    for candidate in (posixpath.join(posixpath.dirname(including), quoted), quoted):
        if (name := posixpath.normpath(candidate)) in files:
            return name
    return None


def _after_blank(source: str, position: int) -> int:
    """Where the comments and white space at *position* end."""
    blank = _BLANK.match(source, position)
    return blank.end() if blank else position
