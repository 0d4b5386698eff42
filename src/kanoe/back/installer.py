"""The programs `pip`, `conda`, `uv`, ... that cells find, as a folder named by its content."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from kanoe.base.hashing import hash_bytes
from kanoe.environments.wheels import made_folder

_PACKAGE = "kanoe_worker"
_MINORS = range(6, 16)
_PROGRAMS = (
    "pip",
    "pip3",
    *(f"pip3.{minor}" for minor in _MINORS),
    "conda",
    "mamba",
    "micromamba",
    "uv",
    "easy_install",
    "apt",
    "apt-get",
)
# Isolated: neither a module beside the notebook nor its variables change what these programs do.
_SCRIPT = """#!/bin/sh
exec "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/}python" -I -c \
'import sys; sys.path.insert(0, sys.argv.pop(1)); from kanoe_worker.pip import main; sys.exit(main(sys.argv[1:]))' \
"${0%/*}/../modules" "${0##*/}" "$@"
"""


def installer_folder(folder: Path) -> Path:
    """Return a folder with `programs`, for `PATH`, and `modules`, for `PYTHONPATH`; written below `folder` the first time."""
    parts = dict(_parts())
    digest = hash_bytes("installer", *(part for name in sorted(parts) for part in (name.encode(), parts[name])))
    path = folder / f"installer-{digest[:16]}"
    if not path.exists():
        with made_folder(path) as made:
            for name, content in parts.items():
                file = made / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
                file.chmod(0o755 if name.startswith("programs/") else 0o644)
    return path


def _parts() -> Iterator[tuple[str, bytes]]:
    root = resources.files("kanoe.worker")
    for entry in root.iterdir():
        if entry.is_file() and entry.name.endswith(".py"):
            yield f"modules/{_PACKAGE}/{entry.name}", entry.read_bytes()
    package = Path(str(root / "pip_package"))
    for file in package.rglob("*.py"):
        yield f"modules/pip/{file.relative_to(package)}", file.read_bytes()
    for name in _PROGRAMS:
        yield f"programs/{name}", _SCRIPT.encode()
