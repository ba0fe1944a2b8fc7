"""Go: its compiler and linker called directly where that is all that ``go build`` would do, else ``go build`` itself.

All ``.go`` files beside the entry are one package main. A ``go.mod`` sent along is used; where there is none and a
package of the submission's own is imported, one is made. Nothing is ever fetched.

Go ships no compiled standard library: ``prepare`` makes one, as a build cache that is mounted read-only at
``/opt/go`` with a list of its archives. The direct way reads the list; ``go build`` uses the cache as its own (it
reads one that it cannot write). The direct way is taken only for what was read and understood (``header``): package
main in one folder, imports of the public standard library, no constraints, directives, assembly or C. So the words of
every odd case are ``go``'s own.

Numbers, go 1.26.8, hello, one core of a 2-core machine: compile 12 ms + link 65 ms (61 with GOGC=off), ``go build``
with a warm cache 213–250 ms; making the cache takes half a minute of CPU and 175 MB.
"""

from __future__ import annotations

from runner.languages.go.support import Go

__all__ = ["Go"]
