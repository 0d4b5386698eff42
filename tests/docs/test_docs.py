"""The pages tell the truth: what they name exists, and what exists is named."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import pytest

import kanoe
from kanoe.base.diagnostics import CODES
from kanoe.verbs.run import RunChanges, RunOptions

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
HOW_TO = "\n".join(path.read_text(encoding="utf-8") for path in sorted((DOCS / "how-to").glob("*.md")))


def _load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["reference"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load_reference()
COMMANDS: dict[str, Any] = dict(reference.commands())
OPTIONS = [
    (name, spelling)
    for name, command in COMMANDS.items()
    for option in reference.options_of(command)
    for spelling in reference.spellings(option)
]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The fenced blocks of a page in these languages."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        if match[1] in languages:
            yield match[2]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


# The reference


def test_the_reference_is_what_the_code_says() -> None:
    stale = [path.name for path, _, _ in reference.stale_pages()]
    assert not stale, "run `python scripts/reference.py`"


def test_every_option_is_explained() -> None:
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    sections = {name: page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0] for name in COMMANDS}
    assert [(name, option) for name, option in OPTIONS if f"`{option}`" not in sections[name]] == []
    assert [option for name, option in OPTIONS if name != "kanoe" and not stands_in(option, HOW_TO)] == []


def test_every_command_has_a_how_to() -> None:
    verbs = [name for name, command in COMMANDS.items() if not hasattr(command, "commands")]
    assert [name for name in verbs if not stands_in(name, HOW_TO)] == []


def stands_in(words: str, text: str) -> bool:
    """Whether a command or option is named, and not just one that begins so."""
    return re.search(rf"{words}(?![\w-])", text) is not None


def test_every_diagnostic_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "diagnostics.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f'<a id="{code}"></a>' not in page] == []


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert [name for name in kanoe.__all__ if name != "__version__" and f"## `kanoe.{name}`" not in page] == []


def test_an_option_of_run_is_a_keyword_of_run() -> None:
    options = {
        field.name: hint for field in dataclasses.fields(RunOptions) if (hint := get_type_hints(RunOptions)[field.name])
    }
    assert options == get_type_hints(RunChanges)


# What the pages name


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if urlsplit(target).scheme:
            continue
        name, _, fragment = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (fragment and fragment not in anchors(path)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {reference.anchor(heading) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


@every_page
def test_python_in_a_page_parses(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def said_commands(page: Path) -> Iterator[str]:
    """Every call of `kanoe` that a page shows."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines() if line.startswith("$ ")]
    told = [line[2:].partition("  #")[0] for line in lines]
    told += re.findall(r"(?<!`)`(kanoe [^`]+)`(?!`)", prose(page))
    for text in told:
        inner = re.search(r"\$\((kanoe [^)]*)\)", text)
        command = inner[1] if inner else re.split(r" [|>] ", text)[0]
        if command.startswith("kanoe "):
            yield command


@every_page
def test_commands_in_a_page_exist(page: Path) -> None:
    for text in said_commands(page):
        name, *words = shlex.split(text)
        while words and hasattr(COMMANDS[name], "commands"):
            word = words.pop(0)
            if word.startswith("-"):
                assert word in spellings(name), text
            else:
                assert f"{name} {word}" in COMMANDS, text
                name = f"{name} {word}"
        if name != "kanoe python":  # whose arguments are Python's
            strange = [word for word in words if word.startswith("-") and word not in spellings(name)]
            assert strange == [], text


def spellings(name: str) -> set[str]:
    """The options that a command takes."""
    own = {spelling for command, spelling in OPTIONS if command == name}
    return own | {"-h", "--help"} | ({"--install-completion", "--show-completion"} if name == "kanoe" else set())


def test_the_programs_of_the_readme_can_be_run() -> None:
    programs = re.findall(r"^\$ (\./[\w./-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"./scripts/demo", "./scripts/test"} <= set(programs)
    assert [program for program in programs if not os.access(ROOT / program, os.X_OK)] == []


def test_the_tests_that_prove_the_laws_exist() -> None:
    proofs = re.findall(r"^- `(tests/[\w/]+\.py)`: (.+)$", (DOCS / "laws.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(proofs) > 20
    for file, names in proofs:
        source = (ROOT / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in source, f"{file} has no `{name}`"


def test_every_law_names_a_proof() -> None:
    laws = (DOCS / "laws.md").read_text(encoding="utf-8").partition("\n## To come")[0]
    for paragraph in re.split(r"\n(?=\*\*)", laws)[1:]:
        assert "\n- `tests/" in paragraph, paragraph


def test_files_that_pages_name_exist() -> None:
    named = re.findall(r"`((?:src|tests|docs|scripts|examples)/[\w./-]+\.\w+)`", "\n".join(map(prose, PAGES)))
    named += [
        f"src/kanoe/{path}"
        for path in re.findall(r"`((?:back|front|engine|base|verbs)/\w+\.py)`", "\n".join(map(prose, PAGES)))
    ]
    assert [path for path in named if not (ROOT / path).exists()] == []


# What no file of the project may hold


def tracked() -> list[Path]:
    """The text files of the project: tracked, or about to be."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def registry_hosts() -> set[str]:
    """The registries of this machine, as far as the environment tells."""
    variables = (
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_FIND_LINKS",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
    )
    hosts = {urlsplit(word).hostname for name in variables for word in os.environ.get(name, "").split()}
    return {host for host in hosts if host and not host.endswith(("pypi.org", "localhost", "127.0.0.1"))}


def test_no_file_tells_of_a_machine_or_of_who_wrote_it() -> None:
    home = Path.home()
    places = [f"{ROOT}/", *([f"{home}/"] if len(home.parts) > 2 else [])]
    words = [re.escape(word) for word in (*places, *registry_hosts()) if len(word) > 6]
    # Put together here, so that this file holds none of them.
    words += [r"/home/(?!you\b)\w+/", r"/Users/\w+/", "-----BEGIN " + "[A-Z ]*PRIVATE KEY", "KGAT" + r"_\w{16}"]
    words += [
        rf"\b{first}{second}\b"
        for first, second in (("Cla", "ude"), ("Chat", "GPT"), ("sub", "agent"), ("Copi", "lot"))
    ]
    words += [rf"\b{word}" + r" #\d+" for word in ("issue", "session", "ticket")]
    forbidden = re.compile("|".join(words))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1)
        if (match := forbidden.search(line))
    ]
    assert found == []


def test_modules_are_named_for_what_they_hold() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "manager", "core", "misc"}
    assert [path for path in tracked() if path.suffix == ".py" and path.stem in vague] == []


# The site


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_asks_nobody(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    loaded = (
        r'<(?:script|img|iframe)[^>]*src="https?://[^"]*"|<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="https?://'
    )
    assert [page.name for page in pages if re.search(loaded, page.read_text(encoding="utf-8"))] == []
