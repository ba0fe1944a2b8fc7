"""What a person types or imports: the ``yurt`` command, the client library, the network on one machine.

    import yurt

    with yurt.SyncClient() as client:
        print(client.execute("python", "print(6 * 7)")["stdout"])

Importing this is cheap: the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yurt.answers import Complete, Event, Execution, Language, Output, Status, Submitted
    from yurt.client import Client
    from yurt.faults import NoNetwork, Problem, Untrusted
    from yurt.stream import Stream
    from yurt.sync import SyncClient

_HOMES = {
    "Client": "yurt.client",
    "Complete": "yurt.answers",
    "Event": "yurt.answers",
    "Execution": "yurt.answers",
    "Language": "yurt.answers",
    "NoNetwork": "yurt.faults",
    "Output": "yurt.answers",
    "Problem": "yurt.faults",
    "Status": "yurt.answers",
    "Stream": "yurt.stream",
    "Submitted": "yurt.answers",
    "SyncClient": "yurt.sync",
    "Untrusted": "yurt.faults",
}

__all__ = [
    "Client",
    "Complete",
    "Event",
    "Execution",
    "Language",
    "NoNetwork",
    "Output",
    "Problem",
    "Status",
    "Stream",
    "Submitted",
    "SyncClient",
    "Untrusted",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'yurt' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
