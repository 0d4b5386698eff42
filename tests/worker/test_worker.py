"""The worker on every interpreter of this machine, oldest to newest: a real environment, a real kernel, the same outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from kanoe.environments.interpreters import find_interpreters

VERSIONS = sorted(
    {interpreter.minor for interpreter in find_interpreters() if interpreter.final and interpreter.minor >= (3, 6)}
)

CELLS = [
    "import sys; print(sys.version_info[:2])",
    "import os, subprocess; print('a'); os.system('echo b'); print('c'); os.write(1, b'd\\n'); subprocess.call(['echo', 'e']); print('f')",
    "import multiprocessing as mp\ndef square(i):\n    return i * i\nwith mp.get_context('fork').Pool(2) as pool:\n    print(pool.map(square, range(3)))",
    "%%capture caught\n!echo shell",
    "print(repr(caught.stdout.strip())); '__file__' in globals(), __name__, [p for p in sys.path if p == '']",
    "handle = display('one', display_id=True)",
    "handle.update('two')",
    "import asyncio\nasync def f():\n    return 'awaited'\nawait f()",
    "1/0",
]


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: f"{version[0]}.{version[1]}")
def test_a_kernel_of_every_age_gives_the_same_outputs(version: tuple[int, int], tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    if version == (3, 6):
        del cells[7:8]  # no top-level await before Python 3.7
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    python = f"{version[0]}.{version[1]}"
    command = [
        sys.executable,
        "-m",
        "kanoe",
        "run",
        str(tmp_path / "n.ipynb"),
        "--python",
        python,
        "--json",
        "--no-html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=300, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert [task["state"] for task in report["tasks"]] == ["SUCCEEDED"] * (len(cells) - 1) + ["FAILED"]
    outputs = [cell.outputs for cell in nbformat.read(Path(report["directory"]) / "notebook.ipynb", 4).cells]
    assert outputs[0][0].text == f"{version}\n"
    assert outputs[1][0].text == "a\nb\nc\nd\ne\nf\n"
    assert outputs[2][0].text == "[0, 1, 4]\n"
    assert outputs[3] == []
    assert outputs[4][0].text == "'shell'\n"
    assert outputs[4][1].data["text/plain"] == "(False, '__main__', [''])"
    assert outputs[5][0].data["text/plain"] == "'two'"
    if version > (3, 6):
        assert outputs[7][0].data["text/plain"] == "'awaited'"
    assert outputs[-1][0].ename == "ZeroDivisionError"
    assert "cell" in report["diagnostics"][-1]["place"]
