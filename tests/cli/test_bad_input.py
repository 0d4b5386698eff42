"""Everything that can be wrong with what `kanoe run` is given: each ends with the right exit code, says what, where and what to do
next, shows no traceback of Kanoe's own, leaves nothing running and loses nothing."""

from __future__ import annotations

import html
import json
import os
import resource
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import (
    KANOE,
    PYTHON_KERNEL,
    Done,
    Folder,
    code_cell,
    kanoe,
    own_store,
    started,
    variables,
    write_notebook,
)

Arguments = list[object]


def text_file(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def notebook(folder: Path, *cells: Any, **options: Any) -> Path:
    return write_notebook(folder / "nb.ipynb", *(cells or ("print('never')",)), **options)


@dataclass(frozen=True)
class Case:
    """Something wrong: how to make it, the exit code, the diagnostic's code, words of its message, place or hint."""

    name: str
    make: Callable[[Path], Arguments]
    exit: int
    code: str
    telling: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def check(case: Case, folder: Path) -> dict[str, Any]:
    """Run a case and hold what came against what every failure must keep."""
    done = kanoe("run", *case.make(folder), "--json", "--no-html", cwd=folder, env=case.env)
    problem = done.problem()
    assert (done.code, problem["code"]) == (case.exit, case.code), problem
    said = " ".join(filter(None, (problem["message"], problem["place"], problem["hint"])))
    for word in case.telling:
        assert word in said, said
    assert problem["hint"], said
    assert problem["message"] in done.err
    assert problem["hint"] in done.err
    assert done.report["state"] == "FAILED"
    assert not [task for task in done.report["tasks"] if task["state"] != "SKIPPED"]
    if done.report["directory"]:
        left = Folder(Path(done.report["directory"]))
        assert left.facts["report"] == done.report
        assert (left.log, left.notebook.nbformat) == ([], 4)
    return problem


# The source.


def misspelt(folder: Path) -> Arguments:
    write_notebook(folder / "titanic.ipynb", "1")
    return [folder / "titanc.ipynb"]


def several(folder: Path) -> Arguments:
    write_notebook(folder / "one.ipynb", "1")
    write_notebook(folder / "two.ipynb", "1")
    return [folder]


def metadata(text: str) -> Callable[[Path], Arguments]:
    def make(folder: Path) -> Arguments:
        notebook(folder)
        text_file(folder / "kernel-metadata.json", text)
        return [folder]

    return make


def of_content(content: str | bytes, name: str = "nb.ipynb") -> Callable[[Path], Arguments]:
    return lambda folder: [text_file(folder / name, content)]


def cut_short(folder: Path) -> Arguments:
    path = notebook(folder, "print(1)", "print(2)")
    return [text_file(path, path.read_bytes()[:200])]


def of_language(name: str, language: str) -> Callable[[Path], Arguments]:
    kernel = {"kernelspec": {"name": name, "display_name": name, "language": language}}
    return lambda folder: [notebook(folder, "x <- 1", metadata=kernel)]


def pipe(folder: Path) -> Arguments:
    os.mkfifo(folder / "pipe.ipynb")
    return [folder / "pipe.ipynb"]


def circle(folder: Path) -> Arguments:
    (folder / "circle.ipynb").symlink_to(folder / "circle.ipynb")
    return [folder / "circle.ipynb"]


SOURCES = [
    Case("missing file", misspelt, 2, "source-missing", ("titanc.ipynb", "Did you mean", "titanic.ipynb`?")),
    Case("missing folder", lambda folder: ["no/where.ipynb"], 2, "source-missing", ("no/where.ipynb", "`no`")),
    Case("empty name", lambda folder: [""], 2, "source-missing", ("empty",)),
    Case("folder without a program", lambda folder: [folder], 2, "source-kind", ("holds no notebook", ".ipynb")),
    Case("folder of several", several, 2, "source-ambiguous", ("`one.ipynb`, `two.ipynb`", "kanoe run")),
    Case(
        "metadata of another file", metadata('{"code_file": "gone.ipynb"}'), 2, "source-missing", ("code_file", "gone")
    ),
    Case("broken metadata", metadata('{"code_file": '), 2, "metadata-broken", ("kernel-metadata.json",)),
    Case("empty file", of_content(""), 2, "source-empty", ("nb.ipynb", "empty", "again")),
    Case("blank file", of_content(" \n\n"), 2, "source-empty", ("nb.ipynb", "again")),
    Case("empty script", of_content("", "a.py"), 2, "source-empty", ("a.py",)),
    Case("truncated JSON", cut_short, 2, "notebook-broken", ("nb.ipynb", "cut short", "again")),
    Case("binary", of_content(bytes(range(256)) * 9), 2, "notebook-broken", ("nb.ipynb", "binary")),
    Case("binary script", of_content(bytes(range(256)) * 9, "a.py"), 2, "source-encoding", ("a.py",)),
    Case("a page", of_content("<!DOCTYPE html><p>x"), 2, "notebook-broken", ("web page", "Download the notebook")),
    Case("a list", of_content("[1, 2]"), 2, "notebook-broken", ("nb.ipynb",)),
    Case("an empty object", of_content("{}"), 2, "notebook-broken", ("nb.ipynb",)),
    Case("too deep", of_content('{"cells": ' + "[" * 100_000), 2, "notebook-broken", ("nb.ipynb",)),
    Case(
        "nbformat 2",
        of_content('{"nbformat": 2, "metadata": {}, "worksheets": []}'),
        *(2, "notebook-version", ("nbformat 2", "nbconvert --to notebook")),
    ),
    Case("nbformat 9", of_content('{"nbformat": 9, "metadata": {}, "cells": []}'), 2, "notebook-version", ("9",)),
    Case("R", of_language("ir", "R"), 2, "notebook-language", ("is written in R", "Python")),
    Case("Julia", of_language("julia-1.9", "julia"), 2, "notebook-language", ("Julia",)),
    Case("R script", of_content("x <- 1", "a.R"), 2, "notebook-language", ("a.R", "written in R")),
    Case("data", of_content("a,b", "train.csv"), 2, "source-kind", ("train.csv", "--input")),
    Case("no ending", of_content("print(1)", "script"), 2, "source-kind", ("`script`", ".ipynb")),
    Case("a pipe", pipe, 2, "source-kind", ("pipe.ipynb",)),
    Case("a link to itself", circle, 2, "source-unreadable", ("circle.ipynb",)),
    Case("a Kaggle reference", lambda folder: ["alice/my-code"], 2, "source-missing", ("kaggle kernels pull alice",)),
    Case("an address", lambda folder: ["https://www.kaggle.com/code/a/b"], 2, "source-kind", ("kaggle kernels pull",)),
]


@pytest.mark.parametrize("case", SOURCES, ids=lambda case: case.name)
def test_a_source_that_cannot_run(tmp_path: Path, case: Case) -> None:
    check(case, tmp_path)


def test_a_notebook_without_a_kernelspec_is_taken_for_python(tmp_path: Path) -> None:
    done = kanoe("run", notebook(tmp_path, "print(1)", metadata={}), "--json", "--no-html")
    (remark,) = done.report["diagnostics"]
    assert (done.code, remark["code"], remark["severity"]) == (0, "kernelspec-missing", "info")
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "1\n"
    assert folder.notebook.metadata["kernelspec"]["language"] == "python"


def test_a_notebook_without_cells(tmp_path: Path) -> None:
    path = text_file(
        tmp_path / "nb.ipynb", json.dumps({"cells": [], "metadata": PYTHON_KERNEL, "nbformat": 4, "nbformat_minor": 5})
    )
    done = kanoe("run", path, "--json")
    assert (done.code, done.states) == (0, [])
    assert Folder(Path(done.report["directory"])).code == []


def test_cells_that_do_not_parse_fail_when_their_turn_comes(tmp_path: Path) -> None:
    done = kanoe("run", notebook(tmp_path, "print('fine')", "x = = 1"), "--json", "--no-html")
    assert (done.code, done.states) == (1, ["SUCCEEDED", "FAILED"])
    assert Folder(Path(done.report["directory"])).code[1].outputs[0].ename == "SyntaxError"


# Data.


def same_slug(folder: Path) -> Arguments:
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    return [notebook(folder), "--input", f"{folder / 'one'}:toy", "--input", f"{folder / 'two'}:toy"]


def same_names(folder: Path) -> Arguments:
    first, second = text_file(folder / "one" / "a.csv", "1"), text_file(folder / "two" / "a.csv", "2")
    return [notebook(folder), "--input", first, "--input", second]


def misspelt_input(folder: Path) -> Arguments:
    (folder / "titanic").mkdir()
    return [notebook(folder), "--input", folder / "titanik"]


def broken_zip(folder: Path) -> Arguments:
    with zipfile.ZipFile(folder / "toy.zip", "w") as archive:
        archive.writestr("a.csv", "x" * 10_000)
    whole = (folder / "toy.zip").read_bytes()
    return [notebook(folder), "--input", text_file(folder / "toy.zip", whole[: len(whole) // 2])]


def input_pipe(folder: Path) -> Arguments:
    os.mkfifo(folder / "pipe")
    return [notebook(folder), "--input", folder / "pipe"]


DATA = [
    Case("missing", misspelt_input, 2, "input-missing", ("titanik", "--input", "Did you mean", "titanic`?")),
    Case("two with one slug", same_slug, 2, "input-clash", ("one:toy", "two:toy", "same slug `toy`", "PATH:SLUG")),
    Case("two of one name", same_names, 2, "input-clash", ("a.csv", "PATH:SLUG")),
    Case("a damaged zip", broken_zip, 2, "input-kind", ("toy.zip",)),
    Case("a pipe", input_pipe, 2, "input-kind", ("pipe",)),
    Case(
        "no slug", lambda folder: [notebook(folder), "--input", f"{folder}:../x"], 2, "input-kind", ("../x", "titanic")
    ),
]


@pytest.mark.parametrize("case", DATA, ids=lambda case: case.name)
def test_data_that_cannot_be_attached(tmp_path: Path, case: Case) -> None:
    check(case, tmp_path)


# The environment.


def with_options(*options: str) -> Callable[[Path], Arguments]:
    return lambda folder: [notebook(folder), *options]


def with_file(name: str, content: str | bytes) -> Callable[[Path], Arguments]:
    def make(folder: Path) -> Arguments:
        text_file(folder / name, content)
        return [notebook(folder)]

    return make


def with_lock(content: str | bytes) -> Callable[[Path], Arguments]:
    def make(folder: Path) -> Arguments:
        return [notebook(folder), "--lock", text_file(folder / "the.lock", content)]

    return make


def folder_for_lock(folder: Path) -> Arguments:
    (folder / "the.lock").mkdir()
    return [notebook(folder), "--lock", folder / "the.lock"]


UNSOLVABLE = ("--with", "jinja2<2", "--with", "jinja2>=3")
NO_DOWNLOADS = {"UV_PYTHON_DOWNLOADS": "never"}
ENVIRONMENTS = [
    Case(
        "unknown distribution",
        lambda folder: [notebook(folder, "x = 1", "import qqzzyx_is_nowhere")],
        *(2, "distribution-unknown", ("qqzzyx_is_nowhere", "cell 1", "--with NAME")),
    ),
    Case("unsolvable", with_options(*UNSOLVABLE), 2, "requirements-unsolvable", ("jinja2<2", "jinja2>=3", "--with")),
    Case(
        "unsolvable file",
        with_file("requirements.txt", "jinja2<2\njinja2>=3\n"),
        *(2, "requirements-unsolvable", ("jinja2<2", "requirements.txt", "Loosen")),
    ),
    Case("no such version", with_options("--with", "jinja2==99.9"), 2, "requirements-unsolvable", ("jinja2", "99.9")),
    Case("no requirement", with_options("--with", "jinja2=>3"), 2, "requirement-broken", ("jinja2=>3", "--with")),
    Case("no requirements", with_file("requirements.txt", "a b c\n"), 2, "requirement-broken", ("requirements.txt",)),
    Case("no TOML", with_file("pyproject.toml", "[project\n"), 2, "requirement-broken", ("pyproject.toml",)),
    Case("no YAML", with_file("environment.yml", "a: [\n"), 2, "requirement-broken", ("environment.yml",)),
    Case(
        "no interpreter",
        with_options("--python", "3.11.29"),
        3,
        "python-missing",
        ("3.11.29", "--python"),
        NO_DOWNLOADS,
    ),
    Case("Python 2", with_options("--python", "2.7"), 2, "python-version", ("2.7", "3.6")),
    Case("Python of the future", with_options("--python", "3.99"), 2, "python-version", ("3.99",)),
    Case("no version", with_options("--python", "snake"), 2, "python-version", ("snake", "--python")),
    Case("no program", with_options("--python", "/bin/false"), 3, "python-missing", ("/bin/false",)),
    Case("no day", with_options("--as-of", "2022-13-45"), 2, "date-broken", ("2022-13-45", "--as-of")),
    Case("missing lock", with_options("--lock", "no.lock"), 2, "lock-broken", ("no.lock", "kanoe env lock")),
    Case("a folder for a lock", folder_for_lock, 2, "lock-broken", ("the.lock", "kanoe env lock")),
    Case("no TOML lock", with_lock("garbage["), 2, "lock-broken", ("the.lock line 1", "kanoe env lock")),
    Case("another tool's lock", with_lock('version = 1\n[[package]]\nname = "x"\n'), 2, "lock-broken", ("the.lock",)),
    Case("a binary lock", with_lock(bytes(range(256))), 2, "lock-broken", ("the.lock", "kanoe env lock")),
    Case("an empty lock", with_lock(""), 2, "lock-broken", ("the.lock", "kanoe env lock")),
    Case("a lock of the future", with_lock("kanoe-lock = 99\n"), 2, "lock-broken", ("99",)),
    Case("a broken lock beside", with_file("nb.lock", "garbage["), 2, "lock-broken", ("nb.lock line 1",)),
]


@pytest.mark.parametrize("case", ENVIRONMENTS, ids=lambda case: case.name)
def test_an_environment_that_cannot_be(tmp_path: Path, case: Case) -> None:
    check(case, tmp_path)


def test_a_lock_that_no_longer_fits(tmp_path: Path) -> None:
    path = notebook(tmp_path, "1")
    assert kanoe("env", "lock", path).code == 0
    lock = (tmp_path / "nb.lock").read_text()

    def stale(folder: Path) -> Arguments:
        return [notebook(folder, "1", "import attr")]

    def elsewhere(folder: Path) -> Arguments:
        platform = next(line for line in lock.splitlines() if line.startswith("platform"))
        text_file(folder / "nb.lock", lock.replace(platform, 'platform = "riscv-plan9"'))
        return [notebook(folder, "1")]

    told = check(Case("stale", stale, 2, "lock-stale", ("attr", "cell 1", "kanoe env lock nb.ipynb")), tmp_path)
    assert told["place"] == "nb.lock"
    check(Case("platform", elsewhere, 2, "lock-platform", ("riscv-plan9", "kanoe env lock nb.ipynb")), tmp_path)


@pytest.fixture
def closed_port() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("variable", ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL"])
def test_a_registry_that_does_not_answer(tmp_path: Path, closed_port: str, variable: str) -> None:
    env = {
        variable: f"http://{closed_port}/simple",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_HTTP_RETRIES": "0",
        "KANOE_HOME": str(tmp_path / "home"),
    }
    (tmp_path / "work").mkdir()
    case = Case(
        variable, with_options(), 3, "registry-unreachable", (closed_port, "does not answer", "UV_DEFAULT_INDEX"), env
    )
    check(case, tmp_path / "work")


def test_a_store_that_cannot_be_used(tmp_path: Path) -> None:
    path = notebook(tmp_path)
    text_file(tmp_path / "file", "")
    for command in (["run", path], ["runs"], ["env", "lock", path]):
        done = kanoe(*command, "--json", env={"KANOE_HOME": str(tmp_path / "file" / "home")})
        assert (done.code, done.problem()["code"]) == (3, "store-unusable"), command
        assert "KANOE_HOME" in done.problem()["hint"]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """No file may grow beyond 3 MB."""
    path = notebook(tmp_path, "print('one')", "for _ in range(400):\n    print('x' * 20_000)", "print('three')")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))  # noqa: E731
    ended = subprocess.run(
        [*KANOE, "run", str(path), "--json", "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=variables(),
        preexec_fn=limit,
        check=False,
    )
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    assert "Traceback" not in done.err
    problem = done.problem()
    assert (done.code, problem["code"], problem["place"]) == (3, "store-unusable", str(tmp_path / "out"))
    assert "--output" in problem["hint"]
    assert Folder(tmp_path / "out").text(0) == "one\n"


# The process behind the notebook.


def test_a_kernel_that_dies_at_its_start(tmp_path: Path) -> None:
    """A module of the author's stands in the way of one that every kernel imports."""
    text_file(tmp_path / "zmq.py", "raise RuntimeError('this is the author\\'s zmq')")
    done = kanoe("run", notebook(tmp_path, "import zmq", "print('never')"), "--json")
    problem = done.problem()
    assert (done.code, problem["code"]) == (3, "kernel-start")
    assert "this is the author's zmq" in problem["message"]
    assert "/kaggle/lib/zmq.py" in problem["message"]
    assert "kernel.log" in problem["hint"]
    folder = Folder(Path(done.report["directory"]))
    assert "this is the author's zmq" in (folder.path / "kernel.log").read_text()
    assert [cell.outputs for cell in folder.code] == [[], []]


DEATHS = [
    ("os._exit", "import os; os._exit(3)", "exit status 3"),
    ("a quiet end", "import os; os._exit(0)", "exit status 0"),
    ("a crash", "import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ("an abort", "import os; os.abort()", "SIGABRT"),
    ("a kill", "import os; os.kill(os.getpid(), 9)", "SIGKILL"),
    ("an end with daemons", "import os\nos.system('setsid sleep 600 &')\nos._exit(4)", "exit status 4"),
]


@pytest.mark.parametrize(("code", "says"), [case[1:] for case in DEATHS], ids=[case[0] for case in DEATHS])
def test_a_process_that_dies(tmp_path: Path, code: str, says: str) -> None:
    before = "print('before', flush=True)\nopen('made.txt', 'w').close()\nimport time; time.sleep(0.3)\n"
    path = notebook(tmp_path, "print('one')", before + code, "print('never')")
    page = ["--html" if says == "exit status 3" else "--no-html"]
    done = kanoe("run", path, "--json", "--keep-going", *page)
    assert (done.code, done.states) == (1, ["SUCCEEDED", "FAILED", "SKIPPED"])
    problem = done.problem()
    assert (problem["code"], problem["place"]) == ("kernel-died", "nb.ipynb cell 1")
    assert says in problem["message"]
    assert problem["hint"]
    folder = Folder(Path(done.report["directory"]))
    assert [folder.text(0), folder.text(1), folder.text(2)] == ["one\n", "before\n", ""]
    assert (folder.path / "working" / "made.txt").exists()
    assert "--no-html" in page or "before" in (folder.path / "notebook.html").read_text()
    assert [record["data"] for record in folder.log] == ["one\n", "before\n"]


HARMLESS = [
    ("closes stdout", "import os, sys\nsys.stdout.close(); os.close(1); os.close(2)"),
    ("kills its parent", "import os; os.kill(os.getppid(), 9)"),
    ("kills all others", "import contextlib, os\nwith contextlib.suppress(OSError): os.kill(-1, 9)"),
    ("removes its folder", "import shutil; shutil.rmtree('/kaggle/working', ignore_errors=True)"),
    (
        "leaves daemons",
        "import subprocess\nfor _ in range(3): subprocess.Popen('setsid sleep 600 & sleep 600', shell=True)",
    ),
    ("leaves a thread", "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"),
    ("is deaf", "import signal\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)"),
    ("takes the streams", "import sys\nsys.stdout = sys.stderr = None"),
]


@pytest.mark.parametrize("code", [case[1] for case in HARMLESS], ids=[case[0] for case in HARMLESS])
def test_what_a_cell_does_to_its_surroundings_stays_there(tmp_path: Path, code: str) -> None:
    done = kanoe("run", notebook(tmp_path, "print('one')", code, "x = 40 + 2", "x"), "--json", "--no-html")
    assert done.code == 0, done.err
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "one\n"
    assert folder.code[3].outputs[0].data["text/plain"] == "42"
    assert (folder.path / "working").is_dir()


def test_an_exit_of_the_program(tmp_path: Path) -> None:
    """As in Jupyter: `exit()` of a notebook's own does nothing, `SystemExit` fails its cell."""
    path = notebook(
        tmp_path, "exit()", "quit(1)", "import sys; sys.exit('bye')", "raise SystemExit(0)", "print('after')"
    )
    done = kanoe("run", path, "--json", "--no-html", "--keep-going")
    assert (done.code, done.states) == (1, ["SUCCEEDED", "SUCCEEDED", "FAILED", "FAILED", "SUCCEEDED"])
    assert [task["reason"] for task in done.report["tasks"][2:4]] == ["SystemExit: bye", "SystemExit: 0"]
    assert Folder(Path(done.report["directory"])).text(4) == "after\n"


def test_kanoe_killed_in_the_middle_of_a_cell(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "print('one')\nopen('made.txt', 'w').write('kept');",
        "print('now waiting', flush=True)\nimport subprocess, time\nsubprocess.Popen('setsid sleep 600 &', shell=True)\ntime.sleep(600)",
    )
    env = own_store(tmp_path / "home")
    out = tmp_path / "out"
    with started("run", path, "-v", "-o", out, env=env) as command:
        command.wait_for("now waiting")
        time.sleep(0.3)
        command.signal(signal.SIGKILL)
        assert command.finish().code == -signal.SIGKILL
    folder = Folder(out)
    assert folder.text(0) == "one\n"
    assert folder.text(1) == "now waiting\n"
    assert (out / "working" / "made.txt").read_text() == "kept"
    assert folder.events[-1]["event"] == "message"
    assert folder.facts["report"] is None
    (listed,) = json.loads(kanoe("runs", "--json", env=env).out)["runs"]
    assert listed["state"] == "LOST"
    assert "LOST" in kanoe("runs", env=env).out
    assert "LOST" in kanoe("show", "last", env=env).out
    assert json.loads(kanoe("show", "last", "--json", env=env).out)["state"] == "LOST"
    assert kanoe("logs", env=env).out == "one\nnow waiting\n"
    again = kanoe("run", notebook(tmp_path, "print('again')"), "-o", out, "--no-html", env=env)
    assert (again.code, Folder(out).text(0)) == (0, "again\n")


# Sizes.


@pytest.mark.slow
def test_200_megabytes_of_output(tmp_path: Path) -> None:
    path = notebook(tmp_path, "line = 'x' * 99\nfor _ in range(2_000_000): print(line)", "print('after')")
    done = kanoe("run", path, "--json")
    assert (done.code, done.states) == (0, ["SUCCEEDED", "SUCCEEDED"])
    (remark,) = done.report["diagnostics"]
    assert (remark["code"], remark["severity"]) == ("output-large", "info")
    folder = Path(done.report["directory"])
    document = json.loads((folder / "notebook.ipynb").read_bytes())
    whole = "".join(output_text for output_text in document["cells"][0]["outputs"][0]["text"])
    assert whole == ("x" * 99 + "\n") * 2_000_000
    with (folder / "log.json").open() as log:
        assert sum(1 for line in log if '"data":"' + "x" * 99 + '\\n"}' in line) == 2_000_000
    page = (folder / "notebook.html").read_text()
    assert len(page) < 5_000_000
    assert "characters left out of this page" in page


@pytest.mark.slow
def test_5000_cells(tmp_path: Path) -> None:
    path = notebook(tmp_path, *(f"print({number})" for number in range(5000)))
    done = kanoe("run", path, "--json", "-q")
    assert done.code == 0
    assert done.states == ["SUCCEEDED"] * 5000
    folder = Folder(Path(done.report["directory"]))
    code = folder.code
    assert "".join(cell.outputs[0].text for cell in code) == "".join(f"{number}\n" for number in range(5000))
    assert [record["data"] for record in folder.log] == [f"{number}\n" for number in range(5000)]
    assert (folder.path / "notebook.html").stat().st_size > 1_000_000


@pytest.mark.slow
def test_a_notebook_of_100_megabytes(tmp_path: Path) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": ["y" * 99 + "\n"] * 100_000}
    path = notebook(tmp_path, *(code_cell(f"print({number})", outputs=[output]) for number in range(10)))
    assert path.stat().st_size > 100_000_000
    done = kanoe("run", path, "--json")
    assert (done.code, done.states) == (0, ["SUCCEEDED"] * 10)
    folder = Folder(Path(done.report["directory"]))
    assert [folder.text(number) for number in range(10)] == [f"{number}\n" for number in range(10)]
    assert (folder.path / "notebook.ipynb").stat().st_size < 100_000


# Names.


NAMES = [
    "two words.ipynb",
    'it\'s "quoted" `so` $HOME %s {0}.ipynb',
    "[red]markup[/red] <b>&amp;.ipynb",
    "Übung 数据 🚢.ipynb",
    "line\nbreak.ipynb",
    ".hidden.ipynb",
    "UPPER.IPYNB",
    "no-letters-" + "x" * 230 + ".ipynb",
    "---.ipynb",
]


@pytest.mark.parametrize(
    "name", NAMES, ids=["spaces", "quotes", "markup", "Unicode", "line", "hidden", "upper", "long", "dashes"]
)
def test_a_name_is_a_name(tmp_path: Path, name: str) -> None:
    write_notebook(tmp_path / name, "print('ran')")
    page = "--no-html" if name in (".hidden.ipynb", "UPPER.IPYNB", "---.ipynb") else "--html"
    done = kanoe("run", "--json", page, "--", name, cwd=tmp_path)
    assert done.code == 0, done.err
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "ran\n"
    assert folder.facts["source"] == str(tmp_path / name)
    if page == "--html":
        title = html.escape(Path(name).stem, quote=False)
        assert f"<title>{title}</title>" in html_text(folder.path / "notebook.html")
    assert done.report["run"] in kanoe("runs", "-n", "1").out
    assert kanoe("logs", done.report["run"]).out == "ran\n"


def html_text(path: Path) -> str:
    """A page, with quotes as they are."""
    return path.read_text().replace("&#39;", "'").replace("&#34;", '"')


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = "caf\udce9.ipynb"  # a byte that is no UTF-8
    write_notebook(tmp_path / name, "print('ran')", "1 / 0")
    (tmp_path / "to\udce9").mkdir()
    done = kanoe("run", name, "-o", "to\udce9/out", cwd=tmp_path)
    assert done.code == 1
    assert done.directory == tmp_path / "to\udce9" / "out"
    assert Folder(done.directory).text(0) == "ran\n"
    assert "cell 1 line 1" in done.err
    (listed,) = json.loads(kanoe("runs", "-n", "1", "--json").out)["runs"]
    assert (listed["source"], listed["directory"]) == (str(tmp_path / name), str(done.directory))
    assert str(tmp_path / name) in kanoe("runs", "-n", "1").out
    assert kanoe("logs").out.startswith("ran\n")
    assert kanoe("run", "gone\udce9.ipynb", "--json").problem()["code"] == "source-missing"


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=["stdout", "stderr", "all"])
def test_streams_that_are_closed(tmp_path: Path, closed: tuple[int, ...]) -> None:
    path = notebook(tmp_path, "print('ran')\nimport os; os.system('echo child')")
    command = [*KANOE, "run", str(path), "--no-html", "-o", str(tmp_path / "out")]
    redirections = " ".join(f"{number}>&-" for number in closed)
    shell = ["sh", "-c", f'"$@" {redirections}', "sh", *command]
    ended = subprocess.run(shell, capture_output=True, text=True, env=variables(), check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ("" if 1 in closed else f"{tmp_path / 'out'}\n")
    assert Folder(tmp_path / "out").text(0) == "ran\nchild\n"


def test_a_leading_dash_needs_two_dashes(tmp_path: Path) -> None:
    text_file(tmp_path / "-dash.py", "print('ran')")
    assert kanoe("run", "--no-html", "--", "-dash.py", cwd=tmp_path).code == 0
    assert kanoe("run", "--no-html", "-dash.py", cwd=tmp_path).code == 2
