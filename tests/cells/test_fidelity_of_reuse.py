"""Every kind of output in cells mode: as it is first told, told again from the store, and told with every other cell from the store."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from trial import LIBRARIES, Answer, World

import kanoe
from pairs import PairCell

_FILE = Path(__file__).parent.parent / "back" / "test_fidelity.py"


def fidelity_cases() -> dict[str, str]:
    """The cases of the whole notebook's test."""
    specification = importlib.util.spec_from_file_location("fidelity_cases", _FILE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return dict(module.CASES)


CASES = fidelity_cases()
# ipykernel tells what a thread prints in the cell of an earlier thread, where the system gave both one number.
_BY_CHANCE = {"bash_magic", "thread"}
# The process ends a moment after the cell: whether the next one finds it is chance.
_AFTER_THE_END = {"last"}
# What is seen may differ from one plain run to the next.
_CHANGING = ((r"\b[0-9a-f]{32}\b", "ID"), (r"-?\b\d+ (?:ns|µs|ms|s)\b", "TIME"))


def cells_of() -> list[PairCell]:
    """The cases as cells, each of which may fail."""
    tags = ("raises-exception",)
    return [PairCell("", source, tags=tags, id=f"c{position}") for position, source in enumerate(CASES.values())]


def seen(value: Any) -> Any:
    """An output without what changes from run to run."""
    if isinstance(value, dict):
        return {key: seen(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [seen(entry) for entry in value]
    if isinstance(value, str):
        for pattern, name in _CHANGING:
            value = re.sub(pattern, name, value)
    return value


@pytest.fixture(scope="module")
def answers(environment: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """The notebook run plainly and four times in cells mode."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KANOE_HOME", str(environment.folder / "store"))
        world = World.make(tmp_path_factory.mktemp("fidelity"), (*LIBRARIES, "ipywidgets"), keep_going=True)
        path = world.write("nb", cells_of())
        found = {"plain": world.plain(path), "first": world.run(path), "hits": world.run(path)}
        for rerun in (0, 1):
            found[f"every other, from {rerun}"] = world.run(
                path, refresh=[f"c{position}" for position in range(rerun, len(CASES), 2)]
            )
    assert kanoe.__version__
    return found


RUNS = ("first", "hits", "every other, from 0", "every other, from 1")


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("position", range(len(CASES)), ids=list(CASES))
def test_a_cell_shows_what_it_shows_in_a_plain_run(position: int, run: str, answers: dict[str, Answer]) -> None:
    found, right = (json.dumps(seen(answers[one].outputs[position])) for one in (run, "plain"))
    if list(CASES)[position] in _BY_CHANCE:
        found, right = found.replace(r"in thread\n", ""), right.replace(r"in thread\n", "")
    assert found == right


@pytest.mark.slow
def test_all_cells_are_reused(answers: dict[str, Answer]) -> None:
    names = list(CASES)
    assert {names[position] for position in answers["hits"].ran} <= _AFTER_THE_END


@pytest.mark.slow
@pytest.mark.parametrize("rerun", [0, 1])
def test_every_other_cell_runs(rerun: int, answers: dict[str, Answer]) -> None:
    """And few besides: those that read all variables, and those whose values come to something else each time."""
    ran = answers[f"every other, from {rerun}"].ran
    assert set(range(rerun, len(CASES), 2)) <= ran
    assert len(ran) < len(CASES) // 2 + 10
