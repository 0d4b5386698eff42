"""The folders of a run as a tree of files that cells wrote: taken into the store, laid down again, compared with what a state says.

The folders belong to the notebook's process, which may be hostile and still alive: every part of a path is opened relative to the
folder above it and no link is followed; what is read is what an open file holds, never what stands at a path a moment later. Files are
copied (a shared copy where the file system can), never linked: what a notebook writes to its file must not reach the store.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from kanoe.base.files import remove_tree
from kanoe.base.hashing import hash_pieces
from kanoe.ir.folders import FILE, entry_hash, quote, unquote
from kanoe.ir.trace import Reference, Value

KINDS = ("file", "folder", "link")
# What Jupyter and Python keep for themselves in any folder; the same names as in the worker's `files`.
OWN_NAMES = ("__pycache__", ".ipynb_checkpoints")
_FICLONE = 0x40049409  # ioctl_ficlone(2)
_PIECE = 1 << 20
_AT_ONCE = 1 << 30
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODES = 0o1777  # no program of a notebook's making runs as its owner


class BlobStore(Protocol):
    """Where bytes are kept by their content."""

    def open(self, digest: str) -> IO[bytes] | None:
        """Return verified bytes; `None` if they are not there."""

    def take_all(self, folder: Path, names: Iterable[str]) -> Any:
        """Take files in; the answer's `hashes` says under which hash, by name."""


@dataclass(frozen=True, slots=True)
class LaidDown:
    """What was done to bring the folders to a state.

    Args:
        changed: paths, as the notebook knows them, at which something else stands now.
        missing: references whose bytes are not in the store, or could not be written; what stands there now is nothing.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands at a path."""

    kind: str
    mode: int = 0
    size: int = 0
    target: str = ""


@dataclass(slots=True)
class _Work:
    """What `lay_down` has done so far."""

    changed: list[str] = field(default_factory=list)
    missing: list[Reference] = field(default_factory=list)
    modes: list[tuple[str, int]] = field(default_factory=list)


