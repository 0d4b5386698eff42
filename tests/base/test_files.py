from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kanoe.base.errors import CancelledError
from kanoe.base.files import exclusive, exclusive_if_free, folder_size, replace_file


def test_replace_leaves_the_old_content_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def chunks():
        yield b"ne"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_file(path, chunks())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "below" / "lock"
    with exclusive(path), exclusive_if_free(path) as free:
        assert not free
    with exclusive_if_free(path) as free:
        assert free


def test_waiting_is_heard_and_may_end_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    calls = []

    def waiting() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise CancelledError

    with exclusive(path), pytest.raises(CancelledError), exclusive(path, waiting):
        pass
    assert len(calls) == 3
    with exclusive(path, waiting):
        pass
    assert len(calls) == 3, "a free lock is not waited for"


def test_the_next_gets_the_lock_when_the_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order = []
    waits = threading.Event()

    def second() -> None:
        with exclusive(path, waits.set):
            order.append("second")

    with exclusive(path):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_dead_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from kanoe.base.files import exclusive\n"
        f"with exclusive(Path({str(path)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with exclusive_if_free(path) as free:
        assert not free
    holder.kill()
    holder.communicate()
    with exclusive_if_free(path) as free:
        assert free


def test_folder_size_counts_a_hard_link_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").symlink_to("a")
    assert folder_size(tmp_path) == 5 + len("a")
