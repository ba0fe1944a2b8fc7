"""What may be typed after ``yurt``, with the help that teaches it. Commands are loaded only when they are asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import Any

Do = Callable[[argparse.Namespace], int]

_ABOUT = """\
Yurt runs programs in Python, JavaScript, Java, Go, C++ and Rust, each in a sealed, single-use sandbox.

  yurt up                      the whole network on this machine, until Ctrl-C
  yurt run hello.py            run a program: output live, its exit code as its own
  echo 42 | yurt run main.rs   what is piped in is the program's standard input
  yurt doctor                  what this machine can do, and the cure for what it cannot

More on each: yurt COMMAND --help
"""

_RUN = """\
examples:
  yurt run hello.py
  yurt run main.cpp --timeout 2 --memory 128 < input.txt
  yurt run src/main.py src/words.py -- first second     several files; the first one starts
  yurt run answer.txt --language python

exit code: the program's own; 128+n when signal n ended it; 124 time limit, 137 memory limit, 152 CPU
limit, 141 output limit, 65 compile error, 64 refused, 66 no such file, 70 the platform failed, 75 no
network answers, 130 Ctrl-C (which cancels the execution).
"""

_UP = """\
examples:
  yurt up                              on port 8080, or the next one that is free
  yurt up --port 9000 --data /srv/yurt
  yurt up --region-file region.toml    queues, delivery and fleets of your own
  yurt up --regions us-east,eu-west,ap-south --rtt us-east:eu-west=80ms --rtt us-east:ap-south=200ms
  yurt up --tls                        HTTPS, and TLS inside, by an authority made in the data folder
  yurt up --engine docker              sandboxes are containers; yurt doctor says which engines work here
  yurt up --engine python=snapshot,java=docker          only for these; the others are forked, the fastest way

It prints one line a region, "ready http://HOST:PORT region=NAME", when it can take jobs. The first start
prepares the toolchains, which takes a minute or two. Ctrl-C or SIGTERM ends it: running programs finish,
queued ones stay queued for the next start. A second Ctrl-C kills what has not ended.

Several regions each have a NATS cluster, a gateway and a runner; jobs go from one to the other as they would
between data centres. --rtt delays what passes between two of them. A data folder remembers its regions: start
again at least most of them together.

An engine that does not work here takes only its languages away, and it is said why. What --engine says of a language
goes before what a region file says of its fleet (engine, engines). Docker's daemon is at DOCKER_HOST; what it runs
containers with is YURT_DOCKER_RUNTIME: runc, runsc (gVisor), kata-fc (Firecracker).
"""


_BOOTSTRAP = """\
It makes the streams and consumers that the region file describes, or changes those that are there, after a look at
what lies in them; what would lose something is refused, all of it at once. Run again, it has nothing to do.

With --keys it makes, under DIR, what the region's NATS servers need: a key a role, the accounts, an authority with
certificates, and each server's whole configuration. It changes streams then only if --nats is given too.

examples:
  yurt bootstrap --region us-east --region-file us-east.toml --dry-run
  yurt bootstrap --region us-east --keys keys --server us-east-1=n1.example.org --remote eu-west=n2.example.org
  yurt bootstrap --region us-east --nats tls://n1.example.org:4222 \\
      --nats-seed-file keys/us-east/admin.nk --nats-ca-file keys/authority/ca.pem

