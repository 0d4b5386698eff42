"""The engine's loop, with the fake runner: order, skips, failures, limits, interrupts."""

from __future__ import annotations

import pytest

from kanoe.base.stop import Stop
from kanoe.engine.cells import plan_cells
from kanoe.engine.events import Event, LimitNear, ProgramEnded, RunState, TaskEnded, TaskMessage, TaskStarted, TaskState
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


class _Slow(FakeRunner):
    """Takes its time between two answers, and hears a stop only when it is closed, if at all."""

    def __init__(self, clock: list[float], *, deaf: bool = False) -> None:
        super().__init__(lambda task: Script(endless=True))
        self.closed_at = 0.0
        self._clock, self._deaf = clock, deaf

    def wait(self):
        self._clock[0] += 0.25
        return super().wait()

    def stop(self, task: Task) -> None:
        if not self._deaf:
            super().stop(task)

    def close(self) -> None:
        if not self.closed:
            self.closed_at = self._clock[0]
            super().stop(self.started[-1])
        super().close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("kanoe.engine.run.time.monotonic", lambda: now[0])
    return now


def test_near_a_limit_of_time_there_is_one_warning_for_each_cell_and_limit(clock: list[float]) -> None:
    events = run(steps_of("one"), _Slow(clock), Limits(run_seconds=20.0, cell_seconds=19.0))
    near = [(event.limit, event.bound) for event in events if isinstance(event, LimitNear)]
    assert near == [("cell-timeout", 19.0), ("run-timeout", 20.0)]
    assert all(event.bound * 0.9 <= event.seen < event.bound for event in events if isinstance(event, LimitNear))


@pytest.mark.parametrize(("interrupted", "least", "most"), [(True, 1.0, 2.0), (False, 10.0, 12.0)])
def test_a_person_waits_for_a_deaf_cell_less_long_than_a_limit_does(
    clock: list[float], interrupted: bool, least: float, most: float
) -> None:
    stop = Stop()
    if interrupted:

        class Interrupted(_Slow):
            def start(self, task: Task) -> None:
                super().start(task)
                stop.request()

        runner: _Slow = Interrupted(clock, deaf=True)
        run(steps_of("one"), runner, stop=stop)
        assert least <= runner.closed_at <= most
    else:
        runner = _Slow(clock, deaf=True)
        run(steps_of("one"), runner, Limits(cell_seconds=1.0))
        assert least <= runner.closed_at - 1.0 <= most
