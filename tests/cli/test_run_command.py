"""`kanoe run` from the command line: streams, exit codes, the run's folder, options, sources, data."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest
from kanoe_command import (
    KANOE,
    Done,
    Folder,
    at_terminal,
    code_cell,
    kanoe,
    markdown_cell,
    started,
    variables,
    write_notebook,
)

from kanoe.sandbox.confine import choose_tool

EXAMPLES = Path(__file__).parents[2] / "examples"


# What a run leaves.


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """One plain notebook and what running it came to."""
    folder = tmp_path_factory.mktemp("plain")
    path = write_notebook(
        folder / "plain.ipynb",
        markdown_cell("# A *plain* notebook"),
        "print('first <b> & more')\nimport sys\nprint('warned', file=sys.stderr)",
        "open('made.txt', 'w').write('kept')\nimport os\nos.makedirs('deep/er')\nopen('deep/er/x.csv', 'w').write('a,b\\n')",
        "from IPython.display import HTML\nHTML('<p>shown</p>')",
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "kaggle": {"accelerator": "none", "isInternetEnabled": False},
        },
    )
    return path, kanoe("run", path, env={"KANOE_HOME": str(tmp_path_factory.getbasetemp() / "store")})


def test_stdout_is_the_folder_and_progress_goes_to_stderr(plain: tuple[Path, Done]) -> None:
    _, done = plain
    assert done.code == 0
    assert done.directory.is_dir()
    assert done.directory.is_absolute()
    assert done.directory.name in done.err
    for telling in (
        "environment",
        "cell 0",
        "cell 1",
        "cell 2",
        "SUCCEEDED: 3 of 3 cells",
        "made.txt",
        "notebook.html",
    ):
        assert telling in done.err
    assert "first <b>" not in done.err.replace("print('first <b> & more')", "")  # its output is shown with -v only
    assert "\x1b" not in done.err


def test_the_folder_is_complete(plain: tuple[Path, Done]) -> None:
    _, done = plain
    names = {path.name for path in done.directory.iterdir()}
    assert names == {
        "notebook.ipynb",
        "notebook.html",
        "log.json",
        "working",
        "run.json",
        "kanoe.lock",
        "events.jsonl",
    }
    working = done.directory / "working"
    assert (working / "made.txt").read_text() == "kept"
    assert sorted(str(path.relative_to(working)) for path in working.rglob("*") if path.is_file()) == [
        "deep/er/x.csv",
        "made.txt",
    ]


def test_the_notebook_is_the_authors_with_outputs(plain: tuple[Path, Done]) -> None:
    path, done = plain
    folder = Folder(done.directory)
    given = json.loads(path.read_text())
    assert [cell.source for cell in folder.notebook.cells] == [cell["source"] for cell in given["cells"]]
    assert folder.notebook.metadata["kaggle"] == given["metadata"]["kaggle"]
    assert folder.notebook.metadata["language_info"]["name"] == "python"
    assert [cell.execution_count for cell in folder.code] == [1, 2, 3]
    assert folder.text(0, "stdout") == "first <b> & more\n"
    assert folder.text(0, "stderr") == "warned\n"
    assert folder.code[2].outputs[0].data["text/html"] == "<p>shown</p>"


class _Loaded(HTMLParser):
    """What a page loads when it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "data", "srcset", "poster") if tag != "link" else ("href",)
        self.addresses += [value for name, value in attrs if name in names and value]


def test_the_page_opens_offline(plain: tuple[Path, Done]) -> None:
    _, done = plain
    page = (done.directory / "notebook.html").read_text()
    loaded = _Loaded()
    loaded.feed(page)
    assert not [address for address in loaded.addresses if not address.startswith(("data:", "#"))]
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", page)
    assert not re.findall(r"\bimport\s*\(?['\"](?:https?:)?//", page)
    assert "<title>plain</title>" in page
    for shown in ("first &lt;b&gt; &amp; more", "warned", "<p>shown</p>", "A <em>plain</em> notebook"):
        assert shown in page


