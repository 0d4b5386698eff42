"""Pairs of a notebook and its edit, with hidden dependencies: right answers after the edit, and cells run against cells needed.

    python benchmarks/pairs.py [--only TEXT] [--every N] [--values] [--check] [--jobs N] [--folder DIR]

The pairs are those of `tests/cells/pairs`. Each notebook is run, edited and run again with one store; the answer is compared with
that of a plain run. `--values` also compares every variable at the end. `--check` looks at the pairs themselves, with plain runs only.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent / "tests" / "cells")]

from trial import CELLS_MODE, Result, World, check_pair, try_pair  # noqa: E402

from pairs import KINDS, Pair, all_pairs  # noqa: E402


def check(world: World, pairs: list[Pair], jobs: int) -> int:
    """Print what is wrong with the pairs themselves; returns how many are."""
    faulty = 0
    with ProcessPoolExecutor(jobs) as pool:
        for pair, faults in zip(pairs, pool.map(functools.partial(check_pair, world), pairs), strict=True):
            faulty += bool(faults)
            for fault in faults:
                print(f"{pair.id}: {fault}", flush=True)
    print(f"{len(pairs) - faulty} of {len(pairs)} pairs are sound")
    return faulty


def table(results: list[Result]) -> int:
    """Print the table; returns how many pairs are wrong."""
    print(f"\n{'KIND':<14}{'PAIRS':>6}{'RIGHT':>7}{'NEEDED':>8}{'RAN':>6}{'WITHOUT NEED':>14}{'RATIO':>7}")
    total: Counter[str] = Counter()
    for kind in (*KINDS, "all"):
        of_kind = [result for result in results if kind in ("all", result.pair.kind)]
        if not of_kind:
            continue
        total = Counter(
            pairs=len(of_kind),
            right=sum(not result.wrong for result in of_kind),
            needed=sum(len(result.pair.needed) for result in of_kind),
            ran=sum(len(result.ran - result.pair.marked("~")) for result in of_kind),
            superfluous=sum(len(result.superfluous) for result in of_kind),
        )
        ratio = total["ran"] / max(1, total["needed"])
        print(
            f"{kind:<14}{total['pairs']:>6}{total['right']:>7}{total['needed']:>8}{total['ran']:>6}{total['superfluous']:>14}{ratio:>7.2f}"
        )
    return total["pairs"] - total["right"]


def attempt(world: World, pair: Pair, *, values: bool) -> Result:
    """Try a pair; Kanoe's own failure is a wrong answer."""
    try:
        return try_pair(world, pair, values=values)
    except Exception as problem:
        return Result(pair, (f"Kanoe failed: {type(problem).__name__}: {problem}",), frozenset())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1, help="only each n-th pair")
    parser.add_argument("--start", type=int, default=0, help="how many to leave out first")
    parser.add_argument("--values", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    pairs = [pair for pair in all_pairs() if options.only in pair.id][options.start :: options.every]
    with tempfile.TemporaryDirectory(prefix="trial-pairs-") as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        os.environ["KANOE_HOME"] = str(folder / "store")
        started = time.monotonic()
        world = World.make(folder)
        if options.check:
            sys.exit(1 if check(world, pairs, options.jobs) else 0)
        if not CELLS_MODE:
            sys.exit("this Kanoe has no cells mode")
        results = []
        with ProcessPoolExecutor(options.jobs) as pool:
            futures = [pool.submit(attempt, world, pair, values=options.values) for pair in pairs]
            for future in as_completed(futures):
                result = future.result()
                results.append(result)
                for text in result.wrong:
                    print(f"{result.pair.id}: WRONG {text}", flush=True)
                if result.superfluous:
                    print(f"{result.pair.id}: ran without need: {sorted(result.superfluous)}", flush=True)
                if result.missing and not result.wrong:
                    print(f"{result.pair.id}: was not expected to be reused: {sorted(result.missing)}", flush=True)
        wrong = table(results)
        print(f"{time.monotonic() - started:.0f} s")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
