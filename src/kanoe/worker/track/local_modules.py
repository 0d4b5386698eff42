"""Modules that are the notebook's own: their files lie in its folders.

Such a module is a definition, `def:module:NAME`: who refers to it, or to what it holds by name, needs it. Its hash says what its names
hold, code and data. It has no bytes: a new process imports it, and where that comes to something else (a file that changed since, data
that was added to), the cell that made it so runs again.
"""

import os
import sys
import types

from kanoe_worker.track import kinds
from kanoe_worker.track.plain import __builtins__  # noqa: F401

PREFIX = "def:module:"
_INSTALLED = ("/site-packages/", "/dist-packages/")
_STRANGE = ("__main__", "__mp_main__", "builtins", "kanoe_worker")
# What the import system keeps in a module.
_MACHINERY = frozenset(
    [
        "__builtins__",
        "__cached__",
        "__loader__",
        "__spec__",
        "__warningregistry__",
        "__annotate__",
        "__conditional_annotations__",
    ]
)

_PATH_TYPES = "_frozen_importlib_external"

loaded = {}  # name -> module: those that were there at the last look
_folders = ()
_looked_at = []  # ids of all modules' names and of the modules at the last look
_known = {}  # name -> the module that was looked at, and whether it is one


def watch(folders):
    """From now on a module is the notebook's own if its file lies below one of these, and is not installed there."""
    global _folders
    _folders = tuple([one.rstrip("/") + "/" for folder in folders for one in (folder, os.path.realpath(folder))])
    _known.clear()
    loaded.clear()
    _looked_at.clear()


def look():
    """Learn which of them are there now; return `{reference: module}`."""
    found = dict(sys.modules)
    ids = list(map(id, found)) + list(map(id, found.values()))
    if _folders and ids != _looked_at:
        loaded.clear()
        loaded.update((name, module) for name, module in found.items() if owns(name, module))
        _looked_at[:] = ids
    return {PREFIX + name: module for name, module in loaded.items()}


def owns(name, module):
    """Return whether a module is the notebook's own."""
    known = _known.get(name)
    if known is None or known[0] is not module:
        known = _known[name] = (module, type(name) is str and _is_local(name, module))
    return known[1]


def unload(reference):
    """Let the next import of a module read its file."""
    name = reference[len(PREFIX) :]
    _looked_at.clear()
    for table in (sys.modules, loaded, _known):
        table.pop(name, None)


def parts(module, of_definition):
    """Return what a module holds as a plain tuple, the functions and classes in it with their code.

    Args:
        module: the module.
        of_definition: returns what a function or class is made of.
    """
    dictionary = kinds.module_dictionary_of(module)
    name = dictionary.get("__name__")
    held = {key: value for key, value in list(dictionary.items()) if key not in _MACHINERY}
    own, waiting, seen = [], list(held.values())[::-1], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is types.FunctionType and value.__globals__ is dictionary:
            own.append(of_definition(value))
        elif type(value) in (staticmethod, classmethod):
            waiting.append(value.__func__)
        elif type(value) is property:
            waiting += [value.fget, value.fset, value.fdel]
        elif kinds.is_type(type(value)) and kinds.type_name(value)[0] == name:
            own.append(of_definition(value))
            waiting += list(kinds.dictionary_of(value).values())
    return ("module", name, held, tuple(own))


def _is_local(name, module):
    if (
        name in _STRANGE
        or name.partition(".")[0] == "kanoe_worker"
        or not kinds.derives(type(module), types.ModuleType)
    ):
        return False
    known = kinds.module_dictionary_of(module)
    file, places = known.get("__file__"), known.get("__path__", ())
    if type(file) is str:
        return _is_own_file(os.path.abspath(file))
    # A folder without a file of its own; such a list of folders is Python's.
    places = list(places) if type(places) is list or type(places).__module__ == _PATH_TYPES else []
    return bool(places) and all([type(place) is str and _is_own_file(place) for place in places])


def _is_own_file(file):
    real = os.path.realpath(file)
    if not (file.startswith(_folders) or real.startswith(_folders)):
        return False
    places = (sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
    return not any([part in file for part in _INSTALLED]) and not file.startswith(tuple([one + "/" for one in places]))
