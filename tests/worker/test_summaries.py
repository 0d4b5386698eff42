"""What the worker tells of values, and what two summaries tell of a change."""

from __future__ import annotations

import ast
import collections
import json
import types
from pathlib import Path
from typing import Any

import pytest

from kanoe.worker.track import summaries
from kanoe.worker.track.summaries import differences, summarise


class Model:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def changed(old: Any, new: Any) -> list[str]:
    """What is told of a change, through JSON as in a trace."""
    return differences(json.loads(json.dumps(summarise(old))), json.loads(json.dumps(summarise(new))))


def function(source: str) -> Any:
    names: dict[str, Any] = {}
    exec(source, names)
    return names["f"]


CHANGES = [
    (3, 4, ["3 -> 4"]),
    (3, 3, []),
    (3, 3.0, ["3 -> 3.0"]),
    ("a", "b", ["'a' -> 'b'"]),
    (None, True, ["None -> True"]),
    (10**100, 1, ["an integer of 333 bits -> 1"]),
    ("x" * 100, "y", ["'" + "x" * 60 + "… (100 characters) -> 'y'"]),
    ([1, 2], [1, 2, 3], ["2 -> 3 items"]),
    ([1, 2, 3], [1, 5, 3], ["item 1 2 -> 5"]),
    (list(range(50)), list(range(1, 51)), ["50 items"]),
    ((1, "a"), (1, "b"), ["item 1 'a' -> 'b'"]),
    ({"lr": 0.1, "n": 3}, {"lr": 0.2, "n": 3}, ["lr 0.1 -> 0.2"]),
    ({"a": 1}, {"b": 1}, ["without a", "with b"]),
    ({"a": [1, 2]}, {"a": [1, 3]}, ["a holds other values"]),
    ({"a": [1]}, {"a": [1, 2]}, ["a list of 1 -> list of 2"]),
    ({1, 2}, {1, 2, 3}, ["2 -> 3 items"]),
    ({1, 2}, {1, 3}, ["some items"]),
    (Model(max_depth=3), Model(max_depth=5), ["max_depth 3 -> 5"]),
    (Model(_hidden=3), Model(_hidden=4), []),
    (function("def f(x): return x + 1"), function("def f(x): return x + 2"), ["its code"]),
    (function("def f(x): return x + 1"), function("\n\n# moved\ndef f(x): return x + 1"), []),
    (
        function("class f:\n    n = 1\n    def m(self): return 1"),
        function("class f:\n    n = 2\n    def m(self): return 1"),
        ["n 1 -> 2"],
    ),
    (
        function("class f:\n    def m(self): return 1"),
        function("class f:\n    def m(self): return 2\n    def k(self): pass"),
        ["its method m", "with k"],
    ),
    (1, [1], ["another kind of value"]),
]


@pytest.mark.parametrize(("old", "new", "told"), CHANGES, ids=range(len(CHANGES)))
def test_what_is_told_of_a_change(old: Any, new: Any, told: list[str]) -> None:
    assert changed(old, new) == told


