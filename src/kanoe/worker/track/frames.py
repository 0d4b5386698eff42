"""Watches libraries that look a notebook's names up through the frames of their callers: `df.query('a < @x')`.

Whoever looks at a frame asks `sys._getframe` for it. While a cell runs, ours stands there: it tells by the asking code whether this
looks at names at all, and for the libraries that are known which names. What is not known may look at all names.
"""

import dis
import inspect
import io
import re
import sys

from kanoe_worker.track import file_calls
from kanoe_worker.track.plain import __builtins__  # noqa: F401

# Modules that ask for frames only for line numbers, names of modules, or the local variables of their own functions.
_TRUSTED = frozenset(
    "IPython ipykernel traitlets jupyter_client jupyter_core comm tornado zmq debugpy kanoe_worker"
    " logging warnings collections enum typing typing_extensions abc dataclasses traceback unittest contextlib asyncio threading"
    " concurrent multiprocessing importlib functools _pytest weakref codeop linecache"
    " numpy pandas matplotlib scipy sklearn tqdm joblib ipywidgets numba torch tensorflow keras jax absl google six attr attrs".split()
)
_LOOKS = frozenset(["f_globals", "f_locals"])
_HARMLESS_PARTS = frozenset(
    "f_code f_lineno f_back f_lasti f_trace co_filename co_name co_qualname getframeinfo getmodule getfile getsourcefile".split()
)
_DUNDERS = frozenset(
    ["__name__", "__file__", "__package__", "__module__", "__spec__", "__path__", "__loader__", "__warningregistry__"]
)
_WORD = re.compile(r"[^\W\d]\w*")
_TABLE = re.compile(r"\b(?:from|join)\s+(\(|'[^']*'|\"[^\"]+\"|[\w.]+)(\s*\()?((?:\s*,\s*[\w\"]+)*)", re.IGNORECASE)
_COMMON_TABLE = re.compile(r"([^\W\d]\w*)\s+as\s+(?:not\s+)?(?:materialized\s+)?\(", re.IGNORECASE)
_PASSED_OVER = frozenset(["PRECALL", "CACHE", "KW_NAMES", "EXTENDED_ARG", "PUSH_NULL", "NOP"])

_HARMLESS, _EVERYTHING, _BY_INSPECT = "harmless", "everything", "inspect"


class Watch(object):
    """Records which names of a namespace libraries look up through frames, between begin() and end().

    Args:
        namespace: the dictionary in which cells run.
    """

    def __init__(self, namespace):
        self._namespace = namespace
        self._names = set()
        self._everything = False
        self._active = False
        self._verdicts = {}  # code -> verdict
        self._wrapped = set()
        self._original = sys._getframe
        self._replacement = self._make_replacement()

    def begin(self):
        """Start recording."""
        self._names = set()
        self._everything = False
        for name in _WRAPPERS:
            if name in sys.modules:
                self._wrap(name)
        if sys._getframe is not self._replacement:
            self._original = sys._getframe
            sys._getframe = self._replacement
        self._active = True

    def end(self):
        """Stop recording; return the names that were looked up, and whether it may have been all of them."""
        self._active = False
        if sys._getframe is self._replacement:
            sys._getframe = self._original
        return self._names, self._everything

    def note(self, name):
        """A library looks up a name."""
        if self._active and type(name) is str:
            self._names.add(name)

    def _make_replacement(self):
        def _getframe(depth=0):
            original = self._original
            frame = original(depth + 1 if depth > 0 else 1)
            if self._active and not self._everything:
                try:
                    self._judge(original(1))
                except Exception:
                    self._everything = True
            return frame

        return _getframe

    def _judge(self, caller):
        """Note what the code that runs in the frame `caller`, which asks for a frame, may look up."""
        code = caller.f_code
        verdict = self._verdicts.get(code)
        if verdict is None:
            verdict = self._verdicts[code] = self._verdict(code, _module_of(caller))
        if verdict is _HARMLESS:
            return
        if verdict is _BY_INSPECT:
            self._judge_behind(caller.f_back)
        elif verdict is _EVERYTHING:
            self._everything = True
        elif not verdict(self, caller):
            self._everything = True

    def _judge_behind(self, caller):
        """Judge who asked the module `inspect`: a frame whose code does not do that itself stands for C code that it called."""
        if caller is None:
            self._everything = True
        elif _module_of(caller) == "inspect":
            self._judge_behind(caller.f_back)
        elif caller.f_globals is self._namespace and not _NAMES_OF_INSPECT.intersection(caller.f_code.co_names):
            if not _note_sql_of_call(self, caller):
                self._everything = True
        else:
            self._judge(caller)

    def _verdict(self, code, module):
        if module == "inspect":
            return _BY_INSPECT
        for name, found in _KNOWN.items():
            if module == name or module.startswith(name + "."):
                wrapped = _WRAPPED_FOR.get(name)
                if wrapped is not None:
                    return _HARMLESS if self._wrap(wrapped) else _EVERYTHING
                own = found.get(code.co_name)
                if own is not None:
                    return own
        if module.partition(".")[0] in _TRUSTED:
            return _HARMLESS
        return _verdict_of_code(code)

    def _wrap(self, name):
        """Let a library's own look-up tell us; return whether that worked."""
        if name not in self._wrapped:
            module = sys.modules.get(name)
            try:
                _WRAPPERS[name](self, module)
            except Exception:
                return False  # of another age
            self._wrapped.add(name)
        return True


