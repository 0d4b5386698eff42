"""What a cell reads and writes besides variables and files: seen, brought to a fresh process, absent where it is as at first."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# An environment with the libraries at hand; without one, the cases of libraries that are not here are left out.
PYTHON = os.environ.get("KANOE_TEST_PYTHON", sys.executable)
CHILD = Path(__file__).parent / "channel_session.py"


class Session:
    """A process with a shell and all channels, and the state that its cells wrote."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._file = self._socket.makefile("rw")
        self.state: dict[str, list[Any]] = {}

    def ask(self, *request: Any) -> Any:
        self._file.write(json.dumps(request) + "\n")
        self._file.flush()
        return json.loads(self._file.readline())

    def run(self, code: str) -> dict[str, Any]:
        done: dict[str, Any] = self.ask("run", code)
        done["text"] = re.sub(r"(ipython-input-|Out\[|In\[)\d+", r"\1N", done["text"])
        for reference, value in done["writes"].items():
            if value is None:
                self.state.pop(reference, None)
            else:
                self.state[reference] = value
        return done

    def restore(self, state: dict[str, list[Any]]) -> dict[str, str]:
        failed: dict[str, str] = self.ask("restore", {reference: value[1] for reference, value in state.items()})
        self.state = dict(state)
        return failed

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("channels")
    address = str(folder / "socket")
    variables = {"PYTHONHASHSEED": "0", "IPYTHONDIR": str(folder), "MPLCONFIGDIR": str(folder), "MPLBACKEND": "agg"}
    process = subprocess.Popen(
        [PYTHON, str(CHILD), address], stdout=subprocess.PIPE, cwd=folder, env={**os.environ, **variables}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield address
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def sessions(server: str) -> Iterator[Any]:
    made: list[Session] = []

    def make() -> Session:
        made.append(Session(server))
        return made[-1]

    yield make
    for session in made:
        session.close()


_KNOWN: dict[str, bool] = {}


def has(library: str) -> bool:
    """Whether the environment of these tests has a library."""
    if library not in _KNOWN:
        command = [PYTHON, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec({library!r}) is None)"]
        _KNOWN[library] = subprocess.run(command, check=False).returncode == 0
    return _KNOWN[library]


# name: libraries, cells before, the cell, what it writes (a prefix), a cell that shows it, a cell that takes it back.
CASES: dict[str, tuple[str, list[str], str, str, str, str | None]] = {
    "random": (
        "",
        [],
        "import random; random.seed(42)",
        "random:random",
        "import random; print(random.random())",
        None,
    ),
    "random draw": (
        "",
        ["import random"],
        "x = random.random()",
        "random:random",
        "import random; print(random.random())",
        None,
    ),
    "environ": (
        "",
        ["import os"],
        "os.environ['MODE'] = 'fast'",
        "setting:environ:MODE",
        "import os; print(os.environ.get('MODE'), os.getenv('MODE'))",
        "del os.environ['MODE']",
    ),
    "environ deleted": (
        "",
        ["import os"],
        "home = os.environ.pop('HOME')",
        "setting:environ:HOME",
        "import os; print(os.environ.get('HOME'))",
        "os.environ['HOME'] = home",
    ),
    "%env": ("", [], "%env MODE=slow", "setting:environ:MODE", "import os; print(os.environ['MODE'])", None),
    "chdir": (
        "",
        ["import os"],
        "first = os.getcwd(); os.chdir('/')",
        "setting:cwd",
        "import os; print(os.getcwd())",
        "os.chdir(first)",
    ),
    "sys.path": (
        "",
        ["import sys"],
        "sys.path.append('../input/code')",
        "setting:sys.path",
        "import sys; print(sys.path[-1])",
        "sys.path.pop()",
    ),
    "sys.argv": ("", ["import sys"], "sys.argv = ['a', 'b']", "setting:sys.argv", "import sys; print(sys.argv)", None),
    "recursion": (
        "",
        ["import sys"],
        "sys.setrecursionlimit(12345)",
        "setting:recursionlimit",
        "import sys; print(sys.getrecursionlimit())",
        None,
    ),
    "warnings ignored": (
        "",
        ["import warnings"],
        "warnings.filterwarnings('ignore')",
        "setting:warnings",
        "import warnings, sys\nsys.stderr = sys.stdout\nwarnings.warn('heard')\nsys.stderr = sys.__stderr__",
        "del warnings.filters[1]",
    ),
    "warnings by pattern": (
        "",
        ["import warnings"],
        "warnings.filterwarnings('error', message='lou.*', category=UserWarning)",
        "setting:warnings",
        "import warnings\ntry:\n    warnings.warn('loud')\nexcept UserWarning as e:\n    print(repr(e))",
        None,
    ),
    "locale": (
        "",
        ["import locale"],
        "locale.setlocale(locale.LC_ALL, 'C.UTF-8' if locale.setlocale(locale.LC_ALL) == 'C' else 'C')",
        "setting:locale",
        "import locale; print(locale.setlocale(locale.LC_ALL))",
        None,
    ),
    "decimal": (
        "",
        ["import decimal"],
        "decimal.getcontext().prec = 5",
        "setting:decimal",
        "import decimal; print(decimal.Decimal(1) / 3)",
        "decimal.getcontext().prec = 28",
    ),
    "csv": (
        "",
        ["import csv, sys"],
        "csv.field_size_limit(sys.maxsize)",
        "setting:csv.field_size_limit",
        "import csv; print(csv.field_size_limit())",
        "csv.field_size_limit(131072)",
    ),
    "gc": ("", ["import gc"], "gc.disable()", "setting:gc", "import gc; print(gc.isenabled())", "gc.enable()"),
    "logging level": (
        "",
        ["import logging"],
        "logging.getLogger('mine').setLevel(logging.DEBUG)",
        "setting:logging:logger mine",
        "import logging; print(logging.getLogger('mine').isEnabledFor(10))",
        "logging.getLogger('mine').setLevel(0)",
    ),
    "logging.basicConfig": (
        "",
        ["import logging, sys"],
        "logging.basicConfig(level=logging.INFO, format='>> %(message)s', force=True)",
        "setting:logging:",
        "import logging; print(logging.root.level, logging.root.handlers[0].formatter._fmt)",
        None,
    ),
    "logging.disable": (
        "",
        ["import logging"],
        "logging.disable(40)",
        "setting:logging:disable",
        "import logging; print(logging.root.manager.disable)",
        "logging.disable(0)",
    ),
    "interactivity of the class": (
        "",
        ["from IPython.core.interactiveshell import InteractiveShell"],
        "InteractiveShell.ast_node_interactivity = 'all'",
        "effect:patch:IPython.core.interactiveshell:InteractiveShell.ast_node_interactivity",
        "print(get_ipython().ast_node_interactivity)",
        None,
    ),
    "interactivity of the shell": (
        "",
        [],
        "get_ipython().ast_node_interactivity = 'all'",
        "setting:ipython:",
        "print(get_ipython().ast_node_interactivity)",
        "get_ipython().ast_node_interactivity = 'last_expr'",
    ),
    "%config": (
        "",
        [],
        "%config InteractiveShell.ast_node_interactivity = 'last'",
        "setting:ipython:",
        "print(get_ipython().ast_node_interactivity)",
        None,
    ),
    "%precision": ("", [], "%precision 3", "setting:ipython:PlainTextFormatter.float_precision", "1/3", None),
    "%load_ext": (
        "",
        [],
        "%load_ext autoreload",
        "setting:hook:extension:",
        "print('autoreload' in get_ipython().extension_manager.loaded)",
        None,
    ),
    "a magic": (
        "",
        ["from IPython.core.magic import register_line_magic"],
        "@register_line_magic\ndef twice(line):\n    return line * 2",
        "setting:hook:magic:line:twice",
        "print(get_ipython().run_line_magic('twice', 'ab'))",
        "del get_ipython().magics_manager.magics['line']['twice']",
    ),
    "a formatter": (
        "",
        [],
        "_f = get_ipython().display_formatter.formatters['text/plain'].for_type(int, lambda o, p, c: p.text('int!'))",
        "setting:hook:formatter:text/plain",
        "print(get_ipython().display_formatter.format(3)[0])",
        None,
    ),
    "an event": (
        "",
        [],
        "def tell(*a): print('event')\nget_ipython().events.register('pre_run_cell', tell)",
        "setting:hook:event:pre_run_cell",
        "1;",
        "get_ipython().events.unregister('pre_run_cell', tell)",
    ),
    "a display hook": (
        "",
        ["import sys"],
        "old = sys.displayhook\ndef hook(*a): print('hooked')\nsys.breakpointhook, first = hook, sys.breakpointhook",
        "setting:hook:sys.breakpointhook",
        "import sys; sys.breakpointhook()",
        None,
    ),
    "a patched function": (
        "",
        ["import warnings"],
        "first = warnings.warn\ndef silent(*a, **k): print('silent')\nwarnings.warn = silent",
        "effect:patch:warnings:warn",
        "import warnings; warnings.warn('x')",
        "warnings.warn = first",
    ),
    "a lambda with a closure": (
        "",
        ["import colorsys"],
        "def make(n):\n    return lambda *a, **k: n\ncolorsys.rgb_to_hsv = make([3])",
        "effect:patch:colorsys:rgb_to_hsv",
        "import colorsys; print(colorsys.rgb_to_hsv())",
        None,
    ),
    "a patched builtin": (
        "",
        ["import builtins"],
        "def my_sum(*a): return 'mine'\nbuiltins.sum = my_sum",
        "effect:patch:builtins:sum",
        "print(sum([1]))",
        None,
    ),
    "a method added": (
        "",
        ["import fractions"],
        "fractions.Fraction.half = lambda self: self / 2",
        "effect:patch:fractions:Fraction.half",
        "import fractions; print(fractions.Fraction(1).half())",
        "del fractions.Fraction.half",
    ),
    "a property added": (
        "",
        ["import fractions"],
        "fractions.Fraction.third = property(lambda self: self / 3)",
        "effect:patch:fractions:Fraction.third",
        "import fractions; print(fractions.Fraction(1).third)",
        None,
    ),
    "a constant": (
        "",
        ["import string"],
        "string.digits = '01'",
        "effect:patch:string:digits",
        "import string; print(string.digits)",
        "string.digits = '0123456789'",
    ),
    "a list as an attribute": (
        "",
        ["import string"],
        "string.kept = [1]\nstring.kept.append(2)",
        "effect:patch:string:kept",
        "import string; print(string.kept)",
        "del string.kept",
    ),
    "modules reloaded by themselves": (
        "",
        [],
        "%load_ext autoreload\n%autoreload 2",
        "setting:hook:reload:",
        "print(get_ipython().magics_manager.registry['AutoreloadMagics']._reloader.enabled)",
        None,
    ),
    "unverified https": (
        "",
        ["import ssl"],
        "ssl._create_default_https_context = ssl._create_unverified_context",
        "effect:patch:ssl:_create_default_https_context",
        "import ssl; print(ssl._create_default_https_context is ssl._create_unverified_context)",
        None,
    ),
    "numpy seed": (
        "numpy",
        ["import numpy as np"],
        "np.random.seed(1)",
        "random:numpy",
        "import numpy as np; print(np.random.rand())",
        None,
    ),
    "numpy draw": (
        "numpy",
        ["import numpy as np"],
        "x = np.random.rand()",
        "random:numpy",
        "import numpy as np; print(np.random.rand())",
        None,
    ),
    "np.seterr": (
        "numpy",
        ["import numpy as np"],
        "np.seterr(all='ignore')",
        "setting:numpy.errors",
        "import numpy as np; print(np.geterr())",
        "np.seterr(divide='warn', over='warn', under='ignore', invalid='warn')",
    ),
    "np.set_printoptions": (
        "numpy",
        ["import numpy as np"],
        "np.set_printoptions(precision=2, suppress=True)",
        "setting:numpy.print",
        "import numpy as np; print(np.array([1.23456]))",
        "np.set_printoptions(precision=8, suppress=False)",
    ),
    "pd.set_option": (
        "pandas",
        ["import pandas as pd"],
        "pd.set_option('display.max_rows', 4)",
        "setting:pandas:display.max_rows",
        "import pandas as pd; print(pd.DataFrame({'a': range(9)}))",
        "pd.reset_option('display.max_rows')",
    ),
    "pd.options with a lambda": (
        "pandas",
        ["import pandas as pd"],
        "pd.options.display.float_format = lambda x: '<%.1f>' % x",
        "setting:pandas:display.float_format",
        "import pandas as pd; print(pd.Series([1.25]))",
        "pd.reset_option('display.float_format')",
    ),
    "pd.options with a method of a string": (
        "pandas",
        ["import pandas as pd"],
        "pd.options.display.float_format = '{:.1f}'.format",
        "setting:pandas:display.float_format",
        "import pandas as pd; print(pd.Series([1.25]))",
        None,
    ),
    "a method of pandas": (
        "pandas",
        ["import pandas as pd"],
        "def shout(self): return 'rows: %d' % len(self)\npd.DataFrame.shout = shout",
        "effect:patch:pandas",
        "import pandas as pd; print(pd.DataFrame({'a': [1]}).shout())",
        None,
    ),
    "tqdm.pandas": (
        "tqdm",
        ["import pandas as pd"],
        "from tqdm import tqdm; tqdm.pandas(disable=True)",
        "effect:patch:pandas",
        "import pandas as pd; print(pd.Series([1]).progress_apply(lambda x: x + 1).tolist())",
        None,
    ),
    "rcParams": (
        "matplotlib",
        ["import matplotlib.pyplot as plt"],
        "plt.rcParams['figure.figsize'] = (3, 2)",
        "setting:matplotlib",
        "import matplotlib.pyplot as plt; print(plt.figure().get_size_inches()); plt.close('all')",
        "plt.rcParams['figure.figsize'] = plt.rcParamsDefault['figure.figsize']",
    ),
    "plt.style.use": (
        "matplotlib",
        ["import matplotlib.pyplot as plt"],
        "plt.style.use('ggplot')",
        "setting:matplotlib",
        "import matplotlib.pyplot as plt; print(plt.rcParams['axes.facecolor'], plt.rcParams['axes.prop_cycle'])",
        None,
    ),
    "a list of rcParams in place": (
        "matplotlib",
        ["import matplotlib.pyplot as plt"],
        "plt.rcParams['font.sans-serif'].insert(0, 'Nobody')",
        "setting:matplotlib",
        "import matplotlib.pyplot as plt; print(plt.rcParams['font.sans-serif'][:2])",
        "del plt.rcParams['font.sans-serif'][0]",
    ),
    "matplotlib.use": (
        "matplotlib",
        ["import matplotlib"],
        "matplotlib.use('svg')",
        "setting:matplotlib",
        "import matplotlib; print(matplotlib.get_backend().lower())",
        None,
    ),
    "sns.set": (
        "seaborn",
        ["import seaborn as sns"],
        "sns.set()",
        "setting:matplotlib",
        "import matplotlib as m, matplotlib.colors as c; print(m.rcParams['axes.facecolor'], c.to_rgb('b'))",
        None,
    ),
    "a colour map of seaborn": (
        "seaborn",
        ["import matplotlib.pyplot as plt"],
        "import seaborn",
        "effect:import:seaborn",
        "import matplotlib.pyplot as plt; print(plt.get_cmap('rocket').name)",
        None,
    ),
    "sklearn.set_config": (
        "sklearn",
        ["import sklearn"],
        "sklearn.set_config(display='text')",
        "setting:sklearn",
        "import sklearn; print(sklearn.get_config()['display'])",
        None,
    ),
    "sklearn.experimental": (
        "sklearn",
        ["import sklearn.impute"],
        "from sklearn.experimental import enable_iterative_imputer",
        "effect:import:sklearn.experimental.enable_iterative_imputer",
        "from sklearn.impute import IterativeImputer; print(IterativeImputer.__name__)",
        None,
    ),
    "plotly": (
        "plotly",
        ["import plotly.io as pio, plotly.express as px"],
        "pio.templates.default = 'ggplot2'; px.defaults.width = 300",
        "setting:plotly",
        "import plotly.io as pio, plotly.express as px; print(pio.templates.default, px.defaults.width)",
        None,
    ),
    "a constant of Pillow": (
        "PIL",
        ["from PIL import Image, ImageFile"],
        "ImageFile.LOAD_TRUNCATED_IMAGES = True; Image.MAX_IMAGE_PIXELS = None",
        "effect:patch:PIL",
        "from PIL import Image, ImageFile; print(ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)",
        None,
    ),
    "torch seed": (
        "torch",
        ["import torch"],
        "torch.manual_seed(0);",
        "random:torch",
        "import torch; print(torch.rand(1))",
        None,
    ),
    "torch dtype": (
        "torch",
        ["import torch"],
        "torch.set_default_dtype(torch.float64)",
        "setting:torch.default_dtype",
        "import torch; print(torch.tensor(1.).dtype)",
        "torch.set_default_dtype(torch.float32)",
    ),
}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case[0]])
def test_what_a_cell_sets_is_seen_and_comes_to_a_fresh_process(name: str, sessions: Any) -> None:
    _, before, cell, reference, show, back = CASES[name]
    first, plain = sessions(), sessions()
    for code in before:
        assert first.run(code)["error"] is None
        plain.run(code)
    plain.restore(first.state)
    assert not any(found.startswith(reference) for found in first.state)
    done = first.run(cell)
    assert done["error"] is None
    assert [found for found in done["writes"] if found.startswith(reference)], done["writes"]
    state = dict(first.state)
    shown = first.run(show)
    assert shown["error"] is None

    fresh = sessions()
    assert fresh.restore(state) == {}
    again = fresh.run(show)
    assert again["error"] is None
    assert again["text"] == shown["text"]
    assert _without_environ(again["reads"]) == _without_environ(shown["reads"])
    assert _of(again["reads"], reference) != _of(plain.run(show)["reads"], reference)
    if back is not None:
        first.state = dict(state)
        done = first.run(back)
        assert done["error"] is None
        assert not any(found.startswith(reference) for found in first.state), first.state
        # And the process that held it can be brought back too.
        fresh.restore({found: [None, None] for found in state if found.startswith(reference)})
        assert fresh.run(show)["text"] == plain.run(show)["text"]


