"""Wheels of the registry as carriers of files: held fast by their hashes, taken apart, never part of an environment."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kanoe.base.files import exclusive, remove_tree
from kanoe.base.stop import Stop
from kanoe.environments.uv import run_uv


@contextlib.contextmanager
def installed_wheel(requirement: str, hashes: Sequence[str], store: Path, stop: Stop | None) -> Iterator[Path]:
    """Install one wheel into a folder that is gone afterwards.

    Args:
        requirement: `name==version`.
        hashes: the sha256 of every file that it may be.
        store: where the folder is made.
        stop: ends it.

    Raises:
        LookupError: the registry does not have it, or does not answer.
        CancelledError: `stop` was requested.
    """
    folder = store / f"wheel.{os.getpid()}-{time.time_ns():x}"
    command = ["pip", "install", "-r", "-", "--target", str(folder), "--python", sys.executable, "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-python-downloads"]
    line = " ".join([requirement, *(f"--hash=sha256:{one}" for one in hashes)])
    try:
        store.mkdir(parents=True, exist_ok=True)
        done = run_uv(command, text=f"{line}\n", stop=stop)
        if done.returncode != 0:
            raise LookupError(f"the registry does not give {requirement}")
        yield folder
    finally:
        remove_tree(folder)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside the place of another, which is renamed to it once the body has ended well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.{os.getpid()}-{time.time_ns():x}.part")
    part.mkdir()
    try:
        yield part
        with exclusive(folder.with_name(f"{folder.name}.lock")):
            if not folder.is_dir():
                part.rename(folder)
    finally:
        remove_tree(part)
