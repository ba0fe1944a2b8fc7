"""Files are brought back by glob: regular ones only, whatever the verdict, bounded."""

from __future__ import annotations

import pytest

from jobs.limits import MIB, OUTPUT_FILES
from jobs.result import Result
from jobs.states import Verdict
from tests.sandboxes import Sandboxes

TREE = """
import os
for name in ("a.txt", "b.txt", ".hidden.txt", "sub/c.txt", "sub/deep/d.txt", "sub/.dot/e.txt", ".top/f.txt", "g.bin"):
    if "/" in name: os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w") as file: file.write(name)
open("/tmp/out.txt", "w").write("tmp")
"""


def _names(result: Result) -> list[str]:
    assert result.files is not None
    return sorted(file.name for file in result.files)


@pytest.mark.parametrize(
    ("globs", "names"),
    [
        (("*.txt",), ["a.txt", "b.txt"]),
        (("*",), ["a.txt", "b.txt", "g.bin", "main.py"]),
        (("**",), ["a.txt", "b.txt", "g.bin", "main.py", "sub/c.txt", "sub/deep/d.txt"]),
        (("**/*.txt",), ["a.txt", "b.txt", "sub/c.txt", "sub/deep/d.txt"]),
        (("sub/*",), ["sub/c.txt"]),
        (("sub/**",), ["sub/c.txt", "sub/deep/d.txt"]),
        (("*/*/d.txt",), ["sub/deep/d.txt"]),
        ((".hidden.txt",), [".hidden.txt"]),
        ((".*",), [".hidden.txt"]),
        (("sub/.dot/*",), ["sub/.dot/e.txt"]),
        (("?.txt",), ["a.txt", "b.txt"]),
        (("[ac].txt",), ["a.txt"]),
        (("[!a].txt",), ["b.txt"]),
        (("a.txt", "a.*", "*.txt"), ["a.txt", "b.txt"]),
        (("none*",), []),
        (("./a.txt",), ["a.txt"]),
        (("/tmp/*.txt",), ["/tmp/out.txt"]),
        (("/workspace/g.bin",), ["g.bin"]),
        (("(a|b).txt", "a.txt$", "a\\.txt"), []),
        (("../workspace/a.txt", "sub/../a.txt"), []),
        (("[", "a[", "[]", "[z-a].txt", "[]b].tx", "[a-"), []),
    ],
)
def test_a_glob_finds(sandboxes: Sandboxes, globs: tuple[str, ...], names: list[str]) -> None:
    found = _names(sandboxes.run("python", TREE, outputs=globs))
    assert found == names


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        ("raise SystemExit(3)", Verdict.NONZERO_EXIT),
        ("import os; os.abort()", Verdict.SIGNALLED),
        ("import time; time.sleep(30)", Verdict.TIME_LIMIT),
        ("x = []\nwhile True: x.append(b'x' * (1 << 20))", Verdict.MEMORY_LIMIT),
        ("while True: print('x' * 1000)", Verdict.OUTPUT_LIMIT),
    ],
)
def test_whatever_the_verdict(sandboxes: Sandboxes, end: str, verdict: Verdict) -> None:
    code = f"f = open('kept.txt', 'w')\nf.write('here')\nf.flush()\n{end}\n"
    result = sandboxes.run("python", code, outputs=("kept.txt",), timeout_s=1.0, memory_mb=96)
    assert (result.verdict, _names(result)) == (verdict, ["kept.txt"])


WRITES = {
    "python": "open('o.txt', 'w').write('w')",
    "javascript": "require('fs').writeFileSync('o.txt', 'w')",
    "java": "class A { public static void main(String[] a) throws Exception {"
    ' java.nio.file.Files.writeString(java.nio.file.Path.of("o.txt"), "w"); } }',
    "go": 'package main\nimport "os"\nfunc main() { os.WriteFile("o.txt", []byte("w"), 0o600) }',
    "cpp": '#include <fstream>\nint main() { std::ofstream("o.txt") << "w"; }',
    "rust": 'fn main() { std::fs::write("o.txt", "w").unwrap(); }',
}


