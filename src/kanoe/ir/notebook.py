"""A notebook as frozen values.

The shape is that of nbformat 4 (https://nbformat.readthedocs.io/en/latest/format_description.html): a list of cells, each with a
kind, a source and metadata. Front ends make it from any file; engines never see a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

CellKind = Literal["code", "markdown", "raw"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Args:
        id: unique in its notebook: the file's own id where it has one, else made from the cell's position.
        kind: `code`, `markdown` or `raw`.
        source: the text, lines joined.
        metadata: the cell's metadata as in the file.
        outputs: nbformat 4 outputs that the file carries (the author's); empty for other kinds.
        attachments: files that a Markdown cell carries, by name, or `None`.
        execution_count: the author's, `None` where the file has none: the cell was never run, or its writer drops it.
    """

    id: str
    kind: CellKind
    source: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[Mapping[str, Any]] = ()
    attachments: Mapping[str, Any] | None = None
    execution_count: int | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The cell's tags, in their order."""
        tags = self.metadata.get("tags")
        return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()

    @property
    def blank(self) -> bool:
        """Whether there is nothing to run."""
        return self.kind != "code" or not self.source.strip()


@dataclass(frozen=True, slots=True)
class Notebook:
    """An ordered program of cells.

    Args:
        cells: all cells, in order.
        metadata: the notebook's metadata as in the file.
        minor: the nbformat 4 minor version of the file (5 and later hold cell ids).
    """

    cells: tuple[Cell, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    minor: int = 5

    @property
    def code_cells(self) -> tuple[Cell, ...]:
        """The code cells; a cell's *position* is its index here, counted from 0."""
        return tuple(cell for cell in self.cells if cell.kind == "code")

    @property
    def has_outputs(self) -> bool:
        """Whether the file carries outputs of its author's, errors aside."""
        return any(
            output.get("output_type") not in (None, "error") for cell in self.code_cells for output in cell.outputs
        )

    def with_cells(self, cells: Sequence[Cell]) -> Notebook:
        """Return this notebook with other cells."""
        return replace(self, cells=tuple(cells))
