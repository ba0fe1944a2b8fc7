"""A runner's start is told to a person line by line, from its log."""

from __future__ import annotations

from pathlib import Path

from yurt.stack.progress import Progress, parsed

LINE = "2026-01-01T00:00:00.000Z level=INFO role=runner action={}\n"


def test_news_is_what_came_since_and_only_what_a_person_wants(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    log.write_text(LINE.format("ready"))  # of an earlier run
    progress = Progress(log)
    with log.open("a") as more:
        more.write(LINE.format("preparing language=cpp version=12.2.0"))
        more.write(LINE.format("preparing language=cpp version=12.2.0 step='precompiling headers'"))
        more.write(LINE.format("offered language=cpp version=12.2.0 seconds=2.00"))
        more.write(LINE.format("not_offered installation=go-1.26 why='its self-test ended time_limit'"))
        more.write(LINE.format("not_found language=rust"))
        more.write(LINE.format("job_done language=cpp verdict=ok"))
    assert list(progress.news()) == [
        "preparing cpp 12.2.0: precompiling headers",
        "cpp 12.2.0 is ready",
        "go-1.26 is left out: its self-test ended time_limit",
        "rust is not installed here, and left out",
    ]
    assert not progress.done
    assert list(progress.news()) == []


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    progress = Progress(log)
    assert list(progress.news()) == []
    log.write_text("role=runner action=rea")
    assert list(progress.news()) == []
    assert not progress.done
    with log.open("a") as more:
        more.write("dy runner=vm-1\n")
    assert list(progress.news()) == []
    assert progress.done


def test_a_line_that_is_no_event_is_no_harm() -> None:
    assert parsed("Traceback: it's \"broken") == {}
    assert parsed("it's action=x") == {"action": "x"}
