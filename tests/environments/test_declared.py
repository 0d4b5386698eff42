from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sources import make_source
from packaging.requirements import Requirement as Reference

from kanoe.base.errors import InputError
from kanoe.environments.declared import (
    Declarations,
    parse_day,
    parse_python,
    read_declarations,
    read_environment_file,
    read_project_file,
    read_requirements_file,
    read_runtime_file,
    read_script_block,
)
from kanoe.environments.requirements import parse_extra, parse_link, parse_requirement
from kanoe.ir.code import parse_cell

# text -> normal form
REQUIREMENTS = {
    "pandas": "pandas",
    "Pandas": "pandas",
    "scikit_learn": "scikit-learn",
    "zope.interface": "zope-interface",
    "pandas==1.0": "pandas==1.0",
    " pandas >= 1.0 , < 2 ": "pandas<2,>=1.0",
    "pandas>=1.0,<2": "pandas<2,>=1.0",
    "pandas==1.*": "pandas==1.*",
    "pandas!=1.2.*,>=1": "pandas!=1.2.*,>=1",
    "pandas (>=1.0)": "pandas>=1.0",
    "pandas~=1.4.2": "pandas~=1.4.2",
    "pandas>=1.*": "pandas>=1",
    "pandas==1.0rc1": "pandas==1.0rc1",
    "pandas===1.0": "pandas===1.0",
    "pandas==v1.0": "pandas==v1.0",
    "torch==1.7.0+cpu": "torch==1.7.0+cpu",
    "requests[socks]": "requests[socks]",
    "requests[Socks, security] >= 2": "requests[security,socks]>=2",
    "x; python_version < '3.9'": 'x ; python_version < "3.9"',
    "x>=1 ; sys_platform == 'linux' and extra == 'y'": 'x>=1 ; sys_platform == "linux" and extra == "y"',
    "name @ https://host/n-1.0.zip": "name @ https://host/n-1.0.zip",
    "name[a]@git+https://host/n.git@v1": "name[a] @ git+https://host/n.git@v1",
    "name @ https://host/n.zip ; python_version > '3'": 'name @ https://host/n.zip ; python_version > "3"',
}


@pytest.mark.parametrize("text", REQUIREMENTS)
def test_requirements(text: str) -> None:
    need = parse_requirement(text, "somebody")
    assert str(need) == REQUIREMENTS[text]
    assert need.why == ("somebody",)
    assert str(parse_requirement(str(need), "")) == str(need)


@pytest.mark.parametrize(
    "text", ["", "pandas=1.0", "pandas >> 2", "pandas 1.0", "-x", "pandas==", "=1.0", "pan das", "x[", "x @", "../x", "pandas==1.0.x.y", "é"]
)  # fmt: skip
def test_what_is_no_requirement(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        parse_requirement(text, "")


NUMBERS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))
CLAUSES = st.lists(st.tuples(st.sampled_from(["==", "!=", ">=", "<=", "<", ">"]), NUMBERS).map("".join), max_size=3)


@settings(deadline=None)
@given(st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,8}[a-z0-9]", fullmatch=True), CLAUSES, st.booleans())
def test_the_quick_way_says_what_packaging_says(name: str, clauses: list[str], spaced: bool) -> None:
    text = name + (" , " if spaced else ",").join(clauses)
    mine, reference = parse_requirement(text, ""), Reference(text)
    assert mine.specifier == ",".join(sorted({str(clause) for clause in reference.specifier}))
    assert mine.name == reference.name.lower().replace("_", "-").replace(".", "-").replace("--", "-").replace("--", "-")


LINKS = {
    "git+https://github.com/o/repo.git": ("repo @ git+https://github.com/o/repo.git", True),
    "git+https://github.com/o/repo@v1.0": ("repo @ git+https://github.com/o/repo@v1.0", True),
    "git+git://github.com/o/repo.git": ("repo @ git+https://github.com/o/repo.git", True),
    "git+https://github.com/o/Repo_X.git@main#egg=my.name": (
        "my-name @ git+https://github.com/o/Repo_X.git@main",
        False,
    ),
    "git+https://h/o/r#egg=n[a,b]&subdirectory=s": ("n[a,b] @ git+https://h/o/r#subdirectory=s", False),
    "git+https://h/o/r#subdirectory=s&egg=n": ("n @ git+https://h/o/r#subdirectory=s", False),
    "git@github.com:o/r.git": ("r @ git+ssh://git@github.com/o/r.git", True),
    "https://host/a_b-1.0-py3-none-any.whl": ("a-b @ https://host/a_b-1.0-py3-none-any.whl", False),
    "https://host/dir/a-b-1.0.tar.gz": ("a-b @ https://host/dir/a-b-1.0.tar.gz", False),
    "https://github.com/o/repo/archive/refs/heads/main.zip": (
        "repo @ https://github.com/o/repo/archive/refs/heads/main.zip",
        True,
    ),
    "https://github.com/o/repo/archive/v1-2.zip": ("repo @ https://github.com/o/repo/archive/v1-2.zip", True),
}


