"""What a kernel's messages must look like before anything of Kanoe's believes them.

The kernel's process belongs to the notebook, which holds its key: any message may come, of any shape. What is not of the protocol's
(https://jupyter-client.readthedocs.io/en/stable/messaging.html) is left out, as a front end would not show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_DEEPEST = 100  # levels of nested values; front ends and nbformat give up far earlier than this


def well_formed(kind: str, content: Any) -> bool:
    """Return whether the content of a message of this kind can be shown and kept."""
    check = _CHECKS.get(kind)
    return isinstance(content, dict) and (check is None or check(content)) and not _too_deep(content)


def _stream(content: Mapping[str, Any]) -> bool:
    return content.get("name") in ("stdout", "stderr") and isinstance(content.get("text"), str)


def _display(content: Mapping[str, Any]) -> bool:
    transient = content.get("transient")
    if not (isinstance(content.get("data"), dict) and isinstance(content.get("metadata", {}), dict | None)):
        return False
    if not isinstance(transient, dict | None):
        return False
    display = (transient or {}).get("display_id")
    return (display is None or isinstance(display, str)) and _counted(content)


def _counted(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("execution_count"), int | None)


def _error(content: Mapping[str, Any]) -> bool:
    traceback = content.get("traceback")
    return (
        isinstance(content.get("ename"), str)
        and isinstance(content.get("evalue"), str)
        and isinstance(traceback, list)
        and all(isinstance(line, str) for line in traceback)
    )


def _reply(content: Mapping[str, Any]) -> bool:
    """What ends a cell: of an error it may say as much or as little as it likes."""
    texts = ("status", "ename", "evalue")
    traceback = content.get("traceback") or []
    return all(isinstance(content.get(name), str | None) for name in texts) and (
        isinstance(traceback, list) and all(isinstance(line, str) for line in traceback)
    )


def _status(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("execution_state"), str)


def _language(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("language_info", {}), dict)


def _comm(content: Mapping[str, Any]) -> bool:
    data = content.get("data")
    if not (isinstance(content.get("comm_id"), str) and isinstance(data, dict | None)):
        return False
    state = (data or {}).get("state")
    if not isinstance(state, dict | None):
        return False
    outputs, request = (state or {}).get("outputs"), (state or {}).get("msg_id")
    paths = (data or {}).get("buffer_paths")
    return (
        (outputs is None or (isinstance(outputs, list | tuple) and all(map(_is_output, outputs))))
        and isinstance(request, str | None)
        and (paths is None or (isinstance(paths, list) and all(map(_is_path, paths))))
    )


def _is_output(output: Any) -> bool:
    kind = output.get("output_type") if isinstance(output, dict) else None
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    return check is not None and check(output)


def _is_path(path: Any) -> bool:
    return isinstance(path, list) and all(isinstance(part, str | int) for part in path)


def _too_deep(value: Any) -> bool:
    """Return whether values are nested too deeply; looks at each level in turn, without recursion."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [one for one in inner if isinstance(one, dict | list)]


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "stream": _stream,
    "display_data": _display,
    "execute_result": _display,
    "update_display_data": _display,
    "error": _error,
    "execute_input": _counted,
    "execute_reply": _reply,
    "kernel_info_reply": _language,
    "status": _status,
    "comm_open": _comm,
    "comm_msg": _comm,
    "comm_close": _comm,
}
