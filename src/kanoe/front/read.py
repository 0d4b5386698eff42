"""From a reference to a `Source`: a table of file endings and their readers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_ISDIR
from typing import NoReturn

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.front.content import missing, similar, status_of
from kanoe.front.kaggle import FILE_NAME, metadata_beside, read_metadata
from kanoe.front.notebook import read_notebook
from kanoe.front.script import read_script
from kanoe.ir.source import KernelMetadata, Source

_READERS: Mapping[str, Callable[[Path, KernelMetadata | None], Source]] = {".ipynb": read_notebook, ".py": read_script}

# Endings that say clearly what a file is: the diagnostic's code, what it is, what to do.
_LANGUAGES = {
    ".r": "R",
    ".rmd": "R Markdown",
    ".qmd": "Quarto",
    ".irnb": "R",
    ".jl": "Julia",
    ".scala": "Scala",
    ".m": "MATLAB",
}
_DATA = (
    ".csv",
    ".tsv",
    ".parquet",
    ".feather",
    ".xlsx",
    ".xls",
    ".json",
    ".jsonl",
    ".h5",
    ".npy",
    ".npz",
    ".pkl",
    ".txt",
)
_REFUSED: Mapping[str, tuple[str, str, str]] = {
    **{
        ending: ("notebook-language", f"is written in {name}", "Kanoe runs Python")
        for ending, name in _LANGUAGES.items()
    },
    **{
        ending: ("source-kind", "is data, not a program", "Attach data with `--input` to a run of a notebook")
        for ending in _DATA
    },
    **dict.fromkeys(
        (".yaml", ".yml"),
        ("source-kind", "is no notebook", "Pipelines come later; today Kanoe runs `.ipynb` and `.py`"),
    ),
    **dict.fromkeys((".html", ".htm"), ("source-kind", "is a page", "Download the notebook itself, the `.ipynb` file")),
    **dict.fromkeys((".zip", ".gz", ".tgz"), ("source-kind", "is an archive", "Unpack it and give the notebook in it")),
}
_NO_PROGRAM = re.compile(r"__init__|setup|conftest|test_.*|.*_test")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://|(?:www\.)?kaggle\.com/")
_KAGGLE = re.compile(r"[\w-]+/[\w-]+(?:/\d+)?")


def read_source(reference: str | Path) -> Source:
    """Return the notebook or script that a reference means: a `.ipynb` or `.py` file, or a folder that holds one.

    A folder means the `code_file` of its `kernel-metadata.json`, else the only notebook or script in it.

    Raises:
        InputError: `source-missing`, `source-unreadable`, `source-empty`, `source-kind`, `source-ambiguous`,
            `source-encoding`, `notebook-broken`, `notebook-version`, `notebook-language`, `metadata-broken`.
    """
    path = _find(reference)
    if S_ISDIR(path.stat().st_mode):
        return _read_folder(path)
    return _read_file(path, None)


def _find(reference: str | Path) -> Path:
    """Return the path of what is there, its folder's links followed, so that what stands beside it is found."""
    text = str(reference)
    path = Path(reference)
    if text and status_of(path) is None and text.startswith("~"):
        with contextlib.suppress(RuntimeError):  # nobody of that name
            path = path.expanduser()
    if not text or status_of(path) is None:
        _refuse_missing(text, path)
    return path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name


def _refuse_missing(text: str, path: Path) -> NoReturn:
    if not text:
        raise InputError(error("source-missing", "The path is empty", hint="Give a notebook, a script or a folder"))
    hint = "Download it with `kaggle kernels pull OWNER/SLUG -m` and run the folder"
    if _ADDRESS.match(text):
        raise InputError(
            error("source-kind", f"`{text}` is an address; fetching from Kaggle is not there yet", hint=hint)
        )
    if _KAGGLE.fullmatch(text) and status_of(path.parent) is None:
        hint = hint.replace("OWNER/SLUG", "/".join(text.split("/")[:2]))
        message = f"There is no file or folder `{text}`; fetching from Kaggle is not there yet"
        raise InputError(error("source-missing", message, hint=hint))
    raise InputError(missing(path))


def _read_file(path: Path, metadata: KernelMetadata | None) -> Source:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        _refuse_kind(path)
    return reader(path, metadata if metadata is not None else metadata_beside(path))


def _refuse_kind(path: Path) -> NoReturn:
    if path.name == FILE_NAME:
        raise InputError(
            error(
                "source-kind",
                f"`{path.name}` describes a notebook",
                hint=f'Run its folder: `kanoe run "{path.parent}"`',
            )
        )
    unknown = (
        "source-kind",
        f"ends in `{path.suffix}`" if path.suffix else "has no ending",
        "Kanoe runs `.ipynb` and `.py` files",
    )
    code, what, hint = _REFUSED.get(path.suffix.lower(), unknown)
    raise InputError(error(code, f"`{path.name}` {what}", place=str(path), hint=hint))


def _read_folder(folder: Path) -> Source:
    metadata = read_metadata(folder)
    names = _programs(folder)
    if metadata is not None and metadata.code_file is not None:
        path = folder / metadata.code_file
        status = status_of(path)
        if status is None:
            _refuse_code_file(folder, metadata.code_file, names)
        if S_ISDIR(status.st_mode):
            message = f"`code_file` of `{FILE_NAME}` is `{metadata.code_file}`, which is a folder"
            raise InputError(
                error("metadata-broken", message, place=str(folder / FILE_NAME), hint="Name the notebook or script")
            )
        return _read_file(path.parent.resolve() / path.name, metadata)
    if len(names) == 1:
        return _read_file(folder / names[0], metadata)
    if not names:
        hint = "Give the path of a notebook (`.ipynb`) or a script (`.py`)"
        raise InputError(
            error("source-kind", f"The folder `{folder}` holds no notebook or script", place=str(folder), hint=hint)
        )
    shown = ", ".join(f"`{name}`" for name in names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    hint = f'Name the one to run: `kanoe run "{folder / names[0]}"`'
    raise InputError(error("source-ambiguous", f"The folder `{folder}` holds {shown}", place=str(folder), hint=hint))


def _refuse_code_file(folder: Path, code_file: str, names: list[str]) -> NoReturn:
    close = similar(code_file, names)
    if close is not None:
        hint = f'Did you mean `{close}`? Correct `code_file`, or run `kanoe run "{folder / close}"`'
    else:
        hint = "Correct `code_file`, or give the path of the notebook itself"
    message = f"`{FILE_NAME}` names `{code_file}` as its `code_file`, and there is no such file"
    raise InputError(error("source-missing", message, place=str(folder / FILE_NAME), hint=hint))


def _programs(folder: Path) -> list[str]:
    """Return the names of what can be run in a folder, notebooks first."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    except OSError as cause:
        raise InputError(error("source-unreadable", f"`{folder}` cannot be read: {cause.strerror}")) from cause
    shown = [name for name in names if not name.startswith(".") and Path(name).suffix.lower() in _READERS]
    return sorted(
        (name for name in shown if name.lower().endswith(".ipynb") or not _NO_PROGRAM.fullmatch(Path(name).stem)),
        key=lambda name: (not name.lower().endswith(".ipynb"), name),
    )
