"""A notebook tries to get out, for every kind of walls that works here; `escape_tries.py` has the tries."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from escape_tries import TRIES

from kanoe.base.files import read_untrusted
from kanoe.engine.events import TaskEnded, TaskState
from kanoe.sandbox.confine import SandboxKind, Tool, choose_tool, confine
from kanoe.sandbox.layout import Mount
from kanoe.sandbox.process import SandboxProcess
from kanoe.sandbox.seccomp import _CONDITIONS, _DENIED, _MACHINES, _UNKNOWN, deny_list
from worlds import execute, session_plan

pytestmark = pytest.mark.skipif(deny_list() is None, reason="the numbers of this machine's system calls are not known")

KINDS: tuple[SandboxKind, ...] = ("bubblewrap", "namespaces")
DEVICES = [Path("/dev") / name for name in ("null", "zero", "full", "random", "urandom", "tty")]
OPEN_FILES = 200


@dataclass(frozen=True)
class Tried:
    """What became of the tries, and what the host looked like before and after."""

    answers: dict[str, str]
    before: dict[str, Any]
    after: dict[str, Any]


def tool_of(kind: SandboxKind) -> Tool:
    tool = choose_tool(kind)
    if tool.kind != kind:
        pytest.skip(f"it does not work here: {tool.why_not}")
    return tool


def host_state(folder: Path) -> dict[str, Any]:
    """What must stay as it is."""
    files = [
        *DEVICES,
        Path(sys.executable).resolve(),
        Path("/proc/sys/kernel/core_pattern"),
        *sorted(folder.rglob("*")),
    ]
    modes = {str(path): (path.lstat().st_mode, path.lstat().st_uid) for path in files if os.path.lexists(path)}
    return {"modes": modes, "name": os.uname().nodename, "data": (folder / "data" / "train.csv").read_text()}


def call_numbers() -> dict[str, int]:
    column = _MACHINES[os.uname().machine][1]
    named = {name: numbers[column] for name, numbers in {**_DENIED, **_UNKNOWN}.items()}
    return {name: number for name, number in named.items() if number is not None}


@contextlib.contextmanager
def host_facts(folder: Path) -> Iterator[dict[str, Any]]:
    """A host with things to take: files, processes, sockets."""
    column = _MACHINES[os.uname().machine][1]
    clone, unshare, ioctl, personality = (condition[column] for condition in _CONDITIONS[:4])
    for name in ("run", "store", "other-run"):
        (folder / name).mkdir()
        (folder / name / "secret").write_text("secret")
    mark, runtime_mark = secrets.token_hex(8), secrets.token_hex(8)
    with (
        tempfile.NamedTemporaryFile(dir=Path.home(), prefix=".kanoe-test-") as in_home,
        tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else folder) as in_shm,
        tempfile.NamedTemporaryFile() as in_tmp,
        subprocess.Popen(["sleep", "60"], env={**os.environ, "ESCAPE_VARIABLE": mark}) as victim,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as named,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        abstract.bind(f"\0kanoe-{runtime_mark}")
        abstract.listen()
        runtime = Path(tempfile.mkdtemp(prefix="kn-"))
        named.bind(str(runtime / "s"))
        named.listen()
        for file in (in_home, in_shm):
            file.write(b"secret")
            file.flush()
        try:
            yield {
                "in_home": in_home.name,
                "in_store": str(folder / "store" / "secret"),
                "in_other_run": str(folder / "other-run" / "secret"),
                "in_shm": in_shm.name,
                "host_tmp": [Path(in_tmp.name).name, runtime.name],
                # Numbers of the sandbox itself are small.
                "host_pids": [pid for pid in (os.getpid(), os.getppid(), victim.pid) if pid > 1000],
                "variable": mark[::-1],
                "calls": call_numbers(),
                "clone": clone,
                "unshare": unshare,
                "ioctl": ioctl,
                "personality": personality,
                "root_device": Path("/").stat().st_dev,
                "abstract": f"kanoe-{runtime_mark}",
                "socket": str(runtime / "s"),
                "port": server.getsockname()[1],
            }
            assert victim.poll() is None
        finally:
            victim.kill()
            shutil.rmtree(runtime)


def try_all(kind: SandboxKind, folder: Path) -> Tried:
    tool = tool_of(kind)
    data = folder / "data"
    data.mkdir()
    (data / "train.csv").write_text("a")
    with host_facts(folder) as facts:
        plan = session_plan(folder / "run", tool, inputs=(Mount(data, "/kaggle/input/data"),))
        plan.layout.variables["ESCAPE_FACTS"] = json.dumps(facts)  # type: ignore[index]
        shutil.copy(Path(__file__).with_name("escape_tries.py"), plan.layout.folders.working)
        before = host_state(folder)
        with (folder / "answer").open("w+b") as answer:
            process = SandboxProcess(
                confine(tool, plan.layout, [str(plan.python), "-S", "escape_tries.py"]),
                answer,
                prepare=lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES)) and None,
            )
            try:
                status = process.wait()
            finally:
                process.kill()
            answer.seek(0)
            said = answer.read().decode()
        after = host_state(folder)
    assert status == 0, said
    after["modes"] = {path: mode for path, mode in after["modes"].items() if path in before["modes"]}
    return Tried(json.loads(said.splitlines()[-1]), before, after)


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """All tries made once for each kind of walls."""
    return try_all(request.param, tmp_path_factory.mktemp("escapes"))


@pytest.mark.parametrize("tried", KINDS, indirect=True)
@pytest.mark.parametrize("name", TRIES)
def test_an_escape_fails(tried: Tried, name: str) -> None:
    assert tried.answers[name] == ""


@pytest.mark.parametrize("tried", KINDS, indirect=True)
def test_the_host_is_as_it_was(tried: Tried) -> None:
    assert tried.after == tried.before


def test_there_are_enough_tries() -> None:
    assert len(TRIES) >= 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("put", ["os.symlink({secret!r}, {place!r})", "os.mkfifo({place!r})", "os.mkdir({place!r})"])
def test_kanoe_follows_nothing_that_a_notebook_puts_in_the_place_of_its_files(
    tmp_path: Path, kind: SandboxKind, put: str
) -> None:
    secret = tmp_path / "secret"
    # What the file of unsent output looks like, and what a crash says.
    secret.write_bytes(struct.pack("<QQ", 0, 6) + b"s3cret\nFatal Python error: s3cret")
    lines = ["import os, signal"]
    for name in ("words-stdout", "words-stderr", "kernel.log"):
        place = f"/run/kanoe/{name}"
        lines.append(f"try: os.remove({place!r})\nexcept OSError: pass\n{put.format(secret=str(secret), place=place)}")
    executed = execute(["\n".join([*lines, "os.kill(os.getpid(), signal.SIGKILL)"])], tmp_path, tool=tool_of(kind))
    (died,) = [event for event in executed.events if isinstance(event, TaskEnded)]
    assert died.state is TaskState.FAILED
    assert "s3cret" not in repr(executed.events) + repr(executed.document)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as talk:
        talk.bind(str(tmp_path / "socket"))
        for name in ("link", "folder", "pipe", "socket", "nothing"):
            with pytest.raises(OSError, match=r".") as raised:
                read_untrusted(tmp_path / name)
            assert not isinstance(raised.value, TimeoutError)
    assert read_untrusted(tmp_path / "file") == b"0123456789"
    assert read_untrusted(tmp_path / "file", most=3) == b"789"
