"""What differs between any two runs and says nothing of the result, taken out of a text by the rules of `rules.toml`."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files

_COLOURS = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]{0,200}\x07|[()][A-Z0-9])")
_SERIES = re.compile(r"^(?:Freq: \S+, )?(?:Name: (.*?), )?(?:Length: \d+, )?dtype: ?\S*\s*$")
_MEASURE = re.compile(r" - (?=[A-Za-z_]\w{0,60}: )")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what is taken for the same, and how.

    Args:
        what: in words, for the pages.
        find: what is replaced: a regular expression, `^` and `$` stand at lines.
        put: what stands there instead.
        was: an example of an author's text.
        now: a text of now that means the same.
        any_two: whether any two executions in one environment differ in it; else only other versions of libraries do.
    """

    what: str
    find: re.Pattern[str]
    put: str
    was: str
    now: str
    any_two: bool = False


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Return the rules of `rules.toml`, in their order."""
    table = tomllib.loads((files(__package__) / "rules.toml").read_text(encoding="utf-8"))
    return tuple(
        Rule(
            row["what"],
            re.compile(row["find"], re.MULTILINE),
            row.get("put", ""),
            row["was"],
            row["now"],
            row.get("any_two", False),
        )
        for row in table["rule"]
    )


def clean(text: str) -> str:
    """Return a text without what differs between any two runs."""
    lines = (line.rstrip() for line in overwritten(_COLOURS.sub("", text)).split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    for rule in rules():
        text = rule.find.sub(rule.put, text)
    measures = [_sorted_measures(line.rstrip()) for line in text.split("\n")]
    return "\n".join(_without_series_ends(measures)).strip("\n")


def overwritten(text: str) -> str:
    """Return what a terminal shows in the end of text with carriage returns and backspaces: the last version of a line."""
    if "\r" not in text and "\b" not in text:
        return text
    text = re.sub(r"\x08+\r?", "\r", text.replace("\r\n", "\n"))
    return "\n".join(
        next((part for part in reversed(line.split("\r")) if part.strip()), "") if "\r" in line else line
        for line in text.split("\n")
    )


def _sorted_measures(line: str) -> str:
    """Return a line of ` - name: value` parts in the order of their names: releases of Keras differ in it."""
    parts = _MEASURE.split(line)
    return " - ".join([parts[0], *sorted(parts[1:])]) if len(parts) > 2 else line


def _without_series_ends(lines: list[str]) -> list[str]:
    """Return lines without what pandas says below a Series, and, of its later releases, the name above counts."""
    kept: list[str] = []
    for line in lines:
        end = _SERIES.match(line) if "dtype:" in line else None
        if end is None:
            kept.append(line)
        elif end[1] in ("count", "proportion"):
            top = len(kept)
            while top and re.search(r"(?:\S|^)\s+[\d.]+(?:e[-+]?\d+)?$", kept[top - 1]):
                top -= 1
            if top and kept[top - 1].strip():
                del kept[top - 1]
    return kept
