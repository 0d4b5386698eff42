"""The machine itself: its system, clock, language, memory, processors and GPU."""

from __future__ import annotations

import contextlib
import locale
import os
import platform
import re
import sys
import time
from pathlib import Path

from kanoe import __version__
from kanoe.base.diagnostics import Severity
from kanoe.base.sizes import show_size
from kanoe.sandbox.gpu import ask_driver, look_for_gpu
from kanoe.sandbox.limits import machine_memory
from kanoe.verbs.checkup import Finding
from kanoe.verbs.health.trials import install_command, trouble

_SMALL = 2 << 30  # bytes: pandas, a plot and a kernel, and nothing of a data set
_ZONES = ("/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo")


def look_at_kanoe() -> Finding:
    """Tell which Kanoe this is."""
    return Finding("Kanoe", f"{__version__}, Python {platform.python_version()}, {sys.prefix}")


def look_at_platform() -> Finding:
    """Tell which system this is; Kanoe runs on Linux and on WSL2, which is one."""
    kernel, machine = platform.release(), platform.machine()
    if sys.platform != "linux":
        message = f"{platform.system()} {kernel}: notebooks run on Linux and WSL2 only"
        return trouble("system", "platform-foreign", message, "Run Kanoe in a Linux container", Severity.ERROR)
    wsl = "microsoft" in kernel.lower()
    if wsl and "wsl2" not in kernel.lower() and kernel.startswith("4.4."):
        hint = "In Windows: `wsl --set-version DISTRIBUTION 2`"
        return trouble(
            "system", "platform-foreign", f"WSL1 ({kernel}) has no namespaces of its own", hint, Severity.ERROR
        )
    place = "WSL2" if wsl else "in a container" if _in_container() else ""
    name = (
        platform.freedesktop_os_release().get("PRETTY_NAME", "Linux") if Path("/etc/os-release").exists() else "Linux"
    )
    text = ", ".join(part for part in (name, f"kernel {kernel}", machine, place) if part)
    if platform.libc_ver()[0] != "glibc":
        message = f"{text}: most releases have no ready files for its C library, and Kaggle's have glibc"
        return trouble("system", "platform-foreign", message, "Use a distribution with glibc, such as Debian or Ubuntu")
    return Finding("system", text)


def _in_container() -> bool:
    return any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))) or "KUBERNETES_SERVICE_HOST" in os.environ


def look_at_clock() -> Finding:
    """Tell the time and the zone; a clock before Kanoe's own files, or a zone that nobody knows, is wrong."""
    newest = max(Path(__file__).stat().st_mtime, Path(sys.executable).stat().st_mtime)
    now = time.strftime("%Y-%m-%d %H:%M %Z")
    if time.time() < newest - 86_400:
        message = f"{now}, which is before this Kanoe was installed: certificates and `--as-of` go wrong"
        return trouble(
            "clock", "clock-odd", message, "Set it: `sudo timedatectl set-ntp true`; in WSL `sudo hwclock -s`"
        )
    zone = os.environ.get("TZ", "").removeprefix(":")
    if re.match(r"[A-Za-z]+/", zone) and not any(Path(folder, zone).exists() for folder in _ZONES):
        message = f"{now}; nobody here knows the time zone `TZ={zone}`, so it is UTC"
        return trouble("clock", "clock-odd", message, f"{install_command('tzdata')}, or `unset TZ`")
    return Finding("clock", f"{now}; a notebook has UTC, as on Kaggle")


def look_at_language() -> Finding:
    """Tell the encoding of texts; a notebook has C.UTF-8 whatever it is."""
    names = [name for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)]
    told = f"{names[0]}={os.environ[names[0]]}" if names else "none set"
    encoding = locale.getencoding()
    if encoding.upper().replace("-", "") != "UTF8":
        message = f"{told}, whose encoding is {encoding}: names of files and texts may come out wrong"
        return trouble("language", "locale-odd", message, "`export LC_ALL=C.UTF-8`")
    try:
        locale.setlocale(locale.LC_CTYPE)
    except locale.Error:
        return trouble("language", "locale-odd", f"{told} is not known here", "`export LC_ALL=C.UTF-8`")
    return Finding("language", f"{told}, {encoding}")


def look_at_memory() -> Finding:
    """Tell how much memory a run can have; less than the machine's where a container says so."""
    told: dict[str, str] = dict(re.findall(r"^(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    machine, free = int(told["MemTotal"]) * 1024, int(told.get("MemAvailable") or told["MemFree"]) * 1024
    ours = machine_memory()
    text = f"{show_size(ours)}, {show_size(min(free, ours))} free"
    if ours < machine * 0.99:
        text += f", of the machine's {show_size(machine)}"
    swap = int(told.get("SwapTotal", "0")) * 1024
    text += f", swap {show_size(swap)}" if swap else ", no swap"
    if ours < _SMALL:
        hint = "Give the machine or container more, or run small notebooks; of WSL: `memory=` in `.wslconfig`"
        return trouble("memory", "memory-small", f"{text}: too little for most notebooks", hint)
    return Finding("memory", text)


def look_at_processors() -> Finding:
    """Tell how many processors a run can have; fewer than the machine's where a container or `taskset` says so."""
    allowed, machine = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    text = str(allowed) if allowed == machine else f"{allowed} of the machine's {machine}"
    quota = _quota()
    if quota is not None and quota < allowed:
        text += f", of whose time {quota:.1f} processors' worth (a container's limit)"
    return Finding("processors", text)


def _quota() -> float | None:
    """Return the processors' worth of time that control groups leave to this process."""
    for name, period in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with contextlib.suppress(OSError, ValueError):
            words = Path("/sys/fs/cgroup", name).read_text().split()
            if period is not None:
                words += Path("/sys/fs/cgroup", period).read_text().split()
            if int(words[0]) > 0:
                return int(words[0]) / int(words[1])
    return None


def look_at_gpu() -> Finding:
    """Tell which GPU a run with `--gpu` would have."""
    found = look_for_gpu()
    if found.gpu is None:
        if found.trouble is None:
            return Finding("GPU", "none")
        return trouble("GPU", "gpu-missing", found.trouble, found.hint)
    facts = ask_driver(found.gpu)
    names = facts.cards or found.gpu.names or ("NVIDIA GPU",)
    driver = f", driver {facts.driver}" if facts.driver else ""
    cuda = f", CUDA up to {facts.cuda}" if facts.cuda else ""
    return Finding("GPU", f"{'; '.join(names)}{driver}{cuda}: for runs with `--gpu`")
