"""Blobs: what was taken is what is given back, whatever happened to the file, the store or the process meanwhile."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from disks import small_disk

from kanoe.base.errors import UnavailableError
from kanoe.base.stop import Stop
from kanoe.store import staged
from kanoe.store.blobs import SMALL, Blobs
from kanoe.store.staged import StoppedError, StrangeFileError

SIZES = (0, 1, SMALL - 1, SMALL, SMALL + 1, 3 << 20)


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Blobs]]:
    """Opens blobs, and closes them at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(contextlib.closing(Blobs(path)))


Opened = Callable[[Path], Blobs]


@pytest.fixture
def blobs(opened: Opened, tmp_path: Path) -> Blobs:
    return opened(tmp_path / "blobs")


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["take", "put"])
def test_what_is_kept_is_given_back(
    opened: Opened, blobs: Blobs, staging: Path, tmp_path: Path, size: int, way: str
) -> None:
    data = content(size)
    if way == "take":
        (staging / "value").write_bytes(data)
        digest = blobs.take(staging / "value")
        assert os.listdir(staging) == []
    else:
        digest = blobs.put(data)
    assert digest == sha(data)
    for reader in (blobs, opened(tmp_path / "blobs")):
        assert reader.read(digest) == data
        with reader.open(digest) as file:
            assert file.read() == data
        assert reader.path(digest).read_bytes() == data
        assert reader.missing([digest, sha(b"other")]) == {sha(b"other")}
    given = tmp_path / "given"
    given.mkdir()
    for _ in range(2):
        assert blobs.link(digest, given)
    assert os.listdir(given) == [digest]
    assert (given / digest).read_bytes() == data
    assert (given / digest).stat().st_mode & 0o222 == 0
    assert blobs.total() == size


@pytest.mark.parametrize("name", ["", "x" * 63, "../../etc/passwd", "G" * 64, sha(b"never kept")])
def test_what_is_not_there(blobs: Blobs, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        assert blobs.read(name) is None
        assert blobs.open(name) is None
        assert blobs.path(name) is None
        assert blobs.missing([name]) == {name}
        assert not blobs.link(name, tmp_path)
        blobs.put(b"now there is a store")


def test_reading_makes_no_store(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.missing([sha(b"")]) == {sha(b"")}
    assert (blobs.total(), blobs.sizes()) == (0, {})
    assert os.listdir(tmp_path) == []


def test_many_small_values_make_no_files(blobs: Blobs, staging: Path, tmp_path: Path) -> None:
    for cell in range(5):
        names = [f"{number}" for number in range(1000)]
        for name in names:
            (staging / name).write_bytes(f"{cell} {name}".encode())
        taken = blobs.take_all(staging, names)
        assert len(taken.hashes) == 1000
        assert os.listdir(staging) == []
    assert files_of(tmp_path) == []
    assert blobs.read(taken.hashes["999"]) == b"4 999"


def test_the_same_content_is_kept_once(blobs: Blobs, staging: Path, tmp_path: Path) -> None:
    data = content(1 << 20)
    for name in ("a", "b"):
        (staging / name).write_bytes(data)
    assert blobs.take_all(staging, ["a", "b", "a"]).hashes == {"a": sha(data), "b": sha(data)}
    assert blobs.put(data) == sha(data)
    assert files_of(tmp_path) == [sha(data)]


# Staging folders are hostile


def make_strange(staging: Path, kind: str) -> str:
    """Put something into a staging folder that a worker would not; return the name to take."""
    path, secret = staging / "value", staging.parent / "secret"
    secret.write_bytes(b"s" * 100_000)
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 43)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    names = {
        "outside": "../secret",
        "absolute": os.fspath(secret),
        "dot": ".",
        "dots": "..",
        "empty": "",
        "nul": "a\0b",
    }
    return {**names, "surrogate": "\ud800", "long": "x" * 300}.get(kind, "value")


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "link",
            "dangling link",
            "pipe",
            "folder",
            "huge",
            "link to a device",
            "nothing",
            "outside",
            "absolute",
            "dot",
        ),
        *("dots", "empty", "nul", "surrogate", "long"),
    ],
)
def test_strange_files_are_refused_and_touch_nothing(blobs: Blobs, staging: Path, tmp_path: Path, kind: str) -> None:
    name = make_strange(staging, kind)
    (staging / "good").write_bytes(b"good")
    taken = blobs.take_all(staging, [name, "good"])
    assert taken.hashes == {"good": sha(b"good")}
    assert list(taken.refused) == [name]
    assert taken.refused[name].startswith("it")
    assert (tmp_path / "secret").read_bytes() == b"s" * 100_000
    assert files_of(tmp_path / "blobs") == []


