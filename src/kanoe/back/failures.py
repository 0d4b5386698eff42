"""From the end of a cell to a diagnostic that says what, where and what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kanoe.back.limit_texts import explain_limit, explain_near, explain_refusal, longer_hint
from kanoe.base.diagnostics import Diagnostic, cell_place, error
from kanoe.engine.events import LimitNear, TaskEnded
from kanoe.engine.runner import Task
from kanoe.sandbox.limits import ResourceLimits


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a hint depends on.

    Args:
        file_name: the notebook's name.
        internet: whether the run has a network.
        sandboxed: whether `/kaggle` exists.
        limits: what the run was given.
    """

    file_name: str
    internet: bool
    sandboxed: bool
    limits: ResourceLimits = field(default_factory=ResourceLimits)


def explain_failure(task: Task, ended: TaskEnded, circumstances: Circumstances) -> Diagnostic:
    """Return the diagnostic of a task that FAILED."""
    place = cell_place(circumstances.file_name, task.cell)
    stopped = ended.details.get("stopped")
    if stopped is not None:
        longer = longer_hint(stopped, ended.details.get("seconds"))
        return error(stopped, f"{task.name} was stopped: {ended.reason}", place=place, hint=longer)
    limit = ended.details.get("limit")
    if limit is not None:
        return explain_limit(task.name, limit, circumstances.limits, place)
    problem = ended.details.get("error") or {}
    if problem:
        place = cell_place(circumstances.file_name, task.cell, problem.get("line"))
    refused = explain_refusal(task.name, ended.details, circumstances.limits, place)
    if refused is not None:
        return refused
    if "died" in ended.details:
        return _explain_death(task, ended, place)
    hint = next((text for rule in _HINTS if (text := rule(problem, circumstances)) is not None), None)
    return error("cell-failed", ended.reason or "the cell failed", place=place, hint=hint)


def explain_limit_near(task: Task, near: LimitNear, circumstances: Circumstances) -> Diagnostic:
    """Return the warning for a task that came near a limit."""
    return explain_near(near, circumstances.limits, cell_place(circumstances.file_name, task.cell))


def _explain_death(task: Task, ended: TaskEnded, place: str) -> Diagnostic:
    status = ended.details["died"]
    said = [line for line in str(ended.details.get("said", "")).splitlines() if line.startswith("Fatal Python error")]
    message = ended.reason or "the notebook's process ended"
    if said:
        message += f" ({said[-1].removeprefix('Fatal Python error: ')})"
    hints = {
        -9: "It was killed from outside, most likely because memory ran out: watch the memory column, read less data at once",
        -11: "Compiled code crashed; the last lines of `kernel.log` in the run's folder say where",
        -6: "Compiled code gave up; the last lines of `kernel.log` in the run's folder say where",
    }
    hint = hints.get(status) or (
        "The cell ended the process itself (`os._exit`, `exit` in a child); what ran before is in the notebook"
        if status is not None and status >= 0
        else "What ran before is in the notebook"
    )
    return error("kernel-died", f"{message} while {task.name} ran", place=place, hint=hint)


def _missing_secret(problem: Mapping[str, Any], circumstances: Circumstances) -> str | None:
    """Return the command that Kaggle's modules, as Kanoe has them, name in what they raise."""
    found = re.search(r"`kanoe run NB ([^`]*--secret [^`]+)`", str(problem.get("evalue", "")))
    return f"`kanoe run {circumstances.file_name} {found[1]}`" if found else None


def _missing_module(problem: Mapping[str, Any], _circumstances: Circumstances) -> str | None:
    found = re.search(r"No module named '?([\w.]+)'?", str(problem.get("evalue", "")))
    if problem.get("ename") not in ("ModuleNotFoundError", "ImportError") or not found:
        return None
    module = found.group(1).split(".")[0]
    if "." in found.group(1):
        return (
            f"`{module}` is there but this part of it is not: its version differs from the author's; try `--as-of DATE`"
        )
    return f"Add the distribution that provides it: `--with {module.replace('_', '-')}`"


# A library of the system that wheels leave out -> Debian's package of it.
_LIBRARIES = {
    "libgomp": "libgomp1",
    "libomp": "libomp5",
    "libGL": "libgl1",
    "libEGL": "libegl1",
    "libgthread-2": "libglib2.0-0",
    "libglib-2": "libglib2.0-0",
    "libSM": "libsm6",
    "libICE": "libice6",
    "libXext": "libxext6",
    "libXrender": "libxrender1",
    "libX11": "libx11-6",
    "libsndfile": "libsndfile1",
    "libportaudio": "libportaudio2",
    "libxcb": "libxcb1",
    "libpq": "libpq5",
    "libgeos_c": "libgeos-c1v5",
    "libproj": "libproj25",
    "libspatialindex_c": "libspatialindex6",
    "libMagickWand-6": "libmagickwand-6.q16-6",
    "libtk8": "libtk8.6",
}


def _missing_library(problem: Mapping[str, Any], _circumstances: Circumstances) -> str | None:
    text = str(problem.get("evalue", ""))
    found = re.search(r"\b(lib[\w+-]+)(\.[\w.]*so[\w.]*|\.so[\w.]*)?: cannot open shared object file", text)
    if found is None or found[2] is None:
        return None
    package = _LIBRARIES.get(found[1])
    install = f"`apt install {package}`" if package else "with this system's packages"
    return f"The system library `{found[1]}{found[2]}` is not on this machine: install it ({install}), then run again"


def _missing_file(problem: Mapping[str, Any], circumstances: Circumstances) -> str | None:
    text = str(problem.get("evalue", ""))
    if problem.get("ename") != "FileNotFoundError" and "No such file or directory" not in text:
        return None
    if "input" in text:
        if "/kaggle/" in text and not circumstances.sandboxed:
            return "Without a sandbox `/kaggle` does not exist: `kanoe run` needs bubblewrap for absolute paths"
        return "Attach the data: `--input PATH:SLUG`, or put it into an `input/` folder beside the notebook"
    return "The notebook runs in its own empty `/kaggle/working`: attach files with `--input PATH`"


def _network(problem: Mapping[str, Any], circumstances: Circumstances) -> str | None:
    names = (
        "gaierror",
        "URLError",
        "ConnectionError",
        "NewConnectionError",
        "ConnectError",
        "MaxRetryError",
        "ProxyError",
    )
    marks = ("Name or service not known", "Temporary failure in name resolution", "Network is unreachable")
    text = str(problem.get("evalue", ""))
    if circumstances.internet or not (problem.get("ename") in names or any(mark in text for mark in marks)):
        return None
    return "The network is off, as on Kaggle by default: run with `--internet`"


def _input_refused(problem: Mapping[str, Any], _circumstances: Circumstances) -> str | None:
    if problem.get("ename") != "StdinNotImplementedError":
        return None
    return "Nobody is there to answer `input()`: make it a parameter (a cell tagged `parameters`, `-p NAME=VALUE`)"


def _moved_name(problem: Mapping[str, Any], _circumstances: Circumstances) -> str | None:
    marks = ("has no attribute", "unexpected keyword argument", "cannot import name", "positional argument")
    if problem.get("ename") not in ("AttributeError", "TypeError", "ImportError"):
        return None
    if not any(mark in str(problem.get("evalue", "")) for mark in marks):
        return None
    return "If the library changed since the notebook was written, run it as of its day: `--as-of DATE`"


_HINTS: tuple[Callable[[Mapping[str, Any], Circumstances], str | None], ...] = (
    _missing_secret,
    _missing_module,
    _missing_library,
    _network,
    _missing_file,
    _input_refused,
    _moved_name,
)
