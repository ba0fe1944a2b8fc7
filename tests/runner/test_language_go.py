"""Go: reading the heads of files, and when its tools are called without ``go build``."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.languages import Language
from jobs.submission import SourceFile
from runner.languages.contract import Build, Installation, Sources
from runner.languages.go import Go, header, support
from runner.languages.go.plan import Direct, Whole, plan
from runner.languages.go.toolchains import imported, is_public

STANDARD = frozenset({"fmt", "os", "strings", "runtime/debug", "embed"})
HELLO = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n'
DETAILS = {"language_version": "1.26", "tools": "/tools"}


def sources(files: dict[str, str], entry: str = "main.go") -> Sources:
    return Sources(
        files=tuple(SourceFile(name=name, content=text.encode()) for name, text in files.items()), entry=entry
    )


def way(files: dict[str, str], entry: str = "main.go") -> Direct | Whole:
    return plan(sources(files, entry), standard=STANDARD, language_version="1.26")


@pytest.mark.parametrize(
    ("text", "package", "imports"),
    [
        (HELLO, "main", ("fmt",)),
        ('// a\n/* b\n */ package main; import ("fmt"; os `os`)\n', "main", ("fmt", "os")),
        (
            'package main\nimport (\n\t. "fmt" // dot\n\n\t_ "os"\n)\nimport "strings"\nvar x = 1',
            "main",
            ("fmt", "os", "strings"),
        ),
        ("\ufeffpackage foo", "foo", ()),
        ("package main\nimport ()\nfunc main() {}", "main", ()),
    ],
)
def test_the_head_of_a_file_is_read(text: str, package: str, imports: tuple[str, ...]) -> None:
    assert header.read(text) == header.Header(package=package, imports=imports)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "// to do\n",
        "func main() {}",
        "package",
        'package main import "fmt"',
        'package main\nimport "fmt',
        "package main\nimport fmt\n",
    ],
)
def test_what_is_no_go_file_is_left_to_go(text: str) -> None:
    assert header.read(text) is None


def test_a_file_of_nothing_but_imports_is_left_to_go() -> None:
    assert header.read("package main\nimport (\n" + '"os"\n' * 100_000 + ")\n") is None
    assert header.read("package main\n" + 'import "os"\n' * 100_000) is None


@given(st.text(alphabet=st.sampled_from('package main import"()`;/*\n\t_.é'), max_size=60))
def test_no_text_upsets_the_reader(text: str) -> None:
    """Whatever it is, it is read or it is not."""
    found = header.read(text)
    assert found is None or found.package.isidentifier()


def test_a_plain_program_is_built_directly() -> None:
    assert way({"main.go": HELLO}) == Direct(files=("main.go",))


def test_all_files_beside_the_entry_are_its_package_but_for_tests_and_hidden_ones() -> None:
    part = "package main\n"
    files = {
        "main.go": HELLO,
        "b.go": part,
        "b_test.go": "package main_test\n",
        "_c.go": "no",
        "sub/d.go": "package sub\n",
    }
    assert way(files) == Direct(files=("b.go", "main.go"))


def test_an_entry_in_a_folder_has_that_folder_for_its_package() -> None:
    files = {"main.go": HELLO, "cmd/app/run.go": HELLO, "cmd/app/more.go": "package main\n"}
    assert way(files, entry="cmd/app/run.go") == Direct(files=("cmd/app/more.go", "cmd/app/run.go"))


@pytest.mark.parametrize(
    "files",
    [
        {"main.go": HELLO.replace("fmt", "example.org/x")},
        {"main.go": HELLO.replace('"fmt"', '"internal/abi"')},
        {"main.go": HELLO.replace('"fmt"', '"C"')},
        {"main.go": HELLO.replace('"fmt"', '"runtime/debug"')},
        {"main.go": HELLO + "//go:embed data.txt\nvar data string\n"},
        {"main.go": "//go:build linux\n\n" + HELLO},
        {"main.go": HELLO, "other_windows.go": "package main\n"},
        {"main.go": HELLO, "add_amd64.s": "TEXT"},
        {"main.go": HELLO, "half.c": "int half;"},
        {"main.go": HELLO, "other.go": "package other\n"},
        {"main.go": "package shop\n"},
        {"main.go": ""},
        {"main.go": HELLO, "go.mod": "module a\n\ngo 1.21\n"},
        {"main.go": HELLO, "go.mod": "module a\n"},
        {"main.go": HELLO, "go.mod": "module a\n\ngo 1.26\n\nrequire b v1.0.0\n"},
        {"main.go": HELLO, "go.work": "go 1.26\n"},
        {"main.go": HELLO, "default.pgo": ""},
    ],
)
def test_whatever_is_not_plain_is_built_by_go_itself(files: dict[str, str]) -> None:
    """So that constraints, versions, modules and faults are Go's own business."""
    assert isinstance(way(files), Whole)


