"""What a model is given of a stored file.

Images are scaled to what models look at, turned upright and stripped of what was written into them
(a photograph says where it was taken); text becomes UTF-8; PDFs stay as they are.
"""

from app.chatkit.store import AttachmentContent
from app.uploads.previews import BrokenImageError, create_model_image, is_image
from app.uploads.sniffing import decode_accepted, is_text

PDF = "application/pdf"


def bytes_to_read(mime_type: str, size: int, *, max_bytes: int, max_text_bytes: int) -> int | None:
    """Return how much of a stored file ``create_content`` needs; None if it is of no use to it.

    ``mime_type`` is the sniffed one. An image is read whole: it is small once it is scaled down.
    """
    if is_image(mime_type):
        return size
    if is_text(mime_type):
        return min(size, max_text_bytes)
    if mime_type == PDF and size <= max_bytes:
        return size
    return None


async def create_content(
    mime_type: str, data: bytes, *, size: int, max_bytes: int, max_text_bytes: int
) -> AttachmentContent | None:
    """Return what a model is given of a file of ``size`` bytes that begins with ``data``.

    None for what it cannot read. ``mime_type`` is the sniffed one.
    """
    if is_image(mime_type):
        return await _create_image(mime_type, data, max_bytes)
    if is_text(mime_type):
        return _create_text(mime_type, data[:max_text_bytes], size, max_text_bytes)
    if mime_type == PDF and size == len(data) <= max_bytes:
        return AttachmentContent("pdf", PDF, data)
    return None


async def _create_image(mime_type: str, data: bytes, max_bytes: int) -> AttachmentContent | None:
    try:
        image = await create_model_image(data, mime_type)
    except BrokenImageError:
        return None
    if len(image.data) > max_bytes:
        return None
    return AttachmentContent("image", image.mime_type, image.data)


def _create_text(mime_type: str, data: bytes, size: int, most: int) -> AttachmentContent:
    # Other encodings are shorter than UTF-8, so the bound holds for both.
    text = decode_accepted(data).encode()
    is_cut = len(data) < size or len(text) > most
    if len(text) > most:
        text = text[:most].decode(errors="ignore").encode()
    return AttachmentContent("text", mime_type, text, is_cut=is_cut)
