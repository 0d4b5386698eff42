"""When a notebook was written: every kind of evidence, what beats what, and how days and Pythons meet."""

from __future__ import annotations

import base64
import datetime
import itertools
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_sources import make_source

from kanoe.base.errors import InputError
from kanoe.environments import tables
from kanoe.environments.as_of import Period, clamp_day, infer_period, python_of
from kanoe.environments.distributions import find_needs
from kanoe.environments.outputs import read_remains
from kanoe.environments.releases import first_release, known_libraries, next_series, release_at, releases_of, superseded
from kanoe.ir.code import parse_cell
from kanoe.ir.notebook import Cell
from kanoe.ir.source import KernelMetadata, Source

TODAY = datetime.date(2026, 11, 21)
TABLES = (
    "periods",
    "kernel_ids",
    "images",
    "kaggle_pythons",
    "interpreter_days",
    "interpreter_releases",
    "releases",
    "fingerprints",
    "drift",
)


def made(
    folder: Path,
    *cells: str,
    version: str | None = None,
    image: int | None = None,
    stamp: str | None = None,
    number: int | None = None,
    outputs: tuple[dict[str, Any], ...] = (),
    **metadata: Any,
) -> Source:
    source = make_source(folder, *(cells or ("x = 1",)), metadata=KernelMetadata(id_no=number) if number else None)
    if version:
        metadata["language_info"] = {"name": "python", "version": version}
    if image:
        metadata["kaggle"] = {"dockerImageVersionId": image}
    first = source.notebook.code_cells[0]
    ran = {"execution": {"iopub.execute_input": stamp}} if stamp else {}
    code = (replace(first, metadata=ran, outputs=outputs), *source.notebook.code_cells[1:])
    return replace(source, notebook=replace(source.notebook, cells=code, metadata=metadata))


def infer(source: Source, **settled: Any) -> Period:
    return infer_period(
        source, [parse_cell(cell.source) for cell in source.notebook.code_cells], today=TODAY, **settled
    )


# --- the tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_toml_and_say_their_sources(name: str) -> None:
    text = Path(tables.__file__).with_name(f"{name}.toml").read_text()
    assert tables.read_pairs(name) == tomllib.loads(text)
    assert [line for line in text.splitlines() if line.startswith('"') and not re.search(r"#\s*\S", line)] == []


@pytest.mark.parametrize("name", ["kernel_ids", "images"])
def test_numbers_and_their_days_rise(name: str) -> None:
    rows = [(int(number), day) for number, day in tables.read_pairs(name).items()]
    assert rows == sorted(rows)
    assert [day for _, day in rows] == sorted(day for _, day in rows)


def test_days_are_days() -> None:
    for name in ("periods", "kaggle_pythons", "interpreter_days", "interpreter_releases"):
        for key, row in tables.read_pairs(name).items():
            days = [word for word in (key, *row.split()) if len(word) == 10]
            assert days
            assert [datetime.date.fromisoformat(day) for day in days] == sorted(map(datetime.date.fromisoformat, days))


# --- releases ---------------------------------------------------------------------------------------------------------


def test_releases() -> None:
    assert {"pandas", "numpy", "scikit-learn", "seaborn", "python"} <= known_libraries()
    assert releases_of("nothing-of-the-kind") == ()
    release = first_release("scikit-learn", "0.20")
    assert release is not None
    assert (release.version, str(release.day)) == ("0.20.0", "2018-09-26")
    assert release.runs_on((3, 6))
    assert not release.runs_on((3, 9))
    assert first_release("scikit-learn", "999") is None
    seen = release_at("pandas", "1.3.5")
    assert seen is not None
    assert str(superseded(seen)) == "2022-01-22"
    assert superseded(seen, (3, 7)) is None
    following = next_series(seen)
    assert following is not None
    assert following.version == "1.4.0"


# --- one kind of evidence ---------------------------------------------------------------------------------------------

