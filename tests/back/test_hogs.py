"""Cells that take too much: each run ends at its limit, says which, and what came before is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kanoe.back.failures import Circumstances, explain_failure, explain_limit_near
from kanoe.base.diagnostics import Diagnostic
from kanoe.engine.events import LimitNear, TaskEnded, TaskState
from kanoe.engine.run import Limits
from kanoe.engine.runner import Task
from kanoe.sandbox.confine import Tool, choose_tool
from kanoe.sandbox.limits import ResourceLimits
from worlds import Executed, execute, session_plan

MEBIBYTE = 1 << 20
TOOLS = [tool for tool in (choose_tool("bubblewrap"), choose_tool("namespaces")) if tool.kind != "none"] + [
    Tool("none")
]
HOGS = {
    "one-array": "a = bytearray(b'x') * (700 << 20)",
    "slowly": "import time\nkept = []\nfor _ in range(400):\n    kept.append(bytearray(b'x') * (4 << 20))\n    time.sleep(0.002)",
    "children": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        kept = bytearray(b'x') * (60 << 20)\n        time.sleep(60)\ntime.sleep(60)"
    ),
    "mapped": (
        "import mmap, time\nm = mmap.mmap(-1, 700 << 20)\n"
        "for i in range(0, 700 << 20, 4096):\n    m[i] = 1\ntime.sleep(60)"
    ),
}


def run(sources: list[str], folder: Path, given: ResourceLimits, tool: Tool | None = None, **more: Any) -> Executed:
    plan = session_plan(folder, tool)
    variables = {**plan.layout.variables, **given.variables()}
    plan = replace(plan, layout=replace(plan.layout, limits=given, variables=variables))
    return execute(sources, folder, plan=plan, **more)


def ends(executed: Executed) -> list[TaskEnded]:
    return [event for event in executed.events if isinstance(event, TaskEnded)]


def explained(executed: Executed, limits: ResourceLimits) -> Diagnostic:
    failed = next(end for end in ends(executed) if end.state is TaskState.FAILED)
    task = Task(failed.task, "cell 1", 1, "code")
    return explain_failure(task, failed, Circumstances("n.ipynb", internet=False, sandboxed=True, limits=limits))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
@pytest.mark.parametrize("code", HOGS.values(), ids=HOGS)
def test_a_memory_hog_ends_at_the_limit(tmp_path: Path, code: str, tool: Tool) -> None:
    limits = ResourceLimits(memory=300 * MEBIBYTE)
    cells = ["print('first')", f"print('before', flush=True)\n{code}", "print('never')"]
    executed = run(cells, tmp_path, limits, tool, limits=Limits())
    first, hog, never = ends(executed)
    assert (first.state, hog.state, never.state) == (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED)
    assert (executed.text(0), executed.text(1)) == ("first\n", "before\n")
    found = explained(executed, limits)
    assert found.code == "memory-limit"
    assert "the limit is 300 MiB" in found.message
    assert "`--memory " in (found.hint or "")


@pytest.mark.parametrize("tool", TOOLS[:-1], ids=lambda tool: tool.kind)
@pytest.mark.parametrize(
    "code",
    [
        "f = open('/dev/shm/f', 'wb')\nwhile True: f.write(bytes(1 << 20))",
        "import os\nfor i in range(10**6): open(f'/dev/shm/{i}', 'wb').write(bytes(1 << 20))",
        (
            "from multiprocessing.shared_memory import SharedMemory\nm = SharedMemory(create=True, size=4 << 30)\n"
            "for i in range(0, 4 << 30, 4096): m.buf[i] = 1"
        ),
    ],
    ids=["one-file", "many-files", "shared-memory"],
)
def test_shared_memory_is_memory(tmp_path: Path, code: str, tool: Tool) -> None:
    limits = ResourceLimits(memory=200 * MEBIBYTE)
    executed = run(["1", code], tmp_path, limits, tool)
    assert ends(executed)[1].state is TaskState.FAILED
    found = explained(executed, limits)
    assert found.code == "memory-limit"
    assert "200 MiB" in found.message


def test_memory_that_forked_children_share_counts_once(tmp_path: Path) -> None:
    code = (
        "import os, time\nkept = bytearray(b'x') * (120 << 20)\nchildren = []\n"
        "for _ in range(5):\n    child = os.fork()\n    if child == 0:\n        time.sleep(0.8)\n        os._exit(0)\n"
        "    children.append(child)\nfor child in children:\n    os.waitpid(child, 0)"
    )
    executed = run([code], tmp_path, ResourceLimits(memory=420 * MEBIBYTE))
    (end,) = ends(executed)
    assert end.state is TaskState.SUCCEEDED
    assert 120 * MEBIBYTE < (end.memory or 0) < 300 * MEBIBYTE


def test_an_array_that_cannot_be_had_is_refused_and_the_notebook_goes_on(tmp_path: Path) -> None:
    limits = ResourceLimits(memory=300 * MEBIBYTE)
    executed = run(["kept = 1", "a = bytearray(64 << 30)", "print(kept)"], tmp_path, limits)
    assert [end.state for end in ends(executed)] == [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SUCCEEDED]
    found = explained(executed, limits)
    assert (found.code, found.place) == ("memory-limit", "n.ipynb cell 1 line 1")
    assert "`MemoryError`" in found.message


DISK_HOGS = {
    "one-file": "with open('big', 'wb') as f:\n    for _ in range(400):\n        f.write(bytes(1 << 20))",
    "many-files": (
        "import os\nfor i in range(100000):\n    os.makedirs(f'd{i % 50}', exist_ok=True)\n"
        "    open(f'd{i % 50}/{i}', 'wb').write(b'x' * 8192)"
    ),
}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
@pytest.mark.parametrize("code", DISK_HOGS.values(), ids=DISK_HOGS)
def test_a_disk_hog_ends_at_the_limit(tmp_path: Path, code: str, tool: Tool) -> None:
    limits = ResourceLimits(disk=24 * MEBIBYTE)
    executed = run(["print('first')", f"print('before', flush=True)\n{code}", "1"], tmp_path, limits, tool)
    assert ends(executed)[1].state is TaskState.FAILED
    assert (executed.text(0), executed.text(1)) == ("first\n", "before\n")
    found = explained(executed, limits)
    assert found.code == "disk-limit"
    assert "the limit is 24 MiB" in found.message
    assert "`--disk " in (found.hint or "")


def test_the_holes_of_a_sparse_file_take_nothing(tmp_path: Path) -> None:
    code = "import time\nfor i in range(5):\n    open(f's{i}', 'wb').truncate(20 << 20)\ntime.sleep(0.5)"
    executed = run([code], tmp_path, ResourceLimits(disk=24 * MEBIBYTE))
    assert [end.state for end in ends(executed)] == [TaskState.SUCCEEDED]


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time\nfor _ in range(500):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\ntime.sleep(60)",
        "import os, time\nfor _ in range(300):\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)",
    ],
    ids=["threads", "processes"],
)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_too_many_processes_end_the_run(tmp_path: Path, code: str, tool: Tool) -> None:
    limits = ResourceLimits(processes=120)
    executed = run(["1", code], tmp_path, limits, tool)
    assert ends(executed)[1].state is TaskState.FAILED
    found = explained(executed, limits)
    assert found.code == "process-limit"
    assert "the limit is 120" in found.message


def test_open_files_are_limited(tmp_path: Path) -> None:
    limits = ResourceLimits(open_files=200)
    executed = run(
        ["1", "kept = [open('/dev/null') for _ in range(300)]", "kept = None; print('on')"], tmp_path, limits
    )
    assert executed.text(2) == "on\n"
    found = explained(executed, limits)
    assert found.code == "file-limit"
    assert "the limit is 200" in found.message


def test_cpus_are_limited_and_libraries_know(tmp_path: Path) -> None:
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], os.environ['OPENBLAS_NUM_THREADS'])"
    executed = run([code], tmp_path, ResourceLimits(cpus=1))
    assert executed.text(0) == "1 1 1\n"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.kind)
def test_what_a_cell_used_is_known(tmp_path: Path, tool: Tool) -> None:
    spike = "a = bytearray(b'x') * (200 << 20); del a"
    write = "open('f', 'wb').write(b'x' * (5 << 20));"
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    executed = run(["1", spike, "2", write, busy], tmp_path, ResourceLimits(), tool)
    first, spiked, after, wrote, worked = ends(executed)
    assert (spiked.memory or 0) > (first.memory or 0) + 150 * MEBIBYTE
    assert (after.memory or 0) < (spiked.memory or 0) - 100 * MEBIBYTE
    assert [end.disk for end in (first, spiked, after)] == [0, 0, 0]
    assert 5 * MEBIBYTE <= (wrote.disk or 0) < 6 * MEBIBYTE
    assert (worked.cpu or 0) >= 0.25


def test_near_a_limit_there_is_one_warning(tmp_path: Path) -> None:
    code = "import time\nopen('f', 'wb').write(b'x' * (23 << 20))\ntime.sleep(0.8)"
    limits = ResourceLimits(disk=24 * MEBIBYTE)
    executed = run([code], tmp_path, limits)
    (near,) = [event for event in executed.events if isinstance(event, LimitNear)]
    found = explain_limit_near(Task(near.task, "cell 0", 0, code), near, Circumstances("n", False, True, limits))
    assert found.code == "limit-near"
    assert "23 MiB of 24 MiB in use (96% of the limit)" in found.message
    assert "`--disk 36m`" in (found.hint or "")


def test_near_a_limit_of_time_there_is_one_warning(tmp_path: Path) -> None:
    code = "import time\ntime.sleep(20)"
    executed = run([code], tmp_path, ResourceLimits(), limits=Limits(cell_seconds=3.0))
    (near,) = [event for event in executed.events if isinstance(event, LimitNear)]
    found = explain_limit_near(Task(near.task, "cell 0", 0, code), near, Circumstances("n", False, True))
    assert "`--cell-timeout 6`" in (found.hint or "")
