"""Secrets and variables in real runs: the notebook has them, nothing else does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from kanoe_command import Folder, at_terminal, kanoe, own_store, started, write_notebook

import kanoe as library

ASK = "from kaggle_secrets import UserSecretsClient\nvalue = UserSecretsClient().get_secret('KEY')"
PROVE = "import hashlib\nprint(len(value), hashlib.sha256(value.encode()).hexdigest())"


def fresh() -> str:
    """A value that stands nowhere else on this machine."""
    return f"hush-{uuid.uuid4().hex}"


def proof(value: str) -> str:
    return f"{len(value)} {hashlib.sha256(value.encode()).hexdigest()}\n"


def files_with(value: str, *folders: Path) -> list[Path]:
    """The files below folders that hold a value, in their content or their name."""
    found = []
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = Path(root, name)
                if not path.is_symlink() and path.is_file() and (value in name or value.encode() in path.read_bytes()):
                    found.append(path)
    return found


class ProcessWatch:
    """Looks at the arguments and variables of every process again and again."""

    def __init__(self, value: str, seconds: float = 0.0) -> None:
        self._value = value.encode()
        self._started = time.monotonic() + seconds
        self._over = threading.Event()
        self.seen: set[tuple[str, bytes]] = set()
        self.looks = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.is_set():
            for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
                for file in ("cmdline", "environ"):
                    try:
                        data = Path("/proc", pid, file).read_bytes()
                    except OSError:
                        continue
                    if self._value in data:
                        self.seen.add((file, data[:300]))
            self.looks += 1
            time.sleep(0.02)

    def end(self) -> set[tuple[str, bytes]]:
        self._over.set()
        self._thread.join()
        assert self.looks
        return self.seen


@pytest.fixture
def folders(tmp_path: Path) -> tuple[dict[str, str], Path, Path]:
    """A store and a folder for temporary files of the test's own."""
    (tmp_path / "t").mkdir()
    env = {**own_store(tmp_path / "home"), "TMPDIR": str(tmp_path / "t")}
    return env, tmp_path / "home", tmp_path / "t"


