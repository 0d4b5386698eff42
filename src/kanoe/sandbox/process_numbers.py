"""What the kernel tells of processes: memory, CPU time and threads, read from `/proc`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_KILOBYTE = 1024


@dataclass(frozen=True, slots=True)
class Numbers:
    """What several processes use together.

    Args:
        resident: bytes in memory; pages that several share count for each, so it is an upper bound.
        cpu: CPU seconds since their start, with those of children that ended.
        tasks: processes and threads.
        processes: processes.
    """

    resident: int = 0
    cpu: float = 0.0
    tasks: int = 0
    processes: int = 0


def read_numbers(pids: Iterable[int]) -> Numbers:
    """Return what processes use now, by one small file for each; one that is gone meanwhile counts for nothing."""
    resident, ticks, tasks, processes = 0, 0, 0, 0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError):
            # After the name in parentheses: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from field 3 on.
            numbers = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
            ticks += sum(map(int, numbers[11:15]))
            if numbers[0] not in (b"Z", b"X"):
                resident += int(numbers[21]) * _PAGE
            tasks += max(1, int(numbers[17]))
            processes += 1
    return Numbers(resident, ticks / _TICKS, tasks, processes)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that processes hold and that no file on disk holds: their own (swapped out or not), and shared memory."""

    own: int = 0
    shared: int = 0


def upper_memory(pids: Iterable[int]) -> Held:
    """Return what processes hold, where pages that several share count for each: an upper bound, and exact for one process."""
    numbers = [_fields(f"/proc/{pid}/status", (b"RssAnon", b"VmSwap"), b"RssShmem") or (0, 0) for pid in pids]
    return Held(sum(own for own, _ in numbers), sum(shared for _, shared in numbers))


def exact_memory(pids: Iterable[int], seconds: float = float("inf")) -> Held:
    """Return what processes hold, every page counted once; it takes about 10 ms for each gigabyte.

    Args:
        pids: the processes.
        seconds: after these those that are left count for nothing; one that forks all the time lets everybody wait who measures it.
    """
    own, shared = 0, 0
    deadline = time.monotonic() + seconds
    for pid in pids:
        if time.monotonic() > deadline:
            break
        found = _fields(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon", b"SwapPss"), b"Pss_Shmem")
        if found is None:
            found = _fields(f"/proc/{pid}/status", (b"RssAnon", b"VmSwap"), b"RssShmem") or (0, 0)
        own, shared = own + found[0], shared + found[1]
    return Held(own, shared)


def shared_files(pid: int) -> tuple[int, int]:
    """Return the bytes that lie in the `/dev/shm` that a process sees, and its size; zeros where that is the host's own."""
    try:
        place = Path(f"/proc/{pid}/root/dev/shm")
        if place.stat().st_dev == Path("/dev/shm").stat().st_dev:  # noqa: S108 - only looked at
            return 0, 0
        facts = os.statvfs(place)
    except OSError:
        return 0, 0
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_blocks * facts.f_frsize


def peak_resident(pids: Iterable[int]) -> int:
    """Return the most bytes that any one of the processes had in memory since its peak was forgotten."""
    found = (_fields(f"/proc/{pid}/status", (b"VmHWM",)) for pid in pids)
    return max((numbers[0] for numbers in found if numbers is not None), default=0)


def forget_peaks(pids: Iterable[int]) -> None:
    """Let the peaks of the processes begin anew: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html."""
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_bytes(b"5")


def available_memory() -> int:
    """Return the bytes that programs of this machine can still have without swapping."""
    found = _fields("/proc/meminfo", (b"MemAvailable",))
    return found[0] if found is not None else 0


def _fields(path: str, names: tuple[bytes, ...], other: bytes = b"") -> tuple[int, int] | None:
    """Return the sum of the named fields, and another one, in bytes; `None` where the file cannot be read."""
    try:
        lines = [line.partition(b":") for line in _read(path).splitlines()]
        first = sum(int(value.split()[0]) for name, _, value in lines if name in names)
        second = sum(int(value.split()[0]) for name, _, value in lines if name == other)
    except (OSError, ValueError, IndexError):
        return None
    return first * _KILOBYTE, second * _KILOBYTE


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 16384)
    finally:
        os.close(descriptor)
