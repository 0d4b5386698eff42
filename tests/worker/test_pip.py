"""`pip` and its relatives as cells call them: three rules, on every Python of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from environments.registry import Registry, wheel
from kanoe.environments.interpreters import Interpreter, find_interpreters
from kanoe.environments.uv import find_uv
from kanoe.sandbox.confine import Tool, confine, remove_plain_input
from kanoe.sandbox.layout import MODULES, Folders, Layout, Mount
from kanoe.store.home import Store
from kanoe.verbs.installs import Seen, lay_out_installs

INTERPRETERS = {one.short: one for one in find_interpreters() if one.final}
NEWEST = sorted(INTERPRETERS, key=lambda short: [int(part) for part in short.split(".")])[-1]


# What the environment was built from besides the registry.
LINKS = (SimpleNamespace(url="git+https://example.invalid/Some/Tools.git@0123456789abcdef0123456789abcdef01234567"),)


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Run:
    """A run's environment and what its cells see of installs, without walls."""

    folder: Path
    environment: Path
    variables: dict[str, str]
    installed: Path

    def __call__(self, *words: str, **variables: str) -> Done:
        done = subprocess.run(
            words,
            env={**self.variables, **variables},
            cwd=self.folder / "working",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def value(self, code: str) -> str:
        done = self("python", "-c", code)
        assert done.code == 0, done.err
        return done.out.strip()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    server = Registry()
    server.add("alpha", "1.0")
    server.add("alpha", "2.0")
    server.add("beta", "1.5", "alpha>=1")
    server.add("gamma", "1.0", "alpha>=2")
    server.add("delta-kit", "3.1", 'nothing; extra == "more"', modules={"delta_kit/__init__.py": "x = 1\n"})
    scripts = "[console_scripts]\nsay-it = says:main\n"
    entry_points = {"says.py": "def main():\n    import beta\n    print('said', beta.version)\n"}
    server.add("says", "1.0", modules={**entry_points, "says-1.0.dist-info/entry_points.txt": scripts})
    server.add("enum", "9.0", modules={"enum.py": "raise SystemExit('shadow')\n", "enum_more.py": ""})
    server.add("hooked", "1.0", modules={"hooked.pth": "import os; os.environ['HOOKED'] = 'yes'\n", "hooked.py": ""})
    yield server
    server.close()


@pytest.fixture(scope="module")
def environments(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One environment per Python, built when first asked for."""
    folder = tmp_path_factory.mktemp("environments")

    class Environments(dict[str, Path]):
        def __missing__(self, short: str) -> Path:
            path = folder / short
            uv = [find_uv(), "--no-config", "-q"]
            variables = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
            python = str(INTERPRETERS[short].path)
            subprocess.run([*uv, "venv", "--no-project", "--python", python, path], env=variables, check=True)
            install = ["pip", "install", "--default-index", registry.url, "--python", path / "bin" / "python"]
            subprocess.run([*uv, *install, "alpha==1.0", "beta", "delta-kit"], env=variables, check=True)
            self[short] = path
            return path

    return Environments()


def lay_out(
    folder: Path, environment: Path, interpreter: Interpreter, *, internet: bool, as_of: str | None = None
) -> Run:
    (folder / "working").mkdir()
    modules = environment / "lib" / f"python{interpreter.short}" / "site-packages"
    ready: Any = SimpleNamespace(
        environment=SimpleNamespace(
            interpreter=interpreter,
            lock=SimpleNamespace(as_of=as_of, requirements=LINKS),
            python=environment / "bin" / "python",
            modules=modules,
        )
    )
    source: Any = SimpleNamespace(folder=folder, path=folder / "my notes.ipynb")
    home, runtime = folder / "home", folder / "runtime"
    runtime.mkdir()
    installs = lay_out_installs(
        source, ready, Store(folder / "store"), Seen(home, str(home)), Seen(runtime, str(runtime)), internet=internet
    )
    path = [*installs.programs, str(environment / "bin"), "/usr/bin", "/bin"]
    python_path = [str(installs.modules[0].source.parent), *installs.variables["PYTHONPATH"].split(":")[1:]]
    variables = {
        **installs.variables,
        "PATH": ":".join(path),
        "PYTHONPATH": ":".join(python_path),
        "VIRTUAL_ENV": str(environment),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    return Run(folder, environment, variables, Path(python_path[-1]))


@pytest.fixture
def offline(environments: dict[str, Path], tmp_path: Path) -> Run:
    return lay_out(tmp_path, environments[NEWEST], INTERPRETERS[NEWEST], internet=False)


@pytest.fixture
def online(environments: dict[str, Path], tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Run:
    use(registry, monkeypatch)
    return lay_out(tmp_path, environments[NEWEST], INTERPRETERS[NEWEST], internet=True)


def use(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_DEFAULT_INDEX", registry.url)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CONFIG", "1")


def tree(folder: Path) -> dict[str, int]:
    return {
        str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir() and path.suffix != ".pyc"
    }


SATISFIED = (
    "pip install alpha",
    "pip install -q -U alpha",
    "pip install --upgrade --user 'alpha>=1,<2' beta",
    "pip3 install -qU alpha==1.0 --force-reinstall",
    f"pip{NEWEST} install ALPHA Delta_Kit",
    "python -m pip install alpha --no-cache-dir --progress-bar off",
    "pip install 'delta-kit[more]~=3.0' --root-user-action=ignore",
    "pip install 'nothing; python_version < \"3\"' alpha",
    "pip install -U pip",
    "pip install --upgrade pip==19.3.1 alpha",
    "pip install -r wanted.txt -c limits.txt",
    "pip install -i https://nowhere.invalid/simple --trusted-host nowhere.invalid alpha",
    "pip install -t elsewhere alpha",
    "pip install --no-index --find-links ../input/wheels alpha",
    "uv pip install --system alpha",
    "uv add alpha",
    "easy_install alpha",
    "conda install -y -c conda-forge alpha=1 beta=1.5=py_0 python=3.9 cudatoolkit",
    "conda install --yes 'alpha>=1.0'",
    "pip install -q git+https://example.invalid/some/tools",
    "pip install alpha git+git://example.invalid/Some/Tools.git@v1.2#egg=tools",
    "pip install 'tools @ git+ssh://git@example.invalid/some/tools.git@0123456'",
    "pip install ../input/wheels/alpha-1.0-py3-none-any.whl",
    "pip install --no-deps --no-index ./beta-1.5-py2.py3-none-any.whl alpha",
    "mamba install -q -y conda-forge::alpha",
    "pip uninstall -y alpha nothing",
    "conda remove -y alpha",
    "pip config list",
    "pip cache purge",
    "pip check",
    "apt-get update -qq",
    "apt-get install -y -qq sh",
    "python -c \"import pip; raise SystemExit(pip.main(['install', 'alpha']))\"",
    "python -c \"from pip._internal import main; raise SystemExit(main(['install', '-U', 'alpha']))\"",
    "python -c \"from pip._internal.main import main; raise SystemExit(main(['install', 'alpha']))\"",
    "python -c \"from pip._internal.cli.main import main; raise SystemExit(main(['install', 'alpha']))\"",
    "python -c 'from pip._internal.utils.misc import get_installed_distributions'",
    "python -c 'from pip._internal.operations import freeze; assert \"alpha==1.0\" in list(freeze.freeze())'",
)


@pytest.mark.parametrize("line", SATISFIED)
def test_what_is_there_is_left_as_it_is(offline: Run, line: str) -> None:
    (offline.folder / "working" / "wanted.txt").write_text("# these\nalpha >= 1  # one\n-r more.txt\n")
    (offline.folder / "working" / "more.txt").write_text("beta\n--no-binary :none:\n")
    (offline.folder / "working" / "limits.txt").write_text("alpha<2\n")
    before = tree(offline.environment)
    done = offline("sh", "-c", line)
    assert done.code == 0, done.err
    assert "ERROR" not in done.err
    assert tree(offline.environment) == before
    assert offline.value("import alpha, beta; print(alpha.version)") == "1.0"


REFUSED = (
    ("pip install nothing", ("nothing is not installed", "--with nothing")),
    ("pip install -q nothing alpha", ("nothing is not installed", "--with nothing")),
    ("pip install 'alpha>=2' nothing==1.2", ("alpha>=2 (the environment has 1.0), nothing==1.2", "--with 'alpha>=2'")),
    ("python -m pip install nothing", ("nothing is not installed", "--with nothing")),
    ("conda install -y nothing=1.2", ("nothing==1.2.*", "--with 'nothing==1.2.*'")),
    ("uv pip install nothing", ("nothing is not installed", "--with nothing")),
    ("pip install git+https://example.invalid/a/b.git", ("git+https://example.invalid/a/b.git", "--internet")),
    ("pip install git+https://example.invalid/some/tools@fedcba9", ("tools@fedcba9", "--internet")),
    ("pip install -r wanted.txt", ("nothing>1", "--with 'nothing>1'")),
    ("pip download nothing", ("needs the internet", "--internet")),
)


@pytest.mark.parametrize(("line", "words"), REFUSED)
def test_what_cannot_be_had_is_said_in_one_line(offline: Run, line: str, words: tuple[str, ...]) -> None:
    (offline.folder / "working" / "wanted.txt").write_text("alpha\nnothing > 1\n")
    done = offline("sh", "-c", line)
    assert done.code == 1
    assert done.err.count("\n") == 1
    for text in (*words, "kanoe run 'my notes.ipynb'"):
        assert text.replace(" ", "") in done.err.replace(" ", "")


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("pip install", 1, "You must give at least one requirement"),
        ("pip install ''", 0, ""),
        ("pip install -r .", 1, "Could not open requirements file"),
        ("pip install alpha -r", 1, "Could not open requirements file"),
        ("pip install 'alpha>=' '--=' -- -x", 1, "alpha"),
        ("pip install -r nowhere.txt", 1, "Could not open requirements file"),
        ("pip install '%%%'", 1, "%%%"),
        ("pip install ../input/nowhere.whl", 1, "nowhere.whl"),
        ("pip show nothing", 1, "not found: nothing"),
        ("pip frobnicate", 1, "frobnicate"),
        ("apt-get install -y nothing-dev", 100, "apt install nothing-dev"),
    ],
)
def test_what_is_wrong_is_said(offline: Run, line: str, code: int, said: str) -> None:
    done = offline("sh", "-c", line)
    assert (done.code, said in done.err) == (code, True), done.err


def test_what_is_installed_is_listed_as_pip_does(offline: Run) -> None:
    assert offline("pip", "list").out.splitlines()[:3] == ["Package   Version", "--------- -------", "alpha     1.0"]
    assert {"name": "beta", "version": "1.5"} in json.loads(offline("pip", "list", "--format=json").out)
    assert offline("pip", "freeze").out.splitlines() == ["alpha==1.0", "beta==1.5", "delta-kit==3.1"]
    shown = offline("pip", "show", "-f", "alpha", "nothing")
    assert (shown.code, "Required-by: beta" in shown.out, "alpha/__init__.py" in shown.out) == (0, True, True)
    assert offline("pip", "--version").out.startswith("pip ")
    assert f"(python {NEWEST})" in offline("python", "-m", "pip", "--version").out


@pytest.mark.parametrize("short", sorted(INTERPRETERS))
def test_an_upgrade_wins_over_the_environment_which_stays(
    short: str,
    environments: dict[str, Path],
    tmp_path: Path,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(registry, monkeypatch)
    run = lay_out(tmp_path, environments[short], INTERPRETERS[short], internet=True)
    before = tree(run.environment)
    done = run("python", "-m", "pip", "install", "gamma", "says")
    assert done.code == 0, done.err
    assert "Successfully installed alpha-2.0 gamma-1.0 says-1.0" in done.out
    assert run.value("import alpha, beta, gamma; print(alpha.version, gamma.version)") == "2.0 1.0"
    assert run("say-it").out == "said 1.5\n"
    assert "alpha==2.0" in run("pip", "freeze").out
    assert run("pip", "install", "alpha>=2").out.startswith("Requirement already satisfied")
    assert run("pip", "uninstall", "-y", "alpha").code == 0
    assert run.value("import alpha; print(alpha.version)") == "1.0"
    assert tree(run.environment) == before


def test_a_running_program_finds_what_is_installed(online: Run) -> None:
    code = "import os, sys, subprocess\n"
    code += "try:\n    import gamma\nexcept ImportError: print('not yet')\n"
    code += "subprocess.check_call([sys.executable, '-m', 'pip', 'install', '-q', 'gamma'])\n"
    code += "import gamma, alpha; print(gamma.version, alpha.version)"
    done = online("python", "-c", code)
    assert done.out == "not yet\n1.0 2.0\n", done.err


def test_no_installation_hides_the_standard_library_and_hooks_work_in_children(online: Run) -> None:
    assert online("pip", "install", "enum", "hooked").code == 0
    assert online.value("import enum_more, re, enum, os; print(os.environ['HOOKED'])") == "yes"


def test_installed_elsewhere_when_told_so(online: Run) -> None:
    assert online("pip", "install", "-t", "libs", "gamma").code == 0
    assert (online.folder / "working" / "libs" / "gamma").is_dir()
    assert online.value("import alpha; print(alpha.version)") == "1.0"


def test_what_the_registry_lacks_is_said(online: Run) -> None:
    done = online("pip", "install", "alpha==77")
    assert (done.code, "alpha==77" in done.err) == (1, True)
    assert online.value("import alpha; print(alpha.version)") == "1.0"
    assert "alpha==1.0" in online("pip", "freeze").out


@pytest.mark.parametrize(
    "line",
    [
        "pip install ../input/wheels/local_one-1.0-py3-none-any.whl",
        "pip install --no-index --find-links ../input/wheels local-one",
        "pip install local-one --no-index --find-links=file://$PWD/../input/wheels",
        "pip install --no-deps ../input/wheels/*.whl",
        "cd ../input/wheels && python -m pip install ./local_one-1.0-py3-none-any.whl -f . --no-index",
    ],
)
def test_wheels_of_the_data_are_installed_without_a_network(offline: Run, line: str) -> None:
    wheels = offline.folder / "input" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / "local_one-1.0-py3-none-any.whl").write_bytes(
        wheel("local-one", "1.0", {"local_one.py": "import beta"}, ["beta"])
    )
    done = offline("sh", "-c", line)
    assert (done.code, "Successfully installed local-one-1.0" in done.out) == (0, True), done.err
    assert offline.value("import local_one; print(local_one.beta.version)") == "1.5"
    assert [one for one in offline.installed.glob("*.dist-info") if one.name.startswith("alpha")] == []


def test_a_password_of_the_index_is_nowhere_in_what_is_said(
    environments: dict[str, Path], tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(registry, monkeypatch)
    monkeypatch.setenv("UV_DEFAULT_INDEX", registry.url.replace("//", "//me:s3cr3t@"))
    run = lay_out(tmp_path, environments[NEWEST], INTERPRETERS[NEWEST], internet=True)
    assert run("pip", "install", "gamma").code == 0
    failed = run("pip", "install", "alpha==77", "nowhere-at-all")
    assert failed.code == 1
    assert "s3cr3t" not in failed.out + failed.err + json.dumps(run.variables)
    assert "s3cr3t" not in run("sh", "-c", "env; pip config list").out


def test_only_releases_of_the_day_are_taken(
    environments: dict[str, Path], tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("dated", "1.0", uploaded="2019-01-01")
    registry.add("dated", "2.0", uploaded="2022-01-01")
    use(registry, monkeypatch)
    run = lay_out(tmp_path, environments[NEWEST], INTERPRETERS[NEWEST], internet=True, as_of="2020-06-01T00:00:00Z")
    assert "Successfully installed dated-1.0" in run("pip", "install", "-U", "dated").out


def test_the_programs_are_plain_python_of_any_age() -> None:
    worker = Path(sys.modules["kanoe.verbs.installs"].__file__ or "").parents[1] / "worker"
    oldest = INTERPRETERS[min(INTERPRETERS, key=lambda short: [int(part) for part in short.split(".")])]
    files = [str(path) for path in (*worker.glob("*.py"), *worker.rglob("pip_package/**/*.py"))]
    code = "import sys\nfor path in sys.argv[1:]: compile(open(path, encoding='utf-8').read(), path, 'exec')"
    assert subprocess.run([oldest.path, "-c", code, *files], check=False).returncode == 0


def test_without_walls_python_looks_into_the_overlay_too(tmp_path: Path) -> None:
    for name in ("run/working", "scratch", "runtime"):
        (tmp_path / name).mkdir(parents=True)
    layout = Layout(
        folders=Folders(tmp_path / "run" / "working", tmp_path / "scratch", tmp_path / "runtime"),
        modules=(Mount(tmp_path / "lib" / "pip", f"{MODULES}/pip"),),
        variables={"PYTHONPATH": f"{MODULES}:/the/overlay"},
    )
    confined = confine(Tool("none"), layout, ["true"])
    remove_plain_input(layout)
    place = confined.options.index("PYTHONPATH")
    assert confined.options[place + 1] == f"{tmp_path / 'lib'}:/the/overlay"
