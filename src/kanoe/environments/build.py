"""Virtual environments: one per lock and interpreter, built beside and renamed, then never changed.

An environment is believed only if its last file is there, which says what it is. Files are hard links into uv's cache
where both stand on one file system.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, Severity, error
from kanoe.base.errors import InputError, UnavailableError
from kanoe.base.files import exclusive, exclusive_if_free, mark_used, remove_tree, replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.processes import check_stop
from kanoe.base.sizes import show_size
from kanoe.base.stop import Stop
from kanoe.environments.complaints import read_complaint
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import Distribution, Lock
from kanoe.environments.needs import Requirement
from kanoe.environments.rules import build_settings
from kanoe.environments.settings import torch_index
from kanoe.environments.uv import Progress, quiet, run_uv
from kanoe.environments.versions import normalise

_FORM = 1  # of an environment's folder
_MARKER = "kanoe-environment.json"
_UNFINISHED = ".part"
_USUAL_SPEED = 8e6  # bytes a second, until a build has shown the true one
_ANY_INDEX = "unsafe-best-match"  # hashes hold the files fast
_TORCH_HINT = (
    "They come from PyTorch's own index, https://download.pytorch.org/whl: name a mirror that this machine reaches with"
    " `KANOE_TORCH_INDEX`, or take the registry's builds: `KANOE_TORCH_INDEX= kanoe env lock SOURCE`"
)
_UNITS = {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that holds exactly what a lock says.

    Args:
        id: the hash of what is installed and on which interpreter.
        path: its folder.
        python: its interpreter.
        lock: what it was built from.
        interpreter: the base that it stands on; its prefix holds the standard library.
    """

    id: str
    path: Path
    python: Path
    lock: Lock
    interpreter: Interpreter

    @property
    def programs(self) -> Path:
        """The folder of its programs, for `PATH`."""
        return self.path / "bin"

    @property
    def modules(self) -> Path:
        """The folder that its distributions are installed in."""
        return self.path / "lib" / f"python{self.interpreter.short}" / "site-packages"


def environment_id(lock: Lock, interpreter: Interpreter) -> str:
    """Return the hash of what an environment holds: two locks that differ only in reasons share one."""
    parts = [os.path.realpath(interpreter.path), interpreter.version]
    for one in lock.distributions:
        parts += [one.name, one.version, one.url or "", *_state(one.url), *one.hashes, ""]
    proofs = [f"{one.name}:{','.join(one.modules)}" for one in _guesses(lock)]
    return hash_text(f"environment/{_FORM}", *parts, *proofs)[:32]


def _state(url: str | None) -> Iterator[str]:
    """Yield what stands for the content of a local file or folder, which no hash in the lock holds fast."""
    if url is None or not url.startswith("file://"):
        return
    path = Path(url.removeprefix("file://").partition("#")[0])
    for root, folders, names in os.walk(path) if path.is_dir() else [(str(path.parent), [], [path.name])]:
        folders[:] = sorted(folder for folder in folders if not folder.startswith(".") and folder != "__pycache__")
        for name in sorted(names):
            with contextlib.suppress(OSError):
                status = Path(root, name).stat()
                yield f"{root}/{name} {status.st_size} {status.st_mtime_ns}"


