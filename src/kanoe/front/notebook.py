"""Jupyter notebooks, nbformat 3 and 4, whoever wrote them, into the one form that runs.

Format: https://nbformat.readthedocs.io/en/latest/format_description.html. What a writer could not write again is mended
(`schema`); what is no notebook is refused with a diagnostic and never with another exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kanoe.base.diagnostics import Diagnostic, error, info
from kanoe.base.errors import InputError
from kanoe.front.content import read_content
from kanoe.front.schema import (
    DepthError,
    mend_attachments,
    mend_cell_metadata,
    mend_mapping,
    mend_notebook_metadata,
    mend_text,
    unique_ids,
)
from kanoe.ir.notebook import Cell, CellKind, Notebook
from kanoe.ir.source import KernelMetadata, Source

_KINDS: Mapping[str, CellKind] = {"code": "code", "markdown": "markdown", "raw": "raw"}
_LATEST = 5
_OLD_KINDS = ("code", "markdown", "raw", "heading", "html")
# Beginnings of what people have under the name of a notebook, and what they have then.
_DISGUISES = (
    (
        re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.I),
        "a web page",
        "Download the notebook itself, not the page that shows it",
    ),
    (
        re.compile(rb"version https://git-lfs"),
        "a pointer to a file in Git LFS",
        "Fetch the file itself with `git lfs pull`",
    ),
    (re.compile(rb"PK\x03\x04"), "a zip file", "Unpack it first with `unzip`"),
    (re.compile(rb"\x1f\x8b"), "a gzip file", "Unpack it first with `gunzip`"),
    (re.compile(rb"%PDF"), "a PDF file", "Download the notebook itself"),
)
_CONFLICT = re.compile(r"^(?:<{7} |={7}$|>{7} )", re.M)
_OTHER_KERNELS = re.compile(
    r"(?P<r>ir|r|irkernel)$|(?P<julia>julia)|(?P<bash>bash)|(?P<scala>scala|almond|spylon|apache_toree_scala)|(?P<octave>octave)"
    r"|(?P<javascript>javascript|jslab|deno)|(?P<java>java|ijava)$|(?P<cpp>xcpp|xeus-cling)|(?P<csharp>\.net-)"
)
_NAMES = {
    "r": "R",
    "julia": "Julia",
    "cpp": "C++",
    "c++": "C++",
    "csharp": "C#",
    "javascript": "JavaScript",
    "sql": "SQL",
}


def read_notebook(path: Path, metadata: KernelMetadata | None = None) -> Source:
    """Return the notebook of a `.ipynb` file.

    Args:
        path: the file, absolute.
        metadata: what stands beside it; its language counts where the notebook says none.

    Raises:
        InputError: `source-missing`, `source-unreadable`, `source-empty`, `notebook-broken`, `notebook-version`,
            `notebook-language`.
    """
    notebook, diagnostics = parse_notebook(read_content(path), path.name, metadata.language if metadata else None)
    return Source(path, "notebook", notebook, metadata, diagnostics)


def parse_notebook(content: bytes, name: str, language: str | None = None) -> tuple[Notebook, tuple[Diagnostic, ...]]:
    """Return the notebook that `content` holds, and remarks.

    Args:
        content: the bytes of the file.
        name: what the file is called in messages.
        language: what others say about its language.

    Raises:
        InputError: `notebook-broken`, `notebook-version`, `notebook-language`.
    """
    document = _load(content, name)
    version = document.get("nbformat")
    if isinstance(version, bool) or not isinstance(version, int):
        _refuse(name, "it has no `nbformat` number, so it is no notebook")
    if not 3 <= version <= 4:
        raise InputError(_unsupported(name, version))
    try:
        said = _language(document, version) or language
        if version == 3:
            document = _upgrade(document, name)
        notebook = _understand(document, name)
    except (DepthError, RecursionError) as cause:
        raise InputError(_broken(name, "its metadata is nested too deeply")) from cause
    return notebook, _check_language(said, name)


def _load(content: bytes, name: str) -> dict[str, Any]:
    for beginning, what, hint in _DISGUISES:
        if beginning.match(content):
            raise InputError(error("notebook-broken", f"`{name}` is {what}, not a notebook", place=name, hint=hint))
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        if b"\0" in content[:1024]:
            raise InputError(_broken(name, "it is a binary file")) from cause
        raise InputError(_broken(name, f"byte {cause.start} in line {line} is not UTF-8")) from cause
    try:
        document = json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as cause:
        raise InputError(_not_json(text, cause, name)) from cause
    except RecursionError as cause:
        raise InputError(_broken(name, "it is nested too deeply")) from cause
    except ValueError as cause:  # a number of thousands of digits
        raise InputError(_broken(name, str(cause))) from cause
    if not isinstance(document, dict):
        _refuse(name, f"it holds a JSON {_kind_of(document)} where a notebook is an object")
    return document


def _no_number(_: str) -> None:
    """Stand for NaN and the infinities, which Python writes into JSON and JSON does not know."""


def _not_json(text: str, fault: json.JSONDecodeError, name: str) -> Diagnostic:
    where = f"at line {fault.lineno} column {fault.colno}"
    whole = text.rstrip().rstrip("\0")
    if _CONFLICT.search(text):
        return error(
            "notebook-broken",
            f"`{name}` holds the marks of an unfinished Git merge, {where}",
            place=name,
            hint="Finish the merge: `git checkout --ours` or `--theirs`, or `nbdime mergetool`",
        )
    if whole.startswith("{") and (fault.pos >= len(whole) or not whole.endswith("}")):
        return _broken(name, f"{fault.msg} {where}; it ends in the middle, the file seems cut short")
    if text.count("\0") > len(text) // 100:
        return _broken(name, "it is a binary file")
    return _broken(name, f"{fault.msg} {where}")


def _unsupported(name: str, version: int) -> Diagnostic:
    if version > 4:
        hint = "Save the notebook in Jupyter as nbformat 4"
        return error(
            "notebook-version", f"`{name}` is in nbformat {version}; Kanoe reads 3 and 4", place=name, hint=hint
        )
    hint = f'Convert it first: `jupyter nbconvert --to notebook --nbformat 4 "{name}"`'
    return error(
        "notebook-version",
        f"`{name}` is in nbformat {version}, of before 2013; Kanoe reads 3 and 4",
        place=name,
        hint=hint,
    )


# Language


def _language(document: Mapping[str, Any], version: int) -> str | None:
    """Return the language that a notebook says it is written in, or `None`."""
    metadata = _mapping(document.get("metadata"))
    kernelspec = _mapping(metadata.get("kernelspec"))
    said = [kernelspec.get("language"), _mapping(metadata.get("language_info")).get("name")]
    if version == 3:
        said += [metadata.get("language"), _mapping(metadata.get("kernel_info")).get("language")]
        said += [cell.get("language") for cell in _old_cells(document) if cell.get("cell_type") == "code"][:1]
    for language in said:
        if isinstance(language, str) and language.strip():
            return language.strip()
    return _language_of_kernel(kernelspec.get("name"))


def _language_of_kernel(kernel: object) -> str | None:
    if not isinstance(kernel, str):
        return None
    other = _OTHER_KERNELS.match(kernel.strip().lower())
    if other is not None:
        return other.lastgroup
    return "python" if "py" in kernel.lower() else None


def _check_language(said: str | None, name: str) -> tuple[Diagnostic, ...]:
    if said is None:
        message = f"`{name}` does not say its language; Kanoe takes it for Python"
        return (info("kernelspec-missing", message, place=name, hint="Save it once in Jupyter with a Python kernel"),)
    if re.match(r"i?python[\s\d.]*$", said.strip().lower()):
        return ()
    language = _NAMES.get(said.lower(), said if any(map(str.isupper, said)) else said.capitalize())
    raise InputError(
        error(
            "notebook-language",
            f"`{name}` is written in {mend_text(language[:40])}; Kanoe runs Python",
            place=name,
            hint="If its cells are Python after all, choose a Python kernel in Jupyter and save it",
        )
    )


# nbformat 3


def _old_cells(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    sheets = document.get("worksheets")
    cells = [_mapping(sheet).get("cells") for sheet in sheets] if isinstance(sheets, list) else []
    return [_mapping(cell) for part in cells if isinstance(part, list) for cell in part]


def _upgrade(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a notebook of nbformat 3 as one of nbformat 4."""
    sheets = document.get("worksheets")
    if not isinstance(sheets, list) or not all(isinstance(_mapping(sheet).get("cells"), list) for sheet in sheets):
        _refuse(name, "it has no list of `worksheets` with `cells`, as nbformat 3 wants")
    metadata = mend_mapping(_mapping(document.get("metadata")))
    for key in ("name", "signature", "orig_nbformat", "orig_nbformat_minor", "language", "kernel_info"):
        metadata.pop(key, None)
    cells = _convert([_check_old(cell, position, name) for position, cell in enumerate(_old_cells(document))])
    for cell in cells:
        del cell["id"]  # drawn at random; a cell keeps its id from run to run
    return {"metadata": metadata, "cells": cells, "nbformat_minor": _LATEST}


