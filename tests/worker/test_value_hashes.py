"""Values: equal ones hash equal, others do not, and bytes come back equal in another process, on every interpreter there is."""

from __future__ import annotations

import copy
import itertools
import json
import os
import signal
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kanoe_worker.track import definitions, guard, kinds, values

ROUND = Path(__file__).with_name("value_round.py")
PYTHONS = sorted(
    {Path(sys.executable)}
    | {
        path / "bin" / "python"
        for path in Path("~/.pyenv/versions").expanduser().glob("3.*")
        if (path / "bin" / "python").exists()
    }
)


def new_values(folder: Path) -> values.Values:
    return values.Values(definitions.Definitions({}), str(folder), str(folder))


def hash_of(thing: Any, folder: Path = Path("/nonexistent")) -> str:
    described, _ = new_values(folder).describe({"name:x": thing})
    return described["name:x"]["hash"]


def restored(folder: Path, roots: dict[str, Any]) -> dict[str, Any]:
    store = new_values(folder)
    _, groups = store.describe(roots)
    bundles = [{**group, **store.keep(group)} for group in groups]
    assert [bundle["lost"] for bundle in bundles] == [None] * len(bundles)
    return new_values(folder).restore(bundles)


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parent.parent.name)
def test_another_process_makes_equal_values(python: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    for step in ("write", "read"):
        done = subprocess.run(
            [python, "-W", "ignore", ROUND, step, tmp_path],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {}


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(alphabet=st.characters())
    | st.binary()
)
keys = st.integers() | st.text() | st.tuples(st.integers(), st.text())
sets = st.frozensets(st.integers()) | st.sets(st.text(max_size=3), max_size=3)
nested = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.lists(inner, max_size=3).map(lambda items: [items, items])
    ),
    max_leaves=20,
)


@given(st.tuples(nested, sets))
@settings(max_examples=150)
def test_a_copy_hashes_equal_and_comes_back_equal(tmp_path_factory: pytest.TempPathFactory, thing: Any) -> None:
    thing, several = thing
    expected = hash_of(thing)
    assert hash_of(copy.deepcopy(thing)) == expected
    thing = [thing, several]  # a copy of a set may have another order, which counts
    expected = hash_of(thing)
    folder = tmp_path_factory.mktemp("values")
    store = new_values(folder)
    _, groups = store.describe({"name:x": thing})
    kept = store.keep(groups[0])
    if kept["lost"] is None:
        assert hash_of(new_values(folder).restore([{**groups[0], **kept}])["name:x"]) == expected


def changed(thing: Any, draw: Callable[..., Any]) -> Any:
    """Change one place, wherever it is; the type of atoms counts too."""
    if type(thing) is list and thing:
        place = draw(st.integers(0, len(thing) - 1))
        return [*thing[:place], changed(thing[place], draw), *thing[place + 1 :]]
    if type(thing) is dict and thing:
        key = draw(st.sampled_from(list(thing)))
        return {other: changed(value, draw) if other is key else value for other, value in thing.items()}
    if type(thing) is tuple:
        return (changed(thing[0], draw), *thing[1:])
    return draw(st.sampled_from([[], {}, (1,), "other", 0, 0.0, False, b"", frozenset(), [[]]]))


@given(nested, st.data())
@settings(max_examples=150)
def test_a_change_changes_the_hash(thing: Any, data: st.DataObject) -> None:
    other = changed(thing, data.draw)
    same = repr(other) == repr(thing)
    if not same:
        assert hash_of(other) != hash_of(thing)


class Plain:
    pass


