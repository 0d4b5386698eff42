"""A lock as a file: TOML that a person can read and commit.

The same lock gives the same bytes; they hold no time of making, no registry's name and no path.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.environments.lock import Distribution, Lock, Moved, Skipped, one_line, public_url, quote_command
from kanoe.environments.needs import Requirement
from kanoe.environments.versions import normalise

FORM = 1
FOLDER_LOCK = "kanoe.lock"

_WIDE = 100  # characters of a list on one line

_ANEW = "Make it anew: `kanoe env lock SOURCE`"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\[(?P<extras>[A-Za-z0-9._,\s-]*)\])?\s*"
    r"(?:@\s*(?P<url>\S+)|(?P<specifier>[^;@]*?))\s*(?:\s;\s*(?P<marker>.+))?$"
)
_PATTERNS = {
    "name": re.compile(_NAME + "$"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*$"),
    "url": re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\"'\\]+$"),
    "hashes": re.compile(r"(?:md5|sha1|sha224|sha256|sha384|sha512|blake2b):[0-9a-f]{32,128}$"),
    "day": re.compile(r"\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?$"),
    "python": re.compile(r"3\.\d{1,2}$"),
    "accelerator": re.compile(r"(?:cpu|cuda)$"),
}


def find_lock(folder: Path, stem: str, explicit: Path | None = None) -> Path | None:
    """Return a source's lock file: the one that the user names, else `STEM.lock` beside it, else `kanoe.lock` there.

    Raises:
        InputError: `lock-broken`: the file that the user names is not there.
    """
    if explicit is not None:
        if not explicit.is_file():
            what = "is a folder" if explicit.is_dir() else "does not exist"
            raise InputError(
                error(
                    "lock-broken",
                    f"the lock `{explicit}` {what}",
                    place="--lock",
                    hint="Make one: `kanoe env lock SOURCE`",
                )
            )
        return explicit
    return next((path for path in (folder / f"{stem}.lock", folder / FOLDER_LOCK) if path.is_file()), None)


def read_lock(path: Path) -> Lock:
    """Return the lock in a file.

    Raises:
        InputError: `lock-broken`: the file cannot be read or understood.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise InputError(error("lock-broken", f"the lock cannot be read: {cause.strerror}", place=str(path))) from cause
    try:
        return loads(data.decode("utf-8-sig"), place=path.name)
    except UnicodeDecodeError as cause:
        raise InputError(
            error("lock-broken", "the lock is not a text in UTF-8", place=path.name, hint=_ANEW)
        ) from cause


def dumps(lock: Lock, source: str | None = None) -> str:
    """Return the text of a lock; `source` is named in its first lines."""
    command = f"kanoe env lock {quote_command(source)}" if source else "kanoe env lock SOURCE"
    what = f"The environment of {one_line(source)}" if source else "An environment"
    lines = [
        f"# {what}: every distribution, its version, and why it is there. Commit it beside the source.",
        f"# Made by Kanoe; to make it anew: `{command}`",
        "",
        f"kanoe-lock = {FORM}",
        f"python = {_quote(lock.python)}",
        f"platform = {_quote(lock.platform)}",
    ]
    if lock.as_of is not None:
        lines.append(f"as-of = {_quote(lock.as_of)}  # only releases before it")
    if lock.accelerator is not None:
        lines.append(f"accelerator = {_quote(lock.accelerator)}  # which builds it holds: `cpu` or `cuda`")
    for requirement in lock.requirements:
        lines += ["", "[[requirement]]", *_requirement_lines(requirement)]
    for skipped in lock.skipped:
        lines += [
            "",
            "[[skipped]]",
            *_pair("name", skipped.name),
            *_list("why", skipped.why),
            *_pair("reason", skipped.reason),
        ]
    for moved in lock.moved:
        lines += ["", "[[moved]]"]
        lines += [*_pair("name", moved.name), *_pair("day", moved.day), *_pair("reason", moved.reason)]
    for distribution in lock.distributions:
        lines += ["", "[[distribution]]", *_distribution_lines(distribution)]
    return "\n".join(lines) + "\n"