exit code: 0 when the region is as its file says (or, with --dry-run, could be made so), 1 when something is refused
or wrong.
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options; ``do`` is the function to call with them. Ends the process where the words are wrong."""
    words, after = _split(list(words))
    parser = _parser(words[0] if words else "")
    options = parser.parse_args(words)
    if after:
        if not hasattr(options, "arg"):
            parser.error("words after -- are a program's arguments; this command runs none")
        options.arg = [*(options.arg or []), *after]
    return options


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after the first ``--``."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser(asked: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yurt", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _network_commands(commands)
    _program_commands(commands)
    _process_commands(commands, asked)
    return parser


def _network_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", "the whole network on this machine", "yurt.commands.up:up", _UP)
    up.add_argument("--port", type=_port, metavar="N", help="default 8080, or the next one that is free")
    up.add_argument("--regions", metavar="NAME,…", help="the regions' names, default local; ports count up")
    up.add_argument(
        "--region-file", action="append", metavar="FILE", help="a region file, in place of the defaults; one a region"
    )
    up.add_argument(
        "--rtt", action="append", metavar="ONE:OTHER=80ms", help="keep two regions apart; may be given again"
    )
    up.add_argument(
        "--replicas", type=int, choices=(1, 3), help="NATS servers a region, and copies of each stream; default 1"
    )
    up.add_argument("--tls", action="store_true", help="HTTPS, and TLS between all processes")
    up.add_argument(
        "--engine",
        action=_Engines,
        metavar="ENGINE|LANGUAGE=ENGINE,…",
        help="what sandboxes are: fork (the default), docker or snapshot; may be given again",
    )
    up.add_argument("--quiet", action="store_true", help="say nothing but the ready line")
    _data(up)
    status = _command(
        commands,
        "status",
        "what runs in a data folder",
        "yurt.commands.status:status",
        "example:\n  yurt status --data .yurt --json\n",
    )
    _data(status)
    _json(status)
    doctor = _command(
        commands,
        "doctor",
        "what this machine can do, and the cure for what it cannot",
        "yurt.commands.doctor:doctor",
        "exit code: 0 when programs can run here, 1 when not.\n",
    )
    _json(doctor)
    languages = _command(commands, "languages", "what programs may be written in", "yurt.commands.executions:languages")
    _network(languages)
    _json(languages)


def _program_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from yurt.commands import programs

    run = _command(commands, "run", "run a program and show its output live", "yurt.commands.run:run", _RUN)
    run.add_argument("files", nargs="+", metavar="FILE", help="the program; with several, the first one starts")
    run.add_argument("-i", "--interactive", action="store_true", help="send it what is typed, as it is typed")
    submit = _command(
        commands,
        "submit",
        "have a program accepted, and print its id",
        "yurt.commands.executions:submit",
        "example:\n  id=$(yurt submit slow.py) && yurt logs $id && yurt result $id\n",
    )
    submit.add_argument("files", nargs="+", metavar="FILE", help="the program; with several, the first one starts")
    batch = _command(
        commands,
        "batch",
        "run many programs at once, and print a table of how they ended",
        "yurt.commands.executions:batch",
        "example:\n  yurt batch solutions/*.py --timeout 2 --stdin case1.txt\n\n"
        "exit code: 0 when all of them ended well, else 1.\n",
    )
    batch.add_argument("files", nargs="+", metavar="FILE", help="each one a program of its own")
    for parser in (run, submit, batch):
        programs.add_arguments(parser)
    result = _command(commands, "result", "how an execution ended", "yurt.commands.executions:result")
    result.add_argument("--wait", action="store_true", help="until it has ended")
    logs = _command(
        commands,
        "logs",
        "an execution's output, from its start until it ends",
        "yurt.commands.run:logs",
        "example:\n  yurt logs $id --from 12     go on where an earlier look stopped\n",
    )
    logs.add_argument("--from", dest="start", type=int, default=1, metavar="SEQ", help="the first piece to show")
    cancel = _command(commands, "cancel", "end an execution", "yurt.commands.executions:cancel")
    for parser in (result, logs, cancel):
        parser.add_argument("id", metavar="ID", help="the execution's id")
    for parser in (run, submit, batch, result, logs, cancel):
        _network(parser)
    for parser in (run, submit, batch, result):
        _json(parser)


def _process_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], asked: str) -> None:
    for role in ("gateway", "runner", "autoscaler"):
        parser = _command(
            commands,
            role,
            f"one {role} process of a network",
            f"yurt.commands.process:{role}",
            f"example:\n  yurt {role} --config {role}.toml\n",
        )
        if role == asked:  # its settings are loaded for nobody else
            from yurt.commands import process

            process.add_settings(parser, role)
    bootstrap = _command(
        commands, "bootstrap", "a region's streams, fleets and keys", "yurt.commands.bootstrap:bootstrap", _BOOTSTRAP
    )
    if asked == "bootstrap":
        from yurt.commands import bootstrap as strapping

        strapping.add_arguments(bootstrap)
    scale = _command(commands, "scale", "what the autoscaler decided, would decide, or would have", "")
    if asked == "scale":
        from yurt.commands import scale as scaling

        scaling.add_arguments(scale)


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, says: str, where: str, more: str = ""
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=says,
        description=says[0].upper() + says[1:] + ".",
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(do=_later(where))
    return parser


def _later(where: str) -> Do:
    """The function at ``module:name``, loaded when it is called."""

    def do(options: argparse.Namespace) -> int:
        module, _, name = where.partition(":")
        function: Do = getattr(importlib.import_module(module), name)
        return function(options)

    return do


def _network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", metavar="URL", help="the network; default YURT_URL, or the one in the data folder")
    parser.add_argument(
        "--ca-file", metavar="FILE", help="an authority to trust; default YURT_CA_FILE, or the one in the data folder"
    )
    _data(parser)


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", help="the data folder; default YURT_DATA, or .yurt here")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


class _Engines(argparse.Action):
    """Words between commas, over all times that the option is given."""

    def __call__(
        self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        from jobs import engines

        words = [*(getattr(options, self.dest) or ()), *filter(None, map(str.strip, values.split(",")))]
        faults: list[str] = []
        engines.read(words, self.dest, faults)
        if faults:
            parser.error("; ".join(f"--{fault}" for fault in faults))
        setattr(options, self.dest, words)


def _port(word: str) -> int:
    port = int(word)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{word} is no port; use 1 to 65535")
    return port
