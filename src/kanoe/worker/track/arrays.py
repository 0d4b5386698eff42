"""Arrays and frames: memory with a shape. Used only where numpy, pandas or Arrow have been imported already.

Arrays lie in *segments* of memory. Arrays that overlap lie in one segment, so views stay views. Memory of frames that copy on write
and of indexes is *quiet*: it may be shared, but not written through the one that shares it, so it is a segment for itself.
"""

import ctypes
import gc
import mmap
import pickle
import sys
import types

from kanoe_worker.track import columns, kinds, savers
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_PickleBuffer = getattr(pickle, "PickleBuffer", None)
_PLAIN_KINDS = frozenset("biufcmMSUV")
INSIDE = 1 << 13  # up to this size memory lies in the bundle's own file
_REACHABLE = 200000


class Array(object):
    """One array of plain memory.

    Attributes:
        low, high: addresses of its first byte, and after its last.
        pointer: address of its first element.
        dtype: item that says its dtype.
        shape, strides, writeable: as in numpy.
        dense: whether every byte between low and high is its own.
        quiet: see the module.
        segment: number of its segment.
        owner: whether it is the whole of its segment.
    """

    __slots__ = (
        "dense",
        "dtype",
        "high",
        "low",
        "offset",
        "owner",
        "pointer",
        "quiet",
        "segment",
        "shape",
        "strides",
        "writeable",
    )  # fmt: skip

    def entry(self):
        """Return it as plain data."""
        return (self.dtype, self.shape, self.strides, self.segment, self.offset, self.writeable, self.owner)


class Segment(object):
    """A stretch of memory: `address`, `size`, `quiet`, `writeable`; its `digest`, or all of its `content` where that is short."""

    __slots__ = ("address", "content", "digest", "quiet", "size", "writeable")

    def __init__(self, address, size, quiet, writeable):
        self.address, self.size, self.quiet, self.writeable = address, size, quiet, writeable
        self.digest = self.content = None

    def take(self, memory):
        """Learn what lies there."""
        if self.size > INSIDE:
            self.digest = memory.digest(self.address, self.size)
        else:
            self.content = ctypes.string_at(self.address, self.size)

    def value(self):
        """Return what stands for the content where values are compared."""
        return self.content if self.digest is None else self.digest


def enter(walker, thing, kind):
    """Return what `Walker._enter` would for an array or a scalar of numpy, or foreign memory; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        return _enter_array(walker, thing, numpy)
    if kind is _PickleBuffer:
        return walker.foreign("b", thing.raw(), thing)
    if kinds.type_name(kind) == ("pyarrow.lib", "Buffer"):
        return walker.foreign("B", thing, thing)
    if numpy is None or getattr(numpy, "ndarray", None) is None:
        return None
    if kinds.derives(kind, numpy.ndarray):
        for below in _bases(thing, numpy):
            _note_lender(walker, below)
        return None
    if kinds.derives(kind, numpy.generic) and kinds.type_name(kind)[0] == "numpy" and kind is not numpy.object_:
        dtype = numpy.generic.dtype.__get__(thing)
        if _is_plain(dtype):
            return walker._value(("n", dtype.str, thing.tobytes()), thing)
    return None


def is_array(kind):
    """Return whether `enter` knows all instances of a type."""
    return kind is getattr(sys.modules.get("numpy"), "ndarray", None)


def may_enter(kind):
    """Return whether `enter` may know some instances of a type."""
    numpy = sys.modules.get("numpy")
    bases = [getattr(numpy, name, None) for name in ("ndarray", "generic")]
    known = kind is _PickleBuffer or kinds.type_name(kind) == ("pyarrow.lib", "Buffer")
    return known or any([kinds.derives(kind, base) for base in bases if base is not None])


def address_of(view):
    """Return where a contiguous memoryview's memory is, read-only or not."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        return numpy.frombuffer(view, "u1").__array_interface__["data"][0]
    raise ValueError("memory that only numpy can read")


def _is_plain(dtype):
    return dtype.kind in _PLAIN_KINDS and dtype.names is None and dtype.subdtype is None and not dtype.metadata


def _enter_array(walker, thing, numpy):
    dtype = thing.dtype
    if dtype.hasobject or dtype.kind not in _PLAIN_KINDS:
        if dtype == object:  # noqa: E721
            return _enter_objects(walker, thing, numpy)
        return walker._reduced(thing)
    if _is_plain(dtype):
        return _noted(walker, thing, dtype.str, numpy)
    return _dtype_first(walker, thing, dtype, numpy)


def _dtype_first(walker, thing, dtype, numpy):
    from kanoe_worker.track.walk import _Frame

    return _Frame([dtype], lambda items: _noted(walker, thing, items[0], numpy))


