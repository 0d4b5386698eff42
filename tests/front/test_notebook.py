"""Notebooks of every age, and files that are none."""

from __future__ import annotations

import copy
import gzip
import json

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.base.diagnostics import CODES, Severity
from kanoe.base.errors import InputError
from kanoe.front.notebook import parse_notebook

PYTHON = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def code(source, **more):
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None, **more}


def document(*cells, minor=5, metadata=PYTHON, **more):
    return {"nbformat": 4, "nbformat_minor": minor, "metadata": metadata, "cells": list(cells), **more}


def old_document(*cells, metadata=None, **more):
    return {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"} if metadata is None else metadata,
        "worksheets": [{"cells": list(cells), "metadata": {}}],
        **more,
    }


def read(value, **more):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return parse_notebook(content, "x.ipynb", **more)


def refused(value, **more):
    with pytest.raises(InputError) as caught:
        read(value, **more)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.severity is Severity.ERROR
    assert "x.ipynb" in diagnostic.message
    assert diagnostic.hint
    return diagnostic


def executed(notebook):
    """Return the notebook as a run would write it: nbformat 4, no outputs."""
    cells = []
    for cell in notebook.cells:
        record = {"cell_type": cell.kind, "metadata": dict(cell.metadata), "source": cell.source.splitlines(True)}
        if notebook.minor >= 5:
            record["id"] = cell.id
        if cell.attachments is not None:
            record["attachments"] = cell.attachments
        if cell.kind == "code":
            record |= {"outputs": [], "execution_count": 1}
        cells.append(record)
    return {"nbformat": 4, "nbformat_minor": notebook.minor, "metadata": dict(notebook.metadata), "cells": cells}


def assert_can_be_written(notebook):
    text = json.dumps(executed(notebook), ensure_ascii=False, allow_nan=False)
    nbformat.validate(nbformat.from_dict(json.loads(text.encode())))
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


# What is read


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4, 5])
def test_every_minor_version(minor):
    ids = {"id": "abc"} if minor >= 5 else {}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# t", **ids},
        code(["x = 1\n", "y"], **({"id": "d"} if ids else {})),
    ]
    notebook, remarks = read(document(*cells, minor=minor))
    assert [(cell.kind, cell.source) for cell in notebook.cells] == [("markdown", "# t"), ("code", "x = 1\ny")]
    assert [cell.id for cell in notebook.cells] == (["abc", "d"] if ids else ["cell-0", "cell-1"])
    assert notebook.minor == minor
    assert not remarks
    assert_can_be_written(notebook)


def test_a_later_minor_version_is_read_as_the_last_known():
    notebook, _ = read(document(code("x", id="a", novelty=1), minor=9))
    assert notebook.code_cells[0].source == "x"
    assert notebook.minor == 5


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["a", "a", "b"], ["a", "cell-1", "b"]),
        (["a", None, "cell-1"], ["a", "cell-1x", "cell-1"]),
        (["a b", "x" * 65, 3], ["cell-0", "cell-1", "cell-2"]),
        (["", "é", "a\n"], ["cell-0", "cell-1", "cell-2"]),
    ],
)
def test_ids_are_mended(ids, expected):
    notebook, _ = read(document(*(code("x", id=id_) for id_ in ids)))
    assert [cell.id for cell in notebook.cells] == expected


def test_outputs_and_attachments_are_kept():
    output = {"output_type": "stream", "name": "stdout", "text": ["a\n"]}
    picture = {
        "cell_type": "markdown",
        "metadata": {},
        "source": "![](attachment:a.png)",
        "attachments": {"a.png": {"image/png": "AA"}},
    }
    notebook, _ = read(document(code("x", id="a", outputs=[output]), {**picture, "id": "b"}))
    assert notebook.cells[0].outputs == (output,)
    assert notebook.cells[1].attachments == {"a.png": {"image/png": "AA"}}
    assert_can_be_written(notebook)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\n \n" + text.encode() + b"\n\n",
    ],
    ids=["mark", "utf-16", "utf-16 without mark", "crlf", "blanks"],
)
def test_encodings(encode):
    text = json.dumps(document(code("s = 'é漢🙂'\r\nt", id="a")), ensure_ascii=False, indent=1)
    notebook, _ = read(encode(text))
    assert notebook.cells[0].source == "s = 'é漢🙂'\nt"


