"""The script with which a Python zygote is started; in each sandbox it goes on as ``/workspace/main.py`` itself.

Theory of operation. ``zygote.main`` returns here in a forked sandbox, with the caller's files in place. What follows
does what the interpreter does for ``python3 main.py``: a fresh ``__main__``, the file parsed and executed by the
interpreter's own function for it, an uncaught exception shown, the exit code. Three things are different, and hardly
one can be seen from the program:

1. This frame hides itself: its code object says that it has not begun yet, and such frames are left out of stacks and
   tracebacks (CPython 3.11 and later; ``hidden`` proves that it works before any sandbox is made). It still counts as
   one level of recursion.
2. What is loaded for our own sake stays in ``sys.modules``, and is not the program's own copy.
3. The start is trodden: ``rehearse`` and ``immortalise`` leave a fork little to write, for a first write copies a page.
4. The end is quick. An interpreter that shuts down frees every object it has, and after a fork each of them is a page
   to copy: two thirds of what a small program costs. ``finish`` does what a program can notice (threads waited for,
   exit functions, its modules' objects deleted, buffers flushed, C's own exit functions) and leaves the rest to the
   kernel.

The zygote lies in a folder ``/workspace`` of its own, over which each sandbox mounts its own: so the interpreter knew
from its start which folder is its program's (3.13 says of a module that shadows another how to mend that).

Self-contained, like ``zygote``; nothing is imported that a bare interpreter has not loaded anyhow or ``zygote`` needs.
"""

# ruff: noqa: E402  # what a bare interpreter has loaded is seen before anything else is

import sys

BARE = frozenset(sys.modules)

import _weakref
import atexit
import builtins
import ctypes
import gc
import os

import program
import settle
import zygote

MAIN = "/workspace/main.py"
SIGINT = 2
FLUSH_FAILED = 120
REHEARSAL = os.path.join(os.path.dirname(__file__), "rehearsal.py").encode()  #: a file that prints one line
REHEARSALS = 20  #: what it takes for the interpreter to specialise the code
FILE_INPUT = 257  #: how C calls a whole file, for its parser
CLOSE_IT = 1
MESSAGES = sys.version_info >= (3, 13)  #: whether what is ignored at the end is told in words, or by its object
BUILTINS = frozenset(vars(builtins))

#: what an interpreter that ends takes away first
SPECIAL = (
    *("path", "argv", "ps1", "ps2", "last_exc", "last_type", "last_value", "last_traceback"),
    *("path_hooks", "path_importer_cache", "meta_path", "__interactivehook__"),
)

_libc = ctypes.CDLL(None)
_fopen = _libc.fopen
_fopen.restype = ctypes.c_void_p
_exit = ctypes.PyDLL(None).exit
_run = ctypes.pythonapi.PyRun_FileExFlags
_run.restype = ctypes.py_object
_object = ctypes.py_object
_run.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, _object, _object, ctypes.c_int, ctypes.c_void_p]


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
    vars(module).update(__builtins__=builtins, __file__=MAIN, __loader__=loader, __cached__=None)
    if sys.version_info < (3, 14):
        module.__annotations__ = {}
    sys.modules["__main__"] = module
    return vars(module)


def file():
    """The caller's file, opened as C does."""
    return _fopen(MAIN.encode(), b"rb")


def after(error):
    """What the interpreter does with whatever the program ended by; exit code, and whether it was an interruption."""
    if isinstance(error, SystemExit):
        return code_of(error), False
    for name in ("__file__", "__cached__"):
        vars(sys.modules["__main__"]).pop(name, None)
    if error is None:
        return 0, False
    return show(error), isinstance(error, KeyboardInterrupt)


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
        return 1
    except SystemExit as leave:
        return code_of(leave)
    except BaseException as caught:
        worse = caught
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
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception:
        sys.stdout = sys.stdout  # the end will say it
    print(code, file=sys.stderr)
    return 1


def finish(code, interrupted):
    """End this process as the interpreter would, as far as a program can tell."""
    threading = sys.modules.get("threading")
    if threading is not None:
        try:
            threading._shutdown()
        except BaseException as error:
            complain(error, "Exception ignored on threading shutdown", threading)
    atexit._run_exitfuncs()
    if not flush("stdout", aloud=True):
        code = FLUSH_FAILED
    flush("stderr")
    foreign = any(map(is_foreign, [name for name in sys.modules if name not in zygote.LOADED]))
    forget(sys.modules, zygote.LOADED)
    flush("stdout")
    flush("stderr")
    if interrupted:
        program.end_by(SIGINT)
    if foreign:
        _exit(code)
    _libc.fflush(None)
    os._exit(code)


def is_foreign(name):
    """Whether a module of the program's is C code: then C's exit functions may be its own."""
    return str(getattr(sys.modules.get(name), "__file__", "")).endswith(".so")


def flush(name, aloud=False):
    """Whether that stream is well."""
    stream = getattr(sys, name, None)
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except BaseException as error:
        if aloud:
            complain(error, "Exception ignored on flushing sys." + name, stream)
        return False
    return True


