"""Parameters, as papermill users know them: a tagged cell declares them, a new cell after it gives them other values.

The cell is tagged `parameters` (papermill) or `pipeline-parameters` (Kale); what is injected is tagged
`injected-parameters` (https://papermill.readthedocs.io, "Parameterize"). Only the code's tree is read.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import InputError
from kanoe.front.content import similar
from kanoe.ir.code import parse_cell
from kanoe.ir.notebook import Cell, Notebook

TAGS = ("parameters", "pipeline-parameters")
INJECTED = "injected-parameters"

_TYPE_COMMENT = re.compile(r"[ \t]*;?[ \t]*#[ \t]*type:[ \t]*(?!ignore\b)([\w.]+(?:\[[^#\n]*\])?)")
_DEPTH = 100
_CONSTANTS: Mapping[str, Any] = {"True": True, "False": False, "None": None}
_NOT_FINITE: Mapping[str, float] = {"nan": math.nan, "inf": math.inf, "+inf": math.inf, "-inf": -math.inf}

# What an annotation's name means for a value; any other name accepts every value.
_KINDS: Mapping[str, str] = {
    **{name: "str" for name in ("str", "AnyStr", "Path", "PosixPath", "PathLike")},
    **{name: name for name in ("int", "float", "bool", "tuple")},
    **{name: "list" for name in ("list", "List", "Sequence", "Iterable", "Collection", "MutableSequence")},
    **{name: "dict" for name in ("dict", "Dict", "Mapping", "MutableMapping")},
    **{name: "None" for name in ("None", "NoneType")},
    "Tuple": "tuple",
}
_EXAMPLES = {
    "int": "3",
    "float": "0.5",
    "bool": "true",
    "list": "'[1, 2]'",
    "tuple": "'[1, 2]'",
    "dict": "'{\"a\": 1}'",
    "str": "text",
}
_ARTICLES = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text", "None": "null"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a notebook declares.

    Args:
        name: the variable's name.
        default: its value where that is a literal, else `None`.
        type: the declared type as written (`int`, `list[str]`, `Optional[float]`): from the annotation, a `# type:`
            comment, or the literal; `None` where nothing says it.
    """

    name: str
    default: Any = None
    type: str | None = None

    def __str__(self) -> str:
        """Return the name and the type: `SEED (int)`."""
        return f"{self.name} ({self.type})" if self.type else self.name


@dataclass(frozen=True, slots=True)
class _Kinds:
    """What values a declared type takes: names of `_KINDS`' right side; `anything` where it says nothing known."""

    names: frozenset[str]
    anything: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def example(self) -> str:
        return next((text for name, text in _EXAMPLES.items() if name in self.names), "text")

    def __str__(self) -> str:
        words = (
            _ARTICLES.get(name, f"a {name}") for name in sorted(self.names, key=lambda name: (name == "None", name))
        )
        return " or ".join(words)


def declared_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """Return the parameters that a notebook declares: what its tagged cells assign at their top level, in order."""
    found: dict[str, Parameter] = {}
    for position in _tagged(notebook):
        for parameter in _read_cell(notebook.cells[position].source):
            found[parameter.name] = parameter
    return tuple(found.values())


def with_parameters(notebook: Notebook, given: Mapping[str, object], *, texts: bool, file_name: str) -> Notebook:
    """Return the notebook with a cell that gives its parameters other values, right after the cell that declares them.

    An earlier injected cell is replaced. Without anything given the notebook comes back as it is.

    Args:
        notebook: what declares the parameters.
        given: values by name.
        texts: whether the values are text from the command line: taken as it stands where the declared type is text, as
            JSON otherwise (`True`, `False` and `None` too).
        file_name: what the notebook is called in messages.

    Raises:
        InputError: `parameter-unknown`, `parameter-value`; one diagnostic for each wrong parameter.
    """
    if not given:
        return notebook
    declared = {parameter.name: parameter for parameter in declared_parameters(notebook)}
    faults: list[Diagnostic] = []
    lines = ["# Parameters"]
    for name, value in given.items():
        place = f"-p {name}" if texts else file_name
        if name not in declared:
            faults.append(_unknown(name, notebook, tuple(declared.values()), place, file_name))
            continue
        try:
            lines.append(f"{name} = {_written(_fitted(value, declared[name], texts=texts))}")
        except ValueError as fault:
            faults.append(_unfit(declared[name], value, str(fault), place))
    if faults:
        raise InputError(*faults)
    return _inject(notebook, "\n".join(lines))


