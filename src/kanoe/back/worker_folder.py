"""The worker as a folder, named by its content, so that an old one is never used for a new one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from kanoe.base.files import mark_used, remove_tree, replace_file
from kanoe.base.hashing import hash_bytes, hash_text

_PACKAGE = "kanoe_worker"
# Packages of the worker; what else lies beside its modules is laid out elsewhere.
_PACKAGES = ("track",)
_SECONDS = 60


def worker_folder(folder: Path) -> Path:
    """Return the worker's folder below `folder`, written there the first time: `python FOLDER CONFIGURATION` starts it."""
    source = resources.files("kanoe.worker")
    parts = _parts(source, "")
    for package in _PACKAGES:
        parts |= _parts(source / package, f"{package}/")
    names = sorted(parts)
    digest = hash_bytes("worker", *(part for name in names for part in (name.encode(), parts[name])))
    path = folder / f"worker-{digest[:16]}"
    if not mark_used(path):
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".part", dir=folder))
        for name in names:
            target = made / (name if name == "__main__.py" else f"{_PACKAGE}/{name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(parts[name])
        made.chmod(0o755)
        try:
            made.rename(path)
        except OSError:
            remove_tree(made)
        mark_used(path)
    return path


def _parts(folder: Traversable, prefix: str) -> dict[str, bytes]:
    return {
        prefix + entry.name: entry.read_bytes()
        for entry in folder.iterdir()
        if entry.is_file() and entry.name.endswith(".py")
    }


def compile_worker(worker: Path, python: Path) -> None:
    """Compile the worker for an interpreter, once: it sees the folder read-only and could not keep what it compiles.

    Trouble with it is no trouble: the modules work without.
    """
    done = worker / f"compiled-{hash_text('interpreter', str(python.resolve()))[:16]}"
    if done.exists():
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [str(python), "-I", "-S", "-m", "compileall", "-q", str(worker / _PACKAGE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.environ.get("PATH", "")},
            timeout=_SECONDS,
            check=False,
        )
        replace_file(done, b"")
