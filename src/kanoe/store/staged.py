"""Files that a notebook's process made, taken into a folder of our own: what is hashed is what is kept, whatever that process does.

A staging folder is hostile: its entries may be links, pipes, huge, swapped or changed while they are read, or open for writing elsewhere.
A file is moved if nobody can have it open for writing: a read lease (fcntl(2), `F_SETLEASE`) is refused otherwise, and broken by whoever
opens it for writing after. Else it is copied, and the copy is hashed. What moved may still be reached through a descriptor that was
open for reading: its owner never believes it without looking at its times again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.files import remove_tree
from kanoe.base.hashing import hash_content, hash_pieces
from kanoe.base.stop import Stop

_PIECE = 1 << 20
_STRANGE = (
    *(errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ENODEV, errno.EOVERFLOW, errno.ETXTBSY, errno.EINVAL),
)
_CLONE = 0x40049409  # FICLONE, see ioctl_ficlone(2)


class StrangeFileError(Exception):
    """A staged file is not what a worker writes; its message says why, for people."""


class StoppedError(Exception):
    """The user asked to stop while a file was read."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A staged file that is ours now.

    Args:
        hash: the sha256 of its content.
        size: its bytes.
        data: its content, if it is small.
        part: the file with its content, read-only, otherwise.
        own: whether no process but ours ever had `part` open.
    """

    hash: str
    size: int
    data: bytes | None
    part: Path | None = None
    own: bool = True


def take_file(place: int, name: str, folder: Path, small: int, stop: Stop | None = None) -> Taken:
    """Take what a file of a staging folder holds. Its name is still there after, unless the file itself is ours now.

    Args:
        place: a descriptor of the staging folder.
        name: the file's, in that folder.
        folder: where the content goes, on whatever disk.
        small: the most bytes that are returned as data.
        stop: ends it.

    Raises:
        StrangeFileError: it is no regular file, larger than the disk, or changed meanwhile.
        StoppedError: `stop` was requested.
        OSError: our folder cannot be written.
    """
    descriptor = _open(place, name)
    try:
        status = os.fstat(descriptor)
        if status.st_size <= small:
            data = _read(descriptor, small)
            if len(data) != status.st_size:
                raise StrangeFileError("it changed while it was read")
            return Taken(hash_content(data), len(data), data)
        disk = os.statvfs(folder)
        if status.st_size > disk.f_blocks * disk.f_frsize:
            raise StrangeFileError("it is larger than the disk")
        return _move(descriptor, place, name, folder, stop) or _copy(descriptor, folder, stop)
    finally:
        os.close(descriptor)


def write_part(data: bytes, folder: Path) -> Path:
    """Write bytes to a new file of a folder, read-only.

    Raises:
        OSError: the folder cannot be written.
    """
    part = folder / _part_name()
    write_new(part, data)
    return part


def write_new(path: Path, data: bytes) -> None:
    """Write bytes to a file that is not there yet, read-only; if they cannot all be written it is removed.

    Raises:
        OSError: it is there, or cannot be written.
    """
    descriptor = _make(path)
    try:
        _write(descriptor, memoryview(data))
    except BaseException:
        _remove(path)
        raise
    finally:
        os.close(descriptor)


def _open(place: int, name: str) -> int:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise StrangeFileError("its name leads out of the folder")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        # Opening a device may do something: what it is, is looked at first.
        if not stat.S_ISREG(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
            raise StrangeFileError("it is no regular file")
        descriptor = os.open(name, flags, dir_fd=place)
    except UnicodeEncodeError as cause:
        raise StrangeFileError("its name is none of a file") from cause
    except OSError as cause:
        if cause.errno in _STRANGE:
            raise StrangeFileError(f"it cannot be opened: {cause.strerror}") from cause
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StrangeFileError("it is no regular file")
    return descriptor


def _read(descriptor: int, most: int) -> bytes:
    """Return a file's first bytes, one more than `most` if there are so many."""
    data = b""
    while len(data) <= most and (piece := os.read(descriptor, most + 1 - len(data))):
        data += piece
    return data


def _move(descriptor: int, place: int, name: str, folder: Path, stop: Stop | None) -> Taken | None:
    """Rename a file into our folder if nobody can write to it; `None` if it must be copied."""
    if not _lease(descriptor):
        return None
    part = folder / _part_name()
    try:
        os.rename(name, part, src_dir_fd=place)
    except OSError:
        return None
    try:
        before = os.fstat(descriptor)
        if not os.path.samestat(part.lstat(), before):
            raise StrangeFileError("another one was put in its place")
        os.fchmod(descriptor, 0o444)
        digest = hash_pieces(_pieces(descriptor, stop))
        after = os.fstat(descriptor)
        kept = fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK and after.st_nlink == 1
        if kept and (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns):
            return Taken(digest, after.st_size, None, part, own=False)
    except BaseException:
        _remove(part)
        raise
    _remove(part)
    return None


def _lease(descriptor: int) -> bool:
    """Take a read lease; return whether we have it: nobody has the file open for writing, or mapped so."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # Who breaks it makes the kernel signal us; the signal that it would choose ends a process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError:
        return False
    return os.fstat(descriptor).st_nlink == 1


def _copy(descriptor: int, folder: Path, stop: Stop | None) -> Taken:
    """Copy a file into our folder and hash the copy."""
    if hasattr(fcntl, "F_SETLEASE"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    part, target = _new_part(folder)
    try:
        before = os.fstat(descriptor)
        if _clone(descriptor, target):
            digest = hash_pieces(_pieces(target, stop))
        else:
            digest = hash_pieces(_copied(descriptor, target, before.st_size, stop))
        size, after = os.fstat(target).st_size, os.fstat(descriptor)
        if size != before.st_size or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise StrangeFileError("it changed while it was read")
    except BaseException:
        _remove(part)
        raise
    finally:
        os.close(target)
    return Taken(digest, size, None, part)


def _clone(source: int, target: int) -> bool:
    """Let a new file share its blocks with another, where the file system can."""
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def _pieces(descriptor: int, stop: Stop | None) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_PIECE))
    place = 0
    while size := os.preadv(descriptor, [buffer], place):
        if stop is not None and stop.requested:
            raise StoppedError
        place += size
        yield buffer[:size]


def _copied(descriptor: int, target: int, most: int, stop: Stop | None) -> Iterator[memoryview]:
    for piece in _pieces(descriptor, stop):
        most -= len(piece)
        if most < 0:
            raise StrangeFileError("it changed while it was read")
        _write(target, piece)
        yield piece


def _write(target: int, data: memoryview) -> None:
    while data:
        data = data[os.write(target, data) :]


def _new_part(folder: Path) -> tuple[Path, int]:
    part = folder / _part_name()
    return part, _make(part)


def _make(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)


def _part_name() -> str:
    return f".{secrets.token_hex(8)}.part"


def _remove(part: Path) -> None:
    """Remove what stands at a path of ours; a strange process may have made it a folder."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(part.lstat().st_mode):
            remove_tree(part)
        else:
            part.unlink()
