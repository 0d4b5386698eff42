from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kanoe.environments.imports import LocalModules, find_imports, find_run_files, find_written_modules
from kanoe.ir.code import parse_cell

# cell -> modules (with the names taken, and the leading dots), line and context of each import
STATEMENTS = {
    "import os": ["os 1 required"],
    "import a.b.c as d": ["a.b.c 1 required"],
    "import a, b as c": ["a 1 required", "b 1 required"],
    "import a; import b": ["a 1 required", "b 1 required"],
    "from a import b": ["a(b) 1 required"],
    "from a.b import c as d, e": ["a.b(c,e) 1 required"],
    "from a import *": ["a(*) 1 required"],
    "from a import (\n  b,\n  c,\n)": ["a(b,c) 1 required"],
    "from . import x": [".(x) 1 required"],
    "from .a import x": [".a(x) 1 required"],
    "from ..a.b import x": ["..a.b(x) 1 required"],
    "from __future__ import division": ["__future__(division) 1 required"],
    "\n\nimport a": ["a 3 required"],
    "%matplotlib inline\nimport a": ["a 2 required"],
    "%%time\nimport a": ["a 2 required"],
    "%time import a": ["a 1 required"],
    "# import a": [],
    "'''\nimport a\n'''": [],
    "text = 'import a'": [],
    "%%writefile a.py\nimport b": [],
    "%%bash\nimport a": [],
    "important = 3": [],
    "": [],
    # functions and classes
    "def f():\n  import a": ["a 2 function"],
    "async def f():\n  import a": ["a 2 function"],
    "class A:\n  import a": ["a 2 required"],
    "class A:\n  def f(self):\n    import a": ["a 3 function"],
    "def f():\n  def g():\n    import a": ["a 3 function"],
    "def f():\n  if x:\n    import a": ["a 3 conditional"],
    "def f():\n  try:\n    import a\n  except ImportError:\n    pass": ["a 3 optional"],
    # conditions
    "if x:\n  import a": ["a 2 conditional"],
    "if x:\n  pass\nelse:\n  import a": ["a 4 conditional"],
    "if x:\n  pass\nelif y:\n  import a": ["a 4 conditional"],
    "if TYPE_CHECKING:\n  import a": ["a 2 conditional"],
    "if 'google.colab' in sys.modules:\n  import a": ["a 2 conditional"],
    "if sys.version_info[0] < 3:\n  import a\nelse:\n  import b": ["a 2 conditional", "b 4 conditional"],
    "if True:\n  import a": ["a 2 required"],
    "if 1:\n  import a\nelse:\n  import b": ["a 2 required", "b 4 conditional"],
    "if False:\n  import a": ["a 2 conditional"],
    "if __name__ == '__main__':\n  import a": ["a 2 required"],
    "while x:\n  import a": ["a 2 conditional"],
    "while True:\n  import a": ["a 2 required"],
    "for x in y:\n  import a": ["a 2 required"],
    "with x:\n  import a": ["a 2 required"],
    "match x:\n  case 1:\n    import a": ["a 3 conditional"],
    "if x:\n  def f():\n    import a": ["a 3 conditional"],
    # what is caught
    "try:\n  import a\nexcept ImportError:\n  a = None": ["a 2 optional"],
    "try:\n  import a\nexcept ModuleNotFoundError:\n  pass": ["a 2 optional"],
    "try:\n  import a\nexcept Exception as e:\n  print(e)": ["a 2 optional"],
    "try:\n  import a\nexcept:\n  pass": ["a 2 optional"],
    "try:\n  import a\nexcept (ValueError, ImportError):\n  pass": ["a 2 optional"],
    "try:\n  import a\nexcept builtins.ImportError:\n  pass": ["a 2 optional"],
    "try:\n  import a\nexcept ValueError:\n  import b": ["a 2 required", "b 4 conditional"],
    "try:\n  import cPickle\nexcept:\n  import pickle": ["cPickle 2 optional", "pickle 4 optional"],
    "try:\n  import a\nexcept ImportError:\n  raise": ["a 2 required"],
    "try:\n  import a\nexcept ImportError:\n  print('no')\n  raise SystemExit": ["a 2 required"],
    "try:\n  import a\nexcept ImportError:\n  sys.exit(1)": ["a 2 required"],
    "try:\n  import a\nexcept ImportError:\n  !pip install a\n  import a": ["a 2 optional", "a 5 optional"],
    "try:\n  import a\nfinally:\n  import b": ["a 2 required", "b 4 required"],
    "try:\n  import a\nexcept ImportError:\n  pass\nelse:\n  import b": ["a 2 optional", "b 6 conditional"],
    "try:\n  def f():\n    import a\nexcept ImportError:\n  pass": ["a 3 function"],
    "try:\n  if x:\n    import a\nexcept ImportError:\n  pass": ["a 3 optional"],
    "with suppress(ImportError):\n  import a": ["a 2 optional"],
    "with contextlib.suppress(ImportError):\n  import a": ["a 2 optional"],
    "with suppress(KeyError):\n  import a": ["a 2 required"],
    # calls
    "x = __import__('a.b')": ["a.b 1 required"],
    "importlib.import_module('a')": ["a 1 required"],
    "import_module('a').f(1)": ["a 1 required"],
    "f(lambda: __import__('a'))": ["a 1 function"],
    "x = [__import__('a') for i in y]": ["a 1 required"],
    "if x:\n  m = __import__('a')": ["a 2 conditional"],
    "if __import__('a').x:\n  pass": ["a 1 required"],
    "__import__(name)": [],
    "import_module('.a', 'b')": [],
    "__import__('not a name')": [],
    "__import__(f'a')": [],
    "__import__()": [],
    # extensions
    "%load_ext line_profiler": ["line_profiler 1 required"],
    "%reload_ext a.b": ["a.b 1 required"],
    "load_ext tensorboard": ["tensorboard 1 required"],
    "%load_ext autoreload\n%autoreload 2": [],
    "%load_ext\n%load_ext 3x": [],
    "try:\n  %load_ext a\nexcept:\n  pass": ["a 2 optional"],
    "get_ipython().run_line_magic('load_ext', 'a')": ["a 1 required"],
    # what does not parse
    "print 'x'\nimport a": ["a 2 required"],
    "print 'x'\nfrom a.b import (c,\n  d)": ["a.b(c,d) 2 required"],
    "print 'x'\nimport a, b # c": ["a 2 required", "b 2 required"],
    "print 'x'\nif y:\n    import a": ["a 3 conditional"],
    "print 'x'\nx = '''\nimport a\n'''": [],
    "print 'x'\nimport numpy as\nimport b": ["b 3 required"],
    "pip install a\nimport a": ["a 2 required"],
    "import a\nprint 'x'\n%load_ext b": ["a 1 required", "b 3 required"],
    "import a\0": [],
}