def _check_old(cell: Mapping[str, Any], position: int, name: str) -> dict[str, Any]:
    """Return a cell of nbformat 3 with all that the converter relies on, and those outputs that are sound."""
    kind = cell.get("cell_type")
    if kind not in _OLD_KINDS:
        _refuse(name, f"cell {position} of all cells is of the unknown kind {_shown(kind)}")
    key = "input" if kind == "code" else "source"
    source, metadata = _join(cell.get(key), position, name), mend_cell_metadata(cell.get("metadata"))
    record = {"cell_type": kind, key: source, "metadata": metadata}
    if kind == "heading":
        level = cell.get("level")
        record["level"] = level if isinstance(level, int) and 1 <= level <= 6 else 1
    if kind == "code":
        outputs = cell.get("outputs")
        record["outputs"] = [output for output in outputs if _is_sound(output)] if isinstance(outputs, list) else []
        record["language"] = "python"
        if isinstance(cell.get("collapsed"), bool):
            record["collapsed"] = cell["collapsed"]
    return record


def _is_sound(output: object) -> bool:
    if not isinstance(output, dict):
        return False
    if output.get("output_type") == "pyerr":
        lines = output.get("traceback")
        return isinstance(lines, list) and {"ename", "evalue"} <= output.keys()
    texts = (value for key, value in output.items() if key not in ("metadata", "prompt_number"))
    sound = all(
        isinstance(value, str) or (isinstance(value, list) and all(isinstance(line, str) for line in value))
        for value in texts
    )
    known = output.get("output_type") in ("stream", "pyout", "display_data") and "json" not in output
    return sound and known and isinstance(output.get("metadata", {}), dict)


