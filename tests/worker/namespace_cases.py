# ruff: noqa: PLC0415, T201, UP031, RUF005, PLW2901, B023
"""Ways to look a name up, each run in a real shell twice: with all names there, and with those only that the closure names.

Runs on Python 3.6 and later, with IPython where there is one: `python namespace_cases.py FOLDER_OF_THE_WORKER`.
Prints a JSON list of [case, what the closure names among the set-up's (`*`: everything), what differs].
"""

import contextlib
import io
import json
import os
import re
import sys
import types
import warnings

SETUP = """
x=5
y=[1,2]
CONST=3
def f(): return x
class K:
    def m(self): return x
    v=1
k=K()
dir_name='d'
import linecache
"""
LIBRARIES = (
    "pandas",
    "numpy",
    "numexpr",
    "cloudpickle",
    "joblib",
    "duckdb",
    "patsy",
    "polars",
    "formulaic",
    "statsmodels",
)

NEXT = "# next cell\n"
# case: (cells, what the closure may name among the set-up's and earlier cells' names, what it needs: libraries, `ipython`, (3, 8))
CASES = {
    "name": ("print(x)", "x"),
    "fn": ("f()", "f x"),
    "lambda_comp": ("print([x+i for i in range(1)],(lambda: x)(),{x:x},list(x for _ in 'a'))", "x"),
    "nested_fn": ("def g():\n    def h(): return x+CONST\n    return h()\nprint(g())", "x CONST"),
    "del": ("del y\nprint('gone')", "y"),
    "del_after": ("del y\n# next cell\ny", ""),
    "del_global_fn": ("z1=1\ndef dz():\n    global z1\n    del z1\n# next cell\ndz()\nprint('ok')", "z1 dz"),
    "augassign": ("x += 1\nprint(x)", "x"),
    "aug_global_fn": ("def inc():\n    global x\n    x += 1\n# next cell\ninc()\nprint(x)", "inc x"),
    "globals_getitem": ("print(globals()['x'])", "x"),
    "in_globals": ("print('x' in globals(), 'x' in locals(), 'x' in vars())", "x"),
    "globals_get": ("print(globals().get('x'))", "x"),
    "dict_globals": ("print('x' in dict(globals()), 'x' in {**globals()})", "*"),
    "dict_update": ("d={}\nd.update(globals())\nprint('x' in d)", "*"),
    "dir": ("print('x' in dir())", "*"),
    "dir_of": ("print('append' in dir(y), vars(k))", "y k K x"),
    "own_dir": ("dir='a'\nprint(dir)", ""),
    "earlier_dir": ("dir='a'\n# next cell\nprint(dir)", "dir"),
    "who": ("%who int", "*", "ipython"),
    "whos": ("%whos int", "*", "ipython"),
    "query": ("print(len(df.query('a < @x')))", "df x", "pandas"),
    "query_text": ("how='a < @x'\n# next cell\nprint(len(df.query(how)))", "df how", "pandas watched"),
    "df_eval": ("print(df.eval('a + @CONST').sum())", "df CONST", "pandas"),
    "query_in_fn": ("def qf(): return len(df.query('a < @x'))\n# next cell\nprint(qf())", "qf df x", "pandas"),
    "pd_eval": ("print(pd.eval('x+1'))", "pd x", "pandas"),
    "exec_toplevel": ("exec('q=x+1')\nprint(q)", "x"),
    "exec_text": ("t='q=x+1'\n# next cell\nexec(t)\nprint(q)", "*"),
    "eval_toplevel": ("print(eval('x'))", "x"),
    "eval_in_fn": ("def ef(): return eval('x')\n# next cell\nprint(ef())", "*"),
    "exec_in_fn": (
        "def ef2():\n    d={}\n    exec('q=x', globals(), d)\n    return d['q']\n# next cell\nprint(ef2())",
        "*",
    ),
    "map_eval": ("print(list(map(eval, ['x'])))", "*"),
    "class_body_name": ("class C2:\n    w = CONST + 1\nprint(C2.w)", "CONST"),
    "class_body_comp": ("class C3:\n    w = [CONST for _ in range(2)]\nprint(C3.w)", "CONST"),
    "class_body_own": ("class C4:\n    CONST = 1\n    w = CONST + 1\nprint(C4.w)", ""),
    "class_base": ("class D(K): pass\nprint(D().m())", "K x"),
    "class_annot": (
        "class E:\n    a: K = None\nprint(E.__annotations__ if hasattr(E,'__annotations__') else '-')",
        "K x",
    ),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int = CONST\n    k: 'K' = None\nprint(P())",
        "CONST K x",
        (3, 7),
    ),
    "get_type_hints": (
        "import typing\nclass P:\n    a: int = CONST\n    k: 'K' = None\n# next cell\nprint(typing.get_type_hints(P))",
        "P typing K x",
        "annotations",
    ),
    "get_type_hints_fn": (
        "import typing\ndef hf(a: 'K'): pass\n# next cell\nprint(typing.get_type_hints(hf))",
        "hf typing K x",
        "annotations",
    ),
    "pickle_inst": ("import pickle\nprint(len(pickle.dumps(k))>0)", "k K x"),
    "pickle_roundtrip": ("import pickle\nb=pickle.dumps(k)\nprint(pickle.loads(b).v)", "k K x"),
    "main_attr": ("import __main__\nprint(__main__.x)", "*"),
    "main_setattr": ("import __main__\n__main__.newv=9\n# next cell\nprint(newv)", "newv"),
    "modules_main": ("import sys\nprint(sys.modules['__main__'].x)", "*"),
    "modules_name": ("import sys\nprint(sys.modules[__name__].x)", "*"),
    "modules_other": ("import sys\nprint('os' in sys.modules, sys.modules['os'].sep)", ""),
    "if_main": ("if __name__ == '__main__':\n    print(x)", "x"),
    "if_main_fn": ("def im():\n    if __name__ == '__main__': return x\n# next cell\nprint(im())", "im x"),
    "import_module": ("import importlib\nprint(importlib.import_module('__main__').x)", "*"),
    "cloudpickle_fn": ("import cloudpickle\nprint(cloudpickle.loads(cloudpickle.dumps(f))())", "f x", "cloudpickle"),
    "mp_fork_pool": (
        "def sq(i): return i*i+x\n# next cell\nimport multiprocessing as mp\nwith mp.get_context('fork').Pool(2) as p: print(p.map(sq,[1,2]))",
        "sq x",
    ),
    "timeit": ("%timeit -n1 -r1 x+1", "x", "ipython"),
    "timeit_value": ("r = %timeit -o -q -n 1 -r 1 f()\nprint(r.loops)", "f x", "ipython"),
    "cell_timeit": ("%%timeit -n1 -r1 q=x\nprint(CONST+q)", "x CONST", "ipython"),
    "cell_time": ("%%time\nprint(x)\nt9=x", "x", "ipython"),
    "cell_time_nested": ("%%time\n!echo {x}\n%time print(CONST)", "x CONST", "ipython"),
    "cell_capture": ("%%capture c\nprint(x)", "x", "ipython"),
    "time_expr": ("%time x+1", "x", "ipython"),
    "time_own": ("%%time\nx=1\nprint(x)", "", "ipython"),
    "prun": ("%prun -q f()", "f x", "ipython"),
    "run_i": ("open('r.py','w').write('print(x); rr=x')\n# next cell\n%run -i r.py", "*", "ipython"),
    "run": (
        "open('r2.py','w').write('def rf(): return 3\\nrr=rf()')\n# next cell\n%run r2.py\nprint(rr)",
        "*",
        "ipython",
    ),
    "quiet_magics": ("%matplotlib inline\n%env A=1\n%cd .\n%config InlineBackend.x = 1", "", "ipython"),
    "env_line": ("%env A=$x", "x", "ipython"),
    "unknown_cell_magic": (
        "from IPython.core.magic import register_cell_magic\n@register_cell_magic\ndef mine(line, cell): print(eval(cell))\n# next cell\n%%mine\nx",
        "*",
        "ipython",
    ),
    "unknown_line_magic": (
        "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef mine2(line): print(eval(line))\n# next cell\n%mine2 x",
        "*",
        "ipython",
    ),
    "run_magic_call": ("get_ipython().run_line_magic('time', 'x')", "x", "ipython"),
    "run_magic_text": ("n='who'\n# next cell\nget_ipython().run_line_magic(n, '')", "*", "ipython"),
    "async": ("import asyncio\nawait asyncio.sleep(0)\nprint(x)", "x", "ipython (3, 7)"),
    "async_fn": (
        "import asyncio\nasync def af():\n    await asyncio.sleep(0)\n    return x\n# next cell\nprint(await af())",
        "af x asyncio",
        "ipython (3, 7)",
    ),
    "async_def_here": ("import asyncio\nasync def af():\n    return x\nprint(await af())", "x", "ipython (3, 7)"),
    "import_star": ("from math import *\nprint(floor(x))", "x"),
    "brace_shell": ("!echo {x} $x", "x", "ipython"),
    "brace_expression": ("!echo {x + len(y)} {CONST:03d} $dir_name/a", "x y CONST dir_name", "ipython"),
    "shell_value": ("o = !echo $x\nprint(o)", "x", "ipython"),
    "shell_in_fn": ("def sf(a):\n    !echo {a} $x\n# next cell\nsf(1)", "sf x", "ipython"),
    "user_ns": ("print('x' in get_ipython().user_ns)", "*", "ipython"),
    "user_ns_alias": ("ip = get_ipython()\n# next cell\nprint(ip.user_ns['x'])", "*", "ipython"),
    "get_ipython_text": ("print('colab' in str(get_ipython()))", "", "ipython"),
    "locals": ("print(locals()['x'], vars()['x'])", "x"),
    "locals_in_fn": ("def lf(a): return sorted(locals()), vars()['a']\n# next cell\nprint(lf(1))", "lf"),
    "getsource": ("import inspect\nprint(inspect.getsource(f))", "f x", "ipython"),
    "getmembers": ("import inspect\nprint(inspect.getmodule(f) is not None)", "f x", "ipython"),
    "help": ("f?", "f x", "ipython"),
    "help_2": ("?k.m", "k K x", "ipython"),
    "string_template": ("print('{x} {CONST}'.format(**globals()))", "*"),
    "format_map": ("print('{x}'.format_map(globals()))", "*"),
    "f_string": ("print(f'{x} {CONST:>{x}}')", "x CONST"),
    "numexpr": ("aa=np.arange(3)\nimport numexpr as ne\n# next cell\nprint(ne.evaluate('aa*2'))", "ne aa", "numexpr"),
    "numexpr_text": (
        "aa=np.arange(3)\nimport numexpr as ne\nt='aa*2'\n# next cell\nprint(ne.evaluate(t))",
        "ne t",
        "numexpr watched",
    ),
    "thread": (
        "import threading\nL=[]\n# next cell\nt=threading.Thread(target=lambda:L.append(x)); t.start(); t.join(); print(L)",
        "threading L x",
    ),
    "builtin_shadow": ("max=lambda *a: 'mine'\n# next cell\nprint(max(1,2))", "max"),
    "unshadow": ("max=1\n# next cell\ndel max\nprint(max(1,2))", "max"),
    "setdefault": ("print(globals().setdefault('x',99))", "x"),
    "globals_pop": ("zz=1\n# next cell\nprint(globals().pop('zz'))", "zz"),
    "globals_del": ("zz=1\n# next cell\ndel globals()['zz']\nprint('ok')", "zz"),
    "globals_set": ("globals()['zz']=CONST\nprint(zz)", "CONST"),
    "globals_loop": ("for i in range(2): globals()['v%d' % i] = i\nprint(v1)", "*"),
    "global_decl": ("def st():\n    global fresh\n    fresh=1\n# next cell\nst()\nprint(fresh)", "st"),
    "reset_selective": (
        "fresh=1\n# next cell\n%reset_selective -f ^fresh$\nprint('fresh' in globals())",
        "*",
        "ipython",
    ),
    "super_cls": (
        "class A1:\n    def z(self): return 1\nclass B1(A1):\n    def z(self): return super().z()+CONST\n# next cell\nprint(B1().z())",
        "A1 B1 CONST",
    ),
    "subclass_registry": (
        "class R:\n    def all(self): return [s().go() for s in R.__subclasses__()]\n# next cell\nclass S(R):\n    def go(self): return x\nprint(R().all())",
        "R x",
    ),
    "init_subclass": (
        "class R:\n    def __init_subclass__(cls, **o): cls().go()\n# next cell\nclass S(R):\n    def go(self): print(x)",
        "R x",
    ),
    "init_subclass_here": (
        "class R:\n    def __init_subclass__(cls, **o): cls().go()\nclass S(R):\n    def go(self): print(x)",
        "x",
    ),
    "metaclass": (
        "class M(type):\n    def __init__(cls, n, b, d):\n        super().__init__(n, b, d)\n        print(cls.go())\n# next cell\nclass S(metaclass=M):\n    @staticmethod\n    def go(): return x",
        "M x",
    ),
    "metaclass_base": (
        "class M(type):\n    def __init__(cls, n, b, d):\n        super().__init__(n, b, d)\n        cls.go()\nclass B(metaclass=M):\n    @staticmethod\n    def go(): pass\n# next cell\nclass S(B):\n    @staticmethod\n    def go(): print(x)",
        "B M x",
    ),
    "enum_init": (
        "import enum\nclass En(enum.Enum):\n    A = 1\n    def __init__(self, n): self.more = n + x\nprint(En.A.more)",
        "x",
    ),
    "decorator_runs": (
        "def deco(fn):\n    print(fn())\n    return fn\n# next cell\n@deco\ndef g(): return x",
        "deco x",
    ),
    "decorator_named_like": (
        "def property(fn):\n    print(fn())\n    return fn\n# next cell\n@property\ndef g(): return x",
        "property x",
    ),
    "decorator_library": (
        "import atexit, functools\n@functools.partial(lambda fn: print(fn()))\ndef g(): return x",
        "x",
    ),
    "decorator_quiet": ("import functools\n@functools.lru_cache(None)\ndef g(): return x", ""),
    "definition_only": ("def g(): return x\nclass G(object):\n    def m(self): return CONST\nh = lambda: y", ""),
    "definition_reached": (
        "def outer(): return inner()\n# next cell\ndef inner(): return x\nprint(outer())",
        "outer x",
    ),
    "definition_before": ("def g(): return w1\nw1 = 2\nprint(g())", ""),
    "definition_after_use": ("def g(): return x\nprint(g())\nx = 2", "x"),
    "definition_settled": ("x = 2\ndef g(): return x\nprint(g())", ""),
    "definition_in_loop": ("for i in range(2):\n    if i: print(g())\n    def g(): return x", "x"),
    "conditional_definition": (
        "if x > 3:\n    def g(): return CONST\nelse:\n    def g(): return y\nprint(g())",
        "x y CONST",
    ),
    "default_argument": ("def g(a=x): pass", "x"),
    "closure_cell": (
        "def mk():\n    v = x\n    return lambda: v + CONST\n# next cell\nc=mk()\nprint(c())",
        "mk x CONST",
    ),
    "gen_here": ("gg=(x+i for i in range(2))\nprint(list(gg))", "x"),
    "main_import": ("from __main__ import CONST as CC\nprint(CC)", "CONST"),
    "doctest": (
        "def dd():\n    '''\n    >>> CONST\n    3\n    '''\nimport doctest\nprint(doctest.testmod())",
        "*",
        "ipython",
    ),
    "joblib": (
        "from joblib import Parallel, delayed\ndef jb(i): return i+CONST\n# next cell\nprint(Parallel(n_jobs=1)(delayed(jb)(i) for i in range(3)))",
        "Parallel delayed jb CONST",
        "joblib",
    ),
    "duckdb": (
        "import duckdb\n# next cell\nprint(duckdb.sql('select sum(a) as s from df').fetchall())",
        "duckdb df",
        "pandas duckdb",
    ),
    "duckdb_fn": (
        "import duckdb\ndef dq(): return duckdb.sql('select sum(a) as s from df').fetchall()\n# next cell\nprint(dq())",
        "dq duckdb df",
        "pandas duckdb",
    ),
    "duckdb_text": (
        "import duckdb\nt='select sum(a) as s from df'\n# next cell\nprint(duckdb.sql(t).fetchall())",
        "duckdb t",
        "pandas duckdb watched",
    ),
    "duckdb_connection": (
        "import duckdb\nc=duckdb.connect()\nt='select sum(a) as s from df'\n# next cell\nprint(c.execute(t).fetchall())",
        "c t",
        "pandas duckdb watched",
    ),
    "patsy": (
        "import patsy\ndef sqr(v): return v**2\n# next cell\nprint(patsy.dmatrix('sqr(a)',df).shape)",
        "patsy sqr df",
        "pandas patsy",
    ),
    "patsy_text": (
        "import patsy\ndef sqr(v): return v**2\nt='sqr(a)'\n# next cell\nprint(patsy.dmatrix(t,df).shape)",
        "patsy t df",
        "pandas patsy watched",
    ),
    "formulaic_text": (
        "import formulaic\ndef sqr(v): return v**2\nt='sqr(a)'\n# next cell\nprint(formulaic.model_matrix(t,df).shape)",
        "formulaic t df",
        "pandas formulaic watched",
    ),
    "statsmodels": (
        "import statsmodels.formula.api as smf\ndef sqr(v): return v**2\n# next cell\nprint(smf.ols('a ~ sqr(a)', df).fit().nobs)",
        "smf sqr df",
        "pandas statsmodels",
    ),
    "polars_sql": (
        "import polars as pl\npdf=pl.DataFrame({'a':[1]})\n# next cell\nprint(pl.sql('select * from pdf').collect().shape)",
        "pl pdf",
        "polars",
    ),
    "polars_text": (
        "import polars as pl\npdf=pl.DataFrame({'a':[1]})\nt='select * from pdf'\n# next cell\nprint(pl.sql(t).collect().shape)",
        "pl t",
        "polars watched",
    ),
    "getframe": ("import sys\nprint(sys._getframe().f_globals['x'])", "*"),
    "getframe_in_fn": ("import sys\ndef gf(): return sys._getframe(1).f_globals['x']\n# next cell\nprint(gf())", "*"),
    "currentframe": ("import inspect\nprint(inspect.currentframe().f_globals['x'])", "*"),
    "inspect_stack": ("import inspect\nprint(inspect.stack()[0][0].f_globals['x'])", "*"),
    "fn_globals": ("print(f.__globals__['x'])", "*"),
    "result_last": ("x\n# next cell\nprint(_)", "", "ipython"),
    "walrus": ("if (n := x) > 3: print(n)", "x", (3, 8)),
    "walrus_comp": ("print([q := x, q**2])\nprint([last := i for i in y], last)", "x y", (3, 8)),
    "match": ("match x:\n    case 5 if CONST: print(y)\n    case K(v=q): print(q)", "x y K CONST", (3, 10)),
    "try_name_error": ("try:\n    x\nexcept NameError:\n    x = 1\nprint(x)", "x"),
    "try_name_error_absent": ("try:\n    absent\nexcept NameError:\n    absent = 1\nprint(absent)", ""),
    "try_half": ("try:\n    x = 1/0\nexcept ZeroDivisionError: pass\nprint(x)", "x"),
    "try_whole": ("try:\n    w = 1\nexcept ValueError:\n    w = 2\nfinally:\n    CONST = 1\nprint(w, CONST)", ""),
    "suppressed": ("from contextlib import suppress\nwith suppress(Exception):\n    x = 1/0\nprint(x)", "x"),
    "own_context": (
        "from contextlib import contextmanager\n@contextmanager\ndef quiet():\n    try: yield\n    except Exception: pass\n# next cell\nwith quiet():\n    x = 1/0\nprint(x)",
        "quiet x",
    ),
    "with_open": (
        "with open(os.devnull) as fl:\n    x = fl.read()\nprint(x)",
        "",
    ),
    "loop_zero": ("for x in []: pass\nprint(x)", "x"),
    "loop_own": ("for i in range(2):\n    q = i\n    print(q)", ""),
    "while_true": ("while True:\n    x = 1\n    break\nprint(x)", ""),
    "while_else": ("n = 0\nwhile n < 2:\n    n += 1\nelse:\n    x = 9\nprint(x)", ""),
    "if_else_both": ("if CONST: x = 1\nelse: x = 2\nprint(x)", "CONST"),
    "if_one": ("if not CONST: x = 1\nprint(x)", "CONST x"),
    "short_circuit": ("CONST and (x := 0)\nprint(x)", "CONST x", (3, 8)),
    "rebinds": ("x = 1\ny = [x]\nprint(y)", ""),
    "unpacking": ("(x, [y, *CONST]) = 1, [2, 3]\nprint(x, y, CONST)", ""),
    "attribute_store": ("k.v = 2\nprint(k.v)", "k K x"),
    "subscript_store": ("y[0] = x\nprint(y)", "x y"),
    "aug_attribute": ("k.v += CONST\nprint(k.v)", "k K x CONST"),
    "chained": ("a = b = x\nprint(a, b)", "x"),
    "syntax_error": ("print(x", ""),
    "class_private": ("_Q__v = 1\nclass Q:\n    def g(self): return __v\n# next cell\nprint(Q().g())", "Q _Q__v"),
    "class_in_fn": ("def mk2():\n    class I:\n        w = x\n    return I\n# next cell\nprint(mk2().w)", "mk2 x"),
    "partial": ("import functools\npf = functools.partial(f)\n# next cell\nprint(pf())", "pf f x"),
    "dunder_add": ("class V:\n    def __add__(self, o): return x\nv=V()\n# next cell\nprint(v + 1)", "v V x"),
    "local_import": ("import html.parser\n# next cell\nprint(html.parser.__name__)", "html"),
    "timeit_globals": ("import timeit\nprint(timeit.timeit('x', globals=globals(), number=1) >= 0)", "*"),
    "timeit_main": ("import timeit\nprint(timeit.timeit('f()', setup='from __main__ import f', number=1) >= 0)", "*"),
    "print_text": ("print('train x y CONST')", ""),
    "namedtuple": ("from collections import namedtuple\nT = namedtuple('T', 'x y')\nprint(T(1, 2))", ""),
    "logging": ("import logging, warnings\nlogging.getLogger(__name__).warning('x')\nwarnings.warn('y')", ""),
    "type_alias": ("type Al = list[K]\nprint(Al.__value__)", "K x", (3, 12)),
    "generic_fn": ("def ge[T: K](a: T) -> T: return x\nprint(ge(1))", "K x", (3, 12)),
}
_OFTEN = re.compile(r"CPU times|Wall time|per loop|function calls|0x[0-9a-f]+|peak memory|Compiler|best of")


