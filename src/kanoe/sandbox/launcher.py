"""Builds walls of Linux namespaces around a program, where bubblewrap does not; a program of the standard library alone.

It understands the options of bubblewrap that Kanoe uses, and builds the same. Without any `--unshare-...` it starts the program plainly:
without new privileges, and ended when its parent ends. See bwrap(1), namespaces(7), pivot_root(2), mount_setattr(2), capabilities(7).
"""

# `pathlib` would double the time of a start.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH120, PTH211

from __future__ import annotations

import ctypes
import errno
import os
import sys

TYPE_CHECKING = False  # `typing`, `dataclasses` and `signal` would take half the time of a start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

_NAMESPACES = {
    "--unshare-user": 0x10000000,
    "--unshare-pid": 0x20000000,
    "--unshare-ipc": 0x08000000,
    "--unshare-uts": 0x04000000,
    "--unshare-cgroup-try": 0x02000000,
    "--unshare-net": 0x40000000,
}
_NEW_MOUNTS = 0x00020000
_USER_AND_PIDS = _NAMESPACES["--unshare-user"] | _NAMESPACES["--unshare-pid"]
_NET = _NAMESPACES["--unshare-net"]
# Option: how many words follow it.
_FLAGS = {**dict.fromkeys(_NAMESPACES, 0), "--die-with-parent": 0, "--new-session": 0, "--clearenv": 0}
_SETTINGS = {
    **dict.fromkeys(
        ("--uid", "--gid", "--cap-drop", "--hostname", "--chdir", "--info-fd", "--block-fd", "--seccomp"), 1
    ),
    "--setenv": 2,
}
_QUALIFIERS = {"--size": 1, "--perms": 1}
_MOUNTS = {
    **dict.fromkeys(("--bind", "--ro-bind", "--ro-bind-try", "--dev-bind", "--symlink"), 2),
    **dict.fromkeys(("--tmpfs", "--proc", "--dev", "--remount-ro"), 1),
}
_WORDS = {**_FLAGS, **_SETTINGS, **_QUALIFIERS, **_MOUNTS}

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_SLAVE = 2, 4, 8, 4096, 16384, 1 << 19
_DETACH = 2
_RDONLY, _NOSUID, _NODEV = 1, 2, 4  # MOUNT_ATTR_*
_RECURSIVE, _EMPTY_PATH, _CURRENT_FOLDER = 0x8000, 0x1000, -100
_MOUNT_SETATTR = 442  # on every machine
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_PR_DEATH_SIGNAL, _PR_SECCOMP, _PR_BOUNDING_DROP, _PR_NO_NEW_PRIVILEGES, _PR_AMBIENT = 1, 22, 24, 38, 47
_SIGINT, _SIGKILL, _SIGPIPE, _SIGXFSZ = 2, 9, 13, 25  # on every machine but mips, parisc and sparc
_OLD, _NEW = "/oldroot", "/newroot"
_STAGE = "/tmp"  # noqa: S108 - hidden by a file system of our own before anything is made in it

_libc = ctypes.CDLL(None, use_errno=True)


class Plan:
    """What the options say."""

    def __init__(self) -> None:
        self.namespaces = 0
        self.flags: set[str] = set()
        self.settings: dict[str, str] = {}
        self.mounts: list[tuple[str, list[str], dict[str, str]]] = []
        self.variables = dict(os.environ)
        self.command: list[str] = []

    def descriptor(self, option: str) -> int | None:
        """Return the descriptor that an option names."""
        return int(self.settings[option]) if option in self.settings else None


def main(words: list[str]) -> NoReturn:
    """Start the program that the words name; end as it ends, a signal told as a shell does."""
    try:
        plan = parse(words)
        if "--die-with-parent" in plan.flags:
            _die_with_parent()
        if plan.namespaces:
            _enclose(plan)
        _tell(plan, os.getpid())
        _wait_for_release(plan)
        _control(_PR_NO_NEW_PRIVILEGES, 1)
        _execute(plan)
    except OSError as cause:
        where = f" {cause.filename!r}" if cause.filename else ""
        os.write(2, f"launcher: {cause.strerror}{where}\n".encode(errors="replace"))
        os._exit(1)


def parse(words: list[str]) -> Plan:
    """Return what the options say.

    Raises:
        SystemExit: one is not known.
    """
    plan = Plan()
    qualifiers: dict[str, str] = {}
    rest = list(_expand(words))
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option == "--":
            break
        if option not in _WORDS:
            sys.exit(f"launcher: unknown option {option}")
        values, rest = rest[: _WORDS[option]], rest[_WORDS[option] :]
        if option in _QUALIFIERS:
            qualifiers[option] = values[0]
        elif option in _MOUNTS:
            plan.mounts.append((option, values, qualifiers))
            qualifiers = {}
        else:
            _set(plan, option, values)
    plan.command = rest
    return plan


