from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from kanoe.base.diagnostics import Severity
from kanoe.environments import tables
from kanoe.environments.accelerator import (
    choose_builds,
    has_builds,
    is_gpu_library,
    is_unopened,
    without_unopened,
)
from kanoe.environments.needs import Needs
from kanoe.environments.requirements import parse_extra, parse_link, parse_requirement
from kanoe.environments.tables import read_pairs
from kanoe.environments.versions import is_specifier

FILE = Path(tables.__file__).with_name("accelerators.toml")
ROWS = read_pairs("accelerators")


def choose(*texts: str, gpu: bool = False, day: str | None = None, **more) -> Needs:
    asked = tuple(parse_requirement(text, "requirements.txt line 1") for text in texts)
    return choose_builds(Needs(asked, as_of=day, **more), gpu=gpu)


def names(needs: Needs) -> list[str]:
    return [str(one) for one in needs.requirements]


# -- the table


def test_the_table_is_what_a_full_reader_reads_and_every_row_has_its_source() -> None:
    text = FILE.read_text()
    assert tomllib.loads(text) == dict(ROWS)
    rows = [line for line in text.splitlines() if line.startswith('"')]
    assert all(re.search(r'"  # \S', line) for line in rows)
    assert len(rows) == len(ROWS), "no row twice"


@pytest.mark.parametrize("key", sorted(ROWS))
def test_every_row_can_be_read(key: str) -> None:
    word, *rest = ROWS[key].split()
    assert re.fullmatch(r"[a-z0-9*-]+(\[[a-z0-9_*-]+\])?", key)
    assert word in {"cpu", "cuda", "gpu", "unopened", "both"}
    assert bool(rest) == (word in {"cpu", "cuda", "unopened"})
    if word == "cpu":
        assert len(rest) == 1
    if word == "cuda":
        for choice in rest:
            match = re.fullmatch(
                r"(=|[a-z0-9-]+)(\[[a-z0-9-]+\])?([<>=!~][^@]*)?(@(\d{4}-\d\d-\d\d)?\.\.(\d{4}-\d\d-\d\d)?)?", choice
            )
            assert match, choice
            assert is_specifier(match[3] or "")


def _an_example(key: str) -> str:
    return key.replace("*", "12x") if "[" in key else key.replace("*", "-x1")


@pytest.mark.parametrize("key", sorted(key for key, value in ROWS.items() if value.startswith("cpu ")))
def test_a_row_for_a_processor_is_taken_without_a_gpu_and_not_with_one(key: str) -> None:
    example, target = _an_example(key), ROWS[key].split()[1]
    assert names(choose(example)) == ([] if target == "-" else [target])
    assert [one.code for one in choose(example).diagnostics] == ["accelerator-build"]
    assert names(choose(example, gpu=True)) == [str(parse_requirement(example, ""))]
    assert choose(example, gpu=True).diagnostics == ()
    once = choose(example)
    assert choose_builds(once, gpu=False) == once, "said once"


@pytest.mark.parametrize("key", sorted(key for key, value in ROWS.items() if value == "gpu"))
def test_what_runs_on_a_gpu_only_is_left_out_and_said(key: str) -> None:
    example = _an_example(key)
    found = choose(example, "pandas")
    assert names(found) == ["pandas"]
    (said,) = found.diagnostics
    assert said.severity is Severity.WARNING
    assert f"`{example}`" in said.message
    assert "--gpu" in (said.hint or "")
    assert names(choose(example, "pandas", gpu=True)) == sorted([example, "pandas"])


@pytest.mark.parametrize("key", sorted(key for key, value in ROWS.items() if value == "both"))
def test_what_is_for_both_stays(key: str) -> None:
    assert names(choose(f"{key}>=1")) == [f"{key}>=1"]
    assert choose(key).diagnostics == ()
    assert names(choose(key, gpu=True)) == [key]
    assert not has_builds(key) or key in {"onnxruntime"}


@pytest.mark.parametrize("key", sorted(key for key, value in ROWS.items() if value.startswith("unopened ")))
def test_what_is_not_opened_is_known_of_its_asker_alone(key: str) -> None:
    for pattern in ROWS[key].split()[1:]:
        assert is_unopened(pattern.replace("*", "-cu12"), key)
        assert not is_unopened(pattern.replace("*", "-cu12"), "somebody")
    assert has_builds(key)


