"""Functions and classes of the notebook, by content.

A definition is a function or class that no module holds under its own name: what cells defined, what decorators and factories made.
Each has one reference for life, `def:function:clean:5f3a09c1d2e4`, and is a root of its own: a value's graph stops at it.

How values use this module:

    token(thing)     the string for `persistent_id`, or None: a definition's reference, or a member of a notebook's enumeration
                     (`member:def:class:Color:5f3a09c1d2e4:RED`): it belongs to its class (`owner`), which a value that holds it
                     needs; or the namespace, or `builtins.__dict__` (the private globals of `exec` hold it): these need nothing
    parts(thing)     a plain tuple of all it holds, to walk and to hash. It contains code objects, cells and so on as they are:
                     `savers.find` knows these. A *cell* (and the private globals of `exec`) is shared mutable memory: two functions
                     that hold one cell are one group, whatever the cell contains. It may contain members of the definition's own
                     enumeration: their values are in the parts too.
    lost(thing)      why it has no bytes, or None
    shells.pack, shells.make, shells.fill    bytes of a bundle's definitions, and back (see `shells`)
    find(token)      the living object

Nothing here runs code of the notebook or asks an object anything that it could answer itself.
"""

import builtins
import enum
import hashlib
import marshal
import sys
import types
import weakref

from kanoe_worker.track import codes, kinds, local_modules
from kanoe_worker.track.plain import __builtins__  # noqa: F401

# By identity: a metaclass may hash and compare as it likes.
SIMPLE = frozenset(map(id, [type(None), bool, int, float, complex, str, bytes, type(Ellipsis)]))
Function = types.FunctionType
Cell = type(codes.new_cell())

dictionary_of, name_of, qualname_of, mro_of = kinds.dictionary_of, kinds.name_of, kinds.qualname_of, kinds.mro
bases_of = type.__dict__["__bases__"].__get__
_flags_of, _module_name_of, module_dictionary_of = kinds.flags_of, kinds.module_of, kinds.module_dictionary_of
_HEAP = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_TYPE = 1 << 31  # Py_TPFLAGS_TYPE_SUBCLASS
_MARSHAL = 2
_EnumMeta = type(enum.Enum)
_GetSet = type(Function.__code__)
_Member = type(Function.__closure__)
_BuiltinFunction = type(len)
_C_DESCRIPTORS = (type(str.join), type(object.__init__), type(dict.__dict__["fromkeys"]))
_MADE = frozenset(
    ["__dict__", "__weakref__", "_abc_impl", "__slotnames__"]
)  # what creating a class makes anew, or pickling
_MADE_BY_OLD_PYTHON = frozenset(
    [
        "_abc_registry",
        "_abc_cache",
        "_abc_negative_cache",
        "_abc_negative_cache_version",
        "_abc_generic_negative_cache",
        "_abc_generic_negative_cache_version",
        "__tree_hash__",
    ]
)
_SAME = {"collections.abc": "_collections_abc"}  # what calls itself by the name of a module that may not be imported
FIXED = ("__module__", "__doc__")
_PLAIN_METACLASSES = frozenset(["abc.ABCMeta", "enum.EnumMeta", "enum.EnumType"])


