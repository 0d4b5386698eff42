"""Marks in a page where something is put in after it was made."""

from __future__ import annotations


def mark(key: str, number: int) -> str:
    """Return what stands below a cell, for its reuse to be told there.

    Args:
        key: a hash of the notebook, so that no notebook can hold the mark.
        number: of the cell.
    """
    return f"<!--kanoe {key} {number}-->"