@pytest.mark.parametrize("language", WRITES)
def test_every_language_writes_files(sandboxes: Sandboxes, language: str) -> None:
    result = sandboxes.run(language, WRITES[language], outputs=("*.txt",))
    assert result.files is not None
    assert [(file.name, file.content) for file in result.files] == [("o.txt", b"w")]


ODD = """
import os, socket
open("real.txt", "w").write("real")
os.symlink("real.txt", "link.txt")
os.symlink("/etc/passwd", "passwd.txt")
os.symlink("/proc/self/environ", "environ.txt")
os.symlink("/", "root.txt")
os.symlink("nowhere", "broken.txt")
os.symlink(".", "loop.txt")
os.mkfifo("fifo.txt")
os.mkdir("folder.txt")
s = socket.socket(socket.AF_UNIX); s.bind("socket.txt")
for name, source in (("hard.txt", "real.txt"), ("etc.txt", "/etc/passwd"), ("tool.txt", "/usr/bin/env")):
    try: os.link(source, name)
    except OSError: pass
try: os.mknod("null.txt", 0o20666, os.makedev(1, 3))
except OSError: pass
open("unreadable.txt", "w").write("x"); os.chmod("unreadable.txt", 0)
os.mkdir("locked"); open("locked/a.txt", "w").write("x"); os.chmod("locked", 0)
"""


def test_only_regular_files_of_the_room(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", ODD, outputs=("**/*.txt", "/etc/passwd", "/proc/**", "/usr/bin/env"))
    assert result.verdict is Verdict.OK, result.stderr
    assert _names(result) == ["hard.txt", "real.txt"]


def test_names_come_back_as_they_are(sandboxes: Sandboxes) -> None:
    names = [
        "résumé 雪.txt",
        "two\nlines.txt",
        "quote'\".txt",
        "-rf.txt",
        " .txt",
        "a\\b.txt",
        "\x7f.txt",
        "x" * 250 + ".txt",
    ]
    code = f"for name in {names!r}: open(name, 'w').write(name)\nopen(b'bad\\xff.txt', 'w').write('bytes')"
    result = sandboxes.run("python", code, outputs=("*.txt",))
    assert _names(result) == sorted([*names, "bad�.txt"])


def test_at_most_so_many_and_so_large(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", "for n in range(300): open(f'{n:03}', 'w').write('x')", outputs=("[0-9]*",))
    assert _names(result) == [f"{n:03}" for n in range(OUTPUT_FILES)]
    code = "for n in range(5): open(str(n), 'wb').write(bytes(3 << 20))\nopen('big', 'wb').write(bytes(9 << 20))"
    result = sandboxes.run("python", code, outputs=("*",))
    assert _names(result) == ["0", "1", "main.py"]
    assert sum(len(file.content) for file in result.files or ()) <= 8 * MIB


def test_an_empty_file_and_one_that_was_sent(sandboxes: Sandboxes) -> None:
    files = {"main.py": "open('empty', 'w')", "data/in.csv": b"\x00\xff"}
    result = sandboxes.run("python", files=files, entry="main.py", outputs=("empty", "data/*"))
    assert result.files is not None
    assert {file.name: file.content for file in result.files} == {"empty": b"", "data/in.csv": b"\x00\xff"}


def test_no_globs_no_files_and_none_found_is_an_empty_list(sandboxes: Sandboxes) -> None:
    assert sandboxes.run("python", "open('a', 'w')").files is None
    assert sandboxes.run("python", "pass", outputs=("*.png",)).files == ()


def test_a_compile_error_brings_nothing(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("cpp", "int main( {", outputs=("*",))
    assert (result.verdict, result.files) == (Verdict.COMPILE_ERROR, None)
