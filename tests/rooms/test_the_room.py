"""The room a program runs in is the one that the public contract describes, in every language."""

# ruff: noqa: E501  # programs are easier to read unbroken
from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from jobs.languages import Language
from jobs.result import Result
from jobs.states import Verdict
from tests.sandboxes import Sandboxes

Act = Callable[..., Result]
EVERY_LANGUAGE = pytest.mark.parametrize("language", list(Language))

SIGPIPE, SIGXFSZ = 1 << 12, 1 << 24
#: what runtimes ignore by themselves, here and everywhere
OF_THE_C_LIBRARY = 0b11 << 31  #: signals 32 and 33, which no program can send or handle by its name
IGNORED = {Language.PYTHON: SIGPIPE | SIGXFSZ, Language.JAVASCRIPT: SIGPIPE | SIGXFSZ, Language.RUST: SIGPIPE}


def _report(act: Act, language: Language, **fields: object) -> dict[str, str]:
    """What a program of that language sees: its status by field, and ``env X``, ``fd N``, ``cpus`` …"""
    result = act(language, "report", **fields)
    assert result.verdict is Verdict.OK, (result.stderr, result.compile)
    seen: dict[str, str] = {}
    for line in result.stdout.decode().splitlines():
        if match := re.match(r"(env \w+)=(.*)|(fd \d+) (.*)|(\w+):\t(.*)|(\w+) (.*)", line):
            name, value = (part for part in match.groups() if part is not None)
            seen[name] = value
    return seen


@EVERY_LANGUAGE
def test_it_starts_in_the_folder_of_its_files_with_the_usual_umask(act: Act, language: Language) -> None:
    seen = _report(act, language)
    assert seen["cwd"] == "/workspace"
    assert seen["made"] == "755"
    assert seen["Umask"] == "0022"


@EVERY_LANGUAGE
def test_its_environment_is_five_variables(act: Act, language: Language) -> None:
    seen = _report(act, language)
    environment = {name[4:]: value for name, value in seen.items() if name.startswith("env ")}
    path = environment.pop("PATH")
    assert path.endswith("/usr/local/bin:/usr/bin:/bin")
    assert environment == {"HOME": "/workspace", "USER": "runner", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}


@EVERY_LANGUAGE
def test_its_environment_can_be_added_to_and_replaced(act: Act, language: Language) -> None:
    given = {"PATH": "/bin", "HOME": "/tmp", "USER": "ada", "LANG": "C.utf8", "TMPDIR": "/dev/shm", "_X1": "a=b = ł\n"}
    seen = _report(act, language, env=given)
    for name, value in given.items():
        assert seen[f"env {name}"] == value.split("\n")[0]
    assert seen["cwd"] == "/workspace"


@EVERY_LANGUAGE
def test_signals_are_at_their_defaults_and_none_is_blocked(act: Act, language: Language) -> None:
    seen = _report(act, language)
    assert int(seen["SigBlk"], 16) == 0
    assert int(seen["SigIgn"], 16) & ~(IGNORED.get(language, 0) | OF_THE_C_LIBRARY) == 0


@EVERY_LANGUAGE
def test_it_is_not_process_1_and_sees_only_its_own(act: Act, language: Language) -> None:
    seen = _report(act, language)
    assert int(seen["Pid"]) > 1
    assert seen["PPid"] in {"0", "1"}  # whoever started it is outside, or is process 1


@EVERY_LANGUAGE
def test_it_has_no_rights(act: Act, language: Language) -> None:
    seen = _report(act, language)
    for held in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen[held], 16) == 0
    assert seen["NoNewPrivs"] == "1"
    assert seen["Seccomp"] == "2"
    assert seen["Uid"].split() == ["1000"] * 4
    assert seen["Gid"].split() == ["1000"] * 4
    assert seen["Groups"].split() in ([], ["1000"])


@EVERY_LANGUAGE
def test_it_is_told_of_one_cpu(act: Act, language: Language) -> None:
    seen = _report(act, language)
    assert "," not in seen["Cpus_allowed_list"] and "-" not in seen["Cpus_allowed_list"]
    if language is not Language.JAVASCRIPT:  # os.cpus() describes the machine; os.availableParallelism() is below
        assert seen["cpus"] == "1"


