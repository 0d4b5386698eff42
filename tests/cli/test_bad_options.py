"""Options that cannot be: each is refused before anything runs, says what, where and what to do next, and shows no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from kanoe_command import kanoe, write_notebook

# The options, the exit code, the diagnostic's code, and words that it must say.
RUN: list[tuple[list[str], int, str, list[str]]] = [
    (["--memory", "lots"], 2, "option-value", ["lots", "--memory", "16g"]),
    (["--memory", ""], 2, "option-value", ["--memory"]),
    (["--memory=-1"], 2, "option-value", ["-1", "--memory"]),
    (["--memory", "0"], 2, "option-value", ["--memory"]),
    (["--memory", "1m"], 2, "option-value", ["--memory", "at least"]),
    (["--memory", "1e99g"], 2, "option-value", ["--memory"]),
    (["--memory", "16 apples"], 2, "option-value", ["16 apples", "--memory"]),
    (["--disk", "x"], 2, "option-value", ["x", "--disk"]),
    (["--disk", "0"], 2, "option-value", ["--disk"]),
    (["--disk", "nan"], 2, "option-value", ["--disk"]),
    (["--cpus", "0"], 2, "usage", ["--cpus"]),
    (["--cpus", "two"], 2, "usage", ["two", "--cpus"]),
    (["--cpus", "1.5"], 2, "usage", ["1.5", "--cpus"]),
    (["--jobs", "0"], 2, "usage", ["--jobs"]),
    (["--jobs=-3"], 2, "usage", ["--jobs"]),
    (["--timeout", "0"], 2, "option-value", ["--timeout"]),
    (["--cell-timeout", "1 moon"], 2, "option-value", ["1 moon", "--cell-timeout"]),
    (["--secret", ""], 2, "secret-value", ["--secret NAME"]),
    (["--secret", "=value"], 2, "secret-value", ["--secret NAME"]),
    (["--secret", "TOKEN="], 2, "secret-value", ["TOKEN"]),
    (["--secret", "TOKEN=@no-such-file"], 2, "secret-value", ["TOKEN", "no-such-file"]),
    (["--secret", "TOKEN=@/"], 2, "secret-value", ["TOKEN"]),
    (["--secret", "KANOE_NO_SUCH_SECRET"], 2, "secret-value", ["KANOE_NO_SUCH_SECRET", "found nowhere"]),
    (["--env", "1A=x"], 2, "variable-value", ["1A"]),
    (["--env", "=x"], 2, "variable-value", ["--env"]),
    (["--env", "NO_SUCH_VARIABLE_HERE"], 2, "variable-value", ["NO_SUCH_VARIABLE_HERE"]),
    (["--env", "KANOE_HOME=/"], 2, "variable-value", ["KANOE_HOME"]),
    (["--env", "LD_PRELOAD=/x.so"], 2, "variable-value", ["LD_PRELOAD"]),
    (["--env-file", "no-such.env"], 2, "variable-value", ["no-such.env"]),
    (["--env-file", "/"], 2, "variable-value", ["--env-file"]),
    (["--env-file", "broken.env"], 2, "variable-value", ["broken.env line 2"]),
    (["--nonsense"], 2, "usage", ["--nonsense"]),
]


@pytest.mark.parametrize(("options", "code", "diagnostic", "telling"), RUN, ids=[" ".join(case[0]) for case in RUN])
def test_an_option_that_cannot_be(
    tmp_path: Path, options: list[str], code: int, diagnostic: str, telling: list[str]
) -> None:
    (tmp_path / "broken.env").write_text("A=1\nthis is no variable\n")
    path = write_notebook(tmp_path / "nb.ipynb", "print('never')")
    done = kanoe("run", path, *options, "--json", "-o", "out", cwd=tmp_path)
    problem = done.problem()
    assert (done.code, problem["code"]) == (code, diagnostic), problem
    said = " ".join(filter(None, (problem["message"], problem["place"], problem["hint"])))
    for word in telling:
        assert word in said, said
    assert problem["hint"], said
    assert not done.report["tasks"]
    assert not (tmp_path / "out" / "notebook.ipynb").exists()


OTHERS: list[tuple[list[str], int, str, list[str]]] = [
    (["cancel", "no-such-run"], 2, "run-unknown", ["no-such-run", "kanoe runs"]),
    (["show", "no-such-run"], 2, "run-unknown", ["no-such-run", "kanoe runs"]),
    (["fetch", "no-such-run"], 2, "run-unknown", ["no-such-run"]),
    (["logs", "no-such-run"], 2, "run-unknown", ["no-such-run"]),
    (["store", "clean", "--older-than", "soon"], 2, "option-value", ["soon", "--older-than"]),
    (["store", "clean", "--older-than=-1d"], 2, "option-value", ["--older-than"]),
    (["store", "clean", "--keep-runs=-1"], 2, "usage", ["--keep-runs"]),
    (["doctor", "no-such.ipynb"], 2, "source-missing", ["no-such.ipynb"]),
    (["doctor", "--as-of", "2020-01-01"], 2, "usage", ["kanoe doctor notebook.ipynb"]),
    (["runs", "-n", "0"], 2, "usage", ["-n"]),
]


@pytest.mark.parametrize(
    ("command", "code", "diagnostic", "telling"), OTHERS, ids=[" ".join(case[0]) for case in OTHERS]
)
def test_another_command_that_cannot_be(
    tmp_path: Path, command: list[str], code: int, diagnostic: str, telling: list[str]
) -> None:
    done = kanoe(*command, "--json", cwd=tmp_path, env={"KANOE_HOME": str(tmp_path / "home")})
    problem = done.problem()
    assert (done.code, problem["code"]) == (code, diagnostic), problem
    said = " ".join(filter(None, (problem["message"], problem["place"], problem["hint"])))
    for word in telling:
        assert word in said, said