def _noted(walker, thing, dtype, numpy):
    array = Array()
    array.pointer = thing.ctypes.data  # `__array_interface__` takes long to describe fields
    array.low, array.high = low, high = _bounds(thing, array.pointer)
    array.dtype, array.shape, array.strides = dtype, thing.shape, _strides(thing)
    array.writeable = bool(thing.flags.writeable)
    array.dense = high - low == thing.nbytes
    array.quiet = bool(walker.quiet)
    array.segment, array.owner, array.offset = -1, False, 0
    walker._result.arrays.append(array)
    walker._result.alive.append(thing)
    for below in _bases(thing, numpy) if thing.base is not None else ():
        # An object's own state, just told, is what it is made of: nobody else holds it by these arrays.
        if not kinds.derives(type(below), numpy.ndarray) and id(below) not in walker.telling:
            _note_lender(walker, below)
    return (walker._new(thing, ("a", len(walker._result.arrays) - 1)),)


def _note_lender(walker, lender):
    """Note whose memory an array's is: who else holds it sees what is written here; what is kept of both would not share."""
    found = walker._result
    found.alive.append(lender)
    found.reached.add(id(lender))
    found.apart.add(id(lender))
    # What is written there is written into the file: a copy is something else.
    found.torn = found.torn or type(lender) is mmap.mmap


def _bases(thing, numpy):
    """Yield what an array's memory belongs to: arrays, and at last a bytearray, a mapped file, an `array.array`."""
    from kanoe_worker.track import bundles

    base_of = numpy.ndarray.base.__get__
    below = base_of(thing)
    while below is not None:
        kind = type(below)
        if kinds.derives(kind, numpy.ndarray):
            yield below
            below = base_of(below)
        elif kinds.type_name(kind)[1] == "DummyArray":  # of as_strided
            below = below.base
        elif kind is memoryview:
            try:
                below = below.obj
            except ValueError:  # released
                return
        else:
            if kind is not bytes and kind is not bundles.Private:
                yield below
            return


def _strides(thing):
    """Return the strides of an array; those of axes of one element, which mean nothing, as they would be in C's order."""
    found, step = [], thing.itemsize
    for length, stride in zip(thing.shape[::-1], thing.strides[::-1]):  # noqa: B905
        found.append(stride if length > 1 else step)
        step *= max(length, 1)
    return tuple(found[::-1])


def _bounds(thing, pointer):
    if not thing.size:
        return pointer, pointer
    if thing.flags.forc:
        return pointer, pointer + thing.nbytes
    low = high = pointer
    for length, stride in zip(thing.shape, thing.strides):  # noqa: B905
        if stride < 0:
            low += (length - 1) * stride
        else:
            high += (length - 1) * stride
    return low, high + thing.itemsize


def settle(walk, memory):
    """Lay the arrays of a walk into segments and hash these."""
    quiet = [array for array in walk.arrays if array.quiet]
    loud = sorted((array for array in walk.arrays if not array.quiet), key=lambda array: (array.low, -array.high))
    members = []
    for array in loud:
        if members and array.low < members[-1][0].high and array.high > array.low:
            members[-1][1].append(array)
            members[-1][0].high = max(members[-1][0].high, array.high)
        else:
            members.append((_Stretch(array.low, array.high), [array]))
    members.extend((_Stretch(array.low, array.high), [array]) for array in quiet)
    numbers = {id(array): number for number, array in enumerate(walk.arrays)}
    members.sort(key=lambda entry: min(numbers[id(array)] for array in entry[1]))
    for number, (stretch, inside) in enumerate(members):
        segment = Segment(
            stretch.low, stretch.high - stretch.low, inside[0].quiet, any(array.writeable for array in inside)
        )
        segment.take(memory)
        walk.segments.append(segment)
        for array in inside:
            array.segment, array.offset = number, array.pointer - stretch.low
            array.owner = array.dense and array.offset == 0 and array.high - array.low == segment.size


class _Stretch(object):
    __slots__ = ("high", "low")

    def __init__(self, low, high):
        self.low, self.high = low, high


def _base(thing, numpy):
    while True:
        below = thing.base
        if kinds.type_name(type(below))[1] == "DummyArray":  # of as_strided
            below = below.base
        if type(below) is not numpy.ndarray or below.dtype != object:
            return thing
        thing = below