def test_node_is_told_of_one_cpu_where_it_asks_how_much_it_may_use(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("javascript", "console.log(require('os').availableParallelism())")
    assert result.stdout == b"1\n"


@EVERY_LANGUAGE
def test_it_has_no_descriptor_of_ours(act: Act, language: Language) -> None:
    """Runtimes open some of their own: event queues, pipes to themselves, their own files, the folder being read."""
    seen = _report(act, language)
    held = {int(name[3:]): to for name, to in seen.items() if name.startswith("fd ")}
    assert {0, 1, 2} <= set(held)
    for number, to in held.items():
        if number > 2:
            assert not to.startswith(("/memfd", "/dev", "/workspace", "/proc/1/"))
            assert not to.startswith("socket:") or language is Language.JAVA  # what newer ones close descriptors with
            assert not to.startswith("pipe:") or language is Language.JAVASCRIPT
    if language in (Language.PYTHON, Language.CPP, Language.RUST):
        assert not [to for number, to in held.items() if number > 2 and not to.startswith("/proc/")]


@EVERY_LANGUAGE
def test_standard_input_is_at_its_end_after_what_was_sent(act: Act, language: Language) -> None:
    assert _report(act, language, stdin=b"12345")["stdin"] == "5"
    assert _report(act, language)["stdin"] == "0"
    assert _report(act, language, stdin=b"x" * 300_000)["stdin"] == "300000"


@EVERY_LANGUAGE
def test_its_children_end_with_it(act: Act, language: Language) -> None:
    result = act(language, "leave", timeout_s=8.0)
    assert (result.verdict, result.stdout) == (Verdict.OK, b"gone\n")


@EVERY_LANGUAGE
def test_a_deep_recursion_has_its_stack(act: Act, language: Language) -> None:
    assert act(language, "deep").stdout == b"50000\n"


HOUSE = """
import grp, os, pwd, socket, stat, time, locale, sys
print(pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name, os.path.expanduser("~runner"))
print(socket.gethostname(), os.uname().nodename, socket.gethostbyname("localhost"), socket.gethostbyname("yurt"))
print(locale.setlocale(locale.LC_ALL, ""), time.tzname[0], sys.getfilesystemencoding())
os.environ["TZ"] = "Asia/Almaty"; time.tzset(); print(time.localtime(0).tm_hour, end=" ")
import zoneinfo; print(len(zoneinfo.available_timezones()) > 400)
for name in ("null", "zero", "full", "random", "urandom"):
    status = os.stat("/dev/" + name)
    print(name, stat.S_ISCHR(status.st_mode), oct(status.st_mode & 0o777), end="; ")
print(sorted(os.listdir("/dev")))
print(open("/dev/zero", "rb").read(2), len(open("/dev/urandom", "rb").read(3)), open("/dev/null").read() == "")
try: open("/dev/full", "wb", buffering=0).write(b"x")
except OSError as e: print(e.errno)
sys.stdout.flush()
open("/dev/stdout", "w").write("by its name\\n"); open("/dev/fd/2", "w").write("and this\\n")
open("/dev/shm/a", "w").write("x"); open("/tmp/a", "w").write("x"); open("/var/tmp/b", "w").write("x")
print(os.getcwd() == os.environ["HOME"], os.access("/workspace", os.W_OK), oct(os.stat("/tmp").st_mode))
for name in ("/etc", "/usr/bin", "/usr/lib", "/", "/dev", "/proc/sys", "/var", "/home", "/opt", "/root"):
    try: open(name + "/x", "w"); print("wrote", name)
    except OSError as e: pass
"""


def test_the_house_is_furnished(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", HOUSE)
    assert result.stdout.decode().splitlines() == [
        "runner runner /workspace",
        "yurt yurt 127.0.0.1 127.0.0.1",
        "C.UTF-8 UTC utf-8",
        "6 True" if b"6 True" in result.stdout else "5 True",  # by the year of the zone files
        "null True 0o666; zero True 0o666; full True 0o666; random True 0o666; urandom True 0o666; "
        "['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']",
        "b'\\x00\\x00' 3 True",
        "28",
        "by its name",
        "True True 0o41777",
    ]
    assert result.stderr == b"and this\n"


NETWORK = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"hello")).start()
print(socket.create_connection(server.getsockname(), 2).recv(5))
six = socket.create_server(("::1", 0), family=socket.AF_INET6); print("six")
print([line.split(":")[0].strip() for line in open("/proc/net/dev")][2:])
for place in (("192.0.2.1", 80), ("8.8.8.8", 53), ("169.254.169.254", 80), ("172.17.0.1", 22)):
    try: socket.create_connection(place, 0.3); print("reached", place)
    except OSError as e: print(e.errno)
