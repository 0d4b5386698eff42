"""What the kernel answers when Kanoe prepares a cell and asks what it did.

Three requests on the shell channel, besides those of Jupyter:

    kanoe_prepare_request   brings what the session should hold (`state`: references with their entries; `gone`), and the cell's code;
                            answered by `ready`, by `wants` (blobs to be laid into the `given` folder), or by `held` (references
                            without bytes, whose cells have to run again first)
    kanoe_restore_request   the blobs are there; answered as above
    kanoe_finish_request    the cell has run; answered by what it read and wrote, bytes as files in the `staging` folder

The session's names live in a plain dictionary, Jupyter's own. What a cell may read is a static closure of its code and of everything
that it reaches; what it wrote is found by comparing values.
"""

import functools
import random
import sys
import types

from kanoe_worker.track import (
    channels,
    definitions,
    encoded,
    files,
    frames,
    going_on,
    imported,
    interactive,
    kinds,
    local_modules,
    opaque,
    randoms,
    reads,
    submodules,
    summaries,
    values,
    walk,
)
from kanoe_worker.track.plain import __builtins__  # noqa: F401

# Names that Jupyter itself puts into the namespace.
_LAST = ("_", "__", "___")
_HISTORY = ("__warningregistry__", "_i", "_ii", "_iii", "_ih", "_oh", "In", "Out")
# The folders that `%cd` has been in: a list of the shell's own to which it adds.
_FOLDERS = "_dh"
# Everything that is recorded costs something; smaller than this is kept whatever it cost to make.
_CHEAP_BYTES = 1 << 20
_KEEP_BYTES_PER_SECOND = 300e6
_SHARE = 0.2


