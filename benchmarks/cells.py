"""20 and 200 trivial cells, and the titanic example: `kanoe run` against nbclient and papermill, all on one environment.

Run it with `.venv/bin/python benchmarks/cells.py [RUNS]`; it needs the dependency group `benchmark`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from measure import compare, table

ROOT = Path(__file__).parent.parent
PEER = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, kernel_name="bench").execute()
nbformat.write(notebook, sys.argv[2])
"""


def trivial(folder: Path, count: int) -> Path:
    """Write a notebook of `count` cells that do next to nothing."""
    cells = [nbformat.v4.new_code_cell(f"x = {number}\nprint(x)") for number in range(count)]
    path = folder / f"cells{count}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def environment_of(notebook: Path, variables: dict[str, str]) -> Path:
    """Let Kanoe build the notebook's environment and return it: the peers run in the same one."""
    command = [sys.executable, "-m", "kanoe", "run", str(notebook), "--no-html", "-q"]
    directory = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **variables}
    ).stdout.strip()
    return Path(json.loads((Path(directory) / "run.json").read_text())["environment"]["path"])


def peers(notebook: Path, environment: Path, folder: Path, cwd: Path, store: dict[str, str]):
    """The commands to compare."""
    kernel = folder / f"jupyter-{notebook.stem}" / "kernels" / "bench"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [str(environment / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bench", "language": "python"}))
    jupyter = {"JUPYTER_PATH": str(kernel.parent.parent)}
    out = str(folder / "out.ipynb")
    return {
        "nbclient": ([sys.executable, "-c", PEER, str(notebook), out], cwd, jupyter),
        "papermill": (
            [sys.executable, "-m", "papermill", "-k", "bench", str(notebook), out, "--no-progress-bar"],
            cwd,
            jupyter,
        ),
        "kanoe, no page": ([sys.executable, "-m", "kanoe", "run", str(notebook), "--no-html"], cwd, store),
        "kanoe": ([sys.executable, "-m", "kanoe", "run", str(notebook)], cwd, store),
    }


def main() -> None:
    """Print the tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = {"KANOE_HOME": str(folder / "store")}
        for count in (20, 200):
            notebook = trivial(folder, count)
            environment = environment_of(notebook, store)
            table(f"{count} trivial cells", compare(peers(notebook, environment, folder, folder, store), runs))
        example = ROOT / "examples" / "titanic"
        notebook = example / "exploration.ipynb"
        environment = environment_of(notebook, store)
        working = folder / "working"
        working.mkdir()
        (folder / "input").symlink_to(example / "input" / "titanic")
        table("examples/titanic", compare(peers(notebook, environment, folder, working, store), max(1, runs // 2)))


if __name__ == "__main__":
    main()
