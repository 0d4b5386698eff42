"""What watching cells costs, and what it saves: `kanoe run` by cell against nbclient, papermill, jupyter-cache and marimo.

    python benchmarks/cells.py [first | again] [--runs N] [--only TEXT] [--folder DIR]

`first`: CPU seconds of a first run over a plain nbclient run in the same environment: the titanic example, a frame of a million rows
with strings through ten cells, a hot loop of pure Python with builtins, and what a trivial cell adds.
`again`: the titanic example run again: unchanged, and with an edit of the last cell, of a plotting cell in the middle, and of the
first cell that makes features. Needs the dependency group `benchmark`; a peer that cannot do the job is listed with why.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from measure import Cost, measure

EXAMPLE = Path(__file__).parent.parent / "examples" / "titanic"
KANOE = (sys.executable, "-m", "kanoe", "run", "--cells")
NBCLIENT = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, kernel_name="bench").execute()
nbformat.write(notebook, sys.argv[1] + ".out")
"""
JUPYTER_CACHE = """
import sys
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
cache = get_cache(sys.argv[1] + ".cache")
cache.add_nb_to_project(sys.argv[1])
result = load_executor("local-serial", cache=cache).run_and_cache(timeout=None)
sys.exit(f"errored: {result.errored}, {result.excepted}" if result.errored or result.excepted else 0)
"""
MARIMO = """
import subprocess, sys
marimo = [sys.executable, "-m", "marimo", "-y"]
subprocess.run([*marimo, "convert", sys.argv[1], "-o", "converted.py"], check=True, stdout=subprocess.DEVNULL)
subprocess.run([*marimo, "export", "html", "converted.py", "-o", "out.html", "-f"], check=True)
"""
FRAME = (
    (
        "import numpy as np, pandas as pd\nrng = np.random.default_rng(0)\nn = 1_000_000\n"
        "words = np.array(['w%05d' % i for i in range(20000)], dtype=object)\n"
        "df = pd.DataFrame({'key': words[rng.integers(0, 20000, n)], 'city': ['city %d' % (i % 997) for i in range(n)],\n"
        "                   'a': rng.normal(size=n), 'b': rng.integers(0, 100, n)})\n"
        "df['id'] = df.index.map(lambda i: 'row-%d' % i)"
    ),
    "df['c'] = df['a'] * df['b']\nprint(df['c'].sum())",
    "df['upper'] = df['key'].str.upper()\nprint(df['upper'].nunique())",
    "by = df.groupby('city')['a'].mean()\nprint(by.head())",
    "short = df[df['b'] < 50]\nprint(len(short))",
    "df = df.rename(columns={'a': 'alpha'})\nprint(df.columns.tolist())",
    "df['len'] = df['id'].str.len()\nprint(df['len'].max())",
    "merged = df.merge(by.rename('mean').reset_index(), on='city')\nprint(merged.shape)",
    "print(df.describe())",
    "df.loc[df['b'] == 0, 'key'] = 'none'\nprint((df['key'] == 'none').sum())",
    "top = df.sort_values('alpha').head(1000)\nprint(top['id'].iloc[0])",
)
LOOP = (
    "def collatz(n):\n    steps = 0\n    while n != 1:\n        n = 3 * n + 1 if n % 2 else n // 2\n        steps += 1\n    return steps",
    "best = max(range(1, 150_000), key=collatz)\nprint(best)",
    "total = 0\nfor i in range(6_000_000):\n    total += abs(i % 7 - 3) + len(str(i)) + min(i, 5)\nprint(total)",
)
EDITS = {
    # Which cell, and what is added to it; the number makes each edit another.
    "last": ("submission", "\nprint({number})"),
    "plot": ("fares", "\nplt.figure(figsize=(1, 1))\nplt.title('{number}')\nplt.show()"),
    "feature": ("titles", "\neveryone.loc[everyone['Fare'] > 500, 'Fare'] += {number} / 100"),
}


@dataclass(frozen=True)
class Case:
    """A notebook in a folder of its own, with what it reads, and the environment that Kanoe made for it."""

    name: str
    notebook: Any
    inputs: Path | None
    environment: Path
    lock: Path
    home: Path

    def place(self, folder: Path, notebook: Any | None = None) -> Path:
        """Write the notebook into a folder that looks like Kaggle's to those who know no other."""
        working = folder / "working"
        working.mkdir(parents=True, exist_ok=True)
        if self.inputs is not None and not (folder / "input").exists():
            (folder / "input").symlink_to(self.inputs)
        path = working / "notebook.ipynb"
        nbformat.write(self.notebook if notebook is None else notebook, path)
        return path


