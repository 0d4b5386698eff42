"""stdout and stderr of a notebook: what Python prints and what goes to the file descriptors, in the order it happened.

ipykernel before 6 does not look at the file descriptors at all; later ones copy them in a thread, so that a child's line may come
after what Python printed later. Here whoever writes first empties the pipe behind the descriptor.
"""

import codecs
import ctypes
import fcntl
import inspect
import mmap
import os
import select
import struct
import threading

from ipykernel import iostream

_PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031


class OutStream(iostream.OutStream):
    """ipykernel's stream, emptied of what waits at its descriptor before every write and flush."""

    _captured = None
    _words = None

    def __init__(self, session, pub_thread, name, pipe=None, **options):
        known = inspect.signature(iostream.OutStream.__init__).parameters
        options["watchfd"] = False
        options.pop("echo", None)
        options = {key: value for key, value in options.items() if key in known}
        iostream.OutStream.__init__(self, session, pub_thread, name, **options)

    def write(self, string):
        """Write text, after what was written to the descriptor before."""
        captured = self._captured
        if captured is not None:
            captured.drain()
        words = self._words
        if words is not None and isinstance(string, str):
            words.keep(string)
        return iostream.OutStream.write(self, string)

    def flush(self):
        """Send everything that was written, to the descriptor and by C's buffered streams too."""
        captured = self._captured
        if captured is not None:
            captured.flush_c()
            captured.drain()
        return iostream.OutStream.flush(self)

    def fileno(self):
        """Return the descriptor whose bytes land in this stream, so that children given it are captured."""
        if self._captured is None:
            return iostream.OutStream.fileno(self)
        return self._captured.descriptor


class _Captured:
    """A file descriptor turned into a pipe, read by whoever comes first: a writer of the stream, or a thread."""

    def __init__(self, stream, descriptor):
        self.descriptor = descriptor
        self._stream = stream
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._c_stream = _c_stream(descriptor)
        self._pipe, write_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            fcntl.fcntl(write_end, _F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass
        os.dup2(write_end, descriptor)
        # Kept open: the pipe must not end when a cell closes the descriptor.
        self._write_end = write_end
        thread = threading.Thread(target=self._watch, name="kanoe-descriptor-%d" % descriptor, daemon=True)
        # ipykernel 7 sends what a thread prints to the cell that started it; this one belongs to no cell.
        thread.start()

    def drain(self):
        """Move what waits in the pipe to the stream."""
        if os.getpid() != self._process:  # a forked child shares the pipe, but must not read it
            return
        with self._lock:
            while True:
                try:
                    data = os.read(self._pipe, _PIPE_BYTES)
                except (BlockingIOError, InterruptedError):
                    return
                except OSError:
                    return
                if not data:
                    return
                text = self._decoder.decode(data)
                if text:
                    if self._stream._words is not None:
                        self._stream._words.keep(text)
                    iostream.OutStream.write(self._stream, text)

    def flush_c(self):
        """Empty the buffer of C's own stream on this descriptor."""
        if self._c_stream is not None and os.getpid() == self._process:
            try:
                _libc.fflush(self._c_stream)
            except Exception:
                pass

    def _watch(self):
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while True:
            try:
                poll.poll()
                self.drain()
            except Exception:
                if self._stream.closed:
                    return


class _LastWords:
    """The end of what a stream was given, in a file that outlives the process: a crash loses up to 0.2 s of output else.

    The file holds two numbers of eight bytes, then text: how many bytes went before the text, and how long the text is.
    """

    _ROOM = 1 << 18

    def __init__(self, path):
        with open(path, "wb") as file:
            file.truncate(16 + self._ROOM)
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 16 + self._ROOM)
        self._process = os.getpid()
        self._before = 0
        self._length = 0

    def keep(self, text):
        """Remember text that is about to be sent."""
        if os.getpid() != self._process:
            return
        data = text.encode("utf-8", "surrogatepass")
        size = len(data)
        if self._length + size > self._ROOM:
            self._before += self._length
            self._length = 0
            if size > self._ROOM:
                self._before += size - self._ROOM
                data = data[-self._ROOM :]
                size = self._ROOM
        start = 16 + self._length
        self._memory[start : start + size] = data
        self._length += size
        struct.pack_into("<QQ", self._memory, 0, self._before, self._length)


try:
    _libc = ctypes.CDLL(None)
except OSError:
    _libc = None


def _c_stream(descriptor):
    """Return C's `FILE *` for descriptor 1 or 2, or None."""
    try:
        return ctypes.c_void_p.in_dll(_libc, {1: "stdout", 2: "stderr"}[descriptor])
    except Exception:
        return None


def remember(stream, path):
    """Keep the end of what `stream`, an `OutStream`, is given from now on in the file `path`."""
    stream._words = _LastWords(path)


def capture(stream, descriptor):
    """Let everything written to `descriptor` (1 or 2) land in `stream`, an `OutStream`."""
    stream._captured = _Captured(stream, descriptor)
