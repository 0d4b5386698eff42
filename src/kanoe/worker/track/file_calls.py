"""Tells which paths this process asks for, while a cell runs.

The functions that open, list, look at, make or remove are replaced in their modules by callables that look and act like what they
stand for, once, when the session starts. An audit hook (PEP 578) would see more, but every `id()` and `sys._getframe()` of the
notebook would pay for it: a loop over `id` takes eight times as long, `copy.deepcopy` twice. What this misses, folder_events sees.

A `recorder` has `recording`, `prefixes` (how the paths begin that it watches), and the methods that are called below.
"""

import builtins
import genericpath
import io
import os
import pathlib
import posixpath
import shutil
import sys
import types

from kanoe_worker.track.plain import __builtins__  # noqa: F401

_IMPORTS = ("<frozen importlib._bootstrap_external>", "<frozen importlib._bootstrap>")
# Who took `open` when they were imported; IPython gives it to the notebook.
_TAKEN = (("IPython.core.interactiveshell", "io_open"), ("bz2", "_builtin_open"))
_FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL}
_FLAGS["a"] = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Calls(object):
    """What tells a recorder of this process's calls."""

    def __init__(self, recorder):
        self._recorder = recorder
        self._only_existence = _existence_codes() | _pathlib_codes()

    def install(self):
        """Begin to tell; for good."""
        self._replace_more()
        self._replace(os, "stat", self._stat, quick=True)
        self._replace(os, "lstat", self._lstat, quick=True)
        self._replace(os, "access", self._access, quick=True)
        self._replace(os, "readlink", self._readlink, quick=True)
        self._replace_in_pathlib()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._recorder.forked)
        sys.meta_path.insert(0, _Sought(self._recorder))

    # What is asked

    def _change(self, path, *_):
        self._recorder.changed(_of_descriptor(path) if type(path) is int else path)

    def _stat(self, path, dir_fd=None, follow_symlinks=True):
        if type(path) is not int:
            code = sys._getframe(2).f_code
            if code in self._only_existence or _is_in_pathlib(code, self._only_existence):
                self._recorder.tested(_below(path, dir_fd), follow_symlinks)
            elif code.co_filename not in _IMPORTS:
                self._recorder.looked_at(_below(path, dir_fd), follow_symlinks)

    def _lstat(self, path, dir_fd=None):
        code = sys._getframe(2).f_code
        if code in self._only_existence or _is_in_pathlib(code, self._only_existence):
            self._recorder.tested(_below(path, dir_fd), False)
        else:
            self._recorder.looked_at(_below(path, dir_fd), False)

    def _access(self, path, mode=0, dir_fd=None, effective_ids=False, follow_symlinks=True):
        if type(path) is not int:
            self._recorder.tested(_below(path, dir_fd), follow_symlinks)

    def _readlink(self, path, dir_fd=None):
        self._recorder.looked_at(_below(path, dir_fd), False)

    def _open_file(self, file, mode="r", *_, **__):
        if type(file) is not int and type(mode) is str:
            flags = _FLAGS.get((mode.strip("btU+") or "r")[:1], os.O_RDONLY)
            if "+" in mode:
                flags = flags & ~os.O_WRONLY | os.O_RDWR
            self._recorder.opened(file, flags)

    def _open_low(self, path, flags, mode=0o777, dir_fd=None):
        descriptors.expect()
        self._recorder.opened(_below(path, dir_fd), flags)

    def _open_number(self, *_, **__):
        descriptors.expect()

    def _list_plain(self, path=None):
        if sys._getframe(2).f_code.co_filename not in _IMPORTS:
            self._recorder.listed(_of_descriptor(path) if type(path) is int else "." if path is None else path)

    def _rename_plain(self, src, dst, src_dir_fd=None, dst_dir_fd=None):
        self._recorder.renamed(_below(src, src_dir_fd), _below(dst, dst_dir_fd))

    def _make_plain(self, path, mode=0o777, dir_fd=None):
        self._recorder.made(_below(path, dir_fd))

    def _remove_plain(self, path, dir_fd=None):
        self._recorder.removed(_below(path, dir_fd))

    def _link_plain(self, src, dst, src_dir_fd=None, dst_dir_fd=None, follow_symlinks=True):
        self._recorder.linked(_below(src, src_dir_fd), _below(dst, dst_dir_fd))

    def _symlink_plain(self, src, dst, target_is_directory=False, dir_fd=None):
        self._recorder.made(_below(dst, dir_fd))

    def _change_plain(self, path, *_, **__):
        self._change(path)

    # What stands for functions

    def _replace(self, module, name, tell, quick=False):
        real = getattr(module, name, None)
        if isinstance(real, types.BuiltinFunctionType) and type(real) is types.BuiltinFunctionType:
            setattr(module, name, stand_in(real, tell, self._recorder, quick))

    def _replace_more(self):
        """Replace what opens, lists, makes and removes."""
        self._replace(io, "open", self._open_file)
        if isinstance(builtins.open, types.BuiltinFunctionType):
            builtins.open = io.open
        for module, name in _TAKEN:
            if getattr(sys.modules.get(module), name, None) is REAL_OPEN:
                setattr(sys.modules[module], name, io.open)
        for name, tell in (
            ("open", self._open_low),
            ("listdir", self._list_plain),
            ("scandir", self._list_plain),
            ("rename", self._rename_plain),
            ("replace", self._rename_plain),
            ("mkdir", self._make_plain),
            ("remove", self._remove_plain),
            ("unlink", self._remove_plain),
            ("rmdir", self._remove_plain),
            ("link", self._link_plain),
            ("symlink", self._symlink_plain),
            ("truncate", self._change_plain),
            ("chmod", self._change_plain),
            ("chown", self._change_plain),
            ("utime", self._change_plain),
            ("pipe", self._open_number),
            ("dup", self._open_number),
            ("memfd_create", self._open_number),
            ("openpty", self._open_number),
        ):
            self._replace(os, name, tell)

    def _replace_in_pathlib(self):
        """Replace what `pathlib` took from `os` when it was imported (to Python 3.10)."""
        accessor = getattr(pathlib, "_NormalAccessor", None)
        names = ("stat", "lstat", "open", "listdir", "scandir", "rename", "replace", "mkdir", "unlink", "rmdir")
        for name in names + ("chmod", "utime"):
            ours = getattr(io if getattr(accessor, name, None) is REAL_OPEN else os, name, None)
            if accessor is not None and name in vars(accessor) and type(ours) in _KINDS:
                setattr(accessor, name, ours)


