"""`kanoe run`: a notebook or script, executed in its environment, in a sandbox that looks like Kaggle."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from kanoe import __version__
from kanoe.back.masking import Mask, masked
from kanoe.back.run_folder import RunFolder, Watch, make_directory, new_run_id
from kanoe.back.sessions import SessionPlan, SessionRunner
from kanoe.back.worker_folder import compile_worker, worker_folder
from kanoe.base.diagnostics import Diagnostic, cell_place, error, info, warning
from kanoe.base.errors import CancelledError, ExitCode, InputError, KanoeError, UnavailableError
from kanoe.base.files import read_untrusted
from kanoe.base.secrets import Secrets
from kanoe.base.stop import Stop, until_stopped
from kanoe.engine.cells import Step, plan_cells
from kanoe.engine.events import (
    Event,
    LimitNear,
    ProgramStarted,
    SessionStarted,
    StageChanged,
    TaskEnded,
    TaskHeld,
    TaskState,
)
from kanoe.engine.memory import Memory
from kanoe.engine.report import Report
from kanoe.engine.run import Limits, run_program
from kanoe.engine.runner import Task
from kanoe.environments.bytecode import compiling
from kanoe.front.hidden import explain_name_error, find_hidden_state
from kanoe.front.parameters import with_parameters
from kanoe.front.read import read_source
from kanoe.ir.source import Source
from kanoe.sandbox.gpu import Gpu, with_gpu
from kanoe.sandbox.inputs import DataSource
from kanoe.sandbox.layout import Mount, with_limits
from kanoe.sandbox.limits import KAGGLE_SECONDS, ResourceLimits, chosen_limits, lower_limits
from kanoe.store.contents import Contents
from kanoe.store.home import Store, open_store
from kanoe.store.records import Records
from kanoe.store.sweep import sweep_after_run
from kanoe.verbs.answers import answered
from kanoe.verbs.cells import CellsOptions, Watched, check_cells, find_cells, watch_cells
from kanoe.verbs.environment import Ready, ignore
from kanoe.verbs.queue import living_run, wait_for_slot
from kanoe.verbs.revive import Failure, Revival
from kanoe.verbs.sandbox import Data, SandboxOptions, attach_data, laid_out, wanted_gpu
from kanoe.verbs.secrets import missing_secrets, resolve_secrets
from kanoe.verbs.variables import check_variables

if TYPE_CHECKING:
    from kanoe.back.failures import Circumstances
    from kanoe.verbs.verify import Witness


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(SandboxOptions):
    """What `kanoe run` takes besides the source, and besides what `SandboxOptions` holds.

    Args:
        parameters: values by name, put in after the cell tagged `parameters`.
        texts: whether the values are texts of a command line, to be read by their declared type.
        keep_going: go on after a cell that fails.
        timeout: seconds for all cells together; `None`: no limit.
        cell_timeout: seconds for one cell; `None`: no limit.
        output: the run's folder; `None`: one of its own in the store.
        html: whether to make the HTML page.
        reproduce: whether the run fails where outputs differ from those that the notebook carries.
        verify: whether the notebook runs from top to bottom in a fresh kernel as well, and the run fails where that differs.
        revive: whether other environments are tried where a library is missing or of another age; `None`: after any such sign
            where the day was inferred from the notebook, else only where it is known what is missing or which release changed.
        disk: bytes that its working folder may hold; `None`: what is free.
        kaggle_limits: whether Kaggle's own limits hold where nothing else is given: 4 CPUs, 30 GiB, 20 GiB of disk, 12 hours.
        cells: whether each cell is watched, and reused where nothing that it reads has changed; else all run, unwatched. `None`:
            where another option is about cells.
        cache: whether earlier executions of cells are used at all; what runs is remembered all the same.
        refresh: cells that run whatever is remembered, each a position, an id or a tag.
        first: a cell that runs whatever is remembered, and so do all after it; `None`: none.
        until: the last cell to run; `None`: all.
        jobs: how many runs may go on at once on this machine; `None`: as many as it has CPUs.
    """

    parameters: Mapping[str, object] = field(default_factory=dict)
    texts: bool = False
    keep_going: bool = False
    timeout: float | None = None
    cell_timeout: float | None = None
    output: Path | None = None
    html: bool = True
    reproduce: bool = False
    verify: bool = False
    revive: bool | None = None
    disk: int | None = None
    kaggle_limits: bool = False
    cells: bool | None = None
    cache: bool = True
    refresh: Sequence[str] = ()
    first: str | None = None
    until: str | None = None
    jobs: int | None = None


class RunChanges(TypedDict, total=False):
    """The fields of `RunOptions`, to give as keywords."""

    parameters: Mapping[str, object]
    texts: bool
    inputs: Sequence[str]
    internet: bool | None
    keep_going: bool
    timeout: float | None
    cell_timeout: float | None
    output: Path | None
    html: bool
    reproduce: bool
    verify: bool
    revive: bool | None
    memory: int | None
    cpus: int | None
    disk: int | None
    kaggle_limits: bool
    cells: bool | None
    cache: bool
    refresh: Sequence[str]
    first: str | None
    until: str | None
    secrets: Mapping[str, str] | Sequence[str]
    variables: Mapping[str, str]
    gpu: bool
    jobs: int | None
    as_of: str | None
    python: str | None
    with_packages: Sequence[str]
    lock: Path | None


def run(
    reference: str | Path,
    options: RunOptions = RunOptions(),
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
    **changes: Unpack[RunChanges],
) -> Report:
    """Run a source and return what it came to.

    Args:
        reference: a notebook, a script, or a folder with one.
        options: see `RunOptions`; `changes` are its fields as keywords: `run("nb.ipynb", parameters={"n": 3})`.
        watch: called with every event as it happens.
        stop: a request to stop, from a signal or another thread: once interrupts the cell and keeps everything, twice ends at once.

    Raises:
        InputError: the source or an option is wrong, and nothing was run.
        UnavailableError: Kanoe's own folder cannot be used.
    """
    options = replace(options, **changes)
    stop = stop or Stop()
    store = open_store()
    source = read_source(reference)
    name = source.path.name
    source = replace(
        source, notebook=with_parameters(source.notebook, options.parameters, texts=options.texts, file_name=name)
    )
    options = replace(options, secrets=resolve_secrets(options.secrets, store))
    check_variables(options.variables)
    check_cells(source, options.refresh, options.first, options.until)
    limits = chosen_limits(options.memory, options.cpus, options.disk, kaggle=options.kaggle_limits)
    if options.reproduce and not source.notebook.has_outputs:
        raise InputError(_nothing_to_reproduce(name))
    if options.verify and options.cells is False:
        raise InputError(_nothing_to_verify())
    with living_run(store, new_run_id(source.name)) as life:
        stop = life.stop(stop)
        folder = _open_folder(life.name, source, options, store, watch)
        with _written(folder), _recorded(folder, options, stop) as outcome:
            hidden = find_hidden_state(source.notebook, name)
            secrets = missing_secrets(source, options.secrets)
            for remark in (*source.diagnostics, *hidden, *secrets, *lower_limits(limits)):
                folder.note(remark)
            limits = replace(limits, place=wait_for_slot(life, options.jobs, folder, stop))
            gpu = wanted_gpu(options.gpu)
            data = attach_data(source, options.inputs, store, folder.take)
            with _hashing(data.sources, Contents(store.contents), folder, stop):
                _run_attempts(_Job(source, options, store, folder, data, limits, gpu, stop))
        if folder.pages is not None:
            folder.pages.close()
            sweep_after_run(store, life.name)
    return outcome.report


@dataclass(frozen=True, slots=True)
class _Job:
    """One run that has all but its environment."""

    source: Source
    options: RunOptions
    store: Store
    folder: RunFolder
    data: Data
    limits: ResourceLimits
    gpu: Gpu | None
    stop: Stop

    @property
    def secrets(self) -> Secrets:
        """The secrets, which `run` has looked up."""
        assert isinstance(self.options.secrets, Secrets)
        return self.options.secrets


def _run_attempts(job: _Job) -> None:
    """Run the notebook in its environment, and where that is of the wrong age, in the next best."""
    revival = Revival(job.source, job.options, job.store, job.folder.take, job.stop, revive=job.options.revive)
    ready: Ready | None = until_stopped(revival.first, job.stop)
    while ready is not None:
        used, witness = ready, _new_witness() if job.options.verify else None
        with _session(job, ready) as watched, compiling(ready.environment):
            failure = _run_cells(job, watched, revival, witness)
        if failure is None or job.stop.requested:
            break
        ready = until_stopped(functools.partial(revival.next, failure), job.stop)
    if not job.stop.requested:
        revival.finish(succeeded=failure is None)
        if witness is not None:
            _verify(job, used, witness, chosen=failure is None or revival.number == 1)


def _nothing_to_reproduce(name: str) -> Diagnostic:
    message = f"`{name}` carries no outputs of its author's, so there is nothing to compare with"
    hint = "Leave `--reproduce` out, or give a notebook that was saved with its outputs"
    return error("nothing-to-reproduce", message, place="--reproduce", hint=hint)


def _nothing_to_verify() -> Diagnostic:
    message = "`--verify` compares cells that may be reused with a fresh run, and `--whole` reuses none"
    return error("usage", message, place="--verify", hint="Leave one of both out")


def _new_witness() -> Witness:
    from kanoe.verbs.verify import Witness  # noqa: PLC0415 - a run that is not verified does not pay for it

    return Witness()


def _verify(job: _Job, ready: Ready, witness: Witness, *, chosen: bool) -> None:
    """Compare the run with a fresh one, and let it fail where they differ."""
    from kanoe.verbs import verify  # noqa: PLC0415 - see above

    name, folder = job.source.path.name, job.folder
    folder.take(StageChanged(stage="verify", text="from top to bottom in a fresh kernel"))
    trial = verify.Trial(
        job.source,
        steps_of(job.source, job.options),
        _limits_of(job.options),
        job.store,
        folder.run,
        lambda working: _placed(job, ready, working, ignore),
        job.secrets,
        job.stop,
    )
    try:
        if not chosen:
            raise verify.NotVerifiedError("several environments were tried, and it failed in all")
        proof = verify.verify_run(trial, witness)
    except verify.NotVerifiedError as problem:
        folder.prove(None, [verify.not_verified(name, str(problem))])
    except UnavailableError as problem:
        folder.prove(None, [verify.not_verified(name, problem.diagnostics[0].message)])
    else:
        folder.prove(proof.as_dict(), verify.explain_proof(proof, witness, trial))


# An interrupt ends a run within three seconds in all.
_SECONDS_BEFORE_PAGE = 1.5
# Parameters have a place of their own; what is secret has none.
_NOT_RECORDED = ("parameters", "texts", "secrets", "variables")


class _Outcome:
    """Holds the report once the run is over."""

    report: Report


def _open_folder(run_id: str, source: Source, options: RunOptions, store: Store, watch: Watch) -> RunFolder:
    directory = make_directory(Path(options.output or store.runs / run_id))
    folder = RunFolder(run_id, source, directory, Records(store.records), watch)
    folder.facts |= {
        "kanoe": __version__,
        "kind": source.kind,
        "parameters": dict(options.parameters),
        "options": {key: value for key, value in asdict(options).items() if key not in _NOT_RECORDED},
        "secrets": sorted(options.secrets),
        "variables": sorted(options.variables),
    }
    return folder


@contextlib.contextmanager
def _recorded(folder: RunFolder, options: RunOptions, stop: Stop) -> Iterator[_Outcome]:
    """Write the run's end, however it comes."""
    outcome = _Outcome()
    try:
        yield outcome
    except CancelledError:
        outcome.report = folder.finish(ExitCode.INTERRUPTED, page=False)
    except KanoeError as problem:
        for diagnostic in problem.diagnostics:
            folder.note(diagnostic)
        outcome.report = folder.finish(problem.exit_code, page=False)
    except OSError:
        raise
    except BaseException as problem:
        folder.note(error("internal", f"Kanoe failed: {type(problem).__name__}: {problem}"))
        folder.finish(ExitCode.FAILED, page=False)
        raise
    else:
        outcome.report = folder.finish(
            None, page=options.html and _time_for_page(folder, stop), reproduce=options.reproduce
        )


