"""A thread that looks at a running program again and again, ends it at its limits, and knows what it used.

It holds what no kernel limit holds: the memory of all processes together (every shared page once), their number, the bytes of the
working folder; and the host itself, whose disk and memory no program may exhaust.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from kanoe.sandbox.confine import Confined
from kanoe.sandbox.control_groups import ControlGroup, make_group
from kanoe.sandbox.folder_size import FolderSize, free_bytes
from kanoe.sandbox.layout import Folders, Layout
from kanoe.sandbox.limits import ResourceLimits, machine_memory
from kanoe.sandbox.process import Lifeline, SandboxProcess
from kanoe.sandbox.process_numbers import (
    Held,
    Numbers,
    available_memory,
    exact_memory,
    forget_peaks,
    peak_resident,
    read_numbers,
    shared_files,
    upper_memory,
)

_NEAR = 0.9
# Below this part of the limit the cheap upper bound is enough.
_CHEAP = 0.7
_LONGEST_PAUSE = 0.2
_SHORTEST_PAUSE = 0.02
_PATIENCE = 1.0
_LONGEST_MEASURE = 1.0
# No program was seen to touch new memory faster, in bytes a second.
_FASTEST = 8 << 30
# The parts of the time that measuring may take: of memory far from a limit and near it, of the working folder likewise.
_MEMORY_SHARES = (0.02, 0.2)
_DISK_SHARES = (0.02, 0.25)
_NOTICEABLE = 64 << 10
_FIRST_WALK_SECONDS = 0.2
_LAST_WALK_SECONDS = 0.02
_QUIET_SECONDS = 10.0
_MACHINE_DISK = 512 << 20
_MACHINE_MEMORY_SHARE = 0.03
# Of the machine's memory, for what this process holds of a program's output.
_OWN_MEMORY_SHARE = 0.25
_GUILTY_SHARE = 0.1
_MOST_PEAKS = 32
_FEW = 64
_FULL = 0.95
_FULL_SECONDS = 2.0

LimitName = Literal["memory", "disk", "processes", "machine-memory", "machine-disk", "output"]


class Watched(Protocol):
    """A running program: `SandboxProcess`."""

    def pids(self) -> list[int]:
        """Return the host's numbers of all its processes."""

    def kill(self) -> None:
        """End them all."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How near a program came to a limit: which, what was seen, where it ends, and whether that is the end anyway."""

    limit: LimitName
    seen: int
    bound: int
    final: bool = False


@dataclass(slots=True)
class Peaks:
    """The most that was seen since a moment.

    Args:
        memory: bytes of all processes together.
        cpu: CPU seconds used since then.
        disk: bytes that the working folder grew by.
        tasks: processes and threads.
        shared: which part of its own `/dev/shm` was full, from 0 to 1; `None` where it has none of its own.
    """

    memory: int = 0
    cpu: float = 0.0
    disk: int = 0
    tasks: int = 0
    shared: float | None = None


@dataclass(slots=True)
class _Exact:
    """The last exact measure of memory, what the upper bound was then, when that was, and the seconds it took."""

    held: Held = field(default_factory=Held)
    upper: Held = field(default_factory=Held)
    at: float = float("-inf")
    cost: float = 0.0


