"""From what a person types to a source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kanoe.base.errors import ExitCode, InputError
from kanoe.front.read import read_source

NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}},
        "cells": [
            {"cell_type": "code", "id": "a", "metadata": {}, "source": "x = 1", "outputs": [], "execution_count": None}
        ],
    }
)


def refused(reference):
    with pytest.raises(InputError) as caught:
        read_source(reference)
    assert caught.value.exit_code is ExitCode.WRONG_INPUT
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint
    return diagnostic


@pytest.fixture
def folder(tmp_path):
    return tmp_path


# Files


@pytest.mark.parametrize(
    "name",
    [
        "a.ipynb",
        "A.IPYNB",
        "with blank.ipynb",
        'it\'s "quoted".ipynb',
        "prénom 漢 🙂.ipynb",
        "-p.ipynb",
        "x.y.z.ipynb",
        ".hidden.ipynb",
    ],
)
def test_notebooks_of_any_name(folder, name):
    (folder / name).write_text(NOTEBOOK)
    source = read_source(folder / name)
    assert (source.kind, source.path, source.folder) == ("notebook", folder / name, folder)
    assert source.notebook.cells[0].source == "x = 1"
    assert read_source(str(folder / name)) == source


def test_scripts(folder):
    (folder / "a.py").write_text("x = 1\n")
    (folder / "b.py").write_text("# %%\nx = 1\n# %% [markdown]\n# t\n")
    assert read_source(folder / "a.py").kind == "script"
    percent = read_source(folder / "b.py")
    assert percent.kind == "percent"
    assert len(percent.notebook.cells) == 2


def test_paths_are_absolute_and_links_of_folders_followed(folder, monkeypatch):
    (folder / "real" / "deep").mkdir(parents=True)
    (folder / "real" / "deep" / "a.ipynb").write_text(NOTEBOOK)
    (folder / "link").symlink_to("real/deep")
    (folder / "b.ipynb").symlink_to("real/deep/a.ipynb")
    monkeypatch.chdir(folder / "real")
    assert read_source("deep/../../link/a.ipynb").path == folder / "real" / "deep" / "a.ipynb"
    assert read_source("../b.ipynb").path == folder / "b.ipynb"
    monkeypatch.chdir(folder / "real" / "deep")
    for here in (".", "./", "../deep", Path()):
        assert read_source(here).path == folder / "real" / "deep" / "a.ipynb"
    monkeypatch.setenv("HOME", str(folder))
    assert read_source("~/b.ipynb").path == folder / "b.ipynb"


def test_metadata_beside_a_file(folder):
    (folder / "a.ipynb").write_text(NOTEBOOK)
    (folder / "kernel-metadata.json").write_text('{"competition_sources": ["titanic"]}')
    assert read_source(folder / "a.ipynb").metadata.competition_sources == ("titanic",)
    (folder / "kernel-metadata.json").write_text('{"code_file": "b.ipynb"}')
    assert read_source(folder / "a.ipynb").metadata is None


# Folders


def test_a_folder_means_its_code_file(folder):
    (folder / "a.ipynb").write_text(NOTEBOOK)
    (folder / "b.py").write_text("y = 2")
    (folder / "kernel-metadata.json").write_text('{"code_file": "b.py", "enable_internet": "true"}')
    source = read_source(folder)
    assert source.path == folder / "b.py"
    assert source.metadata.enable_internet is True


def test_a_code_file_may_be_given_by_its_whole_path_and_lie_elsewhere(folder):
    (folder / "sub").mkdir()
    (folder / "a.ipynb").write_text(NOTEBOOK)
    for code_file in ("../a.ipynb", str(folder / "a.ipynb")):
        (folder / "sub" / "kernel-metadata.json").write_text(json.dumps({"code_file": code_file}))
        assert read_source(folder / "sub").path == folder / "a.ipynb"
        assert read_source(folder / "sub").metadata is not None


def test_a_folder_with_one_program(folder):
    (folder / "a.ipynb").write_text(NOTEBOOK)
    for other in (
        "__init__.py",
        "setup.py",
        "conftest.py",
        "test_a.py",
        ".b.ipynb",
        "data.csv",
        "kernel-metadata.json",
    ):
        (folder / other).write_text("{}")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "folder.py").mkdir()
    assert read_source(folder).path == folder / "a.ipynb"


def test_a_folder_with_several_programs(folder):
    for name in ("b.ipynb", "a.ipynb", "c.py"):
        (folder / name).write_text(NOTEBOOK)
    diagnostic = refused(folder)
    assert diagnostic.code == "source-ambiguous"
    assert "`a.ipynb`, `b.ipynb`, `c.py`" in diagnostic.message
    assert "a.ipynb" in diagnostic.hint
    for number in range(20):
        (folder / f"n{number}.ipynb").write_text(NOTEBOOK)
    assert "and 13 more" in refused(folder).message


def test_a_folder_with_nothing_to_run(folder):
    assert refused(folder).code == "source-kind"
    (folder / "x.ipynb").mkdir()
    assert refused(folder / "x.ipynb").code == "source-kind"


def test_a_code_file_that_is_not_there(folder):
    (folder / "titanic.ipynb").write_text(NOTEBOOK)
    (folder / "kernel-metadata.json").write_text('{"code_file": "titnic.ipynb"}')
    diagnostic = refused(folder)
    assert diagnostic.code == "source-missing"
    assert "Did you mean `titanic.ipynb`?" in diagnostic.hint
    (folder / "kernel-metadata.json").write_text('{"code_file": "quite-other.py"}')
    assert "Correct `code_file`" in refused(folder).hint
    (folder / "kernel-metadata.json").write_text('{"code_file": "."}')
    assert refused(folder).code == "metadata-broken"
    (folder / "kernel-metadata.json").write_text('{"code_file": "x.Rmd"}')
    (folder / "x.Rmd").write_text("x")
    assert refused(folder).code == "notebook-language"


# What is refused


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("a.R", "notebook-language", "written in R"),
        ("a.Rmd", "notebook-language", "R Markdown"),
        ("a.irnb", "notebook-language", "written in R"),
        ("a.jl", "notebook-language", "Julia"),
        ("a.yaml", "source-kind", "is no notebook"),
        ("a.yml", "source-kind", "is no notebook"),
        ("train.csv", "source-kind", "is data"),
        ("a.html", "source-kind", "is a page"),
        ("a.zip", "source-kind", "archive"),
        ("a.xyz", "source-kind", "ends in `.xyz`"),
        ("Makefile", "source-kind", "no ending"),
        ("kernel-metadata.json", "source-kind", "describes a notebook"),
        ("other.json", "source-kind", "is data"),
    ],
)
def test_other_kinds_of_file(folder, name, code, words):
    (folder / name).write_text("x")
    diagnostic = refused(folder / name)
    assert diagnostic.code == code
    assert words in diagnostic.message


def test_pipelines_come_later(folder):
    (folder / "a.yaml").write_text("x")
    assert "come later" in refused(folder / "a.yaml").hint


@pytest.mark.parametrize(("name", "code"), [("a.ipynb", "source-empty"), ("a.py", "source-empty")])
@pytest.mark.parametrize("content", ["", " \n\t\n", "\n" * 5000])
def test_empty_files(folder, name, code, content):
    (folder / name).write_text(content)
    assert refused(folder / name).code == code


def test_missing_files_and_what_was_perhaps_meant(folder, monkeypatch):
    (folder / "exploration.ipynb").write_text(NOTEBOOK)
    diagnostic = refused(folder / "exploratoin.ipynb")
    assert diagnostic.code == "source-missing"
    assert f"Did you mean `{folder / 'exploration.ipynb'}`?" in diagnostic.hint
    monkeypatch.chdir(folder)
    assert "Did you mean `exploration.ipynb`?" in refused("Exploration.ipynb").hint
    assert "Did you mean" not in refused("something-else.ipynb").hint
    assert "does not exist either" in refused("nowhere/a.ipynb").hint
    for odd in ("", "a\0b.ipynb", "x" * 5000, "exploration.ipynb/b.ipynb", "~nobody-of-that-name/a.ipynb"):
        assert refused(odd).code == "source-missing"


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("https://www.kaggle.com/code/alice/titanic-eda", "source-kind"),
        ("www.kaggle.com/alice/titanic-eda", "source-kind"),
        ("s3://bucket/a.ipynb", "source-kind"),
        ("alice/titanic-eda", "source-missing"),
        ("alice/titanic-eda/3", "source-missing"),
    ],
)
def test_references_to_kaggle(folder, monkeypatch, reference, code):
    monkeypatch.chdir(folder)
    diagnostic = refused(reference)
    assert diagnostic.code == code
    assert "fetching from Kaggle is not there yet" in diagnostic.message
    assert "kaggle kernels pull" in diagnostic.hint


def test_a_folder_before_a_reference(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "alice").mkdir()
    assert "Kaggle" not in refused("alice/titanic-eda").message
    (folder / "alice" / "titanic-eda").mkdir()
    (folder / "alice" / "titanic-eda" / "a.ipynb").write_text(NOTEBOOK)
    assert read_source("alice/titanic-eda").name == "a"


def test_links_that_lead_nowhere(folder):
    (folder / "a.ipynb").symlink_to("b.ipynb")
    assert refused(folder / "a.ipynb").code == "source-missing"
    (folder / "b.ipynb").symlink_to("a.ipynb")
    assert refused(folder / "a.ipynb").code == "source-unreadable"


def test_what_is_no_file_is_not_waited_for(folder):
    os.mkfifo(folder / "a.ipynb")
    assert refused(folder / "a.ipynb").code == "source-kind"


def test_a_file_that_the_disk_does_not_give(folder):
    (folder / "a.ipynb").symlink_to("/proc/self/mem")
    assert refused(folder / "a.ipynb").code == "source-unreadable"


def test_no_permission(tmp_path_factory):
    # Root may read everything: as root, another user asks.
    folder = Path(tmp_path_factory.mktemp("secret"))
    for name in ("a.ipynb", "a.py"):
        (folder / name).write_text(NOTEBOOK)
        (folder / name).chmod(0)
    program = (
        "import os, sys\n"
        "from kanoe.front.read import read_source\n"
        "from kanoe.base.errors import InputError\n"
        "os.chdir(sys.argv[1])\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "for name in ('a.ipynb', 'a.py'):\n"
        "    try: read_source(name)\n"
        "    except InputError as fault: print(fault.diagnostics[0].code)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["source-unreadable", "source-unreadable"]


def test_nothing_is_executed(folder):
    (folder / "a.py").write_text("# %% tags=['parameters']\nimport pathlib\npathlib.Path('ran').touch()\n")
    (folder / "a.py").chmod(0o755)
    read_source(folder / "a.py")
    assert not (folder / "ran").exists()
