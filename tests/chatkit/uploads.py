"""An attachment store that writes down what it was asked for."""

from typing import Any

from app.chatkit.context import RequestContext
from app.chatkit.protocol.items import (
    Attachment,
)
from app.chatkit.protocol.requests import AttachmentCreateParams
from app.chatkit.store import AttachmentStore
from tests.support.samples import file


class Uploads(AttachmentStore[RequestContext]):
    """Two-phase uploads that keep a log."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    async def create_attachment(
        self, input: AttachmentCreateParams, context: RequestContext
    ) -> Attachment:
        self.log.append(("create", input.name, input.size, context))
        new = file(self.generate_attachment_id(input.mime_type, context))
        return new.model_copy(update={"name": input.name})

    async def delete_attachment(self, attachment_id: str, context: RequestContext) -> None:
        self.log.append(("delete bytes", attachment_id))
