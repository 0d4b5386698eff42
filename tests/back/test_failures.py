"""What a person reads below an error: what to do next."""

from __future__ import annotations

import pytest

from kanoe.back.failures import Circumstances, explain_failure
from kanoe.engine.events import TaskEnded, TaskState
from kanoe.engine.runner import Task

SANDBOX = Circumstances("x.ipynb", internet=False, sandboxed=True)


@pytest.mark.parametrize(
    ("ename", "evalue", "hint"),
    [
        (
            "OSError",
            "libgomp.so.1: cannot open shared object file: No such file or directory",
            "`apt install libgomp1`",
        ),
        (
            "ImportError",
            "libGL.so.1: cannot open shared object file: No such file or directory",
            "`apt install libgl1`",
        ),
        (
            "ImportError",
            "libtk8.6.so: cannot open shared object file: No such file or directory",
            "`apt install libtk8.6`",
        ),
        ("ImportError", "libodd-2.so.0: cannot open shared object file", "`libodd-2.so.0` is not on this machine"),
        ("ModuleNotFoundError", "No module named 'toyz'", "`--with toyz`"),
        ("ModuleNotFoundError", "No module named 'sklearn.gone'", "its version differs"),
        ("URLError", "<urlopen error [Errno -3] Temporary failure in name resolution>", "`--internet`"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: '../input/x.csv'", "`--input PATH:SLUG`"),
        ("StdinNotImplementedError", "raw_input was called", "`parameters`"),
        ("MemoryError", "", "too little memory"),
    ],
)
def test_the_hint_of_an_error(ename: str, evalue: str, hint: str) -> None:
    task = Task("t", "cell 3", 3, "code")
    problem = {"ename": ename, "evalue": evalue, "line": 2}
    ended = TaskEnded(
        task="t", state=TaskState.FAILED, seconds=1.0, reason=f"{ename}: {evalue}", details={"error": problem}
    )
    found = explain_failure(task, ended, SANDBOX)
    assert (found.code, found.place) == ("cell-failed", "x.ipynb cell 3 line 2")
    assert hint in (found.hint or "")