def _enter_objects(walker, thing, numpy):
    from kanoe_worker.track.walk import _Frame

    base = _base(thing, numpy)
    if base is not thing and base.size and thing.size:
        walker._result.alive.append(base)
        offset = thing.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        if base.flags.c_contiguous or base.flags.f_contiguous:
            return _Frame(
                [base],
                lambda items: (
                    walker._new(
                        thing, ("w", items[0], thing.shape, thing.strides, offset, bool(thing.flags.writeable))
                    ),
                ),
            )
    order = "F" if thing.flags.f_contiguous and not thing.flags.c_contiguous else "C"
    walker._result.alive.append(thing)
    record = ("e", thing.shape, order, bool(thing.flags.writeable))

    if thing.size >= columns.LEAST and (thing.flags.c_contiguous or thing.flags.f_contiguous):
        known = walker.columns.digest(thing, thing.ravel(order))
        if known is not None:
            value, pieces, size = known
            number = walker._new(thing, record)
            content = pieces if pieces is not None else lambda: columns.encode(thing.ravel(order))
            return walker._fill("S", number, walker._blob("column", content, value, size))
    number = walker._new(thing, record)
    found = thing.ravel(order).tolist()
    walker._result.alive.append(found)
    quiet, walker.quiet = walker.quiet, False  # what an array holds can be changed by everybody who holds it too

    def filled(items):
        walker.quiet = quiet
        return walker._fill("E", number, items)

    return _Frame(found, filled)


def is_quiet(kind):
    """Return whether memory inside objects of a type may be shared without being written through."""
    pandas = sys.modules.get("pandas")
    index = getattr(pandas, "Index", None)
    if index is None or not kinds.type_name(kind)[0].startswith("pandas"):
        return False
    if kinds.derives(kind, index):
        return True
    return (kinds.derives(kind, pandas.DataFrame) or kinds.derives(kind, pandas.Series)) and _copies_on_write(pandas)


def told(state):
    """Return what a quiet frame holds that is shared as ever, though its memory is not: what the notebook noted of it."""
    attributes = state.get("attrs") if type(state) is dict else None
    return [attributes] if type(attributes) is dict else []


def _copies_on_write(pandas):
    version = pandas.__version__.partition(".")[0]
    if version.isdigit() and int(version) >= 3:
        return True
    try:
        return version == "2" and pandas.get_option("mode.copy_on_write") is True
    except Exception:
        return False


# What arrays and dtypes of pandas remember once they were asked, or made again.
_ASKED = frozenset(["_cache", "_ordered"])
_ASKING = (
    "pandas.core.arrays",
    "pandas.core.categorical",
    "pandas.core.dtypes",
    "pandas.core.indexes",
    "pandas.arrays",
)


def is_adjusted(kind):
    """Return whether what instances of a type tell of themselves is to be adjusted."""
    return kinds.described(kind) == "MaskedArray" or kinds.type_name(kind)[0].startswith("pandas")


def adjusted(thing, kind, parts):
    """Return what a class says of how an instance is made, without what only looks shared."""
    function, arguments, state, items, pairs, setter = parts
    module = kinds.type_name(kind)[0]
    if type(state) is dict and type(state.get("_metadata")) is list and module.startswith("pandas"):
        state = dict(state, _metadata=list(state["_metadata"]))
    if is_asked(kind):
        state = tuple(map(_unasked, state)) if type(state) is tuple else _unasked(state)
        if function.__name__ == "__pyx_unpickle_NDArrayBacked" and len(state) == 2:
            state += ({},)
    if kind.__name__ == "MaskedArray" and type(state) is tuple and state and state[-1] is None:
        state = state[:-1] + (thing._fill_value if thing.fill_value is not None else None,)  # asked for, it is made
    return function, arguments, state, items, pairs, setter


def is_asked(kind):
    """Return whether instances of a type remember what they were asked."""
    module = kinds.type_name(kind)[0]
    return module.startswith(_ASKING) or (module == "pandas" and kind.__name__.endswith("Dtype"))


def _unasked(state):
    if type(state) is not dict or _ASKED.isdisjoint(state):
        return state
    return {
        name: value
        for name, value in state.items()
        if name != "_cache" and (name != "_ordered" or "_dtype" not in state)
    }


def reachable(things, definitions):
    """Return ids of all objects that some objects hold, and the notebook's definitions among them; modules are not entered."""
    found, needed, level = set(), [], list(things)
    namespace = id(definitions.namespace)
    modules = {id(types.ModuleType.__dict__["__dict__"].__get__(module)) for module in list(sys.modules.values())
               if kinds.derives(type(module), types.ModuleType)}  # fmt: skip
    while level and len(found) < _REACHABLE:
        below = []
        for thing in gc.get_referents(*level):
            key = id(thing)
            if key in found or key in modules or key == namespace:
                continue
            saver = savers.find(thing)
            if saver is not None and saver.leaf:  # the process's own: a stream, the shell, a logger
                continue
            kind = type(thing)
            if id(kind) in _STOP or kinds.derives(kind, types.ModuleType):
                continue
            if kind is types.FunctionType or kinds.is_type(kind):
                if not definitions.is_definition(thing):
                    continue
                if definitions.is_the_notebooks(thing):
                    needed.append(thing)
                    continue
            found.add(key)
            below.append(thing)
        level = below
    found.update(map(id, things))
    return found, needed


_STOP = frozenset(
    map(id, [type(None), bool, int, float, complex, str, bytes, types.CodeType, types.BuiltinFunctionType])
)
