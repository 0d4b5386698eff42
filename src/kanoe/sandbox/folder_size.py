"""How many bytes a folder takes on disk, measured while a program writes into it, at a bounded cost."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_BLOCK = 512
_ENTRIES_PER_LOOK = 64
# Opened before and after a folder is: whoever watches the folder (`worker.track.files`) knows by these that it was us.
MARKS = (".kanoe-measures", ".kanoe-measured")
_MARK = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderSize:
    """The size of a folder, by walks that go on piece by piece; links are not followed, a file with two names counts once.

    What counts is what the disk gave: the holes of a sparse file take nothing.

    Args:
        folder: what is measured.
        now: the clock, for tests.
        marks: where the files of `MARKS` lie, if anybody watches.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic, marks: Path | None = None) -> None:
        self.size = 0
        self._folder = folder
        self._now = now
        self._marks = marks
        self._walk: Iterator[int] | None = None
        self._so_far = 0

    def advance(self, seconds: float) -> bool:
        """Go on measuring for about that long; return whether a walk came to its end, so that `size` is new."""
        deadline = self._now() + seconds
        if self._walk is None:
            self._walk, self._so_far = _walk(str(self._folder), self._mark), 0
        for number, size in enumerate(self._walk, start=1):
            self._so_far += size
            self.size = max(self.size, self._so_far)
            if number % _ENTRIES_PER_LOOK == 0 and self._now() >= deadline:
                return False
        self._walk = None
        self.size = self._so_far
        return True

    def _mark(self, name: str) -> None:
        if self._marks is not None:
            with contextlib.suppress(OSError):
                os.close(os.open(self._marks / name, _MARK, 0o600))


def _walk(folder: str, mark: Callable[[str], None]) -> Iterator[int]:
    """Yield the bytes of each entry; what cannot be read counts for nothing."""
    seen: set[tuple[int, int]] = set()
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), _open(folders.pop(), mark) as entries:
            for entry in entries:
                yield _size(entry, seen)
                if _is_folder(entry):
                    folders.append(entry.path)


def _open(folder: str, mark: Callable[[str], None]) -> os._ScandirIterator[str]:
    mark(MARKS[0])
    try:
        return os.scandir(folder)
    finally:
        mark(MARKS[1])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _size(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> int:
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    if facts.st_nlink > 1 and not _is_folder(entry):
        key = (facts.st_dev, facts.st_ino)
        if key in seen:
            return 0
        seen.add(key)
    return facts.st_blocks * _BLOCK


def free_bytes(folder: Path) -> int:
    """Return the bytes that a program of this user can still write to the folder's file system."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
