"""What code expects of the place it runs at: secrets, a GPU, the internet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kanoe.environments.names import Names, names_of
from kanoe.ir.code import CellCode

_INTERNET = re.compile(
    r"""requests\.(?:get|post|put|head|request|Session) | urllib\.request\.\w+ | urllib2\.urlopen | wget\.download | gdown\.download
      | pandas_datareader\..* | yfinance\..* | kaggle\.api\..* | wandb\.(?:init|login) | openai\..* | huggingface_hub\.\w+
      | google\.cloud\.(?:bigquery|storage)\.Client | bq_helper\.BigQueryHelper | boto3\.(?:client|resource)""",
    re.VERBOSE,
)
_INTERNET_PROGRAMS = re.compile(
    r"(?:^|[;&|\n]\s*)(?:sudo\s+)?(?P<program>wget|curl|git\s+clone|kaggle|gdown|apt(?:-get)?)\b"
)
_MODULES = (
    *("bq_helper", "boto3", "gdown", "google", "huggingface_hub", "kaggle", "openai", "pandas", "pandas_datareader"),
    *("requests", "urllib", "urllib2", "wandb", "wget", "yfinance"),
)
_ADDRESS = re.compile(r"https?://")
_GPU = re.compile(
    r"\.cuda\(\)|['\"]cuda(?::\d)?['\"]|device_type=['\"]gpu['\"]|tree_method\s*=\s*['\"]gpu_hist['\"]|\bcudf\b|\bcupy\b"
)
# Statements at the top of a cell that run whenever the cell does.
_PLAIN = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)
_GPU_TEST = re.compile(r"is_available\(\)|list_physical_devices")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that the code expects.

    Args:
        kind: `secret`, `gpu` or `internet`.
        what: the secret's name, or how the code asks.
        cell: the code cell's position, counted from 0.
        line: counted from 1.
        certain: nothing that may raise or be left out stands around it: no `try`, `if`, loop or function.
    """

    kind: Literal["secret", "gpu", "internet"]
    what: str
    cell: int
    line: int
    certain: bool = True


def find_expectations(cells: Sequence[CellCode]) -> tuple[Expectation, ...]:
    """Return what cells expect of their surroundings, each once, in order; never raises."""
    names = names_of(cells, _MODULES)
    found: dict[tuple[str, str], Expectation] = {}
    texts = _constants(cells)
    tested = any(_GPU_TEST.search(code.python) for code in cells)
    for position, code in enumerate(cells):
        expectations = [*_secrets(code, position, texts), *_calls(code, position, names), *_commands(code, position)]
        gpu = _GPU.search(code.python)
        if gpu is not None and not tested:
            line = code.python.count("\n", 0, gpu.start()) + 1
            expectations.append(Expectation("gpu", gpu.group().strip("'\""), position, line))
        for expectation in expectations:
            found.setdefault((expectation.kind, expectation.what), expectation)
    return tuple(found.values())


def _constants(cells: Sequence[CellCode]) -> dict[str, tuple[str, ...]] | None:
    """Return what texts names stand for: the one that is assigned, those that a loop goes through; `None` where nobody asks Kaggle."""
    if not any("kaggle_secrets" in code.python for code in cells):
        return None
    found: dict[str, set[tuple[str, ...]]] = {}
    for code in cells:
        for node in ast.walk(code.tree) if code.tree is not None else ():
            target: ast.expr | None = None
            values: Sequence[ast.expr] = ()
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target, values = node.targets[0], (node.value,)
            elif isinstance(node, ast.For | ast.comprehension):
                target = node.target
                values = node.iter.elts if isinstance(node.iter, ast.List | ast.Tuple | ast.Set) else ()
            if isinstance(target, ast.Name):
                found.setdefault(target.id, set()).add(tuple(filter(None, map(_text, values))))
    return {name: texts for name, kinds in found.items() if len(kinds) == 1 for texts in kinds}


def _text(node: ast.expr) -> str:
    """Return the text that a literal is, or an empty one."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _secrets(code: CellCode, cell: int, texts: Mapping[str, tuple[str, ...]] | None) -> Iterator[Expectation]:
    """Yield what is asked of `UserSecretsClient`; `texts` is what names stand for."""
    if texts is None or code.tree is None or ".get_secret" not in code.python:
        return
    sure = {node for statement in code.tree.body if isinstance(statement, _PLAIN) for node in ast.walk(statement)}
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_secret":
            given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "label")]
            asked = given[0] if given else None
            labels = texts.get(asked.id, ()) if isinstance(asked, ast.Name) else (_text(asked),) if asked else ()
            for label in filter(None, labels):
                yield Expectation("secret", label, cell, node.lineno, node in sure)


def _calls(code: CellCode, cell: int, names: Names) -> Iterator[Expectation]:
    for node in ast.walk(code.tree) if code.tree is not None else ():
        if not isinstance(node, ast.Call):
            continue
        text = _text(node.args[0]) if node.args else ""
        name = names.full_name(node.func)
        if name and _INTERNET.fullmatch(name):
            yield Expectation("internet", name, cell, node.lineno)
        elif re.search(r"\bread_\w+$", name) and _ADDRESS.match(text):
            yield Expectation("internet", f"{name}('{text[:60]}')", cell, node.lineno)


def _commands(code: CellCode, cell: int) -> Iterator[Expectation]:
    for command in code.shell:
        found = _INTERNET_PROGRAMS.search(command.command)
        if found is not None:
            yield Expectation("internet", f"!{found['program']}", cell, command.line)