def test_what_an_attribute_holds_may_change_and_be_shared(sessions: Any) -> None:
    session = sessions()
    session.run("import string\nrows = []\nstring.kept = [1]\nstring.shared = rows\nstring.text = 'x'")
    before = dict(session.state)
    assert before["effect:patch:string:kept"][1] is not None
    assert before["effect:patch:string:shared"][1] is None
    assert session.run("string.kept.append(2)")["writes"].keys() >= {"effect:patch:string:kept"}
    done = session.run("rows.append(1)")
    assert [name for name in done["writes"] if "patch" in name] == ["effect:patch:string:shared"]
    assert not [name for name in session.run("x = 1")["writes"] if "patch" in name]


def test_how_errors_are_shown_is_read_by_who_raises_one(sessions: Any) -> None:
    session = sessions()
    assert session.run("%xmode Minimal")["writes"]["setting:traceback"] is not None
    assert "setting:traceback" not in session.run("x = 1")["reads"]
    shown = session.run("1 / 0")
    assert shown["reads"]["setting:traceback"] is not None
    fresh = sessions()
    fresh.restore(session.state)
    assert fresh.run("1 / 0")["text"] == shown["text"]
    assert session.run("%xmode Context")["writes"]["setting:traceback"] is None


LIBRARIES = [name for name, case in CASES.items() if case[0]]
CLASHES = ["pd.options with a method of a string", "plt.style.use", "sns.set", "numpy draw", "matplotlib.use"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen", [[name for name in LIBRARIES if name not in CLASHES], CLASHES], ids=["most", "others"]
)
def test_what_cells_set_of_libraries_comes_to_a_fresh_process(chosen: list[str], sessions: Any) -> None:  # noqa: C901
    cases = {name: CASES[name] for name in chosen if has(CASES[name][0])}
    if not cases:
        pytest.skip("none of the libraries is here")
    first, fresh, problems = sessions(), sessions(), []
    for code in dict.fromkeys(code for case in cases.values() for code in case[1]):
        assert first.run(code)["error"] is None
    assert [found for found in first.state if not found.startswith("effect:import:seaborn")] == []
    for name, (_, _, cell, reference, _, _) in cases.items():
        done = first.run(cell)
        if done["error"] or not any(found.startswith(reference) for found in {**first.state, **done["writes"]}):
            problems.append((name, done["error"], list(done["writes"])))
    state = dict(first.state)
    assert fresh.restore(state) == {}
    for name, (_, _, _, _, show, _) in cases.items():
        shown, again = first.run(show), fresh.run(show)
        if shown["error"] or shown["text"] != again["text"]:
            problems.append((name, shown["text"], again["text"]))
        kinds = {key for key in again["reads"] if "environ" not in key}
        if {key: again["reads"][key] for key in kinds} != {key: shown["reads"].get(key) for key in kinds}:
            differing = {key: (again["reads"][key], shown["reads"].get(key)) for key in kinds}
            problems.append((name, {key: pair for key, pair in differing.items() if pair[0] != pair[1]}))
    for case in cases.values():
        if case[5] is not None:
            first.run(case[5])
    for name, (_, _, _, reference, _, back) in cases.items():
        if back is not None and any(found.startswith(reference) for found in first.state):
            problems.append((name, "not back", [found for found in first.state if found.startswith(reference)]))
    assert not problems, repr(problems)


