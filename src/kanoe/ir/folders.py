"""What is derived from what stands at paths: whether something is there, the names in a folder, whole trees.

Cells write only `file:PATH`: a file, a link or a folder, each a `Value` whose summary says `kind`, and, by kind, `mode`, `size`, `target`.
What else a cell can read of a tree follows from those, so it is never written and never goes stale:

    exists:PATH     `file`, `link`, `folder`, or nothing
    folder:PATH     the names in a folder, with their kinds
    tree:PATH       everything below a folder: names, kinds, modes and sizes
    files:PATH      the same with all contents
    module:PATH     what an import of the last part of PATH finds in its folder: contents of `PATH.py`, `PATH/__init__.py`, ...
    modules:PATH    the names that an import finds in a folder before it looks elsewhere

Paths are quoted by `quote`: they may hold any byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from kanoe.base.hashing import hash_text
from kanoe.ir.trace import Reference, Value

FILE = "file:"
DERIVED = ("exists:", "folder:", "tree:", "files:", "module:", "modules:")
_PLAIN = re.compile(r"[^%\x00-\x1f\x7f\udc80-\udcff]*")
_STRANGE = re.compile(r"[%\x00-\x1f\x7f\udc80-\udcff]")
_QUOTED = re.compile(rb"%([0-9A-F]{2})")


def quote(path: str) -> str:
    """Return a path as references name it: undecodable bytes, control characters and `%` as `%XX`."""
    if _PLAIN.fullmatch(path):
        return path
    return _STRANGE.sub(lambda found: "".join(f"%{byte:02X}" for byte in os.fsencode(found[0])), path)


def unquote(text: str) -> str:
    """Return the path that `quote` was given."""
    return os.fsdecode(_QUOTED.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(text)))


def entry_hash(kind: str, mode: int = 0, size: int = 0, content: str = "") -> str:
    """Return the hash of what stands at a path.

    Args:
        kind: `file`, `link` or `folder`.
        mode: the permissions of a file or folder.
        size: of a file, in bytes.
        content: a file's sha256, or where a link leads.
    """
    return hash_text("entry", kind, f"{mode:o}", str(size), content)


def is_derived(reference: Reference) -> bool:
    """Return whether a reference follows from `file:` references."""
    return reference.startswith(DERIVED)


def derived_hash(reference: Reference, values: Mapping[Reference, Value]) -> str | None:
    """Return the hash of a derived reference; `None` where nothing is there.

    Args:
        reference: `is_derived`.
        values: what holds at that moment; everything but `file:` is skipped.
    """
    return Folders(values).hash_of(reference)


class Folders:
    """The same for many references and one moment: looks at all values once.

    Args:
        values: what holds at that moment.
    """

    def __init__(self, values: Mapping[Reference, Value]) -> None:
        self._values = values
        self._names: dict[str, list[str]] | None = None

    def hash_of(self, reference: Reference) -> str | None:
        """Return the hash of a derived reference; `None` where nothing is there."""
        kind, _, path = reference.partition(":")
        if kind == "exists":
            value = self._values.get(FILE + path)
            return hash_text("exists", _kind(value)) if value is not None else None
        if kind == "module":
            return self._module(path)
        if kind == "modules":
            importable = sorted(set(self._modules(path)))
            return hash_text("modules", *importable) if importable else None
        if kind == "folder":
            names = self._children().get(path)
            entry = self._values.get(FILE + path)
            if names is None and entry is None:
                return None
            listed = (f"{_kind(self._values.get(f'{FILE}{path}/{name}'))} {name}" for name in sorted(names or ()))
            return hash_text("folder", *listed)
        return self._tree(path, contents=kind == "files")

    def _children(self) -> dict[str, list[str]]:
        if self._names is None:
            self._names = {}
            for reference in self._values:
                if reference.startswith(FILE):
                    folder, _, name = reference[len(FILE) :].rpartition("/")
                    self._names.setdefault(folder, []).append(name)
        return self._names

    def _tree(self, path: str, *, contents: bool) -> str | None:
        below = sorted(self._below(path))
        if not below:
            return None
        return hash_text("files" if contents else "tree", *(self._line(entry, contents) for entry in below))

    def _below(self, path: str) -> Iterable[str]:
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            for name in self._children().get(folder, ()):
                waiting.append(f"{folder}/{name}")
                yield waiting[-1]

    def _line(self, path: str, contents: bool) -> str:
        value = self._values[FILE + path]
        if contents:
            return f"{value.hash} {path}"
        told = (str(value.summary.get(name, "")) for name in ("kind", "mode", "size", "target"))
        return f"{' '.join(told)} {path}"

    def _module(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        children = self._children()
        found = [f"{folder}/{other}" for other in children.get(folder, ()) if _module_name(other) == name]
        found += [f"{path}/{other}" for other in children.get(path, ()) if _module_name(other) == "__init__"]
        lines = [self._line(entry, contents=True) for entry in sorted(found)]
        if FILE + path in self._values:
            lines.append(_kind(self._values[FILE + path]))
        return hash_text("module", *lines) if lines else None

    def _modules(self, folder: str) -> Iterable[str]:
        children = self._children()
        for name in children.get(folder, ()):
            module = _module_name(name)
            if module is not None:
                yield module
            elif any(_module_name(other) == "__init__" for other in children.get(f"{folder}/{name}", ())):
                yield name


def _kind(value: Value | None) -> str:
    return str(value.summary.get("kind", "file")) if value is not None else "folder"


def _module_name(name: str) -> str | None:
    """Return the name of the module in a file of this name; `None`: it is none."""
    return name.partition(".")[0] if name.endswith((".py", ".so", ".pyc")) else None
