"""What the author declared: in files beside the source, in a PEP 723 block, and by installs in the cells."""

from __future__ import annotations

from collections.abc import Sequence

from kanoe.environments.binder import declaration_folder, read_binder_files
from kanoe.environments.declared.conda import read_environment_file
from kanoe.environments.declared.installs import read_installs
from kanoe.environments.declared.lines import read_requirements_file
from kanoe.environments.declared.periods import parse_day, parse_python, read_runtime_file, read_version_file
from kanoe.environments.declared.places import Declarations
from kanoe.environments.declared.project import read_pipfile, read_project_file, read_script_block
from kanoe.ir.code import CellCode
from kanoe.ir.source import Source

__all__ = [
    "Declarations",
    "parse_day",
    "parse_python",
    "read_declarations",
    "read_environment_file",
    "read_installs",
    "read_pipfile",
    "read_project_file",
    "read_requirements_file",
    "read_runtime_file",
    "read_script_block",
    "read_version_file",
]


def read_declarations(source: Source, cells: Sequence[CellCode]) -> list[Declarations]:
    """Return what is declared for a source, the strongest place first.

    The order: a PEP 723 block, installs in the cells, `requirements.txt`, `runtime.txt` (Python and day),
    `.python-version`, `Pipfile`, `pyproject.toml`, `environment.yml`. Where there is a folder `binder` or `.binder`,
    the files in it count.

    Raises:
        InputError: a file cannot be read or understood, with the file and the line.
    """
    readers = {
        "requirements.txt": read_requirements_file,
        "runtime.txt": read_runtime_file,
        ".python-version": read_version_file,
        "Pipfile": read_pipfile,
        "pyproject.toml": read_project_file,
        "environment.yml": read_environment_file,
        "environment.yaml": read_environment_file,
    }
    found = [read_script_block(source), read_installs(source, cells)]
    folder = declaration_folder(source.folder)
    found += [reader(path) for name, reader in readers.items() if (path := folder / name).is_file()]
    found.append(Declarations(diagnostics=read_binder_files(folder)))
    return [declarations for declarations in found if declarations != Declarations()]