def complain(error, message, thing):
    """Of an error that nobody can catch any more."""
    error.__context__ = None
    message, thing = (message, None) if MESSAGES else (None, thing)
    try:
        sys.unraisablehook(_ignored((type(error), error, error.__traceback__, message, thing)))
    except BaseException:
        sys.unraisablehook = sys.__unraisablehook__


def forget(modules, kept):
    """Delete the program's modules and what they hold, so that its finalisers run and its files are flushed.

    As the interpreter does it: modules are let go, what was held in circles is collected, and of modules that
    somebody still holds the names are taken away, the private ones first.
    """
    for name in SPECIAL:
        setattr(sys, name, None)
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    own = [_weakref.ref(modules.pop(name)) for name in list(modules) if name not in kept and _is_module(modules[name])]
    gc.collect()
    for name in list(vars(builtins)) if len(vars(builtins)) != len(BUILTINS) else ():
        if name not in BUILTINS:
            del vars(builtins)[name]
    for held in reversed(own):
        module = held()
        if module is not None:
            clear(vars(module))


def _is_module(thing):
    return isinstance(thing, type(sys))


def clear(table):
    for private in (True, False):
        for name in list(table):
            if name != "__builtins__" and private == (name[:1] == "_" and name[1:2] != "_"):
                table[name] = None


def rehearse():
    """Walk the road of a small program here, some times over: caches are filled, and code is specialised, once."""
    main, stdout = sys.modules["__main__"], sys.stdout
    with open(os.devnull, "w") as nowhere:
        for _ in range(REHEARSALS):
            program.rehearse()
            sys.stdout = nowhere
            names = fresh_main()
            _run(_fopen(REHEARSAL, b"rb"), MAIN.encode(), FILE_INPUT, names, names, CLOSE_IT, None)
            flush("stdout")
            clear(names)
    sys.stdout = stdout
    sys.modules["__main__"] = main


def rehearse_libraries(path):
    """Run the rehearsal of a variant: what it imports is there in every fork.

    It is told nothing of us, and finds ``home`` beside it copied into the folder that programs have as HOME: what
    libraries keep there (matplotlib its list of fonts) was made ahead. What it writes there is removed.
    Where it defines ``afresh``, that is called in each fork.
    """
    if not path:
        return
    import shutil

    settle.reserve()
    home = os.environ["HOME"]
    before = set(os.listdir(home))
    shutil.copytree(os.path.join(os.path.dirname(path), "home"), home, dirs_exist_ok=True)
    with open(path, "rb") as source:
        code = compile(source.read(), path, "exec")
    names = {"__name__": "rehearsal", "__builtins__": builtins}
    exec(code, names)
    if "afresh" in names:
        program.AFRESH.append(names["afresh"])
    for name in set(os.listdir(home)) - before:
        shutil.rmtree(os.path.join(home, name))
    settle.release()


CODE_PARTS = ("co_consts", "co_names", "co_name", "co_qualname", "co_filename", "co_linetable", "co_exceptiontable")


def immortalise():
    """Let everything that exists now live for ever: then no fork counts references to it.

    A count is a write. Immortal objects exist since CPython 3.12, and None shows how one looks.
    """
    if sys.version_info < (3, 12):
        return
    word = ctypes.c_uint32.from_address
    forever = word(id(None)).value
    seen = set()
    waiting = gc.get_objects()
    while waiting:
        thing = waiting.pop()
        if id(thing) not in seen:
            seen.add(id(thing))
            waiting += gc.get_referents(thing)
            if isinstance(thing, type(hide.__code__)):
                waiting += [getattr(thing, name) for name in CODE_PARTS]
    for address in seen - {id(seen), id(waiting)}:
        word(address).value = forever


class _Raises:
    def __del__(self):
        raise ValueError


def kind_of_ignored():
    """The type of what ``sys.unraisablehook`` is given; nothing but the interpreter tells it."""
    seen: list = []
    sys.unraisablehook = seen.append
    _Raises()
    sys.unraisablehook = sys.__unraisablehook__
    return type(seen[0])


_ignored = kind_of_ignored()
for function in (hide, fresh_main, file, after, show, code_of, finish, flush, complain, forget, _is_module, clear):
    hide(function.__code__)
hide(is_foreign.__code__)
if not hidden():
    os.write(2, b"frames cannot be hidden in this interpreter\n")
    os._exit(1)
config = int(os.environ.pop("ZYGOTE_CONFIG"))
zygote.begin(config)
rehearse_libraries(os.environ.pop("ZYGOTE_REHEARSAL", ""))
rehearse()
immortalise()
zygote.main(config, loaded=frozenset(sys.modules) - {"__main__"}, bare=BARE)
hide(sys._getframe().f_code)
names, error = fresh_main(), None
try:
    _run(file(), MAIN.encode(), FILE_INPUT, names, names, CLOSE_IT, None)
except BaseException as caught:
    error = caught
exit_code, interrupted = after(error)
names = error = None
finish(exit_code, interrupted)
