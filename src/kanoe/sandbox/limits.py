"""How much of the machine a program may take, as data, and how that is set on a process from outside.

RLIMIT_AS is never set: TensorFlow, CUDA and Go reserve far more addresses than they touch, and die of it.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, error, info
from kanoe.base.errors import InputError
from kanoe.base.sizes import show_size

_MEBIBYTE = 1 << 20
_GIBIBYTE = 1 << 30
# What is reserved and never touched counts for RLIMIT_DATA too: malloc's arenas, the stacks of threads.
_SLACK = _GIBIBYTE
_SHARE_OF_MACHINE = 0.9
# Less than a kernel itself takes.
_LEAST_MEMORY = 64 * _MEBIBYTE
# What BLAS, OpenMP, numexpr and the like ask to learn how many threads to start.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "PYTHON_CPU_COUNT",
    "LOKY_MAX_CPU_COUNT",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def count_cpus(most: int | None = None) -> int:
    """Return how many CPUs this process may use, or `most` where that is fewer."""
    count = len(os.sched_getaffinity(0))
    return count if most is None else min(count, most)


def _usual_processes() -> int:
    return 1024 + 128 * count_cpus()


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What a program and everything it starts may take together.

    Args:
        memory: bytes; `None`: nine tenths of the machine's, so that no program makes the machine suffer.
        cpus: how many CPUs; `None`: all that this process may use.
        disk: bytes of the working folder, and of each file anywhere; `None`: what the file system has.
        processes: how many processes and threads at once; else a thousand, and as many more as libraries start on many CPUs.
        open_files: how many open files each process may have.
        place: a number for the program among those that go on, so that several of few CPUs do not sit on the same ones;
            `None`: any.
    """

    memory: int | None = None
    cpus: int | None = None
    disk: int | None = None
    processes: int = field(default_factory=_usual_processes)
    open_files: int = 65_536
    place: int | None = None

    @property
    def memory_bytes(self) -> int:
        """The bytes that hold: those given, but never more than nine tenths of the machine's."""
        most = int(machine_memory() * _SHARE_OF_MACHINE)
        return most if self.memory is None else min(self.memory, most)

    def variables(self) -> dict[str, str]:
        """Return environment variables that tell numerical libraries to start no more threads than there are CPUs for them."""
        if self.cpus is None:
            return {}
        return dict.fromkeys(_THREAD_VARIABLES, str(count_cpus(self.cpus)))

    def apply(self, pid: int) -> None:
        """Set on a process what the kernel itself can hold; what it starts inherits it.

        Where the host forbids a part, the part is left out: the watcher counts memory, processes and disk besides.

        Args:
            pid: the process, before it runs the program; a process of this user.
        """
        for number, value in self._kernel_limits(counts_alone=_counts_alone(pid)):
            with contextlib.suppress(PermissionError, ProcessLookupError, ValueError):
                _, hard = resource.prlimit(pid, number)
                bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.prlimit(pid, number, (bound, bound))
        if self.cpus is not None:
            with contextlib.suppress(PermissionError, ProcessLookupError, OSError):
                os.sched_setaffinity(pid, allowed_cpus(self.cpus, self.place))

    def _kernel_limits(self, *, counts_alone: bool) -> list[tuple[int, int]]:
        found = [
            (resource.RLIMIT_DATA, self.memory_bytes + _SLACK),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_CORE, 0),
        ]
        if self.disk is not None:
            found.append((resource.RLIMIT_FSIZE, self.disk))
        if counts_alone:
            found.append((resource.RLIMIT_NPROC, self.processes))
        return found


def _counts_alone(pid: int) -> bool:
    """Whether the kernel counts the processes of this one's user apart from all others of that user: in a user namespace of its own.

    So it is since Linux 5.14; before, and elsewhere, RLIMIT_NPROC counts what the user runs besides.
    """
    try:
        own, other = Path("/proc/self/ns/user").stat(), Path(f"/proc/{pid}/ns/user").stat()
    except OSError:
        return False
    version = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    return own.st_ino != other.st_ino and version >= (5, 14)


KAGGLE_LIMITS = ResourceLimits(memory=30 * _GIBIBYTE, cpus=4, disk=20 * _GIBIBYTE)
KAGGLE_SECONDS = 12 * 3600.0


def chosen_limits(
    memory: int | None = None, cpus: int | None = None, disk: int | None = None, *, kaggle: bool = False
) -> ResourceLimits:
    """Return the limits that a user asks for: what is given, else Kaggle's where those are wanted, else the machine's.

    Raises:
        InputError: `option-value`: a number is not positive, or too small to run anything.
    """
    for option, value, least in (("--memory", memory, _LEAST_MEMORY), ("--cpus", cpus, 1), ("--disk", disk, 1)):
        if value is not None and value < least:
            shown = (value, least) if option == "--cpus" else (show_size(value), show_size(least))
            text = f"`{option}` is {shown[0]}, and must be at least {shown[1]}"
            raise InputError(error("option-value", text, place=option, hint="Give more, or leave it out"))
    base = KAGGLE_LIMITS if kaggle else ResourceLimits()
    return ResourceLimits(
        memory=base.memory if memory is None else memory,
        cpus=base.cpus if cpus is None else cpus,
        disk=base.disk if disk is None else disk,
    )


def lower_limits(limits: ResourceLimits) -> tuple[Diagnostic, ...]:
    """Return a remark for each limit that is more than the machine has."""
    found = []
    if limits.cpus is not None and limits.cpus > (count := count_cpus()):
        text = f"the run gets {count} CPU{'s' * (count > 1)}, all that this machine gives it, and not {limits.cpus}"
        found.append(info("limit-lower", text, place="--cpus"))
    if limits.memory is not None and limits.memory > limits.memory_bytes:
        text = (
            f"the run gets {show_size(limits.memory_bytes)} of memory, nine tenths of this machine's, "
            f"and not {show_size(limits.memory)}"
        )
        found.append(info("limit-lower", text, place="--memory"))
    return tuple(found)


def allowed_cpus(count: int, place: int | None = None) -> Sequence[int]:
    """Return that many of the CPUs that this process may use, or all of them where there are fewer: others for the next place."""
    cpus = sorted(os.sched_getaffinity(0))
    first = random.randrange(len(cpus)) if place is None else place * count  # noqa: S311 - to spread load
    return [cpus[(first + position) % len(cpus)] for position in range(min(count, len(cpus)))]


def machine_memory(process: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes of memory that this process can have: the machine's, or the least of its control groups' limits.

    Args:
        process: where the kernel tells of memory and of this process.
        groups: where control groups are mounted.
    """
    found = [line for line in (process / "meminfo").read_text().splitlines() if line.startswith("MemTotal:")]
    least = int(found[0].split()[1]) * 1024
    for line in _group_limits(process, groups):
        with contextlib.suppress(OSError, ValueError):
            least = min(least, int(line.read_text()))
    return least


def _group_limits(process: Path, groups: Path) -> list[Path]:
    """Return the files that may hold a limit of memory for this process: of its groups and all above them."""
    files: list[Path] = []
    with contextlib.suppress(OSError, ValueError):
        for line in (process / "self" / "cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0" and not controllers:
                roots, name = [groups, groups / "unified"], "memory.max"
            elif "memory" in controllers.split(","):
                roots, name = [groups / "memory", groups / controllers], "memory.limit_in_bytes"
            else:
                continue
            for root in roots:
                place = Path(os.path.normpath(f"{root}/{path}"))
                files += [folder / name for folder in (place, *place.parents) if folder.is_relative_to(root)]
    return files
