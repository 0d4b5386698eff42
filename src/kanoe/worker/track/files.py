"""What a cell reads and writes of files.

Nothing is hashed here, and no byte of a file is copied: Kanoe sees the same folders and does both (`kanoe.back.tree`). A read says only
*what* was looked at; its hash is `AS_FOUND`, which Kanoe replaces by what the state held when the cell started. References:

    file:PATH      a file, link or folder itself: content and mode; also of what is not there
    exists:PATH    only whether it is there and what it is
    folder:PATH    the names in a folder
    tree:PATH      names, kinds and sizes of everything below: what a child process may have seen
    files:PATH     everything below with content: nobody knows what was read
    module:PATH    what the import of a name finds there; modules:PATH the names that can be imported from a folder

All but `file:` follow from what the `file:` references hold (`kanoe.ir.folders`). A write is `file:PATH` with `kind` (`file`, `link`,
`folder`), `mode`, `size`, `target` (of a link) and `stamp` (number and times, by which Kanoe knows that it sees the same), or None.

Python's own calls tell what they ask for (`file_calls`); what libraries in other languages and child processes open, and what changed,
the kernel tells (`folder_events`). Only what it tells of is looked at: a cell that touches no file costs some microseconds.
"""

import errno
import os
import posixpath
import re
import resource
import stat
import sys
import time
import types
from importlib import machinery

from kanoe_worker.track import file_calls, folder_events, places
from kanoe_worker.track.plain import __builtins__  # noqa: F401

AS_FOUND = "input"
# A file whose content changed this shortly before it was looked at may have changed again, with the same times (nanoseconds).
_RACY = 20000000
_MOST_INPUT_FOLDERS = 4000
_MOST_INPUT_NAMES = 50000
_MOST_INPUT_READS = 5000
_DRAIN_EVERY = 2000
# As in `kanoe.sandbox.folder_size`.
_MARKS = (".kanoe-measures", ".kanoe-measured")


