"""Tries imports, each as a notebook writes it, and says which of them fail, where and why.

The process is told what to do by one JSON file:

    imports  statements, tried in this order
    answers  path of a file: a line of JSON before each statement (its position) and after it (`null`, or the failure)
    log      path of a file for what the process itself says
"""

import json
import os
import sys
import traceback


def main(configuration):
    """Try every statement."""
    log = os.open(configuration["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    del sys.path[0]  # the worker's folder
    namespace = {"__name__": "__main__"}
    with open(configuration["answers"], "w") as answers:
        for position, statement in enumerate(configuration["imports"]):
            _write(answers, position)
            _write(answers, _try(statement, namespace))
    # Threads that a library has started would keep the process.
    os._exit(0)


def _write(answers, value):
    answers.write(json.dumps(value) + "\n")
    answers.flush()


def _try(statement, namespace):
    try:
        exec(compile(statement, "<import>", "exec"), namespace)
    except BaseException as problem:  # a library may call sys.exit
        frames = traceback.extract_tb(problem.__traceback__)
        files = [frame[0] for frame in frames if not frame[0].startswith("<frozen") and "kanoe_worker" not in frame[0]]
        return {
            "ename": type(problem).__name__,
            "evalue": str(problem),
            "file": files[-1] if files else "<import>",
        }
    return None
