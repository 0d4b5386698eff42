"""The examples are what they say: whole, without outputs, and the script is the notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat

from kanoe.front.parameters import declared_parameters
from kanoe.front.paths import find_paths
from kanoe.front.read import read_source

TITANIC = Path(__file__).parents[2] / "examples" / "titanic"


def test_the_folder_means_the_exploration():
    source = read_source(TITANIC)
    assert source.path == TITANIC / "exploration.ipynb"
    assert source.metadata.competition_sources == ("titanic",)
    assert not source.diagnostics


def test_the_exploration_is_a_valid_notebook_without_outputs():
    nbformat.validate(nbformat.read(TITANIC / "exploration.ipynb", as_version=nbformat.NO_CONVERT))
    notebook = read_source(TITANIC).notebook
    assert not any(cell.outputs for cell in notebook.cells)
    assert [str(parameter) for parameter in declared_parameters(notebook)] == [
        "SEED (int)",
        "N_FOLDS (int)",
        "N_ESTIMATORS (int)",
    ]
    assert [use.path for use in find_paths(notebook)] == ["/kaggle/input/train.csv", "/kaggle/input/test.csv"]
    assert all((TITANIC / "input" / "titanic" / Path(use.path).name).is_file() for use in find_paths(notebook))


def test_the_script_is_the_same_program():
    script = read_source(TITANIC / "script.py")
    assert script.kind == "percent"
    cells = [(cell.kind, cell.source, cell.tags) for cell in script.notebook.cells]
    assert cells == [(cell.kind, cell.source, cell.tags) for cell in read_source(TITANIC).notebook.cells]
