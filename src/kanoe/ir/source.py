"""What a reference was read into: the notebook and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kanoe.base.diagnostics import Diagnostic
from kanoe.ir.notebook import Notebook

SourceKind = Literal["notebook", "script", "percent"]


@dataclass(frozen=True, slots=True)
class KernelMetadata:
    """`kernel-metadata.json`, the file that `kaggle kernels pull -m` writes (https://github.com/Kaggle/kaggle-cli, docs).

    Data sources are named as Kaggle names them: `slug` for a competition, `owner/slug[/version]` for a dataset or a notebook's
    output, `owner/model/framework/variation/version` for a model.
    """

    id: str | None = None
    id_no: int | None = None
    title: str | None = None
    code_file: str | None = None
    language: str | None = None
    kernel_type: str | None = None
    enable_internet: bool | None = None
    enable_gpu: bool = False
    enable_tpu: bool = False
    competition_sources: tuple[str, ...] = ()
    dataset_sources: tuple[str, ...] = ()
    kernel_sources: tuple[str, ...] = ()
    model_sources: tuple[str, ...] = ()
    docker_image: str | None = None
    machine_shape: str | None = None
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A notebook or script that can be run.

    Args:
        path: the file that was read, absolute.
        kind: `notebook` (.ipynb), `percent` (.py with `# %%` cells) or `script` (plain .py, one cell).
        notebook: the program.
        metadata: the `kernel-metadata.json` beside it, if any.
        diagnostics: remarks of reading that do not stop a run.
    """

    path: Path
    kind: SourceKind
    notebook: Notebook
    metadata: KernelMetadata | None = None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the file: where locks, declarations, data and local modules are looked for."""
        return self.path.parent

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem
