"""The state of the random generators that belong to the process: `random`, numpy's, torch's.

A cell that moved a generator read and wrote it; one that only seeded it wrote it; one that asked for the state, or had children (who
inherit it), read it. The first state of each is drawn by this process, or handed in, before the library is there: it is set when the
library is imported.
"""

import marshal
import os
import random
import struct
import sys

from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.plain import __builtins__  # noqa: F401

entropy = os.urandom  # `entropy(count) -> bytes`: where first states come from
_WORDS = 624  # of a Mersenne twister


class Randoms(object):
    """One channel for all generators."""

    def __init__(self, imports, children=lambda: False):
        self._children = children
        self.generators = [Python(), Numpy(), Torch()]
        self._references = {generator.reference: generator for generator in self.generators}
        for generator in self.generators:
            imports.when(generator.module, generator.arrived)

    def owns(self, reference):
        """See `channels`."""
        return reference in self._references

    def begin(self):
        """See `channels`."""
        for generator in self.generators:
            generator.begin()

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        children = self._children()
        for generator in self.generators:
            generator.end(reads, writes, children)
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        failed = {}
        for reference, data in values.items():
            generator = self._references.get(reference)
            if generator is not None:
                try:
                    generator.restore(generator.first if data is None else data)
                except Exception as error:
                    failed[reference] = "%s: %s" % (type(error).__name__, error)
        return failed

    def initial(self):
        """See `channels`."""
        return {generator.reference: generator.first for generator in self.generators}

    def held(self):
        """See `channels`."""
        return []


class Generator(object):
    """One generator. Its bytes are its state, or a seed, marshalled.

    A subclass gives `reference`, `module`, `draw() -> state`, `get() -> state`, `set(state)` and `watch()`.
    """

    def __init__(self):
        self.library = None
        self.first = marshal.dumps(self.draw(), 2)
        self._data = self.first
        self._hash = digest_of(self.first)
        self._now = None
        self._seeded = self._moved = self._asked = self._quiet = False

    def arrived(self, module):
        """Set the state that waits, now that the library is there."""
        self.library = module
        self.watch()
        self.restore(self._data)

    def restore(self, data):
        """Bring the generator to a state."""
        if self.library is not None:
            self._quiet = True
            try:
                self.set(marshal.loads(data))
                self._now = self.get()
            finally:
                self._quiet = False
        self._data = data
        self._hash = digest_of(data)

    def begin(self):
        """Expect a cell; what imports drew since the last one, where values are restored, is not what a cell of the notebook does."""
        if self.library is not None and self._current() != self._now:
            self.restore(self._data)
        self._seeded = self._moved = self._asked = False

    def end(self, reads, writes, children):
        """Say what the cell did."""
        if self.library is None:
            return
        before = self._hash
        changed = self._refresh()
        if self._asked or self._moved or children or (changed and not self._seeded):
            reads[self.reference] = before
        if changed or self._seeded:
            writes[self.reference] = Written(self._hash, self._data)

    def seeding(self, function):
        """Return `function`, that seeds, so that it tells."""

        def seed(*arguments, **options):
            if not self._quiet and not self._seeded:
                # What was drawn before the first seed depends on what was there.
                self._moved = self._current() != self._now
            result = function(*arguments, **options)
            if not self._quiet:
                self._seeded = True
            return result

        return _like(seed, function)

    def asking(self, function):
        """Return `function`, that gives the state, so that it tells."""

        def ask(*arguments, **options):
            if not self._quiet and not self._seeded:
                self._asked = True
            return function(*arguments, **options)

        return _like(ask, function)

    def _current(self):
        quiet, self._quiet = self._quiet, True
        try:
            return self.get()
        finally:
            self._quiet = quiet

    def _refresh(self):
        state = self._current()
        if state == self._now:
            return False
        self._now = state
        self._data = marshal.dumps(state, 2)
        self._hash = digest_of(self._data)
        return True


def _like(wrapper, function):
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__text_signature__", "__annotations__"):
        try:
            setattr(wrapper, name, getattr(function, name))
        except Exception:
            pass
    wrapper.__kanoe__ = True
    return wrapper


def _replace(owners, names, make):
    """Let attributes of modules be what `make` makes of them."""
    made = {}
    for owner in owners:
        for name in names:
            function = getattr(owner, name, None)
            if function is not None and not hasattr(function, "__kanoe__"):
                if id(function) not in made:
                    made[id(function)] = (function, make(function))
                setattr(owner, name, made[id(function)][1])


class Python(Generator):
    """Of the standard library."""

    reference = "random:random"
    module = "random"

    def draw(self):
        """See `channels`."""
        return random.Random(int.from_bytes(entropy(32), "little")).getstate()

    def get(self):
        """See `channels`."""
        return random._inst.getstate()

    def set(self, state):
        """See `channels`."""
        random._inst.setstate(state)

    def watch(self):
        """See `channels`."""
        _replace([random], ["seed", "setstate"], self.seeding)
        _replace([random], ["getstate"], self.asking)


class Numpy(Generator):
    """Numpy's global one."""

    reference = "random:numpy"
    module = "numpy.random"

    def draw(self):
        """See `channels`."""
        return (entropy(4 * _WORDS), _WORDS, 0, 0.0)

    def get(self):
        """See `channels`."""
        state = self._get()
        if type(state) is dict:  # another bit generator was set
            return repr(state)
        return (state[1].tobytes(), int(state[2]), int(state[3]), float(state[4]))

    def set(self, state):
        """See `channels`."""
        if type(state) is str:
            raise ValueError("another bit generator was set")
        key = struct.unpack("<%dI" % _WORDS, state[0])
        self._set(("MT19937", key) + tuple(state[1:]))

    def watch(self):
        """See `channels`."""
        self._get = self.library.get_state
        self._set = self.library.set_state
        owners = [module for module in (self.library, sys.modules.get("numpy.random.mtrand")) if module is not None]
        _replace(owners, ["seed", "set_state"], self.seeding)
        _replace(owners, ["get_state"], self.asking)


class Torch(Generator):
    """Torch's, on the processor."""

    reference = "random:torch"
    module = "torch"

    def draw(self):
        """See `channels`."""
        return int.from_bytes(entropy(7), "little")

    def get(self):
        """See `channels`."""
        return self._get().numpy().tobytes()

    def set(self, state):
        """See `channels`."""
        if type(state) is int:
            self._generator.manual_seed(state)
            return
        words = self.library.tensor(list(bytearray(state)), dtype=self.library.uint8)
        self._set(words)

    def watch(self):
        """See `channels`."""
        self._generator = self.library.default_generator
        self._get = self.library.random.get_rng_state
        self._set = self.library.random.set_rng_state
        owners = [self.library, self.library.random]
        _replace(owners, ["manual_seed", "set_rng_state", "seed"], self.seeding)
        _replace(owners, ["get_rng_state", "initial_seed"], self.asking)
