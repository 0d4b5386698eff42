"""Which names a cell may look up, found before it runs: a generous guess that never misses one."""

import ast
import warnings

from kanoe_worker.track import bytecode, flow, local_modules, magics
from kanoe_worker.track.mentions import FILE, Closure, Later, Mentions
from kanoe_worker.track.plain import __builtins__  # noqa: F401

__all__ = ["Closure", "Later", "Mentions", "closure", "closure_of_names", "mentions_of_code", "mentions_of_source"]

mentions_of_code = bytecode.mentions_of_code


def mentions_of_source(source, shell=None):
    """Return the Mentions of a cell; a cell with a syntax error reads nothing, for it fails by itself.

    Args:
        source: the cell as it stands in the notebook, magics and all.
        shell: IPython's shell, whose own transformers are asked; without, the usual forms are known.
    """
    # Not `catch_warnings`: it lets every warning that was already shown be shown again.
    show = warnings._showwarnmsg
    warnings._showwarnmsg = lambda message: None if message.filename == FILE else show(message)
    try:
        return _mentions_of_source(source, shell)
    finally:
        warnings._showwarnmsg = show


def _mentions_of_source(source, shell):
    unknown = shell is not None and not magics.is_plain(shell)
    given = None if unknown else shell
    walk = flow.Flow(magics.Magics(given, lambda inner: _parse(inner, given)))
    try:
        walk.run(_parse(source, given) or ())
    except Exception:  # code nested too deep, or syntax of a Python to come
        unknown = True
    if unknown:
        walk.mentions.everything = True
    elif isinstance(walk.settled, set):
        walk.mentions.surely = frozenset(walk.settled)
    return walk.mentions


def _parse(source, shell):
    """Return the statements of a cell, whatever names there are at the moment; None where there is a syntax error."""
    parsed = _parse_python(source, shell)
    call = None if shell is None else magics.without_sign(source, shell, parsed is not None)
    if call is None:
        return parsed
    line = flow.Automagic()
    line.word, text = call
    line.magic, line.python = _tree(text).body, parsed or []
    return [line]


def _parse_python(source, shell):
    surely = shell is None or not _may_be_changed(source)
    tree = _tree(source) or _tree(magics.plain_python_of(source)) if surely else None
    if tree is None and shell is not None:
        try:
            text = magics.python_of(source, shell)
        except Exception:  # the transformers raise more than SyntaxError
            return None
        tree = _tree(text)
    if tree is None and shell is not None:
        tree = _tree(source)
    return None if tree is None else tree.body


def _parsed(text):
    return compile(text, FILE, "exec", ast.PyCF_ONLY_AST, True)


def _may_be_changed(source):
    """Return whether the shell may make something else of code that is Python as it stands: there is a prompt."""
    text = source.strip()
    return text.startswith("In [") or "\r" in text or "\x0c" in text


def _tree(text):
    try:
        return _parsed(text)
    except (SyntaxError, ValueError, MemoryError, OverflowError):
        pass
    if "await" not in text and "async" not in text:
        return None
    # Before Python 3.7 `await` is a word of its own in coroutines only.
    try:
        tree = _parsed(
            "async def __wrapper__():\n" + "".join("    " + line for line in text.splitlines(True)) + "\n    pass\n"
        )
    except (SyntaxError, ValueError, MemoryError, OverflowError):
        return None
    wrapper = tree.body[0]
    tree.body = wrapper.body[:-1]
    return tree


def closure(mentions, state, words=False):
    """Return all that a cell may read: its own names, those of the definitions that they need, and so on.

    Args:
        mentions: the cell's `Mentions`.
        state: the worker's own: reference -> entry with `needs` (references of definitions) and, for definitions, `mentions`.
        words: whether a library is loaded that may look up any identifier in any string.
    """
    return _Reach(mentions, state, words).found()


def closure_of_names(names, state):
    """Return all that is read by who looks up `names` while a cell runs: a library, for a query or a pickle."""
    mentions = Mentions()
    for name in names:
        mentions.look_up(name)
    return closure(mentions, state)


_MODULE = local_modules.PREFIX
_NOT_OF_THE_PROCESS = ("name:", "def:", "out:", "file:", "folder:")


