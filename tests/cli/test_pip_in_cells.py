"""Cells that install, in real runs: the command lines that no reading finds beforehand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kanoe_command import Folder, kanoe, write_notebook

from environments.registry import Registry, wheel


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry on loopback, before those of the machine."""
    server = Registry()
    server.add("kanoe-trial", "1.0")
    server.add("kanoe-trial", "2.0", "kanoe-beside", uploaded="2020-06-01")
    server.add("kanoe-beside", "1.0")
    known = os.environ.get("UV_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", f"{server.url.replace('//', '//me:s3cr3t@')} {known}".strip())
    yield server
    server.close()


@pytest.mark.slow
def test_a_cell_installs_into_the_run_when_there_is_internet(tmp_path: Path, registry: Registry) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb",
        "name = 'kanoe-' + 'trial'",
        "!pip install -q $name",
        "import importlib\nprint(importlib.import_module(name.replace('-', '_')).version)",
        "import subprocess, sys\nsubprocess.check_call([sys.executable, '-c', 'import ' + 'kanoe_' + 'beside'])",
        "!pip install {name}==2.0; pip list | grep -i kanoe; env",
        "%pip uninstall -y kanoe-trial",
        "!cat /run/kanoe/installs.json",
    )
    done = kanoe("run", path, "--internet", "--no-html")
    assert done.code == 0, done.err
    folder = Folder(done.directory)
    assert folder.text(1) == ""
    assert folder.text(2) == "2.0\n"
    assert folder.text(4).startswith("Requirement already satisfied: kanoe-trial==2.0 in /root/.local/lib/")
    assert "Successfully uninstalled kanoe-trial-2.0" in folder.text(5)
    assert '"internet": true' in folder.text(6)
    assert "s3cr3t" not in (folder.path / "notebook.ipynb").read_text() + done.err
    for environment in (Path(os.environ["KANOE_HOME"]) / "environments").glob("*/lib/*/site-packages"):
        assert not (environment / "kanoe_trial").exists()


@pytest.mark.slow
def test_without_internet_a_cell_goes_on_and_the_line_says_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "input" / "wheels"
    data.mkdir(parents=True)
    (data / "local_one-1.0-py3-none-any.whl").write_bytes(wheel("local-one", "1.0", {"local_one.py": "x = 'here'"}))
    path = write_notebook(
        tmp_path / "n.ipynb",
        "name = 'kanoe-' + 'trial'",
        "!pip install {name}; echo went on with $?",
        "%conda install -y {name}",
        "import os, sys, subprocess\nwhere = '../input/' + 'wheels'",
        "subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', f'{where}/local_one-1.0-py3-none-any.whl'])",
        "print(__import__('local' + '_one').x)",
        "name = 'trait' + 'lets'",
        "!pip install -U {name}",
    )
    done = kanoe("run", path, "--no-html")
    assert done.code == 0, done.err
    folder = Folder(done.directory)
    said = folder.text(1)
    assert "kanoe-trial is not installed, and the run has no internet" in said
    assert "kanoe run n.ipynb --with kanoe-trial" in said
    assert "went on with 1" in said
    assert "kanoe-trial is not installed" in folder.text(2)
    assert folder.text(5) == "here\n"
    assert folder.text(7).startswith("Requirement already satisfied: traitlets in ")
