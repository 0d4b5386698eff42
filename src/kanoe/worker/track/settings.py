"""Settings of the process and of libraries: one reference each, absent where they are as a fresh process has them.

A library's settings count from its import on; its own values then are what a fresh process has. What is restored before the library
is there waits for its import. A setting whose readers can be seen is read by cells that look at it, the rest by every cell.
"""

import csv
import decimal
import gc
import locale
import mmap
import os
import socket
import sys
import tempfile
import time
from math import isnan

from kanoe_worker.track import encoded
from kanoe_worker.track.encoded import Lost, hash_below
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_MISSING = object()


class Setting(object):
    """One setting that is read and written as a whole.

    Args:
        name: the reference is `setting:NAME`.
        read: returns its value, made of exact built-in types where that is possible; must be cheap.
        write: takes such a value.
        module: the library, or None.
        seen: whether cells that read it say so by `touch`; else every cell reads it.
        same: compares two values; the default asks built-in types only.
        lost: returns why a value cannot be restored, or None.
    """

    def __init__(self, name, read, write, module=None, seen=False, same=None, lost=None):
        self.reference = "setting:" + name
        self.module = module
        self.seen = seen
        self.read = read
        self.write = write
        self.same = same or plainly_same
        self.lost = lost or (lambda: None)
        self.touched = False


class Settings(object):
    """The channel of all settings that are one value each."""

    def __init__(self, imports, table):
        self._active = []
        self._waiting = {}
        self._now = {}  # reference -> (value, hash or None where it is the default)
        self._default = {}
        self._references = frozenset(entry.reference for entry in table)
        self._restored = {}  # reference -> bytes, as long as no cell set it anew
        self._marked = {}
        imports.around(self._mark, lambda _name, inert: self._absorb() if inert else None)
        for entry in table:
            if entry.module is None:
                self._arrive(entry)
            else:
                imports.when(entry.module, lambda _module, entry=entry: self._arrive(entry))

    def owns(self, reference):
        """See `channels`."""
        return reference in self._references

    def begin(self):
        """See `channels`."""
        for entry in self._active:
            entry.touched = False

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        for entry in self._active:
            reference = entry.reference
            value, digest = self._now[reference]
            found = self._read(entry)
            changed = not entry.same(value, found)
            if changed:
                written = encoded.written(found)
                if written[0] == self._default[reference][0]:
                    written = None
                elif entry.lost() is not None:
                    written = encoded.Written(written[0], None, entry.lost())
                self._now[reference] = (found, None if written is None else written[0])
                self._restored.pop(reference, None)
                writes[reference] = written
            if changed or entry.touched or not entry.seen:
                reads[reference] = digest
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        failed = {}
        for reference, data in values.items():
            if not self.owns(reference):
                continue
            entry = next((entry for entry in self._active if entry.reference == reference), None)
            if entry is None:
                self._waiting[reference] = data
                continue
            problem = self._set(entry, data)
            if problem:
                failed[reference] = problem
        return failed

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _mark(self):
        self._marked = {entry.reference: self._read(entry) for entry in self._active}

    def _absorb(self):
        """Take what an import changed of what was as in a fresh process for what that has; what was restored came after it."""
        for entry in self._active:
            reference = entry.reference
            value, digest = self._now[reference]
            found = self._read(entry)
            arrived = reference not in self._marked
            if entry.same(found, value) or not (arrived or entry.same(self._marked[reference], value)):
                continue
            if digest is None:
                self._now[reference] = (found, None)
                self._default[reference] = encoded.written(found)
            elif reference in self._restored:
                self._set(entry, self._restored[reference])

    def _arrive(self, entry):
        value = self._read(entry)
        written = encoded.written(value)
        self._default[entry.reference] = written
        self._now[entry.reference] = (value, None)
        self._active.append(entry)
        waiting = self._waiting.pop(entry.reference, None)
        if waiting is not None:
            self._set(entry, waiting)

    def _set(self, entry, data):
        default = self._default[entry.reference]
        if data is None:
            data = default[1]
            if data is None:
                return "what it was at first has no bytes"
        try:
            entry.write(encoded.decode(data))
        except Exception as error:
            return "%s: %s" % (type(error).__name__, error)
        digest = encoded.hash_in(data)
        self._now[entry.reference] = (self._read(entry), None if digest == default[0] else digest)
        self._restored[entry.reference] = data
        return None

    def _read(self, entry):
        try:
            return entry.read()
        except Exception as error:
            return "unreadable: " + type(error).__name__


class Keyed(object):
    """Settings with a reference for each key: `setting:NAME:KEY`.

    A subclass gives `current() -> {key: value}`, `put(key, value)` and `drop(key)`, and notes the keys that a cell looks at in `looked`, or
    sets `looked_at_all`.
    """

    name = None

    def __init__(self, imports=None):
        self.prefix = "setting:%s:" % self.name
        self.looked = set()
        self.looked_at_all = False
        self._here = False
        self._waiting = {}
        self._default = {}
        self._now = {}
        self._before = {}
        self._hashes = {}  # of the keys that differ from a fresh process
        self._restored = {}  # key -> bytes, as long as no cell set it anew
        self._marked = None
        if imports is not None:
            imports.around(self._mark, self._imported)

    def _mark(self):
        self._marked = dict(self.current()) if self._here else None

    def _imported(self, _name, inert):
        if inert and self._marked is not None:
            self.absorb(self._marked)

    def owns(self, reference):
        """See `channels`."""
        return reference.startswith(self.prefix)

    def absorb(self, before):
        """Take what an import changed since `before` (a `current`) for what a fresh process has; what was restored came after it."""
        now = self.current()
        for key in set(now).union(before):
            value, old = now.get(key, _MISSING), before.get(key, _MISSING)
            if plainly_same(value, old) or not plainly_same(self._now.get(key, _MISSING), old):
                continue
            if key in self._hashes:
                if key in self._restored:
                    self._restore_key(key, self._restored[key])
                continue
            for known in (self._default, self._now):
                if value is _MISSING:
                    known.pop(key, None)
                else:
                    known[key] = value

    def arrive(self, _module=None):
        """Begin, now that the library is there."""
        self._default = dict(self.current())
        self._now = dict(self._default)
        self._here = True
        waiting, self._waiting = self._waiting, {}
        self.restore({reference: data for reference, data in waiting.items() if data is not None})

    def begin(self):
        """See `channels`."""
        self.looked.clear()
        self.looked_at_all = False

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        if not self._here:
            return reads, writes
        hashes = dict(self._hashes)
        now = self.current()
        if not self._same(now, self._now):
            self._compare(now, writes)
            self._now = dict(now)
        self._before = hashes
        if self.looked_at_all:
            reads[self.prefix + "*"] = self.below("")
        else:
            for key in self.looked.union(self.always(hashes)):
                reads[self.prefix + key] = hashes.get(key)
        return reads, writes

    def below(self, part):
        """Return the hash of a read of all keys that begin with `part`, as they were when the cell started."""
        found = {self.prefix + key: digest for key, digest in self._before.items() if key.startswith(part)}
        return hash_below(found)

    def always(self, _keys):
        """Return the keys, of those that differ from a fresh process, that are read without anybody seeing it."""
        return ()

    def restore(self, values):
        """See `channels`."""
        failed, known = {}, {}
        for reference, data in values.items():
            if not self.owns(reference):
                continue
            if not self._here:
                self._waiting[reference] = data
                continue
            key = reference[len(self.prefix) :]
            try:
                self._restore_key(key, data)
                known[key] = None if data is None else encoded.hash_in(data)
            except Exception as error:
                failed[reference] = "%s: %s" % (type(error).__name__, error)
        if self._here and values:
            self._now = dict(self.current())
        for key, digest in known.items():
            if digest is None:
                self._hashes.pop(key, None)
            else:
                self._hashes[key] = digest
        return failed

    def _restore_key(self, key, data):
        value = self._default.get(key, _MISSING) if data is None else encoded.decode(data)
        if value is _MISSING:
            self.drop(key)
        else:
            self.put(key, value)
        if data is None:
            self._restored.pop(key, None)
        else:
            self._restored[key] = data

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _same(self, now, before):
        if len(now) != len(before):
            return False
        for key, value in now.items():
            old = before.get(key, _MISSING)
            if value is not old and not plainly_same(value, old):
                return False
        return True

    def _compare(self, now, writes):
        for key in sorted(set(now).union(self._now)):
            value, old = now.get(key, _MISSING), self._now.get(key, _MISSING)
            if value is old or plainly_same(value, old):
                continue
            default = self._default.get(key, _MISSING)
            written = None
            if value is _MISSING:
                if default is not _MISSING:
                    written = encoded.written(None)  # deleted though a fresh process has it
            elif not plainly_same(value, default):
                written = encoded.written(value)
            writes[self.prefix + key] = written
            self._restored.pop(key, None)
            if written is None:
                self._hashes.pop(key, None)
            else:
                self._hashes[key] = written[0]


