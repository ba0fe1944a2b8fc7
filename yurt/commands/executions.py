"""``yurt submit``, ``result``, ``cancel``, ``batch``, ``languages``: one call of the network each."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from yurt.answers import ENDED, Execution
from yurt.client import Client
from yurt.commands import address, exits, programs
from yurt.commands.tables import megabytes, milliseconds, table

_AT_ONCE = 32


def submit(options: argparse.Namespace) -> int:
    language, fields = programs.submission(options, options.files, programs.stdin_of(options.stdin))
    with address.sync_client(options) as client:
        answer = client.submit(language, **fields)
    _print_json(answer) if options.json else print(answer["execution_id"])
    return exits.OK


def result(options: argparse.Namespace) -> int:
    with address.sync_client(options) as client:
        execution = client.wait(options.id) if options.wait else client.result(options.id)
    if options.json:
        _print_json(execution)
        return exits.OK
    print(_described(execution))
    return exits.OK


def cancel(options: argparse.Namespace) -> int:
    with address.sync_client(options) as client:
        client.cancel(options.id)
    print(f"{options.id} is being cancelled")
    return exits.OK


def batch(options: argparse.Namespace) -> int:
    """Every file is a program of its own; 0 when all of them ended *ok*."""
    stdin = programs.stdin_of(options.stdin)
    submissions = [programs.submission(options, [name], stdin) for name in options.files]
    executions = asyncio.run(_all(address.client(options), submissions))
    if options.json:
        _print_json(executions)
    else:
        print(results_table(list(zip(options.files, executions, strict=True))))
    return exits.OK if all(execution["verdict"] == "ok" for execution in executions) else exits.FAULT


def languages(options: argparse.Namespace) -> int:
    with address.sync_client(options) as client:
        offered = client.languages()
    if options.json:
        _print_json(offered)
        return exits.OK
    rows = [
        [
            entry["language"],
            entry["version"],
            " ".join(entry["extensions"]),
            " ".join(entry["variants"]) or "-",
            " ".join(entry.get("engines", [])) or "-",
            " ".join(entry["compile_flags"]) or "-",
        ]
        for entry in offered
    ]
    print(table(["LANGUAGE", "VERSION", "FILES", "VARIANTS", "ENGINES", "COMPILED WITH"], rows))
    return exits.OK


def results_table(named: list[tuple[str, Execution]]) -> str:
    """One row a program: how it ended, what it used, where the time went (milliseconds, MB)."""
    headings = ["LANGUAGE", "PROGRAM", "VERDICT", "EXIT", "WALL", "CPU", "MB", "QUEUE", "COMP", "RUN"]
    return table(headings, [_row(name, execution) for name, execution in named], right=range(3, 10))


def _row(name: str, execution: Execution) -> list[str]:
    usage, timeline = execution["usage"], execution["timeline"]
    ended = execution["signal"] or ("-" if execution["exit_code"] is None else str(execution["exit_code"]))
    return [
        execution["language"],
        name.rpartition("/")[2],
        execution["verdict"] or execution["status"],
        ended.removeprefix("SIG"),
        milliseconds(usage["wall_ms"]),
        milliseconds(usage["cpu_ms"]),
        megabytes(usage["memory_peak_bytes"]),
        milliseconds(timeline["queued_ms"]),
        milliseconds(timeline["compile_ms"]),
        milliseconds(timeline["run_ms"]),
    ]


async def _all(client: Client, submissions: list[tuple[str, dict[str, Any]]]) -> list[Execution]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(language: str, fields: dict[str, Any]) -> Execution:
        async with room:
            return await client.execute(language, **fields)

    async with client:
        return await asyncio.gather(*(one(language, fields) for language, fields in submissions))


def _described(execution: Execution) -> str:
    """Its state and figures, then what it wrote."""
    lines = [
        f"execution  {execution['execution_id']}",
        f"program    {execution['language']} {execution['version']}".rstrip(),
        f"status     {execution['status']}" + (f", {execution['verdict']}" if execution["verdict"] else ""),
    ]
    if execution["status"] in ENDED:
        usage = execution["usage"]
        lines += [
            f"exit       {execution['signal'] or execution['exit_code']}",
            f"used       {milliseconds(usage['wall_ms'])} ms, {milliseconds(usage['cpu_ms'])} ms of CPU, "
            f"{megabytes(usage['memory_peak_bytes'])} MB",
        ]
    if execution["message"]:
        lines.append(f"message    {execution['message']}")
    for name, text in (("stdout", execution["stdout"]), ("stderr", execution["stderr"])):
        if text:
            lines.append(f"--- {name}\n{text.rstrip()}")
    return "\n".join(lines)


def _print_json(answer: Any) -> None:
    json.dump(answer, sys.stdout, indent=2)
    print()
