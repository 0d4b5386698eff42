"""One environment for all tests of this folder; each module has a store of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from trial import CELLS_MODE, World

import kanoe

# An environment may be kept from one session of tests to the next: `KANOE_TRIAL=DIR pytest tests/cells`.
_KEPT = "KANOE_TRIAL"


# What proves a law on hundreds of cases, of which every run of all tests takes some: `pytest -m thorough tests/cells` runs the rest.
_THOROUGH = (
    "test_every_variable_at_the_end",
    "test_a_cell_needs_nothing",
    "test_fidelity_of_reuse",
    "test_random_programs",
    "test_made_again",
    "test_bad_values",
    "test_bad_worlds",
)
_PAIRS = "test_the_answer_after_an_edit"
_SAMPLE = 64


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever builds the environment takes more than five seconds; of the many pairs a few stand for all."""
    pairs = 0
    for item in items:
        if "world" not in getattr(item, "fixturenames", ()) and "answers" not in getattr(item, "fixturenames", ()):
            continue
        item.add_marker(pytest.mark.slow)
        pairs += _PAIRS in item.nodeid
        if any(name in item.nodeid for name in _THOROUGH) or (_PAIRS in item.nodeid and pairs % _SAMPLE):
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The environment, its lock, and answers of plain runs."""
    if not CELLS_MODE:
        pytest.skip("this Kanoe has no cells mode")
    kept = os.environ.get(_KEPT)
    folder = Path(kept) if kept else tmp_path_factory.mktemp("cells")
    before = os.environ.get("KANOE_HOME")
    os.environ["KANOE_HOME"] = str(folder / "store")
    try:
        return World.make(folder)
    finally:
        os.environ.pop("KANOE_HOME") if before is None else os.environ.update(KANOE_HOME=before)


@pytest.fixture
def world(environment: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The environment, and a folder for this test's notebooks."""
    monkeypatch.setenv("KANOE_HOME", str(environment.folder / "store"))
    return World(tmp_path, environment.lock, environment.references, environment.options)


@pytest.fixture
def own_store(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that a test may damage: its environments are those of the others."""
    shared = Path(os.environ["KANOE_HOME"])
    store = tmp_path / "store"
    store.mkdir()
    for name in ("environments", "side-data"):
        if (shared / name).exists():
            (store / name).symlink_to(shared / name)
    monkeypatch.setenv("KANOE_HOME", str(store))
    assert kanoe.__version__
    return store
