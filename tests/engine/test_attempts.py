"""A run that takes several attempts: what counts is the last, or the one that is chosen."""

from __future__ import annotations

from kanoe.base.diagnostics import Diagnostic, error, info
from kanoe.engine.events import (
    AttemptChosen,
    AttemptStarted,
    Event,
    Noted,
    RunEnded,
    RunStarted,
    RunState,
    TaskEnded,
    TaskMessage,
    TaskStarted,
    TaskState,
    event_from_dict,
    standing,
)
from kanoe.engine.report import ReportFold

NAMES = {"a": ("cell 0", 0), "b": ("cell 1", 1)}


def attempt(number: int, state: TaskState, *diagnostics: Diagnostic) -> list[Event]:
    return [
        AttemptStarted(attempt=number, text=f"environment {number}"),
        TaskStarted(task="a", cell=0, attempt=number),
        TaskMessage(task="a", message="stream", content={"name": "stdout", "text": f"in {number}"}),
        TaskEnded(task="a", state=TaskState.SUCCEEDED, seconds=float(number)),
        TaskEnded(task="b", state=state, seconds=0.0),
        *(Noted(diagnostic=diagnostic) for diagnostic in diagnostics),
    ]


BEGIN = [RunStarted(run="r", source="s", directory="d"), Noted(diagnostic=info("internet-off", "common"))]
FAILED = error("cell-failed", "AttributeError: append")
END = [RunEnded(state=RunState.SUCCEEDED, seconds=3.0)]


def report(events: list[Event]):
    fold = ReportFold(NAMES)
    for event in events:
        again = event_from_dict(event.as_dict())  # as they come back from `events.jsonl`
        assert again == event
        fold.take(again)
    return fold.report()


def test_an_attempt_that_failed_leaves_nothing_in_the_report() -> None:
    events = [*BEGIN, *attempt(1, TaskState.FAILED, FAILED), *attempt(2, TaskState.SUCCEEDED), *END]
    found = report(events)
    assert [(task.state, task.attempts) for task in found.tasks] == [(TaskState.SUCCEEDED, 2), (TaskState.SUCCEEDED, 0)]
    assert found.tasks[0].seconds == 2.0
    assert [one.message for one in found.diagnostics] == ["common"]


def test_a_chosen_attempt_is_the_result() -> None:
    later = error("cell-failed", "another")
    events = [*BEGIN, *attempt(1, TaskState.FAILED, FAILED), *attempt(2, TaskState.FAILED, later)]
    events += [AttemptChosen(attempt=1), Noted(diagnostic=info("revived", "after")), *END]
    found = report(events)
    assert [one.message for one in found.diagnostics] == ["common", FAILED.message, "after"]
    assert found.tasks[0].attempts == 1


def test_the_standing_events_are_those_of_one_attempt() -> None:
    events: list[Event] = [*BEGIN, *attempt(1, TaskState.FAILED), *attempt(2, TaskState.SUCCEEDED), *END]
    assert texts(standing(lambda: events)) == ["in 2"]
    assert list(standing(lambda: events))[-1] == END[0]
    events[-1:-1] = [AttemptChosen(attempt=1)]
    assert texts(standing(lambda: events)) == ["in 1"]
    assert list(standing(lambda: events))[:2] == BEGIN
    plain = [event for event in attempt(1, TaskState.FAILED) if not isinstance(event, AttemptStarted)]
    assert list(standing(lambda: plain)) == plain


def texts(events) -> list[str]:
    return [event.content["text"] for event in events if isinstance(event, TaskMessage)]
