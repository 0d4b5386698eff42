"""Columns of strings: large arrays of objects that are all text or nothing, as bytes; remembers those that did not change.

A column's bytes are `c` and marshalled `(distinct, codes)` where many elements are equal, `t` and the joined text, or `m` and
marshalled elements.
"""

import array
import itertools
import marshal
import sys
import weakref

from kanoe_worker.track import digest

LEAST = 512  # shorter columns are walked element by element
_TEXT = frozenset(map(id, (str, type(None))))
_TEXT_AND_NUMBERS = frozenset(map(id, (str, type(None), float)))
_ONLY_TEXT = frozenset([id(str)])
_VERSION = 2
_SAMPLE = 4096
_SEPARATOR = "\0"


class Columns(object):
    """Remembers columns by the pointers they hold: their elements never change, and cannot be freed meanwhile."""

    def __init__(self):
        self._known = {}

    def digest(self, column, elements):
        """Return the digest of a column, and its bytes if they had to be made; None where it is not one of strings.

        Args:
            column: a contiguous array of objects.
            elements: called for the list of its elements, in the order of memory.
        """
        place = (column.__array_interface__["data"][0], column.nbytes)
        known = self._known.get(place)
        if known is not None and digest.equal(place[0], known[1].__array_interface__["data"][0], place[1]):
            return known[2], None
        found = elements()
        if not is_column(found):
            return None
        data = encode(found)
        value = digest.of_parts("column", data)
        self.remember(column, value)
        return value, data

    def remember(self, column, value):
        """Note what a column holds now, as long as it lives."""
        place = (column.__array_interface__["data"][0], column.nbytes)

        def forget(dead):
            if place in self._known and self._known[place][0] is dead:
                del self._known[place]

        self._known[place] = (weakref.ref(column, forget), column.copy(order="K"), value)


def is_column(elements):
    """Return whether all elements are strings, None, or not a number."""
    kinds = set(map(id, map(type, elements)))
    if kinds <= _TEXT:
        return True
    return (
        kinds <= _TEXT_AND_NUMBERS and id(str) in kinds and all([one != one for one in elements if type(one) is float])  # noqa: PLR0124
    )


def encode(elements):
    """Return a column's bytes; equal columns give equal bytes."""
    kinds = set(map(id, map(type, elements)))
    if not kinds <= _TEXT:
        nothing = float("nan")
        elements = [nothing if one.__class__ is float else one for one in elements]
    if _repeats(elements[:_SAMPLE]):
        distinct = dict.fromkeys(elements)
        if 2 * len(distinct) <= len(elements):
            numbers = dict(zip(distinct, itertools.count()))
            codes = array.array("I", map(numbers.__getitem__, elements))
            return b"c" + marshal.dumps((list(distinct), codes.tobytes()), _VERSION)
    if kinds == _ONLY_TEXT:
        joined = _SEPARATOR.join(elements)
        if joined.count(_SEPARATOR) == len(elements) - 1:
            return b"t" + joined.encode("utf-8", "surrogatepass")
    return b"m" + marshal.dumps(elements, _VERSION)


def _repeats(elements):
    return 2 * len(dict.fromkeys(elements)) <= len(elements)


def decode(data):
    """Return a column's elements."""
    form, content = data[:1], memoryview(data)[1:]
    if form == b"t":
        return str(content, "utf-8", "surrogatepass").split(_SEPARATOR)
    loaded = marshal.loads(content)
    elements, codes = loaded if form == b"c" else (loaded, None)
    if any([type(one) is float for one in elements]):
        nothing = sys.modules["numpy"].nan
        elements = [nothing if type(one) is float else one for one in elements]
    if codes is None:
        return elements
    numbers = array.array("I")
    numbers.frombytes(codes)
    return list(map(elements.__getitem__, numbers))
