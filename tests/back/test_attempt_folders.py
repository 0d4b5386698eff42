"""The folder of a run that takes several attempts."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

from kanoe.back.run_folder import RunFolder, make_directory
from kanoe.engine.events import AttemptChosen, AttemptStarted, TaskMessage, TaskStarted
from kanoe.ir.notebook import Cell, Notebook
from kanoe.ir.source import Source
from kanoe.store.records import Records


def folder(path: Path) -> RunFolder:
    cell = Cell(id="a", kind="code", source="print(1)")
    source = Source(path / "x.ipynb", "notebook", Notebook((cell,)))
    return RunFolder("x", source, make_directory(path / "out"), Records(path / "records.sqlite"), lambda _: None)


def play(run: RunFolder, number: int) -> None:
    """One attempt: a cell that prints, and a file that it writes."""
    run.take(AttemptStarted(attempt=number))
    run.facts |= {"environment": f"of {number}"}
    run.take(TaskStarted(task="a", cell=0, attempt=number))
    run.take(TaskMessage(task="a", message="stream", content={"name": "stdout", "text": f"in {number}\n"}))
    (run.working / f"of-{number}.csv").write_text(str(number))
    run.keep_lock(f"lock {number}")


def printed(notebook: Path) -> str:
    return nbformat.read(notebook, 4).cells[0].outputs[0].text


def test_the_last_attempt_is_the_run(tmp_path: Path) -> None:
    run = folder(tmp_path)
    play(run, 1)
    play(run, 2)
    run.finish(None, page=False)
    out = tmp_path / "out"
    assert printed(out / "notebook.ipynb") == "in 2\n"
    assert [path.name for path in (out / "working").iterdir()] == ["of-2.csv"]
    assert (out / "kanoe.lock").read_text() == "lock 2"
    assert [line["data"] for line in json.loads((out / "log.json").read_text())] == ["in 2\n"]
    # What was tried can be looked at; its files are gone.
    assert printed(out / "attempts" / "1" / "notebook.ipynb") == "in 1\n"
    assert not (out / "attempts" / "1" / "working").exists()


def test_an_earlier_attempt_may_be_the_run(tmp_path: Path) -> None:
    run = folder(tmp_path)
    for number in (1, 2, 3):
        play(run, number)
    run.take(AttemptChosen(attempt=2))
    run.finish(None, page=False)
    out = tmp_path / "out"
    assert printed(out / "notebook.ipynb") == "in 2\n"
    assert [path.name for path in (out / "working").iterdir()] == ["of-2.csv"]
    assert (out / "kanoe.lock").read_text() == "lock 2"
    assert json.loads((out / "run.json").read_text())["environment"] == "of 2"
    assert [line["data"] for line in json.loads((out / "log.json").read_text())] == ["in 2\n"]
    assert sorted(path.name for path in (out / "attempts").iterdir()) == ["1", "3"]


def test_the_folder_may_be_used_again(tmp_path: Path) -> None:
    run = folder(tmp_path)
    play(run, 1)
    play(run, 2)
    run.finish(None, page=False)
    assert sorted(path.name for path in make_directory(tmp_path / "out").iterdir()) == ["run.json", "working"]