class Line(object):
    """A line number in a class's dictionary: kept, but not part of its value (see `savers`)."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


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
        self._held = {}  # reference -> a definition that the state has, and that nothing else may hold
        self._taken = frozenset()
        self._fresh = set()
        self._metaclasses = {}  # name -> why classes of it are lost, or None

    def begin(self, taken):
        """Before a cell: `taken` are the references that the state holds; no new definition gets one of them."""
        self._taken = frozenset(taken)
        self._fresh = set()
        for reference in [reference for reference in self._held if reference not in self._taken]:
            del self._held[reference]

    def hold(self, reference, thing):
        """Keep a definition alive while the state has it: what was restored with it may be all that shares memory with it."""
        self._held[reference] = thing

    def is_definition(self, thing):
        """Return whether something is a function or class that no library holds under its name."""
        kind = type(thing)
        if kind is not Function and not _flags_of(kind) & _TYPE:
            return False
        known = self._kinds.get(id(thing))
        if known is not None and known[0]() is thing:
            return known[1]
        found = (
            (kind is Function or _made_by_python(thing)) and library_name(thing) is None and not _is_old_generic(thing)
        )
        _remember(self._kinds, thing, found)
        return found

    def is_the_notebooks(self, thing):
        """Return whether a definition's code is the notebook's own, not a library's closure or a class that a library made."""
        if type(thing) is Function:
            found = self.globals_of(thing)
            return type(found) is not str and not _is_of_namedtuple(found)
        return _module_name(thing) == "__main__"

    def reference(self, thing):
        """Return the reference of a definition: the same for life."""
        known = self._references.get(id(thing))
        if known is not None and known[0]() is thing:
            return known[1]
        if kinds.derives(type(thing), types.ModuleType):
            reference = local_modules.PREFIX + module_dictionary_of(thing)["__name__"]
            self.adopt(reference, thing)
            return reference
        kind = "function" if type(thing) is Function else "class"
        base = "def:%s:%s:%s" % (kind, _readable(thing), hashlib.sha256(self._first_sight(thing)).hexdigest()[:12])
        reference, ordinal = base, 0
        while reference in self._taken or reference in self._fresh:
            ordinal += 1
            reference = "%s.%d" % (base, ordinal)
        self.adopt(reference, thing)
        return reference

    def adopt(self, reference, thing):
        """From now on a definition has this reference; one that had it and is not in the state loses it."""
        old = self.find(reference)
        self._held.pop(reference, None)
        if old is not None and old is not thing:
            self._references.pop(id(old), None)
        self._fresh.add(reference)
        _remember(self._references, thing, reference)
        self._things[reference] = weakref.ref(thing, lambda dead: self._forget(reference, dead))

    def find(self, token):
        """Return the living object of a reference or another token, or None."""
        found = self._things.get(token)
        if found is not None:
            return found()
        if token.startswith("member:"):
            return self._find_member(token)
        return self.namespace if token == "namespace" else builtins.__dict__ if token == "builtins" else None

    def token(self, thing):
        """Return what stands for an object that is a definition or belongs to one, or for the namespace itself; or None."""
        kind = type(thing)
        if kind is Function or _flags_of(kind) & _TYPE:
            return self.reference(thing) if self.is_definition(thing) else None
        if kind is dict:
            return "namespace" if thing is self.namespace else "builtins" if thing is builtins.__dict__ else None
        if type(kind) is not type and is_among(_EnumMeta, mro_of(type(kind))) and self.is_definition(kind):
            name = member_name(thing)
            return None if name is None else "member:%s:%s" % (self.reference(kind), name)
        return None

    def owner(self, thing):
        """Return the definition that an object with a token belongs to: itself, the class of a member, or None."""
        if type(thing) is dict:
            return None
        return thing if type(thing) is Function or is_class(thing) else type(thing)

    def parts(self, thing):
        """Return all that a definition holds as a plain tuple.

        A function: its names, code, globals (None: the notebook's; a module's name; or the private dict itself), defaults, keyword
        defaults, cells, annotations, attributes, type parameters, source text (`inspect.getsource` shows it). A class: its names,
        metaclass, bases, layout, entries (a dict without what Python makes anew), registered subclasses, members of an enumeration.
        """
        if type(thing) is Function:
            return (
                ("function", thing.__name__, thing.__qualname__, thing.__module__, thing.__doc__),
                thing.__code__,
                self.globals_of(thing),
                thing.__defaults__,
                thing.__kwdefaults__,
                thing.__closure__,
                thing.__annotations__,
                thing.__dict__,
                getattr(thing, "__type_params__", ()),
                codes.text(thing.__code__),
            )
        if kinds.derives(type(thing), types.ModuleType):
            return local_modules.parts(thing, self.parts)
        members = tuple([(name, payload_of(member), state_of(member)) for name, member in members_of(thing)])
        return (
            ("class", name_of(thing), qualname_of(thing)),
            type(thing),
            bases_of(thing),
            layout_of(thing),
            entries_of(thing),
            registered_of(thing),
            members,
        )

    def globals_of(self, function):
        """Return None for the notebook's namespace, the name of the module whose they are, or a private dict."""
        found = function.__globals__
        main = sys.modules.get("__main__")
        if found is self.namespace or (type(main) is types.ModuleType and found is main.__dict__):
            return None
        name = found.get("__name__")
        if type(name) is str and _module_dictionary(name) is found:
            return name
        return found if "__spec__" not in found else _module_with(found) or found

    def lost(self, thing):
        """Return why a definition has no bytes, or None."""
        if type(thing) is Function:
            found = self.globals_of(thing)
            if type(found) is dict and found.get("__spec__") is not None:
                return "a function of a module that is no longer there"
            return None if codes.is_plain(thing.__code__) else "a function with changed code"
        if kinds.derives(type(thing), types.ModuleType):
            return "a module of the notebook's own"
        for kind in (type(thing),) + bases_of(thing):
            if not self.is_definition(kind) and class_name(kind) is None:
                return "a class made from %s, which no module holds" % name_of(kind)
        if "__class__" in dictionary_of(thing):  # only a class body can put it there
            return "a class that says that its instances are of another"
        if any([payload_of(member) is NO_PAYLOAD for _, member in members_of(thing)]):
            return "an enumeration of %s" % name_of(bases_of(thing)[0])
        return self._lost_by_metaclass(type(thing))

    def mentions(self, thing):
        """Return what a definition's own code mentions of the namespace (`reads.Mentions`); nothing for a library's code."""
        from kanoe_worker.track import reads

        if self.globals_of(thing) is not None if type(thing) is Function else not is_class(thing):
            return reads.Mentions()
        found = reads.Mentions() if type(thing) is not Function else reads.mentions_of_code(thing.__code__)
        annotations = thing.__annotations__ if type(thing) is Function else dictionary_of(thing).get("__annotations__")
        for text in annotations.values() if type(annotations) is dict else ():
            if type(text) is str:  # who evaluates it looks up what it names
                found.read_text(text, True)
        return found

    def _find_member(self, token):
        _, reference, name = token.split(":", 1)[0], token[7:].rsplit(":", 1)[0], token.rsplit(":", 1)[1]
        kind = self.find(reference)
        if kind is None:
            return None
        for known, member in members_of(kind):
            if known == name:
                return member
        return kind(int(name[1:])) if name.startswith("=") else None  # a combination of flags that nobody made yet

    def _forget(self, reference, dead):
        if self._things.get(reference) is dead:
            del self._things[reference]

    def _lost_by_metaclass(self, metaclass):
        if metaclass is type:
            return None
        name = "%s.%s" % (_module_name_of(metaclass), name_of(metaclass))
        if name in _PLAIN_METACLASSES:
            return None
        if any(["mro" in dictionary_of(kind) for kind in mro_of(metaclass) if kind is not type]):
            return "a class whose metaclass orders its bases"
        if name not in self._metaclasses:
            try:
                type.__new__(metaclass, "_", (), {})
            except TypeError:
                self._metaclasses[name] = "a class that only C can make (%s)" % name
            else:
                self._metaclasses[name] = None
        return self._metaclasses[name]

    def _first_sight(self, thing):
        """Return bytes of what a definition is when it is first seen: its code and what is simple of its values."""
        if type(thing) is Function:
            values = [_contents(cell) for cell in thing.__closure__ or ()]
            values.extend(thing.__defaults__ or ())
            return codes.digestible(thing.__code__) + _simple(values)
        names = [class_name(kind) or (self.is_definition(kind) and self.reference(kind)) for kind in bases_of(thing)]
        entries = [marshal.dumps((qualname_of(thing), str(names)), _MARSHAL)]
        for name, value in sorted(entries_of(thing).items()):
            code = getattr(value, "__code__", None) if type(value) is Function else None
            entries.append(
                marshal.dumps(name, _MARSHAL) + (codes.digestible(code) if code is not None else _simple([value]))
            )
        return b"".join(entries)


