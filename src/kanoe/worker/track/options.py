"""Settings of libraries: pandas' options, matplotlib's rcParams, what numpy, scikit-learn, torch and plotly are told once for all.

A library of another age may lack what is asked here: then the setting reads as `unreadable`, always the same.
"""

import sys

from kanoe_worker.track.imported import style_is_lost
from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.settings import Keyed, Setting, plainly_same

# Options that pandas' own code looks up so often that nobody counts it: every cell reads them.
_UNCOUNTED = ("mode", "future", "compute")
_INLINE = ("module://matplotlib_inline.backend_inline", "module://ipykernel.pylab.backend_inline", "inline", "agg")


class Pandas(Keyed):
    """Pandas' options: `setting:pandas:display.max_rows`; the dictionaries that hold them tell which a cell looks up."""

    name = "pandas"

    def __init__(self, imports):
        Keyed.__init__(self, imports)
        imports.when("pandas", self._found)

    def _found(self, _module):
        self._config = sys.modules.get("pandas._config.config") or sys.modules.get("pandas.core.config")
        self._kind = _counting(self)
        self.arrive()

    def current(self):
        """See `channels`."""
        found = {}
        todo = [("", self._config._global_config)]
        while todo:
            prefix, entries = todo.pop()
            for key, value in list(dict.items(entries)):
                if isinstance(value, dict) and prefix.count(".") < 4:
                    if type(value) is dict and (prefix + key).partition(".")[0] not in _UNCOUNTED:
                        value = self._kind(value)
                        dict.__setitem__(entries, key, value)
                        value.prefix = prefix + key + "."
                    todo.append((prefix + key + ".", value))
                else:
                    found[prefix + key] = value
        return found

    def put(self, key, value):
        """See `channels`."""
        self._config.set_option(key, value)

    def end(self):
        """See `channels`."""
        reads, writes = Keyed.end(self)
        if self._here:
            for part in _UNCOUNTED:
                reads.setdefault("%s%s.*" % (self.prefix, part), self.below(part + "."))
        return reads, writes


def _counting(channel):
    """Return a class of dictionaries of options that tell the channel what is looked up."""
    looked = channel.looked
    getframe = sys._getframe

    class Options(dict):
        """Options as they are."""

        __slots__ = ("prefix",)

        def __getitem__(self, key):
            """See `channels`."""
            value = dict.__getitem__(self, key)
            if not isinstance(value, dict) and getframe(1).f_code.co_name != "__setattr__":
                looked.add(self.prefix + key)
            return value

        def __setitem__(self, key, value):
            """What is set to what it was is not seen to be written."""
            looked.add(self.prefix + key)
            dict.__setitem__(self, key, value)

        def get(self, key, default=None):
            """See `channels`."""
            return self[key] if key in self else default

        def items(self):
            """See `channels`."""
            looked.update(self.prefix + key for key in self)
            return dict.items(self)

        def values(self):
            """See `channels`."""
            looked.update(self.prefix + key for key in self)
            return dict.values(self)

    return Options


