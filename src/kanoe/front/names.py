"""Which names the cells of a notebook read, make and change, found in their code without running it.

Two questions are asked of it: what a notebook that never ran would look like as a graph, and which names it reads that no cell above
makes. The first takes what may be, the second only what is sure.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kanoe.ir.code import CellCode, Magic, parse_cell


@dataclass(frozen=True, slots=True)
class CellNames:
    """The names of one cell.

    Args:
        needs: what it surely looks up before it can have made it itself, and the line where, from 1.
        uses: all that it may look up, functions that it defines apart.
        binds: what it may make: by assignment, `import`, `def`, `for` …
        changes: what it may change in place.
        deletes: what it surely deletes and does not make again, and the line where.
        functions: what each function or class that it defines looks up when it is called.
        assigned: what each of them makes of the notebook's names (`global`).
        opaque: whether it may make any name: `from x import *`, `exec`, `%run`, code that is no Python.
        imported: those of `binds` that an import makes.
    """

    needs: Mapping[str, int] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    deletes: Mapping[str, int] = field(default_factory=dict)
    functions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    assigned: Mapping[str, frozenset[str]] = field(default_factory=dict)
    opaque: bool = False
    imported: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PredictedNames:
    """What a cell is likely to read of the cells above it, and to write, functions that it calls included."""

    reads: frozenset[str]
    writes: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN_NAMES = frozenset(dir(builtins)) | _words(
    """get_ipython display In Out exit quit open __name__ __builtins__ __builtin__ __doc__ __loader__ __package__ __spec__ __file__
    xrange unicode raw_input basestring long reduce unichr file execfile cmp apply buffer intern coerce reload"""
)
_RESULTS = re.compile(r"_+|_\d+|_i{1,3}|_i\d+|_[dio]h|_exit_code|__\w+__")


def is_known(name: str) -> bool:
    """Whether Python or IPython has the name by itself, in this version or an older one."""
    return name in KNOWN_NAMES or _RESULTS.fullmatch(name) is not None


def names_of(source: str) -> CellNames:
    """Return the names of a cell's source; never raises for any text."""
    code = parse_cell(source)
    if code.tree is None:
        return CellNames(opaque=True)
    reader = _Reader()
    try:
        reader.statements(code.tree.body, sure=True)
    except RecursionError:
        return CellNames(opaque=True)
    _read_magics(code, reader)
    return CellNames(
        needs=reader.needs,
        uses=frozenset(reader.uses),
        binds=frozenset(reader.binds),
        changes=frozenset(reader.changes),
        deletes={name: line for name, line in reader.deletes.items() if name not in reader.bound},
        functions={name: frozenset(found) for name, found in reader.functions.items()},
        assigned={name: frozenset(found) for name, found in reader.assigned.items()},
        opaque=reader.opaque,
        imported=frozenset(reader.imported),
    )


def predict_names(cells: Sequence[CellNames]) -> tuple[PredictedNames, ...]:
    """Return what each cell is likely to read of the cells above it, and to write."""
    functions: dict[str, frozenset[str]] = {}
    assigned: dict[str, frozenset[str]] = {}
    made: set[str] = set()
    imported: frozenset[str] = frozenset()
    predicted = []
    for cell in cells:
        imported = (imported - cell.binds) | cell.imported
        for name in cell.binds:
            functions[name] = cell.functions.get(name, frozenset())
            assigned[name] = cell.assigned.get(name, frozenset())
        reached = _closure(cell.uses, functions)
        called = frozenset[str]().union(*(assigned.get(name, frozenset()) for name in reached))
        own = cell.binds - cell.uses
        writes = (
            cell.binds | called | ((cell.changes & (made | cell.binds)) - imported) | (frozenset(cell.deletes) & made)
        )
        predicted.append(PredictedNames(frozenset(reached & made) - own, writes))
        made |= writes
    return tuple(predicted)


