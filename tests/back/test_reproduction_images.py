"""Drawings made by matplotlib (in `drawings/`, by kind): the same data in another font, size or resolution, and other data."""

from __future__ import annotations

import base64
import builtins
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kanoe.back.reproduction.images import compare_images
from kanoe.back.reproduction.outputs import compare_outputs
from kanoe.back.reproduction.verdicts import Outcome

DRAWINGS = Path(__file__).parent / "drawings"
KINDS = sorted({path.stem.partition("-")[0] for path in DRAWINGS.glob("*.png")})


def encoded(name: str) -> str:
    return base64.b64encode((DRAWINGS / f"{name}.png").read_bytes()).decode()


def saved(image: Any, form: str) -> str:
    file = io.BytesIO()
    image.save(file, form)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_drawing(kind: str) -> None:
    author = encoded(f"{kind}-author")
    assert compare_images(author, author).outcome is Outcome.EXACT
    assert compare_images(author, author[:76] + "\n" + author[76:]).outcome is Outcome.EXACT
    with Image.open(DRAWINGS / f"{kind}-author.png") as image:
        assert compare_images(author, saved(image.convert("RGBA"), "png")).outcome is Outcome.EXACT
        assert compare_images(author, saved(image.convert("RGB"), "jpeg")).outcome is Outcome.WITHIN


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["font", "size", "resolution"])
def test_the_same_data_drawn_otherwise(kind: str, change: str) -> None:
    author, now = encoded(f"{kind}-author"), encoded(f"{kind}-{change}")
    assert compare_images(author, now).outcome is Outcome.WITHIN
    assert compare_images(now, author).outcome is Outcome.WITHIN


@pytest.mark.parametrize("kind", KINDS)
def test_other_data(kind: str) -> None:
    author, now = encoded(f"{kind}-author"), encoded(f"{kind}-other")
    assert compare_images(author, now).outcome is Outcome.DIFFERENT
    assert compare_images(now, author).outcome is Outcome.DIFFERENT


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_drawing(kind: str) -> None:
    for other in set(KINDS) - {kind}:
        assert compare_images(encoded(f"{kind}-author"), encoded(f"{other}-author")).outcome is Outcome.DIFFERENT


@pytest.mark.parametrize("broken", ["", "no base64!", "aGVsbG8=", "iVBORw0KGgo="])
def test_what_is_no_image_is_not_comparable(broken: str) -> None:
    found = compare_images(encoded(f"{KINDS[0]}-author"), broken)
    assert found.outcome is Outcome.INCOMPARABLE
    assert "cannot be read" in str(found)


def test_one_colour_only() -> None:
    white, other = (saved(Image.new("RGB", size, "white"), "png") for size in ((9, 9), (30, 20)))
    assert compare_images(white, other).outcome is Outcome.WITHIN
    assert compare_images(white, saved(Image.new("RGB", (9, 9), "black"), "png")).outcome is Outcome.DIFFERENT


def test_without_pillow_images_are_not_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    outputs = [
        [{"output_type": "display_data", "data": {"image/png": encoded(f"{KINDS[0]}-{change}")}}]
        for change in ("author", "other")
    ]
    (found,) = compare_outputs(*outputs).outputs
    assert (found.outcome, "Pillow" in str(found)) == (Outcome.INCOMPARABLE, True)
