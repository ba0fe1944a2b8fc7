"""What an outcome means: evidence in, verdict out. Pure.

A table of signs, strongest first. What stopped the run by our hand comes first (output, then memory by the kernel's
word), then what the program failed of, then how it ended. A program that met a limit and still ended well is *ok*.

    output bound reached                                output_limit
    the kernel killed it for memory, or the runtime
      gave up for want of it                            memory_limit
    it ended badly and forks were refused               process_limit
    SIGXFSZ, or it ended badly of a file too large      file_limit
    wall time (alone, or together with CPU time)        time_limit
    CPU time                                            cpu_limit
    a signal                                            signalled
    an exit code but 0                                  nonzero_exit
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

from jobs.states import CAUSES, Cause, Verdict
from jobs.submission import Compare
from runner.engine import Outcome

TAIL_BYTES = 16 * 1024
#: how runtimes word EFBIG: C's strerror (Python, Java, C++), Node, Go and Rust
_TOO_LARGE = re.compile(rb"File too large|EFBIG|file too large|FileTooLarge|SIGXFSZ")

GaveUp = Callable[[int | None, str | None, bytes], bool]


def judge(outcome: Outcome, gave_up_for_memory: GaveUp) -> Verdict:
    """The verdict of a run; a case's output is compared apart (``same``)."""
    tail = outcome.stderr[-TAIL_BYTES:]
    badly = outcome.exit_code != 0
    name = signal_name(outcome.signal)
    if outcome.ran_out_of_output:
        return Verdict.OUTPUT_LIMIT
    if badly and (outcome.memory_kills or gave_up_for_memory(outcome.exit_code, name, tail)):
        return Verdict.MEMORY_LIMIT
    if badly and outcome.process_refusals:
        return Verdict.PROCESS_LIMIT
    if outcome.signal == signal.SIGXFSZ or (badly and outcome.signal is None and _TOO_LARGE.search(tail)):
        return Verdict.FILE_LIMIT
    if outcome.ran_out_of_wall:
        return Verdict.TIME_LIMIT
    if outcome.ran_out_of_cpu:
        return Verdict.CPU_LIMIT
    if outcome.signal is not None:
        return Verdict.SIGNALLED
    return Verdict.NONZERO_EXIT if badly else Verdict.OK


def cause(verdict: Verdict, outcome: Outcome) -> Cause | None:
    """Whose fault: the verdict's, but that a compiler which ran out of a limit is the limit's."""
    if verdict is Verdict.COMPILE_ERROR and (
        outcome.ran_out_of_wall or outcome.memory_kills or outcome.ran_out_of_output
    ):
        return Cause.LIMIT
    return CAUSES[verdict]


def signal_name(number: int | None) -> str | None:
    """``SIGSEGV`` for 11; ``SIG34`` for one that has no name."""
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def message(verdict: Verdict, outcome: Outcome, *, limits: dict[str, str]) -> str | None:
    """One sentence for a person. *limits*: the words for each limit that applied (``timeout`` → ``10 s``)."""
    signalled = f"The program was ended by {signal_name(outcome.signal)}."
    sentences: dict[Verdict, str | None] = {
        Verdict.OK: None,
        Verdict.WRONG_ANSWER: "The output is not the expected one.",
        Verdict.NONZERO_EXIT: f"The program ended with exit code {outcome.exit_code}.",
        Verdict.SIGNALLED: signalled,
        Verdict.TIME_LIMIT: f"The program was still running after {limits['timeout']}.",
        Verdict.CPU_LIMIT: f"The program used its {limits['cpu_seconds']} of CPU time.",
        Verdict.MEMORY_LIMIT: f"The program needed more than its {limits['memory_limit']} of memory.",
        Verdict.OUTPUT_LIMIT: f"The program wrote more than {limits['output_bytes']} of output.",
        Verdict.PROCESS_LIMIT: f"The program wanted more than its {limits['processes']} processes and threads.",
        Verdict.FILE_LIMIT: f"The program wanted to write a file of more than {limits['file_bytes']}.",
        Verdict.COMPILE_ERROR: _compile_message(outcome, limits),
    }
    return sentences[verdict]


def _compile_message(outcome: Outcome, limits: dict[str, str]) -> str:
    if outcome.ran_out_of_wall:
        return f"The compiler was still running after {limits['compile_seconds']}."
    if outcome.memory_kills:
        return "The compiler ran out of memory."
    return "The compiler did not accept the program."


def same(expected: bytes, actual: bytes, compare: Compare) -> bool:
    """Whether a case's output is right. *lines*: white space at line ends and empty lines at the end do not count."""
    if compare is Compare.EXACT:
        return expected == actual
    return _lines(expected) == _lines(actual)


def _lines(text: bytes) -> list[bytes]:
    lines = [line.rstrip() for line in text.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
