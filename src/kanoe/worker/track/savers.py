"""Objects that pickle cannot keep, or not faithfully: what stands for them.

`find(thing)` gives None (pickle as ever) or a saver:

    lost             why there are no bytes, for people (`a generator`), or None
    pack(thing)      what stands for it: walk this and pickle this instead of the thing; raises ValueError with a reason: lost
    unpack           a function of a module, to pickle by its name; `unpack(packed)` is the thing again
    canonical(thing) what to hash instead of the thing: `pack(thing)` unless the stored form holds chance or places
    reach(thing)     other objects that it shares memory with, to walk for groups, not to hash. For what is lost: exactly the
                     objects that it shares; `reach` is None where that may be anything it holds, however deep
    leaf             whether nothing in it can be changed: no sharing to look for
    alone            whether restored it shares nothing of `reach` with others: where another root reaches the same, it is lost

A type is recognised by its name, so that nothing is imported; `find` never asks the object anything unless its type is known here.
"""

import functools
import gc
import io
import os
import sys
import threading
import types
import weakref

from kanoe_worker.track import codes, definitions, keras_models, models
from kanoe_worker.track.definitions import SIMPLE, dictionary_of, is_among, mro_of, name_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401
from kanoe_worker.track.saver import Saver
from kanoe_worker.track.saver import lost as _lost


def find(thing):
    """Return the saver for an object, or None."""
    kind = type(thing)
    known = _CHOICES.get(id(kind))
    if known is None or known[0]() is not kind:
        known = _choose(kind)
    choice = known[1]
    return choice(thing) if type(choice) is types.FunctionType else choice


def may_need(kind):
    """Return whether some objects of a type may have a saver."""
    known = _CHOICES.get(id(kind))
    if known is None or known[0]() is not kind:
        known = _choose(kind)
    return known[1] is not None


def _choose(kind):
    """Find, and remember, what a type's objects need: a saver, a function that decides by the object, or None."""
    choice = None
    for base in mro_of(kind):
        name = _full_name(base)
        if name in _BY_NAME and (base is kind or name not in _EXACT):
            choice = _BY_NAME[name]
            break
    if choice is None:
        choice = _sentinels(kind)
    key = id(kind)

    def forget(dead):
        if key in _CHOICES and _CHOICES[key][0] is dead:
            del _CHOICES[key]

    _CHOICES[key] = (weakref.ref(kind, forget), choice)
    return _CHOICES[key]


def _full_name(kind):
    return "%s.%s" % (definitions._module_name(kind), name_of(kind))


# ---- what only its name tells: sentinels, modules, what the process has once ------------------------------------------------


def named(module, name):
    """Return what a module holds under a name."""
    __import__(module)
    return getattr(sys.modules[module], name)


def _unpack_named(packed):
    return named(*packed)


def _by_name(module, name):
    return Saver(lambda _: (module, name), _unpack_named, leaf=True)


def _sentinels(kind):
    """Return a choice that recognises the objects that a library made beside their class (`dataclasses.MISSING`), or None."""
    module = definitions._module_name(kind)
    if module in ("", "builtins", "__main__") or "__reduce__" in _own(kind) or "__reduce_ex__" in _own(kind):
        return None
    beside = definitions._module_dictionary(module)
    names = {id(beside[name]): name for name in sorted(beside) if type(beside[name]) is kind}
    if not names:
        return None
    simple = Saver(lambda thing: (module, names[id(thing)]), _unpack_named, leaf=True)
    local = Saver(lost="an object that belongs to the module %s" % module)

    def choose(thing):
        name = names.get(id(thing))
        if name is None or beside.get(name) is not thing:
            return None
        return simple if not _is_local(module) or SIMPLE.issuperset(map(id, map(type, _contents(thing)))) else local

    return choose


def _own(kind):
    found = set()
    for base in mro_of(kind)[:-1]:
        found.update(dictionary_of(base))
    return found


def _contents(thing):
    return [item for item in gc.get_referents(thing) if item is not type(thing)]


