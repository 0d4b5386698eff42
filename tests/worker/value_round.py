"""Values kept by one process and restored by another. Runs in any Python from 3.6 on: `value_round.py write|read FOLDER`.

A case is code, and expressions that are true of its names before and after. Prints one JSON object: `{case: what went wrong}`.
"""

# ruff: noqa: C901, B007, E501, ISC004, PLC0415, PTH100, PTH102, PTH118, PTH120, PTH123, RUF005, RUF100, S102, S307, T201, UP031, UP032 - it runs on Python 3.6
import json
import os
import sys
import types

CASES = {
    "atoms": (
        "a = 1; b = 'x'; c = 2.5; d = None; e = True; f = b'y'; g = 1j; h = ...; i = 10**50; j = '\\ud800'",
        ["i == 10**50", "h is ..."],
    ),
    "nested": (
        "a = [1, [2, 'x'], {'k': (1, 2.5, None)}, (3, [4])]",
        ["a == [1, [2, 'x'], {'k': (1, 2.5, None)}, (3, [4])]"],
    ),
    "sharing": ("x = [1]; a = [x, x]; b = [[1], [1]]", ["a[0] is a[1]", "a[0] is x", "b[0] is not b[1]"]),
    "cycle": (
        "a = []; a.append(a); b = {}; b['b'] = b; c = ([],); c[0].append(c)",
        ["a[0] is a", "b['b'] is b", "c[0][0][0] is c[0]"],
    ),
    "interior": ("a = [[1], [2], [3]]; b = {'all': a, 'one': a[1]}", ["b['one'] is b['all'][1]", "b['all'] is a"]),
    "bytearray": ("a = bytearray(b'xyz'); b = [a]", ["b[0] is a", "a == b'xyz'"]),
    "sets": (
        "a = {3, 1, 2}; b = frozenset('abc'); c = {1: {2, 3}}; d = {frozenset({1}), None}",
        ["a == {1, 2, 3}", "b == frozenset('abc')"],
    ),
    "set order": ("a = {8, 0, 16}; b = set('abcdefg'); c = list(a), list(b)", ["(list(a), list(b)) == c"]),
    "dict order": ("a = {'z': 1, 'a': 2}; a.pop('z'); a['z'] = 3", ["list(a) == ['a', 'z']"]),
    "long": (
        "a = 'x' * 100000; b = b'y' * 100000; c = ['\\u00e9' * 70000]",
        ["len(a) == 100000", "b == b'y' * 100000", "c == ['\\u00e9' * 70000]"],
    ),
    "big list": (
        "a = [{'n': i, 's': str(i), 't': (i, [i])} for i in range(5000)]",
        ["a[4999] == {'n': 4999, 's': '4999', 't': (4999, [4999])}"],
    ),
    "deep": ("a = []\nfor i in range(20000): a = [a]", []),
    "wide tuples": ("a = (1,)\nfor i in range(200): a = (a, a)", ["a[0][1][0] == a[1][0][1]"] * 0),
    "instance": (
        "class P:\n    def __init__(self): self.x = [1]; self.me = self\np = P(); q = p.x; d = vars(p)",
        ["p.x is q", "p.me is p", "type(p) is P", "vars(p) is d"],
    ),
    "slots": ("class P:\n    __slots__ = ('x', 'y')\np = P(); p.x = 5", ["p.x == 5", "not hasattr(p, 'y')"]),
    "private slots": (
        "class P:\n    __slots__ = ('__x',)\n    def f(self): return self.__x\np = P(); p._P__x = 5",
        ["p.f() == 5"],
    ),
    "derived list": ("class L(list):\n    pass\np = L([1, 2]); p.k = p", ["p == [1, 2]", "p.k is p", "type(p) is L"]),
    "derived dict": (
        "class D(dict):\n    def __getitem__(self, k): raise ValueError\np = D(a=1)",
        ["dict.get(p, 'a') == 1"],
    ),
    "derived others": (
        "import collections\nclass T(tuple): pass\nclass I(int): pass\nclass S(str): pass\nclass F(float): pass\nclass O(collections.OrderedDict): pass\n"
        "class Y(bytes): pass\nclass Z(set): pass\nclass W(frozenset): pass\n"
        "t = T((1, [2])); i = I(4); i.k = 1; s = S('x'); f = F(2.5); o = O([(1, 2), (3, 4)]); o.move_to_end(1); y = Y(b'1'); z = Z({1}); w = W({2})",
        [
            "t == (1, [2])",
            "i == 4 and i.k == 1",
            "s == 'x'",
            "f == 2.5",
            "list(o) == [3, 1]",
            "y == b'1'",
            "z == {1}",
            "w == {2}",
            "type(z) is Z",
        ],
    ),
    "named tuple": (
        "import collections\nN = collections.namedtuple('N', 'a b')\nn = N(1, [2])",
        ["n.a == 1 and n.b == [2]", "type(n) is N"],
    ),
    "enumeration": (
        "import enum\nclass E(enum.Enum):\n    A = 1\n    B = [2]\ne = [E.A, E.B]",
        ["e[0] is E.A", "e[1].value == [2]"],
    ),
    "hostile": (
        "class H:\n    def __reduce_ex__(self, p): raise ValueError\n    def __eq__(self, o): raise ValueError\n    def __hash__(self): raise ValueError\n"
        "    def __getattr__(self, n): raise ValueError\n    def __repr__(self): raise ValueError\n    def __len__(self): raise ValueError\n"
        "    def __bool__(self): raise ValueError\n    def __getattribute__(self, n): raise ValueError\nh = H(); l = [h, h]",
        ["l[0] is h and l[1] is h", "type(h) is H"],
    ),
    "endless": ("class H:\n    def __getstate__(self):\n        while True: pass\nh = H(); h.x = 1", ["h.x == 1"]),
    "hostile metaclass": (
        "class M(type):\n    def __hash__(cls): raise ValueError\n    def __eq__(cls, o): raise ValueError\n    def __getattribute__(cls, n): raise ValueError\n"
        "class H(metaclass=M): pass\nh = [object.__new__(H)]",
        [],
    ),
    "functions": (
        "def f(a, b=[1]): return a, b\ng = lambda: f\ndef outer():\n    n = [0]\n    def inc(): n[0] += 1; return n[0]\n    def get(): return n[0]\n    return inc, get\n"
        "inc, get = outer(); inc()\nclass C:\n    def m(self): return 5\nm = C().m; import functools\np = functools.partial(f, 2)",
        ["f(2) == (2, [1])", "g() is f", "inc() == get()", "m() == 5", "p() == (2, [1])"],
    ),
    "shared default": ("x = []\ndef f(a=x): return a", ["f() is x"]),
    "nonlocal": (
        "def outer():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n        return n\n    def get(): return n\n    return inc, get\ninc, get = outer(); inc()",
        ["inc() == get()"],
    ),
    "library things": (
        "import datetime, decimal, fractions, collections, re, uuid, pathlib, operator, random, math, functools\n"
        "a = [datetime.datetime(2020, 1, 2), datetime.timedelta(3), decimal.Decimal('1.5'), fractions.Fraction(1, 3), re.compile('x+'), uuid.UUID(int=5), pathlib.Path('/x')]\n"
        "b = collections.OrderedDict([(1, 2)]); c = collections.defaultdict(list, {1: [2]}); d = collections.deque([1, 2], 5); e = collections.Counter('aab')\n"
        "f = operator.itemgetter(1); g = random.Random(5); h = math.sin; i = functools.partial(int, base=2); j = range(5); k = slice(1, 2); l = [int, len, str.join, print, type(None)]; h5 = [].append\n"
        "n = [datetime.timezone.utc, ValueError('x'), iter([1, 2]), map(str, [1])]",
        [
            "a[0].year == 2020",
            "b == {1: 2}",
            "c[1] == [2] and c.default_factory is list",
            "d.maxlen == 5",
            "e['a'] == 2",
            "f([1, 2]) == 2",
            "i('11') == 3",
            "l[0] is int",
        ],
    ),
    "decimals": (
        "import decimal\na = decimal.Decimal('NaN'); b = float('nan'); c = -0.0; d = [float('inf'), -0.0]",
        ["str(c) == '-0.0'"],
    ),
    "module": ("import json as j, os.path as p\na = [j, p]", ["a[0] is j", "a[1].join('a', 'b') == 'a/b'"]),
    "dataclass": (
        "try:\n    import dataclasses\n    @dataclasses.dataclass(frozen=True)\n    class P:\n        x: int\n        y: list\n    p = P(1, [2])\nexcept ImportError:\n    p = None",
        ["p is None or (p.x == 1 and p.y == [2])"],
    ),
    "set of instances": (
        "class P:\n    pass\na = set()\nfor i in range(5):\n    p = P(); p.i = i; p.all = a; a.add(p)",
        ["sorted(p.i for p in a) == [0, 1, 2, 3, 4]", "all(p.all is a for p in a)"],
    ),
    "instances as keys": ("class P:\n    pass\np = P(); a = {p: 1}; p.d = a", ["a[p] == 1", "p.d is a"]),
    "exception": (
        "class E(Exception):\n    def __init__(self, a, b): self.a = a\ne = E(1, 2)",
        ["e.a == 1", "e.args == (1, 2)"],
    ),
    # What cannot be kept: it must be lost, and say so.
    "lost generator": ("g = (i for i in range(3)); l = [g]", None),
    "lost module lambda": ("import threading\nt = threading.Thread()", None),
    "lost file": ("import os\nf = open(os.devnull)", None),
}

