"""The page of an executed notebook, made anew only when something that it shows has changed: nbconvert costs more than a reused run.

What differs from run to run, which cells were reused and from where, is put into the finished page afterwards.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kanoe.back.page_marks import mark
from kanoe.base.files import replace_file
from kanoe.base.hashing import hash_text

if TYPE_CHECKING:
    from kanoe.back.reproduction.verdicts import Reproduction

_FORM = "1"  # raised when pages of the same notebook are to look different
# What a run says of a cell's execution and not of its result.
_OF_THE_RUN = ("execution", "kanoe")


class PageMemory(Protocol):
    """Keeps pages by what they show."""

    def find_page(self, key: str) -> bytes | None:
        """Return what was kept, or `None`."""

    def keep_page(self, key: str, data: bytes) -> None:
        """Keep it."""

    def close(self) -> None:
        """Let go of what is open."""


def write_page(
    notebook: Path, page: Path, title: str, reproduction: Reproduction | None, memory: PageMemory | None
) -> bool:
    """Write the page of an executed notebook; returns whether large outputs were cut.

    Args:
        notebook: the executed notebook's file.
        page: where the page goes.
        title: what it is called.
        reproduction: how its outputs compare with the author's.
        memory: where pages are kept; `None`: nowhere.

    Raises:
        OSError: the disk is full.
        Exception: nbconvert cannot show the notebook; whatever it raises.
    """
    if memory is None:
        from kanoe.back.page import render_page  # noqa: PLC0415 - nbconvert costs more than a small run

        text, cut = render_page(notebook, title, reproduction, "")
        replace_file(page, text.encode("utf-8", "xmlcharrefreplace"))
        return cut
    document = json.loads(notebook.read_bytes())
    reused = _take_reused(document)
    key = _key(document, title, reproduction)
    kept = memory.find_page(key)
    if kept is None:
        from kanoe.back.page import render_page  # noqa: PLC0415 - nbconvert costs more than a small run

        text, cut = render_page(notebook, title, reproduction, key)
        kept = json.dumps({"html": text, "cut": cut}).encode("utf-8", "surrogatepass")
        memory.keep_page(key, kept)
    made = json.loads(kept)
    replace_file(page, _marked(made["html"], key, reused).encode("utf-8", "xmlcharrefreplace"))
    return bool(made["cut"])


def _take_reused(document: dict[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Take out of the cells what belongs to the run; returns the reuse of those that were reused, by their number."""
    reused = {}
    for number, cell in enumerate(document["cells"]):
        for name in _OF_THE_RUN:
            found = cell["metadata"].pop(name, None)
            if name == "kanoe" and isinstance(found, dict) and isinstance(found.get("reused"), dict):
                reused[number] = found["reused"]
    return reused


def _key(document: Mapping[str, Any], title: str, reproduction: Reproduction | None) -> str:
    compared = json.dumps(reproduction.as_dict() if reproduction is not None else None, sort_keys=True, default=str)
    return hash_text("page", _FORM, version("nbconvert"), title, compared, json.dumps(document, sort_keys=True))


def _marked(text: str, key: str, reused: Mapping[int, Mapping[str, Any]]) -> str:
    for number, told in reused.items():
        text = text.replace(mark(key, number), f'<div class="kanoe-reused">{html.escape(_sentence(told))}</div>', 1)
    return text


def _sentence(told: Mapping[str, Any]) -> str:
    moment, seconds = told.get("moment"), told.get("seconds")
    when = f" of {datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if isinstance(moment, int | float) else ""
    took = f", where it took {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"reused from run {told.get('run')}{when}{took}"
