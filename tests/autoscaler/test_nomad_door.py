"""The door to Nomad: each trap of python-nomad and of scaling, against a server that speaks Nomad's answers."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from autoscaler.fleets import NomadFleets
from autoscaler.nomad_door import TRIES, Busy, NomadAway, NomadDoor, NomadRefused
from autoscaler.policy import Bounds, Count, Decision
from autoscaler.scaling import FleetScaling
from tests.autoscaler.scripted_nomad import ScriptedNomad, scripted_nomad

TOKEN = "b2a1c0de-5ec2-4e70-8b3a-0123456789ab"
FLEET = FleetScaling(name="all", bounds=Bounds(), job="runner", burst_job="runner-burst")


def door(nomad: ScriptedNomad, waits: list[float] | None = None, **more: Any) -> NomadDoor:
    """Its waits between tries are written down, and not waited."""

    async def sleep(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    return NomadDoor(nomad.address, **{"timeout_s": 5.0, "sleep": sleep, **more})


def decision(count: Count, *, baseline: int, burst: int) -> Decision:
    return Decision(
        fleet="all",
        at=1.0,
        count=count,
        wanted=0,
        total=baseline + burst,
        baseline=baseline,
        limits=(),
        reasons=("because",),
    )


async def test_the_count_is_set_and_read() -> None:
    """By the scale call, with the group and the reason."""
    async with scripted_nomad() as nomad:
        here = door(nomad)
        assert await here.count("runner", "runner") == 10
        await here.scale("runner", "runner", 30, up=True, message="queue depth")
        assert await here.count("runner", "runner") == 30
        (asked,) = nomad.asked_for("POST", "/v1/job/runner/scale")
        assert asked[1] == {"Count": 30, "Target": {"Group": "runner"}, "Message": "queue depth"}


async def test_up_during_a_deployment_is_a_register_of_what_was_read() -> None:
    """At its index, with nothing changed but the count."""
    async with scripted_nomad(deploying=True) as nomad:
        await door(nomad).scale("runner", "runner", 30, up=True, message="")
        assert nomad.count == 30
        (asked,) = nomad.asked_for("POST", "/v1/job/runner")
        assert (asked[1]["EnforceIndex"], asked[1]["JobModifyIndex"]) == (True, 100)


async def test_down_during_a_deployment_waits() -> None:
    """There is no hurry: the deployment goes on, and the next decision finds it done."""
    async with scripted_nomad(deploying=True) as nomad:
        with pytest.raises(Busy, match="active deployment"):
            await door(nomad).scale("runner", "runner", 9, up=False, message="")
        assert nomad.count == 10
        assert not nomad.asked_for("POST", "/v1/job/runner")


async def test_a_job_that_changed_while_it_was_read_is_read_again_and_not_for_ever() -> None:
    """Somebody's deploy is never overwritten."""
    async with scripted_nomad(deploying=True, moved=2) as nomad:
        await door(nomad).scale("runner", "runner", 30, up=True, message="")
        assert (nomad.count, len(nomad.asked_for("POST", "/v1/job/runner"))) == (30, 3)
    async with scripted_nomad(deploying=True, moved=99) as nomad:
        with pytest.raises(Busy, match="changed 3 times"):
            await door(nomad).scale("runner", "runner", 30, up=True, message="")
        assert nomad.count == 10


async def test_a_dispatch_whose_answer_was_lost_is_the_same_child() -> None:
    """The token is in the query, where Nomad looks for it, and the same at each try."""
    async with scripted_nomad(lost_answers=2) as nomad:
        child = await door(nomad).dispatch("runner-burst", token="us-east-all-7-0")
        assert nomad.children == {"us-east-all-7-0": child}
        asked = nomad.asked_for("POST", "/v1/job/runner-burst/dispatch")
        assert [query["idempotency_token"] for query, _ in asked] == ["us-east-all-7-0"] * 3


async def test_a_change_of_leader_is_waited_for_within_bounds() -> None:
    """Three times no leader, then an answer; without an end, an end to asking."""
    async with scripted_nomad(moods=[(500, "No cluster leader")] * 3) as nomad:
        waits: list[float] = []
        assert await door(nomad, waits).count("runner", "runner") == 10
        assert waits == [0.5, 1.0, 2.0]
    async with scripted_nomad(moods=[(500, "No cluster leader")] * 99) as nomad:
        with pytest.raises(NomadAway, match="No cluster leader"):
            await door(nomad).count("runner", "runner")
        assert len(nomad.asked) == TRIES


