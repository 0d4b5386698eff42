"""Blobs: bytes by their content, named by their sha256 as `sha256sum` prints it. Small ones are rows, others are files.

    blobs/index.sqlite    which there are, how large, used when; the content of small ones
    blobs/3f/3fa9…        the others, read-only

A file is put in its place, and removed, while the index is held for writing: a row says the truth, but for damage. Content is verified
once per process and blob, and again when the file's number, size or times are others. A damaged blob is removed: it is a miss.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from kanoe.base.files import remove_tree
from kanoe.base.hashing import hash_content, hash_pieces
from kanoe.base.stop import Stop
from kanoe.store.database import Database
from kanoe.store.staged import StrangeFileError, Taken, take_file, write_new, write_part

SMALL = 16 << 10  # bytes up to which content lies in the index
_HASH = re.compile(r"[0-9a-f]{64}")
_MANY = 500  # values of one query
_AT_ONCE = 32 << 20  # bytes of small content that wait for a transaction
_TRIES = 3  # at a file that others replace
_PIECE = 1 << 20
_MIGRATIONS = (
    """
    CREATE TABLE blobs (hash BLOB PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE small (hash BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT
    """,
)
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TakenFiles:
    """What came of staged files.

    Args:
        hashes: of those that were taken, by name.
        refused: why the others were not, by name, for people.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Blobs:
    """The blobs of a store. Any number of processes and threads may use them at once.

    Args:
        path: their folder; made when the first is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index = Database(path / "index.sqlite", _MIGRATIONS, "blobs")
        self._verified: dict[str, Stamp] = {}
        self._last = 0.0

    def take(self, file: Path, stop: Stop | None = None) -> str:
        """Take a staged file, which is gone from its folder then; return the hash that it really has.

        Args:
            file: its last part may be anything; its folder is our own.
            stop: ends it.

        Raises:
            StrangeFileError: it is not what a worker writes.
            StoppedError: `stop` was requested.
            OSError: the store cannot be written.
        """
        taken = self.take_all(file.parent, [file.name], stop)
        if file.name in taken.refused:
            raise StrangeFileError(taken.refused[file.name])
        return taken.hashes[file.name]

    def take_all(self, folder: Path, names: Iterable[str], stop: Stop | None = None) -> TakenFiles:
        """Take staged files, many in one transaction.

        Args:
            folder: the staging folder, our own; what is in it may be anything.
            names: of its files; strange names are refused like strange files.
            stop: ends it; what was not taken by then stays where it is.

        Raises:
            StoppedError: `stop` was requested.
            OSError: the store cannot be written; the files that were not taken by then stay where they are.
        """
        answer = TakenFiles()
        taken: dict[str, Taken] = {}
        waiting = 0
        self._path.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in dict.fromkeys(names):
                try:
                    one = take_file(place, name, self._path, SMALL, stop)
                except StrangeFileError as cause:
                    answer.refused[name] = str(cause)
                    continue
                taken[name] = one
                answer.hashes[name] = one.hash
                waiting += len(one.data or b"")
                if waiting > _AT_ONCE:
                    self._finish(taken, place)
                    waiting = 0
            self._finish(taken, place)
        finally:
            for name, one in taken.items():
                _give_back(one, place, name)
            os.close(place)
        return answer

    def put(self, data: bytes) -> str:
        """Keep bytes; return their hash.

        Raises:
            OSError: the store cannot be written.
        """
        digest = hash_content(data)
        if len(data) <= SMALL:
            self._keep([Taken(digest, len(data), data)])
            return digest
        self._path.mkdir(parents=True, exist_ok=True)
        part = write_part(data, self._path)
        try:
            self._keep([Taken(digest, len(data), None, part)])
        finally:
            part.unlink(missing_ok=True)
        return digest

    def read(self, digest: str) -> bytes | None:
        """Return a blob's bytes, verified; `None` if it is not there or was damaged."""
        data = self._read_small(digest)
        if data is not None:
            return data
        file = self.open(digest)
        if file is None:
            return None
        with file:
            return file.read()

    def open(self, digest: str) -> IO[bytes] | None:
        """Return a verified blob as an open file; `None` if it is not there or was damaged."""
        data = self._read_small(digest)
        if data is not None:
            return io.BytesIO(data)
        return self._open_whole(digest)

    def path(self, digest: str) -> Path | None:
        """Return a file with a blob's verified bytes, never to be written; of a small one it is made. `None` if there is none."""
        data = self._read_small(digest)
        if data is not None and not self._is_whole(digest, forget=False):
            part = write_part(data, self._path)
            with self._index.write():
                self._put_in_place(Taken(digest, len(data), None, part))
        return self._place(digest) if self._is_whole(digest) else None

    def link(self, digest: str, folder: Path) -> bool:
        """Lay a blob, under its hash, into a folder for a worker that may only read there; return whether it was whole."""
        return not self.link_all([digest], folder)

    def link_all(self, digests: Iterable[str], folder: Path) -> set[str]:
        """Lay blobs, under their hashes, into a folder for a worker that may only read there; return those that are not whole.

        Raises:
            OSError: the folder cannot be written.
        """
        asked = dict.fromkeys(digests)
        missing = {digest for digest in asked if not _HASH.fullmatch(digest)}
        wanted = [digest for digest in asked if digest not in missing and not os.path.lexists(folder / digest)]
        self._mark_used(wanted)
        for digest in wanted:
            data = self._read_small(digest)
            if data is not None:
                write_new(folder / digest, data)
            elif not self._link(digest, folder / digest):
                missing.add(digest)
        return missing

    def missing(self, digests: Iterable[str]) -> set[str]:
        """Return those that are not there; those that are there may be damaged."""
        wanted = set(digests)
        asked = [bytes.fromhex(digest) for digest in wanted if _HASH.fullmatch(digest)]
        found = set()
        for start in range(0, len(asked), _MANY):
            some = asked[start : start + _MANY]
            query = f"SELECT hash, size FROM blobs WHERE hash IN ({', '.join('?' * len(some))})"  # noqa: S608 - marks
            for digest, size in self._index.read(query, some):
                if size <= SMALL or self._place(digest.hex()).exists():
                    found.add(digest.hex())
        return wanted - found

    def sizes(self) -> dict[bytes, tuple[int, float]]:
        """Return the size and the last use of each blob, by the bytes of its hash."""
        return {digest: (size, used) for digest, size, used in self._index.read("SELECT hash, size, used FROM blobs")}

    def remove(self, digests: Sequence[bytes], before: float) -> int:
        """Remove blobs that nobody used since; return the bytes that this freed.

        Args:
            digests: their hashes, as bytes.
            before: in seconds since 1970.

        Raises:
            OSError: the store cannot be written.
        """
        freed = 0
        for start in range(0, len(digests), _MANY):
            with self._index.write() as connection:
                for digest in digests[start : start + _MANY]:
                    query = "DELETE FROM blobs WHERE hash = ? AND used < ? RETURNING size"
                    for (size,) in connection.execute(query, (digest, before)).fetchall():
                        connection.execute("DELETE FROM small WHERE hash = ?", (digest,))
                        self._place(digest.hex()).unlink(missing_ok=True)
                        freed += size
        if freed:
            self._index.shrink()
        return freed

    def total(self) -> int:
        """Return the bytes of all blobs."""
        return sum(size or 0 for (size,) in self._index.read("SELECT sum(size) FROM blobs"))

    def remove_orphans(self, before: float, *, dry_run: bool = False) -> int:
        """Remove files that no row knows and nobody touched since: a process was killed before it said so; return their bytes.

        Raises:
            OSError: the store cannot be written.
        """
        freed = 0
        with contextlib.nullcontext() if dry_run or not self._path.is_dir() else self._index.write():
            known = self.sizes()
            for path in (path for folder in _entries(self._path) for path in _entries(folder)):
                if _HASH.fullmatch(path.name) and bytes.fromhex(path.name) in known:
                    continue
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    if stat.S_ISREG(status.st_mode) and max(status.st_mtime, status.st_ctime) < before:
                        if not dry_run:
                            path.unlink()
                        freed += status.st_size
        return freed

    def close(self) -> None:
        """Let the files go."""
        self._index.close()

    def _finish(self, taken: dict[str, Taken], place: int) -> None:
        """Keep what was taken, and remove it from its staging folder."""
        self._keep(list(taken.values()))
        for name in (name for name, one in taken.items() if one.own):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=place)
        taken.clear()

    def _keep(self, taken: Sequence[Taken]) -> None:
        """Put content in its place, in one transaction."""
        with self._index.write() as connection:
            used = self._now()
            for one in taken:
                row = (bytes.fromhex(one.hash), one.size, used)
                connection.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)", row)
                if one.data is not None:
                    connection.execute("INSERT OR REPLACE INTO small VALUES (?, ?)", (row[0], one.data))
                else:
                    self._put_in_place(one)

    def _put_in_place(self, one: Taken) -> None:
        """Rename a file to its place, over one that is not known to be whole; the index is held."""
        assert one.part is not None
        place = self._place(one.hash)
        if self._verified.get(one.hash) == _stamp(place) is not None:
            one.part.unlink()
            return
        place.parent.mkdir(exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            remove_tree(place)
        one.part.rename(place)
        stamp = _stamp(place)
        if one.own and stamp is not None:
            self._verified[one.hash] = stamp

    def _read_small(self, digest: str) -> bytes | None:
        if not _HASH.fullmatch(digest):
            return None
        for (data,) in self._index.read("SELECT data FROM small WHERE hash = ?", (bytes.fromhex(digest),)):
            if hash_content(data) == digest:
                return bytes(data)
            self._forget(digest)
        return None

    def _is_whole(self, digest: str, *, forget: bool = True) -> bool:
        file = self._open_whole(digest, forget=forget)
        if file is not None:
            file.close()
        return file is not None

    def _open_whole(self, digest: str, *, forget: bool = True) -> IO[bytes] | None:
        """Return a blob's file if it has the content that its name says; it is forgotten if not."""
        if not _HASH.fullmatch(digest):
            return None
        for _ in range(_TRIES):
            with contextlib.ExitStack() as stack:
                file = _open_regular(self._place(digest))
                if file is not None and self._verify(stack.enter_context(file), digest):
                    stack.pop_all()
                    return file
            if not forget or self._forget(digest):
                return None
        return None

    def _verify(self, file: IO[bytes], digest: str) -> bool:
        """Return whether an open file has the content of a hash, and remember it."""
        before = _stamp_of(os.fstat(file.fileno()))
        if self._verified.get(digest) == before:
            return True
        try:
            found = hash_pieces(iter(lambda: file.read(_PIECE), b""))
            file.seek(0)
        except OSError:
            return False
        if found != digest or _stamp_of(os.fstat(file.fileno())) != before:
            return False
        self._verified[digest] = before
        return True

    def _forget(self, digest: str) -> bool:
        """Remove a damaged blob, unless another process made it whole meanwhile; return whether it is none now.

        Where nothing can be written it stays, and is a miss for each that reads it.
        """
        self._verified.pop(digest, None)
        place, key = self._place(digest), bytes.fromhex(digest)
        with contextlib.suppress(OSError), self._index.write() as connection:
            file = _open_regular(place)
            if file is not None:
                with file:
                    if self._verify(file, digest):
                        return False
            remove_tree(place)
            connection.execute("DELETE FROM small WHERE hash = ?", (key,))
            connection.execute("DELETE FROM blobs WHERE hash = ?", (key,))
        return True

    def _link(self, digest: str, target: Path) -> bool:
        """Lay a verified blob at a path; our own link changes the file's times, which is no damage."""
        file = self._open_whole(digest)
        if file is None:
            return False
        with file:
            try:
                os.link(f"/proc/self/fd/{file.fileno()}", target, follow_symlinks=True)
            except OSError:
                part = target.with_name(f".{digest}.part")
                with part.open("wb") as copy:
                    while piece := file.read(1 << 20):
                        copy.write(piece)
                part.chmod(0o444)
                part.rename(target)
                return True
            self._verified[digest] = _stamp_of(os.fstat(file.fileno()))
        return True

    def _mark_used(self, digests: Sequence[str]) -> None:
        with contextlib.suppress(OSError), self._index.write() as connection:
            keys = [(self._now(), bytes.fromhex(digest)) for digest in digests]
            connection.executemany("UPDATE blobs SET used = ? WHERE hash = ?", keys)

    def _now(self) -> float:
        """Return the time; a clock that goes back stands still here."""
        self._last = max(self._last, time.time())
        return self._last

    def _place(self, digest: str) -> Path:
        return self._path / digest[:2] / digest


def _give_back(one: Taken, place: int, name: str) -> None:
    """Undo what was not finished: a file that was moved goes back, a copy goes."""
    if one.part is not None:
        with contextlib.suppress(OSError):
            one.part.unlink() if one.own else os.rename(one.part, name, dst_dir_fd=place)


def _stamp(path: Path) -> Stamp | None:
    """Return what changes when a regular file does; `None` if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return _stamp_of(status)


def _stamp_of(status: os.stat_result) -> Stamp:
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _open_regular(path: Path) -> IO[bytes] | None:
    """Open a file of ours, unless something else stands there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