def _tagged(notebook: Notebook) -> list[int]:
    return [
        position
        for position, cell in enumerate(notebook.cells)
        if cell.kind == "code" and any(tag in TAGS for tag in cell.tags)
    ]


def _inject(notebook: Notebook, source: str) -> Notebook:
    after = notebook.cells[_tagged(notebook)[-1]]
    kept = [cell for cell in notebook.cells if INJECTED not in cell.tags or cell is after]
    id_, ids = INJECTED, {cell.id for cell in kept}
    while id_ in ids:
        id_ += "x"
    position = next(index for index, cell in enumerate(kept) if cell is after) + 1
    cell = Cell(id_, "code", source, {"tags": [INJECTED]})
    return notebook.with_cells([*kept[:position], cell, *kept[position:]])


# What is declared


def _read_cell(source: str) -> Iterator[Parameter]:
    code = parse_cell(source)
    lines = code.python.split("\n")
    for node in code.tree.body if code.tree is not None else ():
        if isinstance(node, ast.AnnAssign):
            if isinstance(node.target, ast.Name) and node.value is not None:
                yield _parameter(node.target.id, node.value, _annotation(node.annotation))
        elif isinstance(node, ast.Assign):
            comment = _type_comment(node, lines)
            for name, value in _assigned(node):
                yield _parameter(name, value, comment)


def _assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that an assignment binds, each with the expression it gets where that can be told."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield target.id, node.value
        elif isinstance(target, ast.Tuple | ast.List):
            values: Sequence[ast.expr | None] = [None] * len(target.elts)
            if isinstance(node.value, ast.Tuple | ast.List) and len(node.value.elts) == len(target.elts):
                values = node.value.elts
            for element, value in zip(target.elts, values, strict=True):
                if isinstance(element, ast.Name):
                    yield element.id, value


def _parameter(name: str, value: ast.expr | None, declared: str | None) -> Parameter:
    try:
        default = ast.literal_eval(value) if value is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        default = None
    kind = type(default).__name__
    return Parameter(
        name, default, declared or (kind if kind in ("str", "int", "float", "bool", "list", "tuple", "dict") else None)
    )


