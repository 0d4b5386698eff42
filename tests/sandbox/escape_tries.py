"""What a hostile notebook tries; runs inside the sandbox, with the standard library alone, and prints what became of each try.

A try is a function. It is refused if it raises `OSError` or returns nothing; what it returns is the proof of an escape.
"""

# ruff: noqa: PTH101, PTH103, PTH104, PTH107, PTH110, PTH111, PTH116, PTH118, PTH120, PTH123, T201 - as a notebook would write it

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FACTS: dict[str, Any] = json.loads(os.environ.get("ESCAPE_FACTS", "{}"))
TRIES: dict[str, Callable[[], object]] = {}
LIBC = ctypes.CDLL(None, use_errno=True)
BUFFER = ctypes.create_string_buffer(4096)


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    TRIES[function.__name__] = function
    return function


def call(name: str, *arguments: int | bytes | None) -> str:
    """Make a system call by name."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return raw(FACTS["calls"][name], *words, name=name)


def raw(number: int, *arguments: Any, name: str = "") -> str:
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        # A filter says EPERM or ENOSYS; anything else means that the kernel did look at the arguments.
        if code not in (1, 38) and name in FACTS["calls"]:
            return f"{name or number} was heard: {os.strerror(code)}"
        raise OSError(code, os.strerror(code))
    return f"{name or number} returned {result}"


def any_of(*actions: Callable[[], object]) -> list[str]:
    """Return what of several actions worked."""
    worked = []
    for action in actions:
        with contextlib.suppress(OSError):
            if (proof := action()) is not None:
                worked.append(str(proof))
    return worked


def written(path: str) -> str:
    with open(path, "ab"):
        return f"{path} can be written"


def read(path: str) -> str:
    with open(path, "rb") as file:
        return f"{path}: {file.read(20)!r}"


def writable_below(folder: str) -> list[str]:
    """Return the files below a folder that can be opened for writing; nothing is written."""
    found = []
    for root, folders, names in os.walk(folder):
        if root == "/proc":
            folders[:] = [name for name in folders if not name.isdecimal() and name not in ("self", "thread-self")]
        for name in names:
            with contextlib.suppress(OSError):
                os.close(os.open(os.path.join(root, name), os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
                found.append(os.path.join(root, name))
    return found


# Files of the host


@attempt
def read_shadow() -> object:
    return read("/etc/shadow")


@attempt
def read_the_home() -> object:
    return read(FACTS["in_home"])


@attempt
def read_keys_of_ssh() -> object:
    return os.listdir(os.path.expanduser("~/.ssh"))


@attempt
def read_the_store() -> object:
    return read(FACTS["in_store"])


@attempt
def read_another_run() -> object:
    return read(FACTS["in_other_run"])


@attempt
def see_another_run_from_the_working_folder() -> object:
    return [name for name in os.listdir("..") if name not in ("input", "working", "temp", "lib")]


@attempt
def read_temporary_files_of_the_host() -> object:
    return [name for name in os.listdir("/tmp") if name in FACTS["host_tmp"]]


@attempt
def read_shared_memory_of_the_host() -> object:
    return read(FACTS["in_shm"])


@attempt
def write_programs() -> object:
    return any_of(
        *(lambda folder=folder: written(f"{folder}/kanoe-try") for folder in ("/usr", "/usr/bin", "/bin", "/lib"))
    )


@attempt
def write_configuration() -> object:
    return any_of(*(lambda name=name: written(f"/etc/{name}") for name in ("passwd", "group", "ld.so.cache", "hosts")))


@attempt
def write_the_environment() -> object:
    library = os.path.dirname(os.__file__)
    return any_of(
        lambda: written(f"{sys.prefix}/kanoe-try"),
        lambda: written(f"{library}/os.py"),
        lambda: os.rename(f"{library}/os.py", f"{library}/os2.py") or "renamed",
        lambda: os.chmod(f"{library}/os.py", 0o777) or "mode changed",
    )


@attempt
def write_the_interpreter() -> object:
    return any_of(*(lambda path=path: written(path) for path in (sys.executable, "/proc/self/exe")))


@attempt
def change_the_mode_of_the_interpreter() -> object:
    return os.chmod("/proc/self/exe", 0o777) or "mode changed"


@attempt
def write_input() -> object:
    return any_of(
        lambda: written("/kaggle/input/data/train.csv"),
        lambda: written("/kaggle/input/data/new"),
        lambda: written("/kaggle/input/new"),
        lambda: os.remove("/kaggle/input/data/train.csv") or "removed",
        lambda: os.chmod("/kaggle/input/data/train.csv", 0o777) or "mode changed",
        lambda: os.utime("/kaggle/input/data/train.csv", (0, 0)) or "time changed",
        lambda: os.truncate("/kaggle/input/data/train.csv", 0) or "emptied",
    )


@attempt
def link_files_of_others() -> object:
    return any_of(
        lambda: os.link("/usr/bin/env", "env") or "a program",
        lambda: os.link("/kaggle/input/data/train.csv", "train") or "an input",
    )


@attempt
def leave_a_program_that_runs_as_its_owner() -> object:
    Path("owner").write_text("#!/bin/sh\n")
    return any_of(
        lambda: os.chmod("owner", 0o4755) or "chmod",
        lambda: os.fchmod(os.open("owner", os.O_RDONLY), 0o4755) or "fchmod",
        lambda: os.open("owner2", os.O_CREAT | os.O_WRONLY, 0o4755) and "open",
        lambda: os.mknod("owner3", stat.S_IFREG | 0o4755) or "mknod",
        lambda: raw(452, -100, b"owner", 0o4755, 0),
    ) + [name for name in os.listdir() if os.lstat(name).st_mode & stat.S_ISUID]


# Other processes


@attempt
def see_processes_of_the_host() -> object:
    return [name for name in os.listdir("/proc") if name.isdecimal() and int(name) in FACTS["host_pids"]]


@attempt
def signal_processes_of_the_host() -> object:
    return any_of(*(lambda pid=pid: os.kill(pid, 0) or f"{pid} hears" for pid in FACTS["host_pids"]))


@attempt
def read_processes_of_the_host() -> object:
    names = ("environ", "cwd", "root", "cmdline", "maps", "mem")
    return any_of(
        *(lambda pid=pid, name=name: os.stat(f"/proc/{pid}/{name}") for pid in FACTS["host_pids"] for name in names)
    )


@attempt
def reach_the_host_through_the_first_process() -> object:
    return any_of(
        lambda: os.listdir("/proc/1/root"),
        lambda: os.listdir("/proc/1/cwd"),
        lambda: os.listdir("/proc/1/fd") or None,
        lambda: read("/proc/1/environ"),
        lambda: Path("/proc/1/cmdline").read_bytes() or None,
    )


@attempt
def change_the_program_that_built_the_walls() -> object:
    return any_of(
        lambda: os.chmod("/proc/1/exe", 0o777) or "mode changed",
        lambda: os.open("/proc/1/exe", os.O_PATH) and "opened",
    )


@attempt
def see_variables_of_the_host() -> object:
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdecimal() and FACTS["variable"][::-1].encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(name)
    return found


@attempt
def trace_the_parent() -> object:
    return call("ptrace", 16, os.getppid(), 0, 0)


@attempt
def trace_the_first_process() -> object:
    return call("ptrace", 0x4206, 1, 0, 0)


@attempt
def read_the_memory_of_another_process() -> object:
    return any_of(
        lambda: call("process_vm_readv", os.getppid(), 0, 0, 0, 0, 0),
        lambda: call("process_vm_writev", os.getppid(), 0, 0, 0, 0, 0),
        lambda: read("/proc/1/mem"),
    )


@attempt
def take_a_descriptor_of_another_process() -> object:
    return call("pidfd_getfd", os.pidfd_open(os.getppid()), 0, 0)


@attempt
def compare_with_another_process() -> object:
    return call("kcmp", os.getpid(), os.getppid(), 0, 0, 0)


@attempt
def use_descriptors_that_were_left_open() -> object:
    return [name for name in FACTS["descriptors"] if int(name) > 2]


# Mounts and namespaces


@attempt
def mount_something() -> object:
    return any_of(
        lambda: call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
        lambda: call("mount", b"cgroup", b"/tmp", b"cgroup", 0, None),
        lambda: call("mount", b"proc", b"/tmp", b"proc", 0, None),
    )


@attempt
def mount_a_folder_writable_again() -> object:
    return any_of(
        *(
            lambda place=place: call("mount", None, place, None, 32 | 4096, None)
            for place in (b"/usr", b"/kaggle/input", b"/proc/sys", b"/dev")
        )
    )


@attempt
def take_mounts_away() -> object:
    places = (b"/usr", b"/etc/passwd", b"/proc", b"/proc/sys", b"/proc/1", b"/dev/null", b"/kaggle/working", b"/")
    return any_of(*(lambda place=place: call("umount2", place, 2) for place in places))


@attempt
def mount_by_the_new_calls() -> object:
    return any_of(
        lambda: call("fsopen", b"tmpfs", 0),
        lambda: call("fspick", -100, b"/usr", 0),
        lambda: call("open_tree", -100, b"/usr", 1),
        lambda: call("move_mount", -1, b"", -100, b"/tmp", 4),
        lambda: call("mount_setattr", -100, b"/usr", 0, 0, 0),
        lambda: call("fsmount", -1, 0, 0),
    )


@attempt
def change_the_root() -> object:
    return any_of(lambda: call("pivot_root", b"/tmp", b"/tmp"), lambda: os.chroot("/tmp") or "chroot")


@attempt
def leave_by_dots() -> object:
    os.makedirs("/tmp/deep", exist_ok=True)
    with contextlib.suppress(OSError):
        os.chroot("/tmp/deep")
    for _ in range(50):
        os.chdir("..")
    return [name for name in (FACTS["in_store"], FACTS["in_home"]) if os.path.exists(name.lstrip("/"))]


@attempt
def enter_other_namespaces() -> object:
    kinds = ("mnt", "pid", "net", "user", "ipc", "uts", "cgroup")
    return any_of(
        *(
            lambda path=path: call("setns", os.open(path, os.O_RDONLY), 0)
            for kind in kinds
            for path in (f"/proc/1/ns/{kind}", f"/proc/self/ns/{kind}")
        )
    )


@attempt
def become_root_of_a_new_user_namespace() -> object:
    flags = (0x10000000, 0x10020000, 0x00020000, 0x40000000, 0x20000000, 0x02000000, 0x80)
    return any_of(*(lambda flag=flag: raw(FACTS["unshare"], ctypes.c_long(flag)) for flag in flags))


@attempt
def clone_into_new_namespaces() -> object:
    return any_of(
        lambda: raw(FACTS["clone"], ctypes.c_long(0x10000000 | signal.SIGCHLD), None, None, None, None),
        lambda: call("clone3", 0, 0),
    )


@attempt
def map_other_users() -> object:
    return any_of(lambda: Path("/proc/self/uid_map").write_text("0 0 4294967295") and "mapped")


# Privileges


@attempt
def hold_capabilities() -> object:
    status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
    return [line for line in status.splitlines() if line.startswith("Cap") and int(line.split()[1], 16)]


@attempt
def become_another_user() -> object:
    return any_of(
        *(lambda user=user: os.setresuid(user, user, user) or f"user {user}" for user in (1, 1000, 65534)),
        *(lambda group=group: os.setresgid(group, group, group) or f"group {group}" for group in (1, 42, 1000)),
        lambda: os.setgroups([0, 42]) or "groups",
        lambda: os.chown(".", 1, 1) or "given away",
    )


@attempt
def gain_privileges_by_programs() -> object:
    status = Path("/proc/self/status").read_text()
    found = [] if "NoNewPrivs:\t1" in status else ["privileges may be gained"]
    for command in (
        ["mount", "-t", "tmpfs", "none", "/tmp"],
        ["su", "nobody", "-s", "/bin/sh", "-c", "id"],
        ["sudo", "-n", "id"],
    ):
        with contextlib.suppress(FileNotFoundError):
            done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=False)
            found += [command[0]] if done.returncode == 0 else []
    return found


@attempt
def raise_limits() -> object:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
    return f"{hard} and one more"


@attempt
def run_before_others() -> object:
    return any_of(
        lambda: os.nice(-5),
        lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) or "in real time",
        lambda: Path("/proc/self/oom_score_adj").write_text("-1000"),
    )


# The kernel


@attempt
def set_what_runs_at_a_crash() -> object:
    return written("/proc/sys/kernel/core_pattern")


@attempt
def press_the_magic_key() -> object:
    return written("/proc/sysrq-trigger")


@attempt
def set_anything_of_the_kernel() -> object:
    return writable_below("/proc")


@attempt
def set_anything_of_the_devices() -> object:
    return writable_below("/sys")


@attempt
def have_a_release_agent_run() -> object:
    return [
        os.path.join(root, name)
        for root, _, names in os.walk("/sys")
        for name in names
        if name in ("release_agent", "cgroup.procs")
    ]


@attempt
def read_secrets_of_the_kernel() -> object:
    names = ("kcore", "kmsg", "keys", "kpagecount", "kpageflags", "slabinfo", "vmallocinfo", "timer_list")
    found = []
    for name in names:
        with contextlib.suppress(OSError), open(f"/proc/{name}", "rb", buffering=0) as file:
            os.set_blocking(file.fileno(), False)
            found += [name] if file.read(1) else []
    return found


@attempt
def open_devices_of_the_host() -> object:
    names = (
        "mem",
        "kmem",
        "port",
        "kmsg",
        "sda",
        "vda",
        "nvme0n1",
        "kvm",
        "fuse",
        "loop-control",
        "loop0",
        "console",
        "vsock",
    )
    return any_of(*(lambda name=name: os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK) and name for name in names))


@attempt
def make_devices() -> object:
    return any_of(
        lambda: os.mknod("disk", stat.S_IFBLK | 0o600, FACTS["root_device"]) or "the disk",
        lambda: os.mknod("/dev/disk", stat.S_IFBLK | 0o600, FACTS["root_device"]) or "the disk",
        lambda: os.mknod("memory", stat.S_IFCHR | 0o600, os.makedev(1, 1)) or "the memory",
        lambda: os.mknod("/tmp/memory", stat.S_IFCHR | 0o600, os.makedev(1, 1)) or "the memory",
    )


@attempt
def load_modules() -> object:
    return any_of(
        lambda: call("init_module", BUFFER, 4096, b""),
        lambda: call("finit_module", 0, b"", 0),
        lambda: call("delete_module", b"kanoe_no_such_module", 0),
    )


@attempt
def start_another_kernel() -> object:
    return any_of(lambda: call("kexec_load", 0, 0, None, 1 << 30), lambda: call("kexec_file_load", -1, -1, 0, None, 0))


@attempt
def reboot() -> object:
    return call("reboot", 0, 0, 0, None)  # with wrong magic numbers, which only who may reboot is told


@attempt
def set_the_time() -> object:
    now = (ctypes.c_long * 2)(int(time.time()), 0)
    return any_of(
        lambda: call("settimeofday", ctypes.addressof(now), None),
        lambda: call("clock_settime", 0, ctypes.addressof(now)),
        lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()) or "set",
        lambda: call("adjtimex", None),
    )


@attempt
def set_the_host_name() -> object:
    return any_of(lambda: call("sethostname", b"escaped", 7), lambda: call("setdomainname", b"escaped", 7))


@attempt
def use_keyrings() -> object:
    return any_of(
        lambda: call("keyctl", 0, -3, 0),
        lambda: call("add_key", b"user", b"try", b"x", 1, -3),
        lambda: call("request_key", b"user", b"try", None, 0),
    )


@attempt
def load_programs_into_the_kernel() -> object:
    return call("bpf", 0, None, 0)


@attempt
def watch_the_processor() -> object:
    return call("perf_event_open", None, 0, -1, -1, 0)


@attempt
def handle_page_faults() -> object:
    return call("userfaultfd", 0)


@attempt
def pass_by_the_filter() -> object:
    tries = [lambda: call("io_uring_setup", 1, None), lambda: call("openat2", -100, b"/tmp", None, 0)]
    if os.uname().machine == "x86_64":
        # The same calls by the numbers of x32: `getpid` may answer, `ptrace` may not.
        tries += [lambda: raw(0x40000000 + 521, 16, os.getppid(), 0, 0), lambda: raw(0x40000000 + 39)]
    return any_of(*tries)


@attempt
def open_files_by_their_handles() -> object:
    return call("open_by_handle_at", -100, BUFFER, 0)


@attempt
def set_quotas_swap_and_accounts() -> object:
    return any_of(
        lambda: call("quotactl", 0, None, 0, None),
        lambda: call("swapon", b"/kaggle/working/none", 0),
        lambda: call("swapoff", b"/kaggle/working/none"),
        lambda: call("acct", None),
    )


@attempt
def reach_ports_and_logs() -> object:
    tries = [lambda: call("syslog", 3, BUFFER, 100)]
    if os.uname().machine == "x86_64":
        tries += [lambda: call("ioperm", 0x80, 1, 1), lambda: call("iopl", 3), lambda: call("modify_ldt", 0, None, 0)]
    return any_of(*tries)


@attempt
def give_up_randomness() -> object:
    return raw(FACTS["personality"], ctypes.c_long(0x0040000))


@attempt
def watch_all_files() -> object:
    return call("fanotify_init", 0, 0)


# Talk


@attempt
def type_into_a_terminal() -> object:
    _, terminal = pty.openpty()
    return any_of(
        lambda: fcntl.ioctl(terminal, 0x5412, b"x") and "TIOCSTI",
        lambda: raw(FACTS["ioctl"], terminal, ctypes.c_long(0x5412 | 1 << 32), b"x"),
        lambda: fcntl.ioctl(terminal, 0x541C, b"\x02") and "TIOCLINUX",
        lambda: os.open("/dev/tty", os.O_RDWR) and "/dev/tty",
    )


@attempt
def reach_abstract_sockets_of_the_host() -> object:
    with socket.socket(socket.AF_UNIX) as talk:
        talk.connect(f"\0{FACTS['abstract']}")
        return "connected"


@attempt
def reach_sockets_of_the_host() -> object:
    paths = (
        FACTS["socket"],
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/dbus/system_bus_socket",
        "/run/systemd/private",
        "/tmp/.X11-unix/X0",
        f"/run/user/{os.getuid()}/bus",
    )

    def connect(path: str) -> str:
        with socket.socket(socket.AF_UNIX) as talk:
            talk.connect(path)
            return path

    return any_of(*(lambda path=path: connect(path) for path in paths))


@attempt
def reach_services_of_the_host() -> object:
    with socket.create_connection(("127.0.0.1", FACTS["port"]), timeout=2):
        return "connected"


@attempt
def reach_the_internet() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        talk.connect(("192.0.2.1", 53))
        return "a way out"


@attempt
def ask_for_names() -> object:
    return socket.getaddrinfo("example.com", 80)


@attempt
def open_sockets_of_other_kinds() -> object:
    kinds = (
        (socket.AF_INET, socket.SOCK_RAW, 1),
        (socket.AF_INET6, socket.SOCK_RAW, 58),
        (17, socket.SOCK_RAW, 0x300),  # AF_PACKET
        (40, socket.SOCK_STREAM, 0),  # AF_VSOCK
        (38, socket.SOCK_SEQPACKET, 0),  # AF_ALG
        (16, socket.SOCK_RAW, 12),  # NETLINK_NETFILTER
        (16, socket.SOCK_RAW, 15),  # NETLINK_KOBJECT_UEVENT
        (16, socket.SOCK_RAW, 16),  # NETLINK_GENERIC
        (31, socket.SOCK_RAW, 1),  # AF_BLUETOOTH
        (44, socket.SOCK_RAW, 0),  # AF_XDP
    )
    return any_of(*(lambda kind=kind: socket.socket(*kind).close() or kind for kind in kinds))


@attempt
def change_the_network() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        fcntl.ioctl(talk, 0x8914, b"lo".ljust(16, b"\0") + bytes(24))  # SIOCSIFFLAGS
        return "the loopback is down"


# What the host's own eyes must judge: harmless inside


@attempt
def change_modes_of_devices() -> object:
    for place in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/proc/self/fd/0"):
        with contextlib.suppress(OSError):
            os.chmod(place, 0o600)
    return None


def answer(function: Callable[[], object]) -> str:
    """Return an empty text if the try was refused, else what it proved, or why it could not be made."""
    try:
        proof = function()
    except (OSError, ValueError) as cause:
        # `setrlimit` says ValueError for what is not permitted.
        return "" if isinstance(cause, OSError) or "not allowed" in str(cause) else f"broken: {cause!r}"
    except Exception as cause:
        return f"broken: {cause!r}"
    return str(proof) if proof else ""


def answers() -> Iterator[tuple[str, str]]:
    """Make each try in a process of its own."""
    for name, function in TRIES.items():
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os.write(write_end, answer(function).encode()[:4000])
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as file:
            said = file.read().decode()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        yield name, said if status == 0 else f"broken: it ended with {status}"


if __name__ == "__main__":
    FACTS["descriptors"] = [name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]
    print(json.dumps(dict(answers())))
