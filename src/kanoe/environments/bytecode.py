"""Compiled modules for an environment, made beside its first runs.

uv installs sources only. The sandbox shows the environment read-only, so Python could never keep what it compiles, and
every run would compile again: 3 s for a stack of pandas, scikit-learn and seaborn. Compiling all of it takes 6 s, too
long to wait for. So a process of the lowest priority compiles while runs go on, ends with the run, and goes on in the
next until all is done, once. It stands outside the sandbox: no notebook can change what another one imports.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from kanoe.environments.build import Environment

DONE = "kanoe-compiled"

_PROGRAM = Path(__file__).with_name("compile_modules.py")


@contextlib.contextmanager
def compiling(environment: Environment) -> Iterator[None]:
    """Compile the environment's modules while the body runs; nothing is left running after it.

    Trouble with it is no trouble: the modules work without.
    """
    done = environment.path / DONE
    if done.exists():
        yield
        return
    command = [
        str(environment.python),
        "-I",
        "-S",
        str(_PROGRAM),
        str(environment.modules),
        str(done),
        str(os.getpid()),
    ]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        yield
        return
    try:
        yield
    finally:
        # A module is written beside and renamed: whatever moment this is, none is left half written under its name.
        process.kill()
        process.wait()
