"""Figures of old notebooks: a Jupyter of those years sets its style when it is asked, and when the first figure is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kanoe
from kanoe.environments.interpreters import find_interpreters
from pairs import PairCell, notebook_of

OLD = {"python": "3.6", "as_of": "2018-01-01", "with_packages": ("matplotlib==2.0.0", "seaborn==0.7.1")}
SOURCES = (
    "%matplotlib inline\nimport matplotlib",
    "import seaborn as sns",
    "import matplotlib.pyplot as plt\nplt.rcParams['lines.linewidth'] = 7",
    "n = {}",
    "import seaborn as sns\nplt.plot([1, n])",
    "print([matplotlib.rcParams[key] for key in sorted(matplotlib.rcParams.keys())])",
    "plt.bar([1, 2], [n, 3]);",
)


@pytest.mark.slow
@pytest.mark.skipif(not any(one.short == "3.6" for one in find_interpreters()), reason="there is no Python 3.6")
def test_the_style_of_old_figures_is_a_fresh_runs(tmp_path: Path) -> None:
    path = tmp_path / "notebook.ipynb"
    for n in (1, 2):
        cells = [PairCell("", source.replace("{}", str(n)), id=f"c{p}") for p, source in enumerate(SOURCES)]
        path.write_text(json.dumps(notebook_of(cells)))
        report = kanoe.run(path, html=False, cells=True, verify=n == 2, **OLD)
        assert report.succeeded, report.diagnostics
    assert [task.state for task in report.tasks[:4]] == ["CACHED"] * 3 + ["SUCCEEDED"]
    assert report.as_dict()["verification"]["equal"] is True
