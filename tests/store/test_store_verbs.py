"""`kanoe store size` and `store clean` over traces and blobs, through the public names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sweep import KIB, Memory

import kanoe
from kanoe.base.errors import InputError, UnavailableError
from kanoe.store.sweep import LIMIT_VARIABLE


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    monkeypatch.setenv("KANOE_HOME", os.fspath(tmp_path / "home"))
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    made = Memory(tmp_path / "home")
    for number in range(5):
        made.keep("folder:/data/large", f"{number}", used=86400.0 * (9 - number))
    made.keep("kaggle:me/small", "1", size=KIB, used=10.0)
    yield made
    made.blobs.close()
    made.traces.close()


def test_size_tells_of_notebooks(memory: Memory) -> None:
    size = kanoe.store_size()
    assert [one.origin for one in size.notebooks] == ["folder:/data/large", "kaggle:me/small"]
    assert size.rooms["blobs"] > 500 * KIB
    assert size.rooms["traces"] == memory.traces.bytes() > 0
    assert size.as_dict()["notebooks"][0]["traces"] == 5
    text = "\n".join(size.lines())
    assert "/data/large: 5 traces, used" in text
    assert "kaggle:me/small: 1 trace, used" in text
    assert "what each cell read and wrote" in text


def test_many_notebooks_are_cut_off(memory: Memory) -> None:
    for number in range(30):
        memory.keep(f"folder:/n{number}", "1", size=10)
    lines = kanoe.store_size().lines()
    assert lines[-1].strip() == "and 12 more"
    assert len(kanoe.store_size().as_dict()["notebooks"]) == 32


@pytest.mark.parametrize(
    ("asked", "large", "small"),
    [
        ({}, "01234", "1"),
        ({"keep_runs": 0}, "01234", "1"),
        ({"older_than": 86400.0 * 30}, "01234", "1"),
        ({"older_than": 86400.0 * 6.5}, "34", "1"),
        ({"older_than": 0.0}, "", ""),
        ({"size": 1 << 30}, "01234", "1"),
        ({"size": 250 * KIB}, "34", "1"),
        ({"size": 1}, "", ""),
        ({"size": 250 * KIB, "older_than": 86400.0 * 5.5}, "4", "1"),
    ],
)
def test_clean(memory: Memory, asked: dict[str, float], large: str, small: str) -> None:
    would = kanoe.store_clean(**asked, dry_run=True)  # type: ignore[arg-type]
    assert memory.cells("folder:/data/large") == set("01234")
    cleaned = kanoe.store_clean(**asked)  # type: ignore[arg-type]
    assert memory.cells("folder:/data/large") == set(large)
    assert memory.cells("kaggle:me/small") == set(small)
    assert cleaned.cells == would.cells
    gone = 6 - len(large) - len(small)
    assert cleaned.cells.traces == gone
    assert cleaned.as_dict()["cells"]["traces"] == gone
    text = "\n".join(cleaned.lines())
    assert (f"{gone} trace" in text) == (gone > 0)
    assert ("to remove" in "\n".join(would.lines())) == (gone > 0)


def test_a_store_of_a_newer_kanoe_is_left_alone(memory: Memory) -> None:
    with memory.traces._file.write() as connection:
        connection.execute("PRAGMA user_version = 99")
    before = memory.blobs.total()
    for verb in (kanoe.store_size, kanoe.store_clean):
        with pytest.raises(UnavailableError, match="newer Kanoe"):
            verb()
    assert memory.blobs.total() == before


def test_a_limit_that_is_none(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.cells("kaggle:me/small") == {"1"}
    monkeypatch.setenv(LIMIT_VARIABLE, "lots")
    with pytest.raises(InputError, match=LIMIT_VARIABLE):
        kanoe.store_size()


def test_the_command(memory: Memory) -> None:
    command = [sys.executable, "-m", "kanoe", "store", "clean", "--size"]
    done = subprocess.run([*command, "250k"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 traces and 5 blobs removed" in done.stdout
    assert memory.cells("folder:/data/large") == set("34")
    done = subprocess.run([*command, "many"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--size" in done.stderr
