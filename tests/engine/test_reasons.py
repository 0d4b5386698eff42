"""Why a cell runs, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from kanoe.engine.reasons import (
    depends_on,
    hash_in,
    label,
    listed,
    short_name,
    why_miss,
    why_not,
    writer_of,
)
from kanoe.ir.trace import Bundle, Trace, Value


def trace_of(reads: dict[str, str | None], code: str = "code", environment: str = "env", **more: Any) -> Trace:
    return Trace(code=code, environment=environment, reads=reads, writes={}, messages="", seconds=1.0, **more)


def state_of(**values: str) -> dict[str, Value]:
    return {f"name:{name}": Value(hashed) for name, hashed in values.items()}


# (what was read, what is there now, who wrote it) -> the sentence
SENTENCES = {
    "a variable": (
        {"name:df": "a"},
        {"name:df": "b"},
        {"name:df": 4},
        "it reads df, which cell 4 now writes differently",
    ),
    "two of one cell": (
        {"name:x": "a", "name:y": "a", "name:z": "a"},
        {"name:x": "b", "name:y": "b", "name:z": "a"},
        {"name:x": 4, "name:y": 4, "name:z": 4},
        "it reads x and y, which cell 4 now writes differently",
    ),
    "two of two cells": (
        {"name:x": "a", "name:y": "a"},
        {"name:x": "b", "name:y": "b"},
        {"name:x": 4, "name:y": 5},
        "it reads x, which cell 4 now writes differently",
    ),
    "many": (
        {f"name:v{number}": "a" for number in range(5)},
        {f"name:v{number}": "b" for number in range(5)},
        {f"name:v{number}": 0 for number in range(5)},
        "it reads v0, v1, v2 and 2 more, which cell 0 now writes differently",
    ),
    "gone": ({"name:df": "a"}, {}, {}, "it reads df, which no cell before it makes any more"),
    "deleted": ({"name:df": "a"}, {}, {"name:df": 3}, "it reads df, which cell 3 now deletes"),
    "new": ({"name:df": None}, {"name:df": "a"}, {"name:df": 2}, "it looks for df, which cell 2 now makes"),
    "a function": (
        {"name:clean": "a", "def:function:clean:1f": "a"},
        {"name:clean": "b"},
        {"name:clean": 1},
        "it reads clean, which cell 1 now writes differently",
    ),
    "a definition alone": (
        {"def:class:Model:1f": "a"},
        {},
        {},
        "it uses Model, which is defined differently now",
    ),
    "a result": ({"out:3": "a"}, {"out:3": "b"}, {"out:3": 3}, "it reads Out[3], which cell 3 now returns differently"),
    "a file": (
        {"file:/kaggle/working/a.csv": "a"},
        {"file:/kaggle/working/a.csv": "b"},
        {"file:/kaggle/working/a.csv": 6},
        "it reads a.csv, which cell 6 now writes differently",
    ),
    "data": (
        {"file:/kaggle/input/titanic/train.csv": "a"},
        {"file:/kaggle/input/titanic/train.csv": "b"},
        {},
        "it reads input/titanic/train.csv, which is different now",
    ),
    "a random state": (
        {"random:numpy": "a"},
        {"random:numpy": "b"},
        {"random:numpy": 1},
        "it draws from numpy's random state, which cell 1 now leaves differently",
    ),
    "a setting": (
        {"setting:pandas:display.max_rows": "a"},
        {"setting:pandas:display.max_rows": "b"},
        {"setting:pandas:display.max_rows": 1},
        "it works under pandas' display.max_rows, which cell 1 now sets differently",
    ),
    "a variable before a setting": (
        {"setting:pandas": "a", "name:df": "a"},
        {"setting:pandas": "b", "name:df": "b"},
        {"setting:pandas": 1, "name:df": 2},
        "it reads df, which cell 2 now writes differently",
    ),
    "what is known before what is not": (
        {"name:a": "a", "name:b": "a"},
        {"name:b": "b"},
        {"name:b": 2},
        "it reads b, which cell 2 now writes differently",
    ),
    "a library": (
        {"opaque:tensorflow": "a"},
        {"opaque:tensorflow": "b"},
        {"opaque:tensorflow": 1},
        "it uses tensorflow's inner state, which cell 1 now leaves differently",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_reason_is_one_sentence_in_the_notebooks_names(case: str) -> None:
    reads, now, writers, sentence = SENTENCES[case]
    state = {reference: Value(hashed) for reference, hashed in now.items()}
    reason = why_not(trace_of(reads), state, writers)
    assert reason is not None
    assert reason.text == sentence


def test_a_trace_that_applies_has_no_reason() -> None:
    assert why_not(trace_of({"name:x": "a", "name:y": None}), state_of(x="a"), {}) is None


def test_a_function_is_defined() -> None:
    state = {"name:clean": Value("b", type="function")}
    reason = why_not(trace_of({"name:clean": "a"}), state, {"name:clean": 1})
    assert reason is not None
    assert reason.text == "it uses clean, which cell 1 now defines differently"
    assert (reason.references, reason.writer) == (("name:clean",), 1)


def test_a_cell_that_did_the_same_is_not_said_to_differ() -> None:
    """The cell that wrote it last is gone: what an earlier one wrote is seen again."""
    reason = why_not(trace_of({"name:x": "a"}), state_of(x="b"), {"name:x": 2}, unchanged={2})
    assert reason is not None
    assert reason.text == "it reads x, which is now as cell 2 left it"


def test_a_group_has_the_hash_of_its_bundle() -> None:
    bundle = Bundle("joint", ("name:a", "name:b"))
    state = {"name:a": Value("own", bundle=bundle)}
    assert hash_in(state, "group:name:a") == "joint"
    assert hash_in(state, "group:name:b") is None
    reason = why_not(trace_of({"group:name:a": "other"}), state, {"name:a": 3})
    assert reason is not None
    assert reason.text == "it changes a and what shares its memory, which cell 3 now writes differently"


def test_what_a_state_alone_does_not_say_is_asked_for() -> None:
    trace = trace_of({"file:/kaggle/input/a.csv": "a", "name:x": "a"})
    hashes = {"file:/kaggle/input/a.csv": "a", "name:x": "b"}
    reason = why_not(trace, {}, {}, hash_of=hashes.get)
    assert reason is not None
    assert reason.text == "it reads x, which is different now"


def test_why_no_trace_applies() -> None:
    def text(traces: list[Trace], previous: Trace | None) -> str:
        return why_miss("code", "env", traces, previous, state_of(x="b", y="a"), {"name:x": 1}).text

    assert text([], None) == "it never ran here"
    assert text([], trace_of({}, code="other")) == "its code changed"
    assert text([], trace_of({}, environment="other")) == "the environment changed"
    far, near = trace_of({"name:x": "a", "name:y": "c"}), trace_of({"name:x": "a", "name:y": "a"})
    assert text([far, near], None) == "it reads x, which cell 1 now writes differently"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("name:df", "df"),
        ("def:function:clean:5f3a", "clean"),
        ("out:3", "Out[3]"),
        ("random:numpy", "numpy's random state"),
        ("random:python", "Python's random state"),
        ("setting:environ", "the environment variables"),
        ("setting:environ:HOME", "the environment variable HOME"),
        ("setting:pandas:mode.*", "pandas' mode options"),
        ("setting:pandas:*", "pandas' options"),
        ("setting:*", "the settings"),
        ("name:*", "all variables"),
        ("effect:threads", "the running threads"),
        ("file:/kaggle/working/sub/a.csv", "sub/a.csv"),
        ("file:/tmp/a", "/tmp/a"),
        ("folder:/kaggle/working", "the folder working"),
        ("exists:/kaggle/working/m.pkl", "whether m.pkl is there"),
        ("group:name:df", "df and what shares its memory"),
        ("strange", ""),
    ],
)
def test_references_have_names_for_people(reference: str, words: str) -> None:
    assert label(reference) == words


def test_short_names_are_names_or_references() -> None:
    references = ["name:df", "def:class:K:1", "group:name:df", "random:numpy", "file:/a"]
    assert [short_name(entry) for entry in references] == ["df", "K", "df", "random:numpy", "file:/a"]


@pytest.mark.parametrize(
    ("read", "written", "follows"),
    [
        ("name:x", "name:x", True),
        ("group:name:x", "name:x", True),
        ("name:x", "name:y", False),
        ("folder:/w", "file:/w/a", True),
        ("folder:/w", "file:/wide/a", False),
        ("exists:/w/a", "file:/w/a", True),
        ("exists:/w/a", "file:/w/a/b", False),
        ("tree:/w", "file:/w/a/b", True),
        ("module:/w/own", "file:/w/own.py", True),
        ("module:/w/own", "file:/w/own/__init__.py", True),
        ("module:/w/own", "file:/v/own.py", False),
        ("setting:pandas:*", "setting:pandas:x", True),
        ("setting:pandas:*", "setting:numpy:x", False),
        ("folder:/w", "name:/w/a", False),
    ],
)
def test_what_follows_from_what(read: str, written: str, follows: bool) -> None:
    assert depends_on(read, written) is follows


def test_the_last_writer_counts() -> None:
    assert writer_of("folder:/w", {"file:/w/a": 1, "file:/w/b": 5, "file:/v": 7}) == 5
    assert writer_of("folder:/w", {}) is None


def test_words_are_listed() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert listed(list("abcde")) == "a, b, c and 2 more"
