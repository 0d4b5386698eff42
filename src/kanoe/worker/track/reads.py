"""Which names code may look up, found before it runs: a generous guess that never misses one."""


class Mentions:
    """What a piece of code may read and bind among the notebook's names.

    needs       global names looked up before this same code surely bound them
    binds       global names it may bind
    deletes     global names it may delete
    everything  whether it may look at all names at once: `globals()`, `dir()`, `eval`
    strings     identifiers in string constants that a library may look up: `query('a < @x')`
    words       identifiers in all other string constants, for libraries that look names up in C
    results     numbers of the outputs it reads as `_3` or `Out[3]`; None: any
    setattrs    whether it may store attributes
    hooks       whether it is code that runs when a class is made from its class
    later       name -> Later: functions and classes that the code defines; what they need counts once the name is used
    """

    __slots__ = ("needs", "binds", "deletes", "everything", "strings", "words", "results", "setattrs", "hooks", "later")

    def __init__(self):
        self.needs = set()
        self.binds = set()
        self.deletes = set()
        self.everything = False
        self.strings = set()
        self.words = set()
        self.results = set()
        self.setattrs = False
        self.hooks = False
        self.later = {}

    def as_dict(self):
        """Return the JSON form: what is empty is not there."""
        return {}

    @classmethod
    def from_dict(cls, record):
        """Rebuild from the JSON form."""
        return cls()


class Closure:
    """All that a cell may read: names and definitions; everything: it may read any."""

    __slots__ = ("names", "definitions", "everything", "results")

    def __init__(self, names, definitions, everything, results):
        self.names = names
        self.definitions = definitions
        self.everything = everything
        self.results = results


def mentions_of_source(source, shell=None):
    """Return the Mentions of a cell; a cell with a syntax error reads nothing, for it fails by itself."""
    mentions = Mentions()
    mentions.everything = True
    return mentions


def mentions_of_code(code):
    """Return the Mentions of a function's code object with all code nested in it."""
    mentions = Mentions()
    mentions.everything = True
    return mentions


def closure(mentions, state, words=True):
    """Return the Closure of a cell's Mentions over the worker's state, a map from reference to entry."""
    return Closure(set(), set(), True, None)
