"""C++, and C beside it: g++ as a person would call it, made quick by precompiled headers and a quick linker.

All ``.cpp .cc .cxx .c`` files of a submission are compiled and linked, C as C; quoted headers are found from the
submission's folder, and so are bracketed ones that the system does not have.

The default build is ``-O1 -std=gnu++20``. Most of what g++ does for a small program is not the program: it reads 450
headers and instantiates the templates that these use themselves. Both are done ahead (``precompiled``), and a
precompiled header is used only by a source that includes all that is in it anyway (``includes``), so that no name is
visible that would not be.

Numbers, g++ 12.2, one core of a 2-core machine, medians, the linker included::

                                              hello,          hello,      60 lines with       2 M numbers sorted, a map,
                                              <iostream>      bits        maps and sorts      matrices: compile / run
    -O2, nothing made ahead, bfd              295 ms          1207 ms
    -O1, a usual precompiled header, mold      82 ms           252 ms     635 ms
    -O1, with its templates completed, mold    47 ms            70 ms     405 ms              284 / 185 ms
    -O2, the same                              47 ms            81 ms     540 ms              320 / 157 ms
"""

from __future__ import annotations

from runner.languages.cpp.support import Cpp

__all__ = ["Cpp"]