@pytest.mark.parametrize("link", LINKS)
def test_links(link: str) -> None:
    need = parse_link(link, "somebody")
    assert (str(need), need.guessed) == LINKS[link]


PYTHONS = {
    "3.11": "3.11", "3.11.4": "3.11.4", "3": "3", "python3.9": "3.9", "python-3.9": "3.9", "cpython-3.12": "3.12", ">=3.10": ">=3.10",
    " >= 3.8, < 3.12 ": "<3.12,>=3.8", "==3.9.*": "==3.9.*", "~=3.10": "~=3.10", ">=3.8,!=3.9.0": "!=3.9.0,>=3.8", ">=3.7.*": ">=3.7",
}  # fmt: skip


@pytest.mark.parametrize("text", PYTHONS)
def test_versions_of_python(text: str) -> None:
    assert parse_python(text, "--python") == PYTHONS[text]


@pytest.mark.parametrize("text", ["", "2.7", "3.5", "three", "^3.8", ">=", "3.x", "pypy3.9", "3.11; x", "-1", "py3"])
def test_what_is_no_python(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_python(text, "--python")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.place) == ("python-version", "--python")
    assert "--python" in (diagnostic.hint or "")


DAYS = {
    "2021-06-15": "2021-06-15",
    "2021-06-15T12:00:00Z": "2021-06-15T12:00:00Z",
    "2021-06-15t12:00:00z": "2021-06-15T12:00:00Z",
    "2021-06-15 12:00": "2021-06-15T12:00:00Z",
    "2021-06-15T12:00:00+02:00": "2021-06-15T12:00:00+02:00",
    " 2021-06-15 ": "2021-06-15",
}


@pytest.mark.parametrize("text", DAYS)
def test_days(text: str) -> None:
    assert parse_day(text, "--as-of") == DAYS[text]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2021-13-01", "2021-02-30", "20210615", "2021", "15.06.2021", "2021-06-15x", "P7D"]
)
def test_what_is_no_day(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_day(text, "--as-of")
    assert caught.value.diagnostics[0].code == "date-broken"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("pandas>=1.5", "pandas>=1.5"),
        ("git+https://h/o/r", "r @ git+https://h/o/r"),
        ("n @ https://h/n.zip", "n @ https://h/n.zip"),
        ("sklearn", "scikit-learn"),
        ("learntools", "learntools @ git+https://github.com/Kaggle/learntools"),
    ],
)
def test_extras(text: str, form: str) -> None:
    need = parse_extra(text)
    assert (str(need), need.why) == (form, ("--with",))


@pytest.mark.parametrize("text", ["", "pandas=1", "./x.whl", "a b"])
def test_a_broken_extra(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_extra(text)
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].place) == ("requirement-broken", "--with")


# --- requirements.txt -------------------------------------------------------------------------------------------------


def read(folder: Path, text: str | bytes, name: str = "requirements.txt") -> Declarations:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    readers = {
        "requirements.txt": read_requirements_file,
        "pyproject.toml": read_project_file,
        "runtime.txt": read_runtime_file,
    }
    return readers.get(name, read_environment_file)(path)


def forms(declarations: Declarations) -> list[str]:
    return [str(need) for need in declarations.requirements]