@pytest.mark.slow
def test_a_value_is_in_the_notebook_and_nowhere_else(
    tmp_path: Path, folders: tuple[dict[str, str], Path, Path]
) -> None:
    env, home, temporary = folders
    value = fresh()
    (tmp_path / "value").write_text(value + "\n")
    nb = write_notebook(
        tmp_path / "n" / "n.ipynb",
        f"{ASK}\n{PROVE}",
        "print(value); print(repr(value)); value",
        "from IPython.display import HTML; display(HTML(f'<a href=\"?key={value}\">x</a>'))",
        "for character in value: print(character, end='', flush=True)",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import kaggle_secrets as k; print(len(k.UserSecretsClient().get_secret(\"KEY\")))'])",
        "raise ValueError(value)",
    )
    watch = ProcessWatch(value)
    done = kanoe(
        "run",
        nb,
        "-v",
        "--json",
        "--secret",
        f"KEY=@{tmp_path / 'value'}",
        "-o",
        tmp_path / "out",
        env=env,
        own_traceback=True,
    )
    assert watch.end() == set()
    assert done.states == ["SUCCEEDED"] * 5 + ["FAILED"]
    folder = Folder(tmp_path / "out")
    assert folder.text(0) == proof(value)
    assert folder.text(1) == "***\n'***'\n"
    assert folder.code[1].outputs[-1].data["text/plain"] == "'***'"
    assert folder.text(3) == "***"
    assert folder.text(4) == f"{len(value)}\n"
    assert folder.code[5].outputs[0].evalue == "***"
    assert folder.facts["secrets"] == ["KEY"]
    assert value not in done.out + done.err
    assert "ValueError: ***" in done.err
    assert files_with(value, tmp_path / "out", home, temporary, tmp_path / "n") == []
    shown = kanoe("show", "last", env=env).out + kanoe("logs", "last", env=env).out
    assert value not in shown
    assert "***" in shown


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["=", "environment"])
def test_kanoes_own_arguments_and_variables_are_blanked(
    tmp_path: Path, folders: tuple[dict[str, str], Path, Path], kind: str
) -> None:
    env, home, temporary = folders
    value = fresh()
    nb = write_notebook(tmp_path / "n" / "n.ipynb", f"{ASK}\n{PROVE}", "import time; time.sleep(0.5)")
    if kind == "environment":
        env["KEY"] = value
    with started("run", nb, *(["--secret", f"KEY={value}"] if kind == "=" else ["--secret=KEY"]), env=env) as command:
        command.wait_for("kanoe run")
        watch = ProcessWatch(value)
        arguments = Path(f"/proc/{command.process.pid}/cmdline").read_bytes()
        done = command.finish()
        assert watch.end() == set()
    assert b"KEY" in arguments
    assert done.code == 0
    assert Folder(done.directory).text(0) == proof(value)
    assert files_with(value, home, temporary) == []


def test_only_what_is_named_is_given(tmp_path: Path, folders: tuple[dict[str, str], Path, Path]) -> None:
    env, home, _ = folders
    (home / "secrets.toml").write_text('KEY = "of the file"\nOTHER = "hush-hush"\n')
    (home / "secrets.toml").chmod(0o600)
    nb = write_notebook(
        tmp_path / "n.ipynb",
        f"{ASK}\nprint(value)",
        "from kaggle_web_client import BackendError\ntry:\n    UserSecretsClient().get_secret('OTHER')\nexcept BackendError as e:\n    print(e)",
        "UserSecretsClient().get_secret('THIRD')",
    )
    done = kanoe("run", nb, "--json", "--secret", "KEY", env=env)
    assert done.states == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    folder = Folder(Path(done.report["directory"]))
    assert folder.text(0) == "***\n"
    assert "label OTHER" in folder.text(1)
    remarks = [(one["severity"], one["code"], one["place"]) for one in done.report["diagnostics"]]
    assert (
        remarks
        == [
            ("info", "secret-missing", "n.ipynb cell 1 line 3"),
            ("warning", "secret-missing", "n.ipynb cell 2 line 1"),
            ("error", "cell-failed", "n.ipynb cell 2 line 1"),
        ][1:]
    )
    assert done.problem()["hint"] == "`kanoe run n.ipynb --secret THIRD`"


def test_the_last_words_of_a_crash(tmp_path: Path, folders: tuple[dict[str, str], Path, Path]) -> None:
    env, home, temporary = folders
    value = fresh()
    code = "import faulthandler, os, sys\nprint('last', value, end='')\nopen('/run/kanoe/kernel.log', 'a').write(f'Fatal Python error: {value}\\n')\nos.kill(os.getpid(), 11)"
    nb = write_notebook(tmp_path / "n.ipynb", ASK, code)
    done = kanoe("run", nb, "-v", "--json", "--secret", f"KEY={value}", env=env)
    assert done.states == ["SUCCEEDED", "FAILED"]
    directory = Path(done.report["directory"])
    assert Folder(directory).text(1) == "last ***"
    assert "Fatal Python error: ***" in (directory / "kernel.log").read_text()
    assert value not in done.out + done.err
    assert files_with(value, home, temporary) == []


def test_a_prompt(tmp_path: Path) -> None:
    value = fresh()
    nb = write_notebook(tmp_path / "n.ipynb", f"{ASK}\n{PROVE}")
    with at_terminal("run", nb, "--no-html", "--secret", "KEY", piped=True) as terminal:
        terminal.wait_until(lambda: "Secret KEY: " in terminal.shown)
        terminal.type(value + "\n")
        code, out = terminal.finish()
        assert value not in terminal.shown
    assert code == 0
    assert Folder(Path(out.strip())).text(0) == proof(value)


def test_without_a_terminal_it_says_how(tmp_path: Path) -> None:
    nb = write_notebook(tmp_path / "n.ipynb", ASK)
    done = kanoe("run", nb, "--json", "--secret", "NOWHERE_AT_ALL", "--secret", "=x")
    assert done.code == 2
    assert [one["code"] for one in done.report["diagnostics"]] == ["secret-value", "secret-value"]
    assert "secrets.toml" in done.report["diagnostics"][0]["hint"]


def test_variables(tmp_path: Path, folders: tuple[dict[str, str], Path, Path]) -> None:
    env, home, temporary = folders
    value = fresh()
    (tmp_path / "my.env").write_text(
        f"# mine\nexport FIRST='one # {value}'\nMODE=file\nKAGGLE_KERNEL_RUN_TYPE=Interactive\n"
    )
    nb = write_notebook(
        tmp_path / "n.ipynb",
        "import os, hashlib\nprint(os.environ['MODE'], os.environ['KAGGLE_KERNEL_RUN_TYPE'])\nprint(hashlib.sha256(os.environ['FIRST'].encode()).hexdigest())",
    )
    done = kanoe("run", nb, "--env-file", tmp_path / "my.env", "--env", "MODE=given", env=env)
    assert done.code == 0
    folder = Folder(done.directory)
    assert folder.text(0) == f"given Interactive\n{proof(f'one # {value}').split()[1]}\n"
    assert folder.facts["variables"] == ["FIRST", "KAGGLE_KERNEL_RUN_TYPE", "MODE"]
    assert files_with(value, home, temporary) == []
    wrong = kanoe("run", nb, "--json", "--env", "KANOE_X=1", env=env)
    assert (wrong.code, wrong.problem()["code"]) == (2, "variable-value")


def test_modules_of_the_users_own_win(tmp_path: Path, folders: tuple[dict[str, str], Path, Path]) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "kaggle_secrets.py").write_text(
        "class UserSecretsClient:\n    def get_secret(self, label): return 'my own ' + label\n"
    )
    nb = write_notebook(
        tmp_path / "n" / "n.ipynb", f"{ASK}\nprint(value)", "import kaggle_datasets; print(kaggle_datasets.__file__)"
    )
    done = kanoe("run", nb, env=folders[0])
    assert Folder(done.directory).text(0) == "my own KEY\n"
    assert Folder(done.directory).text(1).endswith("/kaggle_datasets.py\n")


def test_where_the_data_is(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "a.csv").write_text("a\n1\n")
    nb = write_notebook(
        tmp_path / "n.ipynb",
        "from kaggle_datasets import KaggleDatasets\npath = KaggleDatasets().get_gcs_path()\nprint(open(path + '/a.csv').read(), path == KaggleDatasets().get_gcs_path('birds'))",
        "import json\nfrom kaggle_session import UserSessionClient\nprint(len(json.loads(UserSessionClient().get_exportable_ipynb()['source'])['cells']))",
    )
    done = kanoe("run", nb, "--input", tmp_path / "birds")
    assert done.code == 0, done.err
    assert Folder(done.directory).text(0) == "a\n1\n True\n"
    assert Folder(done.directory).text(1) == "2\n"


def test_from_python(tmp_path: Path) -> None:
    value = fresh()
    nb = write_notebook(tmp_path / "n.ipynb", f"{ASK}\n{PROVE}\nprint(value)\nimport os; print(os.environ['MODE'])")
    for secrets in ({"KEY": value}, [f"KEY={value}"]):
        events: list[object] = []
        report = library.run(nb, secrets=secrets, variables={"MODE": "7"}, html=False, watch=events.append)
        assert report.succeeded
        assert Folder(Path(str(report.directory))).text(0) == f"{proof(value)}***\n7\n"
        assert value not in repr(events) + repr(report)
        assert files_with(value, Path(str(report.directory))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the memory that `ps` reads is Linux's")
def test_what_is_hidden() -> None:
    code = (
        "import sys; from kanoe.base.command_line import hide_values, take_variables; from pathlib import Path\n"
        "import os; hide_values(('--secret', '--env')); take_variables(['KEY', 'OTHER'])\n"
        "print(Path('/proc/self/cmdline').read_bytes().split(b'\\0')[3:]); print(sys.argv[1:])\n"
        "print([one for one in Path('/proc/self/environ').read_bytes().split(b'\\0') if b'KEY' in one], 'KEY' in os.environ)"
    )
    arguments = [
        "--secret",
        "KEY=ab=c",
        "--secret=B=@file",
        "--secret=C=x",
        "--env",
        "D=1 2",
        "--secret",
        "E",
        "E=5",
        "--env",
        "--secret",
        "F=1",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "KEY": "abc"},
        capture_output=True,
        text=True,
        check=True,
    )
    hidden, own, environ = done.stdout.splitlines()
    assert eval(hidden) == [
        b"--secret", b"KEY=****", b"--secret=B=@file", b"--secret=C=*", b"--env", b"D=***", b"--secret", b"E", b"E=5", b"--env", b"--secret", b"F=1", b""
    ]  # fmt: skip
    assert eval(own) == arguments
    assert environ == "[b'KEY=***'] False"
