"""What the tests of environments share: a registry of their own, uv's cache apart."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from registry import Registry


@pytest.fixture
def registry(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A package registry with nothing but pip; uv knows no other."""
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    server = Registry()
    monkeypatch.setenv("UV_DEFAULT_INDEX", server.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("KANOE_TORCH_INDEX", "")  # what asks for it gives its own
    server.add("pip", "25.0")
    server.add("setuptools", "75.0")
    yield server
    server.close()
