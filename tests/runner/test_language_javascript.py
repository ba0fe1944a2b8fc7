"""JavaScript as a language: plans without a Node; the start scripts, with a real one and no sandbox."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.languages import Language
from jobs.limits import DEFAULTS
from jobs.submission import SourceFile, Submission
from runner.languages.contract import ENVIRONMENT, Installation, Sources
from runner.languages.javascript import JavaScript
from runner.languages.javascript.support import go_message

END_S = 60
INSTALLED = Installation(
    language=Language.JAVASCRIPT,
    version="20.0.0",
    details={"node": "/usr/bin/node", "files": "/opt/js", "flags": "--max-old-space-size=640 --stack-size=60000"},
)


def submission(**fields: Any) -> Submission:
    return Submission(
        language=Language.JAVASCRIPT, timeout_s=10, limits=DEFAULTS, **{"memory_mb": 256, "code": b"", **fields}
    )


# -- plans ----------------------------------------------------------------------------------------------------------


def test_code_is_main_js_and_files_keep_their_names() -> None:
    files = (SourceFile(name="b.mjs", content=b""), SourceFile(name="a.js", content=b""))
    assert JavaScript().sources(submission(code=b"1")).entry == "main.js"
    assert JavaScript().sources(submission(code=None, files=files)) == Sources(files=files, entry="b.mjs")
    assert JavaScript().sources(submission(code=None, files=files, entry="a.js")).entry == "a.js"


def test_arguments_memory_and_ordinary_variables_reach_a_waiting_node() -> None:
    asked = submission(memory_mb=512, env=(("TZ", "Asia/Tokyo"), ("DEBUG", "ü"), ("PATH", "/bin")))
    plan = JavaScript().run(INSTALLED, Sources(files=(), entry="a/b.mjs"), (), ("x", "y z"), asked)
    assert plan.go is not None
    assert json.loads(plan.go) == {
        "argv": ["/workspace/a/b.mjs", "x", "y z"],
        "env": {"TZ": "Asia/Tokyo", "DEBUG": "ü", "PATH": "/bin"},
    }
    assert plan.argv[-3:] == ("/workspace/a/b.mjs", "x", "y z")


@pytest.mark.parametrize(
    "name",
    ["NODE_OPTIONS", "NODE_ENV", "UV_THREADPOOL_SIZE", "LC_ALL", "LANG", "LD_PRELOAD", "SSL_CERT_FILE", "LANGUAGE"],
)
def test_what_is_read_at_the_start_starts_cold(name: str) -> None:
    assert (
        JavaScript().run(INSTALLED, Sources(files=(), entry="m.js"), (), (), submission(env=((name, "1"),))).go is None
    )


def test_a_flag_that_node_options_set_is_not_ours_to_set() -> None:
    asked = submission(env=(("NODE_OPTIONS", "--max_old_space_size=99 --no-warnings"),))
    plan = JavaScript().run(INSTALLED, Sources(files=(), entry="m.js"), (), ("--stack-size=1",), asked)
    assert plan.argv == (
        "/usr/bin/node", "--stack-size=60000", "--require", "/opt/js/start.js", "/workspace/m.js", "--stack-size=1"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("exit_code", "signal", "said", "gave_up"),
    [
        (None, "SIGABRT", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", True),
        (134, None, "<--- Last few GCs --->\nFATAL ERROR: invalid table size Allocation failed", True),
        (None, "SIGTRAP", "# Fatal process out of memory: Zone", True),
        (1, None, "RangeError: Array buffer allocation failed\n    at new ArrayBuffer", True),
        (None, "SIGABRT", "Aborted", False),
        (1, None, "RangeError: Maximum call stack size exceeded", False),
        (0, None, "JavaScript heap out of memory", False),
    ],
)
def test_memory_that_ran_out_is_told_by_how_v8_ends(
    exit_code: int | None, signal: str | None, said: str, gave_up: bool
) -> None:
    assert JavaScript().gave_up_for_memory(exit_code, signal, said.encode()) is gave_up


# -- the start scripts, for real --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Bench:
    """A prepared Node without a sandbox: /workspace stands for a folder of this test."""

    installation: Installation
    folder: Path

    def start(self, script: str, entry: str, *args: str) -> list[str]:
        details = self.installation.details
        required = ["--require", f"{self.installation.mounts[0].source}/{script}"]
        return [details["host"], *details["flags"].split(), *required, str(self.folder / entry), *args]

    def warm(
        self, files: dict[str, str], entry: str, *args: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> Ended:
        """The protocol of a boot: started in an empty folder, files written, go, end of file."""
        read, write = os.pipe()
        with subprocess.Popen(
            self.start("wait.js", "main.js"),
            cwd=self.folder,
            env=dict(ENVIRONMENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            close_fds=False,
            preexec_fn=lambda: (os.dup2(read, 3), os.set_inheritable(3, True)),
        ) as process:
            os.close(read)
            self.lay_down(files)
            os.write(write, go_message(entry, args, env or {}).replace(b"/workspace", bytes(self.folder)))
            os.close(write)
            out, err = process.communicate(stdin.encode(), timeout=END_S)
        return Ended(process.returncode, out.decode(), err.decode())

    def cold(self, files: dict[str, str], entry: str) -> Ended:
        self.lay_down(files)
        return self.ended(self.start("start.js", entry), {}, "")

    def bare(
        self, files: dict[str, str], entry: str, *args: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> Ended:
        self.lay_down(files)
        return self.ended([self.installation.details["host"], entry, *args], env or {}, stdin)

    def ended(self, command: list[str], env: dict[str, str], stdin: str) -> Ended:
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env={**ENVIRONMENT, **env},
            input=stdin.encode(),
            capture_output=True,
            timeout=END_S,
            close_fds=False,  # as ``warm``, so that both hold what this process lets through
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def lay_down(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    found = JavaScript().discover()
    if not found:
        pytest.skip("no Node here")
    return JavaScript().prepare(found[0], tmp_path_factory.mktemp("cache"), lambda line: None)


@pytest.fixture
def bench(prepared: Installation, tmp_path: Path) -> Bench:
    return Bench(prepared, tmp_path.resolve())


SHOWS_ALL = """#!/usr/bin/env node
const Module = require('module');
const seen = {
  argv: process.argv, execArgv: process.execArgv, env: process.env, keys: Object.getOwnPropertyNames(process),
  preloaded: process._preload_modules, cache: Object.keys(require.cache), paths: Object.keys(Module._pathCache),
  isMain: require.main === module, self: this === module.exports, parent: module.parent, children: module.children,
  id: module.id, count: arguments.length, runMain: Object.getOwnPropertyDescriptor(Module, 'runMain'),
  out: String(Object.getOwnPropertyDescriptor(process, 'getuid').value), handles: process.getActiveResourcesInfo(),
  descriptors: require('fs').readdirSync('/proc/self/fd').length, stack: new Error('here').stack,
  listeners: process.eventNames().map(String), date: String(new Date(0)),
  globals: Object.getOwnPropertyNames(globalThis),
};
console.log(JSON.stringify(seen, null, 1));
return;
"""


@pytest.mark.parametrize(
    ("files", "entry"),
    [
        ({"main.js": SHOWS_ALL}, "main.js"),
        ({"deep/er/start.cjs": SHOWS_ALL}, "deep/er/start.cjs"),
        ({"main.js": "function f() { throw new Error('x') }\n\nf()"}, "main.js"),
        ({"main.js": "let x = ;"}, "main.js"),
        (
            {"m.mjs": "import fs from 'fs';\nconsole.log(import.meta.url, await 4);\nthrow new Error('x')"},
            "m.mjs",
        ),
        ({"package.json": '{"type": "module"}', "main.js": "console.log(typeof require, await 1)"}, "main.js"),
        ({"m.mjs": "await new Promise(() => {})"}, "m.mjs"),
        ({"other.js": ""}, "nothing.js"),
    ],
    ids=["all", "another-entry", "throws", "syntax", "module", "type-module", "never-settles", "missing"],
)
def test_a_program_cannot_tell_that_its_node_waited(bench: Bench, files: dict[str, str], entry: str) -> None:
    """Output, errors with their stack traces and the process object are those of a bare ``node``."""
    asked: dict[str, Any] = {"stdin": "", "env": {"TZ": "Asia/Tokyo", "WORD": "ü"}}
    assert bench.warm(files, entry, "a", "b c", "é", **asked) == bench.bare(files, entry, "a", "b c", "é", **asked)


@pytest.mark.parametrize(
    "code",
    [
        "const l = []; require('readline').createInterface({ input: process.stdin })"
        ".on('line', (x) => l.push(x)).on('close', () => console.log(l))",
        "console.log(require('fs').readFileSync(0, 'utf8'))",
        "process.stdin.pipe(process.stdout)",
    ],
)
def test_standard_input_is_the_programs_alone(bench: Bench, code: str) -> None:
    assert bench.warm({"main.js": code}, "main.js", stdin="one\nzwei\nlast") == bench.bare(
        {"main.js": code}, "main.js", stdin="one\nzwei\nlast"
    )


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("start", ["warm", "cold"])
def test_an_exit_after_a_large_print_loses_nothing(bench: Bench, start: str, stream: str) -> None:
    code = f"process.{stream}.write('x'.repeat(600000) + 'end'); process.exit(3);"
    ended: Ended = getattr(bench, start)({"main.js": code}, "main.js")
    assert ended.exit_code == 3
    assert len(getattr(ended, stream)) == 600003


def test_workers_and_children_see_nothing_of_us(bench: Bench) -> None:
    files = {
        "main.js": "const { Worker } = require('worker_threads');\n"
        "new Worker(__dirname + '/seen.js').on('exit', () => require('child_process').fork(__dirname + '/seen.js'));",
        "seen.js": "console.log(Object.keys(require.cache), process.execArgv, process._preload_modules);",
    }
    assert bench.warm(files, "main.js") == bench.bare(files, "main.js")


def test_the_time_that_was_waited_is_not_seen(bench: Bench) -> None:
    code = (
        "const { performance: p } = require('perf_hooks'); p.mark('a'); const now = p.now();\n"
        "console.log(p.measure('m', 'a').duration <= p.now(), Math.abs(p.timeOrigin + p.now() - Date.now()) < 50,\n"
        "  p.measure('n', { start: now }).duration <= p.now(), p.measure('o', { start: 1, duration: 3 }).duration,\n"
        "  Math.abs(process.uptime() * 1000 - p.now()) < 50, p.getEntriesByName('a')[0].startTime <= now);"
    )
    assert bench.warm({"main.js": code}, "main.js").stdout == "true true true 3 true true\n"


def test_random_numbers_differ_from_process_to_process(bench: Bench) -> None:
    code = {"main.js": "console.log(Math.random(), require('crypto').randomUUID())"}
    assert len({bench.warm(code, "main.js").stdout for _ in range(3)}) == 3


def test_the_stack_is_deep_and_ends_in_a_range_error(bench: Bench) -> None:
    code = (
        "let n = 0; const f = () => { n++; f(); n++; };\n"
        "try { f() } catch (e) { console.log(e instanceof RangeError, n > 1e5) }"
    )
    command = ["sh", "-c", f'ulimit -s {256 << 10} && exec "$@"', "sh", *bench.start("start.js", "main.js")]
    bench.lay_down({"main.js": code})
    assert bench.ended(command, {}, "").stdout == "true true\n"
