"""The folder of a run whose Kanoe is gone: made whole from its events, as far as they go."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kanoe.back.document import ExecutedDocument
from kanoe.back.kaggle_log import kaggle_log
from kanoe.base.diagnostics import error
from kanoe.base.files import remove_tree, replace_file
from kanoe.base.journal import read_journal
from kanoe.engine.events import (
    Event,
    Noted,
    RunState,
    TaskEnded,
    TaskEvent,
    TaskStarted,
    event_from_dict,
    standing,
)
from kanoe.engine.report import Report, ReportFold
from kanoe.ir.notebook import Notebook


def finish_lost(directory: Path, run: str, notebook: Notebook | None) -> float:
    """Bring notebook, log and `run.json` of a lost run up to its last event; return how many seconds that is after its first.

    Args:
        directory: the run's folder.
        run: its id.
        notebook: what stands in `notebook.ipynb`; `None` where that cannot be read, and it is then left as it is.

    Raises:
        OSError: the folder cannot be written.
    """
    for left in directory.glob(".*.part"):
        remove_tree(left)
    events = list(_read(directory / "events.jsonl"))
    if notebook is not None:
        _write_notebook(directory, notebook, events)
    with contextlib.suppress(FileNotFoundError):
        replace_file(directory / "log.json", kaggle_log(standing(lambda: events)))
    seconds = max(0.0, events[-1].time - events[0].time) if events else 0.0
    _write_facts(directory, run, events, seconds)
    return seconds


def report_so_far(directory: Path, state: RunState) -> Report:
    """Return the report of a run without one of its own, which goes on or is LOST: what its events say so far."""
    return _report(list(_read(directory / "events.jsonl")), state)


def _report(events: list[Event], state: RunState) -> Report:
    starts = [event for event in events if isinstance(event, TaskStarted) and event.cell is not None]
    names = {event.task: (f"cell {event.cell}", event.cell or 0) for event in starts}
    fold = ReportFold(names)
    for event in events:
        if not isinstance(event, TaskEvent) or event.task in names:
            fold.take(event)
    if state is RunState.LOST:
        ended = {event.task for event in events if isinstance(event, TaskEnded)}
        last = starts[-1] if starts and starts[-1].task not in ended else None
        message = "the run's Kanoe was killed, or the machine went down"
        if last is not None:
            message += f", while cell {last.cell} ran"
        fold.take(Noted(diagnostic=error("run-lost", message, hint="What was written before is here; run it again")))
    seconds = max(0.0, events[-1].time - events[0].time) if events else 0.0
    return replace(fold.report(), state=state, seconds=seconds)


def _read(path: Path) -> Iterator[Event]:
    with contextlib.suppress(FileNotFoundError):
        for record in read_journal(path):
            event = event_from_dict(record)
            if event is not None:
                yield event


def _write_notebook(directory: Path, notebook: Notebook, events: list[Event]) -> None:
    """Write the notebook with all outputs that the events hold, beside the old one, which it then replaces."""
    tasks = {event.cell: event.task for event in events if isinstance(event, TaskStarted)}
    cells, position = [], 0
    for cell in notebook.cells:
        cells.append(cell)
        if cell.kind == "code":
            # Formats without ids for cells give them anew at every reading.
            cells[-1] = replace(cell, id=tasks.get(position, cell.id))
            position += 1
    beside = directory / ".notebook.ipynb.part"
    document = ExecutedDocument(replace(notebook, cells=tuple(cells)), beside)
    for event in standing(lambda: events):
        if not isinstance(event, TaskEvent) or event.task in tasks.values():
            document.take(event)
    document.write()
    beside.replace(directory / "notebook.ipynb")


def _write_facts(directory: Path, run: str, events: list[Event], seconds: float) -> None:
    facts: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        facts = json.loads((directory / "run.json").read_bytes())
    report = replace(_report(events, RunState.LOST), run=run, directory=str(directory), seconds=seconds)
    facts = {"version": 1, "run": run, **facts, "report": report.as_dict()}
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    replace_file(directory / "run.json", (text + "\n").encode("utf-8", "backslashreplace"))
