"""A region's streams and consumers, made as its file says: looked at, compared, refused or done.

Theory of operation. ``survey`` is what ``--dry-run`` shows; ``carry_out`` does it: streams first, in their order, then
the consumers of each queue, which go the way of ``yurt.bootstrap.fleets``. What is there already is left alone, so it
may be run again, after any end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from jobs.errors import ConfigFault, Unavailable
from jobs.region import Region
from jobs.service.bus import ApiError, Bus
from jobs.service.streams_there import NAME_IN_USE
from jobs.streams import StreamPlan, plan
from yurt.bootstrap import fleets
from yurt.bootstrap.changes import Allowed, Change, Changes, What, compare
from yurt.bootstrap.live import READY_S, look, until_ready

Say = Callable[[str], None]

REPLICATED_S = 300.0  #: for full queues to be copied to new servers
_CHANGE_S = 15.0
_LOOK_S = 0.25

_OVERLAP = 10065
_NO_PLACE = (10005, 10023, 10074)  #: no suitable peers, insufficient resources, not that many replicas
_TOO_LITTLE = (10028, 10047)  #: memory, storage
_TWICE = 10100  #: two consumers of a queue for one subject


async def set_up(
    bus: Bus, region: Region, *, allowed: Allowed | None = None, wait_s: float = READY_S, say: Say = lambda words: None
) -> Changes:
    """The region is as its file says when it returns; what was changed. ``ConfigFault`` with all that is refused."""
    changes = await survey(bus, region, allowed=allowed, wait_s=wait_s)
    if changes.refusals:
        raise ConfigFault(refused(region, changes))
    await carry_out(bus, region, changes, say=say)
    return changes


async def survey(bus: Bus, region: Region, *, allowed: Allowed | None = None, wait_s: float = READY_S) -> Changes:
    """What would be changed; changes nothing."""
    await until_ready(bus, wait_s=wait_s)
    plans = plan(region)
    changes = compare(plans, await look(bus, plans), allowed)
    steps = [step for each in plans if each.consumers for step in await fleets.look(bus, each)]
    return replace(changes, steps=tuple(steps))


def refused(region: Region, changes: Changes) -> str:
    return f"region {region.name} was left as it is:\n  " + "\n  ".join(changes.refusals)


async def carry_out(bus: Bus, region: Region, changes: Changes, *, say: Say = lambda words: None) -> None:
    for change in changes.streams:
        await _change_stream(bus, region, change)
        say(f"{change.target}: {change.what}")
    for queue in plan(region):
        if queue.consumers:
            try:
                await fleets.change(bus, queue, say=say)
            except ApiError as error:
                raise ConfigFault(f"{queue.name}: {_why(error, region)}") from error
    await _until_replicated(bus, [change.stream for change in changes.streams if change.stream is not None], say)


async def _until_replicated(bus: Bus, streams: Iterable[StreamPlan], say: Say) -> None:
    """Until every replica has what the stream has: before that a lost server may be lost messages."""
    deadline = asyncio.get_running_loop().time() + REPLICATED_S
    for stream in streams:
        said = False
        while behind := await _behind(bus, stream):
            if not said:
                say(f"{stream.name}: waits for its replicas on {', '.join(behind)}")
                said = True
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"{stream.name}: its replicas on {', '.join(behind)} are behind after {REPLICATED_S:.0f} s;"
                    " see that those servers are up, and run this again"
                )
            await asyncio.sleep(_LOOK_S)


async def _behind(bus: Bus, stream: StreamPlan) -> list[str]:
    """The servers whose replica is not whole yet.

    A replica is called current before it has the messages; while more servers are taken in, only the end of the
    ``desired`` state says that they have. A leader that dies before that leaves a stream that nobody can read.
    """
    others = int(stream.config["num_replicas"]) - 1
    cluster = (await bus.api(f"STREAM.INFO.{stream.name}", timeout_s=_CHANGE_S)).get("cluster") or {}
    replicas = cluster.get("replicas") or []
    behind = [replica["name"] for replica in replicas if not replica.get("current") or replica.get("offline")]
    if not behind and (cluster.get("desired") or others > len(replicas)):
        return [", ".join(replica["name"] for replica in replicas) or "servers that are still being chosen"]
    return behind


async def _change_stream(bus: Bus, region: Region, change: Change) -> None:
    assert change.stream is not None
    name, config = change.stream.name, change.stream.config
    try:
        if change.what is What.CREATE:
            try:
                await bus.api(f"STREAM.CREATE.{name}", config, timeout_s=_CHANGE_S)
            except ApiError as error:
                if error.code != NAME_IN_USE:  # somebody else made it, of another configuration, just now
                    raise
                await bus.api(f"STREAM.UPDATE.{name}", config, timeout_s=_CHANGE_S)
        else:
            await bus.api(f"STREAM.UPDATE.{name}", config, timeout_s=_CHANGE_S)
    except ApiError as error:
        raise ConfigFault(f"{change.target}: {_why(error, region)}") from error


def _why(error: ApiError, region: Region) -> str:
    """What the server said, and the cure."""
    if error.code == _OVERLAP:
        return f"{error}; another region has one of the gateways {', '.join(region.gateways)}: give each its own names"
    if error.code in _NO_PLACE:
        where = f"the cluster {region.cluster!r}" if region.cluster else "this server"
        return f"{error}; replicas = {region.replicas} needs as many servers in {where}: see cluster and replicas"
    if error.code in _TOO_LITTLE:
        return f"{error}; give JetStream more room (max_memory_store, max_file_store)"
    if error.code == _TWICE:
        return f"{error}; another consumer has one of its languages: see the fleets, and run this again"
    return f"JetStream said no: {error}"