# What the import of a library changes, what the notebook may set of the same, and how it is shown.
IMPORTED = {
    "warnings": (
        "import warnings; warnings.simplefilter('always', BytesWarning)",
        "import warnings; warnings.simplefilter('ignore')",
    ),
    "environ": ("import os; os.environ['LIBRARY_MODE'] = '1'", "import os; os.environ['LIBRARY_MODE'] = '2'"),
    "path": ("import sys; sys.path.append('/library')", "import sys; sys.path.insert(0, '/mine')"),
    "logging": (
        "import logging; logging.getLogger('shared').setLevel(10)",
        "import logging; logging.getLogger('shared').setLevel(40)",
    ),
    "root": ("import logging; logging.root.setLevel(10)", "import logging; logging.root.setLevel(40)"),
    "decimal": ("import decimal; decimal.getcontext().prec = 7", "import decimal; decimal.getcontext().prec = 9"),
    "random": ("import random; random.random()", "import random; random.seed(5)"),
    "patch": ("import colorsys; colorsys.rgb_to_hls = len", "import colorsys; colorsys.rgb_to_yiq = max"),
    "hook": ("import sys; sys.excepthook = lambda *a: None", "import sys; sys.breakpointhook = print"),
}
SHOW = """
import warnings, os, sys, logging, decimal, random, colorsys
print([f[0] for f in warnings.filters if f[1] is None], os.environ.get('LIBRARY_MODE'), sys.path[:2], sys.path[-1],
      logging.getLogger('shared').level, logging.root.level, decimal.getcontext().prec, random.random(),
      colorsys.rgb_to_hls.__name__, colorsys.rgb_to_yiq.__name__, sys.excepthook.__name__, sys.breakpointhook.__name__)
"""


