"""Imports are tried as they stand, on every interpreter of this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kanoe.back.worker_folder import worker_folder
from kanoe.environments.interpreters import find_interpreters

INTERPRETERS = {interpreter.short: interpreter for interpreter in find_interpreters() if interpreter.final}


def answers(folder: Path, python: Path, *imports: str) -> list[Any]:
    configuration = {"imports": imports, "answers": str(folder / "answers"), "log": str(folder / "log")}
    (folder / "worker.json").write_text(json.dumps(configuration))
    command = [str(python), str(worker_folder(folder)), str(folder / "worker.json")]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env={"PYTHONPATH": str(folder)})
    assert done.stdout == b""
    return [json.loads(line) for line in (folder / "answers").read_text().splitlines()]


@pytest.mark.parametrize("version", sorted(INTERPRETERS))
def test_failures_say_what_and_where(version: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("print('loud')\nimport nowhere.at_all\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    found = answers(
        tmp_path,
        INTERPRETERS[version].path,
        "import json",
        "from os import path, gone",
        "import broken",
        "import leaves",
        "import sys",
    )
    assert found[::2] == [0, 1, 2, 3, 4]
    assert (found[1], found[9]) == (None, None)
    assert (found[3]["ename"], found[3]["file"]) == ("ImportError", "<import>")
    assert "gone" in found[3]["evalue"]
    assert (found[5]["ename"], Path(found[5]["file"]).name) == ("ModuleNotFoundError", "broken.py")
    assert "nowhere" in found[5]["evalue"]
    assert found[7]["ename"] == "SystemExit"


def test_an_import_that_ends_the_process_is_the_last(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text("import os\nos._exit(9)\n")
    python = next(iter(INTERPRETERS.values())).path
    assert answers(tmp_path, python, "import json", "import dies", "import sys") == [0, None, 1]
