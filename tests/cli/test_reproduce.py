"""A notebook that carries its author's outputs, run again: what the run says of them, and `--reproduce`."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import Done, Folder, code_cell, kanoe, markdown_cell, write_notebook

SUMMARY = "3 of 4 outputs reproduced: 2 exactly, 1 within 1 %; cell 2 accuracy 0.8316, was 0.7271"


def shown(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": [text]}


def ran(source: str, *outputs: Any, count: int | None = 1) -> dict[str, Any]:
    return {**code_cell(source, outputs=outputs), "execution_count": count}


def result(text: str) -> dict[str, Any]:
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": {"text/plain": text}}


CELLS = (
    markdown_cell("# By its author"),
    {**ran("SEED = 1"), "metadata": {"tags": ["parameters"]}},
    ran("import sys\nprint('rows', 891, {'a', 'b'})\nprint('now', file=sys.stderr)", shown("rows 891 {'b', 'a'}\n")),
    ran("accuracy = 0.8316\nprint(f'accuracy {accuracy}')", shown("accuracy 0.7271\n")),
    ran("print('rmse: 0.5012')", shown("rmse: 0.5\n")),
    ran("object()", result("<object at 0x7fabc1234567>")),
    ran("print('never run by the author')", count=None),
)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A notebook of which one number has changed, and what running it came to."""
    path = write_notebook(tmp_path_factory.mktemp("changed") / "changed.ipynb", *CELLS)
    return path, kanoe("run", path, env={"KANOE_HOME": str(tmp_path_factory.getbasetemp() / "store")})


class _Badges(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = "kanoe-reproduced" in (dict(attrs).get("class") or "").split()

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)
            self._inside = False


def test_a_run_says_what_it_reproduced(changed: tuple[Path, Done]) -> None:
    _, done = changed
    assert done.code == 0
    assert SUMMARY in done.err


def test_the_folder_keeps_it(changed: tuple[Path, Done]) -> None:
    _, done = changed
    kept = Folder(done.directory).facts["report"]["reproduction"]
    assert kept["summary"] == SUMMARY
    assert [kept[name] for name in ("outputs", "exact", "within", "different", "incomparable", "not_run")] == [
        *(4, 2, 1, 1),
        *(0, 0),
    ]
    assert [(cell["cell"], cell["outcome"]) for cell in kept["cells"]] == [
        (1, "exact"),
        (2, "different"),
        (3, "within"),
        (4, "exact"),
    ]
    (different,) = kept["cells"][1]["outputs"]
    assert different == {
        "outcome": "different",
        "kind": "text",
        "label": "accuracy",
        "now": "0.8316",
        "was": "0.7271",
    }
    assert "kanoe" not in json.dumps(Folder(done.directory).notebook)


def test_the_page_shows_it(changed: tuple[Path, Done]) -> None:
    _, done = changed
    page = (done.directory / "notebook.html").read_text()
    assert _Badges(page).found == [
        SUMMARY,
        "reproduced exactly",
        "not reproduced: accuracy 0.8316, was 0.7271",
        "reproduced within 1 %",
        "reproduced exactly",
    ]


def test_show_says_it_again(changed: tuple[Path, Done]) -> None:
    _, done = changed
    assert SUMMARY in kanoe("show", done.directory.name).out
    assert kanoe("show", done.directory.name, "--json").report["reproduction"]["summary"] == SUMMARY


def test_reproduce_fails_where_an_output_differs(changed: tuple[Path, Done]) -> None:
    path, _ = changed
    done = kanoe("run", path, "--reproduce", "--json")
    assert (done.code, done.report["state"]) == (1, "FAILED")
    problem = done.problem()
    assert (problem["code"], problem["place"]) == ("not-reproduced", "changed.ipynb cell 2")
    assert "cell 2 accuracy 0.8316, was 0.7271" in problem["message"]
    assert set(done.states) == {"SUCCEEDED"}
    assert kanoe("runs", "-n", "1", "--json").out.count('"FAILED"') == 1


def test_reproduce_succeeds_where_all_is_within_the_tolerance(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "same.ipynb", *(cell for cell in CELLS if "accuracy" not in str(cell)))
    done = kanoe("run", path, "--reproduce", "--json", "--no-html")
    assert done.code == 0
    assert done.report["reproduction"]["summary"] == "3 of 3 outputs reproduced: 2 exactly, 1 within 1 %"


def test_a_cell_with_parameters_shifts_nothing(changed: tuple[Path, Done]) -> None:
    path, _ = changed
    done = kanoe("run", path, "-p", "SEED=2", "--json", "--no-html")
    found = done.report["reproduction"]
    assert found["summary"] == SUMMARY.replace("cell 2", "cell 3") + "; with other parameters (SEED)"
    assert [cell["outcome"] for cell in found["cells"]] == ["exact", "different", "within", "exact"]


def test_a_run_that_fails_counts_what_ran(tmp_path: Path) -> None:
    cells = (ran("print(1)", shown("1\n")), ran("print(2)\n1/0", shown("2\n"), result("5")), ran("3", result("3")))
    done = kanoe("run", write_notebook(tmp_path / "fails.ipynb", *cells), "--json", "--reproduce", "--no-html")
    assert done.code == 1
    assert done.problem()["code"] == "cell-failed"
    assert done.report["reproduction"]["summary"] == (
        "2 of 3 outputs reproduced exactly; cell 1 failed; 1 in cells that did not run"
    )


def test_a_notebook_without_outputs_is_not_compared(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "bare.ipynb", "print(1)")
    done = kanoe("run", path, "--json", "--no-html")
    assert (done.code, done.report["reproduction"]) == (0, None)
    assert "compared" not in done.err


def test_reproduce_wants_outputs(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "bare.ipynb", "print(1)")
    done = kanoe("run", path, "--reproduce", "--json")
    assert (done.code, done.report["run"], done.problem()["code"]) == (2, None, "nothing-to-reproduce")