@pytest.mark.parametrize(
    ("asked", "day", "taken"),
    [
        ("tensorflow", None, "tensorflow[and-cuda]"),
        ("tensorflow", "2019-01-01", "tensorflow-gpu"),
        ("tensorflow", "2022-01-01", "tensorflow"),
        ("tensorflow", "2024-01-01T10:00:00Z", "tensorflow[and-cuda]"),
        ("tensorflow==1.15.2", None, "tensorflow-gpu==1.15.2"),
        ("tensorflow==2.4", "2024-01-01", "tensorflow==2.4"),
        ("tensorflow==2.15.0", None, "tensorflow==2.15.0"),
        ("tensorflow==2.15.1", None, "tensorflow[and-cuda]==2.15.1"),
        ("tensorflow==2.16.1", "2019-01-01", "tensorflow[and-cuda]==2.16.1"),
        ("tensorflow>=2", None, "tensorflow[and-cuda]>=2"),
        ("tensorflow-gpu==2.3", None, "tensorflow-gpu==2.3"),
        ("tensorflow-cpu", None, "tensorflow-cpu"),
        ("jax", None, "jax[cuda12]"),
        ("jax[k8s]==0.5", None, "jax[cuda12,k8s]==0.5"),
        ("jax==0.3", None, "jax==0.3"),
        ("onnxruntime==1.16", None, "onnxruntime-gpu==1.16"),
        ("faiss-cpu", "2022-01-01", "faiss-gpu"),
        ("faiss-cpu", None, "faiss-gpu-cu12"),
        ("paddlepaddle", None, "paddlepaddle-gpu"),
        ("mxnet==1.5", None, "mxnet-cu92==1.5"),
        ("mxnet", None, "mxnet-cu112"),
        ("torch==2.3.0", None, "torch==2.3.0"),
        ("torch==2.3.0+cu121", None, "torch==2.3.0"),
        ("pandas", None, "pandas"),
    ],
)
def test_with_a_gpu_the_table_is_read_the_other_way(asked: str, day: str | None, taken: str) -> None:
    assert names(choose(asked, gpu=True, day=day)) == [taken]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (["tensorflow-gpu==1.15"], ["tensorflow==1.15"]),
        (["tensorflow-gpu==2.4", "tensorflow==2.4"], ["tensorflow==2.4"]),
        (["jax[cuda11_cudnn82]>=0.4"], ["jax>=0.4"]),
        (["spacy[cuda12x,lookups]"], ["spacy[lookups]"]),
        (["torch==2.3.0+cu121", "torchvision==0.18.0+cpu"], ["torch==2.3.0", "torchvision==0.18.0"]),
        (
            ["torch==2.3.0", "triton==2.3.0", "nvidia-cublas-cu12==12.1.3.1", "nvidia-ml-py"],
            ["nvidia-ml-py", "torch==2.3.0"],
        ),
        (["mxnet-cu101==1.5; python_version < '3.8'"], ['mxnet==1.5 ; python_version < "3.8"']),
    ],
)
def test_without_a_gpu_what_is_declared_for_one_loses(asked: list[str], taken: list[str]) -> None:
    assert names(choose(*asked)) == taken


