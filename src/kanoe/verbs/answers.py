"""Kaggle's own modules in a notebook: where they lie, and who answers them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import kanoe.worker
from kanoe.back.answers import NAME, VARIABLE, answering
from kanoe.base.secrets import Secrets
from kanoe.ir.source import Source
from kanoe.sandbox.confine import Tool, seen_runtime
from kanoe.sandbox.layout import MODULES, Layout, Mount

_FOLDER = Path(str(kanoe.worker.__file__)).parent / "modules"


def kaggle_modules(local: Iterable[Path]) -> tuple[Mount, ...]:
    """Return Kaggle's modules, without those that the user has modules of his own for."""
    own = {path.stem for path in local}
    return tuple(
        Mount(path, f"{MODULES}/{path.name}") for path in sorted(_FOLDER.glob("kaggle_*.py")) if path.stem not in own
    )


@contextlib.contextmanager
def answered(
    tool: Tool, layout: Layout, source: Source, secrets: Secrets, given: Mapping[str, str]
) -> Iterator[Layout]:
    """Answer Kaggle's modules while the body runs; yields the layout with the variable that says where, and those of the user.

    Args:
        tool: what builds the walls.
        layout: what the program sees.
        source: what runs.
        secrets: what it is given.
        given: environment variables of the user's.
    """
    variables = {**layout.variables, **given, VARIABLE: f"{seen_runtime(tool, layout)}/{NAME}"}
    with answering(layout.folders.runtime, secrets, lambda: _notebook_text(source)):
        yield replace(layout, variables=variables)


def _notebook_text(source: Source) -> str:
    """Return the source as the JSON text of a notebook."""
    if source.kind == "notebook":
        return source.path.read_text("utf-8", "replace")
    cells: list[dict[str, Any]] = [
        {"cell_type": cell.kind, "metadata": {}, "source": cell.source}
        | ({"execution_count": None, "outputs": []} if cell.kind == "code" else {})
        for cell in source.notebook.cells
    ]
    return json.dumps({"cells": cells, "metadata": dict(source.notebook.metadata), "nbformat": 4, "nbformat_minor": 4})