def plainly_same(value, other):
    """Compare by identity, and by value where both are made of exact built-in types; asks nothing else."""
    if value is other:
        return True
    kind = type(value)
    if kind is not type(other):
        return False
    if kind in (str, int, bool, bytes, complex):
        return value == other
    if kind is float:
        return value == other or (isnan(value) and isnan(other))
    if kind in (list, tuple):
        return len(value) == len(other) and all(map(plainly_same, value, other))
    if kind is dict:
        if len(value) != len(other):
            return False
        return all(map(plainly_same, value, other)) and all(map(plainly_same, value.values(), other.values()))
    return False


# The process


def _copied(get):
    def read():
        """See `channels`."""
        value = get()
        return list(value) if type(value) is list else "replaced by a %s" % type(value).__name__

    return read


def _write_list(get):
    def write(value):
        """See `channels`."""
        if type(value) is not list:
            raise Lost("it was replaced")
        get()[:] = value

    return write


def _working_directory():
    try:
        return os.getcwd()
    except OSError:
        return None


def _change_directory(value):
    if value is None:
        raise Lost("the folder is gone")
    os.chdir(value)


def _decimal_context():
    context = decimal.getcontext()
    traps = sorted(signal.__name__ for signal, on in context.traps.items() if on)
    return [context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps]


def _set_decimal_context(value):
    context = decimal.getcontext()
    context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp = value[:6]
    for signal in context.traps:
        context.traps[signal] = signal.__name__ in value[6]


def _start_method():
    processes = sys.modules["multiprocessing"]
    return processes.get_start_method(allow_none=True)


def _set_start_method(value):
    sys.modules["multiprocessing"].set_start_method(value, force=True)


def _zone():
    return list(time.tzname) + [time.timezone, time.daylight]


