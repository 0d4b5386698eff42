from __future__ import annotations

import ast
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kanoe.ir.code import CellCode, Magic, logical_lines, parse_cell


def lines_of(text: str) -> int:
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


# source -> the masked Python
MASKS = {
    # nothing special
    "": "",
    "x = 1": "x = 1",
    "await fetch()": "await fetch()",
    "async for x in y: pass": "async for x in y: pass",
    "x = [await y for y in z]": "x = [await y for y in z]",
    "df.head();": "df.head();",
    "...": "...",
    "a = (b\n % c)": "a = (b\n % c)",
    "a = b \\\n  % c": "a = b \\\n  % c",
    "x = y %z": "x = y %z",
    "x %= 3": "x %= 3",
    "a != b": "a != b",
    "'''\n%matplotlib inline\n!ls\n'''": "'''\n%matplotlib inline\n!ls\n'''",
    'q = """\n!ls\n"""': 'q = """\n!ls\n"""',
    "f(a,\n  *b\n, c)": "f(a,\n  *b\n, c)",
    "x = {\n  'a': 1\n, 'b': 2}": "x = {\n  'a': 1\n, 'b': 2}",
    "# !pip install x": "# !pip install x",
    "print('what?')": "print('what?')",
    "x = 1  # why?": "x = 1  # why?",
    # line magics
    "%matplotlib inline": "pass",
    "% matplotlib inline": "pass",
    "%matplotlib inline\nimport os": "pass\nimport os",
    "import os\n%matplotlib inline": "import os\npass",
    "if x:\n    %cd ..\nelse:\n    y": "if x:\n    pass\nelse:\n    y",
    "if x:\n\t%cd ..": "if x:\n\tpass",
    "for f in g:\n    !echo {f}\n    h(f)": "for f in g:\n    pass\n    h(f)",
    "%load_ext autoreload\n%autoreload 2\nx": "pass\npass\nx",
    "%config \\\n  X=1\ny": "pass\n\ny",
    "s = '''\n%who\n'''\n%who": "s = '''\n%who\n'''\npass",
    "x = 1;\n%who": "x = 1;\npass",
    "%who; x": "pass",
    # shell
    "!ls": "pass",
    "!!ls": "pass",
    "!": "pass",
    "!ls \\\n  -l \\\n  -a\nx": "pass\n\n\nx",
    "!echo it's\nx = 'a'": "pass\nx = 'a'",
    "!echo (\nx = 1": "pass\nx = 1",
    '!echo """\nx = 1': "pass\nx = 1",
    "x = !ls": "x = None",
    "x = ! ls -l": "x = None",
    "x =!ls": "x =None",
    "x: list = !ls": "x: list = None",
    "a, b = !ls": "a, b = None",
    "x['k'] = !ls": "x['k'] = None",
    "x = !ls | \\\n  grep y\nz": "x = None\n\nz",
    "if x:\n    y = !ls": "if x:\n    y = None",
    # magics with values and statements
    "x = %pwd": "x = None",
    "x = %time f()": "x =       f()",
    "x = %timeit -o -n 5 f()": "x =                 f()",
    "x = %time y = 1": "x = None",
    "%time f(x)": "if 1: f(x)",
    "%time x = f(y)": "if 1: x = f(y)",
    "%time": "pass",
    "%time import pandas as pd": "if 1: import pandas as pd",
    "%timeit -n 100 -r3 f(x)": "if 1:              f(x)",
    "%timeit -n100 f(x)": "if 1:         f(x)",
    "%timeit -1 + x": "if 1:   -1 + x",
    "%prun -l 10 -s time f()": "if 1:               f()",
    "%time for x in y: z": "for x in y: z",
    "%time x = f(1, \\\n  2)": "if 1: x = f(1, \\\n  2)",
    "%time !ls": "if 1: pass",
    "%time x = !ls": "if 1: x = None",
    "%time %time f()": "if 1: f()",
    "%time f(": "pass",
    "    %time f(x)": "if 1: f(x)",
    "if a:\n    %time f(x)": "if a:\n    if 1: f(x)",
    # help
    "x?": "x",
    "x??": "x",
    "np.array?": "np.array",
    "?x": "pass",
    "??x": "pass",
    "?": "pass",
    "np.*load*?": "pass",
    "%timeit?": "pass",
    "%%timeit?": "pass",
    "foo(bar?": "pass",
    "x[0].y?": "pass",
    "x = 1\nx?\ny = 2": "x = 1\nx\ny = 2",
    # calls
    "/f a b": "+f(a,b)",
    "/f a  b": "+f(a, b)",
    "/m.f a": "+m.f(a)",
    ",f a b": "+f()",
    ";f a b": "+f()",
    # cell magics
    "%%time\nx = 1": "\nx = 1",
    "%%time\n": "\n",
    "%%time": "",
    "\n\n%%time\nx = 1": "\n\n\nx = 1",
    "%%capture out\n!ls\nx = 1": "\npass\nx = 1",
    "%%time\n%%capture\nx = 1": "\n\nx = 1",
    "%%timeit -n 5 x = f()\nx + 1": "if 1:         x = f()\nx + 1",
    "%%timeit\n\n\nx": "\n\n\nx",
    "%%bash\nls\nx=(": "\n\n",
    "%%writefile a.py\nx = (": "\n",
    "%%html\n<b>": "\n",
    "%%javascript\nlet x": "\n",
    "%%R\nx <- 1": "\n",
    "%%latex\n$x$": "\n",
    "%%nobody_knows\nx <- 1": "\n",
    "# comment\n%%time\nx = 1": "# comment\npass\nx = 1",
    # what IPython takes away
    ">>> x = 1\n>>> y = 2": "x = 1\ny = 2",
    ">>> if x:\n...     y": "if x:\n    y",
    "In [1]: x = 1": "x = 1",
    "In [12]: if x:\n    ...:     y": "if x:\n    y",
    "In [1]: %matplotlib inline": "pass",
    "    x = 1\n    y = 2": "x = 1\ny = 2",
    "    x = 1\n    !ls": "x = 1\npass",
    # characters
    "\ufeffx = 1": "x = 1",
    "\ufeff%matplotlib inline\nx": "pass\nx",
    "x = 1\r\n!ls\r\ny": "x = 1\npass\ny",
    "%cd \\\r\n x\r\ny": "pass\n\ny",
    "\x0c%matplotlib inline\nx": "\x0cpass\nx",
    "x = 1\n\x0cy = 2": "x = 1\n\x0cy = 2",
    "é = 'ü'\n!ls\nß": "é = 'ü'\npass\nß",
    # automagic
    "pip install pandas": "pass",
    "\n\npip install pandas\n": "\n\npass\n",
    "ls -la /kaggle/input": "pass",
    "ls -l": "pass",
    "cd ../working": "pass",
    "conda install -y x": "pass",
    "time x = 3": "if 1:x = 3",
    "load_ext autoreload": "pass",
    "ls": "ls",
    "ls = 3": "ls = 3",
    "time - x": "time - x",
    "cat + x": "cat + x",
}


