"""SQLite files of the store: of a known version, for several Kanoe at once, readable where nothing can be written.

A process that is killed loses what it had not committed and nothing else. What a power cut takes may be the last half minute's commits,
never the file (WAL with `synchronous = NORMAL`). Such a file remembers what can be made again: a damaged one is set aside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError

_PATIENCE = 60.0  # seconds for another Kanoe's transaction
_PAUSE = 0.02  # seconds between two tries where SQLite does not wait itself
_TAKEN = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_CAUSES = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.ETIMEDOUT,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}


class Database:
    """One file, opened when it is first needed; any thread may use it.

    Args:
        path: of the file; its folder is made when something is written.
        migrations: each brings the file from the version of its position to the next.
        holds: what it holds, for messages: `traces`.
    """

    def __init__(self, path: Path, migrations: Sequence[str], holds: str) -> None:
        self.path = path
        self._migrations = migrations
        self._holds = holds
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._writable = False
        self._number: int | None = None

    def read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where there is no file, or a damaged one.

        Raises:
            UnavailableError: a newer Kanoe wrote the file.
            OSError: it cannot be read.
        """
        with self._lock:
            for _ in range(2):
                try:
                    connection = self._connection or self._open_to_read()
                    return [] if connection is None else connection.execute(query, values).fetchall()
                except sqlite3.Error as cause:
                    self._give_up(cause)
            return []

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold the file against all other writers; what the body did is kept when it ends well, else nothing of it.

        Raises:
            UnavailableError: a newer Kanoe wrote the file.
            OSError: it cannot be written; the disk is full.
        """
        with self._lock:
            connection = self._begin()
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as cause:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                if isinstance(cause, sqlite3.Error):
                    self._give_up(cause)
                    raise OSError(errno.EIO, f"the {self._holds} are damaged", str(self.path)) from cause
                raise

    def shrink(self) -> None:
        """Give the space of what was removed back to the disk."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._connection is not None and self._writable:
                self._connection.execute("PRAGMA incremental_vacuum").fetchall()
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let the file go; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            if self._copy is not None:
                self._copy.cleanup()
            self._connection = self._copy = None

    def bytes(self) -> int:
        """Return what the file takes on the disk."""
        total = 0
        for ending in ("", "-wal"):
            with contextlib.suppress(OSError):
                total += self.path.with_name(self.path.name + ending).stat().st_size
        return total

    def _begin(self) -> sqlite3.Connection:
        for _ in range(2):
            try:
                if self._connection is None or not self._writable:
                    self.close()
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._connection = self._open()
                self._connection.execute("BEGIN IMMEDIATE")
                return self._connection
            except sqlite3.Error as cause:
                self._give_up(cause)
        raise OSError(errno.EIO, f"the {self._holds} cannot be used", str(self.path))

    def _open_to_read(self) -> sqlite3.Connection | None:
        """Open the file without making one."""
        try:
            self.path.stat()
        except FileNotFoundError:
            return None
        try:
            self._connection = self._open()
        except sqlite3.Error as cause:
            if _code(cause) in (*_DAMAGED, *_TAKEN):
                raise
            # SQLite reads a file in WAL mode only where it may write beside it.
            self._connection = self._open_where_nothing_can_be_written()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        """Open the file; SQLite does not wait for another process that makes it or mends its log just now."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._open_once()
            except sqlite3.Error as cause:
                if _code(cause) not in _TAKEN or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE)

    def _open_once(self) -> sqlite3.Connection:
        """Open the file and bring it to this version."""
        connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            status = self.path.stat()
            self._number = status.st_ino
            if not status.st_size:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._writable = True
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == len(self._migrations):
            return
        connection.execute("BEGIN IMMEDIATE")
        for statements in self._migrations[self._version(connection) :]:
            for statement in statements.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(self._migrations)}")
        connection.execute("COMMIT")

    def _version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            known = len(self._migrations)
            message = f"the {self._holds} were written by a newer Kanoe (version {version}, this one knows {known})"
            hint = "Use the newer Kanoe, or another store: `export KANOE_HOME=FOLDER`"
            raise UnavailableError(error("store-unusable", message, place=str(self.path), hint=hint))
        return int(version)

    def _open_where_nothing_can_be_written(self) -> sqlite3.Connection:
        """Open the file itself if all is in it, else a copy of it and its log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        path = self.path
        if log.exists() and log.stat().st_size:
            self._copy = tempfile.TemporaryDirectory(prefix="kanoe-")
            path = Path(self._copy.name, self.path.name)
            shutil.copyfile(self.path, path)
            shutil.copyfile(log, path.with_name(log.name))
        how = "" if self._copy else "?mode=ro&immutable=1"
        address = f"file:{urllib.parse.quote_from_bytes(os.fsencode(path))}{how}"
        connection = sqlite3.connect(address, isolation_level=None, check_same_thread=False, uri=True)
        self._writable = False
        if self._version(connection) < len(self._migrations):
            connection.close()
            raise OSError(errno.EROFS, f"the {self._holds} are of an older version and cannot be written", str(path))
        return connection

    def _give_up(self, cause: sqlite3.Error) -> None:
        """Set a damaged file aside; raise what else was wrong as an `OSError`."""
        code = _code(cause)
        if code not in _DAMAGED:
            number = _CAUSES.get(code, errno.EIO)
            raise OSError(number, f"the {self._holds} cannot be used: {cause}", str(self.path)) from cause
        self.close()
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino != self._number:
                return  # another process has set it aside already
        moment = time.time_ns()
        for ending in ("", "-wal", "-shm"):
            path = self.path.with_name(self.path.name + ending)
            with contextlib.suppress(FileNotFoundError):
                path.rename(path.with_name(f".damaged-{moment:x}-{path.name}.part"))


def _code(cause: sqlite3.Error) -> int:
    """Return the primary result code of an error (https://www.sqlite.org/rescode.html)."""
    return int(getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF
