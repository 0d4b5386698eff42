"""How runs share a machine and its store: who lives, who waits, who stops; first come, first served."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from kanoe.back.run_folder import RunFolder
from kanoe.base.errors import UnavailableError
from kanoe.base.processes import check_stop
from kanoe.base.stop import Stop
from kanoe.engine.events import RunState, StageChanged
from kanoe.store.alive import Life, living, unusable
from kanoe.store.home import Store, open_store, prepare_store
from kanoe.verbs.lost import settle_lost

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_PAUSE = 0.2  # seconds between two looks at the queue


@contextlib.contextmanager
def living_run(store: Store, run: str) -> Iterator[Life]:
    """Live in the store as a run while the body goes on; what dead runs left is cleaned first.

    Raises:
        UnavailableError: the store cannot be written.
    """
    prepare_store(store)
    with living(store.alive, run) as life:
        settle_lost(store)
        try:
            yield life
        except OSError as cause:
            raise UnavailableError(unusable(store.path, cause)) from cause


@contextlib.contextmanager
def living_work(store: Store, verb: str) -> Iterator[Life]:
    """Live in the store as other work than a run, which takes no slot.

    Raises:
        UnavailableError: the store cannot be written.
    """
    prepare_store(store)
    with living(store.alive, f"{verb}-{secrets.token_hex(4)}", "work") as life:
        yield life


def at_work(verb: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Let a verb live in the store as other work while it goes on; where the store cannot be written, it works without."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(function)
        def work(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(UnavailableError):
                    stack.enter_context(living_work(open_store(), verb))
                return function(*arguments, **keywords)

        return work

    return decorate


def wait_for_slot(life: Life, jobs: int | None, folder: RunFolder, stop: Stop) -> int:
    """Wait until fewer than `jobs` living runs came before this one; return the number of the slot that it then has.

    Args:
        life: the run's.
        jobs: `None`: as many as there are CPUs.
        folder: is told of the wait.
        stop: ends it.

    Raises:
        CancelledError: `stop` was requested.
    """
    most = jobs or _count_cpus()
    told = -1
    while (before := life.runs_before()) >= most:
        if told < 0:
            folder.change_state(RunState.QUEUED)
        if before != told:
            told = before
            runs = "1 run is" if before == 1 else f"{before} runs are"
            folder.take(StageChanged(stage="queue", text=f"{runs} before it, and {most} may go on at once (`--jobs`)"))
        check_stop(stop)
        time.sleep(_PAUSE)
    slot = life.take_slot()
    if told >= 0:
        folder.change_state(RunState.RUNNING)
        folder.take(StageChanged(stage="queue", text="it is this run's turn", done=True))
    return slot


def _count_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1
