"""A small language of cells with everything that hides a dependency, its edits, and a plain interpreter to compare with."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pairs import PairCell

LISTS, NUMBERS, FUNCTIONS, CLASSES, FILES = "abc", "nmk", "fg", "KL", "xyz"


def draw_cell(draw: random.Random) -> str:
    """Return a cell of one to three statements, each of which may fail."""
    return "\n".join(draw_statement(draw) for _ in range(draw.choice((1, 1, 2, 3))))


def draw_statement(draw: random.Random) -> str:
    """Return a statement; names that are not bound make it raise, which is part of the language."""
    one, two = draw.choice(LISTS), draw.choice(LISTS)
    n, m = draw.choice(NUMBERS), draw.choice(NUMBERS)
    f, k, x, y = draw.choice(FUNCTIONS), draw.choice(CLASSES), draw.choice(FILES), draw.choice(FILES)
    v = draw.randrange(10)
    return draw.choice(
        (
            # values, aliases, views
            f"{one} = [{v}]",
            f"{one} = [{v}]",
            f"{n} = {v}",
            f"{n} = {v}",
            f"{one} = {two}",
            f"{one}.append({v})",
            f"{one}.append({n})",
            f"{one} += [{v}]",
            f"{one} = {one} + [{v}]",
            f"{one}.append({two})",
            f"{one} = list({two})",
            f"{n} += {v}",
            f"{n} = len({one})",
            f"print({one})",
            f"print({n}, {m})",
            f"print({one} is {two})",
            f"{one}.sort(key=str)",
            f"for {n} in range({v}): pass",
            f"{one}[0] = {v}",
            f"combine = [{one}, {two}]",
            f"for part in combine: part.append({v})",
            "print(combine)",
            # functions, closures, defaults, classes
            f"def {f}(x={n}): return x, {n}, len({one})",
            f"def {f}(x=[]): x.append({v}); return list(x)",
            f"def {f}(x=0): {one}.append(x); return {v}",
            f"def {f}(x=0):\n    global {n}\n    {n} = x + {v}\n    return {n}",
            f"def make():\n    kept = [{v}]\n    def inner(x=0):\n        kept.append(x)\n        return list(kept)\n    return inner\n{f} = make()",
            f"print({f}())",
            f"print({f}({v}))",
            f"{f}()",
            f"g = {f}",
            f"class {k}:\n    rate = {v}\n    rows = []\n    def show(self): return type(self).__name__, self.rate, self.rows, {n}",
            "class L(K):\n    def show(self): return 'L', super().show()",
            f"{k}.rate = {v}",
            f"{k}.rows.append({v})",
            f"thing = {k}()",
            f"thing.rate = {v}",
            f"thing.rows = {one}",
            "print(thing.show())",
            f"print(type(thing) is {k})",
            # files
            f"open('{x}.txt', 'w').write(str({n}))",
            f"open('{x}.txt', 'w').write('{v}')",
            f"open('{x}.txt', 'a').write('{v}')",
            f"print(open('{x}.txt').read())",
            f"{n} = len(open('{x}.txt').read())",
            f"import os\nos.remove('{x}.txt')",
            f"import os\nos.rename('{x}.txt', '{y}.txt')",
            f"import os\nif os.path.exists('{x}.txt'): print('there')\nelse: {n} = {v}",
            "import os\nprint(sorted(name for name in os.listdir('.') if name.endswith('.txt')))",
            # random state, settings, the environment
            f"import random\nrandom.seed({v})",
            f"import random\nrandom.seed({v})\n{n} = random.randrange(100)",
            "import random\nprint(seeded and random.random())",
            f"import random\nrandom.seed({v}); seeded = True",
            "import random\nif seeded: random.random()",
            f"import os\nos.environ['PAIR'] = '{v}'",
            "import os\nprint(os.environ.get('PAIR'))",
            f"import decimal\ndecimal.getcontext().prec = {v + 1}",
            "import decimal\nprint(decimal.Decimal(1) / 7)",
            f"import json\njson.mark = {v}",
            "import json\nprint(getattr(json, 'mark', None))",
            # names by other ways, deletes, exceptions, generators
            f"del {one}",
            f"del {n}",
            f"try: print({n})\nexcept NameError: print('none')",
            f"print('{one}' in globals())",
            f"globals()['{n}'] = {v}",
            f"exec('{n} = {v}')",
            f"print(eval('{n} + 1'))",
            f"1 / {n}",
            f"raise ValueError({n})",
            f"stream = iter({one})",
            f"stream = (value for value in range({v}))",
            "print(next(stream, 'end'))",
            "next(stream, None)",
            f"from math import *\n{n} = floor({v} / 2)",
            f"sum = {v}",
            "del sum",
            "print(sum([1, 2]))",
            f"import copy\n{one} = copy.deepcopy({two})",
            f"try: 1 / ({v} - {n})\nexcept ZeroDivisionError as problem: kept = problem\nelse: kept = None",
            f"class K: pass\nK.rows = {one}",
            f"{f}.mark = {v}",
            f"print(getattr({f}, 'mark', None))",
            # views
            f"import numpy\ntable = numpy.arange({v}, {v} + 6)\nview = table[2:]",
            "view = table[::2]",
            f"view[0] = {v}",
            f"table += {n}",
            f"table = table + {v}",
            f"{one} = table.tolist()",
            f"{one}.append(view)",
            "print(table, view, view.base is table)",
            f"raw = bytearray(b'{v}ab')\nseen = memoryview(raw)[1:]",
            f"raw[1] = 65 + {v}",
            "print(bytes(raw), bytes(seen))",
            # options and where the process is
            f"import sys\nsys.setrecursionlimit(2000 + {v})",
            "import sys\nprint(sys.getrecursionlimit() % 1000)",
            f"numpy.set_printoptions(precision={v})",
            "print(numpy.ones(2) / 7)",
            f"numpy.random.seed({v}); sown = True",
            "print(sown and numpy.random.rand())",
            "import os\nos.makedirs('d', exist_ok=True)\nos.chdir('d')",
            "import os\nif os.path.basename(os.getcwd()) == 'd': os.chdir('..')",
            "import os\nprint(os.path.basename(os.getcwd()) == 'd', os.path.exists('d'))",
            "import shutil\nshutil.rmtree('d')",
            f"import logging\nlogging.getLogger('pair').setLevel({v} * 10)",
            "import logging\nprint(logging.getLogger('pair').level)",
            "import builtins\nbuiltins.mine = 1\nprint(mine)",
            "print(mine)",
        )
    )


def draw_program(draw: random.Random, length: int) -> list[str]:
    """Return cells."""
    start = [
        "a = [1]\nb = [2]\nc = a\ncombine = [a, b]",
        "n = 1\nm = 2\nk = 3\nseeded = sown = False",
        "def f(x=0): return x, n\ng = f\nclass K:\n    rate = 0\n    rows = []\n    def show(self): return self.rate, self.rows\nthing = K()",
        "open('x.txt', 'w').write('x')\nstream = iter(a)",
    ]
    return [*start, *(draw_cell(draw) for _ in range(length))]


def draw_edit(draw: random.Random, cells: Sequence[str]) -> list[str]:
    """Return the cells after one to two edits: replaced, inserted, deleted, moved, doubled."""
    edited = list(cells)
    for _ in range(draw.choice((1, 1, 2))):
        place = draw.randrange(len(edited))
        match draw.choice(("replace", "replace", "insert", "delete", "swap", "double", "remark")):
            case "replace":
                edited[place] = draw_cell(draw)
            case "insert":
                edited.insert(place, draw_cell(draw))
            case "delete" if len(edited) > 1:
                del edited[place]
            case "swap":
                other = draw.randrange(len(edited))
                edited[place], edited[other] = edited[other], edited[place]
            case "double":
                edited.insert(place, edited[place])
            case _:
                edited[place] += "  # remark"
    return edited


FINALE = """\
def _finale():
    kinds = (int, float, str, list, dict, tuple, bool, type(None))
    own = ("In", "Out", "quit", "exit", "get_ipython", "open")
    for name in sorted(globals()):
        value = globals()[name]
        if name.startswith("_") or name in own:
            continue
        if type(value) in kinds:
            print(name, value)
        elif type(value).__name__ == "ndarray":
            print(name, value.tolist())
        elif isinstance(value, type):
            print(name, "class", value.__module__, sorted((key, entry) for key, entry in vars(value).items() if type(entry) in kinds and key[:2] != "__"))
        elif type(value).__name__ in ("K", "L"):
            print(name, type(value).__name__, sorted(vars(value).items(), key=str), type(value) is globals().get(type(value).__name__))
        elif type(value).__name__ == "function":
            print(name, "function", value.__defaults__, [cell.cell_contents for cell in value.__closure__ or ()])
        else:
            print(name, type(value).__name__)
    atoms = (int, float, bool, str, type(None))
    shown = [name for name in sorted(globals()) if name[0] != "_" and name not in own and type(globals()[name]) not in atoms]
    print([(one, other) for one in shown for other in shown if one < other and globals()[one] is globals()[other]])
    import decimal, json, logging, os, random, sys
    print(os.environ.get("PAIR"), decimal.getcontext().prec, getattr(json, "mark", None), sys.getrecursionlimit() % 1000)
    print(os.path.basename(os.getcwd()) == "d", logging.getLogger("pair").level)
    if globals().get("seeded") is True:
        print(random.getstate()[1][:2], random.getstate()[1][-1])
    if globals().get("sown") is True:
        print(sys.modules["numpy"].random.get_state()[1][:2].tolist(), sys.modules["numpy"].random.get_state()[2])
