"""Where Kanoe keeps what it remembers: one folder, moved by `KANOE_HOME`.

The file `version` says in which form the store is. A store of a newer form is left alone; one of an older form is brought to this one
by whoever writes first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.files import exclusive, replace_file
from kanoe.store.alive import unusable


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
    def alive(self) -> Path:
        """One file for each process that works in the store now (`store.alive`)."""
        return self.path / "alive"

    @property
    def records(self) -> Path:
        """The file of the records."""
        return self.path / "records.sqlite"

    @property
    def blobs(self) -> Path:
        """Values, outputs and files of cells, by their content (`store.blobs`); made when the first is kept."""
        return self.path / "blobs"

    @property
    def traces(self) -> Path:
        """The file of what cells read and wrote (`store.traces`)."""
        return self.path / "traces.sqlite"

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
            raise UnavailableError(unusable(self.path, cause)) from cause
        return room


def _from_the_first(_path: Path) -> None:
    """Version 0 wrote no version and no file of lives; everything else is as it was."""


# Each brings a store from the version of its position to the next. It may be ended at any moment and done again.
_MIGRATIONS: tuple[Callable[[Path], None], ...] = (_from_the_first,)
VERSION = len(_MIGRATIONS)


def open_store() -> Store:
    """Return the store: `KANOE_HOME`, else the platform's folder for user data. Nothing is written.

    Raises:
        UnavailableError: it is no folder that can be read, or a newer Kanoe wrote it.
    """
    store = Store(_find_folder())
    wrong = _what_is_wrong(store.path)
    if wrong:
        hint = "Set `KANOE_HOME` to a folder that you can write"
        raise UnavailableError(error("store-unusable", wrong, place=str(store.path), hint=hint))
    version = _read_version(store.path)
    if version > VERSION:
        message = f"the store was written by a newer Kanoe (its version is {version}, this Kanoe knows {VERSION})"
        hint = "Use the newer Kanoe, or another store: `export KANOE_HOME=FOLDER`"
        raise UnavailableError(error("store-unusable", message, place=str(store.path), hint=hint))
    return store


def prepare_store(store: Store) -> None:
    """Make the store ready to be written: there, and of this version.

    Raises:
        UnavailableError: it cannot be written, or a newer Kanoe wrote it meanwhile.
    """
    try:
        if _read_version(store.path) == VERSION and os.access(store.path, os.W_OK):
            return
        store.path.mkdir(parents=True, exist_ok=True)
        with exclusive(store.path / ".version.lock"):
            for migrate in _MIGRATIONS[_read_version(store.path) :]:
                migrate(store.path)
            if _read_version(store.path) < VERSION:
                replace_file(store.path / "version", f"{VERSION}\n".encode())
    except OSError as cause:
        raise UnavailableError(unusable(store.path, cause)) from cause


def _find_folder() -> Path:
    given = os.environ.get("KANOE_HOME")
    try:
        if given:
            return Path(given).expanduser().absolute()
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "kanoe"
        base = os.environ.get("XDG_DATA_HOME")
        return (Path(base) if base else Path.home() / ".local" / "share") / "kanoe"
    except RuntimeError as cause:
        message = f"nobody knows where the store is: {cause}"
        hint = "Set `KANOE_HOME` to a folder that you can write"
        raise UnavailableError(error("store-unusable", message, place=given, hint=hint)) from cause


def _what_is_wrong(path: Path) -> str | None:
    """Return why a path cannot be a store; one that is not there yet can."""
    try:
        there = path.exists()
    except OSError as cause:
        return f"Kanoe's folder cannot be used: {cause.strerror}"
    if path.is_symlink() and not there:
        return "Kanoe's folder is a link that leads nowhere"
    if not there:
        above = next(parent for parent in path.parents if parent.exists())
        return None if above.is_dir() else f"Kanoe's folder cannot be used: `{above}` is a file"
    if not path.is_dir():
        return "Kanoe's folder cannot be used: it is a file"
    return None if os.access(path, os.R_OK | os.X_OK) else "Kanoe's folder cannot be read"


def _read_version(path: Path) -> int:
    """Return the version of a store; 0 where no file says one.

    Raises:
        UnavailableError: the file holds no number.
    """
    try:
        text = (path / "version").read_bytes()
    except OSError:
        return 0
    try:
        return int(text)
    except ValueError as cause:
        hint = "Set `KANOE_HOME` to another folder, or move the file away if you know that Kanoe made this folder"
        message = "the store's file `version` holds no version"
        raise UnavailableError(error("store-unusable", message, place=str(path), hint=hint)) from cause
