"""What the outputs of the author's run, kept in the file, say about its libraries, its Python and its day."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kanoe.environments.releases import known_libraries
from kanoe.environments.versions import normalise
from kanoe.ir.notebook import Cell, Notebook

_MOST_PICTURES = 60
_MOST_TEXT = 40_000  # characters of one output
_PNG_HEAD = 400  # characters of base64 that hold what matplotlib writes in front of the picture
_SOFTWARE = re.compile(rb"[Mm]atplotlib version ?(\d+\.\d+(?:\.\d+)?)")
_PATH = re.compile(r"python(3\.\d+)/(?:site|dist)-packages\b")
_BOKEH = re.compile(r"/bokeh-(\d+\.\d+\.\d+)\.min\.js")
_SATISFIED = re.compile(r"Requirement already (?:satisfied|up-to-date): ([A-Za-z][\w.-]*)[^\n]*\((\d+(?:\.\d+)+)\)")
_LISTED = re.compile(r"^([A-Za-z][\w.-]*)(?:==|[ \t]+\(?)(\d+(?:\.\d+)+)\)?[ \t]*$", re.MULTILINE)
_SAID = re.compile(
    r"\b(?P<name>[A-Za-z][\w-]*)(?:'s)?(?:[ _](?:version|ver))?(?: is)?[ \t]*[:=]?[ \t]*v?(?P<version>\d+\.\d+(?:\.\d+)?)\b"
)
_LONE = re.compile(r"\s*'?v?(\d+\.\d+(?:\.\d+)?)'?\s*$")
_ASKED = re.compile(r"\b(\w+)\.__version__")
_RUN_DAYS = (
    re.compile(r"^Date:\s+\w{3}, (?P<day>\d{2}) (?P<month>[A-Z][a-z]{2}) (?P<year>20\d\d)\b", re.MULTILINE),  # statsmodels
    re.compile(r"(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d) \d\d:\d\d:\d\d\.\d{6}: [IWEF] (?:tensorflow|external)"),
    re.compile(r"\[I (?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d) \d\d:\d\d:\d\d,\d{3}\] (?:Trial|A new study|Finished trial)"),
    re.compile(r"\brun-(?P<year>20\d\d)(?P<month>\d\d)(?P<day>\d\d)_\d{6}-\w{8}\b"),  # Weights & Biases
    re.compile(r"<dc:date>(?P<year>20\d\d)-(?P<month>\d\d)-(?P<day>\d\d)T"),  # SVG of matplotlib
)  # fmt: skip
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ALIASES = {
    "pd": "pandas", "np": "numpy", "sp": "scipy", "sns": "seaborn", "mpl": "matplotlib", "plt": "matplotlib",
    "sklearn": "scikit-learn", "tf": "tensorflow", "xgb": "xgboost", "lgb": "lightgbm", "sm": "statsmodels",
    "skimage": "scikit-image", "nx": "networkx", "imblearn": "imbalanced-learn", "px": "plotly", "cb": "catboost",
    "pil": "pillow", "pl": "pytorch-lightning", "gpd": "geopandas", "alt": "altair", "umap": "umap-learn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Remains:
    """What the outputs say.

    Args:
        python: the Python that most paths name, `3.7`, or `None`.
        day: the newest day that a line which a library wrote names, or `None`.
        versions: libraries and versions that were installed, each with where it is seen.
    """

    python: str | None = None
    day: datetime.date | None = None
    versions: tuple[tuple[str, str, str], ...] = ()


def read_remains(notebook: Notebook, today: datetime.date) -> Remains:
    """Return what the outputs of a notebook say about the run that made them.

    Args:
        notebook: with the outputs of its file.
        today: later days are no days of a run.
    """
    pythons: Counter[str] = Counter()
    days: set[datetime.date] = set()
    versions: dict[str, tuple[str, str]] = {}
    pictures = 0
    for position, cell in enumerate(notebook.code_cells):
        for output in cell.outputs:
            for library, version, where in _versions_in(cell, output, pictures < _MOST_PICTURES):
                if library in known_libraries():
                    versions.setdefault(library, (version, f"{where} of cell {position}"))
            pictures += "image/png" in _data(output)
            text = _text(output)
            pythons.update(_PATH.findall(text))
            days.update(day for day in _days_in(text) if day <= today)
    seen = tuple((library, version, where) for library, (version, where) in versions.items())
    return Remains(pythons.most_common(1)[0][0] if pythons else None, max(days, default=None), seen)


def _versions_in(cell: Cell, output: Mapping[str, Any], look: bool) -> Iterator[tuple[str, str, str]]:
    """Yield the libraries, versions and places that one output shows; `look`: into pictures too."""
    picture = _data(output).get("image/png") if look else None
    if picture is not None and (match := _SOFTWARE.search(_decode(_join(picture)[:_PNG_HEAD]))):
        yield "matplotlib", match[1].decode(), "the picture"
    text = _text(output)
    if not text:
        return
    yield from (("bokeh", match[1], "the page") for match in _BOKEH.finditer(text))
    yield from ((normalise(match[1]), match[2], "the output") for match in _SATISFIED.finditer(text))
    if re.search(r"\bpip3? (?:list|freeze)\b", cell.source):
        yield from ((normalise(match[1]), match[2], "the output") for match in _LISTED.finditer(text))
    elif "__version__" in cell.source:
        yield from _said_versions(cell.source, text)


def _said_versions(source: str, text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the versions that a cell prints: `pandas version: 0.20.3`, or a lone number of the one it asks for."""
    asked = {_library(name) for name in _ASKED.findall(source)}
    lone = _LONE.match(text)
    if lone is not None and len(asked) == 1:
        yield asked.pop(), lone[1], "the output"
        return
    for match in _SAID.finditer(text):
        if _library(match["name"]) in asked:
            yield _library(match["name"]), match["version"], "the output"


def _library(name: str) -> str:
    lower = name.lower()
    return _ALIASES.get(lower, normalise(lower))


def _days_in(text: str) -> Iterator[datetime.date]:
    for pattern in _RUN_DAYS:
        for match in pattern.finditer(text):
            month = match["month"]
            number = int(month) if month.isdecimal() else _MONTHS.index(month) + 1 if month in _MONTHS else 0
            try:
                yield datetime.date(int(match["year"]), number, int(match["day"]))
            except ValueError:
                continue


def _data(output: Mapping[str, Any]) -> Mapping[str, Any]:
    data = output.get("data")
    return data if isinstance(data, Mapping) else {}


def _text(output: Mapping[str, Any]) -> str:
    data = _data(output)
    parts: Sequence[object] = (
        output.get("text"), output.get("traceback"), data.get("text/plain"), data.get("text/html"), data.get("image/svg+xml")
    )  # fmt: skip
    return "\n".join(_join(part)[:_MOST_TEXT] for part in parts if part)


def _join(value: object) -> str:
    if isinstance(value, list | tuple):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


def _decode(text: str) -> bytes:
    plain = text.replace("\n", "")
    try:
        return base64.b64decode(plain[: len(plain) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return b""