def test_a_strange_file_alone_raises(blobs: Blobs, staging: Path) -> None:
    (staging / "value").symlink_to("/etc/passwd")
    with pytest.raises(StrangeFileError, match="no regular file"):
        blobs.take(staging / "value")


@pytest.mark.parametrize("how", ["open for writing", "mapped", "another name"])
def test_what_somebody_can_still_change_is_copied(blobs: Blobs, staging: Path, how: str) -> None:
    """The blob keeps the bytes that were hashed, whatever its maker does after."""
    data = content(1 << 20)
    path = staging / "value"
    path.write_bytes(data)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("r+b"))
        writer: object = file
        if how == "mapped":
            writer = stack.enter_context(contextlib.closing(mmap.mmap(file.fileno(), 0)))
            file.close()
        elif how == "another name":
            file.close()
            os.link(path, staging / "other")
        digest = blobs.take(path)
        assert digest == sha(data)
        if how == "another name":
            (staging / "other").chmod(0o644)
            writer = stack.enter_context((staging / "other").open("r+b"))
        writer.seek(0)  # type: ignore[attr-defined]
        writer.write(b"changed" * 1000)  # type: ignore[attr-defined]
        writer.flush()  # type: ignore[attr-defined]
        assert blobs.read(digest) == data
    assert not path.exists()


