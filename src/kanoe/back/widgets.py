"""Widgets as a front end sees them: their state, and the `Output` widget that takes over a cell's output.

Source: https://github.com/jupyter-widgets/ipywidgets, `packages/schema/messages.md`; the `Output` widget's protocol is that of
JupyterLab's message hooks: while its state names a request, the outputs of that request belong to the widget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

OUTPUT_KINDS = ("stream", "display_data", "execute_result", "error")


def output_of(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nbformat 4 output that an output message stands for."""
    if kind == "stream":
        return {"output_type": kind, "name": content["name"], "text": content["text"]}
    if kind == "error":
        return {"output_type": kind, **{name: content[name] for name in ("ename", "evalue", "traceback")}}
    output: dict[str, Any] = {
        "output_type": kind,
        "data": dict(content["data"]),
        "metadata": dict(content.get("metadata") or {}),
    }
    if kind == "execute_result":
        output["execution_count"] = content.get("execution_count")
    return output


class OutputWidgets:
    """Follows `Output` widgets and redirects output to them.

    Args:
        send: sends a `comm_msg` content to the kernel, so that the widget's own side learns its outputs.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._outputs: dict[str, list[dict[str, Any]]] = {}
        self._waiting: set[str] = set()
        self._hooks: dict[str, list[str]] = {}

    def follow(self, kind: str, content: Mapping[str, Any]) -> None:
        """Learn from a comm message which widgets there are and which requests they take over."""
        comm = content.get("comm_id", "")
        state = (content.get("data") or {}).get("state") or {}
        if kind == "comm_open" and state.get("_model_name") == "OutputModel":
            self._outputs[comm] = list(state.get("outputs") or ())
        if comm not in self._outputs or "msg_id" not in state:
            return
        for hooks in self._hooks.values():
            if comm in hooks:
                hooks.remove(comm)
        if state["msg_id"]:
            self._hooks.setdefault(state["msg_id"], []).append(comm)

    def redirect(self, parent: str, kind: str, content: Mapping[str, Any]) -> dict[str, Any] | None:
        """Take an output of request `parent` if a widget has taken that over.

        Returns:
            the `comm_msg` content that stands for it from now on, or `None` where the output is the cell's own.
        """
        hooks = self._hooks.get(parent)
        if not hooks or kind not in (*OUTPUT_KINDS, "clear_output"):
            return None
        comm = hooks[-1]
        outputs = self._outputs[comm]
        if kind == "clear_output" and content.get("wait"):
            self._waiting.add(comm)
        elif kind == "clear_output":
            outputs.clear()
        else:
            if comm in self._waiting:
                self._waiting.discard(comm)
                outputs.clear()
            _append(outputs, output_of(kind, content))
        update = {"method": "update", "state": {"outputs": [dict(output) for output in outputs]}, "buffer_paths": []}
        message = {"comm_id": comm, "data": update}
        self._send(message)
        return message


def _append(outputs: list[dict[str, Any]], output: dict[str, Any]) -> None:
    last = outputs[-1] if outputs else {}
    if output["output_type"] == "stream" and last.get("name") == output["name"]:
        last["text"] += output["text"]
    else:
        outputs.append(output)


class WidgetStates:
    """The state of every widget, as it is kept in a notebook's metadata."""

    def __init__(self) -> None:
        self._states: dict[str, dict[str, Any]] = {}
        self._buffers: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}

    def follow(self, content: Mapping[str, Any]) -> bool:
        """Take in a comm message; returns whether it changed a state."""
        data = content.get("data") or {}
        comm = content.get("comm_id", "")
        if not isinstance(data, Mapping) or not isinstance(data.get("state"), Mapping):
            return False
        self._states.setdefault(comm, {}).update(data["state"])
        for path, buffer in zip(data.get("buffer_paths") or (), content.get("buffers") or (), strict=False):
            entry = {"data": buffer, "encoding": "base64", "path": path}
            self._buffers.setdefault(comm, {})[tuple(path)] = entry
        return True

    def metadata(self) -> dict[str, Any] | None:
        """Return what stands under the notebook metadata's `widgets`, or `None` where there is no widget."""
        widgets = {}
        for comm, state in self._states.items():
            if "_model_name" not in state:
                continue
            entry = {
                "model_name": state.get("_model_name"),
                "model_module": state.get("_model_module"),
                "model_module_version": state.get("_model_module_version"),
                "state": state,
            }
            if self._buffers.get(comm):
                entry["buffers"] = list(self._buffers[comm].values())
            widgets[comm] = entry
        if not widgets:
            return None
        return {"application/vnd.jupyter.widget-state+json": {"state": widgets, "version_major": 2, "version_minor": 0}}
