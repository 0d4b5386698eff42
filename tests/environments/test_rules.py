"""Every row of the tables about releases: it is read, and it does what it says."""

from __future__ import annotations

import datetime
import re

import pytest

from kanoe.environments.rules import (
    bounds_of,
    build_settings,
    compiled_names,
    late_day,
    late_names,
    needs_before,
    needs_of,
    repaired_metadata,
)
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import is_requirement, normalise

CONSTRAINTS, UNDECLARED = read_pairs("constraints"), read_pairs("undeclared")
NEVER = "999999"


def parts(text: str) -> tuple[str, str]:
    match = re.match(r"[a-z0-9.-]*[a-z0-9]", text)
    assert match is not None, text
    return match[0], text[match.end() :]


def fitting(specifier: str) -> str:
    """A version that a bound allows."""
    if not specifier:
        return "1"
    version = re.sub(r"[<>=!~]+", "", specifier.split(",", maxsplit=1)[0])
    return "0" if specifier.startswith("<") else version


def breaking(specifier: str) -> str:
    version = re.sub(r"[<>=!~]+", "", specifier)
    return version if specifier.startswith("<") else "0"


@pytest.mark.parametrize("key", CONSTRAINTS)
def test_bounds_of_a_day(key: str) -> None:
    assert is_requirement(key)
    seen = ""
    for span in CONSTRAINTS[key].split():
        begin, middle, end = span.partition("..")
        assert middle
        days = [datetime.date.fromisoformat(day) for day in (begin, end) if day]
        assert days == sorted(days)
        assert not begin or seen < begin, "spans stand one after the other, with a day between"
        seen = end or NEVER
        assert key in map(str, bounds_of(begin or "2017-01-01"))
        if begin:
            assert key not in map(str, bounds_of((days[0] - datetime.timedelta(days=1)).isoformat()))
        if end:
            assert key not in map(str, bounds_of(end))
            assert key in map(str, bounds_of((days[-1] - datetime.timedelta(days=1)).isoformat()))
    assert key not in map(str, bounds_of(None))


def test_a_bound_ends_where_the_history_ends() -> None:
    endless = {key for key, row in CONSTRAINTS.items() if row.endswith("..")}
    assert endless == {"setuptools<81"}, "what an image holds back today it takes tomorrow"


@pytest.mark.parametrize(
    ("day", "bound"),
    [
        ("2018-10-01", "tensorflow<1.12"),
        ("2019-09-01", "tensorflow<1.15"),
        ("2019-11-10", "tensorflow<2.1"),
        ("2020-03-01", "tensorflow<2.2"),
        ("2020-09-10", "tensorflow<2.4"),
        ("2020-09-10", "torch<1.6"),
        ("2021-06-01", "scikit-learn<0.24"),
        ("2021-06-01", "tensorflow<2.5"),
        ("2022-10-01", "tensorflow<2.7"),
        ("2022-10-01", "pandas<1.4"),
        ("2023-06-01", "numpy<1.24"),
        ("2024-05-20", "torch<2.2"),  # 2.3.0 came and went between two releases
        ("2024-10-01", "scikit-learn<1.3"),
        ("2025-06-01", "tensorflow<2.19"),
    ],
)
def test_what_the_image_had(day: str, bound: str) -> None:
    found = list(map(str, bounds_of(day)))
    assert bound in found
    assert sum(one.startswith(f"{bound.partition('<')[0]}<") for one in found) <= 3


@pytest.mark.parametrize("key", UNDECLARED)
def test_what_a_release_does_not_say(key: str) -> None:
    library, until = key.split()
    name, specifier = parts(library)
    assert name == normalise(name)
    assert is_requirement(library)
    assert until == "-" or datetime.date.fromisoformat(until)
    wanted = [parts(text) for text in UNDECLARED[key].split()]
    assert wanted
    assert all(is_requirement("".join(one)) for one in wanted)
    held = {name: fitting(specifier)}
    bare = {other for other, bound in wanted if not bound}
    assert bare <= {rule.name for rule in needs_of(held) if not rule.specifier}
    for other, bound in wanted:
        if bound:
            assert bound in [rule.specifier for rule in needs_of(held | {other: breaking(bound)}) if rule.name == other]
            assert bound not in [
                rule.specifier for rule in needs_of(held | {other: fitting(bound)}) if rule.name == other
            ]
            assert (other, bound) not in [(rule.name, rule.specifier) for rule in needs_of(held)]
    early = {(rule.name, rule.specifier) for rule in needs_before([name], "2010-01-01")}
    assert set(wanted) <= early
    if until != "-":
        later = [(rule.name, rule.specifier, rule.asker) for rule in needs_before([name], until)]
        assert len(later) < len(list(needs_before([name], "2010-01-01")))


def test_what_is_not_there_needs_nothing() -> None:
    assert list(needs_of({})) == []
    assert list(needs_before([], "2018-01-01")) == []
    assert list(needs_before(["scikit-learn"], None)) == []
    assert list(needs_of({"scikit-learn": NEVER, "numpy": NEVER})) == []


@pytest.mark.parametrize("entry", list(repaired_metadata()), ids=lambda entry: f"{entry['name']}-{entry['version']}")
def test_repaired_metadata(entry: dict) -> None:
    assert entry["name"] == normalise(entry["name"])
    assert re.fullmatch(r"[0-9.]+", entry["version"])
    assert all(is_requirement(need) for need in entry["requires-dist"])


def test_no_release_has_two_metadata() -> None:
    seen = [(entry["name"], entry["version"]) for entry in repaired_metadata()]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("table", ["compiled", "clock"])
def test_lists_are_sorted_names(table: str) -> None:
    names = read_names(table)
    assert names
    assert all(name == normalise(name) for name in names)


@pytest.mark.parametrize(
    ("python", "day"), [("3.6", "2022-01-01"), ("3.6.15", "2022-01-01"), ("3.9", "2025-06-01"), ("3.12", None)]
)
def test_the_second_clock(python: str, day: str | None) -> None:
    assert late_day(python) == day
    assert {"setuptools", "wheel"} <= late_names()


def test_what_is_built_with_what() -> None:
    assert build_settings(None, (3, 11)) == {}
    assert "setuptools<58" in build_settings("2018-04-01", (3, 6))["build-constraint-dependencies"]
    assert "setuptools<81" in build_settings("2018-04-01", (3, 12))["build-constraint-dependencies"]
    assert "setuptools<81" in build_settings("2024-04-01", (3, 10))["build-constraint-dependencies"]
    assert "numpy" in compiled_names()
    assert "jax" not in compiled_names(), "plain Python, sdists alone until 2023; tensorflow 2.12 needs it"