def _is_local(module):
    """Return whether a module is neither Python's nor installed: its objects are as much the notebook's as its own."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if type(path) is not str:
        return False
    library = os.path.dirname(os.__file__)
    return "site-packages" not in path and "dist-packages" not in path and not path.startswith(library)


def _choose_module(thing):
    return _MODULE if sys.modules.get(_module_key(thing)) is thing else _LOST_MODULE


def _module_key(thing):
    name = definitions.module_dictionary_of(thing).get("__name__")
    return name if type(name) is str else ""


def _unpack_module(name):
    __import__(name)
    return sys.modules[name]


_MODULE = Saver(_module_key, _unpack_module, leaf=True)
_LOST_MODULE = Saver(lost="a module that no import gives")
_STREAMS = ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__")


def _choose_stream(thing):
    for name in _STREAMS:
        if getattr(sys, name, None) is thing:
            return _by_name("sys", name)
    return _choose_file(thing) if _full_name(type(thing)).startswith("_io.") else Saver(lost="a stream")


def _pack_logger(thing):
    return "" if name_of(type(thing)) == "RootLogger" else thing.name


def _unpack_logger(name):
    import logging

    return logging.getLogger(name) if name else logging.getLogger()


def _choose_logger(thing):
    import logging

    return _LOGGER if thing is logging.root or logging.root.manager.loggerDict.get(thing.name) is thing else None


_LOGGER = Saver(_pack_logger, _unpack_logger, leaf=True)


def _unpack_shell(_packed):
    return sys.modules["IPython.core.interactiveshell"].InteractiveShell._instance


_SHELL = Saver(lambda _: "shell", _unpack_shell, leaf=True)


# ---- Python's own building blocks -------------------------------------------------------------------------------------------


def _choose_code(thing):
    return _CODE if codes.is_plain(thing) else _LOST_CODE


_CODE = Saver(codes.pack, codes.unpack, codes.canonical, leaf=True)
_LOST_CODE = Saver(lost="changed code")


def _pack_cell(cell):
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _unpack_cell(packed):
    cell = codes.new_cell()
    if packed:
        codes.set_cell(cell, packed[0])
    return cell


def _pack_property(thing):
    held = [getattr(property, name).__get__(thing) for name in ("fget", "fset", "fdel")]
    return (type(thing), held, thing.__doc__, _state(thing))


def _unpack_property(packed):
    kind, held, text, state = packed
    made = property.__new__(kind)
    property.__init__(made, *held, doc=text)
    _set_state(made, state)
    return made


def _pack_method_kind(thing):
    base = classmethod if is_among(classmethod, mro_of(type(thing))) else staticmethod
    return (type(thing), base.__func__.__get__(thing), _state(thing))


def _unpack_method_kind(packed):
    base = classmethod if is_among(classmethod, mro_of(packed[0])) else staticmethod
    made = base.__new__(packed[0])
    base.__init__(made, packed[1])
    _set_state(made, packed[2])
    return made


def _state(thing):
    try:
        return object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None


def _set_state(made, state):
    if state is not None:
        _state(made).clear()
        _state(made).update(state)


def _pack_method(thing):
    return (thing.__func__, thing.__self__)


def _unpack_method(packed):
    return types.MethodType(*packed)


def _pack_super(thing):
    return (thing.__thisclass__, thing.__self__)


def _unpack_super(packed):
    return super(*packed) if packed[1] is not None else super(packed[0])


def _pack_descriptor(thing):
    return (thing.__objclass__, thing.__name__)


def _unpack_descriptor(packed):
    return dictionary_of(packed[0])[packed[1]]


def _choose_descriptor(thing):
    return (
        _DESCRIPTOR
        if dictionary_of(thing.__objclass__).get(thing.__name__) is thing
        else Saver(lost="a descriptor of a class")
    )


_DESCRIPTOR = Saver(_pack_descriptor, _unpack_descriptor)


def _pack_proxy(thing):
    return (gc.get_referents(thing)[0],)


def _unpack_proxy(packed):
    return types.MappingProxyType(packed[0])


def _choose_proxy(thing):
    under = gc.get_referents(thing)
    return _PROXY if len(under) == 1 and not _belongs_to_class(under[0]) else Saver(lost="a class's dictionary")


def _belongs_to_class(under):
    return type(under) is dict and any([type(item) is definitions._GetSet for item in under.values()])


_PROXY = Saver(_pack_proxy, _unpack_proxy)


def _pack_view(thing):
    return (name_of(type(thing)).split("_")[1], gc.get_referents(thing)[0])


def _unpack_view(packed):
    return getattr(packed[1], packed[0])()


def _choose_cache(thing):
    """Decide on an `lru_cache`: an unused one is made anew; what a used one remembers cannot be read."""
    used = thing.cache_info()
    if used.hits or used.misses or used.currsize or not hasattr(thing, "cache_parameters"):
        return _LOST_CACHE
    return _CACHE


def _pack_cache(thing):
    settings = thing.cache_parameters()
    return (thing.__wrapped__, settings["maxsize"], settings["typed"], thing.__dict__)


def _unpack_cache(packed):
    made = functools.lru_cache(maxsize=packed[1], typed=packed[2])(packed[0])
    made.__dict__.clear()
    made.__dict__.update(packed[3])
    return made


_CACHE = Saver(_pack_cache, _unpack_cache)
_LOST_CACHE = Saver(lost="what an lru_cache remembers")


def _pack_reference(thing):
    return (thing(), thing.__callback__)


def _unpack_reference(packed):
    target, callback = packed
    if target is None:
        target = _Gone()
    return weakref.ref(target, callback) if callback is not None else weakref.ref(target)


class _Gone(object):
    """What a dead weak reference pointed at."""


def _pack_weak(thing):
    items = thing.items() if hasattr(thing, "items") else thing
    return (type(thing), list(items))


def _unpack_weak(packed):
    return packed[0](packed[1])


def _choose_lock(thing):
    return _LOCK if not thing.locked() else _HELD_LOCK


def _unpack_lock(_packed):
    return threading.Lock()


def _choose_recursive_lock(thing):
    if thing._is_owned() or not thing.acquire(False):
        return _HELD_LOCK
    thing.release()
    return _RECURSIVE_LOCK


def _unpack_recursive_lock(_packed):
    return threading.RLock()


_LOCK = Saver(lambda _: "lock", _unpack_lock)
_RECURSIVE_LOCK = Saver(lambda _: "rlock", _unpack_recursive_lock)
_HELD_LOCK = Saver(lost="a lock that somebody holds")


def _choose_file(thing):
    try:
        closed = bool(thing.closed)
        kind = name_of(type(thing))
        return _CLOSED_FILE if closed and kind in _FILE_KINDS and _pack_file(thing) else _OPEN_FILE
    except Exception:
        return _OPEN_FILE


_FILE_KINDS = ("TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom", "FileIO")


def _pack_file(thing):
    kind = name_of(type(thing))
    raw = thing if kind == "FileIO" else thing.raw if kind != "TextIOWrapper" else thing.buffer.raw
    if type(raw) is not io.FileIO or type(raw.name) not in (str, bytes):
        raise ValueError("a file that is no file")
    text = (
        (thing.buffer.__class__.__name__, thing.mode, thing.encoding, thing.errors) if kind == "TextIOWrapper" else None
    )
    return (kind, raw.name, text)


def _unpack_file(packed):
    """Make a closed file with the names of another."""
    kind, name, text = packed
    inner = text[0] if text else kind
    raw = io.FileIO(os.devnull, "r+" if inner == "BufferedRandom" else "w" if inner == "BufferedWriter" else "r")
    made = raw
    if kind != "FileIO":
        made = getattr(io, inner)(raw)
    if text:
        made = io.TextIOWrapper(made, encoding=text[2], errors=text[3])
        made.mode = text[1]
    made.close()
    raw.name = name
    return made


_CLOSED_FILE = Saver(_pack_file, _unpack_file)
_OPEN_FILE = Saver(lost="an open file")


def _choose_match(thing):
    for name in ("search", "match", "fullmatch"):
        again = getattr(thing.re, name)(thing.string, thing.pos, thing.endpos)
        if again is not None and again.regs == thing.regs:
            return _MATCHES[name]
    return Saver(lost="a match of a regular expression")


def _pack_match(name):
    return lambda thing: (name, thing.re, thing.string, thing.pos, thing.endpos)


def _unpack_match(packed):
    return getattr(packed[1], packed[0])(*packed[2:])


_MATCHES = {name: Saver(_pack_match(name), _unpack_match) for name in ("search", "match", "fullmatch")}


def _pack_type_variable(thing):
    options = [(name, getattr(thing, name)) for name in _VARIABLE_OPTIONS if hasattr(thing, name)]
    return (type(thing), thing.__name__, getattr(thing, "__constraints__", ()), options)


_VARIABLE_OPTIONS = (
    "__bound__",
    "__covariant__",
    "__contravariant__",
    "__infer_variance__",
    "__default__",
    "__module__",
)


def _unpack_type_variable(packed):
    kind, name, constraints, options = packed
    options = dict(options)
    given = {}
    for option in ("__covariant__", "__contravariant__", "__infer_variance__", "__bound__"):
        if options.get(option):
            given[option.strip("_")] = options[option]
    if "__default__" in options and options["__default__"] is not _no_default():
        given["default"] = options["__default__"]
    return _called_from(options.get("__module__", "__main__"), kind, (name,) + tuple(constraints), given)


def _called_from(module, function, arguments, named):
    """Call what takes the module of its caller for its own."""
    given = {"__name__": module, "function": function, "arguments": arguments, "named": named}
    return eval("function(*arguments, **named)", given)


def _no_default():
    return getattr(sys.modules.get("typing"), "NoDefault", None)


def _choose_type_variable(thing):
    """Decide on a TypeVar: a library's own is known by its name."""
    return _in_module(thing, thing.__module__, thing.__name__) or _TYPE_VARIABLE


