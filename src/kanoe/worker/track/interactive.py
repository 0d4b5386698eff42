"""What a notebook sets of IPython and of the interpreter's hooks.

`setting:ipython:CLASS.TRAIT` is configuration (`%config`), `setting:hook:...` what is registered: extensions, magics, formatters,
callbacks of events, transformers, `sys.excepthook`, streams. What libraries register themselves comes again with them and does not count.
"""

import functools
import os
import re
import sys
import threading
import types

from kanoe_worker.track import kinds
from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.settings import Keyed, Setting

LAST_ERROR = "opaque:error"
LAST_ERRORS = ("last_type", "last_value", "last_traceback", "last_exc")
SYSTEM_HOOKS = ("excepthook", "displayhook", "stdout", "stderr", "stdin", "breakpointhook", "unraisablehook")
# What `%autoreload 2` sets.
_RELOADS = ("enabled", "check_all", "autoload_obj", "hide_errors")
_TRANSFORMERS = ("input_transformers_cleanup", "input_transformers_post", "ast_transformers")
_PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict, set)
_TRANSIENT = ("HistoryManager", "HistoryAccessor", "ProfileDir")


class Configuration(Keyed):
    """Traits of IPython's configurable objects."""

    name = "ipython"

    def __init__(self, shell, imports=None):
        Keyed.__init__(self, imports)
        self._shell = shell
        self._names = {}  # class -> its configurable traits
        self.arrive()

    def end(self):
        """See `channels`."""
        self.looked_at_all = True
        return Keyed.end(self)

    def current(self):
        """See `channels`."""
        found = {}
        for configurable in self._configurables():
            kind = type(configurable)
            values = configurable._trait_values
            for name in self._traits(kind):
                if name not in values:
                    continue
                value = values[name]
                if type(value) not in _PLAIN:
                    continue
                key = kind.__name__ + "." + name
                found[key] = sorted(value, key=repr) if type(value) is set else value
                if self._here and key not in self._default:
                    self._default[key] = self._now[key] = self._usual(configurable, name)
        for key, value in self._now.items():
            found.setdefault(key, value)
        return found

    def put(self, key, value):
        """See `channels`."""
        kind, _, name = key.partition(".")
        if kind == "InlineBackend":
            self._inline()
        for configurable in self._configurables():
            if type(configurable).__name__ == kind:
                if type(getattr(configurable, name, None)) is set and value is not None:
                    value = set(value)
                setattr(configurable, name, value)

    def drop(self, key):
        """See `channels`."""
        raise KeyError(key)

    def _configurables(self):
        found = [self._shell] + list(getattr(self._shell, "configurables", ()))
        display = getattr(self._shell, "display_formatter", None)
        found += [display] + list(getattr(display, "formatters", {}).values())
        unique = {}
        for configurable in found:
            if type(configurable).__name__ not in _TRANSIENT and hasattr(configurable, "_trait_values"):
                unique.setdefault(id(configurable), configurable)
        return list(unique.values())

    def _traits(self, kind):
        names = self._names.get(kind)
        if names is None:
            names = self._names[kind] = sorted(
                name for name in kind.class_traits(config=True) if "_printers" not in name
            )
        return names

    def _usual(self, configurable, name):
        try:
            value = configurable.trait_defaults(name)
        except Exception:
            value = getattr(configurable.traits().get(name), "default_value", None)
        if type(value) is set:
            return sorted(value, key=repr)
        return value

    def _inline(self):
        for module in ("matplotlib_inline.config", "ipykernel.pylab.config"):
            try:
                __import__(module)
                backend = sys.modules[module].InlineBackend.instance(parent=self._shell)
            except Exception:
                continue
            backend.shell = self._shell
            if backend not in self._shell.configurables:
                self._shell.configurables.append(backend)
            return


