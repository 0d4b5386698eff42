"""The executed notebook: a fold over a run's events, whole and valid on disk at every moment.

The file is written beside and renamed, never changed in place. Each cell is encoded once, when it has changed; a write joins the
encoded cells. Writing is held to a twentieth of the run's time, so its cost grows with the run and not with the square of the cells,
and the file lags behind by at most twenty times what one write costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any

from kanoe.back.widgets import OUTPUT_KINDS, WidgetStates, output_of
from kanoe.base.files import replace_file
from kanoe.engine.events import Event, SessionStarted, TaskEnded, TaskMessage, TaskStarted
from kanoe.ir.notebook import Cell, Notebook

_SHARE = 20


class _CellState:
    """One cell of the executed notebook as it grows."""

    __slots__ = ("attempted", "cell", "count", "encoded", "metadata", "outputs", "waiting")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.metadata = {
            key: value
            for key, value in cell.metadata.items()
            if key not in ("execution", "kanoe", "papermill", "trusted")
        }
        self.outputs: list[dict[str, Any]] = []
        self.count: int | None = None
        self.waiting = False
        self.attempted = False
        self.encoded: bytes | None = None

    def begin(self) -> None:
        """Start anew: a cell may be told twice, where an earlier one came to something else when it ran again."""
        self.attempted = True
        self.outputs, self.waiting, self.encoded = [], False, None

    def add(self, output: dict[str, Any]) -> None:
        """Append an output; text of the stream that wrote last joins it, as front ends show it."""
        self.clear_if_waiting()
        last = self.outputs[-1] if self.outputs else None
        if output["output_type"] == "stream":
            if last is not None and last.get("name") == output["name"]:
                last["text"].append(output["text"])
                return
            output["text"] = [output["text"]]
        self.outputs.append(output)

    def clear_if_waiting(self) -> None:
        """Do what `clear_output(wait=True)` put off until the next output."""
        if self.waiting:
            self.outputs = []
            self.waiting = False


class _Display:
    """What is displayed under one id: the outputs that show it, in whichever cells, share one content."""

    __slots__ = ("content", "owners")

    def __init__(self) -> None:
        self.content: dict[str, dict[str, Any]] = {"data": {}, "metadata": {}}
        self.owners: set[_CellState] = set()

    def add(self, output: dict[str, Any], owner: _CellState) -> None:
        """Let one more output show it; its content is the newest."""
        self.change(output)
        output.update(self.content)
        self.owners.add(owner)

    def change(self, new: Mapping[str, Any]) -> None:
        """Give every output the content of a new one."""
        for name, shared in self.content.items():
            shared.clear()
            shared.update(new[name])
        for owner in self.owners:
            owner.encoded = None


class ExecutedDocument:
    """The executed form of a notebook.

    Args:
        notebook: what runs; the author's own outputs are left out.
        path: where it is written; the first version, without outputs, at once.
    """

    def __init__(self, notebook: Notebook, path: Path) -> None:
        self._path = path
        self._minor = notebook.minor
        self._cells = [_CellState(cell) for cell in notebook.cells]
        self._by_task = {state.cell.id: state for state in self._cells if state.cell.kind == "code"}
        self._metadata = dict(notebook.metadata)
        self._metadata.pop("widgets", None)
        self._metadata.pop("papermill", None)
        self._displays: dict[str, _Display] = {}
        self._widgets = WidgetStates()
        self._started = time.perf_counter()
        self._spent = 0.0
        self._stale = True
        self.write()

    def take(self, event: Event) -> None:
        """Take an event in and write the file if that is due."""
        match event:
            case TaskMessage():
                self._take_message(self._by_task[event.task], event.message, event.content)
            case TaskStarted():
                self._by_task[event.task].begin()
            case TaskEnded():
                self._take_end(self._by_task[event.task], event)
            case SessionStarted():
                self.name_language(event.language)
            case _:
                return
        self.write_if_due()

    def name_language(self, language: Mapping[str, Any]) -> None:
        """Say in the metadata which language the cells are in: what a kernel says of itself."""
        self._metadata["language_info"] = dict(language)
        self._metadata.setdefault("kernelspec", {"display_name": "Python 3", "language": "python", "name": "python3"})
        self._stale = True

    def write_if_due(self) -> None:
        """Write the file unless that would cost more than its share of the time."""
        if self._stale and self._spent * _SHARE <= time.perf_counter() - self._started:
            self.write()

    def outputs(self) -> dict[str, list[dict[str, Any]]]:
        """Return what each code cell shows, by its id; text may stand in pieces."""
        return {task: state.outputs for task, state in self._by_task.items()}

    def write(self) -> None:
        """Write the file now if anything changed.

        Raises:
            OSError: the disk is full; the earlier version stays.
        """
        if not self._stale:
            return
        started = time.perf_counter()
        replace_file(self._path, self._encode())
        self._stale = False
        self._spent += time.perf_counter() - started

    def _encode(self) -> list[bytes]:
        chunks = [b'{\n "cells": [']
        for index, state in enumerate(self._cells):
            if state.encoded is None:
                state.encoded = encode_json(self._cell(state), 2)
            chunks += [b",\n  " if index else b"\n  ", state.encoded]
        widgets = self._widgets.metadata()
        metadata = self._metadata if widgets is None else {**self._metadata, "widgets": widgets}
        tail = {"metadata": metadata, "nbformat": 4, "nbformat_minor": self._minor}
        chunks.append((b"\n ],\n " if self._cells else b"],\n ") + encode_json(tail, 0)[len(b"{\n ") :] + b"\n")
        return chunks

    def _cell(self, state: _CellState) -> dict[str, Any]:
        cell = state.cell
        record: dict[str, Any] = {
            "cell_type": cell.kind,
            "metadata": state.metadata,
            "source": cell.source.splitlines(True),
        }
        if self._minor >= 5:
            record["id"] = cell.id
        if cell.attachments is not None:
            record["attachments"] = cell.attachments
        if cell.kind == "code":
            record["execution_count"] = state.count
            record["outputs"] = [_stored(output) for output in state.outputs]
        return record

    def _take_message(self, state: _CellState, kind: str, content: Mapping[str, Any]) -> None:
        self._stale = True
        state.encoded = None
        if kind in OUTPUT_KINDS:
            if kind == "execute_result":
                state.count = content.get("execution_count")
            output = output_of(kind, content)
            state.add(output)
            display = (content.get("transient") or {}).get("display_id")
            if display:
                self._displays.setdefault(display, _Display()).add(output, state)
        elif kind == "update_display_data":
            known = self._displays.get((content.get("transient") or {}).get("display_id") or "")
            if known is not None:
                known.change(output_of("display_data", content))
        elif kind == "clear_output":
            if content.get("wait"):
                state.waiting = True
            else:
                state.outputs = []
        elif kind == "execute_input":
            state.count = content.get("execution_count")
        else:
            self._widgets.follow(content)

    def _take_end(self, state: _CellState, event: TaskEnded) -> None:
        dates = event.details.get("execution")
        if dates:
            state.metadata["execution"] = dates
        reused = event.details.get("reused")
        if reused:
            state.metadata["kanoe"] = {"reused": reused}
        state.encoded = None
        self._stale = True


def _stored(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return an output as files hold it: text as a list of lines."""
    if output["output_type"] == "stream":
        return {**output, "text": "".join(output["text"]).splitlines(True)}
    if "data" not in output:
        return dict(output)
    data = {
        key: value.splitlines(True) if _is_text(key) and isinstance(value, str) else value
        for key, value in output["data"].items()
    }
    return {**output, "data": data}