_NAMES_OF_INSPECT = frozenset(["currentframe", "stack", "getouterframes", "trace"])


def _module_of(frame):
    name = frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _verdict_of_code(code):
    """Tell by the attributes that code asks for whether it looks at the names of a frame."""
    mentioned = frozenset(code.co_names)
    if mentioned & _LOOKS:
        only_dunders = "f_locals" not in mentioned and _DUNDERS.intersection(
            constant for constant in code.co_consts if type(constant) is str
        )
        return _HARMLESS if only_dunders else _EVERYTHING
    return _HARMLESS if mentioned & _HARMLESS_PARTS else _EVERYTHING


# numexpr, polars, duckdb: what they look for stands in the variables of the function that asks.


def _note_numexpr(watch, caller):
    """`getArguments(names, local_dict, global_dict)` looks names up that are not in its dictionaries."""
    given = caller.f_locals
    names = given.get("names")
    if names is None:
        return False
    known = given.get("local_dict")
    for name in list(names):
        if type(known) is not dict or name not in known:
            watch.note(str(name))
    return True


def _note_polars(watch, caller):
    """`_get_stack_locals(of_type, named=...)` looks at every variable unless it is told names."""
    named = caller.f_locals.get("named")
    if named is None:
        return False
    for name in [named] if isinstance(named, str) else list(named):
        watch.note(name)
    return True


def _note_duckdb(watch, caller):
    """duckdb from 2 asks in Python: the query is a variable of one of its functions."""
    frame = caller
    noted = False
    while frame is not None and _module_of(frame).partition(".")[0] == "duckdb":
        for value in list(frame.f_locals.values()):
            if type(value) is str and _TABLE.search(value) is not None:
                if not _note_sql(watch, value, None):
                    return False
                noted = True
        frame = frame.f_back
    return noted


def _note_sql_of_call(watch, frame):
    """duckdb before 2 asks in C: the query is the last argument of the call at which the frame stands."""
    last = None
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset >= frame.f_lasti:
            break
        if instruction.opname not in _PASSED_OVER:
            last = instruction
    if last is None:
        return False
    if last.opname.startswith("LOAD_CONST"):
        text = last.argval
    elif last.opname in ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_DEREF"):
        text = frame.f_locals.get(last.argval)
        if text is None:
            text = frame.f_globals.get(last.argval)
    else:
        return False
    return type(text) is str and _note_sql(watch, text, frame)


