"""What objects of a type are made of, found out without running code of the notebook.

Nothing here asks an object: types are read through the slots of `type` itself, instances through descriptors of C.
"""

import collections
import copyreg
import sys
import types

from kanoe_worker.track.plain import __builtins__  # noqa: F401

_mro = type.__dict__["__mro__"].__get__
dictionary_of = type.__dict__["__dict__"].__get__
flags_of = type.__dict__["__flags__"].__get__
_basic_size_of = type.__dict__["__basicsize__"].__get__
_item_size_of = type.__dict__["__itemsize__"].__get__
_dictionary_offset_of = type.__dict__["__dictoffset__"].__get__
_weak_offset_of = type.__dict__["__weakrefoffset__"].__get__
_base_of = type.__dict__["__base__"].__get__
module_of = type.__dict__["__module__"].__get__
name_of = type.__dict__["__name__"].__get__
qualname_of = type.__dict__["__qualname__"].__get__

_HEAP_TYPE = 1 << 9
_WORD = 8

# Base types whose whole content can be read and put back.
MUTABLE_BASES = (list, dict, set, collections.OrderedDict, object)
FROZEN_BASES = (tuple, frozenset, int, float, complex, str, bytes)
_REDUCING = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


class Plan(object):
    """How instances of a type are taken apart.

    Attributes:
        base: the builtin type whose content an instance has, e.g. list; object where there is none.
        dictionary: reads an instance's `__dict__`, or None.
        slots: `(name, descriptor)` of all slots.
        raw: whether that is all: False means that only its own `__reduce_ex__` knows.
    """

    __slots__ = ("base", "dictionary", "raw", "slots")

    def __init__(self, base, dictionary, slots, raw):
        self.base = base
        self.dictionary = dictionary
        self.slots = slots
        self.raw = raw


def plan(kind, is_notebooks):
    """Return the plan for instances of a type.

    Args:
        kind: the type.
        is_notebooks: tells whether a class is the notebook's own: such a class's methods for pickling are not used.
    """
    dictionary, slots, base = None, [], None
    for ancestor in mro(kind):
        entries = dictionary_of(ancestor)
        if id(ancestor) in BASES:
            base = base if base not in (None, object) else ancestor
            continue
        for name, entry in list(entries.items()):
            if type(entry) is types.MemberDescriptorType and flags_of(ancestor) & _HEAP_TYPE:
                slots.append((name, entry))
        found = entries.get("__dict__")
        if dictionary is None and type(found) is types.GetSetDescriptorType:
            dictionary = found
    base = base or object
    return Plan(base, dictionary, tuple(slots), _is_raw(kind, base, slots, is_notebooks))


BASES = frozenset(map(id, MUTABLE_BASES + FROZEN_BASES))  # a metaclass may compare and hash as it likes


def _is_raw(kind, base, slots, is_notebooks):
    if (
        not flags_of(kind) & _HEAP_TYPE
        or _definer(kind, is_notebooks) is not None
        or id(kind) in set(map(id, copyreg.dispatch_table))
    ):
        return False
    if any(not flags_of(one) & _HEAP_TYPE and id(one) not in BASES for one in mro(kind)):
        return False  # made in C, and nobody knows what it holds
    if _item_size_of(kind) != _item_size_of(base):
        return False
    size = _basic_size_of(base) + _WORD * len(slots)
    size += _WORD * bool(_dictionary_offset_of(kind)) + _WORD * bool(_weak_offset_of(kind))
    return _basic_size_of(kind) <= size


def _definer(kind, is_notebooks):
    """Return the library class that says how instances are pickled, or None: nobody, or the notebook, does."""
    for ancestor in mro(kind):
        if id(ancestor) in BASES:
            continue
        entries = dictionary_of(ancestor)
        if any(name in entries for name in _REDUCING):
            return None if is_notebooks(ancestor) else ancestor
    return None


def mro(kind):
    """Return a type and its ancestors, in the order of look-ups; a type that is not made ready yet has none."""
    return _mro(kind) or (kind,)


def is_type(kind):
    """Return whether objects of a type are types themselves."""
    return kind is type or derives(kind, type)


def derives(kind, ancestor):
    """Return whether a type derives from another; asks neither."""
    for one in mro(kind):
        if one is ancestor:
            return True
    return False


def type_name(kind):
    """Return a type's module and qualified name as exact strings, `""` where it has been made to have none."""
    entries = dictionary_of(kind)
    module = entries.get("__module__") if flags_of(kind) & _HEAP_TYPE else module_of(kind)
    return module if type(module) is str else "", qualname_of(kind)


def described(kind):
    """Return a type's name for people."""
    return name_of(kind)


# What libraries' modules and classes held before the notebook bound something else there: by module and qualified name.
originals = {}


def held(module, qualname):
    """Return what a module holds under a qualified name, or None; nothing is imported, no module's `__getattr__` is asked.

    Of what the notebook replaced, it is the original.
    """
    if originals and (module, qualname) in originals:
        return originals[module, qualname]
    found = sys.modules.get(module)
    if found is None or not derives(type(found), types.ModuleType):
        return None
    dictionary = module_dictionary_of(found)
    for name in qualname.split("."):
        if name not in dictionary:
            return None
        found = dictionary[name]
        dictionary = dictionary_of(found) if is_type(type(found)) else {}
    return found


module_dictionary_of = types.ModuleType.__dict__["__dict__"].__get__


def slot(kind, name):
    """Return the descriptor of a slot."""
    for ancestor in mro(kind):
        entry = dictionary_of(ancestor).get(name)
        if type(entry) is types.MemberDescriptorType:
            return entry
    raise AttributeError(name)
