"""The commands `kanoe plan` and `kanoe explain`: their options, and what they print."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kanoe.cli.options import (
    AsOf,
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
    Refresh,
    SourceArgument,
    Until,
    With,
    read_bytes,
    read_parameters,
    read_variables,
)

if TYPE_CHECKING:
    from kanoe.engine.plan import PlannedStep
    from kanoe.verbs.explain import Explanation, Thing
    from kanoe.verbs.plan import Plan

CellArgument = Annotated[str, typer.Argument(help="The cell: its position, its id or a tag.", metavar="CELL")]


class PlanFormat(StrEnum):
    """How a plan is printed."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"


Format = Annotated[
    PlanFormat, typer.Option("--format", help="`mermaid` and `dot` print the graph, `json` the same as `--json`.")
]
Graph = Annotated[bool, typer.Option("--graph", help="Draw which cell needs which.")]


@dataclass(frozen=True, slots=True)
class Frame:
    """What every command stands in: errors are shown, progress too, and one object or lines are printed."""

    reporting: Callable[[bool], AbstractContextManager[None]]
    watching: Callable[..., AbstractContextManager[Any]]
    print_json: Callable[[Any], None]
    print_lines: Callable[..., None]


def register(app: typer.Typer, frame: Frame) -> None:
    """Give the app the two commands."""

    @app.command("plan")
    def plan_command(  # noqa: PLR0913, PLR0917 - an option is an argument
        source: SourceArgument,
        graph: Graph = False,
        format: Format = PlanFormat.TEXT,
        parameter: Parameter = None,
        input: Input = None,
        as_of: AsOf = None,
        python: Python = None,
        with_: With = None,
        lock: Lock = None,
        internet: Internet = None,
        memory: Memory = None,
        cpus: Cpus = None,
        kaggle_limits: KaggleLimits = False,
        env: Env = None,
        env_file: EnvFile = None,
        gpu: Gpu = False,
        no_cache: NoCache = False,
        refresh: Refresh = None,
        from_: First = None,
        until: Until = None,
        json_: Json = False,
    ) -> None:
        """Show what a run would do: which cells run, which may, which are reused, and why.

        Nothing is run. Give it the options that you would give to `kanoe run`. Of a notebook that never ran here it says what its code
        tells.

        Examples:

            kanoe plan titanic.ipynb --graph

            kanoe plan titanic.ipynb --format mermaid > titanic.mmd
        """
        as_json = json_ or format is PlanFormat.JSON
        with frame.reporting(as_json):
            module = importlib.import_module("kanoe.verbs.plan")
            options = module.RunOptions(
                parameters=read_parameters(parameter or ()),
                texts=True,
                inputs=tuple(input or ()),
                as_of=as_of,
                python=python,
                with_packages=tuple(with_ or ()),
                lock=lock,
                internet=internet,
                memory=read_bytes("--memory", memory),
                cpus=cpus,
                kaggle_limits=kaggle_limits,
                variables=read_variables(env or (), env_file or ()),
                gpu=gpu,
                cache=not no_cache,
                refresh=tuple(refresh or ()),
                first=from_,
                until=until,
            )
            with frame.watching(quiet=True) as (display, stop):
                plan: Plan = module.plan_source(source, options, watch=display.show, stop=stop)
            _print_plan(plan, PlanFormat.JSON if as_json else format, frame, graph=graph)

    @app.command("explain")
    def explain_command(source: SourceArgument, cell: CellArgument, json_: Json = False) -> None:
        """Explain one cell: what it read and from which cell, what it wrote and who reads it, why it ran, what was different.

        It tells of the last run of this notebook. Nothing is run.

        Example:

            kanoe explain titanic.ipynb 7
        """
        with frame.reporting(json_):
            explanation: Explanation = importlib.import_module("kanoe.verbs.explain").explain_cell(source, cell)
            if json_:
                frame.print_json(explanation.as_dict())
            else:
                frame.print_lines(explanation_lines(explanation))


def _print_plan(plan: Plan, format: PlanFormat, frame: Frame, *, graph: bool) -> None:
    texts = importlib.import_module("kanoe.cli.texts")
    for diagnostic in plan.diagnostics if format is not PlanFormat.JSON else ():
        frame.print_lines(texts.diagnostic_lines(diagnostic), err=True)
    match format:
        case PlanFormat.JSON:
            frame.print_json(plan.as_dict())
        case PlanFormat.MERMAID:
            frame.print_lines(plan.mermaid().splitlines())
        case PlanFormat.DOT:
            frame.print_lines(plan.dot().splitlines())
        case PlanFormat.TEXT:
            frame.print_lines(plan_lines(plan, graph=graph, plain=not _draws()))


def _draws() -> bool:
    """Whether stdout can show the signs of a drawing."""
    try:
        "●│├".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_TITLE = 44


def plan_lines(plan: Plan, *, graph: bool = False, plain: bool = False) -> list[str]:
    """Return the screen of `kanoe plan`.

    Args:
        plan: what a run would do.
        graph: whether the rails of the graph stand in front.
        plain: whether only ASCII is to be used for what is drawn.
    """
    drawing = importlib.import_module("kanoe.verbs.drawing")
    nodes = plan.nodes()
    marks = [drawing.rails([node], plain=plain)[0] for node in nodes]
    fronts = drawing.rails(nodes, plain=plain) if graph else marks
    width = len(str(max((entry.position for entry in plan.steps), default=0)))
    rows = [_row(front, entry, width) for front, entry in zip(fronts, plan.steps, strict=True)]
    return [_headline(plan), *rows, *_outlook(plan)]


