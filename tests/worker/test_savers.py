"""What stands for objects that pickle cannot keep; those that come back are in `test_definitions`, in other processes."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import gc
import io
import logging
import mmap
import os
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from pathlib import Path

import pytest
from kanoe_worker.track import savers


def generator():
    yield 1


async def coroutine():
    pass


@functools.lru_cache
def cached(number):
    return number


@functools.lru_cache(maxsize=3)
def fresh(number):
    return number


def caught():
    try:
        raise ValueError(1)
    except ValueError as error:
        return error


@contextlib.contextmanager
def held(lock):
    with lock:
        yield lock


class Nothing:
    """An object that answers nothing."""

    def refuse(self, *arguments):
        raise AssertionError("asked")

    __eq__ = __hash__ = __getattribute__ = __len__ = __bool__ = __repr__ = __reduce__ = __reduce_ex__ = refuse
    __class__ = property(refuse)


LOST = {
    "generator": (generator, "a generator"),
    "open file": (Path(os.devnull).open, "an open file"),
    "binary file": (functools.partial(Path(os.devnull).open, "rb"), "an open file"),
    "temporary file": (tempfile.NamedTemporaryFile, "an open file"),
    "temporary folder": (tempfile.TemporaryDirectory, "a temporary folder"),
    "socket": (socket.socket, "a connection"),
    "database": (lambda: sqlite3.connect(":memory:"), "a connection to a database"),
    "thread": (lambda: threading.Thread(target=print), "a thread"),
    "local": (threading.local, "a value of each thread"),
    "process": (lambda: subprocess.Popen(["true"]), "a process"),
    "mapping": (lambda: mmap.mmap(-1, 10), "a mapped file"),
    "view": (lambda: memoryview(bytearray(3)), "a view of memory"),
    "frame": (sys._getframe, "a frame"),
    "traceback": (lambda: caught().__traceback__, "a traceback"),
    "exception": (caught, "an exception with the frames it came through"),
    "cache": (lambda: (cached(1), cached)[1], "what an lru_cache remembers"),
    "module": (lambda: types.ModuleType("json"), "a module that no import gives"),
    "handler": (logging.StreamHandler, "a handler of logging"),
    "proxy": (lambda: weakref.proxy(generator), "a weak proxy"),
    "class dictionary": (lambda: vars(Nothing), "a class's dictionary"),
    "loop": (asyncio.new_event_loop, "an event loop"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_says_why(name):
    make, reason = LOST[name]
    thing = make()
    try:
        assert savers.find(thing).lost == reason
    finally:
        for close in ("close", "cleanup", "wait"):
            if type(thing).__name__ not in ("frame", "mappingproxy", "weakproxy", "generator") and hasattr(
                thing, close
            ):
                getattr(thing, close)()


def test_a_held_lock_is_lost_and_stays_held():
    for lock in (threading.Lock(), threading.RLock()):
        assert savers.find(lock).lost is None
        with held(lock):
            assert savers.find(lock).lost == "a lock that somebody holds"
        assert savers.find(lock).lost is None


def test_a_coroutine_is_lost():
    thing = coroutine()
    assert savers.find(thing).lost == "a coroutine"
    thing.close()


BACK = {
    "sentinel": dataclasses.MISSING,
    "stream": sys.__stdout__,
    "logger": logging.getLogger("kanoe.savers"),
    "root": logging.getLogger(),
    "module": os.path,
    "descriptor": str.join,
    "slot": object.__init__,
    "code": generator.__code__,
    "method": io.StringIO().write if False else collections.Counter().most_common,
    "proxy": types.MappingProxyType({"a": 1}),
    "keys": {"a": 1}.keys(),
    "items": {"a": 1}.items(),
    "ordered": collections.OrderedDict(a=1).values(),
    "property": property(generator, None, None, "text"),
    "static": staticmethod(generator),
    "unused cache": fresh,
}


@pytest.mark.parametrize("name", BACK)
def test_what_is_kept_comes_back(name):
    thing = BACK[name]
    saver = savers.find(thing)
    again = saver.unpack(saver.pack(thing))
    assert type(again) is type(thing)
    if name in (
        "keys",
        "items",
        "ordered",
        "proxy",
        "code",
        "descriptor",
        "slot",
        "sentinel",
        "stream",
        "logger",
        "root",
        "module",
    ):
        assert again is thing or again == thing or list(again) == list(thing)
    assert savers.find(again).canonical(again) is not None


@pytest.mark.parametrize("pattern", ["b(.)", "(?P<x>a)?", "^a"])
@pytest.mark.parametrize("how", ["search", "match", "fullmatch"])
def test_a_match_comes_back(pattern, how):
    thing = getattr(re.compile(pattern), how)("abcab", *([] if how == "search" else [1]))
    if thing is not None:
        saver = savers.find(thing)
        assert saver.unpack(saver.pack(thing)).regs == thing.regs


def test_a_later_match_of_an_iteration_is_lost():
    thing = list(re.finditer("a", "aba"))[1]
    assert savers.find(thing).lost == "a match of a regular expression"


@pytest.mark.parametrize(
    "thing", [1, "a", [], {}, (), object(), 3.5, b"", set(), range(3), types.SimpleNamespace(), io.StringIO()]
)
def test_what_pickle_can_keep_needs_no_saver(thing):
    assert savers.find(thing) is None


def test_nothing_is_asked_of_strangers():
    assert savers.find(Nothing()) is None


def test_an_exception_is_made_without_its_own_code():
    class BadError(ValueError):
        def __init__(self, one, two):
            super().__init__("text")
            self.one = one

    thing = BadError(1, 2)
    thing.__cause__ = KeyError("x")
    saver = savers.find(thing)
    again = saver.unpack(saver.pack(thing))
    assert (type(again), again.args, again.one, again.__cause__.args) == (BadError, ("text",), 1, ("x",))


def test_types_are_not_kept_alive():
    kind = type("Short", (), {})
    savers.find(kind())
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


def test_closed_files_keep_their_names(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    for mode in ("r", "rb", "r+", "a", "r+b", "w"):
        with (tmp_path / "a.txt").open(mode) as file:
            assert savers.find(file).lost == "an open file"
        saver = savers.find(file)
        again = saver.unpack(saver.pack(file))
        assert again.closed
        assert (again.name, type(again)) == (file.name, type(file))


def test_tensors_share_memory_again():
    torch = pytest.importorskip("torch")
    tensor = torch.arange(12.0).reshape(3, 4)
    saver = savers.find(tensor)
    packed = saver.pack(tensor)
    one, other = (
        saver.unpack(packed),
        saver.unpack(saver.pack(tensor.t())[:1] + packed[1:2] + saver.pack(tensor.t())[2:]),
    )
    one[1, 2] = 100
    assert other[2, 1] == 100
    assert savers.find((tensor.requires_grad_() * 2).sum()).lost == "a tensor that remembers how it was computed"
