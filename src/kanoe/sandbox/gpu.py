"""The GPU of this machine: its device nodes, its driver's libraries, and what is wrong where it cannot be used.

What a program needs of a driver is public: NVIDIA's container toolkit (https://github.com/NVIDIA/libnvidia-container) hands over the
nodes `nvidiaN`, `nvidiactl`, `nvidia-uvm`, `nvidia-uvm-tools`, the capabilities of MIG instances and the user half of the driver; on WSL2
that is `/dev/dxg` and `/usr/lib/wsl`; for AMD it is `/dev/kfd` and the render nodes (https://rocm.docs.amd.com). Cards for a display
(`/dev/dri/cardN`) and the capabilities that change MIG itself are left out: whoever holds them rules the machine's screen or its GPUs.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from kanoe.base.diagnostics import Diagnostic, error
from kanoe.base.errors import UnavailableError
from kanoe.sandbox.layout import Layout

GpuKind = Literal["nvidia", "wsl", "amd"]

LIBRARY = "libcuda.so.1"
_NVIDIA, _AMD = "0x10de", "0x1002"
_VISIBLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # what every sandbox shows
_KNOWN_FOLDERS = (  # where a driver lies that the loader's cache does not know
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/local/cuda/compat",
)
_LOADER_FOLDERS = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/lib/*-linux-gnu", "/lib64", "/lib")
# By name: `NVIDIA_*` would also hand over the keys of NVIDIA's services.
_PASSED_ON = (
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "NVIDIA_DISABLE_REQUIRE",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
# What libcuda, NCCL and ROCm read of the hardware: which node of the machine a card is near, how cards are linked.
_HARDWARE = (
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/class/kfd",
    "/sys/class/pci_bus",
    "/sys/devices/virtual/kfd",
    "/sys/module/amdgpu",
    "/sys/module/nvidia",
    "/sys/module/nvidia_uvm",
)
_SECONDS = 10.0  # for a program of the driver's


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a sandbox is given so that a GPU works in it. All paths are the host's and the sandbox's alike.

    Args:
        kind: `nvidia`, `wsl` (NVIDIA through Windows), `amd`.
        names: what people call each card; empty where only the driver's own programs would know.
        driver: the kernel driver's version, if it says one.
        devices: device nodes.
        folders: host folders to show read-only: libraries outside `/usr`, what the kernel tells of the hardware.
        programs: folders of the driver's programs (`nvidia-smi`) that are not on the usual `PATH`.
        variables: environment variables, `LD_LIBRARY_PATH` among them where the loader would not find the driver.
    """

    kind: GpuKind
    names: tuple[str, ...]
    driver: str | None
    devices: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    programs: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GpuSearch:
    """What came of looking for a GPU.

    Args:
        gpu: the one to use.
        trouble: why the one that is there cannot be used, in one sentence; `None` where there is none at all.
        hint: what to do about it.
    """

    gpu: Gpu | None = None
    trouble: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """What the driver's own program says: each card's name and memory, the driver's version, the newest CUDA that it runs."""

    cards: tuple[str, ...] = ()
    driver: str | None = None
    cuda: str | None = None


def _broken(trouble: str, hint: str) -> UnavailableError:
    """Return the error of a GPU that is there and cannot be used: why, and what to do."""
    return UnavailableError(error("gpu-missing", trouble, hint=hint))


def find_gpu(root: Path = Path("/"), variables: Mapping[str, str] | None = None) -> Gpu | None:
    """Return this machine's GPU, or `None` where there is none that works; see `look_for_gpu`."""
    return look_for_gpu(root, variables).gpu


def look_for_gpu(root: Path = Path("/"), variables: Mapping[str, str] | None = None) -> GpuSearch:
    """Look for a GPU by files alone: no program is started, no card woken up.

    Args:
        root: where the machine's tree stands.
        variables: the environment variables; `None`: those of this process.
    """
    machine = _Machine(root, os.environ if variables is None else variables)
    try:
        gpu = _wsl(machine) or _nvidia(machine) or _amd(machine)
        return GpuSearch(gpu) if gpu is not None else _without_driver(machine)
    except UnavailableError as problem:
        return GpuSearch(None, problem.diagnostics[0].message, problem.diagnostics[0].hint)


