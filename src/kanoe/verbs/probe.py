"""The imports of a source, tried in its environment before the run: what fails there would fail after an hour of work."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kanoe.back.worker_folder import worker_folder
from kanoe.base.files import read_untrusted, remove_tree, replace_file
from kanoe.base.hashing import hash_text
from kanoe.base.processes import check_stop
from kanoe.base.stop import Stop
from kanoe.engine.events import Event, StageChanged
from kanoe.environments.distributions import find_provider
from kanoe.environments.imports import Import, find_imports
from kanoe.environments.lock import Lock
from kanoe.environments.tables import read_names
from kanoe.ir.code import parse_cell
from kanoe.ir.source import Source
from kanoe.sandbox.confine import confine, seen_runtime
from kanoe.sandbox.process import Lifeline, SandboxProcess
from kanoe.store.home import Store
from kanoe.verbs.environment import Ready, Watch
from kanoe.verbs.sandbox import Data, laid_out

_SECONDS = 180.0  # for all imports together
_TICK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """An import that fails in an environment.

    Args:
        found: the import.
        ename: the name of the exception's class.
        evalue: its text.
    """

    found: Import
    ename: str
    evalue: str

    @property
    def place(self) -> str:
        """Where the import stands: `cell 3`."""
        return f"cell {self.found.cell}"


def probe(source: Source, ready: Ready, store: Store, tell: Watch, stop: Stop) -> tuple[ImportFailure, ...]:
    """Return the imports that are sure to run and that fail; what went well is remembered for the environment.

    Only modules of the environment and of the standard library are tried, in a sandbox of their own without data.

    Raises:
        CancelledError: `stop` was requested.
    """
    imports = tuple(_probed(source, ready.environment.lock))
    statements = list(dict.fromkeys(_statement(found) for found in imports))
    memory = store.environments / f"{ready.environment.id}.imports"
    identity = hash_text("imports/1", *statements)
    if not statements or identity in _recall(memory):
        return ()
    tell(StageChanged(stage="environment", text=f"trying {len(statements)} import{'s' if len(statements) > 1 else ''}"))
    failures = _try(source, ready, store, statements, stop)
    if not failures:
        with contextlib.suppress(OSError):
            replace_file(memory, "".join(f"{one}\n" for one in (*_recall(memory), identity)).encode())
    first = {_statement(found): found for found in reversed(imports)}
    return tuple(
        ImportFailure(first[statement], answer["ename"], answer["evalue"]) for statement, answer in failures.items()
    )


def _recall(memory: Path) -> tuple[str, ...]:
    try:
        return tuple(memory.read_text().split())
    except OSError:
        return ()


def _probed(source: Source, lock: Lock) -> Iterator[Import]:
    standard = read_names("standard")
    codes = [parse_cell(cell.source) for cell in source.notebook.code_cells]
    for found in find_imports(codes):
        if found.context != "required" or found.level or not found.top:
            continue
        provider = find_provider(found.module)
        if found.top in standard or any(lock.find(name) for name in provider.distributions):
            yield found


def _statement(found: Import) -> str:
    if not found.names:
        return f"import {found.module}"
    return f"from {found.module} import {', '.join(found.names)}"


def _try(
    source: Source, ready: Ready, store: Store, statements: Sequence[str], stop: Stop
) -> dict[str, Mapping[str, Any]]:
    """Return what became of the statements that fail; one that ends the process hides those after it."""
    worker = worker_folder(store.workers)
    with (
        _scratch(store) as working,
        laid_out(
            source, _with_worker(ready, worker), Data((), ()), store, working, internet=False, tell=_silent
        ) as place,
    ):
        runtime = place.layout.folders.runtime
        seen_at = seen_runtime(place.tool, place.layout)
        lifeline = Lifeline()
        configuration = {
            "imports": list(statements),
            "answers": f"{seen_at}/answers",
            "log": f"{seen_at}/kernel.log",
            "lifeline": lifeline.end.fileno(),
        }
        (runtime / "worker.json").write_text(json.dumps(configuration))
        command = [str(ready.environment.python), str(worker), f"{seen_at}/worker.json"]
        confined = confine(place.tool, place.layout, command)
        with (runtime / "kernel.log").open("ab") as log:
            process = SandboxProcess(confined, log, lifeline=lifeline)
            try:
                _wait(process, stop)
            finally:
                process.end(seconds=0.0)
        return dict(_read(runtime / "answers", statements))


def _with_worker(ready: Ready, worker: Path) -> Ready:
    return replace(ready, tools=(*ready.tools, worker), local_modules=())


@contextlib.contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=store.scratch))
    try:
        yield folder
    finally:
        remove_tree(folder)


def _wait(process: SandboxProcess, stop: Stop) -> None:
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        check_stop(stop)
        time.sleep(_TICK_SECONDS)


def _read(answers: Path, statements: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        lines = read_untrusted(answers).decode(errors="replace").splitlines()
    except OSError:
        return
    for number, answer in zip(lines[::2], lines[1::2], strict=False):
        with contextlib.suppress(ValueError, IndexError):
            said = json.loads(answer)
            if said is not None:
                yield statements[int(number)], said
    if len(lines) % 2 and lines[-1].isdecimal():
        died = {
            "ename": "SystemError",
            "evalue": "the process ended during this import, or it took too long",
            "file": "",
        }
        yield statements[int(lines[-1])], died


def _silent(_event: Event) -> None:
    """Say nothing: the run itself says what its sandbox lacks."""
