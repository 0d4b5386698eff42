"""Python scripts: a plain one is one cell, one in the percent format is its cells.

The percent format is that of Spyder, VS Code and jupytext (https://jupytext.readthedocs.io, "Notebooks as scripts"),
and `# In[3]:` as nbconvert writes it. What jupytext hides in comments is brought back: its header, Markdown, magics.
"""

from __future__ import annotations

import io
import json
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError
from kanoe.front.content import read_content
from kanoe.front.schema import DepthError, mend_cell_metadata, mend_text
from kanoe.ir.notebook import Cell, CellKind, Notebook
from kanoe.ir.source import KernelMetadata, Source, SourceKind

_MARKER = re.compile(r"#[ \t]*%%+(?:[ \t]+(?P<options>.*))?$")
_NUMBERED = re.compile(r"#[ ]?In\s?\[[\d *]*\]:?[ \t]*$")
_KIND = re.compile(r"\[(code|markdown|md|raw)\]", re.IGNORECASE)
_KINDS: Mapping[str, CellKind] = {"code": "code", "markdown": "markdown", "md": "markdown", "raw": "raw"}
_KEY = re.compile(r"\s*([A-Za-z_][\w.-]*)=")
_WORD = re.compile(r"'[^']*'|[^\s\"'{}\[\]]+")
_WORDS: Mapping[str, Any] = {"True": True, "False": False, "None": None}
_STRING = re.compile(
    r'''\#[^\n]*                                 # a comment hides quotes
      | (?P<quotes>"""|\'\'\')
      | "[^"\\\n]*(?:\\.[^"\\\n]*)*"
      | '[^'\\\n]*(?:\\.[^'\\\n]*)*\'''',
    re.VERBOSE | re.DOTALL,
)
_TOP = re.compile(r"#!|#.*?coding[:=]|#\s*(?:vi|vim|ex):|\s*$")
_FENCE = re.compile(r"# ---\s*$")
_QUOTED_TEXT = re.compile(r"""\s*[rR]?(?P<quotes>\"{3}|'{3})\n?(?P<text>.*?)\n?(?P=quotes)\s*$""", re.DOTALL)
# A comment that is a magic or a command: as jupytext writes every one, and as one can be told from a person's remark.
_HIDDEN_SURELY = re.compile(
    r"\s*# (?:# )*(?=%{1,2}[A-Za-z]|![ ]?[\w.~$\\/{]|[A-Za-z_]\w*[ ]?=[ ]?(?:%[A-Za-z]|!)|[\w.]+\?{1,2}$)"
)
_HIDDEN_LIKELY = re.compile(
    r"""\s*\#[ ]?(?=
          %(?:matplotlib|pylab|config|load_ext|reload_ext|autoreload|aimport|env|set_env|cd|pip|conda|time|timeit|run
             |who|whos|tensorboard|reset|precision|pprint|gui|colors|xmode|alias|store|sql|watermark|memit|lprun|mprun|prun|sx)\b
        | %%(?:time|timeit|capture|bash|sh|script|writefile|file|html|javascript|latex|markdown|prun|memit|cython|R)\b
        | ![ ]?[A-Za-z./~$\\{])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Header:
    """jupytext's header: what it says, and how many lines of the file it and what stands above it take."""

    lines: int = 0
    metadata: Mapping[str, Any] | None = None
    format_name: str | None = None


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file, and whether it begins inside a long string."""

    text: str
    quoted: bool


def read_script(path: Path, metadata: KernelMetadata | None = None) -> Source:
    """Return the program of a `.py` file: one cell, or the cells of the percent format.

    Args:
        path: the file, absolute.
        metadata: what stands beside it.

    Raises:
        InputError: `source-missing`, `source-unreadable`, `source-empty`, `source-encoding`, `notebook-language`.
    """
    kind, notebook = parse_script(_decode(read_content(path), path.name), path.name)
    return Source(path, kind, notebook, metadata)


def parse_script(text: str, name: str) -> tuple[SourceKind, Notebook]:
    """Return what a script's text is, and its cells.

    Raises:
        InputError: `notebook-language`: its header says another language than Python.
    """
    lines = list(_read_lines(text))
    header = _read_header(lines)
    _check_language(header, name)
    marked = any(_marker(line) is not None for line in lines)
    if header.format_name not in (None, "percent", "hydrogen") or not (marked or header.format_name):
        return "script", Notebook((Cell("cell-0", "code", text.rstrip("\n")),))
    surely = header.metadata is not None
    cells = [_make_cell(options, body, surely=surely) for options, body in _split(lines[header.lines :])]
    named = tuple(Cell(f"cell-{position}", *cell) for position, cell in enumerate(cells))
    return "percent", Notebook(named, dict(header.metadata or {}))


def _decode(content: bytes, name: str) -> str:
    """Return the text of a script, line ends as `\\n`; the encoding is what Python takes it for (PEP 263)."""
    encoding = "utf-8"
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            encoding = "utf-16"
        else:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError) as cause:
        raise InputError(_undecodable(content, encoding, cause, name)) from cause
    if "\0" in text:
        raise InputError(
            error("source-encoding", f"`{name}` is a binary file, not a script", place=name, hint="Give its source")
        )
    return mend_text(text).removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _undecodable(content: bytes, encoding: str, cause: Exception, name: str) -> Diagnostic:
    if b"\0" in content[:1024]:
        return error("source-encoding", f"`{name}` is a binary file, not a script", place=name, hint="Give its source")
    if isinstance(cause, UnicodeDecodeError):
        line = content.count(b"\n", 0, cause.start) + 1
        message, place = f"`{name}` is not text in {encoding}", f"{name} line {line}"
    else:
        message, place = f"`{name}` is not text in the encoding it says: {cause}", name
    hint = "Save it as UTF-8, or say its encoding in the first line: `# -*- coding: latin-1 -*-`"
    return error("source-encoding", message, place=place, hint=hint)


# Lines and markers


def _read_lines(text: str) -> Iterator[_Line]:
    """Yield the lines; a marker inside a string is text."""
    quoted: list[tuple[int, int]] = []
    position = 0
    while match := _STRING.search(text, position):
        position = match.end()
        if match["quotes"]:
            end = _string_end(text, position, match["quotes"])
            if end is not None:  # else nobody knows where it ends, and it hides nothing
                quoted.append((match.start(), end))
                position = end
    spans = iter(quoted)
    span = next(spans, None)
    start = 0
    for line in text.split("\n"):
        while span is not None and span[1] <= start:
            span = next(spans, None)
        yield _Line(line, span is not None and span[0] < start)
        start += len(line) + 1


def _string_end(text: str, position: int, quotes: str) -> int | None:
    while (found := text.find(quotes, position)) >= 0:
        backslashes = found
        while backslashes > position and text[backslashes - 1] == "\\":
            backslashes -= 1
        if (found - backslashes) % 2 == 0:
            return found + 3
        position = found + 1
    return None


def _marker(line: _Line) -> str | None:
    """Return the options of a line that begins a cell, `None` for any other line."""
    if line.quoted or not line.text.startswith("#"):
        return None
    match = _MARKER.match(line.text)
    if match is not None:
        return (match["options"] or "").strip()
    return "" if _NUMBERED.match(line.text) else None


def _split(lines: Sequence[_Line]) -> Iterator[tuple[str, list[_Line]]]:
    """Yield each cell's options and lines; what stands above the first marker is a cell unless it says nothing."""
    options, body = "", list[_Line]()
    first = True
    for line in lines:
        found = _marker(line)
        if found is None:
            body.append(line)
            continue
        if not first or not all(_TOP.match(other.text) for other in body):
            yield options, body
        options, body, first = found, [], False
    if not first or not all(_TOP.match(other.text) for other in body):
        yield options, body


# Cells


def _make_cell(options: str, lines: Sequence[_Line], *, surely: bool) -> tuple[CellKind, str, dict[str, Any]]:
    kind, metadata = _read_options(options)
    if kind != "code":
        return kind, _uncomment_text(lines), metadata
    return "code", _uncomment_code(lines, metadata, surely=surely), metadata


def _read_options(options: str) -> tuple[CellKind, dict[str, Any]]:
    """Return what `# %% title [markdown] tags=["x"]` says: the cell's kind, and its metadata with the title."""
    found = _KIND.search(options)
    kind: CellKind = "code"
    title, metadata = options, None
    if found is not None:
        kind = _KINDS[found[1].lower()]
        rest = options[found.end() :].strip()
        metadata = _read_metadata(rest)
        title = options[: found.start()] if metadata is not None else f"{options[: found.start()]} {rest}"
    else:
        for start in (0, *(blank.end() for blank in re.finditer(r"\s+", options))):
            if start < len(options) and (metadata := _read_metadata(options[start:])) is not None:
                title = options[:start]
                break
    try:
        mended = mend_cell_metadata(metadata or {})
    except DepthError:
        mended = {}
    if title.strip():
        mended.setdefault("title", title.strip())
    return kind, mended


def _read_metadata(text: str) -> dict[str, Any] | None:
    """Return the metadata that the whole of `text` is, `key=value key=value` or a JSON object, or `None`."""
    decoder = json.JSONDecoder()
    values: dict[str, Any] = {}
    try:
        if text.startswith("{"):
            value = json.loads(text)
            return value if isinstance(value, dict) else None
        position = 0
        while position < len(text):
            key = _KEY.match(text, position)
            if key is None:
                return None
            word = _WORD.match(text, key.end())
            if text[key.end() : key.end() + 1] in ('"', "[", "{") or word is None:
                values[key[1]], position = decoder.raw_decode(text, key.end())
            else:
                values[key[1]], position = _WORDS.get(word[0], _read_word(word[0])), word.end()
    except (ValueError, RecursionError):
        return None
    return values


def _read_word(word: str) -> object:
    if word.startswith("'"):
        return word[1:-1]
    try:
        return json.loads(word)
    except ValueError:
        return word


def _uncomment_text(lines: Sequence[_Line]) -> str:
    """Return the text of a Markdown or raw cell, written as comments or as one long string."""
    body = "\n".join(line.text for line in lines)
    quoted = _QUOTED_TEXT.match(body)
    if quoted is not None and quoted["quotes"] not in quoted["text"]:
        return quoted["text"]
    return "\n".join(re.sub(r"^# ?", "", line.text) for line in lines).strip("\n")


def _uncomment_code(lines: Sequence[_Line], metadata: dict[str, Any], *, surely: bool) -> str:
    """Return a cell's code with its magics; jupytext's `language`, `magic_args` and `active` leave `metadata`."""
    language, arguments = metadata.get("language"), metadata.get("magic_args", "")
    if isinstance(language, str) and isinstance(arguments, str) and _is_hidden(lines):
        del metadata["language"]
        metadata.pop("magic_args", None)
        return f"%%{language} {arguments}".rstrip() + f"\n{_uncomment_text(lines)}"
    if metadata.get("active") == "ipynb" and _is_hidden(lines):
        del metadata["active"]
        return _uncomment_text(lines)
    return "\n".join(_uncomment_magics(lines, _HIDDEN_SURELY if surely else _HIDDEN_LIKELY)).rstrip()


def _is_hidden(lines: Sequence[_Line]) -> bool:
    """Whether Python sees nothing but comments, or one long string."""
    commented = all(not line.text.strip() or line.text.startswith("#") for line in lines)
    return commented or _QUOTED_TEXT.match("\n".join(line.text for line in lines)) is not None


def _uncomment_magics(lines: Sequence[_Line], hidden: re.Pattern[str]) -> Iterator[str]:
    continued = False
    for line in lines:
        text = line.text
        if not line.quoted and (continued or hidden.match(text)):
            text = re.sub(r"^(\s*)# ?", r"\1", text)
            continued = text.endswith("\\")
        else:
            continued = False
        yield text


# jupytext's header


def _read_header(lines: Sequence[_Line]) -> _Header:
    start = 0
    while start < len(lines) and _TOP.match(lines[start].text):
        start += 1
    if start >= len(lines) or not _FENCE.match(lines[start].text):
        return _Header()
    for end in range(start + 1, len(lines)):
        text = lines[end].text
        if _FENCE.match(text):
            values = _read_yaml("\n".join(line.text[2:] for line in lines[start + 1 : end]))
            return _understand_header(values, end + 1)
        if not text.startswith("#"):
            break
    return _Header()


def _read_yaml(text: str) -> Mapping[str, Any]:
    # Few scripts have a header; the others need no YAML.
    import yaml  # noqa: PLC0415

    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    jupyter = values.get("jupyter") if isinstance(values, dict) else None
    return jupyter if isinstance(jupyter, dict) else {}


def _understand_header(values: Mapping[str, Any], lines: int) -> _Header:
    if not values:
        return _Header()
    representation = _mapping(_mapping(values.get("jupytext")).get("text_representation"))
    format_name = representation.get("format_name")
    kernelspec = {
        key: mend_text(value) for key, value in _mapping(values.get("kernelspec")).items() if _is_field(key, value)
    }
    if "name" in kernelspec:
        kernelspec.setdefault("display_name", kernelspec["name"])
    metadata = {"kernelspec": kernelspec} if "name" in kernelspec else {}
    return _Header(lines, metadata, format_name if isinstance(format_name, str) else None)


def _is_field(key: object, value: object) -> bool:
    return key in ("name", "display_name", "language") and isinstance(value, str)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _check_language(header: _Header, name: str) -> None:
    kernelspec = _mapping((header.metadata or {}).get("kernelspec"))
    language = kernelspec.get("language", "python")
    if not re.match(r"i?python[\s\d.]*$", language.lower()):
        raise InputError(
            error(
                "notebook-language",
                f"The header of `{name}` says that it is written in {language[:40]}; Kanoe runs Python",
                place=name,
                hint="If its cells are Python after all, correct `language` in the header",
            )
        )
