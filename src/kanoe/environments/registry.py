"""What the package registries hold: a project's files, their days and the Pythons they are for.

Asked only where uv has no answer (it says that nothing fits, not what would), in the forms that registries speak
(PEP 503, 629, 691, 700), and remembered for a day.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import html
import io
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kanoe.base.diagnostics import error
from kanoe.base.errors import UnavailableError
from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.environments.settings import index_addresses, registry_variables
from kanoe.environments.versions import is_prerelease, normalise, sort_key, version_fits, wheel_tags

_FORM = "project/1"
_AGE = 86_400.0  # seconds that an answer is believed
_PATIENCE = 30.0  # seconds for one answer
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_SDIST = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz")
_LINK = re.compile(r"<a\s([^>]*)>([^<]*)</a>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a project.

    Args:
        name: `numpy-1.14.2-cp36-cp36m-manylinux1_x86_64.whl`.
        url: where it is.
        uploaded: an RFC 3339 time, or `None` where the registry does not say it.
        requires_python: a PEP 440 specifier, or empty.
        yanked: whether its author took it back.
    """

    name: str
    url: str
    uploaded: str | None = None
    requires_python: str = ""
    yanked: bool = False

    @property
    def is_wheel(self) -> bool:
        """Whether it is ready to be installed."""
        return self.name.endswith(".whl")

    @property
    def is_for_any_platform(self) -> bool:
        """Whether it is a wheel without compiled modules."""
        return self.name.endswith("-none-any.whl")

    @property
    def version(self) -> str | None:
        """The version of its release; `None` for what is neither a wheel nor a source distribution."""
        return _version_of(self.name)


@functools.lru_cache(maxsize=65_536)
def _version_of(name: str) -> str | None:
    if name.endswith(".whl"):
        parts = name.removesuffix(".whl").split("-")
        return parts[1] if len(parts) in {5, 6} else None
    suffix = next((one for one in _SDIST if name.endswith(one)), None)
    match = re.match(r".+?-(v?\d[^-]*(?:-?(?:alpha|beta|rc|post|dev)[^-]*)?)$", name.removesuffix(suffix or ""))
    return match[1] if match and suffix else None


@dataclass(frozen=True, slots=True)
class Project:
    """Everything a registry has of one name; `address` is that registry's."""

    name: str
    address: str
    files: tuple[File, ...]

    @property
    def is_compiled(self) -> bool:
        """Whether any release has files for one platform alone: its source distributions need a compiler."""
        return any(file.is_wheel and not file.is_for_any_platform for file in self.files)


@dataclass(frozen=True, slots=True)
class Offer:
    """A release that a Python can have: its version, the day of its first file that fits, and whether it is ready."""

    version: str
    uploaded: str
    is_ready: bool
    file: File


def offers(project: Project, python: str, specifier: str = "", *, build: bool = True) -> tuple[Offer, ...]:
    """Return the releases that a Python can have, the first one uploaded first.

    Args:
        project: from a registry.
        python: the interpreter's version, `3.6.15`.
        specifier: the versions that will do.
        build: whether source distributions count.
    """
    tags = wheel_tags(tuple(int(part) for part in python.split(".")[:2]))
    found: dict[str, Offer] = {}
    for file in project.files:
        version = file.version
        if version is None or file.yanked or not _fits(file, version, python, specifier):
            continue
        if not (tags & set(tags_of(file.name)) if file.is_wheel else build):
            continue
        earlier = found.get(version)
        if earlier is None or (file.uploaded or "") < earlier.uploaded:
            ready = file.is_wheel or (earlier is not None and earlier.is_ready)
            found[version] = Offer(version, file.uploaded or "", ready, file)
        elif file.is_wheel and not earlier.is_ready:
            found[version] = Offer(version, earlier.uploaded, True, file)
    final = [one for one in found.values() if not is_prerelease(one.version)]
    return tuple(sorted(final or found.values(), key=lambda one: (one.uploaded[:10], sort_key(one.version))))


