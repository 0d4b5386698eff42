"""The words of the command line: durations, diagnostics, the line of a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanoe.base.diagnostics import Diagnostic
from kanoe.base.sizes import show_size
from kanoe.engine.events import AttemptStarted, Noted, RunStarted, TaskEnded, TaskStarted, TaskState
from kanoe.engine.report import Report

if TYPE_CHECKING:
    from kanoe.verbs.checkup import Checkup, Finding

# What a terminal obeys (ECMA-48): sequences with their parameters, strings (titles, the clipboard, links), single controls, also those
# beyond ASCII, and what turns the direction of text. Colours alone do no harm.
_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?")
_MUCH = 1 << 20  # bytes on disk that are worth a word
# Bytes that are no text stand so in a name; those that a terminal of eight bits obeys are left out, and halves of characters.
_NO_TEXT = re.compile("[\ud800-\udc9f\udd00-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def seconds_text(seconds: float) -> str:
    """Return a duration for people: `0.21 s`, `3.4 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def diagnostic_lines(diagnostic: Diagnostic) -> list[str]:
    """Return the lines of a diagnostic: what and where, then what to do next."""
    place = f" ({diagnostic.place})" if diagnostic.place else ""
    lines = [f"{diagnostic.severity}{place}: {diagnostic.message}"]
    if diagnostic.hint:
        lines.append(f"  → {diagnostic.hint}")
    return lines


def event_lines(event: RunStarted | AttemptStarted | Noted) -> list[str]:
    """Return the lines of an event that is its own words; none for the first attempt."""
    match event:
        case RunStarted():
            return [f"kanoe run {event.run}"]
        case Noted():
            return diagnostic_lines(event.diagnostic)
        case AttemptStarted() if event.attempt > 1:
            return [f"try {event.attempt}: {event.text}", *([f"  after {event.reason}"] if event.reason else [])]
        case _:
            return []


def end_line(event: TaskEnded, started: TaskStarted, width: int) -> str:
    """Return the line of a cell that ended: its position, time, memory, what it wrote where that is much, and first line."""
    mark = {TaskState.SUCCEEDED: " ", TaskState.FAILED: "!", TaskState.CANCELLED: "-"}.get(event.state, " ")
    if event.state is TaskState.CACHED:
        return f"{mark} cell {started.cell:>{width}} {'reused':>11} {'':>8}  {started.title}".rstrip()
    memory = show_size(event.memory) if event.memory else ""
    written = event.disk or 0
    wrote = f"  +{show_size(written)} on disk" if written > _MUCH else ""
    times = f"{mark} cell {started.cell:>{width}} {seconds_text(event.seconds):>11} {memory:>8}"
    why = f"  ({event.reason})" if event.reason and event.state is TaskState.SUCCEEDED else ""
    return f"{times}{wrote}  {started.title}{why}".rstrip()


def visible(text: str, *, colours: bool = False) -> str:
    """Return what people can see of a text: a notebook, a file's name or an error may hold what a terminal obeys.

    Args:
        text: anything.
        colours: whether the sequences of colours stay.
    """
    if colours:
        parts = _COLOUR.split(text)
        return "".join(part if position % 2 else visible(part) for position, part in enumerate(parts))
    text = _NO_TEXT.sub("?", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def output_text(kind: str, content: Mapping[str, Any]) -> str:
    """Return what a message shows on a terminal: text, never control characters of the notebook's choosing."""
    if kind == "stream":
        text = content["text"]
    elif kind in ("execute_result", "display_data"):
        data = content["data"]
        plain = data.get("text/plain")
        text = (plain if isinstance(plain, str) and plain else f"<{', '.join(data)}>") + "\n"
    elif kind == "error":
        text = "\n".join(content["traceback"]) + "\n"
    else:
        return ""
    return visible(text)


def summary_lines(report: Report) -> list[str]:
    """Return the closing lines of a run."""
    reused = [task for task in report.tasks if task.state is TaskState.CACHED]
    ran = [task for task in report.tasks if task.state not in (TaskState.SKIPPED, TaskState.CACHED)]
    failed = [task for task in ran if task.state is TaskState.FAILED and not report.succeeded]
    if not report.tasks and not report.succeeded:
        return [f"{report.state}: nothing ran"]
    line = f"{report.state}: {len(ran)} of {len(report.tasks)} cells ran in {seconds_text(report.seconds)}"
    if reused:
        line += f"; {len(reused)} reused, {seconds_text(sum(task.saved for task in reused))} saved"
    if failed:
        line += f"; {failed[0].name} failed" if len(failed) == 1 else f"; {len(failed)} cells failed"
    lines = [line]
    if report.reproduction:
        lines.append(f"compared    {report.reproduction['summary']}")
    if report.verification:
        word = "verified" if report.verification["equal"] else "differs"
        lines.append(f"{word:<12}{report.verification['summary']}")
    if report.artifacts:
        names = ", ".join(artifact.name.replace("\n", " ") for artifact in report.artifacts[:4])
        more = len(report.artifacts) - 4
        lines.append(f"working/    {names}" + (f" and {more} more" if more > 0 else ""))
    page = Path(report.directory or "", "notebook.html")
    if page.exists():
        lines.append(f"page        {page}")
    return lines


def checkup_lines(checkup: Checkup) -> list[str]:
    """Return the screen of `kanoe doctor`: a line for each thing looked at, what is wrong below it, and the outcome."""
    width = max(len(finding.name) for finding in checkup.findings)
    headings = dict(checkup.groups)
    lines = [checkup.source.name] if checkup.source is not None else []
    hints: set[str] = set()
    for position, finding in enumerate(checkup.findings):
        if position in headings:
            lines.append(headings[position])
        lines += _finding_lines(finding, width, hints)
    severities = [str(diagnostic.severity) for diagnostic in checkup.diagnostics]
    counts = {name: severities.count(name) for name in ("error", "warning")}
    told = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items() if count)
    can, cannot = ("a run can start", "a run would not start")
    if checkup.source is None:
        can, cannot = ("notebooks can run here", "notebooks cannot run here")
    return [*lines, f"{can if checkup.exit_code == 0 else cannot}{f': {told}' if told else ''}"]


_MARKS = {"ok": "✓", "warning": "!", "error": "✗", "unknown": "?"}


def _finding_lines(finding: Finding, width: int, hints: set[str]) -> list[str]:
    """Return the line of a finding, and below it what its diagnostics say that it does not; a hint stands once."""
    lines = [f"{_MARKS[finding.state]} {finding.name:<{width}}  {finding.text}"]
    for diagnostic in finding.diagnostics:
        what, *next_ = diagnostic_lines(diagnostic)
        told = [] if diagnostic.message in finding.text else [what]
        lines += [f"    {line}" for line in (*told, *(line for line in next_ if line not in hints))]
        hints.update(next_)
    return lines
