"""The values of a session's roots: their hashes, which of them belong together, their bytes, and objects from bytes again."""

import gc
import os
import sys
import uuid

from kanoe_worker.track import bundles, columns, digest, groups, guard, kinds, shells, walk
from kanoe_worker.track.plain import __builtins__  # noqa: F401


class NotRestored(Exception):  # noqa: N818 - a state, not a fault
    """Some values could not be made from their bytes.

    Attributes:
        references: of all members of their bundles.
    """

    def __init__(self, references, why):
        Exception.__init__(self, "%s: %s" % (", ".join(sorted(references)), why))
        self.references = set(references)
        self.why = why


class Values(object):
    """Describes, keeps and restores.

    Args:
        definitions: definitions.Definitions.
        staging: folder for new files, named by what they hold; Kanoe takes them away.
        given: folder with the files that bundles to be restored name.
    """

    def __init__(self, definitions, staging, given):
        self._definitions = definitions
        self._staging = staging
        self._given = given
        self._memory = digest.Memory()
        self._columns = columns.Columns()
        self._walks = {}
        self._going = frozenset()
        self._roots = {}
        self._pretended = {}
        self._staged = {}  # digest -> name of the file
        self._equal = {}  # type -> whether its instances come back equal

    # What values are

    def describe(self, roots):
        """Return what roots are, and which belong together.

        Args:
            roots: `{reference: object}`. Definitions that they refer to are described too.

        Returns:
            `{reference: {"hash", "needs", "type"}}`, and a list of groups `{"hash", "members"}`, members sorted.
            What is needed to `keep` a group is held until `done`, or the next time.
        """
        self.done()
        with _Calm(), self._memory, guard.Guard() as watch:
            walker = walk.Walker(self._definitions, self._memory, self._columns, watch, _mark)
            walks = self._walk_all(walker, dict(roots))
        self._walks = walks
        described = {reference: self._described(reference, walks) for reference in walks}
        found = []
        for members in groups.groups(walks):
            holder = self._holder(members)
            within = [walks[holder].numbers[id(self._roots[member])] for member in members] if holder else None
            found.append({"hash": groups.joint_hash(members, walks, within), "members": members})
        return described, found

    def go_on(self, ids, references):
        """Say that what was described may change at any time.

        Args:
            ids: of the objects that may; None: any.
            references: of what may be bound to something else.
        """
        self._going = {
            reference
            for reference, found in self._walks.items()
            if reference in references or (found.ids and (ids is None or not ids.isdisjoint(found.ids)))
        }

    def done(self):
        """Let go of all that was described."""
        self._walks = {}
        self._going = frozenset()
        self._roots = {}

    def _walk_all(self, walker, todo):
        walks = {}
        self._roots = {}
        while todo:
            reference, thing = todo.popitem()
            self._roots[reference] = thing
            if walk.is_atom(thing):
                walks[reference] = walk.Atom(thing)
                continue
            if reference.startswith("def:"):
                found = walker.walk_definition(reference, thing)
            else:
                found = walker.walk([thing])
            found.own = found.own_hash()
            walks[reference] = found
            for needed, definition in found.definitions.items():
                if needed not in walks:
                    todo[needed] = definition
        return walks

    def _described(self, reference, walks):
        needs, todo = set(), list(walks[reference].definitions)
        while todo:
            needed = todo.pop()
            if needed not in needs:
                needs.add(needed)
                todo.extend(walks[needed].definitions)
        needs.discard(reference)
        kind = "function" if reference.startswith("def:function") else kinds.described(type(self._roots[reference]))
        return {"hash": walks[reference].own, "needs": sorted(needs), "type": kind}

    # Bytes

    def keep(self, group, limit_bytes=None):
        """Write a group's bytes into the staging folder.

        Args:
            group: as `describe` returned it.
            limit_bytes: larger values are not kept.

        Returns:
            `pickle`: the name of its file, None where it is lost; `buffers`: names of files, which may have been written for an
            earlier group or been given; `size`; `lost`: why there are no bytes, for people, or None.
        """
        members = group["members"]
        reasons = [
            reason
            for reference in members
            if not reference.startswith("def:")
            for reason in self._walks[reference].lost
        ]
        if not self._going.isdisjoint(members):
            reasons.append("a thread of the notebook goes on with it")
        if reasons:
            return _lost(reasons[0])
        try:
            if len(members) == 1 and type(self._walks[members[0]]) is walk.Atom:
                return self._kept_atom(members[0], limit_bytes)
            with _Calm(), guard.Guard() as watch:
                return self._kept(members, limit_bytes, watch)
        except (guard.Failed, guard.Stopped) as problem:
            return _lost(str(problem) or "it takes too long")
        except OSError as problem:
            return _lost("it could not be written: %s" % problem.strerror)
        except MemoryError:
            return _lost("there is not enough memory")

    def _kept_atom(self, reference, limit_bytes):
        """Write what has no parts: a notebook may have many of these."""
        data = bundles.body(self._walks[reference], {}, False, [reference])
        if limit_bytes is not None and len(data) > limit_bytes:
            return _lost("dearer to keep than to compute")
        return {"pickle": self.stage(data), "buffers": [], "size": len(data), "lost": None}

    def _kept(self, members, limit_bytes, watch):
        definitions = {reference: self._roots[reference] for reference in members if reference.startswith("def:")}
        others = [reference for reference in members if reference not in definitions]
        frames, contents, tokens = {}, False, None
        roots = [self._roots[reference] for reference in others]
        if definitions:
            try:
                packed = shells.pack(self._definitions, definitions)
            except ValueError as problem:
                return _lost(str(problem))
            frames, contents, tokens = packed.frames, True, packed.tokens
            roots.insert(0, packed.contents)
        holder = self._holder(members) or (None if len(members) > 1 or definitions else members[0])
        found = self._walk_to_store(holder, roots, tokens, watch)
        why = _reason(found)
        if why is not None:
            return _lost(why)
        size = sum(segment.size for segment in found.segments) + sum(blob.size for blob in found.blobs)
        if limit_bytes is not None and size > limit_bytes:
            return _lost("dearer to keep than to compute")
        data = bundles.body(found, frames, contents, others)
        unequal = None if definitions else self._unequal(found, data, members, holder, watch)
        if unequal is not None:
            return _lost(unequal)
        buffers = [self._write_segment(segment) for segment in found.segments if not bundles.is_inside(segment)]
        buffers += [
            self._write(blob.kind + blob.digest, lambda blob=blob: bundles.blob_bytes(blob)) for blob in found.blobs
        ]
        for blob, name in zip(found.blobs, buffers[len(buffers) - len(found.blobs) :]):  # noqa: B905 - Python 3.6
            if blob.kind == "memory":
                self._memory.remember(blob.content[0], blob.content[1], blob.digest, os.path.join(self._staging, name))
        return {"pickle": self.stage(data), "buffers": buffers, "size": size + len(data), "lost": None}

    def _holder(self, members):
        """Return which of several members holds all the others, or None. A definition is not all there where it is held."""
        if len(members) == 1 or any([member.startswith("def:") for member in members]):
            return None
        largest = max(members, key=lambda reference: len(self._walks[reference].records))
        numbers = self._walks[largest].numbers
        return largest if all([id(self._roots[member]) in numbers for member in members]) else None

    def _walk_to_store(self, holder, roots, tokens, watch):
        if holder is not None and not self._walks[holder].differs:
            return self._walks[holder] if len(roots) == 1 else self._walks[holder].of(roots)
        walker = walk.Walker(self._definitions, self._memory, self._columns, watch, _mark)
        return walker.walk(roots, tokens, storing=True)

    def _unequal(self, found, data, members, holder, watch):
        """Return why a bundle does not come back equal, None where it does: tried when a type is met for the first time."""
        untried = [
            kind
            for kind in found.calls.values()
            if not _is_known(kind) and self._equal.get(id(kind), (None, False))[0] is not kind
        ]
        if not untried:
            return None
        names = ", ".join(sorted(set(map(kinds.described, untried))))
        source = _Source(found)
        reader = bundles.Reader(data, source, self._definitions.find, digest.Memory(), columns.Columns())
        try:
            things = watch.call(reader.items)
        except (guard.Failed, bundles.Damaged) as problem:
            return "%s cannot be made again: %s" % (names, problem)
        walker = walk.Walker(self._definitions, self._memory, self._columns, watch, _mark)
        if holder is not None:
            same = walker.walk([things[members.index(holder)]]).own_hash() == self._walks[holder].own
        else:
            same = walker.walk(things).own_hash() == walker.walk([self._roots[member] for member in members]).own_hash()
        if not same:
            return "%s does not come back equal" % names
        self._equal.update((id(kind), (kind, True)) for kind in untried if not self._definitions.is_definition(kind))
        return None

    def unknown(self, members):
        """Return whether something in a group is known by nothing but itself: its hashes say nothing of what it holds."""
        lost = any(self._walks[reference].lost for reference in members if reference in self._walks)
        return lost or not self._going.isdisjoint(members)

    def is_lost(self, reference):
        """Return whether something in a value itself is known by nothing but itself."""
        return bool(self._walks[reference].lost)

    def stage(self, data):
        """Write bytes into the staging folder; return the file's name."""
        return self._write(digest.of_parts("data", data), lambda: data)

    def _write_segment(self, segment):
        name = self._write("memory" + segment.digest, lambda: digest.view(segment.address, segment.size))
        path = os.path.join(self._staging, name)
        if os.path.exists(path):
            self._memory.remember(segment.address, segment.size, segment.digest, path)
        return name

    def _write(self, key, make):
        name = self._staged.get(key)
        if name is None:
            name = key
            path = os.path.join(self._staging, name)
            # Kanoe looks at no file before it is told of it.
            with open(path, "wb", 0) as file:
                made = make()
                for piece in made if type(made) is list else [made]:
                    _write_all(file, piece)
            self._staged[key] = name
        return name

    def read(self, name):
        """Return the bytes of a file that was given."""
        with open(os.path.join(self._given, name), "rb") as file:
            return file.read()

    # Objects again

    def restore(self, given):
        """Return `{reference: object}` of the members of some bundles that are not definitions; definitions live from then on.

        Args:
            given: bundles, each `{"members", "pickle", "buffers"}`, and `present`: its members that are no other values by now,
                if not all. Definitions that they need live already, or are among them.

        Raises:
            NotRestored: something has no bytes here.
        """
        with _Calm(), guard.Guard(600.0) as watch:
            return self._restored(given, watch)

    def _restored(self, given, watch):
        objects, readers, found, used = {}, [], {}, set()
        for bundle in given:
            readers.append((bundle, _Restoring(bundle).call(self._reader, bundle, objects, used)))
        frames, framed = {}, []
        for bundle, reader in readers:
            made = {name: frame for name, frame in reader.frames.items() if name in _present(bundle)}
            frames.update(made)
            framed += bundle["members"] if made else []
        if frames:
            objects.update(_Restoring({"members": framed}).call(watch.call, shells.make, self._definitions, frames))
        readers.sort(key=lambda entry: not entry[1].contents)
        for bundle, reader in readers:
            things = _Restoring(bundle).call(watch.call, reader.items)
            if reader.contents:
                contents = things.pop(0)
                gone = frozenset(bundle["members"]).difference(_present(bundle))
                held = {token: content for token, content in contents.items() if shells.owner(token) not in gone}
                _Restoring(bundle).call(watch.call, shells.fill, objects, held)
            present = frozenset(_present(bundle))
            found.update(entry for entry in zip(reader.members, things) if entry[0] in present)  # noqa: B905
        together = {reference for bundle in given if len(bundle["members"]) > 1 for reference in bundle["members"]}
        for reference, thing in objects.items():
            if reference.startswith("def:"):
                found[reference] = thing
                if reference in together or reference not in used:
                    self._definitions.hold(reference, thing)
        return found

    def _reader(self, bundle, objects, used):
        def resolve(token):
            used.add(token)
            thing = objects.get(token)
            if thing is None:
                thing = self._definitions.find(token)
            if thing is None:
                raise LookupError(token)
            return thing

        paths = [os.path.join(self._given, name) for name in bundle["buffers"]]
        return bundles.Reader(self.read(bundle["pickle"]), bundles.Files(paths), resolve, self._memory, self._columns)


