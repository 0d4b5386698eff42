from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from kanoe.base.errors import InputError, UnavailableError
from kanoe.environments import interpreters
from kanoe.environments.interpreters import (
    Interpreter,
    choose_interpreter,
    choose_near,
    find_interpreters,
    own_interpreter,
    python_fits,
)

OWN = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no interpreter but Kanoe's own; returns its home."""
    for name in ("CONDA_PREFIX", "CONDA_EXE", "MAMBA_EXE", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "MISE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(home / ".pyenv"))
    monkeypatch.setenv("ASDF_DATA_DIR", str(home / ".asdf"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setattr(interpreters, "_SYSTEM_FOLDERS", ())
    monkeypatch.setattr(interpreters, "_CONDA_BASES", ("~/conda",))
    return home


_ORACLE = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char path[4096]; int c; ssize_t n = readlink("/proc/self/exe", path, 4000);
    snprintf(path + n, 90, ".log"); FILE *log = fopen(path, "a"); fputs("asked\n", log); fclose(log);
    snprintf(path + n, 90, ".answer"); FILE *answer = fopen(path, "r");
    while ((c = fgetc(answer)) != EOF) putchar(c);
    return 0;
}
"""


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that answers what stands in the file beside it; a compiled one, for scripts are never asked."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    program = tmp_path_factory.mktemp("oracle") / "program"
    subprocess.run([compiler, "-x", "c", "-", "-o", program], input=_ORACLE.encode(), check=True, capture_output=True)
    return program.read_bytes()


Pretend = Callable[..., Path]


@pytest.fixture
def pretend(oracle: bytes) -> Pretend:
    """Makes a program that answers Kanoe's question as an interpreter of some version would."""

    def make(path: Path, version: str, implementation: str = "cpython") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(oracle)
        path.chmod(0o755)
        prefix = path.parent.parent
        path.with_name(f"{path.name}.answer").write_text(f"{implementation}\t{version}\t{prefix}\t{prefix}\n")
        return path

    return make


def times_asked(program: Path) -> int:
    return program.with_name(f"{program.name}.log").read_text().count("asked")


def test_without_a_wish_it_is_kanoes_own_base() -> None:
    chosen = choose_interpreter(None)
    assert chosen == own_interpreter()
    said = subprocess.check_output(
        [chosen.path, "-c", "import sys; print(sys.version.split()[0], sys.prefix == sys.base_prefix)"]
    )
    assert said.decode().split() == [chosen.version, "True"]
    assert chosen.prefix == Path(sys.base_prefix)


@pytest.mark.parametrize("wanted", [OWN, f"=={OWN}.*", f">={OWN}", ">=3.9", "3", f"python{OWN}", f" {OWN} "])
def test_wishes_that_kanoes_own_grants(wanted: str, alone: Path) -> None:
    assert choose_interpreter(wanted) == own_interpreter()


def test_a_full_version(alone: Path) -> None:
    assert choose_interpreter(own_interpreter().version) == own_interpreter()


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ("3.8", ".asdf/installs/python/3.8.19/bin/python"),
        ("3.8.18", ".pyenv/versions/3.8.18/bin/python"),
        ("3.7", "conda/envs/old/bin/python"),
        ("<3.8", "conda/envs/old/bin/python"),
        ("3.30", ""),
    ],
)
def test_version_folders_are_found(pretend: Pretend, wanted: str, path: str, alone: Path) -> None:
    pretend(alone / ".pyenv/versions/3.8.18/bin/python", "3.8.18")
    pretend(alone / ".asdf/installs/python/3.8.19/bin/python", "3.8.19")
    pretend(alone / "conda/envs/old/bin/python", "3.7.9")
    pretend(alone / ".pyenv/versions/pypy3.8/bin/python", "3.8.99", implementation="pypy")
    pretend(alone / ".pyenv/versions/2.7.18/bin/python", "2.7.18")
    if path:
        assert choose_interpreter(wanted).path == alone / path
    else:
        with pytest.raises(InputError):
            choose_interpreter(wanted)


def test_shims_and_other_scripts_are_not_asked(alone: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "bin", alone / ".pyenv" / "shims"):
        folder.mkdir(parents=True)
        shim = folder / "python3.8"
        shim.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
        shim.chmod(0o755)
    os.environ["PATH"] += os.pathsep + str(alone / ".pyenv" / "shims")
    assert find_interpreters() == (own_interpreter(),)
    assert not (tmp_path / "asked").exists()


def test_broken_programs_are_passed_over(alone: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3.8").write_bytes(b"\x7fELF garbage")
    (folder / "python3.8").chmod(0o755)
    (folder / "python3.9").symlink_to("nowhere")
    (folder / "python3").mkdir()
    (folder / "python3.7").write_bytes(b"not executable")
    assert find_interpreters() == (own_interpreter(),)


def test_a_virtual_environment_leads_to_its_base(alone: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=False, symlinks=True)
    os.environ["PATH"] = str(tmp_path / "v" / "bin")
    assert find_interpreters() == (own_interpreter(),)
    for given in (tmp_path / "v", tmp_path / "v" / "bin" / "python"):
        assert choose_interpreter(str(given)).path.samefile(own_interpreter().path)


def test_answers_are_remembered_until_the_program_changes(pretend: Pretend, alone: Path, tmp_path: Path) -> None:
    memory = tmp_path / "store" / "interpreters.json"
    program = pretend(alone / ".pyenv/versions/3.8.18/bin/python", "3.8.18")
    for _ in range(3):
        assert choose_interpreter("3.8", memory=memory).version == "3.8.18"
    assert times_asked(program) == 1
    program.unlink()
    pretend(program, "3.8.20")
    assert choose_interpreter("3.8", memory=memory).version == "3.8.20"
    assert times_asked(program) == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 9}', b'{"version": 1, "programs": {"x": 5}}', b"\xff"]
)
def test_a_broken_memory_is_forgotten(pretend: Pretend, content: bytes, alone: Path, tmp_path: Path) -> None:
    memory = tmp_path / "interpreters.json"
    memory.write_bytes(content)
    pretend(alone / ".pyenv/versions/3.8.18/bin/python", "3.8.18")
    assert choose_interpreter("3.8", memory=memory).version == "3.8.18"
    assert json.loads(memory.read_bytes())["version"] == 1


