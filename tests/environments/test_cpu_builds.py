"""PyTorch's builds for processors: a real index beside a real registry, asked by the real uv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registry import File, Registry, wheel

from kanoe.base.errors import UnavailableError
from kanoe.environments.build import environment_for
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.lock import Lock, check, remarks
from kanoe.environments.lock_file import dumps, loads
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve
from kanoe.environments.settings import torch_index

DEAD = "http://127.0.0.1:9/whl"


@pytest.fixture
def torches(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """PyTorch's index of builds for processors beside a registry with those for GPUs."""
    for version, day in (("2.2.0", "2024-01-30"), ("2.3.0", "2024-04-24")):
        registry.add("torch", version, "nvidia-cublas-cu12", "triton", "filelock", uploaded=day)
        registry.add("torchvision", f"0.{version[2:]}", f"torch=={version}", "numpy", uploaded=day)
    registry.add("nvidia-cublas-cu12", "12.1", "nvidia-nccl-cu12")
    registry.add("nvidia-nccl-cu12", "2.20")
    registry.add("nvidia-cusolver-cu12", "11.0")
    registry.add("triton", "2.3.0", "builder")
    registry.add("xgboost", "2.1", "numpy", "nvidia-nccl-cu12")
    for name in ("builder", "filelock", "ipykernel", "numpy", "scikit-learn"):
        registry.add(name, "1.0")
    index = Registry(root="whl/cpu", is_plain=True)
    for version in ("2.2.0", "2.3.0"):
        add_build(index, "torch", f"{version}+cpu", "filelock")
        add_build(index, "torchvision", f"0.{version[2:]}+cpu", f"torch=={version}")
    index.add("numpy", "0.1")
    monkeypatch.setenv("KANOE_TORCH_INDEX", index.url.removesuffix("/cpu/"))
    yield index
    index.close()


def add_build(index: Registry, name: str, version: str, *requires: str, hashes: bool = True) -> None:
    data = wheel(name, version, {f"{name}.py": f"version = {version!r}\n"}, requires)
    index.add_file(name, File(f"{name}-{version}-py3-none-any.whl", data, None, hashes))


@pytest.fixture
def solve(torches: Registry, tmp_path: Path):
    def run(*texts: str, **more) -> Lock:
        asked = tuple(ask(text) for text in sorted(texts))
        return resolve(Needs(asked, **more), own_interpreter(), kernel=(), cache=tmp_path / "locks")

    return run


def ask(text: str) -> Requirement:
    name, _, version = text.partition("==")
    return Requirement(name, f"=={version}" if version else "", why=("imported by cell 1",))


def held(lock: Lock) -> dict[str, str]:
    return {
        one.name: one.version for one in lock.distributions if one.name not in {"pip", "setuptools", "scikit-learn"}
    }


def codes(lock: Lock) -> list[str]:
    return [one.code for one in remarks(lock)]


def test_without_a_gpu_a_lock_holds_builds_for_a_processor(solve, torches: Registry) -> None:
    lock = solve("torch", "torchvision", "xgboost")
    assert held(lock) == {
        "torch": "2.3.0+cpu",
        "torchvision": "0.3.0+cpu",
        "filelock": "1.0",
        "numpy": "1.0",
        "xgboost": "2.1",
    }
    assert lock.accelerator == "cpu"
    assert codes(lock) == []
    torch = lock.find("torch")
    assert torch is not None
    assert torch.url is None
    assert torch.size == len(torches.projects["torch"][1].data), "the index says no sizes: its file does"
    assert len(torch.hashes) == 1
    assert "127.0.0.1" not in dumps(lock)
    assert loads(dumps(lock)) == lock


def test_it_is_installed_and_runs(solve, tmp_path: Path) -> None:
    lock = solve("torch", "torchvision")
    environment = environment_for(lock, own_interpreter(), store=tmp_path / "environments")
    assert (environment.modules / "torch.py").read_text() == "version = '2.3.0+cpu'\n"
    assert "numpy" in {one.name for one in environment.modules.iterdir()}