def _load_worker(folder):
    package = types.ModuleType("kanoe_worker")
    package.__path__ = [folder]
    sys.modules["kanoe_worker"] = package
    from kanoe_worker.track import frames, reads

    return reads, frames


class _PlainShell:
    """Runs cells where there is no IPython."""

    def __init__(self):
        import __main__

        self.user_ns = vars(__main__)

    def run_cell(self, source):
        """Run one cell as Jupyter would, without its language."""
        import ast
        import traceback

        try:
            tree = ast.parse(source)
            exec(compile(tree, "<cell>", "exec"), self.user_ns)
        except BaseException:
            print(traceback.format_exc().strip().split("\n")[-1])


def _shell():
    try:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config
    except ImportError:
        return None, _PlainShell()
    config = Config()
    config.HistoryAccessor.enabled = False
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    import __main__

    shell = InteractiveShell.instance(config=config, user_module=__main__)
    return shell, shell


def _needed(case):
    """Return the libraries, words and the version that a case needs."""
    more = case[2] if len(case) > 2 else ""
    if isinstance(more, tuple):
        return [], more
    version = re.search(r"\((\d+), (\d+)\)", more)
    return re.sub(r"\(.*\)", "", more).split(), tuple(map(int, version.groups())) if version else (3, 6)


class _World:
    """A stand-in for the worker's state: which definitions a value needs."""

    def __init__(self, reads, namespace):
        self.reads = reads
        self.state = {}
        for name, value in namespace.items():
            if name != "k_":
                self.state["name:" + name] = {"hash": "", "needs": sorted(self._definitions(value, 0))}

    def _definitions(self, value, depth):
        kind = type(value)
        if isinstance(value, type(_load_worker)):
            return self._function(value) if value.__module__ == "__main__" else set()
        if isinstance(value, type):
            return self._class(value) if value.__module__ == "__main__" else set()
        found = set()
        if kind.__module__ == "__main__":
            found = self._class(kind)
        if depth < 3 and kind.__name__ in ("partial",):
            found |= self._definitions(value.func, depth + 1)
        return found

    def _reference(self, kind, value):
        return "def:%s:%s:%x" % (kind, value.__qualname__.replace("<", "").replace(">", ""), id(value))

    def _function(self, value):
        reference = self._reference("function", value)
        if reference in self.state:
            return {reference}
        self.state[reference] = entry = {"hash": "", "needs": []}
        mentions = self.reads.mentions_of_code(value.__code__)
        self._annotated(mentions, value)
        entry["mentions"] = json.loads(json.dumps(mentions.as_dict()))
        needs = set()
        for cell in value.__closure__ or ():
            needs |= self._definitions(cell.cell_contents, 1)
        if hasattr(value, "__wrapped__"):
            needs |= self._definitions(value.__wrapped__, 1)
        entry["needs"] = sorted(needs)
        return {reference}

    def _annotated(self, mentions, value):
        if sys.version_info < (3, 14):
            for text in getattr(value, "__annotations__", {}).values():
                if isinstance(text, str):
                    mentions.read_text(text, True)

    def _class(self, value):
        reference = self._reference("class", value)
        if reference in self.state:
            return {reference}
        self.state[reference] = entry = {"hash": "", "needs": []}
        mentions = self.reads.Mentions()
        self._annotated(mentions, value)
        needs = set()
        for one in value.__bases__ + (type(value),):
            needs |= self._definitions(one, 1)
        for one in vars(value).values():
            one = getattr(one, "__func__", one)
            if isinstance(one, type(_load_worker)):
                mentions.add(self.reads.mentions_of_code(one.__code__))
        entry["mentions"] = mentions.as_dict()
        entry["needs"] = sorted(needs)
        return {reference}


