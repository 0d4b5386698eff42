"""`--verify`: the proof that a run is a fresh run from top to bottom, and what it finds where it is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trial import World

import kanoe
from kanoe.back.reproduction.exact import Noise, compare_exactly, days_of
from kanoe.engine.events import Event, StageChanged
from kanoe.engine.proof import Outcome, compare_alone, compare_outcomes, opaque_hash, what_it_read
from kanoe.ir.trace import Bundle, Trace, Value
from kanoe.sandbox.confine import choose_tool
from kanoe.store.home import open_store
from kanoe.store.traces import Traces
from pairs import PairCell

# Outputs


def printed(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": [text]}


def shown(count: int | None = 1, **forms: Any) -> dict[str, Any]:
    data = {mime.replace("_", "/", 1): form for mime, form in forms.items()}
    return {"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}}


def failed(value: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": "ValueError", "evalue": value, "traceback": []}


NOISE = Noise(
    days_of([1795291200.0]), {"/data/me/runs/a/working": "/kaggle/working", "/data/me/b/working": "/kaggle/working"}
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<object at 0x7f3c2c0b9a90>", "<object at 0x7a11b2c3d4e0>"),
        ("/tmp/ipykernel_31/99.py:1: UserWarning: x", "/tmp/ipykernel_7/12.py:1: UserWarning: x"),
        ("worker pid=314 done", "worker pid=2718 done"),
        ("CPU times: user 1 s\nWall time: 12 s\n3", "CPU times: user 4 s\nWall time: 1.5 s\n3"),
        ("Training took 12.3 seconds", "Training took 1.5 seconds"),
        (
            "100%|█████| 10/10 [00:12<00:00,  1.2s/it]",
            " 50%|██   | 5/10 [0:01]\r100%|█████| 10/10 [00:03<00:00, 3.1it/s]",
        ),
        ("at 2026-11-21 20:10:11.123", "at 2026-11-22 01:00:00.5"),
        ("Sat Nov 21 20:10:11 2026", "Sat Nov 21 09:00:00 2026"),
        ("[00:40:49] WARNING: x", "[01:02:03] WARNING: x"),
        ("in /data/me/runs/a/working/x", "in /data/me/b/working/x"),
        ("id 6fa459ea-ee8a-3ca4-894e-db77e160355e", "id 16fd2706-8baf-433b-82eb-8c7fada847da"),
    ],
)
def test_what_no_two_executions_share_is_no_difference(one: str, other: str) -> None:
    assert compare_exactly([printed(one)], [printed(other)], NOISE) is None
    assert compare_exactly([shown(text_plain=one)], [shown(text_plain=other)], NOISE) is None


@pytest.mark.parametrize(
    ("one", "other", "word"),
    [
        ([printed("0.8300001")], [printed("0.83")], "0.8300001"),
        ([printed("np.float64(1.0)")], [printed("1.0")], "np.float64"),
        ([printed("2013-01-01 05:00:00")], [printed("2013-01-01 06:00:00")], "05:00"),
        ([printed("a\nb\nc")], [printed("a\nb")], "nothing more"),
        ([printed("x", "stderr")], [], "stderr"),
        ([printed("x  1")], [printed("x 1")], "printed"),
        ([shown(1, text_plain="1")], [shown(2, text_plain="1")], "number"),
        ([shown(text_plain="1")], [], "outputs"),
        ([shown(text_plain="1")], [failed("no")], "an error"),
        ([failed("no")], [failed("yes")], "no"),
        ([shown(image_png="aGVsbG8=")], [shown(image_png="aGVsbG9=")], "image/png"),
        ([shown(text_plain="1", text_html="<b>")], [shown(text_plain="1")], "text/html"),
    ],
)
def test_everything_else_is_one(one: list[Any], other: list[Any], word: str) -> None:
    assert word in (compare_exactly(one, other, NOISE) or "")
    assert compare_exactly(other, one, NOISE) is not None
    assert compare_exactly(one, one, NOISE) is None


def test_the_order_of_both_streams_is_any_runs_own() -> None:
    ours = [printed("a"), printed("w", "stderr"), printed("b")]
    assert compare_exactly(ours, [printed("ab"), printed("w", "stderr")], NOISE) is None


# Values and files


def value(digest: str, *members: str, needs: tuple[str, ...] = (), pickle: str | None = "p" * 64) -> Value:
    return Value(digest, needs, Bundle(f"group {digest}", members, pickle), type="list")


def file(content: str, kind: str = "file") -> Value:
    return Value(content, blob="b" * 64 if kind == "file" else None, type=kind, summary={"kind": kind})


def test_final_values_and_files_are_counted_and_told() -> None:
    opaque = value(opaque_hash("name:g", "ours"), "name:g")
    ours = Outcome(
        {
            "name:a": value("1", "name:a"),
            "name:b": value("2", "name:b"),
            "name:g": opaque,
            "name:old": value("3", "name:old"),
            "file:/kaggle/working/f": file("x"),
            "file:/kaggle/working/d": file("d", "folder"),
            "file:/tmp/tmp1": file("t"),
        },
        {"name:a": 0, "name:b": 1, "name:g": 2, "name:old": 3},
        {2: "ours"},
    )
    fresh = Outcome(
        {
            "name:a": value("1", "name:a"), "name:b": value("9", "name:b"), "name:new": value("3", "name:new"),
            "name:g": value(opaque_hash("name:g", "theirs"), "name:g"),
            "file:/kaggle/working/f": file("y"), "file:/kaggle/working/d": file("d", "folder"), "file:/tmp/tmp2": file("t"),
        },
        {"name:g": 2}, {2: "theirs"},
    )  # fmt: skip
    found = compare_outcomes(ours, fresh)
    assert (found.values, found.files, found.opaque) == (1, 0, 1)
    assert [(reference, one.cell, one.what) for reference, one in found.differences] == [
        ("file:/kaggle/working/f", None, "file"), ("name:b", 1, "value"), ("name:new", None, "value"), ("name:old", 3, "value"),
    ]  # fmt: skip


STATE = {
    "name:x": value("x", "name:x", "name:y"), "name:y": value("y", "name:x", "name:y"), "name:z": value("z", "name:z"),
    "name:c": value("c", "name:c", needs=("def:function:f:1",)), "def:function:f:1": value("f", "def:function:f:1"),
    "name:gone": value("g", "name:gone", pickle=None), "setting:a": Value("s", blob="b" * 64), "setting:b": Value("s"),
    "random:numpy": Value("r", blob="b" * 64),
    "file:/kaggle/working/d": file("", "folder"), "file:/kaggle/working/d/a": file("a"),
    "file:/kaggle/working/d/b": file("b"), "file:/kaggle/working/m.py": file("m"), "file:/kaggle/working/n.py": file("n"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        (["name:z", "name:nothing"], {"name:z"}),
        (["name:x"], {"name:x", "name:y"}),
        (["group:name:z"], {"name:z"}),
        (["name:c"], {"name:c", "def:function:f:1"}),
        (["random:*"], {"random:numpy"}),
        (["setting:a"], {"setting:a"}),
        (["setting:*"], None),
        (["name:gone"], None),
        (["file:/kaggle/working/d/a"], {"file:/kaggle/working/d", "file:/kaggle/working/d/a"}),
        (["exists:/kaggle/working/d"], {"file:/kaggle/working/d"}),
        (["folder:/kaggle/working/d"], {f"file:/kaggle/working/d{end}" for end in ("", "/a", "/b")}),
        (["tree:/kaggle/working/d"], {f"file:/kaggle/working/d{end}" for end in ("", "/a", "/b")}),
        (["module:/kaggle/working/m"], {"file:/kaggle/working/m.py"}),
    ],
)
def test_a_cell_alone_is_given_what_it_read_with_its_groups(reads: list[str], expected: set[str] | None) -> None:
    trace = Trace("", "", dict.fromkeys(reads), {}, "", 0.0)
    found = what_it_read(trace, STATE)
    assert (None if found is None else set(found)) == expected


@pytest.mark.parametrize(
    ("known", "alone", "told"),
    [
        ({"name:n": value("1")}, {"name:n": value("1")}, 0),
        ({"name:n": value("1")}, {"name:n": value("2")}, 1),
        ({"name:n": value("1")}, {}, 1),
        ({}, {"name:n": value("1")}, 1),
        ({}, {"name:z": value("z")}, 0),
        ({}, {"name:z": value("other")}, 1),
        ({"name:x": None}, {"name:x": None}, 0),
        ({"name:x": None}, {}, 1),
        ({}, {"setting:b": Value("t"), "file:/tmp/a": file("a")}, 0),
    ],
)
def test_what_a_cell_did_alone_is_compared_with_its_trace(known: Any, alone: Any, told: int) -> None:
    start = {"name:x": STATE["name:x"], "name:y": STATE["name:y"]}
    traces = [Trace("", "", {}, writes, "", 0.0) for writes in (known, alone)]
    assert len(compare_alone(traces[0], STATE, traces[1], start)) == told


# Real kernels


@pytest.fixture
def plain(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Sessions without walls: they start fastest."""
    monkeypatch.setattr("kanoe.verbs.sandbox.choose_tool", lambda: choose_tool("none"))
    return world


