# ruff: noqa: T201, PTH100, PTH118, PTH120, PLC0415
"""Processes with a shell and all channels, one for each connection to the socket that is the argument.

Requests, line by line: `["run", code]`, `["restore", {...}]`, `["load", name]`, `["initial"]`, `["costs"]`, `["held"]`.

Runs on the Python of any environment; bytes travel in base64.
"""

import base64
import io
import json
import os
import signal
import socket
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "..", "src", "kanoe"))
import worker  # noqa: E402

sys.modules["kanoe_worker"] = worker
for name in ("track", "track.channels"):
    __import__("kanoe_worker." + name)
del sys.path[0]
sys.path[0] = ""

from IPython.core.interactiveshell import InteractiveShell  # noqa: E402
from kanoe_worker.track import channels  # noqa: E402


def encode(data):
    """Return bytes as text."""
    return None if data is None else base64.b64encode(data).decode()


def decode(text):
    """Return text as bytes."""
    return None if text is None else base64.b64decode(text)


class Session:
    """One process."""

    def __init__(self):
        self.shell = make_shell()
        self.channels = channels.all_channels(self.shell)

    def run(self, code):
        """Run a cell; return its output and what it read and wrote."""
        for channel in self.channels:
            channel.begin()
        stdout, sys.stdout = sys.stdout, io.StringIO()
        caught = sys.stdout
        try:
            result = self.shell.run_cell(code, store_history=True)
        finally:
            text = caught.getvalue()
            if sys.stdout is caught:
                sys.stdout = stdout
        error = result.error_before_exec or result.error_in_exec
        reads, writes, why = {}, {}, {}
        for channel in self.channels:
            found, written = channel.end()
            reads.update(found)
            for reference, value in written.items():
                if reference == "network":
                    writes[reference] = value
                    continue
                writes[reference] = None if value is None else [value[0], encode(value[1])]
                if value is not None and value.lost:
                    why[reference] = value.lost
        return {
            "text": text,
            "error": None if error is None else repr(error),
            "reads": reads,
            "writes": writes,
            "why": why,
        }

    def restore(self, values):
        """Bring the process to a state."""
        failed = {}
        decoded = {reference: decode(data) for reference, data in values.items()}
        for channel in self.channels:
            failed.update(channel.restore(decoded) or {})
        return failed

    def load(self, name):
        """Import a library outside of all cells, as restoring a value does."""
        __import__(name)

    def initial(self):
        """Return what was drawn."""
        found = {}
        for channel in self.channels:
            found.update(channel.initial())
        return {reference: encode(data) for reference, data in found.items()}

    def costs(self):
        """Return what the channels cost."""
        return channels.costs(self.channels)

    def held(self):
        """Return the names of the functions that libraries hold."""
        return sorted(getattr(value, "__name__", "?") for channel in self.channels for value in channel.held())


def make_shell():
    """Return a shell with the main module as its own, as a kernel's is."""
    import types

    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    InteractiveShell.history_length = 0
    return InteractiveShell.instance(user_module=main, user_ns=main.__dict__)


def answer(connection):
    """Answer the requests of one connection until there are no more."""
    file = connection.makefile("rw")
    session = Session()
    for line in file:
        request = json.loads(line)
        file.write(json.dumps(getattr(session, request[0])(*request[1:])) + "\n")
        file.flush()


def main():
    """Make a process of its own for every connection: imports are paid once."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(sys.argv[1])
    server.listen(8)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            server.close()
            answer(connection)
            os._exit(0)
        connection.close()


main()
