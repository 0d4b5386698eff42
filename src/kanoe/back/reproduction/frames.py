"""Tables as rows of cells: which columns two of them share, and tables that pandas prints as text."""

from __future__ import annotations

import re
from collections.abc import Iterator

Rows = list[list[str]]
_ELLIPSES = frozenset(("...", "…"))


def common_columns(was: Rows, now: Rows) -> tuple[Rows, Rows]:
    """Return the columns that both tables show, where one leaves out some in its middle (`...`)."""
    widths = [{len(row) for row in rows} for rows in (was, now)]
    gaps = [_gap(rows) for rows in (was, now)]
    if len(was) != len(now) or any(len(width) != 1 for width in widths) or gaps == [None, None]:
        return was, now
    if (gaps[0], widths[0]) == (gaps[1], widths[1]):
        return was, now
    before = min(gap for gap in gaps if gap is not None)
    after = min(max(widths[side]) - gap - 1 for side, gap in enumerate(gaps) if gap is not None)
    left, right = ([row[:before] + (row[-after:] if after else []) for row in rows] for rows in (was, now))
    return left, right


def _gap(rows: Rows) -> int | None:
    head = rows[0] if rows else []
    return next((column for column, cell in enumerate(head) if cell.strip() in _ELLIPSES), None)


def shared_columns(was: str, now: str) -> tuple[str, str]:
    """Return two printed texts with only those columns of their tables that both show: how wide pandas prints has changed."""
    theirs, ours = list(_blocks(was)), list(_blocks(now))
    if not ("..." in was or "..." in now) or len(theirs) != len(ours):
        return was, now
    left, right = [], []
    for one, other in zip(theirs, ours, strict=True):
        tables = _rows(one), _rows(other)
        if tables[0] and tables[1]:
            cut = common_columns(*tables)
            one, other = ("\n".join("  ".join(row) for row in rows) for rows in cut)  # noqa: PLW2901
        left.append(one)
        right.append(other)
    return "\n\n".join(left), "\n\n".join(right)


def _blocks(text: str) -> Iterator[str]:
    """Yield the parts of a text between blank lines, without what pandas says of a table's size."""
    text = re.sub(r"\n{0,2}^\[\d{1,12} rows x \d+ columns\]$", "", text, flags=re.MULTILINE)
    yield from re.split(r"\n(?:[ \t]*\n)+", text)


def _rows(text: str) -> Rows:
    """Return the cells of a table whose columns end where their headings end; none where it is no such table."""
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or not lines[0].startswith(" "):
        return []
    ends = [match.end() for match in re.finditer(r"\S+(?: \S+)*", lines[0])]
    starts = [0, *ends]
    rows = []
    for line in lines[1:]:
        # The first column's cells begin somewhere right of the index, which is left-aligned or right-aligned.
        cells = [line[start:end].strip() for start, end in zip(starts, [*ends[:-1], len(line)], strict=False)]
        index, _, first = cells[0].rpartition(" ")
        rows.append([index.strip(), first.strip(), *cells[1:]])
    heads = [lines[0][start:end].strip() for start, end in zip(starts, ends, strict=False)]
    return [["", *heads], *rows]