def _annotation(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    try:
        return ast.unparse(node)
    except RecursionError:
        return None


def _type_comment(node: ast.stmt, lines: Sequence[str]) -> str | None:
    line = lines[(node.end_lineno or node.lineno) - 1].encode("utf-8", "surrogatepass")[node.end_col_offset :]
    match = _TYPE_COMMENT.match(line.decode("utf-8", "replace"))
    return match[1] if match is not None else None


# What a type takes


def _kinds(parameter: Parameter) -> _Kinds:
    """Return what values a parameter takes; a default of `None` with a type besides is an optional one."""
    if parameter.type is None:
        return _Kinds(frozenset(), anything=True)
    try:
        kinds = _read_type(ast.parse(parameter.type.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        kinds = _Kinds(frozenset(), anything=True)
    return _Kinds(kinds.names | {"None"}, kinds.anything) if parameter.default is None else kinds


def _read_type(node: ast.expr) -> _Kinds:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([_read_type(node.left), _read_type(node.right)])
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return _read_type(ast.parse(node.value.strip(), mode="eval").body)
        return _Kinds(frozenset({"None"}), anything=node.value is not None)
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        match _last_name(node.value):
            case "Optional" | "Union" as name:
                return _union([*map(_read_type, inner), *([_Kinds(frozenset({"None"}))] if name == "Optional" else [])])
            case "Annotated" | "Final" | "ClassVar":
                return _read_type(inner[0])
            case "Literal":
                values = [item.value for item in inner if isinstance(item, ast.Constant)]
                return _Kinds(frozenset("None" if value is None else type(value).__name__ for value in values))
        return _read_type(node.value)
    kind = _KINDS.get(_last_name(node))
    return _Kinds(frozenset({kind} if kind else ()), anything=kind is None)


def _union(parts: Sequence[_Kinds]) -> _Kinds:
    return _Kinds(frozenset().union(*(part.names for part in parts)), anything=any(part.anything for part in parts))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


# What is given


def _fitted(value: object, parameter: Parameter, *, texts: bool) -> object:
    """Return a value as the parameter's type wants it; raise `ValueError` with what it wants instead."""
    kinds = _kinds(parameter)
    return _read_text(str(value), kinds) if texts else _fit(_plain(value), kinds)


def _read_text(text: str, kinds: _Kinds) -> object:
    if kinds.names == {"str"} and not kinds.anything:
        return text
    try:
        value = _CONSTANTS[text.strip()] if text.strip() in _CONSTANTS else json.loads(text)
    except (ValueError, RecursionError):
        if "float" in kinds and text.strip().lower() in _NOT_FINITE:
            return _NOT_FINITE[text.strip().lower()]
        if kinds.anything or "str" in kinds:
            return text
        raise ValueError(str(kinds)) from None
    if "str" in kinds and isinstance(value, str):
        return text
    try:
        return _fit(_plain(value), kinds)
    except ValueError:
        if "str" in kinds:
            return text
        raise


def _fit(value: object, kinds: _Kinds) -> object:
    if kinds.anything or type(value).__name__ in kinds or (value is None and "None" in kinds):
        return value
    if "float" in kinds and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(str(kinds)) from None
    if "tuple" in kinds and isinstance(value, list):
        return tuple(value)
    if "list" in kinds and isinstance(value, tuple):
        return list(value)
    raise ValueError(str(kinds))


def _plain(value: object, depth: int = 0) -> object:
    """Return a value made of Python's own types only; raise `ValueError` for others and for what holds itself."""
    if value is None or isinstance(value, bool):
        return value
    for kind, made in _PLAIN:
        if isinstance(value, kind):
            return made(value)
    if depth > _DEPTH:
        raise ValueError("a value that is not nested so deeply")
    if isinstance(value, list | tuple):
        items = [_plain(item, depth + 1) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        if any(isinstance(key, list | tuple | dict) for key in value):
            raise ValueError("a dict whose keys are text")
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"text, a number, true or false, None, a list or a dict, not a `{type(value).__name__}`")


# A subclass may write itself as anything: `np.float64(0.5)`, `<Colour.RED: 1>`.
_PLAIN: tuple[tuple[type, Callable[[Any], object]], ...] = ((str, str.__str__), (int, int), (float, float))


def _written(value: object) -> str:
    """Return the Python expression of a plain value."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in value.items())}}}"
    try:
        return repr(value)
    except ValueError:  # an integer of thousands of digits
        raise ValueError("a smaller number") from None


# What is wrong


def _unknown(name: str, notebook: Notebook, known: Sequence[Parameter], place: str, file_name: str) -> Diagnostic:
    message = f"`{file_name}` declares no parameter `{name}`"
    cells = [notebook.cells[position] for position in _tagged(notebook)]
    if not cells:
        hint = (
            "Give the cell that assigns the defaults the tag `parameters` (in Jupyter: Property Inspector, Cell Tags)"
        )
        if file_name.endswith(".py"):
            hint = 'Begin the cell that assigns the defaults with `# %% tags=["parameters"]`'
        return error("parameter-unknown", f"{message}: no cell of it is tagged `parameters`", place=place, hint=hint)
    if not known:
        broken = any(parse_cell(cell.source).tree is None for cell in cells)
        why = "its tagged cell does not parse" if broken else "its tagged cell assigns nothing"
        hint = "Assign the defaults there, one `NAME = value` a line"
        return error("parameter-unknown", f"{message}: {why}", place=place, hint=hint)
    listed = "It declares " + ", ".join(map(str, known))
    close = similar(name, [parameter.name for parameter in known])
    hint = f"Did you mean `{close}`? {listed}" if close else listed
    return error("parameter-unknown", message, place=place, hint=hint)


def _unfit(parameter: Parameter, value: object, wanted: str, place: str) -> Diagnostic:
    shown = str(value) if isinstance(value, str) else type(value).__name__
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    example = _kinds(parameter).example()
    declared = f" is declared as `{parameter.type}` and" if parameter.type else ""
    message = f"The parameter `{parameter.name}`{declared} must be {wanted}, not `{shown}`"
    hint = (
        f"For example `-p {parameter.name}={example}`"
        if place.startswith("-p ")
        else f"For example {example.strip(chr(39))}"
    )
    return error("parameter-value", message, place=place, hint=hint)
