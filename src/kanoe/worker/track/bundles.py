"""Bundles as files, and objects from them again.

A bundle's file is one marshalled tuple: `(format, frames, contents, members, items, records, arrays, buffers)`. Large bytes and the
memory of arrays are files of their own, mapped privately when they are restored.
"""

import ctypes
import io
import marshal
import mmap
import os
import sys

from kanoe_worker.track import columns, digest, kinds
from kanoe_worker.track.plain import __builtins__  # noqa: F401

FORMAT = 1
_OWNED = 1 << 25  # up to this size an array gets memory of its own, as it had before it was stored
_SHARING = 4  # version of marshal that keeps which strings are one object


class Damaged(Exception):  # noqa: N818
    """A bundle's file is not what it should be."""


def body(walk, frames, contents, members):
    """Return a bundle's own bytes."""
    blobs = [(blob.kind, blob.digest) for blob in walk.blobs]
    segments = [(segment.size, segment.digest, segment.content if segment.size else None) for segment in walk.segments]
    table = [array.entry() for array in walk.arrays]
    return marshal.dumps((FORMAT, frames, contents, members, walk.items, walk.records, table, segments, blobs), 2)


def is_inside(segment):
    """Return whether a segment is so small that it lies in the bundle's own file."""
    return segment.digest is None


def blob_bytes(blob):
    """Return what is to be written for a blob; that of a column in pieces."""
    if blob.kind == "marshal":
        return marshal.dumps(blob.content, _SHARING)
    if blob.kind == "memory":
        return digest.view(*blob.content)
    if blob.kind == "column":
        return blob.content if type(blob.content) is list else blob.content()
    return blob.content


class Private(mmap.mmap):
    """Memory of one restored segment, which nobody knows but its arrays."""


class Files(object):
    """Buffers in files.

    Args:
        paths: those of the segments, then those of the blobs.
    """

    def __init__(self, paths):
        self._paths = paths

    def __len__(self):
        return len(self._paths)

    def segment(self, number):
        """Return the path of a segment."""
        return self._paths[number]

    def blob(self, number):
        """Return the bytes of a blob; the blobs come last."""
        with io.open(self._paths[number], "rb") as file:
            return file.read()


