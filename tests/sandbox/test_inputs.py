"""From `--input`, folders and zip files to what stands below /kaggle/input."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from kanoe.base.errors import InputError
from kanoe.ir.source import KernelMetadata
from kanoe.sandbox.inputs import DataSource, Known, attach_inputs, is_provided, place_inputs

TITANIC = ["/kaggle/input/titanic/train.csv"]
OLDEST = ["/kaggle/input/train.csv"]


def tree(folder: Path, files: Sequence[str]) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def zipped(path: Path, members: Mapping[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def attach(
    tmp_path: Path, given: Sequence[str] = (), paths: Sequence[str] = (), metadata: KernelMetadata | None = None
) -> tuple[DataSource, ...]:
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "nb").mkdir(exist_ok=True)
    return attach_inputs(given, tmp_path / "nb", Known.of(metadata, paths), tmp_path / "cache")


def links(sources: Sequence[DataSource], paths: Sequence[str] = ()) -> dict[str, str]:
    return {link.target.removeprefix("/kaggle/input/"): link.to for link in place_inputs(sources, paths)[1]}


@pytest.mark.parametrize(
    ("files", "paths", "places"),
    [
        (["input/titanic/train.csv"], TITANIC, ["competitions/titanic"]),
        (["nb/input/titanic/train.csv"], TITANIC, ["competitions/titanic"]),
        (["input/train.csv", "input/test.csv"], TITANIC, ["competitions/titanic"]),
        (["input/train.csv", "input/images/1.png"], TITANIC, ["competitions/titanic"]),
        (["input/README.md", "input/titanic/train.csv"], TITANIC, ["competitions/titanic"]),
        (["input/a/x.csv", "input/b/y.csv"], [], ["competitions/a", "competitions/b"]),
        (
            ["input/competitions/titanic/train.csv", "input/datasets/alice/toy/t.csv", "input/notebooks/bob/nb/o.csv"],
            [],
            ["competitions/titanic", "datasets/alice/toy", "notebooks/bob/nb"],
        ),
        (["input/models/google/gemma/keras/2b/1/m.bin"], [], ["models/google/gemma/keras/2b/1"]),
        (["input/toy/t.csv"], ["/kaggle/input/datasets/alice/toy/t.csv"], ["datasets/alice/toy"]),
        ([], TITANIC, []),
        (["input/.DS_Store"], TITANIC, []),
    ],
)
def test_the_input_folder_beside_or_above(
    tmp_path: Path, files: list[str], paths: list[str], places: list[str]
) -> None:
    tree(tmp_path, files)
    assert [source.place for source in attach(tmp_path, paths=paths)] == places


def test_the_folder_beside_wins_over_the_one_above(tmp_path: Path) -> None:
    tree(tmp_path, ["input/far/a.csv", "nb/input/near/a.csv"])
    assert [source.slug for source in attach(tmp_path)] == ["near"]


@pytest.mark.parametrize(
    ("slug", "paths", "metadata", "place"),
    [
        ("", TITANIC, None, "competitions/titanic"),  # the one slug that the notebook names
        ("", [], None, "competitions/data"),
        (":toy", [], None, "competitions/toy"),
        (":alice/toy", [], None, "datasets/alice/toy"),
        (":datasets/alice/toy", [], None, "datasets/alice/toy"),
        (":notebooks/bob/nb", [], None, "notebooks/bob/nb"),
        (":toy", [], KernelMetadata(dataset_sources=("alice/toy/3",)), "datasets/alice/toy"),
        (":gemma", [], KernelMetadata(model_sources=("google/gemma/keras/2b/1",)), "models/google/gemma/keras/2b/1"),
        ("", [], KernelMetadata(competition_sources=("titanic",)), "competitions/titanic"),
        ("", ["/kaggle/input/a/x", "/kaggle/input/b/x"], None, "competitions/data"),  # two names: no guess
    ],
)
def test_the_place_of_a_given_folder(
    tmp_path: Path, slug: str, paths: list[str], metadata: KernelMetadata | None, place: str
) -> None:
    tree(tmp_path / "data", ["train.csv"])
    (source,) = attach(tmp_path, [f"{tmp_path}/data{slug}"], paths, metadata)
    assert source.place == place


def test_single_files_given_together_are_one_source(tmp_path: Path) -> None:
    tree(tmp_path / "d", ["train.csv", "test.csv"])
    sources = attach(tmp_path, [f"{tmp_path}/d/train.csv", f"{tmp_path}/d/test.csv"], OLDEST)
    assert len(sources) == 1
    assert set(links(sources, OLDEST)) >= {"train.csv", "test.csv"}


def test_a_name_with_blanks_and_a_colon(tmp_path: Path) -> None:
    tree(tmp_path / "my: data", ["a.csv"])
    (source,) = attach(tmp_path, [f"{tmp_path}/my: data"])
    assert source.entries["a.csv"].read_text() == "a.csv"


def test_a_zip_file_is_unpacked_once(tmp_path: Path) -> None:
    path = zipped(tmp_path / "titanic.zip", {"train.csv": "1", "sub/x.csv": "2"})
    (first,) = attach(tmp_path, [str(path)])
    (second,) = attach(tmp_path, [str(path)])
    assert first == second
    assert first.place == "competitions/titanic"
    assert (first.entries["sub"] / "x.csv").read_text() == "2"
    zipped(path, {"train.csv": "changed"})
    (third,) = attach(tmp_path, [str(path)])
    assert third.entries["train.csv"].read_text() == "changed"


def test_a_single_file_zipped_as_kaggle_does(tmp_path: Path) -> None:
    path = zipped(tmp_path / "train.csv.zip", {"train.csv": "1"})
    (source,) = attach(tmp_path, [str(path)], OLDEST)
    assert source.entries["train.csv"].read_text() == "1"


def test_a_zip_file_in_the_input_folder(tmp_path: Path) -> None:
    zipped(tmp_path / "input" / "titanic.zip", {"train.csv": "1"})
    assert [source.place for source in attach(tmp_path)] == ["competitions/titanic"]
    tree(tmp_path, ["input/titanic/train.csv"])
    assert [source.given for source in attach(tmp_path)] == [str(tmp_path / "input" / "titanic")]


def test_a_hostile_zip_file_writes_nowhere_else(tmp_path: Path) -> None:
    path = zipped(tmp_path / "evil.zip", {"../outside.txt": "x", "/abs.txt": "x", "fine.txt": "x"})
    (source,) = attach(tmp_path, [str(path)])
    assert list(source.entries) == ["fine.txt"]
    assert not (tmp_path / "outside.txt").exists()
    assert not (tmp_path / "cache" / "outside.txt").exists()


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (["absent"], "input-missing", "absent"),
        (["dat"], "input-missing", "Did you mean"),
        (["absent:slug"], "input-missing", "absent"),
        (["data:../up"], "input-kind", "no slug"),
        (["data:"], "input-kind", "no slug"),
        (["broken.zip"], "input-kind", "unpacked"),
        (["data:toy", "other:toy"], "input-clash", "toy"),
        (["data/train.csv", "other/train.csv"], "input-clash", "train.csv"),
        (["/dev/null"], "input-kind", "/dev/null"),
    ],
)
def test_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], code: str, says: str) -> None:
    tree(tmp_path, ["data/train.csv", "other/train.csv"])
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not a zip")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        attach(tmp_path, given)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert says in f"{diagnostic.message} {diagnostic.hint}"
    assert not list((tmp_path / "cache").glob("unpacking-*"))


def test_the_flat_form_is_a_link_to_the_nested_one(tmp_path: Path) -> None:
    tree(tmp_path, ["input/titanic/train.csv"])
    assert links(attach(tmp_path), TITANIC) == {"titanic": "competitions/titanic"}


def test_two_sources_of_one_name_keep_apart(tmp_path: Path) -> None:
    tree(tmp_path, ["a/x.csv", "b/x.csv"])
    sources = attach(tmp_path, [f"{tmp_path}/a:competitions/titanic", f"{tmp_path}/b:alice/titanic"])
    assert links(sources) == {"titanic": "competitions/titanic", "d/alice/titanic": "../../datasets/alice/titanic"}


@pytest.mark.parametrize(
    ("paths", "oldest"),
    [
        (OLDEST, True),
        (["/kaggle/input/*.csv"], True),
        (["/kaggle/input", "/kaggle/input/train.csv"], True),
        (TITANIC, False),
        (["/kaggle/input/competitions/titanic/train.csv"], False),
        (["/kaggle/input"], False),  # a walk over the folder must meet each file once
        (["/kaggle/input/titanic", "/kaggle/input/train.csv"], True),
        ([], True),
    ],
)
def test_the_oldest_form_only_where_cells_read_it(tmp_path: Path, paths: list[str], oldest: bool) -> None:
    tree(tmp_path, ["input/titanic/train.csv"])
    assert ("train.csv" in links(attach(tmp_path), paths)) is oldest


@pytest.mark.parametrize(
    ("path", "provided"),
    [
        ("/kaggle/input/titanic/train.csv", True),
        ("/kaggle/input/competitions/titanic/train.csv", True),
        ("/kaggle/input/train.csv", True),
        ("/kaggle/input/titanic/*.csv", True),
        ("/kaggle/input/titanic/*.png", False),
        ("/kaggle/input/titanic/sub/x.csv", True),
        ("/kaggle/input/titanic/absent.csv", False),
        ("/kaggle/input/house/train.csv", False),
        ("/kaggle/input/competitions", True),
        ("/kaggle/input", True),
        ("/kaggle/working/x.csv", True),
    ],
)
def test_what_is_provided(tmp_path: Path, path: str, provided: bool) -> None:
    tree(tmp_path, ["input/titanic/train.csv", "input/titanic/sub/x.csv"])
    assert is_provided(path, attach(tmp_path, paths=TITANIC)) is provided