LINES = {
    "": [],
    "# nothing\n\n   \n": [],
    "pandas\nnumpy\n": ["pandas", "numpy"],
    "pandas==1.0  # why\r\nnumpy": ["pandas==1.0", "numpy"],
    "pandas#not-a-comment": None,
    "pandas==1.0 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\nnumpy": ["pandas==1.0", "numpy"],
    "pandas \\\n >=1.0": ["pandas>=1.0"],
    "pandas>=1.0\npandas<2": ["pandas<2,>=1.0"],
    "x==1; python_version<'3.9'\nx==2; python_version>='3.9'": [
        'x==1 ; python_version < "3.9"',
        'x==2 ; python_version >= "3.9"',
    ],
    "git+https://h/o/r.git@v1": ["r @ git+https://h/o/r.git@v1"],
    "-e git+https://h/o/r.git#egg=n": ["n @ git+https://h/o/r.git"],
    "--editable=git+https://h/o/r.git#egg=n": ["n @ git+https://h/o/r.git"],
    "certifi @ file:///croot/certifi_167/work/certifi": ["certifi"],
    "certifi@file:///croot/x": ["certifi"],
    "torch==1.7.0+cu110": ["torch==1.7.0"],
    "sklearn": ["scikit-learn"],
    "learntools": ["learntools @ git+https://github.com/Kaggle/learntools"],
    "-e .\n./x\n../y/z.whl\n/a/b\nx-1.0.tar.gz\n~/q\nC:\\x\\y": [],
    "-i https://h/simple\n--index-url https://h\n--extra-index-url=https://h\n-f ./x\n--no-index\n--pre\n--trusted-host h": [],
    "pandas --no-binary :all:": ["pandas"],
    "-c missing.txt": None,
    "-r missing.txt": None,
    "--requirement https://h/r.txt": [],
    "pandas=1.0": None,
    "pandas >> 1": None,
    "<html>": None,
}


@pytest.mark.parametrize("text", LINES)
def test_requirements_files(tmp_path: Path, text: str) -> None:
    expected = LINES[text]
    if expected is None:
        with pytest.raises(InputError) as caught:
            read(tmp_path, text)
        (diagnostic,) = caught.value.diagnostics
        assert (diagnostic.code, diagnostic.place) == ("requirement-broken", "requirements.txt line 1")
        assert diagnostic.hint
    else:
        assert forms(read(tmp_path, text)) == expected


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, "pandas=1.0\n\nnumpy\nx y\n")
    assert [diagnostic.place for diagnostic in caught.value.diagnostics] == [
        "requirements.txt line 1",
        "requirements.txt line 4",
    ]
    assert "`pandas==1.0`" in (caught.value.diagnostics[0].hint or "")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, "-i https://h\n-e .\ncertifi @ file:///x\ntorch==1.0+cu1\n-r https://h/x\npandas\n")
    assert [(one.code, one.place) for one in found.diagnostics] == [
        ("declaration-ignored", f"requirements.txt line {line}") for line in (1, 2, 3, 4, 5)
    ]