def test_what_strict_json_cannot_hold_is_mended():
    text = '{"nbformat": 4, "nbformat_minor": 4, "metadata": {"a": NaN, "b": [1e999, "\\ud800"]}, "cells": [%s]}'
    cell = '{"cell_type": "code", "metadata": {"k\\udc00": -Infinity}, "source": "x = \'\\ud83d\\ude42 \\ud83d\'", "outputs": []}'
    notebook, _ = read((text % cell).encode())
    assert notebook.metadata == {"a": None, "b": [None, "�"]}
    assert notebook.cells[0].source == "x = '🙂 �'"
    assert notebook.cells[0].metadata == {"k�": None}


def test_metadata_that_breaks_the_schema_is_dropped_and_the_rest_kept():
    metadata = {
        "tags": ["parameters", "parameters", "a,b", 3, ""],
        "collapsed": None,
        "scrolled": 7,
        "jupyter": "x",
        "name": 1,
        "format": [],
        "_uuid": "kept",
        "execution": {"iopub.status.busy": 4},
    }
    notebook, _ = read(document({**code("x"), "metadata": metadata}, {**code("y"), "metadata": None}, minor=4))
    assert notebook.cells[0].metadata == {"tags": ["parameters"], "_uuid": "kept"}
    assert notebook.cells[0].tags == ("parameters",)
    assert_can_be_written(notebook)
    wrong = {
        "kernelspec": {"name": "python3"},
        "language_info": {"name": "python", "mimetype": 3},
        "title": 3,
        "authors": {},
        "orig_nbformat": 0,
    }
    notebook, _ = read(document(code("x"), metadata=wrong, minor=4))
    assert notebook.metadata == {
        "kernelspec": {"name": "python3", "display_name": "python3"},
        "language_info": {"name": "python"},
    }
    assert_can_be_written(notebook)


def test_nbformat_3():
    cells = [
        {"cell_type": "heading", "level": 2, "metadata": {}, "source": ["The\n", "title"]},
        {"cell_type": "markdown", "metadata": {}, "source": ["text"]},
        {
            "cell_type": "code",
            "collapsed": False,
            "input": ["x = 1\n", "x"],
            "language": "python",
            "metadata": {},
            "prompt_number": 3,
            "outputs": [
                {"metadata": {}, "output_type": "pyout", "prompt_number": 3, "text": ["1"]},
                {"output_type": "stream", "stream": "stderr", "text": ["w"]},
                {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": ["t"]},
                {"output_type": "display_data", "png": "AAAA", "metadata": {}},
                {"output_type": "display_data", "json": "{broken"},
                "no output",
            ],
        },
        {"cell_type": "raw", "metadata": {}, "source": "r"},
    ]
    notebook, remarks = read(old_document(*cells))
    assert [(cell.kind, cell.source) for cell in notebook.cells] == [
        ("markdown", "## The title"),
        ("markdown", "text"),
        ("code", "x = 1\nx"),
        ("raw", "r"),
    ]
    assert [output["output_type"] for output in notebook.cells[2].outputs] == [
        "execute_result",
        "stream",
        "error",
        "display_data",
    ]
    assert notebook.cells[2].outputs[0]["data"] == {"text/plain": ["1"]}
    assert not remarks  # its cells say that they are Python
    assert notebook == read(old_document(*cells))[0]  # ids too
    assert_can_be_written(notebook)


def test_nbformat_3_with_several_worksheets_and_none():
    two = old_document()
    cell = {"cell_type": "code", "input": "x", "language": "python", "metadata": {}, "outputs": []}
    two["worksheets"] = [{"cells": [cell]}, {"cells": [{**cell, "input": "y"}], "metadata": {}}]
    assert [cell.source for cell in read(two)[0].cells] == ["x", "y"]
    assert read(old_document())[0].cells == ()


# Languages


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}, "language_info": {"name": "R"}}, "R"),
        ({"kernelspec": {"name": "ir", "display_name": "R"}}, "R"),
        ({"kernelspec": {"name": "julia-1.9", "display_name": "Julia", "language": "julia"}}, "Julia"),
        ({"kernelspec": {"name": "julia-1.9", "display_name": "Julia"}}, "Julia"),
        ({"language_info": {"name": "scala"}}, "Scala"),
        ({"kernelspec": {"name": "xcpp17", "display_name": "C++", "language": "C++17"}}, "C++17"),
        ({"kernelspec": {"name": "bash", "display_name": "Bash"}}, "Bash"),
    ],
)
def test_other_languages_are_refused(metadata, language):
    diagnostic = refused(document(code("x", id="a"), metadata=metadata))
    assert diagnostic.code == "notebook-language"
    assert f"is written in {language};" in diagnostic.message


