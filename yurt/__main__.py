"""The ``yurt`` command. Faults are one line with the cure; exit codes are told in ``yurt.commands.exits``."""

from __future__ import annotations

import sys

from jobs.errors import YurtError
from yurt.commands import arguments, exits
from yurt.commands.programs import BadInput, NoInput
from yurt.faults import NoNetwork, Problem


def main() -> int:
    """Do what was typed; the exit code."""
    try:
        options = arguments.parse(sys.argv[1:])
        code: int = options.do(options)
    except YurtError as error:
        print(f"yurt: {error}", file=sys.stderr)
        return _code_of(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        return exits.FAULT
    return code


def _code_of(error: YurtError) -> int:
    if isinstance(error, NoNetwork):
        return exits.NO_NETWORK
    if isinstance(error, Problem):
        if error.status in (429, 502, 503, 504):
            return exits.NO_NETWORK
        return exits.REFUSED if error.status < 500 else exits.PLATFORM
    if isinstance(error, NoInput):
        return exits.NO_INPUT
    return exits.USAGE if isinstance(error, BadInput) else exits.FAULT


if __name__ == "__main__":
    sys.exit(main())
