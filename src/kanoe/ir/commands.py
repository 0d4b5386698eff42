"""Shell command lines that cells hold, and the installs that stand in them.

Read tolerantly, as an author meant them: in `pip install pandas>=1.0` the shell sees a redirection, the author a
version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

InstallTool = Literal["pip", "conda", "uv"]


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """A command line, or a whole script, that a cell hands to the shell.

    Args:
        command: the text, without the escape characters; lines continued with a backslash are joined.
        line: where it begins in the cell, counted from 1.
    """

    command: str
    line: int


@dataclass(frozen=True, slots=True)
class Install:
    """One command that installs distributions.

    Args:
        tool: `pip`, `uv` (which speaks pip's language) or `conda` (and its relatives).
        line: where it begins in the cell, counted from 1.
        requirements: PEP 508 texts for `pip` and `uv`; conda's own match specifications (`numpy=1.19`) for `conda`.
        files: requirements files (`-r`, conda's `--file`).
        constraints: constraints files (`-c`).
        links: direct references without a name: `git+https://...`, `https://.../x.whl`.
        paths: files and folders of this machine.
        unknown: arguments that say nothing before the cell runs, such as `{package}` or `$NAME`.
        upgrade: whether newer versions were asked for (`-U`).
    """

    tool: InstallTool
    line: int
    requirements: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    upgrade: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LONGEST = 50_000  # characters of a command that are read

_PART = re.compile(
    r"""(?P<blank>(?:[ \t\r\f]|\\\n)+)
      | (?P<comment>\#[^\n]*)
      | (?P<stop>\n|;|\|[|&]?|&&|&(?!>)|[()])
      | (?P<word>(?: "(?:[^"\\]|\\.)*" | '[^']*' | \\. | [0-9]*>&[0-9-]? | &> | [^\s"'\\;|&()] | ["'\\])+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r""""((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)""", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?$|[{$]*sys\.executable\}*$")
_PIP = re.compile(r"pip[\d.]*(?:\.exe)?$")
_REDIRECTION = re.compile(r"(?:\d*|&)(?:>>?|<)(?:&\S*)?(?P<target>.*)$")
_COMPARISON = re.compile(r"(?:===|==|~=|!=|<=|>=|<(?=\d))")  # nobody reads from a file named `2.0`
_LINK = re.compile(r"(?:git|hg|svn|bzr)\+|(?:https?|ftp|file|ssh)://|git@")
_ARCHIVE = re.compile(r"\.(?:whl|zip|tar|tgz|tar\.gz|tar\.bz2|tar\.xz)(?:\[[^\]]*\])?$")
_REQUIREMENT = re.compile(
    r"""[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?       # name
        \s*(?:\[[A-Za-z0-9._,\s-]*\])?                    # extras
        \s*(?:@\s*\S+                                     # direct reference, or versions
           |\(?\s*(?:(?:===|==|~=|!=|<=|>=|<|>)\s*v?[0-9][A-Za-z0-9.*+!_-]*\s*,?\s*)*\)?)
        \s*(?:;.*)?$""",
    re.VERBOSE | re.DOTALL,
)
_NAME_AND_EXTRAS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[^\]]*\])?(?=[<>=!~])")

_PREFIXES = frozenset(
    {"sudo", "-H", "-E", "-m", "time", "nohup", "exec", "command", "env", "then", "do", "else", "!", "{", "if"}
)
_CONDA = frozenset({"conda", "mamba", "micromamba"})
_PIP_LETTERS = frozenset("recitfbCp")  # short options that take a value
_CONDA_LETTERS = frozenset("cnp")
_PIP_VALUES = _words(
    """--requirement --constraint --editable --index-url --extra-index-url --default-index --index --find-links --target
    --prefix --root --src --build --platform --python-version --implementation --abi --python --proxy --retries
    --timeout
    --exists-action --trusted-host --cert --client-cert --cache-dir --log --progress-bar --report --group
    --upgrade-strategy --upgrade-package --only-binary --no-binary --use-feature --use-deprecated --global-option
    --install-option --build-option --config-settings --config-setting --root-user-action --exclude-newer
    --index-strategy --keyring-provider --link-mode --prerelease --resolution --override --overrides --torch-backend
    --reinstall-package --extra --no-build-package --no-binary-package --refresh-package --config-file --directory
    --project"""
)
_CONDA_VALUES = _words("--channel --name --prefix --file --solver --experimental-solver --repodata-fn --subdir")
_KINDS = {"r": "files", "c": "constraints", "e": "editable", "U": "upgrade"}
_LONG_KINDS = {
    "--requirement": "files",
    "--file": "files",
    "--constraint": "constraints",
    "--editable": "editable",
    "--upgrade": "upgrade",
}


def find_installs(command: str, line: int) -> tuple[Install, ...]:
    """Return the installs of a command line or shell script, in their order.

    Understood: `pip`, `python -m pip`, `uv pip`, `uv add`, `conda`, `mamba`; chains (`&&`, `;`, `|`), comments, quotes,
    continued lines, redirections, `sudo` and variables before the program.

    Args:
        command: the text as it stands in the cell, backslash-newlines included.
        line: where it begins, counted from 1.
    """
    if "install" not in command and "add" not in command:
        return ()
    found = (_read_install(words, start) for start, words in _split(command[:_LONGEST], line))
    return tuple(install for install in found if install is not None)