def process_settings():
    """Return the settings of the interpreter and of the standard library."""
    found = [
        Setting("cwd", _working_directory, _change_directory),
        Setting("sys.path", _copied(lambda: sys.path), _write_list(lambda: sys.path)),
        Setting("sys.argv", _copied(lambda: sys.argv), _write_list(lambda: sys.argv)),
        Setting("recursionlimit", sys.getrecursionlimit, sys.setrecursionlimit),
        Setting(
            "dont_write_bytecode", lambda: sys.dont_write_bytecode, lambda v: setattr(sys, "dont_write_bytecode", v)
        ),
        Setting(
            "locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)
        ),
        Setting("decimal", _decimal_context, _set_decimal_context),
        Setting("timezone", _zone, lambda _value: time.tzset()),
        Setting("gc", lambda: [gc.isenabled(), list(gc.get_threshold())], _set_collector),
        Setting("socket.timeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Setting("csv.field_size_limit", csv.field_size_limit, csv.field_size_limit),
        Setting(
            "tempdir", lambda: tempfile.tempdir, lambda value: setattr(tempfile, "tempdir", value), same=_tempdir_same
        ),
        Setting("multiprocessing", _start_method, _set_start_method, module="multiprocessing", same=_method_same),
    ]
    if hasattr(sys, "get_int_max_str_digits"):
        found.append(Setting("int_max_str_digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits))
    return found


def _set_collector(value):
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1])


def _tempdir_same(value, other):
    # `gettempdir` fills it in by itself.
    usual = (None, tempfile._candidate_tempdir_list()[0]) if other is not value else ()
    return value == other or (value in usual and other in usual)


def _method_same(value, other):
    # Asking for the method settles it.
    processes = sys.modules["multiprocessing"]
    usual = (None, processes.get_all_start_methods()[0])
    return value == other or (value in usual and other in usual)


# Environment variables


class Environ(Keyed):
    """Environment variables: `setting:environ:NAME`, read by who asks `os.environ` for them; all, by child processes.

    C code asks unseen. Variables of the families that C libraries are known to ask for, and those that a loaded library spells out,
    are read by every cell.
    """

    name = "environ"

    def __init__(self, imports, children):
        Keyed.__init__(self, imports)
        self._children = children
        self._watching = False
        self._spelled = Spelled()
        self._raw, self._texts = None, {}
        self._watch()
        self.arrive()

    def current(self):
        """See `channels`."""
        raw = dict(os.environ._data)
        if raw != self._raw:
            self._raw, self._texts = raw, {os.fsdecode(key): os.fsdecode(value) for key, value in raw.items()}
        return dict(self._texts)

    def put(self, key, value):
        """See `channels`."""
        if value is None:
            self.drop(key)
        else:
            os.environ[key] = value

    def drop(self, key):
        """See `channels`."""
        os.environ.pop(key, None)

    def begin(self):
        """See `channels`."""
        Keyed.begin(self)
        self._watching = type(os.environ) is self._kind

    def end(self):
        """See `channels`."""
        if not (self._watching and type(os.environ) is self._kind) or self._children():
            self.looked_at_all = True
        return Keyed.end(self)

    def always(self, keys):
        """See `channels`."""
        return [key for key in keys if key.startswith(_ASKED_BY_C) or self._spelled.anywhere(key)]

    def look_at(self, key):
        """Note that a cell asks for a variable, or sets it."""
        if type(key) is str:
            self.looked.add(key)
        else:
            self.looked_at_all = True

    def _watch(self):
        channel = self
        plain = type(os.environ)

        class _Environ(plain):
            """The mapping as it is, but that it says which variables were asked for."""

            def __getitem__(self, key):
                channel.look_at(key)
                return plain.__getitem__(self, key)

            def __setitem__(self, key, value):
                channel.look_at(key)  # what is set to what it was is not seen to be written
                plain.__setitem__(self, key, value)

            def __delitem__(self, key):
                channel.look_at(key)
                plain.__delitem__(self, key)

        def telling(look):
            def method(self):
                channel.looked_at_all = True
                return look(self)

            return method

        for name in ("__iter__", "__len__", "__repr__", "copy"):
            setattr(_Environ, name, telling(getattr(plain, name)))
        _Environ.__name__, _Environ.__qualname__, _Environ.__module__ = (
            plain.__name__,
            plain.__qualname__,
            plain.__module__,
        )
        self._kind = _Environ
        try:
            os.environ.__class__ = _Environ
            if hasattr(os, "environb"):
                os.environb.__class__ = _Environ
        except Exception:
            pass


_ASKED_BY_C = (
    "ARROW_",
    "CUBLAS_",
    "CUDA_",
    "CUDNN_",
    "DISPLAY",
    "GOMP_",
    "GOTO_",
    "HOME",
    "KMP_",
    "LANG",
    "LC_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "NCCL_",
    "NUMEXPR_",
    "NVIDIA_",
    "OMP_",
    "OPENBLAS_",
    "PATH",
    "POLARS_",
    "PYTHON",
    "PYTORCH_",
    "RAYON_",
    "SSL_",
    "TF_",
    "TMPDIR",
    "TORCH_",
    "TZ",
    "XLA_",
)


class Spelled(object):
    """Whether a loaded shared library contains a name, as C code that asks for a variable would."""

    _LARGE = 200 << 20
    _SHORT = 9  # letters; a shorter name must stand alone, ended by zeros

    def __init__(self):
        self._known = {}  # name -> {path: bool}
        self._modules = 0
        self._libraries = []

    def anywhere(self, name):
        """Return whether any of the loaded libraries does; a very large one is taken to."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            self._libraries = _loaded_libraries()
        known = self._known.setdefault(name, {})
        needle = name.encode("utf-8", "surrogateescape")
        if len(name) < self._SHORT:
            needle = b"\0" + needle + b"\0"
        for path in self._libraries:
            if path not in known:
                known[path] = self._spells(path, needle)
            if known[path]:
                return True
        return False

    def _spells(self, path, needle):
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > self._LARGE:
                    return True
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    return data.find(needle) >= 0
        except (OSError, ValueError):
            return True


def _loaded_libraries():
    paths = set()
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            if b".so" in line and b"r-xp" in line:
                paths.add(line.split(None, 5)[5].strip())
    return sorted(paths)
