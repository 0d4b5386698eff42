"""The Python interpreters of this machine, and which of them an environment gets.

Looked for: Kanoe's own base interpreter, the version folders of pyenv, asdf and mise, uv's managed ones, `PATH`, the
system's folders, conda. Scripts are left out: the shims of pyenv and asdf answer for the folder they are called in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, error, info
from kanoe.base.errors import InputError, UnavailableError
from kanoe.base.files import replace_file
from kanoe.base.stop import Stop
from kanoe.environments.uv import run_uv
from kanoe.environments.versions import is_specifier, version_fits

OLDEST = (3, 6)

_QUERY = """\
import sys
v = sys.version_info
n = "" if v[3] == "final" else {"alpha": "a", "beta": "b", "candidate": "rc"}[v[3]] + str(v[4])
print("\\t".join([sys.implementation.name, "%d.%d.%d" % v[:3] + n, sys.prefix, sys.base_prefix]))
"""
_VERSION = re.compile(r"(?:c?python-?)?v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.\*)?$", re.IGNORECASE)
_PROGRAM = re.compile(r"python(?:3(?:\.\d+)?)?$")
_VERSION_FOLDERS = (  # variable that moves the root, the root, where its versions stand
    ("PYENV_ROOT", "~/.pyenv", "versions"),
    ("ASDF_DATA_DIR", "~/.asdf", "installs/python"),
    ("MISE_DATA_DIR", "~/.local/share/mise", "installs/python"),
    ("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python", "."),
)
_SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")
_CONDA_BASES = tuple(
    f"{place}/{name}"
    for place in ("~", "/opt", "~/opt")
    for name in ("conda", "miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba")
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython outside any virtual environment.

    Args:
        path: the program as it was found, absolute.
        version: the full version, `3.11.7`.
        prefix: the folder of the installation, with its standard library.
        walled: returns a program to be started in its place where code of strangers runs: when distributions are built.
            `None`: it is started itself.
    """

    path: Path
    version: str
    prefix: Path
    walled: Callable[[], Path] | None = field(default=None, compare=False, repr=False)

    @property
    def builder(self) -> Path:
        """What uv is given to build distributions with."""
        return self.path if self.walled is None else self.walled()

    @property
    def minor(self) -> tuple[int, int]:
        """The version's first two numbers."""
        return self.numbers[0], self.numbers[1]

    @property
    def short(self) -> str:
        """The version's first two numbers as text: `3.11`."""
        return "{}.{}".format(*self.minor)

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The version's three numbers."""
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", self.version)
        assert match is not None
        return int(match[1]), int(match[2]), int(match[3])

    @property
    def final(self) -> bool:
        """Whether this is a release, not an alpha, beta or candidate."""
        return self.version == "{}.{}.{}".format(*self.numbers)


