"""Where Kanoe writes on this machine: the store, temporary files, the home folder; and what earlier runs left."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kanoe.base.diagnostics import Diagnostic, Severity, error, info, warning
from kanoe.base.files import exclusive
from kanoe.base.sizes import show_size
from kanoe.store.alive import dead, lives
from kanoe.store.home import VERSION, Store
from kanoe.store.records import Records
from kanoe.verbs.checkup import Finding
from kanoe.verbs.health.programs import uv_cache
from kanoe.verbs.health.trials import trouble

_LITTLE = 5 << 30  # bytes: an environment with one of the large libraries
_FEW_INODES = 50_000
_COUNTING_SECONDS = 0.5
_NETWORK = re.compile(r"nfs|cifs|smb|sshfs|9p|drvfs|afs|ceph|gluster|lustre|beegfs|davfs")
_LONGEST_SOCKET_FOLDER = 60


# the store


def look_at_store(store: Store) -> Finding:
    """Tell where the store is, whether it can be written, how large it is."""
    path = store.path
    problem = _not_writable(path)
    if problem is not None:
        hint = "Set `KANOE_HOME` to a folder that you can write: `export KANOE_HOME=~/kanoe`"
        return trouble("store", "store-unusable", f"{path} cannot be written: {problem}", hint, Severity.ERROR)
    # Who is shut out of new files cannot try anything with them.
    diagnostics = tuple(_umask_oddities()) or tuple(_file_system_oddities(path))
    size = _size_text(path)
    version = f"version {VERSION}"
    told = "; ".join(diagnostic.message for diagnostic in diagnostics)
    return Finding("store", f"{path}, {size}, {version}" + (f"; {told}" if told else ""), diagnostics)


def _not_writable(path: Path) -> str | None:
    """Return why nothing can be written to a folder, or to the nearest one above that is there."""
    place = next((one for one in (path, *path.parents) if os.path.lexists(one)), Path("/"))
    if not place.is_dir():
        return f"`{place}` is no folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as problem:
        return problem.strerror or str(problem)


def _size_text(path: Path) -> str:
    """Return how large a folder is, or at least how large, where counting takes long."""
    if not path.is_dir():
        return "not made yet"
    total, whole = 0, True
    deadline = time.monotonic() + _COUNTING_SECONDS
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - a Path per file doubles the cost
        if time.monotonic() > deadline:
            whole = False
            break
    return show_size(total) if whole else f"more than {show_size(total)} (`kanoe store size` counts all)"


def _umask_oddities() -> Iterator[Diagnostic]:
    """Yield what is odd about the modes of new files; asked of the kernel, since setting it is the only other way to ask."""
    found = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    mask = int(found[1], 8) if found else 0o022
    if mask & 0o700:
        yield error("umask-odd", f"the umask {mask:04o} shuts you out of your own new files", hint="`umask 022`")
    elif not mask & 0o002:
        yield warning("umask-odd", f"the umask {mask:04o} lets anybody change new files", hint="`umask 022`")


def _file_system_oddities(path: Path) -> Iterator[Diagnostic]:
    """Yield what the file system of a folder lacks, tried in a folder of its own."""
    kind = _file_system(path)
    elsewhere = "Put the store on a disk of this machine: `export KANOE_HOME=/a/local/folder`"
    if _NETWORK.search(kind):
        yield warning(
            "file-system-odd",
            f"it lies on the file system of a network or of Windows ({kind}): slow, and locks may not hold",
            hint=elsewhere,
        )
    place = next(one for one in (path, *path.parents) if one.is_dir())
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        message = "its file system lets no programs run (noexec), and environments are programs"
        yield error("file-system-odd", message, hint=elsewhere)
    with tempfile.TemporaryDirectory(prefix=".kanoe-trial-", dir=place) as name:
        folder = Path(name)
        (folder / "a").write_text("")
        if (folder / "A").exists():
            message = "its file system takes `a` and `A` for one name, and some libraries have both"
            yield warning("file-system-odd", message, hint=elsewhere)
        trials: tuple[tuple[str, Callable[[Path], None]], ...] = (
            ("symbolic links", lambda path: path.symlink_to("a")),
            ("hard links", lambda path: path.hardlink_to(path.parent / "a")),
            ("locks (flock)", _lock),
        )
        for number, (what, trial) in enumerate(trials):
            try:
                trial(folder / str(number))
            except OSError:
                severity = Severity.WARNING if what == "hard links" else Severity.ERROR
                yield Diagnostic("file-system-odd", severity, f"its file system has no {what}", None, elsewhere)


def _lock(path: Path) -> None:
    with exclusive(path, waiting=None):
        pass


def _file_system(path: Path) -> str:
    """Return the kind of file system that a path lies on: of the mounts above it the nearest, of those there the last."""
    real = os.path.realpath(path)
    best, kind = "", "unknown"
    with contextlib.suppress(OSError, IndexError):
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), before.split(" ")[4])
            if Path(real).is_relative_to(point) and len(point) >= len(best):
                best, kind = point, after.split(" ")[0]
    return kind


# disks


def look_at_disks(store: Store) -> Finding:
    """Tell how much room there is where Kanoe writes."""
    places = [("the store", store.path), ("temporary files", Path(_temporary_folder()))]
    cache = uv_cache()
    if cache is not None:
        places.append(("uv's cache", cache))
    by_device: dict[int, tuple[list[str], Path]] = {}
    for name, path in places:
        there = next(one for one in (path, *path.parents) if one.exists())
        by_device.setdefault(there.stat().st_dev, ([], there))[0].append(name)
    told, diagnostics = [], []
    for names, path in by_device.values():
        free = shutil.disk_usage(path).free
        inodes = os.statvfs(path)
        told.append(f"{show_size(free)} free for {', '.join(names)}")
        if free < _LITTLE:
            diagnostics.append(_low(f"only {show_size(free)} are free for {', '.join(names)} (`{path}`)", names))
        elif inodes.f_files and inodes.f_favail < _FEW_INODES:
            diagnostics.append(
                _low(f"only {inodes.f_favail:,} more files fit for {', '.join(names)} (`{path}`)", names)
            )
    return Finding("disks", "; ".join(told), tuple(diagnostics))


def _low(message: str, names: list[str]) -> Diagnostic:
    ways = {
        "the store": "`kanoe store clean`",
        "uv's cache": "`uv cache prune`",
        "temporary files": "`export TMPDIR=` a folder on another disk",
    }
    return warning("disk-low", message, hint="; ".join(ways[name] for name in names))


# temporary files, home


def _temporary_folder() -> str:
    """Return the folder for temporary files; `/tmp` where none can be written."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp"  # noqa: S108 - only looked at