def _headline(plan: Plan) -> str:
    name, count = plan.source.name, len(plan.steps)
    if not plan.steps:
        return f"{name}: there is nothing to run"
    if plan.predicted:
        return f"{name} never ran here: {_cells(count)} would run; what reads what is guessed from the code"
    counts = {str(entry.verdict): 0 for entry in plan.steps}
    for entry in plan.steps:
        counts[str(entry.verdict)] += 1
    words = [
        f"{counts[verdict]} {text}"
        for verdict, text in (("miss", "to run"), ("maybe", "that may run"), ("hit", "reused"))
        if counts.get(verdict)
    ]
    return f"{name}: of {_cells(count)} {', '.join(words)}"


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _row(front: str, entry: PlannedStep, width: int) -> str:
    seconds_text = importlib.import_module("kanoe.cli.texts").seconds_text
    word = {"hit": "reused", "miss": "runs", "maybe": "may run"}[str(entry.verdict)]
    word = "replayed" if entry.replays is not None else word
    took = seconds_text(entry.seconds) if entry.seconds is not None and entry.runs else ""
    title = entry.step.task.title
    title = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
    reason = entry.reason if entry.runs else ""
    if entry.predicted and entry.trace is None and entry.needs:
        reason += f"; it needs {_cells_named(entry.needs)}"
    return f"{front} cell {entry.position:>{width}} {word:>8} {took:>8}  {title:<{_TITLE}}  {reason}".rstrip()


def _cells_named(cells: Sequence[int]) -> str:
    listed = importlib.import_module("kanoe.engine.reasons").listed
    return f"{'cell' if len(cells) == 1 else 'cells'} {listed([str(cell) for cell in cells], most=6)}"


def _outlook(plan: Plan) -> list[str]:
    """Return what is expected: how long, how much is saved, which chain takes longest, what is left out."""
    texts = importlib.import_module("kanoe.cli.texts")
    engine = importlib.import_module("kanoe.engine.plan")
    least, most = engine.expected_seconds(plan.steps)
    path, chain = engine.critical_path(plan.steps)
    lines = []
    if any(entry.seconds is not None for entry in plan.steps):
        span = (
            texts.seconds_text(least) if least == most else f"{texts.seconds_text(least)} to {texts.seconds_text(most)}"
        )
        lines.append(f"expected    {span}; {texts.seconds_text(plan.saved)} saved")
    if len(path) > 1 and chain > 0:
        lines.append(f"longest     {texts.seconds_text(chain)} through the cells {', '.join(map(str, path))}")
    told = [f"cell {step.task.cell} ({step.skip})" for step in plan.skipped if step.skip != "it is blank"]
    if told:
        lines.append(f"left out    {', '.join(told)}")
    return lines


def explanation_lines(explanation: Explanation) -> list[str]:
    """Return the screen of `kanoe explain`."""
    step = explanation.step
    lines = [f"{explanation.source.name} cell {step.task.cell}: {step.task.title}", _story(explanation)]
    if explanation.reason is not None:
        lines.append(f"why      {explanation.reason}")
    for thing in explanation.reads:
        lines += [f"           {thing.name}: {change}" for change in thing.changes]
    if explanation.edited:
        lines.append("now      its code is another than in that run")
    if explanation.network:
        lines.append("network  it connected to the network: `kanoe run --refresh` asks again")
    reads = [(*_read(thing), "") for thing in explanation.reads]
    writes = [_written(thing) for thing in explanation.writes]
    lines += _table("reads", reads) + _table("writes", writes)
    if explanation.predicted:
        lines.append("This is what its code says; a run finds out the rest.")
    diagnostic_lines = importlib.import_module("kanoe.cli.texts").diagnostic_lines
    return [*lines, *(line for remark in explanation.diagnostics for line in diagnostic_lines(remark))]


def _story(explanation: Explanation) -> str:
    if explanation.recorded is None:
        return f"it {explanation.state}" + (f" in {explanation.run}" if explanation.run else " here")
    seconds = importlib.import_module("kanoe.cli.texts").seconds_text(explanation.seconds or 0.0)
    run, moment = explanation.recorded
    if explanation.state == "ran":
        return f"ran      in {run}, {seconds}"
    day = datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"reused   in {explanation.run}; it ran in {run}, {day}, {seconds}"


def _read(thing: Thing) -> tuple[str, str, str]:
    return thing.name, _type(thing), f"from cell {thing.cell}" if thing.cell is not None else ""


def _type(thing: Thing) -> str:
    return "class" if thing.type == "type" else thing.type


def _written(thing: Thing) -> tuple[str, str, str, str]:
    readers = ", ".join(map(str, thing.readers[:8])) + (" …" if len(thing.readers) > 8 else "")
    word = "cell" if len(thing.readers) == 1 else "cells"
    what = "deleted" if thing.gone else f"read by {word} {readers}" if readers else ""
    return thing.name, _type(thing), what, "; ".join(thing.changes)


def _table(name: str, rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """Return rows under a name, in columns."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = []
    for number, row in enumerate(rows):
        shown = [text.ljust(width) for text, width in zip(row, widths, strict=True) if width]
        lines.append(f"{name if number == 0 else '':<8} {'  '.join(shown)}".rstrip())
    return lines