def test_other_languages_in_nbformat_3_are_refused():
    cell = {"cell_type": "code", "input": "x", "language": "julia", "metadata": {}, "outputs": []}
    assert refused(old_document(cell)).code == "notebook-language"
    assert refused(old_document(cell, metadata={"language": "Julia", "name": ""})).code == "notebook-language"


@pytest.mark.parametrize(
    "metadata",
    [
        PYTHON,
        {"kernelspec": {"name": "python2", "display_name": "Python 2", "language": "python"}},
        {"kernelspec": {"name": "conda-env-py37", "display_name": "my own"}},
        {"kernelspec": {"name": "python3"}},
        {"language_info": {"name": "ipython"}},
        {"kernelspec": {"name": "tf", "display_name": "tf", "language": "Python"}},
    ],
)
def test_python_by_any_name(metadata):
    notebook, remarks = read(document(code("x", id="a"), metadata=metadata))
    assert not remarks
    assert_can_be_written(notebook)


@pytest.mark.parametrize(
    "metadata", [{}, None, {"kernelspec": {"name": "mine"}}, {"kernelspec": 3, "language_info": []}]
)
def test_nothing_said_is_python_with_a_remark(metadata):
    _, (remark,) = read(document(code("x", id="a"), metadata=metadata))
    assert (remark.code, remark.severity) == ("kernelspec-missing", Severity.INFO)


def test_what_stands_beside_it_says_the_language():
    assert not read(document(code("x", id="a"), metadata={}), language="python")[1]
    assert refused(document(code("x", id="a"), metadata={}), language="r").code == "notebook-language"
    assert not read(document(code("x", id="a")), language="r")[1]


# What is refused

