"""The Python and the day that somebody declares: as texts, in `runtime.txt` and in `.python-version`."""

from __future__ import annotations

import contextlib
import datetime
import re
from pathlib import Path

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.environments.declared.places import Declarations, read_text
from kanoe.environments.requirements import parse_requirement

_PYTHON_VERSION = re.compile(r"(?:c?python[-=]?)?(?P<version>3(?:\.\d+)*)$", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ].*)?$")


def parse_python(text: str, place: str) -> str:
    """Return a Python version (`3.11`, `3.11.4`) or PEP 440 specifier (`<3.13,>=3.10`) in its plain form.

    Raises:
        InputError: it is neither, or no Python that Kanoe can run has that version.
    """
    text = text.strip()
    plain = _PYTHON_VERSION.match(text)
    if plain is not None:
        parts = plain["version"].split(".")
        if len(parts) == 1 or int(parts[1]) >= 6:
            return plain["version"]
    elif text.startswith(("<", ">", "=", "!", "~")):
        with contextlib.suppress(ValueError):
            return parse_requirement(f"python{text}", place).specifier
    hint = "name a version from 3.6 on, as in `--python 3.11`, or a range such as `>=3.10,<3.13`"
    raise InputError(
        error("python-version", f"`{text}` is not a version of Python that Kanoe can run", place=place, hint=hint)
    )


def parse_day(text: str, place: str) -> str:
    """Return a day (`2021-06-15`) or a time (RFC 3339) in its plain form; a time without a zone is UTC.

    Raises:
        InputError: it is neither.
    """
    text = text.strip()
    try:
        if not _DAY.match(text):
            raise ValueError
        if len(text) == 10:
            return datetime.date.fromisoformat(text).isoformat()
        time = datetime.datetime.fromisoformat(text.upper().replace(" ", "T"))
        zoned = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        return zoned.isoformat().replace("+00:00", "Z")
    except ValueError as fault:
        hint = "give a day as in `--as-of 2021-06-15`, or a time as in `2021-06-15T12:00:00Z`"
        raise InputError(error("date-broken", f"`{text}` is not a day", place=place, hint=hint)) from fault


def read_runtime_file(path: Path) -> Declarations:
    """Read a `runtime.txt` of Binder or Heroku: `python-3.9`, `python-3.7-2020-01-31`; the patch version is left to the machine.

    Raises:
        InputError: it cannot be read.
    """
    text = read_text(path).strip()
    if not text or re.match(r"r-\d", text):
        return Declarations()
    line, _, day = text.splitlines()[0].strip().removeprefix("python-").partition("-")
    python = re.sub(r"^(\d+\.\d+)\.\d+$", r"\1", line)
    as_of = parse_day(day, path.name) if day else None
    return Declarations(python=python, python_why=path.name, as_of=as_of, as_of_why=path.name if as_of else None)


def read_version_file(path: Path) -> Declarations:
    """Read the `.python-version` of pyenv and uv: its first line that names a CPython; the patch version is left to the machine.

    Raises:
        InputError: it cannot be read.
    """
    for line in read_text(path).splitlines():
        match = re.match(r"\s*(?:cpython[-@])?(3\.\d+)(?:\.\d+)?\s*(?:#.*)?$", line)
        if match is not None:
            return Declarations(python=match[1], python_why=path.name)
    return Declarations()
