"""Stand-in until the real one lands: FILES, overwrite me."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kanoe.ir.trace import Reference, Value
from kanoe.store.blobs import Blobs


class Tree:
    """Nothing yet."""

    def __init__(self, folders: Mapping[Path, Path], blobs: Blobs) -> None:
        self.folders, self.blobs = folders, blobs

    def wrote(self, writes: Mapping[Reference, Value | None]) -> None:
        """Nothing yet."""

    def lay_down(self, values: Mapping[Reference, Value]) -> None:
        """Nothing yet."""
