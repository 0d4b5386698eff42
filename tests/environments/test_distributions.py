from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sources import make_source

from kanoe.base.errors import InputError
from kanoe.environments import tables
from kanoe.environments.distributions import Provider, find_needs, find_provider, kernel_requirements
from kanoe.environments.needs import Needs
from kanoe.environments.requirements import parse_requirement
from kanoe.environments.versions import normalise
from kanoe.ir.code import parse_cell
from kanoe.ir.source import KernelMetadata

PAIRS = (
    "aliases",
    "sources",
    "spacy_models",
    "nltk_data",
    "nltk_wheels",
    "side_data",
    "programs",
    "program_uses",
    "program_wheels",
    "libraries",
    "conda_only",
    "nowhere",
    "renamed",
    "conda",
    "uses",
    "kernel",
)
LISTS = ("same", "standard")

# --- the tables -------------------------------------------------------------------------------------------------------


def table_text(name: str) -> str:
    return Path(tables.__file__).with_name(f"{name}.toml").read_text()


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_toml(name: str) -> None:
    assert tables.read_pairs(name) == tomllib.loads(table_text(name))


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_toml(name: str) -> None:
    names = tomllib.loads(table_text(name))["names"]
    assert tables.read_names(name) == set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*PAIRS, *LISTS])
def test_every_row_says_its_source(name: str) -> None:
    rows = [line for line in table_text(name).splitlines() if line.lstrip().startswith('"')]
    assert rows
    assert [row for row in rows if not re.search(r"#\s*\S", row)] == []


def test_every_distribution_has_a_valid_name() -> None:
    names = [*tables.read_names("same"), *tables.read_pairs("renamed"), *tables.read_pairs("conda")]
    names += [name for row in tables.read_pairs("aliases").values() for name in row.partition(";")[0].split()]
    names += [name for row in tables.read_pairs("uses").values() for name in row.split()]
    for name in names:
        if not name.startswith("_"):
            assert parse_requirement(name, "").name == normalise(re.split(r"[<>=]", name)[0])
    for row in (*tables.read_pairs("renamed").values(), *tables.read_pairs("conda").values()):
        assert not row or parse_requirement(row, "")


def test_no_name_stands_in_two_tables() -> None:
    standard, same = tables.read_names("standard"), tables.read_names("same")
    aliases, nowhere = set(tables.read_pairs("aliases")), set(tables.read_pairs("nowhere"))
    for one, other in [
        (standard, same),
        (standard, aliases),
        (standard, nowhere),
        (same, aliases),
        (same, nowhere),
        (aliases, nowhere),
    ]:
        assert not one & other


def test_what_a_stranger_has_on_pypi_is_not_known_by_its_name() -> None:
    strangers = {"pattern"}  # 0.0.1a0 alone, a plotting package; the text miner of that name is not on PyPI
    assert not strangers & tables.read_names("same")
    assert not strangers & set(tables.read_pairs("aliases"))


def test_the_standard_library_is_known() -> None:
    mine = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    assert mine <= tables.read_names("standard")


# --- one import -------------------------------------------------------------------------------------------------------

