"""The real `kanoe` command in a process of its own, and what it must always keep: its streams, its report, its folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

KANOE = (sys.executable, "-m", "kanoe")
PYTHON_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
REPORT = [
    "run",
    "state",
    "directory",
    "seconds",
    "tasks",
    "outputs",
    "artifacts",
    "diagnostics",
    "reproduction",
    "verification",
]
TASK = ["name", "state", "reason", "seconds", "start", "end", "attempts", "cells", "memory", "cpu", "disk", "saved"]
DIAGNOSTIC = ["code", "severity", "message", "place", "hint"]


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def directory(self) -> Path:
        """The run's folder: all that stdout may hold."""
        (line,) = self.out.splitlines()
        assert self.out == line + "\n"
        return Path(line)

    @property
    def report(self) -> dict[str, Any]:
        """The one JSON object of `--json`, whose form programs rely on."""
        report = json.loads(self.out)
        assert self.out.count("\n") == 1
        assert list(report) == REPORT
        assert report["state"] in ("SUCCEEDED", "FAILED", "CANCELLED")
        assert (report["state"] == "SUCCEEDED") == (self.code == 0)
        assert (report["state"] == "CANCELLED") == (self.code == 130)
        for task in report["tasks"]:
            assert list(task) == TASK
            assert task["state"] in ("SUCCEEDED", "FAILED", "SKIPPED", "CACHED", "CANCELLED")
        for diagnostic in report["diagnostics"]:
            assert list(diagnostic) == DIAGNOSTIC
        for artifact in report["artifacts"]:
            assert list(artifact) == ["name", "type", "uri", "metadata"]
        return dict(report)

    @property
    def states(self) -> list[str]:
        """The states of the cells."""
        return [task["state"] for task in self.report["tasks"]]

    def problem(self) -> dict[str, Any]:
        """The one error of a report."""
        (problem,) = [entry for entry in self.report["diagnostics"] if entry["severity"] == "error"]
        return dict(problem)


def variables(extra: Mapping[str, str | None] = {}) -> dict[str, str]:
    """The environment variables of a command: wide lines, no colours; `None` takes one away."""
    wanted = {**os.environ, "COLUMNS": "200", "TERM": "dumb", **extra}
    return {name: value for name, value in wanted.items() if value is not None}


def own_store(path: Path) -> dict[str, str]:
    """The variables for a store with no runs, which shares the environments of the tests' own."""
    path.mkdir()
    for room in ("environments", "locks"):
        shared = Path(os.environ["KANOE_HOME"]) / room
        shared.mkdir(parents=True, exist_ok=True)
        (path / room).symlink_to(shared)
    return {"KANOE_HOME": str(path)}


def kanoe(
    *arguments: object,
    cwd: Path = Path("/"),
    env: Mapping[str, str | None] = {},
    stdin: str | None = None,
    own_traceback: bool = False,
) -> Done:
    """Run `kanoe` to its end. A traceback of Kanoe's own fails the test."""
    done = subprocess.run(
        [*KANOE, *map(str, arguments)],
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        cwd=cwd,
        env=variables(env),
        timeout=240,
        check=False,
    )
    if not own_traceback:
        assert "Traceback (most recent call last)" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