def _in_module(thing, module, name):
    """Return a saver by name where a library's module holds an object under a name, else None."""
    if type(module) is not str or type(name) is not str or module == "__main__":
        return None
    if definitions._module_dictionary(module).get(name) is not thing:
        return None
    return _by_name(module, name)


_TYPE_VARIABLE = Saver(_pack_type_variable, _unpack_type_variable)


def _choose_alias(thing):
    """Decide on `typing.List` (known by its name) or `List[int]`."""
    return _in_module(thing, "typing", object.__getattribute__(thing, "__dict__").get("_name")) or _ALIAS


def _pack_alias(thing):
    return (type(thing), object.__getattribute__(thing, "__dict__"))


def _unpack_alias(packed):
    made = object.__new__(packed[0])
    object.__getattribute__(made, "__dict__").update(packed[1])
    return made


_ALIAS = Saver(_pack_alias, _unpack_alias, leaf=True)


def _choose_old_union(thing):
    return None if thing.__args__ is None else _OLD_UNION


def _pack_old_union(thing):
    return thing.__args__


def _unpack_old_union(packed):
    return sys.modules["typing"].Union[packed]


_OLD_UNION = Saver(_pack_old_union, _unpack_old_union, leaf=True)


def _pack_type_alias(thing):
    return (thing.__name__, thing.__value__, thing.__type_params__, thing.__module__)


