"""Cells that change the world around them: the process, the interpreter, the clock, the store; and edits that mix cells up."""

from __future__ import annotations

import threading

import pytest
from trial import World, differences

from pairs import PairCell

# Each: cells; the last is edited afterwards.
CASES: dict[str, tuple[str, ...]] = {
    "a name that shadows a builtin": (
        "len = lambda x: 'mine'\nlist = [1]\nid = 5\ntype = 'kind'\nopen = None",
        "list.append(len(list))\nid += 1",
        "print(list, id, type, open, len([]))",
    ),
    "open is replaced": (
        (
            "import builtins\nreal = builtins.open\ndef opened(*a, **k):\n    print('opening', a[0])\n    return real(*a, **k)\nbuiltins.open = opened\n"
            "x = [1]"
        ),
        "open('f.txt', 'w').write('x')\nx.append(2)",
        "print(x, open('f.txt').read())",
    ),
    "open raises": (
        "import builtins, io\ndef opened(*a, **k): raise OSError('no')\nbuiltins.open = opened\nio.open = opened\nx = [1]",
        "x.append(2)",
        "print(x)\ntry: open('f.txt')\nexcept OSError as problem: print(problem)",
    ),
    "__import__ is replaced": (
        (
            "import builtins\nreal = builtins.__import__\ndef importing(name, *a, **k):\n    if name == 'colorsys': print('importing', name)\n"
            "    return real(name, *a, **k)\nbuiltins.__import__ = importing\nx = [1]"
        ),
        "import colorsys\nx.append(2)",
        "import colorsys\nprint(x)",
    ),
    "__import__ raises": (
        (
            "import builtins\nreal = builtins.__import__\ndef importing(name, *a, **k):\n    if name == 'forbidden': raise ImportError('never')\n"
            "    return real(name, *a, **k)\nbuiltins.__import__ = importing\nx = [1]"
        ),
        "x.append(2)",
        "print(x)\ntry: import forbidden\nexcept ImportError as problem: print(problem)",
    ),
    "builtins that values need are replaced": (
        (
            "import builtins\nkept = builtins.id, builtins.type, builtins.len\nbuiltins.sorted = lambda *a, **k: ['sorted']\n"
            "builtins.repr = lambda x: 'repr'\nx = [1]"
        ),
        "x.append(2)",
        "print(x, sorted([3]), repr(4))",
    ),
    "__main__ is replaced": (
        "import sys, types\nkept = sys.modules['__main__']\nsys.modules['__main__'] = types.ModuleType('__main__')\nx = [1]",
        "x.append(2)\ndef f(): return x",
        "print(x, f(), sys.modules['__main__'] is kept)",
    ),
    "__main__ is gone": (
        "import sys\ndel sys.modules['__main__']\nx = [1]",
        "x.append(2)",
        "print(x, '__main__' in sys.modules)",
    ),
    "recursion limit is small": (
        "import sys\nsys.setrecursionlimit(130)\nx = [[[[1]]]]",
        "x.append(2)",
        "print(x, sys.getrecursionlimit())",
    ),
    "recursion limit is large": (
        "import sys\nsys.setrecursionlimit(10**6)\nx = []\nfor _ in range(3000): x = [x]",
        "x.append(2)",
        "print(len(x), sys.getrecursionlimit())",
    ),
    "garbage collection is off": ("import gc\ngc.disable()\nx = [1]", "x.append(2)", "print(x, gc.isenabled())"),
    "garbage collection tells": (
        "import gc\ndef told(phase, info):\n    if phase == 'start' and info['generation'] == 2: n[0] += 1\nn = [0]\ngc.callbacks.append(told)",
        "x = [[i] for i in range(1000)]",
        "gc.callbacks.remove(told)\nprint(len(x))",
    ),
    "an alarm of its own": (
        "import signal, time\nrung = []\nsignal.signal(signal.SIGALRM, lambda *a: rung.append(1))\nx = [1]",
        "signal.setitimer(signal.ITIMER_REAL, 0.3)\nx.append(2)",
        "import time\nend = time.time() + 20\nwhile not rung and time.time() < end: time.sleep(0.05)\nprint(x, rung)",
    ),
    "an alarm every moment": (
        "import signal\nrung = []\nsignal.signal(signal.SIGALRM, lambda *a: rung.append(1))\nsignal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\nx = [1]",
        "x.append(2)",
        "signal.setitimer(signal.ITIMER_REAL, 0)\nprint(x, len(rung) >= 0)",
    ),
    "a handler of interrupts": (
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *a: print('told'))\nx = [1]",
        "x.append(2)",
        "import os\nos.kill(os.getpid(), signal.SIGUSR1)\nprint(x)",
    ),
    "warnings are errors": (
        "import warnings\nwarnings.simplefilter('error')\nx = [1]",
        "x.append(2)\nimport numpy, pandas\nframe = pandas.DataFrame({'a': [1, 2]})",
        "try: warnings.warn('w')\nexcept UserWarning as problem: print(x, problem, frame.a.sum())",
    ),
    "stdout is replaced": (
        "import sys, io\nkept = sys.stdout\nsys.stdout = io.StringIO()\nx = [1]",
        "x.append(2)\nprint('hidden')",
        "text = sys.stdout.getvalue()\nsys.stdout = kept\nprint(x, repr(text))",
    ),
    "stdout is gone": (
        "import sys\nkept = sys.stdout\nsys.stdout = None\nx = [1]",
        "x.append(2)",
        "sys.stdout = kept\nprint(x)",
    ),
    "a child goes on": (
        "import os, time\nx = [1]\nchild = os.fork()\nif child == 0:\n    time.sleep(0.5)\n    os._exit(0)",
        "x.append(2)",
        "print(x, os.waitpid(child, 0)[1])",
    ),
    "a thread writes names after its cell": (
        "import threading, time\ndef work():\n    global last\n    time.sleep(1)\n    last = 19\n(thread := threading.Thread(target=work)).start()",
        "ready = 1",
        "thread.join()\nprint(last)",
    ),
    "a thread fills a list of an earlier cell": (
        "import threading, time\nd = {'rows': [], 'n': 0}",
        (
            "def work(rows):\n    for i in range(20):\n        rows.append(i)\n        d['n'] += 1\n        time.sleep(0.02)\n"
            "thread = threading.Thread(target=work, args=(d['rows'],))\nthread.start()"
        ),
        "thread.join()\nprint(d)",
    ),
    "a thread counts": (
        "import threading, time\ncount = 0",
        (
            "def work():\n    global count\n    for _ in range(20):\n        count += 1\n        time.sleep(0.02)\n"
            "thread = threading.Thread(target=work)\nthread.start()"
        ),
        "ready = count >= 0",
        "thread.join()\nprint(count)",
    ),
    "a thread ends while others run": (
        "import threading, time\nrows = []\nclass Kept:\n    rows = []",
        (
            "def work():\n    for i in range(20):\n        rows.append(i)\n        Kept.rows.append(i)\n        time.sleep(0.02)\n"
            "threading.Thread(target=work).start()"
        ),
        "time.sleep(1.5)",
        "print(rows, Kept.rows)",
    ),
    "a task goes on": (
        "import asyncio\nrows = []",
        (
            "async def work():\n    for i in range(20):\n        rows.append(i)\n        await asyncio.sleep(0.02)\n"
            "task = asyncio.get_event_loop().create_task(work())"
        ),
        "await asyncio.sleep(1.5)",
        "print(rows)",
    ),
    "a descriptor that is a number": (
        "import os\nnumber = os.open('f.txt', os.O_RDWR | os.O_CREAT)",
        "os.write(number, b'one')",
        "os.write(number, b'two')\nprint(open('f.txt').read())",
    ),
    "a pipe": (
        "import os\nends = os.pipe()",
        "os.write(ends[1], b'one')",
        "print(os.read(ends[0], 10))",
    ),
    "a descriptor that was closed": (
        "import os\nnumber = os.open('f.txt', os.O_RDWR | os.O_CREAT)\nos.write(number, b'one')\nos.close(number)",
        "x = [1]",
        "print(x, open('f.txt').read())",
    ),
    "a thread makes and deletes names": (
        (
            "import threading\nstop = threading.Event()\ndef work():\n    n = 0\n    while not stop.wait(0.0005):\n        n += 1\n"
            "        globals()['t%d' % n] = [n]\n        globals().pop('t%d' % (n - 5), None)\nthread = threading.Thread(target=work)\nthread.start()"
        ),
        "x = [1]",
        "stop.set()\nthread.join()\nprint(x)",
    ),
    "a thread prints between cells": (
        (
            "import threading, time\ndef work():\n    for n in range(30):\n        print('line', n)\n        time.sleep(0.02)\n"
            "thread = threading.Thread(target=work)\nthread.start()\nthread.join()"
        ),
        "x = list(range(100_000))",
        "print(len(x))",
    ),
    "a clock that goes back": (
        "import time\nreal = time.time\ntime.time = lambda: real() - 10**8\ntime.monotonic = lambda: 0.0\ntime.process_time = lambda: 0.0\nx = [1]",
        "x.append(2)",
        "print(x, time.monotonic())",
    ),
    "files cannot be looked at": (
        "import os\ndef told(*a, **k): raise PermissionError('no')\nos.stat = told\nos.path.exists = lambda p: False\nx = [1]",
        "x.append(2)",
        "print(x, os.path.exists('/'))",
    ),
    "os.write and os.rename raise": (
        "import os\ndef no(*a, **k): raise OSError(28, 'No space left on device')\nos.rename = no\nx = [1]",
        "x.append(2)",
        "print(x, os.rename is no)",
    ),
    "hash functions and json are replaced": (
        (
            "import hashlib, json, marshal, pickle\ndef no(*a, **k): raise RuntimeError('no')\nhashlib.sha256 = no\njson.dumps = json.dumps\n"
            "pickle.dumps = no\nmarshal.dumps = no\nx = [1]"
        ),
        "x.append(2)",
        "print(x, marshal.dumps is no)",
    ),
    "a trace function": (
        "import sys\nseen = set()\ndef trace(frame, event, arg):\n    seen.add(frame.f_code.co_name)\nsys.setprofile(trace)\nx = [1]",
        "x.append(2)",
        "sys.setprofile(None)\nprint(x)",
    ),
    "an audit hook that refuses": (
        (
            "import sys\nx = [1]\nif hasattr(sys, 'addaudithook'):\n    def hook(event, args):\n        if event == 'open' and 'secret' in str(args[0]): raise RuntimeError\n"
            "    sys.addaudithook(hook)"
        ),
        "x.append(2)",
        "print(x)",
    ),
    "the folder is gone": (
        "import os, tempfile\nfolder = os.path.abspath('gone')\nos.mkdir(folder)\nos.chdir(folder)\nos.rmdir(folder)\nx = [1]",
        "x.append(2)",
        "os.chdir('..')\nprint(x)",
    ),
    "little address space": (
        "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\nresource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))\nx = [1]",
        "x.append(2)",
        "print(x)",
    ),
    "the shell's own parts are replaced": (
        "ip = get_ipython()\nip.user_ns['In'] = 'mine'\n_oh = None\nOut = 5\nx = [1]",
        "x.append(2)",
        "print(x, Out)",
    ),
    "a cell that exits": ("x = [1]\nexit()", "x.append(2)", "print(x)"),
    "a cell that raises SystemExit": ("import sys\nx = [1]\nsys.exit(3)", "x.append(2)", "print(x)"),
    "a cell that ends the process": ("x = [1]", "import os\nprint('last words', flush=True)\nos._exit(7)", "print(x)"),
    "a cell that kills the process": (
        "x = [1]",
        "import os, signal, time\ntime.sleep(0.5)\nos.kill(os.getpid(), signal.SIGKILL)",
        "print(x)",
    ),
    "a process that ends while values are looked at": (
        "import threading, os\nx = [[str(n)] for n in range(300_000)]",
        "class Trap(dict):\n    pass\nthreading.Timer(0.2, lambda: os._exit(3)).start()",
        "import time\ntime.sleep(5)\nprint(len(x))",
    ),
    "a thread that nobody waits for": (
        (
            "import threading, time\nlast = 0\ndef work():\n    global last\n    time.sleep(0.2)\n    last = 1\n    time.sleep(60)\n"
            "threading.Thread(target=work, daemon=True).start()"
        ),
        "ready = 1",
        "time.sleep(2)\nprint(last)",
    ),
}


