"""What a cell may look up, as found before it runs: never too little, rarely too much."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import ClassVar

import pytest
from kanoe_worker.track import bytecode, magics, reads

import kanoe.worker
from kanoe.environments.interpreters import find_interpreters
from worker import namespace_cases

FOLDER = str(Path(kanoe.worker.__file__).parent)
CASES = str(Path(namespace_cases.__file__))
# More interpreters, with libraries, for those who have them: paths, divided by colons.
MORE = [python for python in os.environ.get("KANOE_CASE_PYTHONS", "").split(":") if python]
INTERPRETERS = [sys.executable, *MORE] + [
    str(interpreter.path) for interpreter in find_interpreters() if interpreter.final and interpreter.minor >= (3, 6)
]


@pytest.mark.slow
@pytest.mark.parametrize("python", sorted(set(INTERPRETERS)))
def test_cases_hold_with_the_names_of_the_closure_alone(python: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, CASES, FOLDER], capture_output=True, text=True, cwd=tmp_path, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.strip().rpartition("\n")[2])
    assert len(answers) > 90
    wrong = []
    for name, full, limited in answers:
        case = namespace_cases.CASES[name]
        assert "problem" not in full, name
        assert "problem" not in limited, name
        if set(full["names"]) != set(case[1].split()):
            wrong.append((name, "names", full["names"], "not", case[1]))
        if "watched" in str(case[2:]):
            # Found only while it runs; a name that is not there then makes the cell run again with all.
            missing = set(full["looked_up"]) - set(full["names"])
            if not missing or not ({"*"} | missing) & set(limited["looked_up"]):
                wrong.append((name, "watched", full["looked_up"], limited["looked_up"]))
        elif full["said"] != limited["said"]:
            wrong.append((name, "said", full["said"], limited["said"]))
    assert not wrong


PRECISE = {
    "df = f(); df.head()": "f",
    "import pandas as pd\ndf = pd.read_csv('a')\ndf['x'] = df.y": "",
    "a, (b, *c) = 1, (2, 3)\nprint(a, b, c)": "print",
    "x: int = 1\nx": "int",
    "x: int": "int",
    "for i, (a, b) in pairs: a, i\nelse: b": "pairs b",
    "[x for x in y if x for z in x]": "y",
    "[x for x in x]": "x",
    "{k: v for k, v in items}": "items",
    "lambda a, *b, c=d, **e: (a, b, c, e, f)": "d f",
    "try:\n    import a\nexcept ImportError as e:\n    a = None; e\na": "ImportError",
    "try:\n    a = 1\nexcept Exception:\n    raise\na": "Exception",
    "if a: raise b\nelse: c = 1\nc": "a b",
    "while a:\n    b = 1\nb": "a b",
    "while True:\n    b = 1\n    if b: break\nb": "",
    "while 1:\n    if a: break\n    b = 1\nb": "a b",
    "for a in b:\n    if a: continue\n    c = 1\nc": "b c",
    "with open(a) as b: c = 1\nc, b": "open a",
    "with a: b = 1\nb": "a b",
    "with a.b(c) as d: e = 1\ne": "a c e",
    "with torch.no_grad(): e = 1\ne": "torch",
    "with np.errstate(all='ignore') as a, b: e = 1\ne": "np b e",
    "assert a, b\nc": "a b c",
    "del a\na": "a",
    "a += 1": "a",
    "a.b += c": "a c",
    "a[b] = c": "a b c",
    "a if b else c": "a b c",
    "a and (b := 1)\nb": "a b",
    "(b := a) and c\nb": "a c",
    "1 < (a := 2) < (b := 3)\na, b": "b",
    "def f(a, b=c, *d, e: g = h, **i) -> j:\n    k": "c g h j",
    "def f():\n    return a\nf()\na = 1": "a",
    "def f():\n    return a\na = 1\nf()": "",
    "def f():\n    global a\n    a = 1\nf()\na": "a",
    "def f():\n    return g()\ndef g():\n    return a\nf()": "a",
    "def f():\n    return f() + a\nf()": "a",
    "f = lambda a: a + b": "",
    "f = lambda a: a + b\nf(1)": "b",
    "g = (lambda a: a + b,)": "b",
    "class A:\n    b = c\n    def m(self): return d\n": "c __name__",
    "class A:\n    b = c\n    def m(self): return d\nA()": "c d __name__",
    "class A:\n    b = 1\n    e = b\n    if b: f = 2\n    g = f": "f __name__",
    "class A(B):\n    x = property(lambda self: self.y)\n    def m(self): return d": "B property __name__",
    "@property\ndef f(): return a": "property",
    "@f\ndef g(): return a": "f a",
    "import f\n@f.g(b)\ndef g(): return a": "a b",
    "from a import *\nb": "b",
    "import a.b, c.d as e\na, e, c": "c",
    "print(f'{a!r:>{b}} {c=}')": "print a b c",
    "'a b c'\n'''d'''": "",
    "async def f(): return a\nawait f()": "a",
    "async with a as b: pass\nasync for c in b: c": "a",
    "globals()['a']": "globals a",
    "globals()['a'] = b\na": "globals b",
    "'a' in globals() or 'b' not in locals()": "globals locals a b",
    "eval('a + b')": "eval a b",
    "exec('a = 1')\na": "exec",
    "print(vars(a), dir(b))": "print vars dir a b",
    "if __name__ == '__main__': a": "__name__ a",
    "%time a = b\n%matplotlib inline\na": "get_ipython b",
    "%%time\na = b\na": "get_ipython b",
    "%%timeit -n 10 a = b\na + c": "get_ipython b c",
    "%%bash -s $a\necho $b": "get_ipython a",
    "!ls {a} $b ${c} {d.e[f]}": "get_ipython a b c d e f",
    "x = !ls\nx": "get_ipython",
    "%pip install $a": "get_ipython a",
    "a?": "get_ipython a",
    "from __main__ import a as b\nb": "a",
    "x = (": "",
    "): x": "",
    "": "",
    "\x00": "",
    "# only\n": "",
}


@pytest.mark.parametrize("source", sorted(PRECISE))
def test_names_needed(source: str) -> None:
    mentions = reads.mentions_of_source(source)
    assert mentions.needs == set(PRECISE[source].split())
    assert not mentions.everything
    assert "*" not in mentions.binds or "import *" in source or "%" in source


@pytest.mark.parametrize(
    "source",
    [
        "import __main__",
        "import sys\nsys.modules[name]",
        "sys.modules['__main__']",
        "for m in sys.modules.values(): m",
        "from __main__ import *",
        "sys._getframe(1)",
        "from sys import _getframe\n_getframe()",
        "inspect.stack()",
        "def f(): return inspect.currentframe().f_back\nf()",
        "def f(): return f.__globals__\nf()",
        "get_ipython().user_ns['a']",
        "ip = get_ipython()\nip.run_line_magic(a, b)",
        "get_ipython().run_line_magic(a, 'b')",
        "%who",
        "%run -i a.py",
        "%run a.ipynb",
        "%%unknown\nx",
        "%unknown",
        "%reset -f",
        "%rerun 1-3",
        "%edit 1",
        "import gc\ngc.get_objects()",
        "import doctest\ndoctest.testmod()",
        "import unittest\nunittest.main(argv=[''], exit=False)",
        "from unittest import main\nmain()",
        "import builtins\nbuiltins.eval(a)",
        "import dill\ndill.dump_session('a')",
        "import ipytest\nipytest.run()",
    ],
)
def test_what_may_look_at_all_names_does(source: str) -> None:
    mentions = reads.mentions_of_source(source)
    assert mentions.everything


@pytest.mark.parametrize(
    ("source", "looker"),
    [
        ("globals()", "globals"),
        ("locals()", "locals"),
        ("vars()", "vars"),
        ("v = vars", "vars"),
        ("dir()", "dir"),
        ("eval(a)", "eval"),
        ("exec(a, b)", "exec"),
        ("df.a.apply(eval)", "eval"),
        ("def f(): return globals()\nf()", "globals"),
        ("(lambda: eval(a))()", "eval"),
    ],
)
def test_a_builtin_that_looks_at_all_names_does_unless_it_is_a_variable(source: str, looker: str) -> None:
    mentions = reads.mentions_of_source(source)
    assert mentions.lookers == {looker}
    assert reads.closure(mentions, {}).everything
    assert not reads.closure(mentions, {"name:" + looker: {"needs": []}}).everything
    unknown = {"name:" + looker: {"needs": ["def:function:x:1"]}}
    assert reads.closure(mentions, unknown).everything


def test_a_definition_alone_reads_nothing_of_what_it_will_use() -> None:
    mentions = reads.mentions_of_source("def f():\n    return globals()['x'] + y\n")
    assert (mentions.needs, mentions.everything, mentions.lookers) == (set(), False, set())
    assert reads.closure(mentions, {"name:y": {}}).names == set()


def test_results_are_counted() -> None:
    assert reads.mentions_of_source("_3 + Out[5]").results == {3, 5}
    assert reads.mentions_of_source("_ + 1").results is None
    assert reads.mentions_of_source("Out").results is None
    assert reads.mentions_of_source("for _ in a: _").results == set()
    assert reads.mentions_of_source("def f(): return _7\nf()").results == {7}


@pytest.mark.parametrize(
    "source",
    [
        "In[1]",
        "_i3",
        "print(_i)",
        "list(_ih)",
        "%history -n",
        "%save f 1-3",
        "%recall 2",
        "%macro m 1",
        "%load 1-3",
        "get_ipython().history_manager.input_hist_raw",
        "def f(): return In[-2]\nf()",
        "get_ipython().extract_input_lines('1')",
    ],
)
def test_the_text_of_earlier_cells_is_read(source: str) -> None:
    mentions = reads.mentions_of_source(source)
    assert mentions.history
    assert reads.closure(mentions, {}).history
    assert reads.Mentions.from_dict(mentions.as_dict()).history


def test_other_cells_do_not_read_the_text_of_earlier_ones() -> None:
    for source in ("x = In_1", "for In in a: In", "model.history", "%load f.py", "def f(): return In", "_1", "i3"):
        assert not reads.closure(reads.mentions_of_source(source), {}).history, source
    state = {"name:f": {"needs": ["def:function:f:1"]}, "def:function:f:1": {"mentions": {"history": True}}}
    assert reads.closure(reads.mentions_of_source("f()"), state).history


def test_the_name_of_a_macro_may_read_anything() -> None:
    state = {"name:m": {"type": "IPython.core.macro.Macro"}}
    assert reads.closure(reads.mentions_of_source("m"), state).everything


def test_results_by_every_name() -> None:
    for source in ("_", "__", "___", "_oh", "Out", "Out[n]", "Out.values()", "def f(): return _\nf()"):
        mentions = reads.mentions_of_source(source)
        assert mentions.results is None, source
        assert source[:3] == "def" or source.partition("[")[0].partition(".")[0] in mentions.needs
    assert "_" in reads.mentions_of_source("def f(): return _\nf()").needs
    for source in ("for _ in a: pass", "_, b = a", "_ = 1\nprint(_)", "f(lambda _: _)", "[_ for _ in a]", "_x, _1x"):
        assert reads.mentions_of_source(source).results == set(), source


def test_storing_attributes_is_noticed() -> None:
    for source in (
        "a.b = 1",
        "a.b += 1",
        "del a.b",
        "setattr(a, 'b', 1)",
        "def f(): a.b = 1\nf()",
        "a.__dict__['b'] = 1",
    ):
        assert reads.mentions_of_source(source).setattrs, source
    for source in ("a = 1", "a.b", "a['b'] = 1", "def f(): a.b = 1"):
        assert not reads.mentions_of_source(source).setattrs, source


@pytest.mark.parametrize(
    ("source", "strings"),
    [
        ("df.query('a < @b')", {"a", "b"}),
        ("how = 'a < @b'", {"b"}),
        ("q = 'select x from df'", {"select", "x", "df"}),
        ("print('train shape')", set()),
        ("ols('y ~ C(x)', df)", {"y", "C", "x"}),
        ("def f(): return ne.evaluate('a*2')\nf()", {"a"}),
        ("x: 'K' = 1", {"K"}),
    ],
)
def test_strings_that_a_library_may_look_up(source: str, strings: set[str]) -> None:
    assert reads.mentions_of_source(source).strings - {"from"} == strings


def test_json_form_is_whole() -> None:
    source = "a = eval(b)\n_3\nx.y = '@z w'\n@q\nclass C(D):\n    def m(self): return k\ndel b"
    mentions = reads.mentions_of_source(source)
    record = json.loads(json.dumps(mentions.as_dict()))
    again = reads.Mentions.from_dict(record)
    assert again.as_dict() == mentions.as_dict() == record
    assert reads.Mentions().as_dict() == {}


def test_closure_follows_definitions() -> None:
    def mention(*needs: str) -> dict[str, object]:
        return {"needs": list(needs)}

    state = {
        "name:f": {"needs": ["def:function:f:1"]},
        "def:function:f:1": {"needs": ["def:class:K:2"], "mentions": mention("g", "print")},
        "def:class:K:2": {"needs": [], "mentions": mention("CONST")},
        "name:g": {"needs": ["def:function:g:3"]},
        "def:function:g:3": {"needs": ["def:function:f:1"], "mentions": mention("g", "y")},
        "name:K": {"needs": ["def:class:K:2"]},
        "name:other": {"needs": ["def:function:other:4"]},
        "def:function:other:4": {"needs": [], "mentions": {"everything": True}},
        "out:3": {"needs": ["def:function:other:4"]},
        "name:y": {},
    }
    closure = reads.closure(reads.mentions_of_source("f()"), state)
    assert closure.names == {"f", "g", "print", "CONST", "K", "y"}
    assert closure.definitions == {"def:function:f:1", "def:class:K:2", "def:function:g:3"}
    assert not closure.everything
    assert reads.closure(reads.mentions_of_source("_3"), state).everything
    assert reads.closure(reads.mentions_of_source("other"), state).everything
    assert not reads.closure(reads.mentions_of_source("x = 1"), state).everything


def test_names_looked_up_while_a_cell_runs_reach_as_far() -> None:
    state = {
        "name:Model": {"needs": ["def:class:Model:1"]},
        "def:class:Model:1": {"mentions": {"needs": ["helper"]}},
        "name:helper": {"needs": ["def:function:helper:2"]},
        "def:function:helper:2": {"mentions": {}},
        "name:other": {},
    }
    closure = reads.closure_of_names(["Model", "absent"], state)
    assert closure.names == {"Model", "absent", "helper"}
    assert closure.definitions == {"def:class:Model:1", "def:function:helper:2"}
    assert not reads.closure_of_names([], state).names


def test_a_definition_that_nothing_is_known_of_may_read_everything() -> None:
    state = {"name:f": {"needs": ["def:function:f:1"]}, "def:function:f:1": {"needs": []}}
    assert reads.closure(reads.mentions_of_source("f"), state).everything


def test_what_the_process_holds_counts_for_every_cell() -> None:
    state = {
        "effect:patches": {"needs": ["def:function:mine:1"]},
        "def:function:mine:1": {"needs": [], "mentions": {"needs": ["x"]}},
        "name:x": {},
    }
    assert reads.closure(reads.mentions_of_source("1"), state).names == {"x"}


def test_words_count_where_a_library_may_look_at_any() -> None:
    mentions = reads.mentions_of_source("t = 'df'")
    assert reads.closure(mentions, {"name:df": {}}).names == set()
    assert reads.closure(mentions, {"name:df": {}}, words=True).names == {"df"}


def test_code_of_functions_with_more_names_than_a_byte_holds() -> None:
    body = "".join(f"    v{number} = g{number}\n" for number in range(700))
    namespace: dict[str, object] = {}
    exec("def f():\n" + body, namespace)
    found = bytecode.mentions_of_code(namespace["f"].__code__)  # type: ignore[attr-defined]
    assert found.needs == {f"g{number}" for number in range(700)}


def test_nested_code_counts_and_local_names_do_not() -> None:
    def outer(a):
        b = a

        def inner(c):
            return [ABSENT_ONE + b + c + d for d in (lambda: ABSENT_TWO)()]  # noqa: F821, PLC3002

        class Inner:
            e = ABSENT_THREE  # noqa: F821
            f = e

        return inner, Inner, a.attribute

    assert bytecode.mentions_of_code(outer.__code__).needs - {"__name__"} == {
        "ABSENT_ONE",
        "ABSENT_TWO",
        "ABSENT_THREE",
    }


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "+".join(["y"] * 20_000),
        "x = " + "[" * 150 + "y" + "]" * 150,
        "x = y" + ".a" * 3000,
        "x = " + "-" * 900 + "y",
        "if y: pass\n" + "".join(f"elif y == {number}: pass\n" for number in range(600)),
        "f(" * 60 + "y" + ")" * 60,
        "'" + "x" * (1 << 21) + "'\ny",
        "".join(f"def f{number}(): return f{number - 1}() + y\n" for number in range(1, 400)) + "f399()",
    ],
    ids=range(8),
)
def test_strange_code_is_read_or_counts_as_everything(source: str) -> None:
    mentions = reads.mentions_of_source(source)
    assert mentions.everything or "y" in mentions.needs


def test_no_warning_of_the_code_is_shown_or_forgotten() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = warnings.filters.copy()
        reads.mentions_of_source("x = '\\d'; y is 1\ndef f(): return '\\d' is 1\n%time '\\d'")
        assert warnings.filters == before
    assert seen == []


class _Shell:
    """As much of IPython's shell as is asked."""

    ast_transformers: tuple[object, ...] = ()

    class input_transformer_manager:  # noqa: N801
        cleanup_transforms: tuple[object, ...] = ()
        line_transforms: tuple[object, ...] = ()
        token_transformers: tuple[object, ...] = ()

    def transform_cell(self, source: str) -> str:
        raise RuntimeError("a transformer broke")

    def find_magic(self, name: str, kind: str) -> object:
        return self.find_magic if name == "time" else None


