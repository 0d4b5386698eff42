"""Definitions made again in two steps, so that they may refer to themselves and each other: first empty shells, then what they hold.

To keep the definitions of a bundle (`members {reference: function or class}`, all definitions of one group):

    packed = shells.pack(definitions, members)
    packed.frames     {reference: plain data}: pickle this by itself, before the body: it needs no persistent ids
    packed.contents   pickle this in the body, with everything else of the bundle
    packed.tokens     {id: token}: `persistent_id` must answer these first, then `definitions.token(thing)`

Frames are plain data for `marshal`. They already hold what is simple (methods, simple defaults and attributes), so that instances can be
hashed and compared while bodies are read.

To make them again, together with those of all other bundles that are restored at once:

    objects = shells.make(definitions, frames)        # frames of all bundles in one dict -> {token: object}
    body = unpickle(...)                              # persistent_load: objects.get(token) or definitions.find(token)
    shells.fill(objects, contents)                    # of each bundle: before bodies of bundles without definitions are unpickled

For a trial in the same process, `make(definitions, frames, register=False)`: nobody learns of the copies. A shell's base that is not
in `frames` must be alive.
"""

import builtins
import contextlib
import sys
import types

from kanoe_worker.track import codes, definitions
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_INHERIT = "__init_subclass__"


class Packed(object):
    """A bundle's definitions in a form to pickle; see the module."""

    def __init__(self):
        self.frames, self.contents, self.tokens = {}, {}, {}


def pack(known, members):
    """Return the `Packed` form of definitions; raises ValueError with a reason where one is lost."""
    packed = Packed()
    for reference in sorted(members):
        thing = members[reference]
        reason = known.lost(thing)
        if reason is not None:
            raise ValueError(reason)
        packed.tokens[id(thing)] = reference
        if type(thing) is definitions.Function:
            _pack_function(known, packed, reference, thing)
        else:
            _pack_class(known, packed, reference, thing)
    return packed


def make(known, frames, register=True):
    """Return `{token: object}`: shells of all definitions; they are the living ones from now on, unless `register` is False."""
    maker = _Maker(known, frames)
    for reference in sorted(frames):
        maker.definition(reference)
    for reference in sorted(frames):
        for place, form in frames[reference][-1]:
            maker.put(reference, place, form)
    if register:
        for reference in frames:
            known.adopt(reference, maker.objects[reference])
    return maker.objects


def owner(token):
    """Return the definition that a token of `Packed.tokens` belongs to."""
    kind, _, rest = token.partition(":")
    if kind == "cell":
        return rest.rpartition(":")[0]
    return rest if kind == "globals" else token


def fill(objects, contents):
    """Give shells what they hold."""
    for token in contents:
        held = contents[token]
        thing = objects[token]
        kind = type(thing)
        if kind is definitions.Function:
            _fill_function(thing, held)
        elif kind is definitions.Cell:
            codes.set_cell(thing, held)
        elif kind is dict:
            held = dict(held, **{name: thing[name] for name in ("__builtins__",) if name in held})
            thing.clear()
            thing.update(held)
        else:
            _fill_class(objects, token, thing, held)


def _pack_function(known, packed, reference, thing):
    cells = []
    held = {}
    for place, cell in enumerate(thing.__closure__ or ()):
        token = packed.tokens.setdefault(id(cell), "cell:%s:%d" % (reference, place))
        cells.append(token)
        try:
            packed.contents[token] = cell.cell_contents
        except ValueError:
            pass  # empty: the function that fills it did not come so far
    space = known.globals_of(thing)
    builtins_there = None
    if type(space) is not str and space is not None:
        builtins_there = _builtins_form(space)
        token = packed.tokens.setdefault(id(space), "globals:%s" % reference)
        packed.contents[token] = {name: value if name != "__builtins__" else None for name, value in space.items()}
        space = (token,)
    held["names"] = (thing.__name__, thing.__qualname__, thing.__module__, thing.__doc__)
    held["defaults"] = (thing.__defaults__, thing.__kwdefaults__, thing.__annotations__, thing.__dict__)
    held["parameters"] = getattr(thing, "__type_params__", ())
    early = [(cell, _early(known, packed.contents[cell])) for cell in cells if cell in packed.contents]
    early.append(("defaults", _early(known, thing.__defaults__ or ())))
    early.extend(
        [("keyword " + name, _early(known, value)) for name, value in sorted((thing.__kwdefaults__ or {}).items())]
    )
    if type(space) is tuple:
        entries = [entry for entry in packed.contents[space[0]].items() if entry[0] != "__builtins__"]
        early.extend([("global " + name, _early(known, value)) for name, value in entries])
    early = [entry for entry in early if entry[1] is not None]
    packed.frames[reference] = (
        "function",
        thing.__name__,
        codes.pack(thing.__code__),
        space,
        builtins_there,
        tuple(cells),
        early,
    )
    packed.contents[reference] = held


