"""Files taken from a run's folders into the store, and laid down again, in trees made by strangers."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

import kanoe.worker
from kanoe.back.tree import OWN_NAMES, Tree
from kanoe.ir.folders import FILE, Folders, entry_hash, quote, unquote
from kanoe.ir.trace import Value
from kanoe.store.blobs import Blobs

sys.modules.setdefault("kanoe_worker", kanoe.worker)
from kanoe.worker.track import places as watched  # noqa: E402 - by the name that it has in a session

ROOT = os.geteuid() == 0


class Place:
    """A run's folders, a store, and what a worker would tell."""

    def __init__(self, folder: Path, blobs: Blobs | None = None, **options) -> None:
        self.working, self.tmp = folder / "working", folder / "tmp"
        for path in (self.working, self.tmp):
            path.mkdir(parents=True)
        self.blobs = blobs or Blobs(folder / "blobs")
        self.tree = Tree({"/kaggle/working": self.working, "/tmp": self.tmp}, self.blobs, folder / "parts", **options)

    def take(self) -> dict[str, Value]:
        """Everything that lies there, as values."""
        taken = self.tree.take_in(self.tree.found())
        assert None not in taken.values()
        return taken


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def fill(folder: Path) -> None:
    """A tree with everything that may stand in one."""
    (folder / "a.txt").write_text("a")
    (folder / "big").write_bytes(os.urandom(300_000))
    (folder / "empty").touch()
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(0o755)
    (folder / "closed").write_text("closed")
    (folder / "closed").chmod(0)
    (folder / "nothing/in/here").mkdir(parents=True)
    (folder / "private").mkdir(mode=0o700)
    (folder / "private" / "file").write_text("p")
    (folder / "readonly").mkdir()
    (folder / "readonly" / "file").write_text("r")
    (folder / "readonly").chmod(0o555)
    (folder / "link").symlink_to("a.txt")
    (folder / "dangling").symlink_to("no/such %\udcff\nfile")
    (folder / "folder link").symlink_to("/etc")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff%41\n")).write_text("strange")
    (folder / "é" / "ü").mkdir(parents=True)


def look(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = path.readlink() if path.is_symlink() else b"" if path.is_dir() else path.read_bytes()
        found[str(path.relative_to(folder))] = (oct(mode), str(content))
    return found


@pytest.mark.skipif(not ROOT, reason="a test that looks into closed files")
def test_everything_comes_back(tmp_path):
    first = Place(tmp_path / "first")
    fill(first.working)
    (first.tmp / "t").write_text("t")
    values = first.take()
    assert first.tree.differences(values, contents=True) == []
    second = Place(tmp_path / "second", first.blobs)
    done = second.tree.lay_down(values)
    assert done.missing == ()
    assert {FILE + quote(path) for path in done.changed} == set(values)
    assert look(second.working) == look(first.working)
    assert look(second.tmp) == look(first.tmp)
    assert second.tree.differences(values, contents=True) == []
    assert second.tree.take_in(second.tree.found()) == values
    assert second.tree.lay_down(values).changed == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": "1"}, {}),
        ({"a": "1"}, {"a": "2"}),
        ({"a": "1"}, {"b": "1"}),
        ({"a": None, "a/b": "1"}, {"a": "now a file"}),
        ({"a": "file"}, {"a": None, "a/b": None, "a/b/c": "1"}),
        ({"a": None, "a/b": None, "a/b/c": "1"}, {"a": None}),
        ({"a": ">b", "b": "1"}, {"a": "1", "b": ">a"}),
        ({"a": ">b"}, {"a": ">c"}),
        ({}, {"a": None}),
    ],
)
def test_from_one_state_to_another(tmp_path, before, after):
    def build(name: str, entries: dict[str, str | None]) -> tuple[Place, dict[str, Value]]:
        place = Place(tmp_path / name, blobs)
        for path, content in entries.items():
            target = place.working / path
            if content is None:
                target.mkdir()
            elif content.startswith(">"):
                target.symlink_to(content[1:])
            else:
                target.write_text(content)
        return place, place.take()

    blobs = Blobs(tmp_path / "blobs")
    place, first = build("before", before)
    other, second = build("after", after)
    for values, wanted in ((second, other), (first, None), (second, other), (second, other)):
        place.tree.lay_down(values)
        assert place.tree.differences(values, contents=True) == []
        if wanted is not None:
            assert look(place.working) == look(wanted.working)
    changed = place.tree.take_changes()
    assert {FILE + quote(path) for path in changed} >= {
        key for key in {*first, *second} if first.get(key) != second.get(key)
    }
    assert place.tree.take_changes() == []


