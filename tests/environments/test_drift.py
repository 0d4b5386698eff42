"""What an error says of a library's age, and where to go from there."""

from __future__ import annotations

import datetime

import pytest

from kanoe.environments.drift import Drift, find_drift, next_periods, suspect
from kanoe.environments.fingerprints import LIMIT
from kanoe.environments.releases import first_release
from kanoe.environments.tables import read_pairs

TODAY = datetime.date(2026, 11, 21)
MODERN = {
    "pandas": "3.1.1", "scikit-learn": "1.9.1", "numpy": "2.4.0", "seaborn": "0.13.2", "matplotlib": "3.10.0", "scipy": "1.17.0",
    "nltk": "3.9.2", "tensorflow": "2.20.0", "keras": "3.12.0", "lightgbm": "4.6.0", "xgboost": "3.1.0", "gensim": "4.4.0",
    "spacy": "3.8.0", "plotly": "6.5.0", "networkx": "3.6", "python": "3.12.4",
}  # fmt: skip
OLD = {
    "pandas": "0.22.0",
    "scikit-learn": "0.19.1",
    "numpy": "1.14.0",
    "seaborn": "0.8.1",
    "matplotlib": "2.1.0",
    "python": "3.6.15",
}

TEXTS = [  # environment, error, code -> library, direction, limit
    (MODERN, "ModuleNotFoundError", "No module named 'sklearn.cross_validation'", "", "scikit-learn", "new", "<0.20"),
    (MODERN, "ImportError", "cannot import name 'Imputer' from 'sklearn.preprocessing' (/a/b.py)", "", "scikit-learn", "new", "<0.22"),
    (OLD, "ImportError", "cannot import name 'ColumnTransformer'", "from sklearn.compose import ColumnTransformer", "scikit-learn", "old", ">=0.20"),
    (OLD, "ModuleNotFoundError", "No module named 'sklearn.impute'", "", "scikit-learn", "old", ">=0.20"),
    (MODERN, "AttributeError", "'DataFrame' object has no attribute 'append'", "df = df.append(x)", "pandas", "new", "<2.0"),
    (MODERN, "AttributeError", "'DataFrame' object has no attribute 'ix'", "df.ix[0]", "pandas", "new", "<1.0"),
    (MODERN, "AttributeError", "module 'seaborn' has no attribute 'factorplot'", "", "seaborn", "new", "<0.12"),
    (OLD, "AttributeError", "module 'seaborn' has no attribute 'histplot'", "", "seaborn", "old", ">=0.11"),
    (MODERN, "AttributeError", "module 'numpy' has no attribute 'bool'.\n`np.bool` was a deprecated alias", "fit(x)", "numpy", "new", "<1.24"),
    (OLD, "TypeError", "__init__() got an unexpected keyword argument 'sparse_output'", "e = OneHotEncoder(sparse_output=False)", "scikit-learn", "old", ">=1.2"),
    (MODERN, "TypeError", "OneHotEncoder.__init__() got an unexpected keyword argument 'sparse'", "", "scikit-learn", "new", "<1.4"),
    (MODERN, "TypeError", "LGBMClassifier.fit() got an unexpected keyword argument 'early_stopping_rounds'", "m.fit(x, early_stopping_rounds=5)", "lightgbm", "new", "<4.0"),
    (MODERN, "TypeError", "barplot() takes from 0 to 1 positional arguments but 2 were given", "sns.barplot(a, b)", "seaborn", "new", "<0.12"),
    (MODERN, "TypeError", "DataFrame.drop() takes from 1 to 2 positional arguments but 3 were given", "df.drop('a', 1)", "pandas", "new", "<2.0"),
    (MODERN, "InvalidParameterError", "The 'max_features' parameter of RandomForestClassifier must be an int in the range [1, inf). Got 'auto' instead.", "", "scikit-learn", "new", "<1.3"),
    (MODERN, "ValueError", "could not convert string to float: 'RL'", "df.corr()", "pandas", "new", "<2.0"),
    (MODERN, "TypeError", "Could not convert ['ab'] to numeric", "df.mean()", "pandas", "new", "<2.0"),
    (MODERN, "ValueError", "Input X contains NaN.\nRandomForestClassifier does not accept", "", "pandas", "new", "<3.0"),
    (MODERN, "IntCastingNaNError", "Cannot convert non-finite values (NA or inf) to integer", "", "pandas", "new", "<3.0"),
    (MODERN, "ValueError", "Found unknown categories [nan] in column 0 during transform".replace("Found", "found"), "", "pandas", "new", "<3.0"),
    (MODERN, "ValueError", "numpy.dtype size changed, may indicate binary incompatibility. Expected 96", "import x", "numpy", "new", "<2.0"),
    (OLD, "TypeError", "numpy boolean subtract, the `-` operator, is not supported", "", "seaborn", "old", ">=0.9"),
    (MODERN, "LookupError", "\n****\n  Resource \x1b[93mpunkt_tab\x1b[0m not found.", "", "nltk", "new", "<3.8.2"),
    (MODERN, "OSError", "[E050] Can't find model 'en'. It doesn't seem to be", "spacy.load('en')", "spacy", "new", "<3.0"),
    (MODERN, "AttributeError", "module 'tensorflow' has no attribute 'Session'", "", "tensorflow", "new", "<2.0"),
    (MODERN, "ValueError", "Argument(s) not recognized: {'lr': 0.001}", "", "keras", "new", "<3.0"),
    (MODERN, "TypeError", "Word2Vec.__init__() got an unexpected keyword argument 'size'", "", "gensim", "new", "<4.0"),
    (MODERN, "ImportError", "cannot import name 'Iterable' from 'collections' (/x)", "", "python", "new", "<3.10"),
    (MODERN, "ModuleNotFoundError", "No module named 'imp'", "", "python", "new", "<3.12"),
    (OLD, "TypeError", "'type' object is not subscriptable", "def f(x: list[int]): pass", "python", "old", ">=3.9"),
    (MODERN, "OSError", "'seaborn-whitegrid' is not a valid package style, path of style file", "", "matplotlib", "new", "<3.8"),
    (OLD, "AttributeError", "'DataFrame' object has no attribute 'some_new_thing'", "", "pandas", "either", None),
    (OLD, "AttributeError", "module 'matplotlib.pyplot' has no attribute 'strange'", "", "matplotlib", "either", None),
    (OLD, "ModuleNotFoundError", "No module named 'pandas.strange'", "", "pandas", "either", None),
]  # fmt: skip


