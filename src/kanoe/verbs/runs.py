"""`kanoe runs`, `show`, `logs`, `fetch`: what ran."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kanoe.back.kaggle_log import kaggle_log
from kanoe.back.lost_folder import report_so_far
from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError
from kanoe.base.files import copy_tree
from kanoe.base.journal import read_journal
from kanoe.base.sizes import show_size
from kanoe.engine.events import Event, RunState, TaskMessage, event_from_dict, standing
from kanoe.engine.report import iso_time
from kanoe.store.alive import is_alive
from kanoe.store.home import open_store
from kanoe.store.records import Records, RunRecord

_FETCHED = ("notebook.ipynb", "notebook.html", "log.json", "run.json", "kanoe.lock", "kernel.log", "working")
_GOES_ON = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `kanoe runs`."""

    run: str
    state: str
    started: float
    seconds: float | None
    source: str
    directory: str

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "run": self.run,
            "state": self.state,
            "started": iso_time(self.started),
            "seconds": self.seconds,
            "source": self.source,
            "directory": self.directory,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """One run: its record, its `run.json` and its report."""

    listed: Listed
    facts: dict[str, Any]
    report: dict[str, Any]


def list_runs(limit: int = 20) -> list[Listed]:
    """Return the last runs, newest first.

    Raises:
        UnavailableError: the store cannot be read.
    """
    return [_listed(record) for record in _records().recent(limit)]


def show_run(reference: str = "last") -> Shown:
    """Return everything about a run.

    Raises:
        InputError: there is no such run, or its folder is gone.
    """
    record = _records().find(reference)
    listed = _listed(record)
    try:
        facts = json.loads((Path(record.directory) / "run.json").read_bytes())
    except (OSError, ValueError) as cause:
        raise InputError(_gone(record)) from cause
    report = facts.get("report")
    if not report:
        so_far = replace(report_so_far(Path(record.directory), RunState(listed.state)), run=record.id)
        report = replace(so_far, directory=record.directory).as_dict()
    return Shown(listed, facts, report)


def read_logs(reference: str = "last", *, follow: bool = False, as_json: bool = False) -> Iterator[str]:
    """Yield what a run's notebook printed, or Kaggle's log of it.

    Args:
        reference: the run.
        follow: wait for more until the run has ended.
        as_json: Kaggle's form instead of plain text.

    Raises:
        InputError: there is no such run, or its folder is gone.
    """
    record = _records().find(reference)
    path = Path(record.directory) / "events.jsonl"
    if not path.exists():
        raise InputError(_gone(record))
    if as_json:
        for chunk in kaggle_log(standing(lambda: _events(path))):
            yield chunk.decode()
        return
    shown = 0
    while True:
        ended = _listed(_records().find(record.id)).state not in _GOES_ON
        # Who follows sees every attempt as it goes; who looks back sees the one that counts.
        events = _events(path) if follow else standing(lambda: _events(path))
        for position, event in enumerate(events):
            if position >= shown:
                yield _text(event)
                shown = position + 1
        if ended or not follow:
            return
        time.sleep(0.5)


def fetch_run(reference: str = "last", directory: Path | None = None) -> Path:
    """Copy a run's files into a folder and return it.

    Raises:
        InputError: there is no such run, its folder is gone, or the target holds files that would be overwritten.
    """
    record = _records().find(reference)
    source = Path(record.directory)
    if not (source / "run.json").exists():
        raise InputError(_gone(record))
    target = (directory or Path(record.id)).expanduser().absolute()
    if target.is_file() or (target.is_dir() and any((target / name).exists() for name in _FETCHED)):
        raise InputError(
            error(
                "output-taken",
                f"`{target}` already holds a run's files",
                place="DIR",
                hint="Give another folder: `kanoe fetch RUN DIR`",
            )
        )
    try:
        target.mkdir(parents=True, exist_ok=True)
        left = []
        for name in _FETCHED:
            if (source / name).is_dir():
                left += copy_tree(source / name, target / name)
            elif (source / name).exists():
                shutil.copy2(source / name, target / name)
    except (OSError, shutil.Error) as cause:
        raise InputError(
            error(
                "output-unwritable",
                f"the files cannot be copied to `{target}`: {cause}",
                place="DIR",
                hint="Name a folder that you can write: `kanoe fetch RUN DIR`",
            )
        ) from cause
    if left:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        message = f"`{left[0][:80]}`{more} cannot be read, and is not copied; the rest is in `{target}`"
        raise InputError(error("output-unwritable", message, place=str(source), hint="Look into the run's own folder"))
    return target


