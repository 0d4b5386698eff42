"""What libraries say when something is not installed, and what is then brought."""

from __future__ import annotations

import pytest

from kanoe.environments.lock import Distribution, Lock, this_platform
from kanoe.environments.missing import find_missing

LOCK = Lock("3.7", this_platform(), (), (Distribution("pandas", "1.0.3"), Distribution("scikit-learn", "0.22")))


@pytest.mark.parametrize(
    ("ename", "evalue", "distribution"),
    [
        ("ModuleNotFoundError", "No module named 'scipy'", "scipy"),
        ("ModuleNotFoundError", "No module named 'scipy.sparse'", "scipy"),
        ("ModuleNotFoundError", "No module named 'PIL'", "pillow"),
        ("ImportError", "Missing optional dependency 'xlrd'. Install xlrd >= 1.0.0 for Excel support Use pip or conda to install xlrd.", "xlrd"),
        ("ImportError", "Install xlrd >= 1.0.0 for Excel support", "xlrd"),
        ("ImportError", "matplotlib is required for plotting.", "matplotlib"),
        ("ImportError", "matplotlib is required for plotting when the default backend \"matplotlib\" is selected.", "matplotlib"),
        ("ImportError", "Missing optional dependency 'Jinja2'. DataFrame.style requires jinja2.", "jinja2"),
        ("ImportError", "lxml not found, please install it", "lxml"),
        ("ImportError", "html5lib not found, please install it", "html5lib"),
        ("FeatureNotFound", "Couldn't find a tree builder with the features you requested: lxml. Do you need to install a parser library?", "lxml"),
        ("ValueError", "Mime type rendering requires nbformat>=4.2.0 but it is not installed", "nbformat"),
        ("ImportError", "IProgress not found. Please update jupyter and ipywidgets. See https://ipywidgets.readthedocs.io/en/stable/user_install.html", "ipywidgets"),
        ("ImportError", "HDFStore requires PyTables, \"No module named 'tables'\" problem importing", "tables"),
        ("ImportError", "Unable to find a usable engine; tried using: 'pyarrow', 'fastparquet'.\nA suitable version of pyarrow or fastparquet is required for parquet support.\nTrying to import the above resulted in these errors:\n - Missing optional dependency 'pyarrow'. pyarrow is required for parquet support. Use pip or conda to install pyarrow.", "pyarrow"),
        ("ImportError", "Failed to import pydot. Please install pydot. For example with `pip install pydot`.", "pydot"),
        ("ImportError", "You must install pydot (`pip install pydot`) for `plot_model` to work.", "pydot"),
        ("ImportError", "Could not import PIL.Image. The use of `load_img` requires PIL.", "pillow"),
        ("ImportError", "Please install graphviz", "graphviz"),
        ("ImportError", "You must install graphviz to plot tree", "graphviz"),
        ("ImportError", "Missing optional dependency 'openpyxl'.  Use pip or conda to install openpyxl.", "openpyxl"),
        ("ImportError", "Unable to import required dependencies:\nnumpy: No module named 'numpy'", "numpy"),
        # nothing is missing: the library itself has changed, or is there
        ("ModuleNotFoundError", "No module named 'sklearn.cross_validation'", None),
        ("ModuleNotFoundError", "No module named 'pandas.tools'", None),
        ("XGBoostError", "sklearn needs to be installed in order to use this module", None),
        ("AttributeError", "'DataFrame' object has no attribute 'append'", None),
        # names that nobody vouches for
        ("ModuleNotFoundError", "No module named 'my_secret_helpers'", None),
        ("ModuleNotFoundError", "No module named 'learntools'", None),
        ("ModuleNotFoundError", "No module named 'utils'", None),
        ("ImportError", "please run `pip install evil-package-of-somebody`", None),
        ("ModuleNotFoundError", "No module named 'kaggle_secrets'", None),
    ],
)  # fmt: skip
def test_an_error_names_what_is_missing(ename: str, evalue: str, distribution: str | None) -> None:
    assert find_missing(ename, evalue, LOCK) == distribution
