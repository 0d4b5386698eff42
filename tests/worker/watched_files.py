"""Runs cells in a plain Python process whose files are watched, and prints what each read and wrote. Runs on every Python.

    python watched_files.py FOLDER_OF_KANOE_WORKER FOLDER < CASES

`CASES` is a JSON list of `{"name", "before": [cells], "cell"}`; the answer a JSON object `{name: {"reads", "writes", "said"}}`.
"""

# ruff: noqa: PTH103, PTH107, PTH112, PTH114, PTH123
import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
import traceback

sys.path.insert(0, sys.argv[1])
from kanoe_worker.track import files

BASE = os.path.realpath(sys.argv[2])
ROOTS = {
    "/kaggle/working": BASE + "/run/working",
    "/kaggle/temp": BASE + "/scratch/temp",
    "/tmp": BASE + "/scratch/tmp",
    "/root": BASE + "/scratch/home",
    "/kaggle/input": BASE + "/run/input",
}


def clear():
    """Leave nothing of the case before."""
    os.chdir(BASE)
    for name, folder in ROOTS.items():
        if name != "/kaggle/input":
            os.path.isdir(folder) or os.makedirs(folder)
            for entry in os.listdir(folder):
                path = folder + "/" + entry
                os.remove(path) if os.path.islink(path) or not os.path.isdir(path) else shutil.rmtree(path)
    os.chdir(ROOTS["/kaggle/working"])
    for name in [name for name in sys.modules if name.startswith("local_")]:
        del sys.modules[name]


def run(watched, cell):
    """Run one cell."""
    reads, writes, said = {}, {}, io.StringIO()
    watched.begin([])
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(cell, "<cell>", "exec"), {"__name__": "__main__", "Path": pathlib.Path, "os": os})
    except BaseException:
        said.write(traceback.format_exc())
    watched.end(reads, writes)
    return {"reads": sorted(reads), "writes": writes, "said": said.getvalue()}


def main():
    """Run all cases."""
    cases = json.load(sys.stdin)
    for folder in list(ROOTS.values()):
        os.path.isdir(folder) or os.makedirs(folder)
    with open(ROOTS["/kaggle/input"] + "/train.csv", "w") as file:
        file.write("a,b\n1,2\n")
    os.environ["TMPDIR"] = ROOTS["/tmp"]
    sys.path[0] = ""
    watched = files.Files(ROOTS)
    answers = {}
    for case in cases:
        clear()
        watched.begin()
        watched.end({}, {})
        for cell in case["before"]:
            run(watched, cell)
        answers[case["name"]] = run(watched, case["cell"])
    sys.stdout.write(json.dumps(answers))


main()
