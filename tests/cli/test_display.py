"""What is shown while a run goes on."""

from __future__ import annotations

import io

import pytest

from kanoe.base.diagnostics import error, info
from kanoe.cli.display import Quiet
from kanoe.engine.events import AttemptChosen, AttemptStarted, Event, Noted, RunEnded, RunState


def attempt(number: int) -> list[Event]:
    return [AttemptStarted(attempt=number), Noted(diagnostic=error("cell-failed", f"in {number}"))]


END = RunEnded(state=RunState.SUCCEEDED, seconds=1.0)
EARLY = Noted(diagnostic=error("internal", "early"))


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ([Noted(diagnostic=info("revived", "x")), END], ""),
        ([EARLY], "error: early\n"),
        ([EARLY, *attempt(1), END], "error: early\nerror: in 1\n"),
        ([*attempt(1), AttemptStarted(attempt=2), END], ""),
        ([*attempt(1), *attempt(2), END], "error: in 2\n"),
        ([*attempt(1), *attempt(2), AttemptChosen(attempt=1), END], "error: in 1\n"),
    ],
)
def test_quiet_shows_the_errors_that_count_once(events: list[Event], shown: str) -> None:
    out = io.StringIO()
    display = Quiet(out)
    for event in events:
        display.show(event)
    display.close()
    assert out.getvalue() == shown
