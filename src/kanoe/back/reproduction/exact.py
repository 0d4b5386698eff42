"""Outputs of two executions of one notebook in one environment: exactly equal, but for what no two executions share.

Addresses in memory, process ids, how long something took, the day and the time of the execution, ids drawn at random by libraries.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kanoe.back.reproduction.noise import overwritten, rules

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?"
_ALWAYS = tuple(
    (re.compile(find), put)
    for find, put in (
        (r"(?<![^\s'\"])[^\s'\"]{0,400}[/\\]ipykernel_\d+[/\\]\d+\.py", "CELL"),
        (r"(?i)\b(pid|process|thread|ident)(\W{1,3})\d+", r"\1\2NUMBER"),
        (r"(?m)^\[\d{2}:\d{2}:\d{2}\] ", "[TIME] "),  # XGBoost's log
        (r"\bT_[0-9a-f]{5}(?=_|\b)", "T_ID"),  # pandas' styles
        (r"altair-viz-[0-9a-f]{32}", "altair-viz-ID"),
        (r"(?<=[#\"(])[mpCDhx][0-9a-f]{10}(?=[\")])", "ID"),  # matplotlib's shapes
    )
)
_MOST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Noise:
    """What differs between these two executions.

    Args:
        days: when they were, as `2026-11-21`.
        places: what each calls the same folder, and the name that stands for it.
    """

    days: tuple[str, ...] = ()
    places: Mapping[str, str] | None = None

    def clean(self, text: str) -> str:
        """Return a text without it."""
        for place, name in sorted((self.places or {}).items(), key=lambda pair: -len(pair[0])):
            text = text.replace(place, name)
        text = overwritten(text)
        for find, put in (*_ALWAYS, *_dates(self.days)):
            text = find.sub(put, text)
        for rule in rules():
            if rule.any_two:
                text = rule.find.sub(rule.put, text)
        return text


def days_of(moments: Iterable[float]) -> tuple[str, ...]:
    """Return the days of moments, in seconds since 1970, and those beside them: nobody knows in which time zone."""
    found = set()
    for moment in moments:
        day = datetime.fromtimestamp(moment, UTC)
        found |= {(day + timedelta(hours=hours)).strftime("%Y-%m-%d") for hours in (-12, 0, 14)}
    return tuple(sorted(found))


@functools.cache
def _dates(days: tuple[str, ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return what finds these days with the time behind them, as ISO 8601 and as C write them."""
    if not days:
        return ()
    told = [datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) for day in days]
    plain = "|".join(form for day in told for form in (day.strftime("%Y[-/]%m[-/]%d"), day.strftime("%Y%m%d")))
    words = "|".join(day.strftime("%b {0,2}") + str(day.day) for day in told)
    years = "|".join(sorted({str(day.year) for day in told}))
    return (
        (re.compile(rf"\b(?:{plain})(?:[T _-]{{1,2}}{_CLOCK}|[T _-]\d{{6}}\b)?"), "MOMENT"),
        (re.compile(rf"(?:\b\w{{3}} )?\b(?:{words}) {_CLOCK}(?: [A-Z]{{3,4}})? (?:{years})\b"), "MOMENT"),
    )


def compare_exactly(
    ours: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    noise: Noise,
    *,
    other: str = "in a fresh run",
) -> str | None:
    """Return in what the outputs of a cell differ from those of another execution, as a sentence; `None`: in nothing.

    In which order stdout and stderr came together is any run's own.

    Args:
        ours: outputs in the form of nbformat 4; text may stand in pieces.
        others: those of the other execution.
        noise: what differs between any two executions.
        other: what the other execution is called.
    """
    for name in ("stdout", "stderr"):
        here, there = (noise.clean(_printed(outputs, name)) for outputs in (ours, others))
        if here != there:
            return f"it printed {_apart(here, there, other)}" + (" to stderr" if name == "stderr" else "")
    ours, others = ([entry for entry in outputs if entry.get("output_type") != "stream"] for outputs in (ours, others))
    for pair in zip(ours, others, strict=False):
        text = _compare_shown(*pair, noise, other)
        if text is not None:
            return text
    if len(ours) != len(others):
        return f"it shows {len(ours)} outputs besides text, and {len(others)} {other}"
    return None


def _printed(outputs: Sequence[Mapping[str, Any]], name: str) -> str:
    return "".join(_text(entry.get("text")) for entry in outputs if entry.get("name") == name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value or ())


def _compare_shown(ours: Mapping[str, Any], others: Mapping[str, Any], noise: Noise, other: str) -> str | None:
    kinds = ours.get("output_type"), others.get("output_type")
    if kinds[0] != kinds[1]:
        return f"it shows {_noun(kinds[0])}, and {_noun(kinds[1])} {other}"
    if kinds[0] == "error":
        here, there = (noise.clean(f"{entry.get('ename')}: {entry.get('evalue')}") for entry in (ours, others))
        return f"it failed with {_apart(here, there, other)}" if here != there else None
    numbers = ours.get("execution_count"), others.get("execution_count")
    if numbers[0] != numbers[1]:
        return f"its number is {numbers[0]}, and {numbers[1]} {other}"
    text = _compare_forms(ours.get("data") or {}, others.get("data") or {}, noise, other)
    if text is not None:
        return text
    here, there = (_form("metadata", entry.get("metadata"), noise) for entry in (ours, others))
    return None if here == there else "what it shows has other metadata"


def _compare_forms(ours: Mapping[str, Any], others: Mapping[str, Any], noise: Noise, other: str) -> str | None:
    for mime in sorted({*ours, *others}, key=lambda mime: (mime != "text/plain", mime)):
        if mime not in ours or mime not in others:
            return f"it shows {mime} {'here' if mime in ours else other} only"
        if ours[mime] == others[mime]:
            continue
        here, there = (_form(mime, forms[mime], noise) for forms in (ours, others))
        if here != there:
            readable = mime.startswith("text/") and mime != "text/html"
            return f"it shows {_apart(here, there, other)}" if readable else f"it shows another {mime}"
    return None


def _form(mime: str, value: Any, noise: Noise) -> str:
    """Return what is compared of one form of an output."""
    text = _text(value) if isinstance(value, str | list) and _is_text(value) else json.dumps(value, sort_keys=True)
    pixels = mime.startswith(("image/", "audio/", "video/", "application/pdf")) and "svg" not in mime
    return text if pixels else noise.clean(text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or all(isinstance(part, str) for part in value)


def _noun(kind: Any) -> str:
    return {"error": "an error", "execute_result": "a result"}.get(str(kind), "an output")


def _apart(ours: str, others: str, other: str) -> str:
    """Return the first lines in which two texts differ."""
    lines = ours.split("\n"), others.split("\n")
    number = next((n for n, pair in enumerate(zip(*lines, strict=False)) if pair[0] != pair[1]), min(map(len, lines)))
    here, there = (_excerpt(text[number]) if number < len(text) else "nothing more" for text in lines)
    return f"{here}, and {there} {other}"


def _excerpt(line: str) -> str:
    line = " ".join(line.replace("`", "'").split())
    return f"`{line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN] + '…'}`"
