"""Pairs of a notebook and an edited notebook, each with the cells that must run again and with a trap for who only looks at names.

A pair is text. After `=== name` come the cells, each below a line that says where it stands:

    # %%      in both; what it reads is the same afterwards, so it need not run again
    # %%!     in both; it must run again
    # %%~     in both; it may run again, for a value that has no bytes, or because only a finer eye sees that nothing changed
    # %%-     only before the edit
    # %%+     only after it: new code, which runs
    # %%=     only after it, and need not run: it was moved, or stands there a second time

Cell options follow the mark: `tags=["raises-exception"]`, `[markdown]`. The kind of a pair is the module that it stands in.
"""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from typing import Any

KINDS = ("aliases", "definitions", "order", "process", "files", "shell", "habits")
_CELL = re.compile(r"^# %%([-+!~=]?)[ ]*(\[markdown\])?[ ]*(?:tags=(\[.*\]))?[ ]*\n", re.MULTILINE)


@dataclass(frozen=True)
class PairCell:
    """A cell, as both sides see it."""

    mark: str
    source: str
    kind: str = "code"
    tags: tuple[str, ...] = ()
    id: str = ""


@dataclass(frozen=True)
class Pair:
    """A notebook, its edit, and what the edit touches."""

    kind: str
    name: str
    cells: tuple[PairCell, ...]

    @property
    def id(self) -> str:
        """Its name for tests."""
        return f"{self.kind}/{self.name}"

    def side(self, absent: str) -> list[PairCell]:
        """The cells of one side, without those of the other."""
        return [cell for cell in self.cells if not cell.mark or cell.mark not in absent]

    @property
    def before(self) -> list[PairCell]:
        """The notebook."""
        return self.side("+=")

    @property
    def after(self) -> list[PairCell]:
        """The edited notebook."""
        return self.side("-")

    def marked(self, marks: str) -> frozenset[int]:
        """The positions among the code cells of the edited notebook that carry one of these marks."""
        code = [cell for cell in self.after if cell.kind == "code"]
        return frozenset(position for position, cell in enumerate(code) if cell.mark and cell.mark in marks)

    @property
    def needed(self) -> frozenset[int]:
        """The code cells of the edited notebook that must run."""
        return self.marked("+!")

    @property
    def allowed(self) -> frozenset[int]:
        """Those that must or may."""
        return self.marked("+!~")


def notebook_of(cells: list[PairCell]) -> dict[str, Any]:
    """Return a notebook in the form of nbformat 4.5."""
    made: list[dict[str, Any]] = []
    for cell in cells:
        entry: dict[str, Any] = {
            "cell_type": cell.kind,
            "id": cell.id,
            "metadata": {"tags": list(cell.tags)} if cell.tags else {},
            "source": cell.source,
        }
        if cell.kind == "code":
            entry |= {"outputs": [], "execution_count": None}
        made.append(entry)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def read_pairs(kind: str, text: str) -> list[Pair]:
    """Return the pairs of a text."""
    pairs = []
    for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        pairs.append(Pair(kind, name.strip(), tuple(_read_cells(body))))
    return pairs


def _read_cells(body: str) -> list[PairCell]:
    found = list(_CELL.finditer(body))
    ends = [match.start() for match in found[1:]] + [len(body)]
    cells: list[PairCell] = []
    for match, end in zip(found, ends, strict=True):
        mark, markdown, tags = match.groups()
        # An edited cell keeps its id, as it does in an editor.
        follows = mark == "+" and cells and cells[-1].mark == "-"
        identity = cells[-1].id if follows else f"cell-{len(cells)}"
        source = body[match.end() : end].strip("\n")
        kind = "markdown" if markdown else "code"
        cells.append(PairCell(mark, source, kind, tuple(json.loads(tags or "[]")), identity))
    return cells


def all_pairs() -> list[Pair]:
    """Return every pair there is."""
    return [pair for kind in KINDS for pair in read_pairs(kind, importlib.import_module(f"pairs.{kind}").TEXT)]
