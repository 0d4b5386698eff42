"""Graphs of cells as text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.verbs.drawing import Node, direct_needs, dot, mermaid, rails

NASTY = [
    'a"b',
    "x | y --> z",
    "`tick` [square] {curly} <b>&amp; #35; ;",
    "é ü 漢字 😀",
    "end",
    "%% comment",
    "\\ back\\",
    "line\nbreak\ttab\r",
    "",
    "subgraph x",
    '"',
    "a\x1b[31mred",
    "# title",
    "\ud800",
]


def nodes(*needs: tuple[int, ...], states: str = "") -> list[Node]:
    names = {"o": "hit", "*": "miss", "?": "maybe"}
    signs = states or "*" * len(needs)
    return [Node(at, f"cell {at}", names[signs[at]], dict.fromkeys(wanted, ("df",))) for at, wanted in enumerate(needs)]


DRAWINGS = {
    "a chain": (nodes((), (0,), (1,)), ["●", "●", "●"]),
    "a fan": (nodes((), (0,), (0,), (0,)), ["●", "├─●", "├─●", "●"]),
    "a diamond": (nodes((), (0,), (0,), (1, 2)), ["●", "├─●", "● │", "●─╯"]),
    "what follows is left out": (nodes((), (0,), (0, 1)), ["●", "●", "●"]),
    "two roots": (nodes((), (), (0, 1)), ["●", "│ ●", "●─╯"]),
    "a leaf and a root are kept apart": (nodes((), ()), ["●", "  ●"]),
    "states": (nodes((), (0,), (1,), states="o*?"), ["○", "●", "◐"]),
    "what comes from far": (nodes((), (0,), (1,), (0, 2)), ["●", "●", "●", "●"]),
    "nothing": ([], []),
}


@pytest.mark.parametrize("case", DRAWINGS)
def test_a_drawing(case: str) -> None:
    graph, lines = DRAWINGS[case]
    assert [line.rstrip() for line in rails(graph)] == lines


def test_lines_have_one_width() -> None:
    assert len({len(line) for line in rails(DRAWINGS["a fan"][0])}) == 1


def test_ascii_where_nothing_else_is_shown() -> None:
    assert [line.rstrip() for line in rails(DRAWINGS["two roots"][0], plain=True)] == ["*", "| *", "*-+"]


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(0, 30))
    return [
        Node(
            at,
            draw(st.sampled_from(NASTY)),
            draw(st.sampled_from(["hit", "miss", "maybe"])),
            dict.fromkeys(needs, ("df",)),
        )
        for at in range(count)
        for needs in [draw(st.sets(st.integers(0, at - 1), max_size=4) if at else st.just(set()))]
    ]


@given(graphs())
def test_the_rails_tell_the_whole_graph(graph: list[Node]) -> None:
    """Whoever follows the rails finds just the edges: nothing is drawn that is not there."""
    direct = direct_needs(graph)
    found: dict[int, list[int]] = {}
    lanes: dict[int, int] = {}
    for node, row in zip(graph, rails(graph), strict=True):
        mark = next(at for at, sign in enumerate(row) if sign in "○●◐")
        found[node.key] = [lanes[mark]] if mark in lanes and row[mark - 1 : mark] in ("", " ", "─") else []
        joined = [at for at, sign in enumerate(row) if sign in "├┤┼╰╯┴"]
        found[node.key] += [lanes[at] for at in joined]
        for at in joined:
            if row[at] in "╰╯┴":
                del lanes[at]
        # A lane goes on below a mark where the next rows show it; it ends with its last reader.
        lanes.pop(mark, None)
        if any(node.key in needs for key, needs in direct.items() if key > node.key):
            lanes[mark] = node.key
    assert {key: sorted(needs) for key, needs in found.items()} == direct


@given(graphs())
def test_what_is_needed_is_reached(graph: list[Node]) -> None:
    direct = direct_needs(graph)

    def above(key: int) -> set[int]:
        return set(direct[key]).union(*(above(need) for need in direct[key]))

    for node in graph[:12]:
        assert set(node.needs) <= above(node.key)


# The grammars, as far as they are used: a text that does not fit is no Mermaid and no DOT.

_MERMAID_LINE = re.compile(
    r"""flowchart\ TD
      | \ {4}c\d+\["[^"\[\]{}<>|`\\\n]*"\]:::(hit|miss|maybe)
      | \ {4}c\d+\ -->(\|"[^"\[\]{}<>|`\\\n]*"\|)?\ c\d+
      | \ {4}classDef\ \w+\ [\w:#,]+""",
    re.VERBOSE,
)
_DOT_TOKEN = re.compile(r'\s+|digraph\b|[A-Za-z_]\w*|->|[{}\[\]=;,]|"(?:[^"\\]|\\.)*"', re.DOTALL)


def dot_tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text):
        match = _DOT_TOKEN.match(text, position)
        assert match is not None, text[position : position + 40]
        position = match.end()
        if not match[0].isspace():
            yield match[0]


def parse_dot(text: str) -> tuple[int, int]:
    """Return how many nodes and edges a graph has (https://graphviz.org/doc/info/lang.html)."""
    tokens = list(dot_tokens(text))
    assert tokens[:3] == ["digraph", "plan", "{"]
    assert tokens[-1] == "}"
    body = " ".join("S" if token.startswith('"') else token for token in tokens[3:-1])
    attributes = r"\[ (?:\w+ = \w+ ?,? ?)+\]"
    made = re.findall(rf"(?:^|; )c\d+ {attributes}", body)
    edges = re.findall(rf"c\d+ -> c\d+ {attributes}", body)
    rest = re.sub(rf"(?:c\d+(?: -> c\d+)?|node) {attributes} ;|rankdir = \w+ ;", "", body)
    assert rest.strip() == ""
    return len(made), len(edges)


@given(graphs())
def test_mermaid_is_valid(graph: list[Node]) -> None:
    lines = mermaid(graph).splitlines()
    assert [line for line in lines if not _MERMAID_LINE.fullmatch(line)] == []
    assert sum("-->" in line.split('"')[0] for line in lines) == sum(map(len, direct_needs(graph).values()))


@given(graphs())
def test_dot_is_valid(graph: list[Node]) -> None:
    assert parse_dot(dot(graph)) == (len(graph), sum(map(len, direct_needs(graph).values())))


def test_an_edge_says_what_it_carries() -> None:
    graph = [Node(0, "a", "hit", {}), Node(1, "b", "miss", {0: ["df", "x", "y", "z"]})]
    assert 'c0 -->|"df, x, y +1"| c1' in mermaid(graph).replace("#43;", "+")
    assert 'c0 -> c1 [label="df, x, y +1"]' in dot(graph)