def _unpack_type_alias(packed):
    name, value, parameters, module = packed
    return _called_from(module, sys.modules["typing"].TypeAliasType, (name, value), {"type_params": parameters})


def _pack_plain_alias(thing):
    return (thing.__origin__, thing.__args__)


def _unpack_plain_alias(packed):
    return types.GenericAlias(*packed)


def _choose_old_generic(thing):
    """Decide on a class of `typing` in Python 3.6, where `List[int]` is one."""
    if dictionary_of(thing).get("__origin__") is None:
        return None
    if definitions._module_name(thing.__origin__) == "__main__":
        return Saver(lost="a generic class with its parameters")
    return Saver(lambda thing: (thing.__origin__, thing.__args__), _unpack_old_generic, leaf=True)


def _unpack_old_generic(packed):
    return packed[0][packed[1] if len(packed[1]) != 1 else packed[1][0]]


def _pack_new_type(thing):
    return (thing.__name__, thing.__supertype__, thing.__module__)


def _unpack_new_type(packed):
    return _called_from(packed[2], sys.modules["typing"].NewType, packed[:2], {})


def _choose_exception(thing):
    kind = type(thing)
    if BaseException.__traceback__.__get__(thing) is not None:
        return _LOST_EXCEPTION
    if definitions.library_name(kind) is not None:
        return None
    plain = all([id(base) in _PLAIN_EXCEPTIONS or definitions._made_by_python(base) for base in mro_of(kind)])
    return _EXCEPTION if plain else None


