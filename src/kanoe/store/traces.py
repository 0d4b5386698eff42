"""Traces of cells by origin: what each execution read and wrote, and which cells the last runs of a notebook had.

An *origin* is one folder or one Kaggle reference; a trace is found within its own only. A trace is kept with the *shape* of its reads (the
references, in order) and a key (a hash of their values): a hit is one look-up per shape, however many traces a cell has.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.hashing import hash_text
from kanoe.ir.trace import Reference, Trace
from kanoe.store.database import Database

RUNS_KEPT = 20  # of each origin
_DIGEST = 32  # bytes of a sha256
_DOUBLES_KEPT = 3  # traces of one origin, code and environment with the same reads
_MIGRATIONS = (
    """
    CREATE TABLE origins (number INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT;
    CREATE TABLE shapes (
        number INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL,
        code TEXT NOT NULL,
        environment TEXT NOT NULL,
        digest TEXT NOT NULL,
        refs BLOB NOT NULL,
        UNIQUE (origin, code, environment, digest)
    ) STRICT;
    CREATE TABLE traces (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        origin INTEGER NOT NULL,
        shape INTEGER NOT NULL,
        key TEXT NOT NULL,
        id TEXT NOT NULL,
        used REAL NOT NULL,
        size INTEGER NOT NULL,
        blobs BLOB NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (origin, id)
    ) STRICT;
    CREATE INDEX traces_by_reads ON traces (shape, key);
    CREATE INDEX traces_by_use ON traces (used);
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        origin INTEGER NOT NULL,
        run BLOB NOT NULL,
        moment REAL NOT NULL,
        steps BLOB NOT NULL,
        UNIQUE (origin, run)
    ) STRICT
    """,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A cell of a run that was.

    Args:
        cell: its id.
        code: hash of its source.
        trace: the id of the trace that was made or used; `None` where there is none.
    """

    cell: str
    code: str
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class TraceUse:
    """What the clean-up needs of a trace.

    Args:
        number: in the order in which they were added.
        id: see `trace_id`.
        origin: whose it is.
        used: when it was used last.
        size: bytes of the record itself.
        blobs: their hashes, as bytes.
        double: whether several newer ones have the same reads.
    """

    number: int
    id: str
    origin: str
    used: float
    size: int
    blobs: tuple[bytes, ...]
    double: bool


def trace_id(trace: Trace) -> str:
    """Return what names a trace within its origin: one execution has one name."""
    return hash_text("trace", trace.code, trace.environment, _key_of(trace), trace.run, repr(trace.moment))[:32]


