"""The Runner of live kernels: cells run in one real ipykernel inside the sandbox, top to bottom."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import signal
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kanoe.back.limit_texts import describe_limit
from kanoe.back.tracking import (
    FINISH,
    PREPARE,
    REPLIES,
    RESTORE,
    Answer,
    MalformedError,
    NarrowError,
    TrackedSession,
    Tracking,
)
from kanoe.back.widgets import OutputWidgets
from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.files import read_untrusted
from kanoe.base.processes import check_stop
from kanoe.base.stop import Stop
from kanoe.engine.events import LimitNear, SessionStarted, TaskEnded, TaskEvent, TaskHeld, TaskMessage, TaskState
from kanoe.engine.runner import Task
from kanoe.sandbox.confine import Tool, confine, seen_runtime
from kanoe.sandbox.layout import Layout
from kanoe.sandbox.process import Lifeline, SandboxProcess
from kanoe.sandbox.watch import Mark, Peaks, Watcher, start_watched

if TYPE_CHECKING:
    from kanoe.back.wire import Connection, Message

_TICK_SECONDS = 0.25
_START_SECONDS = 120.0
# How long a kernel may take to run its exit handlers.
_FAREWELL_SECONDS = 5.0
# How long the kernel may be silent between its answer and saying that it is idle, or the other way round.
_HALF_DONE_SECONDS = 2.0
_HURRIED_SECONDS = 0.5
# All that a run may print and display: what is kept of it several times lies in Kanoe's own memory and on the disk.
_MOST_OUTPUT = 1 << 30
# What a kernel sends for a cell that belongs to its output.
_MESSAGES = {
    "stream",
    "display_data",
    "execute_result",
    "update_display_data",
    "error",
    "clear_output",
    "execute_input",
    "comm_open",
    "comm_msg",
    "comm_close",
}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How to start a kernel.

    Args:
        tool: what builds the walls.
        layout: what the kernel sees.
        python: the environment's interpreter.
        worker: the zip that starts the kernel; it must lie below one of the layout's tools.
        script: for a plain script: the path it should believe to be at.
        tracking: how it is watched what tasks with a state read and write; `None`: not at all.
    """

    tool: Tool
    layout: Layout
    python: Path
    worker: Path
    script: str | None = None
    tracking: Tracking | None = None


@dataclass(slots=True)
class _Running:
    """The task that runs now.

    `request` is the one that is under way; `phase` says which: `prepare` (what the cell needs is brought), `execute`, `finish` (what
    it did is told).
    """

    task: Task
    request: str
    phase: Literal["prepare", "execute", "finish"] = "execute"
    started: float = field(default_factory=time.monotonic)
    ended: TaskEnded | None = None
    reply: dict[str, Any] | None = None
    idle: bool = False
    begun: bool = False
    stopped: bool = False
    half_done: float | None = None
    dates: dict[str, str] = field(default_factory=dict)
    error: dict[str, Any] | None = None

    def is_done(self) -> bool:
        """Whether the kernel has answered and is idle, or said one of both and then nothing more.

        An interrupt in the moment between a request and its code makes ipykernel idle without an answer.
        """
        if self.reply is not None and self.idle:
            return True
        if self.reply is None and not self.idle:
            return False
        now = time.monotonic()
        self.half_done = self.half_done or now
        return now - self.half_done > _HALF_DONE_SECONDS


