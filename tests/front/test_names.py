"""The names that cells read, make and change, found in their code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.front.names import is_known, names_of, predict_names

# code -> (what it surely needs, what it may look up, what it may make)
CELLS = {
    "x = 1": ("", "", "x"),
    "y = x": ("x", "x", "y"),
    "x = x + 1": ("x", "x", "x"),
    "x += 1": ("x", "x", "x"),
    "df = load(); df.head()": ("load", "load", "df"),
    "for i in rows: s = i": ("rows", "rows", "i s"),
    "if a: b = c": ("a", "a c", "b"),
    "if a:\n    b = 1\nelse:\n    b = 2\nb": ("a", "a", "b"),
    "if a:\n    b = 1\nb": ("a", "a b", "b"),
    "try:\n    x\nexcept NameError:\n    x = 1\nx": ("", "NameError x", "x"),
    "with open(p) as f: t = f.read()": ("open p", "open p", "f t"),
    "a and b": ("a", "a b", ""),
    "a if b else c": ("b", "a b c", ""),
    "[i for i in rows if i in seen]": ("rows", "rows seen", ""),
    "def f(a, b=c):\n    return a + d": ("c", "c", "f"),
    "f = lambda a: a + d": ("", "d", "f"),
    "@wrap\ndef f(): pass": ("wrap", "wrap", "f"),
    "class A(B):\n    c = d": ("B", "B", "A"),
    "import a.b, c as d": ("", "", "a d"),
    "from a import b as c": ("", "", "c"),
    "del x": ("x", "x", ""),
    "(n := f())": ("f", "f", "n"),
    "x.y = 1": ("x", "x", ""),
    "x[i] = 1": ("x i", "x i", ""),
    "a, (b, *c) = t": ("t", "t", "a b c"),
    "x: int = 1": ("", "int", "x"),
    "match p:\n    case {'a': q, **r}: pass": ("p", "p", "q r"),
    "%matplotlib inline\n%time z = f(y)": ("f y", "f y", "z"),
    "%%time\nz = f(y)": ("f y", "f y", "z"),
    "!ls {folder} $HERE": ("", "folder HERE", ""),
    "%%capture out\nz = 1": ("", "", "out z"),
    "files = !ls": ("", "", "files"),
    "async with a as b: pass": ("a", "a", "b"),
    "while w: v = 1": ("w", "w", "v"),
    "def f():\n    global g\n    g = 1": ("", "", "f g"),
    "raise SystemExit\nx": ("SystemExit", "SystemExit x", ""),
    "": ("", "", ""),
}


@pytest.mark.parametrize("source", CELLS)
def test_the_names_of_a_cell(source: str) -> None:
    needs, uses, binds = (set(words.split()) for words in CELLS[source])
    found = names_of(source)
    assert (set(found.needs), found.uses, found.binds, found.opaque) == (needs, uses, binds, False)


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("x.append(1)", "x"),
        ("df.drop('a', inplace=True)", "df"),
        ("df.loc[0, 'a'] = 1", "df"),
        ("model.fit(x, y)", "model"),
        ("history = model.fit(x, y)", "model"),
        ("df.head()", ""),
        ("b = df.copy()", ""),
        ("print(x)", ""),
        ("x += [1]", "x"),
        ("del d['a']", "d"),
    ],
)
def test_what_a_cell_changes(source: str, changed: str) -> None:
    assert names_of(source).changes == set(changed.split())


@pytest.mark.parametrize(
    "source",
    [
        "from os import *",
        "exec(code)",
        "%run other.ipynb",
        "%unheard_of x",
        "print 'old'",
        "globals()['a'] = 1",
        "x = (",
    ],
)
def test_what_may_make_any_name(source: str) -> None:
    assert names_of(source).opaque


def test_where_a_name_is_needed() -> None:
    assert names_of("a = 1\n\nb = a + c").needs == {"c": 3}


def test_code_that_is_nested_too_deep() -> None:
    assert names_of("x = " + "-" * 20000 + "1").opaque
    assert names_of("x" + ".a" * 20000).opaque


@given(st.text(alphabet=st.sampled_from("ab =():\n%!,.x[]{}'defif lambda"), max_size=40))
def test_any_text_has_names(text: str) -> None:
    names_of(text)


def predicted(*sources: str) -> list[tuple[str, str]]:
    found = predict_names([names_of(source) for source in sources])
    return [(" ".join(sorted(names.reads)), " ".join(sorted(names.writes))) for names in found]


def test_a_graph_is_predicted() -> None:
    assert predicted("import pandas as pd", "df = pd.read_csv('a')", "df.dropna(inplace=True)", "df.describe()") == [
        ("", "pd"),
        ("pd", "df"),
        ("df", "df"),
        ("df", ""),
    ]


def test_a_function_reads_what_it_looks_up_when_it_is_called() -> None:
    assert predicted("N = 1", "def f(): return g()", "def g(): return N", "h = f()")[3] == ("N f g", "h")


def test_a_function_that_is_defined_anew_reads_something_else() -> None:
    assert predicted("N = M = 1", "def f(): return N", "def f(): return M", "f()")[3] == ("M f", "")


def test_a_function_that_sets_a_global_writes_it_where_it_is_called() -> None:
    assert predicted("n = 0", "def up():\n    global n\n    n += 1", "up()")[2] == ("n up", "n")


def test_a_call_of_a_module_changes_no_module() -> None:
    assert predicted("import random", "random.seed(1)")[1] == ("random", "")


@pytest.mark.parametrize(
    "name", ["print", "_", "__", "_3", "_i", "In", "Out", "display", "get_ipython", "unicode", "__name__"]
)
def test_names_that_are_there_by_themselves(name: str) -> None:
    assert is_known(name)


def test_other_names_are_not() -> None:
    assert not is_known("df")
    assert not is_known("_private")
