"""Drawn images compared by what the eye sees: both are made small, grey and soft, then held against each other."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

from kanoe.back.reproduction.verdicts import Comparison, Outcome

# Both images are cut to what is drawn, made this small, and softened; a pixel counts only by how far it lies outside of what its
# neighbours in the other image show, so that lines may move a little. Measured on matplotlib's drawings of six kinds in three
# sizes: 107 of 108 pairs of the same data (other fonts, text sizes, resolutions, JPEG) are below `_MEAN`, 47 of 48 of other data above.
_SIDE = 64
_MEAN = 0.0034
_WORST = 0.25
_PALE = 48  # darker than this is drawn
_LARGEST = 30_000_000


def compare_images(was: str, now: str) -> Comparison:
    """Compare two images, base64.

    Pixels that are equal are EXACT; what differs in fonts, sharpness or size only is WITHIN.
    """
    if was == now or "".join(was.split()) == "".join(now.split()):
        return Comparison(Outcome.EXACT, "image")
    try:
        from PIL import Image  # noqa: F401, PLC0415 - loaded for images only; some machines lack it
    except ImportError:
        return Comparison(Outcome.INCOMPARABLE, "image", note="Pillow is not installed, so images cannot be compared")
    try:
        theirs, ours = _decoded(was), _decoded(now)
    except (OSError, ValueError, SyntaxError, binascii.Error, MemoryError) as problem:
        return Comparison(Outcome.INCOMPARABLE, "image", note=f"an image cannot be read: {type(problem).__name__}")
    return _compare(theirs, ours)


def _decoded(text: str) -> Any:
    from PIL import Image  # noqa: PLC0415

    image = Image.open(io.BytesIO(base64.b64decode(text)))
    if image.width * image.height > _LARGEST:
        raise ValueError("too large")
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image.convert("RGBA"))
    return flat.convert("RGB")


def _compare(was: Any, now: Any) -> Comparison:
    if was.size == now.size and was.tobytes() == now.tobytes():
        return Comparison(Outcome.EXACT, "image")
    mean, worst = _distance(_small(was), _small(now))
    if mean <= _MEAN and worst <= _WORST:
        return Comparison(Outcome.WITHIN, "image")
    return Comparison(Outcome.DIFFERENT, "image", note=f"another image (distance {worst:.2f})")


def _small(image: Any) -> Any:
    from PIL import Image, ImageFilter, ImageOps  # noqa: PLC0415

    grey = image.convert("L")
    drawn = ImageOps.invert(grey).point([255 if level > _PALE else 0 for level in range(256)]).getbbox()
    if drawn:
        grey = grey.crop(drawn)
    return grey.resize((_SIDE, _SIDE), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(1))


def _distance(was: Any, now: Any) -> tuple[float, float]:
    """Return how far two small images are apart: on average, and at the worst place; 0 to 1."""
    from PIL import ImageChops, ImageFilter, ImageStat  # noqa: PLC0415

    apart = ImageChops.lighter(_outside(was, now), _outside(now, was))
    worst = apart.filter(ImageFilter.BoxBlur(1)).histogram()
    return ImageStat.Stat(apart).mean[0] / 255, max(level for level, count in enumerate(worst) if count) / 255


def _outside(image: Any, other: Any) -> Any:
    """Return how far each pixel lies outside of the range of its neighbours in the other image."""
    from PIL import ImageChops, ImageFilter  # noqa: PLC0415

    low, high = other.filter(ImageFilter.MinFilter(3)), other.filter(ImageFilter.MaxFilter(3))
    return ImageChops.add(ImageChops.subtract(image, high), ImageChops.subtract(low, image))