def _requirement_lines(requirement: Requirement) -> Iterator[str]:
    text = (
        str(requirement)
        if requirement.url is None
        else str(requirement).replace(requirement.url, public_url(requirement.url))
    )
    yield from _pair("requirement", text)
    yield from _list("why", requirement.why)
    yield from _list("modules", requirement.modules)
    yield from (f"{name} = true" for name in ("optional", "guessed") if getattr(requirement, name))


def _distribution_lines(distribution: Distribution) -> Iterator[str]:
    yield from _pair("name", distribution.name)
    yield from _pair("version", distribution.version)
    yield from _list("why", distribution.why)
    if distribution.url is not None:
        yield from _pair("url", public_url(distribution.url))
    if distribution.size is not None:
        yield f"size = {distribution.size}"
    yield from _list("hashes", distribution.hashes)


def _pair(name: str, value: str) -> Iterator[str]:
    yield f"{name} = {_quote(value)}"


def _list(name: str, values: Sequence[str]) -> Iterator[str]:
    line = f"{name} = [{', '.join(map(_quote, values))}]"
    if len(values) <= 1 or len(line) <= _WIDE:
        yield from [line] * bool(values)
        return
    yield f"{name} = ["
    yield from (f"    {_quote(value)}," for value in values)
    yield "]"


def _quote(text: str) -> str:
    """Return a TOML basic string; a lone surrogate, which TOML cannot hold, becomes U+FFFD."""
    escaped = re.sub(
        r'[\x00-\x1f"\\\x7f]',
        lambda match: rf"\u{ord(match[0]):04x}" if match[0] not in '"\\' else "\\" + match[0],
        text,
    )
    return '"' + re.sub("[\ud800-\udfff]", "\ufffd", escaped) + '"'


def loads(text: str, *, place: str = "lock") -> Lock:
    """Return the lock that a text holds.

    Args:
        text: TOML.
        place: the file's name, for messages.

    Raises:
        InputError: `lock-broken`, with the line where the reader knows it.
    """
    reader = _Reader(text, place)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        line = re.search(r"line (\d+)", str(cause))
        reason = re.sub(r" \(at .*\)$", "", str(cause))
        reader.fail(f"the lock is not valid TOML: {reason}", int(line[1]) if line else None)
    return reader.read(content)


