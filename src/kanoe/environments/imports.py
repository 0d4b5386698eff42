"""The imports of cells and of the modules that stand beside them, told apart by what happens when they fail."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kanoe.ir.code import CellCode, logical_lines, parse_cell

ImportContext = Literal["required", "function", "conditional", "optional"]

_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
_IMPORT_FUNCTIONS = frozenset({"__import__", "import_module"})
_LEAVING_FUNCTIONS = frozenset({"exit", "quit", "_exit", "abort"})
_IPYTHON_EXTENSIONS = frozenset({"autoreload", "storemagic", "sympyprinting", "cythonmagic", "rmagic", "octavemagic"})
_IMPORT_LINE = re.compile(r"[ \t]*(?:import|from)[ \t]")
_PYTHON_FILE = re.compile(r"\bpython[\d.]*(?:[ \t]+-[A-Za-z]+)*[ \t]+['\"]?(?P<path>[\w./-]+\.py)\b")
_LARGEST_FILE = 2_000_000  # bytes of a local module that are read
_MOST_FILES = 500  # local files that are followed


@dataclass(frozen=True, slots=True)
class Import:
    """One module that the code imports.

    Args:
        module: the dotted name; empty for `from . import x`.
        cell: position of the code cell, counted from 0; -1 for an import of a local module.
        line: counted from 1.
        context: `required` (runs with the cell), `function` (when something is called), `conditional` (under an `if` or
            the like), `optional` (its failure is caught, or it is the way out when another import failed).
        names: what `from module import ...` takes; any may be a module itself.
        level: the leading dots of a relative import.
        extension: whether it is loaded with `%load_ext`.
        file: the local module that imports it, relative to the source's folder; `None` for cells.
    """

    module: str
    cell: int
    line: int
    context: ImportContext = "required"
    names: tuple[str, ...] = ()
    level: int = 0
    extension: bool = False
    file: str | None = None

    @property
    def top(self) -> str:
        """The top module: what stands before the first dot."""
        return self.module.partition(".")[0]


def find_imports(cells: Sequence[CellCode]) -> tuple[Import, ...]:
    """Return every import of the cells in order: statements, calls of `__import__` and `import_module`, `%load_ext`.

    A cell that does not parse gives the import lines that parse alone; the indented among them count as conditional.
    """
    return tuple(found for position, code in enumerate(cells) for found in find_cell_imports(code, position))


def find_cell_imports(code: CellCode, cell: int, file: str | None = None) -> list[Import]:
    """Return the imports of one cell, or of one file."""
    extensions = {
        magic.line: words[0]
        for magic in code.magics
        if magic.name in {"load_ext", "reload_ext"} and (words := magic.arguments.split()) and _is_dotted(words[0])
    }
    if not extensions and "import" not in code.python:
        return []
    walk = _Walk(cell, file, extensions)
    if code.tree is not None:
        walk.follow(code.tree, calls=any(name in code.python for name in _IMPORT_FUNCTIONS))
    else:
        _read_lines(code.python, walk)
    for line in list(walk.extensions):
        walk.take_extension(line, "required")
    return sorted(walk.found, key=lambda found: found.line)


def _read_lines(python: str, walk: _Walk) -> None:
    for line, text in logical_lines(python):
        if _IMPORT_LINE.match(text):
            code = parse_cell(text.lstrip())
            context: ImportContext = "conditional" if text[0] in " \t" else "required"
            for node in code.tree.body if code.tree else ():
                walk.take(node, context, line - 1)


@dataclass
class _Walk:
    """Goes through a tree without recursion (trees of generated code are deep) and keeps the imports."""

    cell: int
    file: str | None
    extensions: dict[int, str]
    found: list[Import] = field(default_factory=list)
    pending: list[tuple[ast.AST, ImportContext]] = field(default_factory=list)

    def follow(self, tree: ast.Module, *, calls: bool) -> None:
        """Take every import below `tree`; `calls`: look into expressions too."""
        self.pending = [(node, "required") for node in reversed(tree.body)]
        while self.pending:
            node, context = self.pending.pop()
            self.take(node, context, 0)
            self.pending += reversed(_below(node, context, calls=calls))

    def take(self, node: ast.AST, context: ImportContext, offset: int) -> None:
        """Keep what one node imports; its line is `offset` lines further down."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._keep(alias.name, node.lineno + offset, context)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            self._keep(node.module or "", node.lineno + offset, context, names, node.level)
        elif isinstance(node, ast.Pass):
            self.take_extension(node.lineno, context)
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            first = node.args[0] if node.args else None
            if name in _IMPORT_FUNCTIONS and isinstance(first, ast.Constant) and _is_dotted(first.value):
                self._keep(str(first.value), node.lineno, context)

    def take_extension(self, line: int, context: ImportContext) -> None:
        """Keep what `%load_ext` on that line loads; its mask is a `pass`."""
        name = self.extensions.pop(line, None)
        if name is not None and name not in _IPYTHON_EXTENSIONS:
            self.found.append(Import(name, self.cell, line, context, extension=True, file=self.file))

    def _keep(
        self, module: str, line: int, context: ImportContext, names: tuple[str, ...] = (), level: int = 0
    ) -> None:
        self.found.append(Import(module, self.cell, line, context, names, level, file=self.file))


