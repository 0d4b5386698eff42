"""Modules that are taken from a repository as they are: brought, mounted beside the notebook's own, never built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic
from kanoe.base.errors import UnavailableError
from kanoe.base.stop import Stop
from kanoe.environments.distributions import find_needs
from kanoe.environments.imports import find_imports
from kanoe.environments.lock import Lock
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.sources import CodeSource, bring_tree, find_tree, left_out
from kanoe.environments.uv import Progress, quiet
from kanoe.ir.code import CellCode, parse_cell
from kanoe.ir.notebook import Cell, Notebook
from kanoe.ir.source import Source


def take_trees(
    needs: Needs, source: Source, store: Path, *, progress: Progress = quiet, stop: Stop | None = None
) -> tuple[Needs, tuple[Requirement, ...]]:
    """Return the needs without what trees stand for but with what these import themselves, and the trees.

    Args:
        needs: with every source pinned (`pin_sources`).
        source: whose cells say which parts of a module are imported.
        store: the folder of brought trees.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        UnavailableError: `source-unreachable`.
        CancelledError: `stop` was requested.
    """
    found = [(need, origin) for need in needs.requirements if (origin := find_tree(need)) is not None]
    if not found:
        return needs, ()
    cells = [parse_cell(cell.source) for cell in source.notebook.code_cells]
    requirements = {(need.name, need.marker): need for need in needs.requirements}
    taken: list[Requirement] = []
    remarks: list[Diagnostic] = []
    for need, origin in found:
        del requirements[need.name, need.marker]
        try:
            module = bring_tree(need, origin, store, progress=progress, stop=stop)
        except UnavailableError as problem:
            if not need.optional:
                raise
            remarks.append(left_out(need, problem.diagnostics[0].message))
            continue
        taken.append(replace(need, name=origin.distribution, guessed=False))
        for inner in _needs_of(origin, module.parent, cells).requirements:
            known = requirements.get((inner.name, inner.marker))
            requirements[inner.name, inner.marker] = inner if known is None else _joined(known, inner)
    rest = tuple(requirements[key] for key in sorted(requirements))
    return replace(needs, requirements=rest, diagnostics=(*needs.diagnostics, *remarks)), tuple(taken)


def with_trees(lock: Lock, trees: Sequence[Requirement]) -> Lock:
    """Return a lock that names the trees too; no installer sees them."""
    if not trees:
        return lock
    requirements = (*lock.requirements, *trees)
    return replace(lock, requirements=tuple(sorted(requirements, key=lambda one: (one.name, one.marker))))


def trees_of(lock: Lock, store: Path, *, progress: Progress = quiet, stop: Stop | None = None) -> tuple[Path, ...]:
    """Return the modules that a lock takes as they are, brought if they are not there.

    Raises:
        UnavailableError: `source-unreachable`.
        CancelledError: `stop` was requested.
    """
    found = [(need, source) for need in lock.requirements if (source := find_tree(need)) is not None]
    return tuple(bring_tree(need, source, store, progress=progress, stop=stop) for need, source in found)


def _needs_of(source: CodeSource, folder: Path, cells: Sequence[CellCode]) -> Needs:
    """Return what a module needs that lies in a folder, as far as the cells reach into it."""
    lines = [f"import {source.module}"]
    for found in find_imports(cells):
        if found.top == source.module:
            lines.append(
                f"from {found.module} import {', '.join(found.names)}" if found.names else f"import {found.module}"
            )
    cell = Cell(id="imports", kind="code", source="\n".join(lines))
    return find_needs(Source(folder / "-", "script", Notebook((cell,))))


def _joined(known: Requirement, inner: Requirement) -> Requirement:
    return replace(
        known,
        why=tuple(dict.fromkeys((*known.why, *inner.why))),
        modules=tuple(sorted({*known.modules, *inner.modules})),
        optional=known.optional and inner.optional,
        guessed=known.guessed and inner.guessed,
    )
