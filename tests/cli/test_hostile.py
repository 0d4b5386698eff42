"""Cells that mean harm: each ends in a clear state, nothing is left running, and the host is as it was.

They run with small limits, so that a defect of ours does not take the machine that tests it. That nothing is left running is what
`conftest.py` looks for after every test here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import Folder, kanoe, started, write_notebook

from kanoe.base.files import remove_tree
from kanoe.sandbox.confine import choose_tool

TOOL = choose_tool()
pytestmark = pytest.mark.skipif(TOOL.kind == "none", reason=f"no sandbox works here: {TOOL.why_not}")


@dataclass(frozen=True)
class Case:
    """A hostile cell, the options of its run, and the diagnostic that it must end with."""

    name: str
    code: str
    diagnostic: str
    says: str = ""
    options: tuple[str, ...] = ()


MEMORY = ("--memory", "700m")
CASES = [
    Case("one array", "x = bytearray(3 << 30)", "memory-limit", "--memory", MEMORY),
    Case(
        "memory, piece by piece",
        "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * (8 << 20)))",
        "memory-limit",
        "--memory",
        MEMORY,
    ),
    Case(
        "memory of children",
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        kept = [bytearray(b'x' * (10 << 20)) for _ in range(30)]\n"
        "        time.sleep(600)\ntime.sleep(600)",
        "memory-limit",
        "--memory",
        MEMORY,
    ),
    Case(
        "shared memory",
        "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 32 << 20))\n    kept[-1].write(b'x' * (32 << 20))",
        "memory-limit",
        "--memory",
        MEMORY,
    ),
    Case(
        "/dev/shm",
        "with open('/dev/shm/x', 'wb') as file:\n    while True:\n        file.write(b'x' * (8 << 20))",
        "memory-limit",
        "--memory",
        MEMORY,
    ),
    Case(
        "one large file",
        "with open('x', 'wb') as file:\n    while True:\n        file.write(b'x' * (4 << 20))",
        "disk-limit",
        "--disk",
        ("--disk", "50m"),
    ),
    Case(
        "many small files",
        "for n in range(10**9):\n    with open(f'{n}', 'wb') as file:\n        file.write(b'x' * 9000)",
        "disk-limit",
        "--disk",
        ("--disk", "30m"),
    ),
    Case("endless", "while True: pass", "run-timeout", "--timeout", ("--timeout", "6")),
    Case(
        "endless and deaf",
        "import signal\nfor n in (1, 2, 3, 10, 12, 15): signal.signal(n, signal.SIG_IGN)\nwhile True:\n    try:\n"
        "        while True: pass\n    except BaseException: pass",
        "cell-timeout",
        "--cell-timeout",
        ("--cell-timeout", "1"),
    ),
    Case("an end", "import os; os._exit(0)", "kernel-died", "exit status 0"),
    Case("a crash", "import ctypes; ctypes.string_at(0)", "kernel-died", "SIGSEGV"),
    Case("a broken stack", "import ctypes\nctypes.memset(id(None), 0, 16)\nx = [None] * 100", "kernel-died"),
    Case(
        "a stop of itself",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "run-timeout",
        "",
        ("--timeout", "6"),
    ),
    Case(
        "10,000 threads",
        "import threading, time\nfor _ in range(10_000): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "process-limit",
    ),
    Case(
        "a fork bomb",
        "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(0.01)",
        "process-limit",
    ),
    Case(
        "trace its parent",
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.ptrace(16, os.getppid(), 0, 0) != 0: raise PermissionError(ctypes.get_errno(), 'ptrace')",
        "cell-failed",
        "ptrace",
    ),
    Case("all files open", "kept = [open('/dev/null') for _ in range(10**6)]", "file-limit"),
    Case(
        "no recursion limit",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        "memory-limit",
        "--memory",
        MEMORY,
    ),
    Case(
        "exit handlers that hang",
        "import atexit, os, time\natexit.register(time.sleep, 600)\nraise ValueError('bye')",
        "cell-failed",
        "bye",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_harm_ends_in_a_clear_state(tmp_path: Path, case: Case) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", "print('one')", case.code, "print('never')")
    done = kanoe("run", path, "--json", "--no-html", *case.options)
    assert (done.code, done.states) == (1, ["SUCCEEDED", "FAILED", "SKIPPED"]), done.err
    problem = done.problem()
    assert problem["code"] == case.diagnostic, done.err
    assert problem["place"].startswith("nb.ipynb cell 1")
    assert case.says in problem["message"] + (problem["hint"] or "")
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "one\n"
    assert folder.facts["report"]["state"] == "FAILED"


HARMLESS = [
    (
        "deletes everything",
        "import os\nos.system('timeout 2 rm -rf /kaggle /run /tmp /root /dev /etc; timeout 2 rm -rf --no-preserve-root / 2>/dev/null');",
    ),
    (
        "zombies and daemons",
        """
