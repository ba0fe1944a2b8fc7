# ruff: noqa: E501  # a program is easier to read as it is than broken over lines
"""Attacks by source code: a compiler is a program that runs what a stranger wrote, and it sits in the same room."""

from __future__ import annotations

import pytest

from jobs.states import Verdict
from tests.hostile.conftest import Attack

REACHES = [
    pytest.param("cpp", '#include "/etc/shadow"\nint main() {}', id="a file of the host included"),
    pytest.param("cpp", '#include "/proc/1/environ"\nint main() {}', id="the environment of init included"),
    pytest.param("cpp", '#include "/root/.bash_history"\nint main() {}', id="a home included"),
    pytest.param("cpp", '#include </dev/zero>\nint main() {}', id="an endless file included"),
    pytest.param("cpp", '#include </dev/stdin>\nint main() {}', id="standard input included"),
    pytest.param("cpp", '#include <main.cpp>\n#include "main.cpp"\nint main() {}', id="itself included"),
    pytest.param("cpp", 'asm(".incbin \\"/etc/shadow\\"");\nint main() {}', id="a file assembled"),
    pytest.param("cpp", 'asm(".incbin \\"/dev/zero\\"");\nint main() {}', id="an endless file assembled"),
    pytest.param("cpp", 'asm(".rept 2000000000\\n.quad 1\\n.endr");\nint main() {}', id="an assembler's loop"),
    pytest.param("cpp", "#define A B B B B B B B B B B\n#define B C C C C C C C C C C\n#define C D D D D D D D D D D\n"
                 "#define D E E E E E E E E E E\n#define E F F F F F F F F F F\n#define F G G G G G G G G G G\n"
                 "#define G H H H H H H H H H H\n#define H 1+1+1+1+\nint main() { return A A A 0; }", id="a bomb of macros"),
    pytest.param("cpp", "template <class T> struct X { X<X<T>*> x; };\nint main() { X<int> x; }", id="endless templates"),
    pytest.param("cpp", "template <class... T> struct P {};\ntemplate <class A, int N> struct D { using t = typename D<P<A, A>, N - 1>::t; };\n"
                 "template <class A> struct D<A, 0> { using t = A; };\ntypename D<int, 60>::t x;\nint main() { throw x; }", id="huge types"),
    pytest.param("cpp", "constexpr int f(int n) { return n ? f(n - 1) + f(n - 1) : 1; }\nconstexpr int x = f(60);\nint main() {}", id="endless constants"),
    pytest.param("cpp", "int a[1 << 30] = {1};\nint main() { return a[7]; }", id="a huge array"),
    pytest.param("cpp", "int main() {" + "{" * 30_000 + "}" * 30_000 + "}", id="deep blocks"),
    pytest.param("cpp", "int x = " + "(" * 100_000 + "1" + ")" * 100_000 + ";\nint main() {}", id="deep brackets"),
    pytest.param("cpp", "#error " + "x" * 2_000_000 + "\nint main() {}", id="a huge complaint"),
    pytest.param("cpp", "#pragma GCC plugin \"/tmp/x.so\"\nint main() {}", id="a plug-in asked for"),
    pytest.param("cpp", "__attribute__((constructor)) void f() { for (;;); }\nint main() {}", id="a loop before main"),
    pytest.param("rust", 'const S: &str = include_str!("/etc/shadow");\nfn main() { print!("{S}"); }', id="rust: a file of the host"),
    pytest.param("rust", 'const S: &[u8] = include_bytes!("/dev/zero");\nfn main() { print!("{}", S.len()); }', id="rust: an endless file"),
    pytest.param("rust", 'include!("/proc/self/environ");\nfn main() {}', id="rust: an environment"),
    pytest.param("rust", 'fn main() { println!("{:?}", option_env!("NATS_URL")); println!(env!("SECRET")); }', id="rust: a variable"),
    pytest.param("rust", "#[path = \"/etc/passwd\"]\nmod x;\nfn main() {}", id="rust: a module elsewhere"),
    pytest.param("rust", "#![allow(long_running_const_eval)]\nconst X: u8 = { loop {} };\nfn main() { println!(\"{X}\"); }", id="rust: an endless constant"),
    pytest.param("rust", "macro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)*) } }\nfn main() { m!(a b c) }", id="rust: a bomb of macros"),
    pytest.param("rust", "#![recursion_limit = \"100000000\"]\nstruct S<T>(T);\nfn f<T>(t: T) { f(S(t)) }\nfn main() { f(1) }", id="rust: endless types"),
    pytest.param("rust", "static A: [u8; 1 << 32] = [1; 1 << 32];\nfn main() { println!(\"{}\", A[7]); }", id="rust: a huge array"),
    pytest.param("rust", "#![feature(asm)]\ncore::arch::global_asm!(\".incbin \\\"/etc/shadow\\\"\");\nfn main() {}", id="rust: a file assembled"),
    pytest.param("rust", "fn main() { let x = " + "(" * 50_000 + "1" + ")" * 50_000 + "; }", id="rust: deep brackets"),
    pytest.param("go", 'package main\nimport _ "embed"\n//go:embed ../../etc/shadow\nvar s string\nfunc main() { print(s) }', id="go: a file elsewhere"),
    pytest.param("go", 'package main\nimport _ "embed"\n//go:embed /etc/passwd\nvar s string\nfunc main() { print(s) }', id="go: an absolute file"),
    pytest.param("go", 'package main\n// #cgo CFLAGS: -fplugin=/tmp/x.so\n// #cgo LDFLAGS: -Wl,-T,/etc/passwd\n// int f() { return 1; }\nimport "C"\nfunc main() { print(C.f()) }', id="go: flags for C"),
    pytest.param("go", 'package main\n//go:generate sh -c "cat /etc/shadow"\nfunc main() { println("x") }', id="go: a command to generate"),
    pytest.param("go", "package main\nconst a = 1 << 100000000\nfunc main() { println(a >> 99999999) }", id="go: a giant constant"),
    pytest.param("go", "package main\nvar a [1 << 40]byte\nfunc main() { println(a[7]) }", id="go: a huge array"),
    pytest.param("go", "package main\ntype A struct { b [1 << 20]B }\ntype B struct { c [1 << 20]A }\nfunc main() { var a A; println(a) }", id="go: a type in itself"),
    pytest.param("go", "package main\nfunc main() { x := " + "(" * 100_000 + "1" + ")" * 100_000 + "; _ = x }", id="go: deep brackets"),
    pytest.param("go", "package main\n//line /etc/passwd:1\nfunc main() { undefined() }", id="go: a line elsewhere"),
    pytest.param("java", "public class A { static final String S = " + '"x" + ' * 8_000 + '"x"; public static void main(String[] a) {} }', id="java: a long constant"),
    pytest.param("java", "class A { int x = " + "(" * 20_000 + "1" + ")" * 20_000 + "; public static void main(String[] a) {} }", id="java: deep brackets"),
    pytest.param("java", "class A<T extends A<? super A<? super A<? super T>>>> { public static void main(String[] a) { A<? super A> x = (A<? super A<?>>) null; } }", id="java: types in themselves"),
    pytest.param("java", "class A { public static void main(String[] a) { } static { while (true); } }", id="java: a loop before main"),
    pytest.param("java", "@interface X {} @X class A { \\u000a public static void main(String[] a) { System.out.println(1); } }", id="java: escapes"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "code"), REACHES)
