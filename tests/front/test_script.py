"""Scripts: plain ones, and the percent format by whoever wrote it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.base.errors import InputError
from kanoe.front.script import parse_script, read_script
from kanoe.ir.notebook import Cell, Notebook


def cells_of(text):
    kind, notebook = parse_script(text, "x.py")
    assert kind == "percent"
    return [(cell.kind, cell.source) for cell in notebook.cells]


JUPYTEXT = '''\
#!/usr/bin/env python
# -*- coding: utf-8 -*-
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.16.1
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Title
#
# text

# %% tags=["parameters"] slideshow={"slide_type": "slide"}
SEED = 1  # type: int

# %%
# %matplotlib inline
import os
# !ls ../input
# files = !ls
# # %config nothing
# os.path?

# %% language="bash" magic_args="--no-raise-error"
# ls

# %% Load the data [markdown] editable=false
# text

# %%
# %%time
# %timeit x + \\
#   1
s = """
# %% no cell
# !no command
"""

# %% [raw] mimetype="text/html"
# <b>

# %%

# %% active="ipynb"
# x = 1
'''


def test_what_jupytext_writes():
    kind, notebook = parse_script(JUPYTEXT, "x.py")
    assert kind == "percent"
    assert [(cell.kind, cell.source, cell.metadata) for cell in notebook.cells] == [
        ("markdown", "# Title\n\ntext", {}),
        ("code", "SEED = 1  # type: int", {"tags": ["parameters"], "slideshow": {"slide_type": "slide"}}),
        ("code", "%matplotlib inline\nimport os\n!ls ../input\nfiles = !ls\n# %config nothing\nos.path?", {}),
        ("code", "%%bash --no-raise-error\nls", {}),
        ("markdown", "text", {"title": "Load the data", "editable": False}),
        ("code", '%%time\n%timeit x + \\\n  1\ns = """\n# %% no cell\n# !no command\n"""', {}),
        ("raw", "<b>", {"mimetype": "text/html"}),
        ("code", "", {}),
        ("code", "x = 1", {}),
    ]
    assert notebook.metadata == {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    assert [cell.id for cell in notebook.cells] == [f"cell-{position}" for position in range(9)]


@pytest.mark.parametrize(
    ("line", "kind", "metadata"),
    [
        ("# %%", "code", {}),
        ("#%%", "code", {}),
        ("#   %%%", "code", {}),
        ("# %% Load the data", "code", {"title": "Load the data"}),
        ("#%% [markdown]", "markdown", {}),
        ("# %% [md] A title", "markdown", {"title": "A title"}),
        ("# %% [MARKDOWN]", "markdown", {}),
        ("# %% [raw]", "raw", {}),
        ("# %% [code] {\"_uuid\": \"1\", \"execution\": {\"iopub.status.busy\": \"2021\"}}", "code", {"_uuid": "1", "execution": {"iopub.status.busy": "2021"}}),
        ('# %% [code] tags=["a"] n=3 flag=true other=True word=yes quoted=\'a b\'', "code", {"tags": ["a"], "n": 3, "flag": True, "other": True, "word": "yes", "quoted": "a b"}),
        ("# %% a = b and c", "code", {"title": "a = b and c"}),
        ("# %% [x] and {y", "code", {"title": "[x] and {y"}),
        ('# %% tags=["broken', "code", {"title": 'tags=["broken'}),
        ('# %% tags="wrong"', "code", {}),
        ("# %% x=NaN y=" + "[" * 3000, "code", {"title": "x=NaN y=" + "[" * 3000}),
        ("# In[3]:", "code", {}),
        ("# In[ ]:", "code", {}),
        ("# In [3]", "code", {}),
        ("# In[*]:", "code", {}),
    ],
)  # fmt: skip
def test_markers(line, kind, metadata):
    _, notebook = parse_script(f"{line}\nx\n", "x.py")
    assert [(cell.kind, cell.source, cell.metadata) for cell in notebook.cells] == [(kind, "x", metadata)]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "# %%time\nx = 1",
        "# %matplotlib inline\nx",
        "    # %% indented\nx",
        '"""\n# %% in a string\n"""\nx',
        "s = '''a\\'''\n# %%\n'''\n",
        "# + tags=['a']\nx = 1\n# +\ny\n",
        "# ---\n# jupyter:\n#   jupytext:\n#     text_representation:\n#       format_name: light\n# ---\n# +\nx\n# %% y",
        "# 100 %% sure\n",
        "print('# %%')\n",
        "from __future__ import annotations\nprint 'Python 2'\n\tx = 1\n",
    ],
)
def test_plain_scripts_are_one_cell(text):
    kind, notebook = parse_script(text, "x.py")
    assert kind == "script"
    assert [(cell.kind, cell.source) for cell in notebook.cells] == [("code", text.rstrip("\n"))]


