"""What Kanoe works with on this machine: uv, interpreters, the registry, compilers, engines, clients, credentials."""

from __future__ import annotations

import contextlib
import email.utils
import importlib.util
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from kanoe.base.diagnostics import Diagnostic, Severity, info, warning
from kanoe.base.errors import KanoeError
from kanoe.environments.interpreters import find_interpreters
from kanoe.environments.settings import index_addresses
from kanoe.environments.uv import find_uv
from kanoe.store.home import Store
from kanoe.verbs.checkup import Finding
from kanoe.verbs.health.trials import install_command, said, trouble

_MINORS = range(6, 15)
_OLDEST_OF_UV = 8
_REGISTRY_SECONDS = 3.0
_SKEW = 600.0  # seconds that a clock may be wrong
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
_NEVER = ("never", "false", "0")


# uv


def look_at_uv() -> Finding:
    """Tell which uv there is and where it was found."""
    program = find_uv()
    works, text = said([program, "--version"])
    if not works:
        hint = "Install it again: `python -m pip install --force-reinstall uv`"
        return trouble("uv", "uv-missing", f"`{program}` does not run: {text}", hint, Severity.ERROR)
    return Finding("uv", f"{text.removeprefix('uv ').split(' ')[0]}, {program}")


def look_at_uv_cache(store: Store) -> Finding:
    """Tell where uv keeps files, and whether environments share them by hard links."""
    cache = uv_cache()
    if cache is None:
        return Finding("uv's cache", "uv does not say where it is", known=False)
    if not os.access(_nearest(cache), os.W_OK):
        text = f"{cache} cannot be written, and without it no environment is built"
        hint = "`export UV_CACHE_DIR=` a folder that you can write"
        return trouble("uv's cache", "store-unusable", text, hint, Severity.ERROR)
    same = _device(cache) == _device(store.path)
    link_mode = os.environ.get("UV_LINK_MODE")
    if link_mode not in (None, "hardlink"):
        return Finding("uv's cache", f"{cache}; files are put into environments by `UV_LINK_MODE={link_mode}`")
    if same:
        return Finding("uv's cache", f"{cache}, whose files environments share by hard links")
    text = f"{cache}, on another file system than the store: environments are copied, slower and larger"
    hint = f"`export UV_CACHE_DIR={store.path.parent / 'uv-cache'}`, or move the store there with `KANOE_HOME`"
    return Finding("uv's cache", text, (info("file-system-odd", text, hint=hint),))


def uv_cache() -> Path | None:
    """Return uv's cache folder, which need not be there; `None` without uv."""
    try:
        works, text = said([find_uv(), "cache", "dir"])
    except KanoeError:
        return None
    return Path(text) if works and text.startswith("/") else None


def _device(path: Path) -> int:
    return _nearest(path).stat().st_dev


def _nearest(path: Path) -> Path:
    """Return the path, or of those above it the nearest that is there."""
    return next(place for place in (path, *path.parents) if place.exists())


# interpreters


def look_at_interpreters(store: Store) -> Finding:
    """Tell which Pythons there are, which are not, and what brings them."""
    found = find_interpreters(store.path / "environments" / "interpreters")
    minors = sorted({one.minor for one in found if one.final})
    missing = [minor for minor in _MINORS if (3, minor) not in minors]
    text = " ".join(f"{major}.{minor}" for major, minor in minors)
    if not missing:
        return Finding("Pythons", text)
    absent = " ".join(f"3.{minor}" for minor in missing)
    return Finding(
        "Pythons",
        f"{text}; not here: {absent}",
        (info("python-missing", f"not here: {absent}", hint=_bring(missing)),),
    )


def _bring(missing: Sequence[int]) -> str:
    newer = [f"3.{minor}" for minor in missing if minor >= _OLDEST_OF_UV]
    older = [f"3.{minor}" for minor in missing if minor < _OLDEST_OF_UV]
    parts = []
    if newer:
        forbidden = os.environ.get("UV_PYTHON_DOWNLOADS") in _NEVER or os.environ.get("UV_OFFLINE")
        by_itself = "" if forbidden else " (a run does so itself)"
        parts.append(f"`uv python install {' '.join(newer)}`{by_itself}")
    if older:
        parts.append(f"`pyenv install {' '.join(older)}` for notebooks of before 2020")
    return "; ".join(parts)


