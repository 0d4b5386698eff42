"""Files that are whole at every moment: written beside and renamed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

_PAUSE = 0.05  # seconds between two tries for a lock


def replace_file(path: Path, chunks: bytes | Iterable[bytes]) -> None:
    """Write a file beside `path` and rename it over `path`: readers see the old content or the new, never a part.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old content is then untouched.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            file.writelines([chunks] if isinstance(chunks, bytes) else chunks)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _umask() -> int:
    # The only portable way to ask; restored at once.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def exclusive(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path` against other processes and threads; wait until it is free.

    The kernel drops the lock when the holder dies, however it dies. The file stays.

    Args:
        path: made if it is not there.
        waiting: called again and again while another holds the lock; what it raises ends the wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        while waiting is not None and not _try_lock(file):
            waiting()
            time.sleep(_PAUSE)
        if waiting is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` unless another does; yields whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield _try_lock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below `folder`, each hard-linked file counted once; links are not followed."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(root, name))  # noqa: PTH118 - a Path per file doubles the cost
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_size
    return total
