"""Control groups: the kernel's own count of what a program and everything it started take, where this user may make one.

Version 2 (https://docs.kernel.org/admin-guide/cgroup-v2.html) where a part of the tree is delegated; version 1 where its memory
and pids trees can be written. Elsewhere there is none, and the watcher alone counts. A group also holds what left the tree of
processes, so that nothing is left behind without a sandbox.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.processes import process_alive
from kanoe.sandbox.limits import ResourceLimits, count_cpus

_PREFIX = "kanoe"
_ROOT = Path("/sys/fs/cgroup")
_KILL_SECONDS = 2.0
# The page cache counts too, and the kernel takes it back before it kills; this is for what it cannot take back at once.
_SLACK_SHARE = 0.1
_SLACK = 256 << 20
# What each thread outside has in version 1; in version 2 groups share alike by themselves.
_CPU_SHARES = 1024
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """One group: a folder in each tree of control groups that counts something."""

    folders: tuple[Path, ...]

    def add(self, pid: int) -> None:
        """Put a process in, and with it all it will start; where that is forbidden, nothing happens."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> set[int]:
        """Return the processes that are in it."""
        found: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        return found

    def ended_for_memory(self) -> bool:
        """Whether the kernel ended one of its processes because the group had no more memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError, ValueError):
                    lines = (folder / name).read_text().splitlines()
                    if any(line.startswith("oom_kill ") and int(line.split()[1]) > 0 for line in lines):
                        return True
        return False

    def close_door(self) -> None:
        """Let nothing in it start another process: what is being ended cannot outrun that."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                if (folder / "pids.max").exists():
                    (folder / "pids.max").write_text("0")

    def remove(self) -> None:
        """End what is left in it, and take it away."""
        self.close_door()
        deadline = time.monotonic() + _KILL_SECONDS
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_group(limits: ResourceLimits, process: Path = Path("/proc/self"), root: Path = _ROOT) -> ControlGroup | None:
    """Return a new group with these limits, or `None` where this user may not make one.

    Args:
        limits: of memory, where one is given, and of processes.
        process: where the kernel tells of this process.
        root: where control groups are mounted.
    """
    remove_left_groups(process, root)
    # A program's share of a busy machine is that of one busy thread for each of its CPUs, however many processes it starts.
    settings = {"pids.max": str(limits.processes), "cpu.shares": str(_CPU_SHARES * count_cpus(limits.cpus))}
    if limits.memory is not None:
        bytes_ = str(int(limits.memory_bytes * (1 + _SLACK_SHARE)) + _SLACK)
        settings |= {"memory.max": bytes_, "memory.limit_in_bytes": bytes_, "memory.oom.group": "1"}
    name = f"{_PREFIX}-{_namespace(process)}-{os.getpid()}-{next(_numbers)}"
    made = []
    for parent in _parents(process, root):
        folder = parent / name
        with contextlib.suppress(OSError):
            folder.mkdir()
            if _set(folder, settings):
                made.append(folder)
            else:
                folder.rmdir()
    return ControlGroup(tuple(made)) if made else None


def remove_left_groups(process: Path = Path("/proc/self"), root: Path = _ROOT) -> None:
    """Take away the groups of every Kanoe that is gone, and end what is left in them."""
    beginning = f"{_PREFIX}-{_namespace(process)}-"
    for parent in _parents(process, root):
        for folder in parent.glob(f"{beginning}*"):
            owner = folder.name.removeprefix(beginning).partition("-")[0]
            # Another user's can neither be ended nor removed; waiting for that would be in vain.
            if owner.isdigit() and os.access(folder, os.W_OK) and not process_alive(int(owner)):
                ControlGroup((folder,)).remove()


def _set(folder: Path, settings: dict[str, str]) -> bool:
    """Write what the folder has files for; return whether there was any."""
    done = False
    for name, value in settings.items():
        if (folder / name).exists():
            (folder / name).write_text(value)
            done = True
    return done


def _namespace(process: Path) -> int:
    """Return which process namespace a process number in a group's name belongs to: containers may share the tree."""
    try:
        return (process / "ns" / "pid").stat().st_ino
    except OSError:
        return 0


def _parents(process: Path, root: Path) -> Iterator[Path]:
    """Yield the folders below which a group can be made: the nearest of each tree."""
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            yield from _delegated(root, path)
        for controller in sorted({"memory", "pids", "cpu"} & set(controllers.split(","))):
            tree = root / controllers if (root / controllers).is_dir() else root / controller
            place = tree / path.lstrip("/")
            # In a container the path may be that of the host, while only its own part is mounted.
            yield place if place.is_dir() else tree


def _delegated(root: Path, path: str) -> Iterator[Path]:
    """Yield the nearest folder of version 2 that gives its children memory or pids to count, and that this user may write."""
    place = root / path.lstrip("/")
    for folder in (place, *place.parents):
        if not folder.is_relative_to(root):
            return
        with contextlib.suppress(OSError):
            given = (folder / "cgroup.subtree_control").read_text().split()
            if {"memory", "pids"} & set(given) and os.access(folder, os.W_OK):
                yield folder
                return
