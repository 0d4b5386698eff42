"""Takes an object's graph apart into flat records that say its value.

The records are plain data (exact builtins), one after another, in an order that depends on the value alone. An object with an
identity (a list, an instance) gets a number where it is first met; where it is met again stands its number, so sharing and cycles
count. Values without one (a tuple, a dtype) get a number by content, so it does not matter which of two equal ones stands where.

An *item* in a record is an atom (None, bool, int, float, complex, str, bytes, Ellipsis) as it is, or `(number,)`. The records:

    (m, data)                 new: lists, dicts, tuples of atoms in any depth, none of them met twice; by marshal
    (M, blob)                 new: the same, large
    (l,) (L, n, items)        new: a list; list n gets its items. Likewise d: dict (items in pairs), s: set, k: a closure's cell
    (t, items)                value: a tuple. Likewise f: frozenset
    (y, data)                 new: a bytearray;  (Y, blob)  value: many bytes;  (T, blob)  value: long text
    (g, module, qualname)     value: what a library's module holds under a name;  (z, name)  a module
    (x, token)                value: a definition, or what belongs to one
    (o, class, content)       new: an instance;  (O, n, dict, slots, content)  gets what it holds
    (c, function, arguments)  new: what the call returns;  (C, n, state, items, pairs, setter)  gets its state
    (v, ...)                  value: the same, for types whose instances never change
    (a, k)                    new: array k of the table of arrays
    (e, shape, order, dtype)  new: an array of objects; (E, n, items);  (w, base, shape, strides, offset)  a view of one
    (S, blob)                 content of a column of strings, for E
    (n, dtype, data)          value: a scalar of numpy
    (b, blob)  (B, blob)      value: foreign memory: of a PickleBuffer, of Arrow; the bytes themselves where they are few
    (!, type, why, mark)      new: what cannot be kept
"""

import copy
import copyreg
import gc
import itertools
import marshal
import sys
import types

from kanoe_worker.track import arrays, definitions, digest, guard, kinds, local_modules, savers
from kanoe_worker.track.plain import __builtins__  # noqa: F401

VERSION = 2  # of marshal: the last one that marks no interned or shared objects
_ATOMS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_ATOM_IDS = frozenset(map(id, _ATOMS))
_PLAIN_IDS = frozenset(map(id, (list, dict, tuple)))
_MUTABLE_IDS = frozenset(map(id, (list, dict)))
_SEALED_IDS = frozenset(map(id, (bool, int, float, complex, str, bytes)))  # their hash is the same in every process
_SHORT_IDS = frozenset(map(id, (type(None), bool, int, float, complex, type(Ellipsis))))
_TEXT_ID = id(str)
_TEXT_IDS = frozenset(map(id, (str, bytes)))
_LONG = 1 << 16
_DEPTH = 60
_EFFORT = 100000  # records written to order the elements of a set
_MANY = 10000
_INSIDE = 1 << 13  # foreign memory up to this size lies in the records
_ELEMENTS = 1 << 24
_ENDLESS = {}  # by the id of a type: the type, why its instances cannot be taken apart
_PROTOCOL = 5 if sys.version_info >= (3, 8) else 4
_CELL = definitions.Cell
_NAMED = {id(type(None)): "NoneType", id(type(Ellipsis)): "ellipsis", id(type(NotImplemented)): "NotImplementedType"}

# Types whose instances never change (but for names of an Index, see groups.py): sharing one is not seen.
_VALUES = {
    "datetime": None,
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "pathlib": None,
    "pathlib._local": None,
    "re": None,
    "_sre": None,
    "builtins": ("range", "slice"),
    "pytz": None,
    "pytz.tzfile": None,
    "zoneinfo": None,
    "dateutil.tz.tz": None,
    "pyarrow.lib": None,
}


# Whether the notebook gives an index another name in place, which all see that hold the same object.
named_indexes = False
_PANDAS_VALUES = frozenset(["Timestamp", "Timedelta", "Period", "Interval", "BlockPlacement"])


