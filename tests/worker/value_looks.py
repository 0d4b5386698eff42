"""Values of libraries that somebody only looks at, and that come back. Runs in any Python from 3.6 on, in an environment with them.

Prints one JSON object: `{case: what went wrong}`; a value that has no bytes is nothing wrong.
"""

# ruff: noqa: PTH100, PTH120, T201 - it runs on Python 3.6
import json
import os
import sys
import tempfile
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import value_round

CASES = {
    "categorical": "x = pd.Categorical([1, 2, 1])",
    "renamed": "x = pd.Series(pd.Categorical([1, 2], ordered=True).rename_categories(['a', 'b']))",
    "column": "x = pd.DataFrame({'a': [1, 2], 'b': ['u', 'v']}); x['a'] = pd.Categorical(x['b'])",
    "cut": "x = pd.cut(pd.Series([1, 2, 3]), 2)",
    "quantiles": "x = pd.DataFrame({'a': pd.qcut(pd.Series([1, 2, 3]), 2)})",
    "moments": "x = pd.Series(pd.date_range('2020', periods=2))",
    "zone": "x = pd.Series(pd.date_range('2020', periods=2, tz='UTC'))",
    "index of moments": "x = pd.date_range('2020', periods=2, tz='Europe/Berlin')",
    "month ends": "x = pd.date_range('2020', periods=3, freq=pd.offsets.MonthEnd())",
    "periods": "x = pd.Series(pd.period_range('2020', periods=2))",
    "index of periods": "x = pd.period_range('2020', periods=2)",
    "intervals": "x = pd.Series(pd.interval_range(0, 2))",
    "lengths of time": "x = pd.Series(pd.timedelta_range('1d', periods=2))",
    "moment": "x = pd.Timestamp('2020', tz='UTC')",
    "levels": "x = pd.DataFrame({'a': [1, 2], 'b': ['u', 'v']}).set_index(['a', 'b'])",
    "deleted": "x = pd.DataFrame({'a': [1, 2], 'b': ['u', 'v'], 'c': [1., 2.]}); del x['a']; x['d'] = 1",
    "text": "x = pd.Series(['a', None], dtype='string')",
    "sparse": "x = pd.Series(pd.arrays.SparseArray([0, 0, 1]))",
    "words": "from sklearn.feature_extraction.text import CountVectorizer\nx = CountVectorizer(stop_words='english').fit(['a dog', 'the cat'])",
    "weights": "from sklearn.feature_extraction.text import TfidfVectorizer\nx = TfidfVectorizer(stop_words=['the']).fit(['a dog', 'the cat'])",
    "encoder": "from sklearn.preprocessing import LabelEncoder\nx = LabelEncoder().fit(['u', 'v'])",
    "forest": "from sklearn.ensemble import RandomForestClassifier\nx = RandomForestClassifier(3, random_state=0).fit([[1], [2]], [0, 1])",
    "pipeline": "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\nfrom sklearn.linear_model import LogisticRegression\nx = make_pipeline(StandardScaler(), LogisticRegression()).fit([[1.], [2.]], [0, 1])",
}
ASKED = [
    "dtype",
    "ndim",
    "shape",
    "is_unique",
    "values",
    "array",
    "index",
    "T",
    "size",
    "nbytes",
    "empty",
    "hasnans",
    "dtypes",
    "is_monotonic_increasing",
    "categories",
    "codes",
]
CALLED = [
    "isnull",
    "describe",
    "unique",
    "value_counts",
    "head",
    "sum",
    "nunique",
    "to_numpy",
    "copy",
    "get_params",
    "get_feature_names",
    "memory_usage",
]


def look(thing):
    repr(thing)
    getattr(thing, "_repr_html_", str)()
    for name in ASKED:
        try:
            repr(getattr(getattr(thing, name), "dtype", None))
        except Exception:
            continue
    for name in CALLED:
        try:
            repr(getattr(thing, name)())
        except Exception:
            continue


def problem(source):
    definitions, values = value_round.worker()
    namespace = value_round.new_namespace()
    try:
        exec("import pandas as pd\n" + source, namespace)
    except (AttributeError, TypeError, ImportError):
        return None  # a library of another age
    place = tempfile.mkdtemp()
    store = values.Values(definitions.Definitions(namespace), place, place)
    described, groups = store.describe({"name:x": namespace["x"]})
    bundles = [dict(group, **store.keep(group)) for group in groups]
    if bundles[0]["lost"] is None:
        again = store.describe(store.restore(bundles))[0]
        if again["name:x"]["hash"] != described["name:x"]["hash"]:
            return "it does not come back equal"
    look(namespace["x"])
    if store.describe({"name:x": namespace["x"]})[0]["name:x"]["hash"] != described["name:x"]["hash"]:
        return "who looks at it changes it"
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = {name: problem(source) for name, source in CASES.items()}
    print(json.dumps({name: why for name, why in found.items() if why is not None}))