class _Reader:
    """Turns the content of a lock file into a lock, strictly: what it does not know is an error."""

    def __init__(self, text: str, place: str) -> None:
        self._text = text
        self._place = place

    def fail(self, message: str, line: int | None) -> NoReturn:
        place = self._place if line is None else f"{self._place} line {line}"
        raise InputError(error("lock-broken", message, place=place, hint=_ANEW))

    def read(self, content: dict[str, Any]) -> Lock:
        form = content.pop("kanoe-lock", None)
        if type(form) is not int or form < 1:
            self.fail("the file is not a lock of Kanoe: it has no `kanoe-lock = 1`", None)
        if form > FORM:
            self.fail(f"the lock has form {form}; this Kanoe knows forms up to {FORM}", self._line("kanoe-lock"))
        tables = {
            name: self._tables(content.pop(name, []), name)
            for name in ("requirement", "skipped", "moved", "distribution")
        }
        at = _Table(self, content, "the head", 1)
        python, platform, as_of, accelerator = (
            at.text("python"),
            at.text("platform", free=True),
            at.text("as-of", free=True, needed=False),
            at.text("accelerator", needed=False),
        )
        at.finish()
        lock = Lock(
            python=python or "",
            platform=platform or "",
            requirements=tuple(self._requirement(table) for table in tables["requirement"]),
            distributions=tuple(self._distribution(table) for table in tables["distribution"]),
            as_of=as_of,
            skipped=tuple(self._skipped(table) for table in tables["skipped"]),
            moved=tuple(self._moved(table) for table in tables["moved"]),
            accelerator=accelerator,
        )
        names = [distribution.name for distribution in lock.distributions]
        for position, name in enumerate(names):
            if name in names[:position]:
                self.fail(f"`{name}` is there twice", tables["distribution"][position].line)
        return lock

    def _line(self, start: str, count: int = 0) -> int | None:
        """Return the line of the occurrence `count` (from 0) of a line that starts so."""
        for number, line in enumerate(self._text.split("\n"), 1):
            if line.strip().startswith(start):
                if count == 0:
                    return number
                count -= 1
        return None

    def _tables(self, value: object, name: str) -> list[_Table]:
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.fail(f"`{name}` must be a list of tables, `[[{name}]]`", self._line(name))
        header = f"[[{name}]]"
        lines = [number for number, line in enumerate(self._text.split("\n"), 1) if line.strip().startswith(header)]
        places = lines if len(lines) == len(value) else [None] * len(value)
        return [
            _Table(self, one, f"{name} {position + 1}", line)
            for position, (one, line) in enumerate(zip(value, places, strict=True))
        ]

    def _requirement(self, table: _Table) -> Requirement:
        text = table.text("requirement", free=True) or ""
        match = _REQUIREMENT.match(text)
        if match is None:
            self.fail(f"`{text}` is not a requirement", table.line)
        extras = match["extras"] or ""
        found = Requirement(
            name=normalise(match["name"]),
            specifier=re.sub(r"\s", "", match["specifier"] or ""),
            extras=tuple(sorted(extra.strip() for extra in extras.split(",") if extra.strip())),
            url=match["url"],
            marker=(match["marker"] or "").strip(),
            why=table.texts("why"),
            modules=table.texts("modules"),
            optional=table.flag("optional"),
            guessed=table.flag("guessed"),
        )
        table.finish()
        return found

    def _skipped(self, table: _Table) -> Skipped:
        found = Skipped(normalise(table.text("name") or ""), table.texts("why"), table.text("reason", free=True) or "")
        table.finish()
        return found

    def _moved(self, table: _Table) -> Moved:
        found = Moved(
            table.text("name", free=True) or "", table.text("day") or "", table.text("reason", free=True) or ""
        )
        table.finish()
        return found

    def _distribution(self, table: _Table) -> Distribution:
        found = Distribution(
            name=normalise(table.text("name") or ""),
            version=table.text("version") or "",
            why=table.texts("why"),
            url=table.text("url", needed=False),
            size=table.number("size"),
            hashes=table.texts("hashes", strict=True),
        )
        table.finish()
        if not found.hashes and found.url is None:
            self.fail(f"`{found.name}` has no hashes", table.line)
        return found


class _Table:
    """One table of the file; every value that is read is taken out, so that what remains is unknown."""

    def __init__(self, reader: _Reader, content: Mapping[str, Any], label: str, line: int | None) -> None:
        self._reader = reader
        self._content = dict(content)
        self._label = f"{label} ({content['name']})" if isinstance(content.get("name"), str) else label
        self.line = line

    def text(self, name: str, *, free: bool = False, needed: bool = True) -> str | None:
        value = self._content.pop(name, None)
        if value is None and not needed:
            return None
        if not isinstance(value, str) or not (free or _PATTERNS[name].match(value)):
            what = "is missing" if value is None else f"cannot be {value!r}"
            self._reader.fail(f"{self._label}: `{name}` {what}", self.line)
        return value

    def texts(self, name: str, *, strict: bool = False) -> tuple[str, ...]:
        value = self._content.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self._reader.fail(f"{self._label}: `{name}` must be a list of texts", self.line)
        bad = [one for one in value if strict and not _PATTERNS[name].match(one)]
        if bad:
            self._reader.fail(f"{self._label}: `{name}` cannot hold {bad[0]!r}", self.line)
        return tuple(value)

    def number(self, name: str) -> int | None:
        value = self._content.pop(name, None)
        if value is not None and (type(value) is not int or value < 0):
            self._reader.fail(f"{self._label}: `{name}` cannot be {value!r}", self.line)
        return value

    def flag(self, name: str) -> bool:
        value = self._content.pop(name, False)
        if not isinstance(value, bool):
            self._reader.fail(f"{self._label}: `{name}` must be `true` or `false`", self.line)
        return value

    def finish(self) -> None:
        for name in self._content:
            self._reader.fail(f"{self._label}: `{name}` is unknown", self.line)