class Conflict(Exception):  # noqa: N818 - a signal
    """Something inside plain data that was written as one is met from outside."""


class Blob(object):
    """Bytes that are too many for the records.

    Attributes:
        kind: how they are written: `marshal` (an object), `bytes`, `memory` (an address).
        content: object, bytes, or `(address, size, owner)`.
        digest: hash of the value.
        size: about how many bytes it takes.
    """

    __slots__ = ("content", "digest", "kind", "size")

    def __init__(self, kind, content, value, size):
        self.kind = kind
        self.size = size
        self.content = content
        self.digest = value


class Walk(object):
    """What is known of one graph.

    Attributes:
        records, items: the graph; the items are the roots.
        blobs: list of Blob.
        arrays: list of arrays.Array.
        segments: list of arrays.Segment, once `arrays.settle` has been called.
        ids: of its objects with an identity, by their numbers.
        needs: references of definitions, directly referred to.
        definitions: by reference.
        lost: list of reasons.
        differs: whether what is stored is more than what is hashed.
        reached: ids of what objects that cannot be looked into may change.
        calls: types that their own code took apart, by their ids: a metaclass may hash as it likes.
        sets: whose order counts: that of exact atoms is the same in every process.
        alive: keeps what was made on the way.
        numbers: of all that has one in the records, by its id.
        apart: ids of what objects hold that are kept without showing it: nothing else may hold the same, or it is `torn`.
    """

    def __init__(self):
        self.records, self.items = [], []
        self.blobs, self.arrays, self.segments = [], [], []
        self.ids = {}
        self.numbers = {}
        self.definitions = {}
        self.lost = []
        self.differs = False
        self.calls = {}
        self.alive = []
        self.reached = set()
        self.sets = []
        self.apart = set()
        self.torn = False

    def of(self, things):
        """Return the walk of objects that were all met in this one, in their order."""
        walk = copy.copy(self)
        walk.items = [(self.numbers[id(thing)],) for thing in things]
        return walk

    def own_hash(self):
        """Return the hash of the value."""
        table = [array.entry() for array in self.arrays]
        data = marshal.dumps(
            [
                self.items,
                self.records,
                table,
                [segment.value() for segment in self.segments],
                [blob.digest for blob in self.blobs],
            ],
            VERSION,
        )
        return digest.of_parts("value", data)


class Atom(object):
    """The walk of one atom: much of a notebook is no more."""

    records = blobs = arrays = segments = lost = sets = ()
    ids = numbers = definitions = calls = {}
    reached = apart = frozenset()
    differs = torn = False

    __slots__ = ("items", "own")

    def __init__(self, thing):
        self.items = [thing]
        self.own = digest.of_parts("atom", marshal.dumps(thing, VERSION))


def is_atom(thing):
    """Return whether something has no parts."""
    return id(type(thing)) in _ATOM_IDS


class _Frame(object):
    """An object whose parts are being walked."""

    __slots__ = ("finish", "items", "parts")

    def __init__(self, parts, finish):
        self.parts = iter(parts)
        self.items = []
        self.finish = finish