_PLAIN_EXCEPTIONS = frozenset(
    map(
        id,
        [
            object,
            BaseException,
            Exception,
            ArithmeticError,
            LookupError,
            ValueError,
            TypeError,
            RuntimeError,
            KeyError,
            IndexError,
        ]
        + [
            AssertionError,
            NotImplementedError,
            ZeroDivisionError,
            Warning,
            UserWarning,
            RuntimeWarning,
            DeprecationWarning,
        ],
    )
)


def _pack_exception(thing):
    chain = (BaseException.__cause__.__get__(thing), BaseException.__context__.__get__(thing))
    suppress = BaseException.__suppress_context__.__get__(thing)
    return (type(thing), BaseException.args.__get__(thing), object.__getattribute__(thing, "__dict__"), chain, suppress)


def _unpack_exception(packed):
    kind, arguments, state, (cause, context), suppress = packed
    made = BaseException.__new__(kind, *arguments)
    object.__getattribute__(made, "__dict__").update(state)
    made.__cause__, made.__context__, made.__suppress_context__ = cause, context, suppress
    return made


_EXCEPTION = Saver(_pack_exception, _unpack_exception)
_LOST_EXCEPTION = Saver(lost="an exception with the frames it came through")


def _pack_line(thing):
    return thing.number


def _unpack_line(number):
    return definitions.Line(number)


_VIEW = Saver(_pack_view, _unpack_view)
_WEAK = Saver(_pack_weak, _unpack_weak)
_GENERATOR = _lost("a generator")
_TASK = _lost("a task of asyncio")
_NETWORK = _lost("a connection")
_DATABASE = _lost("a connection to a database")
_PROCESS = _lost("a process")

