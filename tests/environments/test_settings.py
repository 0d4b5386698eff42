from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from kanoe.base.errors import InputError
from kanoe.environments.settings import dumps, index_addresses, network_settings

PLAIN = "https://pypi.org/simple"


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "UV_CONFIG_FILE",
        "UV_DEFAULT_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_INDEX",
        "UV_INDEX_URL",
        "UV_NO_CONFIG",
        "UV_NO_INDEX",
        "PIP_INDEX_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_pypi_is_asked_where_nobody_says_otherwise(tmp_path: Path) -> None:
    (index,) = network_settings(tmp_path)["index"]
    assert index["url"] == PLAIN
    assert index["default"] is True
    assert index_addresses(tmp_path) == (PLAIN,)


@pytest.mark.parametrize(
    ("name", "text", "addresses"),
    [
        ("uv.toml", 'index-url = "https://a.example/simple/"', ("https://a.example/simple",)),
        ("uv.toml", 'extra-index-url = ["https://a.example/x"]', ("https://a.example/x", PLAIN)),
        ("uv.toml", '[pip]\nindex-url = "https://a.example/p"', ("https://a.example/p",)),
        ("uv.toml", '[[index]]\nurl = "https://a.example/d"\ndefault = true', ("https://a.example/d",)),
        ("uv.toml", '[[index]]\nurl = "https://a.example/e"\nexplicit = true', (PLAIN,)),
        (
            "pyproject.toml",
            '[tool.uv]\n[[tool.uv.index]]\nname = "n"\nurl = "https://a.example/n"',
            ("https://a.example/n", PLAIN),
        ),
        ("pyproject.toml", '[tool.other]\nindex-url = "https://a.example/o"', (PLAIN,)),
    ],
)
def test_a_folders_file(name: str, text: str, addresses: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    assert index_addresses(tmp_path / "below") == addresses
    assert index_addresses(None) == (PLAIN,)


def test_a_folders_settings_come_before_the_users(tmp_path: Path) -> None:
    user = tmp_path / "config" / "uv" / "uv.toml"
    user.parent.mkdir(parents=True)
    user.write_text(
        'index-url = "https://user.example/"\nextra-index-url = ["https://both.example/2"]\noffline = true\n'
    )
    (tmp_path / "uv.toml").write_text(
        'index-url = "https://folder.example/"\nextra-index-url = ["https://both.example/1"]\nresolution = "lowest"\n'
    )
    found = network_settings(tmp_path)
    assert found == {
        "extra-index-url": ["https://both.example/1", "https://both.example/2"],
        "index-url": "https://folder.example/",
        "offline": True,
    }, "what would change the meaning of a lock is left out"
    assert network_settings(None)["index-url"] == "https://user.example/"


def test_variables_win_and_pips_settings_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.example/")
    assert index_addresses(None) == ("https://pip.example",)
    assert "index" not in network_settings(None)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/")
    monkeypatch.setenv("UV_INDEX", "mine=https://mine.example/ https://more.example")
    assert index_addresses(None) == ("https://mine.example", "https://more.example", "https://uv.example")


def test_no_files_are_read_where_the_user_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "uv.toml").write_text('index-url = "https://a.example/"')
    (tmp_path / "other.toml").write_text('index-url = "https://other.example/"')
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    assert index_addresses(tmp_path) == (PLAIN,)
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "other.toml"))
    assert index_addresses(tmp_path) == ("https://other.example",)


def test_relative_places_hold_from_everywhere(tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_text('find-links = ["wheels", "https://a.example/w"]\n[[index]]\nurl = "own"\n')
    found = network_settings(tmp_path)
    assert found["find-links"] == [str(tmp_path / "wheels"), "https://a.example/w"]
    assert found["index"][0]["url"] == str(tmp_path / "own")


@pytest.mark.parametrize("text", ["index-url = ", "\x00", "[[index]"])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "uv.toml").write_text(text)
    with pytest.raises(InputError, match=r"uv\.toml` cannot be understood") as raised:
        network_settings(tmp_path)
    assert raised.value.diagnostics[0].code == "requirement-broken"


def test_what_is_written_is_read_again() -> None:
    settings = {
        "a": 'x"\\\n\x7fé',
        "b": [1, True, "c"],
        "index": [{"url": "https://a/", "default": True, "cache-control": {"api": "max-age=6"}}],
        "none": [],
    }
    assert tomllib.loads(dumps(settings)) == settings
