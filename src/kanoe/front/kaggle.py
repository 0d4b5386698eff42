"""`kernel-metadata.json`: what Kaggle's command writes beside a notebook, read into `KernelMetadata`.

The keys are those of https://github.com/Kaggle/kaggle-cli (docs, "Kernel Metadata"). Placeholders of a template count
as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError
from kanoe.front.content import read_content, status_of
from kanoe.ir.source import KernelMetadata

FILE_NAME = "kernel-metadata.json"

_TEXTS = ("id", "title", "code_file", "language", "kernel_type", "docker_image", "machine_shape")
_FLAGS = ("enable_internet", "enable_gpu", "enable_tpu")
_SOURCES = {  # what each holds: an example, and how many parts it may have
    "competition_sources": ("titanic", 1, 1),
    "dataset_sources": ("owner/slug", 2, 3),
    "kernel_sources": ("owner/slug", 2, 3),
    "model_sources": ("owner/model/framework/variation/1", 4, 5),
}
_PLACEHOLDER = re.compile(r"INSERT_\w+_HERE|Pick one of\b")
_PART = re.compile(r"(?!\.+$)[\w.-]+")


def read_metadata(folder: Path) -> KernelMetadata | None:
    """Return the metadata of a folder, or `None` where it has none.

    Raises:
        InputError: `metadata-broken`, one diagnostic for each wrong key; `source-unreadable`.
    """
    values = _load(folder / FILE_NAME)
    return None if values is None else _understand(values, folder / FILE_NAME)


def metadata_beside(file: Path) -> KernelMetadata | None:
    """Return the metadata that stands beside `file`, unless it says that it belongs to another file.

    Raises:
        InputError: as `read_metadata`.
    """
    path = file.parent / FILE_NAME
    values = _load(path)
    if values is None:
        return None
    code_file = values.get("code_file")
    if isinstance(code_file, str) and not _is_placeholder(code_file) and not _same_file(file.parent / code_file, file):
        return None
    return _understand(values, path)


def _same_file(named: Path, file: Path) -> bool:
    try:
        return named.resolve() == file.resolve()
    except (OSError, ValueError, RuntimeError):
        return False


def _load(path: Path) -> Mapping[str, Any] | None:
    if status_of(path) is None:
        return None
    try:
        values = json.loads(read_content(path).decode("utf-8-sig"))
    except InputError as cause:
        if cause.diagnostics[0].code == "source-empty":
            raise InputError(_broken(path, "it is empty")) from cause
        raise
    except json.JSONDecodeError as cause:
        raise InputError(_broken(path, f"{cause.msg} at line {cause.lineno} column {cause.colno}")) from cause
    except (ValueError, RecursionError) as cause:
        raise InputError(_broken(path, "it is not JSON in UTF-8")) from cause
    if not isinstance(values, dict):
        raise InputError(_broken(path, "it must be a JSON object, `{...}`"))
    return values


def _understand(values: Mapping[str, Any], path: Path) -> KernelMetadata:
    faults: list[Diagnostic] = []
    known: dict[str, Any] = {}
    for key, value in values.items():
        try:
            known[key] = _read_value(key, value)
        except ValueError as fault:
            faults.append(_broken(path, f"`{key}` must be {fault}, not {_shown(value)}"))
    if faults:
        raise InputError(*faults)
    fields = {key: known.pop(key) for key in ("id_no", *_TEXTS, *_FLAGS, *_SOURCES) if known.get(key) is not None}
    return KernelMetadata(**fields, other={key: values[key] for key in known if key not in _KEYS})


def _read_value(key: str, value: object) -> object:
    """Return a value as its key wants it, `None` for absent; raise `ValueError` with what it must be."""
    if value is None or _is_placeholder(value):
        return None
    if key in _TEXTS:
        if not isinstance(value, str):
            raise ValueError("text")
        return value or None
    if key in _FLAGS:
        return _read_flag(value)
    if key in _SOURCES:
        return _read_sources(value, *_SOURCES[key])
    return _read_number(value) if key == "id_no" else value


def _read_flag(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else None
    if text not in {"true", "false", ""}:
        raise ValueError("true or false")
    return None if text == "" else text == "true"


def _read_number(value: object) -> int:
    if isinstance(value, bool) or not (
        isinstance(value, int) or (isinstance(value, str) and value.isdecimal() and len(value) < 20)
    ):
        raise ValueError("a whole number")
    return int(value)


def _read_sources(value: object, example: str, fewest: int, most: int) -> tuple[str, ...]:
    # The names become paths in the sandbox: nothing that climbs out of a folder may pass.
    if not isinstance(value, list):
        raise ValueError(f'a list such as ["{example}"]')
    # Files in the wild have `[""]` for an empty list.
    sources = [source.strip("/") if isinstance(source, str) else source for source in value if source != ""]
    for source in sources:
        parts = source.split("/") if isinstance(source, str) else []
        if not fewest <= len(parts) <= most or not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f'a list such as ["{example}"]')
    return tuple(sources)


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and _PLACEHOLDER.search(value) is not None


def _shown(value: object) -> str:
    text = json.dumps(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _broken(path: Path, what: str) -> Diagnostic:
    return error(
        "metadata-broken",
        f"`{FILE_NAME}` cannot be understood: {what}",
        place=str(path),
        hint="Correct it, or fetch it again with `kaggle kernels pull OWNER/SLUG -m`",
    )


_KEYS = frozenset({"id_no", *_TEXTS, *_FLAGS, *_SOURCES})