def _run(shell, source):
    """Run a cell; return what it printed."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        shell.run_cell(source)
    return "\n".join(line for line in text.getvalue().split("\n") if not _OFTEN.search(line))


def _in_child(work):
    """Return what `work()` returns in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            try:
                answer = work()
            except BaseException as problem:
                answer = {"problem": repr(problem)}
            with os.fdopen(writing, "w") as file:
                json.dump(answer, file)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        data = file.read()
    os.waitpid(child, 0)
    return json.loads(data) if data else {"problem": "the child died"}


def _judge(reads, frames, ipython, shell, own, cells, limited):
    """Run a case's cells; return what the last printed and what its closure names."""
    namespace = shell.user_ns
    for cell in cells[:-1]:
        _run(shell, cell)
    users = {name: value for name, value in namespace.items() if name not in own and not name.startswith("_i")}
    users.pop("_", None)
    world = _World(reads, users)
    mentions = reads.mentions_of_source(cells[-1], ipython)
    mentions = reads.Mentions.from_dict(json.loads(json.dumps(mentions.as_dict())))
    closure = reads.closure(mentions, world.state)
    named = set(users) if closure.everything else set(closure.names) & set(users)
    watch = frames.Watch(namespace)
    if limited:
        for name in set(users) - named:
            if not name.startswith("_"):
                del namespace[name]
    watch.begin()
    said = _run(shell, cells[-1])
    looked_up, everything = watch.end()
    return {
        "said": said,
        "names": ["*"] if closure.everything else sorted(named),
        "looked_up": ["*"] if everything else sorted(set(looked_up) & set(users)),
    }


def main(folder, only):
    """Run all cases that this interpreter can run."""
    warnings.simplefilter("ignore")
    reads, frames = _load_worker(folder)
    ipython, shell = _shell()
    own = set(shell.user_ns) | {"__builtins__", "exit", "quit", "open"}
    there = {"ipython"} if ipython is not None else set()
    for library in LIBRARIES:
        try:
            __import__(library)
        except ImportError:
            continue
        there.add(library)
    if sys.version_info < (3, 14):
        there.add("annotations")
    there.add("watched")
    setup = SETUP
    if "pandas" in there:
        setup += "import pandas as pd, numpy as np\ndf=pd.DataFrame({'a':[1,2,3]})\n"
    _run(shell, setup)
    answers = []
    for name, case in CASES.items():
        words, version = _needed(case)
        if sys.version_info[:2] < version or not there.issuperset(words) or (only and name not in only):
            continue
        cells = case[0].split(NEXT)
        full, limited = [
            _in_child(lambda limit=limit: _judge(reads, frames, ipython, shell, own, cells, limit))
            for limit in (False, True)
        ]
        answers.append([name, full, limited])
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
