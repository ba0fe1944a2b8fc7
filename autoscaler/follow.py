"""The files that say what fleets there are, read again while the autoscaler lives: fleets come, go, get other bounds.

A file that is half written, or wrong, is said once and changes nothing: what held before holds on.
"""

from __future__ import annotations

import asyncio
import logging

from autoscaler import scaling
from autoscaler.scaling import Scaling
from autoscaler.settings import AutoscalerSettings
from jobs.errors import ConfigFault
from jobs.region import Region
from jobs.service.logs import event
from jobs.service.settings import load_region, read_text

log = logging.getLogger("follow")

LOOK_S = 5.0


Plans = tuple[Region, Scaling]


def read(settings: AutoscalerSettings) -> Plans:
    """The region and its scaling, as the files have them now; raises ``ConfigFault`` with every fault."""
    region = load_region(settings.region_file, settings.region)
    return region, load_scaling(settings, region)


def load_scaling(settings: AutoscalerSettings, region: Region) -> Scaling:
    if settings.scaling_file is None:
        return scaling.default(region)
    return scaling.parse(read_text(settings.scaling_file, "scaling_file:"), region)


async def until_changed(settings: AutoscalerSettings, before: Plans, *, look_s: float | None = None) -> Plans:
    """What the files say, once that is something else than *before*, and can be followed."""
    name, said = before[0].name, ""
    while True:
        await asyncio.sleep(LOOK_S if look_s is None else look_s)
        try:
            plans = await asyncio.to_thread(read, settings)
            if plans[0].name != name:
                raise ConfigFault(f"region_file: it is of {plans[0].name} now; {name} has an autoscaler of its own")
        except ConfigFault as fault:
            if str(fault) != said:
                event(log, "files_refused", level=logging.WARNING, region=name, why=str(fault))
            said = str(fault)
            continue
        if plans != before:
            event(log, "files_changed", region=name, fleets=",".join(fleet.name for fleet in plans[1].fleets))
            return plans
