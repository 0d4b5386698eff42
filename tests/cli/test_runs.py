"""`kanoe runs`, `show`, `logs`, `fetch`, `store size`: what ran, told by the real command."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kanoe_command import KANOE, Done, Folder, kanoe, own_store, started, variables, write_notebook


@pytest.fixture
def store(tmp_path: Path) -> dict[str, str]:
    return own_store(tmp_path / "home")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Done, Done]:
    """A store with two runs: one that succeeded, then one that failed."""
    folder = tmp_path_factory.mktemp("ran")
    env = {"KANOE_HOME": str(tmp_path_factory.getbasetemp() / "store-of-two")}
    good = write_notebook(
        folder / "good.ipynb",
        "print('\\x1b[32mgreen\\x1b[0m & <plain>')\nopen('made.txt', 'w').close()",
        "import sys\nprint('aside', file=sys.stderr)\n6 * 7",
    )
    bad = write_notebook(folder / "bad.ipynb", "x = 0", "1 / x")
    return env, kanoe("run", good, "--json", env=env), kanoe("run", bad, "--json", "--no-html", env=env)


def test_a_store_without_runs(store: dict[str, str]) -> None:
    assert kanoe("runs", env=store).out == "No runs yet. Start with `kanoe run notebook.ipynb`.\n"
    assert json.loads(kanoe("runs", "--json", env=store).out) == {"runs": []}
    for command in ("show", "logs", "fetch"):
        done = kanoe(command, env=store)
        assert (done.code, done.out) == (2, "")
        assert "`last`" in done.err
        assert "kanoe runs" in done.err


def test_runs_lists_the_newest_first(ran: tuple[dict[str, str], Done, Done]) -> None:
    env, good, bad = ran
    listed = json.loads(kanoe("runs", "--json", env=env).out)["runs"]
    assert [list(run) for run in listed] == [["run", "state", "started", "seconds", "source", "directory"]] * 2
    assert [(run["run"], run["state"]) for run in listed] == [
        (bad.report["run"], "FAILED"),
        (good.report["run"], "SUCCEEDED"),
    ]
    assert [Path(run["source"]).name for run in listed] == ["bad.ipynb", "good.ipynb"]
    table = kanoe("runs", env=env)
    assert (table.code, table.err) == (0, "")
    head, first, second = table.out.splitlines()
    assert head.split() == ["RUN", "STATE", "STARTED", "SECONDS", "SOURCE"]
    assert first.split()[:2] == [bad.report["run"], "FAILED"]
    assert second.split()[:2] == [good.report["run"], "SUCCEEDED"]
    assert len(kanoe("runs", "-n", "1", env=env).out.splitlines()) == 2


def test_show_tells_everything_again(ran: tuple[dict[str, str], Done, Done]) -> None:
    env, good, bad = ran
    assert json.loads(kanoe("show", "--json", env=env).out) == bad.report
    assert json.loads(kanoe("show", good.report["run"], "--json", env=env).out) == good.report
    text = kanoe("show", "bad", env=env).out  # the beginning of its name is enough
    for telling in (bad.report["run"], "FAILED", "cell 1", "ZeroDivisionError", "bad.ipynb cell 1 line 1", "Python 3."):
        assert telling in text
    assert bad.report["directory"] in text
    assert "made.txt" in kanoe("show", "good", env=env).out


def test_logs_are_what_the_notebook_printed(ran: tuple[dict[str, str], Done, Done]) -> None:
    env, good, bad = ran
    assert kanoe("logs", "good", env=env).out == "green & <plain>\naside\n42\n"
    assert "ZeroDivisionError: division by zero" in kanoe("logs", env=env).out
    assert "\x1b" not in kanoe("logs", env=env).out
    for run in (good, bad):
        kept = (Path(run.report["directory"]) / "log.json").read_text()
        assert kanoe("logs", run.report["run"], "--json", env=env).out == kept
    assert kanoe("logs", "good", "-f", env=env).out == "green & <plain>\naside\n42\n"


def test_fetch_copies_the_files_and_overwrites_none(ran: tuple[dict[str, str], Done, Done], tmp_path: Path) -> None:
    env, good, _ = ran
    run = good.report["run"]
    first = kanoe("fetch", run, env=env, cwd=tmp_path)
    assert (first.code, first.out) == (0, f"{tmp_path / run}\n")
    names = {entry.name for entry in (tmp_path / run).iterdir()}
    assert names == {"notebook.ipynb", "notebook.html", "log.json", "run.json", "kanoe.lock", "working"}
    assert (tmp_path / run / "working" / "made.txt").exists()
    assert Folder(tmp_path / run).text(1) == "aside\n"
    again = kanoe("fetch", run, env=env, cwd=tmp_path)
    assert (again.code, again.out) == (2, "")
    assert run in again.err
    assert "kanoe fetch RUN DIR" in again.err
    named = kanoe("fetch", run, tmp_path / "deep" / "copy", "--json", env=env)
    assert json.loads(named.out) == {"directory": str(tmp_path / "deep" / "copy")}
    nowhere = kanoe("fetch", run, "/proc/no/where", "--json", env=env)
    assert (nowhere.code, nowhere.problem()["code"]) == (2, "output-unwritable")
    beside = tmp_path / "mine"
    beside.mkdir()
    (beside / "thesis.tex").write_text("kept")
    assert kanoe("fetch", run, beside, env=env).code == 0
    assert (beside / "thesis.tex").read_text() == "kept"


@pytest.mark.parametrize("command", ["show", "logs", "fetch"])
def test_a_run_that_is_not_there(ran: tuple[dict[str, str], Done, Done], command: str) -> None:
    env, *_ = ran
    done = kanoe(command, "nothing", env=env)
    assert (done.code, done.out) == (2, "")
    assert "there is no run `nothing`" in done.err
    assert "kanoe runs" in done.err
    several = kanoe(command, "", env=env)
    assert several.code == 2
    assert "good-" in several.err
    assert "bad-" in several.err


def test_a_run_whose_folder_is_gone(store: dict[str, str], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    done = kanoe("run", path, "--no-html", "-o", tmp_path / "out", env=store)
    shutil.rmtree(done.directory)
    assert done.directory.name == "out"
    assert len(json.loads(kanoe("runs", "--json", env=store).out)["runs"]) == 1
    for command in ("show", "logs", "fetch"):
        gone = kanoe(command, env=store)
        assert (gone.code, gone.out) == (2, "")
        assert "is gone" in gone.err
        assert str(tmp_path / "out") in gone.err


def test_a_run_that_goes_on_is_followed(store: dict[str, str], tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb",
        "print('first')",
        "import os, time\nwhile not os.path.exists('/kaggle/input/gate/open'): time.sleep(0.05)\nprint('last')",
    )
    (tmp_path / "gate").mkdir()
    with started("run", path, "--no-html", "-v", "--input", tmp_path / "gate", env=store) as command:
        command.wait_for("first")
        (running,) = json.loads(kanoe("runs", "--json", env=store).out)["runs"]
        assert (running["state"], running["seconds"]) == ("RUNNING", None)
        assert json.loads(kanoe("show", "--json", env=store).out)["state"] == "RUNNING"
        assert kanoe("logs", env=store).out == "first\n"
        follower = subprocess.Popen([*KANOE, "logs", "-f"], stdout=subprocess.PIPE, text=True, env=variables(store))
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n"
        (tmp_path / "gate" / "open").write_text("now")
        assert follower.stdout.read() == "last\n"
        assert follower.wait(timeout=60) == 0
        follower.stdout.close()
        assert command.finish().code == 0
    assert json.loads(kanoe("runs", "--json", env=store).out)["runs"][0]["state"] == "SUCCEEDED"


def test_a_reader_that_goes_away_is_no_error(store: dict[str, str], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "for number in range(100_000): print(number)")
    kanoe("run", path, "--no-html", env=store)
    for command in (["logs"], ["logs", "--json"]):
        reader = subprocess.Popen(
            [*KANOE, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables(store)
        )
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert "0" in reader.stdout.readline()
        reader.stdout.close()
        assert reader.stderr.read() == ""
        assert reader.wait(timeout=60) == 0
        reader.stderr.close()


def test_control_c_while_following(store: dict[str, str], tmp_path: Path) -> None:
    with started(
        "run", write_notebook(tmp_path / "n.ipynb", "print('x')\nimport time; time.sleep(600)"), "-v", env=store
    ) as run:
        run.wait_for("x\n")
        with started("logs", "-f", env=store) as follower:
            time.sleep(2)
            follower.signal(signal.SIGINT)
            ended = follower.finish()
        assert (ended.code, ended.out, ended.err) == (130, "x\n", "")
        run.signal(signal.SIGINT)
        assert run.finish().code == 130


def test_store_size(ran: tuple[dict[str, str], Done, Done]) -> None:
    env, good, _ = ran
    size = json.loads(kanoe("store", "size", "--json", env=env).out)
    assert list(size) == ["path", "bytes", "rooms", "limit", "notebooks"]
    assert size["path"] == env["KANOE_HOME"]
    assert size["rooms"]["environments"] > 1_000_000
    assert size["rooms"]["runs"] > Path(good.report["directory"], "notebook.html").stat().st_size
    assert size["rooms"]["scratch"] == 0
    assert size["bytes"] == sum(size["rooms"].values())
    text = kanoe("store", "size", env=env).out
    for room in size["rooms"]:
        assert room in text
    assert env["KANOE_HOME"] in text
