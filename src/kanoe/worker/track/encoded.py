"""Small values (settings, options, patches) as bytes and as hashes: equal values have equal hashes, whatever their identity.

Exact built-in types are written by structure; what a module holds under its own name, as that name; other functions by their code, which
finds its globals in its module again; the rest is pickled. Objects of the notebook's classes have no bytes.
"""

import hashlib
import io
import marshal
import os
import pickle
import sys
import types

from kanoe_worker.track import codes, kinds, local_modules
from kanoe_worker.track.bytecode import mentions_of_code
from kanoe_worker.track.mentions import Mentions
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes, type(Ellipsis)])
_DEPTH = 60
_STAMP = 64  # letters of a hash
_MARSHAL = 2  # the last version that does not mark interned or shared objects
_WRAPPERS = {"staticmethod": staticmethod, "classmethod": classmethod, "property": property}


class Lost(Exception):  # noqa: N818
    """A value has no bytes; the argument says why."""


class Written(tuple):
    """What a channel wrote: `hash, data = written`.

    Attributes:
        lost: why `data` is None.
        mentions: what functions of the notebook in it look up, as `Mentions.as_dict` gives it; None where there are none.
    """

    mentions = None

    def __new__(cls, digest, data, lost=None):
        """Make a pair with a reason."""
        self = tuple.__new__(cls, (digest, data))
        self.lost = lost
        return self


def written(value):
    """Return what to report for a value, with or without bytes."""
    try:
        writer = _Writer(True)
        found = stamped(digest_of(_Writer(False).write(value)), writer.write(value))
        if writer.codes:
            mentions = Mentions()
            for code in writer.codes:
                mentions.add(mentions_of_code(code))
            found.mentions = mentions.as_dict()
        return found
    except Lost as lost:
        # Not to be compared: only this very execution made it.
        return Written(digest_of(os.urandom(32)), None, str(lost))


def stamped(digest, data):
    """Return bytes that begin with the hash, so that whoever restores them knows it."""
    return Written(digest, digest.encode() + data)


def hash_in(data):
    """Return the hash of what `written` or `stamped` made."""
    return data[:_STAMP].decode()


def body(data):
    """Return the bytes that `stamped` was given."""
    return data[_STAMP:]


def decode(data):
    """Return the value that `written` was given; raises whatever the notebook's classes raise."""
    return _value(marshal.loads(body(data)))


class _Writer(object):
    """Turns values into bytes: whole ones, or such as tell only what counts (code without line numbers), for a hash."""

    def __init__(self, whole):
        self._whole = whole
        self.codes = []  # of the notebook's functions

    def write(self, value):
        """See `channels`."""
        try:
            return marshal.dumps(self._form(value, 0), _MARSHAL)
        except Lost:
            raise
        except Exception as error:
            raise Lost("it cannot be written: %s" % type(error).__name__) from None

    def _form(self, value, depth):
        kind = type(value)
        if kind in _ATOMS:
            return value
        if depth > _DEPTH:
            raise Lost("it is nested too deep")
        if kind is tuple or kind is list:
            return ("t" if kind is tuple else "l",) + tuple([self._form(item, depth + 1) for item in value])
        if kind is dict:
            return ("d",) + tuple(
                [(self._form(key, depth + 1), self._form(item, depth + 1)) for key, item in value.items()]
            )
        if kind is set or kind is frozenset:
            forms = [marshal.dumps(self._form(item, depth + 1), _MARSHAL) for item in value]
            return ("s" if kind is set else "f",) + tuple(sorted(forms))
        return self._object_form(value, kind, depth)

    def _object_form(self, value, kind, depth):
        if kind is types.ModuleType:
            _refuse_local(value.__name__)
            return ("m", value.__name__)
        name = global_name(value)
        if name is not None:
            _refuse_local(name[0])
            return ("g",) + name
        if kind is types.FunctionType:
            return self._function_form(value, depth)
        if kind in (staticmethod, classmethod):
            return ("w", kind.__name__, self._form(value.__func__, depth + 1))
        if kind is property:
            parts = (value.fget, value.fset, value.fdel, value.__doc__)
            return ("w", "property") + tuple([self._form(part, depth + 1) for part in parts])
        if kind is types.MethodType:
            return ("b", self._form(value.__func__, depth + 1), self._form(value.__self__, depth + 1))
        return ("p", _pickled(value))

    def _function_form(self, function, depth):
        module = function.__globals__.get("__name__")
        if type(module) is not str or getattr(sys.modules.get(module), "__dict__", None) is not function.__globals__:
            raise Lost("a function of no module")
        _refuse_local(module)
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        parts = (function.__defaults__, function.__kwdefaults__, cells, function.__dict__)
        forms = tuple([self._form(part, depth + 1) for part in parts])
        code = function.__code__
        if module == "__main__":
            self.codes.append(code)
        code = codes.pack(code) if self._whole else codes.canonical(code)
        return ("c", module, code, function.__name__, function.__qualname__) + forms


