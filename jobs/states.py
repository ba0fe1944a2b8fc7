"""State is what the platform did, verdict is what the program did, cause is whose fault it is. All as tables.

queued ──▶ running ──▶ completed          the program ran, whatever it did
  │  ▲        │ ├────▶ failed             the platform could not run it, after its retries
  │  └────────┘ └────▶ cancelled          somebody asked for it
  │   a runner was lost: back to the queue
  ├──▶ cancelled, failed
  └──▶ expired                            nobody could start it before its deadline
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    #: accepted and durable, not yet started
    QUEUED = "queued"
    #: a runner has it
    RUNNING = "running"
    #: the program ran; its fault, if any, is the verdict
    COMPLETED = "completed"
    #: the platform could not run it, after retries
    FAILED = "failed"
    #: ended because somebody asked for it
    CANCELLED = "cancelled"
    #: not started before its deadline
    EXPIRED = "expired"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED, State.EXPIRED}),
    State.RUNNING: frozenset({State.QUEUED, State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.EXPIRED: frozenset(),
}

FINAL = frozenset(state for state, onward in TRANSITIONS.items() if not onward)


def may_become(state: State, onward: State) -> bool:
    """Whether a job in *state* may go to *onward*."""
    return onward in TRANSITIONS[state]


class Verdict(StrEnum):
    #: exit code 0 (and, judged, the right output)
    OK = "ok"
    #: a case's output differs from what was expected
    WRONG_ANSWER = "wrong_answer"
    #: the program chose an exit code other than 0
    NONZERO_EXIT = "nonzero_exit"
    #: a signal ended the program
    SIGNALLED = "signalled"
    #: wall time ran out
    TIME_LIMIT = "time_limit"
    #: CPU time ran out before wall time did
    CPU_LIMIT = "cpu_limit"
    #: memory ran out, by the kernel's word or the runtime's
    MEMORY_LIMIT = "memory_limit"
    #: it wrote more than it may; what it wrote up to there is kept
    OUTPUT_LIMIT = "output_limit"
    #: it wanted more processes or threads than it may have, and failed of it
    PROCESS_LIMIT = "process_limit"
    #: it wanted a file larger than it may write, and failed of it
    FILE_LIMIT = "file_limit"
    #: the compiler refused it, or ran out of its own limits
    COMPILE_ERROR = "compile_error"


class Cause(StrEnum):
    #: the caller's program
    PROGRAM = "program"
    #: a limit of the submission
    LIMIT = "limit"
    #: the runner that had the job died, each time it was tried
    LOST_RUNNER = "lost_runner"
    #: anything else of ours
    PLATFORM = "platform"


#: A compile error is the program's, except when the compiler ran out of time or memory: then it is a limit's.
CAUSES: dict[Verdict, Cause | None] = {
    Verdict.OK: None,
    Verdict.WRONG_ANSWER: Cause.PROGRAM,
    Verdict.NONZERO_EXIT: Cause.PROGRAM,
    Verdict.SIGNALLED: Cause.PROGRAM,
    Verdict.TIME_LIMIT: Cause.LIMIT,
    Verdict.CPU_LIMIT: Cause.LIMIT,
    Verdict.MEMORY_LIMIT: Cause.LIMIT,
    Verdict.OUTPUT_LIMIT: Cause.LIMIT,
    Verdict.PROCESS_LIMIT: Cause.LIMIT,
    Verdict.FILE_LIMIT: Cause.LIMIT,
    Verdict.COMPILE_ERROR: Cause.PROGRAM,
}


class Class(StrEnum):
    """Priority classes, best first; each has its own queue."""

    #: priority ``high``, where the tier allows it
    PRIORITY = "priority"
    #: the usual one
    STANDARD = "standard"
    #: priority ``low``, and what one user queues beyond a fair share
    BULK = "bulk"


class Priority(StrEnum):
    """What a caller may ask for."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


CLASS_OF: dict[Priority, Class] = {
    Priority.HIGH: Class.PRIORITY,
    Priority.NORMAL: Class.STANDARD,
    Priority.LOW: Class.BULK,
}
