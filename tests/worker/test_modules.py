"""Kaggle's own modules, as Kanoe has them, on every Python of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

import kanoe.worker
from kanoe.back.answers import answering
from kanoe.base.secrets import Secrets
from kanoe.environments.interpreters import find_interpreters
from kanoe.ir.source import Source
from kanoe.sandbox.confine import Tool, choose_tool
from kanoe.verbs.answers import answered, kaggle_modules
from worlds import code_notebook, execute, session_plan

MODULES = Path(str(kanoe.worker.__file__)).parent / "modules"
PYTHONS = {
    interpreter.minor: interpreter
    for interpreter in find_interpreters()
    if interpreter.final and interpreter.minor >= (3, 6)
}

CODE = """
import json, os, sys
said = {}
def attempt(name, work):
    try:
        said[name] = work()
    except Exception as problem:
        said[name] = [type(problem).__name__, str(problem)]

from kaggle_secrets import BackendError, CredentialError, GcpTarget, NotFoundError, UserSecretsClient, ValidationError
import kaggle_web_client, kaggle_session, kaggle_datasets, kaggle_gcp
assert kaggle_web_client.BackendError is BackendError and kaggle_web_client.CredentialError is CredentialError
client = UserSecretsClient()
attempt("secret", lambda: client.get_secret("KEY"))
attempt("keyword", lambda: client.get_secret(label="KEY"))
attempt("long", lambda: len(client.get_secret("LONG")))
attempt("missing", lambda: client.get_secret("OTHER"))
attempt("empty", lambda: client.get_secret(""))
attempt("none", lambda: client.get_secret(None))
attempt("gcloud", client.get_gcloud_credential)
attempt("set gcloud", client.set_gcloud_credentials)
attempt("bigquery", client.get_bigquery_access_token)
attempt("gcs", lambda: client._get_gcs_access_token())
attempt("tensorflow", lambda: client.set_tensorflow_credential("{}"))
said["written"] = open(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read()
attempt("notebook", lambda: kaggle_session.UserSessionClient().get_exportable_ipynb())
web = kaggle_web_client.KaggleWebClient()
attempt("web", lambda: web.make_post_request({"Label": "KEY"}, "/requests/GetUserSecretByLabelRequest", 3))
attempt("other", lambda: web.make_post_request({}, "/requests/Nothing"))
attempt("integrations", lambda: kaggle_gcp.get_integrations().has_bigquery())
attempt("refresh", lambda: kaggle_gcp.KaggleKernelCredentials(GcpTarget.GCS).refresh(None))
attempt("public", kaggle_gcp.PublicBigqueryClient)
os.environ["KANOE_ANSWERS"] += "-not"
attempt("gone", lambda: client.get_secret("KEY"))
del os.environ["KANOE_ANSWERS"]
attempt("outside", lambda: client.get_secret("KEY"))
json.dump(said, sys.stdout)
"""

MANY = """
import threading, kaggle_secrets
found = []
def ask():
    found.append(kaggle_secrets.UserSecretsClient().get_secret("KEY"))
threads = [threading.Thread(target=ask) for _ in range(400)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(found) == 400
"""


def test_hundreds_ask_at_once() -> None:
    with tempfile.TemporaryDirectory(prefix="kn-") as folder, answering(Path(folder), {"KEY": "hush"}) as answers:
        env = {"PYTHONPATH": str(MODULES), "PYTHONDONTWRITEBYTECODE": "1", "KANOE_ANSWERS": str(answers.path)}
        done = subprocess.run(
            [sys.executable, "-c", MANY], env=env, capture_output=True, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (0, "")


SECRETS = {"KEY": "hush-hush ✓ \udc80", "LONG": "x" * 1_000_000, "__gcs_access_token__": "token"}


@pytest.mark.parametrize("version", sorted(PYTHONS), ids=lambda version: f"{version[0]}.{version[1]}")
def test_every_python(version: tuple[int, int], tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kn-") as folder, answering(Path(folder), SECRETS, lambda: "{}") as answers:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(MODULES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            "HOME": str(tmp_path),
            "KANOE_ANSWERS": str(answers.path),
        }
        command = [str(PYTHONS[version].path), "-W", "error", "-c", CODE]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["secret"] == said["keyword"] == said["web"]["secret"] == SECRETS["KEY"]
    assert said["long"] == 1_000_000
    assert said["missing"] == [
        "BackendError",
        "No user secrets exist for this run and label OTHER. Give it one: `kanoe run NB --secret OTHER`",
    ]
    assert said["empty"][0] == said["none"][0] == "ValidationError"
    assert said["gcloud"][0] == said["set gcloud"][0] == "NotFoundError"
    assert "--secret __gcloud_sdk_auth__=@FILE" in said["gcloud"][1]
    assert said["bigquery"][0] == "BackendError"
    assert "--secret __bigquery_access_token__" in said["bigquery"][1]
    assert said["gcs"] == ["token", None]
    assert (said["tensorflow"], said["written"]) == (None, "{}")
    assert said["notebook"] == {"source": "{}"}
    assert said["other"][0] == "BackendError"
    assert said["integrations"] is False
    assert said["refresh"] is None
    assert said["public"][0] == "ConnectionError"
    assert said["gone"][0] == "ConnectionError"
    assert said["outside"][0] == "CredentialError"


@pytest.mark.parametrize(
    ("folders", "links", "asked", "found"),
    [
        (["datasets/ann/birds"], {"birds": "datasets/ann/birds"}, None, "datasets/ann/birds"),
        (["datasets/ann/birds"], {"birds": "datasets/ann/birds"}, "birds", "datasets/ann/birds"),
        (["datasets/ann/birds"], {}, "ann/birds", "datasets/ann/birds"),
        (["datasets/ann/birds", "competitions/titanic"], {}, "titanic", "competitions/titanic"),
        (["datasets/ann/birds", "competitions/titanic"], {}, "competitions/titanic", "competitions/titanic"),
        (["datasets/ann/birds", "competitions/titanic"], {}, None, "name one of them"),
        (["models/a/m/keras/b/1"], {}, None, "models/a/m/keras/b/1"),
        (["own"], {}, None, "own"),
        (["own/below"], {}, "own/below", "own/below"),
        (["own"], {}, "../working", "is attached (own)"),
        (["own"], {}, "birds", "--input PATH:birds"),
        ([], {}, None, "no data source is attached"),
        ([], {}, "birds", "none is"),
    ],
)
def test_where_a_data_source_is(
    tmp_path: Path, folders: list[str], links: dict[str, str], asked: str | None, found: str
) -> None:
    for folder in folders:
        (tmp_path / "input" / folder).mkdir(parents=True)
    for link, to in links.items():
        (tmp_path / "input" / link).symlink_to(to)
    code = "import sys, kaggle_datasets\nsys.stdout.write(kaggle_datasets.KaggleDatasets().get_gcs_path(*sys.argv[1:]))"
    env = {"PYTHONPATH": str(MODULES), "KAGGLE_WORKING_DIR": str(tmp_path / "working"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code, *([asked] if asked else [])]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        assert done.stdout == str(tmp_path / "input" / found)
    else:
        assert "kaggle_web_client.BackendError" in done.stderr
        assert found in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "tool", [choose_tool(), choose_tool("namespaces"), Tool("none")], ids=["chosen", "namespaces", "none"]
)
def test_behind_every_wall(tmp_path: Path, tool: Tool) -> None:
    cells = [
        "from kaggle_secrets import UserSecretsClient\nprint(UserSecretsClient().get_secret('KEY'))",
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p:\n    print(p.map(UserSecretsClient().get_secret, ['KEY', 'KEY']))",
        "import json, kaggle_session\nprint(json.loads(kaggle_session.UserSessionClient().get_exportable_ipynb()['source'])['cells'][0]['source'])",
        "import os; print(os.environ['MODE'])",
    ]
    source = Source(tmp_path / "n.py", "percent", code_notebook(["# the source"]))
    plan = session_plan(tmp_path, tool, modules=kaggle_modules([Path("kaggle_gcp.py")]))
    with answered(tool, plan.layout, source, Secrets({"KEY": "hush"}), {"MODE": "7"}) as told:
        executed = execute(cells, tmp_path, plan=replace(plan, layout=told))
    assert [executed.text(cell) for cell in range(4)] == ["hush\n", "['hush', 'hush']\n", "# the source\n", "7\n"]
    assert "kaggle_gcp.py" not in {mount.source.name for mount in plan.layout.modules}
