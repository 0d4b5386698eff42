"""Makes `docs/reference/*.md` from the code; `--check` changes nothing and exits 1 when a page is stale.

What no docstring says stands in `reference.toml`, held against the code: no new file, key or exit code can be forgotten.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, EnumType
from pathlib import Path
from typing import Any

import typer.main

import kanoe
from kanoe.back.run_folder import FILES
from kanoe.base import diagnostics
from kanoe.base.errors import ExitCode
from kanoe.cli.main import app
from kanoe.engine import events, report
from kanoe.environments import lock, lock_file, needs
from kanoe.store.home import Store
from kanoe.verbs import doctor, env_diff, environment, runs, store

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
SOURCES = ROOT / "src" / "kanoe"
WORDS: Mapping[str, Mapping[str, str]] = tomllib.loads(
    (ROOT / "scripts" / "reference.toml").read_text(encoding="utf-8")
)
MADE = "<!-- Made from the code by scripts/reference.py; do not edit. -->\n"


def held(name: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return a table of `reference.toml` after holding its keys against the names in the code."""
    words, wanted = WORDS[name], set(names)
    missing, extra = sorted(wanted - set(words)), sorted(set(words) - wanted)
    if missing or extra:
        raise SystemExit(
            f"reference.toml: [{name}] lacks {missing} and describes {extra}, which the code does not have"
        )
    return words


# Docstrings


@dataclasses.dataclass(frozen=True)
class Doc:
    """A docstring: its text, and its sections' entries by name."""

    text: str
    sections: dict[str, dict[str, str]]

    @property
    def first(self) -> str:
        """The first paragraph on one line."""
        return " ".join(self.text.split("\n\n")[0].split())


def read_doc(thing: object) -> Doc:
    """Read a docstring in the form of this project: text, then `Args:`, `Returns:`, `Raises:` with indented entries."""
    own = thing.__dict__.get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    text: list[str] = []
    sections: dict[str, dict[str, str]] = {}
    entries: dict[str, str] | None = None
    name = ""
    for line in inspect.cleandoc(own or "").split("\n"):
        if re.fullmatch(r"(Args|Attributes|Returns|Raises|Yields):", line):
            entries = sections.setdefault(line[:-1], {})
        elif entries is None:
            text.append(line)
        elif match := re.match(r" {4}(\S[^:]*): (.*)", line):
            name = match[1]
            entries[name] = match[2]
        elif line.strip():
            entries[name] = f"{entries.get(name, '')} {line.strip()}".strip()
    return Doc("\n".join(text).strip(), sections)


def meanings(kind: Any) -> dict[str, str]:
    """Return what the docstrings of a class and its bases say of its fields."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= read_doc(base).sections.get("Args", {})
    return {name: sentence(text) for name, text in found.items()}


def sentence(text: str) -> str:
    """Return an entry of a docstring with a capital at its start."""
    return text[:1].upper() + text[1:]


# Markdown


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown cells, without the columns that hold nothing."""
    rows = list(rows)
    kept = [position for position in range(len(heads)) if any(row[position] for row in rows)]
    lines = [[heads[position] for position in kept], ["---"] * len(kept)]
    lines += [[row[position].replace("|", "&#124;") for position in kept] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """Return text as code in a table's cell, where a bar needs HTML."""
    plain = str(text)
    return f"<code>{plain.replace('&', '&amp;').replace('<', '&lt;')}</code>" if "|" in plain else f"`{plain}`"


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


# The command line


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, `kanoe` first."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for word, below in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {word}", below)

    yield from walk("kanoe", typer.main.get_command(app))


def options_of(command: Any) -> list[Any]:
    """Return a command's own options."""
    return [
        one for one in command.params if one.param_type_name == "option" and not one.opts[0].endswith("-completion")
    ]


def first_spelling(parameter: Any) -> str:
    """Return an option's or argument's first name."""
    return str(parameter.opts[0])


def spellings(option: Any) -> list[str]:
    """Return the ways to write an option, short ones first."""
    return [*sorted(option.opts, key=len), *option.secondary_opts]