def cells(sources: tuple[str, ...], last: str = "") -> list[PairCell]:
    """The notebook, its last cell with a remark."""
    return [
        PairCell("", source + (last if n == len(sources) - 1 else ""), id=f"c{n}") for n, source in enumerate(sources)
    ]


@pytest.mark.parametrize("name", CASES)
def test_what_a_cell_does_to_the_world_leaves_the_answer_right(name: str, world: World) -> None:
    path = world.write("nb", cells(CASES[name]))
    assert not list(differences(world.run(path), world.plain(path)))
    path = world.write("nb", cells(CASES[name], "  # again"))
    assert not list(differences(world.run(path), world.plain(path)))


_CELLS = {
    "a": "x = [1]",
    "b": "y = x + [2]",
    "c": "x.append(3)",
    "d": "print(x, y)",
    "e": "z = len(x)",
    "f": "print(z)",
}


@pytest.mark.parametrize(
    "order",
    ["bacdef", "acbdef", "abcdeff", "abccdef", "abbbdef", "abdef", "aabcdef", "abcdfe", "cdef", "fedcba", "a", ""],
)
def test_cells_in_another_order_twice_or_gone(order: str, world: World) -> None:
    def notebook(letters: str) -> list[PairCell]:
        return [PairCell("", _CELLS[letter], id=f"{letter}{n}") for n, letter in enumerate(letters)]

    world.run(world.write("nb", notebook("abcdef")))
    path = world.write("nb", notebook(order))
    assert not list(differences(world.run(path), world.plain(path)))
    path = world.write("nb", notebook("abcdef"))
    answer = world.run(path)
    assert answer.ran == frozenset()
    assert not list(differences(answer, world.plain(path)))