def _early(known, value):
    """Return what is simple, or a definition, or made of such, as plain data; None for others."""
    kind = type(value)
    if id(kind) in definitions.SIMPLE:
        return ("value", value)
    if kind is tuple:
        return _early_parts(known, "tuple", value)
    if kind is property:
        return _early_parts(known, "property", (value.fget, value.fset, value.fdel))
    if kind is classmethod or kind is staticmethod:
        return _early_parts(known, kind.__name__, (value.__func__,))
    token = known.token(value)
    if token is not None:
        return ("token", token)
    if kind is types.BuiltinFunctionType and definitions.is_class(value.__self__):
        name = definitions.class_name(value.__self__)
        return None if name is None else ("method", (name, value.__name__))
    name = definitions.class_name(value) if definitions.is_class(value) else None
    return None if name is None else ("class", name)


def _early_parts(known, kind, values):
    forms = [_early(known, value) for value in values]
    return None if None in forms else (kind, forms)


def _builtins_form(space):
    if "__builtins__" not in space:
        return None
    found = space["__builtins__"]
    return "none" if type(found) is dict and not found else "module" if type(found) is types.ModuleType else "dict"


def _pack_class(known, packed, reference, thing):
    kinds = [_class_token(known, kind) for kind in (type(thing),) + definitions.bases_of(thing)]
    members = definitions.members_of(thing)
    states = {}
    frame_members = []
    for name, member in members:
        token = "member:%s:%s" % (reference, name)
        packed.tokens[id(member)] = token
        frame_members.append((name, definitions.payload_of(member)))
        states[name] = definitions.state_of(member)
    layout = definitions.layout_of(thing)
    entries = definitions.entries_of(thing)
    early = [("entry " + name, _early(known, value)) for name, value in entries.items()]
    for name, state in states.items():
        early.extend([("member %s %s" % (key, name), _early(known, value)) for key, value in state.items()])
    early = [entry for entry in early if entry[1] is not None]
    packed.frames[reference] = ("class", definitions.name_of(thing), kinds[0], kinds[1:], layout, frame_members, early)
    packed.contents[reference] = {
        "qualname": definitions.qualname_of(thing),
        "entries": entries,
        "registered": definitions.registered_of(thing),
        "members": states,
    }


def _class_token(known, kind):
    if known.is_definition(kind):
        return known.reference(kind)
    return definitions.class_name(kind)


