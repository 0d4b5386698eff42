"""`kanoe python`: the sandbox's interpreter, on the current folder."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from kanoe.back.limit_texts import explain_limit
from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError
from kanoe.base.stop import Stop
from kanoe.engine.events import Noted
from kanoe.environments.bytecode import compiling
from kanoe.front.read import read_source
from kanoe.ir.notebook import Cell, Notebook
from kanoe.ir.source import Source
from kanoe.sandbox.confine import Confined, confine
from kanoe.sandbox.gpu import with_gpu
from kanoe.sandbox.layout import Layout, with_limits
from kanoe.sandbox.limits import chosen_limits
from kanoe.sandbox.watch import Mark, start_watched
from kanoe.store.home import open_store
from kanoe.verbs.answers import answered
from kanoe.verbs.environment import Watch, ignore, ready_environment
from kanoe.verbs.queue import at_work
from kanoe.verbs.sandbox import SandboxOptions, attach_data, laid_out, wanted_gpu
from kanoe.verbs.secrets import resolve_secrets
from kanoe.verbs.variables import check_variables


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonOptions(SandboxOptions):
    """What `kanoe python` takes besides the arguments of Python: what its sandbox gets."""


@at_work("python")
def run_python(
    arguments: Sequence[str],
    options: PythonOptions = PythonOptions(),
    *,
    watch: Watch = ignore,
    stop: Stop | None = None,
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Run Python with these arguments and this process's own stdin, stdout and stderr; return its exit status.

    Args:
        arguments: as Python takes them: `-c CODE`, `SCRIPT ARGS...`, `-m MODULE`, or nothing for the prompt.
        options: see `PythonOptions`.
        watch: called with events while the environment is made.
        stop: a request to stop.
        ready: called before the program starts.

    Raises:
        InputError: the script is not there, or an option is wrong.
        UnavailableError: the environment cannot be made.
    """
    gpu = wanted_gpu(options.gpu)
    limits = chosen_limits(options.memory, options.cpus)
    check_variables(options.variables)
    store = open_store()
    secrets = resolve_secrets(options.secrets, store)
    source = _source_of(arguments, Path.cwd())
    made = ready_environment(source, options, store, watch, stop or Stop())
    # The current folder is the working folder itself, so its own modules need no mount.
    made = replace(made, local_modules=())
    data = attach_data(source, options.inputs, store, watch)
    with (
        laid_out(source, made, data, store, Path.cwd(), internet=options.internet, tell=watch) as place,
        compiling(made.environment),
    ):
        command = [str(made.environment.python), *arguments]
        layout = with_limits(place.layout, limits)
        layout = with_gpu(layout, gpu) if gpu is not None else layout
        with answered(place.tool, layout, source, secrets, options.variables) as told:
            ready()
            status, reached = _wait(confine(place.tool, told, command), told)
    if reached is not None:
        seen = {"name": reached.limit, "seen": reached.seen, "bound": reached.bound}
        watch(Noted(diagnostic=explain_limit("the program", seen, limits, "kanoe python")))
    return status if status >= 0 else 128 - status


def _wait(confined: Confined, layout: Layout) -> tuple[int, Mark | None]:
    """Run a program to its end on this process's own streams, passing on the signals that are meant for it.

    It has a session of its own, so that it cannot type into the user's terminal, which therefore sends Ctrl-C to this process alone.

    Returns:
        its status, and the limit that ended it, if one did.
    """
    process, watcher = start_watched(confined, layout, None, stdin=None)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.signal(number)

    earlier = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return process.wait(), watcher.reached
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        process.kill()
        watcher.close()


def _source_of(arguments: Sequence[str], folder: Path) -> Source:
    """Return the code that the arguments name as a source of the folder, so that its imports count."""
    option, value = _program(arguments)
    if option == "script":
        return _script(value, folder)
    code = {"c": value, "m": f"import {value.split('.')[0]}" if value else ""}.get(option, "")
    return Source(folder / "-c", "script", Notebook((Cell(id="code", kind="code", source=code),)))


_LONG_OPTIONS = ("--help", "--help-all", "--help-env", "--help-xoptions", "--version", "--check-hash-based-pycs")


def _program(arguments: Sequence[str]) -> tuple[str, str]:
    """Return what Python takes for its program: `c` and code, `m` and a module, `script` and a path, or nothing (stdin)."""
    words = iter(arguments)
    for word in words:
        if word == "-":
            break
        if not word.startswith("-"):
            return "script", word
        if word.startswith("--") and word.partition("=")[0] not in _LONG_OPTIONS:
            message = f"neither Kanoe nor Python has an option `{word}` here"
            hint = "`kanoe python --help` shows Kanoe's; a script's own stand behind its name"
            raise InputError(error("usage", message, place="kanoe python", hint=hint))
        # The first of these letters takes the rest of the word, or the next one.
        found = re.match(r"-([^-cmWX][^cmWX]*)?([cmWX])(.*)", word, re.DOTALL)
        if found is not None:
            value = found[3] or next(words, "")
            if found[2] in "cm":
                return found[2], value
    return "", ""


def _script(name: str, folder: Path) -> Source:
    script = folder / name
    if not script.is_file():
        hint = "Give a script of the current folder, or `-c CODE`"
        raise InputError(error("source-missing", f"there is no file `{name}`", place="kanoe python", hint=hint))
    if not script.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            error(
                "source-missing",
                f"`{name}` lies outside the current folder, which is all that the sandbox sees",
                place="kanoe python",
                hint=f"Change into its folder first: `cd {script.parent}`",
            )
        )
    return replace(read_source(script), path=folder / script.name)
