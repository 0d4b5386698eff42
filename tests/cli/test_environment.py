"""`kanoe env lock`, `kanoe env show` and `kanoe python`, by the real command on real environments."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from pathlib import Path

import pytest
from kanoe_command import Folder, at_terminal, kanoe, started, write_notebook


def test_a_lock_is_written_beside_the_source_and_used(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "my notes.ipynb", "import attr\nprint(attr.__version__)")
    done = kanoe("env", "lock", path)
    lock = tmp_path / "my notes.lock"
    assert (done.code, done.out) == (0, f"{lock}\n")
    assert "environment" in done.err
    content = tomllib.loads(lock.read_text())
    held = {entry["name"]: entry for entry in content["distribution"]}
    assert {"attrs", "ipykernel"} <= set(held)
    assert "imported by cell 0" in held["attrs"]["why"]
    assert all(entry["hashes"] for entry in held.values())
    assert "kanoe env lock 'my notes.ipynb'" in lock.read_text()
    assert str(tmp_path) not in lock.read_text()

    first = lock.read_bytes()
    again = kanoe("env", "lock", path, "--json")
    assert lock.read_bytes() == first
    assert json.loads(again.out) == {
        "file": str(lock),
        "python": content["python"],
        "distributions": len(content["distribution"]),
    }

    ran = kanoe("run", path, "--no-html")
    assert ran.code == 0, ran.err
    assert "from my notes.lock" in ran.err
    folder = Folder(ran.directory)
    assert folder.text(0) == held["attrs"]["version"] + "\n"
    assert folder.facts["environment"]["lock"] == str(lock)
    assert tomllib.loads((folder.path / "kanoe.lock").read_text()) == content


def test_a_lock_goes_where_it_is_wanted(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    done = kanoe("env", "lock", path, "-o", "other.lock", "--with", "attrs<25", cwd=tmp_path)
    assert done.out == f"{tmp_path / 'other.lock'}\n"
    assert not (tmp_path / "n.lock").exists()
    held = {entry["name"]: entry for entry in tomllib.loads((tmp_path / "other.lock").read_text())["distribution"]}
    assert int(held["attrs"]["version"].split(".")[0]) < 25
    ran = kanoe("run", path, "--lock", tmp_path / "other.lock", "--no-html", "--json")
    assert ran.code == 0
    nowhere = kanoe("env", "lock", path, "-o", tmp_path / "no" / "where.lock", "--json")
    assert (nowhere.code, nowhere.problem()["code"]) == (2, "output-unwritable")
    assert "where.lock" in nowhere.problem()["message"]
    assert nowhere.problem()["place"] == "--output"


def test_show_says_what_and_why_and_builds_nothing(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("attrs<25\n")
    (tmp_path / "mine.py").write_text("x = 1")
    path = write_notebook(tmp_path / "n.ipynb", "import mine", "import attr")
    home = Path(os.environ["KANOE_HOME"])
    before = set((home / "environments").iterdir())
    text = kanoe("env", "show", path)
    assert text.code == 0
    for telling in (
        "n.ipynb: Python 3.",
        "attrs 24",
        "requirements.txt",
        "imported by cell 1",
        "ipykernel",
        "local modules: mine",
    ):
        assert telling in text.out
    shown = json.loads(kanoe("env", "show", path, "--json").out)
    assert shown["source"] == str(path)
    assert shown["lock"] is None
    assert shown["local_modules"] == ["mine"]
    assert {"attrs<25", "ipykernel"} <= {
        entry["requirement"].split(";")[0].strip() for entry in shown["requirements"]
    } | {"ipykernel"}
    assert all(entry["version"] for entry in shown["distributions"])
    assert set((home / "environments").iterdir()) - before <= {home / "environments" / "interpreters"}


@pytest.mark.parametrize("verb", ["lock", "show"])
def test_trouble_is_told_as_everywhere(tmp_path: Path, verb: str) -> None:
    missing = kanoe("env", verb, "nothing.ipynb", "--json")
    assert (missing.code, missing.problem()["code"]) == (2, "source-missing")
    path = write_notebook(tmp_path / "n.ipynb", "1")
    unsolvable = kanoe("env", verb, path, "--with", "attrs<20", "--with", "attrs>22", "--json")
    assert (unsolvable.code, unsolvable.problem()["code"]) == (2, "requirements-unsolvable")
    assert not (tmp_path / "n.lock").exists()


def test_control_c_while_a_lock_is_made(tmp_path: Path, silent_registry: str) -> None:
    env = {
        "UV_DEFAULT_INDEX": silent_registry,
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "KANOE_HOME": str(tmp_path / "home"),
    }
    with started("env", "lock", write_notebook(tmp_path / "n.ipynb", "1"), env=env) as command:
        command.wait_for("resolving")
        command.signal(signal.SIGINT)
        done = command.finish()
    assert (done.code, done.out) == (130, "")
    assert "Traceback" not in done.err
    assert not (tmp_path / "n.lock").exists()


# `kanoe python`


def test_code_runs_on_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("mine")
    code = "import os, sys; print(os.getcwd(), open('data.txt').read()); open('made.txt', 'w').write('x'); print('aside', file=sys.stderr)"
    done = kanoe("python", "-c", code, cwd=tmp_path)
    assert (done.code, done.out) == (0, "/kaggle/working mine\n")
    assert done.err.endswith("aside\n")
    assert "environment" in done.err
    assert (tmp_path / "made.txt").read_text() == "x"


def test_a_script_with_arguments_and_its_modules(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("answer = 42\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.py").write_text("import sys\nprint(sys.argv)\n")
    (tmp_path / "go.py").write_text("import sys, mine\nprint(mine.answer, sys.argv, __name__)\nsys.exit(7)\n")
    done = kanoe("python", "go.py", "--flag", "-c", "a b", "--json", cwd=tmp_path)
    assert (done.code, done.out) == (7, "42 ['go.py', '--flag', '-c', 'a b', '--json'] __main__\n")
    assert kanoe("python", "sub/inner.py", "x", cwd=tmp_path).out == "['sub/inner.py', 'x']\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-W", "ignore", "-X", "dev", "-c", "print('ran')"],
        ["-Ic", "print('ran')"],
        ["-cprint('ran')"],
        ["-uW", "error", "go.py"],
        ["-B", "-m", "go"],
    ],
)
def test_python_understands_its_options(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "go.py").write_text("print('ran')\n")
    done = kanoe("python", *arguments, cwd=tmp_path)
    assert (done.code, done.out) == (0, "ran\n"), done.err


def test_what_the_code_imports_is_there(tmp_path: Path) -> None:
    done = kanoe(
        "python", "--with", "attrs<25", "-c", "import attr; print(attr.__version__.split('.')[0])", cwd=tmp_path
    )
    assert (done.code, done.out) == (0, "24\n"), done.err


def test_stdin_is_the_programs_own(tmp_path: Path) -> None:
    done = kanoe("python", "-c", "print(input().upper())", cwd=tmp_path, stdin="hello\n")
    assert (done.code, done.out) == (0, "HELLO\n")
    piped = kanoe("python", "-", "arg", cwd=tmp_path, stdin="import sys; print('piped', sys.argv)\n")
    assert (piped.code, piped.out) == (0, "piped ['-', 'arg']\n")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("1 / 0", 1),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import ctypes; ctypes.string_at(0)", 139),
    ],
    ids=["exit", "error", "kill", "crash"],
)
def test_its_exit_status_is_the_programs(tmp_path: Path, code: str, status: int) -> None:
    done = kanoe("python", "-c", code, cwd=tmp_path, own_traceback=True)
    assert (done.code, done.out) == (status, "")
    assert "kanoe" not in done.err.partition("distributions")[2]


def test_a_module_runs(tmp_path: Path) -> None:
    done = kanoe("python", "-m", "this", cwd=tmp_path)
    assert done.code == 0
    assert "Beautiful is better than ugly." in done.out


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    done = kanoe("python", "gone.py", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "there is no file `gone.py`" in done.err
    (tmp_path / "inner").mkdir()
    (tmp_path / "out.py").write_text("1")
    outside = kanoe("python", "../out.py", cwd=tmp_path / "inner")
    assert outside.code == 2
    assert "outside the current folder" in outside.err
    assert "cd " in outside.err


def test_data_of_the_folder_is_attached(tmp_path: Path) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "train.csv").write_text("rows")
    done = kanoe("python", "-c", "print(open('../input/train.csv').read())", cwd=tmp_path)
    assert (done.code, done.out) == (0, "rows\n"), done.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_program_too(tmp_path: Path, number: int, status: int) -> None:
    """`kill` reaches Kanoe alone; Ctrl-C at a terminal reaches both."""
    code = "import sys, time; print('ready', file=sys.stderr, flush=True); time.sleep(600)"
    with started("python", "-c", code, cwd=tmp_path) as command:
        command.wait_for("ready")
        command.signal(number)
        done = command.finish()
    assert done.code == status
    assert "kanoe/" not in done.err


def test_the_prompt_at_a_terminal_outlives_control_c(tmp_path: Path) -> None:
    with at_terminal("python", "-q", cwd=tmp_path) as terminal:
        terminal.wait_until(lambda: ">>> " in terminal.shown)
        terminal.type("import time, sys; print('w' + 'aits'); time.sleep(600)\n")
        terminal.wait_until(lambda: "waits" in terminal.shown)
        terminal.type("\x03")
        terminal.wait_until(lambda: "KeyboardInterrupt" in terminal.shown)
        terminal.type("print(sys.stdin.isatty(), 6 * 7)\n")
        terminal.wait_until(lambda: "True 42" in terminal.shown)
        terminal.type("exit(5)\n")
        assert terminal.finish()[0] == 5
