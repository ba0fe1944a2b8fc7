"""Every number someone may want to change: what a submission may ask for, and what it gets when it does not ask.

MB is 2**20 bytes everywhere. Sources: the public contract (``Limits`` of a run, sizes of files and bodies).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1 << 20

BODY_BYTES = 8 * MIB  #: a request's body
TIMEOUT_S = (1.0, 10.0, 30.0)  #: least, default, most wall seconds of a run
MEMORY_MB = (64, 256, 512)  #: least, default, most memory of a run
WAIT_S = 60.0  #: the longest ``?wait=``
FILES = 256  #: files in one submission
FILE_NAME_PART_BYTES = 255
FILE_NAME_BYTES = 1024
ARGS = 256
ARG_BYTES = 128 * 1024 - 1  #: Linux's MAX_ARG_STRLEN, less the final NUL
ENV_ENTRIES = 256
CASES = 256
OUTPUT_GLOBS = 64
OUTPUT_FILES = 64
OUTPUT_FILES_BYTES = 8 * MIB
COMPILE_FLAGS = 64
COMPILE_OUTPUT_BYTES = 64 * 1024  #: of a compiler's output, each stream, what is kept
COMPILE_MEMORY_MB = 1024  #: a compiler's memory, whatever the program's is
COMPILE_PROCESSES = 128
COMPILE_FILE_BYTES = 256 * MIB
RESULT_OUTPUT_BYTES = 8 * MIB  #: output that one result keeps over all its cases
BATCH = 1000  #: executions in one batch
MESSAGE_BYTES = 20 * MIB  #: the largest NATS message (``max_payload``): a job, or a result with output and files


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one run may use. Times in seconds, sizes in bytes."""

    cpu_seconds: float
    output_bytes: int  #: both streams together
    processes: int  #: threads count
    file_bytes: int  #: a file
    compile_seconds: float


class Tier(StrEnum):
    #: nobody said who they are
    ANONYMOUS = "anonymous"
    FREE = "free"
    PREMIUM = "premium"


DEFAULTS = Limits(cpu_seconds=30.0, output_bytes=MIB, processes=64, file_bytes=16 * MIB, compile_seconds=10.0)
WIDEST = Limits(cpu_seconds=30.0, output_bytes=8 * MIB, processes=256, file_bytes=64 * MIB, compile_seconds=30.0)

#: The least of each limit: below it no runtime starts, so that a verdict would say nothing of the program.
LEAST = Limits(cpu_seconds=0.1, output_bytes=0, processes=1, file_bytes=0, compile_seconds=1.0)

CEILINGS: dict[Tier, Limits] = dict.fromkeys(Tier, WIDEST)
