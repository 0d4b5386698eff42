"""The HTML page of an executed notebook, made by nbconvert. It opens without a network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter

from kanoe.back.page_marks import mark

if TYPE_CHECKING:
    from kanoe.back.reproduction.verdicts import Reproduction

# Text beyond this many characters of one output is cut out of the page; the notebook and the log hold everything.
_LARGEST_TEXT = 1_000_000
_KEPT = 200_000

# nbconvert's own page, without the scripts it would fetch from elsewhere, but for what cannot be shown otherwise.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- if resources.kanoe.scripts -%}{{ super() }}{%- endif -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- if resources.kanoe.formulas -%}{{ super() }}{%- endif -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- if resources.kanoe.diagrams -%}{{ super() }}{%- endif -%}{%- endblock -%}
{%- block extra_css -%}{{ super() }}{%- if resources.kanoe.reproduced -%}<style>
.kanoe-reproduced { font: 13px/1.5 system-ui, sans-serif; margin: 2px 0 8px; padding: 1px 10px; border-left: 4px solid #888; color: #666; }
.kanoe-exact, .kanoe-within { border-color: #2e8b57; }
.kanoe-different { border-color: #c62828; color: #c62828; }
.kanoe-summary { font-size: 15px; margin: 12px 0; padding: 6px 12px; }
</style>{%- endif -%}<style>.kanoe-reused { font: 12px/1.5 system-ui, sans-serif; margin: 0 0 6px; padding: 0 10px; color: #888; }</style>
{%- endblock -%}
{%- block body_header -%}{{ super() }}{%- if resources.kanoe.reproduced -%}
<div class="kanoe-reproduced kanoe-summary kanoe-{{ resources.kanoe.reproduced_as }}">{{ resources.kanoe.reproduced | e }}</div>
{%- endif -%}{%- endblock -%}
{%- block codecell -%}{{ super() }}{{ cell.metadata.kanoe_mark }}{%- if cell.metadata.kanoe_reproduced -%}
<div class="kanoe-reproduced kanoe-{{ cell.metadata.kanoe_reproduced.outcome }}">{{ cell.metadata.kanoe_reproduced.words | e }}</div>
{%- endif -%}{%- endblock -%}
"""


def render_page(notebook: Path, title: str, reproduction: Reproduction | None, key: str) -> tuple[str, bool]:
    """Return the page of an executed notebook, and whether large outputs were cut.

    Args:
        notebook: the executed notebook's file.
        title: what it is called.
        reproduction: how its outputs compare with the author's, to be shown at its top and below each cell.
        key: what the marks below the cells hold, for `remembered_page`.

    Raises:
        Exception: nbconvert cannot show the notebook; whatever it raises.
    """
    document = nbformat.read(notebook, as_version=4)
    cut = _cut_large(document)
    document.metadata["title"] = title
    for number, cell in enumerate(document.cells):
        cell.metadata["kanoe_mark"] = mark(key, number)
    loaders = [DictLoader({"kanoe.html.j2": _TEMPLATE})]
    exporter = HTMLExporter(extra_loaders=loaders, template_file="kanoe.html.j2", exclude_anchor_links=True)
    # The lexer of IPython's own syntax comes with IPython, which lives in the notebook's environment, not in ours.
    document.metadata.setdefault("language_info", {})["pygments_lexer"] = "python3"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        needed = _needed_scripts(document) | _reproduced(document, reproduction)
        html, _ = exporter.from_notebook_node(document, resources={"kanoe": needed})
    return html, cut


def _reproduced(document: Any, reproduction: Reproduction | None) -> dict[str, Any]:
    """Give each compared cell the words of its badge; returns those of the whole page."""
    if reproduction is None:
        return {}
    cells = [cell for cell in document.cells if cell.cell_type == "code"]
    for entry in reproduction.cells:
        if entry.verdict.outcome is not None:
            cells[entry.cell].metadata["kanoe_reproduced"] = {
                "outcome": str(entry.verdict.outcome),
                "words": entry.verdict.words(reproduction.tolerance),
            }
    return {"reproduced": reproduction.line(), "reproduced_as": str(reproduction.outcome or "incomparable")}


def _needed_scripts(document: Any) -> dict[str, bool]:
    """Return which scripts of other sites the page needs; without them it opens all the same, with the formulas' text as it is."""
    texts = [cell.source for cell in document.cells if cell.cell_type == "markdown"]
    html: list[str] = []
    mimes: set[str] = set()
    for cell in document.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            mimes.update(data)
            texts += [data["text/markdown"]] if isinstance(data.get("text/markdown"), str) else []
            html += [data["text/html"]] if isinstance(data.get("text/html"), str) else []
    return {
        "scripts": "application/javascript" in mimes or any("require" in text and "<script" in text for text in html),
        "formulas": "text/latex" in mimes
        or any("$" in text or "\\\\(" in text or "\\begin{" in text for text in texts),
        "diagrams": any("```mermaid" in text for text in texts) or "text/vnd.mermaid" in mimes,
    }


def _cut_large(document: Any) -> bool:
    cut = False
    for cell in document.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and len(output.text) > _LARGEST_TEXT:
                output.text = _shorten(output.text)
                cut = True
            for mime, value in output.get("data", {}).items():
                if mime.startswith("text/") and isinstance(value, str) and len(value) > 10 * _LARGEST_TEXT:
                    output.data[mime] = _shorten(value)
                    cut = True
    return cut


def _shorten(text: str) -> str:
    left_out = len(text) - 2 * _KEPT
    return f"{text[:_KEPT]}\n… {left_out:,} characters left out of this page; `notebook.ipynb` and `log.json` hold them …\n{text[-_KEPT:]}"
