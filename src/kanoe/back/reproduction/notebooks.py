"""All cells of a run against what the author's notebook shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from kanoe.back.reproduction.outputs import compare_outputs
from kanoe.back.reproduction.verdicts import TOLERANCE, CellVerdict, Comparison, Outcome, Reproduction, Verdict
from kanoe.base.diagnostics import Diagnostic, cell_place, error
from kanoe.engine.events import TaskState
from kanoe.ir.notebook import Cell, Notebook

Outputs = Sequence[Mapping[str, Any]]


def compare_notebook(
    notebook: Notebook,
    outputs: Mapping[str, Outputs],
    states: Mapping[str, TaskState],
    *,
    day: date | None = None,
    tolerance: float = TOLERANCE,
    parameters: Sequence[str] = (),
) -> Reproduction:
    """Compare what the cells of a run show with what they showed for the author.

    Left out are cells that the author never ran, cells where the author's run failed, and cells that did not run now.

    Args:
        notebook: what ran, with the author's outputs.
        outputs: what each cell shows now, by its id.
        states: how each cell's task ended, by its id.
        day: the day of the run: that date is no result.
        tolerance: how far two numbers may be apart, as a share of the larger.
        parameters: names that were given other values than the author's.
    """
    found, not_run = [], 0
    for position, cell in enumerate(notebook.code_cells):
        if not _author_ran(cell):
            continue
        state = states.get(cell.id)
        if state is TaskState.FAILED:
            verdict = _failed(cell, outputs.get(cell.id, ()), tolerance, day)
        elif state in (TaskState.SUCCEEDED, TaskState.CACHED):
            verdict = compare_outputs(cell.outputs, outputs.get(cell.id, ()), tolerance, day)
        else:
            not_run += len(compare_outputs(cell.outputs, cell.outputs).outputs)
            continue
        found.append(CellVerdict(cell.id, position, verdict))
    return Reproduction(tuple(found), tolerance, not_run, tuple(parameters))


def explain_differences(reproduction: Reproduction, file_name: str) -> tuple[Diagnostic, ...]:
    """Return the diagnostic of a run that had to reproduce its author's outputs and did not; none where it did."""
    if not reproduction.different:
        return ()
    count = reproduction.counts[Outcome.DIFFERENT]
    message = f"{count} of {reproduction.compared} outputs differ from the author's: {reproduction.differences()}"
    hint = "`notebook.html` in the run's folder marks each; another environment may be nearer: `--as-of DATE`, `--lock FILE`"
    return (error("not-reproduced", message, place=cell_place(file_name, reproduction.different[0].cell), hint=hint),)


def _author_ran(cell: Cell) -> bool:
    """Whether the author ran a cell, and it did not fail."""
    failed = any(output.get("output_type") == "error" for output in cell.outputs)
    return not failed and (bool(cell.outputs) or cell.execution_count is not None)


def _failed(cell: Cell, now: Outputs, tolerance: float, day: date | None) -> Verdict:
    """Return the verdict of a cell that failed: what it showed before counts, what is missing is one difference."""
    verdict = compare_outputs(cell.outputs, now, tolerance, day)
    if not any(comparison.outcome is Outcome.DIFFERENT for comparison in verdict.outputs):
        return verdict
    kept = [comparison for comparison in verdict.outputs if comparison.outcome is not Outcome.DIFFERENT]
    return Verdict((*kept, Comparison(Outcome.DIFFERENT, "cell", note="failed", weight=4)))
