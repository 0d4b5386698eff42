"""Where an environment, data and a sandbox meet: the layout that `run` and `python` start their programs in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, cell_place, info, warning
from kanoe.base.errors import UnavailableError
from kanoe.base.files import remove_tree
from kanoe.base.processes import marked, owner
from kanoe.engine.events import Event, Noted, StageChanged
from kanoe.front.paths import PathUse, find_paths, keeps_folder
from kanoe.ir.source import Source
from kanoe.sandbox.confine import Tool, choose_tool, plain_input, remove_plain_input
from kanoe.sandbox.gpu import Gpu, gpu_missing, need_gpu
from kanoe.sandbox.inputs import DataSource, Known, attach_inputs, is_provided, place_inputs
from kanoe.sandbox.layout import INPUT, MODULES, RUNTIME, Folders, Layout, Mount, kaggle_variables
from kanoe.store.home import Store
from kanoe.verbs.answers import kaggle_modules
from kanoe.verbs.environment import EnvironmentOptions, Ready
from kanoe.verbs.installs import Installs, Seen, lay_out_installs
from kanoe.verbs.queue import living_work

_LONGEST_SOCKET_FOLDER = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions(EnvironmentOptions):
    """What a program in a sandbox gets of this machine, besides its environment.

    Args:
        inputs: data to attach, each `PATH` or `PATH:SLUG`.
        internet: whether it has a network; `None`: not.
        memory: bytes that all its processes together may hold; `None`: nine tenths of the machine's.
        cpus: how many CPUs it may use; `None`: all.
        secrets: what Kaggle's `UserSecretsClient` answers: values by name, or texts as `--secret` takes them.
        variables: environment variables.
    """

    inputs: Sequence[str] = ()
    internet: bool | None = None
    memory: int | None = None
    cpus: int | None = None
    secrets: Mapping[str, str] | Sequence[str] = field(default=(), repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A sandbox that is laid out and not yet started.

    Args:
        tool: what builds its walls.
        layout: what stands in it.
    """

    tool: Tool
    layout: Layout


@dataclass(frozen=True, slots=True)
class Data:
    """The data of a run: its sources, and the absolute paths below `/kaggle/input` that the code names."""

    sources: tuple[DataSource, ...]
    paths: tuple[str, ...]


def attach_data(source: Source, inputs: Sequence[str], store: Store, tell: Callable[[Event], None]) -> Data:
    """Attach the data of a source, and tell what is attached and which paths cells read that nobody provides.

    Args:
        source: what runs: its metadata and the paths it names say how its data is seen.
        inputs: the texts of `--input`.
        store: where zip files are unpacked.
        tell: takes events.

    Raises:
        InputError: the data given cannot be attached.
    """
    uses = find_paths(source.notebook)
    # A folder that is kept stands for any file straight below it.
    kept = (f"{INPUT}/*",) if keeps_folder(source.notebook) else ()
    paths = (*(use.path for use in uses), *kept)
    sources = attach_inputs(inputs, source.folder, Known.of(source.metadata, paths), store.inputs)
    for data in sources:
        tell(StageChanged(stage="data", text=f"{INPUT}/{data.place} is {data.given}", done=True))
    for diagnostic in (*_unprovided(uses, sources, source.path.name), *_unattached(source, sources)):
        tell(Noted(diagnostic=diagnostic))
    return Data(sources, paths)


def wanted_gpu(wanted: bool) -> Gpu | None:
    """Return this machine's GPU where one is wanted.

    Raises:
        UnavailableError: `gpu-missing`: there is none that works.
    """
    found = need_gpu() if wanted else None
    if found is not None and found.gpu is None:
        raise UnavailableError(gpu_missing(found))
    return found.gpu if found is not None else None


@contextlib.contextmanager
def laid_out(
    source: Source,
    ready: Ready,
    data: Data,
    store: Store,
    working: Path,
    *,
    internet: bool | None = None,
    files: Sequence[Mount] = (),
    tell: Callable[[Event], None],
) -> Iterator[Place]:
    """Choose the walls and lay out what a program of `source` will see; what is not kept is removed at the end.

    Args:
        source: what runs.
        ready: its environment.
        data: its data.
        store: where scratch folders stand.
        working: the host folder behind `/kaggle/working`.
        internet: whether there is a network; `None`: not, and told where `kernel-metadata.json` asks for one.
        files: more host files that it sees, at Kaggle's paths.
        tell: takes events: that there is no sandbox, or no network where one is asked for; side data and programs that are missing.
    """
    tool = choose_tool()
    if tool.kind == "none":
        tell(Noted(diagnostic=_no_sandbox(tool)))
    for diagnostic in ready.beside.diagnostics:
        # With a network libraries fetch themselves what is missing.
        if not (internet and diagnostic.code == "side-data-missing"):
            tell(Noted(diagnostic=diagnostic))
    mounts, links = place_inputs(data.sources, data.paths)
    with _folders(store) as (runtime, scratch), _noted_link(tool, working, store):
        if internet is None and source.metadata is not None and source.metadata.enable_internet:
            tell(Noted(diagnostic=_no_internet()))
        installs = _installs(source, ready, store, scratch, runtime, tool, internet=bool(internet))
        layout = Layout(
            folders=Folders(working, scratch, runtime),
            inputs=mounts,
            links=links,
            modules=(
                *(Mount(path, f"{MODULES}/{path.name}") for path in ready.local_modules),
                *kaggle_modules(ready.local_modules),
                *installs.modules,
                *files,
            ),
            tools=(*ready.tools, *ready.beside.folders, *installs.tools),
            variables=kaggle_variables(
                [*installs.programs, str(ready.programs), *map(str, ready.beside.programs)],
                # Without walls programs may outlive a Kanoe that is killed; the mark lets them be found.
                {
                    "VIRTUAL_ENV": str(ready.environment.path),
                    **ready.beside.variables,
                    **installs.variables,
                    **(marked({}) if tool.kind == "none" else {}),
                },
            ),
            internet=bool(internet),
        )
        try:
            yield Place(tool, layout)
        finally:
            if tool.kind == "none":
                remove_plain_input(layout)


