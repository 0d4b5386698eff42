"""What a run would do with each cell, found without running anything: hit, miss or maybe. Pure: no input, no output.

The cells are walked in order with a state, as a run does. A hit's writes are known and applied. A miss's writes are guessed from what
the cell did before: each may come out as it was, so a cell that reads one of them is `maybe`, and what it wrote is open in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum

from kanoe.engine.cells import Step
from kanoe.engine.reasons import (
    Reason,
    asked,
    depends_on,
    differing,
    is_derived,
    label,
    listed,
    plain,
    why_miss,
    writer_of,
)
from kanoe.engine.state import State
from kanoe.ir.trace import Reference, Trace, Value


class Verdict(StrEnum):
    """What a run would do with a cell."""

    HIT = "hit"
    MISS = "miss"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True)
class Guess:
    """What a cell's source alone says that it reads and writes."""

    reads: frozenset[Reference] = frozenset()
    writes: frozenset[Reference] = frozenset()


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a notebook before a run.

    Args:
        find: the traces of a code in the environment of now, newest first; called with the hash of the cell's code.
        code_of: the hash of a cell's code.
        environment: the hash of the environment of now.
        previous: what each cell did in the last run, by its id, whatever its code was then.
        guesses: what the source of a cell says, by its id.
        forced: why a cell is to run whatever is known, by its id: a tag, an option.
        outside: the hash of what no cell writes, such as input files.
    """

    find: Callable[[str], Sequence[Trace]]
    code_of: Callable[[Step], str]
    environment: str = ""
    previous: Mapping[str, Trace] = field(default_factory=dict)
    guesses: Mapping[str, Guess] = field(default_factory=dict)
    forced: Mapping[str, str] = field(default_factory=dict)
    outside: Callable[[Reference], str | None] = lambda _reference: None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What a run would do with one cell.

    Args:
        step: the cell.
        verdict: hit, miss or maybe.
        reason: one sentence: why it runs, why it may, or that it is reused.
        needs: the positions of the cells that wrote what it reads, in order.
        reads: what it reads, as far as anybody knows.
        writes: what it writes, as far as anybody knows.
        trace: what a hit or a maybe reuses; of a miss, what it did before; `None` where it never ran.
        seconds: how long it took then, or `None`.
        predicted: whether `reads` and `writes` are what its source says, because this code never ran.
        replays: the position of a later cell for whose sake a hit runs all the same, its outputs discarded, or `None`.
        sources: for each of `needs`, what is read from there.
    """

    step: Step
    verdict: Verdict
    reason: str
    needs: tuple[int, ...] = ()
    reads: tuple[Reference, ...] = ()
    writes: tuple[Reference, ...] = ()
    trace: Trace | None = None
    seconds: float | None = None
    predicted: bool = False
    replays: int | None = None
    sources: Mapping[int, tuple[Reference, ...]] = field(default_factory=dict)

    @property
    def position(self) -> int:
        """The cell's position among the code cells, from 0."""
        return self.step.task.cell

    @property
    def runs(self) -> bool:
        """Whether it runs or may run."""
        return self.verdict is not Verdict.HIT or self.replays is not None


def plan_steps(
    steps: Sequence[Step], past: Past, initial: Mapping[Reference, Value] | None = None
) -> tuple[PlannedStep, ...]:
    """Return what a run would do with each step that is not skipped, in order.

    Args:
        steps: the cells, in order.
        past: what is known of them.
        initial: what there is before the first.
    """
    walk = _Walk(past, initial or {})
    planned = [walk.take(step) for step in steps if step.skip is None]
    return _with_replays(planned, walk.lost)


def critical_path(planned: Sequence[PlannedStep]) -> tuple[tuple[int, ...], float]:
    """Return the chain of cells that run, each needing the one before, that takes longest, and its seconds.

    Cells whose time nobody knows count as none.
    """
    best: dict[int, tuple[float, int, tuple[int, ...]]] = {}
    for entry in planned:
        before = max((best[need] for need in entry.needs if need in best), default=(0.0, 0, ()))
        seconds, count, path = before
        if entry.runs:
            seconds, count, path = seconds + (entry.seconds or 0.0), count + 1, (*path, entry.position)
        best[entry.position] = seconds, count, path
    seconds, _, path = max(best.values(), default=(0.0, 0, ()))
    return path, seconds


def expected_seconds(planned: Sequence[PlannedStep]) -> tuple[float, float]:
    """Return how long the cells take at least, and if all that may run do; cells whose time nobody knows count as none."""
    least = sum(entry.seconds or 0.0 for entry in planned if entry.verdict is Verdict.MISS or entry.replays is not None)
    most = sum(entry.seconds or 0.0 for entry in planned if entry.runs)
    return least, most


