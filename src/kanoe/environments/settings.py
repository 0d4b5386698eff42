"""Which registries the user has chosen, and how they are reached: uv's own files and variables, pip's where uv has none.

uv reads one file of settings beside those of the user; Kanoe has its own (repaired metadata, what is not built), so it
joins them here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import error
from kanoe.base.errors import InputError

# Where a registry is and how it is reached; what would change the meaning of a lock is left out.
_NETWORK = (
    "allow-insecure-host",
    "cache-dir",
    "concurrent-builds",
    "concurrent-downloads",
    "concurrent-installs",
    "extra-index-url",
    "find-links",
    "http-proxy",
    "https-proxy",
    "index",
    "index-strategy",
    "index-url",
    "keyring-provider",
    "link-mode",
    "native-tls",
    "no-cache",
    "no-index",
    "no-proxy",
    "offline",
    "system-certs",
    "torch-backend",
)
# What a file beside a notebook may say: where its distributions are. The rest says what this machine does, and the folder may be a
# stranger's: where the cache is written, which program is started for passwords, through whom and how safely all is fetched.
_OF_A_FOLDER = frozenset({"extra-index-url", "find-links", "index", "index-strategy", "index-url", "torch-backend"})
_LISTS = frozenset({"allow-insecure-host", "extra-index-url", "find-links", "index", "no-proxy"})
_PLAIN_INDEX = "https://pypi.org/simple"
_TORCH_INDEX = "https://download.pytorch.org/whl"
TORCH_VARIABLE = "KANOE_TORCH_INDEX"
# What PyPI says itself of how long its answers hold; mirrors in between tend to lose it, and uv then asks and builds anew.
_LASTING = {"api": "max-age=600", "files": "max-age=365000000, immutable"}


def network_settings(folder: Path | None) -> dict[str, Any]:
    """Return what uv's files say of registries: those of a folder before the user's, the user's before the machine's.

    Args:
        folder: whose `uv.toml` or `pyproject.toml` counts, or that of the nearest folder above; `None`: none does.

    Raises:
        InputError: a file cannot be understood.
    """
    merged: dict[str, Any] = {}
    of_the_machine = set(_files(None))
    for path in _files(folder):
        content = _read(path)
        names = [name for name in _NETWORK if path in of_the_machine or name in _OF_A_FOLDER]
        for table in (content, content.get("pip", {})):
            for name in names:
                if name in table:
                    _join(merged, name, _absolute(name, table[name], path.parent))
    if _is_plain(merged):
        plain = {"url": _PLAIN_INDEX, "default": True, "cache-control": _LASTING}
        merged["index"] = [*merged.get("index", ()), plain]
    return merged


def _is_plain(merged: Mapping[str, Any]) -> bool:
    """Return whether nothing names another registry than PyPI as the last one to ask."""
    told = {**os.environ, **registry_variables()}
    named = any(told.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_INDEX"))
    tables = [one for one in merged.get("index", ()) if isinstance(one, dict)]
    return not named and not {"index-url", "no-index"} & set(merged) and not any(one.get("default") for one in tables)


def _join(merged: dict[str, Any], name: str, value: Any) -> None:
    if name in _LISTS and isinstance(value, list) and isinstance(merged.get(name), list):
        merged[name] = [*merged[name], *(one for one in value if one not in merged[name])]
    else:
        merged.setdefault(name, value)


def _absolute(name: str, value: Any, folder: Path) -> Any:
    """Return a place relative to a file of settings as what it is from everywhere."""
    if name not in {"find-links", "index", "index-url", "extra-index-url"}:
        return value
    if isinstance(value, list):
        return [_absolute(name, one, folder) for one in value]
    if isinstance(value, dict):
        return {key: _absolute(name, one, folder) if key == "url" else one for key, one in value.items()}
    if isinstance(value, str) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|[/$~]", value):
        return str((folder / value).absolute())
    return value


def _files(folder: Path | None) -> Iterator[Path]:
    given = os.environ.get("UV_CONFIG_FILE")
    if given:
        yield Path(given)
        return
    if os.environ.get("UV_NO_CONFIG", "").lower() in {"1", "true", "yes", "on", "y", "t"}:
        return
    if folder is not None and folder.is_dir():
        yield from _project_file(folder)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for path in (home / "uv" / "uv.toml", Path("/etc/uv/uv.toml")):
        if path.is_file():
            yield path


def _project_file(folder: Path) -> Iterator[Path]:
    for place in (folder.absolute(), *folder.absolute().parents):
        if (place / "uv.toml").is_file():
            yield place / "uv.toml"
            return
        project = place / "pyproject.toml"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if re.search(r"^\s*\[+\s*tool\s*\.\s*uv\b", project.read_text(encoding="utf-8"), re.MULTILINE):
                yield project
                return


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        message = f"uv's settings in `{path}` cannot be understood: {cause}"
        raise InputError(error("requirement-broken", message, place=str(path), hint=f"Correct `{path}`")) from cause
    found = content.get("tool", {}).get("uv", {}) if path.name == "pyproject.toml" else content
    return found if isinstance(found, dict) else {}


def registry_variables() -> dict[str, str]:
    """Return the variables that tell uv of registries where nothing else does: pip's settings, its certificates."""
    found = {}
    if not any(os.environ.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")) and not _names_an_index():
        index = os.environ.get("PIP_INDEX_URL") or _pip_setting("index-url")
        if index:
            found["UV_DEFAULT_INDEX"] = index
    certificates = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE") or _pip_setting("cert")
    if certificates and Path(certificates).is_file() and "SSL_CERT_FILE" not in os.environ:
        found["SSL_CERT_FILE"] = certificates
    return found


def _names_an_index() -> bool:
    for path in _files(None):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if re.search(r"^\s*(?:\[\[index\]\]|(?:default-)?index(?:-url)?\s*=)", path.read_text(), re.MULTILINE):
                return True
    return False


def index_addresses(folder: Path | None) -> tuple[str, ...]:
    """Return the addresses of the registries, in the order in which uv asks them."""
    told = {**os.environ, **registry_variables()}
    files = network_settings(folder)
    tables = [one for one in files.get("index", ()) if isinstance(one, dict) and isinstance(one.get("url"), str)]
    extra = f"{told.get('UV_INDEX', '')} {told.get('UV_EXTRA_INDEX_URL', '')}".split()
    found = [text.partition("=")[2] if re.match(r"[\w.-]+=https?:", text) else text for text in extra]
    found += [one["url"] for one in tables if not one.get("default") and not one.get("explicit")]
    found += [one for one in files.get("extra-index-url", ()) if isinstance(one, str)]
    defaults = [one["url"] for one in tables if one.get("default")]
    last = told.get("UV_DEFAULT_INDEX") or told.get("UV_INDEX_URL") or next(iter(defaults), files.get("index-url"))
    found.append(str(last or _PLAIN_INDEX).rpartition("default=")[2])
    return tuple(dict.fromkeys(address.rstrip("/") for address in found if address))


def torch_index(folder: Path | None, build: str = "cpu") -> str | None:
    """Return the address of PyTorch's own index of a build; `None` where the user has settled it otherwise, or is offline.

    Args:
        folder: whose settings of uv count.
        build: `cpu`, `cu121`: the label of its versions.
    """
    told = os.environ.get(TORCH_VARIABLE, _TORCH_INDEX)
    files = network_settings(folder)
    settled = any(os.environ.get(name) for name in ("UV_TORCH_BACKEND", "UV_OFFLINE", "UV_NO_INDEX"))
    if not told or settled or any(files.get(name) for name in ("torch-backend", "offline", "no-index")):
        return None
    return f"{told.rstrip('/')}/{build}"


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


def dumps(settings: Mapping[str, Any]) -> str:
    """Return settings as a `uv.toml`."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value)).replace("\x7f", "\\u007f")
