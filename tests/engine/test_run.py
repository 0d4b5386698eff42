"""The engine's loop, with the fake runner: order, skips, failures, limits, interrupts."""

from __future__ import annotations

import pytest

from kanoe.base.stop import Stop
from kanoe.engine.cells import plan_cells
from kanoe.engine.events import Event, ProgramEnded, RunState, TaskEnded, TaskMessage, TaskStarted, TaskState
from kanoe.engine.run import Limits, run_program
from kanoe.engine.runner import FakeRunner, Script, Task
from kanoe.ir.notebook import Cell, Notebook


def steps_of(*sources: str, tags: dict[int, list[str]] | None = None):
    cells = tuple(
        Cell(id=f"c{n}", kind="code", source=source, metadata={"tags": (tags or {}).get(n, [])})
        for n, source in enumerate(sources)
    )
    return plan_cells(Notebook(cells))


def run(steps, runner, limits=Limits(), stop=None) -> list[Event]:
    return list(run_program(steps, runner, limits, stop or Stop()))


def ends(events: list[Event]) -> list[tuple[str, TaskState]]:
    return [(event.task, event.state) for event in events if isinstance(event, TaskEnded)]


def state(events: list[Event]) -> RunState:
    assert isinstance(events[-1], ProgramEnded)
    return events[-1].state


def failing(*names: str, fatal: bool = False):
    def script(task: Task) -> Script:
        return Script(state=TaskState.FAILED, reason="boom") if task.id in names else Script(prints=task.code)

    return FakeRunner(script)


def test_cells_run_in_order_and_every_task_ends_once() -> None:
    runner = FakeRunner()
    events = run(steps_of("a", "b", "c"), runner)
    assert [task.code for task in runner.started] == ["a", "b", "c"]
    assert ends(events) == [(f"c{n}", TaskState.SUCCEEDED) for n in range(3)]
    assert [event.content["text"] for event in events if isinstance(event, TaskMessage)] == ["a", "b", "c"]
    assert state(events) is RunState.SUCCEEDED


def test_a_task_starts_before_its_messages_and_ends_after_them() -> None:
    kinds = [type(event) for event in run(steps_of("a"), FakeRunner())]
    assert kinds == [TaskStarted, TaskMessage, TaskEnded, ProgramEnded]


def test_the_first_failure_ends_the_run_and_says_why_the_rest_is_skipped() -> None:
    runner = failing("c1")
    events = run(steps_of("a", "b", "c", "d"), runner)
    assert ends(events) == [
        ("c0", TaskState.SUCCEEDED),
        ("c1", TaskState.FAILED),
        ("c2", TaskState.SKIPPED),
        ("c3", TaskState.SKIPPED),
    ]
    assert {event.reason for event in events if isinstance(event, TaskEnded) and event.state is TaskState.SKIPPED} == {
        "cell 1 failed"
    }
    assert state(events) is RunState.FAILED
    assert len(runner.started) == 2


def test_keep_going_runs_the_rest_and_the_run_still_failed() -> None:
    events = run(steps_of("a", "b", "c"), failing("c0"), Limits(keep_going=True))
    assert [end for _, end in ends(events)] == [TaskState.FAILED, TaskState.SUCCEEDED, TaskState.SUCCEEDED]
    assert state(events) is RunState.FAILED


def test_an_expected_error_does_not_fail_the_run() -> None:
    events = run(steps_of("a", "b", tags={0: ["raises-exception"]}), failing("c0"))
    assert [end for _, end in ends(events)] == [TaskState.FAILED, TaskState.SUCCEEDED]
    assert state(events) is RunState.SUCCEEDED


@pytest.mark.parametrize(("source", "tags"), [("", []), ("  \n ", []), ("x", ["skip-execution"])])
def test_blank_and_tagged_cells_are_skipped_with_a_reason(source: str, tags: list[str]) -> None:
    runner = FakeRunner()
    events = run(steps_of(source, "b", tags={0: tags}), runner)
    assert ends(events)[0] == ("c0", TaskState.SKIPPED)
    assert next(event for event in events if isinstance(event, TaskEnded)).reason
    assert [task.code for task in runner.started] == ["b"]
    assert state(events) is RunState.SUCCEEDED


def test_no_cells_is_a_run_that_succeeds() -> None:
    assert state(run((), FakeRunner())) is RunState.SUCCEEDED


def test_a_cell_over_its_time_is_interrupted_and_fails_the_run() -> None:
    runner = FakeRunner(lambda task: Script(endless=task.id == "c0"))
    events = run(steps_of("a", "b"), runner, Limits(cell_seconds=0.01))
    assert ends(events) == [("c0", TaskState.FAILED), ("c1", TaskState.SKIPPED)]
    end = next(event for event in events if isinstance(event, TaskEnded))
    assert end.details["stopped"] == "cell-timeout"
    assert "--cell-timeout" in (end.reason or "")


def test_with_keep_going_a_cell_over_its_time_does_not_stop_the_next() -> None:
    runner = FakeRunner(lambda task: Script(endless=task.id == "c0"))
    events = run(steps_of("a", "b"), runner, Limits(cell_seconds=0.01, keep_going=True))
    assert [end for _, end in ends(events)] == [TaskState.FAILED, TaskState.SUCCEEDED]


def test_a_run_over_its_time_stops_even_with_keep_going() -> None:
    runner = FakeRunner(lambda task: Script(endless=True))
    events = run(steps_of("a", "b"), runner, Limits(run_seconds=0.01, keep_going=True))
    assert ends(events) == [("c0", TaskState.FAILED), ("c1", TaskState.SKIPPED)]
    assert state(events) is RunState.FAILED


def test_the_run_limit_counts_what_earlier_attempts_took() -> None:
    runner = FakeRunner(lambda task: Script(endless=True))
    events = run(steps_of("a"), runner, Limits(run_seconds=3600.0, spent_seconds=3600.0))
    assert ends(events) == [("c0", TaskState.FAILED)]


def test_a_request_to_stop_interrupts_the_cell_and_cancels_the_run() -> None:
    stop = Stop()
    runner = FakeRunner(lambda task: Script(prints="started", endless=True))
    events = []
    for event in run_program(steps_of("a", "b"), runner, Limits(), stop):
        events.append(event)
        if isinstance(event, TaskMessage):
            stop.request()
    assert ends(events) == [("c0", TaskState.CANCELLED), ("c1", TaskState.SKIPPED)]
    assert state(events) is RunState.CANCELLED


def test_a_request_before_the_start_runs_nothing() -> None:
    stop = Stop()
    stop.request()
    runner = FakeRunner()
    events = run(steps_of("a"), runner, stop=stop)
    assert runner.started == []
    assert state(events) is RunState.CANCELLED


def test_a_cell_that_ends_well_while_it_is_stopped_keeps_its_result() -> None:
    class Late(FakeRunner):
        def stop(self, task: Task) -> None:
            self._events.append(TaskEnded(task=task.id, state=TaskState.SUCCEEDED, seconds=0.0))

    events = run(steps_of("a"), Late(lambda task: Script(endless=True)), Limits(cell_seconds=0.01))
    assert ends(events) == [("c0", TaskState.SUCCEEDED)]