class Matplotlib(object):
    """What draws: rcParams and named colours, read by cells that look at rcParams (as all drawing does)."""

    def __init__(self, imports):
        self.rc = Setting(
            "matplotlib", self._differences, self._apply, module="matplotlib", seen=True, lost=style_is_lost
        )
        self.colors = Setting("matplotlib.colors", self._letters, self._paint, module="matplotlib.colors", seen=True)
        self._first = None
        self._restored = {}
        self._params = None
        self._marked = None
        self._imports = imports
        imports.when("matplotlib", self._found)
        imports.around(self._mark, lambda _name, inert: self._absorb() if inert else None)
        for name in ("matplotlib.pyplot", "matplotlib_inline.backend_inline", "ipykernel.pylab.backend_inline"):
            imports.when(name, self._overridden)

    def entries(self):
        """Return the settings."""
        return [self.rc, self.colors]

    def _found(self, module):
        self._params = module.rcParams
        self._first = {key: _own(value) for key, value in dict.items(module.rcParams)}
        self._watch(type(module.rcParams))

    def _mark(self):
        params = self._params
        self._marked = None if params is None else {key: _own(value) for key, value in dict.items(params)}

    def _absorb(self):
        """Take what an import set (a backend that is used first) for what the library has; what was restored came after it."""
        if self._marked is None:
            return
        for key, value in list(dict.items(self._params)):
            value, before, first = _own(value), self._marked.get(key), self._first.get(key)
            if plainly_same(value, before):
                continue
            if key in self._restored and plainly_same(before, _own(_made(self._restored[key]))):
                dict.__setitem__(self._params, key, _made(self._restored[key]))
            elif plainly_same(before, first):
                self._first[key] = value

    def _differences(self):
        first = self._first
        found = {}
        for key, value in dict.items(self._params):
            one = first.get(key)
            if value is one or plainly_same(value, one):
                continue
            if key.startswith("backend"):
                if key == "backend" and type(value) is str and value.lower() not in _INLINE:
                    found[key] = value
                continue
            value = _own(value)
            if not plainly_same(value, one):
                found[key] = value
        return found

    def _apply(self, wanted):
        params = self._params
        for key, value in dict.items(params):
            if key in wanted or key.startswith("backend"):
                continue
            if value is not self._first.get(key) and not plainly_same(_own(value), self._first.get(key)):
                dict.__setitem__(params, key, _made(self._first.get(key)))
        for key, value in wanted.items():
            if key == "backend":
                params[key] = value
            else:
                dict.__setitem__(params, key, _made(value))
        self._restored = dict(wanted)

    def _overridden(self, module):
        """Put back what Jupyter's own rcParams, set when the library is first used, took from what was restored."""
        shell_rc = getattr(
            getattr(sys.modules.get("matplotlib_inline.config"), "InlineBackend", None), "_instance", None
        )
        if shell_rc is None:
            shell_rc = getattr(
                getattr(sys.modules.get("ipykernel.pylab.config"), "InlineBackend", None), "_instance", None
            )
        own = getattr(shell_rc, "rc", None) or {}
        for key in own:
            if key in self._restored and plainly_same(_own(dict.get(self._params, key)), _own(own[key])):
                dict.__setitem__(self._params, key, _made(self._restored[key]))

    def _watch(self, kind):
        rc, colors = entries = self.entries()
        imports = self._imports

        def watched(function):
            def wrapper(self, *arguments, **options):
                if imports.counting:
                    rc.touched = colors.touched = True
                return function(self, *arguments, **options)

            wrapper.__name__, wrapper.__qualname__ = function.__name__, function.__qualname__
            wrapper.__doc__ = function.__doc__
            return wrapper

        for name in (
            "__getitem__",
            "__setitem__",
            "_get",
            "_set",
            "__iter__",
            "__repr__",
            "__str__",
            "find_all",
            "copy",
            "keys",
            "values",
            "items",
        ):
            function = kind.__dict__.get(name)
            if function is not None:
                setattr(kind, name, watched(function))
        if "__getitem__" not in kind.__dict__:
            for entry in entries:
                entry.seen = False

    def _letters(self):
        colors = sys.modules["matplotlib.colors"].colorConverter.colors
        return {letter: _plain(colors.get(letter)) for letter in "bgrcmykw"}

    def _paint(self, value):
        converter = sys.modules["matplotlib.colors"].colorConverter
        for letter, color in value.items():
            converter.colors[letter] = color
        converter.cache.clear()


def _own(value):
    """Return a value that stays as it is: lists copied, cycles of styles spelled out."""
    if type(value) is list:
        return list(value)
    if type(value).__name__ == "Cycler" and hasattr(value, "by_key"):
        return ("a cycler", {key: [_plain(item) for item in items] for key, items in value.by_key().items()})
    return value