def _is_of_namedtuple(space):
    """Return whether a function's names are those in which Python makes the `__new__` of every named tuple."""
    name = space.get("__name__") if type(space) is dict else None
    return type(name) is str and name.startswith("namedtuple_")


def is_class(thing):
    """Return whether something is a class; asks its type only."""
    return bool(_flags_of(type(thing)) & _TYPE)


def is_among(kind, kinds):
    """Return whether a class is one of some: `in` would ask their metaclasses whether they are equal."""
    for other in kinds:
        if other is kind:
            return True
    return False


def library_name(thing):
    """Return the module and qualified name under which a library holds a function or class, or None."""
    if type(thing) is Function:
        module, qualname = thing.__module__, thing.__qualname__
    else:
        module, qualname = _module_name(thing), qualname_of(thing)
    if type(module) is not str or module == "__main__":
        return None
    return (module, qualname) if held(module, qualname) is thing else None


def class_name(kind):
    """Return the module and qualified name under which any module holds a class, or None."""
    found = library_name(kind)
    if found is not None:
        return found
    for module in (_module_name(kind), "types", "builtins"):
        dictionary = _module_dictionary(module)
        for name in sorted(dictionary) if module != "__main__" else ():
            if dictionary[name] is kind:
                return (module, name)
    return None


