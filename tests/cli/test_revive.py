"""Notebooks that fail in the first environment and run in another, with real environments."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from kanoe_command import kanoe, write_notebook

from kanoe.back.run_folder import RunFolder, make_directory
from kanoe.base.errors import UnavailableError
from kanoe.base.secrets import Secrets
from kanoe.base.stop import Stop
from kanoe.environments.interpreters import find_interpreters
from kanoe.front.read import read_source
from kanoe.sandbox.confine import Tool
from kanoe.sandbox.limits import ResourceLimits
from kanoe.store.home import open_store
from kanoe.store.records import Records
from kanoe.verbs.cells import Watched
from kanoe.verbs.environment import EnvironmentOptions, ignore
from kanoe.verbs.revive import Revival
from kanoe.verbs.run import RunOptions, _Job, _run_cells
from kanoe.verbs.sandbox import Data
from worlds import session_plan

OLD = Path(__file__).parents[2] / "examples" / "old"
PYTHONS = {interpreter.minor for interpreter in find_interpreters()}
near_2018 = pytest.mark.skipif(not PYTHONS & {(3, 6), (3, 7)}, reason="no Python near 2018 is on this machine")

# A table's method by a name that no reading of the code can find.
HIDDEN = "import pandas as pd\ntable = pd.DataFrame({'a': [1]})"


def states(report) -> list[tuple[str, int]]:
    return [(task["state"], task["attempts"]) for task in report["tasks"]]


@pytest.mark.slow
def test_what_a_library_asks_for_is_brought(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "sheet.ipynb", HIDDEN, "getattr(table, 'to_' + 'excel')('x.xlsx')\nprint('written')"
    )
    done = kanoe("run", path, "--json", "--no-html")
    assert (done.code, states(done.report)) == (0, [("SUCCEEDED", 2)] * 2)
    (found,) = [entry for entry in done.report["diagnostics"] if entry["code"] == "revived"]
    assert "openpyxl" in found["message"]
    assert "`kanoe env lock sheet.ipynb --with openpyxl`" in found["hint"]
    assert [artifact["name"] for artifact in done.report["artifacts"]] == ["x.xlsx"]
    assert "try 2: with openpyxl" in done.err
    folder = Path(done.report["directory"])
    assert nbformat.read(folder / "attempts/1/notebook.ipynb", 4).cells[1].outputs[0].ename == "ModuleNotFoundError"
    # It is remembered: nothing fails the next time, and the lock holds it.
    done = kanoe("run", path, "--json", "--no-html")
    assert (done.code, states(done.report)) == (0, [("SUCCEEDED", 1)] * 2)
    assert "openpyxl" in kanoe("env", "show", path).out


@pytest.mark.slow
def test_nothing_else_is_tried_where_the_user_says_so(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "sheet.ipynb", HIDDEN, "getattr(table, 'to_' + 'excel')('y.xlsx')")
    done = kanoe("run", path, "--json", "--no-html", "--no-revive")
    assert (done.code, states(done.report)) == (1, [("SUCCEEDED", 1), ("FAILED", 1)])
    assert "`kanoe run sheet.ipynb --with openpyxl`" in done.problem()["hint"]


@pytest.mark.slow
def test_a_library_of_another_age_is_tried(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "append.ipynb", HIDDEN, "table = getattr(table, 'app' + 'end')(table)\nlen(table)")
    done = kanoe("run", path, "--json", "--no-html", "--as-of", "2024-02-01", "--python", "3.10", "--revive")
    assert done.code == 0, done.err
    assert states(done.report) == [("SUCCEEDED", 2)] * 2
    lock = (Path(done.report["directory"]) / "kanoe.lock").read_text()
    assert 'name = "pandas"\nversion = "1.' in lock


def test_an_error_of_the_notebooks_own_is_not_tried_again(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "own.ipynb", "print(undefined)", "1")
    done = kanoe("run", path, "--json", "--no-html", "--revive")
    assert (done.code, states(done.report)) == (1, [("FAILED", 1), ("SKIPPED", 0)])
    assert not (Path(done.report["directory"]) / "attempts").exists()


def test_a_kernel_that_does_not_start_ends_the_run_only_in_the_first_environment(tmp_path: Path) -> None:
    source = read_source(write_notebook(tmp_path / "x.ipynb", "1"))
    store, stop = open_store(), Stop()
    folder = RunFolder("x", source, make_directory(tmp_path / "out"), Records(store.records), ignore)
    watched = Watched(session_plan(tmp_path, Tool("none"), python=Path("/bin/false")), memory=None)
    revival = Revival(source, EnvironmentOptions(), store, ignore, stop)
    options = RunOptions(secrets=Secrets({}))
    job = _Job(source, options, store, folder, Data((), ()), ResourceLimits(), None, stop)
    with pytest.raises(UnavailableError):
        _run_cells(job, watched, revival)
    revival.number = 2
    failure = _run_cells(job, watched, revival)
    assert failure is not None
    assert failure.cell == -1
    assert str(failure).startswith("the start: the notebook's process ended at its start")
    folder.finish(None, page=False)


@pytest.mark.slow
@near_2018
def test_the_old_example_runs_and_is_reproduced(tmp_path: Path) -> None:
    done = kanoe("run", OLD, "--json", "--no-html")
    assert done.code == 0, done.err
    assert {task["state"] for task in done.report["tasks"]} == {"SUCCEEDED"}
    facts = json.loads((Path(done.report["directory"]) / "run.json").read_text())
    assert facts["environment"]["as_of"][:4] == "2017"
    assert "Python 3.6.3 in the metadata" in facts["environment"]["evidence"]
    # Drawings are those of the releases that stand nearest in the registry of the day; numbers are the same.
    found = done.report["reproduction"]
    assert (found["outputs"], found["exact"] + found["within"] >= 8) == (10, True), found["summary"]


@pytest.mark.slow
@near_2018
def test_the_old_example_tells_its_age_by_its_code_alone(tmp_path: Path) -> None:
    notebook = nbformat.read(OLD / "survivors.ipynb", 4)
    notebook.metadata = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, tmp_path / "bare.ipynb")
    done = kanoe("run", tmp_path / "bare.ipynb", "--input", OLD / "input" / "titanic", "--json", "--no-html")
    assert done.code == 0, done.err


@near_2018
def test_it_fails_in_an_environment_of_today() -> None:
    """The example is old indeed: without an inferred day its first cell fails, and the hint says what to do."""
    done = kanoe("run", OLD, "--json", "--no-html", "--python", "3.11", "--as-of", "2026-01-01")
    assert (done.code, done.states[0]) == (1, "FAILED")
    assert "sklearn.cross_validation" in done.problem()["message"]
    assert "--as-of 20" in done.problem()["hint"]
