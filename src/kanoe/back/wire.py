"""The client's end of the Jupyter messaging protocol 5 over Unix sockets.

Source: https://jupyter-client.readthedocs.io/en/stable/messaging.html. Written on pyzmq alone: `jupyter_client` costs 0.1 CPU-seconds
to import and 0.3 ms a message (it parses every date), more than a trivial cell; tests hold this against `jupyter_client` itself.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from kanoe.back.shapes import well_formed

_DELIMITER = b"<IDS|MSG>"
# What is taken at once, so that limits of time and output are looked at in between.
_MOST_MESSAGES = 1000
_MOST_BYTES = 8 << 20
_LEAST_BYTES = 4096
_PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}


@dataclass(frozen=True, slots=True)
class Message:
    """One message from a kernel.

    Args:
        channel: `shell`, `iopub` or `control`.
        kind: the message type.
        parent: id of the request that it answers, or empty.
        date: the kernel's time stamp, ISO 8601.
        content: the content.
        buffers: binary buffers.
        size: bytes of all its parts.
    """

    channel: str
    kind: str
    parent: str
    date: str
    content: dict[str, Any]
    buffers: Sequence[bytes] = ()
    size: int = 0


class Connection:
    """Sockets to one kernel in a folder that both sides see.

    Args:
        folder: the folder on this side; its path must be short (a Unix socket's path holds 107 bytes).
        seen_at: the same folder as the kernel sees it.
    """

    def __init__(self, folder: Path, seen_at: str) -> None:
        self._key = secrets.token_hex(16)
        self._session = secrets.token_hex(8)
        self._counter = 0
        self.file = folder / "connection.json"
        self.file.write_text(json.dumps(self._description(seen_at)))
        self.file.chmod(0o600)
        self._context = zmq.Context(io_threads=1)
        self._shell = self._connect(zmq.DEALER, folder, "shell")
        self._control = self._connect(zmq.DEALER, folder, "control")
        self._iopub = self._connect(zmq.SUB, folder, "iopub")
        self._iopub.subscribe(b"")
        self._poller = zmq.Poller()
        for socket in (self._iopub, self._shell, self._control):
            self._poller.register(socket, zmq.POLLIN)

    def _description(self, seen_at: str) -> dict[str, Any]:
        """Return the connection file's content."""
        ports = {f"{channel}_port": port for channel, port in _PORTS.items()}
        return {"transport": "ipc", "ip": f"{seen_at}/k", "key": self._key, "signature_scheme": "hmac-sha256", **ports}

    def _connect(self, kind: int, folder: Path, channel: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        # What is not yet taken waits on the kernel's side, in memory that counts as the notebook's.
        socket.rcvhwm = 1000
        socket.reconnect_ivl = 10
        socket.connect(f"ipc://{folder}/k-{_PORTS[channel]}")
        return socket

    def request(self, kind: str, content: Mapping[str, Any], *, channel: str = "shell") -> str:
        """Send a request and return its id."""
        self._counter += 1
        identity = f"{self._session}_{self._counter}"
        header = {
            "msg_id": identity,
            "msg_type": kind,
            "session": self._session,
            "username": "kanoe",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "version": "5.3",
        }
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        socket = self._shell if channel == "shell" else self._control
        socket.send_multipart([_DELIMITER, self._sign(parts), *parts])
        return identity

    def receive(self, seconds: float) -> list[Message]:
        """Return the messages that are there; waits at most `seconds` for the first."""
        ready = dict(self._poller.poll(round(seconds * 1000)))
        messages: list[Message] = []
        for socket, channel in ((self._iopub, "iopub"), (self._shell, "shell"), (self._control, "control")):
            if socket in ready:
                messages += self._read(socket, channel)
        return messages

    def _read(self, socket: zmq.Socket[bytes], channel: str) -> list[Message]:
        messages: list[Message] = []
        taken = 0
        while len(messages) < _MOST_MESSAGES and taken < _MOST_BYTES:
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            taken += _LEAST_BYTES + sum(map(len, frames))
            message = self._decode(frames, channel)
            if message is not None:
                messages.append(message)
        return messages

    def _decode(self, frames: list[bytes], channel: str) -> Message | None:
        """Return the message, or `None` for one that is not signed with our key or makes no sense."""
        try:
            start = frames.index(_DELIMITER)
            signature, parts = frames[start + 1], frames[start + 2 : start + 6]
            if not hmac.compare_digest(signature, self._sign(parts)):
                return None
            header, parent, _, content = (json.loads(part.decode("utf-8", "surrogatepass")) for part in parts)
            kind, request, date = header["msg_type"], parent.get("msg_id", ""), header.get("date", "")
            if not (isinstance(kind, str) and isinstance(request, str) and isinstance(date, str)):
                return None
            size = sum(map(len, frames))
            message = Message(channel, kind, request, date, content, frames[start + 6 :], size)
            return message if well_formed(kind, content) else None
        except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError):
            return None

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        code = hmac.new(self._key.encode(), digestmod="sha256")
        for part in parts:
            code.update(part)
        return code.hexdigest().encode()

    def close(self) -> None:
        """Close the sockets; a second call does nothing."""
        for socket in (self._shell, self._control, self._iopub):
            socket.close(linger=0)
        self._context.term()