def test_source_that_reaches_or_bursts(attack: Attack, language: str, code: str) -> None:
    result = attack(code, language, compile_seconds=1.0)
    said = result.stdout + result.stderr
    if result.compile is not None:
        said += result.compile.stdout + result.compile.stderr
        assert len(result.compile.stderr) <= 1 << 16
        assert (result.timeline.compile_ms or 0) < 3500
    assert b"root:" not in said.replace(b"runner:/workspace", b"") or b"nologin" in said, "a file of the host"
    assert b"root:$" not in said and b"nats://" not in said and b"YURT_" not in said


def test_an_annotation_processor_that_is_sent_along(attack: Attack) -> None:
    files = {
        "Main.java": "public class Main { public static void main(String[] a) { System.out.println(1); } }",
        "META-INF/services/javax.annotation.processing.Processor": "Evil",
        "Evil.java": "import javax.annotation.processing.*; import javax.lang.model.element.*; import java.util.*;\n"
        '@SupportedAnnotationTypes("*") public class Evil extends AbstractProcessor {\n'
        " public boolean process(Set<? extends TypeElement> s, RoundEnvironment r) { while (true); } }",
    }
    result = attack(None, "java", files=files, entry="Main.java", compile_seconds=3.0)
    assert result.verdict in (Verdict.OK, Verdict.COMPILE_ERROR)


def test_a_compiler_that_is_flooded_says_little(attack: Attack) -> None:
    code = "int main() {" + "\n".join(f"undefined_{n} x{n};" for n in range(20_000)) + "}"
    result = attack(code, "cpp", compile_seconds=3.0)
    assert result.verdict is Verdict.COMPILE_ERROR and result.compile is not None
    assert len(result.compile.stderr) + len(result.compile.stdout) <= 1 << 17


@pytest.mark.parametrize(
    "name", ["-o.cpp", "@x.cpp", "a b.cpp", "'.cpp", "$(id).cpp", "-fplugin=x.cpp", "é.cpp", "%s.cpp"]
)
def test_names_that_a_tool_could_take_for_options(attack: Attack, name: str) -> None:
    result = attack(None, "cpp", files={name: '#include <cstdio>\nint main() { puts("fine"); }'}, entry=name)
    assert result.stdout == b"fine\n", result.compile


def test_sources_that_would_replace_the_toolchain(attack: Attack) -> None:
    """Files named like those of the build do not change it."""
    files = {
        "main.cpp": '#include <cstdio>\nint main() { puts("mine"); }',
        "program": "x",
        "a.out": "x",
        "main.o": "x",
        "Makefile": "all:",
    }
    assert attack(None, "cpp", files=files, entry="main.cpp").stdout == b"mine\n"
    files = {
        "main.go": 'package main\nfunc main() { println("mine") }',
        "go.work": "use /etc",
        "vendor/x/x.go": "package x",
        "go.mod": "module m\n\nreplace x => /etc\n",
    }
    assert attack(None, "go", files=files, entry="main.go").stderr in (b"mine\n", b"")
    files = {
        "main.rs": 'fn main() { println!("mine") }',
        ".cargo/config.toml": "[build]\nrustc = '/bin/false'",
        "build.rs": "fn main() { loop {} }",
        "Cargo.toml": "x",
        "rust-toolchain": "x",
    }
    assert attack(None, "rust", files=files, entry="main.rs").stdout == b"mine\n"
    files = {
        "main.js": "console.log('mine')",
        ".npmrc": "x",
        "node_modules/fs/index.js": "throw 1",
        "package.json": '{"main": "x"}',
    }
    assert attack(None, "javascript", files=files, entry="main.js").stdout == b"mine\n"
