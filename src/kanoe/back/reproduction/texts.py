"""Texts compared as a reader would: numbers as numbers, words as words, sets and dicts without their order."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from difflib import SequenceMatcher

from kanoe.back.reproduction.frames import shared_columns
from kanoe.back.reproduction.noise import clean
from kanoe.back.reproduction.tokens import (
    Mismatch,
    Token,
    compare_tokens,
    most_telling,
    tokenise,
    weight_of,
)
from kanoe.back.reproduction.verdicts import TOLERANCE, Comparison, Outcome

# Of a longer text only the beginning is compared, unless both are equal.
LARGEST = 200_000
_MOST_LINES = 2_000
_EXACT = Comparison(Outcome.EXACT)


def compare_texts(was: str, now: str, tolerance: float = TOLERANCE, day: date | None = None) -> Comparison:
    """Compare a printed text with the author's.

    Args:
        was: the author's text.
        now: the text of now.
        tolerance: how far two numbers may be apart, as a share of the larger.
        day: the day of the run: that date is no result.
    """
    if was == now:
        return _EXACT
    cut = max(len(was), len(now)) > LARGEST
    found = _compare_clean(clean(was[:LARGEST]), clean(now[:LARGEST]), tolerance, day)
    if cut and found.outcome is not Outcome.DIFFERENT:
        return replace(found, note=f"only the first {LARGEST:,} characters were compared")
    return found


def says_nothing(text: str) -> bool:
    """Whether a text holds only what differs between any two runs: a progress bar, the name of an axis object."""
    if not text.strip():
        return True
    left = clean(text)
    return left != text.strip("\n") and re.search(r"\w", left) is None


def _compare_clean(was: str, now: str, tolerance: float, day: date | None) -> Comparison:
    if was == now:
        return _EXACT
    old, new = tokenise(was), tokenise(now)
    mismatches = compare_tokens(old, new, tolerance, day)
    if mismatches is not None and all(mismatch.within for mismatch in mismatches):
        return _close(mismatches)
    for changed in (*((rewrite(was), rewrite(now)) for rewrite in _REWRITES), shared_columns(was, now)):
        if changed == (was, now):
            continue
        again = compare_tokens(tokenise(changed[0]), tokenise(changed[1]), tolerance, day)
        if again is not None and all(mismatch.within for mismatch in again):
            return _close(again)
    if _same_call(was, now) or _tied_lines(old, new, was, now):
        return _EXACT
    if mismatches is not None:
        return telling_number(now, [mismatch for mismatch in mismatches if not mismatch.within])
    return _other_words(was, now, tolerance, day)


def _close(mismatches: list[Mismatch]) -> Comparison:
    return Comparison(Outcome.WITHIN) if mismatches else _EXACT


def telling_number(text: str, mismatches: list[Mismatch]) -> Comparison:
    """Return the comparison of texts that differ in numbers; the most telling is named.

    Args:
        text: the text of now.
        mismatches: those beyond the tolerance, at least one.
    """
    mismatch, label = most_telling(text, mismatches)
    weight = weight_of(label)
    return Comparison(Outcome.DIFFERENT, "text", label or "value", mismatch.now.text, mismatch.was.text, weight=weight)


# Other ways to write the same


def _without_order(text: str) -> str:
    """Return a text with the members of sets and dicts sorted, the innermost first."""
    for _ in range(30):
        changed = re.sub(r"\{([^{}]*)\}", lambda match: f"⦃{', '.join(sorted(_members(match[1])))}⦄", text)
        if changed == text:
            break
        text = changed
    return re.sub(r"(dict_(?:keys|values|items))\(\[([^\]]*)\]\)", _sorted_view, text)


def _sorted_view(match: re.Match[str]) -> str:
    return f"{match[1]}([{', '.join(sorted(_members(match[2])))}])"


def _members(text: str) -> list[str]:
    """Return the members of a collection: parts between commas that stand in no bracket and no quotes, in one spelling."""
    parts, depth, quote, start = [], 0, "", 0
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[position - 1] != "\\" else quote
        elif character in "'\"" and not text[position - 1 : position].isalnum():
            quote = character
        elif character in "([⦃":
            depth += 1
        elif character in ")]⦄":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [" ".join(part.split()) for part in parts if part.strip()]


def _unfolded(text: str) -> str:
    """Return a text whose wide tables, which pandas folds at a backslash, stand in one piece."""
    if "\\\n" not in text:
        return text
    blocks = re.split(r"\n(?:[ \t]*\n)+", text)
    done: list[str] = []
    open_rows: list[str] | None = None
    for block in blocks:
        rows = block.split("\n")
        goes_on = rows[0].endswith("\\")
        rows[0] = rows[0].rstrip("\\").rstrip()
        if open_rows is not None and len(rows) >= len(open_rows):
            rest = rows[len(open_rows) :]
            width = _index_width(open_rows, rows)
            open_rows = [left + "  " + right[width:] for left, right in zip(open_rows, rows, strict=False)] + rest
        elif open_rows is not None:
            done.append("\n".join(open_rows))
            open_rows = rows
        else:
            open_rows = rows
        if not goes_on:
            done.append("\n".join(open_rows))
            open_rows = None
    if open_rows is not None:
        done.append("\n".join(open_rows))
    return "\n\n".join(done)


def _index_width(first: list[str], second: list[str]) -> int:
    """Return how wide the index is, which both pieces of a folded table begin with."""
    widths = []
    for left, right in zip(first[1:], second[1:], strict=False):
        common = next(
            (position for position, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
            min(len(left), len(right)),
        )
        blank = right.rfind("  ", 0, common + 1)
        widths.append(blank if blank > 0 else common)
    return min(widths, default=0)


def _without_blanks_in_quotes(text: str) -> str:
    """Return a text without quotes: releases of pandas differ in whether they quote categories."""
    return re.sub(r"^Categories \((\d+), \w+\): \[(.*)\]$", _plain_categories, text, flags=re.MULTILINE)


def _plain_categories(match: re.Match[str]) -> str:
    return f"Categories ({match[1]}): [{match[2].replace(chr(39), '')}]"


_REWRITES: tuple[Callable[[str], str], ...] = (_without_order, _unfolded, _without_blanks_in_quotes)


def _same_call(was: str, now: str) -> bool:
    """Whether two texts are one object's repr as a call (`LogisticRegression(C=1.0)`) that differ only in which arguments they show.

    Old releases of scikit-learn show all arguments, new ones those that are not the default; defaults change and come.
    """
    if not (re.match(r"\s*\w+\(", was) and re.match(r"\s*\w+\(", now) and max(len(was), len(now)) < 20_000):
        return False
    try:
        trees = [
            ast.parse(re.sub(r",?\s*\.\.\.\s*(?=[),])", "", text).strip(), mode="eval").body for text in (was, now)
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(tree, ast.Call) and (tree.keywords or not tree.args) for tree in trees) and _alike(*trees)


def _alike(was: ast.expr, now: ast.expr) -> bool:
    if isinstance(was, ast.Call) and isinstance(now, ast.Call):
        theirs = {keyword.arg: keyword.value for keyword in was.keywords}
        ours = {keyword.arg: keyword.value for keyword in now.keywords}
        return (
            ast.dump(was.func) == ast.dump(now.func)
            and len(was.args) == len(now.args)
            and all(map(_alike, was.args, now.args))
            and all(_alike(theirs[name], ours[name]) for name in theirs.keys() & ours.keys())
        )
    if isinstance(was, ast.List | ast.Tuple) and isinstance(now, ast.List | ast.Tuple):
        return len(was.elts) == len(now.elts) and all(map(_alike, was.elts, now.elts))
    if isinstance(was, ast.Constant) and isinstance(now, ast.Constant):
        return bool(was.value == now.value)
    return ast.dump(was) == ast.dump(now)


def _tied_lines(old: list[Token], new: list[Token], was: str, now: str) -> bool:
    """Whether rows that share their last number stand in another order: `value_counts` leaves the order of ties open."""
    if len(old) != len(new):
        return False
    theirs, ours = ([" ".join(line.split()) for line in text.split("\n")] for text in (was, now))
    if len(theirs) != len(ours) or sorted(theirs) != sorted(ours):
        return False
    return all(
        one == other or (one.rpartition(" ")[2] == other.rpartition(" ")[2] and one[-1:].isdigit())
        for one, other in zip(theirs, ours, strict=True)
    )


# Texts that differ in words


def _other_words(was: str, now: str, tolerance: float, day: date | None) -> Comparison:
    """Return the comparison of texts that differ in more than numbers: a number of the lines that both have, else the first words."""
    theirs, ours = was.split("\n")[:_MOST_LINES], now.split("\n")[:_MOST_LINES]
    starts, start = [], 0
    for line in ours:
        starts.append(start)
        start += len(line) + 1
    forms = [[" ".join(token.key for token in tokenise(line)) for line in lines] for lines in (theirs, ours)]
    mismatches: list[Mismatch] = []
    first: Comparison | None = None
    for tag, left, left_end, right, right_end in SequenceMatcher(
        None, forms[0], forms[1], autojunk=False
    ).get_opcodes():
        if tag == "equal":
            for offset in range(left_end - left):
                mismatches += _moved(
                    compare_tokens(tokenise(theirs[left + offset]), tokenise(ours[right + offset]), tolerance, day),
                    starts[right + offset],
                )
        elif first is None:
            first = _first_words(theirs[left:left_end], ours[right:right_end])
    telling = telling_number(now, mismatches) if mismatches else None
    if telling and (telling.weight > 1 or first is None):
        return telling
    return first or Comparison(Outcome.DIFFERENT, note="other text")


def _moved(mismatches: list[Mismatch] | None, start: int) -> list[Mismatch]:
    """Return the mismatches of a line beyond the tolerance, with positions in the whole text."""
    return [
        replace(mismatch, now=mismatch.now._replace(start=mismatch.now.start + start))
        for mismatch in mismatches or ()
        if not mismatch.within
    ]


def _first_words(was: list[str], now: list[str]) -> Comparison | None:
    theirs, ours = (next((line for line in lines if line.strip()), "") for lines in (was, now))
    if not theirs and not ours:
        return None
    if not theirs:
        return Comparison(Outcome.DIFFERENT, note=f"prints also `{_excerpt(ours)}`")
    if not ours:
        return Comparison(Outcome.DIFFERENT, note=f"does not print `{_excerpt(theirs)}`")
    left, right = _apart(" ".join(theirs.split()), " ".join(ours.split()))
    return Comparison(Outcome.DIFFERENT, "text", "text", f"`{_excerpt(right)}`", f"`{_excerpt(left)}`")


def _apart(was: str, now: str) -> tuple[str, str]:
    """Return two lines from the word on in which they differ, where both are long."""
    if max(len(was), len(now)) <= 40:
        return was, now
    common = next(
        (position for position, (one, other) in enumerate(zip(was, now, strict=False)) if one != other),
        min(len(was), len(now)),
    )
    start = max(was.rfind(" ", 0, max(common - 12, 0)) + 1, 0)
    return was[start:], now[start:]


def _excerpt(text: str) -> str:
    text = " ".join(text.replace("`", "'").split())
    return text if len(text) <= 40 else text[:39] + "…"
