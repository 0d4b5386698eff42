"""What TOML declares: `pyproject.toml`, `Pipfile`, and the PEP 723 block of a script or cell."""

from __future__ import annotations

import datetime
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import error, info, warning
from kanoe.base.errors import InputError
from kanoe.environments.declared.lines import read_line, take_requirement
from kanoe.environments.declared.periods import parse_day
from kanoe.environments.declared.places import CellPlace, Declarations, Found, Line, Place, read_text
from kanoe.environments.versions import normalise
from kanoe.ir.source import Source

_BLOCK_START, _BLOCK_END = "# /// script", "# ///"
_TOML_LINE = re.compile(r"\(at line (\d+)")


def read_project_file(path: Path) -> Declarations:
    """Read a `pyproject.toml`: `[project]` dependencies and requires-python, `[tool.uv]` exclude-newer and sources.

    Raises:
        InputError: it is not TOML, or a requirement is broken.
    """
    text = read_text(path)
    table = _parse_toml(text, path.name)
    project = _table(table, "project")
    found = Found()
    if not project.get("dependencies") and "dependencies" in _table(_table(table, "tool"), "poetry"):
        remark = "the dependencies of `[tool.poetry]` are not read"
        found.remarks.append(
            info("declaration-ignored", remark, place=path.name, hint="name them in `[project]` too, or with `--with`")
        )
    return _finish_table(project, table, found, Place(path.name, text))


def read_pipfile(path: Path) -> Declarations:
    """Read a `Pipfile`: its `[packages]` and the Python it requires.

    Raises:
        InputError: it is not TOML, or a requirement is broken.
    """
    text = read_text(path)
    table = _parse_toml(text, path.name)
    found, place = Found(), Place(path.name, text)
    for name, value in _table(table, "packages").items():
        version = value.get("version", "*") if isinstance(value, dict) else value
        if not isinstance(version, str) or (isinstance(value, dict) and {"git", "path", "file"} & value.keys()):
            found.remarks.append(info("declaration-ignored", f"`{name}` is not from a registry", place=place.of(name)))
            continue
        take_requirement(
            f"{name}{'' if version == '*' else version}",
            found,
            Line(path.parent, place.why(name), place.of(name), set()),
        )
    python = _table(table, "requires").get("python_version")
    return found.finish(python=python, python_why=f"{path.name} python_version") if python else found.finish()


def read_script_block(source: Source) -> Declarations:
    """Read the PEP 723 block of a script, or of a notebook's cell (as juv writes it).

    Raises:
        InputError: there are several, or the block is not TOML, or a requirement is broken.
    """
    blocks = [
        (cell, line, text)
        for cell, code in enumerate(source.notebook.code_cells)
        if _BLOCK_START in code.source
        for line, text in _find_blocks(code.source)
    ]
    if not blocks:
        return Declarations()
    cell, line, text = blocks[0]
    where = CellPlace(source, cell, text, line)
    if len(blocks) > 1:
        message = "there are several `# /// script` blocks, and PEP 723 allows one"
        raise InputError(error("requirement-broken", message, place=where.of(""), hint="keep one of them"))
    table = _parse_toml(text, where.file, where)
    return _finish_table(table, table, Found(), where, complete=True)


def _parse_toml(text: str, file: str, place: Place | None = None) -> dict[str, Any]:
    tomllib = importlib.import_module("tomllib")  # most sources need none of it
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        at = _TOML_LINE.search(str(fault))
        where = (place or Place(file, text)).of("", int(at[1]) if at else None)
        message = f"this is not TOML: {re.sub(r' *[(]at .*', '', str(fault))}"
        raise InputError(error("requirement-broken", message, place=where, hint="correct the line")) from fault
    return table


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = table.get(key)
    return inner if isinstance(inner, dict) else {}


def _finish_table(
    project: Mapping[str, Any], table: Mapping[str, Any], found: Found, place: Place, *, complete: bool = False
) -> Declarations:
    """Read what `[project]` and a PEP 723 block have in common."""
    uv = _table(_table(table, "tool"), "uv")
    listed = project.get("dependencies", [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        found.errors.append(
            error("requirement-broken", "`dependencies` is not a list of texts", place=place.of("dependencies"))
        )
        listed = []
    for item in listed:
        read_line(item.strip(), found, Line(Path(), place.why(item), place.of(item), set()))
    _apply_sources(_table(uv, "sources"), found, place)
    python = project.get("requires-python")
    newest = uv.get("exclude-newer")
    as_of = _read_newest(newest, found, place.of("exclude-newer")) if newest is not None else None
    return found.finish(
        python=str(python) if python else None,
        python_why=f"{place.why('requires-python')} requires-python" if python else None,
        as_of=as_of,
        as_of_why=f"{place.why('exclude-newer')} exclude-newer" if as_of else None,
        complete=complete,
    )


def _read_newest(value: object, found: Found, place: str) -> str | None:
    text = value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else str(value)
    try:
        return parse_day(text, place)
    except InputError:
        remark = f"`exclude-newer` is `{text}`, and Kanoe takes only a day or a time"
        found.remarks.append(warning("date-broken", remark, place=place, hint="give the day with `--as-of 2021-06-15`"))
        return None


def _apply_sources(sources: Mapping[str, Any], found: Found, place: Place) -> None:
    """Take the `git` and `url` sources of `[tool.uv.sources]`; folders and indexes are of the author's machine."""
    for name, value in sources.items():
        link = _link_of(value) if isinstance(value, dict) else None
        if link is None:
            remark = f"the source of `{name}` in `[tool.uv.sources]` is not used: it is neither `git` nor `url`"
            found.remarks.append(info("declaration-ignored", remark, place=place.of(name)))
            continue
        found.requirements = [
            replace(need, url=link, specifier="") if need.name == normalise(name) else need
            for need in found.requirements
        ]


def _link_of(value: Mapping[str, Any]) -> str | None:
    if isinstance(value.get("git"), str):
        revision = next((f"@{value[key]}" for key in ("rev", "tag", "branch") if key in value), "")
        folder = f"#subdirectory={value['subdirectory']}" if "subdirectory" in value else ""
        return f"git+{value['git'].removeprefix('git+')}{revision}{folder}"
    return value["url"] if isinstance(value.get("url"), str) else None


def _find_blocks(source: str) -> Iterator[tuple[int, str]]:
    """Yield the `script` blocks of a cell: how many lines stand before their content, and the content."""
    lines = source.replace("\r\n", "\n").split("\n")
    index = 0
    while index < len(lines):
        if lines[index].rstrip() != _BLOCK_START:
            index += 1
            continue
        end = index + 1
        while end < len(lines) and (lines[end].startswith("# ") or lines[end].rstrip() == "#"):
            end += 1
        closing = next((number for number in range(end - 1, index, -1) if lines[number].rstrip() == _BLOCK_END), None)
        if closing is not None:
            yield index + 1, "\n".join(line.rstrip()[2:] for line in lines[index + 1 : closing])
        index = end
