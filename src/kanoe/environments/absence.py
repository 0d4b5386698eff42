"""Why a distribution cannot be had on this machine, and what to do: told from the registry's own list of files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kanoe.environments.registry import File, Offer, Project, offers, tags_of
from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import wheel_tags

_LEFT_OUT = "Take its import out, or put it in a `try`"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a distribution is not there, and what to do about it.

    Args:
        message: the cause, in one sentence.
        hint: the cure.
        is_of_build: whether a build would help, so that what a build says of itself is worth more than this.
    """

    message: str
    hint: str
    is_of_build: bool = False


def explain_absence(project: Project, python: str, *, day: str | None = None, specifier: str = "") -> Cause | None:
    """Return why this machine can have no release of a distribution; `None` if there is one.

    Args:
        project: from a registry.
        python: the interpreter's version, `3.6.15`.
        day: nothing later may be taken.
        specifier: the versions that will do.
    """
    if all(file.yanked or file.version is None for file in project.files):
        return explain_nothing(project.name)
    if not offers(project, python, build=False):
        cause = _nothing_ready(project, python)
        if cause is not None:
            return (only_conda(project.name) if cause.is_of_build else None) or cause
    ready = offers(project, python, specifier, build=False)
    return _removed(project, ready or offers(project, python, specifier), day)


def explain_nothing(name: str) -> Cause:
    """Return why a name has no files at all."""
    hint = "Name another that has its modules: `--with NAME`"
    return only_conda(name) or Cause(f"everything of `{name}` is gone from the registry", hint)


def only_conda(name: str) -> Cause | None:
    """Return that conda alone has a distribution, if a table knows it."""
    channel = read_pairs("conda_only").get(name)
    if channel is None:
        return None
    message = f"`{name}` is to be had from conda alone (channel `{channel}`), not from Python's registries"
    return Cause(message, _LEFT_OUT)


def nearest_ready(project: Project, python: str, specifier: str = "") -> Offer | None:
    """Return the newest release that needs no build for this Python, among versions that will do."""
    found = offers(project, python, specifier, build=False)
    return found[-1] if found else None


def _removed(project: Project, found: Sequence[Offer], day: str | None) -> Cause | None:
    """Return that all the registry has left is of later days."""
    if day is None or not found or not found[0].uploaded or found[0].uploaded[:10] < day[:10]:
        return None
    first, day = found[0], day[:10]
    left = [file.uploaded for file in project.files if file.uploaded]
    what = f"no release of `{project.name}` from before {day}"
    if left and min(left)[:10] < day:
        what = f"no file of `{project.name}` from before {day} that this Python can have"
    message = f"the registry has {what} (any more): the first one left is {first.version} of {first.uploaded[:10]}"
    return Cause(message, f"Give a later day than {first.uploaded[:10]}: `--as-of DATE`")


def _nothing_ready(project: Project, python: str) -> Cause | None:
    name, short = project.name, ".".join(python.split(".")[:2])
    files = [file for file in project.files if not file.yanked and file.version is not None]
    ready = [file for file in files if file.is_wheel]
    system = _only_system(ready) if len(ready) == len(files) else None
    if system is not None:
        return Cause(f"`{name}` is for {system} only", _LEFT_OUT)
    pythons = _pythons(files)
    other = f"`--python {min(pythons, key=lambda one: _distance(one, short))}`" if pythons else "another Python"
    if len(ready) == len(files):
        what = f"; there are files for Python {', '.join(pythons)}" if pythons else ""
        return Cause(f"no release of `{name}` has a file for Python {short} on this machine{what}", f"Take {other}")
    if not offers(project, python):
        return Cause(f"no release of `{name}` is for Python {short}", f"Take {other}")
    if not project.is_compiled and not ready:
        return None
    message = f"`{name}` has no ready file for Python {short} here, and to build it takes a compiler and its libraries"
    hint = f"Take {other}" if pythons else "Install them (`apt install build-essential`), and run again"
    return Cause(message, hint, is_of_build=True)


def _only_system(ready: Iterable[File]) -> str | None:
    """Return the system that all these wheels are for, if it is another than this one."""
    systems = {_system(file.name) for file in ready}
    if not systems or systems - {"Windows", "macOS"} or (sys.platform == "darwin" and "macOS" in systems):
        return None
    return " and ".join(sorted(systems, reverse=True))


def _system(name: str) -> str:
    found = re.search(r"-(win|macosx)[\w.]*\.whl$", name)
    return {"win": "Windows", "macosx": "macOS"}[found[1]] if found else ""


def _pythons(files: Iterable[File]) -> list[str]:
    """Return the Pythons that there are wheels for on this machine."""
    names = [file.name for file in files if file.is_wheel]
    found = []
    for minor in range(6, 20):
        tags = wheel_tags((3, minor))
        if any(not tags.isdisjoint(tags_of(name)) for name in names):
            found.append(f"3.{minor}")
    return found


def _distance(one: str, other: str) -> int:
    return abs(int(one.partition(".")[2]) - int(other.partition(".")[2]))