def test_before_any_session_there_are_no_folders(place):
    (place.tmp / "a").write_text("1")
    values = place.take()
    shutil.rmtree(place.tmp)
    other = Tree({"/tmp": place.tmp}, place.blobs, place.working.parent / "parts")
    assert other.lay_down(values).missing == ()
    assert (place.tmp / "a").read_text() == "1"


def test_a_written_file_never_reaches_the_store(place):
    (place.working / "a").write_bytes(b"1" * 100_000)
    values = place.take()
    place.tree.lay_down({})
    place.tree.lay_down(values)
    (place.working / "a").write_bytes(b"2" * 100_000)
    assert place.blobs.read(values["file:/kaggle/working/a"].blob) == b"1" * 100_000


def test_equal_content_is_an_equal_value(place):
    (place.working / "a").write_text("1")
    first = place.take()
    os.utime(place.working / "a", (1, 1))
    assert place.take() == first
    (place.working / "a").chmod(0o600)
    assert place.take() != first


def test_only_what_is_known_to_differ_is_touched(place):
    (place.working / "a").write_text("1")
    (place.working / "b").write_text("1")
    values = place.take()
    before = (place.working / "a").stat()
    (place.working / "b").write_text("2")
    later = {**values, **place.tree.take_in({"file:/kaggle/working/b": {}})}
    assert place.tree.lay_down(values).changed == ("/kaggle/working/b",)
    assert (place.working / "b").read_text() == "1"
    assert (place.working / "a").stat() == before
    assert place.tree.lay_down(later).changed == ("/kaggle/working/b",)


@pytest.mark.parametrize(
    "reference",
    [
        "file:/etc/passwd",
        "file:/kaggle/working",
        "file:/kaggle/working/",
        "file:/kaggle/working/../secret",
        "file:/kaggle/working/a/../../secret",
        "file:/kaggle/working/./a",
        "file:/kaggle/working//a",
        "file:/kaggle/working/%2E%2E/secret",
        "file:/kaggle/working/a%00b",
        "file:/kaggle/workingx/a",
        "file:",
        "folder:/kaggle/working",
        "name:df",
    ],
)
def test_references_that_lead_elsewhere(place, reference):
    secret = place.working.parent / "secret"
    secret.write_text("secret")
    taken = place.tree.take_in({reference: {"kind": "file", "mode": 0o644, "size": 6}})
    assert all(value is None for value in taken.values())
    blob = place.blobs.put(b"evil")
    evil = Value(entry_hash("file", 0o644, 4, blob), blob=blob, summary={"kind": "file", "mode": 0o644, "size": 4})
    place.tree.lay_down({reference: evil})
    place.tree.lay_down({})
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in place.working.parent.iterdir()) == [
        "blobs",
        "parts",
        "secret",
        "tmp",
        "working",
    ]