def _expand(words: list[str]) -> Iterator[str]:
    """Yield the words, in the place of `--args FD` those that can be read there."""
    rest = iter(words)
    for word in rest:
        if word == "--args":
            with os.fdopen(int(next(rest)), "rb") as file:
                yield from (os.fsdecode(part) for part in file.read().split(b"\0")[:-1])
            continue
        yield word
        if word == "--":
            break
    yield from rest


def _set(plan: Plan, option: str, values: list[str]) -> None:
    if option in _NAMESPACES:
        plan.namespaces |= _NAMESPACES[option]
    elif option == "--clearenv":
        plan.variables = {}
    elif option == "--setenv":
        plan.variables[values[0]] = values[1]
    elif values:
        plan.settings[option] = values[0]
    else:
        plan.flags.add(option)


# The first process of the namespaces, and the one outside that waits for it


def _enclose(plan: Plan) -> NoReturn:
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(plan.namespaces & _USER_AND_PIDS))
    if plan.namespaces & _NAMESPACES["--unshare-user"]:
        # A group may be mapped without privilege only where groups cannot be given up.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{plan.settings.get('--uid', user)} {user} 1")
        _write("/proc/self/gid_map", f"{plan.settings.get('--gid', group)} {group} 1")
    alive, life = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(life)
        _die_with_parent()
        if _has_ended(alive):
            os._exit(1)
        os.close(alive)
        _first(plan)
    os.close(alive)
    _tell(plan, child)
    for option in ("--block-fd", "--seccomp"):
        _close(plan.descriptor(option))
    _drop_capabilities()
    os._exit(_status(os.waitpid(child, 0)[1]))


def _has_ended(alive: int) -> bool:
    os.set_blocking(alive, False)
    try:
        return os.read(alive, 1) == b""
    except BlockingIOError:
        return False


def _first(plan: Plan) -> NoReturn:
    """Build the walls, start the program, and reap what is left over until it ends."""
    try:
        _close(plan.descriptor("--info-fd"))
        if "--new-session" in plan.flags:
            os.setsid()
        _check(_libc.unshare(_NEW_MOUNTS | (plan.namespaces & ~_USER_AND_PIDS)))
        if plan.namespaces & _NET:
            _raise_loopback()
        if "--hostname" in plan.settings:
            name = plan.settings["--hostname"].encode()
            _check(_libc.sethostname(name, len(name)))
        _build(plan)
        rules = _read_rules(plan.descriptor("--seccomp"))
        _drop_capabilities()
        _control(_PR_NO_NEW_PRIVILEGES, 1)
        _wait_for_release(plan)
        _apply_rules(rules)
        # The first process of a namespace is deaf to every signal from inside that it does not handle.
        _libc.signal(_SIGINT, None)
        program = os.fork()
        if program == 0:
            _execute(plan)
        _reap(program)
    except OSError as cause:
        where = f" {cause.filename}" if cause.filename else ""
        os.write(2, f"launcher: {cause.strerror}{where}\n".encode(errors="replace"))
    os._exit(1)


def _reap(program: int) -> NoReturn:
    while True:
        pid, status = os.wait()
        if pid == program:
            os._exit(_status(status))


def _status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _execute(plan: Plan) -> NoReturn:
    # Python ignores these, and what is ignored stays so in what it starts.
    for number in (_SIGPIPE, _SIGXFSZ):
        _libc.signal(number, None)
    try:
        os.chdir(plan.settings.get("--chdir", "/"))
        os.execve(_find(plan.command[0], plan.variables), plan.command, plan.variables)  # noqa: S606 - as it is told
    except OSError as cause:
        os.write(2, f"launcher: {plan.command[0]}: {cause.strerror}\n".encode(errors="replace"))
    os._exit(127)


def _find(program: str, variables: dict[str, str]) -> str:
    """Return where a program lies; `os.execvpe` would load modules that are not there any more."""
    places = variables.get("PATH", "/usr/bin:/bin").split(":") if "/" not in program else []
    return next((path for place in places if os.access(path := f"{place}/{program}", os.X_OK)), program)


def _tell(plan: Plan, pid: int) -> None:
    """Say which process is the first inside."""
    descriptor = plan.descriptor("--info-fd")
    if descriptor is not None:
        os.write(descriptor, b'{"child-pid": %d}' % pid)
    _close(descriptor)


def _wait_for_release(plan: Plan) -> None:
    descriptor = plan.descriptor("--block-fd")
    # The end of the file without a word: who should have said it has died.
    if descriptor is not None and not os.read(descriptor, 1):
        os._exit(1)
    _close(descriptor)


# What the program sees


