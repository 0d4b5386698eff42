"""Files that are whole at every moment: written beside and renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

_OCTAL = re.compile(rb"\\([0-7]{3})")
# Nothing more can be written there.
_OF_THE_TARGET = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_SYSTEM_FOLDERS = (
    *("/boot", "/dev", "/etc", "/proc", "/run", "/sys"),
    *(f"/var/{name}" for name in ("backups", "cache", "lib", "log", "mail", "run", "spool")),
)
# Where Kaggle's own client keeps data.
_SHARED_THOUGH_HIDDEN = ("/.cache/kagglehub/",)
_PAUSE = 0.05  # seconds between two tries for a lock
_MOST_SECONDS = 600.0  # that a program may take to remove a tree


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
    while True:
        with path.open("ab") as file:
            while waiting is not None and not _try_lock(file):
                waiting()
                time.sleep(_PAUSE)
            if waiting is None:
                fcntl.flock(file, fcntl.LOCK_EX)
            # Who held it may have removed the file: then another one counts.
            if _is_still(file, path):
                yield
                return


@contextlib.contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` unless another does; yields whether it is held."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield _try_lock(file) and _is_still(file, path)


def _is_still(file: IO[bytes], path: Path) -> bool:
    """Return whether an open file is the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def mark_used(path: Path) -> bool:
    """Note that something of the store is used now, in the time of its lock file `NAME.lock`; return whether it is there.

    `remove_unused` removes nothing that is marked meanwhile. What another process makes or removes now is not there.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        with lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if not _is_still(file, lock):
                return False
            os.utime(file.fileno())
            return path.exists()
    except BlockingIOError:
        return False
    except OSError:  # nothing can be written: nothing is removed either
        return path.exists()


def last_use(path: Path) -> float:
    """Return when something was last marked as used, else when it was made; seconds since 1970.

    Raises:
        OSError: it is not there.
    """
    made = path.lstat().st_mtime
    with contextlib.suppress(FileNotFoundError):
        return max(made, path.with_name(f"{path.name}.lock").stat().st_mtime)
    return made


def remove_unused(path: Path, before: float) -> bool:
    """Remove something that was not marked as used since `before`; return whether it is gone.

    It vanishes from its place at once, whatever is using it; only then is it removed.
    """
    lock = path.with_name(f"{path.name}.lock")
    going = path.with_name(f"{path.name}.old-{time.time_ns():x}.part")
    with contextlib.suppress(OSError):
        _make_old(lock)
        with exclusive_if_free(lock) as free:
            if not free or last_use(path) >= before:
                return False
            path.rename(going)
            lock.unlink()
    return not os.path.lexists(path) and remove_tree(going)


def _make_old(path: Path) -> None:
    """Make an empty file if there is none, whose time says that nobody ever used it."""
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        os.close(descriptor)
        try:
            os.utime(temporary, (0, 0))
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            Path(temporary).unlink()


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Return whether anybody holds the lock file `path`; one that is not there is held by nobody.

    Raises:
        OSError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def remove_tree(path: Path) -> bool:
    """Remove a file, a link, or a folder with all below it, however deep it is and whatever its modes; return whether it is gone.

    Links are not followed. What is mounted below is unmounted first; where that is not possible nothing is removed.
    """
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
        return not os.path.lexists(path)
    if not _unmount_below(path):
        return False
    # Python's own way ends at some depth, and leaves files open there; `rm` ends at folders without permissions.
    for command in (["rm", "-rf"], ["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        if os.path.lexists(path):
            _run_on(path, command)
    return not os.path.lexists(path)


def _run_on(path: Path, command: Sequence[str]) -> None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [*command, "--", path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MOST_SECONDS,
            check=False,
            start_new_session=True,
        )


def _unmount_below(path: Path) -> bool:
    """Unmount what is mounted below a folder; return whether nothing is left mounted there."""
    for mounted in sorted(_mounts_below(path), reverse=True):
        _run_on(Path(os.fsdecode(mounted)), ["umount", "-l"])
    return not _mounts_below(path)


def _mounts_below(path: Path) -> list[bytes]:
    """Return the mount points below a folder (https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)."""
    below = os.fsencode(os.path.realpath(path)) + b"/"
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return []
    points = (line.split(b" ")[4] for line in lines)
    plain = (_OCTAL.sub(lambda found: bytes([int(found[1], 8)]), point) for point in points)
    return [point for point in plain if point.startswith(below)]


def walk_tree(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder, each folder before what is in it, names in order; links are not followed.

    However deep it is; what cannot be read, because of its modes or because its path is longer than the system allows, is left out.
    """
    waiting = [iter(_entries(folder))]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        yield entry
        if entry.is_dir(follow_symlinks=False):
            waiting.append(iter(_entries(entry.path)))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def folder_size(folder: Path, seen: set[tuple[int, int]] | None = None) -> int:
    """Return the bytes of all files below `folder`, each hard-linked file counted once; links are not followed.

    Args:
        folder: where.
        seen: the files that do not count, by device and number; those that are found are added.
    """
    seen = set() if seen is None else seen
    total = 0
    for entry in walk_tree(folder):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total


def copy_tree(source: Path, target: Path) -> list[str]:
    """Copy a folder to one that is new: files with their times and modes, links as links, pipes and the like not at all.

    Returns:
        the paths below `source` that could not be copied.

    Raises:
        OSError: the target cannot be written.
    """
    target.mkdir()
    left = []
    for entry in walk_tree(source):
        relative = os.path.relpath(entry.path, source)
        try:
            if entry.is_symlink():
                (target / relative).symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                (target / relative).mkdir()
            elif entry.is_file():
                shutil.copy2(entry.path, target / relative)
        except OSError as cause:
            if cause.errno in _OF_THE_TARGET:
                raise
            left.append(relative)
    return left


def leads_to_private(path: Path, folder: Path) -> bool:
    """Return whether a path below a folder leads, by a link, out of it to what nobody takes for data or code to share.

    That is: hidden files, the system's own folders, a whole home, or a folder that holds the given one.
    """
    target, folder = path.resolve(), folder.resolve()
    if target.is_relative_to(folder):
        return False
    homes = [Path(os.path.expanduser("~")).resolve(), folder]  # noqa: PTH111 - raises nothing where there is no home
    if any(home.is_relative_to(target) for home in homes):
        return True
    text = "/".join(target.parts).replace("//", "/")
    hidden = any(part.startswith(".") for part in target.parts) and not any(
        mark in text for mark in _SHARED_THOUGH_HIDDEN
    )
    return hidden or any(target.is_relative_to(place) for place in _SYSTEM_FOLDERS)


def read_untrusted(path: Path, most: int = 64 << 20) -> bytes:
    """Return the last bytes of a file that a strange program may have replaced: no link is followed, no pipe waited for.

    Args:
        path: its last part may be anything; its folders are our own.
        most: how many bytes at most.

    Raises:
        OSError: it is not there, or no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        file.seek(max(0, status.st_size - most))
        return file.read(most)
