"""The text that an expression is, where its tree can tell: `BASE + 'train.csv'`, `Path('../input') / name`.

A part that only a run would show is `UNKNOWN`. Text is followed through names, concatenation, joins, formatting and
`pathlib`.
"""

from __future__ import annotations

import ast
import posixpath
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

UNKNOWN = "\0"
CURRENT_FOLDER = "<cwd>"


class Text(NamedTuple):
    """What an expression may be.

    Args:
        text: the text; `UNKNOWN` stands for each part that cannot be told.
        sure: whether it can be nothing else: no part is unknown, and no branch gives it another value.
    """

    text: str
    sure: bool = True


class Names:
    """What names stand for at one point of a notebook: texts, and the modules that were imported."""

    def __init__(self) -> None:
        self.texts: dict[str, Text | None] = {}
        self.modules = dict(_USUAL_NAMES)

    def full_name(self, node: ast.expr) -> str:
        """Return a function's dotted name, its module's own: `numpy.load` for `np.load`; empty for others."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self.modules.get(node.id, node.id)
        return ".".join((first, *reversed(parts)))

    def text_of(self, node: ast.expr | None) -> Text | None:
        """Return what text an expression is, or `None` where nothing of it can be told."""
        try:
            return self._text_of(node)
        except RecursionError:
            return None

    def _text_of(self, node: ast.expr | None) -> Text | None:
        match node:
            case ast.Constant(value=str() as value):
                return None if UNKNOWN in value else Text(value)
            case ast.Name(id=name):
                return self.texts.get(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.BinOp():
                return self._operation(node)
            case ast.JoinedStr(values=values):
                return _concatenated([self._piece(value) for value in values])
            case ast.Call():
                return self._call(node)
            case ast.IfExp(body=body, orelse=orelse):
                return either(self._text_of(body), self._text_of(orelse))
            case ast.NamedExpr(value=value):
                return self._text_of(value)
        return None

    def _attribute(self, node: ast.Attribute) -> Text | None:
        if isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in self.texts:
                return self.texts[name]
            if name == "os.sep":
                return Text("/")
        if node.attr == "parent":
            return _changed(self._text_of(node.value), _parent)
        return None

    def _operation(self, node: ast.BinOp) -> Text | None:
        left = self._text_of(node.left)
        if isinstance(node.op, ast.Mod):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            return None if left is None else self._percent(left, values)
        if isinstance(node.op, ast.Add):
            return _concatenated([left, self._text_of(node.right)])
        if isinstance(node.op, ast.Div):
            return _joined([left, self._text_of(node.right)])
        return None

    def _piece(self, node: ast.expr) -> Text | None:
        if isinstance(node, ast.FormattedValue):
            plain = node.format_spec is None and node.conversion in (-1, ord("s"))
            return self._text_of(node.value) if plain else None
        return self._text_of(node)

    def _call(self, node: ast.Call) -> Text | None:
        name = self.full_name(node.func)
        arguments = [None if isinstance(argument, ast.Starred) else self._text_of(argument) for argument in node.args]
        if name == "os.path.join" or _PATH_TYPE.fullmatch(name):
            return _joined(arguments) if arguments else Text(".")
        if name in ("os.getcwd", "pathlib.Path.cwd", "Path.cwd"):
            return self.texts.get(CURRENT_FOLDER)
        if _SAME_PATH.fullmatch(name) and len(arguments) == 1:
            return arguments[0]
        if name == "os.path.dirname" and len(arguments) == 1:
            return _changed(arguments[0], posixpath.dirname)
        return self._method(node, arguments)

    def _method(self, node: ast.Call, arguments: Sequence[Text | None]) -> Text | None:
        if not isinstance(node.func, ast.Attribute):
            return None
        owner = self._text_of(node.func.value)
        if owner is None:
            return None
        match node.func.attr:
            case "joinpath":
                return _joined([owner, *arguments])
            case "format":
                return self._format(owner, arguments, node.keywords)
            case "resolve" | "absolute" | "expanduser" | "as_posix":
                return owner
        return None

    def _format(self, owner: Text, arguments: Sequence[Text | None], keywords: Sequence[ast.keyword]) -> Text | None:
        named = {keyword.arg: self._text_of(keyword.value) for keyword in keywords}
        pieces: list[Text | None] = []
        count = 0
        try:
            for literal, field, spec, conversion in string.Formatter().parse(owner.text):
                pieces.append(Text(literal, owner.sure))
                if field is None:
                    continue
                index = count if field == "" else int(field) if field.isdecimal() else -1
                count += field == ""
                value = arguments[index] if 0 <= index < len(arguments) else named.get(field)
                pieces.append(value if not spec and not conversion else None)
        except ValueError:
            return None
        return _concatenated(pieces)

    def _percent(self, owner: Text, values: Sequence[ast.expr]) -> Text | None:
        pieces: list[Text | None] = []
        position = count = 0
        for field in _PERCENT.finditer(owner.text):
            pieces.append(Text(owner.text[position : field.start()], owner.sure))
            position = field.end()
            if field.group() == "%%":
                pieces.append(Text("%"))
            else:
                plain = field.group() == "%s" and count < len(values)
                pieces.append(self._text_of(values[count]) if plain else None)
                count += 1
        return _concatenated([*pieces, Text(owner.text[position:], owner.sure)])


def either(first: Text | None, second: Text | None) -> Text | None:
    """Return what a name may be that two branches give a value: a guess, one below the data folder before others."""
    if first == second:
        return first
    known = [text for text in (first, second) if text is not None]
    guess = next((text for text in known if "input" in text.text), known[0])
    return Text(guess.text, sure=False)


def _changed(text: Text | None, change: Callable[[str], str]) -> Text | None:
    return None if text is None else Text(change(text.text), text.sure)


def _parent(path: str) -> str:
    return posixpath.dirname(path.rstrip("/")) or "."


def _concatenated(pieces: Iterable[Text | None]) -> Text | None:
    return _combined(list(pieces), "".join)


def _joined(pieces: Iterable[Text | None]) -> Text | None:
    return _combined(list(pieces), lambda texts: posixpath.join(*texts))


def _combined(pieces: list[Text | None], combine: Callable[[list[str]], str]) -> Text | None:
    if not any(piece is not None and piece.text for piece in pieces):
        return None
    text = combine([UNKNOWN if piece is None else piece.text for piece in pieces])
    return Text(text, sure=all(piece is not None and piece.sure for piece in pieces))


_PATH_TYPE = re.compile(r"(?:pathlib\.)?(?:Pure)?(?:Posix)?Path")
_SAME_PATH = re.compile(r"str|(?:os\.)?fspath|os\.path\.(?:abspath|normpath|realpath|expanduser|expandvars)")
_PERCENT = re.compile(r"%(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[sdrifxgeEGc%]")
_USUAL_NAMES: Mapping[str, str] = {
    "Image": "PIL.Image",
    "np": "numpy",
    "pd": "pandas",
    "osp": "os.path",
    "plt": "matplotlib.pyplot",
}