def newest_before(project: Project, moment: str) -> str | None:
    """Return the newest version from before a moment, where the registry leaves some times out: then order decides.

    A release without a time is taken to be no later than the next one that has a time; `None` where that tells nothing.
    """
    days: dict[str, str | None] = {}
    for file in project.files:
        if file.version is not None and not file.yanked and not is_prerelease(file.version):
            known = [day for day in (days.get(file.version), file.uploaded) if day]
            days[file.version] = min(known, default=None)
    later: str | None = None
    for version in sorted(days, key=sort_key, reverse=True):
        later = days[version] or later
        if later is not None and later < moment:
            return version
    return None


def _fits(file: File, version: str, python: str, specifier: str) -> bool:
    try:
        return version_fits(python, file.requires_python) and version_fits(version, specifier)
    except ValueError:
        return not specifier


def tags_of(name: str) -> Iterator[str]:
    """Yield what a wheel's file is for: `cp311-cp311-manylinux_2_17_x86_64` and the like."""
    pythons, abis, platforms = name.removesuffix(".whl").split("-")[-3:]
    for python in pythons.split("."):
        for abi in abis.split("."):
            for platform in platforms.split("."):
                yield f"{python}-{abi}-{platform}"


class Registry:
    """The registries that the user has chosen, asked as uv asks them: the first that has a name has it alone.

    Args:
        memory: the folder of remembered answers.
        folder: whose `uv.toml` or `pyproject.toml` may say which registries to use.
    """

    def __init__(self, memory: Path, folder: Path | None = None) -> None:
        self._memory = memory
        self._folder = folder
        self._known: dict[str, Project | None] = {}

    def project(self, name: str) -> Project | None:
        """Return what the registries hold of a name, or `None` if none has it.

        Raises:
            UnavailableError: `registry-unreachable`.
        """
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> Project | None:
        for address in index_addresses(self._folder):
            found = self._recall(name, address)
            if found is None:
                found = self._ask(name, address)
                self._remember(found, address)
            if found.files:
                return found
        return None

    def _path(self, name: str, address: str) -> Path:
        return self._memory / f"{normalise(name)}-{hash_text(_FORM, address)[:12]}.json"

    def _recall(self, name: str, address: str) -> Project | None:
        path = self._path(name, address)
        try:
            if not 0 <= time.time() - path.stat().st_mtime <= _AGE:
                return None
            return Project(name, address, tuple(File(*one) for one in json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError):
            return None

    def _remember(self, project: Project, address: str) -> None:
        rows = [[one.name, one.url, one.uploaded, one.requires_python, one.yanked] for one in project.files]
        with contextlib.suppress(OSError):
            self._memory.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(project.name, address), json.dumps(rows).encode())

    def _ask(self, name: str, address: str) -> Project:
        page = f"{address}/{normalise(name)}/"
        kind, data = _fetch(page)
        files = tuple(_read_files(kind, data, page))
        if urllib.parse.urlsplit(address).hostname == "pypi.org" and any(file.uploaded is None for file in files):
            # Some mirrors leave times out of their pages and not of this one.
            with contextlib.suppress(UnavailableError, ValueError, KeyError, TypeError):
                times = dict(_read_times(_fetch(f"https://pypi.org/pypi/{normalise(name)}/json")[1]))
                files = tuple(
                    File(one.name, one.url, one.uploaded or times.get(one.name), one.requires_python, one.yanked)
                    for one in files
                )
        return Project(name, address, files)

    def metadata(self, file: File) -> str:
        """Return a wheel's `METADATA`, without the rest of the wheel where the registry can send a part.

        Raises:
            UnavailableError: `registry-unreachable`, or the file is not a wheel.
        """
        with self._open(file) as archive:
            name = next((one for one in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one)), None)
            if name is None:
                raise _unreachable(file.url, "the wheel holds no metadata")
            return archive.read(name).decode("utf-8", "replace")

    def modules(self, file: File) -> frozenset[str]:
        """Return the paths of a wheel's files.

        Raises:
            UnavailableError: `registry-unreachable`, or the file is not a wheel.
        """
        with self._open(file) as archive:
            return frozenset(archive.namelist())

    @contextlib.contextmanager
    def _open(self, file: File) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(io.BufferedReader(_Remote(file.url), 65_536)) as archive:
                yield archive
        except (zipfile.BadZipFile, OSError) as cause:
            raise _unreachable(file.url, str(cause)) from cause


