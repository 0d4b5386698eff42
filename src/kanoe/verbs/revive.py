"""Which environment a notebook runs in when its own is gone: the one inferred, then, where that fails, the next best.

An environment is tried with the imports first. A run that fails because a library is missing or of another age is tried
again in the next candidate, at most three times; which one worked is remembered for the notebook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kanoe.base.diagnostics import Diagnostic, info
from kanoe.base.errors import InputError, UnavailableError
from kanoe.base.stop import Stop
from kanoe.engine.events import AttemptChosen, AttemptStarted, Noted, StageChanged
from kanoe.environments.build import environment_id
from kanoe.environments.choices import remember_choice
from kanoe.environments.lock import Lock, quote_command
from kanoe.environments.needs import Needs
from kanoe.ir.source import Source
from kanoe.store.home import Store
from kanoe.verbs.environment import EnvironmentOptions, Locked, Ready, Watch, build, lock_needs, lock_source, tell_notes
from kanoe.verbs.probe import ImportFailure, probe

if TYPE_CHECKING:
    from kanoe.environments.drift import Candidate, Drift

MOST_TRIES = 3  # after the first
_MOST_REPAIRS = 4  # times that imports find something missing
_ASKED = "an error asks for it"
_HELD = "an error speaks of another release"
_WORTH_SECONDS = 900.0  # a longer run is not repeated on weak evidence
_OF_A_RUN = ("run on ", "Kaggle image ")  # how the evidence of an author's own run begins


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a notebook fails in an environment.

    Args:
        cell: the position of the cell; -1 for the start of the kernel.
        place: where, for people: `cell 3`.
        ename: the name of the exception's class, or empty.
        evalue: its text.
        code: the cell's code.
        library: the installed module that the cell called when it failed, if any.
        seconds: how long the program had run.
    """

    cell: int
    place: str
    ename: str
    evalue: str
    code: str
    library: str | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return it as a reason: `cell 3: AttributeError: ...`."""
        text = f"{self.ename}: {self.evalue}".removeprefix(": ").strip().splitlines()[0]
        return f"{self.place}: {text if len(text) <= 160 else text[:159] + '…'}"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An environment that is there, and the imports that fail in it."""

    locked: Locked
    ready: Ready
    failures: tuple[ImportFailure, ...]