@pytest.mark.parametrize(
    ("link", "taken"),
    [
        ("https://download.pytorch.org/whl/cu100/torch-1.0.0-cp36-cp36m-linux_x86_64.whl", "torch==1.0.0"),
        ("http://download.pytorch.org/whl/cu80/torch-0.3.0.post4-cp36-cp36m-linux_x86_64.whl", "torch==0.3.0.post4"),
        ("https://download.pytorch.org/whl/cu110/torch-1.7.1%2Bcu110-cp37-cp37m-linux_x86_64.whl", "torch==1.7.1"),
        ("https://example.org/cuda101/jaxlib-0.1.65+cuda101-cp37-none-manylinux2010_x86_64.whl", "jaxlib==0.1.65"),
        ("https://example.org/x/jaxlib-0.4.1+cuda11.cudnn82-cp38-cp38-linux_x86_64.whl#sha256=ab", "jaxlib==0.4.1"),
        ("https://download.pytorch.org/whl/cpu/torch-1.0.0-cp36-cp36m-linux_x86_64.whl", None),
        ("https://example.org/cu100/toy-1.0.tar.gz", None),
        ("https://example.org/toy-1.0-py3-none-any.whl", None),
        ("git+https://github.com/someone/cu100", None),
    ],
)
def test_a_link_to_a_file_for_gpus_is_a_version(link: str, taken: str | None) -> None:
    declared, given = parse_link(link, "installed by cell 1"), parse_link(link, "--with")
    (found,) = choose_builds(Needs((declared,)), gpu=False).requirements
    assert (found == declared) if taken is None else (str(found) == taken)
    assert choose_builds(Needs((declared,)), gpu=True).requirements == (declared,)
    assert choose_builds(Needs((given,)), gpu=False).requirements == (given,)


def test_what_is_changed_is_said_once_for_all() -> None:
    found = choose("tensorflow-gpu==1.15", "nvidia-cublas-cu12", "nvidia-cudnn-cu12", "onnxruntime-gpu")
    (said,) = found.diagnostics
    assert said.severity is Severity.INFO
    assert "tensorflow==1.15 for tensorflow-gpu==1.15" in said.message
    assert "no nvidia-cublas-cu12 and nvidia-cudnn-cu12" in said.message
    assert "`--gpu`" in (said.hint or "")


@pytest.mark.parametrize("text", ["tensorflow-gpu==2.4", "cupy-cuda12x", "nvidia-cublas-cu12", "jax[cuda12]", "triton"])
@pytest.mark.parametrize("gpu", [False, True])
def test_what_the_command_line_names_is_taken_as_it_is(text: str, gpu: bool) -> None:
    asked = Needs((parse_extra(text),))
    found = choose_builds(asked, gpu=gpu)
    assert found.requirements == asked.requirements
    assert found.diagnostics == ()


def test_what_a_cell_imports_may_be_of_use_without_a_gpu() -> None:
    imported = parse_requirement("triton", "imported by cell 1")
    needs = Needs((imported.__class__("triton", why=imported.why, modules=("triton",)),))
    assert choose_builds(needs, gpu=False).requirements == needs.requirements


# -- what nothing opens

SET = {
    "torch": [],
    "triton": ["torch"],
    "builder": ["triton"],
    "numpy": ["torch", "xgboost"],
    "cuda-toolkit": ["torch"],
    "nvidia-cublas": ["cuda-toolkit", "nvidia-cudnn-cu13"],
    "nvidia-cudnn-cu13": ["torch"],
    "nvidia-cusolver": ["cuda-toolkit"],
    "nvidia-nccl-cu13": ["torch", "xgboost"],
    "xgboost": [],
}


@pytest.mark.parametrize(
    ("needed", "asked", "processor", "dropped"),
    [
        (SET, {"torch", "xgboost"}, {"torch"}, {name for name in SET if name not in {"torch", "xgboost", "numpy"}}),
        (SET, {"torch", "xgboost"}, set(), {"triton", "builder", "nvidia-cusolver"}),
        (SET, {"torch", "xgboost", "triton"}, {"torch"}, {name for name in SET if is_gpu_library(name)} - {"triton"}),
        ({"xgboost": [], "nvidia-nccl-cu12": ["xgboost"]}, {"xgboost"}, set(), {"nvidia-nccl-cu12"}),
        ({"xgboost": [], "nvidia-nccl-cu12": ["xgboost"]}, {"xgboost", "nvidia-nccl-cu12"}, set(), set()),
        ({"own": [], "nvidia-cublas-cu12": ["own"]}, {"own"}, set(), set()),
        ({"a": ["b"], "b": ["a"]}, set(), set(), set()),
        ({"nvidia-a": ["nvidia-b"], "nvidia-b": ["nvidia-a", "own"], "own": []}, {"own"}, set(), set()),
    ],
)
def test_what_nothing_opens_without_a_gpu_is_dropped(needed, asked, processor, dropped) -> None:
    assert without_unopened(needed, asked, processor) == dropped
