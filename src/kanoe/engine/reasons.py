"""Why a trace does not apply, in one sentence with the notebook's own names. Pure: no input, no output.

A sentence says `it` for the cell and has no full stop: `it reads df, which cell 4 now writes differently`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from kanoe.ir.trace import Reference, Trace, Value

State = Mapping[Reference, Value | None]
Hashes = Callable[[Reference], str | None]

# Kinds of references that follow from files.
DERIVED = frozenset({"exists", "folder", "tree", "files", "module", "modules"})


class ReasonKind(StrEnum):
    """What made a cell run."""

    NEVER = "never"
    CODE = "code"
    ENVIRONMENT = "environment"
    READS = "reads"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a cell runs.

    Args:
        kind: what made it run.
        text: one sentence for people.
        references: what it read that is different now, the most telling first.
        writer: the position of the cell that wrote the first of them, or `None`.
    """

    kind: ReasonKind
    text: str
    references: tuple[Reference, ...] = ()
    writer: int | None = None


NEVER_RAN = Reason(ReasonKind.NEVER, "it never ran here")
CODE_CHANGED = Reason(ReasonKind.CODE, "its code changed")
ENVIRONMENT_CHANGED = Reason(ReasonKind.ENVIRONMENT, "the environment changed")


def asked(text: str) -> Reason:
    """Return the reason of a cell that runs because somebody says so: a tag, an option."""
    return Reason(ReasonKind.ASKED, text)


def hash_in(state: State, reference: Reference) -> str | None:
    """Return the hash that a reference has in a state; `None`: there is nothing.

    A `group:` reference has the joint hash of the variable's bundle. What follows from others (`folder:`, `setting:*`) is not known here.
    """
    value = state.get(plain(reference))
    if value is not None and reference.startswith("group:"):
        return value.bundle.hash if value.bundle is not None else None
    return value.hash if value is not None else None


def differing(trace: Trace, hash_of: Hashes) -> Iterator[Reference]:
    """Yield what a trace read that has another hash now, in the trace's order."""
    return (reference for reference, hashed in trace.reads.items() if hash_of(reference) != hashed)


def plain(reference: Reference) -> Reference:
    """Return the variable of a `group:` reference, any other as it is."""
    return reference.removeprefix("group:")


def depends_on(read: Reference, written: Reference) -> bool:
    """Whether what is read follows from what is written: the same thing, a folder of the file, all settings of a library."""
    if plain(read) == written:
        return True
    if read.endswith("*"):
        return written.startswith(read[:-1])
    kind, _, path = read.partition(":")
    if kind not in DERIVED or not written.startswith("file:"):
        return False
    file = written.removeprefix("file:")
    if kind in ("module", "modules"):
        return file.rpartition("/")[0] in (path, path.rpartition("/")[0])
    return file == path or (kind != "exists" and file.startswith(f"{path}/"))


def writer_of(reference: Reference, writers: Mapping[Reference, int]) -> int | None:
    """Return the position of the last cell that wrote what a reference reads."""
    writer = writers.get(plain(reference))
    if writer is not None or not is_derived(reference):
        return writer
    return max((place for written, place in writers.items() if depends_on(reference, written)), default=None)


def is_derived(reference: Reference) -> bool:
    """Whether a reference follows from several others."""
    return reference.endswith("*") or reference.partition(":")[0] in DERIVED


def why_not(
    trace: Trace,
    state: State,
    writers: Mapping[Reference, int],
    unchanged: Container[int] = (),
    hash_of: Hashes | None = None,
) -> Reason | None:
    """Return why a trace of this code in this environment does not apply to a state; `None`: it does.

    Args:
        trace: what the cell read then.
        state: what there is now.
        writers: the positions of the cells that wrote, or deleted, what there is now.
        unchanged: the positions of cells that did now what they did before.
        hash_of: the hash of anything that can be read, where the state alone does not say it: input files, folders.
    """
    hashes = hash_of or partial(hash_in, state)
    found = sorted(differing(trace, hashes), key=lambda reference: _telling(reference, writers))
    if not found:
        return None
    changes = [_Change.of(reference, trace, state, writers, unchanged, hashes) for reference in found]
    alike = [reference for reference, change in zip(found, changes, strict=True) if change == changes[0]]
    labels = list(dict.fromkeys(label(reference) for reference in alike))
    return Reason(ReasonKind.READS, changes[0].sentence(labels), tuple(found), changes[0].writer)


