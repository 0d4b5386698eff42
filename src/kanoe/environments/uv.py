"""The program `uv` (https://docs.astral.sh/uv), which resolves and installs: found and run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

from uv import find_uv_bin

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.processes import Completed, run_program
from kanoe.base.stop import Stop

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
_INDEX_VARIABLES = (
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "UV_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_TORCH_BACKEND",
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
    on_line: Callable[[str], None] | None = None,
    stop: Stop | None = None,
) -> Completed:
    """Run `uv` with the user's own settings of registries, proxies and certificates, pip's too where uv has none.

    Args:
        arguments: after the program's name.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use; `None`: the user's own only.
        text: stdin.
        variables: environment variables on top.
        on_line: called with each line of stderr.
        stop: ends it.

    Raises:
        UnavailableError: `uv-missing`.
        CancelledError: `stop` was requested.
    """
    command = [find_uv(), *arguments, "--color", "never", "--no-progress"]
    environment = {**_settings(), **(variables or {})}
    # Anybody could leave a `uv.toml` in a folder that is open to all, such as `/tmp`.
    place = folder if folder is not None and folder.is_dir() else Path("/")
    return run_program(command, stop=stop, on_line=on_line, environment=environment, cwd=place, input=text)


def index_settings() -> tuple[str, ...]:
    """Return what the environment variables say of registries: a resolution is good for these alone."""
    settings = _settings()
    return tuple(f"{name}={settings[name]}" for name in _INDEX_VARIABLES if name in settings)


def _settings() -> dict[str, str]:
    """Return the variables for `uv`: the user's; where nothing tells uv of a registry, pip's settings do."""
    variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    if not any(name in variables for name in _INDEX_VARIABLES[:2]) and not _uv_files_name_an_index():
        index = variables.get("PIP_INDEX_URL") or _pip_setting("index-url")
        if index:
            variables["UV_DEFAULT_INDEX"] = index
    certificates = variables.get("PIP_CERT") or variables.get("REQUESTS_CA_BUNDLE") or _pip_setting("cert")
    if certificates and Path(certificates).is_file():
        variables.setdefault("SSL_CERT_FILE", certificates)
    return variables


def _uv_files_name_an_index() -> bool:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    given = os.environ.get("UV_CONFIG_FILE")
    for path in [Path(given)] if given else [home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")]:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if re.search(r"^\s*(?:\[\[index\]\]|(?:default-)?index(?:-url)?\s*=)", path.read_text(), re.MULTILINE):
                return True
    return False


def _pip_setting(name: str) -> str | None:
    """Return a setting of pip's configuration files; the last one read wins, as in pip."""
    found = None
    for path in _pip_files():
        parser = ConfigParser(interpolation=None)
        with contextlib.suppress(OSError, ConfigError, UnicodeDecodeError):
            parser.read_string(path.read_text())
        for section in ("global", "install"):
            found = parser.get(section, name, fallback=found)
    return found


def _pip_files() -> Iterator[Path]:
    given = os.environ.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return
    yield Path("/etc/pip.conf")
    yield Path.home() / ".pip" / "pip.conf"
    yield Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "pip" / "pip.conf"
    if given:
        yield Path(given)
