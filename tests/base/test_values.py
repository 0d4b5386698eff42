"""The small values of the floor: hashes, diagnostics, errors, journals."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kanoe
from kanoe.base.diagnostics import CODES, Diagnostic, Severity, cell_place, error, info, warning
from kanoe.base.errors import CancelledError, ExitCode, InputError, KanoeError, UnavailableError
from kanoe.base.hashing import hash_bytes, hash_file, hash_text
from kanoe.base.journal import Journal, read_journal
from kanoe.base.stop import Stop


def test_hashes_are_tagged_and_know_where_parts_end() -> None:
    assert hash_bytes("a", b"ab", b"c") != hash_bytes("a", b"a", b"bc")
    assert hash_bytes("a", b"ab") != hash_bytes("b", b"ab")
    assert hash_bytes("a") != hash_bytes("a", b"")


@given(st.lists(st.binary(max_size=8)), st.lists(st.binary(max_size=8)))
def test_equal_hashes_mean_equal_parts(first: list[bytes], second: list[bytes]) -> None:
    assert (hash_bytes("k", *first) == hash_bytes("k", *second)) == (first == second)


@given(st.text(max_size=20))
def test_every_text_has_a_hash(text: str) -> None:
    assert len(hash_text("k", text)) == 64


def test_a_file_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"kanoe" * 1000)
    assert hash_file(tmp_path / "f") == hashlib.sha256(b"kanoe" * 1000).hexdigest()


def test_only_one_module_uses_hashlib() -> None:
    package = Path(kanoe.__file__).parent
    users = set()
    for path in package.rglob("*.py"):
        if "worker" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if "hashlib" in names or (isinstance(node, ast.ImportFrom) and node.module == "hashlib"):
                users.add(path.relative_to(package).as_posix())
    assert users == {"base/hashing.py"}


@pytest.mark.parametrize(("make", "severity"), [(error, "error"), (warning, "warning"), (info, "info")])
def test_a_diagnostic_survives_its_dict(make, severity: str) -> None:
    made = make("lock-stale", "what", place="where", hint="do `this`")
    assert made.severity == Severity(severity)
    assert Diagnostic.from_dict(made.as_dict()) == made


def test_a_code_must_be_listed() -> None:
    with pytest.raises(KeyError):
        error("no-such-code", "what")
    assert all(text.endswith(".") for text in CODES.values())


def test_places_of_cells() -> None:
    assert cell_place("a b.ipynb", 3) == "a b.ipynb cell 3"
    assert cell_place("a.ipynb", 0, 1) == "a.ipynb cell 0 line 1"


def test_errors_know_their_exit_code() -> None:
    codes = [kind.exit_code for kind in (KanoeError, InputError, UnavailableError, CancelledError)]
    assert codes == [ExitCode.FAILED, ExitCode.WRONG_INPUT, ExitCode.UNAVAILABLE, ExitCode.INTERRUPTED]
    raised = InputError(error("lock-stale", "one"), error("lock-broken", "two"))
    assert str(raised) == "one; two"
    assert len(raised.diagnostics) == 2


def test_a_journal_survives_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal = Journal(path)
    journal.append({"a": 1})
    journal.append({"b": "ä\n"})
    journal.close()
    journal.close()
    with path.open("ab") as file:
        file.write(b'{"c":')
    assert list(read_journal(path)) == [{"a": 1}, {"b": "ä\n"}]


def test_a_stop_counts() -> None:
    stop = Stop()
    assert not stop.requested
    stop.request()
    stop.request()
    assert stop.requested
    assert stop.level == 2