def own_interpreter() -> Interpreter:
    """Return the interpreter that Kanoe itself stands on; starts no process."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info.releaselevel != "final":
        version += {"alpha": "a", "beta": "b"}.get(sys.version_info.releaselevel, "rc") + str(sys.version_info.serial)
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    candidates = (getattr(sys, "_base_executable", None), os.path.join(sys.base_prefix, "bin", name), sys.executable)  # noqa: PTH118
    path = next(path for path in candidates if path and os.path.exists(path))  # noqa: PTH110
    return Interpreter(Path(path), version, Path(sys.base_prefix))


def choose_interpreter(
    wanted: str | None, why: str | None = None, *, memory: Path | None = None, stop: Stop | None = None
) -> Interpreter:
    """Return the interpreter for an environment.

    Args:
        wanted: a version (`3.8`, `3.8.18`), a PEP 440 specifier (`>=3.9,<3.12`), a path of a program or of an
            environment's folder; `None`: Kanoe's own base interpreter. Of several that fit a version the newest is
            taken; a specifier takes Kanoe's own if it fits, else the newest.
        why: who asks: `--python`, `pyproject.toml requires-python`.
        memory: a file that remembers the versions of programs: none is started that has not changed.
        stop: ends a download.

    Raises:
        InputError: `python-version`: it cannot be understood, or is older than 3.6.
        UnavailableError: `python-missing`: it is not there and could not be brought.
        CancelledError: `stop` was requested.
    """
    if wanted is None:
        return own_interpreter()
    text = wanted.strip()
    if "/" in text or text.startswith(("~", ".")):
        return _at_path(Path(text).expanduser().absolute(), why, memory)
    specifier = _read_wanted(text, why)
    found = find_interpreters(memory)
    fitting = _fitting(found, specifier)
    if not fitting and _bring(text, specifier, stop):
        fitting = _fitting(find_interpreters(memory), specifier)
    if not fitting:
        raise UnavailableError(_missing(text, why, found))
    if not re.search(r"^\D*\d+\.\d+", text) or _VERSION.match(text) is None:
        fitting = fitting[:1] if fitting[0].path == own_interpreter().path else fitting
    return max(fitting, key=lambda interpreter: (interpreter.final, interpreter.numbers))


def choose_near(
    wanted: str | None, *, memory: Path | None = None, stop: Stop | None = None
) -> tuple[Interpreter, Diagnostic | None]:
    """Return the interpreter for an environment whose Python was inferred, and a remark where it is another one.

    A version that is not there is brought if that can be done. Else the nearest newer one is taken (old releases of
    the libraries have wheels for the next Python more often than new ones for the last), else the nearest older one.

    Args:
        wanted: a version such as `3.6`; `None`: Kanoe's own base interpreter.
        memory: as for `choose_interpreter`.
        stop: ends a download.

    Raises:
        CancelledError: `stop` was requested.
    """
    match = _VERSION.match(wanted or "")
    if wanted is None or match is None or match[2] is None:
        return own_interpreter(), None
    minor = (int(match[1]), int(match[2]))
    found = [one for one in find_interpreters(memory) if one.final]
    if not any(one.minor == minor for one in found) and minor >= OLDEST and _bring(wanted, f"=={wanted}.*", stop):
        found = [one for one in find_interpreters(memory) if one.final]
    if not found:
        return own_interpreter(), None
    newer = [one.minor for one in found if one.minor >= minor]
    best = min(newer) if newer else max(one.minor for one in found)
    taken = max((one for one in found if one.minor == best), key=lambda one: one.numbers)
    if best == minor:
        return taken, None
    hint = f"To have Python {wanted}, install it (`pyenv install {wanted}`); to settle it: `--python {taken.short}`"
    message = f"the notebook is of Python {wanted}, which is not on this machine; {taken.version} is the nearest"
    return taken, info("python-near", message, hint=hint)


def python_fits(wanted: str, version: str) -> bool:
    """Return whether an interpreter's full version is one that was asked for; a path fits any.

    Raises:
        InputError: `python-version`: what is wanted cannot be understood.
    """
    return "/" in wanted or _fits(version, _read_wanted(wanted, None))


def find_interpreters(memory: Path | None = None) -> tuple[Interpreter, ...]:
    """Return every CPython of 3.6 or newer that is found, Kanoe's own first, each installation once.

    Args:
        memory: as for `choose_interpreter`.
    """
    own = own_interpreter()
    found = {os.path.realpath(own.path): own}
    for interpreter in _Questions(memory).ask(_programs()):
        if interpreter.minor >= OLDEST:
            found.setdefault(os.path.realpath(interpreter.path), interpreter)
    return tuple(found.values())


def _fitting(found: Iterable[Interpreter], specifier: str) -> list[Interpreter]:
    return [interpreter for interpreter in found if _fits(interpreter.version, specifier)]


def _fits(version: str, specifier: str) -> bool:
    # The usual request, `==3.8.*`, needs no library.
    return (
        version.startswith(specifier[2:-1])
        if re.match(r"==[\d.]+\.\*$", specifier)
        else version_fits(version, specifier)
    )


def _read_wanted(text: str, why: str | None) -> str:
    """Return what versions are meant, as a specifier: `3.8` means every 3.8."""
    match = _VERSION.match(text)
    if match is not None:
        version = ".".join(part for part in match.groups() if part is not None)
        specifier = f"=={version}" if match[3] is not None else f"=={version}.*"
    elif text and is_specifier(text):
        specifier = text
    else:
        raise InputError(
            error(
                "python-version",
                f"`{text}` is not a Python version",
                place=why,
                hint="Write `3.11`, `3.8.18` or `>=3.9,<3.12`",
            )
        )
    if not any(_fits(f"3.{minor}.{patch}", specifier) for minor in range(OLDEST[1], 30) for patch in range(30)):
        hint = "Kanoe runs notebooks on Python 3.6 and newer; write `3.11` or `>=3.9`"
        raise InputError(error("python-version", f"Python {text} is not supported", place=why, hint=hint))
    return specifier


def _at_path(path: Path, why: str | None, memory: Path | None) -> Interpreter:
    """Return the interpreter at a path that the user gave: a program, or a folder with `bin/python`."""
    program = path / "bin" / "python" if path.is_dir() else path
    found = list(_Questions(memory).ask([str(program)]))
    if not found:
        what = "is not a Python interpreter that works" if program.exists() else "does not exist"
        raise UnavailableError(
            error(
                "python-missing",
                f"`{path}` {what}",
                place=why,
                hint="Give a version instead, for example `--python 3.11`",
            )
        )
    if found[0].minor < OLDEST:
        raise InputError(
            error(
                "python-version",
                f"`{path}` is Python {found[0].version}; Kanoe runs notebooks on 3.6 and newer",
                place=why,
            )
        )
    return found[0]


def _bring(text: str, specifier: str, stop: Stop | None) -> bool:
    """Let uv download an interpreter; whether it did. Users forbid it with uv's own `UV_PYTHON_DOWNLOADS=never`."""
    if os.environ.get("UV_PYTHON_DOWNLOADS") in ("never", "false", "0") or os.environ.get("UV_OFFLINE"):
        return False
    match = _VERSION.match(text)
    if match is None:
        minors = [minor for minor in range(20, 7, -1) if _fits(f"3.{minor}.30", specifier)]
        request = next((f"3.{minor}" for minor in minors if minor <= sys.version_info[1]), None)
    else:
        request = ".".join(part for part in match.groups() if part is not None)
    if request is None:
        return False
    # Links in a folder of the user's PATH would be a surprise.
    extra = {"UV_PYTHON_INSTALL_BIN": "0", "UV_HTTP_RETRIES": os.environ.get("UV_HTTP_RETRIES", "1")}
    return run_uv(["python", "install", request], variables=extra, stop=stop).returncode == 0


