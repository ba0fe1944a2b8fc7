"""JavaScript, by whatever Node.js versions are installed.

Theory of operation. Nothing is compiled ahead of the run. A warm sandbox holds a Node process that has booted and
waits inside a file it was told to ``--require`` (``wait.js``), that is before it looks at its main program; the go
message names the entry, the arguments and the environment, and Node goes on by itself. What a running process cannot
take over (variables that Node, its libraries or the dynamic loader read at their start) is started cold, with the same
flags, behind ``start.js``.

1. An ES module is what Node takes for one: ``.mjs``, or ``"type": "module"`` in a package.json sent along.
2. V8's own ceiling of the heap lies above the widest memory limit, so that the sandbox's limit decides.
3. The stack is far deeper than Node's usual megabyte, yet ends in a RangeError before memory does.
"""

from __future__ import annotations

from runner.languages.javascript.support import JavaScript

__all__ = ["JavaScript"]
