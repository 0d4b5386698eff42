"""`kanoe run --verify`: the proof that a run whose cells were reused is a fresh run from top to bottom.

Two things are tried. The notebook runs as a whole in a fresh kernel, with nothing looked up and nothing remembered; outputs, files and
final values must be the same. And a few cells run each in a session of its own that holds only what the cell is known to have read:
what comes out otherwise was read by a way that nobody watches.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from kanoe.back.document import ExecutedDocument
from kanoe.back.masking import Mask, masked
from kanoe.back.reproduction.exact import Noise, compare_exactly, days_of
from kanoe.back.sessions import SessionPlan, SessionRunner
from kanoe.base.diagnostics import Diagnostic, cell_place, error
from kanoe.base.files import remove_tree
from kanoe.base.processes import check_stop
from kanoe.base.secrets import Secrets
from kanoe.base.stop import Stop
from kanoe.engine.cells import Step
from kanoe.engine.events import Event, TaskEnded, TaskHeld, TaskMessage, TaskStarted, TaskState
from kanoe.engine.memory import Memory, Told, Verdict
from kanoe.engine.proof import Difference, Outcome, Proof, compare_alone, compare_outcomes, what_it_read
from kanoe.engine.run import Limits, run_program
from kanoe.engine.state import State
from kanoe.ir.source import Source
from kanoe.ir.trace import Reference, Trace, Value
from kanoe.sandbox.layout import WORKING
from kanoe.store.blobs import Blobs, TakenFiles
from kanoe.store.home import Store
from kanoe.verbs.cells import tracked
from kanoe.worker.track import summaries

_differences: Callable[[Any, Any], list[str]] = summaries.differences

# So many cells run alone, and so many are tried at most: some need what no new session can be given.
_ALONE = 4
_MOST_TRIED = 8
_MOST_TOLD = 20
_EMPTY = Trace("", "", {}, {}, "", 0.0)


class NotVerifiedError(Exception):
    """There can be no proof; says why, for people."""


class Witness:
    """Looks on while a program runs, and knows afterwards what its cells showed, read and wrote."""

    def __init__(self) -> None:
        self.state = State()
        self.traces: dict[str, Trace] = {}
        self.ends: dict[str, TaskEnded] = {}
        self.told: dict[str, list[Event]] = {}
        self.places: dict[str, str] = {}
        self.unwatched = False

    def follow(self, plan: SessionPlan, memory: Memory, state: State) -> Memory:
        """Return a memory that remembers the same; the witness learns of it."""
        self.state = state
        self.places = _places(plan)
        return _Overheard(memory, self)

    def take(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, TaskStarted):
            self.told[event.task] = [event]
        elif isinstance(event, TaskMessage):
            self.told.setdefault(event.task, []).append(event)
        elif isinstance(event, TaskEnded):
            self.ends[event.task] = event

    def error_of(self, task: str) -> str | None:
        """Return why a cell failed."""
        ended, trace = self.ends.get(task), self.traces.get(task)
        if ended is None or ended.state is TaskState.CACHED:
            return trace.error if trace is not None else None
        return ended.reason or "it failed" if ended.state is TaskState.FAILED else None

    def outcome(self, steps: Sequence[Step]) -> Outcome:
        """Return what everything holds in the end."""
        names = {step.task.cell: self.traces[step.task.id].execution for step in steps if step.task.id in self.traces}
        return Outcome(self.state.values, self.state.writers, names)

    @property
    def ended_well(self) -> bool:
        """Whether the program came to its end: no process was gone, and no limit reached."""
        return not any(ended.details.get("fatal") or ended.state is TaskState.CANCELLED for ended in self.ends.values())


class _Overheard:
    """A memory whose answers a witness hears."""

    def __init__(self, memory: Memory, witness: Witness) -> None:
        self._memory = memory
        self._witness = witness

    def look_up(self, step: Step, state: State) -> Verdict:
        verdict = self._memory.look_up(step, state)
        if verdict.trace is not None:
            self._witness.traces[step.task.id] = verdict.trace
        return verdict

    def record(self, step: Step, trace: Trace, messages: Told) -> Trace:
        known = self._memory.record(step, trace, messages)
        self._witness.traces[step.task.id] = known
        return known

    def lay_down(self, values: Mapping[Reference, Value]) -> Sequence[Reference]:
        return self._memory.lay_down(values)

    def forget(self) -> None:
        self._witness.unwatched = True
        self._memory.forget()


class _Forgetful:
    """A memory of nothing; where only one cell is to run, the others are taken for done.

    Args:
        plan: the session, with its files.
        only: the task that runs; `None`: all.
    """

    def __init__(self, plan: SessionPlan, only: str | None = None) -> None:
        assert plan.tracking is not None
        self._tree = plan.tracking.tree
        self._only = only

    def look_up(self, step: Step, _state: State) -> Verdict:
        return Verdict(_EMPTY if self._only not in (None, step.task.id) else None)

    def record(self, _step: Step, trace: Trace, _messages: Told) -> Trace:
        return trace

    def lay_down(self, values: Mapping[Reference, Value]) -> Sequence[Reference]:
        return self._tree.lay_down(values).missing

    def forget(self) -> None:
        raise NotVerifiedError("a fresh run could not be watched")


class _Aside:
    """The blobs of the store, to which nothing is added."""

    def __init__(self, store: Blobs, own: Blobs) -> None:
        self._store = store
        self._own = own

    def open(self, digest: str) -> IO[bytes] | None:
        return self._own.open(digest) or self._store.open(digest)

    def take_all(self, folder: Path, names: Iterable[str]) -> TakenFiles:
        return self._own.take_all(folder, names)

    def link_all(self, digests: Iterable[str], folder: Path) -> set[str]:
        missing = self._own.link_all(digests, folder)
        return self._store.link_all(missing, folder) if missing else missing


@dataclass(frozen=True, slots=True)
class Trial:
    """A run to verify.

    Args:
        source: what ran.
        steps: its cells.
        limits: what holds for each execution of it.
        store: where its values lie.
        run: its id: it says which cells run alone.
        place: makes a place with a given working folder, for one more session like the run's.
        secrets: what no text may hold.
        stop: ends it.
    """

    source: Source
    steps: Sequence[Step]
    limits: Limits
    store: Store
    run: str
    place: Callable[[Path], AbstractContextManager[SessionPlan]]
    secrets: Secrets
    stop: Stop


def verify_run(trial: Trial, witness: Witness) -> Proof:
    """Run everything again in a fresh kernel, and a few cells alone, and compare.

    Raises:
        NotVerifiedError: there can be no proof.
        CancelledError: a stop was requested.
        UnavailableError: no kernel started.
    """
    started = time.monotonic()
    if witness.unwatched:
        raise NotVerifiedError("its cells could not be watched")
    if not witness.ended_well:
        raise NotVerifiedError("it did not come to its end")
    fresh = _run_fresh(trial)
    check_stop(trial.stop)
    noise = Noise(
        days_of([time.time(), *(trace.moment for trace in witness.traces.values() if trace.moment)]),
        {**witness.places, **fresh.places},
    )
    compared = compare_outcomes(witness.outcome(trial.steps), fresh.outcome(trial.steps))
    shown, same = _compare_cells(trial, witness, fresh, noise)
    left = [_told_more(reference, found, witness, fresh) for reference, found in compared.differences]
    differing = {difference.cell for difference in (*shown, *left)}
    alone, unread = _run_some_alone(trial, witness, noise, differing)
    mask = Mask(trial.secrets.values())
    found = (replace(one, text=mask.text(one.text)) for one in (*shown, *left, *unread))
    differences = sorted(found, key=lambda difference: -1 if difference.cell is None else difference.cell)
    return Proof(
        same,
        compared.files,
        compared.values,
        compared.opaque,
        tuple(alone),
        tuple(differences),
        time.monotonic() - started,
    )


def explain_proof(proof: Proof, witness: Witness, trial: Trial) -> list[Diagnostic]:
    """Return an error for each difference."""
    name = trial.source.path.name
    reused = [n for n, step in enumerate(trial.steps) if _is_reused(witness, step)]
    found = []
    for difference in proof.differences[:_MOST_TOLD]:
        place = cell_place(name, difference.cell) if difference.cell is not None else name
        if difference.what == "alone":
            hint = f"`kanoe explain {name} {difference.cell}` shows what it is known to read; tagged `cache:disabled` it always runs"
            found.append(error("verify-unread", difference.text, place=place, hint=hint))
            continue
        if reused and difference.cell is not None and reused[0] <= difference.cell:
            hint = f"`kanoe run {name} --no-cache --verify` tells whether the notebook itself differs from run to run"
        else:
            hint = "Nothing was reused for it: the notebook itself comes to something else in each run"
        found.append(error("verify-differs", difference.text, place=place, hint=hint))
    more = len(proof.differences) - _MOST_TOLD
    if more > 0:
        found.append(error("verify-differs", f"{more} more differences", place=name, hint="`--json` lists them all"))
    return found


def not_verified(name: str, why: str) -> Diagnostic:
    """Return the error of a run without a proof."""
    hint = "Without `--verify` it counts as it is"
    return error("verify-undone", f"it could not be compared with a fresh run: {why}", place=name, hint=hint)


def _is_reused(witness: Witness, step: Step) -> bool:
    ended = witness.ends.get(step.task.id)
    return ended is not None and ended.state is TaskState.CACHED


# The whole notebook


def _run_fresh(trial: Trial) -> Witness:
    """Run all cells in one new session that is given nothing and leaves nothing."""
    fresh = Witness()
    steps = [replace(step, task=replace(step.task, execution=uuid.uuid4().hex)) for step in trial.steps]
    with _session(trial, None) as (plan, state):
        memory = fresh.follow(plan, _Forgetful(plan), state)
        for event in _run(trial, plan, steps, memory, state):
            fresh.take(event)
            if isinstance(event, TaskHeld):
                raise NotVerifiedError(event.reason or "a fresh run could not be watched")
    return fresh


@contextlib.contextmanager
def _session(trial: Trial, known: Blobs | None) -> Iterator[tuple[SessionPlan, State]]:
    """Make a place of its own for a session; yields how to start it, and a state that holds nothing yet.

    Args:
        trial: the run.
        known: the blobs that the session may be given; `None`: none.
    """
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=trial.store.scratch))
    try:
        (folder / "working").mkdir()
        with trial.place(folder / "working") as plan, contextlib.closing(Blobs(folder / "blobs")) as own:
            blobs = _Aside(known, own) if known is not None else own
            yield tracked(trial.source, trial.store, plan, blobs, trial.secrets)
    finally:
        remove_tree(folder)


def _run(trial: Trial, plan: SessionPlan, steps: Sequence[Step], memory: Memory, state: State) -> Iterator[Event]:
    runner = masked(SessionRunner(plan, trial.stop), trial.secrets.values())
    try:
        yield from run_program(steps, runner, trial.limits, trial.stop, memory=memory, state=state)
    finally:
        runner.close()


def _places(plan: SessionPlan) -> dict[str, str]:
    """Return where a program without walls sees what has one name for all with them."""
    if plan.tool.kind != "none":
        return {}
    folders = plan.layout.folders
    return {str(folders.working): WORKING, str(folders.working.parent): "/kaggle", str(folders.scratch): "/scratch"}


# Compared


def _compare_cells(trial: Trial, witness: Witness, fresh: Witness, noise: Noise) -> tuple[list[Difference], int]:
    """Return in what the cells differ, and how many do not."""
    ours, theirs = _outputs(trial, witness.told), _outputs(trial, fresh.told)
    found, same = [], 0
    for step in trial.steps:
        task, cell = step.task.id, step.task.cell
        came = [task in one.ends and one.ends[task].state is not TaskState.SKIPPED for one in (witness, fresh)]
        if not any(came):
            continue
        what, text = "cell", _compare_ends(witness.error_of(task), fresh.error_of(task))
        if not all(came):
            text = "a fresh run does not come to it" if came[0] else "only a fresh run comes to it"
        if text is None:
            what, text = "output", compare_exactly(ours.get(task, ()), theirs.get(task, ()), noise)
        if text is None:
            same += 1
        else:
            found.append(Difference(cell, what, text))
    return found, same


def _compare_ends(here: str | None, there: str | None) -> str | None:
    """Return how it differs whether a cell failed."""
    if (here is None) == (there is None):
        return None
    return (
        f"it fails ({here}), and succeeds in a fresh run" if here else f"it succeeds, and fails in a fresh run: {there}"
    )


def _outputs(trial: Trial, told: Mapping[str, Sequence[Event]]) -> dict[str, list[dict[str, Any]]]:
    """Return what cells show in the end, by their tasks."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=trial.store.scratch) as folder:
        document = ExecutedDocument(trial.source.notebook, Path(folder) / "notebook.ipynb")
        for step in trial.steps:
            for event in told.get(step.task.id, ()):
                document.take(event)
        return document.outputs()


