"""From what a source needs to a lock, by `uv pip compile`; a resolution is remembered.

uv is asked twice: for the versions with the reason of each, then for the files of exactly these versions, with hashes
and sizes. What the source can do without never makes a resolution fail.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kanoe.base.errors import InputError
from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.stop import Stop
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import Lock, public_url, reasons_of, this_platform
from kanoe.environments.lock_file import dumps, loads
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.settings import network_settings
from kanoe.environments.uv import Progress, index_settings, quiet
from kanoe.environments.versions import marker_holds

_FORM = "resolution/5"  # to be raised when the same needs come to another lock
_PIP = Requirement("pip", why=("runs `!pip` lines",))
# Libraries use its `pkg_resources` and do not say so: everybody had it.
_SETUPTOOLS = Requirement("setuptools", why=("old libraries use its `pkg_resources`",), optional=True)
_NEEDED_BY = "needed by "


def resolve(
    needs: Needs,
    interpreter: Interpreter,
    *,
    kernel: Sequence[Requirement],
    cache: Path,
    upgrade: bool = False,
    folder: Path | None = None,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Lock:
    """Return the lock for what a source needs.

    Args:
        needs: what the source asks for.
        interpreter: what will run it.
        kernel: what runs the cells (`kernel_requirements`); what the source declares itself wins over it.
        cache: the folder of remembered resolutions.
        upgrade: forget a remembered resolution, take the newest releases.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use; `None`: the user's own only.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        InputError: an unknown distribution, requirements that contradict each other.
        UnavailableError: the registry does not answer, `uv` is missing, a distribution cannot be built.
        CancelledError: `stop` was requested.
    """
    own = (*kernel, _PIP, *([_SETUPTOOLS] if needs.as_of else []))
    asked = _with_kernel(needs.requirements, own, interpreter.version)
    remembered = cache / f"{_key(asked, needs, interpreter, folder)}.lock"
    if not upgrade:
        lock = _recall(remembered, asked)
        if lock is not None:
            with contextlib.suppress(OSError):
                os.utime(remembered)  # what is used stays
            return lock
    progress(None, f"resolving {len(asked)} requirements for Python {interpreter.short}")
    names = frozenset(one.name for one in own)
    question = _load("question").Question(needs, interpreter, asked, names, cache.with_name("registry"), folder, stop)
    made: Lock = _load("lock_making").make_lock(question, interpreter, needs.as_of)
    if all(requirement.url is None or _is_lasting(requirement.url) for requirement in asked):
        with contextlib.suppress(OSError):
            cache.mkdir(parents=True, exist_ok=True)
            replace_file(remembered, dumps(made).encode())
    return made


def _is_lasting(url: str) -> bool:
    """Return whether a direct reference may be remembered: no file that changes, none whose password is cut out."""
    return not url.startswith("file:") and public_url(url) == url


def _with_kernel(
    requirements: Iterable[Requirement], kernel: Sequence[Requirement], python: str
) -> tuple[Requirement, ...]:
    """Return the requirements with the kernel's own; what the source says of their versions wins."""
    names = {own.name for own in kernel}
    asked = [one for one in requirements if one.name not in names or marker_holds(one.marker, python)]
    for own in kernel:
        same = [position for position, one in enumerate(asked) if one.name == own.name]
        if not same:
            asked.append(own)
        for position in same:
            one = asked[position]
            specifier = own.specifier if not one.specifier and one.url is None else one.specifier
            asked[position] = replace(one, specifier=specifier, why=(*one.why, *own.why), optional=False, guessed=False)
    return tuple(sorted(asked, key=lambda one: (one.name, one.marker)))


def _key(asked: Iterable[Requirement], needs: Needs, interpreter: Interpreter, folder: Path | None) -> str:
    day = f"{needs.as_of or ''} {needs.as_of_inferred:d}"  # an inferred day moves, and lies before that of the run
    kind = "cuda" if needs.gpu else "cpu"
    # What one folder's registries answer is no answer for another folder, which may be a stranger's.
    files = json.dumps(network_settings(folder), sort_keys=True, default=str)
    parts = [interpreter.version, this_platform(), day, kind, *index_settings(), files, "requirements"]
    for one in asked:
        parts += [str(one), ",".join(one.modules), f"{one.optional:d}{one.guessed:d}"]
    return hash_text(_FORM, *parts)


def _recall(remembered: Path, asked: Sequence[Requirement]) -> Lock | None:
    """Return a remembered lock with today's reasons (cells may have moved since); `None` if there is none."""
    try:
        lock = loads(remembered.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError):
        return None
    reasons = {(one.name, one.marker): one.why for one in asked}
    requirements = tuple(replace(one, why=reasons.get((one.name, one.marker), one.why)) for one in lock.requirements)
    direct = reasons_of(requirements)
    return replace(
        lock,
        requirements=requirements,
        skipped=tuple(replace(one, why=reasons.get((one.name, ""), one.why)) for one in lock.skipped),
        distributions=tuple(
            replace(
                one, why=(*direct.get(one.name, ()), *(phrase for phrase in one.why if phrase.startswith(_NEEDED_BY)))
            )
            for one in lock.distributions
        ),
    )


def _load(name: str) -> Any:
    """Return a module that only a resolution needs: loading them takes as long as the rest of a warm start."""
    return importlib.import_module(f"kanoe.environments.{name}")
