"""Objects that pickle cannot keep, or not faithfully: what stands for them.

`find(thing)` gives None (pickle as ever) or a saver:

    lost        why there are no bytes, for people (`a generator`), or None
    pack(thing)      what stands for it: walk this and pickle this instead of the thing
    unpack(packed)   the thing again
    canonical(thing) what to hash instead of the thing: `pack(thing)` unless the stored form holds chance or places
    reach(thing)     what a lost thing may change: objects to walk for groups, not to hash
"""


class Saver(object):
    """How objects of some type are kept; see the module."""

    lost = None

    def pack(self, thing):
        raise NotImplementedError

    def unpack(self, packed):
        raise NotImplementedError

    def canonical(self, thing):
        return self.pack(thing)

    def reach(self, thing):
        return ()


def find(thing):
    """Return the saver for an object, or None."""
    return None
