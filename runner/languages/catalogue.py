"""Which languages there are. A new one is a row here, and a folder beside this file."""

from __future__ import annotations

from jobs.languages import Language
from runner.languages.contract import Support
from runner.languages.cpp import Cpp
from runner.languages.go import Go
from runner.languages.java import Java
from runner.languages.javascript import JavaScript
from runner.languages.python import Python
from runner.languages.rust import Rust

SUPPORT: dict[Language, type[Support]] = {
    Language.PYTHON: Python,
    Language.JAVASCRIPT: JavaScript,
    Language.JAVA: Java,
    Language.GO: Go,
    Language.CPP: Cpp,
    Language.RUST: Rust,
}