def _made(value):
    if type(value) is list:
        return list(value)
    if type(value) is tuple and len(value) == 2 and value[0] == "a cycler":
        from cycler import cycler

        return cycler(**value[1])
    return value


def _plain(value):
    return tuple(map(float, value)) if type(value) is tuple else value


def _module(name):
    return sys.modules[name]


def _numpy_errors():
    numpy = _module("numpy")
    return [dict(numpy.geterr()), numpy.geterrcall()]


def _set_numpy_errors(value):
    _module("numpy").seterr(**value[0])
    _module("numpy").seterrcall(value[1])


def _attributes(owner):
    names = [name for name in owner.__slots__ if not name.startswith("_")]
    return {name: getattr(owner, name) for name in names}


def _set_attributes(owner, values):
    for name, value in values.items():
        setattr(owner, name, value)


_TORCH = {
    "default_dtype": (
        lambda torch: str(torch.get_default_dtype()),
        lambda torch, v: torch.set_default_dtype(_dtype(torch, v)),
    ),
    "grad": (lambda torch: torch.is_grad_enabled(), lambda torch, v: torch.set_grad_enabled(v)),
    "threads": (lambda torch: torch.get_num_threads(), lambda torch, v: torch.set_num_threads(v)),
    "deterministic": (
        lambda torch: torch.are_deterministic_algorithms_enabled(),
        lambda torch, v: torch.use_deterministic_algorithms(v),
    ),
    "cudnn": (
        lambda torch: [
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.enabled,
        ],
        lambda torch, v: _set_cudnn(torch, v),
    ),
    "anomaly": (lambda torch: torch.is_anomaly_enabled(), lambda torch, v: torch.autograd.set_detect_anomaly(v)),
    "print": (
        lambda torch: dict(vars(torch._tensor_str.PRINT_OPTS)),
        lambda torch, v: vars(torch._tensor_str.PRINT_OPTS).update(v),
    ),
    "device": (lambda torch: str(torch.get_default_device()), lambda torch, v: torch.set_default_device(v)),
}


def _dtype(torch, name):
    return getattr(torch, name.split(".")[-1])


def _set_cudnn(torch, value):
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.enabled = value


def _torch_setting(name, read, write):
    return Setting(
        "torch." + name, lambda: read(_module("torch")), lambda v: write(_module("torch"), v), module="torch"
    )


def library_settings():
    """Return the settings that are one value each."""
    found = [
        Setting(
            "numpy.print",
            lambda: dict(_module("numpy").get_printoptions()),
            lambda value: _module("numpy").set_printoptions(**value),
            module="numpy",
        ),
        Setting("numpy.errors", _numpy_errors, _set_numpy_errors, module="numpy"),
        Setting(
            "sklearn",
            lambda: dict(_module("sklearn").get_config()),
            lambda value: _module("sklearn").set_config(**value),
            module="sklearn",
        ),
        Setting("nltk.path", lambda: list(_module("nltk.data").path), _set_nltk_path, module="nltk.data"),
        Setting(
            "plotly.template",
            lambda: _module("plotly.io._templates").templates.default,
            lambda value: setattr(_module("plotly.io._templates").templates, "default", value),
            module="plotly.io._templates",
        ),
        Setting(
            "plotly.renderer",
            lambda: _module("plotly.io._renderers").renderers.default,
            lambda value: setattr(_module("plotly.io._renderers").renderers, "default", value),
            module="plotly.io._renderers",
        ),
        Setting(
            "plotly.express",
            lambda: _attributes(_module("plotly.express").defaults),
            lambda value: _set_attributes(_module("plotly.express").defaults, value),
            module="plotly.express",
        ),
        Setting(
            "cv2.threads",
            lambda: _module("cv2").getNumThreads(),
            lambda value: _module("cv2").setNumThreads(value),
            module="cv2",
        ),
    ]
    return found + [_torch_setting(name, *functions) for name, functions in sorted(_TORCH.items())]


def _set_nltk_path(value):
    _module("nltk.data").path[:] = value
