"""Tables of HTML (pandas shows frames so) compared cell by cell; other HTML compared as the text a reader sees."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from html.parser import HTMLParser

from kanoe.back.reproduction.frames import Rows, common_columns
from kanoe.back.reproduction.noise import clean
from kanoe.back.reproduction.texts import LARGEST, compare_texts
from kanoe.back.reproduction.tokens import Mismatch, compare_tokens, tokenise, weight_of
from kanoe.back.reproduction.verdicts import TOLERANCE, Comparison, Outcome

_SILENT = frozenset(("style", "script", "head", "title"))
_BLOCKS = frozenset(("p", "div", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "ul", "ol", "pre", "hr"))


@dataclass
class _Reader(HTMLParser):
    """Reads HTML into tables and the text around them."""

    tables: list[Rows] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._silent = 0
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's own
        """Take the beginning of an element."""
        if tag in _SILENT:
            self._silent += 1
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag in _BLOCKS:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Take the end of an element."""
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in ("td", "th", "table"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._silent:
            return
        if self._cell and self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data
        else:
            self.text.append(data)


def compare_html(was: str, now: str, tolerance: float = TOLERANCE, day: date | None = None) -> Comparison:
    """Compare HTML with the author's: its tables, and the text outside of them."""
    if was == now:
        return Comparison(Outcome.EXACT, "table" if "<table" in was else "text")
    cut = max(len(was), len(now)) > 4 * LARGEST
    theirs, ours = _read(was), _read(now)
    if not theirs.tables and not ours.tables:
        return compare_texts("".join(theirs.text), "".join(ours.text), tolerance, day)
    if len(theirs.tables) != len(ours.tables):
        return Comparison(Outcome.DIFFERENT, "table", "tables", str(len(ours.tables)), str(len(theirs.tables)))
    found = [compare_rows(left, right, tolerance, day) for left, right in zip(theirs.tables, ours.tables, strict=True)]
    found.append(compare_texts("".join(theirs.text).strip(), "".join(ours.text).strip(), tolerance, day))
    order = (Outcome.DIFFERENT, Outcome.WITHIN, Outcome.EXACT)
    worst = min(found, key=lambda comparison: (order.index(comparison.outcome), -comparison.weight))
    note = f"only the first {4 * LARGEST:,} characters were compared" if cut and not worst.note else worst.note
    return replace(worst, kind="table", note=note)


def text_of(html: str) -> str:
    """Return what a reader of HTML sees, tables and all; empty for scripts and styles alone."""
    reader = _read(html)
    cells = (cell for rows in reader.tables for row in rows for cell in row)
    return " ".join(["".join(reader.text), *cells]).strip()


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html[: 4 * LARGEST])
    reader.close()
    return reader


def compare_rows(was: Rows, now: Rows, tolerance: float, day: date | None) -> Comparison:
    """Compare a table with the author's, cell by cell."""
    was, now = common_columns(was, now)
    if [len(row) for row in was] != [len(row) for row in now]:
        sizes = [f"{len(rows)} by {max(map(len, rows), default=0)}" for rows in (now, was)]
        return Comparison(Outcome.DIFFERENT, "table", "table of", sizes[0], sizes[1])
    mismatches: list[tuple[int, int, Mismatch]] = []
    for row, (theirs, ours) in enumerate(zip(was, now, strict=True)):
        for column, (left, right) in enumerate(zip(theirs, ours, strict=True)):
            if left == right:
                continue
            found = _compare_cells(left, right, tolerance, day)
            if found is None:
                if _tied_rows(was, now):
                    return Comparison(Outcome.EXACT, "table")
                return _other_cell(now, row, column, left, right)
            mismatches += [(row, column, mismatch) for mismatch in found]
    beyond = [entry for entry in mismatches if not entry[2].within]
    if beyond:
        return Comparison(Outcome.EXACT, "table") if _tied_rows(was, now) else _telling_cell(now, beyond)
    return Comparison(Outcome.WITHIN if mismatches else Outcome.EXACT, "table")


def _compare_cells(was: str, now: str, tolerance: float, day: date | None) -> list[Mismatch] | None:
    """Return the numbers that differ, or `None` where other words do; a cell that is cut short stands for what begins so."""
    for short, long in ((was.strip(), now.strip()), (now.strip(), was.strip())):
        if len(short) > 10 and short.endswith(("...", "…")) and long.startswith(short.rstrip(".…")):
            return []
    return compare_tokens(tokenise(clean(was)), tokenise(clean(now)), tolerance, day)


def _tied_rows(was: Rows, now: Rows) -> bool:
    """Whether the rows are the same but for their order, and a column of numbers stands as it was: what they were sorted by."""
    if len(was) < 3 or sorted(map(tuple, was)) != sorted(map(tuple, now)):
        return False
    columns = range(1, min(map(len, was)))
    return any(
        all(row[column] == other[column] for row, other in zip(was, now, strict=True))
        and all(re.fullmatch(r"[-+\d.eE]+", row[column].strip()) for row in was[1:])
        for column in columns
    )


def _other_cell(rows: Rows, row: int, column: int, was: str, now: str) -> Comparison:
    label = _label(rows, row, column) or "table"
    return Comparison(Outcome.DIFFERENT, "table", label, _quoted(now), _quoted(was))


def _telling_cell(rows: Rows, beyond: Sequence[tuple[int, int, Mismatch]]) -> Comparison:
    labelled = [(_label(rows, row, column), mismatch) for row, column, mismatch in beyond[:2000]]
    label, mismatch = max(labelled, key=lambda entry: (weight_of(entry[0]), entry[1].distance))
    weight = weight_of(label)
    return Comparison(Outcome.DIFFERENT, "table", label or "value", mismatch.now.text, mismatch.was.text, weight=weight)


def _label(rows: Rows, row: int, column: int) -> str | None:
    """Return the names of a cell's row and column, where they are words."""
    heading = rows[0][column].strip() if rows and column < len(rows[0]) and row else ""
    name = rows[row][0].strip() if column else ""
    words = [word for word in (name, heading) if re.search(r"[^\W\d]", word) and len(word) <= 40]
    return " ".join(words) or None


def _quoted(text: str) -> str:
    text = " ".join(text.replace("`", "'").split())
    return f"`{text if len(text) <= 40 else text[:39] + '…'}`"
