"""The values of secrets in what a notebook prints and shows become `***`: a guard against accidents, none against intent.

A notebook that is given a secret can always spell it in another way. What is found: the value as it is, as Python's `repr`, JSON,
HTML, URLs and base64 (also inside a longer text) write it, each longer line of a value of several lines, and all of it also where
a stream's messages cut it in two.
"""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kanoe.engine.events import TaskEnded, TaskEvent, TaskMessage
from kanoe.engine.runner import Runner, Task

MASK = "***"
SHORTEST = 4  # characters of a value that is masked

_SHORTEST_LINE = 8
_SHORTEST_CORE = 8
# Where a secret can stand only by chance: a short one would break the picture.
_PICTURES = re.compile(r"image/(?!svg)|application/pdf|audio/|video/")
_SHOWS = ("display_data", "execute_result", "update_display_data")


class Mask:
    """Finds values in text.

    Args:
        values: the secrets' values; those shorter than four characters are left out, they stand in too many texts.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, self._forms)) or r"(?!)")
        self._firsts = frozenset(form[0] for form in self._forms)
        self._longest = max(map(len, self._forms), default=0)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """Return a text without values."""
        return self._pattern.sub(MASK, text) if self._holds(text) else text

    def split(self, text: str) -> tuple[str, str]:
        """Return a text without values, and its end that may become one with what follows."""
        shown: list[str] = []
        start = 0
        if self._holds(text):
            for match in self._pattern.finditer(text):
                if match.end() == len(text) and self._begins(text[match.start() :]):
                    return "".join(shown) + text[start : match.start()], text[match.start() :]
                shown += [text[start : match.start()], MASK]
                start = match.end()
        for position in range(max(start, len(text) - self._longest + 1), len(text)):
            if text[position] in self._firsts and self._begins(text[position:]):
                return "".join(shown) + text[start:position], text[position:]
        return "".join(shown) + text[start:], ""

    def rest(self, held: str) -> str:
        """Return what is shown of a held end that nothing followed: half of a value and more is as bad as the whole."""
        masked = self.text(held)
        if masked == held and any(len(form) <= 2 * len(held) and form.startswith(held) for form in self._forms):
            return MASK
        return masked

    def value(self, value: Any, *, keys: bool = True) -> Any:
        """Return a JSON value without secrets in its texts, and in its keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key) if keys else key: self.value(one, keys=keys) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one, keys=keys) for one in value]
        return value

    def _holds(self, text: str) -> bool:
        return any(form in text for form in self._forms)

    def _begins(self, end: str) -> bool:
        return any(len(form) > len(end) and form.startswith(end) for form in self._forms)


def _forms(value: str) -> Iterator[str]:
    """Yield the texts that a value may be written as."""
    if len(value.strip()) < SHORTEST:
        return
    wholes = {value, value.strip()}
    if len(lines := value.splitlines()) > 1:
        wholes |= {line.strip() for line in lines if len(line.strip()) >= _SHORTEST_LINE}
    for whole in wholes:
        yield whole
        yield from _written(whole)


def _written(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "surrogatepass")
    yield repr(value)[1:-1]
    yield repr(data)[2:-1]
    # With the other quotation mark, as inside of a longer text.
    yield value.encode("unicode_escape").decode("ascii")
    yield repr(f"'\"{value}")[4:-1]
    for dumped in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        yield dumped[1:-1]
        yield json.dumps(dumped)[3:-3]
    yield html.escape(value)
    yield html.escape(value, quote=False)
    for quoted in (urllib.parse.quote(data), urllib.parse.quote(data, safe=""), urllib.parse.quote_plus(data)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), quoted)
    yield from _encoded(data)


def _encoded(data: bytes) -> Iterator[str]:
    """Yield base64 forms: alone, and what is left of each of the three places where a longer text may hold it."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        for before in (0, 1, 2):
            # Characters that hold bits of a neighbour are not the value's own.
            bits = 8 * before
            first, last = -(-bits // 6), (bits + 8 * len(data)) // 6
            core = encode(bytes(before) + data).decode()[first:last]
            if len(core) >= _SHORTEST_CORE:
                yield core


class MaskedRunner:
    """A runner whose events hold no values of secrets.

    Args:
        runner: what runs.
        mask: what finds them.
    """

    def __init__(self, runner: Runner, mask: Mask) -> None:
        self._runner = runner
        self._mask = mask
        self._held: dict[str, tuple[TaskMessage, str]] = {}

    def start(self, task: Task) -> None:
        """Begin a task."""
        self._runner.start(task)

    def wait(self) -> Sequence[TaskEvent]:
        """Return what happened."""
        return [masked for event in self._runner.wait() for masked in self._take(event)]

    def stop(self, task: Task) -> None:
        """Interrupt a task."""
        self._runner.stop(task)

    def close(self) -> None:
        """End everything."""
        self._runner.close()

    def _take(self, event: TaskEvent) -> Iterator[TaskEvent]:
        if isinstance(event, TaskEnded):
            yield from self._release()
            details = {
                key: self._mask.value(value, keys=False) if key in ("error", "said") else value
                for key, value in event.details.items()
            }
            yield replace(event, reason=event.reason and self._mask.text(event.reason), details=details)
        elif isinstance(event, TaskMessage) and event.message == "stream":
            yield from self._take_stream(event)
        elif isinstance(event, TaskMessage):
            yield from self._release()
            yield replace(event, content=_content(event.message, event.content, self._mask))
        else:
            yield event

    def _take_stream(self, event: TaskMessage) -> Iterator[TaskMessage]:
        name = str(event.content.get("name"))
        earlier, held = self._held.pop(name, (event, ""))
        if earlier.task != event.task and held:
            yield _stream(earlier, self._mask.rest(held))
            held = ""
        shown, held = self._mask.split(held + str(event.content.get("text", "")))
        if held:
            self._held[name] = event, held
        if shown:
            yield _stream(event, shown)

    def _release(self) -> Iterator[TaskMessage]:
        """Yield the ends that were held back, before something else is shown."""
        held, self._held = self._held, {}
        for event, text in held.values():
            yield _stream(event, self._mask.rest(text))


def masked(runner: Runner, values: Iterable[str]) -> Runner:
    """Return a runner whose events hold no secrets: the runner itself where there is nothing to hide."""
    mask = Mask(values)
    return MaskedRunner(runner, mask) if mask else runner


def _stream(event: TaskMessage, text: str) -> TaskMessage:
    return replace(event, content={**event.content, "text": text})


def _content(kind: str, content: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """Return a message's content with the parts that people read masked; what gives it its form stays as it is."""
    masked = dict(content)
    if kind in _SHOWS:
        data = content.get("data")
        if isinstance(data, Mapping):
            masked["data"] = {
                mime: value if _PICTURES.match(str(mime)) else mask.value(value) for mime, value in data.items()
            }
        masked["metadata"] = mask.value(content.get("metadata"), keys=False)
    elif kind.startswith("comm_"):
        masked["data"] = _comm_data(content.get("data"), mask)
    else:
        for key in ("ename", "evalue", "traceback", "code"):
            if key in content:
                masked[key] = mask.value(content[key])
    return masked


def _comm_data(data: Any, mask: Mask) -> Any:
    if not isinstance(data, Mapping):
        return mask.value(data)
    return {
        key: value if key in ("method", "buffer_paths") else mask.value(value, keys=False)
        for key, value in data.items()
    }
