"""Records of runs: added, found, ended, by several processes at once, and refused when they are not ours."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kanoe.base.errors import InputError, UnavailableError
from kanoe.store.records import Records, RunRecord


def record(name: str, started: float = 1.0) -> RunRecord:
    return RunRecord(name, "n", "/n.ipynb", "/d", "RUNNING", started, None, 1)


def test_a_run_is_remembered_and_its_end_too(tmp_path: Path) -> None:
    records = Records(tmp_path / "new" / "records.sqlite")
    records.add(record("a-1"))
    records.end("a-1", "SUCCEEDED", 2.5)
    (found,) = records.recent(10)
    assert (found.id, found.state, found.seconds) == ("a-1", "SUCCEEDED", 2.5)


def test_newest_first_and_limited(tmp_path: Path) -> None:
    records = Records(tmp_path / "r.sqlite")
    for number in range(5):
        records.add(record(f"run-{number}", float(number)))
    assert [found.id for found in records.recent(2)] == ["run-4", "run-3"]
    assert records.find("last").id == "run-4"


def test_a_run_is_found_by_its_name_or_its_beginning(tmp_path: Path) -> None:
    records = Records(tmp_path / "r.sqlite")
    for name in ("titanic-1", "titanic-12", "house-1"):
        records.add(record(name))
    assert records.find("house").id == "house-1"
    assert records.find("titanic-1").id == "titanic-1"
    with pytest.raises(InputError, match="several runs"):
        records.find("titanic")
    with pytest.raises(InputError, match="no run"):
        records.find("%")


def test_no_runs_at_all(tmp_path: Path) -> None:
    records = Records(tmp_path / "r.sqlite")
    assert records.recent(5) == []
    with pytest.raises(InputError):
        records.find("last")


def test_many_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    code = (
        "import sys; from pathlib import Path; from kanoe.store.records import Records, RunRecord\n"
        "r = Records(Path(sys.argv[1]))\n"
        "for i in range(20): r.add(RunRecord(f'{sys.argv[2]}-{i}', 'n', 's', 'd', 'RUNNING', 1.0, None, 1))"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert len(Records(path).recent(1000)) == 80


def test_a_newer_or_broken_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UnavailableError, match="newer"):
        Records(newer).recent(1)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"this is no database, and it is long enough to be looked at as one" * 20)
    with pytest.raises(UnavailableError):
        Records(broken).add(record("x"))
    assert broken.read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be used"):
        Records(tmp_path / "file" / "r.sqlite").recent(1)
