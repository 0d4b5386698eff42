"""The `kanoe` command: words, options and exit codes. A verb's module is imported when the verb is called."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from kanoe import __version__
from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import ExitCode, InputError, KanoeError
from kanoe.base.stop import Stop
from kanoe.cli.options import (
    AsOf,
    Builds,
    Cpus,
    Env,
    EnvFile,
    First,
    Gpu,
    Input,
    Internet,
    Json,
    KaggleLimits,
    Lock,
    Memory,
    NoCache,
    Parameter,
    Python,
    Quietly,
    Refresh,
    RunArgument,
    Secret,
    SourceArgument,
    Until,
    With,
    read_bytes,
    read_parameters,
    read_seconds,
    read_secrets,
    read_variables,
)
from kanoe.cli.planning import Frame, register

if TYPE_CHECKING:
    from kanoe.cli.display import Display

app = typer.Typer(
    name="kanoe",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""**Any Kaggle notebook, anywhere, unmodified.**

Kanoe runs a notebook or script in the environment it needs, in a private sandbox that looks like Kaggle, and leaves what Kaggle
would have left: the executed notebook, its page, the log and the output files.

Start with:  `kanoe run notebook.ipynb`  (data in an `input/` folder beside it, or given with `--input`).
""",
)
env_app = typer.Typer(no_args_is_help=True, help="The environment of a notebook: what it needs, as a lock.")
store_app = typer.Typer(no_args_is_help=True, help="What Kanoe keeps on this machine.")
app.add_typer(env_app, name="env")
app.add_typer(store_app, name="store")

_debug = False

# What typer raises for a command line that it cannot understand; it has no name of its own for it.
_WrongUsage: type[Any] = typer.BadParameter.__mro__[1]


def verb(name: str) -> ModuleType:
    """Return a verb's module, imported now: the start of `kanoe` does not pay for all of them."""
    return importlib.import_module(f"kanoe.verbs.{name}")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"kanoe {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show Kanoe's own tracebacks.")] = False,
) -> None:
    global _debug  # noqa: PLW0603 - the process is one command
    _debug = debug


@app.command("run")
def run_command(
    source: SourceArgument,
    parameter: Parameter = None,
    input: Input = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The run's folder; else one of its own in the store."),
    ] = None,
    as_of: AsOf = None,
    python: Python = None,
    with_: With = None,
    lock: Lock = None,
    internet: Internet = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Stop the run after this long: `90`, `30m`, `12h`.")
    ] = None,
    cell_timeout: Annotated[
        str | None, typer.Option("--cell-timeout", metavar="TIME", help="Stop a cell after this long.")
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Go on after a cell that fails.")] = False,
    html: Annotated[bool, typer.Option("--html/--no-html", help="Make the HTML page.")] = True,
    reproduce: Annotated[
        bool, typer.Option("--reproduce", help="Fail where outputs differ from those that the notebook carries.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Run it from top to bottom in a fresh kernel as well; fail where that differs."),
    ] = False,
    revive: Annotated[
        bool | None,
        typer.Option(
            "--revive/--no-revive",
            help="Try other environments where libraries of another age fail (on where the day is inferred).",
        ),
    ] = None,
    memory: Memory = None,
    cpus: Cpus = None,
    disk: Annotated[
        str | None,
        typer.Option("--disk", metavar="SIZE", help="The most that it may keep in its working folder: `20g`."),
    ] = None,
    kaggle_limits: KaggleLimits = False,
    cells: Annotated[
        bool | None,
        typer.Option("--cells/--whole", help="Reuse each cell whose reads have not changed, or run all in one kernel."),
    ] = None,
    no_cache: NoCache = False,
    refresh: Refresh = None,
    from_: First = None,
    until: Until = None,
    secret: Secret = None,
    env: Env = None,
    env_file: EnvFile = None,
    gpu: Gpu = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", metavar="N", min=1, help="How many runs may go on at once here (else one for each CPU)."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show what the notebook prints, as it comes.")
    ] = False,
    quiet: Quietly = False,
    json_: Json = False,
) -> None:
    """Run a notebook or script as Kaggle would.

    Its environment is made from its imports, a sandbox gives it Kaggle's paths, and the run's folder holds the executed notebook,
    its page, the log and the files it wrote. The folder's path is printed on stdout.

    Examples:

        kanoe run titanic.ipynb

        kanoe run titanic.ipynb --input titanic.zip -p SEED=7 -o out

        kanoe run . --as-of 2023-01-15 --python 3.10
    """
    with _reporting(json_):
        module = verb("run")
        options = module.RunOptions(
            parameters=read_parameters(parameter or ()),
            texts=True,
            inputs=tuple(input or ()),
            output=output,
            as_of=as_of,
            python=python,
            with_packages=tuple(with_ or ()),
            lock=lock,
            internet=internet,
            timeout=read_seconds("--timeout", timeout),
            cell_timeout=read_seconds("--cell-timeout", cell_timeout),
            keep_going=keep_going,
            html=html,
            reproduce=reproduce,
            verify=verify,
            revive=revive,
            memory=read_bytes("--memory", memory),
            cpus=cpus,
            disk=read_bytes("--disk", disk),
            kaggle_limits=kaggle_limits,
            secrets=read_secrets(secret or ()),
            variables=read_variables(env or (), env_file or ()),
            gpu=gpu,
            cells=cells,
            cache=not no_cache,
            refresh=tuple(refresh or ()),
            first=from_,
            until=until,
            jobs=jobs,
        )
        with _watching(quiet=quiet, verbose=verbose) as (display, stop):
            report = module.run(source, options, watch=display.show, stop=stop)
        if not quiet:
            _echo_lines(importlib.import_module("kanoe.cli.texts").summary_lines(report), err=True)
        if json_:
            _print_json(report.as_dict())
        elif report.directory:
            typer.echo(report.directory)
    raise typer.Exit(report.exit_code)