def _missing(text: str, why: str | None, found: Sequence[Interpreter]) -> Diagnostic:
    versions = sorted({interpreter.numbers for interpreter in found}, reverse=True)
    wanted = re.search(r"3\.(\d+)", text)
    near = min(versions, key=lambda numbers: abs(numbers[1] - int(wanted[1]))) if wanted else versions[0]
    install = (
        f"`uv python install {text}` where the network allows, or pyenv" if _VERSION.match(text) else "with uv or pyenv"
    )
    return error(
        "python-missing",
        f"no Python {text} is on this machine, and uv could not bring it; there is "
        + ", ".join("{}.{}.{}".format(*numbers) for numbers in versions),
        place=why,
        hint=f"Install it ({install}), or take another: `--python {near[0]}.{near[1]}`",
    )


def _programs() -> Iterator[str]:
    """Yield the paths where an interpreter may stand, the preferred first; scripts are not among them."""
    for variable, root, below in _VERSION_FOLDERS:
        base = os.path.join(os.environ.get(variable) or _uv_root(variable, root), below)  # noqa: PTH118
        for version in sorted(_names(base)):
            yield f"{base}/{version}/bin/python"
            yield f"{base}/{version}/bin/python3"
    for folder in dict.fromkeys([*os.environ.get("PATH", "").split(os.pathsep), *_SYSTEM_FOLDERS]):
        if os.path.isabs(folder) and os.path.basename(folder) != "shims":  # noqa: PTH117, PTH119
            yield from (f"{folder}/{name}" for name in sorted(_names(folder), reverse=True) if _PROGRAM.match(name))
    for base in dict.fromkeys(_conda_bases()):
        yield f"{base}/bin/python"
        yield from (f"{base}/envs/{name}/bin/python" for name in sorted(_names(f"{base}/envs")))