_Branches = list[tuple[ast.AST, ImportContext]]


def _below(node: ast.AST, context: ImportContext, *, calls: bool) -> _Branches:
    """Return the parts of a node with their contexts; `calls`: expressions too."""
    branch = _BRANCHES.get(type(node))
    if branch is None:
        inner: ImportContext = _inside(context, "function") if isinstance(node, ast.Lambda) else context
        return [(child, inner) for child in ast.iter_child_nodes(node)] if calls else []
    expressions = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)] if calls else []
    return [*_each(expressions, context), *branch(node, context)]


def _inside(outer: ImportContext, inner: ImportContext) -> ImportContext:
    """Return the weaker of two contexts."""
    order: tuple[ImportContext, ...] = ("required", "function", "conditional", "optional")
    return max(outer, inner, key=order.index)


def _each(nodes: Iterable[ast.AST], context: ImportContext) -> _Branches:
    return [(node, context) for node in nodes]


def _follow_function(node: ast.FunctionDef | ast.AsyncFunctionDef, context: ImportContext) -> _Branches:
    # A `try` around the definition does not catch what fails in a later call.
    return _each(node.body, "conditional" if context == "conditional" else "function")


def _follow_if(node: ast.If, context: ImportContext) -> _Branches:
    always = _is_always_true(node.test)
    weaker = _inside(context, "conditional")
    return [*_each(node.body, context if always else weaker), *_each(node.orelse, weaker)]


def _follow_while(node: ast.While, context: ImportContext) -> _Branches:
    weaker = context if _is_always_true(node.test) else _inside(context, "conditional")
    return _each([*node.body, *node.orelse], weaker)


def _follow_match(node: ast.Match, context: ImportContext) -> _Branches:
    return [branch for case in node.cases for branch in _each(case.body, _inside(context, "conditional"))]


def _follow_with(node: ast.With | ast.AsyncWith, context: ImportContext) -> _Branches:
    return _each(node.body, "optional" if any(_suppresses(item.context_expr) for item in node.items) else context)


def _follow_try(node: ast.Try | ast.TryStar, context: ImportContext) -> _Branches:
    catching = [handler for handler in node.handlers if _catches_import_errors(handler)]
    guarded = any(not _leaves(handler) for handler in catching)
    branches = _each(node.body, "optional" if guarded else context)
    for handler in node.handlers:
        way_out = handler in catching and not _leaves(handler)
        branches = [*branches, *_each(handler.body, "optional" if way_out else _inside(context, "conditional"))]
    after: ImportContext = _inside(context, "conditional") if guarded else context
    return [*branches, *_each(node.orelse, after), *_each(node.finalbody, context)]


def _follow_block(node: ast.For | ast.AsyncFor, context: ImportContext) -> _Branches:
    return _each([*node.body, *node.orelse], context)


_BRANCHES = {
    ast.FunctionDef: _follow_function,
    ast.AsyncFunctionDef: _follow_function,
    ast.ClassDef: lambda node, context: _each(node.body, context),
    ast.If: _follow_if,
    ast.While: _follow_while,
    ast.Match: _follow_match,
    ast.With: _follow_with,
    ast.AsyncWith: _follow_with,
    ast.Try: _follow_try,
    ast.TryStar: _follow_try,
    ast.For: _follow_block,
    ast.AsyncFor: _follow_block,
}


def _is_always_true(test: ast.expr) -> bool:
    """Return whether a test says nothing: `if True:`, `if __name__ == "__main__":`."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _name_of(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return handler.type is None or any(_name_of(kind) in _IMPORT_ERRORS for kind in kinds)


def _leaves(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler ends the program after all: `raise`, `sys.exit()`."""
    last = handler.body[-1]
    if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call):
        return _name_of(last.value.func) in _LEAVING_FUNCTIONS
    return isinstance(last, ast.Raise)


