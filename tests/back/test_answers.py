"""The socket that Kaggle's modules ask, and what strangers do to it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kanoe.back import answers as answers_module
from kanoe.back.answers import Answers, answering

SECRETS = {"KEY": "hush-hush ✓", "LONG": "x" * 3_000_000}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr(answers_module, "_PATIENCE", 0.5)
    with tempfile.TemporaryDirectory(prefix="kn-") as folder, answering(Path(folder), SECRETS, lambda: "{}") as made:
        yield made
    assert not made._thread.is_alive()


def connect(server: Answers) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(20)
    while True:
        try:
            connection.connect(str(server.path))
            return connection
        except BlockingIOError:  # the queue is full
            time.sleep(0.01)


def ask(server: Answers, question: Any) -> Any:
    data = question if isinstance(question, bytes) else json.dumps(question).encode() + b"\n"
    with connect(server) as connection:
        connection.sendall(data)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(received) if received else None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ({"ask": "secret", "name": "KEY"}, {"found": True, "value": "hush-hush ✓"}),
        ({"ask": "secret", "name": "LONG"}, {"found": True, "value": SECRETS["LONG"]}),
        ({"ask": "secret", "name": "OTHER"}, {"found": False}),
        ({"ask": "secret", "name": ["KEY"]}, {"found": False}),
        ({"ask": "secret", "name": None}, {"found": False}),
        ({"ask": "secret"}, {"found": False}),
        ({"ask": "source"}, {"found": True, "value": "{}"}),
        ({"ask": "everything"}, {"found": False}),
        ([1, 2], {"found": False}),
        (b"null\n", {"found": False}),
        (b'{"ask": "secret", "name": "KEY"}\n{"ask": "source"}\n', {"found": True, "value": "hush-hush ✓"}),
        (b"garbage\n", None),
        (b"\xff\xfe\x00\n", None),
        (b"\n", None),
        (b"[" * 4000 + b"\n", None),
        (b"1" * 4000 + b"\n", {"found": False}),
        (b'{"ask": "secret", "name": "KEY"', "silence"),
    ],
)
def test_what_is_asked_and_answered(server: Answers, question: Any, answer: Any) -> None:
    # Half a question: the other side waits until it is cut off.
    assert ask(server, question) == (None if answer == "silence" else answer)
    assert ask(server, {"ask": "secret", "name": "KEY"})["value"] == "hush-hush ✓"


def test_endless_input_is_cut_off(server: Answers) -> None:
    with connect(server) as connection, pytest.raises(OSError):
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)
    assert ask(server, {"ask": "secret", "name": "KEY"})["found"]


def test_who_never_reads_is_cut_off(server: Answers) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            connection = stack.enter_context(connect(server))
            connection.sendall(b'{"ask": "secret", "name": "LONG"}\n')
        assert ask(server, {"ask": "secret", "name": "KEY"})["found"]


def test_hundreds_of_silent_connections(server: Answers) -> None:
    before = len(os.listdir("/proc/self/fd"))
    opened = []
    most = 0
    try:
        for _ in range(300):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):  # the kernel's queue is full: nobody is served faster than that
                connection.connect(str(server.path))
            opened.append(connection)
            most = max(most, len(server._open))
    finally:
        for connection in opened:
            connection.close()
    assert most <= answers_module._MOST_CONNECTIONS
    assert ask(server, {"ask": "secret", "name": "KEY"})["found"]
    assert len(os.listdir("/proc/self/fd")) <= before + answers_module._MOST_CONNECTIONS


def test_many_ask_at_once(server: Answers) -> None:
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(server, {"ask": "secret", "name": "KEY"})["found"]))
        for _ in range(100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 100


def test_a_source_that_cannot_be_read_hurts_nobody() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="kn-") as folder,
        answering(Path(folder), SECRETS, lambda: str(1 // 0)) as made,
    ):
        assert ask(made, {"ask": "source"}) is None
        assert ask(made, {"ask": "secret", "name": "KEY"})["found"]


def test_nothing_is_left(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with tempfile.TemporaryDirectory(prefix="kn-") as folder:
        made = Answers(Path(folder), SECRETS)
        silent = connect(made)
        made.close()
        made.close()
        silent.close()
        assert os.listdir(folder) == []
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(OSError):
        Answers(tmp_path / ("x" * 200), SECRETS)
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_notebook_that_takes_the_socket_away(server: Answers) -> None:
    server.path.unlink()
    server.path.symlink_to("/etc/passwd")
    server.close()
    assert Path("/etc/passwd").exists()