class Files(object):
    """Watches the folders of a notebook, for the life of its process.

    Args:
        roots: `{path on Kaggle: path here}`; those of `/kaggle/input` and `/kaggle/lib` are only read.
        staging: a folder that Kanoe's own process opens marks in, around its looks at our folders.
    """

    def __init__(self, roots, staging=None, apart=()):
        self.recording = False
        self._pid = os.getpid()
        self._places = places.Places(roots, apart)
        self.prefixes = ()
        self._known = {}
        self._links = 0
        self._shared = set()
        self._mapped = False
        self._blind = False
        self._dirty = {}
        self._last_end = 0
        self._staging = staging and posixpath.normpath(staging)
        self._measured = False
        self._reset()
        self._watch()
        self.prefixes = self._places.starts
        file_calls.Calls(self).install()
        _clean_tracebacks()

    # A cell

    def begin(self, laid_down=None, source=""):
        """Begin to record.

        Args:
            laid_down: paths on Kaggle that Kanoe changed since the last cell; what else changed since then counts as written by the
                coming cell. `None`: Kanoe changed all that changed.
            source: the cell's: nobody tells of paths that a library in another language looks for in vain, so those that the
                cell names count as looked for.
        """
        if os.getpid() != self._pid:
            return
        self._reset()
        if self._blind:
            self._compare_all()
        else:
            self._drain_changes()
        self._discard_opens()
        self._accept(laid_down)
        self._children = _children()
        self._source = source
        self.recording = True

    def end(self, reads, writes):
        """Stop to record; add what the cell read and wrote to two dictionaries."""
        if os.getpid() != self._pid:
            return
        self._drain_opens()
        self.recording = False
        self._note_imports()
        if self._blind:
            self._compare_all()
            self._everything = True
        else:
            self._drain_changes()
        changed = self._changed()
        self._note_changed(changed)
        self._note_named()
        children = _children()
        if children != self._children or children[1] is None:
            for root in self._places.writable + self._places.inputs:
                self._note("tree:", root)
        if self._everything:
            for root in self._places.writable:
                self._note("files:", root)
        for root in self._places.unwatched:
            self._note("files:", root)
        for reference in self._told():
            reads[reference] = AS_FOUND
        for path, entry in changed.items():
            writes["file:" + self._places.on_kaggle(path)] = entry and _told_of(entry)
        self._take_in(changed)

    def forked(self):
        """This is a child now: it records nothing."""
        self.recording = False

    def _reset(self):
        self._reads = set()
        self._own = set()
        self._own_folders = set()
        self._imports = {}
        self._children = None
        self._everything = False
        self._calls = 0
        self._source = ""

    # What the calls of this process tell

    def opened(self, path, flags):
        """A file is going to be opened."""
        path = self._place(path)
        if path is None or self._is_own(path):
            return
        self._calls += 1
        if self._calls % _DRAIN_EVERY == 0 and not self._blind:
            self._drain_opens()
            self._drain_changes()
        writing = flags & (os.O_WRONLY | os.O_RDWR)
        self._mapped = True
        known = self._known.get(path)
        if writing and flags & os.O_TRUNC:
            self._replaced(path, known)
        elif writing and flags & os.O_CREAT and known is None:
            self._note("exists:", path)
            self._replaced(path, known)
        else:
            self._look("file:", path)

    def listed(self, path):
        """The names in a folder are going to be asked for."""
        self._look("folder:", self._place(path))

    def looked_at(self, path, follow):
        """What stands at a path is going to be asked for."""
        self._look("file:", self._place(path, follow))

    def tested(self, path, follow):
        """Whether something stands at a path is going to be asked for."""
        self._look("exists:", self._place(path, follow))

    def removed(self, path):
        """Something is going to be removed; a folder only if it is empty."""
        path = self._place(path, False)
        if path is None or self._is_own(path):
            return
        known = self._known.get(path)
        self._look("folder:" if known is not None and known[0] == "folder" else "exists:", path)
        if known is not None and known[0] != "folder":
            self._drain_opens()
            self._own.add(path)

    def renamed(self, source, target):
        """Something is going to have another name."""
        source, target = self._place(source, False), self._place(target, False)
        known = self._known.get(source)
        moved = source is not None and _exists(source)
        if source is not None and not self._is_own(source):
            self._look("files:" if known is not None and known[0] == "folder" else "file:", source)
            self._look("file:", source)
            if moved and known is not None:
                self._drain_opens()
                self._own_it(source, known)
        if target is None:
            return
        if moved or source is None:
            if target in self._known:
                self._drain_opens()
            self._own_it(target, known or self._known.get(target))
        else:
            self._look("exists:", target)

    def linked(self, source, target):
        """A file is going to have a second name."""
        self._look("file:", self._place(source, False))
        self.made(target)

    def made(self, path):
        """Something is going to be made where nothing should be."""
        path = self._place(path, False)
        if path is None or self._is_own(path):
            return
        there = _exists(path)
        self._look("exists:", path)
        if not there:
            self._parent(path)
            self._own.add(path)
            self._own_folders.add(path)

    def changed(self, path):
        """A mode, a time or a size is going to be changed."""
        self._look("file:", self._place(path))

    def sought(self, name, path):
        """A module is going to be imported."""
        if name not in self._imports:
            path = getattr(path, "_path", path)  # of a package without a file of its own
            self._imports[name] = [entry for entry in path if type(entry) is str] if type(path) is list else None
            self._list_for_imports(self._imports[name])

    def confused(self):
        """It is not known what was asked for."""
        self._everything = True

    def _note(self, kind, path):
        self._reads.add(kind + path)

    def _look(self, kind, path):
        """Note a read, unless the cell itself made what it looks at."""
        if path is None or kind + path in self._reads or self._is_own(path):
            return
        if path not in self._known and not self._places.is_input(path) and _exists(path):
            return
        self._reads.add(kind + path)

    def _replaced(self, path, known):
        """Note that a file gets new content, whatever it had."""
        if known is None:
            self._parent(path)
        else:
            self._drain_opens()
            if known[0] != "file" or (not known[1] & 0o222 and os.geteuid()):
                self._look("file:", path)
                return
        self._own.add(path)

    def _parent(self, path):
        """Note that something can only be made in a folder that is there."""
        parent = posixpath.dirname(path)
        if parent not in self._known and parent not in self._places.roots:
            self._look("exists:", parent)

    def _own_it(self, path, known):
        self._own.add(path)
        if known is None or known[0] == "folder":
            self._own_folders.add(path)

    def _is_own(self, path):
        if path in self._own:
            return True
        if self._own_folders:
            while len(path) > 1:
                path = posixpath.dirname(path)
                if path in self._own_folders:
                    return True
        return False

    def _place(self, path, follow=True):
        """Return a path as it stands in our maps; `None` for what is in none of the folders."""
        path = self._places.place(path)
        if path is not None and self._links:
            path = self._without_links(path, follow)
        return path

    def _without_links(self, path, follow):
        """Return a path without links of the folders in it, which count as read."""
        for _ in range(40):
            parts = path.split("/")
            for length in range(2, len(parts) + (1 if follow else 0)):
                above = "/".join(parts[:length])
                known = self._known.get(above)
                if known is not None and known[0] == "link":
                    self._look("file:", above)
                    target = posixpath.join(posixpath.dirname(above), known[6])
                    path = self._places.place("/".join([target] + parts[length:]))
                    break
            else:
                return path
            if path is None:
                return None
        return path

    # What the import system looks for

    def _list_for_imports(self, path):
        """Let the import system list the folders now, where we know that it is nobody else who does."""
        for entry, folder in self._import_folders(path):
            try:
                finder = _finder(entry or folder)
                moment = file_calls.REAL_STAT(folder).st_mtime
                if finder is None or finder._path_mtime == moment:
                    continue
                self._drain_opens()
                finder._fill_cache()
                finder._path_mtime = moment
                self._drain_opens(but=folder)
            except (OSError, AttributeError):
                continue

    def _import_folders(self, path):
        """Return those of the folders to import from that are ours, as `(entry, folder)`."""
        found = []
        for entry in sys.path if path is None else path:
            if type(entry) is str and (entry[:1] != "/" or entry.startswith(self._places.starts)):
                folder = self._places.place(entry or ".")
                if folder is not None:
                    found.append((entry, folder))
        return found

    def _note_imports(self):
        for name, path in list(self._imports.items()):
            file, elsewhere = _origin(sys.modules.get(name))
            found = self._places.place(file) if file is not None else None
            if found is not None:
                self._look("file:", found)
            last = name.rpartition(".")[2]
            for _, folder in self._import_folders(path):
                if self._is_own(folder):
                    continue
                if found is None and elsewhere:
                    self._note("modules:", folder)
                else:
                    self._note("module:", folder + "/" + last)

    # What the kernel tells

    def _watch(self):
        """Begin to watch all folders."""
        try:
            self._changes = folder_events.FolderEvents(folder_events.CHANGES)
            self._opens = folder_events.FolderEvents(folder_events.OPEN)
            self._input_opens = folder_events.FolderEvents(folder_events.OPEN)
        except folder_events.UnwatchableError:
            self._blind = True
        for root in self._places.writable:
            for path, entry in self._scan(root):
                self._learn(path, entry)
        if self._staging:
            self._add_watch(self._staging, changes=False)
        if self._blind:
            self._places.unwatched = list(self._places.inputs)
        else:
            self._watch_inputs()

    def _watch_inputs(self):
        """Watch the folders of the data, and files of it that stand alone; too many are not watched at all."""
        try:
            self._watch_folders_of_inputs()
            for path in self._places.single:
                self._input_opens.add(path, only=0)
        except folder_events.UnwatchableError:
            self._places.unwatched = list(self._places.inputs)

    def _watch_folders_of_inputs(self):
        folders = names = 0
        for root in self._places.inputs:
            waiting = [root]
            while waiting:
                folder = waiting.pop()
                found = _entries(folder)
                folders, names = folders + 1, names + len(found)
                if folders > _MOST_INPUT_FOLDERS or names > _MOST_INPUT_NAMES:
                    raise folder_events.UnwatchableError("too many")
                for name, mode in found:
                    path = folder + "/" + name
                    if stat.S_ISLNK(mode):
                        self._places.add_alias(path)
                        if os.path.isdir(path):
                            waiting.append(path)
                        else:
                            self._places.single.add(path)
                    elif stat.S_ISDIR(mode):
                        waiting.append(path)
                self._input_opens.add(folder)

    def _scan(self, folder):
        """Yield everything below a folder with its stamp, and watch the folders; those of the kernel's own are left out."""
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            self._add_watch(folder, changes=True)
            for name, _ in _entries(folder):
                path = folder + "/" + name
                entry = None if self._places.is_kernels(path) else _stamp(path)
                if entry is None:
                    continue
                yield path, entry
                if entry[0] == "folder":
                    waiting.append(path)
            self._add_watch(folder, changes=False)

    def _add_watch(self, folder, changes):
        if self._blind:
            return
        try:
            (self._changes if changes else self._opens).add(folder)
        except folder_events.UnwatchableError:
            self._blind = True

    def _drain_opens(self, but=None):
        """Note what was opened, by whomever."""
        if self._blind or not self.recording:
            return
        for folder, name, mask in self._foreign_opens():
            self._note_open(folder, name, mask, but)
        events, lost = self._input_opens.drain()
        if lost:
            for root in self._places.inputs:
                self._note("files:", root)
        for folder, name, mask in events:
            if not name:
                self._note("file:" if folder in self._places.single else "folder:", folder)
            elif not mask & folder_events.ISDIR:
                self._note("file:", folder + "/" + name)

    def _foreign_opens(self):
        """Return what was opened, but for one look of Kanoe's own at each folder between two of its marks."""
        events, lost = self._opens.drain()
        if lost:
            self._everything, self._measured = True, False
        found = []
        for event in events:
            folder, name, _ = event
            if folder == self._staging:
                self._measured = name == _MARKS[0] or (self._measured and name != _MARKS[1])
            elif self._measured and not name:
                self._measured = False
            else:
                found.append(event)
        return found

    def _note_open(self, folder, name, mask, but):
        if not name:
            if folder in self._known or folder in self._places.roots:
                if folder != but and not self._is_own(folder):
                    self._note("folder:", folder)
        elif not mask & folder_events.ISDIR:
            path = folder + "/" + name
            if path in self._known and not self._is_own(path):
                self._note("file:", path)
                self._mapped = True

    def _discard_opens(self):
        if not self._blind:
            # What opened files unwatched, as a replay does, may hold them in memory.
            opened = any(name and not mask & folder_events.ISDIR for _, name, mask in self._foreign_opens())
            self._mapped = self._mapped or opened or self._everything
            self._input_opens.drain()

    def _drain_changes(self):
        """Learn which paths may have changed: `self._dirty {path: whether its content surely did}`."""
        events, lost = self._changes.drain()
        dirty = self._dirty
        for folder, name, mask in events:
            if not name:
                lost = lost or (bool(mask & _ENDS) and folder in self._places.roots)
                continue
            path = folder + "/" + name
            sure = mask & _SURE != 0
            if path in dirty and (dirty[path] or not sure) and not mask & folder_events.ISDIR:
                continue
            if self._places.is_kernels(path):
                continue
            if mask & folder_events.ISDIR:
                if mask & _GOES:
                    self._changes.forget(path)
                    self._opens.forget(path)
                elif mask & folder_events.ATTRIB and path not in self._known:
                    continue
            dirty[path] = sure
        if lost:
            self._compare_all()

    def _compare_all(self):
        """Look at everything: nobody told what changed."""
        seen = set()
        for root in self._places.writable:
            for path, entry in self._scan(root):
                seen.add(path)
                known = self._known.get(path)
                racy = entry[0] == "file" and entry[4] > self._last_end - _RACY
                if known != entry or racy:
                    self._dirty[path] = self._dirty.get(path, False) or racy
        for path in self._known:
            if path not in seen:
                self._dirty[path] = False

    def _changed(self):
        """Return what really changed, `{path: stamp or None}`, and what is new below new folders."""
        dirty, self._dirty = self._dirty, {}
        for path in self._shared | self._mapped_files():
            dirty.setdefault(path, False)
        changed = {}
        for path in sorted(dirty):
            known = self._known.get(path)
            entry = _stamp(path)
            if entry is not None and entry[0] == "file" and path in self._held:
                dirty[path] = True
            if entry == known and not (dirty[path] and entry is not None and entry[0] != "folder"):
                if entry is None or entry[0] != "folder" or not dirty[path]:
                    continue
            if entry != known or entry[0] != "folder":
                changed[path] = entry
            if known is not None and known[0] == "folder" and (dirty[path] or entry is None or entry[0] != "folder"):
                below = path + "/"
                changed.update((other, None) for other in self._known if other.startswith(below))
            if entry is not None and entry[0] == "folder":
                changed.update(self._scan(path))
        return {path: entry for path, entry in changed.items() if entry is not None or path in self._known}

    def _mapped_files(self):
        """Return the files that can be written through memory, which nobody tells of; note those that are seen there."""
        self._held, shown = set(), set()
        if self._mapped:
            try:
                with file_calls.REAL_OPEN("/proc/self/maps", errors="surrogateescape") as lines:
                    for line in lines:
                        fields = line.rstrip("\n").split(None, 5)
                        if len(fields) == 6 and fields[1][3] == "s":
                            shown.add(fields[5])
                            if fields[1][1] == "w":
                                self._held.add(fields[5])
            except OSError:
                pass
            shown, self._held = self._ours(shown), self._ours(self._held)
            self._mapped = bool(shown)
        self._shown = shown
        return self._held

    def _ours(self, paths):
        placed = {path for path in map(self._places.place, paths) if path is not None}
        return {path for path in placed if not self._places.is_input(path)}

    def _note_changed(self, changed):
        """Who changes a file without replacing it depends on what it was, and who sees it in memory on what it is."""
        for path in self._shown:
            self._look("file:", path)
        for path, entry in changed.items():
            known = self._known.get(path)
            if known is None or self._is_own(path):
                continue
            if entry is None:
                self._look("exists:", path)
            elif known[0] == "file" and entry[0] == "file" and known[5] == entry[5]:
                self._note("file:", path)

    def _note_named(self):
        """Note the paths that the cell's source names, where there was nothing."""
        for text in set(_NAMED.findall(self._source)):
            path = self._place(text)
            if path is not None and path not in self._known and not self._is_own(path):
                if not self._places.is_input(path) and not _exists(path):
                    self._note("exists:", path)

    def _accept(self, laid_down):
        """Take in what changed since the last cell, but for what is the coming cell's."""
        changed = self._changed()
        if laid_down is not None:
            ours = {self._places.here(path) for path in laid_down}
            left = {path for path in changed if path not in ours}
            self._dirty.update((path, True) for path in left)
            changed = {path: entry for path, entry in changed.items() if path not in left}
        self._everything = False
        self._take_in(changed)

    def _take_in(self, changed):
        for path, entry in changed.items():
            self._learn(path, entry)
        self._last_end = _now()

    def _learn(self, path, entry):
        known = self._known.pop(path, None)
        self._links += (entry is not None and entry[0] == "link") - (known is not None and known[0] == "link")
        self._shared.discard(path)
        if entry is not None:
            self._known[path] = entry
            if entry[0] == "file" and entry[7] > 1:
                self._shared.add(path)

    def _told(self):
        """Return the references that were read, by their names on Kaggle, without those that others imply."""
        inputs = [read for read in self._reads if self._places.is_input(read.partition(":")[2])]
        reads = self._reads
        if len(inputs) > _MOST_INPUT_READS:
            reads = self._reads.difference(inputs)
            reads.update("files:" + self._places.mount(read.partition(":")[2]) for read in inputs)
        for read in reads:
            kind, _, path = read.partition(":")
            if kind != "exists" or "file:" + path not in reads:
                yield kind + ":" + self._places.on_kaggle(path)