@app.command("runs")
def runs_command(
    limit: Annotated[int, typer.Option("-n", "--limit", metavar="N", min=1, help="How many to list.")] = 20,
    json_: Json = False,
) -> None:
    """List what ran, newest first."""
    with _reporting(json_):
        records = verb("runs").list_runs(limit)
        if json_:
            _print_json({"runs": [record.as_dict() for record in records]})
        else:
            _echo_lines(verb("runs").table_lines(records))


@app.command("show")
def show_command(run: RunArgument = "last", json_: Json = False) -> None:
    """Show one run: its state, its cells, what it found wrong, and where its files are."""
    with _reporting(json_):
        shown = verb("runs").show_run(run)
        if json_:
            _print_json(shown.report)
        else:
            _echo_lines(verb("runs").show_lines(shown))


@app.command("logs")
def logs_command(
    run: RunArgument = "last",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until the run ends.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print Kaggle's JSON log.")] = False,
) -> None:
    """Print what a run's notebook printed."""
    with _reporting(json_), contextlib.suppress(BrokenPipeError):
        visible = importlib.import_module("kanoe.cli.texts").visible
        colours = sys.stdout.isatty()
        for chunk in verb("runs").read_logs(run, follow=follow, as_json=json_):
            sys.stdout.write(chunk if json_ else visible(chunk, colours=colours))
            sys.stdout.flush()


@app.command("fetch")
def fetch_command(
    run: RunArgument = "last",
    directory: Annotated[
        Path | None, typer.Argument(help="Where to; else a folder here with the run's name.", metavar="[DIR]")
    ] = None,
    json_: Json = False,
) -> None:
    """Copy a run's notebook, page, log and output files to a folder."""
    with _reporting(json_):
        target = verb("runs").fetch_run(run, directory)
        if json_:
            _print_json({"directory": str(target)})
        else:
            typer.echo(str(target))


@app.command("cancel")
def cancel_command(run: RunArgument = "last", json_: Json = False) -> None:
    """Stop a run that goes on or waits, from any terminal, and wait until it has ended.

    What ran before is kept, as with Ctrl-C; a second `kanoe cancel` ends the run at once. Of a run that has ended it says how; what a
    LOST run left is cleaned. The exit code is 0: the run does not go on.
    """
    with _reporting(json_), _watching(quiet=True) as (_, stop):
        cancelled = verb("cancel").cancel_run(run, stop=stop)
        if json_:
            _print_json(cancelled.as_dict())
        else:
            typer.echo(cancelled.line())


@app.command(
    "python",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def python_command(
    context: typer.Context,
    input: Input = None,
    as_of: AsOf = None,
    python: Python = None,
    with_: With = None,
    lock: Lock = None,
    internet: Internet = None,
    memory: Memory = None,
    cpus: Cpus = None,
    secret: Secret = None,
    env: Env = None,
    env_file: EnvFile = None,
    gpu: Gpu = False,
) -> None:
    """Run this folder's Python in the sandbox: `kanoe python -c 'import pandas; ...'`, `kanoe python script.py`.

    The environment is that of the folder (its lock, its declarations) and of what the given code imports; the current folder is
    `/kaggle/working`, readable and writable.
    """
    with _reporting(False):
        module = verb("python")
        options = module.PythonOptions(
            inputs=tuple(input or ()),
            as_of=as_of,
            python=python,
            with_packages=tuple(with_ or ()),
            lock=lock,
            internet=internet,
            memory=read_bytes("--memory", memory),
            cpus=cpus,
            secrets=read_secrets(secret or ()),
            variables=read_variables(env or (), env_file or ()),
            gpu=gpu,
        )
        with _watching() as (display, stop):
            status = module.run_python(context.args, options, watch=display.show, stop=stop, ready=display.close)
    raise typer.Exit(status)


@env_app.command("lock")
def env_lock_command(
    source: SourceArgument,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to; else `NAME.lock` beside the source."),
    ] = None,
    as_of: AsOf = None,
    python: Python = None,
    with_: With = None,
    gpu: Builds = False,
    json_: Json = False,
) -> None:
    """Resolve a source's environment and write it as a lock to commit beside it."""
    with _reporting(json_):
        module = verb("environment")
        options = module.EnvironmentOptions(as_of=as_of, python=python, with_packages=tuple(with_ or ()), gpu=gpu)
        with _watching(quiet=json_) as (display, stop):
            path, lock = module.write_lock(source, options, output, watch=display.show, stop=stop)
        if json_:
            _print_json({"file": str(path), "python": lock.python, "distributions": len(lock.distributions)})
        else:
            typer.echo(str(path))