class _Jupyter(_Shell):
    """A shell with magics, asked before any name is there."""

    class input_transformer_manager(_Shell.input_transformer_manager):  # noqa: N801
        @staticmethod
        def transform_cell(source: str) -> str:
            return source

    def find_magic(self, name: str, kind: str = "line") -> object:
        known = ("load", "run", "history", "cd", "time", "who", "macro")
        return type("magic", (), {"__module__": "IPython.core"})() if name in known else None


@pytest.mark.parametrize(
    ("source", "needs", "otherwise"),
    [
        ('load("b")', "load", "history"),
        ("run(x, y)", "run x y", "everything"),
        ("history", "history", "history"),
        ("who", "who", "everything"),
        ("cd data", "cd", ""),
        ("time x = heavy(y)", "time", ""),
        ("%%time\nrun(1)", "run get_ipython", "everything"),
        ("%time run(1)", "run get_ipython", "everything"),
        ("sql select 1", "sql", "everything"),
    ],
)
def test_a_word_that_may_be_a_magic_is_needed(source: str, needs: str, otherwise: str) -> None:
    mentions = reads.mentions_of_source(source, _Jupyter())
    assert mentions.needs == set(needs.split())
    assert not mentions.everything
    assert not mentions.history
    again = reads.Mentions.from_dict(json.loads(json.dumps(mentions.as_dict())))
    for one in (mentions, again):
        closure = reads.closure(one, {})
        assert [kind for kind in ("everything", "history") if getattr(closure, kind)] == otherwise.split()
        closure = reads.closure(one, {f"name:{name}": {} for name in needs.split()})
        assert not closure.everything
        assert not closure.history