class Walker(object):
    """Walks graphs.

    Args:
        known: definitions.Definitions.
        memory: digest.Memory.
        known_columns: columns.Columns.
        watch: guard.Guard, entered.
        mark: called without arguments, tells a new text for each object that cannot be kept.
    """

    def __init__(self, known, memory, known_columns, watch, mark):
        self._definitions = known
        self._memory = memory
        self.columns = known_columns
        self._guard = watch
        self._mark = mark
        self._routes, self._plans = {}, {}
        self._traits = {}
        self.telling = set()  # ids of objects whose own state is being walked
        self.quiet = False
        self._tokens = {}
        self._storing = False
        self._walked = []  # every result, also of what was given up: the memory that was hashed for it is not used again
        self._ordering = False  # only to find out how a set's elements follow one another: sets in them are not entered

    def walk(self, roots, tokens=None, storing=False):
        """Return the Walk of some objects together, in their order.

        Args:
            roots: a list.
            tokens: `{id: token}` of objects that stand for themselves.
            storing: whether it is to be stored, not only hashed.
        """
        self._tokens = tokens or {}
        self._storing = storing
        try:
            try:
                return self._walk(roots, True)
            except Conflict:
                return self._walk(roots, False)
        except KeyboardInterrupt:
            raise
        except Exception as problem:
            return self._given_up(roots, problem)

    def _given_up(self, roots, problem):
        """Return the walk of objects that broke whoever looked at them."""
        self._result = found = Walk()
        found.lost.append("%s: %s" % (kinds.described(type(roots[0])) if roots else "nothing", type(problem).__name__))
        found.items = [self._mark()]
        try:
            self._reach(roots)
        except Exception:
            found.alive.append(problem)
        return found

    def walk_definition(self, reference, thing):
        """Return the Walk of what a definition holds."""
        try:
            parts = self._definitions.parts(thing)
        except Exception as problem:
            parts = ("!", type(problem).__name__)
        walk = self.walk([parts])
        walk.alive.append(parts)
        space = self._definitions.globals_of(thing) if type(thing) is types.FunctionType else None
        if type(space) is str and space in local_modules.loaded:
            module = local_modules.loaded[space]
            walk.definitions[self._definitions.reference(module)] = module
        return walk

    def _walk(self, roots, deep):
        self._deep = deep
        self._result = Walk()
        self._walked.append(self._result)
        self._numbers = {}
        self._contents = {}
        self._interior = set()
        self._count = 0
        self._wasted = 0
        self._open = set()
        self.telling = set()
        self.quiet = False
        try:
            self._result.items = [self._run(root) for root in roots]
            arrays.settle(self._result, self._memory)
            self._result.numbers = self._numbers
            return self._result
        finally:
            self._numbers = self._contents = self._interior = None
            self._result, result = None, self._result
            del result

    def _run(self, root):
        found = self._enter(root)
        if type(found) is not _Frame:
            return found
        stack = [found]
        while True:
            frame = stack[-1]
            items = frame.items
            for part in frame.parts:
                kind = id(type(part))
                if kind in _SHORT_IDS or (kind == _TEXT_ID and len(part) <= _LONG):  # most parts of most things
                    items.append(part)
                    continue
                found = self._enter(part)
                if type(found) is _Frame:
                    stack.append(found)
                    break
                items.append(found)
            else:
                found = frame.finish(items)
                if type(found) is _Frame:
                    stack[-1] = found
                    continue
                stack.pop()
                if not stack:
                    return found
                stack[-1].items.append(found)

    def _enter(self, thing):
        kind = type(thing)
        if id(kind) in _ATOM_IDS:
            if (kind is str or kind is bytes) and len(thing) > _LONG:
                return self._long(thing, kind)
            return thing
        key = id(thing)
        number = self._numbers.get(key)
        if number is not None:
            return (number,)
        if key in self._interior:
            raise Conflict()
        if key in self._tokens:
            return self._value(("x", self._tokens[key]), thing)
        visit = _VISITS.get(id(kind))
        return visit(self, thing) if visit is not None else self._enter_other(thing, kind)

    # Numbers

    def _new(self, thing, record):
        """Give an object with an identity its number."""
        number = self._count
        self._count += 1
        self._numbers[id(thing)] = number
        if not self.quiet:
            self._result.ids.setdefault(id(thing), len(self._result.ids))
        self._result.records.append(record)
        return number

    def _value(self, record, thing=None):
        """Give a value its number, or that of an equal one."""
        if local_modules.loaded and record[0] in ("g", "z") and record[1] in local_modules.loaded:
            module = local_modules.loaded[record[1]]
            self._result.definitions[self._definitions.reference(module)] = module
        key = marshal.dumps(record, VERSION)
        number = self._contents.get(key)
        if number is None:
            number = self._contents[key] = self._count
            self._count += 1
            self._result.records.append(record)
        if thing is not None:
            self._numbers[id(thing)] = number
            self._result.alive.append(thing)
        return (number,)

    def _blob(self, kind, content, value, size):
        self._result.blobs.append(Blob(kind, content, value, size))
        return len(self._result.blobs) - 1

    def _lost(self, thing, why, shared=None):
        kind = type(thing)
        name = kinds.described(kind)
        self._result.lost.append(why)
        self._result.alive.append(thing)
        number = self._new(thing, ("!", name, why, self._mark()))
        if shared is None:
            self._reach([thing])
        else:
            self._result.reached.update(map(id, [thing] + list(self._guard.call(shared, thing))))
        return (number,)

    def _reach(self, things):
        """Note all that an object which cannot be looked into may change."""
        if not things:
            return
        found, needed = arrays.reachable(things, self._definitions)
        self._result.reached.update(found)
        for thing in needed:
            self._result.definitions[self._definitions.reference(thing)] = thing

    # Builtin types

    def _long(self, thing, kind):
        data = thing if kind is bytes else thing.encode("utf-8", "surrogatepass")
        tag = "Y" if kind is bytes else "T"
        value = digest.of_parts(tag, data)
        key = (tag, value)
        number = self._contents.get(key)
        if number is None:
            number = self._contents[key] = self._count
            self._count += 1
            self._result.records.append((tag, self._blob("bytes", data, value, len(data))))
        return (number,)

    def foreign(self, tag, buffer, owner):
        """Return the item of memory that belongs to another library."""
        size = buffer.nbytes if tag == "b" else buffer.size
        address = arrays.address_of(buffer) if tag == "b" else buffer.address
        if size <= _INSIDE:
            return self._value((tag, bytes(digest.view(address, size)) if size else b""), owner)
        value = self._memory.digest(address, size)
        self._result.alive.append(buffer)
        key = (tag, value)
        number = self._contents.get(key)
        if number is None:
            number = self._contents[key] = self._count
            self._count += 1
            self._result.records.append((tag, self._blob("memory", (address, size), value, size)))
        return (number,)

    def _enter_plain(self, thing):
        """A list, tuple or dict."""
        data = self._plain(thing)
        kind = type(thing)
        if data is not None:
            if len(data) <= _LONG:
                record = ("m", data)
            else:
                record = ("M", self._blob("marshal", thing, digest.of_parts("plain", data), len(data)))
            if kind is tuple:
                return self._value(record, thing)
            return (self._new(thing, record),)
        if kind is tuple:
            return _Frame(thing, lambda items: self._value(("t", items), thing))
        if kind is list:
            number = self._new(thing, ("l",))
            return _Frame(list(thing), lambda items: self._fill("L", number, items))
        number = self._new(thing, ("d",))
        return _Frame(_flat(thing), lambda items: self._fill("D", number, items))

    def _fill(self, tag, number, items):
        self._result.records.append((tag, number, items))
        return (number,)

    def _plain(self, thing):
        """Return the marshalled form of exact lists, dicts, tuples and atoms; None where there is more, or sharing, or a cycle."""
        level, total, inside, distinct = [thing], 0, [], {id(thing)}
        for _ in range(_DEPTH):
            below = gc.get_referents(*level)
            total += len(below)
            types_below = set(map(id, map(type, below)))
            if types_below <= _ATOM_IDS:
                break
            if not self._goes_deep(types_below - _ATOM_IDS, total):
                return self._wasteful(total)
            level = list(itertools.compress(below, map(_PLAIN_IDS.__contains__, map(id, map(type, below)))))
            if len(level) > _MANY and len(set(map(id, level))) * 8 < len(level):  # tuples of tuples, each held by many
                return self._wasteful(total)
            if not types_below.isdisjoint(_MUTABLE_IDS):
                found = (
                    list(map(id, level))
                    if id(tuple) not in types_below
                    else [id(one) for one in level if type(one) is not tuple]
                )
                inside += found
                distinct.update(found)
                if len(distinct) != len(inside) + 1:
                    return self._wasteful(total)
        else:
            return self._wasteful(total + 1000)
        return self._closed(thing, inside, distinct, total) if inside else self._dumped(thing)

    def _closed(self, thing, inside, distinct, total):
        """Return the marshalled form of something with lists and dicts in it, None where these are met from elsewhere too."""
        if type(thing) is tuple:  # it may be met again as another, equal one
            return self._wasteful(0)
        numbers = self._numbers
        if not distinct.isdisjoint(self._interior) or not numbers.keys().isdisjoint(inside):
            return self._wasteful(total)
        data = self._dumped(thing)
        if data is not None:
            self._interior.update(inside)
            ids = self._result.ids
            ids[id(thing)] = len(ids)
            ids.update(zip(inside, itertools.count(len(ids))))
        return data

    def _goes_deep(self, containers, total):
        return self._deep and containers <= _PLAIN_IDS and total < _ELEMENTS and self._wasted < 10000 + 8 * self._count

    def _wasteful(self, total):
        self._wasted += total

    def _dumped(self, thing):
        try:
            return marshal.dumps(thing, VERSION)
        except (ValueError, MemoryError, OverflowError):
            return None

    def _enter_set(self, thing):
        elements = list(thing)
        frozen = type(thing) is frozenset
        if _are_sealed(elements):
            self._result.sets.append(thing)
            if frozen:
                return self._value(("f", "o", elements), thing)
            return (self._new(thing, ("so", elements)),)
        parts = [len(elements)] if self._ordering else self._in_order(elements)
        if frozen:
            return _Frame(parts, lambda items: self._value(("f", "u", items), thing))
        number = self._new(thing, ("s",))
        return _Frame(parts, lambda items: self._fill("Su", number, items))

    def _in_order(self, elements):
        """Return a set's elements in an order that depends on their values; those that look alike stay as they lie."""
        keyed = []
        effort = _EFFORT
        for element in elements:
            if id(type(element)) in _ATOM_IDS:
                key = "0" + marshal.dumps(element, VERSION).hex()
            elif effort > 0:
                walker = Walker(self._definitions, self._memory, self.columns, self._guard, str)
                walker._routes, walker._plans, walker._traits = self._routes, self._plans, self._traits
                walker._walked, walker._ordering = self._walked, True
                walked = walker._walk([element], False)
                effort -= len(walked.records)
                key = "1" + walked.own_hash()
            else:
                key = "2"
            keyed.append((key, len(keyed)))
        return [elements[position] for _, position in sorted(keyed)]

    def _enter_bytearray(self, thing):
        return (self._new(thing, ("y", bytes(thing))),)

    def _enter_cell(self, thing):
        number = self._new(thing, ("k",))
        try:
            content = [thing.cell_contents]
        except ValueError:
            content = []
        return _Frame(content, lambda items: self._fill("K", number, items))

    # What has a name

    def _enter_type(self, thing):
        if id(thing) in _NAMED:
            return self._value(("g", "builtins", _NAMED[id(thing)]), thing)
        if self._definitions.is_definition(thing):
            return self._definition(thing)
        name = definitions.class_name(thing)
        if name is not None:
            return self._value(("g",) + name, thing)
        saver = savers.find(thing)
        if saver is not None:
            return self._saved(thing, saver)
        if type(thing) is not type:
            return self._reduced(thing)
        return self._lost(thing, "the class %s, which no module holds" % kinds.described(thing))

    def _definition(self, thing):
        reference = self._definitions.reference(thing)
        self._result.definitions[reference] = thing
        return self._value(("x", reference), thing)

    def _enter_function(self, thing):
        if self._definitions.is_definition(thing):
            return self._definition(thing)
        module, name = thing.__module__, thing.__qualname__
        if type(module) is str and kinds.held(module, name) is thing:
            return self._value(("g", module, name), thing)
        return self._lost(thing, "the function %s, which no module holds" % name)

    def _enter_builtin(self, thing):
        owner = thing.__self__
        if owner is None or type(owner) is types.ModuleType:
            module = thing.__module__ if type(thing.__module__) is str else "builtins"
            name = thing.__qualname__
            if kinds.held(module, name) is thing:
                return self._value(("g", module, name), thing)
            return self._lost(thing, "the function %s, which no module holds" % name)
        return _Frame([getattr, (owner, thing.__name__)], lambda items: self._made(thing, "c", items))

    def _enter_method(self, thing):
        return _Frame([types.MethodType, (thing.__func__, thing.__self__)], lambda items: self._made(thing, "c", items))

    def _made(self, thing, tag, items):
        return (self._new(thing, (tag, items[0], items[1])),)

    def _enter_module(self, thing):
        name = types.ModuleType.__dict__["__dict__"].__get__(thing).get("__name__")
        if type(name) is str and (sys.modules.get(name) is thing or name == "__main__"):
            return self._value(("z", name), thing)
        return self._lost(thing, "a module that is not the one of its name")

    # Everything else

    def _enter_other(self, thing, kind):
        known = self._routes.get(id(kind))
        if known is None:
            known = self._routes[id(kind)] = (self._route(kind), kind)
        return known[0](self, thing, kind)

    def _route(self, kind):
        """Return how all instances of a type are entered; where they are not all alike, each is asked."""
        if type(kind) is not type or kinds.is_type(kind) or kinds.derives(kind, types.ModuleType):
            return Walker._enter_any
        if savers.may_need(kind):
            return Walker._enter_any
        if arrays.is_array(kind):
            return arrays.enter
        return Walker._enter_any if arrays.may_enter(kind) else self._by_plan(kind)

    def _by_plan(self, kind):
        known = self._plans.get(id(kind))
        if known is None:
            plan = kinds.plan(kind, self._definitions.is_definition)
            way = (
                (lambda walker, thing, _: walker._instance(thing, plan))
                if plan.raw and not arrays.is_asked(kind)
                else Walker._reduced
            )
            known = self._plans[id(kind)] = (way, kind)
        return known[0]

    def _enter_any(self, thing, kind):
        if kinds.is_type(kind):
            return self._enter_type(thing)
        if kinds.derives(kind, types.ModuleType):
            return self._enter_module(thing)
        if type(kind) is not type:
            token = self._definitions.token(thing)
            if token is not None:
                self._definition(self._definitions.owner(thing))
                return self._value(("x", token), thing)
        saver = savers.find(thing)
        if saver is not None:
            return self._saved(thing, saver)
        found = arrays.enter(self, thing, kind)
        if found is not None:
            return found
        return self._by_plan(kind)(self, thing, kind)

    def _saved(self, thing, saver):
        if saver.lost is not None:
            return self._lost(thing, saver.lost, saver.reach)
        form = saver.pack if self._storing else saver.canonical
        if saver.canonical is not saver.pack:
            self._result.differs = True
        try:
            packed = self._asked(form, thing)
            around = list(self._guard.call(saver.reach, thing))
        except guard.Failed as problem:
            return self._lost(
                thing, "%s: %s" % (kinds.described(type(thing)), problem), saver.reach if saver.alone else None
            )
        self._result.alive += [packed, thing]
        self._result.calls[id(type(thing))] = type(thing)
        if saver.alone:
            shared = set(map(id, around))
            self._result.torn = self._result.torn or not shared.isdisjoint(self._result.apart)
            self._result.apart |= shared
            self._result.reached |= shared
        elif around:
            self._reach(around)
        if saver.leaf:
            return _Frame([saver.unpack, (packed,)], lambda items: self._value(("v", items[0], items[1]), thing))
        return _Frame([saver.unpack, (packed,)], lambda items: self._made(thing, "c", items))

    def _asked(self, function, thing, *more):
        """Return how a type's own code takes an instance apart; what did not end once is not asked again."""
        kind = type(thing)
        if id(kind) in _ENDLESS:
            raise guard.Endless(_ENDLESS[id(kind)][1])
        try:
            return self._guard.call(function, thing, *more)
        except guard.Endless as problem:
            _ENDLESS[id(kind)] = kind, str(problem)
            raise

    def _instance(self, thing, plan):
        """An instance of a class written in Python: what it holds, as it lies there."""
        content = _CONTENTS[plan.base](thing)
        frozen = plan.base in kinds.FROZEN_BASES
        if id(thing) in self._open:
            return self._lost(thing, "%s, which is part of its own making" % kinds.described(type(thing)))
        self._open.add(id(thing))

        def made(items):
            self._open.discard(id(thing))
            number = self._new(thing, ("o", items[0], items[1] if frozen else None))
            return _Frame(
                self._state(thing, plan, None if frozen else content), lambda rest: self._fill("O", number, rest)
            )

        return _Frame([type(thing), content if frozen else None], made)

    def _state(self, thing, plan, content):
        try:
            dictionary = None if plan.dictionary is None else plan.dictionary.__get__(thing)
        except AttributeError:
            dictionary = None
        yield dictionary
        if plan.slots:
            filled = []
            for name, descriptor in plan.slots:
                try:
                    filled += [name, descriptor.__get__(thing)]
                except AttributeError:
                    pass
            yield tuple(filled)
        else:
            yield None
        if content is not None:
            self._result.alive.append(content)
        yield content

    def _traits_of(self, kind):
        """Return whether a type's instances never change, share memory without seeing it, and need what they tell adjusted."""
        known = self._traits.get(id(kind))
        if known is None:
            traits = (_is_value(kind), arrays.is_quiet(kind), arrays.is_adjusted(kind))
            known = self._traits[id(kind)] = (traits, kind)
        return known[0]

    def _called(self, thing, found):
        """Give an object its number that a call makes."""
        if named_indexes and _is_index(*kinds.type_name(type(thing))):
            self._result.ids.setdefault(id(thing), len(self._result.ids))
        return self._new(thing, ("c", found[0], found[1]))

    def _parts(self, thing, kind, special):
        """Return what a class tells of how an instance is made; a text where that is its name."""
        reduced = self._asked(_reduce, thing, kind)
        if type(reduced) is str:
            return reduced
        self._result.alive.append(reduced)
        parts = _checked(reduced)
        return self._guard.call(arrays.adjusted, thing, kind, parts) if special else parts

    def _reduced(self, thing, _kind=None):
        """An instance that its own class takes apart."""
        kind = type(thing)
        if id(thing) in self._open:
            return self._lost(thing, "%s, which is part of its own making" % kinds.described(kind))
        value, quiet, special = self._traits_of(kind)
        try:
            parts = self._parts(thing, kind, special)
            if type(parts) is str:
                return self._value(("g", _module_of_global(thing, parts), parts), thing)
        except guard.Failed as problem:
            return self._lost(thing, "%s: %s" % (kinds.described(kind), problem))
        self._result.alive += [thing, parts]
        self._result.calls[id(kind)] = kind
        self._open.add(id(thing))
        function, arguments, state, items, pairs, setter = parts
        if quiet:
            self._reach(arrays.told(state))
        before = self.quiet
        inside = before or quiet
        self.quiet = inside
        self.telling.add(id(thing))

        def made(found):
            self._open.discard(id(thing))
            self.telling.discard(id(thing))
            self.quiet = before
            if value and state is None and items is None and pairs is None:
                return self._value(("v", found[0], found[1]), thing)
            number = None if value else self._called(thing, found)
            if state is None and items is None and pairs is None:
                return (number,)
            self.quiet = inside
            self.telling.add(id(thing))

            def filled(rest):
                self.telling.discard(id(thing))
                self.quiet = before
                if value:
                    return self._value(("v", found[0], found[1]) + tuple(rest[:3]), thing)
                return self._fill("C", number, rest)

            return _Frame([state, items, pairs, setter], filled)

        return _Frame([function, arguments], made)


