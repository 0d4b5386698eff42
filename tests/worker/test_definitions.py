"""Functions and classes of a notebook: recognised, named, kept, made again; on every interpreter there is."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import json
import linecache
import marshal
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from kanoe_worker.track import codes, shells
from kanoe_worker.track.definitions import Definitions

ROUND = Path(__file__).with_name("definition_round.py")
PACKAGE = Path(__file__).parents[2] / "src" / "kanoe"
PYTHONS = {Path(sys.executable)} | {
    path / "bin" / "python"
    for path in Path("~/.pyenv/versions").expanduser().glob("3.*")
    if (path / "bin" / "python").exists()
}

# name: cells, check, oldest Python
CASES: dict[str, tuple[list[str], str] | tuple[list[str], str, tuple[int, int]]] = {
    "function": (["k = 3\ndef f(a, b=2, *c, d=4, **e):\n    'text'\n    return a + b + d + k\nf.tag = [1]"], "print(f(1), f.__doc__, f.tag, f.__defaults__, f.__kwdefaults__, f.__module__, f.__globals__ is globals())"),
    "annotated": (["def f(a: int, b: 'str' = 'x') -> float: return a"], "print(f.__annotations__)"),
    "lambda": (["fs = [lambda x, i=i: x + i for i in range(3)]"], "print([f(1) for f in fs], fs[0] is fs[1])"),
    "recursion": (["def outer():\n    def inner(n): return 1 if n < 2 else n * inner(n - 1)\n    return inner\nf = outer()"], "print(f(5), f.__closure__[0].cell_contents is f)"),
    "mutual": (["def make():\n    def even(n): return n == 0 or odd(n - 1)\n    def odd(n): return n != 0 and even(n - 1)\n    return even, odd\neven, odd = make()"], "print(even(10), odd(7), odd(8))"),
    "shared_cell": (["def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    def get(): return n\n    return up, get\nup, get = make()\nup()"], "up(); print(get())"),
    "empty_cell": (["def make():\n    def f(): return later\n    if False: later = 1\n    return f\nf = make()"], "try:\n    f()\nexcept NameError as error:\n    print('empty')"),
    "aliases": (["def f(): return 1\ng = f\nh = [f, f]"], "print(f is g, h[0] is f)"),
    "decorated": (["import functools\ndef deco(f):\n    calls = []\n    @functools.wraps(f)\n    def inner(*a):\n        calls.append(a)\n        return f(*a), len(calls)\n    return inner\n@deco\ndef f(x): return x\nf(1)"], "print(f(2), f.__name__, f.__wrapped__(3))"),
    "contextmanager": (["import contextlib\n@contextlib.contextmanager\ndef c():\n    print('in')\n    yield 5\n    print('out')"], "with c() as v: print(v)"),
    "partial": (["import functools\ndef f(a, b): return a - b\np = functools.partial(f, 10)"], "print(p(3), p.func is f)"),
    "cache": (["import functools\n@functools.lru_cache(maxsize=7)\ndef f(n): return n * 2"], "print(f(2), f.cache_info(), f.__wrapped__(2))", (3, 9)),
    "dispatch": (["import functools\n@functools.singledispatch\ndef f(x): return 'any'\n@f.register(int)\ndef _(x): return 'int'"], "print(f(1), f('a'), f(True))\n@f.register(str)\ndef _(x): return 'str'\nprint(f('a'))"),
    "generator_function": (["def g(n):\n    for i in range(n): yield i\nasync def a(): return 3"], "import asyncio\nprint(list(g(3)))\nloop = asyncio.new_event_loop()\nprint(loop.run_until_complete(a()))\nloop.close()"),
    "exec": (["space = {}\nexec('def f(): return g() + k\\ndef g(): return 1\\nk = 2', space)\nf = space['f']"], "print(f(), f.__globals__ is space, space['g'] is f.__globals__['g'])\nspace['k'] = 10\nprint(f())"),
    "eval": (["f = eval('lambda x: x + one', {'one': 1})"], "print(f(2))"),
    "class": (["class C:\n    'text'\n    kind = []\n    def __init__(self, a): self.a = a\n    def m(self): return self.a, self.kind\nc = C(3)\nC.lr = 5\nC.later = lambda self: self.a + self.lr"], "c.kind.append(1); print(c.m(), C.kind, C.__doc__, c.lr, c.later(), type(c) is C, C.__module__, [n for n in vars(C) if n[0] != '_'])"),
    "super": (["class A:\n    def m(self): return ['A']\nclass B(A):\n    def m(self): return super().m() + ['B', __class__.__name__]\nclass D(B):\n    def m(self): return super().m() + ['D']\nd = D()"], "print(d.m(), B().m(), D.__mro__[1] is B)"),
    "self_reference": (["class Node:\n    root = None\n    def child(self): return Node()\nNode.root = Node()\nNode.table = {'self': Node}"], "print(type(Node.root) is Node, Node.table['self'] is Node, type(Node().child()) is Node)"),
    "init_subclass": (["class Base:\n    made = []\n    def __init_subclass__(cls, tag, **k):\n        super().__init_subclass__(**k)\n        Base.made.append((tag, cls.__name__))\nclass One(Base, tag=1): pass\nclass Two(Base, tag=2): pass"], "print(Base.made)\nclass Three(One, tag=3): pass\nprint(Base.made)"),
    "set_name": (["class D:\n    told = []\n    def __set_name__(self, owner, name): D.told.append(name)\n    def __get__(self, one, kind): return len(D.told)\nclass C:\n    x = D()\n    y = D()"], "print(C.x, D.told)"),
    "slots": (["class P:\n    __slots__ = ['x', '__y']\n    def __init__(self): self.x, self.__y = 1, 2\n    def y(self): return self.__y\np = P()\nclass Q(P):\n    __slots__ = ('z', '__dict__')\nq = Q()\nq.z = 5\nq.free = 6"], "print(p.x, p.y(), q.z, q.free, q.y(), P.__slots__, Q.__slots__)\ntry:\n    p.other = 1\nexcept AttributeError:\n    print('no')"),
    "properties": (["class C:\n    def __init__(self): self._v = 1\n    @property\n    def v(self):\n        'doc'\n        return self._v\n    @v.setter\n    def v(self, value): self._v = value\n    @classmethod\n    def make(cls): return cls()\n    @staticmethod\n    def plus(a): return a + 1\nc = C.make()\nmake = C.make\nm = c.__init__"], "c.v = 4; print(c.v, C.v.__doc__, C.plus(2), type(C.make()) is C, make.__self__ is C, m.__self__ is c, type(make()) is C)"),
    "property_subclass": (["class lazy(property):\n    def __init__(self, f):\n        super().__init__(f)\n        self.extra = 'e'\nclass C:\n    @lazy\n    def v(self): return 7"], "print(C().v, C.__dict__['v'].extra)"),
    "cached_property": (["import functools\nclass C:\n    @functools.cached_property\n    def v(self): return [1]\nc = C()\nc.v.append(2)"], "print(c.v, C().v)", (3, 8)),
    "dataclass": (["from dataclasses import dataclass, field, fields, asdict\n@dataclass(order=True)\nclass P:\n    a: int\n    b: list = field(default_factory=list)\n    c: float = 2.5\np = P(1)\np.b.append(3)\n@dataclass(frozen=True)\nclass F(P):\n    pass\n" if False else "from dataclasses import dataclass, field, fields, asdict\n@dataclass(order=True)\nclass P:\n    a: int\n    b: list = field(default_factory=list)\n    c: float = 2.5\np = P(1)\np.b.append(3)\n@dataclass(frozen=True)\nclass F:\n    x: 'int' = 1"], "print(p, P(2) > p, [f.name for f in fields(P)], asdict(p), P(1).b, hash(F()) == hash(F()), P(5, c=1))\n@dataclass\nclass G(P):\n    d: int = 9\nprint(G(1))", (3, 7)),
    "enum": (["import enum\nclass Color(enum.Enum):\n    RED = 1\n    GREEN = [2]\n    ALIAS = 1\n    def shout(self): return self.name + '!'\ndef f(c=Color.RED): return c\nheld = {Color.RED: Color.GREEN}"], "print(Color.RED, Color(1) is Color.RED, Color.ALIAS is Color.RED, list(Color), f() is Color.RED, held[Color.RED] is Color.GREEN, Color.GREEN.shout(), Color['RED'], Color([2]), Color.RED.value)"),
    "int_enum": (["import enum\nclass N(enum.IntEnum):\n    A = 1\n    B = 2\nclass S(str, enum.Enum):\n    X = 'x'\nn = N.B\nclass A(enum.Enum):\n    one = enum.auto()\n    two = enum.auto()\n    def _missing_(value): return None"], "print(n + 1, n is N.B, sorted(N), S.X == 'x', S('x') is S.X, A.two.value, S.X.upper())"),
    "flag": (["import enum\nclass P(enum.Flag):\n    R = 1\n    W = 2\n    X = 4\nboth = P.R | P.W\nclass I(enum.IntFlag):\n    A = 1\n    B = 2\ni = I.A | I.B"], "print(both is (P.R | P.W), P.R in both, P.X in both, (both | P.X) is (P.X | both), i == 3, i is (I.A | I.B), ~P.R is (P.W | P.X), both & P.R is P.R)"),
    "namedtuple": (["from collections import namedtuple\nimport typing\nP = namedtuple('P', 'x y', defaults=[9]) if hasattr(namedtuple('Z', 'a'), '_field_defaults') else namedtuple('P', 'x y')\np = P(1, 2)\nclass Q(typing.NamedTuple):\n    a: int\n    b: str = 'z'\n    def both(self): return self.a, self.b\nq = Q(4)"], "print(p, p.x, p._replace(x=5), q, q.both(), P._fields, P._make([3, 4]), type(p) is P, q._asdict()['b'])"),
    "abc": (["import abc\nclass A(abc.ABC):\n    @abc.abstractmethod\n    def m(self): pass\nclass B(A):\n    def m(self): return 1\nclass Other: pass\nA.register(Other)\nb = B()"], "print(isinstance(b, A), issubclass(Other, A), isinstance(Other(), A), isinstance(3, A), A.__abstractmethods__)\ntry:\n    A()\nexcept TypeError:\n    print('abstract')"),
    "generic": (["from typing import Generic, TypeVar, List, Dict, Optional, Callable\nT = TypeVar('T')\nclass Box(Generic[T]):\n    def __init__(self, v: T): self.v = v\n    def many(self) -> 'List[Box[T]]': return [self]\nIntBox = Box[int]\nclass Sub(Box[str]): pass\nb = IntBox(3)\ndef f(x: List[int], y: Dict[str, Optional[Box]] = None) -> Callable[[int], str]: pass"], "print(b.v, Box[int] == IntBox, Sub('x').v, f.__annotations__['x'] == List[int], Box.__parameters__ == (T,), Sub.__orig_bases__[0] == Box[str], f.__annotations__['y'] == Dict[str, Optional[Box]])\nclass More(Box[T]): pass\nprint(More[int](2).v)", (3, 7)),
    "typing": (["from typing import List, Dict, Optional, Callable, Tuple, Any\ndef f(x: List[int], y: Dict[str, Optional[int]] = None, z: Tuple[int, ...] = ()) -> Callable[[int], Any]: pass"], "print(f.__annotations__)\nassert f.__annotations__['x'] == List[int] and f.__annotations__['y'] == Dict[str, Optional[int]]"),
    "builtin_generic": (["L = list[int]\ndef f(x: dict[str, int] | None = None) -> list['int']: pass" if sys.version_info >= (3, 10) else "L = 1\ndef f(): pass"], "print(L, f.__annotations__)", (3, 10)),
    "protocol": (["from typing import Protocol, TypedDict, runtime_checkable\n@runtime_checkable\nclass Has(Protocol):\n    def go(self) -> int: ...\nclass Yes:\n    def go(self): return 1\nclass T(TypedDict, total=False):\n    a: int\nt: T = {'a': 1}"], "print(isinstance(Yes(), Has), isinstance(3, Has), T(a=2), T.__annotations__, T.__total__)\nclass U(T):\n    b: str\nprint(U(a=1, b='x'))", (3, 8)),
    "metaclass": (["class Meta(type):\n    registry = {}\n    count = 0\n    def __new__(mcs, name, bases, ns, **k):\n        cls = super().__new__(mcs, name, bases, ns)\n        mcs.registry[name] = cls\n        Meta.count += 1\n        return cls\n    def __init__(cls, name, bases, ns, **k): super().__init__(name, bases, ns)\n    def __call__(cls, *a):\n        one = super().__call__(*a)\n        one.stamped = True\n        return one\n    @property\n    def size(cls): return len(cls.registry)\nclass A(metaclass=Meta): pass\nclass B(A, tag=1): pass\na = A()"], "print(Meta.count, sorted(Meta.registry), Meta.registry['A'] is A, B.size, B().stamped, type(B) is Meta, a.stamped)\nclass C(B): pass\nprint(Meta.count)"),
    "metaclass_refuses": (["class Meta(type):\n    def __setattr__(cls, name, value): raise AttributeError('no')\n    def __getattribute__(cls, name):\n        if name.startswith('secret'): raise RuntimeError\n        return super().__getattribute__(name)\n    def __instancecheck__(cls, other): raise RuntimeError\nclass A(metaclass=Meta):\n    x = 1\na = A()"], "print(a.x, A.x)\ntry:\n    A.y = 1\nexcept AttributeError:\n    print('refused')"),
    "exception": (["class Bad(ValueError):\n    def __init__(self, code, text):\n        super().__init__('%s: %s' % (code, text))\n        self.code = code\nb = Bad(3, 'x')\nclass Plain(Exception): pass"], "print(b, b.code, b.args, type(b) is Bad, repr(Plain('y')))\ntry:\n    raise b\nexcept ValueError as e:\n    print(e is b)"),
    "nested": (["class Outer:\n    class Inner:\n        v = 2\n        class Deep: pass\n    def make(self): return Outer.Inner()\nd = Outer.Inner.Deep()\ndef local():\n    class L:\n        def m(self): return L\n    return L()\nl = local()"], "print(Outer().make().v, type(d) is Outer.Inner.Deep, type(l).__qualname__, l.m() is type(l), Outer.Inner.__qualname__)"),
    "inherited_builtins": (["class D(dict):\n    def __missing__(self, key): return key * 2\nclass L(list): pass\nclass I(int):\n    def __add__(self, other): return I(int(self) + other + 1)\nd, l, i = D(a=1), L([1]), I(4)\nl.extra = d"], "print(d['a'], d['b'], l, l.extra is d, i + 1, type(i + 1) is I)"),
    "made_by_type": (["C = type('C', (), {'x': 1, 'm': lambda self: self.x})\nD = type('D', (C,), {})\nc = D()"], "print(c.m(), D.__mro__)"),
    "descriptors": (["f = str.join\ng = dict.fromkeys\nh = int.__add__\nu = {'a': 1}.keys()\nclass S:\n    __slots__ = 'q'\nd = S.q\ns = S()\ns.q = 3"], "print(f(',', 'ab'), g('a'), h(1, 2), list(u), d.__get__(s))"),
    "weak": (["import weakref\nclass C: pass\nc = C()\nr = weakref.ref(c)\nw = weakref.WeakKeyDictionary()\nw[c] = 1\nv = weakref.WeakValueDictionary(a=c)\ns = weakref.WeakSet([c])\ndead = weakref.ref(C())"], "print(r() is c, list(w.values()), v['a'] is c, c in s, dead())"),
    "locks": (["import threading, queue\nl = threading.Lock()\nr = threading.RLock()\ne = threading.Event()\ne.set()\nq = queue.Queue()\nq.put(3)\nclass Safe:\n    def __init__(self): self.lock, self.same = l, l\ns = Safe()"], "print(l.locked(), r.acquire(), e.is_set(), q.get(), s.lock is l and s.same is l)"),
    "modules": (["import os.path, json as j\nm = [os.path, j]"], "print(m[0] is os.path, m[1] is j, os.path.join('a', 'b'))"),
    "logger": (["import logging\nlog = logging.getLogger('kanoe.test')\nroot = logging.getLogger()"], "import logging\nprint(log is logging.getLogger('kanoe.test'), root is logging.root)"),
    "closed_file": (["import os\nwith open(os.devnull) as f: pass\nwith open(os.devnull, 'rb') as b: pass"], "print(f.closed, f.name, f.mode, b.closed, b.name)"),
    "match": (["import re\nm = re.search('b(.)', 'abcd')\nn = re.match('(?P<x>a)', 'abc')\np = re.compile('x')"], "print(m.group(1), m.span(), n.groupdict(), p.pattern)"),
    "new_type": (["from typing import NewType\nU = NewType('U', int)"], "print(U(3), U.__name__, U.__supertype__)"),
    "exception_group": (["class C:\n    def __init__(self): self.me = self\n    def __reduce__(self): raise RuntimeError('never')\nx = C"], "print(x.__name__)"),
    "traceback": (["def boom():\n    x = 1\n    return x / 0  # here"], "import traceback, linecache\nlinecache.checkcache()\ntry:\n    boom()\nexcept ZeroDivisionError as e:\n    print(traceback.extract_tb(e.__traceback__)[-1].lineno, boom.__code__.co_filename)"),
    "private_names": (["class C:\n    __secret = 4\n    def get(self): return self.__secret\n    def __len__(self): raise RuntimeError\n    def __bool__(self): raise RuntimeError\n    def __eq__(self, other): raise RuntimeError\nc = C()"], "print(c.get())"),
    "kept_counters": (["def counter(f):\n    def inner(*a):\n        inner.calls += 1\n        return f(*a)\n    inner.calls = 0\n    return inner\n@counter\ndef f(): return 1\nf(); f()"], "f(); print(f.calls)"),
    "default_is_self": (["class C:\n    def m(self, other=None): return type(other)\nC.m.__defaults__ = (C(),)"], "print(C().m() is C)"),
    "type_parameters": (["def f[T](x: T) -> T: return x\nclass C[T]:\n    def m(self, x: T) -> T: return x\ntype Pair[A] = tuple[A, A]"], "print(f(1), C[int]().m(2), C.__type_params__, f.__type_params__)", (3, 12)),
    "multiple_bases": (["class A: pass\nclass B: pass\nclass M(A, dict): pass\nclass N(B, M): pass\nn = N(a=1)"], "print([k.__name__ for k in N.__mro__], n, isinstance(n, A))"),
    "class_getitem": (["class C:\n    def __class_getitem__(cls, item): return (cls, item)\n    def __init_subclass__(cls): cls.seen = True\nclass D(C): pass"], "print(C[1] == (C, 1), D.seen)", (3, 7)),
    "operator_overloads": (["class V:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\n    def __hash__(self): return hash(self.x)\n    def __call__(self): return self.x\n    def __iter__(self): return iter([self.x])\n    def __getitem__(self, i): return i\n    __radd__ = __add__ = lambda self, o: 'sum'\nd = {V(1): 'a'}\nv = V(2)"], "print(d[V(1)], v(), list(v), v[5], v + 1, 1 + v)"),
    "attribute_of_function_class": (["def f(): pass\nf.cls = type('T', (), {'f': f})\nf.me = f"], "print(f.me is f, f.cls.f is f)"),
}  # fmt: skip


def _version(python: Path) -> tuple[int, int]:
    if python == Path(sys.executable):
        return sys.version_info[:2]
    major, minor = python.parents[1].name.split(".")[:2]
    return int(major), int(minor)


@functools.cache
def _answers(python: Path, folder: Path) -> tuple[dict, dict]:
    cases = [
        {"name": name, "cells": case[0], "check": case[1]}
        for name, case in CASES.items()
        if len(case) < 3 or _version(python) >= case[2]
    ]
    answers = []
    for verb in ("save", "load"):
        command = [python, "-W", "ignore", ROUND, PACKAGE, verb, folder / "kept"]
        done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    return answers[0], answers[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("definitions")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("python", sorted(PYTHONS), ids=lambda python: ".".join(map(str, _version(python))))
def test_a_definition_comes_back_in_another_process(python, name, folder):
    place = folder / ".".join(map(str, _version(python)))
    place.mkdir(exist_ok=True)
    saved, loaded = _answers(python, place)
    if name not in saved:
        pytest.skip("for a newer Python")
    problem = saved[name][2] or loaded[name][2]
    assert not problem, problem
    assert "Traceback" not in saved[name][0], saved[name][0]
    assert saved[name][0] == loaded[name][0]
    assert saved[name][1] == loaded[name][1]  # the hash of all that it is


def cell(source, name="<cell>", before=0):
    """Run a cell in a namespace of its own."""
    namespace = {"__name__": "__main__"}
    exec(compile("\n" * before + source, name, "exec"), namespace)
    return namespace


def canonical(source, **options):
    return codes.digestible(cell(source, **options)["f"].__code__)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = lambda: 1", True),
        ("def x(): pass", True),
        ("class x: pass", True),
        ("import contextlib\n@contextlib.contextmanager\ndef x(): yield", True),
        ("import collections\nx = collections.namedtuple('x', 'a')", True),
        ("import functools\nx = functools.wraps(len)(lambda: 1)", True),
        ("x = type('T', (), {'__module__': 'json'})", True),
        ("x = lambda: 1\nx.__module__, x.__qualname__ = 'json', 'dumps'", True),
        ("from json import dumps as x", False),
        ("from collections import OrderedDict as x", False),
        ("from collections.abc import Mapping as x", False),
        ("x = len", False),
        ("x = dict", False),
        ("x = [].append", False),
        ("import sys as x", False),
        ("x = 3", False),
        ("import abc\nx = type(abc.ABC.__dict__['_abc_impl'])", False),
        ("x = type(len)", False),
        ("class C:\n    __class__ = type\nx = C()", False),
        ("class C:\n    def m(self): pass\nx = C().m", False),
    ],
)
def test_what_is_a_definition(source, expected):
    namespace = cell(source)
    assert Definitions(namespace).is_definition(namespace["x"]) is expected


def test_nothing_asks_a_class_or_its_metaclass():
    namespace = cell(
        """
