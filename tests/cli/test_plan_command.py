"""`kanoe plan` and `kanoe explain` at the command line, of a notebook that never ran here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kanoe_command import PYTHON_KERNEL, Done, kanoe

STEP = ["id", "name", "cells", "needs", "reads", "writes", "state", "reason", "seconds", "predicted", "replayed"]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write(tmp_path, "import math", "x = math.pi", "", "y = x * 2", "print(x)")


def write(folder: Path, *sources: str, **more: Any) -> Path:
    cells = [nbformat.v4.new_code_cell(source, id=f"c{at}") for at, source in enumerate(sources)]
    path = folder / "nb.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=PYTHON_KERNEL), path)
    return path


def call(folder: Path, *arguments: object, **variables: str | None) -> Done:
    return kanoe(*arguments, env={"KANOE_HOME": str(folder / "store"), **variables})


def test_the_object_of_a_plan(notebook: Path, tmp_path: Path) -> None:
    done = call(tmp_path, "plan", notebook, "--json")
    plan = json.loads(done.out)
    assert (done.code, done.out.count("\n")) == (0, 1)
    assert [list(step) for step in plan["steps"]] == [STEP] * 4
    assert [step["cells"] for step in plan["steps"]] == [[0], [1], [3], [4]]
    assert [step["needs"] for step in plan["steps"]] == [[], ["c0"], ["c1"], ["c1"]]
    assert [step["state"] for step in plan["steps"]] == ["miss"] * 4
    assert (plan["steps"][1]["reads"], plan["steps"][1]["writes"]) == (["math"], ["x"])
    assert plan["predicted"] is True
    assert plan["skipped"] == [{"id": "c2", "name": "cell 2", "cells": [2], "reason": "it is blank"}]
    assert call(tmp_path, "plan", notebook, "--format", "json").out == done.out


def test_the_screen_of_a_plan(notebook: Path, tmp_path: Path) -> None:
    done = call(tmp_path, "plan", notebook, "--graph", PYTHONIOENCODING="utf-8")
    lines = done.out.splitlines()
    assert lines[0] == "nb.ipynb never ran here: 4 cells would run; what reads what is guessed from the code"
    assert [line[:3].rstrip() for line in lines[1:]] == ["●", "●", "├─●", "●"]
    assert "it needs cell 1" in lines[3]
    assert done.err == ""


def test_ascii_where_nothing_else_is_shown(notebook: Path, tmp_path: Path) -> None:
    done = call(tmp_path, "plan", notebook, "--graph", PYTHONIOENCODING="ascii")
    assert [line[:3].rstrip() for line in done.out.splitlines()[1:]] == ["*", "*", "+-*", "*"]


@pytest.mark.parametrize(("name", "first"), [("mermaid", "flowchart TD"), ("dot", "digraph plan {")])
def test_graphs_for_other_programs(name: str, first: str, notebook: Path, tmp_path: Path) -> None:
    done = call(tmp_path, "plan", notebook, "--format", name)
    assert (done.code, done.out.splitlines()[0]) == (0, first)


def test_hidden_state_is_told_before_a_run(tmp_path: Path) -> None:
    path = write(tmp_path, "print(later)", "later = 1")
    done = call(tmp_path, "plan", path)
    assert "warning (nb.ipynb cell 0 line 1): `later` is read here, and made only below, in cell 1" in done.err
    assert "move it above cell 0" in done.err
    (remark,) = json.loads(call(tmp_path, "plan", path, "--json").out)["diagnostics"]
    assert remark["code"] == "name-later"


def test_a_cell_that_never_ran_is_explained_from_its_code(notebook: Path, tmp_path: Path) -> None:
    lines = call(tmp_path, "explain", notebook, "1").out.splitlines()
    assert lines == [
        "nb.ipynb cell 1: x = math.pi",
        "it never ran here",
        "reads    math  from cell 0",
        "writes   x  read by cells 3, 4",
        "This is what its code says; a run finds out the rest.",
    ]
    told = json.loads(call(tmp_path, "explain", notebook, "c1", "--json").out)
    assert (told["id"], told["state"], told["predicted"]) == ("c1", "never ran", True)
    assert told["reads"] == [{"name": "math", "type": "", "cell": 0, "readers": [], "changes": [], "deleted": False}]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "nb.ipynb", "99"], "cell-unknown"),
        (["explain", "missing.ipynb", "0"], "source-missing"),
        (["plan", "missing.ipynb"], "source-missing"),
        (["plan", "nb.ipynb", "--refresh", "nothing"], "cell-unknown"),
        (["plan", "nb.ipynb", "-p", "x"], "parameter-value"),
        (["plan", "nb.ipynb", "--memory", "much"], "option-value"),
        (["plan", "nb.ipynb", "--format", "svg"], "usage"),
        (["explain", "nb.ipynb"], "usage"),
    ],
)
def test_bad_input_is_a_diagnostic(arguments: list[str], code: str, notebook: Path, tmp_path: Path) -> None:
    words = [str(tmp_path / word) if word.endswith(".ipynb") else word for word in arguments]
    done = call(tmp_path, *words, "--json")
    assert done.code == 2
    assert json.loads(done.out)["diagnostics"][0]["code"] == code


def test_nothing_is_left_beside_the_notebook(notebook: Path, tmp_path: Path) -> None:
    call(tmp_path, "plan", notebook)
    call(tmp_path, "explain", notebook, "0")
    assert sorted(os.listdir(tmp_path)) in (["nb.ipynb"], ["nb.ipynb", "store"])


def test_a_title_gives_the_terminal_no_command(tmp_path: Path) -> None:
    path = write(tmp_path, "x = '\x1b]0;owned\x07\x1b[31m'")
    for arguments in (["plan", path, "--graph"], ["explain", path, "0"], ["plan", path, "--format", "mermaid"]):
        assert "\x1b" not in call(tmp_path, *arguments).out


def test_a_notebook_without_cells(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    assert call(tmp_path, "plan", path, "--graph").out == "nb.ipynb: there is nothing to run\n"
    assert json.loads(call(tmp_path, "plan", path, "--json").out)["steps"] == []
