"""Kaggle's JSON log of a run: one array, one object a line of output, as `kaggle kernels output` leaves it.

    [{"stream_name":"stdout","time":10.494022797,"data":"Hello\\n"}
    ,{"stream_name":"stderr","time":11.2,"data":"..."}
    ]

`time` is seconds since the program's start; `<`, `>`, `&`, U+2028 and U+2029 are escaped as Go's encoder does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from kanoe.engine.events import Event, ProgramStarted, TaskMessage

_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_ESCAPED = re.compile(f"[{''.join(_ESCAPES)}]")
_LINES = re.compile(r"[^\r\n]+(?:\r?\n|\r)?|\r?\n|\r")


def kaggle_log(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield the log's bytes, piece by piece. A line that comes in several messages is one object, with the time of its end."""
    start: float | None = None
    moment = 0.0
    parts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    opening = "["
    for event in events:
        if start is None or isinstance(event, ProgramStarted):
            start = event.time
        if not isinstance(event, TaskMessage):
            continue
        stream, text = _text(event)
        moment = max(0.0, event.time - start)
        for piece in _LINES.findall(text):
            # A line without an end may come in any number of messages.
            parts[stream].append(piece)
            if piece[-1] in "\r\n":
                yield _record(opening, stream, moment, "".join(parts[stream]))
                parts[stream], opening = [], ","
    for stream, rest in parts.items():
        if rest:
            yield _record(opening, stream, moment, "".join(rest))
            opening = ","
    yield b"]\n" if opening == "," else b"[]\n"


def _record(opening: str, stream: str, moment: float, line: str) -> bytes:
    data = _ESCAPED.sub(lambda found: _ESCAPES[found.group()], json.dumps(line, ensure_ascii=False))
    record = f'{opening}{{"stream_name":"{stream}","time":{moment:.9f},"data":{data}}}\n'
    return record.encode("utf-8", "backslashreplace")


def _text(event: TaskMessage) -> tuple[str, str]:
    """Return the stream and the text of a message: what a notebook prints, and the traceback of what it raises."""
    if event.message == "stream":
        return ("stderr" if event.content["name"] == "stderr" else "stdout"), event.content["text"]
    if event.message == "error":
        return "stderr", "\n".join(event.content["traceback"]) + "\n"
    return "stdout", ""
