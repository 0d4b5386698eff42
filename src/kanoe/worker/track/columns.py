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
_TEXT = frozenset(map(id, (str, type(None))))
_TEXT_AND_NUMBERS = frozenset(map(id, (str, type(None), float)))
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
        data = encode(column, elements)
        if data is None:
            return None
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


def encode(column, elements):
    """Return a column's bytes, None where it is not one of strings; equal columns give equal bytes.

    Args:
        column: a contiguous array of objects.
        elements: called for the list of its elements, in the order of memory.
    """
    numpy = sys.modules["numpy"]
    marks = _marks(column, numpy)
    if marks is None:
        return None
    found = elements()
    if marks.any():
        missing = marks.nonzero()[0].tolist()
        for place in missing:
            found[place] = ""
        head = b"n" + struct.pack("<Q", len(marks)) + marks.tobytes()
    else:
        head = b"t"
    text = _SEPARATOR.join(found).encode("utf-8", "surrogatepass")
    if text.count(b"\0") == len(found) - 1:
        return head + text
    nothing = (None, None, float("nan"))
    if head != b"t":
        for place in missing:
            found[place] = nothing[marks[place]]
    return b"m" + marshal.dumps(found, _VERSION)


def _marks(column, numpy):
    """Return 0 for each string of a column, 1 for None, 2 for not a number; None where it holds anything else."""
    if not _READABLE:
        return _marks_slowly(column, numpy)
    size = column.nbytes
    pointers = numpy.frombuffer((ctypes.c_char * size).from_address(column.__array_interface__["data"][0]), "i8")
    low = int(pointers.min())
    if low == 0:  # as good as None
        pointers = numpy.where(pointers == 0, id(None), pointers)
        low = int(pointers.min())
    span = (int(pointers.max()) - low) // _WORD + _HEAD
    words = numpy.ndarray((span,), "i8", (ctypes.c_char * (span * _WORD)).from_address(low))
    places = (pointers - low) >> 3
    heads = words[places + 1]
    marks = (heads != id(str)).astype("u1")
    if not marks.any():
        return marks
    numbers = heads == id(float)
    if not (marks == numbers | (heads == id(type(None)))).all():
        return None
    if numbers.any():
        values = words[places[numbers] + 2].view("f8")
        if marks.all() or not numpy.isnan(values).all():
            return None
        marks[numbers] = 2
    return marks


def _marks_slowly(column, numpy):
    order = "F" if column.flags.f_contiguous and not column.flags.c_contiguous else "C"
    elements = column.ravel(order).tolist()
    kinds = set(map(id, map(type, elements)))
    if not kinds <= _TEXT and not (kinds <= _TEXT_AND_NUMBERS and id(str) in kinds):
        return None
    marks = [0 if type(one) is str else 1 if one is None else 2 for one in elements]
    if any([mark == 2 and one == one for mark, one in zip(marks, elements)]):  # noqa: B905, PLR0124
        return None
    return numpy.array(marks, "u1")


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
