"""What cells read and write of files, on every Python of this machine."""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import kanoe.worker
from kanoe.environments.interpreters import find_interpreters

PYTHONS = {
    interpreter.minor: interpreter
    for interpreter in find_interpreters()
    if interpreter.final and interpreter.minor >= (3, 6)
}
TREES = "tree:input tree:temp tree:w tree:root tree:tmp"
SHORT = {
    "/kaggle/working": "w",
    "/kaggle/temp": "temp",
    "/kaggle/input": "input",
    "/tmp": "tmp",
    "/root": "root",
}


@dataclass(frozen=True)
class Case:
    """A cell after others.

    Args:
        name: of the case.
        before: what an earlier cell did.
        cell: the cell.
        reads: exactly what it reads, `KIND:PATH` with folders by short names.
        writes: what it writes; `-PATH` is gone.
        also: what it may be said to read besides: some Pythons look again.
    """

    name: str
    before: str
    cell: str
    reads: str = ""
    writes: str = ""
    also: str = ""


CASES = [
    Case("nothing", "open('a','w').write('1')", "x = 1"),
    Case("write", "", "open('a','w').write('1')", "", "w/a"),
    Case("read", "open('a','w').write('1')", "print(open('a').read())", "file:w/a"),
    Case(
        "read twice",
        "open('a','w').write('1')",
        "open('a').read(); open(os.getcwd() + '/x/..//a'.replace('x/..', '.')).read()",
        "file:w/a",
    ),
    Case("absent", "", "import os; os.path.exists('a')\ntry: open('b')\nexcept OSError: pass", "exists:w/a file:w/b"),
    Case(
        "too long for a file",
        "",
        "import os; os.path.exists('<b>page</b>\\n' * 1000); os.path.exists('a')",
        "exists:w/a",
    ),
    Case("absent folder", "", "import os\ntry: os.listdir('d')\nexcept OSError: pass", "folder:w/d"),
    Case("write into no folder", "", "try: open('d/a','w')\nexcept OSError: pass", "exists:w/d"),
    Case(
        "own", "", "open('a','w').write('1'); import os; os.stat('a'); open('a').read(); os.path.exists('a')", "", "w/a"
    ),
    Case("append", "open('a','w').write('1')", "open('a','a').write('2')", "file:w/a", "w/a"),
    Case("append to nothing", "", "open('a','a').write('2'); open('a').read()", "exists:w/a", "w/a"),
    Case("append nothing", "open('a','w').write('1')", "open('a','a').close()", "file:w/a"),
    Case("r+", "open('a','w').write('1')", "f = open('a','r+'); f.write('2'); f.close()", "file:w/a", "w/a"),
    Case("w+", "open('a','w').write('1')", "f = open('a','w+'); f.write('2'); f.close()", "", "w/a"),
    Case("overwrite", "open('a','w').write('1')", "open('a','w').write('3'); open('a').read()", "", "w/a"),
    Case("overwrite alike", "open('a','w').write('1')", "open('a','w').write('1')", "", "w/a"),
    Case(
        "read, then overwrite",
        "open('a','w').write('1')",
        "s = open('a').read(); open('a','w').write(s)",
        "file:w/a",
        "w/a",
    ),
    Case("x", "", "open('n','x').close()", "exists:w/n", "w/n"),
    Case("x of what is there", "open('n','w').close()", "try: open('n','x')\nexcept OSError: pass", "file:w/n"),
    Case(
        "handle",
        "import builtins; builtins.fh = open('h','w',buffering=1); fh.write('a\\n')",
        "fh.write('b\\n')",
        "file:w/h",
        "w/h",
    ),
    Case("remove", "open('a','w').close()", "import os; os.remove('a'); os.path.exists('a')", "exists:w/a", "-w/a"),
    Case("remove nothing", "", "import os\ntry: os.remove('a')\nexcept OSError: pass", "exists:w/a"),
    Case("rename", "open('a','w').close()", "import os; os.rename('a','b'); open('b').read()", "file:w/a", "-w/a w/b"),
    Case(
        "replace",
        "open('a','w').close(); open('b','w').close()",
        "import os; os.replace('a','b')",
        "file:w/a",
        "-w/a w/b",
    ),
    Case(
        "written whole",
        "open('b','w').close()",
        "import os; open('t','w').write('1'); os.replace('t','b'); open('b').read()",
        "",
        "w/b",
    ),
    Case(
        "rename nothing",
        "open('b','w').write('1')",
        "import os\ntry: os.rename('a','b')\nexcept OSError: open('b').read()",
        "file:w/a file:w/b",
    ),
    Case(
        "rename a folder",
        "import os; os.makedirs('d/e'); open('d/e/f','w').write('1')",
        "import os; os.rename('d','g'); open('g/e/f').read()",
        "file:w/d files:w/d",
        "-w/d -w/d/e -w/d/e/f w/g w/g/e w/g/e/f",
    ),
    Case("list", "open('b','w').write('1')", "import os; os.listdir('.'); [e.name for e in os.scandir()]", "folder:w"),
    Case("glob", "open('b','w').write('1')", "import glob; glob.glob('*.csv')", "folder:w"),
    Case(
        "pathlib exists",
        "open('b','w').write('1')",
        "p = Path('b'); p.exists(); p.is_file(); Path('q').is_dir()",
        "exists:w/b exists:w/q",
    ),
    Case(
        "pathlib",
        "open('b','w').write('1')",
        "p = Path('b'); p.stat(); p.read_text(); list(Path('.').glob('*')); Path('n').write_text('1')",
        "file:w/b folder:w",
        "w/n",
    ),
    Case(
        "pathlib makes",
        "",
        "Path('d/e').mkdir(parents=True); Path('d/e/f').touch(); Path('d/e/f').rename('g')",
        "exists:w/d exists:w/d/e",
        "w/d w/d/e w/g",
    ),
    Case(
        "make folders",
        "",
        "import os; os.makedirs('o/p', exist_ok=True); open('o/p/f','w').write('1'); os.listdir('o')",
        "exists:w/o",
        "w/o w/o/p w/o/p/f",
    ),
    Case(
        "make a folder again",
        "import os; os.mkdir('o')",
        "import os; os.makedirs('o', exist_ok=True); open('o/f','w').write('1')",
        "exists:w/o",
        "w/o/f",
    ),
    Case(
        "copy",
        "open('a','w').write('1')",
        "import shutil; shutil.copy('a','b')",
        "file:w/a",
        "w/b",
        "exists:w/b file:w/b",
    ),
    Case(
        "copy a tree",
        "import os; os.mkdir('d'); open('d/a','w').write('1')",
        "import shutil; shutil.copytree('d', '../../scratch/temp/c')",
        "file:w/d folder:w/d file:w/d/a exists:temp/c",
        "temp/c temp/c/a",
    ),
    Case(
        "remove a tree",
        "import os; os.makedirs('o/p'); open('o/p/f','w').close()",
        "import shutil; shutil.rmtree('o')",
        "folder:w/o folder:w/o/p",
        "-w/o -w/o/p -w/o/p/f",
        "exists:w/o/p/f file:w/o/p/f file:w/o file:w/o/p",
    ),
    Case("mode", "open('a','w').close()", "import os; os.chmod('a', 0o600)", "file:w/a", "w/a"),
    Case("size", "open('a','w').write('123')", "import os; os.truncate('a', 1)", "file:w/a", "w/a"),
    Case(
        "link",
        "open('a','w').close()",
        "import os; os.symlink('a','l'); open('l').read()",
        "exists:w/l file:w/a",
        "w/l",
    ),
    Case(
        "through a link",
        "import os; os.mkdir('d'); open('d/a','w').close(); os.symlink('d','l')",
        "open('l/a').read()",
        "file:w/l file:w/d/a",
    ),
    Case(
        "second name",
        "import os; open('a','w').write('1'); os.link('a','l')",
        "open('l','w').write('22')",
        "file:w/a",
        "w/a w/l",
    ),
    Case("input", "", "open('../input/train.csv').read()", "file:input/train.csv"),
    Case(
        "input listed",
        "",
        "import os; os.listdir('../input'); os.path.exists('../input/none')",
        "folder:input exists:input/none",
    ),
    Case(
        "child", "open('a','w').write('1')", "import os; os.system('cat a > b; rm a')", f"file:w/a {TREES}", "-w/a w/b"
    ),
    Case(
        "child that ends later",
        "import subprocess, builtins; builtins.late = subprocess.Popen('sleep 0.1; echo 1 > a', shell=True)",
        "late.wait()",
        TREES,
        "w/a",
    ),
    Case(
        "fork",
        "",
        "import os\np = os.fork()\nif not p:\n  open('q','w').close(); os._exit(0)\nos.waitpid(p, 0)",
        TREES,
        "w/q",
    ),
    Case(
        "another open",
        "",
        "import builtins\nreal = open\nbuiltins.open = lambda *a, **k: real(*a, **k)\ntry: open('a','w').write('1'); os.stat('b')\nexcept OSError: pass\nfinally: builtins.open = real",
        "file:w/b",
        "w/a",
    ),
    Case(
        "gone folder",
        "",
        "import os; os.mkdir('d'); os.chdir('d'); os.rmdir('../d'); os.path.exists('x')\ntry: open('x')\nexcept OSError: pass",
        "exists:w/d",
    ),
    Case(
        "sqlite",
        "import sqlite3; c = sqlite3.connect('d'); c.execute('create table t(a)'); c.commit(); c.close()",
        "import sqlite3; sqlite3.connect('d').execute('select * from t').fetchall()",
        "file:w/d",
    ),
    Case(
        "memory",
        "import mmap, builtins; f = open('m','w+b'); f.write(b'0' * 4096); f.flush(); builtins.mm = mmap.mmap(f.fileno(), 0); f.close()",
        "mm[0:1] = b'7'",
        "file:w/m",
        "w/m",
    ),
    Case(
        "memory, opened now",
        "import builtins; del builtins.mm; open('m','wb').write(b'0' * 4096)",
        "import mmap\nwith open('m','r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[0:1] = b'7'",
        "file:w/m",
        "w/m",
    ),
    Case(
        "strange names",
        "open(b'\\xff%\\n','w').close()",
        "open(b'\\xff%\\n').read(); open('\\u00e9 x','w').close()",
        "file:w/%FF%25%0A",
        "w/\u00e9 x",
    ),
    Case(
        "thread",
        "open('a','w').close()",
        "import threading; t = threading.Thread(target=lambda: open('a').read()); t.start(); t.join()",
        "file:w/a",
    ),
    Case(
        "below a descriptor",
        "import os; os.mkdir('d'); open('d/a','w').close()",
        "import os; d = os.open('d', os.O_RDONLY); os.stat('a', dir_fd=d); os.open('a', os.O_RDONLY, dir_fd=d)",
        "file:w/d file:w/d/a",
        "",
        "folder:w/d",
    ),
    Case(
        "wrong arguments",
        "",
        "import os\nfor k in ({}, {'bad': 1}, {'path': 'a\\0b'}):\n  try: os.stat(**k)\n  except (TypeError, ValueError): pass",
    ),
    Case("temporary", "", "import tempfile\nwith tempfile.TemporaryDirectory() as d: open(d + '/x','w').write('1')"),
    Case(
        "the kernel's own",
        "",
        "import os; os.makedirs('.ipynb_checkpoints'); open('.ipynb_checkpoints/a','w').close(); os.makedirs(os.environ['TMPDIR'] + '/matplotlib-x')",
    ),
    Case(
        "import",
        "open('local_a.py','w').write('x=1')",
        "import local_a, colorsys",
        "module:w/local_a file:w/local_a.py",
    ),
    Case("import of nothing", "", "try: import local_none\nexcept ImportError: pass", "module:w/local_none"),
    Case(
        "import from elsewhere",
        "open('a.csv','w').close()",
        "import sys; sys.modules.pop('colorsys', None); import colorsys",
        "modules:w",
    ),
    Case(
        "import a package",
        "import os; os.makedirs('local_p/sub'); [open(f,'w').close() for f in ('local_p/__init__.py', 'local_p/m.py', 'local_p/sub/__init__.py')]",
        "import local_p.m; from local_p import sub",
        "module:w/local_p module:w/local_p/m module:w/local_p/sub file:w/local_p/__init__.py file:w/local_p/m.py file:w/local_p/sub/__init__.py",
    ),
    Case(
        "import folders",
        "import os; os.makedirs('local_n'); open('local_n/m.py','w').close()",
        "import local_n.m",
        "module:w/local_n module:w/local_n/m file:w/local_n/m.py",
    ),
]


