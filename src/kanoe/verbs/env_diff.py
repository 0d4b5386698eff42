"""`kanoe env diff`: what differs between two environments."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.base.stop import Stop
from kanoe.environments.lock import Lock
from kanoe.environments.lock_file import read_lock
from kanoe.front.read import read_source
from kanoe.store.home import Store, open_store
from kanoe.verbs.environment import EnvironmentOptions, Watch, ignore, lock_source
from kanoe.verbs.queue import at_work
from kanoe.verbs.runs import show_run

_LOCK_NAME = "kanoe.lock"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs; `None` where a side lacks it."""

    name: str
    before: str | None
    after: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"name": self.name, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class EnvironmentDifference:
    """What differs between two environments.

    Args:
        before: what the first is, for people.
        after: what the second is.
        settings: Python, day and platform where they differ.
        distributions: versions that differ, sorted by name.
        same: how many distributions have one version in both.
    """

    before: str
    after: str
    settings: tuple[Change, ...]
    distributions: tuple[Change, ...]
    same: int

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "before": self.before,
            "after": self.after,
            "settings": [change.as_dict() for change in self.settings],
            "distributions": [change.as_dict() for change in self.distributions],
            "same": self.same,
        }

    def lines(self) -> list[str]:
        """Return what a person reads."""
        lines = [f"{self.before} → {self.after}"]
        changes = [*self.settings, *self.distributions]
        if not changes:
            return [*lines, f"no difference: {self.same} distributions"]
        width = max(len(change.name) for change in changes)
        lines += [f"  {change.name:<{width}}  {change.before or '-'} → {change.after or '-'}" for change in changes]
        return [*lines, f"{len(self.distributions)} distributions differ, {self.same} are the same"]


@at_work("env-diff")
def diff_environments(
    before: str | Path,
    after: str | Path,
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
) -> EnvironmentDifference:
    """Return what differs between the environments of two things: sources, lock files, or runs.

    Args:
        before: a notebook, a script, a folder with one, a lock file, or a run's name, its beginning, or `last`.
        after: the same.
        watch: takes events.
        stop: ends the work.

    Raises:
        InputError: one of them is none of these, or its environment cannot be made.
        UnavailableError: an interpreter, `uv` or the registry is not there.
        CancelledError: `stop` was requested.
    """
    store = open_store()
    first, second = (_lock_of(one, store, watch, stop or Stop()) for one in (before, after))
    settings = [
        Change("Python", first.python, second.python),
        Change("day", first.as_of, second.as_of),
        Change("platform", first.platform, second.platform),
        Change("builds", first.accelerator, second.accelerator),
    ]
    held, holds = (_versions(lock) for lock in (first, second))
    names = sorted(held.keys() | holds.keys())
    changes = [Change(name, held.get(name), holds.get(name)) for name in names]
    return EnvironmentDifference(
        before=str(before),
        after=str(after),
        settings=tuple(change for change in settings if change.before != change.after),
        distributions=tuple(change for change in changes if change.before != change.after),
        same=sum(change.before == change.after for change in changes),
    )


def _versions(lock: Lock) -> dict[str, str]:
    """Return the version of each distribution; of a direct reference its address too, which is what holds it fast."""
    return {one.name: f"{one.version} ({one.url})" if one.url else one.version for one in lock.distributions}


def _lock_of(reference: str | Path, store: Store, watch: Watch, stop: Stop) -> Lock:
    """Return the lock of a source, a lock file or a run; what is there as a file is no run."""
    path = Path(reference).expanduser()
    if path.is_file() and path.suffix in (".lock", ".toml"):
        return read_lock(path)
    if not os.path.lexists(path) and "/" not in str(reference) and path.suffix not in (".ipynb", ".py"):
        kept = Path(show_run(str(reference)).listed.directory) / _LOCK_NAME
        if not kept.is_file():
            message = f"the run `{reference}` ended before it had an environment"
            raise InputError(error("run-unknown", message, hint="`kanoe runs` lists the others"))
        return read_lock(kept)
    return lock_source(read_source(reference), EnvironmentOptions(), store, watch, stop).lock