class Traces:
    """The traces of a store. Any number of processes and threads may use them at once.

    Args:
        path: of their file; made when the first is added.
    """

    def __init__(self, path: Path) -> None:
        self._file = Database(path, _MIGRATIONS, "traces")
        self._last = 0.0

    def add(self, origin: str, trace: Trace) -> str:
        """Add a trace, whose blobs are kept already; return its id.

        Raises:
            OSError: the store cannot be written.
            ValueError: what it calls a blob is no sha256.
        """
        references = sorted(trace.reads)
        refs = json.dumps(references)
        body = zlib.compress(json.dumps(trace.as_dict(), separators=(",", ":")).encode(), 1)
        blobs = b"".join(_digest(blob) for blob in sorted(trace.blobs))
        name, now = trace_id(trace), self._now()
        with self._file.write() as connection:
            connection.execute("INSERT OR IGNORE INTO origins (name) VALUES (?)", (_bytes(origin),))
            shape = (_bytes(origin), trace.code, trace.environment, hash_text("shape", refs))
            connection.execute(
                "INSERT OR IGNORE INTO shapes (origin, code, environment, digest, refs)"
                " VALUES ((SELECT number FROM origins WHERE name = ?), ?, ?, ?, ?)",
                (*shape, zlib.compress(refs.encode(), 1)),
            )
            ((origin_number, shape_number),) = connection.execute(
                "SELECT origin, number FROM shapes WHERE origin = (SELECT number FROM origins WHERE name = ?)"
                " AND code = ? AND environment = ? AND digest = ?",
                shape,
            ).fetchall()
            row = (origin_number, shape_number, _key_of(trace), name, now, len(body) + len(blobs))
            connection.execute(
                "INSERT OR REPLACE INTO traces (origin, shape, key, id, used, size, blobs, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, blobs, body),
            )
        return name

    def hit(
        self,
        origin: str,
        code: str,
        environment: str,
        state: Callable[[Reference], str | None],
        *,
        use: bool = True,
    ) -> Trace | None:
        """Return the newest trace of a cell whose reads all equal the state; it counts as used from now on.

        Args:
            origin: whose.
            code: hash of the cell's source.
            environment: hash of what is the same for every cell.
            state: returns the hash of what a reference holds now; `None`: nothing.
            use: whether it is going to be used, so that no clean-up removes it while the run goes on.

        Raises:
            OSError: the file cannot be read.
        """
        matching: list[int] = []
        for shape, refs in self._shapes(origin, code, environment):
            key = _key(state(reference) for reference in refs)
            query = "SELECT max(number) FROM traces WHERE shape = ? AND key = ?"
            matching += [number for (number,) in self._file.read(query, (shape, key)) if number is not None]
        for number in sorted(matching, reverse=True):
            if not use or self._mark_used("number = ?", (number,)):
                for (body,) in self._file.read("SELECT body FROM traces WHERE number = ?", (number,)):
                    trace = _load(body)
                    if trace is not None:
                        return trace
        return None

    def find(self, origin: str, code: str, environment: str, limit: int | None = None) -> list[Trace]:
        """Return the traces of a cell's code in an environment, newest first; at most so many.

        Raises:
            OSError: the file cannot be read.
        """
        rows = self._file.read(
            "SELECT body FROM traces WHERE shape IN"
            " (SELECT number FROM shapes WHERE origin = (SELECT number FROM origins WHERE name = ?)"
            " AND code = ? AND environment = ?) ORDER BY number DESC LIMIT ?",
            (_bytes(origin), code, environment, -1 if limit is None else limit),
        )
        return [trace for (body,) in rows if (trace := _load(body)) is not None]

    def get(self, origin: str, name: str) -> Trace | None:
        """Return the trace with this id."""
        query = "SELECT body FROM traces WHERE origin = (SELECT number FROM origins WHERE name = ?) AND id = ?"
        for (body,) in self._file.read(query, (_bytes(origin), name)):
            return _load(body)
        return None

    def touch(self, origin: str, traces: Iterable[Trace]) -> None:
        """Count traces as used now; where nothing can be written, nothing is."""
        names = [trace_id(trace) for trace in traces]
        condition = "origin = (SELECT number FROM origins WHERE name = ?) AND id = ?"
        with contextlib.suppress(OSError), self._file.write() as connection:
            query = f"UPDATE traces SET used = ? WHERE {condition}"  # noqa: S608 - our own text
            connection.executemany(query, [(self._now(), _bytes(origin), name) for name in names])

    def remember_run(self, origin: str, run: str, steps: Sequence[Step | tuple[str, str, str | None]]) -> None:
        """Remember the cells of a run, in order; said again, it replaces what was said of this run.

        Args:
            origin: whose.
            run: its id.
            steps: id of the cell, hash of its code, id of its trace or `None`.

        Raises:
            OSError: the store cannot be written.
        """
        rows = [[step.cell, step.code, step.trace] if isinstance(step, Step) else list(step) for step in steps]
        data = zlib.compress(json.dumps(rows).encode(), 1)
        with self._file.write() as connection:
            connection.execute("INSERT OR IGNORE INTO origins (name) VALUES (?)", (_bytes(origin),))
            ((number,),) = connection.execute("SELECT number FROM origins WHERE name = ?", (_bytes(origin),)).fetchall()
            connection.execute(
                "INSERT INTO runs (origin, run, moment, steps) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (origin, run) DO UPDATE SET moment = excluded.moment, steps = excluded.steps",
                (number, _bytes(run), self._now(), data),
            )
            connection.execute(
                "DELETE FROM runs WHERE origin = ? AND number NOT IN"
                " (SELECT number FROM runs WHERE origin = ? ORDER BY number DESC LIMIT ?)",
                (number, number, RUNS_KEPT),
            )

    def latest(self, origin: str) -> tuple[Step, ...]:
        """Return the cells of the last run, in order; none if no run is remembered."""
        for _, steps in self.runs(origin, 1):
            return steps
        return ()

    def runs(self, origin: str, limit: int | None = None) -> Iterator[tuple[str, tuple[Step, ...]]]:
        """Yield the remembered runs with their cells, newest first."""
        query = (
            "SELECT run, steps FROM runs WHERE origin = (SELECT number FROM origins WHERE name = ?)"
            " ORDER BY number DESC LIMIT ?"
        )
        for run, data in self._file.read(query, (_bytes(origin), -1 if limit is None else limit)):
            with contextlib.suppress(ValueError, TypeError, zlib.error):
                yield _name(run), tuple(Step(*row) for row in json.loads(zlib.decompress(data)))

    def uses(self) -> list[TraceUse]:
        """Return what the clean-up needs of each trace, the least recently used first."""
        rows = self._file.read(
            "SELECT traces.number, id, name, used, size, blobs,"
            " row_number() OVER (PARTITION BY shape, key ORDER BY traces.number DESC)"
            " FROM traces JOIN origins ON origins.number = traces.origin ORDER BY used, traces.number"
        )
        return [
            TraceUse(number, name, _name(origin), used, size, _split(blobs), place > _DOUBLES_KEPT)
            for number, name, origin, used, size, blobs, place in rows
        ]

    def newest_runs(self, count: int) -> set[str]:
        """Return the ids of the traces that the newest runs of all origins made or used."""
        rows = self._file.read("SELECT steps FROM runs ORDER BY moment DESC, number DESC LIMIT ?", (count,))
        found: set[str] = set()
        for (data,) in rows:
            with contextlib.suppress(ValueError, TypeError, zlib.error):
                found |= {row[2] for row in json.loads(zlib.decompress(data)) if row[2] is not None}
        return found

    def remove(self, numbers: Sequence[int], before: float) -> set[int]:
        """Remove traces that nobody used since; return the numbers of those that are gone.

        Raises:
            OSError: the store cannot be written.
        """
        if not numbers:
            return set()
        with self._file.write() as connection:
            query = "DELETE FROM traces WHERE number = ? AND used < ?"
            gone = {number for number in numbers if connection.execute(query, (number, before)).rowcount}
            connection.execute("DELETE FROM shapes WHERE number NOT IN (SELECT shape FROM traces)")
            connection.execute(
                "DELETE FROM origins WHERE number NOT IN (SELECT origin FROM traces)"
                " AND number NOT IN (SELECT origin FROM runs)"
            )
        if gone:
            self._file.shrink()
        return gone

    def bytes(self) -> int:
        """Return what the file takes on the disk."""
        return self._file.bytes()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def _shapes(self, origin: str, code: str, environment: str) -> Iterator[tuple[int, list[str]]]:
        query = (
            "SELECT number, refs FROM shapes WHERE origin = (SELECT number FROM origins WHERE name = ?)"
            " AND code = ? AND environment = ?"
        )
        for number, refs in self._file.read(query, (_bytes(origin), code, environment)):
            with contextlib.suppress(ValueError, zlib.error):
                yield number, json.loads(zlib.decompress(refs))

    def _mark_used(self, condition: str, values: tuple[object, ...]) -> bool:
        """Count traces as used now; return whether there are any. Where nothing can be written there is no clean-up either."""
        try:
            with self._file.write() as connection:
                query = f"UPDATE traces SET used = ? WHERE {condition}"  # noqa: S608 - our own text
                return connection.execute(query, (self._now(), *values)).rowcount > 0
        except OSError:
            return True

    def _now(self) -> float:
        """Return the time; a clock that goes back stands still here."""
        self._last = max(self._last, time.time())
        return self._last


def _key(values: Iterable[str | None]) -> str:
    """Return a hash of what references hold, in the order of their shape."""
    return hash_text("reads", json.dumps(list(values)))


def _key_of(trace: Trace) -> str:
    return _key(trace.reads[reference] for reference in sorted(trace.reads))


def _load(body: bytes) -> Trace | None:
    """Return a trace; `None` if what stands there is none."""
    try:
        record: Any = json.loads(zlib.decompress(body))
        return Trace.from_dict(record)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, zlib.error):
        return None


def _digest(blob: str) -> bytes:
    digest = bytes.fromhex(blob)
    if len(digest) != _DIGEST:
        raise ValueError(f"{blob!r} is no sha256")
    return digest


def _split(blobs: bytes) -> tuple[bytes, ...]:
    return tuple(blobs[start : start + _DIGEST] for start in range(0, len(blobs), _DIGEST))


def _bytes(name: str) -> bytes:
    """Return a name as bytes: names of files need not be text."""
    return name.encode("utf-8", "surrogatepass")


def _name(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