# the registry


def look_at_registry(store: Store) -> Finding:
    """Tell whether the package registry answers; without one, what is built already still runs."""
    address = index_addresses(None)[-1]
    host = urlsplit(address).hostname
    if host is None:
        return _local_registry(address)
    if os.environ.get("UV_OFFLINE"):
        return _unreachable(store, "the network is off by `UV_OFFLINE`", "`unset UV_OFFLINE`")
    started = time.monotonic()
    try:
        told = _head(address)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", None) or problem
        why = f"{host} does not answer: {getattr(reason, 'strerror', None) or reason}"
        return _unreachable(store, why, f"Check the network, {_ways()} and the index (`UV_DEFAULT_INDEX`, or pip's)")
    text = f"{host} answers in {time.monotonic() - started:.1f} s{_through()}"
    return Finding("registry", text, tuple(_skew(told, host)))


def _local_registry(address: str) -> Finding:
    path = Path(address.removeprefix("file://"))
    if path.exists():
        return Finding("registry", f"the folder {path}")
    return trouble(
        "registry", "registry-unreachable", f"there is no folder `{path}`", "Correct `UV_DEFAULT_INDEX`, or pip's"
    )


def _head(address: str) -> str | None:
    """Ask for a registry's head; return the date that it says. One that refuses is there all the same."""
    parts = urlsplit(address)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + "/").geturl()
    request = urllib.request.Request(bare, method="HEAD", headers={"User-Agent": "kanoe"})  # noqa: S310 - the user's own
    files = [os.environ[name] for name in _CERTIFICATES if os.environ.get(name)]
    context = ssl.create_default_context(cafile=files[0] if files else None) if parts.scheme == "https" else None
    try:
        with urllib.request.urlopen(request, timeout=_REGISTRY_SECONDS, context=context) as answer:  # noqa: S310
            return str(answer.headers["Date"])
    except urllib.error.HTTPError as refusal:
        with refusal:
            return str(refusal.headers["Date"])


def _skew(told: str | None, host: str) -> Iterator[Diagnostic]:
    with contextlib.suppress(TypeError, ValueError):
        behind = email.utils.parsedate_to_datetime(told or "").timestamp() - time.time()
        if abs(behind) > _SKEW:
            way = "behind" if behind > 0 else "before"
            message = f"this machine's clock is {abs(behind) / 60:,.0f} min {way} that of {host}"
            yield warning(
                "clock-odd", message, hint="Set it: `sudo timedatectl set-ntp true`; in WSL `sudo hwclock -s`"
            )


def _unreachable(store: Store, why: str, hint: str) -> Finding:
    """Return that the registry cannot be reached: an error where nothing is built yet."""
    built = built_environments(store)
    if built:
        text = f"{why}; the {built} environments that are built run without it"
        return trouble("registry", "registry-unreachable", text, hint)
    return trouble("registry", "registry-unreachable", f"{why}, and no environment is built yet", hint, Severity.ERROR)


def built_environments(store: Store) -> int:
    """Return how many environments the store holds."""
    with contextlib.suppress(OSError):
        return sum(
            (path / "pyvenv.cfg").exists() or (path / "bin").exists()
            for path in (store.path / "environments").iterdir()
        )
    return 0


def _ways() -> str:
    names = [name for name in (*_PROXIES, *_CERTIFICATES) if os.environ.get(name)]
    return ", ".join(f"`{name}`" for name in names) if names else "the proxy (`HTTPS_PROXY`)"


def _through() -> str:
    names = [name for name in (*_PROXIES, *_CERTIFICATES) if os.environ.get(name)]
    return f", with {', '.join(names)}" if names else ""


# compilers, engines, clients