def _time_for_page(folder: RunFolder, stop: Stop) -> bool:
    """Whether to make the page: who interrupts does not wait for a large one, nor after everything else took long."""
    if stop.asked is None:
        return True
    return stop.level < 2 and time.monotonic() - stop.asked < _SECONDS_BEFORE_PAGE and folder.is_small()


@contextlib.contextmanager
def _written(folder: RunFolder) -> Iterator[None]:
    """Leave a folder that cannot be written any more, also where that shows at the very end."""
    try:
        yield
    except OSError as problem:
        folder.abandon()
        raise UnavailableError(
            error(
                "store-unusable",
                f"the run's folder cannot be written: {problem.strerror or problem}",
                place=str(folder.directory),
                hint="Make room or give another folder: `--output DIR`; what was written before is whole",
            )
        ) from problem


@contextlib.contextmanager
def _session(job: _Job, ready: Ready) -> Iterator[Watched]:
    """Lay out what the notebook will see; yields how to start its kernel."""
    folder = job.folder
    folder.keep_lock(ready.lock)
    with _placed(job, ready, folder.working, folder.take) as plan:
        folder.facts |= {"sandbox": plan.tool.kind, "internet": plan.layout.internet, "environment": ready.facts}
        try:
            watched = _watched(job, ready, plan)
            folder.pages = watched.memory
            if watched.memory is not None and watched.memory.language is not None:
                folder.name_language(watched.memory.language)
            yield watched
        finally:
            _keep_log(plan.layout.folders.runtime / "kernel.log", folder, job.secrets)


