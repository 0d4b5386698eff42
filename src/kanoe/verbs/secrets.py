"""`--secret`: values that Kaggle's `UserSecretsClient` gives to a notebook, and that no disk and no other process sees."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kanoe.base.command_line import take_variables
from kanoe.base.diagnostics import Diagnostic, cell_place, error, info, warning
from kanoe.base.errors import InputError
from kanoe.base.secrets import Secrets
from kanoe.environments.surroundings import Expectation, find_expectations
from kanoe.ir.code import parse_cell
from kanoe.ir.source import Source
from kanoe.store.home import Store

FILE = "secrets.toml"
SERVICE = "kanoe"

_LARGEST = 1 << 20
_TEXT = re.compile(r"(?P<name>[^=@]*)(?P<kind>=@|=|@)?(?P<rest>.*)", re.DOTALL)

Ask = Callable[[str], str]


def resolve_secrets(
    given: Mapping[str, str] | Sequence[str],
    store: Store,
    *,
    ask: Ask | None = None,
    own_process: bool = False,
) -> Secrets:
    """Return the secrets that a run is given.

    A text is `NAME=VALUE`, `NAME=@FILE` (also `NAME@FILE`: the file's text without its last newline), or `NAME`, which is looked
    up in the store's `secrets.toml`, in the system's keyring where the package `keyring` is there, in the environment variable of
    that name, and then asked for.

    Args:
        given: texts, or values by name.
        store: its folder may hold `secrets.toml`.
        ask: asks a person for the value of a name, without showing what is typed; `None`: nobody is there.
        own_process: whether this process is Kanoe's own: variables that held a secret are then taken away from it, so that no
            program which it starts has them.

    Raises:
        InputError: a text cannot be understood, a file cannot be read or is not private, or a value is found nowhere.
    """
    if isinstance(given, Secrets):
        return given
    if isinstance(given, Mapping):
        return Secrets(_checked(given))
    lookup = _Lookup(store, ask)
    values: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for text in [given] if isinstance(given, str) else given:
        found = _TEXT.fullmatch(text)
        assert found is not None
        try:
            name = found["name"].strip()
            values[name] = _value(name, found["kind"], found["rest"], lookup)
        except InputError as problem:
            problems += problem.diagnostics
    if own_process:
        take_variables(values)
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return Secrets(values)


def missing_secrets(source: Source, given: Mapping[str, str] | Sequence[str]) -> Iterator[Diagnostic]:
    """Yield a warning for each secret that a source surely asks for and that a run of it is not given."""
    sources = [cell.source for cell in source.notebook.code_cells]
    if any("get_secret" in text for text in sources):
        expected = find_expectations([parse_cell(text) for text in sources])
        yield from missing_of([one for one in expected if one.certain], source, given)


def missing_of(
    expected: Sequence[Expectation], source: Source, given: Mapping[str, str] | Sequence[str] = ()
) -> Iterator[Diagnostic]:
    """Yield the same from what was found already; a remark only where the source may do without."""
    for one in expected:
        if one.kind == "secret" and one.what not in given:
            make = warning if one.certain else info
            yield make(
                "secret-missing",
                f"it asks Kaggle for the secret `{one.what}`, which a run has only when it is given",
                place=cell_place(source.path.name, one.cell, one.line),
                hint=f"`kanoe run {source.path.name} --secret {one.what}`",
            )


def _checked(given: Mapping[str, str]) -> Mapping[str, str]:
    wrong = [name for name, value in given.items() if not (isinstance(name, str) and name and isinstance(value, str))]
    if wrong:
        raise InputError(
            *(_wrong(f"the secret `{name}` is no text with a name", "Give names and values as texts") for name in wrong)
        )
    return given


def _value(name: str, kind: str | None, rest: str, lookup: _Lookup) -> str:
    if not name:
        raise InputError(_wrong("a secret has no name", "Write `--secret NAME`, `NAME=VALUE` or `NAME=@FILE`"))
    if kind is None:
        return lookup.find(name)
    value = rest if kind == "=" else _read(name, Path(rest))
    if not value:
        what = "it is empty" if kind == "=" else f"`{rest}` is empty"
        hint = f"If the shell should fill it in: is the variable set? `--secret {name}` alone looks it up"
        raise InputError(_wrong(f"the secret `{name}` has no value: {what}", hint))
    return value


def _read(name: str, path: Path) -> str:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than 1 MiB")
        text = data.decode()
    except (OSError, ValueError) as cause:
        why = (cause.strerror if isinstance(cause, OSError) else None) or (
            "it is no UTF-8 text" if isinstance(cause, UnicodeDecodeError) else str(cause)
        )
        message = f"the file `{path}` of the secret `{name}` cannot be read: {why}"
        raise InputError(_wrong(message, f"Name a file that you can read: `--secret {name}=@FILE`")) from None
    return text.removesuffix("\n").removesuffix("\r")


@dataclass
class _Lookup:
    """Finds the value of a name that was given alone."""

    store: Store
    ask: Ask | None
    file: dict[str, str] | None = field(default=None, repr=False)

    def find(self, name: str) -> str:
        if self.file is None:
            self.file = _read_file(self.store.path / FILE)
        for place in (self.file.get, _from_keyring, os.environ.get, self._asked):
            value = place(name)
            if value:
                return value
        hint = (
            f'Give it in one of these ways: `--secret {name}=@FILE`; the line `{name} = "..."` in {self.store.path / FILE} '
            f"(`chmod 600` it); `keyring set {SERVICE} {name}` where the package `keyring` is installed beside Kanoe; "
            f"the environment variable `{name}`; or run it at a terminal, which asks"
        )
        raise InputError(_wrong(f"the value of the secret `{name}` is found nowhere", hint))

    def _asked(self, name: str) -> str | None:
        try:
            return self.ask(f"Secret {name}: ") if self.ask is not None else None
        except EOFError:
            return None


def _read_file(path: Path) -> dict[str, str]:
    """Return the secrets of the store's file, which nobody else may read.

    Raises:
        InputError: others may read it, it is another user's, or it cannot be understood.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid():
                raise InputError(_bad_file(path, "belongs to another user", f"`chown {os.geteuid()} {path}`"))
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise InputError(_bad_file(path, "can be read by others", f"`chmod 600 {path}`"))
            content = tomllib.loads(file.read(_LARGEST).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else _where(cause)
        hint = 'A line for each secret: `NAME = "value"`'
        raise InputError(_bad_file(path, f"cannot be understood: {why}", hint)) from None
    strangers = [name for name, value in content.items() if not isinstance(value, str)]
    if strangers:
        hint = 'A line for each secret: `NAME = "value"`'
        raise InputError(_bad_file(path, f"holds something else than texts: `{strangers[0]}`", hint))
    return content


def _where(cause: ValueError) -> str:
    """Return where a file is wrong, and nothing of what stands there."""
    found = re.search(r"line \d+, column \d+", str(cause))
    return f"it is no TOML ({found.group()})" if found else "it is no TOML"


def _from_keyring(name: str) -> str | None:
    """Return what the system's keyring has for a name, if the package is installed and has one to ask."""
    keyring = _keyring()
    if keyring is None:
        return None
    try:
        value = keyring.get_password(SERVICE, name)
    except Exception:
        # A locked, missing or broken keyring is one way less, and each system's breaks in its own way.
        return None
    return value if isinstance(value, str) else None


def _keyring() -> Any:
    """Return the package `keyring`, or `None`: the extra `keyring` of Kanoe brings it."""
    try:
        import keyring  # noqa: PLC0415 - optional, and slow to import
    except Exception:
        return None
    return keyring


def _wrong(message: str, hint: str) -> Diagnostic:
    return error("secret-value", message, place="--secret", hint=hint)


def _bad_file(path: Path, why: str, hint: str) -> Diagnostic:
    return error("secrets-file", f"the file of secrets {why}", place=str(path), hint=hint)
