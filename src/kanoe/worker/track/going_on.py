"""What goes on after its cell: the notebook's threads and asyncio's tasks, and what they may change meanwhile."""

import os
import sys
import threading
import types

from kanoe_worker.track import arrays, reads
from kanoe_worker.track.effects import by_notebook, is_program
from kanoe_worker.track.encoded import Written, digest_of
from kanoe_worker.track.file_calls import descriptors
from kanoe_worker.track.interactive import of_notebook
from kanoe_worker.track.plain import __builtins__  # noqa: F401

_DESCRIPTORS = "effect:descriptors"
_MOST = 100000
_STEPS = (types.CoroutineType, types.GeneratorType)


class Running(object):
    """The channel of what a cell leaves running or open: `effect:threads`, `effect:children`, `effect:descriptors`.

    Counted are threads and tasks whose code is the notebook's, programs that are not workers of Python's own pools, and open files of which
    the notebook holds the numbers: who reads or writes there is not seen, so each cell may.
    """

    def __init__(self, children):
        self._children = children
        self.going = []
        self._hashes = dict.fromkeys(("effect:threads", "effect:children", _DESCRIPTORS))
        self._alive = dict.fromkeys(self._hashes, frozenset())

    def owns(self, reference):
        """See `channels`."""
        return reference in self._hashes

    def begin(self):
        """See `channels`."""
        descriptors.begin()

    def end(self):
        """See `channels`."""
        reads, writes = {}, {}
        found = {
            "effect:threads": self._threads(),
            "effect:children": self._programs(),
            _DESCRIPTORS: descriptors.alive(),
        }
        for reference, alive in found.items():
            reads[reference] = self._hashes[reference]
            if alive == self._alive[reference] and (reference != _DESCRIPTORS or not alive):
                continue
            self._alive[reference] = alive
            written = (
                Written(digest_of(os.urandom(32)), None, "%s that go on" % reference.partition(":")[2])
                if alive
                else None
            )
            self._hashes[reference] = None if written is None else written[0]
            writes[reference] = written
        return reads, writes

    def restore(self, values):
        """See `channels`."""
        return {
            reference: "they run where they were started"
            for reference, data in values.items()
            if self.owns(reference) and data is not None
        }

    def initial(self):
        """See `channels`."""
        return {}

    def held(self):
        """See `channels`."""
        return []

    def _threads(self):
        self.going = going()
        return frozenset(map(id, self.going))

    def _programs(self):
        return frozenset(process for process in self._children.alive() if is_program(process))


class Reach(object):
    """What some threads and tasks can come to.

    Attributes:
        ids: of objects that they may change; None: any.
        names: variables that they may look up or bind; None: any.
        binds: those that they may bind.
    """

    def __init__(self, going, definitions, namespace):
        self.ids, self.names, self.binds = set(), set(), set()
        self._definitions = definitions
        self._namespace = namespace
        self._seen = set()
        todo = []
        for one in going:
            steps = _steps_of(one)
            if steps is not None:
                code = getattr(steps, "cr_code", None) or getattr(steps, "gi_code", None)
                todo += self._take(reads.mentions_of_code(code))
            todo.append(one if steps is None else steps)
        while todo and self.ids is not None:
            found, needed = arrays.reachable(todo, definitions)
            needed += [thing for thing in todo if definitions.is_definition(thing)]
            self.ids.update(found)
            if len(self.ids) > _MOST:
                self.ids = self.names = None
                return
            todo = [more for thing in needed for more in self._enter(thing)]

    def _enter(self, thing):
        """Return what a function or class leads to."""
        if id(thing) in self._seen:
            return []
        self._seen.add(id(thing))
        return [thing] + self._take(self._definitions.mentions(thing))

    def _take(self, mentions):
        if mentions.everything or mentions.lookers:
            self.ids = self.names = None
        if self.names is None:
            return []
        self.binds.update(mentions.binds)
        names = mentions.needs | mentions.strings | mentions.words | mentions.binds
        new = names.difference(self.names)
        self.names.update(names)
        return [self._namespace[name] for name in new if name in self._namespace]


def going():
    """Return the threads and tasks of the notebook that go on."""
    return [thread for thread in threading.enumerate() if _is_notebooks(thread)] + [
        task for task in _tasks() if _is_in_notebook(_steps_of(task))
    ]


def _is_notebooks(thread):
    target = getattr(thread, "_target", None) or getattr(thread, "function", None)
    return of_notebook(thread) or (target is not None and by_notebook(target))


def _tasks():
    """Return asyncio's tasks that are not done."""
    asyncio = sys.modules.get("asyncio")
    try:
        if hasattr(asyncio, "all_tasks"):
            return list(asyncio.all_tasks())
        return [task for task in asyncio.Task.all_tasks() if not task.done()]
    except Exception:
        return []  # no loop runs


def _steps_of(task):
    """Return the coroutine that a task runs; None for a thread."""
    get = getattr(type(task), "get_coro", None)
    found = get(task) if get is not None else getattr(task, "_coro", None)
    return found if type(found) in _STEPS else None


def _is_in_notebook(steps):
    frame = getattr(steps, "cr_frame", None) or getattr(steps, "gi_frame", None)
    return frame is not None and frame.f_globals.get("__name__") == "__main__"
