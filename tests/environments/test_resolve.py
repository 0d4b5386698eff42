from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from registry import File, Registry, sdist

from kanoe.base.diagnostics import Severity
from kanoe.base.errors import CancelledError, InputError, UnavailableError
from kanoe.base.stop import Stop
from kanoe.environments.build import environment_for
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.lock import Lock, check, remarks
from kanoe.environments.lock_file import dumps, loads
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve

INFERRED = {"as_of_inferred": True, "inferred": True}
GIVEN = {"as_of_why": "--as-of"}
KERNEL = (Requirement("ipykernel", ">=5", why=("runs the cells",)),)
BOOM = "def build_wheel(*_, **__):\n    raise RuntimeError('boom')\nbuild_sdist = build_wheel\n"
WRITES = "open({!r}, 'w').close()\n" + BOOM


BUILDS = """
import zipfile
def build_wheel(folder, *_, **__):
    name = "figures-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("figures.py", "")
        archive.writestr("figures-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: figures\\nVersion: 1.0\\n")
        archive.writestr("figures-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("figures-1.0.dist-info/RECORD", "")
    return name
"""


def ask(name: str, specifier: str = "", *, why: str = "imported by cell 1", **more) -> Requirement:
    return Requirement(name, specifier, why=(why,), **more)


@pytest.fixture
def solve(registry: Registry, tmp_path: Path):
    """Resolves requirements with a registry that holds a kernel."""
    registry.add("ipykernel", "6.0", "traitlets")
    registry.add("traitlets", "5.0")

    def run(*requirements: Requirement, stop: Stop | None = None, upgrade: bool = False, **more) -> Lock:
        needs = Needs(tuple(sorted(requirements, key=lambda one: one.name)), **more)
        cache = tmp_path / "locks"
        return resolve(needs, own_interpreter(), kernel=KERNEL, cache=cache, upgrade=upgrade, stop=stop)

    return run


def versions(lock: Lock) -> dict[str, str]:
    return {one.name: one.version for one in lock.distributions}


def trouble(raised) -> list[tuple[str, str | None]]:
    return [(found.code, found.place) for found in raised.value.diagnostics]


def test_a_lock_holds_everything_with_its_reason(registry: Registry, solve) -> None:
    registry.add("frames", "2.0", "numbers>=1", uploaded="2021-05-06")
    data = registry.add("numbers", "1.5", uploaded="2020-02-03")
    lock = solve(ask("frames", ">=1", why="imported by cells 1 and 4", modules=("frames",)))
    assert versions(lock) == {"frames": "2.0", "ipykernel": "6.0", "numbers": "1.5", "pip": "25.0", "traitlets": "5.0"}
    frames, numbers = lock.find("frames"), lock.find("numbers")
    assert frames is not None
    assert frames.why == ("imported by cells 1 and 4",)
    assert numbers is not None
    assert (numbers.why, numbers.size) == (("needed by frames",), len(data))
    assert [value[:7] for value in numbers.hashes] == ["sha256:"]
    assert [one.name for one in lock.requirements] == ["frames", "ipykernel", "pip"]
    assert check(lock, Needs(lock.requirements), own_interpreter()) == ()
    assert loads(dumps(lock)) == lock
    assert registry.url not in dumps(lock)
    assert "127.0.0.1" not in dumps(lock)


def test_the_same_needs_give_the_same_bytes(registry: Registry, solve) -> None:
    registry.add("a-b", "1.0", "c")
    registry.add("c", "1.0")
    first = solve(ask("c"), ask("a-b"))
    again = solve(ask("a-b"), ask("c"), upgrade=True)
    assert dumps(first, "x.ipynb") == dumps(again, "x.ipynb")


