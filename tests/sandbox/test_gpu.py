"""Machines with GPUs of many kinds, made of files, and what a sandbox is given of each."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from kanoe.base.diagnostics import Severity
from kanoe.sandbox.confine import choose_tool, confine
from kanoe.sandbox.gpu import Gpu, GpuSearch, ask_driver, find_gpu, gpu_missing, look_for_gpu, with_gpu
from kanoe.sandbox.process import SandboxProcess
from worlds import session_plan

NODES = {f"dev/{name}": "" for name in ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")}
VERSION = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build  (x)\n"
    "GCC version:  gcc version 12.2.0\n"
}
LIBRARY = {
    "usr/lib/x86_64-linux-gnu/libcuda.so.1": "->libcuda.so.550.54.14",
    "usr/lib/x86_64-linux-gnu/libcuda.so.550.54.14": "",
}
CARD = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0"
PCI = {
    f"{CARD}/vendor": "0x10de\n",
    f"{CARD}/class": "0x030000\n",
    "sys/bus/pci/devices/0000:01:00.0": "->../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0",
}


def information(bus: str, minor: int, model: str = "NVIDIA GeForce RTX 3090") -> dict[str, str]:
    text = f"Model: \t\t {model}\nIRQ:   \t\t 33\nBus Location: \t {bus}\nDevice Minor: \t {minor}\n"
    return {f"proc/driver/nvidia/gpus/{bus}/information": text}


PLAIN = {**NODES, **VERSION, **LIBRARY, **PCI, "dev/nvidia0": "", **information("0000:01:00.0", 0)}
AMD = {
    "dev/kfd": "",
    "dev/dri/renderD128": "",
    "dev/dri/card0": "",
    "sys/class/drm/renderD128/device/vendor": "0x1002\n",
    "sys/class/drm/renderD128/device/product_name": "AMD Radeon RX 7900 XTX\n",
    "sys/class/kfd/kfd/topology/nodes/0/properties": "",
    "opt/rocm-6.1.0/lib/libamdhip64.so": "",
}
WSL = {
    "dev/dxg": "",
    "usr/lib/wsl/lib/libcuda.so.1": "",
    "usr/lib/wsl/lib/nvidia-smi": "",
    "usr/lib/wsl/drivers/nv.inf/libnvwgf2umx.so": "",
}


def without(tree: Mapping[str, str], *names: str) -> dict[str, str]:
    assert set(names) <= set(tree)
    return {path: text for path, text in tree.items() if path not in names}


def make(root: Path, tree: Mapping[str, str | bytes]) -> Path:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content.startswith("->"):
            path.symlink_to(content[2:])
        else:
            path.write_text(content)
    return root


def found(root: Path, tree: Mapping[str, str | bytes], **variables: str) -> Gpu:
    gpu = find_gpu(make(root, tree), variables)
    assert gpu is not None
    return gpu


def texts(paths: tuple[Path, ...]) -> list[str]:
    return [str(path) for path in paths]


# What there is


def test_a_machine_with_one_card(tmp_path: Path) -> None:
    gpu = found(tmp_path, {**PLAIN, "usr/bin/nvidia-smi": "", "dev/nvidia-settings": "", "dev/sda": ""})
    assert (gpu.kind, gpu.driver, gpu.names) == ("nvidia", "550.54.14", ("NVIDIA GeForce RTX 3090",))
    assert sorted(texts(gpu.devices)) == sorted(f"/{name}" for name in (*NODES, "dev/nvidia0"))
    assert texts(gpu.folders) == ["/sys/bus/pci", "/sys/devices/pci0000:00"], "in /usr everything is visible"
    assert (gpu.variables, gpu.programs) == ({}, ())


def test_a_machine_with_many_cards_names_those_whose_nodes_it_has(tmp_path: Path) -> None:
    tree = dict(PLAIN)
    for number in range(1, 12):
        tree |= information(f"0000:{number + 1:02x}:00.0", number, f"card {number}")
        tree[f"dev/nvidia{number}"] = ""
    del tree["dev/nvidia3"]
    gpu = found(tmp_path, tree)
    assert [path.name for path in gpu.devices if path.name[-1].isdigit()] == [f"nvidia{n}" for n in range(12) if n != 3]
    assert "card 3" not in gpu.names
    assert len(gpu.names) == 11


def test_instances_of_a_divided_card_and_never_the_right_to_divide_it(tmp_path: Path) -> None:
    minors = "config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\nfabric-mgmt 7\n"
    tree = {**PLAIN, "proc/driver/nvidia-caps/mig-minors": minors}
    tree |= {f"dev/nvidia-caps/nvidia-cap{number}": "" for number in (1, 2, 7, 12, 13)}
    gpu = found(tmp_path / "a", tree)
    assert [path.name for path in gpu.devices if "cap" in path.name] == ["nvidia-cap12", "nvidia-cap13"]
    untold = found(tmp_path / "b", without(tree, "proc/driver/nvidia-caps/mig-minors"))
    assert [path.name for path in untold.devices if "cap" in path.name] == [
        "nvidia-cap7",
        "nvidia-cap12",
        "nvidia-cap13",
    ]


def test_the_screen_is_not_handed_over(tmp_path: Path) -> None:
    tree = {**PLAIN, "dev/dri/card0": "", "dev/dri/renderD128": "", "dev/dri/renderD129": ""}
    tree["sys/class/drm/renderD129/device/vendor"] = "0x8086\n"
    gpu = found(tmp_path, tree)
    assert [path.name for path in gpu.devices if "dri" in path.parts] == ["renderD128"]


def test_wsl(tmp_path: Path) -> None:
    gpu = found(tmp_path, {**WSL, **LIBRARY})
    assert (gpu.kind, texts(gpu.devices), gpu.names) == ("wsl", ["/dev/dxg"], ())
    assert texts(gpu.folders) == ["/usr/lib/wsl"]
    assert texts(gpu.programs) == ["/usr/lib/wsl/lib"]
    assert gpu.variables == {"LD_LIBRARY_PATH": "/usr/lib/wsl/lib"}, "and not what was installed inside WSL"


def test_amd(tmp_path: Path) -> None:
    gpu = found(tmp_path, AMD, HIP_VISIBLE_DEVICES="0")
    assert (gpu.kind, gpu.names) == ("amd", ("AMD Radeon RX 7900 XTX",))
    assert texts(gpu.devices) == ["/dev/kfd", "/dev/dri/renderD128"]
    assert texts(gpu.folders) == ["/opt/rocm-6.1.0", "/sys/class/drm", "/sys/class/kfd"]
    assert gpu.variables == {"HIP_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(
    ("tree", "variables", "folders", "path"),
    [
        ({"opt/driver/libcuda.so.1": ""}, {"LD_LIBRARY_PATH": "/nowhere:/opt/driver"}, ["/opt/driver"], "/opt/driver"),
        ({"usr/local/nvidia/lib64/libcuda.so.1": ""}, {}, [], "/usr/local/nvidia/lib64"),
        (
            {
                "run/opengl-driver/lib/libcuda.so.1": "->../../../nix/store/abc-nvidia/lib/libcuda.so.1",
                "nix/store/abc-nvidia/lib/libcuda.so.1": "",
            },
            {},
            ["/run/opengl-driver/lib", "/nix/store", "/run/opengl-driver"],
            "/run/opengl-driver/lib",
        ),
        ({"opt/cached/libcuda.so.1": "", "etc/ld.so.cache": b"glibc-ld.so.cache1.1\0libcuda.so.1\0/opt/cached/libcuda.so.1\0"}, {}, ["/opt/cached"], None),
        ({"home/you/libcuda.so.1": "", **LIBRARY}, {"LD_LIBRARY_PATH": "/home/you/", "HOME": "/home/you"}, [], None),
        ({"opt/compat/libcuda.so.560.1": "", "opt/compat/libcuda.so.1": "->libcuda.so.560.1"}, {"LD_LIBRARY_PATH": "/opt/compat"}, ["/opt/compat"], "/opt/compat"),
    ],
    ids=["variable", "container toolkit", "nix", "loader's cache", "never the home", "CUDA's own for older drivers"],
)  # fmt: skip
def test_where_the_driver_is(
    tmp_path: Path, tree: dict[str, str | bytes], variables: dict[str, str], folders: list[str], path: str | None
) -> None:
    gpu = found(tmp_path, {**without(PLAIN, *LIBRARY, *PCI), **tree}, **variables)
    assert texts(gpu.folders) == folders
    assert gpu.variables.get("LD_LIBRARY_PATH") == path


def test_the_library_that_fits_the_kernel_is_taken(tmp_path: Path) -> None:
    old = {"opt/old/libcuda.so.1": "->libcuda.so.470.82.01", "opt/old/libcuda.so.470.82.01": ""}
    gpu = found(tmp_path, {**PLAIN, **old}, LD_LIBRARY_PATH="/opt/old")
    assert "LD_LIBRARY_PATH" not in gpu.variables
    assert "/opt/old" not in texts(gpu.folders)


def test_variables_of_the_driver_are_passed_on_and_keys_are_not(tmp_path: Path) -> None:
    passed = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "NVIDIA_VISIBLE_DEVICES": "all"}
    gpu = found(tmp_path, PLAIN, **passed, NVIDIA_API_KEY="nvapi-x", CUDA_PATH="/x", PATH="/bin")
    assert gpu.variables == passed


# What is wrong

DOCKER = {".dockerenv": ""}
TROUBLE = [
    ("no nodes", without(PLAIN, "dev/nvidia0", *NODES), "550.54.14 is loaded", "sudo nvidia-modprobe"),
    ("no memory node", without(PLAIN, "dev/nvidia-uvm"), "`/dev/nvidia-uvm` is missing", "sudo nvidia-modprobe"),
    ("only cards", {"dev/nvidia0": ""}, "`/dev/nvidiactl`, `/dev/nvidia-uvm` are missing", "sudo nvidia-modprobe"),
    ("not given to a container", {**without(PLAIN, "dev/nvidia0", *NODES), **DOCKER}, "is loaded", "--gpus all"),
    ("no library", without(PLAIN, *LIBRARY), "`libcuda.so.1` is nowhere", "apt install libcuda1"),
    ("no library in a container", {**without(PLAIN, *LIBRARY), **DOCKER}, "nowhere", "NVIDIA_DRIVER_CAPABILITIES"),
    ("only 32 bits", {**without(PLAIN, *LIBRARY), "usr/lib/i386-linux-gnu/libcuda.so.1": ""}, "is nowhere", "apt"),
    (
        "updated while it ran",
        {**PLAIN, "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu"},
        "the kernel is 535.129.03, and its library `/usr/lib/x86_64-linux-gnu/libcuda.so.1` is 550.54.14",
        "restart",
    ),
    ("a card without a driver", PCI, "its driver is not loaded", "ubuntu-drivers"),
    ("a card of the host's", {**PCI, **DOCKER}, "this container was not given it", "--gpus all"),
    ("WSL without a driver", {"dev/dxg": ""}, "no `libcuda.so.1`", "in Windows"),
    ("AMD without ROCm", {**PCI, f"{CARD}/vendor": "0x1002\n"}, "no `/dev/kfd`", "modprobe amdgpu"),
    ("AMD in a container", {**PCI, f"{CARD}/vendor": "0x1002\n", **DOCKER}, "`/dev/kfd`", "--device /dev/kfd"),
]


@pytest.mark.parametrize(("tree", "trouble", "hint"), [row[1:] for row in TROUBLE], ids=[row[0] for row in TROUBLE])
def test_a_gpu_that_cannot_be_used_says_why(tmp_path: Path, tree: dict[str, str], trouble: str, hint: str) -> None:
    search = look_for_gpu(make(tmp_path, tree), {})
    assert search.gpu is None
    assert trouble in (search.trouble or "")
    assert hint in (search.hint or "")
    told = gpu_missing(search)
    assert (told.code, told.severity) == ("gpu-missing", Severity.ERROR)
    assert trouble in told.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_nodes_that_are_shut(tmp_path: Path) -> None:
    (make(tmp_path, PLAIN) / "dev/nvidiactl").chmod(0o000)
    search = look_for_gpu(tmp_path, {})
    assert "you may not open `/dev/nvidiactl`" in (search.trouble or "")
    assert "usermod" in (search.hint or "")


def test_nodes_behind_which_nobody_answers(tmp_path: Path) -> None:
    node = make(tmp_path, without(PLAIN, "dev/nvidiactl")) / "dev/nvidiactl"
    try:
        # A number that no driver has taken.
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(240, 255))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    search = look_for_gpu(tmp_path, {})
    if "may not" in (search.trouble or ""):
        pytest.skip("device nodes cannot be opened here")
    assert "no driver answers behind it" in (search.trouble or "")
    assert "modprobe" in (search.hint or "")


@pytest.mark.parametrize("tree", [{}, {"dev/dri/renderD128": ""}, {"dev/dri/card0": "", "dev/kfd": ""}, {"dev": ""}])
def test_a_machine_without(tmp_path: Path, tree: dict[str, str]) -> None:
    search = look_for_gpu(make(tmp_path, tree), {})
    assert search == GpuSearch()
    told = gpu_missing(search)
    assert "`/dev/nvidia0`" in told.message
    assert "without `--gpu`" in (told.hint or "")


def test_files_that_hold_anything(tmp_path: Path) -> None:
    noise = bytes(range(256))
    names = ("etc/ld.so.cache", "proc/driver/nvidia/version", "proc/driver/nvidia-caps/mig-minors")
    information = {"proc/driver/nvidia/gpus/x/information": noise}
    gpu = found(tmp_path, {**PLAIN, **dict.fromkeys(names, noise), **information})
    assert gpu.driver is None


# What people read of it

SMI = """#!/bin/sh
case "$1" in
--query-gpu*) echo "NVIDIA H100 80GB HBM3, 81559 MiB";;
*) echo "| NVIDIA-SMI 550.54.14    Driver Version: 550.54.14    CUDA Version: 12.4   |";;
esac
"""


@pytest.mark.parametrize(
    ("script", "cards", "cuda"),
    [
        (SMI, ("NVIDIA H100 80GB HBM3, 81559 MiB",), "12.4"),
        ("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'\nexit 18\n", (), None),
        ("no program", (), None),
    ],
)
def test_what_the_drivers_own_program_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, cards: tuple[str, ...], cuda: str | None
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    facts = ask_driver(Gpu("nvidia", ("x",), "550.54.14", (), programs=(tmp_path,)))
    assert (facts.cards, facts.driver, facts.cuda) == (cards, "550.54.14", cuda)


# In the sandbox


def test_the_layout_of_a_run_with_a_gpu(tmp_path: Path) -> None:
    layout = session_plan(tmp_path).layout
    layout = replace(layout, variables={**layout.variables, "LD_LIBRARY_PATH": "/own", "PATH": "/a:/b"})
    gpu = Gpu(
        "wsl",
        (),
        None,
        (Path("/dev/dxg"),),
        (Path("/usr/lib/wsl"),),
        (Path("/p"),),
        {"LD_LIBRARY_PATH": "/d", "X": "1"},
    )
    given = with_gpu(layout, gpu)
    assert given.devices == (*layout.devices, Path("/dev/dxg"))
    assert given.tools == (*layout.tools, Path("/usr/lib/wsl"))
    assert given.variables["LD_LIBRARY_PATH"] == "/d:/own"
    assert given.variables["PATH"] == "/a:/b:/p"
    assert given.variables["X"] == "1"
    bare = with_gpu(session_plan(tmp_path).layout, Gpu("nvidia", (), None, ()))
    assert "LD_LIBRARY_PATH" not in bare.variables


@pytest.fixture
def node() -> Iterator[Path]:
    """A device node like `/dev/null`, of a name that no sandbox has by itself."""
    path = Path(f"/dev/nvidia-test-{os.getpid()}")
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except OSError:
        pytest.skip("device nodes cannot be made here")
    path.chmod(0o666)
    yield path
    path.unlink()


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces"])
def test_device_nodes_and_folders_are_there_in_the_sandbox(
    tmp_path: Path, node: Path, kind: Literal["bubblewrap", "namespaces"]
) -> None:
    tool = choose_tool(kind)
    if tool.kind == "none":
        pytest.skip(f"{kind} does not work here")
    driver = tmp_path / "driver"
    driver.mkdir()
    (driver / "libcuda.so.1").write_text("library")
    gpu = Gpu("nvidia", (), None, (node,), (driver, Path("/sys/bus")), variables={"LD_LIBRARY_PATH": str(driver)})
    plan = session_plan(tmp_path, tool)
    code = f"""
import os, stat
print(stat.S_ISCHR(os.stat({str(node)!r}).st_mode) and os.write(os.open({str(node)!r}, os.O_RDWR), b'works'))
print(open(os.environ['LD_LIBRARY_PATH'] + '/libcuda.so.1').read(), os.path.isdir('/sys/bus'))
try: open({str(driver / "new")!r}, 'w'); print('written')
except OSError: print('read-only')
"""
    for layout, expected in (
        (with_gpu(plan.layout, gpu), "5\nlibrary True\nread-only\n"),
        (plan.layout, "No such file"),
    ):
        with (tmp_path / "said").open("w+b") as said:
            SandboxProcess(confine(tool, layout, [str(plan.python), "-c", code]), said).wait()
            said.seek(0)
            text = said.read().decode()
        assert text == expected if layout.devices else expected in text
