"""What one execution of a cell read and wrote, as frozen values.

A *reference* names one thing a cell can read or write: `kind:name`. The kinds:

    name        a variable: `name:df`
    def         a function or class that the notebook defined, wherever it is held: `def:function:clean:5f3a…`
    out         what a cell returned, for `_`, `_3` and `Out[3]`: `out:3`
    random      the state of a random generator: `random:numpy`
    setting     settings of the process or a library: `setting:environ`, `setting:pandas`
    effect      what else changed in the process: `effect:patches`, `effect:threads`
    opaque      a library whose state nobody can see, one chained reference: `opaque:tensorflow`
    file        a file, link or folder: `file:/kaggle/working/a.csv`; no value where there is none
    exists, folder, tree, files, module, modules
                what follows from files (`ir.folders`); only read
    count       the number that Jupyter gives the cell: `count:cell`; only read
    secret      the secrets that are given: `secret:all`; only read
    source      the sources of all cells before: `source:earlier`; only read
    group       a variable with all that shares mutable memory with it: `group:name:df`; only read

Source of the model: constructive traces in "Build Systems à la Carte" (Mokhov, Mitchell, Peyton Jones 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

Reference = str
# The hash of a read that the one who saw it does not know: it is that of what the state held when the cell started.
AS_FOUND = "input"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Variables, definitions and results that share mutable objects: stored, hashed and restored as one.

    Args:
        hash: of all members together, with what they share.
        members: their references, sorted.
        pickle: the blob of the pickle (protocol 5 with buffers out of band, or an older protocol without); `None`: no bytes.
        buffers: the blobs of its buffers, in the pickle's order.
        size: bytes of all blobs.
        lost: why there are no bytes, for people: `a generator`, `dearer to keep than to compute`; `None` where there are.
    """

    hash: str
    members: tuple[Reference, ...]
    pickle: str | None = None
    buffers: tuple[str, ...] = ()
    size: int = 0
    lost: str | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """What a reference holds after a cell wrote it.

    Args:
        hash: of the value; equal values have equal hashes.
        needs: the definitions that it refers to, directly or not.
        bundle: how it is stored, for the kinds `name`, `def` and `out`.
        blob: the blob with its bytes, for other kinds; `None` where there are none.
        type: what it is, for people: `DataFrame`.
        summary: what the worker tells of it, for previews and differences.
    """

    hash: str
    needs: tuple[Reference, ...] = ()
    bundle: Bundle | None = None
    blob: str | None = None
    type: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """One execution of a cell that succeeded, or failed as its tag says it may.

    Args:
        code: hash of the cell's source.
        environment: hash of all that is the same for every cell: the lock, the sandbox, the tracker's version.
        reads: what it read, and the hash that this had; `None`: there was nothing.
        writes: what it wrote; `None`: it is gone.
        messages: the blob of its output: a JSON list of `[message type, content]`.
        seconds: wall time.
        cpu: CPU seconds, or `None`.
        memory: the most resident bytes that were seen, or `None`.
        network: whether it connected anywhere.
        error: why it failed, for a cell that may fail; `None` where it succeeded.
        run: the run that it was recorded in.
        moment: when, in seconds since 1970.
        execution: what names this execution, and every replay of it: what cannot be looked into is known by it.
    """

    code: str
    environment: str
    reads: Mapping[Reference, str | None]
    writes: Mapping[Reference, Value | None]
    messages: str
    seconds: float
    cpu: float | None = None
    memory: int | None = None
    network: bool = False
    error: str | None = None
    run: str = ""
    moment: float = 0.0
    execution: str = ""

    @property
    def blobs(self) -> frozenset[str]:
        """All blobs that it needs."""
        values = [value for value in self.writes.values() if value is not None]
        bundles = {id(value.bundle): value.bundle for value in values if value.bundle is not None}
        found = {self.messages, *(value.blob for value in values if value.blob is not None)}
        for bundle in bundles.values():
            if bundle.pickle is not None:
                found |= {bundle.pickle, *bundle.buffers}
        return frozenset(found)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; a bundle that several values share stands there once."""
        bundles: dict[Bundle, int] = {}
        # By identity: to hash a bundle of many members for each of them takes the square of their number.
        numbers: dict[int, int] = {}
        writes: dict[str, Any] = {}
        for reference, value in self.writes.items():
            if value is None:
                writes[reference] = None
                continue
            record = {key: entry for key in _OF_A_VALUE if (entry := getattr(value, key))}
            if value.bundle is not None:
                if id(value.bundle) not in numbers:
                    numbers[id(value.bundle)] = bundles.setdefault(value.bundle, len(bundles))
                record["bundle"] = numbers[id(value.bundle)]
            writes[reference] = record
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "reads": dict(self.reads),
            "writes": writes,
            "bundles": [asdict(bundle) for bundle in bundles],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild a trace."""
        bundles = [
            Bundle(**{**entry, "members": tuple(entry["members"]), "buffers": tuple(entry["buffers"])})
            for entry in record["bundles"]
        ]
        writes: dict[str, Value | None] = {}
        for reference, entry in record["writes"].items():
            if entry is None:
                writes[reference] = None
                continue
            given = {**entry, "needs": tuple(entry.get("needs", ()))}
            if "bundle" in given:
                given["bundle"] = bundles[given["bundle"]]
            writes[reference] = Value(**given)
        return cls(**{name: record[name] for name in _PLAIN}, reads=record["reads"], writes=writes)


_OF_A_VALUE = ("hash", "needs", "blob", "type", "summary")
_PLAIN = (
    "code",
    "environment",
    "messages",
    "seconds",
    "cpu",
    "memory",
    "network",
    "error",
    "run",
    "moment",
    "execution",
)
