"""`kanoe doctor NB`: everything of a notebook that can be checked without running it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, cell_place, info, warning
from kanoe.base.errors import ExitCode, KanoeError
from kanoe.base.stop import Stop
from kanoe.engine.events import Event, Noted
from kanoe.environments.programs import find_programs, missing_programs
from kanoe.environments.side_data import bring_side_data, find_side_data
from kanoe.environments.surroundings import Expectation, find_expectations
from kanoe.front.read import read_source
from kanoe.ir.code import CellCode, parse_cell
from kanoe.ir.source import Source
from kanoe.sandbox.gpu import look_for_gpu
from kanoe.store.home import Store, open_store
from kanoe.verbs.checkup import Checkup, Finding
from kanoe.verbs.environment import EnvironmentOptions, Locked, Watch, ignore, lock_source
from kanoe.verbs.machine import check_machine
from kanoe.verbs.queue import at_work
from kanoe.verbs.sandbox import attach_data, wanted_gpu
from kanoe.verbs.secrets import missing_of

_LOOKS_FOR_GPU = re.compile(r"\bcuda\b|list_physical_devices|tf\.test\.gpu_device_name|device_lib\.list_local_devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions(EnvironmentOptions):
    """What `kanoe doctor` takes besides the source: where its environment comes from, and its data.

    Args:
        inputs: data to attach, each `PATH` or `PATH:SLUG`.
        internet: whether the run would have a network; `None`: not.
    """

    inputs: Sequence[str] = ()
    internet: bool | None = None


@dataclass
class _Examination:
    """Looks at one source, part by part; trouble of one part does not hide the others."""

    source: Source
    options: DoctorOptions
    store: Store
    watch: Watch
    stop: Stop
    findings: list[Finding] = field(default_factory=list)
    exit_code: ExitCode = ExitCode.SUCCEEDED
    locked: Locked | None = None

    def look(self, name: str, work: Callable[[Watch], str]) -> None:
        """Keep what one part says, its remarks and what it raises."""
        remarks: list[Diagnostic] = []

        def hear(event: Event) -> None:
            if isinstance(event, Noted):
                remarks.append(event.diagnostic)
            else:
                self.watch(event)

        try:
            text = work(hear)
        except KanoeError as problem:
            if problem.exit_code is ExitCode.INTERRUPTED:
                raise
            remarks += problem.diagnostics
            text = "cannot be had"
            self.exit_code = self.exit_code or problem.exit_code
        self.findings.append(Finding(name, text, tuple(remarks)))

    def environment(self, tell: Watch) -> str:
        self.locked = lock_source(self.source, self.options, self.store, tell, self.stop)
        for diagnostic in self.locked.notes:
            tell(Noted(diagnostic=diagnostic))
        return self.locked.describe()

    def data(self, tell: Watch) -> str:
        data = attach_data(self.source, self.options.inputs, self.store, tell)
        if data.sources:
            return ", ".join(source.place for source in data.sources)
        return "none is attached" if data.paths else "none is read"


@at_work("doctor")
def check_source(
    reference: str | Path | None = None,
    options: DoctorOptions = DoctorOptions(),
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
) -> Checkup:
    """Check everything of a source that can be checked without running it; its environment is resolved and not built.

    Args:
        reference: a notebook, a script, or a folder with one; `None`: this machine is checked, and the rest does not count.
        options: see `DoctorOptions`.
        watch: takes events of progress.
        stop: ends the work.

    Raises:
        InputError: the source cannot be read.
        UnavailableError: Kanoe's own folder cannot be used.
        CancelledError: `stop` was requested.
    """
    if reference is None:
        return check_machine()
    source = read_source(reference)
    examination = _Examination(source, options, open_store(), watch, stop or Stop())
    cells = [parse_cell(cell.source) for cell in source.notebook.code_cells]
    name = source.path.name
    examination.findings.append(_check_cells(source, cells))
    examination.look("data", examination.data)
    examination.look("environment", examination.environment)
    examination.look("side data", lambda tell: _check_side_data(examination, cells, tell))
    programs = find_programs(cells)
    missing = missing_programs(programs, name)
    used = ", ".join(use.program for use in programs) or "none is used"
    examination.findings.append(Finding("programs", used, missing))
    expected = find_expectations(cells)
    secrets = tuple(missing_of(expected, source))
    examination.findings.append(Finding("secrets", _listed(expected, "secret"), secrets))
    examination.look("GPU", lambda tell: _check_gpu(examination, cells, expected, tell))
    missed = () if options.internet else tuple(_internet(source, expected, name))
    examination.findings.append(Finding("internet", _listed(expected, "internet"), missed))
    return Checkup(source.path, tuple(examination.findings), examination.exit_code)


def _check_cells(source: Source, cells: Sequence[CellCode]) -> Finding:
    remarks = list(source.diagnostics)
    for position, code in enumerate(cells):
        if code.error is not None:
            remarks.append(
                warning(
                    "cell-syntax",
                    f"the cell does not parse: {code.error.message}",
                    place=cell_place(source.path.name, position, code.error.line),
                    hint="A run stops there; correct the cell, or go on after it with `--keep-going`",
                )
            )
    return Finding("cells", f"{len(cells)} code cell{'' if len(cells) == 1 else 's'}", tuple(remarks))


def _check_side_data(examination: _Examination, cells: Sequence[CellCode], tell: Watch) -> str:
    data = find_side_data(cells)
    if examination.locked is not None:
        brought = bring_side_data(
            data,
            examination.locked.lock,
            examination.store.side_data,
            file_name=examination.source.path.name,
            internet=bool(examination.options.internet),
            stop=examination.stop,
        )
        for diagnostic in brought.diagnostics:
            tell(Noted(diagnostic=diagnostic))
    return ", ".join(datum.name for datum in data) or "none is read"


def _check_gpu(
    examination: _Examination, cells: Sequence[CellCode], expected: Sequence[Expectation], tell: Watch
) -> str:
    gpu = wanted_gpu(examination.options.gpu)
    if gpu is None:
        for diagnostic in _gpu(examination.source, cells, expected, examination.source.path.name):
            tell(Noted(diagnostic=diagnostic))
        return _listed(expected, "gpu")
    return f"given: {'; '.join(gpu.names) or 'this machine has one'}"


def _listed(expected: Iterable[Expectation], kind: str) -> str:
    return ", ".join(one.what for one in expected if one.kind == kind) or "not used"


def _gpu(source: Source, cells: Sequence[CellCode], expected: Iterable[Expectation], name: str) -> Iterable[Diagnostic]:
    metadata = source.metadata
    asked = metadata is not None and (metadata.enable_gpu or metadata.enable_tpu)
    first = next((one for one in expected if one.kind == "gpu"), None)
    looks = any(_LOOKS_FOR_GPU.search(code.python) for code in cells)
    if not (asked or first or looks):
        return
    place = cell_place(name, first.cell, first.line) if first else "kernel-metadata.json" if asked else None
    found = look_for_gpu()
    if found.gpu is not None:
        message = "it can use a GPU; this machine has one, and a run is given it when asked"
        yield info("gpu-off", message, place=place, hint="`--gpu`")
        return
    none = found.trouble or "this machine shows none"
    if first is not None:
        yield warning("gpu-missing", f"it uses a GPU (`{first.what}`), and {none}", place=place, hint=found.hint)
    elif asked:
        message = f"it asks for an accelerator, and {none}: it may be slow"
        yield info("gpu-missing", message, place=place, hint=found.hint)


def _internet(source: Source, expected: Iterable[Expectation], name: str) -> Iterable[Diagnostic]:
    uses = [one for one in expected if one.kind == "internet"]
    if uses:
        more = f" and {len(uses) - 1} more" if len(uses) > 1 else ""
        message = f"it uses the internet (`{uses[0].what}`{more}), and a run has none unless asked"
        hint = "If you trust the notebook: `--internet`"
        yield info("internet-off", message, place=cell_place(name, uses[0].cell, uses[0].line), hint=hint)
    elif source.metadata is not None and source.metadata.enable_internet:
        yield info(
            "internet-off", "it asks for the internet, and a run has none unless asked", place="kernel-metadata.json"
        )
