"""Where an interpreter meets the walls: what strangers' code is built with."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

from kanoe.base.errors import UnavailableError
from kanoe.environments.interpreters import Interpreter
from kanoe.sandbox.builds import walled_python
from kanoe.sandbox.confine import choose_tool
from kanoe.store.alive import unusable
from kanoe.store.home import Store


def walled(interpreter: Interpreter, store: Store) -> Interpreter:
    """Return an interpreter that builds inside walls; where none work, and a run has none either, as it is.

    The walls are tried when something is resolved or built, not before.

    Args:
        interpreter: any.
        store: where the programs are kept that start it inside walls.
    """

    @functools.cache
    def builder() -> Path:
        if choose_tool().kind == "none":
            return interpreter.path
        try:
            return walled_python(
                store.environments / "builders",
                interpreter.path,
                interpreter.prefix,
                interpreter.version,
                store.scratch,
            )
        except OSError as cause:
            raise UnavailableError(unusable(store.path, cause)) from cause

    return replace(interpreter, walled=builder)
