"""Output without an end: it costs what it is long and no more, and a run ends at the limit with all that came before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kanoe.back import sessions
from kanoe.back.document import ExecutedDocument
from kanoe.back.kaggle_log import kaggle_log
from kanoe.engine.events import TaskEnded, TaskMessage, TaskState
from worlds import code_notebook, execute

MANY = 20_000


def test_a_line_that_never_ends_is_read_once() -> None:
    """20,000 pieces: what was looked at again for each would take hours."""
    events = [
        TaskMessage(task="c0", message="stream", content={"name": "stdout", "text": "x" * 4000}) for _ in range(MANY)
    ]
    (line, end) = kaggle_log(events)
    assert len(line) > MANY * 4000
    assert end == b"]\n"


def same_display(number: int) -> TaskMessage:
    content = {"data": {"text/plain": str(number)}, "metadata": {}, "transient": {"display_id": "same"}}
    return TaskMessage(task="c0", message="display_data", content=content)


def widget(number: int) -> TaskMessage:
    content = {"comm_id": str(number), "data": {"state": {"_model_name": "A"}}}
    return TaskMessage(task="c0", message="comm_open", content=content)


@pytest.mark.parametrize("message", [same_display, widget])
def test_many_displays_cost_no_square(message: Callable[[int], TaskMessage], tmp_path: Path) -> None:
    """20,000 of them: what did something for each pair would take minutes."""
    document = ExecutedDocument(code_notebook(["x"]), tmp_path / "notebook.ipynb")
    for number in range(MANY):
        document.take(message(number))
    document.write()
    outputs = document.outputs()["c0"]
    assert all(output["data"] == {"text/plain": str(MANY - 1)} for output in outputs)
    assert len(outputs) == (MANY if message is same_display else 0)


FLOODS = {
    "printed": "while True: print('x' * 10_000)",
    "displayed": "from IPython.display import display\nwhile True: display('x' * 10_000)",
    "by a child": "import os\nos.system('yes')",
    "cleared": "from IPython.display import clear_output\nwhile True:\n    print('x' * 10_000)\n    clear_output()",
}


@pytest.mark.slow
@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_at_the_limit(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MOST_OUTPUT", 3 << 20)
    executed = execute(["print('before')", code, "1"], tmp_path)
    ended = [event for event in executed.events if isinstance(event, TaskEnded)]
    assert [event.state for event in ended] == [TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED]
    assert ended[1].details["limit"]["name"] == "output"
    assert (ended[1].reason or "").endswith("and the limit is 3 MiB")
    assert executed.text(0) == "before\n"
    kept = sum(len(str(event.content)) for event in executed.events if isinstance(event, TaskMessage))
    assert kept < 8 << 20
