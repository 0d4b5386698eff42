"""What a program sees in the sandbox, asked from inside it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kanoe.base.processes import process_alive
from kanoe.sandbox import confine as confine_module
from kanoe.sandbox.confine import (
    SandboxKind,
    Tool,
    choose_tool,
    confine,
    plain_input,
    remove_plain_input,
    seen_runtime,
)
from kanoe.sandbox.layout import Link, Mount
from kanoe.sandbox.process import Lifeline, SandboxProcess
from worlds import session_plan

TOOL = choose_tool()
needs_bubblewrap = pytest.mark.skipif(
    TOOL.kind != "bubblewrap", reason=f"bubblewrap does not work here: {TOOL.why_not}"
)


def ask(tmp_path: Path, code: str, tool: Tool = TOOL, **layout: Any) -> Any:
    """Run code in the sandbox and return what it prints as JSON."""
    plan = session_plan(tmp_path, tool, **layout)
    confined = confine(tool, plan.layout, [str(plan.python), "-c", f"import json, os\n{code}"])
    with (tmp_path / "answer").open("w+b") as answer:
        status = SandboxProcess(confined, answer).wait()
        answer.seek(0)
        said = answer.read().decode()
    assert status == 0, said
    remove_plain_input(plan.layout)
    return json.loads(said)


@needs_bubblewrap
def test_paths_and_home_are_kaggles(tmp_path: Path) -> None:
    seen = ask(
        tmp_path,
        "print(json.dumps([os.getcwd(), os.path.expanduser('~'), os.getuid(), sorted(os.listdir('/kaggle')), os.listdir('/root')]))",
    )
    assert seen[:3] == ["/kaggle/working", "/root", 0]
    assert {"input", "working", "temp"} <= set(seen[3])


_LISTED = """
import psutil
seen = [process.as_dict() for process in psutil.process_iter()]
own = psutil.Process()
print(json.dumps([[one["pid"] for one in seen], seen[0]["name"], seen[0]["username"], seen[0]["exe"], seen[0]["open_files"],
    own.parent().pid, own.create_time() > 0, [child.pid for child in own.children(recursive=True)], len(psutil.net_connections())]))
"""


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces"])
def test_processes_can_be_listed_and_the_first_tells_nothing(tmp_path: Path, kind: SandboxKind) -> None:
    tool = choose_tool(kind)
    if tool.kind != kind:
        pytest.skip(f"{kind} does not work here: {tool.why_not}")
    pids, name, user, *rest = ask(tmp_path, _LISTED, tool)
    assert pids[0] == 1
    assert len(pids) == 2
    assert (name, user) == ("init", "root")
    assert rest == ["/nonexistent", [], 1, True, [], 0]


@needs_bubblewrap
def test_java_finds_its_settings_and_programs_the_name_of_the_system(tmp_path: Path) -> None:
    paths = [str(path) for pattern in ("java-*", "os-release", "ImageMagick-*") for path in Path("/etc").glob(pattern)]
    assert ask(tmp_path, f"print(json.dumps([os.path.exists(path) for path in {paths}]))") == [True] * len(paths)


@needs_bubblewrap
def test_input_is_read_only_and_links_lead_to_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("a")
    seen = ask(
        tmp_path,
        """
found = []
for path in ('/kaggle/input/competitions/t/train.csv', '/kaggle/input/new.csv', '/kaggle/input/competitions/t/new.csv'):
    try:
        open(path, 'w').close(); found.append('written')
    except OSError as e:
        found.append(e.errno)
walked = [f for _, _, names in os.walk('/kaggle/input') for f in names]
print(json.dumps([found, open('../input/t/train.csv').read(), walked]))
""",
        inputs=(Mount(data, "/kaggle/input/competitions/t"),),
        links=(Link("/kaggle/input/t", "competitions/t"),),
    )
    assert seen == [[30, 30, 30], "a", ["train.csv"]]
    assert (data / "train.csv").read_text() == "a"


@needs_bubblewrap
def test_the_host_is_hidden_and_read_only(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s")
    seen = ask(
        tmp_path,
        f"""
def writable(path):
    try:
        open(path, 'w').close(); return True
    except OSError:
        return False
print(json.dumps([os.path.exists({str(secret)!r}), writable('/usr/kanoe'), os.path.exists('/etc/shadow'),
    len([p for p in os.listdir('/proc') if p.isdigit()]), os.path.exists({str(Path.home())!r} + '/.ssh'), os.uname().nodename]))
""",
    )
    assert seen[:3] == [False, False, False]
    assert seen[3] <= 3
    assert seen[4:] == [False, "kaggle"]


@needs_bubblewrap
@pytest.mark.parametrize("internet", [False, True])
def test_the_network_is_off_unless_asked_for(tmp_path: Path, internet: bool) -> None:
    code = "import socket; print(json.dumps(sorted(n for _, n in socket.if_nameindex())))"
    assert (ask(tmp_path, code, internet=internet) == ["lo"]) is not (
        internet and len(os.listdir("/sys/class/net")) > 1
    )


@needs_bubblewrap
def test_loopback_works_without_a_network(tmp_path: Path) -> None:
    code = """
