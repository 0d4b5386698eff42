"""Nothing of a notebook's making reaches the terminal as a command to it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from kanoe_command import kanoe, write_notebook

from kanoe.cli.texts import output_text, visible

TITLE = "\x1b]0;owned\x07"
CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x1b\\"
# What no text may hold that goes to a terminal.
COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("größer ✓ 中", "größer ✓ 中"),
        (f"a{TITLE}b{CLIPBOARD}c", "abc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1H\x1b[?1049h\x1b[6n\x1b[>c\x1b[ q", ""),
        ("\x1bP1$r0m\x1b\\x\x1b_G\x1b\\y", "xy"),
        ("\x1bc\x1b7\x08\x7f\x0e", "c7"),
        ("\x9b31m\x9d0;t\x9c", "31m0;t"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("50%\r100%\r\n", "50%\n100%\n"),
        ("\x1b]0;never closed\nnext", "\nnext"),
        ("\udc80", "?"),
    ],
)
def test_what_is_seen(text: str, seen: str) -> None:
    assert visible(text) == seen
    assert not COMMANDS.search(visible(text))


def test_colours_may_stay_and_nothing_else() -> None:
    text = f"\x1b[1;31mred\x1b[0m{TITLE}\x1b[2J\x1b\x1b[32mc\x1b[38:5:1m"
    assert visible(text, colours=True) == "\x1b[1;31mred\x1b[0m\x1b[32mc\x1b[38:5:1m"


@pytest.mark.parametrize("value", [5, None, [1], {"a": 1}, ["a"], TITLE])
def test_a_display_of_any_shape_has_a_text(value: object) -> None:
    assert not COMMANDS.search(output_text("display_data", {"data": {"text/plain": value, TITLE: ""}}))


def test_a_hostile_run_shows_no_command(tmp_path: Path) -> None:
    code = f"""
import sys
title, clipboard = {TITLE!r}, {CLIPBOARD!r}
print(title + clipboard + 'told' + chr(0x9b) + '2J')
print(chr(0xdc80), file=sys.stderr)
open('file' + title + chr(10) + 'SUCCEEDED', 'w').close()
from IPython.display import display
display({{'text/plain': 5, title: 'x'}}, raw=True)
class Odd:
    def __repr__(self): return title
display(Odd())
raise type('E' + title, (Exception,), {{}})(clipboard + 'said')
"""
    path = write_notebook(tmp_path / "nb.ipynb", f"'{TITLE}'", code)
    done = kanoe("run", path, "-v", "--no-html", own_traceback=True)
    assert done.code == 1
    texts = [done.err, done.out, *(kanoe(*words).out for words in (("logs",), ("show",), ("runs",)))]
    for text in texts:
        assert not COMMANDS.search(text), ascii(text)
    assert "told" in texts[0]
    assert "told" in texts[2]
    assert "said" in texts[3]
    json.loads(kanoe("logs", "--json").out)


def test_a_failure_before_a_run_shows_no_command(tmp_path: Path) -> None:
    done = kanoe("run", tmp_path / f"no{TITLE}thing.ipynb")
    assert done.code == 2
    assert not COMMANDS.search(done.err)