def need_gpu() -> GpuSearch:
    """Look for a GPU as someone who needs it: device nodes that the driver makes on demand are asked for.

    CUDA itself does so at the first use (`nvidia-modprobe`); in a sandbox it no longer can.
    """
    found = look_for_gpu()
    program = shutil.which("nvidia-modprobe")
    if found.gpu is None and program is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([program, "-c=0", "-u"], capture_output=True, timeout=_SECONDS, check=False)
        found = look_for_gpu()
    return found


def gpu_missing(found: GpuSearch) -> Diagnostic:
    """Return the error of a run that needs a GPU and has none."""
    if found.trouble is not None:
        return error("gpu-missing", found.trouble, place="--gpu", hint=found.hint)
    looked = "`/dev/nvidia0` (NVIDIA), `/dev/dxg` (WSL2), `/dev/kfd` (AMD)"
    hint = "Run it without `--gpu`, on the CPU; or on a machine with a GPU and its driver. `kanoe doctor` tells what is there"
    return error("gpu-missing", f"this machine shows no GPU; looked for {looked}", place="--gpu", hint=hint)


def with_gpu(layout: Layout, gpu: Gpu) -> Layout:
    """Return a layout whose program can use the GPU."""
    variables = {**layout.variables, **gpu.variables}
    for name, folders in (("LD_LIBRARY_PATH", ()), ("PATH", gpu.programs)):
        parts = [given.get(name, "") for given in (gpu.variables, layout.variables)]
        joined = ":".join(dict.fromkeys(part for part in (*parts, *map(str, folders)) if part))
        if joined:
            variables[name] = joined
    tools = tuple(dict.fromkeys((*layout.tools, *gpu.folders)))
    return replace(layout, devices=(*layout.devices, *gpu.devices), tools=tools, variables=variables)


def ask_driver(gpu: Gpu) -> GpuFacts:
    """Return what `nvidia-smi` says; nothing where it is not there or does not answer. May take a second: cards wake up."""
    program = shutil.which("nvidia-smi", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, gpu.programs)]))
    if program is None or gpu.kind == "amd":
        return GpuFacts(driver=gpu.driver)
    cards = _said([program, "--query-gpu=name,memory.total", "--format=csv,noheader"]).splitlines()
    table = _said([program])
    driver = re.search(r"Driver Version\s*:\s*([\d.]+)", table)
    cuda = re.search(r"CUDA (?:\w+ )?Version\s*:\s*([\d.]+)", table)
    names = tuple(card.strip() for card in cards if re.search(r",\s*\d+ MiB", card))
    return GpuFacts(names, driver[1] if driver else gpu.driver, cuda[1] if cuda else None)


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


