"""Figures that are data: Plotly and Vega as JSON, with numbers as numbers; SVG by its shapes."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from kanoe.back.reproduction.tokens import is_close
from kanoe.back.reproduction.verdicts import TOLERANCE, Comparison, Outcome

# What says how a figure looks or which page holds it, not what it shows.
_LOOKS = frozenset(("template", "config", "uid", "uirevision", "plotlyServerURL", "$schema", "usermeta", "frames"))
# Plotly 6 writes arrays as base64 of these (https://plotly.com/python-api-reference, "bdata").
_FORMATS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
_LARGEST = 20_000_000
_PLOT = re.compile(r"Plotly\.(?:newPlot|plot|react)\(\s*(?:'[^']*'|\"[^\"]*\"|[^,]+),\s*")

Leaf = tuple[str, Any]


def compare_figures(was: Any, now: Any, tolerance: float = TOLERANCE) -> Comparison:
    """Compare a figure's JSON with the author's.

    Args:
        was: the author's: an object, or its text.
        now: that of now.
        tolerance: how far two numbers may be apart, as a share of the larger.
    """
    if was == now:
        return Comparison(Outcome.EXACT, "figure")
    theirs, ours = (list(_leaves(_figure(value), "")) for value in (was, now))
    if [name for name, _ in theirs] != [name for name, _ in ours]:
        return Comparison(Outcome.DIFFERENT, "figure", note="another figure: its parts differ")
    outcome = Outcome.EXACT
    for (name, left), (_, right) in zip(theirs, ours, strict=True):
        if left == right:
            continue
        if not (_is_number(left) and _is_number(right) and is_close(float(left), float(right), tolerance)):
            return Comparison(Outcome.DIFFERENT, "figure", f"figure {name}", _shown(right), _shown(left), weight=1)
        outcome = Outcome.WITHIN
    return Comparison(outcome, "figure")


def figure_in(html: str) -> Any:
    """Return the figure that Plotly's HTML draws, as `[data, layout]`, or `None`."""
    if len(html) > _LARGEST:
        return None
    for match in _PLOT.finditer(html):
        decoder = json.JSONDecoder()
        try:
            data, end = decoder.raw_decode(html, match.end())
            comma = html.index(",", end)
            layout, _ = decoder.raw_decode(html, len(html) - len(html[comma + 1 :].lstrip()))
        except (ValueError, RecursionError):
            continue
        return [data, layout]
    return None


def _figure(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _leaves(value: Any, name: str) -> Iterator[Leaf]:
    """Yield every value in a figure with its name; the looks and what is null or hidden in a template are left out."""
    if isinstance(value, Mapping):
        array = _array(value)
        if array is not None:
            yield from _leaves(array, name)
            return
        for key in sorted(value, key=str):
            if key not in _LOOKS and value[key] is not None:
                yield from _leaves(value[key], f"{name} {key}".strip())
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def _array(value: Mapping[str, Any]) -> Sequence[Any] | None:
    if not {"dtype", "bdata"} <= value.keys():
        return None
    form = _FORMATS.get(str(value["dtype"]).lstrip("<|="))
    try:
        content = base64.b64decode(str(value["bdata"]))
        size = struct.calcsize(form or "")
        return struct.unpack(f"<{len(content) // size}{form}", content) if form else None
    except (binascii.Error, struct.error, ValueError, ZeroDivisionError):
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"


# SVG

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SHAPES = frozenset(("d", "points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height"))
_SILENT = frozenset(("metadata", "style", "defs", "title", "desc"))


def compare_drawings(was: str, now: str, tolerance: float = TOLERANCE) -> Comparison:
    """Compare an SVG drawing with the author's: the same elements and words, at the same places within a share of its size."""
    if was == now:
        return Comparison(Outcome.EXACT, "image")
    try:
        theirs, ours = (list(_shapes(ElementTree.fromstring(text))) for text in (was, now))  # noqa: S314 - nothing is fetched; expat bounds entities
    except (ElementTree.ParseError, ValueError, RecursionError):
        return Comparison(Outcome.INCOMPARABLE, "image", note="an SVG image cannot be read")
    if [name for name, _ in theirs] != [name for name, _ in ours]:
        return Comparison(Outcome.DIFFERENT, "image", note="another image: its elements or words differ")
    numbers = [[number for _, values in shapes for number in values] for shapes in (theirs, ours)]
    if numbers[0] == numbers[1]:
        return Comparison(Outcome.EXACT, "image")
    size = max((abs(number) for number in numbers[0] + numbers[1]), default=1.0)
    if len(numbers[0]) == len(numbers[1]) and all(
        abs(left - right) <= tolerance * size for left, right in zip(*numbers, strict=True)
    ):
        return Comparison(Outcome.WITHIN, "image")
    return Comparison(Outcome.DIFFERENT, "image", note="another image: its shapes differ")


def _shapes(element: ElementTree.Element) -> Iterator[tuple[str, list[float]]]:
    name = str(element.tag).rpartition("}")[2]
    if name in _SILENT:
        return
    values = [
        float(number)
        for key in sorted(_SHAPES.intersection(element.keys()))
        for number in _NUMBER.findall(element.get(key, ""))
    ]
    yield f"{name} {(element.text or '').strip()}".strip(), values
    for child in element:
        yield from _shapes(child)
