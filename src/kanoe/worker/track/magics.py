"""Turns a cell in IPython's language into Python, and says what its magics read."""

import keyword
import re

from kanoe_worker.track import bytecode
from kanoe_worker.track.plain import __builtins__  # noqa: F401

# Magics that look at no name but those in braces or after a dollar in their line.
_QUIET = frozenset(
    "alias alias_magic automagic autocall autoreload autosave bash bookmark cat cd clear colors conda config connect_info cp"
    " cython dhist dirs doctest_mode env file gui html HTML javascript js killbgscripts latex ldir less lf lk ll"
    " load_ext logoff logon logstart logstate logstop ls lsmagic lx magic mamba man markdown matplotlib micromamba mkdir more mv"
    " perl pdb pip popd pprint precision profile pushd pwd py pypy python python2 python3 pylab qtconsole quickref"
    " rehashx reload_ext rm rmdir ruby sc script set_env sh subshell svg SVG sx system tb tensorflow_version unalias unload_ext"
    " uv writefile xmode ! !!".split()
)
# These look at the text of cells, by their numbers: `%save f 1-3`; a word may name a variable that holds a text or a Macro.
_HISTORY = frozenset("edit hist history load macro pastebin recall rep rerun save".split())
_RUNS_HISTORY = frozenset(["edit", "rerun"])
# These look at the folders where the notebook has been, and add to them.
_FOLDERS = {name: ["_dh"] for name in ("bookmark", "cd", "dhist", "popd", "pushd")}
_LAST_ERROR = frozenset(["debug", "tb"])
_BINDING = frozenset(
    ["pylab", "cython", "sc", "bash", "sh", "script", "perl", "ruby", "python", "python2", "python3", "pypy"]
)
_CODE = frozenset(["time", "timeit", "prun", "capture"])
_NAMES = frozenset(["pinfo", "pinfo2", "pdoc", "psource", "pfile", "pdef", "page", "config", "store", "xdel"])
_WORD = re.compile(r"[^\W\d]\w*")
# A word that no attribute and no assignment follows.
_FIRST_WORD = re.compile(r"([^\W\d]\w*)(?![.\w])[ \t]*(?![=,\s])(.*)$")
_WORDS = re.compile(r"[-\w'\"]")
_CELL_MAGIC = re.compile(r"\s*%%(\S+)[ \t]*(.*)\n?((?:.|\n)*)")
_LINE = re.compile(r"^(?P<indent>\s*)(?P<target>[\w.,\s\[\]'\"]*?=\s*)?(?P<mark>%|!!?)(?P<rest>\S.*)$")
_HELP = re.compile(r"^\s*(?:\?{1,2}\s*(?P<after>[%\w.*]+)|(?P<before>[%\w.*]+)\s*\?{1,2})\s*$")


def python_of(source, shell):
    """Return the Python that the shell makes of a cell, but for magics without their sign, which depend on the names there are.

    It takes its time: IPython reads a cell again for each of its magics.
    """
    return shell.input_transformer_manager.transform_cell(source)


def without_sign(source, shell, is_python):
    """Return what a cell of one line is if there is no name like its first word: that word and the magic's call; or None.

    Args:
        source: the cell.
        shell: IPython's.
        is_python: whether it could also be Python. What is neither that nor a known magic may be one yet to come.
    """
    match = _FIRST_WORD.match(source.strip())
    if match is None or keyword.iskeyword(match.group(1)):
        return None
    word, line = match.groups()
    try:
        known = shell.find_magic(word) is not None
    except Exception:
        known = False
    if not known and (is_python or not _WORDS.match(line)):
        return None
    return word, "get_ipython().run_line_magic(%r, %r)" % (word, line)


def is_plain(shell):
    """Return whether the shell changes code only as IPython does by itself."""
    if getattr(shell, "ast_transformers", None):
        return False
    manager = getattr(shell, "input_transformer_manager", None)
    found = list(getattr(shell, "input_transformers_post", ()))
    for name in ("cleanup_transforms", "line_transforms", "token_transformers"):
        found.extend(getattr(manager, name, ()))
    for one in found:
        owner = getattr(one, "__module__", None) or getattr(type(one), "__module__", None)
        if not isinstance(owner, str) or owner.partition(".")[0] not in ("IPython", "ipykernel"):
            return False
    return True


