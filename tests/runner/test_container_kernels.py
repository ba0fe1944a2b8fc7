"""Whose kernel a container has, by its runtime; and how refused processes are known where no kernel counts them."""

from __future__ import annotations

import pytest

from runner.engines.docker.kernels import GVISORS, ITS_OWN, MACHINES, REFUSED, Kernel, kernel_of


@pytest.mark.parametrize(
    ("name", "made_by", "kernel"),
    [
        ("runc", "runc", MACHINES),
        ("crun", "/usr/bin/crun", MACHINES),
        ("io.containerd.runc.v2", "", MACHINES),
        ("runsc", "/usr/local/bin/runsc", GVISORS),
        ("strong", "/opt/runsc", GVISORS),
        ("gvisor", "io.containerd.runsc.v1", GVISORS),
        ("kata-fc", "/usr/bin/kata-runtime", ITS_OWN),
        ("firecracker", "io.containerd.kata-fc.v2", ITS_OWN),
    ],
)
def test_a_runtime_is_known_by_its_name_or_by_what_the_daemon_says_it_is(
    name: str, made_by: str, kernel: Kernel
) -> None:
    assert kernel_of(name, made_by) is kernel


@pytest.mark.parametrize(
    "said",
    [
        b"BlockingIOError: [Errno 11] Resource temporarily unavailable",
        b"RuntimeError: can't start new thread",
        b"java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory",
        b"Error: spawn /bin/true EAGAIN",
        b"runtime: failed to create new OS thread (have 4 already; errno=11)",
        b"terminate called after throwing 'std::system_error'\n  what():  Resource temporarily unavailable",
        b'failed to spawn thread: Os { code: 11, kind: WouldBlock, message: "Resource temporarily unavailable" }',
    ],
)
def test_what_runtimes_say_of_a_process_that_they_did_not_get(said: bytes) -> None:
    assert REFUSED.search(said)


@pytest.mark.parametrize("said", [b"ValueError: 11", b"MemoryError", b"java.lang.OutOfMemoryError: Java heap space"])
def test_other_failures_are_not_taken_for_it(said: bytes) -> None:
    assert not REFUSED.search(said)
