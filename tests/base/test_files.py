from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kanoe.base.errors import CancelledError
from kanoe.base.files import (
    exclusive,
    exclusive_if_free,
    folder_size,
    is_locked,
    last_use,
    mark_used,
    remove_unused,
    replace_file,
)


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
    seen: set[tuple[int, int]] = set()
    assert (folder_size(tmp_path, seen), folder_size(tmp_path, seen)) == (6, 0)


def test_what_is_not_used_is_removed(tmp_path: Path) -> None:
    thing = tmp_path / "thing"
    thing.mkdir()
    (thing / "file").write_text("x")
    os.utime(thing, (1, 1))
    assert last_use(thing) == 1
    assert not remove_unused(thing, before=1)
    assert remove_unused(thing, before=2)
    assert os.listdir(tmp_path) == []


def test_what_is_marked_meanwhile_is_not_removed(tmp_path: Path) -> None:
    thing = tmp_path / "thing"
    assert not mark_used(thing)
    thing.mkdir()
    os.utime(thing, (1, 1))
    before = time.time() - 60
    assert mark_used(thing)
    assert not remove_unused(thing, before)
    os.utime(tmp_path / "thing.lock", (1, 1))
    with exclusive(tmp_path / "thing.lock"):
        assert not remove_unused(thing, before), "somebody makes it now"
        assert not mark_used(thing), "somebody makes it now"
    assert remove_unused(thing, before)
    assert not mark_used(thing)


def test_whoever_marks_while_others_remove_has_it_or_sees_that_it_is_gone(tmp_path: Path) -> None:
    """A thing that was there when it was marked stays."""
    for round_ in range(30):
        thing = tmp_path / f"thing-{round_}"
        thing.mkdir()
        os.utime(thing, (1, 1))
        before, marked = time.time() - 60, []
        threads = [
            threading.Thread(target=lambda path=thing, into=marked: into.append(mark_used(path))),
            threading.Thread(target=remove_unused, args=(thing, before)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not marked[0] or thing.is_dir()


def test_a_lock_whose_file_was_removed_is_taken_on_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    taken, waits = threading.Event(), threading.Event()

    def wait() -> None:
        with exclusive(path, waits.set):
            taken.set()
            assert path.exists()

    with exclusive(path):
        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait(30)
        path.unlink()
    thread.join(30)
    assert taken.is_set()
    assert not is_locked(path)
    assert not is_locked(tmp_path / "none")
