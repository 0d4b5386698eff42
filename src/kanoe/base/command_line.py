"""What other processes see of this one: its arguments and variables, which `ps` shows to everybody. Linux; nothing happens elsewhere."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

# Of https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, counted from field 3 on.
_ARGUMENTS = (45, 46)
_VARIABLES = (47, 48)
# `NAME=VALUE`, where the value is not `@FILE`.
_VALUE = re.compile(rb"[^=@]*=(?!@)(.*)", re.DOTALL)


def hide_values(options: Collection[str]) -> None:
    """Overwrite what stands after `NAME=` in the values of these options with stars, in the memory that `ps` reads.

    Args:
        options: such as `--secret`, given as `--secret NAME=VALUE` or `--secret=NAME=VALUE`.
    """
    names = {option.encode() for option in options}
    follows = False
    for start, text in _entries(_ARGUMENTS):
        option, _, _ = text.partition(b"=")
        offset = 0 if follows else len(option) + 1 if option in names else len(text)
        found = _VALUE.match(text, min(offset, len(text)))
        if found is not None:
            _overwrite(start + found.start(1), len(found[1]))
        follows = not follows and text in names


def take_variables(names: Iterable[str]) -> None:
    """Take variables away from this process, from what `ps` shows of it, and from all that it starts from now on."""
    gone = {name.encode() for name in names if os.environ.pop(name, None) is not None}
    for start, text in _entries(_VARIABLES) if gone else ():
        name, _, value = text.partition(b"=")
        if name in gone:
            _overwrite(start + len(name) + 1, len(value))


def _entries(fields: tuple[int, int]) -> list[tuple[int, bytes]]:
    """Return the texts of a region of this process's memory that end with a zero byte, each with its address."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        numbers = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        address, end = (int(numbers[field]) for field in fields)
        entries = []
        for text in ctypes.string_at(address, end - address).split(b"\0") if 0 < address < end else ():
            entries.append((address, text))
            address += len(text) + 1
        return entries
    return []


def _overwrite(address: int, length: int) -> None:
    ctypes.memmove(address, b"*" * length, length)