POINTS: dict[str, tuple[dict[str, Any], str | None, str | None, str]] = {
    "image": ({"image": 30635, "version": "3.10.12"}, "3.10", "2023-12-25", "Kaggle image 30635"),
    "image between rows": ({"image": 30180}, "3.7", "2022-03-03", "Kaggle image 30180"),
    "image after the last row": ({"image": 40000}, None, None, ""),
    "stamp": ({"stamp": "2021-03-10T12:00:00Z"}, "3.7", "2021-02-17", "run on 2021-03-10"),
    "kernel id": ({"number": 412_000}, "3.6", "2017-09-24", "kernel id 412000"),
    "first kernel id": ({"number": 1}, "3.6", "2017-01-20", "kernel id 1"),
    "kernel id and a later version": ({"number": 182_517, "version": "3.6.5"}, "3.6", "2018-05-18", "Python 3.6.5"),
    "version on Kaggle": ({"version": "3.6.6", "cell": "open('../input/a.csv')"}, "3.6", "2019-05-10", "Python 3.6.6"),
    "3.6.4 says nothing": (
        {"version": "3.6.4", "cell": "open('../input/a.csv')"},
        "3.6",
        "2019-06-09",
        "a Kaggle notebook",
    ),
    "3.6.4 of early 2018": ({"version": "3.6.4", "number": 700_000}, "3.6", "2018-02-01", "kernel id"),
    "3.6.4 in a new image": ({"version": "3.6.4", "image": 30558}, "3.10", "2023-09-19", "Kaggle image"),
    "private 3.7.4": ({"version": "3.7.4"}, "3.7", "2020-02-12", "Python 3.7.4"),
    "private and modern": ({"version": "3.12.1"}, None, None, ""),
    "nothing": ({}, None, None, ""),
    "a number that is none": ({"image": -5}, None, None, ""),
    "recent stamp": ({"stamp": "2026-10-01T00:00:00Z"}, None, None, ""),
    "stamp of the future": ({"stamp": "2031-10-01T00:00:00Z"}, None, None, ""),
    "broken stamp": ({"stamp": "2021-99-10T12:00:00Z"}, None, None, ""),
}


@pytest.mark.parametrize("name", POINTS)
def test_evidence(name: str, tmp_path: Path) -> None:
    given, python, day, phrase = POINTS[name]
    cell = given.pop("cell", "x = 1") if "cell" in given else "x = 1"
    period = infer(made(tmp_path, cell, **given))
    assert (period.python, period.day) == (python, day)
    assert phrase in " ".join(period.evidence)


def test_an_image_beats_a_later_run(tmp_path: Path) -> None:
    later = infer(made(tmp_path, image=30191, stamp="2025-07-17T00:00:00Z", version="3.7.12"))
    assert later.day == "2022-04-19"
    assert later.python == "3.7"


def test_a_version_beats_a_later_run_on_kaggle(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "open('../input/a.csv')", stamp="2025-01-17T00:00:00Z", version="3.7.12"))
    assert period.day == "2023-05-11"


def test_papermill_and_execute_time_stamps(tmp_path: Path) -> None:
    assert infer(made(tmp_path, papermill={"start_time": "2021-03-10T12:00:00"})).day == "2021-02-17"
    source = made(tmp_path)
    cell = replace(source.notebook.code_cells[0], metadata={"ExecuteTime": {"start_time": "2021-03-10T12:00:00Z"}})
    assert infer(replace(source, notebook=replace(source.notebook, cells=(cell,)))).day == "2021-02-17"


# --- the code ---------------------------------------------------------------------------------------------------------


def test_code_alone(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "from sklearn.cross_validation import KFold"))
    assert (period.python, period.day) == ("3.6", "2018-09-11")
    assert period.evidence == ("`sklearn.cross_validation` in cell 0 (scikit-learn < 0.20)",)


def test_a_script_has_an_age_too(tmp_path: Path) -> None:
    source = make_source(tmp_path, "import pandas as pd\nprint(pd.DataFrame().ix[0])", kind="script")
    assert infer(source).day == "2020-01-15"