@contextlib.contextmanager
def _placed(job: _Job, ready: Ready, working: Path, tell: Watch) -> Iterator[SessionPlan]:
    """Lay out what the notebook will see, with `working` behind its current folder; yields how to start its kernel, unwatched."""
    source = job.source
    worker = worker_folder(job.store.workers)
    compile_worker(worker, ready.environment.python)
    ready = replace(ready, tools=(*ready.tools, worker))
    # A plain script may read its own file, which on Kaggle stands there.
    files = [Mount(source.path, f"/kaggle/src/{source.path.name}")] if source.kind == "script" else []
    internet = job.options.internet
    with laid_out(source, ready, job.data, job.store, working, internet=internet, files=files, tell=tell) as place:
        layout = with_limits(place.layout, job.limits)
        layout = with_gpu(layout, job.gpu) if job.gpu is not None else layout
        script = next((file.target if place.tool.kind != "none" else str(file.source) for file in files), None)
        with answered(place.tool, layout, source, job.secrets, job.options.variables) as told:
            yield SessionPlan(place.tool, told, ready.environment.python, worker, script)


def works_by_cell(options: RunOptions) -> bool:
    """Return whether a run watches its cells and reuses them."""
    about_cells = bool(options.refresh) or options.first is not None or options.verify
    return about_cells if options.cells is None else options.cells


