"""SQLite files of the store: made, brought to a newer form and mended by any number of processes at once."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kanoe.store.database import Database

FIRST = "CREATE TABLE things (name TEXT) STRICT; CREATE INDEX by_name ON things (name)"
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER; INSERT INTO things VALUES ('migrated', 1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "room" / "things.sqlite"


@contextlib.contextmanager
def opened(path: Path, *migrations: str) -> Iterator[Database]:
    with contextlib.closing(Database(path, migrations or (FIRST,), "things")) as database:
        yield database


def add(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO things (name) VALUES (?)", (name,))


def names(database: Database) -> list[str]:
    return [name for (name,) in database.read("SELECT name FROM things ORDER BY rowid")]


def test_an_older_file_is_brought_to_this_version_once(path: Path) -> None:
    with opened(path) as old:
        add(old, "old")
    for _ in range(2):
        with opened(path, FIRST, SECOND) as new:
            assert names(new) == ["old", "migrated"]


def test_what_a_body_did_is_undone_when_it_fails(path: Path) -> None:
    with opened(path) as database:
        add(database, "kept")

        def fail() -> None:
            with database.write() as connection:
                connection.execute("INSERT INTO things VALUES ('lost')")
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            fail()
        with pytest.raises(OSError, match="cannot be used"), database.write() as connection:
            connection.execute("INSERT INTO nothing VALUES (1)")
        add(database, "more")
        assert names(database) == ["kept", "more"]


def test_an_older_file_that_cannot_be_written_is_not_misread(path: Path) -> None:
    with opened(path) as old:
        add(old, "old")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kanoe.store.database import Database\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "try: print(Database(Path(sys.argv[1]), sys.argv[2:], 'things').read('SELECT * FROM things'))\n"
        "except OSError as cause: print(cause.errno)\n"
    )
    for folder in (path.parent, *path.parents[1:4]):
        folder.chmod(0o755)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    for migrations, said in (((FIRST,), "[('old',)]"), ((FIRST, SECOND), f"{errno.EROFS}")):
        command = [sys.executable, "-c", code, path, *migrations]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout.strip(), done.stderr) == (said, "")
    path.parent.chmod(0o755)


WORK = """
import sys, time
from pathlib import Path
from kanoe.store.database import Database
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
database = Database(Path(sys.argv[1]), sys.argv[3:], "things")
with database.write() as connection:
    connection.execute("INSERT INTO things (name) VALUES ('x')")
print(len(database.read("SELECT * FROM things")))
"""


def test_many_make_one_file_at_the_same_moment(path: Path) -> None:
    for turn in range(2):
        mine = path.with_name(f"{turn}.sqlite")
        moment = f"{time.time() + 0.5}"
        command = [sys.executable, "-c", WORK, mine, moment, FIRST, SECOND]
        running = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(5)]
        assert [process.communicate()[1] for process in running] == [b""] * 5
        with opened(mine, FIRST, SECOND) as database:
            assert sorted(names(database)) == ["migrated"] + ["x"] * 5


def test_threads_share_one(path: Path) -> None:
    with opened(path) as database:
        threads = [threading.Thread(target=add, args=(database, f"{number}")) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(names(database), key=int) == [f"{number}" for number in range(20)]


def test_a_damaged_file_is_set_aside_once(path: Path) -> None:
    """Who finds it damaged later does not set aside the new one."""
    with opened(path) as first, opened(path) as second:
        add(first, "old")
        assert names(second) == ["old"]
        first.close()
        second.close()
        path.write_bytes(b"damaged" * 1000)
        add(first, "new")
        second._give_up(_corrupt())
        assert names(second) == ["new"]
    assert len([name for name in os.listdir(path.parent) if name.endswith("things.sqlite.part")]) == 1


def _corrupt() -> sqlite3.Error:
    cause = sqlite3.DatabaseError("malformed")
    cause.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return cause
