"""Ports: counted up only when nobody asked for one, and a busy one names who has it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from yurt.stack import ports

HOME = Path(__file__).parents[2]


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_was_asked_for_and_is_taken_names_who_has_it(busy: int) -> None:
    with pytest.raises(ConfigFault, match=rf"port {busy} is taken by .* \(process {os.getpid()}\)"):
        ports.asked_for(busy)


def test_a_busy_port_is_stepped_over_when_nobody_asked_for_it(busy: int) -> None:
    assert ports.first_free(busy) > busy


def test_networks_that_start_at_once_choose_different_ports(busy: int) -> None:
    """Though nobody listens yet where the other one will."""
    program = f"from yurt.stack import ports; print(ports.first_free({busy}), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert ports.is_free(theirs)
        assert ports.first_free(theirs) > theirs
        with pytest.raises(ConfigFault, match=f"port {theirs} is taken"):
            ports.asked_for(theirs)
        other.kill()
    assert ports.first_free(theirs) == theirs


def test_a_preferred_port_is_used_again_where_it_is_free(busy: int) -> None:
    free = ports.any_free()
    assert ports.any_free(free) == free
    assert ports.any_free(busy) != busy