def test_links_are_not_followed(place, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("key")
    (place.working / "d").symlink_to(secret)
    taken = place.tree.take_in({"file:/kaggle/working/d/key": {}, "file:/kaggle/working/d": {}})
    assert taken["file:/kaggle/working/d/key"] is None
    blob = place.blobs.put(b"evil")
    file = Value(entry_hash("file", 0o644, 4, blob), blob=blob, summary={"kind": "file", "mode": 0o644, "size": 4})
    folder = Value(entry_hash("folder", 0o755), summary={"kind": "folder", "mode": 0o755})
    place.tree.lay_down({"file:/kaggle/working/d/key": file})
    assert (secret / "key").read_text() == "key"
    place.tree.lay_down({"file:/kaggle/working/d": folder, "file:/kaggle/working/d/key": file})
    assert (secret / "key").read_text() == "key"
    assert (place.working / "d" / "key").read_text() == "evil"
    shutil.rmtree(place.working / "d")
    (place.working / "d").symlink_to(secret)
    place.tree.lay_down({})
    assert (secret / "key").read_text() == "key"
    assert secret.is_dir()


def test_what_is_neither_file_nor_folder_nor_link(place):
    os.mkfifo(place.working / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place.working / "s"))
        taken = place.tree.take_in({"file:/kaggle/working/pipe": {}, "file:/kaggle/working/s": {}})
    assert taken == {"file:/kaggle/working/pipe": None, "file:/kaggle/working/s": None}
    assert place.tree.found() == {}
    place.tree.forget()
    assert list(place.working.iterdir()) == []


def test_a_blob_that_is_gone(place):
    (place.working / "a").write_bytes(b"1" * 100_000)
    (place.working / "b").write_text("b")
    values = place.take()
    blob = place.blobs.path(values["file:/kaggle/working/a"].blob)
    blob.chmod(0o600)
    blob.write_bytes(b"0" * 100_000)
    other = Place(place.working.parent / "other", Blobs(place.working.parent / "blobs"))
    assert other.tree.lay_down(values).missing == ("file:/kaggle/working/a",)
    assert not (other.working / "a").exists()
    assert other.tree.differences(values) == ["`/kaggle/working/a` is not there"]
    assert other.tree.lay_down(values).missing == ("file:/kaggle/working/a",)


def test_a_file_too_large_to_keep(tmp_path):
    place = Place(tmp_path, largest=1000)
    with (place.working / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    value = place.take()["file:/kaggle/working/sparse"]
    assert value.blob is None
    assert value.summary["size"] == 1 << 40
    again = place.take()["file:/kaggle/working/sparse"]
    assert again.hash != value.hash
    other = Place(tmp_path / "other", place.blobs)
    assert other.tree.lay_down({"file:/kaggle/working/sparse": value}).missing == ("file:/kaggle/working/sparse",)


def test_a_file_that_never_holds_still(place):
    path = place.working / "log"
    path.touch()
    done = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"x" * 1000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        value = place.take()["file:/kaggle/working/log"]
    finally:
        done.set()
        thread.join()
    assert value.blob is None or place.blobs.read(value.blob) == path.read_bytes()[: value.summary["size"]]


def test_deep_folders(place):
    names = [f"{number:03}" + "x" * 100 for number in range(30)]
    folder = os.open(place.working, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder))
    os.close(folder)
    values = place.take()
    assert len(values) == 31
    place.tree.lay_down({})
    assert list(place.working.iterdir()) == []
    place.tree.lay_down(values)
    assert place.tree.differences(values) == []
    place.tree.forget()
    assert list(place.working.iterdir()) == []


def test_compiled_code_of_another_source_is_removed(place):
    (place.working / "m.py").write_text("X = 1")
    first = place.take()
    (place.working / "m.py").write_text("X = 2")
    (place.working / "__pycache__").mkdir()
    (place.working / "__pycache__" / "m.cpython-311.pyc").write_text("compiled")
    (place.working / "__pycache__" / "other.cpython-311.pyc").write_text("compiled")
    place.take()
    place.tree.lay_down(first)
    assert (place.working / "m.py").read_text() == "X = 1"
    assert [path.name for path in (place.working / "__pycache__").iterdir()] == ["other.cpython-311.pyc"]


