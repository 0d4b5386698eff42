from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.base.errors import InputError
from kanoe.environments.interpreters import Interpreter
from kanoe.environments.lock import Distribution, Lock, Skipped, check, describe_needed_by, remarks, this_platform
from kanoe.environments.lock_file import dumps, find_lock, loads, read_lock
from kanoe.environments.needs import Needs, Requirement

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
PYTHON = Interpreter(Path("/usr/bin/python3.11"), "3.11.7", Path("/usr"))
LOCK = Lock(
    python="3.11",
    platform=this_platform(),
    as_of="2024-01-01",
    requirements=(
        Requirement("ipykernel", "<7,>=5.5", why=("runs the cells",)),
        Requirement("pandas", ">=2", extras=("excel",), why=("imported by cells 1 and 4",), modules=("pandas",)),
        Requirement("tool", url="https://example.org/tool-1.0-py3-none-any.whl", why=("`!pip` line of cell 0",)),
    ),
    skipped=(Skipped("fancy", ("imported by cell 2",), "the registry has no distribution `fancy`"),),
    distributions=(
        Distribution("ipykernel", "6.31.0", ("runs the cells",), (A,), size=1000),
        Distribution("numpy", "2.1.0", ("needed by pandas",), (A, B)),
        Distribution("pandas", "2.2.0", ("imported by cells 1 and 4",), (B,), size=500),
        Distribution(
            "tool", "1.0", ("`!pip` line of cell 0",), (A,), url="https://example.org/tool-1.0-py3-none-any.whl"
        ),
    ),
)


def codes(found) -> list[str]:
    return [diagnostic.code for diagnostic in found]


# -- text


def test_the_text_is_this() -> None:
    small = Lock(
        "3.11",
        "linux-x86_64",
        (Requirement("six", why=("imported by cell 1",), modules=("six",), guessed=True),),
        (Distribution("six", "1.17.0", ("imported by cell 1", "needed by dateutil"), (A,), None, 11050),),
    )
    assert (
        dumps(small, "a b.ipynb")
        == f"""\
# The environment of a b.ipynb: every distribution, its version, and why it is there. Commit it beside the source.
# Made by Kanoe; to make it anew: `kanoe env lock 'a b.ipynb'`

kanoe-lock = 1
python = "3.11"
platform = "linux-x86_64"

[[requirement]]
requirement = "six"
why = ["imported by cell 1"]
modules = ["six"]
guessed = true

[[distribution]]
name = "six"
version = "1.17.0"
why = ["imported by cell 1", "needed by dateutil"]
size = 11050
hashes = ["{A}"]
"""
    )


def test_it_comes_back_whole() -> None:
    assert loads(dumps(LOCK, "x.ipynb")) == LOCK
    assert loads(dumps(LOCK).replace("\n", "\r\n")) == LOCK


def test_passwords_stay_out() -> None:
    url = "https://me:secret@example.org/tool-1.0-py3-none-any.whl"
    lock = replace(
        LOCK,
        requirements=(Requirement("tool", url=url),),
        distributions=(Distribution("tool", "1.0", hashes=(A,), url=url),),
    )
    text = dumps(lock)
    assert "secret" not in text
    assert loads(text).distributions[0].url == "https://example.org/tool-1.0-py3-none-any.whl"


NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){0,8}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PHRASES = st.lists(TEXTS, max_size=3).map(tuple)
HASHES = st.lists(st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True), min_size=1, max_size=3).map(tuple)
URLS = st.from_regex(r"https://[a-z]{1,5}\.org/[a-z0-9._-]{1,9}\.whl", fullmatch=True)
REQUIREMENTS = st.builds(
    Requirement,
    name=NAMES,
    specifier=st.sampled_from(["", ">=1", "<2,>=1.0", "==1.*", "~=1.4.2", "!=1.3"]),
    extras=st.lists(NAMES, max_size=2, unique=True).map(lambda names: tuple(sorted(names))),
    marker=st.sampled_from(["", 'python_version < "3.9"', "sys_platform == 'win32' and extra == 'x'"]),
    why=PHRASES,
    modules=PHRASES,
    optional=st.booleans(),
    guessed=st.booleans(),
) | st.builds(Requirement, name=NAMES, url=URLS, why=PHRASES)
DISTRIBUTIONS = st.builds(
    Distribution,
    name=NAMES,
    version=st.sampled_from(["1.0", "2!1.0rc1", "1.0+cpu", "2024.1.post3"]),
    why=PHRASES,
    hashes=HASHES,
    url=st.none() | URLS,
    size=st.none() | st.integers(0, 2**40),
)
LOCKS = st.builds(
    Lock,
    python=st.sampled_from(["3.6", "3.11", "3.14"]),
    platform=TEXTS,
    requirements=st.lists(REQUIREMENTS, max_size=3).map(tuple),
    distributions=st.lists(DISTRIBUTIONS, max_size=3, unique_by=lambda one: one.name).map(tuple),
    as_of=st.none() | TEXTS,
    accelerator=st.sampled_from([None, "cpu", "cuda"]),
    skipped=st.lists(st.builds(Skipped, NAMES, PHRASES, TEXTS), max_size=2).map(tuple),
)


