"""Where the store is, which version it has, and what is wrong with it: told clearly, and nothing is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kanoe.base.errors import UnavailableError
from kanoe.store.home import VERSION, open_store, prepare_store


def store_at(path: Path | str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KANOE_HOME", os.fspath(path))
    return Path(path)


def test_opening_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_at(tmp_path / "home", monkeypatch)
    open_store()
    assert not (tmp_path / "home").exists()


def test_a_new_store_gets_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(tmp_path / "deep" / "home", monkeypatch)
    for _ in range(2):
        prepare_store(open_store())
        assert (store / "version").read_text() == f"{VERSION}\n"


def test_a_store_of_an_older_version_is_brought_to_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_at(tmp_path, monkeypatch)
    (store / "runs" / "old").mkdir(parents=True)
    prepare_store(open_store())
    assert (store / "version").read_text() == f"{VERSION}\n"
    assert (store / "runs" / "old").is_dir()


@pytest.mark.parametrize(
    ("content", "telling"),
    [
        (f"{VERSION + 1}\n", "written by a newer Kanoe"),
        ("99", "its version is 99"),
        ("", "holds no version"),
        ("soon\n", "holds no version"),
        ("\0\xff", "holds no version"),
    ],
)
def test_a_store_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, telling: str
) -> None:
    store = store_at(tmp_path, monkeypatch)
    (store / "version").write_text(content)
    with pytest.raises(UnavailableError, match=telling) as caught:
        open_store()
    assert "KANOE_HOME" in (caught.value.diagnostics[0].hint or "")
    assert (store / "version").read_text() == content
    assert os.listdir(store) == ["version"]


@pytest.mark.parametrize("kind", ["file", "below a file", "dangling link", "link to a file", "no such user"])
def test_what_cannot_be_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "link").symlink_to("file")
    places = {
        "file": tmp_path / "file",
        "below a file": tmp_path / "file" / "home",
        "dangling link": tmp_path / "nowhere",
        "link to a file": tmp_path / "link",
        "no such user": "~nobody-of-that-name/home",
    }
    store_at(places[kind], monkeypatch)
    with pytest.raises(UnavailableError) as caught:
        open_store()
    (problem,) = caught.value.diagnostics
    assert problem.code == "store-unusable"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["with space", "ünï", os.fsdecode(b"odd-\xff"), "a'b\"c$d", "-x", "new\nline"])
def test_odd_names_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    store = store_at(tmp_path / name, monkeypatch)
    prepare_store(open_store())
    assert (store / "version").exists()
    (tmp_path / "link").symlink_to(store)
    store_at(tmp_path / "link", monkeypatch)
    prepare_store(open_store())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_folder_of_somebody_else() -> None:
    """As the user nobody: a store that cannot be read, and one that can only be read."""
    code = (
        "import os\n"
        "from kanoe.base.errors import KanoeError\n"
        "from kanoe.store.home import open_store, prepare_store\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: prepare_store(open_store())\n"
        "except KanoeError as problem: print(problem.diagnostics[0].message)\n"
    )
    with tempfile.TemporaryDirectory() as home:
        for mode, telling in ((0o700, "cannot be read"), (0o755, "cannot be written")):
            Path(home).chmod(mode)
            env = {**os.environ, "KANOE_HOME": home}
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
            assert telling in done.stdout, (done.stdout, done.stderr)
