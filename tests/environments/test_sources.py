from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_sources import make_source
from repositories import Repository, git_knows

from kanoe.base.errors import CancelledError, UnavailableError
from kanoe.base.stop import Stop
from kanoe.environments import sources
from kanoe.environments.distributions import find_needs
from kanoe.environments.lock import Lock, check
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.sources import (
    SPACY_MODELS,
    commit_of,
    fetch_page,
    find_source,
    find_tree,
    is_open,
    is_pin_of,
    model_version,
    pin_sources,
)
from kanoe.environments.tables import read_pairs
from kanoe.environments.trees import take_trees, trees_of, with_trees

LEARNTOOLS = "https://github.com/Kaggle/learntools"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def learntools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository of the form of Kaggle's, whose setup.py cannot be run."""
    repository = Repository(tmp_path / "learntools.repository")
    git_knows(tmp_path, monkeypatch, {LEARNTOOLS: repository.path})
    return repository


def files(version: str) -> dict[str, str]:
    return {
        "setup.py": "raise SystemExit('nobody runs this')\n",
        "learntools/__init__.py": f"from . import core\n__version__ = {version!r}\n",
        "learntools/core/__init__.py": "import pandas\nfrom learntools.core.inner import x\n",
        "learntools/core/inner.py": "import numpy as np\nx = 1\n",
        "learntools/deep/__init__.py": "import tensorflow\n",
    }


def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


# --- the table --------------------------------------------------------------------------------------------------------


def test_every_source_says_its_kind_and_address() -> None:
    for module in read_pairs("sources"):
        source = find_source(module)
        assert source is not None
        assert source.kind in {"git", "tree", "clone"}
        assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", source.address)
        assert is_open(source.url)
        assert not is_open(f"{source.url}@{COMMIT}")


def test_days_of_models_and_data_are_days() -> None:
    for table in ("spacy_models", "nltk_data"):
        days = list(read_pairs(table))
        assert days == sorted(days)
        assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", day) for day in days)
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in read_pairs("nltk_data").values())


@pytest.mark.parametrize(
    ("url", "pinned", "fits"),
    [
        (f"git+{LEARNTOOLS}", f"git+{LEARNTOOLS}@{COMMIT}", True),
        (f"git+{LEARNTOOLS}.git", f"git+{LEARNTOOLS}@{COMMIT}", True),
        (f"git+{LEARNTOOLS}@master", f"git+{LEARNTOOLS}@{COMMIT}", True),
        (f"git+{LEARNTOOLS}", f"git+{LEARNTOOLS}", True),
        (f"git+{LEARNTOOLS}", f"git+{LEARNTOOLS}-of-a-stranger@{COMMIT}", False),
        (f"git+{LEARNTOOLS}@v1", f"git+{LEARNTOOLS}@{COMMIT}", False),
        (f"{SPACY_MODELS}en_core_web_sm", f"{SPACY_MODELS}en_core_web_sm-3.7.1/en_core_web_sm-3.7.1.whl", True),
        (f"{SPACY_MODELS}en_core_web_sm", f"{SPACY_MODELS}en_core_web_md-3.7.1/x.whl", False),
        ("https://x/y.whl", "https://x/y.whl", True),
        ("https://x/y.whl", "https://x/z.whl", False),
    ],
)
def test_pins(url: str, pinned: str, fits: bool) -> None:
    assert is_pin_of(url, pinned) is fits


TREES = {
    f"learntools @ git+{LEARNTOOLS}": True,
    f"other @ git+{LEARNTOOLS}.git@{COMMIT}": True,
    "learntools @ git+https://mirror.example/team/learntools": True,
    "learntools @ file:///data/learntools": True,
    "learntools @ file:///data/learntools-1.whl": False,
    "learntools @ https://mirror.example/learntools-1-py3-none-any.whl": False,
    "detectron2 @ git+https://github.com/facebookresearch/detectron2": False,
    "pandas @ git+https://github.com/pandas-dev/pandas": False,
}


