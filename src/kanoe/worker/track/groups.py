"""Which roots share memory that can be written: these are one group, stored and hashed as one."""

import marshal

from kanoe_worker.track import digest
from kanoe_worker.track.plain import __builtins__  # noqa: F401


def groups(walks):
    """Return lists of references: of roots that share an object with an identity, or memory.

    Args:
        walks: `{reference: walk.Walk}`.
    """
    union = _Union(walks)
    first = {}
    for reference, walk in walks.items():
        for keys in (walk.ids, walk.reached):
            if keys:
                for key in first.keys() & keys:
                    union.join(first[key], reference)
                first.update(dict.fromkeys(keys, reference))
    for one, other in overlaps(walks):
        union.join(one, other)
    return union.groups()


def overlaps(walks):
    """Yield pairs of references whose memory overlaps."""
    stretches = sorted(
        (segment.address, segment.address + segment.size, segment.quiet, segment.writeable, reference)
        for reference, walk in walks.items()
        for segment in walk.segments
        if segment.size
    )
    current = []
    for low, high, quiet, writeable, reference in stretches:
        current = [entry for entry in current if entry[0] > low]
        for _, other_quiet, other_writeable, other in current:
            if other != reference and _is_seen(quiet, writeable, other_quiet, other_writeable):
                yield other, reference
        current.append((high, quiet, writeable, reference))


def _is_seen(quiet, writeable, other_quiet, other_writeable):
    """Return whether what is written through one of two that overlap is seen through the other."""
    if quiet and other_quiet:
        return False
    if quiet:
        return other_writeable
    return writeable or not other_quiet


def joint_hash(members, walks, within=None):
    """Return the hash of a group: of each member's value, and of what they share.

    Args:
        members: references.
        walks: by reference.
        within: where one member holds all the others: their numbers there.
    """
    if len(members) == 1:
        return digest.of_parts("group", members[0].encode(), walks[members[0]].own.encode())
    described = [(reference, walks[reference].own) for reference in members]
    if within is not None:
        return digest.of_parts("group", marshal.dumps([described, within], 2))
    shared, first = [], {}
    for position, reference in enumerate(members):
        ids = walks[reference].ids
        known = list(first.keys() & ids.keys())
        shared.append(sorted(zip(map(first.get, known), map(ids.get, known))))  # noqa: B905 - Python 3.9 knows no `strict`
        new = list(ids.keys() - first.keys())
        first.update(zip(new, map((position << 40).__add__, map(ids.get, new))))  # noqa: B905
    memory = []
    stretches = sorted(
        (segment.address, segment.address + segment.size, position, number)
        for position, reference in enumerate(members)
        for number, segment in enumerate(walks[reference].segments)
        if segment.size
    )
    for index, (low, high, position, number) in enumerate(stretches):
        for other_low, _, other_position, other_number in stretches[index + 1 :]:
            if other_low >= high:
                break
            if other_position != position:
                memory.append((position, number, other_position, other_number, other_low - low))
    return digest.of_parts("group", marshal.dumps([described, shared, sorted(memory)], 2))


class _Union(object):
    def __init__(self, things):
        self._parents = {thing: thing for thing in things}

    def find(self, thing):
        parents = self._parents
        while parents[thing] != thing:
            parents[thing] = parents[parents[thing]]
            thing = parents[thing]
        return thing

    def join(self, one, other):
        self._parents[self.find(one)] = self.find(other)

    def groups(self):
        found = {}
        for thing in sorted(self._parents):
            found.setdefault(self.find(thing), []).append(thing)
        return sorted(found.values())
