"""Whose kernel a container's processes have, which its runtime says, and what follows from that on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOST_THREADS = 8192  #: of a kernel that is a process here: it has threads of its own, and some for each of its tasks


#: how C's strerror and runtimes word that a process or thread could not be had; for kernels that count no refusals
REFUSED = re.compile(
    rb"Resource temporarily unavailable|can't start new thread|unable to create native thread"
    rb"|failed to create new OS thread|\bEAGAIN\b|ERR_WORKER_INIT"
)


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What an engine may count on."""

    called: str
    #: process 1 is a process of this machine: a signal to it needs no daemon
    is_ours: bool
    #: ending the process that the daemon names ends the container
    ends_with_process: bool
    #: its control group here bounds the program alone, and counts it
    bounds_memory: bool
    #: that group counts the program's processes; where it does not, process 1 looks, every so many seconds (0: nobody)
    bounds_processes: bool
    look_s: float = 0.0


MACHINES = Kernel(
    called="the machine's", is_ours=True, ends_with_process=True, bounds_memory=True, bounds_processes=True
)
GVISORS = Kernel(
    called="gVisor's",
    is_ours=False,
    ends_with_process=True,
    bounds_memory=True,
    bounds_processes=False,
    look_s=0.01,
)
ITS_OWN = Kernel(
    called="a virtual machine's",
    is_ours=False,
    ends_with_process=False,
    bounds_memory=False,
    bounds_processes=False,
)


def kernel_of(name: str, made_by: str) -> Kernel:
    """*name* of a runtime and what the daemon says that it is: the path of a program, or a type of containerd's.

    A runtime that nobody here knows is taken for one that shares the machine's kernel, as the OCI's own does.
    """
    words = f"{name} {Path(made_by).name}"
    if "kata" in words:
        return ITS_OWN
    if "runsc" in words or "gvisor" in words:
        return GVISORS
    return MACHINES