def _build(plan: Plan) -> None:
    """Make the file system that the mounts say, and leave the host's."""
    # Links are those of the host only as long as we are there.
    mounts = [
        (option, [os.path.realpath(values[0]) if "bind" in option else values[0], *values[1:]], qualifiers)
        for option, values, qualifiers in plan.mounts
    ]
    _mount(None, "/", None, _MS_SLAVE | _MS_REC)
    _mount("tmpfs", _STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    for name in (_OLD, _NEW):
        os.mkdir(_STAGE + name)
    _mount("tmpfs", _STAGE + _NEW, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")
    _pivot(_STAGE, _STAGE + _OLD)
    os.chdir("/")
    os.umask(0)
    for option, values, qualifiers in mounts:
        _OPERATIONS[option](values, qualifiers)
    os.umask(0o022)
    _check(_libc.umount2(_OLD.encode(), _DETACH), _OLD)
    os.chdir(_NEW)
    _pivot(".", ".")
    _check(_libc.umount2(b".", _DETACH), "/")
    os.chdir("/")


def _bind(values: list[str], attributes: int, optional: bool = False) -> None:
    source, target = _OLD + values[0], _NEW + values[1]
    if not os.path.exists(source):
        if optional:
            return
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), values[0])
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _mount(source, target, None, _MS_BIND | _MS_REC)
    _restrict(target, attributes, recursive=True)


def _tmpfs(values: list[str], qualifiers: dict[str, str]) -> None:
    target = _NEW + values[0]
    os.makedirs(target, 0o755, exist_ok=True)
    size = f",size={qualifiers['--size']}" if "--size" in qualifiers else ""
    _mount("tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, f"mode={qualifiers.get('--perms', '0755')}{size}")


def _proc(values: list[str], _qualifiers: dict[str, str]) -> None:
    target = _NEW + values[0]
    os.makedirs(target, 0o755, exist_ok=True)
    _mount("proc", target, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _dev(values: list[str], _qualifiers: dict[str, str]) -> None:
    target = values[0]
    _tmpfs([target], {})
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        _bind([f"/dev/{name}", f"{target}/{name}"], _NOSUID)
    links = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
    for name, descriptor in links.items():
        os.symlink(f"/proc/self/fd{descriptor}", f"{_NEW}{target}/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"{_NEW}{target}/{name}", 0o755)
    _mount("devpts", f"{_NEW}{target}/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", f"{_NEW}{target}/ptmx")


def _symlink(values: list[str], _qualifiers: dict[str, str]) -> None:
    target = _NEW + values[1]
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    os.symlink(values[0], target)


_OPERATIONS: dict[str, Callable[[list[str], dict[str, str]], None]] = {
    "--bind": lambda values, _: _bind(values, _NOSUID | _NODEV),
    "--ro-bind": lambda values, _: _bind(values, _RDONLY | _NOSUID | _NODEV),
    "--ro-bind-try": lambda values, _: _bind(values, _RDONLY | _NOSUID | _NODEV, optional=True),
    "--dev-bind": lambda values, _: _bind(values, _NOSUID),
    "--remount-ro": lambda values, _: _restrict(_NEW + values[0], _RDONLY, recursive=False),
    "--tmpfs": _tmpfs,
    "--proc": _proc,
    "--dev": _dev,
    "--symlink": _symlink,
}


def _raise_loopback() -> None:
    import fcntl  # noqa: PLC0415 - a plain start needs neither
    import socket  # noqa: PLC0415
    import struct  # noqa: PLC0415

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        # SIOCSIFFLAGS with IFF_UP, netdevice(7)
        fcntl.ioctl(talk, 0x8914, struct.pack("16sH14x8x", b"lo", 1))


# The kernel's calls


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def _check(result: int, place: str | None = None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), place)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _check(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() or None), target)


def _restrict(target: str, attributes: int, *, recursive: bool) -> None:
    """Forbid more on a mount, and on those below it."""
    wanted = _Attributes(attributes, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(_CURRENT_FOLDER),
        os.fsencode(target),
        ctypes.c_uint(_RECURSIVE if recursive else 0),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _check(result, target)


def _pivot(new: str, old: str) -> None:
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of pivot_root on {os.uname().machine} is not known here")
    _check(_libc.syscall(ctypes.c_long(number), os.fsencode(new), os.fsencode(old)), new)


def _control(*numbers: int) -> None:
    _check(_libc.prctl(*(ctypes.c_ulong(number) for number in (*numbers, 0, 0, 0, 0)[:5])))


def _die_with_parent() -> None:
    if sys.platform == "linux":
        _control(_PR_DEATH_SIGNAL, _SIGKILL)


def _drop_capabilities() -> None:
    """Give up all of them, for good: also what the start of a program would bring back."""
    for number in range(64):
        try:
            _control(_PR_BOUNDING_DROP, number)
        except OSError as cause:
            if cause.errno == errno.EINVAL:
                break
            raise
    _control(_PR_AMBIENT, 4)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_libc.capset(ctypes.byref(_Header(0x20080522, 0)), nothing))


def _read_rules(descriptor: int | None) -> bytes:
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _apply_rules(rules: bytes) -> None:
    if rules:
        content = ctypes.create_string_buffer(rules, len(rules))
        program = _Program(len(rules) // 8, ctypes.addressof(content))
        _check(_libc.prctl(_PR_SECCOMP, ctypes.c_ulong(2), ctypes.byref(program)))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


if __name__ == "__main__":
    main(sys.argv[1:])