def _watched(job: _Job, ready: Ready, plan: SessionPlan) -> Watched:
    """Return how the session is watched, where cells are to be reused one by one."""
    if not works_by_cell(job.options):
        return Watched(plan, None)
    options = CellsOptions(
        job.options.cache, tuple(job.options.refresh), job.options.first, job.options.variables, job.secrets
    )
    return watch_cells(job.source, job.store, plan, ready, options, job.folder.run)


def _keep_log(log: Path, folder: RunFolder, secrets: Mapping[str, str]) -> None:
    """Keep what a kernel said of a crash."""
    with contextlib.suppress(OSError):
        said = read_untrusted(log)
        if b"Fatal Python error" in said or b"Traceback (most recent call last)" in said:
            text = Mask(secrets.values()).text(said.decode(errors="surrogateescape"))
            (folder.directory / "kernel.log").write_bytes(text.encode(errors="surrogateescape"))


@contextlib.contextmanager
def _hashing(sources: Sequence[DataSource], contents: Contents, folder: RunFolder, stop: Stop) -> Iterator[None]:
    """Hash the inputs while the notebook runs."""
    hashes: dict[str, str | None] = {}
    halt = Stop()

    def work() -> None:
        for data in sources:
            for name, path in data.files:
                hashes[f"{data.place}/{name}".rstrip("/")] = contents.hash_tree(path, halt)

    thread = threading.Thread(target=work, name="kanoe-hash", daemon=True)
    if sources:
        thread.start()
    try:
        yield
    finally:
        if stop.requested:
            halt.request()
        if sources:
            thread.join()
        folder.facts["inputs"] = [
            {
                "place": data.place,
                "given": data.given,
                "sha256": {key: value for key, value in hashes.items() if key.startswith(data.place)},
            }
            for data in sources
        ]


