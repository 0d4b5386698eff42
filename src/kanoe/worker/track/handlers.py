"""What Python calls by itself, and for whom: a channel. Signal handlers, a timer, calls at garbage collections, who is `__main__`."""

import _signal
import gc
import os
import signal
import sys

from kanoe_worker.track.effects import by_notebook
from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_SIGNALS = tuple(sorted(int(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)))
_PREFIX = "effect:handlers/"


class Handlers(object):
    """Tells which of them a cell changed. There are no bytes: the cell runs again where they are missing."""

    def __init__(self):
        self._first = self._before = _found()

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith(_PREFIX)

    def begin(self):
        """See `channels`."""
        self._before = _found()

    def end(self):
        """See `channels`."""
        found, writes = _found(), {}
        for name, value in found.items():
            if _same(value, self._before[name]):
                continue
            if _same(value, self._first[name]):
                writes[_PREFIX + name] = None
            else:
                why = "what is called for %s" % name
                writes[_PREFIX + name] = Written(digest_of(os.urandom(32)), None, why)
        return {_PREFIX + "*": None}, writes

    def restore(self, values):
        """See `channels`."""
        return {reference: "it has no bytes" for reference, data in values.items() if self.owns(reference) and data}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []


def _found():
    """Return what is there, by name: objects that are to be compared by identity. What libraries install comes with them."""
    found = {"signal-%d" % number: (_own(_signal.getsignal(number)),) for number in _SIGNALS}
    found["timer"] = (_signal.getitimer(_signal.ITIMER_REAL)[0] > 0,)
    found["collections"] = tuple([call for call in gc.callbacks if by_notebook(call)])
    found["main"] = (sys.modules.get("__main__"),)
    return found


def _own(handler):
    return handler if type(handler) is int or by_notebook(handler) else None


def _same(some, others):
    return len(some) == len(others) and all(map(_is, some, others))


def _is(one, other):
    return one is other or (type(one) is int and type(other) is int and int(one) == int(other))
