"""Programs in six languages through the whole network, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from yurt import Complete, Output, SyncClient

pytestmark = pytest.mark.network

HELLO = {
    "hello.py": 'print(f"hello, {input()}")',
    "hello.js": 'console.log(`hello, ${require("fs").readFileSync(0, "utf8").trim()}`)',
    "Hello.java": """
        import java.util.Scanner;
        public class Hello {
            public static void main(String[] args) {
                System.out.println("hello, " + new Scanner(System.in).nextLine());
            }
        }""",
    "hello.go": """
        package main
        import "fmt"
        func main() { var name string; fmt.Scan(&name); fmt.Println("hello, " + name) }""",
    "hello.cpp": """
        #include <bits/stdc++.h>
        int main() { std::string name; std::cin >> name; std::cout << "hello, " << name << std::endl; }""",
    "hello.rs": """
        fn main() { let mut name = String::new(); std::io::stdin().read_line(&mut name).unwrap();
                    println!("hello, {}", name.trim()); }""",
}

ENDS = [
    ("exit.py", "import sys; sys.exit(7)", (), 7),
    ("crash.cpp", "int main() { volatile int *p = nullptr; return *p; }", (), 139),
    ("abort.py", "import os; os.abort()", (), 134),
    ("forever.py", "while True: pass", ("--timeout", "1"), 124),
    ("sleeps.js", "setTimeout(() => {}, 20000)", ("--timeout", "1"), 124),
    ("hungry.py", "b = bytearray(1 << 30)", ("--memory", "64"), 137),
    ("typo.rs", "fn main() { let x: u8 = 'a'; }", (), 65),
    ("flood.py", "while True: print('x' * 1000)", (), 141),
]


@pytest.mark.parametrize("name", HELLO)
def test_hello_is_said_and_the_exit_code_is_zero(network: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(HELLO[name])
    ended = network.yurt("run", str(tmp_path / name), stdin=b"world\n")
    assert (ended.stdout, ended.stderr, ended.returncode) == (b"hello, world\n", b"", 0)


@pytest.mark.parametrize(("name", "code", "options", "exit_code"), ENDS)
def test_the_exit_code_says_how_it_ended(
    network: Any, tmp_path: Path, name: str, code: str, options: tuple[str, ...], exit_code: int
) -> None:
    (tmp_path / name).write_text(code)
    assert network.yurt("run", str(tmp_path / name), *options).returncode == exit_code


def test_bytes_pass_both_ways_as_they_are(network: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 300
    program = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d); sys.stderr.buffer.write(d[::-1])"
    (tmp_path / "echo.py").write_text(program)
    ended = network.yurt("run", str(tmp_path / "echo.py"), stdin=data)
    assert ended.stdout == data
    assert ended.stderr == data[::-1]


def test_arguments_and_files_reach_the_program(network: Any, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import sys, words; print(words.joined(sys.argv[1:]))")
    (tmp_path / "words.py").write_text("def joined(words): return '+'.join(words)")
    ended = network.yurt("run", str(tmp_path / "main.py"), str(tmp_path / "words.py"), "--", "a", "--b")
    assert ended.stdout == b"a+--b\n"


def test_json_is_the_execution(network: Any, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print('hello')")
    execution = json.loads(network.yurt("run", "--json", str(tmp_path / "hello.py")).stdout)
    assert (execution["verdict"], execution["stdout"], execution["exit_code"]) == ("ok", "hello\n", 0)
    assert execution["usage"]["wall_ms"] > 0


def test_output_comes_while_the_program_runs_and_in_order(client: SyncClient) -> None:
    program = "import time\nfor n in range(4):\n    print(n, flush=True)\n    time.sleep(0.25)"
    came: list[tuple[str, float]] = []
    for event in client.stream(client.submit("python", program)["execution_id"]):
        if isinstance(event, Output):
            came.append((event.text, time.monotonic()))
        elif isinstance(event, Complete):
            came.append(("end", time.monotonic()))
    assert "".join(text for text, _ in came) == "0\n1\n2\n3\nend"
    assert came[-1][1] - came[0][1] > 0.7


def test_a_late_listener_gets_everything_from_the_start_or_from_where_it_asks(client: SyncClient) -> None:
    program = "import time\nfor n in range(5):\n    print(n, flush=True)\n    time.sleep(0.05)"
    execution_id = client.submit("python", program)["execution_id"]
    client.wait(execution_id)
    whole = [event for event in client.stream(execution_id) if isinstance(event, Output)]
    assert "".join(event.text for event in whole) == "0\n1\n2\n3\n4\n"
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    rest = [event for event in client.stream(execution_id, start=3) if isinstance(event, Output)]
    assert rest == whole[2:]


def test_a_cancelled_execution_says_so(client: SyncClient) -> None:
    execution_id = client.submit("python", "import time; print('up', flush=True); time.sleep(25)", timeout=30)[
        "execution_id"
    ]
    stream = client.stream(execution_id)
    assert any(isinstance(event, Output) for event in stream)
    client.cancel(execution_id)
    assert client.wait(execution_id)["status"] == "cancelled"


def test_ctrl_c_on_run_cancels_the_execution(network: Any, client: SyncClient, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time; print('up', flush=True); time.sleep(25)")
    words = [sys.executable, "-m", "yurt", "run", str(tmp_path / "sleeps.py"), "--timeout", "30", "--url", network.url]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    newest = client.executions(limit=1)["executions"][0]["execution_id"]
    assert client.wait(newest)["status"] == "cancelled"


def test_a_reader_that_leaves_ends_the_program(network: Any, client: SyncClient, tmp_path: Path) -> None:
    """``yurt run … | head -1``"""
    (tmp_path / "talks.py").write_text("import time\nwhile True:\n    print('more', flush=True)\n    time.sleep(0.01)")
    words = [sys.executable, "-m", "yurt", "run", str(tmp_path / "talks.py"), "--url", network.url]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.wait(timeout=20) == 141
        assert process.stderr.read() == b""
    newest = client.executions(limit=1)["executions"][0]["execution_id"]
    assert client.wait(newest)["status"] == "cancelled"


def test_a_batch_is_a_table_of_how_they_ended(network: Any, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("print(1)")
    (tmp_path / "bad.js").write_text("process.exit(3)")
    ended = network.yurt("batch", str(tmp_path / "good.py"), str(tmp_path / "bad.js"))
    lines = ended.stdout.decode().splitlines()
    assert ended.returncode == 1
    assert lines[1].split()[:4] == ["python", "good.py", "ok", "0"]
    assert lines[2].split()[:4] == ["javascript", "bad.js", "nonzero_exit", "3"]
    assert max(map(len, lines)) <= 80


def test_an_execution_is_submitted_followed_and_read_by_its_id(network: Any, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import sys; print('out'); print('err', file=sys.stderr)")
    execution_id = network.yurt("submit", str(tmp_path / "hello.py")).stdout.decode().strip()
    followed = network.yurt("logs", execution_id)
    assert (followed.stdout, followed.stderr) == (b"out\n", b"err\n")
    assert b"completed, ok" in network.yurt("result", "--wait", execution_id).stdout
    assert network.yurt("cancel", execution_id).returncode == 64


def test_languages_lists_all_six(network: Any) -> None:
    listed = network.yurt("languages").stdout.decode()
    assert {line.split()[0] for line in listed.splitlines()[1:]} >= {
        "python",
        "javascript",
        "java",
        "go",
        "cpp",
        "rust",
    }
    assert max(map(len, listed.splitlines())) <= 80
