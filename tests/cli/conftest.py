"""What the tests of the command line share: whatever a command starts is gone when the test ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_SET_CHILD_SUBREAPER = 36  # prctl(2)
_GONE_SECONDS = 10.0


def _children(pid: int) -> set[int]:
    """The child processes of every thread of a process that have not ended."""
    found = set()
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, listing.read_text().split()))
    return found


def _alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and was left to us is buried here."""
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:300]
    except OSError:
        return ""


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Become the parent of every orphan (prctl's child subreaper), and find none alive after the test."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = _children(os.getpid())
    assert libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    deadline = time.monotonic() + _GONE_SECONDS
    while left := {pid for pid in _children(os.getpid()) - before if _alive(pid)}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    libc.prctl(_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    assert not [_command_line(pid) for pid in left]


@pytest.fixture
def silent_registry() -> Iterator[str]:
    """The address of a package registry that takes questions and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/simple/"
