from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from registry import File as Sent
from registry import Registry as Server
from registry import sdist

from kanoe.base.errors import UnavailableError
from kanoe.environments.registry import File, Project, Registry, offers

PYTHON = ".".join(map(str, sys.version_info[:3]))
CP = f"cp{sys.version_info[0]}{sys.version_info[1]}"
OWN = f"{CP}-{CP}-linux_{os.uname().machine}"


@pytest.fixture
def ask(registry: Server, tmp_path: Path) -> Registry:
    return Registry(tmp_path / "memory")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("numpy-1.14.2-cp36-cp36m-manylinux1_x86_64.whl", "1.14.2"),
        ("tool-1.0-1-py3-none-any.whl", "1.0"),
        ("tool-1.0.tar.gz", "1.0"),
        ("my-tool-2017.8.zip", "2017.8"),
        ("pandas-0.10.0rc1.tar.gz", "0.10.0rc1"),
        ("old-1.0-beta1.tar.gz", "1.0-beta1"),
        ("pandas-0.10.0.win32-py2.7.exe", None),
        ("tool.tar.gz", None),
        ("", None),
    ],
)
def test_the_version_in_a_files_name(name: str, version: str | None) -> None:
    assert File(name, "").version == version


def test_a_project_is_remembered(registry: Server, ask: Registry, tmp_path: Path) -> None:
    registry.add("frames", "1.0", uploaded="2020-01-02")
    found = ask.project("frames")
    assert found is not None
    (file,) = found.files
    assert (file.name, file.uploaded) == ("frames-1.0-py3-none-any.whl", "2020-01-02T12:00:00Z")
    assert file.url.startswith(registry.url.removesuffix("simple/"))
    registry.asked.clear()
    assert ask.project("frames") == found
    assert Registry(tmp_path / "memory").project("frames") == found
    assert registry.asked == []


def test_a_memory_grows_old_or_breaks(registry: Server, ask: Registry, tmp_path: Path) -> None:
    registry.add("frames", "1.0")
    ask.project("frames")
    (memory,) = (tmp_path / "memory").iterdir()
    os.utime(memory, (time.time() - 100_000,) * 2)
    registry.add("frames", "2.0")
    assert len(Registry(tmp_path / "memory").project("frames").files) == 2
    memory.write_text("[[1]]")
    assert len(Registry(tmp_path / "memory").project("frames").files) == 2


def test_what_is_not_there(ask: Registry) -> None:
    assert ask.project("absent") is None


def test_nobody_answers(tmp_path: Path, registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:secret@127.0.0.1:9/simple/")
    with pytest.raises(UnavailableError) as raised:
        Registry(tmp_path).project("frames")
    (found,) = raised.value.diagnostics
    assert found.code == "registry-unreachable"
    assert "127.0.0.1" in found.message
    assert "secret" not in found.message


def test_a_registry_in_html_or_a_folder(tmp_path: Path, registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "simple" / "frames" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        '<html><a href="../../f/frames-1.0-py3-none-any.whl#sha256=00" data-upload-time="2020-01-02T03:04:05Z"\n'
        ' data-requires-python="&gt;=3.6">frames-1.0-py3-none-any.whl</a><br/>'
        "<A HREF='frames-2.0.tar.gz' data-yanked=\"\">frames-2.0.tar.gz</A></html>"
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "simple").as_uri())
    found = Registry(tmp_path / "memory").project("frames")
    assert found is not None
    first, second = found.files
    assert (first.requires_python, first.uploaded, first.yanked) == (">=3.6", "2020-01-02T03:04:05Z", False)
    assert (second.version, second.uploaded, second.yanked) == ("2.0", None, True)


def test_a_wheels_metadata_and_modules(registry: Server, ask: Registry) -> None:
    registry.add("frames", "1.0", "numbers (>=2011k)")
    (file,) = ask.project("frames").files
    assert "Requires-Dist: numbers (>=2011k)" in ask.metadata(file)
    assert "frames/__init__.py" in ask.modules(file)


def test_a_file_that_is_no_wheel(registry: Server, ask: Registry) -> None:
    registry.add_file("frames", Sent("frames-1.0.tar.gz", sdist("frames", "1.0", ""), "2020-01-01"))
    (file,) = ask.project("frames").files
    with pytest.raises(UnavailableError):
        ask.metadata(file)


FILES = {
    "own": (f"t-1.0-{OWN}.whl", {}, {}, ["1.0"]),
    "any": ("t-1.0-py2.py3-none-any.whl", {}, {}, ["1.0"]),
    "abi3": (f"t-1.0-cp36-abi3-linux_{os.uname().machine}.whl", {}, {}, ["1.0"]),
    "another Python": (f"t-1.0-cp36-cp36m-linux_{os.uname().machine}.whl", {}, {}, []),
    "another system": (f"t-1.0-{CP}-{CP}-win_amd64.whl", {}, {}, []),
    "sdist": ("t-1.0.tar.gz", {}, {}, ["1.0"]),
    "sdist, no build": ("t-1.0.tar.gz", {}, {"build": False}, []),
    "yanked": ("t-1.0-py3-none-any.whl", {"yanked": True}, {}, []),
    "too new a Python": ("t-1.0-py3-none-any.whl", {"requires_python": ">=9"}, {}, []),
    "nonsense of a Python": ("t-1.0-py3-none-any.whl", {"requires_python": ">=3.x"}, {}, ["1.0"]),
    "a version that will do": ("t-1.0-py3-none-any.whl", {}, {"specifier": ">=1"}, ["1.0"]),
    "one that will not": ("t-1.0-py3-none-any.whl", {}, {"specifier": ">=2"}, []),
    "a candidate alone": ("t-1.0rc1-py3-none-any.whl", {}, {}, ["1.0rc1"]),
    "an installer": ("t-1.0.win32-py3.8.exe", {}, {}, []),
}


@pytest.mark.parametrize("case", FILES)
def test_what_a_python_can_have(case: str) -> None:
    name, more, options, wanted = FILES[case]
    project = Project("t", "", (File(name, "", "2020-01-01T00:00:00Z", **more),))
    assert [one.version for one in offers(project, PYTHON, **options)] == wanted


def test_offers_are_sorted_by_day_and_know_the_first_file_of_a_release() -> None:
    rows = [("t-2.0.tar.gz", "2021-05"), ("t-2.0-py3-none-any.whl", "2021-06"), ("t-1.1-py3-none-any.whl", "2022-01")]
    project = Project("t", "", tuple(File(name, "", f"{day}-01T00:00:00Z") for name, day in rows))
    found = offers(project, PYTHON)
    assert [(one.version, one.uploaded[:7], one.is_ready) for one in found] == [
        ("2.0", "2021-05", True),
        ("1.1", "2022-01", True),
    ]
    assert json.dumps([one.version for one in offers(project, PYTHON, build=False)]) == '["2.0", "1.1"]'
    assert not project.is_compiled
