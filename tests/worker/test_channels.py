"""What a cell reads and writes besides variables and files."""

from __future__ import annotations

import os
import random

from kanoe.worker.track import channels


def test_a_draw_is_a_read_and_a_write_and_can_be_restored() -> None:
    found = channels.all_channels(None)
    randoms = found[0]
    for channel in found:
        channel.begin()
    first = random.random()
    reads, writes = randoms.end()
    assert reads == {"random:random": channels.encoded.digest_of(randoms.initial()["random:random"])}
    assert list(writes) == ["random:random"]
    second = random.random()
    randoms.restore({"random:random": randoms.initial()["random:random"]})
    assert random.random() == first
    randoms.restore({"random:random": writes["random:random"][1]})
    assert random.random() == second
