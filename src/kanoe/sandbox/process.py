"""A running program inside the walls: its start, signals, use of the machine and its end, seen from the host."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from kanoe.sandbox.confine import Confined
from kanoe.sandbox.seccomp import deny_list

_FAREWELL_SECONDS = 2.0
# Where the dynamic loader finds the libraries of what builds the walls; the program inside gets its own variables.
_LOADER_VARIABLES = ("PATH", "LD_LIBRARY_PATH")


class Lifeline:
    """A pipe on which nothing is ever said: its reader hears its end when Kanoe is gone, however Kanoe ended.

    bubblewrap starts its program also when Kanoe was killed just before the walls were bound to its life. The worker ends itself.
    """

    def __init__(self) -> None:
        read_end, self._ours = os.pipe()
        self.end = os.fdopen(read_end, "rb", 0)

    def __del__(self) -> None:
        os.close(self._ours)


class SandboxProcess:
    """A confined program. Everything it started ends with it.

    Args:
        confined: from `confine`.
        output: where its stdout and stderr go: an open file; `None`: to those of this process.
        prepare: called with the host's number of a process inside whose limits, CPUs and control group the program will inherit,
            before the program starts. A process that is gone meanwhile is no error; anything else ends it.
        stdin: where it reads: an open file or descriptor; `None`: that of this process; `subprocess.DEVNULL`: nothing.
        lifeline: what the program is given of a `Lifeline`.

    Raises:
        OSError: the program could not be started.
    """

    def __init__(
        self,
        confined: Confined,
        output: IO[bytes] | None,
        prepare: Callable[[int], None] | None = None,
        *,
        stdin: IO[bytes] | int | None = subprocess.DEVNULL,
        lifeline: Lifeline | None = None,
    ) -> None:
        self._lifeline = lifeline
        self._kind = confined.kind
        self._first: int | None = None
        with contextlib.ExitStack() as ours:
            self._start(confined, output, stdin, ours, prepare)

    def _start(
        self,
        confined: Confined,
        output: IO[bytes] | None,
        stdin: IO[bytes] | int | None,
        ours: contextlib.ExitStack,
        prepare: Callable[[int], None] | None,
    ) -> None:
        """Start what builds the walls, tell it all through descriptors, and let it start the program when `prepare` is done."""
        if stdin == subprocess.DEVNULL:
            stdin = ours.enter_context(confined.null.open("rb"))
        with contextlib.ExitStack() as theirs:
            told, tell = _pipe(theirs, ours)
            waits, release = _pipe(theirs, ours)
            information, inform = _pipe(ours, theirs)
            passed = [told.fileno(), waits.fileno(), inform.fileno()]
            options = [*confined.options, "--info-fd", str(passed[2]), "--block-fd", str(passed[1])]
            filter_program = deny_list() if confined.kind != "none" else None
            if self._lifeline is not None:
                passed.append(theirs.enter_context(self._lifeline.end).fileno())
            if filter_program is not None:
                filtered, filters = _pipe(theirs, ours)
                _write_all(filters, filter_program)
                passed.append(filtered.fileno())
                options += ["--seccomp", str(filtered.fileno())]
            self._process = subprocess.Popen(
                [*confined.starter, "--args", str(passed[0]), "--", *confined.command],
                env={name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ},
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=passed,
            )
        try:
            _write_all(tell, b"".join(os.fsencode(option) + b"\0" for option in options))
            self._first = _first_process(information.read())
            if prepare is not None and self._first is not None:
                with contextlib.suppress(ProcessLookupError):
                    prepare(self._first)
            _write_all(release, b"\n")
        except BaseException:
            self.kill()
            raise

    def poll(self) -> int | None:
        """Return the exit status if the program has ended: negative for a signal, as `subprocess` does; else `None`."""
        status = self._process.poll()
        return status if status is None else self._status(status)

    def wait(self) -> int:
        """Wait for the end of the program and return its exit status, as `poll` does; signal handlers run meanwhile."""
        return self._status(self._process.wait())

    def _status(self, status: int) -> int:
        # What builds the walls passes a signal of its child on as a shell does.
        return 128 - status if self._kind != "none" and status > 128 else status

    def interrupt(self) -> None:
        """Send SIGINT to the program and the children that share its process group, as Ctrl-C at a terminal does."""
        self.signal(signal.SIGINT)

    def signal(self, number: int) -> None:
        """Send a signal to the program and the children that share its process group."""
        program = self._program()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if program is not None:
                os.killpg(os.getpgid(program), number)

    def kill(self) -> None:
        """End the program and everything it started, now."""
        if self._kind == "none":
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if self._first is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                # With its first process a process namespace ends whole, and what waits for it outside, when all has ended.
                os.kill(self._first, signal.SIGKILL)
                self._process.wait(timeout=_FAREWELL_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self, seconds: float) -> None:
        """Wait that long for the program to end by itself, then kill what is left."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.kill()

    def pids(self) -> list[int]:
        """Return the host's numbers of all processes inside, the first one first; none when they have ended."""
        found = [self._first] if self._first is not None and self._process.poll() is None else []
        for pid in found:
            found += _children(pid)
        return found

    def _program(self) -> int | None:
        """Return the host's number of the program itself: below the first process inside, which only reaps."""
        if self._first is None or self._kind == "none":
            return self._first
        children = _children(self._first)
        return children[0] if children else None


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Return the ends of a pipe, each closed with its stack."""
    read_end, write_end = os.pipe()
    return reader.enter_context(os.fdopen(read_end, "rb", 0)), writer.enter_context(os.fdopen(write_end, "wb", 0))


def _write_all(end: IO[bytes], data: bytes) -> None:
    """Write it all and close the end; a reader that is gone has said why on its own streams."""
    view = memoryview(data)
    with contextlib.suppress(BrokenPipeError), end:
        while view:
            view = view[end.write(view) :]


def _first_process(said: bytes) -> int | None:
    """Return the host's number of the first process inside; `None` when what builds the walls ended before it made one."""
    try:
        return int(json.loads(said)["child-pid"])
    except (ValueError, KeyError):
        return None


def _children(pid: int) -> list[int]:
    """Return the child processes of every thread of `pid`."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    except OSError:
        return found
    return found