def test_new_code_alone_stays_new(tmp_path: Path) -> None:
    assert infer(made(tmp_path, "import seaborn as sns\nsns.histplot([1])")) == Period()


def test_a_floor_moves_the_day_and_the_python(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "import pandas as pd\npd.DataFrame().corr(numeric_only=True)", version="3.6.5"))
    assert period.day is not None
    assert period.day > "2022-09-19"
    assert period.python == "3.8"


def test_a_ceiling_lowers_the_python(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "from sklearn.grid_search import GridSearchCV", version="3.8.5"))
    assert (period.python, period.day) == ("3.7", "2018-11-01")
    assert period.limits == (("scikit-learn", "<0.20.0"),)


def test_what_came_and_what_went(tmp_path: Path) -> None:
    code = "import seaborn as sns, pandas as pd\nsns.histplot([1])\npd.DataFrame().ix[0]"
    period = infer(made(tmp_path, code, stamp="2020-11-01T00:00:00Z"))
    assert period.day is not None
    assert period.day > "2020-09-08"
    assert period.limits == (("pandas", "<1.0.0"),)


# --- the author's outputs ---------------------------------------------------------------------------------------------


def picture(version: str) -> dict[str, Any]:
    text = (
        b"\x89PNG\r\n\x1a\n"
        + b"\0" * 40
        + f"tEXtSoftware\0Matplotlib version{version}, https://matplotlib.org/".encode()
    )
    return {"output_type": "display_data", "data": {"image/png": base64.b64encode(text + b"\0" * 400).decode()}}


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stderr", "text": text}


REMAINS: dict[str, tuple[str, dict[str, Any], object]] = {
    "picture": ("plt.show()", picture("3.2.1"), ("matplotlib", "3.2.1")),
    "path": ("f()", stream("/opt/conda/lib/python3.7/site-packages/x.py:3: FutureWarning"), "3.7"),
    "lone version": ("tf.__version__", {"output_type": "execute_result", "data": {"text/plain": "'2.2.0'"}}, ("tensorflow", "2.2.0")),
    "said version": ("print('pandas version:', pd.__version__)", stream("pandas version: 0.20.3\n"), ("pandas", "0.20.3")),
    "pip": ("!pip install x", stream("Requirement already satisfied: numpy>=1.9 in /a (from x) (1.18.1)"), ("numpy", "1.18.1")),
    "pip list": ("!pip list", stream("Package Version\n------- -------\nseaborn    0.9.0\n"), ("seaborn", "0.9.0")),
    "bokeh": ("show(p)", stream("https://cdn.pydata.org/bokeh/release/bokeh-0.12.9.min.js"), ("bokeh", "0.12.9")),
    "statsmodels": ("m.summary()", stream("Date:                Tue, 10 Apr 2018   Log-Likelihood"), "2018-04-10"),
    "tensorflow": ("fit()", stream("2019-08-01 10:00:00.123456: I tensorflow/core/x.cc:1] hm"), "2019-08-01"),
    "optuna": ("fit()", stream("[I 2021-02-03 10:00:00,123] Trial 0 finished"), "2021-02-03"),
    "svg": ("show()", {"output_type": "display_data", "data": {"image/svg+xml": "<dc:date>2021-05-06T11:22"}}, "2021-05-06"),
}  # fmt: skip