def _run_cells(job: _Job, watched: Watched, revival: Revival, witness: Witness | None = None) -> Failure | None:
    """Run the cells and explain what fails; returns what another environment may mend."""
    plan, memory = watched.plan, watched.memory
    options, folder, stop = job.options, job.folder, job.stop
    steps = [replace(step, task=replace(step.task, attempt=revival.number)) for step in steps_of(job.source, options)]
    by_task = {step.task.id: step for step in steps}
    limits = _limits_of(options, revival.spent)
    take, heard = _overheard(folder, watched, witness)
    runner = masked(SessionRunner(plan, stop), job.secrets.values())
    failure: Failure | None = None
    started = time.monotonic()
    folder.take(ProgramStarted(tasks=len(steps), sandbox=plan.tool.kind))
    try:
        for event in run_program(steps, runner, limits, stop, idle=folder.idle, memory=heard, state=watched.state):
            take(event)
            _remark(job, by_task, event, plan)
            if isinstance(event, SessionStarted) and memory is not None:
                memory.keep_language(event.language)
            if isinstance(event, TaskEnded) and event.state is TaskState.FAILED:
                step = by_task[event.task]
                if not (step.error_expected and not event.details.get("fatal")):
                    found = _failure(step.task, event, time.monotonic() - started)
                    folder.note(_explain(job, step.task, event, plan, revival.advise(found)))
                    failure = failure or found
        if stop.requested:
            folder.note(info("run-cancelled", "the run was interrupted", hint="What ran before is in the run's folder"))
    except UnavailableError as problem:
        if revival.number == 1:
            raise
        # The first environment's outcome stands, whatever is wrong with one that is only tried.
        for diagnostic in problem.diagnostics:
            folder.note(diagnostic)
        failure = Failure(-1, "the start", "", problem.diagnostics[0].message, "")
    finally:
        runner.close()
        if memory is not None:
            memory.remember_run([step.task.id for step in steps])
    return failure


def _remark(job: _Job, steps: Mapping[str, Step], event: Event, plan: SessionPlan) -> None:
    """Note what an event tells besides itself, where that is no failure."""
    name, folder = job.source.path.name, job.folder
    if isinstance(event, LimitNear):
        from kanoe.back.failures import explain_limit_near  # noqa: PLC0415 - a run where all is well does not pay for it

        folder.note(explain_limit_near(steps[event.task].task, event, _circumstances(job, plan)))
    elif isinstance(event, TaskHeld) and not event.needs:
        folder.note(_explain_unwatched(name, steps[event.task].task, event))
    elif isinstance(event, TaskEnded) and event.state is TaskState.FAILED:
        step = steps[event.task]
        if step.error_expected and not event.details.get("fatal"):
            place = cell_place(name, step.task.cell)
            folder.note(info("cell-failed", f"{event.reason}, as its tag says", place=place))


def _explain_unwatched(name: str, task: Task, held: TaskHeld) -> Diagnostic:
    message = f"what the cell reads and writes cannot be watched: {held.reason or 'its process ended'}"
    hint = "All cells run again from the top and nothing is reused; `--whole` does so from the start"
    return warning("cells-unwatched", message, place=cell_place(name, task.cell), hint=hint)


def _explain(job: _Job, task: Task, ended: TaskEnded, plan: SessionPlan, advice: str | None) -> Diagnostic:
    """Return the diagnostic of a cell that failed, with the best hint that there is."""
    from kanoe.back.failures import explain_failure  # noqa: PLC0415 - a run where all is well does not pay for it

    explained = explain_failure(task, ended, _circumstances(job, plan))
    missed = explain_name_error(job.source.notebook, task.cell, ended.details.get("error") or {})
    return replace(explained, hint=advice or missed or explained.hint)


def _circumstances(job: _Job, plan: SessionPlan) -> Circumstances:
    from kanoe.back.failures import Circumstances  # noqa: PLC0415 - see above

    layout = plan.layout
    return Circumstances(job.source.path.name, layout.internet, plan.tool.kind != "none", layout.limits)


def _overheard(folder: RunFolder, watched: Watched, witness: Witness | None) -> tuple[Watch, Memory | None]:
    """Return who takes events, and the memory that is asked: a witness hears both."""
    if witness is None or watched.memory is None:
        return folder.take, watched.memory

    def take(event: Event) -> None:
        folder.take(event)
        witness.take(event)

    return take, witness.follow(watched.plan, watched.memory, watched.state)


def _limits_of(options: RunOptions, spent: float = 0.0) -> Limits:
    run_seconds = KAGGLE_SECONDS if options.timeout is None and options.kaggle_limits else options.timeout
    return Limits(run_seconds, options.cell_timeout, options.keep_going, spent)


def steps_of(source: Source, options: RunOptions) -> list[Step]:
    """Return the steps; those after the last that is wanted are skipped."""
    steps = list(plan_cells(source.notebook))
    if options.until is not None:
        last = max(find_cells(source, options.until, "--until"))
        steps[last + 1 :] = [replace(step, skip=f"it comes after cell {last} (--until)") for step in steps[last + 1 :]]
    return steps


def _failure(task: Task, ended: TaskEnded, seconds: float) -> Failure:
    problem = ended.details.get("error") or {}
    ename, evalue = str(problem.get("ename", "")), str(problem.get("evalue", ""))
    evalue = evalue or ended.reason or ""
    return Failure(task.cell, task.name, ename, evalue, task.code, problem.get("library"), seconds)