def test_the_log_is_in_kaggles_form(plain: tuple[Path, Done]) -> None:
    _, done = plain
    records = Folder(done.directory).log
    assert [(record["stream_name"], record["data"]) for record in records] == [
        ("stdout", "first <b> & more\n"),
        ("stderr", "warned\n"),
    ]
    text = (done.directory / "log.json").read_text()
    assert re.match(
        r'\[\{"stream_name":"stdout","time":\d+\.\d+,"data":"first \\u003cb\\u003e \\u0026 more\\n"\}\n,', text
    )


def test_run_json_says_what_ran_when_and_on_what(plain: tuple[Path, Done]) -> None:
    path, done = plain
    facts = Folder(done.directory).facts
    assert facts["version"] == 1
    assert facts["run"] == done.directory.name
    assert facts["source"] == str(path)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", facts["started"])
    assert facts["environment"]["python"].startswith("3.")
    assert Path(facts["environment"]["path"]).is_dir()
    assert facts["internet"] is False
    assert facts["inputs"] == []
    report = facts["report"]
    assert (report["state"], report["run"], report["directory"]) == ("SUCCEEDED", facts["run"], str(done.directory))
    assert {artifact["name"] for artifact in report["artifacts"]} == {"deep/er/x.csv", "made.txt"}


def test_events_tell_the_whole_run(plain: tuple[Path, Done]) -> None:
    _, done = plain
    events = Folder(done.directory).events
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run-started"
    assert kinds[-1] == "run-ended"
    assert [kind for kind in kinds if kind.startswith("task-")].count("task-ended") == 3
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


def test_the_lock_of_the_run_is_kept(plain: tuple[Path, Done]) -> None:
    _, done = plain
    lock = tomllib.loads((done.directory / "kanoe.lock").read_text())
    assert "ipykernel" in {entry["name"] for entry in lock["distribution"]}
    assert all(entry["hashes"] for entry in lock["distribution"])


# In a child, which has what leaks into the sandbox; the kernel's own descriptors are its connections.
_WRITE_EVERYWHERE = """
code = '''
import os
for descriptor in range(3, 40):
    try:
        os.write(descriptor, b"{}")
    except OSError:
        pass
'''
subprocess.run([sys.executable, "-c", code], close_fds=False)
"""


def test_json_is_one_object_and_nothing_of_the_notebook_reaches_it(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "loud.ipynb",
        "import os, sys, subprocess\nprint('loud')\nos.write(1, b'raw')\nsys.__stdout__.write('dunder')\nsys.__stdout__.flush()",
        "os.system('echo shell; echo shell >&2')\nsubprocess.run(['echo', 'child'])\n" + _WRITE_EVERYWHERE,
        "open('/dev/tty', 'w').write('terminal')",
        "",
        "open('out.bin', 'wb').write(bytes(1000))",
    )
    done = kanoe("run", path, "--json", "--no-html", "--keep-going")
    report = done.report
    assert done.code == 1  # there is no terminal inside
    assert report["state"] == "FAILED"
    assert report["run"] == Path(report["directory"]).name
    assert [task["name"] for task in report["tasks"]] == [f"cell {position}" for position in range(5)]
    assert [task["cells"] for task in report["tasks"]] == [[position] for position in range(5)]
    assert done.states == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SKIPPED", "SUCCEEDED"]
    assert [task["attempts"] for task in report["tasks"]] == [1, 1, 1, 0, 1]
    for task in report["tasks"]:
        if task["state"] != "SKIPPED":
            assert task["start"] <= task["end"]
            assert task["start"].endswith("Z")
    (artifact,) = report["artifacts"]
    assert (artifact["name"], artifact["type"], artifact["metadata"]) == ("out.bin", "system.Artifact", {"bytes": 1000})
    assert Path(artifact["uri"].removeprefix("file://")).read_bytes() == bytes(1000)
    assert report == Folder(Path(report["directory"])).facts["report"]