class Revival:
    """The environments of one run, from the first to the last that is tried.

    Args:
        source: what runs.
        options: where its environment comes from.
        store: where environments, resolutions and choices are kept.
        tell: takes events.
        stop: ends the work.
        revive: whether other environments may be tried; `None`: after any sign of another age where the day was inferred,
            else only where it is known what is missing or which release changed.

    Its `number` is that of the attempt, 1 for the first; `spent` are the seconds that the earlier ones took.
    """

    def __init__(
        self,
        source: Source,
        options: EnvironmentOptions,
        store: Store,
        tell: Watch,
        stop: Stop,
        *,
        revive: bool | None = None,
    ) -> None:
        self._source = source
        self._options = options
        self._revive = revive
        self._store = store
        self._tell = tell
        self._stop = stop
        self._active = False
        self._any_age: bool | None = False
        self._other_days: bool | None = False
        self.number = 1
        self.spent = 0.0
        self._asked = Needs()
        self._tried: list[Needs] = []
        self._built: set[str] = set()
        self._failed_at: dict[int, int] = {}
        self._current: _Prepared | None = None

    def first(self) -> Ready:
        """Return the environment to begin with.

        Raises:
            InputError: a declaration, an option or a lock is wrong, or no set of versions fits.
            UnavailableError: an interpreter, `uv` or the registry is not there.
            CancelledError: `stop` was requested.
        """
        locked = lock_source(self._source, self._options, self._store, self._tell, self._stop)
        needs = locked.needs
        self._asked = locked.asked
        # A lock is what its author wants, and a day or a Python that somebody names is not moved unasked.
        named = (needs.as_of and not needs.as_of_inferred) or (needs.python and not needs.python_inferred)
        self._active = locked.file is None and self._revive is not False
        self._any_age = self._revive or needs.inferred
        self._other_days = self._revive or not named
        if self._active:
            self._tell(AttemptStarted(attempt=1))
        self._tried.append(locked.needs)
        if locked.file is not None or locked.needs.as_of is None:
            # The newest releases declare what they need: their imports need no trial.
            ready = build(self._source, locked, self._store, self._tell, self._stop)
            return self._take(_Prepared(locked, ready, ()))
        prepared = self._prepare(locked)
        if prepared.failures and self._active:
            prepared = self._with_fewest_failures(prepared)
        if not prepared.failures and prepared.locked.needs != needs:
            self._remember(prepared)
        return self._take(prepared)

    def next(self, failure: Failure) -> Ready | None:
        """Return the environment to try after a run that failed; `None` if there is none.

        Raises:
            CancelledError: `stop` was requested.
        """
        self._failed_at[self.number] = failure.cell
        self.spent += failure.seconds
        if not self._active or self._current is None or self.number > MOST_TRIES:
            return None
        for needs, text in self._candidates(self._current.locked, failure):
            self._tell(
                StageChanged(stage="revive", text=f"{failure.place} failed; preparing another try: {text}", done=True)
            )
            prepared = self._attempt(needs)
            if prepared is None or any(one.found.cell <= failure.cell for one in prepared.failures):
                continue
            self.number += 1
            self._tell(AttemptStarted(attempt=self.number, text=text, reason=str(failure)))
            return self._take(prepared)
        return None

    def advise(self, failure: Failure) -> str | None:
        """Return what a user may do about a failure, with the exact command; `None` where nothing is known."""
        if self._current is None:
            return None
        locked, name = self._current.locked, quote_command(self._source.path.name)
        missing = _find_missing(failure, locked.lock)
        if missing is not None:
            return f"Add the distribution that it asks for: `kanoe run {name} --with {missing}`"
        drift = self._drift(locked, failure, known=True)
        if drift is None:
            return None
        if locked.needs.python_inferred and locked.interpreter.short != locked.needs.python:
            python = locked.needs.python
            return f"{drift.why}; install Python {python} (`pyenv install {python}`, conda), then run it again"
        best = next((one for one in self._periods(locked, drift) if one.why == drift.why), None)
        if best is None:
            return None
        day = f" --as-of {best.day}" if best.day else ""
        python = f" --python {best.python}" if best.python else ""
        return f"The library has changed since ({best.why}); run it as of its day: `kanoe run {name}{day}{python}`"

    def finish(self, *, succeeded: bool) -> None:
        """Say and remember which environment worked, or choose the attempt that came furthest."""
        if succeeded and self.number > 1 and self._current is not None:
            self._tell(Noted(diagnostic=self._revived(self._current.locked.needs, self._current.locked.lock)))
            self._remember(self._current)
        elif not succeeded and self._failed_at:
            best = max(sorted(self._failed_at), key=lambda number: self._failed_at[number])
            if best != self.number:
                self._tell(AttemptChosen(attempt=best))

    def _remember(self, prepared: _Prepared) -> None:
        remember_choice(self._source, self._asked, prepared.locked.needs, self._store.locks)

    def _take(self, prepared: _Prepared) -> Ready:
        tell_notes(prepared.locked, self._tell)
        self._current = prepared
        return prepared.ready

    def _prepare(self, locked: Locked) -> _Prepared:
        """Build an environment and try the imports; what they find missing is added."""
        for _ in range(_MOST_REPAIRS):
            prepared = self._probed(locked)
            needs = locked.needs
            for failure in prepared.failures:
                name = _find_missing(failure, locked.lock)
                if name is not None:
                    needs = needs.with_requirement(name, f"needed by an import of {failure.place}")
            if needs == locked.needs:
                break
            try:
                locked = lock_needs(self._source, needs, self._store, self._tell, self._stop)
            except (InputError, UnavailableError):
                break
        return prepared

    def _probed(self, locked: Locked) -> _Prepared:
        ready = build(self._source, locked, self._store, self._tell, self._stop)
        self._built.add(ready.environment.id)
        return _Prepared(locked, ready, probe(self._source, ready, self._store, self._tell, self._stop))

    def _with_fewest_failures(self, best: _Prepared) -> _Prepared:
        """Return the candidate in which the fewest imports fail; the given one if none is better."""
        first = best.failures[0]
        code = self._source.notebook.code_cells[first.found.cell].source
        failure = Failure(first.found.cell, first.place, first.ename, first.evalue, code)
        for needs, _ in self._candidates(best.locked, failure):
            candidate = self._attempt(needs)
            if candidate is not None and len(candidate.failures) < len(best.failures):
                best = candidate
            if not best.failures or len(self._tried) > MOST_TRIES:
                break
        return best

    def _attempt(self, needs: Needs) -> _Prepared | None:
        """Return an environment of a candidate; `None` if it cannot be had."""
        self._tried.append(needs)
        try:
            locked = lock_needs(self._source, needs, self._store, self._tell, self._stop)
            # Where the Python of another day is not there, its environment may be one that was tried.
            tried = environment_id(locked.lock, locked.interpreter) in self._built
            return None if tried else self._prepare(locked)
        except (InputError, UnavailableError):
            return None

    def _candidates(self, locked: Locked, failure: Failure) -> Iterator[tuple[Needs, str]]:
        """Yield what to try after a failure, the likeliest first, each with words for people."""
        missing = _find_missing(failure, locked.lock)
        if missing is not None:
            yield locked.needs.with_requirement(missing, f"{_ASKED} ({failure.place})"), f"with {missing}"
            return
        drift = self._drift(locked, failure, known=not self._any_age)
        if drift is None or not self._other_days:
            return
        alone = list(_alone(locked, drift, failure))
        others = self._other_days_of(locked, drift, failure)
        # Of a day, one library may be held elsewhere; the newest releases of years later go together.
        yield from [*alone, *others] if locked.needs.as_of else [*others, *alone]

    def _drift(self, locked: Locked, failure: Failure, *, known: bool) -> Drift | None:
        """Return the library that a failure shows to be of another age; `known`: only if it is known which release changed."""
        from kanoe.environments.drift import find_drift, suspect  # noqa: PLC0415 - most runs do not fail

        versions = _versions(locked)
        drift = find_drift(failure.ename, failure.evalue, failure.code, versions)
        if drift is None and failure.library and failure.seconds < _WORTH_SECONDS:
            ran = (locked.needs.as_of_why or "").startswith(_OF_A_RUN)
            drift = suspect(failure.ename, failure.library, versions, ran=ran)
        return None if drift is None or (known and not drift.limit) else drift

    def _periods(self, locked: Locked, drift: Drift) -> list[Candidate]:
        from kanoe.environments.drift import next_periods  # noqa: PLC0415 - most runs do not fail

        tried = [(needs.as_of, needs.python) for needs in self._tried]
        today = datetime.now(UTC).date()
        return next_periods(locked.needs.as_of, locked.interpreter.short, drift, tried, today=today)

    def _other_days_of(self, locked: Locked, drift: Drift, failure: Failure) -> Iterator[tuple[Needs, str]]:
        for one in self._periods(locked, drift):
            needs = replace(
                locked.needs,
                as_of=one.day,
                python=one.python,
                as_of_why=one.why,
                python_why=one.why,
                inferred=True,
                python_inferred=True,
                as_of_inferred=True,
                evidence=(f"{one.why} (after {failure})", *locked.needs.evidence),
            )
            day = f"as of {one.day}" if one.day else "the newest releases"
            yield needs, f"Python {one.python or locked.interpreter.short}, {day} ({one.why})"

    def _revived(self, needs: Needs, lock: Lock) -> Diagnostic:
        marks = (_ASKED, _HELD)
        asked = [f"{one}" for one in needs.requirements if any(why.startswith(marks) for why in one.why)]
        day = f" --as-of {lock.as_of} --python {lock.python}" if lock.as_of else ""
        options = day + "".join(f" --with {quote_command(text)}" for text in asked)
        return info(
            "revived",
            f"try {self.number} ran: Python {lock.python}"
            + (f", as of {lock.as_of}" if lock.as_of else "")
            + "".join(f", with {name}" for name in asked),
            hint="Kanoe remembers it for this notebook; to write it beside it: "
            f"`kanoe env lock {quote_command(self._source.path.name)}{options}`",
        )


def _find_missing(failure: Failure | ImportFailure, lock: Lock) -> str | None:
    from kanoe.environments.missing import find_missing  # noqa: PLC0415 - most runs do not fail

    return find_missing(failure.ename, failure.evalue, lock)


def _versions(locked: Locked) -> dict[str, str]:
    return {one.name: one.version for one in locked.lock.distributions} | {"python": locked.interpreter.version}


def _alone(locked: Locked, drift: Drift, failure: Failure) -> Iterator[tuple[Needs, str]]:
    """Yield the needs with the library at fault held in other releases, all else as it was."""
    version = _versions(locked).get(drift.library or "", "")
    match = re.match(r"\d+\.\d+", version)
    if drift.library is None or drift.library == "python" or match is None:
        return
    limit = drift.limit or (f"<{match.group()}" if drift.direction != "old" else "")
    if limit:
        why = f"{_HELD} ({failure.place})"
        yield locked.needs.with_requirement(drift.library, why, limit), f"{drift.library}{limit}"
