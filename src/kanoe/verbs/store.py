"""`kanoe store`: what Kanoe keeps on this machine, and what it need not keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.files import folder_size
from kanoe.base.sizes import show_size
from kanoe.store.clean import Unneeded, find_old_runs, find_unused, remove_runs, remove_things
from kanoe.store.home import open_store
from kanoe.store.left_over import find_half_made
from kanoe.store.records import Records
from kanoe.verbs.lost import settle_lost
from kanoe.verbs.queue import living_work

_MEANINGS = {
    "alive": "one file for each Kanoe that works now",
    "environments": "virtual environments (files shared with uv's cache by hard links count here too)",
    "inputs": "unpacked zip files",
    "locks": "resolved environments",
    "registry": "what package registries said",
    "runs": "run folders",
    "scratch": "files of runs that go on",
    "side-data": "what libraries read besides their code",
    "workers": "the program that starts kernels",
}


_NAMED = 3  # runs that a line names


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Bytes by room."""

    path: str
    rooms: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"path": self.path, "bytes": sum(self.rooms.values()), "rooms": self.rooms}

    def lines(self) -> list[str]:
        """Return what `kanoe store size` prints."""
        lines = [
            f"{show_size(size):>10}  {name:<13} {_MEANINGS.get(name, '')}".rstrip() for name, size in self.rooms.items()
        ]
        return [*lines, f"{show_size(sum(self.rooms.values())):>10}  in {self.path}"]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `kanoe store clean` removed, or would remove.

    Args:
        path: the store.
        removed: each thing.
        dry_run: whether nothing was touched.
    """

    path: str
    removed: Sequence[Unneeded]
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "path": self.path,
            "dry_run": self.dry_run,
            "bytes": sum(one.bytes for one in self.removed),
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
        verb = "would be freed" if self.dry_run else "freed"
        if self.dry_run:
            lines = [line.replace(" removed", " to remove") for line in lines]
        total = show_size(sum(one.bytes for one in self.removed))
        return [*lines, f"{total:>10}  {verb} in {self.path}"]


def clean_store(*, older_than: float | None = None, keep_runs: int | None = None, dry_run: bool = False) -> Cleaned:
    """Remove what the store need not keep; what a living run uses, and folders given with `--output`, are never touched.

    What dead runs left is removed always.

    Args:
        older_than: seconds: also runs that started before, and environments, locks and data that no run used since.
        keep_runs: also the runs but the newest so many; with `older_than` these are kept even if they are old.
        dry_run: only say what would be removed.

    Raises:
        UnavailableError: the store cannot be written.
    """
    store = open_store()
    records = Records(store.records)
    if not store.path.is_dir():
        return Cleaned(str(store.path), (), dry_run)
    with living_work(store, "clean") as life:
        half_made = [Unneeded(_room(one.path, store.path), one.path, one.bytes) for one in find_half_made(store)]
        if not dry_run:
            settle_lost(store)
        runs = find_old_runs(store, records, older_than=older_than, keep_runs=keep_runs)
        things = find_unused(store, older_than, life.name) if older_than is not None else []
        if dry_run:
            return Cleaned(str(store.path), (*half_made, *(one for _, one in runs), *things), dry_run)
        gone = [*half_made, *remove_runs(runs, records)]
        if older_than is not None:
            gone += remove_things(things, store, older_than, life.name)
        return Cleaned(str(store.path), gone, dry_run)


def _room(path: Path, store: Path) -> str:
    return path.relative_to(store).parts[0] if path.parent != store else "records"


def measure_store() -> StoreSize:
    """Return how much disk the store takes."""
    store = open_store()
    return StoreSize(str(store.path), {room.name: folder_size(room) for room in store.rooms()})