class Hooks(Keyed):
    """What is registered with the interpreter and the shell."""

    name = "hook"

    def __init__(self, shell, imports=None):
        Keyed.__init__(self, imports)
        self._shell = shell
        self._tables = {}
        self.arrive()

    def end(self):
        """See `channels`."""
        self.looked_at_all = True
        return Keyed.end(self)

    def current(self):
        """See `channels`."""
        found = {"sys." + name: getattr(sys, name, None) for name in SYSTEM_HOOKS}
        found["threading.excepthook"] = getattr(threading, "excepthook", None)
        if self._shell is not None:
            for part in (
                self._extensions,
                self._magics,
                self._formatters,
                self._events,
                self._transformers,
                self._reloads,
            ):
                try:
                    part(found)
                except Exception:
                    pass  # an IPython of another age
        return found

    def held(self):
        """See `channels`."""
        return [value for key, value in self._now.items() if value is not self._default.get(key) and of_notebook(value)]

    def put(self, key, value):
        """See `channels`."""
        kind, _, name = key.partition(":")
        if kind.startswith("sys."):
            setattr(sys, kind[4:], value)
        elif kind == "threading.excepthook":
            threading.excepthook = value
        else:
            getattr(self, "_put_" + kind)(name, value)

    def drop(self, key):
        """See `channels`."""
        kind, _, name = key.partition(":")
        getattr(self, "_put_" + kind)(name, None)

    def _extensions(self, found):
        for name in self._shell.extension_manager.loaded:
            found["extension:" + name] = True

    def _put_extension(self, name, value):
        manager = self._shell.extension_manager
        (manager.load_extension if value else manager.unload_extension)(name)

    def _magics(self, found):
        for kind, magics in self._shell.magics_manager.magics.items():
            for name, function in self._own(kind, magics):
                found["magic:%s:%s" % (kind, name)] = function

    def _own(self, place, table):
        """Return the entries of a table that are the notebook's; asked of each only where the table holds others than before."""
        names, values = list(table), list(table.values())
        ids = list(map(id, names + values))
        known = self._tables.get(place)
        if known is None or known[0] != ids:
            own = [entry for entry in table.items() if of_notebook(entry[1])]
            known = self._tables[place] = (ids, own, names + values)
        return known[1]

    def _put_magic(self, name, value):
        kind, _, name = name.partition(":")
        if value is None:
            self._shell.magics_manager.magics[kind].pop(name, None)
        else:
            self._shell.magics_manager.magics[kind][name] = value

    def _formatters(self, found):
        for mime, formatter in self._shell.display_formatter.formatters.items():
            for table in ("singleton_printers", "type_printers", "deferred_printers"):
                for owner, function in self._own(mime + table, getattr(formatter, table)):
                    name = owner.__module__ + "." + owner.__qualname__ if isinstance(owner, type) else repr(owner)
                    # The type itself travels with the value: it may be the notebook's own.
                    found["formatter:%s:%s:%s" % (mime, table, name)] = (owner, function)

    def _put_formatter(self, name, value):
        mime, table, _ = name.split(":", 2)
        printers = getattr(self._shell.display_formatter.formatters[mime], table)
        if value is None:
            known = self._now.get("formatter:" + name)
            if known is not None:
                printers.pop(known[0], None)
        else:
            printers[value[0]] = value[1]

    def _events(self, found):
        for event, callbacks in self._shell.events.callbacks.items():
            own = [callback for callback in callbacks if of_notebook(callback)]
            if own:
                found["event:" + event] = own

    def _put_event(self, event, value):
        callbacks = self._shell.events.callbacks[event]
        callbacks[:] = [callback for callback in callbacks if not of_notebook(callback)] + list(value or ())

    def _transformers(self, found):
        for name in _TRANSFORMERS:
            entries = getattr(self._shell, name, None)
            own = [entry for entry in entries or () if of_notebook(entry)]
            if own:
                found["transform:" + name] = own
        if self._shell.custom_exceptions:
            found["exceptions:"] = (self._shell.custom_exceptions, getattr(self._shell.CustomTB, "__func__", None))

    def _put_transform(self, name, value):
        entries = getattr(self._shell, name)
        entries[:] = [entry for entry in entries if not of_notebook(entry)] + list(value or ())

    def _reloads(self, found):
        reloader = self._reloader()
        if reloader is not None:
            found["reload:"] = [getattr(reloader, name, False) for name in _RELOADS]

    def _put_reload(self, _name, value):
        if value is not None and self._reloader() is None:
            self._shell.extension_manager.load_extension("autoreload")
        for name, known in zip(_RELOADS, value or [False] * len(_RELOADS)):  # noqa: B905 - Python 3.9 knows no `strict`
            setattr(self._reloader(), name, known)

    def _reloader(self):
        return getattr(self._shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)

    def _put_exceptions(self, _name, value):
        self._shell.set_custom_exc(*(value or ((), None)))


