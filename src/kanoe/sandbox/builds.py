"""Builds of source distributions inside walls: a program that stands where uv looks for Python and starts Python inside.

uv starts the interpreter that it is given to learn about it, and that of a build's own environment (a link to the same) to run a
build: `setup.py` or a backend, code of strangers. What uv does itself (the registry, its passwords, its cache) stays outside.

A build sees a copy of its sources and its environment, and nothing of uv's cache, whose files are shared by hard links. What uv asked
it to make is taken over once everything inside has ended: folders and plain files alone, never a link.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from kanoe.base.files import remove_tree
from kanoe.base.hashing import hash_text
from kanoe.sandbox.confine import Confined, Tool, choose_tool, confine
from kanoe.sandbox.layout import Folders, Layout, Link, Mount
from kanoe.sandbox.process import SandboxProcess

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kanoe.sandbox.builds import main; sys.exit(main(sys.argv[2:]))"
)
# An environment that uv has just made holds nobody's code: there walls would only cost time, in every build of an environment.
_SCRIPT = """\
#!/bin/sh
is_new() {{
    [ -z "$VIRTUAL_ENV" ] && [ -f "${{0%/*}}/../pyvenv.cfg" ] || return 1
    for one in "${{0%/*}}"/../lib*/python*/site-packages/* "${{0%/*}}"/../lib*/python*/site-packages/.*; do
        case "${{one##*/}}" in _virtualenv.* | . | .. | '*' | '.*') ;; *) return 1 ;; esac
    done
}}
if is_new && command -v bash > /dev/null; then
    exec bash -c 'exec -a "$0" "$@"' "$0" {python} "$@"
