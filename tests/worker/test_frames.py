"""Look-ups through frames are seen while a cell runs."""

from __future__ import annotations

import collections
import inspect
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kanoe_worker.track import frames

import kanoe.worker
from kanoe.environments.interpreters import find_interpreters


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


PICKLES = """
import io, pickle, sys, types
sys.path.insert(0, sys.argv[1])
class Mine(object):
    class Inner(object): pass
    def __eq__(self, other): return type(other) is Mine
def mine(): pass
class Other(object): pass
before = [pickle.dumps([Mine(), Mine.Inner(), mine, 1, list], number) for number in range(4, pickle.HIGHEST_PROTOCOL + 1)]
before += [pickle.dumps([Mine(), mine], number) for number in range(4)]
from kanoe_worker.track import frames
watch = frames.Watch(globals())
class Own(pickle.Unpickler):
    def find_class(self, module, name): return super(Own, self).find_class(module, name)
def seen(work):
    watch.begin()
    try: work()
    finally: found = watch.end()
    assert not found[1]
    return sorted(found[0])
seen(lambda: None)
class Later(pickle.Unpickler):
    def find_class(self, module, name): return super(Later, self).find_class(module, name)
for data in before:
    for work in (
        lambda: pickle.loads(data),
        lambda: pickle.loads(bytearray(data), encoding="latin1"),
        lambda: pickle.load(io.BytesIO(data), encoding='latin1'),
        lambda: pickle.Unpickler(io.BytesIO(data)).load(),
        lambda: pickle._Unpickler(io.BytesIO(data)).load(),
        lambda: Later(io.BytesIO(data)).load(),
    ):
        assert seen(work) == ["Mine", "mine"], seen(work)
assert seen(lambda: pickle.loads(pickle.dumps([1, "Other", {}]))) == []
assert pickle.loads(before[0])[0] == Mine()
for name in ("load", "loads", "Unpickler"):
    assert pickle.loads(pickle.dumps(getattr(pickle, name))) is getattr(pickle, name)
    assert getattr(pickle, name).__name__ == name
gone = pickle.dumps(Other())
del Other
def work():
    try: pickle.loads(gone)
    except AttributeError: return
    raise SystemExit("found")
assert seen(work) == ["Other"]
for bad in (lambda: pickle.loads("text"), lambda: pickle.load(3), lambda: pickle.loads(b"", wrong=1), lambda: pickle.loads()):
    try: bad()
    except TypeError: continue
    raise SystemExit("no error")
try: pickle.loads(b"")
except EOFError: pass
"""


@pytest.mark.parametrize(
    "python",
    [str(found.path) for found in find_interpreters() if found.final and found.minor >= (3, 6)],
)
def test_names_that_a_pickle_holds_are_looked_up(python: str, tmp_path: Path) -> None:
    (tmp_path / "kanoe_worker").symlink_to(Path(str(kanoe.worker.__file__)).parent)
    done = subprocess.run([python, "-c", PICKLES, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
