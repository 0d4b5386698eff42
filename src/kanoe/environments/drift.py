"""What an error says of the age of a library, and in which other periods a notebook may run.

Pure: the marks stand in `tables/drift.toml`; the names that came and went, in `tables/fingerprints.toml`.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kanoe.environments.as_of import clamp_day, fits_python, python_of
from kanoe.environments.fingerprints import LIMIT, Fingerprint, fingerprints
from kanoe.environments.releases import first_release, parse_version
from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import normalise

Direction = Literal["new", "old", "either"]
MOST_CANDIDATES = 3

_BELOW = datetime.timedelta(days=15)
_ABOVE = datetime.timedelta(days=30)
_WILD = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)|\*")
_STEPS: Mapping[Direction, tuple[int, ...]] = {  # days, the likeliest first
    "new": (-180, -400, -800, 180),
    "old": (180, 400, -180),
    "either": (180, -180, 400, -400),
}
# What an error names: a module, a module's attribute, an object's attribute, a call's argument.
_MODULE = re.compile(r"No module named '?(?P<module>[\w.]+)")
_TAKEN = re.compile(
    r"cannot import name '?(?P<name>\w+)'?(?: from (?:partially initialized module )?'(?P<module>[\w.]+)')?"
)
_MODULE_NAME = re.compile(r"module '(?P<module>[\w.]+)' has no attribute '(?P<name>\w+)'")
_METHOD = re.compile(r"(?:type object )?'(?P<kind>\w+)'(?: object)? has no attribute '(?P<name>\w+)'")
_KEYWORD = re.compile(r"(?:(?P<call>[\w.]+)\(\) )?got an unexpected keyword argument '(?P<name>\w+)'")
_POSITIONAL = re.compile(
    r"(?:\w+\.)*(?P<call>\w+)\(\) takes (?:from \d+ to |exactly |at most )?\d+ positional arguments? but"
)
_VALUE = re.compile(r"The '(?P<name>\w+)' parameter of (?P<call>\w+) must be")
_TRACEBACK_NAME = re.compile(r"(?P<call>\w+)\.__init__$")
_OWNERS = {  # a class in an error -> its library
    "DataFrame": "pandas", "Series": "pandas", "Index": "pandas", "DataFrameGroupBy": "pandas", "SeriesGroupBy": "pandas",
    "DatetimeIndex": "pandas", "DatetimeProperties": "pandas", "Timestamp": "pandas", "Categorical": "pandas",
    "StringMethods": "pandas", "MultiIndex": "pandas", "Rolling": "pandas", "Styler": "pandas",
    "ndarray": "numpy", "Axes": "matplotlib", "AxesSubplot": "matplotlib", "Figure": "matplotlib", "Axes3D": "matplotlib",
    "Line2D": "matplotlib", "Rectangle": "matplotlib", "Text": "matplotlib",
    "FacetGrid": "seaborn", "PairGrid": "seaborn", "JointGrid": "seaborn", "ClusterGrid": "seaborn",
    "Sequential": "keras", "Functional": "keras", "Model": "keras", "History": "keras",
    "Word2Vec": "gensim", "KeyedVectors": "gensim", "Booster": "xgboost", "XGBClassifier": "xgboost",
    "XGBRegressor": "xgboost", "LGBMClassifier": "lightgbm", "LGBMRegressor": "lightgbm", "Graph": "networkx",
    "DiGraph": "networkx", "CountVectorizer": "scikit-learn", "TfidfVectorizer": "scikit-learn",
}  # fmt: skip
_TOPS = {
    "sklearn": "scikit-learn",
    "mpl_toolkits": "matplotlib",
    "skimage": "scikit-image",
    "imblearn": "imbalanced-learn",
}
_SUSPECT_ERRORS = frozenset(
    {
        "ValueError",
        "KeyError",
        "IndexError",
        "TypeError",
        "AttributeError",
        "NotImplementedError",
        "LinAlgError",
        "RuntimeError",
    }
)
_API_ERRORS = frozenset({"AttributeError", "ImportError", "ModuleNotFoundError", "TypeError", "InvalidParameterError"})


@dataclass(frozen=True, slots=True)
class Drift:
    """A library that is of another age than the code.

    Args:
        library: the distribution; `python` for the interpreter; `None` where the error does not say which.
        direction: `new`: the library is too new for the code; `old`: too old; `either`: nobody knows which way.
        limit: the versions that fit the code, `<0.20` or `>=1.2`, where that is known.
        day: the day of the release that the limit names.
        why: a phrase: `` `sklearn.cross_validation` is in scikit-learn < 0.20 ``.
    """

    library: str | None
    direction: Direction
    limit: str | None = None
    day: datetime.date | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A period to try.

    Args:
        day: only releases before it count; `None`: the newest.
        python: `3.7`; `None`: Kanoe's own.
        why: words for people.
    """

    day: str | None
    python: str | None
    why: str = ""