class _Remote(io.RawIOBase):
    """A file of the registry, of which only the parts that are read are sent (RFC 9110, ranges)."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._position = 0
        self._whole: bytes | None = None
        with _open_url(url, {"Range": "bytes=0-0"}) as answer:
            sent = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
            if sent is None:
                self._whole = answer.read()
            self._size = int(sent[1]) if sent else len(self._whole or b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        if self._whole is not None:
            data = self._whole[self._position : end]
        else:
            with _open_url(self._url, {"Range": f"bytes={self._position}-{end - 1}"}) as answer:
                data = answer.read(end - self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def size_of(url: str) -> int | None:
    """Return the bytes of a file of a registry, or `None` where it does not say."""
    if url.startswith(("file:", "/")):
        path = Path(urllib.request.url2pathname(url.removeprefix("file://")))
        return path.stat().st_size if path.is_file() else None
    try:
        with _open_url(url.partition("#")[0], {"Range": "bytes=0-0"}) as answer:
            sent = re.fullmatch(r"bytes 0-0/(\d+)", answer.headers.get("Content-Range", ""))
            size = sent[1] if sent else answer.headers.get("Content-Length")
            return int(size) if size is not None else None
    except (OSError, ValueError):
        return None


def _fetch(url: str) -> tuple[str, bytes]:
    """Return a page's kind and content; an empty page where there is none.

    Raises:
        UnavailableError: `registry-unreachable`.
    """
    if url.startswith(("file:", "/")):
        path = Path(urllib.request.url2pathname(url.removeprefix("file://")), "index.html")
        return "text/html", path.read_bytes() if path.is_file() else b""
    try:
        with _open_url(url, {"Accept": _ACCEPT, "Accept-Encoding": "gzip"}) as answer:
            data = answer.read()
            if answer.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            return answer.headers.get_content_type(), data
    except urllib.error.HTTPError as cause:
        if cause.code in {404, 410}:
            return "text/html", b""
        raise _unreachable(url, f"{cause.code} {cause.reason}") from cause
    except (OSError, EOFError, ValueError) as cause:
        raise _unreachable(url, str(getattr(cause, "reason", cause))) from cause


def _open_url(url: str, headers: dict[str, str]) -> Any:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"`{parts.scheme}:` is not a registry's address")
    if parts.username is not None:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers = {**headers, "Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(url, headers={"User-Agent": "kanoe", **headers})  # noqa: S310 - checked above
    return urllib.request.urlopen(request, timeout=_PATIENCE, context=_certificates())  # noqa: S310


@functools.cache
def _certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    own = registry_variables().get("SSL_CERT_FILE")
    if own is not None:
        with contextlib.suppress(OSError):
            context.load_verify_locations(own)
    return context


def _unreachable(url: str, reason: str) -> UnavailableError:
    host = urllib.parse.urlsplit(url).hostname or url
    hint = "Check the network, and the proxy or index settings (`UV_DEFAULT_INDEX`, `uv.toml`)"
    return UnavailableError(
        error("registry-unreachable", f"the server `{host}` does not answer: {reason[:200]}", hint=hint)
    )


def _read_files(kind: str, data: bytes, page: str) -> Iterator[File]:
    """Yield the files of a project's page, JSON (PEP 691) or HTML (PEP 503)."""
    if kind.endswith("json"):
        for one in json.loads(data).get("files", ()):
            yield File(
                name=one["filename"],
                url=urllib.parse.urljoin(page, one["url"]),
                uploaded=one.get("upload-time"),
                requires_python=one.get("requires-python") or "",
                yanked=bool(one.get("yanked")),
            )
        return
    for attributes, name in _LINK.findall(data.decode("utf-8", "replace")):
        found = {key.lower(): html.unescape(first or second) for key, first, second in _ATTRIBUTE.findall(attributes)}
        if "href" in found:
            yield File(
                name=html.unescape(name).strip(),
                url=urllib.parse.urljoin(page, found["href"]),
                uploaded=found.get("data-upload-time") or None,
                requires_python=found.get("data-requires-python", ""),
                yanked="data-yanked" in attributes,
            )


def _read_times(data: bytes) -> Iterable[tuple[str, str]]:
    for files in json.loads(data)["releases"].values():
        yield from ((one["filename"], one["upload_time_iso_8601"]) for one in files)
