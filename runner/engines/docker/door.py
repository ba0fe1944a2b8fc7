"""The one module that knows aiodocker: containers and images of one Docker daemon, every call with a deadline.

Rules
1. The connector is our own, without a bound on connections: every attached container holds one.
2. A container is attached before it is started: nothing that it says is lost.
3. The end of a container's input is the end of our half of the connection, which aiodocker has no call for.
4. A container is deleted by force, whatever it does; that it is gone already is as good.
5. What is a process of this machine is signalled by us, not by the daemon: that takes no process of the daemon's, and
   comes at once when the daemon is busy. A descriptor of the process stands for it, so that no other is ever meant.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer
from aiodocker.stream import Stream as Attachment
from yarl import URL

from jobs.errors import ConfigFault, SandboxFault
from runner.engines.docker.labels import Image

CALL_S = 10.0
START_S = 20.0
DELETE_S = 30.0
DEFAULT_URL = "unix:///var/run/docker.sock"


class Attached:
    """The standard streams of one container."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment

    async def open(self) -> None:
        await self._attachment._init()

    def write(self, data: bytes) -> None:
        """Sent when the other end takes it; that it is gone is not our affair."""
        transport = self._transport()
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def write_eof(self) -> None:
        transport = self._transport()
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            with contextlib.suppress(OSError):
                transport.write_eof()

    async def read(self) -> tuple[int, bytes] | None:
        """1 or 2 for its two outputs, and some of it; None at the end."""
        try:
            message = await self._attachment.read_out()
        except (aiohttp.ClientError, OSError):
            return None
        return None if message is None else (message.stream, message.data)

    async def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError, aiohttp.ClientError):
            await self._attachment.close()

    def _transport(self) -> asyncio.Transport | None:
        response = self._attachment._resp
        connection = response.connection if response is not None else None
        return connection.transport if connection is not None else None


class Container:
    """One container, created, attached and started."""

    def __init__(self, container: DockerContainer, streams: Attached) -> None:
        self._container, self.streams = container, streams
        self.pid = 0  #: of its process 1, or of what holds its kernel, as the daemon's machine counts
        self._process = -1

    def is_of(self, pid: int) -> None:
        """It has started, and this is its process."""
        self.pid = pid
        with contextlib.suppress(OSError):  # it has ended already: the daemon says what is to be said of it
            self._process = os.pidfd_open(pid)

    async def signal(self, number: int) -> None:
        """To its process 1, by the daemon."""
        with contextlib.suppress(SandboxFault):  # that it has ended is no fault
            await _within(CALL_S, self._container.kill(signal=str(number)), "signal a container")

    def strike(self, number: int) -> bool:
        """A signal to its process, by us; whether there is one that can be reached."""
        if self._process < 0:
            return False
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)
        return True

    async def bound(self, memory_bytes: int, processes: int) -> None:
        """Other bounds for it, by the daemon: where a kernel of its own keeps them."""
        bounds = {"Memory": memory_bytes, "MemorySwap": memory_bytes, "PidsLimit": processes}
        address = f"containers/{self._container.id}/update"
        await _within(CALL_S, self._container.docker._query_json(address, "POST", data=bounds), "bound a container")

    async def was_killed_for_memory(self) -> bool:
        state = await _within(CALL_S, self._container.show(), "look at a container")
        return bool(state["State"].get("OOMKilled"))

    async def delete(self, *, ours: bool = False) -> None:
        """Remove it. *ours*: its process is one that we may kill; then the daemon need start none to do it."""
        await self.streams.close()
        if ours and self.strike(signal.SIGKILL):
            with contextlib.suppress(SandboxFault):  # the daemon does it by itself, then
                await _within(CALL_S, self._container.wait(), "see a container end")
        if self._process >= 0:
            os.close(self._process)
            self._process = -1
        with contextlib.suppress(SandboxFault):
            await _within(DELETE_S, self._container.delete(force=True, v=True), "delete a container")