_ENDS = folder_events.DELETE_SELF | folder_events.MOVE_SELF | folder_events.UNMOUNT
_SURE = folder_events.MODIFY | folder_events.CREATE | folder_events.MOVED_TO
_GOES = folder_events.MOVED_FROM | folder_events.DELETE


# Names of files in quotes: with an extension, or a folder.
_NAMED = re.compile(r"""['"]([^'"\s:*?<>|]{0,300}(?:\.[A-Za-z][A-Za-z0-9]{0,9}|/[^'"\s:*?<>|]{1,300}))['"]""")


def _stamp(path):
    """Return `(kind, mode, size, mtime, ctime, number, target, names)`; `None` for what is not there, or nothing to keep."""
    try:
        found = file_calls.REAL_LSTAT(path)
        mode = found.st_mode
        permissions = stat.S_IMODE(mode)
        if stat.S_ISREG(mode):
            times = (found.st_mtime_ns, found.st_ctime_ns)
            return ("file", permissions, found.st_size) + times + (found.st_ino, "", found.st_nlink)
        if stat.S_ISDIR(mode):
            return ("folder", permissions, 0, 0, 0, found.st_ino, "", 0)
        if stat.S_ISLNK(mode):
            return ("link", 0, 0, 0, 0, found.st_ino, file_calls.REAL_READLINK(path), 0)
    except OSError:
        pass
    return None