class Tracker:
    """Watches one kernel.

    Args:
        kernel: the ipykernel.
        configuration: `staging` and `given`: folders; `roots`: files' folders by the paths they have on Kaggle; `apart`: folders among
            these that are no data of a notebook: its environment; `seed`: of random generators;
            `results`: whether any cell looks at what others returned; `index_names`: whether any may name an index in place.
    """

    def __init__(self, kernel, configuration):
        self.kernel = kernel
        self.shell = kernel.shell
        self.namespace = kernel.shell.user_ns
        # What the shell itself binds, until a cell binds these names to something else.
        self.own = {
            name: value for name, value in self.namespace.items() if name in ("In", "Out") or not _is_shells(name)
        }
        self.history = {name: self.namespace[name] for name in ("In", "Out")}
        self.first_folders = list(self.namespace.get(_FOLDERS, ()))
        self.after = {}  # the names as the cell left them, until it is told
        self.state = {}
        self.live = set()
        self.definitions = definitions.Definitions(self.namespace)
        self.values = values.Values(self.definitions, configuration["staging"], configuration["given"])
        self.files = files.Files(configuration["roots"], configuration["staging"], configuration["apart"])
        self.frames = frames.Watch(self.namespace)
        local_modules.watch(here for name, here in configuration["roots"].items() if name != "/kaggle/input")
        randoms.entropy = _drawn(configuration["seed"])
        self.channels = channels.all_channels(self.shell, definitions=self.definitions)
        self.submodules = next(channel for channel in self.channels if type(channel) is submodules.Submodules)
        self.running = next(channel for channel in self.channels if type(channel) is going_on.Running)
        self.used = frozenset()  # variables that threads used as the last cell ended; None: any
        walk.named_indexes = configuration["index_names"]
        self.initial = {}
        for channel in self.channels:
            for reference, data in channel.initial().items():
                self.initial[reference] = encoded.digest_of(data)
        self.results = configuration["results"]
        self.taken = {}
        self.laid = []
        self.changed = set()
        self.cell = None
        self.fresh = True
        for request in ("prepare", "restore", "finish"):
            kernel.shell_handlers["kanoe_%s_request" % request] = self._handler(request)

    def _handler(self, request):
        work = getattr(self, request)

        def handle(stream, ident, parent):
            profile, trace = sys.getprofile(), sys.gettrace()
            sys.setprofile(None)
            sys.settrace(None)
            try:
                # As in a cell: what a library's import makes of `get_ipython` stays with it.
                with self.shell.builtin_trap:
                    content = work(parent["content"])
            except BaseException as problem:
                content = {"status": "lost", "why": "%s: %s" % (type(problem).__name__, problem), "trace": _trace()}
            finally:
                self.after = {}
                sys.setprofile(profile)
                sys.settrace(trace)
            self.kernel.session.send(stream, "kanoe_%s_reply" % request, content, parent, ident=ident)

        return handle

    # Before a cell

    def prepare(self, content):
        """Bring the session to the state that the cell starts from, as far as the cell can see it."""
        self.taken.update(content.get("taken", {}))
        self.laid += content.get("laid", ())
        self._take_delta(content["state"], content["gone"])
        cell = _Cell(content, reads.mentions_of_source(content["code"], self.shell))
        self.cell = cell
        closure = reads.closure(cell.mentions, self.state)
        cell.closure = closure
        cell.names = set(self._known_names()) if closure.everything or self.used is None else set(closure.names)
        cell.definitions = set(closure.definitions)
        if self.used:
            reached = reads.closure_of_names(self.used, self.state)
            cell.names.update(reached.names)
            cell.definitions.update(reached.definitions)
        if closure.everything:
            cell.definitions.update(reference for reference in self.state if reference.startswith("def:"))
        wanted = self._wanted(cell)
        held = [reference for reference in wanted if self._is_lost(reference)]
        held += self._held_channels(cell)
        if held:
            return {"status": "held", "needs": sorted(held)}
        cell.bundles = self._bundles(wanted)
        blobs = [blob for bundle in cell.bundles for blob in _blobs(bundle)]
        blobs += [
            self.state[reference]["blob"] for reference in self.changed if self.state.get(reference, {}).get("blob")
        ]
        if blobs or closure.history:
            return {"status": "wants", "blobs": sorted(set(blobs))}
        return self._begin()

    def restore(self, content):
        """Restore what the cell needs; the blobs are in the folder `given`."""
        if self.cell.closure.history:
            interactive.remember_sources(self.shell, self.history["In"], content["earlier"])
        return self._begin()

    def _begin(self):
        cell = self.cell
        lacking = self._restore_channels() or self._lacking_modules()
        if lacking:
            return {"status": "held", "needs": lacking}
        # The functions of a module have come with it.
        cell.bundles = [bundle for bundle in cell.bundles if not self.live.issuperset(self._members(bundle))]
        for bundle in cell.bundles:
            self._discard(self._members(bundle))
        try:
            restored = self.values.restore(cell.bundles) if cell.bundles else {}
        except values.NotRestored as problem:
            return {"status": "held", "needs": sorted(problem.references)}
        for bundle in cell.bundles:
            for reference in self._members(bundle):
                self._bind(reference, restored.get(reference))
                self.live.add(reference)
        if cell.bundles and cell.closure.everything:
            self._put_in_order()
        if cell.bundles and self.results:
            self._set_last()
        if cell.count is not None:
            self.shell.execution_count = cell.count
        self.submodules.expect([self.namespace.get(name) for name in cell.names])
        self.definitions.begin(reference for reference in self.state if reference.startswith("def:"))
        cell.before = {name: id(value) for name, value in dict(self.namespace).items()}
        for channel in self.channels:
            channel.begin()
        self.frames.begin()
        self.files.begin(self.laid, cell.code)
        self.laid = []
        return {"status": "ready"}

    def _take_delta(self, state, gone):
        """Learn what the session should hold; what it held of these references is stale."""
        for reference in gone:
            self.changed.add(reference)
            self._drop(reference)
            self.state.pop(reference, None)
        for reference, entry in state.items():
            self.changed.add(reference)
            self._drop(reference)
            if entry.get("moved"):
                self.state.pop(reference, None)
            self.state[reference] = entry
        stale = {reference for reference in self.changed if reference.startswith("def:")}
        # A definition that nothing held any more is gone, though the state may need it still.
        stale.update(
            reference
            for reference in self.live
            if reference.startswith("def:") and self.definitions.find(reference) is None
        )
        self.live -= stale
        if stale:
            # A value that refers to an old version holds the old object.
            for reference in list(self.live):
                if stale.intersection(self.state.get(reference, {}).get("needs", ())):
                    self._drop(reference)

    def _drop(self, reference):
        """Take a stale value out of the session."""
        kind, _, name = reference.partition(":")
        self.live.discard(reference)
        if kind == "name":
            self.namespace.pop(name, None)
            if name in self.own:
                self.namespace[name] = self.own[name]
            if name == _FOLDERS and type(self.own.get(name)) is list:
                self.own[name][:] = self.first_folders
        elif kind == "out":
            self.history["Out"].pop(int(name), None)
            self.namespace.pop("_" + name, None)
        elif _is_module(reference):
            local_modules.unload(reference)

    def _discard(self, references):
        for reference in references:
            self._drop(reference)

    def _known_names(self):
        return [reference[5:] for reference in self.state if reference.startswith("name:")]

    def _wanted(self, cell):
        """Return the references that the cell may look at and the session has not."""
        # What the cell deletes must be there to be missed.
        wanted = {"name:" + name for name in cell.names | cell.hints | cell.closure.deletes}
        wanted.update(cell.definitions)
        results = cell.closure.results
        wanted.update(
            reference
            for reference in self.state
            if reference.startswith("out:") and (results is None or int(reference[4:]) in results)
        )
        return [
            reference
            for reference in wanted
            if reference in self.state and reference not in self.live and not self._comes_with_module(reference)
        ]

    def _comes_with_module(self, reference):
        """Return whether an import makes a value: a module of the notebook's own, or a function in it that has no bytes either."""
        bundle = self.state.get(reference, {}).get("bundle")
        if not reference.startswith("def:") or bundle is None or bundle.get("pickle") is not None:
            return False
        return any(map(_is_module, bundle["members"]))

    def _is_lost(self, reference):
        bundle = self.state[reference].get("bundle")
        return bundle is not None and bundle.get("pickle") is None

    def _bundles(self, wanted):
        """Return the bundles to restore, with the definitions that they need: a group is live as a whole or not at all."""
        found = {}
        todo = list(wanted)
        while todo:
            reference = todo.pop()
            entry = self.state.get(reference)
            bundle = entry.get("bundle") if entry else None
            if bundle is None or bundle["hash"] in found:
                continue
            found[bundle["hash"]] = dict(
                bundle,
                pickle=self.taken.get(bundle["pickle"], bundle["pickle"]),
                buffers=[self.taken.get(name, name) for name in bundle["buffers"]],
                present=self._members(bundle),
            )
            needs = [need for need in entry.get("needs", ()) if need not in self.live]
            todo.extend(need for need in needs if not self._comes_with_module(need))
            todo.extend(member for member in self._members(bundle) if member != reference)
        return list(found.values())

    def _members(self, bundle):
        """Return the references whose values are in a bundle still: some of its members may be bound to other values now."""
        return [
            reference
            for reference in bundle["members"]
            if self.state.get(reference, {}).get("bundle", {}).get("hash") == bundle["hash"]
        ]

    def _bind(self, reference, value):
        kind, _, name = reference.partition(":")
        if kind == "name":
            self.namespace[name] = value
        elif kind == "out":
            self.history["Out"][int(name)] = value
            self.namespace["_" + name] = value

    def _put_in_order(self):
        """Let the names stand in the order in which a run from the top binds them."""
        for reference in self.state:
            if reference in self.live and reference.startswith("name:"):
                name = reference[5:]
                self.namespace[name] = self.namespace.pop(name)

    def _set_last(self):
        """Let `_`, `__` and `___` be the last results."""
        results = self.history["Out"]
        for name, number in zip(_LAST, sorted(results, reverse=True)):  # noqa: B905 - Python 3.9 knows no `strict`
            if "name:" + name not in self.state:
                self.namespace[name] = results[number]
                setattr(self.shell.displayhook, name, results[number])

    def _new_results(self, cell, found):
        """Return what the cell returned, where any cell of the notebook looks at results; note which ones this cell looked at."""
        if not self.results:
            return set()
        results = cell.closure.results
        if results is None:
            found.reads["out:*"] = files.AS_FOUND
        for number in results or ():
            found.reads["out:%d" % number] = self._hash("out:%d" % number)
        made = {"out:%d" % number for number in list(self.history["Out"]) if number == cell.count}
        if made:
            found.reads["count:cell"] = files.AS_FOUND
        looked_at = self.state if results is None else ["out:%d" % number for number in results]
        return made | {reference for reference in looked_at if reference.startswith("out:") and reference in self.state}

    def _held_channels(self, cell):
        """Return what changed of the process and cannot be restored, where the cell may notice."""
        held = []
        packages = {
            entry.get("package") for entry in map(self.state.get, ("name:" + name for name in cell.names)) if entry
        }
        for reference in self.changed:
            entry = self.state.get(reference)
            kind, _, name = reference.partition(":")
            if entry is None or kind not in ("effect", "opaque", "setting", "random") or entry.get("blob"):
                continue
            if reference == interactive.LAST_ERROR:
                touches = cell.closure.history
            else:
                touches = kind != "opaque" or opaque.may_touch(name, packages)
            if touches:
                held.append(reference)
        return held

    def _restore_channels(self):
        """Bring the process to the state; returns what cannot be brought back by its bytes."""
        changes = {}
        for reference in self.changed:
            if reference.partition(":")[0] in ("setting", "random", "effect", "opaque"):
                entry = self.state.get(reference)
                changes[reference] = self.values.read(entry["blob"]) if entry and entry.get("blob") else None
        # What has no bytes is missing until a cell that may use it comes.
        self.changed = {name for name in self.changed if name.startswith("opaque:") and name in self.state}
        failed = set()
        for channel in self.channels:
            failed.update(channel.restore(changes))
            if self.fresh and isinstance(channel, imported.Imported):
                channel.import_all(reference[len(local_modules.PREFIX) :] for reference in self._modules())
        return sorted(reference for reference in failed if changes.get(reference) is not None)

    def _modules(self):
        """Return the modules of the notebook's own that the session has not, or not with all that is made of them."""
        missing = [name for name in self.state if name.startswith("def:") and name not in self.live]
        missing = [name for name in missing if self._comes_with_module(name)]
        members = [member for name in missing for member in self.state[name]["bundle"]["members"]]
        return [name for name in dict.fromkeys(members) if _is_module(name) and name in self.state]

    def _lacking_modules(self):
        """Return those that an import does not make what they should be."""
        lacking = self._modules()
        if lacking and self.fresh:
            found = local_modules.look()
            described, _ = self.values.describe({name: found[name] for name in lacking if name in found})
            if all(self._hash(reference) == entry["hash"] for reference, entry in described.items()):
                self.live.update(described)
            self.values.done()
        self.fresh = False
        return self._modules()

    # After a cell

    def finish(self, content):
        """Return what the cell read and wrote."""
        cell, self.cell = self.cell, None
        looked_up, everything = self.frames.end()
        cell.modules = local_modules.look()
        self.after = dict(self.namespace)  # threads of the notebook go on
        if not set(map(id, map(type, self.after))) <= {id(str)}:
            raise TypeError("a name that is no string")
        reached = reads.closure_of_names(looked_up, self.state)
        cell.names.update(reached.names)
        cell.definitions.update(reached.definitions)
        everything = everything or reached.everything
        if everything:
            cell.names.update(self._known_names())
        everything = everything or cell.closure.everything
        hidden = any("name:" + name in self.state and "name:" + name not in self.live for name in cell.names)
        found = _Found(cell, self.state)
        if everything:
            found.reads["name:*"] = files.AS_FOUND
        self.files.end(found.reads, found.writes)
        for channel in self.channels:
            channel_reads, channel_writes = channel.end()
            found.take_channel(channel_reads, channel_writes, self)
        looked_at = [value for name, value in self.after.items() if name in cell.names or name in cell.mentions.binds]
        found.take_channel(*self.submodules.told(cell.closure.imports | reached.imports, looked_at), self)
        self._compare_values(cell, found, content.get("budget", 0.0))
        if cell.closure.history:
            found.reads["source:earlier"] = files.AS_FOUND
            found.reads[interactive.LAST_ERROR] = found.before.get(interactive.LAST_ERROR)
        if "kaggle_secrets" in sys.modules:
            found.reads["secret:all"] = files.AS_FOUND
        found.derive()
        self.values.done()
        writes, bundles = found.told(self.after)
        return {
            "status": "finished",
            "reads": found.reads,
            "writes": writes,
            "bundles": bundles,
            "network": found.network,
            "complete": not hidden,
        }

    def _compare_values(self, cell, found, budget):
        present = {name for name in self.after if self._is_users(name, cell)}
        bound = {name for name in present if cell.before.get(name) != id(self.after[name])}
        bound.update(present.intersection(cell.closure.binds))
        known = set(self._known_names())
        deleted = {name for name in known if name not in present and "name:" + name in self.live}
        surely = self._surely_bound(cell, bound)
        # Of what may have been bound to what it was, or deleted while it was not there, it counts what it was.
        kept = (bound - surely) | cell.closure.deletes.difference(present, deleted)
        for name in cell.names | kept:
            found.reads["name:" + name] = self._hash("name:" + name)
        for reference in cell.definitions:
            found.reads[reference] = self._hash(reference)
        affected = {"name:" + name for name in (cell.names & present) | bound} | self._new_results(cell, found)
        affected.update(reference for reference in cell.definitions if reference in self.live)
        touched = affected | {"name:" + name for name in deleted}
        for reference in touched:
            bundle = self.state.get(reference, {}).get("bundle")
            affected.update(bundle["members"] if bundle else ())
        affected.difference_update("name:" + name for name in deleted)
        touched.update(self._note_modules(cell, found))
        affected.update(touched.intersection(cell.modules))
        roots = {reference: self._object(reference) for reference in affected if self._is_there(reference)}
        found.moved = {"name:" + name for name in cell.mentions.deletes if name in present}
        described, groups = self.values.describe(roots)
        self._note_going_on()
        written = [group for group in groups if self._is_changed(group, described, touched, surely - cell.names)]
        self._note_written(written, deleted, bound, found)
        found.moved = self._moved(cell.before) | found.moved
        for group in written:
            self._keep(group, described, found, budget)
        self.live.update(described)

    def _note_going_on(self):
        """What threads may go on to change is lost as long as they live: a copy would not change with it."""
        self.used = frozenset()
        if self.running.going:
            reach = going_on.Reach(self.running.going, self.definitions, self.after)
            self.used = reach.names
            self.values.go_on(reach.ids, {"name:" + name for name in reach.binds})

    def _surely_bound(self, cell, bound):
        """Return the names that a cell bound, though maybe to a value like that before."""
        ended = getattr(self.shell, "last_execution_succeeded", False)
        return {
            name
            for name in bound
            if cell.before.get(name) != id(self.after[name]) or (ended and name in cell.mentions.surely)
        }

    def _note_modules(self, cell, found):
        """Return the modules of the notebook's own that came with a cell, having noted those that went."""
        for reference in [reference for reference in self.live if _is_module(reference)]:
            if reference not in cell.modules:
                found.writes[reference] = None
                self.state.pop(reference, None)
                self.live.discard(reference)
        return [
            self.definitions.reference(module)
            for reference, module in cell.modules.items()
            if self.definitions.find(reference) is not module or reference not in self.live
        ]

    def _is_users(self, name, cell):
        if name in _LAST:
            return name in cell.mentions.binds or "name:" + name in self.state
        if name in self.own and self.after[name] is self.own[name]:
            return name == _FOLDERS and type(self.own[name]) is list and len(self.own[name]) > len(self.first_folders)
        return not _is_shells(name)

    def _is_there(self, reference):
        kind, _, name = reference.partition(":")
        if kind == "name":
            return name in self.after
        if kind == "out":
            return int(name) in self.history["Out"]
        return kind == "def" and self.definitions.find(reference) is not None

    def _object(self, reference):
        kind, _, name = reference.partition(":")
        if kind == "out":
            return self.history["Out"][int(name)]
        return self.after[name] if kind == "name" else self.definitions.find(reference)

    def _hash(self, reference):
        entry = self.state.get(reference)
        return entry["hash"] if entry else None

    def _note_written(self, written, deleted, bound, found):
        """Say which names are gone, and what else was read: what a cell does to a group depends on all of the group."""
        rebound = {"name:" + name for name in bound}
        for group in written:
            for reference in group["members"]:
                entry = self.state.get(reference)
                if entry is not None and reference not in rebound:
                    found.reads["group:" + reference] = files.AS_FOUND
        for name in deleted:
            found.writes["name:" + name] = None
            self.state.pop("name:" + name, None)
            self.live.discard("name:" + name)

    def _moved(self, before):
        """Return the names that were deleted and bound again: they stand behind others now."""
        earlier = list(before)
        if list(self.after)[: len(earlier)] == earlier:
            return set()
        places = {name: place for place, name in enumerate(before)}
        last, moved = -1, set()
        for name in self.after:
            place = places.get(name, last)
            if place < last:
                moved.add("name:" + name)
            last = max(place, last)
        return moved

    def _is_changed(self, group, described, touched, bound):
        """Return whether a group is not what the state says, or was made anew."""
        if not bound.isdisjoint(reference[5:] for reference in group["members"] if reference.startswith("name:")):
            return True
        old = [self.state.get(reference) for reference in group["members"]]
        if None in old:
            return True
        # What was only left behind by others of its group stays as it is kept: with them.
        if touched.isdisjoint(group["members"]):
            return any(
                entry.get("content", entry["hash"]) != described[reference]["hash"]
                for reference, entry in zip(group["members"], old)  # noqa: B905 - Python 3.9 knows no `strict`
                if not self.values.is_lost(reference)
            )
        return any(
            entry["hash"] != described[reference]["hash"] or entry["bundle"]["hash"] != group["hash"]
            for reference, entry in zip(group["members"], old)  # noqa: B905 - Python 3.9 knows no `strict`
        )

    def _keep(self, group, described, found, budget):
        """Keep a group's bytes as far as they are worth it, and report its members."""
        members = group["members"]
        bundle = dict(group, **self.values.keep(group, _allowance(budget)))
        unknown = self.values.unknown(members)
        if unknown:
            found.underived.append((" ".join(members), bundle))
        for reference in members:
            entry = dict(described[reference], bundle=bundle)
            if unknown:
                # That of the execution takes its place.
                entry["content"] = entry["hash"]
                found.underived.append((reference, entry))
            self._tell_more(reference, entry)
            if reference in found.moved:
                entry["moved"] = True
                self.state.pop(reference, None)
            self.state[reference] = found.writes[reference] = entry

    def _tell_more(self, reference, entry):
        value = self._object(reference)
        if reference.startswith("def:"):
            entry["mentions"] = self.definitions.mentions(value).as_dict()
        else:
            entry["package"] = _package(value)
            try:
                entry["summary"] = summaries.summarise(value)
            except Exception:
                entry["summary"] = {}


