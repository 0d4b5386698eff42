"""PyTorch's own index, which has a build of each release for processors and for each CUDA.

It does not say when its files were uploaded, so the ordinary registry chooses the versions and this one is asked only
whether it has the same in another build.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from kanoe.environments.answer import Version
from kanoe.environments.question import Question
from kanoe.environments.settings import torch_index
from kanoe.environments.uv import run_uv
from kanoe.environments.versions import normalise, version_fits

# What is built for one kind of machine and must be of the same build as torch, from the version on that says so by a label.
FAMILY: Mapping[str, str] = {"torch": "", "torchvision": "", "torchaudio": ">=0.10"}


def find_builds(question: Question, versions: Sequence[Version], build: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a pylock file for what of a set is PyTorch's; empty where not all of it is to be had.

    Args:
        question: who asks.
        versions: the set.
        build: `cpu`, `cu113`.

    Raises:
        UnavailableError: `uv` is missing.
        CancelledError: a stop was requested.
    """
    wanted = [one for one in versions if one.url is None and one.version and _is_built(one.name, one.version)]
    address = torch_index(question.folder, build)
    if address is None or not any(one.name == "torch" for one in wanted):
        return {}
    command = ["pip", "compile", "-", "--python", str(question.interpreter.path), "--no-header", "--no-deps"]
    command += ["--no-python-downloads", "--format", "pylock.toml", "--only-binary", ":all:"]
    command += ["--default-index", address, "--index-strategy", "unsafe-best-match"]
    for one in wanted:
        command += ["--exclude-newer-package", f"{one.name}=false"]
    text = "".join(f"{one.name}=={one.version}+{build}\n" for one in wanted)
    # One that does not answer costs a try, not four.
    once = {"UV_HTTP_RETRIES": "0"}
    done = run_uv(command, folder=question.folder, text=text, variables=once, own={}, stop=question.stop)
    if done.returncode != 0:
        return {}
    found = {normalise(one["name"]): one for one in tomllib.loads(done.stdout)["packages"]}
    return found if len(found) == len(wanted) and all(one.get("wheels") for one in found.values()) else {}


def _is_built(name: str, version: str) -> bool:
    return "+" not in version and name in FAMILY and version_fits(version, FAMILY[name])