class _Maker(object):
    """Makes shells: a class after its bases."""

    def __init__(self, known, frames):
        self._known = known
        self._frames = frames
        self.objects = {}

    def definition(self, token):
        """Return the shell, or the living definition, of a reference."""
        if token not in self.objects:
            frame = self._frames.get(token)
            if frame is None:
                found = self._known.find(token)
                if found is None:
                    raise LookupError("%s is not there" % token)
                return found
            self.objects[token] = (
                self._function(*frame[1:]) if frame[0] == "function" else self._class(token, *frame[1:])
            )
        return self.objects[token]

    def put(self, reference, place, form):
        """Put what is simple where it belongs."""
        thing, value = self.objects[reference], self._value(form)
        what, _, name = place.partition(" ")
        if what == "entry":
            type.__setattr__(thing, name, value)
        elif what == "member":
            key, _, name = name.partition(" ")
            definitions.state_of(self.objects["member:%s:%s" % (reference, name)])[key] = value
        elif what == "global":
            thing.__globals__[name] = value
        elif what == "defaults":
            thing.__defaults__ = value or None
        elif what == "keyword":
            thing.__kwdefaults__ = dict(thing.__kwdefaults__ or {}, **{name: value})
        else:
            codes.set_cell(self.objects[place], value)

    def _value(self, form):
        kind, held = form
        if kind == "value":
            return held
        if kind == "token":
            return self.objects[held] if held in self.objects else self._known.find(held)
        if kind == "class":
            return self._kind(held)
        if kind == "method":
            return getattr(self._kind(held[0]), held[1])
        values = tuple([self._value(part) for part in held])
        return values if kind == "tuple" else getattr(builtins, kind)(*values)

    def _function(self, name, code, space, builtins_form, cells, early):
        closure = tuple([self._husk(token, codes.new_cell) for token in cells])
        if space is None:
            found = self._known.namespace
        elif type(space) is str:
            __import__(space)
            found = sys.modules[space].__dict__
        else:
            found = self._husk(space[0], dict)
            if builtins_form is not None:
                found["__builtins__"] = {"none": {}, "dict": builtins.__dict__, "module": builtins}[builtins_form]
        return definitions.Function(codes.unpack(code), found, name, None, closure or None)

    def _husk(self, token, make_one):
        if token not in self.objects:
            self.objects[token] = make_one()
        return self.objects[token]

    def _kind(self, token):
        if type(token) is str:
            return self.definition(token)
        __import__(token[0])
        found = sys.modules[token[0]]
        for name in token[1].split("."):
            found = getattr(found, name)
        return found

    def _class(self, reference, name, metaclass, bases, layout, members, early):
        metaclass = self._kind(metaclass)
        bases = tuple([self._kind(base) for base in bases])
        entries = {"__module__": "__main__", "__orig_bases__": ()}  # without these `typing.Generic` refuses
        if layout is not None:
            entries["__slots__"] = layout
        with _nobody_told(bases):
            made = type.__new__(metaclass, name, bases, entries)
        _make_abstract(metaclass, made)
        for key, payload in members:
            token = "member:%s:%s" % (reference, key)
            self.objects[token] = _new_member(made, payload)
        return made


def _new_member(kind, payload):
    if payload is None:
        return object.__new__(kind)
    base = getattr(builtins, payload[0])
    return base.__new__(kind, payload[1])


def _told(_kind, **_others):
    """Stand for `__init_subclass__`."""


@contextlib.contextmanager
def _nobody_told(bases):
    """Let no base hear of a new subclass meanwhile: what it then did is restored with the base."""
    owners = []
    for kind in {id(kind): kind for base in bases for kind in definitions.mro_of(base)}.values():
        value = definitions.dictionary_of(kind).get(_INHERIT)
        if type(value) is classmethod:
            owners.append((kind, value))
    silent = classmethod(_told)
    try:
        for kind, _ in owners:
            type.__setattr__(kind, _INHERIT, silent)
        yield
    finally:
        for kind, value in owners:
            type.__setattr__(kind, _INHERIT, value)


def _make_abstract(metaclass, made):
    """Give a new abstract class what C, or old Python, keeps for it."""
    import abc

    if not definitions.is_among(abc.ABCMeta, definitions.mro_of(metaclass)):
        return
    if sys.version_info >= (3, 7):
        import _abc

        _abc._abc_init(made)
        return
    import _weakrefset

    for name in ("_abc_registry", "_abc_cache", "_abc_negative_cache"):
        type.__setattr__(made, name, _weakrefset.WeakSet())
    type.__setattr__(made, "_abc_negative_cache_version", abc.ABCMeta._abc_invalidation_counter)
    if definitions.name_of(metaclass) == "GenericMeta":
        type.__setattr__(made, "_abc_generic_negative_cache", _weakrefset.WeakSet())
        type.__setattr__(made, "_abc_generic_negative_cache_version", abc.ABCMeta._abc_invalidation_counter)
        type.__setattr__(made, "__tree_hash__", type.__hash__(made))


def _fill_function(thing, held):
    thing.__name__, thing.__qualname__, thing.__module__, thing.__doc__ = held["names"]
    thing.__defaults__, thing.__kwdefaults__, thing.__annotations__, thing.__dict__ = held["defaults"]
    if held["parameters"]:
        thing.__type_params__ = held["parameters"]


def _fill_class(objects, reference, thing, held):
    for name in definitions.entries_of(thing):
        if name not in definitions.FIXED:
            type.__delattr__(thing, name)
    for name, value in held["entries"].items():
        type.__setattr__(thing, name, value.number if type(value) is definitions.Line else value)
    type.__dict__["__qualname__"].__set__(thing, held["qualname"])
    for name, state in held["members"].items():
        state_of_member = definitions.state_of(objects["member:%s:%s" % (reference, name)])
        state_of_member.clear()
        state_of_member.update(state)
    for other in held["registered"]:
        import abc

        abc.ABCMeta.register(thing, other)
