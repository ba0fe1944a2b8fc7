"""How much a runner takes on is decided by what the machine feels."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.load import Load, Pressure

CORES = 2


class Machine:
    """A /proc of our own, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 0.0
        self.feels(runnable=1, available=0.9)

    def feels(self, *, runnable: int, available: float) -> None:
        self.now += 1
        (self.folder / "loadavg").write_text(f"0.50 0.40 0.30 {runnable}/300 1234\n")
        lines = f"MemTotal: 1000000 kB\nMemFree: 5 kB\nMemAvailable: {int(available * 1_000_000)} kB\nBuffers: 0 kB\n"
        (self.folder / "meminfo").write_text(lines)
        (self.folder / "stat").write_text("cpu 10 0 10 70 10 0 0 0 0 0\ncpu0 1\n")

    def pressure(self, slots: int = 1000) -> Pressure:
        return Pressure(slots=slots, cores=CORES, proc=self.folder, clock=lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_idle_machine_takes_on_more_however_many_sleep(machine: Machine) -> None:
    """A thousand programs that wait are no load."""
    pressure = machine.pressure()
    assert pressure.room(0, 0) == pressure.steady
    assert pressure.room(900, 0) == pressure.steady


def test_slots_are_the_most(machine: Machine) -> None:
    """Near the end of them only what is left is asked for."""
    assert machine.pressure().room(995, 0) == 5
    assert machine.pressure().room(1000, 0) == 0


def test_a_busy_machine_takes_no_more_than_its_floor(machine: Machine) -> None:
    """What computes gets its core, so that a time limit means what it says."""
    machine.feels(runnable=9, available=0.9)
    assert machine.pressure().room(0, 0) == 4
    assert machine.pressure().room(4, 0) == 0


def test_little_memory_is_pressure_too(machine: Machine) -> None:
    """Programs that sleep may still fill the machine."""
    machine.feels(runnable=1, available=0.05)
    assert machine.pressure().room(50, 0) == 0


def test_jobs_that_wait_to_build_are_not_heaped_up(machine: Machine) -> None:
    """Another runner may have a turn for them."""
    assert machine.pressure().room(50, 20) == 0


def test_a_reading_is_used_again_for_a_moment_only(machine: Machine) -> None:
    """The machine is asked at most every few milliseconds."""
    pressure = machine.pressure()
    assert not pressure.high()
    machine.feels(runnable=9, available=0.9)
    machine.now -= 1
    assert not pressure.high()
    machine.now += 1
    assert pressure.high()


def test_a_small_runner_never_takes_more_than_its_slots(machine: Machine) -> None:
    """The floor bows to the slots."""
    machine.feels(runnable=9, available=0.9)
    assert machine.pressure(slots=1).room(0, 0) == 1
    assert machine.pressure(slots=1).room(1, 0) == 0


def test_guests_hold_slots_but_never_the_floor(machine: Machine) -> None:
    """Jobs of other regions count in the one room; a busy machine still starts a few of its own."""
    pressure = machine.pressure(slots=16)
    assert pressure.room(0, 0, guests=15) == 1
    assert pressure.room(0, 0, guests=16) == 0
    machine.feels(runnable=9, available=0.9)
    assert pressure.room(0, 0, guests=8) == pressure.room(0, 0) > 0


def test_what_is_spared_for_other_regions_leaves_a_reserve(machine: Machine) -> None:
    """All that run are counted; a busy machine takes a few when it has nothing of its own, and then no more."""
    pressure = machine.pressure(slots=16)
    assert 0 < pressure.spare(0, 0) < pressure.room(0, 0)
    assert pressure.spare(15, 0) <= 0
    machine.feels(runnable=9, available=0.9)
    assert 0 < pressure.spare(0, 0) < pressure.room(0, 0)
    assert pressure.spare(4, 0) < 0


def test_load_is_told_in_per_cent(machine: Machine) -> None:
    """CPU since the last reading, memory now."""
    load = Load(machine.folder)
    (machine.folder / "stat").write_text("cpu 40 0 40 110 10 0 0 0 0 0\ncpu0 1\n")
    cpu, memory = load.read()
    assert (round(cpu), round(memory)) == (60, 10)


def test_the_real_proc_can_be_read() -> None:
    """The files are as this reads them."""
    Pressure(slots=4, cores=1).high()
    cpu, memory = Load().read()
    assert 0 <= cpu <= 100
    assert 0 < memory < 100