def _uv_root(variable: str, root: str) -> str:
    data = os.environ.get("XDG_DATA_HOME")
    if data and variable.startswith("UV_"):
        return f"{data}/uv/python"
    return os.path.expanduser(root)  # noqa: PTH111


def _conda_bases() -> Iterator[str]:
    environment = os.environ.get("CONDA_PREFIX")
    if environment:
        yield environment
    program = os.environ.get("CONDA_EXE") or os.environ.get("MAMBA_EXE")
    if program:
        yield os.path.dirname(os.path.dirname(program))  # noqa: PTH120
    yield from (os.path.expanduser(base) for base in _CONDA_BASES)  # noqa: PTH111
    with contextlib.suppress(OSError):
        yield from (Path.home() / ".conda" / "environments.txt").read_text().split("\n")[:-1]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


class _Questions:
    """Asks programs what they are, and remembers the answers by real path, inode, size and time."""

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory
        self._answers: dict[str, list[str] | None] = {}
        if memory is not None:
            with contextlib.suppress(OSError, ValueError):
                self._answers = _read_answers(memory)

    def ask(self, programs: Iterable[str]) -> Iterator[Interpreter]:
        """Yield an interpreter for each program that is one, or an environment on one; each installation once."""
        known = dict(self._answers)
        seen = set()
        for program in programs:
            key = _key(program)
            if key is None or key in seen:
                continue
            seen.add(key)
            if key not in self._answers:
                self._answers[key] = _question(program)
            answer = self._answers[key]
            if answer is not None:
                yield Interpreter(Path(answer[0]), answer[1], Path(answer[2]))
        if self._answers != known:
            self._remember()

    def _remember(self) -> None:
        if self._memory is not None:
            with contextlib.suppress(OSError):
                self._memory.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self._memory, json.dumps({"version": 1, "programs": self._answers}, indent=0).encode())


def _read_answers(memory: Path) -> dict[str, list[str] | None]:
    content = json.loads(memory.read_bytes())
    if not isinstance(content, Mapping) or content.get("version") != 1 or not isinstance(content.get("programs"), dict):
        raise ValueError("not a memory of interpreters")
    answers: dict[str, list[str] | None] = {}
    for key, answer in content["programs"].items():
        if answer is None or (
            isinstance(answer, list) and len(answer) == 3 and all(isinstance(part, str) for part in answer)
        ):
            answers[key] = answer
    return answers


def _key(program: str) -> str | None:
    """Return what stands for this state of a program; `None` if it is not there or cannot be run.

    A virtual environment's program is a link to its base, whose answer holds for it too: it leads to the base.
    """
    try:
        real = os.path.realpath(program, strict=True)
        status = os.stat(real)  # noqa: PTH116
    except OSError:
        return None
    if not status.st_mode & 0o111 or not os.path.isfile(real):  # noqa: PTH113
        return None
    return f"{real}\0{status.st_ino}\0{status.st_size}\0{status.st_mtime_ns}"


def _question(program: str) -> list[str] | None:
    """Return path, version and prefix of the base installation; `None` for a script, PyPy, or what does not run."""
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            if file.read(2) == b"#!":
                return None
        done = subprocess.run(
            [program, "-I", "-S", "-c", _QUERY], capture_output=True, timeout=20, stdin=subprocess.DEVNULL, check=True
        )
        name, version, prefix, base = done.stdout.decode().rstrip("\n").split("\t")
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if name != "cpython":
        return None
    if prefix != base:
        program = f"{base}/bin/python{version.split('.')[0]}.{version.split('.')[1]}"
        if not os.path.exists(program):  # noqa: PTH110
            return None
    return [program, version, base]
