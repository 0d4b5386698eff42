"""Functions and classes of the notebook, by content.

A definition is a function or class that no module holds under its own name: what cells defined, what decorators and factories made.
Each has one reference for life, `def:function:clean:5f3a09c1d2e4`, and is a root of its own: a value's graph stops at it.

How values use this module:

    token(thing)     the string for `persistent_id`, or None: a definition's reference, or a member of a notebook's enumeration
    parts(thing)     a plain tuple of all it holds, to walk and to hash. It contains code objects, cells and so on as they are:
                     `savers.find` knows these. A *cell* (and the private globals of `exec`) is shared mutable memory: two functions
                     that hold one cell are one group, whatever the cell contains.
    lost(thing)      why it has no bytes, or None
    shells.pack, shells.make, shells.fill    bytes of a bundle's definitions, and back (see `shells`)
    find(token)      the living object
"""

import hashlib
import marshal
import sys
import types
import weakref

from kanoe_worker.track import codes

_MARSHAL = 2
_SIMPLE = frozenset([type(None), bool, int, float, complex, str, bytes, type(Ellipsis)])
_Function = types.FunctionType
_Cell = type((lambda x: lambda: x)(0).__closure__[0])
_dictionary_of = type.__dict__["__dict__"].__get__
_module_dictionary_of = types.ModuleType.__dict__["__dict__"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_heap = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_flags_of = type.__dict__["__flags__"].__get__
_bases_of = type.__dict__["__bases__"].__get__
_mro_of = type.__dict__["__mro__"].__get__


class Definitions(object):
    """Knows the definitions of one process.

    Args:
        namespace: the dict in which cells run.
    """

    def __init__(self, namespace):
        self.namespace = namespace
        self._kinds = {}  # id -> (weak reference, whether it is a definition)
        self._references = {}  # id -> (weak reference, its reference)
        self._things = {}  # reference -> weak reference
        self._taken = frozenset()
        self._fresh = set()

    def begin(self, taken):
        """Before a cell: `taken` are the references that the state holds; no new definition gets one of them."""
        self._taken = frozenset(taken)
        self._fresh = set()

    def is_definition(self, thing):
        """Return whether something is a function or class that no library holds under its name."""
        kind = type(thing)
        if kind is not _Function and not (kind is type or type in _mro_of(kind)):
            return False
        known = self._kinds.get(id(thing))
        if known is not None and known[0]() is thing:
            return known[1]
        found = (kind is _Function or bool(_flags_of(thing) & _heap)) and library_name(thing) is None
        self._remember(self._kinds, thing, found)
        return found

    def reference(self, thing):
        """Return the reference of a definition: the same for life."""
        known = self._references.get(id(thing))
        if known is not None and known[0]() is thing:
            return known[1]
        base = "def:%s:%s:%s" % (_kind(thing), _readable(thing), hashlib.sha256(_first_sight(thing)).hexdigest()[:12])
        reference, ordinal = base, 0
        while reference in self._taken or reference in self._fresh:
            ordinal += 1
            reference = "%s.%d" % (base, ordinal)
        self.adopt(reference, thing)
        return reference

    def adopt(self, reference, thing):
        """From now on a definition has this reference; one that had it and is not in the state loses it."""
        old = self.find(reference)
        if old is not None and old is not thing:
            self._references.pop(id(old), None)
        self._fresh.add(reference)
        self._remember(self._references, thing, reference)
        self._things[reference] = weakref.ref(thing)

    def find(self, token):
        """Return the living object of a reference or another token, or None."""
        found = self._things.get(token)
        return None if found is None else found()

    def token(self, thing):
        """Return what stands for an object that belongs to a definition, or None."""
        return self.reference(thing) if self.is_definition(thing) else None

    def parts(self, thing):
        """Return all that a definition holds as a plain tuple."""
        if type(thing) is _Function:
            return self._function_parts(thing)
        return self._class_parts(thing)

    def lost(self, thing):
        """Return why a definition has no bytes, or None."""
        return None

    def mentions(self, thing):
        """Return what a definition's own code mentions of the namespace (`reads.Mentions`); for a library's code: nothing."""
        from kanoe_worker.track import reads

        return reads.mentions_of_code(thing.__code__) if type(thing) is _Function else reads.Mentions()

    def _remember(self, table, thing, value):
        key = id(thing)

        def forget(dead):
            if key in table and table[key][0] is dead:
                del table[key]

        table[key] = (weakref.ref(thing, forget), value)

    def _function_parts(self, thing):
        return ("function", thing.__name__, thing.__qualname__, thing.__code__, thing.__defaults__, thing.__kwdefaults__,
                thing.__closure__, thing.__annotations__, thing.__dict__, thing.__module__, thing.__doc__)  # fmt: skip

    def _class_parts(self, thing):
        entries = dict(_dictionary_of(thing))
        for name in ("__dict__", "__weakref__"):
            entries.pop(name, None)
        return ("class", type(thing), _bases_of(thing), entries)


def library_name(thing):
    """Return the module and qualified name under which a library holds a function or class, or None. Runs no code of either."""
    if type(thing) is _Function:
        module, qualname = thing.__module__, thing.__qualname__
    else:
        module, qualname = _dictionary_of(thing).get("__module__", "builtins"), _qualname_of(thing)
        if not _flags_of(thing) & _heap:
            module = type.__dict__["__module__"].__get__(thing)
    if type(module) is not str or module == "__main__":
        return None
    return (module, qualname) if _held(module, qualname) is thing else None


def _held(module, qualname):
    found = sys.modules.get(module)
    if found is None or types.ModuleType not in _mro_of(type(found)):
        return None
    dictionary = _module_dictionary_of(found)
    for name in qualname.split("."):
        if name not in dictionary:
            return None
        found = dictionary[name]
        if type not in _mro_of(type(found)):
            dictionary = {}
        else:
            dictionary = _dictionary_of(found)
    return found


def _kind(thing):
    return "function" if type(thing) is _Function else "class"


def _readable(thing):
    name = thing.__qualname__ if type(thing) is _Function else _qualname_of(thing)
    name = name.split("<locals>.")[-1]
    return "".join([letter for letter in name if letter.isalnum() or letter in "._"]) or "unnamed"


def _first_sight(thing):
    return codes.digestible(thing.__code__) if type(thing) is _Function else b""
