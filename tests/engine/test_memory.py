"""The walk with a memory: what is reused, what runs again for others, and what happens when that comes to something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kanoe.base.stop import Stop
from kanoe.engine.cells import Step, plan_cells
from kanoe.engine.events import Event, TaskEnded, TaskEvent, TaskHeld, TaskMessage, TaskState
from kanoe.engine.memory import Told, Verdict
from kanoe.engine.run import Limits, run_program
from kanoe.engine.runner import Task
from kanoe.engine.state import State
from kanoe.ir.notebook import Cell, Notebook
from kanoe.ir.trace import Bundle, Reference, Trace, Value


def steps_of(*sources: str) -> tuple[Step, ...]:
    cells = tuple(Cell(id=f"c{number}", kind="code", source=source) for number, source in enumerate(sources))
    return plan_cells(Notebook(cells))


def value(name: str, digest: str, *, lost: bool = False) -> Value:
    reference = f"name:{name}"
    return Value(digest, bundle=Bundle(digest, (reference,), None if lost else f"blob {digest}"), type="int")


@dataclass
class Language:
    """A runner and a memory for cells `x = text of reads`: `!x` has no bytes, `x = ?` comes to something else each time."""

    traces: list[tuple[str, Trace, Told]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    live: dict[Reference, str] = field(default_factory=dict)
    session: str | None = None
    missing: set[Reference] = field(default_factory=set)
    luck: int = 0
    sessions: int = 0

    # The runner

    def start(self, task: Task) -> None:
        self._events: list[TaskEvent] = []
        if task.state is None or task.session != self.session:
            self.live, self.session = {}, task.session
            self.sessions += 1
        target, _, source = task.code.partition(" = ")
        reads = [word for word in source.split() if word.isalpha()]
        state = task.state if task.state is not None else {}
        for reference in list(self.live):
            if task.state is not None and (reference not in state or state[reference].hash != self.live[reference]):
                del self.live[reference]
        needs = tuple(
            f"name:{name}"
            for name in reads
            if f"name:{name}" in state
            and state[f"name:{name}"].bundle.pickle is None  # type: ignore[union-attr]
            and f"name:{name}" not in self.live
        )
        if needs:
            self._events.append(TaskHeld(task=task.id, needs=needs))
            return
        self.ran.append(task.code)
        if source == "?":
            self.luck += 1
        name = target.strip("!")
        seen = [
            state[f"name:{read}"].hash if f"name:{read}" in state else self.live.get(f"name:{read}", "-")
            for read in reads
        ]
        digest = f"{source}|{','.join(seen)}|{self.luck if source == '?' else ''}"
        if target.startswith("!") and task.execution:
            digest = f"{digest}|{task.execution}" if source == "?" else digest
        self.live[f"name:{name}"] = digest
        self._events.append(TaskMessage(task=task.id, message="stream", content={"name": "stdout", "text": digest}))
        trace = Trace(
            "",
            "",
            {f"name:{read}": state[f"name:{read}"].hash if f"name:{read}" in state else None for read in reads},
            {f"name:{name}": value(name, digest, lost=target.startswith("!"))},
            "",
            1.0,
        )
        self._events.append(
            TaskEnded(
                task=task.id, state=TaskState.SUCCEEDED, seconds=1.0, trace=trace if task.state is not None else None
            )
        )

    def wait(self) -> Sequence[TaskEvent]:
        events, self._events = self._events, []
        return events

    def stop(self, task: Task) -> None:
        self._events.append(TaskEnded(task=task.id, state=TaskState.CANCELLED, seconds=0.0))

    def close(self) -> None:
        pass

    # The memory

    def look_up(self, step: Step, state: State) -> Verdict:
        for code, trace, told in reversed(self.traces):
            if code == step.task.code and state.fits(trace):
                return Verdict(trace, "reused", told)
        return Verdict(None, "why")

    def record(self, step: Step, trace: Trace, messages: Told) -> Trace:
        self.traces.append((step.task.code, trace, list(messages)))
        return replace(trace, run="run")

    def lay_down(self, values: Mapping[Reference, Value]) -> Sequence[Reference]:
        return tuple(self.missing)

    def forget(self) -> None:
        self.live = {}


def run(language: Language, *sources: str) -> tuple[list[Event], str]:
    """Run cells in a new process; returns the events and how each cell ended: `C` reused, `S` ran."""
    language.live, language.ran, language.session = {}, [], "new process"
    events = list(run_program(steps_of(*sources), language, Limits(), Stop(), memory=language))
    ends: dict[str, str] = {}
    for event in events:
        if isinstance(event, TaskEnded):
            ends[event.task] = {"SUCCEEDED": "S", "CACHED": "C"}.get(event.state, "?")
    return events, "".join(ends[key] for key in sorted(ends))


def told(events: Sequence[Event]) -> list[str]:
    """What a reader of the events sees: the last output of each task."""
    shown: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, TaskMessage):
            shown.setdefault(event.task, []).append(str(event.content["text"]))
    return [shown[key][-1] for key in sorted(shown)]


def test_an_unchanged_program_starts_nothing() -> None:
    language = Language()
    first, ends = run(language, "a = 1", "b = a", "c = b a")
    assert ends == "SSS"
    second, ends = run(language, "a = 1", "b = a", "c = b a")
    assert (ends, language.ran) == ("CCC", [])
    assert told(first) == told(second)


def test_an_edit_runs_what_depends_on_it() -> None:
    language = Language()
    run(language, "a = 1", "b = 2", "c = b", "d = a")
    _, ends = run(language, "a = 1", "b = 3", "c = b", "d = a")
    assert ends == "CSSC"


def test_an_equal_value_disturbs_nothing() -> None:
    language = Language()
    run(language, "a = 1", "b = a")
    language.traces = [entry for entry in language.traces if entry[0] != "a = 1"]
    _, ends = run(language, "a = 1", "b = a")
    assert ends == "SC"


def test_a_value_without_bytes_is_made_again_untold() -> None:
    language = Language()
    run(language, "a = 1", "!g = a", "!h = g", "c = h")
    events, ends = run(language, "a = 1", "!g = a", "!h = g", "c = h a")
    assert ends == "CCCS"
    assert language.ran == ["!g = a", "!h = g", "c = h a"]
    assert len(told(events)) == 4


def test_what_comes_to_something_else_runs_for_all_to_see() -> None:
    language = Language()
    run(language, "a = 1", "!g = ?", "c = g")
    language.luck = 40
    events, ends = run(language, "a = 1", "!g = ?", "c = g a")
    assert ends[0] == "C"
    assert ends[2] == "S"
    shown = told(events)
    assert shown[2].split("|")[1].split(",")[0].startswith(shown[1].split("|")[0])


def test_an_execution_that_was_not_watched_ends_in_a_plain_run_from_the_top() -> None:
    language = Language()
    run(language, "a = 1", "b = a")
    start = language.start

    def blind(task: Task) -> None:
        start(task)
        language._events = [
            replace(event, trace=None) if isinstance(event, TaskEnded) else event for event in language._events
        ]

    language.start = blind  # type: ignore[method-assign]
    _, ends = run(language, "a = 1", "b = a", "c = b")
    assert ends == "SSS"
    assert language.ran[-3:] == ["a = 1", "b = a", "c = b"]


def test_files_that_cannot_be_laid_down_do_not_loop() -> None:
    language = Language(missing={"file:/kaggle/working/a"})
    _, ends = run(language, "a = 1", "b = a")
    assert ends == "SS"


def test_state_goes_back_to_what_a_cell_found() -> None:
    state = State()
    state.apply(0, {"name:a": value("a", "1"), "name:b": value("b", "1")})
    state.apply(1, {"name:a": value("a", "2"), "name:b": None})
    state.apply(2, {"name:b": value("b", "3")})
    assert {key: entry.hash for key, entry in state.before(1).items()} == {"name:a": "1", "name:b": "1"}
    assert {key: entry.hash for key, entry in state.before(2).items()} == {"name:a": "2"}
    assert state.writer_before(2, "name:a") == 1
    assert state.writer_before(1, "name:a") == 0
    state.rewind(1)
    assert state.hash_of("name:b") == "1"
    assert state.hash_of("group:name:b") == "1"
    assert state.writers == {"name:a": 0, "name:b": 0}
