"""Java as a language: names, flags and sizes without a JDK; what waits, with a real one and no sandbox."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import SourceFile, Submission
from runner.languages.contract import ENVIRONMENT, Installation, Room, Sources
from runner.languages.java import Java
from runner.languages.java.kept import go_message
from runner.languages.java.naming import Declared, candidates, file_name, top_level
from runner.languages.java.sizes import run_flags
from runner.languages.java.support import CLASSES, MAIN, build_words

END_S = 60


def submission(**fields: Any) -> Submission:
    return Submission(
        language=Language.JAVA, timeout_s=10, limits=DEFAULTS, **{"memory_mb": 256, "code": b"", **fields}
    )


def file(name: str, text: str = "") -> SourceFile:
    return SourceFile(name=name, content=text.encode())


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("public class Hello { }", "Hello"),
        ("class First { } public final class Second { }", "Second"),
        ("// public class No { }\n/* public class Nor { } */ public class Yes { }", "Yes"),
        ("class A { String s = \"} public class No { }\"; char c = '{'; } public class Yes { }", "Yes"),
        ('class A { String s = """\n  "}" public class No { \\""" }\n  """; } public enum Yes { ONE }', "Yes"),
        ('@Deprecated(since = "public class No {") public class Yes { }', "Yes"),
        ("public record Point(int x, int y) { public static class No { } }", "Point"),
        ("public sealed interface Shape<T extends Comparable<T>> permits A, B { }", "Shape"),
        ("public @interface Marked { }", "Marked"),
        ("package a.b;\nimport java.util.*;\npublic abstract class Größe$1 { }", "Größe$1"),
        ("class Outer { public class Inner { } }", "Main"),
        ("void main() { Class<?> c = String.class; }", "Main"),
        ("int record = 3; void main() { }", "Main"),
        ("", "Main"),
        ('class Broken { String s = "', "Main"),
    ],
)
def test_a_single_file_is_called_after_its_public_type(source: str, name: str) -> None:
    assert file_name(source.encode()) == f"{name}.java"


def test_the_package_and_all_types_of_the_top_level_are_found_in_their_order() -> None:
    found = top_level(b"package lessons . one;\nclass Box<T> { class In { } }\npublic class Start { }\nenum E { }")
    assert found.package == "lessons.one"
    assert found.types == (
        Declared(name="Box", public=False),
        Declared(name="Start", public=True),
        Declared(name="E", public=False),
    )


def test_the_entrys_classes_may_start_first_and_the_one_named_as_its_file_before_them() -> None:
    files = [
        file("Other.java", "class Other { }"),
        file("app/Main.java", "package app; class Helper { } public class Main { }"),
        file("notes.txt", "class No { }"),
    ]
    assert candidates(files, "app/Main.java") == ("app.Main", "app.Helper", "Other")


def test_in_a_single_file_classes_may_start_in_their_order_and_the_one_without_a_name_last() -> None:
    assert candidates([file("Main.java", "class A { } class B { }")], "Main.java") == ("A", "B", "Main")
    assert candidates([file("data.txt")], "data.txt") == ("Main",)


def test_code_is_one_file_and_a_byte_order_mark_does_not_reach_the_compiler() -> None:
    sources = Java().sources(submission(code="\ufeffpublic class Märchen { }".encode()))
    assert sources == Sources(files=(file("Märchen.java", "public class Märchen { }"),), entry="Märchen.java")


def test_files_keep_their_names_and_the_first_is_the_entry_unless_one_is_named() -> None:
    files = (file("B.java"), file("A.java"))
    assert Java().sources(submission(code=None, files=files)).entry == "B.java"
    assert Java().sources(submission(code=None, files=files, entry="A.java")).entry == "A.java"


# -- plans ----------------------------------------------------------------------------------------------------------

INSTALLED = Installation(
    language=Language.JAVA,
    version="25.0.3",
    details={"java": "/jdk/bin/java", "files": "/opt/java-25.0.3", "archives": "run.jsa"},
)
ARTIFACT = (
    SourceFile(name=f"{CLASSES}/app/Main.class", content=b"bytes"),
    SourceFile(name=MAIN, content=b"app.Main"),
)
NO_SOURCES = Sources(files=(), entry="")


def test_words_for_the_compiler_are_counted_and_no_file_can_pose_as_a_flag() -> None:
    sources = Sources(files=(file("-d.java"), file("@x.java"), file("a/B.java"), file("c.txt")), entry="a/B.java")
    words = build_words(sources, ("-g", "-Xlint:all"))
    assert words == (
        "3",
        "a.B".removeprefix("a."),
        "-d",
        "@x",
        "2",
        "-g",
        "-Xlint:all",
        "./-d.java",
        "./@x.java",
        "a/B.java",
    )


