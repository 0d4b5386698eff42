"""Definitions made again in two steps, so that they may refer to themselves and each other: first empty shells, then what they hold.

To keep the definitions of a bundle (`members {reference: function or class}`, all definitions of one group):

    packed = shells.pack(definitions, members)
    packed.frames     {reference: plain data}: pickle this by itself, before the body: it needs no persistent ids
    packed.contents   pickle this in the body, with everything else of the bundle
    packed.tokens     {id: token}: `persistent_id` must answer these first, then `definitions.token(thing)`

To make them again, together with those of all other bundles that are restored at once:

    objects = shells.make(definitions, frames)        # frames of all bundles in one dict -> {token: object}
    body = unpickle(...)                              # persistent_load: objects.get(token) or definitions.find(token)
    shells.fill(definitions, objects, contents)       # of each bundle: before bodies of bundles without definitions are unpickled
"""


class Packed(object):
    """A bundle's definitions in a form to pickle; see the module."""

    def __init__(self):
        self.frames, self.contents, self.tokens = {}, {}, {}


def pack(definitions, members):
    """Return the `Packed` form of definitions; raises ValueError with a reason where one is lost."""
    raise ValueError("definitions are not kept yet")


def make(definitions, frames, register=True):
    """Return `{token: object}`: empty shells of all definitions; they are the living ones from now on, unless `register` is False."""
    return {}


def fill(definitions, objects, contents):
    """Give shells what they hold."""
