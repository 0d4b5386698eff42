"""A folder that came with a stranger's notebook: what its files may say, and what they must not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from registry import Registry

from kanoe.base.errors import InputError
from kanoe.environments.binder import read_binder_files
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve
from kanoe.environments.settings import network_settings
from kanoe.verbs.environment import _module_path


@pytest.mark.parametrize(
    "text",
    [
        'cache-dir = "/elsewhere"',
        'keyring-provider = "subprocess"',
        'allow-insecure-host = ["pypi.org"]',
        'https-proxy = "http://stranger.example"',
        "native-tls = true",
        "offline = true",
        'link-mode = "symlink"',
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_a_folder_says_where_distributions_are_and_nothing_of_this_machine(
    text: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("UV_CONFIG_FILE", "UV_NO_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    place = tmp_path / "config" / "uv" if own else tmp_path / "notebooks"
    place.mkdir(parents=True)
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    (place / "uv.toml").write_text(f'extra-index-url = ["https://a.example/x"]\n{text}\n')
    found = network_settings(tmp_path / "notebooks")
    assert found["extra-index-url"] == ["https://a.example/x"]
    assert (text.split(maxsplit=1)[0] in found) is own


def test_what_one_folders_registries_say_is_no_answer_for_another(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("numbers", "1.0")
    strange = Registry()
    monkeypatch.delenv("UV_NO_CONFIG")
    try:
        strange.add("numbers", "9.0")
        folders = {name: tmp_path / name for name in ("strange", "mine")}
        for folder in folders.values():
            folder.mkdir()
        (folders["strange"] / "uv.toml").write_text(f'extra-index-url = ["{strange.url}"]\n')
        found = {}
        for name, folder in folders.items():
            needs = Needs((Requirement("numbers", why=("somebody",)),))
            lock = resolve(needs, own_interpreter(), kernel=(), cache=tmp_path / "locks", folder=folder)
            found[name] = [one.version for one in lock.distributions if one.name == "numbers"]
        assert found == {"strange": ["9.0"], "mine": ["1.0"]}
    finally:
        strange.close()


def test_files_without_an_end_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "apt.txt").symlink_to("/dev/zero")
    assert read_binder_files(tmp_path) == ()
    (tmp_path / "apt.txt").unlink()
    os.mkfifo(tmp_path / "apt.txt")
    assert read_binder_files(tmp_path) == ()


@pytest.mark.parametrize("name", ["helper.py", "helper"])
def test_a_module_that_is_a_link_to_elsewhere_is_not_given_away(name: str, tmp_path: Path) -> None:
    (tmp_path / "nb").mkdir()
    (tmp_path / ".private").mkdir()
    (tmp_path / ".key").write_text("s3cret")
    (tmp_path / "nb" / name).symlink_to(tmp_path / (".key" if name.endswith(".py") else ".private"))
    with pytest.raises(InputError, match="is not given away unasked"):
        _module_path(tmp_path / "nb", "helper")
    (tmp_path / "nb" / name).unlink()
    (tmp_path / "nb" / "true.py").write_text("")
    (tmp_path / "nb" / "helper.py").symlink_to("true.py")
    assert _module_path(tmp_path / "nb", "helper").name == "helper.py"