PROVIDERS = {
    "sklearn": "known scikit-learn", "sklearn.model_selection": "known scikit-learn", "cv2": "known opencv-python-headless",
    "PIL.Image": "known pillow", "skimage.io": "known scikit-image", "bs4": "known beautifulsoup4", "yaml": "known pyyaml",
    "dateutil.parser": "known python-dateutil", "Crypto.Cipher": "known pycryptodome", "attr": "known attrs", "dotenv": "known python-dotenv",
    "jwt": "known pyjwt", "serial": "known pyserial", "usb.core": "known pyusb", "umap": "known umap-learn", "hdbscan": "known hdbscan",
    "lightgbm": "known lightgbm", "catboost": "known catboost", "tensorflow": "known tensorflow", "tensorflow_hub": "known tensorflow-hub",
    "keras.layers": "known keras", "torch.nn": "known torch", "torchvision": "known torchvision", "transformers": "known transformers",
    "sentence_transformers": "known sentence-transformers", "kaggle_environments": "known kaggle-environments", "numpy": "known numpy",
    "pandas": "known pandas", "matplotlib.pyplot": "known matplotlib", "mpl_toolkits.mplot3d": "known matplotlib",
    "mpl_toolkits.basemap": "known basemap", "pylab": "known matplotlib", "imblearn": "known imbalanced-learn",
    "category_encoders": "known category-encoders", "bayes_opt": "known bayesian-optimization", "spellchecker": "known pyspellchecker",
    "pkg_resources": "known setuptools", "google.cloud.bigquery": "known google-cloud-bigquery", "google.protobuf": "known protobuf",
    "google.cloud.storage.blob": "known google-cloud-storage", "google.generativeai": "known google-generativeai",
    "google.cloud.something_v1": "guessed google-cloud-something", "google.cloud.tasks": "guessed google-cloud-tasks",
    "pyramid.arima": "known pyramid-arima", "faiss": "known faiss-cpu", "cudf": "known cudf-cu12", "fitz": "known pymupdf",
    "psycopg2": "known psycopg2-binary", "Levenshtein": "known python-levenshtein", "PyPDF2": "known pypdf2", "win32api": "known pywin32",
    "iterstrat.ml_stratifiers": "known iterative-stratification", "proto": "known proto-plus", "GPUtil": "known gputil",
    "dicom": "known pydicom", "some_thing": "guessed some-thing", "SomeThing": "guessed something",
    "os": "none", "os.path": "none", "distutils.core": "none", "imp": "none", "asyncore": "none", "cPickle": "none", "urllib2": "none",
    "StringIO": "none", "ConfigParser": "none", "Tkinter": "none", "tomllib": "none", "__future__": "none", "_pickle": "none",
    "kaggle_secrets": "none", "kaggle_datasets": "none", "kaggle_web_client": "none", "google.colab": "none", "google.colab.drive": "none",
    "IPython.display": "none", "ipykernel": "none", "google": "none", "google.cloud": "none", "kaggle.competitions.nflrush": "none",
    "riiideducation": "none", "learntools.core": "source learntools", "utils": "nowhere",
    "detectron2": "source detectron2", "mrcnn.model": "source mask-rcnn", "object_detection": "nowhere object-detection",
    "en_core_web_sm": "source en-core-web-sm", "de_core_news_md": "source de-core-news-md", "en_core": "guessed en-core",
}  # fmt: skip


@pytest.mark.parametrize("module", PROVIDERS)
def test_providers(module: str) -> None:
    provider = find_provider(module)
    assert " ".join([provider.kind, *provider.distributions[:1]]) == PROVIDERS[module]


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z_]\w{0,8}(\.[A-Za-z_]\w{0,8}){0,3}", fullmatch=True))
def test_every_import_has_an_answer(module: str) -> None:
    provider = find_provider(module)
    assert isinstance(provider, Provider)
    assert module.startswith(provider.module.rstrip("_")) or provider.module == module.partition(".")[0]


# --- a source ---------------------------------------------------------------------------------------------------------


def forms(needs: Needs) -> list[str]:
    """`name specifier`, with `?` for optional and `~` for guessed."""
    return [f"{need}{'?' if need.optional else ''}{'~' if need.guessed else ''}" for need in needs.requirements]


