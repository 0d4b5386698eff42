"""What of the traces and blobs need not be kept: the least recently used goes first; what a living run may use stays.

A run marks each trace that it uses, and each blob that it takes or lends to a worker, at that moment. What was used since the oldest other
life began is never removed. Traces go first and blobs after, so that being killed in between leaves no trace without its blobs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from kanoe.base.errors import KanoeError
from kanoe.base.sizes import parse_size
from kanoe.store.alive import lives
from kanoe.store.blobs import Blobs
from kanoe.store.home import Store
from kanoe.store.traces import Traces, TraceUse

LIMIT_VARIABLE = "KANOE_STORE_SIZE"
_SPARE = 4 << 20  # bytes that are given up first, so that there is room to write down what is removed on a full disk
_SHARE = 10  # values take at most one part in so many of the disk ...
_RESERVE = 20  # ... and leave one part in so many free


@dataclass(frozen=True, slots=True)
class Swept:
    """What was removed, or would be.

    Args:
        traces: how many.
        blobs: how many.
        bytes: of both.
    """

    traces: int = 0
    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class NotebookSize:
    """What a notebook's cells hold.

    Args:
        origin: its folder or its Kaggle reference.
        traces: how many.
        bytes: of its traces and all the blobs that they need; what notebooks share counts for each.
        used: when one of them was used last, in seconds since 1970.
    """

    origin: str
    traces: int
    bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class Rule:
    """Which traces may stay.

    Args:
        before: what was used since then stays.
        old: what was not used since then goes; `None`: however old.
        kept: ids of traces that stay however old they are.
        limit: the most bytes that traces and blobs may take; `None`: whatever they take.
    """

    before: float
    old: float | None = None
    kept: AbstractSet[str] = frozenset()
    limit: int | None = None


def sweep(
    store: Store,
    own: str,
    *,
    limit: int | None = None,
    older_than: float | None = None,
    keep_runs: int | None = None,
    dry_run: bool = False,
) -> Swept:
    """Remove what nobody needs, then what was not used for long, then what exceeds a limit.

    Args:
        store: where.
        own: the life that asks, which uses nothing any more.
        limit: see `Rule`.
        older_than: seconds; `None`: however old.
        keep_runs: traces of the newest so many runs are not too old, whatever their age.
        dry_run: touch nothing.

    Raises:
        UnavailableError: a newer Kanoe wrote the traces or blobs.
        OSError: the store cannot be written.
    """
    if not dry_run:
        give_up_spare(store)
    now = time.time()
    before = min([now, *(life.started for life in lives(store.alive) if life.name != own)])
    with contextlib.closing(Blobs(store.blobs)) as blobs, contextlib.closing(Traces(store.traces)) as traces:
        kept = traces.newest_runs(keep_runs) if keep_runs else set()
        rule = Rule(before, None if older_than is None else now - older_than, kept, limit)
        uses = traces.uses()
        gone = choose(uses, {digest: size for digest, (size, _) in blobs.sizes().items()}, rule)
        bytes_of = {use.number: use.size for use in uses}
        if not dry_run:
            gone = traces.remove(sorted(gone), before)
            uses = traces.uses()  # as they are now: who came meanwhile may have used some, or added others
        left = [use for use in uses if use.number not in gone]
        loose = find_loose(left, blobs.sizes(), before)
        freed = sum(loose.values()) if dry_run else blobs.remove(sorted(loose), before)
        freed += blobs.remove_orphans(before, dry_run=dry_run)
        if not dry_run:
            keep_spare(store)
        return Swept(len(gone), len(loose), freed + sum(bytes_of[number] for number in gone))


def sweep_after_run(store: Store, own: str) -> Swept:
    """Keep traces and blobs below their limit; nothing that goes wrong here is a run's trouble.

    Args:
        store: where.
        own: the life of the run that ends.
    """
    try:
        limit = default_limit(store)
        with contextlib.closing(Blobs(store.blobs)) as blobs, contextlib.closing(Traces(store.traces)) as traces:
            fits = blobs.total() + traces.bytes() <= limit
        if not fits:
            return sweep(store, own, limit=limit)
        keep_spare(store)
        return Swept()
    except (OSError, KanoeError):
        return Swept()


def keep_spare(store: Store) -> None:
    """Hold a little of the disk for the clean-up that a full disk will need."""
    path = store.blobs / ".spare"
    with contextlib.suppress(OSError):
        disk = os.statvfs(store.blobs)
        if not path.exists() and disk.f_bavail * disk.f_frsize > 4 * _SPARE:
            path.write_bytes(b"\xff" * _SPARE)


def give_up_spare(store: Store) -> None:
    """Give what `keep_spare` holds back to the disk."""
    with contextlib.suppress(OSError):
        (store.blobs / ".spare").unlink()


def default_limit(store: Store) -> int:
    """Return the most bytes that traces and blobs may take: what `KANOE_STORE_SIZE` says, else a share of the disk.

    Raises:
        InputError: the variable holds no size.
        OSError: the disk cannot be asked.
    """
    given = os.environ.get(LIMIT_VARIABLE)
    if given:
        return parse_size(given, LIMIT_VARIABLE)
    disk = os.statvfs(store.path)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    with contextlib.closing(Blobs(store.blobs)) as blobs:
        held = blobs.total()
    return min(total // _SHARE, max(0, held + free - total // _RESERVE))


def choose(uses: Sequence[TraceUse], sizes: Mapping[bytes, int], rule: Rule) -> set[int]:
    """Return the numbers of the traces that go.

    Args:
        uses: of all traces, the least recently used first.
        sizes: of all blobs, by hash.
        rule: which may stay.
    """
    free = [use for use in uses if use.used < rule.before]
    gone = {use.number for use in free if use.double or _is_old(use, rule)}
    if rule.limit is None:
        return gone
    left = [use for use in uses if use.number not in gone]
    needs = Counter(blob for use in left for blob in use.blobs)
    total = sum(use.size for use in left) + sum(sizes.get(blob, 0) for blob in needs)
    for use in free:
        if total <= rule.limit:
            break
        if use.number not in gone:
            gone.add(use.number)
            needs.subtract(use.blobs)
            total -= use.size + sum(sizes.get(blob, 0) for blob in use.blobs if not needs[blob])
    return gone


def _is_old(use: TraceUse, rule: Rule) -> bool:
    return rule.old is not None and use.used < rule.old and use.id not in rule.kept


def find_loose(uses: Iterable[TraceUse], sizes: Mapping[bytes, tuple[int, float]], before: float) -> dict[bytes, int]:
    """Return the sizes of blobs that no trace needs and nobody used since."""
    needed = {blob for use in uses for blob in use.blobs}
    return {digest: size for digest, (size, used) in sizes.items() if used < before and digest not in needed}


def measure_notebooks(store: Store) -> list[NotebookSize]:
    """Return what each notebook's cells hold, the largest first.

    Raises:
        UnavailableError: a newer Kanoe wrote the traces or blobs.
        OSError: they cannot be read.
    """
    with contextlib.closing(Blobs(store.blobs)) as blobs, contextlib.closing(Traces(store.traces)) as traces:
        sizes, uses = blobs.sizes(), traces.uses()
    of_origin: dict[str, list[TraceUse]] = {}
    for use in uses:
        of_origin.setdefault(use.origin, []).append(use)
    return sorted(
        (_measure(origin, mine, sizes) for origin, mine in of_origin.items()), key=lambda one: (-one.bytes, one.origin)
    )


def _measure(origin: str, uses: Sequence[TraceUse], sizes: Mapping[bytes, tuple[int, float]]) -> NotebookSize:
    needed = {blob for use in uses for blob in use.blobs}
    total = sum(use.size for use in uses) + sum(sizes[blob][0] for blob in needed if blob in sizes)
    return NotebookSize(origin, len(uses), total, max(use.used for use in uses))
