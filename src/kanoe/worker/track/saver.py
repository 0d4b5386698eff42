"""How objects that pickle cannot keep, or not faithfully, are kept."""


class Saver(object):
    """How objects of some type are kept; see the module."""

    def __init__(self, pack=None, unpack=None, canonical=None, lost=None, reach=None, leaf=False, alone=False):
        self.pack = pack
        self.unpack = unpack
        self.canonical = canonical or pack
        self.lost = lost
        self.reach = reach or (_nothing if lost is None else None)
        self.leaf = leaf
        self.alone = alone


def _nothing(_thing):
    return ()


def lost(reason, reach=None):
    """Return a saver for what has no bytes."""
    return Saver(lost=reason, reach=reach)
