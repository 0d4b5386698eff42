"""Submodules that the notebook imports: an attribute of their package from then on, whoever holds the package.

`effect:submodule:PACKAGE.NAME` is written by a cell that imports it, unless the package does so itself, and read by cells that have
the package: `wsgiref.util` is there for all after `import wsgiref.util`.
"""

import ast
import sys
import types

from kanoe_worker.track import kinds, local_modules
from kanoe_worker.track.encoded import digest_of, stamped
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_PREFIX = "effect:submodule:"


class Submodules(object):
    """The channel of them.

    Args:
        imports: imported.Imports.
    """

    def __init__(self, imports):
        self._imports = imports
        self._first = frozenset(sys.modules)
        self._there = {}  # reference -> its name, as the state has it
        self._by_itself = {}  # package -> names that its own code imports
        self._packages = set()

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith(_PREFIX)

    def expect(self, values):
        """Before a cell: import the submodules of packages among the values that it may look up."""
        self._packages = set(_packages(values))
        for name in list(self._there.values()):
            if name not in sys.modules and any([name.startswith(package + ".") for package in self._packages]):
                self._imports.replay(name)

    def begin(self):
        """See `channels`."""

    def end(self):
        """See `channels`: `told` says it."""
        return {}, {}

    def told(self, names, values):
        """After a cell: return what it read and wrote.

        Args:
            names: full names that its code imports; some may be no modules.
            values: those that it may have looked up, as it left them.
        """
        self._packages.update(_packages(values))
        reads = {"%s%s.*" % (_PREFIX, package): None for package in self._packages}
        writes = {}
        for name in names:
            package, _, last = name.rpartition(".")
            if name in sys.modules and self._counts(name, package, last):
                reference = _PREFIX + name
                self._there[reference] = name
                data = name.encode("utf-8", "surrogatepass")
                writes[reference] = stamped(digest_of(data), data)
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        for reference, data in values.items():
            if self.owns(reference):
                self._there.pop(reference, None)
                if data is not None:
                    self._there[reference] = reference[len(_PREFIX) :]
        return {}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _counts(self, name, package, last):
        module = sys.modules.get(package)
        if name in self._first or package in local_modules.loaded or not _is_package(module):
            return False
        if package not in self._by_itself:
            self._by_itself[package] = _imported_by(kinds.module_dictionary_of(module).get("__file__"), package)
        return last not in self._by_itself[package]


def _packages(values):
    for value in values:
        if _is_package(value):
            name = kinds.module_dictionary_of(value).get("__name__")
            if type(name) is str and name not in local_modules.loaded:
                yield name


def _is_package(value):
    return type(value) is types.ModuleType and "__path__" in kinds.module_dictionary_of(value)


def _imported_by(file, package):
    """Return the names of submodules that a package's own file imports."""
    found = set()
    try:
        with open(file, "rb") as lines:
            tree = ast.parse(lines.read())
    except (OSError, TypeError, SyntaxError, ValueError):
        return found
    below = package + "."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "") if not node.level else below + (node.module or "")
            names = [base] + ["%s.%s" % (base.rstrip("."), alias.name) for alias in node.names]
        else:
            continue
        found.update(name[len(below) :].partition(".")[0] for name in names if name.startswith(below))
    return found
