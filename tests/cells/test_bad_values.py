"""Values that break who looks at them, prints or never ends: the notebook is none the wiser, and an edit comes to the right answer."""

from __future__ import annotations

import pytest
from trial import World, differences

from pairs import PairCell

_CLASS = "class Thing:\n    def __init__(self): self.rows = [1, 2]\n"


_METHODS = (
    "__reduce__(self)",
    "__reduce_ex__(self, protocol)",
    "__getstate__(self)",
    "__eq__(self, other)",
    "__hash__(self)",
    "__repr__(self)",
    "__len__(self)",
    "__bool__(self)",
    "__iter__(self)",
    "__sizeof__(self)",
    "__dir__(self)",
    "__array__(self, *a, **k)",
)


def _all_methods(body: str) -> str:
    """A class all of whose methods that anybody may call unasked do the same."""
    methods = "".join(f"    def {method}: {body}\n" for method in _METHODS)
    return f"{_CLASS}{methods}thing = Thing()\ncount = 1"


_USE = "thing.rows.append(3)\ncount += 1\nprint(count)"
_LAST = "print(count, thing.rows)"
_RAISES, _PRINTS, _ENDLESS = "raise ValueError('do not look')", "print('looked')", "exec('while True: pass')"
_MODULE = "import pathlib\npathlib.Path('helper.py').write_text('''\n{}''')\nimport sys\nsys.path.insert(0, '.')\nimport helper\n"

