"""What a program may take: chosen from options, set on a process from outside, told to libraries."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kanoe.base.errors import InputError
from kanoe.sandbox.control_groups import ControlGroup, make_group, remove_left_groups
from kanoe.sandbox.limits import (
    KAGGLE_LIMITS,
    ResourceLimits,
    allowed_cpus,
    chosen_limits,
    lower_limits,
    machine_memory,
)

GIBIBYTE = 1 << 30


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_the_kernels_limits_are_set_from_outside(sleeper: subprocess.Popen[bytes]) -> None:
    ResourceLimits(memory=GIBIBYTE, disk=5 << 20, open_files=100, cpus=1, place=0).apply(sleeper.pid)
    assert resource.prlimit(sleeper.pid, resource.RLIMIT_FSIZE) == (5 << 20, 5 << 20)
    assert resource.prlimit(sleeper.pid, resource.RLIMIT_NOFILE) == (100, 100)
    assert resource.prlimit(sleeper.pid, resource.RLIMIT_CORE) == (0, 0)
    assert GIBIBYTE < resource.prlimit(sleeper.pid, resource.RLIMIT_DATA)[1] <= 3 * GIBIBYTE
    assert resource.prlimit(sleeper.pid, resource.RLIMIT_AS) == resource.getrlimit(resource.RLIMIT_AS)
    assert len(os.sched_getaffinity(sleeper.pid)) == 1


def test_processes_of_the_user_that_are_not_the_programs_do_not_count(sleeper: subprocess.Popen[bytes]) -> None:
    before = resource.prlimit(sleeper.pid, resource.RLIMIT_NPROC)
    ResourceLimits(processes=3).apply(sleeper.pid)
    assert resource.prlimit(sleeper.pid, resource.RLIMIT_NPROC) == before


def test_a_process_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    ResourceLimits(memory=GIBIBYTE, cpus=1).apply(process.pid)


def test_a_large_reservation_that_is_not_touched_is_none() -> None:
    """TensorFlow, CUDA and Go reserve many times what they use."""
    code = "import mmap; mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | 0x4000 | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)"
    limits = ResourceLimits(memory=GIBIBYTE)
    with subprocess.Popen([sys.executable, "-c", f"input(); {code}"], stdin=subprocess.PIPE) as process:
        limits.apply(process.pid)
        process.communicate(b"\n")
    assert process.returncode == 0


def test_libraries_start_as_many_threads_as_there_are_cpus() -> None:
    variables = ResourceLimits(cpus=1).variables()
    assert set(variables.values()) == {"1"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS"} <= set(variables)
    assert ResourceLimits().variables() == {}


def test_programs_of_few_cpus_do_not_all_sit_on_the_first() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    assert [allowed_cpus(1, place)[0] for place in range(len(cpus))] == cpus
    assert set(allowed_cpus(10_000, 3)) == set(cpus)


def test_kaggles_limits_hold_where_nothing_else_is_given() -> None:
    assert chosen_limits(kaggle=True) == KAGGLE_LIMITS
    assert (KAGGLE_LIMITS.cpus, KAGGLE_LIMITS.memory, KAGGLE_LIMITS.disk) == (4, 30 * GIBIBYTE, 20 * GIBIBYTE)
    mixed = chosen_limits(GIBIBYTE, None, 7, kaggle=True)
    assert (mixed.memory, mixed.cpus, mixed.disk) == (GIBIBYTE, 4, 7)
    assert chosen_limits() == ResourceLimits()


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ((1 << 20, None, None), "--memory"),
        ((0, None, None), "--memory"),
        ((None, 0, None), "--cpus"),
        ((None, None, -1), "--disk"),
    ],
)
def test_limits_that_nothing_can_run_in_are_refused(given: tuple[int | None, ...], option: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen_limits(*given)
    assert [found.place for found in caught.value.diagnostics] == [option]


def test_no_run_gets_all_memory_of_the_machine() -> None:
    most = ResourceLimits().memory_bytes
    assert most < machine_memory()
    assert ResourceLimits(memory=1 << 50).memory_bytes == most
    assert [found.place for found in lower_limits(ResourceLimits(memory=1 << 50, cpus=10_000))] == [
        "--cpus",
        "--memory",
    ]
    assert lower_limits(ResourceLimits(memory=GIBIBYTE, cpus=1)) == ()


@pytest.mark.parametrize(
    ("membership", "files", "least"),
    [
        ("0::/a/b\n", {}, 8 * GIBIBYTE),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": f"{GIBIBYTE}\n"}, GIBIBYTE),
        ("0::/a/b\n", {"a/b/memory.max": f"{2 * GIBIBYTE}\n", "a/memory.max": "max\n"}, 2 * GIBIBYTE),
        ("4:memory:/x\n0::/\n", {"memory/x/memory.limit_in_bytes": f"{GIBIBYTE}\n"}, GIBIBYTE),
        ("4:memory:/gone\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8 * GIBIBYTE),
        ("nonsense\n\n", {}, 8 * GIBIBYTE),
    ],
)
def test_the_memory_of_a_machine_is_that_of_its_control_group(
    tmp_path: Path, membership: str, files: dict[str, str], least: int
) -> None:
    process, groups = tmp_path / "proc", tmp_path / "groups"
    (process / "self").mkdir(parents=True)
    (process / "meminfo").write_text("MemTotal:        8388608 kB\nMemFree: 1 kB\n")
    (process / "self" / "cgroup").write_text(membership)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert machine_memory(process, groups) == least


def tree(tmp_path: Path, membership: str, *folders: str, control: str = "") -> tuple[Path, Path]:
    """A made-up tree of control groups: plain folders, whose files nobody fills."""
    process, root = tmp_path / "self", tmp_path / "groups"
    process.mkdir()
    (process / "cgroup").write_text(membership)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        if control:
            (root / folder / "cgroup.subtree_control").write_text(control)
    return process, root


@pytest.mark.parametrize(
    ("membership", "folders", "control"),
    [
        ("", (), ""),
        ("0::/a\n", ("a",), ""),
        ("0::/a\n", ("a",), "cpu io"),
        ("0::/nowhere\n", (), ""),
        ("4:memory:/x\n", (), ""),
    ],
)
def test_where_no_group_can_be_made_there_is_none(
    tmp_path: Path, membership: str, folders: tuple[str, ...], control: str
) -> None:
    process, root = tree(tmp_path, membership, *folders, control=control)
    assert make_group(ResourceLimits(), process, root) is None
    assert not [path for path in root.rglob("kanoe-*")]


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    made = make_group(ResourceLimits(memory=200 << 20, processes=20))
    if made is None:
        pytest.skip("no control group can be made here")
    yield made
    made.remove()


def test_a_group_holds_what_left_the_tree_and_ends_it(group: ControlGroup) -> None:
    command = "read line; (setsid sleep 60 & ) ; exit 0"
    with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE) as process:
        group.add(process.pid)
        process.communicate(b"\n")
    assert len(group.pids()) == 1
    group.remove()
    assert not group.pids()
    assert not any(folder.exists() for folder in group.folders)


def test_groups_of_a_kanoe_that_is_gone_are_removed(group: ControlGroup) -> None:
    own = group.folders[0].name
    with subprocess.Popen(["true"]) as process:
        process.wait()
    left = group.folders[0].parent / own.replace(f"-{os.getpid()}-", f"-{process.pid}-")
    left.mkdir()
    remove_left_groups()
    assert not left.exists()
    assert group.folders[0].exists()
