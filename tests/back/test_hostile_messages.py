"""A notebook that speaks the kernel's protocol itself, and wrongly: it holds the key, so every message may come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kanoe.back.shapes import well_formed
from kanoe.engine.events import ProgramEnded, RunState, TaskEnded, TaskState
from worlds import execute

# Sends content of the cell's own making on the kernel's output channel, as an answer to the cell that runs.
SAY = """
import json
def say(kind, content, raw=None):
    kernel = get_ipython().kernel
    parts = kernel.session.serialize(kernel.session.msg(kind, content={}, parent=kernel.get_parent()))
    parts[-1] = raw if raw is not None else json.dumps(content).encode()
    start = parts.index(b'<IDS|MSG>')
    parts[start + 1] = kernel.session.sign(parts[start + 2:])
    kernel.iopub_socket.send_multipart([b'kernel'] + parts)
"""

DEEP = b'{"data": {"text/plain": ' + b"[" * 5000 + b"]" * 5000 + b'}, "metadata": {}}'
WRONG: list[tuple[str, Any]] = [
    ("stream", []),
    ("stream", {}),
    ("stream", {"name": "stdout"}),
    ("stream", {"name": "../../x", "text": "a"}),
    ("stream", {"name": "stdout", "text": 7}),
    ("display_data", {"data": None}),
    ("display_data", {"data": {}, "metadata": []}),
    ("display_data", {"data": {}, "transient": {"display_id": {}}}),
    ("execute_result", {"data": {}, "execution_count": "1"}),
    ("error", {"ename": "E"}),
    ("error", {"ename": "E", "evalue": None, "traceback": [3]}),
    ("comm_open", {"comm_id": [], "data": {"state": {}}}),
    ("comm_open", {"comm_id": "a", "data": {"state": {"_model_name": "OutputModel", "outputs": 7}}}),
    ("comm_open", {"comm_id": "a", "data": {"state": {"outputs": [{"output_type": "stream"}]}}}),
    ("comm_msg", {"comm_id": "a", "data": {"state": {"msg_id": ["x"]}}}),
    ("comm_msg", {"comm_id": "a", "data": {"state": {}, "buffer_paths": [[{}]]}}),
    ("execute_input", {"execution_count": []}),
]


@pytest.mark.parametrize(("kind", "content"), WRONG)
def test_what_is_not_of_the_protocol_is_seen(kind: str, content: Any) -> None:
    assert not well_formed(kind, content)


def test_every_message_leaves_the_run_whole(tmp_path: Path) -> None:
    tries = "\n".join(f"say({kind!r}, {content!r})" for kind, content in WRONG)
    raw = [b"", b"{", b"null", b"[1, 2]", b"\xff\xfe", b'{"text": NaN}', DEEP]
    tries += "\n" + "\n".join(f"say('display_data', None, {content!r})" for content in raw)
    tries += "\nsay('stream', {'name': 'stdout', 'text': 'right\\n'})"
    tries += "\nsay('no_such_message', {'a': 1})\nsay('update_display_data', {'data': {}, 'transient': {'display_id': 'none'}})"
    executed = execute([SAY, tries, "print('after')"], tmp_path)
    assert [event.state for event in executed.events if isinstance(event, TaskEnded)] == [TaskState.SUCCEEDED] * 3
    assert isinstance(executed.events[-1], ProgramEnded)
    assert executed.events[-1].state is RunState.SUCCEEDED
    assert executed.text(1) == "right\n"
    assert executed.text(2) == "after\n"


def test_garbage_at_the_sockets(tmp_path: Path) -> None:
    """Frames that are no message, and a connection that speaks no ZeroMQ at all."""
    code = """
import os, socket
kernel = get_ipython().kernel
for frames in ([b''], [b'<IDS|MSG>'], [b'a', b'<IDS|MSG>', b'wrong', b'{}', b'{}', b'{}', b'{}'], [os.urandom(1000)] * 50):
    kernel.iopub_socket.send_multipart(frames)
"""
    executed = execute([code, "print('after')"], tmp_path)
    assert executed.text(1) == "after\n"
