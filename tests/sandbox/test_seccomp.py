"""The filter of system calls, read as the kernel reads it."""

from __future__ import annotations

import errno
import struct

import pytest

from kanoe.sandbox.seccomp import _CONDITIONS, _DENIED, _MACHINES, _UNKNOWN, deny_list

X86, ARM = "x86_64", "aarch64"


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Return the error that a call gets, 0 for none: classic BPF, https://www.kernel.org/doc/Documentation/networking/filter.txt."""
    padded = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    architecture = _MACHINES[machine][0] if architecture is None else architecture
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, architecture, 0, *padded)
    program = deny_list(machine)
    assert program is not None
    place, loaded = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("<HBBI", program, place * 8)
        place += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return 0 if value == 0x7FFF0000 else value & 0xFFFF
        else:
            matches = {0x15: loaded == value, 0x35: loaded >= value, 0x45: loaded & value != 0}[code]
            place += if_true if matches else if_false


def numbers(machine: str) -> dict[str, int]:
    column = _MACHINES[machine][1]
    names = ("clone", "unshare", "ioctl", "personality", "socket", "chmod", "fchmod", "fchmodat", "fchmodat2")
    names += ("creat", "open", "openat", "mknod", "mknodat")
    rules = [condition[column] for condition in _CONDITIONS]
    return {name: number for name, number in zip(names, rules, strict=True) if isinstance(number, int)}


@pytest.mark.parametrize("machine", [X86, ARM])
def test_calls_are_denied_by_their_numbers(machine: str) -> None:
    column = _MACHINES[machine][1]
    for calls, code in ((_DENIED, errno.EPERM), (_UNKNOWN, errno.ENOSYS)):
        for name, pair in calls.items():
            if pair[column] is not None:
                assert verdict(machine, pair[column]) == code, name


@pytest.mark.parametrize("machine", [X86, ARM])
def test_no_number_stands_twice_and_all_others_are_free(machine: str) -> None:
    column = _MACHINES[machine][1]
    listed = [pair[column] for calls in (_DENIED, _UNKNOWN) for pair in calls.values() if pair[column] is not None]
    listed += list(numbers(machine).values())
    assert len(listed) == len(set(listed))
    assert all(verdict(machine, number) == 0 for number in range(600) if number not in listed)


@pytest.mark.parametrize("machine", [X86, ARM])
@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("clone", (0x003D0F00,), 0),  # a thread
        ("clone", (0x01200011,), 0),  # a fork
        ("clone", (0x10000011,), errno.EPERM),
        ("clone", (0x20000011,), errno.EPERM),
        ("unshare", (0x200,), 0),
        ("unshare", (0x10000000,), errno.EPERM),
        ("unshare", (0x80,), errno.EPERM),
        ("ioctl", (0, 0x5401), 0),
        ("ioctl", (0, 0x5412), errno.EPERM),
        ("ioctl", (0, 0x5412 | 7 << 32), errno.EPERM),
        ("ioctl", (0, 0x541C), errno.EPERM),
        ("personality", (0xFFFFFFFF,), 0),
        ("personality", (0,), 0),
        ("personality", (8,), 0),
        ("personality", (0x40000,), errno.EPERM),
        ("socket", (1, 1, 0), 0),
        ("socket", (2, 1, 6), 0),
        ("socket", (10, 2, 17), 0),
        ("socket", (16, 3, 0), 0),
        ("socket", (16, 3, 15), errno.EAFNOSUPPORT),
        ("socket", (17, 3, 0), errno.EAFNOSUPPORT),
        ("socket", (40, 1, 0), errno.EAFNOSUPPORT),
        ("socket", (38, 5, 0), errno.EAFNOSUPPORT),
        ("chmod", (0, 0o2755), 0),
        ("chmod", (0, 0o4755), errno.EPERM),
        ("fchmod", (0, 0o4755), errno.EPERM),
        ("fchmodat", (0, 0, 0o4755), errno.EPERM),
        ("fchmodat2", (0, 0, 0o4755), errno.EPERM),
        ("open", (0, 0o101, 0o4755), errno.EPERM),
        ("open", (0, 0o1, 0o4755), 0),  # it makes nothing: the mode is whatever lies there
        ("openat", (0, 0, 0o101, 0o644), 0),
        ("openat", (0, 0, 0o101, 0o4755), errno.EPERM),
        ("openat", (0, 0, 0o20200001, 0o4755), errno.EPERM),
        ("mknodat", (0, 0, 0o104755), errno.EPERM),
        ("mknodat", (0, 0, 0o010644), 0),
    ],
)
def test_some_calls_are_denied_by_their_arguments(
    machine: str, name: str, arguments: tuple[int, ...], code: int
) -> None:
    number = numbers(machine).get(name)
    if number is not None:
        assert verdict(machine, number, *arguments) == code


def test_another_architecture_has_other_numbers() -> None:
    assert verdict(X86, 20, architecture=0x40000003) == errno.EPERM
    assert verdict(X86, 0x40000000 + 521) == errno.ENOSYS
    assert verdict(X86, -1) == errno.ENOSYS
    assert verdict(ARM, 20, architecture=0x40000028) == errno.EPERM


def test_a_machine_that_is_not_known_has_no_filter() -> None:
    assert deny_list("s390x") is None
