"""Modules of the notebook's own, submodules that it imports, and what libraries held before it replaced it."""

from __future__ import annotations

import email
import importlib
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kanoe_worker.track import definitions, kinds, local_modules, reads, submodules, values

SOURCE = """\
import functools
LIMIT = 3
rows = []
def work(x): return x + LIMIT
@functools.wraps(work)
def wrapped(x): return work(x) * 2
class Tool:
    used = 0
    def use(self): return work(1)
"""


class Notebook:
    """A process's values, and a folder with a module `pair_own`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pair_own.py"
        for name in ("staging", "given"):
            (folder / name).mkdir()
        self.known = definitions.Definitions({})
        self.values = values.Values(self.known, str(folder / "staging"), str(folder / "given"))

    def load(self, source: str = SOURCE) -> Any:
        self.file.write_text(source)
        local_modules.unload("def:module:pair_own")
        importlib.invalidate_caches()
        self.known.begin(())
        module = importlib.import_module("pair_own")
        assert local_modules.look() == {"def:module:pair_own": module}
        return module

    def describe(self, **roots: Any) -> Any:
        described, _ = self.values.describe({f"name:{name}": thing for name, thing in roots.items()})
        return described

    def hash(self, module: Any) -> str:
        found: str = self.describe(module=module)["def:module:pair_own"]["hash"]
        return found


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    local_modules.watch([str(tmp_path)])
    yield Notebook(tmp_path)
    local_modules.unload("def:module:pair_own")
    local_modules.watch([])


def test_what_lies_elsewhere_is_a_library(notebook: Notebook) -> None:
    notebook.load()
    assert not local_modules.owns("json", sys.modules["json"])
    assert not local_modules.owns("__main__", sys.modules["__main__"])
    installed = notebook.file.parent / "site-packages"
    installed.mkdir()
    (installed / "pair_installed.py").write_text("")
    sys.path.insert(0, str(installed))
    try:
        assert not local_modules.owns("pair_installed", importlib.import_module("pair_installed"))
    finally:
        sys.path.remove(str(installed))
        del sys.modules["pair_installed"]


@pytest.mark.parametrize(
    "of",
    [
        lambda m: m,
        lambda m: m.work,
        lambda m: m.wrapped,
        lambda m: m.Tool,
        lambda m: [m.Tool()],
        lambda m: m.Tool().use,
    ],
)
def test_who_refers_to_it_needs_it(notebook: Notebook, of: Any) -> None:
    described = notebook.describe(value=of(notebook.load()), other=len)
    assert "def:module:pair_own" in described["name:value"]["needs"]
    assert described["name:other"]["needs"] == []


def test_equal_after_another_import(notebook: Notebook) -> None:
    before = notebook.hash(notebook.load())
    assert notebook.hash(notebook.load("# a comment\n" + SOURCE)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.rows.append(1),
        lambda m: setattr(m, "LIMIT", 4),
        lambda m: setattr(m, "more", 1),
        lambda m: setattr(m.Tool, "used", 1),
        lambda m: setattr(m.work, "note", 1),
        lambda m: setattr(m, "work", len),
        lambda m: delattr(m, "LIMIT"),
    ],
)
def test_a_change_is_seen(notebook: Notebook, change: Any) -> None:
    module = notebook.load()
    before = notebook.hash(module)
    assert notebook.hash(module) == before
    change(module)
    assert notebook.hash(module) != before


@pytest.mark.parametrize(
    ("old", "new"), [("x + LIMIT", "x - LIMIT"), ("* 2", "* 3"), ("work(1)", "work(2)"), ("= 3", "= 4")]
)
def test_its_code_counts(notebook: Notebook, old: str, new: str) -> None:
    before = notebook.hash(notebook.load())
    assert notebook.hash(notebook.load(SOURCE.replace(old, new))) != before


def test_it_has_no_bytes_and_neither_has_what_shares_its_memory(notebook: Notebook) -> None:
    module = notebook.load()
    _, groups = notebook.values.describe({"name:rows": module.rows, "name:module": module})
    kept = {member: notebook.values.keep(group)["lost"] for group in groups for member in group["members"]}
    assert kept["name:rows"] == kept["def:module:pair_own"] == "a module of the notebook's own"
    assert kept["name:module"] is None


@pytest.mark.parametrize(
    "code",
    [
        "import pair_own",
        "import pair_own.sub as x",
        "from pair_own import y",
        "from pair_own import *",
        "def f():\n    import pair_own\nf()",
        "import importlib\nimportlib.import_module('pair_own')",
        "import sys\nsys.modules['pair_own']",
    ],
)
def test_who_imports_it_reads_it(code: str) -> None:
    state: dict[str, Any] = {"def:module:pair_own": {"hash": "1", "needs": [], "mentions": {}}}
    found = reads.closure(reads.mentions_of_source(code), state)
    assert found.everything or found.definitions == {"def:module:pair_own"}
    assert not reads.closure(reads.mentions_of_source("import json"), state).definitions


class Imports:
    """Imports for a new process."""

    def __init__(self) -> None:
        self.replayed: list[str] = []

    def replay(self, name: str) -> None:
        self.replayed.append(name)


def test_a_submodule_is_there_for_who_has_the_package() -> None:
    for name in ("email.mime.audio", "wsgiref.util"):
        sys.modules.pop(name, None)
    wsgiref, _ = importlib.import_module("wsgiref"), importlib.import_module("email.mime")
    imports = Imports()
    channel = submodules.Submodules(imports)
    importlib.import_module("email.mime.audio")
    told = {"email.mime.audio", "email.mime.audio.MIMEAudio", "json.decoder", "json.loads", "os.path"}
    found, writes = channel.told(told, [email, json, wsgiref.__name__])
    assert set(found) == {"effect:submodule:email.*", "effect:submodule:json.*"}
    assert set(writes) == {"effect:submodule:email.mime.audio"}
    # In a process that has not imported it yet.
    channel = submodules.Submodules(imports)
    channel.restore({"effect:submodule:wsgiref.util": writes["effect:submodule:email.mime.audio"][1]})
    channel.expect([email, 1])
    assert imports.replayed == []
    channel.expect([wsgiref])
    assert imports.replayed == ["wsgiref.util"]
    assert "effect:submodule:wsgiref.*" in channel.told((), [])[0]
    channel.restore({"effect:submodule:wsgiref.util": None})
    channel.expect([wsgiref])
    assert imports.replayed == ["wsgiref.util"]


def test_a_name_is_that_of_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = textwrap.dedent
    monkeypatch.setitem(kinds.originals, ("textwrap", "dedent"), original)
    monkeypatch.setattr(textwrap, "dedent", str.upper)
    for name in ("staging", "given"):
        (tmp_path / name).mkdir()
    known = definitions.Definitions({})
    assert not known.is_definition(original)
    kept = values.Values(known, str(tmp_path / "staging"), str(tmp_path / "staging"))
    _, (group,) = kept.describe({"name:kept": original})
    bundle = dict(group, **kept.keep(group))
    assert kept.restore([bundle])["name:kept"] is original
