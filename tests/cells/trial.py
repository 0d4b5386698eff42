"""Runs notebooks cell by cell and as a whole, in one environment, and says where the answers differ."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import kanoe
from kanoe.engine.events import TaskState
from pairs import Pair, PairCell, notebook_of

LIBRARIES = ("numpy", "pandas", "scikit-learn", "matplotlib", "tqdm", "joblib")
_PATIENCE = 120.0  # seconds after which a run is ended
CELLS_MODE = "cells" in {entry.name for entry in fields(kanoe.RunOptions)}


@dataclass(frozen=True)
class Answer:
    """What a run left: the outputs of its code cells, its files, and which cells ran.

    Args:
        outputs: per code cell its execution count and its outputs, normalised.
        files: the content of every file below `working`, by name, as a hash.
        states: how each code cell ended.
        reasons: why.
        texts: what each code cell shows, for people.
        failed: the errors among the run's diagnostics.
    """

    outputs: tuple[Any, ...]
    files: Mapping[str, str]
    states: tuple[str, ...] = ()
    reasons: tuple[str | None, ...] = ()
    texts: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    directory: str = ""

    @property
    def ran(self) -> frozenset[int]:
        """The code cells that were executed."""
        return frozenset(n for n, state in enumerate(self.states) if state not in (TaskState.CACHED, TaskState.SKIPPED))

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Rebuild an answer that was kept."""
        record = json.loads(text)
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in record.items()})


@dataclass
class World:
    """One environment, whose store may be shared by many notebooks.

    Args:
        folder: a folder of its own, for notebooks and kept answers.
        lock: the environment.
        references: where answers of plain runs are kept from one call to the next.
        options: more options of every run.
    """

    folder: Path
    lock: Path
    references: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, libraries: tuple[str, ...] = LIBRARIES, **options: Any) -> World:
        """Build the environment by running a notebook that prints."""
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "environment.py"
        source.write_text("print('ready')\n")
        report = kanoe.run(source, html=False, with_packages=libraries)
        assert report.succeeded, report.diagnostics
        lock = folder / "environment.lock"
        shutil.copy(Path(str(report.directory)) / "kanoe.lock", lock)
        references = folder / "references"
        references.mkdir(exist_ok=True)
        return cls(folder, lock, references, options)

    def run(self, source: Path, **options: Any) -> Answer:
        """Run a notebook with `kanoe.run` and read what it left."""
        stop = kanoe.Stop()
        guard = threading.Timer(_PATIENCE, lambda: (stop.request(), stop.request()))
        guard.start()
        try:
            report = kanoe.run(
                source, html=False, lock=self.lock, jobs=8, stop=stop, **{"cells": True, **self.options, **options}
            )
        finally:
            guard.cancel()
        return read_answer(report)

    def plain(self, source: Path) -> Answer:
        """What a fresh run from the top gives, remembered by content."""
        key = hashlib.sha256(source.read_bytes() + self.lock.read_bytes()).hexdigest()[:32]
        kept = self.references / f"{key}.json"
        if kept.exists():
            return Answer.from_json(kept.read_text())
        answer = self.run(source, **({"cells": False} if CELLS_MODE else {}))
        beside = kept.with_suffix(f".{source.parent.name}")
        beside.write_text(json.dumps(answer.__dict__))
        beside.replace(kept)
        return answer

    def write(self, name: str, cells: list[PairCell]) -> Path:
        """Write a notebook into a folder of its own."""
        path = self.folder / "notebooks" / name / "notebook.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook_of(cells)))
        return path


def read_answer(report: kanoe.Report) -> Answer:
    """Return what a run left."""
    directory = Path(str(report.directory))
    document = json.loads((directory / "notebook.ipynb").read_text())
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    states, reasons = ["?"] * len(code), [None] * len(code)
    for task in report.tasks:
        states[task.cells[0]], reasons[task.cells[0]] = str(task.state), task.reason
    return Answer(
        tuple(json.loads(json.dumps(normalise(cell))) for cell in code),
        files_of(directory / "working"),
        tuple(states),
        tuple(reasons),
        tuple(text_of(cell) for cell in code),
        tuple(f"{entry.code}: {entry.message}" for entry in report.errors),
        str(directory),
    )


def files_of(folder: Path) -> dict[str, str]:
    """Return every file, link and folder below a folder, with a hash of what it holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in name or ".ipynb_checkpoints" in name:
            continue
        if path.is_symlink():
            found[name] = f"link {path.readlink()}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = f"{path.stat().st_mode & 0o777:o} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    return found


def text_of(cell: Mapping[str, Any]) -> str:
    """Return what a cell shows, for people."""
    parts = []
    for output in cell["outputs"]:
        plain = output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue") or ""
        parts.append("".join(plain))
    return "".join(parts)


def normalise(cell: Mapping[str, Any]) -> list[Any]:
    """A code cell's count and outputs, without addresses, process numbers, times and folders; text of one stream joined."""
    merged: list[dict[str, Any]] = []
    for found in cell["outputs"]:
        output = {key: _joined(found[key]) for key in sorted(found)}
        if output["output_type"] == "stream" and merged and merged[-1].get("name") == output["name"]:
            merged[-1]["text"] += output["text"]
        else:
            merged.append(output)
    return [cell["execution_count"], [_clean(output) for output in merged]]