@pytest.mark.parametrize("text", TREES)
def test_what_is_taken_as_it_is(text: str) -> None:
    name, _, url = text.partition(" @ ")
    assert (find_tree(Requirement(name, url=url)) is not None) is TREES[text]


def test_the_name_that_a_link_suggests_is_no_proof() -> None:
    assert find_tree(Requirement("clip", url="git+https://github.com/somebody/clip", guessed=True)) is None


@pytest.mark.parametrize(
    ("day", "spacy", "version"),
    [
        ("2015-01-01", "", "2.0.0"),
        ("2018-06-01", "", "2.0.0"),
        ("2020-01-01", "", "2.2.5"),
        ("2020-01-01T00:00:00Z", "", "2.2.5"),
        ("2022-08-01", "", "3.4.0"),
        (None, "", "3.8.0"),
        (None, "3.1.4", "3.1.0"),
        ("2020-01-01", "3.7.5", "3.7.1"),
    ],
)
def test_models_are_of_the_age_of_the_library(day: str | None, spacy: str, version: str) -> None:
    assert model_version(day, spacy) == version


# --- the commit of the day ------------------------------------------------------------------------------------------


def test_the_commit_of_the_day_is_remembered(learntools: Repository, tmp_path: Path) -> None:
    old, new = learntools.commit("2019-05-01", files("1")), learntools.commit("2021-05-01", files("2"))

    def ask(day: str | None, *, anew: bool = False) -> str:
        return commit_of(LEARNTOOLS, day, memory(tmp_path), anew=anew)

    assert ask("2020-01-01") == old
    assert ask("2021-05-01T13:00:00Z") == new
    assert ask("2021-05-01") == old
    assert ask(None) == new
    assert ask("2010-01-01") == old, "what is younger than the day begins with its first commit"
    newest = learntools.commit("2022-05-01", files("3"))
    assert ask(None) == new
    assert ask(None, anew=True) == newest
    assert [path.suffix for path in memory(tmp_path).iterdir()] == [".json"] * 5


def test_another_branch_than_the_usual(learntools: Repository, tmp_path: Path) -> None:
    first = learntools.commit("2019-05-01", files("1"))
    learntools.branch("master")
    second = learntools.commit("2019-06-01", files("2"))
    learntools.branch("other")
    assert commit_of(LEARNTOOLS, "2020-01-01", memory(tmp_path), branch="main") == first
    assert commit_of(LEARNTOOLS, None, memory(tmp_path), branch="master") == second
    with pytest.raises(LookupError, match="branch"):
        commit_of(LEARNTOOLS, None, memory(tmp_path), branch="nothing")


def test_that_nobody_answers_is_believed_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learntools: Repository
) -> None:
    commit = learntools.commit("2019-05-01", files("1"))
    git_knows(tmp_path, monkeypatch, {LEARNTOOLS: None})
    with pytest.raises(LookupError):
        commit_of(LEARNTOOLS, None, memory(tmp_path))
    git_knows(tmp_path, monkeypatch, {LEARNTOOLS: learntools.path})
    with pytest.raises(LookupError):
        commit_of(LEARNTOOLS, None, memory(tmp_path))
    monkeypatch.setattr(sources, "_FAILED_SECONDS", 0.0)
    assert commit_of(LEARNTOOLS, None, memory(tmp_path)) == commit


def test_a_damaged_memory_is_asked_again(learntools: Repository, tmp_path: Path) -> None:
    commit = learntools.commit("2019-05-01", files("1"))
    commit_of(LEARNTOOLS, None, memory(tmp_path))
    for path in memory(tmp_path).iterdir():
        path.write_text("{")
    assert commit_of(LEARNTOOLS, None, memory(tmp_path)) == commit