def test_classes_go_to_the_box_and_the_default_run_starts_warm() -> None:
    plan = Java().run(INSTALLED, NO_SOURCES, ARTIFACT, ("a", "ü b"), submission())
    assert [(box.path, box.content) for box in plan.box] == [("/box/app/Main.class", b"bytes")]
    assert plan.go == "app.Main\0a\0ü b\0".encode()
    assert plan.argv[-3:] == ("app.Main", "a", "ü b")
    assert "-XX:AOTCache=/opt/java-25.0.3/run.jsa" in plan.argv


@pytest.mark.parametrize(
    "fields", [{"memory_mb": 255}, {"memory_mb": 512}, {"env": (("A", "b"),)}, {"compile_flags": ("--enable-preview",)}]
)
def test_what_a_waiting_machine_cannot_honour_starts_cold(fields: dict[str, Any]) -> None:
    plan = Java().run(INSTALLED, NO_SOURCES, ARTIFACT, (), submission(**fields))
    assert plan.go is None
    assert ("--enable-preview" in plan.argv) == ("compile_flags" in fields)


@pytest.mark.parametrize("memory_mb", [64, 128, 256, 511, 512])
def test_heap_and_stack_fit_the_limit(memory_mb: int) -> None:
    sizes = {flag[:4]: int(flag[4:-1]) for flag in run_flags(memory_mb) if flag.startswith("-X") and flag[-1] == "m"}
    assert 16 <= sizes["-Xmx"] <= memory_mb - 40
    assert sizes["-Xms"] < sizes["-Xmx"]
    assert 8 <= sizes["-Xss"] <= memory_mb // 4


@pytest.mark.parametrize(
    ("exit_code", "said", "gave_up"),
    [
        (
            1,
            'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n\tat Main.main(Main.java:1)',
            True,
        ),
        (
            1,
            'Exception in thread "p 1" java.lang.RuntimeException\nCaused by: java.lang.OutOfMemoryError: Metaspace',
            True,
        ),
        (1, 'Exception: java.lang.OutOfMemoryError thrown from the UncaughtExceptionHandler in thread "main"', True),
        (0, 'Exception in thread "a" java.lang.OutOfMemoryError: Java heap space', False),
        (1, "I printed java.lang.OutOfMemoryError: Java heap space", False),
        (1, 'Exception in thread "main" java.lang.OutOfMemoryError: unable to create native thread: possibly …', False),
        (1, 'Exception in thread "main" java.lang.StackOverflowError', False),
    ],
)
def test_memory_that_ran_out_is_told_by_what_the_machine_printed(exit_code: int, said: str, gave_up: bool) -> None:
    assert Java().gave_up_for_memory(exit_code, None, said.encode()) is gave_up


