"""Law 1 where a cell comes to what was there already, and where what shares memory is changed and left.

In the first version of each notebook a cell leaves what it found; in the second it finds something else. That it wrote must be known all
the same. Where there is one version only, its last cell runs again, from what is kept.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import FINALE, as_cells, disagreement, interpret, read_outputs
from test_random_programs import world_python
from trial import World

import kanoe

# Each: what the first cell is at first and then, what makes it again, and what looks at it.
SET: dict[str, tuple[str, str, str, str]] = {
    "name": ("x = 3\ny = 1", "x = 4\ny = 1", "x = 3", "print(x)"),
    "name in a loop": ("x = 3", "x = 4", "for x in range(4): pass", "print(x)"),
    "name in a branch": ("x = 3\ny = 1", "x = 4\ny = 1", "if y: x = 3", "print(x)"),
    "name in a function": (
        "def f():\n    global x\n    x = 3\nx = 3",
        "def f():\n    global x\n    x = 3\nx = 4",
        "f()",
        "print(x)",
    ),
    "name before an error": ("x = 3\ny = 1", "x = 4\ny = 1", "x = 3\n1 / 0", "print(x)"),
    "name after an error": ("x = 3\ny = 1", "x = 4\ny = 1", "1 / 0\nx = 3", "print(x)"),
    "name by exec": ("x = 3", "x = 4", "exec('x = 3')", "print(x)"),
    "module": ("import os\nx = 1", "x = 1", "import os", "print(os.sep)"),
    "deleted name": ("y = 1", "x = 1", "x = 3\ndel x", "print('x' in globals())"),
    "deleted name that a fresh process has not": (
        "x = 5",
        "x = 5  # again",
        "x = 3; del x  # own",
        "print('x' in globals())",
    ),
    "attribute": ("class K: rate = 3", "class K: rate = 4", "K.rate = 3", "print(K.rate)"),
    "element": ("x = [3]", "x = [4]", "x[0] = 3", "print(x)"),
    "file": (
        "open('x.txt', 'w').write('3')",
        "pass",
        "open('x.txt', 'w').write('3')  # own",
        "print(open('x.txt').read())",
    ),
    "file's mode": (
        "import os\nopen('x.txt', 'w').close()\nos.chmod('x.txt', 0o600)",
        "import os\nopen('x.txt', 'w').close()\nos.chmod('x.txt', 0o644)",
        "os.chmod('x.txt', 0o600)",
        "print(oct(os.stat('x.txt').st_mode))",
    ),
    "folder": (
        "import os\nos.makedirs('d', exist_ok=True)",
        "import os",
        "os.makedirs('d', exist_ok=True)",
        "print(os.path.exists('d'))",
    ),
    "removed file": (
        "import os",
        "import os\nopen('f.txt', 'w').close()",
        "if os.path.exists('f.txt'): os.remove('f.txt')",
        "print(os.path.exists('f.txt'))",
    ),
    "seed": (
        "import random\nrandom.seed(3)",
        "import random\nrandom.seed(4)",
        "random.seed(3)",
        "print(random.random())",
    ),
    "variable": (
        "import os\nos.environ['P'] = '3'",
        "import os\nos.environ['P'] = '4'",
        "os.environ['P'] = '3'",
        "print(os.environ.get('P'))",
    ),
    "decimal context": (
        "import decimal\ndecimal.getcontext().prec = 3",
        "import decimal\ndecimal.getcontext().prec = 4",
        "decimal.getcontext().prec = 3",
        "print(decimal.Decimal(1) / 7)",
    ),
    "filter of warnings": (
        "import warnings\nwarnings.simplefilter('ignore')",
        "import warnings\nwarnings.simplefilter('error')",
        "warnings.simplefilter('ignore')",
        "warnings.warn('w')\nprint(warnings.filters[0][0])",
    ),
    "option of pandas": (
        "import pandas\npandas.set_option('display.max_rows', 3)",
        "import pandas\npandas.set_option('display.max_rows', 4)",
        "pandas.set_option('display.max_rows', 3)",
        "print(pandas.get_option('display.max_rows'))",
    ),
    "option of numpy": (
        "import numpy\nnumpy.set_printoptions(precision=3)",
        "import numpy\nnumpy.set_printoptions(precision=4)",
        "numpy.set_printoptions(precision=3)",
        "print(numpy.ones(2) / 7)",
    ),
    "option of matplotlib": (
        "import matplotlib\nmatplotlib.rcParams['font.size'] = 3",
        "import matplotlib\nmatplotlib.rcParams['font.size'] = 4",
        "matplotlib.rcParams['font.size'] = 3",
        "print(matplotlib.rcParams['font.size'])",
    ),
    "attribute of a library": (
        "import json\njson.mark = 3",
        "import json\njson.mark = 4",
        "json.mark = 3",
        "print(json.mark)",
    ),
}
LEFT: dict[str, tuple[str, ...]] = {
    "changed, then bound anew": ("a = [1]\nc = a", "a[0] = 5\na = [4]", "print(a, c)"),
    "changed, then deleted": ("a = [1]\nc = a", "a[0] = 5\ndel a", "print(c)"),
    "bound anew": ("a = [1]\nc = a\nd = [a]", "a = [4]", "print(a, c, d)"),
    "a class's list": ("class K: rows = [1]\nc = K.rows", "K.rows.append(3)\nK.rows = []", "print(c, K.rows)"),
    "a class that left its list": (
        "class K: pass\nrows = [K]\nK.rows = rows",
        "K.rows = [5]",
        "print(rows[0].rows, K.rows)",
    ),
    "beside a generator": ("a = [1, 2]\nc = a\ng = (x for x in a)", "a[0] = 7\na = [4]", "print(a, c, next(g))"),
    "a generator that moved": (
        "a = [1, 2]\nc = a\ng = (x for x in a)",
        "next(g)\na.append(5)\na = 4",
        "print(c, list(g))",
    ),
    "a view": ("import numpy\na = numpy.arange(5)\nv = a[1:]", "a[2] = 9\na = 0", "print(v)"),
}


def wrong_in(world: World, sources: list[str], folder: Path) -> str | None:
    """Run a version; return in what the answer is wrong."""
    report = kanoe.run(world.write("nb", as_cells(sources)), html=False, lock=world.lock, keep_going=True, cells=True)
    right = interpret([*sources, FINALE], folder, world_python(world))
    return disagreement(read_outputs(Path(str(report.directory))), right, sources)


@pytest.mark.parametrize("case", SET.values(), ids=list(SET))
def test_what_is_made_like_before_was_made(case: tuple[str, str, str, str], world: World, tmp_path: Path) -> None:
    first, then, again, look = case
    assert wrong_in(world, [first, again, look], tmp_path / "one") is None
    assert wrong_in(world, [then, again, look], tmp_path / "two") is None


@pytest.mark.parametrize("case", LEFT.values(), ids=list(LEFT))
def test_what_was_left_behind_is_as_it_was_changed(case: tuple[str, ...], world: World, tmp_path: Path) -> None:
    assert wrong_in(world, list(case), tmp_path / "one") is None
    assert wrong_in(world, [*case[:-1], case[-1] + "  # again"], tmp_path / "two") is None


def test_who_shares_counts(world: World, tmp_path: Path) -> None:
    """A cell that ran after `a` was deleted says nothing of a notebook in which `a` and `c` are one."""
    cells = ["a = [1]\nc = a\nd = [a]", "del a", "try: c.append(open('no.txt'))\nexcept OSError: pass", "print(c)"]
    assert wrong_in(world, cells, tmp_path / "one") is None
    assert wrong_in(world, [cells[0], "pass", *cells[2:]], tmp_path / "two") is None