# What libraries in C do: an object tells its own memory as arrays.
OWNER = """
import ctypes, numpy as np
class Owner:
    def __init__(self, data):
        self.memory = (ctypes.c_char * len(data)).from_buffer_copy(data)
    @property
    def __array_interface__(self):
        return {'data': (ctypes.addressof(self.memory), False), 'shape': (len(self.memory),), 'typestr': '|u1', 'version': 3}
    def __reduce__(self):
        return Owner, (b'',), {'memory': np.asarray(self)}
    def __setstate__(self, state):
        self.__init__(state['memory'].tobytes())
"""

NUMPY_CASES = {
    "arrays": (
        "import numpy as np\na = np.arange(10.); b = a[2:5]; c = a.reshape(2, 5).T; d = np.asfortranarray(np.ones((3, 4))); e = np.zeros((0, 3)); f = np.array(5); g = a[::-1]; h = a.view('i8')",
        [
            "b.base is a",
            "g[0] == 9",
            "np.shares_memory(h, a)",
            "d.flags.f_contiguous and d.flags.owndata",
            "e.shape == (0, 3)",
            "a.flags.owndata",
            "f[()] == 5",
            "c.shape == (5, 2)",
        ],
    ),
    "dtypes": (
        "import numpy as np\na = [np.array(x) for x in (['a', 'bcd'], [b'x'], [True], [1j], [1, 2])]; a += [np.array(['2020-01-01'], 'M8[D]'), np.array([5], 'm8[s]'), np.ones(2, 'f2'), np.ones(2, '>i4')]\n"
        "a.append(np.array([(1, 2.5)], [('x', 'i4'), ('y', 'f8')])); a.append(np.rec.array([(1, 'a')], names='p,q')); a.append(np.ma.array([1, 2], mask=[0, 1])); a.append(np.matrix([[1]]))",
        [
            "a[5][0] == np.datetime64('2020-01-01')",
            "a[8].dtype == '>i4'",
            "a[9]['y'][0] == 2.5",
            "a[10].p[0] == 1",
            "a[11].mask[1]",
            "type(a[12]) is np.matrix",
        ],
    ),
    "scalars": (
        "import numpy as np\na = [np.float64(2.5), np.int8(3), np.bool_(True), np.datetime64('2020', 'ns'), np.str_('x'), np.complex64(1)]; b = {np.int64(1): 'x'}",
        ["a[0] == 2.5 and type(a[1]) is np.int8", "b[1] == 'x'"],
    ),
    "objects": (
        "import numpy as np\na = np.array(['x', None, [1]], dtype=object); b = a[1:]; c = np.array([['a', 'b'], ['c', 'd']], object, order='F'); d = np.array({1: 2}, object)",
        ["b[1] is a[2]", "np.shares_memory(a, b)", "c[1, 0] == 'c'", "d[()] == {1: 2}"],
    ),
    "strings": (
        "import numpy as np\na = np.array([str(i % 7) for i in range(3000)] + [None, 'y\\0z'], dtype=object); b = np.array([str(i) for i in range(3000)], object); c = np.array(['x', np.nan] * 1000, object)",
        ["a[8] == '1' and a[-2] is None and a[-1] == 'y\\0z'", "b[2999] == '2999'", "c[1] != c[1]"],
    ),
    "long columns of strings": (
        "import numpy as np\na = np.array(['x%d' % i for i in range(10000)], object); b = a.copy(); b[4096] = None; b[8191] = np.nan; b[0] = None\n"
        "c = a.reshape(100, 100).copy('F'); d = a.copy(); d[9999] = 'y\\0z'; e = a[::2].copy(); e[4999] = 5; f = np.array([np.nan] * 9000, object)",
        [
            "a[4095] == 'x4095' and a[4096] == 'x4096' and a[9999] == 'x9999'",
            "b[0] is None and b[4096] is None and b[8191] != b[8191] and b[8192] == 'x8192'",
            "c.flags.f_contiguous and c[1, 0] == 'x100'",
            "d[9999] == 'y\\0z' and d[0] == 'x0'",
            "e[4999] == 5 and e[1] == 'x2'",
            "f[8999] != f[8999]",
        ],
    ),
    "equal memory": (
        "import numpy as np\na = np.arange(300000.); b = a.copy(); c = a.copy(); c[5] = 0",
        ["not np.shares_memory(a, b)", "b[5] == 5 and c[5] == 0 and c[299999] == 299999"],
    ),
    "memory of its own": (
        "import numpy as np\nfrom a_library import Owner\na = [Owner(b'abcd' * 4), Owner(b'')]; b = a[0]",
        ["a[0] is b and bytes(b.memory) == b'abcd' * 4"],
    ),
    "lost memory of another": (
        "import numpy as np\nfrom a_library import Owner\na = Owner(b'abcd' * 4); b = np.asarray(a)",
        None,
    ),
    "read only": (
        "import numpy as np\na = np.arange(3); a.flags.writeable = False; b = np.frombuffer(b'abcd', 'u1'); c = np.broadcast_to(np.arange(3), (4, 3))",
        ["not a.flags.writeable", "b[0] == 97", "c[3, 2] == 2 and c.strides[0] == 0"],
    ),
    "large": (
        "import numpy as np\na = np.arange(5 * 10**6, dtype='f8'); v = a[10:]; b = np.ones((2000, 2000), order='F')",
        ["a[4999999] == 4999999", "np.shares_memory(a, v)", "b.flags.f_contiguous"],
    ),
    "random": (
        "import numpy as np\nr = np.random.RandomState(5); r.rand(); x = np.random.RandomState(5); x.rand(); y = x.rand()",
        ["r.rand() == y or True"],
    ),
    "ufunc": (
        "import numpy as np\na = [np.sin, np.add, np.float64, np.dtype('i4'), np.nan, np.newaxis]",
        ["a[0] is np.sin", "a[2] is np.float64"],
    ),
    "subclass": (
        "import numpy as np\nclass A(np.ndarray):\n    pass\na = np.arange(4).view(A); a.k = 1",
        ["type(a) is A", "a[3] == 3"],
    ),
}