class _Cell:
    """What is known of the cell that runs."""

    def __init__(self, content, mentions):
        self.execution = content["execution"]
        self.code = content["code"]
        self.count = content.get("count")
        self.hints = set(content.get("names", ()))
        self.mentions = mentions
        self.closure = None
        self.names = set()
        self.definitions = set()
        self.modules = {}
        self.bundles = []
        self.before = {}


class _Found:
    """What is reported of a cell."""

    def __init__(self, cell, state):
        self.execution = cell.execution
        kinds = ("setting:", "effect:", "opaque:", "random:")
        self.before = {name: entry["hash"] for name, entry in state.items() if name.startswith(kinds)}
        self.underived = []
        self.moved = set()
        self.reads = {}
        self.writes = {}
        self.network = False

    def told(self, namespace):
        """Return the writes, names in their order in the namespace, and the bundles as they are sent."""
        places = {"name:" + name: place for place, name in enumerate(namespace)}
        self.writes = dict(sorted(self.writes.items(), key=lambda written: places.get(written[0], -1)))
        bundles, numbers, writes = [], {}, {}
        for reference, entry in self.writes.items():
            bundle = entry.get("bundle") if entry else None
            if not bundle:
                writes[reference] = entry
                continue
            number = numbers.setdefault(id(bundle), len(bundles))
            if number == len(bundles):
                bundles.append(bundle)
            writes[reference] = dict(entry, bundle=number)
        return writes, bundles

    def take_channel(self, reads, writes, tracker):
        """Report what a channel says was read and written; what equals a fresh process's is not there.

        What it read is what the state held when the cell started, whatever a replay made of it in this process.
        """
        for reference in reads:
            below = reference.endswith("*")
            self.reads[reference] = self._hash_below(reference[:-1]) if below else self.before.get(reference)
        for reference, written in writes.items():
            tracker.changed.discard(reference)
            if reference == "network":
                self.network = True
            elif written is None or written[0] == tracker.initial.get(reference):
                self.writes[reference] = None
                tracker.state.pop(reference, None)
            else:
                digest, data = written
                entry = {"hash": digest, "blob": None if data is None else tracker.values.stage(data)}
                if getattr(written, "mentions", None):
                    entry["mentions"] = written.mentions
                self.writes[reference] = tracker.state[reference] = entry
                if data is None:
                    self.underived.append((reference, entry))

    def _hash_below(self, prefix):
        return channels.hash_below({name: digest for name, digest in self.before.items() if name.startswith(prefix)})

    def derive(self):
        """Give what cannot be looked into the hash of the execution that made it, of which a replay is another instance."""
        for name, entry in self.underived:
            entry["hash"] = encoded.digest_of(("%s %s" % (name, self.execution)).encode("utf-8", "surrogatepass"))


def _drawn(seed):
    """Return where first states of random generators come from: the same for every process of a notebook."""
    source = random.Random(seed)
    return lambda count: bytes(bytearray(source.getrandbits(8) for _ in range(count)))


def _allowance(budget):
    """Return how many bytes are worth keeping for a value that took `budget` CPU seconds to compute."""
    return _CHEAP_BYTES + budget * _SHARE * _KEEP_BYTES_PER_SECOND


def _blobs(bundle):
    return [bundle["pickle"]] + list(bundle["buffers"])


@functools.lru_cache(1 << 14)
def _is_shells(name):
    """Return whether a name is one that the shell keeps its history in."""
    if name in _HISTORY:
        return True
    return name[:1] == "_" and (name[1:].isdigit() or (name[1:2] == "i" and name[2:].isdigit()))


def _is_module(reference):
    """Return whether a reference is of a module of the notebook's own."""
    return reference.startswith(local_modules.PREFIX)


def _package(value):
    if type(value) is types.ModuleType:
        name = value.__dict__.get("__name__")
    else:
        name = kinds.type_name(type(value))[0]
    return name.partition(".")[0] if type(name) is str else ""


def _trace():
    import traceback

    return traceback.format_exc()[-2000:]
