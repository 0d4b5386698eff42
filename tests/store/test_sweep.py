"""The clean-up of traces and blobs: the least recently used first, below a limit, and never what a living run may use."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small_disk
from hypothesis import given, settings
from hypothesis import strategies as st

import kanoe
from kanoe.base.errors import InputError
from kanoe.ir.trace import Bundle, Trace, Value
from kanoe.store.alive import living
from kanoe.store.blobs import Blobs
from kanoe.store.home import Store, prepare_store
from kanoe.store.sweep import (
    LIMIT_VARIABLE,
    Rule,
    Swept,
    choose,
    default_limit,
    measure_notebooks,
    sweep,
    sweep_after_run,
)
from kanoe.store.traces import Traces, TraceUse

KIB = 1024


class Memory:
    """A store that a test fills as a run does."""

    def __init__(self, path: Path) -> None:
        self.store = Store(path)
        prepare_store(self.store)
        self.blobs, self.traces = Blobs(self.store.blobs), Traces(self.store.traces)
        self.now = time.time()

    def keep(self, origin: str, cell: str, *, size: int = 100 * KIB, used: float = 0.0, run: str = "r") -> Trace:
        """Keep a trace with one value, used last so many seconds ago."""
        value = self.blobs.put(f"{cell} {origin} ".encode().ljust(size, b"."))
        messages = self.blobs.put(f"output of {cell}".encode())
        writes = {"name:x": Value(value, bundle=Bundle(value, ("name:x",), value, size=size))}
        trace = Trace(cell, "e", {"name:a": cell}, writes, messages, 1.0, run=run, moment=self.now)
        self.traces.add(origin, trace)
        self.age(origin, trace, used)
        return trace

    def age(self, origin: str, trace: Trace, seconds: float) -> None:
        moment = self.now - seconds
        with self.traces._file.write() as connection:
            query = "UPDATE traces SET used = ? WHERE number = (SELECT max(number) FROM traces)"
            connection.execute(query, (moment,))
        with self.blobs._index.write() as connection:
            connection.executemany(
                "UPDATE blobs SET used = ? WHERE hash = ?", [(moment, bytes.fromhex(blob)) for blob in trace.blobs]
            )

    def cells(self, origin: str) -> set[str]:
        """Return the cells that would be hits, with all that they need."""
        return {
            cell
            for cell in map(str, range(20))
            if (trace := self.traces.hit(origin, cell, "e", {"name:a": cell}.get, use=False)) is not None
            and all(self.blobs.read(blob) is not None for blob in trace.blobs)
        }


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    made = Memory(tmp_path / "home")
    yield made
    made.blobs.close()
    made.traces.close()


def test_an_empty_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert sweep(store, "own", limit=1, older_than=0.0) == Swept()
    assert sweep_after_run(store, "own") == Swept()
    assert measure_notebooks(store) == []
    assert os.listdir(tmp_path) == []


def test_the_least_recently_used_goes_first(memory: Memory) -> None:
    for number in range(10):
        memory.keep("here", f"{number}", used=1000.0 - number)
    would = sweep(memory.store, "own", limit=450 * KIB, dry_run=True)
    assert memory.cells("here") == set("0123456789")
    swept = sweep(memory.store, "own", limit=450 * KIB)
    assert memory.cells("here") == set("6789")
    assert swept == would
    assert (swept.traces, swept.blobs) == (6, 12)
    assert swept.bytes > 600 * KIB
    assert sweep(memory.store, "own", limit=450 * KIB) == Swept()
    assert memory.blobs.total() < 450 * KIB


def test_what_is_shared_stays_with_the_last_that_needs_it(memory: Memory) -> None:
    memory.keep("here", "1", used=1000.0)
    shared = memory.keep("there", "1", used=10.0)
    sweep(memory.store, "own", older_than=100.0)
    assert memory.cells("here") == set()
    assert memory.cells("there") == {"1"}
    assert all(memory.blobs.read(blob) for blob in shared.blobs)


def test_what_no_trace_needs_goes(memory: Memory) -> None:
    memory.keep("here", "1", used=1000.0)
    loose = memory.blobs.put(b"taken by a run that was killed")
    sweep(memory.store, "own")
    assert memory.blobs.read(loose) is None
    assert memory.cells("here") == {"1"}


def test_many_executions_with_the_same_reads_keep_the_newest(memory: Memory) -> None:
    for number in range(8):
        memory.keep("here", "1", used=1000.0 - number, run=f"{number}")
    sweep(memory.store, "own")
    assert [trace.run for trace in memory.traces.find("here", "1", "e")] == ["7", "6", "5"]


def test_a_living_run_keeps_what_it_uses(memory: Memory) -> None:
    for number in range(4):
        memory.keep("here", f"{number}", used=1000.0)
    with living(memory.store.alive, "going-on"):
        assert memory.traces.hit("here", "1", "e", {"name:a": "1"}.get) is not None
        fresh = memory.blobs.put(b"of a cell that has not ended")
        lent = memory.keep("here", "9", used=1000.0)
        memory.blobs.link_all(lent.blobs, memory.store.scratch)
        sweep(memory.store, "own", limit=1, older_than=0.0)
        assert memory.cells("here") == {"1"}
        assert memory.blobs.read(fresh) is not None
        assert all(memory.blobs.read(blob) is not None for blob in lent.blobs)
        sweep(memory.store, "going-on", limit=1)  # at its own end it needs nothing more
    assert memory.cells("here") == set()


def test_the_newest_runs_keep_their_traces_from_age_but_not_from_a_limit(memory: Memory) -> None:
    for number in range(4):
        trace = memory.keep("here", f"{number}", used=1000.0, run=f"r{number}")
        memory.traces.remember_run("here", f"r{number}", [("cell", "code", memory.traces.uses()[-1].id)])
        assert trace.run == f"r{number}"
    sweep(memory.store, "own", older_than=100.0, keep_runs=2)
    assert memory.cells("here") == set("23")
    sweep(memory.store, "own", keep_runs=1)
    assert memory.cells("here") == set("23")
    sweep(memory.store, "own", keep_runs=2, limit=150 * KIB)
    assert memory.cells("here") == {"3"}


def test_sizes_by_notebook(memory: Memory) -> None:
    for number in range(3):
        memory.keep("large", f"{number}", used=50.0)
    memory.keep("small", "1", size=10, used=10.0)
    first, second = measure_notebooks(memory.store)
    assert (first.origin, first.traces, second.origin, second.traces) == ("large", 3, "small", 1)
    assert first.bytes > 300 * KIB > 10 * KIB > second.bytes > 10
    assert (first.used, second.used) == (memory.now - 50.0, memory.now - 10.0)


def test_the_end_of_a_run(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        memory.keep("here", f"{number}", used=100.0 - number)
    assert sweep_after_run(memory.store, "own") == Swept()
    monkeypatch.setenv(LIMIT_VARIABLE, "350k")
    assert sweep_after_run(memory.store, "own").traces == 3
    assert memory.cells("here") == set("345")


def test_the_limit(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    disk = os.statvfs(memory.store.path)
    assert 0 <= default_limit(memory.store) <= disk.f_blocks * disk.f_frsize // 10
    monkeypatch.setenv(LIMIT_VARIABLE, "20g")
    assert default_limit(memory.store) == 20 << 30
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    with pytest.raises(InputError, match=LIMIT_VARIABLE):
        default_limit(memory.store)


USES = st.lists(
    st.tuples(st.integers(0, 9), st.lists(st.integers(0, 6), max_size=4, unique=True), st.booleans()), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(
    drawn=USES,
    sizes=st.lists(st.integers(0, 50), min_size=7, max_size=7),
    before=st.integers(0, 10),
    old=st.none() | st.integers(0, 10),
    limit=st.none() | st.integers(0, 200),
)
def test_what_is_chosen(
    drawn: list[tuple[int, list[int], bool]], sizes: list[int], before: int, old: int | None, limit: int | None
) -> None:
    """Nothing used since `before` goes; all that is old goes; the limit holds unless only such are left; never more than that."""
    uses = [
        TraceUse(number, f"{number}", "here", used, 1, tuple(bytes([blob]) for blob in blobs), double)
        for number, (used, blobs, double) in enumerate(sorted(drawn))
    ]
    size_of = {bytes([number]): size for number, size in enumerate(sizes)}
    gone = choose(uses, size_of, Rule(float(before), old, frozenset({"0"}), limit))

    def total(left: list[TraceUse]) -> int:
        return len(left) + sum(size_of[blob] for blob in {blob for use in left for blob in use.blobs})

    left = [use for use in uses if use.number not in gone]
    assert all(use.used < before for use in uses if use.number in gone)
    must = {use.number for use in uses if use.used < before and (use.double or _old(use, old))}
    assert must <= gone
    if limit is None:
        assert gone == must
        return
    assert total(left) <= limit or all(use.used >= before for use in left)
    by_limit = [use for use in uses if use.number in gone - must]
    if by_limit:
        assert total([*left, by_limit[-1]]) > limit
        assert all(use.used >= by_limit[-1].used for use in left if use.used < before)


def _old(use: TraceUse, old: int | None) -> bool:
    return old is not None and use.used < old and use.id != "0"


def test_a_full_disk_can_be_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a byte is left; what is removed can be written down all the same."""
    with small_disk(tmp_path, "40m") as disk:
        memory = Memory(disk / "home")
        for number in range(10):
            memory.keep("here", f"{number}", size=[KIB, 1024 * KIB][number % 2], used=1000.0 - number)
        monkeypatch.setenv(LIMIT_VARIABLE, "1g")
        sweep_after_run(memory.store, "own")
        memory.traces.close()
        memory.blobs.close()
        with contextlib.suppress(OSError), (disk / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        assert os.statvfs(disk).f_bavail == 0
        monkeypatch.setenv("KANOE_HOME", os.fspath(disk / "home"))
        assert kanoe.store_clean(size=2500 * KIB).cells.traces == 6
        assert memory.cells("here") == set("6789")
        memory.traces.close()
        memory.blobs.close()


SWEEP = """
import sys
from pathlib import Path
from kanoe.store.home import Store
from kanoe.store.sweep import sweep
print("ready", flush=True)
sweep(Store(Path(sys.argv[1])), "own", older_than=150.0)
"""


def test_killed_in_the_middle(memory: Memory) -> None:
    """Each trace that is left has its blobs; the next clean-up ends the work."""
    for turn in range(6):
        for number in range(12):
            memory.keep(f"{turn}", f"{number}", used=1000.0 - number * 90)
        process = subprocess.Popen([sys.executable, "-c", SWEEP, memory.store.path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(turn * 0.004)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = [trace for cell in map(str, range(12)) for trace in memory.traces.find(f"{turn}", cell, "e")]
        assert all(memory.blobs.read(blob) is not None for trace in kept for blob in trace.blobs)
        sweep(memory.store, "own", older_than=150.0)
        assert memory.cells(f"{turn}") == {"10", "11"}
        with contextlib.suppress(OSError):
            files = {path.name for path in memory.store.blobs.glob("??/*")}
            assert files <= {digest.hex() for digest in memory.blobs.sizes()}
