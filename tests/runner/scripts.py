"""Small Python scripts in which an interpreter that goes on could be told from one that was just started.

A value is the text of ``main.py``, or a table of files. Each prints what it sees.
"""

# ruff: noqa: E501  # a script is easier to read as it is than broken over lines
from __future__ import annotations

Files = dict[str, str | bytes]

ENDS: dict[str, str | Files] = {
    "falls off the end": "print('done')",
    "leaves with a number": "import sys; sys.exit(7)",
    "leaves with a large number": "import sys; sys.exit(1 << 40)",
    "leaves with a number of more than 64 bits": "import sys; sys.exit(1 << 80)",
    "leaves with a negative number": "import sys; sys.exit(-1)",
    "leaves with true": "import sys; sys.exit(True)",
    "leaves with nothing": "import sys; sys.exit(None)",
    "leaves with words": "import sys; print('first'); sys.exit('these words')",
    "leaves with a tuple": "import sys; sys.exit((1, 2))",
    "leaves with an object that cannot be shown": (
        "class Odd:\n    def __str__(self): raise ValueError('no')\nraise SystemExit(Odd())"
    ),
    "leaves by raising the class": "raise SystemExit",
    "leaves by exit()": "exit(4)",
    "leaves by quit()": "quit('bye')",
    "leaves with a group of exits": "raise BaseExceptionGroup('g', [SystemExit(3)])",
    "leaves in a finally": "import sys\ntry:\n    1 / 0\nfinally:\n    sys.exit(9)",
    "leaves at once": "import os\nprint('lost', end='')\nos._exit(5)",
    "is ended by its own signal": "import os, signal\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)",
    "aborts": "import os\nos.abort()",
    "reads from nowhere": "import ctypes\nctypes.string_at(0)",
    "is interrupted": "raise KeyboardInterrupt",
    "is interrupted by a signal": "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)",
    "ignores an interruption": "import signal, os\nsignal.signal(2, signal.SIG_IGN)\nos.kill(os.getpid(), 2)\nprint('on')",
    "handles a signal": (
        "import signal, os\nsignal.signal(signal.SIGUSR1, lambda n, f: print(n, f.f_lineno, f.f_back))\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\nprint(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE))"
    ),
    "shows every signal": (
        "import signal\nfor n in sorted(signal.valid_signals()): print(n, signal.getsignal(n))\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    ),
}

EXCEPTIONS: dict[str, str | Files] = {
    "divides by zero": "def half(x):\n    return x / 0\n\nhalf(1)\n",
    "raises from another": "try:\n    {}['k']\nexcept KeyError as e:\n    raise RuntimeError('worse') from e\n",
    "raises while handling": "try:\n    {}['k']\nexcept KeyError:\n    [][1]\n",
    "raises from none": "try:\n    {}['k']\nexcept KeyError:\n    raise ValueError('alone') from None\n",
    "raises a group": "raise ExceptionGroup('several', [ValueError(1), TypeError('t'), ExceptionGroup('in', [OSError(2, 'x')])])",
    "raises with notes": "e = ValueError('v')\ne.add_note('a note')\ne.add_note('two\\nlines')\nraise e\n",
    "raises its own": "class Mine(Exception):\n    pass\n\nraise Mine('text')\n",
    "raises what cannot be shown": "class Bad(Exception):\n    def __str__(self): return 1 / 0\nraise Bad()\n",
    "misspells a name": "counter = 1\nprint(countr)\n",
    "misspells an attribute": "import collections\ncollections.namedtupel\n",
    "misspells a module": "import jsn\n",
    "misspells a keyword": "whle True:\n    pass\n",
    "leaves a bracket open": "print((1,\n2\n",
    "indents wrongly": "if True:\nprint(1)\n",
    "mixes tabs and blanks": "if True:\n        a = 1\n\tb = 2\n",
    "returns outside": "x = 1\nreturn x\n",
    "has a null byte": {"main.py": b"x = 1\nprint('a\0b')\n"},
    "is not utf-8": {"main.py": b"print('caf\xe9')\n"},
    "recurses for ever": "def f(n):\n    return f(n + 1)\nf(0)\n",
    "recurses a thousand deep": "def f(n):\n    return n and f(n - 1)\nprint(f(980))\n",
    "raises in a module": {
        "main.py": "import other\nother.go()\n",
        "other.py": "def go():\n    raise LookupError('there')\n",
    },
    "raises on import": {"main.py": "import other\n", "other.py": "x = 1\ny = x / 0\n"},
    "has a module with a fault": {"main.py": "import other\n", "other.py": "def (:\n"},
    "raises in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='worker')\nt.start(); t.join()\nprint('main goes on')\n",
    "raises in exit functions": (
        "import atexit\natexit.register(lambda: 1 / 0)\natexit.register(print, 'first')\n"
        "@atexit.register\ndef leave():\n    raise SystemExit(3)\nprint('body')\n"
    ),
    "raises in a finaliser": "class C:\n    def __del__(self):\n        raise ValueError('in del')\nc = C()\nprint('body')\n",
    "raises in a finaliser early": "class C:\n    def __del__(self):\n        raise ValueError('in del')\nC()\nprint('after')\n",
    "raises in its hook": "import sys\ndef hook(*a):\n    raise KeyError('hook')\nsys.excepthook = hook\n1 / 0\n",
    "leaves in its hook": "import sys\nsys.excepthook = lambda *a: sys.exit(6)\n1 / 0\n",
    "has a hook of its own": "import sys\nsys.excepthook = lambda k, e, t: print('hook', k.__name__, e, t.tb_lineno, t.tb_next)\n1 / 0\n",
    "has no hook": "import sys\ndel sys.excepthook\n1 / 0\n",
    "has a hook for what cannot be raised": (
        "import sys\nsys.unraisablehook = lambda u: print('un', u.exc_type, u.err_msg)\n"
        "class C:\n    def __del__(self): 1 / 0\nC()\nkeep = C()\n"
    ),
    "limits its traceback": "import sys\nsys.tracebacklimit = 1\ndef f(): g()\ndef g(): 1 / 0\nf()\n",
    "raises in evaluated code": "exec('def f():\\n  1/0')\nf()\n",
    "raises across lines": "x = 0\ny = (1 +\n     2 /\n     x)\n",
    "asserts": "assert 1 == 2, 'not the same'\n",
    "unpacks too much": "a, b = [1, 2, 3]\n",
    "raises in an event loop": "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    raise ValueError('async')\nasyncio.run(main())\n",
    "raises in a generator": "def g():\n    yield 1\n    raise ValueError\nlist(g())\n",
    "stops in a generator": "def g():\n    yield 1\n    raise StopIteration\nlist(g())\n",
    "is interrupted while it cleans up": (
        "import atexit\natexit.register(print, 'exit function')\ntry:\n    raise KeyboardInterrupt\nfinally:\n    print('finally')\n"
    ),
    "runs out of memory by its own word": "raise MemoryError('mine')\n",
    "warns": "import warnings\nwarnings.warn('careful')\nwarnings.warn('old', DeprecationWarning)\nx = 'a' is 'b'\n",
    "escapes wrongly": "print('\\d')\n",
}

LOOKS: dict[str, str | Files] = {
    "looks at itself": (
        "import sys\nprint(__name__, __file__, __doc__, __package__, __spec__, sys.argv)\n"
        "print(type(__loader__), __loader__.name, __loader__.path)\n"
        "print(sorted(globals()), sys.path[0], __builtins__)\n"
        "print(getattr(__builtins__, '__name__', None), __cached__ if '__cached__' in globals() else 'none')\n"
    ),
    "looks at its frames": (
        "import sys, inspect, traceback\nprint(sys._getframe().f_back, len(inspect.stack()))\ntraceback.print_stack()\n"
        "def f():\n    return [x.name for x in traceback.extract_stack()]\nprint(f())\n"
        "print(inspect.currentframe().f_globals is globals(), inspect.currentframe().f_locals is globals())\n"
    ),
    "looks at its source": (
        "import inspect, linecache, dis\ndef f(a):\n    # a word\n    return a\nprint(inspect.getsource(f))\n"
        "print(linecache.getline(__file__, 2), inspect.getsourcefile(f), inspect.getmodule(f))\n"
    ),
    "looks at its modules": (
        "import sys\nprint(sorted(n for n in sys.modules if n in ('zygote', 'ctypes', 'select', 'json', 're', 'typing')))\n"
        "print('ctypes' in sys.modules, 'goes_on' in sys.modules, sys.modules['__main__'].__dict__ is globals())\n"
    ),
    "looks at all that is loaded": "import sys\nprint(sorted(sys.modules))\n",
    "looks at the interpreter": (
        "import sys\nprint(sys.flags, sys.orig_argv[1:], sys.path, sys.prefix, sys.executable, sys.warnoptions)\n"
        "print(sys.stdin.encoding, sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdout.line_buffering)\n"
        "print(sys.getrecursionlimit(), sys.getswitchinterval(), sys.dont_write_bytecode, sys.pycache_prefix)\n"
        "print(sys.stdin, sys.stdout, sys.stderr, sys.stdin.fileno(), sys.gettrace(), sys.getprofile())\n"
        "print(sys.meta_path, len(sys.path_hooks), sys.getfilesystemencoding(), sys.int_info, sys.hash_info.width)\n"
    ),
    "looks at the collector": (
        "import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), gc.get_debug(), gc.callbacks)\n"
    ),
    "looks at its threads": "import threading\nprint(threading.enumerate(), threading.main_thread() is threading.current_thread())\n",
    "looks at its locale": (
        "import locale, time, os\nprint(locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(), time.tzname)\n"
        "print(sorted(os.environ.items()), os.getcwd() == os.environ['HOME'], os.path.expanduser('~'))\n"
    ),
    "looks at what is open": "import os\nprint(sorted(os.listdir('/proc/self/fd'))[:-1], os.listdir('.'))\n",
    "looks at the command line": "print(open('/proc/self/cmdline').read().split('\\0')[1:])\n",
    "looks at its warnings": "import warnings\nfor f in warnings.filters: print(f)\n",
    "looks at help": "print(print.__doc__[:40], exit, quit)\nprint(copyright)\n",
    "looks for annotations": "x: int = 1\nprint(__annotations__)\ndef f(a: int) -> str: ...\nprint(f.__annotations__)\n",
    "pickles its own": (
        "import pickle, dataclasses, copy\n@dataclasses.dataclass\nclass P:\n    x: int\n"
        "print(pickle.loads(pickle.dumps(P(3))), copy.deepcopy(P(4)), P.__module__)\n"
    ),
    "imports itself": "import main\nprint(main.__name__, __name__)\n",
    "imports __main__": "import __main__\nx = 5\nprint(__main__.x, __main__.__file__)\n",
    "resolves types": (
        "import typing\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    b: 'B'\nclass B: ...\n"
        "print(typing.get_type_hints(A))\n"
    ),
    "numbers its objects' hashes": "print(hash(5), hash(5.5), hash(()), hash(True))\n",
    "prints a doc": '"""What it is."""\nprint(__doc__)\n',
    "is coded": {"main.py": "# -*- coding: latin-1 -*-\nprint('caf\xe9')\n".encode("latin-1")},
    "is coded unknown": "# coding: nonsense\nprint(1)\n",
    "begins with a mark": {"main.py": b"\xef\xbb\xbfprint('marked')\r\nprint('''a\r\nb'''.encode())\r\n1/0\r\n"},
    "ends lines as of old": {"main.py": b"print(1)\rprint(2)\r"},
    "is empty": "",
    "is a comment without end": "# only this",
    "uses the future": "from __future__ import annotations\ndef f(x: nothing): ...\nprint(f.__annotations__)\n",
    "compiles more": "print(compile('x', 'y', 'eval').co_flags, eval('__name__'))\n",
}

LOCAL: dict[str, str | Files] = {
    "has its own modules": {
        "main.py": "import tools.one, tools\nfrom tools import two\nprint(tools.__file__, tools.one.X, two.Y)\n",
        "tools/__init__.py": "",
        "tools/one.py": "X = 1\n",
        "tools/two.py": "from . import one\nY = one.X + 1\n",
    },
    "has a folder without init": {
        "main.py": "import space.one\nprint(space.__path__, space.one.A)\n",
        "space/one.py": "A = 2\n",
    },
    "shadows random": {"main.py": "import random\nprint(random.mine)\n", "random.py": "mine = 'local'\n"},
    "shadows a loaded one": {
        "main.py": "import ctypes, select, struct\nprint(ctypes.A, select.B, struct.C)\n",
        "ctypes.py": "A = 1\n",
        "select.py": "B = 2\n",
        "struct.py": "C = 3\n",
    },
    "shadows a package": {"main.py": "import json\nprint(json.X, json.__file__)\n", "json/__init__.py": "X = 9\n"},
    "cannot shadow os": {"main.py": "import os\nprint(hasattr(os, 'getpid'))\n", "os.py": "X = 1\n"},
    "cannot shadow sys": {"main.py": "import sys\nprint(sys.__name__)\n", "sys.py": "X = 1\n"},
    "shadows types": {"main.py": "import types\nprint(types.X)\n", "types.py": "X = 1\n"},
    "shadows threading": {"main.py": "import threading\nprint(threading.X)\n", "threading.py": "X = 1\n"},
    "shadows signal": {"main.py": "import signal\nprint(signal.X)\n", "signal.py": "X = 1\n"},
    "shadows zygote": {"main.py": "import zygote\nprint(zygote.X)\n", "zygote.py": "X = 'mine'\n"},
    "has no zygote": "import zygote\n",
    "has no goes_on": "import goes_on\n",
    "reads a file beside": {"main.py": "print(open('data/a.txt').read())\n", "data/a.txt": "text"},
    "has a stale cache": "import os, sys\nopen('m.py', 'w').write('A = 1')\nimport m\nprint(m.A, os.path.exists('__pycache__'), m.__cached__)\n",
    "runs a module": {
        "main.py": "import runpy\nrunpy.run_module('part', run_name='__main__')\n",
        "part.py": "print(__name__, __file__)\n",
    },
    "has a main package": {
        "main.py": "import runpy\nrunpy.run_path('pack')\n",
        "pack/__main__.py": "print(__name__, __package__)\n",
    },
}

STREAMS: dict[str, str | Files] = {
    "forgets to flush": "import sys\nsys.stdout.write('no end')\nsys.stderr.write('here neither')\n",
    "forgets to close a file": "f = open('a.txt', 'w')\nf.write('x' * 10000)\nimport atexit, os\natexit.register(lambda: print(os.path.getsize('a.txt')))\n",
    "prints much": "for i in range(20000): print(i, 'x' * 20)\n",
    "writes bytes": "import sys\nsys.stdout.buffer.write(bytes(range(256)))\nprint('text')\nsys.stdout.buffer.write(b'end')\n",
    "mixes descriptors": "import os, sys\nprint('one')\nos.write(1, b'two\\n')\nprint('three')\n",
    "closes stdout": "import sys\nprint('a')\nsys.stdout.close()\n",
    "closes stdout and prints": "import sys\nsys.stdout.close()\nprint('b')\n",
    "closes the descriptor": "import os\nprint('lost')\nos.close(1)\n",
    "closes stderr": "import sys\nsys.stderr.close()\n1 / 0\n",
    "closes everything": "import os\nos.closerange(0, 100)\n",
    "replaces stdout": "import sys, io\nsys.stdout = io.StringIO()\nprint('nowhere')\nsys.__stdout__.write('somewhere')\n",
    "wraps stdout": "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-16-le')\nprint('wide')\n",
    "has no stdout": "import sys\nsys.stdout = None\nprint('x')\n",
    "prints what cannot be coded": "print('\\ud800')\n",
    "shows what cannot be coded": "import sys\nprint('\\ud800', file=sys.stderr)\n",
    "prints characters": "print('łódź 日本 😀')\n",
    "asks": "print(input('name? '), input())\n",
    "asks for more than there is": "input(); input(); input()\n",
    "reads all": "import sys\nprint(repr(sys.stdin.read()), sys.stdin.read())\n",
    "reads lines": "import sys\nfor line in sys.stdin: print(repr(line))\n",
    "reads the descriptor": "import os\nprint(os.read(0, 4), os.read(0, 1 << 16), os.read(0, 10))\n",
    "reconfigures": "import sys\nsys.stdout.reconfigure(encoding='latin-1', errors='replace', newline='\\r\\n')\nprint('é☃')\n",
    "writes to a closed pipe": "import os, sys\nr, w = os.pipe()\nos.close(r)\nos.dup2(w, 1)\nprint('x')\n",
    "writes to a closed pipe early": "import os, sys\nr, w = os.pipe()\nos.close(r)\nos.dup2(w, 1)\nprint('x', flush=True)\n",
    "writes to a full device": "import os\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\nprint('x')\n",
    "writes by C": "import ctypes\nctypes.CDLL(None).puts(b'from C')\nprint('from Python')\n",
    "writes by C at the end": "import ctypes, atexit\nlibc = ctypes.CDLL(None)\natexit.register(libc.puts, b'late')\nprint('x', flush=True)\n",
}

PROCESSES: dict[str, str | Files] = {
    "forks": (
        "import os, sys\nprint('both')\nsys.stdout.flush()\npid = os.fork()\nif not pid:\n    print('child')\n    sys.exit(3)\n"
        "print('parent', os.waitpid(pid, 0)[1])\n"
    ),
    "forks with unflushed words": "import os\nprint('twice', end='')\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n",
    "forks and fails": "import os\npid = os.fork()\nif not pid: 1 / 0\nprint(os.waitpid(pid, 0)[1])\n",
    "runs a process": "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import sys; print(sys.path[0]); sys.exit(2)'], capture_output=True))\n",
    "runs a shell": "import os\nprint('x', flush=True)\nprint(os.system('echo hi; exit 3'))\n",
    "runs a missing one": "import subprocess\nsubprocess.run(['no-such-program'])\n",
    "becomes another": "import os\nprint('a', flush=True)\nos.execvp('echo', ['echo', 'b'])\n",
    "uses a pool of processes": (
        "import multiprocessing as mp\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        "    mp.set_start_method('fork')\n    with mp.Pool(2) as p: print(p.map(f, [1, 2, 3]))\n"
    ),
    "spawns processes": (
        "import multiprocessing as mp\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n"
        "    c = mp.get_context('spawn')\n    q = c.Queue()\n    p = c.Process(target=f, args=(q,))\n    p.start(); print(q.get()); p.join(); print(p.exitcode)\n"
    ),
    "uses a pool of threads": "from concurrent.futures import ThreadPoolExecutor as T\nwith T(3) as t: print(list(t.map(abs, [-1, 2])))\n",
    "leaves a pool of processes": (
        "from concurrent.futures import ProcessPoolExecutor as P\nimport multiprocessing as mp\ndef f(x): return x\n"
        "if __name__ == '__main__':\n    p = P(1, mp_context=mp.get_context('fork'))\n    print(p.submit(f, 3).result())\n"
    ),
    "waits for its threads": "import threading, time\ndef f():\n    time.sleep(.05)\n    print('thread')\nthreading.Thread(target=f).start()\nprint('main')\n",
    "does not wait for daemons": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('main')\n",
    "is interrupted with a thread": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()\nraise KeyboardInterrupt\n"
    ),
    "exits in a thread": "import threading, sys\nt = threading.Thread(target=sys.exit, args=(3,))\nt.start(); t.join(); print('on')\n",
    "has exit functions": "import atexit\natexit.register(print, 1)\natexit.register(print, 2)\nprint(0)\n",
    "has exit functions and threads": (
        "import atexit, threading, time\natexit.register(print, 'exit')\n"
        "threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()\nprint('main')\n"
    ),
    "runs an event loop": "import asyncio\nasync def f(x):\n    await asyncio.sleep(.01)\n    return x\nasync def main(): print(await asyncio.gather(f(1), f(2)))\nasyncio.run(main())\n",
    "leaves tasks behind": "import asyncio\nasync def main():\n    asyncio.create_task(asyncio.sleep(9), name='t')\n    print('x')\nasyncio.run(main())\n",
    "never awaits": "async def f(): ...\nf()\nprint('x')\n",
    "sets an alarm": "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, .02)\ntime.sleep(5)\n",
    "reads a process in an event loop": (
        "import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)\n"
        "    print(await p.communicate(), p.returncode)\nasyncio.run(main())\n"
    ),
}

