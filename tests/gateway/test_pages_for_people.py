"""The page, the readable docs and the contract: whole, and with nothing from outside."""

from __future__ import annotations

import re

import pytest

from gateway.intake import _SUBMISSION
from gateway.openapi import contract
from gateway.routes import ROUTES
from tests.gateway.conftest import Door


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_a_page_loads_nothing_from_outside_and_runs_only_its_own_script(door: Door, path: str) -> None:
    """No address of another host in it, and a policy that says so to the browser."""
    async with door.client.get(door.url + path) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        text = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    assert "@import" not in text
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "/*style*/" not in text
    assert "<!--calls-->" not in text


async def test_the_contract_names_every_route_and_every_field(door: Door) -> None:
    """What is served is written down, and the other way round."""
    status, document = await door.call("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    described = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}
    pages = {("GET", "/"), ("GET", "/docs"), ("GET", "/openapi.json")}
    assert described == {(method, path) for method, path, _ in ROUTES} - pages
    assert contract()["components"]["schemas"]["Submission"]["properties"].keys() == _SUBMISSION
