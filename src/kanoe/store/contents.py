"""Content hashes of input files, remembered by path, size, time and inode: a file is read again only when it changed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from kanoe.base.hashing import hash_file, hash_text
from kanoe.base.stop import Stop


class Contents:
    """Hashes of files and folders, with a memory in a small SQLite file that may be lost at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hash_tree(self, path: Path, stop: Stop) -> str | None:
        """Return the hash of a file's content, or of a folder's names and contents; `None` if it was stopped or cannot be read."""
        if not path.exists():
            return None
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS contents (key TEXT PRIMARY KEY, hash TEXT NOT NULL) STRICT"
                )
                if path.is_file():
                    return self._hash(connection, path, stop)
                return self._hash_folder(connection, path, stop)
        except (OSError, sqlite3.Error):
            return None

    def _hash_folder(self, connection: sqlite3.Connection, folder: Path, stop: Stop) -> str | None:
        parts: list[str] = []
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                if stop.requested:
                    return None
                path = Path(root, name)
                if path.is_file():
                    digest = self._hash(connection, path, stop)
                    if digest is None:
                        return None
                    parts += [path.relative_to(folder).as_posix(), digest]
        return hash_text("folder", *parts)

    def _hash(self, connection: sqlite3.Connection, path: Path, stop: Stop) -> str | None:
        status = path.stat()
        key = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
        row = connection.execute("SELECT hash FROM contents WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return str(row[0])
        digest = hash_file(path, stop)
        if digest is None:
            return None
        connection.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (key, digest))
        return digest
