from __future__ import annotations

from pathlib import Path

import pytest
from registry import File, Registry, wheel

from kanoe.environments import lock_making
from kanoe.environments.cuda_builds import driver_version
from kanoe.environments.interpreters import own_interpreter
from kanoe.environments.needs import Needs, Requirement
from kanoe.environments.resolve import resolve


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("550.54.15\n", 550),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\nGCC 9.4.0\n", 470),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06  Release Build\n", 570),
        ("", None),
        ("\x00\xff", None),
        (None, None),
    ],
)
def test_the_driver_says_its_version(text: str | None, driver: int | None, tmp_path: Path) -> None:
    place = tmp_path / "version"
    if text is not None:
        place.write_text(text)
    assert driver_version((tmp_path / "absent", place)) == driver


@pytest.mark.parametrize(
    ("version", "driver", "taken"),
    [
        ("1.7.1", 550, "1.7.1+cu110"),
        ("1.7.1", None, "1.7.1"),
        ("1.7.1", 440, "1.7.1"),
        ("1.6.0", 550, "1.6.0"),
        ("2.0.0", 550, "2.0.0"),
    ],
)
def test_an_old_torch_is_taken_in_a_build_that_knows_the_gpu(
    version: str, driver: int | None, taken: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("torch", version)
    index = Registry(root="whl/cu110", is_plain=True)
    data = wheel("torch", f"{version}+cu110", {"torch.py": ""})
    index.add_file("torch", File(f"torch-{version}+cu110-py3-none-any.whl", data, None))
    monkeypatch.setenv("KANOE_TORCH_INDEX", index.url.removesuffix("/cu110/"))
    monkeypatch.setattr(lock_making, "driver_version", lambda: driver)
    needs = Needs((Requirement("torch", why=("imported by cell 1",)),), gpu=True)
    lock = resolve(needs, own_interpreter(), kernel=(), cache=tmp_path / "locks")
    index.close()
    torch = lock.find("torch")
    assert torch is not None
    assert torch.version == taken
    assert lock.accelerator == "cuda"
