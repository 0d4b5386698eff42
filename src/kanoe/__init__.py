"""Kanoe: any Kaggle notebook, anywhere, unmodified.

The verbs of the command line are functions here, with the same options:

    import kanoe

    report = kanoe.run("titanic.ipynb", parameters={"SEED": 7})
    print(report.state, report.directory)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kanoe.base.diagnostics import Diagnostic
    from kanoe.base.errors import InputError, KanoeError, UnavailableError
    from kanoe.base.stop import Stop
    from kanoe.engine.report import Report
    from kanoe.verbs.cancel import cancel_run as cancel
    from kanoe.verbs.doctor import DoctorOptions
    from kanoe.verbs.doctor import check_source as doctor
    from kanoe.verbs.env_diff import diff_environments as env_diff
    from kanoe.verbs.environment import EnvironmentOptions
    from kanoe.verbs.environment import show_environment as env_show
    from kanoe.verbs.environment import write_lock as env_lock
    from kanoe.verbs.explain import explain_cell as explain
    from kanoe.verbs.plan import plan_source as plan
    from kanoe.verbs.python import PythonOptions
    from kanoe.verbs.python import run_python as python
    from kanoe.verbs.run import RunOptions, run
    from kanoe.verbs.runs import fetch_run as fetch
    from kanoe.verbs.runs import list_runs as runs
    from kanoe.verbs.runs import read_logs as logs
    from kanoe.verbs.runs import show_run as show
    from kanoe.verbs.store import clean_store as store_clean
    from kanoe.verbs.store import measure_store as store_size

__version__ = "0.1.0"
__all__ = [
    "Diagnostic",
    "DoctorOptions",
    "EnvironmentOptions",
    "InputError",
    "KanoeError",
    "PythonOptions",
    "Report",
    "RunOptions",
    "Stop",
    "UnavailableError",
    "__version__",
    "cancel",
    "doctor",
    "env_diff",
    "env_lock",
    "env_show",
    "explain",
    "fetch",
    "logs",
    "plan",
    "python",
    "run",
    "runs",
    "show",
    "store_clean",
    "store_size",
]

# Imported when first asked for: `import kanoe` and the command line's start stay cheap.
_HOMES = {
    "Diagnostic": "kanoe.base.diagnostics:Diagnostic",
    "DoctorOptions": "kanoe.verbs.doctor:DoctorOptions",
    "EnvironmentOptions": "kanoe.verbs.environment:EnvironmentOptions",
    "InputError": "kanoe.base.errors:InputError",
    "KanoeError": "kanoe.base.errors:KanoeError",
    "PythonOptions": "kanoe.verbs.python:PythonOptions",
    "Report": "kanoe.engine.report:Report",
    "RunOptions": "kanoe.verbs.run:RunOptions",
    "Stop": "kanoe.base.stop:Stop",
    "UnavailableError": "kanoe.base.errors:UnavailableError",
    "cancel": "kanoe.verbs.cancel:cancel_run",
    "doctor": "kanoe.verbs.doctor:check_source",
    "env_diff": "kanoe.verbs.env_diff:diff_environments",
    "env_lock": "kanoe.verbs.environment:write_lock",
    "env_show": "kanoe.verbs.environment:show_environment",
    "explain": "kanoe.verbs.explain:explain_cell",
    "fetch": "kanoe.verbs.runs:fetch_run",
    "logs": "kanoe.verbs.runs:read_logs",
    "plan": "kanoe.verbs.plan:plan_source",
    "python": "kanoe.verbs.python:run_python",
    "run": "kanoe.verbs.run:run",
    "runs": "kanoe.verbs.runs:list_runs",
    "show": "kanoe.verbs.runs:show_run",
    "store_clean": "kanoe.verbs.store:clean_store",
    "store_size": "kanoe.verbs.store:measure_store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
