"""Content hashes. The only module that uses `hashlib`; a test forbids others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from kanoe.base.stop import Stop

_PIECE = 1 << 20


def hash_bytes(kind: str, *parts: bytes) -> str:
    """Return the sha256 (64 hexadecimal digits) of `parts`, tagged by `kind`.

    Every part is preceded by its length, so `("ab", "c")` and `("a", "bc")` differ; equal bytes of different kinds differ too.
    """
    state = hashlib.sha256(b"kanoe:" + kind.encode() + b"\0")
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()


def hash_text(kind: str, *parts: str) -> str:
    """Return `hash_bytes` of the UTF-8 form of `parts`."""
    return hash_bytes(kind, *(part.encode("utf-8", "surrogatepass") for part in parts))


def hash_file(path: Path, stop: Stop | None = None) -> str | None:
    """Return the plain sha256 (64 hexadecimal digits) of a file's content, as `sha256sum` prints it; `None` if it was stopped.

    Raises:
        OSError: the file cannot be read.
    """
    state = hashlib.sha256()
    piece = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(piece):
            if stop is not None and stop.requested:
                return None
            state.update(piece[:size])
    return state.hexdigest()


def hash_content(data: bytes | memoryview) -> str:
    """Return the plain sha256 (64 hexadecimal digits) of bytes: that of a file with this content."""
    return hashlib.sha256(data).hexdigest()


def hash_pieces(pieces: Iterable[bytes | memoryview]) -> str:
    """Return the plain sha256 (64 hexadecimal digits) of bytes that come in pieces."""
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()


def md5_of(data: bytes) -> str:
    """Return the MD5 (32 hexadecimal digits) of bytes, for comparison with what others publish; never a proof of origin."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