def test_files_that_name_others(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.txt").write_text("numpy\n-r ../requirements.txt\n-c limits.txt\n")
    (tmp_path / "sub" / "limits.txt").write_text("pandas<2\nscipy==1.5\n")
    found = read(tmp_path, "pandas>=1\n-r sub/more.txt\n")
    assert forms(found) == ["pandas<2,>=1", "numpy"]
    assert [str(limit) for limit in found.constraints] == ["pandas<2", "scipy==1.5"]
    assert [need.why for need in found.requirements] == [("requirements.txt line 1",), ("sub/more.txt line 1",)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert forms(read(tmp_path, "pandas # é\n".encode(encoding))) == ["pandas"]
    assert codecs.lookup(encoding)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    assert forms(read(tmp_path, b"pandas # \xe9\n")) == ["pandas"]
    with pytest.raises(InputError):
        read(tmp_path, b"\x7fELF\0\0\0")


# --- environment.yml --------------------------------------------------------------------------------------------------

CONDA = {
    "numpy": "numpy", "numpy=1.19": "numpy==1.19.*", "numpy=1.19.*": "numpy==1.19.*", "numpy=1.19.2=py38_0": "numpy==1.19.2",
    "numpy==1.19.2": "numpy==1.19.2", "numpy==1.19.2=py38_0": "numpy==1.19.2", "numpy>=1.19": "numpy>=1.19",
    "'numpy >=1.19,<2'": "numpy<2,>=1.19", "numpy 1.19.2": "numpy==1.19.2", "numpy 1.19.*": "numpy==1.19.*",
    "numpy 1.19.2 py38_0": "numpy==1.19.2", "'numpy=*'": "numpy", "conda-forge::numpy=1.19": "numpy==1.19.*", "pytorch=1.7": "torch==1.7.*",
    "matplotlib-base": "matplotlib", "opencv": "opencv-python-headless", "pytables": "tables", "librosa": "librosa",
    "scikit-learn": "scikit-learn", "cudatoolkit=10.1": None, "libgcc-ng": None, "_libgcc_mutex=0.1=main": None, "openssl": None,
    "r-ggplot2": None, "graphviz": None, "python-graphviz": "graphviz", "'numpy=1.19|1.20'": "numpy",
    "\"numpy[version='>=1.19']\"": "numpy>=1.19",
}  # fmt: skip


@pytest.mark.parametrize("line", CONDA)
def test_conda_packages(tmp_path: Path, line: str) -> None:
    found = read(tmp_path, f"dependencies:\n  - {line}\n", "environment.yml")
    assert forms(found) == ([CONDA[line]] if CONDA[line] else [])


def test_an_environment(tmp_path: Path) -> None:
    text = """name: x
channels: [conda-forge]
dependencies:
  - python=3.9.7
  - numpy=1.19
  - some-conda-thing
  - pip
  - pip:
    - xgboost==1.3
    - -r requirements.txt
    - --extra-index-url https://h
    - git+https://h/o/r
"""
    (tmp_path / "requirements.txt").write_text("lightgbm\n")
    found = read(tmp_path, text, "environment.yml")
    assert forms(found) == [
        "numpy==1.19.*",
        "some-conda-thing",
        "pip",
        "xgboost==1.3",
        "lightgbm",
        "r @ git+https://h/o/r",
    ]
    assert (found.python, found.python_why) == ("3.9", "environment.yml python")
    assert [need.optional for need in found.requirements] == [False, True, False, False, False, False]
    assert found.requirements[0].why == ("environment.yml line 5",)
    assert found.requirements[3].why == ("environment.yml line 9",)


@pytest.mark.parametrize(
    ("line", "python"),
    [("python=3.8", "3.8"), ("python", None), ("python=3.8.*", "3.8"), ("python>=3.7,<3.9", ">=3.7,<3.9"), ("python=2.7", "2.7"), ("python==3.10.4", "3.10"), ("python=3", "3")],
)  # fmt: skip
def test_python_in_an_environment(tmp_path: Path, line: str, python: str | None) -> None:
    assert read(tmp_path, f"dependencies: ['{line}']", "environment.yaml").python == python


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("dependencies: [", "environment.yml line 2"),
        ("a: 1\nb: : 2\n", "environment.yml line 2"),
        ("- numpy", "environment.yml"),
        ("dependencies: numpy", "environment.yml"),
        ("just text", "environment.yml"),
        ("dependencies:\n  - '=='\n", "environment.yml line 2"),
        ("dependencies:\n - numpy\n - pip:\n   - x=1\n", "environment.yml line 4"),
        ("!!python/object/apply:os.system ['true']", "environment.yml line 1"),
        ("\tx: 1", "environment.yml line 1"),
    ],
)
def test_broken_environments(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, "environment.yml")
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].place) == ("requirement-broken", place)


def test_an_environment_may_say_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "name: x\n", "environment.yml") == Declarations()


# --- pyproject.toml, runtime.txt, PEP 723 -----------------------------------------------------------------------------


def test_a_project(tmp_path: Path) -> None:
    text = """
[project]
name = "x"
requires-python = ">=3.9"
dependencies = [
  "pandas>=1.0",
  "n",
]
[tool.uv]
exclude-newer = "2021-06-15"
[tool.uv.sources]
n = { git = "https://h/o/r", tag = "v1", subdirectory = "s" }
pandas = { path = "../pandas" }
"""
    found = read(tmp_path, text, "pyproject.toml")
    assert forms(found) == ["pandas>=1.0", "n @ git+https://h/o/r@v1#subdirectory=s"]
    assert (found.python, found.python_why) == (">=3.9", "pyproject.toml line 4 requires-python")
    assert (found.as_of, found.as_of_why) == ("2021-06-15", "pyproject.toml line 10 exclude-newer")
    assert found.requirements[0].why == ("pyproject.toml line 6",)
    assert [remark.code for remark in found.diagnostics] == ["declaration-ignored"]


@pytest.mark.parametrize(
    "text", ["", "[tool.ruff]\nline-length = 3\n", "[project]\nname = 'x'\n", "[project]\ndependencies = []\n"]
)
def test_a_project_may_say_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text, "pyproject.toml") == Declarations()


