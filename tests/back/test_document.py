"""The executed notebook: written as nbformat writes, whole at every moment, at a cost that follows the run's time."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.back.document import ExecutedDocument, encode_json
from kanoe.engine.events import SessionStarted, TaskEnded, TaskMessage, TaskStarted, TaskState
from kanoe.ir.notebook import Cell, Notebook

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.integers(0, 3))
def test_json_is_encoded_as_pythons_own_indenting_encoder_does(value: Any, level: int) -> None:
    expected = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).replace("\n", "\n" + " " * level)
    assert encode_json(value, level).decode() == expected


def test_a_lone_surrogate_is_escaped() -> None:
    assert json.loads(encode_json({"a": ["\ud800"]}, 2)) == {"a": ["\ud800"]}


def message(task: str, kind: str, **content: Any) -> TaskMessage:
    return TaskMessage(task=task, message=kind, content=content)


def stream(task: str, text: str, name: str = "stdout") -> TaskMessage:
    return message(task, "stream", name=name, text=text)


def display(task: str, text: str, display_id: str | None = None, kind: str = "display_data") -> TaskMessage:
    return message(
        task, kind, data={"text/plain": text}, metadata={}, transient={"display_id": display_id} if display_id else {}
    )


def document_of(tmp_path: Path, *events: Any, cells: int = 2, minor: int = 5) -> Any:
    notebook = Notebook(
        (
            Cell("m", "markdown", "# T", attachments={"a.png": {"image/png": "AA=="}}),
            *(Cell(f"c{n}", "code", f"x = {n}\ny", {"tags": ["t"], "execution": {"old": 1}}) for n in range(cells)),
        ),
        {"kernelspec": {"name": "python3", "display_name": "P"}, "widgets": {"old": {}}},
        minor,
    )
    document = ExecutedDocument(notebook, tmp_path / "n.ipynb")
    for event in events:
        document.take(event)
    document.write()
    written = nbformat.read(tmp_path / "n.ipynb", as_version=4)
    nbformat.validate(written)
    return written


def test_it_is_written_byte_for_byte_as_nbformat_writes(tmp_path: Path) -> None:
    written = document_of(
        tmp_path,
        TaskStarted(task="c0", cell=0),
        SessionStarted(task="c0", language={"name": "python", "version": "3.11"}, seconds=1),
        message("c0", "execute_input", code="x", execution_count=1),
        stream("c0", "a\nb"),
        stream("c0", "c\n"),
        message(
            "c0",
            "execute_result",
            data={"text/html": "<b>\n</b>", "application/json": {"k": [1]}},
            metadata={},
            execution_count=1,
        ),
        message("c1", "error", ename="E", evalue="v", traceback=["\x1b[31mt"]),
        TaskEnded(
            task="c0", state=TaskState.SUCCEEDED, seconds=1, details={"execution": {"iopub.status.busy": "2026"}}
        ),
    )
    content = (tmp_path / "n.ipynb").read_text()
    assert content == nbformat.writes(written) + "\n"
    assert written.cells[1].outputs[0].text == "a\nbc\n"
    assert written.cells[1].metadata.execution == {"iopub.status.busy": "2026"}
    assert "widgets" not in written.metadata


@pytest.mark.parametrize("minor", [0, 2, 4, 5])
def test_every_minor_version_is_valid(tmp_path: Path, minor: int) -> None:
    written = document_of(tmp_path, stream("c0", "x"), minor=minor)
    assert written.nbformat_minor == minor
    assert ("id" in written.cells[0]) is (minor >= 5)


@pytest.mark.parametrize(
    ("events", "texts"),
    [
        ([stream("c0", "a"), message("c0", "clear_output", wait=False), stream("c0", "b")], ["b"]),
        ([stream("c0", "a"), message("c0", "clear_output", wait=True)], ["a"]),
        ([stream("c0", "a"), message("c0", "clear_output", wait=True), stream("c0", "b"), stream("c0", "c")], ["bc"]),
        ([stream("c0", "a"), stream("c0", "e", "stderr"), stream("c0", "b")], ["a", "e", "b"]),
        ([display("c0", "1", "d"), display("c0", "2", "d", "update_display_data")], ["2"]),
        ([display("c0", "1", "d"), display("c0", "2", "d")], ["2", "2"]),
        ([display("c0", "1"), display("c0", "2", "nobody", "update_display_data")], ["1"]),
    ],
)
def test_outputs_fold_as_in_jupyter(tmp_path: Path, events: list[Any], texts: list[str]) -> None:
    outputs = document_of(tmp_path, *events).cells[1].outputs
    assert [output.get("text") or output.data["text/plain"] for output in outputs] == texts


def test_a_later_cell_updates_the_display_of_an_earlier_one(tmp_path: Path) -> None:
    written = document_of(
        tmp_path, display("c0", "1", "d"), stream("c1", "x"), display("c1", "2", "d", "update_display_data")
    )
    assert written.cells[1].outputs[0].data["text/plain"] == "2"


def test_no_cells(tmp_path: Path) -> None:
    ExecutedDocument(Notebook(()), tmp_path / "n.ipynb")
    nbformat.validate(nbformat.read(tmp_path / "n.ipynb", as_version=4))


def test_the_file_is_whole_whenever_it_is_read(tmp_path: Path) -> None:
    cells = 300
    path = tmp_path / "n.ipynb"
    broken: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                if len(json.loads(path.read_bytes())["cells"]) != cells:
                    broken.append("a cell is missing")
            except FileNotFoundError:
                continue
            except ValueError as problem:
                broken.append(str(problem))

    reader = threading.Thread(target=read)
    reader.start()
    document = ExecutedDocument(Notebook(tuple(Cell(f"c{n}", "code", "x") for n in range(cells))), path)
    for number in range(cells):
        document.take(stream(f"c{number}", "text\n" * 50))
        document.take(TaskEnded(task=f"c{number}", state=TaskState.SUCCEEDED, seconds=0))
    document.write()
    done.set()
    reader.join()
    assert broken == []
    assert os.listdir(tmp_path) == ["n.ipynb"]


def test_bytes_written_do_not_grow_with_the_square_of_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(cells: int) -> int:
        total = 0

        def count(path: Path, chunks: Any) -> None:
            nonlocal total
            total += sum(map(len, chunks))

        monkeypatch.setattr("kanoe.back.document.replace_file", count)
        document = ExecutedDocument(Notebook(tuple(Cell(f"c{n}", "code", "x") for n in range(cells))), tmp_path / "n")
        for number in range(cells):
            document.take(stream(f"c{number}", "text\n"))
            document.take(TaskEnded(task=f"c{number}", state=TaskState.SUCCEEDED, seconds=0))
        document.write()
        return total

    small, large = written(200), written(4000)
    assert large < small * 20 * 4


def test_a_full_disk_leaves_the_earlier_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = ExecutedDocument(Notebook((Cell("c0", "code", "x"),)), tmp_path / "n.ipynb")
    before = (tmp_path / "n.ipynb").read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        with pytest.raises(OSError, match="No space"):
            document.take(stream("c0", "x"))
            document.write()
    assert (tmp_path / "n.ipynb").read_bytes() == before
    assert os.listdir(tmp_path) == ["n.ipynb"]
