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

import random
import time

from kanoe_worker.track import channels, definitions, encoded, files, frames, randoms, reads, summaries, values

VERSION = 1
# Names that Jupyter itself puts into the namespace.
_HISTORY = ("_", "__", "___", "_i", "_ii", "_iii", "_ih", "_oh", "_dh", "In", "Out", "_exit_code")
# Everything that is recorded costs something; smaller than this is kept whatever it cost to make.
_CHEAP_BYTES = 1 << 20
_KEEP_BYTES_PER_SECOND = 300e6
_SHARE = 0.2


class Tracker:
    """Watches one kernel.

    Args:
        kernel: the ipykernel.
        configuration: `staging` and `given`: folders; `roots`: files' folders by the paths they have on Kaggle; `apart`: folders among
            these that are no data of a notebook: its environment; `seed`: of random generators.
    """

    def __init__(self, kernel, configuration):
        self.kernel = kernel
        self.shell = kernel.shell
        self.namespace = kernel.shell.user_ns
        self.own_names = frozenset(self.namespace)
        self.state = {}
        self.live = set()
        self.definitions = definitions.Definitions(self.namespace)
        self.values = values.Values(self.definitions, configuration["staging"], configuration["given"])
        self.files = files.Files(configuration["roots"], configuration["staging"], configuration["apart"])
        self.frames = frames.Watch(self.namespace)
        randoms.entropy = _drawn(configuration["seed"])
        self.channels = channels.all_channels(self.shell, definitions=self.definitions)
        self.initial = {}
        for channel in self.channels:
            for reference, data in channel.initial().items():
                self.initial[reference] = encoded.digest_of(data)
        self.taken = {}
        self.laid = []
        self.changed = set()
        self.cell = None
        for request in ("prepare", "restore", "finish"):
            kernel.shell_handlers["kanoe_%s_request" % request] = self._handler(request)

    def _handler(self, request):
        work = getattr(self, request)

        def handle(stream, ident, parent):
            try:
                content = work(parent["content"])
            except BaseException as problem:
                content = {"status": "lost", "why": "%s: %s" % (type(problem).__name__, problem), "trace": _trace()}
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
        cell.names = set(self._known_names()) if closure.everything else set(closure.names)
        cell.definitions = set(closure.definitions)
        if closure.everything:
            cell.definitions.update(reference for reference in self.state if reference.startswith("def:"))
        wanted = self._wanted(cell)
        held = [reference for reference in wanted if self._is_lost(reference)]
        held += self._held_channels(cell)
        if held:
            return {"status": "held", "needs": sorted(held)}
        cell.bundles = self._bundles(wanted)
        blobs = [blob for bundle in cell.bundles for blob in _blobs(bundle)]
        blobs += [self.state[reference]["blob"] for reference in self.changed if self.state.get(reference, {}).get("blob")]
        if blobs:
            return {"status": "wants", "blobs": sorted(set(blobs))}
        return self._begin()

    def restore(self, content):
        """Restore what the cell needs; the blobs are in the folder `given`."""
        return self._begin()

    def _begin(self):
        cell = self.cell
        self._restore_channels()
        for bundle in cell.bundles:
            self._discard(bundle["members"])
        try:
            restored = self.values.restore(cell.bundles) if cell.bundles else {}
        except values.NotRestored as problem:
            return {"status": "held", "needs": sorted(problem.references)}
        for reference, value in restored.items():
            self._bind(reference, value)
            self.live.add(reference)
        if cell.count is not None:
            self.shell.execution_count = cell.count
        self.definitions.begin(reference for reference in self.state if reference.startswith("def:"))
        cell.before = {name: id(value) for name, value in self.namespace.items()}
        for channel in self.channels:
            channel.begin()
        self.frames.begin()
        self.files.begin(self.laid, cell.code)
        self.laid = []
        cell.started = time.time()
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
            self.state[reference] = entry
        stale = {reference for reference in self.changed if reference.startswith("def:")}
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
        elif kind == "out":
            self.namespace["Out"].pop(int(name), None)
            self.namespace.pop("_" + name, None)

    def _discard(self, references):
        for reference in references:
            self._drop(reference)

    def _known_names(self):
        return [reference[5:] for reference in self.state if reference.startswith("name:")]

    def _wanted(self, cell):
        """Return the references that the cell may look at and the session has not."""
        wanted = {"name:" + name for name in cell.names}
        wanted.update(cell.definitions)
        results = cell.closure.results
        wanted.update(
            reference
            for reference in self.state
            if reference.startswith("out:") and (results is None or int(reference[4:]) in results)
        )
        return [reference for reference in wanted if reference in self.state and reference not in self.live]

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
            )
            todo.extend(need for need in entry.get("needs", ()) if need not in self.live)
            todo.extend(member for member in bundle["members"] if member != reference)
        return list(found.values())

    def _bind(self, reference, value):
        kind, _, name = reference.partition(":")
        if kind == "name":
            self.namespace[name] = value
        elif kind == "out":
            self.namespace["Out"][int(name)] = value
            self.namespace["_" + name] = value

    def _held_channels(self, cell):
        """Return what changed of the process and cannot be restored, where the cell may notice."""
        held = []
        packages = {entry.get("package") for entry in map(self.state.get, ("name:" + name for name in cell.names)) if entry}
        for reference in self.changed:
            entry = self.state.get(reference)
            kind, _, name = reference.partition(":")
            if entry is None or kind not in ("effect", "opaque", "setting", "random") or entry.get("blob"):
                continue
            if kind != "opaque" or name in packages:
                held.append(reference)
        return held

    def _restore_channels(self):
        changes = {}
        for reference in self.changed:
            if reference.partition(":")[0] in ("setting", "random", "effect", "opaque"):
                entry = self.state.get(reference)
                changes[reference] = self.values.read(entry["blob"]) if entry and entry.get("blob") else None
        self.changed = set()
        for channel in self.channels:
            channel.restore(changes)

    # After a cell

    def finish(self, content):
        """Return what the cell read and wrote."""
        cell, self.cell = self.cell, None
        looked_up, everything = self.frames.end()
        cell.names.update(looked_up)
        if everything:
            cell.names.update(self._known_names())
        found = _Found(cell, self.state)
        self.files.end(found.reads, found.writes)
        for channel in self.channels:
            channel_reads, channel_writes = channel.end()
            found.take_channel(channel_reads, channel_writes, self)
        self._compare_values(cell, found, content.get("budget", 0.0))
        found.derive()
        writes, bundles = found.told()
        return {
            "status": "finished",
            "reads": found.reads,
            "writes": writes,
            "bundles": bundles,
            "network": found.network,
            "complete": not (everything and self._hidden()),
        }

    def _hidden(self):
        return any(
            reference.startswith("name:") and reference not in self.live for reference in self.state
        )

    def _compare_values(self, cell, found, budget):
        present = {name for name in self.namespace if self._is_users(name)}
        bound = {name for name in present if cell.before.get(name) != id(self.namespace[name])}
        bound.update(present.intersection(cell.mentions.binds))
        known = set(self._known_names())
        deleted = {name for name in known if name not in present and "name:" + name in self.live}
        for name in cell.names:
            found.reads["name:" + name] = self._hash("name:" + name)
        for reference in cell.definitions:
            found.reads[reference] = self._hash(reference)
        affected = {"name:" + name for name in (cell.names & present) | bound}
        affected.update(reference for reference in cell.definitions if reference in self.live)
        touched = affected | {"name:" + name for name in deleted}
        for reference in touched:
            bundle = self.state.get(reference, {}).get("bundle")
            affected.update(bundle["members"] if bundle else ())
        affected.difference_update("name:" + name for name in deleted)
        roots = {reference: self._object(reference) for reference in affected if self._is_there(reference)}
        described, groups = self.values.describe(roots)
        self._note_written(described, groups, deleted, bound, found, budget)

    def _is_users(self, name):
        return isinstance(name, str) and name not in self.own_names and name not in _HISTORY and not _is_history(name)

    def _is_there(self, reference):
        kind, _, name = reference.partition(":")
        if kind == "name":
            return name in self.namespace
        return kind == "def" and self.definitions.find(reference) is not None

    def _object(self, reference):
        kind, _, name = reference.partition(":")
        return self.namespace[name] if kind == "name" else self.definitions.find(reference)

    def _hash(self, reference):
        entry = self.state.get(reference)
        return entry["hash"] if entry else None

    def _note_written(self, described, groups, deleted, bound, found, budget):
        """Say which values changed, and keep their bytes."""
        gone = {"name:" + name for name in deleted}
        for reference in gone:
            found.writes[reference] = None
            self._note_left(reference, gone | {"name:" + name for name in bound}, found)
        bundles = {}
        for group in groups:
            members = group["members"]
            old = {reference: self.state.get(reference) for reference in members}
            same = all(
                entry is not None
                and entry["hash"] == described[reference]["hash"]
                and entry["bundle"]["hash"] == group["hash"]
                for reference, entry in old.items()
            )
            if same:
                continue
            for reference, entry in old.items():
                if entry is not None:
                    self._note_left(reference, gone | {"name:" + name for name in bound}, found)
            bundle = dict(group, **self.values.keep(group, _allowance(budget)))
            unknown = self.values.unknown(members)
            if unknown:
                found.underived.append((" ".join(members), bundle))
            for reference in members:
                bundles[reference] = bundle, unknown
        for reference, (bundle, unknown) in bundles.items():
            entry = dict(described[reference], bundle=bundle)
            if unknown:
                found.underived.append((reference, entry))
            self._tell_more(reference, entry)
            self.state[reference] = entry
            self.live.add(reference)
            found.write_root(reference, entry)
        for reference in described:
            self.live.add(reference)
        for name in deleted:
            self.state.pop("name:" + name, None)
            self.live.discard("name:" + name)

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

    def _note_left(self, reference, left, found):
        """What becomes of a group depends on all that was in it, but where all of it was left for other values."""
        bundle = self.state.get(reference, {}).get("bundle")
        if bundle and not left.issuperset(bundle["members"]):
            found.reads["group:" + reference] = bundle["hash"]


