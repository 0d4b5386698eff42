"""The bytes of a file that a person named, and the error when there are none."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL)


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of what `path` leads to; `None` where there is nothing.

    Raises:
        InputError: `source-unreadable`: a folder on the way may not be entered, links run in a circle.
    """
    try:
        return path.stat()
    except OSError as cause:
        if cause.errno in _MISSING:
            return None
        raise InputError(_unreadable(path, cause)) from cause
    except ValueError:  # a null byte
        return None


def read_content(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        InputError: `source-missing`, `source-kind` (not a regular file), `source-unreadable`, `source-empty`.
    """
    status = status_of(path)
    if status is None:
        raise InputError(missing(path))
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            error("source-kind", f"`{path}` is no regular file", hint="Give a notebook, a script or a folder")
        )
    try:
        content = path.read_bytes()
    except OSError as cause:
        raise InputError(_unreadable(path, cause)) from cause
    if not content[:4096].strip() and not content.strip():
        raise InputError(error("source-empty", f"`{path}` is empty", hint="Download or save it again"))
    return content


def missing(path: Path, *, place: str | None = None) -> Diagnostic:
    """Return `source-missing` for a path, with the name that was perhaps meant."""
    close = similar(path.name, _names(path.parent))
    if close:
        meant = path.parent / close if str(path.parent) != "." else Path(close)
        hint = f"Did you mean `{meant}`?"
    elif status_of(path.parent) is None:
        hint = f"The folder `{path.parent}` does not exist either"
    else:
        hint = "Give the path of a notebook (`.ipynb`), a script (`.py`) or a folder"
    return error("source-missing", f"There is no file or folder `{path}`", place=place, hint=hint)


def similar(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was perhaps meant by a mistyped one."""
    by_lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), by_lower, 1, cutoff=0.7)
    return by_lower[close[0]] if close else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (OSError, ValueError):
        return []


def _unreadable(path: Path, cause: OSError) -> Diagnostic:
    why = cause.strerror or str(cause)
    if cause.errno in (errno.EACCES, errno.EPERM):
        return error("source-unreadable", f"`{path}` cannot be read: {why}", hint=f"Allow it with `chmod u+r {path}`")
    return error("source-unreadable", f"`{path}` cannot be read: {why}", hint="Look after the disk, or copy the file")
