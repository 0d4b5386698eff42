"""From the versions that uv chose to the distributions of a lock: their files, hashes and sizes.

Loaded, with all that asks uv and the registry, when something is resolved: what is remembered needs none of it, and
loading it takes as long as the rest of a warm start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kanoe.environments.answer import PINNED, Version
from kanoe.environments.cpu_builds import for_processor
from kanoe.environments.cuda_builds import driver_version, for_gpu
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import Distribution, Lock, describe_needed_by, reasons_of, this_platform
from kanoe.environments.question import Question
from kanoe.environments.versions import normalise


def make_lock(question: Question, interpreter: Interpreter, as_of: str | None) -> Lock:
    """Return the lock that answers a question.

    Raises:
        InputError: an unknown distribution, requirements that contradict each other.
        UnavailableError: the registry does not answer, a distribution cannot be built.
        CancelledError: a stop was requested.
    """
    versions = question.solve()
    gpu = question.needs.gpu
    versions = for_gpu(question, versions, driver=driver_version()) if gpu else for_processor(question, versions)
    return Lock(
        python=interpreter.short,
        platform=this_platform(),
        requirements=tuple(sorted(question.asked, key=lambda one: (one.name, one.marker))),
        distributions=_find_files(question, versions),
        as_of=as_of,
        skipped=tuple(sorted(question.skipped, key=lambda one: one.name)),
        moved=tuple(one for _, one in sorted(question.moved.items())),
        accelerator="cuda" if gpu else "cpu",
    )


def _find_files(question: Question, versions: Sequence[Version]) -> tuple[Distribution, ...]:
    """Return the distributions of these versions with their files."""
    if not versions:
        return ()
    direct = reasons_of(question.asked)
    found = [_distribution(one, question.packages.get(one.name, {}), direct.get(one.name, ())) for one in versions]
    bare = [version for version, one in zip(versions, found, strict=True) if not one.hashes and one.url is None]
    if bare:
        # A registry without hashes: uv fetches the files and computes them.
        hashes = dict(_read_hashes(question.ask_again(bare, "--generate-hashes")))
        found = [replace(one, hashes=one.hashes or hashes.get(one.name, ())) for one in found]
    return tuple(sorted(found, key=lambda one: one.name))


def _read_hashes(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for block in re.split(r"\n(?=\S)", text):
        pinned = PINNED.match(block)
        if pinned is not None:
            yield normalise(pinned["name"]), tuple(sorted(re.findall(r"--hash=([a-z0-9]+:[0-9a-f]+)", block)))


def _distribution(version: Version, package: Mapping[str, Any], why: tuple[str, ...]) -> Distribution:
    """Return a distribution from the table of a pylock file (https://packaging.python.org/en/latest/specifications/pylock-toml/)."""
    files = package.get("wheels") or [package[kind] for kind in ("sdist", "archive") if kind in package]
    # A wheel for this platform is preferred to one for any.
    chosen: Mapping[str, Any] = min(
        files, key=lambda one: one.get("url", one.get("path", "")).endswith("-any.whl"), default={}
    )
    needed = (describe_needed_by(version.needed_by),) if version.needed_by else ()
    return Distribution(
        name=version.name,
        version=version.version or package.get("version") or "0",
        why=(*why, *needed),
        hashes=tuple(
            sorted({f"{name}:{value}" for file in files for name, value in _strongest(file.get("hashes", {}))})
        ),
        url=version.url,
        size=chosen.get("size"),
    )


def _strongest(hashes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return one hash of a file, of those that uv knows."""
    return next(
        ([(name, hashes[name])] for name in ("sha256", "sha512", "sha384", "blake2b", "md5") if name in hashes), []
    )
