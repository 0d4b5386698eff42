"""What Kaggle's own modules ask inside a run, answered by Kanoe over a Unix socket in the run's runtime folder.

A Unix socket reaches through every wall that the folder reaches through, also without a network. A question is one line of JSON,
and so is its answer, after which the connection ends:

    {"ask": "secret", "name": "KEY"}    {"found": true, "value": "..."}, or {"found": false} for a secret that was not given
    {"ask": "source"}                   {"found": true, "value": "..."}: the notebook's JSON text

The other side is a stranger's program. One thread serves all connections without ever waiting for one; whoever is slow, loud or
many is cut off, and none of it costs more than a fixed amount of memory and descriptors.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = "answers"
VARIABLE = "KANOE_ANSWERS"

_MOST_CONNECTIONS = 64
_LONGEST_QUESTION = 4096
_PATIENCE = 10.0  # seconds for a question to arrive and its answer to be taken
_HURRY = 1.0  # the same while others wait
_TICK = 0.25
_CHUNK = 65_536


@dataclass(slots=True)
class _Client:
    """One connection: what has been heard, and what is still to be said."""

    socket: socket.socket
    began: float
    heard: bytearray = field(default_factory=bytearray)
    rest: memoryview | None = None


class Answers:
    """Answers until `close`.

    Args:
        folder: where the socket `answers` is made; only the run can reach it.
        secrets: what may be given away; looked up, never copied.
        source: returns the notebook's JSON text.

    Raises:
        OSError: the socket cannot be made.
    """

    def __init__(self, folder: Path, secrets: Mapping[str, str], source: Callable[[], str] = lambda: "") -> None:
        self.path = folder / NAME
        self._secrets = secrets
        self._source = source
        self._selector = selectors.DefaultSelector()
        self._open: list[_Client] = []
        self._wake, self._woken = socket.socketpair()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening = False
        try:
            self._listener.bind(str(self.path))
            # The folder is the wall; inside, the notebook may have another user's number.
            self.path.chmod(0o666)
            self._listener.listen(128)
            self._listener.setblocking(False)
        except OSError:
            self._close_sockets()
            raise
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listen(True)
        self._thread = threading.Thread(target=self._serve, name="kanoe-answers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; a second call does nothing."""
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                self._wake.send(b".")
            self._thread.join()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _serve(self) -> None:
        try:
            while True:
                ready = self._selector.select(_TICK if self._open else None)
                for key, _ in ready:
                    if key.fileobj is self._woken:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    else:
                        self._serve_client(key.data)
                self._drop_late()
        finally:
            for client in list(self._open):
                self._drop(client)
            self._close_sockets()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # No descriptor is left, or the other side has gone: a pause keeps this thread from spinning.
            time.sleep(0.01)
            return
        connection.setblocking(False)
        client = _Client(connection, time.monotonic())
        self._open.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._listen(len(self._open) < _MOST_CONNECTIONS)

    def _listen(self, wanted: bool) -> None:
        """Take new connections, or let them wait in the kernel's queue."""
        if wanted and not self._listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._listening and not wanted:
            self._selector.unregister(self._listener)
        self._listening = wanted

    def _serve_client(self, client: _Client) -> None:
        try:
            done = self._hear(client) if client.rest is None else self._say(client)
        except BlockingIOError:
            done = False
        except Exception:
            # Whatever a stranger sends must not end the thread that others rely on.
            done = True
        if done:
            self._drop(client)

    def _hear(self, client: _Client) -> bool:
        """Read on; returns whether the connection is over."""
        part = client.socket.recv(_CHUNK)
        client.heard += part
        line, end, _ = client.heard.partition(b"\n")
        if end:
            client.rest = memoryview(self._answer(bytes(line)))
            self._selector.modify(client.socket, selectors.EVENT_WRITE, client)
            return False
        return not part or len(client.heard) > _LONGEST_QUESTION

    def _say(self, client: _Client) -> bool:
        """Write on; returns whether all is said."""
        assert client.rest is not None
        client.rest = client.rest[client.socket.send(client.rest) :]
        return not client.rest

    def _answer(self, line: bytes) -> bytes:
        question: Any = json.loads(line) if len(line) <= _LONGEST_QUESTION else None
        answer: dict[str, Any] = {"found": False}
        if isinstance(question, dict):
            name = question.get("name")
            if question.get("ask") == "secret" and isinstance(name, str) and name in self._secrets:
                answer = {"found": True, "value": self._secrets[name]}
            elif question.get("ask") == "source":
                answer = {"found": True, "value": self._source()}
        return json.dumps(answer).encode() + b"\n"

    def _drop_late(self) -> None:
        latest = time.monotonic() - (_PATIENCE if self._listening else _HURRY)
        for client in [one for one in self._open if one.began < latest]:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._open.remove(client)
        self._selector.unregister(client.socket)
        client.socket.close()
        self._listen(True)

    def _close_sockets(self) -> None:
        for one in (self._listener, self._wake, self._woken):
            one.close()
        self._selector.close()


@contextlib.contextmanager
def answering(folder: Path, secrets: Mapping[str, str], source: Callable[[], str] = lambda: "") -> Iterator[Answers]:
    """Answer while the body runs; arguments as for `Answers`."""
    answers = Answers(folder, secrets, source)
    try:
        yield answers
    finally:
        answers.close()
