"""`kill -9` of Kanoe at random moments: what is left running, what the store is worth, how the run is shown, whether the next one runs.

    python benchmarks/kill.py [MOMENTS] [--store DIR] [--cold SHARE] [--seed N]

Each moment starts a run, kills it (the process alone, as the kernel does when memory is short), and looks at once: which processes are
left, whether the records and every environment are whole, whether every run folder can be read, and how `kanoe runs` shows the run.
Then comes another run, after which no scratch folder, no temporary folder and no half-made thing may be there. A share of the runs
(`--cold`) builds its environment anew. Prints a line for each phase in which a kill fell, and every fault.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

KANOE = (sys.executable, "-m", "kanoe")
_PATIENCE = 5.0  # seconds until what dies with its parent must be gone
_CELLS = """\
# %%
print("first")
# %%
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
for number in range(8):
    print(number, flush=True)
    time.sleep(0.1)
# %%
open("made.txt", "w").write("x" * 100_000)
print("last")
"""


def read_state(store: Path, run: str | None) -> str:
    """Return how `kanoe runs` shows a run."""
    done = subprocess.run(
        [*KANOE, "runs", "-n", "500", "--json"], capture_output=True, text=True, env=variables(store), check=True
    )
    return next((entry["state"] for entry in json.loads(done.stdout)["runs"] if entry["run"] == run), "unrecorded")


def variables(store: Path) -> dict[str, str]:
    """The environment of a command; its text `KANOE_TRIAL` marks whatever it starts."""
    return {**os.environ, "KANOE_HOME": str(store), "KANOE_TRIAL": store.name, "TMPDIR": str(store.parent / "tmp")}


def left_running(store: Path) -> list[str]:
    """Return the command lines of processes that a run of this store left."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            marked = f"KANOE_TRIAL={store.name}".encode() in (folder / "environ").read_bytes()
        except OSError:
            continue
        if words and int(folder.name) != os.getpid() and (marked or os.fsencode(store) in words):
            found.append(words.replace(b"\0", b" ").decode(errors="replace")[:160].strip())
    return found


def faults_of_store(store: Path) -> Iterator[str]:
    """Yield what is wrong with records, environments and run folders."""
    records = store / "records.sqlite"
    if records.exists():
        connection = sqlite3.connect(records)
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        if answer != "ok":
            yield f"records: {answer}"
    for environment in (store / "environments").glob("*/"):
        if len(environment.name) == 32:
            said = json.loads((environment / "kanoe-environment.json").read_bytes())
            installed = len(list(environment.glob("lib/python*/site-packages/*.dist-info")))
            if said["distributions"] != installed:
                yield f"environment {environment.name}: {installed} of {said['distributions']} distributions"
    for folder in (store / "runs").glob("*/"):
        for name in ("run.json", "notebook.ipynb", "log.json"):
            try:
                json.loads((folder / name).read_bytes())
            except FileNotFoundError:
                continue
            except ValueError as problem:
                yield f"{folder.name}/{name}: {problem}"


def leftovers(store: Path) -> list[str]:
    """Return what no finished run may leave."""
    found = [*(store / "scratch").glob("*"), *(store.parent / "tmp").glob("*")]
    found += [
        *(store / "alive").glob("[!.]*"),
        *(store / "inputs").glob("unpacking-*"),
        *(store / "environments").glob("*.part"),
    ]
    found += [*(store / "runs").glob("*/.*.part")]
    return [str(path) for path in found]


def phase_of(directory: Path | None) -> str:
    """Return how far a run had come."""
    if directory is None or not (directory / "events.jsonl").exists():
        return "1 start"
    kinds = [
        json.loads(line)["event"]
        for line in (directory / "events.jsonl").read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    if "run-ended" in kinds:
        return "6 after the end"
    if "program-ended" in kinds:
        return "5 page, log"
    if "session-started" in kinds:
        return "4 cells"
    return "3 kernel" if "program-started" in kinds else "2 environment"


def kill_once(store: Path, source: Path, moment: float, *, cold: bool) -> tuple[str, list[str]]:
    """Run, kill after `moment` seconds, look; return the phase and the faults."""
    others = set((store / "runs").glob("*"))
    extra = ["--with", f"six{random.choice(['>', '>=', '!='])}1.{random.randrange(10)}"] if cold else []
    process = subprocess.Popen(
        [*KANOE, "run", str(source), *extra], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables(store)
    )
    time.sleep(moment)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    directory = next(iter(set((store / "runs").glob("*")) - others), None)
    phase = "7 had ended" if ended else phase_of(directory)
    deadline = time.monotonic() + _PATIENCE
    while (left := left_running(store)) and time.monotonic() < deadline:
        time.sleep(0.05)
    faults = [f"left running: {words}" for words in left] + list(faults_of_store(store))
    if directory is not None and (directory / "run.json").exists() and not ended:
        state = read_state(store, directory.name)
        fine = {"LOST", "SUCCEEDED"} if phase.startswith("6") else {"LOST", "unrecorded"}
        faults += [f"shown as {state}"] if state not in fine else []
    return phase, faults


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("moments", nargs="?", type=int, default=200)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--cold", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="trial-kill-") as folder:
        store = (options.store or Path(folder) / f"store-{os.getpid()}").absolute()
        (store.parent / "tmp").mkdir(parents=True, exist_ok=True)
        source = Path(folder) / "work" / "cells.py"
        source.parent.mkdir()
        source.write_text(_CELLS)
        foreign = set(leftovers(store))
        started = time.monotonic()
        subprocess.run([*KANOE, "run", str(source)], capture_output=True, env=variables(store), check=True)
        usual = time.monotonic() - started
        started = time.monotonic()
        subprocess.run([*KANOE, "run", str(source)], capture_output=True, env=variables(store), check=True)
        warm = time.monotonic() - started
        print(f"a cold run takes {usual:.1f} s, a warm one {warm:.1f} s; {options.moments} moments")
        phases: Counter[str] = Counter()
        faulty: Counter[str] = Counter()
        for number in range(options.moments):
            cold = random.random() < options.cold
            moment = random.uniform(0.02, usual if cold else warm)
            phase, faults = kill_once(store, source, moment, cold=cold)
            done = subprocess.run(
                [*KANOE, "run", str(source), "--no-html"],
                capture_output=True,
                text=True,
                env=variables(store),
                check=False,
            )
            if done.returncode != 0:
                faults.append(f"the next run ended with {done.returncode}: {done.stderr[-300:]}")
            faults += [f"left over: {path}" for path in leftovers(store) if path not in foreign]
            faults += list(faults_of_store(store))
            phases[phase] += 1
            faulty[phase] += bool(faults)
            for fault in faults:
                print(f"{number} at {moment:.2f} s{' (cold)' if cold else ''}, {phase}: {fault}", flush=True)
        print(f"{'PHASE':<18}{'KILLS':>6}{'FAULTY':>8}")
        for phase in sorted(phases):
            print(f"{phase:<18}{phases[phase]:>6}{faulty[phase]:>8}")
        print(f"{'all':<18}{phases.total():>6}{faulty.total():>8}")
    sys.exit(1 if faulty.total() else 0)


if __name__ == "__main__":
    main()