def _refuse_local(module):
    """Raise Lost for what a module of the notebook's own holds: a new process may have another one of that name."""
    if module in local_modules.loaded:
        raise Lost("it belongs to %s, a module of the notebook's own" % module)


def _value(form):
    if type(form) is not tuple:
        return form
    kind = form[0]
    if kind == "t":
        return tuple([_value(item) for item in form[1:]])
    if kind == "l":
        return [_value(item) for item in form[1:]]
    if kind == "d":
        return {_value(key): _value(item) for key, item in form[1:]}
    if kind in "sf":
        items = [_value(marshal.loads(item)) for item in form[1:]]
        return set(items) if kind == "s" else frozenset(items)
    return _object(kind, form)


def _object(kind, form):
    if kind in "mg":
        __import__(form[1])
        return _held(form[1], form[2]) if kind == "g" else sys.modules[form[1]]
    if kind == "c":
        return _function(form)
    if kind == "w":
        return _WRAPPERS[form[1]](*[_value(part) for part in form[2:]])
    if kind == "b":
        return types.MethodType(_value(form[1]), _value(form[2]))
    return pickle.loads(form[1])


def _function(form):
    _, module, code, name, qualname = form[:5]
    defaults, keywords, cells, attributes = [_value(part) for part in form[5:]]
    __import__(module)
    closure = tuple([_cell(value) for value in cells])
    function = types.FunctionType(codes.unpack(code), sys.modules[module].__dict__, name, defaults, closure)
    function.__kwdefaults__, function.__qualname__ = keywords, qualname
    function.__dict__.update(attributes)
    return function


def _cell(value):
    return (lambda: value).__closure__[0]


class _Pickler(pickle._Pickler):
    """Python's own pickler in Python: it can be told not to share equal strings, which are one object or two as it happens."""

    def persistent_id(self, item):
        """See `channels`."""
        kind = item if kinds.is_type(type(item)) else type(item)
        _refuse_local(type.__getattribute__(kind, "__module__"))
        if type.__getattribute__(kind, "__module__") == "__main__":
            raise Lost("an object of the notebook's class %s" % type.__getattribute__(kind, "__qualname__"))

    def memoize(self, item):
        """See `channels`."""
        if type(item) not in (str, bytes):
            pickle._Pickler.memoize(self, item)


def _pickled(value):
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=4).dump(value)
    except Lost:
        raise
    except Exception as error:
        raise Lost("a %s: %s" % (type_name(value), str(error)[:200])) from None
    return buffer.getvalue()


def digest_of(data):
    """Return the hash of bytes."""
    return hashlib.sha256(data).hexdigest()


def hash_below(hashes):
    """Return the hash of a read of everything below a prefix, given the state's `{reference: hash}` below it; None for nothing."""
    if not hashes:
        return None
    return digest_of("\n".join(["%s %s" % pair for pair in sorted(hashes.items())]).encode("utf-8", "surrogatepass"))


def type_name(value):
    """Return a value's type for people, asking the value nothing."""
    kind = type(value)
    return "%s.%s" % (type.__getattribute__(kind, "__module__"), type.__getattribute__(kind, "__qualname__"))


def global_name(value):
    """Return the module and qualified name under which a function or class is found in a module, or None."""
    if kinds.is_type(type(value)):
        module = type.__getattribute__(value, "__module__")
        qualname = type.__getattribute__(value, "__qualname__")
    elif isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    else:
        return None
    if type(module) is not str or type(qualname) is not str or module == "__main__" or "<" in qualname:
        return None
    try:
        found = _held(module, qualname)
    except Exception:
        return None
    return (module, qualname) if found is value else None


def _held(module, qualname):
    """Return what a module holds under a name; the original, where the notebook replaced it."""
    if (module, qualname) in kinds.originals:
        return kinds.originals[module, qualname]
    found = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found