@env_app.command("show")
def env_show_command(
    source: SourceArgument,
    as_of: AsOf = None,
    python: Python = None,
    with_: With = None,
    lock: Lock = None,
    gpu: Builds = False,
    json_: Json = False,
) -> None:
    """Show a source's environment: what asks for what, which versions, and why."""
    with _reporting(json_):
        module = verb("environment")
        packages = tuple(with_ or ())
        options = module.EnvironmentOptions(as_of=as_of, python=python, with_packages=packages, lock=lock, gpu=gpu)
        with _watching(quiet=json_) as (display, stop):
            shown = module.show_environment(source, options, watch=display.show, stop=stop)
        if json_:
            _print_json(shown.as_dict())
        else:
            _echo_lines(shown.lines())


@env_app.command("diff")
def env_diff_command(
    before: Annotated[str, typer.Argument(help="A source, a lock file, or a run.", metavar="A")],
    after: Annotated[str, typer.Argument(help="The other one.", metavar="B")],
    json_: Json = False,
) -> None:
    """Show what differs between two environments: Python, day, versions.

    Each is a notebook or script, a lock file, or a run (its name, its beginning, or `last`).
    """
    with _reporting(json_):
        module = verb("env_diff")
        with _watching(quiet=json_) as (display, stop):
            found = module.diff_environments(before, after, watch=display.show, stop=stop)
        if json_:
            _print_json(found.as_dict())
        else:
            _echo_lines(found.lines())


@app.command("doctor")
def doctor_command(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A notebook, a script, or a folder with one; without it the machine is checked.", metavar="[SOURCE]"
        ),
    ] = None,
    input: Input = None,
    as_of: AsOf = None,
    python: Python = None,
    with_: With = None,
    lock: Lock = None,
    internet: Internet = None,
    gpu: Builds = False,
    json_: Json = False,
) -> None:
    """Check this machine, or with SOURCE everything of a notebook without running it.

    Of the machine: sandbox, limits, Pythons, registry, disks, GPU, clients, credentials. Of a notebook: cells, data, environment, programs,
    what it expects of its place. The exit code is 0 where a run can start, else the one that it would end with.
    """
    with _reporting(json_):
        if source is None:
            _refuse_options_of_a_source(input, as_of, python, with_, lock, internet, gpu or None)
            _show_checkup(verb("machine").check_machine(), json_)
        module = verb("doctor")
        options = module.DoctorOptions(
            inputs=tuple(input or ()),
            as_of=as_of,
            python=python,
            with_packages=tuple(with_ or ()),
            lock=lock,
            internet=internet,
            gpu=gpu,
        )
        with _watching(quiet=json_) as (display, stop):
            checkup = module.check_source(source, options, watch=display.show, stop=stop)
        _show_checkup(checkup, json_)


def _refuse_options_of_a_source(*options: object) -> None:
    if any(option is not None and option != [] for option in options):
        hint = "Name it: `kanoe doctor notebook.ipynb …`"
        raise InputError(error("usage", "these options are for a notebook, and none is given", hint=hint))


def _show_checkup(checkup: Any, as_json: bool) -> NoReturn:
    if as_json:
        _print_json(checkup.as_dict())
    else:
        _echo_lines(importlib.import_module("kanoe.cli.texts").checkup_lines(checkup))
    raise typer.Exit(checkup.exit_code)


