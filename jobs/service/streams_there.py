"""That a region's streams and consumers are there. Processes look; only ``yurt bootstrap`` and ``yurt up`` make them.

The one exception is the stream of output. It lives in memory, so a lone server that is started anew has lost it; a
gateway makes it again, and the permissions of its role let it make that one only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from jobs.errors import ConfigFault, Unavailable
from jobs.region import Region
from jobs.service.bus import ApiError, Bus, NotAllowed
from jobs.streams import StreamPlan, output_plan

NEED_WAIT_S = 30.0  #: a cluster that comes up has no leader for some seconds, and bootstrap may be at work
_LOOK_S = 0.25
_ANSWER_S = 3.0

NO_STREAM = 10059
NO_CONSUMER = 10014
NAME_IN_USE = 10058


async def need(bus: Bus, plans: Iterable[StreamPlan], *, region: str, wait_s: float = NEED_WAIT_S) -> None:
    """All of *plans* is there when it returns; else ``ConfigFault`` naming what is missing, or ``Unavailable``."""
    plans = tuple(plans)
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        try:
            missing = await _missing(bus, plans)
            if not missing:
                return
            fault: Exception = ConfigFault(
                f"region {region} is not set up: {', '.join(missing)} {'are' if len(missing) > 1 else 'is'} not there;"
                f" run: yurt bootstrap --region {region}"
            )
        except NotAllowed:
            raise
        except Unavailable as away:
            fault = away
        if asyncio.get_running_loop().time() >= deadline:
            raise fault
        await asyncio.sleep(_LOOK_S)


async def restore_output(bus: Bus, region: Region) -> bool:
    """Make the stream of output where it is gone; whether it was."""
    plan = output_plan(region)
    if not await _missing(bus, [plan]):
        return False
    try:
        await bus.api(f"STREAM.CREATE.{plan.name}", plan.config)
    except ApiError as error:
        if error.code != NAME_IN_USE:  # another gateway, of another configuration, was faster
            raise
    return True


async def _missing(bus: Bus, plans: Iterable[StreamPlan]) -> list[str]:
    wanted = [(plan.name, f"STREAM.INFO.{plan.name}") for plan in plans]
    wanted += [
        (f"{consumer.stream}/{consumer.name}", f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
        for plan in plans
        for consumer in plan.consumers
    ]
    there = await asyncio.gather(*(_is_there(bus, verb) for _, verb in wanted))
    return [name for (name, _), is_there in zip(wanted, there, strict=True) if not is_there]


async def _is_there(bus: Bus, verb: str) -> bool:
    try:
        await bus.api(verb, timeout_s=_ANSWER_S)
    except ApiError as error:
        if error.code in (NO_STREAM, NO_CONSUMER):
            return False
        raise Unavailable(f"JetStream refused {verb}: {error}") from error
    return True