def test_what_a_line_does_as_a_magic_counts_too() -> None:
    mentions = reads.mentions_of_source("time x = heavy(y)", _Jupyter())
    assert reads.closure(mentions, {}).names >= {"heavy", "y"}
    assert "x" in mentions.binds


def test_lines_that_are_no_magic_without_a_sign() -> None:
    for source in ("run = 1", "run == 1", "run.x", "run\nrun", "running", "x = run", "run, x = 1, 2", "return"):
        assert not reads.mentions_of_source(source, _Jupyter()).otherwise, source


def test_a_shell_that_changes_code_in_its_own_way_is_unknown() -> None:
    shell = _Shell()
    assert not reads.mentions_of_source("x\ny", shell).everything
    assert reads.mentions_of_source("%time x\ny", shell).everything  # the notebook's own magic
    shell.ast_transformers = (object(),)
    assert not magics.is_plain(shell)
    mentions = reads.mentions_of_source("x\ny", shell)
    assert mentions.everything
    assert mentions.needs == {"x", "y"}


def test_a_transformer_that_breaks_leaves_nothing_read() -> None:
    mentions = reads.mentions_of_source("x = (", _Shell())
    assert not mentions.everything
    assert mentions.needs == set()


def test_random_programs_read_no_less_than_they_look_up() -> None:
    for seed in range(300):
        _check_program(random.Random(seed))


