"""The outputs of one cell against the author's: paired in order, each pair compared by what it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import SequenceMatcher
from typing import Any

from kanoe.back.reproduction.figures import compare_drawings, compare_figures, figure_in
from kanoe.back.reproduction.images import compare_images
from kanoe.back.reproduction.tables import compare_html, text_of
from kanoe.back.reproduction.texts import compare_texts, says_nothing
from kanoe.back.reproduction.verdicts import TOLERANCE, Comparison, Outcome, Verdict

_PICTURES = ("image/png", "image/jpeg", "image/gif")
_FIGURE = re.compile(r"application/(?:vnd\.plotly\.v1|vnd\.vega(?:lite)?\.v\d+)\+json")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SCRIPT = re.compile(r"<script|<iframe", re.IGNORECASE)
# What libraries put into a notebook once so that their figures can be drawn.
_LOADER = re.compile(
    r"PlotlyConfig|requirejs\.config|BokehJS|bk_autoload|HoloViews|hv-extension|require\.undef|vegaEmbed_loader"
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """One thing that a cell shows: its kind, and its forms by MIME type."""

    kind: str
    forms: Mapping[str, Any]

    def text(self, mime: str) -> str:
        return text_form(self.forms.get(mime))


def compare_outputs(
    author: Sequence[Mapping[str, Any]],
    now: Sequence[Mapping[str, Any]],
    tolerance: float = TOLERANCE,
    day: date | None = None,
) -> Verdict:
    """Compare a cell's outputs with the author's.

    What goes to stderr is left out: warnings and logs. All that a cell printed is one output, wherever pictures stand between.
    Outputs that only hold what differs between any two runs (progress bars, times, names of drawing objects) are left out.

    Args:
        author: the author's outputs, in the form of nbformat 4.
        now: those of now.
        tolerance: how far two numbers may be apart, as a share of the larger.
        day: the day of the run: that date is no result.
    """
    theirs, ours = list(_shown(author)), list(_shown(now))
    if not theirs or not ours:
        return Verdict((_one_sided(theirs, ours),)) if theirs or ours else Verdict()
    found = [
        _absent(left, right) if left is None or right is None else _compare(left, right, tolerance, day)
        for left, right in _pairs(theirs, ours)
    ]
    return Verdict(tuple(found))


def text_form(value: object) -> str:
    """Return a text of a notebook file, which may stand as a list of lines."""
    if isinstance(value, list | tuple):
        return "".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else ""


# What is shown


def _shown(outputs: Sequence[Mapping[str, Any]]) -> Iterator[_Shown]:
    printed = "".join(
        text_form(output.get("text"))
        for output in outputs
        if output.get("output_type") == "stream" and output.get("name", "stdout") == "stdout"
    )
    if not says_nothing(printed):
        yield _Shown("text", {"text/plain": printed})
    for output in outputs:
        forms = output.get("data")
        if output.get("output_type") in ("execute_result", "display_data") and isinstance(forms, Mapping):
            kind = _kind(forms)
            if kind != "nothing":
                yield _Shown(kind, forms)


def _kind(forms: Mapping[str, Any]) -> str:
    """Return what a bundle of forms is: `figure`, `image`, `widget`, `table`, `page`, `text`, or `nothing` that tells."""
    if any(_FIGURE.fullmatch(mime) for mime in forms):
        return "figure"
    if any(mime in forms for mime in (*_PICTURES, "image/svg+xml")):
        return "image"
    if _WIDGET in forms:
        return "nothing" if says_nothing(text_form(forms.get("text/plain"))) else "widget"
    if "text/html" in forms:
        return _kind_of_html(text_form(forms["text/html"]), forms)
    if "application/javascript" in forms:
        return "nothing" if _LOADER.search(text_form(forms["application/javascript"])) else "page"
    return "nothing" if says_nothing(_plain(forms)) else "text"


def _kind_of_html(html: str, forms: Mapping[str, Any]) -> str:
    if "Plotly." in html and figure_in(html) is not None:
        return "figure"
    if _LOADER.search(html) and not text_of(html):
        return "nothing"
    if "sk-container" in html or "sk-toggleable" in html:
        return "text"  # an estimator of scikit-learn, whose text says more
    if "<table" in html:
        return "table"
    if _SCRIPT.search(html):
        return "page"
    return "text" if text_of(html) or _plain(forms) else "nothing"


def _plain(forms: Mapping[str, Any]) -> str:
    return next((text_form(forms[mime]) for mime in ("text/plain", "text/latex", "text/markdown") if mime in forms), "")


# Pairs


def _pairs(theirs: Sequence[_Shown], ours: Sequence[_Shown]) -> Iterator[tuple[_Shown | None, _Shown | None]]:
    """Yield what belongs together, in order; `None` where one side has nothing of the kind."""
    kinds = [shown.kind for shown in theirs], [shown.kind for shown in ours]
    if len(theirs) == len(ours):
        yield from zip(theirs, ours, strict=True)
        return
    for _, left, left_end, right, right_end in SequenceMatcher(None, kinds[0], kinds[1], autojunk=False).get_opcodes():
        for offset in range(max(left_end - left, right_end - right)):
            one = theirs[left + offset] if left + offset < left_end else None
            other = ours[right + offset] if right + offset < right_end else None
            yield one, other


def _one_sided(theirs: Sequence[_Shown], ours: Sequence[_Shown]) -> Comparison:
    """Return the one difference of a cell that shows something on one side only."""
    kinds = ", ".join(dict.fromkeys(_noun(shown) for shown in theirs or ours))
    note = f"shows nothing, was {kinds}" if theirs else f"shows {kinds}, was nothing"
    return Comparison(Outcome.DIFFERENT, "cell", note=note)


def _absent(left: _Shown | None, right: _Shown | None) -> Comparison:
    note = f"lacks {_noun(left)}" if left else f"shows {_noun(right)} besides" if right else ""
    return Comparison(Outcome.DIFFERENT, "cell", note=note)


def _noun(shown: _Shown) -> str:
    return {"figure": "a figure", "image": "an image", "widget": "a widget", "table": "a table"}.get(shown.kind, "text")


# One pair


def _compare(was: _Shown, now: _Shown, tolerance: float, day: date | None) -> Comparison:
    for kind in ("figure", "image", "table", "page", "widget", "text"):
        if was.kind == now.kind == kind:
            return _BY_KIND[kind](was, now, tolerance, day)
    theirs, ours = _plain(was.forms), _plain(now.forms)
    if {was.kind, now.kind} == {"table", "text"} and theirs and ours:
        return replace(compare_texts(theirs, ours, tolerance, day), kind="table")
    if "page" in (was.kind, now.kind) or "widget" in (was.kind, now.kind):
        return _incomparable(was, now, tolerance, day)
    return Comparison(Outcome.DIFFERENT, "cell", note=f"shows {_noun(now)}, was {_noun(was)}")


def _compare_figure(was: _Shown, now: _Shown, tolerance: float, _day: date | None) -> Comparison:
    theirs, ours = _figure_form(was), _figure_form(now)
    return compare_figures(theirs, ours, tolerance)


def _figure_form(shown: _Shown) -> Any:
    form = next((value for mime, value in shown.forms.items() if _FIGURE.fullmatch(mime)), None)
    if isinstance(form, Mapping) and "data" in form and "layout" in form:
        return [form["data"], form["layout"]]
    return form if form is not None else figure_in(shown.text("text/html"))


def _compare_image(was: _Shown, now: _Shown, tolerance: float, _day: date | None) -> Comparison:
    for mime in ("image/png", "image/jpeg", "image/gif"):
        if mime in was.forms and mime in now.forms:
            return compare_images(was.text(mime), now.text(mime))
    if "image/svg+xml" in was.forms and "image/svg+xml" in now.forms:
        return compare_drawings(was.text("image/svg+xml"), now.text("image/svg+xml"), tolerance)
    theirs, ours = (next((shown.text(mime) for mime in _PICTURES if mime in shown.forms), "") for shown in (was, now))
    if theirs and ours:
        return compare_images(theirs, ours)
    return Comparison(Outcome.INCOMPARABLE, "image", note="one image is of pixels, the other of shapes")


def _compare_table(was: _Shown, now: _Shown, tolerance: float, day: date | None) -> Comparison:
    return compare_html(was.text("text/html"), now.text("text/html"), tolerance, day)


def _compare_text(was: _Shown, now: _Shown, tolerance: float, day: date | None) -> Comparison:
    theirs, ours = _plain(was.forms), _plain(now.forms)
    html = "text/html" in was.forms and "text/html" in now.forms
    if html and (says_nothing(theirs) or says_nothing(ours)):
        return compare_html(was.text("text/html"), now.text("text/html"), tolerance, day)
    return compare_texts(theirs, ours, tolerance, day)


def _incomparable(was: _Shown, now: _Shown, _tolerance: float, _day: date | None) -> Comparison:
    if dict(was.forms) == dict(now.forms):
        return Comparison(Outcome.EXACT, "page")
    what = "a widget" if "widget" in (was.kind, now.kind) else "drawn by a script in the page"
    return Comparison(Outcome.INCOMPARABLE, "page", note=f"it is {what}")


_BY_KIND = {
    "figure": _compare_figure,
    "image": _compare_image,
    "table": _compare_table,
    "page": _incomparable,
    "widget": _incomparable,
    "text": _compare_text,
}