def _told_more(reference: Reference, difference: Difference, witness: Witness, fresh: Witness) -> Difference:
    """Return a difference with what the summaries tell of it."""
    here, there = witness.state.values.get(reference), fresh.state.values.get(reference)
    if here is None or there is None or here.type != there.type:
        return difference
    told = _differences(there.summary.get("summary"), here.summary.get("summary"))
    return replace(difference, text=f"{difference.text}: {', '.join(told[:3])}") if told else difference


# Single cells


def _run_some_alone(
    trial: Trial, witness: Witness, noise: Noise, differing: set[int | None]
) -> tuple[list[int], list[Difference]]:
    """Run a few cells alone; returns those that came to the same, and in what the others differ.

    A cell that comes to something else in each run tells nothing.
    """
    able = [
        step.task.cell
        for step in trial.steps
        if step.task.id in witness.traces and witness.error_of(step.task.id) is None and step.task.cell not in differing
    ]
    random.Random(trial.run).shuffle(able)  # noqa: S311 - not for secrets
    same: list[int] = []
    found: list[Difference] = []
    with contextlib.closing(Blobs(trial.store.blobs)) as known:
        for position in able[:_MOST_TRIED]:
            check_stop(trial.stop)
            if len(same) + len({difference.cell for difference in found}) == _ALONE:
                break
            try:
                texts = _run_alone(trial, witness, position, known, noise)
            except NotVerifiedError:
                continue
            if not texts:
                same.append(position)
            found += [
                Difference(position, "alone", f"run alone, from what it is known to read, {text}") for text in texts
            ]
    return sorted(same), found