def why_miss(
    code: str,
    environment: str,
    traces: Sequence[Trace],
    previous: Trace | None,
    state: State,
    writers: Mapping[Reference, int],
    unchanged: Container[int] = (),
    hash_of: Hashes | None = None,
) -> Reason:
    """Return why no trace applies.

    Args:
        code: the hash of the cell's code.
        environment: the hash of the environment.
        traces: those of this code in this environment, newest first; the one that fits best is told of.
        previous: what this cell did in the last run, whatever its code and environment were, or `None`.
        state: see `why_not`.
        writers: see `why_not`.
        unchanged: see `why_not`.
        hash_of: see `why_not`.
    """
    hashes = hash_of or partial(hash_in, state)
    if traces:
        closest = min(traces, key=lambda trace: sum(1 for _ in differing(trace, hashes)))
        return why_not(closest, state, writers, unchanged, hashes) or NEVER_RAN
    if previous is not None and previous.code != code:
        return CODE_CHANGED
    if previous is not None and previous.environment != environment:
        return ENVIRONMENT_CHANGED
    return NEVER_RAN


def label(reference: Reference) -> str:
    """Return a reference as people name it: `df`, `numpy's random state`, `submission.csv`."""
    kind, _, name = reference.partition(":")
    if kind == "group":
        return f"{label(name)} and what shares its memory"
    if kind == "file" or kind in DERIVED:
        return _PATHS.get(kind, "{}").format(_short_path(name))
    if kind == "def":
        return name.split(":")[1] if ":" in name else name
    if reference in _LABELS:
        return _LABELS[reference]
    if kind == "setting":
        return _setting_label(name)
    if name.endswith("*"):
        return _ALL.get(kind, "everything")
    return _KINDS.get(kind, "{}").format(name)


def _setting_label(name: str) -> str:
    """Return `pandas' display.max_rows` for `pandas:display.max_rows`, `pandas' mode options` for `pandas:mode.*`."""
    library, colon, option = name.partition(":")
    if name == "*":
        return "the settings"
    owner = f"{library}'" if library.endswith("s") else f"{library}'s"
    owner = {"environ": "the environment variable"}.get(library, owner)
    if not colon:
        return f"{owner} settings"
    if option.endswith("*"):
        inner = option.rstrip("*").rstrip(".:")
        return "the environment variables" if library == "environ" else f"{owner} {inner} options".replace("  ", " ")
    return f"{owner} {option}"


def short_name(reference: Reference) -> str:
    """Return a variable or definition by its name, and anything else as its reference: what `--json` shows."""
    kind, _, name = reference.partition(":")
    if kind == "group":
        return short_name(name)
    return label(reference) if kind in ("name", "def", "out") else reference


def listed(words: Sequence[str], conjunction: str = "and", most: int = 3) -> str:
    """Return words as a sentence has them: `a, b and c`, `a, b, c and 4 more`."""
    shown = list(words[:most])
    if len(words) > most:
        return f"{', '.join(shown)} and {len(words) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {conjunction} {shown[-1]}"


_KINDS = {
    "out": "Out[{}]",
    "random": "{}'s random state",
    "setting": "the settings of {}",
    "effect": "what earlier cells left in the process ({})",
    "opaque": "{}'s inner state",
}
_ALL = {
    "name": "all variables",
    "random": "the random states",
    "effect": "what earlier cells left in the process",
    "opaque": "what nobody can see",
}
_PATHS = {
    "file": "{}",
    "exists": "whether {} is there",
    "folder": "the folder {}",
    "tree": "what is below {}",
    "files": "all files below {}",
    "module": "the module {}",
    "modules": "the modules in {}",
}
_LABELS = {
    "random:random": "Python's random state",
    "random:python": "Python's random state",
    "count:cell": "its own number",
    "source:earlier": "the code of the cells above",
    "setting:environ": "the environment variables",
    "setting:cwd": "the current folder",
    "setting:path": "the import path",
    "setting:argv": "sys.argv",
    "setting:warnings": "the warnings filters",
    "setting:locale": "the locale",
    "setting:logging": "the logging settings",
    "setting:ipython": "IPython's configuration",
    "effect:patches": "what earlier cells changed in libraries",
    "effect:threads": "the running threads",
    "effect:modules": "the imported modules",
}