@pytest.mark.parametrize("name", REMAINS)
def test_outputs_say(name: str, tmp_path: Path) -> None:
    code, output, expected = REMAINS[name]
    remains = read_remains(made(tmp_path, code, outputs=(output,)).notebook, TODAY)
    found = [(library, version) for library, version, _ in remains.versions]
    assert expected in (remains.python, remains.day and remains.day.isoformat(), *found)


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "display_data", "data": {"image/png": "not base64!"}},
        {"output_type": "display_data", "data": {"image/png": None}},
        {"output_type": "display_data", "data": []},
        {"output_type": "stream", "text": [1, 2]},
        stream("Date:                Tue, 31 Feb 2018"),
        stream("pandas version: 0.20.3"),  # nothing asked for it: it may stand in anybody's text
        stream("2039-08-01 10:00:00.123456: I tensorflow/core"),
        {},
    ],
)
def test_outputs_that_say_nothing(output: dict[str, Any], tmp_path: Path) -> None:
    remains = read_remains(made(tmp_path, "x", outputs=(output,)).notebook, TODAY)
    assert (remains.python, remains.day, remains.versions) == (None, None, ())


def test_a_picture_dates_a_notebook_without_metadata(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "plt.show()", outputs=(picture("3.2.1"),)))
    assert period.day is not None
    assert "2020-03-18" < period.day < "2020-07-16"
    assert period.evidence[0] == "matplotlib 3.2.1 in the picture of cell 0"


def test_the_first_kaggle_notebooks_do_not_name_their_python(tmp_path: Path) -> None:
    early = made(tmp_path, "open('../input/train.csv')", kernelspec={"name": "python3"})
    early = replace(early, notebook=replace(early.notebook, minor=0))
    period = infer(early)
    assert (period.python, (period.day or "")[:4]) == ("3.6", "2017")  # from where 3.6 has wheels
    for other in (
        replace(early, notebook=replace(early.notebook, minor=4)),
        replace(early, notebook=replace(early.notebook, metadata={})),
        made(tmp_path, "x = 1", kernelspec={"name": "python3"}),
    ):
        assert infer(other) == Period()


def test_a_release_in_the_outputs_raises_the_day(tmp_path: Path) -> None:
    period = infer(made(tmp_path, "plt.show()", outputs=(picture("3.2.1"),), number=412_000, version="3.6.6"))
    assert period.day is not None
    assert "2020-03-18" < period.day < "2020-07-16"


def test_an_older_release_in_the_outputs_is_a_limit(tmp_path: Path) -> None:
    period = infer(
        made(tmp_path, "plt.show()", outputs=(picture("3.7.1"),), stamp="2024-10-01T00:00:00Z", version="3.10.14")
    )
    assert period.day == "2024-09-10"
    assert ("matplotlib", "<3.8.0") in period.limits


# --- when one of the two is settled ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "python"),
    [("2016-05-01", "3.6"), ("2018-04-01", "3.6"), ("2021-04-01", "3.7"), ("2023-06-01", "3.10"), ("2026-01-01", None)],
)
def test_a_day_alone_brings_its_python(day: str, python: str | None, tmp_path: Path) -> None:
    assert infer(made(tmp_path), day=day).python == python


def test_a_day_keeps_the_python_of_the_metadata(tmp_path: Path) -> None:
    assert infer(made(tmp_path, version="3.7.4"), day="2020-04-01").python == "3.7"
    assert infer(made(tmp_path, version="3.11.4"), day="2018-04-01").python == "3.6"


def test_a_python_alone_brings_its_day(tmp_path: Path) -> None:
    day = infer(made(tmp_path), python="3.6").day
    assert day is not None
    assert "2017-01-20" < day < "2021-12-31"
    assert infer(made(tmp_path), python="3.12").day is None
    assert infer(made(tmp_path, stamp="2020-03-10T12:00:00Z"), python="3.8").day == "2020-02-18"


def test_the_python_of_a_day() -> None:
    assert [python_of(datetime.date(year, 6, 1)) for year in (2012, 2016, 2018, 2021, 2024, 2030)] == [
        (3, 4), (3, 4), (3, 6), (3, 7), (3, 10), (3, 12),
    ]  # fmt: skip
    assert python_of(datetime.date(2016, 12, 1)) == (3, 5)


@pytest.mark.parametrize("name", ["kaggle_pythons", "interpreter_releases"])
def test_no_python_is_used_before_it_is_out(name: str) -> None:
    released = tables.read_pairs("interpreter_releases")
    for version, days in tables.read_pairs(name).items():
        assert released.get(version, "") <= days.split()[0]


