"""Cells that misbehave: each ends in a clear state, with what came before kept and nothing left running."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from kanoe.back.sessions import SessionRunner
from kanoe.base.errors import CancelledError, UnavailableError
from kanoe.base.stop import Stop
from kanoe.engine.cells import plan_cells
from kanoe.engine.events import ProgramEnded, RunState, TaskEnded, TaskMessage, TaskStarted, TaskState
from kanoe.engine.run import Limits, run_program
from kanoe.engine.runner import FakeRunner, Runner, Script, Task
from kanoe.sandbox.confine import Tool, choose_tool
from worlds import code_notebook, execute, session_plan, stop_at

TOOL = choose_tool()


def ends(events: list[Any]) -> list[TaskEnded]:
    return [event for event in events if isinstance(event, TaskEnded)]


@pytest.mark.parametrize("tool", [TOOL, Tool("none")], ids=["chosen", "none"])
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('before')\nimport os; os._exit(3)", "exit status 3"),
        ("print('before')\nimport os; os._exit(0)", "exit status 0"),
        ("print('before', flush=True)\nimport ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("print('before', flush=True)\nimport os; os.abort()", "SIGABRT"),
        (
            "print('before')\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "SIGKILL",
        ),
    ],
)
def test_a_process_that_ends_fails_its_cell_and_the_rest_is_skipped(
    tmp_path: Path, tool: Tool, code: str, says: str
) -> None:
    executed = execute(["print('first')", code, "print('never')"], tmp_path, tool=tool)
    first, died, never = ends(executed.events)
    assert (first.state, died.state, never.state) == (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.SKIPPED)
    assert says in (died.reason or "")
    assert executed.text(0) == "first\n"
    assert executed.text(1) == "before\n"


def test_the_last_words_of_a_process_are_kept_and_none_twice(tmp_path: Path) -> None:
    code = """
import os, sys, time
for i in range(60000):
    print('line', i)
    if i == 50000:
        sys.stdout.flush()
print('to the error stream ž', file=sys.stderr)
os.write(1, b'descriptor\\n')
print('end')
os.kill(os.getpid(), 9)
"""
    executed = execute(["print('earlier')", code], tmp_path)
    outputs = {output["name"]: output["text"] for output in executed.outputs(1)}
    assert outputs["stdout"] == "".join(f"line {i}\n" for i in range(60000)) + "descriptor\nend\n"
    assert outputs["stderr"] == "to the error stream ž\n"


def test_a_crash_says_where(tmp_path: Path) -> None:
    executed = execute(["import ctypes\ndef deep():\n    ctypes.string_at(0)\ndeep()"], tmp_path)
    (died,) = ends(executed.events)
    assert "Segmentation fault" in died.details["said"]


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.kill(os.getppid(), 9)",
        "import os, sys; os.close(1); os.close(2)",
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = None; sys.stderr = 3",
        "import os; os.close(0)",
        "import os; os.dup2(2, 1)",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "get_ipython().kernel = None",
        "import faulthandler; faulthandler.disable()",
        "import threading, time; threading.Thread(target=lambda: time.sleep(3600)).start()",
        "import subprocess; subprocess.Popen(['sleep', '3600'])",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    import time; time.sleep(3600)",
        "import atexit, time; atexit.register(time.sleep, 3600)",
    ],
)
def test_what_a_cell_does_to_its_own_process_ends_in_time(tmp_path: Path, code: str) -> None:
    started = time.monotonic()
    executed = execute([code, "1 + 1"], tmp_path)
    assert isinstance(executed.events[-1], ProgramEnded)
    assert len(ends(executed.events)) == 2
    assert time.monotonic() - started < 30


def test_nothing_of_a_notebook_reaches_our_own_streams(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    execute(
        [
            "print('p'); import os, sys; os.write(1, b'raw1'); os.write(2, b'raw2'); os.system('echo sys')",
            "sys.__stdout__.write('dunder'); sys.__stdout__.flush(); sys.__stderr__.write('dunder')",
            "open('/dev/tty', 'w').write('tty')",
            "import subprocess; subprocess.run('echo child; echo child >&2', shell=True)",
        ],
        tmp_path,
    )
    assert capfd.readouterr() == ("", "")


def test_descriptor_writes_and_prints_keep_their_order(tmp_path: Path) -> None:
    code = """