def plain_python_of(source):
    """Return the Python of a cell with magics in their usual forms, each on a line; what has others is no Python then."""
    match = _CELL_MAGIC.match(source)
    if match is not None:
        return "get_ipython().run_cell_magic(%r, %r, %r)\n" % match.groups()
    return "\n".join(_plain_line(line) for line in source.split("\n"))


def _plain_line(line):
    match = _LINE.match(line)
    if match is not None and line[-1:] != "\\":
        start = match.group("indent") + (match.group("target") or "")
        rest = match.group("rest")
        if match.group("mark") == "%":
            name, _, arguments = rest.partition(" ")
            return "%sget_ipython().run_line_magic(%r, %r)" % (start, name, arguments)
        return "%sget_ipython().getoutput(%r)" % (start, rest)
    match = _HELP.match(line)
    if match is not None:
        return "get_ipython().run_line_magic('pinfo', %r)" % (match.group("after") or match.group("before"))
    return line


class Magics(object):
    """Walks magics for a `Flow`.

    Args:
        shell: IPython's, or None.
        parse: `parse(source)` returns the statements of a cell; None where there is a syntax error.
    """

    def __init__(self, shell, parse):
        self._shell = shell
        self._parse = parse

    def __call__(self, flow, name, line, body):
        """Walk one magic."""
        for word in list(bytecode.expanded(line)) + _FOLDERS.get(name, []):
            flow.look_up(word)
        if not self._is_ipythons(name, body is not None):
            flow.mentions.everything = True
        elif name in _HISTORY or name == "notebook":
            self._walk_history(flow, name, line)
        elif name in _CODE:
            self._walk_code(flow, name, line, body)
        elif name in _NAMES:
            for word in _WORD.findall(line.partition("=")[2] if name == "config" else line):
                flow.look_up(word)
            flow.mentions.everything = flow.mentions.everything or "*" in line or (name == "store" and "-" in line)
            if name == "xdel":
                flow.mentions.deletes.update(_WORD.findall(line))
        elif name not in _QUIET:
            flow.mentions.everything = True
            flow.mentions.history = flow.mentions.history or name in _LAST_ERROR
        elif name in _BINDING:
            flow.mentions.binds.add("*")

    def _is_ipythons(self, name, cell):
        """Return whether a magic is IPython's own, as far as can be told."""
        if self._shell is None:
            return True
        try:
            found = self._shell.find_magic(name, "cell" if cell else "line")
        except Exception:
            return False
        if found is None:
            return True  # the cell fails, or loads the extension first; only those that are known are trusted
        owner = getattr(found, "__module__", None) or type(found).__module__
        if getattr(found, "__self__", None) is not None:
            owner = type(found.__self__).__module__
        return isinstance(owner, str) and owner.partition(".")[0] in (
            "IPython",
            "ipykernel",
            "autoreload",
            "kanoe_worker",
        )

    def _walk_history(self, flow, name, line):
        words = _WORD.findall(line)
        # A path is no range of cells.
        if name != "load" or not ("." in line or "/" in line):
            flow.mentions.history = True
        flow.mentions.everything = flow.mentions.everything or name in _RUNS_HISTORY
        if name not in ("hist", "history", "notebook"):
            for word in words:
                flow.look_up(word)
        if name == "macro":
            flow.mentions.binds.update(words)

    def _walk_code(self, flow, name, line, body):
        if name == "capture":
            flow.mentions.binds.add("*")
            self._walk(flow, body or "")
            return
        if name == "prun" or "-" in line:
            flow.mentions.binds.add("*")  # options that save the result
        statement = self._statement(line)
        if statement is None:
            for word in _WORD.findall(line):
                flow.look_up(word)

        def walk():
            for source in (statement, body):
                if source:
                    self._walk(flow, source)

        if name == "timeit":  # what it binds are variables of a function
            flow.run_aside(walk)
        else:
            walk()

    def _statement(self, line):
        """Return a line without the options in front; None where it is no code either way."""
        words = line.strip()
        while words:
            if words[:1] != "-" and self._parse(words) is not None:
                return words
            words = words.partition(" ")[2].strip()
        return "" if not line.strip() or line.strip()[0] == "-" else None

    def _walk(self, flow, source):
        parsed = self._parse(source)
        if parsed is not None:
            flow.run(parsed)