def cells(*sources: str) -> list[PairCell]:
    return [PairCell("", source, id=f"c{n}") for n, source in enumerate(sources)]


def verify(world: World, path: Path, **options: Any) -> kanoe.Report:
    return kanoe.run(path, html=False, lock=world.lock, jobs=8, **{"verify": True, "cells": True, **options})


def codes(report: kanoe.Report) -> set[tuple[str, str | None]]:
    return {(one.code, one.place) for one in report.errors}


SAME = cells(
    "import random\nimport numpy as np\nimport pandas as pd",
    "df = pd.DataFrame({'a': np.random.rand(4), 'b': list('abcd')})\nboth = [df, df]",
    "class Scale:\n    factor = 2\n    def run(self, d):\n        return d.a.sum() * self.factor\nscale = Scale()",
    "both[0]['c'] = random.random()",
    "print(scale.run(df), object())\ndf",
    "df.to_csv('out.csv')\nopen('note.txt', 'w').write('n')",
    "print(open('note.txt').read())\nsteps = (n for n in range(3))\nnext(steps)",
    "print(next(steps))",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["none", "walls"])
def test_a_run_is_proved_whether_its_cells_ran_or_were_reused(
    kind: str, world: World, request: pytest.FixtureRequest
) -> None:
    if kind == "none":
        request.getfixturevalue("plain")
    path = world.write(f"same-{kind}", SAME)
    for reused in (False, True):
        report = verify(world, path)
        assert report.succeeded, report.errors
        proof = report.as_dict()["verification"]
        assert (proof["equal"], proof["cells"], proof["files"], proof["differences"]) == (True, 8, 2, [])
        assert proof["values"] >= 7
        assert proof["opaque"] >= 1
        assert 1 <= len(proof["alone"]) <= 4
        assert "equal those of a fresh run from top to bottom" in proof["summary"]
        assert all((task.state == "CACHED") is reused for task in report.tasks)
    record = json.loads((Path(str(report.directory)) / "run.json").read_text())
    assert record["report"]["verification"]["equal"] is True
    store = open_store()
    assert not list(Path(store.scratch).iterdir())


