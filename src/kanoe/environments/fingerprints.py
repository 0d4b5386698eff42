"""What the code's own use of the libraries says about their age: names that came or went with a release.

The rows stand in `tables/fingerprints.toml`. What each matches:

    sklearn.grid_search             the name, imported or reached through an import, and all below it
    pandas.read_excel(sheetname=)   a call of it with that keyword; `(loss='ls')` with that value (`*` for any ending),
                                    `('en')` with that first argument, `(*2)` with two positional arguments or more
    pandas .as_matrix()             a method of that name on anything, in code that imports pandas
    pandas .ix[]                    an attribute that is subscripted; `pandas .plot.` one that is only read
    pandas .append() used           a call whose value is used
    pandas [].fillna(inplace=)      a method of an element or attribute: `df["age"].fillna(0, inplace=True)`
    sklearn {max_features: 'auto'}  a dictionary with that key and value (or with it in the value's list)

What stands in a `try` that has handlers does not count: the author met the error.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kanoe.environments.imports import find_cell_imports
from kanoe.environments.tables import read_pairs
from kanoe.ir.code import CellCode

_ROW = re.compile(
    r"(?:(?P<needs>\w+) )?(?P<path>\[\]\.\w+|\.?[\w.]+|\{(?P<key>\w+): '(?P<item>[^']*)'\})"
    r"(?P<shape>\[\]|\((?P<argument>[^)]*)\))?(?P<used> used)?$"
)
_ARGUMENT = re.compile(r"\*(?P<count>\d)$|(?P<keyword>\w+)=(?P<value>'[^']*'|\w+)?$|(?P<first>'[^']*')$")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
LIMIT = re.compile(r"(?P<library>[a-z0-9-]+) (?P<operator><|>=) (?P<version>[\d.]+)$")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A row: what is looked for, and the releases that have it.

    Args:
        text: the row's key.
        needs: the module that the code must import, for names that many libraries have.
        path: a dotted name, `.method`, `[].method`, or empty for a dictionary.
        shape: `name`, `call`, `subscript`, `used` or `item`.
        keyword: the argument or key that must be there.
        value: what it must be, or `None` for anything.
        count: how many positional arguments there must be.
        library: a distribution's name.
        operator: `<` for what left with `version`, `>=` for what came with it.
        version: of the library.
    """

    text: str
    needs: str
    path: str
    shape: str
    keyword: str | None
    value: str | None
    count: int
    library: str
    operator: str
    version: str

    @property
    def word(self) -> str:
        """A word that the code must hold for this to match."""
        return (self.keyword or "") if self.shape == "item" else self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A fingerprint in the code."""

    fingerprint: Fingerprint
    cell: int
    line: int


@functools.cache
def fingerprints() -> tuple[Fingerprint, ...]:
    """Return the rows of the table."""
    return tuple(_fingerprint(key) for key in read_pairs("fingerprints"))


@functools.cache
def _fingerprint(text: str) -> Fingerprint:
    return parse_fingerprint(text, read_pairs("fingerprints")[text])


def parse_fingerprint(text: str, limit: str) -> Fingerprint:
    """Return the fingerprint that a row says.

    Raises:
        ValueError: it is not written as the rows are.
    """
    match, bound = _ROW.match(text), LIMIT.match(limit)
    if match is None or bound is None:
        raise ValueError(f"{text} = {limit}")
    argument = _ARGUMENT.match(match["argument"]) if match["argument"] else None
    if match["argument"] and argument is None:
        raise ValueError(text)
    shape = "item" if match["key"] else "used" if match["used"] else _SHAPES[(match["shape"] or " ")[0]]
    values = [match["item"], *([argument["value"], argument["first"]] if argument else [])]
    return Fingerprint(
        text=text,
        needs=match["needs"] or "",
        path="" if match["key"] else match["path"].rstrip("."),
        shape=shape,
        keyword=match["key"] or (argument["keyword"] if argument else None),
        value=next((value.strip("'") for value in values if value is not None), None),
        count=int(argument["count"]) if argument and argument["count"] else 0,
        library=bound["library"],
        operator=bound["operator"],
        version=bound["version"],
    )


_SHAPES = {" ": "name", "[": "subscript", "(": "call"}


def find_sightings(codes: Sequence[CellCode]) -> tuple[Sighting, ...]:
    """Return where the code shows a fingerprint: each row once, where it is seen first."""
    names = _Names()
    for position, code in enumerate(codes):
        names.read_imports(code, position)
    found = [_rows_in(code, names) for code in codes]
    if any(row.path.startswith(".") for rows in found for row in rows):
        for code in codes:
            names.read_assignments(code)
    seen: dict[str, Sighting] = {}
    for position, (code, rows) in enumerate(zip(codes, found, strict=True)):
        if rows and code.tree is not None:
            by_word: dict[str, list[Fingerprint]] = {}
            for row in rows:
                by_word.setdefault(row.word, []).append(row)
            for row, line in _Search(by_word, names).look(code.tree):
                seen.setdefault(row.text, Sighting(row, position, line))
        for row, line in _match_imports(names.modules.get(position, ()), rows):
            seen.setdefault(row.text, Sighting(row, position, line))
    return tuple(sorted(seen.values(), key=lambda one: (one.cell, one.line)))


def _rows_in(code: CellCode, names: _Names) -> list[Fingerprint]:
    """Return the rows whose words a cell holds."""
    words = _words()
    present = words.keys() & {part for name in set(_IDENTIFIER.findall(code.python)) for part in (name, _last(name))}
    rows = [_fingerprint(text) for word in present for text in words[word]]
    return [row for row in rows if not row.needs or row.needs in names.tops]


@functools.cache
def _words() -> Mapping[str, Sequence[str]]:
    """Return the rows, unread, by their words: a notebook holds few of them."""
    found: dict[str, list[str]] = {}
    for text in read_pairs("fingerprints"):
        found.setdefault(word_of(text), []).append(text)
    return found


def word_of(text: str) -> str:
    """Return the word of the fingerprint that a row's key says, without reading the rest of it."""
    if "{" in text:
        return text.partition("{")[2].partition(":")[0]
    path = text.removesuffix(" used").partition("(")[0].removesuffix("[]").removesuffix(".")
    return path.rpartition(".")[2]


