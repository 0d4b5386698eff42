"""Which names the top level of a cell looks up before it surely bound them itself.

Walks the statements in the order in which they run. A name counts as *settled* at a point when whatever way led there bound or
deleted it: what is looked up then is the cell's own. Code of functions comes from `bytecode`; it counts from the moment at which the
function's name is used.
"""

import ast
import builtins

from kanoe_worker.track import bytecode
from kanoe_worker.track.mentions import EVERYTHING, FILE, HISTORY, LOOKERS, STRING_READERS, Later, Mentions
from kanoe_worker.track.plain import __builtins__  # noqa: F401

# Decorators that do not call what they decorate, as long as the notebook has no functions of its own of these names.
_QUIET_DECORATORS = frozenset(
    "property setter getter deleter staticmethod classmethod abstractmethod abstractproperty contextmanager asynccontextmanager"
    " wraps lru_cache cache cached_property total_ordering dataclass singledispatch overload override final njit jit vectorize"
    " no_grad inference_mode attrs define frozen unique runtime_checkable typechecked delayed remote".split()
)
_QUIET_METACLASSES = frozenset(["ABCMeta", "ABC"])
_BUILTINS = frozenset(dir(builtins))
_LOUD_BASES = ("Enum", "Flag", "enum")
# Context managers that end no exception; others may, and then what the body binds is not sure.
_KEEPING = frozenset(
    "open ZipFile TarFile GzipFile tqdm trange Pool ThreadPool ThreadPoolExecutor ProcessPoolExecutor Parallel catch_warnings"
    " TemporaryDirectory NamedTemporaryFile TemporaryFile Lock RLock StringIO BytesIO redirect_stdout redirect_stderr closing"
    " no_grad option_context errstate printoptions Progress ExcelWriter HDFStore".split()
)
_SWALLOWING = frozenset(
    "suppress raises ExitStack AsyncExitStack assertRaises assertRaisesRegex ignored Output".split()
)
_KEEPING_ROOTS = frozenset(
    "np numpy pd pandas plt matplotlib sns tf tensorflow torch keras K warnings zipfile tarfile gzip bz2".split()
)


class Automagic(ast.stmt):
    """A line that is a magic as long as there is no name like its first word, `word`; else Python."""

    _fields = ("magic", "python")


class _Anything(object):
    """The names that are settled where nothing runs any more: all."""

    def __contains__(self, name):
        return True

    def add(self, name):
        """Add nothing: it is there."""

    def copy(self):
        """Return itself."""
        return self


_NOWHERE = _Anything()
_NEVER = (None, -1)


def _meet(one, other):
    if one is _NOWHERE:
        return other
    return one if other is _NOWHERE else one & other


