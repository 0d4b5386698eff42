"""What an error says is not installed: many libraries name what they need only when they are first used.

The texts are those of the libraries themselves (pandas, scikit-learn, xgboost, bs4, plotly, keras, tqdm and others).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kanoe.environments.distributions import find_provider
from kanoe.environments.lock import Lock
from kanoe.environments.tables import read_names, read_pairs
from kanoe.environments.versions import normalise

_NAME = r"[`'\"]?([A-Za-z][\w.-]*\w)[`'\"]?"
# Each names a module or a distribution; the first that fits and is known decides.
_TEXTS = tuple(
    re.compile(text)
    for text in (
        rf"No module named {_NAME}",
        rf"[Mm]issing optional dependenc(?:y|ies) {_NAME}",
        rf"newer of {_NAME} \(version",
        rf"(?:pip3?|conda) install (?:-\S+ )*{_NAME}",
        rf"[Rr]equires {_NAME}\s?[><=]=?\s?[\d.]+",
        rf"[Ii]nstall {_NAME} ?[><=]=? ?[\d.]+",
        rf"{_NAME} not found,? please install",
        rf"{_NAME} (?:is|are) (?:required|needed|not installed)",
        rf"{_NAME} needs to be installed",
        rf"{_NAME} must be installed",
        rf"[Ff]ailed to import {_NAME}",
        rf"[Ii]mport {_NAME} failed",
        rf"[Cc]ould not import {_NAME}",
        rf"(?:must|have to|need to|[Pp]lease) (?:first )?install (?:the )?{_NAME}",
        rf"[Pp]lease update jupyter and {_NAME}",
        rf"features you requested: {_NAME}\. Do you need to install",
        rf"[Uu]nable to import required dependenc(?:y|ies):\s*{_NAME}",
        rf"{_NAME} (?:library|package|module) (?:is|was) not (?:found|installed)",
        rf"requires (?:the )?{_NAME} (?:library|package|module|to be installed)",
    )
)
# What the texts call a library -> its distribution.
_CALLED = {"matplotlib.pyplot": "matplotlib", "pil.image": "pillow", "plot_model": "pydot", "graphviz": "graphviz"}


def find_missing(ename: str, evalue: str, lock: Lock) -> str | None:
    """Return the distribution that an error asks for and that the environment does not hold; `None` if it names none.

    Only distributions that a table knows are returned: an error's text is the notebook's, and a name in it may be anybody's.

    Args:
        ename: the name of the exception's class.
        evalue: its text.
        lock: what the environment holds.
    """
    for name in _named(f"{ename}: {evalue}"):
        distribution = _known(name)
        if distribution is not None and lock.find(distribution) is None:
            return distribution
    return None


def _named(text: str) -> Iterator[str]:
    for pattern in _TEXTS:
        for match in pattern.finditer(text):
            yield match[1]


def _known(name: str) -> str | None:
    """Return the distribution of a module, or of that name, if a table knows it."""
    called = _CALLED.get(name.lower())
    if called is not None:
        return called
    provider = find_provider(name)
    if provider.kind == "known":
        return provider.distributions[0]
    if provider.kind in ("none", "nowhere"):
        return None
    distribution = normalise(name)
    return distribution if distribution in _distributions() else None


def _distributions() -> frozenset[str]:
    """Return the names of all distributions that the tables know."""
    rows = (*read_pairs("aliases").values(), *read_pairs("uses").values())
    named = (normalise(word) for row in rows for word in re.sub(r"[<>=!~;].*", "", row).split())
    return frozenset((*map(normalise, read_names("same")), *named))