def hostile_classes() -> dict[str, Any]:
    """Not at the module's level: pytest looks at whatever stands there."""

    class Hostile:
        """Whatever is asked of it raises."""

        def refuse(self, *_: Any) -> Any:
            raise AssertionError("the notebook's own code was called")

        __eq__ = __hash__ = __repr__ = __str__ = __len__ = __iter__ = __bool__ = __getattr__ = refuse  # type: ignore[assignment]
        __dir__ = __reduce__ = __format__ = __getitem__ = __contains__ = __array__ = refuse  # type: ignore[assignment]

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

        @property
        def __class__(self) -> Any:
            raise AssertionError("its class was asked for")

    class MetaHostile(type):
        def __getattribute__(cls, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    class Named(metaclass=MetaHostile):
        pass

    class Liar(dict[str, int]):
        __module__ = "pandas.core.frame"

        def __iter__(self) -> Any:
            raise AssertionError("the notebook's own code was called")

    class FalseDictionary:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise AssertionError("the notebook's own code was called")

    class Slots:
        __slots__ = ("a",)

    return {"hostile": Hostile, "meta": Named, "liar": Liar, "dictionary": FalseDictionary, "slots": Slots}


@pytest.mark.parametrize("name", ["hostile", "meta", "liar", "dictionary", "slots"])
def test_no_code_of_the_notebook_is_called(name: str) -> None:
    kind = hostile_classes()[name]
    value = dict.__new__(kind) if name == "liar" else object.__new__(kind)
    # `_summary` lets errors through.
    for index, holder in enumerate((value, [value, 1], {"a": value}, (value,), kind)):
        assert type(summaries._summary(holder)) is dict, index
    model = Model()
    model.__dict__["held"] = value
    json.dumps(summaries._summary(model))


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        b"\xff",
        float("nan"),
        complex(1, 2),
        {("a", 1): 2, None: 3, 1.5: 4},
        {"\ud800": 1},
        [],
        (),
        {},
        set(),
        frozenset({1}),
        range(3),
        types,
        int,
        len,
        lambda: 1,
        (number for number in range(3)),
        collections.OrderedDict(a=1),
        collections.defaultdict(list),
        object(),
        NotImplemented,
        Exception("a"),
    ],
    ids=repr,
)
def test_anything_has_a_summary_that_json_holds(value: Any) -> None:
    summary = summaries._summary(value)
    assert isinstance(summary, dict)
    assert changed(value, value) == []


def test_a_summary_is_small() -> None:
    values = ["x" * 10**6, list(range(10**5)), {f"k{number}": "v" * 1000 for number in range(1000)}, 1 << 10**5]
    values += [Model(**{f"a{number}": "v" * 1000 for number in range(1000)}), set(range(10**5))]
    for value in values:
        assert len(json.dumps(summarise(value))) < 8000


@pytest.mark.parametrize(
    "other", [None, 1, "a", [], {"text": 1}, {"columns": 1}, {"columns": ["a"], "values": 3, "rows": "x"}]
)
def test_a_summary_of_any_shape_is_compared(other: Any) -> None:
    """It may come from a notebook."""
    good = {"columns": ["a"], "values": [{"marks": "AAA=", "missing": 0}], "rows": 1}
    for old, new in ((good, other), (other, good), (other, other)):
        assert all(isinstance(sentence, str) for sentence in differences(old, new))
    strange = {"columns": ["a"], "values": [{"marks": "é", "dtype": 3, "missing": "x"}], "rows": 1}
    assert isinstance(differences(good, strange), list)


def test_many_changes_are_cut() -> None:
    told = changed({f"k{number}": 0 for number in range(30)}, {f"k{number}": 1 for number in range(30)})
    assert len(told) == 13
    assert told[-1] == "and 18 more"


def test_it_speaks_the_oldest_python() -> None:
    ast.parse(Path(summaries.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))


