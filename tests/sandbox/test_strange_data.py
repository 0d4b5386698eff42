"""Data that nobody named and that came with a stranger's notebook."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kanoe.base.errors import InputError
from kanoe.base.files import leads_to_private
from kanoe.sandbox import inputs
from kanoe.sandbox.inputs import DataSource, Known, attach_inputs


def attach(folder: Path, *given: str) -> tuple[DataSource, ...]:
    (folder / "cache").mkdir(exist_ok=True)
    (folder / "all" / "nb").mkdir(parents=True, exist_ok=True)
    return attach_inputs(given, folder / "all" / "nb", Known.of(None, ()), folder / "cache")


@pytest.mark.parametrize(
    "place",
    [
        "nb/input",
        "nb/input/titanic",
        "nb/input/titanic.zip",
        "nb/input/train.csv",
        "nb/input/competitions",
        "nb/input/competitions/titanic",
        "nb/input/datasets/alice/toy",
        "input",
        "input/titanic",
    ],
)
def test_a_link_beside_the_notebook_brings_nothing_from_elsewhere(place: str, tmp_path: Path) -> None:
    private = tmp_path / ".private"
    private.mkdir()
    (private / "key").write_text("s3cret")
    with zipfile.ZipFile(private / "key.zip", "w") as archive:
        archive.writestr("key", "s3cret")
    link = tmp_path / "all" / place
    link.parent.mkdir(parents=True)
    link.symlink_to({".zip": private / "key.zip", ".csv": private / "key"}.get(link.suffix, private))
    with pytest.raises(InputError) as raised:
        attach(tmp_path)
    (problem,) = raised.value.diagnostics
    assert problem.code == "link-outside"
    assert problem.hint is not None
    # Who names it, wants it.
    (source,) = attach(tmp_path, str(link.resolve()))
    assert source.files


@pytest.mark.parametrize(
    "target", ["/", "/etc", "/proc/self", "/var/lib", "~", "~/.ssh", "~/x/.secret/y", "..", "../..", "~/.cache/other"]
)
def test_what_is_private(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    folder = home / "work" / "nb"
    folder.mkdir(parents=True)
    (folder / "input").symlink_to(target.replace("~", str(home)))
    assert leads_to_private(folder / "input", folder)


@pytest.mark.parametrize(
    "target", ["~/data", "~/.cache/kagglehub/competitions/titanic", "../data", "/mnt/data/titanic"]
)
def test_a_link_to_data_elsewhere_is_data(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    folder = home / "work" / "nb"
    folder.mkdir(parents=True)
    (folder / "input").symlink_to(target.replace("~", str(home)))
    assert not leads_to_private(folder / "input", folder)


def test_links_inside_the_folder_are_data_as_before(tmp_path: Path) -> None:
    data = tmp_path / "all" / "nb" / "data" / "titanic"
    data.mkdir(parents=True)
    (data / "train.csv").write_text("a")
    (tmp_path / "all" / "nb" / "input").symlink_to("data")
    (source,) = attach(tmp_path)
    assert list(source.entries) == ["train.csv"]


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "bomb.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\0" * (8 << 20))
    monkeypatch.setattr(inputs, "free_bytes", lambda _folder: (512 << 20) + (4 << 20))
    with pytest.raises(InputError, match=r"8 MiB, and the disk has 4 MiB"):
        attach(tmp_path, str(place))
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) in ([], [".lock"])
    monkeypatch.undo()
    assert attach(tmp_path, str(place))
