"""What a run needs beside its distributions: data that libraries read, programs of the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kanoe.base.stop import Stop
from kanoe.engine.events import Event, StageChanged
from kanoe.environments.lock import Lock
from kanoe.environments.programs import absent_programs, bring_program, find_programs, missing_programs
from kanoe.environments.side_data import Brought, bring_side_data, find_side_data
from kanoe.ir.code import parse_cell
from kanoe.ir.source import Source
from kanoe.store.home import Store


def bring_beside(
    source: Source,
    lock: Lock,
    store: Store,
    tell: Callable[[Event], None],
    stop: Stop | None = None,
) -> Brought:
    """Bring the side data of a source and programs that wheels carry; nothing that is missing stops a run.

    Args:
        source: whose cells are read.
        lock: what its environment holds.
        store: where brought data is kept.
        tell: takes events of progress.
        stop: ends the work.

    Raises:
        CancelledError: `stop` was requested.
    """
    cells = [parse_cell(cell.source) for cell in source.notebook.code_cells]
    data = find_side_data(cells)
    brought = Brought()
    if data:
        brought = bring_side_data(
            data,
            lock,
            store.side_data,
            file_name=source.path.name,
            progress=lambda fraction, text: tell(StageChanged(stage="side data", text=text, fraction=fraction)),
            stop=stop,
        )
    programs = find_programs(cells)
    folders = {
        use.program: folder
        for use in absent_programs(programs)
        if (folder := bring_program(use.program, store.side_data / "programs", stop)) is not None
    }
    missing = missing_programs(programs, source.path.name, provided=folders)
    there = tuple(folders.values())
    return replace(
        brought,
        folders=(*brought.folders, *there),
        programs=there,
        diagnostics=(*brought.diagnostics, *missing),
    )
