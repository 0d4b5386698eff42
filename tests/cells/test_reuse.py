"""What a second run costs and says: no kernel, each cell's reason; and what is never reused."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from pathlib import Path

import pytest
from trial import World, differences, read_answer

import kanoe
from kanoe.engine.events import SessionStarted
from pairs import PairCell


def cells(*sources: str, **tags: list[str]) -> list[PairCell]:
    """Code cells; `c1=["skip"]` tags the second."""
    return [PairCell("", source, tags=tuple(tags.get(f"c{n}", ())), id=f"c{n}") for n, source in enumerate(sources)]


def run_watched(world: World, path: Path, **options: object) -> tuple[object, list[object]]:
    """Run and return the answer with all events."""
    events: list[object] = []
    report = kanoe.run(path, html=False, lock=world.lock, watch=events.append, **{"cells": True, **options})
    return read_answer(report), events


def test_an_unchanged_notebook_starts_no_kernel(world: World) -> None:
    path = world.write(
        "nb", cells("import random\nx = [random.random()]", "x.append(1)", "print(x)", "open('f', 'w').write(str(x));")
    )
    first = world.run(path)
    second, events = run_watched(world, path)
    assert second.ran == frozenset()
    assert set(second.states) == {"CACHED"}
    assert not [event for event in events if isinstance(event, SessionStarted)]
    assert not list(differences(second, first))


def test_every_cell_says_why_it_ran_in_the_notebooks_own_names(world: World) -> None:
    world.run(world.write("nb", cells("a = 1", "b = a + 1", "print(b)", "print('else')")))
    answer = world.run(world.write("nb", cells("a = 2", "b = a + 1", "print(b)", "print('else')")))
    assert answer.ran == {0, 1, 2}
    assert "code" in (answer.reasons[0] or "")
    assert "a" in (answer.reasons[1] or "").split(" ") or "a," in (answer.reasons[1] or "")
    assert "b" in (answer.reasons[2] or "").replace(",", " ").split(" ")


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_another_origin_reuses_nothing(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    sources = cells("x = 1", "print(x)")
    world.run(world.write("one", sources))
    if kind == "store":
        request.getfixturevalue("own_store")
    answer = world.run(world.write("other" if kind == "folder" else "one", sources))
    assert answer.ran == {0, 1}


def test_a_fork_in_the_same_folder_reuses_the_common_part(world: World) -> None:
    path = world.write("nb", cells("x = [1]", "x.append(2)", "print(x)"))
    world.run(path)
    fork = path.with_name("fork.ipynb")
    fork.write_bytes(world.write("draft", cells("x = [1]", "x.append(2)", "print(x, 'fork')")).read_bytes())
    answer = world.run(fork)
    assert answer.ran == {2}
    assert answer.texts[2] == "[1, 2] fork\n"


def test_a_value_is_never_unpickled_outside_the_walls(world: World, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    trap.mkdir()
    code = (
        f"class Trap:\n    def __reduce__(self):\n        return (open, ({str(trap / 'file')!r}, 'w'))\ntrap = Trap()"
    )
    path = world.write("nb", cells(code, "note = 1", "print(type(trap).__name__)"))
    world.run(path)
    path = world.write("nb", cells(code, "note = 2", "print(type(trap).__name__, note)"))
    answer = world.run(path)
    assert answer.texts[2] == "Trap 2\n"
    assert os.listdir(trap) == []


def test_two_runs_back_and_forth_find_both_versions(world: World) -> None:
    versions = [cells(f"x = {n}", "y = x * 2", "print(y)") for n in (1, 2)]
    for version in versions:
        world.run(world.write("nb", version))
    for n, version in enumerate(versions):
        answer = world.run(world.write("nb", version))
        assert answer.ran == frozenset()
        assert answer.texts[2] == f"{(n + 1) * 2}\n"


def test_a_failed_cell_runs_again_and_what_stands_above_does_not(world: World) -> None:
    path = world.write("nb", cells("x = 1", "print(x)", "1 / 0", "print('after')"))
    first = world.run(path)
    assert first.states == ("SUCCEEDED", "SUCCEEDED", "FAILED", "SKIPPED")
    second = world.run(path)
    assert second.states == ("CACHED", "CACHED", "FAILED", "SKIPPED")
    assert not list(differences(second, world.plain(path)))
    third = world.run(world.write("nb", cells("x = 1", "print(x)", "1 / 1", "print('after')")))
    assert third.states == ("CACHED", "CACHED", "SUCCEEDED", "SUCCEEDED")


def test_a_parameter_is_part_of_what_a_cell_reads(world: World) -> None:
    path = world.write("nb", cells("n = 1", "print(n)", "print('else')", c0=["parameters"]))
    assert world.run(path).texts[1] == "1\n"
    changed = world.run(path, parameters={"n": 5})
    assert "5\n" in changed.texts
    assert changed.states[-1] == "CACHED"
    back = world.run(path)
    assert back.ran == frozenset()


def test_an_input_file_that_changes_is_seen(world: World, tmp_path: Path) -> None:
    data = tmp_path / "numbers"
    data.mkdir()
    (data / "a.csv").write_text("1")
    (data / "b.csv").write_text("9")
    path = world.write(
        "nb",
        cells("print(open('/kaggle/input/numbers/a.csv').read())", "print(open('/kaggle/input/numbers/b.csv').read())"),
    )
    assert world.run(path, inputs=[str(data)]).texts == ("1\n", "9\n")
    assert world.run(path, inputs=[str(data)]).ran == frozenset()
    (data / "a.csv").write_text("2")
    answer = world.run(path, inputs=[str(data)])
    assert answer.texts == ("2\n", "9\n")
    assert answer.ran == {0}
    (data / "new.csv").write_text("")
    assert world.run(path, inputs=[str(data)]).ran == frozenset()


def test_a_listed_input_folder_is_seen_to_grow(world: World, tmp_path: Path) -> None:
    data = tmp_path / "numbers"
    data.mkdir()
    (data / "a.csv").write_text("1")
    path = world.write("nb", cells("import os\nprint(sorted(os.listdir('/kaggle/input/numbers')))", "print('else')"))
    world.run(path, inputs=[str(data)])
    (data / "b.csv").write_text("1")
    answer = world.run(path, inputs=[str(data)])
    assert answer.texts[0] == "['a.csv', 'b.csv']\n"
    assert answer.ran == {0}


def test_a_secret_is_in_no_trace_and_no_blob(world: World, own_store: Path) -> None:
    secret = "s3cr3t-of-the-pair-tests"
    path = world.write(
        "nb",
        cells(
            "from kaggle_secrets import UserSecretsClient\nkey = UserSecretsClient().get_secret('KEY')\nprint(len(key))",
            "header = {'auth': 'Bearer ' + key}",
            "import os\nos.environ['COPY'] = key",
            "print(len(header['auth']))",
            "import pandas as pd\nframe = pd.DataFrame({key: [1]})",
        ),
    )
    first = world.run(path, secrets={"KEY": secret})
    assert first.texts[3] == "31\n"
    for file in own_store.rglob("*"):
        if file.is_file() and "environments" not in file.parts:
            assert secret.encode() not in file.read_bytes(), file
    with contextlib.closing(sqlite3.connect(own_store / "traces.sqlite")) as connection:
        bodies = [zlib.decompress(body) for (body,) in connection.execute("SELECT body FROM traces")]
    assert len(bodies) >= 5
    assert not [body for body in bodies if secret.encode() in body]
    second = world.run(path, secrets={"KEY": secret})
    assert not list(differences(second, first))
    other = world.run(path, secrets={"KEY": "another"})
    assert other.texts[3] == "14\n"