class _Machine:
    """A machine's files, below a root of which the paths here do not speak."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        self._root = Path(os.path.realpath(root))
        self.variables = variables

    def there(self, path: str | Path) -> bool:
        return self._host(path).exists()

    def text(self, path: str) -> str:
        try:
            return self._host(path).read_text(errors="replace")
        except OSError:
            return ""

    def data(self, path: str) -> bytes:
        try:
            return self._host(path).read_bytes()
        except OSError:
            return b""

    def paths(self, pattern: str) -> list[Path]:
        """Return what fits a shell pattern, in order of the numbers in the names."""
        found = [self._own(path) for path in self._root.glob(pattern.lstrip("/"))]
        return sorted(found, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))])

    def real(self, path: Path) -> Path:
        return self._own(Path(os.path.realpath(self._host(path))))

    def refusal(self, path: Path) -> int | None:
        """Return the error number with which a node refuses to be opened; `None`: it opens."""
        try:
            os.close(os.open(self._host(path), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
        except OSError as problem:
            return problem.errno
        return None

    def may_use(self, path: Path) -> bool:
        return os.access(self._host(path), os.R_OK | os.W_OK)

    @property
    def in_container(self) -> bool:
        """Whether this is a container, whose GPU is the matter of whoever started it."""
        marks = ("/.dockerenv", "/run/.containerenv")
        return any(map(self.there, marks)) or "KUBERNETES_SERVICE_HOST" in self.variables

    def _host(self, path: str | Path) -> Path:
        return self._root / str(path).lstrip("/")

    def _own(self, path: Path) -> Path:
        return Path("/") / path.relative_to(self._root) if path.is_relative_to(self._root) else path


# NVIDIA


def _nvidia(machine: _Machine) -> Gpu | None:
    cards = [path for path in machine.paths("/dev/nvidia[0-9]*") if re.fullmatch(r"nvidia\d+", path.name)]
    version = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", machine.text("/proc/driver/nvidia/version"))
    driver = version[1] if version else None
    if not cards and driver is None:
        return None
    _check_nodes(machine, cards, driver)
    library = _choose_library(machine, driver)
    devices = [
        Path("/dev/nvidiactl"),
        *cards,
        *(Path("/dev", name) for name in ("nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")),
        *_instances(machine),
        *_render_nodes(machine, _NVIDIA),
    ]
    return Gpu(
        kind="nvidia",
        names=_nvidia_names(machine, cards),
        driver=driver,
        devices=tuple(path for path in devices if machine.there(path)),
        folders=(*_library_folders(machine, library.parent), *_hardware(machine, _NVIDIA)),
        programs=_program_folders(machine, library.parent),
        variables=_variables(machine, library),
    )


def _check_nodes(machine: _Machine, cards: list[Path], driver: str | None) -> None:
    """Raise where device nodes are missing, shut, or lead to no driver."""
    needed = [Path("/dev/nvidiactl"), Path("/dev/nvidia-uvm")]
    missing = ([] if cards else [Path("/dev/nvidia0")]) + [path for path in needed if not machine.there(path)]
    if missing:
        names = ", ".join(f"`{path}`" for path in missing)
        what = f"NVIDIA's driver {driver} is loaded" if driver else "device nodes of an NVIDIA card are there"
        raise _broken(f"{what}, and {names} {_is(missing)} missing", _nodes_hint(machine))
    for path in needed:
        refusal = machine.refusal(path)
        if refusal in (errno.ENXIO, errno.ENODEV, errno.EIO):
            raise _broken(
                f"`{path}` is there, and no driver answers behind it",
                "Load the driver: `sudo modprobe nvidia nvidia-uvm`; after an update of the driver or the kernel, restart",
            )
        if refusal is not None:
            raise _broken(f"you may not open `{path}` ({os.strerror(refusal)})", _rights_hint(machine, "video"))
    if not any(map(machine.may_use, cards)):
        raise _broken(f"you may not open `{cards[0]}`", _rights_hint(machine, "video"))


def _is(things: list[Path]) -> str:
    return "is" if len(things) == 1 else "are"


def _nodes_hint(machine: _Machine) -> str:
    if machine.in_container:
        return (
            "Start the container with its GPU: `docker run --gpus all …`, with NVIDIA's container toolkit on the host"
        )
    return "Let the driver make them: `sudo nvidia-modprobe -c=0 -u` (or `sudo nvidia-smi` once)"


def _rights_hint(machine: _Machine, group: str) -> str:
    if machine.in_container:
        return "Start the container again with its GPU: `docker run --gpus all …`; a reload of systemd on the host takes it away"
    return f"Join the group that may: `sudo usermod -aG {group} $USER`, then log in again"


def _choose_library(machine: _Machine, driver: str | None) -> Path:
    """Return the driver's library that fits the kernel's half.

    Raises:
        UnavailableError: there is none, or none that fits.
    """
    found = list(dict.fromkeys(_libraries(machine)))
    if not found:
        raise _broken(
            f"an NVIDIA card is there, and its driver's library `{LIBRARY}` is nowhere", _library_hint(machine)
        )
    versions = {path: _library_version(machine, path) for path in found}
    for path, version in versions.items():
        # A library of CUDA's own for older drivers has another version on purpose.
        if driver is None or version in (None, driver) or "compat" in str(machine.real(path)):
            return path
    raise _broken(
        f"the driver in the kernel is {driver}, and its library `{found[0]}` is {versions[found[0]]}",
        "The driver was updated while it ran: restart the machine"
        if not machine.in_container
        else "The host's driver was updated: start the container again",
    )


def _library_hint(machine: _Machine) -> str:
    if machine.in_container:
        return "Start the container with `--gpus all` and `-e NVIDIA_DRIVER_CAPABILITIES=compute,utility`"
    return (
        "Install the driver's libraries: `sudo apt install libcuda1` (Debian), `sudo ubuntu-drivers install` (Ubuntu)"
    )


def _libraries(machine: _Machine) -> Iterator[Path]:
    """Yield where `libcuda.so.1` is, in the order in which a program would find it."""
    home = machine.variables.get("HOME", "")
    for folder in machine.variables.get("LD_LIBRARY_PATH", "").split(":"):
        if folder.startswith("/") and folder.rstrip("/") not in ("", home.rstrip("/")):
            yield from _library_in(machine, folder)
    yield from _cached_libraries(machine)
    for pattern in (
        *_LOADER_FOLDERS,
        *(f"{pattern}/nvidia/current" for pattern in _LOADER_FOLDERS[:1]),
        *_KNOWN_FOLDERS,
    ):
        for place in machine.paths(pattern):
            yield from _library_in(machine, str(place))


def _library_in(machine: _Machine, folder: str) -> Iterator[Path]:
    path = Path(folder, LIBRARY)
    if "i386" not in folder and machine.there(path):
        yield path


def _cached_libraries(machine: _Machine) -> list[Path]:
    """Return what the loader's cache knows; it holds paths as strings that end in a zero byte."""
    pattern = rb"(/[^\0]*/" + re.escape(LIBRARY.encode()) + rb")\0"
    found = [Path(os.fsdecode(path)) for path in re.findall(pattern, machine.data("/etc/ld.so.cache") + b"\0")]
    return [path for path in found if "i386" not in str(path) and machine.there(path)]