@functools.cache
def answers(minor: tuple[int, int]) -> dict[str, dict]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kanoe_worker").symlink_to(Path(str(kanoe.worker.__file__)).parent)
        done = subprocess.run(
            [str(PYTHONS[minor].path), str(Path(__file__).with_name("watched_files.py")), folder, folder],
            input=json.dumps([{"name": case.name, "before": [case.before], "cell": case.cell} for case in CASES]),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def short(reference: str) -> str:
    kind, _, path = reference.partition(":")
    folder = next(folder for folder in SHORT if path == folder or path.startswith(f"{folder}/"))
    return f"{kind}:{SHORT[folder]}{path.removeprefix(folder)}"


@pytest.mark.parametrize("minor", PYTHONS, ids=lambda minor: f"{minor[0]}.{minor[1]}")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reads_and_writes(case, minor):
    answer = answers(minor)[case.name]
    assert answer["said"] == "" or case.name in ("read",), answer["said"]
    reads = {short(reference) for reference in answer["reads"]}
    if "import" not in case.name:  # the standard library is imported where a cell is the first to need it
        reads = {reference for reference in reads if not reference.startswith(("module:", "modules:"))}
    if case.name == "temporary":  # names that nobody knows before
        reads = {reference for reference in reads if not reference.startswith("exists:tmp/")}
    else:
        reads -= {"modules:w"} - set(case.reads.split())
    assert reads - set(case.also.split()) == set(case.reads.split()), answer["reads"]
    writes = {f"{'' if entry else '-'}{short(name).removeprefix('file:')}" for name, entry in answer["writes"].items()}
    assert writes == {part for part in case.writes.replace("\u00e9 x", "\u00e9_x").split()} or writes == {case.writes}


@pytest.mark.parametrize("minor", PYTHONS, ids=lambda minor: f"{minor[0]}.{minor[1]}")
def test_what_stands_for_a_function_looks_like_it(minor, tmp_path):
    (tmp_path / "kanoe_worker").symlink_to(Path(str(kanoe.worker.__file__)).parent)
    code = """
import sys, os
sys.path.insert(0, sys.argv[1])
looks = lambda: [repr(os.stat), os.stat.__name__, os.stat.__module__, os.stat.__doc__, os.stat.__self__, str(type(os.stat)),
    str(inspect.signature(os.stat)), inspect.isbuiltin(os.stat), isinstance(os.stat, types.BuiltinFunctionType),
    os.stat in os.supports_dir_fd, {os.stat, os.lstat} <= set([os.stat, os.lstat]), len({os.stat, real}), repr(open), hash(os.stat),
    pydoc.render_doc(os.stat), pickle.loads(pickle.dumps(os.stat)).__name__, copy.deepcopy([os.stat])[0] is os.stat]
import copy, inspect, pickle, pydoc, types
real = os.stat
before = looks()
from kanoe_worker.track import file_calls, files
watched = files.Files({"/kaggle/working": sys.argv[1] + "/w"})
assert looks() == before, (looks(), before)
assert b"kanoe" not in pickle.dumps(os.stat)
class A: s = os.stat
A().s('.')  # no method
watched.begin([])
try:
    os.path.getsize('none')
except OSError as problem:
    if sys.version_info >= (3, 7):
        file_calls.without_own_frames(problem)
        frames, trace = [], problem.__traceback__
        while trace: frames.append(trace.tb_frame.f_code.co_name); trace = trace.tb_next
        assert frames == ['<module>', 'getsize'], frames
    assert problem.filename == 'none'
"""
    done = subprocess.run(
        [str(PYTHONS[minor].path), "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