x, y = [1], [1]
DIFFERENT = {
    "types": [1, 1.0, True, "1", b"1", (1,), [1], {1}, frozenset({1}), {1: 1}, None, ..., 1 + 0j, bytearray(b"1")],
    "zero": [0.0, -0.0, 0],
    "sharing": [[x, x], [x, y]],
    "inner sharing": [{"a": [x], "b": x}, {"a": [x], "b": y}],
    "order": [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
    "order of a set": [list({8, 0}), list({0, 8})],
    "nesting": [[[], []], [[[]]], [[], [], []], [([],)]],
    "key": [{1: 2}, {1.0: 2}, {True: 2}],
    "long": ["x" * 70000, b"x" * 70000, "x" * 70001],
    "range": [range(3), range(4), slice(3)],
    "library": [int, float, len, json, os],
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_values_hash_differently(case: str) -> None:
    assert len({hash_of(thing) for thing in DIFFERENT[case]}) == len(DIFFERENT[case])


def test_equal_however_made() -> None:
    text = "".join(["a", "b"])
    assert hash_of(["ab", "ab"]) == hash_of([text, "".join(["a", "b"])])
    assert hash_of([(1, 2), (1, 2)]) == hash_of([tuple([1, 2]), tuple([1, 2])])
    pair = (1, [2])
    assert hash_of((pair, (1, pair[1]))) == hash_of((pair, pair))
    assert hash_of({"k": 10**30}) == hash_of({"k": int("1" + "0" * 30)})


def groups_of(roots: dict[str, Any]) -> list[list[str]]:
    _, groups = new_values(Path("/nonexistent")).describe({"name:" + name: thing for name, thing in roots.items()})
    return [[member[5:] for member in group["members"]] for group in groups]


def test_groups() -> None:
    shared, text, deep = [1], "a text that is long", {"a": [[1], [2]]}
    owner = Plain()
    owner.items = shared
    assert groups_of({"a": shared, "b": [shared], "c": [1], "d": text, "e": (text,)}) == [
        ["a", "b"],
        ["c"],
        ["d"],
        ["e"],
    ]
    assert groups_of({"a": deep, "b": deep["a"][1], "c": 1}) == [["a", "b"], ["c"]]
    assert groups_of({"a": shared, "b": owner, "c": owner.__dict__, "d": (1, (2,))}) == [["a", "b", "c"], ["d"]]


def test_what_a_generator_may_change_belongs_to_it() -> None:
    items = [1]

    def each() -> Any:
        yield from items

    assert groups_of({"a": items, "g": each(), "c": [1]}) == [["a", "g"], ["c"]]


def test_a_group_has_another_hash_when_it_shares_otherwise() -> None:
    one, other = [1], [1]
    store = new_values(Path("/nonexistent"))
    _, first = store.describe({"name:a": [one, other], "name:b": one, "name:c": other})
    _, second = store.describe({"name:a": [one, other], "name:b": other, "name:c": one})
    assert [group["members"] for group in first] == [group["members"] for group in second]
    assert first[0]["hash"] != second[0]["hash"]


def test_a_group_comes_back_whole(tmp_path: Path) -> None:
    shared = [1]
    back = restored(tmp_path, {"name:a": shared, "name:b": {"k": shared}})
    assert back["name:b"]["k"] is back["name:a"]


class Endless:
    def __reduce_ex__(self, protocol: int) -> Any:
        while True:
            pass


def test_what_never_ends_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SECONDS", 0.2)
    monkeypatch.setattr(guard.Guard.__init__, "__defaults__", (0.2,))
    before = signal.getsignal(signal.SIGALRM)
    store = new_values(tmp_path)
    library = types.ModuleType("a_library")
    library.Endless = Endless  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_library", library)
    monkeypatch.setattr(Endless, "__module__", "a_library")
    described, groups = store.describe({"name:e": Endless(), "name:ok": [1]})
    assert "longer than" in store.keep(groups[0])["lost"]
    assert store.keep(groups[1])["lost"] is None
    assert described["name:e"]["type"] == "Endless"
    assert signal.getsignal(signal.SIGALRM) == before


def test_nobody_is_warned(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert next(restored(tmp_path, {"name:c": itertools.count(3)})["name:c"]) == 3
        assert warnings.filters == before


def test_a_metaclass_is_never_asked() -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError

    meta = type("Meta", (type,), {"__hash__": refuse, "__eq__": refuse})
    kind = type.__call__(meta, "Kind", (Exception,), {"__module__": "__main__"})
    store = new_values(Path("/nonexistent"))
    _, groups = store.describe({"name:a": [kind(1), kind]})
    assert not store.unknown(["name:a"])
    assert groups


def test_a_damaged_bundle_says_whose_it_is(tmp_path: Path) -> None:
    store = new_values(tmp_path)
    _, groups = store.describe({"name:a": [1, 2, 3]})
    bundle = {**groups[0], **store.keep(groups[0])}
    for content in (b"", b"garbage", b"\0" * 50):
        (tmp_path / bundle["pickle"]).write_bytes(content)
        with pytest.raises(values.NotRestored) as caught:
            store.restore([bundle])
        assert caught.value.references == {"name:a"}


def test_too_large_to_keep(tmp_path: Path) -> None:
    store = new_values(tmp_path)
    _, groups = store.describe({"name:a": ["x" * 1000000]})
    assert store.keep(groups[0], 1000)["lost"] == "dearer to keep than to compute"
    assert os.listdir(tmp_path) == []


def test_a_type_in_the_making_is_no_type_of_types() -> None:
    asked = []

    class Meta(type):
        def mro(cls) -> list[type]:
            asked.append((kinds.is_type(cls), kinds.derives(cls, dict)))
            return type.mro(cls)

    class Made(dict, metaclass=Meta):
        pass

    assert asked == [(False, False)]
    assert (kinds.is_type(Made), kinds.derives(Made, dict), kinds.is_type(Meta)) == (False, True, True)