def same_cells(before: Sequence[tuple[str, str]], now: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return which cell of the last run each cell is, by their ids: the same code in the same order, else the same id.

    Args:
        before: the ids and the hashes of the codes of the cells of the last run, in order.
        now: those of the notebook.
    """
    matcher = SequenceMatcher(None, [code for _, code in before], [code for _, code in now], autojunk=False)
    found: dict[str, str] = {}
    for kind, start, end, other, other_end in matcher.get_opcodes():
        old, new = before[start:end], now[other:other_end]
        if kind == "equal" or (kind == "replace" and len(old) == len(new)):
            found |= {cell: earlier for (cell, _), (earlier, _) in zip(new, old, strict=True)}
        elif kind == "replace":
            ids = {cell for cell, _ in old}
            found |= {cell: cell for cell, _ in new if cell in ids}
    return found


class _Walk:
    """The state while the cells are walked."""

    def __init__(self, past: Past, initial: Mapping[Reference, Value]) -> None:
        self._past = past
        self._state = State(past.outside)
        self._state.values.update(initial)
        self._writers: dict[Reference, int] = {}
        self._open: dict[Reference, int] = {}
        self._sources_before: list[str] = []
        self._hits: set[int] = set()
        # What each cell reads that has no bytes, and who wrote it: position -> [(reference, writer)].
        self.lost: dict[int, list[tuple[Reference, int]]] = {}

    def take(self, step: Step) -> PlannedStep:
        """Plan the next step."""
        self._state.begin(self._sources_before)
        planned = self._take(step)
        self._sources_before.append(step.task.code)
        return planned

    def _take(self, step: Step) -> PlannedStep:
        code = self._past.code_of(step)
        traces = tuple(self._past.find(code))
        forced = self._past.forced.get(step.task.id)
        fitting = None if forced is not None else self._fitting(traces)
        if fitting is None:
            return self._miss(step, code, traces, forced)
        waits = [reference for reference in fitting.reads if self._is_open(reference)]
        if waits:
            return self._maybe(step, fitting, waits)
        return self._hit(step, fitting)

    def _fitting(self, traces: Sequence[Trace]) -> Trace | None:
        """Return the trace that applies, else the newest that does unless something open comes out differently."""
        applying = [trace for trace in traces if not self._settled_differences(trace)]
        sure = (trace for trace in applying if not any(self._is_open(reference) for reference in trace.reads))
        return next(sure, applying[0] if applying else None)

    def _settled_differences(self, trace: Trace) -> list[Reference]:
        return [reference for reference in differing(trace, self._state.hash_of) if not self._is_open(reference)]

    def _is_open(self, read: Reference) -> bool:
        return bool(self._open) and self._waits_for(read) is not None

    def _waits_for(self, read: Reference) -> Reference | None:
        """Return what a read waits for, or `None` where it is settled."""
        if plain(read) in self._open:
            return plain(read)
        if not is_derived(read):
            return None
        return next((written for written in self._open if depends_on(read, written)), None)

    def _hit(self, step: Step, trace: Trace) -> PlannedStep:
        planned = self._planned(step, Verdict.HIT, "reused", trace)
        position = step.task.cell
        self._apply(trace.writes, position)
        for reference in trace.writes:
            self._open.pop(reference, None)
        self._hits.add(position)
        return planned

    def _maybe(self, step: Step, trace: Trace, waits: Sequence[Reference]) -> PlannedStep:
        written = dict.fromkeys(self._waits_for(reference) or reference for reference in waits)
        reason = _maybe_text([(reference, self._open[reference]) for reference in written])
        planned = self._planned(step, Verdict.MAYBE, reason, trace)
        self._apply(trace.writes, step.task.cell)
        self._open.update(dict.fromkeys(trace.writes, step.task.cell))
        return planned

    def _miss(self, step: Step, code: str, traces: Sequence[Trace], forced: str | None) -> PlannedStep:
        position, previous = step.task.cell, self._past.previous.get(step.task.id)
        guess = self._past.guesses.get(step.task.id, Guess())
        reason = asked(forced) if forced is not None else self._why_miss(code, traces, previous)
        known = traces[0] if traces else previous if previous is not None and previous.code == code else None
        if known is not None:
            planned = self._planned(step, Verdict.MISS, reason.text, known)
        else:
            planned = self._guessed(step, reason.text, guess, previous)
        before = known or previous
        if before is not None:
            self._apply(before.writes, position)
        changed = [*(before.writes if before is not None else ()), *(() if known is not None else guess.writes)]
        self._open.update(dict.fromkeys(changed, position))
        self._writers.update(dict.fromkeys(changed, position))
        return planned

    def _why_miss(self, code: str, traces: Sequence[Trace], previous: Trace | None) -> Reason:
        """Return why a cell runs, by what is settled: nobody can judge the rest yet."""
        settled = [
            replace(trace, reads={key: value for key, value in trace.reads.items() if not self._is_open(key)})
            for trace in traces
        ]
        return why_miss(
            code,
            self._past.environment,
            settled,
            previous,
            self._state.values,
            self._writers,
            self._hits,
            self._state.hash_of,
        )

    def _guessed(self, step: Step, reason: str, guess: Guess, previous: Trace | None) -> PlannedStep:
        """Return the step of a code that never ran: its names from the source, the rest as the cell did before."""
        other = [key for key in previous.reads if not _is_name(key)] if previous is not None else []
        written = [key for key in previous.writes if not _is_name(key)] if previous is not None else []
        reads = (*sorted(guess.reads), *other)
        sources = self._sources(step, reads)
        return PlannedStep(
            step=step,
            verdict=Verdict.MISS,
            reason=reason,
            needs=tuple(sources),
            reads=reads,
            writes=(*sorted(guess.writes), *written),
            trace=previous,
            seconds=previous.seconds if previous is not None else None,
            predicted=True,
            sources=sources,
        )

    def _planned(self, step: Step, verdict: Verdict, reason: str, trace: Trace) -> PlannedStep:
        reads = tuple(
            reference
            for reference, hashed in trace.reads.items()
            if hashed is not None or plain(reference) in self._writers
        )
        sources = self._sources(step, reads)
        return PlannedStep(
            step=step,
            verdict=verdict,
            reason=reason,
            needs=tuple(sources),
            reads=reads,
            writes=tuple(trace.writes),
            trace=trace,
            seconds=trace.seconds,
            sources=sources,
        )

    def _sources(self, step: Step, reads: Sequence[Reference]) -> dict[int, tuple[Reference, ...]]:
        """Return what a step reads by who wrote it, in the order of the cells; note what of it has no bytes."""
        found: dict[int, list[Reference]] = {}
        for reference in reads:
            writer = writer_of(reference, self._writers)
            if writer is not None:
                found.setdefault(writer, []).append(reference)
                if self._is_lost(plain(reference)):
                    self.lost.setdefault(step.task.cell, []).append((reference, writer))
        return {writer: tuple(found[writer]) for writer in sorted(found)}

    def _is_lost(self, reference: Reference) -> bool:
        """Whether it has no bytes."""
        value = self._state.values.get(reference)
        if value is None:
            return False
        if value.bundle is not None:
            return value.bundle.pickle is None
        return reference.partition(":")[0] in ("random", "setting", "effect", "opaque") and value.blob is None

    def _apply(self, writes: Mapping[Reference, Value | None], position: int) -> None:
        self._state.apply(position, writes)
        self._writers.update(dict.fromkeys(writes, position))


def _maybe_text(open_things: Sequence[tuple[Reference, int]]) -> str:
    """Return `it runs if cell 4's df changes`; of what is no cell's own: `the random state after cell 1`."""
    owned: dict[int, list[str]] = {}
    left: dict[int, list[str]] = {}
    for reference, writer in sorted(open_things, key=lambda thing: thing[1]):
        words = (owned if _is_name(reference) or reference.startswith("file:") else left).setdefault(writer, [])
        if label(reference) not in words:
            words.append(label(reference))
    told = [f"cell {writer}'s {listed(names, 'or')}" for writer, names in owned.items()]
    told += [f"{listed(names, 'or')} after cell {writer}" for writer, names in left.items()]
    one = sum(map(len, (*owned.values(), *left.values()))) == 1
    return f"it runs if {listed(told, 'or')} {'changes' if one else 'change'}"


def _is_name(reference: Reference) -> bool:
    return reference.partition(":")[0] in ("name", "def", "group", "out")


def _with_replays(
    planned: Sequence[PlannedStep], lost: Mapping[int, list[tuple[Reference, int]]]
) -> tuple[PlannedStep, ...]:
    """Return the steps with those hits marked that run again for a value without bytes, directly or for one that does."""
    by_position = {entry.position: entry for entry in planned}
    wanted: dict[int, tuple[int, Reference]] = {}
    waiting = [entry.position for entry in planned if entry.verdict is not Verdict.HIT]
    while waiting:
        reader = waiting.pop()
        for reference, writer in lost.get(reader, ()):
            if writer not in wanted and by_position[writer].verdict is Verdict.HIT:
                wanted[writer] = reader, reference
                waiting.append(writer)
    return tuple(
        replace(entry, replays=wanted[entry.position][0], reason=_replay_text(*wanted[entry.position]))
        if entry.position in wanted
        else entry
        for entry in planned
    )


def _replay_text(reader: int, reference: Reference) -> str:
    return f"reused, and replayed for cell {reader}: {label(plain(reference))} cannot be kept"
