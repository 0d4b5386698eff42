"""What a run came to: a fold over its events, and the one JSON object that programs rely on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kanoe.base.diagnostics import Diagnostic, Severity
from kanoe.base.errors import ExitCode
from kanoe.engine.events import (
    AttemptChosen,
    AttemptStarted,
    Event,
    Noted,
    RunEnded,
    RunStarted,
    RunState,
    TaskEnded,
    TaskStarted,
    TaskState,
)


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What came of one task; times are seconds since 1970, `None` where it never started.

    `memory` (the most bytes), `cpu` (seconds) and `disk` (bytes that the working folder grew by) are `None` where nobody measured.
    `saved` are the seconds that a reused cell took when it ran.
    """

    name: str
    state: TaskState
    reason: str | None
    seconds: float
    start: float | None
    end: float | None
    attempts: int
    cells: tuple[int, ...]
    memory: int | None = None
    cpu: float | None = None
    disk: int | None = None
    saved: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `--json` reports: times as ISO 8601 in UTC."""
        return {
            "name": self.name,
            "state": str(self.state),
            "reason": self.reason,
            "seconds": round(self.seconds, 6),
            "start": iso_time(self.start),
            "end": iso_time(self.end),
            "attempts": self.attempts,
            "cells": list(self.cells),
            "memory": self.memory,
            "cpu": round(self.cpu, 6) if self.cpu is not None else None,
            "disk": self.disk,
            "saved": round(self.saved, 6),
        }


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a run left: its name below `working/`, KFP's artifact type, where it is, and what is known of it."""

    name: str
    uri: str
    type: str = "system.Artifact"
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `--json` reports."""
        return {"name": self.name, "type": self.type, "uri": self.uri, "metadata": dict(self.metadata)}


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to.

    Args:
        run: its id; `None` where it never began.
        state: how it ended.
        directory: its folder; `None` where it never began.
        seconds: wall time.
        tasks: one per code cell, in order.
        outputs: values by name (none for a plain notebook).
        artifacts: files the notebook left in its working folder.
        diagnostics: what was found wrong or worth knowing.
        exit_code: what the `kanoe` command returns.
        reproduction: how the outputs compare with those that the author's file carries; `None` where it carries none, or the run
            did not come to its cells.
        verification: with `--verify`: how it compares with a fresh run from top to bottom; `None` where it was not compared.
    """

    run: str | None
    state: RunState
    directory: str | None
    seconds: float
    tasks: tuple[TaskReport, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    exit_code: ExitCode = ExitCode.SUCCEEDED
    reproduction: Mapping[str, Any] | None = None
    verification: Mapping[str, Any] | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run succeeded."""
        return self.state is RunState.SUCCEEDED

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that say why it did not."""
        return tuple(entry for entry in self.diagnostics if entry.severity is Severity.ERROR)

    def as_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "run": self.run,
            "state": str(self.state),
            "directory": self.directory,
            "seconds": round(self.seconds, 6),
            "tasks": [task.as_dict() for task in self.tasks],
            "outputs": dict(self.outputs),
            "artifacts": [artifact.as_dict() for artifact in self.artifacts],
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.diagnostics],
            "reproduction": dict(self.reproduction) if self.reproduction is not None else None,
            "verification": dict(self.verification) if self.verification is not None else None,
        }


def iso_time(moment: float | None) -> str | None:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return (
        None
        if moment is None
        else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


@dataclass
class _Attempt:
    """What has come of one attempt; number 0 stands for what came before the first."""

    number: int = 0
    starts: dict[str, TaskStarted] = field(default_factory=dict)
    ends: dict[str, TaskEnded] = field(default_factory=dict)
    diagnostics: dict[Diagnostic, None] = field(default_factory=dict)


class ReportFold:
    """Builds a report from events as they come.

    Args:
        names: the name and the cell of every task, by its id, in order.
    """

    def __init__(self, names: Mapping[str, tuple[str, int]]) -> None:
        self._names = names
        self._common: dict[Diagnostic, None] = {}
        self._now = _Attempt()
        self._earlier: dict[int, _Attempt] = {}
        self._run: RunStarted | None = None
        self._end: RunEnded | None = None

    def take(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case TaskStarted():
                self._now.starts[event.task] = event
            case TaskEnded():
                self._now.ends[event.task] = event
            case Noted():
                self._now.diagnostics[event.diagnostic] = None
            case AttemptStarted():
                self._begin_attempt(event.attempt)
            case AttemptChosen():
                self._earlier[self._now.number] = self._now
                self._now = self._earlier[event.attempt]
            case RunStarted():
                self._run = event
            case RunEnded():
                self._end = event
            case _:
                pass

    def report(self, artifacts: Iterable[Artifact] = (), exit_code: ExitCode = ExitCode.SUCCEEDED) -> Report:
        """Return the report of what has come so far; a run without an end is RUNNING."""
        return Report(
            run=self._run.run if self._run else None,
            state=self._end.state if self._end else RunState.RUNNING,
            directory=self._run.directory if self._run else None,
            seconds=self._end.seconds if self._end else 0.0,
            tasks=tuple(self._task(task) for task in self._names if task in self._now.ends),
            artifacts=tuple(artifacts),
            diagnostics=tuple({**self._common, **self._now.diagnostics}),
            exit_code=exit_code,
        )

    def _begin_attempt(self, number: int) -> None:
        """Set aside what the attempt before came to; what was noted before the first counts for all."""
        if self._now.number:
            self._earlier[self._now.number] = self._now
        else:
            self._common |= self._now.diagnostics
        self._now = _Attempt(number)

    def _task(self, task: str) -> TaskReport:
        name, cell = self._names[task]
        started, ended = self._now.starts.get(task), self._now.ends[task]
        return TaskReport(
            name=name,
            state=ended.state,
            reason=ended.reason,
            seconds=ended.seconds,
            start=started.time if started else None,
            end=ended.time if started else None,
            attempts=started.attempt if started else 0,
            cells=(cell,),
            memory=ended.memory,
            cpu=ended.cpu,
            disk=ended.disk,
            saved=ended.details.get("reused", {}).get("seconds", 0.0),
        )
