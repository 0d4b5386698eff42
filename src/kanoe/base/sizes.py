"""Sizes as people write them: `16g`, `500m`, `1.5GiB`, `2e9`."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError

# As docker, systemd and `ulimit` read them: a letter counts in steps of 1024, with or without `B` or `iB`.
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"([0-9]*\.?[0-9]+(?:e[+]?[0-9]{1,2})?|[0-9]+\.)\s*([kmgt]?)(i?b)?", re.IGNORECASE | re.ASCII)
_MOST = 1 << 60


def parse_size(text: str, option: str) -> int:
    """Return the bytes that a text names.

    Args:
        text: a number, alone (bytes) or with `k`, `m`, `g` or `t` (steps of 1024), as in `16g`, `500 MB`, `1.5GiB`, `2e9`.
        option: whose value it is, for the message.

    Raises:
        InputError: the text is no size, or less than one byte or more than 2**60.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InputError(_refused(text, option, "is no size"))
    try:
        size = int(Decimal(found[1]) * 1024 ** _UNITS[found[2].lower()])
    except (InvalidOperation, OverflowError):
        raise InputError(_refused(text, option, "is no size")) from None
    if not 0 < size <= _MOST:
        raise InputError(_refused(text, option, "is too small" if size < 1 else "is too large"))
    return size


def show_size(size: float) -> str:
    """Return bytes for people, in steps of 1024 as the options take them: `512 MiB`, `1.5 GiB`."""
    for unit, digits in (("B", 0), ("KiB", 0), ("MiB", 0)):
        if round(size, digits) < 1024:
            return f"{size:.{digits}f} {unit}"
        size /= 1024
    size, unit = (size, "GiB") if round(size, 1) < 1024 else (size / 1024, "TiB")
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def write_size(size: int) -> str:
    """Return bytes as an option takes them, rounded up: `1536m`, `16g`."""
    for letter, unit in (("g", 1 << 30), ("m", 1 << 20)):
        if size >= unit and (size % unit == 0 or size >= 10 * unit):
            return f"{-(-size // unit)}{letter}"
    return f"{-(-size // (1 << 20))}m"


def larger_size(size: int) -> str:
    """Return a size to try after one that was too small, half as much again, as an option takes it."""
    return write_size(size + size // 2)


def _refused(text: str, option: str, why: str) -> Diagnostic:
    return error(
        "option-value", f"`{option} {text}` {why}", place=option, hint=f"Write it as `{option} 16g` or `{option} 500m`"
    )
