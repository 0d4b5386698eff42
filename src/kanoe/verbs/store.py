"""`kanoe store`: what Kanoe keeps on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kanoe.base.files import folder_size
from kanoe.store.home import open_store

_MEANINGS = {
    "environments": "virtual environments (files shared with uv's cache by hard links count here too)",
    "inputs": "unpacked zip files",
    "locks": "resolved environments",
    "runs": "run folders",
    "scratch": "files of runs that go on",
    "workers": "the program that starts kernels",
}


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
            f"{size / 1e6:>10,.1f} MB  {name:<13} {_MEANINGS.get(name, '')}".rstrip()
            for name, size in self.rooms.items()
        ]
        return [*lines, f"{sum(self.rooms.values()) / 1e6:>10,.1f} MB  in {self.path}"]


def measure_store() -> StoreSize:
    """Return how much disk the store takes."""
    store = open_store()
    return StoreSize(str(store.path), {room.name: folder_size(room) for room in store.rooms()})
