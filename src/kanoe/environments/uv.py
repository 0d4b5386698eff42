"""The program `uv` (https://docs.astral.sh/uv), which resolves and installs: found and run."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.files import remove_tree
from kanoe.base.processes import Completed, owner, run_program
from kanoe.base.stop import Stop
from kanoe.environments.settings import TORCH_VARIABLE, dumps, network_settings, registry_variables

# Takes the part that is done (`None`: unknown) and what is being done.
Progress = Callable[[float | None, str], None]

# What would change the meaning of a lock or a build; where a registry is and how it is reached stays the user's.
_DROPPED = frozenset(
    {
        "UV_BREAK_SYSTEM_PACKAGES",
        "UV_BUILD_CONSTRAINT",
        "UV_COMPILE_BYTECODE",
        "UV_CONSTRAINT",
        "UV_CUSTOM_COMPILE_COMMAND",
        "UV_EXCLUDES",
        "UV_FROZEN",
        "UV_ISOLATED",
        "UV_LOCKED",
        "UV_MANAGED_PYTHON",
        "UV_NO_BUILD_ISOLATION",
        "UV_NO_BUILD_ISOLATION_PACKAGE",
        "UV_NO_BINARY",
        "UV_NO_MANAGED_PYTHON",
        "UV_NO_VERIFY_HASHES",
        "UV_OVERRIDE",
        "UV_PRERELEASE",
        "UV_PROJECT",
        "UV_PYTHON",
        "UV_PYTHON_PREFERENCE",
        "UV_REQUIRE_HASHES",
        "UV_RESOLUTION",
        "UV_SYSTEM_PYTHON",
        "UV_VENV_CLEAR",
        "UV_VENV_RELOCATABLE",
        "UV_VENV_SEED",
        "UV_WORKING_DIR",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
    }
)
# A distribution that is built says there what its needs are taken from: any folder of this machine.
_FIXED = {"UV_NO_SOURCES": "1"}
_INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_TORCH_BACKEND",
    TORCH_VARIABLE,
)


def quiet(_fraction: float | None, _text: str) -> None:
    """Take progress and do nothing."""


def find_uv() -> str:
    """Return the path of the program `uv`: that of the `uv` distribution that Kanoe depends on, else one on `PATH`.

    Raises:
        UnavailableError: `uv-missing`.
    """
    with contextlib.suppress(FileNotFoundError):
        return str(find_uv_bin())
    found = shutil.which("uv")
    if found is None:
        raise UnavailableError(
            error(
                "uv-missing",
                "the program `uv` is not there",
                hint="Install it beside Kanoe: `python -m pip install uv`",
            )
        )
    return found


def run_uv(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    text: str | None = None,
    variables: Mapping[str, str] | None = None,
    own: Mapping[str, Any] | None = None,
    on_line: Callable[[str], None] | None = None,
    stop: Stop | None = None,
) -> Completed:
    """Run `uv` with the user's own settings of registries, proxies and certificates, pip's too where uv has none.

    Args:
        arguments: after the program's name.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use; `None`: the user's own only.
        text: stdin.
        variables: environment variables on top.
        own: settings of Kanoe's for uv's file of settings, on top of the user's of registries (those alone then count).
        on_line: called with each line of stderr.
        stop: ends it.

    Raises:
        UnavailableError: `uv-missing`; `store-unusable`: no temporary file can be written.
        CancelledError: `stop` was requested.
    """
    command = [find_uv(), *arguments, "--color", "never", "--no-progress"]
    environment = {**_settings(), **(variables or {})}
    # Anybody could leave a `uv.toml` in a folder that is open to all, such as `/tmp`.
    place = folder if folder is not None and folder.is_dir() else Path("/")
    if own is None:
        return run_program(command, stop=stop, on_line=on_line, environment=environment, cwd=place, input=text)
    with _settings_file(dumps({**network_settings(folder), **own})) as file:
        command += ["--config-file", str(file)]
        return run_program(command, stop=stop, on_line=on_line, environment=environment, cwd=place, input=text)


@contextlib.contextmanager
def _settings_file(text: str) -> Iterator[Path]:
    try:
        folder = tempfile.mkdtemp(prefix=f"kanoe-{owner()}-uv-")
        file = Path(folder, "uv.toml")
        file.write_text(text, encoding="utf-8")
    except OSError as cause:
        message = f"no temporary file can be written: {cause.strerror or cause}"
        hint = "Free some space, or set `TMPDIR` to a folder on another disk"
        raise UnavailableError(error("store-unusable", message, place=tempfile.gettempdir(), hint=hint)) from cause
    try:
        yield file
    finally:
        remove_tree(Path(folder))


def index_settings() -> tuple[str, ...]:
    """Return what the environment variables say of registries: a resolution is good for these alone."""
    settings = _settings()
    return tuple(f"{name}={settings[name]}" for name in _INDEX_VARIABLES if name in settings)


def _settings() -> dict[str, str]:
    """Return the variables for `uv`: the user's; where nothing tells uv of a registry, pip's settings do."""
    own = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {**own, **registry_variables(), **_FIXED}