def test_poetry_is_not_read_and_says_so(tmp_path: Path) -> None:
    found = read(tmp_path, "[tool.poetry.dependencies]\npandas = '^1.0'\n", "pyproject.toml")
    assert [remark.code for remark in found.diagnostics] == ["declaration-ignored"]


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("[project\n", "requirement-broken", "pyproject.toml line 1"),
        ("[project]\nname = \n", "requirement-broken", "pyproject.toml line 2"),
        ("[project]\ndependencies = ['a',\n 'b=1']\n", "requirement-broken", "pyproject.toml line 3"),
        ("[project]\ndependencies = 'a'\n", "requirement-broken", "pyproject.toml line 2"),
        ("[project]\ndependencies = [1]\n", "requirement-broken", "pyproject.toml line 2"),
        ("x = 1\nx = 2\n", "requirement-broken", "pyproject.toml line 2"),
        ("x = " + "[" * 5000, "requirement-broken", "pyproject.toml"),
    ],
)
def test_broken_projects(tmp_path: Path, text: str, code: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, "pyproject.toml")
    assert (caught.value.diagnostics[0].code, caught.value.diagnostics[0].place) == (code, place)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("python-3.9\n", "3.9"),
        ("python-3.9.16", "3.9"),
        ("3.10", "3.10"),
        ("", None),
        ("r-4.1-2022-01-01", None),
        ("python-2.7.18", "2.7"),
    ],
)
def test_runtime(tmp_path: Path, text: str, python: str | None) -> None:
    found = read(tmp_path, text, "runtime.txt")
    assert (found.python, found.python_why) == (python, "runtime.txt" if python else None)


BLOCK = """# /// script
# requires-python = ">=3.10"
# dependencies = [
#   "pandas<2",
#   "rich",
# ]
#
# [tool.uv]
# exclude-newer = "2023-05-01T00:00:00Z"
# ///
"""


@pytest.mark.parametrize(
    ("kind", "cells", "why"),
    [
        ("notebook", [BLOCK, "import pandas"], "PEP 723 block in cell 0"),
        ("notebook", ["import x", "# hello\n\n" + BLOCK + "import pandas"], "PEP 723 block in cell 1"),
        ("notebook", [BLOCK.replace("\n", "\r\n")], "PEP 723 block in cell 0"),
        ("script", ["#!/usr/bin/env python\n" + BLOCK + "\nimport pandas\n"], "PEP 723 block"),
        ("percent", [BLOCK, "import pandas"], "PEP 723 block in cell 0"),
    ],
)
def test_script_blocks(tmp_path: Path, kind: str, cells: list[str], why: str) -> None:
    found = read_script_block(make_source(tmp_path, *cells, kind=kind))  # type: ignore[arg-type]
    assert forms(found) == ["pandas<2", "rich"]
    assert (found.python, found.python_why) == (">=3.10", f"{why} requires-python")
    assert (found.as_of, found.as_of_why) == ("2023-05-01T00:00:00Z", f"{why} exclude-newer")
    assert found.complete
    assert found.requirements[0].why == (why,)


@pytest.mark.parametrize(
    "text",
    [
        "import x",
        "# /// script\n# dependencies = ['a']\n",  # never closed
        "# /// other\n# dependencies = ['a']\n# ///",
        "  # /// script\n  # dependencies = ['a']\n  # ///",
        "# /// script\nx = 1\n# ///",
        "",
    ],
)
def test_what_is_no_script_block(tmp_path: Path, text: str) -> None:
    assert read_script_block(make_source(tmp_path, text)) == Declarations()


@pytest.mark.parametrize(
    ("kind", "cells", "place"),
    [
        ("notebook", [BLOCK, BLOCK], "nb.ipynb cell 0 line 1"),
        ("script", [BLOCK + "x\n" + BLOCK], "nb.py line 1"),
        ("notebook", ["x", "\n# /// script\n# a = 1 1\n# ///"], "nb.ipynb cell 1 line 3"),
        ("script", ["# /// script\n# dependencies = [\n#  'a=1']\n# ///"], "nb.py line 3"),
        ("script", ["# /// script\n# dependencies = 'a'\n# ///"], "nb.py line 2"),
    ],
)
def test_broken_script_blocks(tmp_path: Path, kind: str, cells: list[str], place: str) -> None:
    with pytest.raises(InputError) as caught:
        read_script_block(make_source(tmp_path, *cells, kind=kind))  # type: ignore[arg-type]
    assert caught.value.diagnostics[0].place == place


@pytest.mark.parametrize(
    ("value", "as_of"),
    [("2023-05-01", "2023-05-01"), ("2023-05-01T00:00:00Z", "2023-05-01T00:00:00Z"), ("'1 week'", None), ("3", None)],
)
def test_exclude_newer(tmp_path: Path, value: str, as_of: str | None) -> None:
    found = read_script_block(make_source(tmp_path, f"# /// script\n# [tool.uv]\n# exclude-newer = {value}\n# ///"))
    assert found.as_of == as_of
    assert [remark.code for remark in found.diagnostics] == ([] if as_of else ["date-broken"])