def _are_sealed(elements):
    """Return whether the order of a set of these depends on nothing but the set's own history."""
    types_inside = set(map(id, map(type, elements)))
    if not types_inside <= _SEALED_IDS:
        return False
    return types_inside.isdisjoint(_TEXT_IDS) or all(
        [len(one) <= _LONG for one in elements if id(type(one)) in _TEXT_IDS]
    )


def _flat(dictionary):
    flat = [None] * (2 * len(dictionary))
    flat[::2] = dictionary.keys()
    flat[1::2] = dictionary.values()
    return flat


def _reduce(thing, kind):
    reducer = copyreg.dispatch_table.get(kind) if type(kind) is type else None
    if reducer is not None:
        return reducer(thing)
    reduced = thing.__reduce_ex__(_PROTOCOL)
    if type(reduced) is tuple:
        reduced = list(reduced) + [None] * (6 - len(reduced))
        if reduced[3] is not None:
            reduced[3] = list(reduced[3])
        if reduced[4] is not None:
            reduced[4] = [part for pair in reduced[4] for part in pair]
        return tuple(reduced)
    return reduced


def _checked(reduced):
    if type(reduced) is not tuple or len(reduced) < 2:
        raise guard.Failed("it does not say how it is made")
    reduced = tuple(reduced) + (None,) * (6 - len(reduced))
    if type(reduced[1]) is not tuple:
        raise guard.Failed("it does not say how it is made")
    return reduced


