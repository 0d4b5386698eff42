"""Every kind of output, cell by cell, equal to what nbclient gets from a plain ipykernel of the same environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kanoe.sandbox.confine import Tool, choose_tool
from worlds import execute, execute_by_nbclient

CASES: dict[str, str] = {
    "print": "print('hello')",
    "print_parts": "print('a', end='')\nprint('b', flush=True)\nprint('c')",
    "stderr": "import sys\nprint('e', file=sys.stderr)\nprint('o')\nprint('e2', file=sys.stderr)",
    "unicode": "print('žluťoučký 🐎 \\u2028 x')",
    "expression": "1 + 1",
    "none": "None",
    "silenced": "1 + 1;",
    "long_list": "list(range(2000))",
    "several_expressions": "1\n2\n3",
    "all_expressions": "from IPython.core.interactiveshell import InteractiveShell\nInteractiveShell.ast_node_interactivity = 'all'",
    "all_expressions_next": "1\n2",
    "all_expressions_off": "InteractiveShell.ast_node_interactivity = 'last_expr'",
    "underscore": "_",
    "out": "sorted(Out)[:2], In[1]",
    "display": "display(1, 'two', [3])",
    "html": "from IPython.display import HTML, Markdown, Latex, SVG, JSON, Javascript, Image, display\nHTML('<b>bold</b>')",
    "markdown": "display(Markdown('**b**'))",
    "latex": "Latex('$x^2$')",
    "svg": 'SVG(\'<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"></svg>\')',
    "json": "JSON({'a': [1, 2, {'b': None}]})",
    "javascript": "Javascript('1+1')",
    "png": "import base64\nImage(base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=='))",
    "own_mimetypes": "class Rich:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n        return {'text/plain': 'p', 'text/html': '<i>h</i>', 'application/x-own+json': {'k': 1}}, {'text/html': {'isolated': True}}\nRich()",
    "repr_html": "class H:\n    def _repr_html_(self):\n        return '<u>u</u>'\n    def __repr__(self):\n        return 'H()'\nH()",
    "repr_fails": "class Bad:\n    def __repr__(self):\n        raise ValueError('no repr')\nBad()",
    "display_id": "handle = display('first', display_id='mine')",
    "update_display": "handle.update('second')\nhandle.update('third')",
    "update_unknown": "from IPython.display import update_display\nupdate_display('x', display_id='nobody')",
    "display_twice": "display('d1', display_id='again'); display('d2', display_id='again')",
    "clear": "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')",
    "clear_wait": "for i in range(3):\n    clear_output(wait=True)\n    print('step', i)",
    "clear_wait_last": "print('kept')\nclear_output(wait=True)",
    "after_clear_wait": "print('next cell')",
    "clear_display": "display('x', display_id='cleared')\nclear_output()\nupdate_display('y', display_id='cleared')\nprint('end')",
    "error": "1 / 0",
    "error_after_output": "print('before')\nraise ValueError('bad')",
    "error_nested": "def f(n):\n    return 1 / n if n == 0 else f(n - 1)\nf(2)",
    "error_chained": "try:\n    {}['k']\nexcept KeyError as e:\n    raise RuntimeError('wrapped') from e",
    "error_syntax": "def f(:\n    pass",
    "error_indent": "if True:\nprint(1)",
    "error_name": "undefined_name",
    "error_own": "class MyError(Exception):\n    pass\nraise MyError('mine', 2)",
    "error_empty": "raise Exception",
    "error_ansi": "raise ValueError('\\x1b[31mred\\x1b[0m')",
    "error_group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "system_exit": "import sys\nsys.exit(3)",
    "keyboard": "raise KeyboardInterrupt",
    "warning": "import warnings\nwarnings.warn('careful')",
    "traceback_module": "import traceback\ntry:\n    1/0\nexcept ZeroDivisionError:\n    traceback.print_exc()",
    "logging": "import logging\nlogging.getLogger('x').warning('logged')",
    "input": "input('name? ')",
    "getpass": "import getpass\ngetpass.getpass()",
    "shell": "!echo from shell",
    "shell_variable": "word = 'v'\n!echo {word} $word",
    "shell_capture": "lines = !printf 'a\\nb\\n'\nlines",
    "shell_error": "!exit 3",
    "shell_error_code": "_exit_code",
    "shell_stderr": "!echo oops >&2",
    "bash_magic": "%%bash\necho one\necho two",
    "capture": "%%capture caught\nprint('inside')\ndisplay('shown')\n1",
    "capture_show": "caught.show()\nprint(repr(caught.stdout))",
    "time_magic": "%%time\nx = 1",
    "cd": "%cd /",
    "cd_back": "%cd -q -",
    "env_magic": "%env KANOE_TEST=1",
    "who": "%who_ls str",
    "help": "len?",
    "pinfo2": "def documented():\n    'Says what.'\n    return 1\ndocumented??",
    "writefile": "%%writefile -a written.txt\ntext",
    "cat": "%cat written.txt",
    "unknown_magic": "%nosuchmagic",
    "unknown_cell_magic": "%%nosuchmagic\nx",
    "magic_run": "open('ran.py', 'w').write('print(\"ran\"); value = 5')\n%run ran.py\nvalue",
    "lsmagic": "len(get_ipython().magics_manager.magics['line']) > 50",
    "async": "import asyncio\nawait asyncio.sleep(0)\nprint('awaited')",
    "async_for": "async def gen():\n    for i in range(2):\n        yield i\nasync for i in gen():\n    print(i)",
    "async_task": "async def later():\n    print('in task')\ntask = asyncio.create_task(later())\nawait task",
    "thread": "import threading\nt = threading.Thread(target=lambda: print('in thread'))\nt.start(); t.join()\nprint('after')",
    "multiprocessing": "import multiprocessing as mp\ndef square(i):\n    return i * i\nwith mp.get_context('fork').Pool(2) as pool:\n    print(pool.map(square, range(4)))",
    "multiprocessing_print": "def speak():\n    print('child speaks')\np = mp.get_context('fork').Process(target=speak)\np.start(); p.join()",
    "fork": "import os\npid = os.fork()\nif pid == 0:\n    os._exit(0)\nos.waitpid(pid, 0)[1]",
    "stdout_write": "sys.stdout.write('written\\n')",
    "stdout_replaced": "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    print('hidden')\nprint(b.getvalue())",
    "isatty": "sys.stdout.isatty(), sys.stdout.encoding",
    "carriage": "for i in range(3):\n    print(i, end='\\r')\nprint('done')",
    "backspace": "print('ab\\bc')",
    "ansi": "print('\\x1b[1mbold\\x1b[0m')",
    "nul": "print('a\\0b')",
    "surrogate": "'\\ud83d'.encode('utf-8', 'replace')",
    "empty_lines": "print('\\n\\n')",
    "page": "from IPython.core.page import page\npage('paged text')",
    "set_next_input": "get_ipython().set_next_input('x = 1')",
    "comment_only": "# nothing",
    "pass": "pass",
    "name_main": "__name__, '__file__' in globals()",
    "import_main": "import __main__\n__main__.word",
    "doctest": "import doctest\ndef add(a, b):\n    '''\n    >>> add(1, 2)\n    3\n    '''\n    return a + b\ndoctest.testmod()",
    "inspect_source": "import inspect\nprint(inspect.getsource(add))",
    "pickle": "import pickle\nclass P:\n    x = 1\npickle.loads(pickle.dumps(P())).x",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int = 1\nD()",
    "path": "[p for p in sys.path if p == ''], sys.argv[0].rsplit('/', 1)[-1]",
    "hooks": "get_ipython().events.register('post_execute', lambda: None)",
    "set_custom_exc": "get_ipython().set_custom_exc((ZeroDivisionError,), lambda self, *a, **k: print('custom'))",
    "custom_exc": "1/0",
    "display_formatter": "get_ipython().display_formatter.formatters['text/plain'].for_type(int, lambda o, p, c: p.text('int!'))",
    "display_formatter_next": "5",
    "widget": "import ipywidgets as widgets\nslider = widgets.IntSlider(value=3)\nslider",
    "widget_output": "out = widgets.Output()\nwith out:\n    print('inside the widget')\nout",
    "widget_output_later": "with out:\n    print('more')\n    display('rich')\nprint('outside')",
    "widget_output_clear": "out.clear_output()\nwith out:\n    print('fresh')",
    "widget_label": "widgets.VBox([widgets.Label('l'), slider])",
    "exit": "exit",
    "last": "print('the end')",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook as nbclient executes it."""
    return execute_by_nbclient(list(CASES.values()), tmp_path_factory.mktemp("nbclient"))