fi
exec {walls} "$PPID" "$0" "$@"
"""
# Of an installation, besides its program: where the library is, what extensions are compiled with.
_PARTS = ("include", "lib", "lib64", "libexec", "share")
# What tells compilers and build tools how to build; everything else of the user's is not told.
_KEPT = re.compile(
    r"PATH|VIRTUAL_ENV|PYTHONIOENCODING|SOURCE_DATE_EPOCH|MAX_JOBS|MAKE|CC|CXX|CPP|FC|F77|F90|AR|AS|LD|NM|RANLIB|STRIP"
    r"|[A-Z]*FLAGS|C?PATH|(?:LD_)?LIBRARY_PATH|C(?:PLUS)?_INCLUDE_PATH|CUDA_(?:HOME|PATH)|(?:CMAKE|PKG_CONFIG|SETUPTOOLS)_\w+"
)
# Where uv unpacks what it builds: `src` of a source distribution, a repository's checkout.
_SOURCES = re.compile(r".*?/(?:sdists-v\d+/(?:[^/]+/)+?src|git-v\d+/checkouts/[^/]+/[^/]+)(?=/|$)")
# What is seen inside as it is outside.
_SYSTEM = tuple(map(Path, ("/usr", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")))
_LOOK_SECONDS = 0.1


def walled_python(folder: Path, python: Path, prefix: Path, version: str, scratch: Path) -> Path:
    """Return a program that is a Python to uv, and starts that Python inside walls only; made if it is not there.

    Args:
        folder: where such programs are kept.
        python: the interpreter.
        prefix: its installation.
        version: its version.
        scratch: where the files of builds that go on are kept.

    Raises:
        OSError: it cannot be written.
    """
    # uv remembers what it learnt of a program that has not changed.
    state = python.stat()
    words = [sys.executable, "-I", "-c", _PROGRAM, str(Path(__file__).parents[2])]
    identity = hash_text("builder/3", *words, str(python), version, str(state.st_mtime_ns), str(scratch))[:16]
    place = folder / identity
    program = place / "bin" / f"python{'.'.join(version.split('.')[:2])}"
    if program.exists():
        return program
    words += [str(one) for one in (place, python, prefix, scratch)]
    part = Path(tempfile.mkdtemp(prefix=f"{identity}.", suffix=".part", dir=_made(folder)))
    try:
        _made(part / "bin")
        script = _SCRIPT.format(python=shlex.quote(str(python.resolve())), walls=shlex.join(words))
        (part / "bin" / program.name).write_text(script)
        (part / "bin" / program.name).chmod(0o755)
        part.chmod(0o755)
        for name in _PARTS:
            if (prefix / name).is_dir():
                (part / name).symlink_to(prefix / name)
        with contextlib.suppress(FileExistsError, OSError):
            part.rename(place)
    finally:
        remove_tree(part)
    program.stat()
    return program


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main(words: Sequence[str]) -> int:
    """Start Python inside walls, as uv asked for it outside.

    Args:
        words: the folder that stands for the installation, the interpreter, its prefix, the scratch folder, the number of uv's
            process, then what uv started: the path by which it did, and the arguments.
    """
    place, python, prefix, scratch, parent, program, *arguments = words
    tool = choose_tool()
    if tool.kind == "none":
        sys.stderr.write(f"nothing is built without a sandbox, and none works any more: {tool.why_not}\n")
        return 1
    # What ends uv's group would leave our files behind; that uv has ended is seen without.
    os.setsid()
    signal.signal(signal.SIGTERM, _end)
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=_made(Path(scratch))))
    try:
        task = _Task(_Python(Path(place), Path(python), Path(prefix)), Path.cwd() / program, tuple(arguments), folder)
        return task.run(tool, int(parent))
    finally:
        remove_tree(folder)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@dataclass(frozen=True, slots=True)
class _Python:
    """An interpreter, seen inside below `place` as well, so that everything in an environment made from there works."""

    place: Path
    program: Path
    prefix: Path

    def mounts(self) -> Iterator[Mount]:
        """Yield what is seen of it below its place."""
        for name in _PARTS:
            if (self.prefix / name).is_dir():
                yield Mount(self.prefix / name, str(self.place / name))
        names = {path.name for path in (self.place / "bin").iterdir()}
        yield from (Mount(self.program.resolve(), str(self.place / "bin" / name)) for name in sorted(names))

    def folders(self) -> tuple[Path, ...]:
        """Return what is seen of it at its own place."""
        return tuple(
            one for one in dict.fromkeys((self.prefix, self.prefix.resolve())) if not one.is_relative_to("/usr")
        )


@dataclass(frozen=True, slots=True)
class _Task:
    """One start of Python by uv.

    Args:
        python: which.
        program: the path by which it is started.
        arguments: what it is told; uv's program among them names what is to be made.
        folder: for this start's files.
    """

    python: _Python
    program: Path
    arguments: tuple[str, ...]
    folder: Path

    def run(self, tool: Tool, parent: int) -> int:
        """Run it inside walls to its end, or that of the process `parent`; returns the exit status."""
        environment = self._environment()
        if environment is None:
            return self._start(self._confine(tool, Path("/"), tuple(self._seen_by_a_question()), ()), parent)
        taken = _local_requirement(environment)
        if taken is not None:
            sys.stderr.write(
                f"error: its build asks for {taken}, a file or folder of this machine, which is not given away\n"
            )
            return 1
        sources = self._copied_sources()
        made = dict(self._to_be_made(environment))
        own = _made(self.folder / "environment")
        for target, private in made.items():
            if target.is_dir():
                _made(private)
        mounts = [Mount(own, str(environment), writable=True)]
        mounts += [
            Mount(path, str(path)) for path in environment.iterdir() if path not in made and not path.is_symlink()
        ]
        mounts += [
            Mount(private, str(target), writable=True)
            for target, private in made.items()
            if target.parent != environment
        ]
        mounts += [Mount(copy, str(source), writable=True) for source, copy in sources.items()]
        links = tuple(Link(str(path), str(path.readlink())) for path in environment.iterdir() if path.is_symlink())
        status = self._start(self._confine(tool, Path.cwd(), tuple(mounts), links), parent)
        for target, private in made.items():
            _take_over(private, target)
        return status

    def _environment(self) -> Path | None:
        """Return the environment of a build, or `None`: uv asks about an interpreter."""
        environment = os.environ.get("VIRTUAL_ENV")
        return Path(environment) if environment and self.program.parent.parent == Path(environment) else None

    def _seen_by_a_question(self) -> Iterator[Mount]:
        """Yield what uv's questions about an interpreter need: their program, the environment without its distributions.

        Those may have code that runs whenever Python starts.
        """
        for text in re.findall(r"""b?"(/[^"]+)\"""", " ".join(self.arguments)):
            if Path(text).is_dir():
                yield Mount(Path(text), text)
        environment = self.program.parent.parent
        if (environment / "pyvenv.cfg").is_file():
            yield Mount(environment, str(environment))
            empty = _made(self.folder / "empty")
            for modules in environment.glob("lib/python*/site-packages"):
                yield Mount(empty, str(modules))

    def _copied_sources(self) -> dict[Path, Path]:
        """Return the folder of sources that the build stands in, with a copy of it."""
        current = Path.cwd()
        match = _SOURCES.match(str(current))
        source = Path(match[0]) if match else current
        copy = self.folder / "sources"
        subprocess.run(["cp", "-a", "--", str(source), str(copy)], check=True)
        return {source: copy}

    def _to_be_made(self, environment: Path) -> Iterator[tuple[Path, Path]]:
        """Yield what uv's program names that is not there yet, or empty, with the path where the build makes it.

        Names below the environment are files with answers and a folder of metadata; beside it a wheel's folder is.
        """
        text = " ".join(self.arguments)
        beside = re.escape(str(environment.parent))
        for name in dict.fromkeys(re.findall(rf"{beside}/{re.escape(environment.name)}/([\w.-]+)", text)):
            if _is_free(environment / name):
                yield environment / name, self.folder / "environment" / name
        for name in dict.fromkeys(re.findall(rf"{beside}/(\.tmp\w+)", text)):
            if (
                name != environment.name
                and (environment.parent / name).is_dir()
                and _is_free(environment.parent / name)
            ):
                yield environment.parent / name, self.folder / "made" / name

    def _confine(self, tool: Tool, current: Path, mounts: tuple[Mount, ...], links: tuple[Link, ...]) -> Confined:
        given = Path(os.environ.get("SSL_CERT_FILE") or os.devnull)
        certificates = [given] if given.is_file() and not any(map(given.is_relative_to, _SYSTEM)) else []
        hosts = [Mount(path, str(path)) for path in (Path("/etc/hosts"),) if path.is_file()]
        layout = Layout(
            folders=Folders(*(_made(self.folder / name) for name in ("working", "scratch", "runtime"))),
            inputs=(*self.python.mounts(), *mounts, *hosts),
            links=links,
            tools=(*self.python.folders(), *certificates),
            variables={
                **{name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)},
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
            },
            internet=True,
        )
        # A shell goes there: the layout's own folder is that of notebooks.
        enter = ("/bin/sh", "-c", 'cd "$0" && exec "$@"', str(current))
        return confine(tool, layout, (*enter, str(self.program), *self.arguments))

    @staticmethod
    def _start(confined: Confined, parent: int) -> int:
        process = SandboxProcess(confined, None)
        try:
            _follow(parent, process)
            status = process.wait()
        finally:
            process.kill()
        return status if status >= 0 else 128 - status


def _local_requirement(environment: Path) -> str | None:
    """Return the address of a distribution that a build has from this machine's own files: it names what it likes, and uv takes it."""
    for record in environment.glob("lib*/python*/site-packages/*.dist-info/direct_url.json"):
        with contextlib.suppress(OSError, ValueError):
            address = str(json.loads(record.read_bytes())["url"])
            if address.lower().startswith("file:"):
                return address
    return None


def _follow(parent: int, process: SandboxProcess) -> None:
    """Let a program end when the process has ended whose child this is, however that did."""

    def look() -> None:
        while os.getppid() == parent:
            if ended.wait(_LOOK_SECONDS):
                return
        process.kill()

    ended = threading.Event()
    threading.Thread(target=look, daemon=True).start()


def _is_free(path: Path) -> bool:
    return not os.path.lexists(path) or (not path.is_symlink() and path.is_dir() and not any(path.iterdir()))


def _take_over(made: Path, target: Path) -> None:
    """Move what a build made to where uv expects it: plain files and folders of such; no link, nothing in another's place."""
    if made.is_symlink():
        return
    if made.is_dir():
        target.mkdir(exist_ok=True)
        for path in made.iterdir():
            _take_over(path, target / path.name)
    elif made.is_file() and not os.path.lexists(target):
        shutil.move(made, target)
