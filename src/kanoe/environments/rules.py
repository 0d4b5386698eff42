"""What is known of releases beyond what they say: bounds of a day, undeclared needs, repaired metadata (`tables/`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import version_fits

_LIBRARY = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])([<>=!~]\S*)?$")
_OLD_BUILDS = "2021-09-06"  # setuptools 58 takes `use_2to3` away


@dataclass(frozen=True, slots=True)
class Rule:
    """A distribution that a set must hold (`specifier` is empty), or the versions of it that may be in the set.

    Args:
        name: the distribution.
        specifier: PEP 440.
        asker: the library that it is for, or empty for a bound of a day.
    """

    name: str
    specifier: str = ""
    asker: str = ""

    def __str__(self) -> str:
        """Return the PEP 508 form."""
        return f"{self.name}{self.specifier}"


def bounds_of(day: str | None) -> Iterator[Rule]:
    """Yield the bounds of a day (an ISO date) on which Kaggle's image was used; of no day where it is `None`."""
    for key, row in read_pairs("constraints").items() if day else ():
        spans = (span.partition("..") for span in row.split())
        if any(begin <= (day or "")[:10] < (end or "9") for begin, _, end in spans):
            yield _rule(key)


def needs_before(names: Collection[str], day: str | None) -> Iterator[Rule]:
    """Yield what these distributions will need if they are of that day: rows whose last release is yet to come then."""
    for library, _, until, rules in _undeclared():
        if day and library in names and (until == "-" or day[:10] < until):
            yield from rules


def needs_of(versions: Mapping[str, str]) -> Iterator[Rule]:
    """Yield what a set lacks: undeclared distributions that are not there, and bounds that it breaks.

    Args:
        versions: the set, by name.
    """
    for library, specifier, _, rules in _undeclared():
        if library not in versions or not version_fits(versions[library], specifier):
            continue
        for rule in rules:
            held = versions.get(rule.name)
            if rule.specifier:
                if held is not None and not version_fits(held, rule.specifier):
                    yield rule
            elif held is None:
                yield rule


def _undeclared() -> Iterator[tuple[str, str, str, list[Rule]]]:
    """Yield the rows of the table: library, versions, day, what it needs."""
    for key, value in read_pairs("undeclared").items():
        library, until = key.split()
        match = _LIBRARY.match(library)
        if match is not None:
            yield match[1], match[2] or "", until, [_rule(text, match[1]) for text in value.split()]


def _rule(text: str, asker: str = "") -> Rule:
    match = _LIBRARY.match(text)
    if match is None:
        raise ValueError(f"`{text}` in a table is not a requirement")
    return Rule(match[1], match[2] or "", asker)


def late_day(python: str) -> str | None:
    """Return the day that counts for what runs the cells under a Python, or `None` where any does."""
    return read_pairs("clock").get(".".join(python.split(".")[:2]))


def late_names() -> frozenset[str]:
    """Return the distributions that are of the late day whatever asks for them."""
    return read_names("clock")


def compiled_names() -> frozenset[str]:
    """Return the distributions that are not built here for an old set."""
    return read_names("compiled")


def build_settings(day: str | None, python_minor: tuple[int, int]) -> dict[str, Any]:
    """Return uv's settings for what source distributions of a day are built with."""
    if day is None:
        return {}
    old = day < _OLD_BUILDS and python_minor < (3, 12)
    return {"build-constraint-dependencies": ["setuptools<58", "cython<3"] if old else ["setuptools<81"]}


def repaired_metadata() -> Iterator[dict[str, Any]]:
    """Yield entries of uv's `dependency-metadata` for releases whose own is known to be useless."""
    for key, needs in read_pairs("metadata").items():
        name, *versions = key.split()
        for version in versions:
            yield {"name": name, "version": version, "requires-dist": needs.split()}