def test_a_cell_that_fails_ends_the_run(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "fails.ipynb", "print('before')", "x = 1\ny = 0\nprint('in it')\nx / y", "print('never')"
    )
    done = kanoe("run", path)
    assert done.code == 1
    assert "fails.ipynb cell 1 line 4" in done.err
    assert "ZeroDivisionError: division by zero" in done.err
    assert "FAILED: 2 of 3 cells" in done.err
    folder = Folder(done.directory)
    assert [folder.text(0), folder.text(1), folder.text(2)] == ["before\n", "in it\n", ""]
    assert folder.code[1].outputs[-1].ename == "ZeroDivisionError"
    assert "ZeroDivisionError" in (done.directory / "notebook.html").read_text()
    assert [record["stream_name"] for record in folder.log[:3]] == ["stdout", "stdout", "stderr"]
    assert "ZeroDivisionError" in "".join(record["data"] for record in folder.log)
    report = folder.facts["report"]
    assert [task["state"] for task in report["tasks"]] == ["SUCCEEDED", "FAILED", "SKIPPED"]
    assert report["tasks"][1]["reason"] == "ZeroDivisionError: division by zero"
    assert "cell 1" in report["tasks"][2]["reason"]


def test_keep_going_runs_the_rest_and_still_fails(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "goes_on.ipynb",
        "1 / 0",
        code_cell("undefined", "raises-exception"),
        code_cell("print('not this')", "skip-execution"),
        "b = = 2",
        "print('the end')",
    )
    done = kanoe("run", path, "--keep-going", "--no-html", "--json")
    assert done.code == 1
    assert done.states == ["FAILED", "FAILED", "SKIPPED", "FAILED", "SUCCEEDED"]
    assert Folder(Path(done.report["directory"])).text(4) == "the end\n"
    errors = [entry for entry in done.report["diagnostics"] if entry["severity"] == "error"]
    assert [entry["place"] for entry in errors] == ["goes_on.ipynb cell 0 line 1", "goes_on.ipynb cell 3 line 1"]


def test_an_expected_error_does_not_fail_the_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "expected.ipynb", code_cell("1 / 0", "raises-exception"), "print('on')")
    done = kanoe("run", path, "--no-html", "--json")
    assert (done.code, done.states) == (0, ["FAILED", "SUCCEEDED"])


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("__import__('not_anywhere' + '_zz')", "--with not-anywhere-zz"),
        ("open('../input/titanic/train.csv' + '')", "--input"),
        ("import urllib.request; urllib.request.urlopen('http://pypi.org')", "--internet"),
        ("input('name? ')", "-p NAME=VALUE"),
    ],
    ids=["module", "file", "network", "input"],
)
def test_a_failure_says_what_to_do_next(tmp_path: Path, code: str, hint: str) -> None:
    done = kanoe("run", write_notebook(tmp_path / "hint.ipynb", code), "--no-html", "--json")
    assert done.code == 1
    assert done.problem()["code"] == "cell-failed"
    assert hint in done.problem()["hint"]
    assert done.problem()["place"].startswith("hint.ipynb cell 0")


# Options.


def test_quiet_says_nothing_but_errors(tmp_path: Path) -> None:
    fine = kanoe("run", write_notebook(tmp_path / "fine.ipynb", "print('x')"), "-q", "--no-html")
    assert (fine.code, fine.err) == (0, "")
    assert fine.directory.is_dir()
    wrong = kanoe("run", write_notebook(tmp_path / "wrong.ipynb", "x = 1", "nope"), "-q", "--no-html")
    assert wrong.code == 1
    assert "NameError" in wrong.err
    assert "wrong.ipynb cell 1 line 1" in wrong.err
    assert "cell 0" not in wrong.err


def test_verbose_shows_what_the_notebook_prints_without_its_control_characters(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "talks.ipynb",
        "print('\\x1b[31mred\\x1b[0m \\x07bell')\nimport sys\nprint('aside', file=sys.stderr)\n40 + 2",
        "print('no line end', end='')",
        "def inner():\n    raise KeyError('why')\ninner()",
    )
    done = kanoe("run", path, "-v", "--no-html", own_traceback=True)
    assert done.code == 1
    for shown in ("red bell\n", "aside\n", "42\n", "no line end\n", "KeyError", "inner()"):
        assert shown in done.err
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", done.err)
    assert done.directory.is_dir()


def test_no_html(tmp_path: Path) -> None:
    done = kanoe("run", write_notebook(tmp_path / "n.ipynb", "1"), "--no-html")
    assert not (done.directory / "notebook.html").exists()
    assert (done.directory / "notebook.ipynb").exists()
    assert "page" not in done.err