class LastError(object):
    """The channel of the last error that a cell raised, in `sys.last_value` and its like: it has no bytes."""

    def __init__(self):
        self._before = _last_error()

    def owns(self, reference):
        """See `channels`."""
        return reference == LAST_ERROR

    def begin(self):
        """See `channels`."""
        self._before = _last_error()

    def end(self):
        """See `channels`; that a cell looks at the error is known by its code."""
        if all(one is other for one, other in zip(_last_error(), self._before)):  # noqa: B905 - Python 3.9 knows no `strict`
            return {}, {}
        return {}, {LAST_ERROR: Written(digest_of(os.urandom(32)), None, "an error that was raised")}

    def restore(self, values):
        """See `channels`."""
        if LAST_ERROR in values:
            for name in LAST_ERRORS:
                sys.__dict__.pop(name, None)
        return {}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []


def traceback_settings(shell):
    """Return what `%xmode` sets: a cell looks at it by raising an error."""
    teller = getattr(shell, "InteractiveTB", None)
    ask = getattr(shell, "_get_exc_info", None)
    if ask is None or not hasattr(teller, "set_mode"):
        return []
    mode = Setting("traceback", lambda: teller.mode, lambda value: teller.set_mode(mode=value), seen=True)

    set_mode = teller.set_mode

    def get_exc_info(exc_tuple=None):
        mode.touched = True
        return ask(exc_tuple)

    def setting(*given, **named):
        mode.touched = True
        return set_mode(*given, **named)

    shell._get_exc_info = get_exc_info
    teller.set_mode = setting
    return [mode]


def _last_error():
    return [sys.__dict__.get(name) for name in LAST_ERRORS]


def remember_sources(shell, parsed, sources):
    """Let the shell believe that these cells ran in it: `In`, `_i`, `%history`.

    Args:
        shell: IPython's.
        parsed: the list `In`.
        sources: of all cells that ran, in order.
    """
    raw, numbered = [""], {}
    parsed[:] = [""]
    for number, source in enumerate(sources, 1):
        # Jupyter forgets these, as IPython does.
        if re.match(r"(exit|quit)(\s*\(.*\))?$", source.strip()):
            continue
        try:
            code = shell.input_transformer_manager.transform_cell(source)
        except Exception:
            code = source
        parsed.append(code.rstrip("\n"))
        raw.append(source.rstrip("\n"))
        numbered["_i%d" % number] = raw[-1]
    manager = shell.history_manager
    manager.input_hist_raw[:] = raw
    last = ([""] * 4 + raw[1:])[-4:]
    manager._iii, manager._ii, manager._i, manager._i00 = last
    shell.user_ns.update(numbered, _i=last[2], _ii=last[1], _iii=last[0])


def of_notebook(value):
    """Return whether a callable, or what it wraps, is the notebook's own, or nobody's (a method of a plain value)."""
    for _ in range(5):
        if isinstance(value, functools.partial):
            value = value.func
        elif isinstance(value, types.MethodType):
            if isinstance(value.__func__, types.FunctionType) and value.__func__.__module__ == "__main__":
                return True
            value = type(value.__self__)
        else:
            break
    if isinstance(value, types.FunctionType):
        return value.__globals__.get("__name__") == "__main__" or value.__module__ == "__main__"
    if isinstance(value, types.BuiltinMethodType):
        return type(value.__self__) in (str, list, dict, set)
    kind = value if kinds.is_type(type(value)) else type(value)
    return type.__getattribute__(kind, "__module__") == "__main__"
