"""What made a source run that failed in the environment it asked for: remembered, so that it is found once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.environments.needs import Needs, Requirement
from kanoe.ir.source import Source

_FORM = "choice/2"
_FOUND = "an earlier run found it"


def remember_choice(source: Source, asked: Needs, chosen: Needs, folder: Path) -> None:
    """Remember for a source what ran.

    Args:
        source: what ran.
        asked: what it seemed to need.
        chosen: what it needed.
        folder: where choices are kept.
    """
    before = {str(one) for one in asked.requirements if not one.optional}
    added = [[one.name, one.why[-1], one.specifier] for one in chosen.requirements if _is_new(one, before)]
    content = {
        "form": _FORM,
        "as_of": chosen.as_of,
        "as_of_inferred": chosen.as_of_inferred,
        "python": chosen.python,
        "python_inferred": chosen.python_inferred,
        "with": added,
    }
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(_file(source, asked, folder), json.dumps(content).encode())


def recall_choice(source: Source, asked: Needs, folder: Path) -> Needs:
    """Return the needs with what is remembered for them; as they are where nothing is."""
    try:
        content = json.loads(_file(source, asked, folder).read_bytes())
        if content["form"] != _FORM:
            return asked
        # What was inferred stays a wish: the interpreter of that time may be gone.
        needs = replace(
            asked,
            inferred=content["as_of_inferred"] or content["python_inferred"],
            **{name: content[name] for name in ("as_of", "as_of_inferred", "python", "python_inferred")},
        )
        given = {one.name: one.specifier for one in asked.requirements}
        for name, why, specifier in content["with"]:
            needs = needs.with_requirement(name, why, specifier.removeprefix(given.get(name, "")).removeprefix(","))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return asked
    if (needs.as_of, needs.python) == (asked.as_of, asked.python):
        return needs
    return replace(needs, as_of_why=_FOUND, python_why=_FOUND, evidence=(_FOUND, *asked.evidence))


def _is_new(requirement: Requirement, before: Collection[str]) -> bool:
    return not requirement.optional and not requirement.marker and str(requirement) not in before


def _file(source: Source, asked: Needs, folder: Path) -> Path:
    parts = [str(source.path), asked.as_of or "", asked.python or "", *map(str, asked.requirements)]
    return folder / f"{hash_text(_FORM, *parts)}.choice"