@pytest.mark.parametrize("source", MASKS)
def test_masks(source: str) -> None:
    code = parse_cell(source)
    assert code.python == MASKS[source]
    assert code.error is None
    assert code.tree is not None
    assert code.source == source
    assert code.python.count("\n") == lines_of(source)


# source -> line of the error
FAULTS = {
    "print 'hello'\nimport os": 1,
    "x = 1\nexcept:": 2,
    "%matplotlib inline\nx = = 2": 2,
    "pip install pandas\nimport pandas": 1,
    "# first\npip install pandas": 2,
    "a = b = !ls": 1,
    "if x: !ls": 1,
    "x? # comment": 1,
    "f(a=!ls)": 1,
    "%%time\nx = = 1": 2,
    "<html>": 1,
    "/f a, b": 1,
    "/ f": 1,
    "library(dplyr)\nx <- c(1, 2))": 2,
    "x = (1": 1,
    "'''": 1,
    "  x = 1\n y": 1,
}


@pytest.mark.parametrize("source", FAULTS)
def test_what_does_not_parse_is_a_value(source: str) -> None:
    code = parse_cell(source)
    assert code.tree is None
    assert code.error is not None
    assert code.error.line == FAULTS[source]
    assert code.error.message


def test_positions_stay_true() -> None:
    code = parse_cell("import a\n%matplotlib inline\nx = !ls \\\n  -l\n%time frame.mean(axis=0)\nlast = 1")
    assert code.tree is not None
    places = {node.id: (node.lineno, node.col_offset) for node in ast.walk(code.tree) if isinstance(node, ast.Name)}
    assert places == {"x": (3, 0), "frame": (5, 6), "last": (6, 0)}