def cli_page() -> str:
    """Return the page of commands and options."""
    parts = ["# The command line\n", WORDS["introductions"]["cli"]]
    parts += [command_section(name, command) for name, command in commands()]
    meaning = held("exit-codes", ExitCode.__members__)
    parts += ["## Exit codes\n", table(["Code", "Meaning"], ([str(int(one)), meaning[one.name]] for one in ExitCode))]
    parts += ["`kanoe python` returns what Python returns.\n", "## Environment variables\n"]
    parts.append(table(["Variable", "Meaning"], ([f"`{name}`", text] for name, text in WORDS["variables"].items())))
    shown = json.dumps(sample_report().as_dict(), indent=1)
    parts += ["## The JSON report\n", WORDS["introductions"]["json"], f"```json\n{shown}\n```\n"]
    others = held(
        "json-objects", (name for name, command in commands() if "--json" in map(first_spelling, command.params))
    )
    rows = ([f"[`{name}`](#{anchor(name)})", text] for name, text in others.items())
    parts += ["## The other JSON objects\n", table(["Command", "What `--json` prints"], rows)]
    return "\n".join(parts)


def command_section(name: str, command: Any) -> str:
    """Return the section of one command."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = options_of(command)
    below = getattr(command, "commands", {})
    words = [name, *(["[OPTIONS]"] if options else [])]
    words += [one.metavar if one.required or one.metavar.startswith("[") else f"[{one.metavar}]" for one in arguments]
    words += ["COMMAND"] if below else ["[ARGS]..."] if command.context_settings.get("allow_extra_args") else []
    parts = [f"## `{name}`\n", f"```text\n{' '.join(words)}\n```\n", f"{inspect.cleandoc(command.help or '')}\n"]
    if arguments:
        rows = ([f"`{one.metavar.strip('[]')}`", shown_default(one), one.help or ""] for one in arguments)
        parts.append(table(["Argument", "Default", "Meaning"], rows))
    if options:
        parts.append(table(["Option", "Value", "Default", "Meaning"], map(option_row, options)))
    if below:
        links = (
            [f"[`{name} {word}`](#{anchor(f'{name} {word}')})", inspect.cleandoc(one.help).split("\n\n")[0]]
            for word, one in below.items()
        )
        parts.append(table(["Command", "What it does"], links))
    return "\n".join(parts)


def option_row(option: Any) -> list[str]:
    """Return an option's row."""
    names = ", ".join(f"`{name}`" for name in spellings(option))
    value = f"`{option.metavar}`" if option.metavar else "" if option.is_flag else "number"
    more = " May be given several times." if option.multiple else ""
    return [names, value, shown_default(option), f"{option.help}{more}"]


def shown_default(parameter: Any) -> str:
    """Return a parameter's default as a person says it."""
    default = parameter.default
    if parameter.required:
        return "needed"
    if isinstance(default, bool) and parameter.secondary_opts:
        return f"`{(parameter.opts if default else parameter.secondary_opts)[0]}`"
    return "" if default in (None, False) else f"`{default}`"


def sample_report() -> report.Report:
    """Return a report with one of everything."""
    run = "titanic-20261121-083012-7f3a"
    folder = f"/data/kanoe/runs/{run}"
    start = 1795249813.25
    reason = "FileNotFoundError: [Errno 2] No such file or directory: '../input/train.csv'"
    hint = "Attach the data: `--input PATH:SLUG`, or put it into an `input/` folder beside the notebook"
    place = diagnostics.cell_place("titanic.ipynb", 1, 3)
    used = {"memory": 224395264, "cpu": 0.94, "disk": 0}
    return report.Report(
        run=run,
        state=events.RunState.FAILED,
        directory=folder,
        seconds=2.1,
        tasks=(
            report.TaskReport("cell 0", events.TaskState.SUCCEEDED, None, 1.25, start, start + 1.25, 1, (0,), **used),
            report.TaskReport(
                "cell 1", events.TaskState.FAILED, reason, 0.02, start + 1.25, start + 1.27, 1, (1,), **used
            ),
            report.TaskReport("cell 2", events.TaskState.SKIPPED, "cell 1 failed", 0.0, None, None, 0, (2,)),
        ),
        artifacts=(report.Artifact("model.pkl", f"file://{folder}/working/model.pkl", metadata={"bytes": 3258}),),
        diagnostics=(diagnostics.error("cell-failed", reason, place=place, hint=hint),),
    )