def test_differences(place):
    (place.working / "a").write_text("1")
    (place.working / "b").write_text("1")
    (place.working / "c").symlink_to("a")
    values = place.take()
    (place.working / "a").write_text("2")
    (place.working / "b").write_text("22")
    (place.working / "c").unlink()
    (place.working / "d").mkdir()
    assert place.tree.differences(values) == [
        "`/kaggle/working/b` is another file than it should be",
        "`/kaggle/working/c` is not there",
        "`/kaggle/working/d` is there, and should not be",
    ]
    assert "`/kaggle/working/a` has another content than it should have" in place.tree.differences(
        values, contents=True
    )


def test_a_program_does_not_get_its_owners_rights(place):
    (place.working / "p").write_text("1")
    blob = place.blobs.put(b"evil")
    value = Value("0" * 64, blob=blob, summary={"kind": "file", "mode": 0o6755, "size": 4})
    place.tree.lay_down({"file:/kaggle/working/q": value})
    assert (place.working / "q").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("path", ["a", "é", "100%", "\udcff", "a\nb", "%41", "", "\x7f", "a b", "\U0001f600", "\u200b"])
def test_quoting(path):
    assert unquote(quote(path)) == path
    assert quote(path).isprintable() or path in ("\u200b",)
    assert watched.quoted(path) == quote(path)


def test_the_worker_leaves_out_the_same():
    seen = watched.Places({"/kaggle/working": "/w"})
    assert all(seen.is_kernels(f"/w/a/{name}/b") and seen.is_kernels(f"/w/{name}") for name in OWN_NAMES)
    assert not seen.is_kernels("/w/a/pycache")


class TestDerived:
    """What follows from what stands at paths."""

    @staticmethod
    def state(**entries: str) -> Folders:
        values = {}
        for name, content in entries.items():
            path = f"file:/w/{name}"
            if content == "folder":
                values[path] = Value(entry_hash("folder", 0o755), summary={"kind": "folder", "mode": 0o755})
            else:
                summary = {"kind": "file", "mode": 0o644, "size": len(content)}
                values[path] = Value(entry_hash("file", 0o644, len(content), content), summary=summary)
        return Folders(values)

    @pytest.mark.parametrize(
        ("reference", "same", "different"),
        [
            ("exists:/w/a", [{"a": "2"}, {"a": "1", "b": "1"}], [{}, {"a": "folder"}]),
            ("folder:/w", [{"a": "22"}, {"a": "1"}], [{}, {"a": "1", "b": "1"}, {"b": "1"}, {"a": "folder"}]),
            ("tree:/w", [{"a": "2"}], [{}, {"a": "22"}, {"a": "1", "b": "1"}, {"a": "folder", "a/b": "1"}]),
            ("files:/w", [{"a": "1"}], [{"a": "2"}, {}, {"a": "1", "b": "folder"}]),
            ("folder:/w/d", [{}, {"a": "1", "b": "1"}], [{"d": "folder"}, {"d": "folder", "d/a": "1"}]),
            ("module:/w/m", [{"a": "1"}, {"x.py": "1"}], [{"m.py": "1"}, {"m": "folder", "m/__init__.py": ""}]),
            (
                "modules:/w",
                [{"a": "1", "b": "1"}, {"d": "folder"}],
                [{"m.py": "1"}, {"m": "folder", "m/__init__.py": ""}],
            ),
        ],
    )
    def test_it_changes_when_that_changes(self, reference, same, different):
        now = self.state(a="1").hash_of(reference)
        assert [self.state(**entries).hash_of(reference) == now for entries in same] == [True] * len(same)
        assert [self.state(**entries).hash_of(reference) != now for entries in different] == [True] * len(different)
        assert (now is None) == reference.startswith(("folder:/w/d", "module")) or reference == "modules:/w"

    def test_an_empty_folder_is_not_an_absent_one(self):
        assert self.state(d="folder").hash_of("folder:/w/d") is not None
        assert self.state(a="1").hash_of("folder:/w/d") is None
