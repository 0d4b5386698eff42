"""Warnings: the filters, and which warnings were shown already.

Whether a cell asked the filters is seen by a filter of ours in front: its pattern matches nothing, and notes that it was asked. What the
cell itself puts in front of it decides alone, and then what was there before is not read.
"""

import _warnings
import operator
import re
import sys
import types
import warnings

from kanoe_worker.track import encoded
from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.settings import plainly_same

_NOTHING = "(?!)"
_PROBE = "kanoe: which version have the filters"


class Asked(object):
    """A pattern that matches nothing but the probe, and counts who asks."""

    def __init__(self):
        self.count = 0
        self.flags = 32

    @property
    def pattern(self):
        """Return its text; who asks copies the filters, for other threads say, and asks the copies."""
        self.count += 1
        return _NOTHING

    def __reduce__(self):
        return re.compile, (self.pattern,)

    def match(self, text, *_):
        """See `channels`."""
        if text == _PROBE:
            return True
        self.count += 1
        return None

    def __repr__(self):
        return "re.compile('(?!)')"


class Warnings(object):
    """The channel of `setting:warnings` (the filters) and `setting:warned` (what was shown, by module)."""

    def __init__(self, imports):
        self._absorbed = {}  # id -> entry that the import of a library made
        self._restored = None
        self._marked = ()
        imports.around(self._mark, self._absorb)
        self._imports = imports
        self._asked = Asked()
        self._entry = ("ignore", self._asked, Warning, None, 0)
        self._first = list(warnings.filters)
        self._filters = list(self._first)
        self._first_form = _form(self._first)
        self._hash = self._warned_hash = None
        self._shown = {}
        self._absorbed_shown = set()  # (module, key) that imports warned of
        self._shown_restored = False
        self._shown_marked = (None, {})
        self._version = self._ask_version()

    def owns(self, reference):
        """See `channels`."""
        return reference in ("setting:warnings", "setting:warned")

    def begin(self):
        """See `channels`."""
        self._asked.count = 0
        filters = warnings.filters
        # In silence: a change that is announced makes warnings that were shown once be shown again.
        if type(filters) is list and (not filters or filters[0] is not self._entry):
            filters[:] = [self._entry] + [entry for entry in filters if entry is not self._entry]

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        asked = self._asked.count > 0 or type(warnings.filters) is not list
        now = self._current()
        if not _same_filters(now, self._filters):
            reads["setting:warnings"] = self._hash
            written = self._written(now)
            self._filters, self._hash = now, None if written is None else written[0]
            self._restored = None
            writes["setting:warnings"] = written
        elif asked or not all(map(operator.is_, now, self._filters)):
            # An equal filter that is another object was set by the cell.
            reads["setting:warnings"] = self._hash
            self._filters = now
        self._end_shown(asked, reads, writes)
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        failed = {}
        if "setting:warnings" in values:
            data = values["setting:warnings"]
            try:
                self._hash = None if data is None else encoded.hash_in(data)
                self._restore_filters(
                    [(False, entry) for entry in self._first_form] if data is None else encoded.decode(data)
                )
            except Exception as error:
                failed["setting:warnings"] = "%s: %s" % (type(error).__name__, error)
        if "setting:warned" in values:
            data = values["setting:warned"]
            self._restore_shown({} if data is None else encoded.decode(data))
            self._shown_restored = True
        self._version = self._ask_version()
        return failed

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _current(self):
        filters = warnings.filters
        if type(filters) is not list:
            return ["replaced"]
        return [entry for entry in filters if entry is not self._entry and not _is_copy(entry)]

    def _mark(self):
        self._marked = self._current()
        version = self._ask_version()
        self._shown_marked = version, self._registered(version)

    def _absorb(self, _name, inert):
        """Take what an import added for what a fresh process has."""
        self._absorb_shown()
        known = {id(entry) for entry in self._marked}
        now = self._current()
        added = [entry for entry in now if id(entry) not in known]
        if not inert or not added:
            return
        self._absorbed.update({id(entry): entry for entry in added})
        if self._restored is not None and _unordered(now) == _unordered(self._restored):
            # They stood there already, at their place.
            now = list(self._restored)
            warnings.filters[:] = [entry for entry in warnings.filters if entry is self._entry] + now
        if _same_filters(self._marked, self._filters):
            self._filters = now

    def _absorb_shown(self):
        """Forget what an import warned of; what was restored as shown is so although the import changed the filters."""
        version = self._ask_version()
        before, shown = self._shown_marked
        if version == before:
            for module, keys in self._registered(version).items():
                self._absorbed_shown.update((module, repr(key)) for key in keys if key not in shown.get(module, ()))
        elif self._shown_restored and before == self._version and shown == self._shown:
            self._restore_shown(self._shown)
            self._version = self._ask_version()

    def _written(self, filters):
        own = [
            position
            for position, entry in enumerate(filters)
            if id(entry) not in self._absorbed and not any(entry is first for first in self._first)
        ]
        last = own[-1] if own else -1
        counting = [
            entry for position, entry in enumerate(filters) if position < last or id(entry) not in self._absorbed
        ]
        if plainly_same(_form(counting), self._first_form):
            return None
        whole = encoded.written([(id(entry) in self._absorbed, form) for entry, form in zip(filters, _form(filters))])  # noqa: B905
        digest = encoded.written(_form(counting))[0]
        return (
            encoded.Written(digest, None, whole.lost)
            if whole[1] is None
            else encoded.stamped(digest, encoded.body(whole[1]))
        )

    def _restore_filters(self, marked):
        made = []
        for absorbed, form in marked:
            entry = _made(form)
            place = next((place for place, first in enumerate(self._first_form) if plainly_same(first, form)), None)
            if place is not None:
                entry = self._first[place]
            elif absorbed:
                self._absorbed[id(entry)] = entry
            made.append(entry)
        warnings.filters[:] = [self._entry] + made
        (_warnings if hasattr(_warnings, "_filters_mutated") else warnings)._filters_mutated()
        self._filters = self._restored = made

    def _ask_version(self):
        """Return the number of the last announced change of the filters; None where it cannot be known."""
        filters = warnings.filters
        if type(filters) is not list:
            return None
        registry = {}
        filters.insert(0, self._entry)
        try:
            warnings_of_c = _warnings.warn_explicit
            warnings_of_c(_PROBE, UserWarning, "kanoe", 1, "kanoe", registry)
        except Exception:
            return None
        finally:
            for position, entry in enumerate(filters):
                if entry is self._entry:
                    del filters[position]
                    break
        return registry.get("version")

    def _end_shown(self, asked, reads, writes):
        reads["setting:warned"] = self._warned_hash
        version = self._ask_version()
        if not asked and version == self._version:
            return
        self._version = version
        shown = self._registered(version)
        if shown == self._shown:
            return
        self._shown = shown
        self._shown_restored = False
        written = encoded.written(shown) if shown else None
        self._warned_hash = None if written is None else written[0]
        writes["setting:warned"] = written

    def _registered(self, version):
        """Return what is registered as shown, by module, and still counts."""
        found = {}
        for name, module in list(sys.modules.items()):
            if not isinstance(module, types.ModuleType) or name == "__main__":
                continue
            registry = module.__dict__.get("__warningregistry__")
            if type(registry) is dict and registry.get("version") == version:
                keys = [
                    (key[0], key[1].__module__, key[1].__qualname__) + tuple(key[2:])
                    for key in list(registry)
                    if type(key) is tuple and len(key) > 1 and type(key[0]) is str and isinstance(key[1], type)
                ]
                if self._absorbed_shown:
                    keys = [key for key in keys if (name, repr(key)) not in self._absorbed_shown]
                if keys:
                    found[name] = sorted(keys, key=repr)
        return dict(sorted(found.items()))

    def _restore_shown(self, shown):
        for name, module in list(sys.modules.items()):
            if isinstance(module, types.ModuleType) and "__warningregistry__" in module.__dict__ and name not in shown:
                module.__dict__["__warningregistry__"].clear()
        version = self._ask_version()
        for name, keys in shown.items():
            self._imports.when(name, lambda module, keys=keys: self._register(module, keys, version))
        self._shown = shown
        self._warned_hash = encoded.written(shown)[0] if shown else None

    def _register(self, module, keys, version):
        if self._ask_version() != version:
            return
        registry = {"version": version}
        for text, owner, category, *place in keys:
            kind = sys.modules.get(owner)
            for name in category.split("."):
                kind = getattr(kind, name, None)
            if isinstance(kind, type):
                registry[(text, kind) + tuple(place)] = True
        module.__dict__["__warningregistry__"] = registry


def _is_copy(entry):
    return type(entry) is tuple and len(entry) == 5 and getattr(entry[1], "pattern", None) == _NOTHING


def _form(filters):
    """Return filters as plain values; patterns by their text."""
    return [
        tuple(["pattern", item.pattern, item.flags] if hasattr(item, "pattern") else item for item in entry)
        if type(entry) is tuple
        else entry
        for entry in filters
    ]


def _made(form):
    if type(form) is not tuple:
        return form
    return tuple(re.compile(item[1], item[2]) if type(item) is list else item for item in form)


def _unordered(filters):
    return sorted(map(repr, _form(filters)))


def _same_filters(filters, others):
    if len(filters) != len(others):
        return False
    return all(one is two or plainly_same(_known(one), _known(two)) for one, two in zip(filters, others))  # noqa: B905


def _known(entry):
    if type(entry) is not tuple:
        return entry
    return tuple(id(item) if not isinstance(item, (str, int)) else item for item in entry)
