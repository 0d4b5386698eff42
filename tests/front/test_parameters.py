"""Parameters: what a notebook declares and what it is given."""

from __future__ import annotations

import ast
import enum
import math

import pytest
from hypothesis import given as given_by_hypothesis
from hypothesis import strategies as st

from kanoe.base.errors import InputError
from kanoe.front.parameters import Parameter, declared_parameters, with_parameters
from kanoe.ir.notebook import Cell, Notebook


def notebook_of(source, tag="parameters"):
    tagged = Cell("p", "code", source, {"tags": ["other", tag]})
    return Notebook(
        (Cell("m", "markdown", "# t"), Cell("a", "code", "import os"), tagged, Cell("b", "code", "print(SEED)"))
    )


def inject(source, given, *, texts=True, tag="parameters"):
    """Return the lines of the injected cell."""
    notebook = with_parameters(notebook_of(source, tag), given, texts=texts, file_name="x.ipynb")
    assert [cell.id for cell in notebook.cells] == ["m", "a", "p", "injected-parameters", "b"]
    injected = notebook.cells[3]
    assert injected.tags == ("injected-parameters",)
    first, *lines = injected.source.split("\n")
    assert first == "# Parameters"
    return lines


def refused(source, given, *, texts=True):
    with pytest.raises(InputError) as caught:
        inject(source, given, texts=texts)
    return caught.value.diagnostics


DECLARED = [
    ("SEED = 42", ("SEED", 42, "int")),
    ("RATE = -0.5", ("RATE", -0.5, "float")),
    ("NAME = 'a'", ("NAME", "a", "str")),
    ("FAST = False", ("FAST", False, "bool")),
    ("IDS = [1, 2]", ("IDS", [1, 2], "list")),
    ("SIZE = (1, 2)", ("SIZE", (1, 2), "tuple")),
    ("OPTIONS = {'a': 1}", ("OPTIONS", {"a": 1}, "dict")),
    ("X = None", ("X", None, None)),
    ("X = os.getcwd()", ("X", None, None)),
    ("X = {1, 2}", ("X", {1, 2}, None)),
    ("X: float = 1", ("X", 1, "float")),
    ("X: 'Optional[int]' = None", ("X", None, "Optional[int]")),
    ("X: list[int] | None = None", ("X", None, "list[int] | None")),
    ("X = 1  # type: float", ("X", 1, "float")),
    ("X = []  # type: List[str]  the names", ("X", [], "List[str]")),
    ("X = 'é'  # type: str", ("X", "é", "str")),
    ("X = 1  # type: ignore", ("X", 1, "int")),
    ("X = 1  # how many", ("X", 1, "int")),
    ("X: int", None),
    ("X.y = 1", None),
    ("def f(): X = 1", None),
    ("print(1)", None),
    ("%matplotlib inline\nX = 1", ("X", 1, "int")),
    ("  X = 1", ("X", 1, "int")),
]


@pytest.mark.parametrize(("source", "expected"), DECLARED)
def test_what_is_declared(source, expected):
    assert declared_parameters(notebook_of(source)) == ((Parameter(*expected),) if expected else ())


def test_several_declarations():
    source = "A = B = 1\nC, (D, E), F = 'c', 2, [3]\nG, H = f()\nA = 2.5"
    assert declared_parameters(notebook_of(source)) == (
        Parameter("A", 2.5, "float"),
        Parameter("B", 1, "int"),
        Parameter("C", "c", "str"),
        Parameter("F", [3], "list"),
        Parameter("G"),
        Parameter("H"),
    )


@pytest.mark.parametrize("tag", ["parameters", "pipeline-parameters"])
def test_both_tags(tag):
    assert inject("N = 1", {"N": "2"}, tag=tag) == ["N = 2"]


