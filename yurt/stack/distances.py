"""How far apart the regions of one machine are made to be: ``--rtt us-east:eu-west=80ms``, read and looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.errors import ConfigFault

#: between regions of one machine that nobody set apart: about what a request there and back takes
NEAR_MS = 1.0
MOST_MS = 10_000.0  #: what waits for answers in NATS waits little longer

_WORD = re.compile(r"(?P<one>[^:=]+):(?P<other>[^:=]+)=(?P<number>\d+(\.\d+)?)(?P<unit>ms|s)")
_MS = {"ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, kw_only=True)
class Distances:
    """The round trips, in milliseconds, of the pairs that were set apart."""

    pairs: Mapping[frozenset[str], float] = field(default_factory=dict, hash=False)

    def between(self, one: str, other: str) -> float | None:
        """The round trip that was asked for, or None."""
        return self.pairs.get(frozenset((one, other)))

    def apart(self, region: str) -> bool:
        """Whether the region was set apart from any other."""
        return any(region in pair for pair in self.pairs)


def parse(words: Sequence[str], regions: Sequence[str]) -> Distances:
    """The distances that *words* name between *regions*; raises ``ConfigFault`` with every fault."""
    pairs: dict[frozenset[str], float] = {}
    faults: list[str] = []
    for word in words:
        match = _WORD.fullmatch(word.strip())
        if match is None:
            faults.append(f"{word!r} is no distance; write ONE:OTHER=80ms or ONE:OTHER=0.2s")
            continue
        pair = frozenset((match["one"].strip(), match["other"].strip()))
        strangers = sorted(name for name in pair if name not in regions)
        rtt_ms = float(match["number"]) * _MS[match["unit"]]
        if strangers:
            faults.append(f"{word!r}: {' and '.join(strangers)} not among the regions {', '.join(regions)}")
        elif len(pair) == 1:
            faults.append(f"{word!r}: a region is not apart from itself; name two")
        elif pair in pairs:
            faults.append(f"{word!r}: this pair has a distance already, which holds both ways; give one")
        elif not 0 < rtt_ms <= MOST_MS:
            faults.append(f"{word!r}: use more than 0 and at most {MOST_MS / 1000:g}s")
        else:
            pairs[pair] = rtt_ms
    if faults:
        raise ConfigFault("--rtt: " + "\n  ".join(faults))
    return Distances(pairs=pairs)
