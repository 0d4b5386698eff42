"""Programs that Kanoe starts and waits for: none outlives its caller, nor a Kanoe that is killed."""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.diagnostics import error
from kanoe.base.errors import CancelledError
from kanoe.base.stop import Stop

_TICK = 0.1  # seconds between two looks at `stop`
_GRACE = 2.0  # seconds between the request to end and the kill
_LAST_WORDS = 0.5  # seconds that children of an ended program may still write
_CHUNK = 65_536
_MARKER = "KANOE_OWNER"


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program came to: its exit status (negative for a signal) and all it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run_program(
    command: Sequence[str],
    *,
    stop: Stop | None = None,
    on_line: Callable[[str], None] | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    input: str | None = None,
) -> Completed:
    """Run a program to its end, in a session of its own, without a terminal.

    Whatever happens (a stop, an exception in `on_line`, Ctrl-C), the program and its process group are gone on return.

    Args:
        command: the program and its arguments.
        stop: looked at ten times a second; a request ends the program, first politely, after two seconds by force.
        on_line: called with each line of stderr as it comes, without its end.
        environment: the program's variables; `None`: those of this process.
        cwd: its folder; `None`: that of this process.
        input: what it reads from stdin; `None`: nothing.

    Raises:
        CancelledError: `stop` was requested before the program ended.
        OSError: the program could not be started.
    """
    check_stop(stop)
    variables = marked(os.environ if environment is None else environment)
    process = subprocess.Popen(
        [*_dying_with_us(command[0], variables.get("PATH")), *command],
        env=variables,
        cwd=cwd,
        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    stdout, stderr = _Stream(), _Stream(on_line)
    try:
        _exchange(process, stdout, stderr, (input or "").encode(), stop)
    finally:
        _end_group(process)
    return Completed(process.returncode, stdout.text, stderr.text)


def check_stop(stop: Stop | None) -> None:
    """Do nothing, or raise `CancelledError` if a stop was requested."""
    if stop is not None and stop.requested:
        raise CancelledError(error("run-cancelled", "interrupted"))


def owner() -> str:
    """Return what marks this process's own: a random text, another one in every process, also after a fork."""
    return _token(os.getpid())


@functools.cache
def _token(_pid: int) -> str:
    return secrets.token_hex(5)


def marked(environment: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables that say whose a program is, so that it is found when its Kanoe was killed."""
    return {**environment, _MARKER: owner()}


def kill_marked(mark: str) -> int:
    """Kill the processes that carry the mark of an `owner`, and those they start meanwhile; return how many."""
    killed: set[int] = set()
    for _ in range(50):
        found = _find_marked(mark)
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        time.sleep(0.01)
    return len(killed)


def _find_marked(mark: str) -> set[int]:
    wanted = f"{_MARKER}={mark}".encode()
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():  # noqa: PTH112
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.add(int(name))
    return found


def _dying_with_us(program: str, path: str | None) -> tuple[str, ...]:
    """Return what to put before a command so that the kernel kills it when its Kanoe dies, however that dies.

    A program that cannot be found stays bare: its start must fail as it always does.
    """
    return _death_signal() if shutil.which(program, path=path) is not None else ()


@functools.cache
def _death_signal() -> tuple[str, ...]:
    """Return `setpriv` (util-linux) with its options if it works here; a function between fork and exec is unsafe with threads."""
    command = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    try:
        done = subprocess.run(
            [*command, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()


def process_alive(pid: int) -> bool:
    """Return whether a process of that number exists and has not ended (one that nobody waited for has ended)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    return True


class _Stream:
    """Text that arrives in pieces; `on_line` hears each whole line, and the rest at the end."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._rest = ""
        self._on_line = on_line

    def take(self, data: bytes) -> None:
        """Add a piece; an empty one says that no more comes."""
        text = self._decoder.decode(data, final=not data)
        self._parts.append(text)
        if self._on_line is None:
            return
        *lines, self._rest = (self._rest + text).split("\n")
        if not data and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            self._on_line(line.rstrip("\r"))

    @property
    def text(self) -> str:
        return "".join(self._parts)


def _exchange(
    process: subprocess.Popen[bytes], stdout: _Stream, stderr: _Stream, data: bytes, stop: Stop | None
) -> None:
    """Feed the program and read it until it has ended; what children that outlive it still write is not waited for."""
    assert process.stdout is not None
    assert process.stderr is not None
    ended: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, memoryview(data))
        while selector.get_map() and (ended is None or time.monotonic() < ended + _LAST_WORDS):
            for key, _ in selector.select(_TICK):
                _move(selector, key)
            if ended is None and _has_ended(process):
                ended = time.monotonic()
            check_stop(stop)
    pause = 0.001
    while ended is None and not _has_ended(process):
        check_stop(stop)
        time.sleep(pause)
        pause = min(2 * pause, _TICK)


def _move(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    """Read what is there, or write what fits; a side that is done is closed."""
    file, state = key.fileobj, key.data
    if isinstance(state, _Stream):
        data = os.read(key.fd, _CHUNK)
        state.take(data)
        if not data:
            _close(selector, file)
        return
    try:
        rest = state[os.write(key.fd, state[:_CHUNK]) :] if state else state
    except BrokenPipeError:
        rest = state[:0]
    if rest:
        selector.modify(file, selectors.EVENT_WRITE, rest)
    else:
        _close(selector, file)


def _close(selector: selectors.BaseSelector, file: object) -> None:
    selector.unregister(file)  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        file.close()  # type: ignore[attr-defined]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the program has ended; its number stays taken, lest its group be mistaken for a stranger's."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the program and its group: at once if it has ended itself, else politely first."""
    deadline = time.monotonic() + _GRACE
    if not _has_ended(process):
        _signal(process, signal.SIGTERM)
        while not _has_ended(process) and time.monotonic() < deadline:
            time.sleep(0.01)
    _signal(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
