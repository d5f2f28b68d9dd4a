"""What the assistant streams besides text, where the defaults are not enough: its images.

An image comes from the model in base64. The finished one is stored as a file and shown by its URL;
the previews of one that is still being made are shown as they are and kept nowhere.
"""

import base64
import logging

from app.chatkit.agents.response_converter import ResponseStreamConverter
from app.chatkit.context import RequestContext
from app.chatkit.store import AttachmentStore

PARTIAL_IMAGES = 2
"""Previews that a tool should ask for (``ImageGenerationTool``, ``partial_images``)."""

logger = logging.getLogger(__name__)


class AssistantStreamConverter(ResponseStreamConverter):
    """Made for one answer: it stores images for the user who gets them."""

    def __init__(
        self, store: AttachmentStore[RequestContext] | None, context: RequestContext
    ) -> None:
        super().__init__(partial_images=PARTIAL_IMAGES)
        self._store = store
        self._context = context

    async def base64_image_to_url(
        self, image_id: str, base64_image: str, partial_image_index: int | None = None
    ) -> str:
        """Return where a finished image is stored; a preview holds its own bytes."""
        if partial_image_index is None and self._store is not None:
            data = base64.b64decode(base64_image)
            if url := await self._store.chatkit_save_generated_image(data, self._context):
                return url
        return await super().base64_image_to_url(image_id, base64_image, partial_image_index)