def test_output_names_the_folder_and_an_earlier_runs_is_replaced(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "open('first.txt', 'w').close()")
    first = kanoe("run", path, "-o", "deep/out", "--no-html", cwd=tmp_path)
    assert first.directory == tmp_path / "deep" / "out"
    assert (first.directory / "working" / "first.txt").exists()
    write_notebook(path, "open('second.txt', 'w').close()")
    second = kanoe("run", path, "--output", tmp_path / "deep" / "out", "--no-html")
    assert second.directory == first.directory
    assert [entry.name for entry in (second.directory / "working").iterdir()] == ["second.txt"]
    assert Folder(second.directory).facts["options"]["output"] == str(tmp_path / "deep" / "out")


def test_a_folder_of_others_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "1")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("years of work")
    (taken / "run.json").write_text("{}")
    done = kanoe("run", path, "-o", taken, "--json")
    assert done.code == 2
    assert done.problem()["code"] == "output-taken"
    assert "thesis.tex" in done.problem()["message"]
    assert done.problem()["place"] == "--output"
    assert sorted(entry.name for entry in taken.iterdir()) == ["run.json", "thesis.tex"]
    on_file = kanoe("run", path, "-o", taken / "thesis.tex")
    assert (on_file.code, on_file.out) == (2, "")
    assert (taken / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("tag", ["parameters", "pipeline-parameters"])
def test_parameters_are_typed_and_put_after_the_tagged_cell(tmp_path: Path, tag: str) -> None:
    path = write_notebook(
        tmp_path / "p.ipynb",
        code_cell("n = 1\nrate = 0.5\nname = 'a'\nflag = False\nids = []\nversion: str = '1'\nleft = 'as it is'", tag),
        "print([n, rate, name, flag, ids, version, left])",
    )
    done = kanoe(
        *("run", path, "--no-html", "--json", "-p", "n=3", "-p", "rate=2", "--param", 'name=some text, "quoted"'),
        *("-p", "flag=true", "-p", "ids=[1, 2]", "-p", "version=3.10"),
    )
    assert done.code == 0, done.err
    folder = Folder(Path(done.report["directory"]))
    assert eval(folder.text(2)) == [3, 2, 'some text, "quoted"', True, [1, 2], "3.10", "as it is"]
    assert folder.facts["parameters"]["n"] == "3"
    assert len(done.states) == 3  # the injected cell is one of the run's


@pytest.mark.parametrize(
    ("given", "code", "telling"),
    [
        ("m=1", "parameter-unknown", ["`m`", "It declares n (int)"]),
        ("n=many", "parameter-value", ["`n`", "many"]),
        ("n", "parameter-value", ["NAME=VALUE"]),
        ("=1", "parameter-value", ["NAME=VALUE"]),
    ],
)
def test_a_parameter_that_does_not_fit(tmp_path: Path, given: str, code: str, telling: list[str]) -> None:
    path = write_notebook(tmp_path / "p.ipynb", code_cell("n: int = 1", "parameters"))
    done = kanoe("run", path, "-p", given, "--json")
    problem = done.problem()
    assert (done.code, problem["code"]) == (2, code)
    for word in telling:
        assert word in problem["message"] + problem["hint"]


def test_timeout_stops_the_run(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "slow.ipynb", "print('begun', flush=True)\nimport time; time.sleep(600)", "print('no')"
    )
    done = kanoe("run", path, "--timeout", "2s", "--json", "--keep-going")
    assert (done.code, done.states) == (1, ["FAILED", "SKIPPED"])
    problem = done.problem()
    assert problem["code"] == "run-timeout"
    assert problem["place"] == "slow.ipynb cell 0"
    assert "--timeout" in problem["hint"]
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "begun\n"
    assert (folder.path / "notebook.html").exists()


def test_cell_timeout_stops_the_cell_and_keep_going_goes_on(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "slow.ipynb", "import time; time.sleep(600)", "print('next')")
    done = kanoe("run", path, "--cell-timeout", "1", "--keep-going", "--json", "--no-html")
    assert (done.code, done.states) == (1, ["FAILED", "SUCCEEDED"])
    assert done.problem()["code"] == "cell-timeout"
    assert "`--cell-timeout 2`" in done.problem()["hint"]
    assert Folder(Path(done.report["directory"])).text(1) == "next\n"


@pytest.mark.parametrize("text", ["soon", "-3", "0", "1 fortnight", "nan", "inf"])
def test_a_time_that_is_none(tmp_path: Path, text: str) -> None:
    done = kanoe("run", write_notebook(tmp_path / "n.ipynb", "1"), f"--timeout={text}", "--json")
    problem = done.problem()
    assert (done.code, problem["code"], problem["place"]) == (2, "option-value", "--timeout")
    assert text in problem["message"]


# The end that the user wants.


def waiting_notebook(folder: Path, code: str = "") -> Path:
    return write_notebook(
        folder / "waits.ipynb",
        "print('one')\nopen('made.txt', 'w').write('kept')",
        f"{code}\nprint('now waiting', flush=True)\nimport subprocess, time\nsubprocess.run(['sleep', '600'])\ntime.sleep(600)",
        "print('three')",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_one_interrupt_keeps_everything(tmp_path: Path, number: int) -> None:
    with started("run", waiting_notebook(tmp_path), "-v", "--json") as command:
        command.wait_for("now waiting")
        command.signal(number)
        done = command.finish()
    assert done.code == 130
    assert done.states == ["SUCCEEDED", "CANCELLED", "SKIPPED"]
    folder = Folder(Path(done.report["directory"]))
    assert [folder.text(0), folder.text(1), folder.text(2)] == ["one\n", "now waiting\n", ""]
    assert (folder.path / "working" / "made.txt").read_text() == "kept"
    page = folder.path / "notebook.html"  # left out where the machine is too busy to make it in time
    assert not page.exists() or "now waiting" in page.read_text()
    assert [record["data"] for record in folder.log][:2] == ["one\n", "now waiting\n"]
    assert folder.facts["report"] == done.report


def test_a_cell_that_is_deaf_to_the_first_interrupt_is_ended_by_the_second(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nimport os\nprint('about', flush=True)\n"
    path = write_notebook(
        tmp_path / "deaf.ipynb",
        deaf + "import time\nprint('now waiting', flush=True)\nwhile True: time.sleep(0.1)",
        "1",
    )
    with started("run", path, "-v") as command:
        command.wait_for("now waiting")
        command.signal(signal.SIGINT)
        time.sleep(0.5)
        command.signal(signal.SIGINT)
        done = command.finish()
    assert done.code == 130
    assert "CANCELLED" in done.err
    folder = Folder(done.directory)
    assert folder.text(0) == "about\nnow waiting\n"
    assert folder.facts["report"]["state"] == "CANCELLED"
    assert [record["data"] for record in folder.log] == ["about\n", "now waiting\n"]


def test_an_interrupt_while_the_environment_is_resolved(tmp_path: Path, silent_registry: str) -> None:
    env = {
        "UV_DEFAULT_INDEX": silent_registry,
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "KANOE_HOME": str(tmp_path / "home"),
    }
    with started("run", write_notebook(tmp_path / "n.ipynb", "1"), "--json", env=env) as command:
        command.wait_for("resolving")
        command.signal(signal.SIGINT)
        done = command.finish()
    assert (done.code, done.report["state"], done.states) == (130, "CANCELLED", [])
    folder = Folder(Path(done.report["directory"]))
    assert folder.code[0].source == "1"
    assert (folder.log, folder.facts["report"]) == ([], done.report)


def test_at_a_terminal_one_line_moves_and_control_c_cancels(tmp_path: Path) -> None:
    path, out = waiting_notebook(tmp_path, "open('waiting', 'w').close()"), tmp_path / "out"
    with at_terminal("run", path, "--no-html", "-o", out, piped=True) as terminal:
        terminal.wait_until((out / "working" / "waiting").exists)
        terminal.wait_until(lambda: "cell 1 of 3" in terminal.shown)  # the line that moves
        terminal.type("\x03")
        assert terminal.finish() == (130, f"{out}\n")
        text = terminal.shown
    assert "CANCELLED: 2 of 3 cells" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back
    assert Folder(out).text(0) == "one\n"


# The command itself.


def test_the_program_and_the_module_are_one() -> None:
    program = Path(sys.executable).with_name("kanoe")
    said = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ((str(program),), KANOE)
    ]
    assert said == [f"kanoe {version('kanoe')}\n"] * 2


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "--help"], ["env", "lock", "-h"]])
def test_help_goes_to_stdout(arguments: list[str]) -> None:
    done = kanoe(*arguments)
    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out


