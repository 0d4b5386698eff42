"""The lock: every distribution of an environment with its version, its hashes and why it is there."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kanoe.base.diagnostics import Diagnostic, error, info, warning
from kanoe.base.sizes import show_size
from kanoe.environments.accelerator import has_builds, is_gpu_library
from kanoe.environments.interpreters import Interpreter, python_fits
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.sources import is_pin_of
from kanoe.environments.versions import marker_holds, version_fits

NO_DAY = "2100-01-01T00:00:00Z"  # of what no day holds back
_MOST_NAMES = 5  # in a reason


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution of a lock.

    Args:
        name: normalised (PEP 503).
        version: exact.
        why: phrases: `imported by cells 1 and 4`, `needed by pandas`.
        hashes: `sha256:...` of every file that may be installed; empty only for a folder or repository.
        url: the direct reference it comes from; `None`: the registry.
        size: bytes of the file to download, where the registry says it.
    """

    name: str
    version: str
    why: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    url: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A requirement that the source can do without and that was left out, with the reason."""

    name: str
    why: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A distribution that is of a later day than the set, or the whole set.

    Args:
        name: normalised; empty for the whole set.
        day: an RFC 3339 time: only releases before it were taken; `2100-01-01T00:00:00Z`: any.
        reason: a phrase.
    """

    name: str
    day: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A resolved environment.

    Args:
        python: major and minor version, `3.11`.
        platform: as `this_platform` names it.
        requirements: what was asked for, with the kernel's own; sorted by name.
        distributions: sorted by name.
        as_of: only releases before that day or time were taken; `None`: the newest.
        skipped: sorted by name.
        moved: what is of a later day than `as_of`, since it could not be had; the whole set first, then by name.
        accelerator: `cuda` or `cpu`: which builds were taken of what has two; `None`: of each what its author named.
    """

    python: str
    platform: str
    requirements: tuple[Requirement, ...]
    distributions: tuple[Distribution, ...]
    as_of: str | None = None
    skipped: tuple[Skipped, ...] = ()
    moved: tuple[Moved, ...] = ()
    accelerator: str | None = None

    @property
    def size(self) -> int:
        """The bytes of all files, as far as they are known."""
        return sum(distribution.size or 0 for distribution in self.distributions)

    def find(self, name: str) -> Distribution | None:
        """Return the distribution of that normalised name."""
        return next((one for one in self.distributions if one.name == name), None)


def this_platform() -> str:
    """Return the platform of this machine: `linux-x86_64`, `macos-arm64`."""
    system = {"darwin": "macos"}.get(sys.platform, sys.platform)
    return f"{system}-{os.uname().machine.lower()}"


def reasons_of(requirements: Iterable[Requirement]) -> dict[str, tuple[str, ...]]:
    """Return who asks for each distribution, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for one in requirements:
        found[one.name] = tuple(dict.fromkeys((*found.get(one.name, ()), *one.why)))
    return found


def describe_needed_by(names: Iterable[str]) -> str:
    """Return the reason for a distribution that others need: `needed by pandas and seaborn`."""
    shown = sorted(names)
    if len(shown) > _MOST_NAMES:
        shown = [*shown[: _MOST_NAMES - 1], f"{len(shown) - _MOST_NAMES + 1} more"]
    return "needed by " + (shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}")


def remarks(lock: Lock) -> tuple[Diagnostic, ...]:
    """Return what a user of the lock should know: what was left out, a day that is yet to come."""
    found = [
        info(
            "distribution-skipped",
            f"`{skipped.name}` is not in the environment: {skipped.reason}",
            place="; ".join(skipped.why) or None,
            hint=f"To have it all the same: `--with {skipped.name}`",
        )
        for skipped in lock.skipped
    ]
    found += [_describe_move(lock, moved) for moved in lock.moved]
    found += _describe_cuda(lock)
    if lock.as_of is not None and lock.as_of[:10] > time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400)):
        found.append(warning("date-broken", f"the day {lock.as_of} is yet to come: the newest releases count"))
    return tuple(found)


def _describe_cuda(lock: Lock) -> Iterator[Diagnostic]:
    """Yield what it costs that there was no build for processors."""
    libraries = [one for one in lock.distributions if is_gpu_library(one.name)]
    torch = lock.find("torch")
    if lock.accelerator != "cpu" or not libraries or torch is None:
        return
    size = sum(one.size or 0 for one in libraries)
    cost = f", {show_size(size)} of NVIDIA's libraries with it" if size else ", and NVIDIA's libraries with it"
    yield info(
        "accelerator-build",
        f"`torch` {torch.version} is the build for GPUs{cost}: PyTorch's index of builds for processors did not answer"
        " or has none of this version",
        hint="Name a mirror of https://download.pytorch.org/whl that this machine reaches: `KANOE_TORCH_INDEX`, then"
        " `kanoe env lock SOURCE`",
    )