def _joined(value: Any) -> Any:
    """nbformat writes a text as a list of lines."""
    if isinstance(value, list) and value and all(isinstance(line, str) for line in value):
        return "".join(value)
    if isinstance(value, dict):
        return {key: _joined(entry) for key, entry in value.items()}
    return value


_CHANGING = (
    (r"0x[0-9a-f]{6,}", "0xADDRESS"),
    (r"[^\s'\"]*/ipykernel_\d+/\d+\.py", "CELL"),
    (r"[\d.e+]+ (ns|[µμ]s|ms|s)\b", "TIME"),
    (r"/kaggle/working|/[^\s'\"]*/runs/[^\s'\"/]+/working", "FOLDER"),
)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, str):
        for pattern, name in _CHANGING:
            value = re.sub(pattern, name, value)
    return value


def differences(got: Answer, expected: Answer) -> Iterator[str]:
    """Yield in what an answer differs from the right one."""
    if len(got.outputs) != len(expected.outputs):
        yield f"{len(got.outputs)} cells instead of {len(expected.outputs)}"
    for position, (ours, right) in enumerate(zip(got.outputs, expected.outputs, strict=False)):
        if ours != right:
            texts = f"{got.texts[position]!r} instead of {expected.texts[position]!r}"
            yield f"cell {position}: {texts if got.texts[position] != expected.texts[position] else f'{ours} instead of {right}'}"
    for name in sorted({*got.files, *expected.files}):
        if got.files.get(name) != expected.files.get(name):
            yield f"file {name}: {got.files.get(name)} instead of {expected.files.get(name)}"
    if bool(got.failed) != bool(expected.failed):
        yield f"diagnostics {got.failed} instead of {expected.failed}"


PROBE = """\
def _kanoe_probe():
    import re, types
    for name in sorted(globals()):
        value = globals()[name]
        if name.startswith("_") or name in ("In", "Out", "get_ipython", "exit", "quit", "open"):
            continue
        if isinstance(value, types.ModuleType):
            print(name, "module", value.__name__)
            continue
        try:
            text = repr(value)
        except Exception as problem:
            text = "no repr: " + type(problem).__name__
        print(name, type(value).__name__, re.sub("0x[0-9a-f]+|>$", "", text)[:500])
_kanoe_probe()
"""


@dataclass(frozen=True)
class Result:
    """What came of a pair.

    Args:
        pair: which.
        wrong: in what the answers differ from a plain run's: of the notebook, of its edit, of its final values.
        ran: the cells that ran after the edit.
    """

    pair: Pair
    wrong: tuple[str, ...]
    ran: frozenset[int]

    @property
    def missing(self) -> frozenset[int]:
        """Cells that should have run again."""
        return self.pair.needed - self.ran

    @property
    def superfluous(self) -> frozenset[int]:
        """Cells that ran without need."""
        return self.ran - self.pair.allowed


def try_pair(world: World, pair: Pair, *, values: bool = False) -> Result:
    """Run a pair's notebook, then its edit, with one store; compare with plain runs.

    Args:
        world: where.
        pair: which.
        values: whether to look at all final values as well: a cell that shows every variable is added at the end.
    """
    name = pair.id.replace("/", "-")
    before = world.write(name, pair.before)
    wrong = [f"before: {text}" for text in differences(world.run(before), world.plain(before))]
    after = world.write(name, pair.after)
    answer = world.run(after)
    wrong += differences(answer, world.plain(after))
    if values:
        probed = world.write(name, [*pair.after, PairCell("+", PROBE, id="probe")])
        wrong += [f"values: {text}" for text in differences(world.run(probed), world.plain(probed))]
    return Result(pair, tuple(wrong), answer.ran)


def check_pair(world: World, pair: Pair) -> list[str]:
    """Say what is wrong with a pair itself: plain runs of both sides must fail nowhere and differ only where it is marked."""
    name = f"check-{pair.id.replace('/', '-')}"
    before = world.plain(world.write(name, pair.before))
    after = world.plain(world.write(name, pair.after))
    faults = [f"before fails: {text}" for text in before.failed] + [f"after fails: {text}" for text in after.failed]
    old = {cell.id: n for n, cell in enumerate(cell for cell in pair.before if cell.kind == "code")}
    changed = set()
    for n, cell in enumerate(cell for cell in pair.after if cell.kind == "code"):
        if cell.mark in ("", "!", "~") and cell.id in old and before.outputs[old[cell.id]][1] != after.outputs[n][1]:
            changed.add(n)
    # A later cell may change what an earlier one shows, without running it.
    surprising = set() if "update" in " ".join(cell.source for cell in pair.cells) else changed - pair.allowed
    faults += [f"cell {n} differs and is not marked: {after.texts[n]!r}" for n in sorted(surprising)]
    forced = all("cache:disabled" in cell.tags for cell in pair.after if cell.mark == "!")
    if pair.marked("!") and not forced and not changed and before.files == after.files:
        faults.append("no trap: no unchanged cell shows anything else after the edit")
    return faults
