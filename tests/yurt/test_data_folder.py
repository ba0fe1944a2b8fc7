"""A data folder belongs to one network at a time, and never speaks of processes that are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import ConfigFault
from yurt.stack.folder import Folder, Place, Process, State, started_at


def a_state(pid: int) -> State:
    started = started_at(pid)
    assert started is not None
    return State(
        pid=pid,
        started=started,
        places=(
            Place(
                region="local",
                url="http://127.0.0.1:1",
                nats="nats://127.0.0.1:2",
                servers=("nats://127.0.0.1:2", "nats://127.0.0.1:3"),
                ready=True,
            ),
        ),
        processes=(Process(role="nats", region="local", pid=pid, started=started),),
    )


def test_a_second_network_is_told_who_has_the_folder(tmp_path: Path) -> None:
    mine = Folder(tmp_path)
    mine.take()
    with pytest.raises(ConfigFault, match=f"belongs to the network of process {os.getpid()}"):
        Folder(tmp_path).take()
    mine.leave()


def test_a_killed_owner_does_not_keep_the_folder(tmp_path: Path) -> None:
    program = (
        f"import os; from pathlib import Path; from yurt.stack.folder import Folder;"
        f"Folder(Path({str(tmp_path)!r})).take(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    folder = Folder(tmp_path)
    folder.take()
    folder.leave()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    state = a_state(os.getpid())
    folder.write(state)
    assert folder.read() == state == state.living()


def test_a_process_of_the_same_pid_that_started_later_is_another(tmp_path: Path) -> None:
    state = a_state(os.getpid())
    older = replace(state, processes=(replace(state.processes[0], started=1),))
    assert older.living().processes == ()


def test_a_state_whose_network_is_gone_is_empty() -> None:
    state = replace(a_state(os.getpid()), started=1)
    assert not state.alive
    assert state.living() == State()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "started": 2, "places": [{}]}'])
def test_a_state_that_cannot_be_read_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert Folder(tmp_path).read() == State()


def test_leaving_keeps_the_addresses_for_the_next_start_and_no_process(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.take()
    folder.write(a_state(os.getpid()))
    folder.leave()
    left = folder.read()
    assert (left.processes, left.alive) == ((), False)
    assert [(place.nats, place.ready) for place in left.places] == [("nats://127.0.0.1:2", False)]


def test_a_folder_that_cannot_be_made_is_one_sentence_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigFault, match="choose another with --data"):
        Folder(tmp_path / "file" / "data").take()
