"""The engine's loop: steps in, events out."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kanoe.base.stop import Stop
from kanoe.engine.cells import Step
from kanoe.engine.events import (
    Event,
    LimitNear,
    ProgramEnded,
    RunState,
    TaskEnded,
    TaskHeld,
    TaskMessage,
    TaskStarted,
    TaskState,
)
from kanoe.engine.memory import Memory, Verdict
from kanoe.engine.runner import Runner, Task
from kanoe.engine.state import State
from kanoe.ir.trace import AS_FOUND, Reference, Trace, Value

# How long an interrupted cell may take to end before its process is ended for it: less where a person waits.
_GRACE_SECONDS = 10.0
_USER_GRACE_SECONDS = 1.0
_NEAR = 0.9
_VALUES = ("name:", "def:", "out:", "random:", "file:")
# After so many cells that came to something else when they ran again, nothing that is remembered is used any more.
_MOST_RESTARTS = 3
# So often a cell that runs again may say that it needs yet other cells first.
_MOST_HOLDS = 10
# Characters of output that are remembered; a cell that prints more runs again.
_MOST_TOLD = 64 << 20


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
    steps: Sequence[Step],
    runner: Runner,
    limits: Limits,
    stop: Stop,
    *,
    idle: Callable[[], None] = lambda: None,
    memory: Memory | None = None,
    state: State | None = None,
) -> Iterator[Event]:
    """Run the steps in order and yield what happens, ending with `ProgramEnded`.

    A cell that fails ends the program (the rest is SKIPPED) unless `limits.keep_going`; a cell whose process is gone, a limit of
    time, or `stop` ends it always. The runner is not closed. `idle` is called now and then while a task says nothing.

    A step that `memory` knows is CACHED: its messages are told again and its writes applied to `state`. In order, so that at every
    moment the state is that of a run from top to bottom.
    """
    return _Walk(steps, runner, limits, stop, idle, memory, state or State()).run()


class _Messages:
    """What a task told, as far as it is worth remembering: `told` is `None` where it is too much."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Mapping[str, Any]]] | None = []
        self._size = 0

    def take(self, event: TaskMessage) -> None:
        """Remember a message."""
        text = event.content.get("text") if event.message == "stream" else event.content
        self._size += len(text) if isinstance(text, str) else len(repr(text))
        if self.told is not None:
            self.told.append((event.message, event.content))
        if self._size > _MOST_TOLD:
            self.told = None