@pytest.mark.parametrize(("versions", "ename", "evalue", "code", "library", "direction", "limit"), TEXTS)
def test_errors(
    versions: dict[str, str], ename: str, evalue: str, code: str, library: str, direction: str, limit: str | None
) -> None:
    drift = find_drift(ename, evalue, code, versions)
    assert drift is not None
    assert (drift.library, drift.direction, drift.limit) == (library, direction, limit)
    assert drift.why


@pytest.mark.parametrize(
    ("ename", "evalue"),
    [
        ("NameError", "name 'trian' is not defined"),
        ("ModuleNotFoundError", "No module named 'strange_module'"),  # missing, not old
        ("ModuleNotFoundError", "No module named 'pandas_profiling'"),
        ("AttributeError", "'MyThing' object has no attribute 'go'"),
        ("TypeError", "f() missing 1 required positional argument: 'x'"),
        ("KeyError", "'Survived'"),
        ("FileNotFoundError", "[Errno 2] No such file or directory: 'train.csv'"),
        ("ZeroDivisionError", "division by zero"),
        ("KeyboardInterrupt", ""),
    ],
)
def test_errors_of_the_notebook_itself(ename: str, evalue: str) -> None:
    assert find_drift(ename, evalue, "x = 1", MODERN) is None


def test_a_version_that_keeps_to_the_limit_is_not_the_cause() -> None:
    assert find_drift("ValueError", "could not convert string to float: 'RL'", "", OLD) is None
    assert find_drift("ValueError", "Input contains NaN", "", {}) is None