def find_drift(ename: str, evalue: str, code: str, versions: Mapping[str, str]) -> Drift | None:
    """Return which library an error shows to be of another age; `None` for an error that speaks for none.

    Args:
        ename: the name of the exception's class.
        evalue: its text.
        code: the cell that raised it, or the text of the whole notebook.
        versions: the version of each distribution in the environment by its normalised name, and that of `python`.
    """
    text = f"{ename}: {evalue}"
    for pattern, limit in _marks():
        if pattern.search(text) and (found := _drift(limit, f"`{ename}`: {limit} fits the code", versions)):
            return found
    if ename.rpartition(".")[2] not in _API_ERRORS:
        return None
    for row in _rows_for(evalue, code):
        limit = f"{row.library} {row.operator} {row.version}"
        found = _drift(limit, f"`{row.text.removeprefix(f'{row.needs} ')}` is in {limit}", versions)
        if found is not None:
            return found
    library = _library_of(evalue, code, versions)
    return Drift(library, "either", why=f"{library} is of another age") if library is not None else None


def suspect(ename: str, module: str, versions: Mapping[str, str], *, ran: bool) -> Drift | None:
    """Return the library inside which the code failed as one that may be of another age; `None` where that is far-fetched.

    Weak evidence, for when there is no better: most errors inside a library are the caller's own.

    Args:
        ename: the name of the exception's class.
        module: the module that the cell called, `seaborn`.
        versions: as for `find_drift`.
        ran: whether the day is known from a run of the author's: then no library can be too old.
    """
    library = _TOPS.get(module, normalise(module))
    if ename.rpartition(".")[2] not in _SUSPECT_ERRORS or library not in versions:
        return None
    return Drift(library, "new" if ran else "either", why=f"{library} may be of another age")


def next_periods(
    day: str | None,
    python: str | None,
    drift: Drift,
    tried: Sequence[tuple[str | None, str | None]] = (),
    *,
    today: datetime.date,
) -> list[Candidate]:
    """Return at most three periods to try after a failure, the likeliest first.

    Args:
        day: the day of the environment that failed; `None`: the newest.
        python: its Python, `3.6`.
        drift: what the failure says.
        tried: days and Pythons of the environments that were tried; the one that failed counts as tried.
        today: the day of the call.
    """
    seen = {(day, python), *tried}
    kept: list[Candidate] = []
    for candidate in _candidates(day, python, drift, today):
        key = candidate.day, candidate.python
        if key not in seen and len(kept) < MOST_CANDIDATES:
            seen.add(key)
            kept.append(candidate)
    return kept


# What the error says


@functools.cache
def _marks() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_pattern(text), limit) for text, limit in read_pairs("drift").items())


def _pattern(text: str) -> re.Pattern[str]:
    """Return the regular expression of a row: `*` is anything, `(a|b)` one of the two, the rest itself."""
    pieces, end = [], 0
    for match in _WILD.finditer(text):
        pieces += [re.escape(text[end : match.start()]), _alternatives(match[1])]
        end = match.end()
    return re.compile("".join([*pieces, re.escape(text[end:])]), re.DOTALL)


def _alternatives(text: str | None) -> str:
    return ".*?" if text is None else f"(?:{'|'.join(re.escape(part) for part in text.split('|'))})"


def _drift(limit: str, why: str, versions: Mapping[str, str]) -> Drift | None:
    """Return the drift that a limit shows; `None` if the installed version keeps to it, or is not there."""
    bound = LIMIT.match(limit)
    assert bound is not None, limit
    library, operator, version = bound["library"], bound["operator"], bound["version"]
    installed = versions.get(library)
    if installed is None or (parse_version(installed) < parse_version(version)) == (operator == "<"):
        return None
    release = first_release(library, version)
    return Drift(
        library, "new" if operator == "<" else "old", operator + version, release.day if release else None, why
    )


