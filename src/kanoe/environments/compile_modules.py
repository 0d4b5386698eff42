"""Compiles the modules below a folder: `python compile_modules.py FOLDER DONE PARENT`, on Python 3.6 and newer.

Runs in the environment's own interpreter, so it imports nothing of ours. Ends when the process PARENT is no longer its
parent; writes the file DONE when everything is compiled. Only one at a time works on a folder.
"""

import compileall
import fcntl
import os
import sys

_LEFT_OUT = ("__pycache__", "test", "tests")  # nobody imports them, and they are a third of it


def compile_modules(folder: str, done: str, parent: int) -> None:
    """Compile what is not compiled yet, then write `done`; return early when `parent` has died or another is at it."""
    with open(done + ".lock", "ab") as file:  # noqa: PTH123
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        for root, folders, names in os.walk(folder):
            _remove_unfinished(os.path.join(root, "__pycache__"))  # noqa: PTH118
            folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
            for name in sorted(names):
                if os.getppid() != parent:
                    return
                if name.endswith(".py"):
                    compileall.compile_file(os.path.join(root, name), quiet=2)  # noqa: PTH118
        with open(done, "wb"):  # noqa: PTH123
            pass


def _remove_unfinished(cache: str) -> None:
    """Remove what an earlier process was writing when it was ended."""
    for name in os.listdir(cache) if os.path.isdir(cache) else ():  # noqa: PTH112
        if not name.endswith(".pyc"):
            os.unlink(os.path.join(cache, name))  # noqa: PTH108, PTH118


def lower_priority() -> None:
    """Let everything else on the machine go first."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)


if __name__ == "__main__":
    lower_priority()
    compile_modules(sys.argv[1], sys.argv[2], int(sys.argv[3]))
