"""A set of versions for a run with a GPU: the registry's builds, but for a PyTorch that is too old for today's GPUs there.

Up to 1.12 the registry's build is that for CUDA 10.2, which knows no GPU from 2020 on; PyTorch's own index has the same
release for CUDA 11.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kanoe.environments.answer import Version
from kanoe.environments.question import Question
from kanoe.environments.torch_builds import find_builds
from kanoe.environments.versions import version_fits

_BUILDS = ("cu116", "cu115", "cu113", "cu111", "cu110")  # download.pytorch.org/whl, of 1.7 to 1.12
_OLD = ">=1.7,<1.13"
_CUDA_11 = 450  # the first driver for it: docs.nvidia.com/deploy/cuda-compatibility
_SAYS_DRIVER = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))


def for_gpu(question: Question, versions: Sequence[Version], *, driver: int | None) -> list[Version]:
    """Return a set of versions as a run with a GPU has it; the files of what is exchanged go into the question.

    Args:
        question: who asks.
        versions: the set.
        driver: as `driver_version` says it.

    Raises:
        UnavailableError: `uv` is missing.
        CancelledError: a stop was requested.
    """
    torch = next((one.version for one in versions if one.name == "torch" and one.url is None), None)
    if driver is None or driver < _CUDA_11 or torch is None or not version_fits(torch, _OLD):
        return list(versions)
    for build in _BUILDS:
        found = find_builds(question, versions, build)
        if found:
            question.packages = {**question.packages, **found}
            own = {name: str(package["version"]) for name, package in found.items()}
            return [replace(one, version=own.get(one.name, one.version)) for one in versions]
    return list(versions)


def driver_version(places: Sequence[Path] = _SAYS_DRIVER) -> int | None:
    """Return the major version of this machine's NVIDIA driver, 550; `None` where there is none, or it does not say."""
    for place in places:
        try:
            match = re.search(r"(?:^|\s)(\d{3})\.\d+", place.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if match is not None:
            return int(match[1])
    return None