CELLS: dict[tuple[str, ...], list[str]] = {
    (): [],
    ("",): [],
    ("# only a comment", "\n\n"): [],
    ("import os, sys\nimport distutils, cPickle",): [],
    ("from . import x\nfrom .a import y",): [],
    ("import pandas as pd\nimport numpy as np",): ["numpy", "pandas"],
    ("import a.b.c as d",): ["a~"],
    ("import sklearn\nfrom sklearn.svm import SVC",): ["scikit-learn"],
    ("from google.cloud import bigquery, storage",): ["google-cloud-bigquery", "google-cloud-storage"],
    ("from google.colab import drive",): [],
    ("from kaggle_secrets import UserSecretsClient\nfrom IPython.display import HTML",): [],
    ("from kaggle.competitions import twosigmanews",): [],
    ("from mpl_toolkits.mplot3d import Axes3D",): ["matplotlib"],
    ("try:\n  import cudf\nexcept ImportError:\n  import pandas",): ["cudf-cu12?", "pandas?"],
    ("try:\n  import pandas\nexcept ImportError:\n  pass", "import pandas"): ["pandas"],
    ("if x:\n  import torch_xla",): ["torch-xla?"],
    ("def f():\n  import some_thing",): ["some-thing~"],
    ("%matplotlib inline",): ["matplotlib"],
    ("%matplotlib widget",): ["ipympl", "matplotlib"],
    ("%pylab inline",): ["matplotlib", "numpy"],
    ("%load_ext line_profiler\n%load_ext autoreload",): ["line-profiler"],
    ("%load_ext sql",): ["jupysql"],
    ("print 'x'\nimport pandas",): ["pandas"],
    ("pip install xgboost",): ["xgboost"],
    ("!pip install xgboost==1.2\nimport xgboost",): ["xgboost==1.2"],
    ("!pip install opencv-python\nimport cv2",): ["opencv-python"],
    ("!pip install tensorflow-gpu==2.3\nimport tensorflow as tf",): ["tensorflow-gpu==2.3"],
    ("!pip install sklearn\nimport sklearn",): ["scikit-learn"],
    ("!pip install python-foo\nimport foo",): ["python-foo"],
    ("!pip install pyfoo\nimport foo",): ["pyfoo"],
    ("!pip install git+https://github.com/o/foo\nimport foo",): ["foo @ git+https://github.com/o/foo~"],
    ("!pip install git+https://github.com/Kaggle/learntools\nimport learntools.core",): [
        "learntools @ git+https://github.com/Kaggle/learntools~"
    ],
    ("!pip install git+https://github.com/facebookresearch/segment-anything.git\nimport segment_anything",): [
        "segment-anything @ git+https://github.com/facebookresearch/segment-anything.git~"
    ],
    ("!pip install git+https://github.com/matterport/Mask_RCNN.git#egg=its_name\nimport mrcnn",): [
        "its-name @ git+https://github.com/matterport/Mask_RCNN.git"
    ],
    ("!pip install utils\nimport utils",): ["utils"],
    ("from learntools.core import binder",): ["learntools @ git+https://github.com/Kaggle/learntools"],
    ("try:\n    import clip\nexcept ImportError:\n    clip = None",): ["clip @ git+https://github.com/openai/CLIP?"],
    ("import en_core_web_sm",): [
        "en-core-web-sm @ https://github.com/explosion/spacy-models/releases/download/en_core_web_sm"
    ],
    ("import utils, helpers",): [],
    ("import é",): [],
    ("sys.path.append('../input/x')\nimport some_thing",): ["some-thing?~"],
    ("!git clone https://github.com/o/r\nimport some_thing, pandas",): ["pandas", "some-thing?~"],
    ("!wget https://h/some_thing.py\nimport some_thing",): [],
    ("copyfile('../input/a/some_thing.py', 'some_thing.py')", "import some_thing"): [],
    ("%%writefile some_thing.py\nimport torch", "import some_thing"): ["torch"],
    ("%%writefile pandas.py\nx = 1", "import pandas"): [],
    ("import dicom",): ["pydicom<1"],
    ("!pip install pydicom==0.9.9\nimport dicom",): ["pydicom==0.9.9"],
    ("import win32api",): ["pywin32 ; sys_platform == 'win32'"],
    ("import pandas as pd\npd.read_excel('a')",): ["openpyxl?", "pandas", "xlrd?"],
    ("import pandas as pd\ndf.plot(kind='bar')",): ["matplotlib?", "pandas"],
    ("import pandas as pd\nimport matplotlib.pyplot as plt\ndf.plot()",): ["matplotlib", "pandas"],
    ("plt.plot(x)",): [],
    ("from bs4 import BeautifulSoup\nBeautifulSoup(page, 'lxml')",): ["beautifulsoup4", "lxml?"],
    ("import plotly.express as px",): ["nbformat?", "pandas?", "plotly"],
    ("from tqdm.notebook import tqdm",): ["ipywidgets?", "tqdm"],
    ("from tqdm import tqdm",): ["tqdm"],
    ("x = __import__('pandas')",): ["pandas"],
    ("import numpy\0",): [],
}