def held(module, qualname):
    """Return what a loaded module holds under a qualified name, or None: see `kinds.held`."""
    if kinds.originals and (module, qualname) in kinds.originals:
        return kinds.originals[module, qualname]
    dictionary = _module_dictionary(module)
    found = None
    for name in qualname.split("."):
        found = dictionary.get(name)
        dictionary = dictionary_of(found) if is_class(found) else {}
    return found


def member_name(member):
    """Return how an enumeration knows its member: `RED`, or `=6` for a combination of flags; None for a stranger."""
    entries = dictionary_of(type(member))
    state = state_of(member)
    name, value = state.get("_name_"), state.get("_value_")
    if type(name) is str and entries.get("_member_map_", {}).get(name) is member:
        return name
    if type(value) is int and entries.get("_value2member_map_", {}).get(value) is member:
        return "=%d" % value
    return None


def members_of(kind):
    """Return the members of an enumeration, combinations of flags too, as pairs of a name (see `member_name`) and the member."""
    if type(kind) is type or not is_among(_EnumMeta, mro_of(type(kind))):
        return []
    entries = dictionary_of(kind)
    found = {}
    for table in ("_member_map_", "_value2member_map_"):
        for member in list(entries.get(table, {}).values()):
            name = member_name(member) if type(member) is kind else None
            if name is not None:
                found.setdefault(name, member)
    return list(found.items())


def layout_of(kind):
    """Return the slots of a class, sorted, or None where it has none of its own; and whether it has a dictionary of its own."""
    entries = dictionary_of(kind)
    slots = [name for name, value in entries.items() if type(value) is _Member and value.__objclass__ is kind]
    if "__slots__" not in entries and not slots:
        return None
    return tuple(sorted(slots) + [name for name in ("__dict__", "__weakref__") if type(entries.get(name)) is _GetSet])


