"""`--gpu`: without a GPU it ends before anything is made; with one the notebook sees its nodes and libraries."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from kanoe_command import kanoe, write_notebook

import kanoe as library
from kanoe.sandbox.gpu import Gpu, GpuSearch, look_for_gpu

without_gpu = pytest.mark.skipif(look_for_gpu().gpu is not None, reason="this machine has a GPU")


@without_gpu
def test_without_a_gpu_nothing_is_made(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", "print(1)")
    env = {"KANOE_HOME": str(tmp_path / "store")}
    done = kanoe("run", path, "--gpu", "--json", env=env)
    assert (done.code, done.report["state"]) == (3, "FAILED")
    problem = done.problem()
    assert (problem["code"], problem["place"]) == ("gpu-missing", "--gpu")
    assert "`/dev/nvidia0`" in problem["message"] or look_for_gpu().trouble
    assert not (tmp_path / "store" / "locks").exists()
    checked = kanoe("doctor", path, "--gpu", "--json", env=env)
    assert checked.code == 3
    assert '"gpu-missing"' in checked.out


@without_gpu
def test_python_without_a_gpu(tmp_path: Path) -> None:
    done = kanoe("python", "--gpu", "-c", "print(1)", cwd=tmp_path, env={"KANOE_HOME": str(tmp_path / "store")})
    assert (done.code, done.out) == (3, "")
    assert "no GPU" in done.err or look_for_gpu().trouble


@pytest.fixture
def node() -> Iterator[Path]:
    """A device node like `/dev/null`, of a name that no sandbox has by itself."""
    path = Path(f"/dev/nvidia-run-{os.getpid()}")
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        pytest.skip("device nodes cannot be made here")
    yield path
    path.unlink()


@pytest.mark.slow
def test_a_run_with_a_gpu_sees_it_and_one_without_does_not(
    tmp_path: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Gpu("nvidia", ("a card",), "1.0", (node,), variables={"CUDA_VISIBLE_DEVICES": "0"})
    monkeypatch.setattr("kanoe.verbs.sandbox.need_gpu", lambda: GpuSearch(gpu))
    code = f"import os\nprint(os.path.exists({str(node)!r}), os.environ.get('CUDA_VISIBLE_DEVICES'))"
    path = write_notebook(tmp_path / "n.ipynb", code)
    for wanted, expected in ((True, "True 0"), (False, "False None")):
        report = library.run(path, gpu=wanted, html=False)
        assert report.state == "SUCCEEDED", report.diagnostics
        assert expected in (Path(report.directory or "") / "notebook.ipynb").read_text()
