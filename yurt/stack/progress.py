"""What a runner says of its start, as lines for a person: which toolchains it prepares, which languages it offers.

Read from its log, which has one event a line (``… action=offered language=python version=3.11.7``).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path


class Progress:
    """News from one log, from where it ends now. ``done`` once the runner takes jobs."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._at = log.stat().st_size if log.exists() else 0
        self.done = False

    def news(self) -> Iterator[str]:
        """What is new and worth telling."""
        for line in self._new_lines():
            fields = parsed(line)
            action = fields.get("action", "")
            self.done = self.done or action == "ready"
            said = _sentence(action, fields)
            if said:
                yield said

    def _new_lines(self) -> list[str]:
        try:
            with self._log.open("rb") as log:
                log.seek(self._at)
                data = log.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.decode(errors="replace").splitlines()


def parsed(line: str) -> dict[str, str]:
    """The ``key=value`` words of a log line."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quotation that does not end: no event of ours
        words = line.split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def _sentence(action: str, fields: dict[str, str]) -> str | None:
    name = " ".join(filter(None, (fields.get("language"), fields.get("version"))))
    if action == "preparing" and "step" in fields:
        return f"preparing {name}: {fields['step']}"
    if action == "offered":
        return f"{name} is ready"
    if action == "engine_off":
        return f"engine {fields.get('engine')} cannot be had: {fields.get('why')}"
    if action == "not_found":
        return f"{name} is not installed here, and left out"
    if action == "not_offered":
        return f"{fields.get('installation', name)} is left out: {fields.get('why', 'its self-test failed')}"
    return None