@pytest.fixture(scope="module", params=["bubblewrap", "none"])
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook as Kanoe executes it, in each sandbox."""
    tool = choose_tool() if request.param == "bubblewrap" else Tool("none")
    if tool.kind != request.param:
        pytest.skip("bubblewrap does not work here")
    return execute(list(CASES.values()), tmp_path_factory.mktemp("kanoe"), tool=tool).document


@pytest.mark.parametrize("position", range(len(CASES)), ids=list(CASES))
def test_a_cell_gives_what_nbclient_gives(position: int, reference: Any, ours: Any) -> None:
    expected = normalise(reference.cells[position])
    assert normalise(ours.cells[position]) == expected


def test_widget_states_are_kept(reference: Any, ours: Any) -> None:
    def models(document: Any) -> list[str]:
        states = document.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
        return sorted(str((state["model_name"], _texts(state["state"].get("outputs")))) for state in states.values())

    assert models(ours) == models(reference)


def _texts(outputs: Any) -> list[Any]:
    return [(output["output_type"], output.get("text"), output.get("data")) for output in outputs or ()]


def normalise(cell: Any) -> tuple[Any, list[Any]]:
    """A cell's outputs without addresses, pids, times, paths, and with the text of one stream joined."""
    merged: list[dict[str, Any]] = []
    for found in cell.outputs:
        output = {key: found[key] for key in sorted(found)}
        if output["output_type"] == "stream" and merged and merged[-1].get("name") == output["name"]:
            merged[-1]["text"] += output["text"]
        else:
            merged.append(output)
    return cell.execution_count, [_clean(output) for output in merged]


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    if isinstance(value, str):
        value = value.replace(str(Path.home()), "~")  # IPython shortens the home that its process has
        value = re.sub(r"0x[0-9a-f]{6,}", "0xADDRESS", value)
        value = re.sub(r"[^\s'\"]*/ipykernel_\d+/\d+\.py", "CELL", value)
        value = re.sub(r"[\d.e+]+ (ns|[µμ]s|ms|s)\b", "TIME", value)
        value = re.sub(r"\b[0-9a-f]{32}\b", "ID", value)
        value = re.sub(r"/tmp/pytest[^\s'\"]*|/kaggle/working|/root/\S*working", "FOLDER", value)
    return value