# source -> (name, arguments, line, cell, body)
MAGICS = {
    "%matplotlib inline": ("matplotlib", "inline", 1, False, None),
    "% matplotlib  inline ": ("matplotlib", "inline", 1, False, None),
    "x\n\n%cd \\\n ..": ("cd", "..", 3, False, None),
    "x = %env HOME": ("env", "HOME", 1, False, None),
    "x = (1,\n  2)\ny = %pwd": ("pwd", "", 3, False, None),
    "x?": ("pinfo", "x", 1, False, None),
    "x.y??": ("pinfo2", "x.y", 1, False, None),
    "?x": ("pinfo", "x", 1, False, None),
    "np.*a*?": ("psearch", "np.*a*", 1, False, None),
    "%timeit?": ("pinfo", "%timeit", 1, False, None),
    "\n%%time\nx": ("time", "", 2, True, "x"),
    "%%writefile  a b.py\nx\ny": ("writefile", "a b.py", 1, True, "x\ny"),
    "cd ../x": ("cd", "../x", 1, False, None),
    "get_ipython().run_line_magic('matplotlib', 'inline')": ("matplotlib", "inline", 1, False, None),
    "get_ipython().magic('matplotlib inline')": ("matplotlib", "inline", 1, False, None),
    "x\nget_ipython().run_cell_magic('time', '', 'y = 1')": ("time", "", 2, True, "y = 1"),
}


@pytest.mark.parametrize("source", MAGICS)
def test_magics(source: str) -> None:
    assert parse_cell(source).magics == (Magic(*MAGICS[source]),)


# source -> commands with their lines
COMMANDS = {
    "!ls -l": [("ls -l", 1)],
    "!!ls": [("ls", 1)],
    "x\n! ls \\\n  -l": [("ls    -l", 2)],
    "files = !ls": [("ls", 1)],
    "%sx ls": [("ls", 1)],
    "%system ls": [("ls", 1)],
    "x = %sx ls": [("ls", 1)],
    "%%bash\nls\npwd\n": [("ls\npwd", 2)],
    "%%sh\nls": [("ls", 2)],
    "%%script bash --bg\nls": [("ls", 2)],
    "%%script false\nls": [],
    "%%script python\nls": [],
    "%%sx ls\npwd": [("ls\npwd", 1)],
    "%%!\nls": [("ls", 2)],
    "%%time\n!ls": [("ls", 2)],
    "mkdir a/b": [("mkdir a/b", 1)],
    "%rm -r a": [("rm -r a", 1)],
    "get_ipython().system('ls')": [("ls", 1)],
    "get_ipython().getoutput('ls')": [("ls", 1)],
    "'''\n!ls\n'''": [],
    "# !ls": [],
    "%%writefile x.sh\n!ls": [],
}


@pytest.mark.parametrize("source", COMMANDS)
def test_shell_commands(source: str) -> None:
    assert [(command.command, command.line) for command in parse_cell(source).shell] == COMMANDS[source]


NESTED = {
    "brackets": "(" * 10_000,
    "lists": "x = " + "[" * 10_000 + "]" * 10_000,
    "signs": "-" * 100_000 + "1",
    "nots": "not " * 20_000 + "x",
    "attributes": "a" + ".b" * 50_000,
    "sums": "a" + " + a" * 50_000,
    "calls": "f" + "()" * 20_000,
    "lambdas": "lambda: " * 10_000 + "1",
    "choices": "a if b else " * 10_000 + "c",
    "blocks": "".join(" " * depth + "if 1:\n" for depth in range(200)),
    "branches": "if a: pass\n" + "elif b: pass\n" * 5_000,
    "null bytes": "x = 1\0",
    "surrogates": "x = '\ud800'",
    "one megabyte": f"x = 1  # {'c' * 90}\n" * 10_000,
    "many empty lines": "\n" * 200_000,
    "many magics": "%who\n" * 20_000,
    "nested magics": "%time " * 20_000,
    "nested cell magics": "%%time\n" * 20_000,
    "prompts": ">>> " * 20_000,
    "a long word": "a" * 200_000 + "?",
    "question marks": "?" * 200_000,
    "quotes": "%who\n" + "'\"" * 50_000,
    "backslashes": "\\\n" * 50_000,
    "a long install": "!pip install " + "= " * 100_000,
    "a long blank": "!pip install '" + " " * 200_000 + "'",
    "an open string": "%who\n'''" + "\\" * 100_001,
    "form feeds": "\f" * 50_000 + "%who",
    "carriage returns": "\r" * 50_000,
}


@pytest.mark.parametrize("name", NESTED)
def test_no_text_raises(name: str) -> None:
    source = NESTED[name]
    code = parse_cell(source)
    assert (code.tree is None) == (code.error is not None)
    assert code.python.count("\n") == lines_of(source)
    assert sum(1 for _ in logical_lines(code.python)) <= lines_of(source) + 1


