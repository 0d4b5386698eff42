"""Options that several verbs share, and how their values are read. A verb's module is imported when a value needs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError

SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A notebook (.ipynb), a script (.py), or a folder with `kernel-metadata.json`.", metavar="SOURCE"
    ),
]
Parameter = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--param", metavar="NAME=VALUE", help="Set a parameter (the cell tagged `parameters` declares them)."
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Reuse nothing; remember what runs.")]
Refresh = Annotated[
    list[str] | None,
    typer.Option("--refresh", metavar="CELL", help="Run this cell again: its position, id or tag."),
]
First = Annotated[str | None, typer.Option("--from", metavar="CELL", help="Run this cell and all after it again.")]
Until = Annotated[str | None, typer.Option("--until", metavar="CELL", help="Stop after this cell.")]
KaggleLimits = Annotated[
    bool, typer.Option("--kaggle-limits", help="Kaggle's own limits: 4 CPUs, 30 GiB, 20 GiB of disk, 12 hours.")
]
RunArgument = Annotated[str, typer.Argument(help="A run's name, its beginning, or `last`.", metavar="[RUN]")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DATE", help="Only releases before this day count: `2022-06-01`.")
]
Python = Annotated[str | None, typer.Option("--python", metavar="X.Y", help="The Python version, or a path.")]
With = Annotated[
    list[str] | None, typer.Option("--with", metavar="PACKAGE", help="Add a distribution: `--with 'lightgbm<4'`.")
]
Lock = Annotated[Path | None, typer.Option("--lock", metavar="FILE", help="Use exactly this lock.")]
Input = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="PATH[:SLUG]", help="Attach data: a folder, a zip file or a data file."),
]
Internet = Annotated[
    bool | None,
    typer.Option("--internet/--no-internet", help="Give the notebook a network (off by default, as on Kaggle)."),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="The most memory for all its processes: `16g` (else 90 % of this machine's)."
    ),
]
Cpus = Annotated[int | None, typer.Option("--cpus", metavar="N", min=1, help="How many CPUs it may use (else all).")]
Secret = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME[=VALUE|@FILE]",
        help="Give it one of Kaggle's secrets; the name alone looks it up or asks.",
    ),
]
Env = Annotated[list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Set an environment variable.")]
EnvFile = Annotated[
    list[Path] | None, typer.Option("--env-file", metavar="FILE", help="Set the environment variables of a file.")
]
Gpu = Annotated[bool, typer.Option("--gpu", help="Let it use this machine's GPU.")]
Builds = Annotated[bool, typer.Option("--gpu", help="Take the builds that use a GPU.")]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Quietly = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]


def read_parameters(texts: tuple[str, ...] | list[str]) -> dict[str, object]:
    """Return the values of `-p` by name, as texts.

    Raises:
        InputError: a text is not NAME=VALUE.
    """
    given: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(error("parameter-value", f"`{text}` is not NAME=VALUE", place="-p", hint="Write `-p n=3`"))
        given[name.strip()] = value
    return given


def read_bytes(option: str, text: str | None) -> int | None:
    """Return `16g`, `500m`, `1.5GiB` as bytes.

    Raises:
        InputError: the text is no size.
    """
    if text is None:
        return None
    size: int = importlib.import_module("kanoe.base.sizes").parse_size(text, option)
    return size


def read_secrets(texts: Sequence[str]) -> Mapping[str, str] | Sequence[str]:
    """Return the secrets of `--secret`; a person at a terminal is asked for what is found nowhere.

    Raises:
        InputError: one cannot be understood, or is found nowhere.
    """
    if not texts:
        return ()
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    ask = importlib.import_module("getpass").getpass if at_terminal else None
    store = importlib.import_module("kanoe.store.home").open_store()
    found: Mapping[str, str] = importlib.import_module("kanoe.verbs.secrets").resolve_secrets(
        texts, store, ask=ask, own_process=True
    )
    return found


def read_variables(texts: Sequence[str], files: Sequence[Path]) -> dict[str, str]:
    """Return the variables of `--env-file`, then of `--env`, which wins.

    Raises:
        InputError: one cannot be understood.
    """
    if not texts and not files:
        return {}
    found: dict[str, str] = importlib.import_module("kanoe.verbs.variables").read_variables(texts, files)
    return found


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def read_seconds(option: str, text: str | None) -> float | None:
    """Return `90`, `90s`, `30m`, `1.5h` as seconds.

    Raises:
        InputError: the text is no time.
    """
    if text is None:
        return None
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :]
    try:
        seconds = float(number) * _UNITS[unit]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise InputError(error("option-value", f"`{text}` is no time", place=option, hint="Write `90`, `30m` or `12h`"))
    return seconds