class Started:
    """A `kanoe` that goes on; its stderr is read as it comes."""

    def __init__(self, *arguments: object, cwd: Path = Path("/"), env: Mapping[str, str | None] = {}) -> None:
        self.process = subprocess.Popen(
            [*KANOE, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=variables(env),
            start_new_session=True,
        )
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._said.append(line)

    def wait_for(self, text: str) -> None:
        """Wait until stderr holds `text`."""
        deadline = time.monotonic() + 60
        while not any(text in line for line in list(self._said)):
            assert time.monotonic() < deadline, "".join(self._said)
            assert self._reader.is_alive() or any(text in line for line in self._said), "".join(self._said)
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to the command itself."""
        self.process.send_signal(number)

    def finish(self) -> Done:
        """Wait for the end."""
        assert self.process.stdout is not None
        guard = threading.Timer(60, self.process.kill)
        guard.start()
        out = self.process.stdout.read()
        code = self.process.wait(timeout=60)
        guard.cancel()
        self._reader.join(timeout=60)
        self.process.stdout.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return Done(code, out, "".join(self._said))


@contextlib.contextmanager
def started(*arguments: object, cwd: Path = Path("/"), env: Mapping[str, str | None] = {}) -> Iterator[Started]:
    """Start `kanoe`; it is gone afterwards, whatever the test does."""
    command = Started(*arguments, cwd=cwd, env=env)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.wait()


class AtTerminal:
    """A `kanoe` at a terminal of its own: stdin, stderr and, if wanted, stdout are the terminal's."""

    def __init__(self, *arguments: object, cwd: Path = Path("/"), piped: bool = False) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*KANOE, *map(str, arguments)],
            stdin=theirs,
            stdout=subprocess.PIPE if piped else theirs,
            stderr=theirs,
            cwd=cwd,
            env=variables({"TERM": "xterm-256color"}),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            text=True,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(self._ours, 4096):
                self._shown.extend(data)

    @property
    def shown(self) -> str:
        """Everything that was shown."""
        return self._shown.decode(errors="replace")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.shown
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Type at the keyboard."""
        os.write(self._ours, text.encode())

    def finish(self) -> tuple[int, str]:
        """Wait for the end; the exit code and what went to the pipe."""
        out, _ = self.process.communicate(timeout=60)
        self._watcher.join(timeout=10)
        return self.process.returncode, out or ""

    def close(self) -> None:
        """End what is left."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._watcher.join(timeout=10)
        os.close(self._ours)


@contextlib.contextmanager
def at_terminal(*arguments: object, cwd: Path = Path("/"), piped: bool = False) -> Iterator[AtTerminal]:
    """Start `kanoe` at a terminal."""
    terminal = AtTerminal(*arguments, cwd=cwd, piped=piped)
    try:
        yield terminal
    finally:
        terminal.close()


@dataclass(frozen=True)
class Folder:
    """The folder of a run."""

    path: Path

    @property
    def notebook(self) -> Any:
        """The executed notebook, proven valid."""
        document = nbformat.read(self.path / "notebook.ipynb", as_version=nbformat.NO_CONVERT)
        nbformat.validate(document)
        return document

    @property
    def code(self) -> list[Any]:
        """The code cells of the executed notebook."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    def text(self, cell: int, name: str | None = None) -> str:
        """What a code cell printed, on both streams or one."""
        outputs = [output for output in self.code[cell].outputs if output.output_type == "stream"]
        return "".join(output.text for output in outputs if name in (None, output.name))

    @property
    def facts(self) -> dict[str, Any]:
        """`run.json`."""
        return dict(json.loads((self.path / "run.json").read_bytes()))

    @property
    def log(self) -> list[dict[str, Any]]:
        """`log.json`, proven to be in Kaggle's form."""
        return read_kaggle_log((self.path / "log.json").read_text())

    @property
    def events(self) -> list[dict[str, Any]]:
        """`events.jsonl`."""
        return [json.loads(line) for line in (self.path / "events.jsonl").read_text().splitlines()]


def read_kaggle_log(text: str) -> list[dict[str, Any]]:
    """The records of a log: one array, one object a line, `<`, `>` and `&` escaped, times that never go back."""
    records = json.loads(text)
    if records:
        first, *others, last, nothing = text.split("\n")
        assert first.startswith('[{"stream_name":"')
        assert all(line.startswith(',{"stream_name":"') for line in others)
        assert (last, nothing) == ("]", "")
        assert len(others) + 1 == len(records)
        for line, record in zip([first, *others], records, strict=True):
            assert json.loads(line[1:]) == record
    assert not set("<>&") & set(text)
    assert all(list(record) == ["stream_name", "time", "data"] for record in records)
    assert all(record["stream_name"] in ("stdout", "stderr") for record in records)
    times = [record["time"] for record in records]
    assert times == sorted(times)
    assert all(isinstance(moment, float) and moment >= 0 for moment in times)
    return list(records)


def code_cell(source: str, *tags: str, outputs: Sequence[Any] = ()) -> dict[str, Any]:
    """A code cell as files hold it."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": list(outputs),
        "source": source,
    }


def markdown_cell(source: str) -> dict[str, Any]:
    """A cell of text."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def write_notebook(path: Path, *cells: str | dict[str, Any], metadata: Mapping[str, Any] = PYTHON_KERNEL) -> Path:
    """Write a notebook of cells (a text is a code cell) and return its path."""
    made = [code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": made, "metadata": dict(metadata), "nbformat": 4, "nbformat_minor": 4}))
    return path
