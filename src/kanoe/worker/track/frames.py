"""Watches libraries that look a notebook's names up through the frames of their callers."""


class Watch:
    """Records which names of a namespace libraries look up through frames, between begin() and end()."""

    def __init__(self, namespace):
        self._namespace = namespace

    def begin(self):
        """Start recording; hook what was imported meanwhile."""

    def end(self):
        """Stop recording; return the names that were looked up, and whether it may have been all of them."""
        return set(), False

    def appeared(self, name):
        """Hook the library `name`, which was just imported; others are left alone."""
