"""``python -m bench``: measure what is promised, beside the bare tools of the same machine in the same run."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import uvloop

from bench import report
from bench.arena import Arena
from bench.caller import WrongAnswer
from bench.figures import Outcome, figures_table
from bench.network import Network, NoNetwork, commit, network
from bench.spawn import ToolFailed
from bench.walls import WALLS
from jobs.errors import YurtError
from jobs.languages import Language

#: in the order in which they run; what leaves the network loaded comes late
BENCHES = (
    "floors",
    "hello",
    "first_byte",
    "languages",
    "variants",
    "warm_memory",
    "sustained",
    "fan_out",
    "nothing_left",
    "regions",
    "snapshots",
    "engines",
)

EPILOG = """\
examples
  python -m bench                          everything, on a network started for it (half an hour)
  python -m bench --quick                  the same with few runs: does it all work? (figures are rough)
  python -m bench hello sustained          two of them
  python -m bench engines --engines fork,docker-runc --languages python,java --seconds 20
  python -m bench --url http://HOST:8080   a network that runs already; what needs its processes is left out
  python -m bench --data .yurt             one that "yurt up" runs on this machine, its processes included

reading the table
  Each figure stands beside its floor: the bare tool, measured in the same run. Compare ratios, not milliseconds, across
  machines. "bare" is python3 -I -S -c 'print("hello")' of the version that the network runs.
  Close what else runs on the machine: the load generator and the floors need its cores too.

written
  bench/out/TIME.json and .png, and bench/out/latest.json

exit code
  0 measured · 1 an answer was wrong, something was left behind, or a bench could not run
  2 not understood · 3 with --strict: a target was missed
"""


def main(argv: Sequence[str]) -> int:
    options = _arguments().parse_args(argv)
    unknown = [name for name in options.benches if name not in BENCHES]
    if unknown:
        print(f"bench: no bench is named {unknown[0]}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    chosen = [name for name in BENCHES if name in options.benches or not options.benches]
    try:
        outcomes = uvloop.run(_measure(chosen, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nbench: stopped", file=sys.stderr)
        return 130
    except (NoNetwork, YurtError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return _exit_code(outcomes, strict=options.strict)


async def _measure(chosen: Sequence[str], options: argparse.Namespace) -> dict[str, Outcome]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # what was started ends with us
    now = datetime.now(UTC)
    outcomes: dict[str, Outcome] = {}
    async with network(options.url, options.data) as one:
        arena = Arena(
            network=one, quick=options.quick, walls=options.engines, of=options.languages, seconds=options.seconds
        )
        about = {
            "at": now.isoformat(timespec="seconds"),
            "commit": commit(),
            "quick": options.quick,
            "machine": report.machine(),
            "languages": await arena.languages(),
        }
        for name in chosen:
            outcome = await _one(name, one, arena)
            if outcome is not None:
                outcomes[name] = outcome
                _show(name, outcome)
    files = report.write(outcomes, stamp=now.strftime("%Y%m%dT%H%M%SZ"), about=about, out=options.out)
    print("\nwritten: " + ", ".join(str(file) for file in files))
    return outcomes


async def _one(name: str, one: Network, arena: Arena) -> Outcome | None:
    module = importlib.import_module(f"bench.{name}")
    if getattr(module, "NEEDS_PROCESSES", False) and not one.pids():
        arena.says(f"{name}: left out, it looks at the network's processes; give their folder with --data")
        return None
    arena.says(f"\n{_promise(module)}")
    await one.quiet(within_s=20)
    run: Callable[[Arena], Awaitable[Outcome]] = module.run
    try:
        return await run(arena)
    except (WrongAnswer, ToolFailed, OSError, TimeoutError) as error:
        return Outcome(figures=(), faults=(f"{type(error).__name__}: {error}",))


def _show(name: str, outcome: Outcome) -> None:
    print(f"\n{name}")
    if outcome.figures:
        print(figures_table(outcome.figures))
    for table in outcome.tables:
        print(f"\n{table}")
    for fault in outcome.faults:
        print(f"FAILED: {fault}")
    sys.stdout.flush()


def _exit_code(outcomes: dict[str, Outcome], *, strict: bool) -> int:
    faulty = [name for name, outcome in outcomes.items() if outcome.faults]
    missed = sum(figure.met is False for outcome in outcomes.values() for figure in outcome.figures)
    met = sum(figure.met is True for outcome in outcomes.values() for figure in outcome.figures)
    print(f"targets met {met}, missed {missed}" + (f"; failed: {', '.join(faulty)}" if faulty else ""))
    if faulty or not outcomes:
        return 1
    return 3 if strict and missed else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_listing() + "\n" + EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benches", nargs="*", metavar="NAME", help="which to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="few runs each: to see that all works")
    parser.add_argument("--url", help="measure the network there instead of one started for it")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the data folder of a network on this machine")
    parser.add_argument(
        "--engines",
        type=_words(WALLS),
        default=(),
        metavar="NAME,…",
        help=f"of engines: only these of {', '.join(WALLS)}",
    )
    parser.add_argument(
        "--languages",
        type=_words(tuple(Language)),
        default=(),
        metavar="NAME,…",
        help="of engines: only these languages",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of engines: so long each measurement")
    parser.add_argument("--strict", action="store_true", help="a missed target is a failure")
    parser.add_argument("--out", type=Path, default=report.OUT, metavar="DIR", help="where figures are written")
    return parser


def _words(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Some of *known*, between commas."""

    def read(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return words

    return read


def _listing() -> str:
    modules = [(name, importlib.import_module(f"bench.{name}")) for name in BENCHES]
    return "benches\n" + "".join(f"  {name:<13} {_promise(module)}\n" for name, module in modules)


def _promise(module: ModuleType) -> str:
    return (module.__doc__ or "").split("\n", 1)[0].rstrip(".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
