"""Names, versions and markers as the packaging standards define them (PEP 503, PEP 440, PEP 508).

The `packaging` library is imported when it is first asked: that takes as long as everything else that a warm start does.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any


def normalise(name: str) -> str:
    """Return a distribution's name in its one form: `Scikit_Learn` is `scikit-learn`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_specifier(text: str) -> bool:
    """Return whether a text is a PEP 440 specifier, such as `>=3.9,<3.12`; an empty one is."""
    try:
        _load("specifiers").SpecifierSet(text)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=8192)
def version_fits(version: str, specifier: str) -> bool:
    """Return whether a version satisfies a specifier; pre-releases count. A strange one fits only itself.

    Raises:
        ValueError: `specifier` is none.
    """
    if not specifier or specifier == f"=={version}":
        return True
    try:
        return bool(_load("specifiers").SpecifierSet(specifier).contains(version, prereleases=True))
    except _load("version").InvalidVersion:
        return specifier == f"==={version}"


def marker_holds(marker: str, python: str) -> bool:
    """Return whether a PEP 508 marker is true on this machine under a Python of version `python` (`3.11.7`).

    Raises:
        ValueError: `marker` is none.
    """
    if not marker:
        return True
    values = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "implementation_name": "cpython",
        "implementation_version": python,
        "platform_python_implementation": "CPython",
    }
    return bool(_load("markers").Marker(marker).evaluate(values))


def _load(name: str) -> Any:
    return importlib.import_module(f"packaging.{name}")


@functools.lru_cache(maxsize=8192)
def is_prerelease(version: str) -> bool:
    """Return whether a version is an alpha, beta, candidate or development release, or none of PEP 440 at all."""
    try:
        return bool(_load("version").Version(version).is_prerelease)
    except ValueError:
        return True


@functools.lru_cache(maxsize=8192)
def sort_key(version: str) -> Any:
    """Return what sorts versions; a strange one comes before all others."""
    module = _load("version")
    try:
        return module.Version(version)
    except ValueError:
        return module.Version("0.dev0")


def wheel_tags(python_minor: tuple[int, ...]) -> frozenset[str]:
    """Return the tags of the wheels that a CPython of this machine can have (PEP 425): `cp36-cp36m-manylinux1_x86_64`."""
    return _wheel_tags(python_minor)


@functools.cache
def _wheel_tags(python_minor: tuple[int, ...]) -> frozenset[str]:
    tags = _load("tags")
    interpreter = "cp" + "".join(map(str, python_minor))
    platforms = list(tags.platform_tags())
    abi = interpreter + "m" * (python_minor < (3, 8))
    found = [*tags.cpython_tags(python_minor, [abi], platforms)]
    found += tags.compatible_tags(python_minor, interpreter, platforms)
    return frozenset(map(str, found))


def is_requirement(text: str) -> bool:
    """Return whether a text is a PEP 508 requirement whose versions are those of PEP 440."""
    try:
        _load("requirements").Requirement(text)
    except ValueError:
        return False
    return True


def repair_requirement(text: str) -> str | None:
    """Return a requirement of old metadata in today's form (PEP 508), what is no version in it left out; `None`: no hope.

    `pytz (>=2011k)` is `pytz`; `scipy (>=0.9,<=1.*)` is `scipy>=0.9`.
    """
    match = re.match(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?\s*\(?([^;()]*)\)?\s*(?:;\s*(.*))?$", text)
    if match is None:
        return None
    kept = [part.strip() for part in match[3].split(",") if part.strip() and is_specifier(part.strip())]
    marker = f" ; {match[4].strip()}" if match[4] else ""
    for candidate in (f"{match[1]}{match[2] or ''}{','.join(kept)}{marker}", f"{match[1]}{marker}", match[1]):
        try:
            _load("requirements").Requirement(candidate)
        except ValueError:
            continue
        return candidate
    return None
