"""What comparing outputs came to: of one output, of one cell, of a whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

TOLERANCE = 0.01


class Outcome(StrEnum):
    """How an output of now stands to the author's."""

    EXACT = "exact"
    WITHIN = "within"
    DIFFERENT = "different"
    INCOMPARABLE = "incomparable"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output against the author's.

    Args:
        outcome: how they compare.
        kind: `text`, `table`, `image`, `figure`, or `cell` where one side has no such output.
        label: what the most telling number is called: the words before it; `None` where none stands there.
        now: the most telling number, or words, of now.
        was: the author's.
        note: a remark: why it cannot be compared, what was left out, what is there instead.
        weight: how much the difference tells: a measure (3), a number with a name (2), a number (1), anything else (0).
    """

    outcome: Outcome
    kind: str = "text"
    label: str | None = None
    now: str | None = None
    was: str | None = None
    note: str | None = None
    weight: int = 0

    def __str__(self) -> str:
        """Return the words that stand after the cell's position: `accuracy 0.8316, was 0.8271`."""
        if self.now is None or self.was is None:
            return self.note or f"{self.kind} {self.outcome}"
        return f"{self.label or self.kind} {self.now}, was {self.was}"

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `run.json`; empty fields are left out."""
        record: dict[str, Any] = {"outcome": str(self.outcome), "kind": self.kind}
        said = {"label": self.label, "now": self.now, "was": self.was, "note": self.note}
        return record | {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outputs of one cell against the author's; none where neither side shows anything that tells."""

    outputs: tuple[Comparison, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """The worst of the outputs; one that cannot be compared counts only where there is no other."""
        found = {comparison.outcome for comparison in self.outputs}
        order = (Outcome.DIFFERENT, Outcome.WITHIN, Outcome.EXACT, Outcome.INCOMPARABLE)
        return next((outcome for outcome in order if outcome in found), None)

    def words(self, tolerance: float) -> str:
        """Return the words below the cell in a page."""
        match self.outcome:
            case Outcome.EXACT:
                return "reproduced exactly"
            case Outcome.WITHIN:
                return f"reproduced within {share(tolerance)}"
            case Outcome.DIFFERENT:
                return f"not reproduced: {self.telling}"
            case _:
                return f"not comparable: {self.outputs[0].note}" if self.outputs else ""

    @property
    def telling(self) -> Comparison | None:
        """The difference that tells most."""
        different = [comparison for comparison in self.outputs if comparison.outcome is Outcome.DIFFERENT]
        return max(different, key=lambda comparison: comparison.weight, default=None)


@dataclass(frozen=True, slots=True)
class CellVerdict:
    """A cell's verdict: its id, its position among the code cells of the executed notebook, and what came of it."""

    id: str
    cell: int
    verdict: Verdict

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `run.json`."""
        outcome = self.verdict.outcome
        return {
            "cell": self.cell,
            "id": self.id,
            "outcome": str(outcome) if outcome else None,
            "outputs": [comparison.as_dict() for comparison in self.verdict.outputs],
        }


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What a run reproduced of its author's outputs.

    Args:
        cells: the verdict of each cell that ran and that the author ran, in order.
        tolerance: how far two numbers may be apart, as a share of the larger.
        not_run: how many of the author's outputs stand in cells that did not run now; they are not counted.
        parameters: names that were given other values than the author's.
    """

    cells: tuple[CellVerdict, ...]
    tolerance: float = TOLERANCE
    not_run: int = 0
    parameters: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[Outcome]:
        """How many outputs had each outcome."""
        return Counter(comparison.outcome for entry in self.cells for comparison in entry.verdict.outputs)

    @property
    def compared(self) -> int:
        """How many outputs could be compared."""
        return self.counts.total() - self.counts[Outcome.INCOMPARABLE]

    @property
    def outcome(self) -> Outcome | None:
        """The worst of the cells; `None` where nothing was compared."""
        return Verdict(tuple(comparison for entry in self.cells for comparison in entry.verdict.outputs)).outcome

    @property
    def different(self) -> tuple[CellVerdict, ...]:
        """The cells that show something else than the author's, the most telling first."""
        found = [entry for entry in self.cells if entry.verdict.telling is not None]
        return tuple(sorted(found, key=lambda entry: -_weight(entry)))

    def line(self) -> str:
        """Return it in one line: `31 of 34 outputs reproduced: 28 exactly, 3 within 1 %; cell 21 accuracy 0.8316, was 0.8271`."""
        return "; ".join([self._counted(), *self._differences(1), *self._remarks()])

    def differences(self, most: int = 5) -> str:
        """Return the cells that differ, and how: `cell 21 accuracy 0.8316, was 0.8271; cell 23 another image`."""
        return "; ".join(self._differences(most))

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `run.json` and in `--json` reports."""
        counts = self.counts
        return {
            "summary": self.line(),
            "tolerance": self.tolerance,
            "outputs": self.compared,
            "exact": counts[Outcome.EXACT],
            "within": counts[Outcome.WITHIN],
            "different": counts[Outcome.DIFFERENT],
            "incomparable": counts[Outcome.INCOMPARABLE],
            "not_run": self.not_run,
            "cells": [entry.as_dict() for entry in self.cells if entry.verdict.outputs],
        }

    def _counted(self) -> str:
        if not self.compared:
            return "no output could be compared with the author's"
        exact, within = self.counts[Outcome.EXACT], self.counts[Outcome.WITHIN]
        line = f"{exact + within} of {self.compared} {_noun(self.compared)} reproduced"
        if exact and within:
            return f"{line}: {exact} exactly, {within} within {share(self.tolerance)}"
        if exact:
            return f"{line} exactly"
        return f"{line} within {share(self.tolerance)}" if within else line

    def _differences(self, most: int) -> Iterable[str]:
        different = self.different
        for entry in different[:most]:
            yield f"cell {entry.cell} {entry.verdict.telling}"
        if len(different) > most:
            more = len(different) - most
            yield f"{more} more {'cell differs' if more == 1 else 'cells differ'}"

    def _remarks(self) -> Iterable[str]:
        incomparable = self.counts[Outcome.INCOMPARABLE]
        if incomparable:
            yield f"{incomparable} not comparable"
        if self.not_run:
            yield f"{self.not_run} in cells that did not run"
        if self.parameters:
            yield f"with other parameters ({', '.join(self.parameters)})"


def share(tolerance: float) -> str:
    """Return a share for people: `1 %`."""
    return f"{tolerance * 100:g} %"


def _weight(entry: CellVerdict) -> int:
    telling = entry.verdict.telling
    return telling.weight if telling else 0


def _noun(count: int) -> str:
    return "output" if count == 1 else "outputs"
