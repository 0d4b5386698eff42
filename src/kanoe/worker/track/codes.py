"""Code objects as data: plain tuples to hash, bytes to keep."""

import inspect
import linecache
import marshal
import sys
import types
import weakref

from kanoe_worker.track.plain import __builtins__  # noqa: F401

_MARSHAL = 2  # the last version that marks no shared or interned objects: equal code gives equal bytes
_DIGESTED = {}  # id of a code object -> (weak reference, its bytes): it never changes
_TEXTS = {}  # id of a code object -> (weak reference, its source text or None)
_LINE_NAME = "__firstlineno__"  # 3.13 stores it in class bodies


def canonical(code):
    """Return a code object as a nested tuple of exact built-in values: no file name, no line numbers, sets in order.

    Equal tuples (type by type) are equal code; hash them with `marshal.dumps(tuple, 2)`.
    """
    return (
        "code",
        code.co_name,
        getattr(code, "co_qualname", None),
        code.co_argcount,
        getattr(code, "co_posonlyargcount", 0),
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_code,
        _constants(code),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        getattr(code, "co_exceptiontable", None),
    )


def digestible(code):
    """Return `canonical(code)` as bytes."""
    return _once(_DIGESTED, code, lambda: marshal.dumps(canonical(code), _MARSHAL))


def text(code):
    """Return what `inspect.getsource` shows of code in a cell, remarks and all; None where the cell's source is not known."""
    return _once(_TEXTS, code, lambda: _block(code))


def _once(table, code, make):
    key = id(code)
    known = table.get(key)
    if known is not None and known[0]() is code:
        return known[1]
    made = make()

    def forget(dead):
        if key in table and table[key][0] is dead:
            del table[key]

    table[key] = (weakref.ref(code, forget), made)
    return made


def _block(code):
    source = _source(code.co_filename)
    if source is None:
        return None
    lines = source.splitlines(True)[max(code.co_firstlineno - 1, 0) :]
    try:
        return "".join(inspect.getblock(lines))
    except Exception:  # it is no block: whatever `inspect` would say, it depends on no more than this
        return "".join(lines)


def _constants(code):
    line = _line_constant(code) if _LINE_NAME in code.co_names else None
    return tuple([("line",) if place == line else _constant(value) for place, value in enumerate(code.co_consts)])


def _constant(value):
    kind = type(value)
    if kind is types.CodeType:
        return canonical(value)
    if kind is tuple:
        return ("tuple",) + tuple([_constant(item) for item in value])
    if kind is frozenset:
        return ("frozenset",) + tuple(sorted([marshal.dumps(_constant(item), _MARSHAL) for item in value]))
    if kind is slice:
        return ("slice", _constant(value.start), _constant(value.stop), _constant(value.step))
    return value if id(kind) in _CONSTANTS else ("unknown", kind.__name__)


def _line_constant(code):
    """Return the place of the constant that only stores the line number of a class body, or None."""
    import dis

    loads, stored, before = {}, None, None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_CONST":
            loads[instruction.arg] = loads.get(instruction.arg, 0) + 1
        elif instruction.opname == "STORE_NAME" and instruction.argval == _LINE_NAME and before is not None:
            stored = before.arg if before.opname == "LOAD_CONST" else None
        before = instruction
    return stored if loads.get(stored) == 1 else None


def pack(code):
    """Return a code object as `(bytes, source, number)`; raises ValueError where it has no bytes.

    The source and the number of its cell let tracebacks and `inspect.getsource` in another process show it.
    """
    return (marshal.dumps(code, _MARSHAL), _source(code.co_filename), _numbers().get(code.co_filename))


def unpack(packed):
    """Return the code object; tell Python, and IPython, its source."""
    data, source, number = packed
    code = marshal.loads(data)
    name = code.co_filename
    if source is not None and name not in linecache.cache:
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        cache = getattr(linecache, "_ipython_cache", None)  # IPython before 8 puts its entries back from there
        if isinstance(cache, dict):
            cache[name] = linecache.cache[name]
    if number is not None:
        _numbers().setdefault(name, number)
    return code


def _source(name):
    """Return the source of a cell; None for files."""
    entry = linecache.cache.get(name)
    if entry is None or len(entry) != 4 or entry[1] is not None:
        return None
    return "".join(entry[2])


def _numbers():
    """Return IPython's map of file names to execution counts; an empty one where there is none."""
    module = sys.modules.get("IPython.core.interactiveshell")
    shell = getattr(getattr(module, "InteractiveShell", None), "_instance", None)
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", None)
    return numbers if type(numbers) is dict else {}


def is_plain(code):
    """Return whether a code object holds only what a compiler puts there."""
    return all([_is_plain_constant(value) for value in code.co_consts])


def _is_plain_constant(value):
    kind = type(value)
    if kind is types.CodeType:
        return is_plain(value)
    if kind is tuple or kind is frozenset:
        return all([_is_plain_constant(item) for item in value])
    return id(kind) in _CONSTANTS


def new_cell():
    """Return an empty cell."""

    def outer():
        if False:
            held = None
        return lambda: held

    return outer().__closure__[0]


def set_cell(cell, value):
    """Put a value into a cell; before Python 3.7 only code can."""
    if sys.version_info >= (3, 7):
        cell.cell_contents = value
    else:
        types.FunctionType(_SETTER, {}, "setter", None, (cell,))(value)


def _setter_code():
    """Return the code of a function that stores into the one cell of its closure."""

    def outer():
        held = None

        def setter(value):
            nonlocal held
            held = value

        return setter, held

    return next(value for value in outer.__code__.co_consts if type(value) is types.CodeType)


_CONSTANTS = frozenset(map(id, [type(None), bool, int, float, complex, str, bytes, type(Ellipsis), slice]))
_SETTER = _setter_code()
