"""What is told of a value to people: small, made in the worker, compared later without the value itself.

`summarise` never calls a method of the notebook's own: it goes by exact types and by what known libraries' own exact types hold.
Its cost is bounded: of what is large it takes a sample of evenly spaced values. A summary is plain JSON.

`differences` runs in Kanoe's process as well and believes nothing of a summary's shape: it may come from a notebook.
"""

import base64
import binascii
import struct
import sys
import types
import zlib

_TEXT = 60  # characters of a value that are kept
_ENTRIES = 40  # attributes, keys or items that are told one by one
_COLUMNS = 100  # of a frame's columns, those that are named
_VALUES = 1 << 14  # a frame or an array with no more values has a mark for each
_TEXTS = 1 << 12  # of these, those that are no numbers
_SAMPLE = 256  # rows of a larger one that have marks
_DIGESTED = 1 << 21  # bytes that are read whole
_DETAILED = 64  # columns of a large frame that have marks
_SENTENCES = 12

# By identity: a metaclass may compare and hash as it likes.
_SCALARS = frozenset(map(id, (type(None), bool, int, float, complex, str, bytes)))
_LISTS = frozenset(map(id, (list, tuple)))
_SETS = frozenset(map(id, (set, frozenset)))


def summarise(obj):
    """Return what is told of a value: a small dict that JSON can hold; empty where there is nothing to tell.

    Never raises, and runs no code of the notebook's own.
    """
    try:
        return _summary(obj)
    except Exception:
        return {}


def _summary(obj):
    kind = type(obj)
    if id(kind) in _SCALARS:
        return {"text": _text(obj)}
    for builtin, summary in _BUILTINS:
        if kind is builtin:
            return summary(obj)
    home = _library_of(kind)
    if home == "pandas":
        return _of_pandas(obj, kind)
    if home == "numpy":
        return _of_numpy(obj, kind)
    if home == "torch":
        tensor = kind is getattr(sys.modules["torch"], "Tensor", None)
        return {"shape": [int(size) for size in obj.shape], "dtype": str(obj.dtype)} if tensor else {}
    attributes = _attributes(obj)
    return {"attributes": _told(attributes)} if attributes else {}


def _text(obj):
    """Return a builtin scalar's text, cut; a large number is not written out."""
    if type(obj) is int and obj.bit_length() > 4 * _TEXT:
        return "an integer of %d bits" % obj.bit_length()
    if type(obj) in (str, bytes) and len(obj) > _TEXT:
        head = repr(obj[:_TEXT])
        return "%s… (%d %s)" % (head[:-1], len(obj), "characters" if type(obj) is str else "bytes")
    return repr(obj)


def _library_of(kind):
    """Return the library that a type stands in under its own name; empty for any other, also for one that only says so."""
    module, name = _of_type("__module__", kind), _of_type("__name__", kind)
    library = module.split(".")[0] if type(module) is str else ""
    if library not in ("pandas", "numpy", "torch") or type(sys.modules.get(library)) is not types.ModuleType:
        return ""
    return library if vars(sys.modules[library]).get(name) is kind else ""


def _of_type(name, kind):
    """Return an attribute of a type without asking its metaclass."""
    return type.__dict__[name].__get__(kind)


# Marks: two bytes for each value, so that two summaries tell how many values differ.


def _packed(marks):
    return base64.b64encode(marks).decode("ascii")


def _mark(value):
    """Return two bytes as a number for one Python value; what is not of a plain type counts by its type alone."""
    kind = type(value)
    if kind is str:
        return zlib.crc32(value.encode("utf-8", "surrogatepass")) & 0xFFFF
    if kind in (int, bool, float, complex, bytes, type(None)):
        return zlib.crc32(repr(value).encode("ascii", "replace")) & 0xFFFF
    if id(kind) in _LISTS and len(value) <= _ENTRIES and all(id(type(entry)) in _SCALARS for entry in value):
        return zlib.crc32(repr(value).encode("utf-8", "surrogatepass")) & 0xFFFF
    return zlib.crc32(_of_type("__name__", kind).encode("utf-8", "surrogatepass")) & 0xFFFF


