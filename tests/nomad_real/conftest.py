"""A whole region on a real Nomad: its own job files, registered as a person would, on a development agent.

One region serves every test of the session: starting it takes half a minute. Each test leaves it as it found it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jobs.service.bus import Bus
from tests.nomad_real.audit import Audit
from yurt.demo.nomad_region import start_region
from yurt.demo.nomad_stage import Stage, staged

LACKS = [
    *(["no nomad on PATH"] if shutil.which("nomad") is None else []),
    *(["not root, which runners need"] if os.geteuid() != 0 else []),
]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A development agent with the region's jobs running; skipped, and said so, where there is no Nomad."""
    if LACKS:
        pytest.skip(f"{', '.join(LACKS)}: NOTHING OF A REAL NOMAD IS TESTED HERE")
    with staged(tmp_path_factory.mktemp("nomad")) as stage:
        start_region(stage)
        yield stage


@pytest.fixture
async def audit(stage: Stage) -> AsyncIterator[Audit]:
    """Submits and counts; whatever a test had accepted must have exactly one result when it ends."""
    bus = await Bus.connect([stage.nats_url], name="audit")
    audit = Audit(stage.url, bus, stage.region())
    try:
        yield audit
        await asyncio.wait_for(audit.settle(), 120)
    finally:
        await audit.close()
        await bus.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("network")
