"""Outputs of notebooks as they are in the wild, an author's against those of now."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.back.reproduction import noise
from kanoe.back.reproduction.noise import Rule, rules
from kanoe.back.reproduction.notebooks import compare_notebook, explain_differences
from kanoe.back.reproduction.outputs import compare_outputs
from kanoe.back.reproduction.tables import compare_html
from kanoe.back.reproduction.texts import LARGEST, compare_texts, says_nothing
from kanoe.back.reproduction.tokens import label_of, tokenise
from kanoe.back.reproduction.verdicts import Comparison, Outcome, Reproduction
from kanoe.engine.events import TaskState
from kanoe.ir.notebook import Cell, Notebook

EXACT, WITHIN, DIFFERENT = Outcome.EXACT, Outcome.WITHIN, Outcome.DIFFERENT


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def result(text: str | None = None, **forms: Any) -> dict[str, Any]:
    data = {mime.replace("_", "/"): value for mime, value in forms.items()}
    return {"output_type": "execute_result", "data": ({"text/plain": text} if text is not None else {}) | data}


# The rules


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.what)
def test_every_rule_does_what_it_says_and_is_needed(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_texts(rule.was, rule.now).outcome is EXACT
    assert compare_texts(rule.now, rule.was).outcome is EXACT
    monkeypatch.setattr(noise, "rules", lambda: [other for other in rules() if other is not rule])
    assert compare_texts(rule.was, rule.now).outcome is not EXACT


# Texts

HEAD = """   PassengerId  Survived  Pclass     Fare
0            1         0       3   7.2500
1            2         1       1  71.2833"""
DESCRIBE = """             Age        Fare
count  714.000000  891.000000
mean    29.699118   32.204208
std     14.526497   49.693429"""
REPORT = """             precision    recall  f1-score   support

          0       0.81      0.87      0.84       157
          1       0.79      0.72      0.75       111

avg / total       0.80      0.81      0.80       268
"""
FOLDED = """   PassengerId  Survived  \\
0            1         0
1            2         1

       Fare Embarked