def _suppresses(expression: ast.expr) -> bool:
    return (
        isinstance(expression, ast.Call)
        and _name_of(expression.func) == "suppress"
        and any(_name_of(argument) in _IMPORT_ERRORS for argument in expression.args)
    )


def _is_dotted(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


class LocalModules:
    """The modules that stand beside a source: which they are, and what they import themselves.

    Args:
        folder: where the source lies.
        own_file: the name of the source's own file, which is no module of its own.
        written: names of modules that the notebook writes while it runs (`%%writefile helpers.py`).
        regular_only: top modules that count as local only with an `__init__.py`: a folder without one gives way to an
            installed distribution, as in Python.

    Attributes:
        used: top names of the modules beside the source that something imports.
    """

    def __init__(self, folder: Path, own_file: str, written: Iterable[str] = ()) -> None:
        self.folder = folder
        self.used: set[str] = set()
        self._written = frozenset(written)
        self._names = _names_in(folder)
        self._names.discard(own_file)
        self._seen: set[Path] = set()

    def holds(self, top: str, *, known: bool) -> bool:
        """Return whether `import top` finds a file here.

        A folder without `__init__.py` is found too, unless a distribution is `known` to provide that name: Python
        prefers the latter.
        """
        if top in self._written:
            return True
        if f"{top}.py" in self._names:
            return True
        if top not in self._names:
            return False
        inside = _names_in(self.folder / top)
        return "__init__.py" in inside or (not known and any(name.endswith(".py") for name in inside))

    def follow(self, found: Import) -> list[Import]:
        """Return what the local module behind an import imports itself (only the first time it is asked for)."""
        if found.top not in self._written:
            self.used.add(found.top)
        parts = found.module.split(".")
        files = self._files_of(self.folder, parts)
        for name in found.names:
            files += self._files_of(self.folder, [*parts, name])
        return [inner for file in files for inner in self.read(file)]

    def read(self, file: Path) -> list[Import]:
        """Return the imports of a local file (only the first time it is asked for), relative ones made absolute."""
        if file in self._seen or len(self._seen) >= _MOST_FILES:
            return []
        self._seen.add(file)
        try:
            if file.stat().st_size > _LARGEST_FILE:
                return []
            source = file.read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            return []
        name = str(file.relative_to(self.folder))
        package = list(Path(name).with_suffix("").parts[:-1])
        return [_absolute(found, package) for found in find_cell_imports(parse_cell(source), -1, name)]

    def _files_of(self, root: Path, parts: Sequence[str]) -> list[Path]:
        """Return the files that `import a.b.c` runs here: `a/__init__.py`, `a/b/__init__.py`, `a/b/c.py`."""
        files: list[Path] = []
        folder = root
        for part in parts:
            module, package = folder / f"{part}.py", folder / part / "__init__.py"
            files += [path for path in (package, module) if path.is_file()][:1]
            folder = folder / part
        return files


def _absolute(found: Import, package: Sequence[str]) -> Import:
    if found.level == 0:
        return found
    base = list(package[: max(0, len(package) - found.level + 1)])
    module = ".".join([*base, *([found.module] if found.module else [])])
    return Import(module, found.cell, found.line, found.context, found.names, 0, found.extension, found.file)


def _names_in(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


def find_written_modules(cells: Sequence[CellCode]) -> dict[str, tuple[int, CellCode]]:
    """Return the modules that `%%writefile` makes, by their top name, each with its cell and its code."""
    written: dict[str, tuple[int, CellCode]] = {}
    for position, code in enumerate(cells):
        for magic in code.magics:
            words = [word for word in magic.arguments.split() if not word.startswith("-")]
            if magic.cell and magic.name in {"writefile", "file"} and words and words[-1].endswith(".py"):
                path = words[-1].strip("'\"").removeprefix("/kaggle/working/").removeprefix("./")
                top = path.rpartition("/")[2] if path.startswith(("/", "../", "~")) else path.partition("/")[0]
                written[top.removesuffix(".py")] = (position, parse_cell(magic.body or ""))
    return written


def find_run_files(cells: Sequence[CellCode]) -> list[tuple[int, str]]:
    """Return the Python files that cells run as programs: `%run train.py`, `!python train.py`, each with its cell."""
    files: list[tuple[int, str]] = []
    for position, code in enumerate(cells):
        for magic in code.magics:
            if magic.name == "run":
                files += [
                    (position, word.strip("'\""))
                    for word in magic.arguments.split()
                    if word.strip("'\"").endswith(".py")
                ][:1]
        for command in code.shell:
            files += [(position, match["path"]) for match in _PYTHON_FILE.finditer(command.command)]
    return files
