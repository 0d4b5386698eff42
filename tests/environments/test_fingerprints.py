"""Names that came and went: the table's rows match the code they are made from, and nothing that only looks like it."""

from __future__ import annotations

import re

import pytest

from kanoe.environments.fingerprints import Fingerprint, find_sightings, fingerprints, parse_fingerprint, word_of
from kanoe.environments.releases import first_release, known_libraries
from kanoe.environments.tables import read_pairs
from kanoe.ir.code import parse_cell


def seen(*cells: str) -> set[str]:
    return {one.fingerprint.text for one in find_sightings([parse_cell(cell) for cell in cells])}


def example(row: Fingerprint) -> str:
    """Code that shows a row."""
    value = (row.value or "1").replace("*", "x")
    literal = value if value.isdecimal() or value in ("True", "False", "None") else repr(value)
    given = "1, 2" if row.count else f"{row.keyword}={literal}" if row.keyword else literal if row.value else ""
    head = f"import {row.needs}\n" if row.needs else ""
    if row.shape == "item":
        return f"{head}grid = {{'model__{row.keyword}': [{literal}, 2]}}"
    if row.path.startswith("[]"):
        return f"{head}df['a']{row.path[2:]}({given})"
    target = f"thing{row.path}" if row.path.startswith(".") else f"import {row.path.partition('.')[0]}\n{row.path}"
    end = {"name": "", "subscript": "[0]", "used": "(1).x", "call": f"({given})"}[row.shape]
    return f"{head}{target}{end}"


@pytest.mark.parametrize("row", fingerprints(), ids=lambda row: row.text)
def test_every_row_finds_its_own_example(row: Fingerprint) -> None:
    assert row.text in seen(example(row))


@pytest.mark.parametrize("row", fingerprints(), ids=lambda row: row.text)
def test_every_row_names_a_release_that_is_known(row: Fingerprint) -> None:
    assert row.library in known_libraries()
    assert first_release(row.library, row.version) is not None
    assert row.word
    assert row.word == word_of(row.text)


def test_rows_are_sorted_by_library() -> None:
    libraries = [row.split()[0] for row in read_pairs("fingerprints").values()]
    assert libraries == sorted(libraries)


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (("from sklearn.cross_validation import train_test_split",), "sklearn.cross_validation"),
        (("from sklearn import cross_validation",), "sklearn.cross_validation"),
        (("import sklearn.grid_search as gs",), "sklearn.grid_search"),
        (("import sklearn\nsklearn.grid_search.GridSearchCV()",), "sklearn.grid_search"),
        (("import seaborn as sns", "sns.factorplot('a', 'b')"), "seaborn.factorplot"),
        (("import seaborn as sns", "sns.barplot(x, y)"), "seaborn.barplot(*2)"),
        (("import pandas as pd", "df.ix[0, 'a']"), "pandas .ix[]"),
        (("import pandas as pd", "df = df.append(row)"), "pandas .append() used"),
        (("import pandas as pd", "df.append(row, ignore_index=True)"), "pandas .append(ignore_index=)"),
        (("import pandas as pd", "df['Age'].fillna(0, inplace=True)"), "pandas [].fillna(inplace=)"),
        (("import pandas as pd", "df.Age.fillna(0, inplace=True)"), "pandas [].fillna(inplace=)"),
        (("import pandas as pd", "df.drop('a', 1, inplace=True)"), "pandas .drop(*2)"),
        (("import pandas as pd", "df.sort('a')"), "pandas .sort('*')"),
        (("import numpy as np", "x.astype(np.bool)"), "numpy.bool"),
        (("%pylab inline", "x = np.float(3)"), "numpy.float"),
        (("from scipy.misc import imread as read", "read('a')"), "scipy.misc.imread"),
        (("import matplotlib.pyplot as plt\nplt.style.use('seaborn-whitegrid')",), "matplotlib.pyplot.style.use('seaborn-*')"),
        (("from sklearn.model_selection import GridSearchCV", "p = {'rf__max_features': ['sqrt', 'auto']}"), "sklearn {max_features: 'auto'}"),
        (("import tensorflow as tf", "with tf.Session() as s:\n    pass"), "tensorflow.Session"),
        (("from sklearn.externals import joblib\nx = = 1",), "sklearn.externals.joblib"),  # a cell that does not parse
        (("def f():\n    from sklearn.grid_search import GridSearchCV",), "sklearn.grid_search"),
    ],
)  # fmt: skip
def test_code_that_shows_its_age(cells: tuple[str, ...], row: str) -> None:
    assert row in seen(*cells)


@pytest.mark.parametrize(
    "cells",
    [
        ("def plot_roc_curve(a): pass", "plot_roc_curve(1)"),  # the notebook's own
        ("import pandas as pd", "rows = []\nrows.append(1)\nx = rows.append(2)"),
        ("import pandas as pd", "rows.append(1)", "rows.sort()", "rows.sort(key=len)"),
        ("import numpy as np, pandas as pd", "x = np.append(a, b)"),
        ("df.ix[0]",),  # no pandas
        ("import pandas as pd", "df.fillna(0, inplace=True)", "self.df.fillna(0, inplace=True)"),
        ("import pandas as pd", "df.loc[0].fillna(0, inplace=True)"),
        ("import seaborn as sns", "sns.barplot(x=x, y=y)", "sns.heatmap(a, b)", "sns.barplot(*arguments)"),
        (
            "try:\n    from sklearn.model_selection import KFold\nexcept ImportError:\n    from sklearn.cross_validation import KFold",
        ),
        ("import tensorflow as tf", "try:\n    tf.Session()\nexcept AttributeError:\n    pass"),
        ("import matplotlib.pyplot as plt\nplt.style.use('ggplot')",),
        ("import numpy as np\nnp.bool_(1)",),
        ("# sns.factorplot is gone", "'''pd.Panel'''"),
        ("import xgboost, catboost", "m = catboost.CatBoostClassifier()", "m.fit(x, y, early_stopping_rounds=5)"),
        ("import numpy as numpy_\nboolean = numpy_.bool_",),
        ("", "%%bash\nls", "x = = 1"),
    ],
)
def test_code_that_does_not(cells: tuple[str, ...]) -> None:
    assert seen(*cells) == set()


def test_a_sighting_says_where() -> None:
    (one,) = find_sightings([parse_cell("x = 1"), parse_cell("import pandas as pd\n\ndf.ix[0]")])
    assert (one.cell, one.line, one.fingerprint.library, one.fingerprint.version) == (1, 3, "pandas", "1.0")


@pytest.mark.parametrize("text", ["a b c", "pandas .x(", "x(**)", "sklearn {a}"])
def test_a_row_that_is_not_written_as_rows_are(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse_fingerprint(text, "pandas < 1.0")
    with pytest.raises(ValueError, match="is older"):
        parse_fingerprint("pandas.x", "is older")