def _is_text(mime: str) -> bool:
    return mime.startswith("text/") or mime in ("application/javascript", "image/svg+xml")


def encode_json(value: Any, level: int) -> bytes:
    """Return `value` as nbformat writes it: keys sorted, one blank of indent a level, text as it is.

    Python's own encoder turns to its slow form as soon as it indents; a cell of a million lines makes that matter.
    """
    text = "".join(_encoded(value, "\n" + " " * level))
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can escape it, UTF-8 cannot hold it
        return json.dumps(value, sort_keys=True, indent=1).replace("\n", "\n" + " " * level).encode()


def _encoded(value: Any, indent: str) -> list[str]:
    if isinstance(value, str):
        return [encode_basestring(value)]
    inner = indent + " "
    if isinstance(value, Mapping):
        if not value:
            return ["{}"]
        parts: list[str] = []
        for key in sorted(value, key=str):
            parts += [",", inner, encode_basestring(str(key)), ": ", *_encoded(value[key], inner)]
        return ["{", *parts[1:], indent, "}"]
    if isinstance(value, Sequence):
        if not value:
            return ["[]"]
        if all(type(item) is str for item in value):
            return ["[", inner, ("," + inner).join(map(encode_basestring, value)), indent, "]"]
        parts = []
        for item in value:
            parts += [",", inner, *_encoded(item, inner)]
        return ["[", *parts[1:], indent, "]"]
    return [json.dumps(value)]