class Flow(object):
    """Walks the code of one cell.

    Args:
        magic: `magic(flow, name, line, body)`: walks a magic with constant arguments; body: None for a line's.
    """

    def __init__(self, magic):
        self.mentions = Mentions()
        self.settled = set()
        self._magic = magic
        self._hidden = []  # sets of names of lambdas and comprehensions around this point
        self._loops = []  # for each loop around this point, what was settled at its breaks
        self._age = 0  # grows whenever fewer names may be settled than before
        self._used = {}  # id of a Later -> it, and the age at which it was used last
        self._surely = 0
        self._imported = set()
        self._triggers = {}  # name -> names of what is defined later and may run when it is used

    def run(self, statements):
        """Walk statements one after the other."""
        for statement in statements:
            self.visit(statement)

    def run_aside(self, walk):
        """Call `walk`, which walks something that may not run at all."""
        before = self.settled.copy()
        walk()
        self._settle(_meet(before, self.settled))

    def look_up(self, name):
        """A name is looked up at this point."""
        for hidden in self._hidden:
            if name in hidden:
                return
        mentions = self.mentions
        if name not in self.settled:
            mentions.look_up(name)
            if name in LOOKERS:
                mentions.lookers.add(name)
        for key in tuple(self._triggers.get(name, ())):
            for later in mentions.later[key]:
                self._run_later(later)

    def bind(self, name):
        """A name is bound at this point."""
        for hidden in self._hidden:
            if name in hidden:
                return
        self.mentions.binds.add(name)
        self.settled.add(name)

    def _run_later(self, later):
        if self._used.get(id(later), _NEVER)[1] == self._age:
            return
        self._used[id(later)] = (later, self._age)
        self.mentions.add(later.mentions, needs=False)
        for name in list(later.mentions.needs):
            self.look_up(name)

    def _settle(self, settled):
        self.settled = settled
        self._age += 1

    # Statements

    def visit(self, node):
        """Walk one node."""
        if node is None:
            return
        handler = _HANDLERS.get(type(node).__name__)
        if handler is not None:
            handler(self, node)
        else:
            self._children(node)

    def _children(self, node):
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                self.visit(value)
            elif type(value) is list:
                for one in value:
                    if isinstance(one, ast.AST):
                        self.visit(one)

    def _all(self, nodes):
        for node in nodes:
            self.visit(node)

    def _expression(self, node):
        if _text(node.value) is None:  # a text that stands alone is a comment
            self.visit(node.value)

    def _name(self, node):
        context = type(node.ctx).__name__
        if context == "Load":
            self.look_up(node.id)
        elif context == "Store":
            self.bind(node.id)
        else:
            self.look_up(node.id)
            self.mentions.deletes.add(node.id)
            self.settled.add(node.id)

    def _assign(self, node):
        value = node.value
        targets = node.targets
        if type(value).__name__ == "Lambda" and len(targets) == 1 and type(targets[0]).__name__ == "Name":
            self._later_lambda(targets[0].id, value)
            return
        self.visit(value)
        self._all(targets)

    def _later_lambda(self, name, node):
        self._defaults(node.args)
        self._define(name, _code_mentions(_code_of(ast.Expression(node), "eval", "<lambda>"), node))

    def _annotated(self, node):
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif type(node.target).__name__ != "Name":
            self.visit(node.target)

    def _annotation(self, node):
        if node is not None:
            self._surely += 1
            self.visit(node)
            self._surely -= 1

    def _named(self, node):
        self.visit(node.value)
        self.visit(node.target)

    def _automagic(self, node):
        self.look_up(node.word)
        magic = Flow(self._magic)
        magic.run(node.magic)
        found = magic.mentions
        for later in [one for named in found.later.values() for one in named]:
            found.add(later.mentions)
        found.later = {}
        self.mentions.binds |= found.binds
        self.mentions.deletes |= found.deletes
        self.mentions.otherwise[node.word] = found
        self.run_aside(lambda: self.run(node.python))

    def _augmented(self, node):
        if type(node.target).__name__ == "Name":
            self.look_up(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def _attribute(self, node):
        name = node.attr
        mentions = self.mentions
        if type(node.ctx).__name__ != "Load":
            mentions.setattrs = True
        if name in EVERYTHING or name == "magic":
            mentions.everything = True
        elif name in HISTORY:
            mentions.history = True
        elif name in ("stack", "trace", "getmembers") and _is_name(node.value, "inspect"):
            mentions.everything = True
        elif name in LOOKERS and type(node.value).__name__ == "Name" and node.value.id in ("builtins", "__builtins__"):
            mentions.everything = True
        elif name == "main" and _is_name(node.value, "unittest"):
            mentions.everything = True
        elif name in ("__dict__", "__setattr__", "__delattr__"):
            mentions.setattrs = True
        elif name == "modules" and _is_name(node.value, "sys"):
            mentions.everything = True
        self.visit(node.value)

    def _for(self, node):
        self.visit(node.iter)
        before = self.settled.copy()
        self._loop(node, [node.target])
        self._settle(before)
        self.run_aside(lambda: self.run(node.orelse))

    def _while(self, node):
        self.visit(node.test)
        before = self.settled.copy()
        breaks = self._loop(node, ())
        endless = _truth(node.test)
        self._settle(_NOWHERE if endless else before.copy())
        self.run(node.orelse)
        for one in breaks:
            self._settle(_meet(self.settled, one))

    def _loop(self, node, targets):
        """Walk a loop's body, twice where it defines functions: a later round may use them earlier; return the breaks' states."""
        before = self.settled.copy()
        for _ in range(2):
            known = {name: len(found) for name, found in self.mentions.later.items()}
            self._loops.append([])
            self._settle(before.copy())
            self._all(targets)
            self.run(node.body)
            breaks = self._loops.pop()
            if known == {name: len(found) for name, found in self.mentions.later.items()}:
                break
        return breaks

    def _if(self, node):
        self.visit(node.test)
        truth = _truth(node.test)
        before = self.settled.copy()
        self.run(node.body)
        after = self.settled
        self._settle(before)
        self.run(node.orelse)
        if truth is None:
            self._settle(_meet(after, self.settled))
        elif truth:
            self._settle(after)

    def _break(self, node):
        if self._loops:
            self._loops[-1].append(self.settled.copy())
        self._settle(_NOWHERE)

    def _leave(self, node):
        self._children(node)
        self._settle(_NOWHERE)

    def _assert(self, node):
        self.visit(node.test)
        if node.msg is not None:
            self.run_aside(lambda: self.visit(node.msg))

    def _with(self, node):
        for item in node.items:
            self.visit(item.context_expr)
            self.visit(item.optional_vars)
        keeps = all(self._keeps(item.context_expr) for item in node.items)
        before = self.settled.copy()
        self.run(node.body)
        if not keeps:
            self._settle(_meet(before, self.settled) if self.settled is not _NOWHERE else before)

    def _keeps(self, node):
        """Return whether a context manager surely lets exceptions pass."""
        if type(node).__name__ == "Call":
            node = node.func
        name = node.attr if type(node).__name__ == "Attribute" else getattr(node, "id", None)
        if name is None or name in _SWALLOWING:
            return False
        if type(node).__name__ == "Name":
            return name in _KEEPING
        root = _root(node)
        return root is not None and (root in _KEEPING_ROOTS or root in self._imported)

    def _try(self, node):
        before = self.settled.copy()
        self.run(node.body)
        self.run(node.orelse)
        after = self.settled
        for handler in node.handlers:
            self._settle(before.copy())
            self.visit(handler.type)
            if handler.name:
                self.mentions.binds.add(handler.name)
                self.mentions.deletes.add(handler.name)
                self.settled.add(handler.name)
            self.run(handler.body)
            after = _meet(after, self.settled)
        if node.finalbody:
            self._settle(before.copy())
            self.run(node.finalbody)
            final = self.settled
            self._settle(_NOWHERE if _NOWHERE in (after, final) else after | final)
        else:
            self._settle(after)

    def _match(self, node):
        self.visit(node.subject)
        before = self.settled.copy()
        after = _NOWHERE
        for case in node.cases:
            self._settle(before.copy())
            self.visit(case.pattern)
            self.visit(case.guard)
            self.run(case.body)
            after = _meet(after, self.settled)
        self._settle(_meet(after, before))

    def _pattern(self, node):
        self._children(node)
        for name in (getattr(node, "name", None), getattr(node, "rest", None)):
            if name:
                self.bind(name)

    def _import(self, node):
        for alias in node.names:
            if alias.name in EVERYTHING:
                self.mentions.everything = True
            self.mentions.imports.add(alias.name)
            name = alias.asname or alias.name.partition(".")[0]
            self._imported.add(name)
            self.bind(name)

    def _import_from(self, node):
        main = node.module == "__main__" and not node.level
        for alias in node.names:
            self.mentions.imports.add("%s.%s" % (node.module, alias.name))
            if alias.name in EVERYTHING or (node.module == "unittest" and alias.name == "main"):
                self.mentions.everything = True
            if main:
                if alias.name == "*":
                    self.mentions.everything = True
                else:
                    self.look_up(alias.name)
            if alias.name == "*":
                self.mentions.binds.add("*")
            else:
                self._imported.add(alias.asname or alias.name)
                self.bind(alias.asname or alias.name)

    # Definitions

    def _function(self, node):
        loud, names = self._decorators(node)
        arguments = node.args
        self._defaults(arguments)
        self._type_parameters(node)
        for argument in _arguments(arguments):
            self._annotation(argument.annotation)
        self._annotation(node.returns)
        self._hidden.pop()
        mentions = _code_mentions(_code_of(_module([node]), "exec", node.name), node)
        self._define(node.name, mentions, (), names, (), loud)

    def _decorators(self, node):
        """Walk decorators; return whether one may call what it decorates, and the names that it may be known by."""
        loud = False
        names = set()
        for decorator in node.decorator_list:
            self.visit(decorator)
            called = type(decorator).__name__ == "Call"
            chain = decorator.func if called else decorator
            name = chain.attr if type(chain).__name__ == "Attribute" else getattr(chain, "id", None)
            root = _root(chain)
            if name not in _QUIET_DECORATORS or root is None:
                loud = True
            elif root not in self._imported:
                loud = loud or root in self.mentions.binds
                names.add(root)
        return loud, names

    def _type_parameters(self, node):
        parameters = getattr(node, "type_params", None) or ()
        self._hidden.append({parameter.name for parameter in parameters})
        for parameter in parameters:
            self.visit(getattr(parameter, "bound", None))
            self.visit(getattr(parameter, "default_value", None))

    def _defaults(self, arguments):
        self._all(arguments.defaults)
        self._all(default for default in arguments.kw_defaults if default is not None)

    def _class(self, node):
        loud, names = self._decorators(node)
        bases, called = self._bases(node)
        loud = loud or called
        # What a base of the notebook's own does with all classes made from it comes by the base's name.
        triggers = [name for name in bases - _BUILTINS if any(_is_name(base, name) for base in node.bases)]
        code = _code_of(_module([node]), "exec", node.name)
        if code is None:
            self._define(node.name, _code_mentions(None, node), triggers, names, bases, True)
            return
        now, later = bytecode.parts_of_class(code)
        self._run_later(Later(now))
        self._define(node.name, later, triggers, names, bases, loud)

    def _bases(self, node):
        """Walk a class's bases; return the names that they may be known by, and whether one may call what the class defines."""
        loud = False
        names = set()
        self._type_parameters(node)
        for base in node.bases + [keyword.value for keyword in node.keywords]:
            self.visit(base)
            root = _root(base)
            if root is None:
                loud = True
            elif root not in self._imported:
                names.add(root)
                loud = loud or self._calls_classes(root)
            loud = loud or any(word in (_last(base) or "") for word in _LOUD_BASES)
        self._hidden.pop()
        metaclasses = [_last(keyword.value) for keyword in node.keywords if keyword.arg == "metaclass"]
        return names, loud or any(name not in _QUIET_METACLASSES for name in metaclasses)

    def _calls_classes(self, name):
        """Return whether a base may run code of the class that is made from it, as far as this cell tells."""
        if name in self.mentions.later:
            return any(later.mentions.hooks for later in self.mentions.later[name])
        return name in self.mentions.binds

    def _define(self, name, mentions, triggers=(), decorators=(), bases=(), loud=False):
        # What is settled here is settled whenever the function runs.
        laters = self.mentions.later
        mentions.needs = {need for need in mentions.needs if need not in self.settled or need in laters}
        later = Later(mentions, [name] + list(triggers), decorators, bases)
        if loud:
            self._run_later(later)
        laters.setdefault(name, []).append(later)
        for trigger in later.triggers:
            self._triggers.setdefault(trigger, set()).add(name)
        self.bind(name)

    # Expressions

    def _lambda(self, node):
        self._defaults(node.args)
        self._hidden.append({argument.arg for argument in _arguments(node.args)})
        self.run_aside(lambda: self.visit(node.body))
        self._hidden.pop()

    def _comprehension(self, node):
        generators = node.generators
        self.visit(generators[0].iter)
        targets = set()
        for generator in generators:
            for inner in ast.walk(generator.target):
                if type(inner).__name__ == "Name" and type(inner.ctx).__name__ == "Store":
                    targets.add(inner.id)

        def rest():
            for place, generator in enumerate(generators):
                if place:
                    self.visit(generator.iter)
                self.visit(generator.target)
                self._all(generator.ifs)
            for field in ("key", "value", "elt"):
                self.visit(getattr(node, field, None))

        self._hidden.append(targets)
        self.run_aside(rest)
        self._hidden.pop()

    def _binary(self, node):
        spine = []
        while type(node).__name__ == "BinOp":  # long sums nest deep on the left
            spine.append(node.right)
            node = node.left
        self.visit(node)
        self._all(reversed(spine))

    def _boolean(self, node):
        self.visit(node.values[0])
        self.run_aside(lambda: self._all(node.values[1:]))

    def _choice(self, node):
        self.visit(node.test)
        before = self.settled.copy()
        self.visit(node.body)
        after = self.settled
        self._settle(before)
        self.visit(node.orelse)
        self._settle(_meet(after, self.settled))

    def _compare(self, node):
        if _is_name(node.left, "__name__") or any(_is_name(one, "__name__") for one in node.comparators):
            if all(_text(one) is not None for one in [node.left] + node.comparators if not _is_name(one, "__name__")):
                self.look_up("__name__")
                return
        if self._membership(node):
            return
        self.visit(node.left)
        self.visit(node.comparators[0])
        self.run_aside(lambda: self._all(node.comparators[1:]))

    def _membership(self, node):
        """Walk `'x' in globals()` and `'x' in sys.modules`; return whether it was one."""
        text = _text(node.left)
        if len(node.ops) != 1 or type(node.ops[0]).__name__ not in ("In", "NotIn"):
            return False
        right = node.comparators[0]
        if text is not None and self._is_namespace(right):
            self.look_up(text)
            return True
        if _is_modules(right):
            self.visit(node.left)
            self.look_up("sys")
            return text != "__main__"
        if _is_call_of(right, "str") and len(right.args) == 1 and _is_call_of(right.args[0], "get_ipython"):
            self.visit(node.left)
            return True
        return False

    def _is_namespace(self, node):
        """Return whether an expression is `globals()`, or at top level `locals()` or `vars()`, and these are the builtins."""
        if type(node).__name__ != "Call" or node.args or node.keywords or type(node.func).__name__ != "Name":
            return False
        name = node.func.id
        if name not in ("globals", "locals", "vars") or name in self.settled:
            return False
        if name != "globals" and self._hidden:
            return False
        self.mentions.needs.add(name)
        return True

    def _subscript(self, node):
        text = _text(node.slice) if type(node.slice).__name__ != "Index" else _text(node.slice.value)
        context = type(node.ctx).__name__
        if text is not None and self._is_namespace(node.value):
            if context == "Store":
                self.bind(text)
            else:
                self.look_up(text)
                if context == "Del":
                    self.mentions.deletes.add(text)
            return
        if text not in (None, "__main__") and _is_modules(node.value):
            self.look_up("sys")
            self.mentions.imports.add(text)
            return
        number = node.slice.value if type(node.slice).__name__ == "Index" else node.slice
        if _is_name(node.value, "Out") and "Out" not in self.settled and type(_constant(number)) is int:
            self.mentions.add_results([_constant(number)])
            self.mentions.needs.add("Out")
            return
        self.visit(node.value)
        self.visit(node.slice)

    def _call(self, node):
        function = node.func
        kind = type(function).__name__
        if kind == "Name":
            if self._builtin_call(node, function.id):
                return
        elif kind == "Attribute":
            if self._shell_call(node, function) or self._namespace_call(node, function):
                return
        self.visit(function)
        name = function.id if kind == "Name" else getattr(function, "attr", None)
        if name in ("setattr", "delattr", "__setattr__", "patch"):
            self.mentions.setattrs = True
        surely = name in STRING_READERS
        self._surely += surely
        self._all(node.args)
        for keyword in node.keywords:
            self.visit(keyword.value)
        self._surely -= surely

    def _namespace_call(self, node, function):
        """Walk `globals().get('x')` and its like; return whether it was one."""
        if function.attr not in ("get", "pop", "setdefault") or not node.args:
            return False
        text = _text(node.args[0])
        if text not in (None, "__main__") and _is_modules(function.value):
            self.look_up("sys")
            self._all(node.args[1:])
            return True
        if text is None or not self._is_namespace(function.value):
            return False
        self._all(node.args[1:])
        self.look_up(text)
        if function.attr == "pop":
            self.mentions.deletes.add(text)
        elif function.attr == "setdefault":
            self.bind(text)
        return True

    def _builtin_call(self, node, name):
        if (name not in LOOKERS and name not in ("get_ipython", "__import__")) or name in self.settled:
            return False
        if name in ("vars", "dir") and (node.args or node.keywords):
            self.mentions.needs.add(name)
            self.mentions.setattrs = True
            self._all(node.args)
            return True
        if name == "help" and node.args:
            self.mentions.needs.add(name)
            self._all(node.args)
            return True
        if name in ("eval", "exec") and len(node.args) == 1 and not node.keywords:
            text = _text(node.args[0])
            if text is not None:
                return self._run_text(name, text)
        return False

    def _run_text(self, name, text):
        try:
            tree = compile(text.strip(), FILE, "exec", ast.PyCF_ONLY_AST, True)
        except (SyntaxError, ValueError):
            return True
        self.mentions.needs.add(name)
        self.run(tree.body)
        return True

    def _shell_call(self, node, function):
        """Walk `get_ipython().f(...)`; return whether it was one."""
        if not _is_call_of(function.value, "get_ipython") or "get_ipython" in self.settled:
            return False
        self.mentions.needs.add("get_ipython")
        texts = [_text(argument) for argument in node.args]
        name = function.attr
        if name in ("run_line_magic", "run_cell_magic", "magic"):
            if None in texts or not texts or node.keywords:
                self.mentions.everything = True
                self._all(node.args)
            else:
                self._run_magic(name, texts)
            return True
        if name in ("system", "getoutput", "getoutput_split", "system_piped", "system_raw"):
            for text in texts:
                for word in bytecode.expanded(text or ""):
                    self.look_up(word)
            self._all(node.args)
            return True
        return False

    def _run_magic(self, kind, texts):
        if kind == "magic":
            name, _, line = texts[0].strip().partition(" ")
            texts = [name.lstrip("%"), line]
        texts = (texts + ["", ""])[:3]
        self._magic(self, texts[0], texts[1], texts[2] if kind == "run_cell_magic" else None)

    def _constant(self, node):
        text = _text(node)
        if text is not None:
            self.mentions.read_text(text, self._surely > 0)


def _constant(node):
    kind = type(node).__name__
    if kind == "Constant":
        return node.value
    return node.n if kind == "Num" else None


def _text(node):
    kind = type(node).__name__
    if kind == "Constant":
        return node.value if type(node.value) is str else None
    return node.s if kind == "Str" else None


def _truth(node):
    """Return the truth of a constant, or None."""
    kind = type(node).__name__
    if kind in ("Constant", "NameConstant"):
        return bool(node.value)
    return bool(node.n) if kind == "Num" else None


def _is_name(node, name):
    return type(node).__name__ == "Name" and node.id == name


def _is_modules(node):
    return type(node).__name__ == "Attribute" and node.attr == "modules" and _is_name(node.value, "sys")


def _is_call_of(node, name):
    return type(node).__name__ == "Call" and _is_name(node.func, name)


def _root(node):
    """Return the first name of `a.b.c`, also of `a.b[c]` and `a.b(c)`; None where there is none."""
    while type(node).__name__ in ("Attribute", "Subscript"):
        node = node.value
    return node.id if type(node).__name__ == "Name" else None


def _last(node):
    return node.attr if type(node).__name__ == "Attribute" else getattr(node, "id", None)


def _arguments(arguments):
    found = list(getattr(arguments, "posonlyargs", ())) + arguments.args + arguments.kwonlyargs
    return found + [one for one in (arguments.vararg, arguments.kwarg) if one is not None]


def _module(statements):
    module = ast.parse("")
    module.body = statements
    return module


def _code_of(tree, mode, name):
    """Return the code object of the outermost function or class of this name; None where it does not compile by itself."""
    try:
        todo = [compile(tree, FILE, mode, 0, True)]
    except (SyntaxError, ValueError):
        return None
    while todo:
        nested = [code for one in todo for code in bytecode.nested(one)]
        for code in nested:
            if code.co_name == name:
                return code
        todo = nested
    return None


def _code_mentions(code, node):
    """Return what a function reads; without its code, every name that stands in it."""
    if code is not None:
        return bytecode.mentions_of_code(code)
    mentions = Mentions()
    for inner in ast.walk(node):
        if type(inner).__name__ == "Name":
            mentions.look_up(inner.id)
        elif type(inner).__name__ == "Attribute":
            mentions.setattrs = True
            mentions.everything = mentions.everything or inner.attr in EVERYTHING
        elif _text(inner):
            mentions.read_text(_text(inner), True)
    mentions.lookers |= mentions.needs & LOOKERS
    return mentions


_HANDLERS = {
    "Expr": Flow._expression,
    "Name": Flow._name,
    "Assign": Flow._assign,
    "AnnAssign": Flow._annotated,
    "NamedExpr": Flow._named,
    "AugAssign": Flow._augmented,
    "Automagic": Flow._automagic,
    "Attribute": Flow._attribute,
    "For": Flow._for,
    "AsyncFor": Flow._for,
    "While": Flow._while,
    "If": Flow._if,
    "Break": Flow._break,
    "Continue": Flow._leave,
    "Raise": Flow._leave,
    "Return": Flow._leave,
    "Assert": Flow._assert,
    "With": Flow._with,
    "AsyncWith": Flow._with,
    "Try": Flow._try,
    "TryStar": Flow._try,
    "Match": Flow._match,
    "MatchAs": Flow._pattern,
    "MatchStar": Flow._pattern,
    "MatchMapping": Flow._pattern,
    "Import": Flow._import,
    "ImportFrom": Flow._import_from,
    "FunctionDef": Flow._function,
    "AsyncFunctionDef": Flow._function,
    "ClassDef": Flow._class,
    "Lambda": Flow._lambda,
    "ListComp": Flow._comprehension,
    "SetComp": Flow._comprehension,
    "DictComp": Flow._comprehension,
    "GeneratorExp": Flow._comprehension,
    "BinOp": Flow._binary,
    "BoolOp": Flow._boolean,
    "IfExp": Flow._choice,
    "Compare": Flow._compare,
    "Subscript": Flow._subscript,
    "Call": Flow._call,
    "Constant": Flow._constant,
    "Str": Flow._constant,
}
