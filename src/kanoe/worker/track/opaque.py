"""Libraries whose state nobody can see: one chained reference each, `opaque:NAME`, read and written by every cell that touches them.

Touching is seen where the library has a place that all its work goes through; where that place is not found, every cell touches
the library from its import on.
"""

import functools
import os
import sys

from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401


class Opaque(object):
    """The channel of all of them."""

    def __init__(self, imports):
        self._touched = set()
        self._blind = set()
        self._hashes = {}
        self._figures = Figures(imports)
        for name, (module, watch) in sorted(_LIBRARIES.items()):
            imports.when(module, lambda found, name=name, watch=watch: self._arrive(name, watch, found))

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith("opaque:")

    def begin(self):
        """See `channels`."""
        self._touched.clear()
        self._figures.begin()

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        self._figures.end(reads, writes)
        for name in sorted(self._touched | self._blind):
            reference = "opaque:" + name
            reads[reference] = self._hashes.get(reference)
            written = Written(digest_of(os.urandom(32)), None, "the state of %s" % name)
            self._hashes[reference] = written[0]
            writes[reference] = written
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        self._figures.restore(values)
        return {}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def touch(self, name):
        """Say that a cell uses a library."""
        self._touched.add(name)

    def _arrive(self, name, watch, module):
        try:
            watched = watch(module, lambda: self._touched.add(name))
        except Exception:
            watched = False
        if not watched:
            self._blind.add(name)


class Figures(object):
    """Pyplot's open figures, which `plt.plot` of another cell draws into: `opaque:pyplot`, as long as a cell leaves any open.

    Nothing is left open where Jupyter shows and closes them at the end of each cell.
    """

    reference = "opaque:pyplot"

    def __init__(self, imports):
        self._imports = imports
        self._kind = None
        self._touched = False
        self._hash = None
        imports.when("matplotlib._pylab_helpers", self._found)

    def _found(self, module):
        self._kind = module.Gcf
        for name in _ASKED_FOR_FIGURES:
            if isinstance(self._kind.__dict__.get(name), classmethod):
                setattr(self._kind, name, self._telling(getattr(self._kind, name).__func__))

    def _telling(self, function):
        figures = self

        @functools.wraps(function)
        def wrapper(kind, *arguments, **options):
            figures._touched = figures._touched or figures._imports.counting
            return function(kind, *arguments, **options)

        return classmethod(wrapper)

    def begin(self):
        """Expect a cell."""
        self._touched = False

    def end(self, reads, writes):
        """Say what the cell did."""
        if not self._touched:
            return
        reads[self.reference] = self._hash
        written = None
        if len(self._kind.figs):
            written = Written(digest_of(os.urandom(32)), None, "figures that are still open")
        if written is not None or self._hash is not None:
            writes[self.reference] = written
        self._hash = None if written is None else written[0]

    def restore(self, values):
        """Close what is open, where nothing should be."""
        if self.reference not in values or values[self.reference] is not None:
            return
        self._hash = None
        if self._kind is not None and len(self._kind.figs):
            self._kind.destroy_all()


# All that pyplot does goes through one of these.
_ASKED_FOR_FIGURES = (
    "destroy",
    "destroy_all",
    "destroy_fig",
    "get_active",
    "get_all_fig_managers",
    "get_fig_manager",
    "get_num_fig_managers",
    "has_fignum",
    "set_active",
    "set_new_active_manager",
    "_set_new_active_manager",
)


def may_touch(name, packages):
    """Return whether a cell that has objects of these packages may use an opaque library: `opaque:NAME`."""
    if name == "pyplot":
        return bool(packages) and not packages.isdisjoint(_DRAW)
    return name in packages


_DRAW = frozenset(
    "matplotlib pylab seaborn pandas plotnine sklearn statsmodels networkx shap missingno wordcloud mlxtend scikitplot skimage squarify"
    " yellowbrick xgboost lightgbm catboost librosa geopandas scipy cartopy __main__".split()
)


def _watch_tensorflow(_module, touch):
    """All eager operations, and whatever asks whether they are eager, look at the context's thread-local data."""
    kind = sys.modules["tensorflow.python.eager.context"].Context
    place = "_thread_local_data"

    def read(self):
        """See `channels`."""
        touch()
        return self.__dict__[place]

    def write(self, value):
        """See `channels`."""
        self.__dict__[place] = value

    setattr(kind, place, property(read, write))
    return _watch_graphs(touch)


def _watch_graphs(touch):
    """Before TensorFlow 2 everything is put into a graph, and run in a session."""
    ops = sys.modules["tensorflow.python.framework.ops"]
    session = sys.modules.get("tensorflow.python.client.session")
    _tell(type(ops._default_graph_stack), "get_default", touch)
    if session is not None:
        _tell(session.BaseSession, "run", touch)
    return True


def _watch_spark(_module, touch):
    gateway = sys.modules["py4j.java_gateway"]
    _tell(gateway.GatewayClient, "send_command", touch)
    return True


def _watch_h2o(_module, touch):
    connection = sys.modules["h2o.backend.connection"]
    _tell(connection.H2OConnection, "request", touch)
    return True


def _tell(owner, name, touch):
    function = getattr(owner, name)

    def wrapper(*arguments, **options):
        """See `channels`."""
        touch()
        return function(*arguments, **options)

    wrapper.__name__, wrapper.__doc__ = name, function.__doc__
    setattr(owner, name, wrapper)


_LIBRARIES = {
    "tensorflow": ("tensorflow", _watch_tensorflow),
    "pyspark": ("pyspark", _watch_spark),
    "h2o": ("h2o", _watch_h2o),
    "ray": ("ray", lambda _module, _touch: False),
}