class TestFrames:
    """With the real libraries, where they are."""

    @pytest.fixture
    def pandas(self) -> Any:
        return pytest.importorskip("pandas")

    def frame(self, pandas: Any, rows: int = 891) -> Any:
        ages = [None if number % 5 == 0 else float(number % 80) for number in range(rows)]
        return pandas.DataFrame(
            {
                "Id": range(rows),
                "Age": ages,
                "Sex": [("male", "female")[number % 2] for number in range(rows)],
                "Day": pandas.date_range("2020-01-01", periods=rows, freq="min"),
                "Kind": pandas.Categorical([("a", "b", "c")[number % 3] for number in range(rows)]),
            }
        )

    def test_a_filled_column(self, pandas: Any) -> None:
        old = self.frame(pandas)
        new = old.assign(Age=old["Age"].fillna(30.0))
        assert changed(old, new) == ["column Age, 179 values (all missing before)"]

    def test_single_values(self, pandas: Any) -> None:
        old, new = self.frame(pandas), self.frame(pandas)
        new.loc[5, "Sex"] = "x"
        new.loc[6, "Day"] = pandas.Timestamp("2021-01-01")
        new.loc[7, "Kind"] = "a"
        new.loc[8, "Id"] = -1
        new.loc[[9, 11], "Age"] = None
        assert sorted(changed(old, new)) == [
            "column Age, 2 values (all missing now)",
            "column Day, 1 value",
            "column Id, 1 value",
            "column Kind, 1 value",
            "column Sex, 1 value",
        ] or sorted(changed(old, new))[1:] == ["column Day, 1 value", "column Id, 1 value", "column Sex, 1 value"]

    def test_columns_and_rows(self, pandas: Any) -> None:
        old = self.frame(pandas)
        assert changed(old, old.drop(columns=["Sex", "Kind"])) == ["without columns Sex, Kind"]
        assert changed(old, old.assign(New=1)) == ["with column New"]
        assert changed(old, old[old["Id"] < 100]) == ["891 -> 100 rows"]
        assert changed(old, old.assign(Id=old["Id"].astype(float))) == ["column Id, int64 -> float64"]
        assert changed(old, old[["Age", "Id", "Sex", "Day", "Kind"]]) == ["its columns in another order"]
        assert changed(old, old.copy()) == []

    def test_a_large_frame(self, pandas: Any) -> None:
        old = self.frame(pandas, 100_000)
        new = old.assign(Age=old["Age"].fillna(30.0))
        (sentence,) = changed(old, new)
        assert sentence.startswith("column Age, about ")
        assert len(json.dumps(summarise(old))) < 10_000

    def test_a_look_leaves_no_trace(self, pandas: Any) -> None:
        frame = self.frame(pandas)
        before = set(vars(frame)), dict(getattr(frame, "_item_cache", {}))
        summarise(frame)
        assert (set(vars(frame)), dict(getattr(frame, "_item_cache", {}))) == before

    def test_other_shapes(self, pandas: Any) -> None:
        numpy = pytest.importorskip("numpy")
        assert changed(numpy.zeros(5), numpy.array([0, 1, 0, 0, 2.0])) == ["2 values"]
        assert changed(numpy.zeros((2, 3)), numpy.zeros((3, 2))) == ["shape (2, 3) -> (3, 2)"]
        assert changed(numpy.zeros(10**6), numpy.ones(10**6)) == ["about 100 % of the values"]
        assert changed(numpy.float64(1), numpy.float64(2)) == ["1.0 -> 2.0"]
        assert changed(Model(w=numpy.zeros(3)), Model(w=numpy.ones(3))) == ["w holds other values"]
        series = pandas.Series([1.0, None, 3.0])
        assert changed(series, series.fillna(2.0)) == ["1 value (all missing before)"]
        assert changed(pandas.Timestamp("2020-01-01"), pandas.Timestamp("2021-01-01")) == [
            "2020-01-01 00:00:00 -> 2021-01-01 00:00:00"
        ]

    def test_strange_frames(self, pandas: Any) -> None:
        numpy = pytest.importorskip("numpy")
        frames = [
            pandas.DataFrame(),
            pandas.DataFrame({"a": []}),
            pandas.DataFrame(numpy.zeros((2, 2)), columns=["a", "a"]),
            pandas.DataFrame(numpy.zeros((2, 2)), columns=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
            pandas.DataFrame({"a": [object(), Model(), [1], {"b": 2}, {1}]}),
            pandas.DataFrame({"a": [dict.__new__(hostile_classes()["liar"])]}),
            pandas.DataFrame({0: [1], None: [2], 1.5: [3]}),
            pandas.DataFrame(numpy.zeros((3, 3000))),
            pandas.DataFrame({"a": pandas.Series([1, None], dtype="Int64")}),
            pandas.DataFrame({"a": [1 + 2j], "b": [b"x"], "c": [pandas.Timedelta("1s")]}),
            pandas.DataFrame({"a": [1]}, index=pandas.to_datetime(["2020-01-01"])),
        ]
        for frame in frames:
            assert json.loads(json.dumps(summaries._summary(frame)))["rows"] == len(frame)
            assert changed(frame, frame) == []
