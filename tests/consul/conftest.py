"""Two real datacenters for the whole run; what a test killed is started again for the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.consul.datacenters import Datacenter, binary, federation, start


@pytest.fixture(scope="session")
def datacenters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Datacenter, Datacenter]]:
    """``us-east`` and ``eu-west``, federated; skipped where there is no Consul."""
    if binary() is None:
        pytest.skip("NO CONSUL HERE: neither on PATH nor in .tools; .ci/consul gets one, where apt can")
    both = federation(tmp_path_factory.mktemp("consul"))
    try:
        start(*both)
        yield both
    finally:
        for datacenter in both:
            datacenter.stop()


@pytest.fixture
def home(datacenters: tuple[Datacenter, Datacenter]) -> Datacenter:
    """``us-east``; the test may kill it."""
    if any(datacenter.process is None for datacenter in datacenters):
        start(*datacenters)
    return datacenters[0]


@pytest.fixture
def away(home: Datacenter) -> Datacenter:
    """``eu-west``; the test may kill it."""
    return home.others[0]