def _library_version(machine: _Machine, library: Path) -> str | None:
    match = re.search(r"\.so\.(\d{2,}\.\d[\d.]*)$", machine.real(library).name)
    return match[1] if match else None


def _library_folders(machine: _Machine, folder: Path) -> tuple[Path, ...]:
    """Return the folders to show so that the libraries of `folder` can be read: where they stand and where links lead."""
    wanted = [folder]
    for path in machine.paths(f"{folder}/lib*.so*"):
        real = machine.real(path)
        # Nix links each library into a folder of its own, with dependencies in others.
        wanted.append(Path("/nix/store") if real.is_relative_to("/nix/store") else real.parent)
    if folder.is_relative_to("/run/opengl-driver"):
        wanted.append(Path("/run/opengl-driver"))
    return tuple(path for path in dict.fromkeys(wanted) if not _is_visible(path) and machine.there(path))


def _is_visible(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _VISIBLE)


def _program_folders(machine: _Machine, library_folder: Path) -> tuple[Path, ...]:
    usual = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    if any(machine.there(Path(folder, "nvidia-smi")) for folder in usual):
        return ()
    candidates = (
        library_folder,
        library_folder.parent / "bin",
        Path("/usr/local/nvidia/bin"),
        Path("/run/current-system/sw/bin"),
    )
    return tuple(folder for folder in candidates if machine.there(folder / "nvidia-smi"))[:1]


def _variables(machine: _Machine, library: Path) -> dict[str, str]:
    variables = {name: machine.variables[name] for name in _PASSED_ON if name in machine.variables}
    usual = {folder for pattern in _LOADER_FOLDERS for folder in machine.paths(pattern)}
    if library.parent not in usual and library not in _cached_libraries(machine):
        variables["LD_LIBRARY_PATH"] = str(library.parent)
    return variables


def _nvidia_names(machine: _Machine, cards: list[Path]) -> tuple[str, ...]:
    numbers = {path.name.removeprefix("nvidia") for path in cards}
    names = []
    for path in machine.paths("/proc/driver/nvidia/gpus/*/information"):
        told = dict(re.findall(r"^([\w ]+):\s*(.*?)\s*$", machine.text(str(path)), re.MULTILINE))
        # A container sees the whole list and has some of the nodes.
        if "Model" in told and told.get("Device Minor", "0") in numbers:
            names.append(told["Model"])
    return tuple(names) or tuple("NVIDIA GPU" for _ in cards)


def _instances(machine: _Machine) -> list[Path]:
    """Return the nodes of MIG instances; never those that let their holder change or watch the instances of others."""
    lines = re.findall(r"^(\S+) (\d+)$", machine.text("/proc/driver/nvidia-caps/mig-minors"), re.MULTILINE)
    forbidden = {number for name, number in lines if not name.startswith("gpu")} | {"1", "2"}
    nodes = machine.paths("/dev/nvidia-caps/nvidia-cap[0-9]*")
    return [path for path in nodes if path.name.removeprefix("nvidia-cap") not in forbidden and machine.may_use(path)]


# WSL2