def _convert(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # nbformat takes longer to import than most notebooks to read, and only old ones need it.
    import nbformat.v4.convert  # noqa: PLC0415

    return [nbformat.v4.convert.upgrade_cell(nbformat.from_dict(cell)) for cell in cells]


# nbformat 4


def _understand(document: Mapping[str, Any], name: str) -> Notebook:
    cells = document.get("cells")
    if not isinstance(cells, list):
        _refuse(name, "it has no list of `cells`")
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        _refuse(name, f"its `metadata` is a JSON {_kind_of(metadata)}, not an object")
    ids = unique_ids(cell.get("id") if isinstance(cell, dict) else None for cell in cells)
    made = tuple(
        _make_cell(cell, position, id_, name) for position, (cell, id_) in enumerate(zip(cells, ids, strict=True))
    )
    return Notebook(made, mend_notebook_metadata(metadata), _minor(document.get("nbformat_minor"), made))


def _minor(minor: object, cells: Sequence[Cell]) -> int:
    """Return the version to write: the file's own as far as it is known."""
    if isinstance(minor, bool) or not isinstance(minor, int):
        return _LATEST
    oldest = 1 if any(cell.attachments is not None for cell in cells) else 0  # 4.0 knows no attachments
    return min(max(oldest, minor), _LATEST)


def _make_cell(cell: object, position: int, id_: str, name: str) -> Cell:
    if not isinstance(cell, dict):
        _refuse(name, f"cell {position} of all cells is a JSON {_kind_of(cell)}, not an object")
    kind = cell.get("cell_type")
    if not isinstance(kind, str) or kind not in _KINDS:
        _refuse(name, f"cell {position} of all cells is of the unknown kind {_shown(kind)}")
    if "source" not in cell:
        _refuse(name, f"cell {position} of all cells has no `source`")
    source = _join(cell["source"], position, name)
    metadata = mend_cell_metadata(cell.get("metadata"))
    if kind != "code":
        return Cell(id_, _KINDS[kind], source, metadata, attachments=mend_attachments(cell.get("attachments")))
    outputs = cell.get("outputs")
    kept = tuple(output for output in outputs if isinstance(output, dict)) if isinstance(outputs, list) else ()
    count = cell.get("execution_count")
    known = count if isinstance(count, int) and not isinstance(count, bool) else None
    return Cell(id_, "code", source, metadata, kept, execution_count=known)


def _join(source: object, position: int, name: str) -> str:
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        _refuse(name, f"the source of cell {position} of all cells is neither text nor a list of lines")
    return mend_text(source).replace("\r\n", "\n")


# Words


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _kind_of(value: object) -> str:
    kinds = {list: "list", dict: "object", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")


def _shown(value: object) -> str:
    return f"`{mend_text(value[:40])}`" if isinstance(value, str) else f"({_kind_of(value)})"


def _broken(name: str, what: str) -> Diagnostic:
    return error("notebook-broken", f"`{name}` is not a notebook: {what}", place=name, hint="Download or save it again")


def _refuse(name: str, what: str) -> NoReturn:
    raise InputError(_broken(name, what))