FINALISERS: dict[str, str | Files] = {
    "drops a global": "class C:\n    def __del__(self): print('gone', __name__)\nc = C()\nprint('body')\n",
    "drops several": (
        "class C:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('gone', self.n)\n"
        "a, b, _c = C('a'), C('b'), C('c')\nprint('body')\n"
    ),
    "drops a circle": "class C:\n    def __del__(self): print('gone')\nc = C(); c.me = c\ndel c\nprint('body')\n",
    "drops a circle that it holds": "class C:\n    def __del__(self): print('gone')\nc = C(); c.me = c\nprint('body')\n",
    "drops what a module holds": {
        "main.py": "import held\nprint('body')\n",
        "held.py": "class C:\n    def __del__(self): print('gone', C is None)\nc = C()\n",
    },
    "drops with an exception": "class C:\n    def __del__(self): print('gone')\ndef f():\n    c = C()\n    1 / 0\nf()\n",
    "leaves with what it holds": "import sys\nclass C:\n    def __del__(self): print('gone')\ndef f():\n    c = C()\n    sys.exit(2)\nf()\n",
    "finalises weakly": "import weakref\nclass C: ...\nc = C()\nweakref.finalize(c, print, 'final')\nprint('body')\n",
    "cleans a temporary folder": "import tempfile, os\nt = tempfile.TemporaryDirectory(dir='.', prefix='t')\nprint(len(os.listdir('.')) > 0)\n",
    "leaves a generator open": "def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\nx = g()\nnext(x)\nprint('body')\n",
    "leaves a context open": "import contextlib\n@contextlib.contextmanager\ndef c():\n    yield\n    print('never')\nx = c()\nx.__enter__()\n",
    "imports while it ends": "class C:\n    def __del__(self):\n        import json\n        print(json.dumps(1))\nc = C()\n",
    "leaves a file unflushed": "import os\npid = os.fork()\nif not pid:\n    f = open('x', 'w')\n    f.write('kept')\nelse:\n    os.waitpid(pid, 0)\n    print(open('x').read())\n",
    "holds a class": "class M(type):\n    def __del__(self): print('class gone')\nclass C(metaclass=M): ...\nprint('body')\n",
    "holds in builtins": "import builtins\nclass C:\n    def __del__(self): print('gone')\nbuiltins.kept = C()\nprint('body')\n",
    "holds in another module": "import sys\nclass C:\n    def __del__(self): print('gone')\nsys.kept = C()\nprint('body')\n",
    "holds in a thread": (
        "import threading\nclass C:\n    def __del__(self): print('gone')\nl = threading.local()\nl.c = C()\nprint('body')\n"
    ),
}

SCRIPTS: dict[str, str | Files] = {**ENDS, **EXCEPTIONS, **LOOKS, **LOCAL, **STREAMS, **PROCESSES, **FINALISERS}