def _marks_of_objects(values):
    if set(map(id, map(type, values))) == {id(str)}:
        marks = [zlib.crc32(value.encode("utf-8", "surrogatepass")) & 0xFFFF for value in values]
    else:
        marks = [_mark(value) for value in values]
    return struct.pack("<%dH" % len(marks), *marks)


def _marks_of_array(array):
    """Return two bytes for each value of a numpy array without objects, in its order; `None` where its type has none."""
    numpy = sys.modules["numpy"]
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind in "SUV" or size == 0:
        return b"".join(struct.pack("<H", zlib.crc32(value.tobytes()) & 0xFFFF) for value in array.ravel())
    if kind not in "biufcmMg" or size not in (1, 2, 4, 8, 16):
        return None
    flat = numpy.ascontiguousarray(array).ravel()
    if kind == "c" or size == 16:
        words = flat.view("u8").reshape(-1, size // 8)
        wide = words[:, 0] * numpy.uint64(3) + words[:, -1] if size == 16 else words[:, 0]
    else:
        wide = flat.view("u%d" % size).astype("u8")
    mixed = wide * numpy.uint64(0x9E3779B97F4A7C15)
    return (mixed >> numpy.uint64(48)).astype("<u2").tobytes()


def _of_numpy(obj, kind):
    numpy = sys.modules["numpy"]
    if kind is numpy.ndarray:
        summary = {"shape": [int(size) for size in obj.shape], "dtype": str(obj.dtype)}
        summary.update(_values(obj, _SAMPLE * 8))
        return summary
    # numpy's own scalars: float64, bool_, datetime64 …
    if issubclass(kind, numpy.generic) and kind is not numpy.void and kind is not getattr(numpy, "object_", None):
        return {"text": _text(obj.item()) if kind.__name__ not in ("datetime64", "timedelta64") else str(obj)}
    return {}


def _values(array, sample):
    """Return marks of a numpy array: of all its values, or of a sample; and a digest where all bytes are few."""
    summary = {}
    if array.dtype.hasobject:
        if array.dtype.kind != "O" or array.size > _TEXTS:
            return summary
        return {"marks": _packed(_marks_of_objects(array.ravel().tolist()))}
    if array.size <= _TEXTS:
        marks = _marks_of_array(array)
        return {"marks": _packed(marks)} if marks is not None else summary
    if array.nbytes <= _DIGESTED:
        summary["digest"] = zlib.crc32(sys.modules["numpy"].ascontiguousarray(array).data)
    marks = _marks_of_array(_spread(array, sample))
    if marks:
        summary["sample"] = _packed(marks)
    return summary


def _spread(array, most):
    """Return evenly spaced values of an array, at most so many; nothing larger than that is copied."""
    steps = [max(1, size // 32) for size in array.shape] if array.ndim > 1 else [max(1, array.size // most)]
    picked = array[tuple(slice(None, None, step) for step in steps)].ravel()
    return picked[:: -(-picked.size // most)] if picked.size else picked


# pandas


def _of_pandas(obj, kind):
    pandas = sys.modules["pandas"]
    if kind is pandas.DataFrame:
        return _of_frame(obj)
    if kind is pandas.Series:
        blocks = _blocks(obj)
        length = int(blocks[0].values.shape[-1]) if blocks else 0
        return {"length": length, "column": _of_column(blocks[0].values, length, 1)}
    if kind is getattr(pandas, "Timestamp", None) or kind is getattr(pandas, "Timedelta", None):
        return {"text": str(obj)}
    if kind.__name__.endswith("Index") and kind.__name__ != "MultiIndex":
        return {"length": len(obj), "dtype": str(obj.dtype)}
    return {}


def _manager(obj):
    return obj._mgr if hasattr(obj, "_mgr") else obj._data


def _blocks(obj):
    return _manager(obj).blocks


def _of_frame(frame):
    """Return a frame's columns, and marks for each: found by the blocks, for a look-up by name leaves traces in the frame."""
    manager = _manager(frame)
    names = list(frame.columns)
    rows = len(frame.index)
    columns = [None] * len(names)
    budget = _DETAILED if rows * len(names) > _VALUES else _COLUMNS
    texts = [0]
    for block in manager.blocks:
        for place, column in enumerate(block.mgr_locs.as_array[:budget]):
            if column < budget:
                values = block.values
                values = values[place] if getattr(values, "ndim", 1) == 2 else values
                columns[column] = _of_column(values, rows, len(names), texts)
    shown = [_name_text(name) for name in names[:_COLUMNS]]
    summary = {"rows": rows, "width": len(names), "columns": shown, "values": columns[:budget]}
    if len(names) > _COLUMNS:
        summary["more"] = len(names) - _COLUMNS
    summary["index"] = _index_digest(frame.index)
    return summary


def _name_text(name):
    if type(name) is str:
        return name[:_TEXT]
    return (
        _text(name) if id(type(name)) in _SCALARS else type(name).__name__ if type(name) is not tuple else _joined(name)
    )


def _joined(names):
    return "/".join(part[:_TEXT] if type(part) is str else _text(part) for part in names if id(type(part)) in _SCALARS)


def _index_digest(index):
    """Return what tells one index from another: cheap where it only counts."""
    kind = type(index).__name__
    if kind == "RangeIndex":
        # Slots moved: `_start` before pandas 1.0, `start` and a range after; the text of a range is always the same.
        return repr(getattr(index, "_range", None) or (len(index),))
    values = getattr(index, "_data", None)
    if kind == "MultiIndex" or values is None:
        return "%s %d" % (kind, len(index))
    return "%s %d %s" % (kind, len(index), _of_column(values, len(index), 1).get("marks", ""))


def _array_of(values):
    """Return a column's values as a numpy array where one holds them whole, else as they are."""
    kind = type(values).__name__
    if kind == "Categorical":
        return values.codes
    if kind in ("DatetimeArray", "TimedeltaArray", "PeriodArray", "PandasArray", "NumpyExtensionArray"):
        inner = getattr(values, "_ndarray", None)
        inner = getattr(values, "_data", None) if inner is None else inner  # before pandas 1.2
        return inner if type(inner) is sys.modules["numpy"].ndarray else values
    return values


def _of_column(values, rows, width, texts=None):
    """Return a column's type, missing values, digest and marks, as far as they are cheap.

    `texts` counts the values of a frame that are no numbers: each costs as much as many numbers.
    """
    numpy = sys.modules["numpy"]
    summary = {"dtype": str(values.dtype)}
    if type(values).__name__ == "Categorical":
        summary["categories"] = _text(str(values.categories.tolist())) if len(values.categories) <= _ENTRIES else ""
    values = _array_of(values)
    texts = texts if texts is not None else [0]
    if type(values) is not numpy.ndarray or values.dtype.hasobject:
        texts[0] += rows
    whole = rows <= _SAMPLE or (rows * width <= _VALUES and texts[0] <= _TEXTS)
    if not whole:
        values = values[:: rows // _SAMPLE][:_SAMPLE]
    if type(values) is not numpy.ndarray:
        values = _objects(values)
    if values.dtype.hasobject:
        items = values.tolist()
        marks = _marks_of_objects(items)
        missing = sum(1 for item in items if _is_missing(item))
    else:
        marks = _marks_of_array(values)
        missing = int(numpy.isnan(values).sum()) if values.dtype.kind == "f" else 0
    if marks is not None:
        summary["marks" if whole else "sample"] = _packed(marks)
    if whole:
        summary["missing"] = missing
    return summary


def _is_missing(item):
    return item is None or (type(item) is float and item != item) or _of_type("__name__", type(item)) == "NAType"  # noqa: PLR0124


def _objects(values):
    """Return the values of one of pandas' own extension arrays as a numpy array of Python objects."""
    numpy = sys.modules["numpy"]
    if not type(values).__module__.startswith("pandas."):
        return numpy.empty(0)
    return numpy.asarray(values, dtype=object)


# Builtin containers, and objects by their attributes


def _of_list(items):
    summary = {"length": len(items)}
    if len(items) <= _VALUES // 4:
        summary["marks"] = _packed(_marks_of_objects(items))
    if len(items) <= _ENTRIES:
        summary["items"] = [_glance(item) for item in items]
    return summary


def _of_dict(entries):
    told = {}
    for key in entries:
        if len(told) >= _ENTRIES:
            break
        if id(type(key)) in _SCALARS:
            told[key[:_TEXT] if type(key) is str else _text(key)] = key
    return {
        "length": len(entries),
        "entries": {text: _glance(dict.__getitem__(entries, key)) for text, key in told.items()},
    }


def _set_digest(items):
    """Return a number that does not depend on the order."""
    if len(items) > _VALUES:
        return 0
    return sum(_mark(item) for item in items) & 0xFFFFFFFF


def _told(attributes):
    """Return attributes by name, each at a glance; private ones and those of no plain type are left out."""
    told = {}
    for name, value in attributes.items():
        if type(name) is str and not name.startswith("_"):
            glance = _glance(value)
            if glance:
                told[name[:_TEXT]] = glance
        if len(told) >= _ENTRIES:
            break
    return told


def _glance(value):
    """Return a few words for a part of a value."""
    kind = type(value)
    if id(kind) in _SCALARS:
        return _text(value)
    if id(kind) in _LISTS or kind is dict or id(kind) in _SETS:
        return "%s of %d%s" % (kind.__name__, len(value), _short_digest(value))
    home = _library_of(kind)
    if home == "numpy" and kind is sys.modules["numpy"].ndarray:
        told = _values(value, _SAMPLE) if value.size <= _TEXTS else {}
        return "array %s %s%s" % (tuple(value.shape), value.dtype, _digest_text(told.get("marks")))
    if home == "numpy" and issubclass(kind, sys.modules["numpy"].generic) and value.dtype.kind in "biuf":
        return _text(value.item())
    name = _of_type("__name__", kind)
    return name if type(kind) is type else ""


def _short_digest(value):
    if type(value) is dict or len(value) > _ENTRIES:
        return ""
    if id(type(value)) in _SETS:
        return _digest_text(str(_set_digest(value)))
    return _digest_text(_packed(_marks_of_objects(value)))


def _digest_text(told):
    return " #%08x" % zlib.crc32(told.encode("ascii")) if told else ""


def _attributes(obj):
    """Return an object's own dictionary without asking the object; empty where it has none."""
    kind = type(obj)
    for base in _of_type("__mro__", kind):
        own = _of_type("__dict__", base)
        if "__dict__" in own:
            descriptor = own["__dict__"]
            if type(descriptor) is not types.GetSetDescriptorType:
                return {}
            found = descriptor.__get__(obj)
            return dict(found) if type(found) is dict and len(found) <= 10000 else {}
    return {}


def _members(kind):
    """Return what a class holds by name, each at a glance, but for what Python puts there itself."""
    told = {}
    for name, value in _of_type("__dict__", kind).items():
        if type(name) is str and name not in _GENERATED and len(told) < _ENTRIES:
            inner = value.__func__ if type(value) in (staticmethod, classmethod) else value
            plain = type(inner) is types.FunctionType
            told[name[:_TEXT]] = "method #%08x" % _code_digest(inner.__code__) if plain else _glance(inner)
    return told


_GENERATED = (
    "__module__",
    "__dict__",
    "__weakref__",
    "__doc__",
    "__qualname__",
    "__firstlineno__",
    "__static_attributes__",
)


def _code_digest(code):
    """Return a number for what a function does: its instructions, constants and names, not where it stands."""
    constants = b"".join(
        struct.pack("<I", _code_digest(value)) if type(value) is types.CodeType else struct.pack("<H", _mark(value))
        for value in code.co_consts
    )
    names = repr((code.co_names, code.co_varnames, code.co_freevars)).encode("utf-8", "surrogatepass")
    return zlib.crc32(code.co_code + constants + names) & 0xFFFFFFFF


_BUILTINS = (
    (list, _of_list),
    (tuple, _of_list),
    (dict, _of_dict),
    (set, lambda items: {"length": len(items), "digest": _set_digest(items)}),
    (frozenset, lambda items: {"length": len(items), "digest": _set_digest(items)}),
    (types.FunctionType, lambda function: {"code": _code_digest(function.__code__)}),
    (type, lambda kind: {"members": _members(kind)}),
    (types.ModuleType, lambda module: {"text": _text(vars(module).get("__name__", ""))}),
)


# Comparing two summaries


def differences(old, new):
    """Return what differs between two summaries of one thing, as short sentences without its name.

    `3 -> 4`, `column Age, 177 values`, `max_depth 3 -> 5`. An empty list means that the summaries do not tell.
    Never raises, whatever the two hold.
    """
    try:
        found = list(_differences(_mapping(old), _mapping(new)))
    except Exception:
        return []
    more = len(found) - _SENTENCES
    return found if more <= 0 else found[:_SENTENCES] + ["and %d more" % more]


def _mapping(summary):
    return dict(summary) if hasattr(summary, "keys") else {}


def _differences(old, new):
    for key, compare in _COMPARISONS:
        if key in old and key in new:
            return compare(old, new)
    if old and new and set(old) != set(new):
        return ["another kind of value"]
    return []


def _compare_texts(old, new):
    return ["%s -> %s" % (old["text"], new["text"])] if old["text"] != new["text"] else []


def _compare_code(old, new):
    return ["its code"] if old["code"] != new["code"] else []


def _compare_members(old, new):
    before, after = _mapping(old["members"]), _mapping(new["members"])
    found = []
    for name in before:
        if _differs(name, before, after):
            method = str(before[name]).startswith("method #") and str(after[name]).startswith("method #")
            found.append("its method %s" % name if method else "%s %s" % (name, _step(before[name], after[name])))
    return found + _gone_and_made(before, after)


def _gone_and_made(before, after):
    return ["without %s" % name for name in before if name not in after] + [
        "with %s" % name for name in after if name not in before
    ]


def _compare_frames(old, new):
    found = []
    before, after = _columns(old), _columns(new)
    gone = [name for name in before if name not in after]
    made = [name for name in after if name not in before]
    if gone:
        found.append("without %s" % _columns_text(gone))
    if made:
        found.append("with %s" % _columns_text(made))
    if not gone and not made and list(before) != list(after):
        found.append("its columns in another order")
    if old["rows"] != new.get("rows"):
        found.append("%s -> %s rows" % (old["rows"], new.get("rows")))
        return found + [sentence for sentence in _types(before, after) if sentence]
    if old.get("index") != new.get("index"):
        found.append("its index")
    for name in before:
        if name in after:
            sentence = _compare_columns(before[name], after[name])
            if sentence:
                found.append("column %s%s" % (name, sentence))
    return found


def _columns(summary):
    values = list(summary.get("values") or [])
    names = [str(name) for name in summary["columns"]]
    values += [None] * (len(names) - len(values))
    return dict(zip(names, values))  # noqa: B905


def _columns_text(names):
    shown = ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "")
    return "column%s %s" % ("" if len(names) == 1 else "s", shown)


def _types(before, after):
    for name in before:
        if name in after:
            sentence = _type_change(before[name] or {}, after[name] or {})
            yield "column %s%s" % (name, sentence) if sentence else ""


def _type_change(old, new):
    if old.get("dtype") and new.get("dtype") and old["dtype"] != new["dtype"]:
        return ", %s -> %s" % (old["dtype"], new["dtype"])
    return ""


def _compare_columns(old, new):
    """Return what differs between two columns of one length, to stand after the column's name; empty: nothing is seen."""
    old, new = old or {}, new or {}
    filled = (old.get("missing") or 0) - (new.get("missing") or 0) if "missing" in old and "missing" in new else 0
    sentence = _type_change(old, new)
    if sentence:
        return sentence + (" (%d missing values filled)" % filled if filled > 0 else "")
    if old.get("categories") != new.get("categories"):
        return ", other categories"
    count = _changed(old.get("marks"), new.get("marks"))
    if count:
        return ", %d value%s" % (count, "" if count == 1 else "s") + _missing_text(filled, count)
    share = _changed_share(old.get("sample"), new.get("sample"))
    return ", about %s of the values" % share if share else ""


def _missing_text(filled, count):
    if filled > 0:
        return " (%s missing before)" % ("all" if filled == count else filled)
    return " (%s missing now)" % ("all" if -filled == count else -filled) if filled < 0 else ""


def _compare_series(old, new):
    if old.get("length") != new.get("length"):
        return ["%s -> %s values" % (old.get("length"), new.get("length"))]
    sentence = _compare_columns(old["column"], new["column"])
    return [sentence[2:]] if sentence else []


def _compare_arrays(old, new):
    found = []
    if list(old["shape"]) != list(new["shape"]):
        found.append("shape %s -> %s" % (_shape(old), _shape(new)))
    if old.get("dtype") != new.get("dtype"):
        found.append("%s -> %s" % (old.get("dtype"), new.get("dtype")))
    return found or _compare_values(old, new)


def _shape(summary):
    return "(%s)" % ", ".join(str(size) for size in summary["shape"])


def _compare_values(old, new):
    count = _changed(old.get("marks"), new.get("marks"))
    if count:
        return ["%d value%s" % (count, "" if count == 1 else "s")]
    share = _changed_share(old.get("sample"), new.get("sample"))
    if share:
        return ["about %s of the values" % share]
    return ["some values"] if old.get("digest") != new.get("digest") else []


def _compare_items(old, new):
    if old.get("length") != new.get("length"):
        return ["%s -> %s items" % (old.get("length"), new.get("length"))]
    before, after = old.get("items"), new.get("items")
    if before and after and len(before) == len(after):
        changed = [place for place, (one, other) in enumerate(zip(before, after)) if one != other]  # noqa: B905
        if 0 < len(changed) <= 3:
            return ["item %d %s" % (place, _step(before[place], after[place])) for place in changed]
    count = _changed(old.get("marks"), new.get("marks"))
    if count:
        return ["%d item%s" % (count, "" if count == 1 else "s")]
    return ["some items"] if old.get("digest") != new.get("digest") else []


def _compare_named(key):
    def compare(old, new):
        before, after = _mapping(old[key]), _mapping(new[key])
        found = ["%s %s" % (name, _step(before[name], after[name])) for name in before if _differs(name, before, after)]
        found += _gone_and_made(before, after)
        if not found and old.get("length") != new.get("length"):
            found.append("%s -> %s entries" % (old.get("length"), new.get("length")))
        return found

    return compare


def _differs(name, before, after):
    return name in after and before[name] != after[name]


def _step(old, new):
    """Return `3 -> 5`; of two whose words are the same but for a digest, that it is another."""
    old, new = str(old), str(new)
    if " #" in old and " #" in new:
        plain_old, plain_new = old.rpartition(" #")[0], new.rpartition(" #")[0]
        return "holds other values" if plain_old == plain_new else "%s -> %s" % (plain_old, plain_new)
    return "%s -> %s" % (old, new)


_COMPARISONS = (
    ("columns", _compare_frames),
    ("column", _compare_series),
    ("shape", _compare_arrays),
    ("members", _compare_members),
    ("attributes", _compare_named("attributes")),
    ("entries", _compare_named("entries")),
    ("code", _compare_code),
    ("text", _compare_texts),
    ("length", _compare_items),
)


def _changed(old, new):
    """Return how many of two sets of marks differ; 0 where they cannot be compared."""
    one, other = _unpacked(old), _unpacked(new)
    if one is None or other is None or len(one) != len(other):
        return 0
    return sum(1 for mark, other_mark in zip(one, other) if mark != other_mark)  # noqa: B905


def _changed_share(old, new):
    count = _changed(old, new)
    if not count:
        return ""
    share = count / float(len(_unpacked(new) or (1,)))
    return "%d %%" % round(100 * share) if share >= 0.01 else "1 %"


def _unpacked(text):
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text.encode("ascii"))
    except (ValueError, binascii.Error):
        return None
    return struct.unpack("<%dH" % (len(data) // 2), data[: len(data) // 2 * 2])
