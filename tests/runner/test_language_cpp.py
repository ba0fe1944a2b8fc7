"""C++: which precompiled header may stand in for a source's includes, and what the compilers are told."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.languages import Language
from jobs.submission import SourceFile
from runner.languages.contract import Installation, Sources
from runner.languages.cpp import Cpp
from runner.languages.cpp.compilers import read_version
from runner.languages.cpp.flags import ALLOWED_FLAGS, choose
from runner.languages.cpp.includes import Precompiled, best, leading

DEFAULT = ("-O1", "-std=gnu++20")
CLOSURES = {
    "iostream": frozenset({"iostream", "string"}),
    "string": frozenset({"string"}),
    "vector": frozenset({"vector"}),
    "algorithm": frozenset({"algorithm", "vector"}),
    "bits/stdc++.h": frozenset({"iostream", "string", "vector", "algorithm", "map"}),
}
MADE = tuple(
    Precompiled(name=str(number), headers=headers, flags=flags)
    for number, (headers, flags) in enumerate(
        [
            (("bits/stdc++.h",), DEFAULT),
            (("iostream",), DEFAULT),
            (("iostream", "vector"), DEFAULT),
            (("iostream",), ("-O2", "-std=gnu++20")),
        ]
    )
)


def command(source: str, folder: Path | None = None, flags: tuple[str, ...] | None = None) -> tuple[str, ...]:
    [only] = commands({"main.cpp": source}, folder, flags)
    return only


def commands(
    files: dict[str, str], folder: Path | None = None, flags: tuple[str, ...] | None = None, entry: str = "main.cpp"
) -> tuple[tuple[str, ...], ...]:
    details = {"compiler": "/usr/bin/g++", "c_compiler": "/usr/bin/gcc", "linker": "mold"}
    installation = Installation(
        language=Language.CPP,
        version="12.2.0",
        compile_flags=DEFAULT,
        details={**details, **({"precompiled": str(folder)} if folder else {})},
    )
    sources = Sources(
        files=tuple(SourceFile(name=name, content=text.encode()) for name, text in files.items()), entry=entry
    )
    return Cpp().build(installation, sources, flags).commands


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder as ``prepare`` leaves it, but for the headers themselves."""
    (tmp_path / "made.json").write_text(json.dumps([vars(one) for one in MADE]))
    (tmp_path / "closures.json").write_text(json.dumps({name: sorted(files) for name, files in CLOSURES.items()}))
    return tmp_path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("#include <iostream>\nint main() {}\n", ("iostream",)),
        (
            "\ufeff// first\r\n#include<vector>\r\n/* a\n b */ # include <string> // last\n#include <map>",
            ("vector", "string", "map"),
        ),
        ("#include <vector>\nusing namespace std;\n#include <map>\n", ("vector",)),
        ("#define N 3\n#include <vector>\n", ()),
        ('#pragma GCC optimize("O3")\n#include <bits/stdc++.h>\n', ()),
        ('#include "own.h"\n#include <vector>\n', ()),
        ("#ifdef X\n#include <vector>\n#endif\n", ()),
        ("// continued \\\n#include <vector>\n", ()),
        ("", ()),
    ],
)
def test_only_the_includes_before_anything_else_count(source: str, found: tuple[str, ...]) -> None:
    assert leading("main.cpp", {"main.cpp": source.encode()}) == found


@given(st.text(alphabet=st.sampled_from('#include <vector>/*\\\n \t"x'), max_size=80))
def test_any_text_is_read_in_good_time(source: str) -> None:
    assert all(
        ">" not in header and "\n" not in header for header in leading("main.cpp", {"main.cpp": source.encode()})
    )


@pytest.mark.parametrize("guard", ["#pragma once\n", "// shop\n#ifndef SHOP_H\n#define SHOP_H // once\n", ""])
def test_the_head_of_an_own_header_is_read_on(guard: str) -> None:
    files = {
        "src/main.cpp": '#include <string>\n#include "../shop.h"\n#include <set>\n',
        "shop.h": guard + '#include <vector>\n#include "src/more.h"\n',
        "src/more.h": '#include <map>\nint x;\n#include "../shop.h"\n#include <list>\n',
    }
    bytes_of = {name: text.encode() for name, text in files.items()}
    assert leading("src/main.cpp", bytes_of) == ("string", "vector", "map")