def table_lines(runs: Sequence[Listed]) -> list[str]:
    """Return the table of `kanoe runs`."""
    if not runs:
        return ["No runs yet. Start with `kanoe run notebook.ipynb`."]
    width = max(len(run.run) for run in runs)
    lines = [f"{'RUN':<{width}}  {'STATE':<9}  {'STARTED':<16}  {'SECONDS':>8}  SOURCE"]
    for run in runs:
        seconds = f"{run.seconds:.1f}" if run.seconds is not None else ""
        lines.append(f"{run.run:<{width}}  {run.state:<9}  {_local_time(run.started):<16}  {seconds:>8}  {run.source}")
    return lines


def show_lines(shown: Shown) -> list[str]:
    """Return what `kanoe show` prints."""
    report, environment = shown.report, shown.facts.get("environment") or {}
    lines = [
        f"{shown.listed.run}  {shown.listed.state}",
        f"source       {shown.listed.source}",
        f"started      {_local_time(shown.listed.started)}, {report['seconds']:.1f} s",
    ]
    if environment:
        lines.append(
            f"environment  Python {environment.get('python')}, {environment.get('distributions')} distributions"
        )
    for entry in shown.facts.get("inputs") or ():
        lines.append(f"data         /kaggle/input/{entry['place']} is {entry['given']}")
    for task in report["tasks"]:
        reason = f"  {task['reason']}" if task["reason"] else ""
        lines.append(f"  {task['name']:<9} {task['state']:<9} {task['seconds']:8.2f} s{_used(task)}{reason}")
    if report.get("reproduction"):
        lines.append(f"compared     {report['reproduction']['summary']}")
    for artifact in report["artifacts"]:
        name = artifact["name"].replace("\n", " ")
        lines.append(f"working/     {name}  {show_size(artifact['metadata'].get('bytes', 0))}")
    for diagnostic in report["diagnostics"]:
        place = f" ({diagnostic['place']})" if diagnostic["place"] else ""
        lines.append(f"{diagnostic['severity']}{place}: {diagnostic['message']}")
        if diagnostic["hint"]:
            lines.append(f"  → {diagnostic['hint']}")
    lines.append(f"folder       {shown.listed.directory}")
    return lines


def _used(task: Mapping[str, Any]) -> str:
    """Return the columns of what a task used at most: memory, CPU, and bytes on disk."""
    memory, cpu, disk = (task.get(name) for name in ("memory", "cpu", "disk"))
    if memory is None and cpu is None:
        return ""
    return f" {show_size(memory or 0):>9} {cpu or 0.0:8.2f} s CPU {show_size(disk or 0):>9} disk"


def _local_time(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


def _records() -> Records:
    return Records(open_store().records)


def _listed(record: RunRecord) -> Listed:
    """Return a record's line; a run that says it goes on while its Kanoe is gone is LOST."""
    if record.state in _GOES_ON and not is_alive(open_store().alive, record.id):
        # It may have ended between the two looks.
        record = _records().find(record.id)
        if record.state in _GOES_ON:
            record = replace(record, state=str(RunState.LOST))
    return Listed(record.id, record.state, record.started, record.seconds, record.source, record.directory)


def _events(path: Path) -> Iterator[Event]:
    for entry in read_journal(path):
        event = event_from_dict(entry)
        if event is not None:
            yield event


def _text(event: Event) -> str:
    if not isinstance(event, TaskMessage):
        return ""
    if event.message == "stream":
        return str(event.content["text"])
    if event.message == "error":
        return "\n".join(event.content["traceback"]) + "\n"
    if event.message == "execute_result":
        text = event.content["data"].get("text/plain", "")
        return f"{text}\n" if isinstance(text, str) else "\n"
    return ""


def _gone(record: RunRecord) -> Diagnostic:
    return error(
        "run-unknown",
        f"the folder of run `{record.id}` is gone",
        place=record.directory,
        hint="`kanoe runs` lists the others",
    )
