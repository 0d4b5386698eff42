"""What killed processes leave: found by marks and notes, removed, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from kanoe.base.files import remove_tree
from kanoe.base.processes import kill_marked, marked, owner, process_alive
from kanoe.store.alive import Trace, living
from kanoe.store.home import Store
from kanoe.store.left_over import clean_after, find_half_made

MARK = "0123456789"


def trace(store: Store, *links: str, mark: str = MARK) -> Trace:
    return Trace("gone", "run", 1, mark, 1, 0.0, tempfile.gettempdir(), links=links)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "home" / "alive").mkdir(parents=True)
    return Store(tmp_path / "home")


def age(path: Path) -> Path:
    os.utime(path, (1, 1), follow_symlinks=False)
    return path


def test_processes_of_a_dead_owner_are_killed_and_no_others() -> None:
    variables = {**os.environ, "KANOE_OWNER": MARK}
    code = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\nprint('ready', flush=True)\ntime.sleep(600)"
    theirs = subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE)
    ours = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=marked(os.environ))
    assert theirs.stdout is not None
    theirs.stdout.readline()
    try:
        assert kill_marked(MARK) == 2
        assert theirs.wait() == -9
        assert process_alive(ours.pid)
        assert kill_marked(MARK) == 0
    finally:
        ours.kill()
        ours.wait()
        theirs.stdout.close()


def test_temporary_folders_are_found_by_their_mark(store: Store) -> None:
    theirs = Path(tempfile.mkdtemp(prefix=f"kanoe-{MARK}-"))
    (theirs / "deep" / "deeper").mkdir(parents=True)
    ours = Path(tempfile.mkdtemp(prefix=f"kanoe-{owner()}-"))
    clean_after(trace(store), store.alive)
    assert not theirs.exists()
    assert ours.exists()
    remove_tree(ours)


def test_an_owner_that_lives_keeps_everything_of_its_other_lives(store: Store) -> None:
    ours = Path(tempfile.mkdtemp(prefix=f"kanoe-{owner()}-"))
    with living(store.alive, "another"):
        clean_after(trace(store, mark=owner()), store.alive)
    assert ours.exists()
    remove_tree(ours)


def test_a_link_into_the_store_is_removed_and_no_other(store: Store, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "ours").symlink_to(store.path / "scratch" / "run-x" / "input")
    (tmp_path / "theirs").symlink_to("thesis")
    names = ("ours", "theirs", "thesis", "gone")
    clean_after(trace(store, *(str(tmp_path / name) for name in names)), store.alive)
    assert sorted(os.listdir(tmp_path)) == ["home", "theirs", "thesis"]


HALF_MADE = (
    "scratch/run-x/",
    "scratch/probe-y/",
    "inputs/unpacking-abc/",
    "environments/" + "a" * 32 + ".12-ff.part/",
    "side-data/nltk/punkt-1.12-ff.part/",
    "side-data/wheel.12-ff/",
    "side-data/trees/history.12-ff/",
    "locks/.key.lock.xyz.part",
    "workers/.worker.xyz.part",
    ".version.xyz.part",
)
WHOLE = (
    "environments/" + "a" * 32 + "/",
    "environments/" + "a" * 32 + ".lock",
    "inputs/" + "b" * 64 + "/",
    "inputs/contents.sqlite",
    "runs/titanic-1/",
    "runs/titanic-1/working/.odd.part",
    "side-data/nltk/punkt-1/",
    "side-data/nltk/punkt-1/corpora/wheel.x/",
    "locks/key.lock",
    "version",
)


@pytest.mark.parametrize("name", [*HALF_MADE, *WHOLE])
def test_what_is_half_made_is_known_by_its_name_and_its_age(store: Store, name: str) -> None:
    path = store.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name.endswith("/") else path.write_text("x")
    time.sleep(0.02)
    assert [one.path for one in find_half_made(store)] == ([path] if name in HALF_MADE else [])


def test_what_may_be_of_a_living_process_is_kept(store: Store) -> None:
    before = store.path / "scratch" / "run-before"
    before.mkdir(parents=True)
    time.sleep(0.02)
    with living(store.alive, "a"):
        time.sleep(0.02)
        (store.path / "scratch" / "run-since").mkdir()
        assert [one.path for one in find_half_made(store)] == [before]
    time.sleep(0.02)
    assert len(find_half_made(store)) == 2


def deep(path: Path) -> None:
    """10,000 folders in each other: deeper than any path may be long."""
    code = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(10_000):\n    os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def closed(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "b" / "file").write_text("x")
    for folder in (path / "a" / "b", path / "a", path):
        folder.chmod(0)


def linked(path: Path) -> None:
    (path / "out").symlink_to(path.parent / "kept")
    (path / "loop").symlink_to("loop")


def odd(path: Path) -> None:
    for name in (b"-rf", b"new\nline", b"\xff\xfe", b"*", b" "):
        (path / os.fsdecode(name)).mkdir()
    os.mkfifo(path / "pipe")


@pytest.mark.parametrize("make", [deep, closed, linked, odd, lambda path: None])
def test_any_tree_is_removed_and_nothing_beside_it(tmp_path: Path, make: object) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("mine")
    tree = tmp_path / "tree"
    tree.mkdir()
    make(tree)  # type: ignore[operator]
    assert remove_tree(tree)
    assert os.listdir(tmp_path) == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "mine"


def test_files_links_and_nothing_are_removed_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    assert remove_tree(tmp_path / "file")
    assert remove_tree(tmp_path / "link")
    assert remove_tree(tmp_path / "nothing")
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount")
def test_what_is_mounted_below_is_not_emptied(tmp_path: Path) -> None:
    data, tree = tmp_path / "data", tmp_path / "tree" / "in put"
    data.mkdir()
    tree.mkdir(parents=True)
    (data / "train.csv").write_text("mine")
    if subprocess.run(["mount", "--bind", data, tree], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    assert remove_tree(tmp_path / "tree")
    assert (data / "train.csv").read_text() == "mine"
