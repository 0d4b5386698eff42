"""The day and the Python of a notebook, from what its file says about its age.

Pure: nothing is read but the values given and the tables. The order of the evidence and what each kind is worth is told
in docs/why/the-day-of-a-notebook.md; the facts stand in `tables/`.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from kanoe.environments.fingerprints import Sighting, find_sightings
from kanoe.environments.outputs import Remains, read_remains
from kanoe.environments.releases import (
    Release,
    first_release,
    next_series,
    parse_version,
    release_at,
    releases_of,
    superseded,
)
from kanoe.environments.tables import read_pairs
from kanoe.ir.code import CellCode
from kanoe.ir.notebook import Notebook
from kanoe.ir.source import KernelMetadata, Source

Day = datetime.date
Minor = tuple[int, int]

LAG = datetime.timedelta(days=21)
"""Images and people are behind the registry by so much."""
RECENT = datetime.timedelta(days=120)
"""A notebook younger than this gets the newest releases."""
_OLD_DAY = datetime.timedelta(days=548)
_ABOVE_FLOOR = datetime.timedelta(days=30)
_BELOW_CEILING = datetime.timedelta(days=15)
_IN_USE = datetime.timedelta(days=60)  # from a release to the run of somebody who has it
_NO_INFORMATION = "3.6.4"  # Kaggle wrote it for five years, whatever the image had
_MIDDLE_OF_FIRST_YEARS = Day(
    2016, 6, 15
)  # of 1,870 Kaggle notebooks, those without `language_info` are of 2015-12 to 2016-08
_MIDDLE_OF_NO_INFORMATION = Day(2019, 6, 30)
_OLDEST = (3, 6)  # 3.5 has no kernel that Kanoe could talk to; its notebooks run on 3.6
_MODERN = (3, 11)  # a private notebook of this Python or a later one is taken for a new one
_KAGGLE_PATH = re.compile(r"\.\./input\b|/kaggle/(?:input|working)\b")
_STAMP = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ]")


@dataclass(frozen=True, slots=True)
class Period:
    """When a notebook was written, as far as it can be told.

    Args:
        python: its Python, `3.6`; `None`: nothing speaks for any.
        day: only releases before it count, `2018-04-10`; `None`: the newest.
        python_why: the phrase that speaks for the Python.
        day_why: the phrase that speaks for the day.
        evidence: all phrases, the strongest first.
        limits: versions that the day alone does not settle (the code uses what went before a thing that it also uses
            came), by library: `{"scikit-learn": "<0.20"}` as pairs.
    """

    python: str | None = None
    day: str | None = None
    python_why: str | None = None
    day_why: str | None = None
    evidence: tuple[str, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What fingerprints allow, each with its phrase: the newest floor and the oldest ceiling first."""

    floors: tuple[tuple[Release, str], ...]
    ceilings: tuple[tuple[Release, str], ...]

    def of_libraries(self) -> _Bounds:
        """Return those that date the libraries: the Python can be another without the day being another."""
        return _Bounds(
            *(tuple(one for one in some if one[0].library != "python") for some in (self.floors, self.ceilings))
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the file itself says."""

    kaggle: bool
    version: str | None
    image: tuple[Day, str] | None
    stamp: tuple[Day, str] | None
    created: tuple[Day, str] | None
    path_python: str | None = None
    installed: tuple[tuple[Release, str], ...] = ()
    first_years: bool = False


def infer_period(
    source: Source,
    codes: Sequence[CellCode],
    *,
    today: Day,
    python: str | None = None,
    day: str | None = None,
) -> Period:
    """Return when a source was written.

    Args:
        source: what was read.
        codes: the code of its code cells.
        today: the day of the call.
        python: the Python that is settled already (`3.8`), or `None`: the day is inferred to match it.
        day: the day that is settled already, or `None`: the Python is inferred to match it.
    """
    facts = _read_facts(source.notebook, source.metadata, codes, today)
    sightings = find_sightings(codes)
    bounds = _bounds(sightings, script=source.kind == "script")
    if day is not None:
        return _for_day(facts, bounds, Day.fromisoformat(day[:10]), today)
    point = _find_point(facts)
    period = _Choice(facts, bounds, _minor(python)).choose(point)
    if python is not None and period.day is None:
        return _for_python(python, today)
    if period.day is not None and Day.fromisoformat(period.day) > today - RECENT:
        return Period()
    only_code = point is None and facts.path_python is None and facts.version is None
    if python is not None or (only_code and period.day and Day.fromisoformat(period.day) > today - _OLD_DAY):
        return replace(period, python=None, python_why=None)
    return period


def image_day(notebook: Notebook, today: Day) -> tuple[str, str] | None:
    """Return the day of the Kaggle image that a notebook names, with the phrase for it; `None` where it names none."""
    found = _read_image(notebook, today)
    return (found[0].isoformat(), found[1]) if found else None


def python_released(python: str) -> Day | None:
    """Return the day that a Python such as `3.8` or `3.8.18` came out; `None` for one that no row says, or a range."""
    match = re.fullmatch(r"3\.\d+(?:\.\d+)?", python)
    text = python if python.count(".") == 2 else f"{python}.0"
    row = read_pairs("interpreter_releases").get(text) if match else None
    return Day.fromisoformat(row) if row else None


def first_wheels(python: str) -> Day | None:
    """Return the day from which the scientific libraries have wheels for a Python such as `3.6`."""
    minor = _minor(python)
    window = _window(minor) if minor else None
    return window[0] if window else None


def clamp_day(day: str, python: Minor) -> str:
    """Return a day at which the scientific libraries had wheels for a Python: `day`, or the first such day."""
    window = _window(python)
    return max(day, window[0].isoformat()) if window else day


def fits_python(python: str, day: Day) -> bool:
    """Return whether the scientific libraries of a day had wheels for a Python such as `3.7`."""
    minor = _minor(python)
    window = _window(minor) if minor else None
    return window is None or window[0] <= day <= window[1]


def python_of(day: Day) -> Minor:
    """Return the Python that Kaggle's image had on a day."""
    rows = [(Day.fromisoformat(start), version) for start, version in read_pairs("periods").items()]
    fitting = [version for start, version in rows if start <= day] or [rows[0][1]]
    found = _minor(fitting[-1])
    assert found is not None
    return found


# What the file says


def _read_facts(notebook: Notebook, metadata: KernelMetadata | None, codes: Sequence[CellCode], today: Day) -> _Facts:
    version = notebook.metadata.get("language_info")
    said = version.get("version") if isinstance(version, Mapping) else None
    number = metadata.id_no if metadata is not None else None
    remains = read_remains(notebook, today)
    ran = (remains.day, f"run on {remains.day}, as an output says") if remains.day else None
    return _Facts(
        kaggle=metadata is not None
        or "kaggle" in notebook.metadata
        or any(_KAGGLE_PATH.search(code.source) for code in codes),
        version=said if isinstance(said, str) and re.match(r"3\.\d+\.\d+", said) else None,
        image=_read_image(notebook, today),
        stamp=_read_stamps(notebook, today) or ran,
        created=_read_number(number, today),
        path_python=remains.python,
        installed=tuple(_installed(remains)),
        first_years=notebook.minor == 0
        and any(_KAGGLE_PATH.search(code.source) for code in codes)
        and "kernelspec" in notebook.metadata
        and not {"language_info", "kaggle"} & set(notebook.metadata),
    )


def _installed(remains: Remains) -> Iterator[tuple[Release, str]]:
    """Yield the releases that the author had, each with its phrase."""
    for library, version, where in remains.versions:
        release = release_at(library, version)
        if release is not None:
            yield release, f"{library} {version} in {where}"


def _read_image(notebook: Notebook, today: Day) -> tuple[Day, str] | None:
    kaggle = notebook.metadata.get("kaggle")
    image = kaggle.get("dockerImageVersionId") if isinstance(kaggle, Mapping) else None
    if isinstance(image, bool) or not isinstance(image, int) or image <= 0:
        return None
    day = _interpolate("images", image, today)
    return day, f"Kaggle image {image} ({day})"


def _read_number(number: int | None, today: Day) -> tuple[Day, str] | None:
    if number is None or number <= 0:
        return None
    day = _interpolate("kernel_ids", number / 1000, today)
    return day, f"kernel id {number} ({day})"


def _interpolate(table: str, number: float, today: Day) -> Day:
    """Return the day of a number between, before or after the rows of a table; never one that is yet to come."""
    rows = [(float(key), Day.fromisoformat(day).toordinal()) for key, day in read_pairs(table).items()]
    if number <= rows[0][0]:
        return Day.fromordinal(rows[0][1])
    before, after = next((pair for pair in pairwise(rows) if number <= pair[1][0]), (rows[-6], rows[-1]))
    share = (number - before[0]) / (after[0] - before[0])
    ordinal = before[1] + round(share * (after[1] - before[1]))
    return Day.fromordinal(min(ordinal, today.toordinal()))


def _read_stamps(notebook: Notebook, today: Day) -> tuple[Day, str] | None:
    """Return the newest day on which a cell is said to have run."""
    days = sorted(day for text in _stamps(notebook) if (day := _parse_stamp(text)) is not None and day <= today)
    return (days[-1], f"run on {days[-1]}") if days else None


def _stamps(notebook: Notebook) -> Iterator[object]:
    for metadata in (notebook.metadata, *(cell.metadata for cell in notebook.cells)):
        papermill = metadata.get("papermill")
        if isinstance(papermill, Mapping):
            yield from (papermill.get(key) for key in ("start_time", "end_time"))
        execution = metadata.get("execution")
        if isinstance(execution, Mapping):
            yield from execution.values()
        executed = metadata.get("ExecuteTime")  # the extension of jupyter_contrib_nbextensions
        if isinstance(executed, Mapping):
            yield executed.get("start_time")


def _parse_stamp(text: object) -> Day | None:
    match = _STAMP.match(text) if isinstance(text, str) else None
    if match is None:
        return None
    try:
        day = Day(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return day if day.year >= 2013 else None


# What the code says


def _bounds(sightings: Iterable[Sighting], *, script: bool) -> _Bounds:
    floors: list[tuple[Release, str]] = []
    ceilings: list[tuple[Release, str]] = []
    for sighting in sightings:
        row = sighting.fingerprint
        release = first_release(row.library, row.version)
        if release is not None:
            name = row.text.removeprefix(f"{row.needs} ")
            place = f"line {sighting.line}" if script else f"cell {sighting.cell}"
            phrase = f"`{name}` in {place} ({row.library} {row.operator} {row.version})"
            (floors if row.operator == ">=" else ceilings).append((release, phrase))
    floors.sort(key=lambda one: one[0].day, reverse=True)
    ceilings.sort(key=lambda one: one[0].day)
    return _Bounds(tuple(floors), tuple(ceilings))


# From the evidence to a point


@dataclass(frozen=True, slots=True)
class _Point:
    """A day with its phrases."""

    day: Day
    phrases: tuple[str, ...]


def _find_point(facts: _Facts) -> _Point | None:
    """Return the day that the file's own marks speak for, before any fingerprint."""
    if facts.image is not None:
        if facts.stamp is not None and facts.stamp[0] < facts.image[0]:
            return _Point(facts.stamp[0] - LAG, (facts.stamp[1], facts.image[1]))
        return _Point(facts.image[0] - LAG, (facts.image[1],))
    window = _version_window(facts)
    said = f"Python {facts.version} in the metadata"
    if facts.stamp is not None:
        if window is not None and facts.kaggle and window[1] < facts.stamp[0]:
            return _Point(window[1] - LAG, (said, facts.stamp[1]))
        return _Point(facts.stamp[0] - LAG, (facts.stamp[1],))
    if facts.created is not None:
        if window is not None and window[0] > facts.created[0]:
            return _Point(_middle(window) - LAG, (said, facts.created[1]))
        return _Point(facts.created[0] - LAG, (facts.created[1],))
    if window is not None:
        return _Point(_middle(window) - LAG, (said,))
    return _find_weak_point(facts)


def _find_weak_point(facts: _Facts) -> _Point | None:
    """Return the day that what is left speaks for: releases in the outputs, the habits of Kaggle's own files."""
    if facts.installed:
        newest, phrase = max(facts.installed, key=lambda one: one[0].day)
        return _Point(newest.day + _IN_USE, (phrase,))
    if facts.first_years:
        return _Point(_MIDDLE_OF_FIRST_YEARS - LAG, ("a Kaggle notebook of 2015 or 2016: it does not name its Python",))
    if facts.version == _NO_INFORMATION and facts.kaggle:
        return _Point(_MIDDLE_OF_NO_INFORMATION - LAG, ("a Kaggle notebook of 2018 to 2023",))
    return None


def _version_window(facts: _Facts) -> tuple[Day, Day] | None:
    """Return the days on which notebooks were saved with the version that the metadata names; `None`: it says nothing."""
    if facts.version is None:
        return None
    if facts.kaggle:
        if facts.version == _NO_INFORMATION:
            early = facts.created is not None and Day(2017, 12, 15) <= facts.created[0] <= Day(2018, 5, 1)
            return (Day(2017, 12, 20), Day(2018, 5, 1)) if early else None
        row = read_pairs("kaggle_pythons").get(facts.version)
        if row is not None:
            first, last = row.split()
            return Day.fromisoformat(first), Day.fromisoformat(last)
    minor = _minor(facts.version)
    released = read_pairs("interpreter_releases").get(facts.version)
    if minor is None or minor >= _MODERN or released is None:
        return None
    start = Day.fromisoformat(released)
    window = _window(minor)
    return (max(start, window[0]) if window else start), start + datetime.timedelta(days=480)


def _middle(window: tuple[Day, Day]) -> Day:
    return window[0] + (window[1] - window[0]) / 2


# From the point to a day and a Python


@dataclass
class _Choice:
    """Makes a day and a Python of a point, the fingerprints, and the Python where it is settled."""

    facts: _Facts
    bounds: _Bounds
    settled: Minor | None
    phrases: list[str] = field(default_factory=list)

    def choose(self, point: _Point | None) -> Period:
        """Return the period; empty where nothing speaks for any."""
        self.phrases = list(point.phrases) if point else []
        day = self._clamp(self._meet_installed(point.day) if point else None)
        if day is None:
            return Period()
        python, why = self._choose_python(day)
        raised = self._fit_python(python)
        if raised != python:
            python, why = raised, self._bound_of(python) or self.phrases[0]
        python = max(python, _OLDEST)
        clamped = Day.fromisoformat(clamp_day(day.isoformat(), python))
        evidence = tuple(dict.fromkeys([*self.phrases, *([why] if why else [])]))
        return Period(
            python="{}.{}".format(*python),
            day=clamped.isoformat(),
            python_why=why or self.phrases[0],
            day_why=self.phrases[0],
            evidence=evidence,
            limits=self._limits(clamped),
        )

    def _meet_installed(self, day: Day) -> Day:
        """Return the day moved so that the releases were out that the author's outputs show."""
        if not self.facts.installed:
            return day
        newest, phrase = max(self.facts.installed, key=lambda one: one[0].day)
        weak = self.facts.image is None and self.facts.stamp is None
        python = self._said_python()
        last = min((end for one, _ in self.facts.installed if (end := superseded(one, python))), default=None)
        if day < newest.day:
            self.phrases.insert(0, phrase)
            end = last if last is not None and last > newest.day else newest.day + 2 * _IN_USE
            return min(newest.day + _IN_USE, newest.day + (end - newest.day) / 2)
        if weak and last is not None and newest.day < last <= day:
            self.phrases.insert(0, phrase)
            return last - datetime.timedelta(days=1)
        return day

    def _said_python(self) -> Minor | None:
        return self.settled or _minor(self.facts.path_python) or _minor(self.facts.version)

    def _clamp(self, day: Day | None) -> Day | None:
        """Return the day moved between the newest floor and the oldest ceiling; a floor wins."""
        bounds = self.bounds.of_libraries()
        if day is None and not bounds.ceilings:
            bounds = self.bounds
        floor, ceiling = next(iter(bounds.floors), None), next(iter(bounds.ceilings), None)
        if ceiling is not None and (day is None or day > ceiling[0].day - _BELOW_CEILING):
            day = ceiling[0].day - _BELOW_CEILING
            self.phrases.insert(0, ceiling[1])
        if day is not None and floor is not None and day < floor[0].day:
            day = floor[0].day + _ABOVE_FLOOR
            if ceiling is not None and floor[0].day < ceiling[0].day <= day:
                day = floor[0].day + (ceiling[0].day - floor[0].day) / 2
            self.phrases.insert(0, floor[1])
        return day

    def _choose_python(self, day: Day) -> tuple[Minor, str | None]:
        if self.settled is not None:
            return self.settled, None
        path = _minor(self.facts.path_python)
        if path is not None:
            return path, f"Python {self.facts.path_python} in the paths of the outputs"
        said = _minor(self.facts.version)
        if said is not None and self._is_believable(said, day):
            return said, f"Python {self.facts.version} in the metadata"
        return python_of(day + LAG), None

    def _is_believable(self, said: Minor, day: Day) -> bool:
        """Return whether the metadata's version fits the day."""
        if not self.facts.kaggle or self.facts.version not in {*read_pairs("kaggle_pythons"), _NO_INFORMATION}:
            return True
        if self.facts.version == _NO_INFORMATION:
            return python_of(day + LAG) == said
        window = _window(said)
        return window is None or window[0] <= day + datetime.timedelta(days=90)

    def _fit_python(self, python: Minor) -> Minor:
        """Return the Python nearest to `python` under which the releases run that the fingerprints ask for."""
        if self.settled is not None:
            return python
        asked = [_from(floor) for floor, _ in self.bounds.floors]
        asked += [_before(ceiling) for ceiling, _ in self.bounds.ceilings]
        choices = [(3, minor) for minor in range(6, 16)]
        scored = {one: sum(not any(map(_runs_on(one), some)) for some in asked) for one in choices}
        best = min(scored.values())
        fitting = [one for one in choices if scored[one] == best]
        return python if python in fitting or python[1] < 6 else min(fitting, key=lambda one: abs(one[1] - python[1]))

    def _bound_of(self, python: Minor) -> str | None:
        """Return the phrase of a fingerprint that does not go with a Python."""
        above = (phrase for floor, phrase in self.bounds.floors if not any(map(_runs_on(python), _from(floor))))
        below = (phrase for ceiling, phrase in self.bounds.ceilings if not any(map(_runs_on(python), _before(ceiling))))
        return next(iter([*above, *below]), None)

    def _limits(self, day: Day) -> tuple[tuple[str, str], ...]:
        """Return the ceilings that the day does not settle, and those of releases older than the day that were in use."""
        above = {
            release.library: f"<{release.version}"
            for release, _ in reversed(self.bounds.ceilings)
            if release.day <= day
        }
        for release, _ in self.facts.installed:
            following = next_series(release)
            if following is not None and following.day <= day:
                above.setdefault(release.library, f"<{following.version}")
        return tuple(sorted(above.items()))


def _before(ceiling: Release) -> Sequence[Release]:
    limit = parse_version(ceiling.version)
    return [one for one in releases_of(ceiling.library) if parse_version(one.version) < limit]


def _from(floor: Release) -> Sequence[Release]:
    limit = parse_version(floor.version)
    return [one for one in releases_of(floor.library) if parse_version(one.version) >= limit]


def _runs_on(python: Minor) -> Callable[[Release], bool]:
    return lambda release: release.runs_on(python)


# When the day or the Python is settled


def _for_day(facts: _Facts, bounds: _Bounds, day: Day, today: Day) -> Period:
    """Return the Python that matches a day; none for a recent one."""
    if day > today - _OLD_DAY:
        return Period()
    choice = _Choice(facts, bounds, None)
    python, why = choice._choose_python(day)
    window = _window(python)
    if window is not None and window[0] > day:
        python, why = python_of(day), None
    phrase = why or f"the Python of {day}"
    return Period(python="{}.{}".format(*max(python, _OLDEST)), python_why=phrase, evidence=(phrase,))


def _for_python(python: str, today: Day) -> Period:
    """Return a day at which a Python made sense; none for one that is still in use."""
    minor = _minor(python)
    window = _window(minor) if minor else None
    if minor is None or window is None or window[1] > today - _OLD_DAY:
        return Period()
    phrase = f"a day at which the libraries had wheels for Python {minor[0]}.{minor[1]}"
    return Period(day=_middle(window).isoformat(), day_why=phrase, evidence=(phrase,))


@functools.cache
def _window(python: Minor) -> tuple[Day, Day] | None:
    """Return the days between which the scientific libraries had wheels for a Python; `None` where no row says it."""
    row = read_pairs("interpreter_days").get("{}.{}".format(*python))
    if row is None:
        return None
    first, _, last = row.partition(" ")
    return Day.fromisoformat(first), Day.fromisoformat(last) if last else Day.max


def _minor(version: str | None) -> Minor | None:
    match = re.search(r"\b3\.(\d+)", version or "")
    return (3, int(match[1])) if match else None
