"""What the kernel tells of processes: memory, CPU time and threads, read from `/proc`."""

from __future__ import annotations

import contextlib
import os
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


def private_memory(pids: Iterable[int]) -> int:
    """Return the bytes that processes hold and that no file on disk holds, swapped out or not; what several share counts for each."""
    return sum(_sum_fields(f"/proc/{pid}/status", (b"RssAnon:", b"RssShmem:", b"VmSwap:")) for pid in pids)


def proportional_memory(pids: Iterable[int]) -> int:
    """Return the same with every shared page counted once; about 10 ms for each gigabyte."""
    return sum(_sum_fields(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon:", b"Pss_Shmem:", b"SwapPss:")) for pid in pids)


def peak_resident(pids: Iterable[int]) -> int:
    """Return the most bytes that any one of the processes had in memory since its peak was forgotten."""
    return max((_sum_fields(f"/proc/{pid}/status", (b"VmHWM:",)) for pid in pids), default=0)


def forget_peaks(pids: Iterable[int]) -> None:
    """Let the peaks of the processes begin anew: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html."""
    for pid in pids:
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_bytes(b"5")


def available_memory() -> int:
    """Return the bytes that programs of this machine can still have without swapping."""
    return _sum_fields("/proc/meminfo", (b"MemAvailable:",))


def _sum_fields(path: str, names: tuple[bytes, ...]) -> int:
    try:
        text = _read(path)
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(names)) * _KILOBYTE


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 16384)
    finally:
        os.close(descriptor)
