"""A cell's source as IPython understands it: valid Python with the special syntax masked, its tree, what was masked.

The rules are those of IPython 7 to 9 (`IPython.core.inputtransformer2`, and the automagic of single-line cells in
`IPython.core.prefilter`). Nothing is executed, and no input raises: what does not parse is a value.

The mask keeps every line, and every column of what stays Python:

    %matplotlib inline          pass
    files = !ls ../input        files = None
    %time model.fit(x)          if 1: model.fit(x)
    frame?                      frame
    %%bash                      (blank, and so is the body)

Columns move only where IPython itself takes something away in front: a common indentation, or prompts (`>>>`,
`In [1]:`); and in `%time for ...`, where no prefix can stand before a compound statement.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from kanoe.ir.commands import Install, ShellCommand, find_installs


@dataclass(frozen=True, slots=True)
class Magic:
    """One use of a magic, written `%name`, `%%name`, `x = %name`, `x?`, or bare (automagic).

    Args:
        name: without percent signs; `pinfo`, `pinfo2` or `psearch` for help.
        arguments: the rest of the line.
        line: where it begins in the cell, counted from 1.
        cell: whether it is a cell magic.
        body: a cell magic's lines below the first; `None` for line magics.
    """

    name: str
    arguments: str
    line: int
    cell: bool = False
    body: str | None = None


@dataclass(frozen=True, slots=True)
class SyntaxFault:
    """Why a cell does not parse; `line` is counted from 1, `None` where nobody knows."""

    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CellCode:
    """The code of one cell.

    Args:
        source: the text as given.
        python: the text with IPython's syntax masked; line ends are `\\n`.
        tree: the abstract syntax tree of `python`, or `None` where it does not parse. Shared: not to be changed.
        error: why it does not parse, or `None`.
        magics: in the order of their lines.
        shell: what goes to a shell, in the order of lines: `!x`, `!!x`, `y = !x`, `%sx`, bodies of `%%bash`,
            `get_ipython().system('x')`.
        installs: the installs among them, `%pip`, bare `pip install`, those of `os.system` and `subprocess`, and those
            in lines of a cell that does not parse.
    """

    source: str
    python: str
    tree: ast.Module | None = field(compare=False, repr=False)
    error: SyntaxFault | None = None
    magics: tuple[Magic, ...] = ()
    shell: tuple[ShellCommand, ...] = ()
    installs: tuple[Install, ...] = ()


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NESTING = 8  # how deep `%time %time ...` is followed
_ESCAPES = "%!?,;/"
_BLANK_HEAD = re.compile(r"(?:[ \t]*[\n\f])*")
_INDENT = re.compile(r"[ \t\f]*")
_COMMAND = re.compile(r"[^\n]*(?:(?<=\\)\n[^\n]*)*")
_CLASSIC_PROMPT = re.compile(r"^[ \t]*(?:>>>|\.\.\.)[ \t]?", re.MULTILINE)
_NUMBERED_PROMPT = re.compile(r"(?:(?:\[(?:nav|ins)\])? )?In \[\d+\]: |\s*\.{3,}: ?")
_PIECE = re.compile(
    r'''\#[^\n]*                                        # comment
      | """|\'\'\'                                      # beginning of a long string
      | "[^"\\\n]*(?:\\.[^"\\\n]*)*"                    # short strings
      | '[^'\\\n]*(?:\\.[^'\\\n]*)*'
      | \\.                                             # continuation
      | [()\[\]{}\n]
      | (?:\*\*|//|>>|<<|[-+*/%&|^@:!<>=])=             # not assignments
      | =''',
    re.VERBOSE | re.DOTALL,
)
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_SPECIAL_VALUE = re.compile(r"[ \t]*(!|%[ \t]*[^\W\d])")
_HELP = re.compile(r"(%{0,2}(?:[^\W\d]|\*)[\w*]*(?:\.(?:[^\W\d]|\*)[\w*]*|\[-?\d+\])*)(\?\??)$")
_MAGIC = re.compile(r"%{0,2}[ \t]*(?P<name>\S*)[ \t]*")
_CELL_MAGIC = re.compile(r"%%(?P<name>\S*)[ \t]*(?P<arguments>[^\n]*)(?:\n(?P<body>.*))?", re.DOTALL)
_CELL_MAGIC_HELP = re.compile(r"%%\w+\?")
_AUTOMAGIC = re.compile(r"(?P<name>[^\W\d]\w*)[ \t]+(?P<arguments>[^\s=,].*)$")
_BARE_INSTALL = re.compile(r"(?:pip[\d.]*|conda|mamba|micromamba|uv)[ \t]+(?:pip[ \t]+)?install\b")
_OPTION = re.compile(r"-(?:-\S*|[A-Za-z]\S*)[ \t]*")
_WORD = re.compile(r"\S*[ \t]*")
_SHELL_PROGRAM = re.compile(r"(?:^|[\s/])(?:ba|z|da|k)?sh\b")

# The options, among those of each, that take a value.
_STATEMENT_MAGICS = {
    "time": "",
    "timeit": "nrp",
    "prun": "lsTD",
    "memit": "rti",
    "lprun": "fmDTsu",
    "mprun": "fT",
    "snakeviz": "",
    "pyinstrument": "",
}
_STATEMENT_CELL_MAGICS = _words(
    """time timeit capture prun memit lprun mprun snakeviz pyinstrument debug code_wrap heat notify autonotify
    cudf.pandas.profile cudf.pandas.line_profile"""
)
_COMPOUND = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If | ast.For | ast.AsyncFor | ast.While
    | ast.With | ast.AsyncWith | ast.Try | ast.TryStar | ast.Match
)  # fmt: skip
_SHELL_MAGICS = frozenset({"sx", "system", "sc"})
_SHELL_CELL_MAGICS = frozenset({"bash", "sh", "sx", "system"})
_ALIASES = _words("cat cp ldir lf lk ll ls lx mkdir mv rm rmdir")
_INSTALLERS = frozenset({"pip", "conda", "mamba", "micromamba", "uv"})
_MAGICS = (  # the line magics that a fresh ipykernel knows
    _words(
        """alias alias_magic autoawait autocall automagic autosave bookmark cd clear code_wrap colors config
        connect_info debug dhist dirs doctest_mode ed edit env gui hist history killbgscripts less load load_ext
        loadpy logoff logon logstart logstate logstop lsmagic macro magic man matplotlib more notebook page pastebin
        pdb pdef pdoc pfile pinfo pinfo2 popd pprint precision prun psearch psource pushd pwd pycat pylab qtconsole
        quickref recall rehashx reload_ext rep rerun reset reset_selective run save set_env store tb time timeit
        unalias unload_ext who who_ls whos xdel xmode"""
    )
    | _SHELL_MAGICS
    | _ALIASES
    | _INSTALLERS
)


@functools.lru_cache(maxsize=1024)  # several parts of a run ask for the same cells
def parse_cell(source: str) -> CellCode:
    """Return the code of a cell, understood as IPython understands it; never raises for any text.

    A byte order mark in front is left out. A cell in another language, or in Python 2, has an `error`; its magics,
    commands and installs are found all the same.
    """
    text = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    masked, masker = text, _Masker()
    outcome = SyntaxFault("prompt") if _has_numbered_prompt(text) else _parse(text)
    automagic = _find_automagic(text, parsed=isinstance(outcome, ast.Module))
    if automagic is not None or isinstance(outcome, SyntaxFault):
        masked = masker.mask_automagic(text, automagic) if automagic else masker.mask_cell(text, 1)
        outcome = _parse(masked)
    if isinstance(outcome, SyntaxFault):
        masker.read_bare_installs(masked)
    elif "get_ipython" in masked or "os.system" in masked or "subprocess" in masked:
        masker.read_calls(outcome)
    return CellCode(
        source=source,
        python=masked,
        tree=None if isinstance(outcome, SyntaxFault) else outcome,
        error=outcome if isinstance(outcome, SyntaxFault) else None,
        magics=tuple(sorted(masker.magics, key=lambda magic: magic.line)),
        shell=tuple(sorted(masker.shell, key=lambda command: command.line)),
        installs=tuple(sorted(masker.installs, key=lambda install: install.line)),
    )


def logical_lines(python: str) -> Iterator[tuple[int, str]]:
    """Yield each logical line (brackets, strings and backslashes carry it over line ends) with its number from 1.

    Works on text that does not parse; blank lines and comments are left out.
    """
    position, line = 0, 1
    while position < len(python):
        first = _end(_INDENT, python, position)
        end, _ = _read_logical_line(python, first)
        text = python[position:end]
        if first < end and python[first] != "#":
            yield line, text
        line += text.count("\n") + 1
        position = end + 1


def _parse(text: str) -> ast.Module | SyntaxFault:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as fault:
        return SyntaxFault(fault.msg or "invalid syntax", fault.lineno)
    except (RecursionError, MemoryError):
        return SyntaxFault("the code is nested too deeply")
    except ValueError as fault:  # null bytes; lone surrogates
        return SyntaxFault(str(fault))


def _has_numbered_prompt(text: str) -> bool:
    # `In [1]: x` is valid Python, an annotation.
    if "In [" not in text and "...:" not in text:
        return False
    lines = text[_end(_BLANK_HEAD, text) :].split("\n", 2)[:2]
    return any(_NUMBERED_PROMPT.match(line) for line in lines)


def _find_automagic(text: str, *, parsed: bool) -> re.Match[str] | None:
    """Return the bare magic that a single-line cell is; IPython looks for none in longer cells."""
    line = text.strip() if text.count("\n", len(text) - len(text.lstrip())) <= text.endswith("\n") else ""
    match = _AUTOMAGIC.match(line)
    if match is None or match["name"] not in _MAGICS:
        return None
    # `ls -l` is a subtraction for Python, and a command for IPython.
    return match if not parsed or (match["name"] in _ALIASES and match["arguments"].startswith("-")) else None


def _read_logical_line(text: str, start: int) -> tuple[int, int | None]:
    """Return where the logical line ends (its newline), and where a `!` or `%` follows its first assignment sign."""
    depth, position, assigned = 0, start, False
    while match := _PIECE.search(text, position):
        piece, position = match.group(), match.end()
        if piece == "\n":
            if depth == 0:
                return match.start(), None
        elif piece in _BRACKETS:
            depth = max(0, depth + _BRACKETS[piece])
        elif piece in {'"""', "'''"}:
            position = _string_end(text, position, piece)
        elif piece == "=" and depth == 0 and not assigned:
            assigned = True
            if special := _SPECIAL_VALUE.match(text, position):
                return _end(_COMMAND, text, special.start(1)), special.start(1)
    return len(text), None


def _string_end(text: str, position: int, quotes: str) -> int:
    while (found := text.find(quotes, position)) >= 0:
        backslashes = found
        while backslashes > position and text[backslashes - 1] == "\\":
            backslashes -= 1
        if (found - backslashes) % 2 == 0:
            return found + 3
        position = found + 1
    return len(text)


class _Prompted(Exception):  # noqa: N818 - not an error: `>>>` stands where a statement begins
    pass


class _Masker:
    """Masks IPython's syntax and keeps what it masked. Lines are numbered as in the whole cell."""

    def __init__(self) -> None:
        self.magics: list[Magic] = []
        self.shell: list[ShellCommand] = []
        self.installs: list[Install] = []

    def mask_cell(self, text: str, line: int, depth: int = 0) -> str:
        """Return a cell's text, or the body of a magic that runs one, as Python."""
        start = _end(_BLANK_HEAD, text)
        if text[start : start + 1] in {" ", "\t"}:
            text = text[:start] + textwrap.dedent(text[start:])
        if _has_numbered_prompt(text):
            text = "\n".join(_NUMBERED_PROMPT.sub("", part, count=1) for part in text.split("\n"))
        start = _end(_BLANK_HEAD, text)
        first_line = line + text.count("\n", 0, start)
        if text.startswith("%%", start) and not _CELL_MAGIC_HELP.match(text, start):
            return text[:start] + self._mask_cell_magic(text[start:], first_line, depth)
        found = len(self.magics), len(self.shell), len(self.installs)
        try:
            return text[:start] + self._mask_lines(text[start:], first_line, depth)
        except _Prompted:
            del self.magics[found[0] :], self.shell[found[1] :], self.installs[found[2] :]
            return self.mask_cell(textwrap.dedent(_CLASSIC_PROMPT.sub("", text)), line, depth + _NESTING // 2)

    def mask_automagic(self, text: str, match: re.Match[str]) -> str:
        """Return a single-line cell that is a bare magic, masked."""
        line = 1 + text.count("\n", 0, len(text) - len(text.lstrip()))
        return "\n" * (line - 1) + self._mask_magic(match.string, line, 0) + "\n" * text.endswith("\n")

    def read_bare_installs(self, masked: str) -> None:
        """Find `pip install x` among the lines of a cell that does not parse."""
        for line, text in logical_lines(masked):
            if _BARE_INSTALL.match(text.strip()):
                self.installs += find_installs(text, line)

    def read_calls(self, tree: ast.Module) -> None:
        """Find what `get_ipython()`, `os.system` and `subprocess` are asked to run, where it is written out."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                texts = [value for value in arguments if isinstance(value, str)]
                if isinstance(node.func.value, ast.Call) and len(texts) == len(node.args):
                    self._read_shell_call(node, node.func.attr, texts)
                elif isinstance(node.func.value, ast.Name) and node.func.value.id in {"os", "subprocess"}:
                    self.installs += find_installs(_command_of(node.args[0]), node.lineno)

    def _read_shell_call(self, node: ast.Call, method: str, texts: list[str]) -> None:
        function = node.func.value.func  # type: ignore[attr-defined]
        if not (isinstance(function, ast.Name) and function.id == "get_ipython"):
            return
        line = node.lineno
        if method in {"system", "getoutput", "system_piped", "system_raw"}:
            self._keep_command(texts[0], texts[0], line)
        elif method in {"run_line_magic", "magic", "line_magic"}:
            self._mask_magic("%" + " ".join(texts), line, 1)
        elif method in {"run_cell_magic", "cell_magic"} and len(texts) == 3:
            name, arguments, body = texts
            self._mask_cell_magic(f"%%{name} {arguments}\n{body}", line, 1)

    def _keep_command(self, command: str, raw: str, line: int) -> None:
        self.shell.append(ShellCommand(command.strip(), line))
        self.installs += find_installs(raw, line)

    def _mask_lines(self, text: str, line: int, depth: int) -> str:
        pieces: list[str] = []
        position = 0
        while position < len(text):
            first = _end(_INDENT, text, position)
            if first < len(text) and text[first] in _ESCAPES:
                end = _end(_COMMAND, text, first)
                piece = text[position:first] + self._mask_escape(text[first:end], line, depth)
            else:
                if text.startswith(">>>", first) and depth < _NESTING:
                    raise _Prompted
                end, special = _read_logical_line(text, first)
                if special is not None:
                    value_line = line + text.count("\n", position, special)
                    piece = text[position:special] + self._mask_value(text[special:end], value_line)
                else:
                    piece = text[position:first] + self._mask_help(text[first:end], line)
            pieces.append(piece + text[end : end + 1])
            line += text.count("\n", position, end) + 1
            position = end + 1
        return "".join(pieces)

    def _mask_help(self, piece: str, line: int) -> str:
        """Mask `x?` and `x??`; any other text comes back as it is."""
        match = _match_help(piece)
        if match is None:
            return piece
        target, marks = match.groups()
        self._keep_help(target, marks, line)
        plain = target.isidentifier() or all(part.isidentifier() for part in target.split("."))
        return target if plain and match.start() == 0 else _blank(piece)

    def _keep_help(self, target: str, marks: str, line: int) -> None:
        name = "pinfo2" if marks == "??" else "psearch" if "*" in target else "pinfo"
        self.magics.append(Magic(name, target, line))

    def _mask_escape(self, piece: str, line: int, depth: int) -> str:
        """Mask a logical line that begins with one of IPython's characters."""
        if _match_help(piece) is not None:
            return self._mask_help(piece, line)
        if piece[0] == "!":
            self._keep_command(_join(piece).lstrip("!"), piece.lstrip("!"), line)
        elif piece[0] == "?":
            self._keep_help(_join(piece).strip("? \t"), piece[:2] if piece[:2] == "??" else "?", line)
        elif piece[0] == "%":
            return self._mask_magic(piece, line, depth)
        else:
            return _mask_call(piece)
        return _blank(piece)

    def _mask_magic(self, piece: str, line: int, depth: int) -> str:
        match = _MAGIC.match(piece)
        assert match is not None  # it matches the empty text
        name, start = match["name"], match.end()
        arguments = _join(piece[start:])
        self.magics.append(Magic(name, arguments, line))
        if name in _SHELL_MAGICS:
            self._keep_command(arguments, piece[start:], line)
        elif name in _ALIASES:
            self._keep_command(f"{name} {arguments}", "", line)
        elif name in _INSTALLERS:
            self.installs += find_installs(f"{name} {piece[start:]}", line)
        elif name in _STATEMENT_MAGICS and not piece.startswith("%%"):
            return self._reveal(piece, _skip_options(piece, start, name), line, depth)
        return _blank(piece)

    def _mask_value(self, piece: str, line: int) -> str:
        """Mask the `!command` or `%magic` that a name is assigned to."""
        if piece[0] == "!":
            self._keep_command(_join(piece[1:]), piece[1:], line)
            return "None" + "\n" * piece.count("\n")
        self._mask_magic(piece, line, _NESTING)
        match = _MAGIC.match(piece)
        if match is not None and match["name"] in _STATEMENT_MAGICS:
            start = _skip_options(piece, match.end(), match["name"])
            tree = _parse(piece[start:])
            if isinstance(tree, ast.Module) and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
                return " " * start + piece[start:]
        return "None" + "\n" * piece.count("\n")

    def _mask_cell_magic(self, text: str, line: int, depth: int) -> str:
        match = _CELL_MAGIC.match(text)
        assert match is not None  # the caller saw the percent signs
        name, arguments, body = match["name"], match["arguments"].strip(), match["body"] or ""
        self.magics.append(Magic(name, arguments, line, cell=True, body=body))
        if (
            name in _SHELL_CELL_MAGICS
            or name.startswith("!")
            or (name == "script" and _SHELL_PROGRAM.search(arguments))
        ):
            first = f"{name[1:]} {arguments}".strip() if name.startswith("!") else arguments
            takes_first = bool(first) and (name.startswith("!") or name in _SHELL_MAGICS)
            script, start = (f"{first}\n{body}", line) if takes_first else (body, line + 1)
            self._keep_command(script, script, start)
        elif name in _STATEMENT_CELL_MAGICS and depth < _NESTING:
            head = ""
            if name in {"timeit", "prun"} and arguments:
                first_line = text.partition("\n")[0]
                head = self._reveal(first_line, _skip_options(first_line, match.start("arguments"), name), line, depth)
                head = "" if head == "pass" else head
            return head + ("\n" + self.mask_cell(body, line + 1, depth + 1) if "\n" in text else "")
        return "\n" * text.count("\n")

    def _reveal(self, piece: str, start: int, line: int, depth: int) -> str:
        """Show the statement that a magic runs, at its own columns: `if 1:` fits in front of any but compound ones."""
        if depth >= _NESTING:
            return _blank(piece)
        masked = self._mask_lines(piece[start:], line, depth + 1)
        tree = _parse(masked)
        if isinstance(tree, SyntaxFault) or not tree.body or "\n" in piece[:start]:
            return _blank(piece)
        if isinstance(tree.body[0], _COMPOUND) or start < len("if 1:"):
            return masked
        return "if 1:".ljust(start) + masked


def _end(pattern: re.Pattern[str], text: str, position: int = 0) -> int:
    """Return where the match of a pattern ends that matches anywhere, if only the empty text."""
    match = pattern.match(text, position)
    return match.end() if match else position


def _blank(piece: str) -> str:
    return "pass" + "\n" * piece.count("\n")


def _join(piece: str) -> str:
    """Return the one line that backslashes make of several."""
    return " ".join(piece.split("\\\n")).strip()


def _match_help(piece: str) -> re.Match[str] | None:
    text = piece.rstrip(" \t\f\n")
    if not text.endswith("?") or _ends_in_text(text):
        return None
    return _HELP.search(text, max(0, len(text) - 200))  # from further back the search could take forever


def _ends_in_text(line: str) -> bool:
    """Return whether the last character stands in a comment or a string."""
    position = 0
    while match := _PIECE.search(line, position):
        position = _string_end(line, match.end(), match.group()) if match.group() in {'"""', "'''"} else match.end()
    return position == len(line)


def _mask_call(piece: str) -> str:
    """Mask `/f a b` (a call), `,f a b` and `;f a b` (calls with text), keeping the columns of the names."""
    name, _, arguments = piece[1:].partition(" ")
    if not name and piece[0] != "/":
        return _blank(piece)
    if "\n" in piece or not all(part.isidentifier() for part in name.split(".")):
        return piece
    values = re.sub(r"(?<=\S) +(?=\S)", lambda blanks: ",".ljust(len(blanks.group())), arguments)
    call = f"+{name}({values})" if piece[0] == "/" else f"+{name}()"
    return piece if isinstance(_parse(call), SyntaxFault) else call


def _skip_options(piece: str, start: int, name: str) -> int:
    """Return where the statement begins that a magic runs, behind its options."""
    valued = _STATEMENT_MAGICS.get(name, "")
    while match := _OPTION.match(piece, start):
        start = match.end()
        word = match.group().strip()
        letters = "" if word.startswith("--") else word[1:]
        index = next((index for index, letter in enumerate(letters) if letter in valued), None)
        if index is not None and index == len(letters) - 1:
            start = _end(_WORD, piece, start)
    return start


def _command_of(node: ast.expr) -> str:
    """Return the command line that a call's first argument is, a text or a list of them; empty where nobody knows."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        words = [_word_of(element) for element in node.elts]
        return " ".join("'" + word.replace("'", "") + "'" for word in words)
    return ""


def _word_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    is_python = isinstance(node, ast.Attribute) and node.attr == "executable"
    return "python" if is_python else "{}"