def _told_of(entry):
    """Return what Kanoe is told of an entry."""
    kind, mode, size, changed, touched, number, target, _ = entry
    told = {"kind": kind, "mode": mode}
    if kind == "file":
        told.update(size=size, stamp=[number, changed, touched])
    elif kind == "link":
        told.update(target=places.quoted(target))
    return told


def _entries(folder):
    """Return the names in a folder with what they are."""
    try:
        with file_calls.REAL_SCANDIR(folder) as entries:
            return sorted((entry.name, _mode(entry)) for entry in entries)
    except OSError:
        return []


def _mode(entry):
    try:
        if entry.is_symlink():
            return stat.S_IFLNK
        return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG
    except OSError:
        return 0


def _exists(path):
    try:
        file_calls.REAL_LSTAT(path)
        return True
    except (OSError, ValueError):
        return False


def _now():
    return int(time.time() * 1e9)


def _children():
    """Return what changes when a child process ended or ran: what ended ones took, what living ones ran; `None`: nobody knows."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = (used.ru_utime, used.ru_stime, used.ru_minflt)
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError as problem:
        return ended, () if problem.errno == errno.ECHILD else None
    try:
        return ended, tuple(_ran(str(os.getpid())))
    except (OSError, ValueError):
        return ended, None


def _ran(process):
    """Yield, for every process below one, how long each of its threads ran, in nanoseconds (proc(5): `children`, `schedstat`)."""
    for thread in os.listdir("/proc/%s/task" % process):
        with file_calls.REAL_OPEN("/proc/%s/task/%s/children" % (process, thread)) as file:
            children = file.read().split()
        for child in children:
            yield child
            for task in os.listdir("/proc/%s/task" % child):
                with file_calls.REAL_OPEN("/proc/%s/task/%s/schedstat" % (child, task)) as file:
                    yield task, file.read().split()[0]
            for found in _ran(child):
                yield found


def _origin(module):
    """Return the file of a module, and whether it is surely found whatever lies in our folders: folders alone are not."""
    if not isinstance(module, types.ModuleType):
        return None, module is not None
    known = object.__getattribute__(module, "__dict__")
    file = known.get("__file__")
    file = file if type(file) is str else None
    return file, file is not None or "__path__" not in known


def _finder(entry):
    """Return what the import system lists a folder with."""
    finder = machinery.PathFinder._path_importer_cache(entry)
    return finder if type(finder) is machinery.FileFinder else None


def _clean_tracebacks():
    """Let IPython show tracebacks without the frames of our stand-ins."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = ask() if ask is not None else None
    real = getattr(shell, "_get_exc_info", None)
    if real is None:
        return

    def get_exc_info(exc_tuple=None):
        found = real(exc_tuple)
        file_calls.without_own_frames(found[1])
        return found

    shell._get_exc_info = get_exc_info
