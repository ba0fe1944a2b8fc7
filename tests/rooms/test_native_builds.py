"""Go, C++ and Rust in real sandboxes: what is compiled in the quick way behaves as a person's own compiler has it."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.result import Result
from jobs.states import Verdict
from tests.sandboxes import Sandboxes

GO_MODULE = {
    "main.go": 'package main\n\nimport "example.org/lesson/greet"\n\nfunc main() { println(greet.Hello()) }\n',
    "go.mod": "module example.org/lesson\n\ngo 1.21\n",
    "greet/greet.go": 'package greet\n\nfunc Hello() string { return "hello" }\n',
}


def complaint(result: Result) -> str:
    assert result.verdict is Verdict.COMPILE_ERROR and result.compile is not None
    return result.compile.stderr.decode()


def ran(result: Result) -> tuple[bytes, bytes]:
    said = result.compile.stderr if result.compile else b""
    assert result.verdict is Verdict.OK, (result.verdict, result.message, said, result.stderr)
    return result.stdout, result.stderr


@pytest.mark.parametrize(
    ("files", "printed"),
    [
        (
            {
                "main.go": "package main\n\nfunc main() { half() }\n",
                "é b.go": 'package main\n\nfunc half() { println("2") }\n',
            },
            b"2\n",
        ),
        ({"-x.go": 'package main\n\nfunc main() { println("x") }\n'}, b"x\n"),
        (GO_MODULE, b"hello\n"),
        ({name: text.replace("example.org/", "") for name, text in GO_MODULE.items() if name != "go.mod"}, b"hello\n"),
        (
            {
                "main.go": 'package main\n\nimport _ "embed"\n\n//go:embed a.txt\nvar a string\n\n'
                "func main() { print(a) }\n",
                "a.txt": "inside\n",
            },
            b"inside\n",
        ),
    ],
)
def test_go_packages_of_every_kind_are_built(sandboxes: Sandboxes, files: dict[str, str], printed: bytes) -> None:
    assert ran(sandboxes.run("go", files=files))[1] == printed


CALLS_C = 'package main\n\n// int two(void) { return 2; }\nimport "C"\n\nfunc main() { println(C.two()) }\n'


def test_go_that_calls_c_is_built(sandboxes: Sandboxes) -> None:
    assert ran(sandboxes.run("go", CALLS_C))[1] == b"2\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("package main\n\nfunc main() { x := 1 }\n", "./main.go:3:15: declared and not used: x"),
        ("", "main.go:1:1: expected 'package'"),
        ("package shop\n", "main package"),
        ("package main\n", "function main is undeclared"),
        (
            'package main\n\nimport "internal/abi"\n\nfunc main() { abi.X() }\n',
            "use of internal package internal/abi not allowed",
        ),
        ('package main\n\nimport "example.org/x"\n\nfunc main() { x.X() }\n', "no required module provides package"),
    ],
)
def test_go_faults_are_told_in_its_own_words(sandboxes: Sandboxes, code: str, said: str) -> None:
    assert said in complaint(sandboxes.run("go", code))


def test_a_go_panic_names_the_line(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("go", "package main\n\nfunc main() {\n\tvar a []int\n\t_ = a[3]\n}\n")
    assert (result.verdict, result.exit_code) == (Verdict.NONZERO_EXIT, 2)
    assert b"/workspace/main.go:5 " in result.stderr


BITS = "#include <bits/stdc++.h>\nusing namespace std;\n"


@pytest.mark.parametrize(
    ("source", "flags", "printed"),
    [
        (
            BITS + 'int main() { map<string, int> m{{"a", 1}}; for (auto& [k, v] : m) cout << k << v << endl; }\n',
            None,
            b"a1\n",
        ),
        (
            BITS + 'int main() { cout << regex_match("aab", regex("a+b")) << mt19937(1)() << endl; }\n',
            None,
            b"11791095845\n",
        ),
        (BITS + 'int main() { jthread t([] { puts("t"); }); }\n', ("-O2", "-pthread", "-Wall"), b"t\n"),
        (BITS + "int main() { cout << N << endl; }\n", ("-DN=5",), b"5\n"),
        (BITS + "int main() { cout << __cplusplus << endl; }\n", ("-O2", "-std=c++17"), b"201703\n"),
        (
            "#include <iostream>\nusing namespace std;\nint count, sort, hash;\nint main() { cout << count + sort; }\n",
            None,
            b"0",
        ),
        ("#define vector list\n#include <iostream>\nint main() { int vector = 1; std::cout << list; }\n", None, b"1"),
        (
            "#include <string>\n#include <iostream>\nint main() { std::cout << __LINE__ << __FILE__; }\n",
            None,
            b"3main.cpp",
        ),
    ],
)
def test_precompiled_headers_change_nothing(
    sandboxes: Sandboxes, source: str, flags: tuple[str, ...] | None, printed: bytes
) -> None:
    assert ran(sandboxes.run("cpp", source, compile_flags=flags))[0] == printed


def test_headers_that_a_program_did_not_include_stay_unknown(sandboxes: Sandboxes) -> None:
    said = complaint(
        sandboxes.run("cpp", "#include <iostream>\nint main() { std::vector<int> v; std::sort(&v, &v); }\n")
    )
    assert "main.cpp:2:19: error: ‘vector’ is not a member of ‘std’" in said


def test_cpp_and_c_files_anywhere_are_linked_with_headers_from_the_folder(sandboxes: Sandboxes) -> None:
    files = {
        "main.cpp": '#include <iostream>\n#include <mine.hpp>\n#include "lib/half.h"\n#include <vector>\n'
        "int main() { std::cout << half(42) << mine() << std::vector<int>{7}[0]; }\n",
        "mine.hpp": "inline int mine() { return 1; }\n",
        "vector": "#error not this one\n",
        "lib/half.h": '#ifdef __cplusplus\nextern "C"\n#endif\nint half(int);\n',
        "lib/ha lf.c": '#include "half.h"\nint half(int class) { return class / 2; }\n',
        "-O.cc": "int other;\n",
        "@more.cxx": "int more;\n",
    }
    assert ran(sandboxes.run("cpp", files=files))[0] == b"2117"


def test_a_project_with_a_header_that_includes_the_libraries_is_one_program(sandboxes: Sandboxes) -> None:
    files = {
        "src/main.cpp": '#include "shop.hpp"\n#include <cstdio>\nint main() { std::puts(all()[0].c_str()); }\n',
        "src/shop.hpp": "#ifndef SHOP\n#define SHOP\n#include <string>\n#include <iostream>\n#include <vector>\n"
        "std::vector<std::string> all();\n#endif\n",
        "src/shop.cpp": '#include "shop.hpp"\nstd::vector<std::string> all() { return {"pen"}; }\n',
    }
    assert ran(sandboxes.run("cpp", files=files))[0] == b"pen\n"


def test_what_a_beginner_sees_of_a_failed_assertion_and_of_missing_memory(sandboxes: Sandboxes) -> None:
    failed = sandboxes.run("cpp", '#include <cassert>\nint main(int argc, char**) { assert(argc > 9 && "too few"); }\n')
    assert (failed.signal, failed.verdict) == ("SIGABRT", Verdict.SIGNALLED) and b"main.cpp:2" in failed.stderr
    greedy = (
        "#include <vector>\nint main() { std::vector<std::vector<char>> v; for (;;) v.emplace_back(1 << 24, 1); }\n"
    )
    assert sandboxes.run("cpp", greedy, memory_mb=64).verdict is Verdict.MEMORY_LIMIT


RUST: list[tuple[dict[str, Any], bytes]] = [
    (
        {"code": 'fn main() { println!("{:?}", std::env::args().skip(1).collect::<Vec<_>>()); }', "args": ("a b", "")},
        b'["a b", ""]\n',
    ),
    (
        {
            "files": {
                "src/main.rs": 'mod shop;\nfn main() { println!("{}", shop::prices::ALL); }\n',
                "src/shop/mod.rs": "pub mod prices;\n",
                "src/shop/prices.rs": "pub const ALL: u8 = 3;\n",
                "Cargo.toml": '[package]\nname = "shop"\nedition = "2024"\n',
            },
            "entry": "src/main.rs",
        },
        b"3\n",
    ),
    ({"files": {"-é 1.rs": 'fn main() { println!("{}", module_path!()); }'}}, b"main\n"),
    ({"code": 'fn main() { println!("p"); }', "compile_flags": ("-C", "panic=abort", "-O")}, b"p\n"),
]


@pytest.mark.parametrize(("fields", "printed"), RUST)
def test_rust_crates_of_several_shapes_are_built(sandboxes: Sandboxes, fields: dict[str, Any], printed: bytes) -> None:
    assert ran(sandboxes.run("rust", **fields))[0] == printed


def test_a_rust_overflow_panics_and_names_the_line(sandboxes: Sandboxes) -> None:
    code = 'fn main() {\n    let n = std::env::args().count() as u8 + 254;\n    println!("{}", n + 1);\n}\n'
    result = sandboxes.run("rust", code)
    assert result.exit_code == 101 and b"main.rs:3:20:\nattempt to add with overflow" in result.stderr


def test_a_rust_allocator_that_gives_up_is_out_of_memory(sandboxes: Sandboxes) -> None:
    code = 'fn main() { let v = vec![1u8; 1 << 45]; println!("{}", v.len()); }\n'
    assert sandboxes.run("rust", code).verdict is Verdict.MEMORY_LIMIT


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("go", "package main\n\nfunc main() { println(1) }\n"),
        ("cpp", "#include <iostream>\nint main() { std::cout << 1; }\n"),
        ("rust", 'fn main() { println!("1"); }\n'),
    ],
)
def test_the_least_memory_is_enough_to_start(sandboxes: Sandboxes, language: str, code: str) -> None:
    ran(sandboxes.run(language, code, memory_mb=64))
