"""Java, by whatever JDKs are installed.

Theory of operation. Two kinds of virtual machines wait, both inside classes of ours (``ahead/``), which ``prepare``
compiles and makes archives of loaded classes for (``kept.py``). In a build sandbox, ``Compile`` has compiled a small
program by the time the job comes; it leaves the classes, and the name of the one that has ``main``, under ``/tmp``.
In a run sandbox, ``Start`` is the launcher's main class, and becomes the program's without leaving a trace on the
stack. Its heap is sized for the default memory limit; any other limit, and any environment, is started cold.

1. The classes lie in ``/box``, which is on the class path before ``/workspace``: the caller's folder holds only what
   the caller sent, and programs find their resources there.
2. The heap leaves room for the rest of the virtual machine, so that a program that fills it gets Java's own
   OutOfMemoryError; the sandbox's limit stands behind that.
3. One core, one collector thread: serial collection, and both JIT compilers unless memory is very small.
"""

from __future__ import annotations

from runner.languages.java.support import Java

__all__ = ["Java"]