@pytest.mark.parametrize("cells", CELLS)
def test_needs_of_cells(tmp_path: Path, cells: tuple[str, ...]) -> None:
    assert forms(find_needs(make_source(tmp_path, *cells))) == CELLS[cells]


def test_reasons_and_modules(tmp_path: Path) -> None:
    source = make_source(
        tmp_path,
        "import pandas, sklearn.svm",
        "!pip install pandas>=1.0\n%matplotlib inline",
        "import matplotlib.pyplot\nfrom sklearn import svm",
        "import helpers",
        "pandas.read_html(x)",
        requirements__txt="scikit-learn==1.0\n",
        helpers__py="import seaborn\nimport pandas\n",
    )
    needs = {need.name: need for need in find_needs(source, extra=["pandas[excel]"]).requirements}
    assert needs["pandas"].why == ("--with", "installed by cell 1", "imported by cell 0 and helpers.py")
    assert str(needs["pandas"]) == "pandas[excel]>=1.0"
    assert needs["pandas"].modules == ("pandas",)
    assert needs["scikit-learn"].why == ("requirements.txt line 1", "imported by cells 0 and 2")
    assert needs["scikit-learn"].modules == ("sklearn",)
    assert needs["matplotlib"].why == ("imported by cell 2", "used by cell 1 (`%matplotlib`)")
    assert needs["seaborn"].why == ("imported by helpers.py",)
    assert needs["lxml"].why == ("used by cell 4 (`read_html`)",)


def test_many_cells_in_a_reason(tmp_path: Path) -> None:
    needs = find_needs(make_source(tmp_path, *["import numpy"] * 9))
    assert needs.requirements[0].why == ("imported by cells 0, 1, 2, 3 and 5 more",)


def test_a_script_counts_lines(tmp_path: Path) -> None:
    source = make_source(tmp_path, "import numpy\n\nimport pandas, numpy.linalg\n", kind="script")
    assert [need.why for need in find_needs(source).requirements] == [
        ("imported by lines 1 and 3",),
        ("imported by line 3",),
    ]


