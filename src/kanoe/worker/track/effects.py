"""What else a cell changes in the process: attributes of libraries, imports with side effects, threads and children left running.

A patch is an attribute of a library's module or class that was bound anew by the notebook, or by another library:
`effect:patch:MODULE:NAME`. What a library changes of its own (lazy imports, caches, counters) is none. Every cell reads all
patches: `effect:patch:*`.
"""

import collections
import ctypes
import functools
import gc
import operator
import os
import re
import sys
import types

from kanoe_worker.track import encoded, kinds, local_modules
from kanoe_worker.track.encoded import Written, hash_below
from kanoe_worker.track.interactive import LAST_ERRORS, SYSTEM_HOOKS, of_notebook
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_HEAP_TYPE = 1 << 9
_VERSION = 24  # bytes from a dictionary's start to `ma_version_tag`, CPython 3.6 to 3.13
_MAPPING = 16  # bytes from a mapping proxy's start to the pointer to what it shows
_AT_ONCE = 128  # versions that are compared in one step
_ALL_CHILDREN = 0x40000000  # __WALL of wait(2): also those that end without a signal
_MISSING = object()
# Entries that come and go by themselves.
_OWN = frozenset(
    "__warningregistry__ __builtins__ __spec__ __loader__ __cached__ __file__ __path__ __package__ __abstractmethods__ _abc_impl"
    " _abc_registry _abc_cache _abc_negative_cache _abc_negative_cache_version __annotations__ __annotate__ __annotate_func__"
    " __annotations_cache__ __dict__ __weakref__ __slotnames__ __parameters__ __orig_bases__ __signature__ __static_attributes__".split()
)
_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type,
    staticmethod,
    classmethod,
    property,
    functools.partial,
)

# What may hold something else, though it is the same.
_CONTAINERS = (list, dict, set, bytearray, collections.OrderedDict, collections.defaultdict, collections.deque)

# What the kernel itself is made of patches libraries in every session alike.
_MACHINERY = ("kanoe_worker", "IPython", "ipykernel", "matplotlib_inline")


