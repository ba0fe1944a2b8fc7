"""Which engines work on a machine: each lack is told with its cure, in time, and a daemon is only asked."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from jobs.languages import Language
from runner.engines.docker.inside import files
from runner.engines.docker.labels import labels
from runner.languages.contract import Installation
from tests.sandboxes import missing
from yurt import host_engines
from yurt.commands import arguments
from yurt.host_engines import EngineFinding

RUNC = {"runc": {"path": "runc"}, "io.containerd.runc.v2": {"path": "runc"}}
PYTHON = labels(Installation(language=Language.PYTHON, version="3.11.2"), "")
STALE = {**PYTHON, "yurt.inside": "of another version"}


class Said(ThreadingMixIn, UnixStreamServer):
    """A Docker daemon as far as it is asked: it answers two questions, and keeps every one that it hears."""

    daemon_threads = True

    def __init__(self, path: Path, runtimes: dict[str, Any], images: list[dict[str, str]]) -> None:
        self.asked: list[str] = []
        self.answers = {"info": {"Runtimes": runtimes}, "images/json": [_image(each) for each in images]}
        super().__init__(str(path), Answering)


class Answering(BaseHTTPRequestHandler):
    server: Said
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path.partition('?')[0]}")
        name = self.path.partition("?")[0].removeprefix("/").removeprefix("v1.41/")
        body = json.dumps(self.server.answers.get(name, {"ApiVersion": "1.41"})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def address_string(self) -> str:
        return "somebody"

    def log_message(self, *words: object) -> None:
        """Nothing is said of it."""


def _image(of_labels: dict[str, str]) -> dict[str, Any]:
    return {"Id": "sha256:1", "RepoTags": ["yurt/python:latest"], "Labels": dict(of_labels)}


@pytest.fixture
def daemons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts one, at the socket that is looked at."""
    with ExitStack() as stack:

        def start(runtimes: dict[str, Any] = RUNC, images: tuple[dict[str, str], ...] = (dict(PYTHON),)) -> Said:
            server = stack.enter_context(Said(tmp_path / "socket", runtimes, list(images)))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
            return server

        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
        yield start


def found() -> dict[str, EngineFinding]:
    return {finding.name: finding for finding in host_engines.examine()}


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_every_engine_is_named_and_each_works_or_has_a_cure(daemons: Any) -> None:
    daemons()
    names = found()
    assert names.keys() >= {"fork", "docker-runc", "docker-runsc", "docker-kata-fc", "snapshot"}
    assert all(one.works or one.cure for one in names.values())
    assert not any("io.containerd" in name for name in names)


def test_a_daemon_with_images_serves_and_is_only_asked(daemons: Any) -> None:
    server = daemons()
    runc = found()["docker-runc"]
    assert (runc.works, runc.found, runc.cure) == (True, "images of python-3.11.2", "")
    assert {line.partition(" ")[0] for line in server.asked} == {"GET"}


def test_without_a_daemon_the_cure_names_its_socket(daemons: Any) -> None:
    docker = found()["docker"]
    assert (docker.works, docker.found) == (False, "no daemon")
    assert "start dockerd" in docker.cure and "/socket" in docker.cure


def test_a_daemon_that_says_nothing_is_left_in_time(
    daemons: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_engines, "LOOK_S", 0.2)
    with UnixStreamServer(str(tmp_path / "socket"), BaseHTTPRequestHandler):  # it listens, and serves nobody
        docker = found()["docker"]
    assert not docker.works and "says nothing for 0.2 s" in docker.cure


@pytest.mark.parametrize(
    ("images", "cure"), [((), "make images"), ((STALE,), "built by another version of this program; build it anew")]
)
def test_a_daemon_without_images_of_use_does_not_serve(daemons: Any, images: Any, cure: str) -> None:
    daemons(images=images)
    runc = found()["docker-runc"]
    assert not runc.works and cure in runc.cure and runc.found == "no image of a language"


def test_a_stale_image_beside_good_ones_is_told(daemons: Any) -> None:
    daemons(images=(dict(PYTHON), STALE))
    runc = found()["docker-runc"]
    assert runc.works and "built by another version" in runc.cure


def test_runtimes_that_the_daemon_lacks_are_told_with_what_adds_them(daemons: Any) -> None:
    daemons()
    lacking = found()
    assert "daemon.json" in lacking["docker-runsc"].cure and "daemon.json" in lacking["docker-kata-fc"].cure


