"""Measures whole commands: CPU seconds of everything they start, and wall seconds.

A command is run as a transient child; its CPU time is taken from /proc for every process that descends from it, sampled until it
ends, because a sandbox's processes are not waited for by the one that started them and are missing from `getrusage`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """What one run of a command cost."""

    cpu: float
    wall: float


def measure(command: Sequence[str], cwd: Path, variables: dict[str, str] | None = None) -> Cost:
    """Run a command to its end; it must succeed."""
    started = time.perf_counter()
    before = os.times()
    with subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **(variables or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        unwaited = _watch(process.pid)
        said = process.stderr.read().decode() if process.stderr else ""
        status = process.wait()
        lost = unwaited()
    after = os.times()
    if status != 0:
        sys.exit(f"{' '.join(command)} ended with {status}:\n{said}")
    waited = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(waited + lost, time.perf_counter() - started)


def _watch(root: int):
    """Follow the processes below `root`; the returned function gives the CPU seconds of those whose end nobody waited for.

    Those are the processes of a bubblewrap sandbox: below a `bwrap` that is the first of its process namespace.
    """
    seen: dict[int, float] = {}
    stop = threading.Event()

    def follow() -> None:
        while not stop.is_set():
            for pid in _descendants(root):
                try:
                    text = Path(f"/proc/{pid}/stat").read_bytes()
                    spaces = Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split("\n")[0].split()
                except (OSError, IndexError):
                    continue
                if len(spaces) > len(Path("/proc/self/status").read_text().split("NSpid:")[1].split("\n")[0].split()):
                    numbers = text.rpartition(b")")[2].split()
                    seen[pid] = sum(map(int, numbers[11:15])) / _TICKS
            stop.wait(0.01)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()

    def finish() -> float:
        stop.set()
        thread.join()
        # The first process of a namespace has waited for the others: its own figure holds theirs once they ended.
        return max(seen.values(), default=0.0)

    return finish


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_bytes().split())
        except OSError:
            continue
    return found[1:]


def compare(commands: dict[str, tuple[Sequence[str], Path, dict[str, str]]], runs: int) -> dict[str, list[Cost]]:
    """Run each command once to warm up, then in turn, `runs` times."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, (command, cwd, variables) in commands.items():
            cost = measure(command, cwd, variables)
            if turn:
                costs[name].append(cost)
    return costs


def table(title: str, costs: dict[str, list[Cost]]) -> None:
    """Print medians, and ratios to the first."""
    first = next(iter(costs))
    base = statistics.median(cost.cpu for cost in costs[first])
    print(f"\n{title}\n{'':<28}{'CPU s':>8}{'wall s':>9}{'CPU ratio':>11}")
    for name, measured in costs.items():
        cpu = statistics.median(cost.cpu for cost in measured)
        wall = statistics.median(cost.wall for cost in measured)
        print(f"{name:<28}{cpu:>8.2f}{wall:>9.2f}{cpu / base:>11.2f}")