def describe(source: str) -> list[str]:
    return [
        f"{'.' * found.level}{found.module}{'(' + ','.join(found.names) + ')' if found.names else ''} {found.line} {found.context}"
        for found in find_imports([parse_cell(source)])
    ]


@pytest.mark.parametrize("source", STATEMENTS)
def test_imports(source: str) -> None:
    assert describe(source) == STATEMENTS[source]


def test_cells_are_counted_from_0() -> None:
    found = find_imports([parse_cell("import a"), parse_cell("x"), parse_cell("\nimport b.c")])
    assert [(one.cell, one.line, one.top, one.module) for one in found] == [(0, 1, "a", "a"), (2, 2, "b", "b.c")]


def test_deep_trees_do_no_harm() -> None:
    source = "x = " + " + ".join(["'a'"] * 900) + "\nimport a\nimportlib.import_module('b')"
    assert [found.module for found in find_imports([parse_cell(source)])] == ["a", "b"]


@settings(deadline=None)
@given(st.text(alphabet="import from as a.b()\n\t'\"#:*try except", max_size=60))
def test_no_text_raises(source: str) -> None:
    find_imports([parse_cell(source)])


# --- modules beside the source ----------------------------------------------------------------------------------------


def modules(folder: Path, files: dict[str, str], own: str = "nb.ipynb") -> LocalModules:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return LocalModules(folder, own)


