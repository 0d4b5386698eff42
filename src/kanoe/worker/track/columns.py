"""Columns of strings: large arrays of objects that are all text or nothing, as bytes; remembers those that did not change.

A column's bytes are `t` and the joined text; `n`, what is missing, and the text; or `m` and marshalled elements, of which one holds
the separator. What kinds of elements there are is read from the heads of the objects themselves, a million in 20 ms.
"""

import ctypes
import marshal
import struct
import sys
import weakref

from kanoe_worker.track import digest
from kanoe_worker.track.plain import __builtins__  # noqa: F401

LEAST = 512  # shorter columns are walked element by element
_TEXT_AND_NUMBERS = frozenset(map(id, (str, type(None), float)))
_VERSION = 2
_SAMPLE = 4096
_SEPARATOR = "\0"
_NUMBER = 2  # mark of what is not a number
_AT_ONCE = 1 << 12


class Columns(object):
    """Remembers columns by the pointers they hold: their elements never change, and cannot be freed meanwhile."""

    def __init__(self):
        self._known = {}

    def digest(self, column, flat):
        """Return the digest of a column, its bytes in pieces if they had to be made, and how many there are.

        Args:
            column: a contiguous array of objects.
            flat: its elements in the order of memory, of one dimension.

        Returns:
            None where it is not one of strings.
        """
        place = _place(column)
        known = self._known.get(place) or self._twin(place)
        if known is not None and digest.equal(place[0], _place(known[1])[0], place[1]):
            if place not in self._known:
                self._remember(column, known[1], known[2], known[3])
            return known[2], None, known[3]
        taken = numpy_of().empty(len(flat), object)
        pieces = encode(flat, taken)
        if pieces is None:
            return None
        value, size = digest.of_pieces("column", pieces), sum(map(len, pieces))
        self._remember(column, taken, value, size)
        return value, pieces, size

    def _twin(self, place):
        """Return what is known of a column that begins and ends with the very same objects."""
        ends = _ends(place[0], place[1])
        for (_, size), known in self._known.items():
            if size == place[1] and _ends(_place(known[1])[0], size) == ends:
                return known
        return None

    def remember(self, column, value, size):
        """Note what a column holds now, as long as it lives."""
        self._remember(column, column.copy(order="K"), value, size)

    def _remember(self, column, taken, value, size):
        place = _place(column)

        def forget(dead):
            if place in self._known and self._known[place][0] is dead:
                del self._known[place]

        self._known[place] = (weakref.ref(column, forget), taken, value, size)


def numpy_of():
    """Return numpy, which has made the column."""
    return sys.modules["numpy"]


def _place(column):
    return column.__array_interface__["data"][0], column.nbytes


def _ends(address, size):
    return ctypes.string_at(address, _WORD), ctypes.string_at(address + size - _WORD, _WORD)


def encode(flat, taken=None):
    """Return the bytes of a column in pieces, None where it is not one of strings; equal columns give equal bytes.

    Some elements after others, so few that the processor's cache holds them: to look at a million strings, to take them and to
    copy their text would otherwise each wait for memory.

    Args:
        flat: a contiguous array of objects, of one dimension.
        taken: another of its length, which holds the same elements afterwards.
    """
    taken = numpy_of().empty(len(flat), object) if taken is None else taken
    marks_of = _Heads().marks if _READABLE else _marks_slowly
    marks, pieces, separators = [], [], 0
    for start in range(0, len(flat), _AT_ONCE):
        part = taken[start : start + _AT_ONCE]
        part[:] = flat[start : start + _AT_ONCE]  # whatever threads of the notebook do to the column now
        some = marks_of(part)
        if some is None:
            return None
        marks.append(some)
        found = part.tolist()
        for place in some.nonzero()[0].tolist():
            found[place] = ""
        if start:
            found.insert(0, "")
        pieces.append(_SEPARATOR.join(found).encode("utf-8", "surrogatepass"))
        separators += pieces[-1].count(b"\0")
    marks = numpy_of().concatenate(marks)
    if (marks == _NUMBER).any() and marks.all():
        return None
    if separators != len(flat) - 1:
        nothing = (None, None, float("nan"))
        elements = [nothing[mark] if mark else one for mark, one in zip(marks.tolist(), taken.tolist())]  # noqa: B905
        return [b"m" + marshal.dumps(elements, _VERSION)]
    return [b"n" + struct.pack("<Q", len(marks)) + marks.tobytes() if marks.any() else b"t"] + pieces