import os, time
for n in range(200):
    if os.fork() == 0:
        os.setsid()
        if n % 2 and os.fork(): os._exit(0)
        time.sleep(0 if n % 3 else 600)
        os._exit(0)
""",
    ),
    ("binary garbage", "import os\nfor _ in range(50): os.write(1, os.urandom(10_000))"),
    ("a replaced stream", "import io, sys\nsys.stdout = io.StringIO(); sys.stderr = object()"),
    (
        "signal handlers",
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, lambda *a: None)\n    except (OSError, ValueError): pass",
    ),
    (
        "faulthandler",
        "import faulthandler, sys\nfaulthandler.enable(); faulthandler.dump_traceback_later(0.05, exit=False); faulthandler.disable()",
    ),
    ("a folder that is gone", "import os\nos.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"),
    (
        "a deep tree that nobody can read",
        "import os\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nos.mkdir('closed'); os.chmod('closed', 0)",
    ),
    (
        "names that are no text",
        "import os\nopen(b'\\xff\\xfe\\n', 'w').close(); os.symlink('/etc/shadow', 'link'); os.mkfifo('pipe')",
    ),
    ("the sockets removed", "import shutil\nshutil.rmtree('/run/kanoe', ignore_errors=True)"),
    (
        "links in place of Kanoe's own files",
        (
            "import os\nfor place in (entry for entry in os.scandir('/run/kanoe') if not entry.is_dir()):\n"
            "    os.unlink(place.path); os.symlink('/etc/passwd', place.path)"
        ),
    ),
    ("sleeping on SIGTERM", "import signal, time\nsignal.signal(signal.SIGTERM, lambda *a: time.sleep(600))"),
]


@pytest.mark.parametrize("code", [case[1] for case in HARMLESS], ids=[case[0] for case in HARMLESS])
def test_what_does_no_harm_here(tmp_path: Path, code: str) -> None:
    done = kanoe(
        "run", write_notebook(tmp_path / "nb.ipynb", "print('one')", code, "x = 40 + 2", "x"), "--json", "--no-html"
    )
    assert done.code == 0, done.err
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "one\n"
    (result,) = [output for output in folder.code[3].outputs if output.output_type == "execute_result"]
    assert result.data["text/plain"] == "42"
    fetched = kanoe("fetch", done.report["run"], tmp_path / "fetched")
    assert fetched.code == (2 if "closed" in code else 0), fetched.err
    for left in (folder.path, tmp_path / "fetched"):  # pytest could not
        assert remove_tree(left)
    again = kanoe("run", write_notebook(tmp_path / "next.ipynb", "print('next')"), "--no-html", "-q")
    assert again.code == 0, again.err


def test_an_interrupt_ends_whatever_the_cell_does(tmp_path: Path) -> None:
    """Deaf to every signal it can be deaf to, with children as deaf; what was printed is kept."""
    code = (
        "import os, signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "if os.fork() == 0:\n    while True: time.sleep(60)\nprint('begun', flush=True)\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass"
    )
    out = tmp_path / "out"
    with started("run", write_notebook(tmp_path / "nb.ipynb", code, "1"), "-v", "-o", out, "--json") as command:
        command.wait_for("begun")
        command.signal(2)
        done = command.finish()
    assert done.code == 130
    assert done.states == ["CANCELLED", "SKIPPED"]
    assert Folder(out).text(0) == "begun\n"


def test_a_run_says_what_each_cell_took(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "nb.ipynb",
        "1",
        "big = bytearray(b'x' * (200 << 20)); del big",
        "with open('x', 'wb') as file: file.write(b'x' * (5 << 20))",
        "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass",
    )
    done = kanoe("run", path, "--json", "--no-html")
    tasks: list[dict[str, Any]] = done.report["tasks"]
    assert tasks[1]["memory"] > (200 << 20) > tasks[2]["memory"]
    assert tasks[1]["disk"] < (5 << 20) <= tasks[2]["disk"]
    assert tasks[3]["cpu"] >= 0.4
    shown = kanoe("show", done.report["run"]).out
    assert "MiB" in shown
