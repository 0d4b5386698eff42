"""Paths in cells: what is named, what is read, what is guarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kanoe.front.paths import PathUse, find_paths, keeps_folder
from kanoe.ir.notebook import Cell, Notebook

IN = "/kaggle/input"


def notebook_of(*sources):
    return Notebook(tuple(Cell(f"c{n}", "code", source) for n, source in enumerate(sources)))


def found(*sources):
    return find_paths(notebook_of(*sources))


def shown(uses):
    """Return `path`, followed by `!` where it is read and `?` where it is guarded."""
    return [use.path.removeprefix(IN) + "!" * use.reads + "?" * use.guarded for use in uses]


READS = [
    # written out
    ("pd.read_csv('../input/train.csv')", "/train.csv!"),
    ("train = pandas.read_csv('/kaggle/input/titanic/train.csv', index_col=0)", "/titanic/train.csv!"),
    ("pd.read_csv('../../kaggle/input/titanic/train.csv')", "/titanic/train.csv!"),
    ("pd.read_csv('./../input//titanic/./train.csv')", "/titanic/train.csv!"),
    ("pd.read_csv('//kaggle/input/a/b.csv')", "/a/b.csv!"),
    ("pd.read_csv('file:///kaggle/input/a/b.csv')", "/a/b.csv!"),
    ("df = pd.read_csv(filepath_or_buffer='../input/a.csv', sep=';')", "/a.csv!"),
    ("df = pd.read_csv('../input/a.csv').dropna().head(3)", "/a.csv!"),
    ("a, b = pd.read_csv('../input/a.csv'), pd.read_csv('../input/b.csv')", "/a.csv! /b.csv!"),
    # readers
    ("open('../input/a.txt')", "/a.txt!"),
    ("with open('../input/a.txt', encoding='utf-8') as f:\n    x = f.read()", "/a.txt!"),
    ("open('../input/a.bin', 'rb')", "/a.bin!"),
    ("open('../input/a.txt', mode='r')", "/a.txt!"),
    ("import numpy\nnumpy.load('../input/a.npy')", "/a.npy!"),
    ("import numpy as nump\nnump.genfromtxt('../input/a.txt')", "/a.txt!"),
    ("from PIL import Image as I\nI.open('../input/a.png')", "/a.png!"),
    ("cv2.imread('../input/a.png', 0)", "/a.png!"),
    ("from joblib import load\nload('../input/m.pkl')", "/m.pkl!"),
    ("from pandas import read_csv\nread_csv('../input/a.csv')", "/a.csv!"),
    ("pl.scan_parquet('../input/a.parquet')", "/a.parquet!"),
    ("spark.read.csv('../input/a.csv')", "/a.csv!"),
    ("z = zipfile.ZipFile('../input/a.zip')", "/a.zip!"),
    ("pickle.load(open('../input/m.pkl', 'rb'))", "/m.pkl!"),
    ("pd.read_csv(open('../input/a.csv'))", "/a.csv!"),
    ("for f in os.listdir('../input/titanic'):\n    print(f)", "/titanic!"),
    ("%time df = pd.read_csv('../input/a.csv')", "/a.csv!"),
    ("%%time\ndf = pd.read_csv('../input/a.csv')", "/a.csv!"),
    # put together
    ("import os\npd.read_csv(os.path.join('../input', 'titanic', 'train.csv'))", "/titanic/train.csv!"),
    ("from os.path import join\npd.read_csv(join('../input/', 'a.csv'))", "/a.csv!"),
    ("import os.path as osp\npd.read_csv(osp.join('../input/', 'a.csv'))", "/a.csv!"),
    ("BASE = '../input/'\npd.read_csv(BASE + 'train.csv')", " /train.csv!"),
    ("BASE = '../input'\npd.read_csv(f'{BASE}/train.csv')", " /train.csv!"),
    ("BASE: str = '../input'\npd.read_csv('%s/train.csv' % BASE)", " /train.csv!"),
    ("BASE = '../input'\npd.read_csv('{}/{}'.format(BASE, 'train.csv'))", " /train.csv!"),
    ("BASE = '../input'\nBASE += '/x'\npd.read_csv(f'{BASE}/a.csv')", " /x/a.csv!"),
    ("pd.read_csv(Path('../input') / 'x' / 'a.csv')", "/x/a.csv!"),
    ("from pathlib import Path\np = Path('../input')\nx = (p / 'a.txt').read_text()", " /a.txt!"),
    ("p = Path('../input')\nwith (p / 'a.txt').open() as f: pass", " /a.txt!"),
    ("p = Path('../input', 'x')\npd.read_csv(str(p.joinpath('a.csv')))", "/x /x/a.csv!"),
    ("p = Path.cwd().parent / 'input'\npd.read_csv(p / 'a.csv')", " /a.csv!"),
    ("A, B = '../input/a', '../input/b'\npd.read_csv(A + '.csv')", "/a /b /a.csv!"),
    ("class CFG:\n    data = '../input/x'\npd.read_csv(CFG.data + '/a.csv')", "/x /x/a.csv!"),
    ("class CFG:\n    data = '../input/x'\ncfg = CFG()\npd.read_csv(cfg.data + '/a.csv')", "/x /x/a.csv!"),
    ("%cd ../input/titanic\npd.read_csv('train.csv')", "/titanic /titanic/train.csv!"),
    ("import os\nos.chdir('/kaggle/input/titanic')\npd.read_csv('train.csv')", "/titanic /titanic/train.csv!"),
    ("%cd ..\npd.read_csv('input/a.csv')", "/a.csv!"),
]  # fmt: skip

NO_READS = [
    # named only
    ("print(os.listdir('../input'))", "!"),
    ("path = '../input/train.csv'", "/train.csv"),
    ("glob.glob('../input/titanic/*.csv')", "/titanic/*.csv"),
    ("for d, _, names in os.walk('/kaggle/input'):\n    for n in names: print(os.path.join(d, n))", ""),
    ("check_output(['ls', '../input']).decode('utf8')", ""),
    ("!ls ../input", ""),
    ("!head -5 '../input/my file.csv' > out.txt", "/my file.csv"),
    ("!cat ../input/my\\ file.csv", "/my file.csv"),
    ("if False:\n    open('../input/a')\nelse:\n    open('../input/b')", "/b!"),
    ("!unzip -q ../input/x/train.zip -d /kaggle/temp", "/x/train.zip"),
    ("!python run.py --data=../input/x --out .", "/x"),
    ("D = '../input/x'\n!ls {D}/a.csv $D/b.csv", "/x /x/a.csv /x/b.csv"),
    ("%%bash\ncd ..\nwc -l ../input/a.csv", "/a.csv"),
    ("os.system('cp ../input/a.csv .')", "/a.csv"),
    ("sys.path.append('../input/my-utils')", "/my-utils"),
    ("df.to_csv('../input/a.csv')", "/a.csv"),
    ("open('../input/a.txt', 'w')", "/a.txt"),
    ("open('../input/a.txt', mode)", "/a.txt"),
    # not told before a run
    ("pd.read_csv(f'../input/x/{name}.csv')", "/x/*.csv"),
    ("for n in names:\n    pd.read_csv('../input/x/%s_%d.csv' % (n, 3))", "/x/*_*.csv"),
    ("pd.read_csv('../input/{}/a.csv'.format(slug))", ""),
    ("pd.read_csv('../input/' + name)", "/*"),
    ("os.listdir('../input/' + name)", ""),
    ("glob.glob('../input/*')", ""),
    ("glob.glob('../input/*/*.csv')", ""),
    ("if here:\n    D = '../input/x'\nelse:\n    D = 'data'\npd.read_csv(D + '/a.csv')", "/x? /x/a.csv"),
    ("D = '../input/x' if here else 'data'\npd.read_csv(D + '/a.csv')", "/x? /x/a.csv"),
    ("os.chdir(somewhere)\npd.read_csv('../input/a.csv')", "/a.csv"),
    ("def read_csv(p): pass\nread_csv('../input/a.csv')", "/a.csv"),
    # guarded
    ("try:\n    x = pd.read_csv('../input/a.csv')\nexcept OSError:\n    x = None", "/a.csv!?"),
    ("if os.path.exists('../input/a.csv'):\n    x = pd.read_csv('../input/a.csv')", "/a.csv? /a.csv!?"),
    ("os.path.exists('../input/a.csv') and pd.read_csv('../input/a.csv')", "/a.csv!?"),
    ("def load():\n    return pd.read_csv('../input/a.csv')", "/a.csv!?"),
    ("load = lambda: pd.read_csv('../input/a.csv')", "/a.csv!?"),
    ("def load(path='../input/a.csv'):\n    return pd.read_csv(path)", "/a.csv? /a.csv?"),
    ("from contextlib import suppress\nwith suppress(OSError):\n    x = pd.read_csv('../input/a.csv')", "/a.csv!?"),
    ("if not Path('../input/x').exists():\n    fetch()\npd.read_csv('../input/x/a.csv')", "/x? /x/a.csv!?"),
    # nothing
    ("pd.read_csv('train.csv')", None),
    ("pd.read_csv('../data/train.csv')", None),
    ("pd.read_csv('https://example.org/kaggle/input/a.csv')", None),
    ("pd.read_csv('/kaggle/inputs/a.csv')", None),
    ("'''../input/train.csv in a docstring'''", None),
    ("print('../input/train.csv')", None),
    ("print(f'reading ../input/{x}')", None),
    ("# pd.read_csv('../input/train.csv')", None),
    ("raise OSError('../input/train is not there')", None),
    ("x = a / b + '..'", None),
    ("names = ['a', 'b']; x['../inputs'] = 3", None),
    ("'a' + '\\0' + b", None),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), [*READS, *NO_READS])
def test_uses_of_one_cell(source, expected):
    uses = found(source)
    assert (" ".join(shown(uses)) if uses else None) == expected


def test_names_are_followed_over_cells_and_positions_are_given():
    uses = found(
        "import pandas as pd\nDATA = '../input/titanic/'",
        "",
        "\ntrain = pd.read_csv(\n    DATA + 'train.csv')\n\n!ls ../input",
    )
    assert uses == (
        PathUse(0, 2, f"{IN}/titanic"),
        PathUse(2, 2, f"{IN}/titanic/train.csv", reads=True),
        PathUse(2, 5, IN),
    )


def test_markdown_cells_are_not_counted():
    cells = (Cell("a", "markdown", "pd.read_csv('../input/a.csv')"), Cell("b", "code", "open('../input/b.csv')"))
    assert find_paths(Notebook(cells)) == (PathUse(0, 1, f"{IN}/b.csv", reads=True),)


def test_a_cell_that_does_not_parse_still_names_its_paths():
    assert shown(found("print 'x'\ndf = pd.read_csv('../input/a.csv')")) == ["/a.csv"]


def test_the_same_path_on_one_line_is_one_use():
    assert len(found("a = open('../input/a'); b = open('../input/a')")) == 1


def test_a_test_for_existence_guards_later_cells_only():
    uses = found("open('../input/a')", "ok = os.path.isfile('../input/a')", "open('../input/a')")
    assert [use.guarded for use in uses if use.reads] == [False, True]


def test_code_nested_too_deeply_is_passed_over():
    deep = "x = " + "-" * 300 + "1\n" + "y = " + "+".join(["a"] * 3000) + "\nopen('../input/b')"
    assert "/b!" in shown(found(deep, "open('../input/c')")) or "/c!" in shown(found(deep, "open('../input/c')"))


FRAGMENTS = [
    "'../input/'",
    "'/kaggle/input/a.csv'",
    "D",
    "Path('..')",
    "f'{D}/x'",
    "os.path.join(D, 'x')",
    "x",
    "3",
    "'{}'.format(D)\n   ",
    "'%s' % D",
    "[D for D in D]",
    "lambda D='../input': D",
    "D.parent",
    "CFG.d",
    "*D",
    "(D := '../input')",
    "not D",
]
STATEMENTS = (
    "D = {}",
    "D += {}",
    "open({})",
    "pd.read_csv({}, {})",
    "if {}:\n    D = {}\nelse:\n    open(D)",
    "for D in {}:\n    open(D)",
    "def f(D={}, *, E={}):\n    open(D)",
    "class CFG({}):\n    d = {}",
    "try:\n    open({})\nexcept E as D:\n    D = {}",
    "os.chdir({})",
    "with {} as D:\n    open(D)",
    "D, *E = {}, {}",
    "while {}:\n    D = D + '/x'",
    "match {}:\n    case 1:\n        D = {}",
    "del D",
    "!ls {}",
    "%cd {}",
)


@given(
    st.lists(st.tuples(st.sampled_from(STATEMENTS), st.sampled_from(FRAGMENTS), st.sampled_from(FRAGMENTS)), max_size=6)
)
def test_any_code_is_survived_and_every_path_is_normal(parts):
    for use in found(*(statement.replace("{}", one, 1).replace("{}", two, 1) for statement, one, two in parts)):
        assert use.path == IN or use.path.startswith(f"{IN}/")
        assert "\0" not in use.path
        assert "/../" not in f"{use.path}/"
        assert use.line >= 1


@pytest.mark.parametrize(
    ("sources", "kept"),
    [
        (["data_dir = '../input/'\ndef load(data_dir):\n    return pd.read_csv(data_dir + 'train.csv')"], True),
        (['    PATH="/kaggle/input"  # data'], True),
        (["x = 1", "DIR = '../input'"], True),
        (["DIR = '../input/titanic'"], False),
        (["print(os.listdir('../input'))"], False),
        (["DIR = '../input'", "for d, _, names in os.walk(DIR): print(names)"], False),
        (["DIR = '../input'\nfiles = glob(DIR + '/**/*.csv', recursive=True)"], False),
    ],
)
def test_a_folder_that_is_kept(sources, kept):
    assert keeps_folder(notebook_of(*sources)) is kept
