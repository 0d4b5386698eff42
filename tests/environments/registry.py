"""A package registry of our own: a real HTTP server that speaks PEP 691 and 700, with distributions made on the spot."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import urllib.parse
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class File:
    """A file of a distribution."""

    name: str
    data: bytes
    uploaded: str | None
    hashes: bool = True

    @property
    def metadata(self) -> bytes:
        """A wheel's metadata (PEP 658)."""
        if not self.name.endswith(".whl"):
            return b""
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA")))


def wheel(
    name: str, version: str, modules: Mapping[str, str], requires: Sequence[str] = (), tag: str = "py3-none-any"
) -> bytes:
    """A wheel with these files."""
    information = f"{name.replace('-', '_')}-{version}.dist-info"
    files = {path: text.encode() for path, text in modules.items()}
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {one}\n" for one in requires
    )
    files[f"{information}/METADATA"] = metadata.encode()
    files[f"{information}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    record = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
    files[f"{information}/RECORD"] = record.encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return buffer.getvalue()


def sdist(name: str, version: str, backend: str, *, static: bool = True) -> bytes:
    """A source distribution that is built by its own backend; `static`: what it needs is known without."""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    project += f'[project]\nname = "{name}"\nversion = "{version}"\n' if static else ""
    information = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {"pyproject.toml": project, "backend.py": backend, "PKG-INFO": information}.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class Registry:
    """The registry; `gate` is open unless a test closes it, then files are not sent before it opens.

    With `is_plain` it speaks PEP 503 alone, as PyTorch's index does: no sizes, no days.
    """

    projects: dict[str, list[File]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    root: str = "simple"
    is_plain: bool = False

    def __post_init__(self) -> None:
        self.gate.set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_HEAD(self) -> None:
                self.send_response(405)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                registry.asked.append(self.path)
                status, kind, data = registry.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self.root}/"

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def add(
        self, name: str, version: str, *requires: str, uploaded: str | None = "2020-01-01", **options: Any
    ) -> bytes:
        """Add a wheel whose one module has the distribution's name and knows its version."""
        module = name.replace("-", "_")
        modules = options.get("modules") or {f"{module}/__init__.py": f"version = {version!r}\n"}
        tag = options.get("tag", "py3-none-any")
        data = wheel(name, version, modules, requires, tag)
        self.add_file(name, File(f"{module}-{version}-{tag}.whl", data, uploaded, options.get("hashes", True)))
        return data

    def add_file(self, name: str, file: File) -> None:
        self.projects.setdefault(name, []).append(file)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        match = re.fullmatch(rf"/{self.root}/([^/]+)/", path)
        if match and match[1] in self.projects and self.is_plain:
            page = "".join(self._link(match[1], file) for file in self.projects[match[1]])
            return 200, "text/html", page.encode()
        if match and match[1] in self.projects:
            files = [self._describe(match[1], file) for file in self.projects[match[1]]]
            page = {"meta": {"api-version": "1.1"}, "name": match[1], "files": files, "versions": []}
            return 200, "application/vnd.pypi.simple.v1+json", json.dumps(page).encode()
        match = re.fullmatch(r"/files/([^/]+)/([^/]+)", urllib.parse.unquote(path))
        for file in self.projects.get(match[1], ()) if match else ():
            if match and match[2] == f"{file.name}.metadata":
                return 200, "application/octet-stream", file.metadata
            if match and match[2] == file.name:
                self.gate.wait(30)
                return 200, "application/octet-stream", file.data
        return 404, "text/plain", b"not found"

    def _link(self, project: str, file: File) -> str:
        fragment = f"#sha256={hashlib.sha256(file.data).hexdigest()}" if file.hashes else ""
        return f'<a href="/files/{project}/{file.name.replace("+", "%2B")}{fragment}">{file.name}</a><br>\n'

    def _describe(self, project: str, file: File) -> dict[str, Any]:
        described: dict[str, Any] = {
            "filename": file.name,
            "url": f"/files/{project}/{file.name}",
            "hashes": {},
            "size": len(file.data),
        }
        if file.hashes:
            described["hashes"] = {"sha256": hashlib.sha256(file.data).hexdigest()}
        if file.metadata:
            described["core-metadata"] = {"sha256": hashlib.sha256(file.metadata).hexdigest()}
        if file.uploaded is not None:
            described["upload-time"] = f"{file.uploaded}T12:00:00Z"
        return described
