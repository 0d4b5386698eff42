"""A plan says what a run then does, and an explanation what it did: with real runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trial import World

from kanoe.verbs.explain import explain_cell
from kanoe.verbs.plan import Plan, plan_source
from kanoe.verbs.run import RunOptions
from pairs import PairCell

BASE = [
    "import random",
    "SEED = 3",
    "def clean(rows):\n    return [row for row in rows if row % SEED]",
    "rows = list(range(20))",
    "rows.append(100)",
    "kept = clean(rows)",
    "total = sum(kept)",
    "open('total.txt', 'w').write(str(total));",
    "text = open('total.txt').read()",
    "other = {'depth': 3}",
    "lazy = (row for row in kept)",
]


def cells(sources: list[str]) -> list[PairCell]:
    return [PairCell("", source, id=f"c{at}") for at, source in enumerate(sources)]


def edited(**changes: str) -> list[str]:
    return [changes.get(f"c{at}", source) for at, source in enumerate(BASE)]


def plan_of(world: World, path: Path, **options: Any) -> Plan:
    return plan_source(path, RunOptions(lock=world.lock, **options))


def verdicts(plan: Plan) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"hit": set(), "miss": set(), "maybe": set()}
    for entry in plan.steps:
        found[str(entry.verdict)].add(entry.position)
    return found


EDITS = {
    "nothing": BASE,
    "a value": edited(c1="SEED = 7"),
    "a value that is the same": edited(c1="SEED = 1 + 2"),
    "a function": edited(c2="def clean(rows):\n    return [row for row in rows if row % SEED == 0]"),
    "a leaf": edited(c9="other = {'depth': 5}"),
    "in place": edited(c4="rows.append(101)"),
    "a cell is gone": [source for source in BASE if not source.startswith("rows.append")],
    "a cell is new": [*BASE[:5], "rows.append(7)", *BASE[5:]],
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_run_does_what_was_planned(edit: str, world: World) -> None:
    """A hit is reused, a miss is run, and of what may run each does one of the two."""
    world.run(world.write("nb", cells(BASE)))
    path = world.write("nb", cells(EDITS[edit]))
    planned = verdicts(plan_of(world, path))
    answer = world.run(path)
    assert planned["miss"] <= answer.ran
    assert planned["hit"] & answer.ran == set()


def test_a_notebook_that_never_ran_is_predicted(world: World) -> None:
    plan = plan_of(world, world.write("nb", cells(BASE)))
    assert plan.predicted
    assert verdicts(plan)["miss"] == set(range(len(BASE)))
    assert next(entry.needs for entry in plan.steps if entry.position == 5) == (1, 2, 4)


def test_options_count_as_in_the_run(world: World) -> None:
    path = world.write("nb", cells(BASE))
    world.run(path)
    assert verdicts(plan_of(world, path))["hit"] == set(range(len(BASE)))
    assert 9 in verdicts(plan_of(world, path, refresh=["9"]))["miss"]
    assert verdicts(plan_of(world, path, cache=False))["hit"] == set()
    assert "the environment changed" in {entry.reason for entry in plan_of(world, path, variables={"A": "b"}).steps}


def test_an_explanation_tells_what_changed(world: World) -> None:
    world.run(world.write("nb", cells(BASE)))
    path = world.write("nb", cells(edited(c1="SEED = 7")))
    world.run(path)
    told = explain_cell(path, "5")
    assert (told.state, told.reason) == ("ran", "it reads SEED, which cell 1 now writes differently")
    reads = {thing.name: thing for thing in told.reads}
    assert reads["SEED"].changes == ("3 -> 7",)
    assert {name: thing.cell for name, thing in reads.items()} == {"SEED": 1, "clean": 2, "rows": 4}
    writes = {thing.name: thing for thing in told.writes}
    assert {6, 10} <= set(writes["kept"].readers)
    reused = explain_cell(path, "3")
    assert (reused.state, reused.reason) == ("reused", "it never ran here")
    edited_path = world.write("nb", cells(edited(c5="kept = rows")))
    assert explain_cell(edited_path, "5").edited
