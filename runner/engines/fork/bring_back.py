"""Files out of a sandbox: regular files that match globs, written into a pipe. Runs with the program's own rights.

What lies there was made by strangers: links are not followed, fifos and devices are not opened to wait, files are
bounded in number and bytes, and the runner, at the other end of the pipe, trusts none of it.
"""

from __future__ import annotations

import os
import stat
import struct

FILE_HEADER = struct.Struct("<IQ")  #: bytes of the name, bytes of the content
COLLECTED = ("/workspace/", "/tmp/", "/dev/shm/")  #: files are brought back from here


def glob_pattern(glob):
    """A path pattern: ``*`` and ``?`` stay in a folder, ``**`` crosses, neither matches a leading dot."""
    import re  # only here, and in a process that ends soon

    parts = []
    for part in glob.split("/"):
        if part == "**":
            parts.append(r"(?:(?!\.)[^/]+/)*")
            continue
        text = "" if part.startswith(".") or part[:1] not in "*?[" else r"(?!\.)"
        at = 0
        while at < len(part):
            letter = part[at]
            end = part.find("]", at + 2) if letter == "[" else -1
            if part.startswith("**", at):
                text += "[^/]*"
                at += 1
            elif letter == "*":
                text += "[^/]*"
            elif letter == "?":
                text += "[^/]"
            elif end > 0:
                inside = part[at + 1 : end]
                for special in "\\[&~|":
                    inside = inside.replace(special, "\\" + special)
                while "--" in inside:
                    inside = inside.replace("--", "-")
                text += "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]"
                at = end
            else:
                text += re.escape(letter)
            at += 1
        parts.append(text + "/")
    joined = "".join(parts)
    try:
        return re.compile((joined[:-1] if joined.endswith("/") else joined + r"(?!\.)[^/]+") + r"\Z", re.S)
    except re.error:  # a range that runs backwards
        return re.compile(re.escape(glob) + r"\Z", re.S)


def collect(wanted, write):
    """Regular files whose path matches a glob, into the pipe, bounded in number and bytes; links are not followed."""
    globs, (most_files, most_bytes) = wanted
    globs = [glob if glob.startswith("/") else "/workspace/" + _plain(glob) for glob in globs]
    patterns = [glob_pattern(glob) for glob in globs]
    for path in _walk([folder for folder in COLLECTED if any(glob.startswith(folder) for glob in globs)]):
        if most_files <= 0:
            return
        if not any(pattern.match(path) for pattern in patterns):
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue  # it made the file so that it cannot read it
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
                continue
            name = path.encode("utf-8", "surrogateescape")
            _write_all(write, FILE_HEADER.pack(len(name), status.st_size) + name)
            _copy(fd, write, status.st_size)
            most_files -= 1
            most_bytes -= status.st_size
        finally:
            os.close(fd)


def _plain(glob):
    while glob.startswith("./"):
        glob = glob[2:].lstrip("/")
    return glob


def _walk(folders):
    """Paths of files, those of a folder before those of the folders in it; however deep they lie."""
    left = folders[::-1]
    while left:
        inner = []
        try:
            with os.scandir(left.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield entry.path
        except OSError:
            continue
        left += inner[::-1]


def _copy(fd, write, size):
    while size:
        part = os.read(fd, min(size, 1 << 16))
        if not part:
            raise OSError("the file shrank")
        _write_all(write, part)
        size -= len(part)


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