_BY_NAME = {
    "builtins.module": _choose_module,
    "builtins.code": _choose_code,
    "builtins.cell": Saver(_pack_cell, _unpack_cell),
    "builtins.property": Saver(_pack_property, _unpack_property),
    "builtins.classmethod": Saver(_pack_method_kind, _unpack_method_kind),
    "builtins.staticmethod": Saver(_pack_method_kind, _unpack_method_kind),
    "builtins.method": Saver(_pack_method, _unpack_method),
    "builtins.super": Saver(_pack_super, _unpack_super),
    "builtins.member_descriptor": _choose_descriptor,
    "builtins.getset_descriptor": _choose_descriptor,
    "builtins.wrapper_descriptor": _choose_descriptor,
    "builtins.method_descriptor": _choose_descriptor,
    "builtins.classmethod_descriptor": _choose_descriptor,
    "builtins.mappingproxy": _choose_proxy,
    "builtins.dict_keys": _VIEW,
    "builtins.dict_values": _VIEW,
    "builtins.dict_items": _VIEW,
    "collections.odict_keys": _VIEW,
    "collections.odict_values": _VIEW,
    "collections.odict_items": _VIEW,
    "builtins.odict_keys": _VIEW,
    "builtins.odict_values": _VIEW,
    "builtins.odict_items": _VIEW,
    "functools._lru_cache_wrapper": _choose_cache,
    "builtins.weakref": Saver(_pack_reference, _unpack_reference),
    "weakref.ReferenceType": Saver(_pack_reference, _unpack_reference),
    "weakref.WeakKeyDictionary": _WEAK,
    "weakref.WeakValueDictionary": _WEAK,
    "_weakrefset.WeakSet": _WEAK,
    "builtins.weakproxy": _lost("a weak proxy"),
    "builtins.weakcallableproxy": _lost("a weak proxy"),
    "weakref.ProxyType": _lost("a weak proxy"),
    "weakref.CallableProxyType": _lost("a weak proxy"),
    "weakref.finalize": _lost("a finalizer"),
    "_thread.lock": _choose_lock,
    "_thread.RLock": _choose_recursive_lock,
    "_thread._local": _lost("a value of each thread"),
    "_thread._ThreadHandle": _lost("a thread"),
    "threading.Thread": _lost("a thread"),
    "builtins.generator": _GENERATOR,
    "builtins.coroutine": _lost("a coroutine"),
    "builtins.async_generator": _GENERATOR,
    "builtins.frame": _lost("a frame"),
    "builtins.traceback": _lost("a traceback"),
    "builtins.memoryview": _lost("a view of memory"),
    "_asyncio.Task": _TASK,
    "_asyncio.Future": _TASK,
    "asyncio.events.AbstractEventLoop": _lost("an event loop"),
    "_contextvars.ContextVar": _lost("a context variable"),
    "builtins.ContextVar": _lost("a context variable"),
    "_io.TextIOWrapper": _choose_stream,
    "_io.BufferedReader": _choose_stream,
    "_io.BufferedWriter": _choose_stream,
    "_io.BufferedRandom": _choose_stream,
    "_io.FileIO": _choose_stream,
    "ipykernel.iostream.OutStream": _choose_stream,
    "tempfile._TemporaryFileWrapper": _OPEN_FILE,
    "tempfile.TemporaryDirectory": _lost("a temporary folder"),
    "zipfile.ZipFile": _lost("an archive"),
    "tarfile.TarFile": _lost("an archive"),
    "mmap.mmap": _lost("a mapped file"),
    "socket.socket": _NETWORK,
    "_socket.socket": _NETWORK,
    "ssl.SSLSocket": _NETWORK,
    "http.client.HTTPConnection": _NETWORK,
    "select.epoll": _lost("an open file"),
    "subprocess.Popen": _PROCESS,
    "multiprocessing.process.BaseProcess": _PROCESS,
    "multiprocessing.pool.Pool": _lost("a pool of processes"),
    "multiprocessing.managers.BaseManager": _PROCESS,
    "multiprocessing.managers.BaseProxy": _PROCESS,
    "multiprocessing.queues.Queue": _lost("a queue between processes"),
    "multiprocessing.queues.SimpleQueue": _lost("a queue between processes"),
    "multiprocessing.synchronize.SemLock": _lost("a lock between processes"),
    "multiprocessing.connection._ConnectionBase": _lost("a pipe"),
    "concurrent.futures._base.Executor": _lost("a pool"),
    "sqlite3.Connection": _DATABASE,
    "sqlite3.Cursor": _DATABASE,
    "_duckdb.DuckDBPyConnection": _DATABASE,
    "_duckdb.DuckDBPyRelation": _DATABASE,
    "duckdb.duckdb.DuckDBPyConnection": _DATABASE,
    "duckdb.duckdb.DuckDBPyRelation": _DATABASE,
    "duckdb.DuckDBPyConnection": _DATABASE,
    "duckdb.DuckDBPyRelation": _DATABASE,
    "sqlalchemy.engine.base.Engine": _DATABASE,
    "sqlalchemy.engine.base.Connection": _DATABASE,
    "ctypes.CDLL": _lost("a loaded library"),
    "logging.Logger": _choose_logger,
    "logging.Handler": _lost("a handler of logging"),
    "IPython.core.interactiveshell.InteractiveShell": _SHELL,
    "re.Match": _choose_match,
    "_sre.SRE_Match": _choose_match,
    "typing.TypeVar": _choose_type_variable,
    "typing.ParamSpec": _choose_type_variable,
    "typing.TypeVarTuple": _choose_type_variable,
    "typing.TypeAliasType": Saver(_pack_type_alias, _unpack_type_alias, leaf=True),
    "typing._Union": _choose_old_union,
    "typing.NewType": Saver(_pack_new_type, _unpack_new_type),
    "typing._GenericAlias": _choose_alias,
    "typing._SpecialGenericAlias": _choose_alias,
    "types.GenericAlias": Saver(_pack_plain_alias, _unpack_plain_alias, leaf=True),
    "typing.GenericMeta": _choose_old_generic,
    "builtins.BaseException": _choose_exception,
    "kanoe_worker.track.definitions.Line": Saver(_pack_line, _unpack_line, lambda _: (), leaf=True),
    "kanoe.worker.track.definitions.Line": Saver(_pack_line, _unpack_line, lambda _: (), leaf=True),
}
_BY_NAME.update(models.TABLE)
_BY_NAME.update(keras_models.TABLE)
_EXACT = models.EXACT | {"types.GenericAlias"}
_CHOICES = {}  # id of a type -> (weak reference, saver, function that chooses one, or None)
