# ruff: noqa  # a program of the caller's
"""What the tests of rooms ask a program to do, by its first argument; the other files here do the same."""

import os
import subprocess
import sys
import threading
import time


def report():
    print(open("/proc/self/status").read(), end="")
    for name, value in os.environ.items():
        print(f"env {name}={value}")
    for number in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            print("fd", number, os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    print("cpus", os.cpu_count())
    print("cwd", os.getcwd())
    print("stdin", len(sys.stdin.buffer.read()))
    os.mkdir("made")
    print("made", oct(os.stat("made").st_mode & 0o777)[2:])


def eat():
    print("before", flush=True)
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def ask():
    print("before", flush=True)
    bytearray(1 << 50)


def deep(levels=50_000):
    def down(left):
        return 1 + down(left - 1) if left else 0

    sys.setrecursionlimit(levels + 100)
    print(down(levels))


def fall():
    def down(left):
        return 1 + down(left + 1)

    print(down(0))


def flood():
    while True:
        print("tick")


def fill():
    print("before", flush=True)
    with open("big", "wb", buffering=0) as file:
        for _ in range(8):
            file.write(bytes(1 << 20))


def crowd():
    print("before", flush=True)
    for _ in range(60):
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
    print("all there")


def spin():
    print("before", flush=True)
    while True:
        pass


def doze():
    print("before", flush=True)
    time.sleep(60)


def leave():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print("gone")


globals()[sys.argv[1]]()
