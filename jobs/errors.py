"""The tree of errors. A bad program is a verdict, never one of these.

    YurtError
    ├── CallerFault             the caller can mend it                        4xx
    │   ├── NotJson             the body is no JSON object                    400
    │   ├── Unauthenticated                                                   401
    │   ├── Forbidden                                                         403
    │   ├── NotFound                                                          404
    │   ├── Conflict            too late, or in another state                 409
    │   ├── TooLarge            refused before it is read                     413
    │   ├── WrongMediaType                                                    415
    │   ├── InvalidSubmission   carries every fault, not the first            422
    │   └── Refused             carries a reason and when to come back        429
    └── PlatformFault           ours; retried                                 5xx
        ├── Unavailable         nothing was accepted; carries when to retry   503
        ├── WireFault           a message that cannot be read
        │   └── UnknownVersion  … because a newer process wrote it
        ├── ConfigFault         a setting or file is wrong; names it and the cure
        └── SandboxFault        a sandbox failed before, or apart from, the program in it

The docstring of a leaf is its title for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with one field, and what would mend it."""

    field: str
    problem: str
    cure: str


class Reason(StrEnum):
    #: the class or the language has no room in its queue
    QUEUE_FULL = "queue_full"
    #: the user runs as many as its tier allows
    USER_CONCURRENCY = "user_concurrency"
    #: the user submits faster than its tier allows
    USER_RATE = "user_rate"


class YurtError(Exception):
    """The root: everything that Yurt raises on purpose."""


class CallerFault(YurtError):
    """The request cannot be served as it is."""


class NotJson(CallerFault):
    """The body is not a JSON object."""


class Unauthenticated(CallerFault):
    """Who asks is not known."""


class Forbidden(CallerFault):
    """This is somebody else's."""


class NotFound(CallerFault):
    """There is nothing by that name."""


class Conflict(CallerFault):
    """It is too late for that."""


class TooLarge(CallerFault):
    """The request is larger than is allowed."""


class WrongMediaType(CallerFault):
    """The body is of another kind than is read here."""


class InvalidSubmission(CallerFault):
    """Some fields are not as they must be."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.problem}" for fault in faults))
        self.faults = faults


class Refused(CallerFault):
    """There is no room for this now."""

    def __init__(self, message: str, *, reason: Reason, retry_after_s: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class PlatformFault(YurtError):
    """Something of ours failed."""


class Unavailable(PlatformFault):
    """A part that this needs is away; nothing was accepted."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WireFault(PlatformFault):
    """A message cannot be read."""


class UnknownVersion(WireFault):
    """A message is of a version that this process does not know."""


class ConfigFault(PlatformFault):
    """A setting or a file is wrong."""


class SandboxFault(PlatformFault):
    """A sandbox failed, apart from the program in it."""