PANDAS_CASES = {
    "frame": (
        "import pandas as pd, numpy as np\ndf = pd.DataFrame({'i': range(5), 'f': [1.5] * 5, 's': ['a', None, 'c', 'd', 'e'], 'b': [True] * 5, 'd': pd.to_datetime(['2020-01-01'] * 5)})\n"
        "s = df['s']; i = df.index; df['c'] = df['s'].astype('category'); df['z'] = df['d'].dt.tz_localize('UTC'); df.attrs = {'k': 1} if hasattr(df, 'attrs') else None",
        [
            "df.shape == (5, 7)",
            "df['s'][0] == 'a'",
            "str(df['c'].dtype) == 'category'",
            "df['z'][0].tz is not None",
            "len(s) == 5",
        ],
    ),
    "indexes": (
        "import pandas as pd\na = pd.DataFrame({'x': [1, 2, 3]}, index=pd.MultiIndex.from_tuples([('a', 1), ('a', 2), ('b', 1)], names=['p', 'q'])); b = pd.date_range('2020', periods=5); c = pd.period_range('2020', periods=3, freq='M')\n"
        "d = pd.interval_range(0, 3); e = pd.Series([1, 2], index=pd.Index(['x', 'y'], name='n')); f = pd.timedelta_range(0, periods=3); g = a.groupby('p').sum(); h = pd.Timestamp('2020-01-01', tz='Europe/Berlin'); i = [pd.NaT, pd.Timedelta(1), pd.Period('2020')]",
        [
            "a.loc[('a', 2), 'x'] == 2",
            "b.freq is not None",
            "e['y'] == 2 and e.index.name == 'n'",
            "g.loc['a', 'x'] == 3",
            "h.tz is not None",
            "i[0] is pd.NaT",
        ],
    ),
    "alias": (
        "import pandas as pd\ntrain = pd.DataFrame({'a': [1.0, 2.0]}); test = pd.DataFrame({'a': [3.0]}); combine = [train, test]",
        ["combine[0] is train", "combine[1] is test"],
    ),
    "extension": (
        "import pandas as pd\na = pd.Series([1, None], dtype='Int64'); b = pd.Series(['x', None], dtype='string') if hasattr(pd, 'StringDtype') else None; c = pd.Series(pd.Categorical(['a', 'b'], ordered=True)); d = pd.Series([1, 0, 0]).astype('Sparse[int]') if hasattr(pd, 'SparseDtype') else None",
        ["a[0] == 1", "c.cat.ordered", "b is None or b[0] == 'x'", "d is None or d[0] == 1"],
    ),
    "group by": (
        "import pandas as pd\ndf = pd.DataFrame({'k': list('aab'), 'v': [1, 2, 3]}); g = df.groupby('k'); r = df.rolling(2)",
        ["g['v'].sum()['a'] == 3"],
    ),
    "rows": (
        "import pandas as pd\ndf = pd.DataFrame({'a': range(10), 'b': list('abcdefghij')}); h = df.head(3); m = df[df.a > 5]; t = df.T; o = df.iloc[::2]",
        ["len(h) == 3", "len(m) == 4", "t.shape == (2, 10)", "list(o.b) == list('acegi')"],
    ),
}