@contextlib.contextmanager
def _folders(store: Store) -> Iterator[tuple[Path, Path]]:
    """Make the runtime folder and the scratch folder, which are gone afterwards."""
    with contextlib.ExitStack() as stack:
        # The mark in its name lets it be found when this Kanoe was killed.
        runtime = Path(tempfile.mkdtemp(prefix=f"kanoe-{owner()}-", dir=_short_folder()))
        stack.callback(remove_tree, runtime)
        scratch = Path(tempfile.mkdtemp(prefix="run-", dir=store.scratch))
        stack.callback(remove_tree, scratch)
        yield runtime, scratch


@contextlib.contextmanager
def _noted_link(tool: Tool, working: Path, store: Store) -> Iterator[None]:
    """Note the link beside the working folder that a plain process needs: should this Kanoe be killed, it is taken away later."""
    if tool.kind != "none":
        yield
        return
    with living_work(store, "plain") as life:
        life.note_link(plain_input(working))
        yield


def _installs(
    source: Source, ready: Ready, store: Store, scratch: Path, runtime: Path, tool: Tool, *, internet: bool
) -> Installs:
    """Lay out what cells find that install; without a sandbox they see it where it stands."""
    walls = tool.kind != "none"
    home = Seen(scratch / "home", "/root" if walls else str(scratch / "home"))
    return lay_out_installs(
        source, ready, store, home, Seen(runtime, RUNTIME if walls else str(runtime)), internet=internet
    )


def _short_folder() -> str | None:
    """Return where socket folders go: a path of a Unix socket holds 107 bytes."""
    return None if len(tempfile.gettempdir()) < _LONGEST_SOCKET_FOLDER else "/tmp"  # noqa: S108 - mkdtemp makes a private folder


def _no_sandbox(tool: Tool) -> Diagnostic:
    return warning(
        "sandbox-none",
        f"no sandbox works here ({tool.why_not}): the notebook runs as a plain process that can read and write your files, "
        "see and end your processes and use your network, and only relative data paths (`../input`) work",
        hint="Install bubblewrap (`apt install bubblewrap`), or allow user namespaces: `kanoe doctor` names the command",
    )


def _no_internet() -> Diagnostic:
    return info(
        "internet-off",
        "it asks for the internet, which Kanoe gives to nobody's notebook unasked",
        place="kernel-metadata.json",
        hint="If you trust the notebook: `--internet`; `--no-internet` keeps this line away",
    )


def _unprovided(uses: Sequence[PathUse], sources: Sequence[DataSource], file_name: str) -> Iterator[Diagnostic]:
    """Yield a warning for each path that a cell certainly reads and no data provides."""
    told = set()
    for use in uses:
        if use.reads and not use.guarded and use.path not in told and not is_provided(use.path, sources):
            told.add(use.path)
            yield warning(
                "input-unprovided",
                f"it reads `{use.path}`, and no attached data has it",
                place=cell_place(file_name, use.cell, use.line),
                hint=f"Attach it: `--input PATH:{_slug_of(use.path)}`, or put it into an `input/` folder beside the notebook",
            )


def _unattached(source: Source, sources: Sequence[DataSource]) -> Iterator[Diagnostic]:
    """Yield a warning for each data source that `kernel-metadata.json` names and nobody provides."""
    attached = {data.place for data in sources}
    for place in Known.of(source.metadata, ()).places:
        if place not in attached:
            kind, _, name = place.partition("/")
            bring = {
                "competitions": f"`kaggle competitions download -c {name}`",
                "datasets": f"`kaggle datasets download {name}`",
            }
            first = f"{bring[kind]} brings it, then " if kind in bring else ""
            yield warning(
                "input-unprovided",
                f"it names the data source `{name}`, and no attached data is that",
                place="kernel-metadata.json",
                hint=f"{first}`--input PATH:{name}`",
            )


def _slug_of(path: str) -> str:
    """Return the slug that a path names, for a hint."""
    parts = path.removeprefix(f"{INPUT}/").split("/")
    if parts[0] == "datasets" and len(parts) > 3:
        return "/".join(parts[1:3])
    if parts[0] == "competitions" and len(parts) > 2:
        return parts[1]
    return parts[0] if len(parts) > 1 else "SLUG"