def test_a_repository_that_takes_too_long(
    learntools: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learntools.commit("2019-05-01", files("1"))
    monkeypatch.setattr(sources, "_SECONDS", -1.0)
    with pytest.raises(LookupError, match="did not answer"):
        commit_of(LEARNTOOLS, None, memory(tmp_path))
    stop = Stop()
    stop.request()
    with pytest.raises(CancelledError):
        commit_of(LEARNTOOLS, "2020-01-01", memory(tmp_path), stop=stop)


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LookupError, match="apt install git"):
        commit_of(LEARNTOOLS, None, memory(tmp_path))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http:///", "gopher://x"])
def test_pages_that_nobody_serves(url: str) -> None:
    with pytest.raises(LookupError):
        fetch_page(url)


# --- pins -----------------------------------------------------------------------------------------------------------


def needs_of(tmp_path: Path, *cells: str, as_of: str | None = None, extra: tuple[str, ...] = ()) -> Needs:
    return find_needs(make_source(tmp_path, *cells), as_of=as_of, extra=extra)


def test_a_source_is_taken_at_the_commit_of_the_day(learntools: Repository, tmp_path: Path) -> None:
    old = learntools.commit("2019-05-01", files("1"))
    learntools.commit("2021-05-01", files("2"))
    needs = needs_of(tmp_path, "from learntools.core import x", as_of="2020-01-01")
    (need,) = pin_sources(needs, memory(tmp_path)).requirements
    assert str(need) == f"learntools @ git+{LEARNTOOLS}@{old}"
    assert need.why == ("imported by cell 0",)
    assert need.modules == ("learntools",)
    assert not need.guessed


@pytest.mark.parametrize("line", [f"!pip install git+{LEARNTOOLS}.git", f"!pip install git+{LEARNTOOLS}@main"])
def test_what_the_author_installs_is_of_the_day_too(learntools: Repository, tmp_path: Path, line: str) -> None:
    old = learntools.commit("2019-05-01", files("1"))
    learntools.commit("2021-05-01", files("2"))
    needs = needs_of(tmp_path, f"{line}\nimport learntools", as_of="2020-01-01")
    (need,) = pin_sources(needs, memory(tmp_path)).requirements
    assert need.url == f"git+{LEARNTOOLS}@{old}"


def test_what_is_declared_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_knows(tmp_path, monkeypatch, {"https://": None})
    for given in (f"learntools @ git+{LEARNTOOLS}@{COMMIT}", "learntools @ file:///data/learntools"):
        needs = needs_of(tmp_path, "import learntools", extra=(given,))
        assert [str(need).replace(" ; ", "") for need in pin_sources(needs, memory(tmp_path)).requirements] == [given]


def test_a_repository_of_no_table_stays_as_it_is_where_it_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_knows(tmp_path, monkeypatch, {"https://": None})
    needs = needs_of(tmp_path, "!pip install git+https://example.com/a/thing", as_of="2020-01-01")
    assert pin_sources(needs, memory(tmp_path)) == needs


def test_a_source_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_knows(tmp_path, monkeypatch, {"https://": None})
    with pytest.raises(UnavailableError) as caught:
        pin_sources(needs_of(tmp_path, "import learntools\nimport mrcnn"), memory(tmp_path))
    codes = {diagnostic.code for diagnostic in caught.value.diagnostics}
    assert codes == {"source-unreachable"}
    assert len(caught.value.diagnostics) == 2
    first = caught.value.diagnostics[0]
    assert "learntools" in first.message
    assert LEARNTOOLS in first.message
    assert first.place == "imported by cell 0"
    assert "--with 'learntools @ URL'" in (first.hint or "")
    assert "beside the notebook" in (first.hint or "")


def test_what_can_be_done_without_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_knows(tmp_path, monkeypatch, {"https://": None})
    needs = needs_of(tmp_path, "try:\n    import learntools\nexcept ImportError:\n    pass")
    pinned = pin_sources(needs, memory(tmp_path))
    assert pinned.requirements == ()
    assert [(remark.code, str(remark.severity)) for remark in pinned.diagnostics] == [("distribution-skipped", "info")]


