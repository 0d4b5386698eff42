"""Who works in the store now: each holds a lock on a file of its own, which the kernel drops when its process dies, however it dies.

A life's file `alive/NAME` holds JSON lines: first what it is, then what is to be cleaned should it end early. Files are made, and removed
at the end, while the gate (`alive/.gate`) is held; a file that can be seen is locked, or its process is dead. So neither a pid that is
used again nor another container is mistaken for a life, and no daemon is needed for a queue: tickets are numbers in these files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.files import exclusive, is_locked
from kanoe.base.processes import owner
from kanoe.base.stop import Stop

Kind = Literal["run", "work"]

_VERSION = 1
_GATE = ".gate"
_CANCEL = ".cancel"
_LOOK = 0.2  # seconds between two looks at the requests to stop


@dataclass(frozen=True, slots=True)
class Trace:
    """What the file of a life says.

    Args:
        name: a run's id, or that of other work.
        kind: `run`, or `work` that takes no slot.
        ticket: its place in the order of coming.
        owner: the mark of its process (`base.processes.owner`).
        pid: of its process, as that sees itself.
        started: the file system's time when it came.
        temporary: its folder for temporary files.
        slot: which of the machine's slots it has, or `None` while it waits.
        links: symbolic links into the store that it made elsewhere.
    """

    name: str
    kind: Kind
    ticket: int
    owner: str
    pid: int
    started: float
    temporary: str
    slot: int | None = None
    links: tuple[str, ...] = ()


class Life:
    """A life that goes on: the holder of its lock.

    Args:
        folder: of the files of lives.
        trace: what the file says at first.
        descriptor: of the locked file.
    """

    def __init__(self, folder: Path, trace: Trace, descriptor: int) -> None:
        self.name = trace.name
        self.ticket = trace.ticket
        self.slot: int | None = None
        self._folder = folder
        self._descriptor = descriptor

    def note_link(self, path: Path) -> None:
        """Say, before it is made, which symbolic link into the store is to be removed should this process die.

        Raises:
            OSError: the file cannot be written.
        """
        self._write({"link": str(path)})

    def runs_before(self) -> int:
        """Return how many living runs came before this one."""
        return sum(trace.kind == "run" and trace.ticket < self.ticket for trace in lives(self._folder))

    def take_slot(self) -> int:
        """Take the first slot that no living run has, and return its number.

        Raises:
            OSError: the file cannot be written.
        """
        with exclusive(self._folder / _GATE):
            taken = {trace.slot for trace in lives(self._folder)}
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            self._write({"slot": slot})
        self.slot = slot
        return slot

    def cancel_requests(self) -> int:
        """Return how often another process asked this life to stop."""
        try:
            return (self._folder / f"{self.name}{_CANCEL}").stat().st_size
        except OSError:
            return 0

    def stop(self, outer: Stop) -> Stop:
        """Return a stop that hears `outer` and the requests of other processes."""
        return _LifeStop(self, outer)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._descriptor, (json.dumps(line) + "\n").encode())


class _LifeStop(Stop):
    """Hears requests of its own, those of an outer stop, and those of other processes."""

    def __init__(self, life: Life, outer: Stop) -> None:
        self._own = 0
        self._asked = 0
        self._heard: float | None = None
        self._next = 0.0
        self._life = life
        self._outer = outer
        super().__init__()

    @property
    def level(self) -> int:
        """How often the user asked."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LOOK
            self._asked = self._life.cancel_requests()
        return self._own + self._asked + self._outer.level

    @level.setter
    def level(self, value: int) -> None:
        self._own = value

    @property
    def asked(self) -> float | None:
        """When the first request came, as far as it was looked for."""
        if self._heard is None and self.level:
            self._heard = self._outer.asked or time.monotonic()
        return self._heard

    @asked.setter
    def asked(self, value: float | None) -> None:
        self._heard = value

    def request(self) -> None:
        """Ask once more."""
        self._own += 1


