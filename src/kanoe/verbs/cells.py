"""Where traces meet the sandbox: how a run's cells are watched, and what a run may reuse."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from kanoe.back.kept_secrets import SecretBlobs
from kanoe.back.masking import Mask
from kanoe.back.memory import ALWAYS_RUN_TAG, Origin, StoreMemory
from kanoe.back.sessions import SessionPlan
from kanoe.back.tracking import BlobStore as SessionBlobs
from kanoe.back.tracking import Tracking
from kanoe.back.tree import BlobStore as FileBlobs
from kanoe.back.tree import Tree
from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.base.hashing import hash_text
from kanoe.base.stop import Stop
from kanoe.engine.state import State
from kanoe.ir.folders import unquote
from kanoe.ir.source import Source
from kanoe.ir.trace import Reference
from kanoe.sandbox.confine import Tool
from kanoe.sandbox.layout import GIVEN, INPUT, MODULES, STAGING, WORKING, Layout
from kanoe.store.blobs import Blobs
from kanoe.store.contents import Contents
from kanoe.store.home import Store
from kanoe.store.traces import Traces
from kanoe.verbs.environment import Ready

_RESULTS = re.compile(r"\b(_{1,3}|_\d+|_oh|Out)\b")
_INDEX_NAMES = re.compile(
    r"(?<!\bself)\.names?\s*=(?!=)|\bset_names\(|\b(index|columns)\.rename\(|setattr\([^)]*\bnames?\b"
)
_SECRETS = "secret:all"
# Raised when a leak is found and mended: what older trackers recorded is not used.
TRACKER = 1


@dataclass(frozen=True, slots=True)
class CellsOptions:
    """What a run says about reuse.

    Args:
        cache: whether earlier executions count.
        refresh: cells that run all the same.
        first: a cell that runs all the same, and so do those after it; `None`: none.
        variables: the user's environment variables.
        secrets: values by name, which nothing that is kept may hold.
    """

    cache: bool = True
    refresh: tuple[str, ...] = ()
    first: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Watched:
    """A session to start, and what it may reuse; no memory: nothing is watched."""

    plan: SessionPlan
    memory: StoreMemory | None
    state: State = field(default_factory=State)


def watch_cells(
    source: Source, store: Store, plan: SessionPlan, ready: Ready, options: CellsOptions, run: str
) -> Watched:
    """Return how a session is watched, and the memory of its cells.

    Args:
        source: what runs.
        store: where it is remembered.
        plan: how the session starts.
        ready: its environment.
        options: what the user says.
        run: the run's id.
    """
    blobs = Blobs(store.blobs)
    origin = Origin(
        origin_of(source),
        environment_hash(source, ready, plan.tool, plan.layout, plan.worker, options),
        run,
        forced_cells(source, options),
    )
    plan, state = tracked(source, store, plan, SecretBlobs(blobs, options.secrets), options.secrets)
    assert plan.tracking is not None
    return Watched(plan, StoreMemory(origin, Traces(store.traces), blobs, plan.tracking.tree), state)


class KeptBlobs(SessionBlobs, FileBlobs, Protocol):
    """Where a session's bytes are kept."""


def tracked(
    source: Source, store: Store, plan: SessionPlan, blobs: KeptBlobs, secrets: Mapping[str, str]
) -> tuple[SessionPlan, State]:
    """Return how to start a session that is watched, and a state that holds what no cell writes.

    Args:
        source: what runs.
        store: where hashes of inputs are remembered.
        plan: how the session starts unwatched.
        blobs: where the bytes of its values and files are kept.
        secrets: values by name.
    """
    layout = plan.layout
    outside = Outside(layout, Contents(store.contents), secrets)
    folders = {WORKING: layout.folders.working, **_scratch(layout)}
    tree = Tree(folders, blobs, layout.folders.scratch / "parts")
    plain = plan.tool.kind == "none"
    configuration = {
        "staging": str(layout.folders.staging) if plain else STAGING,
        "given": str(layout.folders.given) if plain else GIVEN,
        "roots": {seen: str(host) if plain else seen for seen, host in {**folders, **outside.folders}.items()},
        "results": looks_at_results(source),
        "index_names": names_indexes(source),
        "apart": [str(path) for path in layout.tools],
        "seed": hash_text("seed", origin_of(source)),
    }
    tracking = Tracking(
        blobs, layout.folders.staging, layout.folders.given, tree, configuration, Mask(secrets.values())
    )
    return replace(plan, tracking=tracking), State(outside.hash_of)


def origin_of(source: Source) -> str:
    """Return whose executions a source may use: those of its folder.

    A reference that `kernel-metadata.json` names is no proof: anybody can write another's there.
    """
    return f"folder:{source.folder.resolve()}"


def looks_at_results(source: Source) -> bool:
    """Whether a cell may look at what other cells returned: by `_`, `_3`, `Out`."""
    return any(_RESULTS.search(cell.source) for cell in source.notebook.code_cells)