@store_app.command("clean")
def store_clean_command(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Also what no run used for this long: `30d`, `12h`."),
    ] = None,
    keep_runs: Annotated[
        int | None, typer.Option("--keep-runs", metavar="N", min=0, help="Also the runs but the newest N.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="SIZE", help="Also cells' oldest values, until all take so much: `20g`."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json_: Json = False,
) -> None:
    """Make room: remove what runs left that were killed, and on demand old runs, values of cells, environments and data.

    What a run uses that goes on is never touched, nor is a folder that was given with `--output`.
    """
    with _reporting(json_):
        cleaned = verb("store").clean_store(
            older_than=read_seconds("--older-than", older_than),
            keep_runs=keep_runs,
            size=read_bytes("--size", size),
            dry_run=dry_run,
        )
        if json_:
            _print_json(cleaned.as_dict())
        else:
            _echo_lines(cleaned.lines())


@store_app.command("size")
def store_size_command(json_: Json = False) -> None:
    """Show what the store holds and how much disk it takes."""
    with _reporting(json_):
        size = verb("store").measure_store()
        if json_:
            _print_json(size.as_dict())
        else:
            _echo_lines(size.lines())


def main() -> None:
    """Run the command; never shows a traceback of Kanoe's own unless `--debug` is given."""
    _hide_values()
    _prepare_streams()
    try:
        # Typer itself shows wrong usage in a frame for people; programs get their object.
        sys.exit(app(standalone_mode="--json" not in sys.argv))
    except BrokenPipeError:
        # The reader of a pipe went away (`kanoe logs | head`): nothing to say, and nobody to say it to.
        sys.stderr.close()
        sys.exit(ExitCode.SUCCEEDED)
    except _WrongUsage as problem:
        command = problem.ctx.command_path if problem.ctx else "kanoe"
        hint = f"`{command} --help` shows what it takes"
        _show_failure((error("usage", problem.format_message(), hint=hint),), ExitCode.WRONG_INPUT, as_json=True)
        sys.exit(ExitCode.WRONG_INPUT)


def _prepare_streams() -> None:
    """Give closed streams a place, lest a file opened later takes their number, and let stdout hold any path."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may hold bytes that are no text; whoever reads it wants just these.
        sys.stdout.reconfigure(errors="surrogateescape" if sys.stdout.encoding == "utf-8" else "backslashreplace")


def _hide_values() -> None:
    """Hide what `--secret` and `--env` are given from `ps`, before anything else is done."""
    options = ("--secret", "--env")
    if any(argument.partition("=")[0] in options for argument in sys.argv):
        importlib.import_module("kanoe.base.command_line").hide_values(options)


@contextlib.contextmanager
def _watching(*, quiet: bool = False, verbose: bool = False) -> Iterator[tuple[Display, Stop]]:
    """Show what happens while the body runs, and hear interrupts."""
    display: Display = importlib.import_module("kanoe.cli.display").choose_display(quiet=quiet, verbose=verbose)
    stop = Stop()
    try:
        with _interrupts(stop):
            yield display, stop
    finally:
        display.close()


@contextlib.contextmanager
def _interrupts(stop: Stop) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into requests to stop: once interrupts the cell, twice ends at once."""

    def hear(_number: int, _frame: FrameType | None) -> None:
        stop.request()

    earlier: dict[int, Any] = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _reporting(as_json: bool) -> Iterator[None]:
    """Show what Kanoe raises as diagnostics and leave with the right exit code."""
    try:
        yield
    except KanoeError as problem:
        _show_traceback()
        _fail(problem.diagnostics, problem.exit_code, as_json)
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        _fail((), ExitCode.INTERRUPTED, as_json)
    except Exception as problem:
        _show_traceback()
        shown = error(
            "internal",
            f"Kanoe failed: {type(problem).__name__}: {problem}",
            hint="Run `kanoe --debug …` again and report what it shows; this is a fault of Kanoe, not of your notebook",
        )
        _fail((shown,), ExitCode.FAILED, as_json)


def _show_traceback() -> None:
    if _debug:
        traceback.print_exc()


def _fail(diagnostics: tuple[Diagnostic, ...], code: ExitCode, as_json: bool) -> None:
    _show_failure(diagnostics, code, as_json)
    raise typer.Exit(code)


def _show_failure(diagnostics: tuple[Diagnostic, ...], code: ExitCode, as_json: bool) -> None:
    lines: Callable[[Diagnostic], list[str]] = importlib.import_module("kanoe.cli.texts").diagnostic_lines
    for diagnostic in diagnostics:
        _echo_lines(lines(diagnostic), err=True)
    if as_json:
        state = "CANCELLED" if code is ExitCode.INTERRUPTED else "FAILED"
        _print_json(
            {
                "run": None,
                "state": state,
                "directory": None,
                "seconds": 0.0,
                "tasks": [],
                "outputs": {},
                "artifacts": [],
                "diagnostics": [diagnostic.as_dict() for diagnostic in diagnostics],
                "reproduction": None,
                "verification": None,
            }
        )


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _echo_lines(lines: list[str], *, err: bool = False) -> None:
    visible = importlib.import_module("kanoe.cli.texts").visible
    for line in lines:
        typer.echo(visible(line), err=err)


register(app, Frame(_reporting, _watching, _print_json, _echo_lines))