def test_the_tables_of_kaggles_pythons_agree() -> None:
    for version, days in tables.read_pairs("kaggle_pythons").items():
        first, last = (datetime.date.fromisoformat(day) for day in days.split())
        middle = first + (last - first) / 2
        assert ".".join(version.split(".")[:2]) == "{}.{}".format(*python_of(middle))


def test_releases_of_a_python_rise() -> None:
    rows = [(*map(int, version.split(".")), day) for version, day in tables.read_pairs("interpreter_releases").items()]
    assert rows == sorted(rows)
    for before, after in itertools.pairwise(rows):
        assert before[:2] != after[:2] or before[3] <= after[3]
    assert clamp_day("2016-01-01", (3, 6)) == "2017-01-20"
    assert clamp_day("2016-01-01", (3, 99)) == "2016-01-01"


# --- what a source needs ----------------------------------------------------------------------------------------------


def test_needs_say_what_was_inferred(tmp_path: Path) -> None:
    needs = find_needs(made(tmp_path, number=806_000, version="3.6.5"), today=TODAY)
    assert (needs.python, needs.as_of) == ("3.6", "2018-03-20")
    assert needs.inferred
    assert needs.python_inferred
    assert needs.as_of_inferred
    assert needs.evidence == ("kernel id 806000 (2018-04-10)", "Python 3.6.5 in the metadata")


def test_what_is_given_wins(tmp_path: Path) -> None:
    needs = find_needs(made(tmp_path, number=806_000), python="3.11", as_of="2024-01-01", today=TODAY)
    assert (needs.python, needs.as_of, needs.inferred) == ("3.11", "2024-01-01", False)
    needs = find_needs(made(tmp_path, number=806_000), as_of="2019-01-01", today=TODAY)
    assert (needs.python, needs.as_of, needs.python_inferred, needs.as_of_inferred) == (
        "3.6",
        "2019-01-01",
        True,
        False,
    )


def test_what_is_declared_wins(tmp_path: Path) -> None:
    (tmp_path / "runtime.txt").write_text("python-3.7-2020-01-01\n")
    needs = find_needs(made(tmp_path, number=806_000), today=TODAY)
    assert (needs.python, needs.as_of, needs.inferred) == ("3.7", "2020-01-01", False)


def test_limits_reach_the_requirements(tmp_path: Path) -> None:
    needs = find_needs(made(tmp_path, "from sklearn.grid_search import GridSearchCV", version="3.8.5"), today=TODAY)
    assert [str(need) for need in needs.requirements] == ["scikit-learn<0.20.0"]


def test_the_day_of_the_image(tmp_path: Path) -> None:
    needs = find_needs(made(tmp_path, image=30635), as_of="kaggle", today=TODAY)
    assert (needs.as_of, needs.as_of_why) == ("2024-01-15", "--as-of kaggle: Kaggle image 30635 (2024-01-15)")
    with pytest.raises(InputError, match="names no image of Kaggle"):
        find_needs(made(tmp_path), as_of="kaggle", today=TODAY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"as_of": "1999-01-01"}, "before the first releases"),
        ({"as_of": "2012-01-01", "python": "3.11"}, "there was no Python 3.11 on 2012-01-01"),
        ({"as_of": "sometime"}, "is not a day"),
    ],
)
def test_bad_days(options: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        find_needs(made(tmp_path), today=TODAY, **options)


def test_cells_that_are_only_comments(tmp_path: Path) -> None:
    assert find_needs(made(tmp_path, "# nothing", ""), today=TODAY).inferred is False


def test_a_notebook_without_code(tmp_path: Path) -> None:
    source = made(tmp_path)
    empty = replace(source, notebook=replace(source.notebook, cells=(Cell("m", "markdown", "text"),)))
    assert infer(empty) == Period()
