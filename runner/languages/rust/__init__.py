"""Rust: rustc called directly, the standard library linked as the shared one that comes with the toolchain.

The entry is the crate's root; ``mod x;`` finds ``x.rs``. Nothing is made ahead: the toolchain is mounted at
``/opt/rust-VERSION`` as it is, and programs find ``libstd`` there by their run path.

The default build is ``-Copt-level=1 -Ccodegen-units=1 -Coverflow-checks=on``, edition 2021 (or what a ``Cargo.toml``
that came along says): as fast as opt-level 2 and 3 where it was measured, and an overflow still panics as it does for a
person who calls rustc without flags. Medians on one core of a 2-core machine, rustc 1.95.0, compile / run of a program
with collections, a sort and a matrix product::

    opt-level 0                          211 / 1330 ms      hello  74 ms
    opt-level 1                          607 /   78 ms
    opt-level 2, 3                  659, 710 /   77 ms
    opt-level 1, one codegen unit        452 /   79 ms      hello  57 ms  with overflow checks, and the shared library
    … with -Cdebug-assertions=on         658 /  132 ms
    linking hello: with the shared library 48 ms, static 73 ms; the toolchain's own lld or mold: the same
"""

from __future__ import annotations

from runner.languages.rust.support import Rust

__all__ = ["Rust"]
