"""Trouble in the user's input, as a value.

A diagnostic says *what*, *where* and *what to do next*. Diagnostics are collected and shown together, as a compiler does.
Every code that Kanoe can show is listed in `CODES`; the reference page is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a diagnostic matters."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


CODES: dict[str, str] = {
    # reading
    "source-missing": "There is no file or folder at the given path.",
    "source-unreadable": "The file cannot be read: no permission, or an error of the disk.",
    "source-empty": "The file has no content.",
    "source-encoding": "The script is not text in the encoding it says, UTF-8 where it says none.",
    "source-kind": "Kanoe does not run this kind of file, or found nothing to run in the folder.",
    "source-ambiguous": "The folder holds several notebooks or scripts and no `kernel-metadata.json` says which one to run.",
    "notebook-broken": "The file is not a notebook: not JSON, cut short, or without the parts a notebook must have.",
    "notebook-version": "The notebook's format is older than 3 or newer than Kanoe knows.",
    "notebook-language": "The notebook or script is not written in Python.",
    "kernelspec-missing": "The notebook does not say its language; Kanoe takes it for Python.",
    "metadata-broken": "`kernel-metadata.json` cannot be understood.",
    "cells-unwatched": "What cells read and write could not be watched; all ran again from the top in one kernel.",
    "cell-unknown": "An option names a cell that is not there.",
    "cell-syntax": "A cell does not parse; it runs all the same and fails as in Jupyter.",
    "hidden-state": "A cell reads a name that no cell makes: one that did was deleted or changed since.",
    "name-later": "A cell reads a name that only a cell below it makes.",
    "name-deleted": "A cell reads a name that a cell above it deleted.",
    "order-odd": "The author ran the cells in another order than they stand in.",
    # parameters
    "parameter-unknown": "A parameter was given that the notebook does not declare.",
    "parameter-value": "A parameter's value does not fit its declared type.",
    "secret-value": "A `--secret` cannot be understood, or its value is found nowhere.",
    "secrets-file": "The store's `secrets.toml` is not private, or cannot be understood.",
    "variable-value": "A variable of `--env` or a line of `--env-file` cannot be understood, or is one that Kanoe sets itself.",
    "option-value": "An option's value cannot be understood.",
    "usage": "The command line cannot be understood: an unknown command or option, or one too few or too many.",
    # data
    "input-missing": "There is nothing at the path given with `--input`.",
    "input-kind": "The path given with `--input` is neither a folder nor a file that Kanoe can attach, or a zip file is damaged.",
    "link-outside": "A link beside the notebook leads to private files: hidden ones, the system's, a whole home.",
    "input-clash": "Two inputs have the same slug.",
    "input-unprovided": "A cell reads a path below the data folder that no attached input provides.",
    # environment
    "requirement-broken": "A requirement or a declaration file cannot be understood.",
    "declaration-ignored": "A line of a declaration that Kanoe does not use: an index, a local path, another machine's build.",
    "distribution-unknown": "The registry has no distribution of that name.",
    "source-unreachable": "An import comes from a repository that no registry has, and this machine does not reach it.",
    "side-data-brought": "Data that a library reads besides its code (NLTK's corpora, spaCy's models) was brought for the run.",
    "side-data-missing": "Data that a library reads besides its code could not be brought, or is fetched by the library itself.",
    "secret-missing": "The code asks Kaggle for a secret that the run does not have.",
    "gpu-missing": "A GPU is asked for, with `--gpu` or by the notebook, and this machine shows none that works.",
    "gpu-off": "The notebook can use a GPU, this machine has one, and a run is given it only with `--gpu`.",
    "program-missing": "The code uses a program that is not on this machine.",
    "distribution-unproven": "A distribution was found under the import's name, but it does not provide that import.",
    "distribution-skipped": "An import that the notebook can do without is left out of the environment.",
    "module-shadowed": "A file beside the notebook has the name of a distribution's module: the file is what is imported.",
    "requirements-unsolvable": "No set of versions satisfies every requirement.",
    "accelerator-build": "What has one build for GPUs and one for processors: which was taken, or that the other was not to be had.",
    "python-missing": "No interpreter of that version is on this machine, and none could be brought.",
    "python-near": "The notebook's own Python is not on this machine; the nearest one that is there was taken.",
    "python-version": "The Python version asked for cannot be understood or is not supported.",
    "date-broken": "The date given with `--as-of` cannot be understood.",
    "date-moved": "A distribution, or the whole environment, is of a later day than asked: none of that day is there, or known.",
    "registry-unreachable": "The package registry does not answer.",
    "build-failed": "A distribution could not be built or installed.",
    "lock-broken": "The lock file cannot be understood.",
    "lock-stale": "The lock does not hold what the source needs now.",
    "lock-platform": "The lock was made for another platform.",
    "uv-missing": "The program `uv` is not there.",
    # sandbox
    "sandbox-none": "No sandbox works on this machine; the notebook runs as a plain process.",
    "internet-off": "`kernel-metadata.json` asks for the internet and the user does not: the notebook runs without.",
    # the machine
    "platform-foreign": "Kanoe runs on Linux and WSL2; elsewhere it runs in a container.",
    "namespaces-forbidden": "The system forbids this user namespaces, which are what a sandbox is made of.",
    "seccomp-missing": "The kernel takes no filters of system calls.",
    "open-files-few": "A program may have too few files open at once.",
    "memory-small": "There is less memory than most notebooks need.",
    "disk-low": "A disk that Kanoe writes to is almost full.",
    "file-system-odd": "A folder of Kanoe lies on a file system that lacks something: links, locks, programs, upper and lower case.",
    "temporary-odd": "The folder for temporary files is missing, cannot be written, or lets no programs run.",
    "home-missing": "There is no home folder.",
    "locale-odd": "The language settings name no UTF-8, or are not known here.",
    "clock-odd": "The clock or the time zone is wrong.",
    "umask-odd": "New files cannot be read by who made them, or can be changed by anybody.",
    "runs-left": "Runs ended without an end, and left things behind.",
    "engine-silent": "A container engine is installed and does not answer.",
    "compiler-missing": "A program that old releases are built with is missing.",
    "credentials-odd": "Kaggle's credentials cannot be understood, or others may read them.",
    # running
    "cell-failed": "A cell raised an error.",
    "cell-timeout": "A cell took longer than `--cell-timeout`.",
    "run-timeout": "The run took longer than `--timeout`.",
    "memory-limit": "A cell used all the memory that the run may have, or the machine ran out of it.",
    "disk-limit": "A cell wrote all that the run may write, or the disk is full.",
    "process-limit": "A cell started more processes and threads than a run may have.",
    "output-limit": "A run printed and displayed more than can be kept.",
    "file-limit": "A cell opened more files at once than a process may have.",
    "limit-near": "A cell uses nine tenths or more of what a limit allows: memory, disk, processes or time.",
    "limit-lower": "The machine has less than was asked for, so the run gets what there is.",
    "kernel-died": "The notebook's process ended while a cell ran.",
    "kernel-start": "The notebook's process could not be started.",
    "output-large": "A cell printed more than the page can show; the notebook and the log hold everything.",
    "page-failed": "The HTML page could not be made; the notebook and the log are there.",
    "revived": "The notebook failed in the first environment and ran in another.",
    "not-reproduced": "With `--reproduce`: outputs differ from the author's by more than the tolerance.",
    "nothing-to-reproduce": "`--reproduce` was given, and the notebook carries no outputs to compare with.",
    "verify-differs": "With `--verify`: an output, a file or a final value is not that of a fresh run from top to bottom.",
    "verify-unread": "With `--verify`: a cell that ran alone, from what it is known to have read, came to something else.",
    "verify-undone": "With `--verify`: the run could not be compared with a fresh one.",
    "comparison-failed": "The outputs could not be compared with the author's; a fault of Kanoe's.",
    "run-cancelled": "The run was interrupted.",
    "run-lost": "The run's Kanoe was killed, or the machine went down.",
    # records
    "run-unknown": "No recorded run has that name.",
    "output-taken": "The output folder holds files that no Kanoe run wrote.",
    "output-unwritable": "The file or folder that the result should go to cannot be written.",
    "store-unusable": "Kanoe's own folder cannot be used.",
    "internal": "A fault of Kanoe itself.",
}


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark about the user's input or a run.

    Args:
        code: a key of `CODES`.
        severity: `ERROR` stops the run, or is why it failed; `WARNING` and `INFO` do not.
        message: what is wrong, in one sentence without a full stop.
        place: where: a file, `NOTEBOOK cell N line M`, or an option; `None` where it is the whole run.
        hint: what to do next, with the command in backticks; may be `None`.

    Raises:
        KeyError: `code` is not listed in `CODES`.
    """

    code: str
    severity: Severity
    message: str
    place: str | None = None
    hint: str | None = None

    def __post_init__(self) -> None:
        CODES[self.code]

    def as_dict(self) -> dict[str, str | None]:
        """Return the form that stands in `--json` reports and in `events.jsonl`."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
            "place": self.place,
            "hint": self.hint,
        }

    @classmethod
    def from_dict(cls, value: dict[str, str | None]) -> Diagnostic:
        """Rebuild a diagnostic from `as_dict`."""
        return cls(
            code=value["code"] or "internal",
            severity=Severity(value["severity"] or "error"),
            message=value["message"] or "",
            place=value.get("place"),
            hint=value.get("hint"),
        )


def error(code: str, message: str, *, place: str | None = None, hint: str | None = None) -> Diagnostic:
    """Return a diagnostic of severity `ERROR`."""
    return Diagnostic(code, Severity.ERROR, message, place, hint)


def warning(code: str, message: str, *, place: str | None = None, hint: str | None = None) -> Diagnostic:
    """Return a diagnostic of severity `WARNING`."""
    return Diagnostic(code, Severity.WARNING, message, place, hint)


def info(code: str, message: str, *, place: str | None = None, hint: str | None = None) -> Diagnostic:
    """Return a diagnostic of severity `INFO`."""
    return Diagnostic(code, Severity.INFO, message, place, hint)


def cell_place(file_name: str, cell: int, line: int | None = None) -> str:
    """Return the place of a code cell: `titanic.ipynb cell 3 line 2`.

    Cells are code cells counted from 0, as everywhere in Kanoe; lines are counted from 1.
    """
    return f"{file_name} cell {cell}" + (f" line {line}" if line is not None else "")