def look_at_compilers() -> Finding:
    """Tell what old releases without ready files are built with."""
    packages = {
        "git": "git",
        "gcc": "build-essential",
        "g++": "build-essential",
        "make": "build-essential",
        "gfortran": "gfortran",
    }
    there = [name for name in packages if shutil.which(name)]
    extra = [name for name in ("cmake", "cargo", "pkg-config") if shutil.which(name)]
    missing = [name for name in packages if name not in there]
    text = " ".join([*there, *extra]) or "none"
    if not missing:
        return Finding("compilers", text)
    needs = {
        "git": "what notebooks install from repositories",
        "gcc": "releases without a ready file (wheel)",
        "gfortran": "old SciPy without a ready file",
    }
    fails = ", ".join(needs[name] for name in missing if name in needs) or "some old releases"
    message = f"not here: {' '.join(missing)} (for {fails})"
    hint = install_command(*dict.fromkeys(packages[name] for name in missing))
    return Finding("compilers", f"{text}; {message}", (info("compiler-missing", message, hint=hint),))


def look_at_engines() -> Finding:
    """Tell which container engines there are, and whether they answer."""
    found = [_engine(name) for name in ("docker", "podman")]
    return Finding(
        "engines", "; ".join(text for text, _ in found), tuple(one for _, wrong in found if (one := wrong) is not None)
    )


def _engine(name: str) -> tuple[str, Diagnostic | None]:
    program = shutil.which(name)
    if program is None:
        return f"no {name}", None
    form = "{{.Server.Version}}" if name == "docker" else "{{.Client.Version}}"
    works, text = said([program, "version", "--format", form])
    last = text.splitlines()[-1] if text else "it says nothing"
    if works:
        return f"{name} {last}", None
    hint = "`sudo systemctl start docker`"
    if "permission denied" in text.lower():
        hint = "`sudo usermod -aG docker $USER`, then log in again"
    if name == "podman":
        hint = "`podman system migrate`, or `podman info` for more"
    message = f"{name} does not answer"
    return message, warning("engine-silent", message, place=program, hint=f"{hint} (it said: {last[:120]})")


def look_at_clients() -> Finding:
    """Tell which clients of other places there are."""
    told = []
    for name in ("kaggle", "kubectl"):
        program = shutil.which(name)
        told.append(f"{name} ({program})" if program else f"no {name}")
    return Finding("clients", "; ".join(told))


def look_at_credentials() -> Finding:
    """Tell whether Kaggle's credentials are there and kept from others; what they are is shown to nobody."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return Finding("Kaggle", "credentials in `KAGGLE_API_TOKEN`")
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return Finding("Kaggle", "credentials in `KAGGLE_USERNAME` and `KAGGLE_KEY`")
    for path in _credential_files():
        if not path.is_file():
            continue
        if path.name == "kaggle.json" and not _is_credential(path):
            hint = "Make a new one: kaggle.com, Settings, API, Create New Token"
            return trouble("Kaggle", "credentials-odd", f"`{path}` holds no user name and key, or cannot be read", hint)
        if path.stat().st_mode & 0o077:
            return trouble(
                "Kaggle", "credentials-odd", f"others can read the credentials in `{path}`", f"`chmod 600 {path}`"
            )
        return Finding("Kaggle", f"credentials in {path}")
    return Finding("Kaggle", "no credentials (only for what talks to kaggle.com)")


def _credential_files() -> Iterator[Path]:
    folders = [os.environ.get("KAGGLE_CONFIG_DIR")]
    with contextlib.suppress(RuntimeError):
        folders += [str(Path.home() / ".kaggle"), str(Path.home() / ".config" / "kaggle")]
    for folder in folders:
        if folder:
            yield from (Path(folder, name) for name in ("access_token", "kaggle.json"))


def _is_credential(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and all(
        isinstance(content.get(name), str) and content[name] for name in ("username", "key")
    )


def look_at_keyring() -> Finding:
    """Tell whether secrets can come from the system's keyring."""
    if importlib.util.find_spec("keyring") is None:
        return Finding("keyring", "not used: `keyring` is not installed beside Kanoe")
    session = "" if os.environ.get("DBUS_SESSION_BUS_ADDRESS") else "; no session bus to ask it over"
    return Finding("keyring", f"`keyring` is installed{session}")
