"""`kanoe explain`: what a cell read and wrote in the last run, from whom, why it ran, and what was different.

It goes by the traces of two runs: the cells of each are walked in order with a state, so that every value that a cell read or wrote is
found with the summary that the worker made of it. Nothing is loaded and nothing is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.back.memory import code_hash
from kanoe.base.diagnostics import Diagnostic
from kanoe.base.sizes import show_size
from kanoe.engine.cells import Step, plan_cells
from kanoe.engine.plan import same_cells
from kanoe.engine.reasons import Reason, ReasonKind, depends_on, hash_in, label, plain, short_name, why_miss
from kanoe.engine.report import iso_time
from kanoe.front.hidden import find_hidden_state
from kanoe.front.names import names_of, predict_names
from kanoe.front.read import read_source
from kanoe.ir.source import Source
from kanoe.ir.trace import Reference, Trace, Value
from kanoe.store.home import open_store
from kanoe.store.traces import Traces, trace_id
from kanoe.verbs.cells import find_cells, origin_of
from kanoe.verbs.plan import runs_of
from kanoe.verbs.queue import at_work
from kanoe.worker.track import summaries

differences: Callable[[Any, Any], list[str]] = summaries.differences
RAN, REUSED, FAILED, NEVER = "ran", "reused", "did not end well", "never ran"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that a cell read or wrote.

    Args:
        name: what it is called, for people.
        reference: what it is, for programs.
        type: what kind of value it is, or empty.
        cell: the position of the cell that wrote what is read; `None` where no cell did. Of what is written: `None`.
        readers: the positions of the cells that read what was written.
        changes: of what is read: how it differs from what was read the last time; of what is written: from what was there before.
        gone: whether it was deleted.
    """

    name: str
    reference: Reference
    type: str = ""
    cell: int | None = None
    readers: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    gone: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "name": short_name(self.reference),
            "type": self.type,
            "cell": self.cell,
            "readers": list(self.readers),
            "changes": list(self.changes),
            "deleted": self.gone,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one cell.

    Args:
        source: the file.
        step: the cell.
        state: `ran`, `reused`, `did not end well` or `never ran`.
        run: the run that is told of, or `None`.
        recorded: the run in which the cell was executed, and when, in seconds since 1970; `None` where it never was.
        seconds: how long that took.
        reason: why it ran then, or `None`.
        reads: what it read.
        writes: what it wrote.
        predicted: whether `reads` and `writes` are what its code says.
        edited: whether its code is another now.
        network: whether it connected anywhere.
        diagnostics: what its code says about hidden state.
    """

    source: Path
    step: Step
    state: str
    run: str | None = None
    recorded: tuple[str, float] | None = None
    seconds: float | None = None
    reason: str | None = None
    reads: tuple[Thing, ...] = ()
    writes: tuple[Thing, ...] = ()
    predicted: bool = False
    edited: bool = False
    network: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        return {
            "id": self.step.task.id,
            "name": self.step.task.name,
            "cells": [self.step.task.cell],
            "state": self.state,
            "run": self.run,
            "recorded": None
            if self.recorded is None
            else {"run": self.recorded[0], "time": iso_time(self.recorded[1]), "seconds": self.seconds},
            "reason": self.reason,
            "reads": [thing.as_dict() for thing in self.reads],
            "writes": [thing.as_dict() for thing in self.writes],
            "predicted": self.predicted,
            "edited": self.edited,
            "network": self.network,
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.diagnostics],
        }


@at_work("explain")
def explain_cell(reference: str | Path, cell: str) -> Explanation:
    """Return what is known of a cell.

    Args:
        reference: a notebook, a script, or a folder with one.
        cell: a position, an id or a tag.

    Raises:
        InputError: the source cannot be read, or has no such cell.
        UnavailableError: Kanoe's own folder cannot be used.
    """
    source = read_source(reference)
    position = find_cells(source, cell, "CELL")[0]
    steps = plan_cells(source.notebook)
    traces = Traces(open_store().traces)
    try:
        found = list(_walks(traces, source, steps))
    finally:
        traces.close()
    place = f" cell {position}"
    remarks = tuple(
        remark
        for remark in find_hidden_state(source.notebook, source.path.name)
        if remark.place is not None and f"{remark.place} ".startswith(f"{source.path.name}{place} ")
    )
    walk = next((walk for walk in found if position in walk.codes), None)
    if walk is None:
        return _predicted(source, steps[position], remarks)
    return _Account(source.path, steps[position], walk, found[found.index(walk) + 1 :], remarks).told()


@dataclass(frozen=True, slots=True)
class _Walked:
    """A run's traces by the positions that their cells have in the notebook of now, and the state before each.

    Args:
        run: its id.
        codes: the hash of the code that each cell had.
        traces: what each did; cells that were skipped or did not end well have none.
        order: the positions in the order of that run; cells that are not there any more have negative ones.
    """

    run: str
    codes: Mapping[int, str]
    traces: Mapping[int, Trace]
    order: tuple[int, ...]

    def before(self, position: int) -> tuple[dict[Reference, Value | None], dict[Reference, int]]:
        """Return what a cell found, and who had written it."""
        state: dict[Reference, Value | None] = {}
        writers: dict[Reference, int] = {}
        for place in self.order[: self.order.index(position)]:
            if place in self.traces:
                state.update(self.traces[place].writes)
                writers.update(dict.fromkeys(self.traces[place].writes, place))
        return state, writers

    def readers(self, position: int, reference: Reference) -> Iterator[int]:
        """Yield the cells that read what a cell wrote, until another writes it."""
        for place in self.order[self.order.index(position) + 1 :]:
            trace = self.traces.get(place)
            if trace is None:
                continue
            if any(hashed is not None and depends_on(read, reference) for read, hashed in trace.reads.items()):
                yield place
            if reference in trace.writes:
                return


def _walks(traces: Traces, source: Source, steps: Sequence[Step]) -> Iterator[_Walked]:
    """Yield the remembered runs of a notebook, newest first."""
    origin = origin_of(source)
    now = [(step.task.id, code_hash(step.task.code)) for step in steps]
    positions = {step.task.id: step.task.cell for step in steps}
    for run, before in runs_of(traces, origin, [code for _, code in now]):
        pairs = same_cells([(step.cell, step.code) for step in before], now)
        places = {earlier: positions[cell] for cell, earlier in pairs.items()}
        order = tuple(places.get(step.cell, -1 - at) for at, step in enumerate(before))
        found = {
            place: trace
            for place, step in zip(order, before, strict=True)
            if step.trace is not None and (trace := traces.get(origin, step.trace)) is not None
        }
        yield _Walked(run, {place: step.code for place, step in zip(order, before, strict=True)}, found, order)


@dataclass(frozen=True, slots=True)
class _Account:
    """One cell in one run, and the runs before."""

    source: Path
    step: Step
    walk: _Walked
    earlier: Sequence[_Walked]
    remarks: tuple[Diagnostic, ...]

    def told(self) -> Explanation:
        position, walk = self.step.task.cell, self.walk
        edited = walk.codes[position] != code_hash(self.step.task.code)
        trace = walk.traces.get(position)
        if trace is None:
            return Explanation(self.source, self.step, FAILED, walk.run, edited=edited, diagnostics=self.remarks)
        made = self._made_by(trace)
        state, writers = made.before(position)
        previous = self._previous(made, trace)
        return Explanation(
            self.source,
            self.step,
            RAN if trace.run == walk.run else REUSED,
            walk.run,
            recorded=(trace.run, trace.moment),
            seconds=trace.seconds,
            reason=self._reason(trace, previous, state, writers),
            reads=tuple(self._reads(trace, state, writers, previous)),
            writes=tuple(self._writes(trace, state)),
            edited=edited,
            network=trace.network,
            diagnostics=self.remarks,
        )

    def _made_by(self, trace: Trace) -> _Walked:
        """Return the run in which a trace was made, where it is remembered: there it had the reads that are explained."""
        runs = (walk for walk in self.earlier if walk.run == trace.run and self.step.task.cell in walk.traces)
        return self.walk if trace.run == self.walk.run else next(runs, self.walk)

    def _previous(self, made: _Walked, trace: Trace) -> _Walked | None:
        """Return the run before, in which the cell did something else."""
        position = self.step.task.cell
        runs = [self.walk, *self.earlier]
        return next(
            (
                walk
                for walk in runs[runs.index(made) + 1 :]
                if position in walk.traces and trace_id(walk.traces[position]) != trace_id(trace)
            ),
            None,
        )

    def _reason(
        self,
        trace: Trace,
        previous: _Walked | None,
        state: Mapping[Reference, Value | None],
        writers: Mapping[Reference, int],
    ) -> str:
        """Return why it ran when it was executed."""
        earlier = previous.traces[self.step.task.cell] if previous is not None else None
        known = (trace.code, trace.environment)
        alike = [earlier] if earlier is not None and (earlier.code, earlier.environment) == known else []
        hashes = {**{reference: hash_in(state, reference) for reference in state}, **trace.reads}
        reason: Reason = why_miss(*known, alike, earlier, state, writers, hash_of=hashes.get)
        if reason.kind is ReasonKind.NEVER and earlier is not None:
            return "somebody asked for it, or what was kept of it was gone"
        return reason.text

    def _reads(
        self,
        trace: Trace,
        state: Mapping[Reference, Value | None],
        writers: Mapping[Reference, int],
        previous: _Walked | None,
    ) -> Iterator[Thing]:
        position = self.step.task.cell
        before = previous.before(position)[0] if previous is not None else {}
        known = previous.traces[position].reads if previous is not None else {}
        present = {reference: hashed for reference, hashed in trace.reads.items() if hashed is not None}
        for reference, hashed in _told_of(present):
            value = state.get(plain(reference))
            changes: tuple[str, ...] = ()
            if previous is not None and known.get(reference, hashed) != hashed:
                changes = _changes(before.get(plain(reference)), value)
            yield Thing(
                label(reference),
                reference,
                value.type if value is not None else "",
                _position(writers.get(plain(reference))),
                changes=changes,
            )

    def _writes(self, trace: Trace, state: Mapping[Reference, Value | None]) -> Iterator[Thing]:
        for reference, value in _told_of(trace.writes):
            before = state.get(reference)
            changes = _changes(before, value) if before is not None and value is not None else ()
            yield Thing(
                label(reference),
                reference,
                value.type if value is not None else "",
                readers=tuple(place for place in self.walk.readers(self.step.task.cell, reference) if place >= 0),
                changes=changes,
                gone=value is None,
            )


def _told_of(things: Mapping[Reference, Any]) -> Iterator[tuple[Reference, Any]]:
    """Yield what people care for: a definition under its own name once, and no look-up that found nothing."""
    named = {reference.removeprefix("name:") for reference in things if reference.startswith("name:")}
    for reference, held in sorted(things.items(), key=lambda item: _RANKS.get(item[0].partition(":")[0], len(_RANKS))):
        kind = reference.partition(":")[0]
        double = (kind == "group" and plain(reference) in things) or (
            kind == "def" and label(reference).split(".")[0] in named
        )
        if not double and (held is not None or kind in ("name", "file")):
            yield reference, held


_RANKS = {kind: rank for rank, kind in enumerate(("name", "out", "def", "group", "file"))}


def _changes(before: Value | None, after: Value | None) -> tuple[str, ...]:
    """Return how a value differs, as far as the summaries tell."""
    if before is None or after is None or before.hash == after.hash:
        return ()
    types = (f"{before.type} -> {after.type}",) if before.type != after.type and before.type and after.type else ()
    sizes = before.summary.get("size"), after.summary.get("size")
    if isinstance(sizes[0], int) and isinstance(sizes[1], int):
        return (*types, f"{show_size(sizes[0])} -> {show_size(sizes[1])}" if sizes[0] != sizes[1] else "its content")
    return (*types, *differences(before.summary.get("summary"), after.summary.get("summary")))


def _position(place: int | None) -> int | None:
    return place if place is not None and place >= 0 else None


def _predicted(source: Source, step: Step, remarks: tuple[Diagnostic, ...]) -> Explanation:
    """Return what the code of a cell says that never ran here."""
    cells = [names_of(cell.source) for cell in source.notebook.code_cells]
    predicted = predict_names(cells)
    position = step.task.cell

    def writer(name: str) -> int | None:
        return next((place for place in range(position - 1, -1, -1) if name in predicted[place].writes), None)

    def readers(name: str) -> Iterator[int]:
        for place in range(position + 1, len(cells)):
            if name in predicted[place].reads:
                yield place
            if name in cells[place].binds:
                return

    return Explanation(
        source.path,
        step,
        NEVER,
        reads=tuple(Thing(name, f"name:{name}", cell=writer(name)) for name in sorted(predicted[position].reads)),
        writes=tuple(
            Thing(name, f"name:{name}", readers=tuple(readers(name))) for name in sorted(predicted[position].writes)
        ),
        predicted=True,
        diagnostics=remarks,
    )
