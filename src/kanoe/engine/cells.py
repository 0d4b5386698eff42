"""A notebook as a program: its code cells, top to bottom. Pure: no input, no output."""

from __future__ import annotations

from dataclasses import dataclass

from kanoe.engine.runner import Task
from kanoe.ir.notebook import Cell, Notebook

SKIP_TAGS = ("skip-execution", "skip")
EXPECTED_ERROR_TAG = "raises-exception"


@dataclass(frozen=True, slots=True)
class Step:
    """A cell to run, or the reason why it is not run.

    Args:
        task: what to execute.
        skip: why it is skipped, or `None`.
        error_expected: an error of this cell does not fail the run (Jupyter's tag `raises-exception`).
    """

    task: Task
    skip: str | None = None
    error_expected: bool = False


def plan_cells(notebook: Notebook) -> tuple[Step, ...]:
    """Return one step per code cell, in order."""
    return tuple(_step(position, cell) for position, cell in enumerate(notebook.code_cells))


def _step(position: int, cell: Cell) -> Step:
    task = Task(id=cell.id, name=f"cell {position}", cell=position, code=cell.source, title=_title(cell.source))
    if cell.blank:
        return Step(task, skip="it is blank")
    for tag in SKIP_TAGS:
        if tag in cell.tags:
            return Step(task, skip=f"it is tagged {tag}")
    return Step(task, error_expected=EXPECTED_ERROR_TAG in cell.tags)


def _title(code: str) -> str:
    """Return the first line that is no comment, cut to 60 characters."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")
    return telling if len(telling) <= 60 else telling[:59] + "…"