WHOLE = json.dumps(document(code("x = 1\n" * 20, id="a"), code("y", id="b")), indent=1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WHOLE[: len(WHOLE) // 2], "cut short"),
        (WHOLE[:-1], "cut short"),
        (WHOLE[:-2].rstrip(), "cut short"),
        (WHOLE[: WHOLE.index("x = 1") + 3], "cut short"),
        ("{", "line 1 column 2"),
        (WHOLE[:200] + "\0" * 3000, "cut short"),
        (WHOLE.replace('"cells"', "cells", 1), "line 14 column 2"),
        (WHOLE + WHOLE, "Extra data"),
        ("hello, world", "line 1 column 1"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe", "binary"),
        (bytes(range(256)) * 8, "binary"),
        (gzip.compress(WHOLE.encode()), "gzip"),
        (b"PK\x03\x04 and more", "zip"),
        ("\n<!DOCTYPE html><html></html>", "web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        ('{\n<<<<<<< HEAD\n "a": 1\n=======\n "a": 2\n>>>>>>> other\n}', "unfinished Git merge"),
        (WHOLE.replace("x = 1", "é", 1).encode("latin-1"), "not UTF-8"),
        ("[]", "a JSON list"),
        ("3", "a JSON number"),
        ("null", "a JSON null"),
        ("[" * 100_000, ""),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"nbformat": ' + "9" * 5000 + "}", "digits"),
        ({}, "no `nbformat`"),
        ({"nbformat": "4", "cells": []}, "no `nbformat`"),
        ({"nbformat": True, "cells": []}, "no `nbformat`"),
        ({"nbformat": 4}, "no list of `cells`"),
        ({"nbformat": 4, "cells": {}}, "no list of `cells`"),
        ({"nbformat": 4, "worksheets": []}, "no list of `cells`"),
        ({"nbformat": 3, "cells": []}, "`worksheets`"),
        ({"nbformat": 3, "worksheets": [{"cells": 3}]}, "`worksheets`"),
        (old_document({"cell_type": "code", "language": "python"}), "source of cell 0"),
        (old_document({"cell_type": "widget", "source": ""}), "unknown kind `widget`"),
        (document(metadata=[]), "`metadata`"),
        (document(3), "cell 0 of all cells is a JSON number"),
        (
            document(code("x"), {"cell_type": "heading", "source": "x"}),
            "cell 1 of all cells is of the unknown kind `heading`",
        ),
        (document({"cell_type": ["code"], "source": "x"}), "unknown kind"),
        (document({"cell_type": "code", "metadata": {}}), "no `source`"),
        (document(code(None)), "source of cell 0"),
        (document(code([1])), "source of cell 0"),
        (document(code({"a": 1})), "source of cell 0"),
    ],
)
def test_what_is_no_notebook(content, words):
    diagnostic = refused(content.encode() if isinstance(content, str) else content)
    assert diagnostic.code == "notebook-broken"
    assert words in diagnostic.message


def test_metadata_nested_too_deeply():
    for place in ("metadata", "cell", "attachments"):
        value = document({**code("x"), "cell_type": "markdown", "attachments": {}})
        deep = {}
        for _ in range(200):
            deep = {"a": deep}
        if place == "metadata":
            value["metadata"] = deep
        else:
            value["cells"][0]["metadata" if place == "cell" else "attachments"] = deep
        assert "nested too deeply" in refused(value).message


@pytest.mark.parametrize(
    ("version", "words"),
    [(1, "nbconvert"), (2, "nbconvert"), (0, "nbconvert"), (-4, "nbconvert"), (5, "nbformat 4"), (99, "nbformat 4")],
)
def test_versions_that_are_refused(version, words):
    diagnostic = refused({"nbformat": version, "worksheets": []})
    assert diagnostic.code == "notebook-version"
    assert words in diagnostic.hint


def test_a_huge_notebook():
    picture = {"output_type": "display_data", "data": {"image/png": "A" * 1_000_000}, "metadata": {}}
    content = json.dumps(document(*(code(f"x = {n}", id=f"c{n}", outputs=[picture]) for n in range(30)))).encode()
    notebook, _ = read(content)
    assert len(notebook.cells) == 30


# Any change to a notebook's structure or bytes

SAMPLES = [
    document(
        {
            "cell_type": "markdown",
            "metadata": {},
            "source": ["# t\n", "x"],
            "id": "m",
            "attachments": {"a": {"image/png": "AA"}},
        },
        {
            **code("x = 1", id="c"),
            "metadata": {"tags": ["parameters"], "scrolled": True, "jupyter": {"source_hidden": True}},
        },
        {"cell_type": "raw", "metadata": {"format": "x"}, "source": "", "id": "r"},
    ),
    document(code("x", outputs=[{"output_type": "stream", "name": "stdout", "text": "a"}]), minor=2),
    old_document(
        {"cell_type": "heading", "level": 1, "metadata": {}, "source": "t"},
        {
            "cell_type": "code",
            "input": ["x"],
            "language": "python",
            "metadata": {},
            "collapsed": True,
            "outputs": [
                {"output_type": "pyout", "text": "1", "prompt_number": 1, "metadata": {}},
                {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": []},
                {"output_type": "stream", "stream": "stdout", "text": "s"},
            ],
        },
    ),
]
VALUES = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            0,
            -1,
            4,
            5,
            1.5,
            float("nan"),
            "",
            "code",
            "markdown",
            "R",
            "\ud800",
            "a\r\nb\0",
            [],
            {},
            [[]],
            [None],
            {"": 0},
        ]
    ),
    st.text(max_size=3),
    st.integers(),
)


def places(value, path=()):
    yield path
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], (*path, key))


@st.composite
def changed_documents(draw):
    value = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([path for path in places(value) if path] or [()]))
        if not path:
            return copy.deepcopy(draw(VALUES))
        owner = value
        for key in path[:-1]:
            owner = owner[key]
        match draw(st.sampled_from(["set", "drop", "twice"])):
            case "set":
                owner[path[-1]] = copy.deepcopy(draw(VALUES))
            case "drop":
                del owner[path[-1]]
            case "twice" if isinstance(owner, list):
                owner.append(copy.deepcopy(owner[path[-1]]))
    return value


@given(changed_documents())
def test_any_structure_is_read_or_refused(value):
    check(json.dumps(value).encode())


@given(st.sampled_from([json.dumps(sample).encode() for sample in SAMPLES]), st.data())
def test_any_bytes_are_read_or_refused(content, data):
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 20)))
    check(content[:start] + data.draw(st.binary(max_size=5)) + content[end:])


@given(st.binary())
def test_any_file_is_read_or_refused(content):
    check(content)


def check(content):
    fault = None
    try:
        notebook, remarks = parse_notebook(content, "x.ipynb")
    except InputError as caught:
        fault = caught
    if fault is None:
        assert all(remark.severity is Severity.INFO for remark in remarks)
        assert_can_be_written(notebook)
    else:
        assert all(diagnostic.code in CODES and diagnostic.message.encode() for diagnostic in fault.diagnostics)
