"""Hashes of bytes and of memory, without a copy; remembers the digest of memory that still equals a file written before."""

import ctypes
import hashlib
import os

from kanoe_worker.track.plain import __builtins__  # noqa: F401

_CHUNK = 1 << 24
_REMEMBERED = 2048
_LARGE = 1 << 20  # to look for an equal stretch takes less than to hash this
_SMALL = 1 << 14  # hashing this is faster than to remember it
_SAMPLE = 64
_PROT_READ = 1
_MAP_SHARED = 1
_FAILED = ctypes.c_void_p(-1).value

_library = ctypes.CDLL(None)
_library.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_library.memcmp.restype = ctypes.c_int
_library.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_library.mmap.restype = ctypes.c_void_p
_library.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def of_parts(kind, *parts):
    """Return the hash of some bytes in a row, tagged by what they are; no other row of bytes has the same."""
    state = hashlib.sha256()
    state.update(("kanoe:%s:%d" % (kind, len(parts))).encode())
    for part in parts:
        state.update(b":%d:" % len(part))
        state.update(part)
    return state.hexdigest()[:40]


def of_pieces(kind, pieces):
    """Return `of_parts` of the one part that some pieces are."""
    state = hashlib.sha256(("kanoe:%s:1:%d:" % (kind, sum(map(len, pieces)))).encode())
    for piece in pieces:
        state.update(piece)
    return state.hexdigest()[:40]


def of_memory(address, size):
    """Return the hash of a stretch of this process's memory."""
    state = hashlib.sha256()
    while size > 0:
        some = min(size, _CHUNK)
        state.update((ctypes.c_char * some).from_address(address))
        address += some
        size -= some
    return state.hexdigest()[:40]


def view(address, size):
    """Return a stretch of memory as a buffer, without a copy; the caller keeps its owner alive."""
    return (ctypes.c_char * size).from_address(address)


def _ends(address, size):
    return ctypes.string_at(address, _SAMPLE), ctypes.string_at(address + size - _SAMPLE, _SAMPLE)


def equal(one, other, size):
    """Compare two stretches of memory."""
    return _library.memcmp(one, other, size) == 0


class Mapping(object):
    """A file as read-only memory.

    Attributes:
        address, size: where it is.
    """

    def __init__(self, path):
        self.address = None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size = os.fstat(descriptor).st_size
            if self.size:
                address = _library.mmap(None, self.size, _PROT_READ, _MAP_SHARED, descriptor, 0)
                if address in (None, _FAILED):
                    raise OSError("cannot map %s" % path)
                self.address = address
        finally:
            os.close(descriptor)

    def __del__(self):
        if self.address is not None and _library is not None:
            _library.munmap(self.address, self.size)


class Memory(object):
    """Digests of stretches of memory.

    What was written to a file, or came from one, is compared with that file, which is several times faster than hashing. So is
    what equals another stretch that was hashed while nothing changes.
    """

    def __init__(self):
        self._known = {}
        self._seen = None
        self._process = os.getpid()

    def digest(self, address, size):
        """Return the hash of a stretch of memory."""
        if size < _SMALL:
            return of_memory(address, size)
        known = self._known.get((address, size))
        if known is not None and equal(address, known[1].address, size):
            return known[0]
        if self._seen is None:
            return of_memory(address, size)
        value = self._seen.get((address, size))
        if value is None:
            value = self._seen[(address, size)] = self._of_twin(address, size) or of_memory(address, size)
        return value

    def _of_twin(self, address, size):
        """Return the digest of an equal stretch; None where none is known that begins and ends alike."""
        if size < _LARGE:
            return None
        places = [(mapping.address, value) for (_, other), (value, mapping) in self._known.items() if other == size]
        places += [(place, value) for (place, other), value in self._seen.items() if other == size]
        ends = _ends(address, size)
        for place, value in places:
            if _ends(place, size) == ends:
                return value if equal(address, place, size) else None
        return None

    def __enter__(self):
        """Let nothing change until the end: what was seen is not hashed again. What is hashed stays where it is."""
        self._seen = {}
        return self

    def __exit__(self, *problem):
        self._seen = None

    def remember(self, address, size, digest, path):
        """Note that a file holds what is there now."""
        if size < _SMALL:
            return
        try:
            mapping = Mapping(path)
        except OSError:
            return
        if mapping.size != size:
            return
        while len(self._known) >= _REMEMBERED:
            self._known.pop(next(iter(self._known)))
        self._known[(address, size)] = (digest, mapping)

    def retain(self, stretches):
        """Forget all that is not one of these `(address, size)`."""
        for known in [known for known in self._known if known not in stretches]:
            del self._known[known]
