"""A set of versions for a run without a GPU: PyTorch's builds for processors, and none of what only a GPU opens.

Where PyTorch's index does not answer, or has no such build, the registry's stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kanoe.environments.accelerator import is_gpu_library, without_unopened
from kanoe.environments.answer import Version
from kanoe.environments.question import Question
from kanoe.environments.registry import size_of
from kanoe.environments.torch_builds import FAMILY, find_builds

_AT_ONCE = 8  # questions for the size of a file


def for_processor(question: Question, versions: Sequence[Version]) -> list[Version]:
    """Return a set of versions as a run without a GPU has it; the files of what is exchanged go into the question.

    Raises:
        UnavailableError: `uv` is missing.
        CancelledError: a stop was requested.
    """
    found = find_builds(question, versions, "cpu")
    needed_by = {one.name: one.needed_by for one in versions}
    processor = {one.name for one in versions if one.name in found or (one.version or "").endswith("+cpu")}
    dropped = without_unopened(needed_by, (one.name for one in question.asked), processor)
    kept = [
        replace(
            one,
            version=found[one.name]["version"] if one.name in found else one.version,
            needed_by=tuple(name for name in one.needed_by if name not in dropped),
        )
        for one in versions
        if one.name not in dropped
    ]
    question.packages = _with_sizes({**question.packages, **found}, kept)
    return kept


def _with_sizes(packages: Mapping[str, Any], versions: Sequence[Version]) -> dict[str, Any]:
    """Return the tables with the sizes of what is large where the registry's list leaves them out: they say what a run costs."""
    names = [one.name for one in versions if one.url is None and (one.name in FAMILY or is_gpu_library(one.name))]
    files = {name: wheels[0] for name in names if (wheels := packages.get(name, {}).get("wheels"))}
    unknown = {name: file["url"] for name, file in files.items() if "size" not in file and file.get("url")}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sizes = dict(zip(unknown, pool.map(size_of, unknown.values()), strict=True))
    grown = {name: {**files[name], "size": size} for name, size in sizes.items() if size is not None}
    return {
        name: {**package, "wheels": [grown[name], *package["wheels"][1:]]} if name in grown else package
        for name, package in packages.items()
    }
