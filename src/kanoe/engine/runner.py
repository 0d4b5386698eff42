"""The first seam: a Runner executes one task at a time in one place; and its fake, for tests and trials."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kanoe.engine.events import TaskEnded, TaskEvent, TaskMessage, TaskState
from kanoe.ir.trace import Reference, Value


@dataclass(frozen=True, slots=True)
class Task:
    """One execution of a cell.

    Args:
        id: unique in the run; every event of the task carries it.
        name: for people: `cell 3`.
        cell: position among the code cells, from 0.
        code: what to execute.
        title: the line of the code that says most about it, for people.
        attempt: 1 for the first.
        state: what everything holds that the cell can read; `None`: whatever the session holds, and nothing is watched.
        count: the number that Jupyter gives the execution; `None`: the session's next.
        names: variables that the code looked up in earlier executions, by whatever means.
        earlier: the sources of the cells that run before it.
        execution: what names the execution; a replay has the name of what it repeats.
        speculative: whether it may turn out that the task was not to run: its effects must wait. No runner does that yet.
        session: which session it should run in, where there are several. No runner has several yet.
    """

    id: str
    name: str
    cell: int
    code: str
    title: str = ""
    attempt: int = 1
    state: Mapping[Reference, Value] | None = None
    count: int | None = None
    names: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    execution: str = ""
    speculative: bool = False
    session: str | None = None


class Runner(Protocol):
    """Executes tasks.

    The contract, tested for every implementation: after `start(task)`, `wait()` returns the task's messages in order and exactly
    one `TaskEnded` as its last event, whatever happens to the process behind, or `TaskHeld` as its only one; `stop` makes that end
    come soon (CANCELLED);
    `close` leaves no process behind and may be called at any time, more than once.
    """

    def start(self, task: Task) -> None:
        """Begin a task; raises `UnavailableError` where the place itself cannot be had."""

    def wait(self) -> Sequence[TaskEvent]:
        """Return what happened; waits for at most about a quarter of a second, then returns nothing."""

    def stop(self, task: Task) -> None:
        """Interrupt a task: a request, answered by its `TaskEnded`."""

    def close(self) -> None:
        """End everything."""


@dataclass(frozen=True, slots=True)
class Script:
    """What a fake runner does with a task: the text it prints, how it ends, and whether it runs until it is stopped."""

    prints: str = ""
    state: TaskState = TaskState.SUCCEEDED
    reason: str | None = None
    endless: bool = False


class FakeRunner:
    """A runner without processes: `script` says what each task does."""

    def __init__(self, script: Callable[[Task], Script] = lambda task: Script(prints=task.code)) -> None:
        self.started: list[Task] = []
        self.closed = False
        self._script = script
        self._events: deque[TaskEvent] = deque()

    def start(self, task: Task) -> None:
        """Begin a task."""
        self.started.append(task)
        script = self._script(task)
        if script.prints:
            content = {"name": "stdout", "text": script.prints}
            self._events.append(TaskMessage(task=task.id, message="stream", content=content))
        if not script.endless:
            self._events.append(TaskEnded(task=task.id, state=script.state, seconds=0.0, reason=script.reason))

    def wait(self) -> Sequence[TaskEvent]:
        """Return what happened."""
        events: Iterable[TaskEvent] = list(self._events)
        self._events.clear()
        return list(events)

    def stop(self, task: Task) -> None:
        """End a task."""
        self._events.append(TaskEnded(task=task.id, state=TaskState.CANCELLED, seconds=0.0, reason="interrupted"))

    def close(self) -> None:
        """End everything."""
        self.closed = True
