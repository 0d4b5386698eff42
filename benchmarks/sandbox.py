"""What the sandbox's start costs: a program that does nothing, plain and in each kind of walls, and trying whether they work."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kanoe.sandbox.confine import SandboxKind, choose_tool, confine
from kanoe.sandbox.layout import Folders, Layout, kaggle_variables
from kanoe.sandbox.process import SandboxProcess

_KINDS: tuple[SandboxKind, ...] = ("bubblewrap", "namespaces", "none")


def timed(work: Callable[[], object], runs: int = 20) -> float:
    """Return the median of `runs` in milliseconds."""
    work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    tools = {kind: choose_tool(kind) for kind in _KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("working", "scratch", "runtime"):
            (folder / part).mkdir()
        layout = Layout(
            Folders(folder / "working", folder / "scratch", folder / "runtime"), variables=kaggle_variables([], {})
        )

        def sandboxed(kind: SandboxKind) -> None:
            if SandboxProcess(confine(tools[kind], layout, ["true"]), None).wait() != 0:
                sys.exit(f"`true` failed in {kind}")

        rows = {"true": timed(lambda: subprocess.run(["true"], check=True))}
        for kind, tool in tools.items():
            if tool.kind == kind:
                rows[f"true in {kind}"] = timed(functools.partial(sandboxed, kind))
                rows[f"trying {kind}"] = timed(functools.partial(choose_tool, kind))
    for label, milliseconds in rows.items():
        print(f"{label:<24}{milliseconds:>8.1f} ms")


if __name__ == "__main__":
    main()
