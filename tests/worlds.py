"""Runs cells through a real kernel, with Kanoe's own parts and with nbclient."""

from __future__ import annotations

import atexit
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from kanoe.back.document import ExecutedDocument
from kanoe.back.sessions import SessionPlan, SessionRunner
from kanoe.back.worker_folder import worker_folder
from kanoe.base.files import remove_tree
from kanoe.base.stop import Stop
from kanoe.engine.cells import plan_cells
from kanoe.engine.events import Event, TaskMessage
from kanoe.engine.run import Limits, run_program
from kanoe.ir.notebook import Cell, Notebook
from kanoe.sandbox.confine import Tool, choose_tool, remove_plain_input
from kanoe.sandbox.layout import Folders, Layout, kaggle_variables

HERE = Path(sys.prefix)


def code_notebook(sources: Sequence[str]) -> Notebook:
    """A notebook of code cells."""
    return Notebook(
        tuple(Cell(id=f"c{position}", kind="code", source=source) for position, source in enumerate(sources))
    )


def session_plan(folder: Path, tool: Tool | None = None, python: Path | None = None, **layout: Any) -> SessionPlan:
    """How to start a kernel of the tests' own environment, with its folders below `folder`."""
    python = python or Path(sys.executable)
    worker = worker_folder(folder)
    for name in ("scratch", "run/working"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    runtime = Path(tempfile.mkdtemp(prefix="kn-"))
    atexit.register(remove_tree, runtime)
    tools = [worker, python.parent.parent]
    prefix = python.resolve().parent.parent
    if not prefix.is_relative_to("/usr"):
        tools.append(prefix)
    folders = Folders(folder / "run" / "working", folder / "scratch", runtime)
    variables = kaggle_variables([str(python.parent)], {})
    return SessionPlan(
        tool or choose_tool(),
        Layout(folders=folders, tools=tuple(tools), variables=variables, **layout),
        python,
        worker,
    )


def stop_at(text: str, stop: Stop, times: int = 1) -> Callable[[Event], None]:
    """Ask to stop when a cell prints this."""

    def watch(event: Event) -> None:
        if isinstance(event, TaskMessage) and text in str(event.content.get("text", "")):
            for _ in range(times):
                stop.request()

    return watch


@dataclass
class Executed:
    """What a run of cells left."""

    events: list[Event]
    document: Any

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """The outputs of a code cell, text joined."""
        return [dict(output) for output in self.document.cells[cell].outputs]

    def text(self, cell: int) -> str:
        """What a cell printed, both streams."""
        return "".join(output["text"] for output in self.outputs(cell) if output["output_type"] == "stream")


def execute(
    sources: Sequence[str],
    folder: Path,
    *,
    tool: Tool | None = None,
    limits: Limits = Limits(keep_going=True),
    stop: Stop | None = None,
    plan: SessionPlan | None = None,
    watch: Callable[[Event], None] = lambda event: None,
) -> Executed:
    """Run cells as `kanoe run` does; `watch` sees every event as it comes."""
    notebook = code_notebook(sources)
    plan = plan or session_plan(folder, tool)
    runner = SessionRunner(plan)
    stop = stop or Stop()
    guards = [threading.Timer(seconds, stop.request) for seconds in (90, 95)]
    for guard in guards:
        guard.start()
    document = ExecutedDocument(notebook, folder / "notebook.ipynb")
    events = []
    try:
        for event in run_program(plan_cells(notebook), runner, limits, stop, idle=document.write_if_due):
            events.append(event)
            document.take(event)
            watch(event)
    finally:
        for guard in guards:
            guard.cancel()
        runner.close()
        if plan.tool.kind == "none":
            remove_plain_input(plan.layout)
    document.write()
    written = nbformat.read(folder / "notebook.ipynb", as_version=4)
    nbformat.validate(written)
    return Executed(events, written)


def execute_by_nbclient(sources: Sequence[str], folder: Path) -> Any:
    """Run cells with nbclient on a plain ipykernel of the same environment."""
    folder.mkdir(parents=True, exist_ok=True)
    kernels = folder / "kernels" / "here"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "here",
                "language": "python",
                "env": {"PYTHONHASHSEED": "0"},
            }
        )
    )
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    manager = KernelManager(
        kernel_name="here", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder / "kernels")])
    )
    (folder / "working").mkdir()
    client = NotebookClient(
        document, km=manager, allow_errors=True, timeout=60, resources={"metadata": {"path": str(folder / "working")}}
    )
    client.execute()
    # nbclient leaves a manager that it was given: its process and its sockets.
    manager.shutdown_kernel(now=True)
    client.kc.stop_channels()
    client.kc.context.destroy(linger=0)
    manager.context.destroy(linger=0)
    return document
