"""What a person sees while a run goes on: plain lines on stderr, or one live line at a terminal. Nothing here decides anything."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from kanoe.base.diagnostics import Severity
from kanoe.cli.texts import diagnostic_lines, end_line, event_lines, output_text, visible
from kanoe.engine.events import (
    AttemptChosen,
    AttemptStarted,
    Event,
    Noted,
    ProgramStarted,
    RunEnded,
    RunStarted,
    StageChanged,
    TaskEnded,
    TaskMessage,
    TaskStarted,
)


class Display(Protocol):
    """Shows events."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def close(self) -> None:
        """Give the terminal back."""


class Quiet:
    """Shows errors only, at the end: those of an attempt that is not the run's result are none of the run's."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._attempt = 0
        self._errors: dict[int, list[str]] = {}

    def show(self, event: Event) -> None:
        """Show an event."""
        match event:
            case AttemptStarted() | AttemptChosen():
                self._attempt = event.attempt
            case Noted() if event.diagnostic.severity is Severity.ERROR:
                self._errors.setdefault(self._attempt, []).extend(diagnostic_lines(event.diagnostic))
            case RunEnded():
                self.close()
            case _:
                pass

    def close(self) -> None:
        """Show the errors that count."""
        for attempt in dict.fromkeys((0, self._attempt)):
            self._out.writelines(f"{visible(line)}\n" for line in self._errors.get(attempt, ()))
        self._out.flush()
        self._errors = {}


class Lines:
    """Shows one line per stage and cell; with `verbose` also what the notebook prints, as it comes."""

    def __init__(self, out: TextIO, *, verbose: bool) -> None:
        self._out = out
        self._verbose = verbose
        self._started: dict[str, TaskStarted] = {}
        self._width = 1
        self._stage = ""
        self._fraction = 0.0
        self._open_line = False

    def show(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted() | AttemptStarted() | Noted():
                for line in event_lines(event):
                    self._line(line)
            case StageChanged():
                self._show_stage(event)
            case ProgramStarted():
                self._width = len(str(max(event.tasks - 1, 0)))
            case TaskStarted():
                self._started[event.task] = event
            case TaskMessage() if self._verbose:
                self._show_output(event)
            case TaskEnded():
                self._show_end(event)
            case RunEnded():
                self._out.flush()
            case _:
                pass

    def close(self) -> None:
        """Nothing is held."""

    def _show_stage(self, event: StageChanged) -> None:
        # Without a terminal a line per tenth is enough.
        if event.stage == self._stage and not event.done and (event.fraction or 0) < self._fraction + 0.1:
            return
        self._stage = "" if event.done else event.stage
        self._fraction = event.fraction or 0.0
        share = f" {event.fraction:.0%}" if event.fraction is not None and not event.done else ""
        self._line(f"{event.stage:<12}{event.text}{share}")

    def _show_end(self, event: TaskEnded) -> None:
        if event.task in self._started:
            self._line(end_line(event, self._started[event.task], self._width))

    def _show_output(self, event: TaskMessage) -> None:
        text = output_text(event.message, event.content)
        if text:
            self._out.write(text)
            self._open_line = not text.endswith("\n")
            self._out.flush()

    def _line(self, text: str) -> None:
        self._out.write(("\n" if self._open_line else "") + visible(text) + "\n")
        self._open_line = False
        self._out.flush()


def choose_display(*, quiet: bool, verbose: bool) -> Display:
    """Return the display that fits: quiet, plain lines, or live lines where stderr is a terminal."""
    if quiet:
        return Quiet(sys.stderr)
    if verbose or not sys.stderr.isatty():
        return Lines(sys.stderr, verbose=verbose)
    from kanoe.cli.live import Live  # noqa: PLC0415 - Rich is loaded for a terminal only

    return Live()