def _wsl(machine: _Machine) -> Gpu | None:
    node = Path("/dev/dxg")
    if not machine.there(node):
        return None
    found = [path for path in dict.fromkeys(_libraries(machine)) if machine.there(path)]
    if not found:
        raise _broken(
            f"`/dev/dxg` of WSL2 is there, and no `{LIBRARY}`",
            "Install NVIDIA's driver in Windows, then `wsl --shutdown`; nothing is to be installed in WSL itself",
        )
    if not machine.may_use(node):
        raise _broken("you may not open `/dev/dxg`", _rights_hint(machine, "video"))
    # A driver that was installed inside WSL hides the one that works there.
    library = next((path for path in found if path.is_relative_to("/usr/lib/wsl")), found[0])
    shown = tuple(path for path in (Path("/usr/lib/wsl"),) if machine.there(path))
    return Gpu(
        kind="wsl",
        names=(),
        driver=None,
        devices=(node,),
        folders=(*shown, *_library_folders(machine, library.parent)),
        programs=_program_folders(machine, library.parent),
        variables=_variables(machine, library),
    )


# AMD


def _amd(machine: _Machine) -> Gpu | None:
    node = Path("/dev/kfd")
    nodes = _render_nodes(machine, _AMD)
    if not machine.there(node) or not nodes:
        return None
    for path in (node, *nodes[:1]):
        if not machine.may_use(path):
            raise _broken(f"you may not open `{path}`", _rights_hint(machine, "render,video"))
    names = tuple(
        machine.text(f"/sys/class/drm/{path.name}/device/product_name").strip() or "AMD GPU" for path in nodes
    )
    version = machine.text("/sys/module/amdgpu/version").strip() or None
    variables = {name: machine.variables[name] for name in _PASSED_ON if name in machine.variables}
    return Gpu(
        kind="amd",
        names=names,
        driver=version,
        devices=(node, *nodes),
        folders=(*machine.paths("/opt/rocm*"), *_hardware(machine, _AMD)),
        variables=variables,
    )


# hardware


def _cards(machine: _Machine, vendor: str) -> list[Path]:
    """Return the folders of a maker's graphics cards below `/sys/bus/pci/devices`."""
    found = machine.paths("/sys/bus/pci/devices/*")
    return [
        path
        for path in found
        if machine.text(f"{path}/vendor").strip() == vendor
        and machine.text(f"{path}/class").strip().startswith(("0x03", "0x12"))
    ]


def _render_nodes(machine: _Machine, vendor: str) -> list[Path]:
    """Return a maker's render nodes; one whose maker the kernel does not tell is taken for that maker's."""
    nodes = machine.paths("/dev/dri/renderD[0-9]*")
    return [path for path in nodes if machine.text(f"/sys/class/drm/{path.name}/device/vendor").strip() in ("", vendor)]


def _hardware(machine: _Machine, vendor: str) -> tuple[Path, ...]:
    roots = (_bus_root(machine.real(path)) for path in _cards(machine, vendor))
    wanted: Iterable[Path] = (*map(Path, _HARDWARE), *(root for root in roots if root is not None))
    return tuple(path for path in dict.fromkeys(wanted) if machine.there(path))


def _bus_root(device: Path) -> Path | None:
    """Return the root of the bus that a device hangs at: `/sys/devices/pci0000:00`."""
    return Path(*device.parts[:4]) if device.is_relative_to("/sys/devices") and len(device.parts) > 4 else None


def _without_driver(machine: _Machine) -> GpuSearch:
    """Return that there is no GPU, or a card that no driver serves."""
    if _cards(machine, _NVIDIA):
        if machine.in_container:
            return GpuSearch(
                None, "the host has an NVIDIA card, and this container was not given it", _nodes_hint(machine)
            )
        hint = "Install NVIDIA's driver (Ubuntu: `sudo ubuntu-drivers install`; Debian: `sudo apt install nvidia-driver`), then restart"
        return GpuSearch(None, "an NVIDIA card is there, and its driver is not loaded", hint)
    if _cards(machine, _AMD):
        hint = "Load the driver: `sudo modprobe amdgpu`; ROCm's installation guide lists the cards that it serves"
        if machine.in_container:
            hint = "Start the container with `--device /dev/kfd --device /dev/dri`"
        return GpuSearch(None, "an AMD card is there, and no `/dev/kfd` for computing with it", hint)
    return GpuSearch()
