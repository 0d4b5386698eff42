"""A running program inside the walls: signals, memory and its end, seen from the host."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kanoe.sandbox.confine import Confined, SandboxKind

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program uses: resident bytes (pages shared by several processes counted for each), and CPU seconds since its start."""

    memory: int
    cpu: float


class SandboxProcess:
    """A confined program. Everything it started ends with it.

    Args:
        confined: from `confine`.
        output: where its stdout and stderr go: an open file.

    Raises:
        OSError: the program could not be started.
    """

    def __init__(self, confined: Confined, output: IO[bytes]) -> None:
        command = list(confined.command)
        read_end, write_end = os.pipe()
        if confined.kind == "bubblewrap":
            command[1:1] = ["--info-fd", str(write_end)]
        try:
            self._process = subprocess.Popen(
                command,
                env=confined.variables,
                cwd=confined.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(write_end,) if confined.kind == "bubblewrap" else (),
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self._first: int | None = self._process.pid if confined.kind == "none" else None
        self._information = read_end
        self._kind = confined.kind

    def poll(self) -> int | None:
        """Return the exit status if the program has ended: negative for a signal, as `subprocess` does; else `None`."""
        status = self._process.poll()
        # bubblewrap passes a signal of its child on as a shell does.
        if status is not None and self._kind == "bubblewrap" and status > 128:
            return 128 - status
        return status

    def interrupt(self) -> None:
        """Send SIGINT to the program and the children that share its process group, as Ctrl-C at a terminal does."""
        program = self._program()
        if program is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(os.getpgid(program), signal.SIGINT)

    def kill(self) -> None:
        """End the program and everything it started, now."""
        pids = self._pids()
        if self._kind == "none":
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # With its first process a process namespace ends whole.
            os.kill(self._first if self._first is not None else self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self, seconds: float) -> None:
        """Wait that long for the program to end by itself, then kill what is left."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.kill()
        if self._information >= 0:
            os.close(self._information)
            self._information = -1

    def usage(self) -> Usage:
        """Return what the program and everything it started use now; a process that is gone meanwhile counts for nothing."""
        memory, ticks = 0, 0
        for pid in self._pids():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # After the name in parentheses: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html, from field 3 on.
                numbers = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
                memory += int(numbers[21]) * _PAGE
                ticks += sum(map(int, numbers[11:15]))
        return Usage(memory, ticks / _TICKS)

    def _program(self) -> int | None:
        """Return the host's pid of the program itself: below bubblewrap's first process, which only reaps."""
        first = self._first_process()
        if first is None or self._kind == "none":
            return first
        children = _children(first)
        return children[0] if children else None

    def _first_process(self) -> int | None:
        if self._first is None and select.select([self._information], [], [], 0)[0]:
            with contextlib.suppress(ValueError, KeyError):
                self._first = int(json.loads(os.read(self._information, 4096))["child-pid"])
        return self._first

    def _pids(self) -> list[int]:
        """Return the host's pids of all processes inside."""
        first = self._first_process()
        found = [first] if first is not None else []
        for pid in found:
            found += _children(pid)
        return found


def signal_program(started: int, kind: SandboxKind, number: int) -> None:
    """Send a signal to a confined program and the children in its process group, not to the walls around it.

    Args:
        started: the pid of what was started, the leader of its own session.
        kind: of what it was started with.
        number: the signal.
    """
    program = started
    if kind == "bubblewrap":
        below = [grandchild for child in _children(started) for grandchild in _children(child)]
        program = below[0] if below else started
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(program)
        if kind == "none" or group != started:
            os.killpg(group, number)
        else:
            os.kill(program, number)


def end_group(started: int) -> None:
    """End what a program that has ended left in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(started, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """Return the child processes of every thread of `pid`."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    except OSError:
        return found
    return found