# who is stronger: (cells, files, extra) -> requirements
STRENGTH = {
    "with over all": (["!pip install pandas==1.1"], {"requirements__txt": "pandas==1.0"}, ["pandas==1.2"], ["pandas==1.2"]),
    "with without a version": (["!pip install pandas==1.1"], {}, ["pandas"], ["pandas==1.1"]),
    "with a link": (["import pandas"], {"requirements__txt": "pandas==1.0"}, ["pandas @ https://h/p.zip"], ["pandas @ https://h/p.zip"]),
    "cell over file": (["!pip install pandas==1.1"], {"requirements__txt": "pandas==1.0"}, [], ["pandas==1.1"]),
    "file where the cell says none": (["!pip install -U pandas"], {"requirements__txt": "pandas==1.0"}, [], ["pandas==1.0"]),
    "requirements over environment": (["x"], {"requirements__txt": "pandas==1.0", "environment__yml": "dependencies: [pandas=2]"}, [], ["pandas==1.0"]),
    "declared over inferred": (["import cv2"], {"requirements__txt": "opencv-contrib-python==4.5"}, [], ["opencv-contrib-python==4.5"]),
    "markers are kept": (["import x1"], {"requirements__txt": "x1==1; python_version<'3.9'\nx1==2; python_version>='3.9'"}, [], ['x1==1 ; python_version < "3.9"', 'x1==2 ; python_version >= "3.9"']),
    "with over markers": (["x"], {"requirements__txt": "x1==1; python_version<'3.9'"}, ["x1==3"], ["x1==3"]),
    "constraints": (["import pandas"], {"requirements__txt": "-c limits.txt", "limits__txt": "pandas<2\nnumpy<2\n"}, [], ["pandas<2"]),
    "extras together": (["import dask"], {"requirements__txt": "dask[dataframe]"}, ["dask[array]>=2"], ["dask[array,dataframe]>=2"]),
    "declared is not optional": (["try:\n  import torch\nexcept ImportError:\n  pass"], {"requirements__txt": "torch"}, [], ["torch"]),
    "declared is not guessed": (["import some_thing"], {"requirements__txt": "some_thing"}, [], ["some-thing"]),
    "optional conda": (["x"], {"environment__yml": "dependencies: [some-thing, pandas]"}, [], ["pandas", "some-thing?"]),
    "a block guesses nothing": (["# /// script\n# dependencies = ['pandas']\n# ///", "import numpy, some_thing"], {}, [], ["numpy", "pandas"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STRENGTH)
def test_who_is_stronger(tmp_path: Path, name: str) -> None:
    cells, files, extra, expected = STRENGTH[name]
    assert forms(find_needs(make_source(tmp_path, *cells, **files), extra=extra)) == expected


def test_local_modules(tmp_path: Path) -> None:
    source = make_source(
        tmp_path,
        "import helpers, p.q, random\nimport datasets\n!python train.py",
        helpers__py="import torch\nfrom other import x\n",
        other__py="import scipy\n",
        random__py="import xgboost\n",
        p___q__py="import lightgbm",
        datasets___load__py="import nothing_of_it",
        train__py="import catboost\nimport helpers\n",
        unused__py="import nothing_of_it",
    )
    needs = find_needs(source)
    assert needs.local_modules == ("helpers", "other", "p", "random")
    assert forms(needs) == ["catboost", "datasets", "lightgbm", "scipy", "torch", "xgboost"]
    assert needs.diagnostics == (), "none of them has the name of a distribution's module"


def test_a_local_module_that_shadows_a_distribution(tmp_path: Path) -> None:
    files = {"seaborn__py": "import scipy\n", "cv2__py": ""}
    needs = find_needs(make_source(tmp_path, "x = 1", "import pandas, seaborn\nimport cv2, seaborn", **files))
    assert forms(needs) == ["pandas", "scipy"]
    assert needs.local_modules == ("cv2", "seaborn")
    found = [(one.severity, one.code, one.place, one.message.split(",")[0]) for one in needs.diagnostics]
    assert found == [
        ("info", "module-shadowed", "nb.ipynb cell 1 line 1", "`seaborn` is the author's own file beside the notebook"),
        ("info", "module-shadowed", "nb.ipynb cell 1 line 2", "`cv2` is the author's own file beside the notebook"),
    ]


def test_attached_utility_scripts(tmp_path: Path) -> None:
    metadata = KernelMetadata(kernel_sources=("someone/my-fine-helpers", "someone/other/3"))
    source = make_source(tmp_path, "import my_fine_helpers, other, third", metadata=metadata)
    assert forms(find_needs(source)) == ["third~"]


REMARKS = {
    "import object_detection": (
        "warning",
        "distribution-unknown",
        "nb.ipynb cell 1 line 2",
        "put its folder `object_detection`",
    ),
    "import utils": ("warning", "distribution-unknown", "nb.ipynb cell 1 line 2", "utils.py"),
    "import é": ("info", "distribution-unproven", "nb.ipynb cell 1 line 2", "--with"),
    "!pip install ../x.whl": ("info", "declaration-ignored", "nb.ipynb cell 1 line 2", "--with"),
    "!pip install {x}": ("info", "declaration-ignored", "nb.ipynb cell 1 line 2", "--with"),
}


@pytest.mark.parametrize("line", REMARKS)
def test_remarks(tmp_path: Path, line: str) -> None:
    severity, code, place, hint = REMARKS[line]
    (remark,) = find_needs(make_source(tmp_path, "x = 1", f"y = 2\n{line}\n{line}")).diagnostics[:1]
    assert (remark.severity, remark.code, remark.place) == (severity, code, place)
    assert hint in (remark.hint or "")


@pytest.mark.parametrize(
    "cell",
    [
        "try:\n  import utils\nexcept ImportError:\n  pass",
        "sys.path.append('x')\nimport utils",
        "from kaggle_secrets import x",
    ],
)
def test_no_remark_where_nothing_is_wrong(tmp_path: Path, cell: str) -> None:
    assert find_needs(make_source(tmp_path, cell)).diagnostics == ()


VERSIONS = {
    "nobody says": ({}, None, (None, None)),
    "option": ({"runtime__txt": "python-3.8"}, "3.9", ("3.9", "--python")),
    "a range": ({}, ">=3.9, <3.12", ("<3.12,>=3.9", "--python")),
    "runtime": (
        {"runtime__txt": "python-3.8.1", "environment__yml": "dependencies: [python=3.7]"},
        None,
        ("3.8", "runtime.txt"),
    ),
    "project": (
        {"pyproject__toml": "[project]\nrequires-python = '>=3.9'"},
        None,
        (">=3.9", "pyproject.toml line 2 requires-python"),
    ),
    "conda": ({"environment__yml": "dependencies: [python=3.7]"}, None, ("3.7", "environment.yml python")),
    "an option over a broken file": ({"runtime__txt": "python-2.7"}, "3.9", ("3.9", "--python")),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_python(tmp_path: Path, name: str) -> None:
    files, python, expected = VERSIONS[name]
    needs = find_needs(make_source(tmp_path, "x", **files), python=python)
    assert (needs.python, needs.python_why) == expected


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"runtime__txt": "python-2.7"}, "runtime.txt"),
        ({"environment__yml": "dependencies: [python=2.7]"}, "environment.yml python"),
        ({"pyproject__toml": "[project]\nrequires-python = 'three'"}, "pyproject.toml line 2 requires-python"),
    ],
)
def test_a_python_that_cannot_be(tmp_path: Path, files: dict[str, str], place: str) -> None:
    with pytest.raises(InputError) as caught:
        find_needs(make_source(tmp_path, "x", **files))
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].place) == ("python-version", place)


