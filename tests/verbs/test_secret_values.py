"""Where the value of a secret comes from, and that nothing shows it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from kanoe.base.errors import InputError
from kanoe.base.secrets import Secrets
from kanoe.store.home import Store
from kanoe.verbs.run import RunOptions
from kanoe.verbs.secrets import resolve_secrets

HUSH = "hush-hush-42"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a file of secrets, beside files that hold values."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "keyring", None)
    Path("plain").write_text(HUSH)
    Path("newline").write_text(f"{HUSH}\n")
    Path("windows").write_bytes(f"{HUSH}\r\n".encode())
    Path("lines").write_text("one\ntwo\n\n")
    Path("empty").write_text("\n")
    Path("bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "store").mkdir()
    file = tmp_path / "store" / "secrets.toml"
    file.write_text(f'IN_FILE = "{HUSH}"\n"with space" = "{HUSH}"\n')
    file.chmod(0o600)
    return Store(tmp_path / "store")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (f"A={HUSH}", "A", HUSH),
        ("A=b=c", "A", "b=c"),
        ("A==", "A", "="),
        ("A=b@c", "A", "b@c"),
        ("A= spaced ", "A", " spaced "),
        ("A=line\nline", "A", "line\nline"),
        (" A =x", "A", "x"),
        ("A=@plain", "A", HUSH),
        ("A@plain", "A", HUSH),
        ("A=@newline", "A", HUSH),
        ("A=@windows", "A", HUSH),
        ("A@lines", "A", "one\ntwo\n"),
        ("IN_FILE", "IN_FILE", HUSH),
        ("with space", "with space", HUSH),
        ("IN_ENVIRONMENT", "IN_ENVIRONMENT", "of the environment"),
        ("ASKED", "ASKED", "of Secret ASKED: "),
    ],
)
def test_texts(store: Store, monkeypatch: pytest.MonkeyPatch, text: str, name: str, value: str) -> None:
    monkeypatch.setenv("IN_ENVIRONMENT", "of the environment")
    monkeypatch.setenv("IN_FILE", "the file is asked first")
    found = resolve_secrets([text], store, ask=lambda prompt: f"of {prompt}")
    assert dict(found) == {name: value}
    assert os.environ["IN_ENVIRONMENT"] == "of the environment"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no name"),
        (f"={HUSH}", "no name"),
        ("@plain", "no name"),
        ("A=", "it is empty"),
        ("A=@empty", "`empty` is empty"),
        ("A=@nothing", "No such file"),
        ("A@", "cannot be read"),
        ("A=@bytes", "no UTF-8 text"),
        ("A=@/dev/zero", "larger than 1 MiB"),
        ("A=@store", "Is a directory"),
        ("NOWHERE", "found nowhere"),
    ],
)
def test_what_is_refused(store: Store, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve_secrets([text], store)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.place) == ("secret-value", "--secret")
    assert says in problem.message
    assert HUSH not in str(problem)


def test_the_message_names_every_way(store: Store) -> None:
    with pytest.raises(InputError) as caught:
        resolve_secrets(["NOWHERE", "IN_FILE", "ALSO_NOT"], store, ask=lambda _prompt: "")
    first, second = caught.value.diagnostics
    assert caught.value.exit_code == 2
    assert "ALSO_NOT" in second.message
    for way in (
        "=@FILE",
        str(store.path / "secrets.toml"),
        "chmod 600",
        "keyring set kanoe NOWHERE",
        "environment",
        "terminal",
    ):
        assert way in str(first.hint)


def test_nobody_answers_the_prompt(store: Store) -> None:
    def end(_prompt: str) -> str:
        raise EOFError

    with pytest.raises(InputError):
        resolve_secrets(["NOWHERE"], store, ask=end)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_read_is_refused(store: Store, mode: int) -> None:
    file = store.path / "secrets.toml"
    file.chmod(mode)
    with pytest.raises(InputError) as caught:
        resolve_secrets(["IN_FILE"], store)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.hint) == ("secrets-file", f"`chmod 600 {file}`")
    assert dict(resolve_secrets(["A=1"], store)) == {"A": "1"}, "who does not need it does not look at it"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(store: Store) -> None:
    file = store.path / "secrets.toml"
    os.chown(file, 65534, 65534)
    with pytest.raises(InputError) as caught:
        resolve_secrets(["IN_FILE"], store)
    assert "chown" in str(caught.value.diagnostics[0].hint)


@pytest.mark.parametrize(
    "content", [f"IN_FILE = {HUSH}", f'A = ["{HUSH}"]', f'[A]\nb = "{HUSH}"', f"\xff{HUSH}", "IN_FILE = 3"]
)
def test_a_broken_file_is_refused_and_shows_nothing(store: Store, content: str) -> None:
    (store.path / "secrets.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        resolve_secrets(["IN_FILE"], store)
    (problem,) = caught.value.diagnostics
    assert problem.code == "secrets-file"
    assert HUSH not in str(problem)


@pytest.mark.parametrize(
    ("get", "value"),
    [
        (lambda service, name: f"{service} {name}", "kanoe A"),
        (lambda _service, _name: None, "of the environment"),
        (lambda _service, _name: 1 // 0, "of the environment"),
        (lambda _service, _name: b"bytes", "of the environment"),
    ],
)
def test_the_keyring(
    store: Store, monkeypatch: pytest.MonkeyPatch, get: Callable[[str, str], object], value: str
) -> None:
    keyring = types.ModuleType("keyring")
    keyring.get_password = get  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setenv("A", "of the environment")
    assert resolve_secrets(["A"], store)["A"] == value


def test_kanoes_own_process_gives_variables_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IN_ENVIRONMENT", HUSH)
    monkeypatch.setenv("IN_FILE", HUSH)
    assert len(resolve_secrets(["IN_ENVIRONMENT", "IN_FILE"], store, own_process=True)) == 2
    assert not {"IN_ENVIRONMENT", "IN_FILE"} & set(os.environ)


def test_values_by_name(store: Store) -> None:
    found = resolve_secrets({"A": HUSH, "B": ""}, store)
    assert dict(found) == {"A": HUSH, "B": ""}
    assert resolve_secrets(found, store) is found
    for wrong in ({"A": 3}, {"": "x"}, {3: "x"}):
        with pytest.raises(InputError) as caught:
            resolve_secrets(wrong, store)
        assert caught.value.diagnostics[0].code == "secret-value"


def test_no_text_of_secrets_holds_a_value() -> None:
    secrets = Secrets({"A": HUSH})
    options = RunOptions(secrets=secrets, variables={"B": HUSH})
    shown = [
        *(str(secrets), repr(secrets), f"{secrets}", f"{secrets!r}", repr([secrets])),
        *(
            repr(options),
            repr(asdict(options)["secrets"]),
            json.dumps({"a": secrets}, default=str),
            repr(copy.deepcopy(secrets)),
        ),
        *(repr(copy.copy(secrets)), repr(secrets.keys()), repr(RunOptions(secrets={"A": HUSH}))),
    ]
    assert [text for text in shown if HUSH in text] == []
    assert "A=***" in repr(secrets)
    for write in (pickle.dumps, json.dumps):
        with pytest.raises(TypeError):
            write(secrets)