class _TooLongError(BaseException):
    """A program that calls itself without end."""


def _check_program(dice: random.Random) -> None:
    """Run a random program with names there or not; whatever it looks up of what was there before must be needed."""
    source = "\n".join(_statement(dice, 0) for _ in range(dice.randint(1, 7)))
    looked_up: set[str] = set()

    class Names(dict):  # type: ignore[type-arg]
        mine: ClassVar[set[str]] = set()
        left = 2000

        def __getitem__(self, name):
            Names.left -= 1
            if Names.left < 0:
                raise _TooLongError
            if name in "abcdef" and name not in Names.mine:
                looked_up.add(name)
            return dict.__getitem__(self, name)

        def __setitem__(self, name, value):
            Names.mine.add(name)
            dict.__setitem__(self, name, value)

        def __delitem__(self, name):
            if name not in Names.mine:
                looked_up.add(name)
            Names.mine.add(name)
            dict.__delitem__(self, name)

    names = Names({name: dice.choice([0, 1, 2]) for name in "abcdef" if dice.random() < 0.8})
    Names.mine = set()
    names["__builtins__"] = {"range": range, "Exception": Exception, "NameError": NameError, "print": print}
    mentions = reads.mentions_of_source(source)
    with contextlib.suppress(Exception, _TooLongError):  # a name that is not there, a number that is called
        exec(compile(source, "<program>", "exec"), names)
    assert looked_up <= mentions.needs, (source, looked_up - mentions.needs)