def notebook_of(sources: Sequence[str]) -> Any:
    """Return a notebook of code cells."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    kernel = {"kernelspec": {"name": "bench", "display_name": "bench", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def edited(notebook: Any, edit: str, number: int) -> Any:
    """Return a notebook with an edit."""
    notebook = nbformat.from_dict(json.loads(json.dumps(notebook)))
    cell, text = EDITS[edit]
    found = next(entry for entry in notebook.cells if entry.id == cell)
    found.source += text.format(number=number)
    return notebook


def prepare(folder: Path, name: str, notebook: Any, inputs: Path | None = None) -> Case:
    """Let Kanoe make the environment: the peers run in the same one."""
    home = folder / "store"
    source = folder / f"{name}-environment.ipynb"
    code = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    imports = [line for line in code if line.startswith(("import ", "from "))]
    nbformat.write(notebook_of(["\n".join(imports) or "pass"]), source)
    variables = {**os.environ, "KANOE_HOME": str(home)}
    command = [*KANOE, str(source), "--no-html", "-q"]
    directory = subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout.strip()
    record = json.loads((Path(directory) / "run.json").read_text())
    environment = Path(record["environment"]["path"])
    kernel = folder / "jupyter" / "kernels" / "bench"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [str(environment / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bench", "language": "python"}))
    lock = folder / f"{name}.lock"
    shutil.copy(Path(directory) / "kanoe.lock", lock)
    return Case(name, notebook, inputs, environment, lock, home)


@dataclass(frozen=True)
class Outcome:
    """What a command cost and came to; `why` it cannot do the job at all."""

    cost: Cost
    why: str = ""
    ran: tuple[str, ...] = ()
    cells_cpu: float = 0.0


def attempt(command: Sequence[str], cwd: Path, variables: dict[str, str]) -> Outcome:
    """Measure a command; one that fails says why."""
    try:
        return Outcome(measure(command, cwd, variables))
    except SystemExit as problem:
        lines = [line for line in str(problem.code).splitlines() if line.strip()]
        return Outcome(Cost(0.0, 0.0), (lines[-1] if lines else "it failed")[:90])


def run_kanoe(case: Case, path: Path, *options: str) -> Outcome:
    """Measure one run of Kanoe and read which cells ran."""
    out = path.parent.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    given = ("--input", str(case.inputs)) if case.inputs is not None else ()
    command = [*KANOE, str(path), "--lock", str(case.lock), "-o", str(out), *given, *options]
    outcome = attempt(command, path.parent, {"KANOE_HOME": str(case.home)})
    if outcome.why:
        return outcome
    tasks = json.loads((out / "run.json").read_text())["report"]["tasks"]
    ids = [cell.id for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    ran = [task for task in tasks if task["state"] not in ("CACHED", "SKIPPED")]
    cpu = sum(task.get("cpu") or 0.0 for task in ran)
    return Outcome(outcome.cost, "", tuple(ids[task["cells"][0]] for task in ran), cpu)


def run_peer(name: str, case: Case, path: Path, folder: Path) -> Outcome:
    """Measure one run of a peer."""
    module = {"jupyter-cache": "jupyter_cache"}.get(name, name)
    if importlib.util.find_spec(module) is None:
        return Outcome(Cost(0.0, 0.0), "it is not installed: the dependency group `benchmark` has it")
    variables = {"JUPYTER_PATH": str(folder / "jupyter"), "JUPYTER_DATA_DIR": str(folder / "jupyter")}
    commands: dict[str, Sequence[str]] = {
        "nbclient": [sys.executable, "-c", NBCLIENT, str(path)],
        "papermill": [sys.executable, "-m", "papermill", "-k", "bench", str(path), f"{path}.out", "--no-progress-bar"],
        "jupyter-cache": [sys.executable, "-c", JUPYTER_CACHE, str(path)],
        "marimo": [str(case.environment / "bin" / "python"), "-c", MARIMO, str(path)],
    }
    if name == "marimo":
        # It has no kernel apart: it runs in the environment's Python, and is found beside it.
        variables = {"PYTHONPATH": sysconfig.get_path("purelib")}
    return attempt(commands[name], path.parent, variables)


def median(outcomes: Sequence[Outcome]) -> float:
    """Return the median of CPU seconds."""
    return statistics.median(outcome.cost.cpu for outcome in outcomes)


PEERS = ("nbclient", "papermill", "jupyter-cache", "marimo")


def first_runs(case: Case, folder: Path, runs: int) -> dict[str, list[Outcome]]:
    """Measure first runs in turn, each in a folder of its own; the first turn warms the disk."""
    contenders: dict[str, Callable[[Path], Outcome]] = {
        **{name: lambda path, name=name: run_peer(name, case, path, folder) for name in PEERS},  # type: ignore[misc]
        "kanoe --whole": lambda path: run_kanoe(case, path, "--no-html", "--whole"),
        "kanoe": lambda path: run_kanoe(case, path, "--no-html"),
    }
    found: dict[str, list[Outcome]] = {name: [] for name in contenders}
    for turn in range(runs):
        for name, contend in contenders.items():
            if any(outcome.why for outcome in found[name]):
                continue
            found[name].append(contend(case.place(folder / f"{case.name}-{name.replace(' ', '')}-{turn}")))
    return found


def print_first(title: str, found: dict[str, list[Outcome]]) -> None:
    """Print the table of first runs."""
    base = median(found["nbclient"])
    print(f"\n{title}: first run\n{'':<16}{'CPU s':>8}{'wall s':>8}{'over nbclient':>15}", flush=True)
    for name, outcomes in found.items():
        why = next((outcome.why for outcome in outcomes if outcome.why), None)
        if why is not None:
            print(f"{name:<16} cannot: {why}")
            continue
        wall = statistics.median(outcome.cost.wall for outcome in outcomes)
        cpu = median(outcomes)
        print(f"{name:<16}{cpu:>8.2f}{wall:>8.2f}{cpu / base - 1:>+15.1%}", flush=True)


def trivial_cells(folder: Path, runs: int) -> None:
    """Print what one more trivial cell costs."""
    found: dict[int, dict[str, list[Outcome]]] = {}
    few, many = 20, 220
    for count in (few, many):
        notebook = notebook_of([f"x = {number}\nprint(x)" for number in range(count)])
        found[count] = first_runs(prepare(folder, f"trivial{count}", notebook), folder, runs)
    print(f"\ntrivial cells: what one more of them costs\n{'':<16}{'CPU ms':>8}{'over nbclient':>15}")
    base = 0.0
    for name in found[few]:
        why = next((outcome.why for outcome in found[few][name] + found[many][name] if outcome.why), None)
        if why is not None:
            print(f"{name:<16} cannot: {why}")
            continue
        cost = (median(found[many][name]) - median(found[few][name])) / (many - few) * 1000
        base = cost if name == "nbclient" else base
        print(f"{name:<16}{cost:>8.1f}{cost - base:>+15.1f}", flush=True)


def run_again(case: Case, folder: Path, runs: int) -> None:
    """Print what running again costs, unchanged and after edits."""
    imports = statistics.median(
        measure(
            [str(case.environment / "bin" / "python"), "-c", case.notebook.cells[1].source.split("\n\n")[0]], folder
        ).cpu
        for _ in range(3)
    )
    places = {name: folder / f"again-{name}" for name in (*PEERS, "kanoe")}
    steps = [("first", 0)] + [(step, turn + 1) for turn in range(runs) for step in ("unchanged", *EDITS)]
    found: dict[str, dict[str, list[Outcome]]] = {}
    for step, number in steps:
        notebook = edited(case.notebook, step, number) if step in EDITS else case.notebook
        for name, place in places.items():
            if any(outcome.why for outcomes in found.values() for outcome in outcomes.get(name, ())):
                continue
            path = case.place(place, notebook)
            outcome = run_kanoe(case, path) if name == "kanoe" else run_peer(name, case, path, folder)
            found.setdefault(step, {}).setdefault(name, []).append(outcome)
    print(f"\n{case.name}: again (imports alone: {imports:.2f} CPU s)")
    print(f"{'':<12}{'':<16}{'CPU s':>8}{'of cells':>10}{'besides':>9}  cells that ran")
    for step, outcomes_of in found.items():
        for name, outcomes in outcomes_of.items():
            if outcomes[0].why:
                print(f"{step:<12}{name:<16} cannot: {outcomes[0].why}")
                continue
            cpu, own = median(outcomes), statistics.median(outcome.cells_cpu for outcome in outcomes)
            more = f"{own:>10.2f}{cpu - own:>9.2f}  {' '.join(outcomes[-1].ran) or 'none'}" if name == "kanoe" else ""
            print(f"{step:<12}{name:<16}{cpu:>8.2f}{more}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=("first", "again", "all"), default="all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    # Not below /tmp, of which a sandbox has its own.
    with tempfile.TemporaryDirectory(prefix="bench-cells-", dir="/var/tmp") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        example = nbformat.read(EXAMPLE / "exploration.ipynb", 4)
        example.metadata["kernelspec"] = notebook_of([]).metadata["kernelspec"]
        inputs = EXAMPLE / "input" / "titanic"
        if options.what in ("first", "all"):
            for name, notebook, given in (
                ("loop", notebook_of(LOOP), None),
                ("frame", notebook_of(FRAME), None),
                ("titanic", example, inputs),
            ):
                if options.only in name:
                    print_first(name, first_runs(prepare(folder, name, notebook, given), folder, options.runs))
            if options.only in "trivial":
                trivial_cells(folder, options.runs)
        if options.what in ("again", "all"):
            run_again(prepare(folder, "titanic", example, inputs), folder, options.runs)


if __name__ == "__main__":
    main()
