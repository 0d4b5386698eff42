"""What processes that were killed left in the store and beside it, and its removal.

Programs are found by the mark in their environment, temporary folders by the mark in their names, links by what the life said of them.
What is half made in the store is removed once it is older than every life that goes on: whoever made it is dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.files import folder_size, remove_tree
from kanoe.base.processes import kill_marked
from kanoe.store.alive import Trace, lives
from kanoe.store.home import Store

_MARK = re.compile(r"[0-9a-f]{10}")
# How half-made things are called, and how deep in which room they lie.
_UNFINISHED = re.compile(r".*\.part|\..*\.part|unpacking-.*|wheel\..*|history\..*")
_DEPTHS = {"blobs": 1, "environments": 1, "inputs": 1, "locks": 2, "registry": 2, "side-data": 3, "workers": 1}


@dataclass(frozen=True, slots=True)
class LeftOver:
    """Something that nobody needs any more: its path and its bytes."""

    path: Path
    bytes: int


def clean_after(trace: Trace, alive: Path) -> None:
    """End and remove what a dead process left, as far as this user may.

    Args:
        trace: of the dead life.
        alive: the folder of the files of lives.
    """
    # A process of several lives may have lost one of them only; this one's lock is ours now.
    others = (life for life in lives(alive) if life.name != trace.name)
    if _MARK.fullmatch(trace.owner) and all(life.owner != trace.owner for life in others):
        kill_marked(trace.owner)
        for folder in _find_temporary(trace):
            remove_tree(folder)
    for path in map(Path, trace.links):
        with contextlib.suppress(OSError):
            # A link of somebody else's may stand there.
            if path.readlink().is_relative_to(alive.parent):
                path.unlink()


def _find_temporary(trace: Trace) -> list[Path]:
    """Return the temporary folders of this user that carry the mark of a process: anybody can read a mark in `/tmp` and use it."""
    folders = {Path(trace.temporary), Path("/tmp")} if trace.temporary else set()  # noqa: S108 - where sockets are
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            marked = (path for path in folder.iterdir() if path.name.startswith("kanoe-") and trace.owner in path.name)
            found += [path for path in marked if path.lstat().st_uid == os.geteuid()]
    return found


def find_half_made(store: Store) -> list[LeftOver]:
    """Return what is half made in the store and older than every life that goes on: its maker is dead."""
    going_on = lives(store.alive)
    oldest = min((life.started for life in going_on), default=time.time())
    found = []
    for path in _candidates(store.path):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if max(status.st_mtime, status.st_ctime) < oldest:
                found.append(LeftOver(path, folder_size(path) if path.is_dir() else status.st_size))
    return found


def _candidates(store: Path) -> Iterator[Path]:
    yield from _entries(store / "scratch")
    yield from (path for path in _entries(store) if path.name.startswith(".") and path.name.endswith(".part"))
    for room, depth in _DEPTHS.items():
        yield from _unfinished(store / room, depth)


def _unfinished(folder: Path, depth: int) -> Iterator[Path]:
    for path in _entries(folder):
        if _UNFINISHED.fullmatch(path.name):
            yield path
        elif depth > 1 and path.is_dir() and not path.is_symlink():
            yield from _unfinished(path, depth - 1)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