# --- trees ----------------------------------------------------------------------------------------------------------


def test_a_tree_brings_its_own_imports_as_far_as_they_are_reached(learntools: Repository, tmp_path: Path) -> None:
    commit = learntools.commit("2019-05-01", files("1"))
    source = make_source(tmp_path, "from learntools.core import inner")
    needs = pin_sources(find_needs(source), memory(tmp_path))
    taken, trees = take_trees(needs, source, tmp_path / "trees")
    assert {need.name: need.why for need in taken.requirements} == {
        "numpy": ("imported by learntools/core/inner.py",),
        "pandas": ("imported by learntools/core/__init__.py",),
    }
    assert [str(tree) for tree in trees] == [f"learntools @ git+{LEARNTOOLS}@{commit}"]
    lock = with_trees(Lock("3.11", "linux", taken.requirements, ()), trees)
    (module,) = trees_of(lock, tmp_path / "trees")
    assert module.name == "learntools"
    assert (module / "deep" / "__init__.py").is_file()
    assert not (module.parent / "setup.py").exists()
    assert not list((tmp_path / "trees").glob("history*"))
    deeper = make_source(tmp_path, "import learntools.deep")
    assert "tensorflow" in {need.name for need in take_trees(needs, deeper, tmp_path / "trees")[0].requirements}


def test_a_tree_that_was_brought_needs_no_repository(
    learntools: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learntools.commit("2019-05-01", files("1"))
    source = make_source(tmp_path, "import learntools")
    needs = pin_sources(find_needs(source), memory(tmp_path))
    first = take_trees(needs, source, tmp_path / "trees")
    git_knows(tmp_path, monkeypatch, {"https://": None})
    assert take_trees(pin_sources(find_needs(source), memory(tmp_path)), source, tmp_path / "trees") == first


def test_a_tree_in_a_folder_of_this_machine(learntools: Repository, tmp_path: Path) -> None:
    learntools.commit("2019-05-01", files("1"))
    source = make_source(tmp_path, "import learntools")
    needs = find_needs(source, extra=(f"learntools @ file://{learntools.path}",))
    _, trees = take_trees(pin_sources(needs, memory(tmp_path)), source, tmp_path / "trees")
    lock = with_trees(Lock("3.11", "linux", (), ()), trees)
    assert trees_of(lock, tmp_path / "trees") == (learntools.path / "learntools",)


@pytest.mark.parametrize("content", [{"README.md": "nothing"}, {"learntools/data.txt": "no module"}])
def test_a_repository_without_the_module(learntools: Repository, tmp_path: Path, content: dict[str, str]) -> None:
    learntools.commit("2019-05-01", content)
    source = make_source(tmp_path, "import learntools")
    needs = pin_sources(find_needs(source), memory(tmp_path))
    with pytest.raises(UnavailableError, match="no module `learntools`"):
        take_trees(needs, source, tmp_path / "trees")
    soft = make_source(tmp_path, "try:\n    import learntools\nexcept ImportError:\n    pass")
    taken, trees = take_trees(pin_sources(find_needs(soft), memory(tmp_path)), soft, tmp_path / "trees")
    assert (taken.requirements, trees) == ((), ())
    assert [remark.code for remark in taken.diagnostics] == ["distribution-skipped"]


def test_a_lock_with_a_commit_fits_what_names_none(tmp_path: Path) -> None:
    needs = needs_of(tmp_path, "import learntools")
    pinned = Requirement("learntools", url=f"git+{LEARNTOOLS}@{COMMIT}")
    whole = Lock("3.11", "linux", (pinned,), ())
    interpreter = type("Python", (), {"short": "3.11", "version": "3.11.7"})()
    for lock, missing in ((whole, False), (Lock("3.11", "linux", (), ()), True)):
        said = " ".join(diagnostic.message for diagnostic in check(lock, needs, interpreter))  # type: ignore[arg-type]
        assert ("learntools` from" in said) is missing
