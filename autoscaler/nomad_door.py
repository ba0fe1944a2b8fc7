"""Nomad, as the few verbs that scaling needs. The one module that imports nomad (python-nomad).

Theory of operation. A fleet's baseline is the count of a service job's group; its burst is the living children of a
parameterised batch job, one allocation each, which end by themselves. python-nomad knows neither scaling nor
idempotent dispatch, so every call goes through its ``request``, in a thread of its own.

What python-nomad and Nomad would do otherwise, and what is done here
1. ``verify`` is False unless it is given: here it is the authority's file, or True.
2. ``dispatch_job`` puts the idempotency token into the body, where Nomad does not look: here it is a query parameter.
3. A redirect counts as success: here an answer that is not the JSON that was asked for is a Nomad that is away.
4. "No cluster leader" (500) is an exception like any other: here it is asked again, as is any 5xx, 429, refused
   connection and time-out, at most ``TRIES`` times. All verbs may be repeated: counts are absolute, registering
   enforces an index, dispatching has its token.
5. Scaling is refused while a deployment is active (400), which every scaling itself begins: going up, the job is then
   read and registered with the new count, at the index that was read; going down there is time, and it is ``Busy``.
   The count that a deploy begun meanwhile gives is kept: a register at an old index is refused, and read anew.
6. Environment variables (NOMAD_ADDR, NOMAD_TOKEN, proxies) are not looked at: what is set says it all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nomad
import requests
from nomad.api.exceptions import BaseNomadException

from jobs.errors import PlatformFault, Unavailable

log = logging.getLogger("nomad")

TRIES = 4
WAIT_S = 0.5  #: before the second try; twice that before the third, and so on
TIMEOUT_S = 5.0
CONFLICTS = 3  #: registers at an index that had moved on

_ACTIVE_DEPLOYMENT = "blocked due to active deployment"
_INDEX_MOVED = "Enforcing job modify index"
_LIVING = ("pending", "running")
_TRIED_AGAIN = (429, 500, 502, 503, 504)


class NomadAway(Unavailable):
    """Nomad does not answer, or has no leader."""


class NomadRefused(PlatformFault):
    """Nomad says no, and will say so again."""


class Busy(PlatformFault):
    """A deployment is in the way; the next decision will find it done."""


class NomadDoor:
    """One region's Nomad."""

    def __init__(
        self,
        address: str,
        *,
        token: str = "",
        ca_file: Path | None = None,
        namespace: str = "default",
        region: str = "",
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        session = requests.Session()
        session.trust_env = False
        self._address, self._timeout_s, self._sleep = address.rstrip("/"), timeout_s, sleep
        self._nomad = nomad.Nomad(
            address=self._address,
            token=token or None,
            namespace=namespace,
            region=region or None,
            timeout=timeout_s,
            verify=str(ca_file) if ca_file else True,
            session=session,
        )
        # the library falls back on the environment where one of these is empty
        for endpoint in (self._nomad.job, self._nomad.jobs):
            endpoint.token, endpoint.region = token or None, region or None

    async def count(self, job: str, group: str) -> int:
        """How many of *group* are asked for."""
        status = await self._call(self._nomad.job, job, "scale", method="get")
        if status.get("JobStopped"):
            raise NomadRefused(f"the Nomad job {job} is stopped; start it: nomad job start {job}")
        found = (status.get("TaskGroups") or {}).get(group)
        if found is None:
            groups = ", ".join(sorted(status.get("TaskGroups") or {})) or "none"
            raise NomadRefused(f"the Nomad job {job} has no group {group}; it has {groups}")
        return int(found["Desired"])

    async def living(self, job: str) -> int:
        """How many dispatched children of *job* wait or run."""
        children = await self._call(self._nomad.jobs, method="get", params={"prefix": f"{job}/dispatch-"})
        return sum(child.get("Status") in _LIVING and not child.get("Stop") for child in children)

    async def scale(self, job: str, group: str, count: int, *, up: bool, message: str) -> None:
        """Ask for *count* of *group*; ``Busy`` where that has to wait for a deployment, and may (not *up*)."""
        body = {"Count": count, "Target": {"Group": group}, "Message": message}
        try:
            await self._call(self._nomad.job, job, "scale", method="post", json=body)
        except NomadRefused as error:
            if _ACTIVE_DEPLOYMENT not in str(error):
                raise
            if not up:
                raise Busy(f"the Nomad job {job} has an active deployment; {count} can wait for its end") from error
            await self._register(job, group, count)

    async def dispatch(self, job: str, *, token: str) -> str:
        """A child of *job*, and its id; the same *token* is the same child."""
        params = {"idempotency_token": token}
        answer = await self._call(self._nomad.job, job, "dispatch", method="post", params=params, json={})
        return str(answer["DispatchedJobID"])

    async def _register(self, job: str, group: str, count: int) -> None:
        """*count* by a new version of the job as it is now, which supersedes its deployment."""
        for _ in range(CONFLICTS):
            current = await self._call(self._nomad.job, job, method="get")
            wanted = next(each for each in current["TaskGroups"] if each["Name"] == group)
            if wanted["Count"] == count:
                return
            wanted["Count"] = count
            body = {"Job": current, "EnforceIndex": True, "JobModifyIndex": current["JobModifyIndex"]}
            try:
                await self._call(self._nomad.job, job, method="post", json=body)
                return
            except NomadRefused as error:
                if _INDEX_MOVED not in str(error):
                    raise
        raise Busy(f"the Nomad job {job} was changed {CONFLICTS} times while it was read; {count} has to wait")

    async def _call(self, endpoint: Any, *path: str, **what: Any) -> Any:
        """The JSON of the answer, tried again where that may help."""
        wait_s = WAIT_S
        for tries_left in reversed(range(TRIES)):
            try:
                async with asyncio.timeout(2 * self._timeout_s):
                    return await asyncio.to_thread(self._once, endpoint, path, what)
            except (TimeoutError, NomadAway) as error:
                if not tries_left:
                    said = str(error) or "it does not answer in time"
                    raise NomadAway(f"Nomad at {self._address}: {said}") from error
            await self._sleep(wait_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def _once(self, endpoint: Any, path: tuple[str, ...], what: dict[str, Any]) -> Any:
        # python-nomad writes into the dictionaries that it is given: each try has its own
        mine = {name: dict(value) if isinstance(value, dict) else value for name, value in what.items()}
        try:
            answer = endpoint.request(*path, **mine, timeout=self._timeout_s)
            return _json(answer)
        except BaseNomadException as error:
            response = error.nomad_resp
            if not isinstance(response, requests.Response):
                raise NomadAway(_cause(response)) from error
            said = response.text.strip()[:300] or response.reason
            if response.status_code in _TRIED_AGAIN and not _final(said):
                raise NomadAway(f"{response.status_code} {said}") from error
            raise NomadRefused(_refusal(response.status_code, "/".join(path), said)) from error


def _json(answer: requests.Response) -> Any:
    if answer.is_redirect:
        raise NomadAway(f"a redirect to {answer.headers.get('Location', 'nowhere')}; give its address itself")
    try:
        return answer.json()
    except ValueError as error:
        raise NomadAway("the answer is no JSON; is this the address of a Nomad?") from error


def _final(said: str) -> bool:
    """A 500 that stays one: Nomad has no codes for these."""
    return _INDEX_MOVED in said or "Permission denied" in said


def _refusal(status: int, where: str, said: str) -> str:
    cure = ""
    if status == 403 or "Permission denied" in said:
        cure = "; the token needs scale-job, submit-job, dispatch-job and read-job in the namespace"
    elif status == 404:
        cure = "; register it first: nomad job run"
    elif "scaling policy" in said:
        cure = "; make the scaling block of the job as wide as the fleet's bounds"
    return f"Nomad refuses {where}: {status} {said}{cure}"


def _cause(error: object) -> str:
    """The innermost reason of a failed connection: the ones around it are long and say less."""
    while isinstance(error, BaseException) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