@given(LOCKS, TEXTS)
def test_every_lock_comes_back_and_its_text_is_toml(lock: Lock, source: str) -> None:
    text = dumps(lock, source)
    tomllib.loads(text)
    assert loads(text) == lock
    assert dumps(loads(text), source) == text


def test_a_lone_surrogate_does_no_harm() -> None:
    lock = replace(LOCK, skipped=(Skipped("x", ("a\udc80b",), "r"),))
    assert loads(dumps(lock, "n\udc80.ipynb").encode().decode()).skipped[0].why == ("a\ufffdb",)


TEXT = dumps(LOCK)
FIRST, SECOND, THIRD, _ = (number for number, line in enumerate(TEXT.split("\n"), 1) if line == "[[distribution]]")


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("", "no `kanoe-lock = 1`", None),
        ("kanoe-lock = 1\n= 2\n", "not valid TOML", 2),
        (TEXT.replace("kanoe-lock = 1", "kanoe-lock = 2"), "form 2", 4),
        (TEXT.replace("kanoe-lock = 1", "kanoe-lock = true"), "no `kanoe-lock", None),
        (TEXT.replace('python = "3.11"', ""), "`python` is missing", 1),
        (
            TEXT.replace("[[requirement]]", 'accelerator = "tpu"\n[[requirement]]', 1),
            "`accelerator` cannot be 'tpu'",
            1,
        ),
        (TEXT.replace('python = "3.11"', 'python = "2.7"'), "`python` cannot be '2.7'", 1),
        (TEXT.replace('version = "2.1.0"', ""), "distribution 2 (numpy): `version` is missing", SECOND),
        (TEXT.replace('version = "2.1.0"', "version = 2.1"), "`version` cannot be 2.1", SECOND),
        (TEXT.replace('version = "2.1.0"', 'version = "2.1.0 --index-url http://x"'), "`version` cannot", SECOND),
        (TEXT.replace('name = "numpy"', 'name = "-r"'), "`name` cannot be '-r'", SECOND),
        (TEXT.replace('name = "numpy"', 'name = "pandas"'), "`pandas` is there twice", THIRD),
        (TEXT.replace("size = 500", "size = -1"), "`size` cannot be -1", THIRD),
        (TEXT.replace("size = 500", "sise = 500"), "`sise` is unknown", THIRD),
        (TEXT.replace("size = 500", ""), None, None),
        (TEXT.replace(A, "md4:" + "a" * 32, 1), "`hashes` cannot hold", FIRST),
        (TEXT.replace(f'hashes = ["{B}"]', ""), "`pandas` has no hashes", THIRD),
        (TEXT.replace('requirement = "pandas[excel]>=2"', 'requirement = "/etc/passwd"'), "is not a requirement", 13),
        (TEXT.replace('modules = ["pandas"]', 'modules = "pandas"'), "`modules` must be a list", 13),
        (TEXT.replace('modules = ["pandas"]', "optional = 1"), "`optional` must be", 13),
        (TEXT + "\n[extra]\na = 1\n", "`extra` is unknown", 1),
        (TEXT.replace("[[distribution]]", "[distribution]", 1), "not valid TOML", SECOND),
        (TEXT.partition("[[requirement]]")[0] + "distribution = 5\n", "must be a list of tables", 9),
    ],
)
def test_what_is_broken_is_said(text: str, words: str | None, line: int | None) -> None:
    if words is None:
        loads(text)
        return
    with pytest.raises(InputError) as raised:
        loads(text, place="x.lock")
    (found,) = raised.value.diagnostics
    assert found.code == "lock-broken"
    assert words in found.message
    assert found.place == ("x.lock" if line is None else f"x.lock line {line}")
    assert "kanoe env lock" in (found.hint or "")


@given(
    st.text(max_size=60)
    | st.builds(lambda cut, more: TEXT[:cut] + more, st.integers(0, len(TEXT)), st.text(max_size=9))
)
def test_any_text_is_a_lock_or_a_diagnostic(text: str) -> None:
    problems: list[InputError] = []
    try:
        lock = loads(text)
        assert loads(dumps(lock)) == lock
    except InputError as problem:
        problems.append(problem)
    assert all(codes(problem.diagnostics) == ["lock-broken"] for problem in problems)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x80abc", b"kanoe-lock = 1\x00"])
def test_a_file_that_is_no_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_lock(tmp_path / "x.lock")
    assert codes(raised.value.diagnostics) == ["lock-broken"]


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert read_lock(tmp_path / "x.lock") == LOCK


