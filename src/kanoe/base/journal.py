"""An append-only file of JSON lines that survives a crash: a reader takes every whole line and leaves a torn last one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Appends records to a file, one JSON object a line, each in a single write. The file belongs to this object until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record.

        Raises:
            OSError: the disk is full or gone.
        """
        data = memoryview((json.dumps(record, separators=(",", ":")) + "\n").encode())
        before = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # Half a record would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a journal; a line that a crash or a full disk cut short is left out.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                yield record