def entries_of(kind):
    """Return the dictionary of a class without what Python makes anew; first what every class has and nobody can delete."""
    entries = dict(dictionary_of(kind))
    found = {name: entries[name] for name in FIXED if name in entries}
    for name, value in entries.items():
        if name in _MADE or (name in _MADE_BY_OLD_PYTHON and sys.version_info < (3, 7)):
            continue
        if type(value) is _Member and value.__objclass__ is kind:
            continue
        if name == "__firstlineno__":
            value = Line(value)
        elif name == "__static_attributes__" and type(value) is tuple:
            value = tuple(sorted(value))  # a set's order
        found[name] = value
    return found


def registered_of(kind):
    """Return the classes that were registered with an abstract class, by name."""
    entries = dictionary_of(kind)
    if "_abc_impl" in entries:
        import _abc

        found = [reference() for reference in _abc._get_dump(kind)[0]]
    elif "_abc_registry" in entries and sys.version_info < (3, 7):
        found = [reference() for reference in entries["_abc_registry"].data]
    else:
        return ()
    return tuple(
        sorted([item for item in found if item is not None], key=lambda item: (_module_name(item), qualname_of(item)))
    )


NO_PAYLOAD = ("no payload",)
_PAYLOADS = (
    (int, int.__int__),
    (str, str.__str__),
    (float, float.__float__),
    (bytes, lambda member: bytes.__getitem__(member, slice(None))),
    (tuple, lambda member: tuple.__getitem__(member, slice(None))),
)


def payload_of(member):
    """Return what a member holds as an instance of a built-in type: `(type's name, value)`, or None."""
    for kind, read in _PAYLOADS:
        if is_among(kind, mro_of(type(member))):
            value = read(member)
            return (kind.__name__, value) if _simple([value]) else NO_PAYLOAD
    try:
        object.__new__(type(member))
    except TypeError:
        return NO_PAYLOAD
    return None


def state_of(member):
    """Return the dictionary of a member."""
    return object.__getattribute__(member, "__dict__")


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _simple(values):
    """Return bytes of the values that are simple, or of tuples of such; of others nothing."""
    kept = [
        value
        for value in values
        if id(type(value)) in SIMPLE or (type(value) is tuple and SIMPLE.issuperset(map(id, map(type, value))))
    ]
    return marshal.dumps(tuple(kept), _MARSHAL) if kept else b""


def _readable(thing):
    name = (thing.__qualname__ if type(thing) is Function else qualname_of(thing)).split("<locals>.")[-1]
    return "".join([letter for letter in name if letter.isalnum() or letter in "._"])[:80] or "unnamed"


def _module_name(kind):
    module = dictionary_of(kind).get("__module__") if _flags_of(kind) & _HEAP else _module_name_of(kind)
    return module if type(module) is str else ""


def _module_dictionary(name):
    module = sys.modules.get(name) or sys.modules.get(_SAME.get(name))
    return (
        module_dictionary_of(module) if module is not None and is_among(types.ModuleType, mro_of(type(module))) else {}
    )


def _module_with(dictionary):
    """Return the name of the module that a dict belongs to: some call themselves by the name of another."""
    for name in sorted(sys.modules):
        if _module_dictionary(name) is dictionary:
            return name
    return None


def _made_by_python(kind):
    """Return whether a class statement, or `type(...)`, made a class; what C made has descriptors of C."""
    if not _flags_of(kind) & _HEAP:
        return False
    for name, value in dict(dictionary_of(kind)).items():
        if type(value) in _C_DESCRIPTORS and value.__objclass__ is kind:
            return False
        if type(value) is _GetSet and name not in _MADE and value.__objclass__ is kind:
            return False
        if name == "__new__" and type(value) is _BuiltinFunction and value.__self__ is kind:
            return False
    return True


def _is_old_generic(thing):
    """Return whether something is `List[int]` of Python 3.6, a class that `typing` made."""
    return name_of(type(thing)) == "GenericMeta" and dictionary_of(thing).get("__origin__") is not None


def _remember(table, thing, value):
    key = id(thing)

    def forget(dead):
        if key in table and table[key][0] is dead:
            del table[key]

    table[key] = (weakref.ref(thing, forget), value)
