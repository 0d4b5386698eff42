"""Content hashes: of files and folders, remembered until a file changes."""

from __future__ import annotations

import os
from pathlib import Path

from kanoe.base.hashing import hash_file
from kanoe.base.stop import Stop
from kanoe.store.contents import Contents


def test_a_file_has_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    contents = Contents(tmp_path / "memory.sqlite")
    assert contents.hash_tree(tmp_path / "a", Stop()) == hash_file(tmp_path / "a")
    assert hash_file(tmp_path / "a").startswith("ba7816bf")


def test_a_changed_file_changes_the_folder_and_a_touched_one_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    contents = Contents(tmp_path / "memory.sqlite")
    first = contents.hash_tree(folder, Stop())
    os.utime(folder / "a", (1, 1))
    assert contents.hash_tree(folder, Stop()) == first
    (folder / "a").write_text("3")
    second = contents.hash_tree(folder, Stop())
    assert second != first
    (folder / "sub" / "b").rename(folder / "sub" / "c")
    assert contents.hash_tree(folder, Stop()) not in (first, second)


def test_the_memory_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    contents = Contents(tmp_path / "memory.sqlite")
    first = contents.hash_tree(path, Stop())
    status = path.stat()
    with path.open("r+") as file:  # same size, inode and time: the memory cannot tell, which is its contract
        file.write("2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert contents.hash_tree(path, Stop()) == first


def test_what_cannot_be_read_or_is_stopped_is_none(tmp_path: Path) -> None:
    contents = Contents(tmp_path / "memory.sqlite")
    assert contents.hash_tree(tmp_path / "absent", Stop()) is None
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    stop = Stop()
    stop.request()
    assert contents.hash_tree(tmp_path / "d", stop) is None