class _Heads(object):
    """Reads what an array's elements are from their heads."""

    def __init__(self):
        self._low = self._high = 0
        self._words = None

    def marks(self, part):
        """Return 0 for each string of a part of the array, 1 for None, 2 for not a number; None where there is anything else."""
        numpy = numpy_of()
        size = part.nbytes
        pointers = numpy.frombuffer((ctypes.c_char * size).from_address(_place(part)[0]), "i8")
        low, high = int(pointers.min()), int(pointers.max())
        if low == 0:  # as good as None
            pointers = numpy.where(pointers == 0, id(None), pointers)
            low, high = int(pointers.min()), int(pointers.max())
        self._reach(low, high)
        places = (pointers - self._low) >> 3
        heads = self._words[places + 1]
        marks = (heads != id(str)).astype("u1")
        if not marks.any():
            return marks
        numbers = heads == id(float)
        if not (marks == numbers | (heads == id(type(None)))).all():
            return None
        if numbers.any():
            if not numpy.isnan(self._words[places[numbers] + 2].view("f8")).all():
                return None
            marks[numbers] = _NUMBER
        return marks

    def _reach(self, low, high):
        """Look at all memory from one element to another; only the elements' own is read."""
        if self._words is not None and self._low <= low and high <= self._high:
            return
        if self._words is not None:
            low, high = min(low, self._low), max(high, self._high)
        self._low, self._high = low, high
        span = (high - low) // _WORD + _HEAD
        self._words = numpy_of().ndarray((span,), "i8", (ctypes.c_char * (span * _WORD)).from_address(low))


def _marks_slowly(part):
    elements = part.tolist()
    if not set(map(id, map(type, elements))) <= _TEXT_AND_NUMBERS:
        return None
    marks = [0 if type(one) is str else 1 if one is None else _NUMBER for one in elements]
    if any([mark == _NUMBER and one == one for mark, one in zip(marks, elements)]):  # noqa: B905, PLR0124
        return None
    return numpy_of().array(marks, "u1")


_WORD = 8
_HEAD = 3  # words of an object that are read: its references, its type, a float's value


def _is_readable():
    """Return whether objects lie in memory as this module believes."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != _WORD:
        return False
    for thing in ("text", None, 0.5):
        if id(thing) % _WORD or ctypes.c_int64.from_address(id(thing) + _WORD).value != id(type(thing)):
            return False
    return ctypes.c_double.from_address(id(thing) + 2 * _WORD).value == thing


_READABLE = _is_readable()


def decode(data):
    """Return a column's elements."""
    form, content = data[:1], memoryview(data)[1:]
    nothing = sys.modules["numpy"].nan
    if form == b"m":
        return [nothing if type(one) is float else one for one in marshal.loads(content)]
    marks = b""
    if form == b"n":
        (count,) = struct.unpack("<Q", content[:8])
        marks, content = bytes(content[8 : 8 + count]), content[8 + count :]
    elements = str(content, "utf-8", "surrogatepass").split(_SEPARATOR)
    if 2 * len(set(elements[:_SAMPLE])) <= min(len(elements), _SAMPLE):
        one_of_each = {}
        elements = list(map(one_of_each.setdefault, elements, elements))
    if marks:
        kept = (None, None, nothing)
        elements = [kept[mark] if mark else one for mark, one in zip(marks, elements)]  # noqa: B905
    return elements