import os, sys, subprocess, ctypes
c = ctypes.CDLL(None)
for i in range(50):
    print('python', i)
    os.write(1, b'descriptor %d\\n' % i)
    c.printf(b'c %d\\n', i)
    c.fflush(None)
subprocess.run(['echo', 'child'])
sys.stdout.write('end\\n')
"""
    lines = execute([code], tmp_path).text(0).splitlines()
    assert lines == [f"{who} {i}" for i in range(50) for who in ("python", "descriptor", "c")] + ["child", "end"]


def test_what_c_holds_in_its_buffer_belongs_to_its_cell(tmp_path: Path) -> None:
    executed = execute(["import ctypes; ctypes.CDLL(None).puts(b'late');", "print('next')"], tmp_path)
    assert (executed.text(0), executed.text(1)) == ("late\n", "next\n")


def test_output_of_a_background_thread_goes_to_the_cell_that_started_it(tmp_path: Path) -> None:
    executed = execute(
        [
            "import threading, time\ndef f():\n    time.sleep(0.3)\n    print('late')\nthreading.Thread(target=f).start()",
            "time.sleep(0.8)",
        ],
        tmp_path,
    )
    assert "late" in executed.text(0) + executed.text(1)


def test_many_small_messages_are_all_there(tmp_path: Path) -> None:
    executed = execute(
        ["import sys\nfor i in range(20000):\n    print(i)\n    if i % 10 == 0: sys.stdout.flush()"], tmp_path
    )
    assert executed.text(0).split() == [str(i) for i in range(20000)]


def test_a_lot_of_output_is_kept_whole(tmp_path: Path) -> None:
    executed = execute(["line = 'x' * 99\nfor _ in range(200_000): print(line)"], tmp_path)
    assert len(executed.text(0)) == 200_000 * 100


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    executed = execute(["import os; os.write(1, bytes(range(256)))", "print('\\ud800')"], tmp_path)
    assert "abc" in executed.text(0)


@pytest.mark.parametrize("tool", [TOOL, Tool("none")], ids=["chosen", "none"])
def test_an_interrupt_keeps_everything_and_the_kernel_is_gone(tmp_path: Path, tool: Tool) -> None:
    stop = Stop()
    mark = f"77.{time.monotonic_ns() % 100000}"
    executed = execute(
        [
            "kept = 1; print('one')",
            f"import subprocess; print('two', flush=True); subprocess.run(['sleep', '{mark}'])",
            "print(3)",
        ],
        tmp_path,
        tool=tool,
        stop=stop,
        watch=stop_at("two", stop),
    )
    assert [end.state for end in ends(executed.events)] == [TaskState.SUCCEEDED, TaskState.CANCELLED, TaskState.SKIPPED]
    assert (executed.text(0), executed.text(1)) == ("one\n", "two\n")
    assert mark not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


def test_a_cell_that_ignores_the_interrupt_is_ended_by_the_second(tmp_path: Path) -> None:
    stop = Stop()
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: time.sleep(0.1)"
    executed = execute([code], tmp_path, stop=stop, watch=stop_at("deaf", stop, times=2))
    assert [end.state for end in ends(executed.events)] == [TaskState.CANCELLED]
    assert executed.text(0) == "deaf\n"


def test_a_cell_over_its_time_is_interrupted_and_the_next_one_runs(tmp_path: Path) -> None:
    executed = execute(
        ["import time\nwhile True: time.sleep(0.05)", "print('next')"],
        tmp_path,
        limits=Limits(cell_seconds=1.0, keep_going=True),
    )
    assert [end.state for end in ends(executed.events)] == [TaskState.FAILED, TaskState.SUCCEEDED]
    assert executed.text(1) == "next\n"


def test_the_line_of_an_error_is_found(tmp_path: Path) -> None:
    sources = [
        "x = 1\n\nraise ValueError('a\\nb')",
        "def f():\n    return 1/0\n\nf()",
        "a = 1\nb = = 2",
        "%run nothere.py",
        "!ls\n1/0",
    ]
    errors = [end.details["error"]["line"] for end in ends(execute(sources, tmp_path).events)]
    assert errors[0] == 3
    assert errors[1] == 4
    assert errors[2] == 2
    assert errors[4] == 2


def test_a_kernel_that_cannot_start_says_why(tmp_path: Path) -> None:
    plan = session_plan(tmp_path, python=Path("/usr/bin/env"))
    runner = SessionRunner(plan)
    with pytest.raises(UnavailableError) as caught:
        runner.start(Task("t", "cell 0", 0, "1"))
    runner.close()
    assert caught.value.diagnostics[0].code == "kernel-start"


def test_a_stop_is_heard_while_the_kernel_starts(tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    # A program that never answers: `cat` of a pipe that nobody writes.
    os.mkfifo(tmp_path / "pipe")
    silent = tmp_path / "python"
    silent.write_text(f"#!/bin/sh\nexec /bin/cat {tmp_path}/pipe\n")
    silent.chmod(0o755)
    runner = SessionRunner(session_plan(tmp_path, Tool("none"), python=silent), stop)
    with pytest.raises(CancelledError):
        runner.start(Task("t", "cell 0", 0, "1"))
    runner.close()


def test_a_stop_before_the_cell_has_begun_is_not_lost(tmp_path: Path) -> None:
    """Whatever the kernel does of an interrupt at that moment, the run ends."""
    runner = SessionRunner(session_plan(tmp_path))
    stop = Stop()
    events = []
    for event in run_program(plan_cells(code_notebook(["import time; time.sleep(600)"])), runner, Limits(), stop):
        events.append(event)
        if isinstance(event, TaskStarted):
            stop.request()
    runner.close()
    assert [event.state for event in ends(events)] == [TaskState.CANCELLED]


def test_memory_and_cpu_are_seen(tmp_path: Path) -> None:
    executed = execute(["b = bytearray(300_000_000)", "s = sum(range(80_000_000))"], tmp_path)
    first, second = ends(executed.events)
    assert (first.memory or 0) > 300_000_000
    assert (second.cpu or 0) > 0.1


@pytest.mark.parametrize("make", ["fake", "sessions"])
class TestRunnerContract:
    """What every Runner keeps."""

    def runner(self, make: str, tmp_path: Path) -> Runner:
        if make == "sessions":
            return SessionRunner(session_plan(tmp_path))

        def script(task: Task) -> Script:
            if "raise" in task.code:
                return Script(state=TaskState.FAILED, reason="ValueError: bad")
            return Script(prints="1\n" if "print" in task.code else "", endless="while" in task.code)

        return FakeRunner(script)

    def events(self, runner: Runner, task: Task, seconds: float = 30) -> list[Any]:
        found: list[Any] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found += runner.wait()
            if any(isinstance(event, TaskEnded) and event.task == task.id for event in found):
                return found
        raise AssertionError("the task did not end")

    def test_one_end_and_it_comes_last(self, make: str, tmp_path: Path) -> None:
        runner = self.runner(make, tmp_path)
        for number, code in enumerate(["print(1)", "raise ValueError('bad')", "x = 2"]):
            task = Task(f"t{number}", "t", number, code)
            runner.start(task)
            events = self.events(runner, task)
            assert isinstance(events[-1], TaskEnded)
            assert sum(isinstance(event, TaskEnded) for event in events) == 1
            assert {event.task for event in events} == {task.id}
        runner.close()

    def test_messages_come_before_the_end(self, make: str, tmp_path: Path) -> None:
        runner = self.runner(make, tmp_path)
        task = Task("t", "t", 0, "print(1)")
        runner.start(task)
        texts = [
            event.content["text"]
            for event in self.events(runner, task)
            if isinstance(event, TaskMessage) and event.message == "stream"
        ]
        assert "".join(texts) == "1\n"
        runner.close()

    def test_a_failure_has_a_reason(self, make: str, tmp_path: Path) -> None:
        runner = self.runner(make, tmp_path)
        task = Task("t", "t", 0, "raise ValueError('bad')")
        runner.start(task)
        end = self.events(runner, task)[-1]
        assert (end.state, end.reason) == (TaskState.FAILED, "ValueError: bad")
        runner.close()

    def test_stop_makes_the_end_come(self, make: str, tmp_path: Path) -> None:
        runner = self.runner(make, tmp_path)
        task = Task("t", "t", 0, "while True: pass")
        runner.start(task)
        assert not any(isinstance(event, TaskEnded) for event in runner.wait())
        time.sleep(0.2)
        runner.stop(task)
        assert self.events(runner, task)[-1].state in (TaskState.CANCELLED, TaskState.FAILED)
        runner.close()

    def test_close_may_be_called_at_any_time_and_twice(self, make: str, tmp_path: Path) -> None:
        runner = self.runner(make, tmp_path)
        runner.close()
        runner.close()


def test_state_of_a_program() -> None:
    assert RunState("LOST") is RunState.LOST
