"""`kanoe cancel`: a run is asked to stop, from another terminal, and waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from kanoe.base.processes import check_stop
from kanoe.base.stop import Stop
from kanoe.engine.events import RunState
from kanoe.store.alive import ask_to_stop, is_alive
from kanoe.store.home import open_store
from kanoe.store.records import Records
from kanoe.verbs.lost import settle_lost

_PAUSE = 0.1  # seconds between two looks at the run
_GOES_ON = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """How a run ended that was asked to stop.

    Args:
        run: its id.
        state: how it ended; a cell that was quicker than the request may have made it SUCCEEDED.
        asked: whether it went on when it was asked; else it had ended before.
        directory: its folder.
        seconds: its wall time.
    """

    run: str
    state: str
    asked: bool
    directory: str
    seconds: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "run": self.run,
            "state": self.state,
            "asked": self.asked,
            "directory": self.directory,
            "seconds": self.seconds,
        }

    def line(self) -> str:
        """Return what `kanoe cancel` prints."""
        if self.asked:
            return f"{self.run} ended: {self.state}"
        if self.state == RunState.LOST:
            return f"{self.run} is LOST: its Kanoe was gone, and what it left is cleaned"
        return f"{self.run} had ended: {self.state}"


def cancel_run(reference: str = "last", *, stop: Stop | None = None) -> Cancelled:
    """Ask a run to stop and wait until it has ended.

    The first request interrupts the cell and keeps everything; another one, while the first is waited for, ends the run at once. Of
    a run whose Kanoe is gone, what it left is cleaned.

    Args:
        reference: the run.
        stop: ends the waiting, not the run.

    Raises:
        InputError: there is no such run.
        UnavailableError: the store cannot be written.
        CancelledError: `stop` was requested.
    """
    store = open_store()
    records = Records(store.records)
    record = records.find(reference)
    asked = record.state in _GOES_ON and ask_to_stop(store.alive, record.id)
    while asked and is_alive(store.alive, record.id):
        check_stop(stop)
        time.sleep(_PAUSE)
    record = records.find(record.id)
    if record.state in _GOES_ON:
        settle_lost(store)
        record = records.find(record.id)
    return Cancelled(record.id, record.state, asked, record.directory, record.seconds)
