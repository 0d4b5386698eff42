"""When the releases came out that date code, and which Pythons they run on.

The rows stand in `tables/releases.toml`, made from PyPI by `scripts/releases.py`.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kanoe.environments.tables import read_pairs

Version = tuple[int, ...]

_NUMBER = re.compile(r"\d+")
_PLAIN = re.compile(r"(\d+(?:\.\d+)*)(?:\.post\d+)?$")
_NO_PYTHON = 1000  # the oldest that a release without wheels runs on
_PYTHONS = re.compile(r"3\.(\d+)(?:-3\.(\d+)|\+)$")


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a library.

    Args:
        library: the distribution's normalised name.
        version: as its author writes it.
        day: when the registry got it.
        oldest: the first Python 3 minor that it runs on: `6` for 3.6.
        newest: the last that it has wheels for; `None` where it has one for any.
    """

    library: str
    version: str
    day: datetime.date
    oldest: int
    newest: int | None

    def runs_on(self, python: tuple[int, int]) -> bool:
        """Return whether it runs on a Python such as `(3, 6)` without being compiled."""
        return python[0] == 3 and self.oldest <= python[1] and (self.newest is None or python[1] <= self.newest)


def known_libraries() -> frozenset[str]:
    """Return the libraries whose releases are known."""
    return frozenset(_rows())


@functools.cache
def releases_of(library: str) -> Sequence[Release]:
    """Return the known releases of a library, the oldest version first; empty where none is known."""
    return tuple(_release(library, *row) for row in _rows().get(library, ()))


def first_release(library: str, version: str) -> Release | None:
    """Return the first release that is `version` or later; `None` if the library or so late a version is unknown."""
    wanted = parse_version(version)
    return next((one for one in releases_of(library) if parse_version(one.version) >= wanted), None)


def release_at(library: str, version: str) -> Release | None:
    """Return the newest known release that is `version` or earlier."""
    wanted = parse_version(version)
    found = [one for one in releases_of(library) if parse_version(one.version) <= wanted]
    return found[-1] if found else None


def superseded(release: Release, python: tuple[int, int] | None = None) -> datetime.date | None:
    """Return the day from which an install no longer took a release: that of the next one; `None` for the newest.

    Args:
        release: one of `releases_of`.
        python: only releases that run on it count.
    """
    version = parse_version(release.version)
    later = [one for one in releases_of(release.library) if parse_version(one.version) > version]
    return min((one.day for one in later if python is None or one.runs_on(python)), default=None)


def next_series(release: Release) -> Release | None:
    """Return the first release with another minor version: 1.1.0 for 1.0.3; `None` for the newest series."""
    series = _series(release)
    return next((one for one in releases_of(release.library) if _series(one) > series), None)


def _series(release: Release) -> Version:
    numbers = [int(part) for part in _NUMBER.findall(release.version)[:2]]
    return tuple(numbers + [0] * (2 - len(numbers)))


def parse_version(version: str) -> Version:
    """Return the numbers of a version, without trailing zeros: `1.0.0` and `1` are the same."""
    match = _PLAIN.match(version)
    numbers = [int(part) for part in _NUMBER.findall(match[1] if match else version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@functools.cache
def _rows() -> Mapping[str, Sequence[tuple[str, str, str]]]:
    """Return version, day and Pythons of each library's releases, unread: a notebook asks for few of the libraries."""
    found: dict[str, list[tuple[str, str, str]]] = {"python": [*_interpreters()]}
    for key, row in read_pairs("releases").items():
        library, _, version = key.partition(" ")
        day, _, pythons = row.partition(" ")
        found.setdefault(library, []).append((version, day, pythons))
    return found


def _interpreters() -> Iterator[tuple[str, str, str]]:
    for version, day in read_pairs("interpreter_releases").items():
        minor = parse_version(version)[1]
        yield version, day, f"3.{minor}-3.{minor}"


def _release(library: str, version: str, day: str, pythons: str) -> Release:
    match = _PYTHONS.match(pythons)
    oldest, newest = (int(match[1]), int(match[2]) if match[2] else None) if match else (_NO_PYTHON, None)
    return Release(library, version, datetime.date.fromisoformat(day), oldest, newest)