def test_a_lock_of_an_index_that_does_not_answer_any_more_says_which_variable_helps(
    solve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = solve("torch")
    monkeypatch.setenv("KANOE_TORCH_INDEX", DEAD)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(UnavailableError) as raised:
        environment_for(lock, own_interpreter(), store=tmp_path / "environments")
    assert "KANOE_TORCH_INDEX" in (raised.value.diagnostics[0].hint or "")


@pytest.mark.parametrize(("day", "version"), [("2024-03-01", "2.2.0+cpu"), ("2024-05-01", "2.3.0+cpu")])
def test_the_day_counts_though_the_index_tells_none(solve, day: str, version: str) -> None:
    assert held(solve("torch", as_of=day, as_of_why="--as-of"))["torch"] == version


def test_with_a_gpu_a_lock_holds_the_registrys_builds(solve, torches: Registry) -> None:
    lock = solve("torch", "xgboost", gpu=True)
    assert held(lock)["torch"] == "2.3.0"
    assert {"nvidia-cublas-cu12", "nvidia-nccl-cu12", "triton"} <= held(lock).keys()
    assert lock.accelerator == "cuda"
    assert codes(lock) == []
    assert torches.asked == []


@pytest.mark.parametrize("case", ["dead", "empty", "no version", "one lacks", "sources"])
def test_without_the_index_the_registrys_build_stays_without_what_it_does_not_open(
    case: str, solve, torches: Registry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "dead":
        monkeypatch.setenv("KANOE_TORCH_INDEX", DEAD)
    elif case == "empty":
        torches.projects.clear()
    elif case == "no version":
        torches.projects["torch"] = torches.projects["torch"][:1]
    elif case == "one lacks":
        del torches.projects["torchvision"]
    else:
        torches.projects["torch"] = [File("torch-2.3.0+cpu.tar.gz", b"", None)]
    lock = solve("torch", "torchvision", "xgboost")
    assert held(lock)["torch"] == "2.3.0"
    assert held(lock)["torchvision"] == "0.3.0"
    assert "triton" not in held(lock)
    assert "builder" not in held(lock), "it was there for triton alone"
    assert "nvidia-nccl-cu12" in held(lock), "torch opens it at import"
    (said,) = remarks(lock)
    assert said.code == "accelerator-build"
    assert "iB of NVIDIA's libraries" in said.message
    assert "KANOE_TORCH_INDEX" in (said.hint or "")


def test_xgboost_alone_needs_none_of_nvidias_libraries(solve) -> None:
    lock = solve("xgboost")
    assert held(lock) == {"numpy": "1.0", "xgboost": "2.1"}
    assert codes(lock) == []


def test_what_is_asked_for_by_name_is_kept(solve) -> None:
    assert "nvidia-nccl-cu12" in held(solve("xgboost", "nvidia-nccl-cu12"))
    assert "triton" in held(solve("torch", "triton"))


@pytest.mark.parametrize("name", ["UV_TORCH_BACKEND", "UV_OFFLINE", "KANOE_TORCH_INDEX"])
def test_who_settles_it_otherwise_is_asked_nothing(
    name: str, torches: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_index(None) == torches.url.rstrip("/")
    assert torch_index(None, "cu121") == torches.url.rstrip("/").removesuffix("cpu") + "cu121"
    monkeypatch.setenv(name, "" if name == "KANOE_TORCH_INDEX" else "cpu")
    assert torch_index(None) is None


def test_uvs_own_file_settles_it_too(torches: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_NO_CONFIG")
    (tmp_path / "uv.toml").write_text('torch-backend = "cpu"\n')
    assert torch_index(tmp_path) is None
    (tmp_path / "uv.toml").write_text('[pip]\ntorch-backend = "auto"\n')
    assert torch_index(tmp_path) is None


def test_a_registry_that_the_user_adds_does_not_come_before(
    solve, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX", registry.url)
    assert held(solve("torch"))["torch"] == "2.3.0+cpu"


def test_other_builds_are_another_resolution_and_the_same_needs_give_the_same_bytes(solve, tmp_path: Path) -> None:
    processor, cuda = solve("torch"), solve("torch", gpu=True)
    assert dumps(solve("torch")) == dumps(processor) != dumps(cuda)
    assert dumps(solve("torch", gpu=True)) == dumps(cuda)
    assert len(list((tmp_path / "locks").iterdir())) == 2


def test_a_mirror_is_another_resolution(solve, torches: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANOE_TORCH_INDEX", DEAD)
    assert held(solve("torch"))["torch"] == "2.3.0"
    monkeypatch.setenv("KANOE_TORCH_INDEX", torches.url.removesuffix("/cpu/"))
    assert held(solve("torch"))["torch"] == "2.3.0+cpu"


# -- locks


@pytest.mark.parametrize(
    ("made", "gpu", "fits"), [(False, False, True), (False, True, False), (True, True, True), (True, False, True)]
)
def test_a_lock_with_builds_for_a_processor_is_stale_where_a_gpu_is_used(
    made: bool, gpu: bool, fits: bool, solve
) -> None:
    lock = solve("torch", "ipykernel", gpu=made)
    found = check(lock, Needs((ask("torch"),), gpu=gpu), own_interpreter())
    assert [one.code for one in found] == ([] if fits else ["lock-stale"])
    assert fits or "--gpu" in found[0].message


def test_a_lock_without_anything_that_has_two_builds_fits_both(solve) -> None:
    lock = solve("numpy", "ipykernel")
    assert check(lock, Needs((ask("numpy"),), gpu=True), own_interpreter()) == ()


def test_a_lock_of_earlier_says_nothing_of_builds(solve) -> None:
    text = "".join(line for line in dumps(solve("numpy")).splitlines(True) if not line.startswith("accelerator"))
    lock = loads(text)
    assert lock.accelerator is None
    assert dumps(lock).splitlines()[3:] == text.splitlines()[3:]