def _split(command: str, line: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the simple commands, each with its line and its words (quotes removed)."""
    words: list[str] = []
    start = line
    for part in _PART.finditer(command):
        kind, text = part.lastgroup, part.group()
        if kind == "word":
            if not words:
                start = line
            words.append(_QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or quoted[3] or "", text))
        elif kind == "stop":
            if words:
                yield start, words
            words = []
        line += text.count("\n")
    if words:
        yield start, words


def _read_install(words: list[str], line: int) -> Install | None:
    tool, arguments = _find_tool(words)
    if tool is None:
        return None
    letters, values = (_CONDA_LETTERS, _CONDA_VALUES) if tool == "conda" else (_PIP_LETTERS, _PIP_VALUES)
    begin = _skip_options(arguments, letters, values)
    if begin >= len(arguments) or arguments[begin] not in {"install", "add"}:
        return None
    options, plain = _split_options(arguments[begin + 1 :], letters, values)
    kinds = _LONG_KINDS if tool != "conda" else {"--file": "files"}
    named: dict[str, list[str]] = {"files": [], "constraints": [], "editable": [], "upgrade": []}
    for option, value in options:
        kind = kinds.get(option) or (_KINDS.get(option[1:]) if tool != "conda" else None)
        if kind:
            named[kind].append(value)
    requirements, links, paths, unknown = _sort_arguments([*plain, *named["editable"]], conda=tool == "conda")
    return Install(
        tool=tool,
        line=line,
        requirements=tuple(requirements),
        files=tuple(named["files"]),
        constraints=tuple(named["constraints"]),
        links=tuple(links),
        paths=tuple(paths),
        unknown=tuple(unknown),
        upgrade=bool(named["upgrade"]),
    )


def _find_tool(words: list[str]) -> tuple[InstallTool | None, list[str]]:
    """Return the installing program and its arguments; `None` where it is another program."""
    index = 0
    while index < len(words) and (words[index] in _PREFIXES or _ASSIGNMENT.match(words[index])):
        index += 1
    if index >= len(words):
        return None, []
    program, rest = _base_name(words[index]), words[index + 1 :]
    if _PYTHON.match(program):
        if "-m" not in rest[:-1]:
            return None, []
        module = rest.index("-m") + 1
        program, rest = rest[module], rest[module + 1 :]
    if program == "uv":
        if rest[:1] == ["pip"]:
            return "uv", rest[1:]
        return ("uv", rest) if rest[:1] == ["add"] else (None, [])
    if program in _CONDA:
        return "conda", rest
    return ("pip", rest) if _PIP.match(program) else (None, [])


def _base_name(program: str) -> str:
    return program if program[:1] in "{$" else program.rsplit("/", 1)[-1]


def _skip_options(arguments: Sequence[str], letters: frozenset[str], values: frozenset[str]) -> int:
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        index += 2 if arguments[index] in values or arguments[index][1:] in letters else 1
    return index


def _split_options(
    arguments: Sequence[str], letters: frozenset[str], values: frozenset[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options with their values (empty for flags) and the other words; redirections are left out."""
    options: list[tuple[str, str]] = []
    plain: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            options.append((option, value if equals or option not in values else next(words, "")))
        elif word.startswith("-") and len(word) > 1:
            for index, letter in enumerate(word[1:], start=2):
                if letter in letters:
                    options.append((f"-{letter}", word[index:].removeprefix("=") or next(words, "")))
                    break
                options.append((f"-{letter}", ""))
        elif not _COMPARISON.match(word) and (redirection := _REDIRECTION.match(word)):
            if not redirection["target"] and "&" not in word[1:]:
                next(words, None)
        else:
            plain.append(word)
    return options, plain


def _sort_arguments(words: Sequence[str], *, conda: bool) -> tuple[list[str], list[str], list[str], list[str]]:
    """Tell requirements, links, paths and what cannot be known apart."""
    requirements: list[str] = []
    links: list[str] = []
    paths: list[str] = []
    unknown: list[str] = []
    for word in _join_comparisons(words):
        if not word:
            continue
        word = " ".join(word.split())  # noqa: PLW2901
        if _LINK.match(word):
            links.append(word)
        elif "$" in word or ("{" in word and "}" in word):
            name = _NAME_AND_EXTRAS.match(word)  # `torch=={version}`
            (requirements.append(name.group()) if name else unknown.append(word))
        elif conda:
            requirements.append(word)
        elif _is_path(word):
            paths.append(word)
        elif _REQUIREMENT.match(word):
            requirements.append(word)
        elif (name := _NAME_AND_EXTRAS.match(word)) is not None:
            requirements.append(name.group())  # `foo>log.txt`: a redirection after all
        else:
            unknown.append(word)
    return requirements, links, paths, unknown


def _is_path(word: str) -> bool:
    if word[0] in "./~":
        return True
    head = re.split(r"[<>=!~;@\s]", word, maxsplit=1)[0]
    return "/" in head or "\\" in head or ("@" not in word and _ARCHIVE.search(word) is not None)


def _join_comparisons(words: Sequence[str]) -> list[str]:
    """Join `pandas == 1.0` and `pandas >=1.0, <2`, and drop commas that lists in the Python manner leave."""
    joined: list[str] = []
    for word in words:
        if joined and (_COMPARISON.match(word) or word == "@" or joined[-1].endswith(("=", "<", ">", "@"))):
            joined[-1] += word
        else:
            joined.append(word)
    return [word.rstrip(",") for word in joined]