class SessionRunner:
    """Runs tasks in one kernel, which the first task starts and `close` ends."""

    def __init__(self, plan: SessionPlan, stop: Stop | None = None) -> None:
        self._plan = plan
        self._stop = stop
        self._process: SandboxProcess | None = None
        self._connection: Connection | None = None
        self._log = plan.layout.folders.runtime / "kernel.log"
        self._widgets = OutputWidgets(self._send_comm)
        self._tasks: dict[str, str] = {}
        self._running: _Running | None = None
        self._pending: list[TaskEvent] = []
        self._watcher: Watcher | None = None
        self._stopped = False
        self._received = Counter[str]()
        self._output = 0
        self._tracked: TrackedSession | None = None
        self._session: str | None = None

    def start(self, task: Task) -> None:
        """Begin a task; the first one waits until the kernel is there.

        Raises:
            UnavailableError: the kernel did not start.
            CancelledError: a stop was requested before it had.
        """
        if self._process is not None and task.session != self._session:
            self._leave()
        self._session = task.session
        if self._process is None:
            started = time.monotonic()
            language = self._start_kernel()
            seconds = time.monotonic() - started
            self._pending.append(SessionStarted(task=task.id, language=language, seconds=seconds))
        if self._tracked is not None and task.state is not None:
            request = self._request(PREPARE, self._tracked.prepare(task))
            self._running = _Running(task, request, "prepare")
        else:
            self._running = _Running(task, "")
            self._execute(self._running)

    def _request(self, kind: str, content: Mapping[str, Any]) -> str:
        assert self._connection is not None
        return self._connection.request(kind, content)

    def _execute(self, running: _Running) -> None:
        """Let the cell begin."""
        content = {
            "code": running.task.code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        running.phase, running.request = "execute", self._request("execute_request", content)
        self._tasks[running.request] = running.task.id
        if self._watcher is not None:
            self._watcher.begin()
        running.started = time.monotonic()
        running.reply, running.idle, running.half_done = None, False, None

    def _step(self, running: _Running) -> list[TaskEvent]:
        """Go on with a task whose request has been answered."""
        if running.phase == "prepare":
            return self._take_prepared(running)
        if running.phase == "execute":
            running.ended = self._ended(running)
            if self._tracked is None or running.task.state is None:
                self._running = None
                return [running.ended]
            running.phase = "finish"
            self._ask(running, FINISH, {"budget": running.ended.cpu or running.ended.seconds})
            return []
        self._running = None
        return [self._with_trace(running)]

    def _ask(self, running: _Running, kind: str, content: Mapping[str, Any]) -> None:
        running.request = self._request(kind, content)
        running.reply, running.idle, running.half_done = None, False, None

    def _take_prepared(self, running: _Running) -> list[TaskEvent]:
        assert self._tracked is not None
        try:
            answer = self._tracked.take_reply(running.reply or {})
        except MalformedError as problem:
            answer = Answer("lost", why=str(problem))
        if answer.kind == "run":
            self._execute(running)
        elif answer.kind == "request":
            self._ask(running, RESTORE, answer.content)
        else:
            self._running = None
            return [TaskHeld(task=running.task.id, needs=answer.needs, reason=answer.why)]
        return []

    def _with_trace(self, running: _Running) -> TaskEnded:
        """Return a cell's end with what it read and wrote; without, where that cannot be known."""
        assert self._tracked is not None
        assert running.ended is not None
        ended = running.ended
        try:
            trace = self._tracked.take_trace(running.reply or {})
        except (MalformedError, OSError) as problem:
            narrow = isinstance(problem, NarrowError)
            return replace(ended, details={**ended.details, "unwatched": str(problem)[:2000], "narrow": narrow})
        return replace(
            ended, trace=replace(trace, seconds=ended.seconds, cpu=ended.cpu, memory=ended.memory, error=ended.reason)
        )

    def _leave(self) -> None:
        """End the session; the next task starts another."""
        self.close()
        self._process, self._tracked = None, None
        self._tasks.clear()

    def wait(self) -> Sequence[TaskEvent]:
        """Return what happened."""
        events, self._pending = self._pending, []
        if self._connection is None or self._process is None:
            return [*events, *self._died()]
        messages = self._connection.receive(0 if events else _TICK_SECONDS)
        for message in messages:
            events += self._take(message)
        running = self._running
        if running is not None and running.is_done():
            events += self._step(running)
        elif self._output > _MOST_OUTPUT and self._process.poll() is not None:
            events += self._died()
        elif not messages and self._process.poll() is not None:
            for message in self._connection.receive(0.05):
                events += self._take(message)
            events += self._died()
        elif running is not None and self._watcher is not None:
            events += [_near(running.task, mark) for mark in self._watcher.warnings()]
        return events

    def stop(self, task: Task) -> None:
        """Interrupt the cell as the stop button of Jupyter does."""
        self._stopped = True
        running = self._running
        if running is not None and running.task is task:
            running.stopped = True
            if running.begun:
                self._interrupt()

    def _interrupt(self) -> None:
        """Interrupt what the kernel runs; before it runs anything, it is deaf."""
        if self._process is not None:
            self._process.interrupt()

    def close(self) -> None:
        """End the kernel and everything it started."""
        if self._process is not None:
            if self._connection is not None and self._running is None and self._process.poll() is None:
                with contextlib.suppress(Exception):
                    self._connection.request("shutdown_request", {"restart": False}, channel="control")
                self._process.end(seconds=_HURRIED_SECONDS if self._stopped else _FAREWELL_SECONDS)
            else:
                self._process.end(seconds=0.0)
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _start_kernel(self) -> dict[str, Any]:
        from kanoe.back.wire import Connection  # noqa: PLC0415 - a run that reuses every cell talks to no kernel

        plan = self._plan
        runtime = plan.layout.folders.runtime
        seen_at = seen_runtime(plan.tool, plan.layout)
        self._connection = Connection(runtime, seen_at)
        lifeline = Lifeline()
        configuration = {
            "words": f"{seen_at}/words-",
            "connection": f"{seen_at}/connection.json",
            "log": f"{seen_at}/kernel.log",
            "script": plan.script,
            "lifeline": lifeline.end.fileno(),
            "tracking": plan.tracking.configuration if plan.tracking is not None else None,
        }
        (runtime / "worker.json").write_text(json.dumps(configuration))
        confined = confine(plan.tool, plan.layout, [str(plan.python), str(plan.worker), f"{seen_at}/worker.json"])
        with self._log.open("ab") as log:
            self._process, self._watcher = start_watched(confined, plan.layout, log, lifeline=lifeline)
        self._tracked = TrackedSession(plan.tracking) if plan.tracking is not None else None
        return self._greet(self._connection, self._process)

    def _greet(self, connection: Connection, process: SandboxProcess) -> dict[str, Any]:
        """Wait until the kernel answers and its output channel reaches us; return its `language_info`.

        A subscription takes effect some time after the socket is there, so the question is asked again until both have come.
        """
        language: dict[str, Any] | None = None
        heard = False
        deadline = time.monotonic() + _START_SECONDS
        connection.request("kernel_info_request", {})
        while language is None or not heard:
            messages = connection.receive(0.05)
            if self._stop is not None and self._stop.requested:
                process.end(seconds=0.0)
                check_stop(self._stop)
            heard = heard or any(message.channel == "iopub" for message in messages)
            for message in messages:
                if message.kind == "kernel_info_reply":
                    language = message.content.get("language_info", {})
                    if not heard:
                        connection.request("kernel_info_request", {})
            if not messages and (process.poll() is not None or time.monotonic() > deadline):
                status = process.poll()
                process.end(seconds=0.0)
                raise UnavailableError(self._not_started(status))
        return language

    def _not_started(self, status: int | None) -> Any:
        why = "did not answer" if status is None else f"ended at its start, {_describe_status(status)}"
        said = self._tail(3)
        return error(
            "kernel-start",
            f"the notebook's process {why}" + (f": {said}" if said else ""),
            hint="`kernel.log` in the run's folder has all it said; `kanoe env show` shows which versions it found",
        )

    def _take(self, message: Message) -> list[TaskEvent]:
        """Return the events that a message stands for."""
        running = self._running
        if running is not None and message.parent == running.request:
            self._note_progress(running, message)
        if message.channel != "iopub":
            return []
        if message.kind == "stream":
            self._received[message.content["name"]] += len(message.content["text"].encode("utf-8", "surrogatepass"))
        task = self._tasks.get(message.parent)
        if task is None or message.kind not in _MESSAGES or not self._has_room(message.size):
            return []
        content = dict(message.content)
        if message.buffers:
            content["buffers"] = [base64.b64encode(buffer).decode() for buffer in message.buffers]
        if message.kind.startswith("comm_"):
            self._widgets.follow(message.kind, content)
        redirected = self._widgets.redirect(message.parent, message.kind, content)
        if redirected is not None:
            # Each time all that the widget shows.
            if not self._has_room(len(json.dumps(redirected))):
                return []
            return [TaskMessage(task=task, message="comm_msg", content=redirected)]
        return [TaskMessage(task=task, message=message.kind, content=content)]

    def _has_room(self, size: int) -> bool:
        """Count output; without room for more the program is ended."""
        self._output += size
        if self._output > _MOST_OUTPUT and self._watcher is not None:
            self._watcher.end(Mark("output", self._output, _MOST_OUTPUT, final=True))
        return self._output <= _MOST_OUTPUT

    def _note_progress(self, running: _Running, message: Message) -> None:
        if message.channel != "iopub":
            if message.kind in REPLIES | {"execute_reply"}:
                running.reply = message.content
                if running.phase == "execute":
                    running.dates["shell.execute_reply"] = message.date
        elif message.kind == "status":
            state = message.content.get("execution_state")
            if running.phase == "execute":
                running.dates[f"iopub.status.{state}"] = message.date
            running.idle = running.idle or state == "idle"
        elif message.kind == "execute_input":
            running.dates["iopub.execute_input"] = message.date
            running.begun = True
            if running.stopped:
                self._interrupt()
        elif message.kind == "error":
            running.error = message.content

    def _ended(self, running: _Running) -> TaskEnded:
        """Return the end of a cell that the kernel has answered."""
        reply = running.reply or {"status": "error", "ename": "KeyboardInterrupt", "evalue": ""}
        status = reply.get("status")
        details: dict[str, Any] = {"execution": running.dates}
        reason = None
        if status != "ok":
            problem = running.error or reply
            reason = _headline(problem)
            details["error"] = {
                "ename": problem.get("ename", "Error"),
                "evalue": _ANSI.sub("", str(problem.get("evalue", ""))),
                "line": _line(problem.get("traceback") or ()),
                "library": _library(problem.get("traceback") or ()),
            }
        return self._end(running, TaskState.SUCCEEDED if status == "ok" else TaskState.FAILED, reason, details)

    def _end(self, running: _Running, state: TaskState, reason: str | None, details: dict[str, Any]) -> TaskEnded:
        seconds = time.monotonic() - running.started
        peaks = self._watcher.peaks() if self._watcher is not None else Peaks()
        if state is TaskState.FAILED:
            details["used"] = {"memory": peaks.memory, "processes": peaks.tasks, "shared": peaks.shared}
        return TaskEnded(
            task=running.task.id,
            state=state,
            seconds=seconds,
            reason=reason,
            memory=peaks.memory or None,
            cpu=peaks.cpu,
            disk=peaks.disk,
            details=details,
        )

    def _died(self) -> list[TaskEvent]:
        """Return the end of a cell whose process is gone."""
        running, self._running = self._running, None
        if running is None:
            return []
        if running.phase == "prepare":
            return [TaskHeld(task=running.task.id, needs=(), reason="the notebook's process ended")]
        if running.ended is not None:
            # The cell told its process to end, or the process did not survive our look at its values.
            left = self._process is not None and self._process.poll() == 0
            return [replace(running.ended, details={**running.ended.details, "left": left})]
        status = self._process.poll() if self._process is not None else None
        reason = "the notebook's process ended" + (f" {_describe_status(status)}" if status is not None else "")
        details: dict[str, Any] = {"fatal": True, "died": status, "said": self._tail(12), "execution": running.dates}
        reached = self._watcher.reached if self._watcher is not None else None
        if reached is not None:
            details["limit"] = {"name": reached.limit, "seen": reached.seen, "bound": reached.bound}
            reason = describe_limit(reached)
        last = self._last_words(running.task)
        return [*last, self._end(running, TaskState.FAILED, reason, details)]

    def _last_words(self, task: Task) -> list[TaskMessage]:
        """Return what was printed and not sent when the process ended."""
        found = []
        for name in ("stdout", "stderr"):
            try:
                content = read_untrusted(self._plan.layout.folders.runtime / f"words-{name}")
                before, length = struct.unpack_from("<QQ", content)
            except (OSError, struct.error):
                continue
            text = content[16:][max(0, self._received[name] - before) : length].decode("utf-8", "replace")
            if text:
                found.append(TaskMessage(task=task.id, message="stream", content={"name": name, "text": text}))
        return found

    def _tail(self, lines: int) -> str:
        """Return what the process itself said: the first lines of a crash, else the last lines of all."""
        try:
            text = read_untrusted(self._log, most=65536).decode(errors="replace")
        except OSError:
            return ""
        said = [line for line in text.splitlines() if line.strip()]
        crashes = [position for position, line in enumerate(said) if line.startswith("Fatal Python error")]
        return "\n".join(said[crashes[-1] :][:lines] if crashes else said[-lines:])

    def _send_comm(self, content: dict[str, Any]) -> None:
        if self._connection is not None:
            self._connection.request("comm_msg", content)


def _near(task: Task, mark: Mark) -> LimitNear:
    return LimitNear(task=task.id, limit=mark.limit, seen=mark.seen, bound=mark.bound)


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"with exit status {status}"
    try:
        return f"by signal {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


def _headline(problem: dict[str, Any]) -> str:
    """Return `NameError: name 'x' is not defined`, one line."""
    name = str(problem.get("ename", "Error"))
    lines = [line.strip() for line in _ANSI.sub("", str(problem.get("evalue", ""))).splitlines()]
    # Some frame what they say in rows of stars.
    telling = next((line for line in lines if re.search(r"[^\W_]", line)), lines[0] if lines else "")
    first = f"{name}: {telling}".strip()
    return first.removesuffix(":") if len(first) <= 500 else first[:500] + "…"


# The head of a frame that lies in a cell, as IPython 7 to 9 write it, and of a syntax error's place.
_CELL_FRAME = re.compile(r"(?:Cell In ?\[\d+\]|<ipython-input-[^>]*>|/ipykernel_\d+/\d+\.py)[^\n]*")
_LINKS = ("The above exception was the direct cause", "During handling of the above exception")


def _library(traceback: Sequence[str]) -> str | None:
    """Return the installed module that the cell called when it failed: that of the outermost frame which is none of a cell's."""
    found = re.search(r"site-packages/(\w+)", _ANSI.sub("", "\n".join(traceback)))
    return found.group(1) if found else None


def _line(traceback: Sequence[str]) -> int | None:
    """Return the line of the cell that a traceback of IPython points at, that of the last exception of a chain."""
    text = _ANSI.sub("", "\n".join(traceback))
    parts = re.split("|".join(_LINKS), text)
    for part in reversed(parts):
        frame = _CELL_FRAME.search(part)
        if frame is None:
            continue
        found = re.search(r"line (\d+)", frame.group()) or re.search(r"^-+> ?(\d+)", part[frame.end() :], re.MULTILINE)
        if found is not None:
            return int(found.group(1))
    return None
