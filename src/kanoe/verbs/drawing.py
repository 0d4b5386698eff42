"""A graph of cells as text: rails for a terminal, Mermaid and DOT for pages. Pure: no input, no output.

The rails run from top to bottom, a row per node, as in a version history:

    ●       0  import pandas as pd
    ├─●     1  train = pd.read_csv("train.csv")
    │ ├─○   2  train.describe()
    ╰─┴─●   3  model.fit(train)

An edge that follows from others is left out of them: who needs cell 3 needs what cell 3 needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A cell in a graph.

    Args:
        key: a number that no other node has; nodes come in the order of their keys.
        title: what it is, for people.
        state: `hit`, `miss` or `maybe`.
        needs: what it takes from which earlier node: its key -> words.
    """

    key: int
    title: str
    state: str
    needs: Mapping[int, Sequence[str]]


MARKS = {"hit": "○", "miss": "●", "maybe": "◐"}
_PLAIN_MARKS = {"hit": "o", "miss": "*", "maybe": "?"}
_PLAIN = str.maketrans("│├┤┼╰╯┴─○●◐", "|++++++-o*?")
_COLOURS = {"hit": "#e8f3ea", "miss": "#f9e0d9", "maybe": "#fbf3d0"}
_MOST_WORDS = 3


def direct_needs(nodes: Sequence[Node]) -> dict[int, list[int]]:
    """Return what each node needs but for what it needs through another that it needs."""
    known = {node.key for node in nodes}
    reached: dict[int, set[int]] = {}
    direct: dict[int, list[int]] = {}
    for node in nodes:
        needs = sorted(need for need in node.needs if need in known and need < node.key)
        through = set[int]().union(*(reached[need] for need in needs))
        direct[node.key] = [need for need in needs if need not in through]
        reached[node.key] = through | set(needs)
    return direct


def rails(nodes: Sequence[Node], *, plain: bool = False) -> list[str]:
    """Return the rails of a graph, one line for each node, all of one width.

    Args:
        nodes: in their order.
        plain: whether only ASCII is to be used.
    """
    needs = direct_needs(nodes)
    last = {need: node.key for node in nodes for need in needs[node.key]}
    lanes: list[int | None] = []
    rows = []
    leaf = -1
    for node in nodes:
        coming = [lane for lane, key in enumerate(lanes) if key in needs[node.key]]
        ending = [lane for lane in coming if last[_key(lanes, lane)] == node.key]
        staying = [lane for lane in coming if lane not in ending]
        column = _column(lanes, ending, staying, leaf)
        rows.append(_row(lanes, node, column, ending, staying))
        for lane in ending:
            lanes[lane] = None
        if node.key in last:
            lanes.extend([None] * (column + 1 - len(lanes)))
            lanes[column] = node.key
        # Nothing needs it: a mark straight below that needs nothing would look as if it came from it.
        leaf = column if node.key not in last else -1
        while lanes and lanes[-1] is None:
            lanes.pop()
    width = max((len(row) for row in rows), default=0)
    lines = [row.ljust(width) for row in rows]
    return [line.translate(_PLAIN) for line in lines] if plain else lines


def _key(lanes: Sequence[int | None], lane: int) -> int:
    key = lanes[lane]
    assert key is not None
    return key


def _column(lanes: Sequence[int | None], ending: Sequence[int], staying: Sequence[int], leaf: int) -> int:
    """Return the lane of a node: that of what ends in it where nothing else comes, else a free one right of all that comes."""
    if ending and not staying:
        return ending[0]
    lane = max((*ending, *staying), default=-1) + 1
    while (lane < len(lanes) and lanes[lane] is not None) or (lane == leaf and not staying):
        lane += 1
    return lane


def _row(lanes: Sequence[int | None], node: Node, column: int, ending: Sequence[int], staying: Sequence[int]) -> str:
    coming = {*ending, *staying}
    first, end = min((*coming, column)), max((*coming, column))
    cells = []
    for lane in range(max(len(lanes), column + 1)):
        passing = lane < len(lanes) and lanes[lane] is not None
        if lane == column:
            sign = MARKS[node.state]
        elif lane in coming:
            sign = _joint(ends=lane in ending, left=lane > first, right=lane < end)
        elif passing:
            sign = "│"
        else:
            sign = "─" if first < lane < end else " "
        cells.append(sign + ("─" if first <= lane < end else " "))
    return "".join(cells).rstrip()


def _joint(*, ends: bool, left: bool, right: bool) -> str:
    if left and right:
        return "┴" if ends else "┼"
    if right:
        return "╰" if ends else "├"
    return "╯" if ends else "┤"


# Mermaid (https://mermaid.js.org/syntax/flowchart.html)


def mermaid(nodes: Sequence[Node]) -> str:
    """Return the graph as a Mermaid flowchart."""
    needs = direct_needs(nodes)
    lines = ["flowchart TD"]
    lines += [f'    c{node.key}["{_mermaid_text(f"{node.key}: {node.title}")}"]:::{node.state}' for node in nodes]
    for node in nodes:
        for need in needs[node.key]:
            words = _mermaid_text(_words(node.needs[need]))
            lines.append(f'    c{need} -->|"{words}"| c{node.key}' if words else f"    c{need} --> c{node.key}")
    lines += [f"    classDef {state} fill:{colour},stroke:#555,color:#111" for state, colour in _COLOURS.items()]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Return a text for a quoted label: what Markdown, HTML or Mermaid would read is written as the number of its character."""
    kept = re.compile(r"[\w .,:;=()+/-]")
    return "".join(sign if kept.match(sign) else f"#{ord(sign)};" for sign in _one_line(text))


# DOT (https://graphviz.org/doc/info/lang.html)


def dot(nodes: Sequence[Node]) -> str:
    """Return the graph in Graphviz's language."""
    needs = direct_needs(nodes)
    lines = [
        "digraph plan {",
        "    rankdir=TB;",
        '    node [shape=box, style="rounded,filled", fontname="sans-serif"];',
    ]
    for node in nodes:
        label = _dot_text(f"{node.key}: {node.title}")
        lines.append(f'    c{node.key} [label="{label}", fillcolor="{_COLOURS[node.state]}", tooltip="{node.state}"];')
    for node in nodes:
        for need in needs[node.key]:
            lines.append(f'    c{need} -> c{node.key} [label="{_dot_text(_words(node.needs[need]))}"];')
    return "\n".join([*lines, "}"]) + "\n"


def _dot_text(text: str) -> str:
    return _one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _words(words: Sequence[str]) -> str:
    more = f" +{len(words) - _MOST_WORDS}" if len(words) > _MOST_WORDS else ""
    return ", ".join(words[:_MOST_WORDS]) + more


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
