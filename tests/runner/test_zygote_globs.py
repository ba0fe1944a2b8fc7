"""Globs of files to bring back: ``*`` stays in its folder, ``**`` crosses, dot files only by name, and none fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engines.fork.bring_back import glob_pattern


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("/w/*.txt", "/w/a.txt", True),
        ("/w/*.txt", "/w/b/a.txt", False),
        ("/w/**/*.txt", "/w/a.txt", True),
        ("/w/**/*.txt", "/w/b/c/a.txt", True),
        ("/w/**", "/w/b/c/a.txt", True),
        ("/w/**", "/w/.a", False),
        ("/w/**", "/w/.b/a", False),
        ("/w/*", "/w/.a", False),
        ("/w/.*", "/w/.a", True),
        ("/w/?", "/w/.", False),
        ("/w/a?c", "/w/abc", True),
        ("/w/a?c", "/w/a/c", False),
        ("/w/[ab]", "/w/b", True),
        ("/w/[!ab]", "/w/b", False),
        ("/w/[a-c]x", "/w/bx", True),
        ("/w/[]]", "/w/]", True),
        ("/w/[", "/w/[", True),
        ("/w/[z-a]", "/w/[z-a]", True),
        ("/w/a**b", "/w/axxb", True),
        ("/w/a**b", "/w/ax/xb", False),
        ("/w/a.c", "/w/abc", False),
        ("/w/(a|b)+$", "/w/(a|b)+$", True),
        ("/w/*.txt", "/w/a.txt\n", False),
        ("/w/*", "/w/two\nlines", True),
        ("/w/a", "/w/a/b", False),
    ],
)
def test_a_path_fits(glob: str, path: str, fits: bool) -> None:
    assert bool(glob_pattern(glob).match(path)) is fits


@given(st.text(alphabet="ab[]!^-*?/.\\()|{}+$\n", max_size=12), st.text(alphabet="ab/.[]-\n", max_size=8))
def test_no_glob_is_an_error(glob: str, path: str) -> None:
    glob_pattern("/workspace/" + glob).match("/workspace/" + path)


@given(st.text(alphabet=st.characters(blacklist_characters="*?[/", blacklist_categories=("Cs",)), min_size=1))
def test_a_plain_name_fits_itself_only(name: str) -> None:
    pattern = glob_pattern("/workspace/" + name)
    assert pattern.match("/workspace/" + name)
    assert not pattern.match("/workspace/" + name + "x")
