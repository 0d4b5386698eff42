"""Laws 1 and 2 on pairs of a notebook and its edit: the right answer, from the cells that are needed."""

from __future__ import annotations

import pytest
from trial import PROBE, World, differences, try_pair

from pairs import Pair, PairCell, all_pairs, read_pairs

PAIRS = {pair.id: pair for pair in all_pairs()}


def test_there_are_enough_pairs_and_each_is_an_edit() -> None:
    assert len(PAIRS) == len(all_pairs()) >= 126
    for pair in PAIRS.values():
        assert pair.before, pair.id
        assert pair.before != pair.after or pair.name == "nothing-changed", pair.id


def test_a_pair_is_read_from_its_text() -> None:
    (pair,) = read_pairs(
        "kind", '=== a name\n# %%\nx = 1\n# %%-\n%%time\ny\n# %%+ tags=["t"]\ny2\n# %%!\nz\n# %%~ [markdown]\nm\n'
    )
    assert pair.id == "kind/a name"
    assert [cell.source for cell in pair.before] == ["x = 1", "%%time\ny", "z", "m"]
    assert [cell.source for cell in pair.after] == ["x = 1", "y2", "z", "m"]
    assert pair.needed == {1, 2}
    assert pair.after[1].tags == ("t",)
    assert pair.after[1].id == pair.before[1].id
    assert len({cell.id for cell in pair.after}) == 4


@pytest.mark.parametrize("pair", PAIRS.values(), ids=list(PAIRS))
def test_the_answer_after_an_edit_is_that_of_a_plain_run(pair: Pair, world: World) -> None:
    result = try_pair(world, pair)
    # How many cells ran without need is counted over all pairs: `benchmarks/pairs.py`.
    assert not result.wrong


FEW = [pair for position, pair in enumerate(PAIRS.values()) if position % 7 == 0]


@pytest.mark.parametrize("pair", FEW, ids=lambda pair: pair.id)
def test_every_variable_at_the_end_is_that_of_a_plain_run(pair: Pair, world: World) -> None:
    path = world.write("values", pair.after)
    world.run(path)
    path = world.write("values", [*pair.after, PairCell("+", PROBE, id="probe")])
    assert not list(differences(world.run(path), world.plain(path)))