def test_cells_whose_ids_are_all_one_or_moved(world: World) -> None:
    world.run(world.write("nb", [PairCell("", source, id=letter) for letter, source in _CELLS.items()]))
    for ids in ("fedcba", "aaaaaa", "bcdefa"):
        path = world.write(
            "nb", [PairCell("", source, id=one) for one, source in zip(ids, _CELLS.values(), strict=True)]
        )
        answer = world.run(path)
        assert answer.ran == frozenset()
        assert not list(differences(answer, world.plain(path)))


@pytest.mark.parametrize("tag", ["skip", "cache:disabled", "raises-exception", "parameters", "unknown"])
def test_a_cell_with_another_tag(tag: str, world: World) -> None:
    world.run(world.write("nb", [PairCell("", source, id=letter) for letter, source in _CELLS.items()]))
    tags = {"c": (tag,)}
    path = world.write("nb", [PairCell("", source, id=one, tags=tags.get(one, ())) for one, source in _CELLS.items()])
    assert not list(differences(world.run(path), world.plain(path)))


def test_two_runs_of_one_notebook_at_once(world: World) -> None:
    sources = (
        "import time\nx = [1]\ntime.sleep(1)",
        "open('f.txt', 'w').write('x')\nx.append(2)",
        "print(x, open('f.txt').read())",
    )
    path = world.write("nb", cells(sources))
    right = world.plain(path)
    found: dict[int, object] = {}

    def one(number: int) -> None:
        found[number] = world.run(path, output=world.folder / f"out{number}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for answer in found.values():
        assert not list(differences(answer, right))
    assert world.run(path).ran == frozenset()
