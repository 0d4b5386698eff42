"""Calls a function when a library is imported, and remembers what the notebook imported, in order."""

import sys
import threading


class Imports(object):
    """Sees imports through a finder in front of all others; the finder itself finds nothing."""

    def __init__(self):
        self._hooks = {}  # module name -> functions that wait for it
        self._state = threading.local()
        self._after = []
        self.roots = []  # modules that were not imported by the import of another, in order
        self.sought = 0  # how often the finders were asked for anything

    def install(self):
        """Start to watch."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self):
        """Stop to watch."""
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self]

    def when(self, name, function):
        """Call `function(module)` when the module has been imported: now, if it is there already."""
        module = sys.modules.get(name)
        if module is not None and not self._loading(module):
            _call(function, module)
        else:
            self._hooks.setdefault(name, []).append(function)

    def after(self, function):
        """Call `function(name)` whenever an import that no other import caused is over."""
        self._after.append(function)

    def settle(self):
        """Call what still waits for modules that came in unseen (by other means than the finders)."""
        for name in [name for name in self._hooks if name in sys.modules]:
            module = sys.modules[name]
            if not self._loading(module):
                self._fire(name, module)

    def find_spec(self, name, path=None, target=None):
        """Find nothing; but let the loader that another finder finds tell when it has loaded a module somebody waits for."""
        self.sought += 1
        state = self._state
        depth = getattr(state, "depth", 0)
        if (depth and name not in self._hooks) or getattr(state, "asking", False):
            return None
        state.asking = True
        try:
            spec = self._ask_others(name, path, target)
        finally:
            state.asking = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        self._follow(spec, root=not depth)
        return spec

    def _ask_others(self, name, path, target):
        for finder in list(sys.meta_path):
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        return None

    def _follow(self, spec, root):
        original = spec.loader.exec_module
        state = self._state
        name = spec.name

        def exec_module(module):
            state.depth = getattr(state, "depth", 0) + 1
            try:
                result = original(module)
            finally:
                state.depth -= 1
            try:
                del spec.loader.exec_module
            except AttributeError:
                pass
            if root:
                self.roots.append(name)
            self._fire(name, sys.modules.get(name, module))
            for function in self._after if root else ():
                _call(function, name)
            return result

        try:
            spec.loader.exec_module = exec_module
        except Exception:
            pass  # a loader without a dictionary: `settle` finds the module later

    def _fire(self, name, module):
        for function in self._hooks.pop(name, ()):
            _call(function, module)

    def _loading(self, module):
        return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call(function, module):
    try:
        function(module)
    except Exception:
        pass  # a library of another age: its channel finds it unprepared and treats it as unknown
