"""What is known about names of modules and distributions: TOML files, one fact a line, each with a note of its source.

They are read with one regular expression (a warm run reads them each time; a full TOML reader takes seven times as
long) and keep to what it understands: `"key" = "value"` or, in a list, `"name",`. A test compares it with `tomllib`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

_PAIR = re.compile(r'^"([^"\n]+)" = "([^"\n]*)"', re.MULTILINE)
_NAME = re.compile(r'^  "([^"\n]+)",', re.MULTILINE)


@functools.cache
def read_pairs(table: str) -> Mapping[str, str]:
    """Return the rows of a table of pairs: `aliases`, `nowhere`, `renamed`, `conda`, `uses`, `kernel`."""
    return dict(_PAIR.findall(_read(table)))


@functools.cache
def read_names(table: str) -> frozenset[str]:
    """Return the names of a table that is a list: `same`, `standard`."""
    return frozenset(_NAME.findall(_read(table)))


def _read(table: str) -> str:
    return Path(__file__).with_name(f"{table}.toml").read_text(encoding="utf-8")
