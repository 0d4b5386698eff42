"""What everything a notebook can read holds between two cells. Pure: no input, no output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kanoe.base.hashing import hash_content, hash_text
from kanoe.ir.folders import Folders, is_derived
from kanoe.ir.trace import Bundle, Reference, Trace, Value

_GROUP = "group:"
# The number that Jupyter gives the cell that is about to run.
COUNT = "count:cell"
# The sources of all cells before it.
EARLIER = "source:earlier"


class State:
    """A map from references to values, with the cell that wrote each, and the way back to what was before any cell.

    Args:
        outside: the hash of what no cell writes, such as input files; `None` for what is not there.
    """

    def __init__(self, outside: Callable[[Reference], str | None] = lambda _reference: None) -> None:
        self.values: dict[Reference, Value] = {}
        self.writers: dict[Reference, int] = {}
        self._earlier: Sequence[str] = ()
        self._outside = outside
        self._folders: Folders | None = None
        self._undo: dict[int, dict[Reference, tuple[Value | None, int | None]]] = {}

    def begin(self, earlier: Sequence[str]) -> None:
        """Come to a cell.

        Args:
            earlier: the sources of the cells that run before it.
        """
        self._earlier = earlier

    def hash_of(self, reference: Reference) -> str | None:
        """Return the hash of what a reference holds; `None` where it holds nothing."""
        if reference.startswith(_GROUP):
            value = self.values.get(reference.removeprefix(_GROUP))
            return self._hash_of_group(value.bundle) if value is not None and value.bundle is not None else None
        if reference == COUNT:
            return hash_text("count", str(len(self._earlier) + 1))
        if reference == EARLIER:
            return hash_text("source", *self._earlier)
        if reference.endswith("*"):
            return self._hash_below(reference[:-1])
        value = self.values.get(reference)
        if value is not None:
            return value.hash
        found = self._outside(reference)
        if found is None and is_derived(reference):
            self._folders = self._folders or Folders(self.values)
            return self._folders.hash_of(reference)
        return found

    def _hash_of_group(self, bundle: Bundle) -> str:
        """Return the hash of a bundle, and of which of its members are something else by now."""
        values = (self.values.get(member) for member in bundle.members)
        there = [
            value is not None and value.bundle is not None and value.bundle.hash == bundle.hash for value in values
        ]
        if all(there):
            return bundle.hash
        return hash_text("group", bundle.hash, *(str(one) for one in there))

    def _hash_below(self, prefix: str) -> str | None:
        """Return one hash of all that the state holds below a prefix, as workers count it; `None` where that is nothing."""
        below = sorted(
            (reference, value.hash) for reference, value in self.values.items() if reference.startswith(prefix)
        )
        text = "\n".join(f"{reference} {digest}" for reference, digest in below)
        return hash_content(text.encode("utf-8", "surrogatepass")) if below else None

    def fits(self, trace: Trace) -> bool:
        """Whether everything that an execution read is what it would read now."""
        return all(self.hash_of(reference) == digest for reference, digest in trace.reads.items())

    def apply(self, position: int, writes: Mapping[Reference, Value | None]) -> None:
        """Take in what the cell at a position wrote."""
        self._folders = None
        undo = self._undo.setdefault(position, {})
        for reference, value in writes.items():
            undo.setdefault(reference, (self.values.get(reference), self.writers.get(reference)))
            if value is None:
                self.values.pop(reference, None)
                self.writers.pop(reference, None)
            else:
                if value.summary.get("moved"):
                    self.values.pop(reference, None)
                self.values[reference] = value
                self.writers[reference] = position

    def before(self, position: int) -> dict[Reference, Value]:
        """Return what the cell at a position found."""
        values = dict(self.values)
        for later in sorted((number for number in self._undo if number >= position), reverse=True):
            for reference, (value, _) in self._undo[later].items():
                if value is None:
                    values.pop(reference, None)
                else:
                    values[reference] = value
        return values

    def writer_before(self, position: int, reference: Reference) -> int | None:
        """Return the cell that wrote what the cell at a position finds."""
        for later in sorted(number for number in self._undo if number >= position):
            if reference in self._undo[later]:
                return self._undo[later][reference][1]
        return self.writers.get(reference)

    def rewind(self, position: int) -> None:
        """Go back to what the cell at a position found."""
        self._folders = None
        for later in sorted((number for number in self._undo if number >= position), reverse=True):
            for reference, (value, writer) in self._undo.pop(later).items():
                if value is None or writer is None:
                    self.values.pop(reference, None)
                    self.writers.pop(reference, None)
                else:
                    self.values[reference] = value
                    self.writers[reference] = writer
