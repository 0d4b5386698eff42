"""Data that libraries read besides their code: found in the cells before they run, and brought where that can be done.

NLTK's corpora come at the state of the notebook's day (`nltk_data.py`). Models of spaCy are distributions (`sources.py`).
What a library fetches itself while it runs is only named.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from kanoe.base.diagnostics import Diagnostic, cell_place, info, warning
from kanoe.base.stop import Stop
from kanoe.environments.lock import Lock
from kanoe.environments.names import Names, names_of
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.nltk_data import NLTK_DATA, NltkPackages
from kanoe.environments.sources import find_source
from kanoe.environments.tables import read_pairs
from kanoe.environments.uv import Progress, quiet
from kanoe.ir.code import CellCode

_TABULAR_SINCE = (3, 8, 2)  # NLTK reads no pickles since then
_TABULAR = {
    "averaged_perceptron_tagger": "averaged_perceptron_tagger_eng",
    "maxent_ne_chunker": "maxent_ne_chunker_tab",
    "punkt": "punkt_tab",
}
_OPEN_WORDNET = ((3, 6, 6), (3, 8))  # NLTK's WordNet does not open without `omw-1.4`
_NO_PACKAGE = frozenset({"reader", "util", "ptb", "demo"})
_COLLECTIONS = frozenset({"all", "all-corpora", "all-nltk", "book", "popular", "third-party", "tests"})
_DOWNLOAD_LINE = re.compile(r"nltk\.download\(\s*['\"]([\w.-]+)['\"]")


@dataclass(frozen=True, slots=True)
class SideDatum:
    """One piece of data that the code needs.

    Args:
        kind: `nltk` (a package of its data), `spacy` (a model) or `fetched` (the library gets it itself while it runs).
        name: the package, the model, or for `fetched` what it is.
        use: how the code names it: `nltk.corpus.stopwords`.
        cell: the code cell's position, counted from 0.
        line: counted from 1.
        certain: whether the code surely reads it: it is used, not just imported or downloaded, and its failure is not caught.
    """

    kind: Literal["nltk", "spacy", "fetched"]
    name: str
    use: str
    cell: int
    line: int
    certain: bool


@dataclass(frozen=True, slots=True)
class Brought:
    """What a run gets.

    Args:
        folders: host folders that the notebook sees at their own path, read-only.
        programs: those among them that hold programs, for `PATH`.
        variables: environment variables that lead there.
        diagnostics: what was brought, and what is missing.
    """

    folders: tuple[Path, ...] = ()
    programs: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()


def find_side_data(cells: Sequence[CellCode]) -> tuple[SideDatum, ...]:
    """Return the side data that cells need, each once, in the order of their first sure use; never raises."""
    names = names_of(cells, _tops())
    uses = names.pattern_of(_tops())
    found: dict[tuple[str, str], SideDatum] = {}
    for position, code in enumerate(cells):
        broken = code.tree is None and "nltk" in code.python
        if not (uses.search(code.python) or names.holds("textblob") or broken):
            continue
        for datum in _read_cell(code, position, names):
            key = (datum.kind, datum.name)
            if key not in found or (datum.certain and not found[key].certain):
                found[key] = datum
    return tuple(found.values())


def with_models(needs: Needs, data: Iterable[SideDatum]) -> Needs:
    """Return the needs with the spaCy models that the code loads by name; the run is tried without them too."""
    models = []
    known = {need.name for need in needs.requirements}
    for datum in data:
        source = find_source(datum.name) if datum.kind == "spacy" else None
        if source is not None and source.kind == "wheel" and source.distribution not in known:
            why = f"used by cell {datum.cell} (`spacy.load`)"
            models.append(
                Requirement(source.distribution, url=source.url, why=(why,), modules=(datum.name,), optional=True)
            )
    together = (*needs.requirements, *models)
    return replace(needs, requirements=tuple(sorted(together, key=lambda need: (need.name, need.marker))))


def bring_side_data(
    data: Sequence[SideDatum],
    lock: Lock,
    store: Path,
    *,
    file_name: str,
    internet: bool = False,
    upstream: str = NLTK_DATA,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Brought:
    """Bring what can be had, and say what cannot.

    Args:
        data: from `find_side_data`.
        lock: what the environment holds: the age of the libraries is that of the data.
        store: the folder of brought data.
        file_name: the notebook's name, for messages.
        internet: whether the run has a network: then libraries fetch themselves what is missing.
        upstream: where NLTK's data is.
        progress: called with what is being done.
        stop: ends it.

    Raises:
        CancelledError: `stop` was requested.
    """
    nltk = lock.find("nltk")
    wanted = _nltk_packages(data, nltk.version) if nltk else {}
    bringer = NltkPackages(lock.as_of, store, upstream, progress, stop)
    folders = {name: bringer.bring(name) for name in wanted}
    remarks = list(bringer.remarks)
    for name, datum in wanted.items():
        if folders[name] is None and not internet and datum is not None:
            remarks.append(_missing_nltk(name, datum, file_name, bringer.reason))
    remarks += [remark for datum in data if (remark := _remark(datum, lock, file_name, internet=internet)) is not None]
    there = tuple(dict.fromkeys(folder for folder in folders.values() if folder is not None))
    variables = {"NLTK_DATA": os.pathsep.join(map(str, there))} if there else {}
    return Brought(there, (), variables, tuple(remarks))


# Reading the cells


@functools.cache
def _tops() -> frozenset[str]:
    return frozenset(re.split(r"[. ]", key)[0] for key in read_pairs("side_data"))


def _read_cell(code: CellCode, position: int, names: Names) -> Iterator[SideDatum]:
    if code.tree is None:
        for match in _DOWNLOAD_LINE.finditer(code.python):
            line = code.python.count("\n", 0, match.start()) + 1
            yield SideDatum("nltk", match[1], f"nltk.download('{match[1]}')", position, line, False)
        return
    with contextlib.suppress(RecursionError):
        reader = _Reader(position, names)
        reader.visit(code.tree)
        yield from reader.found
    for key, value in read_pairs("side_data").items():
        module, _, text = key.partition(" ")
        if text and text in code.python and names.holds(module):
            line = code.python.count("\n", 0, code.python.index(text)) + 1
            yield from _data_of(value, f"{module} {text.strip('.(')}", position, line, certain=True)


class _Reader(ast.NodeVisitor):
    """Finds the names that need data in one cell."""

    def __init__(self, cell: int, names: Names) -> None:
        self.found: list[SideDatum] = []
        self._cell = cell
        self._names = names
        self._caught = 0

    def visit_Try(self, node: ast.Try) -> None:
        self._caught += bool(node.handlers)
        for statement in node.body:
            self.visit(statement)
        self._caught -= bool(node.handlers)
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module == "nltk.corpus":
            for alias in node.names:
                self._keep_corpus(alias.name, node.lineno, certain=False)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._names.full_name(node.func)
        first = _texts(node.args[:1])
        if name in ("nltk.download", "nltk.downloader.download"):
            for package in first:
                self._keep_download(package, node.lineno)
        elif name in ("nltk.data.load", "nltk.data.find"):
            for path in first:
                self._keep_path(path, name, node.lineno)
        elif name == "spacy.load":
            for model in first:
                if "/" not in model:
                    self._keep("spacy", model, f"spacy.load('{model}')", node.lineno)
        elif name:
            self._keep_call(name, node)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._names.full_name(node)
        if not name or not self._keep_name(name, node.lineno):
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            full = self._names.full_name(node)
            for name in [full] if full else [f"{module}.{node.id}" for module in self._names.whole]:
                self._keep_name(name, node.lineno)

    def _keep_download(self, package: str, line: int) -> None:
        if package not in _COLLECTIONS:
            self._keep("nltk", package, f"nltk.download('{package}')", line, certain=False)

    def _keep_path(self, path: str, name: str, line: int) -> None:
        parts = path.removeprefix("nltk:").split("/")
        if len(parts) > 1:
            self._keep("nltk", parts[1].removesuffix(".zip"), f"{name}('{path}')", line)

    def _keep_call(self, name: str, node: ast.Call) -> None:
        value = _row(name)
        if value.startswith("fetched") and _fetches(name, node):
            self._keep("fetched", value.removeprefix("fetched "), name, node.lineno)

    def _keep_name(self, name: str, line: int) -> bool:
        parts = name.split(".")
        if parts[:2] == ["nltk", "corpus"] and len(parts) > 2:
            self._keep_corpus(parts[2], line)
            return True
        for count in range(2, len(parts) + 1):
            prefix = ".".join(parts[:count])
            value = read_pairs("side_data").get(prefix, "")
            if value.startswith("nltk "):
                self.found += _data_of(value, prefix, self._cell, line, certain=not self._caught)
                return True
        return False

    def _keep_corpus(self, name: str, line: int, *, certain: bool = True) -> None:
        if name not in _NO_PACKAGE and name.islower():
            self._keep("nltk", name, f"nltk.corpus.{name}", line, certain=certain)

    def _keep(
        self, kind: Literal["nltk", "spacy", "fetched"], name: str, use: str, line: int, *, certain: bool = True
    ) -> None:
        self.found.append(SideDatum(kind, name, use, self._cell, line, certain and not self._caught))


def _data_of(value: str, use: str, cell: int, line: int, *, certain: bool) -> list[SideDatum]:
    kind, *names = value.split(" ")
    return [SideDatum("nltk", name, use, cell, line, certain) for name in names] if kind == "nltk" else []


def _row(name: str) -> str:
    rows = read_pairs("side_data")
    if name in rows:
        return rows[name]
    return next((rows[key] for key in _wildcards() if fnmatch.fnmatchcase(name, key)), "")


@functools.cache
def _wildcards() -> tuple[str, ...]:
    return tuple(key for key in read_pairs("side_data") if "*" in key)


def _texts(arguments: Iterable[ast.expr]) -> list[str]:
    found = []
    for argument in arguments:
        elements = argument.elts if isinstance(argument, ast.List | ast.Tuple | ast.Set) else [argument]
        found += [one.value for one in elements if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return found


def _fetches(name: str, node: ast.Call) -> bool:
    """Return whether a call fetches, as far as its arguments say: `pretrained=True`, no path of a file."""
    given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    values = {key: value.value for key, value in given.items() if isinstance(value, ast.Constant)}
    if name.startswith(("torchvision.models.", "timm.")):
        return values.get("pretrained") is True or ("weights" in given and values.get("weights", True) is not None)
    if name.startswith("torchvision.datasets."):
        return values.get("download") is True
    if ".applications." in name:
        return name.rpartition(".")[2][:1].isupper() and (
            "weights" not in given or str(values.get("weights", "")) in {"imagenet", "noisy-student"}
        )
    if name.startswith(("transformers.", "sentence_transformers.", "datasets.")):
        model = [*_texts(node.args[:1]), *_texts(value for key, value in given.items() if key == "model")]
        if name == "transformers.pipeline":
            return not any(text.startswith(("/", ".")) for text in _texts([*node.args, *given.values()]))
        return any(not text.startswith(("/", "./", "..")) for text in model)
    return True


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _nltk_packages(data: Iterable[SideDatum], version: str) -> dict[str, SideDatum | None]:
    """Return the packages that this NLTK reads for what the code names; `None`: only part of another."""
    numbers = _version(version)
    wanted: dict[str, SideDatum | None] = {}
    for datum in data:
        if datum.kind == "nltk":
            name = _TABULAR.get(datum.name, datum.name) if numbers >= _TABULAR_SINCE else datum.name
            wanted[name] = datum
    if "wordnet" in wanted and _OPEN_WORDNET[0] <= numbers < _OPEN_WORDNET[1]:
        wanted.setdefault("omw-1.4", replace(wanted["wordnet"]) if wanted["wordnet"] else None)
    return wanted


# What is said


def _missing_nltk(name: str, datum: SideDatum, file_name: str, reason: str) -> Diagnostic:
    make = warning if datum.certain else info
    return make(
        "side-data-missing",
        f"`{datum.use}` reads NLTK's `{name}`, which could not be brought{f': {reason}' if reason else ''}",
        place=cell_place(file_name, datum.cell, datum.line),
        hint=f"`python -m nltk.downloader {name}` where there is a network: Kanoe takes it from `~/nltk_data`; or run with `--internet`",
    )


def _remark(datum: SideDatum, lock: Lock, file_name: str, *, internet: bool) -> Diagnostic | None:
    """Return what is to be said of a spaCy model, or of what a library fetches itself."""
    make = warning if datum.certain else info
    place = cell_place(file_name, datum.cell, datum.line)
    if datum.kind == "fetched" and not internet:
        message = f"`{datum.use}` fetches {datum.name} while it runs, and the run has no network"
        hint = "Run with `--internet`, or attach the files as data and name their path"
        return make("side-data-missing", message, place=place, hint=hint)
    if datum.kind == "spacy" and lock.find(datum.name.replace("_", "-").lower()) is None:
        spacy = lock.find("spacy")
        if spacy is None:
            return None
        model = f"{datum.name}_core_web_sm" if len(datum.name) == 2 else datum.name
        message = f"`{datum.use}` reads a model that the environment lacks"
        link = f"https://github.com/explosion/spacy-models/releases/download/{model}-VERSION/{model}-VERSION.tar.gz"
        hint = f"Give it with an address that can be reached: `--with '{model.replace('_', '-')} @ {link}'`"
        return make("side-data-missing", message, place=place, hint=hint)
    return None
