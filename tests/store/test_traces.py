"""Traces: found by what they read, within their origin only, by any process, whatever happened to the others."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from disks import small_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from kanoe.base.errors import UnavailableError
from kanoe.ir.trace import Bundle, Trace, Value
from kanoe.store.traces import RUNS_KEPT, Step, Traces, trace_id

BLOB = "ab" * 32
ODD_NAMES = ("folder:/a", "", "a'b\"c", "ünï", os.fsdecode(b"/odd-\xff"), "\ud800", "new\nline", "nul\0")


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    with contextlib.closing(Traces(tmp_path / "traces.sqlite")) as made:
        yield made


def make(reads: dict[str, str | None], *, code: str = "c", environment: str = "e", run: str = "r") -> Trace:
    bundle = Bundle("h", ("name:x", "name:y"), BLOB, ("cd" * 32,), 3)
    writes = {
        "name:x": Value("1", ("def:function:f:1",), bundle, type="DataFrame", summary={"rows": 3}),
        "name:y": Value("2", bundle=bundle),
        "name:z": Value("3", bundle=Bundle("l", ("name:z",), lost="a generator")),
        "file:/kaggle/working/a": Value("4", blob="ef" * 32),
        "name:gone": None,
    }
    return Trace(code, environment, reads, writes, BLOB, 1.5, 0.5, 100, True, None, run, time.time())


def test_what_is_added_is_given_back(traces: Traces) -> None:
    trace = make({"name:a": "1", "name:b": None})
    name = traces.add("here", trace)
    assert name == trace_id(trace)
    assert traces.get("here", name) == trace
    assert traces.find("here", "c", "e") == [trace]
    assert traces.hit("here", "c", "e", {"name:a": "1"}.get) == trace
    assert traces.get("there", name) is None


def test_reading_makes_no_file(traces: Traces, tmp_path: Path) -> None:
    assert traces.find("here", "c", "e") == []
    assert traces.hit("here", "c", "e", {}.get) is None
    assert traces.hit("here", "c", "e", {}.get, use=False) is None
    assert traces.latest("here") == ()
    assert (list(traces.runs("here")), traces.uses(), traces.newest_runs(3), traces.bytes()) == ([], [], set(), 0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("origin", "code", "environment", "state", "found"),
    [
        ("here", "c", "e", {"name:a": "1"}, True),
        ("here", "c", "e", {"name:a": "1", "name:other": "9"}, True),
        ("here", "c", "e", {"name:a": "1", "name:b": None}, True),
        ("here", "c", "e", {"name:a": "1", "name:b": ""}, False),
        ("here", "c", "e", {"name:a": "1", "name:b": "null"}, False),
        ("here", "c", "e", {"name:a": "2"}, False),
        ("here", "c", "e", {"name:a": None}, False),
        ("here", "c", "e", {}, False),
        ("here", "d", "e", {"name:a": "1"}, False),
        ("here", "c", "f", {"name:a": "1"}, False),
        ("there", "c", "e", {"name:a": "1"}, False),
        ("here ", "c", "e", {"name:a": "1"}, False),
        ("", "c", "e", {"name:a": "1"}, False),
    ],
)
def test_a_hit_reads_what_there_is(
    traces: Traces, origin: str, code: str, environment: str, state: dict[str, str | None], found: bool
) -> None:
    traces.add("here", make({"name:a": "1", "name:b": None}))
    traces.add("there", make({"name:a": "7", "name:b": None}))
    assert (traces.hit(origin, code, environment, state.get) is not None) == found


def test_the_newest_comes_first_whatever_the_clock_says(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1000.0, 10.0, 500.0])
    made = []
    for run in ("first", "second", "third"):
        moment = next(moments)
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        made.append(make({"name:a": "1"}, run=run))
        traces.add("here", made[-1])
    assert traces.find("here", "c", "e") == made[::-1]
    assert traces.find("here", "c", "e", 2) == made[:0:-1]
    assert traces.hit("here", "c", "e", {"name:a": "1"}.get) == made[-1]
    assert {use.used for use in traces.uses()} == {1000.0}


def test_the_same_execution_is_one(traces: Traces) -> None:
    trace = make({"name:a": "1"})
    assert traces.add("here", trace) == traces.add("here", trace)
    assert traces.find("here", "c", "e") == [trace]


READS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from([None, "1", "2"]), max_size=4)


@settings(max_examples=30, deadline=None)
@given(kept=st.lists(READS, max_size=12), state=READS)
def test_a_hit_is_the_newest_whose_reads_equal_the_state(
    tmp_path_factory: pytest.TempPathFactory, kept: list[dict[str, str | None]], state: dict[str, str | None]
) -> None:
    with contextlib.closing(Traces(tmp_path_factory.mktemp("traces") / "traces.sqlite")) as traces:
        for number, reads in enumerate(kept):
            traces.add("here", make(reads, run=f"{number}"))
        fitting = [
            f"{number}" for number, reads in enumerate(kept) if all(state.get(key) == reads[key] for key in reads)
        ]
        found = traces.hit("here", "c", "e", state.get)
        assert (found and found.run) == (fitting[-1] if fitting else None)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(traces: Traces, name: str) -> None:
    trace = replace(make({f"file:{name}": name}), run=name)
    made = traces.add(name, trace)
    traces.add("other", make({f"file:{name}": "1"}))
    traces.remember_run(name, name, [(name, name, made)])
    assert traces.hit(name, "c", "e", {f"file:{name}": name}.get) == trace
    assert list(traces.runs(name)) == [(name, (Step(name, name, made),))]
    assert {use.origin for use in traces.uses()} == {name, "other"}


def test_names_that_look_alike_are_different_origins(traces: Traces) -> None:
    for number, name in enumerate(ODD_NAMES):
        traces.add(name, make({"name:a": f"{number}"}))
        traces.add(repr(name), make({"name:a": "no"}))
    for number, name in enumerate(ODD_NAMES):
        assert [trace.reads for trace in traces.find(name, "c", "e")] == [{"name:a": f"{number}"}]


@pytest.mark.parametrize("blob", ["", "ab", "x" * 64, "../../etc/passwd"])
def test_what_is_no_blob_is_refused(traces: Traces, blob: str) -> None:
    with pytest.raises(ValueError, match=r"sha256|hexadecimal"):
        traces.add("here", replace(make({}), messages=blob))
    assert traces.find("here", "c", "e") == []


def test_runs_are_remembered(traces: Traces) -> None:
    steps = (Step("a", "1", "t1"), Step("b", "2"))
    traces.remember_run("here", "one", [("x", "0", None)])
    traces.remember_run("here", "two", steps[:1])
    traces.remember_run("here", "two", steps)
    traces.remember_run("there", "three", [])
    assert traces.latest("here") == steps
    assert [run for run, _ in traces.runs("here")] == ["two", "one"]
    assert traces.latest("there") == ()
    assert traces.newest_runs(9) == {"t1"}
    for number in range(RUNS_KEPT + 5):
        traces.remember_run("here", f"{number}", [])
    assert [run for run, _ in traces.runs("here")] == [f"{number}" for number in range(RUNS_KEPT + 4, 4, -1)]
    assert [run for run, _ in traces.runs("there")] == ["three"]


def test_use_is_marked(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    made = [make({"name:a": f"{number}"}) for number in range(3)]
    for trace in made:
        traces.add("here", trace)
    now[0] = 200.0
    traces.hit("here", "c", "e", {"name:a": "0"}.get, use=False)
    traces.hit("here", "c", "e", {"name:a": "1"}.get)
    traces.touch("here", [made[2]])
    traces.touch("there", [made[0]])
    assert [use.used for use in sorted(traces.uses(), key=lambda use: use.number)] == [100.0, 200.0, 200.0]
    assert [use.number for use in traces.uses()] == [1, 2, 3]
    assert traces.remove([1, 2, 3], 150.0) == {1}
    assert traces.hit("here", "c", "e", {"name:a": "0"}.get) is None
    assert traces.hit("here", "c", "e", {"name:a": "1"}.get) == made[1]
    assert traces.remove([1, 2, 3], 250.0) == {2, 3}
    assert traces.uses() == []


@pytest.mark.parametrize("damage", ["body", "refs", "steps", "file", "log"])
def test_damage_is_a_miss(traces: Traces, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "traces.sqlite"
    traces.add("here", make({"name:a": "1"}))
    traces.remember_run("here", "r", [("a", "b", None)])
    if damage in ("file", "log"):
        if damage == "file":
            traces.close()
        Path(path if damage == "file" else f"{path}-wal").write_bytes(b"nonsense" * 2000)
    else:
        with contextlib.closing(sqlite3.connect(path)) as file:
            table = {"body": "traces", "refs": "shapes", "steps": "runs"}[damage]
            file.execute(f"UPDATE {table} SET {damage} = x'00'")
            file.commit()
    with contextlib.closing(Traces(path)) as fresh:
        if damage != "steps":
            assert fresh.hit("here", "c", "e", {"name:a": "1"}.get) is None
        if damage in ("body", "file", "log"):
            assert fresh.find("here", "c", "e") == []
        if damage != "body":
            assert fresh.latest("here") in ((), (Step("a", "b"),))
        new = make({"name:b": "1"}, run="new")
        fresh.add("here", new)
        fresh.remember_run("here", "new", [("n", "n", None)])
        assert fresh.hit("here", "c", "e", {"name:b": "1"}.get) == new
        assert fresh.latest("here") == (Step("n", "n"),)


def test_a_file_of_a_newer_kanoe_is_refused(traces: Traces, tmp_path: Path) -> None:
    traces.add("here", make({}))
    traces.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "traces.sqlite")) as file:
        file.execute("PRAGMA user_version = 99")
    for use in (lambda: traces.find("here", "c", "e"), lambda: traces.add("here", make({})), traces.uses):
        with pytest.raises(UnavailableError, match="newer Kanoe") as caught:
            use()
        assert "KANOE_HOME" in (caught.value.diagnostics[0].hint or "")


def test_a_store_that_can_only_be_read(traces: Traces, tmp_path: Path) -> None:
    traces.add("here", make({"name:a": "1"}))
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kanoe.store.traces import Traces\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "traces = Traces(Path(sys.argv[1]))\n"
        "print(traces.hit('here', 'c', 'e', {'name:a': '1'}.get).run, len(traces.find('here', 'c', 'e')))\n"
        "traces.touch('here', traces.find('here', 'c', 'e'))\n"
        "try: traces.remember_run('here', 'r', [])\n"
        "except OSError as cause: print('refused')\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    for state in ("with a log", "closed"):
        for path in tmp_path.iterdir():
            path.chmod(0o444)
        tmp_path.chmod(0o555)
        command = [sys.executable, "-c", code, tmp_path / "traces.sqlite"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("r 1\nrefused\n", ""), state
        tmp_path.chmod(0o755)
        for path in tmp_path.iterdir():
            path.chmod(0o644)
        traces.close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path, "1m") as disk, contextlib.closing(Traces(disk / "traces.sqlite")) as traces:
        (disk / "spare").write_bytes(b"x" * 300_000)
        kept, failures = [], set()
        for number in range(80):
            reads: dict[str, str | None] = {f"name:{number}-{place}": os.urandom(32).hex() for place in range(100)}
            try:
                kept.append((traces.add("here", make(reads)), reads))
            except OSError as cause:
                failures.add(cause.errno)
        assert failures == {errno.ENOSPC}
        for name, reads in kept:
            assert (traces.get("here", name) or make({})).reads == reads
        (disk / "spare").unlink()
        traces.remove([use.number for use in traces.uses()][:10], time.time() + 1)
        traces.add("here", make({}))
        assert len(traces.find("here", "c", "e")) == len(kept) - 9


WORK = """
import sys
from pathlib import Path
from kanoe.ir.trace import Trace
from kanoe.store.traces import Traces
traces = Traces(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    reads = {"name:a": f"{number}"}
    name = traces.add(sys.argv[2], Trace("c", "e", reads, {}, "ab" * 32, 1.0, run=sys.argv[4], moment=float(number)))
    traces.remember_run(sys.argv[2], f"{number}", [(f"{number}", "c", name)])
    assert traces.hit(sys.argv[2], "c", "e", reads.get) is not None
    print(number, flush=True)
"""


def start(tmp_path: Path, origin: str, turns: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, tmp_path / "traces.sqlite", origin, f"{turns}", f"{time.time()}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_at_once(traces: Traces, tmp_path: Path) -> None:
    running = [start(tmp_path, f"{number % 2}", 40) for number in range(4)]
    for process in running:
        process.communicate(timeout=120)
    assert [process.returncode for process in running] == [0] * 4
    for origin in "01":
        assert len(traces.find(origin, "c", "e")) == 80
        assert traces.hit(origin, "c", "e", {"name:a": "39"}.get) is not None


def test_killed_anywhere(traces: Traces, tmp_path: Path) -> None:
    """What was said to be added is there, with the run that used it."""
    for turn in range(6):
        process = start(tmp_path, f"{turn}", 100_000)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 * turn)
        process.send_signal(signal.SIGKILL)
        said = 1 + len([line for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")])
        found = traces.find(f"{turn}", "c", "e")
        assert said <= len(found) <= said + 1
        (step,) = traces.latest(f"{turn}")
        assert traces.get(f"{turn}", step.trace or "") in found[:2]