class Watcher:
    """Watches one program until `close`.

    Args:
        process: the program.
        limits: what it may take.
        folders: where it writes.
        group: the control group that it is in; removed by `close`.
    """

    def __init__(
        self, process: Watched, limits: ResourceLimits, folders: Folders, group: ControlGroup | None = None
    ) -> None:
        self.reached: Mark | None = None
        self._process = process
        self._group = group
        self._limits = limits
        self._memory_bound = limits.memory_bytes
        self._machine = machine_memory()
        self._own = _own_memory()
        self._disk = _Disk(folders, limits.disk)
        self._exact = _Exact()
        self._measuring: threading.Thread | None = None
        self._peaks = Peaks()
        self._held = 0
        self._cpu = self._cpu_before = 0.0
        self._near: dict[LimitName, Mark] = {}
        self._told: set[LimitName] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._pause = _SHORTEST_PAUSE
        self._full_since = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="kanoe-watch", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Let what counts for a task begin now: peaks, and which warnings were given."""
        with self._lock:
            self._peaks = Peaks(memory=self._held)
            self._cpu_before = self._cpu
            self._disk.begin()
            self._near, self._told = {}, set()
            with contextlib.suppress(OSError, ValueError):
                forget_peaks(self._pids()[:_MOST_PEAKS])

    def peaks(self) -> Peaks:
        """Look once more and return what was seen since `begin`."""
        with self._lock:
            if self.reached is None:
                with contextlib.suppress(OSError, ValueError):
                    pids = self._pids()
                    self._look(pids)
                    self._peaks.memory = max(self._peaks.memory, peak_resident(pids[:_MOST_PEAKS]))
                self._disk.finish()
            self._peaks.cpu = max(0.0, self._cpu - self._cpu_before)
            self._peaks.disk = self._disk.grown
            return self._peaks

    def warnings(self) -> list[Mark]:
        """Return the limits that the program came near to, each once for a task."""
        with self._lock:
            found = [mark for mark in self._near.values() if mark.limit not in self._told]
            self._told.update(mark.limit for mark in found)
            return found

    def end(self, mark: Mark) -> None:
        """Let the program end, for a limit that somebody else watches."""
        if self.reached is None:
            self.reached = mark

    def close(self) -> None:
        """Stop watching; the program is left alone, but for what is still in its control group."""
        self._closed.set()
        self._thread.join()
        if self._group is not None:
            self._group.remove()
            self._group = None

    def _pids(self) -> list[int]:
        pids = self._process.pids()
        # What left the tree of processes is still in the group.
        return pids if self._group is None else list(dict.fromkeys((*pids, *self._group.pids())))

    def _watch(self) -> None:
        while self.reached is None and not self._closed.wait(self._pause):
            with self._lock, contextlib.suppress(OSError, ValueError):
                started = time.thread_time()
                self._judge(self._look(self._pids()))
                # A look must not eat the machine, however many processes there are; what counts is its own work, not how
                # long a busy machine let it wait.
                self._pause = min(_PATIENCE, max(self._pause, 5 * (time.thread_time() - started)))
        if self.reached is not None:
            if self._group is not None:
                self._group.close_door()
            self._process.kill()

    def _look(self, pids: list[int]) -> list[Mark]:
        """Measure, and return where the program stands."""
        numbers = read_numbers(pids)
        self._cpu = max(self._cpu, numbers.cpu)
        self._peaks.tasks = max(self._peaks.tasks, numbers.tasks)
        # What forks all the time holds the locks that measuring needs; it is ended for its number soon.
        full = numbers.tasks >= self._limits.processes * _FULL
        memory = self._peaks.memory if full else self._memory(pids, numbers)
        self._peaks.memory = max(self._peaks.memory, memory)
        self._pause = min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, (self._memory_bound - memory) / _FASTEST))
        marks = [
            Mark("memory", memory, self._memory_bound),
            *self._count(numbers.tasks),
            *self._disk.look(),
        ]
        if self._group is not None and self._group.ended_for_memory():
            marks.insert(0, Mark("memory", self._memory_bound + 1, self._memory_bound))
        floor = int(self._machine * _MACHINE_MEMORY_SHARE)
        if memory >= self._machine * _GUILTY_SHARE and (free := available_memory()) < floor:
            marks.append(Mark("machine-memory", free, floor, final=True))
        if (own := _own_memory() - self._own) > (most := int(self._machine * _OWN_MEMORY_SHARE)):
            marks.append(Mark("output", own, most, final=True))
        return marks

    def _count(self, tasks: int) -> list[Mark]:
        """Return where the number of processes stands; where the kernel itself lets none over the limit, staying there ends it."""
        bound = self._limits.processes
        now = time.monotonic()
        if tasks < bound * _FULL:
            self._full_since = now
        if now - self._full_since > _FULL_SECONDS:
            return [Mark("processes", tasks, bound, final=True)]
        return [Mark("processes", tasks, bound)]

    def _judge(self, marks: Iterable[Mark]) -> None:
        for mark in marks:
            if mark.final or mark.seen > mark.bound:
                self.reached = mark
                return
            if mark.seen >= mark.bound * _NEAR:
                self._near[mark.limit] = mark

    def _memory(self, pids: list[int], numbers: Numbers) -> int:
        """Return the bytes that the program holds; files that it maps count only while that cannot matter."""
        in_files, room = shared_files(pids[-1]) if pids else (0, 0)
        if room:
            self._peaks.shared = max(self._peaks.shared or 0.0, in_files / room)
        near = numbers.resident + in_files > self._memory_bound * _CHEAP
        # The first process of a sandbox only reaps, and is small.
        if not near and numbers.processes <= 2:
            return numbers.resident
        held = upper_memory(pids)
        if numbers.processes > 1:
            held = self._exactly(pids, held, near=near)
        return held.own + max(held.shared, in_files)

    def _exactly(self, pids: list[int], upper: Held, *, near: bool) -> Held:
        """Return what the processes hold, shared pages counted once: measured as often as its cost allows, and in doubt at once.

        A fork doubles the upper bound and takes nothing, so that nothing is concluded from the bound but a doubt.
        """
        last = self._exact
        now = time.monotonic()
        grown = max(0, upper.own - last.upper.own) + max(0, upper.shared - last.upper.shared)
        doubtful = last.held.own + last.held.shared + grown > self._memory_bound * _NEAR
        few = len(pids) <= _FEW or near
        if (doubtful and grown) or (few and now - last.at >= last.cost / _MEMORY_SHARES[near]):
            if len(pids) <= _FEW:
                self._measure(pids, upper)
            elif self._measuring is None or not self._measuring.is_alive():
                # Processes that fork hold the locks that measuring needs; counting them must not wait for that.
                self._measuring = threading.Thread(target=self._measure, args=(pids, upper), daemon=True)
                self._measuring.start()
        return self._exact.held

    def _measure(self, pids: list[int], upper: Held) -> None:
        now, started = time.monotonic(), time.thread_time()
        held = exact_memory(pids, _LONGEST_MEASURE)
        self._exact = _Exact(held, upper, now, time.thread_time() - started)


def start_watched(
    confined: Confined,
    layout: Layout,
    output: IO[bytes] | None,
    *,
    stdin: IO[bytes] | int | None = subprocess.DEVNULL,
    lifeline: Lifeline | None = None,
) -> tuple[SandboxProcess, Watcher]:
    """Start a confined program under the limits of its layout; the watcher is to be closed when the program has ended.

    Args:
        confined: from `confine`.
        layout: what it was made from.
        output: where its stdout and stderr go, as for `SandboxProcess`; `stdin` and `lifeline` likewise.

    Raises:
        OSError: the program could not be started.
    """
    limits = layout.limits
    group = make_group(limits)

    def prepare(pid: int) -> None:
        if group is not None:
            group.add(pid)
        limits.apply(pid)

    try:
        process = SandboxProcess(confined, output, prepare=prepare, stdin=stdin, lifeline=lifeline)
    except BaseException:
        if group is not None:
            group.remove()
        raise
    return process, Watcher(process, limits, layout.folders, group)


def _own_memory() -> int:
    return read_numbers([os.getpid()]).resident


class _Disk:
    """The working folder's size and the room on the file systems that a program writes to."""

    def __init__(self, folders: Folders, limit: int | None) -> None:
        self.grown = 0
        self._limit = limit
        self._working = folders.working
        self._size = FolderSize(folders.working, marks=folders.staging)
        self._size.advance(_FIRST_WALK_SECONDS)
        places = {folder.stat().st_dev: folder for folder in (folders.runtime, folders.scratch, folders.working)}
        self._floors: dict[Path, int] = {
            folder: min(_MACHINE_DISK, free_bytes(folder) // 2) for folder in places.values()
        }
        self._free = free_bytes(folders.working)
        self._before = self._size.size
        self._last = self._ended = time.monotonic()
        self._walking = False
        self._cost = self._so_far = 0.0

    def begin(self) -> None:
        self.grown = 0
        self._before = self._size.size

    def look(self) -> list[Mark]:
        """Measure for a bounded time and return where the disk stands."""
        now = time.monotonic()
        free = free_bytes(self._working)
        if not self._walking and (abs(self._free - free) > _NOTICEABLE or now - self._ended > _QUIET_SECONDS):
            self._walking, self._free = True, free
        if self._walking:
            reckoned = self._size.size + max(0, self._free - free)
            near = self._limit is not None and reckoned > self._limit * _CHEAP
            self._advance(_DISK_SHARES[near] * (now - self._last))
        self._last = now
        marks = [
            Mark("machine-disk", room, floor, final=True)
            for folder, floor in self._floors.items()
            if (room := free_bytes(folder)) < floor
        ]
        return marks if self._limit is None else [*marks, Mark("disk", self._size.size, self._limit)]

    def finish(self) -> None:
        """Measure what a task wrote last, where that is quick or something was written for sure."""
        if self._cost < _LAST_WALK_SECONDS or abs(self._free - free_bytes(self._working)) > _NOTICEABLE:
            self._advance(_LAST_WALK_SECONDS)

    def _advance(self, seconds: float) -> None:
        started = time.monotonic()
        whole = self._size.advance(seconds)
        now = time.monotonic()
        self._so_far += now - started
        if whole:
            self._walking, self._ended = False, now
            self._cost, self._so_far = self._so_far, 0.0
        self.grown = max(self.grown, self._size.size - self._before)