def look_at_temporary_files() -> Finding:
    """Tell where temporary files go, and whether programs can run there: builds of old releases and some libraries do so."""
    name = "temporary"
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        hint = "Make one that you can write: `mkdir -p ~/tmp && export TMPDIR=~/tmp`"
        return trouble(name, "temporary-odd", "no folder for temporary files can be written", hint, Severity.ERROR)
    wanted = os.environ.get("TMPDIR")
    if wanted and os.path.realpath(wanted) != os.path.realpath(folder):
        why = "is not there" if not Path(wanted).exists() else "cannot be written"
        message = f"`TMPDIR` names {wanted}, which {why}; {folder} is taken"
        return trouble(name, "temporary-odd", message, f"`mkdir -p {wanted}`, or `unset TMPDIR`")
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        message = f"{folder} lets no programs run (noexec): old releases cannot be built there"
        return trouble(name, "temporary-odd", message, "`mkdir -p ~/tmp && export TMPDIR=~/tmp`")
    if len(folder) > _LONGEST_SOCKET_FOLDER:
        return Finding(name, f"{folder}; its name is too long for sockets, which go to /tmp")
    return Finding(name, folder)


def look_at_home() -> Finding:
    """Tell whether there is a home folder: settings of uv, pip and Kaggle are looked for there."""
    given = os.environ.get("HOME")
    try:
        home = Path.home()
    except RuntimeError:
        return trouble(
            "home", "home-missing", "there is no home folder, and none is known of this user", "`export HOME=/a/folder`"
        )
    if not home.is_dir():
        return trouble(
            "home",
            "home-missing",
            f"the home folder {home} is not there",
            f"`mkdir -p {home}`, or `export HOME=/a/folder`",
        )
    if not given:
        return trouble("home", "home-missing", f"`HOME` is not set; {home} is taken", f"`export HOME={home}`")
    if _not_writable(home) is not None:
        remark = info("home-missing", f"{home} cannot be written", hint="`export HOME=/a/folder` if programs complain")
        return Finding("home", f"{home}, which cannot be written", (remark,))
    return Finding("home", str(home))


# runs


def look_at_runs(store: Store) -> Finding:
    """Tell which runs go on, and which died and left something behind."""
    living = [trace.name for trace in lives(store.alive) if trace.kind == "run"]
    left = dead(store.alive)
    unfinished = [record.id for record in Records(store.records).unfinished() if record.id not in living]
    lost = dict.fromkeys([*(trace.name for trace in left), *unfinished])
    told = f"{len(living)} going on" if living else "none going on"
    if not lost:
        return Finding("runs", told)
    names = ", ".join(list(lost)[:3]) + (" …" if len(lost) > 3 else "")
    message = f"{told}; {len(lost)} LOST, whose Kanoe died: {names}"
    return trouble("runs", "runs-left", message, "`kanoe store clean` removes what they left")