def refuse(*arguments): raise AssertionError("asked")
class Meta(type):
    __eq__ = __hash__ = __getattribute__ = __setattr__ = __instancecheck__ = __subclasscheck__ = refuse
    __dir__ = __len__ = __bool__ = __iter__ = __repr__ = mro = refuse
    mro = type.mro
class C(metaclass=type("Quiet", (type,), {})):
    __getattr__ = __eq__ = __hash__ = __len__ = __bool__ = refuse
"""
    )
    known = Definitions(namespace)
    evil = type.__call__(namespace["Meta"], "Evil", (), {"x": 1})
    for thing in (evil, namespace["C"]):
        assert known.is_definition(thing)
        assert known.find(known.reference(thing)) is thing
        known.token(thing)
        known.parts(thing)
        known.lost(thing)
    assert known.token(object.__new__(namespace["C"])) is None


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("def f(): return 1", "\n\n# moved\ndef f():\n\n    return 1", True),
        ("def f(): return 1", "def f(): return 1.0", False),
        ("def f(): return 1", "def f(): return True", False),
        ("def f(): return 0.0", "def f(): return -0.0", False),
        ("def f(): return 'a'", "def f(): return b'a'", False),
        ("def f(): return (1, 2)", "def f(): return (1, 2.0)", False),
        ("def f(x): return x in {'a', 'b', 'c'}", "def f(x): return x in {'c', 'a', 'b'}", True),
        ("def f(x): return x in {'a', 'b'}", "def f(x): return x in ('a', 'b')", False),
        ("def f(a): pass", "def f(*a): pass", False),
        ("def f(a, b): pass", "def f(a, *, b): pass", False),
        ("def f(): return x", "def f(): return y", False),
        ("def f(): yield", "async def f(): yield", False),
        ("def f():\n    class C: pass\n    return C", "\n\ndef f():\n\n    class C: pass\n    return C", True),
        (
            "def f():\n    class C:\n        x = 2\n    return C",
            "def f():\n\n    class C:\n        x = 3\n    return C",
            False,
        ),
        ("def f():\n    def g(): return 1\n    return g", "def f():\n    def g(): return 2\n    return g", False),
        ("def f():\n    try: g()\n    except A: pass", "def f():\n    try: g()\n    except B: pass", False),
    ],
)
def test_code_is_what_it_does_not_where_it_stands(one, other, equal):
    assert (canonical(one) == canonical(other, name="<another>")) is equal


def test_equal_code_has_equal_bytes():
    source = "def f():\n    a = 'text'\n    return a, 'text', (1, 'text')"
    assert marshal.dumps(codes.canonical(cell(source)["f"].__code__), 2) == canonical(source)


def test_a_reference_is_for_life_and_by_content():
    source = "def f(): return 1"
    namespace, moved = cell(source), cell("\n\n" + source)
    known, other = Definitions(namespace), Definitions(moved)
    reference = known.reference(namespace["f"])
    assert reference.startswith("def:function:f:")
    assert reference == other.reference(moved["f"])
    namespace["f"].__defaults__ = ()
    namespace["f"].__code__ = moved["f"].__code__.replace(co_consts=(None, 2))
    assert known.reference(namespace["f"]) == reference


def test_equal_definitions_are_told_apart():
    namespace = cell("fs = [lambda: 1 for _ in range(3)]\ng = fs[0]")
    known = Definitions(namespace)
    references = [known.reference(f) for f in namespace["fs"]]
    assert references[1:] == [references[0] + ".1", references[0] + ".2"]
    assert known.reference(namespace["g"]) == references[0]


def test_a_reference_of_the_state_is_not_given_away():
    namespace = cell("def f(): return 1")
    reference = Definitions(namespace).reference(namespace["f"])
    known = Definitions(namespace)
    known.begin([reference])
    assert known.reference(namespace["f"]) == reference + ".1"


def test_what_nobody_uses_is_freed():
    namespace = cell("def f(): return 1\nclass C: pass")
    known = Definitions(namespace)
    references = [known.reference(namespace[name]) for name in "fC"]
    del namespace["f"], namespace["C"]
    gc.collect()
    assert [known.find(reference) for reference in references] == [None, None]
    assert not known._references
    assert not known._kinds


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("class x: lr = 1", "x.lr = 5"),
        ("class x: lr = 1", "x.more = 5"),
        ("class x: lr = 1", "del x.lr"),
        ("class x: rows = []", "x.rows.append(1)"),
        ("class x:\n    def m(self): pass", "x.m = len"),
        ("def x(a=1): pass", "x.__defaults__ = (2,)"),
        ("def x(*, a=1): pass", "x.__kwdefaults__['a'] = 2"),
        ("def x(): pass", "x.calls = 1"),
        ("def x(): pass", "x.__doc__ = 'text'"),
        ("def x(a: int): pass", "x.__annotations__['a'] = str"),
        ("def make():\n    n = [0]\n    return lambda: n\nx = make()", "x().append(1)"),
        ("def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n    return up\nx = make()", "x()"),
        ("class B: pass\nclass D(B): pass\nclass x(B): pass", "x.__bases__ = (D,)"),
        ("import abc\nclass x(abc.ABC): pass", "x.register(int)"),
        ("import enum\nclass x(enum.Flag):\n    A = 1\n    B = 2", "x.A | x.B"),
    ],
)
def test_the_parts_show_every_change(source, change):
    namespace = cell(source)
    known = Definitions(namespace)
    before = shown(known.parts(namespace["x"]))
    assert shown(known.parts(namespace["x"])) == before
    exec(change, namespace)
    assert shown(known.parts(namespace["x"])) != before


def shown(part):
    if isinstance(part, (tuple, list)):
        return [shown(item) for item in part]
    if isinstance(part, dict):
        return [(key, shown(value)) for key, value in part.items() if key != "__builtins__"]
    return shown([part.cell_contents]) if type(part).__name__ == "cell" else repr(part)


def test_the_parts_show_the_source_text():
    def texts(remark, above=""):
        source = above + "def f():\n    return 1" + remark + "\n\nx = 2\n"
        linecache.cache[remark + above] = (len(source), None, source.splitlines(True), remark + above)
        namespace = {"__name__": "__main__"}
        exec(compile(source, remark + above, "exec"), namespace)
        return Definitions(namespace).parts(namespace["f"])[-1]

    assert texts("  # one") == "def f():\n    return 1  # one\n"
    assert texts("  # one", "# moved\n") == texts("  # one")


def test_what_shares_memory_lives_as_long_as_the_state_has_it():
    namespace = cell("def f(): return 1")
    known = Definitions(namespace)
    reference = known.reference(namespace["f"])
    known.hold(reference, namespace.pop("f"))
    known.begin([reference])
    gc.collect()
    assert known.find(reference) is not None
    known.begin([])
    gc.collect()
    assert known.find(reference) is None


def test_using_instances_does_not_change_their_class():
    namespace = cell("import abc\nclass C(abc.ABC): pass\nc = C()")
    known = Definitions(namespace)
    before = shown(known.parts(namespace["C"]))
    copy.copy(namespace["c"])
    with contextlib.suppress(Exception):
        pickle.dumps(namespace["c"])
    isinstance(3, namespace["C"])
    assert shown(known.parts(namespace["C"])) == before


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import ctypes\nclass x(ctypes.Structure): _fields_ = [('a', ctypes.c_int)]",
            "a class made from PyCStructType",
        ),
        (
            "class M(type):\n    def mro(cls): return type.mro(cls)\nclass x(metaclass=M): pass",
            "a class whose metaclass orders",
        ),
        ("def x(): return 1\nx.__code__ = x.__code__.replace(co_consts=(object(),))", "a function with changed code"),
        ("import enum, datetime\nclass x(datetime.date, enum.Enum):\n    a = 2020, 1, 1", "an enumeration of date"),
        ("class x:\n    __class__ = property(lambda self: int)", "a class that says that its instances are of another"),
    ],
)
def test_what_is_lost_says_why(source, reason):
    namespace = cell(source)
    known = Definitions(namespace)
    assert known.lost(namespace["x"]).startswith(reason)
    with pytest.raises(ValueError, match=reason):
        shells.pack(known, {known.reference(namespace["x"]): namespace["x"]})


def test_a_base_that_is_not_there_is_said():
    namespace = cell("class B: pass\nclass C(B): pass")
    known = Definitions(namespace)
    packed = shells.pack(known, {known.reference(namespace["C"]): namespace["C"]})
    with pytest.raises(LookupError, match="def:class:B"):
        shells.make(Definitions({}), packed.frames)


def test_a_trial_leaves_the_living_alone():
    namespace = cell("class B:\n    told = []\n    def __init_subclass__(cls): B.told.append(cls)\nclass C(B): pass")
    known = Definitions(namespace)
    reference = known.reference(namespace["C"])
    packed = shells.pack(known, {reference: namespace["C"]})
    made = shells.make(known, packed.frames, register=False)
    assert made[reference] is not namespace["C"]
    assert made[reference].__bases__ == (namespace["B"],)
    assert known.find(reference) is namespace["C"]
    assert namespace["B"].told == [namespace["C"]]
    assert "__init_subclass__" in vars(namespace["B"])


def test_frames_are_plain_data():
    namespace = cell(
        "from collections import namedtuple\nP = namedtuple('P', 'a')\ndef f(a=P): return a\nclass C(P): x = 1"
    )
    known = Definitions(namespace)
    packed = shells.pack(known, {known.reference(namespace[name]): namespace[name] for name in "PfC"})
    assert marshal.loads(marshal.dumps(packed.frames))


def test_mentions_are_those_of_the_notebooks_code():
    namespace = cell(
        "import contextlib\ndef f(): return threshold\n@contextlib.contextmanager\ndef c(): yield threshold\nclass C:\n    a: 'Later'"
    )
    known = Definitions(namespace)
    assert "threshold" in known.mentions(namespace["f"]).needs
    assert not known.mentions(namespace["c"]).needs  # contextlib's; what it wraps is a definition of its own
    assert "Later" in known.mentions(namespace["C"]).strings
    exec("def f(a: 'Later'): pass", namespace)
    assert "Later" in known.mentions(namespace["f"]).strings


def test_the_namespace_has_a_token():
    namespace = cell("x = 1")
    known = Definitions(namespace)
    assert known.find(known.token(namespace)) is namespace
    assert known.owner(namespace) is None
    assert known.token({}) is None
