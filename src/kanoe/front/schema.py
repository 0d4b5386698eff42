"""What nbformat 4's schema asks of the parts of a notebook, and how parts that miss it are mended.

A notebook of the wild that Jupyter opens must come out of a run as a valid one: a part that no reader needs is dropped
where it breaks the schema (https://github.com/jupyter/nbformat, `nbformat.v4.*.schema.json`), and never refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_DEPTH = 100  # no real notebook comes near; writers recurse
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class DepthError(ValueError):
    """A value holds values in values beyond what a writer can follow."""

    def __init__(self) -> None:
        super().__init__(f"nested more than {_DEPTH} levels deep")


def mend_text(text: str) -> str:
    """Return a text that UTF-8 can hold: lone surrogates, which JSON can escape, become U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mend_mapping(values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Return a copy of a JSON object that strict JSON in UTF-8 can hold: NaN and infinities become null.

    Raises:
        DepthError: beyond 100 levels.
    """
    return {mend_text(str(key)): _mend_value(value, depth + 1) for key, value in values.items()}


def _mend_value(value: object, depth: int) -> object:
    if isinstance(value, str):
        return mend_text(value)
    if depth > _DEPTH:
        raise DepthError
    if isinstance(value, Mapping):
        return mend_mapping(value, depth)
    if isinstance(value, list | tuple):
        return [_mend_value(item, depth + 1) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)


def mend_cell_metadata(metadata: object) -> dict[str, Any]:
    """Return a cell's metadata without what breaks the schema; of tags, those that are text, each once.

    Raises:
        DepthError: beyond 100 levels.
    """
    if not isinstance(metadata, Mapping):
        return {}
    mended = _keep_valid(mend_mapping(metadata), _CELL_RULES)
    if "tags" in mended:
        tags = mended["tags"]
        mended["tags"] = list(dict.fromkeys(tag for tag in tags if isinstance(tag, str) and tag and "," not in tag))
    return mended


def mend_notebook_metadata(metadata: object) -> dict[str, Any]:
    """Return a notebook's metadata without what breaks the schema; a kernel without a display name shows its name.

    Raises:
        DepthError: beyond 100 levels.
    """
    if not isinstance(metadata, Mapping):
        return {}
    mended = mend_mapping(metadata)
    kernelspec = mended.get("kernelspec")
    if (
        isinstance(kernelspec, dict)
        and _is_text(kernelspec.get("name"))
        and not _is_text(kernelspec.get("display_name"))
    ):
        kernelspec["display_name"] = kernelspec["name"]
    language = mended.get("language_info")
    if isinstance(language, dict):
        mended["language_info"] = _keep_valid(language, _LANGUAGE_RULES)
    return _keep_valid(mended, _NOTEBOOK_RULES)


def mend_attachments(attachments: object) -> dict[str, Any] | None:
    """Return a Markdown cell's attachments that are files by media type; `None` where there are none.

    Raises:
        DepthError: beyond 100 levels.
    """
    if not isinstance(attachments, Mapping):
        return None
    return {
        name: {media: data for media, data in bundle.items() if _is_text(data) or _is_lines(data)}
        for name, bundle in mend_mapping(attachments).items()
        if isinstance(bundle, dict)
    }


def unique_ids(ids: Iterable[object]) -> list[str]:
    """Return an id for each cell: the given one where it is valid and new, else one made from the position."""
    given = list(ids)
    known = {id_ for id_ in given if isinstance(id_, str)}
    taken: set[str] = set()
    result: list[str] = []
    for position, id_ in enumerate(given):
        if not isinstance(id_, str) or id_ in taken or not _ID.fullmatch(id_):
            id_ = f"cell-{position}"  # noqa: PLW2901 - the mended one
            while id_ in known or id_ in taken:
                id_ += "x"  # noqa: PLW2901
        taken.add(id_)
        result.append(id_)
    return result


def _keep_valid(values: dict[str, Any], rules: Mapping[str, Callable[[object], bool]]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in rules or rules[key](value)}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_lines(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_texts_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_kernelspec(value: object) -> bool:
    return isinstance(value, dict) and _is_text(value.get("name")) and _is_text(value.get("display_name"))


_CELL_RULES: Mapping[str, Callable[[object], bool]] = {
    "collapsed": _is_flag,
    "execution": _is_texts_by_name,
    "format": _is_text,
    "jupyter": _is_object,
    "name": lambda value: isinstance(value, str) and bool(value) and not value.startswith("\n"),
    "scrolled": lambda value: isinstance(value, bool) or value == "auto",
    "tags": _is_list,
}
_LANGUAGE_RULES: Mapping[str, Callable[[object], bool]] = {
    "codemirror_mode": lambda value: isinstance(value, str | dict),
    "file_extension": _is_text,
    "mimetype": _is_text,
    "pygments_lexer": _is_text,
}
_NOTEBOOK_RULES: Mapping[str, Callable[[object], bool]] = {
    "authors": _is_list,
    "kernelspec": _is_kernelspec,
    "language_info": lambda value: isinstance(value, dict) and _is_text(value.get("name")),
    "orig_nbformat": _is_positive,
    "title": _is_text,
}
