"""Calls code of other people, which may raise anything, print, or never end."""

import signal
import sys
import threading
import time
import warnings

from kanoe_worker.track.plain import __builtins__  # noqa: F401

SECONDS = 5.0
_AGAIN = 0.5
_SILENCE = ("ignore", None, Warning, None, 0)


class Stopped(BaseException):
    """A call took too long; not an Exception, so that few who are called swallow it."""


class Failed(Exception):  # noqa: N818 - it says what happened to a call
    """A call failed; the message says how, for people."""


class Endless(Failed):
    """A call took too long."""


class Guard(object):
    """Gives up on calls that do not end.

    A timer's signal ends them, in the main thread; its handler and whatever timer the notebook has set are put back. In another
    thread a call can take as long as it likes.

    Meanwhile nobody is warned: what is said of how values are kept is no business of the notebook's.

    Args:
        seconds: of CPU that one call may take; ten times as many by the clock.
    """

    def __init__(self, seconds=SECONDS):
        self._seconds = seconds
        self._call = self._seen = self._started = None
        self._active = False
        self._before = None

    def __enter__(self):
        self._active = False
        self._theirs_said, self._quiet = warnings.filters, [_SILENCE]
        warnings.filters = self._quiet  # not `catch_warnings`: it makes Python forget what it has warned of
        if threading.current_thread() is threading.main_thread():
            try:
                self._before = signal.signal(signal.SIGALRM, self._ring)
            except (ValueError, OSError):
                return self
            self._since = time.monotonic()
            self._theirs = signal.setitimer(signal.ITIMER_REAL, _AGAIN, _AGAIN)
            self._active = True
        return self

    def __exit__(self, *problem):
        self._hear_again()
        if not self._active:
            return
        self._active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        before = self._before
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        left, interval = self._theirs
        if left:
            left = max(left - (time.monotonic() - self._since), 1e-4)
            signal.setitimer(signal.ITIMER_REAL, left, interval)

    def _hear_again(self):
        """Put the filters back, with what modules that were imported meanwhile added."""
        theirs, quiet = self._theirs_said, self._quiet
        if warnings.filters is quiet and type(theirs) is list:
            place = next((place for place, entry in enumerate(quiet) if entry is _SILENCE), 0)
            theirs[:0] = quiet[:place]
            theirs.extend(quiet[place + 1 :])
        warnings.filters = theirs

    def _ring(self, number, frame):
        call = self._call
        if call is None:
            return
        if call is not self._seen:  # since when it goes on is asked now: most calls end long before
            self._seen, self._started = call, (time.process_time(), time.monotonic())
        cpu, clock = self._started
        if time.process_time() - cpu > self._seconds or time.monotonic() - clock > 10 * self._seconds:
            raise Stopped()

    def call(self, function, *arguments):
        """Call and return what the function returns; raises Failed whatever it raises."""
        limit = sys.getrecursionlimit()
        try:
            self._call = [function]
            return function(*arguments)
        except Stopped:
            raise Endless("it takes longer than %g seconds" % self._seconds) from None
        except KeyboardInterrupt:
            raise
        except RecursionError:
            raise Failed("it is nested too deeply") from None
        except MemoryError:
            raise Failed("there is not enough memory") from None
        except BaseException as problem:
            raise Failed(_describe(problem)) from None
        finally:
            self._call = None
            if sys.getrecursionlimit() != limit:
                sys.setrecursionlimit(limit)


def _describe(problem):
    name = type(problem).__name__
    if (
        type(problem).__module__ in ("builtins", "_pickle", "pickle")
        and len(problem.args) == 1
        and type(problem.args[0]) is str
    ):
        return "%s: %s" % (name, problem.args[0][:200])
    return name