class Tree:
    """The folders of one run.

    Args:
        folders: where they lie on this machine, by the paths that the notebook knows; none lies below another.
        blobs: where bytes are kept.
        parts: a folder of our own for copies on their way into the store, on its file system.
        largest: bytes of the largest file that is kept; a larger one has no bytes.
    """

    def __init__(self, folders: Mapping[str, Path], blobs: BlobStore, parts: Path, largest: int = 1 << 40) -> None:
        self._folders = dict(folders)
        self._blobs = blobs
        self._parts = parts
        self._largest = largest
        self._lying: dict[Reference, Value] = {}
        self._laid_down: list[str] = []

    # Into the store

    def take_in(self, writes: Mapping[Reference, Mapping[str, Any] | None]) -> dict[Reference, Value | None]:
        """Return what a worker says was written, with the hashes and blobs of what really lies there.

        Args:
            writes: `file:` references, as the worker tells them: `None` for what is gone. Anything else is left out, and so is
                what turns out to be no file, folder or link.

        Raises:
            OSError: the store cannot be written.
        """
        values: dict[Reference, Value | None] = {}
        if not writes:
            return values
        self._parts.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="files-", dir=self._parts) as staging:
            staged: dict[Reference, tuple[str, _Entry]] = {}
            for reference in writes:
                if self._inside(reference) is None:
                    continue
                entry = self._copy(reference, Path(staging) / str(len(staged)))
                if entry is not None and entry.kind == "file":
                    staged[reference] = str(len(staged)), entry
                else:
                    values[reference] = _plain_value(entry)
            hashes = self._blobs.take_all(Path(staging), [name for name, _ in staged.values()]).hashes
            for reference, (name, entry) in staged.items():
                values[reference] = _file_value(entry, hashes.get(name), reference)
        self._note(values)
        return values

    def _note(self, values: Mapping[Reference, Value | None]) -> None:
        for reference, value in values.items():
            if value is None:
                self._lying.pop(reference, None)
            else:
                self._lying[reference] = value

    def _copy(self, reference: Reference, target: Path) -> _Entry | None:
        """Return what stands at a path; of a file that can be kept a copy is made at `target`."""
        try:
            with self._parent(reference) as (folder, name):
                entry = _look(folder, name)
                if entry is None or entry.kind != "file" or entry.size > self._largest:
                    return entry
                with _readable(folder, name, entry) as file:
                    return _copy_whole(file, target, self._largest)
        except OSError as cause:
            if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise
            return None

    def found(self) -> dict[Reference, Mapping[str, Any]]:
        """Return all that lies in the folders as `take_in` takes it; for a run that begins with files."""
        return {FILE + quote(path): {} for path, _ in self._walk()}

    # Out of the store

    def lay_down(self, values: Mapping[Reference, Value]) -> LaidDown:
        """Bring the folders to what a state says, changing only what differs from what is known to lie there.

        Args:
            values: the state; only its `file:` references count.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        wanted = {reference: value for reference, value in values.items() if reference.startswith(FILE)}
        lying = self._lying
        if wanted.keys() == lying.keys() and all(lying[key].hash == value.hash for key, value in wanted.items()):
            return LaidDown()
        for here in self._folders.values():
            here.mkdir(parents=True, exist_ok=True)  # before the first session starts, some are not there
        work = _Work()
        gone = [key for key in lying if key not in wanted or _kind(lying[key]) != _kind(wanted[key])]
        for reference in sorted(gone, reverse=True):
            self._remove(reference, work)
        for reference in sorted(wanted):
            if reference not in lying or lying[reference].hash != wanted[reference].hash:
                self._make(reference, wanted[reference], work)
        for path, mode in sorted(work.modes, reverse=True):
            with contextlib.suppress(OSError), self._parent(FILE + quote(path)) as (folder, name):
                os.chmod(name, mode, dir_fd=folder)
        self._laid_down += work.changed
        return LaidDown(tuple(dict.fromkeys(work.changed)), tuple(work.missing))

    def take_changes(self) -> list[str]:
        """Return the paths that were changed by `lay_down` since this was last asked: the session has to be told."""
        changed, self._laid_down = list(dict.fromkeys(self._laid_down)), []
        return changed

    def forget(self) -> None:
        """Learn anew what lies in the folders: it may be anything, so everything is removed."""
        for folder in self._folders.values():
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in list(entries):
                    remove_tree(Path(entry.path))
        self._lying = {}

    def _remove(self, reference: Reference, work: _Work) -> None:
        self._lying.pop(reference, None)
        work.changed.append(unquote(reference.removeprefix(FILE)))
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._parent(reference, work) as (folder, name),
        ):
            _remove_at(folder, name)

    def _make(self, reference: Reference, value: Value, work: _Work) -> None:
        path = unquote(reference.removeprefix(FILE))
        known = self._lying.pop(reference, None)
        if self._inside(reference) is None:
            work.missing.append(reference)
            return
        work.changed.append(path)
        mode = _number(value.summary.get("mode"), 0o755 if _kind(value) == "folder" else 0o644) & _MODES
        try:
            with self._parent(reference, work) as (folder, name):
                if _kind(value) == "folder":
                    _make_folder(folder, name, known is not None)
                    work.modes.append((path, mode))
                elif _kind(value) == "link":
                    _remove_at(folder, name)
                    os.symlink(unquote(str(value.summary.get("target", ""))), name, dir_fd=folder)
                elif not self._make_file(folder, name, value, mode):
                    work.missing.append(reference)
                    return
        except OSError as cause:
            if cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise
            work.missing.append(reference)
            return
        self._lying[reference] = value

    def _make_file(self, folder: int, name: str, value: Value, mode: int) -> bool:
        """Write a file from its blob; return whether the blob was there."""
        _remove_at(folder, name)
        source = self._blobs.open(value.blob) if value.blob is not None else None
        if source is None:
            return False
        with source:
            made = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            with os.fdopen(made, "wb", buffering=0) as file:
                _copy_content(source, file)
                os.fchmod(made, mode)
        if name.endswith(".py"):
            _remove_compiled(folder, name)
        return True

    # Compared

    def differences(self, values: Mapping[Reference, Value], *, contents: bool = False) -> list[str]:
        """Return a sentence for each path at which something else stands than a state says.

        Args:
            values: the state; only its `file:` references count.
            contents: whether to read all files; else sizes must do.
        """
        wanted = {reference: value for reference, value in values.items() if reference.startswith(FILE)}
        found = []
        for path, entry in self._walk():
            value = wanted.pop(FILE + quote(path), None)
            if value is None:
                found.append(f"`{path}` is there, and should not be")
            elif not _is_same(entry, value):
                found.append(f"`{path}` is another {entry.kind} than it should be")
            elif contents and value.blob is not None and self._hash(FILE + quote(path)) != value.blob:
                found.append(f"`{path}` has another content than it should have")
        found += [f"`{unquote(reference.removeprefix(FILE))}` is not there" for reference in wanted]
        return sorted(found)

    def _hash(self, reference: Reference) -> str | None:
        with contextlib.suppress(OSError), self._parent(reference) as (folder, name):
            entry = _look(folder, name)
            if entry is not None and entry.kind == "file":
                with _readable(folder, name, entry) as file:
                    return hash_pieces(iter(lambda: file.read(_PIECE), b""))
        return None

    def _walk(self) -> Iterator[tuple[str, _Entry]]:
        """Yield all that lies in the folders and is the notebook's, by the paths that it knows; folders before what is in them."""
        for root in self._folders:
            waiting = [root]
            while waiting:
                path = waiting.pop()
                for name, entry in self._entries(path):
                    yield f"{path}/{name}", entry
                    if entry.kind == "folder":
                        waiting.append(f"{path}/{name}")

    def _entries(self, path: str) -> list[tuple[str, _Entry]]:
        try:
            with self._parent(FILE + quote(f"{path}/.")) as (folder, _):
                found = ((name, _look(folder, name)) for name in sorted(os.listdir(folder)) if name not in OWN_NAMES)
                return [(name, entry) for name, entry in found if entry is not None]
        except OSError:
            return []

    # Where

    def _inside(self, reference: Reference) -> tuple[Path, tuple[str, ...]] | None:
        """Return the folder and the parts below it that a reference names; `None`: it names nothing that we may touch."""
        if not reference.startswith(FILE):
            return None
        path = unquote(reference.removeprefix(FILE))
        for root, here in self._folders.items():
            if path.startswith(f"{root}/") and "\0" not in path:
                parts = tuple(path.removeprefix(f"{root}/").split("/"))
                return (here, parts) if all(parts) and ".." not in parts and "." not in parts[:-1] else None
        return None

    @contextlib.contextmanager
    def _parent(self, reference: Reference, work: _Work | None = None) -> Iterator[tuple[int, str]]:
        """Open the folder that a path lies in; yields it with the path's last part.

        Raises:
            OSError: it is not there, or a link stands in the way.
        """
        inside = self._inside(reference)
        if inside is None:
            raise FileNotFoundError(errno.ENOENT, "not in any folder of the run", reference)
        here, parts = inside
        folder = os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for number, part in enumerate(parts[:-1]):
                below = _open_folder(folder, part)
                os.close(folder)
                folder = below
                if work is not None and not os.fstat(folder).st_mode & 0o200:
                    self._make_writable(folder, reference, parts[: number + 1], work)
            yield folder, parts[-1]
        finally:
            os.close(folder)

    def _make_writable(self, folder: int, reference: Reference, parts: tuple[str, ...], work: _Work) -> None:
        root = next(root for root in self._folders if unquote(reference.removeprefix(FILE)).startswith(f"{root}/"))
        path = str(PurePosixPath(root, *parts))
        work.modes.append((path, stat.S_IMODE(os.fstat(folder).st_mode) & _MODES))
        os.fchmod(folder, 0o700)


