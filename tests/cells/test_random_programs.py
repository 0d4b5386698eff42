"""Law 1 on random programs, random edits, and Kanoe killed anywhere."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import FINALE, as_cells, disagreement, draw_edit, draw_program, interpret, read_outputs
from trial import World

import kanoe

EXAMPLES = int(os.environ.get("KANOE_TRIAL_EXAMPLES", "6"))
relaxed = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)


def test_the_language_is_mostly_alive(tmp_path: Path) -> None:
    """A program whose cells all fail proves nothing."""
    fine = raised = 0
    for seed in range(10):
        plain = interpret(draw_program(random.Random(seed), 10), tmp_path / str(seed))
        fine += sum(problem is None for _, problem in plain.cells)
        raised += sum(problem is not None for _, problem in plain.cells)
    assert fine > 2 * raised > 0


def answer_of(world: World, path: Path, sources: list[str], folder: Path) -> str | None:
    """Run; returns in what the answer is wrong."""
    report = kanoe.run(path, html=False, lock=world.lock, jobs=8, keep_going=True, cells=True)
    right = interpret([*sources, FINALE], folder, world_python(world))
    return disagreement(read_outputs(Path(str(report.directory))), right, sources)


def world_python(world: World) -> Path:
    """The interpreter of the environment: texts of exceptions differ between versions."""
    found = sorted((Path(os.environ["KANOE_HOME"]) / "environments").glob("*/bin/python"))
    return found[-1]


def history(seed: int, edits: int, length: int) -> list[list[str]]:
    """A program and its edits, one after the other."""
    draw = random.Random(seed)
    versions = [draw_program(draw, length)]
    for _ in range(edits):
        versions.append(draw_edit(draw, versions[draw.choice((-1, -1, 0))]))
    return versions


@pytest.mark.slow
@relaxed
@given(seed=st.integers(0, 2**32))
def test_reuse_never_changes_the_answer(seed: int, world: World, tmp_path: Path) -> None:
    for turn, sources in enumerate(history(seed, 4, 8)):
        path = world.write(f"p{seed}", as_cells(sources))
        wrong = answer_of(world, path, sources, tmp_path / f"plain-{seed}-{turn}-{time.monotonic_ns()}")
        assert wrong is None, f"seed {seed}, version {turn}: {wrong}\n" + "\n# %%\n".join(sources)


@pytest.mark.slow
@relaxed
@given(seed=st.integers(0, 2**32), moment=st.floats(0.3, 3.0))
def test_a_kill_anywhere_never_changes_the_answer(seed: int, moment: float, world: World, tmp_path: Path) -> None:
    for turn, sources in enumerate(history(seed, 2, 6)):
        path = world.write(f"k{seed}", as_cells(sources))
        process = subprocess.Popen(
            [sys.executable, "-m", "kanoe", "run", str(path), "--lock", str(world.lock), "--no-html", "--keep-going"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wrong = answer_of(world, path, sources, tmp_path / f"plain-{seed}-{turn}-{time.monotonic_ns()}")
        assert wrong is None, f"seed {seed}, version {turn}: {wrong}\n" + "\n# %%\n".join(sources)