def _describe_move(lock: Lock, moved: Moved) -> Diagnostic:
    if moved.day == NO_DAY:
        what = f"`{moved.name}`" if moved.name else "the environment"
        cure = "Use a registry that says it (`UV_DEFAULT_INDEX`), or give the versions: `--with 'NAME==VERSION'`"
        return warning("date-moved", f"{what} is of today, not of {lock.as_of}: {moved.reason}", hint=cure)
    day = moved.day[:10]
    held = lock.find(moved.name)
    what = f"`{moved.name}`{f' {held.version}' if held else ''}" if moved.name else "the whole environment"
    hint = f"To have all of one day: `--as-of {day}`" if moved.name else None
    return info("date-moved", f"{what} is of {day}, not of {lock.as_of}: {moved.reason}", hint=hint)


def public_url(url: str) -> str:
    """Return a direct reference without a password or token: a lock is there to be shared."""
    return re.sub(r"(https?://)[^/@\s]+@", r"\1", url)


def has_secret(url: str) -> bool:
    """Return whether a direct reference holds a name or password of its server."""
    return public_url(url) != url


def quote_command(text: str) -> str:
    """Return a source's name as a shell takes it, on one line."""
    text = one_line(text)
    return text if re.match(r"[\w@%+=:,./-]+$", text, re.ASCII) else "'" + text.replace("'", "'\"'\"'") + "'"


def one_line(text: str) -> str:
    """Return a text without line ends and other control characters."""
    return re.sub("[\x00-\x1f\x7f\ud800-\udfff]", "\ufffd", text)


def check(
    lock: Lock,
    needs: Needs,
    interpreter: Interpreter,
    *,
    place: str = "lock",
    source: str = "SOURCE",
    options: str = "",
) -> tuple[Diagnostic, ...]:
    """Return what keeps a lock from being used for a source; empty if it fits.

    Args:
        lock: from a file.
        needs: what the source asks for now.
        interpreter: what the environment would get.
        place: the lock file's name, for messages.
        source: the source's name, for the command that mends it.
        options: that command's options.
    """
    hint = f"Make it anew: `kanoe env lock {quote_command(source)}{options}`"
    found = []
    if lock.platform != this_platform():
        found.append(
            error(
                "lock-platform",
                f"the lock is for {lock.platform}, this machine is {this_platform()}",
                place=place,
                hint=hint,
            )
        )
    stale = list(_stale(lock, needs, interpreter))
    if stale:
        message = f"the lock does not hold what {one_line(source) if source != 'SOURCE' else 'the source'} needs: "
        shown = [*stale[:_MOST_NAMES], f"{len(stale) - _MOST_NAMES} more"] if len(stale) > _MOST_NAMES else stale
        found.append(error("lock-stale", message + "; ".join(shown), place=place, hint=hint))
    return tuple(found)


def _stale(lock: Lock, needs: Needs, interpreter: Interpreter) -> Iterator[str]:
    if lock.python != interpreter.short:
        yield f"it is for Python {lock.python}, and this run has {interpreter.version}"
    demanded = needs.python is not None and not needs.python_inferred
    if demanded and not python_fits(needs.python or "", interpreter.version):
        yield f"it is for Python {lock.python}, and {needs.python_why or 'this run'} asks for {needs.python}"
    if needs.as_of is not None and not needs.as_of_inferred and needs.as_of != lock.as_of:
        day = f"as of {lock.as_of}" if lock.as_of else "of no day"
        yield f"it is {day}, and {needs.as_of_why or 'this run'} asks for {needs.as_of}"
    if needs.gpu and lock.accelerator == "cpu" and any(has_builds(one.name) for one in lock.distributions):
        yield "it holds builds for a processor, and `--gpu` asks for those that use a GPU"
    if lock.find("ipykernel") is None:
        yield "`ipykernel` is missing (it runs the cells)"
    for requirement in needs.requirements:
        if requirement.optional or not marker_holds(requirement.marker, interpreter.version):
            continue
        trouble = _trouble(requirement, lock)
        if trouble is not None:
            yield f"{trouble} ({'; '.join(requirement.why)})" if requirement.why else trouble


def _trouble(requirement: Requirement, lock: Lock) -> str | None:
    if requirement.url is not None:
        url = public_url(requirement.url)
        asked = [one for one in lock.requirements if one.url is not None and is_pin_of(url, one.url)]
        return None if asked else f"`{requirement.name}` from {public_url(requirement.url)} is missing"
    held = lock.find(requirement.name)
    if held is None:
        return f"`{requirement.name}` is missing"
    if not version_fits(held.version, requirement.specifier):
        return f"`{requirement.name}` is {held.version}, wanted is {requirement.specifier}"
    return None