class Versions(object):
    """The version numbers that CPython 3.6 to 3.13 keeps in dictionaries: many at once, in little time."""

    def __init__(self):
        self._words = self._places = None
        self.works = (
            sys.implementation.name == "cpython" and (3, 6) <= sys.version_info[:2] <= (3, 13) and self._tested()
        )
        self._gather = lambda: ()
        self._seen = ()

    def of(self, mapping):
        """Return the address of the version of a dictionary, or of that behind a mapping proxy."""
        if type(mapping) is dict:
            return id(mapping) + _VERSION
        return ctypes.c_void_p.from_address(id(mapping) + _MAPPING).value + _VERSION

    def follow(self, addresses):
        """Look at these from now on, of which the first are those of before; the dictionaries must live on."""
        base, top = min(addresses), max(addresses)
        words = (ctypes.c_uint64 * ((top - base) // 8 + 1)).from_address(base)
        memory = memoryview(words).cast("B").cast("Q")
        pick = operator.itemgetter(*[(address - base) // 8 for address in addresses])
        single = len(addresses) == 1
        self._gather = lambda: (pick(memory),) if single else pick(memory)
        self._seen = tuple(self._seen) + self._gather()[len(self._seen) :]
        self._words = None
        numpy = sys.modules.get("numpy")
        if hasattr(numpy, "frombuffer") and hasattr(numpy, "array"):
            self._words = numpy.frombuffer(memory, dtype="u8")
            self._places = numpy.array([(address - base) // 8 for address in addresses], dtype="i8")
            self._seen = numpy.array(self._seen, dtype="u8")

    def changed(self):
        """Return the positions of those whose versions are others than the last time."""
        before = self._seen
        if self._words is not None:
            now = self._seen = self._words[self._places]
            return (now != before).nonzero()[0].tolist()
        now = self._seen = self._gather()
        found = []
        for start in range(0, len(now), _AT_ONCE):
            if now[start : start + _AT_ONCE] != before[start : start + _AT_ONCE]:
                some = range(start, min(start + _AT_ONCE, len(now)))
                found += [position for position in some if now[position] != before[position]]
        return found

    def _tested(self):
        try:
            if ctypes.sizeof(ctypes.c_void_p) != 8 or hasattr(sys, "getobjects"):
                return False

            class Probe(object):
                pass

            proxy = Probe.__dict__
            module = types.ModuleType("probe")
            for mapping, owner in ((module.__dict__, module), (proxy, Probe)):
                address = self.of(mapping)
                seen = [ctypes.c_uint64.from_address(address).value]
                for value in ([], [], {}):
                    owner.attribute = value
                    seen.append(ctypes.c_uint64.from_address(address).value)
                if len(set(seen)) != 4 or ctypes.c_uint64.from_address(address).value != seen[-1]:
                    return False
            return True
        except Exception:
            return False


class Patches(object):
    """The channel of attributes of libraries."""

    prefix = "effect:patch:"

    def __init__(self, imports, shell):
        self._shell = shell
        self._versions = Versions()
        self._owners = []  # (module name, path within it or "", module or class, its mapping)
        self._snapshots = []
        self._known = set()  # ids of the owners
        self._modules = 0
        self._before = {}
        self._early = {}
        self._original = {}  # reference -> (owner, attribute, value that a fresh process has)
        self._hashes = {}
        self._contents = {}  # reference -> hash of what it held when it was written
        self._patched = {}  # reference -> value
        self._imports = imports
        self._waiting = {}
        self._take_new()
        imports.around(self._before_import, self._after_import)

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith(self.prefix)

    def begin(self):
        """See `channels`."""
        self._before = dict(self._hashes)
        self._early = {}

    def end(self):
        """See `channels`."""
        writes = self._early
        self._compare(writes)
        self._compare_inside(writes)
        self._take_new()
        return {self.prefix + "*": hash_below(self._before)}, writes

    def restore(self, values):
        """See `channels`."""
        failed = {}
        for reference, data in values.items():
            if self.owns(reference):
                module = reference[len(self.prefix) :].partition(":")[0]
                self._waiting[reference] = data
                self._hashes.pop(reference, None)
                if data is not None:
                    self._hashes[reference] = encoded.hash_in(data)
                self._imports.when(module, lambda _module, reference=reference: self._restore_one(reference, failed))
        self._compare(None)
        return failed

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return [value for value in self._patched.values() if isinstance(value, _CODE) and by_notebook(value)]

    def _restore_one(self, reference, failed):
        if reference not in self._waiting:
            return
        data = self._waiting.pop(reference)
        module, _, path = reference[len(self.prefix) :].partition(":")
        try:
            owner = sys.modules[module]
            names = path.split(".")
            for name in names[:-1]:
                owner = getattr(owner, name)
            name = names[-1]
            if data is not None:
                value = encoded.decode(data)
                self._remember(reference, owner, name, _entry(owner, name))
                setattr(owner, name, value)
                self._patched[reference] = value
                self._contents[reference] = encoded.hash_in(data)
            elif reference in self._original:
                _put_back(*self._forget(reference))
                self._patched.pop(reference, None)
        except Exception as error:
            failed[reference] = "%s: %s" % (type(error).__name__, error)

    def _remember(self, reference, owner, name, value):
        """Note what a fresh process has in a place."""
        if reference not in self._original:
            self._original[reference] = (owner, name, value)
            if value is not _MISSING:
                kinds.originals[_place_of(reference)] = value

    def _forget(self, reference):
        """Note that a place has this again, and return it."""
        kinds.originals.pop(_place_of(reference), None)
        return self._original.pop(reference)

    def _before_import(self):
        # What the cell did so far is the notebook's; `end` tells.
        self._compare(self._early)

    def _after_import(self, _name, inert):
        if inert:
            self._compare(None)
        self._take_new()

    def _take_new(self):
        """Remember what modules that have come since are like."""
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        collecting = gc.isenabled()
        gc.disable()
        try:
            found = []
            for name, module in list(sys.modules.items()):
                if id(module) not in self._known and type(name) is str and self._is_watched(name, module):
                    self._known.add(id(module))
                    found.append((name, "", module, module.__dict__))
                    self._take_classes(name, module, found)
            if not found:
                return
            self._owners.extend(found)
            if self._versions.works:
                self._versions.follow([self._versions.of(mapping) for _, _, _, mapping in self._owners])
            self._snapshots.extend(mapping.copy() for _, _, _, mapping in found)
        finally:
            if collecting:
                gc.enable()

    def _is_watched(self, name, module):
        return (
            isinstance(module, types.ModuleType)
            and type(module.__dict__) is dict
            and name not in ("__main__", "__mp_main__")
            and not local_modules.owns(name, module)
        )

    def _take_classes(self, name, module, found):
        for value in list(module.__dict__.values()):
            if (
                kinds.is_type(type(value))
                and id(value) not in self._known
                and type.__getattribute__(value, "__flags__") & _HEAP_TYPE
            ):
                if type.__getattribute__(value, "__module__") in ("__main__", None):
                    continue
                self._known.add(id(value))
                home = type.__getattribute__(value, "__module__")
                path = type.__getattribute__(value, "__qualname__")
                if type(home) is str and home in sys.modules and local_modules.owns(home, sys.modules[home]):
                    continue
                if type(home) is not str or "<" in path:
                    home, path = name, path.split(".")[-1]
                found.append((home, path, value, type.__dict__["__dict__"].__get__(value)))

    def _compare(self, writes):
        """Note what changed; with None for `writes`, take it for what libraries are like."""
        if self._versions.works:
            changed = self._versions.changed()
        else:
            changed = range(len(self._owners))
        for position in changed:
            module, path, owner, mapping = self._owners[position]
            before = self._snapshots[position]
            if writes is None:
                self._snapshots[position] = mapping.copy()
                continue
            names = [name for name, value in list(mapping.items()) if before.get(name, _MISSING) is not value]
            names += [name for name in before if name not in mapping]
            if not names:
                continue
            self._snapshots[position] = mapping.copy()
            for name in names:
                if type(name) is str and name not in _OWN:
                    self._note(
                        module, path, owner, name, before.get(name, _MISSING), mapping.get(name, _MISSING), writes
                    )

    def _note(self, module, path, owner, name, old, new, writes):
        reference = "%s%s:%s%s" % (self.prefix, module, path + "." if path else "", name)
        if reference in self._original:
            if new is self._original[reference][2]:
                self._forget(reference)
                self._hashes.pop(reference, None)
                self._patched.pop(reference, None)
                writes[reference] = None
                return
        elif not self._counts(module, path, name, old, new):
            return
        else:
            self._remember(reference, owner, name, old)
        self._patched[reference] = new
        writes[reference] = self._written(reference, new)

    def _written(self, reference, value):
        """Return what to report for a new value, or new content, of an attribute."""
        written = encoded.written(("deleted",) if value is _MISSING else value)
        self._hashes[reference] = self._contents[reference] = written[0]
        if type(value) in _CONTAINERS and self._is_shared(reference, value):
            written = Written(written[0], None, "something else holds it too")
        return written

    def _compare_inside(self, writes):
        """Note which of the lists and so on that were bound to attributes hold something else now."""
        for reference in list(self._patched):
            value = self._patched[reference]
            if type(value) in _CONTAINERS and reference not in writes:
                digest, _ = encoded.written(value)
                if digest != self._contents.get(reference):
                    writes[reference] = self._written(reference, value)

    def _is_shared(self, reference, value):
        """Return whether more than the attribute refers to a value: its bytes alone would tear them apart."""
        owner = self._original[reference][0]
        ours = [self._patched, vars(self), sys._getframe(), sys._getframe(1), sys._getframe(2), sys._getframe(3)]
        ours += self._snapshots + gc.get_referents(owner) + [owner]
        known = set(map(id, ours))
        return any([id(holder) not in known for holder in gc.get_referrers(value)])

    def _counts(self, module, path, name, old, new):
        """Say whether the notebook, or another library, did this."""
        if isinstance(new, types.ModuleType) or (module in ("sys", "threading") and name in SYSTEM_HOOKS + LAST_ERRORS):
            return False
        if isinstance(new, _CODE):
            if by_notebook(new):
                return True
            home = home_of(new)
            if home is not None and home != module.partition(".")[0]:
                if home in _MACHINERY:
                    return False
                if path or (old is not _MISSING and old is not None and not isinstance(old, types.ModuleType)):
                    return True
        if module == "builtins" and new is _MISSING:
            return False  # IPython takes its own names away and puts them back
        return self._is_mentioned(name)

    def _is_mentioned(self, name):
        """Return whether the code of the notebook binds such an attribute, as far as one can see."""
        text = self._text()
        if text is None or re.search(r"[.'\"]\s*%s\b" % re.escape(name), text):
            return True
        for value in list(self._shell.user_ns.values()) if self._shell is not None else ():
            if type(value) is types.FunctionType and _code_mentions(value.__code__, name, 0):
                return True
        return False

    def _text(self):
        try:
            return self._shell.user_ns["In"][-1]
        except Exception:
            return None


def _place_of(reference):
    module, _, path = reference[len(Patches.prefix) :].partition(":")
    return module, path


def _code_mentions(code, name, depth):
    if name in code.co_names or name in code.co_consts:
        return True
    return depth < 5 and any(
        isinstance(constant, types.CodeType) and _code_mentions(constant, name, depth + 1)
        for constant in code.co_consts
    )


def unwrapped(value):
    """Return the function within what wraps it."""
    for _ in range(5):
        if isinstance(value, (staticmethod, classmethod)):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, functools.partial):
            value = value.func
        else:
            break
    return value


def by_notebook(value):
    """Return whether code comes from the notebook."""
    return of_notebook(unwrapped(value))


def home_of(value):
    """Return the top-level package that code comes from, or None."""
    value = unwrapped(value)
    if isinstance(value, types.MethodType):
        value = value.__func__
    if isinstance(value, types.FunctionType):
        module = value.__globals__.get("__name__")
    elif kinds.is_type(type(value)):
        module = type.__getattribute__(value, "__module__")
    else:
        module = getattr(value, "__module__", None)
    return module.partition(".")[0] if type(module) is str else None


def _entry(owner, name):
    return (owner.__dict__ if not kinds.is_type(type(owner)) else type.__dict__["__dict__"].__get__(owner)).get(
        name, _MISSING
    )


def _put_back(owner, name, value):
    if value is _MISSING:
        delattr(owner, name)
    else:
        setattr(owner, name, value)


# Threads and children


def is_program(process):
    """Return whether a child process is a program of its own, no worker of Python's pools."""
    try:
        with open("/proc/%d/cmdline" % process, "rb") as file:
            words = file.read()
        with open("/proc/self/cmdline", "rb") as file:
            own = file.read()
    except OSError:
        return False
    if words == own:
        return process not in _pool_workers()
    pools = (b"multiprocessing", b"loky", b"joblib", b"resource_tracker", b"forkserver")
    return words != b"" and not any(word in words for word in pools)


def _pool_workers():
    """Return the processes that Python's own pools have forked."""
    workers = getattr(sys.modules.get("multiprocessing.process"), "_children", ())
    return {getattr(getattr(worker, "_popen", None), "pid", None) for worker in list(workers)}


class Children(object):
    """Whether the process had children since `begin`: the kernel counts what those that were waited for have used."""

    def __init__(self):
        self._before = None
        self._living = frozenset()

    def begin(self):
        """Expect a cell."""
        self._before = self._used()
        self._living = frozenset(self.alive())

    def __call__(self):
        """Return whether there were, or are, any."""
        import signal

        unseen = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
        return unseen or self._before != self._used() or not self._living.issuperset(self.alive())

    def alive(self):
        """Return the process ids of the children that live."""
        found = []
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _ALL_CHILDREN)
        except ChildProcessError:
            return []
        except OSError:
            pass
        try:
            for thread in os.listdir("/proc/self/task"):
                with open("/proc/self/task/%s/children" % thread) as file:
                    found.extend(int(word) for word in file.read().split())
        except (OSError, ValueError):
            return []
        return found

    def _used(self):
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_minflt, used.ru_majflt, used.ru_utime, used.ru_nvcsw)
