"""Whether two executions of a program came to the same: final values, files, and what one cell did alone. Pure: no input, no output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kanoe.base.hashing import hash_content
from kanoe.engine.reasons import label, listed
from kanoe.ir.folders import DERIVED, FILE, quote, unquote
from kanoe.ir.trace import Reference, Trace, Value

# What is kept of a run, and what its cells share; what else lies about is any program's own, under names drawn at random.
_KEPT = (f"{FILE}/kaggle/working/", f"{FILE}/kaggle/temp/")
_ROOTS = ("name:", "def:", "out:")
# Holds how often this process changed its filters of warnings.
_OF_THE_PROCESS = ("name:__warningregistry__",)
# What an import does to settings belongs to whichever cell runs first in a process: where it shows, it shows in outputs and values.
_VALUES = (*_ROOTS, "random:")
_FROM_FILES = tuple(kind.rstrip(":") for kind in DERIVED)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that another execution does not come to.

    Args:
        cell: the code cell that showed or wrote it, or `None` where no cell is known to have.
        what: `cell`, `output`, `file`, `value`, or `alone`: the cell came to something else from what it is known to have read.
        text: one sentence for people.
    """

    cell: int | None
    what: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `--json` reports."""
        return {"cell": self.cell, "what": self.what, "text": self.text}


@dataclass(frozen=True, slots=True)
class Proof:
    """What the comparison of a run with a fresh one came to.

    Args:
        cells: how many cells ended, and showed, the same.
        files: how many files are equal.
        values: how many final values are equal.
        opaque: final values that cannot be looked into; they were not compared.
        alone: the cells that were run alone, from what they are known to have read, and came to the same.
        differences: everything that is not equal.
        seconds: how long it all took.
    """

    cells: int = 0
    files: int = 0
    values: int = 0
    opaque: int = 0
    alone: tuple[int, ...] = ()
    differences: tuple[Difference, ...] = ()
    seconds: float = 0.0

    @property
    def summary(self) -> str:
        """The one line of proof."""
        same = f"{_count(self.cells, 'cell')}, {_count(self.files, 'file')} and {_count(self.values, 'value')}"
        told = [f"{same} equal those of a fresh run from top to bottom"]
        if self.opaque:
            told.append(f"{_count(self.opaque, 'value')} cannot be looked into")
        if self.alone:
            told.append(f"{_count(len(self.alone), 'cell')} run alone from what they read")
        if self.differences:
            told.insert(0, f"{_count(len(self.differences), 'difference')}")
        return "; ".join(told)

    def as_dict(self) -> dict[str, Any]:
        """Return the form that stands in `--json` reports."""
        return {
            "equal": not self.differences,
            "summary": self.summary,
            "cells": self.cells,
            "files": self.files,
            "values": self.values,
            "opaque": self.opaque,
            "alone": list(self.alone),
            "differences": [difference.as_dict() for difference in self.differences],
            "seconds": round(self.seconds, 6),
        }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What everything holds after a program.

    Args:
        values: by reference.
        writers: the position of the cell that wrote each.
        executions: what names the execution of the cell at a position.
    """

    values: Mapping[Reference, Value]
    writers: Mapping[Reference, int] = field(default_factory=dict)
    executions: Mapping[int, str] = field(default_factory=dict)

    def is_opaque(self, reference: Reference) -> bool:
        """Whether nobody can look into a value: it is then known by the execution that made it."""
        value = self.values[reference]
        if reference.startswith(FILE):
            return value.type == "file" and value.blob is None
        execution = self.executions.get(self.writers.get(reference, -1))
        if execution is None:
            return value.bundle is not None and value.bundle.pickle is None
        return value.hash == opaque_hash(reference, execution)


