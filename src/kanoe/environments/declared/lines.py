"""Lines as `requirements.txt` has them; other files hold such lines too.

https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kanoe.base.diagnostics import error, info, warning
from kanoe.environments.declared.places import Declarations, Found, Line, read_text
from kanoe.environments.requirements import LINK, NAME, parse_link, parse_requirement, renamed

_BUILD_LABEL = re.compile(r"(==\s*[0-9][^+,;\s]*)\+[A-Za-z0-9._-]+")
_FILE_LINK = re.compile(rf"(?P<name>{NAME})(?:\[[^\]]*\])?\s*@\s*file:")
_PATH = re.compile(r"[./~]|[^<>=!~;@\s]*[/\\]|[^@]*\.(?:whl|zip|tar\.gz|tgz)$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_LINE_OPTION = re.compile(r"\s--?[A-Za-z].*$")
_OPTION = re.compile(r"(?P<option>--[A-Za-z][\w-]*|-[A-Za-z])\s*=?\s*(?P<value>.*)$")


def read_requirements_file(path: Path) -> Declarations:
    """Read a pip requirements file, and those it names with `-r` and `-c`.

    Raises:
        InputError: a file is missing or a line is not a requirement.
    """
    found = Found()
    read_lines(path, path.name, found, set(), constraint=False)
    return found.finish()


def read_lines(path: Path, name: str, found: Found, seen: set[Path], *, constraint: bool) -> None:
    """Read a requirements file, unless it was read on the way to here.

    Raises:
        InputError: it cannot be read.
    """
    if path in seen:
        return
    seen.add(path)
    for number, line in _requirement_lines(read_text(path)):
        where = f"{name} line {number}"
        read_line(line, found, Line(path.parent, where, where, seen, constraint))


def read_line(line: str, found: Found, at: Line) -> None:
    """Read one line of a requirements file, or one entry of a list that has the same form."""
    if line.startswith("-"):
        _read_option(line, found, at)
        return
    line = _LINE_OPTION.sub("", line).strip()
    file_link = _FILE_LINK.match(line)
    if file_link is not None:
        remark = f"`{line}` points into another machine; only the name counts"
        found.remarks.append(info("declaration-ignored", remark, place=at.place))
        line = file_link["name"]
    if LINK.match(line):
        found.requirements.append(parse_link(line, at.why))
    elif "@" not in line and _PATH.match(line):
        note_path(line, found, at.place)
    else:
        take_requirement(line, found, at)


def take_requirement(text: str, found: Found, at: Line) -> None:
    """Keep the requirement that a text says, or the error that it is none."""
    plain = _BUILD_LABEL.sub(r"\1", text)
    if plain != text:
        remark = f"`{text}` names a build that is not on the registry; Kanoe takes `{plain}`"
        found.remarks.append(info("declaration-ignored", remark, place=at.place))
    try:
        need = renamed(parse_requirement(plain, at.why))
    except ValueError as fault:
        hint = (
            f"write `{text.replace('=', '==', 1)}`"
            if re.fullmatch(rf"{NAME}\s*=\s*[\w.]+", text)
            else "write it as pip does"
        )
        found.errors.append(
            error("requirement-broken", f"`{text}` is not a requirement: {fault}", place=at.place, hint=hint)
        )
        return
    (found.constraints if at.constraint else found.requirements).append(need)


def note_path(text: str, found: Found, place: str) -> None:
    """Keep the remark that a file or folder is not put into the environment."""
    remark = f"`{text}` is a file or folder of one machine and is not put into the environment"
    hint = "modules beside the source are found without it; give a distribution with `--with NAME`"
    found.remarks.append(info("declaration-ignored", remark, place=place, hint=hint))


def _requirement_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a requirements file that say something, with their numbers; continued lines are joined."""
    start, joined = 1, ""
    for number, line in enumerate(text.split("\n"), 1):
        start = start if joined else number
        content = _COMMENT.sub("", line)
        if content.endswith("\\"):
            joined += content[:-1] + " "
            continue
        if content := (joined + content).strip():
            yield start, content
        joined = ""
    if joined.strip():
        yield start, joined.strip()


def _read_option(line: str, found: Found, at: Line) -> None:
    match = _OPTION.match(line)
    option, value = (match["option"], match["value"].strip()) if match else (line, "")
    if option in {"-r", "--requirement", "-c", "--constraint"}:
        constraint = at.constraint or option in {"-c", "--constraint"}
        path = at.folder / value
        if LINK.match(value):
            remark = f"`{line}` is not fetched"
            found.remarks.append(
                warning("declaration-ignored", remark, place=at.place, hint="copy its lines into the file")
            )
        elif not path.is_file():
            message = f"there is no file `{value}`"
            found.errors.append(error("requirement-broken", message, place=at.place, hint="correct the path"))
        else:
            read_lines(path.resolve(), value.removeprefix("./"), found, at.seen, constraint=constraint)
    elif option in {"-e", "--editable"}:
        if LINK.match(value):
            found.requirements.append(parse_link(value, at.why))
        else:
            note_path(line, found, at.place)
    else:
        remark = f"`{option}` is not used: Kanoe takes distributions from your own registry"
        found.remarks.append(info("declaration-ignored", remark, place=at.place))
