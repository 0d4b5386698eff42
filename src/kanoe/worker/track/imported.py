"""Calls a function when a library is imported, and remembers what the notebook imported, in order.

Importing most libraries changes nothing of others; what such an import sets of the process is what a fresh process has, once it imports
the same: whoever causes it, in a cell (which may be another one than in a session from the top) or before it, where values are restored.
Others are imported again, in order, in every session: `effect:import:MODULE`; nobody reads these references.
"""

import os
import sys
import threading

from kanoe_worker.track import encoded, local_modules
from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_INERT = frozenset(
    """
    IPython PIL albumentations bs4 catboost cv2 cycler dateutil gensim h5py imageio ipykernel ipywidgets jinja2
    joblib keras kiwisolver librosa lightgbm lxml matplotlib matplotlib_inline mlxtend networkx nltk numba numexpr numpy openpyxl
    pandas patsy plotly polars psutil pyarrow pydantic pytz requests scipy shap six skimage sklearn spacy
    sqlalchemy statsmodels sympy tensorflow tokenizers torch torchvision tqdm traitlets transformers wordcloud
    xgboost yaml zmq missingno kaggle_secrets kaggle_datasets kaggle_gcp kaggle_session kaggle_web_client
    kanoe_worker
    """.split()
)
_CHANGES = {"seaborn": ("matplotlib",), "mpl_toolkits": ("matplotlib",), "cmocean": ("matplotlib",)}
_NOT_INERT = ("sklearn.experimental",)
_MACHINERY = ("importlib", "importlib._bootstrap", "importlib._bootstrap_external", "_frozen_importlib", __name__)
_LIBRARIES = _INERT.union(_CHANGES)
_STANDARD = os.path.dirname(os.__file__) + os.sep


class Imports(object):
    """Sees imports through a finder in front of all others; the finder itself finds nothing."""

    def __init__(self):
        self._hooks = {}  # module name -> functions that wait for it
        self._state = threading.local()
        self._before = []
        self._after = []
        self._thread = threading.get_ident()
        self.in_cell = False
        self.counting = (
            False  # what is looked up now is looked up by the cell, not by what libraries do after every cell
        )
        self.replaying = False
        self.roots = []  # modules that the notebook itself imported first, in order

    def install(self):
        """Start to watch."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def when(self, name, function):
        """Call `function(module)` when the module has been imported: now, if it is there already."""
        module = sys.modules.get(name)
        if module is not None and not _is_loading(module):
            _call(function, module)
        else:
            self._hooks.setdefault(name, []).append(function)

    def around(self, before, after):
        """Call `before()` and `after(name, inert)` around every import that is not part of another one.

        `inert`: what it changes is not the notebook's doing.
        """
        self._before.append(before)
        self._after.append(after)

    def settle(self):
        """Call what still waits for modules that came in unseen (by other means than the finders)."""
        for name in [name for name in self._hooks if name in sys.modules]:
            if not _is_loading(sys.modules[name]):
                self._fire(name, sys.modules[name])

    def replay(self, name):
        """Import a module as an earlier cell did; return why that fails, or None."""
        self.replaying = True
        try:
            __import__(name)
        except BaseException as error:
            return "%s: %s" % (type(error).__name__, error)
        finally:
            self.replaying = False
        return None

    def find_spec(self, name, path=None, target=None):
        """Find nothing; but let the loader that another finder finds tell when it has loaded a module somebody waits for."""
        state = self._state
        if getattr(state, "asking", False):
            return None
        root = not getattr(state, "depth", 0) and threading.get_ident() == self._thread
        if not root and name not in self._hooks:
            return None
        state.asking = True
        try:
            spec = _ask_others(self, name, path, target)
        finally:
            state.asking = False
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            self._follow(spec, root, root and self.in_cell and _is_asked_by_notebook())
        return spec

    def _follow(self, spec, root, own):
        original = spec.loader.exec_module
        name, loader = spec.name, spec.loader

        def load(module):
            result = original(module)
            try:
                del loader.exec_module
            except AttributeError:
                pass
            self._fire(name, sys.modules.get(name, module))
            return result

        def exec_module(module):
            return self._run_root(name, load, module, own) if root else load(module)

        try:
            loader.exec_module = exec_module
        except Exception:
            pass  # a loader without a dictionary: `settle` finds the module later

    def _run_root(self, name, original, module, own):
        state = self._state
        state.depth = getattr(state, "depth", 0) + 1
        try:
            for function in self._before:
                _call(function)
            return original(module)
        finally:
            if own:
                self.roots.append(name)
            inert = not (own or self.replaying) or changes_of(name, module) is not None
            for function in self._after:
                _call(function, name, inert)
            state.depth -= 1

    def _fire(self, name, module):
        for function in self._hooks.pop(name, ()):
            _call(function, module)


def _ask_others(own, name, path, target):
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        spec = find(name, path, target) if find is not None and finder is not own else None
        if spec is not None:
            return spec
    return None


def _is_asked_by_notebook():
    """Return whether the notebook's code, or that of a module next to it, asks for an import; not a library."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name not in _MACHINERY:
            return name == "__main__" or not _is_librarys(name, frame.f_code.co_filename)
        frame = frame.f_back
    return False


