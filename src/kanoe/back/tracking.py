"""Kanoe's side of a watched session: what it holds, what a cell needs there, and what the cell is said to have read and written.

Nothing that the notebook's process says is believed to be well formed, and no byte of it is unpickled here. What it lays into its
staging folder is hashed and taken into the store; what it needs is linked into a folder that it can only read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from kanoe.back.masking import Mask
from kanoe.back.tree import Tree
from kanoe.engine.runner import Task
from kanoe.ir.folders import DERIVED, FILE
from kanoe.ir.trace import AS_FOUND, Bundle, Reference, Trace, Value
from kanoe.store.blobs import TakenFiles

PREPARE, RESTORE, FINISH = "kanoe_prepare_request", "kanoe_restore_request", "kanoe_finish_request"
REPLIES = {"kanoe_prepare_reply", "kanoe_restore_reply", "kanoe_finish_reply"}
_KINDS = {"name", "def", "out", "random", "setting", "effect", "opaque", "file", "group", "count", "source", "secret"}
_KINDS |= {kind.rstrip(":") for kind in DERIVED}
_ROOTS = ("name", "def", "out")
_HASH = re.compile(r"[0-9a-f]{8,128}|" + AS_FOUND + r"")
_TOLD = ("summary", "mentions", "package", "moved")
_LONGEST_REFERENCE = 20_000  # a path, and what makes it a text
_LONGEST_TEXT = 2_000


class BlobStore(Protocol):
    """Where bytes are kept by their content."""

    def take_all(self, folder: Path, names: Iterable[str]) -> TakenFiles:
        """Take files in; raises OSError."""

    def link_all(self, digests: Iterable[str], folder: Path) -> set[str]:
        """Lay verified blobs into a folder; returns those that are gone or damaged."""


@dataclass(frozen=True, slots=True)
class Tracking:
    """How a session is watched.

    Args:
        blobs: where bytes are kept.
        staging: the folder that the session fills.
        given: the folder that it reads.
        tree: the files of the session's folders.
        configuration: what the worker is told of these folders, as it sees them.
        mask: finds what nothing that is kept may hold.
    """

    blobs: BlobStore
    staging: Path
    given: Path
    tree: Tree
    configuration: Mapping[str, Any]
    mask: Mask = field(default_factory=lambda: Mask(()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reply asks for: another request with its content, the cell's start, other cells first, or a new session.

    Args:
        kind: which of these.
        content: of the next request.
        needs: references that other cells have to make first.
        why: for people, why the session is lost.
    """

    kind: Literal["request", "run", "held", "lost"]
    content: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Reference, ...] = ()
    why: str = ""


class MalformedError(Exception):
    """A reply makes no sense."""


class NarrowError(MalformedError):
    """The cell looked up a name that had not been brought: nobody foresaw that."""


