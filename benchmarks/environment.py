"""What environments cost: reuse (a whole Python process), and building against `uv venv` and `uv pip install` of the same lock.

Run it with `.venv/bin/python benchmarks/environment.py [RUNS]`. Cold builds download everything, once for each side and run.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kanoe.base.errors import KanoeError
from kanoe.environments.build import environment_for
from kanoe.environments.bytecode import DONE, compiling
from kanoe.environments.distributions import kernel_requirements
from kanoe.environments.interpreters import choose_interpreter, own_interpreter
from kanoe.environments.lock_file import dumps, read_lock
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve
from kanoe.environments.settings import registry_variables
from kanoe.environments.uv import find_uv
from measure import Cost, compare, measure, table

OLD_DAYS = (
    ("2017-06-15", "3.6"),
    ("2018-04-01", "3.6"),
    ("2019-10-01", "3.6"),
    ("2021-03-01", "3.7"),
    ("2023-06-10", "3.10"),
)
NAMES = ("matplotlib", "pandas", "scikit-learn", "seaborn")

LIBRARY = "import dataclasses, hashlib, json, pathlib, selectors, shutil, subprocess, tempfile, tomllib"
REUSE = """
import sys
from pathlib import Path
from kanoe.environments.build import environment_for
from kanoe.environments.interpreters import choose_interpreter
from kanoe.environments.needs import Needs, Requirement
store = Path(sys.argv[1])
names = sys.argv[3:]
interpreter = choose_interpreter(None, memory=store / "interpreters.json")
"""
REMEMBERED = (
    REUSE
    + """
from kanoe.environments.distributions import kernel_requirements
from kanoe.environments.resolve import resolve
needs = Needs(tuple(Requirement(name) for name in names))
lock = resolve(needs, interpreter, kernel=kernel_requirements(interpreter.minor), cache=store / "locks")
environment_for(lock, interpreter, store=store / "environments", progress=exit)
"""
)
LOCKED = (
    REUSE
    + """
from kanoe.environments.lock import check
from kanoe.environments.lock_file import read_lock
lock = read_lock(Path(sys.argv[2]))
check(lock, Needs(tuple(Requirement(name) for name in names)), interpreter)
environment_for(lock, interpreter, store=store / "environments", progress=exit)
"""
)
IMPORTS = "import matplotlib.pyplot, pandas, seaborn, sklearn.ensemble, ipykernel.kernelapp"


def reuse(folder: Path, runs: int) -> None:
    """Print what a process costs that finds its environment there."""
    store, lock_file = folder / "store", folder / "bench.lock"
    python = [sys.executable, "-c"]
    # As installed: with Kanoe's own modules compiled.
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    commands = {
        "python -c pass": ([*python, "pass"], folder, kept),
        "standard library alone": ([*python, LIBRARY], folder, kept),
        "remembered resolution": ([*python, REMEMBERED, str(store), str(lock_file), *NAMES], folder, kept),
        "lock file, checked": ([*python, LOCKED, str(store), str(lock_file), *NAMES], folder, kept),
    }
    costs = compare(commands, 4 * runs)
    print("\nReuse of an environment (whole process)")
    for name, measured in costs.items():
        walls = sorted(1000 * cost.wall for cost in measured)
        cpus = sorted(cost.cpu for cost in measured)
        print(f"{name:<28}{walls[len(walls) // 2]:>8.1f} ms{cpus[len(cpus) // 2]:>9.3f} CPU s")


def build(folder: Path, runs: int, *, cold: bool) -> None:
    """Print what a build costs, and what uv alone takes for the same files, in turn; Kanoe's own process runs already."""
    lock, own = read_lock(folder / "bench.lock"), own_interpreter()
    requirements = folder / "requirements.txt"
    lines = (
        f"{one.name}=={one.version} {' '.join(f'--hash={value}' for value in one.hashes)}" for one in lock.distributions
    )
    requirements.write_text("\n".join(lines) + "\n")
    uv = find_uv()

    def by_uv() -> None:
        told = {
            **os.environ,
            **registry_variables(),
        }  # the same certificates: reading them takes a tenth of a CPU second
        plain = str(folder / "built" / "plain")
        for command in (
            ["venv", "--python", str(own.path), plain],
            [
                "pip",
                "install",
                "--python",
                f"{plain}/bin/python",
                "--no-deps",
                "--require-hashes",
                "-r",
                str(requirements),
            ],
        ):
            subprocess.run([uv, *command], check=True, capture_output=True, env=told)

    def by_kanoe() -> None:
        environment_for(lock, own, store=folder / "built")

    sides = {"uv venv, uv pip install": by_uv, "kanoe": by_kanoe}
    costs: dict[str, list[Cost]] = {name: [] for name in sides}
    before = os.environ.get("UV_CACHE_DIR")
    for turn in range(runs + (0 if cold else 1)):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            if cold:
                os.environ["UV_CACHE_DIR"] = str(folder / "cold")
            cost = timed(sides[name])
            shutil.rmtree(folder / "built")
            shutil.rmtree(folder / "cold", ignore_errors=True)
            if cold or turn:
                costs[name].append(cost)
    os.environ.pop("UV_CACHE_DIR", None)
    if before is not None:
        os.environ["UV_CACHE_DIR"] = before
    table(f"{'Cold' if cold else 'Warm'} build of {len(lock.distributions)} distributions", costs)


