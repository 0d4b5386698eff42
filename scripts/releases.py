"""Makes `src/kanoe/environments/tables/releases.toml` from PyPI: the day and the Pythons of every release that dates code.

Run it when a row of `fingerprints.toml` or `output_marks.toml` names a release that the table lacks, and twice a year.
The names below are the libraries whose releases date code; those in `EVERY` are kept with their patch releases, which
outputs name, the others with the first release of each minor version.
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

TABLE = Path(__file__).resolve().parent.parent / "src" / "kanoe" / "environments" / "tables" / "releases.toml"
EVERY = "keras lightgbm matplotlib numpy pandas scikit-learn scipy seaborn statsmodels tensorflow xgboost"
MINOR = """
    albumentations altair bokeh catboost category-encoders eli5 fastai folium gensim geopandas hyperopt imbalanced-learn ipywidgets
    mlxtend networkx nltk optuna pillow plotly prophet pytorch-lightning scikit-image scikit-optimize shap spacy
    sympy tensorflow-addons tensorflow-hub tokenizers torch torchmetrics torchtext torchvision tqdm transformers
    umap-learn wordcloud yellowbrick"""
FIRST_YEAR = "2014"
HEAD = """\
# The day of a release and the Pythons it has Linux wheels for (`3.6-3.9`), or that it asks for at least (`3.7+`);
# `none`: a library in C that has no such wheel yet.
# Made from PyPI by scripts/releases.py; do not edit.
"""
_WHEEL = re.compile(r"-(?:cp3(\d+)|py3|py2\.py3)-(?P<abi>\w+)-(?:many)?linux[\w.]*x86_64[\w.]*\.whl$")


def main() -> int:
    """Write the table."""
    every, minor = EVERY.split(), MINOR.split()
    names = sorted([*every, *minor])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        documents = dict(zip(names, pool.map(_ask, names), strict=True))
    rows = [row for name in names for row in _rows(name, documents[name], every=name in every)]
    TABLE.write_text(HEAD + "".join(f"{row}  # PyPI\n" for row in rows), encoding="utf-8")
    print(f"{TABLE.name}: {len(rows)} releases of {len(names)} libraries")
    return 0


def _ask(name: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"https://pypi.org/pypi/{name}/json", timeout=60) as answer:
        return dict(json.load(answer)["releases"])


def _rows(name: str, releases: dict[str, Any], *, every: bool) -> Iterator[str]:
    seen: set[tuple[int, ...]] = set()
    compiled = any(_WHEEL.search(file["filename"]) for files in releases.values() for file in files)
    for version in sorted(_final_versions(releases)):
        files = releases[str(version)] if str(version) in releases else releases[_spelled(releases, version)]
        day = min((file["upload_time"] or "" for file in files), default="")[:10]
        key = version.release[:2]
        if day < FIRST_YEAR or version.is_postrelease or (key in seen and not every):
            continue
        seen.add(key)
        yield f'"{name} {version}" = "{day} {_pythons(files, compiled=compiled)}"'


def _final_versions(releases: dict[str, Any]) -> Iterator[Version]:
    for text, files in releases.items():
        try:
            version = Version(text)
        except InvalidVersion:
            continue
        if files and not version.is_prerelease and not version.local and not all(file["yanked"] for file in files):
            yield version


def _spelled(releases: dict[str, Any], version: Version) -> str:
    return next(text for text in releases if _same(text, version))


def _same(text: str, version: Version) -> bool:
    try:
        return Version(text) == version
    except InvalidVersion:
        return False


def _pythons(files: list[dict[str, Any]], *, compiled: bool) -> str:
    wheels = [match for file in files if (match := _WHEEL.search(file["filename"]))]
    pure = any(file["filename"].endswith("-none-any.whl") for file in files)
    minors = sorted(int(match[1]) for match in wheels if match[1])
    asked = next((file["requires_python"] for file in files if file["requires_python"]), "").replace(".*", "")
    oldest = next((minor for minor in range(3, 20) if SpecifierSet(asked).contains(f"3.{minor}.30")), 3)
    if compiled and not wheels and not pure:
        return "none"
    if not minors:
        return f"3.{oldest}+"
    open_end = any(match["abi"] in {"abi3", "none"} for match in wheels)
    return f"3.{max(oldest, minors[0])}+" if open_end else f"3.{minors[0]}-3.{minors[-1]}"


if __name__ == "__main__":
    sys.exit(main())