class Reader(object):
    """Makes the objects of one bundle.

    Args:
        data: the bundle's own bytes.
        source: gives its buffers: `Files`, or another that has `segment(number)` and `blob(number)`.
        resolve: what stands for a token of a definition.
        memory: digest.Memory.
        known_columns: columns.Columns.
    """

    def __init__(self, data, source, resolve, memory, known_columns):
        loaded = marshal.loads(data)
        if type(loaded) is not tuple or not loaded or loaded[0] != FORMAT:
            raise Damaged("another format")
        (
            _,
            self.frames,
            self.contents,
            self.members,
            self._items,
            self._records,
            self._table,
            self._segments,
            self._blobs,
        ) = loaded
        large = [number for number, segment in enumerate(self._segments) if segment[2] is None and segment[0]]
        if len(source) != len(large) + len(self._blobs):
            raise Damaged("%d buffers instead of %d" % (len(source), len(large) + len(self._blobs)))
        self._source = source
        self._places = {number: place for place, number in enumerate(large)}
        self._resolve = resolve
        self._memory = memory
        self._columns = known_columns
        self._objects = []
        self._waiting = []
        self._memories = {}

    def items(self):
        """Return the bundle's root objects."""
        for record in self._records:
            _MAKERS[record[0]](self, *record[1:])
        self._flush()
        return [self._get(item) for item in self._items]

    def _get(self, item):
        return self._objects[item[0]] if type(item) is tuple else item

    def _all(self, items):
        objects = self._objects
        return [objects[item[0]] if type(item) is tuple else item for item in items]

    def _add(self, thing):
        self._objects.append(thing)

    def _read(self, number):
        return self._source.blob(len(self._places) + number)

    # Builtin types

    def _m(self, data):
        self._add(marshal.loads(data))

    def _M(self, blob):  # noqa: N802 - the record's name
        self._add(marshal.loads(self._read(blob)))

    def _l(self):
        self._add([])

    def _L(self, number, items):  # noqa: N802
        self._objects[number].extend(self._all(items))

    def _t(self, items):
        self._add(tuple(self._all(items)))

    def _d(self):
        self._add({})

    def _D(self, number, items):  # noqa: N802
        if any(type(item) is tuple for item in items[::2]):
            self._waiting.append((number, items))
        else:
            self._objects[number].update(zip(items[::2], self._all(items[1::2])))  # noqa: B905

    def _flush(self):
        """Fill what needs its elements' hashes; these may depend on what the elements hold."""
        waiting, self._waiting = self._waiting, []
        for number, items in waiting:
            thing, found = self._objects[number], self._all(items)
            if type(thing) is set:
                thing.update(found)
            else:
                thing.update(zip(found[::2], found[1::2]))  # noqa: B905

    def _s(self):
        self._add(set())

    def _so(self, elements):
        self._add(ordered_set(elements))

    def _Su(self, number, items):  # noqa: N802
        self._waiting.append((number, items))

    def _f(self, form, items):
        self._flush()
        self._add(ordered_set(items, frozenset) if form == "o" else frozenset(self._all(items)))

    def _k(self):
        self._add(_new_cell())

    def _K(self, number, items):  # noqa: N802
        if items:
            _set_cell(self._objects[number], self._get(items[0]))

    def _y(self, data):
        self._add(bytearray(data))

    def _Y(self, blob):  # noqa: N802
        self._add(self._read(blob))

    def _T(self, blob):  # noqa: N802
        self._add(self._read(blob).decode("utf-8", "surrogatepass"))

    def _b(self, blob):
        self._add(blob if type(blob) is bytes else bytes(self._read(blob)))

    def _B(self, blob):  # noqa: N802
        self._add(sys.modules["pyarrow"].py_buffer(blob if type(blob) is bytes else bytes(self._read(blob))))

    # Names

    def _g(self, module, name):
        if module == "builtins" and name in _UNNAMED:
            self._add(_UNNAMED[name])
            return
        __import__(module)
        found = sys.modules[module]
        if (module, name) in kinds.originals:
            found = kinds.originals[module, name]
        else:
            for part in name.split("."):
                found = getattr(found, part)
        self._add(found)

    def _z(self, name):
        __import__(name)
        self._add(sys.modules[name])

    def _x(self, token):
        self._add(self._resolve(token))

    # Instances

    def _o(self, kind, content):
        kind = self._get(kind)
        base = _base_of(kind)
        if content is None:
            self._add(base.__new__(kind))
        else:
            self._add(base.__new__(kind, self._get(content)))

    def _O(self, number, items):  # noqa: N802
        self._flush()
        thing = self._objects[number]
        dictionary, slots, content = self._all(items)
        if dictionary is not None:
            object.__setattr__(thing, "__dict__", dictionary)
        if slots is not None:
            for name, value in zip(slots[::2], slots[1::2]):  # noqa: B905
                _slot(type(thing), name).__set__(thing, value)
        if content is not None:
            _fill_content(thing, content)

    def _c(self, function, arguments):
        self._flush()
        self._add(self._get(function)(*self._get(arguments)))

    def _C(self, number, items):  # noqa: N802
        self._flush()
        _apply(self._objects[number], *self._all(items))

    def _v(self, function, arguments, state=None, items=None, pairs=None):
        self._c(function, arguments)
        _apply(self._objects[-1], self._get(state), self._get(items), self._get(pairs), None)

    # Arrays

    def _a(self, number):
        import numpy

        dtype, shape, strides, segment, offset, writeable, owner = self._table[number]
        dtype = numpy.dtype(self._get(dtype))
        whole = self._memories.get(segment)
        size = self._segments[segment][0]
        if whole is None:
            whole = self._memories[segment] = self._segment(
                numpy, segment, size, dtype if owner else None, shape, strides
            )
            array = whole
            if not owner:
                array = numpy.ndarray(shape, dtype, whole, offset, strides) if size else numpy.empty(shape, dtype)
        else:
            array = numpy.ndarray(shape, dtype, whole.reshape(-1, order="A").view("u1"), offset, strides)
        if not writeable:
            array.flags.writeable = False
        self._add(array)

    def _segment(self, numpy, number, size, dtype, shape, strides):
        if not size:
            return numpy.empty(shape, dtype or "u1")
        if self._segments[number][2] is not None:
            return self._small(numpy, self._segments[number][2], dtype, shape, strides)
        content = self._source.segment(self._places[number])
        if type(content) is not str:
            array = numpy.empty(size, "u1") if dtype is None else _empty_like(numpy, shape, dtype, strides)
            ctypes.memmove(array.__array_interface__["data"][0], ctypes.addressof(content), size)
            return array
        if os.stat(content).st_size != size:
            raise Damaged("a buffer of another size")
        array = self._from_file(numpy, content, size, dtype, shape, strides)
        self._memory.remember(array.__array_interface__["data"][0], size, self._segments[number][1], content)
        return array

    def _from_file(self, numpy, path, size, dtype, shape, strides):
        if dtype is not None and size <= _OWNED:
            array = _empty_like(numpy, shape, dtype, strides)
            with io.open(path, "rb", buffering=0) as file:
                _read_into(file, digest.view(array.__array_interface__["data"][0], size))
            return array
        with io.open(path, "rb", buffering=0) as file:
            mapped = Private(file.fileno(), size, access=mmap.ACCESS_COPY)
        return numpy.frombuffer(mapped, "u1") if dtype is None else numpy.ndarray(shape, dtype, mapped, 0, strides)

    def _small(self, numpy, data, dtype, shape, strides):
        array = numpy.empty(len(data), "u1") if dtype is None else _empty_like(numpy, shape, dtype, strides)
        ctypes.memmove(array.__array_interface__["data"][0], data, len(data))
        return array

    def _e(self, shape, order, writeable):
        import numpy

        self._add(numpy.empty(shape, object, order=order))

    def _E(self, number, items):  # noqa: N802
        array = self._objects[number]
        if array.ndim == 0:
            array[()] = self._get(items[0])
            return
        flat = array.reshape(-1, order="F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C")
        for position, thing in enumerate(self._all(items)):
            flat[position] = thing

    def _S(self, number, blob):  # noqa: N802
        import numpy

        array = self._objects[number]
        flat = array.reshape(-1, order="F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C")
        elements = numpy.empty(len(flat), object)
        data = self._read(blob)
        elements[:] = columns.decode(data)
        flat[:] = elements
        self._columns.remember(array, self._blobs[blob][1], len(data))

    def _w(self, base, shape, strides, offset, writeable):
        import numpy

        base = self._get(base)
        if base.flags.f_contiguous and not base.flags.c_contiguous:
            base = base.T
        item = numpy.ndarray(shape, object, base, offset, strides)
        if not writeable:
            item.flags.writeable = False
        self._add(item)

    def _n(self, dtype, data):
        import numpy

        self._add(numpy.frombuffer(data, dtype)[0] if data else numpy.zeros((), dtype)[()])


