"""The folder of one run: takes events and keeps everything that a run leaves up to date.

notebook.ipynb   the executed notebook, whole and valid at every moment
notebook.html    its page
log.json         Kaggle's log
working/         what the notebook wrote
run.json         what ran, when, in which environment, on which inputs, and the report
kanoe.lock       the environment's lock
attempts/        the notebooks of attempts in other environments that are not the run's result
events.jsonl     every event; everything else can be made from it
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanoe.back.document import ExecutedDocument
from kanoe.back.kaggle_log import kaggle_log
from kanoe.back.remembered_page import PageMemory, write_page
from kanoe.base.diagnostics import Diagnostic, error, info, warning
from kanoe.base.errors import ExitCode, InputError, UnavailableError
from kanoe.base.files import remove_tree, replace_file, walk_tree
from kanoe.base.journal import Journal, read_journal
from kanoe.engine.events import (
    AttemptChosen,
    AttemptStarted,
    Event,
    Noted,
    ProgramEnded,
    RunEnded,
    RunStarted,
    RunState,
    event_from_dict,
    standing,
)
from kanoe.engine.report import Artifact, Report, ReportFold, iso_time
from kanoe.ir.source import Source
from kanoe.store.records import Records, RunRecord

if TYPE_CHECKING:
    from kanoe.back.reproduction.verdicts import Reproduction

# What a run's folder holds; `--output` takes a folder that holds only such names for an earlier run's.
FILES = (
    "notebook.ipynb",
    "notebook.html",
    "log.json",
    "working",
    "run.json",
    "kanoe.lock",
    "events.jsonl",
    "kernel.log",
    "input",
    "attempts",
)
# What an attempt leaves; the next one starts without.
_OF_AN_ATTEMPT = ("notebook.ipynb", "working", "kanoe.lock", "kernel.log")
_MOST_ARTIFACTS = 1000
_SMALL = 2_000_000

Watch = Callable[[Event], None]


def new_run_id(name: str) -> str:
    """Return an id that sorts by time and says what ran: `titanic-20261121-083012-7f3a`."""
    slug = "".join(character if character.isalnum() else "-" for character in name.lower()).strip("-")[:40] or "run"
    return f"{slug}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def make_directory(path: Path) -> Path:
    """Make the folder of a run ready: new, empty, or an earlier run's, whose files are then replaced.

    Raises:
        InputError: the folder holds other files.
        UnavailableError: it cannot be made.
    """
    path = path.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        names = set(os.listdir(path))
        # A write that a crash cut short leaves its temporary file.
        unfinished = {name for name in names if name.startswith(".") and name.endswith(".part")}
        if names and not ("run.json" in names and names - unfinished <= set(FILES)):
            strangers = (
                ", ".join(f"`{name}`" for name in sorted(names - unfinished - set(FILES))[:3]) or "an unfinished run"
            )
            raise InputError(
                error(
                    "output-taken",
                    f"the output folder `{path}` holds what is not an earlier run's: {strangers}",
                    place="--output",
                    hint="Give a new folder, or one that an earlier run of Kanoe wrote",
                )
            )
        # From now on it is a run's folder, also if this process dies before it has written another file.
        replace_file(path / "run.json", b'{"version": 1, "report": null}\n')
        for name in names:
            entry = path / name
            if name != "run.json" and not remove_tree(entry):
                raise OSError(errno.EACCES, "an earlier run's file cannot be removed", str(entry))
        (path / "working").mkdir()
    except FileExistsError as cause:
        raise InputError(
            error("output-taken", f"`{path}` is a file", place="--output", hint="Give a folder")
        ) from cause
    except OSError as cause:
        raise UnavailableError(
            error(
                "store-unusable",
                f"the run's folder cannot be made: {cause}",
                place=str(path),
                hint="Give another: `--output DIR`",
            )
        ) from cause
    return path


class RunFolder:
    """A run that goes on: give it every event, then `finish` it."""

    def __init__(self, run: str, source: Source, directory: Path, records: Records, watch: Watch) -> None:
        self.run = run
        self.directory = directory
        self.facts: dict[str, Any] = {}
        self.pages: PageMemory | None = None
        self._verification: Mapping[str, Any] | None = None
        self._source = source
        self._records = records
        self._watch = watch
        self._started = time.time()
        self._document = ExecutedDocument(source.notebook, directory / "notebook.ipynb")
        self._journal = Journal(directory / "events.jsonl")
        names = {cell.id: (f"cell {position}", position) for position, cell in enumerate(source.notebook.code_cells)}
        self._fold = ReportFold(names)
        self._state = RunState.FAILED
        self._attempt = 0
        self._aside: dict[int, tuple[ExecutedDocument, dict[str, Any]]] = {}
        self._write_facts(None)
        record = RunRecord(
            run, source.name, str(source.path), str(directory), str(RunState.RUNNING), self._started, None, os.getpid()
        )
        records.add(record)
        self.take(RunStarted(run=run, source=str(source.path), directory=str(directory)))

    @property
    def working(self) -> Path:
        """The notebook's current folder."""
        return self.directory / "working"

    def take(self, event: Event) -> None:
        """Take an event in: journal first, then everything that is made from it."""
        self._journal.append(event.as_dict())
        if isinstance(event, AttemptStarted):
            self._begin_attempt(event.attempt)
        elif isinstance(event, AttemptChosen):
            self._restore_attempt(event.attempt)
        self._fold.take(event)
        self._document.take(event)
        if isinstance(event, ProgramEnded):
            self._state = event.state
        self._watch(event)

    def _begin_attempt(self, number: int) -> None:
        if self._attempt:
            self._set_aside()
            self.working.mkdir()
            self._document = ExecutedDocument(self._source.notebook, self.directory / "notebook.ipynb")
        self._attempt = number

    def _set_aside(self) -> None:
        """Move what the attempt left to a folder of its own."""
        self._document.write()
        self._aside[self._attempt] = self._document, dict(self.facts)
        aside = self.directory / "attempts" / str(self._attempt)
        aside.mkdir(parents=True)
        self._move(self.directory, aside)

    def _restore_attempt(self, number: int) -> None:
        self._set_aside()
        aside = self.directory / "attempts" / str(number)
        self._move(aside, self.directory)
        aside.rmdir()
        self._document, facts = self._aside[number]
        self.facts |= facts
        self._attempt = number

    def _move(self, source: Path, target: Path) -> None:
        for name in _OF_AN_ATTEMPT:
            with contextlib.suppress(FileNotFoundError):
                (source / name).rename(target / name)

    def name_language(self, language: Mapping[str, Any]) -> None:
        """Say which language the cells are in, where no kernel may start that says so."""
        self._document.name_language(language)

    def note(self, diagnostic: Diagnostic) -> None:
        """Take a diagnostic in."""
        self.take(Noted(diagnostic=diagnostic))

    def prove(self, verification: Mapping[str, Any] | None, problems: Sequence[Diagnostic]) -> None:
        """Take in what a comparison with a fresh run came to; any problem makes the run fail."""
        self._verification = verification
        self._fail_with(problems, demanded=True)

    def keep_lock(self, text: str) -> None:
        """Keep the lock of the run's environment."""
        replace_file(self.directory / "kanoe.lock", text.encode())

    def idle(self) -> None:
        """Do what was put off: called while a cell runs and says nothing."""
        self._document.write_if_due()

    def change_state(self, state: RunState) -> None:
        """Let the records say that the run waits, or goes on."""
        self._records.end(self.run, str(state), None)

    def is_small(self) -> bool:
        """Return whether the page takes less than a second to make."""
        self._document.write()
        return (self.directory / "notebook.ipynb").stat().st_size < _SMALL

    def finish(self, exit_code: ExitCode | None, *, page: bool, reproduce: bool = False) -> Report:
        """Write everything that a run leaves and return its report.

        Args:
            exit_code: why the run never came to its program; `None` where it did.
            page: whether to make the HTML page.
            reproduce: whether outputs that differ from the author's make the run fail.
        """
        self._document.write()
        reproduction = self._compare(demanded=reproduce) if exit_code is None else None
        if page:
            self._write_page(reproduction)
        replace_file(self.directory / "log.json", kaggle_log(standing(self._events)))
        for aside in (self.directory / "attempts").glob("*/working"):
            remove_tree(aside)
        if exit_code is ExitCode.INTERRUPTED:
            self._state = RunState.CANCELLED
        seconds = time.time() - self._started
        self.take(RunEnded(state=self._state, seconds=seconds))
        codes = {RunState.SUCCEEDED: ExitCode.SUCCEEDED, RunState.CANCELLED: ExitCode.INTERRUPTED}
        report = self._fold.report(self._artifacts(), exit_code or codes.get(self._state, ExitCode.FAILED))
        report = replace(
            report, reproduction=reproduction.as_dict() if reproduction else None, verification=self._verification
        )
        self._write_facts(report)
        self._journal.close()
        self._records.end(self.run, str(self._state), seconds)
        return report

    def abandon(self) -> None:
        """Leave a folder that cannot be written any more; only the records learn of the end."""
        self._journal.close()
        with contextlib.suppress(UnavailableError):
            self._records.end(self.run, str(RunState.FAILED), time.time() - self._started)

    def _events(self) -> Iterator[Event]:
        for record in read_journal(self._journal.path):
            event = event_from_dict(record)
            if event is not None:
                yield event

    def _compare(self, *, demanded: bool) -> Reproduction | None:
        """Compare the outputs with the author's, where the file carries any and the run came to its end."""
        if not self._source.notebook.has_outputs or self._state not in (RunState.SUCCEEDED, RunState.FAILED):
            return None
        from kanoe.back.reproduction.notebooks import compare_notebook, explain_differences  # noqa: PLC0415 - not all need it

        cells = self._source.notebook.code_cells
        states = {cells[position].id: task.state for task in self._fold.report().tasks for position in task.cells}
        try:
            reproduction = compare_notebook(
                self._source.notebook,
                self._document.outputs(),
                states,
                day=date.fromtimestamp(self._started),
                parameters=tuple(self.facts.get("parameters") or ()),
            )
        except Exception as cause:
            said = f"the outputs could not be compared with the author's: {type(cause).__name__}: {cause}"
            self._fail_with([(error if demanded else warning)("comparison-failed", said)], demanded=demanded)
            return None
        if demanded and self._state is RunState.SUCCEEDED:
            self._fail_with(explain_differences(reproduction, self._source.path.name), demanded=True)
        return reproduction

    def _fail_with(self, diagnostics: Sequence[Diagnostic], *, demanded: bool) -> None:
        for diagnostic in diagnostics:
            self.note(diagnostic)
        if diagnostics and demanded:
            self._state = RunState.FAILED

    def _write_page(self, reproduction: Reproduction | None) -> None:
        notebook, page = self.directory / "notebook.ipynb", self.directory / "notebook.html"
        try:
            cut = write_page(notebook, page, self._source.name, reproduction, self.pages)
        except Exception as cause:
            self.note(warning("page-failed", f"the HTML page could not be made: {type(cause).__name__}: {cause}"))
            return
        if cut:
            self.note(
                info("output-large", "a cell printed more than the page can show; it holds its beginning and end")
            )

    def _artifacts(self) -> list[Artifact]:
        found: list[Artifact] = []
        for entry in walk_tree(self.working):
            if len(found) == _MOST_ARTIFACTS:
                break
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    path = Path(entry.path)
                    name = path.relative_to(self.working).as_posix()
                    found.append(Artifact(name, path.as_uri(), metadata={"bytes": status.st_size}))
        return found

    def _write_facts(self, report: Report | None) -> None:
        facts: Mapping[str, Any] = {
            "version": 1,
            "run": self.run,
            "source": str(self._source.path),
            "started": iso_time(self._started),
            **self.facts,
            "report": report.as_dict() if report else None,
        }
        text = json.dumps(facts, indent=1, ensure_ascii=False, default=str)
        replace_file(self.directory / "run.json", (text + "\n").encode("utf-8", "backslashreplace"))