@pytest.mark.parametrize(
    "header",
    [
        "#ifndef A\n#define B\n#include <vector>\n",
        "#define A\n#include <vector>\n",
        "#ifndef A\n#define A 1\n#include <vector>\n",
    ],
)
def test_a_header_that_begins_with_a_condition_or_a_macro_is_not_read_on(header: str) -> None:
    assert leading("a.cpp", {"a.cpp": b'#include "a.h"\n', "a.h": header.encode()}) == ()


def test_only_the_first_part_of_a_long_file_is_looked_at() -> None:
    assert leading("a.cpp", {"a.cpp": b" \n" * (1 << 20) + b"#include <map>\n"}) == ()
    assert leading("a.cpp", {"a.cpp": b"/*" * (1 << 20)}) == ()


def test_headers_that_include_each_other_are_read_once() -> None:
    files = {"a.cpp": b'#include "a.h"\n', "a.h": b'#include <map>\n#include "b.h"\n', "b.h": b'#include "a.h"\n'}
    assert leading("a.cpp", files) == ("map",)


def test_no_precompiled_header_brings_a_file_that_the_source_does_not_read() -> None:
    """A program that includes less than the header has must not see the rest."""
    assert best(("iostream",), DEFAULT, MADE, CLOSURES) == MADE[1]
    assert best(("vector",), DEFAULT, MADE, CLOSURES) is None
    assert best(("iostream", "algorithm"), DEFAULT, MADE, CLOSURES) == MADE[2]  # algorithm reads vector
    assert best(("string", "bits/stdc++.h"), DEFAULT, MADE, CLOSURES) == MADE[0]


def test_a_precompiled_header_is_for_its_own_flags_only() -> None:
    """g++ crashes on one that was made at another level."""
    assert best(("iostream",), ("-O2", "-std=gnu++20"), MADE, CLOSURES) == MADE[3]
    assert best(("iostream",), ("-O3", "-std=gnu++20"), MADE, CLOSURES) is None
    assert best(("iostream",), ("-O1", "-std=c++17"), MADE, CLOSURES) is None


def test_an_unknown_header_does_no_harm() -> None:
    assert best(("gmpxx.h", "iostream"), DEFAULT, MADE, CLOSURES) == MADE[1]


def test_the_first_include_is_found_precompiled_and_later_ones_are_included_ahead(prepared: Path) -> None:
    first = command("#include <iostream>\n", prepared)
    assert first[first.index("-I") + 1] == "/opt/cpp/1"
    second = command("#include <string>\n#include <iostream>\n", prepared)
    assert second[second.index("-include") + 1] == "/opt/cpp/1/first.h"


@pytest.mark.parametrize("flag", ["-fno-exceptions", "-march=native", "-g", "-O3", "-std=c++17"])
def test_flags_that_change_code_go_without_precompiled_headers(flag: str, prepared: Path) -> None:
    told = command("#include <iostream>\n", prepared, (flag,))
    assert "-I" not in told and "-include" not in told


def test_warnings_macros_and_libraries_keep_them(prepared: Path) -> None:
    told = command("#include <iostream>\n", prepared, ("-Wall", "-DJUDGE", "-pthread", "-lm"))
    assert "-I" in told
    assert told.index("main.cpp") < told.index("-lm")


def test_a_flag_replaces_the_default_that_it_is_about() -> None:
    assert command("", flags=("-O3",))[1:3] == ("-O3", "-std=gnu++20")
    assert command("", flags=("-std=c++17",))[1:3] == ("-O1", "-std=c++17")
    assert command("", flags=("-Wall",))[1:4] == ("-O1", "-std=gnu++20", "-Wall")


def test_one_source_is_compiled_and_linked_at_once() -> None:
    told = command("")
    assert told[0] == "/usr/bin/g++" and "-fuse-ld=mold" in told and "-c" not in told and "-pipe" in told