import socket, threading
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
print(json.dumps('connected'))
"""
    assert ask(tmp_path, code) == "connected"


@pytest.mark.parametrize("tool", [TOOL, Tool("none")], ids=["chosen", "none"])
def test_kaggles_variables_and_the_legacy_path(tmp_path: Path, tool: Tool) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.csv").write_text("a")
    seen = ask(
        tmp_path,
        "print(json.dumps([open('../input/train.csv').read(), os.environ['KAGGLE_KERNEL_RUN_TYPE'], 'KANOE_HOME' in os.environ]))",
        tool,
        inputs=(Mount(data, "/kaggle/input/competitions/t"),),
        links=(Link("/kaggle/input/train.csv", "competitions/t/train.csv"),),
    )
    assert seen == ["a", "Batch", False]


def test_without_a_sandbox_our_link_is_taken_away_and_the_data_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    plan = session_plan(tmp_path, Tool("none"), inputs=(Mount(data, "/kaggle/input/competitions/t"),))
    confine(plan.tool, plan.layout, ["true"])
    assert (plain_input(plan.layout.folders.working) / "competitions" / "t").is_symlink()
    remove_plain_input(plan.layout)
    assert not plain_input(plan.layout.folders.working).is_symlink()
    assert data.is_dir()


def test_without_a_sandbox_an_input_folder_of_the_users_own_is_left_alone(tmp_path: Path) -> None:
    plan = session_plan(tmp_path, Tool("none"), inputs=(Mount(tmp_path, "/kaggle/input/competitions/t"),))
    theirs = plain_input(plan.layout.folders.working)
    theirs.mkdir()
    (theirs / "link").symlink_to(tmp_path)
    confine(plan.tool, plan.layout, ["true"])
    remove_plain_input(plan.layout)
    assert os.listdir(theirs) == ["link"]


def start(tmp_path: Path, tool: Tool, code: str) -> SandboxProcess:
    plan = session_plan(tmp_path, tool)
    with (tmp_path / "said").open("wb") as said:
        return SandboxProcess(confine(tool, plan.layout, [str(plan.python), "-u", "-c", code]), said)


def wait_for(tmp_path: Path, text: str) -> None:
    for _ in range(500):
        if text in (tmp_path / "said").read_text():
            return
        time.sleep(0.02)
    raise AssertionError((tmp_path / "said").read_text())


TOOLS = pytest.mark.parametrize(
    "tool", [TOOL, choose_tool("namespaces"), Tool("none")], ids=["chosen", "namespaces", "none"]
)


@TOOLS
def test_an_interrupt_reaches_the_program_and_its_children(tmp_path: Path, tool: Tool) -> None:
    process = start(
        tmp_path,
        tool,
        "import subprocess, sys\nprint('up')\ntry:\n    subprocess.run(['sleep', '60'])\nexcept KeyboardInterrupt:\n    print('heard')",
    )
    wait_for(tmp_path, "up")
    time.sleep(0.2)
    process.interrupt()
    wait_for(tmp_path, "heard")
    process.end(5)
    assert process.poll() == 0


@TOOLS
def test_kill_leaves_nothing_behind(tmp_path: Path, tool: Tool) -> None:
    mark = f"31.{os.getpid()}{time.monotonic_ns() % 1000}"
    process = start(
        tmp_path, tool, f"import subprocess\np = subprocess.Popen(['sleep', '{mark}'])\nprint('up')\np.wait()"
    )
    wait_for(tmp_path, "up")
    process.kill()
    process.end(0)
    time.sleep(0.1)
    assert mark not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


@TOOLS
@pytest.mark.parametrize(
    ("code", "status"), [("import os; os._exit(3)", 3), ("import os; os.kill(os.getpid(), 11)", -11)]
)
def test_the_status_says_how_it_ended(tmp_path: Path, tool: Tool, code: str, status: int) -> None:
    process = start(tmp_path, tool, code)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() == status
    process.end(0)


@TOOLS
def test_what_is_prepared_holds_before_the_program_starts(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool)
    code = "import os, resource; print(os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE))"
    cpu = min(os.sched_getaffinity(0))
    seen = []

    def prepare(pid: int) -> None:
        seen.append((tmp_path / "said").read_text())
        os.sched_setaffinity(pid, {cpu})
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (99, 99))

    with (tmp_path / "said").open("wb") as said:
        process = SandboxProcess(confine(tool, plan.layout, [str(plan.python), "-c", code]), said, prepare)
    assert process.wait() == 0
    assert (seen, (tmp_path / "said").read_text()) == ([""], f"{{{cpu}}} (99, 99)\n")


@TOOLS
def test_what_cannot_be_prepared_does_not_start(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool)
    pids = []

    def prepare(pid: int) -> None:
        pids.append(pid)
        raise RuntimeError("no")

    with (tmp_path / "said").open("wb") as said, pytest.raises(RuntimeError):
        SandboxProcess(confine(tool, plan.layout, ["touch", "here"]), said, prepare)
    assert not process_alive(pids[0])
    assert not (plan.layout.folders.working / "here").exists()


@TOOLS
def test_no_list_of_processes_shows_variables_or_folders(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool, inputs=(Mount(tmp_path, "/kaggle/input/t"),))
    plan.layout.variables["TOKEN"] = "t-o-k-e-n"  # type: ignore[index]
    seen = []

    def look(pid: int) -> None:
        for one in (pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])):
            if one != os.getpid():
                seen.append(Path(f"/proc/{one}/cmdline").read_bytes() + Path(f"/proc/{one}/environ").read_bytes())

    SandboxProcess(confine(tool, plan.layout, ["true"]), None, look).wait()
    assert seen
    assert not any(
        word in text for text in seen for word in (b"t-o-k-e-n", b"kaggle/working", bytes(plan.layout.folders.scratch))
    )


@TOOLS
def test_a_program_that_is_not_there(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool)
    with (tmp_path / "said").open("w+b") as said:
        process = SandboxProcess(confine(tool, plan.layout, ["/no/such/program"]), said)
        assert process.wait() in (1, 127)
    assert "/no/such/program" in (tmp_path / "said").read_text()
    assert process.pids() == []


@TOOLS
def test_walls_that_cannot_be_built_say_why(tmp_path: Path, tool: Tool) -> None:
    if tool.kind == "none":
        pytest.skip("there are none")
    plan = session_plan(tmp_path, tool, inputs=(Mount(tmp_path / "gone", "/kaggle/input/t"),))
    with (tmp_path / "said").open("w+b") as said:
        process = SandboxProcess(confine(tool, plan.layout, ["true"]), said, lambda _pid: None)
        assert process.wait() == 1
    assert str(tmp_path / "gone") in (tmp_path / "said").read_text()


@TOOLS
def test_what_is_said_on_stdin_and_asked_on_stdout(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool)
    (tmp_path / "asked").write_text("question")
    with (tmp_path / "asked").open("rb") as asked, (tmp_path / "said").open("wb") as said:
        assert SandboxProcess(confine(tool, plan.layout, ["cat"]), said, stdin=asked).wait() == 0
        assert SandboxProcess(confine(tool, plan.layout, ["cat"]), said).wait() == 0
    assert (tmp_path / "said").read_text() == "question"


def test_a_tool_is_tried_alone() -> None:
    assert choose_tool("none").kind == "none"
    assert choose_tool("namespaces").kind in ("namespaces", "none")


@pytest.mark.parametrize("without", [("bubblewrap",), ("bubblewrap", "namespaces")])
def test_what_does_not_work_is_not_chosen_and_said(monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]) -> None:
    monkeypatch.setattr(confine_module, "_programs", lambda: [("/no/such/bwrap",)])
    if "namespaces" in without:
        monkeypatch.setattr(confine_module, "_LAUNCHER", ("false",))
    tool = choose_tool()
    if "namespaces" in without or tool.kind == "none":
        assert tool.kind == "none"
        assert "/no/such/bwrap" in (tool.why_not or "")
        assert "namespaces: it ended with 1" in (tool.why_not or "") or "namespaces" not in without


@TOOLS
def test_when_kanoe_is_killed_the_sandbox_ends(tmp_path: Path, tool: Tool) -> None:
    mark = f"32.{os.getpid()}"
    code = f"""