class Descriptors(object):
    """Numbers of open files that the notebook asked for itself, and holds as numbers: `os.open`, `os.pipe`, `tempfile.mkstemp`."""

    def __init__(self):
        self._before = None
        self._open = {}

    def begin(self):
        """Expect a cell."""
        self._before = None

    def expect(self):
        """A function that returns numbers is going to be called; what it was called by counts."""
        frame = sys._getframe(3)
        while frame is not None and frame.f_globals.get("__name__") == "tempfile":
            frame = frame.f_back
        if self._before is None and frame is not None and frame.f_globals.get("__name__") == "__main__":
            self._before = _open_files()

    def alive(self):
        """Return those that are open still."""
        now = _open_files() if self._open or self._before is not None else {}
        new = {} if self._before is None else {key: now[key] for key in now.keys() - self._before.keys()}
        self._open.update(new)
        self._open = {key: file for key, file in self._open.items() if now.get(key) == file}
        return frozenset(self._open)


descriptors = Descriptors()


def _open_files():
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = REAL_STAT("/proc/self/fd/" + number)[1:3]
        except OSError:
            pass  # that of this list
    return found


class _Sought(object):
    """A finder that finds nothing, and tells what is sought."""

    def __init__(self, recorder):
        self._recorder = recorder

    def find_spec(self, name, path=None, target=None):
        """Find nothing."""
        if self._recorder.recording:
            try:
                self._recorder.sought(name, path)
            except Exception:
                self._recorder.confused()


class _StandIn(object):
    """Acts like a built-in function, and tells of each call before it."""

    def __reduce__(self):
        # So that a pickle holds the name of the function and nothing of ours.
        return getattr, (_Module(self.__dict__["__module__"]), self.__dict__["__name__"])

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


