"""Runs as citizens: they are cancelled from elsewhere, wait for each other, and when they are killed, or the disk is full, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import Done, Folder, Started, kanoe, own_store, started, write_notebook

from kanoe.base.processes import process_alive
from kanoe.store.clean import Unneeded
from kanoe.verbs.store import Cleaned

FOREVER = "import time\nprint('goes on', flush=True)\nwhile True: time.sleep(0.05)"


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    return own_store(tmp_path / "home")


@pytest.fixture
def forever(tmp_path: Path) -> Path:
    return write_notebook(tmp_path / "forever.ipynb", "print('before')", FOREVER)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


def listed(env: dict[str, str]) -> list[dict[str, Any]]:
    return list(json.loads(kanoe("runs", "--json", env=env).out)["runs"])


def report_of(done: Done) -> dict[str, Any]:
    return dict(json.loads(done.out))


def states(env: dict[str, str]) -> list[str]:
    return [run["state"] for run in listed(env)]


def killed(command: Started) -> None:
    """Kill Kanoe alone, as the kernel does when memory is short."""
    command.signal(signal.SIGKILL)
    command.finish()


# Cancel


def test_a_run_is_cancelled_from_elsewhere(store: dict[str, str], forever: Path) -> None:
    with started("run", forever, "-v", "--json", "--no-html", env=store) as command:
        command.wait_for("goes on")
        cancelled = json.loads(kanoe("cancel", "--json", env=store).out)
        done = command.finish()
    assert (done.code, report_of(done)["state"]) == (130, "CANCELLED")
    assert (cancelled["run"], cancelled["state"], cancelled["asked"]) == (report_of(done)["run"], "CANCELLED", True)
    folder = Folder(Path(report_of(done)["directory"]))
    assert (folder.text(0), folder.text(1)) == ("before\n", "goes on\n")
    again = kanoe("cancel", report_of(done)["run"], env=store)
    assert (again.code, again.out) == (0, f"{report_of(done)['run']} had ended: CANCELLED\n")
    assert states(store) == ["CANCELLED"]


def test_a_second_cancel_ends_at_once(store: dict[str, str], tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + FOREVER
    with started("run", write_notebook(tmp_path / "deaf.ipynb", deaf), "-v", "--json", env=store) as command:
        command.wait_for("goes on")
        with started("cancel", env=store) as first:
            time.sleep(1)
            assert first.process.poll() is None
            assert "CANCELLED" in kanoe("cancel", env=store).out
            assert first.finish().code == 0
        assert command.finish().code == 130


def test_control_c_ends_the_waiting_and_not_the_asking(store: dict[str, str], tmp_path: Path) -> None:
    slow = "import time\nprint('goes on', flush=True)\ntry:\n    time.sleep(600)\nfinally:\n    time.sleep(2)"
    with started("run", write_notebook(tmp_path / "slow.ipynb", slow), "-v", "--json", env=store) as command:
        command.wait_for("goes on")
        with started("cancel", env=store) as waiting:
            time.sleep(1)
            waiting.signal(signal.SIGINT)
            assert waiting.finish().code == 130
        assert command.finish().code == 130


def test_a_run_in_somebodys_own_program_is_cancelled(store: dict[str, str], forever: Path) -> None:
    code = "import kanoe, sys\nprint(kanoe.run(sys.argv[1], html=False).state)"
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(forever)], stdout=subprocess.PIPE, text=True, env={**os.environ, **store}
    )
    deadline = time.monotonic() + 60
    while "goes on" not in kanoe("logs", env=store).out:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "CANCELLED" in kanoe("cancel", env=store).out
    out, _ = program.communicate(timeout=60)
    assert out == "CANCELLED\n"


@pytest.mark.parametrize("arguments", [["nothing"], ["--json", "nothing"]])
def test_cancel_of_no_run(store: dict[str, str], arguments: list[str]) -> None:
    done = kanoe("cancel", *arguments, env=store)
    assert done.code == 2
    assert "there is no run `nothing`" in done.err


# The queue


def test_runs_wait_for_each_other_first_come_first_served(store: dict[str, str], forever: Path, tmp_path: Path) -> None:
    quick = write_notebook(tmp_path / "quick.ipynb", "1")
    with started("run", forever, "-v", "--jobs", "1", env=store) as first:
        first.wait_for("goes on")
        with (
            started("run", forever, "-v", "--jobs", "1", "--timeout", "600", env=store) as second,
        ):
            second.wait_for("1 run is before it, and 1 may go on at once (`--jobs`)")
            with started("run", quick, "--jobs", "1", "--no-html", "--json", env=store) as third:
                third.wait_for("2 runs are before it")
                assert states(store) == ["QUEUED", "QUEUED", "RUNNING"]
                names = [run["run"] for run in listed(store)]
                assert json.loads(kanoe("show", names[0], "--json", env=store).out)["state"] == "QUEUED"
                # Who may be two at once needs not wait for both.
                assert kanoe("run", quick, "--jobs", "4", "--no-html", env=store).code == 0
                assert "CANCELLED" in kanoe("cancel", names[1], env=store).out
                assert second.finish().code == 130
                killed(first)
                done = third.finish()
    assert (done.code, report_of(done)["state"]) == (0, "SUCCEEDED")
    assert states(store) == ["SUCCEEDED", "SUCCEEDED", "CANCELLED", "LOST"]


def test_control_c_while_it_waits(store: dict[str, str], forever: Path) -> None:
    with started("run", forever, "-v", "--jobs", "1", env=store) as first:
        first.wait_for("goes on")
        with started("run", forever, "--jobs", "1", "--json", env=store) as second:
            second.wait_for("before it")
            second.signal(signal.SIGINT)
            done = second.finish()
        assert (done.code, report_of(done)["state"], report_of(done)["tasks"]) == (130, "CANCELLED", [])
        first.signal(signal.SIGINT)
        assert first.finish().code == 130


# Lost runs


def test_a_killed_run_is_lost_and_its_leftovers_are_cleaned(
    store: dict[str, str], forever: Path, tmp_path: Path, temporary: Path
) -> None:
    env = {**store, "TMPDIR": str(temporary)}
    with started("run", forever, "-v", env=env) as command:
        command.wait_for("goes on")
        killed(command)
    home = Path(store["KANOE_HOME"])
    (lost,) = listed(store)
    assert lost["state"] == "LOST"
    shown = json.loads(kanoe("show", "--json", env=store).out)
    assert (shown["state"], shown["run"], shown["seconds"] > 0) == ("LOST", lost["run"], True)
    assert [task["name"] for task in shown["tasks"]] == ["cell 0"]
    (problem,) = shown["diagnostics"]
    assert (problem["code"], "while cell 1 ran" in problem["message"]) == ("run-lost", True)
    assert kanoe("logs", "-f", env=store).out == "before\ngoes on\n"
    assert os.listdir(temporary)
    assert kanoe("run", write_notebook(tmp_path / "n.ipynb", "1"), "--no-html", env=env).code == 0
    assert (os.listdir(temporary), os.listdir(home / "scratch")) == ([], [])
    assert os.listdir(home / "alive") == [".gate"]
    folder = Folder(Path(lost["directory"]))
    assert (folder.text(0), folder.text(1)) == ("before\n", "goes on\n")
    report = json.loads(kanoe("show", lost["run"], "--json", env=store).out)
    assert (report["state"], report["run"], report["seconds"] > 0) == ("LOST", lost["run"], True)
    assert [task["state"] for task in report["tasks"]] == ["SUCCEEDED"]
    assert "run-lost" in [entry["code"] for entry in report["diagnostics"]]
    assert "".join(record["data"] for record in folder.log) == "before\ngoes on\n"
    assert not [name for name in os.listdir(folder.path) if name.endswith(".part")]
    with contextlib.closing(sqlite3.connect(home / "records.sqlite")) as connection:
        assert connection.execute("SELECT state FROM runs WHERE id = ?", (lost["run"],)).fetchone() == ("LOST",)


def test_without_a_sandbox_what_a_killed_run_left_running_is_ended(store: dict[str, str], tmp_path: Path) -> None:
    daemon = "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True).pid)\n"
    path = write_notebook(tmp_path / "n.ipynb", daemon + FOREVER)
    (tmp_path / "data").mkdir()
    code = (
        "import sys\nimport kanoe.verbs.sandbox as sandbox\nfrom kanoe.sandbox.confine import Tool\n"
        "sandbox.choose_tool = lambda: Tool('none', why_not='a test')\n"
        "import kanoe\nkanoe.run(sys.argv[1], html=False, inputs=[sys.argv[2]], output=sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "data"), str(tmp_path / "out")]
    program = subprocess.Popen(command, env={**os.environ, **store})
    deadline = time.monotonic() + 60
    while "goes on" not in (said := kanoe("logs", env=store).out):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    program.kill()
    program.wait()
    assert (tmp_path / "out" / "input").is_symlink()
    assert kanoe("store", "clean", env=store).code == 0
    assert not process_alive(int(said.split()[0]))
    assert not (tmp_path / "out" / "input").is_symlink()
    assert states(store) == ["LOST"]


def test_cancel_of_a_lost_run_cleans(store: dict[str, str], forever: Path) -> None:
    with started("run", forever, "-v", env=store) as command:
        command.wait_for("goes on")
        killed(command)
    done = kanoe("cancel", env=store)
    assert (done.code, "is LOST" in done.out) == (0, True)
    assert os.listdir(Path(store["KANOE_HOME"]) / "scratch") == []
    assert "run.json" in os.listdir(listed(store)[0]["directory"])


def test_a_pid_that_is_used_again_does_not_revive_a_run(store: dict[str, str], forever: Path) -> None:
    with started("run", forever, "-v", env=store) as command:
        command.wait_for("goes on")
        killed(command)
    with contextlib.closing(sqlite3.connect(Path(store["KANOE_HOME"]) / "records.sqlite")) as connection:
        connection.execute("UPDATE runs SET process = ?", (os.getpid(),))
        connection.commit()
    assert states(store) == ["LOST"]


def test_a_folder_of_a_killed_run_is_used_again(store: dict[str, str], tmp_path: Path, forever: Path) -> None:
    for _ in range(2):
        with started("run", forever, "-v", "-o", tmp_path / "out", env=store) as command:
            command.wait_for("goes on")
            killed(command)
    done = kanoe("run", write_notebook(tmp_path / "n.ipynb", "1"), "-o", tmp_path / "out", env=store)
    assert (done.code, done.directory) == (0, tmp_path / "out")


# Clean


def test_clean_removes_what_is_asked_for(store: dict[str, str], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    home = Path(store["KANOE_HOME"])
    (home / "environments").unlink()
    (home / "environments").mkdir()
    runs = [report_of(kanoe("run", path, "--no-html", "--json", env=store))["run"] for _ in range(3)]
    mine = kanoe("run", path, "--no-html", "-o", tmp_path / "mine", env=store)
    assert mine.code == 0
    assert json.loads(kanoe("store", "clean", "--json", env=store).out)["removed"] == []
    asked = ("store", "clean", "--keep-runs", "1", "--json")
    would = json.loads(kanoe(*asked, "--dry-run", env=store).out)
    assert (would["dry_run"], sorted(one["run"] for one in would["removed"])) == (True, sorted(runs[:2]))
    assert len(os.listdir(home / "runs")) == 3
    freed = json.loads(kanoe(*asked, env=store).out)
    assert (freed["dry_run"], freed["removed"]) == (False, would["removed"])
    assert os.listdir(home / "runs") == [runs[2]]
    assert [run["directory"] for run in listed(store)] == [str(tmp_path / "mine"), str(home / "runs" / runs[2])]
    assert json.loads(kanoe("store", "clean", "--older-than", "1d", "--json", env=store).out)["removed"] == []
    text = kanoe("store", "clean", "--older-than", "1s", env=store).out
    assert "environments" in text
    assert "freed in" in text
    assert os.listdir(home / "runs") == []
    assert not [name for name in os.listdir(home / "environments") if len(name) == 32]
    assert sorted(os.listdir(tmp_path / "mine")) == [
        "events.jsonl",
        "kanoe.lock",
        "log.json",
        "notebook.ipynb",
        "run.json",
        "working",
    ]
    assert kanoe("run", path, "--no-html", env=store).code == 0


def test_clean_touches_nothing_of_a_run_that_goes_on(store: dict[str, str], forever: Path, tmp_path: Path) -> None:
    home = Path(store["KANOE_HOME"])
    with started("run", forever, "-v", env=store) as command:
        command.wait_for("goes on")
        time.sleep(1.1)
        removed = json.loads(kanoe("store", "clean", "--older-than", "1s", "--keep-runs", "0", "--json", env=store).out)
        assert [one for one in removed["removed"] if one["room"] != "environments" and one["room"] != "locks"] == []
        (run,) = listed(store)
        assert run["state"] == "RUNNING"
        environment = json.loads(Path(run["directory"], "run.json").read_bytes()).get("environment")
        assert environment is None or Path(environment["path"]).is_dir()
        assert len(os.listdir(home / "scratch")) == 1
        command.signal(signal.SIGINT)
        assert command.finish().code == 130


def test_clean_names_few_runs() -> None:
    removed = [Unneeded("runs", Path(f"/runs/r{number}"), 1 << 20, f"r{number}") for number in range(5)]
    assert Cleaned("/store", removed, dry_run=True).lines() == [
        "     5 MiB  runs          5 to remove: r0, r1, r2 and 2 more",
        "     5 MiB  would be freed in /store",
    ]


@pytest.mark.parametrize("arguments", [["--older-than", "soon"], ["--older-than", "-1d"], ["--keep-runs", "-1"]])
def test_clean_with_options_that_mean_nothing(store: dict[str, str], arguments: list[str]) -> None:
    done = kanoe("store", "clean", *arguments, env=store)
    assert (done.code, done.out) == (2, "")


def test_clean_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    env = {"KANOE_HOME": str(tmp_path / "none")}
    assert json.loads(kanoe("store", "clean", "--older-than", "1d", "--json", env=env).out)["removed"] == []
    assert not (tmp_path / "none").exists()


# Stores of another kind


@pytest.mark.parametrize(
    "arguments",
    [["run", "n.ipynb"], ["runs"], ["show"], ["logs"], ["fetch"], ["cancel"], ["store", "size"], ["store", "clean"]],
)
def test_a_store_of_a_newer_version_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    write_notebook(tmp_path / "n.ipynb", "1")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "version").write_text("99\n")
    done = kanoe(*arguments, cwd=tmp_path, env={"KANOE_HOME": str(tmp_path / "home")})
    assert (done.code, done.out) == (3, "")
    assert "written by a newer Kanoe" in done.err
    assert os.listdir(tmp_path / "home") == ["version"]


@contextlib.contextmanager
def mounted(folder: Path, *arguments: object) -> Iterator[None]:
    """Mount something on a folder while the test needs it."""
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", *map(str, arguments), folder], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def test_a_store_that_can_only_be_read(store: dict[str, str], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "print('kept')")
    done = kanoe("run", path, "--no-html", "--json", env=store)
    home = Path(store["KANOE_HOME"])
    with mounted(home, "--bind", home), mounted(home, "-o", "remount,bind,ro", home):
        assert [run["run"] for run in listed(store)] == [report_of(done)["run"]]
        assert json.loads(kanoe("show", "--json", env=store).out) == report_of(done)
        assert kanoe("logs", env=store).out == "kept\n"
        assert kanoe("fetch", "last", tmp_path / "copy", env=store).code == 0
        assert kanoe("store", "size", env=store).code == 0
        for arguments in (["run", path], ["store", "clean"]):
            refused = kanoe(*arguments, "--json", env=store)
            assert (refused.code, refused.problem()["code"]) == (3, "store-unusable")
            assert "cannot be written" in refused.problem()["message"]


# A full disk


def fill(folder: Path, free: int) -> Path:
    """Leave so many bytes free."""
    filler = folder / "filler"
    there = os.statvfs(folder)
    with contextlib.suppress(OSError), filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(0, there.f_bavail * there.f_bsize - free) or 1)
    return filler


def sound(home: Path) -> None:
    """The records are whole, and every file of every run can be read."""
    with contextlib.closing(sqlite3.connect(f"file:{home}/records.sqlite?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for folder in (home / "runs").iterdir():
        for name in ("run.json", "notebook.ipynb", "log.json"):
            if (folder / name).exists():
                json.loads((folder / name).read_bytes())
    assert not [name for name in os.listdir(home / "environments") if name.endswith(".part")]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A store on a disk of 24 MB, with one run."""
    store = tmp_path / "disk"
    store.mkdir()
    with mounted(store, "-t", "tmpfs", "-o", "size=24m", "tmpfs"):
        env = own_store(store / "home")
        yield env


