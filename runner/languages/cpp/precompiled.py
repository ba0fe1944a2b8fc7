"""Making precompiled headers that are worth it.

A usual precompiled header spares g++ the reading, but not the templates: what the headers' own inline functions use
is instantiated at the end of every program that loads it, 180 ms for ``bits/stdc++.h``. So the templates are
completed *before* the header is written, which is a valid point of instantiation: a plugin of ten lines gives g++ a
pragma that calls its own ``instantiate_pending_templates``. The plugin is used here only; programs are compiled
without it. clang has this built in (``-fpch-instantiate-templates``).

Rules
1. A header with completed templates must compile and link a program that runs, or a usual one is made; and that must
   too, or there is none.
2. It is good for the flags that it was made with and for no others. g++ checks macros and the target by itself, but a
   header made at another optimisation level makes it crash.
3. No path of this host gets into it: it is made by a relative name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jobs.errors import ConfigFault
from runner.languages.contract import Report
from runner.languages.cpp.includes import STANDARD, Precompiled
from runner.languages.native import carry_out

_PLUGIN = r"""
struct cpp_reader;
enum insert_option { NO_INSERT, INSERT };
extern "C" {
int plugin_is_GPL_compatible;
int get_named_event_id(const char *, insert_option);
void register_callback(const char *, int, void (*)(void *, void *), void *);
}
extern void c_register_pragma(const char *, const char *, void (*)(cpp_reader *));
extern void instantiate_pending_templates(int);
static void complete(cpp_reader *) { instantiate_pending_templates(0); }
static void announce(void *, void *) { c_register_pragma("GCC", "complete_templates", complete); }
extern "C" int plugin_init(void *, void *) {
    register_callback("complete", get_named_event_id("PLUGIN_PRAGMAS", NO_INSERT), announce, nullptr);
    return 0;
}
"""

_AT_ONCE = min(4, os.cpu_count() or 1)

_SAMPLE = """
#include <cstdio>
struct Counter { int count = 0; int next() { return ++count; } };
int main() { Counter counter; counter.next(); return std::printf("%d", counter.next()) == 1 ? 0 : 1; }
"""


def make_all(
    compiler: str,
    standard: str,
    folder: Path,
    *,
    sets: Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]],
    report: Report,
) -> None:
    """Fill *folder*: one folder a precompiled header, ``made.json`` with their list, ``closures.json``.

    *sets*: for each list of flags, the header sets to make.
    """
    plugin = _make_plugin(compiler, folder)
    closures = _closures(compiler, standard, folder)
    wanted = [(flags, headers) for flags, header_sets in sets.items() for headers in header_sets]
    possible = [
        Precompiled(name=str(number), headers=headers, flags=flags)
        for number, (flags, headers) in enumerate(wanted)
        if closures.keys() >= set(headers)
    ]

    def make(one: Precompiled) -> bool:
        report(f"{Path(compiler).name} {' '.join(one.flags)}: precompiling {' '.join(one.headers)}")
        return _make(compiler, folder, one, plugin)

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as workers:
        made = [one for one, works in zip(possible, workers.map(make, possible), strict=True) if works]
    (folder / "made.json").write_text(json.dumps([vars(one) for one in made]))
    (folder / "closures.json").write_text(json.dumps({header: sorted(files) for header, files in closures.items()}))
    if plugin is not None:
        plugin.unlink()


def read_made(folder: Path) -> tuple[Precompiled, ...]:
    """The list that ``make_all`` wrote."""
    return tuple(
        Precompiled(name=one["name"], headers=tuple(one["headers"]), flags=tuple(one["flags"]))
        for one in json.loads((folder / "made.json").read_text())
    )


def read_closures(folder: Path) -> dict[str, frozenset[str]]:
    """Which files each standard header includes in the end."""
    return {header: frozenset(files) for header, files in json.loads((folder / "closures.json").read_text()).items()}


def usage(place: str, one: Precompiled, first_include: str) -> tuple[str, ...]:
    """The flags that make a source use the precompiled header in the folder *place*.

    One that the source includes first is found ahead of the system's, which for ``bits/stdc++.h`` is 15 ms quicker
    than to include it ahead, since then the source includes 450 headers again for nothing.
    """
    return ("-I", place) if one.headers == (first_include,) else ("-include", f"{place}/first.h")


def _make(compiler: str, folder: Path, one: Precompiled, plugin: Path | None) -> bool:
    """Whether a header could be made that works: completed by the *plugin* if possible."""
    place = folder / one.name
    place.mkdir()
    includes = "".join(f"#include <{header}>\n" for header in one.headers)
    (place / "first.h").write_text(includes)
    target = place / "first.h.gch"
    for completing in (True, False) if plugin is not None else (False,):
        (place / "standard.h").write_text(includes + ("#pragma GCC complete_templates\n" if completing else ""))
        extra = [f"-fplugin={plugin}"] if completing else []
        try:
            carry_out([compiler, *one.flags, *extra, "-x", "c++-header", "standard.h", "-o", str(target)], cwd=place)
            _check(compiler, one, place)
        except ConfigFault:
            continue
        finally:
            (place / "standard.h").unlink()
        if len(one.headers) == 1:
            instead = place / f"{one.headers[0]}.gch"
            instead.parent.mkdir(exist_ok=True)
            instead.hardlink_to(target)
        return True
    shutil.rmtree(place)
    return False


def _check(compiler: str, one: Precompiled, place: Path) -> None:
    """A program that uses the header is compiled and runs, with no word about a header that did not fit."""
    program = place / "check"
    source = place / "check.cpp"
    source.write_text("".join(f"#include <{header}>\n" for header in one.headers) + _SAMPLE)
    strict = ["-Winvalid-pch", "-Werror", "-include", "./first.h"]
    try:
        carry_out([compiler, *one.flags, *strict, "check.cpp", "-o", str(program)], cwd=place)
        if carry_out([str(program)]) != "2":
            raise ConfigFault(f"{compiler}: a program with {' '.join(one.headers)} went wrong")
    finally:
        source.unlink()
        program.unlink(missing_ok=True)


def _make_plugin(compiler: str, folder: Path) -> Path | None:
    """The plugin, or None with a compiler that takes none."""
    source = folder / "plugin.cpp"
    source.write_text(_PLUGIN)
    plugin = folder / "plugin.so"
    try:
        carry_out([compiler, "-shared", "-fPIC", "-O1", "-fno-rtti", "-fno-exceptions", str(source), "-o", str(plugin)])
    except ConfigFault:
        return None
    finally:
        source.unlink()
    return plugin


def _closures(compiler: str, standard: str, folder: Path) -> dict[str, frozenset[str]]:
    """For each standard header that this compiler has, the files that it reads for it."""

    def ask(header: str) -> tuple[str, frozenset[str]] | None:
        source = folder / f"{STANDARD.index(header)}.cpp"
        source.write_text(f"#include <{header}>\n")
        try:
            rule = carry_out([compiler, standard, "-M", str(source)])
        except ConfigFault:
            return None
        finally:
            source.unlink()
        return header, frozenset(rule.replace("\\\n", " ").split()[2:])

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as workers:
        return dict(filter(None, workers.map(ask, STANDARD)))
