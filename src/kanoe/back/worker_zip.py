"""The worker as one zip file, named by its content, so that an old one is never used for a new one."""

from __future__ import annotations

import io
import zipfile
from importlib import resources
from pathlib import Path

from kanoe.base.files import mark_used, replace_file
from kanoe.base.hashing import hash_bytes

_PACKAGE = "kanoe_worker"
_MOMENT = (1980, 1, 1, 0, 0, 0)


def worker_zip(folder: Path) -> Path:
    """Return the worker's zip in `folder`, written there the first time."""
    parts = {
        entry.name: entry.read_bytes()
        for entry in resources.files("kanoe.worker").iterdir()
        if entry.is_file() and entry.name.endswith(".py")
    }
    names = sorted(parts)
    digest = hash_bytes("worker", *(part for name in names for part in (name.encode(), parts[name])))
    path = folder / f"worker-{digest[:16]}.zip"
    if not mark_used(path):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name in names:
                target = name if name == "__main__.py" else f"{_PACKAGE}/{name}"
                archive.writestr(zipfile.ZipInfo(target, _MOMENT), parts[name])
        replace_file(path, content.getvalue())
    return path
