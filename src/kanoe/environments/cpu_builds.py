"""A set of versions for a run without a GPU: PyTorch's builds for processors, and none of what only a GPU opens.

The versions come from the ordinary registry, which knows the day of each; PyTorch's own index, which does not, is asked
only whether it has the same versions for processors. Where it does not answer, or has none, the registry's build stays.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kanoe.environments.accelerator import is_gpu_library, without_unopened
from kanoe.environments.question import Question, Version
from kanoe.environments.registry import size_of
from kanoe.environments.settings import torch_index
from kanoe.environments.uv import run_uv
from kanoe.environments.versions import normalise, version_fits

# What is built for one kind of machine and must be of the same build as torch, from the version on that says so by a label.
_FAMILY: Mapping[str, str] = {"torch": "", "torchvision": "", "torchaudio": ">=0.10"}
_AT_ONCE = 8  # questions for the size of a file


def for_processor(question: Question, versions: Sequence[Version]) -> list[Version]:
    """Return a set of versions as a run without a GPU has it; the files of what is exchanged go into the question.

    Raises:
        UnavailableError: `uv` is missing.
        CancelledError: a stop was requested.
    """
    found = _find_builds(question, versions)
    question.packages = {**question.packages, **found}
    own = {name: f"{package['version']}" for name, package in found.items()}
    exchanged = [replace(one, version=own.get(one.name, one.version)) for one in versions]
    needed_by = {one.name: one.needed_by for one in versions}
    labelled = {one.name for one in exchanged if one.version and one.version.endswith("+cpu")}
    dropped = without_unopened(needed_by, (one.name for one in question.asked), labelled)
    kept = [one for one in exchanged if one.name not in dropped]
    question.packages = _with_sizes(question.packages, kept)
    left = [tuple(name for name in one.needed_by if name not in dropped) for one in kept]
    return [replace(one, needed_by=by) for one, by in zip(kept, left, strict=True)]


def _find_builds(question: Question, versions: Sequence[Version]) -> dict[str, Any]:
    """Return the tables of a pylock file for PyTorch's builds for processors; empty where not all are to be had."""
    wanted = [one for one in versions if one.url is None and one.version and _is_built(one.name, one.version)]
    address = torch_index(question.folder)
    if address is None or not any(one.name == "torch" for one in wanted):
        return {}
    command = ["pip", "compile", "-", "--python", str(question.interpreter.path), "--no-header", "--no-deps"]
    command += ["--no-python-downloads", "--format", "pylock.toml", "--only-binary", ":all:"]
    command += ["--default-index", address, "--index-strategy", "unsafe-best-match"]
    for one in wanted:
        command += ["--exclude-newer-package", f"{one.name}=false"]
    text = "".join(f"{one.name}=={one.version}+cpu\n" for one in wanted)
    # One that does not answer costs a try, not four.
    done = run_uv(command, folder=question.folder, text=text, variables={"UV_HTTP_RETRIES": "0"}, own={}, stop=question.stop)
    if done.returncode != 0:
        return {}
    found = {normalise(one["name"]): one for one in tomllib.loads(done.stdout)["packages"]}
    return found if len(found) == len(wanted) and all(one.get("wheels") for one in found.values()) else {}


def _is_built(name: str, version: str) -> bool:
    return "+" not in version and name in _FAMILY and version_fits(version, _FAMILY[name])


def _with_sizes(packages: Mapping[str, Any], versions: Sequence[Version]) -> dict[str, Any]:
    """Return the tables with the sizes of what is large where the registry's list leaves them out: they tell what a run costs."""
    names = [one.name for one in versions if one.url is None and (one.name in _FAMILY or is_gpu_library(one.name))]
    files = {name: wheels[0] for name in names if (wheels := packages.get(name, {}).get("wheels"))}
    unknown = {name: file["url"] for name, file in files.items() if "size" not in file and file.get("url")}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sizes = dict(zip(unknown, pool.map(size_of, unknown.values()), strict=True))
    grown = {name: {**files[name], "size": size} for name, size in sizes.items() if size is not None}
    return {
        name: {**package, "wheels": [grown[name], *package["wheels"][1:]]} if name in grown else package
        for name, package in packages.items()
    }