@pytest.mark.parametrize("limit", read_pairs("drift").values())
def test_every_mark_names_a_release(limit: str) -> None:
    bound = LIMIT.match(limit)
    assert bound is not None
    assert first_release(bound["library"], bound["version"]) is not None


def test_first_the_day_of_the_release() -> None:
    drift = Drift("scikit-learn", "new", "<0.20", datetime.date(2018, 9, 26), "because")
    first, second, third = next_periods("2019-06-01", "3.6", drift, today=TODAY)
    assert (first.day, first.python, first.why) == ("2018-09-11", "3.6", "because")
    assert (second.day, third.day) == ("2018-12-03", "2018-04-27")


def test_an_old_library_goes_forward_and_takes_the_python_along() -> None:
    drift = Drift("pandas", "old", ">=1.5", datetime.date(2022, 9, 19), "because")
    first = next_periods("2021-11-01", "3.6", drift, today=TODAY)[0]
    assert (first.day, first.python) == ("2022-10-19", "3.7")


def test_nobody_knows_which_way() -> None:
    days = [one.day for one in next_periods("2018-04-01", "3.6", Drift("pandas", "either"), today=TODAY)]
    assert days == ["2018-09-28", "2017-10-03", "2019-05-06"]


def test_what_was_tried_is_not_tried_again() -> None:
    drift = Drift("pandas", "either")
    days = [one.day for one in next_periods("2018-04-01", "3.6", drift, [("2018-09-28", "3.6")], today=TODAY)]
    assert days == ["2017-10-03", "2019-05-06", "2017-02-25"]


def test_the_newest_is_the_last_way_forward() -> None:
    candidates = next_periods("2026-10-01", "3.12", Drift("pandas", "old"), today=TODAY)
    assert (candidates[0].day, candidates[0].python) == (None, None)
    assert len({(one.day, one.python) for one in candidates}) == len(candidates)
    back = next_periods(None, None, Drift("pandas", "new", "<2.0", datetime.date(2023, 4, 3), "x"), today=TODAY)
    assert (back[0].day, back[0].python) == ("2023-03-19", "3.7")


def test_another_python_keeps_the_day() -> None:
    drift = Drift("python", "new", "<3.10", datetime.date(2021, 10, 4), "x")
    assert [(one.day, one.python) for one in next_periods("2023-06-01", "3.10", drift, today=TODAY)] == [
        ("2023-06-01", "3.9"), ("2023-06-01", "3.8"), ("2023-06-01", "3.7"),
    ]  # fmt: skip


def test_an_error_inside_a_library_is_weak_evidence() -> None:
    versions = {"seaborn": "0.12.0", "scikit-learn": "1.0.2"}
    found = suspect("ValueError", "seaborn", versions, ran=True)
    assert found is not None
    assert (found.library, found.direction, found.limit) == ("seaborn", "new", None)
    found = suspect("KeyError", "sklearn", versions, ran=False)
    assert found is not None
    assert (found.library, found.direction) == ("scikit-learn", "either")
    assert suspect("NameError", "seaborn", versions, ran=True) is None
    assert suspect("FileNotFoundError", "seaborn", versions, ran=True) is None
    assert suspect("ValueError", "somewhere", versions, ran=True) is None


@pytest.mark.parametrize(
    "code", ["from keras.layers import Dense, Gone", "from keras.layers import (\n    Dense,\n    Gone,\n)\n"]
)
def test_python_36_does_not_say_from_where(code: str) -> None:
    found = find_drift("ImportError", "cannot import name 'Gone'", code, {"keras": "1.2.1"})
    assert found is not None
    assert (found.library, found.direction) == ("keras", "either")
    assert find_drift("ImportError", "cannot import name 'Gone'", "import keras", {"keras": "1.2.1"}) is None