def _is_librarys(name, file):
    parts = ("site-packages", "dist-packages", "<frozen")
    return (
        (type(name) is str and name.partition(".")[0] in _LIBRARIES)
        or file.startswith(_STANDARD)
        or any(part in file for part in parts)
    )


def _is_loading(module):
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _call(function, *arguments):
    try:
        function(*arguments)
    except Exception:
        pass  # a library of another age: its channel finds it unprepared and treats it as unknown


def style_is_lost():
    """Return why what draws cannot be restored, or None: an old Jupyter sets rcParams when figures are first drawn, over what is there."""
    version = getattr(sys.modules.get("IPython"), "version_info", (8,))
    return "the style of figures in an old Jupyter" if tuple(version[:2]) < (7, 23) else None


def changes_of(name, module=None):
    """Return the libraries that importing a module may change; None: any."""
    top = name.partition(".")[0]
    if top in _CHANGES:
        return _CHANGES[top]
    if name.startswith(_NOT_INERT):
        return None
    if top in _INERT:
        return ()
    module = sys.modules.get(name) if module is None else module
    if module is None:
        return None
    file = getattr(module, "__file__", None)
    standard = file is None or (type(file) is str and file.startswith(_STANDARD) and "site-packages" not in file)
    return () if standard else None


def _prepare(values):
    """Set what decides what an import finds; the channels that own it restore it once more, after the imports."""
    for reference, data in values.items():
        try:
            if data is None:
                continue
            if reference.startswith("setting:environ:"):
                value = encoded.decode(data)
                if type(value) is str:
                    os.environ[reference[len("setting:environ:") :]] = value
            elif reference == "setting:cwd":
                os.chdir(encoded.decode(data))
            elif reference == "setting:sys.path":
                sys.path[:] = encoded.decode(data)
        except Exception:
            pass  # the channel that owns it says so


class Imported(object):
    """The channel of imports that may change other libraries."""

    prefix = "effect:import:"

    def __init__(self, imports):
        self._imports = imports
        self._told = 0

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith(self.prefix)

    def begin(self):
        """See `channels`."""

    def end(self):
        """See `channels`."""
        writes = {}
        roots = self._imports.roots
        for position in range(self._told, len(roots)):
            name = roots[position]
            if changes_of(name) != () and name not in local_modules.loaded:
                data = name.encode("utf-8", "surrogatepass")
                why = style_is_lost() if changes_of(name) is not None else None
                kept = b"%08d %s" % (position, data) if why is None else None
                writes[self.prefix + name] = Written(digest_of(data), kept, why)
        self._told = len(roots)
        return {}, writes

    def restore(self, values):
        """See `channels`."""
        failed = {}
        _prepare(values)
        wanted = sorted(
            (data, reference) for reference, data in values.items() if data is not None and self.owns(reference)
        )
        for _, reference in wanted:
            name = reference[len(self.prefix) :]
            changed = changes_of(name)
            if changed is None:
                self._import(name, reference, failed)
            for library in changed or ():
                self._imports.when(library, lambda _module, name=name: self._import(name, name, {}))
        self._told = len(self._imports.roots)
        return failed

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def import_all(self, names):
        """Import modules, as far as that succeeds."""
        for name in names:
            self._imports.replay(name)

    def _import(self, name, reference, failed):
        why = self._imports.replay(name)
        if why is not None:
            failed[reference] = why
