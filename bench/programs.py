"""The programs that benches run: hello in each language, told apart by a number so that each can be new to a cache.

The number is printed too, so that a stale answer is a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Program:
    """One source. ``name`` tells two programs of one language apart."""

    name: str
    language: str
    template: str

    def source(self, number: int) -> str:
        return self.template.replace("NUMBER", str(number))

    def output(self, number: int) -> str:
        """What it must print."""
        return f"hello {number}\n"


PYTHON = Program(name="python", language="python", template='print("hello", NUMBER)\n')
JAVASCRIPT = Program(name="javascript", language="javascript", template='console.log("hello", NUMBER);\n')
JAVA = Program(
    name="java",
    language="java",
    template="""public class Hello {
    public static void main(String[] args) {
        System.out.println("hello " + NUMBER);
    }
}
""",
)
GO = Program(
    name="go",
    language="go",
    template='package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hello", NUMBER)\n}\n',
)
CPP = Program(
    name="c++ iostream",
    language="cpp",
    template='#include <iostream>\n\nint main() { std::cout << "hello " << NUMBER << std::endl; }\n',
)
CPP_BITS = Program(
    name="c++ bits/stdc++.h",
    language="cpp",
    template='#include <bits/stdc++.h>\nusing namespace std;\n\nint main() { cout << "hello " << NUMBER << "\\n"; }\n',
)
RUST = Program(name="rust", language="rust", template='fn main() {\n    println!("hello {}", NUMBER);\n}\n')

HELLOS = (PYTHON, JAVASCRIPT, JAVA, GO, CPP, CPP_BITS, RUST)