def test_what_stands_above_the_first_marker():
    assert cells_of("#!/usr/bin/python\n# coding: utf-8\n\n# In[1]:\n\n\nimport os\n\n\n# In[2]:\n\n\nos\n") == [
        ("code", "\n\nimport os"),
        ("code", "\n\nos"),
    ]
    assert cells_of('"""About."""\nimport os\n\n# %%\nx') == [("code", '"""About."""\nimport os'), ("code", "x")]
    assert cells_of("# /// script\n# dependencies = []\n# ///\n# %%\nx")[0] == (
        "code",
        "# /// script\n# dependencies = []\n# ///",
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("# a\n#\n# b\n", "a\n\nb"),
        ("#a\n#  - b", "a\n - b"),
        ('"""\na\n\n# b\n"""\n', "a\n\n# b"),
        ("'''a'''", "a"),
        ('r"""\n$\\alpha$\n"""', "$\\alpha$"),
        ("", ""),
        ("# a '''\n", "a '''"),
    ],
)
def test_markdown(body, text):
    assert cells_of(f"# %% [markdown]\n{body}\n# %%\nx") == [("markdown", text), ("code", "x")]


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        ("# %matplotlib inline", "%matplotlib inline"),
        ("#%matplotlib inline", "%matplotlib inline"),
        ("# !ls ../input", "!ls ../input"),
        ("#!pip install x", "!pip install x"),
        ("# %%time", "%%time"),
        ("# %s is the name", None),
        ("# %of all passengers", None),
        ("# files = !ls", None),
        ("# !!!", None),
        ("# why?", None),
        ("# a %matplotlib", None),
    ],
)
def test_without_a_header_only_what_is_surely_a_magic_comes_back(comment, code):
    assert cells_of(f"# %%\n{comment}\nx") == [("code", f"{code or comment}\nx")]


def test_a_magic_in_a_block_keeps_its_place():
    assert cells_of("# %%\nif x:\n    # !ls\n    y") == [("code", "if x:\n    !ls\n    y")]


def test_a_quote_without_an_end_hides_nothing():
    assert cells_of("# %%\nx = '''\n# %%\ny") == [("code", "x = '''"), ("code", "y")]


def test_a_body_hidden_in_a_string():
    assert cells_of('# %% language="html"\n"""\n<b>\n"""') == [("code", "%%html\n<b>")]


def test_a_header_in_another_language_is_refused():
    text = "# ---\n# jupyter:\n#   kernelspec:\n#     name: ir\n#     language: R\n# ---\n# %%\nx <- 1\n"
    with pytest.raises(InputError, match="written in R") as caught:
        parse_script(text, "x.py")
    assert caught.value.diagnostics[0].code == "notebook-language"


@pytest.mark.parametrize(
    "header", ["# ---\n# a: [\n# ---", "# ---\n# just: text\n# ---", "# ---\n# jupyter: 3\n# ---", "# ---\n# no end", "# ---\nx\n# ---", "# ---\n# " + "[" * 5000 + "\n# ---"]
)  # fmt: skip
def test_a_header_that_says_nothing_is_a_comment(header):
    cells = cells_of(f"{header}\n# %%\ny")
    assert cells[-1] == ("code", "y")
    assert cells[0] == ("code", header)


