"""Who listens where on this machine: free ports, and the name of a process that has one.

A region's gateway listens some seconds after its port was chosen. So that networks which start at the same time do not
choose the same one, a choice is also *claimed*: by an abstract unix socket of that number, which the kernel gives to
one process and takes back when it ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from jobs.errors import ConfigFault

ADDRESS = "127.0.0.1"
_TRIES = 100
_LISTENING = "0A"
_claims: set[int] = set()  #: ours, until this process ends


def asked_for(port: int) -> int:
    """*port*, ours; raises ``ConfigFault`` naming who has it."""
    if not (is_free(port) and _claim(port)):
        holder = holder_of(port)
        whose = f" by {holder}" if holder else ""
        raise ConfigFault(f"port {port} is taken{whose}; choose another with --port, or end that process")
    return port


def first_free(port: int) -> int:
    """The first port from *port* on that is free, ours."""
    for candidate in range(port, min(port + _TRIES, 65536)):
        if is_free(candidate) and _claim(candidate):
            return candidate
    raise ConfigFault(f"no port is free from {port} to {port + _TRIES - 1}; choose one with --port")


def any_free(preferred: int | None = None) -> int:
    """*preferred* where it is free, else one that the kernel picks."""
    if preferred is not None and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def several_free(count: int) -> Iterator[int]:
    """Free ports that the kernel picks, no two the same."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((ADDRESS, 0))
        return iter([int(probe.getsockname()[1]) for probe in probes])
    finally:
        for probe in probes:
            probe.close()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Whether it is ours among all the networks of this machine."""
    if port in _claims:
        return True
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0yurt-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()  # the descriptor lives as long as we do
    _claims.add(port)
    return True


def holder_of(port: int) -> str | None:
    """``nginx (process 812)`` for the process that listens on *port*, as far as we may see."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and any(link in inodes for link in _links(folder / "fd")):
            return f"{_name(folder)} (process {folder.name})"
    return None


def has_connection(pid: int, port: int, to: int) -> bool:
    """Whether that process has a connection from *port* to the port *to*, both of this machine."""
    inodes = {f"socket:[{fields[9]}]" for fields in _sockets() if (_port(fields[1]), _port(fields[2])) == (port, to)}
    return any(link in inodes for link in _links(Path(f"/proc/{pid}/fd")))


def _listening_inodes(port: int) -> Iterator[str]:
    for fields in _sockets():
        if fields[3] == _LISTENING and _port(fields[1]) == port:
            yield fields[9]


def _sockets() -> Iterator[list[str]]:
    """The kernel's table of TCP sockets: local and remote address, state and inode are fields 1, 2, 3 and 9."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                yield line.split()


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _links(folder: Path) -> Iterator[str]:
    try:
        for entry in folder.iterdir():
            yield str(entry.readlink())
    except OSError:
        return  # it ended, or is not ours to see


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "a process"