@pytest.mark.parametrize(
    "wanted", ["", "abc", "2.7", "3.5", "3.5.9", "1", "<3.6", "==2.7.*", ">=4", ">>3", "3.x", "3.11.7.1"]
)
def test_wishes_that_make_no_sense(wanted: str) -> None:
    with pytest.raises(InputError) as raised:
        choose_interpreter(wanted, "--python")
    assert raised.value.diagnostics[0].code == "python-version"
    assert raised.value.diagnostics[0].place == "--python"


def test_a_version_that_is_not_there(pretend: Pretend, alone: Path) -> None:
    pretend(alone / ".pyenv/versions/3.8.18/bin/python", "3.8.18")
    with pytest.raises(UnavailableError) as raised:
        choose_interpreter("3.7", "requirements.txt line 1")
    found = raised.value.diagnostics[0]
    assert found.code == "python-missing"
    assert "3.8.18" in found.message
    assert own_interpreter().version in found.message
    assert found.place == "requirements.txt line 1"
    assert "`--python 3.8`" in (found.hint or "")


@pytest.mark.parametrize("given", ["/nowhere/python", "./nowhere", "~/nowhere"])
def test_a_path_that_is_not_there(given: str) -> None:
    with pytest.raises(UnavailableError) as raised:
        choose_interpreter(given)
    assert raised.value.diagnostics[0].code == "python-missing"


def test_a_path_that_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(UnavailableError, match="not a Python"):
        choose_interpreter(str(tmp_path / "python"))


def test_a_path_of_an_old_interpreter(pretend: Pretend, tmp_path: Path) -> None:
    program = pretend(tmp_path / "v" / "bin" / "python", "3.5.9")
    with pytest.raises(InputError):
        choose_interpreter(str(program))


def test_a_pre_release_gives_way(pretend: Pretend, alone: Path) -> None:
    pretend(alone / ".pyenv/versions/a/bin/python", "3.14.0")
    pretend(alone / ".pyenv/versions/b/bin/python", "3.14.1rc2")
    assert choose_interpreter("3.14").version == "3.14.0"
    assert not Interpreter(Path("p"), "3.14.1rc2", Path("/")).final


@pytest.mark.parametrize(
    ("wanted", "version", "fits"),
    [("3.11", "3.11.7", True), ("3.10", "3.11.7", False), (">=3.9,<3.12", "3.12.0", False), ("/a/path", "3.9.1", True)],
)
def test_python_fits(wanted: str, version: str, fits: bool) -> None:
    assert python_fits(wanted, version) is fits


@pytest.mark.parametrize("minor", range(6, 15))
def test_real_interpreters_are_what_they_say(minor: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    memory = tmp_path_factory.getbasetemp() / "interpreters.json"
    found = [one for one in find_interpreters(memory) if one.minor == (3, minor)]
    for one in found:
        code = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.prefix)"
        said = subprocess.check_output([one.path, "-I", "-c", code]).decode().splitlines()
        assert said == [one.version, str(one.prefix)]
        assert (one.prefix / "lib" / f"python3.{minor}" / "os.py").exists() or one.prefix == Path("/usr")
    if not found:
        pytest.skip(f"there is no Python 3.{minor}")


# --- a Python that is only a wish -------------------------------------------------------------------------------------


def standing(monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    found = tuple(
        Interpreter(Path(f"/py/{version}/bin/python"), version, Path(f"/py/{version}")) for version in versions
    )
    monkeypatch.setattr(interpreters, "find_interpreters", lambda memory=None: found)
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")


@pytest.mark.parametrize(
    ("there", "wanted", "taken"),
    [
        (("3.11.7", "3.6.15", "3.7.16"), "3.6", "3.6.15"),
        (("3.11.7", "3.6.9", "3.6.15"), "3.6", "3.6.15"),
        (("3.11.7", "3.8.18", "3.7.16"), "3.6", "3.7.16"),  # the nearest newer one
        (("3.8.18", "3.6.15"), "3.7", "3.8.18"),
        (("3.8.18", "3.6.15"), "3.10", "3.8.18"),  # nothing newer: the nearest older one
        (("3.11.7",), "3.5", "3.11.7"),
        (("3.12.0b1", "3.11.7"), "3.12", "3.11.7"),  # no release
    ],
)
def test_the_nearest_is_taken_and_said(
    there: tuple[str, ...], wanted: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing(monkeypatch, *there)
    interpreter, remark = choose_near(wanted)
    assert interpreter.version == taken
    assert (remark is None) == taken.startswith(f"{wanted}.")
    if remark is not None:
        assert remark.code == "python-near"
        assert f"Python {wanted}" in remark.message
        assert taken in remark.message


def test_no_wish_takes_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_near(None) == (own_interpreter(), None)
    standing(monkeypatch)
    assert choose_near("3.6") == (own_interpreter(), None)