def _kind(value: Value) -> str:
    return str(value.summary.get("kind", "file"))


def _number(entry: object, default: int) -> int:
    return entry if isinstance(entry, int) else default


def _plain_value(entry: _Entry | None) -> Value | None:
    """Return the value of a folder, a link, or of a file that cannot be kept."""
    if entry is None:
        return None
    if entry.kind == "folder":
        return Value(entry_hash("folder", entry.mode), type="folder", summary={"kind": "folder", "mode": entry.mode})
    return Value(
        entry_hash("link", content=entry.target), type="link", summary={"kind": "link", "target": quote(entry.target)}
    )


def _file_value(entry: _Entry, blob: str | None, reference: Reference) -> Value:
    """Return the value of a file; one without bytes has a hash that no other has."""
    content = blob if blob is not None else f"unknown {reference} {os.urandom(16).hex()}"
    summary = {"kind": "file", "mode": entry.mode, "size": entry.size}
    return Value(entry_hash("file", entry.mode, entry.size, content), blob=blob, type="file", summary=summary)


def _is_same(entry: _Entry, value: Value) -> bool:
    summary = value.summary
    if entry.kind != _kind(value):
        return False
    if entry.kind == "link":
        return quote(entry.target) == summary.get("target")
    return entry.mode == summary.get("mode") and (entry.kind == "folder" or entry.size == summary.get("size"))