def _note_sql(watch, text, frame):
    """Note the words of a query, if all its tables are names of the notebook: a view would look up names that do not stand there."""
    common = set(_COMMON_TABLE.findall(text))
    found = False
    for table, called, more in _TABLE.findall(text):
        found = True
        names = _WORD.findall(more)
        if not (called or table[0] in "('"):
            names.append(table.strip('"'))
        for name in names:
            there = name in common or name in watch._namespace or (frame is not None and name in frame.f_locals)
            if not there:
                return False
    for word in _WORD.findall(text):
        watch.note(word)
    return found


# pandas, patsy, formulaic: a method through which all names go.


def _wrap_pandas(watch, module):
    original = module.Scope.resolve

    def resolve(self, key, *more, **named):
        is_local = more[0] if more else named.get("is_local")
        if is_local or not self.has_resolvers:
            watch.note(key)
        return original(self, key, *more, **named)

    module.Scope.resolve = resolve


def _wrap_patsy(watch, module):
    original = module.VarLookupDict.__getitem__

    def get_item(self, key):
        for names in self._dicts:
            if names is watch._namespace:
                watch.note(key)
            elif type(names) is dict and key in names:
                break
        return original(self, key)

    module.VarLookupDict.__getitem__ = get_item


def _wrap_formulaic(watch, module):
    original = module.LayeredMapping.__getitem__

    def get_item(self, key):
        watch.note(key)
        return original(self, key)

    module.LayeredMapping.__getitem__ = get_item


# pickle: what was pickled of the notebook's classes and functions are their names.


def _wrap_pickle(watch, module):
    def note(module_name, name):
        if module_name == "__main__":
            watch.note(str(name).partition(".")[0])

    slow = module._Unpickler
    find_class = slow.find_class

    def find_class_slowly(self, module_name, global_name):
        note(module_name, global_name)
        return find_class(self, module_name, global_name)

    slow.find_class = find_class_slowly
    fast = module.Unpickler
    if fast is slow:
        return

    def find(self, module_name, global_name):
        note(module_name, global_name)
        return fast.find_class(self, module_name, global_name)

    names = {
        "find_class": find,
        "__module__": "pickle",
        "__doc__": fast.__doc__,
        "__slots__": ("__dict__", "__weakref__"),
    }
    unpickler = type("Unpickler", (fast,), names)

    def load(file, **options):
        return unpickler(file, **options).load()

    def loads(data, **options):
        return unpickler(io.BytesIO(data), **options).load()

    for made, real in ((load, module.load), (loads, module.loads)):
        made.__module__, made.__qualname__, made.__doc__ = "pickle", real.__name__, real.__doc__
        if getattr(real, "__text_signature__", None):
            made.__signature__ = inspect.signature(real)
    module.Unpickler, module.load, module.loads = unpickler, load, loads
    # Their tracebacks are those of the real ones, which have no frames.
    file_calls.hide(find, find_class_slowly, load, loads)


_WRAPPERS = {
    "pickle": _wrap_pickle,
    "pandas.core.computation.scope": _wrap_pandas,
    "patsy.eval": _wrap_patsy,
    "formulaic.utils.layered_mapping": _wrap_formulaic,
}
# Modules whose asking is harmless once the look-ups of another are seen.
_WRAPPED_FOR = {
    "pandas.core.computation": "pandas.core.computation.scope",
    "patsy": "patsy.eval",
    "formulaic": "formulaic.utils.layered_mapping",
}
# module -> {function that asks: what notes its look-ups}
_KNOWN = {
    "pandas.core.computation": {},
    "patsy": {},
    "formulaic": {},
    "numexpr.necompiler": {"getArguments": _note_numexpr, "getContext": _HARMLESS},
    "polars": {"_get_stack_locals": _note_polars, "get_stack_locals": _note_polars},
    "duckdb": {"bind": _note_duckdb},
}
