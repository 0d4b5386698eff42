"""`kanoe doctor` and `kanoe env diff`, by the real command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import kanoe, write_notebook

import kanoe as library
from kanoe.sandbox.gpu import Gpu, GpuSearch


def checkup(path: Path, *options: object, **env: str) -> tuple[int, dict[str, Any]]:
    done = kanoe("doctor", path, "--json", *options, env=env)
    assert done.out.count("\n") == 1
    return done.code, json.loads(done.out)


def test_a_fine_notebook(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "train.csv").write_text("a\n1\n")
    path = write_notebook(tmp_path / "n.ipynb", "import attr\nopen('../input/train.csv').read()")
    before = set(Path(os.environ["KANOE_HOME"], "environments").glob("*"))
    done = kanoe("doctor", path)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "n.ipynb"
    assert lines[-1] == "a run can start"
    assert all(line.startswith("✓ ") for line in lines[1:-1])
    assert [line.split()[1] for line in lines[1:-1]] == [
        "cells", "data", "environment", "side", "programs", "secrets", "GPU", "internet"
    ]  # fmt: skip
    assert "Python 3." in done.out
    built = set(Path(os.environ["KANOE_HOME"], "environments").glob("*")) - before
    assert all(one.name in ("interpreters", "choices") for one in built)


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb",
        "import attr\nopen('../input/train.csv')",
        "for x in range(3",
        "from kaggle_secrets import UserSecretsClient\nUserSecretsClient().get_secret('key')",
        "import requests\nrequests.get('http://x')\n!7z x a.7z",
    )
    code, found = checkup(path)
    assert code == 0
    codes = {one["code"]: one for one in found["diagnostics"]}
    assert {"cell-syntax", "input-unprovided", "secret-missing", "internet-off"} <= set(codes)
    assert codes["cell-syntax"]["place"] == "n.ipynb cell 1 line 1"
    assert codes["internet-off"]["severity"] == "info"
    states = {one["name"]: one["state"] for one in found["findings"]}
    assert states["cells"] == states["data"] == states["secrets"] == "warning"
    assert states["environment"] == states["internet"] == "ok"
    assert "internet-off" not in {one["code"] for one in checkup(path, "--internet")[1]["diagnostics"]}


@pytest.mark.parametrize(
    ("cell", "options", "code", "diagnostic"),
    [
        ("import attr", ("--with", "attrs<20", "--with", "attrs>22"), 2, "requirements-unsolvable"),
        ("import attr", ("--input", "nothing.zip"), 2, "input-missing"),
        ("import attr", ("--python", "2.7"), 2, "python-version"),
    ],
)
def test_the_exit_code_is_that_of_the_run(
    tmp_path: Path, cell: str, options: tuple[str, ...], code: int, diagnostic: str
) -> None:
    path = write_notebook(tmp_path / "n.ipynb", cell)
    status, found = checkup(path, *options)
    assert (status, found["exit_code"]) == (code, code)
    assert diagnostic in {one["code"] for one in found["diagnostics"]}
    assert len(found["findings"]) == 8, "trouble with one part does not hide the others"


def test_a_source_that_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text(f'[url "file://{tmp_path}/nowhere/"]\n    insteadOf = https://github.com/\n')
    path = write_notebook(tmp_path / "n.ipynb", "from learntools.core import binder")
    env = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "KANOE_HOME": str(tmp_path / "home")}
    status, found = checkup(path, **env)
    assert status == 3
    (wrong,) = [one for one in found["diagnostics"] if one["severity"] == "error"]
    assert (wrong["code"], wrong["place"]) == ("source-unreachable", "imported by cell 0")
    ran = kanoe("run", path, "--json", env=env)
    assert (ran.code, ran.problem()["code"]) == (3, "source-unreachable")
    shown = kanoe("doctor", path, env=env)
    assert shown.out.splitlines()[-1] == "a run would not start: 1 error"


def test_what_is_no_notebook(tmp_path: Path) -> None:
    done = kanoe("doctor", tmp_path / "nothing.ipynb", "--json")
    assert (done.code, done.problem()["code"]) == (2, "source-missing")


@pytest.mark.parametrize("option", [("--input", "data.zip"), ("--python", "3.8"), ("--internet",), ("--with", "attrs")])
def test_options_of_a_notebook_need_one(option: tuple[str, ...]) -> None:
    done = kanoe("doctor", *option, "--json")
    assert (done.code, done.problem()["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("there", "code", "severity"),
    [(True, "gpu-off", "info"), (False, "gpu-missing", "warning")],
    ids=["with", "without"],
)
def test_a_notebook_that_wants_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, code: str, severity: str
) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "x = []", "x.append('cuda:0')")
    found = (
        GpuSearch(Gpu("nvidia", ("x",), None, ())) if there else GpuSearch(None, "its driver is broken", "`mend it`")
    )
    monkeypatch.setattr("kanoe.verbs.doctor.look_for_gpu", lambda: found)
    (told,) = [one for one in library.doctor(path).diagnostics if one.code.startswith("gpu")]
    assert (told.code, told.severity, told.place) == (code, severity, "n.ipynb cell 1 line 1")
    assert told.hint == ("`--gpu`" if there else "`mend it`")


# env diff


@pytest.mark.slow
def test_environments_of_notebooks_locks_and_runs(tmp_path: Path) -> None:
    first = write_notebook(tmp_path / "a.ipynb", "import attr")
    second = write_notebook(tmp_path / "b.ipynb", "import attr")
    (tmp_path / "made").mkdir()
    old = tmp_path / "made" / "old.lock"
    assert kanoe("env", "lock", first, "-o", old, "--with", "attrs<25").code == 0
    assert kanoe("run", first, "--no-html").code == 0

    same = kanoe("env", "diff", first, second)
    assert same.code == 0
    assert same.out.splitlines()[-1].startswith("no difference: ")

    other = json.loads(kanoe("env", "diff", old, "last", "--json").out)
    (change,) = other["distributions"]
    assert change["name"] == "attrs"
    assert change["before"].startswith("24.")
    assert other["settings"] == []
    text = kanoe("env", "diff", old, second).out
    assert f"attrs  {change['before']} → {change['after']}" in text
    assert "1 distributions differ" in text
    found = library.env_diff(old, first)
    assert [one.as_dict() for one in found.distributions] == other["distributions"]


def test_day_and_python_of_locks(tmp_path: Path) -> None:
    head = 'kanoe-lock = 1\npython = "{}"\nplatform = "linux-x86_64"\n{}'
    (tmp_path / "a.lock").write_text(head.format("3.6", 'as-of = "2018-04-10"\n'))
    (tmp_path / "b.lock").write_text(head.format("3.11", ""))
    found = json.loads(kanoe("env", "diff", tmp_path / "a.lock", tmp_path / "b.lock", "--json").out)
    assert {one["name"]: (one["before"], one["after"]) for one in found["settings"]} == {
        "Python": ("3.6", "3.11"),
        "day": ("2018-04-10", None),
    }


@pytest.mark.parametrize(
    ("reference", "code"),
    [("nothing.ipynb", "source-missing"), ("no-such-run", "run-unknown"), ("broken.lock", "lock-broken")],
)
def test_what_is_no_environment(tmp_path: Path, reference: str, code: str) -> None:
    (tmp_path / "broken.lock").write_text("no lock")
    (tmp_path / "a.lock").write_text('kanoe-lock = 1\npython = "3.11"\nplatform = "x"\n')
    done = kanoe("env", "diff", "a.lock", reference, "--json", cwd=tmp_path)
    assert (done.code, done.problem()["code"]) == (2, code)
