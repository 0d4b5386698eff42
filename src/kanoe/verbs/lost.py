"""Runs whose Kanoe is gone: what they left is cleaned, and they are LOST for good."""

from __future__ import annotations

import contextlib
from pathlib import Path

from kanoe.back.lost_folder import finish_lost
from kanoe.base.errors import KanoeError
from kanoe.base.files import remove_tree
from kanoe.engine.events import RunState
from kanoe.front.notebook import parse_notebook
from kanoe.ir.notebook import Notebook
from kanoe.sandbox.control_groups import remove_left_groups
from kanoe.store.alive import Trace, dead, is_alive, taken_over
from kanoe.store.home import Store
from kanoe.store.left_over import LeftOver, clean_after, find_half_made
from kanoe.store.records import Records, RunRecord


def settle_lost(store: Store) -> list[LeftOver]:
    """Clean what dead processes left in the store and beside it; return what was half made and is removed.

    Any number of Kanoe may do it at once. Trouble with one thing keeps nothing else from being cleaned.

    Raises:
        UnavailableError: the records cannot be used.
    """
    records = Records(store.records)
    for trace in dead(store.alive):
        with contextlib.suppress(OSError), taken_over(store.alive, trace) as held:
            if held:
                clean_after(trace, store.alive)
                _remove_unrecorded(trace, store, records)
    for record in records.unfinished():
        if not is_alive(store.alive, record.id):
            _settle(record, records)
    remove_left_groups()
    left = find_half_made(store)
    for one in left:
        remove_tree(one.path)
    return left


def _settle(record: RunRecord, records: Records) -> None:
    """Make a run LOST for good; one that ended while we looked keeps its end."""
    if all(other.id != record.id for other in records.unfinished()):
        return
    directory, seconds = Path(record.directory), 0.0
    if directory.is_dir():
        with contextlib.suppress(OSError):
            seconds = finish_lost(directory, record.id, _read_notebook(directory / "notebook.ipynb"))
    records.end(record.id, str(RunState.LOST), seconds)


def _read_notebook(path: Path) -> Notebook | None:
    with contextlib.suppress(OSError, KanoeError):
        return parse_notebook(path.read_bytes(), path.name)[0]
    return None


def _remove_unrecorded(trace: Trace, store: Store, records: Records) -> None:
    """Remove the folder of a run that died before anybody could know of it."""
    folder = store.path / "runs" / trace.name
    if trace.kind == "run" and folder.is_dir() and all(record.id != trace.name for record in records.recent(None)):
        remove_tree(folder)
