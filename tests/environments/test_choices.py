"""What made a source run is remembered for what it asks for, and only for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kanoe.environments.choices import recall_choice, remember_choice
from kanoe.environments.needs import Needs, Requirement
from kanoe.ir.notebook import Notebook
from kanoe.ir.source import Source

ASKED = Needs((Requirement("pandas", why=("imported by cell 0",)),), evidence=("the code",))
DECLARED = replace(ASKED, as_of="2020-01-01", as_of_why="--as-of", python="3.8", python_why="--python")
OF_2018 = replace(
    ASKED, as_of="2018-04-01", python="3.6", inferred=True, as_of_inferred=True, python_inferred=True, as_of_why="x"
)


def source(path: Path) -> Source:
    return Source(path / "a b.ipynb", "notebook", Notebook(()))


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    assert recall_choice(source(tmp_path), ASKED, tmp_path / "none") == ASKED


def test_another_day_comes_back_as_a_wish(tmp_path: Path) -> None:
    remember_choice(source(tmp_path), ASKED, OF_2018, tmp_path)
    found = recall_choice(source(tmp_path), ASKED, tmp_path)
    assert (found.as_of, found.python) == ("2018-04-01", "3.6")
    # A Python that was only a wish must not stop a run on a machine that no longer has it.
    assert found.inferred
    assert found.python_inferred
    assert found.as_of_inferred
    assert found.evidence == ("an earlier run found it", "the code")


def test_another_distribution_leaves_the_day_to_who_said_it(tmp_path: Path) -> None:
    chosen = DECLARED.with_requirement("openpyxl", "an error asks for it (cell 1)")
    remember_choice(source(tmp_path), DECLARED, chosen, tmp_path)
    found = recall_choice(source(tmp_path), DECLARED, tmp_path)
    assert [one.name for one in found.requirements] == ["openpyxl", "pandas"]
    assert (found.as_of_why, found.python_why, found.inferred) == ("--as-of", "--python", False)


@pytest.mark.parametrize("other", [replace(ASKED, as_of="2019-01-01"), replace(ASKED, requirements=()), DECLARED])
def test_it_holds_for_nothing_else_that_is_asked(tmp_path: Path, other: Needs) -> None:
    remember_choice(source(tmp_path), ASKED, OF_2018, tmp_path)
    assert recall_choice(source(tmp_path), other, tmp_path) == other


@pytest.mark.parametrize("content", [b"", b"[]", b'{"form": "choice/1"}', b'{"form": "choice/2"}', b"\xff"])
def test_a_broken_memory_is_none(tmp_path: Path, content: bytes) -> None:
    remember_choice(source(tmp_path), ASKED, OF_2018, tmp_path)
    (file,) = tmp_path.glob("*.choice")
    file.write_bytes(content)
    assert recall_choice(source(tmp_path), ASKED, tmp_path) == ASKED