def _module_of_global(thing, name):
    module = getattr(thing, "__module__", None)
    if type(module) is str and kinds.held(module, name) is thing:
        return module
    for module in list(sys.modules):
        if module != "__main__" and kinds.held(module, name) is thing:
            return module
    raise guard.Failed("no module holds %s" % name)


def _is_index(module, name):
    return module.partition(".")[0] == "pandas" and name.endswith("Index")


def _is_value(kind):
    module, name = kinds.type_name(kind)
    if named_indexes and _is_index(module, name):
        return False
    if module.partition(".")[0] == "pandas" and (name in _PANDAS_VALUES or name.endswith(("Index", "Dtype"))):
        return True
    while module:
        names = _VALUES.get(module, ())
        if names is None or name in names:
            return True
        module = module.rpartition(".")[0]
    return False


def _exact(base):
    return {
        tuple: lambda thing: tuple(tuple.__iter__(thing)),
        frozenset: lambda thing: frozenset(frozenset.__iter__(thing)),
        int: lambda thing: int.__add__(thing, 0),
        float: float.__float__,
        complex: lambda thing: complex.__add__(thing, complex(-0.0, -0.0)),
        str: str.__str__,
        bytes: lambda thing: bytes(memoryview(thing)),
        list: lambda thing: list.__getitem__(thing, slice(None)),
        dict: lambda thing: [part for pair in dict.items(thing) for part in pair],
        set: lambda thing: list(set.__iter__(thing)),
        object: lambda _: None,
    }[base]


def _ordered_pairs(thing):
    import collections

    return [part for pair in collections.OrderedDict.items(thing) for part in pair]


_CONTENTS = {
    base: _exact(base) for base in (tuple, frozenset, int, float, complex, str, bytes, list, dict, set, object)
}
_CONTENTS[kinds.MUTABLE_BASES[3]] = _ordered_pairs

_VISITS = {
    id(list): Walker._enter_plain,
    id(tuple): Walker._enter_plain,
    id(dict): Walker._enter_plain,
    id(set): Walker._enter_set,
    id(frozenset): Walker._enter_set,
    id(bytearray): Walker._enter_bytearray,
    id(_CELL): Walker._enter_cell,
    id(type): Walker._enter_type,
    id(types.FunctionType): Walker._enter_function,
    id(types.BuiltinFunctionType): Walker._enter_builtin,
    id(types.MethodType): Walker._enter_method,
    id(types.ModuleType): Walker._enter_module,
}
