"""The system calls that no notebook needs, as a filter for the kernel: https://docs.kernel.org/userspace-api/seccomp_filter.html.

It is a list of what is denied, not of what is allowed: a call that it does not know works. A denied call fails as it does for a
process without the right; one that libraries can do without fails as on an old kernel, so that they fall back.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# One instruction of classic BPF: its code, how many to skip if true and if false, and a number (`struct sock_filter`).
Instruction = tuple[int, int, int, int]

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Offsets in `struct seccomp_data`: the call's number, the machine, then six arguments of 64 bits, little end first.
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000

_CLONE_NEW = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_CLONE_NEWTIME = 0x80  # for `unshare` only: `clone` has a signal in this byte
_SET_USER_ID = 0o4000
_CREATES = 0o20000100  # O_CREAT, and the part of O_TMPFILE that is its own
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_NETLINK, _NETLINK_ROUTE = 16, 0
_TERMINAL_REQUESTS = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCSETD
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)  # of Linux, of a 32-bit machine, of Linux 2.6, and the question
_X32 = 0x40000000

# Name: its number on x86-64 and on aarch64 (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # file systems and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "sysfs": (139, None),
    "uselib": (134, None),
    # the kernel itself
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "_sysctl": (156, None),
    # the machine
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
}
# What libraries do without where the kernel does not know it; its arguments lie in memory, where no filter can look.
_UNKNOWN: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "openat2": (437, 437),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}


@dataclass(frozen=True, slots=True)
class _Bits:
    """Denied if an argument has any of the bits, and, where given, an earlier one any of its own."""

    argument: int
    mask: int
    given: tuple[int, int] | None = None

    def instructions(self) -> list[Instruction]:
        """Return what follows once the call is known: it ends in a verdict."""
        found = [_load(self.argument), (_ANY_BIT, 0, 1, self.mask), _fail(errno.EPERM), _allow()]
        if self.given is None:
            return found
        argument, mask = self.given
        return [_load(argument), (_ANY_BIT, 0, len(found) - 1, mask), *found]


@dataclass(frozen=True, slots=True)
class _Values:
    """Denied if an argument is one of the values, or if it is none of them."""

    argument: int
    values: tuple[int, ...]
    listed: bool = True

    def instructions(self) -> list[Instruction]:
        """Return what follows once the call is known: it ends in a verdict."""
        last = len(self.values) - 1
        tests = [(_EQUAL, last - position + 1, 0, value) for position, value in enumerate(self.values)]
        verdicts = [_allow(), _fail(errno.EPERM)] if self.listed else [_fail(errno.EPERM), _allow()]
        return [_load(self.argument), *tests, *verdicts]


@dataclass(frozen=True, slots=True)
class _Sockets:
    """Denied unless the family is one that programs talk in; of netlink, what lists network interfaces."""

    def instructions(self) -> list[Instruction]:
        """Return what follows once the call is known: it ends in a verdict."""
        families = [(_EQUAL, len(_FAMILIES) - position + 3, 0, value) for position, value in enumerate(_FAMILIES)]
        return [
            _load(0),
            *families,
            (_EQUAL, 0, 2, _NETLINK),
            _load(2),
            (_EQUAL, 1, 0, _NETLINK_ROUTE),
            _fail(errno.EAFNOSUPPORT),
            _allow(),
        ]


_CONDITIONS: tuple[tuple[int | None, int | None, _Bits | _Values | _Sockets], ...] = (
    (56, 220, _Bits(0, _CLONE_NEW)),  # clone
    (272, 97, _Bits(0, _CLONE_NEW | _CLONE_NEWTIME)),  # unshare
    (16, 29, _Values(1, _TERMINAL_REQUESTS)),  # ioctl
    (135, 92, _Values(0, _PERSONALITIES, listed=False)),  # personality
    (41, 198, _Sockets()),  # socket
    # No program of a notebook's making runs as its owner when others start it.
    (90, None, _Bits(1, _SET_USER_ID)),  # chmod
    (91, 52, _Bits(1, _SET_USER_ID)),  # fchmod
    (268, 53, _Bits(2, _SET_USER_ID)),  # fchmodat
    (452, 452, _Bits(2, _SET_USER_ID)),  # fchmodat2
    (85, None, _Bits(1, _SET_USER_ID)),  # creat
    (2, None, _Bits(2, _SET_USER_ID, given=(1, _CREATES))),  # open
    (257, 56, _Bits(3, _SET_USER_ID, given=(2, _CREATES))),  # openat
    (133, None, _Bits(1, _SET_USER_ID)),  # mknod
    (259, 33, _Bits(2, _SET_USER_ID)),  # mknodat
)
# Machine: its number in `struct seccomp_data` (AUDIT_ARCH_*), and its column above.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}


@functools.cache
def deny_list(machine: str | None = None) -> bytes | None:
    """Return the filter as an array of `struct sock_filter`; `None` for a machine whose calls it does not know.

    Args:
        machine: as `uname -m` says it; `None`: this one.
    """
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    architecture, column = known
    # Calls of another architecture of the same processor have other numbers.
    program = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, architecture), _fail(errno.EPERM), (_LOAD, 0, 0, _NUMBER)]
    if column == 0:
        program += [(_AT_LEAST, 0, 1, _X32), _fail(errno.ENOSYS)]
    for calls, code in ((_DENIED, errno.EPERM), (_UNKNOWN, errno.ENOSYS)):
        for numbers in calls.values():
            program += _rule(numbers[column], [_fail(code)])
    for on_x86, on_arm, condition in _CONDITIONS:
        program += _rule((on_x86, on_arm)[column], condition.instructions())
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in [*program, _allow()])


def _rule(number: int | None, body: Sequence[Instruction]) -> list[Instruction]:
    return [] if number is None else [(_EQUAL, 0, len(body), number), *body]


def _load(argument: int) -> Instruction:
    """Load the lower half of an argument: the kernel looks at no more of these."""
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _fail(code: int) -> Instruction:
    return (_RETURN, 0, 0, _FAIL | code)


def _allow() -> Instruction:
    return (_RETURN, 0, 0, _ALLOW)
