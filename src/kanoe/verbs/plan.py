"""`kanoe plan`: what a run would do with each cell, and why; nothing is run, and nothing is built."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kanoe.back.memory import code_hash
from kanoe.back.worker_folder import worker_folder
from kanoe.base.diagnostics import Diagnostic
from kanoe.base.stop import Stop
from kanoe.engine.cells import Step
from kanoe.engine.events import Event, Noted
from kanoe.engine.plan import (
    Guess,
    Past,
    PlannedStep,
    Verdict,
    critical_path,
    expected_seconds,
    plan_steps,
    same_cells,
)
from kanoe.engine.reasons import label, short_name
from kanoe.environments.build import environment_id
from kanoe.front.hidden import find_hidden_state
from kanoe.front.names import names_of, predict_names
from kanoe.front.parameters import with_parameters
from kanoe.front.read import read_source
from kanoe.ir.notebook import Notebook
from kanoe.ir.source import Source
from kanoe.ir.trace import Reference, Trace
from kanoe.sandbox.gpu import with_gpu
from kanoe.sandbox.layout import with_limits
from kanoe.sandbox.limits import chosen_limits
from kanoe.store.contents import Contents
from kanoe.store.home import Store, open_store
from kanoe.store.traces import Step as RememberedStep
from kanoe.store.traces import Traces
from kanoe.verbs.cells import CellsOptions, Outside, environment_hash, forced_cells, origin_of
from kanoe.verbs.drawing import Node, dot, mermaid
from kanoe.verbs.environment import Watch, build, ignore, lock_source
from kanoe.verbs.queue import at_work
from kanoe.verbs.run import RunOptions, steps_of
from kanoe.verbs.sandbox import attach_data, laid_out, wanted_gpu
from kanoe.verbs.secrets import resolve_secrets
from kanoe.verbs.variables import check_variables

_DEFAULTS = RunOptions()
_MOST_TRACES = 50  # of one code that are looked through


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Args:
        source: the file.
        steps: what it would do with each cell that is not skipped.
        skipped: the cells that it would leave out.
        predicted: whether the notebook never ran here, so that all is guessed from its code.
        diagnostics: what is wrong with it or worth knowing.
    """

    source: Path
    steps: tuple[PlannedStep, ...]
    skipped: tuple[Step, ...] = ()
    predicted: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        ids = {entry.position: entry.step.task.id for entry in self.steps}
        path, chain = critical_path(self.steps)
        least, most = expected_seconds(self.steps)
        return {
            "steps": [_step_record(entry, ids) for entry in self.steps],
            "skipped": [
                {"id": step.task.id, "name": step.task.name, "cells": [step.task.cell], "reason": step.skip}
                for step in self.skipped
            ],
            "predicted": self.predicted,
            "seconds": {"least": least, "most": most, "saved": self.saved},
            "critical_path": {"steps": [ids[position] for position in path], "seconds": chain},
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.diagnostics],
        }

    @property
    def saved(self) -> float:
        """The seconds that the cells took when they ran which are reused now."""
        return sum(entry.seconds or 0.0 for entry in self.steps if not entry.runs)

    def count(self, verdict: Verdict) -> int:
        """Return how many cells have a verdict."""
        return sum(entry.verdict is verdict for entry in self.steps)

    def nodes(self) -> list[Node]:
        """Return the graph of the cells."""
        return [
            Node(
                entry.position,
                entry.step.task.title,
                str(entry.verdict),
                {need: _unique(map(label, references)) for need, references in entry.sources.items()},
            )
            for entry in self.steps
        ]

    def mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart."""
        return mermaid(self.nodes())

    def dot(self) -> str:
        """Return the graph in Graphviz's language."""
        return dot(self.nodes())


def _step_record(entry: PlannedStep, ids: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": entry.step.task.id,
        "name": entry.step.task.name,
        "cells": [entry.position],
        "needs": [ids[need] for need in entry.needs],
        "reads": _unique(map(short_name, entry.reads)),
        "writes": _unique(map(short_name, entry.writes)),
        "state": str(entry.verdict),
        "reason": entry.reason,
        "seconds": entry.seconds,
        "predicted": entry.predicted,
        "replayed": entry.replays is not None,
    }


def _unique(words: Any) -> list[str]:
    return list(dict.fromkeys(words))