def environment_for(
    lock: Lock,
    interpreter: Interpreter,
    *,
    store: Path,
    folder: Path | None = None,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Environment:
    """Return the environment of a lock; build it if it is not there.

    Safe under any number of Kanoe processes: one builds, the others wait for it. A build that ends early leaves nothing
    that is believed, and what it leaves is removed by the next build.

    Args:
        lock: what to install.
        interpreter: of the lock's Python version.
        store: the folder of the environments.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use; `None`: the user's own only.
        progress: called with the part that is done (`None`: unknown) and what is being done.
        stop: ends it.

    Raises:
        InputError: a guessed distribution does not provide the import; a file is not the one that the lock names.
        UnavailableError: the registry does not answer, a distribution cannot be built, the disk is full.
        CancelledError: `stop` was requested.
    """
    identity = environment_id(lock, interpreter)
    path = store / identity
    environment = Environment(identity, path, path / "bin" / "python", lock, interpreter)
    if not (store.is_dir() and mark_used(path) and _is_whole(environment)):
        with _storing(store), exclusive(store / f"{identity}.lock", _Waiting(progress, stop)):
            if not _is_whole(environment):
                _remove_leftovers(store, path)
                _Build(environment, folder, progress, stop).run()
    return environment


def _is_whole(environment: Environment) -> bool:
    """Return whether the environment was built to its end, and its base interpreter is still there."""
    try:
        said = json.loads((environment.path / _MARKER).read_bytes())
    except (OSError, ValueError):
        return False
    return said == _marker(environment) and environment.python.exists()


def _marker(environment: Environment) -> dict[str, object]:
    interpreter = environment.interpreter
    return {
        "kanoe-environment": _FORM,
        "id": environment.id,
        "python": interpreter.version,
        "distributions": len(environment.lock.distributions),
    }


class _Waiting:
    """Says once that another Kanoe builds, and hears a stop."""

    def __init__(self, progress: Progress, stop: Stop | None) -> None:
        self._progress = progress
        self._stop = stop
        self._told = False

    def __call__(self) -> None:
        if not self._told:
            self._told = True
            self._progress(None, "another Kanoe builds this environment; waiting for it")
        check_stop(self._stop)


@contextlib.contextmanager
def _storing(store: Path) -> Iterator[None]:
    """Turn trouble with the store's disk into a diagnostic."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as cause:
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT)
        message = "the disk is full" if full else f"Kanoe's folder cannot be used: {cause.strerror or cause}"
        hint = (
            "Free some space, or set `KANOE_HOME` to another disk"
            if full
            else "Set `KANOE_HOME` to a folder that you can write"
        )
        raise UnavailableError(error("store-unusable", message, place=str(store), hint=hint)) from cause


def _remove_leftovers(store: Path, path: Path) -> None:
    """Remove what builds left that ended early: this environment's, whose lock we hold, and those that nobody holds."""
    if path.exists():
        # Renamed first: a folder that is half removed must not look like an environment.
        path.rename(store / f"{path.name}.old-{time.time_ns():x}{_UNFINISHED}")
    for left in store.glob(f"*{_UNFINISHED}"):
        identity = left.name.partition(".")[0]
        if identity == path.name:
            remove_tree(left)
            continue
        with exclusive_if_free(store / f"{identity}.lock") as free:
            if free:
                remove_tree(left)


class _Build:
    """One build, in a folder of its own."""

    def __init__(self, environment: Environment, folder: Path | None, progress: Progress, stop: Stop | None) -> None:
        self._environment = environment
        self._lock = environment.lock
        self._folder = folder
        self._progress = progress
        self._stop = stop
        self._path = environment.path.with_name(f"{environment.id}.{os.getpid()}-{time.time_ns():x}{_UNFINISHED}")

    def run(self) -> None:
        """Build, prove, mark, rename."""
        try:
            meter = _Meter(self._lock, self._environment.path.parent / "speed.json", self._progress)
            self._uv(
                [
                    "venv",
                    "--relocatable",
                    "--no-project",
                    "--python",
                    str(self._environment.interpreter.path),
                    str(self._path),
                ]
            )
            with _building(self._path, self._environment.interpreter):
                self._install_all(meter)
            meter.finish()
            self._prove()
            replace_file(self._path / _MARKER, json.dumps(_marker(self._environment)).encode())
            self._path.rename(self._environment.path)
        except BaseException:
            remove_tree(self._path)
            raise

    def _install_all(self, meter: _Meter) -> None:
        hashed = [one for one in self._lock.distributions if one.hashes]
        bare = [one for one in self._lock.distributions if not one.hashes]
        builds = {one.name: _build_of(one, self._folder) for one in hashed}
        self._install([one for one in hashed if builds[one.name] is None], ["--require-hashes"], meter)
        for build in sorted({build for build in builds.values() if build is not None}):
            options = ["--default-index", torch_index(self._folder, build) or "", "--index-strategy", _ANY_INDEX]
            labelled = [one for one in hashed if builds[one.name] == build]
            self._install(labelled, ["--require-hashes", *options], meter, _TORCH_HINT)
        self._install(bare, [], meter)

    def _install(
        self, distributions: list[Distribution], options: list[str], meter: _Meter, hint: str | None = None
    ) -> None:
        if not distributions:
            return
        text = "".join(
            f"{' '.join([_pinned(one), *(f'--hash={value}' for value in one.hashes)])}\n" for one in distributions
        )
        command = ["pip", "install", "-r", "-", "--python", str(self._path / "bin" / "python"), "--no-deps", *options]
        for one in _guesses(self._lock):
            command += ["--only-binary", one.name]
        self._uv(command, text, meter.take, hint)

    def _uv(
        self,
        command: list[str],
        text: str | None = None,
        on_line: Callable[[str], None] | None = None,
        hint: str | None = None,
    ) -> None:
        done = run_uv(
            [*command, "--no-python-downloads"],
            folder=self._folder,
            text=text,
            own=build_settings(self._lock.as_of, self._environment.interpreter.minor),
            on_line=on_line,
            stop=self._stop,
        )
        if done.returncode != 0:
            complaint = read_complaint(done.stderr)
            asked = [one for one in self._lock.distributions if one.name in complaint.names]
            place = "; ".join(f"{one.name}: {', '.join(one.why)}" for one in asked) or None
            failure = InputError if complaint.available else UnavailableError
            raise failure(Diagnostic(complaint.code, Severity.ERROR, complaint.message, place, hint or complaint.hint))

    def _prove(self) -> None:
        """Check that every distribution which was only guessed provides the import that it was guessed from."""
        site = self._path / "lib" / f"python{self._environment.interpreter.short}" / "site-packages"
        unproven = []
        for requirement in _guesses(self._lock):
            files = _installed_files(site, requirement.name)
            missing = [module for module in requirement.modules if not _provides(files, module)]
            if missing:
                unproven.append(_unproven(requirement, missing))
        if unproven:
            raise InputError(*unproven)


@contextlib.contextmanager
def _building(environment: Path, interpreter: Interpreter) -> Iterator[None]:
    """Let an environment stand on the interpreter that builds while the body installs."""
    link, settings = environment / "bin" / "python", environment / "pyvenv.cfg"
    target, text = link.readlink(), settings.read_text(encoding="utf-8")
    builder = interpreter.builder
    if builder == interpreter.path:
        yield
        return
    _point(link, builder)
    settings.write_text(re.sub(r"(?m)^home = .*$", lambda _: f"home = {builder.parent}", text), encoding="utf-8")
    yield
    _point(link, target)
    settings.write_text(text, encoding="utf-8")


def _point(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)


def _build_of(distribution: Distribution, folder: Path | None) -> str | None:
    """Return the label of a build that PyTorch's own index has, `cpu`; `None` where it comes from the registry."""
    label = re.search(r"\+(cpu|cu\d+)$", distribution.version)
    is_there = label is not None and distribution.url is None and torch_index(folder, label[1]) is not None
    return label[1] if label and is_there else None


def _pinned(distribution: Distribution) -> str:
    if distribution.url is not None:
        return f"{distribution.name} @ {distribution.url}"
    return f"{distribution.name}=={distribution.version}"


def _guesses(lock: Lock) -> list[Requirement]:
    return [one for one in lock.requirements if one.guessed and one.url is None and lock.find(one.name) is not None]


def _unproven(requirement: Requirement, missing: list[str]) -> Diagnostic:
    modules = " and ".join(f"`{module}`" for module in missing)
    return error(
        "distribution-unproven",
        f"the registry's `{requirement.name}` does not provide {modules}: it is somebody else's",
        place="; ".join(requirement.why) or None,
        hint=f"Name the distribution that has {modules}: `--with NAME`; put a module of your own beside the source",
    )


def _installed_files(site: Path, name: str) -> set[str]:
    """Return the paths that a distribution installed, relative to the folder of modules (its `RECORD`, PEP 376)."""
    for information in site.glob("*.dist-info"):
        if normalise(information.name.removesuffix(".dist-info").rpartition("-")[0]) == name:
            with contextlib.suppress(OSError):
                lines = (information / "RECORD").read_text(encoding="utf-8", errors="replace").splitlines()
                return {line.rsplit(",", 2)[0].strip('"') for line in lines}
    return set()


def _provides(files: set[str], module: str) -> bool:
    """Return whether files hold a module. Below a package with `__init__.py` a further name may be a value."""
    path = ""
    for part in module.split("."):
        path = f"{path}{part}"
        start = f"{path}/"
        if f"{start}__init__.py" in files or any(
            re.fullmatch(re.escape(path) + r"\.(?:py|[^/]*so|pyd)", one) for one in files
        ):
            return True
        if not any(one.startswith(start) for one in files):
            return False
        path = start
    return True


class _Meter:
    """Tells how far a build is, from uv's lines: `Downloading numpy (16.1MiB)`, ` Downloaded numpy`."""

    def __init__(self, lock: Lock, memory: Path, progress: Progress) -> None:
        self._memory = memory
        self._progress = progress
        self._count = len(lock.distributions)
        self._announced: dict[str, float] = {}
        self._done: set[str] = set()
        self._shown = 0.0
        self._speed = self._recall()
        self._begin = time.monotonic()
        self._last = self._begin
        size = f", at most {show_size(lock.size)} to download" if lock.size > 1e6 else ""
        size += f" ({_duration(lock.size / self._speed)})" if size else ""
        self._progress(None, f"building the environment: {self._count} distributions{size}")

    def take(self, line: str) -> None:
        """Take a line of uv's stderr."""
        words = line.split()
        if not words:
            return
        if words[0] == "Downloading" and len(words) >= 2:
            self._announced[words[1]] = _bytes_of(words[2]) if len(words) > 2 else 0.0
        elif words[0] == "Downloaded" and len(words) >= 2:
            self._done.add(words[1])
            self._last = time.monotonic()
        elif words[0] == "Building" and len(words) >= 2:
            self._progress(self._fraction(), f"building {words[1]} from source")
            return
        elif words[0] == "Prepared":
            self._progress(0.9, f"installing {self._count} distributions")
            return
        else:
            return
        self._tell()

    def _tell(self) -> None:
        total, done = sum(self._announced.values()), self._downloaded()
        left = max(0.0, total - done) / self._rate()
        text = f"downloading {len(self._announced) - len(self._done)} of {self._count} distributions"
        estimate = f", about {_duration(left)} left" if total - done > 0 else ""
        self._progress(self._fraction(), f"{text}: {show_size(done)} of {show_size(total)}{estimate}")

    def _fraction(self) -> float | None:
        total = sum(self._announced.values())
        if not total:
            return None
        # The rest is for linking the files; what is announced late must not turn the bar back.
        self._shown = max(self._shown, 0.9 * self._downloaded() / total)
        return self._shown

    def _downloaded(self) -> float:
        return sum(self._announced.get(name, 0.0) for name in self._done)

    def _rate(self) -> float:
        seconds = self._last - self._begin
        return max(1e4, self._downloaded() / seconds) if seconds > 1 and self._done else self._speed

    def _recall(self) -> float:
        try:
            speed = float(json.loads(self._memory.read_bytes())["bytes per second"])
        except (OSError, ValueError, KeyError, TypeError):
            return _USUAL_SPEED
        return speed if speed > 1e4 else _USUAL_SPEED

    def finish(self) -> None:
        """Say that everything is installed; remember the speed of a download that says something."""
        if self._downloaded() > 5e6 and self._last > self._begin:
            with contextlib.suppress(OSError):
                replace_file(self._memory, json.dumps({"bytes per second": round(self._rate())}).encode())
        self._progress(1.0, f"installed {self._count} distributions")


def _bytes_of(text: str) -> float:
    match = re.match(r"\(?([\d.]+)\s*([KMG]?i?B)", text)
    return float(match[1]) * _UNITS.get(match[2], 1.0) if match else 0.0


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
