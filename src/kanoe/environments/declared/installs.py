"""What the cells install: `!pip install`, `%conda install` and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kanoe.base.diagnostics import Severity, cell_place, info
from kanoe.environments.declared.conda import read_specification
from kanoe.environments.declared.lines import note_path, read_lines, take_requirement
from kanoe.environments.declared.places import Declarations, Found, Line
from kanoe.environments.needs import Requirement
from kanoe.environments.requirements import join_versions, parse_link
from kanoe.ir.code import CellCode
from kanoe.ir.commands import Install
from kanoe.ir.source import Source


def read_installs(source: Source, cells: Sequence[CellCode]) -> Declarations:
    """Read the installs in the cells.

    Of several for one distribution the last that says a version counts, as when they run. What cannot be known before
    the run, and files of this machine, are remarks: the command still runs in the notebook.

    Raises:
        InputError: a requirements file beside the source that a cell installs cannot be understood.
    """
    found = Found()
    for position, code in enumerate(cells):
        for install in code.installs:
            _read_install(source, position, install, found)
    last: dict[tuple[str, str], Requirement] = {}
    for need in found.requirements:
        first = last.get((need.name, need.marker))
        if first is not None and (need.specifier or need.url):
            first = replace(first, specifier=need.specifier, url=need.url, guessed=need.guessed)
        last[need.name, need.marker] = join_versions([first, replace(need, specifier="")])[0] if first else need
    found.requirements = list(last.values())
    return found.finish()


def _read_install(source: Source, position: int, install: Install, found: Found) -> None:
    place = cell_place(source.path.name, position, install.line)
    why = f"installed by line {install.line}" if source.kind == "script" else f"installed by cell {position}"
    own = Found()
    for text in install.requirements:
        if install.tool == "conda":
            read_specification(text, own, why, place)
        else:
            take_requirement(text, own, Line(source.folder, why, place, set()))
    own.requirements += [parse_link(link, why) for link in install.links]
    # What pip would refuse fails in the notebook as in Jupyter; it is no reason not to run.
    own.remarks += [replace(broken, severity=Severity.INFO) for broken in own.errors]
    for path in install.paths:
        note_path(path, own, place)
    for unknown in install.unknown:
        remark = f"what `{unknown}` installs is known only when the cell runs"
        own.remarks.append(info("declaration-ignored", remark, place=place, hint="give it with `--with NAME`"))
    for name in (*install.files, *install.constraints):
        file = source.folder / name
        if file.is_file() and not Path(name).is_absolute():
            read_lines(file.resolve(), name, found, set(), constraint=name in install.constraints)
        else:
            own.remarks.append(info("declaration-ignored", f"there is no file `{name}` beside the source", place=place))
    found.requirements += own.requirements
    found.remarks += own.remarks
