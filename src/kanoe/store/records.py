"""Runs that were: one SQLite file in WAL mode, safe for several Kanoe processes, readable where nothing can be written.

A record is an index, never the truth: the truth of a run is its folder (`run.json`, `events.jsonl`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
import urllib.parse
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
        state: a `RunState`, `QUEUED` or `RUNNING` until it ended.
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

    def end(self, run: str, state: str, seconds: float | None) -> None:
        """Remember how a run ended, or with no seconds that it left the queue."""
        with self._open() as connection:
            connection.execute(
                "UPDATE runs SET state = ?, seconds = ? WHERE id = CAST(? AS TEXT)", (state, seconds, _bytes(run))
            )

    def forget(self, run: str) -> None:
        """Forget a run."""
        with self._open() as connection:
            connection.execute("DELETE FROM runs WHERE id = CAST(? AS TEXT)", (_bytes(run),))

    def recent(self, limit: int | None) -> list[RunRecord]:
        """Return the last runs (`None`: all), newest first."""
        return self._select("ORDER BY started DESC, rowid DESC LIMIT ?", (-1 if limit is None else limit,))

    def unfinished(self) -> list[RunRecord]:
        """Return the runs that have not ended, as far as anybody said."""
        return self._select("WHERE state IN ('QUEUED', 'RUNNING')", ())

    def find(self, reference: str) -> RunRecord:
        """Return the run with this id, the only one whose id starts so, or the newest for `last`.

        Raises:
            InputError: there is none, or several.
        """
        if reference == "last":
            found = self.recent(1)
        else:
            found = self._select(
                "WHERE substr(id, 1, ?) = CAST(? AS TEXT) ORDER BY started DESC, rowid DESC LIMIT 20",
                (len(reference), _bytes(reference)),
            )
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

    def _select(self, rest: str, values: tuple[object, ...]) -> list[RunRecord]:
        """Return the records of a query; none where no run was recorded yet. Nothing is written that need not be."""
        query = f"SELECT {_COLUMNS} FROM runs {rest}"  # noqa: S608 - our own column names
        try:
            self._path.stat()
        except FileNotFoundError:
            return []
        except OSError as cause:
            raise self._unusable(str(cause)) from cause
        with contextlib.suppress(sqlite3.Error), self._reading(self._path) as connection:
            return [RunRecord(*row) for row in connection.execute(query, values)]
        try:
            with self._open() as connection:
                return [RunRecord(*row) for row in connection.execute(query, values)]
        except UnavailableError:
            # SQLite reads a file in WAL mode only where it may write beside it; elsewhere it is read from a copy.
            if self._is_writable():
                raise
        try:
            with tempfile.TemporaryDirectory(prefix="kanoe-") as folder:
                for name in (self._path.name, f"{self._path.name}-wal"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(self._path.with_name(name), Path(folder, name))
                with Records(Path(folder, self._path.name))._open() as connection:
                    return [RunRecord(*row) for row in connection.execute(query, values)]
        except OSError as cause:
            raise self._unusable(str(cause)) from cause

    def _is_writable(self) -> bool:
        """Return whether a file as large as SQLite's own can be written beside the records."""
        try:
            with tempfile.TemporaryFile(dir=self._path.parent) as file:
                file.write(b"x" * 65_536)
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[sqlite3.Connection]:
        """Open a file of this version for reading.

        Raises:
            sqlite3.Error: it cannot be read so, or is of another version.
        """
        address = f"file:{urllib.parse.quote_from_bytes(os.fsencode(path))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=30, isolation_level=None, uri=True)) as connection:
            connection.text_factory = _text
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != len(_MIGRATIONS):
                raise sqlite3.DatabaseError(f"version {version}")
            yield connection

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.text_factory = _text
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


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
