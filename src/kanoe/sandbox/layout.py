"""What a notebook sees: Kaggle's paths, as data. Nothing here touches the disk.

The layout is that of Kaggle's own sessions: `/kaggle/input` read-only with one folder per data source, `/kaggle/working` as the
current folder and the only one that is kept, `/kaggle/temp` and `/tmp` for scratch, `/root` as home.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kanoe.sandbox.limits import ResourceLimits

INPUT = "/kaggle/input"
WORKING = "/kaggle/working"
MODULES = "/kaggle/lib"
RUNTIME = "/run/kanoe"
# What a session writes for Kanoe, and what it is given to read, on the file system of the store.
STAGING = f"{RUNTIME}/staging"
GIVEN = f"{RUNTIME}/given"

# What notebooks test for to learn that they are on Kaggle, and what its image sets.
KAGGLE_VARIABLES: Mapping[str, str] = {
    "KAGGLE_CONTAINER_NAME": "kaggle_kanoe",
    "KAGGLE_DATA_PROXY_TOKEN": "local",
    "KAGGLE_KERNEL_INTEGRATIONS": "",
    "KAGGLE_KERNEL_RUN_TYPE": "Batch",
    "KAGGLE_URL_BASE": "https://www.kaggle.com",
    "KAGGLE_USER_SECRETS_TOKEN": "local",
    "KAGGLE_WORKING_DIR": WORKING,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "MKL_THREADING_LAYER": "GNU",
    "PYTHONHASHSEED": "0",
    "PYTHONUSERBASE": "/root/.local",
    "SHELL": "/bin/bash",
    "TERM": "xterm-color",
    "TZ": "UTC",
    "USER": "root",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """A host file or folder seen at `target`."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link at `target` with the text `to`."""

    target: str
    to: str


@dataclass(frozen=True, slots=True)
class Folders:
    """The host folders of one run: what is kept (`working`), what is not (`scratch`), and Kanoe's own talk with it (`runtime`)."""

    working: Path
    scratch: Path
    runtime: Path

    @property
    def staging(self) -> Path:
        """What the session lays down for Kanoe to take."""
        return self.scratch / "staging"

    @property
    def given(self) -> Path:
        """What Kanoe lays down for the session to read."""
        return self.scratch / "given"


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that stands in a sandbox.

    Args:
        folders: the run's own folders, mounted writable at `/kaggle/working`, (`/kaggle/temp`, `/tmp`, `/root`) and `/run/kanoe`.
        inputs: what stands below `/kaggle/input`, read-only.
        links: links below `/kaggle/input`.
        modules: local modules of the notebook, below `/kaggle/lib`.
        tools: host folders seen at their own path, read-only: the environment and its interpreter.
        variables: environment variables.
        internet: whether the network is there.
        limits: what it may use.
        devices: device nodes of the host that it sees: a GPU's.
    """

    folders: Folders
    inputs: tuple[Mount, ...] = ()
    links: tuple[Link, ...] = ()
    modules: tuple[Mount, ...] = ()
    tools: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    internet: bool = False
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    devices: tuple[Path, ...] = ()


def with_limits(layout: Layout, limits: ResourceLimits) -> Layout:
    """Return a layout whose program gets these limits, and is told how many threads to start; variables that are set stay."""
    return replace(layout, limits=limits, variables={**limits.variables(), **layout.variables})


def kaggle_variables(programs: Sequence[str], extra: Mapping[str, str]) -> dict[str, str]:
    """Return a session's environment variables: `programs` are the folders of `PATH`, first the environment's own."""
    path = ":".join((*programs, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
    return {**KAGGLE_VARIABLES, "HOME": "/root", "PATH": path, "PYTHONPATH": MODULES, **extra}
