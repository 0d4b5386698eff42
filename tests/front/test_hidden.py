"""Hidden state: what a run from top to bottom cannot repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kanoe.front.hidden import explain_name_error, find_hidden_state, find_missing
from kanoe.ir.notebook import Cell, Notebook


def notebook(*sources: str, counts: Sequence[int | None] = (), tags: Sequence[str] = (), **more: Any) -> Notebook:
    return Notebook(
        tuple(
            Cell(
                id=str(at),
                kind="code",
                source=source,
                execution_count=counts[at] if counts else None,
                metadata={"tags": list(tags)} if at == 0 and tags else {},
                **more,
            )
            for at, source in enumerate(sources)
        )
    )


def missing(*sources: str, **more: Any) -> list[tuple[str, int, int | None]]:
    return [(entry.name, entry.cell, entry.maker) for entry in find_missing(notebook(*sources, **more))]


# what is missed: (name, the cell that reads it, the cell that makes it)
MISSED = {
    ("print(df)", "df = 1"): [("df", 0, 1)],
    ("print(df)",): [("df", 0, None)],
    ("n = n + 1",): [("n", 0, 0)],
    ("x = 1", "del x", "print(x)"): [("x", 2, None)],
    ("print(a)", "print(a)", "a = 1"): [("a", 0, 2)],
    ("class A(Base): pass", "class Base: pass"): [("Base", 0, 1)],
    ("f(1)", "def f(x): return x"): [("f", 0, 1)],
    ("%time y = x", "x = 1"): [("x", 0, 1)],
}

SOUND = [
    ("df = 1", "print(df)"),
    ("def f(): return later", "later = 1", "f()"),
    ("if 'df' in globals(): df", "df = 1"),
    ("try:\n    df\nexcept NameError:\n    df = 1",),
    ("from lib import *", "print(df)", "df = 1"),
    ("exec(open('a.py').read())", "print(df)"),
    ("%run a.py", "print(df)"),
    ("%pylab", "plot(x)"),
    ("x = 1", "del x", "x = 2", "x"),
    ("[y for y in range(3)]", "(lambda z: z)(1)"),
    ("for i in range(3): j = i", "print(i, j)"),
    ("if False: x = 1", "print(x)"),
    ("print(unicode('a'), xrange(3))",),
    ("1", "_ + 1", "Out[1]", "_2", "display(1)"),
    ("import numpy", "numpy.zeros(3)"),
    ("def f():\n    global made\n    made = 1", "f()", "made"),
    ("print 'Python 2'", "x"),
    ("with a_context() if False else open('f') as f: data = f", "data"),
    ("%%bash\necho $x", "1"),
    ("%%capture out\nprint(1)", "out.show()"),
    ("!ls {folder}",),
    ("",),
    (),
]


@pytest.mark.parametrize("sources", MISSED)
def test_a_name_that_is_missed(sources: tuple[str, ...]) -> None:
    assert missing(*sources) == MISSED[sources]


@pytest.mark.parametrize("sources", SOUND)
def test_nothing_is_said_where_it_is_not_sure(sources: tuple[str, ...]) -> None:
    assert missing(*sources) == []


def test_the_authors_own_run_proves_more_than_the_code() -> None:
    """All cells from top to bottom, at once, without an error: whatever gave him the name, it works."""
    assert missing("print(df)", "df = 1", counts=[1, 2]) == []
    assert missing("print(df)", "df = 1", counts=[2, 1]) == [("df", 0, 1)]
    assert missing("print(df)", "df = 1", counts=[5, 6]) == [("df", 0, 1)]
    failed = {"outputs": [{"output_type": "error", "ename": "NameError"}]}
    assert missing("print(df)", "df = 1", counts=[1, 2], **failed) == [("df", 0, 1)]


def test_a_cell_that_is_skipped_makes_nothing() -> None:
    assert missing("x = 1", "print(x)", tags=["skip-execution"]) == [("x", 1, None)]


@pytest.mark.parametrize(
    ("sources", "code", "place", "words"),
    [
        (("1", "print(df)", "df = 1"), "name-later", "nb.ipynb cell 1 line 1", "move it above cell 1"),
        (("a = 1\nprint(df)",), "hidden-state", "nb.ipynb cell 0 line 2", "was deleted or changed"),
        (("x = 1", "del x", "x"), "name-deleted", "nb.ipynb cell 2 line 1", "Cell 1 deletes `x`"),
        (("n = n + 1",), "name-later", "nb.ipynb cell 0 line 1", "ran cell 0 twice"),
    ],
)
def test_a_diagnostic_says_what_where_and_what_next(
    sources: tuple[str, ...], code: str, place: str, words: str
) -> None:
    (found,) = find_hidden_state(notebook(*sources), "nb.ipynb")
    assert (found.code, found.place, str(found.severity)) == (code, place, "warning")
    assert words in str(found.hint)


def test_many_names_are_told_together() -> None:
    found = find_hidden_state(notebook(*(f"print(v{number})" for number in range(30))), "nb.ipynb")
    assert len(found) == 9
    assert "22 more names" in found[-1].message


def test_counts_that_go_back() -> None:
    found = find_hidden_state(notebook("a = 1", "b = 2", "c = 3", counts=[3, 1, 2]), "nb.ipynb")
    assert [(entry.code, str(entry.severity)) for entry in found] == [("order-odd", "info")]
    assert "cell 0 after cell 1" in found[0].message
    assert find_hidden_state(notebook("a = 1", "b = 2", "c = 3", counts=[4, 7, None]), "nb.ipynb") == ()


@pytest.mark.parametrize(
    ("sources", "position", "problem", "words"),
    [
        (("f()", "x = 1"), 0, ("NameError", "name 'x' is not defined"), "Cell 1 makes `x`: move it above cell 0"),
        (("x = 1", "del x", "f()"), 2, ("NameError", "name 'x' is not defined"), "Cell 1 deletes `x`"),
        (("f()",), 0, ("NameError", "name 'x' is not defined"), "No cell makes `x`"),
        (("f()", "x = 1"), 0, ("NameError", "free variable 'x' referenced before assignment"), "Cell 1 makes `x`"),
        (("x = 1", "f()"), 1, ("NameError", "name 'x' is not defined"), None),
        (("from a import *", "f()"), 1, ("NameError", "name 'x' is not defined"), None),
        (("f()",), 0, ("NameError", "name 'unicode' is not defined"), None),
        (("f()", "x = 1"), 0, ("KeyError", "'x'"), None),
        (("f()", "x = 1"), 0, ("NameError", "no name told"), None),
    ],
)
def test_the_hint_of_a_name_error(
    sources: tuple[str, ...], position: int, problem: tuple[str, str], words: str | None
) -> None:
    hint = explain_name_error(notebook(*sources), position, {"ename": problem[0], "evalue": problem[1]})
    assert hint is None if words is None else words in str(hint)