# What a cell does with a thing of each kind, and what the cell did that left it.
_VERBS = {
    "name": ("reads", "writes"),
    "out": ("reads", "returns"),
    "def": ("uses", "defines"),
    "file": ("reads", "writes"),
    "exists": ("asks", "decides"),
    "folder": ("lists", "fills"),
    "tree": ("lists", "fills"),
    "files": ("reads", "writes"),
    "module": ("imports", "writes"),
    "modules": ("looks into", "fills"),
    "random": ("draws from", "leaves"),
    "setting": ("works under", "sets"),
    "effect": ("works with", "leaves"),
    "opaque": ("uses", "leaves"),
    "group": ("changes", "writes"),
}
_ORDER = {kind: rank for rank, kind in enumerate(_VERBS)}
_DEFINED = frozenset({"function", "type", "class", "ABCMeta", "EnumMeta", "EnumType"})


def _telling(reference: Reference, writers: Mapping[Reference, int]) -> tuple[int, bool]:
    """Order what changed: variables before settings, what a cell is known to have written before what is not."""
    return _ORDER.get(reference.partition(":")[0], len(_ORDER)), writer_of(reference, writers) is None


def _short_path(path: str) -> str:
    for prefix in ("/kaggle/working/", "/kaggle/"):
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return path


@dataclass(frozen=True, slots=True)
class _Change:
    """How something that was read is different now, and who made it so."""

    kind: str
    was_there: bool
    is_there: bool
    writer: int | None
    unchanged: bool
    defined: bool

    @classmethod
    def of(
        cls,
        reference: Reference,
        trace: Trace,
        state: State,
        writers: Mapping[Reference, int],
        unchanged: Container[int],
        hash_of: Hashes,
    ) -> _Change:
        writer = writer_of(reference, writers)
        value = state.get(plain(reference))
        return cls(
            kind=reference.partition(":")[0],
            was_there=trace.reads[reference] is not None,
            is_there=hash_of(reference) is not None,
            writer=writer,
            unchanged=writer is not None and writer in unchanged,
            defined=value is not None and value.type in _DEFINED,
        )

    def sentence(self, labels: Sequence[str]) -> str:
        uses, makes = _VERBS["def" if self.defined else self.kind] if self.kind in _VERBS else ("reads", "writes")
        things = listed(labels)
        if self.kind == "exists":
            return f"it asks {things}, which {self._by('changes', 'different', len(labels))}"
        if not self.was_there:
            return f"it looks for {things}, which {self._by('makes', 'there', len(labels))}"
        if not self.is_there:
            return f"it {uses} {things}, which {self._gone(len(labels))}"
        if self.writer is None:
            return f"it {uses} {things}, which {_be(len(labels))} different now"
        if self.unchanged:
            return f"it {uses} {things}, which {_be(len(labels))} now as cell {self.writer} left {_it(len(labels))}"
        return f"it {uses} {things}, which cell {self.writer} now {makes} differently"

    def _by(self, verb: str, else_: str, count: int) -> str:
        if self.writer is None:
            return f"{_be(count)} {else_} now"
        return f"cell {self.writer} now {verb}"

    def _gone(self, count: int) -> str:
        if self.writer is not None:
            return f"cell {self.writer} now deletes"
        if self.kind == "def":
            return f"{_be(count)} defined differently now"
        if self.kind in ("name", "out"):
            return "no cell before it makes any more"
        return f"{_be(count)} not there any more"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def _it(count: int) -> str:
    return "it" if count == 1 else "them"
