"""What all tests share: a store of their own, and an environment that holds a kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from kanoe.ir.notebook import Cell, Notebook

# No test is timed: the machines that run them are shared.
settings.register_profile("kanoe", deadline=None)
settings.load_profile("kanoe")


@pytest.fixture(autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the user's runs; environments are shared by the tests of one session, they are expensive."""
    monkeypatch.setenv("KANOE_HOME", str(tmp_path_factory.getbasetemp() / "store"))
    return


@pytest.fixture
def python() -> Path:
    """An interpreter whose environment holds ipykernel: the one that runs the tests."""
    return Path(sys.executable)


def notebook(*sources: str, **metadata: object) -> Notebook:
    """A notebook of code cells."""
    cells = tuple(Cell(id=f"c{position}", kind="code", source=source) for position, source in enumerate(sources))
    return Notebook(cells, metadata)
