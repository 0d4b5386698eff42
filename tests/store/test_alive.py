"""Who lives in a store: seen as long as a lock is held, whatever becomes of the process; tickets, slots, requests to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kanoe.base.errors import UnavailableError
from kanoe.base.processes import owner
from kanoe.base.stop import Stop
from kanoe.store.alive import ask_to_stop, dead, is_alive, lives, living, taken_over

_LIVES = (
    "import sys, time; from pathlib import Path; from kanoe.store.alive import living\n"
    "with living(Path(sys.argv[1]), sys.argv[2]) as life:\n"
    "    life.note_link(Path('/tmp/a-link'))\n"
    "    print('lives', flush=True)\n"
    "    time.sleep(600)\n"
)


def start_life(folder: Path, name: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _LIVES, str(folder), name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "lives\n"
    return process


def end_life(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_life_is_seen_while_it_goes_on(tmp_path: Path) -> None:
    assert lives(tmp_path) == []
    with living(tmp_path, "a"), living(tmp_path, "b"):
        assert is_alive(tmp_path, "a")
        assert [life.name for life in lives(tmp_path)] == ["a", "b"]
        assert {life.owner for life in lives(tmp_path)} == {owner()}
        assert dead(tmp_path) == []
    assert not is_alive(tmp_path, "a")
    assert lives(tmp_path) == []
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_who_is_killed_is_dead_and_what_it_said_is_there(tmp_path: Path, number: signal.Signals) -> None:
    process = start_life(tmp_path, "a")
    assert is_alive(tmp_path, "a")
    process.send_signal(number)
    process.wait()
    assert not is_alive(tmp_path, "a")
    (trace,) = dead(tmp_path)
    assert (trace.name, trace.kind, trace.links) == ("a", "run", ("/tmp/a-link",))
    with taken_over(tmp_path, trace) as held, taken_over(tmp_path, trace) as twice:
        assert (held, twice) == (True, False)
    assert dead(tmp_path) == []
    end_life(process)


def test_a_fork_of_the_process_does_not_keep_a_life_that_ended(tmp_path: Path) -> None:
    with living(tmp_path, "a"):
        pid = os.fork()
        if pid == 0:
            signal.pause()
    assert not is_alive(tmp_path, "a")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_tickets_and_slots(tmp_path: Path) -> None:
    with living(tmp_path, "a") as first:
        assert (first.runs_before(), first.take_slot()) == (0, 0)
        with living(tmp_path, "w", "work"), living(tmp_path, "b") as second, living(tmp_path, "c") as third:
            assert (second.runs_before(), third.runs_before()) == (1, 2)
            assert second.take_slot() == 1
        with living(tmp_path, "d") as fourth:
            assert (fourth.runs_before(), fourth.take_slot()) == (1, 1)


def test_a_dead_run_is_before_nobody(tmp_path: Path) -> None:
    process = start_life(tmp_path, "a")
    with living(tmp_path, "b") as life:
        assert life.runs_before() == 1
        end_life(process)
        assert life.runs_before() == 0
        assert life.take_slot() == 0


def test_many_come_at_once_and_each_has_its_ticket(tmp_path: Path) -> None:
    seen: list[int] = []
    barrier = threading.Barrier(12)

    def come(number: int) -> None:
        with living(tmp_path, f"run-{number}") as life:
            seen.append(life.ticket)
            barrier.wait()

    threads = [threading.Thread(target=come, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 13))


def test_two_lives_of_one_name_are_refused(tmp_path: Path) -> None:
    with living(tmp_path, "a"), pytest.raises(UnavailableError, match="goes on already"), living(tmp_path, "a"):
        pass
    assert not is_alive(tmp_path, "a")


def test_requests_to_stop_are_counted(tmp_path: Path) -> None:
    assert not ask_to_stop(tmp_path, "a")
    outer = Stop()
    with living(tmp_path, "a") as life:
        stop = life.stop(outer)
        assert not stop.requested
        assert ask_to_stop(tmp_path, "a")
        assert life.stop(outer).level == 1
        assert ask_to_stop(tmp_path, "a")
        outer.request()
        again = life.stop(outer)
        again.request()
        assert again.level == 4
        assert outer.level == 1, "a request to one run is none to its siblings"
    assert not ask_to_stop(tmp_path, "a")
    assert os.listdir(tmp_path) == [".gate"]


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b'{"ticket": 3}\n', b'{"link": "x"}\n', b'{"ver'])
def test_a_file_that_says_nothing_is_dead_and_harms_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    (tmp_path / "gone.cancel").write_bytes(b"!")
    (tmp_path / ".7.new").write_bytes(b"")
    assert [trace.name for trace in dead(tmp_path)] == ["odd"]
    with living(tmp_path, "a") as life:
        assert life.runs_before() == 0
    assert sorted(os.listdir(tmp_path)) == [".gate", "odd"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be used"), living(tmp_path / "file" / "alive", "a"):
        pass
