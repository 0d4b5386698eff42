"""Where Kanoe keeps what it remembers: one folder, moved by `KANOE_HOME`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of the store and its rooms; a room is made when it is first asked for."""

    path: Path

    @property
    def runs(self) -> Path:
        """Run folders, one per run without `--output`."""
        return self._room("runs")

    @property
    def environments(self) -> Path:
        """Virtual environments, one per lock."""
        return self._room("environments")

    @property
    def locks(self) -> Path:
        """Remembered resolutions."""
        return self._room("locks")

    @property
    def inputs(self) -> Path:
        """Unpacked zip files."""
        return self._room("inputs")

    @property
    def side_data(self) -> Path:
        """What libraries read besides their code: corpora, models, modules of repositories."""
        return self._room("side-data")

    @property
    def scratch(self) -> Path:
        """What a run needs only while it runs."""
        return self._room("scratch")

    @property
    def workers(self) -> Path:
        """The worker, as one zip per content."""
        return self._room("workers")

    @property
    def records(self) -> Path:
        """The file of the records."""
        return self.path / "records.sqlite"

    @property
    def contents(self) -> Path:
        """The file that remembers content hashes of inputs."""
        return self._room("inputs") / "contents.sqlite"

    def rooms(self) -> tuple[Path, ...]:
        """Return the rooms that exist."""
        return tuple(sorted(path for path in self.path.iterdir() if path.is_dir())) if self.path.is_dir() else ()

    def _room(self, name: str) -> Path:
        room = self.path / name
        try:
            room.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise UnavailableError(
                error(
                    "store-unusable",
                    f"Kanoe's folder cannot be used: {cause}",
                    place=str(self.path),
                    hint="Set `KANOE_HOME` to a folder that you can write",
                )
            ) from cause
        return room


def open_store() -> Store:
    """Return the store: `KANOE_HOME`, else the platform's folder for user data."""
    given = os.environ.get("KANOE_HOME")
    if given:
        return Store(Path(given).expanduser().absolute())
    if sys.platform == "darwin":
        return Store(Path.home() / "Library" / "Application Support" / "kanoe")
    base = os.environ.get("XDG_DATA_HOME")
    return Store((Path(base) if base else Path.home() / ".local" / "share") / "kanoe")