def test_a_notebook_that_differs_from_run_to_run_is_told_cell_by_cell(plain: World) -> None:
    path = plain.write("differs", cells(
        "import os\nkey = os.urandom(4)\nfixed = 1", "print(fixed)", "print(key)", "open('k', 'wb').write(key);"))  # fmt: skip
    report = verify(plain, path)
    assert not report.succeeded
    assert report.exit_code == 1
    assert codes(report) == {("verify-differs", f"notebook.ipynb cell {n}") for n in (0, 2, 3)}
    proof = report.as_dict()["verification"]
    assert proof["equal"] is False
    assert {one["what"] for one in proof["differences"]} == {"value", "output", "file"}
    assert {one["cell"] for one in proof["differences"]} == {0, 2, 3}
    document = json.loads((Path(str(report.directory)) / "notebook.ipynb").read_text())
    assert [bool(cell["outputs"]) for cell in document["cells"]] == [False, True, True, False]


def tamper(path: Path, cell: str, without: str) -> None:
    """Let the store believe that a cell did not read something."""
    origin = f"folder:{path.parent.resolve()}"
    traces = Traces(open_store().traces)
    step = next(step for step in traces.latest(origin) if step.cell == cell)
    trace = traces.get(origin, str(step.trace))
    assert trace is not None
    assert without in trace.reads
    reads = {reference: digest for reference, digest in trace.reads.items() if reference != without}
    traces.add(origin, replace(trace, reads=reads, moment=trace.moment + 1))
    traces.close()


