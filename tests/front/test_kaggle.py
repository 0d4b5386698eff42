"""`kernel-metadata.json`, as Kaggle's command writes it and as people change it."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.base.errors import InputError
from kanoe.front.kaggle import metadata_beside, read_metadata
from kanoe.ir.source import KernelMetadata

PULLED = {
    "id": "alice/titanic-eda",
    "id_no": 1234,
    "title": "Titanic EDA",
    "code_file": "titanic-eda.ipynb",
    "language": "python",
    "kernel_type": "notebook",
    "is_private": False,
    "enable_gpu": False,
    "enable_tpu": False,
    "enable_internet": True,
    "keywords": ["eda"],
    "dataset_sources": ["bob/more-data", "bob/other/3"],
    "kernel_sources": ["carol/features"],
    "competition_sources": ["titanic"],
    "model_sources": ["google/gemma/keras/gemma_2b_en/3"],
    "docker_image": "gcr.io/kaggle-images/python@sha256:00",
    "machine_shape": "None",
}


def write(folder, value):
    (folder / "kernel-metadata.json").write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_what_pull_writes(tmp_path):
    assert read_metadata(write(tmp_path, PULLED)) == KernelMetadata(
        id="alice/titanic-eda",
        id_no=1234,
        title="Titanic EDA",
        code_file="titanic-eda.ipynb",
        language="python",
        kernel_type="notebook",
        enable_internet=True,
        competition_sources=("titanic",),
        dataset_sources=("bob/more-data", "bob/other/3"),
        kernel_sources=("carol/features",),
        model_sources=("google/gemma/keras/gemma_2b_en/3",),
        docker_image="gcr.io/kaggle-images/python@sha256:00",
        machine_shape="None",
        other={"is_private": False, "keywords": ["eda"]},
    )


def test_none_and_nothing(tmp_path):
    assert read_metadata(tmp_path) is None
    assert read_metadata(write(tmp_path, {})) == KernelMetadata()
    assert read_metadata(write(tmp_path, dict.fromkeys(PULLED))) == KernelMetadata(
        other={"is_private": None, "keywords": None}
    )


def test_a_template_says_nothing(tmp_path):
    template = {
        "id": "alice/INSERT_KERNEL_SLUG_HERE",
        "title": "INSERT_TITLE_HERE",
        "code_file": "INSERT_CODE_FILE_PATH_HERE",
        "language": "Pick one of: {python,r,rmarkdown}",
        "kernel_type": "Pick one of: {script,notebook}",
        "is_private": "true",
        "dataset_sources": [],
        "enable_internet": "true",
    }
    assert read_metadata(write(tmp_path, template)) == KernelMetadata(
        enable_internet=True, other={"is_private": "true"}
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("enable_internet", "true", True),
        ("enable_internet", "False", False),
        ("enable_internet", "", None),
        ("enable_gpu", "TRUE", True),
        ("id_no", "77", 77),
        ("docker_image", "", None),
        ("competition_sources", [], ()),
        ("competition_sources", ["titanic/"], ("titanic",)),
        ("dataset_sources", [""], ()),
        ("model_sources", ["a/b/c/d"], ("a/b/c/d",)),
    ],
)
def test_forms_of_a_value(tmp_path, key, value, expected):
    assert getattr(read_metadata(write(tmp_path, {key: value})), key) == expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("enable_internet", "yes", "true or false"),
        ("enable_internet", 1, "true or false"),
        ("enable_gpu", [], "true or false"),
        ("id", 3, "text"),
        ("code_file", ["a.ipynb"], "text"),
        ("id_no", "x", "whole number"),
        ("id_no", True, "whole number"),
        ("id_no", 1.5, "whole number"),
        ("competition_sources", "titanic", 'a list such as ["titanic"]'),
        ("competition_sources", ["a/b"], "a list such as"),
        ("competition_sources", [".."], "a list such as"),
        ("competition_sources", ["/"], "a list such as"),
        ("dataset_sources", ["slug"], 'a list such as ["owner/slug"]'),
        ("dataset_sources", ["../../etc"], "a list such as"),
        ("dataset_sources", [{"a": 1}], "a list such as"),
        ("dataset_sources", {"a": "b/c"}, "a list such as"),
        ("kernel_sources", ["a/b/c/d"], "a list such as"),
        ("model_sources", ["a/b"], "a list such as"),
    ],
)
def test_wrong_values_name_their_key(tmp_path, key, value, words):
    with pytest.raises(InputError) as caught:
        read_metadata(write(tmp_path, {**PULLED, key: value}))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "metadata-broken"
    assert f"`{key}` must be" in diagnostic.message
    assert words in diagnostic.message
    assert diagnostic.place == str(tmp_path / "kernel-metadata.json")


def test_all_wrong_keys_are_told_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        read_metadata(write(tmp_path, {"id": 1, "enable_gpu": 2, "title": "good"}))
    assert len(caught.value.diagnostics) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("{", "line 1 column 2"),
        ("[]", "JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"id": }', "column 8"),
    ],
)
def test_what_is_no_metadata(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_metadata(write(tmp_path, text))
    assert caught.value.diagnostics[0].code == "metadata-broken"
    assert words in caught.value.diagnostics[0].message


def test_not_utf_8(tmp_path):
    (tmp_path / "kernel-metadata.json").write_bytes(b'{"title": "\xe9"}')
    with pytest.raises(InputError, match="UTF-8"):
        read_metadata(tmp_path)
    (tmp_path / "kernel-metadata.json").write_bytes('\ufeff{"title": "é"}'.encode())
    assert read_metadata(tmp_path) == KernelMetadata(title="é")


@pytest.mark.parametrize(
    ("code_file", "counts"),
    [
        ("a.ipynb", True),
        ("./a.ipynb", True),
        (None, True),
        ("INSERT_CODE_FILE_PATH_HERE", True),
        ("b.ipynb", False),
        ("sub/a.ipynb", False),
        ("a\0", False),
    ],
)
def test_beside_a_file(tmp_path, code_file, counts):
    (tmp_path / "a.ipynb").touch()
    write(tmp_path, {"code_file": code_file, "enable_gpu": True})
    found = metadata_beside(tmp_path / "a.ipynb")
    assert (found is not None and found.enable_gpu) == counts


def test_what_belongs_to_another_file_is_not_judged(tmp_path):
    write(tmp_path, {"code_file": "b.ipynb", "enable_gpu": "no"})
    assert metadata_beside(tmp_path / "a.ipynb") is None


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2))  # fmt: skip


def test_any_metadata_is_read_or_refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metadata")

    @given(st.dictionaries(st.sampled_from([*PULLED, "other"]), JSON, max_size=4))
    def check(values):
        write(folder, values)
        try:
            found = read_metadata(folder)
        except InputError as fault:
            assert fault.diagnostics  # noqa: PT017
        else:
            assert all(
                ".." not in source.split("/")
                for field in fields(found)
                if field.name.endswith("_sources")
                for source in getattr(found, field.name)
            )

    check()