@pytest.mark.parametrize("kind", IMPORTED)
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("when", ["before the cell", "in the cell"])
def test_a_later_import_changes_nothing_of_what_cells_are_said_to_do(
    kind: str, own: bool, when: str, sessions: Any, tmp_path: Path
) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    name = "library_" + kind
    (packages / f"{name}.py").write_text(IMPORTED[kind][0] + "\n")
    (packages / "lazy_library.py").write_text(f"def work():\n    import {name}\n    return 1\n")

    def start() -> Any:
        session = sessions()
        session.run(f"import sys; sys.path.append({str(packages)!r})")
        session.run("import lazy_library, random, colorsys, logging, warnings, decimal, os")
        return session

    top = start()
    top.run("random.seed(1)")
    top.ask("load", name)
    top.run("pass")  # what it appended to a list that the notebook had changed is told now
    if own:
        assert top.run(IMPORTED[kind][1])["error"] is None
    state = dict(top.state)
    shown = top.run("import lazy_library\nx = lazy_library.work()\n" + SHOW)

    again = sessions()
    again.restore(state)
    if when == "before the cell":
        again.ask("load", name)
    done = again.run("import lazy_library\nx = lazy_library.work()\n" + SHOW)
    if kind == "random" and when == "in the cell":
        return  # it draws in the cell, as it would from the top
    assert done["text"] == shown["text"]
    assert {key: value for key, value in done["writes"].items() if key != "random:random"} == {
        key: value for key, value in shown["writes"].items() if key != "random:random"
    }


def _without_environ(reads: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in reads.items() if "environ" not in key}


def _of(reads: dict[str, Any], reference: str) -> dict[str, Any]:
    def covers(read: str) -> bool:
        return reference.startswith(read[:-1]) if read.endswith("*") else read.startswith(reference)

    return {read: digest for read, digest in reads.items() if covers(read)}
