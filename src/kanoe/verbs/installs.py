"""What cells that install find: the programs, the run's own overlay, and the registries of the user where there is internet."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.back.installer import installer_folder
from kanoe.environments.rules import build_settings, repaired_metadata
from kanoe.environments.settings import dumps, network_settings, registry_variables
from kanoe.environments.tables import read_pairs
from kanoe.environments.uv import find_uv
from kanoe.ir.source import Source
from kanoe.sandbox.layout import MODULES, Mount
from kanoe.store.home import Store
from kanoe.verbs.environment import Ready

# Where registries are and how they are reached. Passwords stay out: what the run's programs read, the notebook reads.
_PASSED = re.compile(
    r"UV_(?:DEFAULT_INDEX|INDEX_URL|INDEX|EXTRA_INDEX_URL|INDEX_STRATEGY|INSECURE_HOST|HTTP_TIMEOUT|HTTP_RETRIES|NATIVE_TLS"
    r"|SYSTEM_CERTS|TORCH_BACKEND)|SSL_CERT_(?:FILE|DIR)"
)
_OF_A_USER = ("_USERNAME", "_PASSWORD")
_OF_THE_HOST = frozenset({"cache-dir", "find-links", "link-mode", "no-cache", "no-index", "offline"})
_SEEN_ANYWAY = ("/usr", "/etc/ssl", "/etc/pki", "/etc/ca-certificates")


@dataclass(frozen=True, slots=True)
class Installs:
    """What the layout of a run holds so that its cells may install.

    Args:
        programs: folders of `PATH`, before the environment's.
        tools: host files and folders that are seen at their own path.
        modules: the package `pip`, and what it stands on.
        variables: environment variables.
    """

    programs: tuple[str, ...]
    tools: tuple[Path, ...]
    modules: tuple[Mount, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A host folder, and where the run sees it."""

    host: Path
    inside: str


def lay_out_installs(
    source: Source, ready: Ready, store: Store, home: Seen, runtime: Seen, *, internet: bool
) -> Installs:
    """Lay out what cells find that call pip, and return what the layout needs for it.

    Args:
        source: what runs.
        ready: its environment.
        store: where the programs are kept.
        home: the run's home; the overlay stands there as what a user has installed for himself.
        runtime: where the settings stand.
        internet: whether the run has a network.

    Raises:
        InputError: the user's settings of registries cannot be understood.
        UnavailableError: there is no `uv`.
    """
    environment = ready.environment
    modules = f".local/lib/python{environment.interpreter.short}/site-packages"
    # There from the start: Python forgets a folder of its path that it once did not find.
    (home.host / modules).mkdir(parents=True, exist_ok=True)
    installer, uv = installer_folder(store.workers), Path(find_uv())
    registries = _registries(source.folder, environment.lock.as_of, environment.interpreter.minor) if internet else {}
    settings = {
        "uv": str(uv),
        "python": str(environment.python),
        "modules": str(environment.modules),
        "overlay": f"{home.inside}/.local",
        "installed": f"{home.inside}/{modules}",
        "internet": internet,
        "as_of": environment.lock.as_of,
        "links": [need.url for need in environment.lock.requirements if need.url is not None],
        "run": f"kanoe run {shlex.quote(source.path.name)}",
        "conda": dict(read_pairs("conda")),
        "apt": _by_package(read_pairs("programs")),
        **registries,
    }
    _write_private(runtime.host / "installs.json", json.dumps(settings))
    certificates = [Path(path) for name, path in registries.get("variables", {}).items() if name.startswith("SSL_")]
    return Installs(
        programs=(f"{installer}/programs", f"{home.inside}/.local/bin"),
        tools=(installer, uv, *(path for path in certificates if path.exists() and not _is_seen(path))),
        modules=tuple(Mount(path, f"{MODULES}/{path.name}") for path in sorted((installer / "modules").iterdir())),
        variables={
            "KANOE_INSTALLS": f"{runtime.inside}/installs.json",
            "PYTHONPATH": f"{MODULES}:{home.inside}/{modules}",
        },
    )


def _registries(folder: Path, as_of: str | None, python_minor: tuple[int, int]) -> dict[str, Any]:
    """Return what uv is told of registries, without passwords."""
    told = {**{name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}, **registry_variables()}
    network = {name: value for name, value in network_settings(folder).items() if name not in _OF_THE_HOST}
    repaired = list(repaired_metadata())
    settings = dumps(
        {**network, **build_settings(as_of, python_minor), **({"dependency-metadata": repaired} if repaired else {})}
    )
    variables = {name: _without_user(value) for name, value in told.items() if not name.endswith(_OF_A_USER)}
    return {"variables": variables, "settings": _without_user(settings)}


def _without_user(text: str) -> str:
    """Return text whose addresses name no user and no password."""
    return re.sub(r"//[^/@\s\"']+@", "//", text)


def _by_package(programs: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for program, package in programs.items():
        found.setdefault(package, []).append(program)
    return found


def _is_seen(path: Path) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in _SEEN_ANYWAY)


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)