def old_days(folder: Path, runs: int) -> None:
    """Print what resolving and installing costs for notebooks of old days, uv's cache warm, nothing remembered."""
    seconds = []
    print("\nResolving and installing for an old day, uv's cache warm")
    for day, version in OLD_DAYS:
        try:
            interpreter = choose_interpreter(version, memory=folder / "interpreters")
        except KanoeError:
            print(f"{day}  Python {version}: not on this machine")
            continue
        needs = Needs(tuple(Requirement(name) for name in NAMES), as_of=day, as_of_inferred=True, inferred=True)
        taken = []
        for turn in range(runs + 1):
            store = folder / f"old-{day}-{turn}"
            started = time.perf_counter()
            kernel = kernel_requirements(interpreter.minor)
            lock = resolve(needs, interpreter, kernel=kernel, cache=store / "locks")
            resolved = time.perf_counter() - started
            environment_for(lock, interpreter, store=store / "environments")
            if turn:
                taken.append((time.perf_counter() - started, resolved))
            shutil.rmtree(store)
        whole, resolved = (statistics.median(one[part] for one in taken) for part in (0, 1))
        seconds.append(whole)
        print(f"{day}  Python {version:<6}{resolved:>8.2f} s resolved{whole:>8.2f} s in all")
    if seconds:
        print(f"median{statistics.median(seconds):>38.2f} s")


def timed(work: Callable[[], None]) -> Cost:
    """Do some work here; its own CPU time and that of the processes it starts."""
    before, started = os.times(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - started, os.times()
    return Cost(sum(after[:4]) - sum(before[:4]), seconds)


def compiled(folder: Path) -> None:
    """Print what imports cost before and after the modules are compiled beside a run."""
    environment = environment_for(
        read_lock(folder / "bench.lock"), own_interpreter(), store=folder / "store" / "environments"
    )
    command = [str(environment.python), "-c", IMPORTS]
    never = {"PYTHONDONTWRITEBYTECODE": "1"}
    before = min((measure(command, folder, never) for _ in range(3)), key=lambda cost: cost.cpu)
    started = time.perf_counter()
    with compiling(environment):
        while not (environment.path / DONE).exists():
            time.sleep(0.05)
    beside = time.perf_counter() - started
    after = min((measure(command, folder, never) for _ in range(3)), key=lambda cost: cost.cpu)
    print(f"\nImports of {', '.join(NAMES)} in a read-only environment")
    print(f"{'not compiled':<28}{before.cpu:>8.2f} CPU s{before.wall:>8.2f} s")
    print(f"{'compiled':<28}{after.cpu:>8.2f} CPU s{after.wall:>8.2f} s")
    print(f"{'compiling, on an idle core':<28}{'':>14}{beside:>8.2f} s, once")


def main() -> None:
    """Print the tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = Path(tempfile.mkdtemp(prefix="kanoe-bench-", dir=cache_folder().parent))
    try:
        needs = Needs(tuple(Requirement(name) for name in NAMES))
        own = own_interpreter()
        lock = resolve(needs, own, kernel=kernel_requirements(own.minor), cache=folder / "store" / "locks")
        (folder / "bench.lock").write_text(dumps(lock))
        environment_for(lock, own, store=folder / "store" / "environments")
        reuse(folder, runs)
        build(folder, runs, cold=False)
        build(folder, max(1, runs // 3), cold=True)
        compiled(folder)
        old_days(folder, runs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cache_folder() -> Path:
    """Return uv's cache, beside which the work stands: files can be shared on one file system only."""
    done = subprocess.run([find_uv(), "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


if __name__ == "__main__":
    main()
