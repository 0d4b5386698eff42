"""Values of secrets in what a notebook prints and shows."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.back.masking import Mask, MaskedRunner, masked
from kanoe.engine.events import SessionStarted, TaskEnded, TaskEvent, TaskMessage, TaskState
from kanoe.engine.runner import FakeRunner, Script, Task

SECRETS = [
    "hush-hush-42",
    'it\'s "quoted"',
    "p@ss/w&rd+1 2=3?",
    "päss wörd ✓",
    "back\\slash\ttab",
    "<b>&amp;</b>",
    "0123",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        ascii,
        lambda value: repr({"key": value}),
        lambda value: repr(value.encode()),
        json.dumps,
        lambda value: json.dumps({"a": [value]}, ensure_ascii=False),
        lambda value: json.dumps(json.dumps(value)),
        html.escape,
        urllib.parse.quote,
        lambda value: urllib.parse.quote(value, safe=""),
        lambda value: urllib.parse.urlencode({"q": value}),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
        lambda value: f"Bearer {value}\n",
    ],
)
def test_every_form_is_found(secret: str, write: Any) -> None:
    text = f"before {write(secret)} after {write(secret)}"
    shown = Mask([secret]).text(text)
    assert "***" in shown
    assert write(secret).strip("'\"b \n") not in shown
    assert shown.startswith("before")
    assert "after" in shown


@pytest.mark.parametrize("before", ["", "u", "us", "user:", "a much longer beginning:"])
def test_it_is_found_inside_of_a_longer_base64_text(before: str) -> None:
    secret = "hush-hush-42-and-more"
    encoded = base64.b64encode(f"{before}{secret}:tail".encode()).decode()
    shown = Mask([secret]).text(f"Authorization: Basic {encoded}")
    left = shown.replace("***", "").split()[-1]
    assert len(encoded) - len(left) >= len(base64.b64encode(secret.encode())) - 4


def test_the_lines_of_a_long_value() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nend\n-----END KEY-----\n"
    mask = Mask([key])
    assert mask.text(f"x {key} y") == "x *** y"
    assert mask.text(key.strip()) == "***"
    assert mask.text("first: MIIEvQIBADANBgkq; the end") == "first: ***; the end"


@pytest.mark.parametrize("value", ["", "a", "abc", "   ", "\n\n\n\n\n", "  a   "])
def test_short_values_are_left(value: str) -> None:
    assert not Mask([value])
    runner = FakeRunner()
    assert masked(runner, [value]) is runner


def test_nothing_is_wrapped_where_there_is_nothing_to_hide() -> None:
    runner = FakeRunner()
    assert masked(runner, []) is runner
    assert isinstance(masked(runner, ["hush-hush"]), MaskedRunner)


class Recorded(FakeRunner):
    """Gives the events that a test makes, then the end of the task."""

    def __init__(self, *events: TaskEvent) -> None:
        super().__init__()
        self._given = [*events]

    def wait(self) -> Sequence[TaskEvent]:
        return [self._given.pop(0)] if self._given else super().wait()


def stream(text: str, name: str = "stdout", task: str = "t") -> TaskMessage:
    return TaskMessage(task=task, message="stream", content={"name": name, "text": text})


def show(message: str, **content: Any) -> TaskMessage:
    return TaskMessage(task="t", message=message, content=content)


def end(**details: Any) -> TaskEnded:
    return TaskEnded(task="t", state=TaskState.FAILED, seconds=0.0, reason=details.pop("reason", None), details=details)


def through(events: Sequence[TaskEvent], *secrets: str) -> list[TaskEvent]:
    runner = masked(Recorded(*events), secrets)
    return [event for _ in events for event in runner.wait()]


def texts(events: Sequence[TaskEvent], name: str = "stdout") -> str:
    return "".join(
        event.content["text"]
        for event in events
        if isinstance(event, TaskMessage) and event.message == "stream" and event.content["name"] == name
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_a_value_that_messages_cut_in_two(size: int) -> None:
    whole = "key: hush-hush-42, hus, again hush-hush-42hush-hush-42\nhush-hush-4"
    parts = [stream(whole[start : start + size]) for start in range(0, len(whole), size)]
    shown = texts(through([*parts, end()], "hush-hush-42"))
    assert shown == "key: ***, hus, again ******\n***"


@given(
    st.lists(st.sampled_from(["hush", "hush-hush", "h", "u", "-42", "x", "\n", "hush-hush-42"]), max_size=12),
    st.lists(st.integers(1, 9), min_size=1, max_size=40),
)
def test_however_a_text_is_cut_it_is_shown_as_in_one_piece(pieces: list[str], sizes: list[int]) -> None:
    secrets = ["hush-hush-42", "hush-hush-42x"]
    whole = "".join(pieces) + "."
    parts, start = [], 0
    for size in [*sizes, len(whole)]:
        if whole[start : start + size]:
            parts.append(stream(whole[start : start + size]))
        start += size
    shown = texts(through([*parts, end()], *secrets))
    assert shown == Mask(secrets).text(whole)


def test_streams_do_not_mix_and_the_end_of_a_text_is_not_lost() -> None:
    events = through([stream("a hush-"), stream("hush-", "stderr"), stream("hush-42 b"), end()], "hush-hush-42")
    assert texts(events) == "a *** b"
    assert texts(events, "stderr") == "hush-"
    assert isinstance(events[-1], TaskEnded)
    assert texts(through([stream("so hus"), stream("h!"), end()], "hush-hush-42")) == "so hush!"


def test_what_is_held_back_comes_before_what_is_shown_next() -> None:
    events = through([stream("shown hus"), show("display_data", data={"text/plain": "x"}), end()], "hush-hush-42")
    assert [event.message for event in events if isinstance(event, TaskMessage)] == ["stream", "stream", "display_data"]
    assert texts(events) == "shown hus"


def test_a_text_of_an_earlier_task_stays_its_own() -> None:
    events = through([stream("hus"), stream("h-hush-42", task="u"), end()], "hush-hush-42")
    assert [(event.task, event.content["text"]) for event in events if isinstance(event, TaskMessage)] == [
        ("t", "hus"),
        ("u", "h-hush-42"),
    ]


@pytest.mark.parametrize(
    ("message", "content", "shown"),
    [
        (
            "execute_result",
            {"data": {"text/plain": "'hush-hush'", "text/html": "<b>hush-hush</b>"}, "metadata": {}, "execution_count": 1},
            {"data": {"text/plain": "'***'", "text/html": "<b>***</b>"}, "metadata": {}, "execution_count": 1},
        ),
        (
            "display_data",
            {"data": {"application/json": {"hush-hush": [1, "hush-hush"]}}, "metadata": {"a": "hush-hush"}},
            {"data": {"application/json": {"***": [1, "***"]}}, "metadata": {"a": "***"}},
        ),
        (
            "display_data",
            {"data": {"image/png": "hush-hush", "image/svg+xml": "hush-hush"}, "metadata": {}},
            {"data": {"image/png": "hush-hush", "image/svg+xml": "***"}, "metadata": {}},
        ),
        (
            "error",
            {"ename": "E", "evalue": "bad hush-hush", "traceback": ["line", "  hush-hush"]},
            {"ename": "E", "evalue": "bad ***", "traceback": ["line", "  ***"]},
        ),
        ("execute_input", {"code": "k = 'hush-hush'", "execution_count": 1}, {"code": "k = '***'", "execution_count": 1}),
        (
            "comm_msg",
            {"comm_id": "c", "data": {"method": "update", "state": {"value": "hush-hush"}, "buffer_paths": []}},
            {"comm_id": "c", "data": {"method": "update", "state": {"value": "***"}, "buffer_paths": []}},
        ),
        ("clear_output", {"wait": True}, {"wait": True}),
    ],
)  # fmt: skip
def test_every_kind_of_message(message: str, content: dict[str, Any], shown: dict[str, Any]) -> None:
    (event, *_) = through([show(message, **content), end()], "hush-hush")
    assert isinstance(event, TaskMessage)
    assert event.content == shown


@pytest.mark.parametrize("secret", ["stdout", "text/plain", "update", "stream", "method", "state", "data", "text"])
def test_a_value_that_is_a_word_of_the_protocol_breaks_no_message(secret: str) -> None:
    events = [
        stream("said stdout"),
        show("display_data", data={"text/plain": "x"}, metadata={}),
        show("comm_msg", comm_id="c", data={"method": "update", "state": {"value": 1}, "buffer_paths": []}),
        end(execution={"iopub.status.busy": "2026"}),
    ]
    seen = through(events, secret)
    assert texts(seen).replace("***", secret) == "said stdout"
    assert [event for event in seen if not (isinstance(event, TaskMessage) and event.message == "stream")] == events[1:]


def test_the_end_of_a_task() -> None:
    ended = through(
        [
            end(
                reason="ValueError: hush-hush",
                error={"ename": "ValueError", "evalue": "hush-hush", "line": 3, "library": None},
                said="Fatal hush-hush",
                execution={"a": "hush-hush"},
            )
        ],
        "hush-hush",
    )
    (event,) = ended
    assert isinstance(event, TaskEnded)
    assert event.reason == "ValueError: ***"
    assert event.details["error"] == {"ename": "ValueError", "evalue": "***", "line": 3, "library": None}
    assert event.details["said"] == "Fatal ***"
    assert event.details["execution"] == {"a": "hush-hush"}


def test_it_is_a_runner_like_the_one_inside() -> None:
    inside = FakeRunner(lambda task: Script(prints=task.code, endless=True))
    runner = masked(inside, ["hush-hush"])
    task = Task("t", "cell 0", 0, "say hush-hush")
    runner.start(task)
    assert texts(runner.wait()) == "say ***"
    runner.stop(task)
    (ended,) = runner.wait()
    assert isinstance(ended, TaskEnded)
    runner.close()
    assert inside.closed


def test_other_events_pass() -> None:
    event = SessionStarted(task="t", language={"name": "python"}, seconds=1.0)
    assert through([event], "python") == [event]
