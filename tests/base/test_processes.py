from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kanoe.base.errors import CancelledError
from kanoe.base.processes import owner, process_alive, run_program
from kanoe.base.stop import Stop


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_output_status_and_input() -> None:
    done = run_program(
        python("import sys; print(sys.stdin.read()); print('é', file=sys.stderr); sys.exit(3)"), input="ä\nb"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "ä\nb\n", "é\n")


def test_a_signal_is_a_negative_status() -> None:
    assert run_program(python("import os; os.kill(os.getpid(), 9)")).returncode == -signal.SIGKILL


def test_large_streams_in_both_directions_do_not_block() -> None:
    text = "x" * 300_000 + "\n"
    code = "import sys; sys.stderr.write('y' * 300000); d = sys.stdin.read(); sys.stdout.write(d)"
    done = run_program(python(code), input=text)
    assert done.stdout == text
    assert len(done.stderr) == 300_000


def test_a_program_that_reads_nothing_is_no_trouble() -> None:
    assert run_program(python("pass"), input="x" * 1_000_000).returncode == 0


def test_lines_come_one_by_one() -> None:
    lines: list[str] = []
    code = (
        "import sys; [print(word, file=sys.stderr, flush=True) for word in ('one', 'two')]; sys.stderr.write('three')"
    )
    run_program(python(code), on_line=lines.append)
    assert lines == ["one", "two", "three"]


def test_a_line_is_heard_while_the_program_runs() -> None:
    stop = Stop()
    code = "import sys, time; print('here', file=sys.stderr, flush=True); time.sleep(60)"
    with pytest.raises(CancelledError):
        run_program(python(code), on_line=lambda line: stop.request(), stop=stop)


def test_undecodable_bytes_are_replaced() -> None:
    assert run_program(python(r"import os; os.write(1, b'a\xffb')")).stdout == "a\ufffdb"


def test_environment_and_folder(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.environ.get('KANOE_X'))"
    done = run_program(python(code), environment={"KANOE_X": "1"}, cwd=tmp_path)
    assert done.stdout.split() == [str(tmp_path.resolve()), "1"]


def test_a_missing_program_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        run_program(["/nowhere/program"])


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-S", "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"])
print(os.getpid(), child.pid, file=sys.stderr, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("reason", ["stop", "exception"])
def test_nothing_is_left_behind_even_if_it_ignores_the_request(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kanoe.base.processes._GRACE", 0.2)
    stop = Stop()
    pids: list[int] = []

    def hear(line: str) -> None:
        pids.extend(map(int, line.split()))
        if reason == "exception":
            raise ValueError
        stop.request()

    with pytest.raises(CancelledError if reason == "stop" else ValueError):
        run_program(python(STUBBORN), on_line=hear, stop=stop)
    assert len(pids) == 2
    wait_until_gone(pids)


def test_a_child_that_outlives_the_program_is_ended_and_not_waited_for() -> None:
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)']).pid)"
    begin = time.monotonic()
    done = run_program(python(code))
    assert time.monotonic() - begin < 30
    wait_until_gone([int(done.stdout)])


def test_a_request_before_the_start_starts_nothing(tmp_path: Path) -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(CancelledError):
        run_program(python(f"open({str(tmp_path / 'made')!r}, 'w')"), stop=stop)
    assert not (tmp_path / "made").exists()


def test_a_request_from_another_thread() -> None:
    stop = Stop()
    threading.Timer(0.1, stop.request).start()
    with pytest.raises(CancelledError) as raised:
        run_program(python("import time; time.sleep(60)"), stop=stop)
    assert raised.value.diagnostics[0].code == "run-cancelled"


def test_process_alive() -> None:
    assert process_alive(os.getpid())
    assert process_alive(1)
    child = subprocess.Popen(python("pass"))
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process_alive(child.pid), "it has ended, though nobody has waited for it"
    child.wait()
    assert not process_alive(child.pid)


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(map(process_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in pids if process_alive(pid)]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux's `setpriv`")
def test_a_program_dies_with_a_kanoe_that_is_killed(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    inner = f"import os, time; open({str(written)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    outer = f"import sys; from kanoe.base.processes import run_program; run_program([sys.executable, '-c', {inner!r}])"
    kanoe = subprocess.Popen([sys.executable, "-c", outer])
    deadline = time.monotonic() + 30
    while not (written.exists() and written.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    program = int(written.read_text())
    assert process_alive(program)
    kanoe.kill()
    kanoe.wait()
    while process_alive(program) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process_alive(program)


def test_a_program_that_cannot_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("#!/bin/sh\n")
    for program, problem in (("no-program-of-that-name", FileNotFoundError), (tmp_path / "closed", PermissionError)):
        with pytest.raises(problem):
            run_program([str(program)])


def test_programs_are_marked_with_their_owner() -> None:
    code = "import os; print(os.environ['KANOE_OWNER'], os.environ.get('HOME'))"
    assert run_program(python(code), environment={}).stdout == f"{owner()} None\n"
    forked = "import os; from kanoe.base.processes import owner\nfirst = owner()\npid = os.fork()\nif pid == 0: os._exit(owner() == first)\nraise SystemExit(os.waitpid(pid, 0)[1])"
    assert subprocess.run([sys.executable, "-c", forked], check=False).returncode == 0