import sys, time
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent.parent)]!r}
from worlds import session_plan
from kanoe.sandbox.confine import choose_tool, confine
from kanoe.sandbox.process import Lifeline, SandboxProcess
plan = session_plan(Path({str(tmp_path)!r}), choose_tool({tool.kind!r}))
process = SandboxProcess(confine(plan.tool, plan.layout, ['sleep', '{mark}']), open('/dev/null', 'wb'))
print('up', flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as kanoe:
        assert kanoe.stdout is not None
        kanoe.stdout.readline()
        time.sleep(0.3)
        kanoe.kill()
    time.sleep(0.3)
    assert f"sleep {mark}" not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


@TOOLS
def test_a_worker_whose_kanoe_died_before_the_walls_were_bound_to_it_ends(tmp_path: Path, tool: Tool) -> None:
    plan = session_plan(tmp_path, tool)
    seen_at = seen_runtime(tool, plan.layout)
    lifeline = Lifeline()
    configuration = {
        "imports": ["import sys", "import time; time.sleep(600)"],
        "answers": f"{seen_at}/answers",
        "log": f"{seen_at}/log",
        "lifeline": lifeline.end.fileno(),
    }
    runtime = plan.layout.folders.runtime
    (runtime / "worker.json").write_text(json.dumps(configuration))
    command = [str(plan.python), str(plan.worker), f"{seen_at}/worker.json"]
    process = SandboxProcess(confine(tool, plan.layout, command), None, lifeline=lifeline)
    while not (runtime / "answers").exists():
        assert process.poll() is None
    del lifeline, process._lifeline
    assert process.wait() == -signal.SIGKILL