@pytest.mark.parametrize("way", ["lease", "copy"])
def test_what_nobody_can_change_is_moved_and_nothing_else(
    blobs: Blobs, staging: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = staging / "value"
    path.write_bytes(content(1 << 20))
    number = path.stat().st_ino
    if way == "copy":
        monkeypatch.setattr(staged, "_lease", lambda _descriptor: False)
    digest = blobs.take(path)
    assert (blobs.path(digest).stat().st_ino == number) == (way == "lease")
    assert not path.exists()


def test_a_change_after_it_was_moved_is_seen(blobs: Blobs, staging: Path, tmp_path: Path) -> None:
    """Whoever had the file open for reading may open it again for writing: then the blob is damaged, and a miss."""
    path = staging / "value"
    path.write_bytes(content(1 << 20))
    with path.open("rb") as kept:
        digest = blobs.take(path)
        assert blobs.read(digest) == content(1 << 20)
        way = Path(f"/proc/self/fd/{kept.fileno()}")
        way.chmod(0o644)
        with way.open("r+b") as again:
            again.write(b"poison")
        os.utime(blobs._place(digest), (1, 1))
        assert blobs.read(digest) is None
    assert blobs.missing([digest]) == {digest}
    assert files_of(tmp_path / "blobs") == []


def test_a_file_that_changes_while_it_is_read(
    blobs: Blobs, staging: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers, growing and shrinking: what is kept has the bytes of its name, or it is refused."""
    monkeypatch.setattr(staged, "_PIECE", 1 << 12)
    path, opened, stopped = staging / "value", threading.Event(), threading.Event()
    path.write_bytes(content(1 << 20))

    def write() -> None:
        turn = 0
        with path.open("r+b") as file:
            while not stopped.is_set():
                opened.set()
                turn += 1
                file.seek(turn * 7919 % (1 << 20))
                file.write(b"%d" % turn)
                file.flush()
                file.truncate((1 << 20) + turn % 3 * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    opened.wait()
    try:
        for _ in range(20):
            with contextlib.suppress(StrangeFileError):
                digest = blobs.take(path)
                assert sha(blobs.read(digest) or b"") == digest
                break
    finally:
        stopped.set()
        writer.join()
    for name in files_of(tmp_path / "blobs"):
        assert sha((tmp_path / "blobs" / name[:2] / name).read_bytes()) == name


def test_one_who_opens_a_leased_file_neither_hangs_nor_ends_us(
    blobs: Blobs, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that opens the file for writing while it is hashed waits for the lease; what is kept has the bytes of its name."""
    path = staging / "value"
    data = content(4 << 20)
    path.write_bytes(data)
    keeper = path.open("rb")
    real, opened = staged._pieces, []

    def pieces(descriptor: int, stop: Stop | None) -> Iterator[memoryview]:
        code = f"import os; os.write(os.open('/proc/{os.getpid()}/fd/{keeper.fileno()}', os.O_RDWR), b'poison')"
        if not opened:
            opened.append(subprocess.Popen([sys.executable, "-c", code]))
            time.sleep(1)
        yield from real(descriptor, stop)

    monkeypatch.setattr(staged, "_pieces", pieces)
    digest = None
    with contextlib.suppress(StrangeFileError):
        digest = blobs.take(path)
    opened[0].wait()
    keeper.close()
    read = None if digest is None else blobs.read(digest)
    assert read is None or sha(read) == digest


def test_a_stop_ends_it_and_leaves_the_file(blobs: Blobs, staging: Path, tmp_path: Path) -> None:
    path, stop = staging / "value", Stop()
    path.write_bytes(content(3 << 20))
    stop.request()
    with pytest.raises(StoppedError):
        blobs.take(path, stop)
    assert files_of(tmp_path / "blobs") == []


# Damage


@pytest.mark.parametrize("size", [100, 1 << 20])
@pytest.mark.parametrize("damage", ["bytes", "cut", "gone", "link", "folder", "unreadable"])
def test_a_damaged_blob_is_a_miss_and_made_whole_by_the_next(
    opened: Opened, tmp_path: Path, size: int, damage: str
) -> None:
    blobs, data = opened(tmp_path / "blobs"), content(size)
    digest = blobs.put(data)
    blobs.close()
    if size <= SMALL:
        with contextlib.closing(sqlite3.connect(tmp_path / "blobs" / "index.sqlite")) as index:
            wrong = {"bytes": b"wrong" + data[5:], "cut": data[:-1]}.get(damage)
            index.execute("DELETE FROM small") if wrong is None else index.execute(
                "UPDATE small SET data = ?", (wrong,)
            )
            index.commit()
    else:
        path = blobs._place(digest)
        path.chmod(0o644)
        if damage == "bytes":
            path.write_bytes(b"wrong" + data[5:])
        elif damage == "cut":
            os.truncate(path, size - 1)
        elif damage == "unreadable" and os.geteuid() != 0:
            path.chmod(0)
        else:
            path.unlink()
        if damage == "link":
            path.symlink_to("/etc/passwd")
        elif damage == "folder":
            path.mkdir()
    assert blobs.read(digest) is None
    assert blobs.path(digest) is None
    assert blobs.put(data) == digest
    assert blobs.read(digest) == data


def test_it_is_verified_once_per_process(
    opened: Opened, blobs: Blobs, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put(content(1 << 20))
    fresh, read = opened(blobs._path), []
    monkeypatch.setattr("kanoe.store.blobs.hash_pieces", lambda pieces: read.append(len(list(pieces))) or digest)
    for number in range(3):
        fresh.path(digest)
        (staging / f"{number}").mkdir()
        assert fresh.link(digest, staging / f"{number}")
    assert len(read) == 1
    fresh.close()


@pytest.mark.parametrize("part", ["index.sqlite", "index.sqlite-wal"])
def test_a_damaged_index_is_set_aside(opened: Opened, tmp_path: Path, part: str) -> None:
    blobs = opened(tmp_path / "blobs")
    big = blobs.put(content(1 << 20))
    small = blobs.put(b"small")
    if part == "index.sqlite":
        blobs.close()
    path = tmp_path / "blobs" / part
    path.write_bytes(b"no database" * 1000)
    fresh = opened(tmp_path / "blobs")
    assert fresh.read(small) in (None, b"small")
    assert fresh.read(big) in (None, content(1 << 20))
    assert fresh.read(fresh.put(b"small")) == b"small"
    assert fresh.read(fresh.put(content(1 << 20))) == content(1 << 20)


# Disks and permissions


def test_an_index_of_a_newer_kanoe_is_refused(opened: Opened, tmp_path: Path) -> None:
    blobs = opened(tmp_path)
    digest = blobs.put(b"x")
    blobs.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "index.sqlite")) as index:
        index.execute("PRAGMA user_version = 99")
    for use in (lambda: blobs.read(digest), lambda: blobs.put(b"y"), blobs.total):
        with pytest.raises(UnavailableError, match="newer Kanoe") as caught:
            use()
        assert "KANOE_HOME" in (caught.value.diagnostics[0].hint or "")


def test_a_full_disk_loses_nothing(opened: Opened, tmp_path: Path, staging: Path) -> None:
    kept: dict[str, bytes] = {}
    with small_disk(tmp_path, "3m") as disk:
        blobs = opened(disk / "blobs")
        failures = set()
        for number in range(60):
            data = content([200, 15_000, 400_000][number % 3], number)
            (staging / "value").write_bytes(data)
            try:
                kept[blobs.take(staging / "value")] = data
            except OSError as cause:
                failures.add(cause.errno)
                left = (staging / "value").read_bytes()
                assert left == data
        assert failures == {errno.ENOSPC}
        assert kept
        for reader in (blobs, opened(disk / "blobs")):
            assert all(reader.read(digest) == data for digest, data in kept.items())
        assert [name for name in files_of(disk) if name.endswith(".part")] == []
        removed = blobs.remove([bytes.fromhex(digest) for digest in kept], time.time() + 1)
        assert removed == sum(map(len, kept.values()))
        assert blobs.read(blobs.put(content(1 << 20))) == content(1 << 20)
        blobs.close()


def test_a_file_may_not_grow_larger_than_the_process_may_write(opened: Opened, tmp_path: Path, staging: Path) -> None:
    """A limit of the process (`ulimit -f`) at every write is an error like a full disk."""
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from kanoe.store.blobs import Blobs\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try: print(Blobs(Path(sys.argv[1])).put(bytes(300_000)))\n"
        "except OSError as cause: print('refused')\n"
    )
    assert resource.RLIMIT_FSIZE
    for limit in (0, 30_000, 70_000, 200_000, 400_000):
        place = tmp_path / f"{limit}"
        command = [sys.executable, "-c", code, os.fspath(place), f"{limit}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        blobs = opened(place)
        digest = sha(bytes(300_000))
        assert (done.stdout.strip(), blobs.read(digest)) in ((digest, bytes(300_000)), ("refused", None))
        assert [name for name in files_of(place) if name.endswith(".part")] == []
        blobs.close()


def test_a_store_that_can_only_be_read(opened: Opened, tmp_path: Path) -> None:
    blobs = opened(tmp_path / "blobs")
    big, small = blobs.put(content(1 << 20)), blobs.put(b"small")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from kanoe.store.blobs import Blobs\n"
        "if not os.geteuid(): os.setgid(65534); os.setuid(65534)\n"
        "blobs = Blobs(Path(sys.argv[1]))\n"
        "print(len(blobs.read(sys.argv[2])), blobs.read(sys.argv[3]), blobs.missing(sys.argv[2:4]), blobs.total())\n"
        "try: blobs.put(b'more')\n"
        "except OSError as cause: print(cause.strerror)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    for path in [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for state in ("with a log", "closed"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "blobs", big, small], capture_output=True, text=True, check=False
        )
        assert done.stderr == "", state
        assert done.stdout.splitlines()[0] == f"{1 << 20} b'small' set() {(1 << 20) + 5}"
        assert "cannot be used" in done.stdout
        for path in [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        blobs.close()
        for path in [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)


# Processes

WORK = """
import os, random, sys, time
from pathlib import Path
from kanoe.store.blobs import Blobs
home, staging, seed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
staging.mkdir(exist_ok=True)
blobs, draw = Blobs(home), random.Random(seed)
for turn in range(int(sys.argv[4])):
    number = draw.randrange(40)
    data = random.Random(number).randbytes([50, 9000, 60_000, 300_000][number % 4])
    (staging / "value").write_bytes(data)
    digest = blobs.take(staging / "value")
    print(number, digest, flush=True)
    assert blobs.read(digest) == data
"""


def start(tmp_path: Path, seed: int, turns: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, tmp_path / "blobs", tmp_path / f"staging-{seed}", f"{seed}", f"{turns}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_at_once(opened: Opened, tmp_path: Path) -> None:
    running = [start(tmp_path, seed, 60) for seed in range(4)]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    blobs = opened(tmp_path / "blobs")
    for line in "".join(said).splitlines():
        assert sha(blobs.read(line.split()[1]) or b"") == line.split()[1]


def test_killed_anywhere(opened: Opened, tmp_path: Path) -> None:
    """What was said to be kept is there and whole; the rest is cleaned, and no file is half made."""
    draw, kept = random.Random(1), set()
    for seed in range(12):
        process = start(tmp_path, seed, 100_000)
        time.sleep(0.15 + draw.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        kept |= {line.split()[1] for line in process.communicate()[0].splitlines() if len(line.split()[-1]) == 64}
    blobs = opened(tmp_path / "blobs")
    assert kept
    for digest in kept:
        assert sha(blobs.read(digest) or b"") == digest
    blobs.remove_orphans(time.time() + 1)
    whole = {path.name for path in (tmp_path / "blobs").glob("??/*")}
    assert all(sha((tmp_path / "blobs" / name[:2] / name).read_bytes()) == name for name in whole)
    assert whole <= {digest.hex() for digest in blobs.sizes()}


def test_one_who_removes_and_one_who_takes(opened: Opened, tmp_path: Path) -> None:
    """Old blobs are removed while others take the same content again: what they took is there."""
    start(tmp_path, 0, 300).communicate(timeout=60)
    began = time.time()
    takers = [start(tmp_path, seed, 60) for seed in range(2)]
    blobs, removed = opened(tmp_path / "blobs"), 0
    while any(process.poll() is None for process in takers):  # what they say fits into a pipe
        for digest in blobs.sizes():
            removed += blobs.remove([digest], began)
            time.sleep(0.005)
        blobs.remove_orphans(began)
    assert removed
    assert all(process.communicate()[0].count("\n") == 60 for process in takers)
