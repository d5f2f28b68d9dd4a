"""The one picture that the offline model can draw."""

import io
from functools import cache

from PIL import Image, ImageDraw

SKY, HORIZON, SEA, SUN = (38, 30, 84), (255, 138, 76), (20, 44, 92), (255, 224, 130)


@cache
def draw_sunset(side: int) -> bytes:
    """Return a sunset over the sea as PNG, ``side`` pixels wide and high."""
    picture = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(picture)
    shore = side * 3 // 5
    for y in range(shore):
        draw.line((0, y, side, y), fill=_mix(SKY, HORIZON, y / shore))
    radius, middle, low = side // 8, side // 2, shore - side // 24
    draw.ellipse((middle - radius, low - radius, middle + radius, low + radius), fill=SUN)
    for y in range(shore, side):
        depth = (y - shore) / (side - shore)
        draw.line((0, y, side, y), fill=_mix(HORIZON, SEA, depth**0.4))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _mix(
    first: tuple[int, int, int], second: tuple[int, int, int], share: float
) -> tuple[int, int, int]:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
