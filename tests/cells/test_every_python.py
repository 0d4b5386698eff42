"""Running by cell in every Python that is there: cells are watched, reused, restored, and the answer is a fresh run's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kanoe
from kanoe.environments.interpreters import find_interpreters
from pairs import PairCell, notebook_of

MINORS = sorted({one.short for one in find_interpreters() if one.final}, key=lambda short: int(short.split(".")[1]))
# The others are so like one of these that every now and then is enough.
OFTEN = ("3.6", "3.10")
SOURCES = (
    "import collections, random, typing, warnings\nNumbers = typing.List[int]\nPoint = collections.namedtuple('Point', 'x y')",
    "class Scale:\n    def __init__(self, by):\n        self.by = by\n    def __call__(self, rows: Numbers):\n        return [self.by * row for row in rows]\n",
    "def counter():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n        return n\n    return count\ncount = counter(); scale = Scale(3); rows = [count()]",
    "n = %d",
    "rows.append(n)\nwarnings.simplefilter('ignore')",
    "print(scale(rows), count(), Point(n, 1), random.random() < 2, file=open('told', 'w'))",
    "print(open('told').read())",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "minor", [minor if minor in OFTEN else pytest.param(minor, marks=pytest.mark.thorough) for minor in MINORS]
)
def test_an_edit_is_answered_as_by_a_fresh_run(minor: str, tmp_path: Path) -> None:
    path = tmp_path / "notebook.ipynb"
    states = []
    for n in (1, 2):
        cells = [PairCell("", source % n if "%" in source else source, id=f"c{p}") for p, source in enumerate(SOURCES)]
        path.write_text(json.dumps(notebook_of(cells)))
        report = kanoe.run(path, html=False, cells=True, python=minor, verify=n == 2)
        assert report.succeeded, report.diagnostics
        assert "cells-unwatched" not in {diagnostic.code for diagnostic in report.diagnostics}
        states.append([task.state for task in report.tasks])
    assert states[1] == ["CACHED"] * 3 + ["SUCCEEDED"] * 4
    assert report.as_dict()["verification"]["equal"] is True
