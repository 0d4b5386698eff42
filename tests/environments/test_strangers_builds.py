"""A stranger's source distribution is built inside walls: nothing that its code does reaches the host."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from registry import File, Registry, wheel

from kanoe.base.errors import CancelledError, UnavailableError
from kanoe.base.stop import Stop
from kanoe.environments.build import Environment, environment_for
from kanoe.environments.interpreters import Interpreter, own_interpreter
from kanoe.environments.lock import Lock
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve
from kanoe.sandbox.confine import SandboxKind, choose_tool
from kanoe.store.home import Store
from kanoe.verbs.builders import walled

STRANGER = Path(__file__).with_name("stranger.py").read_text()
# What uv takes where nothing names a backend: it runs `setup.py` as setuptools does.
LEGACY = """
import runpy, types
def build_wheel(*arguments): return runpy.run_path("setup.py")["build_wheel"](*arguments)
def prepare_metadata_for_build_wheel(*arguments):
    return runpy.run_path("setup.py")["prepare_metadata_for_build_wheel"](*arguments)
__legacy__ = types.SimpleNamespace(**globals())
"""
IN_TREE = '[build-system]\nrequires = ["tool"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# A build chooses its walls itself; here they are told.
ONLY = (
    "from kanoe.sandbox.builds import main;",
    'from kanoe.sandbox import builds, confine; builds.choose_tool = lambda: confine.choose_tool("@KIND@"); main = builds.main;',
)


def packed(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"stranger-1.0/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Host:
    """A host with things to take, and what a stranger knows of it."""

    def __init__(self, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: SandboxKind) -> None:
        self.registry = registry
        self.folder = folder
        self.store = Store(folder / "store")
        self.number = f"9{os.getpid()}{os.urandom(3).hex()}".translate(str.maketrans("abcdef", "123456"))
        self.temporary = Path(tempfile.mkdtemp(prefix="kanoe-test-"))
        home = folder / "home"
        (home / ".config").mkdir(parents=True)
        (home / "secret").write_text("hunter2")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("SECRET_TOKEN", "hunter2")
        monkeypatch.setenv("CFLAGS", "-O1")
        self.cache = folder / "cache"
        monkeypatch.setenv("UV_CACHE_DIR", str(self.cache))
        registry.add("tool", "1.0")
        registry.add("frames", "1.0")
        registry.projects["setuptools"] = [
            File("setuptools-75.0-py3-none-any.whl", self._setuptools(), "2020-01-01"),
        ]
        self.interpreter = walled(own_interpreter(), self.store)
        program = self.interpreter.builder
        program.write_text(program.read_text().replace(*ONLY).replace("@KIND@", kind))
        self.other = self.build(self.lock(Requirement("frames")))
        self.before = self.state()

    @staticmethod
    def _setuptools() -> bytes:
        return wheel("setuptools", "75.0", {"setuptools/__init__.py": "", "setuptools/build_meta.py": LEGACY})

    def stranger(self, form: str) -> bytes:
        known = {
            "home": str(self.folder / "home"),
            "secret": str(self.folder / "home" / "secret"),
            "cache": str(self.cache),
            "store": str(self.store.path),
            "temporary": str(self.temporary),
            "other": str(self.other.path),
            "file": str(self.other.modules / "frames" / "__init__.py"),
            "tool": "tool" if form == "in-tree" else "setuptools",
            "number": self.number,
        }
        code = STRANGER.replace("@KNOWN@", json.dumps(known))
        return packed(
            {"backend.py": code, "pyproject.toml": IN_TREE} if form == "in-tree" else {"setup.py": code},
        )

    def lock(self, *requirements: Requirement, interpreter: Interpreter | None = None) -> Lock:
        return resolve(
            Needs(requirements), interpreter or self.interpreter, kernel=(), cache=self.store.locks, folder=self.folder
        )

    def build(self, lock: Lock, interpreter: Interpreter | None = None) -> Environment:
        return environment_for(lock, interpreter or self.interpreter, store=self.store.environments)

    def state(self) -> dict[str, Any]:
        """What must stay as it is: the home, the other environment, uv's copies of its files and of what builds."""
        kept = [self.folder / "home", self.other.path]
        files = [path for folder in kept for path in sorted(folder.rglob("*"))]
        files += [path for path in (self.cache / "archive-v0").rglob("frames/*")]
        return {str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None) for path in files}

    def strange_files(self) -> list[str]:
        found = [path for place in (self.folder, self.temporary) for path in place.rglob("*")]
        links = [path for path in found if path.is_symlink() and path.readlink() == self.folder / "home"]
        return [str(path) for path in found if path.name == "stranger-was-here"] + [str(path) for path in links]

    def changed_tools(self) -> list[Path]:
        found = [path for name in ("tool", "setuptools") for path in self.cache.rglob(f"{name}/__init__.py")]
        return [path for path in found if "changed" in path.read_text() or path.stat().st_mode & 0o002]

    def living(self) -> list[str]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                try:
                    command = Path("/proc", name, "cmdline").read_bytes()
                except OSError:
                    continue
                found += [name] if self.number.encode() in command else []
        return found

    def check(self) -> None:
        """Nothing of a stranger's is there."""
        assert self.state() == self.before
        assert self.strange_files() == []
        assert self.changed_tools() == []
        assert self.living() == []
        assert list(self.store.scratch.iterdir()) == []


