"""`kanoe store`: what Kanoe keeps on this machine, and what it need not keep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kanoe.base.errors import UnavailableError
from kanoe.base.files import folder_size
from kanoe.base.sizes import show_size
from kanoe.store.alive import unusable
from kanoe.store.clean import Unneeded, find_old_runs, find_unused, remove_runs, remove_things
from kanoe.store.home import open_store
from kanoe.store.left_over import find_half_made
from kanoe.store.records import Records
from kanoe.store.sweep import NotebookSize, Swept, default_limit, give_up_spare, measure_notebooks, sweep
from kanoe.store.traces import Traces
from kanoe.verbs.lost import settle_lost
from kanoe.verbs.queue import living_work

_MEANINGS = {
    "alive": "one file for each Kanoe that works now",
    "blobs": "values, outputs and files of cells",
    "environments": "virtual environments (files shared with uv's cache by hard links count here too)",
    "inputs": "unpacked zip files",
    "locks": "resolved environments",
    "registry": "what package registries said",
    "runs": "run folders",
    "scratch": "files of runs that go on",
    "side-data": "what libraries read besides their code",
    "traces": "what each cell read and wrote",
    "workers": "the program that starts kernels",
}


_NAMED = 3  # runs that a line names
_NOTEBOOKS = 20  # that are listed


@dataclass(frozen=True, slots=True)
class StoreSize:
    """How much disk the store takes.

    Args:
        path: of the store.
        rooms: bytes by room.
        notebooks: what the cells of each notebook hold of `blobs` and `traces`, the largest first.
        limit: the most bytes that a run leaves in `blobs` and `traces`.
    """

    path: str
    rooms: dict[str, int]
    notebooks: Sequence[NotebookSize] = ()
    limit: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "path": self.path,
            "bytes": sum(self.rooms.values()),
            "rooms": self.rooms,
            "limit": self.limit,
            "notebooks": [asdict(one) for one in self.notebooks],
        }

    def lines(self) -> list[str]:
        """Return what `kanoe store size` prints."""
        lines = [
            f"{show_size(size):>10}  {name:<13} {_MEANINGS.get(name, '')}".rstrip() for name, size in self.rooms.items()
        ]
        lines.append(f"{show_size(sum(self.rooms.values())):>10}  in {self.path}")
        if self.notebooks:
            most = show_size(self.limit)
            lines += ["", f"Cells by notebook (what several share counts for each; at most {most} in all):"]
        for one in self.notebooks[:_NOTEBOOKS]:
            day = time.strftime("%Y-%m-%d", time.localtime(one.used))
            name = one.origin.removeprefix("folder:")
            lines.append(f"{show_size(one.bytes):>10}  {name}: {_count(one.traces, 'trace')}, used {day}")
        more = len(self.notebooks) - _NOTEBOOKS
        return [*lines, f"{'':>10}  and {more} more"] if more > 0 else lines


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `kanoe store clean` removed, or would remove.

    Args:
        path: the store.
        removed: each thing.
        dry_run: whether nothing was touched.
        cells: traces and blobs.
    """

    path: str
    removed: Sequence[Unneeded]
    dry_run: bool
    cells: Swept = field(default_factory=Swept)

    @property
    def bytes(self) -> int:
        """What all this takes."""
        return sum(one.bytes for one in self.removed) + self.cells.bytes

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "path": self.path,
            "dry_run": self.dry_run,
            "bytes": self.bytes,
            "cells": asdict(self.cells),
            "removed": [
                {"room": one.room, "path": str(one.path), "bytes": one.bytes, "run": one.run} for one in self.removed
            ],
        }

    def lines(self) -> list[str]:
        """Return what `kanoe store clean` prints."""
        lines = []
        for room in sorted({one.room for one in self.removed}):
            mine = [one for one in self.removed if one.room == room]
            size = show_size(sum(one.bytes for one in mine))
            names = [one.run for one in mine if one.run]
            runs = f": {', '.join(names[:_NAMED])}" if names else ""
            runs += f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            lines.append(f"{size:>10}  {room:<13} {len(mine)} removed{runs}")
        if self.cells != Swept():
            what = f"{_count(self.cells.traces, 'trace')} and {_count(self.cells.blobs, 'blob')} removed"
            lines.append(f"{show_size(self.cells.bytes):>10}  {'cells':<13} {what}")
        verb = "would be freed" if self.dry_run else "freed"
        if self.dry_run:
            lines = [line.replace(" removed", " to remove") for line in lines]
        return [*lines, f"{show_size(self.bytes):>10}  {verb} in {self.path}"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def clean_store(
    *, older_than: float | None = None, keep_runs: int | None = None, size: int | None = None, dry_run: bool = False
) -> Cleaned:
    """Remove what the store need not keep; what a living run uses, and folders given with `--output`, are never touched.

    What dead runs left is removed always.

    Args:
        older_than: seconds: also runs that started before, and cells' traces and values, environments, locks and data that no run used
            since.
        keep_runs: also the runs but the newest so many; with `older_than` these, and the traces that they used, are kept even if they are
            old.
        size: also the traces and values used least recently, until all take at most so many bytes.
        dry_run: only say what would be removed.

    Raises:
        UnavailableError: the store cannot be written.
    """
    store = open_store()
    records = Records(store.records)
    if not store.path.is_dir():
        return Cleaned(str(store.path), (), dry_run)
    if not dry_run:
        give_up_spare(store)
    with living_work(store, "clean") as life:
        half_made = [Unneeded(_room(one.path, store.path), one.path, one.bytes) for one in find_half_made(store)]
        if not dry_run:
            settle_lost(store)
        runs = find_old_runs(store, records, older_than=older_than, keep_runs=keep_runs)
        things = find_unused(store, older_than, life.name) if older_than is not None else []
        if dry_run:
            gone = [*half_made, *(one for _, one in runs), *things]
        else:
            gone = [*half_made, *remove_runs(runs, records)]
            gone += remove_things(things, store, older_than, life.name) if older_than is not None else []
        try:
            cells = sweep(store, life.name, limit=size, older_than=older_than, keep_runs=keep_runs, dry_run=dry_run)
        except OSError as cause:
            raise UnavailableError(unusable(store.path, cause)) from cause
        return Cleaned(str(store.path), gone, dry_run, cells)


def _room(path: Path, store: Path) -> str:
    return path.relative_to(store).parts[0] if path.parent != store else "records"


def measure_store() -> StoreSize:
    """Return how much disk the store takes.

    Raises:
        UnavailableError: the store cannot be read.
        InputError: `KANOE_STORE_SIZE` holds no size.
    """
    store = open_store()
    rooms = {room.name: folder_size(room) for room in store.rooms()}
    if store.traces.exists():
        rooms["traces"] = Traces(store.traces).bytes()
    try:
        notebooks = measure_notebooks(store)
        limit = default_limit(store) if store.path.is_dir() else 0
    except OSError as cause:
        raise UnavailableError(unusable(store.path, cause)) from cause
    return StoreSize(str(store.path), dict(sorted(rooms.items())), notebooks, limit)
