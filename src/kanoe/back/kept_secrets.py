"""A store of blobs that takes nothing in which a secret stands: a value or a file that holds one has no bytes."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from kanoe.back.masking import SHORTEST
from kanoe.store.blobs import Blobs, TakenFiles

# How Python, numpy and libraries in other languages keep text in memory and in files.
_ENCODINGS = ("utf-8", "utf-16-le", "utf-32-le")


class SecretBlobs:
    """The blobs of a store, but for what holds a secret.

    Args:
        blobs: where everything else is kept.
        secrets: values by name; those shorter than four characters stand in too many files.
    """

    def __init__(self, blobs: Blobs, secrets: Mapping[str, str]) -> None:
        self._blobs = blobs
        self._needles = [
            value.encode(encoding, "surrogatepass")
            for value in secrets.values()
            if len(value) >= SHORTEST
            for encoding in _ENCODINGS
        ]

    def take_all(self, folder: Path, names: Iterable[str]) -> TakenFiles:
        """Take files in; those with a secret are refused.

        Raises:
            OSError: the store cannot be written.
        """
        names = list(names)
        refused = {name: "it holds a secret" for name in names if self._needles and self._holds(folder / name)}
        taken = self._blobs.take_all(folder, [name for name in names if name not in refused])
        return TakenFiles(taken.hashes, {**taken.refused, **refused})

    def link_all(self, digests: Iterable[str], folder: Path) -> set[str]:
        """Lay verified blobs into a folder; returns those that are gone or damaged."""
        return self._blobs.link_all(digests, folder)

    def open(self, digest: str) -> IO[bytes] | None:
        """Return verified bytes; `None` if they are not there."""
        return self._blobs.open(digest)

    def _holds(self, path: Path) -> bool:
        """Whether a secret stands in a file; what cannot be read is refused by whoever takes it."""
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file, mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
                return file.readable() and any(content.find(needle) >= 0 for needle in self._needles)
        return False