@pytest.fixture(params=["bubblewrap", pytest.param("namespaces", marks=pytest.mark.slow)])
def host(
    request: pytest.FixtureRequest, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    kind: SandboxKind = request.param
    if choose_tool(kind).kind != kind:
        pytest.skip(f"{kind} does not work here")
    found = Host(registry, tmp_path, monkeypatch, kind)
    yield found
    found.check()
    found.temporary.rmdir()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server of plain files."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def said(environment: Environment) -> dict[str, str]:
    code = "import stranger, json; print(json.dumps(stranger.found))"
    return dict(json.loads(subprocess.check_output([environment.python, "-I", "-c", code])))


def broken_out(found: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if value and not name.startswith("why not")}


@pytest.mark.parametrize("form", ["in-tree", "setup.py"])
@pytest.mark.parametrize("origin", ["registry", "address"])
def test_a_build_reaches_nothing_of_the_host(host: Host, form: str, origin: str, address: str, tmp_path: Path) -> None:
    if origin == "registry":
        host.registry.add_file("stranger", File("stranger-1.0.tar.gz", host.stranger(form), "2020-01-01"))
        asked = Requirement("stranger")
    else:
        (tmp_path / "served" / "stranger-1.0.tar.gz").write_bytes(host.stranger(form))
        asked = Requirement("stranger", url=f"{address}stranger-1.0.tar.gz")
    lock = host.lock(asked)
    host.check()
    environment = host.build(lock)
    found = said(environment)
    assert len(found) > 10
    assert broken_out(found) == {}


def taking(place: Path) -> bytes:
    """A stranger whose build asks for a folder of this machine."""
    project = IN_TREE.replace('"tool"', json.dumps(f"private @ file://{place}"))
    return packed({"backend.py": STRANGER, "pyproject.toml": project})


def test_a_build_is_not_given_what_lies_on_this_machine(host: Host) -> None:
    private = host.folder / "private"
    private.mkdir()
    (private / "pyproject.toml").write_text(IN_TREE.replace('"tool"', "") + '[project]\nname="private"\nversion="1"\n')
    (private / "backend.py").write_text(STRANGER.replace("@KNOWN@", "{}").replace("stranger", "private"))
    host.registry.add_file("stranger", File("stranger-1.0.tar.gz", taking(private), "2020-01-01"))
    with pytest.raises(UnavailableError) as caught:
        host.build(host.lock(Requirement("stranger")))
    assert caught.value.diagnostics[0].code == "build-failed"
    assert f"file://{private}" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("forgets", [False, True])
def test_what_runs_whenever_python_starts_does_not_run_outside(
    host: Host, monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    if forgets:  # then uv asks the interpreter anew each time
        monkeypatch.setenv("UV_NO_CACHE", "1")
    start = f"import os; open({str(host.folder / 'stranger-was-here')!r}, 'w').close()\n"
    modules = {"ready.py": "", "ready.pth": start}
    host.registry.add("ready", "1.0", modules=modules)
    host.registry.add("later", "1.0", hashes=False)
    lock = host.lock(Requirement("ready"), Requirement("later"))
    lock = replace(
        lock, distributions=tuple(replace(one, hashes=()) if one.name == "later" else one for one in lock.distributions)
    )
    host.build(lock)


def test_an_honest_build_is_as_it_is_without_walls(host: Host) -> None:
    host.registry.add_file("stranger", File("stranger-1.0.tar.gz", host.stranger("in-tree"), "2020-01-01"))
    inside = host.build(host.lock(Requirement("frames"), Requirement("stranger")))
    outside = environment_for(inside.lock, own_interpreter(), store=host.folder / "plain")

    def content(environment: Environment) -> dict[str, Any]:
        found = {path.relative_to(environment.path): path for path in environment.path.rglob("*")}
        return {str(name): _content(path) for name, path in found.items() if path.suffix != ".lock"}

    assert content(inside) == content(outside)
    assert (inside.modules / "frames" / "__init__.py").stat().st_nlink > 1


def _content(path: Path) -> Any:
    return path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()


def test_a_build_ends_with_kanoe(host: Host) -> None:
    slow = packed({"backend.py": "import time\ntime.sleep(600)\n", "pyproject.toml": IN_TREE})
    host.registry.add_file("stranger", File("stranger-1.0.tar.gz", slow, "2020-01-01"))
    stop = Stop()
    threading.Thread(target=lambda: (_wait_for(lambda: any(host.store.scratch.iterdir())), stop.request())).start()
    with pytest.raises(CancelledError):
        resolve(Needs((Requirement("stranger"),)), host.interpreter, kernel=(), cache=host.store.locks, stop=stop)
    _wait_for(lambda: not any(host.store.scratch.iterdir()))


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()