try: socket.getaddrinfo("example.com", 80)
except OSError as e: print("no names")
"""


def test_its_network_is_its_own_loopback_and_nothing_else(sandboxes: Sandboxes) -> None:
    result = sandboxes.run("python", NETWORK)
    assert result.stdout.decode().split() == ["b'hello'", "six", "['lo']", *["101"] * 4, "no", "names"]


ORPHANS = """
import os, time
for _ in range(30):
    if not os.fork():
        if os.fork(): os._exit(0)
        os._exit(0)
    os.wait()
deadline = time.time() + 5
def zombies():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: found += open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"
        except OSError: pass
    return found
while zombies() and time.time() < deadline: time.sleep(.01)
print(zombies())
"""


def test_orphans_are_reaped(sandboxes: Sandboxes) -> None:
    assert sandboxes.run("python", ORPHANS).stdout == b"0\n"


def test_what_was_written_before_the_end_is_not_lost(sandboxes: Sandboxes) -> None:
    """By a program that is killed too, and by its children."""
    code = "import os, sys\nsys.stdout.write('x' * 500000)\nsys.stdout.flush()\nos.kill(os.getpid(), 9)"
    result = sandboxes.run("python", code)
    assert (result.signal, len(result.stdout)) == ("SIGKILL", 500_000)
    code = "import os\nif not os.fork():\n    os.write(1, b'y' * 60000)\n    os._exit(0)\nos.wait()"
    assert len(sandboxes.run("python", code).stdout) == 60_000
    code = "console.log('z'.repeat(700000)); process.exit(4)"
    result = sandboxes.run("javascript", code)
    assert (result.exit_code, len(result.stdout)) == (4, 700_001)


RANDOM = {
    Language.PYTHON: "import random, uuid, os\nprint(random.random(), uuid.uuid4(), os.urandom(4))",
    Language.JAVASCRIPT: "console.log(Math.random(), require('crypto').randomUUID())",
    Language.JAVA: "public class A { public static void main(String[] a) {"
    'System.out.println(Math.random() + " " + new java.util.Random().nextLong() + java.util.UUID.randomUUID()); } }',
    Language.GO: 'package main\nimport ("fmt"; "math/rand")\nfunc main() { fmt.Println(rand.Int63(), rand.Int63()) }',
    Language.CPP: '#include <random>\n#include <cstdio>\nint main() { std::random_device d; printf("%u %u", d(), d()); }',
    Language.RUST: "use std::hash::*;\nfn main() { "
    'println!("{}", std::collections::hash_map::RandomState::new().build_hasher().finish()); }',
}


@pytest.mark.parametrize("language", RANDOM)
def test_random_numbers_differ_from_every_other_run(sandboxes: Sandboxes, language: Language) -> None:
    results = [sandboxes.run(language, RANDOM[language]) for _ in range(3)]
    words = [set(result.stdout.split()) for result in results]
    assert all(words) and not words[0] & words[1] and not words[1] & words[2] and not words[0] & words[2]


TRACES = {
    Language.PYTHON: ("def f():\n    return 1 // 0\nf()\n", "main.py", 2),
    Language.JAVASCRIPT: ("function f() {\n  null.x;\n}\nf();\n", "main.js", 2),
    Language.JAVA: ("class A {\n static int f(int n) {\n  return 1 / n;\n }\n"
                    " public static void main(String[] a) { f(0); } }\n", "", 3),
    Language.GO: ("package main\nfunc f(n int) int {\n\treturn 1 / n\n}\nfunc main() { println(f(0)) }\n", "main.go", 3),
    Language.RUST: ("fn main() {\n    let v: Vec<u8> = vec![];\n    println!(\"{}\", v[std::env::args().count()]);\n}\n",
                    "main.rs", 3),
}  # fmt: skip


@pytest.mark.parametrize("language", TRACES)
def test_a_trace_shows_the_programs_own_lines_and_none_of_ours(sandboxes: Sandboxes, language: Language) -> None:
    code, file, line = TRACES[language]
    result = sandboxes.run(language, code)
    said = result.stderr.decode()
    assert result.verdict is Verdict.NONZERO_EXIT
    assert re.search(rf"{re.escape(file)}\S*?(:|, line ){line}\b", said), said
    assert not re.search(r"zygote|goes_on|Start\.java|wait\.js|start\.js|/box|ahead", said), said
