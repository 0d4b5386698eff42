"""What made a source run that failed in the environment it asked for: remembered, so that it is found once."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text
from kanoe.environments.needs import Needs
from kanoe.ir.source import Source

_FORM = "choice/1"
_FOUND = "an earlier run found it"


def remember_choice(source: Source, asked: Needs, chosen: Needs, folder: Path) -> None:
    """Remember for a source what ran.

    Args:
        source: what ran.
        asked: what it seemed to need.
        chosen: what it needed.
        folder: where choices are kept.
    """
    demanded = {one.name for one in asked.requirements if not one.optional}
    added = {one.name: one.why[-1] for one in chosen.requirements if not one.optional and one.name not in demanded}
    content = {"form": _FORM, "as_of": chosen.as_of, "python": chosen.python, "with": added}
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(_file(source, asked, folder), json.dumps(content).encode())


def recall_choice(source: Source, asked: Needs, folder: Path) -> Needs:
    """Return the needs with what is remembered for them; as they are where nothing is."""
    try:
        content = json.loads(_file(source, asked, folder).read_bytes())
        if content["form"] != _FORM:
            return asked
        needs = replace(asked, as_of=content["as_of"], python=content["python"])
        for name, why in content["with"].items():
            needs = needs.with_requirement(name, why)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return asked
    return replace(needs, as_of_why=_FOUND, python_why=_FOUND, evidence=(_FOUND, *asked.evidence))


def _file(source: Source, asked: Needs, folder: Path) -> Path:
    parts = [str(source.path), asked.as_of or "", asked.python or "", *map(str, asked.requirements)]
    return folder / f"{hash_text(_FORM, *parts)}.choice"
