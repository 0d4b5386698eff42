"""Which builds a source's lock holds, with a lock beside it, one that is named, and none."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from registry import Registry

from kanoe.base.errors import InputError
from kanoe.engine.events import Noted
from kanoe.environments.distributions import kernel_requirements
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.lock_file import read_lock
from kanoe.verbs.env_diff import diff_environments
from kanoe.verbs.environment import EnvironmentOptions, show_environment, write_lock


@pytest.fixture
def source(registry: Registry, tmp_path: Path) -> Path:
    """A notebook that imports TensorFlow, whose declaration is of a machine with a GPU."""
    for one in kernel_requirements(own_interpreter().minor):
        registry.add(one.name, "99.0" if ">" in one.specifier else "1.0")
        for version in ("6.31.0", "8.39.0", "5.14.0", "3.1.0", "4.9.0", "7.0"):
            registry.add(one.name, version)
    for name in ("tensorflow", "tensorflow-gpu", "onnxruntime", "onnxruntime-gpu", "numpy"):
        registry.add(name, "2.0")
    (tmp_path / "requirements.txt").write_text("tensorflow-gpu==2.0\nnvidia-cublas-cu12\n")
    cell = nbformat.v4.new_code_cell("import onnxruntime\nimport cudf")
    path = tmp_path / "n.ipynb"
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    return path


def names(shown) -> set[str]:
    wanted = {"tensorflow", "tensorflow-gpu", "onnxruntime", "onnxruntime-gpu", "numpy", "cudf"}
    return wanted & {one.name for one in shown.locked.lock.distributions}


def test_a_source_gets_the_builds_of_its_run_and_each_change_is_said_once(source: Path, registry: Registry) -> None:
    told: list[Noted] = []
    shown = show_environment(source, watch=lambda event: told.append(event) if isinstance(event, Noted) else None)
    assert names(shown) == {"tensorflow", "onnxruntime"}
    said = [one.diagnostic for one in told if one.diagnostic.code == "accelerator-build"]
    assert [str(one.severity) for one in said] == ["info", "warning"]
    assert shown.as_dict()["accelerator"] == "cpu"
    registry.add("cudf-cu12", "24.0")
    registry.add("nvidia-cublas-cu12", "12.0")
    with_gpu = show_environment(source, EnvironmentOptions(gpu=True))
    assert names(with_gpu) == {"tensorflow-gpu", "onnxruntime-gpu"}
    assert with_gpu.as_dict()["accelerator"] == "cuda"


def test_a_lock_beside_it_is_for_one_of_the_two(source: Path) -> None:
    path, lock = write_lock(source)
    assert lock.accelerator == "cpu"
    assert show_environment(source).locked.file == path
    with pytest.raises(InputError) as raised:
        show_environment(source, EnvironmentOptions(gpu=True))
    (stale,) = raised.value.diagnostics
    assert stale.code == "lock-stale"
    assert "kanoe env lock n.ipynb --gpu" in (stale.hint or "")
    named = show_environment(source, EnvironmentOptions(gpu=True, lock=path))
    assert named.locked.lock == lock, "one that is named is used as it is"


def test_a_lock_for_a_gpu_is_used_without_one(source: Path, registry: Registry) -> None:
    registry.add("cudf-cu12", "24.0")
    registry.add("nvidia-cublas-cu12", "12.0")
    path, lock = write_lock(source, EnvironmentOptions(gpu=True))
    assert lock.accelerator == "cuda"
    assert show_environment(source).locked.lock == read_lock(path)
    other, _ = write_lock(source, output=source.with_name("other.lock"))
    difference = diff_environments(path, other)
    assert [change.as_dict() for change in difference.settings] == [
        {"name": "builds", "before": "cuda", "after": "cpu"}
    ]
    assert {"tensorflow", "tensorflow-gpu"} <= {change.name for change in difference.distributions}


def test_a_lock_of_earlier_holds_what_was_declared(source: Path, registry: Registry) -> None:
    registry.add("cudf-cu12", "24.0")
    registry.add("nvidia-cublas-cu12", "12.0")
    path, _ = write_lock(source, EnvironmentOptions(gpu=True))
    text = path.read_text().replace("onnxruntime-gpu", "onnxruntime")
    path.write_text("".join(line for line in text.splitlines(True) if not line.startswith("accelerator")))
    shown = show_environment(source)
    assert shown.locked.lock.accelerator is None
    assert json.dumps(shown.as_dict())
