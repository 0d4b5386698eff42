"""`--env` and `--env-file`: environment variables for the notebook."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError

# What a session stands on: with another value the notebook would not start, or not find Kanoe's and Kaggle's own parts.
_OURS = re.compile(
    r"KANOE_.*|HOME|PYTHONHOME|PYTHONPATH|PYTHONUSERBASE|VIRTUAL_ENV|KAGGLE_WORKING_DIR|LD_PRELOAD|LD_AUDIT"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST = 1 << 20

_LINE = re.compile(r"[ \t]*(?:export[ \t]+)?(?P<name>[^\s=#'\"]+)[ \t]*=[ \t]*")
_SKIPPED = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SINGLE = re.compile(r"'(?P<value>[^']*)'")
_DOUBLE = re.compile(r'"(?P<value>(?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r"(?P<value>[^\n]*)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$"}


def read_variables(texts: Sequence[str], files: Sequence[Path | str] = ()) -> dict[str, str]:
    """Return the variables of files, then of texts; a later one wins.

    Args:
        texts: each `NAME=VALUE`, or `NAME` for the value that Kanoe's own environment has.
        files: in the form that python-dotenv and Docker read; see `parse_env_file`.

    Raises:
        InputError: a file cannot be read, a line or a text cannot be understood, or a variable is one that Kanoe sets itself;
            all of it at once.
    """
    problems: list[Diagnostic] = []
    found: dict[str, str] = {}
    for file in files:
        try:
            with Path(file).expanduser().open("rb") as opened:
                data = opened.read(_LARGEST + 1)
            if len(data) > _LARGEST:
                raise ValueError("it is larger than 1 MiB")
            values, wrong = parse_env_file(data.decode("utf-8-sig"), str(file))
        except (OSError, ValueError) as cause:
            why = (cause.strerror if isinstance(cause, OSError) else None) or (
                "it is no UTF-8 text" if isinstance(cause, UnicodeDecodeError) else str(cause)
            )
            problems.append(
                _wrong(f"the file `{file}` cannot be read: {why}", "--env-file", "Name a file that you can read")
            )
            continue
        problems += [*wrong, *_refused(values, str(file))]
        found |= values
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            message = f"the variable `{name}` has no value, and Kanoe's own environment has none of that name"
            problems.append(_wrong(message, "--env", "Write `--env NAME=VALUE`"))
            continue
        given = {name: value if equals else os.environ[name]}
        problems += _refused(given, "--env")
        found |= given
    if problems:
        raise InputError(*problems)
    return found


def check_variables(variables: Mapping[str, str]) -> None:
    """Do nothing, or raise `InputError` where a variable cannot be given to a notebook."""
    problems = [*_refused(variables, "--env")]
    if problems:
        raise InputError(*problems)


def parse_env_file(text: str, place: str) -> tuple[dict[str, str], list[Diagnostic]]:
    """Return the variables of a file's text, and what is wrong with its lines.

    A line is empty, a comment (`# ...`), or `NAME=VALUE`, also after `export`. A value in quotes may run over several lines; in
    double quotes `\\n`, `\\t`, `\\r`, `\\\\`, `\\"` and `\\$` stand for what they do in a shell. A value without quotes ends at
    ` #` or with its line. Nothing is substituted.

    Args:
        text: the file's text.
        place: the file, for messages.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found: dict[str, str] = {}
    problems: list[Diagnostic] = []
    position = 0
    while position < len(text):
        skipped = _SKIPPED.match(text, position)
        if skipped is not None:
            position = skipped.end()
            continue
        started, why = position, "it is not NAME=VALUE"
        line = _LINE.match(text, position)
        if line is not None:
            value, position, why = _value(text, line.end())
            if not why:
                found[line["name"]] = value
        if why:
            number = text.count("\n", 0, started) + 1
            hint = "A line is NAME=VALUE, a comment (`# ...`) or blank"
            problems.append(_wrong(f"the line cannot be understood: {why}", f"{place} line {number}", hint))
            position = text.find("\n", started) + 1 or len(text)
    return found, problems


def _value(text: str, position: int) -> tuple[str, int, str]:
    """Return the value that begins at `position`, where it ends, and what is wrong with it, or an empty text."""
    quote = text[position : position + 1]
    pattern = {"'": _SINGLE, '"': _DOUBLE}.get(quote, _PLAIN)
    match = pattern.match(text, position)
    if match is None:
        return "", position, f"the quotation mark {quote} has no end"
    value, position = match["value"], match.end()
    if pattern is _PLAIN:
        return _COMMENT.sub("", value).strip(), position, ""
    if pattern is _DOUBLE:
        value = re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), value, flags=re.DOTALL)
    if _SKIPPED.match(text, position) is None:
        return "", position, "something stands after the closing quotation mark"
    return value, position, ""


def _refused(variables: Mapping[str, str], place: str) -> Iterator[Diagnostic]:
    for name, value in variables.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield _wrong(f"`{name}` is no name of a variable", place, "Write `--env NAME=VALUE`")
        elif _OURS.fullmatch(name):
            message = f"the variable `{name}` is one that the sandbox stands on, and Kanoe sets itself"
            yield _wrong(message, place, "Leave it out, or set it in the notebook: `os.environ[...] = ...`")
        elif not isinstance(value, str) or "\0" in value:
            yield _wrong(
                f"the value of `{name}` is no text that a variable can hold", place, "Leave the NUL character out"
            )


def _wrong(message: str, place: str, hint: str) -> Diagnostic:
    return error("variable-value", message, place=place, hint=hint)
