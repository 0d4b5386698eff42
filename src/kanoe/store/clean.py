"""What the store need not keep: things that were not used for long, and runs that nobody wants any more."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.files import folder_size, last_use, remove_tree, remove_unused
from kanoe.store.alive import is_alive, lives
from kanoe.store.home import Store
from kanoe.store.records import Records, RunRecord

# The folders of things of their own, below the store, and what these are called.
_SHELVES = (
    ("environments", re.compile(r"[0-9a-f]{32}")),
    ("inputs", re.compile(r"[0-9a-f]{32,}")),
    ("side-data/nltk", re.compile(r".*")),
    ("side-data/programs", re.compile(r".*")),
    ("side-data/trees", re.compile(r".*")),
    ("workers", re.compile(r"[a-z]+-[0-9a-f]{16}(\.zip)?")),
)
# Rooms of small files that are read whole: who needs one that is gone makes it again.
_FILES = ("locks", "registry")


@dataclass(frozen=True, slots=True)
class Unneeded:
    """Something that the store need not keep.

    Args:
        room: where it stands.
        path: the file or folder.
        bytes: what it takes.
        run: the run that it is of, or `None`.
    """

    room: str
    path: Path
    bytes: int
    run: str | None = None


def find_unused(store: Store, older_than: float, own: str) -> list[Unneeded]:
    """Return what no run used for that many seconds; what was used since the oldest life began counts as used.

    Args:
        store: where.
        older_than: seconds.
        own: the life that asks, which uses nothing.
    """
    before = unused_before(store, older_than, own)
    found: list[Unneeded] = []
    seen: set[tuple[int, int]] = set()  # environments share files
    for room, path in (*_things(store), *_files(store)):
        with contextlib.suppress(OSError):
            if (last_use(path) if room not in _FILES else path.stat().st_mtime) < before:
                found.append(Unneeded(room, path, folder_size(path, seen) if path.is_dir() else path.stat().st_size))
    return found


def unused_before(store: Store, older_than: float, own: str) -> float:
    """Return the moment since which everything used is kept: whoever lives has marked what it uses since it began."""
    return min([time.time() - older_than, *(life.started for life in lives(store.alive) if life.name != own)])


def _things(store: Store) -> Iterator[tuple[str, Path]]:
    for place, names in _SHELVES:
        for path in _entries(store.path / place):
            if names.fullmatch(path.name) and path.suffix not in (".lock", ".part") and not path.name.startswith("."):
                yield place.split("/", maxsplit=1)[0], path


def _files(store: Store) -> Iterator[tuple[str, Path]]:
    for room in _FILES:
        for path in sorted((store.path / room).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield room, path


def find_old_runs(
    store: Store, records: Records, *, older_than: float | None, keep_runs: int | None
) -> list[tuple[RunRecord, Unneeded]]:
    """Return the runs whose folders in the store need not be kept: ended, old enough, and none of the newest.

    Args:
        store: where; folders elsewhere belong to their users.
        records: of the runs.
        older_than: seconds since they started; `None`: however young.
        keep_runs: how many of the newest are kept in any case; `None`: as many as are young enough.
    """
    if older_than is None and keep_runs is None:
        return []
    unfinished = {record.directory for record in records.unfinished()}
    before = time.time() - (older_than or 0.0)
    mine = [record for record in records.recent(None) if _is_in_store(record, store)]
    return [
        (
            record,
            Unneeded("runs", store.path / "runs" / record.id, folder_size(store.path / "runs" / record.id), record.id),
        )
        for record in mine[keep_runs or 0 :]
        if record.started < before and record.directory not in unfinished and not is_alive(store.alive, record.id)
    ]


def _is_in_store(record: RunRecord, store: Store) -> bool:
    """Return whether a run's folder is one that Kanoe named itself, also in a store that was moved since."""
    folder, said = store.path / "runs" / record.id, Path(record.directory)
    if said.exists():
        return folder.is_dir() and not folder.is_symlink() and folder.samefile(said)
    return said.name == record.id and not folder.is_symlink()


def remove_runs(found: Sequence[tuple[RunRecord, Unneeded]], records: Records) -> list[Unneeded]:
    """Remove runs: the folder, then the record; return what is gone."""
    gone = []
    for record, one in found:
        if remove_tree(one.path):
            records.forget(record.id)
            gone.append(one)
    return gone


def remove_things(found: Sequence[Unneeded], store: Store, older_than: float, own: str) -> list[Unneeded]:
    """Remove what is still unused, also by those who came meanwhile; return what is gone."""
    gone = []
    for one in found:
        before = unused_before(store, older_than, own)
        if one.room in _FILES:
            with contextlib.suppress(OSError):
                if one.path.stat().st_mtime < before:
                    one.path.unlink()
                    gone.append(one)
        elif remove_unused(one.path, before):
            gone.append(one)
    return gone


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
