"""Small values (settings, options, patches) as bytes: equal values give equal bytes, whatever their identity.

Exact built-in types are written by structure. What a module holds under its own name is written as that name, a function or class
of the notebook as its reference (if somebody gives references), the rest is pickled. What has no bytes says why.
"""

import hashlib
import io
import marshal
import os
import pickle
import sys
import types

_ATOMS = frozenset([type(None), bool, int, float, complex, str, bytes, type(Ellipsis)])
_DEPTH = 60
_MARSHAL = 2  # the last version that does not mark interned or shared objects


class Lost(Exception):
    """A value has no bytes; the argument says why."""


class Written(tuple):
    """What a channel wrote: `hash, data = written`.

    Attributes:
        needs: references of the definitions that the bytes name.
        lost: why `data` is None.
    """

    def __new__(cls, digest, data, needs=(), lost=None):
        self = tuple.__new__(cls, (digest, data))
        self.needs = tuple(needs)
        self.lost = lost
        return self


class Codec(object):
    """Writes and reads values.

    Args:
        definitions: knows the notebook's functions and classes: `is_definition(object)`, `reference(object) -> str` and
            `find(reference) -> object`; None: they are lost.
    """

    def __init__(self, definitions=None):
        self._definitions = definitions

    def encode(self, value):
        """Return the bytes and the references needed; raises Lost."""
        needs = []
        try:
            data = marshal.dumps(self._form(value, needs, 0), _MARSHAL)
        except Lost:
            raise
        except Exception as error:
            raise Lost("it cannot be written: %s" % type(error).__name__)
        return data, tuple(sorted(set(needs)))

    def written(self, value):
        """Return what to report for a value, with or without bytes."""
        try:
            data, needs = self.encode(value)
        except Lost as lost:
            # Not to be compared: only this very execution made it.
            return Written(digest_of(os.urandom(32)), None, (), str(lost))
        return Written(digest_of(data), data, needs)

    def decode(self, data):
        """Return the value; raises whatever the notebook's classes raise."""
        return self._value(marshal.loads(data))

    def _form(self, value, needs, depth):
        kind = type(value)
        if kind in _ATOMS:
            return value
        if depth > _DEPTH:
            raise Lost("it is nested too deep")
        if kind is tuple or kind is list:
            return ("t" if kind is tuple else "l",) + tuple(self._form(item, needs, depth + 1) for item in value)
        if kind is dict:
            pairs = [(self._form(key, needs, depth + 1), self._form(item, needs, depth + 1)) for key, item in value.items()]
            return ("d",) + tuple(pairs)
        if kind is set or kind is frozenset:
            forms = [marshal.dumps(self._form(item, needs, depth + 1), _MARSHAL) for item in value]
            return ("s" if kind is set else "f",) + tuple(sorted(forms))
        if kind is types.ModuleType:
            return ("m", value.__name__)
        if self._is_definition(value):
            reference = self._definitions.reference(value)
            needs.append(reference)
            return ("r", reference)
        name = global_name(value)
        if name is not None:
            return ("g",) + name
        return ("p", self._pickled(value, needs))

    def _value(self, form):
        if type(form) is not tuple:
            return form
        kind = form[0]
        if kind == "t":
            return tuple([self._value(item) for item in form[1:]])
        if kind == "l":
            return [self._value(item) for item in form[1:]]
        if kind == "d":
            return {self._value(key): self._value(item) for key, item in form[1:]}
        if kind in "sf":
            items = [self._value(marshal.loads(item)) for item in form[1:]]
            return set(items) if kind == "s" else frozenset(items)
        return self._object(kind, form)

    def _object(self, kind, form):
        if kind == "r":
            return self._definitions.find(form[1])
        if kind in "mg":
            __import__(form[1])
            found = sys.modules[form[1]]
            for name in form[2].split(".") if kind == "g" else ():
                found = getattr(found, name)
            return found
        unpickler = pickle.Unpickler(io.BytesIO(form[1]))
        unpickler.persistent_load = lambda reference: self._definitions.find(reference)
        return unpickler.load()

    def _is_definition(self, value):
        if isinstance(value, (type, types.FunctionType)) is False or self._definitions is None:
            return False
        return bool(self._definitions.is_definition(value))

    def _pickled(self, value, needs):
        codec = self

        class Pickler(pickle._Pickler):
            """Python's own pickler in Python: the same bytes for equal strings, and definitions by reference."""

            def persistent_id(self, item):
                if codec._is_definition(item):
                    reference = codec._definitions.reference(item)
                    needs.append(reference)
                    return reference
                return None

            def memoize(self, item):
                # Equal strings are one object or two as it happens; never sharing them makes the bytes the same.
                if type(item) not in (str, bytes):
                    pickle._Pickler.memoize(self, item)

        buffer = io.BytesIO()
        try:
            Pickler(buffer, protocol=4).dump(value)
        except Exception as error:
            raise Lost("a %s: %s" % (repr_of_type(value), str(error)[:200]))
        return buffer.getvalue()


def digest_of(data):
    """Return the hash of bytes."""
    return hashlib.sha256(data).hexdigest()


def hash_below(hashes):
    """Return the hash of a read of everything below a prefix, given the state's `{reference: hash}` below it; None for nothing."""
    if not hashes:
        return None
    return digest_of("\n".join("%s %s" % pair for pair in sorted(hashes.items())).encode("utf-8", "surrogatepass"))


def repr_of_type(value):
    """Return a value's type for people, asking the value nothing."""
    kind = type(value)
    return "%s.%s" % (type.__getattribute__(kind, "__module__"), type.__getattribute__(kind, "__qualname__"))


def global_name(value):
    """Return the module and qualified name under which a function or class is found in a module, or None."""
    if not isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return None
    if isinstance(value, type):
        module = type.__getattribute__(value, "__module__")
        qualname = type.__getattribute__(value, "__qualname__")
    else:
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if type(module) is not str or type(qualname) is not str or module == "__main__" or "<" in qualname:
        return None
    found = sys.modules.get(module)
    try:
        for name in qualname.split("."):
            found = getattr(found, name)
    except Exception:
        return None
    return (module, qualname) if found is value else None