def _present(bundle):
    return bundle.get("present", bundle["members"])


class _Source(object):
    """Buffers of a bundle that has not been written yet."""

    def __init__(self, found):
        self._segments = [segment for segment in found.segments if not bundles.is_inside(segment)]
        self._blobs = found.blobs

    def __len__(self):
        return len(self._segments) + len(self._blobs)

    def segment(self, number):
        return digest.view(self._segments[number].address, self._segments[number].size)

    def blob(self, number):
        found = bundles.blob_bytes(self._blobs[number - len(self._segments)])
        return b"".join(found) if type(found) is list else found


class _Restoring(object):
    """Says of which bundle something failed."""

    def __init__(self, bundle):
        self._bundle = bundle

    def call(self, function, *arguments):
        try:
            return function(*arguments)
        except KeyboardInterrupt:
            raise
        except Exception as problem:
            raise NotRestored(self._bundle["members"], "%s: %s" % (type(problem).__name__, problem)) from problem


class _Calm(object):
    """No garbage collection meanwhile: it costs time, and runs finalisers of the notebook."""

    def __enter__(self):
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *problem):
        if self._enabled:
            gc.enable()


def _write_all(file, data):
    rest = memoryview(data).cast("B")
    while len(rest):
        rest = rest[file.write(rest) :]


