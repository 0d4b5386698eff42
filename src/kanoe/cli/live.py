"""The live display at a terminal: finished cells scroll up, one line below them moves."""

from __future__ import annotations

import time

import rich.live
from rich.console import Console
from rich.spinner import Spinner
from rich.text import Text

from kanoe.base.diagnostics import Severity
from kanoe.cli.texts import diagnostic_lines, end_line, event_lines, seconds_text, visible
from kanoe.engine.events import (
    AttemptStarted,
    Event,
    Noted,
    ProgramStarted,
    RunEnded,
    RunStarted,
    StageChanged,
    TaskEnded,
    TaskStarted,
    TaskState,
)

_COLOURS = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


class _Now:
    """The moving line: what happens now, and since when."""

    def __init__(self) -> None:
        self._spinner = Spinner("dots")
        self._text = ""
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """Begin something."""
        text = visible(text)
        if text != self._text:
            self._text, self._started = text, time.monotonic()

    def __rich__(self) -> Text:
        frame = self._spinner.render(time.monotonic())
        assert isinstance(frame, Text)
        seconds = seconds_text(time.monotonic() - self._started)
        return Text.assemble(frame, " ", self._text, (f"  {seconds}", "dim"), overflow="ellipsis", no_wrap=True)


class Live:
    """Shows a run at a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._now = _Now()
        self._live = rich.live.Live(self._now, console=self._console, refresh_per_second=8, transient=True)
        self._started: dict[str, TaskStarted] = {}
        self._width = 1
        self._total = 0
        self._live.start()

    def show(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted() | AttemptStarted():
                for line in event_lines(event):
                    self._console.print(Text(visible(line), style="bold"))
            case StageChanged():
                self._show_stage(event)
            case ProgramStarted():
                self._total = event.tasks
                self._width = len(str(max(event.tasks - 1, 0)))
            case TaskStarted():
                self._started[event.task] = event
                self._now.say(f"cell {event.cell} of {self._total}  {event.title}")
            case TaskEnded():
                self._show_end(event)
            case Noted():
                lines = diagnostic_lines(event.diagnostic)
                self._console.print(Text(visible(lines[0]), style=_COLOURS[event.diagnostic.severity]))
                for line in lines[1:]:
                    self._console.print(Text(visible(line)))
            case RunEnded():
                self.close()
            case _:
                pass

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _show_stage(self, event: StageChanged) -> None:
        share = f" {event.fraction:.0%}" if event.fraction is not None else ""
        if event.done:
            self._console.print(Text(f"{event.stage:<12}", style="dim") + Text(visible(event.text)))
        else:
            self._now.say(f"{event.stage}: {event.text}{share}")

    def _show_end(self, event: TaskEnded) -> None:
        if event.task not in self._started:
            return
        style = {TaskState.FAILED: "bold red", TaskState.CANCELLED: "yellow"}.get(event.state, "")
        line = end_line(event, self._started[event.task], self._width)
        self._console.print(Text(visible(line), style=style, overflow="ellipsis", no_wrap=True))