def ordered_set(elements, kind=set):
    """Return a set that gives its elements in an order, if one is found that does: order depends on how a set came to be."""
    for way in _WAYS:
        order = list(elements)
        for _ in range(max(1, min(3 * len(order) + 20, _EFFORT // (len(order) + 1)))):
            found = kind(way(order))
            given = list(found)
            if given == elements:
                return found
            wanted, instead = next(pair for pair in zip(elements, given) if pair[0] is not pair[1])  # noqa: B905
            order.remove(wanted)
            order.insert(order.index(instead), wanted)
    return kind(elements)


_EFFORT = 100000
_WAYS = (list, dict.fromkeys, set, lambda elements: set(dict.fromkeys(elements)))


def _read_into(file, buffer):
    view = memoryview(buffer).cast("B")
    while len(view):
        count = file.readinto(view)
        if not count:
            raise Damaged("a buffer that ends early")
        view = view[count:]


def _empty_like(numpy, shape, dtype, strides):
    """Return a new array whose axes lie in memory in a given order."""
    if len(shape) > 1 and list(strides) == sorted(strides):
        return numpy.empty(shape, dtype, "F")
    axes = sorted(range(len(shape)), key=lambda axis: (-abs(strides[axis]), axis))
    array = numpy.empty([shape[axis] for axis in axes], dtype)
    back = sorted(range(len(shape)), key=lambda position: axes[position])
    array = array.transpose(back) if axes != sorted(axes) else array
    return array  # noqa: RET504


def _apply(thing, state, items, pairs, setter):
    if items is not None:
        if isinstance(thing, list):
            thing.extend(items)
        else:
            for item in items:
                thing.append(item)
    if pairs is not None:
        for place in range(0, len(pairs), 2):
            thing[pairs[place]] = pairs[place + 1]
    if state is None:
        return
    if setter is not None:
        setter(thing, state)
    elif hasattr(thing, "__setstate__"):
        thing.__setstate__(state)
    else:
        _set_state(thing, state)


def _set_state(thing, state):
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        thing.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)


def _fill_content(thing, content):
    if isinstance(thing, list):
        list.extend(thing, content)
    elif isinstance(thing, set):
        set.update(thing, content)
    else:
        setter = _setter_of(thing)
        for key, value in zip(content[::2], content[1::2]):  # noqa: B905
            setter(thing, key, value)


def _setter_of(thing):
    import collections

    return collections.OrderedDict.__setitem__ if isinstance(thing, collections.OrderedDict) else dict.__setitem__


def _base_of(kind):
    for ancestor in kinds.mro(kind):
        if id(ancestor) in kinds.BASES and ancestor is not object:
            return ancestor
    return object


def _slot(kind, name):
    return kinds.slot(kind, name)


def _new_cell():
    content = None
    cell = (lambda: content).__closure__[0]
    return cell  # noqa: RET504


def _set_cell(cell, content):
    cell.cell_contents = content


_UNNAMED = {"NoneType": type(None), "ellipsis": type(Ellipsis), "NotImplementedType": type(NotImplemented)}
_MAKERS = {
    name: getattr(Reader, "_" + name)
    for name in (
        "m", "M", "l", "L", "t", "d", "D", "s", "so", "Su", "f", "k", "K", "y", "Y", "T", "g", "z", "x", "o", "O", "c", "C", "v",
        "a", "b", "B", "e", "E", "S", "w", "n",
    )
}  # fmt: skip
