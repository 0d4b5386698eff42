"""`--env` and `--env-file`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.base.errors import InputError
from kanoe.verbs.variables import check_variables, parse_env_file, read_variables


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\nB=2\n", {"A": "1", "B": "2"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=1\nA=2", {"A": "2"}),
        ("# a comment\n\n   \n  # another\nA=1", {"A": "1"}),
        ("export A=1\n\texport  B = 2", {"A": "1", "B": "2"}),
        ("A=", {"A": ""}),
        ("A=\nB=2", {"A": "", "B": "2"}),
        ("A=''\nB=\"\"", {"A": "", "B": ""}),
        ("A = spaced value  ", {"A": "spaced value"}),
        ("A=1 # a comment", {"A": "1"}),
        ("A=1# none", {"A": "1# none"}),
        ("A=# a comment", {"A": ""}),
        ("A='1 # none' # a comment", {"A": "1 # none"}),
        ("A='$B ${C} `d` \\n'", {"A": "$B ${C} `d` \\n"}),
        ('A="$B ${C}"', {"A": "$B ${C}"}),
        ("A=$B", {"A": "$B"}),
        (r'A="one\ntwo\t\"three\" \\ \$ \x"', {"A": 'one\ntwo\t"three" \\ $ \\x'}),
        ("A='one\ntwo'\nB=3", {"A": "one\ntwo", "B": "3"}),
        ('A="one\n# two\n"\nB=3', {"A": "one\n# two\n", "B": "3"}),
        ("A=b=c", {"A": "b=c"}),
        ("A=it's", {"A": "it's"}),
        ("A=ž✓", {"A": "ž✓"}),
        ("a.b=1", {"a.b": "1"}),
        ("", {}),
        ("#", {}),
    ],
)
def test_lines(text: str, values: dict[str, str]) -> None:
    assert parse_env_file(text, "f") == (values, [])


@pytest.mark.parametrize(
    ("text", "lines", "values"),
    [
        ("A", [1], {}),
        ("A=1\nnonsense\nB=2", [2], {"A": "1", "B": "2"}),
        ("A='1\nB=2", [1], {"B": "2"}),
        ('\nA="1\n', [2], {}),
        ("A='1' 2\nB=2", [1], {"B": "2"}),
        ("=1\n'A'=2\nB C=3", [1, 2, 3], {}),
        ("A=1\n=\n=", [2, 3], {"A": "1"}),
    ],
)
def test_bad_lines_are_told_with_their_number(text: str, lines: list[int], values: dict[str, str]) -> None:
    found, problems = parse_env_file(text, "f.env")
    assert found == values
    assert [problem.place for problem in problems] == [f"f.env line {number}" for number in lines]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    found, problems = parse_env_file(text, "f")
    assert all(isinstance(value, str) for value in found.values())
    assert len(problems) <= text.count("\n") + text.count("\r") + 1


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(st.characters(exclude_characters="'\r"))
    )
)
def test_what_stands_in_single_quotes_comes_back(values: dict[str, str]) -> None:
    text = "".join(f"export {name}='{value}'  # said\n" for name, value in values.items())
    assert parse_env_file(text, "f") == (values, [])


def test_texts_win_over_files_and_the_last_over_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "of Kanoe")
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfA=1\nB=1\nC=1\n")
    (tmp_path / "b").write_text("B=2\nC=2\n")
    found = read_variables(["C=3", "D==", "OWN", "PATH=/x", "LD_LIBRARY_PATH=/y"], [tmp_path / "a", tmp_path / "b"])
    assert found == {"A": "1", "B": "2", "C": "3", "D": "=", "OWN": "of Kanoe", "PATH": "/x", "LD_LIBRARY_PATH": "/y"}


@pytest.mark.parametrize(
    "text",
    [
        "NOT_THERE_AT_ALL",
        "=1",
        "A B=1",
        "1A=1",
        "KANOE_ANSWERS=/x",
        "HOME=/",
        "PYTHONPATH=/x",
        "LD_PRELOAD=/x.so",
        "ä=1",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_variables([text])
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.place) == ("variable-value", "--env")


def test_everything_that_is_wrong_is_told_at_once_and_no_value_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("hush hush\nHOME=hush\nA='hush\n")
    (tmp_path / "b").write_bytes(b"A=\xff")
    with pytest.raises(InputError) as caught:
        read_variables(["KANOE_X=hush"], [tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert len(caught.value.diagnostics) == 6
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("variables", [{"A": "a\0b"}, {"A": 3}, {"KANOE_HOME": "x"}, {3: "x"}, {"": "x"}])
def test_what_python_gives_is_looked_at_too(variables: dict[str, str]) -> None:
    check_variables({"A": "1"})
    with pytest.raises(InputError):
        check_variables(variables)