# The Python API


def python_page() -> str:
    """Return the page of the public names."""
    parts = ["# The Python API\n", WORDS["introductions"]["python"]]
    public = sorted(set(kanoe.__all__) - {"__version__"}, key=lambda name: (name[0].isupper(), name))
    parts += [thing_section(f"kanoe.{name}", getattr(kanoe, name)) for name in public]
    inner = [report.TaskReport, report.Artifact, runs.Listed, runs.Shown, environment.ShownEnvironment, store.StoreSize]
    inner += [doctor.Checkup, doctor.Finding, env_diff.EnvironmentDifference, env_diff.Change]
    inner += [events.RunState, events.TaskState, diagnostics.Severity, ExitCode]
    parts += [thing_section(f"{one.__module__}.{one.__name__}", one) for one in inner]
    return "\n".join(parts)


def thing_section(name: str, thing: Any) -> str:
    """Return the section of a function or class."""
    doc = read_doc(thing)
    parts = [f"## `{name}`\n"]
    if inspect.isfunction(thing):
        parts += [f"```text\n{signature_text(name, thing)}\n```\n", f"{doc.text}\n", *entry_lists(doc)]
        return "\n".join(parts)
    parts.append(f"{doc.text}\n")
    if isinstance(thing, EnumType):
        values: Mapping[str, Any] = thing.__members__
        shown = (f"`{word}` ({int(one)})" if isinstance(one, int) else f"`{one}`" for word, one in values.items())
        parts.append(f"{', '.join(shown)}.\n")
    elif dataclasses.is_dataclass(thing):
        said = meanings(thing)
        rows = (
            [f"`{one.name}`", code(one.type), default_of(one), said.get(one.name, "")]
            for one in dataclasses.fields(thing)
        )
        parts.append(table(["Field", "Type", "Default", "Meaning"], rows))
    elif issubclass(thing, Exception):
        parts.append(f"`exit_code` is {int(thing.exit_code)}; `diagnostics` holds the diagnostics.\n")
    members = list(member_rows(thing))
    return "\n".join([*parts, table(["Member", "Meaning"], members)] if members else parts)


def default_of(entry: dataclasses.Field[Any]) -> str:
    """Return a field's default as code, or nothing where it must be given."""
    if entry.default is not dataclasses.MISSING:
        return code(default_text(entry.default))
    return code(repr(entry.default_factory())) if entry.default_factory is not dataclasses.MISSING else ""


def member_rows(thing: type) -> Iterator[list[str]]:
    """Yield a row per property and method of a class's own."""
    for name, member in vars(thing).items():
        if name.startswith("_") or isinstance(thing, EnumType):
            continue
        if isinstance(member, property):
            yield [f"`.{name}`", read_doc(member).first]
        elif inspect.isfunction(member) or isinstance(member, classmethod):
            yield [f"`.{name}()`", read_doc(getattr(member, "__func__", member)).first]


def signature_text(name: str, function: Any) -> str:
    """Return a signature with one parameter a line."""
    signature = inspect.signature(function)
    lines = [f"{name}("]
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "    *," not in lines:
            lines.append("    *,")
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is parameter.empty else f" = {default_text(parameter.default)}"
        lines.append(f"    {star}{parameter.name}: {parameter.annotation}{default},")
    text = "\n".join([*lines, f") -> {signature.return_annotation}"])
    return text if len(lines) > 2 else re.sub(r"\n *|,\n(?=\))", "", text)


def default_text(value: object) -> str:
    """Return a default as it is written in the code."""
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}()"
    if isinstance(value, Enum):
        return str(value) if isinstance(value, str) else f"{type(value).__name__}.{value.name}"
    name = getattr(value, "__name__", repr(value))
    return "..." if name == "<lambda>" else str(name)