def opaque_hash(reference: Reference, execution: str) -> str:
    """Return the hash that a session gives a value which it cannot look into."""
    return hash_content(f"{reference} {execution}".encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Compared:
    """Two outcomes: how many files and values are equal, how many values were not compared, and what differs."""

    files: int
    values: int
    opaque: int
    differences: tuple[tuple[Reference, Difference], ...]


def compare_outcomes(ours: Outcome, fresh: Outcome) -> Compared:
    """Compare all that holds after a run with what holds after a fresh one."""
    equal = {True: 0, False: 0}
    opaque = 0
    differences = []
    for reference in sorted({*ours.values, *fresh.values}):
        is_file = reference.startswith(FILE)
        if not _counts(reference):
            continue
        cell = ours.writers.get(reference, fresh.writers.get(reference))
        text = _difference(reference, ours, fresh)
        if text is not None:
            differences.append((reference, Difference(cell, "file" if is_file else "value", text)))
        elif reference.startswith("def:"):
            continue  # the variable that holds it counts
        elif ours.is_opaque(reference) or fresh.is_opaque(reference):
            opaque += 1
        elif not is_file or ours.values[reference].type == "file":
            equal[is_file] += 1
    return Compared(equal[True], equal[False], opaque, tuple(differences))


def _counts(reference: Reference) -> bool:
    """Whether two executions must agree in it."""
    return reference.startswith(_KEPT) or (reference.startswith(_VALUES) and reference not in _OF_THE_PROCESS)


def _difference(reference: Reference, ours: Outcome, fresh: Outcome) -> str | None:
    """Return in what a value differs, as a sentence; `None`: it is the same, or nobody can tell."""
    here, there = ours.values.get(reference), fresh.values.get(reference)
    name = f"`{label(reference)}`"
    if here is None:
        return f"{name} is missing, and a fresh run leaves it"
    if there is None:
        return f"{name} is there, and a fresh run leaves none"
    if here.type != there.type:
        return f"{name} is of the type {here.type}, and {there.type} in a fresh run"
    if ours.is_opaque(reference) or fresh.is_opaque(reference):
        return None
    if here.hash != there.hash:
        return f"{name} is not what a fresh run leaves"
    return None


# One cell alone


def what_it_read(trace: Trace, values: Mapping[Reference, Value]) -> dict[Reference, Value] | None:
    """Return the part of a state that an execution is known to have read; `None`: a new session cannot be brought to it.

    Args:
        trace: the execution.
        values: the whole state that it started from.
    """
    wanted: set[Reference] = set()
    for reference in trace.reads:
        wanted.update(_named(reference, values))
    wanted = _whole(wanted, values)
    if any(_is_lost(reference, values[reference]) for reference in wanted):
        return None
    return {reference: values[reference] for reference in sorted(wanted)}


def _named(reference: Reference, values: Mapping[Reference, Value]) -> Iterator[Reference]:
    """Yield what a state holds of that which a read names."""
    kind, _, name = reference.partition(":")
    if kind == "group":
        yield name
    elif reference.endswith("*"):
        yield from (other for other in values if other.startswith(reference[:-1]))
    elif kind in _FROM_FILES:
        yield from _files(kind, unquote(name), values)
    else:
        yield reference


def _files(kind: str, path: str, values: Mapping[Reference, Value]) -> Iterator[Reference]:
    """Yield the files that what follows from files follows from."""
    yield FILE + quote(path)
    place = PurePosixPath(path)
    for reference in values:
        if not reference.startswith(FILE):
            continue
        other = PurePosixPath(unquote(reference.removeprefix(FILE)))
        below, straight = place in other.parents, place == other.parent
        beside = other.parent == place.parent and other.name.partition(".")[0] == place.name
        if (
            (kind in ("tree", "files", "module", "modules") and below)
            or (kind == "folder" and straight)
            or (kind == "module" and beside)
        ):
            yield reference


def _whole(wanted: Iterable[Reference], values: Mapping[Reference, Value]) -> set[Reference]:
    """Return references with all that they cannot be without: their groups, the definitions they need, the folders above them."""
    found: set[Reference] = set()
    waiting = list(wanted)
    while waiting:
        reference = waiting.pop()
        if reference in found or reference not in values:
            continue
        found.add(reference)
        value = values[reference]
        waiting += value.needs
        if value.bundle is not None:
            waiting += value.bundle.members
        if reference.startswith(FILE):
            path = PurePosixPath(unquote(reference.removeprefix(FILE)))
            waiting.append(FILE + quote(str(path.parent)))
    return found


def _is_lost(reference: Reference, value: Value) -> bool:
    if reference.startswith(_ROOTS):
        return value.bundle is None or value.bundle.pickle is None
    if reference.startswith(FILE):
        return value.type == "file" and value.blob is None
    return value.blob is None


def compare_alone(
    trace: Trace,
    before: Mapping[Reference, Value],
    alone: Trace,
    start: Mapping[Reference, Value],
    is_alike: Callable[[Value, Value], bool] = lambda known, made: known.hash == made.hash,
) -> list[str]:
    """Return in what a cell that ran alone differs from what it is known to have done.

    Args:
        trace: what is known.
        before: the whole state that it started from then; what it wrote as it was before is in no trace.
        alone: what it did alone, under the same name of the execution: what cannot be looked into is then equal.
        start: what it started from alone.
        is_alike: whether two values may come from the same reads.
    """
    found: dict[str, list[str]] = {}
    for reference in sorted({*trace.writes, *alone.writes}):
        if not _counts(reference):
            continue
        known = trace.writes[reference] if reference in trace.writes else before.get(reference)
        made = alone.writes[reference] if reference in alone.writes else start.get(reference)
        name = f"`{label(reference)}`"
        if known is None and made is not None:
            found.setdefault("it makes {}", []).append(name)
        elif known is not None and made is None:
            found.setdefault("it does not make {}", []).append(name)
        elif known is not None and made is not None and not is_alike(known, made):
            found.setdefault("it makes another value of {}", []).append(name)
    return [text.format(listed(names)) for text, names in found.items()]
