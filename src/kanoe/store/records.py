"""Runs that were: one SQLite file in WAL mode, safe for several Kanoe processes.

A record is an index, never the truth: the truth of a run is its folder (`run.json`, `events.jsonl`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError, UnavailableError

# Each entry brings the file from the version before it to its own.
_MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        source TEXT NOT NULL,
        directory TEXT NOT NULL,
        state TEXT NOT NULL,
        started REAL NOT NULL,
        seconds REAL,
        process INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_start ON runs (started);
    """,
)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run.

    Args:
        id: its name for the `kanoe` commands.
        name: the source's file name without its ending.
        source: the file that ran, absolute.
        directory: the run's folder.
        state: a `RunState`, `RUNNING` until it ended.
        started: seconds since 1970.
        seconds: wall time, once it ended.
        process: the pid of the Kanoe that runs it.
    """

    id: str
    name: str
    source: str
    directory: str
    state: str
    started: float
    seconds: float | None
    process: int


_COLUMNS = ", ".join(entry.name for entry in fields(RunRecord))
# Names of files need not be text: every value goes in and comes out as the bytes that the file system knows.
_MARKS = ", ".join("CAST(? AS TEXT)" if entry.type == "str" else "?" for entry in fields(RunRecord))


class Records:
    """The file of records; every call opens it, does one thing and closes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, record: RunRecord) -> None:
        """Remember a run that starts."""
        with self._open() as connection:
            values = [_bytes(value) if isinstance(value, str) else value for value in astuple(record)]
            connection.execute(f"INSERT OR REPLACE INTO runs ({_COLUMNS}) VALUES ({_MARKS})", values)  # noqa: S608

    def end(self, run: str, state: str, seconds: float) -> None:
        """Remember how a run ended."""
        with self._open() as connection:
            connection.execute("UPDATE runs SET state = ?, seconds = ? WHERE id = ?", (state, seconds, run))

    def recent(self, limit: int) -> list[RunRecord]:
        """Return the last runs, newest first."""
        query = f"SELECT {_COLUMNS} FROM runs ORDER BY started DESC LIMIT ?"  # noqa: S608 - our own column names
        with self._open() as connection:
            return [RunRecord(*row) for row in connection.execute(query, (limit,))]

    def find(self, reference: str) -> RunRecord:
        """Return the run with this id, the only one whose id starts so, or the newest for `last`.

        Raises:
            InputError: there is none, or several.
        """
        if reference == "last":
            found = self.recent(1)
        else:
            query = (
                f"SELECT {_COLUMNS} FROM runs WHERE substr(id, 1, ?) = CAST(? AS TEXT) ORDER BY started DESC LIMIT 20"  # noqa: S608
            )
            with self._open() as connection:
                found = [RunRecord(*row) for row in connection.execute(query, (len(reference), _bytes(reference)))]
            found = [record for record in found if record.id == reference] or found
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(
                error(
                    "run-unknown",
                    f"there is no run `{reference}`",
                    hint="`kanoe runs` lists the runs; `last` is the newest",
                )
            )
        names = ", ".join(f"`{record.id}`" for record in found[:5])
        raise InputError(
            error("run-unknown", f"several runs start with `{reference}`: {names}", hint="Give more of the name")
        )

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        except (OSError, sqlite3.Error) as cause:
            raise self._unusable(str(cause)) from cause
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            self._migrate(connection)
            yield connection
        except sqlite3.Error as cause:
            raise self._unusable(str(cause)) from cause
        finally:
            connection.close()

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == len(_MIGRATIONS):
            return
        if version > len(_MIGRATIONS):
            raise self._unusable(
                f"it was written by a newer Kanoe (version {version}, this one knows {len(_MIGRATIONS)})"
            )
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statement in _MIGRATIONS[version:]:
            for part in statement.split(";"):
                connection.execute(part)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        connection.execute("COMMIT")

    def _unusable(self, why: str) -> UnavailableError:
        return UnavailableError(
            error(
                "store-unusable",
                f"the records of runs cannot be used: {why}",
                place=str(self._path),
                hint="Set `KANOE_HOME` to a folder that you can write, or move the file away",
            )
        )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
