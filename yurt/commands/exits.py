"""What the ``yurt`` command's exit code says. ``yurt run`` gives the program's own wherever it has one.

    0…255  the program's exit code              128+n  signal n ended the program
    64     the submission was refused           65     compile error
    66     a file cannot be read                70     the platform could not run it
    75     no network answers, or it is full    124    time limit
    130    Ctrl-C, or cancelled                 137    memory limit
    141    output limit                         152    CPU limit (as of SIGXCPU)
    1      a fault of the set-up                2      the command line is wrong

A limit on processes or file sizes is felt by the program itself, whose exit code then stands (1 where that is 0).
"""

from __future__ import annotations

import signal

from jobs.states import State, Verdict
from yurt.answers import Execution

OK = 0
FAULT = 1
USAGE = 2
REFUSED = 64
COMPILE_ERROR = 65
NO_INPUT = 66
PLATFORM = 70
NO_NETWORK = 75
INTERRUPTED = 130

_OF_VERDICT = {
    Verdict.OK: OK,
    Verdict.WRONG_ANSWER: 1,
    Verdict.TIME_LIMIT: 124,
    Verdict.MEMORY_LIMIT: 137,
    Verdict.OUTPUT_LIMIT: 141,
    Verdict.CPU_LIMIT: 152,
    Verdict.COMPILE_ERROR: COMPILE_ERROR,
}
_OF_STATE = {State.FAILED: PLATFORM, State.EXPIRED: NO_NETWORK, State.CANCELLED: INTERRUPTED}


def of(execution: Execution) -> int:
    """The exit code that stands for how *execution* ended."""
    if execution["status"] in _OF_STATE:
        return _OF_STATE[State(execution["status"])]
    verdict = execution["verdict"]
    if verdict in _OF_VERDICT:
        return _OF_VERDICT[Verdict(verdict)]
    if execution["signal"]:
        return 128 + _number(execution["signal"])
    return execution["exit_code"] or FAULT


def _number(name: str) -> int:
    try:
        return int(signal.Signals[name])
    except KeyError:  # a real-time signal: SIGRTMIN+1
        base, _, more = name.partition("+")
        return (int(signal.Signals[base]) if base in signal.Signals.__members__ else 0) + int(more or 0)