# -- what waits, for real ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Bench:
    """A prepared JDK without a sandbox: the room's paths stand for folders of this test."""

    java: Java
    installation: Installation
    folder: Path

    def here(self, words: Sequence[str]) -> list[str]:
        places = {
            self.installation.mounts[-1].target: self.installation.mounts[-1].source,
            "/box:/workspace": f"{self.folder}/box:{self.folder}",
        }
        for place, real in places.items():
            words = [word.replace(place, real) for word in words]
        return [word for word in words if not word.startswith(("-XX:AOTCache", "-XX:SharedArchive"))]

    def waiting(self, room: Room) -> list[str]:
        boot = next(boot for boot in self.java.boots(self.installation) if boot.room is room)
        assert boot.argv is not None
        return self.here(boot.argv)

    def run_warm(self, classes: dict[str, bytes], main: str, *args: str, stdin: str = "") -> Ended:
        """The protocol of a boot: started in empty folders, files written, go, end of file."""
        read, write = os.pipe()
        (self.folder / "box").mkdir(exist_ok=True)
        with subprocess.Popen(
            self.waiting(Room.RUN),
            cwd=self.folder,
            env=dict(ENVIRONMENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            close_fds=False,
            preexec_fn=lambda: (os.dup2(read, 3), os.set_inheritable(3, True)),
        ) as process:
            os.close(read)
            self.lay_down(classes)
            os.write(write, go_message(main, *args))
            os.close(write)
            out, err = process.communicate(stdin.encode(), timeout=END_S)
        return Ended(process.returncode, out.decode(), err.decode())

    def run_bare(self, classes: dict[str, bytes], main: str, *args: str, stdin: str = "") -> Ended:
        self.lay_down(classes)
        command = [self.installation.details["java"], "-cp", f"{self.folder}/box:{self.folder}", main, *args]
        ended = subprocess.run(
            command, cwd=self.folder, env=dict(ENVIRONMENT), input=stdin.encode(), capture_output=True, timeout=END_S
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def lay_down(self, classes: dict[str, bytes]) -> None:
        for name, content in classes.items():
            path = self.folder / "box" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, jdk: str) -> Installation:
    java = Java()
    found = [one for one in java.discover() if one.version.split(".")[0] == jdk]
    if not found:
        pytest.skip(f"no JDK {jdk} here")
    return java.prepare(found[0], tmp_path_factory.mktemp("cache"), lambda line: None)


@pytest.fixture(scope="session", params=sorted({one.version.split(".")[0] for one in Java().discover()}) or ["17"])
def jdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(prepared: Installation, tmp_path: Path) -> Bench:
    return Bench(Java(), prepared, tmp_path)


@pytest.fixture
def compiled(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, bytes]]:
    """The classes of a source, by javac itself."""

    def compile_it(source: str) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp("classes")
        path = folder / file_name(source.encode())
        path.write_text(source)
        javac = Path(bench.installation.details["java"]).with_name("javac")
        subprocess.run([javac, "-nowarn", "-d", folder, path], check=True, capture_output=True, env=dict(ENVIRONMENT))
        return {str(made.relative_to(folder)): made.read_bytes() for made in folder.rglob("*.class")}

    return compile_it


SHOWS_ALL = """
package lessons;
import java.util.*;
class Shows {
    static class Fails { static int x = 1 / Integer.parseInt("0"); }
    static void deep(int n) { if (n == 0) throw new IllegalStateException("deep"); deep(n - 1); }
    public static void main(String[] args) {
        System.out.println(Arrays.toString(args) + new Scanner(System.in).nextLine());
        System.out.println(System.getProperty("file.encoding") + System.getProperty("sun.java.command"));
        System.out.println(System.getProperty("java.class.path"));
        System.out.println(Thread.currentThread() + " " + Thread.currentThread().getContextClassLoader().getClass());
        for (StackTraceElement frame : new Throwable().getStackTrace()) System.out.println(frame);
        StackWalker.getInstance().forEach(System.out::println);
        System.out.println(new TreeMap<>(System.getenv()) + "" + new TreeMap<>(System.getProperties()).keySet());
        Thread.getAllStackTraces().keySet().stream().map(Thread::getName).sorted().forEach(System.out::println);
        try { System.out.println(Fails.x); } catch (Throwable error) { error.printStackTrace(); }
        deep(2);
    }
}
"""


@pytest.mark.parametrize(
    "source",
    [
        SHOWS_ALL,
        "public class Shows { }",
        "public class Shows { static int x = 1 / 0; public static void main(String[] args) { } }",
        "public interface Shows {\n"
        "    static void main(String... a) { System.exit(new Throwable().getStackTrace().length + 1); }\n"
        "}",
    ],
    ids=["all-that-can-be-seen", "no-main", "fails-before-main", "interface-that-exits"],
)
def test_a_program_cannot_tell_that_its_machine_waited(
    bench: Bench, compiled: Callable[[str], dict[str, bytes]], source: str
) -> None:
    """Output, errors with their stack traces, properties and threads are those of a bare ``java``."""
    classes, main = compiled(source), "lessons.Shows" if "package" in source else "Shows"
    warm = bench.run_warm(classes, main, "a", "b c", "é", stdin="日本 😀\n")
    assert warm == bench.run_bare(classes, main, "a", "b c", "é", stdin="日本 😀\n")


def test_memory_that_runs_out_shows_only_the_programs_own_lines(
    bench: Bench, compiled: Callable[[str], dict[str, bytes]]
) -> None:
    ended = bench.run_warm(
        compiled("public class Full { public static void main(String[] a) { int[] x = new int[1 << 29]; } }"), "Full"
    )
    assert ended.stderr.splitlines()[1:] == ["\tat Full.main(Full.java:1)"]
    assert Java().gave_up_for_memory(ended.exit_code, None, ended.stderr.encode())


def test_a_class_that_is_not_there_is_told_as_the_launcher_tells_it(bench: Bench) -> None:
    ended = bench.run_warm({}, "no.Such")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Error: Could not find or load main class no.Such\n")