# --- installs in cells ------------------------------------------------------------------------------------------------

INSTALLS = {
    "!pip install pandas==1.0": ["pandas==1.0"],
    "!pip install pandas==1.0\n!pip install pandas==1.1": ["pandas==1.1"],
    "!pip install pandas==1.0\n!pip install -U pandas": ["pandas==1.0"],
    "!pip install pandas==1.0\n!pip install git+https://h/o/pandas": ["pandas @ git+https://h/o/pandas"],
    "!pip install sklearn PIL": ["scikit-learn", "pillow"],
    "!pip install torch==1.7.0+cu110": ["torch==1.7.0"],
    "!pip install ../input/x.whl": [],
    "!pip install {x}": [],
    "!pip install 'x=1' y": ["x", "y"],
    "!pip install 'x>=1,y' z": ["x", "z"],
    "!pip install -r more.txt": ["rich>=3"],
    "!pip install -r nothing.txt x": ["x"],
    "!pip install -c limits.txt x": ["x<3"],
    "!conda install -y numpy=1.19 pytorch cudatoolkit": ["numpy==1.19.*", "torch"],
    "!pip install learntools": ["learntools @ git+https://github.com/Kaggle/learntools"],
}


@pytest.mark.parametrize("cell", INSTALLS)
def test_installs(tmp_path: Path, cell: str) -> None:
    source = make_source(tmp_path, "x", cell, more__txt="rich>=3\n", limits__txt="x<3\n")
    found = read_declarations(source, [parse_cell("x"), parse_cell(cell)])
    assert [str(need) for place in found for need in place.requirements] == INSTALLS[cell]
    assert not any(diagnostic.severity == "error" for place in found for diagnostic in place.diagnostics)


def test_places_are_ordered(tmp_path: Path) -> None:
    cells = ["# /// script\n# dependencies = ['a']\n# ///", "!pip install b"]
    files = {
        "requirements__txt": "c",
        "pyproject__toml": "[project]\ndependencies = ['d']",
        "environment__yml": "dependencies: [e]",
    }
    found = read_declarations(make_source(tmp_path, *cells, **files), [parse_cell(cell) for cell in cells])
    assert [forms(place) for place in found] == [["a"], ["b"], ["c"], ["d"], ["e"]]


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").mkdir()
    assert read_declarations(make_source(tmp_path, "x"), [parse_cell("x")]) == []


# --- the Python and the day of a folder --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "python", "day"),
    [
        ("runtime.txt", "python-3.7-2020-01-31\n", "3.7", "2020-01-31"),
        ("runtime.txt", "python-3.6.8", "3.6", None),
        (".python-version", "3.8.10\n", "3.8", None),
        (".python-version", "# pinned\n3.9  # here\n3.8\n", "3.9", None),
        (".python-version", "cpython-3.10.2", "3.10", None),
        (".python-version", "myenv\n", None, None),
        ("Pipfile", '[requires]\npython_version = "3.7"\n[packages]\npandas = "==0.25.3"\nnumpy = "*"\n', "3.7", None),
    ],
)
def test_files_that_say_a_python(name: str, text: str, python: str | None, day: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = read_declarations(make_source(tmp_path, "x = 1"), [parse_cell("x = 1")])
    assert ([one.python for one in found] or [None])[0] == python
    assert ([one.as_of for one in found] or [None])[0] == day


def test_a_pipfile_names_packages(tmp_path: Path) -> None:
    text = '[packages]\npandas = "==0.25.3"\nnumpy = "*"\nmine = {path = "."}\nrequests = {version = ">=2", extras = ["socks"]}\n'
    (tmp_path / "Pipfile").write_text(text)
    (found,) = read_declarations(make_source(tmp_path, "x = 1"), [parse_cell("x = 1")])
    assert [str(need) for need in found.requirements] == ["pandas==0.25.3", "numpy", "requests>=2"]
    assert [remark.code for remark in found.diagnostics] == ["declaration-ignored"]


@pytest.mark.parametrize("text", ["python-3.7-yesterday", "python-3.7-2020-13-01"])
def test_a_runtime_with_a_day_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "runtime.txt").write_text(text)
    with pytest.raises(InputError, match="is not a day"):
        read_declarations(make_source(tmp_path, "x = 1"), [parse_cell("x = 1")])
