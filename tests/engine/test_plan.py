"""What a run would do, found without running anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from kanoe.engine.cells import Step
from kanoe.engine.plan import Guess, Past, PlannedStep, critical_path, expected_seconds, plan_steps, same_cells
from kanoe.engine.runner import Task
from kanoe.ir.trace import Bundle, Trace, Value

Reads = Mapping[str, str | None]
NOTHING: Mapping[str, Any] = MappingProxyType({})


def step(position: int, code: str, skip: str | None = None) -> Step:
    return Step(Task(id=f"id{position}", name=f"cell {position}", cell=position, code=code, title=code), skip=skip)


def trace(
    code: str,
    reads: Reads = NOTHING,
    writes: Mapping[str, Any] = NOTHING,
    seconds: float = 1.0,
    environment: str = "env",
) -> Trace:
    values = {name: Value(value) if isinstance(value, str) else value for name, value in writes.items()}
    return Trace(code=code, environment=environment, reads=reads, writes=values, messages="", seconds=seconds)


def lost(hashed: str) -> Value:
    return Value(hashed, bundle=Bundle(hashed, ("name:x",), lost="a generator"))


def plan(codes: Sequence[str], traces: Sequence[Trace], **more: Any) -> tuple[PlannedStep, ...]:
    steps = [step(position, code) for position, code in enumerate(codes)]
    past = Past(
        find=lambda code: [entry for entry in traces if entry.code == code],
        code_of=lambda entry: entry.task.code,
        environment="env",
        **more,
    )
    return plan_steps(steps, past)


def shown(planned: Sequence[PlannedStep]) -> list[tuple[str, str]]:
    return [(str(entry.verdict), entry.reason) for entry in planned]


CHAIN = [
    trace("a", {}, {"name:x": "1"}, seconds=2),
    trace("b", {"name:x": "1"}, {"name:y": "2"}, seconds=3),
    trace("c", {"name:y": "2"}, {"name:z": "3"}, seconds=4),
]


def test_a_notebook_that_did_not_change_is_reused() -> None:
    planned = plan(["a", "b", "c"], CHAIN)
    assert shown(planned) == [("hit", "reused")] * 3
    assert [entry.needs for entry in planned] == [(), (0,), (1,)]
    assert critical_path(planned) == ((), 0.0)
    assert expected_seconds(planned) == (0.0, 0.0)


def test_a_notebook_that_never_ran_is_run() -> None:
    guesses = {
        "id0": Guess(writes=frozenset({"name:x"})),
        "id1": Guess(reads=frozenset({"name:x"}), writes=frozenset({"name:y"})),
    }
    planned = plan(["a", "b"], [], guesses=guesses)
    assert shown(planned) == [("miss", "it never ran here")] * 2
    assert [entry.predicted for entry in planned] == [True, True]
    assert [entry.needs for entry in planned] == [(), (0,)]
    assert planned[1].sources == {0: ("name:x",)}


def test_below_a_miss_everything_that_reads_of_it_is_maybe() -> None:
    planned = plan(["A", "b", "c"], CHAIN, previous={"id0": CHAIN[0]})
    assert shown(planned) == [
        ("miss", "its code changed"),
        ("maybe", "it runs if cell 0's x changes"),
        ("maybe", "it runs if cell 1's y changes"),
    ]
    assert expected_seconds(planned) == (2, 9)
    assert critical_path(planned) == ((0, 1, 2), 9)


def test_what_reads_nothing_of_a_miss_is_reused() -> None:
    traces = [*CHAIN, trace("d", {"name:w": None}, {"name:w": "5"})]
    planned = plan(["A", "b", "d"], traces, previous={"id0": CHAIN[0]})
    assert shown(planned)[2] == ("hit", "reused")


def test_what_a_hit_writes_again_is_settled() -> None:
    """Cell 1 makes x anew, whatever cell 0 comes to."""
    traces = [trace("a", {}, {"name:x": "1"}), trace("b", {}, {"name:x": "2"}), trace("c", {"name:x": "2"})]
    planned = plan(["A", "b", "c"], traces, previous={"id0": traces[0]})
    assert [entry.verdict for entry in planned] == ["miss", "hit", "hit"]


def test_several_that_may_change_are_told() -> None:
    traces = [
        trace("a", {}, {"name:x": "1", "name:y": "2"}),
        trace("b", {}, {"name:z": "3"}),
        trace("c", {"name:x": "1", "name:y": "2", "name:z": "3"}),
    ]
    planned = plan(["A", "B", "c"], traces, previous={"id0": traces[0], "id1": traces[1]})
    assert planned[2].reason == "it runs if cell 0's x or y or cell 1's z change"


def test_a_new_cell_makes_what_its_source_says() -> None:
    planned = plan(["a", "new", "b"], CHAIN, guesses={"id1": Guess(frozenset({"name:x"}), frozenset({"name:x"}))})
    assert shown(planned) == [
        ("hit", "reused"),
        ("miss", "it never ran here"),
        ("maybe", "it runs if cell 1's x changes"),
    ]
    assert planned[1].needs == (0,)


def test_a_cell_that_is_gone_is_missed() -> None:
    planned = plan(["b", "c"], CHAIN)
    assert shown(planned) == [
        ("miss", "it reads x, which no cell before it makes any more"),
        ("maybe", "it runs if cell 0's y changes"),
    ]


def test_an_earlier_version_is_found_again() -> None:
    traces = [
        trace("a", {}, {"name:x": "1"}),
        trace("A", {}, {"name:x": "2"}),
        trace("b", {"name:x": "2"}),
        trace("b", {"name:x": "1"}),
    ]
    planned = plan(["a", "b"], traces)
    assert shown(planned) == [("hit", "reused")] * 2
    assert planned[1].trace is traces[3]


def test_of_several_that_fit_a_sure_one_is_taken() -> None:
    traces = [
        trace("a", {}, {"name:x": "1"}),
        trace("b", {"name:x": "1"}, {"name:y": "2"}),
        trace("b", {}, {"name:y": "2"}),
    ]
    planned = plan(["A", "b"], traces, previous={"id0": traces[0]})
    assert planned[1].verdict == "hit"
    assert planned[1].trace is traces[2]


def test_another_environment() -> None:
    old = trace("a", environment="old")
    steps = [step(0, "a")]
    past = Past(find=lambda _: [], code_of=lambda entry: entry.task.code, environment="env", previous={"id0": old})
    assert shown(plan_steps(steps, past)) == [("miss", "the environment changed")]


def test_what_somebody_wants_to_run_is_run() -> None:
    planned = plan(["a", "b"], CHAIN, forced={"id0": "it is tagged cache:disabled"})
    assert shown(planned) == [
        ("miss", "it is tagged cache:disabled"),
        ("maybe", "it runs if cell 0's x changes"),
    ]


def test_a_miss_is_told_by_what_is_settled() -> None:
    """What cell 0 makes nobody knows yet; that the file is another is sure."""
    traces = [trace("a", {}, {"name:x": "1"}), trace("b", {"name:x": "1", "file:/kaggle/input/d/t.csv": "old"})]
    planned = plan(["A", "b"], traces, previous={"id0": traces[0]}, outside={"file:/kaggle/input/d/t.csv": "new"}.get)
    assert planned[1].reason == "it reads input/d/t.csv, which is different now"


def test_skipped_cells_are_no_steps() -> None:
    past = Past(find=lambda _: [], code_of=lambda entry: entry.task.code)
    planned = plan_steps([step(0, "", skip="it is blank"), step(1, "a")], past)
    assert [entry.position for entry in planned] == [1]


def test_a_value_without_bytes_is_made_again_for_who_reads_it() -> None:
    traces = [
        trace("a", {}, {"name:s": lost("1")}),
        trace("b", {"name:s": "1"}, {"name:x": lost("2")}),
        trace("c", {"name:x": "2"}, {"name:y": "3"}),
    ]
    planned = plan(["a", "b", "C"], traces, previous={"id2": traces[2]}, guesses={"id2": Guess(frozenset({"name:x"}))})
    assert [entry.verdict for entry in planned] == ["hit", "hit", "miss"]
    assert [entry.replays for entry in planned] == [1, 2, None]
    assert planned[1].reason == "reused, and replayed for cell 2: x cannot be kept"
    assert expected_seconds(planned) == (3.0, 3.0)


def test_nothing_is_made_again_for_nobody() -> None:
    traces = [trace("a", {}, {"name:s": lost("1")}), trace("b", {"name:s": "1"})]
    assert [entry.replays for entry in plan(["a", "b"], traces)] == [None, None]


def test_folders_follow_from_files() -> None:
    traces = [
        trace("a", {}, {"file:/kaggle/working/a.csv": "1"}),
        trace("b", {"folder:/kaggle/working": "old"}),
    ]
    planned = plan(["A", "b"], traces, previous={"id0": traces[0]})
    assert shown(planned)[1] == ("maybe", "it runs if cell 0's a.csv changes")


@pytest.mark.parametrize(
    ("before", "now", "pairs"),
    [
        ("abc", "abc", "0=0 1=1 2=2"),
        ("abc", "aXbc", "0=0 2=1 3=2"),
        ("abc", "aXc", "0=0 1=1 2=2"),
        ("abc", "bc", "0=1 1=2"),
        ("abc", "aXYc", "0=0 1=1 3=2"),
        ("", "abc", ""),
        ("abc", "", ""),
    ],
)
def test_cells_are_known_again_by_their_code(before: str, now: str, pairs: str) -> None:
    """Ids are positions here, as in files without ids."""
    found = same_cells(
        [(str(at), code) for at, code in enumerate(before)], [(str(at), code) for at, code in enumerate(now)]
    )
    assert " ".join(f"{cell}={earlier}" for cell, earlier in sorted(found.items())) == pairs


def test_a_thousand_cells() -> None:
    traces = [trace("0", {}, {"name:v0": "0"})]
    traces += [trace(str(at), {f"name:v{at - 1}": str(at - 1)}, {f"name:v{at}": str(at)}) for at in range(1, 1000)]
    planned = plan([str(at) for at in range(1000)], traces, forced={"id0": "asked"})
    assert len(critical_path(planned)[0]) == 1000