@contextlib.contextmanager
def living(folder: Path, name: str, kind: Kind = "run") -> Iterator[Life]:
    """Live in the store while the body runs.

    Args:
        folder: of the files of lives.
        name: a run's id, or what tells other work.
        kind: see `Trace`.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / _GATE):
            life = _begin(folder, name, kind)
    except OSError as cause:
        raise UnavailableError(unusable(folder.parent, cause)) from cause
    try:
        yield life
    finally:
        _end(folder, life)


def _begin(folder: Path, name: str, kind: Kind) -> Life:
    """Make the file of a life beside its name, lock it, and only then let it be seen; the gate is held."""
    if is_locked(folder / name):
        raise FileExistsError(errno.EEXIST, f"a run `{name}` goes on already", str(folder / name))
    _remove_unfinished(folder)
    ticket = 1 + max((trace.ticket for trace in _traces(folder)), default=0)
    unseen = folder / f".{ticket}.new"
    descriptor = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        started = os.fstat(descriptor).st_mtime
        trace = Trace(name, kind, ticket, owner(), os.getpid(), started, tempfile.gettempdir())
        first = {"version": _VERSION, **{key: getattr(trace, key) for key in _FIRST}}
        os.write(descriptor, (json.dumps(first) + "\n").encode())
        (folder / f"{name}{_CANCEL}").unlink(missing_ok=True)
        unseen.rename(folder / name)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            unseen.unlink()
        raise
    return Life(folder, trace, descriptor)


_FIRST = ("name", "kind", "ticket", "owner", "pid", "started", "temporary")


def _end(folder: Path, life: Life) -> None:
    """Remove the file of a life, then let its lock go; whatever is wrong with the disk, the lock goes."""
    try:
        with exclusive(folder / _GATE):
            (folder / life.name).unlink(missing_ok=True)
            (folder / f"{life.name}{_CANCEL}").unlink(missing_ok=True)
    except OSError:
        pass  # it is found dead, and removed, by the next run
    finally:
        # A child that was forked holds the same lock: it is dropped for all.
        with contextlib.suppress(OSError):
            fcntl.flock(life._descriptor, fcntl.LOCK_UN)
            os.close(life._descriptor)


def is_alive(folder: Path, name: str) -> bool:
    """Return whether a life of this name goes on; where nobody can tell, it does."""
    try:
        return is_locked(folder / name)
    except OSError:
        return True


def lives(folder: Path) -> list[Trace]:
    """Return the lives that go on, in the order in which they came."""
    found = [trace for trace in _traces(folder) if is_alive(folder, trace.name)]
    return sorted(found, key=lambda trace: trace.ticket)


def ask_to_stop(folder: Path, name: str) -> bool:
    """Ask a life to stop, once more; return whether it goes on.

    Raises:
        UnavailableError: the folder cannot be written.
    """
    try:
        with exclusive(folder / _GATE):
            if not is_alive(folder, name):
                return False
            with (folder / f"{name}{_CANCEL}").open("ab") as file:
                file.write(b"!")
    except OSError as cause:
        raise UnavailableError(unusable(folder.parent, cause)) from cause
    return True


@contextlib.contextmanager
def taken_over(folder: Path, trace: Trace) -> Iterator[bool]:
    """Hold the lock of a life that is dead; its file is removed when the body ends well. Yields whether it is held."""
    try:
        file = (folder / trace.name).open("r+b")
    except OSError:
        yield False
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
        with exclusive(folder / _GATE):
            (folder / trace.name).unlink(missing_ok=True)
            (folder / f"{trace.name}{_CANCEL}").unlink(missing_ok=True)


def dead(folder: Path) -> list[Trace]:
    """Return the lives whose process is dead and which nobody has taken over."""
    return [trace for trace in _traces(folder) if not is_alive(folder, trace.name)]


def gate(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the gate: no life begins or ends while the body runs."""
    return exclusive(folder / _GATE)


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".") and not name.endswith(_CANCEL)]
    except OSError:
        return []


def _remove_unfinished(folder: Path) -> None:
    """Remove what a process left that died while it held the gate, which we hold now."""
    for name in os.listdir(folder):
        if (name.startswith(".") and name.endswith(".new")) or (
            name.endswith(_CANCEL) and not (folder / name.removesuffix(_CANCEL)).exists()
        ):
            (folder / name).unlink(missing_ok=True)


def _traces(folder: Path) -> list[Trace]:
    return [trace for name in _names(folder) if (trace := _read(folder / name)) is not None]


def _read(path: Path) -> Trace | None:
    """Return what a file says; of one that cannot be understood, at least its name."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    first: dict[str, Any] = {}
    slot: int | None = None
    links: list[str] = []
    for line in data.splitlines(keepends=True):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            if "ticket" in said:
                first = {key: said[key] for key in _FIRST}
            elif "slot" in said:
                slot = int(said["slot"])
            elif "link" in said:
                links.append(str(said["link"]))
    first = first or {"kind": "work", "ticket": 0, "owner": "", "pid": 0, "started": 0.0, "temporary": ""}
    return Trace(**{**first, "name": path.name, "slot": slot, "links": tuple(links)})


def unusable(path: Path, cause: OSError) -> Any:
    """Return the diagnostic for a store that cannot be written, with what to do about it."""
    hint = "Set `KANOE_HOME` to a folder that you can write"
    message = f"Kanoe's folder cannot be used: {cause.strerror or cause}"
    if cause.errno in (errno.ENOSPC, errno.EDQUOT):
        message, hint = "the disk is full", "Free some space (`kanoe store clean`), or set `KANOE_HOME` to another disk"
    elif cause.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        message = f"Kanoe's folder cannot be written: {cause.strerror}"
    return error("store-unusable", message, place=str(path), hint=hint)