@dataclass(slots=True)
class _Walk:
    """One walk over the steps."""

    steps: Sequence[Step]
    runner: Runner
    limits: Limits
    stop: Stop
    idle: Callable[[], None]
    memory: Memory | None
    state: State
    started: float = 0.0
    position: int = 0
    result: RunState = RunState.SUCCEEDED
    ending: str | None = None
    # Steps that must run whatever is remembered: an execution of them came to something else than the one before.
    unsteady: set[int] = field(default_factory=set)
    # Steps that need every variable there is: an execution of them looked up one that nobody foresaw.
    wide: set[int] = field(default_factory=set)
    restarts: int = 0
    # What was remembered of this run's steps, and of which of them more was told since: by threads that go on.
    recorded: dict[str, tuple[Step, Trace, _Messages]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    session: str | None = None
    executions: dict[int, str] = field(default_factory=dict)

    def run(self) -> Iterator[Event]:
        """Yield what happens."""
        self.started = time.monotonic()
        while self.position < len(self.steps):
            step = self.steps[self.position]
            skip = self.ending or step.skip
            if skip is None and self.stop.requested:
                self.result, skip = RunState.CANCELLED, "the run was interrupted"
                self.ending = skip
            if skip is not None:
                yield TaskEnded(task=step.task.id, state=TaskState.SKIPPED, seconds=0.0, reason=skip)
                self.position += 1
                continue
            yield from self._take(step)
        yield ProgramEnded(state=self.result, seconds=time.monotonic() - self.started)

    def _take(self, step: Step) -> Iterator[Event]:
        """Reuse a step or run it."""
        step = replace(step, task=self._counted(step.task, self.position))
        if self.memory is not None:
            self.state.begin(step.task.earlier)
        verdict = Verdict(None, self._unsteady_reason())
        if verdict.reason is None and self.memory is not None:
            verdict = self.memory.look_up(step, self.state)
        reason = verdict.reason
        names = verdict.names if self.position not in self.wide else self._names()
        step = replace(step, task=replace(step.task, names=names))
        if verdict.trace is not None:
            if self._take_in(verdict.trace):
                yield from self._retell(step, verdict, verdict.trace)
                self.position += 1
                return
            reason = "a file that it wrote is damaged or gone"
        ended = yield from self._execute(step, reason)
        if ended is None:
            return
        self._judge(step, ended)
        self.position += 1

    def _names(self) -> tuple[str, ...]:
        return tuple(name.removeprefix("name:") for name in self.state.values if name.startswith("name:"))

    def _unsteady_reason(self) -> str | None:
        return "it came to something else when it ran again" if self.position in self.unsteady else None

    def _judge(self, step: Step, ended: TaskEnded) -> None:
        """Decide whether the program goes on."""
        if ended.state is TaskState.FAILED and not (step.error_expected and _only_failed(ended)):
            self.result = RunState.FAILED
            self.ending = None if self.limits.keep_going and _only_failed(ended) else f"{step.task.name} failed"
        elif ended.state is TaskState.CANCELLED:
            self.result, self.ending = RunState.CANCELLED, "the run was interrupted"

    def _take_in(self, trace: Trace) -> bool:
        """Take in what an earlier execution wrote; whether its files are there."""
        assert self.memory is not None
        self.state.apply(self.position, trace.writes)
        self.executions[self.position] = trace.execution
        if self.memory.lay_down(self.state.values):
            self.state.rewind(self.position)
            return False
        return True

    def _retell(self, step: Step, verdict: Verdict, trace: Trace) -> Iterator[Event]:
        """Tell what an earlier execution told."""
        task = step.task
        yield TaskStarted(task=task.id, cell=task.cell, title=task.title, attempt=task.attempt)
        for kind, content in verdict.messages:
            yield TaskMessage(task=task.id, message=kind, content=_counted(content, task.count))
        details = {"reused": {"run": trace.run, "moment": trace.moment, "seconds": trace.seconds}}
        yield TaskEnded(
            task=task.id, state=TaskState.CACHED, seconds=0.0, reason=verdict.reason, details=details, trace=trace
        )

    def _execute(self, step: Step, reason: str | None) -> Generator[Event, None, TaskEnded | None]:
        """Run a step, after the steps that must run again for it; returns its end, or `None` where the walk went back."""
        held: set[tuple[Reference, ...]] = set()
        while True:
            messages = _Messages()
            last: TaskEnded | TaskHeld | None = None
            lacking = self._lack_files(step.task, self.state.values)
            if lacking is not None:
                if not self._replay(lacking, held):
                    return (yield from self._cancelled(step))
                continue
            task = self._with_state(step.task, self.state.values)
            for event in self._run_task(task):
                if isinstance(event, TaskEnded | TaskHeld) and event.task == step.task.id:
                    last = event
                    continue
                if self._hear(event, step.task.id, messages):
                    yield event
            if isinstance(last, TaskEnded):
                break
            assert last is not None
            yield last
            if not self._replay(last, held):
                return (yield from self._cancelled(step))
        return (yield from self._settle(replace(step, task=task), last, messages, reason))

    def _settle(
        self, step: Step, last: TaskEnded, messages: _Messages, reason: str | None
    ) -> Generator[Event, None, TaskEnded | None]:
        """Take in and tell a step's end; `None` where it is not known what it wrote, and all begins anew."""
        if not self._commit(step, last, messages):
            over = self._over()
            if over is None:
                yield TaskHeld(task=step.task.id, needs=(), reason=str(last.details.get("unwatched", "")))
                if last.details.get("narrow") and self.position not in self.wide:
                    self.wide.add(self.position)
                    self._go_back(self.position)
                else:
                    self._forget()
                return None
            last = _cut_off(last, over)
        self._record_late()
        yield replace(last, reason=last.reason or reason)
        return last

    def _hear(self, event: Event, task: str, messages: _Messages) -> bool:
        """Remember what a step tells, or a thread that an earlier one left; whether it is told to others: of a replay nothing is."""
        if self.memory is None or not isinstance(event, TaskMessage):
            return True
        if event.task == task:
            messages.take(event)
        elif event.task in self.recorded:
            self.recorded[event.task][2].take(event)
            self.late.add(event.task)
        return event.task == task or event.task in self.recorded

    def _record_late(self) -> None:
        """Remember again the steps of which more was told."""
        for name in self.late:
            step, trace, messages = self.recorded[name]
            if messages.told is not None and self.memory is not None:
                self.memory.record(step, trace, messages.told)
        self.late.clear()

    def _over(self) -> _Deadline | None:
        """Return why nothing can run any more: the user stopped the run, or its time is spent."""
        now = time.monotonic()
        return _due(_deadlines(replace(self.limits, cell_seconds=None), now, self.started), now, self.stop)

    def _cancelled(self, step: Step) -> Generator[Event, None, TaskEnded | None]:
        """End a step that was stopped while others ran for it; `None` where nobody stopped it and the walk went back."""
        if not self.stop.requested:
            return None
        ended = TaskEnded(task=step.task.id, state=TaskState.CANCELLED, seconds=0.0, reason="the run was interrupted")
        yield ended
        return ended

    def _lack_files(self, task: Task, values: Mapping[Reference, Value]) -> TaskHeld | None:
        """Lay down the files of a state; what is missing must be made again first."""
        missing = self.memory.lay_down(values) if self.memory is not None else ()
        return TaskHeld(task=task.id, needs=tuple(missing)) if missing else None

    def _found(self, reads: Mapping[Reference, str | None]) -> dict[Reference, str | None]:
        """Return what a cell read with the hashes that the session does not know: what lay in the folders when the cell started."""
        return {
            reference: self.state.hash_of(reference) if digest == AS_FOUND else digest
            for reference, digest in reads.items()
        }

    def _with_state(self, task: Task, values: Mapping[Reference, Value]) -> Task:
        """Return a task that starts from a state, whose files are there."""
        if self.memory is None:
            return task
        return replace(task, state=dict(values), execution=task.execution or uuid.uuid4().hex, session=self.session)

    def _counted(self, task: Task, position: int) -> Task:
        """Return a task with the number that Jupyter gives it in a run from top to bottom."""
        earlier = tuple(step.task.code for step in self.steps[:position] if step.skip is None)
        count = 1 + len(earlier) if self.memory is not None else None
        return replace(task, count=count, earlier=earlier, session=self.session)

    def _commit(self, step: Step, ended: TaskEnded, messages: _Messages) -> bool:
        """Take in what a step wrote, and remember it if it may be reused; whether it is known what the next step finds."""
        if self.memory is None:
            return True
        if ended.details.get("left"):
            # What comes now finds no process, as it would without being watched.
            self.memory = None
            return True
        if ended.trace is None:
            return not _only_failed(ended) or ended.state is TaskState.CANCELLED
        trace = replace(ended.trace, reads=self._found(ended.trace.reads), execution=step.task.execution)
        as_told = ended.state is TaskState.SUCCEEDED or (step.error_expected and _only_failed(ended))
        if as_told and messages.told is not None:
            trace = self.memory.record(step, replace(trace, error=ended.reason), messages.told)
            self.recorded[step.task.id] = (step, trace, messages)
        self.state.apply(self.position, trace.writes)
        self.executions[self.position] = trace.execution
        return True

    def _replay(self, held: TaskHeld, before: set[tuple[Reference, ...]]) -> bool:
        """Run the cells again that made what has no bytes, in order and untold; whether they came to the same as before.

        Where they did not, the walk goes back to the first of them, which then runs for all to see. What was needed already
        `before` cannot be had so.
        """
        if self.stop.requested:
            return False
        if held.needs in before:
            self._forget()
            return False
        before.add(held.needs)
        positions = sorted(
            {self.state.writers[reference] for reference in held.needs if reference in self.state.writers}
        )
        for position in positions:
            if not self._run_again(position):
                if not self.stop.requested:
                    self._go_back(position)
                    self.unsteady.add(position)
                return False
        if not positions:
            self._forget()
        return bool(positions)

    def _run_again(self, position: int) -> bool:
        step = self.steps[position]
        # What it tells now was told: also what its threads tell while others run.
        task = replace(step.task, id=f"{step.task.id}/again", execution=self.executions.get(position, ""))
        step = replace(step, task=task)
        before = self.state.before(position)
        last: TaskEnded | TaskHeld | None = None
        for _ in range(_MOST_HOLDS):
            last = self._lack_files(step.task, before)
            for event in (
                self._run_task(self._with_state(self._counted(step.task, position), before)) if not last else ()
            ):
                last = event if isinstance(event, TaskEnded | TaskHeld) and event.task == step.task.id else last
            if not isinstance(last, TaskHeld):
                break
            writers = {self.state.writer_before(position, reference) for reference in last.needs}
            earlier = sorted(number for number in writers if number is not None)
            if not earlier or not all(self._run_again(number) for number in earlier):
                return False
        if not isinstance(last, TaskEnded) or last.trace is None or self.memory is None:
            return False
        after = self.state.before(position + 1)
        # What a library's import does to settings belongs to whichever cell runs first in a process.
        return all(
            (value.hash if value is not None else None) == (after[reference].hash if reference in after else None)
            for reference, value in last.trace.writes.items()
            if reference.startswith(_VALUES)
        )

    def _go_back(self, position: int) -> None:
        self.restarts += 1
        if self.restarts > _MOST_RESTARTS:
            self._forget()
            return
        self.state.rewind(position)
        # What ran again left its threads and files' handles where the cell is to run for all to see.
        self.session = f"again {self.restarts}"
        self.position = position

    def _forget(self) -> None:
        """Run everything from the top in a new session, as if nothing were remembered."""
        if self.memory is not None:
            self.memory.forget()
        self.memory, self.session, self.position = None, "plain", 0
        self.state.rewind(0)
        self.result, self.ending = RunState.SUCCEEDED, None

    def _run_task(self, task: Task) -> Iterator[Event]:
        """Yield a task's events, ending with its `TaskEnded`, interrupting it where a limit or the user says so."""
        yield TaskStarted(task=task.id, cell=task.cell, title=task.title, attempt=task.attempt)
        self.runner.start(task)
        # The start of the place that the first task waits for is not the cell's time.
        deadlines = _deadlines(self.limits, time.monotonic(), self.started)
        warned: set[str] = set()
        stopped: _Deadline | None = None
        stopped_at = 0.0
        while True:
            self.idle()
            for event in self.runner.wait():
                if isinstance(event, TaskEnded) and event.task == task.id:
                    yield _ending(event, stopped)
                    return
                if isinstance(event, TaskHeld) and stopped is not None and not self.stop.requested:
                    yield _ending(TaskEnded(task=task.id, state=TaskState.FAILED, seconds=0.0), stopped)
                    return
                yield event
                if isinstance(event, TaskHeld):
                    return
            now = time.monotonic()
            if stopped is None:
                stopped, stopped_at = _due(deadlines, now, self.stop), now
                if stopped is not None:
                    self.runner.stop(task)
                else:
                    yield from _near(task, deadlines, now, warned)
            elif self.stop.level > 1 or now - stopped_at > _grace(self.stop):
                self.runner.close()


def _only_failed(ended: TaskEnded) -> bool:
    """Whether the cell raised an error of its own: its process lives and the next cell can run."""
    return not ended.details.get("fatal", False)


def _counted(content: Mapping[str, Any], count: int | None) -> Mapping[str, Any]:
    """Return a message's content with the number that its cell has now."""
    return {**content, "execution_count": count} if "execution_count" in content else content


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


def _cut_off(ended: TaskEnded, over: _Deadline) -> TaskEnded:
    """Return the end of a task of which it is not known what it wrote: where the run's time is spent, nothing may follow."""
    return ended if over.code == "run-cancelled" else _ending(replace(ended, state=TaskState.FAILED), over)


def _ending(ended: TaskEnded, stopped: _Deadline | None) -> TaskEnded:
    """Return the task's end; a task that we stopped ended for our reason, unless it was done already."""
    if stopped is None or ended.state is TaskState.SUCCEEDED:
        return ended
    state = TaskState.CANCELLED if stopped.code == "run-cancelled" else TaskState.FAILED
    fatal = bool(ended.details.get("fatal")) or stopped.code != "cell-timeout"
    details = {**ended.details, "stopped": stopped.code, "seconds": stopped.seconds, "fatal": fatal}
    return replace(ended, state=state, reason=stopped.text, details=details)