def test_days(tmp_path: Path) -> None:
    block = "# /// script\n# [tool.uv]\n# exclude-newer = '2022-01-01'\n# ///"
    source = make_source(tmp_path, block)
    needs = find_needs(source)
    assert (needs.as_of, needs.as_of_why) == ("2022-01-01", "PEP 723 block in cell 0 exclude-newer")
    needs = find_needs(source, as_of="2021-06-15")
    assert (needs.as_of, needs.as_of_why) == ("2021-06-15", "--as-of")


@pytest.mark.parametrize("options", [{"extra": ["a=b"]}, {"python": "2.7"}, {"as_of": "soon"}])
def test_broken_options(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        find_needs(make_source(tmp_path, "x"), **options)  # type: ignore[arg-type]


def test_many_imports(tmp_path: Path) -> None:
    source = make_source(tmp_path, "\n".join(f"import some_module_{number}" for number in range(200)))
    needs = find_needs(source)
    assert len(needs.requirements) == 200
    assert [need.name for need in needs.requirements] == sorted(need.name for need in needs.requirements)


def test_parsed_cells_can_be_given(tmp_path: Path) -> None:
    cells = ["import pandas", "!pip install x1"]
    source = make_source(tmp_path, *cells)
    assert find_needs(source, cells=[parse_cell(cell) for cell in cells]) == find_needs(source)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert forms(find_needs(make_source(tmp_path / "gone", "import pandas"))) == ["pandas"]


@settings(deadline=None)
@given(st.lists(st.sampled_from([cell for cells in CELLS for cell in cells]), max_size=4))
def test_the_answer_is_always_the_same(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    source = make_source(tmp_path_factory.getbasetemp() / "nothing", *cells)
    first, second = find_needs(source), find_needs(source)
    assert first == second
    keys = [(need.name, need.marker) for need in first.requirements]
    assert keys == sorted(set(keys))
    assert all(need.why for need in first.requirements)


# --- the kernel -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", range(6, 17))
def test_kernels(minor: int) -> None:
    needs = {need.name: need for need in kernel_requirements((3, minor))}
    assert set(needs) == {"ipykernel", "ipython", "traitlets", "cloudpickle"}
    assert all("<" in needs[name].specifier for name in ("ipykernel", "ipython", "traitlets"))


def test_the_kernel_of_an_old_python() -> None:
    assert [str(need) for need in kernel_requirements((3, 6))] == [
        "cloudpickle",
        "ipykernel<6,>=5.5",
        "ipython<8,>=7.16",
        "traitlets<5,>=4.3",
    ]
    assert kernel_requirements((3, 20)) == kernel_requirements((3, 14))


@pytest.mark.parametrize("version", [(2, 7), (3, 5)])
def test_no_kernel(version: tuple[int, int]) -> None:
    with pytest.raises(InputError):
        kernel_requirements(version)
