"""Names, versions and markers as the packaging standards define them (PEP 503, PEP 440, PEP 508).

The `packaging` library is imported when it is first asked: that takes as long as everything else that a warm start does.
"""

from __future__ import annotations

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