def _rows_for(evalue: str, code: str) -> Iterator[Fingerprint]:
    """Yield the fingerprints that the names in an error match."""
    module, taken, attribute = _MODULE.search(evalue), _TAKEN.search(evalue), _MODULE_NAME.search(evalue)
    if module is not None:
        yield from (row for row in fingerprints() if row.path and _is_within(module["module"], row.path))
    elif taken is not None:
        name = f"{taken['module'] or _module_in(code, taken['name'])}.{taken['name']}"
        yield from (row for row in fingerprints() if row.shape != "item" and _names(row, name))
    elif attribute is not None:
        name = f"{attribute['module']}.{attribute['name']}"
        yield from (row for row in fingerprints() if row.shape != "item" and _names(row, name))
    elif (method := _METHOD.search(evalue)) is not None:
        yield from (row for row in fingerprints() if row.path.startswith(".") and row.word == method["name"])
    else:
        yield from _rows_for_call(evalue, code)


def _rows_for_call(evalue: str, code: str) -> Iterator[Fingerprint]:
    keyword, positional, value = _KEYWORD.search(evalue), _POSITIONAL.search(evalue), _VALUE.search(evalue)
    if keyword is not None:
        call = keyword["call"] or ""
        named = [row for row in fingerprints() if row.keyword == keyword["name"] and row.value is None]
        exact = [row for row in named if row.word in call.split(".")]
        yield from exact or (row for row in named if re.search(rf"\b{row.word}\b", code))
    elif positional is not None:
        yield from (row for row in fingerprints() if row.count and row.word == positional["call"])
    elif value is not None:
        yield from (row for row in fingerprints() if row.keyword == value["name"] and row.value is not None)


def _is_within(module: str, path: str) -> bool:
    return module == path or module.startswith(f"{path}.") or path.startswith(f"{module}.")


def _names(row: Fingerprint, name: str) -> bool:
    if name.startswith("."):
        return row.path.endswith(name) and not row.path.startswith(".")
    return name == row.path or name.startswith(f"{row.path}.")


def _module_in(code: str, name: str) -> str:
    """Return the module that the code imports a name from; empty if it does not say."""
    match = re.search(rf"^\s*from ([\w.]+) import (?:\([^)]*|[^\n]*)\b{name}\b", code, re.MULTILINE)
    return match[1] if match else ""


def _library_of(evalue: str, code: str, versions: Mapping[str, str]) -> str | None:
    """Return the installed library that an error names; `None` if it names none."""
    for pattern in (_TAKEN, _MODULE_NAME, _MODULE):
        match = pattern.search(evalue)
        # Python 3.6 names only what it could not import, not from where.
        module = match and (match["module"] or _module_in(code, match["name"]))
        if module:
            top = module.partition(".")[0]
            library = _TOPS.get(top, normalise(top))
            # `No module named 'x'` means that x is missing; `x.y`, that x is of another age.
            return library if library in versions and (pattern is not _MODULE or "." in module) else None
    kind = _METHOD.search(evalue) or _KEYWORD.search(evalue) or _VALUE.search(evalue)
    names = [part for part in (kind.groupdict().values() if kind else ()) if part]
    owners = [_OWNERS[word] for name in names for word in name.split(".") if word in _OWNERS]
    return next((owner for owner in owners if owner in versions), None)


# Where to go


def _candidates(day: str | None, python: str | None, drift: Drift, today: datetime.date) -> Iterator[Candidate]:
    """Yield periods in the best order, some of them perhaps twice."""
    base = datetime.date.fromisoformat(day[:10]) if day else today
    if drift.library == "python" and drift.limit is not None:
        yield from _other_pythons(day, drift)
        return
    if drift.day is not None:
        best = drift.day - _BELOW if drift.direction == "new" else drift.day + _ABOVE
        if (best < base) == (drift.direction == "new"):
            yield _at(best, python, today, drift.why)
    for step in _STEPS[drift.direction]:
        words = f"{abs(step)} days {'earlier' if step < 0 else 'later'}"
        yield _at(base + datetime.timedelta(days=step), python, today, words)


def _other_pythons(day: str | None, drift: Drift) -> Iterator[Candidate]:
    bound = re.search(r"\.(\d+)", drift.limit or "")
    minor = int(bound[1]) if bound else 0
    for offset in range(MOST_CANDIDATES):
        python = (3, minor - 1 - offset) if drift.direction == "new" else (3, minor + offset)
        if python >= (3, 6):
            yield Candidate(clamp_day(day, python) if day else None, "{}.{}".format(*python), drift.why)


def _at(day: datetime.date, python: str | None, today: datetime.date, why: str) -> Candidate:
    """Return the period of a day, with the Python it had if the one that failed does not go with it."""
    if day >= today:
        return Candidate(None, None, why)
    if python is None or not fits_python(python, day):
        python = "{}.{}".format(*max(python_of(day), (3, 6)))
    minor = tuple(int(part) for part in python.split(".")[:2])
    return Candidate(clamp_day(day.isoformat(), (minor[0], minor[1])), python, why)
