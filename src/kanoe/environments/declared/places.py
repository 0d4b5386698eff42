"""What one place declares, and where in it; what all readers of declarations stand on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, cell_place, error
from kanoe.base.errors import InputError
from kanoe.environments.needs import Requirement
from kanoe.environments.requirements import join_specifiers, join_versions
from kanoe.ir.source import Source


@dataclass(frozen=True, slots=True)
class Declarations:
    """What one place declares.

    Args:
        requirements: in the order they are written, one per distribution and marker.
        constraints: versions that hold only for what is needed anyway (`-c`).
        python: a version or a specifier as it is written, or `None`; for `parse_python`.
        python_why: where it stands.
        as_of: a day or a time, or `None`.
        as_of_why: where it stands.
        complete: the place names everything that is needed, by its standard (PEP 723).
        diagnostics: remarks.
    """

    requirements: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    python: str | None = None
    python_why: str | None = None
    as_of: str | None = None
    as_of_why: str | None = None
    complete: bool = False
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass
class Found:
    """Gathers what one place declares; errors are kept and raised together."""

    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    remarks: list[Diagnostic] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)

    def finish(self, **more: Any) -> Declarations:
        """Return what was gathered, with `more` fields of `Declarations`.

        Raises:
            InputError: the errors, if there are any.
        """
        if self.errors:
            raise InputError(*self.errors)
        constraints = tuple(join_versions(self.constraints))
        limits = {(limit.name, limit.marker): limit.specifier for limit in constraints}
        limited = [
            replace(need, specifier=join_specifiers(need.specifier, limits.get((need.name, need.marker), "")))
            if need.url is None
            else need
            for need in join_versions(self.requirements)
        ]
        return Declarations(tuple(limited), constraints, diagnostics=tuple(self.remarks), **more)


@dataclass(frozen=True, slots=True)
class Line:
    """Where a requirements line stands: the folder for relative paths, its reason and place, the files on the way."""

    folder: Path
    why: str
    place: str
    seen: set[Path]
    constraint: bool = False


class Place:
    """Finds the lines of a file that hold an item; parsers of TOML and YAML do not tell."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines = text.split("\n")

    def line(self, item: str) -> int | None:
        """Return the line of an item, counted from 1."""
        return next((number for number, line in enumerate(self._lines, 1) if item and item in line), None)

    def of(self, item: str, line: int | None = None) -> str:
        """Return the place of an item."""
        line = line or self.line(item)
        return f"{self.file} line {line}" if line else self.file

    def why(self, item: str) -> str:
        """Return the item's place as a reason."""
        return self.of(item)


class CellPlace(Place):
    """The same for a block in a cell."""

    def __init__(self, source: Source, cell: int, text: str, first_line: int) -> None:
        super().__init__(source.path.name, text)
        self._cell = None if source.kind == "script" else cell
        self._first = first_line

    def of(self, item: str, line: int | None = None) -> str:
        """Return the place of an item."""
        line = (line or self.line(item) or 0) + self._first
        return f"{self.file} line {line}" if self._cell is None else cell_place(self.file, self._cell, line)

    def why(self, item: str) -> str:
        """Return the block as a reason."""
        del item  # the block is short: which line says it is plain
        return "PEP 723 block" if self._cell is None else f"PEP 723 block in cell {self._cell}"


def read_text(path: Path) -> str:
    """Return the text of a file; what is not UTF-8 or UTF-16 is replaced.

    Raises:
        InputError: it cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        message = f"the file cannot be read: {fault.strerror or fault}"
        raise InputError(
            error("source-unreadable", message, place=path.name, hint=f"check `ls -l {path.name}`")
        ) from fault
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = data.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise InputError(
            error("requirement-broken", "the file is not text", place=path.name, hint="write it anew, or move it away")
        )
    return text