class _Reach(object):
    def __init__(self, mentions, state, words):
        self._state = state
        self._words = words
        self._cell = mentions
        self._names = set()
        self._definitions = set()
        self._everything = False
        self._history = False
        self._results = set()
        self._todo = []  # names
        self._imports = set()
        self._binds = set()
        self._deletes = set()
        self._has_modules = any(reference.startswith(_MODULE) for reference in state)
        self._ran = set()

    def found(self):
        self._take(self._cell)
        self._guards()
        for reference, entry in self._state.items():
            if not reference.startswith(_NOT_OF_THE_PROCESS) and (entry.get("needs") or entry.get("mentions")):
                self._needs(entry)
        if self._results is None or self._results:
            self._take_results()
        self._drain()
        told = (self._history, self._imports, self._binds, self._deletes)
        return Closure(self._names, self._definitions, self._everything, self._results, *told)

    def _drain(self):
        while self._todo:
            name = self._todo.pop()
            entry = self._state.get("name:" + name)
            if entry is not None:
                self._needs(entry)
            for key, found in self._cell.later.items():
                for later in found:
                    if name == key or name in later.triggers:
                        self._run(later)

    def _take(self, mentions):
        """Take in what a piece of code mentions."""
        state = self._state
        self._add(mentions.needs)
        self._add(name for name in mentions.strings if "name:" + name in state)
        if self._words:
            self._add(name for name in mentions.words if "name:" + name in state)
        self._modules(mentions)
        self._everything = self._everything or mentions.everything or any(map(self._is_builtin, mentions.lookers))
        self._history = self._history or mentions.history
        self._binds.update(mentions.binds)
        self._deletes.update(mentions.deletes)
        for name, otherwise in mentions.otherwise.items():
            if "name:" + name not in state:
                self._take(otherwise)
        if mentions.results is None or self._results is None:
            self._results = None
        else:
            self._results.update(mentions.results)

    def _modules(self, mentions):
        """Take in the modules of the notebook's own that a piece of code imports, or names in a text."""
        self._imports.update(mentions.imports)
        if self._has_modules:
            names = {name.rsplit(".", up)[0] for name in mentions.imports for up in range(name.count(".") + 1)}
            for name in names.union(mentions.strings, mentions.words):
                if _MODULE + name in self._state:
                    self._needs({"needs": (_MODULE + name,)})

    def _is_builtin(self, name):
        """Return whether a builtin's name is not a variable of the notebook, like `dir`."""
        entry = self._state.get("name:" + name)
        return entry is None or bool(entry.get("needs"))

    def _add(self, names):
        for name in names:
            if name not in self._names:
                self._names.add(name)
                self._todo.append(name)

    def _needs(self, entry):
        # The name of a Macro alone on a line runs the text that it holds.
        self._everything = self._everything or entry.get("type", "")[-6:] == ".Macro"
        if entry.get("mentions") is not None:
            self._take(_mentions(entry))
        todo = list(entry.get("needs", ()))
        while todo:
            reference = todo.pop()
            if reference in self._definitions:
                continue
            self._definitions.add(reference)
            known = "name:" + _name_of(reference) in self._state and not reference.startswith(_MODULE)
            self._add([_name_of(reference)] if known else ())
            entry = self._state.get(reference)
            if entry is not None:
                self._take(_mentions(entry))
                todo.extend(entry.get("needs", ()))

    def _guards(self):
        """Run at once what a decorator or base of the notebook's own may run."""
        self._drain()
        for found in self._cell.later.values():
            for later in found:
                if any(self._defined(name) for name in later.decorators) or any(map(self._has_hooks, later.bases)):
                    self._run(later)

    def _defined(self, name):
        return [
            reference
            for reference in (self._state.get("name:" + name) or {}).get("needs", ())
            if reference[:4] == "def:"
        ]

    def _has_hooks(self, name):
        seen = set()
        todo = self._defined(name)
        while todo:
            reference = todo.pop()
            if reference in seen:
                continue
            seen.add(reference)
            entry = self._state.get(reference)
            if entry is None or _mentions(entry).hooks:
                return True
            todo.extend(entry.get("needs", ()))
        return False

    def _run(self, later):
        if id(later) not in self._ran:
            self._ran.add(id(later))
            self._take(later.mentions)

    def _take_results(self):
        for reference, entry in self._state.items():
            if reference.startswith("out:") and (self._results is None or int(reference[4:]) in self._results):
                self._needs(entry)


def _name_of(reference):
    """Return the name that a definition was given: `def:function:clean:5f3a` -> `clean`."""
    parts = reference.split(":")
    return parts[2].partition(".")[0] if len(parts) > 2 else ""


def _mentions(entry):
    record = entry.get("mentions")
    if isinstance(record, Mentions):
        return record
    return Mentions.from_dict(record) if record is not None else _UNKNOWN


_UNKNOWN = Mentions()
_UNKNOWN.everything = True
