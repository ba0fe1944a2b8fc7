"""The script with which a Python zygote is started; in each sandbox it goes on as ``/workspace/main.py`` itself.

Theory of operation. ``zygote.main`` returns here in a forked sandbox, with the caller's files in place. What follows
does what the interpreter does for ``python3 main.py``: a fresh ``__main__``, the file compiled and executed, an
uncaught exception shown, the exit code. Two things are different, and neither can be seen from the program:

1. This frame hides itself: its code object says that it has not begun yet, and such frames are left out of stacks and
   tracebacks (CPython 3.11 and later; ``hidden`` proves that it works before any sandbox is made).
2. The end is quick. An interpreter that shuts down frees every object it has, and after a fork each of them is a page
   to copy: two thirds of what a small program costs. ``finish`` does what a program can notice (threads waited for,
   exit functions, its modules' objects deleted, buffers flushed, C's own exit functions) and leaves the rest to the
   kernel.

Self-contained, like ``zygote``; nothing is imported that a bare interpreter has not loaded anyhow or ``zygote`` needs.
"""

import atexit
import ctypes
import gc
import os
import sys

import zygote

MAIN = "/workspace/main.py"
SIGINT = 2
FLUSH_FAILED = 120


def hide(code):
    """Let *code* say that its frames have not begun: ``_co_firsttraceable`` is the last int before ``co_extra``."""
    address = id(code) + type(code).__basicsize__ - 16
    ctypes.c_int.from_address(address).value = 0x3FFFFFFF


def hidden():
    """Whether frames of hidden code are left out."""

    def inner():
        return sys._getframe(1)

    def outer():
        return inner()

    hide(outer.__code__)
    return outer() is sys._getframe()


def fresh_main():
    """A new ``__main__``, as the interpreter makes it for a script."""
    module = type(sys)("__main__")
    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", MAIN)
    vars(module).update(__builtins__=sys.modules["builtins"], __file__=MAIN, __loader__=loader, __cached__=None)
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return vars(module)


def source():
    with open(MAIN, "rb") as file:
        return compile(file.read(), MAIN, "exec", 0, True)


def show(error):
    """What the interpreter does with an exception that nothing caught; the exit code."""
    kind = type(error)
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        print("sys.excepthook is missing", file=sys.stderr)
        sys.__excepthook__(kind, error, error.__traceback__)
        return 1
    try:
        hook(kind, error, error.__traceback__)
    except SystemExit as leave:
        return code_of(leave)
    except BaseException as worse:
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(worse), worse, worse.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(kind, error, error.__traceback__)
    return 1


def code_of(leave):
    """The exit code that a SystemExit asks for."""
    code = leave.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 255
    flush(sys.stdout)
    print(code, file=sys.stderr)
    return 1


def flush(stream):
    """Whether there was anything to complain of."""
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except Exception:
        return False
    return True


def finish(code, interrupted):
    """End this process as the interpreter would, as far as a program can tell."""
    threading = sys.modules.get("threading")
    if threading is not None:
        try:
            threading._shutdown()
        except BaseException as error:
            sys.unraisablehook(Unraisable(error))  # type: ignore[arg-type]  # it looks like the real thing
    atexit._run_exitfuncs()
    flush(sys.stdout)
    flush(sys.stderr)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        if hasattr(sys, name):
            setattr(sys, name, None)
    forget(sys.modules, zygote.LOADED)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    if not flush(sys.stdout):
        code = code or FLUSH_FAILED
    flush(sys.stderr)
    if interrupted:
        zygote.end_by(SIGINT)
    ctypes.PyDLL(None).exit(code)


class Unraisable:
    """What ``sys.unraisablehook`` is given."""

    def __init__(self, error):
        self.exc_type, self.exc_value, self.exc_traceback = type(error), error, error.__traceback__
        self.err_msg, self.object = "Exception ignored in the end of threads", None


def forget(modules, kept):
    """Delete the program's modules and what they hold, so that its finalisers run and its files are flushed."""
    own = [(name, modules.pop(name)) for name in list(modules) if name not in kept]
    tables = [vars(module) for _, module in own if type(module) is type(sys)]
    del own
    gc.collect()
    for table in tables:
        for private in (True, False):
            for name in list(table):
                if name != "__builtins__" and private == (name[:1] == "_" and name[1:2] != "_"):
                    table[name] = None
    tables.clear()
    gc.collect()


for function in (hide, fresh_main, source, show, code_of, flush, finish, forget, Unraisable.__init__):
    hide(function.__code__)
if not hidden():
    os.write(2, b"frames cannot be hidden in this interpreter\n")
    os._exit(1)
zygote.main(int(os.environ.pop("ZYGOTE_CONFIG")), loaded=frozenset(sys.modules) - {"__main__"})
hide(sys._getframe().f_code)
exit_code, interrupted = 0, False
try:
    exec(source(), fresh_main())
except SystemExit as leave:
    exit_code = code_of(leave)
except KeyboardInterrupt as error:
    exit_code, interrupted = show(error), True
except BaseException as error:
    exit_code = show(error)
finish(exit_code, interrupted)