def _run_alone(trial: Trial, witness: Witness, position: int, known: Blobs, noise: Noise) -> list[str]:
    """Run one cell from what it is known to have read, everything else absent; returns in what it differs.

    Raises:
        NotVerifiedError: no new session can be brought to where it started.
    """
    step = trial.steps[position]
    trace, task = witness.traces[step.task.id], step.task.id
    before = witness.state.before(position)
    start = what_it_read(trace, before)
    if start is None:
        raise NotVerifiedError("it read what has no bytes")
    steps = [replace(step, task=replace(step.task, execution=trace.execution)) for step in trial.steps[: position + 1]]
    told: list[Event] = []
    with _session(trial, known) as (plan, state):
        state.values.update(start)
        places = _places(plan)
        for event in _run(trial, plan, steps, _Forgetful(plan, task), state):
            if isinstance(event, TaskHeld):
                raise NotVerifiedError(event.reason)
            if getattr(event, "task", None) == task:
                told.append(event)
    check_stop(trial.stop)
    ended = told[-1]
    assert isinstance(ended, TaskEnded)
    if ended.state is not TaskState.SUCCEEDED:
        return [f"it fails: {ended.reason}"]
    if ended.trace is None:
        raise NotVerifiedError(str(ended.details.get("unwatched", "")))
    noise = replace(noise, places={**(noise.places or {}), **places})
    shown = [_outputs(trial, {task: events}).get(task, ()) for events in (told, witness.told.get(task, ()))]
    text = compare_exactly(shown[0], shown[1], noise, other="then")
    texts = [text] if text is not None else []
    return texts + compare_alone(trace, before, ended.trace, start, partial(_is_alike, known))


def _is_alike(known: Blobs, one: Value, other: Value) -> bool:
    """Whether two values are equal, or both are pickles: these tell equal texts from one text, which no read is about."""
    return one.hash == other.hash or (_is_pickle(known, one) and one.type == other.type)


def _is_pickle(known: Blobs, value: Value) -> bool:
    opened = known.open(value.blob) if value.type == "file" and value.blob is not None else None
    if opened is None:
        return False
    with opened:
        first = opened.read(2)
    return first[:1] == b"\x80" and 2 <= first[-1] <= 5
