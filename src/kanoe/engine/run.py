"""The engine's loop: steps in, events out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kanoe.base.stop import Stop
from kanoe.engine.cells import Step
from kanoe.engine.events import Event, LimitNear, ProgramEnded, RunState, TaskEnded, TaskStarted, TaskState
from kanoe.engine.runner import Runner, Task

# How long an interrupted cell may take to end before its process is ended for it: less where a person waits.
_GRACE_SECONDS = 10.0
_USER_GRACE_SECONDS = 1.0
_NEAR = 0.9


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: seconds for the whole run and for one cell (`None`: no limit), and whether to go on after an error.

    `spent_seconds` are those of the run that earlier attempts took.
    """

    run_seconds: float | None = None
    cell_seconds: float | None = None
    keep_going: bool = False
    spent_seconds: float = 0.0


def run_program(
    steps: Sequence[Step], runner: Runner, limits: Limits, stop: Stop, *, idle: Callable[[], None] = lambda: None
) -> Iterator[Event]:
    """Run the steps in order and yield what happens, ending with `ProgramEnded`.

    A cell that fails ends the program (the rest is SKIPPED) unless `limits.keep_going`; a cell whose process is gone, a limit of
    time, or `stop` ends it always. The runner is not closed. `idle` is called now and then while a task says nothing.
    """
    started = time.monotonic()
    state = RunState.SUCCEEDED
    ending: str | None = None
    for step in steps:
        skip = ending or step.skip
        if skip is None and stop.requested:
            state, skip = RunState.CANCELLED, "the run was interrupted"
            ending = skip
        if skip is not None:
            yield TaskEnded(task=step.task.id, state=TaskState.SKIPPED, seconds=0.0, reason=skip)
            continue
        ended = None
        for event in _run_task(step.task, runner, limits, stop, started, idle):
            ended = event if isinstance(event, TaskEnded) else ended
            yield event
        assert ended is not None
        if ended.state is TaskState.FAILED and not (step.error_expected and _only_failed(ended)):
            state = RunState.FAILED
            ending = None if limits.keep_going and _only_failed(ended) else f"{step.task.name} failed"
        elif ended.state is TaskState.CANCELLED:
            state, ending = RunState.CANCELLED, "the run was interrupted"
    yield ProgramEnded(state=state, seconds=time.monotonic() - started)


def _only_failed(ended: TaskEnded) -> bool:
    """Whether the cell raised an error of its own: its process lives and the next cell can run."""
    return not ended.details.get("fatal", False)


def _run_task(
    task: Task, runner: Runner, limits: Limits, stop: Stop, program_started: float, idle: Callable[[], None]
) -> Iterator[Event]:
    """Yield a task's events, ending with its `TaskEnded`, interrupting it where a limit or the user says so."""
    yield TaskStarted(task=task.id, cell=task.cell, title=task.title, attempt=task.attempt)
    runner.start(task)
    # The start of the place that the first task waits for is not the cell's time.
    deadlines = _deadlines(limits, time.monotonic(), program_started)
    warned: set[str] = set()
    stopped: _Deadline | None = None
    stopped_at = 0.0
    while True:
        idle()
        for event in runner.wait():
            if isinstance(event, TaskEnded) and event.task == task.id:
                yield _ending(event, stopped)
                return
            yield event
        now = time.monotonic()
        if stopped is None:
            stopped, stopped_at = _due(deadlines, now, stop), now
            if stopped is not None:
                runner.stop(task)
            else:
                yield from _near(task, deadlines, now, warned)
        elif stop.level > 1 or now - stopped_at > _grace(stop):
            runner.close()


@dataclass(frozen=True, slots=True, order=True)
class _Deadline:
    """When a limit of time ends a task, its code, what is told then, and its seconds."""

    moment: float
    code: str
    text: str
    seconds: float


def _deadlines(limits: Limits, started: float, program_started: float) -> list[_Deadline]:
    deadlines = []
    if limits.cell_seconds is not None:
        text = f"it took longer than {limits.cell_seconds:g} s (--cell-timeout)"
        deadlines.append(_Deadline(started + limits.cell_seconds, "cell-timeout", text, limits.cell_seconds))
    if limits.run_seconds is not None:
        text = f"the run took longer than {limits.run_seconds:g} s (--timeout)"
        moment = program_started + limits.run_seconds - limits.spent_seconds
        deadlines.append(_Deadline(moment, "run-timeout", text, limits.run_seconds))
    return sorted(deadlines)


def _near(task: Task, deadlines: list[_Deadline], now: float, warned: set[str]) -> Iterator[Event]:
    """Yield each limit of time of which little is left, once for a task."""
    for deadline in deadlines:
        spent = deadline.seconds - (deadline.moment - now)
        if spent >= deadline.seconds * _NEAR and deadline.code not in warned:
            warned.add(deadline.code)
            yield LimitNear(task=task.id, limit=deadline.code, seen=spent, bound=deadline.seconds)


def _grace(stop: Stop) -> float:
    return _USER_GRACE_SECONDS if stop.requested else _GRACE_SECONDS


def _due(deadlines: list[_Deadline], now: float, stop: Stop) -> _Deadline | None:
    """Return what stops the task now."""
    if stop.requested:
        return _Deadline(now, "run-cancelled", "the run was interrupted", 0.0)
    return next((deadline for deadline in deadlines if now >= deadline.moment), None)


def _ending(ended: TaskEnded, stopped: _Deadline | None) -> TaskEnded:
    """Return the task's end; a task that we stopped ended for our reason, unless it was done already."""
    if stopped is None or ended.state is TaskState.SUCCEEDED:
        return ended
    state = TaskState.CANCELLED if stopped.code == "run-cancelled" else TaskState.FAILED
    fatal = bool(ended.details.get("fatal")) or stopped.code != "cell-timeout"
    details = {**ended.details, "stopped": stopped.code, "seconds": stopped.seconds, "fatal": fatal}
    return replace(ended, state=state, reason=stopped.text, details=details)