TEXTS = [
    ("X = 1", "5", "5"),
    ("X = 1", " -7 ", "-7"),
    ("X = 1.5", "2", "2.0"),
    ("X = 1.5", "1e-3", "0.001"),
    ("X = 1.5", "nan", "float('nan')"),
    ("X = 1.5", "NaN", "float('nan')"),
    ("X = 1.5", "-inf", "float('-inf')"),
    ("X = 1.5", "Infinity", "float('inf')"),
    ("X = True", "false", "False"),
    ("X = True", "False", "False"),
    ("X = 'a'", "5", "'5'"),
    ("X = 'a'", "", "''"),
    ("X = 'a'", "it's \"a\\b\"\n", "'it\\'s \"a\\\\b\"\\n'"),
    ("X = 'a'", "None", "'None'"),
    ("X = 'a'", '"quoted"', "'\"quoted\"'"),
    ("X = 'a'", "é漢🙂", "'é漢🙂'"),
    ("X = 'a'", "\udcff", "'\\udcff'"),
    ("X = []", "[1, null, \"a\", [true]]", "[1, None, 'a', [True]]"),
    ("X = {}", '{"a": [1.5, NaN]}', "{'a': [1.5, float('nan')]}"),
    ("X = ()", "[1]", "(1,)"),
    ("X = None", "3", "3"),
    ("X = None", "[1]", "[1]"),
    ("X = None", "text", "'text'"),
    ("X = None", '"3"', "'3'"),
    ("X = None", "None", "None"),
    ("X = f()", "0.5", "0.5"),
    ("X: float = 1", "2", "2.0"),
    ("X: Optional[int] = 3", "null", "None"),
    ("X: int = None", "null", "None"),
    ("X: 'int | None' = 3", "4", "4"),
    ("X: typing.Optional[str] = None", "None", "None"),
    ("X: Optional[str] = None", "3", "'3'"),
    ("X: Union[int, str] = 3", "4", "4"),
    ("X: Union[int, str] = 3", "four", "'four'"),
    ("X: List[int] = None", "[1]", "[1]"),
    ("X: Dict[str, int] = None", "{}", "{}"),
    ("X: Literal['a', 'b'] = 'a'", "b", "'b'"),
    ("X: Annotated[int, 'n'] = 1", "2", "2"),
    ("X: Path = Path('.')", "a/b", "'a/b'"),
    ("X: np.ndarray = f()", "[1]", "[1]"),
    ("X = 1  # type: float", "2", "2.0"),
    ("X: 'not a type [' = 1", "text", "'text'"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "text", "expected"), TEXTS)
def test_text_from_the_command_line(source, text, expected):
    assert inject(source, {"X": text}) == [f"X = {expected}"]


WRONG_TEXTS = [
    ("X = 1", "abc", "an integer", "-p X=3"),
    ("X = 1", "1.5", "an integer", "-p X=3"),
    ("X = 1", "1e3", "an integer", "-p X=3"),
    ("X = 1", "true", "an integer", "-p X=3"),
    ("X = 1", "None", "an integer", "-p X=3"),
    ("X = 1", '"3"', "an integer", "-p X=3"),
    ("X = 1", "", "an integer", "-p X=3"),
    pytest.param("X = 1", "9" * 5000, "an integer", "-p X=3", id="digits"),
    ("X = 1.5", "a", "a number", "-p X=0.5"),
    ("X = 1.5", "true", "a number", "-p X=0.5"),
    ("X = 1.5", "1" + "0" * 400, "a number", "-p X=0.5"),
    ("X = True", "yes", "true or false", "-p X=true"),
    ("X = True", "1", "true or false", "-p X=true"),
    ("X = []", "1,2", "a list", "-p X='[1, 2]'"),
    ("X = []", "{}", "a list", "-p X='[1, 2]'"),
    pytest.param("X = []", "[" * 20_000, "a list", "-p X='[1, 2]'", id="nested"),
    ("X = {}", "[]", "a dict", "-p X='{\"a\": 1}'"),
    ("X: Optional[int] = 3", "x", "an integer or null", "-p X=3"),
]


@pytest.mark.parametrize(("source", "text", "wanted", "example"), WRONG_TEXTS)
def test_text_that_does_not_fit(source, text, wanted, example):
    (diagnostic,) = refused(source, {"X": text})
    assert diagnostic.code == "parameter-value"
    assert diagnostic.place == "-p X"
    assert wanted in diagnostic.message
    assert f"`{example}`" in diagnostic.hint


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Half(float):
    def __repr__(self):
        return "Half()"


VALUES = [
    ("X = 1", 5, "5"),
    ("X = 1.5", 5, "5.0"),
    ("X = 1.5", math.inf, "float('inf')"),
    ("X = 'a'", "b", "'b'"),
    ("X = 'a'", Colour.RED, "'red'"),
    ("X = 1", Level.HIGH, "3"),
    ("X = 1.5", Half(0.5), "0.5"),
    ("X = []", (1, 2), "[1, 2]"),
    ("X = ()", [1, (2,)], "(1, (2,))"),
    ("X = None", {"a": {1: None}}, "{'a': {1: None}}"),
    ("X = 'a'  # type: Optional[str]", None, "None"),
]


@pytest.mark.parametrize(("source", "value", "expected"), VALUES)
def test_values_from_python(source, value, expected):
    assert inject(source, {"X": value}, texts=False) == [f"X = {expected}"]


def endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("X = 1", "5"),
        ("X = 1", 1.0),
        ("X = 1", True),
        ("X = True", 1),
        ("X = 'a'", 3),
        ("X = None", object()),
        ("X = None", b"a"),
        ("X = None", [{1, 2}]),
        ("X = None", {(1, 2): 3}),
        ("X = None", endless()),
        pytest.param("X = None", 10**5000, id="digits"),
        ("X = 1.5", 10**400),
    ],
)
def test_values_from_python_that_do_not_fit(source, value):
    (diagnostic,) = refused(source, {"X": value}, texts=False)
    assert diagnostic.code == "parameter-value"
    assert diagnostic.place == "x.ipynb"
    assert diagnostic.hint


def test_several_parameters_keep_their_order():
    assert inject("A = 1\nB = 'b'\nC = 0.5", {"C": "1", "A": "2"}) == ["C = 1.0", "A = 2"]


def test_an_unknown_name():
    (diagnostic,) = refused("SEED = 1\nNAME: str = 'a'\nX = None", {"SEDE": "1"})
    assert diagnostic.code == "parameter-unknown"
    assert diagnostic.place == "-p SEDE"
    assert "Did you mean `SEED`?" in diagnostic.hint
    assert "SEED (int), NAME (str), X" in diagnostic.hint
    (diagnostic,) = refused("SEED = 1", {"seed": "1"})
    assert "Did you mean `SEED`?" in diagnostic.hint
    (diagnostic,) = refused("SEED = 1", {"other = 1\nimport os": "1"})
    assert "Did you mean" not in diagnostic.hint


def test_every_wrong_parameter_is_told():
    assert [d.code for d in refused("A = 1", {"A": "x", "B": "1"})] == ["parameter-value", "parameter-unknown"]


@pytest.mark.parametrize(
    ("notebook", "file_name", "words"),
    [
        (Notebook((Cell("a", "code", "A = 1"),)), "x.ipynb", "the tag `parameters`"),
        (Notebook((Cell("a", "markdown", "A = 1", {"tags": ["parameters"]}),)), "x.ipynb", "the tag `parameters`"),
        (Notebook((Cell("a", "code", "A = 1"),)), "x.py", '# %% tags=["parameters"]'),
        (notebook_of("print(1)"), "x.ipynb", "Assign the defaults"),
        (notebook_of("A = = 1"), "x.ipynb", "Assign the defaults"),
    ],
)
def test_nothing_is_declared(notebook, file_name, words):
    with pytest.raises(InputError) as caught:
        with_parameters(notebook, {"A": "2"}, texts=True, file_name=file_name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "parameter-unknown"
    assert words in diagnostic.hint


def test_nothing_given_changes_nothing():
    notebook = Notebook((Cell("a", "code", "x"),))
    assert with_parameters(notebook, {}, texts=True, file_name="x.ipynb") is notebook


def test_an_earlier_injected_cell_is_replaced():
    once = with_parameters(notebook_of("A = 1\nB = 2"), {"A": "5"}, texts=True, file_name="x.ipynb")
    twice = with_parameters(once, {"B": "6"}, texts=True, file_name="x.ipynb")
    assert [cell.source for cell in twice.cells] == [
        "# t",
        "import os",
        "A = 1\nB = 2",
        "# Parameters\nB = 6",
        "print(SEED)",
    ]


def test_several_tagged_cells():
    tags = {"tags": ["parameters"]}
    notebook = Notebook(
        (Cell("a", "code", "A = 1", tags), Cell("injected-parameters", "code", "x"), Cell("b", "code", "B = 2", tags))
    )
    given = with_parameters(notebook, {"A": "3"}, texts=True, file_name="x.ipynb")
    assert [cell.source for cell in given.cells] == ["A = 1", "x", "B = 2", "# Parameters\nA = 3"]
    assert len({cell.id for cell in given.cells}) == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)


@given_by_hypothesis(JSON)
def test_what_is_injected_is_what_was_given(value):
    (line,) = inject("X = None", {"X": value}, texts=False)
    again = ast.literal_eval(line.removeprefix("X = "))
    assert again == value
    assert type(again) is type(value)


@given_by_hypothesis(st.sampled_from(["1", "1.5", "'a'", "True", "[]", "{}", "()", "None"]), st.text())
def test_any_text_is_taken_or_refused(default, text):
    try:
        (line,) = inject(f"X = {default}", {"X": text})
    except InputError as fault:
        assert fault.diagnostics[0].code == "parameter-value"  # noqa: PT017
    else:
        ast.parse(line)
        if default == "'a'":
            assert ast.literal_eval(line.removeprefix("X = ")) == text
