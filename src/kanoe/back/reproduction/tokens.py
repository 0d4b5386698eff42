"""A text as numbers, dates and words; two texts are compared token by token, white space counts for nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

# Below this, two numbers are the noise of rounding.
_NOTHING = 1e-10

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"
_TIME = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?:\s?[AP]M)?"
_TOKEN = re.compile(
    rf"""
    (?P<date>
        \d{{4}}[-/]\d{{2}}[-/]\d{{2}}(?:[T ]{_TIME}(?:Z|[+-]\d{{2}}:?\d{{2}})?)?(?!\d)
      | (?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?[ ]+)?(?:\d{{1,2}}[ ]{_MONTH}|{_MONTH}[ ]+\d{{1,2}})
        ,?(?:[ ]{_TIME})?(?:[ ][A-Z]{{3}})?[ ]\d{{4}}
      | (?<!\d)\d{{1,2}}/\d{{1,2}}/\d{{4}}(?:[ ]{_TIME})?
    )
  | (?P<clock>(?<![\d:])\d{{1,3}}:\d{{2}}:\d{{2}}(?:[.,]\d+)?(?![\d:]))
  | (?P<thousands>(?<![\[(,.\w])[-+]?\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\d,\])]))
  | (?P<number>(?:(?<![\w.)\]])[-+])?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
  | (?P<word>[^\W\d]\w*|\.\.\.)
  | (?P<mark>\S)
    """,
    re.VERBOSE,
)
_NOT_A_NUMBER = frozenset(("NaN", "nan", "NAN", "NaT", "None", "NA", "null"))
_MEASURES = re.compile(
    r"accuracy|\bacc\b|_acc\b|auc|\broc\b|\bf1|precision|recall|score|r?m?sle\b|rmse|\bmse\b|\bmae\b|mape|loss|error|r2\b|r\^2|kappa|gini"
    r"|\bmcc\b|\bcv\b|deviance|perplexity|\biou\b|\bdice\b|bleu",
    re.IGNORECASE,
)


class Token(NamedTuple):
    """A piece of a text: what it is compared by, its value if it is a number, the text itself, and where it stands."""

    key: str
    value: float | None
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two numbers that stand at the same place and differ: the positions of their tokens, and whether the tolerance covers it."""

    was: Token
    now: Token
    within: bool

    @property
    def distance(self) -> float:
        """How far they are apart, as a share of the larger."""
        assert self.was.value is not None
        assert self.now.value is not None
        larger = max(abs(self.was.value), abs(self.now.value))
        return abs(self.was.value - self.now.value) / larger if larger and math.isfinite(larger) else math.inf


def tokenise(text: str) -> list[Token]:
    """Return the tokens of a text. All numbers have the key `#`, all that is not a number there the key `nan`."""
    tokens = []
    for match in _TOKEN.finditer(text):
        kind, said = match.lastgroup, match[0]
        if kind in ("number", "thousands"):
            tokens.append(Token("#", _value(said), said, match.start()))
        elif kind == "date":
            tokens.append(Token(f"@{' '.join(said.split())}", None, said, match.start()))
        elif kind == "clock":
            tokens.append(Token("clock", None, said, match.start()))
        else:
            key = "nan" if said in _NOT_A_NUMBER else "'" if said == '"' else said
            tokens.append(Token(key, None, said, match.start()))
    return tokens


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def compare_tokens(
    was: Sequence[Token], now: Sequence[Token], tolerance: float, day: date | None = None
) -> list[Mismatch] | None:
    """Return the numbers that differ, or `None` where the texts differ in something else.

    Args:
        was: the author's.
        now: those of now.
        tolerance: how far two numbers may be apart, as a share of the larger.
        day: today where the run was: a date of now that is today is the time of running, and no result.
    """
    if len(was) != len(now):
        return None
    found = []
    for old, new in zip(was, now, strict=True):
        if old.key != new.key:
            if not (old.key[0] == "@" == new.key[0] and is_day(new.text, day)):
                return None
        elif old.value is not None and new.value is not None and old.value != new.value:
            found.append(Mismatch(old, new, is_close(old.value, new.value, tolerance)))
    return found