def _look(folder: int, name: str) -> _Entry | None:
    """Return what stands in an open folder under a name; `None` for nothing, pipes, sockets and devices."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISREG(status.st_mode):
            return _Entry("file", mode, status.st_size)
        if stat.S_ISDIR(status.st_mode):
            return _Entry("folder", mode)
        if stat.S_ISLNK(status.st_mode):
            return _Entry("link", target=os.readlink(name, dir_fd=folder))
    except OSError:
        pass
    return None


def _open_folder(folder: int, name: str) -> int:
    """Open a folder in an open folder, also one whose modes forbid it, which are then changed."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{found}", 0o700)  # noqa: PTH101 - an open file has no other name
        finally:
            os.close(found)
        return os.open(name, _FOLDER, dir_fd=folder)


@contextlib.contextmanager
def _readable(folder: int, name: str, entry: _Entry) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, also one whose modes forbid it; these are as before afterwards."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    opened = None
    try:
        opened = os.open(name, flags, dir_fd=folder)
    except PermissionError:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if stat.S_ISREG(os.fstat(found).st_mode):
                os.chmod(f"/proc/self/fd/{found}", entry.mode | 0o400)  # noqa: PTH101 - an open file has no other name
                opened = os.open(name, flags, dir_fd=folder)
                os.fchmod(opened, entry.mode)
        finally:
            os.close(found)
        if opened is None:
            raise
    with os.fdopen(opened, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        yield file


def _copy_whole(file: IO[bytes], target: Path, largest: int) -> _Entry:
    """Copy an open file as it is at one moment, if it holds still; returns what was copied. One that does not has no copy."""
    for _ in range(2):
        before = os.fstat(file.fileno())
        file.seek(0)
        with target.open("wb", buffering=0) as copy:
            _copy_content(file, copy, largest)
            size = os.fstat(copy.fileno()).st_size
        after = os.fstat(file.fileno())
        if (before.st_mtime_ns, before.st_size, size) == (after.st_mtime_ns, after.st_size, after.st_size):
            return _Entry("file", stat.S_IMODE(after.st_mode), size)
    target.unlink()
    return _Entry("file", stat.S_IMODE(after.st_mode), after.st_size)


def _copy_content(source: IO[bytes], target: IO[bytes], largest: int = 1 << 62) -> None:
    """Copy what is left of a file: the same blocks where the file system shares them, else in the kernel, else here."""
    try:
        number = source.fileno()
    except OSError:  # bytes in memory
        shutil.copyfileobj(source, target, _PIECE)
        return
    with contextlib.suppress(OSError):
        fcntl.ioctl(target.fileno(), _FICLONE, number)
        return
    copied = 0
    with contextlib.suppress(OSError):
        while copied < largest:
            piece = os.copy_file_range(number, target.fileno(), _AT_ONCE)
            if not piece:
                break
            copied += piece
    # Some file systems copy nothing and say nothing.
    source.seek(copied)
    while copied < largest and (data := source.read(_PIECE)):
        target.write(data)
        copied += len(data)


def _make_folder(folder: int, name: str, known: bool) -> None:
    """Make a folder, whose modes are set when all is in it."""
    if not known:
        _remove_at(folder, name)
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)


def _remove_at(folder: int, name: str) -> None:
    """Remove what stands in an open folder under a name, whatever it is."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        # By way of the open folder: nobody can put a link in the place of what is above it.
        if not remove_tree(Path(f"/proc/{os.getpid()}/fd/{folder}/{name}")):
            raise


def _remove_compiled(folder: int, name: str) -> None:
    """Remove what Python compiled of an earlier file of this name: it goes by size and time, in seconds."""
    with contextlib.suppress(OSError):
        compiled = os.open("__pycache__", _FOLDER, dir_fd=folder)
        try:
            for other in os.listdir(compiled):
                if other.startswith(f"{name.removesuffix('.py')}.") and other.endswith(".pyc"):
                    os.unlink(other, dir_fd=compiled)
        finally:
            os.close(compiled)
