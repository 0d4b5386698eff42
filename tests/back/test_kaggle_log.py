"""Kaggle's log: its exact form, one object a line of output."""

from __future__ import annotations

import json

import pytest

from kanoe.back.kaggle_log import kaggle_log
from kanoe.engine.events import Event, ProgramStarted, TaskMessage


def stream(text: str, time: float = 1.0, name: str = "stdout") -> TaskMessage:
    return TaskMessage(task="c", message="stream", content={"name": name, "text": text}, time=time)


def log(*events: Event) -> str:
    return b"".join(kaggle_log([ProgramStarted(tasks=1, time=0.5), *events])).decode()


def test_the_form() -> None:
    assert log(stream("a\n<b> & c\n", 11.0), stream("e\n", 12.25, "stderr")) == (
        '[{"stream_name":"stdout","time":10.500000000,"data":"a\\n"}\n'
        ',{"stream_name":"stdout","time":10.500000000,"data":"\\u003cb\\u003e \\u0026 c\\n"}\n'
        ',{"stream_name":"stderr","time":11.750000000,"data":"e\\n"}\n'
        "]\n"
    )


def test_nothing_printed() -> None:
    assert json.loads(log()) == []


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a", "\n"], ["a\n"]),
        (["a", "b\nc", "d"], ["ab\n", "cd"]),
        (["1\r2\r", "3\n"], ["1\r", "2\r", "3\n"]),
        (["a\r\nb"], ["a\r\n", "b"]),
        (["ž\u2028\x0b\n"], ["ž\u2028\x0b\n"]),
        (["\n\n"], ["\n", "\n"]),
        (["", "a"], ["a"]),
    ],
)
def test_one_object_a_line_however_it_came(pieces: list[str], lines: list[str]) -> None:
    assert [record["data"] for record in json.loads(log(*map(stream, pieces)))] == lines


def test_streams_do_not_mix() -> None:
    records = json.loads(log(stream("a"), stream("e\n", name="stderr"), stream("b\n")))
    assert [(record["stream_name"], record["data"]) for record in records] == [("stderr", "e\n"), ("stdout", "ab\n")]


def test_errors_stand_in_the_error_stream() -> None:
    error = TaskMessage(task="c", message="error", content={"ename": "E", "evalue": "v", "traceback": ["one", "two"]})
    assert [record["data"] for record in json.loads(log(error))] == ["one\n", "two\n"]


def test_a_lone_surrogate_does_not_break_it() -> None:
    assert json.loads(log(stream("\ud800\n")))
