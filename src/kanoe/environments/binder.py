"""The files of a Binder repository besides those that pip and conda know (https://repo2docker.readthedocs.io, configuration files)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, info, warning
from kanoe.environments.programs import SANDBOX_PATH
from kanoe.environments.tables import read_pairs

_FOLDERS = ("binder", ".binder")
_PROGRAMS = ("postBuild", "start", "Dockerfile")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]*$")


def declaration_folder(folder: Path) -> Path:
    """Return where the declarations of a source's folder stand: in its `binder` or `.binder` if there is one, as Binder has it."""
    return next((place for name in _FOLDERS if (place := folder / name).is_dir()), folder)


def read_binder_files(
    folder: Path, which: Callable[[str], str | None] = lambda name: shutil.which(name, path=SANDBOX_PATH)
) -> tuple[Diagnostic, ...]:
    """Return what is to be said of the files that Kanoe reads and does not act on: `apt.txt`, `postBuild`, `start`, `Dockerfile`.

    Args:
        folder: where the declarations stand.
        which: finds a program of the machine.
    """
    remarks = list(_read_apt(folder / "apt.txt", which))
    for name in _PROGRAMS:
        if (folder / name).is_file() and (name != "Dockerfile" or folder.name in _FOLDERS):
            message = f"`{name}` is a program for Binder, and Kanoe does not run it"
            hint = "If the notebook needs what it makes, run it yourself and attach the result: `--input PATH`"
            remarks.append(info("declaration-ignored", message, place=_place(folder, name), hint=hint))
    return tuple(remarks)


def _read_apt(path: Path, which: Callable[[str], str | None]) -> Iterator[Diagnostic]:
    """Yield a warning for a package whose program is missing, and one remark for the packages that nobody can look for."""
    if not path.is_file():
        return
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    unknown = []
    for number, line in enumerate(text.splitlines(), 1):
        package = line.partition("#")[0].strip().lower()
        programs = [program for program, known in read_pairs("programs").items() if known == package]
        place = f"{_place(path.parent, path.name)} line {number}"
        if not _PACKAGE.match(package):
            continue
        if not programs:
            unknown.append(package)
        elif all(which(program) is None for program in programs):
            message = f"it asks for the package `{package}`, whose `{programs[0]}` is not on this machine"
            yield warning("program-missing", message, place=place, hint=f"`apt install {package}`")
    if unknown:
        message = (
            f"it asks for packages of the system, which Kanoe neither installs nor looks for: {', '.join(unknown)}"
        )
        hint = f"If something is missing: `apt install {' '.join(unknown)}`"
        yield info("declaration-ignored", message, place=_place(path.parent, path.name), hint=hint)


def _place(folder: Path, name: str) -> str:
    return f"{folder.name}/{name}" if folder.name in _FOLDERS else name
