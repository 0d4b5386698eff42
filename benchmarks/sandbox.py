"""What the sandbox costs: its start, with a program that does nothing; and a whole run of the titanic example, in each kind of walls.

Run it with `.venv/bin/python benchmarks/sandbox.py [RUNS]`.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kanoe.sandbox.confine import SandboxKind, choose_tool, confine
from kanoe.sandbox.layout import Folders, Layout, kaggle_variables
from kanoe.sandbox.process import SandboxProcess
from measure import compare, table

ROOT = Path(__file__).parent.parent
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
    compare_runs(
        [kind for kind in reversed(_KINDS) if tools[kind].kind == kind], int(sys.argv[1]) if sys.argv[1:] else 5
    )


# `kanoe run` with walls of one kind.
_RUN = """
import sys
from kanoe.sandbox.confine import choose_tool
import kanoe.verbs.sandbox
kanoe.verbs.sandbox.choose_tool = lambda: choose_tool(sys.argv[1])
from kanoe.cli.main import main
sys.argv[1:] = ["run", sys.argv[2], "--no-html", "-q"]
main()
"""


def compare_runs(kinds: Sequence[SandboxKind], runs: int) -> None:
    """Print what the titanic example costs in each kind of walls; the first is the measure of the others."""
    notebook = ROOT / "examples" / "titanic" / "exploration.ipynb"
    with tempfile.TemporaryDirectory() as store:
        commands = {
            kind: ([sys.executable, "-c", _RUN, kind, str(notebook)], notebook.parent, {"KANOE_HOME": store})
            for kind in kinds
        }
        table("the titanic example", compare(commands, runs))


if __name__ == "__main__":
    main()