# -- where it is


def test_the_nearest_lock_counts(tmp_path: Path) -> None:
    assert find_lock(tmp_path, "nb") is None
    (tmp_path / "kanoe.lock").touch()
    assert find_lock(tmp_path, "nb") == tmp_path / "kanoe.lock"
    (tmp_path / "nb.lock").touch()
    assert find_lock(tmp_path, "nb") == tmp_path / "nb.lock"
    (tmp_path / "other").touch()
    assert find_lock(tmp_path, "nb", tmp_path / "other") == tmp_path / "other"


@pytest.mark.parametrize("name", ["missing", "."])
def test_the_lock_that_the_user_names_must_be_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        find_lock(tmp_path, "nb", tmp_path / name)
    assert codes(raised.value.diagnostics) == ["lock-broken"]


# -- whether it fits


def needs(*requirements: Requirement, **options) -> Needs:
    return Needs(requirements=requirements, **options)


PANDAS = Requirement("pandas", ">=2", why=("imported by cell 1",))


@pytest.mark.parametrize(
    "wanted",
    [
        needs(),
        needs(PANDAS, Requirement("numpy")),
        needs(Requirement("pandas", "==2.2.0")),
        needs(Requirement("absent", optional=True)),
        needs(Requirement("absent", marker='sys_platform == "nowhere"')),
        needs(Requirement("absent", marker='python_version < "3.9"')),
        needs(Requirement("tool", url="https://example.org/tool-1.0-py3-none-any.whl")),
        needs(Requirement("tool", url="https://me:secret@example.org/tool-1.0-py3-none-any.whl")),
        needs(PANDAS, as_of="2024-01-01"),
        needs(PANDAS, python="3.11"),
        needs(PANDAS, python=">=3.9"),
    ],
)
def test_a_lock_that_fits(wanted: Needs) -> None:
    assert check(LOCK, wanted, PYTHON) == ()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (needs(Requirement("seaborn", why=("imported by cell 2",))), "`seaborn` is missing (imported by cell 2)"),
        (needs(Requirement("pandas", ">=3", why=("--with",))), "`pandas` is 2.2.0, wanted is >=3 (--with)"),
        (needs(Requirement("numpy", "==2.1.1")), "`numpy` is 2.1.0, wanted is ==2.1.1"),
        (
            needs(Requirement("tool", url="https://example.org/tool-2.whl")),
            "`tool` from https://example.org/tool-2.whl is",
        ),
        (needs(as_of="2023-01-01", as_of_why="--as-of"), "as of 2024-01-01, and --as-of asks for 2023-01-01"),
        (needs(python="3.9", python_why="--python"), "--python asks for 3.9"),
    ],
)
def test_a_stale_lock(wanted: Needs, words: str) -> None:
    (found,) = check(LOCK, wanted, PYTHON, place="nb.lock", source="my nb.ipynb")
    assert found.code == "lock-stale"
    assert words in found.message
    assert found.place == "nb.lock"
    assert found.hint == "Make it anew: `kanoe env lock 'my nb.ipynb'`"


def test_everything_that_is_stale_is_named_together() -> None:
    absent = [Requirement(f"absent-{number}") for number in range(8)]
    (found,) = check(LOCK, needs(*absent), replace(PYTHON, version="3.12.1"))
    assert "Python 3.11" in found.message
    assert "absent-3" in found.message
    assert "4 more" in found.message


def test_another_platform_and_no_kernel() -> None:
    other = replace(LOCK, platform="macos-arm64", distributions=())
    found = check(other, needs(), PYTHON)
    assert codes(found) == ["lock-platform", "lock-stale"]
    assert "ipykernel" in found[1].message


# -- what is said of it


def test_what_was_left_out_is_said() -> None:
    (found,) = remarks(LOCK)
    assert (found.code, found.place) == ("distribution-skipped", "imported by cell 2")
    assert "`--with fancy`" in (found.hint or "")


def test_a_day_to_come_is_said() -> None:
    assert codes(remarks(replace(LOCK, skipped=(), as_of="2999-01-01"))) == ["date-broken"]
    assert codes(remarks(replace(LOCK, skipped=(), as_of="2999-01-01T00:00:00Z"))) == ["date-broken"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a"], "needed by a"),
        (["b", "a"], "needed by a and b"),
        (list("edcba"), "needed by a, b, c, d and e"),
        (list("fedcba"), "needed by a, b, c, d and 2 more"),
    ],
)
def test_who_needs_it(names: list[str], text: str) -> None:
    assert describe_needed_by(names) == text


def test_the_size_is_that_of_all_files() -> None:
    assert LOCK.size == 1500
    assert LOCK.find("numpy") == LOCK.distributions[1]
    assert LOCK.find("absent") is None