def _closure(names: Iterable[str], functions: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the names with all that the functions among them look up when they are called."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(functions.get(name, ()))
    return frozenset(found)


# Magics that make no name, whatever their line says.
_HARMLESS_MAGICS = _words(
    """matplotlib time timeit prun memit lprun load_ext reload_ext autoreload config cd ls pwd env pip conda mamba uv who whos who_ls
    mkdir rm cp mv cat less more sx system bash sh html HTML javascript js latex svg markdown SVG writefile file script xdel
    reset_selective pinfo pinfo2 psearch pdb debug xmode precision pprint colors hist history lsmagic magic alias automagic autocall
    tensorboard timer snakeviz heat pycodestyle flake8 watermark set_env pushd popd dirs rmdir man perl ruby capture cython tb
    quickref notebook autosave bookmark gui logstart logstop R Rdevice"""
)


def _read_magics(code: CellCode, reader: _Reader) -> None:
    for magic in code.magics:
        name = magic.name.removeprefix("%")
        if name in ("bash", "sh", "script", "system", "sx", "capture"):
            reader.binds |= _outputs_of(magic)
        elif name not in _HARMLESS_MAGICS:
            reader.opaque = True
    for command in code.shell:
        for word in re.findall(r"(?<!\{)\{\s*([^\W\d]\w*)[^{}]*\}|\$\{?([^\W\d]\w*)", command.command):
            reader.uses |= {name for name in word if name}


def _outputs_of(magic: Magic) -> set[str]:
    """Return the names that `%%capture out` and `%%bash --out listing --err errors` make."""
    if magic.name == "capture":
        return {word for word in magic.arguments.split() if word.isidentifier()}
    return set(re.findall(r"--(?:out|err|proc)[ =]([^\W\d]\w*)", magic.arguments))


_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_LOOKS_EVERYWHERE = frozenset({"exec", "globals", "locals", "execfile"})

# Methods that change what they are called on, also where their result is used.
_CHANGING = _words(
    """append extend insert remove pop popitem clear update setdefault add discard sort reverse fit fit_transform partial_fit
    fit_generator train compile load_state_dict load_weights step backward zero_grad eval set_params add_subplot seed shuffle fill
    put resize setflags itemset cuda to appendleft popleft rotate writerow write close"""
)
# Methods that only show; as a statement of its own any other is taken to change what it is called on.
_SHOWING = _words(
    """head tail describe info show plot hist boxplot sample value_counts isnull isna notnull nunique unique count sum mean median std
    var min max corr summary scatter bar barh pie savefig to_csv to_excel to_json to_pickle to_parquet to_hdf display print_summary
    imshow get keys values items copy dtypes shape score predict evaluate transform figure title xlabel ylabel"""
)


class _Reader:
    """Reads the statements of a cell in their order."""

    def __init__(self) -> None:
        self.needs: dict[str, int] = {}
        self.uses: set[str] = set()
        self.binds: set[str] = set()  # may be bound
        self.bound: set[str] = set()  # surely bound, at this point
        self.changes: set[str] = set()
        self.deletes: dict[str, int] = {}
        self.functions: dict[str, set[str]] = {}
        self.assigned: dict[str, set[str]] = {}
        self.opaque = False
        self.imported: set[str] = set()

    # Names

    def look_up(self, name: str, line: int, *, sure: bool) -> None:
        if name not in self.bound:
            self.uses.add(name)
            if sure and name not in self.binds:
                self.needs.setdefault(name, line)

    def bind(self, name: str, *, sure: bool) -> None:
        self.binds.add(name)
        self.functions.pop(name, None)
        self.assigned.pop(name, None)
        self.imported.discard(name)
        if sure:
            self.bound.add(name)
            self.deletes.pop(name, None)

    def target(self, node: ast.expr, *, sure: bool) -> None:
        """Read what stands left of an assignment sign."""
        match node:
            case ast.Name(id=name):
                self.bind(name, sure=sure)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self.target(part, sure=sure)
            case ast.Starred(value=value):
                self.target(value, sure=sure)
            case ast.Attribute() | ast.Subscript():
                self.expression(node, sure=sure)
                self.change(node)

    def change(self, node: ast.expr) -> None:
        """Note that what an expression begins with is changed: `df` of `df.loc[0, 'a']`."""
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            self.changes.add(node.id)

    # Statements

    def statements(self, body: Iterable[ast.stmt], *, sure: bool) -> None:
        for statement in body:
            read = _STATEMENTS.get(type(statement))
            if read is not None:
                read(self, statement, sure)
            else:
                self.parts(statement, sure=sure)
            if isinstance(statement, ast.Raise | ast.Return | ast.Continue | ast.Break):
                sure = False

    def parts(self, node: ast.AST, *, sure: bool) -> None:
        for child in ast.iter_child_nodes(node):
            self.expression(child, sure=sure)

    def assignment(self, node: ast.Assign, sure: bool) -> None:
        self.expression(node.value, sure=sure)
        for target in node.targets:
            self.target(target, sure=sure)
        if isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
            self.functions[node.targets[0].id] = _looked_up_in(node.value)[0]

    def annotated(self, node: ast.AnnAssign, sure: bool) -> None:
        self.expression(node.annotation, sure=False)
        if node.value is not None:
            self.expression(node.value, sure=sure)
            self.target(node.target, sure=sure)

    def augmented(self, node: ast.AugAssign, sure: bool) -> None:
        self.expression(node.value, sure=sure)
        if isinstance(node.target, ast.Name):
            self.look_up(node.target.id, node.lineno, sure=sure)
            self.changes.add(node.target.id)
        self.target(node.target, sure=sure)

    def deletion(self, node: ast.Delete, sure: bool) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.look_up(target.id, node.lineno, sure=sure)
                self.bound.discard(target.id)
                if sure:
                    self.deletes[target.id] = node.lineno
            else:
                self.target(target, sure=sure)

    def importing(self, node: ast.Import | ast.ImportFrom, sure: bool) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.opaque = True
            else:
                whole = isinstance(node, ast.ImportFrom)
                name = alias.asname or (alias.name if whole else alias.name.split(".")[0])
                self.bind(name, sure=sure)
                self.imported.add(name)

    def definition(self, node: _Function | ast.ClassDef, sure: bool) -> None:
        for expression in node.decorator_list:
            self.expression(expression, sure=sure)
        if isinstance(node, ast.ClassDef):
            for expression in [*node.bases, *(keyword.value for keyword in node.keywords)]:
                self.expression(expression, sure=sure)
        else:
            for default in [*node.args.defaults, *node.args.kw_defaults]:
                if default is not None:
                    self.expression(default, sure=sure)
        looked_up, assigned = _looked_up_in(node)
        self.bind(node.name, sure=sure)
        self.functions[node.name] = looked_up
        self.assigned[node.name] = assigned
        self.binds |= assigned

    def branches(self, node: ast.If, sure: bool) -> None:
        self.expression(node.test, sure=sure)
        if isinstance(node.test, ast.Constant) and node.test.value == 1:  # `%time x = f()`
            self.statements(node.body, sure=sure)
            return
        self.unsure(node.body, node.orelse)

    def unsure(self, *bodies: Sequence[ast.stmt]) -> None:
        """Read bodies of which one, or none, is run: what all of them bind is bound."""
        before = set(self.bound)
        after = []
        for body in bodies:
            self.bound = set(before)
            self.statements(body, sure=False)
            self.bound |= {name for name in _bound_by(body) if name in self.binds}
            after.append(self.bound)
        self.bound = set.intersection(*after)

    def loop(self, node: ast.For | ast.AsyncFor, sure: bool) -> None:
        self.expression(node.iter, sure=sure)
        before = set(self.bound)
        self.target(node.target, sure=True)
        self.unsure(node.body, [])
        self.bound = before
        self.unsure(node.orelse, [])

    def while_loop(self, node: ast.While, sure: bool) -> None:
        self.expression(node.test, sure=sure)
        self.unsure(node.body, [])
        self.unsure(node.orelse, [])

    def with_block(self, node: ast.With | ast.AsyncWith, sure: bool) -> None:
        for item in node.items:
            self.expression(item.context_expr, sure=sure)
            if item.optional_vars is not None:
                self.target(item.optional_vars, sure=sure)
        # A context manager may swallow what is raised.
        self.statements(node.body, sure=False)

    def try_block(self, node: ast.Try | ast.TryStar, sure: bool) -> None:
        bodies: list[Sequence[ast.stmt]] = [[*node.body, *node.orelse]]
        for handler in node.handlers:
            if handler.type is not None:
                self.expression(handler.type, sure=False)
            if handler.name is not None:
                self.bind(handler.name, sure=False)
            bodies.append(handler.body)
        self.unsure(*bodies)
        self.statements(node.finalbody, sure=sure)

    def match_block(self, node: ast.Match, sure: bool) -> None:
        self.expression(node.subject, sure=sure)
        for case in node.cases:
            for part in ast.walk(case.pattern):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    self.bind(name, sure=False)
        self.unsure(*(case.body for case in node.cases), [])

    def global_names(self, node: ast.Global, _sure: bool) -> None:
        pass  # at the top of a cell it says nothing

    def bare(self, node: ast.Expr, sure: bool) -> None:
        """Read an expression whose value is not used: a call of a method stands there for what it changes."""
        self.expression(node.value, sure=sure)
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr not in _SHOWING:
            self.change(call.func.value)

    # Expressions

    def expression(self, node: ast.AST, *, sure: bool) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                self.look_up(name, node.lineno, sure=sure)
            case ast.Name():
                pass
            case ast.NamedExpr():
                self.expression(node.value, sure=sure)
                self.target(node.target, sure=sure)
            case ast.Lambda():
                self.uses |= _looked_up_in(node)[0] - self.bound
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self.comprehension(node, sure=sure)
            case ast.BoolOp():
                self.expression(node.values[0], sure=sure)
                for value in node.values[1:]:
                    self.expression(value, sure=False)
            case ast.IfExp():
                self.expression(node.test, sure=sure)
                self.expression(node.body, sure=False)
                self.expression(node.orelse, sure=False)
            case ast.Call():
                self.call(node, sure=sure)
            case _:
                self.parts(node, sure=sure)

    def comprehension(self, node: _Comprehension, *, sure: bool) -> None:
        """Read one: only what it goes over first is surely looked up here."""
        self.expression(node.generators[0].iter, sure=sure)
        self.uses |= _looked_up_in(node)[0] - self.bound
        for part in ast.walk(node):
            if isinstance(part, ast.NamedExpr):
                self.target(part.target, sure=False)

    def call(self, node: ast.Call, *, sure: bool) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in _LOOKS_EVERYWHERE:
            self.opaque = True
        if isinstance(node.func, ast.Attribute) and (
            node.func.attr in _CHANGING
            or any(keyword.arg == "inplace" and _is_true(keyword.value) for keyword in node.keywords)
        ):
            self.change(node.func.value)
        if isinstance(node.func, ast.Attribute) and node.func.attr in (
            "run_line_magic",
            "run_cell_magic",
            "magic",
            "ex",
            "push",
        ):
            self.opaque = True
        self.parts(node, sure=sure)


_STATEMENTS: Mapping[type[ast.stmt], Callable[..., None]] = {
    ast.Assign: _Reader.assignment,
    ast.AnnAssign: _Reader.annotated,
    ast.AugAssign: _Reader.augmented,
    ast.Delete: _Reader.deletion,
    ast.Import: _Reader.importing,
    ast.ImportFrom: _Reader.importing,
    ast.FunctionDef: _Reader.definition,
    ast.AsyncFunctionDef: _Reader.definition,
    ast.ClassDef: _Reader.definition,
    ast.If: _Reader.branches,
    ast.For: _Reader.loop,
    ast.AsyncFor: _Reader.loop,
    ast.While: _Reader.while_loop,
    ast.With: _Reader.with_block,
    ast.AsyncWith: _Reader.with_block,
    ast.Try: _Reader.try_block,
    ast.TryStar: _Reader.try_block,
    ast.Match: _Reader.match_block,
    ast.Global: _Reader.global_names,
    ast.Expr: _Reader.bare,
}


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _bound_by(body: Iterable[ast.stmt]) -> set[str]:
    """Return what the statements of a body bind whenever they are run, those that they hold apart."""
    found: set[str] = set()
    for statement in body:
        match statement:
            case ast.Assign(targets=targets):
                parts = [part for target in targets for part in ast.walk(target)]
                found |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                found |= {alias.asname or alias.name.split(".")[0] for alias in statement.names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Delete(targets=targets):
                found -= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def _looked_up_in(node: ast.AST) -> tuple[set[str], set[str]]:
    """Return the global names that a function, class, lambda or comprehension looks up, and those that it makes (`global`)."""
    own: set[str] = set()
    read: set[str] = set()
    declared: set[str] = set()
    inner: list[ast.AST] = []
    waiting: list[ast.AST] = list(_inside(node, own))
    while waiting:
        part = waiting.pop()
        if isinstance(part, _SCOPES):
            if isinstance(part, _Function | ast.ClassDef):
                own.add(part.name)
            inner.append(part)
            continue
        _note(part, own, read, declared)
        waiting.extend(ast.iter_child_nodes(part))
    made = set(declared)
    for part in inner:
        looked_up, assigned = _looked_up_in(part)
        read |= looked_up
        made |= assigned
    return (read - own) | (read & declared), made


_SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def _inside(node: ast.AST, own: set[str]) -> Iterable[ast.AST]:
    """Return the parts of a scope, and put the names of its arguments into `own`."""
    arguments = getattr(node, "args", None)
    if isinstance(arguments, ast.arguments):
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        own.update(argument.arg for argument in every if argument is not None)
    return ast.iter_child_nodes(node)


def _note(part: ast.AST, own: set[str], read: set[str], declared: set[str]) -> None:
    match part:
        case ast.Name(id=name, ctx=ast.Load()):
            read.add(name)
        case ast.Name(id=name):
            own.add(name)
        case ast.AugAssign(target=ast.Name(id=name)):
            read.add(name)
        case ast.Global(names=names):
            declared.update(names)
        case ast.Import() | ast.ImportFrom():
            own.update(alias.asname or alias.name.split(".")[0] for alias in part.names)
        case ast.ExceptHandler(name=str(name)):
            own.add(name)
