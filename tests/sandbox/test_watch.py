"""The watcher: what it measures is true, what it ends had reached a limit, and it never follows a notebook's links."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kanoe.sandbox import watch
from kanoe.sandbox.folder_size import FolderSize
from kanoe.sandbox.layout import Folders
from kanoe.sandbox.limits import ResourceLimits
from kanoe.sandbox.process_numbers import exact_memory, read_numbers, upper_memory
from kanoe.sandbox.watch import Watcher

MEBIBYTE = 1 << 20


class Program:
    """A plain process, as the watcher sees one."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        self.extra: list[int] = []

    def pids(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            try:
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                continue
        return found

    def kill(self) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        self.process.wait()

    def says(self) -> bytes:
        """Wait for its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def watched(code: str, limits: ResourceLimits, folder: Path) -> Iterator[tuple[Program, Watcher]]:
    folders = Folders(folder / "working", folder / "scratch", folder / "runtime")
    for one in (folders.working, folders.scratch, folders.runtime):
        one.mkdir(exist_ok=True)
    program = Program(code)
    watcher = Watcher(program, limits, folders)
    try:
        yield program, watcher
    finally:
        watcher.close()
        program.kill()
        assert program.process.stdout is not None
        program.process.stdout.close()


def ended(program: Program) -> int:
    return program.process.wait(timeout=30)


def test_a_program_within_its_limits_is_left_alone(tmp_path: Path) -> None:
    with watched("import time; time.sleep(0.5)", ResourceLimits(), tmp_path) as (program, watcher):
        assert ended(program) == 0
        assert watcher.reached is None
        assert watcher.warnings() == []


def test_the_peak_of_a_task_is_exact_and_forgotten_with_it(tmp_path: Path) -> None:
    code = "a = bytearray(b'x') * (150 << 20); del a; print('x', flush=True); import time; time.sleep(60)"
    with watched(code, ResourceLimits(), tmp_path) as (program, watcher):
        program.says()
        assert watcher.peaks().memory > 150 * MEBIBYTE
        watcher.begin()
        assert watcher.peaks().memory < 80 * MEBIBYTE


def test_memory_that_is_shared_counts_once(tmp_path: Path) -> None:
    code = (
        "import os, time\na = bytearray(b'x') * (100 << 20)\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(60)\n"
        "print('x', flush=True)\ntime.sleep(60)"
    )
    with watched(code, ResourceLimits(), tmp_path) as (program, _watcher):
        program.says()
        pids = program.pids()
        assert len(pids) == 4
        assert upper_memory(pids).own > 400 * MEBIBYTE
        assert 100 * MEBIBYTE < exact_memory(pids).own < 160 * MEBIBYTE
        assert exact_memory(pids, -1.0).own == 0


def test_files_that_are_mapped_are_no_memory_that_ends_a_program(tmp_path: Path) -> None:
    """The kernel takes pages of files back when it needs them."""
    data = tmp_path / "data"
    data.write_bytes(b"x" * (120 * MEBIBYTE))
    code = (
        f"import mmap, time\nf = open({str(data)!r}, 'rb')\nm = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
        "s = sum(m[i] for i in range(0, len(m), 4096))\nprint('x', flush=True)\ntime.sleep(0.5)"
    )
    with watched(code, ResourceLimits(memory=100 * MEBIBYTE), tmp_path) as (program, watcher):
        program.says()
        assert read_numbers(program.pids()).resident > 100 * MEBIBYTE
        assert ended(program) == 0
        assert watcher.reached is None


@pytest.mark.parametrize("which", ["machine-disk", "machine-memory"])
def test_a_program_is_ended_before_the_machine_suffers(
    tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "a = bytearray(b'x') * (50 << 20); print('x', flush=True); import time; time.sleep(60)"
    monkeypatch.setattr(watch, "machine_memory", lambda: 400 * MEBIBYTE)
    with watched(code, ResourceLimits(), tmp_path) as (program, watcher):
        program.says()
        if which == "machine-disk":
            monkeypatch.setattr(watch, "free_bytes", lambda folder: 1)
        else:
            monkeypatch.setattr(watch, "available_memory", lambda: 1)
        assert ended(program) == -9
        assert watcher.reached is not None
        assert watcher.reached.limit == which


def test_who_is_not_to_blame_for_the_memory_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "available_memory", lambda: 1)
    monkeypatch.setattr(watch, "machine_memory", lambda: 1 << 40)
    with watched("import time; time.sleep(0.5)", ResourceLimits(), tmp_path) as (program, watcher):
        assert ended(program) == 0
        assert watcher.reached is None


def test_a_folder_is_measured_as_the_disk_gives_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_bytes(b"x" * MEBIBYTE)
    os.link(folder / "a" / "b" / "file", folder / "twice")
    (folder / "out").symlink_to("/usr")
    (folder / "loop").symlink_to(folder)
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    size = FolderSize(folder)
    assert size.advance(60)
    assert MEBIBYTE <= size.size < MEBIBYTE + 100_000


def test_a_walk_goes_on_piece_by_piece(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number}").write_bytes(b"x" * 4096)
    moments = iter(range(1000))
    size = FolderSize(tmp_path, now=lambda: float(next(moments)))
    pieces = 1
    while not size.advance(1.0):
        assert size.size < 500 * 4096
        pieces += 1
    assert pieces > 3
    assert size.size == 500 * 4096


def test_a_folder_that_vanishes_or_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    size = FolderSize(tmp_path / "gone")
    assert size.advance(1.0)
    assert size.size == 0