class TrackedSession:
    """What one session holds, as far as Kanoe knows."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._known: Mapping[Reference, Value] = {}
        self._taken: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._earlier: Sequence[str] = ()

    def prepare(self, task: Task) -> dict[str, Any]:
        """Return the first request's content: what differs between the session and the state that the task starts from."""
        wanted = task.state or {}
        known = self._known
        state = {
            reference: _entry(value)
            for reference, value in wanted.items()
            if not _is_same(known.get(reference), value) and _in_session(reference)
        }
        gone = [reference for reference in known if reference not in wanted and _in_session(reference)]
        self._known, self._earlier = wanted, task.earlier
        told, self._told = self._told, {}
        laid = self._tracking.tree.take_changes()
        return {
            "code": task.code,
            "count": task.count,
            "execution": task.execution,
            "state": state,
            "gone": gone,
            "taken": told,
            "laid": laid,
            "names": list(task.names),
        }

    def take_reply(self, content: Mapping[str, Any]) -> Answer:
        """Return what follows from the answer to `prepare` or `restore`."""
        status = content.get("status")
        if status == "ready":
            return Answer("run")
        if status == "held":
            needs = tuple(_reference(entry) for entry in _list(content.get("needs")))
            return Answer("held", needs=tuple(entry for entry in needs if entry in self._known))
        if status == "wants":
            missing = self._give([_blob(entry) for entry in _list(content.get("blobs"))])
            if missing:
                return Answer("held", needs=tuple(self._users(missing)))
            return Answer("request", {"earlier": self._earlier})
        return Answer("lost", why=_text(content.get("why")))

    def _give(self, blobs: Sequence[str]) -> set[str]:
        """Lay blobs before the session; returns those that are gone or damaged."""
        return self._tracking.blobs.link_all(blobs, self._tracking.given)

    def _users(self, blobs: set[str]) -> list[Reference]:
        return [
            reference
            for reference, value in self._known.items()
            if value.blob in blobs
            or (value.bundle is not None and not blobs.isdisjoint({value.bundle.pickle, *value.bundle.buffers}))
        ]

    def take_trace(self, content: Mapping[str, Any]) -> Trace:
        """Return what the cell read and wrote, its bytes taken into the store.

        Raises:
            MalformedError: the reply makes no sense.
            NarrowError: the cell has to run again, with all variables there.
            OSError: the bytes cannot be kept.
        """
        if content.get("status") != "finished":
            raise MalformedError(_text(content.get("why")) + " " + _text(content.get("trace")))
        if content.get("complete") is not True:
            raise NarrowError("it looked names up in a way that nobody foresees")
        stored = [_mapping(entry) for entry in _list(content.get("bundles"))]
        written = {_reference(name): entry for name, entry in _mapping(content.get("writes")).items()}
        files = {name: written.pop(name) for name in list(written) if name.startswith(FILE)}
        self._take(stored, [entry for entry in written.values() if isinstance(entry, dict)])
        bundles = [self._bundle(entry) for entry in stored]
        reads = {
            _reference(name): None if digest is None else _hash(digest)
            for name, digest in _mapping(content.get("reads")).items()
        }
        writes = {
            reference: None if entry is None else self._value(reference, _mapping(entry), bundles)
            for reference, entry in written.items()
        }
        writes |= self._tracking.tree.take_in(files)
        if any(self._tracking.mask.text(reference) != reference for reference in (*reads, *writes)):
            raise MalformedError("the name of a file or variable holds a secret")
        for bundle in bundles:
            if not all(writes.get(member) is not None for member in bundle.members):
                raise MalformedError("a bundle's member was not written")
        known = {reference: value for reference, value in self._known.items() if reference not in writes}
        self._known = {**known, **{reference: value for reference, value in writes.items() if value is not None}}
        return Trace("", "", reads, writes, "", 0.0, network=content.get("network") is True)

    def _take(self, bundles: Sequence[Mapping[str, Any]], values: Sequence[Mapping[str, Any]]) -> None:
        """Take the files of the staging folder into the store that the session speaks of for the first time."""
        names = [entry.get("blob") for entry in values]
        for entry in bundles:
            names += [entry.get("pickle"), *_list(entry.get("buffers", []))]
        new = {name for name in names if isinstance(name, str)} - self._taken.keys()
        if new:
            hashes = self._tracking.blobs.take_all(self._tracking.staging, new).hashes
            self._taken |= hashes
            self._told |= hashes

    def _bundle(self, entry: Mapping[str, Any]) -> Bundle:
        members = tuple(sorted(_reference(member) for member in _list(entry.get("members"))))
        if not members or any(member.partition(":")[0] not in _ROOTS for member in members):
            raise MalformedError("a bundle has no members")
        digest, names = _hash(entry.get("hash")), [entry.get("pickle"), *_list(entry.get("buffers", []))]
        blobs = [self._taken[name] for name in names if isinstance(name, str) and name in self._taken]
        if len(blobs) < len(names):
            return Bundle(digest, members, lost=_text(entry.get("lost")) or "it cannot be kept")
        size = entry.get("size")
        return Bundle(digest, members, blobs[0], tuple(blobs[1:]), size if isinstance(size, int) else 0)

    def _value(self, reference: Reference, entry: Mapping[str, Any], bundles: Sequence[Bundle]) -> Value:
        bundle, blob = None, entry.get("blob")
        if reference.partition(":")[0] in _ROOTS:
            number = entry.get("bundle")
            if (
                not isinstance(number, int)
                or not 0 <= number < len(bundles)
                or reference not in bundles[number].members
            ):
                raise MalformedError("a value is in no bundle")
            bundle = bundles[number]
        needs = tuple(_reference(need) for need in _list(entry.get("needs", [])))
        summary = {name: entry[name] for name in _TOLD if entry.get(name) is not None}
        if "summary" in summary:
            summary["summary"] = self._tracking.mask.value(summary["summary"])
        kept = self._taken.get(blob) if isinstance(blob, str) else None
        return Value(_hash(entry.get("hash")), needs, bundle, kept, _text(entry.get("type")), summary)


def _in_session(reference: Reference) -> bool:
    """Whether a session holds it; files lie in folders that Kanoe sees to."""
    return not reference.startswith(FILE)


def _is_same(known: Value | None, value: Value) -> bool:
    """Whether a session need not be told of a value: what it holds is that; summaries are for people."""
    if known is None or known is value:
        return known is value
    moved = known.summary.get("moved") == value.summary.get("moved")
    return moved and replace(known, summary={}) == replace(value, summary={})


def _entry(value: Value) -> dict[str, Any]:
    """Return what the worker is told of a value."""
    entry: dict[str, Any] = {"hash": value.hash, "needs": list(value.needs), "type": value.type}
    entry |= {name: value.summary[name] for name in ("mentions", "package", "moved") if name in value.summary}
    if value.blob is not None:
        entry["blob"] = value.blob
    if value.bundle is not None:
        bundle = value.bundle
        entry["bundle"] = {
            "hash": bundle.hash,
            "members": list(bundle.members),
            "pickle": bundle.pickle,
            "buffers": list(bundle.buffers),
            "lost": bundle.lost,
        }
    return entry


def _mapping(entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise MalformedError("an object was expected")
    return entry


def _list(entry: Any) -> list[Any]:
    if not isinstance(entry, list):
        raise MalformedError("a list was expected")
    return entry


def _text(entry: Any) -> str:
    return entry[:_LONGEST_TEXT] if isinstance(entry, str) else ""


def _hash(entry: Any) -> str:
    if not isinstance(entry, str) or not _HASH.fullmatch(entry):
        raise MalformedError("a hash was expected")
    return entry


def _blob(entry: Any) -> str:
    if not isinstance(entry, str) or not re.fullmatch("[0-9a-f]{64}", entry):
        raise MalformedError("a blob was expected")
    return entry


def _reference(entry: Any) -> Reference:
    if (
        not isinstance(entry, str)
        or len(entry) > _LONGEST_REFERENCE
        or entry.partition(":")[0] not in _KINDS
        or not entry.partition(":")[2]
    ):
        raise MalformedError("a reference was expected")
    return entry
