"""Previews: of good images what is expected, of hostile ones a refusal and nothing else."""

import asyncio
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from app.uploads import previews
from app.uploads.previews import (
    MAX_PIXELS,
    MAX_SCANS,
    MODEL_SIDE,
    PREVIEW_SIDE,
    BrokenImageError,
    create_model_image,
    create_preview,
    is_image,
)

RED, BLUE = (220, 20, 20), (20, 20, 220)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def two_halves(width: int, height: int) -> Image.Image:
    """Return an image that is red on the left and blue on the right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def decode(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def close_to(color: object, expected: tuple[int, int, int]) -> bool:
    assert isinstance(color, tuple)
    return all(abs(a - b) < 40 for a, b in zip(color[:3], expected, strict=True))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_promises(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header names any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
async def test_preview_is_small_and_of_the_same_shape(kind: str) -> None:
    source = encode(two_halves(2000, 1000), kind)
    preview = await create_preview(source, f"image/{kind.lower()}")
    image = decode(preview.data)
    assert (preview.mime_type, image.format) == ("image/webp", "WEBP")
    assert (preview.width, preview.height) == image.size == (PREVIEW_SIDE, PREVIEW_SIDE // 2)
    assert close_to(image.getpixel((10, 10)), RED)
    assert close_to(image.getpixel((PREVIEW_SIDE - 10, 10)), BLUE)


async def test_small_image_keeps_its_size(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(two_halves(20, 10), "PNG"))
    preview = await create_preview(path, "image/png")
    assert (preview.width, preview.height) == (20, 10)
    with path.open("rb") as file:
        assert await create_preview(file, "image/png") == preview


async def test_preview_is_upright_and_without_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn it by a quarter
    exif[0x010F] = "A maker of cameras"
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    source = encode(two_halves(400, 200), "JPEG", exif=exif)
    for made in (
        await create_preview(source, "image/jpeg"),
        await create_model_image(source, "image/jpeg"),
    ):
        image = decode(made.data)
        assert image.size == (200, 400)
        assert close_to(image.getpixel((100, 10)), RED)
        assert close_to(image.getpixel((100, 390)), BLUE)
        assert not image.getexif()
        assert b"maker" not in made.data


async def test_preview_says_nothing_that_the_image_says() -> None:
    secret = b"profile of somebody"
    source = encode(two_halves(40, 40), "JPEG", icc_profile=secret, comment=secret)
    assert secret in source
    assert secret not in (await create_preview(source, "image/jpeg")).data
    assert secret not in (await create_model_image(source, "image/jpeg")).data


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
async def test_preview_is_the_first_frame_when_it_is_animated(kind: str) -> None:
    first, second = Image.new("RGB", (64, 64), RED), Image.new("RGB", (64, 64), BLUE)
    source = encode(first, kind, save_all=True, append_images=[second] * 3, duration=50)
    image = decode((await create_preview(source, f"image/{kind.lower()}")).data)
    assert getattr(image, "n_frames", 1) == 1
    assert close_to(image.convert("RGB").getpixel((30, 30)), RED)


async def test_transparency_is_kept() -> None:
    clear = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    image = decode((await create_preview(encode(clear, "PNG"), "image/png")).data)
    assert image.convert("RGBA").getpixel((5, 5))[3] == 0
    assert (await create_model_image(encode(clear, "PNG"), "image/png")).mime_type == "image/png"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
async def test_every_kind_of_colour_has_a_preview(mode: str) -> None:
    if mode == "I;16":
        image = Image.new(mode, (30, 30), 40_000)
    else:
        image = Image.new("L", (30, 30), 156).convert("RGB").convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    preview = await create_preview(encode(image, kind), f"image/{kind.lower()}")
    color = decode(preview.data).convert("RGB").getpixel((15, 15))
    # One bit can only say black or white.
    assert mode == "1" or close_to(color, (156, 156, 156))


async def test_image_for_a_model_is_of_the_size_it_looks_at() -> None:
    made = await create_model_image(encode(two_halves(4000, 3000), "PNG"), "image/png")
    assert (made.mime_type, made.width, made.height) == ("image/jpeg", MODEL_SIDE, 1536)


@pytest.mark.parametrize(
    ("width", "height"),
    [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (MAX_PIXELS["PNG"] // 1000 + 1, 1000), (40_000, 10)],
)
async def test_image_with_too_many_pixels_is_refused_undecoded(width: int, height: int) -> None:
    with pytest.raises(BrokenImageError, match=r"smaller|cannot be read"):
        await create_preview(png_that_promises(width, height), "image/png")


async def test_gif_with_a_frame_beyond_its_canvas_is_refused() -> None:
    gif = bytearray(encode(Image.new("P", (10, 10)), "GIF"))
    place = gif.index(b",\0\0\0\0")
    gif[place + 5 : place + 9] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(BrokenImageError):
        await create_preview(bytes(gif), "image/gif")


def jpeg_of(scans: int, *, comment: bytes = b"") -> bytes:
    """Return a progressive JPEG of 16 x 16 pixels with that many scans, most of them empty."""

    def segment(kind: int, data: bytes) -> bytes:
        return bytes([0xFF, kind]) + struct.pack(">H", len(data) + 2) + data

    return b"".join(
        [
            b"\xff\xd8",
            segment(0xFE, comment),
            segment(0xDB, b"\0" + bytes([1] * 64)),
            segment(0xC2, struct.pack(">BHHB", 8, 16, 16, 1) + b"\x01\x11\0"),
            segment(0xC4, b"\x00\x01" + bytes(15) + b"\x00"),
            segment(0xC4, b"\x10\x01" + bytes(15) + b"\x20"),
            segment(0xDA, b"\x01\x01\0\0\0\0") + b"\0",
            # One run of blocks without any change.
            (segment(0xDA, b"\x01\x01\0\x01\x3f\0") + b"\0\0") * (scans - 1),
            b"\xff\xd9",
        ]
    )


@pytest.mark.parametrize("read_size", [1, 2, 3, 7, previews.READ_SIZE])
@pytest.mark.parametrize("how", ["bytes", "path", "file"])
async def test_jpeg_with_too_many_scans_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_size: int, how: str
) -> None:
    monkeypatch.setattr(previews, "READ_SIZE", read_size)
    for scans in (MAX_SCANS, MAX_SCANS + 1):
        data = jpeg_of(scans, comment=b"\xff\xda" * 100)
        path = tmp_path / f"{scans}.jpg"
        path.write_bytes(data)
        with path.open("rb") as file:
            source = {"bytes": data, "path": path, "file": file}[how]
            if scans > MAX_SCANS:
                with pytest.raises(BrokenImageError, match="scans"):
                    await create_preview(source, "image/jpeg")
            else:
                assert (await create_preview(source, "image/jpeg")).width == 16


async def test_film_behind_a_photograph_is_no_scan() -> None:
    data = encode(two_halves(40, 40), "JPEG", progressive=True)
    await create_preview(data + b"\xff\xda\0\x02" * 1000, "image/jpeg")


@pytest.mark.parametrize(
    "cover", [b"\xff\x05\xff\xff", b"\xff\x00\xff\xff", b"\xff\xd0\xff\xff", b"\xff" * 9]
)
async def test_scans_cannot_be_hidden_behind_what_has_no_length(cover: bytes) -> None:
    data = jpeg_of(2).removesuffix(b"\xff\xd9") + cover
    scans = (b"\xff\xda\0\x08\x01\x01\0\x01\x3f\0\0\0") * (MAX_SCANS + 1)
    with pytest.raises(BrokenImageError, match="scans"):
        await create_preview(data + scans, "image/jpeg")


async def test_jpeg_of_countless_segments_is_refused() -> None:
    data = encode(two_halves(40, 40), "JPEG")
    with pytest.raises(BrokenImageError, match="segments"):
        await create_preview(data[:2] + b"\xff\xfe\0\x02" * 5001 + data[2:], "image/jpeg")


PNG = encode(two_halves(300, 200), "PNG")
JPEG = encode(two_halves(300, 200), "JPEG")


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [
        (b"", "image/png"),
        (b"words", "image/png"),
        (PNG[: len(PNG) // 2], "image/png"),
        (JPEG[: len(JPEG) // 2], "image/jpeg"),
        (JPEG, "image/png"),
        (PNG, "image/svg+xml"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/png"),
        (PNG, "image/bmp"),
        (b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", "image/gif"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(40), "image/webp"),
        (b"\0\0\0\x18ftypavif" + bytes(200), "image/avif"),
        (PNG[:8] + png_chunk(b"IHDR", bytes(13)), "image/png"),
    ],
)
async def test_broken_image_is_refused(data: bytes, mime_type: str) -> None:
    with pytest.raises(BrokenImageError, match=r"^file: "):
        await create_preview(data, mime_type)


async def test_image_is_refused_when_its_profile_is_a_bomb() -> None:
    profile = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**8)))
    with pytest.raises(BrokenImageError, match=r"^file: "):
        await create_preview(PNG[:33] + profile + PNG[33:50], "image/png")


async def test_every_damaged_byte_is_an_image_or_a_refusal() -> None:
    for source, mime_type in ((PNG, "image/png"), (JPEG, "image/jpeg")):
        for place in range(0, len(source), max(1, len(source) // 60)):
            damaged = bytearray(source)
            damaged[place] ^= 0xFF
            try:
                await create_preview(bytes(damaged), mime_type)
            except BrokenImageError:
                continue


async def test_missing_file_is_told_from_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await create_preview(tmp_path / "gone", "image/png")


async def test_loop_is_free_while_images_are_made() -> None:
    source = encode(two_halves(3000, 3000), "PNG")
    work = asyncio.gather(*(create_preview(source, "image/png") for _ in range(3)))
    ticks = 0
    while not work.done():
        await asyncio.sleep(0)
        ticks += 1
    await work
    assert ticks > 10


def test_only_images_that_browsers_show_are_images() -> None:
    assert is_image("image/png")
    assert not any(is_image(each) for each in ("image/svg+xml", "image/tiff", "text/html"))