@pytest.mark.parametrize(
    ("status", "said", "cure"),
    [
        (403, "Permission denied", "the token needs scale-job"),
        (500, "Permission denied", "the token needs scale-job"),
        (404, "job not found", "register it first"),
        (
            400,
            "group count was greater than scaling policy maximum: 30 > 20",
            "make the scaling block of the job as wide",
        ),
    ],
)
async def test_a_refusal_is_one_line_with_its_cure_and_is_not_tried_again(status: int, said: str, cure: str) -> None:
    """Whatever code Nomad gives it."""
    async with scripted_nomad(moods=[(status, said)] * 9) as nomad:
        with pytest.raises(NomadRefused) as caught:
            await door(nomad).scale("runner", "runner", 30, up=True, message="")
        assert said in str(caught.value) and cure in str(caught.value) and "\n" not in str(caught.value)
        assert len(nomad.asked) == 1


async def test_a_stopped_job_and_a_missing_group_are_told() -> None:
    """Neither is a count of 0."""
    async with scripted_nomad(stopped=True) as nomad:
        with pytest.raises(NomadRefused, match="is stopped"):
            await door(nomad).count("runner", "runner")
    async with scripted_nomad() as nomad:
        with pytest.raises(NomadRefused, match="has no group web; it has runner"):
            await door(nomad).count("runner", "web")


async def test_a_redirect_and_a_page_are_no_answers() -> None:
    """python-nomad takes both for success."""
    async with scripted_nomad(moods=[(307, "")] * 9) as nomad:
        with pytest.raises(NomadAway, match=r"redirect|JSON"):
            await door(nomad).count("runner", "runner")
    async with scripted_nomad(moods=[(200, "<html>")] * 9) as nomad:
        with pytest.raises(NomadAway, match="no JSON"):
            await door(nomad).count("runner", "runner")


async def test_nobody_there_and_nobody_answering_are_away_within_bounds() -> None:
    """A refused connection, and one that is taken and never answered."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        nobody = ScriptedNomad(address=f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(NomadAway, match="refused"):
            await door(nobody).count("runner", "runner")
        mute.listen()
        with pytest.raises(NomadAway, match=r"timed out|in time"):
            await door(nobody, timeout_s=0.05).count("runner", "runner")


async def test_the_token_travels_in_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no URL and no error; and the environment's is not taken in its place."""
    monkeypatch.setenv("NOMAD_TOKEN", "somebody-elses")
    monkeypatch.setenv("NOMAD_ADDR", "http://192.0.2.1:1")
    monkeypatch.setenv("NOMAD_REGION", "elsewhere")
    async with scripted_nomad(moods=[(403, "Permission denied")]) as nomad:
        here = door(nomad, token=TOKEN, namespace="yurt", region="us-east")
        with pytest.raises(NomadRefused) as caught:
            await here.count("runner", "runner")
        assert TOKEN not in str(caught.value)
        await here.living("runner-burst")
        assert [each["X-Nomad-Token"] for each in nomad.headers] == [TOKEN, TOKEN]
        assert nomad.asked[1][2] == {"prefix": "runner-burst/dispatch-", "namespace": "yurt", "region": "us-east"}
        await door(nomad).count("runner", "runner")
        assert "X-Nomad-Token" not in nomad.headers[-1] and nomad.asked[-1][2] == {"namespace": "default"}


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody but its own file vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=nomad"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


async def test_tls_is_verified_unless_nobody_asks(certificate: tuple[Path, Path]) -> None:
    """An unknown authority is refused by default; its file makes it known."""
    cert, key = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with scripted_nomad(tls=tls) as nomad:
        with pytest.raises(NomadAway, match="certificate"):
            await door(nomad).count("runner", "runner")
        assert nomad.asked == []
        assert await door(nomad, ca_file=cert).count("runner", "runner") == 10


async def test_a_decision_is_carried_out_once_however_often() -> None:
    """Baseline by count, the missing burst by dispatch; the dead do not count, and too many are left alone."""
    async with scripted_nomad() as nomad:
        fleets = NomadFleets(door(nomad))
        up = decision(Count(baseline=10, burst=0), baseline=12, burst=3)
        for _ in range(2):
            await fleets.apply(FLEET, up, key="k-1", still=lambda: True)
        assert (nomad.count, len(nomad.children)) == (12, 3)
        nomad.statuses[nomad.children["k-1-0"]] = "dead"
        nomad.statuses[nomad.children["k-1-1"]] = "pending"
        assert await fleets.count(FLEET) == Count(baseline=12, burst=2)
        down = decision(Count(baseline=12, burst=2), baseline=12, burst=1)
        assert await fleets.apply(FLEET, down, key="k-2", still=lambda: True) == "nothing to do"


async def test_who_loses_the_lock_stops_at_once() -> None:
    """Between two dispatches too."""
    async with scripted_nomad() as nomad:
        answers = iter([True, True, False])
        big = decision(Count(baseline=10, burst=0), baseline=20, burst=30)
        await NomadFleets(door(nomad)).apply(FLEET, big, key="k", still=lambda: next(answers, False))
        assert (len(nomad.children), nomad.count) == (2, 10)
