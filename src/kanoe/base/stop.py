"""A request to stop, passed from whoever hears it (a signal, another thread) to whoever works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kanoe.base.diagnostics import error
from kanoe.base.errors import CancelledError

Result = TypeVar("Result")

_TICK = 0.05  # seconds between two looks at `stop`
_PATIENCE = 1.5  # seconds that work which hears a stop itself may take to end


class Stop:
    """How often the user asked to stop: once means "finish what you must", twice means "now". Safe to call from a signal handler.

    `asked` is the moment of the first request (`time.monotonic`), or `None`.
    """

    def __init__(self) -> None:
        self.level = 0
        self.asked: float | None = None

    def request(self) -> None:
        """Ask once more."""
        self.level += 1
        self.asked = self.asked or time.monotonic()

    @property
    def requested(self) -> bool:
        """Whether anybody asked."""
        return self.level > 0


def until_stopped(work: Callable[[], Result], stop: Stop) -> Result:
    """Return what `work` returns, or raise what it raises.

    It runs in a thread of its own, so that a stop is heard while it waits for a server or a slow disk; work that does not end soon
    after a stop is left to itself.

    Args:
        work: what to do.
        stop: looked at twenty times a second.

    Raises:
        CancelledError: the work was left.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def keep() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as problem:
            outcome.append((None, problem))

    thread = threading.Thread(target=keep, name="kanoe-work", daemon=True)
    thread.start()
    asked: float | None = None
    while True:
        thread.join(_TICK)
        if outcome:
            break
        if asked is None and stop.requested:
            asked = time.monotonic()
        if asked is not None and (stop.level > 1 or time.monotonic() > asked + _PATIENCE):
            raise CancelledError(error("run-cancelled", "interrupted"))
    result, problem = outcome[0]
    if problem is not None:
        raise problem
    return result  # type: ignore[no-any-return]