def test_sources_anywhere_are_compiled_each_as_what_it_is_and_linked() -> None:
    files = {"main.cpp": "", "lib/a b.cc": "", "-x.cxx": "", "half.c": "", "half.h": "", "data.txt": ""}
    *compiling, linking = commands(files)
    assert [(told[0], told[-3]) for told in compiling] == [
        ("/usr/bin/g++", "main.cpp"),
        ("/usr/bin/g++", "lib/a b.cc"),
        ("/usr/bin/g++", "./-x.cxx"),
        ("/usr/bin/gcc", "half.c"),
    ]
    assert "-std=gnu++20" not in compiling[3]
    assert [word for word in linking if word.endswith(".o")] == [told[-1] for told in compiling]


def test_c_alone_is_c_throughout() -> None:
    [told] = commands({"main.c": ""}, flags=("-std=c99", "-O2"), entry="main.c")
    assert told[:3] == ("/usr/bin/gcc", "-O2", "-std=c99") and told[-1] == "-lm"
    *_, linking = commands({"main.c": "", "b.c": ""}, entry="main.c")
    assert linking[0] == "/usr/bin/gcc"


def test_an_entry_with_another_suffix_is_cpp() -> None:
    [told] = commands({"program.txt": ""}, entry="program.txt")
    assert told[told.index("program.txt") - 1] == "c++"


@pytest.mark.parametrize("said", ["12.2.0\n", "9", "13.2"])
def test_a_version_is_numbers(said: str) -> None:
    assert read_version(said) == said.strip()
    assert read_version("g++: error") is None


@pytest.mark.parametrize(
    "flag",
    [
        *("-o", "-o/x", "-I/etc", "-B/x", "-specs=x", "-fplugin=x.so", "-wrapper", "@file", "-xc", "-include", "-L/x"),
        *("-Wl,-plugin,x", "-Wa,-x", "-Wp,-include,/etc/passwd", "-lfoo", "-save-temps", "-fdump-tree-all", "-iquote"),
        *("-imacros", "-isystem/x", "-M", "-MF/x", "-E", "-S", "-c", "--sysroot=/", "-fprofile-use=/x", "-fno-asm,x"),
    ],
)
def test_flags_that_name_files_programs_or_other_flags_are_not_allowed(flag: str) -> None:
    assert not any(fnmatchcase(flag, pattern) for pattern in ALLOWED_FLAGS)


@pytest.mark.parametrize(
    "flag",
    [
        *(
            "-O2",
            "-O3",
            "-Ofast",
            "-std=c++17",
            "-std=gnu++23",
            "-std=c++2a",
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
        ),
        *(
            "-Wlogical-op",
            "-Werror",
            "-Wno-unused",
            "-g",
            "-DONLINE_JUDGE",
            "-lm",
            "-pthread",
            "-march=native",
            "-mavx2",
        ),
        *("-fno-exceptions", "-fsanitize=address", "-static", "-w"),
    ],
)
def test_flags_that_people_use_are_allowed(flag: str) -> None:
    assert any(fnmatchcase(flag, pattern) for pattern in ALLOWED_FLAGS)


def test_every_default_flag_is_one_that_may_be_passed() -> None:
    assert all(any(fnmatchcase(flag, pattern) for pattern in ALLOWED_FLAGS) for flag in DEFAULT)
    assert choose(DEFAULT, default=DEFAULT) == choose((), default=DEFAULT)


def test_an_uncaught_bad_alloc_is_told_from_other_aborts() -> None:
    cpp = Cpp()
    said = b"terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"
    assert cpp.gave_up_for_memory(None, "SIGABRT", said)
    assert cpp.gave_up_for_memory(
        None, "SIGABRT", b"libc++abi: terminating due to uncaught exception of type std::bad_alloc: x"
    )
    assert not cpp.gave_up_for_memory(None, "SIGABRT", said.replace(b"bad_alloc", b"logic_error"))
    assert not cpp.gave_up_for_memory(134, None, said)