def follow(local: LocalModules, source: str) -> list[str]:
    pending = list(find_imports([parse_cell(source)]))
    outside = []
    for found in pending:
        if local.holds(found.top, known=False):
            pending += local.follow(found)
        else:
            outside.append(found.module)
    return outside


@pytest.mark.parametrize(
    ("files", "source", "outside", "used"),
    [
        ({"helpers.py": "import a\n"}, "import helpers", ["a"], {"helpers"}),
        ({"helpers.py": "import a\n"}, "import other", ["other"], set()),
        ({"p/__init__.py": "import a\n", "p/q.py": "import b\n"}, "import p", ["a"], {"p"}),
        ({"p/__init__.py": "import a\n", "p/q.py": "import b\n"}, "from p import q", ["a", "b"], {"p"}),
        ({"p/__init__.py": "import a\n", "p/q.py": "import b\n"}, "import p.q", ["a", "b"], {"p"}),
        ({"p/__init__.py": "from .q import x\n", "p/q.py": "import b\n"}, "import p", ["b"], {"p"}),
        ({"p/__init__.py": "from . import q\n", "p/q.py": "import b\n"}, "import p", ["b"], {"p"}),
        ({"p/r/__init__.py": "", "p/r/s.py": "from ..t import x\n", "p/__init__.py": "", "p/t.py": "import b\n"}, "import p.r.s", ["b"], {"p"}),
        ({"p/q.py": "import b\n"}, "from p.q import x", ["b"], {"p"}),  # no __init__: still a package
        ({"p/data.csv": ""}, "import p", ["p"], set()),  # a folder of data is none
        ({"a.py": "import b\n", "b.py": "import a, c\n"}, "import a", ["c"], {"a", "b"}),  # they import each other
        ({"a.py": "print 'x'\nimport b\n"}, "import a", ["b"], {"a"}),
        ({"a.py": "\ufeffimport b\n"}, "import a", ["b"], {"a"}),
        ({"nb.ipynb": "", "nb.py": "import b\n"}, "import nb", ["b"], {"nb"}),
    ],
)  # fmt: skip
def test_local_modules_are_followed(
    tmp_path: Path, files: dict[str, str], source: str, outside: list[str], used: set[str]
) -> None:
    local = modules(tmp_path, files)
    assert follow(local, source) == outside
    assert local.used == used


def test_a_script_is_no_module_of_its_own(tmp_path: Path) -> None:
    local = modules(tmp_path, {"pandas.py": "import a\n"}, own="pandas.py")
    assert not local.holds("pandas", known=True)


def test_an_installed_distribution_wins_over_a_folder_without_init(tmp_path: Path) -> None:
    local = modules(tmp_path, {"datasets/load.py": "", "tqdm/__init__.py": ""})
    assert not local.holds("datasets", known=True)
    assert local.holds("datasets", known=False)
    assert local.holds("tqdm", known=True)


def test_files_that_cannot_be_read_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\xff\xfe\x00import b")
    (tmp_path / "b.py").symlink_to(tmp_path / "nowhere")
    (tmp_path / "c.py").mkdir()
    local = LocalModules(tmp_path, "nb.ipynb")
    assert follow(local, "import a, b, c") == []


def test_written_modules_and_programs() -> None:
    cells = [
        parse_cell("%%writefile helpers.py\nimport a"),
        parse_cell("%%writefile -a /kaggle/working/src/model.py\nx"),
        parse_cell("%%writefile notes.txt\nimport b"),
        parse_cell("%%file ../other/deep.py\nimport c"),
        parse_cell("%run train.py --fast\n!python3 -u evaluate.py && python -m x\n!python /kaggle/input/run.py"),
    ]
    assert {name: cell for name, (cell, _) in find_written_modules(cells).items()} == {
        "helpers": 0,
        "src": 1,
        "deep": 3,
    }
    assert find_run_files(cells) == [(4, "train.py"), (4, "evaluate.py"), (4, "/kaggle/input/run.py")]
