"""A process with a shell and all channels, driven line by line: `["run", code]`, `["restore", {...}]`, `["initial"]`, `["costs"]`.

Runs on the Python of any environment; bytes travel in base64.
"""

import base64
import io
import json
import os
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
        return {"text": text, "error": None if error is None else repr(error), "reads": reads, "writes": writes, "why": why}

    def restore(self, values):
        """Bring the process to a state."""
        failed = {}
        for channel in self.channels:
            own = {reference: decode(data) for reference, data in values.items() if channel.owns(reference)}
            failed.update(channel.restore(own) or {})
        return failed

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


def main():
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(getattr(session, request[0])(*request[1:])) + "\n")
        answers.flush()


main()