class Daemon:
    """One Docker daemon. ``async with connected(url)``, or ``close`` it."""

    def __init__(self, url: str) -> None:
        path = url.removeprefix("unix://")
        if "://" in path:
            raise ConfigFault(
                f"docker_url: {url} is no unix socket; control groups are read on the daemon's own machine"
            )
        self.url = url
        self._connector = aiohttp.UnixConnector(path, limit=0)
        self._docker = Docker(url="unix://localhost", connector=self._connector)  # the host of its addresses

    async def runtimes(self) -> dict[str, str]:
        """What it can run containers with: the name of each, and its program or type; ``ConfigFault`` where no daemon
        answers."""
        try:
            info = await _within(CALL_S, self._docker.system.info(), "ask the daemon")
        except SandboxFault as fault:
            raise ConfigFault(
                f"docker_url: no Docker daemon answers at {self.url}; start dockerd, or name its socket"
            ) from fault
        found: dict[str, dict[str, Any]] = info.get("Runtimes") or {}
        return {name: str(one.get("path") or one.get("runtimeType") or "") for name, one in found.items()}

    async def images(self, label: str) -> list[Image]:
        """Those that bear the label and have a name: one that lost its name to a newer build is not meant any more."""
        found = await _within(CALL_S, self._docker.images.list(filters={"label": [label]}), "list images")
        return [
            Image(id=each["Id"], name=each["RepoTags"][0], labels=each.get("Labels") or {})
            for each in found
            if each.get("RepoTags") and each["RepoTags"] != ["<none>:<none>"]
        ]

    async def start(self, config: Mapping[str, Any]) -> Container:
        """A new container, started; nothing is left of it where that fails."""
        created = await _within(CALL_S, self._docker.containers.create(dict(config)), "create a container")
        container = Container(created, Attached(self._attachment(created.id)))
        try:
            await _within(CALL_S, container.streams.open(), "attach to a container")
            await _within(START_S, created.start(), "start a container")
            state = await _within(CALL_S, created.show(), "look at a container")
            container.is_of(int(state["State"]["Pid"]))
            return container
        except BaseException:
            await asyncio.shield(container.delete())
            raise

    def _attachment(self, container_id: str) -> Attachment:
        """As the library makes it, but that it asks the daemon nothing first: no container of ours has a terminal."""
        address = URL(f"containers/{container_id}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=0")

        async def where() -> tuple[URL, bytes | None, bool]:
            return address, None, False

        return Attachment(self._docker, where, aiohttp.ClientTimeout())

    async def labelled(self, label: str) -> dict[str, str]:
        """Id and the label's value of every container that bears it, running or not."""
        filters = json.dumps({"label": [label]})
        found = await _within(CALL_S, self._docker.containers.list(all=True, filters=filters), "list containers")
        return {each.id: each["Labels"][label] for each in found}

    async def delete(self, container_id: str) -> None:
        container = self._docker.containers.container(container_id)
        with contextlib.suppress(SandboxFault):
            await _within(DELETE_S, container.delete(force=True, v=True), "delete a container")

    async def files(self, image: str, folder: str) -> dict[str, bytes]:
        """The regular files right in a folder of an image."""
        container = await _within(
            CALL_S, self._docker.containers.create({"Image": image, "Cmd": ["none"]}), "create a container"
        )
        try:
            archive = await _within(START_S, container.get_archive(folder), "read an image")
            found: dict[str, bytes] = {}
            for member in archive.getmembers():
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    found[Path(member.name).name] = content.read()
            return found
        finally:
            await self.delete(container.id)

    async def close(self) -> None:
        await self._docker.close()
        await self._connector.close()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Daemon]:
    daemon = Daemon(url)
    try:
        yield daemon
    finally:
        await daemon.close()


async def _within(seconds: float, call: Any, what: str) -> Any:
    """The call's answer, or a ``SandboxFault`` that says what could not be done."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError as error:
        raise SandboxFault(f"could not {what} in {seconds:.0f} s") from error
    except (DockerError, aiohttp.ClientError, OSError) as error:
        raise SandboxFault(f"could not {what}: {error}") from error
