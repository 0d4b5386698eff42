"""What the sandbox's start costs: a program that does nothing, plain, in bubblewrap with Kanoe's layout, and choosing the tool."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kanoe.sandbox.confine import choose_tool, confine
from kanoe.sandbox.layout import Folders, Layout, kaggle_variables


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
    tool = choose_tool()
    if tool.kind == "none":
        sys.exit(f"bubblewrap does not work here: {tool.why_not}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("working", "scratch", "runtime"):
            (folder / part).mkdir()
        layout = Layout(
            Folders(folder / "working", folder / "scratch", folder / "runtime"), variables=kaggle_variables([], {})
        )

        def sandboxed() -> None:
            confined = confine(tool, layout, ["true"])
            subprocess.run(confined.command, env=confined.variables, cwd=confined.folder, check=True)

        rows = {
            "true": timed(lambda: subprocess.run(["true"], check=True)),
            "true in the sandbox": timed(sandboxed),
            "choosing the tool": timed(choose_tool),
        }
    for label, milliseconds in rows.items():
        print(f"{label:<24}{milliseconds:>8.1f} ms")


if __name__ == "__main__":
    main()
