"""`kill -9` of Kanoe at random moments, then the same command: the answer, the cells that are not lost, and what the store is worth.

    python benchmarks/resume.py [MOMENTS] [--seed N] [--folder DIR]

Each trial changes the first cell, so that every cell must run; starts the run; kills Kanoe (sometimes twice); runs the command again.
Faults: a wrong answer, a cell that had ended and runs again, a store that is not sound, something left running or lying about.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / "cells")]

from programs import disagreement, interpret, read_outputs  # noqa: E402
from trial import World  # noqa: E402

from kill import left_running, leftovers, variables  # noqa: E402
from pairs import PairCell, notebook_of  # noqa: E402

KANOE = (sys.executable, "-m", "kanoe")


def cells_of(trial: int) -> list[str]:
    """A notebook whose cells all depend on the first."""
    return [
        f"import time\nn = {trial}\nrows = [n]\nprint(n)",
        "def work(x):\n    time.sleep(0.15)\n    rows.append(x)\n    return sum(rows)\nprint(work(1))",
        "view = rows\nview.append(n)\nprint(work(2))",
        "open('a.txt', 'w').write(str(rows))\nprint(work(3))",
        "stream = iter(range(n, n + 10))\nprint(next(stream), work(4))",
        "open('a.txt', 'a').write('more')\nopen('b.txt', 'w').write('b' * 30000)\nprint(work(5))",
        "import random\nrandom.seed(n)\nprint(random.random(), next(stream), work(6))",
        "print(random.random(), open('a.txt').read(), len(open('b.txt').read()))",
        "class K:\n    rows = rows\nk = K()\nk.rows.append(7)\ntime.sleep(0.2)\nprint(rows, next(stream))",
    ]


def ended_cells(directory: Path) -> list[int]:
    """The cells that a run's events say have succeeded or were reused."""
    cells: dict[str, int] = {}
    ended = []
    for line in (directory / "events.jsonl").read_bytes().splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        event = json.loads(line)
        if event["event"] == "task-started" and event["cell"] is not None:
            cells[event["task"]] = event["cell"]
        elif event["event"] == "task-ended" and event["state"] in ("SUCCEEDED", "CACHED"):
            ended.append(int(event["task"].removeprefix("c")))
    return ended


def faults_of_indexes(store: Path) -> Iterator[str]:
    """Yield what is wrong with the SQLite files of a store."""
    for path in store.rglob("*.sqlite"):
        if {"environments", "runs", "scratch"} & set(path.relative_to(store).parts):
            continue
        connection = sqlite3.connect(path)
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        if answer != "ok":
            yield f"{path.name}: {answer}"


def trial(world: World, store: Path, number: int, longest: float) -> tuple[list[int], list[str]]:
    """One notebook, killed once or twice, then run to its end; returns how many cells had ended at each kill, and the faults."""
    sources = cells_of(number)
    cells = [PairCell("", source, id=f"c{n}") for n, source in enumerate(sources)]
    path = world.folder / "work" / "notebook.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(notebook_of(cells)))
    command = [*KANOE, "run", "--cells", str(path), "--lock", str(world.lock), "--no-html"]
    done: set[int] = set()
    counts, faults = [], []
    for _ in range(random.choice((1, 1, 2))):
        others = set((store / "runs").glob("*"))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables(store))
        time.sleep(random.uniform(0.3, longest))
        process.send_signal(signal.SIGKILL)
        process.wait()
        directory = next(iter(set((store / "runs").glob("*")) - others), None)
        if directory is not None and (directory / "events.jsonl").exists():
            done |= set(ended_cells(directory))
        counts.append(len(done))
        faults += list(faults_of_indexes(store))
    finished = subprocess.run([*command, "--json"], capture_output=True, text=True, env=variables(store), check=False)
    if finished.returncode != 0:
        return counts, [*faults, f"the next run ended with {finished.returncode}: {finished.stderr[-400:]}"]
    report = json.loads(finished.stdout)
    ran = {task["cells"][0] for task in report["tasks"] if task["state"] == "SUCCEEDED"}
    faults += [f"cell {n} had ended and ran again: {report['tasks'][n]['reason']}" for n in sorted(done & ran)]
    plain = world.folder / "plain"
    shutil.rmtree(plain, ignore_errors=True)
    wrong = disagreement(read_outputs(Path(report["directory"])), interpret(sources, plain), sources)
    faults += [wrong] if wrong else []
    deadline = time.monotonic() + 5
    while (left := left_running(store)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return counts, [*faults, *(f"left running: {words}" for words in left), *faults_of_indexes(store)]


def main() -> None:
    """Print every fault, and how many kills fell after how many cells."""
    parser = argparse.ArgumentParser()
    parser.add_argument("moments", nargs="?", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="trial-resume-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        store = folder / "store"
        os.environ["KANOE_HOME"] = str(store)
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        world = World.make(folder, ())
        started = time.monotonic()
        trial(world, store, 10**6, 0.3)
        longest = time.monotonic() - started
        kills: Counter[int] = Counter()
        faulty = number = 0
        while kills.total() < options.moments:
            counts, faults = trial(world, store, number, longest)
            faults += [f"left over: {path}" for path in leftovers(store)]
            kills.update(counts)
            faulty += bool(faults)
            for fault in faults:
                print(f"{number}, killed after {counts} cells: {fault}", flush=True)
            number += 1
        print(f"{'CELLS ENDED':<14}{'KILLS':>6}")
        for count in sorted(kills):
            print(f"{count:<14}{kills[count]:>6}")
        print(f"{kills.total()} kills in {number} notebooks; {faulty} of them with faults")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