class _Cell:
    """What is known of the cell that runs."""

    def __init__(self, content, mentions):
        self.execution = content["execution"]
        self.code = content["code"]
        self.count = content.get("count")
        self.mentions = mentions
        self.closure = None
        self.names = set()
        self.definitions = set()
        self.bundles = []
        self.before = {}
        self.started = 0.0


class _Found:
    """What is reported of a cell."""

    def __init__(self, cell, state):
        self.execution = cell.execution
        kinds = ("setting:", "effect:", "opaque:", "random:")
        self.before = {name: entry["hash"] for name, entry in state.items() if name.startswith(kinds)}
        self.underived = []
        self.reads = {}
        self.writes = {}
        self.network = False

    def write_root(self, reference, entry):
        """Report a value; its bundle, which several may share, is told once."""
        self.writes[reference] = entry

    def told(self):
        """Return the writes and the bundles as they are sent."""
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
            if reference == "network":
                self.network = True
            elif written is None or written[0] == tracker.initial.get(reference):
                self.writes[reference] = None
                tracker.state.pop(reference, None)
            else:
                digest, data = written
                entry = {"hash": digest, "blob": None if data is None else tracker.values.stage(data)}
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


def _is_history(name):
    return name[:1] == "_" and (name[1:].isdigit() or (name[1:2] == "i" and name[2:].isdigit()))


def _package(value):
    kind = type(value)
    if kind.__name__ == "module":
        name = getattr(value, "__name__", "")
    else:
        name = getattr(kind, "__module__", None)
    return name.partition(".")[0] if isinstance(name, str) else ""


def _trace():
    import traceback

    return traceback.format_exc()[-2000:]
