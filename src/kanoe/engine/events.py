"""What happened in a run, as frozen values: the only output of the engine.

The command line, the executed notebook, Kaggle's log, the records and the tests are all folds over this one stream. In a run's
`events.jsonl` each event is one line: an object with `event` (the kind), `time` (seconds since 1970) and the event's fields.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Self

from kanoe.base.diagnostics import Diagnostic
from kanoe.ir.trace import Reference, Trace


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


class TaskState(StrEnum):
    """How a task ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CACHED = "CACHED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    kind: ClassVar[str] = ""
    time: float = field(default_factory=time.time)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        record: dict[str, Any] = {"event": self.kind}
        for name in (entry.name for entry in fields(self) if entry.repr):
            value = getattr(self, name)
            record[name] = value.as_dict() if isinstance(value, Diagnostic) else value
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild an event; fields of a newer Kanoe are left out."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """The run exists: its folder is there.

    Args:
        run: the run's id.
        source: the file that runs, absolute.
        directory: the run's folder, absolute.
    """

    kind: ClassVar[str] = "run-started"
    run: str
    source: str
    directory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChanged(Event):
    """Work before the first task: `queue`, `environment`, `data`, `sandbox`.

    Args:
        stage: its name.
        text: what is being done, for people.
        fraction: from 0 to 1, or `None` where nobody knows.
        done: whether the stage is over.
    """

    kind: ClassVar[str] = "stage"
    stage: str
    text: str
    fraction: float | None = None
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    """The program is about to run in one of several environments that may be tried; what an earlier attempt came to no longer counts.

    Args:
        attempt: 1 for the first.
        text: which environment this is, for people; empty for the first.
        reason: why the earlier attempt was not the last, or `None`.
    """

    kind: ClassVar[str] = "attempt-started"
    attempt: int
    text: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptChosen(Event):
    """No attempt succeeded, and an earlier one came further than the last: what it came to is the run's.

    Args:
        attempt: its number.
    """

    kind: ClassVar[str] = "attempt-chosen"
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStarted(Event):
    """The first task is about to start.

    Args:
        tasks: how many tasks the program has.
        sandbox: `bubblewrap` or `none`.
    """

    kind: ClassVar[str] = "program-started"
    tasks: int
    sandbox: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent(Event):
    """Something that happened to a task."""

    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(TaskEvent):
    """A task was handed to the runner.

    Args:
        cell: position among the code cells, from 0; `None` for a task that is no cell.
        title: the line of its code that says most about it, for people.
        attempt: 1 for the first.
    """

    kind: ClassVar[str] = "task-started"
    cell: int | None = None
    title: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(TaskEvent):
    """A kernel came up for the task.

    Args:
        language: the kernel's own `language_info`.
        seconds: how long its start took.
    """

    kind: ClassVar[str] = "session-started"
    language: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMessage(TaskEvent):
    """A message of the Jupyter protocol that belongs to a task's output.

    Args:
        message: `stream`, `display_data`, `execute_result`, `update_display_data`, `error`, `clear_output`, `execute_input`,
            `comm_open`, `comm_msg`, `comm_close` (https://jupyter-client.readthedocs.io/en/stable/messaging.html).
        content: the message's content; binary buffers stand under `buffers`, base64.
    """

    kind: ClassVar[str] = "message"
    message: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNear(TaskEvent):
    """A task came near a limit, and goes on.

    Args:
        limit: `memory`, `disk`, `processes`, `cell-timeout` or `run-timeout`.
        seen: bytes, processes or seconds that it came to.
        bound: where it will be ended.
    """

    kind: ClassVar[str] = "limit-near"
    limit: str
    seen: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded(TaskEvent):
    """A task is over.

    Args:
        state: how.
        seconds: wall time.
        reason: why it did not succeed, or why it did not run; `None` else.
        memory: the most resident bytes of the task's processes that were seen, or `None`.
        cpu: CPU seconds that the task used, or `None`; the first task's hold the start of its process.
        disk: the most bytes that the working folder grew by during the task, or `None`.
        details: what the place knows besides: the kernel's own time stamps of a cell.
        trace: what the cell read and wrote, where that was watched; it goes to the store and not into the journal.
    """

    kind: ClassVar[str] = "task-ended"
    state: TaskState
    seconds: float
    reason: str | None = None
    memory: int | None = None
    cpu: float | None = None
    disk: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    trace: Trace | None = field(default=None, repr=False)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild the event."""
        return super(TaskEnded, cls).from_dict({**record, "state": TaskState(record["state"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHeld(TaskEvent):
    """A task has not begun: it needs what only another cell's execution in the same process can give.

    Args:
        needs: references that have no bytes, or whose bytes are gone; none: the session cannot be brought to where the task starts.
        reason: why, for people.
    """

    kind: ClassVar[str] = "task-held"
    needs: tuple[Reference, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A diagnostic was found."""

    kind: ClassVar[str] = "noted"
    diagnostic: Diagnostic

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild the event."""
        return super(Noted, cls).from_dict({**record, "diagnostic": Diagnostic.from_dict(record["diagnostic"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEnded(Event):
    """The last task is over.

    Args:
        state: SUCCEEDED, FAILED or CANCELLED.
        seconds: wall time of the program, without what went before it.
    """

    kind: ClassVar[str] = "program-ended"
    state: RunState
    seconds: float

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild the event."""
        return super(ProgramEnded, cls).from_dict({**record, "state": RunState(record["state"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run is over and everything of it is written.

    Args:
        state: how the run ended.
        seconds: wall time of the whole run.
    """

    kind: ClassVar[str] = "run-ended"
    state: RunState
    seconds: float

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild the event."""
        return super(RunEnded, cls).from_dict({**record, "state": RunState(record["state"])})


_KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        RunStarted,
        StageChanged,
        AttemptStarted,
        AttemptChosen,
        ProgramStarted,
        TaskStarted,
        SessionStarted,
        TaskMessage,
        LimitNear,
        TaskEnded,
        TaskHeld,
        Noted,
        ProgramEnded,
        RunEnded,
    )
}


def event_from_dict(record: Mapping[str, Any]) -> Event | None:
    """Rebuild an event from a line of `events.jsonl`; `None` for a kind that a newer Kanoe wrote."""
    kind = _KINDS.get(record.get("event", ""))
    return kind.from_dict(record) if kind else None


def standing(read: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    """Yield the events that count: those outside attempts, and those of the attempt that is the run's.

    Args:
        read: returns the events from the first one; called twice, since only the last of them says which attempt that is.
    """
    chosen = 0
    for event in read():
        if isinstance(event, AttemptStarted | AttemptChosen):
            chosen = event.attempt
    attempt = chosen
    begun = False
    for event in read():
        if isinstance(event, AttemptStarted):
            attempt, begun = event.attempt, True
        elif isinstance(event, AttemptChosen):
            attempt = event.attempt
        if attempt == chosen or not begun or isinstance(event, RunEnded):
            yield event
