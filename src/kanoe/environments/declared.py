"""What the author declared: in files beside the source, in a PEP 723 block, and by installs in the cells."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, Severity, cell_place, error, info, warning
from kanoe.base.errors import InputError
from kanoe.environments.binder import declaration_folder, read_binder_files
from kanoe.environments.needs import Requirement
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import normalise
from kanoe.ir.code import CellCode
from kanoe.ir.commands import Install
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
class _Found:
    """Gathers what one place declares; errors are kept and raised together."""

    requirements: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    remarks: list[Diagnostic] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)

    def finish(self, **more: Any) -> Declarations:
        if self.errors:
            raise InputError(*self.errors)
        constraints = tuple(join_versions(self.constraints))
        limits = {(limit.name, limit.marker): limit.specifier for limit in constraints}
        limited = [
            replace(need, specifier=_join_specifiers(need.specifier, limits.get((need.name, need.marker), "")))
            if need.url is None
            else need
            for need in join_versions(self.requirements)
        ]
        return Declarations(tuple(limited), constraints, diagnostics=tuple(self.remarks), **more)


_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSION = r"\d+(?:\.\d+)*"
_CLAUSE = rf"(?:(?:==|!=)\s*{_VERSION}(?:\.\*)?|(?:~=|<=|>=|<|>)\s*{_VERSION})"
_SIMPLE = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[(?P<extras>[\w.,\s-]*)\])?\s*\(?\s*(?P<versions>{_CLAUSE}(?:\s*,\s*{_CLAUSE})*)?\s*\)?$"
)
_LOOSE_STAR = re.compile(rf"((?:~=|<=|>=|<|>)\s*{_VERSION})\.\*")
_BUILD_LABEL = re.compile(r"(==\s*[0-9][^+,;\s]*)\+[A-Za-z0-9._-]+")
_LINK = re.compile(r"(?:git|hg|svn|bzr)\+|(?:https?|ftp|file|ssh)://|git@")
_ARCHIVE_NAME = re.compile(rf"(?P<name>{_NAME}?)-\d[^/]*\.(?:whl|zip|tar\.gz|tgz|tar\.bz2)$")
_FORGE_ARCHIVE = re.compile(r"//(?:codeload\.)?(?:github|gitlab)\.com/[^/]+/(?P<name>[^/]+)/")
_EGG = re.compile(r"[#&]egg=(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]&]*)\])?")
_FILE_LINK = re.compile(rf"(?P<name>{_NAME})(?:\[[^\]]*\])?\s*@\s*file:")
_PATH = re.compile(r"[./~]|[^<>=!~;@\s]*[/\\]|[^@]*\.(?:whl|zip|tar\.gz|tgz)$")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_LINE_OPTION = re.compile(r"\s--?[A-Za-z].*$")
_OPTION = re.compile(r"(?P<option>--[A-Za-z][\w-]*|-[A-Za-z])\s*=?\s*(?P<value>.*)$")
_CONDA_SPECIFICATION = re.compile(
    r"(?:[^:\s]+::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?:\[(?P<bracket>[^\]]*)\])?\s*(?P<version>[^\s\[]*(?:\s*,\s*\S+)*)(?:\s+(?P<build>\S+))?$"
)
_PYTHON_VERSION = re.compile(r"(?:c?python[-=]?)?(?P<version>3(?:\.\d+)*)$", re.IGNORECASE)
_BLOCK_START, _BLOCK_END = "# /// script", "# ///"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ].*)?$")
_TOML_LINE = re.compile(r"\(at line (\d+)")


def parse_requirement(text: str, why: str) -> Requirement:
    """Return the requirement that a PEP 508 text says, with the small liberties that pip and uv take.

    Raises:
        ValueError: the text is not a requirement; the message says why, in one line.
    """
    text = text.strip()
    simple = _SIMPLE.match(text)
    if simple is not None:
        extras = sorted(normalise(extra) for extra in (simple["extras"] or "").replace(",", " ").split())
        return Requirement(
            normalise(simple["name"]), _sort_clauses(simple["versions"] or ""), tuple(extras), why=(why,)
        )
    packaging = _load("packaging.requirements")
    try:
        parsed = packaging.Requirement(_LOOSE_STAR.sub(r"\1", text))
    except packaging.InvalidRequirement as fault:
        raise ValueError(str(fault).splitlines()[0].rstrip(".")) from fault
    return Requirement(
        name=normalise(parsed.name),
        specifier=_sort_clauses(str(parsed.specifier)),
        extras=tuple(sorted(normalise(extra) for extra in parsed.extras)),
        url=parsed.url,
        marker=str(parsed.marker or ""),
        why=(why,),
    )


def parse_link(link: str, why: str) -> Requirement:
    """Return the requirement that a bare direct reference says: `git+https://...`, `https://.../name-1.0-py3-none-any.whl`.

    Where neither the link's `egg` nor an archive's name says which distribution it is, the repository's name is taken
    and the requirement is `guessed`.
    """
    link = link.strip()
    if link.startswith("git@"):
        link = "git+ssh://" + link.replace(":", "/", 1)
    link = link.replace("git+git://", "git+https://", 1)
    egg = _EGG.search(link)
    extras = (
        tuple(sorted(normalise(extra) for extra in (egg["extras"] or "").split(",") if extra.strip())) if egg else ()
    )
    url = re.sub(r"#$", "", re.sub(r"(#|&)egg=[^&]*&?", r"\1", link)).rstrip("&") if egg else link
    place = url.partition("#")[0]
    archive = _ARCHIVE_NAME.search(place.rpartition("/")[2]) if "/archive/" not in place else None
    if egg:
        name = egg["name"]
    elif archive:
        name = archive["name"]
    else:
        forge = _FORGE_ARCHIVE.search(place) if not link.startswith(("git+", "hg+", "svn+", "bzr+")) else None
        last = re.sub(r"@[^/]*$", "", place.rstrip("/")).rpartition("/")[2]
        name = forge["name"] if forge else re.sub(r"\.(?:git|zip|tar\.gz|whl)$", "", last)
    return Requirement(normalise(name), extras=extras, url=url, why=(why,), guessed=egg is None and archive is None)


def parse_extra(text: str) -> Requirement:
    """Return the requirement that an option `--with` gives.

    Raises:
        InputError: it is not a requirement.
    """
    try:
        return parse_link(text, "--with") if _LINK.match(text) else _rename(parse_requirement(text, "--with"))
    except ValueError as fault:
        hint = "write it as pip does: `--with 'pandas>=1.5,<2'` or `--with 'name @ https://...'`"
        raise InputError(
            error("requirement-broken", f"`{text}` is not a requirement: {fault}", place="--with", hint=hint)
        ) from fault


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


def join_versions(requirements: Sequence[Requirement]) -> list[Requirement]:
    """Return one requirement per distribution and marker: all versions, extras and reasons together."""
    joined: dict[tuple[str, str], Requirement] = {}
    for need in requirements:
        key = (need.name, need.marker)
        first = joined.get(key)
        if first is None:
            joined[key] = need
            continue
        joined[key] = replace(
            first,
            specifier=_join_specifiers(first.specifier, need.specifier),
            extras=tuple(sorted({*first.extras, *need.extras})),
            url=first.url or need.url,
            why=(*first.why, *(why for why in need.why if why not in first.why)),
            optional=first.optional and need.optional,
            guessed=first.guessed and need.guessed,
        )
    return list(joined.values())


def read_declarations(source: Source, cells: Sequence[CellCode]) -> list[Declarations]:
    """Return what is declared for a source, the strongest place first.

    The order: a PEP 723 block, installs in the cells, `requirements.txt`, `runtime.txt` (Python and day),
    `.python-version`, `Pipfile`, `pyproject.toml`, `environment.yml`. Where there is a folder `binder` or `.binder`,
    the files in it count.

    Raises:
        InputError: a file cannot be read or understood, with the file and the line.
    """
    readers = {
        "requirements.txt": read_requirements_file,
        "runtime.txt": read_runtime_file,
        ".python-version": read_version_file,
        "Pipfile": read_pipfile,
        "pyproject.toml": read_project_file,
        "environment.yml": read_environment_file,
        "environment.yaml": read_environment_file,
    }
    found = [read_script_block(source), read_installs(source, cells)]
    folder = declaration_folder(source.folder)
    found += [reader(path) for name, reader in readers.items() if (path := folder / name).is_file()]
    found.append(Declarations(diagnostics=read_binder_files(folder)))
    return [declarations for declarations in found if declarations != Declarations()]


def read_requirements_file(path: Path) -> Declarations:
    """Read a pip requirements file, and those it names with `-r` and `-c`.

    Raises:
        InputError: a file is missing or a line is not a requirement.
    """
    found = _Found()
    _read_requirements(path, path.name, found, set(), constraint=False)
    return found.finish()


def read_project_file(path: Path) -> Declarations:
    """Read a `pyproject.toml`: `[project]` dependencies and requires-python, `[tool.uv]` exclude-newer and sources.

    Raises:
        InputError: it is not TOML, or a requirement is broken.
    """
    text = _read_text(path)
    table = _parse_toml(text, path.name)
    project = _table(table, "project")
    found = _Found()
    if not project.get("dependencies") and "dependencies" in _table(_table(table, "tool"), "poetry"):
        remark = "the dependencies of `[tool.poetry]` are not read"
        found.remarks.append(
            info("declaration-ignored", remark, place=path.name, hint="name them in `[project]` too, or with `--with`")
        )
    return _finish_table(project, table, found, _Place(path.name, text))


def read_environment_file(path: Path) -> Declarations:
    """Read a conda `environment.yml`: its packages under their PyPI names, the version of Python, the `pip:` list.

    Packages that may not be on PyPI are optional.

    Raises:
        InputError: it is not YAML, not an environment, or a line cannot be understood.
    """
    text = _read_text(path)
    yaml = _load("yaml")
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"{path.name} line {mark.line + 1}" if mark else path.name
        message = f"the file is not YAML: {getattr(fault, 'problem', None) or fault}"
        raise InputError(error("requirement-broken", message, place=where, hint="correct the line")) from fault
    listed = content.get("dependencies") if isinstance(content, dict) else content
    if not isinstance(content, dict) or not isinstance(listed or [], list):
        message = "the file is not a conda environment: it has no list `dependencies`"
        raise InputError(error("requirement-broken", message, place=path.name, hint="see `conda env export`"))
    found, place = _Found(), _Place(path.name, text)
    python: str | None = None
    for item in listed or []:
        if isinstance(item, str):
            python = _read_conda(item, found, place.why(item), place.of(item)) or python
        elif isinstance(item, dict) and isinstance(pip := item.get("pip"), list):
            for line in pip:
                _read_requirement_line(
                    str(line).strip(), found, _Line(path.parent, place.why(str(line)), place.of(str(line)), set())
                )
    return found.finish(python=python, python_why=f"{path.name} python" if python else None)


def read_runtime_file(path: Path) -> Declarations:
    """Read a `runtime.txt` of Binder or Heroku: `python-3.9`, `python-3.7-2020-01-31`; the patch version is left to the machine.

    Raises:
        InputError: it cannot be read.
    """
    text = _read_text(path).strip()
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
    for line in _read_text(path).splitlines():
        match = re.match(r"\s*(?:cpython[-@])?(3\.\d+)(?:\.\d+)?\s*(?:#.*)?$", line)
        if match is not None:
            return Declarations(python=match[1], python_why=path.name)
    return Declarations()


def read_pipfile(path: Path) -> Declarations:
    """Read a `Pipfile`: its `[packages]` and the Python it requires.

    Raises:
        InputError: it is not TOML, or a requirement is broken.
    """
    text = _read_text(path)
    table = _parse_toml(text, path.name)
    found, place = _Found(), _Place(path.name, text)
    for name, value in _table(table, "packages").items():
        version = value.get("version", "*") if isinstance(value, dict) else value
        if not isinstance(version, str) or (isinstance(value, dict) and {"git", "path", "file"} & value.keys()):
            found.remarks.append(info("declaration-ignored", f"`{name}` is not from a registry", place=place.of(name)))
            continue
        _take(
            f"{name}{'' if version == '*' else version}",
            found,
            _Line(path.parent, place.why(name), place.of(name), set()),
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
    where = _CellPlace(source, cell, text, line)
    if len(blocks) > 1:
        message = "there are several `# /// script` blocks, and PEP 723 allows one"
        raise InputError(error("requirement-broken", message, place=where.of(""), hint="keep one of them"))
    table = _parse_toml(text, where.file, where)
    return _finish_table(table, table, _Found(), where, complete=True)


def read_installs(source: Source, cells: Sequence[CellCode]) -> Declarations:
    """Read the installs in the cells.

    Of several for one distribution the last that says a version counts, as when they run. What cannot be known before
    the run, and files of this machine, are remarks: the command still runs in the notebook.

    Raises:
        InputError: a requirements file beside the source that a cell installs cannot be understood.
    """
    found = _Found()
    for position, code in enumerate(cells):
        for install in code.installs:
            _read_install(source, position, install, found)
    last: dict[tuple[str, str], Requirement] = {}
    for need in found.requirements:
        first = last.get((need.name, need.marker))
        if first is not None and (need.specifier or need.url):
            first = replace(first, specifier=need.specifier, url=need.url, guessed=need.guessed)
        last[need.name, need.marker] = join_versions([first, replace(need, specifier="")])[0] if first else need
    found.requirements = list(last.values())
    return found.finish()


@dataclass(frozen=True, slots=True)
class _Line:
    """Where a requirements line stands: the folder for relative paths, its reason and place, the files on the way."""

    folder: Path
    why: str
    place: str
    seen: set[Path]
    constraint: bool = False


class _Place:
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


class _CellPlace(_Place):
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


def _load(name: str) -> Any:
    # Most sources need none of packaging, yaml and tomllib; together they cost a warm run as much as all the rest.
    return importlib.import_module(name)


def _sort_clauses(versions: str) -> str:
    return ",".join(sorted({"".join(clause.split()) for clause in versions.split(",") if clause.strip()}))


def _join_specifiers(first: str, second: str) -> str:
    return _sort_clauses(f"{first},{second}") if first and second else first or second


def _read_text(path: Path) -> str:
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


def _parse_toml(text: str, file: str, place: _Place | None = None) -> dict[str, Any]:
    tomllib = _load("tomllib")
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        at = _TOML_LINE.search(str(fault))
        where = (place or _Place(file, text)).of("", int(at[1]) if at else None)
        message = f"this is not TOML: {re.sub(r' *[(]at .*', '', str(fault))}"
        raise InputError(error("requirement-broken", message, place=where, hint="correct the line")) from fault
    return table


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = table.get(key)
    return inner if isinstance(inner, dict) else {}


def _finish_table(
    project: Mapping[str, Any], table: Mapping[str, Any], found: _Found, place: _Place, *, complete: bool = False
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
        _read_requirement_line(item.strip(), found, _Line(Path(), place.why(item), place.of(item), set()))
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


def _read_newest(value: object, found: _Found, place: str) -> str | None:
    text = value.isoformat() if isinstance(value, datetime.date | datetime.datetime) else str(value)
    try:
        return parse_day(text, place)
    except InputError:
        remark = f"`exclude-newer` is `{text}`, and Kanoe takes only a day or a time"
        found.remarks.append(warning("date-broken", remark, place=place, hint="give the day with `--as-of 2021-06-15`"))
        return None


def _apply_sources(sources: Mapping[str, Any], found: _Found, place: _Place) -> None:
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


def _read_requirements(path: Path, name: str, found: _Found, seen: set[Path], *, constraint: bool) -> None:
    if path in seen:
        return
    seen.add(path)
    for number, line in _requirement_lines(_read_text(path)):
        where = f"{name} line {number}"
        _read_requirement_line(line, found, _Line(path.parent, where, where, seen, constraint))


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


def _read_requirement_line(line: str, found: _Found, at: _Line) -> None:
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
    if _LINK.match(line):
        found.requirements.append(parse_link(line, at.why))
    elif "@" not in line and _PATH.match(line):
        _note_path(line, found, at.place)
    else:
        _take(line, found, at)


def _take(text: str, found: _Found, at: _Line) -> None:
    plain = _BUILD_LABEL.sub(r"\1", text)
    if plain != text:
        remark = f"`{text}` names a build that is not on the registry; Kanoe takes `{plain}`"
        found.remarks.append(info("declaration-ignored", remark, place=at.place))
    try:
        need = _rename(parse_requirement(plain, at.why))
    except ValueError as fault:
        hint = (
            f"write `{text.replace('=', '==', 1)}`"
            if re.fullmatch(rf"{_NAME}\s*=\s*[\w.]+", text)
            else "write it as pip does"
        )
        found.errors.append(
            error("requirement-broken", f"`{text}` is not a requirement: {fault}", place=at.place, hint=hint)
        )
        return
    (found.constraints if at.constraint else found.requirements).append(need)


def _rename(need: Requirement) -> Requirement:
    """Return the requirement under the name that was meant: `pip install sklearn`."""
    meant = read_pairs("renamed").get(need.name, need.name) if need.url is None else need.name
    name, _, link = meant.partition(" @ ")
    return replace(need, name=name, url=link or need.url, specifier="" if link else need.specifier)


def _note_path(text: str, found: _Found, place: str) -> None:
    remark = f"`{text}` is a file or folder of one machine and is not put into the environment"
    hint = "modules beside the source are found without it; give a distribution with `--with NAME`"
    found.remarks.append(info("declaration-ignored", remark, place=place, hint=hint))


def _read_option(line: str, found: _Found, at: _Line) -> None:
    match = _OPTION.match(line)
    option, value = (match["option"], match["value"].strip()) if match else (line, "")
    if option in {"-r", "--requirement", "-c", "--constraint"}:
        constraint = at.constraint or option in {"-c", "--constraint"}
        path = at.folder / value
        if _LINK.match(value):
            remark = f"`{line}` is not fetched"
            found.remarks.append(
                warning("declaration-ignored", remark, place=at.place, hint="copy its lines into the file")
            )
        elif not path.is_file():
            message = f"there is no file `{value}`"
            found.errors.append(error("requirement-broken", message, place=at.place, hint="correct the path"))
        else:
            _read_requirements(path.resolve(), value.removeprefix("./"), found, at.seen, constraint=constraint)
    elif option in {"-e", "--editable"}:
        if _LINK.match(value):
            found.requirements.append(parse_link(value, at.why))
        else:
            _note_path(line, found, at.place)
    else:
        remark = f"`{option}` is not used: Kanoe takes distributions from your own registry"
        found.remarks.append(info("declaration-ignored", remark, place=at.place))


def _read_conda(text: str, found: _Found, why: str, place: str) -> str | None:
    """Read one conda match specification; return the version of Python where it says that."""
    match = _CONDA_SPECIFICATION.match(text.strip())
    if match is None:
        found.errors.append(
            error("requirement-broken", f"`{text}` is not a conda package", place=place, hint="write `name=1.2`")
        )
        return None
    name, version = match["name"].lower(), (match["version"] or "").replace(" ", "")
    bracket = re.search(r"version\s*=\s*['\"]?([^'\"\]]+)", match["bracket"] or "")
    specifier = _conda_versions(bracket[1] if bracket else version, exact=text.strip()[len(match["name"]) :][:1] == " ")
    if name == "python":
        return _conda_python(specifier)
    known = read_pairs("conda")
    named = known.get(name, name)
    if not named or (
        name not in known and re.match(r"_|lib(?!rosa|pysal|clang|sass)|r-|spacy-model-|m2w64-|xorg-|font-", name)
    ):
        return None
    try:
        need = parse_requirement(f"{named}{specifier}", why)
    except ValueError:
        found.remarks.append(info("declaration-ignored", f"the version in `{text}` is not used", place=place))
        need = parse_requirement(named, why)
    found.requirements.append(replace(_rename(need), optional=_rename(need).name not in _known_names()))
    return None


def _conda_versions(version: str, *, exact: bool) -> str:
    """Return a conda version as PEP 440 specifiers: `=1.19` is `==1.19.*`, `=1.19=build` and ` 1.19` are `==1.19`."""
    version = version.strip()
    if version in {"", "*", "=", "=*"}:
        return ""
    if version[0] in "<>!~" or version.startswith("=="):
        return re.sub(r"(?<=\d)=[^=,<>]+$", "", version)
    number, _, build = version.removeprefix("=").partition("=")
    number = number.removesuffix("*").removesuffix(".")
    return (
        f"=={number}"
        if build or (exact and not version.startswith("=") and not version.endswith("*"))
        else f"=={number}.*"
    )


def _conda_python(specifier: str) -> str | None:
    pinned = re.match(r"==(\d+(?:\.\d+)?)", specifier)
    return pinned[1] if pinned else specifier or None


@functools.cache
def _known_names() -> frozenset[str]:
    """Return the distributions that PyPI is known to have."""
    aliases = (name for row in read_pairs("aliases").values() for name in row.partition(";")[0].split())
    return frozenset(normalise(name) for name in (*read_names("same"), *aliases))


def _read_install(source: Source, position: int, install: Install, found: _Found) -> None:
    place = cell_place(source.path.name, position, install.line)
    why = f"installed by line {install.line}" if source.kind == "script" else f"installed by cell {position}"
    own = _Found()
    for text in install.requirements:
        if install.tool == "conda":
            _read_conda(text, own, why, place)
        else:
            _take(text, own, _Line(source.folder, why, place, set()))
    own.requirements += [parse_link(link, why) for link in install.links]
    # What pip would refuse fails in the notebook as in Jupyter; it is no reason not to run.
    own.remarks += [replace(broken, severity=Severity.INFO) for broken in own.errors]
    for path in install.paths:
        _note_path(path, own, place)
    for unknown in install.unknown:
        remark = f"what `{unknown}` installs is known only when the cell runs"
        own.remarks.append(info("declaration-ignored", remark, place=place, hint="give it with `--with NAME`"))
    for name in (*install.files, *install.constraints):
        file = source.folder / name
        if file.is_file() and not Path(name).is_absolute():
            _read_requirements(file.resolve(), name, found, set(), constraint=name in install.constraints)
        else:
            own.remarks.append(info("declaration-ignored", f"there is no file `{name}` beside the source", place=place))
    found.requirements += own.requirements
    found.remarks += own.remarks
