"""Node.js as a language of the runner: where it is, how it waits, how it is started."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobs.languages import Language, version_key
from jobs.submission import SourceFile, Submission
from runner.languages.contract import (
    Artifact,
    Boot,
    Build,
    Installation,
    Probe,
    Report,
    Room,
    Run,
    Sources,
    probe,
)
from runner.languages.javascript.discovery import accepted_flags, installations, keep_ready

ENTRY = "main.js"

#: Names a program may set while Node already runs. All others of these families are read when something starts:
#: Node (NODE_…), libuv (UV_…), OpenSSL, ICU and the C library's locale, the allocator, the dynamic loader.
_READ_AT_START = re.compile(
    r"NODE_|UV_|SSL_|OPENSSL|ICU_|LC_|LANG|LD_|MALLOC_|GLIBC_|GCONV_PATH$|LOCPATH$|TZDIR$|RES_|LOCALDOMAIN$|HOSTALIASES$"
)

#: How V8 says that memory is out, before it ends itself with SIGTRAP, SIGABRT or SIGILL.
_V8_GAVE_UP = re.compile(
    rb"JavaScript heap out of memory|FATAL ERROR: .*(?:Allocation failed|out of memory)|Fatal process out of memory"
)
#: Errors that a program left uncaught, as Node prints them.
_UNCAUGHT = re.compile(
    rb"RangeError: Array buffer allocation failed|ERR_WORKER_OUT_OF_MEMORY|ERR_MEMORY_ALLOCATION_FAILED"
)


class JavaScript:
    """Implements ``runner.languages.contract.Support``."""

    language = Language.JAVASCRIPT

    def discover(self) -> Sequence[Installation]:
        return sorted(installations(), key=lambda found: version_key(found.version), reverse=True)

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        return keep_ready(installation, cache, accepted_flags(installation), report)

    def boots(self, installation: Installation) -> Sequence[Boot]:
        return (Boot(room=Room.RUN, argv=_node(installation, "wait.js", ENTRY)),)

    def sources(self, submission: Submission) -> Sources:
        if submission.code is not None:
            return Sources(files=(SourceFile(name=ENTRY, content=submission.code),), entry=ENTRY)
        return Sources(files=submission.files, entry=submission.entry or submission.files[0].name)

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build | None:
        return None

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        node = _node(installation, "start.js", sources.entry)
        cold = (*node, *args)
        env = dict(submission.env)
        if any(_READ_AT_START.match(name) for name in env):
            asked = env.get("NODE_OPTIONS", "").replace("_", "-")
            return Run(argv=(*(word for word in node if not _is_asked_for(word, asked)), *args))
        return Run(argv=cold, go=go_message(sources.entry, args, env))

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        if signal in {"SIGABRT", "SIGTRAP", "SIGILL"} or exit_code in {132, 133, 134}:
            return bool(_V8_GAVE_UP.search(stderr_tail))
        return exit_code not in {None, 0} and bool(_UNCAUGHT.search(stderr_tail))

    def probes(self, installation: Installation) -> Sequence[Probe]:
        return (
            probe(Language.JAVASCRIPT, b"ready\n", code=b"console.log('ready');\n"),
            probe(
                Language.JAVASCRIPT,
                b"5 true [ 'one', 't w o' ]\n",
                code=b"#!/usr/bin/env node\nlet seen = '';\n"
                b"process.stdin.on('data', (part) => { seen += part; });\n"
                b"process.stdin.on('end', () => console.log(seen.length, this === exports, process.argv.slice(2)));\n",
                stdin=b"12345",
                args=("one", "t w o"),
            ),
            probe(
                Language.JAVASCRIPT,
                b"test\n",
                code=b"console.log(process.env.NODE_ENV);\n",
                env=(("NODE_ENV", "test"),),
            ),
            probe(
                Language.JAVASCRIPT,
                b"2\n",
                files=(
                    SourceFile(
                        name="main.mjs", content=b"import { two } from './lib/two.mjs';\nconsole.log(await two);\n"
                    ),
                    SourceFile(name="lib/two.mjs", content=b"export const two = Promise.resolve(2);\n"),
                ),
                memory_mb=64,
            ),
        )


def _is_asked_for(word: str, node_options: str) -> bool:
    """Whether this is a flag of ours that the caller's NODE_OPTIONS sets too: the command line would win over them."""
    return word.startswith("--") and word != "--require" and word.partition("=")[0] in node_options


def go_message(entry: str, args: tuple[str, ...], env: Mapping[str, str]) -> bytes:
    """What ``wait.js`` reads from descriptor 3."""
    return json.dumps({"argv": [f"/workspace/{entry}", *args], "env": env}).encode()


def _node(installation: Installation, required: str, entry: str) -> tuple[str, ...]:
    details = installation.details
    return (
        details["node"],
        *details["flags"].split(),
        "--require",
        f"{details['files']}/{required}",
        f"/workspace/{entry}",
    )
