"""What was decided, as messages in a stream of the region: the history a new controller takes up, and its fence.

Every decision is JSON, so that ``nats stream view`` shows it to a person. Beside them lies who decides
(``autoscaler.lock``).

Rules
1. A decision is stored before it is carried out, with the sequence of the one before as a condition. A controller that
   was superseded, whatever its lock says, is refused there, and does nothing (``Superseded``).
2. What was carried out is not written down again: the next decision begins with what there is.
"""

from __future__ import annotations

import json
import math

from autoscaler.policy import Count, Decision, Limit
from jobs.errors import PlatformFault
from jobs.service.bus import ApiError, Bus
from jobs.streams import SCALE_KEPT, scale_decision_subject, scale_stream

STORE_TIMEOUT_S = 3.0

_WRONG_LAST_SEQUENCE = 10071
_NO_STREAM = 10059
_NO_MESSAGE = "404"


class Superseded(PlatformFault):
    """Another controller has decided meanwhile."""


class Record:
    """The decisions of one region."""

    def __init__(self, bus: Bus, region: str) -> None:
        self._bus, self._region = bus, region
        self._last: dict[str, int] = {}  #: fleet to the sequence of its newest decision

    async def read(self, fleet: str) -> list[Decision]:
        """The decisions of *fleet*, oldest first; what cannot be read is passed over. None without the stream."""
        subject = scale_decision_subject(self._region, fleet)
        try:
            await self._bus.api(f"STREAM.INFO.{scale_stream(self._region)}")
        except ApiError as error:
            if error.code == _NO_STREAM:
                return []
            raise
        self._last[fleet] = (await last_of(self._bus, scale_stream(self._region), subject))[0]
        found = await self._bus.all(scale_stream(self._region), subject, most=SCALE_KEPT)
        return [decision for decision in map(unpack, found) if decision is not None]

    async def add(self, decision: Decision) -> int:
        """Store it, and its sequence; ``Superseded`` where it is not the next after the last one known."""
        subject = scale_decision_subject(self._region, decision.fleet)
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._last.get(decision.fleet, 0))}
        sequence = await store(self._bus, subject, pack(decision), headers)
        if sequence is None:
            raise Superseded(f"another controller has decided on {decision.fleet} meanwhile")
        self._last[decision.fleet] = sequence
        return sequence


async def store(bus: Bus, subject: str, data: bytes, headers: dict[str, str]) -> int | None:
    """The sequence under which it is stored; None where a header's condition does not hold."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    answer = json.loads((await bus.request(subject, data, timeout_s=STORE_TIMEOUT_S, headers=block)).data)
    error = answer.get("error")
    if error is None:
        return int(answer["seq"])
    if error.get("err_code") == _WRONG_LAST_SEQUENCE:
        return None
    raise ApiError(error)


async def last_of(bus: Bus, stream: str, subject: str) -> tuple[int, bytes]:
    """Sequence and body of the newest message of a subject; 0 and nothing where there is none."""
    request = json.dumps({"last_by_subj": subject}).encode()
    answer = await bus.request(f"$JS.API.DIRECT.GET.{stream}", request, timeout_s=STORE_TIMEOUT_S)
    if answer.status == _NO_MESSAGE:
        return 0, b""
    return int(answer.header("Nats-Sequence")), answer.data


def pack(decision: Decision) -> bytes:
    return json.dumps(
        {
            "fleet": decision.fleet,
            "at": decision.at,
            "baseline_before": decision.count.baseline,
            "burst_before": decision.count.burst,
            "wanted": decision.wanted,
            "total": decision.total,
            "baseline": decision.baseline,
            "limits": [limit.value for limit in decision.limits],
            "reasons": decision.reasons,
        }
    ).encode()


def unpack(data: bytes) -> Decision | None:
    """The decision in *data*; None where it is none."""
    try:
        fields = json.loads(data)
        decision = Decision(
            fleet=str(fields["fleet"]),
            at=float(fields["at"]),
            count=Count(baseline=int(fields["baseline_before"]), burst=int(fields["burst_before"])),
            wanted=int(fields["wanted"]),
            total=int(fields["total"]),
            baseline=int(fields["baseline"]),
            limits=tuple(Limit(each) for each in fields["limits"]),
            reasons=tuple(str(each) for each in fields["reasons"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    return decision if math.isfinite(decision.at) else None
