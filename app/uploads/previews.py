"""Small pictures of images, made where a hostile file can do no harm but fail.

A header can promise any number of pixels, and a JPEG can draw them any number of times, so both are
counted before anything is decoded, and only a few formats are. All of it happens in one thread of
its own, an image at a time: however many files come in, that takes 250 MB of memory at most, 400
for the largest CMYK photographs.
"""

import asyncio
import io
import re
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image

from app.chatkit.errors import UnprocessableError

IMAGE_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
}
"""Types that are shown as images, and what Pillow calls them; all others are files."""

PREVIEW_TYPE: Final = "image/webp"
PREVIEW_SIDE: Final = 512
"""The longer side of a preview, in pixels."""
MODEL_SIDE: Final = 2048
"""The longer side of an image as a model gets it, in pixels; providers scale down what is above."""
MAX_PIXELS: Final = {
    "JPEG": 50_000_000,
    "PNG": 30_000_000,
    "GIF": 30_000_000,
    "WEBP": 16_000_000,
    "AVIF": 16_000_000,
}
"""By format, since some are decoded in pieces, and some are held several times over."""
MAX_SIDE: Final = 30_000
MAX_SCANS: Final = 64
"""Of one JPEG: cameras and tools write some ten, and each takes time for all pixels."""
MAX_SEGMENTS: Final = 5_000
READ_SIZE: Final = 64 * 1024

ImageSource = Path | BinaryIO | bytes

# Pillow counts the pixels of every frame by itself; half of its limit would be but a warning.
Image.MAX_IMAGE_PIXELS = max(MAX_PIXELS.values())
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

_studio = ThreadPoolExecutor(1, thread_name_prefix="previews")


class BrokenImageError(UnprocessableError):
    """The file cannot be shown as an image: it is broken, too large, or no image at all."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """An image made from another one: its bytes, their type, and its size in pixels."""

    data: bytes
    mime_type: str
    width: int
    height: int


def is_image(mime_type: str) -> bool:
    """Return whether files of this (sniffed) type are shown as images and have a preview."""
    return mime_type in IMAGE_FORMATS


async def create_preview(source: ImageSource, mime_type: str) -> Rendition:
    """Return the image as WebP, with at most ``PREVIEW_SIDE`` pixels on its longer side.

    It is upright, its first frame only, and without anything that was written into it (place,
    camera, author). ``mime_type`` is the sniffed one. Raises ``BrokenImageError``; a ``source``
    that is no longer there raises ``FileNotFoundError``.
    """
    return await _render(source, mime_type, PREVIEW_SIDE, _encode_preview)


async def create_model_image(source: ImageSource, mime_type: str) -> Rendition:
    """Return the image for a model: as its preview, but larger, and as JPEG or PNG."""
    return await _render(source, mime_type, MODEL_SIDE, _encode_for_model)


Encoder = Callable[[Image.Image], Rendition]


async def _render(source: ImageSource, mime_type: str, side: int, encode: Encoder) -> Rendition:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_studio, _render_now, source, mime_type, side, encode)


def _render_now(source: ImageSource, mime_type: str, side: int, encode: Encoder) -> Rendition:
    kind = IMAGE_FORMATS.get(mime_type)
    if kind is None:
        raise BrokenImageError(f"file: {mime_type} is not shown as an image")
    try:
        with _open(source) as stream:
            if kind == "JPEG":
                _check_scans(stream)
            with Image.open(stream, formats=[kind]) as image:
                _check_size(image, kind)
                return encode(_scale_down(image, side))
    except (BrokenImageError, FileNotFoundError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(kind) from error
    except Exception as error:
        # Broken files make Pillow fail in many ways (struct.error, SyntaxError, ...).
        raise BrokenImageError(
            "file: the image cannot be read; it is broken or incomplete"
        ) from error


def _open(source: ImageSource) -> AbstractContextManager[BinaryIO]:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else nullcontext(source)


# The end of a JPEG, or a segment with its length. All other markers stand for themselves, and in
# what lies between (the pixels, and whatever else) the decoder looks for the next marker as well.
_SEGMENT: Final = re.compile(rb"\xff(?:\xd9|([\xc0-\xcf\xda-\xef\xfe])(..))", re.DOTALL)
_SCAN: Final = b"\xda"


def _check_scans(stream: BinaryIO) -> None:
    """Raise ``BrokenImageError`` for a JPEG that is drawn over and over again.

    Segments are passed over as the decoder does it: what is in one (a thumbnail), or behind the end
    (the film of a moving photograph), is no scan.
    """
    stream.seek(0)
    scans = segments = 0
    rest, place = b"", 2
    while chunk := stream.read(READ_SIZE):
        data = rest + chunk
        while place < len(data) and (match := _SEGMENT.search(data, place)):
            if match[1] is None:
                return
            segments += 1
            scans += match[1] == _SCAN
            if scans > MAX_SCANS or segments > MAX_SEGMENTS:
                raise BrokenImageError(
                    f"file: the image has more than {MAX_SCANS} scans (or {MAX_SEGMENTS} segments)"
                    "; save it anew"
                )
            place = match.start(2) + max(int.from_bytes(match[2]), 2)
        # A segment may begin in the last three bytes.
        kept = max(len(data) - 3, min(place, len(data)))
        rest, place = data[kept:], max(place - kept, 0)


def _check_size(image: Image.Image, kind: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS[kind] or max(width, height) > MAX_SIDE:
        raise _too_large(kind)


def _too_large(kind: str) -> BrokenImageError:
    return BrokenImageError(
        f"file: the image has more than {MAX_PIXELS[kind] // 10**6} million pixels (or more than "
        f"{MAX_SIDE} on one side), which is too many for {kind}; make it smaller"
    )


def _scale_down(image: Image.Image, side: int) -> Image.Image:
    """Return the first frame, upright, in RGB or RGBA, with nothing but its pixels."""
    image.seek(0)
    turn = _read_turn(image)
    # JPEG is decoded at a fraction of its size where that is enough.
    image.draft("RGB", (side, side))
    image.load()
    # As it is, where that can be scaled: a conversion would hold the whole of it a second time.
    whole = image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else _to_colour(image)
    whole.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small = _to_colour(whole)
    upright = small.transpose(turn) if turn is not None else small
    plain = Image.new(upright.mode, upright.size)
    plain.paste(upright)
    return plain


def _to_colour(image: Image.Image) -> Image.Image:
    if image.mode in ("RGB", "RGBA"):
        return image
    if image.mode.startswith("I"):
        # Sixteen bits of grey, of which the upper eight are shown.
        upper = image.convert("I").point(lambda value: value / 256)  # pyright: ignore[reportUnknownMemberType]
        return upper.convert("L").convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by the orientation that its EXIF data names."""
_ORIENTATION_TAG: Final = 0x0112


def _read_turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:
        # Broken EXIF data is no reason to refuse the picture.
        return None


def _encode_preview(image: Image.Image) -> Rendition:
    return _encode(image, PREVIEW_TYPE, quality=80, method=4)


def _encode_for_model(image: Image.Image) -> Rendition:
    if image.mode == "RGBA":
        return _encode(image, "image/png")
    return _encode(image, "image/jpeg", quality=88)


def _encode(image: Image.Image, mime_type: str, **options: int) -> Rendition:
    buffer = io.BytesIO()
    image.save(buffer, IMAGE_FORMATS[mime_type], **options)
    return Rendition(buffer.getvalue(), mime_type, image.width, image.height)
