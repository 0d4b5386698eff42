"""What a person reads below an error: what to do next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kanoe.back.failures import Circumstances, explain_failure
from kanoe.engine.events import TaskEnded, TaskState
from kanoe.engine.runner import Task
from kanoe.sandbox.limits import ResourceLimits

SANDBOX = Circumstances("x.ipynb", internet=False, sandboxed=True)


@pytest.mark.parametrize(
    ("ename", "evalue", "hint"),
    [
        (
            "OSError",
            "libgomp.so.1: cannot open shared object file: No such file or directory",
            "`apt install libgomp1`",
        ),
        (
            "ImportError",
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "`apt install libgl1`",
        ),
        (
            "ImportError",
            "libtk8.6.so: cannot open shared object file: No such file or directory",
            "`apt install libtk8.6`",
        ),
        ("ImportError", "libodd-2.so.0: cannot open shared object file", "`libodd-2.so.0` is not on this machine"),
        ("ModuleNotFoundError", "No module named 'toyz'", "`--with toyz`"),
        ("ModuleNotFoundError", "No module named 'sklearn.gone'", "its version differs"),
        ("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>", "`--internet`"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '../input/x.csv'", "`--input PATH:SLUG`"),
        ("StdinNotImplementedError", "raw_input was called", "`parameters`"),
    ],
)
def test_the_hint_of_an_error(ename: str, evalue: str, hint: str) -> None:
    task = Task("t", "cell 3", 3, "code")
    problem = {"ename": ename, "evalue": evalue, "line": 2}
    ended = TaskEnded(
        task="t", state=TaskState.FAILED, seconds=1.0, reason=f"{ename}: {evalue}", details={"error": problem}
    )
    found = explain_failure(task, ended, SANDBOX)
    assert (found.code, found.place) == ("cell-failed", "x.ipynb cell 3 line 2")
    assert hint in (found.hint or "")


LIMITS = ResourceLimits(memory=1 << 30, disk=1 << 20, processes=100)


@pytest.mark.parametrize(
    ("ename", "evalue", "used", "code"),
    [
        ("MemoryError", "", {}, "memory-limit"),
        ("_ArrayMemoryError", "Unable to allocate 7.45 GiB for an array with shape (1,)", {}, "memory-limit"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:83] DefaultCPUAllocator: can't allocate memory",
            {},
            "memory-limit",
        ),
        ("RuntimeError", "std::bad_alloc", {}, "memory-limit"),
        ("XGBoostError", "std::bad_alloc: out of memory", {}, "memory-limit"),
        ("OSError", "[Errno 12] Cannot allocate memory", {}, "memory-limit"),
        ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB", {}, "cell-failed"),
        ("RuntimeError", "can't start new thread", {"processes": 95}, "process-limit"),
        ("RuntimeError", "can't start new thread", {"processes": 12}, "memory-limit"),
        ("BlockingIOError", "[Errno 11] Resource temporarily unavailable", {"processes": 99}, "process-limit"),
        ("BlockingIOError", "[Errno 11] Resource temporarily unavailable", {"processes": 9}, "cell-failed"),
        ("OSError", "[Errno 28] No space left on device", {}, "disk-limit"),
        ("OSError", "[Errno 28] No space left on device: '/dev/shm/x'", {"shared": 0.99}, "memory-limit"),
        ("OSError", "[Errno 27] File too large", {}, "disk-limit"),
        ("OSError", "[Errno 24] Too many open files: 'x'", {}, "file-limit"),
        ("ValueError", "the memory of things past", {}, "cell-failed"),
        ("KeyError", "'memory'", {}, "cell-failed"),
    ],
)
def test_an_error_for_lack_of_something_names_the_limit(
    ename: str, evalue: str, used: dict[str, float], code: str
) -> None:
    details = {"error": {"ename": ename, "evalue": evalue, "line": 2}, "used": used}
    ended = TaskEnded(task="t", state=TaskState.FAILED, seconds=1.0, reason=f"{ename}: {evalue}", details=details)
    found = explain_failure(Task("t", "cell 3", 3, "code"), ended, replace(SANDBOX, limits=LIMITS))
    assert (found.code, found.place) == (code, "x.ipynb cell 3 line 2")
    if code != "cell-failed":
        assert "the limit is" in found.message or "whose limit is" in found.message
        assert found.hint


@pytest.mark.parametrize(
    ("status", "said", "used", "code"),
    [
        (-7, "Fatal Python error: Bus error", {"shared": 0.2}, "memory-limit"),
        (-7, "Fatal Python error: Bus error", {"shared": None}, "kernel-died"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", {}, "memory-limit"),
        (-6, "Fatal Python error: Aborted", {}, "kernel-died"),
        (-25, "", {}, "disk-limit"),
        (-9, "", {}, "kernel-died"),
    ],
)
def test_a_death_for_lack_of_something_names_the_limit(
    status: int, said: str, used: dict[str, float], code: str
) -> None:
    details = {"fatal": True, "died": status, "said": said, "used": used}
    ended = TaskEnded(task="t", state=TaskState.FAILED, seconds=1.0, reason="it ended", details=details)
    found = explain_failure(Task("t", "cell 3", 3, "code"), ended, replace(SANDBOX, limits=LIMITS))
    assert found.code == code


@pytest.mark.parametrize(
    ("limit", "given", "hint"),
    [
        ({"name": "memory", "seen": 1100 << 20, "bound": 1 << 30}, LIMITS, "`--memory 1650m`"),
        ({"name": "memory", "seen": 1 << 50, "bound": 1 << 50}, ResourceLimits(), "This machine gives a run at most"),
        ({"name": "disk", "seen": 3 << 20, "bound": 2 << 20}, LIMITS, "`--disk "),
        ({"name": "processes", "seen": 101, "bound": 100}, LIMITS, "`n_jobs`"),
        ({"name": "machine-memory", "seen": 1, "bound": 2}, LIMITS, "larger machine"),
        ({"name": "machine-disk", "seen": 1, "bound": 2}, LIMITS, "`kanoe store"),
    ],
)
def test_a_limit_that_was_reached_says_what_to_do(limit: dict[str, Any], given: ResourceLimits, hint: str) -> None:
    ended = TaskEnded(task="t", state=TaskState.FAILED, seconds=1.0, details={"died": -9, "limit": limit})
    found = explain_failure(Task("t", "cell 3", 3, "code"), ended, replace(SANDBOX, limits=given))
    assert found.message.startswith("cell 3 was ended: ")
    assert found.place == "x.ipynb cell 3"
    assert hint in (found.hint or "")