@given(st.text(max_size=200))
def test_no_random_text_raises(source: str) -> None:
    code = parse_cell(source)
    assert (code.tree is None) == (code.error is not None)
    assert code.python.count("\n") == lines_of(source)


def test_nothing_is_shown_of_what_the_parser_warns() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse_cell("x = '\\d'\ny = 1 is 1\n!ls")
    assert caught == []


def test_logical_lines() -> None:
    text = "import a\n\n# c\nx = (1,\n     2)\n  y = '''\n import z\n'''\nprint 'it' \\\n  + s\n"
    assert list(logical_lines(text)) == [
        (1, "import a"),
        (4, "x = (1,\n     2)"),
        (6, "  y = '''\n import z\n'''"),
        (9, "print 'it' \\\n  + s"),
    ]


# --- the same as IPython ----------------------------------------------------------------------------------------------

FRAGMENTS = [
    "%matplotlib inline", "!ls", "!!ls", "x = !ls", "if x:", "    %time y = 1", "    !ls", "    y = 1", "x = (1", "% 2)", "'''", '"""', "x?",
    "?x", "", "# c", "x = 5 \\", "%b \\", "y", ">>> x", "... y", "x = %time f()", "/f a", ",f a", "foo(", "a)", "s = 'it",
    "!echo it's", "a.b?", "else:", "x = {'a': !b}", "a = b = !ls", "f(a=1)", "x == y", "x = y % z", "%time", "?", "??", "def f():",
    "    '''doc", "    '''", "z = f'{x}'", "print 'x'", "In [1]: x", "%time?", "[", "]", "x: int = !ls", "x += %time 1", "await x", "@d",
    "class A:", "lambda: 0", "x; y", "x = 1;", "\tx", "\t!ls", "x = %who", "'a' \\", "if x: %time y", "a ?", "x = '%s' % y", "...",
]  # fmt: skip


def ipython_view(source: str) -> ast.Module | None:
    transformer = pytest.importorskip("IPython.core.inputtransformer2").TransformerManager()
    try:
        return ast.parse(transformer.transform_cell(source))
    except (SyntaxError, ValueError):
        return None


def is_special(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == "get_ipython" for inner in ast.walk(node))


def same_statements(theirs: ast.Module, code: CellCode) -> None:
    assert code.tree is not None
    assert len(theirs.body) == len(code.tree.body)
    for one, other in zip(theirs.body, code.tree.body, strict=True):
        called = isinstance(other, ast.Expr) and isinstance(other.value, ast.UnaryOp)  # `/f a`
        if not called and not is_special(one):
            assert ast.dump(one) == ast.dump(other)


BARE = [source for source in MASKS if MASKS[source].strip() in {"pass", "if 1:x = 3"} and source.strip()[0].isalpha()]


@pytest.mark.parametrize("source", [source for source in MASKS if "\ufeff" not in source and source not in BARE])
def test_the_table_is_what_ipython_does(source: str) -> None:
    theirs = ipython_view(source)
    assert theirs is not None or "\\\r\n" in source  # IPython joins no lines that end in a carriage return
    if theirs is not None and "%%" not in source:
        same_statements(theirs, parse_cell(source))


@settings(max_examples=400)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("\n".join))
def test_whatever_ipython_understands_is_understood(source: str) -> None:
    theirs = ipython_view(source)
    code = parse_cell(source)
    if theirs is not None and "%b \\\n" not in source:  # there IPython looks for `x?` inside the command's brackets
        same_statements(theirs, code)


@pytest.mark.parametrize(
    ("source", "magic"),
    [(source, True) for source in BARE]
    + [
        ("ls = 3", False),
        ("x = 1", False),
        ("pip_install x", False),
        ("pip install x\ny", False),
        ("who, x = 1, 2", False),
    ],
)
def test_bare_magics_are_those_of_a_real_shell(source: str, magic: bool) -> None:
    shell_module = pytest.importorskip("IPython.core.interactiveshell")
    shell = _shell(shell_module)
    transformed = shell.transform_cell(source)
    assert ("run_line_magic" in transformed) == magic or "getoutput" in transformed
    assert bool(parse_cell(source).magics) == magic


def _shell(module: object, kept: list[object] = []) -> object:  # noqa: B006 - one shell for all cases
    if not kept:
        configuration = pytest.importorskip("traitlets.config").Config(HistoryManager={"enabled": False})
        kept.append(module.InteractiveShell(config=configuration))  # type: ignore[attr-defined]
    return kept[0]
