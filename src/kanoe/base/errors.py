"""Kanoe's exceptions.

KanoeError                  carries diagnostics; never shown as a traceback
├── InputError              what the user gave is wrong            exit code 2
├── UnavailableError        something the run needs is not there   exit code 3
└── CancelledError          the user interrupted                   exit code 130
"""

from __future__ import annotations

from enum import IntEnum

from kanoe.base.diagnostics import Diagnostic


class ExitCode(IntEnum):
    """What the `kanoe` command returns to the shell."""

    SUCCEEDED = 0
    FAILED = 1
    WRONG_INPUT = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class KanoeError(Exception):
    """The root: trouble that has been understood, with its diagnostics (at least one)."""

    exit_code = ExitCode.FAILED

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(diagnostic.message for diagnostic in diagnostics))
        self.diagnostics = diagnostics


class InputError(KanoeError):
    """What the user gave is wrong: a file, an option, a requirement."""

    exit_code = ExitCode.WRONG_INPUT


class UnavailableError(KanoeError):
    """Something the run needs is not there: an interpreter, a registry, a program."""

    exit_code = ExitCode.UNAVAILABLE


class CancelledError(KanoeError):
    """The user interrupted."""

    exit_code = ExitCode.INTERRUPTED
