"""Work that is left when the user stops."""

from __future__ import annotations

import threading
import time

import pytest

from kanoe.base.errors import CancelledError
from kanoe.base.stop import Stop, until_stopped


def test_work_gives_its_result_or_what_it_raises() -> None:
    assert until_stopped(lambda: 42, Stop()) == 42
    with pytest.raises(ZeroDivisionError):
        until_stopped(lambda: 1 // 0, Stop())


@pytest.mark.parametrize("asked", [1, 2])
def test_work_that_hears_nothing_is_left(asked: int) -> None:
    stop, released = Stop(), threading.Event()
    for _ in range(asked):
        threading.Timer(0.1, stop.request).start()
    with pytest.raises(CancelledError):
        until_stopped(released.wait, stop)
    released.set()


def test_work_that_hears_the_stop_ends_by_itself() -> None:
    stop = Stop()
    threading.Timer(0.05, stop.request).start()

    def work() -> str:
        while not stop.requested:
            time.sleep(0.01)
        return "the rest is kept"

    assert until_stopped(work, stop) == "the rest is kept"
