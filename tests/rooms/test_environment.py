"""What ``env`` sets reaches the interpreter's own start, and never the compiler."""

from __future__ import annotations

import pytest

from jobs.states import Verdict
from tests.sandboxes import Sandboxes


@pytest.mark.parametrize(
    ("language", "env", "code", "stdout"),
    [
        ("python", {"PYTHONHASHSEED": "0"}, "import sys\nprint(sys.flags.hash_randomization, hash('a'))", None),
        ("python", {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
         "import sys; print(sys.stdout.encoding)", b"iso8859-1\n"),
        ("python", {"PYTHONOPTIMIZE": "1"}, "assert False\nprint(__debug__)", b"False\n"),
        ("python", {"PYTHONPATH": "/tmp/x"}, "import sys; print('/tmp/x' in sys.path)", b"True\n"),
        ("python", {"PYTHONUNBUFFERED": "1"}, "import os\nprint('kept')\nos._exit(0)", b"kept\n"),
        ("python", {"TZ": "Asia/Tokyo"}, "import time; print(time.localtime(0).tm_hour)", b"9\n"),
        ("python", {"LANG": "C", "LC_ALL": "C"}, "import os; print(os.environ['LC_ALL'])", b"C\n"),
        ("python", {"A": "1"}, "import os, subprocess\nprint(subprocess.check_output(['sh', '-c', 'echo $A'])[:1])",
         b"b'1'\n"),
        ("javascript", {"NODE_OPTIONS": "--stack-trace-limit=1"}, "console.log(Error.stackTraceLimit)", b"1\n"),
        ("javascript", {"TZ": "Asia/Tokyo"}, "console.log(new Date(0).getHours())", b"9\n"),
        ("javascript", {"NODE_DEBUG": "x"}, "console.log(process.env.NODE_DEBUG)", b"x\n"),
        ("java", {"JAVA_TOOL_OPTIONS": "-Dcolour=blue"},
         'class A { public static void main(String[] a) { System.out.println(System.getProperty("colour")); } }',
         b"blue\n"),
        ("java", {"TZ": "Asia/Tokyo"},
         "class A { public static void main(String[] a) {"
         " System.out.println(new java.util.Date(0).getHours()); } }", b"9\n"),
        ("go", {"GOMAXPROCS": "3"},
         'package main\nimport ("fmt"; "runtime")\nfunc main() { fmt.Println(runtime.GOMAXPROCS(0)) }', b"3\n"),
        ("go", {"TZ": "Asia/Tokyo"},
         'package main\nimport ("fmt"; "time")\nfunc main() { fmt.Println(time.Unix(0, 0).Hour()) }', b"9\n"),
        ("cpp", {"TZ": "Asia/Tokyo"},
         '#include <ctime>\n#include <cstdio>\nint main() { time_t t = 0; printf("%d\\n", localtime(&t)->tm_hour); }',
         b"9\n"),
        ("rust", {"RUST_BACKTRACE": "1"},
         'fn main() { println!("{}", std::backtrace::Backtrace::capture().status() == '
         "std::backtrace::BacktraceStatus::Captured); }", b"true\n"),
    ],
)  # fmt: skip
def test_it_reaches_the_start(
    sandboxes: Sandboxes, language: str, env: dict[str, str], code: str, stdout: bytes | None
) -> None:
    result = sandboxes.run(language, code, env=env)
    assert result.verdict is Verdict.OK, (result.stderr, result.compile)
    if stdout is None:
        again = sandboxes.run(language, code, env=env)
        assert again.stdout == result.stdout
    else:
        assert result.stdout == stdout


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("go", 'package main\nfunc main() { print("") }'),
        ("cpp", "int main() {}"),
        ("rust", "fn main() {}"),
        ("java", "class A { public static void main(String[] a) {} }"),
    ],
)
def test_it_does_not_reach_the_compiler(sandboxes: Sandboxes, language: str, code: str) -> None:
    env = dict.fromkeys(("GOROOT", "CPLUS_INCLUDE_PATH", "GCC_EXEC_PREFIX", "COMPILER_PATH", "CARGO_HOME"), "/nowhere")
    env |= dict.fromkeys(("GOFLAGS", "RUSTFLAGS", "JDK_JAVAC_OPTIONS"), "--nonsense")
    env |= {"GOARCH": "none", "CGO_ENABLED": "1", "LIBRARY_PATH": "/nowhere", "CLASSPATH": "/nowhere"}
    code += f"\n// not seen before: {sorted(env)}"
    result = sandboxes.run(language, code, env=env)
    assert result.verdict is Verdict.OK, (result.stderr, result.compile)
    assert result.compile is not None and result.compile.stdout + result.compile.stderr == b""


def test_a_path_of_its_own_does_not_keep_python_from_starting(sandboxes: Sandboxes) -> None:
    result = sandboxes.run(
        "python", "import os; print(os.environ['PATH'], os.environ['HOME'])", env={"PATH": "", "HOME": ""}
    )
    assert result.stdout == b" \n"