def entry_lists(doc: Doc) -> list[str]:
    """Return a docstring's sections as lists."""
    parts = []
    for title, entries in doc.sections.items():
        lines = (f"- `{name.replace(', ', '`, `')}`: {text}" if name else f"- {text}" for name, text in entries.items())
        parts.append(f"{ {'Args': 'Arguments'}.get(title, title) }:\n\n" + "\n".join(lines) + "\n")
    return parts


# Diagnostics


def diagnostics_page() -> str:
    """Return the page of all codes, by the groups in which the code lists them."""
    parts = ["# Diagnostics\n", WORDS["introductions"]["diagnostics"]]
    for group, codes in diagnostic_groups().items():
        rows = ([f'<a id="{name}"></a>`{name}`', diagnostics.CODES[name]] for name in codes)
        parts += [f"## {group.capitalize()}\n", table(["Code", "Meaning"], rows)]
    return "\n".join(parts)


def diagnostic_groups() -> dict[str, list[str]]:
    """Return the codes under the comments that stand above them in `CODES`."""
    groups: dict[str, list[str]] = {}
    codes: list[str] = []
    source = inspect.getsource(diagnostics)
    for line in source[source.index("CODES: ") :].split("\n}\n")[0].split("\n")[1:]:
        if match := re.match(r"    # (.+)", line):
            codes = groups.setdefault(match[1], [])
        elif match := re.match(r'    "([\w-]+)":', line):
            codes.append(match[1])
    assert sorted(diagnostics.CODES) == sorted(name for names in groups.values() for name in names)
    return groups


# Files


def files_page() -> str:
    """Return the page of the files that Kanoe writes."""
    words = WORDS["introductions"]
    files, facts = held("run-files", FILES), held("run-facts", run_facts())
    folders = ("working", "input")
    parts = ["# Files\n", words["files"], "## A run's folder\n"]
    parts.append(table(["Name", "What it is"], ([f"`{name}{'/' * (name in folders)}`", files[name]] for name in FILES)))
    parts += ["## run.json\n", table(["Key", "Meaning"], ([f"`{name}`", text] for name, text in facts.items()))]
    parts += ["## events.jsonl\n", words["events"], *map(event_section, event_kinds())]
    parts += ["## log.json\n", f"{indented_as_code(module_doc('kanoe.back.kaggle_log'))}\n"]
    parts += [
        "## The lock\n",
        words["lock"],
        f"```toml\n{lock_file.dumps(sample_lock(), 'titanic.ipynb')}```\n",
        lock_tables(),
    ]
    rooms = ((name, member) for name, member in vars(Store).items() if isinstance(member, property))
    parts += ["## The store\n", words["store"], table(["Name", "What it is"], (room_row(*room) for room in rooms))]
    return "\n".join(parts)


