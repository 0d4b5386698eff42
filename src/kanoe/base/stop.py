"""A request to stop, passed from whoever hears it (a signal, another thread) to whoever works."""

from __future__ import annotations


class Stop:
    """How often the user asked to stop: once means "finish what you must", twice means "now". Safe to call from a signal handler."""

    def __init__(self) -> None:
        self.level = 0

    def request(self) -> None:
        """Ask once more."""
        self.level += 1

    @property
    def requested(self) -> bool:
        """Whether anybody asked."""
        return self.level > 0