def is_close(was: float, now: float, tolerance: float) -> bool:
    """Whether two numbers are within a share of the larger of each other, or both next to nothing."""
    if was == now:
        return True
    larger = max(abs(was), abs(now))
    if not math.isfinite(larger):
        return False
    return larger < _NOTHING or abs(was - now) <= tolerance * larger


def is_day(text: str, day: date | None) -> bool:
    """Whether a written date is that day, or one next to it (the writer's clock may be in another zone)."""
    if day is None:
        return False
    numbers = {int(number) for number in re.findall(r"\d+", text)}
    month = re.search(_MONTH, text)
    for near in (day + timedelta(days=days) for days in (-1, 0, 1)):
        same_month = month[0][:3] == _MONTHS[near.month - 1] if month else near.month in numbers
        if near.year in numbers and same_month and near.day in numbers:
            return True
    return False


def label_of(text: str, token: Token) -> str | None:
    """Return what a number is called: the words right before it on its line, else those of its row and column, else the line above."""
    start = text.rfind("\n", 0, token.start) + 1
    before = text[max(start, token.start - 500) : token.start]
    words = _last_words(before)
    if words:
        return words
    end = text.find("\n", token.start, token.start + 2000)
    row = re.match(r"\s*([^\W\d][\w /%.-]*?)(?=\s{2,}|\t|\s[-+]?\d|$)", before)
    column = _column(text, start, text[token.start : end if end >= 0 else token.start + 2000])
    if row or column:
        return _short(" ".join(part for part in (row[1] if row else None, column) if part))
    above = text[max(0, start - 500) : start].rstrip().rpartition("\n")[2]
    return _last_words(above) if not any(character.isdigit() for character in above) else None


def _last_words(text: str) -> str | None:
    """Return the words that end a text, without what joins them to a number."""
    said = text[-500:].rstrip(" \t\n\r:=~≈([{<>'\"")
    part = re.split(r"[,;|\t\[\](){}'\"]|\s-\s|[-+]?\d[\d.]*(?=\s|$)|\s{3,}|:\s", said)[-1].strip(" :=-+#*>$€£%/\\")
    return _short(part) if re.search(r"[^\W\d]", part) else None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else "…" + text[-40:].partition(" ")[2]


def _column(text: str, start: int, rest: str) -> str | None:
    """Return the heading of the column that a number stands in: rows and heading end together."""
    after, width = len(rest.split()) - 1, len(text[start : start + 4000].partition("\n")[0].split())
    for line in reversed(text[max(0, start - 10_000) : start].splitlines()[-60:]):
        fields = line.split()
        if len(fields) > 1 and width > 1 and not re.search(r"(?<!\w)[-+]?\.?\d", line):
            return fields[-1 - after] if after < len(fields) <= width else None
    return None


def weight_of(label: str | None) -> int:
    """Return how much a difference in a number of that name tells: see `Comparison.weight`."""
    if not label:
        return 1
    return 3 if _MEASURES.search(label) else 2


def most_telling(text: str, mismatches: Iterable[Mismatch]) -> tuple[Mismatch, str | None]:
    """Return the mismatch that tells most, and its name: the last measure, else the farthest of those with a name.

    Args:
        text: the text of now, as it was tokenised.
        mismatches: those beyond the tolerance, at least one.
    """
    best: tuple[tuple[float, float], Mismatch, str | None] | None = None
    for position, mismatch in enumerate(list(mismatches)[:2000]):
        label = label_of(text, mismatch.now)
        weight = weight_of(label)
        rank = (float(weight), float(position) if weight == 3 else mismatch.distance)
        if best is None or rank > best[0]:
            best = (rank, mismatch, label)
    assert best is not None
    return best[1], best[2]
