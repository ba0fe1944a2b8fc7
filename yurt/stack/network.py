"""The network on this machine: its regions started together, each ready when it is, and ended together.

Every region's NATS servers are started before any region's streams are made: JetStream's leader is chosen by most of
the servers there are. The end goes role by role, over all regions at once: gateways let their callers go, runners
finish what runs, NATS keeps what is queued for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable, Sequence

from yurt.stack.child import Say
from yurt.stack.folder import Folder, State, started_at
from yurt.stack.layout import Layout
from yurt.stack.station import END_ORDER, Station

_KILLED_S = 5.0  #: the kernel takes a moment to clear a killed process away


class Network:
    """``start``, then ``stop``. What runs is in the data folder's state at any time."""

    def __init__(self, folder: Folder, layouts: Sequence[Layout], *, say: Say) -> None:
        self._folder = folder
        self._stations = [Station(layout, dict(os.environ), say=say, on_change=self._note) for layout in layouts]

    async def start(self, on_ready: Callable[[Layout], None]) -> None:
        """All regions ready to take jobs when it returns, each told of as it is; ``PlatformFault`` if one cannot be."""
        for station in self._stations:
            await station.start_servers()
        tasks = [asyncio.create_task(_serve(station, on_ready)) for station in self._stations]
        try:
            await asyncio.gather(*tasks)
        finally:  # where one failed, the others have begun for nothing
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Everything ended, in the order in which nothing is lost."""
        for role in END_ORDER:
            await asyncio.gather(*(station.end(role) for station in self._stations))

    def hurry(self) -> None:
        """Kill what has not ended yet."""
        for station in self._stations:
            station.hurry()

    def _note(self) -> None:
        """Write down what runs, for ``yurt status`` and ``yurt run``."""
        state = State(
            pid=os.getpid(),
            started=started_at(os.getpid()) or 0,
            places=tuple(station.place for station in self._stations),
            processes=tuple(process for station in self._stations for process in station.processes),
        )
        self._folder.write(state)


async def _serve(station: Station, on_ready: Callable[[Layout], None]) -> None:
    await station.start_serving()
    on_ready(station.layout)


def clear(folder: Folder, say: Say) -> None:
    """End what an earlier run, itself killed, has left. The folder must be ours."""
    for process in folder.read().processes:
        if process.alive:
            say(f"ending the {process.role} of an earlier run, process {process.pid}")
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(process.pid)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], _KILLED_S)
                os.close(pidfd)