def _statement(dice: random.Random, depth: int) -> str:
    pad = "    " * depth
    name = dice.choice("abcdef")
    plain = [
        lambda: f"{pad}{name} = {_expression(dice)}",
        lambda: f"{pad}{name} = {_expression(dice)}",
        lambda: f"{pad}{name} += {_expression(dice)}",
        lambda: f"{pad}{_expression(dice)}",
        lambda: f"{pad}del {name}",
        lambda: f"{pad}{name} = lambda: {_expression(dice)}",
        lambda: (
            f"{pad}def {name}({dice.choice(['', 'a=1', 'b=' + dice.choice('abc')])}):\n{pad}    return {_expression(dice)}"
        ),
    ]

    def block() -> str:
        return "\n".join(_statement(dice, depth + 1) for _ in range(dice.randint(1, 2)))

    test = _expression(dice)
    leave = dice.choice(["break", "continue", "pass"])
    kind = dice.choice(["Exception", "NameError"])
    nested = [
        lambda: f"{pad}if {test}:\n{block()}\n{pad}else:\n{block()}",
        lambda: f"{pad}if {test}:\n{block()}",
        lambda: (
            f"{pad}for {name} in range(2):\n{block()}\n{pad}    if {test}: {leave}\n{block()}\n{pad}else:\n{block()}"
        ),
        lambda: f"{pad}for {name} in range(0):\n{block()}",
        lambda: f"{pad}while True:\n{block()}\n{pad}    break",
        lambda: (
            f"{pad}try:\n{block()}\n{pad}except {kind}:\n{block()}\n{pad}else:\n{block()}\n{pad}finally:\n{block()}"
        ),
        lambda: f"{pad}try:\n{block()}\n{pad}except Exception as {name}:\n{block()}",
        lambda: (
            f"{pad}class {name}:\n{pad}    a = {_expression(dice)}\n{pad}    b = a\n{pad}    def c(self): return {_expression(dice)}"
        ),
    ]
    return dice.choice(plain if depth == 3 or dice.random() < 0.4 else nested)()


def _expression(dice: random.Random) -> str:
    one, two, three = (dice.choice("abcdef") for _ in range(3))
    return dice.choice(
        [
            "1",
            "0",
            one,
            one,
            f"{one}()",
            f"({one} + {two})",
            f"({one} and {two})",
            f"({one} if {two} else {three})",
            f"[{one} for {two} in range(2)]",
            f"[{one} for {two} in range(1) if {three}]",
            f"({one} := {two})" if sys.version_info >= (3, 8) else one,
            f"({one} or ({two} := 1))",
            f"[(w := {two}) for x in range(2)]",  # its name is stored unseen
        ]
    )
