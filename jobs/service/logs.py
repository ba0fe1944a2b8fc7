"""Logs: one line an event, ``key=value``, to standard error. Never a caller's code or output.

``event(log, "job_done", execution_id=…, verdict=…)`` writes ``… action=job_done execution_id=… verdict=…``; the action
is a stable word, so that a search finds every line of its kind.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any


def set_up(*, level: str = "INFO", role: str) -> None:
    """Log lines of this process, each with its role."""
    handler = logging.StreamHandler(sys.stderr)
    form = f"%(asctime)s.%(msecs)03dZ level=%(levelname)s role={role} %(message)s"
    formatter = logging.Formatter(form, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What a line does not show is not looked up for it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # the caller's file and line
    logging.getLogger("nats").setLevel(logging.CRITICAL)  # its reconnects are told by the bus


def event(log: logging.Logger, action: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """One line; fields that are None are left out."""
    if log.isEnabledFor(level):
        words = [f"{name}={_quoted(value)}" for name, value in fields.items() if value is not None]
        log.log(level, "%s", " ".join([f"action={action}", *words]))


def _quoted(value: Any) -> str:
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return repr(text) if any(letter in text for letter in " ='\"\n\r\t") else text
