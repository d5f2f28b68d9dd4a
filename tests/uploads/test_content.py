"""What a model is given of a stored file."""

import io

import pytest
from PIL import Image

from app.chatkit.store import AttachmentContent
from app.uploads.content import bytes_to_read, create_content

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
LIMITS = {"max_bytes": 100_000, "max_text_bytes": 10}


async def content_of(
    mime_type: str, data: bytes, *, size: int | None = None, **limits: int
) -> AttachmentContent | None:
    whole = len(data) if size is None else size
    return await create_content(mime_type, data, size=whole, **(LIMITS | limits))


def photo(width: int, height: int) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "A maker of cameras"
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


async def test_image_is_scaled_down_and_says_nothing_else() -> None:
    content = await content_of("image/jpeg", photo(3000, 1500))
    assert content is not None
    assert (content.kind, content.mime_type) == ("image", "image/jpeg")
    assert Image.open(io.BytesIO(content.data)).size == (2048, 1024)
    assert b"maker" not in content.data


async def test_image_that_providers_do_not_know_becomes_one_that_they_do() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (30, 30), "red").save(buffer, "AVIF")
    content = await content_of("image/avif", buffer.getvalue())
    assert content is not None
    assert content.mime_type == "image/jpeg"


@pytest.mark.parametrize(
    ("data", "expected", "is_cut"),
    [
        (b"words", "words", False),
        (b"more words than the ten bytes", "more words", True),
        ("äöüäöüäöü".encode(), "äöüäö", True),
        (("x" * 9 + "ä").encode(), "x" * 9, True),
        (b"Z\xfcrich", "Zürich", False),
        ("Łódź".encode("utf-16"), "Łódź", False),
        (b"\xef\xbb\xbfmarked", "marked", False),
        (b"", "", False),
    ],
)
async def test_text_is_utf8_and_cut_between_characters(
    data: bytes, expected: str, is_cut: bool
) -> None:
    content = await content_of("text/plain", data)
    assert content == AttachmentContent("text", "text/plain", expected.encode(), is_cut)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"no \0 text", "no \ufffd text"),
        ("äöü".encode() + b"\xff" + "ä".encode(), "äöü\ufffdä"),
        (b"\xff\xfea\0\0\0b\0", "a\ufffdb"),
        (b"\xff\xfea\0\0\xd8b\0", "a\ufffdb"),
    ],
)
async def test_text_is_given_when_a_byte_of_it_is_wrong(data: bytes, expected: str) -> None:
    content = await content_of("text/plain", data, max_text_bytes=20)
    assert content == AttachmentContent("text", "text/plain", expected.encode())


async def test_text_fits_its_bound_also_as_utf8() -> None:
    content = await content_of("text/plain", "日本語日".encode("utf-16"), max_text_bytes=11)
    assert content == AttachmentContent("text", "text/plain", "日本語".encode(), is_cut=True)


async def test_text_is_cut_when_only_its_beginning_was_read() -> None:
    content = await content_of("text/csv", b"a,b\n", size=5000)
    assert content == AttachmentContent("text", "text/csv", b"a,b\n", is_cut=True)


async def test_pdf_stays_as_it_is() -> None:
    data = b"%PDF-1.7 and so on"
    content = await content_of("application/pdf", data)
    assert content == AttachmentContent("pdf", "application/pdf", data)


@pytest.mark.parametrize(
    ("mime_type", "data", "limits"),
    [
        ("image/png", b"broken", {}),
        ("image/jpeg", photo(300, 300), {"max_bytes": 100}),
        ("application/pdf", b"%PDF-1.7 too large", {"max_bytes": 5}),
        (DOCX, b"PK\x03\x04", {}),
        ("application/octet-stream", b"x", {}),
    ],
)
async def test_there_is_nothing_for_a_model_in_other_files(
    mime_type: str, data: bytes, limits: dict[str, int]
) -> None:
    assert await content_of(mime_type, data, **limits) is None


async def test_half_a_pdf_is_none() -> None:
    assert await content_of("application/pdf", b"%PDF-1.7", size=5000) is None


@pytest.mark.parametrize(
    ("mime_type", "size", "expected"),
    [
        ("image/png", 900_000, 900_000),
        ("text/plain", 900_000, 10),
        ("text/plain", 3, 3),
        ("application/pdf", 100_000, 100_000),
        ("application/pdf", 100_001, None),
        (DOCX, 5, None),
    ],
)
def test_no_more_is_read_than_is_needed(mime_type: str, size: int, expected: int | None) -> None:
    assert bytes_to_read(mime_type, size, **LIMITS) == expected
