"""Answers of a kernel that a notebook forged: Kanoe never fails for their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_hostile_messages import SAY

from kanoe.back.shapes import well_formed
from kanoe.engine.events import ProgramEnded, TaskEnded
from worlds import execute

WRONG: list[tuple[str, Any]] = [
    ("execute_reply", {"status": ["error"]}),
    ("execute_reply", {"status": "error", "traceback": 5}),
    ("execute_reply", {"status": "error", "traceback": [5]}),
    ("execute_reply", {"status": "error", "ename": {}, "evalue": []}),
    ("kernel_info_reply", {"language_info": []}),
    ("status", {"execution_state": ["idle"]}),
    ("status", {}),
]


@pytest.mark.parametrize(("kind", "content"), WRONG)
def test_what_is_not_of_the_protocol_is_seen(kind: str, content: Any) -> None:
    assert not well_formed(kind, content)


@pytest.mark.parametrize("content", [{"status": "error"}, {"status": "ok", "payload": []}, {"status": "aborted"}])
def test_what_kernels_say_is_well_formed(content: Any) -> None:
    assert well_formed("execute_reply", content)


def test_a_forged_reply_ends_the_cell_and_nothing_else(tmp_path: Path) -> None:
    """The true reply comes after it; whichever ends the cell, the run goes on and ends."""
    forge = """
kernel = get_ipython().kernel
for content in ({'status': 'error', 'traceback': 5}, {'status': 7}, {'status': 'error', 'ename': 3}, {'status': 'error'}):
    parts = kernel.session.serialize(kernel.session.msg('execute_reply', content=content, parent=kernel.get_parent('shell')))
    identity = kernel._parent_ident['shell'] if isinstance(kernel._parent_ident, dict) else kernel.get_parent_ident()
    kernel.shell_stream.send_multipart([*(identity if isinstance(identity, list) else [identity]), *parts])
for content in ({}, {'execution_state': []}, {'execution_state': {}}):
    say('status', content)
"""
    executed = execute([SAY + forge, "print('after')"], tmp_path)
    assert len([event for event in executed.events if isinstance(event, TaskEnded)]) == 2
    assert isinstance(executed.events[-1], ProgramEnded)
    assert executed.text(1) == "after\n"