class _Module(object):
    """Pickles as the import of a module."""

    def __init__(self, name):
        self._name = name

    def __reduce__(self):
        return __import__, (self._name,)


_KINDS = set()


def _is_elsewhere(path, prefixes):
    """Whether a path surely lies in no folder that is watched: most do."""
    if type(path) is not str or path[:1] != "/" or path.startswith(prefixes):
        return False
    return "/." not in path and "//" not in path


def stand_in(real, tell, recorder, quick=False):
    """Return what acts like a built-in function; the types of both say they are the same.

    Args:
        real: the function.
        tell: called with its arguments before it.
        recorder: as for `Calls`.
        quick: whether the first argument is the only path.
    """

    def __call__(_, *args, **kwargs):  # noqa: N807 - a method
        if recorder.recording and not (quick and args and _is_elsewhere(args[0], recorder.prefixes)):
            try:
                tell(*args, **kwargs)
            except Exception as problem:
                # Arguments that do not fit `tell` do not fit the function either.
                if not isinstance(problem, TypeError) or problem.__traceback__.tb_next is not None:
                    recorder.confused()
        return real(*args, **kwargs)

    _OWN_CODES.add(__call__.__code__)
    methods = {
        "__call__": __call__,
        "__repr__": lambda _: repr(real),
        "__eq__": lambda this, other: other is this or other is real,
        "__ne__": lambda this, other: not (other is this or other is real),
        "__hash__": lambda _: hash(real),
        "__class__": property(lambda _: type(real)),
        "__getattr__": lambda _, name: getattr(real, name),
        "__doc__": None,
        "__module__": "builtins",
    }
    kind = type(type(real).__name__, (_StandIn,), methods)
    made = kind()
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__text_signature__", "__self__"):
        if hasattr(real, name):
            made.__dict__[name] = getattr(real, name)
    _KINDS.add(kind)
    return made


_OWN_CODES = set()


def hide(*functions):
    """Let `without_own_frames` take these functions out of tracebacks too."""
    _OWN_CODES.update(function.__code__ for function in functions)


def without_own_frames(problem):
    """Take the frames of stand-ins out of the tracebacks of an exception and of those that led to it (from Python 3.7)."""
    waiting, seen = [problem], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
        frames = one.__traceback__
        while frames is not None and frames.tb_next is not None:
            if frames.tb_next.tb_frame.f_code in _OWN_CODES:
                try:
                    frames.tb_next = frames.tb_next.tb_next
                except (AttributeError, TypeError):
                    return
            else:
                frames = frames.tb_next


def _existence_codes():
    """Return the code of functions that ask `stat` for nothing but whether something is there and what it is."""
    found = set()
    for module, names in (
        (genericpath, ("exists", "isfile", "isdir", "islink", "lexists", "samefile")),
        (posixpath, ("exists", "isfile", "isdir", "islink", "lexists", "ismount", "samefile")),
        (shutil, ("_stat", "_islink", "_is_immutable")),
    ):
        found.update(getattr(getattr(module, name, None), "__code__", None) for name in names)
    return found - {None}


def _pathlib_codes():
    names = ("exists", "is_file", "is_dir", "is_symlink", "is_mount", "mkdir", "touch", "samefile")
    return {getattr(getattr(pathlib.Path, name, None), "__code__", None) for name in names} - {None}


def _is_in_pathlib(code, codes):
    """Whether the method `Path.stat` asks for one of its neighbours."""
    if code.co_name not in ("stat", "lstat") or "pathlib" not in code.co_filename:
        return False
    return sys._getframe(4).f_code in codes


def _below(path, folder):
    """Return a path that is relative to an open folder as one that is not."""
    if folder is None or type(folder) is not int or folder < 0 or type(path) is not str or path.startswith("/"):
        return path
    return posixpath.join(_of_descriptor(folder), path)


def _of_descriptor(number):
    return REAL_READLINK("/proc/self/fd/%d" % number)


REAL_READLINK = os.readlink
REAL_STAT = os.stat
REAL_LSTAT = os.lstat
REAL_SCANDIR = os.scandir
REAL_OPEN = io.open