@pytest.mark.slow
@pytest.mark.parametrize("free", [0, 4_096, 16_384, 40_960, 65_536, 131_072, 262_144, 524_288])
def test_a_disk_that_is_full_loses_nothing(small: dict[str, str], tmp_path: Path, free: int) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb", "print('one')", "print('x' * 100_000)", "open('big', 'wb').write(b'x' * 400_000)"
    )
    first = kanoe("run", path, "--json", env=small)
    assert first.code == 0
    home = Path(small["KANOE_HOME"])
    filler = fill(home.parent, free)
    done = kanoe("run", path, "--json", env=small)
    assert done.code in ((1, 3) if free > 131_072 else (3,)), done.err
    assert json.loads(kanoe("show", report_of(first)["run"], "--json", env=small).out) == report_of(first)
    assert report_of(first)["run"] in [run["run"] for run in listed(small)]
    filler.unlink()
    sound(home)
    assert kanoe("run", path, "--no-html", env=small).code == 0
    assert set(states(small)) <= {"SUCCEEDED", "FAILED", "LOST"}
    sound(home)


@pytest.mark.slow
def test_a_disk_that_fills_while_a_cell_runs(small: dict[str, str], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    wait = "import os, time\nprint('waits', flush=True)\nwhile not os.path.exists('/kaggle/input/gate/open'): time.sleep(0.05)\n"
    path = write_notebook(tmp_path / "n.ipynb", "print('one')", wait + "for _ in range(300): print('x' * 10_000)")
    with started("run", path, "-v", "--json", "--input", gate, env=small) as command:
        command.wait_for("waits")
        home = Path(small["KANOE_HOME"])
        filler = fill(home.parent, 20_000)
        (gate / "open").write_text("now")
        done = command.finish()
    # Whoever is first: what Kanoe writes, or the guard of the disk, which ends the cell.
    assert done.code == 3 or (done.code == 1 and "this machine's disk has" in done.err), done.err
    assert "Traceback" not in done.err
    (run,) = listed(small)
    folder = Folder(Path(run["directory"]))
    assert folder.text(0) == "one\n"
    assert folder.events
    filler.unlink()
    sound(home)
    assert kanoe("run", path, "--no-html", "--input", gate, env=small).code == 0


@pytest.mark.slow
def test_a_disk_too_small_for_the_environment(small: dict[str, str], tmp_path: Path) -> None:
    home = Path(small["KANOE_HOME"])
    (home / "environments").unlink()
    done = kanoe("run", write_notebook(tmp_path / "n.ipynb", "1"), "--json", env=small)
    assert (done.code, done.problem()["code"]) == (3, "store-unusable"), done.err
    assert "full" in done.problem()["message"]
    sound(home)


# Killed at any moment


@pytest.mark.slow
@pytest.mark.parametrize("cold", [False, True])
def test_killed_at_any_moment_nothing_is_left_and_the_store_is_sound(
    tmp_path: Path, temporary: Path, cold: bool
) -> None:
    env = own_store(tmp_path / "home") | {"TMPDIR": str(temporary)}
    home = tmp_path / "home"
    if cold:
        (home / "environments").unlink()
    path = write_notebook(
        tmp_path / "n.ipynb", "print('one')", "import time; time.sleep(0.3)", "open('made', 'w').write('x')"
    )
    for number in range(6):
        with started("run", path, env=env) as command:
            time.sleep(0.15 + number * (0.6 if cold else 0.35))
            killed(command)
    done: Done = kanoe("run", path, "--no-html", env=env)
    assert done.code == 0
    sound(home)
    assert (os.listdir(temporary), os.listdir(home / "scratch")) == ([], [])
    assert os.listdir(home / "alive") == [".gate"]
    assert set(states(env)) <= {"LOST", "SUCCEEDED"}
    assert len(os.listdir(home / "runs")) == len(listed(env))
