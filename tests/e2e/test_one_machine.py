"""``yurt up`` as a thing of its own: its status, its folder, and what README says can be done with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from yurt import SyncClient

pytestmark = pytest.mark.network

README = (Path(__file__).parents[2] / "README.md").read_text()


def printed(section: str) -> str:
    """The Python program that a section of README shows."""
    match = re.search(rf"^## {section}\n.*?^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def test_status_names_each_process(network: Any) -> None:
    processes = network.status()["processes"]
    assert sorted(process["role"] for process in processes) == ["gateway", "nats", "runner"]
    for process in processes:
        assert process["region"] == "local"
        os.kill(process["pid"], 0)


def test_a_second_network_in_the_same_folder_is_refused(network: Any) -> None:
    ended = network.yurt("up", "--data", str(network.data))
    assert ended.returncode == 1
    assert b"belongs to the network of process" in ended.stderr
    assert b"--data" in ended.stderr


def test_a_taken_port_is_refused_naming_who_has_it(network: Any, tmp_path: Path) -> None:
    port = network.url.rpartition(":")[2]
    ended = network.yurt("up", "--data", str(tmp_path / "other"), "--port", port)
    assert ended.returncode == 1
    assert f"port {port} is taken by python".encode() in ended.stderr


def test_the_subscriber_in_readme_works_as_printed(network: Any, client: SyncClient, tmp_path: Path) -> None:
    (tmp_path / "subscriber.py").write_text(printed("NATS"))
    words = [sys.executable, str(tmp_path / "subscriber.py"), network.nats_url()]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as subscriber:
        assert subscriber.stdout is not None
        os.set_blocking(subscriber.stdout.fileno(), False)
        try:
            heard = b""
            for _ in range(100):  # it says nothing of being ready: speak until it has heard
                execution_id = client.execute("python", "print('over the wire')")["execution_id"]
                heard += subscriber.stdout.read() or b""
                if heard:
                    break
            assert heard.decode().splitlines()[0].split(maxsplit=1)[1] == "stdout over the wire"
            assert len(heard.split()[0]) == len(execution_id)
        finally:
            subscriber.terminate()


def test_the_client_program_in_readme_works_as_printed(network: Any, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(printed("Python"))
    (tmp_path / "main.go").write_text('package main\nimport "fmt"\nfunc main() { fmt.Println("from go") }')
    environ = {**os.environ, "YURT_URL": network.url, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert b"ok desserts" in ended.stdout
    assert b"from go" in ended.stdout