0    7.2500        S
1   71.2833        C"""
UNFOLDED = """   PassengerId  Survived     Fare Embarked
0            1         0   7.2500        S
1            2         1  71.2833        C"""
OLD_FOREST = """RandomForestClassifier(bootstrap=True, class_weight=None, criterion='gini',
            max_depth=5, max_features='auto', max_leaf_nodes=None,
            n_estimators=100, n_jobs=1, oob_score=False, random_state=0,
            verbose=0, warm_start=False)"""

TEXTS = [
    # numbers
    ("accuracy 0.8271", "accuracy 0.8271", EXACT),
    ("accuracy 0.8271", "accuracy 0.82710", EXACT),
    ("accuracy 0.8271", "accuracy 0.8316", WITHIN),
    ("accuracy 0.8271", "accuracy 0.7316", DIFFERENT),
    ("loss 1e-05", "loss 0.00001", EXACT),
    ("total 1,234,567", "total 1234567", EXACT),
    ("[1,234]", "[1234]", DIFFERENT),
    ("83.2%", "83.3%", WITHIN),
    ("r -0.5", "r 0.5", DIFFERENT),
    ("rest 1e-17", "rest -3.2e-17", WITHIN),
    ("n 0", "n 1", DIFFERENT),
    ("(891, 12)", "(891, 11)", DIFFERENT),
    ("nan", "0.5", DIFFERENT),
    ("[nan, 1]", "[None, 1.0]", EXACT),
    ("inf", "1e999", DIFFERENT),
    ("0.83 ", "0.83\n\n", EXACT),
    # words
    ("hello", "world", DIFFERENT),
    ("Mr. Braund", "Mr. braund", DIFFERENT),
    ('["a", "b"]', "['a', 'b']", EXACT),
    ("a\nb", "a\nb\nc", DIFFERENT),
    ("\x1b[1;31mdone\x1b[0m", "done", EXACT),
    # arrays
    ("array([ 0.19,  0.81])", "array([0.19, 0.81])", EXACT),
    ("array([ 1.,  2.])", "array([1.,2.])", EXACT),
    ("[[103  16]\n [ 28  57]]", "[[103  16]\n [ 28  57]]", EXACT),
    ("[[103  16]\n [ 28  57]]", "[[98  21]\n [ 30  55]]", DIFFERENT),
    ("[0.1 0.2 0.3]", "[0.1 0.2]", DIFFERENT),
    ("0.83", "np.float64(0.83)", EXACT),
    # sets and dicts
    ("{'a', 'b', 'c'}", "{'c', 'a', 'b'}", EXACT),
    ("set(['a', 'b'])", "{'b', 'a'}", EXACT),
    ("{'a', 'b'}", "{'a', 'c'}", DIFFERENT),
    ("{'C': 1, 'gamma': {'x': 0.1, 'y': 2}}", "{'gamma': {'y': 2, 'x': 0.1}, 'C': 1}", EXACT),
    ("{'C': 1, 'gamma': 0.1}", "{'gamma': 0.1002, 'C': 1}", WITHIN),
    ("{'C': 1, 'gamma': 0.1}", "{'gamma': 0.2, 'C': 1}", DIFFERENT),
    ("Counter({'a, b': 2, 'c': 1})", "Counter({'c': 1, 'a, b': 2})", EXACT),
    ("dict_keys(['a', 'b'])", "dict_keys(['b', 'a'])", EXACT),
    ("['a', 'b']", "['b', 'a']", DIFFERENT),
    # pandas
    (HEAD, HEAD, EXACT),
    (HEAD, HEAD.replace("71.2833", "71.3000"), WITHIN),
    (HEAD, HEAD.replace("71.2833", "91.2833"), DIFFERENT),
    (DESCRIBE, DESCRIBE.replace("49.693429", "49.693429 "), EXACT),
    (DESCRIBE, DESCRIBE.replace("29.699118", "22.1"), DIFFERENT),
    (FOLDED, UNFOLDED, EXACT),
    (FOLDED, UNFOLDED.replace("71.2833", "51.2833"), DIFFERENT),
    (
        "     a    b    c   d\n0    1    2    3   4\n1  0.5  0.6  0.7  80",
        "     a  ...   d\n0    1  ...   4\n1  0.5  ...  80\n\n[2 rows x 4 columns]",
        EXACT,
    ),
    (
        "     a    b    c   d\n0    1    2    3   4\n1  0.5  0.6  0.7  80",
        "     a  ...   d\n0    1  ...   4\n1  0.5  ...  70\n\n[2 rows x 4 columns]",
        DIFFERENT,
    ),
    (
        "S    644\nC    168\nQ     77\nName: Embarked, dtype: int64",
        "Embarked\nS    644\nC    168\nQ     77\nName: count, dtype: int64",
        EXACT,
    ),
    (
        "S    644\nC    168\nName: Embarked, dtype: int64",
        "Embarked\nS    644\nC    268\nName: count, dtype: int64",
        DIFFERENT,
    ),
    ("a    2\nb    2\nc    1\ndtype: int64", "b    2\na    2\nc    1\ndtype: int64", EXACT),
    ("a    2\nb    1\nc    1\ndtype: int64", "b    2\na    1\nc    1\ndtype: int64", DIFFERENT),
    ("0    22.0\n1    38.0\nName: Age, dtype: float64", "0    22.0\n1    38.0\nName: Age, dtype: float32", EXACT),
    (
        "[S, C, Q]\nCategories (3, object): [S, C, Q]",
        "['S', 'C', 'Q']\nCategories (3, str): ['S', 'C', 'Q']",
        DIFFERENT,
    ),
    ("x\nCategories (3, object): [S, C, Q]", "x\nCategories (3, str): ['S', 'C', 'Q']", EXACT),
    # dates: those of data count, that of the run does not
    ("2012-01-01 05:00:00", "2012-01-02 05:00:00", DIFFERENT),
    ("2012-01-01", "2012-01-01", EXACT),
    ("run at 2017-05-04 10:11:12.123", "run at 2026-11-21 08:00:01.5", EXACT),
    ("Date: Thu, 04 May 2017  Time: 10:11:12", "Date: Sat, 21 Nov 2026  Time: 08:00:01", EXACT),
    ("Thu May  4 10:11:12 2017", "Sat Nov 21 08:00:01 2026", EXACT),
    ("12:03:44 INFO fitted", "08:01:02 INFO fitted", EXACT),
    # learning
    (REPORT, REPORT, EXACT),
    (REPORT, REPORT.replace("0.72", "0.52"), DIFFERENT),
    (OLD_FOREST, "RandomForestClassifier(max_depth=5, random_state=0)", EXACT),
    (OLD_FOREST, "RandomForestClassifier(max_depth=7, random_state=0)", DIFFERENT),
    (OLD_FOREST, "ExtraTreesClassifier(max_depth=5, random_state=0)", DIFFERENT),
    (
        "Pipeline(memory=None,\n     steps=[('scale', StandardScaler(copy=True, with_mean=True)), ('svc', SVC(C=2.0, coef0=0.0))])",
        "Pipeline(steps=[('scale', StandardScaler()), ('svc', SVC(C=2.0))])",
        EXACT,
    ),
    ("point(1, 2)", "point(1, 3)", DIFFERENT),
    (
        "[0]\tvalidation_0-rmse:0.512\tvalidation_1-rmse:0.523\n[1]\tvalidation_0-rmse:0.401\tvalidation_1-rmse:0.433",
        "[0]\tvalidation_0-rmse:0.51200\tvalidation_1-rmse:0.52300\n[1]\tvalidation_0-rmse:0.40100\tvalidation_1-rmse:0.43310",
        WITHIN,
    ),
    (
        "Epoch 1/2\n891/891 [==============================] - 1s 1ms/step - loss: 0.62 - acc: 0.65\n",
        "Epoch 1/2\n\r 1/28 [>.............................] - ETA: 9s - loss: 0.71 - accuracy: 0.5\b\b\b\r28/28 [==============================] - 0s 2ms/step - loss: 0.62 - accuracy: 0.65\n",
        EXACT,
    ),
    (
        "28/28 [==============================] - 0s 2ms/step - loss: 0.62 - accuracy: 0.65\n",
        "\x1b[1m28/28\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m1s\x1b[0m 2ms/step - accuracy: 0.75 - loss: 0.62\n",
        DIFFERENT,
    ),
    # times
    ("done in 3 s", "done in 2.5 s", EXACT),
    ("Fold 1 finished, elapsed: 0:00:12", "Fold 1 finished, elapsed: 0:01:02", EXACT),
    ("mean trip 12.5 min", "mean trip 25 min", DIFFERENT),
    ("Time 0.012\nV1 0.3", "Time 0.5\nV1 0.3", DIFFERENT),
    (
        "CPU times: user 1min 2s, sys: 1 s, total: 1min 3s\nWall time: 32 s\nrmse 0.5",
        "CPU times: user 4 µs, sys: 0 ns, total: 4 µs\nWall time: 7.15 µs\nrmse 0.5",
        EXACT,
    ),
]


@pytest.mark.parametrize(("was", "now", "outcome"), TEXTS)
def test_texts(was: str, now: str, outcome: Outcome) -> None:
    day = date(2026, 11, 21)
    assert compare_texts(was, now, day=day).outcome is outcome, str(compare_texts(was, now, day=day))


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("accuracy 0.8271", "accuracy 0.7316", "accuracy 0.7316, was 0.8271"),
        ("Accuracy of the model: 0.8", "Accuracy of the model: 0.7", "Accuracy of the model 0.7, was 0.8"),
        ("rows 10\nval_loss: 0.5 - loss: 0.4", "rows 20\nval_loss: 0.6 - loss: 0.4", "val_loss 0.6, was 0.5"),
        ("[0.5, 0.25]", "[0.6, 0.25]", "value 0.6, was 0.5"),
        ("Mean CV score:\n0.8", "Mean CV score:\n0.7", "Mean CV score 0.7, was 0.8"),
        (REPORT, REPORT.replace("0.72", "0.52"), "recall 0.52, was 0.72"),
        ("hello", "world", "text `world`, was `hello`"),
        ("fold\nauc 0.5", "a new line\nfold\nauc 0.9", "auc 0.9, was 0.5"),
        ("a\nb", "a", "does not print `b`"),
        ("a", "a\nb", "prints also `b`"),
    ],
)
def test_the_difference_that_tells_most_is_named(was: str, now: str, words: str) -> None:
    assert str(compare_texts(was, now)) == words


def test_a_text_beyond_the_limit_is_compared_by_its_beginning() -> None:
    long = "value 1.0\n" * (LARGEST // 5)
    assert compare_texts(long, long).note is None
    cut = compare_texts(long, long + "more")
    assert (cut.outcome, cut.note) == (EXACT, f"only the first {LARGEST:,} characters were compared")
    assert compare_texts(long, "value 2.0\n" + long).outcome is DIFFERENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "100%|███| 3/3 [00:01<00:00]\n",
        "<matplotlib.axes._subplots.AxesSubplot at 0x7f12345678>",
        "[<matplotlib.lines.Line2D at 0x7f1234567890>]",
        "Text(0.5, 1.0, 'Age')",
    ],
)
def test_what_says_nothing(text: str) -> None:
    assert says_nothing(text)


@pytest.mark.parametrize("text", ["[]", "0", "None", "Age", "{}"])
def test_what_says_something(text: str) -> None:
    assert not says_nothing(text)


# Properties

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=200)
numbers = st.floats(min_value=1e-3, max_value=1e6).map(lambda number: float(f"{number:.6g}"))
words = st.sampled_from(["accuracy", "Age", "mean", "C", "male"])
rows = st.lists(st.tuples(words, numbers), min_size=1, max_size=8)


def written(rows: list[tuple[str, float]], factor: float = 1.0) -> str:
    return "\n".join(f"{name} {number * factor!r}" for name, number in rows)


@given(texts)
def test_a_text_reproduces_itself(text: str) -> None:
    assert compare_texts(text, text).outcome is EXACT
    assert compare_texts(text, text + "\n ").outcome is EXACT
    assert compare_outputs([stream(text)], [stream(text)]).outcome in (EXACT, None)


@given(texts, texts)
def test_the_outcome_does_not_depend_on_who_was_first(was: str, now: str) -> None:
    assert compare_texts(was, now).outcome is compare_texts(now, was).outcome


@given(rows, st.floats(0.5, 1.5))
def test_the_outcome_of_numbers_does_not_depend_on_who_was_first(rows: list[tuple[str, float]], factor: float) -> None:
    was, now = written(rows), written(rows, factor)
    assert compare_texts(was, now).outcome is compare_texts(now, was).outcome


@given(rows)
def test_a_thousandth_is_within_and_a_tenth_is_not(rows: list[tuple[str, float]]) -> None:
    assert compare_texts(written(rows), written(rows, 1.001)).outcome is WITHIN
    different = compare_texts(written(rows), written(rows, 1.1))
    assert different.outcome is DIFFERENT
    assert different.label in dict(rows)


@given(st.lists(st.integers(0, 99), min_size=1, unique=True), st.randoms())
def test_a_set_has_no_order(members: list[int], random: Any) -> None:
    shuffled = random.sample(members, len(members))
    assert compare_texts(f"{{{str(members)[1:-1]}}}", f"{{{str(shuffled)[1:-1]}}}").outcome is EXACT


@given(st.recursive(st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_no_output_however_malformed_breaks_the_comparison(value: Any) -> None:
    output = {"output_type": "display_data", "data": {"image/png": value, "text/html": value, "text/plain": value}}
    strange = {"output_type": "stream", "text": value, "name": value}
    for author in ([output], [strange], [{"output_type": "execute_result", "data": value}], [{"data": value}]):
        compare_outputs(author, [stream("0.5"), result("1", text_html="<table><tr><td>1")])


# Tables of HTML


def frame(*rows: tuple[object, ...], heads: tuple[str, ...] = ("Age", "Fare")) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f"<div><style scoped>td {{x: y}}</style><table border='1'><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>"


@pytest.mark.parametrize(
    ("was", "now", "outcome", "words"),
    [
        (frame(("mean", 29.7, 32.2)), frame(("mean", 29.7, 32.2)).replace(" scoped", ""), EXACT, None),
        (frame(("mean", 29.7, 32.2)), frame(("mean", "29.70", "32.3")), WITHIN, None),
        (frame(("mean", 29.7, 32.2)), frame(("mean", 22.7, 32.2)), DIFFERENT, "mean Age 22.7, was 29.7"),
        (frame((0, "male", 1)), frame((0, "female", 1)), DIFFERENT, "Age `female`, was `male`"),
        (frame((0, "NaN", 1)), frame((0, "None", 1)), EXACT, None),
        (frame((0, 1, 2)), frame((0, 1, 2), (1, 2, 3)), DIFFERENT, "table of 3 by 3, was 2 by 3"),
        (
            frame((0, "a long name that is c...", 1)),
            frame((0, "a long name that is cut short", 1)),
            EXACT,
            None,
        ),
        (
            frame((0, 1, 2, 3), heads=("a", "b", "c")),
            frame((0, 1, "...", 3), heads=("a", "...", "c")),
            EXACT,
            None,
        ),
        (
            frame((0, 1, 2, 3, 4), heads=("a", "b", "c", "d")),
            frame((0, 1, "...", 5), heads=("a", "...", "d")),
            DIFFERENT,
            "d 5, was 4",
        ),
        (
            frame(("x", 5, 1), ("y", 5, 1), ("z", 4, 0)),
            frame(("y", 5, 1), ("x", 5, 1), ("z", 4, 0)),
            EXACT,
            None,
        ),
        ("<h3>Score</h3><p>0.5</p>", "<h3>Score</h3> <p>0.9</p>", DIFFERENT, "Score 0.9, was 0.5"),
    ],
)
def test_tables(was: str, now: str, outcome: Outcome, words: str | None) -> None:
    found = compare_html(was, now)
    assert found.outcome is outcome, str(found)
    assert words is None or str(found) == words
    assert compare_html(now, was).outcome is outcome


# Outputs of a cell


def outcomes(author: list[Any], now: list[Any]) -> list[str]:
    return [str(comparison.outcome) for comparison in compare_outputs(author, now).outputs]


PLOT = {"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2.5], "uid": "1f"}], "layout": {"title": {"text": "T"}}}


def plot(**changes: Any) -> dict[str, Any]:
    return {"data": [{**PLOT["data"][0], **changes}], "layout": {**PLOT["layout"], "template": {"changed": changes}}}


def plotly(form: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"application/vnd.plotly.v1+json": form, "text/html": "<div></div>"}}


def test_stderr_and_progress_are_not_compared() -> None:
    assert outcomes([stream("old warning", "stderr")], [stream("another", "stderr")]) == []
    assert outcomes([stream("a\n"), stream("w", "stderr"), stream("b\n")], [stream("a\nb\n")]) == ["exact"]
    assert outcomes([stream("100%|██| 2/2 [00:01<00:00]\n")], []) == []


def test_axes_that_a_cell_returns_are_not_counted() -> None:
    assert outcomes([result("<matplotlib.axes._subplots.AxesSubplot at 0x7f3c2c0b9a90>")], [result("<Axes: >")]) == []


def test_something_against_nothing_is_one_difference() -> None:
    (comparison,) = compare_outputs([], [stream("a"), result("1")]).outputs
    assert (comparison.outcome, str(comparison)) == (DIFFERENT, "shows text, was nothing")
    (comparison,) = compare_outputs([stream("a"), result("1"), result(text_html=frame((0, 1, 2)))], []).outputs
    assert (comparison.outcome, str(comparison)) == (DIFFERENT, "shows nothing, was text, a table")


def test_outputs_are_paired_by_kind() -> None:
    table = result("x", text_html=frame((0, 1, 2)))
    assert outcomes([table, result("0.5")], [stream("more"), table, result("0.5")]) == ["different", "exact", "exact"]
    assert outcomes([table, result("0.5")], [table]) == ["exact", "different"]


def test_figures_as_data() -> None:
    assert outcomes([plotly(PLOT)], [plotly(plot(uid="2a"))]) == ["exact"]
    assert outcomes([plotly(PLOT)], [plotly(plot(y=[1, 2.501]))]) == ["within"]
    assert outcomes([plotly(PLOT)], [plotly(plot(y=[1, 3]))]) == ["different"]
    packed = {"dtype": "f8", "bdata": "AAAAAAAA8D8AAAAAAAAEQA=="}
    assert outcomes([plotly(PLOT)], [plotly(plot(y=packed))]) == ["exact"]
    assert str(compare_outputs([plotly(PLOT)], [plotly(plot(y=[1, 3]))]).telling) == "figure y 3, was 2.5"


def test_a_figure_inside_html() -> None:
    page = '<div id="x1"></div><script>Plotly.newPlot("x1", {}, {}, {{"responsive": true}})</script>'
    was, now = (
        result(text_html=page.replace("{}", json.dumps(form["data"]), 1).replace("{}", json.dumps(form["layout"]), 1))
        for form in (PLOT, plot(y=[1, 9]))
    )
    assert outcomes([was], [was]) == ["exact"]
    assert outcomes([was], [now]) == ["different"]
    assert outcomes([was], [plotly(PLOT)]) == ["exact"]


def test_scripts_and_widgets_are_not_comparable() -> None:
    was, now = (result(text_html=f"<div id='{name}'></div><script>draw()</script>") for name in "ab")
    assert outcomes([was], [now]) == ["incomparable"]
    widget = {
        "output_type": "display_data",
        "data": {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/plain": "IntSlider(value=1)"},
    }
    other = {
        "output_type": "display_data",
        "data": {"application/vnd.jupyter.widget-view+json": {"model_id": "b"}, "text/plain": "IntSlider(value=1)"},
    }
    assert outcomes([widget], [other]) == ["incomparable"]


def test_an_estimator_that_shows_itself_as_html() -> None:
    was = result("SVC(C=1.0, cache_size=200, kernel='rbf')")
    now = result(
        "SVC()", text_html="<style>#sk-container-id-1</style><div class='sk-container'>SVC</div><script>x</script>"
    )
    assert outcomes([was], [now]) == ["exact"]


def test_a_library_that_loads_its_scripts_says_nothing() -> None:
    assert outcomes([result(text_html="<script>window.PlotlyConfig = {}</script>")], []) == []


SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="50"><metadata><date>{0}</date></metadata><path id="{0}" d="M 0 0 L {1} 50"/><text>{2}</text></svg>'


@pytest.mark.parametrize(
    ("made", "outcome"),
    [
        (("b", 20, "Age"), "exact"),
        (("b", 20.5, "Age"), "within"),
        (("b", 60, "Age"), "different"),
        (("b", 20, "Fare"), "different"),
    ],
)
def test_drawings_of_shapes(made: tuple[Any, ...], outcome: str) -> None:
    was, now = (
        {"output_type": "display_data", "data": {"image/svg+xml": SVG.format(*values)}}
        for values in (("a", 20, "Age"), made)
    )
    assert outcomes([was], [now]) == [outcome]


# A whole notebook


def author_cell(name: str, *outputs: Any, count: int | None = 1) -> Cell:
    return Cell(name, "code", "x", outputs=outputs, execution_count=count)


def compared(cells: list[Cell], outputs: dict[str, list[Any]], **states: TaskState) -> Reproduction:
    all_states = {cell.id: states.get(cell.id, TaskState.SUCCEEDED) for cell in cells}
    return compare_notebook(Notebook(tuple(cells)), outputs, all_states)


def test_the_line_of_a_run() -> None:
    cells = [
        author_cell("a", stream("1.0")),
        Cell("text", "markdown", "x"),
        author_cell("b", stream("rmse 2.0")),
        author_cell("c", stream("accuracy 0.8271"), result("x")),
        author_cell("d", result("rows 5")),
        author_cell("e", count=None),
        author_cell("f", {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}),
        author_cell("g", count=7),
    ]
    now = {
        "a": [stream("1")],
        "b": [stream("rmse 2.01")],
        "c": [stream("accuracy 0.5"), result("x")],
        "d": [result("rows 9")],
        "e": [stream("never run by the author")],
        "f": [stream("fails no more")],
    }
    found = compared(cells, now)
    assert found.line() == (
        "3 of 5 outputs reproduced: 2 exactly, 1 within 1 %; cell 2 accuracy 0.5, was 0.8271; 1 more cell differs"
    )
    assert [entry.cell for entry in found.different] == [2, 3]
    (problem,) = explain_differences(found, "nb.ipynb")
    assert (problem.code, problem.place) == ("not-reproduced", "nb.ipynb cell 2")
    assert "cell 2 accuracy 0.5, was 0.8271; cell 3 rows 9, was 5" in problem.message
    record = found.as_dict()
    assert record["outputs"] == record["exact"] + record["within"] + record["different"] == 5
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    ("cells", "now", "line"),
    [
        ([author_cell("a", result("1"))], {"a": [result("1")]}, "1 of 1 output reproduced exactly"),
        ([author_cell("a", result("1"))], {"a": [result("1.001")]}, "1 of 1 output reproduced within 1 %"),
        ([author_cell("a", result("1"))], {"a": [result("2")]}, "0 of 1 output reproduced; cell 0 value 2, was 1"),
        ([author_cell("a", result("1"))], {}, "0 of 1 output reproduced; cell 0 shows nothing, was text"),
        (
            [author_cell("a", result(text_html="<script>a</script>"))],
            {"a": [result(text_html="<script>b</script>")]},
            "no output could be compared with the author's; 1 not comparable",
        ),
    ],
)
def test_lines(cells: list[Cell], now: dict[str, list[Any]], line: str) -> None:
    found = compared(cells, now)
    assert found.line() == line
    assert bool(explain_differences(found, "nb.ipynb")) == ("0 of" in line)


def test_cells_that_did_not_run_are_not_counted_and_said() -> None:
    cells = [author_cell("a", stream("1")), author_cell("b", stream("x 2"), result("1")), author_cell("c", stream("3"))]
    found = compared(cells, {"a": [stream("1")]}, b=TaskState.FAILED, c=TaskState.SKIPPED)
    assert found.line() == "1 of 2 outputs reproduced exactly; cell 1 failed; 1 in cells that did not run"


def test_other_parameters_are_said() -> None:
    cell = author_cell("a", result("1"))
    found = compare_notebook(Notebook((cell,)), {"a": [result("1")]}, {"a": TaskState.SUCCEEDED}, parameters=["SEED"])
    assert found.line() == "1 of 1 output reproduced exactly; with other parameters (SEED)"


def test_numbers_and_their_names() -> None:
    text = "best C = 10\n  fold  score\n     1   0.5"
    tokens = [token for token in tokenise(text) if token.value is not None]
    assert [(token.text, label_of(text, token)) for token in tokens] == [
        ("10", "best C"),
        ("1", "fold"),
        ("0.5", "score"),
    ]
    assert str(Comparison(DIFFERENT, "image", note="another image")) == "another image"
