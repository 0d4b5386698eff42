"""`kanoe env lock`, `kanoe env show`, and the environment that `run` and `python` stand on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import Diagnostic, Severity, error
from kanoe.base.errors import InputError
from kanoe.base.files import leads_to_private, replace_file
from kanoe.base.sizes import show_size
from kanoe.base.stop import Stop
from kanoe.engine.events import Event, Noted, StageChanged
from kanoe.environments.accelerator import choose_builds
from kanoe.environments.as_of import clamp_day
from kanoe.environments.build import Environment, environment_for
from kanoe.environments.choices import recall_choice
from kanoe.environments.distributions import find_needs, kernel_requirements
from kanoe.environments.interpreters import Interpreter, choose_interpreter, choose_near
from kanoe.environments.lock import Lock, check, remarks
from kanoe.environments.lock_file import dumps, find_lock, read_lock
from kanoe.environments.needs import Needs
from kanoe.environments.programs import SANDBOX_PATH, ProgramUse, find_programs
from kanoe.environments.resolve import resolve
from kanoe.environments.side_data import Brought, SideDatum, find_side_data, with_models
from kanoe.environments.sources import find_tree, pin_sources
from kanoe.environments.trees import take_trees, trees_of, with_trees
from kanoe.front.read import read_source
from kanoe.ir.code import parse_cell
from kanoe.ir.source import Source
from kanoe.store.home import Store, open_store
from kanoe.verbs.beside import bring_beside
from kanoe.verbs.builders import walled
from kanoe.verbs.queue import at_work

Watch = Callable[[Event], None]

# The library whose version tells a reader most about an environment, the first that the source asks for.
_MAIN = ("pandas", "tensorflow", "torch", "keras", "scikit-learn", "numpy", "matplotlib")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOptions:
    """Where an environment comes from.

    Args:
        as_of: only releases before this day or time count.
        python: a version, a specifier or a path.
        with_packages: distributions to add, PEP 508.
        lock: the lock to use; `None`: one that stands beside the source, else a resolution.
        gpu: whether a GPU is used: builds for it are taken where there are two, else those for a processor.
    """

    as_of: str | None = None
    python: str | None = None
    with_packages: Sequence[str] = ()
    lock: Path | None = None
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """An environment that is there.

    Args:
        environment: what was built.
        programs: the folder of its programs, for `PATH`.
        tools: host folders that its interpreter needs.
        local_modules: modules beside the source that it imports.
        facts: what a run's record says about it.
        lock: the lock's text.
        beside: data that its libraries read and programs that it lacks, as far as they could be brought.
    """

    environment: Environment
    programs: Path
    tools: tuple[Path, ...]
    local_modules: tuple[Path, ...]
    facts: dict[str, Any]
    lock: str
    beside: Brought = field(default_factory=Brought)


@dataclass(frozen=True, slots=True)
class Locked:
    """The lock of a source.

    Args:
        asked: what the source asks for.
        needs: what the lock was made from: the same, with what an earlier run found, and with all that is settled late.
        interpreter: the Python it is for.
        lock: the lock.
        file: the file it came from, or `None`.
        notes: what a user should know of it.
    """

    asked: Needs
    needs: Needs
    interpreter: Interpreter
    lock: Lock
    file: Path | None
    notes: tuple[Diagnostic, ...] = ()

    def describe(self) -> str:
        """Return the environment and what speaks for it: `Python 3.6.15, pandas 0.22.0, 2018-04-10: kernel id 3456789`."""
        needs, lock = self.needs, self.lock
        asked = {one.name for one in needs.requirements}
        main = next((one for name in _MAIN if name in asked and (one := lock.find(name)) is not None), None)
        words = [f"Python {self.interpreter.version}"]
        if lock.as_of:
            words += [f"{main.name} {main.version}"] if main else []
            words.append(lock.as_of[:10])
        said = ((needs.python_why, needs.python_inferred), (needs.as_of_why, needs.as_of_inferred))
        whys = list(dict.fromkeys([*(why for why, inferred in said if why and not inferred), *needs.evidence]))
        return f"{', '.join(words)}{f': {_join(whys)}' if whys else ''}"


def ready_environment(source: Source, options: EnvironmentOptions, store: Store, tell: Watch, stop: Stop) -> Ready:
    """Return the environment of a source, built if it is not there.

    Args:
        source: what needs it.
        options: where it comes from.
        store: where environments and resolutions are kept.
        tell: takes events: progress and remarks.
        stop: ends the work.

    Raises:
        InputError: a declaration, an option or a lock is wrong, or no set of versions fits.
        UnavailableError: an interpreter, `uv` or the registry is not there.
        CancelledError: `stop` was requested.
    """
    locked = lock_source(source, options, store, tell, stop)
    tell_notes(locked, tell)
    return build(source, locked, store, tell, stop)


def build(source: Source, locked: Locked, store: Store, tell: Watch, stop: Stop) -> Ready:
    """Return the environment of a lock; arguments and errors as for `ready_environment`."""
    environment = environment_for(
        locked.lock,
        locked.interpreter,
        store=store.environments,
        folder=source.folder,
        progress=_progress(tell),
        stop=stop,
    )
    trees = trees_of(locked.lock, store.side_data / "trees", progress=_progress(tell), stop=stop)
    count = len(locked.lock.distributions)
    where = f", from {locked.file.name}" if locked.file else ""
    text = f"{locked.describe()}{';' if locked.lock.as_of else ','} {count} distributions{where}"
    tell(StageChanged(stage="environment", text=text, fraction=1.0, done=True))
    facts = {
        "id": environment.id,
        "path": str(environment.path),
        "python": locked.interpreter.version,
        "distributions": count,
        "as_of": locked.lock.as_of,
        "accelerator": locked.lock.accelerator,
        "evidence": list(locked.needs.evidence),
        "lock": str(locked.file) if locked.file else None,
    }
    return Ready(
        environment=environment,
        programs=environment.python.parent,
        tools=(environment.path, *_installation(environment.python, locked.interpreter)),
        local_modules=(*(_module_path(source.folder, name) for name in locked.needs.local_modules), *trees),
        facts=facts,
        lock=dumps(locked.lock, source.path.name),
        beside=bring_beside(source, locked.lock, store, tell, stop),
    )


def lock_source(
    source: Source, options: EnvironmentOptions, store: Store, tell: Watch, stop: Stop, *, anew: bool = False
) -> Locked:
    """Return the lock of a source: from a file, from memory, or resolved now.

    Args:
        source: what needs it.
        options: where it comes from.
        store: where resolutions are kept.
        tell: takes events: progress, and remarks of reading the source; those of the lock are its `notes`.
        stop: ends the work.
        anew: resolve again, whatever stands beside the source or is remembered.

    Raises:
        InputError: a declaration, an option or a lock is wrong, or no set of versions fits.
        UnavailableError: an interpreter, `uv` or the registry is not there.
        CancelledError: `stop` was requested.
    """
    needs = find_needs(source, extra=options.with_packages, python=options.python, as_of=options.as_of)
    file = None if anew else find_lock(source.folder, source.name, options.lock)
    lock = read_lock(file) if file is not None else None
    # What a lock holds decides how the declarations are read: it is used as it is.
    if lock is None or lock.accelerator is not None:
        needs = choose_builds(needs, gpu=options.gpu if lock is None else lock.accelerator == "cuda")
    for diagnostic in needs.diagnostics:
        tell(Noted(diagnostic=diagnostic))
    if file is not None and lock is not None:
        return _lock_of_file(file, lock, source, needs, options, store, stop)
    locked = lock_needs(source, recall_choice(source, needs, store.locks), store, tell, stop, anew=anew)
    return replace(locked, asked=needs)


def tell_notes(locked: Locked, tell: Watch) -> None:
    """Tell what a user should know of a lock."""
    for diagnostic in locked.notes:
        tell(Noted(diagnostic=diagnostic))


def lock_needs(source: Source, needs: Needs, store: Store, tell: Watch, stop: Stop, *, anew: bool = False) -> Locked:
    """Return the lock of what a source needs, remembered or resolved now; arguments and errors as for `lock_source`."""
    asked = needs
    needs = choose_builds(needs, gpu=needs.gpu)
    interpreter, remark = _choose_python(needs, _memory(store), stop)
    interpreter = walled(interpreter, store)
    told = len(asked.diagnostics)
    if needs.as_of_inferred and needs.as_of is not None:
        needs = replace(needs, as_of=clamp_day(needs.as_of, interpreter.minor))
    needs = with_models(needs, find_side_data([parse_cell(cell.source) for cell in source.notebook.code_cells]))
    needs = pin_sources(needs, store.locks / "sources", anew=anew, progress=_progress(tell), stop=stop)
    taken, trees = take_trees(needs, source, store.side_data / "trees", progress=_progress(tell), stop=stop)
    lock = resolve(
        taken,
        interpreter,
        kernel=kernel_requirements(interpreter.minor),
        cache=store.locks,
        upgrade=anew,
        folder=source.folder,
        progress=_progress(tell),
        stop=stop,
    )
    notes = (*remark, *taken.diagnostics[told:], *remarks(lock))
    return Locked(asked, needs, interpreter, with_trees(lock, trees), None, notes)


def _choose_python(needs: Needs, memory: Path, stop: Stop) -> tuple[Interpreter, tuple[Diagnostic, ...]]:
    """Return the interpreter, and a remark where it is not the one that was inferred: that one is only a wish."""
    if not needs.python_inferred:
        return choose_interpreter(needs.python, needs.python_why, memory=memory, stop=stop), ()
    interpreter, remark = choose_near(needs.python, memory=memory, stop=stop)
    return interpreter, (remark,) if remark else ()


def _lock_of_file(
    file: Path, lock: Lock, source: Source, needs: Needs, options: EnvironmentOptions, store: Store, stop: Stop
) -> Locked:
    """Return a lock that stands in a file, if it fits."""
    wanted, why = (options.python, "--python") if options.python else (lock.python, file.name)
    interpreter = walled(choose_interpreter(wanted, why, memory=_memory(store), stop=stop), store)
    # One that is named is used as it is, whatever its builds.
    fitting = replace(needs, gpu=options.gpu and options.lock is None)
    wrong = check(lock, fitting, interpreter, place=file.name, source=source.path.name, options=_options_text(options))
    if any(diagnostic.severity is Severity.ERROR for diagnostic in wrong):
        raise InputError(*wrong)
    return Locked(needs, needs, interpreter, lock, file, remarks(lock))


def _memory(store: Store) -> Path:
    return store.environments / "interpreters"


def ignore(_event: Event) -> None:
    """Watch nothing."""


@at_work("env-lock")
def write_lock(
    reference: str | Path,
    options: EnvironmentOptions = EnvironmentOptions(),
    output: Path | None = None,
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
) -> tuple[Path, Lock]:
    """Resolve a source's environment anew and write it as a lock; returns the file and the lock.

    Raises:
        InputError: the source or an option is wrong, or the file cannot be written.
        UnavailableError: an interpreter, `uv` or the registry is not there.
        CancelledError: `stop` was requested.
    """
    source = read_source(reference)
    locked = lock_source(source, options, open_store(), watch, stop or Stop(), anew=True)
    tell_notes(locked, watch)
    path = (output or source.folder / f"{source.name}.lock").expanduser().absolute()
    try:
        replace_file(path, dumps(locked.lock, source.path.name).encode())
    except OSError as cause:
        raise InputError(
            error(
                "output-unwritable",
                f"the lock `{path}` cannot be written: {cause.strerror or cause}",
                place="--output" if output else None,
                hint="Name a file that you can write: `kanoe env lock SOURCE -o FILE`",
            )
        ) from cause
    return path, locked.lock


@dataclass(frozen=True, slots=True)
class ShownEnvironment:
    """What `kanoe env show` shows."""

    source: Source
    locked: Locked
    side_data: tuple[SideDatum, ...] = ()
    programs: tuple[ProgramUse, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        lock = self.locked.lock
        return {
            "source": str(self.source.path),
            "python": self.locked.interpreter.version,
            "python_why": self.locked.needs.python_why,
            "as_of": lock.as_of,
            "as_of_why": self.locked.needs.as_of_why,
            "evidence": list(self.locked.needs.evidence),
            "platform": lock.platform,
            "accelerator": lock.accelerator,
            "lock": str(self.locked.file) if self.locked.file else None,
            "requirements": [{"requirement": str(entry), "why": list(entry.why)} for entry in lock.requirements],
            "distributions": [
                {"name": entry.name, "version": entry.version, "why": list(entry.why), "bytes": entry.size}
                for entry in lock.distributions
            ],
            "skipped": [{"name": entry.name, "reason": entry.reason} for entry in lock.skipped],
            "moved": [{"name": entry.name, "day": entry.day, "reason": entry.reason} for entry in lock.moved],
            "side_data": [{"kind": datum.kind, "name": datum.name, "use": datum.use} for datum in self.side_data],
            "programs": [use.program for use in self.programs],
            "local_modules": list(self.locked.needs.local_modules),
            "diagnostics": [diagnostic.as_dict() for diagnostic in self.locked.needs.diagnostics],
        }

    def lines(self) -> list[str]:
        """Return what a person reads."""
        lock = self.locked.lock
        asked = {entry.name for entry in lock.requirements}
        width = max(
            (len(f"{entry.name} {entry.version}") for entry in lock.distributions if entry.name in asked), default=0
        )
        least = "at least " if any(entry.size is None for entry in lock.distributions) else ""
        size = f", {least}{show_size(lock.size)} to download" if lock.size else ""
        lines = [f"{self.source.path.name}: {self.locked.describe()}; {len(lock.distributions)} distributions{size}"]
        if self.locked.file is not None:
            lines.append(f"from the lock {self.locked.file.name}")
        for entry in lock.distributions:
            if entry.name in asked:
                lines.append(f"  {entry.name + ' ' + entry.version:<{width}}  {'; '.join(entry.why)}".rstrip())
        rest = [f"{entry.name} {entry.version}" for entry in lock.distributions if entry.name not in asked]
        if rest:
            lines.append(f"and what these need: {', '.join(rest)}")
        return [*lines, *self._moved_lines(), *self._other_lines()]

    def _moved_lines(self) -> list[str]:
        lock = self.locked.lock
        lines = [f"of {one.day[:10]}: {one.name or 'the whole environment'} ({one.reason})" for one in lock.moved]
        return [*lines, *(f"left out: {one.name} ({one.reason})" for one in lock.skipped)]

    def _other_lines(self) -> list[str]:
        """Return what the notebook needs besides distributions."""
        lines = []
        if self.locked.needs.local_modules:
            lines.append(f"local modules: {', '.join(self.locked.needs.local_modules)}")
        for need in self.locked.lock.requirements:
            tree = find_tree(need)
            if tree is not None:
                lines.append(f"from {tree.address}: {tree.module} at {(need.url or '').rpartition('@')[2][:10]}")
        if self.side_data:
            kinds = {"nltk": "NLTK's ", "spacy": "spaCy's ", "fetched": "fetched while it runs: "}
            lines.append(f"data: {', '.join(f'{kinds[datum.kind]}{datum.name}' for datum in self.side_data)}")
        if self.programs:
            missing = {use.program for use in self.programs if shutil.which(use.program, path=SANDBOX_PATH) is None}
            words = [f"{use.program}{' (missing)' if use.program in missing else ''}" for use in self.programs]
            lines.append(f"programs: {', '.join(words)}")
        return lines


def _join(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


@at_work("env-show")
def show_environment(
    reference: str | Path,
    options: EnvironmentOptions = EnvironmentOptions(),
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
) -> ShownEnvironment:
    """Return what a source's environment holds and why, without building it.

    Raises:
        InputError: a declaration, an option or a lock is wrong, or no set of versions fits.
        UnavailableError: an interpreter, `uv` or the registry is not there.
        CancelledError: `stop` was requested.
    """
    source = read_source(reference)
    locked = lock_source(source, options, open_store(), watch, stop or Stop())
    tell_notes(locked, watch)
    cells = [parse_cell(cell.source) for cell in source.notebook.code_cells]
    return ShownEnvironment(source, locked, find_side_data(cells), find_programs(cells))


def _options_text(options: EnvironmentOptions) -> str:
    """Return the options as they stand on a command line."""
    words = [f" --as-of {options.as_of}"] if options.as_of else []
    words += [f" --python {options.python}"] if options.python else []
    words += [" --gpu"] if options.gpu else []
    return "".join([*words, *(f" --with '{text}'" for text in options.with_packages)])


def _progress(tell: Watch) -> Callable[[float | None, str], None]:
    return lambda fraction, text: tell(StageChanged(stage="environment", text=text, fraction=fraction))


def _installation(python: Path, interpreter: Interpreter) -> tuple[Path, ...]:
    """Return the folders that the environment's interpreter lies in, but for those that every sandbox has."""
    prefixes = {interpreter.prefix, interpreter.prefix.resolve()}
    hop = python
    while hop.is_symlink():
        hop = hop.parent / hop.readlink()
        prefixes.add(hop.parent.parent)
    own = python.parent.parent
    return tuple(
        sorted(
            prefix for prefix in prefixes if prefix != own and not prefix.is_relative_to("/usr") and prefix != Path("/")
        )
    )


def _module_path(folder: Path, name: str) -> Path:
    """Return the file or folder of a local module.

    Raises:
        InputError: `link-outside`.
    """
    package = folder / name
    path = package if package.is_dir() else folder / f"{name}.py"
    if leads_to_private(path, folder):
        message = f"the module `{path.name}` is a link to `{path.resolve()}`, which is not given away unasked"
        hint = "If you trust the notebook with it, put a copy in the link's place"
        raise InputError(error("link-outside", message, place=str(path), hint=hint))
    return path
