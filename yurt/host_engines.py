"""Which engines work on this machine, and why others do not: what a runner started with each would find.

Looked at, never changed: no container and no sandbox is started, no daemon either, and each look has its deadline. What
an engine needs beside this (that a language proves itself in it) is the business of the runner's own self-tests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.engines import EngineName
from jobs.errors import PlatformFault
from runner.engines import gvisor
from runner.settings import default_docker, default_images
from yurt.host import Finding, sandboxes_need

LOOK_S = 5.0
KVM = Path("/dev/kvm")
RUNC, RUNSC, KATA = "runc", "runsc", "kata-fc"
#: what the daemon's configuration must say of those that it does not have by itself
ADD = {
    RUNSC: 'install runsc, write "runtimes": {"runsc": {"path": "/usr/bin/runsc"}} into /etc/docker/daemon.json',
    KATA: 'install Kata Containers, write "kata-fc" into "runtimes" of /etc/docker/daemon.json (docs/deploy.md)',
}


@dataclass(frozen=True, kw_only=True)
class EngineFinding:
    """One engine, with one wall. ``cure`` may be there beside ``works``: what of it does not."""

    engine: EngineName
    runtime: str = ""  #: of docker: what its daemon runs containers with
    works: bool
    found: str
    cure: str = ""

    @property
    def name(self) -> str:
        """As executions name it."""
        return "-".join(filter(None, (self.engine, self.runtime)))

    @property
    def finding(self) -> Finding:
        return Finding(what=f"engine {self.name}", found=self.found, good=self.works, needed=False, cure=self.cure)


def examine() -> list[EngineFinding]:
    """Every engine, docker with each runtime that is ours or its daemon's."""
    return [_fork(), *_docker(_set("DOCKER_URL") or default_docker()), _snapshot()]


def _set(name: str) -> str:
    """A runner's setting, where this environment has it."""
    return os.environ.get(f"YURT_{name}", "")


def _fork() -> EngineFinding:
    lacks = [finding.what for finding in sandboxes_need() if not finding.good]
    return EngineFinding(
        engine=EngineName.FORK,
        works=not lacks,
        found="works" if not lacks else f"lacks {', '.join(lacks)}",
        cure="mend what is named above" if lacks else "",
    )


# -- docker ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Daemon:
    """What a daemon has: runtimes with their programs, languages of its images, and what is wrong with other images."""

    runtimes: Mapping[str, str]
    languages: tuple[str, ...]
    faults: tuple[str, ...]


def _docker(url: str) -> Iterator[EngineFinding]:
    try:
        daemon = asyncio.run(_look(url))
    except PlatformFault as fault:
        yield EngineFinding(engine=EngineName.DOCKER, works=False, found="no daemon", cure=_as_root(str(fault)))
        return
    names = [name for name in daemon.runtimes if not name.startswith("io.containerd.")]  # those are runc by other names
    for name in dict.fromkeys((RUNC, *names, RUNSC, KATA)):
        problem = _problem_of(name, daemon)
        languages = f"images of {', '.join(daemon.languages)}" if daemon.languages else "no image of a language"
        found = languages if name in daemon.runtimes else "the daemon does not have it"
        yield EngineFinding(
            engine=EngineName.DOCKER,
            runtime=name,
            works=not problem,
            found=found if problem else "; ".join(filter(None, (found, _more_of(name, daemon)))),
            cure=_as_root(problem) if problem else "; ".join(daemon.faults),
        )


async def _look(url: str) -> _Daemon:
    from runner.engines.docker import installed  # its library is loaded only where it is asked for
    from runner.engines.docker.door import connected

    try:
        async with asyncio.timeout(LOOK_S), connected(url) as daemon:
            runtimes = await daemon.runtimes()
            found, faults = await installed.look(daemon)
    except TimeoutError as error:
        raise PlatformFault(f"the daemon at {url} says nothing for {LOOK_S:g} s; look at it, or restart it") from error
    names = sorted(one.name for installations in found.values() for one in installations)
    return _Daemon(runtimes=runtimes, languages=tuple(names), faults=tuple(faults))


def _problem_of(runtime: str, daemon: _Daemon) -> str:
    """Why containers of this runtime cannot serve, with the cure; empty where they can."""
    if runtime not in daemon.runtimes:
        return f"{ADD[runtime]}, restart dockerd"
    if os.geteuid() != 0:
        return "run as root: control groups of containers are read"
    if runtime == RUNSC and (problem := gvisor.problem_of(daemon.runtimes[runtime])):
        return problem
    if runtime == KATA and not os.access(KVM, os.R_OK | os.W_OK):
        return f"{KATA} starts virtual machines and needs {KVM}: a machine of bare metal, or nested virtualisation"
    if not daemon.languages:
        return "; ".join(daemon.faults) or "the daemon has no image of a language: make images LOAD=1"
    return ""


def _more_of(runtime: str, daemon: _Daemon) -> str:
    if runtime == RUNSC:
        return gvisor.version_of(daemon.runtimes[runtime])
    return "not run by Yurt's own tests" if runtime == KATA else ""


def _as_root(problem: str) -> str:
    """A socket that only root may open looks as if nobody were there."""
    return problem if os.geteuid() == 0 or "as root" in problem else f"{problem}; and run as root"


# -- snapshot ----------------------------------------------------------------------------------------------------------


def _snapshot() -> EngineFinding:
    from runner.engines.snapshot import engine  # what it needs is loaded only where it is asked for

    images, program = Path(_set("IMAGES") or default_images()), _set("RUNSC") or RUNSC
    problem = _no_control_groups() or engine.problem_of(program, images)
    held, faults = engine.look(images)
    names = sorted(one.name for archives in held.values() for one, _ in archives)
    languages = f"images of {', '.join(names)} in {images}" if names else f"no image of a language in {images}"
    return EngineFinding(
        engine=EngineName.SNAPSHOT,
        works=not problem,
        found=languages if problem else f"{languages}; {gvisor.version_of(program)}",
        cure=_as_root(problem) if problem else "; ".join(faults),
    )


def _no_control_groups() -> str:
    """Why sandboxes of our own could not be bounded, with the cure."""
    return next((f.cure for f in sandboxes_need() if not f.good and f.what in {"root", "cgroups"}), "")
