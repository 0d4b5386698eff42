"""What a person reads about limits: that one is near, that one was reached, and which option gives more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kanoe.base.diagnostics import Diagnostic, error, warning
from kanoe.base.sizes import larger_size, show_size
from kanoe.engine.events import LimitNear
from kanoe.sandbox.limits import ResourceLimits, machine_memory
from kanoe.sandbox.watch import Mark

_CODES = {
    "memory": "memory-limit",
    "machine-memory": "memory-limit",
    "disk": "disk-limit",
    "machine-disk": "disk-limit",
    "processes": "process-limit",
    "output": "output-limit",
}
# What programs say when the kernel gives them no more memory; a GPU's memory is another matter.
_NO_MEMORY = re.compile(
    r"unable to allocate|can(?:no|')t allocate memory|bad_alloc|not enough memory|out of memory|\[errno 12\]|"
    r"failed to allocate|memory allocation .*failed|realloc of size .*failed",
    re.IGNORECASE,
)
_OTHER_MEMORY = re.compile(r"cuda|hip out|mps backend|gpu", re.IGNORECASE)
_NO_MEMORY_ERRORS = ("MemoryError", "_ArrayMemoryError", "ArrayMemoryError", "ArrowMemoryError")
_NO_THREAD = ("can't start new thread", "Resource temporarily unavailable", "pthread_create")
_NO_ROOM = re.compile(
    r"\[errno (?:28|27|122)\]|no space left on device|file too large|disk quota exceeded", re.IGNORECASE
)
_NO_FILE = re.compile(r"\[errno (?:24|23)\]|too many open files", re.IGNORECASE)
_MANY = 0.8
_SIGNALS = {"SIGBUS": -7, "SIGXFSZ": -25, "SIGABRT": -6, "SIGKILL": -9}


def describe_limit(mark: Mark) -> str:
    """Return why a program was ended, in a clause: what was seen and where the limit is."""
    texts = {
        "memory": "it used {seen} of memory, and the limit is {bound}",
        "disk": "it left {seen} in the working folder, and the limit is {bound}",
        "machine-memory": "this machine has {seen} of memory left, and a run is ended below {bound}",
        "machine-disk": "this machine's disk has {seen} left, and a run is ended below {bound}",
        "output": "what it printed and displayed takes {seen}, and the limit is {bound}",
    }
    if mark.limit == "processes":
        return f"it had {mark.seen:,} processes and threads at once, and the limit is {mark.bound:,}"
    return texts[mark.limit].format(seen=show_size(mark.seen), bound=show_size(mark.bound))


def explain_limit(name: str, limit: Mapping[str, Any], limits: ResourceLimits, place: str) -> Diagnostic:
    """Return the diagnostic of a task that was ended at a limit.

    Args:
        name: of the task, for people.
        limit: the `limit` of the task's details: `name`, `seen` and `bound`.
        limits: what the run was given.
        place: the cell.
    """
    mark = Mark(limit["name"], int(limit["seen"]), int(limit["bound"]))
    message = f"{name} was ended: {describe_limit(mark)}"
    return error(_CODES[mark.limit], message, place=place, hint=_hint(mark, limits))


def explain_near(near: LimitNear, limits: ResourceLimits, place: str) -> Diagnostic:
    """Return the warning for a task that came near a limit."""
    if near.limit in ("cell-timeout", "run-timeout"):
        what = "this cell" if near.limit == "cell-timeout" else "the run"
        digits = 0 if near.bound >= 60 else 1
        message = f"{what} has taken {near.seen:.{digits}f} of its {near.bound:g} seconds"
        hint = longer_hint(near.limit, near.bound)
        return warning("limit-near", message, place=place, hint=hint)
    seen, bound = int(near.seen), int(near.bound)
    share = f"{near.seen / near.bound:.0%}"
    amounts = f"{seen:,} of {bound:,}" if near.limit == "processes" else f"{show_size(seen)} of {show_size(bound)}"
    what = {"memory": "memory", "disk": "working folder", "processes": "processes and threads"}[near.limit]
    hint = _hint(Mark(near.limit, seen, bound), limits)  # type: ignore[arg-type]
    return warning("limit-near", f"{what}: {amounts} in use ({share} of the limit)", place=place, hint=hint)


def explain_refusal(name: str, details: Mapping[str, Any], limits: ResourceLimits, place: str) -> Diagnostic | None:
    """Return the diagnostic of a task that failed because the kernel gave it no more of something; `None` for another failure.

    Args:
        name: of the task, for people.
        details: of the task's end.
        limits: what the run was given.
        place: the cell.
    """
    used = details.get("used") or {}
    kind = _refused_at_death(details, used) if "died" in details else _refused(details.get("error") or {}, used, limits)
    if kind is None:
        return None
    said = _said(details)
    memory, bound = int(used.get("memory") or 0), limits.memory_bytes
    if kind == "memory":
        message = (
            f"{name} got no more memory{said}: it used {show_size(memory)} at most, and the limit is {show_size(bound)}"
        )
        return error("memory-limit", message, place=place, hint=_hint(Mark("memory", memory, bound), limits))
    if kind == "shared":
        message = f"{name} got no more shared memory{said}: `/dev/shm` holds a part of the memory, whose limit is {show_size(bound)}"
        return error("memory-limit", message, place=place, hint=_hint(Mark("memory", memory, bound), limits))
    if kind == "processes":
        count = int(used.get("processes") or 0)
        message = f"{name} could start no more processes or threads{said}: it had {count:,}, and the limit is {limits.processes:,}"
        mark = Mark("processes", count, limits.processes)
        return error("process-limit", message, place=place, hint=_hint(mark, limits))
    if kind == "files":
        message = f"{name} has too many open files{said}: the limit is {limits.open_files:,} for each process"
        return error(
            "file-limit", message, place=place, hint="Close files when they are read: `with open(...) as file:`"
        )
    if limits.disk is None:
        hint = "Make room on this machine's disk: `kanoe store size` shows what Kanoe holds"
        return error("disk-limit", f"{name} could write no more{said}: the disk is full", place=place, hint=hint)
    message = f"{name} could write no more{said}: the limit is {show_size(limits.disk)}, for each file too"
    return error("disk-limit", message, place=place, hint=_hint(Mark("disk", limits.disk, limits.disk), limits))


def _refused(problem: Mapping[str, Any], used: Mapping[str, Any], limits: ResourceLimits) -> str | None:
    """Return what an error says there was too little of."""
    ename, evalue = str(problem.get("ename", "")), str(problem.get("evalue", ""))
    if any(mark in evalue for mark in _NO_THREAD) and ename in ("RuntimeError", "BlockingIOError", "OSError", "error"):
        count = int(used.get("processes") or 0)
        if count >= limits.processes * _MANY:
            return "processes"
        # The stack of a thread is memory too.
        return "memory" if "thread" in evalue else None
    if _NO_FILE.search(evalue):
        return "files"
    if _NO_ROOM.search(evalue):
        return "shared" if float(used.get("shared") or 0) > _NEARLY_FULL else "disk"
    if ename in _NO_MEMORY_ERRORS or (_NO_MEMORY.search(evalue) and not _OTHER_MEMORY.search(f"{ename} {evalue}")):
        return "memory"
    return None


_NEARLY_FULL = 0.9


def _refused_at_death(details: Mapping[str, Any], used: Mapping[str, Any]) -> str | None:
    """Return what a process died for lack of, by its signal and last words."""
    status, said = details["died"], str(details.get("said", ""))
    if status == _SIGNALS["SIGXFSZ"]:
        return "disk"
    # It dies in the moment in which no page is left, mostly between two looks.
    if status == _SIGNALS["SIGBUS"] and used.get("shared") is not None:
        return "shared"
    if _NO_MEMORY.search(said) and not _OTHER_MEMORY.search(said):
        return "memory"
    return None


def _said(details: Mapping[str, Any]) -> str:
    problem = details.get("error") or {}
    text = ": ".join(part for part in (str(problem.get("ename", "")), str(problem.get("evalue", ""))) if part)
    text = text.splitlines()[0][:200] if text else ""
    return f" (`{text}`)" if text else ""


def _hint(mark: Mark, limits: ResourceLimits) -> str:
    """Return what to do for more of it."""
    if mark.limit == "machine-memory":
        return "End other programs, read less data at once, or run it on a larger machine"
    if mark.limit == "machine-disk":
        return (
            "Make room: `kanoe store size` shows what Kanoe holds, `kanoe store clean` removes what can be made again"
        )
    if mark.limit == "output":
        return "Print less, or write it to a file in the working folder; what came before is kept"
    if mark.limit == "processes":
        return "Start fewer at once: `n_jobs`, `max_workers`, or `--cpus N` for libraries that count the CPUs"
    if mark.limit == "disk":
        return f"Give it more room: `--disk {larger_size(max(mark.bound, mark.seen))}`; scratch belongs into `/kaggle/temp`"
    most = ResourceLimits().memory_bytes
    if limits.memory_bytes >= most:
        return (
            f"This machine gives a run at most {show_size(most)} of its {show_size(machine_memory())}: "
            "read less data at once (`usecols`, `dtype`, `chunksize`), or run it on a larger machine"
        )
    wanted = max(mark.bound, mark.seen)
    if wanted * 3 // 2 > most:
        return f"Give it all this machine can: leave `--memory` out ({show_size(most)}), or read less data at once"
    return f"Give it more: `--memory {larger_size(wanted)}`"


def longer_hint(code: str, seconds: float | None) -> str:
    """Return what to do for more time than a limit gave: its option with twice as much."""
    option = "--cell-timeout" if code == "cell-timeout" else "--timeout"
    return f"Give it more time: `{option} {_longer(seconds) if seconds else 'TIME'}`"


def _longer(seconds: float) -> str:
    """Return twice a time as the options take it: `90`, `30m`, `12h`."""
    doubled = 2 * seconds
    for unit, letter in ((3600, "h"), (60, "m")):
        if doubled >= unit:
            return f"{-(-doubled // unit):.0f}{letter}"
    return f"{doubled:g}"
