"""Look-ups through frames are seen while a cell runs."""

from __future__ import annotations

import collections
import inspect
import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from kanoe_worker.track import frames


def _watch(source: str, namespace: dict[str, Any], module: str = "library") -> tuple[set[str], bool]:
    """Run `source` as a library's, called from code of the notebook, and return what was seen."""
    library: dict[str, Any] = {"__name__": module}
    exec(source, library)
    namespace["call"] = library["call"]
    watch = frames.Watch(namespace)
    watch.begin()
    try:
        exec("result = call()", namespace)
    finally:
        seen = watch.end()
    return seen


def test_sys_getframe_is_the_real_one_outside_cells_and_counts_frames_rightly() -> None:
    original = sys._getframe
    namespace: dict[str, Any] = {"__name__": "__main__"}
    _watch("import sys\ndef call(): return sys._getframe().f_code.co_name, sys._getframe(1).f_code.co_name", namespace)
    assert namespace["result"] == ("call", "<module>")
    assert sys._getframe is original


@pytest.mark.parametrize("depth", ["-1", "10**6", "'a'"])
def test_a_bad_depth_fails_as_always(depth: str) -> None:
    source = f"import sys\ndef call():\n    try: return sys._getframe({depth}).f_code.co_name\n    except Exception as e: return type(e)"
    namespace: dict[str, Any] = {}
    _watch(source, namespace)
    library: dict[str, Any] = {}
    exec(source, library)
    expected = library["call"]()
    assert namespace["result"] == ("call" if depth == "-1" else expected)


@pytest.mark.parametrize(
    "source",
    [
        "def call():\n    import sys\n    return sys._getframe(1).f_globals['x']",
        "def call():\n    import sys\n    return sys._getframe(1).f_locals",
        "import sys\ndef back(): return sys._getframe(2)\ndef call(): return back().f_globals['x']",
        "import inspect\ndef call(): return inspect.currentframe().f_back.f_globals",
        "import inspect\ndef call(): return inspect.stack()[1].frame.f_globals",
        "import inspect\ndef call(): return [frame.f_locals for frame, *more in inspect.getouterframes(inspect.currentframe())]",
    ],
)
def test_an_unknown_library_may_look_at_all_names(source: str) -> None:
    _, everything = _watch(source, {"x": 1})
    assert everything


@pytest.mark.parametrize(
    "source",
    [
        "def call():\n    import sys\n    return sys._getframe(1).f_lineno",
        "def call():\n    import sys\n    return sys._getframe(1).f_globals.get('__name__')",
        "import inspect\ndef call(): return inspect.currentframe().f_back.f_code.co_filename",
        "import collections\ndef call(): return collections.namedtuple('T', 'x y')",
        "import logging\ndef call(): return logging.getLogger('kanoe.test').debug('x')",
        "import warnings\ndef call(): return warnings.warn_explicit('x', UserWarning, 'f', 1) if False else None",
        "import enum\ndef call(): return enum.Enum('E', 'a b')",
        "import typing\ndef call(): return typing.NamedTuple('T', [('x', int)])",
        "import dataclasses\ndef call(): return dataclasses.make_dataclass('T', ['x'])",
        "def call(): pass",
    ],
)
def test_who_asks_for_lines_and_modules_reads_no_names(source: str) -> None:
    assert _watch(source, {"x": 1, "__name__": "__main__"}) == (set(), False)


def test_ordinary_users_of_frames_work_as_always(caplog: pytest.LogCaptureFixture) -> None:
    watch = frames.Watch({})
    watch.begin()
    try:
        kind = collections.namedtuple("kind", "a")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            warnings.warn("here", stacklevel=1)
        with caplog.at_level(logging.INFO):
            logging.getLogger("kanoe.test").warning("here")
        frame = inspect.currentframe()
    finally:
        watch.end()
    assert kind.__module__ == __name__
    assert seen[0].filename == __file__
    assert caplog.records[0].funcName == "test_ordinary_users_of_frames_work_as_always"
    assert frame is not None
    assert frame.f_code.co_name == "test_ordinary_users_of_frames_work_as_always"


def test_a_cell_that_replaces_getframe_keeps_its_own() -> None:
    original = sys._getframe
    watch = frames.Watch({})
    watch.begin()

    def mine(depth: int = 0) -> Any:
        return original(depth + 1)

    try:
        sys._getframe = mine
        watch.end()
        assert sys._getframe is mine
        watch.begin()
        assert inspect.currentframe() is original()
        watch.end()
        assert sys._getframe is mine
    finally:
        sys._getframe = original


def test_who_imported_it_while_a_cell_ran_can_go_on() -> None:
    namespace: dict[str, Any] = {}
    _watch("def call():\n    from sys import _getframe\n    return _getframe", namespace)
    kept: Callable[..., Any] = namespace["result"]
    assert kept() is sys._getframe()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("select a from df", {"select", "a", "from", "df"}),
        ("select * from df join other using (k)", {"select", "from", "df", "join", "other", "using", "k"}),
        ("select * from df, other", {"select", "from", "df", "other"}),
        ("with t as (select 1 as one from df) select * from t", None),
        ("select * from view_of_mine", None),
        ("select * from df, view_of_mine", None),
        ("select * from (select a from df)", {"select", "a", "from", "df"}),
        ("select * from read_csv('x.csv')", {"select", "from", "read_csv", "x", "csv"}),
        ('select * from "df"', {"select", "from", "df"}),
        ("summarize df", None),
        ("", None),
    ],
)
def test_words_of_a_query_count_where_all_its_tables_are_names(text: str, names: set[str] | None) -> None:
    watch = frames.Watch({"df": 1, "other": 2})
    watch.begin()
    sure = frames._note_sql(watch, text, None)
    seen, _ = watch.end()
    if "with t" in text:
        assert sure
    else:
        assert (seen if sure else None) == names


def test_pandas_numexpr_and_patsy_tell_what_they_look_up() -> None:
    pandas = pytest.importorskip("pandas")
    namespace: dict[str, Any] = {"df": pandas.DataFrame({"a": [1, 2, 3]}), "x": 2, "how": "a < @x"}
    watch = frames.Watch(namespace)
    watch.begin()
    exec("n = len(df.query(how))", namespace)
    assert watch.end() == ({"x"}, False)
    assert namespace["n"] == 1
