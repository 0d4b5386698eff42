"""What happens in folders, whoever does it: inotify(7), called through ctypes."""

import ctypes
import errno
import os
import struct

from kanoe_worker.track.plain import __builtins__  # noqa: F401

OPEN = 0x20
ISDIR = 0x40000000
CREATE, DELETE, MODIFY, CLOSE_WRITE, ATTRIB = 0x100, 0x200, 0x2, 0x8, 0x4
MOVED_FROM, MOVED_TO = 0x40, 0x80
DELETE_SELF, MOVE_SELF, UNMOUNT, OVERFLOW, IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
CHANGES = CREATE | DELETE | MODIFY | CLOSE_WRITE | ATTRIB | MOVED_FROM | MOVED_TO | DELETE_SELF | MOVE_SELF
_ONLY_FOLDERS = 0x01000000
_HEAD = struct.Struct("iIII")
_PIECE = 1 << 16
_NO_MORE = (errno.ENOMEM, errno.EMFILE, errno.ENOSPC)


class UnwatchableError(Exception):
    """The system gives no more watches, or has none."""


class FolderEvents(object):
    """Events of a set of folders, in order.

    Args:
        mask: which: `OPEN`, `CHANGES`.

    Raises:
        UnwatchableError: there is no inotify here.
    """

    def __init__(self, mask):
        self._mask = mask
        self._folders = {}
        self._numbers = {}
        try:
            self._library = ctypes.CDLL(None, use_errno=True)
            self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, AttributeError) as problem:
            raise UnwatchableError(str(problem)) from None
        if self._descriptor < 0:
            raise UnwatchableError(os.strerror(ctypes.get_errno()))

    def __contains__(self, folder):
        return folder in self._numbers

    def __len__(self):
        return len(self._numbers)

    def add(self, folder, only=_ONLY_FOLDERS):
        """Watch a folder, or with `only=0` a file; what is gone is nothing to watch.

        Raises:
            UnwatchableError: the system gives no more watches.
        """
        number = self._library.inotify_add_watch(self._descriptor, os.fsencode(folder), self._mask | only)
        if number >= 0:
            before = self._folders.get(number)
            if before is not None and before != folder:
                self._numbers.pop(before, None)
            self._folders[number] = folder
            self._numbers[folder] = number
            return
        code = ctypes.get_errno()
        if code in _NO_MORE:
            raise UnwatchableError(os.strerror(code))

    def forget(self, folder):
        """Watch a folder no more, and none below it."""
        below = folder + "/"
        for watched in [path for path in self._numbers if path == folder or path.startswith(below)]:
            number = self._numbers.pop(watched)
            if self._folders.get(number) == watched:
                del self._folders[number]
                self._library.inotify_rm_watch(self._descriptor, number)

    def drain(self):
        """Return what happened since: pairs of `(folder, name, mask)`, and whether some of it was lost."""
        found = []
        lost = False
        if not self._is_ours():
            return found, True
        while True:
            try:
                data = os.read(self._descriptor, _PIECE)
            except BlockingIOError:
                return found, lost
            except OSError:
                return found, True
            lost |= self._take(data, found)

    def _take(self, data, found):
        """Add the events of one reading; returns whether some were lost."""
        place = 0
        lost = False
        while place < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size
            name = data[place : place + length].rstrip(b"\0")
            place += length
            folder = self._folders.get(number)
            if mask & OVERFLOW:
                lost = True
            elif mask & IGNORED:
                self._folders.pop(number, None)
                if folder is not None and self._numbers.get(folder) == number:
                    del self._numbers[folder]
            elif folder is not None:
                found.append((folder, os.fsdecode(name), mask))
        return lost

    def _is_ours(self):
        """Whether the descriptor is still one of events: a cell may have closed it, and opened something else."""
        try:
            return os.readlink("/proc/self/fd/%d" % self._descriptor).endswith("inotify")
        except OSError:
            return False
