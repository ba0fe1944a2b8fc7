"""Java as a language of the runner: what is compiled, which class starts, and what may start warm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jobs.languages import Language, version_key
from jobs.limits import MEMORY_MB
from jobs.submission import SourceFile, Submission
from runner.languages import native
from runner.languages.contract import (
    Artifact,
    Boot,
    BoxFile,
    Build,
    Installation,
    Probe,
    Report,
    Room,
    Run,
    Sources,
    probe,
)
from runner.languages.java.discovery import USUAL_FLAGS, installations
from runner.languages.java.kept import (
    START,
    build_command,
    go_message,
    keep_ready,
    run_command,
    waiting_run_command,
)
from runner.languages.java.naming import candidates, file_name, without_bom

CLASSES, MAIN = "/tmp/classes", "/tmp/main"
CLASS_PATH = "/box:/workspace"
_, WARM_MB, _ = MEMORY_MB
PROBE_S = 20  #: the first JVM of a busy machine
PREVIEW = "--enable-preview"

#: An OutOfMemoryError that ended a thread, as the virtual machine prints it. That no thread could be made is the
#: process limit's affair, not memory's.
_GAVE_UP = re.compile(
    rb'^(?:Exception in thread "[^\n]*" |Exception: |Caused by: )java\.lang\.OutOfMemoryError(?!: unable to create)'
    rb"|^# There is insufficient memory for the Java Runtime Environment to continue",
    re.MULTILINE,
)


class Java:
    """Implements ``runner.languages.contract.Support``."""

    language = Language.JAVA

    def discover(self) -> Sequence[Installation]:
        return sorted(installations(), key=lambda found: version_key(found.version), reverse=True)

    def prepare(self, installation: Installation, cache: Path, report: Report) -> Installation:
        return keep_ready(installation, cache, report)

    def boots(self, installation: Installation) -> Sequence[Boot]:
        waiting = (*waiting_run_command(installation, WARM_MB), "-cp", CLASS_PATH, START)
        return (
            Boot(room=Room.RUN, argv=waiting, memory_mb=WARM_MB),
            Boot(room=Room.BUILD, argv=build_command(installation)),
        )

    def sources(self, submission: Submission) -> Sources:
        if submission.code is not None:
            name = file_name(submission.code)
            return Sources(files=(without_bom(SourceFile(name=name, content=submission.code)),), entry=name)
        files = tuple(map(without_bom, submission.files))
        return Sources(files=files, entry=submission.entry or files[0].name)

    def build(self, installation: Installation, sources: Sources, flags: tuple[str, ...] | None) -> Build | None:
        words = build_words(sources, USUAL_FLAGS if flags is None else flags)
        return Build(
            commands=((*build_command(installation), *words),),
            artifact=(f"{CLASSES}/**", MAIN),
            go=go_message(*words),
        )

    def run(
        self,
        installation: Installation,
        sources: Sources,
        artifact: Artifact,
        args: tuple[str, ...],
        submission: Submission,
    ) -> Run:
        main, box = unpacked(artifact)
        flags = (PREVIEW,) if PREVIEW in (submission.compile_flags or ()) else ()
        cold = (*run_command(installation, submission.memory_mb), *flags, "-cp", CLASS_PATH, main, *args)
        fits = submission.memory_mb == WARM_MB and not submission.env and not flags
        return Run(argv=cold, box=box, go=go_message(main, *args) if fits else None)

    def gave_up_for_memory(self, exit_code: int | None, signal: str | None, stderr_tail: bytes) -> bool:
        return exit_code != 0 and bool(_GAVE_UP.search(stderr_tail))

    def probes(self, installation: Installation) -> Sequence[Probe]:
        return (
            probe(
                Language.JAVA,
                b"ready one|t w o\n",
                code=b"public class Ready {\n    public static void main(String[] args) {\n"
                b'        System.out.println("ready " + String.join("|", args));\n    }\n}\n',
                args=("one", "t w o"),
                timeout_s=PROBE_S,
            ),
            probe(
                Language.JAVA,
                b"42word\n",
                code=b"package a.b;\nimport java.util.*;\nclass First { }\nclass Second {\n"
                b"    public static void main(String[] args) {\n"
                b'        System.out.println(new Scanner(System.in).nextInt() + System.getenv("WORD"));\n    }\n}\n',
                stdin=b"42\n",
                env=(("WORD", "word"),),
                memory_mb=64,
                timeout_s=PROBE_S,
            ),
        )


def build_words(sources: Sources, flags: tuple[str, ...]) -> tuple[str, ...]:
    """What ``Compile`` is told: candidates for the main class, flags and files, the first two with their numbers."""
    classes = candidates(sources.files, sources.entry)
    files = [native.operand(file.name) for file in sources.files if file.name.endswith(".java")]
    return (str(len(classes)), *classes, str(len(flags)), *flags, *files)


def unpacked(artifact: Artifact) -> tuple[str, tuple[BoxFile, ...]]:
    """The name of the main class, and the classes in their place in the run's room."""
    main = next(file.content.decode() for file in artifact if file.name == MAIN)
    return main, tuple(
        BoxFile(path=f"/box/{file.name.removeprefix(CLASSES + '/')}", content=file.content)
        for file in artifact
        if file.name != MAIN
    )
