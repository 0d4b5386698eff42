"""Which paths below `/kaggle/input` the cells of a notebook name, found in their code without running it.

Two questions are asked of it: which form of Kaggle's paths the notebook uses (nested, flat, `../input/train.csv`), and
what it reads that nobody provides. A missed path costs a poorer answer, a false alarm costs trust: what is unsure is no
read.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kanoe.front.texts import CURRENT_FOLDER, UNKNOWN, Names, Text, either
from kanoe.ir.code import CellCode, Magic, parse_cell
from kanoe.ir.notebook import Notebook

_INPUT = "/kaggle/input"
_WORKING = "/kaggle/working"
_LONGEST = 500

_Use = Literal["names", "lists", "opens"]  # what is done with a path


@dataclass(frozen=True, slots=True)
class PathUse:
    """A place where a cell names a path of the data folder.

    Args:
        cell: the code cell's position, counted from 0.
        line: the line in the cell, counted from 1.
        path: `/kaggle/input` or a path below it, without `.` and `..`. A part of the last name that only a run would
            show is `*`; a folder that only a run would show ends the path.
        reads: whether it is the argument of a call that reads it and fails when it is not there, and it surely is this
            path.
        guarded: whether the notebook may get by without it: it stands in a `try`, under an `if`, in a function, or
            behind a test whether it exists.
    """

    cell: int
    line: int
    path: str
    reads: bool = False
    guarded: bool = False


_READS = re.compile(
    r"""open | (?:io|codecs|gzip|bz2|lzma|tarfile|PIL\.Image|rasterio|wave|fsspec)\.open
      | (?:numpy|cupy|joblib|torch|librosa|nibabel|sklearn\.externals\.joblib)\.load
      | numpy\.(?:loadtxt|genfromtxt|fromfile)
      | (?!self\.|cls\.)[\w.]+\.(?:read|scan)_\w+
      | (?:[\w.]+\.)?(?:imread|loadmat|dcmread|load_model|load_img|open_dataset)
      | [\w.]+\.read\.(?:csv|json|parquet|text|orc|load)
      | (?:soundfile|sf|wavfile|scipy\.io\.wavfile)\.read | datatable\.fread | h2o\.import_file
      | h5py\.File | zipfile\.ZipFile | pandas\.(?:ExcelFile|HDFStore)
      | os\.(?:listdir|scandir) | shutil\.(?:copy|copy2|copyfile|copytree|unpack_archive)""",
    re.VERBOSE,
)
_KEYWORDS = frozenset(
    {
        "filepath_or_buffer",
        "path_or_buffer",
        "path_or_buf",
        "path",
        "filepath",
        "file",
        "filename",
        "fname",
        "fp",
        "io",
        "f",
    }
    | {"name", "source", "src"}
)
_READING_METHODS = frozenset({"open", "read_text", "read_bytes", "iterdir"})
_MODES = re.compile(r"(?:.*\.)?(?:open|File|ZipFile|HDFStore)")
_TESTS = re.compile(r"os\.path\.(?:exists|lexists|isfile|isdir)|os\.access")
_TESTING_METHODS = frozenset({"exists", "is_file", "is_dir"})
_SHELLS = re.compile(r"os\.(?:system|popen)|(?:subprocess\.)?(?:run|call|check_call|check_output|getoutput|Popen)")
_SHELL_PATH = re.compile(
    r"""(?P<quote>['"])(?P<quoted>(?:\.{1,2}/|/)[^'"]*)(?P=quote)
      | (?:^|(?<=[\s'"=:,(<>]))(?P<plain>(?:\.{1,2}/|/)(?:\\.|[^\s'"`;|&<>()\\])*)""",
    re.VERBOSE,
)
_SHELL_NAME = re.compile(r"\{(\w+)\}|\$\{?(\w+)\}?|\{[^}]*\}")
_QUOTED_PATH = re.compile(r"""(['"])((?:\.\./|/kaggle/)[^'"\n]*)\1""")


def find_paths(notebook: Notebook) -> tuple[PathUse, ...]:
    """Return where the cells name paths below `/kaggle/input`, in the order of cells and lines; never raises.

    Relative paths count from `/kaggle/working`, or from where the notebook itself goes.
    """
    finder = _Finder()
    for position, cell in enumerate(notebook.code_cells):
        finder.read_cell(position, parse_cell(cell.source))
    return tuple(sorted(finder.found.values(), key=lambda use: (use.cell, use.line)))


_FOLDER_KEPT = re.compile(
    r"""^[ \t]*\w+[ \t]*=[ \t]*(['"])(?:\.\./input|/kaggle/input)/?\1[ \t]*(?:#.*)?$""", re.MULTILINE
)
_WALKS = re.compile(r"\bos\.walk\b|\bwalk\(|\.rglob\(|\*\*")


def keeps_folder(notebook: Notebook) -> bool:
    """Return whether a notebook keeps the data folder itself in a variable and never walks through it.

    `DIR = "../input/"` is then put before names of files, in functions too, where no reading of the code follows it.
    """
    texts = [cell.source for cell in notebook.code_cells]
    return any(map(_FOLDER_KEPT.search, texts)) and not any(map(_WALKS.search, texts))


class _Finder(ast.NodeVisitor):
    """Walks over the cells in order, as the kernel would, and keeps what names stand for."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, int, str], PathUse] = {}
        self._names = Names()
        self._names.texts[CURRENT_FOLDER] = Text(_WORKING)
        self._classes: set[str] = set()
        self._tested: set[str] = set()
        self._guards = 0
        self._cell = 0

    def read_cell(self, position: int, code: CellCode) -> None:
        """Find the paths of one cell."""
        self._cell = position
        if code.tree is None:
            for match in _QUOTED_PATH.finditer(code.source):
                self._keep(Text(match[2]), code.source.count("\n", 0, match.start()) + 1)
        steps = [(command.line, partial(self._read_command, command.command, command.line)) for command in code.shell]
        steps += [(magic.line, partial(self._read_magic, magic)) for magic in code.magics]
        steps += [(node.lineno, partial(self._visit_safely, node)) for node in (code.tree.body if code.tree else ())]
        for _, step in sorted(steps, key=lambda step: step[0]):
            step()

    def _visit_safely(self, node: ast.stmt) -> None:
        guards, texts = self._guards, self._names.texts
        try:
            self.visit(node)
        except RecursionError:  # code that a program wrote
            self._guards, self._names.texts = guards, texts

    # What is kept

    def _keep(self, text: Text | None, line: int, use: _Use = "names") -> bool:
        """Keep a use of a path if it is one below the data folder; say whether it is."""
        path = None if text is None else self._locate(text.text, use)
        if text is None or path is None:
            return False
        current = self._names.texts.get(CURRENT_FOLDER)
        placed = text.text.startswith("/") or (current is not None and current.sure)
        sure = text.sure and placed and UNKNOWN not in text.text
        guarded = self._guards > 0 or any(path == tested or path.startswith(f"{tested}/") for tested in self._tested)
        key = (self._cell, line, path)
        earlier = self.found.get(key, PathUse(*key, guarded=True))
        reads = earlier.reads or (use != "names" and sure)
        self.found[key] = PathUse(*key, reads=reads, guarded=earlier.guarded and guarded)
        return True

    def _locate(self, text: str, use: _Use) -> str | None:
        """Return the absolute path of a text, or `None` where it is none below the data folder."""
        text = text.removeprefix("file://")
        if not text or len(text) > _LONGEST or "\n" in text or text.startswith(UNKNOWN):
            return None
        if not text.startswith("/"):
            current = self._names.texts.get(CURRENT_FOLDER)
            if current is None or not (use != "names" or re.match(r"(?:\./)*\.\.(?:/|$)", text)):
                return None  # any word could be a file's name
            text = posixpath.join(current.text, text)
        path = "/" + posixpath.normpath(text).lstrip("/")
        if path != _INPUT and not path.startswith(f"{_INPUT}/"):
            return None
        first = path.split("/")[3:4]
        if use == "names" and first and re.search(r"\s", first[0]) and not re.search(r"\.\w{1,5}$", first[0]):
            return None  # a sentence about a path; a slug has no blanks
        return _cut_unknown(path, use)

    def _read_command(self, command: str, line: int) -> None:
        """Find the paths of a shell command."""
        command = _SHELL_NAME.sub(self._value_of_shell_name, command)
        for match in _SHELL_PATH.finditer(command):
            path = match["quoted"] or re.sub(r"\\(.)", r"\1", match["plain"])
            self._keep(Text(path, sure=False), line)

    def _read_magic(self, magic: Magic) -> None:
        """Find the paths of a magic that deals with files, and follow `%cd`."""
        if magic.name in ("cd", "run", "load"):
            self._read_command(magic.arguments, magic.line)
        if magic.name == "cd":
            self._go(Text(magic.arguments.strip().strip("'\"")))

    def _value_of_shell_name(self, match: re.Match[str]) -> str:
        text = self._names.texts.get(match[1] or match[2] or "")
        return text.text if text is not None else UNKNOWN

    def _go(self, text: Text | None) -> None:
        """Follow a change of the current folder."""
        current = self._names.texts.get(CURRENT_FOLDER)
        if text is None or current is None or UNKNOWN in text.text or text.text[:1] in ("", "-", "~"):
            self._names.texts[CURRENT_FOLDER] = None if current is None else Text(current.text, sure=False)
        else:
            path = posixpath.normpath(posixpath.join(current.text, text.text))
            self._names.texts[CURRENT_FOLDER] = Text(path, sure=text.sure and current.sure and not self._guards)

    # Expressions

    def visit(self, node: ast.AST) -> None:
        """Keep an expression that is a path as a whole; look into any other node."""
        if isinstance(node, ast.Constant | ast.BinOp | ast.JoinedStr):
            text = self._names.text_of(node)
            if text is not None and self._keep(text, node.lineno):
                return
        super().visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._names.full_name(node.func)
        argument = self._read_argument(node, name)
        if name == "print":
            # What is said about a path is no use of it.
            self._visit_all(part for part in node.args if not isinstance(part, ast.Constant | ast.JoinedStr))
        elif argument is not None and self._keep(self._names.text_of(argument), node.lineno, _use_of(node)):
            self._visit_all(part for part in ast.iter_child_nodes(node) if not _holds(part, argument))
        elif (tested := self._tested_argument(node, name)) is not None:
            self._keep_test(tested, node.lineno)
        elif not self._keep(self._names.text_of(node), node.lineno):
            if _SHELLS.fullmatch(name) and node.args and (command := self._names.text_of(node.args[0])):
                self._read_command(command.text, node.lineno)
            self.generic_visit(node)
            if name == "os.chdir" and node.args:
                self._go(self._names.text_of(node.args[0]))

    def _read_argument(self, node: ast.Call, name: str) -> ast.expr | None:
        """Return the argument that a call reads from, or `None` for a call that reads no file."""
        method = node.func.attr if isinstance(node.func, ast.Attribute) and node.func.attr in _READING_METHODS else None
        if method and isinstance(node.func, ast.Attribute) and self._names.text_of(node.func.value) is not None:
            return node.func.value if method != "open" or _is_read_mode(node, 0) else None
        own = isinstance(node.func, ast.Name) and node.func.id in self._names.texts
        if not name or own or _READS.fullmatch(name) is None or (_MODES.fullmatch(name) and not _is_read_mode(node, 1)):
            return None
        named = (keyword.value for keyword in node.keywords if keyword.arg in _KEYWORDS)
        return node.args[0] if node.args else next(named, None)

    def _tested_argument(self, node: ast.Call, name: str) -> ast.expr | None:
        if _TESTS.fullmatch(name) and node.args:
            return node.args[0]
        if isinstance(node.func, ast.Attribute) and node.func.attr in _TESTING_METHODS and not node.args:
            return node.func.value
        return None

    def _keep_test(self, argument: ast.expr, line: int) -> None:
        text = self._names.text_of(argument)
        path = None if text is None else self._locate(text.text, "opens")
        if path is None:
            self.visit(argument)
        else:
            self._tested.add(path)
            self._keep(text, line)

    # Names

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            left = ast.copy_location(ast.Name(node.target.id, ast.Load()), node)
            self._bind(node.target, ast.copy_location(ast.BinOp(left, node.op, node.value), node))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._names.modules[alias.asname or alias.name.split(".")[0]] = (
                alias.name if alias.asname else alias.name.split(".")[0]
            )

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._names.modules[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"

    def _bind(self, target: ast.expr, value: ast.expr | None) -> None:
        texts = self._names.texts
        if isinstance(target, ast.Name):
            self._names.modules.pop(target.id, None)
            texts[target.id] = self._names.text_of(value)
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in self._classes:
                owner = f"{value.func.id}."
                held = {key[len(owner) :]: text for key, text in texts.items() if key.startswith(owner)}
                texts.update({f"{target.id}.{key}": text for key, text in held.items()})
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            texts[f"{target.value.id}.{target.attr}"] = self._names.text_of(value)
        elif isinstance(target, ast.Tuple | ast.List):
            values: Sequence[ast.expr | None] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                values = value.elts
            for element, part in zip(target.elts, values, strict=True):
                self._bind(element, part)
        elif isinstance(target, ast.Starred):
            self._bind(target.value, None)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    # Statements that run their body perhaps, often, or later

    def _visit_branches(self, *branches: Iterable[ast.AST], guarded: bool) -> None:
        """Visit what may run instead of each other; what they leave in a name differently is a guess afterwards."""
        before = self._names.texts
        after: list[dict[str, Text | None]] = []
        self._guards += guarded
        for branch in branches:
            self._names.texts = dict(before)
            self._visit_all(branch)
            after.append(self._names.texts)
        self._guards -= guarded
        merged = after[0]
        for other in after[1:]:
            merged = {name: either(merged.get(name), other.get(name)) for name in merged | other}
        self._names.texts = merged

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Constant):  # `if True:`, and how `%time` is masked
            self._visit_all(node.body if node.test.value else node.orelse)
        else:
            self.visit(node.test)
            self._visit_branches(node.body, node.orelse, guarded=True)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self._visit_branches([node.body], [node.orelse], guarded=True)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._visit_branches(node.values[1:], [], guarded=True)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self._visit_branches(*(case.body for case in node.cases), [], guarded=True)

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        handlers = (handler.body for handler in node.handlers)
        self._visit_branches([*node.body, *node.orelse], *handlers, guarded=bool(node.handlers))
        self._visit_all(node.finalbody)

    visit_TryStar = visit_Try  # noqa: N815

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._visit_loop(node)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._visit_loop(node)

    def _visit_loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        # A name that the body sets has, where the body begins, this value or that of the round before.
        for name in (
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        ):
            self._names.texts[name] = None
        self._visit_branches(node.body, [], guarded=isinstance(node, ast.While))
        self._visit_all(node.orelse)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        suppressed = False
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, None)
            call = item.context_expr
            suppressed |= isinstance(call, ast.Call) and self._names.full_name(call.func).endswith("suppress")
        self._guards += suppressed
        self._visit_all(node.body)
        self._guards -= suppressed

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._names.modules.pop(node.name, None)
        self._names.texts[node.name] = None
        self._visit_scope(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_scope(node.args, [node.body])

    def _visit_scope(self, arguments: ast.arguments, body: Iterable[ast.AST]) -> None:
        """Visit a function's body: it runs later or never, its arguments are anything, their defaults a guess."""
        self._guards += 1
        self._visit_all(default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None)
        outer = self._names.texts
        self._names.texts = dict(outer)
        plain = [*arguments.posonlyargs, *arguments.args]
        defaults = [*[None] * (len(plain) - len(arguments.defaults)), *arguments.defaults, *arguments.kw_defaults]
        for argument, default in zip([*plain, *arguments.kwonlyargs], defaults, strict=True):
            text = self._names.text_of(default)
            self._names.texts[argument.arg] = None if text is None else Text(text.text, sure=False)
        self._visit_all(body)
        self._names.texts = outer
        self._guards -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all((*node.decorator_list, *node.bases))
        outer = self._names.texts
        self._names.texts = dict(outer)
        self._visit_all(node.body)
        inner, self._names.texts = self._names.texts, outer
        outer[node.name] = None
        self._classes.add(node.name)
        for name, text in inner.items():
            if name not in outer or outer[name] != text:
                outer[f"{node.name}.{name}"] = text

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        outer = self._names.texts
        self._names.texts = dict(outer)
        for generator in node.generators:
            self.visit(generator.iter)
            self._bind(generator.target, None)
            self._visit_all(generator.ifs)
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._names.texts = outer

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _visit_comprehension  # noqa: N815


def _is_read_mode(node: ast.Call, position: int) -> bool:
    """Whether a file is surely opened for reading; `position` is where the mode stands among the arguments."""
    modes = [keyword.value for keyword in node.keywords if keyword.arg == "mode"] or node.args[position : position + 1]
    if not modes:
        return True
    mode = modes[0]
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and not set(mode.value) & set("wax+")


def _holds(node: ast.AST, part: ast.AST) -> bool:
    return node is part or (isinstance(node, ast.keyword | ast.Attribute) and node.value is part)


def _use_of(node: ast.Call) -> _Use:
    name = (
        node.func.attr
        if isinstance(node.func, ast.Attribute)
        else node.func.id
        if isinstance(node.func, ast.Name)
        else ""
    )
    return "lists" if name in ("listdir", "scandir", "iterdir") else "opens"


def _cut_unknown(path: str, use: _Use) -> str:
    """Return a path up to the name that cannot be told; of a last name that is known in part, the rest is `*`."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if use != "opens" and part in (UNKNOWN, "*", "**"):
            return "/".join(parts[:index])
        if UNKNOWN in part:
            # `pd.read_csv('../input/' + name)` opens something that lies straight below the folder, or deeper.
            told = index == len(parts) - 1 and (part != UNKNOWN or index == len(_INPUT.split("/")))
            return "/".join([*parts[:index], re.sub(f"{UNKNOWN}+", "*", part)] if told else parts[:index])
    return path
