"""What a sandbox may use: memory, CPUs, disk, processes, open files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """The most that all processes of a sandbox together may use; `None`: what the machine has.

    Args:
        memory: bytes of memory.
        cpus: CPUs.
        disk: bytes of the working folder.
        processes: processes and threads.
        open_files: open files of one process.
    """

    memory: int | None = None
    cpus: int | None = None
    disk: int | None = None
    processes: int = 4096
    open_files: int = 65536
