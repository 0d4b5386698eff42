"""What a cell reads and writes besides variables and files: a list of channels.

A channel has:

    owns(reference)         whether a reference is its.
    begin()                 called just before a cell starts.
    end() -> reads, writes  called just after it: `reads {reference: hash | None}` is what the cell read, as it was at the start;
                            `writes {reference: Written | None}` what it changed. `Written` is a pair `(hash, bytes | None)` with
                            the attribute `lost` (why there are no bytes). None: back at
                            what a fresh process has.
    restore(values)         `{reference: bytes | None}`: bring the process to this; None: to what a fresh process has. Returns
                            `{reference: why}` for what could not be done. In the order of the list: imports come first.
    initial() -> {reference: bytes}
                            what a fresh process draws by chance (random generators): for the first state of a notebook.
    held() -> objects       functions and classes of the notebook that libraries hold: any cell may call them, without naming them.

A reference that is as a fresh process has it is absent from every state. A read reference that ends in `*` is a read of everything below
that prefix: `hash_below` gives its hash from the state's entries, None where there are none. What has no bytes has a hash that only the
execution has that made it; after a replay the state's hash counts, not that which `end` reads here.
"""

import sys
import time

from kanoe_worker.track import (
    effects,
    encoded,
    going_on,
    handlers,
    imported,
    interactive,
    logged,
    network,
    opaque,
    options,
    randoms,
    settings,
    submodules,
    warned,
)
from kanoe_worker.track.plain import __builtins__  # noqa: F401

hash_below = encoded.hash_below


def all_channels(shell, definitions=None):  # noqa: ARG001
    """Return the channels of this process, watching.

    Args:
        shell: the InteractiveShell, or None.
        definitions: not needed: functions that libraries hold are kept by their code.
    """
    imports = imported.Imports()
    children = effects.Children()
    mpl = options.Matplotlib(imports)
    table = settings.process_settings() + options.library_settings() + mpl.entries()
    table += interactive.traceback_settings(shell)
    channels = [
        _Start(imports, children, shell),
        imported.Imported(imports),
        submodules.Submodules(imports),
        randoms.Randoms(imports, children),
        settings.Environ(imports, children),
        settings.Settings(imports, table),
        options.Pandas(imports),
        warned.Warnings(imports),
        logged.Logging(imports),
        interactive.Configuration(shell, imports) if shell is not None else None,
        interactive.Hooks(shell, imports),
        interactive.LastError(),
        opaque.Opaque(imports),
        network.Network(),
        going_on.Running(children),
        handlers.Handlers(),
        effects.Patches(imports, shell),
    ]
    imports.install()
    return [channel for channel in channels if channel is not None]


class _Start(object):
    """What the channels share, at its place before all of them."""

    def __init__(self, imports, children, shell):
        self._imports = imports
        self._children = children
        if shell is not None:
            shell.events.register("post_execute", self._ended)

    def _ended(self):
        """Stop counting: pyplot looks at its settings after every cell; it does something where figures are open."""
        module = sys.modules.get("matplotlib._pylab_helpers")
        if not getattr(getattr(module, "Gcf", None), "figs", None):
            self._imports.counting = False

    def owns(self, _reference):
        """See `channels`."""
        return False

    def begin(self):
        """See `channels`."""
        self._children.begin()
        self._imports.in_cell = self._imports.counting = True

    def end(self):
        """See `channels`."""
        self._imports.in_cell = self._imports.counting = False
        self._imports.settle()
        return {}, {}

    def restore(self, _values):
        """See `channels`."""
        return {}

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []


def costs(channels, rounds=50):
    """Return the CPU seconds that `begin` and `end` of each channel take, for measuring."""
    found = {}
    for _ in range(rounds):
        for channel in channels:
            started = time.process_time()
            channel.begin()
            found[channel] = found.get(channel, 0.0) + time.process_time() - started
        for channel in channels:
            started = time.process_time()
            channel.end()
            found[channel] += time.process_time() - started
    return {type(channel).__name__: seconds / rounds for channel, seconds in found.items()}