def test_help_of_run_has_examples_and_every_option() -> None:
    text = kanoe("run", "--help").out
    options = (
        "--param --input --output --as-of --python --with --lock --internet --no-internet --timeout --cell-timeout"
    )
    for word in f"{options} --keep-going --no-html --verbose --quiet --json kanoe run titanic.ipynb".split():
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["runn", "x.ipynb"], "'run'"),
        (["run", "x.ipynb", "--ouput", "d"], "--output"),
        (["env", "lokc", "x.ipynb"], "'lock'"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(arguments: list[str], meant: str) -> None:
    done = kanoe(*arguments)
    assert (done.code, done.out) == (2, "")
    assert meant in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "x.ipynb", "--ouput", "d", "--json"],
        ["run", "--json"],
        ["run", "x.ipynb", "y.ipynb", "--json"],
        ["runs", "-n", "0", "--json"],
        ["env", "lokc", "--json"],
    ],
)
def test_wrong_usage_too_is_one_json_object(arguments: list[str]) -> None:
    done = kanoe(*arguments)
    assert done.code == 2
    assert done.problem()["code"] == "usage"
    assert done.problem()["message"]


def test_the_python_interface(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", code_cell("n = 1", "parameters"), "print(n * 2)\nassert n == 21")
    program = f"""
import sys, kanoe
assert not {{"typer", "rich", "nbconvert", "zmq"}} & set(sys.modules)
seen = []
report = kanoe.run({str(path)!r}, parameters={{"n": 21}}, html=False, watch=seen.append)
print(type(report).__name__, report.state, report.succeeded, [task.state.value for task in report.tasks], len(seen) > 5)
report = kanoe.run({str(path)!r}, kanoe.RunOptions(parameters={{"n": 22}}), html=False)
print(report.state, report.exit_code.name, [(problem.code, problem.place) for problem in report.errors])
try:
    kanoe.run("nothing.ipynb")
except kanoe.InputError as problem:
    print(problem.diagnostics[0].code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Report SUCCEEDED True ['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED'] True",
        "FAILED FAILED [('cell-failed', 'n.ipynb cell 2 line 2')]",
        "source-missing",
    ]


# What can be run.


def test_a_plain_script_is_one_cell_that_believes_to_be_a_script(tmp_path: Path) -> None:
    path = tmp_path / "plain script.py"
    path.write_text(
        '#!/usr/bin/env python\n"""What it does."""\nimport sys\n\n\ndef main():\n    print(__name__, __file__, sys.argv)\n\n\n'
        "if __name__ == '__main__':\n    main()\n"
    )
    done = kanoe("run", path, "--no-html", "--json")
    assert (done.code, done.states) == (0, ["SUCCEEDED"])
    at = "/kaggle/src/plain script.py"
    assert Folder(Path(done.report["directory"])).text(0) == f"__main__ {at} ['{at}']\n"


def test_a_percent_script_is_a_notebook(tmp_path: Path) -> None:
    path = tmp_path / "cells.py"
    path.write_text(
        "# %% [markdown]\n# # Title\n\n# %%\nx = 20\n\n# %%\nx += 1\nprint(x * 2)\n\n# %%\n# !echo shell\nprint('end')\n"
    )
    done = kanoe("run", path, "--no-html", "--json")
    assert (done.code, done.states) == (0, ["SUCCEEDED"] * 3)
    folder = Folder(Path(done.report["directory"]))
    assert [cell.cell_type for cell in folder.notebook.cells] == ["markdown", "code", "code", "code"]
    assert folder.text(1) == "42\n"


def test_a_folder_as_kaggle_gives_it(tmp_path: Path) -> None:
    write_notebook(tmp_path / "code.ipynb", "print(open('/kaggle/input/competitions/toy/a.csv').read())")
    write_notebook(tmp_path / "other.ipynb", "1 / 0")
    metadata = {
        "id": "alice/my-code",
        "title": "My code",
        "code_file": "code.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "enable_internet": True,
        "competition_sources": ["toy"],
    }
    (tmp_path / "kernel-metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "input" / "toy").mkdir(parents=True)
    (tmp_path / "input" / "toy" / "a.csv").write_text("a,b")
    for reference, options, internet in ((tmp_path, [], False), (".", ["--internet"], True)):
        done = kanoe("run", reference, "--no-html", *options, cwd=tmp_path)
        assert done.code == 0, done.err
        folder = Folder(done.directory)
        assert folder.text(0) == "a,b\n"
        assert folder.facts["internet"] is internet
        assert ("asks for the internet" in done.err) is not internet
        assert folder.facts["source"] == str(tmp_path / "code.ipynb")


def test_a_module_beside_the_notebook_is_importable(tmp_path: Path) -> None:
    (tmp_path / "local_part.py").write_text("def answer():\n    return 42\n")
    (tmp_path / "local_package").mkdir()
    (tmp_path / "local_package" / "__init__.py").write_text("from local_package.inner import deep\n")
    (tmp_path / "local_package" / "inner.py").write_text("deep = 'here'\n")
    (tmp_path / "secret.txt").write_text("not for the notebook")
    path = write_notebook(
        tmp_path / "n.ipynb",
        "import local_package\nfrom local_part import answer\nprint(answer(), local_package.deep)",
        f"import os\nprint(os.listdir(), os.path.exists({str(tmp_path / 'secret.txt')!r}))",
    )
    done = kanoe("run", path, "--no-html")
    assert done.code == 0, done.err
    folder = Folder(done.directory)
    assert (folder.text(0), folder.text(1)) == ("42 here\n", "[] False\n")


# Data.


def walk_notebook(path: Path, *before: str) -> Path:
    return write_notebook(
        path,
        *before,
        "import os\nfor folder, _, names in sorted(os.walk('/kaggle/input')):\n"
        "    for name in sorted(names):\n        print(os.path.join(folder, name))",
    )


@pytest.mark.parametrize("where", ["nb/input", "input"], ids=["beside", "above"])
def test_an_input_folder_is_found(tmp_path: Path, where: str) -> None:
    (tmp_path / where).mkdir(parents=True)
    (tmp_path / where / "train.csv").write_text("x\n1\n")
    path = write_notebook(tmp_path / "nb" / "n.ipynb", "print(open('../input/train.csv').read())")
    done = kanoe("run", path, "--no-html")
    assert done.code == 0, done.err
    assert "/kaggle/input" in done.err
    folder = Folder(done.directory)
    assert folder.text(0) == "x\n1\n\n"
    (data,) = folder.facts["inputs"]
    assert data["given"] == str(tmp_path / where)
    assert [len(digest) for digest in data["sha256"].values()] == [64]


def test_inputs_are_attached_read_only_under_their_slugs(tmp_path: Path) -> None:
    (tmp_path / "titanic").mkdir()
    (tmp_path / "titanic" / "train.csv").write_text("x")
    with zipfile.ZipFile(tmp_path / "toy.zip", "w") as archive:
        archive.writestr("inner/a.txt", "zipped")
    (tmp_path / "single file.csv").write_text("one")
    path = walk_notebook(
        tmp_path / "n.ipynb",
        "print(open('../input/titanic/train.csv').read(), open('/kaggle/input/toy/inner/a.txt').read())",
        "open('../input/titanic/new.csv', 'w')",
    )
    done = kanoe(
        *("run", path, "--no-html", "--keep-going"),
        *("--input", tmp_path / "titanic", "--input", f"{tmp_path / 'toy.zip'}:alice/toy"),
        *("--input", f"{tmp_path / 'single file.csv'}:single"),
    )
    assert done.code == 1
    folder = Folder(done.directory)
    assert folder.text(0) == "x zipped\n"
    assert folder.code[1].outputs[0].ename == "OSError"
    assert folder.text(2).splitlines() == [
        "/kaggle/input/competitions/single/single file.csv",
        "/kaggle/input/competitions/titanic/train.csv",
        "/kaggle/input/datasets/alice/toy/inner/a.txt",
    ]
    assert [entry.name for entry in (tmp_path / "titanic").iterdir()] == ["train.csv"]


def test_a_zip_as_the_kaggle_command_leaves_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "titanic.zip", "w") as archive:
        archive.writestr("train.csv", "zipped")
    path = write_notebook(tmp_path / "n.ipynb", "print(open('/kaggle/input/titanic/train.csv').read())")
    done = kanoe("run", path, "--input", "titanic.zip", "--no-html", cwd=tmp_path)
    assert done.code == 0, done.err
    assert Folder(done.directory).text(0) == "zipped\n"


def test_a_path_that_nobody_provides_is_told_before_the_run(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "x = 1", "\nopen('../input/house-prices/train.csv')")
    done = kanoe("run", path, "--no-html", "--json")
    (warning,) = [entry for entry in done.report["diagnostics"] if entry["severity"] == "warning"]
    assert warning["code"] == "input-unprovided"
    assert warning["place"] == "n.ipynb cell 1 line 2"
    assert "/kaggle/input/house-prices/train.csv" in warning["message"]
    assert "--input PATH:house-prices" in warning["hint"]
    assert done.err.index("house-prices") < done.err.index("cell 0")


# The sandbox.


def test_a_notebook_finds_itself_on_kaggle(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "n.ipynb",
        "import os\nprint(os.getcwd(), os.environ['KAGGLE_KERNEL_RUN_TYPE'], os.path.expanduser('~'))",
        "print(os.path.isdir('/kaggle/temp'), os.environ.get('SECRET'), os.listdir('/root'))",
    )
    done = kanoe("run", path, "--no-html", env={"SECRET": "of the host"})
    folder = Folder(done.directory)
    assert folder.text(0) == "/kaggle/working Batch /root\n"
    assert folder.text(1).startswith("True None [")
    assert folder.facts["sandbox"] == choose_tool().kind


def test_where_no_sandbox_works_a_plain_process_runs_and_says_so(tmp_path: Path) -> None:
    """Inside a sandbox that forbids further ones."""
    tool = choose_tool()
    if tool.kind != "bubblewrap":
        pytest.skip("no sandbox to forbid others in")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "train.csv").write_text("plain")
    path = write_notebook(tmp_path / "n.ipynb", "print(open('../input/train.csv').read())\nopen('made', 'w').close()")
    outer = [tool.command[0], "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--dev-bind", "/", "/"]
    command = [*outer, *KANOE, "run", str(path), "--no-html", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, env=variables(), check=False)
    done = Done(ended.returncode, ended.stdout, ended.stderr)
    assert done.code == 0, done.err
    (warning,) = [entry for entry in done.report["diagnostics"] if entry["severity"] == "warning"]
    assert warning["code"] == "sandbox-none"
    folder = Folder(Path(done.report["directory"]))
    assert (folder.text(0), folder.facts["sandbox"]) == ("plain\n", "none")
    assert [entry.name for entry in (folder.path / "working").iterdir()] == ["made"]
    assert not (folder.path / "input").exists()
    assert (tmp_path / "input" / "train.csv").read_text() == "plain"


# Whole notebooks.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exploration.ipynb", "script.py"])
def test_the_titanic_examples(tmp_path: Path, name: str) -> None:
    done = kanoe("run", EXAMPLES / "titanic" / name, "--json", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert set(done.states) == {"SUCCEEDED"}
    assert not [entry for entry in done.report["diagnostics"] if entry["severity"] != "info"]
    folder = Folder(tmp_path / "out")
    submission = (folder.path / "working" / "submission.csv").read_text().splitlines()
    assert submission[0] == "PassengerId,Survived"
    assert len(submission) == 419
    images = [output for cell in folder.code for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(images) >= 3
    page = (folder.path / "notebook.html").read_text()
    assert page.count("data:image/png;base64,") >= len(images)
