"""The folders of a notebook: by what names its code and references know them, and what in them is the kernel's own."""

import os
import posixpath
import re
import sys

from kanoe_worker.track import file_calls
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_INPUTS = ("/kaggle/input", "/kaggle/lib")
# What the kernel of the notebook and its libraries keep for themselves.
_OWN_AT_HOME = (
    ".ipython",
    ".jupyter",
    ".local/share/jupyter",
    ".cache/fontconfig",
    ".cache/matplotlib",
    ".cache/pip",
    ".cache/uv",
    ".config/matplotlib",
    ".python_history",
)
# No file has a longer path; IPython looks whether there is one of the name of a whole page of HTML.
_LONGEST = 4096
_OWN_TEMPORARY = ("ipykernel_", "matplotlib-", "pymp-", "__kanoe")


class Places(object):
    """The folders, by their names here and on Kaggle."""

    def __init__(self, roots, apart=()):
        self.writable, self.inputs, self.unwatched = [], [], []
        self._names = {}
        home = None
        for name, here in roots.items():
            here = posixpath.normpath(here)
            (self.inputs if name.startswith(_INPUTS) else self.writable).append(here)
            self._names[here] = name
            home = here if name == "/root" else home
        self.roots = set(self._names)
        self._aliases = []
        mounted = _mounted()
        inputs = tuple(path + "/" for path in self.inputs)
        self.single = {path for path in mounted if path.startswith(inputs) and os.path.isfile(path)}
        for here in list(self.roots):
            self.add_alias(here)
            if self._names[here] == "/kaggle/input":
                self._aliases += [(beside, here) for beside in self._beside()]
        self._arrange()
        self._own = tuple(home + "/" + name + "/" for name in _OWN_AT_HOME) if home else ()
        # The environment and its interpreter may be mounted below the home: no cell writes them.
        self._own += tuple(path + "/" for path in mounted if path not in self.roots and not path.startswith(inputs))
        self._own += tuple(os.path.realpath(path) + "/" for path in (sys.prefix, sys.base_prefix))
        temporary = [here for here, name in self._names.items() if name == "/tmp"]
        self._own += tuple(here + "/" + name for here in temporary for name in _OWN_TEMPORARY)
        self._own += tuple(posixpath.normpath(path) + "/" for path in apart)

    def add_alias(self, path):
        """Learn that a folder has another name when its links are followed."""
        real = os.path.realpath(path)
        if real != path and len(real) > 1:
            self._aliases.append((real, path))
            self._arrange()

    def _beside(self):
        """Yield where the data is seen beside the working folder, by a link, when it is not at its place."""
        for here, name in self._names.items():
            beside = posixpath.join(posixpath.dirname(here), "input")
            if name == "/kaggle/working" and os.path.islink(beside):
                yield beside

    def _arrange(self):
        self._aliases.sort(key=lambda pair: -len(pair[0]))
        every = list(self.roots) + [real for real, _ in self._aliases]
        self._exact = frozenset(every)
        self._prefixes = tuple(path + "/" for path in every)
        self.starts = tuple(every)
        self._input_prefixes = tuple(path + "/" for path in self.inputs)

    def place(self, path):
        """Return a path, absolute and plain, if it lies in one of the folders; else `None`."""
        if type(path) is not str:
            path = os.fsdecode(path)
        if len(path) > _LONGEST:
            return None
        if path[:1] != "/":
            try:
                path = os.getcwd() + "/" + path
            except OSError:  # in a folder that is gone nothing is found
                return None
        if "/." in path or "//" in path or path[-1:] == "/":
            path = posixpath.normpath(path)
        if (not path.startswith(self._prefixes) and path not in self._exact) or "\0" in path:
            return None
        for real, alias in self._aliases:
            if path == real or path.startswith(real + "/"):
                path = alias + path[len(real) :]
                break
        return self.source(path) if self.is_kernels(path) else path

    def source(self, path):
        """Return the source of compiled code; `None` for all else that is the kernel's own."""
        folder, _, name = path.rpartition("/")
        if folder.endswith("/__pycache__") and ".pyc" in name:
            return folder[: -len("__pycache__")] + name.partition(".")[0] + ".py"
        return None

    def is_input(self, path):
        """Whether a path is of data that no cell writes."""
        return path.startswith(self._input_prefixes) or path in self.inputs

    def is_kernels(self, path):
        """Whether it is the kernel's own, not the notebook's."""
        return "/__pycache__" in path or "/.ipynb_checkpoints" in path or (path + "/").startswith(self._own)

    def mount(self, path):
        """Return the input that a path belongs to."""
        for root in self.inputs:
            if path.startswith(root + "/"):
                return root + "/" + path[len(root) + 1 :].partition("/")[0]
        return path

    def on_kaggle(self, path):
        """Return what a path is called in references."""
        for here, name in self._names.items():
            if path.startswith(here) and path[len(here) : len(here) + 1] in ("", "/"):
                path = name + path[len(here) :]
                break
        return quoted(path)

    def here(self, path):
        """Return the path that a name on Kaggle stands for."""
        for here, name in sorted(self._names.items(), key=lambda pair: -len(pair[1])):
            if path == name or path.startswith(name + "/"):
                return here + path[len(name) :]
        return path


def _mounted():
    """Return where anything is mounted. Who watches a folder is not told of files in it that are mounted by themselves."""
    try:
        with file_calls.REAL_OPEN("/proc/self/mountinfo", errors="surrogateescape") as lines:
            points = [
                re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), line.split()[4]) for line in lines
            ]
    except (OSError, IndexError):
        return []
    return [point for point in points if point != "/"]


def quoted(path):
    """Return a path in which every character can be told: as `kanoe.ir.folders.quote` does."""
    if path.isprintable() and "%" not in path:
        return path
    return "".join(map(_letter, path))


def _letter(letter):
    code = ord(letter)
    if letter == "%" or code < 32 or code == 127:
        return "%%%02X" % code
    return "%%%02X" % (code - 0xDC00) if 0xDC80 <= code <= 0xDCFF else letter