def _match_imports(
    modules: Iterable[tuple[str, int]], rows: Iterable[Fingerprint]
) -> Iterator[tuple[Fingerprint, int]]:
    plain = [row for row in rows if row.shape == "name" and not row.path.startswith((".", "["))]
    for module, line in modules:
        for row in plain:
            if _is_below(module, row.path):
                yield row, line


def _is_below(name: str, path: str) -> bool:
    return name == path or name.startswith(path + ".")


class _Names:
    """What the names of a notebook's cells stand for, as far as imports say it."""

    def __init__(self) -> None:
        self.tops: set[str] = set()
        self.modules: dict[int, list[tuple[str, int]]] = {}
        self._aliases: dict[str, str] = {}
        self._makers: dict[str, set[str]] = {}

    def read_imports(self, code: CellCode, position: int) -> None:
        """Keep what one cell imports."""
        if any(magic.name == "pylab" for magic in code.magics):
            self._aliases |= {"np": "numpy", "plt": "matplotlib.pyplot", "pylab": "pylab"}
            self.tops |= {"numpy", "matplotlib"}
        for found in find_cell_imports(code, position):
            self.tops.add(found.top)
            if found.context in {"optional", "conditional"}:
                continue
            named = [f"{found.module}.{name}" for name in found.names] or [found.module]
            self.modules.setdefault(position, []).extend((name.removesuffix(".*"), found.line) for name in named)
        if code.tree is not None and "import" in code.python:
            self._read_tree(code.tree)

    def read_assignments(self, code: CellCode) -> None:
        """Keep what makes the values of names: `model = XGBClassifier()`, `rows = []`."""
        pending: list[ast.AST] = list(code.tree.body) if code.tree is not None else []
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self._makers.setdefault(target.id, set()).add(self._maker(node.value))
            for part in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, part, None)
                pending += inner if isinstance(inner, list) else []

    def _maker(self, value: ast.expr) -> str:
        """Return the top module that makes a value, `builtins`, or an empty text where nobody knows."""
        if isinstance(value, ast.List | ast.Dict | ast.Set | ast.Tuple | ast.Constant | ast.ListComp | ast.JoinedStr):
            return "builtins"
        return (self.resolve(value.func) or "").partition(".")[0] if isinstance(value, ast.Call) else ""

    def may_be_of(self, node: ast.expr, top: str) -> bool:
        """Return whether an object may come from a top module, as far as the assignments of its name say it."""
        makers = self._makers.get(node.id, set()) if isinstance(node, ast.Name) else set()
        return not makers or bool(makers & {"", top})

    def _read_tree(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    self._aliases[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def resolve(self, node: ast.expr) -> str | None:
        """Return the dotted name that an expression is, as imports spell it; `None` for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._aliases:
            return None
        return ".".join([self._aliases[node.id], *reversed(parts)])


@dataclass
class _Search:
    """Looks for rows, given by their words, in one tree."""

    rows: Mapping[str, Sequence[Fingerprint]]
    names: _Names
    _unused: set[int] = field(default_factory=set)

    def look(self, tree: ast.Module) -> Iterator[tuple[Fingerprint, int]]:
        """Yield the rows that match, with their lines."""
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Expr):
                self._unused.add(id(node.value))
            for word in self._words(node):
                for row in self.rows.get(word, ()):
                    if self._matches(row, node):
                        yield row, node.lineno  # type: ignore[attr-defined]
            if isinstance(node, ast.Try) and node.handlers:
                pending += [*node.orelse, *node.finalbody]
            else:
                pending += ast.iter_child_nodes(node)

    def _words(self, node: ast.AST) -> Iterable[str]:
        """Return the words of the rows that a node may match."""
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Dict):
            return [
                _last(key.value) for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
        if isinstance(node, ast.Attribute):
            return (node.attr,)
        return ((self.names.resolve(node) or "").rpartition(".")[2],) if isinstance(node, ast.Name) else ()

    def _matches(self, row: Fingerprint, node: ast.AST) -> bool:
        if row.shape == "item":
            return isinstance(node, ast.Dict) and _holds_item(row, node)
        if row.shape == "subscript":
            return isinstance(node, ast.Subscript) and self._is_target(row, node.value)
        if row.shape == "name":
            return isinstance(node, ast.Attribute | ast.Name) and self._is_target(row, node)
        if not isinstance(node, ast.Call) or not self._is_target(row, node.func):
            return False
        return _has_arguments(row, node) and (row.shape == "call" or id(node) not in self._unused)

    def _is_target(self, row: Fingerprint, node: ast.expr) -> bool:
        if row.path.startswith("[]."):
            return isinstance(node, ast.Attribute) and node.attr == row.word and _is_element(node.value)
        if row.path.startswith("."):
            # A function of a module is no method: `numpy.append(a, b)`.
            return (
                isinstance(node, ast.Attribute)
                and _ends_with(node, row.path[1:].split("."))
                and self.names.resolve(node) is None
                and self.names.may_be_of(node.value, row.needs)
            )
        name = self.names.resolve(node)
        return name is not None and (name == row.path if row.shape != "name" else _is_below(name, row.path))


def _ends_with(node: ast.expr, attributes: Sequence[str]) -> bool:
    for name in reversed(attributes):
        if not isinstance(node, ast.Attribute) or node.attr != name:
            return False
        node = node.value
    return True


def _is_element(node: ast.expr) -> bool:
    """Return whether an expression is a column: `df["age"]`, `df.age`, but not `self.df` or `df.loc[...]`."""
    if isinstance(node, ast.Subscript):
        return not (isinstance(node.value, ast.Attribute) and node.value.attr in {"loc", "iloc"})
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id not in {"self", "cls"}


def _has_arguments(row: Fingerprint, call: ast.Call) -> bool:
    if row.count:
        return len(call.args) >= row.count and not any(isinstance(one, ast.Starred) for one in call.args[: row.count])
    if row.keyword is not None:
        given = next((one.value for one in call.keywords if one.arg == row.keyword), None)
        return given is not None and (row.value is None or _is_value(given, row.value))
    return row.value is None or (bool(call.args) and _is_value(call.args[0], row.value))


def _is_value(node: ast.expr, value: str) -> bool:
    if not isinstance(node, ast.Constant):
        return False
    text = node.value if isinstance(node.value, str) else repr(node.value)
    if value == "*":
        return isinstance(node.value, str)
    return text.startswith(value[:-1]) if value.endswith("*") else text == value


def _holds_item(row: Fingerprint, node: ast.Dict) -> bool:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and _last(key.value) == row.keyword:
            choices = value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else [value]
            return any(_is_value(choice, row.value or "") for choice in choices)
    return False


def _last(key: str) -> str:
    """Return the argument that a key of a parameter grid names: `model__max_features`."""
    return key.rpartition("__")[2]