# Files


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (b"\xef\xbb\xbfx = 1\r\ny = '\xc3\xa9'\r\n", "x = 1\ny = 'é'"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'"),
        (
            b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n'\x80'",
            "#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\n'€'",
        ),
        ("x = 'é'\n".encode("utf-16"), "x = 'é'"),
        (b"if x:\n\ty\n\x0cz\r", "if x:\n\ty\n\x0cz"),
    ],
)
def test_encodings(tmp_path, content, source):
    path = tmp_path / "x.py"
    path.write_bytes(content)
    read = read_script(path)
    assert read.kind == "script"
    assert read.notebook.cells[0].source == source
    assert read.path == path


@pytest.mark.parametrize(
    ("content", "words", "place"),
    [
        (b"x = 1\ny = '\xe9'\n", "not text in utf-8", "x.py line 2"),
        (b"#\n#\n#\nx = '\xe9'\n", "not text in utf-8", "x.py line 4"),
        (b"# coding: klingon\n", "klingon", "x.py"),
        (b"# coding: rot13\nx", "rot13", "x.py"),
        (b"# coding: ascii\n'\xc3\xa9'", "not text in ascii", "x.py line 2"),
        (b"x = 1\0", "binary", "x.py"),
        (b"\x7fELF\x02\x01\x01\0\0\xff\xfe", "binary", "x.py"),
    ],
)
def test_what_is_no_text(tmp_path, content, words, place):
    (tmp_path / "x.py").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_script(tmp_path / "x.py")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "source-encoding"
    assert words in diagnostic.message
    assert diagnostic.place == place
    assert diagnostic.hint


def test_any_bytes_are_read_or_refused(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "x.py"

    @given(
        st.one_of(
            st.binary(max_size=40),
            st.lists(st.sampled_from(JUPYTEXT.splitlines(True)), max_size=20).map(
                lambda lines: "".join(lines).encode()
            ),
        )
    )
    def check(content):
        path.write_bytes(content or b"#")
        try:
            read = read_script(path)
        except InputError:
            return
        json.dumps([(cell.source, cell.metadata) for cell in read.notebook.cells], allow_nan=False).encode()
        "".join(cell.source for cell in read.notebook.cells).encode()

    check()


# Law: cells written in the percent format are read back

LINES = st.lists(st.text("ab #%!'\"=\\[](){}\t", max_size=12), max_size=4).map("\n".join)
METADATA = st.dictionaries(st.text("abc_", min_size=1, max_size=3), st.one_of(st.integers(), st.booleans(), st.text(max_size=5), st.lists(st.text(max_size=3))), max_size=3)  # fmt: skip
CELLS = st.builds(
    lambda kind, source, metadata: Cell("x", kind, source, metadata),
    st.sampled_from(["code", "markdown", "raw"]),
    LINES,
    METADATA,
)


def percent_text(notebook):
    """Write the percent format, as plainly as it goes: code as it is, other cells as comments."""
    parts = []
    for cell in notebook.cells:
        metadata = "".join(f" {key}={json.dumps(value)}" for key, value in cell.metadata.items())
        kind = "" if cell.kind == "code" else f" [{cell.kind}]"
        source = cell.source if cell.kind == "code" else "\n".join(f"# {line}" for line in cell.source.split("\n"))
        parts.append(f"# %%{kind}{metadata}\n{source}\n")
    return "\n".join(parts)


def is_plain(cell):
    """Whether nothing in a cell means more than itself in the percent format."""
    lines = cell.source.split("\n")
    if cell.kind != "code":
        return cell.source == cell.source.strip("\n") and not any(line.lstrip().startswith("%%") for line in lines)
    return (
        "'''" not in cell.source
        and '"""' not in cell.source
        and not any(line.lstrip().startswith("#") for line in lines)
    )


@given(st.lists(CELLS.filter(is_plain), min_size=1, max_size=5))
def test_round_trip(cells):
    notebook = Notebook(tuple(cells))
    kind, again = parse_script(percent_text(notebook), "x.py")
    assert kind == "percent"
    expected = [
        (cell.kind, cell.source.rstrip() if cell.kind == "code" else cell.source, cell.metadata) for cell in cells
    ]
    assert [(cell.kind, cell.source, cell.metadata) for cell in again.cells] == expected
