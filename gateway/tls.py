"""The gateway's HTTPS: which certificate the settings name, and what ``/metrics`` says of it."""

from __future__ import annotations

import asyncio
import signal

from gateway.metrics import Metrics
from gateway.settings import Settings, check_exposure
from jobs.service import life
from jobs.service.certificates import Certificate, chosen


def certificate_of(settings: Settings) -> Certificate | None:
    """None: plain HTTP, where that is allowed. Raises ``ConfigFault`` for files or a host that will not do."""
    files = chosen(settings.tls_cert_file, settings.tls_key_file)
    check_exposure(settings, tls=files is not None)
    return None if files is None else Certificate(files)


def keep_up(certificate: Certificate, tasks: life.Tasks, metrics: Metrics, renewed: asyncio.Event | None) -> None:
    """Follow the files from here on. *renewed*: look at once when it is set."""
    metrics.certificate_left_s = lambda: certificate.left_s
    tasks.start(certificate.keep_up(at_once=renewed), "certificate")


def on_hang_up(settings: Settings) -> asyncio.Event | None:
    """Set by each SIGHUP, which ends a process that has no certificate to read again."""
    if settings.tls_cert_file is None:
        return None
    renewed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, renewed.set)
    return renewed
