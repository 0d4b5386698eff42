"""Sources made in a test's folder."""

from __future__ import annotations

from pathlib import Path

from kanoe.ir.notebook import Cell, Notebook
from kanoe.ir.source import KernelMetadata, Source, SourceKind


def make_source(
    folder: Path, *cells: str, kind: SourceKind = "notebook", metadata: KernelMetadata | None = None, **files: str
) -> Source:
    """A source of these code cells (a Markdown cell in front), with files beside it: `a__py` is `a.py`, `p___a__py` is `p/a.py`."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = folder / ("nb.ipynb" if kind == "notebook" else "nb.py")
    code = [Cell(f"c{number}", "code", text) for number, text in enumerate(cells)]
    return Source(path, kind, Notebook((Cell("m", "markdown", "import nothing"), *code)), metadata)