@pytest.mark.parametrize(
    ("flags", "works", "cure"),
    [
        ("-platform string: systrap (default), ptrace, kvm", True, ""),
        ("-platform string: ptrace (default), kvm", False, "is too old, it has no platform systrap"),
        (None, False, "there is no"),
    ],
)
def test_a_gvisor_is_asked_what_it_can(daemons: Any, tmp_path: Path, flags: str | None, works: bool, cure: str) -> None:
    program = tmp_path / "runsc"
    if flags is not None:
        gvisor(program, flags)
    daemons(runtimes={**RUNC, "runsc": {"path": str(program)}})
    runsc = found()["docker-runsc"]
    assert (runsc.works, cure in runsc.cure) == (works, True)
    assert ("release-1" in runsc.found) == works


@pytest.mark.parametrize("there", [True, False])
def test_firecracker_needs_virtual_machines(
    daemons: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """And where it has them it is said that nobody has tried it."""
    kvm = tmp_path / "kvm"
    monkeypatch.setattr(host_engines, "KVM", kvm)
    if there:
        kvm.touch()
    daemons(runtimes={**RUNC, "kata-fc": {"runtimeType": "io.containerd.kata-fc.v2"}})
    kata = found()["docker-kata-fc"]
    assert kata.works == there
    assert ("not run" in kata.found) if there else ("bare metal, or nested" in kata.cure)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for images, and a gVisor that can what it must."""
    images = tmp_path / "images"
    images.mkdir()
    monkeypatch.setenv("YURT_IMAGES", str(images))
    monkeypatch.setenv("YURT_RUNSC", str(gvisor(tmp_path / "runsc")))
    return images


def gvisor(program: Path, flags: str = "systrap (default), ptrace, kvm") -> Path:
    program.write_text(f'#!/bin/sh\n[ "$1" = flags ] && echo "{flags}" || echo "runsc version release-1"\n')
    program.chmod(0o755)
    return program


def archive(file: Path, of_labels: Any) -> None:
    """An image without layers, as it lies in a folder."""
    parts = {"manifest.json": [{"Config": "config.json", "RepoTags": ["yurt/python:latest"], "Layers": []}]}
    parts["config.json"] = {"config": {"Labels": dict(of_labels)}, "rootfs": {"diff_ids": []}}  # type: ignore[assignment]
    with tarfile.open(file, "w") as tar:
        for name, content in parts.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_snapshots_are_taken_of_images_in_a_folder(shop: Path) -> None:
    archive(shop / "python.tar", PYTHON)
    snapshot = found()["snapshot"]
    assert (snapshot.works, snapshot.cure) == (True, ""), snapshot
    assert snapshot.found == f"images of python-3.11.2 in {shop}; release-1"


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("images", "flags", "cure"),
    [
        ({}, "systrap", "no image of a language: make images"),
        ({"python": STALE}, "systrap", "built by another version of this program; build it anew"),
        ({"python": PYTHON}, "ptrace", "is too old, it has no platform systrap"),
    ],
)
def test_what_snapshots_lack_is_told(shop: Path, tmp_path: Path, images: Any, flags: str, cure: str) -> None:
    gvisor(tmp_path / "runsc", flags)
    for name, of_labels in images.items():
        archive(shop / f"{name}.tar", of_labels)
    snapshot = found()["snapshot"]
    assert not snapshot.works and cure in snapshot.cure


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_stale_archive_beside_good_ones_is_told(shop: Path) -> None:
    archive(shop / "python.tar", PYTHON)
    archive(shop / "old.tar", STALE)
    snapshot = found()["snapshot"]
    assert snapshot.works and "built by another version" in snapshot.cure


def test_who_is_not_root_is_told_so(daemons: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "as root" in found()["docker"].cure
    daemons()
    names = found()
    assert "as root" in names["docker-runc"].cure and not names["docker-runc"].works
    assert not names["fork"].works


def test_the_command_tells_each_as_json_by_itself(daemons: Any, capsys: pytest.CaptureFixture[str]) -> None:
    daemons()
    options = arguments.parse(["doctor", "--json"])
    code = options.do(options)
    said = json.loads(capsys.readouterr().out)
    assert said["fit"] == (code == 0)
    assert {f"engine {each['name']}" for each in said["engines"]} <= {each["what"] for each in said["findings"]}
    [runc] = [each for each in said["engines"] if each["name"] == "docker-runc"]
    assert runc == {
        "name": "docker-runc",
        "engine": "docker",
        "runtime": "runc",
        "works": True,
        "found": "images of python-3.11.2",
        "cure": "",
    }


def test_an_image_of_this_version_is_told_by_what_is_inside() -> None:
    """The label that is compared is made from the files that are process 1."""
    assert PYTHON["yurt.inside"] == files.digest() != STALE["yurt.inside"]