def _reason(found):
    """Return why a walk has no bytes, or None."""
    if found.lost:
        return found.lost[0]
    if found.torn or not found.apart.isdisjoint(found.ids):
        return "it shares what it is made of with another object"
    for one in found.sets:
        if list(bundles.ordered_set(list(one), type(one))) != list(one):
            return "a set whose order cannot be kept"
    return None


def _is_known(kind):
    """Return whether instances of a type come back equal in every version: the tests say so."""
    if kinds.is_type(kind):
        return False
    module = kinds.type_name(kind)[0]
    library = module.partition(".")[0]
    if library == "pandas" and module not in _FRAMES:
        return not sys.modules["pandas"].__version__.startswith(("0.", "1."))
    return library in _KNOWN


_FRAMES = ("pandas.core.frame", "pandas.core.series")  # what they hold is tried by itself


# Modules whose types need no trial.
_KNOWN = frozenset(
    [
        "builtins",
        "collections",
        "datetime",
        "decimal",
        "fractions",
        "functools",
        "itertools",
        "numpy",
        "operator",
        "pandas",
        "pathlib",
    ]
    + ["random", "_random", "re", "_sre", "types", "uuid", "pyarrow"]
)


def _mark():
    return uuid.uuid4().hex


def _lost(why):
    return {"pickle": None, "buffers": [], "size": 0, "lost": why}