def test_a_read_that_nobody_saw_is_found_by_running_the_cell_alone(plain: World, own_store: Path) -> None:
    path = plain.write("unread", cells("x = 1", "print(x)", "y = 2"))
    assert plain.run(path).states == ("SUCCEEDED",) * 3
    tamper(path, "c1", "name:x")
    report = verify(plain, path)
    assert codes(report) == {("verify-unread", "notebook.ipynb cell 1")}
    assert "NameError" in report.errors[0].message
    assert report.exit_code == 1


def test_a_stale_output_is_found_by_the_fresh_run(plain: World, own_store: Path) -> None:
    path = plain.write("stale", cells("x = 1", "z = [x]\nprint(x)", "y = 2"))
    plain.run(path)
    tamper(path, "c1", "name:x")
    path = plain.write("stale", cells("x = 5", "z = [x]\nprint(x)", "y = 2"))
    report = verify(plain, path)
    assert codes(report) == {("verify-differs", "notebook.ipynb cell 1")}
    told = " ".join(one.message for one in report.errors)
    assert "`1`, and `5` in a fresh run" in told
    assert "`z`" in told
    assert "--no-cache" in str(report.errors[0].hint)


def test_a_cell_that_fails_fails_in_both(plain: World) -> None:
    report = verify(plain, plain.write("fails", cells("x = 1", "1 / 0", "print(x)")))
    assert codes(report) == {("cell-failed", "notebook.ipynb cell 1 line 1")}
    assert report.as_dict()["verification"]["cells"] == 2
    assert report.as_dict()["verification"]["equal"] is True


def test_a_process_that_dies_leaves_nothing_to_compare(plain: World) -> None:
    report = verify(plain, plain.write("dies", cells("import os\nos._exit(3)")))
    assert {code for code, _ in codes(report)} == {"kernel-died", "verify-undone"}
    assert report.as_dict()["verification"] is None


def test_no_secret_stands_in_the_proof(plain: World) -> None:
    secret = "v3rify-s3cret-of-the-tests"
    code = (
        "import os\nfrom kaggle_secrets import UserSecretsClient\n"
        "both = UserSecretsClient().get_secret('KEY') + str(os.urandom(2))\nprint(both)\nopen(both[:26], 'wb').write(os.urandom(1));"
    )
    report = verify(plain, plain.write("secret", cells(code)), secrets={"KEY": secret})
    assert not report.succeeded
    assert secret not in json.dumps(report.as_dict()["verification"])
    assert secret not in " ".join(one.message for one in report.diagnostics)


def test_an_interrupt_ends_the_comparison_and_leaves_the_run_whole(plain: World) -> None:
    stop = kanoe.Stop()

    def watch(event: Event) -> None:
        if isinstance(event, StageChanged) and event.stage == "verify":
            stop.request()

    report = verify(plain, plain.write("stops", cells("print(1)")), watch=watch, stop=stop)
    assert report.exit_code == 130
    assert report.as_dict()["verification"] is None
    document = json.loads((Path(str(report.directory)) / "notebook.ipynb").read_text())
    assert document["cells"][0]["outputs"]


def test_whole_runs_have_nothing_to_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANOE_HOME", str(tmp_path / "store"))
    path = tmp_path / "nb.py"
    path.write_text("print(1)\n")
    with pytest.raises(kanoe.InputError, match="--whole"):
        kanoe.run(path, verify=True, cells=False)
    assert not list((tmp_path / "store" / "runs").glob("*"))