_finale()
"""

_INTERPRETER = """\
import contextlib, io, json, sys
cells = json.loads(sys.stdin.read())
# IPython's own compile flags and frames do not matter to the language.
space = sys.modules["__main__"].__dict__
names = {name for name in space if name[:2] != "__"}
contextlib_, io_, json_, sys_ = contextlib, io, json, sys
result = []
import ast
space["__name__"] = "__main__"
held = {"contextlib": contextlib, "io": io, "json": json, "sys": sys, "ast": ast, "cells": cells, "result": result, "names": names}
def run_all(space, held):
    contextlib, io, json, sys, ast = (held[name] for name in ("contextlib", "io", "json", "sys", "ast"))
    for name in [name for name in space if name[:2] != "__"]:
        del space[name]
    answers = []
    for cell in held["cells"]:
        out, problem = io.StringIO(), None
        with contextlib.redirect_stdout(out):
            try:
                # As IPython runs a cell: one statement after the other; a cell that does not parse runs not at all.
                for statement in ast.parse(cell).body:
                    exec(compile(ast.Module([statement], []), "<cell>", "exec"), space)
            except BaseException as caught:
                problem = [type(caught).__name__, str(caught)]
        answers.append([out.getvalue(), problem])
    return json.dumps(answers)
sys.__stdout__.write(run_all(space, held))
"""


@dataclass(frozen=True)
class Plain:
    """What the plain interpreter came to: what each cell prints and raises, and the files at the end."""

    cells: tuple[tuple[str, tuple[str, str] | None], ...]
    files: dict[str, str]


def interpret(cells: Sequence[str], folder: Path, python: Path = Path(sys.executable)) -> Plain:
    """Run cells in a fresh interpreter, without a kernel."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(python), "-c", _INTERPRETER],
        input=json.dumps(list(cells)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.txt")}
    return Plain(tuple((text, tuple(problem) if problem else None) for text, problem in answers), files)


def read_outputs(directory: Path) -> Plain:
    """Return the same of a run's folder."""
    document = json.loads((directory / "notebook.ipynb").read_text())
    cells = []
    for cell in document["cells"]:
        text, problem = "", None
        for output in cell["outputs"]:
            if output["output_type"] == "stream" and output["name"] == "stdout":
                text += "".join(output["text"])
            elif output["output_type"] == "error":
                problem = (output["ename"], output["evalue"])
        cells.append((text, problem))
    files = {}
    working = directory / "working"
    for path in working.rglob("*.txt"):
        with contextlib.suppress(OSError):
            files[str(path.relative_to(working))] = path.read_text()
    return Plain(tuple(cells), files)


def as_cells(sources: Sequence[str]) -> list[PairCell]:
    """Cells that may all fail, and the one that shows every variable."""
    cells = [PairCell("", source, tags=("raises-exception",), id=f"c{n}") for n, source in enumerate(sources)]
    return [*cells, PairCell("", FINALE, id="finale")]


def disagreement(ours: Plain, right: Plain, sources: Sequence[str]) -> str | None:
    """Say in what two answers differ."""
    for n, (got, expected) in enumerate(zip(ours.cells, right.cells, strict=True)):
        if got != expected:
            return f"cell {n} `{sources[n] if n < len(sources) else 'finale'}`: {got} instead of {expected}"
    return None if ours.files == right.files else f"files {ours.files} instead of {right.files}"
