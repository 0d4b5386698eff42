"""Sizes as people write and read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kanoe.base.errors import InputError
from kanoe.base.sizes import larger_size, parse_size, show_size, write_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("16g", 16 << 30),
        ("16G", 16 << 30),
        ("500m", 500 << 20),
        ("500 MB", 500 << 20),
        ("1.5GiB", 3 << 29),
        ("2e9", 2_000_000_000),
        (" 4k ", 4096),
        ("1tb", 1 << 40),
        (".5g", 1 << 29),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize(
    "text", ["", "g", "0", "0.1", "-1", "16x", "1e99", "16 gigs", "nan", "inf", "1,5g", "٣g", "9999999t"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_size(text, "--disk")
    (found,) = caught.value.diagnostics
    assert (found.code, found.place) == ("option-value", "--disk")
    assert "`--disk 16g`" in (found.hint or "")


@given(some.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert parse_size(text, "--memory") > 0


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (300 << 20, "300 MiB"),
        ((1 << 30) - 1, "1 GiB"),
        (3 << 29, "1.5 GiB"),
        (2 << 40, "2 TiB"),
    ],
)
def test_a_size_is_shown(size: int, text: str) -> None:
    assert show_size(size) == text


@given(some.integers(min_value=1, max_value=1 << 45))
def test_a_size_is_written_as_it_is_read_and_never_less(size: int) -> None:
    assert parse_size(write_size(size), "--memory") >= size
    assert parse_size(larger_size(size), "--memory") > size