def names_indexes(source: Source) -> bool:
    """Whether a cell may give an index of pandas another name in place: all that hold this index see it then."""
    return any(_INDEX_NAMES.search(cell.source) for cell in source.notebook.code_cells)


def environment_hash(
    source: Source, ready: Ready, tool: Tool, layout: Layout, worker: Path, options: CellsOptions
) -> str:
    """Return a hash of all that is the same for every cell of a run."""
    variables = [
        f"{name}={value}" for name, value in sorted({**layout.limits.variables(), **options.variables}.items())
    ]
    return hash_text(
        "environment",
        f"tracker {TRACKER}",
        worker.name,
        ready.environment.id,
        "plain" if tool.kind == "none" else "walls",
        "internet" if layout.internet else "no internet",
        "results" if looks_at_results(source) else "no results",
        "index names" if names_indexes(source) else "no index names",
        "devices" if layout.devices else "no devices",
        *variables,
    )


def forced_cells(source: Source, options: CellsOptions) -> dict[str, str]:
    """Return why cells run whatever is remembered, by their ids.

    Raises:
        InputError: a cell to refresh is not there.
    """
    cells = source.notebook.code_cells
    forced = {} if options.cache else {cell.id: "nothing is reused (--no-cache)" for cell in cells}
    forced |= {cell.id: f"it is tagged {ALWAYS_RUN_TAG}" for cell in cells if ALWAYS_RUN_TAG in cell.tags}
    for wanted in options.refresh:
        for position in find_cells(source, wanted, "--refresh"):
            forced[cells[position].id] = "it is to be refreshed (--refresh)"
    if options.first is not None:
        for cell in cells[min(find_cells(source, options.first, "--from")) :]:
            forced[cell.id] = f"everything from cell {options.first} on is to run (--from)"
    return forced


def check_cells(source: Source, refresh: Sequence[str], first: str | None, until: str | None) -> None:
    """Do nothing, or say that an option names a cell that is not there.

    Raises:
        InputError: `cell-unknown`.
    """
    named = [*((wanted, "--refresh") for wanted in refresh), (first, "--from"), (until, "--until")]
    for wanted, option in named:
        if wanted is not None:
            find_cells(source, wanted, option)


def find_cells(source: Source, wanted: str, option: str) -> list[int]:
    """Return the positions of the code cells that a word names: a position, an id or a tag.

    Raises:
        InputError: there is none.
    """
    cells = source.notebook.code_cells
    found = [
        position for position, cell in enumerate(cells) if wanted in (str(position), cell.id) or wanted in cell.tags
    ]
    if not found:
        message = f"there is no cell `{wanted}`: the code cells are 0 to {len(cells) - 1}"
        raise InputError(error("cell-unknown", message, place=option, hint="Give a position, an id or a tag"))
    return found


def _scratch(layout: Layout) -> dict[str, Path]:
    scratch = layout.folders.scratch
    return {"/kaggle/temp": scratch / "temp", "/tmp": scratch / "tmp", "/root": scratch / "home"}  # noqa: S108 - the sandbox's own


class Outside:
    """What no cell can write: the data, the modules beside the notebook, and the secrets that are given."""

    def __init__(self, layout: Layout, contents: Contents, secrets: Mapping[str, str] = {}) -> None:
        self._secrets = hash_text("secrets", *(text for item in sorted(secrets.items()) for text in item))
        self._contents = contents
        self._known: dict[Reference, str | None] = {}
        self._mounts = {mount.target: mount.source for mount in (*layout.inputs, *layout.modules)}
        self.folders = {INPUT: layout.folders.scratch / "input", MODULES: layout.folders.scratch / "lib"}

    def hash_of(self, reference: Reference) -> str | None:
        """Return the hash of what stands at a path there; `None` where nothing does, and for everything else."""
        if reference == _SECRETS:
            return self._secrets
        if reference not in self._known:
            self._known[reference] = self._find(reference)
        return self._known[reference]

    def _find(self, reference: Reference) -> str | None:
        kind, _, name = reference.partition(":")
        if not name.startswith(("/kaggle/input", "/kaggle/lib", "/kaggle/src")):
            return None
        path = unquote(name)
        for target, source in self._mounts.items():
            if path == target or path.startswith(f"{target}/"):
                return self._hash(kind, Path(str(source) + path.removeprefix(target)))
        below = sorted(target for target in self._mounts if target.startswith(f"{path}/"))
        return hash_text("mounts", *below) if below else None

    def _hash(self, kind: str, path: Path) -> str | None:
        try:
            if kind == "exists":
                return hash_text("exists", "folder" if path.is_dir() else "file") if path.exists() else None
            if kind == "folder" and path.is_dir():
                return hash_text("folder", *sorted(os.listdir(path)))
        except OSError:
            return None
        return self._contents.hash_tree(path, Stop())
