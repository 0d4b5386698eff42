"""Events survive the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kanoe.base.diagnostics import error
from kanoe.base.journal import Journal, read_journal
from kanoe.engine.events import (
    Event,
    Noted,
    ProgramEnded,
    ProgramStarted,
    RunEnded,
    RunStarted,
    RunState,
    SessionStarted,
    StageChanged,
    TaskEnded,
    TaskMessage,
    TaskStarted,
    TaskState,
    event_from_dict,
)

EVENTS: list[Event] = [
    RunStarted(run="r", source="/n.ipynb", directory="/d"),
    StageChanged(stage="environment", text="building", fraction=0.5),
    ProgramStarted(tasks=3, sandbox="bubblewrap"),
    TaskStarted(task="c", cell=0, title="x = 1"),
    SessionStarted(task="c", language={"name": "python"}, seconds=0.4),
    TaskMessage(task="c", message="stream", content={"name": "stdout", "text": "ž\ud800"}),
    TaskEnded(task="c", state=TaskState.FAILED, seconds=1.0, reason="r", memory=1, cpu=0.5, details={"a": [1]}),
    Noted(diagnostic=error("cell-failed", "m", place="p", hint="h")),
    ProgramEnded(state=RunState.FAILED, seconds=2.0),
    RunEnded(state=RunState.FAILED, seconds=3.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_survives_json(event: Event) -> None:
    assert event_from_dict(json.loads(json.dumps(event.as_dict()))) == event


def test_events_survive_the_journal_and_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    for event in EVENTS:
        journal.append(event.as_dict())
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"event": "run-en')
    assert [event_from_dict(record) for record in read_journal(journal.path)] == EVENTS


def test_an_event_of_a_newer_kanoe_is_none_and_a_newer_field_is_left_out() -> None:
    assert event_from_dict({"event": "unheard-of", "time": 1.0}) is None
    record = {**EVENTS[2].as_dict(), "unheard": 1}
    assert event_from_dict(record) == EVENTS[2]