def test_a_resolution_is_remembered_with_todays_reasons(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", "numbers")
    registry.add("numbers", "1.0")
    solve(ask("frames"), ask("numbers", why="imported by cell 2"))
    registry.add("frames", "2.0", "numbers")
    registry.asked.clear()
    lock = solve(ask("frames", why="imported by cell 7"), ask("numbers", why="imported by cell 8"))
    assert registry.asked == []
    assert versions(lock)["frames"] == "1.0"
    assert lock.find("frames").why == ("imported by cell 7",)
    assert lock.find("numbers").why == ("imported by cell 8", "needed by frames")
    assert versions(solve(ask("frames"), ask("numbers"), upgrade=True))["frames"] == "2.0"
    assert versions(solve(ask("frames"), ask("numbers")))["frames"] == "2.0"


@pytest.mark.parametrize("content", ["", "kanoe-lock = 9", "\x00"])
def test_a_broken_memory_is_forgotten(content: str, registry: Registry, solve, tmp_path: Path) -> None:
    registry.add("frames", "1.0")
    lock = solve(ask("frames"))
    (remembered,) = (tmp_path / "locks").iterdir()
    remembered.write_text(content)
    assert solve(ask("frames")) == lock
    assert loads(remembered.read_text()) == lock


@pytest.mark.parametrize(
    "other",
    [
        {"specifier": "<2"},
        {"optional": True},
        {"modules": ("other",)},
        {"as_of": "2020-06-01"},
        {"index": True},
    ],
)
def test_other_needs_are_another_resolution(other: dict, registry: Registry, solve, monkeypatch) -> None:
    registry.add("frames", "1.0")
    registry.add("frames", "2.0", uploaded="2021-01-01")
    solve(ask("frames"))
    registry.asked.clear()
    if other.pop("index", False):
        monkeypatch.setenv("UV_INDEX", registry.url)
    day = {"as_of": other.pop("as_of")} if "as_of" in other else {}
    solve(replace(ask("frames"), **other), **day)
    assert registry.asked


def test_what_the_source_says_of_the_kernel_wins(registry: Registry, solve) -> None:
    registry.add("ipykernel", "4.0")
    lock = solve(ask("ipykernel", "==4.0", why="requirements.txt line 1"))
    assert versions(lock)["ipykernel"] == "4.0"
    lock = solve(ask("ipykernel", optional=True))
    assert versions(lock)["ipykernel"] == "6.0"
    assert lock.find("ipykernel").why == ("imported by cell 1", "runs the cells")


def test_a_marker_that_does_not_hold_leaves_it_out(solve) -> None:
    assert "absent" not in versions(solve(ask("absent", marker='sys_platform == "nowhere"')))


def test_extras_are_followed(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", 'excel-reader; extra == "excel"')
    registry.add("excel-reader", "3.0")
    lock = solve(ask("frames", extras=("excel",)))
    assert versions(lock)["excel-reader"] == "3.0"
    assert lock.find("excel-reader").why == ("needed by frames",)


def test_a_file_of_this_platform_is_preferred_and_all_that_fit_are_held(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", uploaded="2020-01-01")
    own = registry.add(
        "frames", "1.0", uploaded="2020-01-02", tag="py3-none-linux_x86_64", modules={"frames.py": "x = 1" * 99}
    )
    registry.add("frames", "1.0", uploaded="2020-01-03", tag="cp27-cp27m-win32")
    registry.add_file("frames", File("frames-1.0.tar.gz", sdist("frames", "1.0", BOOM), "2020-01-04"))
    found = solve(ask("frames")).find("frames")
    assert len(found.hashes) == 2
    assert found.size == len(own)


def test_a_registry_without_hashes_sizes_and_days(registry: Registry, solve) -> None:
    data = registry.add("frames", "1.0", hashes=False, uploaded=None)
    found = solve(ask("frames")).find("frames")
    assert len(found.hashes) == 1
    assert found.size in {None, len(data)}, "uv tells it since 0.13"


# -- what is not there


def test_every_unknown_name_is_named_with_who_asks(solve) -> None:
    with pytest.raises(InputError) as raised:
        solve(
            ask("pandsa", why="requirements.txt line 2"),
            ask("my-own", why="imported by cell 3", modules=("my_own",), guessed=True),
        )
    assert sorted(trouble(raised)) == [
        ("distribution-unknown", "my-own: imported by cell 3"),
        ("distribution-unknown", "pandsa: requirements.txt line 2"),
    ]
    hints = {found.place: found.hint or "" for found in raised.value.diagnostics}
    assert "`pandas`" in hints["pandsa: requirements.txt line 2"]
    assert "--with" in hints["my-own: imported by cell 3"]
    messages = " ".join(found.message for found in raised.value.diagnostics)
    assert "guessed from the import of `my_own`" in messages


def test_what_can_be_done_without_is_left_out(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", "numbers<2")
    registry.add("numbers", "1.0")
    registry.add("numbers", "2.0")
    registry.add("wants-new", "1.0", "numbers>=2")
    lock = solve(
        ask("frames"),
        ask("absent", optional=True, why="imported by cell 2"),
        ask("wants-new", optional=True, why="imported by cell 3"),
        ask("stranger", optional=True, guessed=True, why="imported by cell 4"),
    )
    assert versions(lock)["numbers"] == "1.0"
    assert [(one.name, one.why) for one in lock.skipped] == [
        ("absent", ("imported by cell 2",)),
        ("stranger", ("imported by cell 4",)),
        ("wants-new", ("imported by cell 3",)),
    ]
    assert [found.code for found in remarks(lock)] == ["distribution-skipped"] * 3
    assert loads(dumps(lock)) == lock


def test_an_optional_one_that_does_not_build_is_left_out(registry: Registry, solve) -> None:
    registry.add_file(
        "frames", File("frames-1.0.tar.gz", sdist("frames", "1.0", "raise RuntimeError('boom')"), "2020-01-01")
    )
    lock = solve(ask("frames", optional=True))
    assert [one.name for one in lock.skipped] in ([], ["frames"])


def test_contradictions_are_explained_with_who_asks(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", "numbers<2")
    registry.add("numbers", "1.0")
    registry.add("numbers", "2.0")
    with pytest.raises(InputError) as raised:
        solve(ask("frames", why="imported by cell 1"), ask("numbers", ">=2", why="requirements.txt line 3"))
    (found,) = raised.value.diagnostics
    assert found.code == "requirements-unsolvable"
    assert "versions of frames depend on numbers<2" in found.message
    assert found.place == "frames: imported by cell 1; numbers: requirements.txt line 3"


def test_a_version_that_does_not_exist(registry: Registry, solve) -> None:
    registry.add("frames", "1.0")
    with pytest.raises(InputError) as raised:
        solve(ask("frames", "==7.0"))
    assert trouble(raised) == [("requirements-unsolvable", "frames: imported by cell 1")]


def test_only_files_for_another_python(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", tag="cp36-cp36m-manylinux1_x86_64")
    with pytest.raises(InputError) as raised:
        solve(ask("frames"))
    (found,) = raised.value.diagnostics
    assert found.code == "requirements-unsolvable"
    assert "`--python 3.6`" in (found.hint or "")


def test_a_guess_is_never_built(registry: Registry, solve, tmp_path: Path) -> None:
    backend = WRITES.format(str(tmp_path / "ran"))
    registry.add_file("stranger", File("stranger-1.0.tar.gz", sdist("stranger", "1.0", backend), "2020-01-01"))
    with pytest.raises(InputError) as raised:
        solve(ask("stranger", guessed=True, modules=("stranger",)))
    assert trouble(raised)[0][0] == "requirements-unsolvable"
    assert not (tmp_path / "ran").exists()


def test_nor_is_what_a_guess_needs(registry: Registry, solve, tmp_path: Path) -> None:
    backend = WRITES.format(str(tmp_path / "ran"))
    registry.add("stranger", "1.0", "evil")
    registry.add_file("evil", File("evil-1.0.tar.gz", sdist("evil", "1.0", backend, static=False), "2020-01-01"))
    with pytest.raises(InputError) as raised:
        solve(ask("stranger", guessed=True, modules=("stranger",)))
    assert trouble(raised) == [("requirements-unsolvable", "stranger: imported by cell 1")]
    assert not (tmp_path / "ran").exists()


def test_a_guess_is_in_the_lock_as_it_was_asked(registry: Registry, solve) -> None:
    registry.add("stranger", "1.0", "figures")
    registry.add("figures", "1.0")
    guess = ask("stranger", guessed=True, modules=("stranger",))
    lock = solve(guess, ask("figures"))
    assert guess in lock.requirements
    assert versions(lock)["figures"] == "1.0"


def test_a_dependency_that_does_not_exist(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", "absent-one")
    with pytest.raises(InputError) as raised:
        solve(ask("frames"))
    (found,) = raised.value.diagnostics
    assert (found.code, found.place) == ("requirements-unsolvable", "frames: imported by cell 1")
    assert "absent-one was not found" in found.message


# -- the day


def test_only_releases_before_the_day_count(registry: Registry, solve) -> None:
    for version, day in (("1.0", "2020-01-01"), ("2.0", "2021-01-01"), ("3.0", "2022-01-01")):
        registry.add("frames", version, uploaded=day)
    registry.add("ipykernel", "7.0", "traitlets", uploaded="2024-01-01")
    lock = solve(ask("frames"), as_of="2021-06-01")
    assert versions(lock)["frames"] == "2.0"
    assert versions(lock)["ipykernel"] == "7.0", "what runs the cells is of today"
    assert lock.as_of == "2021-06-01"
    assert versions(solve(ask("frames"), as_of="2021-01-01"))["frames"] == "1.0"
    assert versions(solve(ask("frames"), as_of="2021-01-01T12:00:01Z"))["frames"] == "2.0"
    assert versions(solve(ask("frames"), as_of="2999-01-01"))["frames"] == "3.0"


def test_a_day_before_everything(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", uploaded="2020-01-01")
    with pytest.raises(InputError) as raised:
        solve(ask("frames"), as_of="2019-01-01")
    (found,) = raised.value.diagnostics
    assert found.code == "requirements-unsolvable"
    assert "before 2019-01-01" in found.message
    assert "2020-01-01" in (found.hint or "")


@pytest.mark.parametrize("why", ["--as-of", "PEP 723 exclude-newer"])
def test_a_registry_without_days(why: str, registry: Registry, solve) -> None:
    registry.add("frames", "1.0", uploaded=None)
    with pytest.raises(InputError, match="does not say when") as raised:
        solve(ask("frames"), as_of="2019-01-01", as_of_why=why)
    assert "or use a registry with upload times" in (raised.value.diagnostics[0].hint or "")


def test_a_registry_without_days_where_the_day_is_inferred(registry: Registry, solve) -> None:
    for name in ("ipykernel", "traitlets", "pip", "setuptools"):
        for file in registry.projects[name]:
            file.uploaded = None
    registry.add("frames", "1.0", "numbers", uploaded=None)
    registry.add("numbers", "1.0", uploaded=None)
    lock = solve(ask("frames"), as_of="2019-01-01", **INFERRED)
    assert versions(lock)["frames"] == versions(lock)["numbers"] == "1.0"
    (remark,) = remarks(lock)
    assert (remark.code, remark.severity) == ("date-moved", Severity.WARNING)
    assert remark.message.startswith("the environment is of today, not of 2019-01-01: the registry does not say when")
    assert loads(dumps(lock)) == lock
    assert versions(solve(as_of="2019-01-01", **INFERRED))["ipykernel"] == "6.0", "a notebook that is only comments"


@pytest.mark.parametrize(
    ("days", "chosen"),
    [
        ({"1.0": "2018-01-01", "1.1": None, "1.2": "2018-05-01", "1.3": "2019-01-01"}, "1.2"),
        ({"1.0": "2018-01-01", "1.1": None, "1.2": None, "1.3": "2019-01-01"}, "1.0"),
        ({"1.0": None, "1.1": "2018-01-01", "1.2": None}, "1.1"),
        ({"1.0": None, "1.1": "2018-05-01", "1.2": "2019-01-01"}, "1.1"),
    ],
)
@pytest.mark.parametrize("needed", [True, False])
def test_a_registry_that_leaves_out_a_few_days(
    days: dict[str, str | None], chosen: str, needed: bool, registry: Registry, solve
) -> None:
    for version, day in days.items():
        registry.add("numbers", version, uploaded=day)
    registry.add("frames", "1.0", "numbers", uploaded="2018-01-01")
    for file in registry.projects["traitlets"]:
        file.uploaded = None
    lock = solve(ask("frames" if needed else "numbers"), as_of="2018-06-01", **GIVEN)
    assert versions(lock)["numbers"] == chosen
    assert lock.moved == ()


def test_one_wheel_of_a_release_without_its_day(registry: Registry, solve, tmp_path: Path) -> None:
    backend = WRITES.format(str(tmp_path / "ran"))
    registry.add_file("numbers", File("numbers-1.0.tar.gz", sdist("numbers", "1.0", backend), "2018-01-01"))
    registry.add("numbers", "1.0", uploaded=None)
    registry.add("numbers", "2.0", uploaded="2019-01-01")
    assert versions(solve(ask("numbers"), as_of="2018-06-01", **GIVEN))["numbers"] == "1.0"
    assert not (tmp_path / "ran").exists(), "its wheel was taken"


def test_one_distribution_without_any_day_goes_free_alone(registry: Registry, solve) -> None:
    for version, day in (("1.0", "2018-01-01"), ("2.0", "2021-01-01")):
        registry.add("frames", version, "numbers", uploaded=day)
    registry.add("numbers", "3.0", uploaded=None)
    for more in (GIVEN, INFERRED):
        lock = solve(ask("frames"), as_of="2018-06-01", **more)
        assert (versions(lock)["frames"], versions(lock)["numbers"]) == ("1.0", "3.0")
        (remark,) = remarks(lock)
        assert remark.message.startswith("`numbers` is of today, not of 2018-06-01")


# -- what cannot be had on the day


def moves(lock: Lock) -> dict[str, str]:
    return {one.name: one.day[:10] for one in lock.moved}


def test_the_one_at_fault_moves_alone(registry: Registry, solve) -> None:
    for version, day in (("1.0", "2018-01-01"), ("2.0", "2021-01-01")):
        registry.add("frames", version, uploaded=day)
    registry.add("figures", "1.0", uploaded="2018-01-01", tag="cp36-cp36m-win_amd64")
    registry.add("figures", "1.1", uploaded="2019-03-01")
    registry.add("figures", "1.2", uploaded="2019-04-01")
    lock = solve(ask("frames"), ask("figures"), as_of="2018-06-01", **GIVEN)
    assert (versions(lock)["frames"], versions(lock)["figures"]) == ("1.0", "1.1")
    assert moves(lock) == {"figures": "2019-03-02"}
    (remark,) = remarks(lock)
    assert remark.code == "date-moved"
    assert "`figures` 1.1 is of 2019-03-02, not of 2018-06-01" in remark.message
    assert loads(dumps(lock)) == lock
    assert solve(ask("frames"), ask("figures"), as_of="2018-06-01", **GIVEN) == lock, "it is remembered"


def test_what_a_moved_one_needs_moves_too(registry: Registry, solve) -> None:
    registry.add("numbers", "1.0", uploaded="2018-01-01")
    registry.add("numbers", "2.0", uploaded="2019-02-01")
    registry.add("numbers", "3.0", uploaded="2020-02-01")
    registry.add("figures", "1.1", "numbers>=2", uploaded="2019-03-01")
    lock = solve(ask("figures"), as_of="2018-06-01", **GIVEN)
    assert versions(lock)["numbers"] == "2.0"
    assert moves(lock) == {"figures": "2019-03-02", "numbers": "2019-02-02"}


def test_the_whole_set_moves_to_what_the_registry_has_left(registry: Registry, solve) -> None:
    for version, day in (("1.0", "2018-01-01"), ("2.0", "2021-05-20"), ("3.0", "2022-01-01")):
        registry.add("frames", version, uploaded=day)
    registry.add("profiles", "3.0", "frames>=2", uploaded="2021-05-11")
    lock = solve(ask("frames"), ask("profiles"), as_of="2018-06-01", **INFERRED)
    assert (versions(lock)["frames"], versions(lock)["profiles"]) == ("2.0", "3.0")
    assert moves(lock) == {"": "2021-06-10"}
    assert lock.as_of == "2018-06-01", "what was asked"
    (remark,) = remarks(lock)
    assert "the whole environment is of 2021-06-10" in remark.message
    assert "no release of `profiles` before 2021-05-11" in remark.message
    assert loads(dumps(lock)) == lock


def test_a_day_that_the_source_declares_holds(registry: Registry, solve) -> None:
    registry.add("figures", "1.1", uploaded="2019-03-01")
    with pytest.raises(InputError, match="before 2018-06-01"):
        solve(ask("figures"), as_of="2018-06-01", as_of_why="PEP 723 exclude-newer", inferred=True)


def test_uv_does_not_go_back_for_years(registry: Registry, solve) -> None:
    registry.add("figures", "0.1", uploaded="2012-01-01")
    registry.add("figures", "3.0", uploaded="2018-03-01", tag="cp36-cp36m-win_amd64")
    registry.add("figures", "3.1", uploaded="2018-09-01")
    lock = solve(ask("figures"), as_of="2018-06-01", **GIVEN)
    assert versions(lock)["figures"] == "3.1"
    registry.add("settled", "1.0", uploaded="2012-01-01")
    lock = solve(ask("settled"), as_of="2018-06-01", **GIVEN)
    assert (versions(lock)["settled"], lock.moved) == ("1.0", ()), "its newest release is that old"


@pytest.mark.parametrize("day", [None, "2020-06-01"])
def test_metadata_that_uv_rejects_is_repaired(day: str | None, registry: Registry, solve) -> None:
    registry.add("zones", "2020.1")
    registry.add("frames", "1.0", "zones (>=2011k)", "numbers[fast] (>=1.0,<2011k)")
    registry.add("numbers", "1.0")
    lock = solve(ask("frames"), as_of=day, **GIVEN)
    assert {"frames", "zones", "numbers"} <= set(versions(lock))


def test_metadata_that_uv_rejects_is_no_reason_to_go_back(registry: Registry, solve) -> None:
    registry.add("zones", "2020.1", uploaded="2019-01-01")
    registry.add("frames", "0.1", uploaded="2012-01-01")
    registry.add("frames", "1.0", "zones (>=2011k)", uploaded="2020-01-01")
    lock = solve(ask("frames"), as_of="2020-06-01", **GIVEN)
    assert (versions(lock)["frames"], versions(lock)["zones"]) == ("1.0", "2020.1")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"tag": "py3-none-win_amd64"}, "`figures` is for Windows only"),
        ({"tag": "py3-none-macosx_10_9_x86_64"}, "`figures` is for macOS only"),
        ({"tag": "cp36-cp36m-manylinux1_x86_64"}, "there are files for Python 3.6"),
    ],
)
def test_why_there_is_nothing_at_all(file: dict, message: str, registry: Registry, solve) -> None:
    registry.add("figures", "1.0", **file)
    with pytest.raises(InputError, match=message) as raised:
        solve(ask("figures"), as_of="2022-01-01", **GIVEN)
    assert raised.value.diagnostics[0].place == "figures: imported by cell 1"


def test_what_is_gone_from_the_registry(registry: Registry, solve) -> None:
    registry.add("figures", "1.1", uploaded="2019-03-01")
    registry.projects["emptied"] = []
    with pytest.raises(InputError, match="no release of `figures` from before 2018-06-01") as raised:
        solve(ask("figures"), as_of="2018-06-01", as_of_why="PEP 723 exclude-newer")
    (found,) = raised.value.diagnostics
    assert "the first one left is 1.1 of 2019-03-01" in found.message
    assert found.hint == "Give a later day than 2019-03-01: `--as-of DATE`"
    with pytest.raises(InputError, match="everything of `emptied` is gone from the registry"):
        solve(ask("emptied"))


def test_what_conda_alone_has(registry: Registry, solve) -> None:
    registry.add_file("cuml", File("cuml-0.6.tar.gz", sdist("cuml", "0.6", FAILS), "2019-01-01"))
    for name, error in (("graph-tool", InputError), ("cuml", UnavailableError)):
        with pytest.raises(error) as raised:
            solve(ask(name))
        (found,) = raised.value.diagnostics
        assert f"`{name}` is to be had from conda alone" in found.message
        assert found.hint == "Take its import out, or put it in a `try`"
        assert found.place == f"{name}: imported by cell 1"


# -- what is known of releases


def test_what_a_library_does_not_say(registry: Registry, solve) -> None:
    registry.add("jinja2", "2.11", "markupsafe")
    for version in ("2.0", "2.1"):
        registry.add("markupsafe", version)
    assert versions(solve(ask("jinja2")))["markupsafe"] == "2.0"
    pinned = solve(ask("jinja2"), ask("markupsafe", "==2.1", why="requirements.txt line 1"))
    assert versions(pinned)["markupsafe"] == "2.1", "what is declared wins"


def test_what_a_library_needs_undeclared_is_added_with_the_reason(registry: Registry, solve) -> None:
    registry.add("scikit-learn", "0.19.1", uploaded="2018-01-01")
    for name in ("numpy", "scipy"):
        registry.add(name, "1.0", uploaded="2018-01-01")
    for day in ("2018-04-01", None):
        lock = solve(ask("scikit-learn"), as_of=day)
        assert {"numpy", "scipy"} <= set(versions(lock))
        assert lock.find("scipy").why == ("scikit-learn needs it and does not say so",)
        assert solve(ask("scikit-learn"), as_of=day) == lock


def test_bounds_of_the_day(registry: Registry, solve) -> None:
    for version in ("1.26", "2.0"):
        registry.add("numpy", version, uploaded="2024-01-01")
    assert versions(solve(ask("numpy"), as_of="2024-08-01"))["numpy"] == "1.26"
    assert versions(solve(ask("numpy")))["numpy"] == "2.0"
    assert versions(solve(ask("numpy", ">=1"), as_of="2024-08-01"))["numpy"] == "2.0", "what is declared wins"
    registry.add("figures", "1.0", "numpy>=2", uploaded="2024-01-01")
    lock = solve(ask("numpy"), ask("figures"), as_of="2024-08-01")
    assert versions(lock)["numpy"] == "2.0", "a bound that stands in the way is forgotten"


def test_an_inferred_day_lies_before_the_image_that_was_used(registry: Registry, solve) -> None:
    for version in ("2.0", "2.1"):  # the image had 2.0 until 2019-11-28
        registry.add("tensorflow", version, uploaded="2019-10-01")
    for day, more, found in [
        ("2019-11-20", GIVEN, "2.0"),
        ("2019-11-20", INFERRED, "2.1"),
        ("2019-11-01", INFERRED, "2.0"),
        ("2019-11-28", GIVEN, "2.1"),
    ]:
        assert versions(solve(ask("tensorflow"), as_of=day, **more))["tensorflow"] == found


def test_a_bound_without_a_file_for_this_python_is_forgotten(registry: Registry, solve, tmp_path: Path) -> None:
    backend = WRITES.format(str(tmp_path / "ran"))
    registry.add_file(
        "numpy", File("numpy-1.13.0.tar.gz", sdist("numpy", "1.13.0", backend, static=False), "2017-07-01")
    )
    registry.add("numpy", "1.13.0", uploaded="2017-07-01", tag="cp36-cp36m-manylinux1_x86_64")
    registry.add("numpy", "1.14", uploaded="2017-11-20")
    registry.add("figures", "1.0", "numpy", uploaded="2017-11-20")
    for asked in (["numpy"], ["figures"]):
        lock = solve(*map(ask, asked), as_of="2017-12-01", **GIVEN)  # the image had 1.13 then
        assert versions(lock)["numpy"] == "1.14"
    assert not (tmp_path / "ran").exists(), "nothing is built for a bound of ours"


def test_a_bound_below_which_there_is_only_a_release_of_years_before_is_forgotten(registry: Registry, solve) -> None:
    registry.add("gensim", "0.10", uploaded="2014-07-01")
    registry.add("gensim", "4.0.1", uploaded="2021-04-01", tag="cp38-cp38-manylinux1_x86_64")  # for another Python
    registry.add("gensim", "4.2", uploaded="2022-05-01")
    assert versions(solve(ask("gensim"), as_of="2022-10-01", **GIVEN))["gensim"] == "4.2"
    registry.add("seaborn", "0.12.2", uploaded="2022-12-30")
    registry.add("seaborn", "0.13.2", uploaded="2024-01-25")
    assert versions(solve(ask("seaborn"), as_of="2025-06-01", **GIVEN))["seaborn"] == "0.12.2", "it was there"


def test_what_is_compiled_is_not_built_for_an_old_day(registry: Registry, solve, tmp_path: Path) -> None:
    backend = WRITES.format(str(tmp_path / "ran"))
    old = sdist("scipy", "1.0", backend, static=False)
    registry.add_file("scipy", File("scipy-1.0.tar.gz", old, "2018-01-01"))
    registry.add("scipy", "1.1", uploaded="2018-09-01")
    lock = solve(ask("scipy"), as_of="2018-06-01", **GIVEN)
    assert versions(lock)["scipy"] == "1.1"
    assert not (tmp_path / "ran").exists()


def test_what_does_not_build_moves_to_a_release_that_needs_no_build(registry: Registry, solve) -> None:
    old = sdist("figures", "1.0", "raise RuntimeError('boom')", static=False)
    registry.add_file("figures", File("figures-1.0.tar.gz", old, "2018-01-01"))
    registry.add("figures", "1.1", uploaded="2018-09-01")
    lock = solve(ask("figures"), as_of="2018-06-01", **GIVEN)
    assert versions(lock)["figures"] == "1.1"


# A backend whose metadata is made without a build, and whose build fails: seen at the install alone.
FAILS = "def build_wheel(*_, **__):\n    raise RuntimeError('no fit compiler')\n"


def test_what_fails_when_it_is_installed_moves_alone(registry: Registry, solve) -> None:
    registry.add("frames", "1.0", uploaded="2018-01-01")
    registry.add("frames", "2.0", uploaded="2018-09-01")
    registry.add_file("figures", File("figures-1.0.tar.gz", sdist("figures", "1.0", FAILS), "2018-01-01"))
    registry.add("figures", "1.1", uploaded="2018-09-01")
    lock = solve(ask("frames"), ask("figures"), as_of="2018-06-01", **INFERRED)
    assert (versions(lock)["frames"], versions(lock)["figures"]) == ("1.0", "1.1")
    assert moves(lock) == {"figures": "2018-09-02"}


def test_what_fails_when_it_is_installed_is_left_out_or_named(registry: Registry, solve) -> None:
    registry.add("frames", "1.0")
    registry.add("figures", "0.9")
    registry.add_file("figures", File("figures-1.0.tar.gz", sdist("figures", "1.0", FAILS), "2021-01-01"))
    lock = solve(ask("frames"), ask("figures", optional=True))
    assert "figures" not in versions(lock)
    assert "has to be built here, and its build failed: RuntimeError: no fit compiler" in lock.skipped[0].reason
    with pytest.raises(UnavailableError, match="RuntimeError: no fit compiler") as raised:
        solve(ask("frames"), ask("figures"))
    (found,) = raised.value.diagnostics
    assert (found.code, found.place) == ("build-failed", "figures: imported by cell 1")
    assert found.hint == "Take 0.9, which needs no build: `--with 'figures==0.9'`"


def test_a_build_that_lacks_a_library_of_the_system(registry: Registry, solve) -> None:
    backend = FAILS.replace("no fit compiler", "mysql_config not found")
    registry.add_file("figures", File("figures-1.0.tar.gz", sdist("figures", "1.0", backend), "2021-01-01"))
    with pytest.raises(UnavailableError, match="mysql_config not found") as raised:
        solve(ask("figures"))
    cure = "The build needs `mysql_config` of this system: `apt install default-libmysqlclient-dev` (Debian, Ubuntu), and run again"
    assert raised.value.diagnostics[0].hint == cure
    registry.add_file("shapes", File("shapes-1.0.tar.gz", sdist("shapes", "1.0", backend), "2021-01-01"))
    registry.add("shapes", "0.9", tag="cp37-cp37m-manylinux1_x86_64")
    with pytest.raises(UnavailableError) as raised:
        solve(ask("shapes"))
    assert raised.value.diagnostics[0].hint == f"{cure}. Or: Take `--python 3.7`"


def test_what_builds_is_built_once(registry: Registry, solve, tmp_path: Path) -> None:
    backend = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')\n" + BUILDS
    registry.add_file("figures", File("figures-1.0.tar.gz", sdist("figures", "1.0", backend), "2018-01-01"))
    lock = solve(ask("figures"), as_of="2018-06-01", **GIVEN)
    built = (tmp_path / "ran").read_text()
    environment = environment_for(lock, own_interpreter(), store=tmp_path / "environments")
    assert (environment.modules / "figures.py").exists()
    assert (tmp_path / "ran").read_text() == built


def test_two_hundred_requirements_and_none(registry: Registry, solve) -> None:
    names = [f"tool-{number}" for number in range(200)]
    for name in names:
        registry.add(name, "1.0", uploaded="2018-01-01")
    assert set(names) <= set(versions(solve(*(ask(name) for name in names), as_of="2018-06-01", **GIVEN)))
    assert set(versions(solve(as_of="2018-06-01", **INFERRED))) == {"ipykernel", "pip", "setuptools", "traitlets"}


# -- the registry


def test_two_hundred_imports_that_nobody_has_end_in_a_list_that_can_be_read(registry: Registry, solve) -> None:
    for number in range(100):
        registry.add(f"tool-{number}", "1.0")
    asked = [ask(f"tool-{number}" if number < 100 else f"nobodys-{number}") for number in range(200)]
    with pytest.raises(InputError) as raised:
        solve(*asked)
    assert 1 < len(raised.value.diagnostics) <= 20
    assert {found.code for found in raised.value.diagnostics} == {"distribution-unknown"}


@pytest.mark.parametrize("shape", ["a file", "a full disk"])
def test_what_cannot_be_remembered_is_no_trouble(shape: str, registry: Registry, tmp_path: Path) -> None:
    registry.add("frames", "1.0", uploaded="2018-01-01")
    registry.add("ipykernel", "6.0")
    place = tmp_path / "store"
    place.write_text("") if shape == "a file" else place.symlink_to("/dev/full")
    needs = Needs((ask("frames"),), as_of="2018-06-01")
    lock = resolve(needs, own_interpreter(), kernel=KERNEL, cache=place / "locks")
    assert versions(lock)["frames"] == "1.0"


def test_no_temporary_file(registry: Registry, solve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(UnavailableError, match="no temporary file can be written") as raised:
        solve()
    assert "TMPDIR" in (raised.value.diagnostics[0].hint or "")


def test_a_mirror_that_lacks_old_wheels(registry: Registry, solve) -> None:
    """The nearest later release is taken, and said."""
    for version, day in (("1.0", "2017-01-01"), ("1.1", "2018-01-01")):
        registry.add("numbers", version, uploaded=day, tag="cp36-cp36m-manylinux1_x86_64")
    registry.add("numbers", "1.9", uploaded="2020-01-01")
    registry.add("numbers", "2.0", uploaded="2022-01-01")
    registry.add("frames", "1.0", "numbers>=1", uploaded="2018-01-01")
    lock = solve(ask("frames"), as_of="2018-06-01", **INFERRED)
    assert (versions(lock)["frames"], versions(lock)["numbers"]) == ("1.0", "1.9")
    (remark,) = remarks(lock)
    assert "`numbers` 1.9 is of 2020-01-02, not of 2018-06-01" in remark.message


def test_a_closed_port(solve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:secret@127.0.0.1:9/simple/")
    with pytest.raises(UnavailableError) as raised:
        solve(ask("frames"))
    (found,) = raised.value.diagnostics
    assert found.code == "registry-unreachable"
    assert "127.0.0.1:9" in found.message
    assert "secret" not in found.message


def test_no_network_allowed(solve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(UnavailableError) as raised:
        solve(ask("frames"))
    assert trouble(raised) == [("registry-unreachable", None)]


def test_a_registry_that_is_none(registry: Registry, solve, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add("frames", "1.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", registry.url.replace("simple", "elsewhere"))
    with pytest.raises(UnavailableError) as raised:
        solve(ask("frames"))
    assert trouble(raised)[0][0] == "registry-unreachable"


def test_pips_settings_serve_where_uv_has_none(registry: Registry, solve, tmp_path: Path, monkeypatch) -> None:
    registry.add("frames", "1.0")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(f"[global]\nindex-url = {registry.url}\n")
    assert versions(solve(ask("frames")))["frames"] == "1.0"
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(UnavailableError):
        solve(ask("frames"))


def test_variables_that_would_change_the_meaning_are_not_heard(
    registry: Registry, solve, tmp_path: Path, monkeypatch
) -> None:
    registry.add("frames", "1.0")
    registry.add("frames", "2.0")
    (tmp_path / "limits").write_text("frames<2\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(tmp_path / "limits"))
    monkeypatch.setenv("UV_RESOLUTION", "lowest")
    assert versions(solve(ask("frames")))["frames"] == "2.0"


# -- direct references


def test_a_link(registry: Registry, solve) -> None:
    registry.add("tool", "1.0", "numbers")
    registry.add("numbers", "1.0")
    url = registry.url.replace("simple/", "files/tool/tool-1.0-py3-none-any.whl")
    lock = solve(ask("guess-from-link", url=url, guessed=True, why="`!pip` line of cell 0"))
    tool = lock.find("tool")
    assert tool is not None
    assert (tool.version, tool.url, len(tool.hashes)) == ("1.0", url, 1)
    assert tool.why == ("`!pip` line of cell 0",)
    assert "tool" in [one.name for one in lock.requirements]
    assert loads(dumps(lock)) == lock


def test_a_local_folder_is_not_remembered(registry: Registry, solve, tmp_path: Path) -> None:
    backend = """
import zipfile
def build_wheel(folder, *_, **__):
    name = "mine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("mine.py", "")
        archive.writestr("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: mine\\nVersion: 1.0\\n")
        archive.writestr("mine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("mine-1.0.dist-info/RECORD", "")
    return name
"""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "backend.py").write_text(backend)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "mine"\nversion = "1.0"\n'
    )
    lock = solve(ask("mine", url=folder.as_uri()))
    assert lock.find("mine").url == folder.as_uri()
    assert lock.find("mine").hashes == ()
    assert not (tmp_path / "locks").exists()


# -- stopping


def test_a_stop_ends_it(registry: Registry, solve) -> None:
    registry.add_file("slow", File("slow-1.0.tar.gz", sdist("slow", "1.0", BOOM), "2020-01-01"))
    registry.gate.clear()
    stop = Stop()
    url = registry.url.replace("simple/", "files/slow/slow-1.0.tar.gz")
    threading.Timer(0.3, stop.request).start()
    with pytest.raises(CancelledError):
        solve(ask("slow", url=url), stop=stop)


# -- the real registry


def test_real_distributions(tmp_path: Path) -> None:
    needs = Needs((ask("iniconfig", ">=2"), ask("six", "==1.16.0")))
    lock = resolve(needs, own_interpreter(), kernel=(), cache=tmp_path)
    assert versions(lock)["six"] == "1.16.0"
    assert "sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254" in lock.find("six").hashes
    assert "http" not in dumps(lock)