@at_work("plan")
def plan_source(
    reference: str | Path,
    options: RunOptions = _DEFAULTS,
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
) -> Plan:
    """Return what a run of a source with these options would do.

    Args:
        reference: a notebook, a script, or a folder with one.
        options: those of the run.
        watch: takes events of progress.
        stop: ends the work.

    Raises:
        InputError: the source or an option is wrong.
        UnavailableError: Kanoe's own folder cannot be used, or the environment cannot be resolved.
        CancelledError: `stop` was requested.
    """
    store, source = open_store(), read_source(reference)
    name = source.path.name
    source = replace(
        source, notebook=with_parameters(source.notebook, options.parameters, texts=options.texts, file_name=name)
    )
    check_variables(options.variables)
    steps = steps_of(source, options)
    traces = Traces(store.traces)
    remarks = [*source.diagnostics, *find_hidden_state(source.notebook, name)]

    def hear(event: Event) -> None:
        if isinstance(event, Noted):
            remarks.append(event.diagnostic)
        watch(event)

    try:
        past = _past(_Question(source, options, store, traces, hear, stop or Stop()), steps)
        planned = plan_steps(steps, past)
    finally:
        traces.close()
    return Plan(
        source.path,
        planned,
        tuple(step for step in steps if step.skip is not None),
        predicted=all(entry.predicted and entry.trace is None for entry in planned),
        diagnostics=tuple(dict.fromkeys(remarks)),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, and who hears of it."""

    source: Source
    options: RunOptions
    store: Store
    traces: Traces
    tell: Watch
    stop: Stop


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What is the same for every cell now: its hash, and the hashes of what no cell writes."""

    environment: str = ""
    outside: Callable[[Reference], str | None] = field(default=lambda _reference: None)


def _past(question: _Question, steps: Sequence[Step]) -> Past:
    """Return what is known of a notebook."""
    origin, traces = origin_of(question.source), question.traces
    options = question.options
    cells = CellsOptions(options.cache, tuple(options.refresh), options.first, options.variables)
    guesses = guess_steps(question.source.notebook)
    known = Past(
        find=lambda _code: (),
        code_of=lambda step: code_hash(step.task.code),
        previous={step.cell: trace for step, trace in last_run(traces, origin, steps)},
        guesses=guesses,
        forced=forced_cells(question.source, cells),
    )
    if not next(traces.runs(origin, 1), None):
        return known
    around = _surroundings(question)
    return replace(
        known,
        find=lambda code: traces.find(origin, code, around.environment, _MOST_TRACES),
        environment=around.environment,
        outside=around.outside,
    )


def guess_steps(notebook: Notebook) -> dict[str, Guess]:
    """Return what the code of each cell says that it reads and writes, by its id."""
    cells = notebook.code_cells
    predicted = predict_names([names_of(cell.source) for cell in cells])
    return {
        cell.id: Guess(_references(names.reads), _references(names.writes))
        for cell, names in zip(cells, predicted, strict=True)
    }


def _references(names: frozenset[str]) -> frozenset[Reference]:
    return frozenset(f"name:{name}" for name in names)


def last_run(traces: Traces, origin: str, steps: Sequence[Step]) -> list[tuple[RememberedStep, Trace]]:
    """Return what each step did in the last run of this notebook, as far as it is kept; the cells have the ids of now."""
    now = [(step.task.id, code_hash(step.task.code)) for step in steps]
    for _, before in runs_of(traces, origin, [code for _, code in now]):
        by_cell = {step.cell: step for step in before}
        pairs = same_cells([(step.cell, step.code) for step in before], now)
        found = [(replace(by_cell[earlier], cell=cell), by_cell[earlier].trace) for cell, earlier in pairs.items()]
        kept = [(step, traces.get(origin, name)) for step, name in found if name is not None]
        return [(step, trace) for step, trace in kept if trace is not None]
    return []


def runs_of(traces: Traces, origin: str, codes: Sequence[str]) -> list[tuple[str, tuple[RememberedStep, ...]]]:
    """Return the remembered runs of a notebook, newest first: several may stand in one folder, so it is known by its cells."""
    wanted = set(codes)
    runs = list(traces.runs(origin))
    shares = [len(wanted & {step.code for step in steps}) / max(len(steps), 1) for _, steps in runs]
    bound = max(shares, default=0.0) / 2
    return [run for run, share in zip(runs, shares, strict=True) if share > bound or (share and share == bound)]


def _surroundings(question: _Question) -> _Surroundings:
    """Return what is the same for every cell; where the environment is not built, nothing that is known was recorded in it."""
    source, options, store, stop = question.source, question.options, question.store, question.stop
    locked = lock_source(source, options, store, question.tell, stop)
    if not (store.environments / environment_id(locked.lock, locked.interpreter)).is_dir():
        return _Surroundings()
    ready = build(source, locked, store, ignore, stop)
    limits = chosen_limits(options.memory, options.cpus, options.disk, kaggle=options.kaggle_limits)
    gpu = wanted_gpu(options.gpu)
    data = attach_data(source, options.inputs, store, question.tell)
    cells = CellsOptions(variables=options.variables)
    secrets = resolve_secrets(options.secrets, store)
    with (
        tempfile.TemporaryDirectory(prefix="plan-", dir=store.scratch) as working,
        laid_out(source, ready, data, store, Path(working), internet=options.internet, tell=ignore) as place,
    ):
        layout = with_limits(place.layout, limits)
        layout = with_gpu(layout, gpu) if gpu is not None else layout
        environment = environment_hash(source, ready, place.tool, layout, worker_folder(store.workers), cells)
        return _Surroundings(environment, Outside(layout, Contents(store.contents), secrets).hash_of)
