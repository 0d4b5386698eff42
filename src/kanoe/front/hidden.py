"""Hidden state: what a notebook that was run cell by cell has in memory, and a run from top to bottom has not.

Only what is sure is said: a name that a cell looks up in any case, before anything in it or above it can have made it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kanoe.base.diagnostics import Diagnostic, cell_place, info, warning
from kanoe.front.names import CellNames, is_known, names_of
from kanoe.ir.notebook import Cell, Notebook

_UNDEFINED = re.compile(r"(?:name|free variable) '(\w+)'")
_MOST = 8  # names that are told of one by one


@dataclass(frozen=True, slots=True)
class Missing:
    """A name that a run from top to bottom has not made when a cell looks it up.

    Args:
        name: the name.
        cell: the position of the cell that looks it up first.
        line: the line there, from 1.
        maker: the position of a cell that makes it, itself or below, or `None` where none does.
        deleter: the position of the cell that deleted it, or `None` where none did.
    """

    name: str
    cell: int
    line: int
    maker: int | None = None
    deleter: int | None = None


def find_missing(notebook: Notebook) -> tuple[Missing, ...]:
    """Return the names that a run from top to bottom will surely miss, each where it is missed first."""
    cells = [names_of(cell.source) for cell in notebook.code_cells]
    skipped = [cell.blank or "skip-execution" in cell.tags or "skip" in cell.tags for cell in notebook.code_cells]
    proven = _proven(notebook.code_cells)
    made: set[str] = set()
    deleted: dict[str, int] = {}
    found: dict[str, Missing] = {}
    for position, cell in enumerate(cells):
        if skipped[position]:
            continue
        for name, line in cell.needs.items():
            if name not in made and name not in found and not is_known(name) and not proven(position):
                maker = _maker(name, position, cells)
                found[name] = Missing(name, position, line, maker, deleted.get(name))
        made |= cell.binds
        deleted.update(dict.fromkeys(cell.deletes, position))
        made -= set(cell.deletes)
        if cell.opaque:
            break
    return tuple(found.values())


def find_hidden_state(notebook: Notebook, file_name: str) -> tuple[Diagnostic, ...]:
    """Return what a run from top to bottom cannot repeat, as warnings; of the order in which the author ran the cells, a remark.

    Args:
        notebook: the notebook.
        file_name: what it is called, for the places.
    """
    missing = find_missing(notebook)
    told = [_warning(entry, file_name) for entry in missing[:_MOST]]
    if len(missing) > _MOST:
        names = ", ".join(f"`{entry.name}`" for entry in missing[_MOST : 2 * _MOST])
        told.append(warning("hidden-state", f"{len(missing) - _MOST} more names are missing: {names}", place=file_name))
    return (*told, *_order(notebook, file_name))


def explain_name_error(notebook: Notebook, position: int, problem: Mapping[str, Any]) -> str | None:
    """Return the hint for a cell that failed for want of a name, or `None` where the order of the cells explains nothing.

    Args:
        notebook: the notebook that ran.
        position: the position of the cell that failed.
        problem: the error: its `ename` and `evalue`.
    """
    match = _UNDEFINED.search(str(problem.get("evalue", "")))
    if problem.get("ename") not in ("NameError", "UnboundLocalError") or match is None:
        return None
    name = match[1]
    cells = [names_of(cell.source) for cell in notebook.code_cells]
    maker = next((place for place in range(position + 1, len(cells)) if name in cells[place].binds), None)
    deleter = next((place for place in range(position - 1, -1, -1) if name in cells[place].deletes), None)
    above = any(name in cell.binds for cell in cells[:position])
    if deleter is not None or maker is not None:
        return _hint(Missing(name, position, 1, maker, deleter))
    if above or is_known(name) or any(cell.opaque for cell in cells[:position]):
        return None
    return _hint(Missing(name, position, 1))


def _maker(name: str, position: int, cells: Sequence[CellNames]) -> int | None:
    return next((place for place in range(position, len(cells)) if name in cells[place].binds), None)


def _warning(entry: Missing, file_name: str) -> Diagnostic:
    place = cell_place(file_name, entry.cell, entry.line)
    if entry.deleter is not None:
        message = f"`{entry.name}` is read after cell {entry.deleter} deleted it"
        return warning("name-deleted", message, place=place, hint=_hint(entry))
    if entry.maker is None:
        message = f"`{entry.name}` is read and no cell makes it"
        return warning("hidden-state", message, place=place, hint=_hint(entry))
    if entry.maker == entry.cell:
        message = f"`{entry.name}` is read before this cell, the first that makes it, has done so"
    else:
        message = f"`{entry.name}` is read here, and made only below, in cell {entry.maker}"
    return warning("name-later", message, place=place, hint=_hint(entry))


def _hint(entry: Missing) -> str:
    """Return what to do about it."""
    if entry.deleter is not None:
        return f"Cell {entry.deleter} deletes `{entry.name}`: the author ran these cells in another order, or ran one twice; drop the `del`"
    if entry.maker is None:
        return f"No cell makes `{entry.name}`: a cell that did was deleted or changed since; add a line that makes it, or correct the name"
    if entry.maker == entry.cell:
        return f"The author ran cell {entry.cell} twice, or a cell that made `{entry.name}` was deleted; make it before"
    return f"Cell {entry.maker} makes `{entry.name}`: move it above cell {entry.cell}"


def _proven(cells: Sequence[Cell]) -> Any:
    """Return what tells whether the author's own run shows that a cell finds its names: all from top to bottom, at once, no error."""
    counts = [cell.execution_count for cell in cells if not cell.blank]
    in_order = counts == list(range(1, len(counts) + 1))
    failed = {
        position
        for position, cell in enumerate(cells)
        if any(output.get("output_type") == "error" for output in cell.outputs)
    }
    return lambda position: in_order and bool(counts) and position not in failed


def _order(notebook: Notebook, file_name: str) -> Iterator[Diagnostic]:
    """Yield a remark where the execution counts say that the cells were run in another order than they stand in."""
    counted = [
        (position, cell.execution_count)
        for position, cell in enumerate(notebook.code_cells)
        if isinstance(cell.execution_count, int) and not cell.blank
    ]
    back = [(above, below) for above, below in pairwise(counted) if below[1] <= above[1]]
    if not back:
        return
    (above, _), (below, _) = back[0]
    more = f", and {len(back) - 1} more such steps" if len(back) > 1 else ""
    message = f"the author ran cell {above} after cell {below} below it{more}: his outputs may hold what no run from top to bottom gives"
    yield info("order-odd", message, place=file_name, hint="Kanoe runs the cells from top to bottom, as Kaggle does")
