"""Every other language in a container, where ``make images`` has made its image: it proves itself, and says hello."""

from __future__ import annotations

import pytest

from bench.daemon import Daemon
from jobs.languages import Language
from jobs.states import Verdict
from tests.engines.daemon import ARCHIVES
from tests.sandboxes import Sandboxes, docker

HELLO = {
    Language.JAVASCRIPT: "console.log('hello')",
    Language.JAVA: 'public class A { public static void main(String[] a) { System.out.println("hello"); } }',
    Language.GO: 'package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
    Language.CPP: '#include <iostream>\nint main() { std::cout << "hello\\n"; }',
    Language.RUST: 'fn main() { println!("hello"); }',
}


@pytest.mark.parametrize("language", HELLO)
def test_a_language_runs_in_its_image(daemon: Daemon, language: Language) -> None:
    """Its self-test is the one that a runner asks for; an image of another version is refused, and skipped here."""
    image = ARCHIVES / f"{language.value}.tar"
    if not image.exists():
        pytest.skip(f"NO IMAGE OF {language.value} HERE: make images")
    daemon.load(image)
    started = Sandboxes(lambda: docker(daemon.url))
    try:
        result = started.run(language, HELLO[language])
        assert (result.verdict, result.stdout) == (Verdict.OK, b"hello\n"), result
    finally:
        started.close()