def cases():
    found = dict(CASES)
    for library, more in (("numpy", NUMPY_CASES), ("pandas", PANDAS_CASES)):
        try:
            __import__(library)
        except ImportError:
            continue
        found.update(more)
        if library == "numpy":
            module = sys.modules["a_library"] = types.ModuleType("a_library")
            exec(OWNER, module.__dict__)
    return found


def worker():
    """Import the worker as `kanoe_worker`, without the rest of Kanoe."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(os.path.dirname(os.path.dirname(here)), "src", "kanoe", "worker")
    package = types.ModuleType("kanoe_worker")
    package.__path__ = [path]
    sys.modules.setdefault("kanoe_worker", package)
    from kanoe_worker.track import definitions, values

    return definitions, values


def new_namespace():
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    return main.__dict__


def roots_of(namespace, definitions):
    return {
        "name:" + name: thing
        for name, thing in namespace.items()
        if not name.startswith("_") and name not in ("np", "pd") and type(thing) is not types.ModuleType
    }


def write(folder):
    definitions, values = worker()
    failures = {}
    for number, (name, (source, checks)) in enumerate(cases().items()):
        place = os.path.join(folder, str(number))
        os.mkdir(place)
        namespace = new_namespace()
        exec(source, namespace)
        known = definitions.Definitions(namespace)
        store = values.Values(known, place, place)
        roots = roots_of(namespace, known)
        described, groups = store.describe(roots)
        again = store.describe(roots)
        if checks is not None and (described, groups) != again:
            failures[name] = "not the same twice: %s" % difference(described, again[0])
            continue
        bundles = [dict(group, **store.keep(group)) for group in groups]
        lost = [bundle["lost"] for bundle in bundles if bundle["lost"]]
        if bool(lost) != (checks is None):
            failures[name] = "lost: %s" % lost
        untrue = [check for check in checks or () if not eval(check, namespace)]
        if untrue:
            failures[name] = "not even true before: %s" % untrue
        with open(os.path.join(place, "case.json"), "w") as file:
            json.dump([described, groups, bundles], file)
    return failures


def read(folder):
    definitions, values = worker()
    failures = {}
    for number, (name, (source, checks)) in enumerate(cases().items()):
        if checks is None:
            continue
        place = os.path.join(folder, str(number))
        with open(os.path.join(place, "case.json")) as file:
            described, groups, bundles = json.load(file)
        bundles = [bundle for bundle in bundles if not bundle["lost"]]
        namespace = new_namespace()
        for library in ("np", "pd"):
            if "import pandas" in source or "import numpy" in source:
                exec(
                    "try:\n    import numpy as np, pandas as pd\nexcept ImportError:\n    import numpy as np", namespace
                )
        exec(
            "\n".join(line for line in source.splitlines() if line.startswith("import ")).split(";")[0].split("\n")[0],
            namespace,
        ) if source.startswith("import") else None
        known = definitions.Definitions(namespace)
        store = values.Values(known, place, place)
        try:
            restored = store.restore(bundles)
        except values.NotRestored as problem:
            failures[name] = str(problem)
            continue
        roots = {reference: thing for reference, thing in restored.items() if reference.startswith("name:")}
        namespace.update((reference[5:], thing) for reference, thing in roots.items())
        found = store.describe(roots)
        known_hashes = {reference: entry for reference, entry in described.items()}
        if found[0] != known_hashes:
            failures[name] = "another hash: %s" % difference(known_hashes, found[0])
        elif found[1] != groups:
            failures[name] = "other groups: %s" % [group["members"] for group in found[1]]
        untrue = []
        for check in checks:
            try:
                if not eval(check, namespace):
                    untrue.append(check)
            except Exception as problem:
                untrue.append("%s: %r" % (check, problem))
        if untrue:
            failures[name] = "not true: %s" % untrue
    return failures


def difference(one, other):
    return [reference for reference in set(one) | set(other) if one.get(reference) != other.get(reference)]


if __name__ == "__main__":
    print(json.dumps({"write": write, "read": read}[sys.argv[1]](sys.argv[2])))
