"""What names in cells stand for, as far as their imports say."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from kanoe.ir.code import CellCode


@dataclass(frozen=True, slots=True)
class Names:
    """The imported names of a notebook.

    Args:
        full: what each stands for: `wn` is `nltk.corpus.wordnet`.
        whole: modules that are imported with a star.
    """

    full: dict[str, str]
    whole: tuple[str, ...]

    def full_name(self, node: ast.expr) -> str:
        """Return the dotted name that an expression is, with its imports resolved; empty for any other."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        first = self.full.get(node.id) if isinstance(node, ast.Name) else None
        return ".".join([first, *reversed(parts)]) if first else ""

    def holds(self, top: str) -> bool:
        """Return whether anything of a top-level module is imported."""
        return any(name.split(".")[0] == top for name in (*self.full.values(), *self.whole))

    def pattern_of(self, tops: Collection[str]) -> re.Pattern[str]:
        """Return what matches any text that uses a name of these top-level modules."""
        used = [name for name, full in self.full.items() if full.split(".")[0] in tops]
        return re.compile("" if self.whole else rf"\b(?:{'|'.join(map(re.escape, used))})\b" if used else r"(?!)")


def names_of(cells: Iterable[CellCode], tops: Iterable[str]) -> Names:
    """Return the imported names of all cells together that come from these top-level modules; a later import wins."""
    wanted = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, tops)))})\b")
    full: dict[str, str] = {}
    whole: list[str] = []
    for code in cells:
        if code.tree is None or "import" not in code.python or not wanted.search(code.python):
            continue
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.split(".")[0]
                    full[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if alias.name == "*":
                        whole.append(node.module)
                    else:
                        full[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return Names(full, tuple(whole))