def test_a_module_that_asks_for_nothing_special_is_plain() -> None:
    assert isinstance(way({"main.go": HELLO, "go.mod": "module a\n\ngo 1.26.3\n"}), Direct)


def test_a_module_sent_along_is_built_where_it_lies() -> None:
    files = {"app/cmd/main.go": HELLO, "app/go.mod": "module app\n\ngo 1.20\n", "app/util/u.go": "package util\n"}
    assert way(files, entry="app/cmd/main.go") == Whole(root="app", target="./cmd")


def test_a_module_is_made_under_the_name_by_which_its_packages_are_imported() -> None:
    files = {"main.go": 'package main\n\nimport "shop/prices"\n', "prices/p.go": "package prices\n"}
    assert way(files) == Whole(root=".", target=".", made_module="shop")
    assert way({"main.go": 'package main\nimport "nowhere"\n'}) == Whole(root=".", target=".", made_module="play")


def test_a_file_that_go_would_leave_out_is_built_alone_when_it_is_the_entry() -> None:
    found = way({"main.go": "//go:build ignore\n\n" + HELLO, "other.go": "package other\n"})
    assert found == Whole(root=".", target="./main.go", made_module="play")


def build(files: dict[str, str], flags: tuple[str, ...] | None = None) -> Build:
    installation = Installation(language=Language.GO, version="1.26.8", details=DETAILS)
    return Go().build(installation, sources(files), flags)


def test_before_it_is_prepared_everything_is_built_by_go() -> None:
    assert "/usr/local/go/bin/go" in build({"main.go": HELLO}).commands[-1]


def test_a_direct_build_compiles_and_links_with_words_on_standard_error() -> None:
    found = support.direct_build(Direct(files=("main.go", "sub/b.go", "-c.go")), tools="/tools", lang="1.26")
    [(shell, _, script, _, *files)] = found.commands
    assert (shell, files) == ("/bin/sh", ["./main.go", "sub/b.go", "./-c.go"])
    compiling, linking = script.split(" && exec ")
    assert compiling.endswith('"$@" >&2') and "-lang=go1.26" in compiling
    assert linking.startswith("/tools/link ")


def test_go_build_fetches_nothing_and_uses_what_was_compiled_ahead() -> None:
    found = support.whole_build(Whole(root=".", target=".", made_module="play"), ("-tags=x",), lang="1.26")
    assert (
        found.env["GOPROXY"] == "off"
        and found.env["GOTOOLCHAIN"] == "local"
        and found.env["GOCACHE"] == "/opt/go/cache"
    )
    assert found.commands[0][-2:] == ("play", "1.26")
    assert "-tags=x" in found.commands[1]
    assert "GOMAXPROCS" not in found.env


def test_c_is_compiled_only_where_it_is_used() -> None:
    with_c = build({"main.go": HELLO.replace('"fmt"', '"C"')})
    assert (with_c.env["CGO_ENABLED"], build({"main.go": ""}).env["CGO_ENABLED"]) == ("1", "0")


@pytest.mark.parametrize(
    ("package", "public"),
    [("net/http", True), ("internal/abi", False), ("net/internal/x", False), ("vendor/a/b", False)],
)
def test_what_programs_may_import(package: str, public: bool) -> None:
    assert is_public(imported(f"packagefile {package}=/opt/go/cache/aa/aa-d")) is public


@pytest.mark.parametrize(
    "flag", ["-o", "-toolexec=/bin/sh", "-overlay=x", "-ldflags=-extld=/bin/sh", "-C", "-modfile=x", "-exec=x"]
)
def test_flags_that_name_files_or_programs_are_not_allowed(flag: str) -> None:
    assert not any(fnmatchcase(flag, pattern) for pattern in support.ALLOWED_FLAGS)


def test_a_runtime_without_memory_is_told_from_other_fatal_errors() -> None:
    go = Go()
    assert go.gave_up_for_memory(2, None, b"fatal error: runtime: out of memory\n\nruntime stack:\n")
    assert go.gave_up_for_memory(
        2, None, b"runtime: out of memory: cannot allocate 8-byte block (1 in use)\nfatal error: out of memory\n"
    )
    assert not go.gave_up_for_memory(2, None, b"fatal error: all goroutines are asleep - deadlock!\n")
    assert not go.gave_up_for_memory(1, None, b"fatal error: runtime: out of memory\n")
