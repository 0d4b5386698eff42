"""The memory of a run: traces and blobs of the store, and the files of the run's folders."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kanoe.back.tree import Tree
from kanoe.base.errors import KanoeError
from kanoe.base.hashing import hash_text
from kanoe.engine.cells import Step
from kanoe.engine.memory import Told, Verdict
from kanoe.engine.reasons import why_miss
from kanoe.engine.state import State
from kanoe.ir.trace import Reference, Trace, Value
from kanoe.store.blobs import Blobs
from kanoe.store.traces import Step as RememberedStep
from kanoe.store.traces import Traces, trace_id

ALWAYS_RUN_TAG = "cache:disabled"

# The page is a step like any other, of Kanoe's own.
_PAGE, _DOCUMENT = "page", "name:document"


def code_hash(code: str) -> str:
    """Return the hash of a cell's source."""
    return hash_text("code", code)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose executions a run may use.

    Args:
        name: one folder or one Kaggle reference: what another origin recorded is not trusted.
        environment: hash of all that is the same for every cell.
        run: the run that goes on.
        forced: why a cell runs whatever is remembered, by its task's id.
    """

    name: str
    environment: str
    run: str
    forced: Mapping[str, str] = field(default_factory=dict)


class StoreMemory:
    """Remembers in the store.

    Args:
        origin: see `Origin`.
        traces: the store's traces.
        blobs: the store's blobs.
        tree: the files of the run's folders.
    """

    def __init__(
        self,
        origin: Origin,
        traces: Traces,
        blobs: Blobs,
        tree: Tree,
    ) -> None:
        self._origin = origin
        self._traces = traces
        self._blobs = blobs
        self._tree = tree
        self._steps: dict[str, RememberedStep] = {}
        self._previous = {
            step.cell: step.trace for step in self._attempt(lambda: traces.latest(origin.name), ()) if step.trace
        }

    def look_up(self, step: Step, state: State) -> Verdict:
        """Return the newest execution that fits, whose output and files are all there; else why none does."""
        task, code = step.task, code_hash(step.task.code)
        self._steps[task.id] = RememberedStep(task.id, code, None)
        forced = self._origin.forced.get(task.id)
        if forced is not None:
            return Verdict(None, forced)
        name, environment = self._origin.name, self._origin.environment
        trace = self._attempt(lambda: self._traces.hit(name, code, environment, state.hash_of), None)
        if trace is None:
            return self._miss(step, code, state)
        told = self._read_messages(trace)
        if told is None:
            return Verdict(None, "what was kept of it is damaged or gone")
        self._steps[task.id] = RememberedStep(task.id, code, trace_id(trace))
        return Verdict(trace, "reused", told)

    def _miss(self, step: Step, code: str, state: State) -> Verdict:
        name, environment = self._origin.name, self._origin.environment
        traces = self._attempt(lambda: self._traces.find(name, code, environment, 20), [])
        previous = None
        known = self._previous.get(step.task.id)
        if known is not None:
            previous = self._attempt(lambda: self._traces.get(name, known), None)
        reason = why_miss(code, environment, traces, previous, state.values, state.writers, hash_of=state.hash_of)
        looked_up = {read.removeprefix("name:") for trace in traces for read in trace.reads if read.startswith("name:")}
        return Verdict(None, reason.text, names=tuple(sorted(looked_up)))

    def _read_messages(self, trace: Trace) -> Told | None:
        data = self._blobs.read(trace.messages)
        if data is None:
            return None
        return [(kind, content) for kind, content in json.loads(data)]

    def record(self, step: Step, trace: Trace, messages: Told) -> Trace:
        """Remember an execution: first its bytes, then the trace."""
        code = code_hash(step.task.code)
        trace = replace(trace, code=code, environment=self._origin.environment, run=self._origin.run)
        trace = replace(trace, moment=time.time())

        def keep() -> str:
            sent = json.dumps([[kind, content] for kind, content in messages]).encode("utf-8", "surrogatepass")
            nonlocal trace
            trace = replace(trace, messages=self._blobs.put(sent))
            return self._traces.add(self._origin.name, trace)

        name = self._attempt(keep, None)
        self._steps[step.task.id] = RememberedStep(step.task.id, code, name)
        return trace

    def lay_down(self, values: Mapping[Reference, Value]) -> Sequence[Reference]:
        """Bring the files to a state; returns those whose bytes are gone or damaged."""
        return self._tree.lay_down(values).missing

    def forget(self) -> None:
        """Let the folders be empty, whatever lies there."""
        self._tree.forget()

    def find_page(self, key: str) -> bytes | None:
        """Return the page of a document that was made before."""
        name, shown = self._origin.name, {_DOCUMENT: key}
        trace = self._attempt(lambda: self._traces.hit(name, _PAGE, _PAGE, shown.get), None)
        return self._blobs.read(trace.messages) if trace is not None else None

    def keep_page(self, key: str, data: bytes) -> None:
        """Keep the page of a document: a step that reads the document and tells the page."""

        def keep() -> None:
            page = self._blobs.put(data)
            trace = Trace(_PAGE, _PAGE, {_DOCUMENT: key}, {}, page, 0.0, run=self._origin.run, moment=time.time())
            self._traces.add(self._origin.name, trace)

        self._attempt(keep, None)

    @property
    def language(self) -> Mapping[str, Any] | None:
        """What a kernel of this environment said of its language, for runs that start none."""
        data = self.find_page(f"language {self._origin.environment}")
        return json.loads(data) if data is not None else None

    def keep_language(self, language: Mapping[str, Any]) -> None:
        """Keep what a kernel says of its language."""
        if self.language != language:
            self.keep_page(f"language {self._origin.environment}", json.dumps(language).encode())

    def close(self) -> None:
        """Let the store's files go."""
        self._traces.close()
        self._blobs.close()

    def remember_run(self, order: Sequence[str]) -> None:
        """Remember which cells the run had, for plans and explanations."""
        steps = [self._steps.get(task) or RememberedStep(task, "", None) for task in order]
        self._attempt(lambda: self._traces.remember_run(self._origin.name, self._origin.run, steps), None)

    def _attempt(self, work: Callable[[], Any], otherwise: Any) -> Any:
        """Return what work comes to; a store that cannot be used costs time, never the run."""
        with contextlib.suppress(OSError, KanoeError):
            return work()
        return otherwise