def run_facts() -> set[str]:
    """Return the keys that the code puts into `run.json`."""
    keys: set[str] = set()
    for path in (SOURCES / "verbs" / "run.py", SOURCES / "back" / "run_folder.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Subscript) and is_facts(target.value) and isinstance(target.slice, ast.Constant):
                keys.add(str(target.slice.value))
            elif isinstance(value, ast.Dict) and is_facts(target):
                keys |= {str(key.value) for key in value.keys if isinstance(key, ast.Constant)}
    return keys


def is_facts(node: object) -> bool:
    """Return whether an expression is a run's facts."""
    return getattr(node, "attr", None) == "facts" or getattr(node, "id", None) == "facts"


def event_kinds() -> list[type[events.Event]]:
    """Return every kind of event, in the order of the code."""
    kinds = (one for one in vars(events).values() if inspect.isclass(one) and issubclass(one, events.Event))
    return [one for one in kinds if one.kind]


def event_section(kind: type[events.Event]) -> str:
    """Return the section of one kind of event."""
    said = {**WORDS["event-fields"], **meanings(kind)}
    fields = (one for one in dataclasses.fields(kind) if one.name != "time")
    rows = ([f"`{one.name}`", code(one.type), said[one.name]] for one in fields)
    return f"### `{kind.kind}`\n\n{read_doc(kind).first}\n\n{table(['Field', 'Type', 'Meaning'], rows)}"


def module_doc(name: str) -> str:
    """Return a module's docstring."""
    return inspect.getdoc(importlib.import_module(name)) or ""


def indented_as_code(text: str) -> str:
    """Return Markdown with its indented blocks fenced."""
    return re.sub(
        r"((?:^    .*\n)+)", lambda block: f"```text\n{inspect.cleandoc(block[1])}\n```\n", text, flags=re.MULTILINE
    )


def lock_tables() -> str:
    """Return the tables of a lock's keys, held against a lock with one of everything."""
    content = tomllib.loads(lock_file.dumps(sample_lock(everything=True)))
    kinds = {"requirement": needs.Requirement, "skipped": lock.Skipped, "moved": lock.Moved}
    kinds["distribution"] = lock.Distribution
    listed = {kind: {key for row in content.pop(kind) for key in row} for kind in kinds}
    heads = held("lock-head", content)
    parts = [table(["Key", "Meaning"], ([f"`{key}`", text] for key, text in heads.items()))]
    for kind, keys in listed.items():
        said = {**WORDS.get(f"lock-{kind}", {}), **meanings(kinds[kind])}
        order = [*(key for key in said if key in keys), *sorted(keys - set(said))]
        rows = ([f"`{key}`", said[key]] for key in order)
        parts.append(f"### {kind}\n\n{read_doc(kinds[kind]).first}\n\n{table(['Key', 'Meaning'], rows)}")
    return "\n".join(parts)


def sample_lock(*, everything: bool = False) -> lock.Lock:
    """Return a small lock, for the eye or with a value for every key."""
    pandas = needs.Requirement("pandas", "<2,>=1.5", why=("imported by cells 0 and 3",), modules=("pandas",))
    numpy, first = (f"sha256:{'0' * 63}{digit}" for digit in "12")
    link = "https://example.org/toy-1.0-py3-none-any.whl"
    toy = needs.Requirement("toy", url=link, why=("--with",), optional=everything, guessed=everything)
    return lock.Lock(
        python="3.11",
        platform="linux-x86_64",
        as_of="2023-06-01",
        accelerator="cpu",
        requirements=(pandas, toy) if everything else (pandas,),
        distributions=(
            lock.Distribution("numpy", "1.25.0", ("needed by pandas",), (numpy,), size=17300000),
            lock.Distribution("pandas", "1.5.3", pandas.why, (first,), size=12000000),
            *([lock.Distribution("toy", "1.0", toy.why, url=link)] if everything else []),
        ),
        skipped=(lock.Skipped("cudf", ("imported by cell 1",), "the registry has no distribution `cudf`"),),
        moved=(
            lock.Moved(
                "numpy", "2023-06-18T00:00:00Z", "the set needs numpy>=1.25, and the first such release is 1.25.0"
            ),
        ),
    )


def room_row(name: str, member: property) -> list[str]:
    """Return the row of a room or file of the store."""
    files = {"records": "records.sqlite", "contents": "inputs/contents.sqlite", "traces": "traces.sqlite"}
    return [f"`{files.get(name, f'{name}/')}`", read_doc(member).first]


PAGES = {"cli.md": cli_page, "python.md": python_page, "diagnostics.md": diagnostics_page, "files.md": files_page}


def stale_pages() -> Iterator[tuple[Path, str, str]]:
    """Yield each page that is not what the code says: its path, its text, and what its text should be."""
    for name, make in PAGES.items():
        path, text = FOLDER / name, f"{MADE}\n{make().rstrip()}\n"
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        if present != text:
            yield path, present, text


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` say which are stale."""
    stale = list(stale_pages())
    for path, present, text in stale:
        if "--check" in arguments:
            names = (path.name, f"{path.name} as the code says")
            print("\n".join([*difflib.unified_diff(present.split("\n"), text.split("\n"), *names, lineterm="")][:40]))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        print("The reference is stale: run `.venv/bin/python scripts/reference.py`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