# Each: cells; the last is edited afterwards.
CASES: dict[str, tuple[str, ...]] = {
    "every method raises": (_all_methods(_RAISES), _USE, _LAST),
    "every method prints": (_all_methods(_PRINTS), _USE, _LAST),
    "every method never ends": (_all_methods(_ENDLESS), _USE, _LAST),
    "__del__ raises": (_CLASS + f"    def __del__(self): {_RAISES}\nthing = Thing()\ncount = 1", _USE, _LAST),
    "__getattr__ raises": (
        _CLASS + "    def __getattr__(self, name): raise ValueError(name)\nthing = Thing()\ncount = 1",
        _USE,
        _LAST,
    ),
    "__getattr__ prints": (
        _CLASS + "    def __getattr__(self, name): print('asked', name)\nthing = Thing()\ncount = 1",
        _USE,
        _LAST,
    ),
    "__getattribute__ never ends": (
        "class Thing:\n    def __getattribute__(self, name):\n        while True: pass\nthing = Thing()\ncount = 1",
        "count += 1\nheld = [thing]",
        "print(count, len(held))",
    ),
    "__class__ lies": (
        "class Thing:\n    @property\n    def __class__(self): raise KeyError('class')\nthing = Thing()\ncount = 1",
        "thing.x = 1\ncount += 1",
        "print(count, thing.x)",
    ),
    "__setstate__ prints and raises": (
        _CLASS + "    def __setstate__(self, state):\n        print('set'); raise OSError\nthing = Thing()\ncount = 1",
        _USE,
        _LAST,
    ),
    "__new__ prints and raises": (
        (
            "class Thing:\n    ready = False\n    def __new__(cls):\n        print('new')\n        if cls.ready: raise OSError\n"
            "        return object.__new__(cls)\nthing = Thing()\nThing.ready = True\nthing.rows = [1]\ncount = 1"
        ),
        _USE,
        _LAST,
    ),
    "__del__ prints": (
        "class Thing:\n    def __del__(self): print('gone')\nthing = Thing()",
        "thing.x = 1",
        "del thing\nprint('after')",
    ),
    "keys that compare badly": (
        (
            "class Key:\n    def __init__(self, n): self.n = n\n    def __hash__(self): return 1\n"
            "    def __eq__(self, other):\n        if getattr(self, 'n', None) is None: raise ValueError\n        return self.n == other.n\n"
            "table = {Key(1): 'a', Key(2): 'b'}\nkeys = set(table)"
        ),
        "table[Key(3)] = 'c'",
        "print([table[Key(n)] for n in (1, 2, 3)], len(keys))",
    ),
    "a metaclass that raises": (
        (
            "class Meta(type):\n    def __getattribute__(cls, name): raise ValueError(name)\n    def __eq__(cls, other): raise ValueError\n"
            "    def __hash__(cls): raise ValueError\n    def __instancecheck__(cls, thing): raise ValueError\n"
            "class Thing(metaclass=Meta): pass\nthing = object.__new__(Thing)"
        ),
        "n = 1",
        "print(n, type(thing) is Thing)",
    ),
    "a library's class whose __reduce__ raises": (
        _MODULE.format("class Thing:\n    rows = None\n    def __reduce__(self): raise ValueError('no')\n")
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose __reduce__ prints": (
        _MODULE.format(
            "import os, sys, warnings, logging\nclass Thing:\n    def __reduce__(self):\n        print('reduced')\n"
            "        sys.stderr.write('err'); os.write(1, b'descriptor'); warnings.warn('reduced')\n        os.system('echo child')\n"
            "        logging.getLogger().error('logged')\n        return Thing, (), self.__dict__\n"
        )
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose restore prints": (
        _MODULE.format(
            "import os, warnings\ndef make():\n    print('made'); os.write(1, b'descriptor'); warnings.warn('made')\n"
            "    return Thing()\nclass Thing:\n    def __reduce__(self): return make, (), self.__dict__\n"
        )
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose restore raises": (
        _MODULE.format(
            "import os\ndef make():\n    raise OSError('not here')\n"
            "class Thing:\n    def __reduce__(self): return make, (), self.__dict__\n"
        )
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose restore raises in another process": (
        _MODULE.format(
            "import os\nhome = os.getpid()\ndef make(pid):\n    if pid != os.getpid(): raise OSError('not here')\n    return Thing()\n"
            "class Thing:\n    def __reduce__(self): return make, (os.getpid(),), self.__dict__\n"
        )
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose __reduce__ exits": (
        _MODULE.format("import sys\nclass Thing:\n    def __reduce__(self): sys.exit(3)\n")
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose __reduce__ never ends": (
        _MODULE.format("class Thing:\n    def __reduce__(self):\n        while True: pass\n")
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose __reduce__ ends the process": (
        _MODULE.format("import os\nclass Thing:\n    def __reduce__(self): os._exit(5)\n")
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        _USE,
        _LAST,
    ),
    "a library's class whose __reduce__ changes the value": (
        _MODULE.format(
            "class Thing:\n    def __reduce__(self):\n        self.rows = self.rows + [0]\n        return Thing, (), self.__dict__\n"
        )
        + "thing = helper.Thing()\nthing.rows = [1]\ncount = 1",
        "count += 1",
        "print(count)",
    ),
    "a graph a million deep": (
        (
            "deep = []\nfor _ in range(1_000_000):\n    deep = [deep]\nnested = ()\nfor _ in range(100_000):\n    nested = (nested,)\n"
            "table = {}\nfor _ in range(100_000):\n    table = {'next': table}"
        ),
        "deep.append(1)\ntable['more'] = 2",
        "print(len(deep), len(nested), sorted(table))",
    ),
    "a linked list of instances, long": (
        "class Node:\n    def __init__(self, next): self.next = next\nhead = None\nfor _ in range(200_000):\n    head = Node(head)",
        "head = Node(head)",
        "n = 0\none = head\nwhile one is not None:\n    n, one = n + 1, one.next\nprint(n)",
    ),
    "a deep chain of closures and exceptions": (
        (
            "def wrap(f):\n    def inner(): return f\n    return inner\nf = None\nfor _ in range(500):\n    f = wrap(f)\n"
            "problem = None\nfor _ in range(5000):\n    new = ValueError('x')\n    new.__cause__ = problem\n    problem = new"
        ),
        "n = 1",
        "print(n, callable(f), type(problem))",
    ),
    "100,000 names": (
        "for n in range(100_000):\n    globals()['name_%d' % n] = n",
        "name_5 = 'five'",
        "print(name_5, name_99999)",
    ),
    "unpicklable things": (
        (
            "import threading, socket, sys\nlock = threading.Lock()\nlines = (n for n in range(5))\nfile = open('kept.txt', 'w')\n"
            "class Local(threading.local): pass\nlocal = Local()\nlocal.n = 1\nframe = sys._getframe()\nview = memoryview(b'abc')\n"
            "thing = {'lock': lock, 'lines': lines, 'ends': socket.socketpair()}\ncount = 1"
        ),
        "next(lines)\ncount += 1",
        "print(next(thing['lines']), lock.locked(), local.n, bytes(view), count)",
    ),
    "classes of one name": (
        "def make(n):\n    class Thing:\n        number = n\n    return Thing\none, two = make(1), make(2)\nthings = [one(), two()]",
        "things.reverse()",
        "print([thing.number for thing in things], [type(thing) is one for thing in things])",
    ),
    "a class that is gone": (
        "class Thing:\n    number = 1\nthing = Thing()\ndel Thing",
        "thing.more = 2",
        "print(thing.number, thing.more, type(thing).__name__)",
    ),
    "a name that is no string": (
        "globals()[5] = 'five'\nglobals()[(1, 2)] = []\nx = 1",
        "globals()[(1, 2)].append(x)",
        "print(globals()[5], globals()[(1, 2)])",
    ),
    "an exact string of another kind": (
        (
            "class Text(str):\n    def __eq__(self, other): raise ValueError\n    def __hash__(self): return hash(str(self) + '')\n"
            "    def __str__(self): return 'text'\n"
            "word = Text('word')\nglobals()[str.__new__(str, 'plain')] = 1"
        ),
        "words = [word]",
        "print(len(words), plain)",
    ),
    "surrogates and long names": (
        "globals()['\\ud800'] = 1\nglobals()['x' * 100_000] = 2\nbad = '\\udfff' * 3\ntable = {bad: bad}",
        "globals()['\\ud800'] += 1",
        "print(globals()['\\ud800'], ascii(table), globals()['x' * 100_000])",
    ),
}


def cells(sources: tuple[str, ...], last: str = "") -> list[PairCell]:
    """The notebook, its last cell with a remark."""
    return [
        PairCell("", source + (last if n == len(sources) - 1 else ""), id=f"c{n}") for n, source in enumerate(sources)
    ]


@pytest.mark.parametrize("name", CASES)
def test_what_a_value_does_to_who_looks_at_it_is_not_seen(name: str, world: World) -> None:
    path = world.write("nb", cells(CASES[name]))
    assert not list(differences(world.run(path), world.plain(path)))
    path = world.write("nb", cells(CASES[name], "  # again"))
    assert not list(differences(world.run(path), world.plain(path)))
